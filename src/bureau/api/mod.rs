//! What boxes say and ask, over TLS with certificates both ways.
//!
//! Promises: a box is who its certificate says, and only boxes on record are
//! heard, and none that is suspended when what it says is written; nothing is stored whose signature was not verified over its exact
//! bytes; an alert is acknowledged after its commit; references leave under the
//! transform of the box that asked and no other; a fetch of references leaves
//! no trace in the store or the log. Errors are RFC 9457 problems.
//!
//! | status | when | what the box does |
//! |---|---|---|
//! | 200 | the same was stored before; a head; references; a transform's key; a policy; a document handed out; the posture is kept | goes on |
//! | 201 | the alert or the document is stored | goes on |
//! | 400 | a header, a query or a path is missing or malformed | sets it aside: for good |
//! | 403 | no certificate, one that is not on record, or a suspended box | waits, alarms, tries again |
//! | 404 | no references, no declared policy, no such document, or no such path | `not_assessed(no_reference)`; says so |
//! | 408 | the body had not come after 30 s | tries again |
//! | 409 | the alert's id or place in the chain was used for another; nothing names the document | sets it aside: for good |
//! | 413 | the body is too long | sets it aside: for good |
//! | 422 | the signature, the form, the named box or its hospital is wrong | sets it aside: for good |
//! | 429 | too many fetches; `Retry-After` says how long to wait | waits |
//! | 503 | the store failed; `Retry-After` says how long to wait | waits |
//!
//! A gap or a break in the chain is stored and shown, never refused: an alert
//! is worth more than its neighbours. An audit head that does not fit those seen
//! before is kept and countersigned like any other, for a countersignature says
//! only that it was shown; it becomes a finding, and the box is told.

use std::borrow::Borrow;
use std::sync::Arc;
use std::time::Duration;

mod alerts;
mod callers;
mod documents;
pub mod openapi;
mod postures;
mod proxies;
mod references;
mod transform;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Serialize;

use super::ingest::Ingest;
use super::rate::Limiter;
use super::store::{Agent, AgentKey, Store, StoreError};
use super::transforms::Transforms;
use super::{metrics, policies};
use crate::clock::{Clock, WallTime};
use crate::crypto::sign::{Signature, SignatureError, SigningKey, Unverified, Verified};
use crate::http::problem::Problem;
use crate::http::request::{self, Routes};
use crate::protocol::id::AgentId;
use crate::protocol::id::HospitalId;
use crate::protocol::{
    ALERTS_PATH, HEAD_PATH, POLICY_PATH, POSTURE_PATH, PROXY_KEY_PATH, SIGNATURE_HEADER, TRANSFORM_PATH,
    alert, document,
};

pub use callers::Callers;
pub use postures::MAX_POSTURE_BYTES;

/// As logs and metrics name them.
const ROUTES: Routes = Routes(&[
    ALERTS_PATH,
    HEAD_PATH,
    REFERENCE_PATH,
    TRANSFORM_PATH,
    POSTURE_PATH,
    PROXY_KEY_PATH,
    PROXY_PATH,
    DOCUMENT_PATH,
    POLICY_PATH,
]);
/// The path of one cardholder's references.
const REFERENCE_PATH: &str = "/v1/references/{cardholder}";
/// The path of the references of one proxy.
const PROXY_PATH: &str = "/v1/proxies/{mark}";
/// The path of one document.
const DOCUMENT_PATH: &str = "/v1/documents/{sha256}";

/// Within this a body must have come. A box whose network is slower than 256 KiB
/// in this time could not do its work either.
const BODY_TIME: Duration = Duration::from_secs(30);

/// What the handlers work with.
pub struct Api {
    /// Where things are kept.
    pub store: Arc<Store>,
    /// The time of receipt.
    pub clock: Arc<dyn Clock>,
    /// The way of events into it.
    pub ingest: Ingest,
    /// Who called lately.
    pub callers: Callers,
    /// Who may fetch how often.
    pub limiter: Limiter<AgentId>,
    /// Under what references leave.
    pub transforms: Transforms,
    /// Countersigns audit heads and signs receipts.
    pub key: Arc<SigningKey>,
}

/// The boxes' side of the bureau.
pub fn router(api: Arc<Api>) -> Router {
    let limited = |most: usize| DefaultBodyLimit::max(most);
    Router::new()
        .route(ALERTS_PATH, post(alerts::receive).layer(limited(alert::MAX_BYTES)))
        .route(HEAD_PATH, get(alerts::tell_head))
        .route(REFERENCE_PATH, get(references::give))
        .route(TRANSFORM_PATH, get(transform::give))
        .route(PROXY_KEY_PATH, get(proxies::give_key))
        .route(PROXY_PATH, get(proxies::give))
        .route(POLICY_PATH, get(policies::tell))
        .route(POSTURE_PATH, post(postures::receive).layer(limited(MAX_POSTURE_BYTES)))
        .route(
            DOCUMENT_PATH,
            put(documents::receive).get(documents::give).layer(limited(document::MAX_BYTES)),
        )
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
        let certificate = callers::shown(parts, api).await?;
        callers::on_record(api, certificate, api.clock.now().wall).await.map(Self)
    }
}

fn forbidden(detail: String) -> Response {
    Problem::new(StatusCode::FORBIDDEN, detail).into_response()
}

/// The answer to a box that is suspended, or was while it spoke.
fn suspended(agent: &Agent) -> Response {
    tracing::warn!(agent = %agent.name, "a suspended box called");
    forbidden(format!(
        "the box {0} is suspended: `counterproof-bureau agents resume {0}` hears it again",
        agent.name
    ))
}

/// The body of a request, whole, within its route's length and [`BODY_TIME`].
pub(super) struct Body(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        Self::within(BODY_TIME, request, state).await
    }
}

impl Body {
    async fn within<S: Send + Sync>(limit: Duration, request: Request, state: &S) -> Result<Self, Response> {
        match tokio::time::timeout(limit, Bytes::from_request(request, state)).await {
            Ok(body) => Ok(Self(body.map_err(respond)?)),
            Err(_) => {
                let detail = format!("the body had not come after {} s: send it again", limit.as_secs());
                Err(respond(Problem::new(StatusCode::REQUEST_TIMEOUT, detail)))
            }
        }
    }
}

fn later(problem: Problem, seconds: u64) -> Response {
    let mut response = problem.into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

pub(super) fn unavailable(error: impl Borrow<StoreError>) -> Response {
    tracing::error!(error = %error.borrow(), "the store failed");
    let detail = "the bureau's store failed; nothing was stored: try again later";
    later(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail), 30)
}

fn unprocessable(field: &str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).about(field)
}

/// Refuses what speaks for another hospital than the one on record.
fn stands_in(agent: &Agent, field: &str, found: &HospitalId) -> Result<(), Problem> {
    if *found == agent.hospital {
        return Ok(());
    }
    let detail = format!(
        "found {found}; {} is on record for hospital {}: set agent.hospital on the box to that, \
         or put the box on record for {found} under another name",
        agent.name, agent.hospital
    );
    tracing::warn!(agent = %agent.name, %found, on_record = %agent.hospital, "a box speaks for another hospital");
    Err(unprocessable(field, detail))
}

fn respond(problem: impl Into<Problem>) -> Response {
    problem.into().into_response()
}

/// Bytes whose signature was checked, and the key of the box that fits it.
struct Signed<'a> {
    verified: Verified<'a>,
    key: AgentKey,
}

/// Checks the detached signature over the exact bytes, with the key that it
/// names among those the box ever had. Whether that key may still be used is
/// for [`Signed::by_key_in_force`], or for the time at which an event was signed.
async fn verify<'a>(
    api: &Api,
    headers: &HeaderMap,
    bytes: &'a [u8],
    agent: &Agent,
) -> Result<Signed<'a>, Response> {
    let keys = api.store.agent_keys(&agent.name).await.map_err(unavailable)?;
    verify_with(&keys, headers, bytes, agent).map_err(respond)
}

/// The same, with the keys at hand.
fn verify_with<'a>(
    keys: &[AgentKey],
    headers: &HeaderMap,
    bytes: &'a [u8],
    agent: &Agent,
) -> Result<Signed<'a>, Problem> {
    let bad_header = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail).about(SIGNATURE_HEADER);
    let value = headers.get(SIGNATURE_HEADER).ok_or_else(|| {
        bad_header(format!("the header {SIGNATURE_HEADER} is missing: alg=ed25519,key=…,sig=… over the body"))
    })?;
    let signature: Signature = value
        .to_str()
        .map_err(|_| bad_header("the header is not ASCII".into()))?
        .parse()
        .map_err(|e: SignatureError| bad_header(e.to_string()))?;
    let named = keys.iter().find(|k| k.public_key.id() == *signature.key());
    let public = named.map_or(&agent.public_key, |k| &k.public_key);
    let checked = Unverified::new(bytes, signature).verify(public);
    match (checked, named) {
        (Ok(verified), Some(key)) => Ok(Signed { verified, key: key.clone() }),
        (checked, _) => {
            let why = checked.err().map_or_else(|| "no key is on record".to_owned(), |e| e.to_string());
            Err(refused(agent, why))
        }
    }
}

fn refused(agent: &Agent, why: String) -> Problem {
    tracing::warn!(agent = %agent.name, why, "a signature was refused");
    unprocessable(SIGNATURE_HEADER, why)
}

impl<'a> Signed<'a> {
    /// The bytes, if the key is in force now: for what is signed when it is sent.
    fn by_key_in_force(self, agent: &Agent, now: WallTime) -> Result<Verified<'a>, Problem> {
        if self.key.in_force(now) {
            return Ok(self.verified);
        }
        Err(refused(agent, replaced(&self.key)))
    }
}

fn not_stored(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn replaced(key: &AgentKey) -> String {
    let until = key.until.map_or_else(String::new, |t| format!(" and ended {t}"));
    format!("key {} was replaced{until}: give the box its new signing key", key.public_key.id())
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;
    use crate::protocol::{DOCUMENTS_PATH, PROXIES_PATH, REFERENCES_PATH};

    /// A body of which nothing ever comes.
    struct Never;

    impl hyper::body::Body for Never {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
        let never = Request::new(axum::body::Body::new(Never));
        let refused = Body::within(Duration::ZERO, never, &()).await.err().unwrap();
        assert_eq!(refused.status(), StatusCode::REQUEST_TIMEOUT);
        let whole = Request::new(axum::body::Body::from("whole"));
        assert_eq!(Body::within(BODY_TIME, whole, &()).await.ok().unwrap().0, "whole");
    }

    #[test]
    fn boxes_ask_where_the_bureau_answers_and_no_route_names_anybody() {
        assert_eq!(REFERENCE_PATH, format!("{REFERENCES_PATH}/{{cardholder}}"));
        assert_eq!(PROXY_PATH, format!("{PROXIES_PATH}/{{mark}}"));
        assert_eq!(DOCUMENT_PATH, format!("{DOCUMENTS_PATH}/{{sha256}}"));
        assert_eq!(ROUTES.of(&format!("{REFERENCES_PATH}/P0001")), REFERENCE_PATH);
    }
}
