//! References: handed out for one settlement or one shift, without a trace. Who is exempt is
//! answered for like who was never enrolled: no box learns the difference.
//!
//! With a cardholder's references go those of the proxies that they declared at the
//! bureau, without a name; of a proxy who is not enrolled goes the word that there is one.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::callers::Heard;
use super::{Api, later, not_stored, respond, unavailable};
use crate::bureau::store::{StoreError, StoredReference};
use crate::bureau::transforms::Transforms;
use crate::crypto::transform::TransformKey;
use crate::http::problem::Problem;
use crate::protocol::id::{CardholderId, SettlementId, ShiftId};
use crate::protocol::reference::ReferenceSet;

/// What a fetch is for: a settlement, or the shift at an entrance for which somebody is
/// expected. It is asked for so that a box cannot leaf through cardholders without naming
/// one, and is not kept.
#[derive(Debug, Deserialize)]
pub(super) struct AskedFor {
    settlement: Option<SettlementId>,
    shift: Option<ShiftId>,
    /// `proxy` for somebody who acts for another: who acts for them is not asked.
    #[serde(rename = "as")]
    role: Option<AskedAs>,
}

/// As whom somebody is asked for.
#[derive(Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AskedAs {
    /// As the proxy of another.
    Proxy,
}

impl AskedFor {
    /// The question, if it names a settlement or a shift.
    pub(super) fn named(query: Result<Query<Self>, QueryRejection>) -> Result<Self, Problem> {
        let todo = "name the settlement as ?settlement=…, or the shift of a roster as ?shift=…";
        let Query(asked) = query.map_err(|e| bad("settlement", format!("{}: {todo}", e.body_text())))?;
        match (&asked.settlement, &asked.shift) {
            (Some(_), None) | (None, Some(_)) => Ok(asked),
            (None, None) => Err(bad("settlement", format!("found neither: {todo}"))),
            (Some(_), Some(_)) => Err(bad("shift", format!("found both: {todo}"))),
        }
    }

    /// Whether those who act for the cardholder are asked for too: at an entrance nobody
    /// does.
    pub(super) fn wants_proxies(&self) -> bool {
        self.role.is_none() && self.shift.is_none()
    }
}

fn bad(field: &str, detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail).about(field)
}

/// The answer for somebody of whom nothing is to be had.
pub(super) fn nobody() -> Response {
    let detail = "no reference is enrolled for this cardholder";
    Problem::new(StatusCode::NOT_FOUND, detail).about("cardholder").into_response()
}

pub(super) async fn give(
    State(api): State<Arc<Api>>,
    heard: Heard,
    cardholder: Result<Path<CardholderId>, PathRejection>,
    query: Result<Query<AskedFor>, QueryRejection>,
) -> Result<Response, Response> {
    let Path(cardholder) = cardholder.map_err(|e| respond(bad("cardholder", e.body_text())))?;
    let asked = AskedFor::named(query).map_err(respond)?;
    give_to(&api, heard, cardholder, asked.wants_proxies()).await
}

/// Somebody's references, for the box that calls, with those who act for them if they are
/// wanted.
pub(super) async fn give_to(
    api: &Api,
    mut heard: Heard,
    cardholder: CardholderId,
    with_proxies: bool,
) -> Result<Response, Response> {
    if let Err(wait) = api.limiter.admit(&heard.known.agent.name, api.clock.now().boot) {
        tracing::warn!(agent = %heard.known.agent.name, "a box fetches references faster than it may");
        let detail = "this box fetches more references in a minute than it may: \
                      wait, or raise references.per_agent_per_minute at the bureau";
        return Err(later(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail), wait));
    }
    let now = api.clock.now().wall;
    let found = loop {
        let found = api.store.references_for(&heard.known.agent, &cardholder, now).await;
        if let Some(found) = found.map_err(unavailable)? {
            break found;
        }
        let Some(anew) = heard.anew(api).await? else {
            let detail = "the box's record is being changed: try again";
            return Err(later(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail), 1));
        };
        heard = anew;
    };
    if found.references.is_empty() {
        return Err(nobody());
    }
    let key = Arc::new(api.store.transform_key(&heard.known.agent).map_err(unavailable)?);
    let declared = match with_proxies && found.has_proxies {
        true => api.store.proxies_of(&cardholder, now).await.map_err(unavailable)?,
        false => Vec::new(),
    };
    let mut set = protect(cardholder, &found.references, &key, &api.transforms).await.map_err(unavailable)?;
    for proxy in declared {
        let proxy = proxy.declaration.proxy;
        let found = api.store.references(&proxy, now).await.map_err(unavailable)?;
        let protected = protect(proxy, &found, &key, &api.transforms).await.map_err(unavailable)?;
        let added = set.add_proxy(protected);
        debug_assert!(added, "one key makes one id");
    }
    Ok(not_stored(set))
}

/// The references under the transform of one box.
async fn protect(
    cardholder: CardholderId,
    found: &[StoredReference],
    key: &Arc<TransformKey>,
    transforms: &Transforms,
) -> Result<ReferenceSet, StoreError> {
    let mut set = ReferenceSet::new(cardholder, key.id());
    for StoredReference { model, preprocessing, template } in found {
        // Models that are in force together may differ in length.
        let transform = transforms.of(key, template.values().len()).await?;
        if let Some(protected) = template.protect(&transform) {
            let added = set.add(*model, *preprocessing, &protected);
            debug_assert!(added, "one key makes one id");
        }
    }
    Ok(set)
}
