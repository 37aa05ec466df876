//! Events, and what is held of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{
    Api, Body, Caller, Signed, refused, replaced, respond, stands_in, suspended, unavailable, unprocessable,
    verify,
};
use crate::bureau::store::{Agent, ChainState, Insertion};
use crate::bureau::{metrics, rollouts};
use crate::crypto::Sha256;
use crate::http::problem::Problem;
use crate::protocol::alert::{Content, Event, EventError};
use crate::protocol::countersign::{Receipt, Received};
use crate::protocol::head::Stored;

pub(super) async fn receive(
    State(api): State<Arc<Api>>,
    Caller(agent): Caller,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Response> {
    let signed = verify(&api, &headers, &body, &agent).await?;
    let event = read(&signed, &agent).map_err(respond)?;
    let received = Received {
        agent: &agent.name,
        epoch: event.chain.epoch,
        seq: event.chain.seq,
        digest: Sha256::of(signed.verified.bytes()),
    };
    let receipt = Receipt::new(received, api.clock.now().wall, &api.key);
    let inserted = api.store.insert_event(&agent.name, &signed.verified, &event, &receipt).await;
    let conflict = |detail: String| {
        tracing::warn!(agent = %agent.name, event = %event.id, detail, "an event was refused");
        respond(Problem::new(StatusCode::CONFLICT, detail))
    };
    match inserted.map_err(unavailable)? {
        Insertion::Stored(chain) => {
            metrics::stored(chain);
            let (epoch, seq) = (event.chain.epoch, event.chain.seq);
            tracing::info!(agent = %agent.name, event = %event.id, %epoch, seq, ?chain, "event stored");
            let stored = Stored { gap: chain == ChainState::Gap };
            Ok((StatusCode::CREATED, Json(stored)).into_response())
        }
        Insertion::Duplicate => Ok(StatusCode::OK.into_response()),
        Insertion::OtherBytes => {
            Err(conflict(format!("the id {} was used before, for other bytes", event.id)))
        }
        Insertion::Suspended => Err(suspended(&agent)),
        Insertion::PlaceTaken(holder) => Err(conflict(format!(
            "number {} of epoch {} is event {holder}: a box that lost its state begins a new epoch",
            event.chain.seq, event.chain.epoch
        ))),
    }
}

/// Reads the event. A key that was replaced is still good for what was signed
/// before: the event may have waited on the box since.
fn read(signed: &Signed<'_>, agent: &Agent) -> Result<Event, Problem> {
    let event = Event::from_bytes(signed.verified.bytes()).map_err(|e| match e {
        EventError::TooLong(_) => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, e.to_string()),
        EventError::Form { field, what } => unprocessable(&field, what),
    })?;
    if event.source.0 != agent.name {
        let detail = format!("found /agents/{}; the certificate is that of {}", event.source.0, agent.name);
        return Err(unprocessable("source", detail));
    }
    if let Content::Mismatch(data) = &event.content {
        stands_in(agent, "data.hospital", &data.hospital)?;
    }
    if event.chain.seq == 0 || i64::try_from(event.chain.seq).is_err() {
        let detail = format!("found {}; events are numbered 1, 2, 3, … up to {}", event.chain.seq, i64::MAX);
        return Err(unprocessable("chain.seq", detail));
    }
    if !signed.key.signed(event.signed_at()) {
        return Err(refused(agent, replaced(&signed.key)));
    }
    Ok(event)
}

pub(super) async fn tell_head(
    State(api): State<Arc<Api>>,
    Caller(agent): Caller,
) -> Result<Response, Response> {
    let mut held = api.store.holdings(&agent.name).await.map_err(unavailable)?;
    held.public_key = Some(api.key.public());
    held.wanted = rollouts::word(&api.store, &api.key, &agent).await.map_err(unavailable)?;
    held.hospital = Some(agent.hospital);
    Ok(Json(held).into_response())
}
