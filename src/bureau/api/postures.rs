//! Postures, answered with the countersigned audit head, the newest order about the
//! box's commissioning, the documents handed to it and the version it is to run.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use super::{Api, Body, Caller, respond, stands_in, suspended, unavailable, unprocessable, verify};
use crate::bureau::{metrics, rollouts};
use crate::protocol::countersign::{Countersigned, PostureAnswer};
use crate::protocol::posture::Posture;

/// Largest accepted posture, in bytes.
pub const MAX_POSTURE_BYTES: usize = 64 * 1024;

pub(super) async fn receive(
    State(api): State<Arc<Api>>,
    Caller(agent): Caller,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Response> {
    let now = api.clock.now().wall;
    let signed = verify(&api, &headers, &body, &agent).await?;
    let verified = signed.by_key_in_force(&agent, now).map_err(respond)?;
    let posture =
        Posture::from_bytes(verified.bytes()).map_err(|e| respond(unprocessable(&e.field, e.what)))?;
    if posture.agent != agent.name {
        let detail = format!("found {}; the certificate is that of {}", posture.agent, agent.name);
        return Err(respond(unprocessable("agent", detail)));
    }
    stands_in(&agent, "hospital", &posture.hospital).map_err(respond)?;
    if i64::try_from(posture.audit.seq).is_err() {
        let detail = format!("found {}; records are numbered up to {}", posture.audit.seq, i64::MAX);
        return Err(respond(unprocessable("audit.seq", detail)));
    }
    let countersigned = Countersigned::new(agent.name.clone(), posture.audit, now, &api.key);
    let kept = api.store.keep_posture(&posture, &verified, &countersigned).await;
    let kept = kept.map_err(unavailable)?.ok_or_else(|| suspended(&agent))?;
    if let Some(finding) = kept.finding {
        metrics::finding(finding);
        tracing::error!(
            agent = %posture.agent,
            finding = finding.as_str(),
            epoch = %posture.audit.epoch,
            seq = posture.audit.seq,
            "the audit log of a box does not fit what it showed before: it was cut short or rewritten"
        );
    }
    let commission = api.store.commission(&agent.name).await.map_err(unavailable)?;
    let handouts = api.store.handouts_to(&agent.name).await.map_err(unavailable)?;
    let wanted = rollouts::word(&api.store, &api.key, &agent).await.map_err(unavailable)?;
    let answer = PostureAnswer {
        statement: countersigned.statement(),
        countersigned,
        finding: kept.finding,
        missing: kept.missing,
        commission: commission.map(|(_, c)| c),
        handouts,
        wanted,
        public_key: api.key.public(),
    };
    Ok(Json(answer).into_response())
}
