//! Signing in and out, and the choice of language.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::frame::Frame;
use super::parts::Nothing;
use super::route::{Needs, Route};
use super::visitor::{LANGUAGE_COOKIE, Posted, Visitor, inside, new_secret, welcome, with_cookie};
use super::{Console, page};
use crate::bureau::accounts::{self, Attempt};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/sign-in", Needs::Nobody, show),
        Route::post("/sign-in", Needs::Nobody, sign_in),
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
}

/// Where to go afterwards.
#[derive(Deserialize)]
struct Back {
    back: Option<String>,
}

async fn show(visitor: Visitor, Query(asked): Query<Back>) -> Result<Response, Failure> {
    let back = inside(asked.back.as_deref().unwrap_or("/"));
    let frame = Frame::new(&visitor, "sign-in-title");
    page(&visitor, &SignInPage { frame, back, name: String::new(), trouble: None })
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
    form: Result<Form<Credentials>, FormRejection>,
) -> Result<Response, Failure> {
    let Form(Credentials { name, password, back }) =
        form.map_err(|e| Failure::bad("failure-form").with("found", e.body_text()))?;
    let now = console.clock.now().wall;
    let name = name.trim().to_lowercase();
    let attempt = accounts::sign_in(&console.store, &name, password, now).await?;
    let trouble = match attempt {
        Attempt::Admitted(account) => {
            let (secret, digest) = new_secret()?;
            console.store.begin_session(digest, &account.name, console.session_limits(), now).await?;
            console.note_of(account.name.as_str(), "sign in", account.name.as_str(), String::new()).await?;
            return welcome(&console, &secret, &back);
        }
        // Said alike: only a name that there is can be locked.
        Attempt::Refused | Attempt::Locked(_) => "sign-in-refused",
    };
    tracing::info!("somebody was not signed in");
    let frame = Frame::new(&visitor, "sign-in-title");
    let trouble = Some(visitor.words().say(trouble));
    let mut answer = page(&visitor, &SignInPage { frame, back: inside(&back), name, trouble })?;
    *answer.status_mut() = StatusCode::UNAUTHORIZED;
    Ok(answer)
}

async fn sign_out(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    _: Posted<Nothing>,
) -> Result<Response, Failure> {
    if let Some(person) = &visitor.person {
        console.store.end_session(person.session).await?;
    }
    Ok(Redirect::to("/sign-in").into_response())
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
    let cookie = format!("{LANGUAGE_COOKIE}={tag}; Path=/; SameSite=Strict; Max-Age=31536000");
    with_cookie(&cookie, asked.back.as_deref().unwrap_or("/"))
}
