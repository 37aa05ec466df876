//! Signing in at the bureau's own single sign-on.
//!
//! The browser keeps its attempt in a sealed cookie of ten minutes, which comes back
//! with a link from another site (`SameSite=Lax`); the session's own never does. So
//! the answer to the issuer's redirection is a page that goes on by itself: the
//! request after it comes from this site, and brings the session's cookie.
//!
//! An account is found by issuer and subject alone, never by a name that the issuer
//! gives: a name may be chosen there, or handed on.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::Deserialize;

use super::failure::Failure;
use super::frame::Frame;
use super::route::{Needs, Route};
use super::sign_in::{Before, sign_in_page};
use super::visitor::{Visitor, begin_session, cookie, inside, set_cookie};
use super::{Console, page};
use crate::bureau::accounts::AccountName;
use crate::bureau::accounts::command::MAX_DISPLAY;
use crate::bureau::accounts::oidc::{CALLBACK, FLOW_MS, Flow, Identity, Returned, SignOnError};
use crate::bureau::store::{Account, NewAccount};
use crate::crypto::Sha256;
use crate::http::server::PeerAddress;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/sign-in/oidc", Needs::Nobody, begin), Route::get(CALLBACK, Needs::Nobody, finish)]
}

const fn refused<'b>(back: &'b str, trouble: &'b str) -> Before<'b> {
    Before { back, name: "", trouble: Some(trouble) }
}

#[derive(Template)]
#[template(path = "console/signed_in.html")]
struct SignedInPage<'a> {
    frame: Frame<'a>,
    to: String,
}

/// Longest way back that an attempt keeps, in bytes.
const MOST_BACK: usize = 1024;

#[derive(Deserialize)]
struct Back {
    back: Option<String>,
}

fn cookie_name(console: &Console) -> &'static str {
    if console.config.tls.is_some() { "__Host-counterproof-sign-on" } else { "counterproof-sign-on" }
}

async fn begin(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Extension(from): Extension<PeerAddress>,
    Query(asked): Query<Back>,
) -> Result<Response, Failure> {
    let Some(sign_on) = &console.single_sign_on else { return Err(Failure::not_found()) };
    console.try_from(from)?;
    // Browsers drop a cookie that is longer than 4 KiB.
    let back = inside(asked.back.as_deref().filter(|b| b.len() <= MOST_BACK).unwrap_or("/"));
    let (to, flow) = match sign_on.begin(back.clone(), console.clock.now().wall).await {
        Ok(begun) => begun,
        Err(error) => {
            tracing::error!(%error, "single sign-on cannot be used");
            return sign_in_page(&console, &visitor, refused(&back, "sign-in-issuer-away"));
        }
    };
    let plain = serde_json::to_vec(&flow).map_err(|_| Failure::broken("an attempt could not be written"))?;
    let kept = BASE64.encode(console.store.seal_for_browser(&plain)?);
    let mut answer = Redirect::to(to.as_str()).into_response();
    let (name, age) = (cookie_name(&console), FLOW_MS / 1000);
    set_cookie(
        &mut answer,
        &format!("{name}={kept}; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age={age}"),
    )?;
    Ok(answer)
}

async fn finish(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Extension(from): Extension<PeerAddress>,
    headers: HeaderMap,
    Query(returned): Query<Returned>,
) -> Result<Response, Failure> {
    if console.single_sign_on.is_none() {
        return Err(Failure::not_found());
    }
    console.try_from(from)?;
    let mut answer = match vouched(&console, &headers, returned).await {
        Ok((identity, back)) => match account_of(&console, &identity).await? {
            Some(account) => admit(&console, &visitor, &account, back).await?,
            None => sign_in_page(&console, &visitor, refused(&back, "sign-in-no-role"))?,
        },
        Err(error) => {
            tracing::warn!(%error, "nobody was signed in by single sign-on");
            sign_in_page(&console, &visitor, refused("/", "sign-in-not-vouched"))?
        }
    };
    // The attempt is over, whatever came of it.
    let name = cookie_name(&console);
    set_cookie(&mut answer, &format!("{name}=; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=0"))?;
    Ok(answer)
}

async fn vouched(
    console: &Console,
    headers: &HeaderMap,
    returned: Returned,
) -> Result<(Identity, String), SignOnError> {
    let none = || SignOnError::Foreign("no attempt is kept by it");
    let sign_on = console.single_sign_on.as_ref().ok_or_else(none)?;
    let kept = cookie(headers, cookie_name(console)).ok_or_else(none)?;
    let sealed = BASE64.decode(kept).map_err(|_| none())?;
    let plain = console.store.open_from_browser(&sealed).ok_or_else(none)?;
    let flow: Flow = serde_json::from_slice(&plain).map_err(|_| none())?;
    let identity = sign_on.finish(&flow, returned, console.clock.now().wall).await?;
    Ok((identity, flow.back))
}

async fn admit(
    console: &Console,
    visitor: &Visitor,
    account: &Account,
    back: String,
) -> Result<Response, Failure> {
    let name = &account.name;
    console.note_of(name.as_str(), "sign in", name.as_str(), "by single sign-on".into()).await?;
    let cookie = begin_session(console, visitor, name).await?;
    let frame = Frame::new(visitor, "signed-in-title");
    let mut answer = page(visitor, &SignedInPage { frame, to: inside(&back) })?;
    set_cookie(&mut answer, &cookie)?;
    Ok(answer)
}

/// The account of whom the issuer vouches for, brought up to date or made; none if
/// they may not sign in.
async fn account_of(console: &Console, identity: &Identity) -> Result<Option<Account>, Failure> {
    let now = console.clock.now().wall;
    let Some(account) = console.store.account_of_subject(&identity.subject).await? else {
        return make(console, identity).await;
    };
    if account.disabled {
        return Ok(None);
    }
    if !account.managed || account.roles == identity.roles {
        return Ok(Some(account));
    }
    let name = account.name.clone();
    if identity.roles.is_empty() {
        // Whoever the issuer gives no role any more is not to go on elsewhere, either.
        let detail = "by single sign-on: no role any more".to_owned();
        console.note_of(name.as_str(), "accounts sign-out", name.as_str(), detail).await?;
        console.store.end_sessions(&name).await?;
        return Ok(None);
    }
    let detail = format!("by single sign-on: roles {}, before {}", identity.roles, account.roles);
    console.note_of(name.as_str(), "accounts roles", name.as_str(), detail).await?;
    console.store.set_managed_roles(&name, &identity.roles, now).await?;
    Ok(console.store.account(&name).await?)
}

async fn make(console: &Console, identity: &Identity) -> Result<Option<Account>, Failure> {
    if identity.roles.is_empty() {
        return Ok(None);
    }
    let digest = Sha256::of(identity.subject.as_bytes()).to_string();
    let made = format!("sso-{}", digest.get(..16).unwrap_or_default());
    let preferred = identity.preferred.as_deref().map(str::to_lowercase);
    let names = preferred.into_iter().chain([made]).filter_map(|n| n.parse::<AccountName>().ok());
    for name in names {
        let shown = identity.display.as_deref().unwrap_or(name.as_str());
        let display = shown.chars().filter(|c| !c.is_control()).take(MAX_DISPLAY).collect();
        let new = NewAccount { name, display, roles: identity.roles.clone(), password: String::new() };
        if console.store.account(&new.name).await?.is_some() {
            continue;
        }
        let detail = format!("by single sign-on: roles {}", new.roles);
        console.note_of(new.name.as_str(), "accounts add", new.name.as_str(), detail).await?;
        if console.store.add_managed_account(&new, &identity.subject, console.clock.now().wall).await? {
            return Ok(console.store.account(&new.name).await?);
        }
    }
    Err(Failure::broken("no name was free for an account of single sign-on"))
}
