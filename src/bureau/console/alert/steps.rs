//! Deciding, giving to somebody, opening again, and the other side's word.

use std::sync::Arc;

use axum::extract::{Path, State as Held};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::Console;
use super::super::failure::Failure;
use super::super::route::{self, Route};
use super::super::visitor::{Posted, Visitor};
use super::{Opened, Refused, render};
use crate::bureau::accounts::{AccountName, Role};
use crate::bureau::review::{Decision, Refusal, Step};
use crate::bureau::store::{BlindAnswer, NewStep, StepText};
use crate::protocol::id::AlertId;

/// Longest note, in characters.
const MOST_NOTE: usize = 4_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/alerts/{id}/decision", route::REVIEW, decide),
        Route::post("/alerts/{id}/assignment", route::REVIEW, assign),
        Route::post("/alerts/{id}/reopening", route::REVIEW, reopen),
        Route::post("/alerts/{id}/appeal", route::REVIEW, appeal),
    ]
}

/// A text of a form, neither empty nor too long.
pub(super) fn text(found: &str) -> Result<String, Failure> {
    let trimmed = found.trim();
    if (1..=MOST_NOTE).contains(&trimmed.chars().count()) {
        return Ok(trimmed.to_owned());
    }
    Err(Failure::bad("alert-text-required").with("most", MOST_NOTE.to_string()))
}

/// A text of a form that may be left out.
pub(super) fn text_if_any(found: &str) -> Result<String, Failure> {
    if found.trim().is_empty() { Ok(String::new()) } else { text(found) }
}

/// A step as it comes from a form.
struct Wanted {
    step: Step,
    seen: i64,
    assignee: Option<AccountName>,
    text: StepText,
}

/// Takes a step; the page again, with what changed, if its form is out of date.
async fn take(
    console: &Console,
    visitor: &Visitor,
    id: AlertId,
    wanted: Wanted,
) -> Result<Response, Failure> {
    let Wanted { step, seen, assignee, text } = wanted;
    let by = visitor.account()?;
    let at = console.clock.now().wall;
    console.note(visitor, step.as_str(), &id.to_string(), String::new()).await?;
    let new = NewStep { alert: id, seen, step, by, at, assignee: assignee.as_ref(), text: &text };
    match console.store.take_step(&new).await? {
        // Back to the list, as after a blind decision: the two must not be told apart.
        Ok(_) if step.decision().is_some() => Ok(to_list()),
        Ok(_) => Ok(back(id)),
        Err(Refusal::Stale) => {
            render(console, visitor, id, Refused { seen: Some(seen), note: text.note }).await
        }
        Err(refusal) => Err(said(refusal)),
    }
}

pub(super) fn back(id: AlertId) -> Response {
    Redirect::to(&format!("/alerts/{id}")).into_response()
}

fn to_list() -> Response {
    Redirect::to("/alerts").into_response()
}

fn said(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Withdrawn => Failure::conflict("alert-refused-withdrawn"),
        Refusal::Decided => Failure::conflict("alert-refused-decided"),
        Refusal::Open => Failure::conflict("alert-refused-open"),
        Refusal::Stale => Failure::conflict("alert-refused-stale"),
        Refusal::NeedsSupervisor => Failure::conflict("alert-refused-doubtful"),
        Refusal::Unfit => Failure::bad("alert-decision-unfit"),
        Refusal::Gone => Failure::not_found(),
    }
}

/// Ends a blind check whose reviewer does more than decide: what they did shows them that
/// the alert was decided.
pub(super) async fn unblind(console: &Console, visitor: &Visitor, opened: &Opened) -> Result<(), Failure> {
    if opened.blind {
        let at = console.clock.now().wall;
        console.store.void_blind(opened.listing.id, visitor.account()?, at).await?;
        return Err(Failure::conflict("alert-was-blind"));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Decided {
    seen: i64,
    #[serde(default)]
    decision: String,
    #[serde(default)]
    note: String,
}

async fn decide(
    Held(console): Held<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<AlertId>,
    posted: Posted<Decided>,
) -> Result<Response, Failure> {
    let Decided { seen, decision, note } = posted.form;
    // Nothing is preselected: who sent none has chosen none.
    let decision: Decision = decision.parse().map_err(|_| Failure::bad("alert-decision-required"))?;
    let note = text(&note)?;
    let opened = Opened::of(&console, &visitor, id).await?;
    opened.soundness().admits(visitor.has(Role::Supervisor)).map_err(said)?;
    if !decision.fits(opened.listing.claim) {
        return Err(said(Refusal::Unfit));
    }
    if opened.blind {
        // The record says what it says of every decision: who reads it learns no more.
        console.note(&visitor, Step::Decide(decision).as_str(), &id.to_string(), String::new()).await?;
        let (by, at) = (visitor.account()?, console.clock.now().wall);
        console.store.answer_blind(&BlindAnswer { alert: id, by, decision, note: &note, at }).await?;
        return Ok(to_list());
    }
    let text = StepText { note, ..StepText::default() };
    take(&console, &visitor, id, Wanted { step: Step::Decide(decision), seen, assignee: None, text }).await
}

#[derive(Deserialize)]
struct Assigned {
    seen: i64,
    /// Empty for the visitor themself.
    #[serde(default)]
    to: String,
}

async fn assign(
    Held(console): Held<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<AlertId>,
    posted: Posted<Assigned>,
) -> Result<Response, Failure> {
    let Assigned { seen, to } = posted.form;
    let own = visitor.account()?.clone();
    let to = match to.trim() {
        "" => own.clone(),
        name => name.parse().map_err(|_| Failure::bad("alert-assignee-unknown"))?,
    };
    if to != own && !visitor.has(Role::Supervisor) {
        return Err(Failure::not_allowed());
    }
    let account = console.store.account(&to).await?.filter(|a| !a.disabled);
    if !account.is_some_and(|a| a.roles.any_of(&[Role::Reviewer, Role::Supervisor])) {
        return Err(Failure::bad("alert-assignee-unknown"));
    }
    unblind(&console, &visitor, &Opened::of(&console, &visitor, id).await?).await?;
    let wanted = Wanted { step: Step::Assign, seen, assignee: Some(to), text: StepText::default() };
    take(&console, &visitor, id, wanted).await
}

#[derive(Deserialize)]
struct Reopened {
    seen: i64,
    #[serde(default)]
    note: String,
}

async fn reopen(
    Held(console): Held<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<AlertId>,
    posted: Posted<Reopened>,
) -> Result<Response, Failure> {
    let Reopened { seen, note } = posted.form;
    let text = StepText { note: text(&note)?, ..StepText::default() };
    unblind(&console, &visitor, &Opened::of(&console, &visitor, id).await?).await?;
    take(&console, &visitor, id, Wanted { step: Step::Reopen, seen, assignee: None, text }).await
}

#[derive(Deserialize)]
struct Appealed {
    seen: i64,
    #[serde(default)]
    person: String,
    #[serde(default)]
    on: String,
    #[serde(default)]
    note: String,
}

async fn appeal(
    Held(console): Held<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<AlertId>,
    posted: Posted<Appealed>,
) -> Result<Response, Failure> {
    let Appealed { seen, person, on, note } = posted.form;
    let on: jiff::civil::Date = on.trim().parse().map_err(|_| Failure::bad("alert-day-required"))?;
    let text = StepText { note: text(&note)?, person: text(&person)?, on: on.to_string() };
    unblind(&console, &visitor, &Opened::of(&console, &visitor, id).await?).await?;
    take(&console, &visitor, id, Wanted { step: Step::Appeal, seen, assignee: None, text }).await
}
