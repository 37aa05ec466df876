//! Alerts as JSON, by arrival, newest first: for programs that keep their own lists.
//!
//! It says whether each signature fits the stored bytes now, not whether it once did.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Console;
use super::failure::Failure;
use super::route::{REVIEW, Route};
use super::visitor::Visitor;
use crate::bureau::review::Claim;
use crate::bureau::store::{ChainState, StoredAlert};
use crate::clock::WallTime;
use crate::http::openapi::{Need, Operation};
use crate::http::problem::Problem;
use crate::protocol::alert::Event;
use crate::protocol::id::{AgentId, AlertId};

/// Alerts in a document that does not say how many.
const USUAL: u32 = 100;
/// Most alerts in one document.
const MOST: u32 = 500;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/alerts.json", REVIEW, alerts)]
}

/// The document for machines.
pub(super) fn operation() -> Operation {
    Operation::new("get", "/alerts.json", "Alerts, newest first.")
        .query::<i64>("before", Need::Optional)
        .query::<u32>("limit", Need::Optional)
        .answers::<AlertsJson<'_>>(200, "At most `limit` of them.")
        .refuses(&[400, 401, 403, 503])
}

/// What may stand behind the question mark.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    before: Option<i64>,
    limit: Option<u32>,
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = AlertState)]
#[serde(rename_all = "snake_case")]
enum Standing {
    Open,
    Withdrawn,
}

impl Standing {
    const fn of(alert: &StoredAlert) -> Self {
        if alert.withdrawn_at.is_some() { Self::Withdrawn } else { Self::Open }
    }
}

/// What an alert claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = AlertClaim)]
#[serde(rename_all = "snake_case")]
enum Claimed {
    Mismatch,
    Absent,
}

impl Claimed {
    fn of(event: &Event) -> Option<Self> {
        Claim::of(&event.content).map(|claim| match claim {
            Claim::Mismatch => Self::Mismatch,
            Claim::Absent => Self::Absent,
        })
    }
}

#[derive(Serialize, utoipa::ToSchema)]
struct AlertJson<'a> {
    arrival: i64,
    id: AlertId,
    agent: &'a AgentId,
    state: Standing,
    /// Null, as the event is, where the content cannot be read.
    claim: Option<Claimed>,
    received_at: WallTime,
    withdrawn_at: Option<WallTime>,
    signature: &'static str,
    chain: ChainState,
    event: Option<&'a Event>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct AlertsJson<'a> {
    alerts: Vec<AlertJson<'a>>,
    /// Ask again with `?before=` this for older ones.
    next: Option<i64>,
}

async fn alerts(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(asked) = match asked {
        Ok(asked) => asked,
        Err(e) => return Ok(Problem::new(StatusCode::BAD_REQUEST, e.body_text()).into_response()),
    };
    console.note(&visitor, "look at alerts", "list of alerts", String::new()).await?;
    let limit = asked.limit.unwrap_or(USUAL).clamp(1, MOST);
    let alerts = console.store.alerts(asked.before.unwrap_or(i64::MAX), limit).await?;
    let full = alerts.len() == limit as usize;
    let next = alerts.last().filter(|_| full).map(|a| a.arrival);
    let alerts = alerts
        .iter()
        .map(|a| AlertJson {
            arrival: a.arrival,
            id: a.id,
            agent: &a.agent,
            state: Standing::of(a),
            claim: a.event.as_ref().and_then(Claimed::of),
            received_at: a.received_at,
            withdrawn_at: a.withdrawn_at,
            signature: if a.signature_valid { "valid" } else { "invalid" },
            chain: a.chain,
            event: a.event.as_ref(),
        })
        .collect();
    Ok(Json(AlertsJson { alerts, next }).into_response())
}
