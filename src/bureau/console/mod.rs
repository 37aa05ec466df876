//! What people see: one page and two JSON documents, to read only.
//!
//! Promises: plain HTTP on loopback and nothing else, and only for a `Host`
//! that is loopback too, so that a page of another site cannot read it through
//! a name of its own; no script, a strict content policy, nothing cached; Chinese
//! and English. It shows whether each signature fits the stored bytes now, not
//! whether it once did.
//!
//! It has no sign-in and takes no decision: whoever has an account on the
//! machine can read it.

mod messages;
mod page;

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::retention::Retention;
use super::store::{AuditFinding, ChainState, Store, StoreError, StoredAlert};
use crate::clock::{Clock, WallTime};
use crate::crypto::Sha256;
use crate::http::language;
use crate::http::loopback;
use crate::http::problem::Problem;
use crate::http::request::{self, Routes};
use crate::protocol::alert::Event;
use crate::protocol::id::{AgentId, AlertId, HospitalId};
use crate::protocol::posture::Posture;

/// Alerts on one page.
const PER_PAGE: u32 = 100;
/// Most alerts in one JSON document.
const MAX_JSON: u32 = 500;

const STYLE: &str =
    concat!(include_str!("../../../templates/colours.css"), include_str!("../../../templates/console.css"));

const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// What the pages are made of.
pub struct Console {
    store: Arc<Store>,
    retention: Retention,
    clock: Arc<dyn Clock>,
}

impl Console {
    /// Shows what the store holds.
    pub fn new(store: Arc<Store>, retention: Retention, clock: Arc<dyn Clock>) -> Self {
        Self { store, retention, clock }
    }
}

/// As logs name them.
const ROUTES: Routes = Routes(&["/", "/console.css", "/alerts.json", "/agents.json"]);

/// The people's side of the bureau.
pub fn router(console: Arc<Console>) -> Router {
    Router::new()
        .route("/", get(show))
        .route("/console.css", get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)))
        .route("/alerts.json", get(alerts_json))
        .route("/agents.json", get(agents_json))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there are /, /alerts.json and /agents.json"))
        .with_state(console)
        .layer(from_fn(guard))
        .layer(from_fn_with_state(ROUTES, request::identify))
}

/// Refuses other names than loopback's, and adds the headers of every answer.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = if loopback::is_named(&request) {
        next.run(request).await
    } else {
        let detail = "the console answers to localhost, 127.0.0.1 and [::1] alone";
        Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).into_response()
    };
    loopback::harden(&mut response, POLICY);
    response
}

fn failed(error: StoreError) -> Response {
    tracing::error!(%error, "the store failed");
    let detail = "the store failed; the log says how".to_owned();
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
}

fn bad_query(e: QueryRejection) -> Response {
    Problem::new(StatusCode::BAD_REQUEST, e.body_text()).into_response()
}

/// What may stand behind the question mark.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    lang: Option<String>,
    before: Option<i64>,
    limit: Option<u32>,
}

async fn show(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Response> {
    let Query(asked) = asked.map_err(bad_query)?;
    let language = language::of_request(asked.lang.as_deref(), &headers);
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
enum Standing {
    Open,
    Withdrawn,
}

impl Standing {
    fn of(alert: &StoredAlert) -> Self {
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
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Response> {
    let Query(asked) = asked.map_err(bad_query)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_is_one_file_and_asks_for_nothing_else() {
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
        assert!(STYLE.contains("prefers-color-scheme"));
    }
}
