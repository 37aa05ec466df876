//! What people see: the console.
//!
//! Promises: nobody sees anything about a person before signing in, and nobody
//! whose role the route does not name; every look at a person's data is in the
//! record of acts before it is shown; no inline script or style, a strict content
//! policy, nothing cached; Chinese and English. Without TLS it listens on loopback
//! alone. It answers only a `Host` that is configured, without TLS one that is
//! loopback, so that a page of another site cannot reach it through a name of its own.
//!
//! [`route`] is the table of all routes with who may use them, [`visitor`] the gate
//! before each, [`frame`] what stands around every page, [`words`] the sentences,
//! [`failure`] what goes wrong. Each other module is a page or a few that belong
//! together. No decision about an alert is made here; people make them.

mod abnormal;
mod account;
mod accounts;
mod acts;
mod agents_json;
mod alert;
mod alerts_json;
mod boxes;
mod cases;
mod check_in;
mod check_ins;
mod failure;
mod feed;
mod frame;
mod home;
mod incoming;
mod ledger;
mod letter;
mod matters;
mod one_box;
mod openapi;
mod parts;
mod privacy;
mod queue;
mod queue_asked;
mod queue_blind;
mod queue_page;
mod reports;
mod rights;
mod rollouts;
mod route;
mod shown;
mod sign_in;
mod single_sign_on;
mod statistics;
mod statistics_page;
mod transfers;
mod upload;
mod visitor;
mod words;
mod yearly;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use askama::Template;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use self::failure::Failure;
use self::feed::Feed;
use self::visitor::Visitor;
use super::accounts::Roles;
use super::accounts::oidc::SignOn;
use super::cases::Practice;
use super::check_ins::{self as check_ins_of, CheckIns};
use super::config::ConsoleConfig;
use super::figures::settings::FiguresConfig;
use super::join::Codes;
use super::rate::Limiter;
use super::retention::Retention;
use super::review::ReviewConfig;
use super::rights::RightsConfig;
use super::store::{Act, SessionLimits, Store, StoreError};
use crate::clock::Clock;
use crate::crypto::sign::SigningKey;
use crate::http::loopback;
use crate::http::openapi::OpenApi;
use crate::http::problem::Problem;
use crate::http::request::{self, Routes};
use crate::http::server::PeerAddress;
use crate::protocol::check_in::CHECK_INS_PATH;

const STYLE: &str =
    concat!(include_str!("../../../templates/colours.css"), include_str!("../../../templates/console.css"));
const ICON: &str = include_str!("../../../templates/icon.svg");
const SCRIPT: &str = include_str!("../../../templates/console.js");
const CAMERA_SCRIPT: &str = include_str!("../../../templates/check_in.js");

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What the pages are made of.
pub struct Console {
    store: Arc<Store>,
    config: ConsoleConfig,
    retention: Retention,
    /// What statistics are judged by.
    figures: FiguresConfig,
    /// When answers about alerts are due.
    review: ReviewConfig,
    clock: Arc<dyn Clock>,
    /// Signs what supervisors order.
    key: Arc<SigningKey>,
    /// Makes codes by which boxes join, where they can.
    codes: Option<Codes>,
    rights: RightsConfig,
    /// Pages that are open.
    feed: Feed,
    /// Whether the store was found to be made up: then it stays so.
    made_up: AtomicBool,
    /// The bureau's own single sign-on, where there is one.
    single_sign_on: Option<SignOn>,
    /// How often one address may try to sign in, and all of them together.
    tries: (Limiter<IpAddr>, Limiter<()>),
    /// How cases are handled.
    practice: Practice,
    /// Takes photographs from telephones, where that is declared.
    check_ins: Option<Arc<CheckIns>>,
}

/// Attempts to sign in that one address may make in a minute.
const TRIES_OF_ONE: u32 = 30;
/// And all addresses together: passwords tried over many names come no faster.
const TRIES_OF_ALL: u32 = 120;

impl Console {
    /// Shows what the store holds.
    pub fn new(
        store: Arc<Store>,
        config: ConsoleConfig,
        retention: Retention,
        clock: Arc<dyn Clock>,
        key: Arc<SigningKey>,
    ) -> Self {
        let (feed, made_up) = (Feed::new(), AtomicBool::new(false));
        let (figures, rights) = (FiguresConfig::default(), RightsConfig::default());
        let review = ReviewConfig::default();
        let (codes, single_sign_on, check_ins) = (None, None, None);
        let tries = (Limiter::new(TRIES_OF_ONE), Limiter::new(TRIES_OF_ALL));
        let practice = Practice::default();
        Self {
            store,
            config,
            retention,
            figures,
            review,
            clock,
            key,
            codes,
            rights,
            feed,
            made_up,
            single_sign_on,
            tries,
            practice,
            check_ins,
        }
    }

    /// Judges statistics by this.
    #[must_use]
    pub fn with_figures(mut self, figures: FiguresConfig) -> Self {
        self.figures = figures;
        self
    }

    /// With these times for answers about alerts.
    #[must_use]
    pub fn with_review(mut self, review: ReviewConfig) -> Self {
        self.review = review;
        self
    }

    /// With cases handled as the configuration says.
    #[must_use]
    pub fn with_practice(mut self, practice: Practice) -> Self {
        self.practice = practice;
        self
    }

    /// With photographs from telephones, if they are taken.
    #[must_use]
    pub fn with_check_ins(mut self, check_ins: Option<Arc<CheckIns>>) -> Self {
        self.check_ins = check_ins;
        self
    }

    /// The same, with what makes codes for joining and the deadline of requests.
    #[must_use]
    pub fn with(mut self, codes: Option<Codes>, rights: RightsConfig) -> Self {
        (self.codes, self.rights) = (codes, rights);
        self
    }

    /// Tells open pages what happens; never ends by itself.
    pub async fn keep_telling(&self) {
        self.feed.keep_watching(&self.store, self.clock.as_ref()).await;
    }

    /// Lets every open page go.
    pub fn end_streams(&self) {
        self.feed.end();
    }

    /// Whether what the bureau holds is made up. It may become so while this runs.
    async fn is_made_up(&self) -> Result<bool, StoreError> {
        if !self.made_up.load(Ordering::Relaxed) && self.store.is_made_up().await? {
            self.made_up.store(true, Ordering::Relaxed);
        }
        Ok(self.made_up.load(Ordering::Relaxed))
    }

    /// Lets people sign in there, too.
    #[must_use]
    pub fn with_single_sign_on(self, sign_on: SignOn) -> Self {
        Self { single_sign_on: Some(sign_on), ..self }
    }

    /// The cookie in which a session's secret stands. The prefix makes browsers refuse
    /// one that was set for another path or host; they know it over TLS only.
    fn cookie_name(&self) -> &'static str {
        if self.config.tls.is_some() { "__Host-counterproof-session" } else { "counterproof-session" }
    }

    /// Counts an attempt to sign in.
    ///
    /// # Errors
    /// If there were too many from this address, or from all.
    fn try_from(&self, from: PeerAddress) -> Result<(), Failure> {
        let now = self.clock.now().boot;
        // One address that tries too often must not use up what all the others have.
        let one = self.tries.0.admit(&from.0, now);
        one.and_then(|()| self.tries.1.admit(&(), now)).map_err(|_| Failure::too_many())
    }

    fn session_limits(&self) -> SessionLimits {
        let minutes = |n: u32| i64::from(n) * 60_000;
        SessionLimits {
            idle_ms: minutes(self.config.session_idle_minutes),
            whole_ms: minutes(self.config.session_hours.saturating_mul(60)),
        }
    }

    /// Writes down what somebody is about to see or do; `about` is an alert, a case, a
    /// box or a mark, never a cardholder's number.
    ///
    /// # Errors
    /// If it cannot be written: then it is not shown, and not done.
    async fn note(&self, visitor: &Visitor, what: &str, about: &str, detail: String) -> Result<(), Failure> {
        self.note_of(visitor.account()?.as_str(), what, about, detail).await
    }

    async fn note_of(&self, by: &str, what: &str, about: &str, detail: String) -> Result<(), Failure> {
        let (at, by) = (self.clock.now().wall, by.to_owned());
        Ok(self.store.act(&Act { at, by, what: what.into(), about: about.into(), detail }).await?)
    }
}

/// What can be opened, by its route's path; tests look at every page.
pub fn places() -> Vec<&'static str> {
    route::all().iter().filter(|r| r.method == Method::GET).map(|r| r.path).collect()
}

/// Adds the console's documents for machines.
pub fn describe(document: OpenApi) -> OpenApi {
    openapi::operations().into_iter().fold(document, OpenApi::with)
}

/// A page as an answer.
fn page(visitor: &Visitor, page: &impl Template) -> Result<Response, Failure> {
    let language =
        [(header::CONTENT_LANGUAGE, visitor.language.tag()), (header::VARY, "Accept-Language, Cookie")];
    Ok((language, Html(page.render()?)).into_response())
}

/// The people's side of the bureau.
pub fn router(console: Arc<Console>) -> Router {
    let table = route::all();
    let names = Names::of(&console.config);
    // Leaked once at the start: the table is made of parts, and logs name routes for ever.
    let paths: Vec<&'static str> = table
        .iter()
        .map(|r| r.path)
        .chain(["/console.css", "/console.js", "/check-in.js", "/icon.svg", CHECK_INS_PATH])
        .collect();
    let apps = check_ins_of::api::router(console.check_ins.clone());
    let paths = Routes(Vec::leak(paths));
    let file =
        |kind: &'static str, text: &'static str| get(async move || ([(header::CONTENT_TYPE, kind)], text));
    route::router(&console, table)
        .route("/console.css", file("text/css; charset=utf-8", STYLE))
        .route("/console.js", file("text/javascript; charset=utf-8", SCRIPT))
        .route("/check-in.js", file("text/javascript; charset=utf-8", CAMERA_SCRIPT))
        .route("/icon.svg", file("image/svg+xml", ICON))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing here; the first page is /"))
        .with_state(console)
        .merge(apps)
        .layer(from_fn_with_state(names, guard))
        .layer(from_fn_with_state(paths, request::identify))
}

/// By which names the console is reached.
#[derive(Debug, Clone)]
enum Names {
    /// Without TLS: by loopback's.
    Loopback,
    /// With it: by these.
    Configured(Vec<String>),
}

impl Names {
    fn of(config: &ConsoleConfig) -> Self {
        match config.tls {
            Some(_) => Self::Configured(config.names.clone()),
            None => Self::Loopback,
        }
    }

    fn refusal(&self, request: &Request) -> Option<Response> {
        let (fits, detail) = match self {
            Self::Loopback => (
                loopback::is_named(request),
                "the console answers to localhost, 127.0.0.1 and [::1] alone".to_owned(),
            ),
            Self::Configured(names) => (
                loopback::host(request).is_some_and(|h| names.iter().any(|n| n.eq_ignore_ascii_case(&h))),
                format!("the console answers to {} alone (console.names)", names.join(", ")),
            ),
        };
        (!fits).then(|| Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).into_response())
    }
}

/// On the answer of the one page that may use the visitor's camera.
#[derive(Debug, Clone, Copy)]
struct UsesCamera;

/// Refuses other names than ours, and adds the headers of every answer.
async fn guard(State(names): State<Names>, request: Request, next: Next) -> Response {
    let mut response = match names.refusal(&request) {
        Some(refused) => refused,
        None => next.run(request).await,
    };
    let uses_camera = response.extensions().get::<UsesCamera>().is_some();
    loopback::harden(&mut response, POLICY);
    let headers = response.headers_mut();
    if uses_camera {
        let camera = HeaderValue::from_static("camera=(self), microphone=(), geolocation=()");
        headers.insert("permissions-policy", camera);
    }
    // With `no-referrer` browsers send `Origin: null` with our own forms, too, and older
    // ones say nothing else of where a form comes from.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    if matches!(names, Names::Configured(_)) {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    response
}

/// The table of the routes, for whoever checks it: method, path, who may use it.
pub fn table() -> Vec<(String, &'static str, String)> {
    let word = |needs| match needs {
        route::Needs::Nobody => "nobody".to_owned(),
        route::Needs::SignedIn => "signed_in".to_owned(),
        route::Needs::Roles(roles) => Roles::new(roles.iter().copied()).to_string(),
    };
    route::all().into_iter().map(|r| (r.method.to_string(), r.path, word(r.needs))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_are_one_file_each_and_ask_for_nothing_else() {
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
        assert!(STYLE.contains("prefers-color-scheme"));
        for script in [SCRIPT, CAMERA_SCRIPT] {
            assert!(!script.contains("eval(") && !script.contains("innerHTML") && !script.contains("http"));
        }
    }
}
