//! Boxes in a list, and as JSON.

use std::sync::Arc;

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Console;
use super::failure::Failure;
use super::overview_page as page;
use super::route::{Needs, Route};
use super::visitor::Visitor;
use crate::bureau::store::{AuditFinding, Store, StoreError};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::http::openapi::Operation;
use crate::http::problem::Problem;
use crate::protocol::id::{AgentId, HospitalId};
use crate::protocol::posture::Posture;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/overview", Needs::SignedIn, show),
        Route::get("/agents.json", Needs::SignedIn, agents_json),
    ]
}

/// The document for machines.
pub(super) fn operation() -> Operation {
    Operation::new("get", "/agents.json", "Boxes, with their last postures.")
        .answers::<AgentsJson>(200, "All of them.")
        .refuses(&[401, 403, 503])
}

fn failed(error: StoreError) -> Response {
    Failure::from(error).into_response()
}

async fn show(State(console): State<Arc<Console>>, visitor: Visitor) -> Result<Response, Response> {
    let language = visitor.language;
    let boxes = boxes(&console.store).await.map_err(failed)?;
    let purges = console.store.purge_reports(1).await.map_err(failed)?;
    let context = page::Context {
        retention: console.retention,
        last_purge: purges.first().map(|p| p.at),
        now: console.clock.now().wall,
    };
    let page = page::Page::new(language, &boxes, &context);
    let html = page.render().map_err(|error| {
        tracing::error!(%error, "the page cannot be made");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be made").into_response()
    })?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_LANGUAGE, language.tag()),
        (header::VARY, "Accept-Language"),
    ];
    Ok((headers, html).into_response())
}

/// A box with its last posture.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct BoxView {
    pub(super) name: AgentId,
    pub(super) hospital: HospitalId,
    pub(super) key: crate::crypto::sign::KeyId,
    pub(super) certificate: Sha256,
    pub(super) suspended: bool,
    pub(super) last_seen: Option<WallTime>,
    pub(super) events: i64,
    pub(super) gaps: i64,
    pub(super) expired: i64,
    pub(super) broken: i64,
    pub(super) audit_findings: Vec<AuditFinding>,
    /// When it first showed its newest audit epoch, if it showed others before.
    pub(super) new_epoch_at: Option<WallTime>,
    pub(super) posture_received_at: Option<WallTime>,
    pub(super) posture: Option<Posture>,
    /// Digest of the policy that the bureau declared for it.
    pub(super) declared_policy: Option<Sha256>,
}

async fn boxes(store: &Store) -> Result<Vec<BoxView>, StoreError> {
    let agents = store.agents().await?;
    let mut postures = store.postures().await?;
    let declared = store.declared_digests().await?;
    let findings = store.audit_findings().await?;
    let epochs = store.newer_epochs().await?;
    let views = agents.into_iter().map(|summary| {
        let agent = summary.agent;
        let at = postures.iter().position(|p| p.agent == agent.name);
        let posture = at.map(|i| postures.swap_remove(i));
        BoxView {
            hospital: agent.hospital,
            key: agent.public_key.id(),
            certificate: agent.certificate,
            suspended: agent.suspended,
            last_seen: agent.last_seen,
            events: summary.events,
            gaps: summary.gaps,
            expired: summary.expired,
            broken: summary.broken,
            new_epoch_at: epochs.get(&agent.name).copied(),
            audit_findings: findings.iter().filter(|f| f.agent == agent.name).cloned().collect(),
            posture_received_at: posture.as_ref().map(|p| p.received_at),
            posture: posture.map(|p| p.posture),
            declared_policy: declared.get(&agent.name).copied(),
            name: agent.name,
        }
    });
    Ok(views.collect())
}

#[derive(Serialize, utoipa::ToSchema)]
struct AgentsJson {
    agents: Vec<BoxView>,
}

async fn agents_json(State(console): State<Arc<Console>>) -> Result<Response, Response> {
    let agents = boxes(&console.store).await.map_err(failed)?;
    Ok(Json(AgentsJson { agents }).into_response())
}
