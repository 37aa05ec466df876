//! The page of aiming and what its script asks for.
//!
//! Everything lies under the address's first part, a token of this one run:
//! another is told nothing. `GET /T/`, `aim.css`, `aim.js`: the page. `GET
//! /T/view.json`: one look. `GET /T/picture.png`: the blocks; 404 without
//! `--picture`, 410 when their time is over. `POST /T/region`: writes it into
//! the configuration; 422 if it is none. `POST /T/end`. Errors are problems
//! (RFC 9457). Only a `Host` that is loopback is answered.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use askama::Template;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tracing::{error, info};

use crate::crypto::Sha256;
use crate::edge::views::Views;
use crate::frame::Region;
use crate::http::language::{self, Language};
use crate::http::loopback;
use crate::http::problem::Problem;
use crate::http::request::{self, Routes};
use crate::protocol::id::CounterId;

use super::looker::{Looker, View};
use super::messages::{self, Word};
use super::region::{self, RegionError};
use super::{Asked, PICTURE, record};

const STYLE: &str =
    concat!(include_str!("../../../templates/colours.css"), include_str!("../../../templates/aim.css"));
const SCRIPT: &str = include_str!("../../../templates/aim.js");
/// A region is four numbers.
const MAX_BODY: usize = 1024;

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// As logs name them.
const ROUTES: Routes = Routes(&[
    "/{token}/",
    "/{token}/aim.css",
    "/{token}/aim.js",
    "/{token}/view.json",
    "/{token}/picture.png",
    "/{token}/region",
    "/{token}/reference",
    "/{token}/end",
]);

/// What was shown and changed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    pub(super) looks: u64,
    pub(super) pictures: u64,
    pub(super) regions: u64,
    pub(super) references: u64,
}

/// One aiming.
pub(super) struct Aim {
    looker: Mutex<Option<Looker>>,
    region: Mutex<Region>,
    config: PathBuf,
    /// The state folder.
    state: PathBuf,
    counter: CounterId,
    /// Of the token: comparing digests takes a time that tells nothing of it.
    token: Sha256,
    until: Instant,
    picture: bool,
    /// When the picture was first shown.
    shown: Mutex<Option<Instant>>,
    told: Mutex<Told>,
    end: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Aim {
    pub(super) fn new(
        looker: Looker,
        region: Region,
        state: &Path,
        asked: &Asked,
        token: &str,
        time: Duration,
    ) -> Self {
        Self {
            state: state.to_owned(),
            looker: Mutex::new(Some(looker)),
            region: Mutex::new(region),
            config: asked.config.clone(),
            counter: asked.counter.clone(),
            token: Sha256::of(token.as_bytes()),
            until: Instant::now() + time,
            picture: asked.picture,
            shown: Mutex::new(None),
            told: Mutex::default(),
            end: Notify::new(),
        }
    }

    pub(super) fn told(&self) -> Told {
        *lock(&self.told)
    }

    pub(super) fn take_looker(&self) -> Option<Looker> {
        lock(&self.looker).take()
    }

    pub(super) async fn told_to_end(&self) {
        self.end.notified().await;
    }

    /// How long the picture is still shown; `None` if it is not, or no more.
    fn picture_left(&self) -> Option<Duration> {
        left(lock(&self.shown).map_or(Duration::ZERO, |s| s.elapsed())).filter(|_| self.picture)
    }

    /// Runs a look off the async threads: cameras and models block.
    async fn look<R: Send + 'static>(
        self: Arc<Self>,
        look: impl FnOnce(&mut Looker, Region) -> Result<R, crate::vision::model::ModelError> + Send + 'static,
    ) -> Result<R, Problem> {
        let failed = |e: String| {
            error!(error = e, "a look failed");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e)
        };
        let work = move || {
            let region = *lock(&self.region);
            let mut looker = lock(&self.looker);
            looker.as_mut().map(|l| look(l, region))
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Some(Ok(seen))) => Ok(seen),
            Ok(Some(Err(e))) => Err(failed(e.to_string())),
            Ok(None) => Err(Problem::new(StatusCode::GONE, "aiming has ended")),
            Err(e) => Err(failed(e.to_string())),
        }
    }
}

/// How long the picture is still shown when it was shown for so long.
fn left(shown: Duration) -> Option<Duration> {
    PICTURE.checked_sub(shown).filter(|left| !left.is_zero())
}

/// The page and what it asks for.
pub(super) fn router(aim: Arc<Aim>) -> Router {
    let typed =
        |media: &'static str, text: &'static str| get(async move || ([(header::CONTENT_TYPE, media)], text));
    Router::new()
        .route("/{token}/", get(page))
        .route("/{token}/aim.css", typed("text/css; charset=utf-8", STYLE))
        .route("/{token}/aim.js", typed("text/javascript; charset=utf-8", SCRIPT))
        .route("/{token}/view.json", get(view))
        .route("/{token}/picture.png", get(picture))
        .route("/{token}/region", post(write_region))
        .route("/{token}/reference", post(keep_reference))
        .route("/{token}/end", post(end))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .fallback(async || nothing_here())
        .layer(from_fn_with_state(Arc::clone(&aim), guard))
        .layer(from_fn_with_state(ROUTES, request::identify))
        .with_state(aim)
}

fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing here: use the whole address that `aim` printed")
}

/// Answers loopback names and this run's token alone.
async fn guard(State(aim): State<Arc<Aim>>, request: Request, next: Next) -> Response {
    let token = request.uri().path().split('/').nth(1).unwrap_or_default();
    let ours = Sha256::of(token.as_bytes()) == aim.token;
    let mut response = if !loopback::is_named(&request) {
        let detail = "the page answers to localhost, 127.0.0.1 and [::1] alone";
        Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).into_response()
    } else if ours {
        next.run(request).await
    } else {
        nothing_here().into_response()
    };
    loopback::harden(&mut response, POLICY);
    response
}

/// The page as the template sees it.
#[derive(Template)]
#[template(path = "aim.html")]
struct Page {
    language: Language,
    lang: &'static str,
    other: &'static str,
    counter: String,
    picture: bool,
    words: Vec<Word>,
}

impl Page {
    fn word(&self, name: &str) -> &'static str {
        messages::word(self.language, name)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    lang: Option<String>,
}

async fn page(
    State(aim): State<Arc<Aim>>,
    headers: HeaderMap,
    chosen: Result<Query<Chosen>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(chosen) = chosen.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let language = language::of_request(chosen.lang.as_deref(), &headers);
    let page = Page {
        language,
        lang: language.tag(),
        other: language.other().tag(),
        counter: aim.counter.to_string(),
        picture: aim.picture,
        words: messages::words(language),
    };
    let html = page.render().map_err(|e| {
        error!(error = %e, "the page cannot be made");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be made")
    })?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_LANGUAGE, language.tag()),
        (header::VARY, "Accept-Language"),
    ];
    Ok((headers, html).into_response())
}

#[derive(Serialize)]
struct ViewJson {
    left_s: u64,
    /// Seconds for which the picture is still shown.
    picture_left_s: Option<u64>,
    region: region::Asked,
    #[serde(flatten)]
    view: View,
}

async fn view(State(aim): State<Arc<Aim>>) -> Result<Json<ViewJson>, Problem> {
    let view = Arc::clone(&aim).look(|looker, region| looker.view(&region)).await?;
    lock(&aim.told).looks += 1;
    let left_s = aim.until.saturating_duration_since(Instant::now()).as_secs();
    let picture_left_s = aim.picture_left().map(|l| l.as_secs());
    let region = (*lock(&aim.region)).into();
    Ok(Json(ViewJson { left_s, picture_left_s, region, view }))
}

async fn picture(State(aim): State<Arc<Aim>>) -> Result<Response, Problem> {
    if !aim.picture {
        return Err(nothing_here());
    }
    lock(&aim.shown).get_or_insert_with(Instant::now);
    let over = || Problem::new(StatusCode::GONE, "the picture was shown for its 60 s");
    aim.picture_left().ok_or_else(over)?;
    let mosaic = Arc::clone(&aim).look(|looker, _| looker.picture()).await?;
    let none = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no picture has come from the camera yet");
    let png = mosaic.ok_or_else(none)?.png().map_err(|e| {
        error!(error = %e, "the blocks cannot be encoded");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the blocks cannot be encoded")
    })?;
    // A look can take its time: what comes after the end is not shown.
    aim.picture_left().ok_or_else(over)?;
    lock(&aim.told).pictures += 1;
    Ok(([(header::CONTENT_TYPE, "image/png")], png).into_response())
}

async fn write_region(
    State(aim): State<Arc<Aim>>,
    asked: Result<Json<region::Asked>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(asked) = asked.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    let region = asked.region().map_err(|e| refused(&e))?;
    let (path, counter) = (aim.config.clone(), aim.counter.clone());
    let written = tokio::task::spawn_blocking(move || region::write(&path, &counter, asked)).await;
    let written = written
        .map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?
        .map_err(|e| refused(&e))?;
    *lock(&aim.region) = region;
    lock(&aim.told).regions += 1;
    info!(counter = %aim.counter, "the region was written into the configuration");
    Ok(Json(written).into_response())
}

fn refused(e: &RegionError) -> Problem {
    let status = match e {
        RegionError::Outside(..) => StatusCode::UNPROCESSABLE_ENTITY,
        RegionError::NoCounter(..) | RegionError::Refused(_) => StatusCode::CONFLICT,
        RegionError::Io { .. } => StatusCode::FORBIDDEN,
    };
    Problem::new(status, e.to_string())
}

async fn keep_reference(State(aim): State<Arc<Aim>>) -> Result<StatusCode, Problem> {
    let view = Arc::clone(&aim).look(|looker, _| Ok(looker.reference())).await?;
    let none = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no picture has come from the camera yet");
    let view = view.ok_or_else(none)?;
    let view = view.map_err(|e| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, e.to_string()))?;
    let views = Views::of(&aim.state);
    let kept = views.remember(&aim.counter, &view).map_err(|e| e.to_string());
    let kept = kept.and_then(|()| record::hand_over(&aim.state, views.folder()).map_err(|e| e.to_string()));
    kept.map_err(|e| Problem::new(StatusCode::FORBIDDEN, e))?;
    lock(&aim.told).references += 1;
    info!(counter = %aim.counter, "the view was kept as the one to come back to");
    Ok(StatusCode::NO_CONTENT)
}

async fn end(State(aim): State<Arc<Aim>>) -> StatusCode {
    aim.end.notify_one();
    StatusCode::NO_CONTENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_ends_after_a_minute() {
        assert_eq!(left(Duration::ZERO), Some(PICTURE));
        assert_eq!(left(Duration::from_secs(59)), Some(Duration::from_secs(1)));
        assert_eq!(left(PICTURE), None);
        assert_eq!(left(Duration::from_secs(3600)), None);
        assert_eq!(PICTURE, Duration::from_secs(60));
    }

    #[test]
    fn the_style_and_the_script_ask_for_nothing_else() {
        for text in [STYLE, SCRIPT] {
            // The name of SVG's namespace is no address that is asked.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("url(") && !text.contains("@import") && !text.contains("http"), "{text}");
        }
        assert!(STYLE.contains("prefers-color-scheme"));
    }
}
