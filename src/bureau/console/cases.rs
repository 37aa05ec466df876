//! Cases: opened from confirmed alerts, filled, put under legal hold, ended.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::failure::Failure;
use super::frame::Frame;
use super::matters::{self, Choice, Deadline, Done, choices, date, hospital, to};
use super::route::{Needs, REVIEW, Route, SUPERVISE};
use super::shown::moment;
use super::visitor::{Posted, Visitor};
use super::{Console, page};
use crate::bureau::accounts::Role;
use crate::bureau::cases::due::next;
use crate::bureau::cases::money::yuan;
use crate::bureau::cases::numbers::{Number, Series};
use crate::bureau::cases::words::{Authority, CaseState, Finding};
use crate::bureau::store::{Case, CaseAlert, NewCase, Origin, Transfer};
use crate::protocol::id::AlertId;

/// Who may open a case.
pub(super) const OPEN: Needs = REVIEW;
const HOLDS: Needs = Needs::Roles(&[Role::PrivacyOfficer, Role::Supervisor]);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/cases", REVIEW, async || to("/ledger?matter=case")),
        Route::post("/cases", OPEN, open),
        Route::get("/cases/new", OPEN, new),
        Route::get("/cases/holds", HOLDS, holds),
        Route::get("/cases/{number}", REVIEW, show),
        Route::post("/cases/{number}/alerts", REVIEW, join),
        Route::post("/cases/{number}/facts", REVIEW, fill),
        Route::post("/cases/{number}/hold", SUPERVISE, hold),
        Route::post("/cases/{number}/lift", SUPERVISE, lift),
        Route::post("/cases/{number}/close", SUPERVISE, close),
        Route::post("/cases/{number}/conclude", SUPERVISE, conclude),
    ]
}

/// An alert of a case as it is shown.
struct AlertShown {
    id: String,
    hospital: String,
    occurred_at: String,
    amount: String,
    finding: String,
    confirmed: bool,
}

impl AlertShown {
    fn new(alert: &CaseAlert, visitor: &Visitor) -> Self {
        let words = visitor.words();
        Self {
            id: alert.alert.to_string(),
            hospital: hospital(&alert.hospital, alert.hospital_name.as_deref()),
            occurred_at: moment(alert.occurred_at),
            amount: yuan(alert.amount_fen),
            finding: match alert.finding {
                Some(finding) => words.word("finding", finding.as_str()),
                None => words.say("cases-not-confirmed"),
            },
            confirmed: alert.finding.is_some(),
        }
    }
}

struct OpenCase {
    number: String,
    opened: String,
    amount: String,
}

#[derive(Template)]
#[template(path = "console/case_new.html")]
struct NewPage<'a> {
    frame: Frame<'a>,
    /// What the case would come from: `alert`, `report` or `incoming`, and which.
    origin: &'static str,
    id: String,
    alert: Option<AlertShown>,
    open: Vec<OpenCase>,
}

#[derive(Deserialize)]
struct Asked {
    alert: Option<String>,
    report: Option<String>,
    incoming: Option<String>,
}

/// To who is to decide an alert blind it is an open one, here too.
async fn sighted(console: &Console, visitor: &Visitor, alert: AlertId) -> Result<(), Failure> {
    match console.store.blind_for(visitor.account()?).await?.contains(&alert) {
        true => Err(Failure::conflict("refused-not-confirmed")),
        false => Ok(()),
    }
}

fn alert_id(raw: &str) -> Result<AlertId, Failure> {
    raw.parse().map_err(|_| Failure::not_found())
}

async fn new(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let frame = Frame::new(&visitor, "cases-new-title");
    let mut shown = NewPage { frame, origin: "", id: String::new(), alert: None, open: Vec::new() };
    if let Some(raw) = asked.alert {
        let id = alert_id(&raw)?;
        console.note(&visitor, "case look", &id.to_string(), String::new()).await?;
        sighted(&console, &visitor, id).await?;
        if let Some(case) = console.store.case_of(id).await? {
            return Ok(to(&format!("/cases/{case}")));
        }
        let alert = console.store.confirmed_alert(id).await?;
        let alert = alert.ok_or_else(|| Failure::conflict("refused-not-confirmed"))?;
        (shown.origin, shown.id) = ("alert", id.to_string());
        shown.alert = Some(AlertShown::new(&alert, &visitor));
        shown.open = console.store.open_cases().await?.iter().map(open_case).collect();
    } else if let Some(raw) = asked.report {
        (shown.origin, shown.id) = ("report", matters::number(&raw, Series::Report)?.to_string());
    } else if let Some(raw) = asked.incoming {
        (shown.origin, shown.id) = ("incoming", matters::number(&raw, Series::Incoming)?.to_string());
    } else {
        return Err(Failure::conflict("refused-no-origin"));
    }
    page(&visitor, &shown)
}

fn open_case(case: &Case) -> OpenCase {
    OpenCase {
        number: case.number.to_string(),
        opened: date(Some(case.opened_at)),
        amount: yuan(case.amount_fen),
    }
}

#[derive(Deserialize)]
struct NewForm {
    origin: String,
    id: String,
    facts: String,
}

async fn open(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    posted: Posted<NewForm>,
) -> Result<Response, Failure> {
    let NewForm { origin, id, facts } = posted.form;
    let facts = matters::maybe_text(&facts)?;
    let mut alerts = Vec::new();
    let origin = match origin.as_str() {
        "alert" => {
            let alert = alert_id(&id)?;
            sighted(&console, &visitor, alert).await?;
            alerts.push(alert);
            Origin::Alerts
        }
        "report" => Origin::Report(matters::number(&id, Series::Report)?),
        "incoming" => Origin::Incoming(matters::number(&id, Series::Incoming)?),
        _ => return Err(Failure::bad("matters-bad-choice")),
    };
    console.note(&visitor, "case open", &id, String::new()).await?;
    let new = NewCase { origin, alerts: &alerts, facts: &facts };
    let number = console.store.open_case(&new, console.by(&visitor)?).await?;
    console.note(&visitor, "case opened", &number.to_string(), format!("from {id}")).await?;
    Ok(to(&format!("/cases/{number}")))
}

/// A transfer of a case as it is listed.
struct TransferShown {
    id: String,
    number: String,
    receiver: String,
    state: String,
    proposed: String,
    due: Option<Deadline>,
}

#[derive(Template)]
#[template(path = "console/case.html")]
struct CasePage<'a> {
    frame: Frame<'a>,
    case: Case,
    opened: String,
    ended: String,
    amount: String,
    /// Thresholds that the sum passes: the sum, and whose.
    passed: Vec<(String, String)>,
    due: Option<Deadline>,
    alerts: Vec<AlertShown>,
    transfers: Vec<TransferShown>,
    history: Vec<Done>,
    receivers: Vec<Choice>,
    subject: String,
    basis: String,
    attachments: String,
    supervises: bool,
    may_propose: bool,
}

impl CasePage<'_> {
    fn is_open(&self) -> bool {
        self.case.state == CaseState::Open
    }

    fn is_transferred(&self) -> bool {
        self.case.state == CaseState::Transferred
    }
}

async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
) -> Result<Response, Failure> {
    let number = matters::noted(&console, &visitor, Series::Case, "case look", &raw).await?;
    let case = console.store.case(number).await?.ok_or_else(Failure::not_found)?;
    let transfers = console.store.transfers_of(number).await?;
    let alerts = console.store.case_alerts(number).await?;
    let (rules, today, words) = (&console.practice.rules, console.today(), visitor.words());
    let deadline = |step| Deadline::new(step, rules, today, words);
    let sent = transfers.iter().filter(|t| t.number.is_some()).filter_map(|t| t.decided_at).min();
    let due = next(&rules.case(&case, sent)).filter(|_| case.state == CaseState::Open).map(deadline);
    let waits = transfers.iter().any(|t| t.state.as_str() == "proposed");
    let shown = |t: &Transfer| TransferShown {
        id: t.id.to_string(),
        number: t.text.number.clone(),
        receiver: words.word("authority", t.receiver.as_str()),
        state: words.word("transferstate", t.state.as_str()),
        proposed: date(Some(t.proposed_at)),
        due: next(&rules.transfer(t, Some(&case))).map(deadline),
    };
    let transfers = transfers.iter().map(shown).collect();
    let may_propose = case.state.runs() && !waits;
    let page_of = CasePage {
        frame: Frame::titled(&visitor, words.say_with("cases-title", &[("value", &number.to_string())])),
        opened: moment(case.opened_at),
        ended: case.ended_at.map(moment).unwrap_or_default(),
        amount: yuan(case.amount_fen),
        passed: passed(&console, &case, &visitor),
        due,
        alerts: alerts.iter().map(|a| AlertShown::new(a, &visitor)).collect(),
        transfers,
        history: console.history(&number.to_string(), words).await?,
        receivers: choices(Authority::ALL.iter().map(|a| a.as_str()), |a| words.word("authority", a)),
        subject: if may_propose { subject(&console, &alerts, &visitor).await? } else { String::new() },
        basis: console.practice.config.legal_basis.clone(),
        attachments: words.say("transfers-attachments-usual"),
        supervises: visitor.has(Role::Supervisor),
        may_propose,
        case,
    };
    page(&visitor, &page_of)
}

fn passed(console: &Console, case: &Case, visitor: &Visitor) -> Vec<(String, String)> {
    let all = console.practice.config.thresholds.iter();
    let passed = all.filter(|t| case.amount_fen >= t.amount_fen);
    let name = |name: &str| match name {
        "" => visitor.words().say("cases-threshold-unnamed"),
        name => name.to_owned(),
    };
    passed.map(|t| (yuan(t.amount_fen), name(&t.name))).collect()
}

/// Whom or what the letter is about: the cardholders' numbers, which stand in the sealed
/// alerts alone; of sessions that did not take place the hospital that billed them.
async fn subject(console: &Console, alerts: &[CaseAlert], visitor: &Visitor) -> Result<String, Failure> {
    let (mut numbers, mut hospitals) = (BTreeSet::new(), BTreeSet::new());
    for alert in alerts {
        if alert.finding == Some(Finding::NotRendered) {
            hospitals.insert(hospital(&alert.hospital, alert.hospital_name.as_deref()));
            continue;
        }
        let held = console.store.evidence(alert.alert).await?;
        if let Some(about) = held.as_ref().and_then(|h| h.event.content.about()) {
            numbers.insert(about.cardholder.to_string());
        }
    }
    let named = |id: &str, all: BTreeSet<String>| {
        let all: Vec<String> = all.into_iter().collect();
        (!all.is_empty()).then(|| visitor.words().say_with(id, &[("value", &all.join(", "))]))
    };
    let subjects = [named("transfers-subject-billed", hospitals), named("transfers-subject-usual", numbers)];
    Ok(subjects.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

#[derive(Deserialize)]
struct JoinForm {
    alert: String,
}

async fn join(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<JoinForm>,
) -> Result<Response, Failure> {
    let number = matters::number(&raw, Series::Case)?;
    let alert = alert_id(&posted.form.alert)?;
    console.note(&visitor, "case join", &number.to_string(), format!("alert {alert}")).await?;
    sighted(&console, &visitor, alert).await?;
    console.store.join_case(number, alert, console.by(&visitor)?).await?;
    Ok(to(&format!("/cases/{number}")))
}

/// A form with one text.
#[derive(Deserialize)]
struct Said {
    text: String,
}

async fn fill(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Said>,
) -> Result<Response, Failure> {
    let (number, facts) = said(&console, &visitor, "case fill", (&raw, posted)).await?;
    console.store.fill_case(number, &facts, console.by(&visitor)?).await?;
    Ok(to(&format!("/cases/{number}")))
}

async fn hold(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Said>,
) -> Result<Response, Failure> {
    let (number, reason) = said(&console, &visitor, "case hold", (&raw, posted)).await?;
    console.store.hold_case(number, &reason, console.by(&visitor)?).await?;
    Ok(to(&format!("/cases/{number}")))
}

async fn lift(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Said>,
) -> Result<Response, Failure> {
    let (number, reason) = said(&console, &visitor, "case lift hold", (&raw, posted)).await?;
    console.store.lift_hold(number, &reason, console.by(&visitor)?).await?;
    Ok(to(&format!("/cases/{number}")))
}

async fn close(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Said>,
) -> Result<Response, Failure> {
    let (number, reason) = said(&console, &visitor, "case close", (&raw, posted)).await?;
    console.store.close_case(number, &reason, console.by(&visitor)?).await?;
    Ok(to(&format!("/cases/{number}")))
}

async fn conclude(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    posted: Posted<Said>,
) -> Result<Response, Failure> {
    let (number, result) = said(&console, &visitor, "case conclude", (&raw, posted)).await?;
    console.store.conclude_case(number, &result, console.by(&visitor)?).await?;
    Ok(to(&format!("/cases/{number}")))
}

/// What a form about a case says, once it is written down that it was sent.
async fn said(
    console: &Console,
    visitor: &Visitor,
    what: &str,
    (raw, posted): (&str, Posted<Said>),
) -> Result<(Number, String), Failure> {
    let number = matters::number(raw, Series::Case)?;
    let text = matters::text(&posted.form.text)?;
    console.note(visitor, what, &number.to_string(), String::new()).await?;
    Ok((number, text))
}

struct HoldShown {
    number: String,
    alerts: Vec<String>,
    legal: bool,
    reason: String,
}

#[derive(Template)]
#[template(path = "console/holds.html")]
struct HoldsPage<'a> {
    frame: Frame<'a>,
    held: Vec<HoldShown>,
    /// Whether the reader may open a case.
    reviews: bool,
}

/// What cases keep from purge and erasure: for whoever answers to cardholders' rights.
async fn holds(State(console): State<Arc<Console>>, visitor: Visitor) -> Result<Response, Failure> {
    console.note(&visitor, "holds look", "list of holds", String::new()).await?;
    let mut held: Vec<HoldShown> = Vec::new();
    for case in console.store.keeping_cases().await? {
        let alerts = console.store.case_alerts(case.number).await?;
        held.push(HoldShown {
            number: case.number.to_string(),
            alerts: alerts.into_iter().map(|a| a.alert.to_string()).collect(),
            legal: case.held,
            reason: if case.held { case.text.hold } else { String::new() },
        });
    }
    let frame = Frame::new(&visitor, "cases-holds-title");
    page(&visitor, &HoldsPage { frame, held, reviews: visitor.may(REVIEW) })
}
