//! The routes of the console: each says which role it needs, in one table, from
//! which the router is made and which the tests ask.

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use std::sync::Arc;

use super::visitor::{self, Gate};
use super::{
    Console, abnormal, account, accounts, acts, agents_json, alert, alerts_json, boxes, cases, check_in,
    check_ins, feed, home, incoming, ledger, one_box, privacy, queue, reports, rights, rollouts, sign_in,
    single_sign_on, statistics, transfers, yearly,
};
use crate::bureau::accounts::Role;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Anybody, signed in or not.
    Nobody,
    /// Whoever is signed in.
    SignedIn,
    /// Whoever has one of these roles.
    Roles(&'static [Role]),
}

/// Who reads and judges alerts.
pub(super) const REVIEW: Needs = Needs::Roles(&[Role::Reviewer, Role::Supervisor]);
/// Who may be the second person.
pub(super) const SUPERVISE: Needs = Needs::Roles(&[Role::Supervisor]);
/// Who sees to retention and to cardholders' rights.
pub(super) const PRIVACY: Needs = Needs::Roles(&[Role::PrivacyOfficer]);
/// Who reads the record of acts.
pub(super) const RECORD: Needs = Needs::Roles(&[Role::PrivacyOfficer, Role::Administrator]);
/// Whoever works at the bureau: not those who only check in.
pub(super) const STAFF: Needs =
    Needs::Roles(&[Role::Reviewer, Role::Supervisor, Role::PrivacyOfficer, Role::Administrator]);
/// Who takes photographs with a telephone.
pub(super) const WARD: Needs = Needs::Roles(&[Role::Ward]);
/// Who sees to accounts and boxes.
pub(super) const ADMINISTER: Needs = Needs::Roles(&[Role::Administrator]);

/// One route.
pub(super) struct Route {
    /// The method.
    pub(super) method: Method,
    /// The path, as logs name it.
    pub(super) path: &'static str,
    /// Who may use it.
    pub(super) needs: Needs,
    /// Whether open pages ask for it by themselves: that keeps no session alive.
    by_itself: bool,
    handler: MethodRouter<Arc<Console>>,
}

impl Route {
    /// A page.
    pub(super) fn get<H: Handler<T, Arc<Console>>, T: 'static>(
        path: &'static str,
        needs: Needs,
        handler: H,
    ) -> Self {
        Self { method: Method::GET, path, needs, by_itself: false, handler: on(MethodFilter::GET, handler) }
    }

    /// A form's address.
    pub(super) fn post<H: Handler<T, Arc<Console>>, T: 'static>(
        path: &'static str,
        needs: Needs,
        handler: H,
    ) -> Self {
        Self { method: Method::POST, path, needs, by_itself: false, handler: on(MethodFilter::POST, handler) }
    }

    /// The same, asked for by open pages rather than by people.
    pub(super) fn by_itself(self) -> Self {
        Self { by_itself: true, ..self }
    }
}

/// Every route of the console.
pub(super) fn all() -> Vec<Route> {
    [
        sign_in::routes(),
        home::routes(),
        queue::routes(),
        alert::routes(),
        alerts_json::routes(),
        agents_json::routes(),
        accounts::routes(),
        account::routes(),
        single_sign_on::routes(),
        acts::routes(),
        feed::routes(),
        statistics::routes(),
        abnormal::routes(),
        boxes::routes(),
        one_box::routes(),
        rollouts::routes(),
        privacy::routes(),
        rights::routes(),
        check_in::routes(),
        check_ins::routes(),
        cases::routes(),
        transfers::routes(),
        incoming::routes(),
        reports::routes(),
        ledger::routes(),
        yearly::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The router of these routes, each behind its gate.
pub(super) fn router(console: &Arc<Console>, routes: Vec<Route>) -> Router<Arc<Console>> {
    routes.into_iter().fold(Router::new(), |router, Route { path, needs, by_itself, handler, .. }| {
        let gate = Gate { console: Arc::clone(console), needs, by_itself };
        router.route(path, handler.layer(from_fn_with_state(gate, visitor::admit)))
    })
}
