//! What goes wrong on the console: a page for people, a problem for machines.
//!
//! The sentence is a message, in the reader's language; what a program said goes
//! to the log, where it may name more than a page should.

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::frame::Frame;
use super::visitor::Visitor;
use super::words::Words;
use crate::bureau::BureauError;
use crate::bureau::store::StoreError;
use crate::http::language::Language;
use crate::http::problem::Problem;
use askama::Template;

/// Why a page or a form was not answered as asked.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    status: StatusCode,
    message: &'static str,
    with: Vec<(&'static str, String)>,
}

impl Failure {
    const fn new(status: StatusCode, message: &'static str) -> Self {
        Self { status, message, with: Vec::new() }
    }

    /// A form or a query that cannot be taken; `message` says what is allowed.
    pub(super) const fn bad(message: &'static str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// Something that a command would refuse too, in its words.
    pub(super) fn refused(what: impl ToString) -> Self {
        Self::bad("failure-refused").with("what", what.to_string())
    }

    /// There is no such thing.
    pub(super) const fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "failure-not-found")
    }

    /// It was changed by somebody else meanwhile, or may not be done now.
    pub(super) const fn conflict(message: &'static str) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// Another role is needed.
    pub(super) const fn not_allowed() -> Self {
        Self::new(StatusCode::FORBIDDEN, "failure-not-allowed")
    }

    /// Nobody is signed in.
    pub(super) const fn signed_out() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "failure-signed-out")
    }

    /// A start password has to be changed first.
    pub(super) const fn must_change() -> Self {
        Self::new(StatusCode::FORBIDDEN, "failure-change-password")
    }

    /// Too many attempts; a minute later there may be more.
    pub(super) const fn too_many() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "failure-too-many")
    }

    /// Too many photographs at once.
    pub(super) const fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "check-in-busy")
    }

    /// Too many photographs of one account, or of one person.
    pub(super) const fn too_often() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "check-in-too-often")
    }

    /// Photographs are not taken here.
    pub(super) const fn no_check_ins() -> Self {
        Self::new(StatusCode::NOT_FOUND, "check-in-off")
    }

    /// A form that did not come.
    pub(super) const fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "failure-form-slow")
    }

    /// A form that no page of this session has sent.
    pub(super) const fn foreign_form() -> Self {
        Self::new(StatusCode::FORBIDDEN, "failure-foreign-form")
    }

    /// Something of the program failed; `what` is for the log.
    pub(super) fn broken(what: &str) -> Self {
        tracing::error!(what, "a page could not be made");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failure-broken")
    }

    /// A value for a place in the message.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.with.push((name, value.into()));
        self
    }

    /// The sentence.
    pub(super) fn say(&self, words: &Words) -> String {
        let with: Vec<(&str, &str)> = self.with.iter().map(|(k, v)| (*k, v.as_str())).collect();
        words.say_with(self.message, &with)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "failure-store")
    }
}

impl From<BureauError> for Failure {
    fn from(error: BureauError) -> Self {
        match error {
            BureauError::Store(e) => e.into(),
            // A command's own words, which name what is allowed.
            BureauError::Command(what) => Self::refused(what),
            other => Self::broken(&other.to_string()),
        }
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Self {
        Self::broken(&error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut answer = Problem::new(self.status, self.say(Words::of(Language::English))).into_response();
        answer.extensions_mut().insert(self);
        answer
    }
}

#[derive(Template)]
#[template(path = "console/failure.html")]
struct FailurePage<'a> {
    frame: Frame<'a>,
    status: u16,
    sentence: String,
}

/// Makes a page of a failure, for whoever wants pages.
pub(super) fn dress(answer: Response, visitor: &Visitor, wants_page: bool) -> Response {
    let Some(failure) = answer.extensions().get::<Failure>().cloned().filter(|_| wants_page) else {
        return answer;
    };
    let page = FailurePage {
        frame: Frame::new(visitor, "failure-title"),
        status: failure.status.as_u16(),
        sentence: failure.say(visitor.words()),
    };
    match page.render() {
        Ok(html) => {
            let language = [(header::CONTENT_LANGUAGE, visitor.language.tag())];
            (failure.status, language, Html(html)).into_response()
        }
        Err(_) => answer,
    }
}
