//! What boxes say and ask, over TLS with certificates both ways.
//!
//! Promises: a box is who its certificate says, and only boxes on record are
//! heard; nothing is stored whose signature was not verified over its exact
//! bytes; an alert is acknowledged after its commit; references leave under the
//! transform of the box that asked and no other; a fetch of references leaves
//! no trace in the store or the log. Errors are RFC 9457 problems.
//!
//! | status | when | what the box does |
//! |---|---|---|
//! | 200 | the same alert was stored before; a head; references; a transform's key; a policy | goes on |
//! | 201 | the alert is stored | goes on |
//! | 204 | the posture is kept | goes on |
//! | 400 | a header, a query or a path is missing or malformed | sets it aside: for good |
//! | 403 | no certificate, one that is not on record, or a suspended box | waits, alarms, tries again |
//! | 404 | no references, no declared policy, or no such path | `not_assessed(no_reference)`; says so |
//! | 409 | the alert's id or place in the chain was used for another | sets it aside: for good |
//! | 413 | the body is too long | sets it aside: for good |
//! | 422 | the signature, the form or the named box is wrong | sets it aside: for good |
//! | 429 | too many fetches; `Retry-After` says how long to wait | waits |
//! | 503 | the store failed; `Retry-After` says how long to wait | waits |
//!
//! A gap or a break in the chain is stored and shown, never refused: an alert
//! is worth more than its neighbours.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Extension, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::metrics;
use super::policies;
use super::rate::Limiter;
use super::store::{Agent, Insertion, Store, StoreError, StoredReference};
use super::transforms::Transforms;
use crate::clock::Clock;
use crate::crypto::sign::{Signature, Unverified, Verified};
use crate::crypto::transform::TransformKey;
use crate::http::problem::Problem;
use crate::http::request::{self, Routes};
use crate::http::server::PeerCertificate;
use crate::protocol::alert::{self, Event, EventError, Head};
use crate::protocol::id::{CardholderId, SettlementId};
use crate::protocol::posture::Posture;
use crate::protocol::reference::ReferenceSet;
use crate::protocol::transform::TransformGrant;
use crate::protocol::{
    ALERTS_PATH, HEAD_PATH, POLICY_PATH, POSTURE_PATH, REFERENCES_PATH, SIGNATURE_HEADER, TRANSFORM_PATH,
};

/// Largest accepted posture, in bytes.
pub const MAX_POSTURE_BYTES: usize = 64 * 1024;

/// As logs and metrics name them.
const ROUTES: Routes = Routes(&[ALERTS_PATH, HEAD_PATH, REFERENCE_PATH, POSTURE_PATH]);
/// The path of one cardholder's references.
const REFERENCE_PATH: &str = "/v1/references/{cardholder}";

/// What the handlers work with.
pub struct Api {
    /// Where things are kept.
    pub store: Arc<Store>,
    /// The time of receipt.
    pub clock: Arc<dyn Clock>,
    /// Who may fetch how often.
    pub limiter: Limiter,
    /// Under what references leave.
    pub transforms: Transforms,
}

/// The boxes' side of the bureau.
pub fn router(api: Arc<Api>) -> Router {
    let posture = post(receive_posture).layer(DefaultBodyLimit::max(MAX_POSTURE_BYTES));
    Router::new()
        .route(ALERTS_PATH, post(receive_alert).layer(DefaultBodyLimit::max(alert::MAX_BYTES)))
        .route(HEAD_PATH, get(tell_head))
        .route(&format!("{REFERENCES_PATH}/{{cardholder}}"), get(give_references))
        .route(TRANSFORM_PATH, get(give_transform))
        .route(REFERENCE_PATH, get(give_references))
        .route(POSTURE_PATH, posture)
        .route(POLICY_PATH, get(policies::tell))
        .fallback(async || {
            Problem::new(StatusCode::NOT_FOUND, "there is nothing here; see docs/contracts.md")
        })
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path has another method; see docs/contracts.md",
            )
        })
        .layer(from_fn_with_state(ROUTES, metrics::observe))
        .layer(from_fn_with_state(ROUTES, request::identify))
        .with_state(api)
}

/// The box that calls: on record and not suspended.
pub(super) struct Caller(pub(super) Agent);

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Response> {
        let forbidden = |detail: String| Problem::new(StatusCode::FORBIDDEN, detail).into_response();
        let peer = Extension::<Option<PeerCertificate>>::from_request_parts(parts, api).await;
        let Ok(Extension(Some(PeerCertificate(certificate)))) = peer else {
            return Err(forbidden("no certificate was shown: connect with the box's own".into()));
        };
        match api.store.agent_by_certificate(certificate).await.map_err(unavailable)? {
            Some(agent) if agent.suspended => {
                tracing::warn!(agent = %agent.name, "a suspended box called");
                Err(forbidden(format!(
                    "the box {0} is suspended: `counterproof-bureau agents resume {0}` hears it again",
                    agent.name
                )))
            }
            Some(agent) => Ok(Self(agent)),
            None => {
                tracing::warn!(%certificate, "an unknown certificate called");
                Err(forbidden(format!(
                    "no box is on record with the certificate of SHA-256 {certificate}: \
                     add it with `counterproof-bureau agents add`"
                )))
            }
        }
    }
}

fn later(problem: Problem, seconds: u64) -> Response {
    let mut response = problem.into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

pub(super) fn unavailable(error: StoreError) -> Response {
    tracing::error!(%error, "the store failed");
    let detail = "the bureau's store failed; nothing was stored: try again later";
    later(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail), 30)
}

fn unprocessable(field: &str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).about(field)
}

fn respond(problem: impl Into<Problem>) -> Response {
    problem.into().into_response()
}

/// Checks the detached signature over the exact bytes.
fn verify<'a>(headers: &HeaderMap, bytes: &'a [u8], agent: &Agent) -> Result<Verified<'a>, Problem> {
    let bad_header = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail).about(SIGNATURE_HEADER);
    let value = headers.get(SIGNATURE_HEADER).ok_or_else(|| {
        bad_header(format!("the header {SIGNATURE_HEADER} is missing: alg=ed25519,key=…,sig=… over the body"))
    })?;
    let signature: Signature = value
        .to_str()
        .map_err(|_| bad_header("the header is not ASCII".into()))?
        .parse()
        .map_err(|e: crate::crypto::sign::SignatureError| bad_header(e.to_string()))?;
    Unverified::new(bytes, signature).verify(&agent.public_key).map_err(|e| {
        tracing::warn!(agent = %agent.name, error = %e, "a signature was refused");
        unprocessable(SIGNATURE_HEADER, e.to_string())
    })
}

fn read_event(verified: &Verified<'_>, agent: &Agent) -> Result<Event, Problem> {
    let event = Event::from_bytes(verified.bytes()).map_err(|e| match e {
        EventError::TooLong(_) => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, e.to_string()),
        EventError::Form { field, what } => unprocessable(&field, what),
    })?;
    if event.source.0 != agent.name {
        let detail = format!("found /agents/{}; the certificate is that of {}", event.source.0, agent.name);
        return Err(unprocessable("source", detail));
    }
    if event.chain.seq == 0 || i64::try_from(event.chain.seq).is_err() {
        let detail = format!("found {}; events are numbered 1, 2, 3, … up to {}", event.chain.seq, i64::MAX);
        return Err(unprocessable("chain.seq", detail));
    }
    Ok(event)
}

async fn receive_alert(
    State(api): State<Arc<Api>>,
    Caller(agent): Caller,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Response> {
    let body = body.map_err(respond)?;
    let verified = verify(&headers, &body, &agent).map_err(respond)?;
    let event = read_event(&verified, &agent).map_err(respond)?;
    let now = api.clock.now().wall;
    let inserted = api.store.insert_event(&agent.name, &verified, &event, now).await.map_err(unavailable)?;
    let conflict = |detail: String| {
        tracing::warn!(agent = %agent.name, event = %event.id, detail, "an event was refused");
        Problem::new(StatusCode::CONFLICT, detail).into_response()
    };
    match inserted {
        Insertion::Stored(chain) => {
            metrics::stored(chain);
            let (epoch, seq) = (event.chain.epoch, event.chain.seq);
            tracing::info!(agent = %agent.name, event = %event.id, %epoch, seq, ?chain, "event stored");
            Ok(StatusCode::CREATED.into_response())
        }
        Insertion::Duplicate => Ok(StatusCode::OK.into_response()),
        Insertion::OtherBytes => {
            Err(conflict(format!("the id {} was used before, for other bytes", event.id)))
        }
        Insertion::PlaceTaken(holder) => Err(conflict(format!(
            "number {} of epoch {} is event {holder}: a box that lost its state begins a new epoch",
            event.chain.seq, event.chain.epoch
        ))),
    }
}

/// The answer to `GET /v1/head`.
#[derive(Debug, Serialize)]
struct HeadAnswer {
    head: Option<Head>,
}

async fn tell_head(State(api): State<Arc<Api>>, Caller(agent): Caller) -> Result<Response, Response> {
    let head = api.store.head(&agent.name).await.map_err(unavailable)?;
    Ok(Json(HeadAnswer { head }).into_response())
}

/// The settlement that a fetch is for. It is asked for so that a box cannot
/// leaf through cardholders without naming one, and is not kept.
#[derive(Debug, Deserialize)]
struct ForSettlement {
    #[serde(rename = "settlement")]
    _settlement: SettlementId,
}

async fn give_references(
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
    if found.is_empty() {
        let detail = "no reference is enrolled for this cardholder";
        return Err(Problem::new(StatusCode::NOT_FOUND, detail).about("cardholder").into_response());
    }
    let key = api.store.transform_key(&agent).map_err(unavailable)?;
    Ok(not_stored(protect(cardholder, &found, &key, &api.transforms)))
}

/// The references under the transform of one box.
fn protect(
    cardholder: CardholderId,
    found: &[StoredReference],
    key: &TransformKey,
    transforms: &Transforms,
) -> ReferenceSet {
    let mut set = ReferenceSet::new(cardholder, key.id());
    for StoredReference { model, preprocessing, template } in found {
        // Models that are in force together may differ in length.
        let transform = transforms.of(key, template.values().len());
        if let Some(protected) = template.protect(&transform) {
            let added = set.add(*model, *preprocessing, &protected);
            debug_assert!(added, "one key makes one id");
        }
    }
    set
}

fn not_stored(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

async fn give_transform(State(api): State<Arc<Api>>, Caller(agent): Caller) -> Result<Response, Response> {
    let key = api.store.transform_key(&agent).map_err(unavailable)?;
    tracing::info!(agent = %agent.name, version = agent.transform.version, "the key of a transform was handed out");
    Ok(not_stored(TransformGrant::new(agent.transform.version, &key)))
}

async fn receive_posture(
    State(api): State<Arc<Api>>,
    Caller(agent): Caller,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Response> {
    let body = body.map_err(respond)?;
    let verified = verify(&headers, &body, &agent).map_err(respond)?;
    let mut json = serde_json::Deserializer::from_slice(verified.bytes());
    let posture: Posture = serde_path_to_error::deserialize(&mut json)
        .map_err(|e| respond(unprocessable(&e.path().to_string(), e.inner().to_string())))?;
    if posture.agent != agent.name {
        let detail = format!("found {}; the certificate is that of {}", posture.agent, agent.name);
        return Err(respond(unprocessable("agent", detail)));
    }
    api.store.keep_posture(&posture, &verified, api.clock.now().wall).await.map_err(unavailable)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::REFERENCES_PATH;

    #[test]
    fn boxes_ask_where_the_bureau_answers_and_no_route_names_anybody() {
        assert_eq!(REFERENCE_PATH, format!("{REFERENCES_PATH}/{{cardholder}}"));
        assert_eq!(ROUTES.of(&format!("{REFERENCES_PATH}/P0001")), REFERENCE_PATH);
    }
}
