//! References: handed out for one settlement, without a trace.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::{Api, Caller, later, unavailable};
use crate::http::problem::Problem;
use crate::protocol::id::{CardholderId, SettlementId};

/// The settlement that a fetch is for. It is asked for so that a box cannot
/// leaf through cardholders without naming one, and is not kept.
#[derive(Debug, Deserialize)]
pub(super) struct ForSettlement {
    #[serde(rename = "settlement")]
    _settlement: SettlementId,
}

pub(super) async fn give(
    State(api): State<Arc<Api>>,
    Caller(agent): Caller,
    cardholder: Result<Path<CardholderId>, PathRejection>,
    query: Result<Query<ForSettlement>, QueryRejection>,
) -> Result<Response, Response> {
    let bad = |field: &str, detail: String| {
        Problem::new(StatusCode::BAD_REQUEST, detail).about(field).into_response()
    };
    let Path(cardholder) = cardholder.map_err(|e| bad("cardholder", e.body_text()))?;
    let Query(ForSettlement { .. }) = query.map_err(|e| {
        let what = e.body_text();
        bad("settlement", format!("{what}: name the settlement as ?settlement=…"))
    })?;
    if let Err(wait) = api.limiter.admit(&agent.name, api.clock.now().boot) {
        tracing::warn!(agent = %agent.name, "a box fetches references faster than it may");
        let detail = "this box fetches more references in a minute than it may: \
                      wait, or raise references.per_agent_per_minute at the bureau";
        return Err(later(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail), wait));
    }
    let found = api.store.references(&cardholder).await.map_err(unavailable)?;
    let Some(set) = found else {
        let detail = "no reference is enrolled for this cardholder";
        return Err(Problem::new(StatusCode::NOT_FOUND, detail).about("cardholder").into_response());
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(set)).into_response())
}
