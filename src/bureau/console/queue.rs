//! The queue of alerts: what reviewers work through.
//!
//! Promises: an alert is shown with whether its signature fits the stored bytes now;
//! no cardholder's number is shown here, nor taken into an address; every view of the
//! list is recorded once. What a page that is open asks by itself, when it hears of
//! something new, keeps no session alive.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::queue_asked::{ALL_STATES, Asked, Unfit, place_text};
use super::queue_blind::Blind;
use super::queue_page::{Line, LinesPage, Links, QueuePageOf, Tab};
use super::route::{REVIEW, Route};
use super::visitor::{Posted, Visitor};
use super::{Console, page};
use crate::bureau::store::{QueueFilter, QueueOrder, QueuePage, QueueRow, QueueState, StateCounts};
use crate::protocol::id::CardholderId;
use crate::svg::chart::Unit;

/// Where the queue is.
const PATH: &str = "/alerts";
/// Alerts on a page.
const LENGTH: u32 = 50;
/// Most new alerts that are put above an open list at once.
const MOST_NEW: u32 = 50;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, REVIEW, show),
        Route::post("/alerts/find", REVIEW, find),
        Route::get("/alerts/rows", REVIEW, rows),
        Route::get("/alerts/fresh", REVIEW, fresh).by_itself(),
        Route::get("/alerts/row", REVIEW, row).by_itself(),
    ]
}

/// A field that cannot be read, told with what stands before it on the page.
fn unfit(visitor: &Visitor, unfit: Unfit) -> Failure {
    let field = visitor.words().word("queue-field", unfit.field);
    Failure::bad("queue-unfit").with("field", field).with("found", unfit.found)
}

fn filter(visitor: &Visitor, asked: &Asked) -> Result<QueueFilter, Failure> {
    asked.filter(visitor.account()?.as_str()).map_err(|e| unfit(visitor, e))
}

fn order(visitor: &Visitor, asked: &Asked) -> Result<QueueOrder, Failure> {
    asked.order().map_err(|e| unfit(visitor, e))
}

async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let (filter, order) = (filter(&visitor, &asked)?, order(&visitor, &asked)?);
    let from = asked.begins().map_err(|e| unfit(&visitor, e))?;
    let about = filter.cardholder.clone().unwrap_or_else(|| "list of alerts".into());
    console.note(&visitor, "look at alerts", &about, asked.link(PATH, &[])).await?;
    // Before the list is read: what comes in between is told as new, and not missed.
    let newest = console.store.newest_arrival().await?;
    let blind = Blind::of(&console, &visitor).await?;
    let (found, counts, hospitals) = tokio::try_join!(
        blind.page(&filter, order, from, LENGTH),
        blind.counts(&filter),
        console.store.places_of_boxes(),
    )?;
    let links = links(&asked, &found);
    let lines = lines(&console, &visitor, &found).await?;
    let tabs = tabs(&asked, counts);
    page(&visitor, &QueuePageOf::new(&visitor, asked, tabs, lines, links, hospitals, newest))
}

async fn lines(console: &Console, visitor: &Visitor, found: &QueuePage) -> Result<Vec<Line>, Failure> {
    let (now, limit) = (console.clock.now().wall, console.retention.open_alerts_days);
    let overdue = console.store.overdue_alerts(now).await?;
    let line = |row: &QueueRow| {
        let line = Line::new(visitor, row, now, limit);
        if overdue.contains(&row.alert.id) { line.with_letter_overdue(visitor) } else { line }
    };
    Ok(found.rows.iter().map(line).collect())
}

/// Where the pages before and after this one are.
fn links(asked: &Asked, found: &QueuePage) -> Links {
    let first = found.rows.first().map(|r| place_text(r.at()));
    let last = found.rows.last().map(|r| place_text(r.at()));
    let to = |name: &str, place: String| asked.link(PATH, &[(name, &place)]);
    Links {
        top: found.has_before.then(|| asked.link(PATH, &[])),
        before: first.filter(|_| found.has_before).map(|p| to("before", p)),
        after: last.filter(|_| found.has_after).map(|p| to("after", p)),
    }
}

/// The states with how many alerts are in each, as links.
fn tabs(asked: &Asked, counts: StateCounts) -> Vec<Tab> {
    let StateCounts { open, decided, withdrawn } = counts;
    let chosen = if asked.state.trim().is_empty() { QueueState::Open.as_str() } else { asked.state.trim() };
    [
        (QueueState::Open.as_str(), open),
        (QueueState::Decided.as_str(), decided),
        (QueueState::Withdrawn.as_str(), withdrawn),
        (ALL_STATES, open + decided + withdrawn),
    ]
    .into_iter()
    .map(|(state, n)| Tab {
        state,
        n: Unit::Count.write(n as f64),
        link: asked.link(PATH, &[("state", state)]),
        is_here: state == chosen,
    })
    .collect()
}

/// The alerts that came after `since`, as lines of the table.
async fn rows(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let (filter, order) = (filter(&visitor, &asked)?, order(&visitor, &asked)?);
    let since = filter.arrived_after.unwrap_or_default().to_string();
    console.note(&visitor, "look at alerts", "list of alerts", format!("arrived after {since}")).await?;
    let newest = console.store.newest_arrival().await?;
    let from = asked.begins().map_err(|e| unfit(&visitor, e))?;
    let found = Blind::of(&console, &visitor).await?.page(&filter, order, from, MOST_NEW).await?;
    let lines = lines(&console, &visitor, &found).await?;
    page(&visitor, &LinesPage::new(&visitor, lines, newest))
}

/// How many alerts have come.
#[derive(Serialize)]
struct Fresh {
    n: i64,
    text: String,
}

/// How many alerts that the filter lets through came after `since`: a number, and
/// nothing about anybody.
async fn fresh(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let filter = filter(&visitor, &asked)?;
    let counts = Blind::of(&console, &visitor).await?.counts(&filter).await?;
    let of = |state: &QueueState| match state {
        QueueState::Open => counts.open,
        QueueState::Decided => counts.decided,
        QueueState::Withdrawn => counts.withdrawn,
    };
    let states = if filter.states.is_empty() { QueueState::ALL.to_vec() } else { filter.states };
    let n = states.iter().map(of).sum();
    Ok(Json(Fresh { n, text: visitor.words().count("queue-fresh", n) }).into_response())
}

/// One alert as a line, when it has changed under an open list.
async fn row(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let id: crate::protocol::id::AlertId = asked.id.parse().map_err(|_| Failure::not_found())?;
    let id = id.to_string();
    let row = console.store.queue_row(&id).await?.ok_or_else(Failure::not_found)?;
    console.note(&visitor, "look at alerts", &id, "changed in an open list".into()).await?;
    let row = Blind::of(&console, &visitor).await?.shown(row);
    let newest = row.at().arrival;
    let found = QueuePage { rows: vec![row], has_before: false, has_after: false };
    let lines = lines(&console, &visitor, &found).await?;
    page(&visitor, &LinesPage::new(&visitor, lines, newest))
}

/// A cardholder's number, and the filter around it.
#[derive(Deserialize)]
struct Find {
    number: String,
}

/// Turns a number into its mark: the number goes no further.
async fn find(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    posted: Posted<Find>,
) -> Result<Response, Failure> {
    let number: CardholderId =
        posted.form.number.trim().parse().map_err(|_| Failure::bad("queue-unfit-number"))?;
    let mark = console.store.mark(&number);
    console.note(&visitor, "look for a cardholder", &mark, "in the list of alerts".into()).await?;
    let asked = Asked { state: ALL_STATES.into(), cardholder: mark, ..Asked::default() };
    Ok(Redirect::to(&asked.link(PATH, &[])).into_response())
}
