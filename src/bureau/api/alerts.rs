//! Events, and what is held of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::callers::{Heard, Known};
use super::{
    Api, Body, Caller, Signed, later, refused, replaced, respond, stands_in, suspended, unavailable,
    unprocessable, verify_with,
};
use crate::bureau::store::{Agent, ChainState, Insertion};
use crate::bureau::{metrics, rollouts};
use crate::crypto::Sha256;
use crate::http::problem::Problem;
use crate::protocol::alert::{Event, EventError, Link};
use crate::protocol::countersign::{Receipt, Received};
use crate::protocol::head::Stored;

pub(super) async fn receive(
    State(api): State<Arc<Api>>,
    mut heard: Heard,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Response> {
    loop {
        let first = attempt(&api, &heard.known, &headers, &body).await;
        if let Ok(Some(answer)) = first {
            return Ok(answer);
        }
        heard = match (heard.anew(&api).await?, first) {
            (Some(anew), _) => anew,
            (None, Err(refusal)) => return Err(refusal),
            // Its record changed once more, under a request that just read it.
            (None, Ok(_)) => {
                let detail = "the box's record is being changed; nothing was stored: try again";
                return Err(later(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail), 1));
            }
        };
    }
}

/// Stores an event of a box as it is known; nothing if its record is another by now.
async fn attempt(
    api: &Api,
    known: &Known,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<Response>, Response> {
    let agent = &known.agent;
    let signed = verify_with(&known.keys, headers, body, agent).map_err(respond)?;
    let event = read(&signed, agent).map_err(respond)?;
    let (id, link) = (event.id, event.chain);
    let digest = Sha256::of(signed.verified.bytes());
    let received = Received { agent: &agent.name, epoch: link.epoch, seq: link.seq, digest };
    let receipt = Receipt::new(received, api.clock.now().wall, &api.key);
    let incoming = api.store.incoming(agent, &signed.verified, event, &receipt).map_err(unavailable)?;
    let conflict = |detail: String| {
        tracing::warn!(agent = %agent.name, event = %id, detail, "an event was refused");
        respond(Problem::new(StatusCode::CONFLICT, detail))
    };
    match api.ingest.put(incoming).await.map_err(unavailable)? {
        Insertion::Stored(chain) => {
            metrics::stored(chain);
            let Link { epoch, seq, .. } = link;
            tracing::info!(agent = %agent.name, event = %id, %epoch, seq, ?chain, "event stored");
            let stored = Stored { gap: chain == ChainState::Gap };
            Ok(Some((StatusCode::CREATED, Json(stored)).into_response()))
        }
        Insertion::Duplicate => Ok(Some(StatusCode::OK.into_response())),
        Insertion::Stale => Ok(None),
        Insertion::OtherBytes => Err(conflict(format!("the id {id} was used before, for other bytes"))),
        Insertion::Suspended => Err(suspended(agent)),
        Insertion::PlaceTaken(holder) => Err(conflict(format!(
            "number {} of epoch {} is event {holder}: a box that lost its state begins a new epoch",
            link.seq, link.epoch
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
    if let Some(about) = event.content.about() {
        stands_in(agent, "data.hospital", about.hospital)?;
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
