//! Letters about an alert: drafted, printed in Chinese with English for reading, sent by
//! people, and entered when they are answered.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State as Held};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::failure::Failure;
use super::super::frame::Frame;
use super::super::parts::Mark;
use super::super::route::{self, Route};
use super::super::shown::{day, second, yuan};
use super::super::visitor::{Posted, Visitor};
use super::super::words::Words;
use super::super::{Console, page};
use super::Opened;
use super::parts::settled;
use super::steps::{back, text, text_if_any, unblind};
use crate::bureau::review::{LetterKind, LetterState};
use crate::bureau::store::{Answer, Letter, LetterText, NewLetter};
use crate::clock::WallTime;
use crate::http::language::Language;
use crate::protocol::alert::Content;
use crate::protocol::id::AlertId;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/alerts/{id}/letters", route::REVIEW, draft),
        Route::get("/alerts/{id}/letters/{letter}", route::REVIEW, print),
        Route::post("/alerts/{id}/letters/{letter}", route::REVIEW, answer),
    ]
}

/// A letter as a line of the page.
pub(super) struct LetterRow {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) is_statement: bool,
    pub(super) state: Mark,
    pub(super) drafted: String,
    pub(super) due: String,
    pub(super) is_overdue: bool,
    pub(super) waits: bool,
    pub(super) is_drafted: bool,
    pub(super) asked: String,
    /// What came back, line by line.
    pub(super) answer: Vec<String>,
}

pub(super) fn row(visitor: &Visitor, letter: &Letter, blind: bool, now: WallTime) -> LetterRow {
    let words = visitor.words();
    let is_overdue = letter.state.is_overdue(letter.due_at, now);
    let class = match letter.state {
        LetterState::Drafted | LetterState::Sent => "watch",
        LetterState::Answered => "good",
        LetterState::Refused => "bad",
    };
    // To who decides it blind, who wrote to whom is as good as a name on the decision.
    let by = if blind { "" } else { letter.drafted_by.as_str() };
    let t = &letter.text;
    let mut answer: Vec<String> = Vec::new();
    if !t.person.is_empty() {
        answer.push(words.say_with("alert-answer-person", &[("value", &t.person)]));
    }
    if !t.came.is_empty() {
        answer.push(words.word("alert-came", &t.came));
    }
    if !t.acted.is_empty() {
        answer.push(words.say_with("alert-answer-acted", &[("value", &t.acted)]));
    }
    answer.extend((!t.answer.is_empty()).then(|| t.answer.clone()));
    LetterRow {
        id: letter.id.clone(),
        kind: words.word("alert-letter", letter.kind.as_str()),
        is_statement: letter.kind == LetterKind::Statement || letter.kind == LetterKind::Inquiry,
        state: Mark { text: words.word("alert-letter-state", letter.state.as_str()), class },
        drafted: format!("{} {by}", day(letter.drafted_at)),
        due: day(letter.due_at).to_string(),
        is_overdue,
        waits: letter.state.waits(),
        is_drafted: letter.state == LetterState::Drafted,
        asked: t.asked.clone(),
        answer,
    }
}

#[derive(Deserialize)]
struct Drafted {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    asked: String,
}

async fn draft(
    Held(console): Held<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<AlertId>,
    posted: Posted<Drafted>,
) -> Result<Response, Failure> {
    let Drafted { kind, asked } = posted.form;
    let kind: LetterKind = kind.parse().map_err(|_| Failure::bad("alert-letter-required"))?;
    let asked = text_if_any(&asked)?;
    let opened = Opened::of(&console, &visitor, id).await?;
    unblind(&console, &visitor, &opened).await?;
    console.note(&visitor, "letter drafted", &id.to_string(), kind.to_string()).await?;
    let at = console.clock.now().wall;
    let about = opened.alert.event.as_ref().and_then(|e| e.content.about());
    let since = about.map_or(opened.alert.received_at, |about| settled(&about));
    let due = kind.due(since, at, &console.review);
    let by = visitor.account()?.as_str();
    let new = NewLetter { alert: id, kind, by, at, due, asked: &asked };
    let letter = console.store.draft_letter(&new).await?.ok_or_else(Failure::not_found)?;
    Ok(Redirect::to(&format!("/alerts/{id}/letters/{letter}")).into_response())
}

#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    state: String,
    #[serde(default)]
    answer: String,
    #[serde(default)]
    person: String,
    #[serde(default)]
    came: String,
    #[serde(default)]
    acted: String,
}

async fn answer(
    Held(console): Held<Arc<Console>>,
    visitor: Visitor,
    Path((id, letter)): Path<(AlertId, String)>,
    posted: Posted<Answered>,
) -> Result<Response, Failure> {
    let Answered { state, answer, person, came, acted } = posted.form;
    let state: LetterState = state.parse().map_err(|_| Failure::bad("alert-letter-state-required"))?;
    unblind(&console, &visitor, &Opened::of(&console, &visitor, id).await?).await?;
    let text = match state {
        LetterState::Drafted | LetterState::Sent => LetterText::default(),
        LetterState::Answered | LetterState::Refused => LetterText {
            asked: String::new(),
            answer: text(&answer)?,
            person: text_if_any(&person)?,
            came: if ["yes", "no"].contains(&came.as_str()) { came } else { String::new() },
            acted: text_if_any(&acted)?,
        },
    };
    console.note(&visitor, "letter", &id.to_string(), state.to_string()).await?;
    let at = console.clock.now().wall;
    let new = Answer { letter: &letter, alert: id, state, at, text: &text };
    if !console.store.answer_letter(&new).await? {
        return Err(Failure::conflict("alert-letter-ended"));
    }
    Ok(back(id))
}

/// One of the two languages of a letter.
struct Side {
    tag: &'static str,
    title: String,
    to: String,
    paragraphs: Vec<String>,
    /// What is to be filled in by hand.
    blanks: Vec<String>,
    sign: String,
    note: String,
}

#[derive(Template)]
#[template(path = "console/mail.html")]
struct LetterPage<'a> {
    frame: Frame<'a>,
    alert: String,
    sides: Vec<Side>,
}

async fn print(
    Held(console): Held<Arc<Console>>,
    visitor: Visitor,
    Path((id, letter)): Path<(AlertId, String)>,
) -> Result<Response, Failure> {
    console.note(&visitor, "letter printed", &id.to_string(), String::new()).await?;
    let opened = Opened::of(&console, &visitor, id).await?;
    let letters = console.store.letters(id).await?;
    let letter = letters.iter().find(|l| l.id == letter).ok_or_else(Failure::not_found)?;
    let from = Sender { bureau: &console.practice.config.bureau, now: console.clock.now().wall };
    let sides = [Language::Chinese, Language::English].map(|l| side(l, &opened, letter, &from));
    let title = visitor.words().word("alert-letter", letter.kind.as_str());
    let frame = Frame::titled(&visitor, title);
    page(&visitor, &LetterPage { frame, alert: id.to_string(), sides: sides.into_iter().flatten().collect() })
}

/// Who writes, and when.
struct Sender<'a> {
    bureau: &'a str,
    now: WallTime,
}

/// The letter in one language; nothing if the alert cannot be read.
fn side(language: Language, opened: &Opened, letter: &Letter, from: &Sender<'_>) -> Option<Side> {
    let event = opened.alert.event.as_ref()?;
    let Content::Mismatch(data) = &event.content else { return None };
    let words = Words::of(language);
    let settlement = event.subject.as_ref().map(ToString::to_string).unwrap_or_default();
    let (at, due) = (second(settled(&data.about())), day(letter.due_at).to_string());
    let (amount, today) = (yuan(data.amount_fen), day(from.now).to_string());
    // A minute before and after is what a person at a window needs at least.
    let around =
        |ms: i64| second(WallTime::from_millis(settled(&data.about()).as_millis().saturating_add(ms)));
    let margin = 60_000 + i64::try_from(data.clock_error_ms).unwrap_or(0).min(600_000);
    let (begin, until) = (around(-margin), around(margin));
    let code = data.hospital.as_str();
    let hospital = match &opened.hospital {
        Some(known) => words.say_with("mail-hospital", &[("name", &known.name), ("code", code)]),
        None => words.say_with("mail-hospital-unnamed", &[("code", code)]),
    };
    let values = [
        ("bureau", from.bureau),
        ("hospital", hospital.as_str()),
        ("counter", data.counter.as_str()),
        ("cardholder", data.cardholder.as_str()),
        ("settlement", settlement.as_str()),
        ("at", at.as_str()),
        ("from", begin.as_str()),
        ("until", until.as_str()),
        ("amount", amount.as_str()),
        ("due", due.as_str()),
        ("today", today.as_str()),
    ];
    let say = |id: &str| words.say_with(id, &values);
    let (title, to, mut paragraphs, blanks) = match letter.kind {
        LetterKind::Recording => (
            say("mail-recording-title"),
            say("mail-to-hospital"),
            vec![say("mail-recording-what"), say("mail-recording-why"), say("mail-recording-until")],
            vec![say("mail-blank-kept"), say("mail-blank-person"), say("mail-blank-day")],
        ),
        LetterKind::Inquiry => (
            say("mail-inquiry-title"),
            say("mail-to-cardholder"),
            vec![say("mail-inquiry-what"), say("mail-inquiry-questions"), say("mail-inquiry-rights")],
            vec![
                say("mail-blank-came"),
                say("mail-blank-acted"),
                say("mail-blank-relation"),
                say("mail-blank-signed"),
                say("mail-blank-day"),
            ],
        ),
        LetterKind::Statement => (
            say("mail-statement-title"),
            say("mail-about"),
            vec![say("mail-statement-what"), say("mail-statement-duty")],
            vec![
                say("mail-blank-name"),
                say("mail-blank-number"),
                say("mail-blank-relation"),
                say("mail-blank-words"),
                say("mail-blank-read"),
                say("mail-blank-taken"),
                say("mail-blank-day"),
            ],
        ),
        LetterKind::Documents => (
            say("mail-documents-title"),
            say("mail-to-hospital"),
            vec![say("mail-documents-what"), say("mail-documents-until")],
            vec![say("mail-blank-person"), say("mail-blank-day")],
        ),
    };
    if !letter.text.asked.is_empty() {
        paragraphs.push(words.say_with("mail-asked", &[("value", &letter.text.asked)]));
    }
    Some(Side {
        tag: language.tag(),
        title,
        to,
        paragraphs,
        blanks,
        sign: say("mail-sign"),
        note: say("mail-note"),
    })
}
