//! Boxes as JSON, with their last postures: for programs that keep watch; the list of
//! boxes shows the same.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Console;
use super::boxes::Known;
use super::failure::Failure;
use super::route::{Route, STAFF};
use crate::bureau::store::{AgentSummary, AuditFinding};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::http::openapi::Operation;
use crate::protocol::id::{AgentId, HospitalId};
use crate::protocol::posture::Posture;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/agents.json", STAFF, agents_json)]
}

/// The document for machines.
pub(super) fn operation() -> Operation {
    Operation::new("get", "/agents.json", "Boxes, with their last postures.")
        .answers::<AgentsJson>(200, "All of them.")
        .refuses(&[401, 403, 503])
}

/// A box with its last posture.
#[derive(Serialize, utoipa::ToSchema)]
struct BoxView {
    name: AgentId,
    hospital: HospitalId,
    key: crate::crypto::sign::KeyId,
    certificate: Sha256,
    suspended: bool,
    last_seen: Option<WallTime>,
    events: i64,
    gaps: i64,
    expired: i64,
    broken: i64,
    audit_findings: Vec<AuditFinding>,
    /// When it first showed its newest audit epoch, if it showed others before.
    new_epoch_at: Option<WallTime>,
    posture_received_at: Option<WallTime>,
    posture: Option<Posture>,
    /// Digest of the policy that the bureau declared for it.
    declared_policy: Option<Sha256>,
}

impl BoxView {
    fn of(summary: AgentSummary, known: Known, new_epoch_at: Option<WallTime>) -> Self {
        let AgentSummary { agent, events, gaps, expired, broken } = summary;
        let Known { posture, audit_findings, declared_policy, .. } = known;
        Self {
            key: agent.public_key.id(),
            certificate: agent.certificate,
            suspended: agent.suspended,
            last_seen: agent.last_seen,
            events,
            gaps,
            expired,
            broken,
            audit_findings,
            new_epoch_at,
            posture_received_at: posture.as_ref().map(|p| p.received_at),
            posture: posture.map(|p| p.posture),
            declared_policy,
            hospital: agent.hospital,
            name: agent.name,
        }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
struct AgentsJson {
    agents: Vec<BoxView>,
}

async fn agents_json(State(console): State<Arc<Console>>) -> Result<Response, Failure> {
    let store = &console.store;
    let (epochs, mut known) = (store.newer_epochs().await?, Known::all(store).await?);
    let view = |summary: AgentSummary| {
        let at = known.iter().position(|k| k.agent.name == summary.agent.name)?;
        let epoch = epochs.get(&summary.agent.name).copied();
        Some(BoxView::of(summary, known.swap_remove(at), epoch))
    };
    let agents = store.agents().await?.into_iter().filter_map(view).collect();
    Ok(Json(AgentsJson { agents }).into_response())
}
