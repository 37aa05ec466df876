//! Everybody's own page: who they are here, their password, their sessions.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::frame::Frame;
use super::parts::Nothing;
use super::route::{Needs, Route};
use super::visitor::{OWN_PAGE, OWN_PASSWORD, Person, Posted, Visitor, begin_session, farewell, with_cookie};
use super::{Console, page};
use crate::bureau::accounts::password::{self, BadPassword};
use crate::bureau::accounts::{self, Attempt, LocalSignIn};
use crate::bureau::store::Account;
use crate::http::server::PeerAddress;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(OWN_PAGE, Needs::SignedIn, show),
        Route::post(OWN_PASSWORD, Needs::SignedIn, change_password),
        Route::post("/account/sign-out-everywhere", Needs::SignedIn, sign_out_everywhere),
    ]
}

#[derive(Template)]
#[template(path = "console/account.html")]
struct OwnPage<'a> {
    frame: Frame<'a>,
    account: Account,
    roles: Vec<&'static str>,
    trouble: Option<String>,
}

fn person(visitor: &Visitor) -> Result<&Person, Failure> {
    visitor.person.as_ref().ok_or_else(Failure::signed_out)
}

async fn own_page(
    console: &Console,
    visitor: &Visitor,
    trouble: Option<Failure>,
) -> Result<Response, Failure> {
    let account = console.store.account(&person(visitor)?.name).await?.ok_or_else(Failure::signed_out)?;
    let roles = account.roles.iter().map(accounts::Role::as_str).collect();
    let said = trouble.as_ref().map(|t| t.say(visitor.words()));
    let shown = OwnPage { frame: Frame::new(visitor, "account-title"), account, roles, trouble: said };
    let mut answer = page(visitor, &shown)?;
    if trouble.is_some() {
        *answer.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(answer)
}

async fn show(State(console): State<Arc<Console>>, visitor: Visitor) -> Result<Response, Failure> {
    own_page(&console, &visitor, None).await
}

#[derive(Deserialize)]
struct Passwords {
    old: Zeroizing<String>,
    new: Zeroizing<String>,
    again: Zeroizing<String>,
}

async fn change_password(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Extension(from): Extension<PeerAddress>,
    posted: Posted<Passwords>,
) -> Result<Response, Failure> {
    let Passwords { old, new, again } = posted.form;
    let name = person(&visitor)?.name.clone();
    if *new != *again {
        return own_page(&console, &visitor, Some(Failure::bad("account-not-the-same"))).await;
    }
    if *new == *old {
        return own_page(&console, &visitor, Some(Failure::bad("account-as-before"))).await;
    }
    console.try_from(from)?;
    let now = console.clock.now().wall;
    // Whoever sits down at a desk that was left is no better off than at the sign-in page.
    let everyone = LocalSignIn::Everyone;
    let trouble = match accounts::sign_in(&console.store, name.as_str(), old, everyone, now).await? {
        Attempt::Admitted(_) => None,
        Attempt::Refused => Some(Failure::bad("account-wrong")),
        Attempt::Locked => Some(Failure::bad("sign-in-locked")),
    };
    if trouble.is_some() {
        return own_page(&console, &visitor, trouble).await;
    }
    let hash = match password::hash_of(&name, new).await {
        Ok(hash) => hash,
        Err(BadPassword::Library(what)) => return Err(Failure::broken(&what)),
        Err(BadPassword::Length(_)) => {
            return own_page(&console, &visitor, Some(Failure::bad("account-length"))).await;
        }
        Err(BadPassword::Plain) => {
            return own_page(&console, &visitor, Some(Failure::bad("account-plain"))).await;
        }
    };
    console.note(&visitor, "accounts password", name.as_str(), "their own".into()).await?;
    console.store.set_password(&name, &hash, None, now).await?;
    // All sessions have ended, this one too: whoever else had one is out.
    let cookie = begin_session(&console, &visitor, &name).await?;
    with_cookie(&cookie, "/")
}

async fn sign_out_everywhere(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    _: Posted<Nothing>,
) -> Result<Response, Failure> {
    let name = &person(&visitor)?.name;
    console.note(&visitor, "accounts sign-out", name.as_str(), "their own".into()).await?;
    console.store.end_sessions(name).await?;
    with_cookie(&farewell(&console), "/sign-in")
}
