//! Intake: the HIS says that a card is being settled.
//!
//! `POST /v1/settlements`: 202 new, 200 repeated, 400 not JSON, 401 no token,
//! 404 unknown counter, 409 same number with another content, 413 over 64 KiB,
//! 415 not `application/json`, 422 a field is wrong, 503 the box cannot verify
//! now, or [`MOST_WAITING`] settlements wait for the journal already (either is
//! counted as not assessed). `DELETE /v1/settlements/{id}`: 204, whatever
//! has become of it; a cancellation that comes first is remembered.
//! `GET /healthz`: 200 while every part of the program gets on, else 503 and
//! which does not. `GET /readyz`: 200 while it can verify, else 503 and why not.
//! Every answer carries its request's id (`http::request`).
//!
//! Promises: an answer 2xx comes after the journal's commit; no answer tells a
//! verdict; nothing waits for one; a storm is turned away at once instead of
//! queued, so that the time to an answer stays bounded.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use tokio::sync::Semaphore;
use tracing::{Instrument, Span, error, info, warn};
use zeroize::Zeroizing;

use crate::crypto::Sha256;
use crate::http::metrics::health;
use crate::http::problem::Problem;
use crate::http::request::{self, Routes};
use crate::protocol::id::{CounterId, SettlementId};
use crate::protocol::settlement::{self, MAX_BODY, Settlement, SettlementError};
use crate::protocol::verdict::{Inconclusive, NotAssessed, Outcome};

use super::context::Context;
use super::counter::Counters;
use super::journal::{Accepted, Cancelled};
use super::metrics;
use super::store::Store;

/// As logs and metrics name them.
pub(super) const ROUTES: Routes = Routes(&["/v1/settlements", "/v1/settlements/{id}", "/healthz", "/readyz"]);

/// Settlements that may wait for the journal at a time: the last of 32 waits
/// about a second on a disk that takes 30 ms for a sync, and no window settles 32
/// cards at once.
const MOST_WAITING: usize = 32;

/// What the handlers need.
#[derive(Clone)]
pub struct Intake {
    context: Arc<Context>,
    counters: Arc<Counters>,
    token: Sha256,
    journal: Arc<Semaphore>,
}

impl Intake {
    /// Joins the parts; only the token's digest is kept.
    pub fn new(context: Arc<Context>, counters: Arc<Counters>, token: &Zeroizing<String>) -> Self {
        let journal = Arc::new(Semaphore::new(MOST_WAITING));
        Self { context, counters, token: Sha256::of(token.as_bytes()), journal }
    }

    /// The routes.
    pub fn router(self) -> Router {
        let guarded = Router::new()
            .route("/v1/settlements", post(settle))
            .route("/v1/settlements/{id}", delete(cancel))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(middleware::from_fn_with_state(self.clone(), authorize))
            .layer(middleware::from_fn_with_state(ROUTES, metrics::observe));
        #[cfg(feature = "leak")]
        let guarded = guarded.layer(middleware::map_response(super::leak::onto_answer));
        Router::new()
            .merge(guarded)
            .route("/healthz", get(healthy))
            .route("/readyz", get(ready))
            .fallback(|| async {
                Problem::new(StatusCode::NOT_FOUND, "there is nothing here; see docs/contracts.md")
            })
            .layer(middleware::from_fn_with_state(ROUTES, request::identify))
            .with_state(self)
    }
}

/// Compares digests, so that the time taken tells nothing of the token.
async fn authorize(State(intake): State<Intake>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "));
    if given.is_some_and(|t| Sha256::of(t.trim().as_bytes()) == intake.token) {
        return next.run(request).await;
    }
    let found = if given.is_some() { "another token than this box's" } else { "no bearer token" };
    let detail =
        format!("found {found}; expected `Authorization: Bearer …` with the token of keys `his.token`");
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    response
}

fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let found = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("none");
    if found.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let detail =
        format!("content type {}; expected application/json", found.chars().take(80).collect::<String>());
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

fn not_understood(e: SettlementError) -> Problem {
    let text = e.to_string();
    match e {
        SettlementError::NotJson(_) => Problem::new(StatusCode::BAD_REQUEST, text),
        SettlementError::Field { field, .. } => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, text).about(field)
        }
    }
}

fn unavailable(intake: &Intake, counter: &CounterId, why: impl std::fmt::Display) -> Problem {
    let outcome = Outcome::NotAssessed(NotAssessed::Fault);
    intake.context.count(outcome);
    metrics::verdict(counter, outcome);
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, why.to_string())
}

async fn settle(
    State(intake): State<Intake>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    is_json(&headers)?;
    let body = body.map_err(|e| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {MAX_BODY} bytes"))
        }
        _ => Problem::from(e),
    })?;
    let settlement = Settlement::from_json(&body).map_err(not_understood)?;
    if !intake.counters.knows(&settlement.counter) {
        let detail =
            format!("counter `{}`; this box watches {}", settlement.counter, intake.counters.names());
        return Err(Problem::new(StatusCode::NOT_FOUND, detail).about("counter"));
    }
    if let Some(trouble) = intake.context.trouble() {
        return Err(unavailable(&intake, &settlement.counter, trouble));
    }
    let Ok(place) = Arc::clone(&intake.journal).try_acquire_owned() else {
        let overload = Outcome::NotAssessed(NotAssessed::Overload);
        intake.context.count(overload);
        metrics::verdict(&settlement.counter, overload);
        let detail = format!("{MOST_WAITING} settlements wait for the journal already: too many at once");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    };
    to_its_end(async {
        let answer = take(intake, settlement).await;
        drop(place);
        answer
    })
    .await
}

/// Runs what follows a commit to its end even if the caller hangs up meanwhile:
/// a handler is dropped with its connection, a task is not.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let lost =
        |e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("a request was not finished: {e}"));
    tokio::spawn(work.instrument(Span::current())).await.unwrap_or_else(|e| Err(lost(e)))
}

/// Journals a settlement and begins its verification.
async fn take(intake: Intake, settlement: Settlement) -> Result<Response, Problem> {
    let (copy, now) = (settlement.clone(), intake.context.moment());
    let config = &intake.context.config;
    let counter = config.counters.iter().find(|c| c.id == settlement.counter);
    let reach = counter.map_or(Duration::ZERO, |c| config.neighbour_reach(c));
    let journal = move |s: &mut Store| {
        // A neighbour counts even if it cannot be accepted: a doubt is never an accusation.
        let cut = s.cut_held(&copy, reach, now)?;
        Ok((cut, s.accept(&copy, now)?))
    };
    let (cut, accepted) = intake.context.store(journal).await.map_err(|e| {
        error!(error = %e, "a settlement could not be journalled");
        unavailable(&intake, &settlement.counter, e)
    })?;
    for verification in cut {
        intake.context.ended(verification, Outcome::Inconclusive(Inconclusive::NeighbourNamedLate));
    }
    intake.context.audit_waits.notify_one();
    let answer = |status: StatusCode, verification_id| {
        (status, Json(settlement::Accepted { verification_id })).into_response()
    };
    match accepted {
        Accepted::New(id) => {
            info!(verification = %id, counter = %settlement.counter, "accepted");
            intake.counters.verify(id, settlement).await;
            Ok(answer(StatusCode::ACCEPTED, id))
        }
        Accepted::CancelledBefore(id) => {
            let outcome = Outcome::NotAssessed(NotAssessed::Cancelled);
            intake.context.count(outcome);
            metrics::verdict(&settlement.counter, outcome);
            Ok(answer(StatusCode::ACCEPTED, id))
        }
        Accepted::Repeated(id) => Ok(answer(StatusCode::OK, id)),
        Accepted::Contradicts => {
            warn!("a settlement number came again with another content");
            let detail = "this settlement number came before with another content; send a correction under a number of its own, or cancel the first";
            Err(Problem::new(StatusCode::CONFLICT, detail).about("settlement_id"))
        }
    }
}

async fn cancel(State(intake): State<Intake>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let id: SettlementId =
        id.parse().map_err(|e| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{e}")).about("id"))?;
    to_its_end(take_back(intake, id)).await
}

/// Journals a cancellation and stops or withdraws what it finds.
async fn take_back(intake: Intake, id: SettlementId) -> Result<StatusCode, Problem> {
    let (agent, now) = (intake.context.config.agent.name.clone(), intake.context.moment());
    let cancelled = intake.context.store(move |s| s.cancel(&id, &agent, now)).await.map_err(|e| {
        error!(error = %e, "a cancellation could not be journalled");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{e}: send the cancellation again"))
    })?;
    intake.context.audit_waits.notify_one();
    match cancelled {
        Cancelled::Stopped(verification) => {
            let outcome = Outcome::NotAssessed(NotAssessed::Cancelled);
            intake.context.count(outcome);
            intake.context.watch.places.ended(verification, outcome);
            info!(%verification, "cancelled");
            intake.counters.stop(verification).await;
        }
        Cancelled::Withdrawn => intake.context.events_wait.notify_one(),
        Cancelled::Remembered | Cancelled::Nothing => {}
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn healthy(State(intake): State<Intake>) -> Result<&'static str, Problem> {
    health(intake.context.watch.hearts.complaint())
}

async fn ready(State(intake): State<Intake>) -> Result<&'static str, Problem> {
    let trouble = intake.context.trouble().map(|t| t.to_string());
    health(trouble.or_else(|| intake.context.watch.hearts.complaint())).map(|_| "ready\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::context::tests::{context, context_with_broken_audit_log};
    use axum::body::Body;
    use tower::ServiceExt;

    const TOKEN: &str = "a-token-of-more-than-24-characters";

    fn router(context: Arc<Context>) -> Router {
        let counters = Arc::new(Counters::none(Arc::clone(&context)));
        Intake::new(context, counters, &Zeroizing::new(TOKEN.to_owned())).router()
    }

    fn settlement() -> Request {
        let body = r#"{"settlement_id":"S1","counter":"w1","cardholder":"P1","occurred_at":"2026-11-22T09:10:15Z","amount_fen":1,"medical_type":"11"}"#;
        Request::post("/v1/settlements")
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .unwrap()
    }

    #[tokio::test]
    async fn a_storm_is_turned_away_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let context = context(dir.path());
        let counters = Arc::new(Counters::deaf(Arc::clone(&context), "w1".parse().unwrap()));
        let intake = Intake::new(Arc::clone(&context), counters, &Zeroizing::new(TOKEN.to_owned()));
        let journal = Arc::clone(&intake.journal);
        let app = intake.router();
        let all = Arc::clone(&journal).try_acquire_many_owned(MOST_WAITING as u32).unwrap();
        let answer = app.clone().oneshot(settlement()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(context.verdicts().get("not_assessed(overload)"), Some(&1));
        drop(all);
        assert_eq!(app.oneshot(settlement()).await.unwrap().status(), StatusCode::ACCEPTED);
        assert_eq!(journal.available_permits(), MOST_WAITING);
    }

    #[tokio::test]
    async fn an_audit_log_that_cannot_be_written_stops_verification() {
        let dir = tempfile::tempdir().unwrap();
        let healthy = router(context(dir.path()));
        // No such counter in this box: the message was understood, and refused for that alone.
        assert_eq!(healthy.oneshot(settlement()).await.unwrap().status(), StatusCode::NOT_FOUND);

        let dir = tempfile::tempdir().unwrap();
        let context = context_with_broken_audit_log(dir.path());
        assert!(context.export_audit(&context.watch.audit_export).is_err());
        let counters = Arc::new(Counters::deaf(Arc::clone(&context), "w1".parse().unwrap()));
        let app = Intake::new(Arc::clone(&context), counters, &Zeroizing::new(TOKEN.to_owned())).router();
        let answer = app.clone().oneshot(settlement()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(context.verdicts().get("not_assessed(fault)"), Some(&1));
        let ready = Request::get("/readyz").body(Body::empty()).unwrap();
        assert_eq!(app.oneshot(ready).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
