//! `POST /v1/check-ins`: the apps' side, on the console's address.
//!
//! | status | when | what the app does |
//! |---|---|---|
//! | 201 | the fact is kept | shows the verdict |
//! | 400 | no form with parts | is mended |
//! | 401 | no token, or none of an app on record | asks for one |
//! | 404 | check-ins are switched off here | stops |
//! | 408 | the form had not come after 30 s | tries again |
//! | 413 | the photograph is above 8 MiB | sends it smaller |
//! | 422 | a part is missing, unknown or not allowed, or the photograph is no whole picture | is mended |
//! | 429 | too often, by this app or about this cardholder; `Retry-After` | waits |
//! | 503 | too many at once, or the store failed; `Retry-After` | waits |
//!
//! Whoever may call is known before anything of the form is read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};

use super::parts::{MOST_PHOTO, PartsError, Sent};
use super::{CheckIns, Refusal};
use crate::bureau::metrics;
use crate::bureau::store::CheckIn;
use crate::http::openapi::Operation;
use crate::http::problem::Problem;
use crate::protocol::check_in::{CHECK_INS_PATH, CheckInAnswer, CheckInRequest};

/// The route; it answers 404 where there are no check-ins.
pub fn router(check_ins: Option<Arc<CheckIns>>) -> Router {
    Router::new()
        .route(CHECK_INS_PATH, post(receive))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "a photograph is posted; see docs/contracts.md")
        })
        .with_state(check_ins)
}

/// The route as OpenAPI.
pub fn operation() -> Operation {
    Operation::new(
        "post",
        CHECK_INS_PATH,
        "One photograph, compared with one cardholder; on the console's address.",
    )
    .header::<String>("authorization")
    .takes::<CheckInRequest>("multipart/form-data")
    .answers::<CheckInAnswer>(201, "The fact is kept, the photograph is not.")
    .refuses(&[400, 401, 404, 408, 413, 422, 429, 503])
}

async fn receive(
    State(check_ins): State<Option<Arc<CheckIns>>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Response> {
    let Some(check_ins) = check_ins else { return Err(unread(off().into_response())) };
    let token = bearer(&headers);
    let by = token.and_then(|t| check_ins.app(t)).ok_or_else(|| unread(stranger(token)))?;
    let room = check_ins.room(&by).map_err(|e| unread(refused(e)))?;
    let sent = Sent::read(request, |csrf| csrf.is_none()).await.map_err(|e| unfit(e).into_response())?;
    let made = check_ins.check(room, &by, sent).await.map_err(refused)?;
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, no_store, Json(answer(made))).into_response())
}

/// An answer before the photograph was read: the connection ends with it, and the app is
/// told, so that it does not send its next one into a closed one.
fn unread(mut answer: Response) -> Response {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn off() -> Problem {
    let detail = "check-ins are switched off at this bureau: its configuration has no [check_ins]";
    Problem::new(StatusCode::NOT_FOUND, detail)
}

fn answer(made: CheckIn) -> CheckInAnswer {
    let CheckIn { id, at, verdict, reason, score_band, .. } = made;
    CheckInAnswer { check_in: id, at, verdict, reason, score_band }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    given.and_then(|v| v.strip_prefix("Bearer ")).map(str::trim)
}

/// The answer to whoever is no app on record.
fn stranger(token: Option<&str>) -> Response {
    metrics::check_in_refused("unauthorized");
    let found = if token.is_some() { "a token of no app on record" } else { "no bearer token" };
    let detail =
        format!("found {found}; expected `Authorization: Bearer …` with the token of one of check_ins.apps");
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn unfit(e: PartsError) -> Problem {
    match e {
        PartsError::Form(what) => Problem::new(
            StatusCode::BAD_REQUEST,
            format!("{what}: send multipart/form-data with cardholder, purpose, place and photograph"),
        ),
        PartsError::Foreign => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "the part csrf is a page's; an app sends its token").about("csrf")
        }
        PartsError::TooLarge => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the photograph has more than {MOST_PHOTO} bytes: send it smaller, 1600 pixels on the longer side are plenty"),
        )
        .about("photograph"),
        PartsError::TooSlow => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "the form had not come after 30 s: send it again")
        }
        PartsError::Part(name, what) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, what).about(name),
    }
}

fn refused(refusal: Refusal) -> Response {
    metrics::check_in_refused(refusal.as_str());
    let later = |status, detail: &str, seconds: u64| {
        let mut response = Problem::new(status, detail).into_response();
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        response
    };
    match refusal {
        Refusal::TooOften(wait) => {
            let detail = "too many check-ins in a minute, of this app or about this cardholder: wait";
            later(StatusCode::TOO_MANY_REQUESTS, detail, wait)
        }
        Refusal::Busy(wait) => later(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many check-ins at once: nothing was read; try again",
            wait,
        ),
        Refusal::Unreadable(what) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, what).about("photograph").into_response()
        }
        Refusal::Store(error) => {
            tracing::error!(%error, "the store failed");
            later(
                StatusCode::SERVICE_UNAVAILABLE,
                "the bureau's store failed; nothing was kept: try again later",
                30,
            )
        }
    }
}
