//! Request ids: one for each request, in its log lines, its answer's header
//! and, where it failed, in the problem's `instance`.
//!
//! A caller may name its own in `X-Request-Id` if it is a UUID; anything else
//! is replaced by a UUIDv7. Other words are not taken over, since the id is
//! logged: a caller that put a settlement's or a cardholder's number there
//! would put it into the log.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument, debug, error_span, info};
use uuid::Uuid;

use super::problem::Problem;

/// The header, in requests and answers.
pub const HEADER: &str = "x-request-id";

/// The caller's id, if it is a UUID as RFC 9562 writes one.
fn given(request: &Request) -> Option<Uuid> {
    let text = request.headers().get(HEADER)?.to_str().ok()?;
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// The routes of a server, as they are written in the program. Logs and metrics
/// name these: a path as it was asked for can hold a settlement's or a
/// cardholder's number, and there is no end of them.
#[derive(Debug, Clone, Copy)]
pub struct Routes(pub &'static [&'static str]);

impl Routes {
    /// The route of a path; `unknown` if it is none of them.
    pub fn of(self, path: &str) -> &'static str {
        let fits = |route: &str| {
            route.split('/').count() == path.split('/').count()
                && route.split('/').zip(path.split('/')).all(|(r, p)| r.starts_with('{') || r == p)
        };
        self.0.iter().copied().find(|r| fits(r)).unwrap_or("unknown")
    }
}

/// Middleware: gives the request its id.
pub async fn identify(State(routes): State<Routes>, request: Request, next: Next) -> Response {
    let id = given(&request).unwrap_or_else(Uuid::now_v7);
    let (method, route) = (request.method().clone(), routes.of(request.uri().path()));
    // At the highest level, so that no filter takes the id from the lines that it lets through.
    let span = error_span!("request", request = %id);
    let answered = async {
        let answer = next.run(request).await;
        let status = answer.status().as_u16();
        if status < 400 {
            debug!(%method, route, status, "answered");
        } else {
            info!(%method, route, status, "refused");
        }
        answer
    };
    let mut answer = name_in_problem(answered.instrument(span).await, id);
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        answer.headers_mut().insert(HEADER, value);
    }
    answer
}

/// Writes the id into an answer that is a problem.
fn name_in_problem(answer: Response, id: Uuid) -> Response {
    let (mut parts, body) = answer.into_parts();
    let Some(mut problem) = parts.extensions.remove::<Problem>() else {
        return Response::from_parts(parts, body);
    };
    problem.instance = Some(id.urn().to_string());
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(problem.to_json()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::StatusCode;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt;

    async fn ask(id: Option<&str>, path: &str) -> Response {
        let refuse = || async { ([("retry-after", "30")], Problem::new(StatusCode::NOT_FOUND, "no")) };
        let app = Router::new()
            .route("/fine", get(|| async { "fine" }))
            .route("/refused", get(refuse))
            .layer(from_fn_with_state(Routes(&["/fine"]), identify));
        let mut request = Request::get(path);
        if let Some(id) = id {
            request = request.header(HEADER, id);
        }
        app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    #[test]
    fn a_route_is_known_by_its_fixed_parts() {
        let routes = Routes(&["/v1/settlements", "/v1/settlements/{id}"]);
        assert_eq!(routes.of("/v1/settlements"), "/v1/settlements");
        assert_eq!(routes.of("/v1/settlements/S1"), "/v1/settlements/{id}");
        assert_eq!(routes.of("/v1/settlements/S1/x"), "unknown");
        assert_eq!(routes.of("/S1"), "unknown");
    }

    #[tokio::test]
    async fn a_uuid_is_taken_over_and_nothing_else_is() {
        let ours = "0190f0a4-5b3c-7d1e-8f00-123456789abc";
        assert_eq!(ask(Some(ours), "/fine").await.headers()[HEADER], ours);
        for theirs in [
            None,
            Some("310101199001011234"),
            Some("S202611220001"),
            Some("0190f0a45b3c7d1e8f00123456789abc"),
        ] {
            let answer = ask(theirs, "/fine").await;
            let id = answer.headers()[HEADER].to_str().unwrap().to_owned();
            assert_eq!(Uuid::try_parse(&id).unwrap().get_version_num(), 7, "{id}");
            assert_ne!(Some(id.as_str()), theirs);
        }
    }

    #[tokio::test]
    async fn a_problem_names_its_request_and_keeps_its_headers() {
        let answer = ask(None, "/refused").await;
        let id = answer.headers()[HEADER].to_str().unwrap().to_owned();
        assert_eq!(answer.headers()["retry-after"], "30");
        let body = axum::body::to_bytes(answer.into_body(), 4096).await.unwrap();
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem.instance, Some(format!("urn:uuid:{id}")));
        assert_eq!(problem.status, 404);
    }
}
