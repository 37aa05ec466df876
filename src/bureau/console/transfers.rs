//! Transfers to another authority: proposed, approved by a second person, followed
//! until their result comes. The letter itself is [`super::letter`].

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;

use super::failure::Failure;
use super::frame::Frame;
use super::matters::{self, Choice, Deadline, choices, date, to};
use super::parts::Nothing;
use super::route::{REVIEW, Route, SUPERVISE};
use super::shown::moment;
use super::visitor::{Posted, Visitor};
use super::{Console, letter, page};
use crate::bureau::accounts::Role;
use crate::bureau::cases::money::yuan;
use crate::bureau::cases::numbers::Series;
use crate::bureau::cases::texts::LetterText;
use crate::bureau::cases::words::{Authority, Outcome, TransferState};
use crate::bureau::store::{Approval, NewTransfer, Transfer, TransferId, TransferStep};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/transfers", REVIEW, async || to("/ledger?matter=transfer")),
        Route::post("/cases/{number}/transfers", REVIEW, propose),
        Route::get("/transfers/{id}", REVIEW, show),
        Route::get("/transfers/{id}/letter", REVIEW, letter::show),
        Route::post("/transfers/{id}/approve", SUPERVISE, approve),
        Route::post("/transfers/{id}/refuse", SUPERVISE, refuse),
        Route::post("/transfers/{id}/asked", REVIEW, asked),
        Route::post("/transfers/{id}/supplied", REVIEW, supplied),
        Route::post("/transfers/{id}/received", REVIEW, received),
        Route::post("/transfers/{id}/concluded", REVIEW, concluded),
    ]
}

#[derive(Deserialize)]
struct Proposal {
    receiver: String,
    to: String,
    #[serde(default)]
    to_contact: String,
    subject: String,
    facts: String,
    basis: String,
    attachments: String,
}

async fn propose(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Proposal>,
) -> Result<Response, Failure> {
    let case = matters::number(&raw, Series::Case)?;
    let form = posted.form;
    let receiver: Authority = matters::choice(&form.receiver)?;
    let text = LetterText {
        to: matters::line(&form.to)?,
        to_contact: matters::maybe_line(&form.to_contact)?,
        subject: matters::line(&form.subject)?,
        facts: matters::text(&form.facts)?,
        basis: matters::line(&form.basis)?,
        attachments: matters::text(&form.attachments)?,
        ..LetterText::default()
    };
    console.note(&visitor, "transfer propose", &case.to_string(), format!("to {receiver}")).await?;
    let new = NewTransfer { case, receiver, text, by: console.by(&visitor)? };
    let id = console.store.propose_transfer(new).await?;
    Ok(to(&format!("/transfers/{id}")))
}

#[derive(Template)]
#[template(path = "console/transfer.html")]
struct TransferPage<'a> {
    frame: Frame<'a>,
    transfer: Transfer,
    case: String,
    receiver: String,
    state: String,
    amount: String,
    proposed: String,
    decided: String,
    asked: String,
    supplied: String,
    received: String,
    concluded: String,
    outcome: String,
    /// Until when the receiver may ask for material; empty before it was sent.
    may_ask: String,
    due: Vec<Deadline>,
    outcomes: Vec<Choice>,
    today: String,
    /// Whether the reader may be its second person, as far as roles and the proposal go.
    may_approve: bool,
    is_proposer: bool,
}

impl TransferPage<'_> {
    fn waits(&self) -> bool {
        self.transfer.state == TransferState::Proposed
    }

    fn is_sent(&self) -> bool {
        self.transfer.number.is_some()
    }

    fn runs(&self) -> bool {
        matches!(self.transfer.state, TransferState::Sent | TransferState::Received)
    }

    fn wants_receipt(&self) -> bool {
        self.transfer.state == TransferState::Sent
    }

    fn wants_material(&self) -> bool {
        self.runs() && self.transfer.asked_at.is_some() && self.transfer.supplied_at.is_none()
    }
}

fn id(raw: &str) -> Result<TransferId, Failure> {
    raw.parse().map_err(|_| Failure::not_found())
}

/// A transfer, once it is written down that somebody looks at it.
pub(super) async fn looked_at(
    console: &Console,
    visitor: &Visitor,
    raw: &str,
    what: &str,
) -> Result<Transfer, Failure> {
    let id = id(raw)?;
    let transfer = console.store.transfer(id).await?.ok_or_else(Failure::not_found)?;
    console.note(visitor, what, &transfer.case.to_string(), format!("transfer {id}")).await?;
    Ok(transfer)
}

async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
) -> Result<Response, Failure> {
    let transfer = looked_at(&console, &visitor, &raw, "transfer look").await?;
    let case = console.store.case(transfer.case).await?;
    let (rules, today, words) = (&console.practice.rules, console.today(), visitor.words());
    let steps = rules.transfer(&transfer, case.as_ref());
    let due = steps.iter().filter(|s| s.done.is_none());
    let me = visitor.account()?.as_str();
    let title = match transfer.number {
        Some(_) => transfer.text.number.clone(),
        None => words.say_with("transfers-title", &[("value", &transfer.case.to_string())]),
    };
    let sent = transfer.decided_at.filter(|_| transfer.number.is_some());
    let shown = TransferPage {
        frame: Frame::titled(&visitor, title),
        case: transfer.case.to_string(),
        receiver: words.word("authority", transfer.receiver.as_str()),
        state: words.word("transferstate", transfer.state.as_str()),
        amount: yuan(transfer.amount_fen),
        proposed: moment(transfer.proposed_at),
        decided: transfer.decided_at.map(moment).unwrap_or_default(),
        asked: date(transfer.asked_at),
        supplied: date(transfer.supplied_at),
        received: date(transfer.received_at),
        concluded: date(transfer.concluded_at),
        outcome: transfer.outcome.map(|o| words.word("outcome", o.as_str())).unwrap_or_default(),
        may_ask: sent.map(|at| rules.may_ask(at).day.to_string()).unwrap_or_default(),
        due: due.map(|s| Deadline::new(*s, rules, today, words)).collect(),
        outcomes: choices(Outcome::ALL.iter().map(|o| o.as_str()), |o| words.word("outcome", o)),
        today: today.to_string(),
        may_approve: visitor.has(Role::Supervisor) && transfer.proposed_by != me,
        is_proposer: transfer.proposed_by == me,
        transfer,
    };
    page(&visitor, &shown)
}

async fn approve(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    _: Posted<Nothing>,
) -> Result<Response, Failure> {
    let transfer = looked_at(&console, &visitor, &raw, "transfer approve").await?;
    let config = &console.practice.config;
    let with = Approval { bureau: &config.bureau, contact: &config.contact, prefix: &config.letter_prefix };
    console.store.approve_transfer(transfer.id, with, console.by(&visitor)?).await?;
    Ok(to(&format!("/transfers/{}", transfer.id)))
}

/// A form with one text.
#[derive(Deserialize)]
struct Said {
    text: String,
}

async fn refuse(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Said>,
) -> Result<Response, Failure> {
    let reason = matters::text(&posted.form.text)?;
    let transfer = looked_at(&console, &visitor, &raw, "transfer refuse").await?;
    console.store.refuse_transfer(transfer.id, &reason, console.by(&visitor)?).await?;
    Ok(to(&format!("/transfers/{}", transfer.id)))
}

/// What the receiver did, and when.
#[derive(Deserialize)]
struct Step {
    on: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    outcome: String,
}

async fn asked(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Step>,
) -> Result<Response, Failure> {
    let what = matters::text(&posted.form.text)?;
    step(&console, &visitor, (&raw, &posted.form.on), TransferStep::Asked(&what)).await
}

async fn supplied(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Step>,
) -> Result<Response, Failure> {
    step(&console, &visitor, (&raw, &posted.form.on), TransferStep::Supplied).await
}

async fn received(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Step>,
) -> Result<Response, Failure> {
    let says = matters::maybe_text(&posted.form.text)?;
    step(&console, &visitor, (&raw, &posted.form.on), TransferStep::Received(&says)).await
}

async fn concluded(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Step>,
) -> Result<Response, Failure> {
    let says = matters::text(&posted.form.text)?;
    let outcome: Outcome = matters::choice(&posted.form.outcome)?;
    step(&console, &visitor, (&raw, &posted.form.on), TransferStep::Concluded(outcome, &says)).await
}

async fn step(
    console: &Console,
    visitor: &Visitor,
    (raw, on): (&str, &str),
    step: TransferStep<'_>,
) -> Result<Response, Failure> {
    let what = match step {
        TransferStep::Asked(_) => "transfer asked",
        TransferStep::Supplied => "transfer supplied",
        TransferStep::Received(_) => "transfer received",
        TransferStep::Concluded(..) => "transfer concluded",
    };
    let transfer = looked_at(console, visitor, raw, what).await?;
    let sent = transfer.decided_at.ok_or_else(|| Failure::conflict("refused-state"))?;
    let on = matters::day(on, sent, console.clock.now().wall)?;
    console.store.step_transfer(transfer.id, step, on).await?;
    Ok(to(&format!("/transfers/{}", transfer.id)))
}
