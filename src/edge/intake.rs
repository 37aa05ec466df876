//! Intake: the HIS says that a card is being settled.
//!
//! `POST /v1/settlements`: 202 new, 200 repeated, 400 not JSON, 401 no token,
//! 404 unknown counter, 409 same number with another content, 413 over 64 KiB,
//! 415 not `application/json`, 422 a field is wrong, 503 the box cannot verify
//! now, or too many settlements wait for the journal already (either is
//! counted as not assessed). `DELETE /v1/settlements/{id}`: 204, whatever
//! has become of it; a cancellation that comes first is remembered.
//! `PUT /v1/rosters/{counter}/{shift}` says who is expected at an entrance: 201 new, 200
//! the same again, 404 no such entrance, 409 it has begun or lies in another's time, 422;
//! `POST …/close` ends the shift and names the sessions that were billed.
//! `POST /v1/his/nhsa` and `POST /v1/his/fhir` take the HIS's own messages
//! ([`super::his`]), `POST /v1/his/nhsa/answers` what the national platform answered:
//! 202 and 200 for a settlement, 204 for anything else; any content type, since these
//! messages have many. `GET /healthz`: 200 while every part of the program gets on, else
//! 503 and which does not. `GET /readyz`: 200 while it can verify, else 503 and why not.
//! Every answer carries its request's id (`http::request`).
//!
//! What is done with a message is for [`super::desk`].

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::crypto::Sha256;
use crate::http::metrics::health;
use crate::http::problem::Problem;
use crate::http::request::{self, Routes};
use crate::protocol::id::{CounterId, SettlementId, ShiftId};
use crate::protocol::roster::{Close, Closed, Roster};
use crate::protocol::settlement::{self, MAX_BODY, Settlement, SettlementError};

use super::desk::{Desk, Taken};
use super::his::{Dialect, Misread, nhsa, senders};
use super::metrics;

/// As logs and metrics name them.
pub(super) const ROUTES: Routes = Routes(&[
    "/v1/settlements",
    "/v1/settlements/{id}",
    "/v1/his/nhsa",
    "/v1/his/nhsa/answers",
    "/v1/his/fhir",
    "/v1/rosters/{counter}/{shift}",
    "/v1/rosters/{counter}/{shift}/close",
    "/healthz",
    "/readyz",
]);

/// Largest body of a HIS's own message: a registration may hold a photograph, which is
/// dropped.
const MAX_HIS_BODY: usize = 4 * 1024 * 1024;

/// What the handlers need.
#[derive(Clone)]
pub struct Intake {
    desk: Arc<Desk>,
    token: Sha256,
}

impl Intake {
    /// Joins the parts; only the token's digest is kept.
    pub fn new(desk: Arc<Desk>, token: &Zeroizing<String>) -> Self {
        Self { desk, token: Sha256::of(token.as_bytes()) }
    }

    /// The routes.
    pub fn router(self) -> Router {
        let his = Router::new()
            .route("/v1/his/nhsa", post(hear_nhsa))
            .route("/v1/his/nhsa/answers", post(hear_nhsa_answer))
            .route("/v1/his/fhir", post(hear_fhir))
            .layer(DefaultBodyLimit::max(MAX_HIS_BODY));
        let guarded = Router::new()
            .route("/v1/settlements", post(settle))
            .route("/v1/settlements/{id}", delete(cancel))
            .route("/v1/rosters/{counter}/{shift}", put(expect))
            .route("/v1/rosters/{counter}/{shift}/close", post(close))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .merge(his)
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

fn whole(body: Result<Bytes, BytesRejection>, most: usize) -> Result<Bytes, Problem> {
    body.map_err(|e| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {most} bytes"))
        }
        _ => Problem::from(e),
    })
}

fn answer(taken: Taken) -> Response {
    let (status, verification_id) = match taken {
        Taken::Settlement(id) => (StatusCode::ACCEPTED, id),
        Taken::Again(id) => (StatusCode::OK, id),
        Taken::Noted => return StatusCode::NO_CONTENT.into_response(),
    };
    (status, Json(settlement::Accepted { verification_id })).into_response()
}

async fn settle(
    State(intake): State<Intake>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    is_json(&headers)?;
    let settlement = Settlement::from_json(&whole(body, MAX_BODY)?).map_err(not_understood)?;
    intake.desk.settle(settlement).await.map(answer)
}

async fn cancel(State(intake): State<Intake>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let id: SettlementId =
        id.parse().map_err(|e| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{e}")).about("id"))?;
    intake.desk.cancel(id).await.map(|()| StatusCode::NO_CONTENT)
}

/// The entrance and the shift that a path names.
fn named_shift(counter: &str, shift: &str) -> Result<(CounterId, ShiftId), Problem> {
    let bad = |field: &str, what: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, what).about(field);
    let counter = counter.parse().map_err(|e| bad("counter", format!("{e}")))?;
    let shift = shift.parse().map_err(|e| bad("shift", format!("{e}")))?;
    Ok((counter, shift))
}

async fn expect(
    State(intake): State<Intake>,
    Path((counter, shift)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    is_json(&headers)?;
    let (counter, shift) = named_shift(&counter, &shift)?;
    let roster = Roster::from_json(&whole(body, MAX_BODY)?).map_err(not_understood)?;
    intake.desk.expect(&counter, shift, roster).await
}

async fn close(
    State(intake): State<Intake>,
    Path((counter, shift)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Closed>, Problem> {
    is_json(&headers)?;
    let (counter, shift) = named_shift(&counter, &shift)?;
    let close = Close::from_json(&whole(body, MAX_BODY)?).map_err(not_understood)?;
    intake.desk.close(&counter, shift, close.billed).await.map(Json)
}

/// The counter that a sender names itself.
fn named_counter(headers: &HeaderMap) -> Result<Option<CounterId>, Problem> {
    let Some(value) = headers.get(senders::HEADER) else { return Ok(None) };
    let bad = |what: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, what).about(senders::HEADER);
    let text = value.to_str().map_err(|_| bad("the header is not ASCII".into()))?;
    text.parse().map(Some).map_err(|e| bad(format!("{e}")))
}

fn misread(dialect: Dialect, e: Misread) -> Problem {
    metrics::misread(dialect);
    let status = if e.path == "body" { StatusCode::BAD_REQUEST } else { StatusCode::UNPROCESSABLE_ENTITY };
    Problem::new(status, e.what).about(e.path)
}

async fn hear(
    intake: &Intake,
    dialect: Dialect,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let message = dialect.read(&whole(body, MAX_HIS_BODY)?).map_err(|e| misread(dialect, e))?;
    intake.desk.hear(message, named_counter(headers)?).await.map(answer)
}

async fn hear_nhsa(
    State(intake): State<Intake>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    hear(&intake, Dialect::Nhsa, &headers, body).await
}

async fn hear_fhir(
    State(intake): State<Intake>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    hear(&intake, Dialect::Fhir, &headers, body).await
}

/// The request that an answer belongs to: the platform's answer does not say it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerTo {
    infno: Option<String>,
    msgid: Option<SettlementId>,
}

async fn hear_nhsa_answer(
    State(intake): State<Intake>,
    query: Result<Query<AnswerTo>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Query(AnswerTo { infno, msgid }) = query.map_err(|e| {
        let detail = format!("{}: name the request as ?infno=2207&msgid=…", e.body_text());
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).about("msgid")
    })?;
    let asked = nhsa::Asked { kind: infno, request: msgid };
    let body = whole(body, MAX_HIS_BODY)?;
    let message = nhsa::response(&asked, &body).map_err(|e| misread(Dialect::Nhsa, e))?;
    intake.desk.hear(message, None).await.map(answer)
}

async fn healthy(State(intake): State<Intake>) -> Result<&'static str, Problem> {
    health(intake.desk.context().watch.hearts.complaint())
}

async fn ready(State(intake): State<Intake>) -> Result<&'static str, Problem> {
    let trouble = intake.desk.context().trouble().map(|t| t.to_string());
    health(trouble.or_else(|| intake.desk.context().watch.hearts.complaint())).map(|_| "ready\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::context::Context;
    use crate::edge::context::tests::{context, context_with_broken_audit_log};
    use crate::edge::counter::Counters;
    use crate::edge::desk::MOST_WAITING;
    use crate::edge::entrance::Entrances;
    use crate::edge::references::References;
    use axum::body::Body;
    use tower::ServiceExt;

    const TOKEN: &str = "a-token-of-more-than-24-characters";

    fn intake(context: Arc<Context>, counters: Counters) -> Intake {
        crate::crypto::tls::install_provider();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let nowhere = References::new(client, "https://localhost:1", std::time::Duration::ZERO, Vec::new());
        let entrances = Arc::new(Entrances::none(Arc::clone(&context)));
        let desk = Desk::new(context, Arc::new(counters), entrances, nowhere);
        Intake::new(Arc::new(desk), &Zeroizing::new(TOKEN.to_owned()))
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
        let counters = Counters::deaf(Arc::clone(&context), "w1".parse().unwrap());
        let intake = intake(Arc::clone(&context), counters);
        let journal = Arc::clone(&intake.desk.journal);
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
        let context_of_healthy = context(dir.path());
        let counters = Counters::none(Arc::clone(&context_of_healthy));
        let healthy = intake(context_of_healthy, counters).router();
        // No such counter in this box: the message was understood, and refused for that alone.
        assert_eq!(healthy.oneshot(settlement()).await.unwrap().status(), StatusCode::NOT_FOUND);

        let dir = tempfile::tempdir().unwrap();
        let context = context_with_broken_audit_log(dir.path());
        assert!(context.export_audit(&context.watch.audit_export).is_err());
        let counters = Counters::deaf(Arc::clone(&context), "w1".parse().unwrap());
        let app = intake(Arc::clone(&context), counters).router();
        let answer = app.clone().oneshot(settlement()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(context.verdicts().get("not_assessed(fault)"), Some(&1));
        let ready = Request::get("/readyz").body(Body::empty()).unwrap();
        assert_eq!(app.oneshot(ready).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
