//! Cardholders' rights: requests with their deadlines, what is held as one file,
//! erasure with its receipt, exemption.
//!
//! A cardholder's number is typed into a form and stands in no address: what a page
//! is about is a request's id.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::failure::Failure;
use super::frame::Frame;
use super::parts::{JSON, Nothing, file};
use super::route::{PRIVACY, Route};
use super::shown::{day, midnight, moment, short};
use super::visitor::{Posted, Visitor};
use super::{Console, page};
use crate::bureau::rights::{self, End, Kind};
use crate::bureau::store::{HeldAlert, Receipt, Request};
use crate::protocol::id::BadName;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/rights", PRIVACY, list),
        Route::post("/rights", PRIVACY, open),
        Route::get("/rights/{id}", PRIVACY, show),
        Route::post("/rights/{id}/export", PRIVACY, export),
        Route::post("/rights/{id}/erase", PRIVACY, erase),
        Route::post("/rights/{id}/exempt", PRIVACY, exempt),
        Route::post("/rights/{id}/end", PRIVACY, end),
        Route::get("/rights/{id}/receipt", PRIVACY, receipt),
    ]
}

struct Row {
    id: String,
    kind: String,
    mark: String,
    received: String,
    due: String,
    state: String,
    overdue: bool,
}

#[derive(Template)]
#[template(path = "console/rights.html")]
struct RightsPage<'a> {
    frame: Frame<'a>,
    rows: Vec<Row>,
    kinds: Vec<(&'static str, String)>,
    today: String,
    days: String,
}

fn row(console: &Console, visitor: &Visitor, request: &Request) -> Row {
    let words = visitor.words();
    Row {
        id: request.id.clone(),
        kind: words.word("right", &request.kind),
        mark: request.mark.clone(),
        received: day(request.received_at).to_string(),
        due: day(request.due_at).to_string(),
        state: words.word("request", &request.state),
        overdue: request.is_overdue(console.clock.now().wall),
    }
}

async fn list(State(console): State<Arc<Console>>, visitor: Visitor) -> Result<Response, Failure> {
    console.note(&visitor, "rights look", "list of requests", String::new()).await?;
    let requests = console.store.requests(500).await?;
    let words = visitor.words();
    let page_of = RightsPage {
        frame: Frame::new(&visitor, "rights-title"),
        rows: requests.iter().map(|r| row(&console, &visitor, r)).collect(),
        kinds: Kind::ALL.map(|k| (k.as_str(), words.word("right", k.as_str()))).to_vec(),
        today: day(console.clock.now().wall).to_string(),
        days: console.rights.answer_days.to_string(),
    };
    page(&visitor, &page_of)
}

#[derive(Deserialize)]
struct OpenForm {
    cardholder: String,
    kind: String,
    received: String,
    asked: String,
}

async fn open(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Posted { form }: Posted<OpenForm>,
) -> Result<Response, Failure> {
    let cardholder = form.cardholder.trim().parse().map_err(|e: BadName| Failure::refused(e))?;
    let kind: Kind = form.kind.parse().map_err(Failure::refused)?;
    let received = form.received.trim().parse().ok().and_then(midnight);
    let received = received.ok_or_else(|| Failure::bad("rights-bad-day"))?;
    let (now, by) = (console.clock.now().wall, visitor.acts_as()?);
    let what = (form.asked, received, now);
    let id = rights::open(&console.store, &console.rights, &by, (kind, cardholder), what).await?;
    Ok(Redirect::to(&format!("/rights/{id}")).into_response())
}

struct Alert {
    id: String,
    state: String,
    kept_by: Option<String>,
}

#[derive(Template)]
#[template(path = "console/request.html")]
struct RequestPage<'a> {
    frame: Frame<'a>,
    row: Row,
    cardholder: String,
    asked: String,
    by: String,
    ended: Option<(String, String)>,
    outcome: Option<String>,
    open: bool,
    kind: &'static str,
    references: Vec<(String, String)>,
    alerts: Vec<Alert>,
    exempt: bool,
    receipts: usize,
}

async fn found(console: &Console, id: &str) -> Result<Request, Failure> {
    console.store.request(id).await?.ok_or_else(Failure::not_found)
}

async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let (store, words) = (&console.store, visitor.words());
    let request = found(&console, &id).await?;
    console.note(&visitor, "rights look", &request.mark, format!("request {id}")).await?;
    let now = console.clock.now().wall;
    let references = store.held_references(&request.cardholder).await?;
    let alerts = store.alerts_about(&request.mark).await?;
    let exempt = store.exemptions(now).await?.iter().any(|e| e.cardholder == request.cardholder);
    let alert = |a: HeldAlert| {
        let state = a.decision.as_deref().unwrap_or(&a.state).to_owned();
        let reason = |k: &crate::bureau::store::KeptBy| {
            words
                .say_with("rights-kept-by", &[("case", &k.case), ("reason", &words.word("keeps", &k.reason))])
        };
        Alert {
            state: words.word("held", &state),
            kept_by: a.kept_by.as_ref().map(reason),
            id: a.id.to_string(),
        }
    };
    let kind: Result<Kind, _> = request.kind.parse();
    let page_of = RequestPage {
        frame: Frame::titled(&visitor, words.word("right", &request.kind)),
        row: row(&console, &visitor, &request),
        cardholder: request.cardholder.to_string(),
        asked: request.asked,
        by: request.by,
        open: request.state == "open",
        ended: request.ended.map(|(at, by)| (moment(at), by)),
        outcome: request.outcome,
        kind: kind.map_or("", Kind::as_str),
        references: references.into_iter().map(|r| (moment(r.enrolled_at), short(r.model))).collect(),
        alerts: alerts.into_iter().map(alert).collect(),
        exempt,
        receipts: store.receipts(&id).await?.len(),
    };
    page(&visitor, &page_of)
}

fn back(id: &str) -> Response {
    Redirect::to(&format!("/rights/{id}")).into_response()
}

async fn export(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<String>,
    _: Posted<Nothing>,
) -> Result<Response, Failure> {
    let request = found(&console, &id).await?;
    let now = console.clock.now().wall;
    let held = rights::export(&console.store, &visitor.acts_as()?, &request.cardholder, now).await?;
    let text = serde_json::to_vec_pretty(&held).map_err(|e| Failure::broken(&e.to_string()))?;
    Ok(file(JSON, &format!("held-{}.json", request.mark), text))
}

#[derive(Deserialize)]
struct EraseForm {
    /// The cardholder's number once more: nobody erases by a slip of the hand.
    cardholder: String,
}

async fn erase(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Posted { form }: Posted<EraseForm>,
) -> Result<Response, Failure> {
    let request = found(&console, &id).await?;
    if form.cardholder.trim() != request.cardholder.as_str() {
        return Err(Failure::bad("rights-other-number"));
    }
    let now = console.clock.now().wall;
    rights::erase(&console.store, &console.key, &visitor.acts_as()?, &id, now).await?;
    Ok(Redirect::to(&format!("/rights/{id}/receipt")).into_response())
}

#[derive(Deserialize)]
struct ExemptForm {
    until: String,
    reason: String,
}

async fn exempt(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Posted { form }: Posted<ExemptForm>,
) -> Result<Response, Failure> {
    let now = console.clock.now().wall;
    let by = visitor.acts_as()?;
    rights::exempt(&console.store, &by, &id, (form.until.trim(), form.reason), now).await?;
    Ok(back(&id))
}

#[derive(Deserialize)]
struct EndForm {
    how: String,
    outcome: String,
}

async fn end(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Posted { form }: Posted<EndForm>,
) -> Result<Response, Failure> {
    let how = match form.how.as_str() {
        "done" => End::Done,
        "refused" => End::Refused,
        _ => return Err(Failure::bad("rights-no-end")),
    };
    let now = console.clock.now().wall;
    rights::end(&console.store, &visitor.acts_as()?, &id, (how, form.outcome), now).await?;
    Ok(back(&id))
}

struct Printed {
    id: String,
    at: String,
    by: String,
    references: Vec<String>,
    alerts: Vec<String>,
    withdrawals: u64,
    proxies: u64,
    settlement_figures: u64,
    check_ins: u64,
    stays: Vec<(String, String, String)>,
    signature: String,
}

#[derive(Template)]
#[template(path = "console/receipt.html")]
struct ReceiptPage<'a> {
    frame: Frame<'a>,
    cardholder: String,
    mark: String,
    receipts: Vec<Printed>,
    key: String,
}

async fn receipt(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let request = found(&console, &id).await?;
    console.note(&visitor, "rights receipt", &request.mark, format!("request {id}")).await?;
    let words = visitor.words();
    let printed = |r: Receipt| {
        let stays = r.erasure.stays.into_iter();
        let stays = stays.map(|s| (s.alert.to_string(), s.case, words.word("keeps", &s.reason)));
        Printed {
            at: moment(r.erasure.at),
            by: r.erasure.by,
            references: r.erasure.references.iter().map(ToString::to_string).collect(),
            alerts: r.erasure.alerts.iter().map(ToString::to_string).collect(),
            withdrawals: r.erasure.withdrawals,
            proxies: r.erasure.proxies,
            settlement_figures: r.erasure.settlement_figures,
            check_ins: r.erasure.check_ins,
            stays: stays.collect(),
            signature: r.signature.to_string(),
            id: r.erasure.id,
        }
    };
    let receipts = console.store.receipts(&id).await?;
    let page_of = ReceiptPage {
        frame: Frame::new(&visitor, "receipt-title"),
        cardholder: request.cardholder.to_string(),
        mark: request.mark,
        receipts: receipts.into_iter().map(printed).collect(),
        key: console.key.public().to_base64(),
    };
    page(&visitor, &page_of)
}
