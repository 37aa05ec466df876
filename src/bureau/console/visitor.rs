//! Who asks: the session behind a request, and the gate before every route.
//!
//! Promises: a route is reached by nobody whose role it does not name; a form is
//! taken only from a page of this console (the browser says where it comes from,
//! and the form holds a token of the session); the secret of a session is in the
//! browser's cookie alone, out of reach of scripts, and its digest in the store.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Form, RequestExt};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::Console;
use super::failure::{self, Failure};
use super::route::Needs;
use super::words::Words;
use crate::bureau::accounts::{AccountName, Role, Roles};
use crate::bureau::acts;
use crate::crypto::Sha256;
use crate::http::language::{self, Language};

/// The cookie in which somebody's choice of language stands.
pub(super) const LANGUAGE_COOKIE: &str = "lang";
/// Everybody's own page, and where its form goes.
pub(super) const OWN_PAGE: &str = "/account";
pub(super) const OWN_PASSWORD: &str = "/account/password";
/// How long a form may take to come: longer ones would hold connections for nothing.
const FORM_TIME: Duration = Duration::from_secs(30);
/// Largest form, in bytes.
const MOST_FORM: usize = 256 * 1024;

/// What stands before a route.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) console: Arc<Console>,
    pub(super) needs: Needs,
    /// Whether open pages ask by themselves: no session lasts longer for that.
    pub(super) by_itself: bool,
}

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub(super) struct Person {
    /// With which they signed in; stands in the record of acts.
    pub(super) name: AccountName,
    /// As pages show them.
    pub(super) display: String,
    /// What they may do.
    pub(super) roles: Roles,
    /// Whether the password is one that was handed out, and has to be changed first.
    pub(super) must_change: bool,
    /// Digest of the session's secret.
    pub(super) session: Sha256,
}

/// Who asks for a page, signed in or not, and how it is to be written.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    /// Who it is; nobody before signing in.
    pub(super) person: Option<Person>,
    /// In which language.
    pub(super) language: Language,
    /// What every form of theirs must hold.
    pub(super) csrf: String,
    /// The path that was asked for, with its query.
    pub(super) path: String,
    /// Whether what the bureau holds is made up.
    pub(super) made_up: bool,
}

impl Visitor {
    /// Whether a form with this token is one that a page of theirs held. A token of no
    /// session is empty, and fits nothing.
    pub(super) fn sent(&self, token: &str) -> bool {
        // Their digests are compared: how long that takes says nothing of the token.
        !self.csrf.is_empty() && Sha256::of(token.as_bytes()) == Sha256::of(self.csrf.as_bytes())
    }

    /// The sentences in their language.
    pub(super) fn words(&self) -> &'static Words {
        Words::of(self.language)
    }

    /// Whether they have this role.
    pub(super) fn has(&self, role: Role) -> bool {
        self.person.as_ref().is_some_and(|p| p.roles.has(role))
    }

    /// Whether a route with this need would let them in.
    pub(super) fn may(&self, needs: Needs) -> bool {
        match (needs, &self.person) {
            (Needs::Nobody, _) | (Needs::SignedIn, Some(_)) => true,
            (Needs::Roles(roles), Some(p)) => p.roles.any_of(roles),
            (_, None) => false,
        }
    }

    /// Their name in the record of acts.
    ///
    /// # Errors
    /// If nobody is signed in, which no route that records has.
    pub(super) fn account(&self) -> Result<&AccountName, Failure> {
        self.person.as_ref().map(|p| &p.name).ok_or_else(Failure::signed_out)
    }

    /// The same, as what is done for them takes it.
    ///
    /// # Errors
    /// As [`Self::account`].
    pub(super) fn acts_as(&self) -> Result<acts::Person, Failure> {
        Ok(acts::Person::of(Some(self.account()?.as_str().to_owned()))?)
    }
}

/// A cookie of a request.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(found, value)| (found == name).then_some(value))
}

/// A new session: its secret, for the browser, and the digest, for the store.
fn new_secret() -> Result<(Zeroizing<String>, Sha256), Failure> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    SystemRandom::new().fill(bytes.as_mut()).map_err(|_| Failure::broken("no randomness"))?;
    let secret = Zeroizing::new(BASE64.encode(bytes.as_ref()));
    let digest = Sha256::of(secret.as_bytes());
    Ok((secret, digest))
}

/// What the forms of a session hold: it follows from its secret, and not the other way.
fn csrf_of(secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    BASE64.encode(hmac::sign(&key, b"form of the console v1").as_ref())
}

/// The gate: finds out who asks, refuses whom the route does not name.
pub(super) async fn admit(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let (headers, uri) = (request.headers().clone(), request.uri().clone());
    let (visitor, wants_page) = match visitor(&gate, &headers, &uri).await {
        Ok(found) => found,
        Err(failure) => return failure.into_response(),
    };
    let answer = match refusal(&gate, &visitor, &request) {
        Some(refused) => refused,
        None => {
            request.extensions_mut().insert(visitor.clone());
            next.run(request).await
        }
    };
    failure::dress(answer, &visitor, wants_page)
}

async fn visitor(gate: &Gate, headers: &HeaderMap, uri: &Uri) -> Result<(Visitor, bool), Failure> {
    let console = &gate.console;
    let asked = uri.query().and_then(|q| {
        url::form_urlencoded::parse(q.as_bytes()).find_map(|(k, v)| (k == "lang").then(|| v.into_owned()))
    });
    let chosen = asked.or_else(|| cookie(headers, LANGUAGE_COOKIE).map(str::to_owned));
    let secret = cookie(headers, console.cookie_name());
    let mut person = None;
    if let Some(secret) = secret {
        let session = Sha256::of(secret.as_bytes());
        let now = console.clock.now().wall;
        let limits = console.session_limits();
        let account = match gate.by_itself {
            true => console.store.glance(session, limits, now).await?,
            false => console.store.session(session, limits, now).await?,
        };
        person = account.map(|a| Person {
            name: a.name,
            display: a.display,
            roles: a.roles,
            must_change: a.start_until.is_some(),
            session,
        });
    }
    let wants_page = headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|accepted| accepted.contains("text/html"));
    let visitor = Visitor {
        csrf: if person.is_some() { secret.map(csrf_of).unwrap_or_default() } else { String::new() },
        person,
        language: language::of_request(chosen.as_deref(), headers),
        path: uri.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
        made_up: console.is_made_up().await?,
    };
    Ok((visitor, wants_page))
}

fn refusal(gate: &Gate, visitor: &Visitor, request: &Request) -> Option<Response> {
    if request.method() != Method::GET && !is_from_here(request.headers()) {
        return Some(Failure::foreign_form().into_response());
    }
    let page = request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok());
    let to_page = request.method() == Method::GET && page.is_some_and(|a| a.contains("text/html"));
    if let Some(person) = &visitor.person {
        // Whoever handed the password out knows it: nothing is done with it but to change it.
        let own = matches!(request.uri().path(), OWN_PAGE | OWN_PASSWORD | "/sign-out");
        if person.must_change && gate.needs != Needs::Nobody && !own {
            let to = || Redirect::to(OWN_PAGE).into_response();
            return Some(if to_page { to() } else { Failure::must_change().into_response() });
        }
    }
    if visitor.may(gate.needs) {
        return None;
    }
    if visitor.person.is_some() {
        return Some(Failure::not_allowed().into_response());
    }
    if to_page {
        let back: String = url::form_urlencoded::byte_serialize(visitor.path.as_bytes()).collect();
        return Some(Redirect::to(&format!("/sign-in?back={back}")).into_response());
    }
    Some(Failure::signed_out().into_response())
}

/// Whether a form was sent by a page of this console, as far as the browser says:
/// browsers that say nothing are left to the form's token.
fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    match text("sec-fetch-site") {
        Some(site) => site == "same-origin" || site == "none",
        None => match (text("origin"), text("host")) {
            (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, o)| o == host),
            _ => true,
        },
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Failure::broken("a route without a gate"))
    }
}

/// What is read of a form, if it comes in time.
async fn in_time<T>(limit: Duration, read: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(limit, read).await.map_err(|_| Failure::too_slow())
}

/// A form that anybody may send.
pub(super) struct Open<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Open<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let Form(form) = in_time(FORM_TIME, Form::<T>::from_request(request, state))
            .await?
            .map_err(|e| Failure::bad("failure-form").with("found", e.body_text()))?;
        Ok(Self(form))
    }
}

/// A form that somebody who is signed in has sent, with the session's token in it.
pub(super) struct Posted<T> {
    /// Its fields.
    pub(super) form: T,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Posted<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let visitor = request.extensions().get::<Visitor>().cloned();
        let visitor = visitor.ok_or_else(|| Failure::broken("a route without a gate"))?;
        let bytes =
            in_time(FORM_TIME, axum::body::to_bytes(request.with_limited_body().into_body(), MOST_FORM))
                .await?
                .map_err(|_| Failure::bad("failure-form-too-long"))?;
        let token = url::form_urlencoded::parse(&bytes).find_map(|(k, v)| (k == "csrf").then_some(v));
        if !visitor.sent(&token.unwrap_or_default()) {
            return Err(Failure::foreign_form());
        }
        let body = Request::post("/")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(axum::body::Body::from(bytes))
            .map_err(|_| Failure::broken("a form could not be read"))?;
        let Form(form) = Form::<T>::from_request(body, state)
            .await
            .map_err(|e| Failure::bad("failure-form").with("found", e.body_text()))?;
        Ok(Self { form })
    }
}

/// Begins a session, in place of the one that this browser had; the cookie.
pub(super) async fn begin_session(
    console: &Console,
    visitor: &Visitor,
    account: &AccountName,
) -> Result<String, Failure> {
    if let Some(before) = &visitor.person {
        console.store.end_session(before.session).await?;
    }
    let (secret, digest) = new_secret()?;
    let limits = console.session_limits();
    console.store.begin_session(digest, account, limits, console.clock.now().wall).await?;
    Ok(format!(
        "{}={}; Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age={}",
        console.cookie_name(),
        secret.as_str(),
        limits.whole_ms / 1000
    ))
}

/// The cookie that ends a session in the browser.
pub(super) fn farewell(console: &Console) -> String {
    format!("{}=; Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age=0", console.cookie_name())
}

/// A redirection that sets a cookie.
pub(super) fn with_cookie(cookie: &str, back: &str) -> Result<Response, Failure> {
    let mut answer = (StatusCode::SEE_OTHER, [(header::LOCATION, inside(back))]).into_response();
    set_cookie(&mut answer, cookie)?;
    Ok(answer)
}

/// Sets a cookie.
pub(super) fn set_cookie(answer: &mut Response, cookie: &str) -> Result<(), Failure> {
    let value =
        HeaderValue::from_str(cookie).map_err(|_| Failure::broken("a cookie could not be written"))?;
    answer.headers_mut().append(header::SET_COOKIE, value);
    Ok(())
}

/// A path of this console: whatever else is asked for becomes its first page.
pub(super) fn inside(back: &str) -> String {
    let fits = back.starts_with('/')
        && !back.starts_with("//")
        && !back.starts_with("/\\")
        && back.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if fits { back.to_owned() } else { "/".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_console_are_gone_back_to() {
        for good in ["/", "/alerts?state=open&before=12"] {
            assert_eq!(inside(good), good);
        }
        for bad in
            ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nSet-Cookie: x=y", "a"]
        {
            assert_eq!(inside(bad), "/", "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_form_that_does_not_come_is_not_waited_for_for_ever() {
        let never = std::future::pending::<()>();
        assert!(in_time(Duration::from_millis(1), never).await.is_err());
        assert!(in_time(FORM_TIME, async {}).await.is_ok());
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; session=s3cret"));
        headers.append(header::COOKIE, HeaderValue::from_static("lang=en"));
        assert_eq!(cookie(&headers, "session"), Some("s3cret"));
        assert_eq!(cookie(&headers, "lang"), Some("en"));
        assert_eq!(cookie(&headers, "sess"), None);
    }

    #[test]
    fn a_form_of_another_site_is_known() {
        let from = |pairs: &[(&'static str, &'static str)]| {
            let headers: HeaderMap = pairs
                .iter()
                .map(|(k, v)| (k.parse::<header::HeaderName>().unwrap(), HeaderValue::from_static(v)))
                .collect();
            is_from_here(&headers)
        };
        assert!(from(&[("sec-fetch-site", "same-origin")]) && from(&[]));
        assert!(from(&[("origin", "http://127.0.0.1:8744"), ("host", "127.0.0.1:8744")]));
        assert!(!from(&[("sec-fetch-site", "cross-site")]) && !from(&[("sec-fetch-site", "same-site")]));
        assert!(!from(&[("origin", "http://evil.example"), ("host", "127.0.0.1:8744")]));
        assert!(!from(&[("origin", "null"), ("host", "127.0.0.1:8744")]));
    }
}
