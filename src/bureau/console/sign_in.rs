//! Signing in and out, and the choice of language.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::handler::Handler;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::frame::Frame;
use super::parts::Nothing;
use super::route::{Needs, Route};
use super::visitor::{LANGUAGE_COOKIE, Open, Posted, Visitor, begin_session, farewell, inside, with_cookie};
use super::{Console, page};
use crate::bureau::accounts::{self, Attempt};
use crate::http::server::PeerAddress;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/sign-in", Needs::Nobody, show),
        Route::post("/sign-in", Needs::Nobody, sign_in.layer(DefaultBodyLimit::max(MOST_FORM))),
        Route::post("/sign-out", Needs::SignedIn, sign_out),
        Route::get("/language/{tag}", Needs::Nobody, choose_language),
    ]
}

#[derive(Template)]
#[template(path = "console/sign_in.html")]
struct SignInPage<'a> {
    frame: Frame<'a>,
    back: String,
    name: String,
    trouble: Option<String>,
    has_single_sign_on: bool,
}

/// Most bytes of the form: a name, a password, a path.
const MOST_FORM: usize = 16 * 1024;

/// What the page begins with.
#[derive(Clone, Copy, Default)]
pub(super) struct Before<'b> {
    /// Where to go afterwards.
    pub(super) back: &'b str,
    /// The name that was tried.
    pub(super) name: &'b str,
    /// What went wrong before: the id of its message.
    pub(super) trouble: Option<&'b str>,
}

/// The page, with what went wrong before.
pub(super) fn sign_in_page(
    console: &Console,
    visitor: &Visitor,
    Before { back, name, trouble }: Before<'_>,
) -> Result<Response, Failure> {
    let shown = SignInPage {
        frame: Frame::new(visitor, "sign-in-title"),
        back: inside(back),
        name: name.to_owned(),
        trouble: trouble.map(|id| visitor.words().say(id)),
        has_single_sign_on: console.single_sign_on.is_some(),
    };
    let mut answer = page(visitor, &shown)?;
    if trouble.is_some() {
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
    }
    Ok(answer)
}

/// Where to go afterwards.
#[derive(Deserialize)]
struct Back {
    back: Option<String>,
}

async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(asked): Query<Back>,
) -> Result<Response, Failure> {
    let back = asked.back.as_deref().unwrap_or_default();
    sign_in_page(&console, &visitor, Before { back, ..Before::default() })
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
    password: Zeroizing<String>,
    #[serde(default)]
    back: String,
}

async fn sign_in(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Extension(from): Extension<PeerAddress>,
    Open(Credentials { name, password, back }): Open<Credentials>,
) -> Result<Response, Failure> {
    console.try_from(from)?;
    let name = name.trim().to_lowercase();
    let (local, now) = (console.config.local_sign_in, console.clock.now().wall);
    let attempt = accounts::sign_in(&console.store, &name, password, local, now).await?;
    let trouble = match attempt {
        Attempt::Admitted(account) => {
            console.note_of(account.name.as_str(), "sign in", account.name.as_str(), String::new()).await?;
            let cookie = begin_session(&console, &visitor, &account.name).await?;
            return with_cookie(&cookie, &back);
        }
        Attempt::Refused => "sign-in-refused",
        Attempt::Locked => "sign-in-locked",
    };
    tracing::info!("somebody was not signed in");
    sign_in_page(&console, &visitor, Before { back: &back, name: &name, trouble: Some(trouble) })
}

async fn sign_out(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    _: Posted<Nothing>,
) -> Result<Response, Failure> {
    if let Some(person) = &visitor.person {
        console.store.end_session(person.session).await?;
    }
    with_cookie(&farewell(&console), "/sign-in")
}

async fn choose_language(
    visitor: Visitor,
    Path(tag): Path<String>,
    Query(asked): Query<Back>,
) -> Result<Response, Failure> {
    let tag = match tag.as_str() {
        "zh-CN" | "en" => tag,
        _ => visitor.language.tag().to_owned(),
    };
    let cookie =
        format!("{LANGUAGE_COOKIE}={tag}; Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age=31536000");
    with_cookie(&cookie, asked.back.as_deref().unwrap_or("/"))
}
