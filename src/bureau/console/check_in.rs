//! Checking somebody in with a telephone: one form, one photograph, one answer.
//!
//! Works in any browser: with a script the camera's picture is in the page and leaves it
//! with the one button, without it the telephone's own camera is asked for a file. What
//! came of it is told once, to whoever asked, and from the record.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::failure::Failure;
use super::frame::Frame;
use super::parts::Mark;
use super::route::{Route, WARD};
use super::shown::second;
use super::visitor::Visitor;
use super::{Console, UsesCamera, page};
use crate::bureau::check_ins::parts::{PartsError, Sent, pass_over};
use crate::bureau::check_ins::{Caller, CheckIns, Refusal};
use crate::bureau::store::CheckIn;
use crate::protocol::check_in::{CheckInVerdict, Purpose, ScoreBand};

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/check-in", WARD, show), Route::post("/check-in", WARD, send)]
}

/// A check-in in words.
pub(super) struct Told {
    pub(super) at: String,
    pub(super) cardholder: String,
    pub(super) by: String,
    pub(super) purpose: String,
    pub(super) place: String,
    pub(super) verdict: Mark,
    pub(super) reason: String,
    pub(super) band: String,
}

/// Whether what one photograph said is good news.
const fn weight(verdict: CheckInVerdict) -> &'static str {
    match verdict {
        CheckInVerdict::Match => "good",
        CheckInVerdict::Mismatch => "bad",
        CheckInVerdict::Inconclusive => "watch",
        CheckInVerdict::NotAssessed => "quiet",
    }
}

fn band(band: ScoreBand) -> String {
    format!("{:.2} – {:.2}", band.from, band.to)
}

impl Told {
    pub(super) fn of(visitor: &Visitor, made: &CheckIn) -> Self {
        let words = visitor.words();
        Self {
            at: second(made.at),
            cardholder: made.cardholder.to_string(),
            by: made.by.clone(),
            purpose: words.word("check-in-purpose", made.purpose.as_str()),
            place: made.place.as_str().to_owned(),
            verdict: Mark::new(words.word("check-in-verdict", made.verdict.as_str()), weight(made.verdict)),
            reason: made.reason.as_deref().map_or_else(String::new, |r| words.word("check-in-reason", r)),
            band: made.score_band.map_or_else(|| "–".to_owned(), band),
        }
    }
}

#[derive(Template)]
#[template(path = "console/check_in.html")]
struct CheckInPage<'a> {
    frame: Frame<'a>,
    told: Option<Told>,
    /// What one is to make of it.
    advice: String,
    purposes: Vec<(&'static str, String, bool)>,
    place: String,
    notice_title: &'static str,
    notice: Vec<(&'static str, Vec<String>)>,
    notice_about: String,
}

#[derive(Deserialize)]
struct Asked {
    done: Option<String>,
}

fn takes(console: &Console) -> Result<&Arc<CheckIns>, Failure> {
    console.check_ins.as_ref().ok_or_else(Failure::no_check_ins)
}

async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let check_ins = takes(&console)?;
    let made = match asked.done {
        Some(id) => {
            let found = console.store.check_in(&id).await?;
            // Whoever asked, and nobody else.
            let own = found.filter(|f| visitor.account().is_ok_and(|a| a.as_str() == f.by));
            let made = own.ok_or_else(Failure::not_found)?;
            let mark = console.store.mark(&made.cardholder);
            console.note(&visitor, "check-in look", &mark, String::new()).await?;
            Some(made)
        }
        None => None,
    };
    let words = visitor.words();
    let chosen = made.as_ref().map_or(Purpose::WardRound, |m| m.purpose);
    let purpose = |p: &Purpose| (p.as_str(), words.word("check-in-purpose", p.as_str()), *p == chosen);
    let printed = check_ins.policy().printed();
    let sheet = printed.sheet(visitor.language.tag());
    let page_of = CheckInPage {
        frame: Frame::new(&visitor, "check-in-title"),
        told: made.as_ref().map(|m| Told::of(&visitor, m)),
        advice: made.as_ref().map_or_else(String::new, |m| words.word("check-in-advice", m.verdict.as_str())),
        purposes: Purpose::ALL.iter().map(purpose).collect(),
        place: made.as_ref().map_or_else(String::new, |m| m.place.as_str().to_owned()),
        notice_title: sheet.title,
        notice_about: sheet.about.clone(),
        notice: sheet.sections.iter().map(|s| (s.heading, s.lines.clone())).collect(),
    };
    let mut answer = page(&visitor, &page_of)?;
    answer.extensions_mut().insert(UsesCamera);
    Ok(answer)
}

async fn send(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, Failure> {
    let is_ours = |csrf: Option<&str>| csrf.is_some_and(|token| visitor.sent(token));
    let Ok(check_ins) = takes(&console) else {
        return Err(match Sent::read(request, is_ours).await {
            Err(PartsError::Foreign) => Failure::foreign_form(),
            _ => Failure::no_check_ins(),
        });
    };
    let by = Caller::account(visitor.account()?.as_str());
    let room = match check_ins.room(&by) {
        Ok(room) => room,
        Err(refusal) => {
            pass_over(request).await;
            return Err(refused(refusal));
        }
    };
    let sent = Sent::read(request, is_ours).await.map_err(unfit)?;
    let made = check_ins.check(room, &by, sent).await.map_err(refused)?;
    Ok(Redirect::to(&format!("/check-in?done={}", made.id)).into_response())
}

fn unfit(e: PartsError) -> Failure {
    match e {
        PartsError::Form(_) | PartsError::Foreign => Failure::foreign_form(),
        PartsError::TooLarge => Failure::bad("check-in-too-large"),
        PartsError::TooSlow => Failure::too_slow(),
        PartsError::Part("photograph", _) => Failure::bad("check-in-no-photograph"),
        PartsError::Part(name, what) => Failure::refused(format!("{name}: {what}")),
    }
}

fn refused(refusal: Refusal) -> Failure {
    crate::bureau::metrics::check_in_refused(refusal.as_str());
    match refusal {
        Refusal::TooOften(_) => Failure::too_often(),
        Refusal::Busy(_) => Failure::busy(),
        Refusal::Unreadable(_) => Failure::bad("check-in-unreadable"),
        Refusal::Store(e) => e.into(),
    }
}
