//! The facts of check-ins, for those who answer for them: whom, where, when, by whom,
//! and what one photograph said. There is no photograph to be shown.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::check_in::Told;
use super::failure::Failure;
use super::frame::Frame;
use super::privacy::READ;
use super::route::Route;
use super::visitor::Visitor;
use super::{Console, page};
use crate::bureau::retention::Kind;
use crate::bureau::store::CheckInsAsked;
use crate::protocol::check_in::{CheckInVerdict, Purpose};

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/check-ins", READ, list)]
}

/// Check-ins on one page.
const PAGE: u32 = 100;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    verdict: String,
    purpose: String,
    before: String,
}

#[derive(Template)]
#[template(path = "console/check_ins.html")]
struct CheckInsPage<'a> {
    frame: Frame<'a>,
    is_on: bool,
    days: String,
    rows: Vec<Told>,
    verdicts: Vec<(&'static str, String, bool)>,
    purposes: Vec<(&'static str, String, bool)>,
    older: Option<String>,
}

async fn list(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    console.note(&visitor, "look at check-ins", "list of check-ins", String::new()).await?;
    let question = CheckInsAsked {
        verdict: asked.verdict.parse().ok(),
        purpose: asked.purpose.parse().ok(),
        before: asked.before,
    };
    let (verdict_asked, purpose_asked) = (question.verdict, question.purpose);
    let found = console.store.check_ins(question, PAGE).await?;
    let is_full = found.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
    let last = found.last().filter(|_| is_full).map(|c| c.id.as_str());
    let older = last.map(|before| {
        let mut query = url::form_urlencoded::Serializer::new(String::from("/check-ins?"));
        query.append_pair("verdict", &asked.verdict).append_pair("purpose", &asked.purpose);
        query.append_pair("before", before).finish()
    });
    let words = visitor.words();
    let verdict = |v: &CheckInVerdict| {
        (v.as_str(), words.word("check-in-verdict", v.as_str()), verdict_asked == Some(*v))
    };
    let purpose =
        |p: &Purpose| (p.as_str(), words.word("check-in-purpose", p.as_str()), purpose_asked == Some(*p));
    let page_of = CheckInsPage {
        frame: Frame::new(&visitor, "check-ins-title"),
        is_on: console.check_ins.is_some(),
        days: console.retention.days(Kind::CheckIns).to_string(),
        rows: found.iter().map(|made| Told::of(&visitor, made)).collect(),
        verdicts: CheckInVerdict::ALL.iter().map(verdict).collect(),
        purposes: Purpose::ALL.iter().map(purpose).collect(),
        older,
    };
    page(&visitor, &page_of)
}
