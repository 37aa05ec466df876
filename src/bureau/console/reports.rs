//! Reports of the public (举报): registered, answered, extended, linked, concluded.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;

use super::failure::Failure;
use super::frame::Frame;
use super::matters::{self, Choice, Deadline, Done, choices, date, to};
use super::route::{REVIEW, Route, SUPERVISE};
use super::visitor::{Posted, Visitor};
use super::{Console, page};
use crate::bureau::accounts::Role;
use crate::bureau::cases::numbers::{Number, Series};
use crate::bureau::cases::texts::ReportText;
use crate::bureau::cases::words::{Channel, Complexity, ReportOutcome, ReportState};
use crate::bureau::store::{NewReport, Report, ReportAnswer};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/reports", REVIEW, async || to("/ledger?matter=report")),
        Route::get("/reports/new", REVIEW, new),
        Route::post("/reports", REVIEW, register),
        Route::get("/reports/{number}", REVIEW, show),
        Route::post("/reports/{number}/answer", REVIEW, answer),
        Route::post("/reports/{number}/extend", SUPERVISE, extend),
        Route::post("/reports/{number}/case", REVIEW, link),
        Route::post("/reports/{number}/conclude", REVIEW, conclude),
    ]
}

#[derive(Template)]
#[template(path = "console/report_new.html")]
struct NewPage<'a> {
    frame: Frame<'a>,
    channels: Vec<Choice>,
    today: String,
}

async fn new(State(console): State<Arc<Console>>, visitor: Visitor) -> Result<Response, Failure> {
    let words = visitor.words();
    let channels = choices(Channel::ALL.iter().map(|c| c.as_str()), |c| words.word("channel", c));
    let frame = Frame::new(&visitor, "reports-new-title");
    page(&visitor, &NewPage { frame, channels, today: console.today().to_string() })
}

#[derive(Deserialize)]
struct NewForm {
    channel: String,
    on: String,
    #[serde(default)]
    reporter: String,
    #[serde(default)]
    contact: String,
    text: String,
}

async fn register(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    posted: Posted<NewForm>,
) -> Result<Response, Failure> {
    let form = posted.form;
    let channel: Channel = matters::choice(&form.channel)?;
    let now = console.clock.now().wall;
    let received_at = matters::day(&form.on, matters::year_back(now), now)?;
    let text = ReportText {
        reporter: matters::maybe_line(&form.reporter)?,
        contact: matters::maybe_line(&form.contact)?,
        text: matters::text(&form.text)?,
        ..ReportText::default()
    };
    let new = NewReport { channel, received_at, text, by: console.by(&visitor)? };
    let number = console.store.register_report(new).await?;
    console.note(&visitor, "report register", &number.to_string(), format!("by {channel}")).await?;
    Ok(to(&format!("/reports/{number}")))
}

#[derive(Template)]
#[template(path = "console/report.html")]
struct ReportPage<'a> {
    frame: Frame<'a>,
    report: Report,
    channel: String,
    state: String,
    complexity: String,
    received: String,
    answered: String,
    concluded: String,
    outcome: String,
    case: String,
    due: Vec<Deadline>,
    outcomes: Vec<Choice>,
    complexities: Vec<Choice>,
    history: Vec<Done>,
    supervises: bool,
}

impl ReportPage<'_> {
    fn is_new(&self) -> bool {
        self.report.state == ReportState::Registered
    }

    fn is_taken_up(&self) -> bool {
        self.report.state == ReportState::TakenUp
    }

    fn may_extend(&self) -> bool {
        self.supervises && self.is_taken_up() && !self.complexities.is_empty()
    }
}

async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
) -> Result<Response, Failure> {
    let number = matters::noted(&console, &visitor, Series::Report, "report look", &raw).await?;
    let report = console.store.report(number).await?.ok_or_else(Failure::not_found)?;
    let (rules, today, words) = (&console.practice.rules, console.today(), visitor.words());
    let steps = rules.report(&report);
    let due = steps.iter().filter(|s| s.done.is_none());
    let further = Complexity::ALL.iter().filter(|c| **c > report.complexity).map(|c| c.as_str());
    let shown = ReportPage {
        frame: Frame::titled(&visitor, words.say_with("reports-title", &[("value", &number.to_string())])),
        channel: words.word("channel", report.channel.as_str()),
        state: words.word("reportstate", report.state.as_str()),
        complexity: words.word("complexity", report.complexity.as_str()),
        received: date(Some(report.received_at)),
        answered: date(report.answered_at),
        concluded: date(report.concluded_at),
        outcome: report.outcome.map(|o| words.word("reportoutcome", o.as_str())).unwrap_or_default(),
        case: report.case.map(|c| c.to_string()).unwrap_or_default(),
        due: due.map(|s| Deadline::new(*s, rules, today, words)).collect(),
        outcomes: choices(ReportOutcome::ALL.iter().map(|o| o.as_str()), |o| words.word("reportoutcome", o)),
        complexities: choices(further, |c| words.word("complexity", c)),
        history: console.history(&number.to_string(), words).await?,
        supervises: visitor.has(Role::Supervisor),
        report,
    };
    page(&visitor, &shown)
}

/// A choice and what is said of it.
#[derive(Deserialize)]
struct Said {
    choice: String,
    text: String,
}

async fn answer(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Said>,
) -> Result<Response, Failure> {
    let says = matters::text(&posted.form.text)?;
    let answer = match posted.form.choice.as_str() {
        "taken_up" => ReportAnswer::TakenUp,
        "not_taken_up" => ReportAnswer::NotTakenUp,
        _ => return Err(Failure::bad("matters-bad-choice")),
    };
    let number = matters::noted(&console, &visitor, Series::Report, "report answer", &raw).await?;
    console.store.answer_report(number, (answer, &says), console.by(&visitor)?).await?;
    Ok(to(&format!("/reports/{number}")))
}

async fn extend(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Said>,
) -> Result<Response, Failure> {
    let reason = matters::text(&posted.form.text)?;
    let complexity: Complexity = matters::choice(&posted.form.choice)?;
    let number = matters::noted(&console, &visitor, Series::Report, "report extend", &raw).await?;
    console.store.extend_report(number, (complexity, &reason)).await?;
    Ok(to(&format!("/reports/{number}")))
}

async fn conclude(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Said>,
) -> Result<Response, Failure> {
    let result = matters::text(&posted.form.text)?;
    let outcome: ReportOutcome = matters::choice(&posted.form.choice)?;
    let number = matters::noted(&console, &visitor, Series::Report, "report conclude", &raw).await?;
    console.store.conclude_report(number, (outcome, &result), console.by(&visitor)?).await?;
    Ok(to(&format!("/reports/{number}")))
}

#[derive(Deserialize)]
struct Link {
    case: String,
}

async fn link(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Link>,
) -> Result<Response, Failure> {
    let case = posted.form.case.trim().parse().ok().filter(|n: &Number| n.series == Series::Case);
    let case = case.ok_or_else(|| Failure::bad("reports-bad-case"))?;
    let number = matters::noted(&console, &visitor, Series::Report, "report link", &raw).await?;
    console.store.link_report(number, case).await?;
    Ok(to(&format!("/reports/{number}")))
}
