//! Letters about an alert: drafted, printed in Chinese with English for reading, sent by
//! people, and entered when they are answered. What they say is [`super::mail`]'s.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State as Held};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::failure::Failure;
use super::super::frame::Frame;
use super::super::parts::Mark;
use super::super::route::{self, Route};
use super::super::shown::day;
use super::super::visitor::{Posted, Visitor};
use super::super::{Console, page};
use super::Opened;
use super::mail::{Sender, Side, side};
use super::parts::settled;
use super::steps::{back, text, text_if_any, unblind};
use crate::bureau::review::{LetterKind, LetterState};
use crate::bureau::store::{Answer, Letter, LetterText, NewLetter};
use crate::clock::WallTime;
use crate::http::language::Language;
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
