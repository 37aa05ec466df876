//! Transfers that come in: registered, answered with a receipt, made a case or concluded.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;

use super::failure::Failure;
use super::frame::Frame;
use super::matters::{self, Choice, Deadline, Done, choices, date, to};
use super::route::{REVIEW, Route};
use super::visitor::{Posted, Visitor};
use super::{Console, letter, page};
use crate::bureau::cases::numbers::Series;
use crate::bureau::cases::texts::IncomingText;
use crate::bureau::cases::words::{Authority, IncomingState, Outcome};
use crate::bureau::store::{IncomingTransfer, NewIncoming};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/transfers/in", REVIEW, async || to("/ledger?matter=incoming")),
        Route::get("/transfers/in/new", REVIEW, new),
        Route::post("/transfers/in", REVIEW, register),
        Route::get("/transfers/in/{number}", REVIEW, show),
        Route::get("/transfers/in/{number}/receipt", REVIEW, letter::receipt),
        Route::post("/transfers/in/{number}/ask", REVIEW, ask),
        Route::post("/transfers/in/{number}/supplied", REVIEW, supplied),
        Route::post("/transfers/in/{number}/answer", REVIEW, answer),
        Route::post("/transfers/in/{number}/conclude", REVIEW, conclude),
    ]
}

#[derive(Template)]
#[template(path = "console/incoming_new.html")]
struct NewPage<'a> {
    frame: Frame<'a>,
    senders: Vec<Choice>,
    today: String,
}

async fn new(State(console): State<Arc<Console>>, visitor: Visitor) -> Result<Response, Failure> {
    let words = visitor.words();
    let senders = choices(Authority::ALL.iter().map(|a| a.as_str()), |a| words.word("authority", a));
    let frame = Frame::new(&visitor, "incoming-new-title");
    page(&visitor, &NewPage { frame, senders, today: console.today().to_string() })
}

#[derive(Deserialize)]
struct NewForm {
    sender: String,
    on: String,
    from: String,
    #[serde(default)]
    from_contact: String,
    their_number: String,
    facts: String,
}

async fn register(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    posted: Posted<NewForm>,
) -> Result<Response, Failure> {
    let form = posted.form;
    let sender: Authority = matters::choice(&form.sender)?;
    let now = console.clock.now().wall;
    let received_at = matters::day(&form.on, matters::year_back(now), now)?;
    let text = IncomingText {
        from: matters::line(&form.from)?,
        from_contact: matters::maybe_line(&form.from_contact)?,
        their_number: matters::line(&form.their_number)?,
        facts: matters::text(&form.facts)?,
        ..IncomingText::default()
    };
    let new = NewIncoming { sender, received_at, text, by: console.by(&visitor)? };
    let number = console.store.register_incoming(new).await?;
    console.note(&visitor, "incoming register", &number.to_string(), format!("from {sender}")).await?;
    Ok(to(&format!("/transfers/in/{number}")))
}

#[derive(Template)]
#[template(path = "console/incoming.html")]
struct IncomingPage<'a> {
    frame: Frame<'a>,
    incoming: IncomingTransfer,
    sender: String,
    state: String,
    received: String,
    asked: String,
    supplied: String,
    answered: String,
    concluded: String,
    outcome: String,
    case: String,
    may_ask: String,
    due: Vec<Deadline>,
    outcomes: Vec<Choice>,
    history: Vec<Done>,
    receipt_usual: String,
}

impl IncomingPage<'_> {
    fn is_new(&self) -> bool {
        self.incoming.state == IncomingState::Registered
    }

    fn is_answered(&self) -> bool {
        self.incoming.state == IncomingState::Answered
    }

    fn may_become_case(&self) -> bool {
        self.incoming.state != IncomingState::Concluded && self.incoming.case.is_none()
    }

    fn wants_material(&self) -> bool {
        self.incoming.asked_at.is_some() && self.incoming.supplied_at.is_none()
    }
}

async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
) -> Result<Response, Failure> {
    let number = matters::noted(&console, &visitor, Series::Incoming, "incoming look", &raw).await?;
    let incoming = console.store.incoming_transfer(number).await?.ok_or_else(Failure::not_found)?;
    let (rules, today, words) = (&console.practice.rules, console.today(), visitor.words());
    let steps = rules.incoming(&incoming);
    let due = steps.iter().filter(|s| s.done.is_none());
    let shown = IncomingPage {
        frame: Frame::titled(&visitor, words.say_with("incoming-title", &[("value", &number.to_string())])),
        sender: words.word("authority", incoming.sender.as_str()),
        state: words.word("incomingstate", incoming.state.as_str()),
        received: date(Some(incoming.received_at)),
        asked: date(incoming.asked_at),
        supplied: date(incoming.supplied_at),
        answered: date(incoming.answered_at),
        concluded: date(incoming.concluded_at),
        outcome: incoming.outcome.map(|o| words.word("outcome", o.as_str())).unwrap_or_default(),
        case: incoming.case.map(|c| c.to_string()).unwrap_or_default(),
        may_ask: rules.may_ask(incoming.received_at).day.to_string(),
        due: due.map(|s| Deadline::new(*s, rules, today, words)).collect(),
        outcomes: choices(Outcome::ALL.iter().map(|o| o.as_str()), |o| words.word("outcome", o)),
        history: console.history(&number.to_string(), words).await?,
        receipt_usual: words.say("incoming-receipt-usual"),
        incoming,
    };
    page(&visitor, &shown)
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    text: String,
    #[serde(default)]
    outcome: String,
}

async fn ask(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Said>,
) -> Result<Response, Failure> {
    let what = matters::text(&posted.form.text)?;
    let number = matters::noted(&console, &visitor, Series::Incoming, "incoming ask", &raw).await?;
    console.store.ask_sender(number, &what, console.by(&visitor)?).await?;
    Ok(to(&format!("/transfers/in/{number}")))
}

async fn supplied(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    _: Posted<Said>,
) -> Result<Response, Failure> {
    let number = matters::noted(&console, &visitor, Series::Incoming, "incoming supplied", &raw).await?;
    console.store.sender_supplied(number, console.by(&visitor)?).await?;
    Ok(to(&format!("/transfers/in/{number}")))
}

async fn answer(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Said>,
) -> Result<Response, Failure> {
    let receipt = matters::text(&posted.form.text)?;
    let number = matters::noted(&console, &visitor, Series::Incoming, "incoming answer", &raw).await?;
    console.store.answer_incoming(number, &receipt, console.by(&visitor)?).await?;
    Ok(to(&format!("/transfers/in/{number}")))
}

async fn conclude(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Said>,
) -> Result<Response, Failure> {
    let result = matters::text(&posted.form.text)?;
    let outcome: Outcome = matters::choice(&posted.form.outcome)?;
    let number = matters::noted(&console, &visitor, Series::Incoming, "incoming conclude", &raw).await?;
    console.store.conclude_incoming(number, (outcome, &result), console.by(&visitor)?).await?;
    Ok(to(&format!("/transfers/in/{number}")))
}
