//! The first page: alerts and boxes in two lists, and both as JSON.
//!
//! It shows whether each signature fits the stored bytes now, not whether it once did.

use std::sync::Arc;

use askama::Template;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Console;
use super::failure::Failure;
use super::overview_page as page;
use super::route::{Needs, Route};
use super::visitor::Visitor;
use crate::bureau::accounts::Role;
use crate::bureau::store::{AuditFinding, ChainState, Store, StoreError, StoredAlert};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::http::problem::Problem;
use crate::protocol::alert::Event;
use crate::protocol::id::{AgentId, AlertId, HospitalId};
use crate::protocol::posture::Posture;

/// Alerts on one page.
const PER_PAGE: u32 = 100;
/// Most alerts in one JSON document.
const MAX_JSON: u32 = 500;
/// Whoever may read alerts.
const READ: Needs = Needs::Roles(&[Role::Reviewer, Role::Supervisor]);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/", READ, show),
        Route::get("/alerts.json", READ, alerts_json),
        Route::get("/agents.json", Needs::SignedIn, agents_json),
    ]
}

fn bad_query(e: QueryRejection) -> Response {
    Problem::new(StatusCode::BAD_REQUEST, e.body_text()).into_response()
}

fn failed(error: StoreError) -> Response {
    Failure::from(error).into_response()
}

/// What may stand behind the question mark.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(rename = "lang")]
    _lang: Option<String>,
    before: Option<i64>,
    limit: Option<u32>,
}

/// Writes down that somebody looked at the list.
async fn look(console: &Console, visitor: &Visitor) -> Result<(), Failure> {
    console.note(visitor, "look at alerts", "list of alerts", String::new()).await
}

async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Response> {
    let Query(asked) = asked.map_err(bad_query)?;
    let language = visitor.language;
    look(&console, &visitor).await.map_err(IntoResponse::into_response)?;
    let alerts = console.store.alerts(asked.before.unwrap_or(i64::MAX), PER_PAGE).await.map_err(failed)?;
    let boxes = boxes(&console.store).await.map_err(failed)?;
    let purges = console.store.purge_reports(1).await.map_err(failed)?;
    let page = page::Page::new(
        language,
        &alerts,
        &boxes,
        &page::Context {
            retention: console.retention,
            last_purge: purges.first().map(|p| p.at),
            now: console.clock.now().wall,
            per_page: PER_PAGE as usize,
        },
    );
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

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    Open,
    Withdrawn,
}

impl Standing {
    pub(super) fn of(alert: &StoredAlert) -> Self {
        if alert.withdrawn_at.is_some() { Self::Withdrawn } else { Self::Open }
    }
}

#[derive(Serialize)]
struct AlertJson<'a> {
    arrival: i64,
    id: AlertId,
    agent: &'a AgentId,
    state: Standing,
    received_at: WallTime,
    withdrawn_at: Option<WallTime>,
    signature: &'static str,
    chain: ChainState,
    event: Option<&'a Event>,
}

#[derive(Serialize)]
struct AlertsJson<'a> {
    alerts: Vec<AlertJson<'a>>,
    /// Ask again with `?before=` this for older ones.
    next: Option<i64>,
}

async fn alerts_json(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Response> {
    let Query(asked) = asked.map_err(bad_query)?;
    look(&console, &visitor).await.map_err(IntoResponse::into_response)?;
    let limit = asked.limit.unwrap_or(PER_PAGE).clamp(1, MAX_JSON);
    let alerts = console.store.alerts(asked.before.unwrap_or(i64::MAX), limit).await.map_err(failed)?;
    let full = alerts.len() == limit as usize;
    let next = alerts.last().filter(|_| full).map(|a| a.arrival);
    let alerts = alerts
        .iter()
        .map(|a| AlertJson {
            arrival: a.arrival,
            id: a.id,
            agent: &a.agent,
            state: Standing::of(a),
            received_at: a.received_at,
            withdrawn_at: a.withdrawn_at,
            signature: if a.signature_valid { "valid" } else { "invalid" },
            chain: a.chain,
            event: a.event.as_ref(),
        })
        .collect();
    Ok(Json(AlertsJson { alerts, next }).into_response())
}

/// A box with its last posture.
#[derive(Serialize)]
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

#[derive(Serialize)]
struct AgentsJson {
    agents: Vec<BoxView>,
}

async fn agents_json(State(console): State<Arc<Console>>) -> Result<Response, Response> {
    let agents = boxes(&console.store).await.map_err(failed)?;
    Ok(Json(AgentsJson { agents }).into_response())
}
