//! One alert: what was seen, whether it can be relied on, what to ask, and the forms
//! in which people say what they found.
//!
//! Promises: the look is written down before the page is made; nothing is preselected;
//! a form that was sent from a page that is out of date changes nothing and is answered
//! with what changed. To a reviewer who is to decide a decided alert blind the page is
//! that of an open one. It decides nothing.

mod absence;
mod blind;
mod facts;
mod forms;
mod letter;
mod mail;
mod parts;
mod posture;
mod proxy;
mod steps;

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State as Held};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::failure::Failure;
use super::frame::Frame;
use super::parts::{HospitalNames, JSON, Mark, claim, file};
use super::route::{self, Needs, Route};
use super::visitor::Visitor;
use super::{Console, cases, page};
use crate::bureau::accounts::Role;
use crate::bureau::bundle;
use crate::bureau::cases::words::Finding;
use crate::bureau::review::{Claim, Soundness, State};
use crate::bureau::store::{Hospital, Listing, StoredAlert, TakenStep};
use crate::protocol::id::AlertId;

use facts::Facts;
use forms::Forms;
use parts::{Advised, NeighbourRow, StepRow};

/// Who may take a proof out.
const TAKE_OUT: Needs = Needs::Roles(&[Role::Supervisor, Role::PrivacyOfficer]);
/// Most other alerts of a cardholder or a counter on the page.
const MOST_NEIGHBOURS: u32 = 20;

pub(super) fn routes() -> Vec<Route> {
    let own = vec![
        Route::get("/alerts/next", route::REVIEW, next),
        Route::get("/alerts/{id}", route::REVIEW, show),
        Route::get("/alerts/{id}/bundle", TAKE_OUT, take_out),
    ];
    [own, steps::routes(), letter::routes(), proxy::routes(), blind::routes()].into_iter().flatten().collect()
}

/// Everything that the pages and forms of one alert need of it.
struct Opened {
    listing: Listing,
    alert: StoredAlert,
    /// Where, if it is known by name.
    hospital: Option<Hospital>,
    /// Whether the visitor is to decide it without knowing that somebody did.
    blind: bool,
}

impl Opened {
    async fn of(console: &Console, visitor: &Visitor, id: AlertId) -> Result<Self, Failure> {
        let store = &console.store;
        let listing = store.listing(id).await?.ok_or_else(Failure::not_found)?;
        let alert = store.listed_alert(&listing).await?.ok_or_else(Failure::not_found)?;
        let blind = matches!(listing.state, State::Decided(_))
            && store.blind_for(visitor.account()?).await?.contains(&id);
        let hospital = store.hospital(&listing.hospital).await?;
        Ok(Self { listing, alert, hospital, blind })
    }

    /// The state as the visitor is to see it.
    fn state(&self) -> State {
        if self.blind { State::Open } else { self.listing.state }
    }

    /// The number of the last step, as the visitor is to see it.
    fn last_step(&self) -> i64 {
        if self.blind { 0 } else { self.listing.last_step }
    }

    fn soundness(&self) -> Soundness {
        Soundness::of(self.alert.signature_valid, self.alert.chain)
    }
}

#[derive(Template)]
#[template(path = "console/alert.html")]
struct AlertPage<'a> {
    frame: Frame<'a>,
    id: String,
    state: Mark,
    claim: Mark,
    /// What kinds of honest people it is raised about.
    reminder: &'static str,
    /// Whether somebody can act for a cardholder there: at a window, and not as a patient.
    takes_proxies: bool,
    /// What changed since the page from which a form was sent.
    changed: Vec<StepRow>,
    facts: Option<Facts>,
    checks: Vec<Advised>,
    posture: posture::Posture,
    letters: Vec<letter::LetterRow>,
    proxies: proxy::Proxies,
    same_cardholder: Vec<NeighbourRow>,
    same_counter: Vec<NeighbourRow>,
    steps: Vec<StepRow>,
    forms: Forms,
    can_take_out: bool,
    /// The case that it is in.
    case: Option<String>,
    /// Whether a case can be opened from it.
    may_open_case: bool,
}

impl AlertPage<'_> {
    /// The two lists of other alerts: title, what stands there without any, rows; and
    /// whether they are of more places than one.
    fn lists(&self) -> [(&'static str, &'static str, &[NeighbourRow], bool); 2] {
        [
            ("alert-same-cardholder", "alert-same-cardholder-none", &self.same_cardholder, true),
            ("alert-same-counter", "alert-same-counter-none", &self.same_counter, false),
        ]
    }
}

/// What somebody wrote into a form that could not be taken.
#[derive(Default)]
struct Refused {
    /// The number of the last step that they had seen.
    seen: Option<i64>,
    /// Their note, so that it need not be written again.
    note: String,
}

async fn show(
    Held(console): Held<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<AlertId>,
) -> Result<Response, Failure> {
    console.note(&visitor, "look", &id.to_string(), String::new()).await?;
    render(&console, &visitor, id, Refused::default()).await
}

/// The page, with what changed if a form came from an older one.
async fn render(
    console: &Console,
    visitor: &Visitor,
    id: AlertId,
    refused: Refused,
) -> Result<Response, Failure> {
    let opened = Opened::of(console, visitor, id).await?;
    let store = &console.store;
    let hidden = store.blind_for(visitor.account()?).await?;
    let steps = if opened.blind { Vec::new() } else { store.steps(id, 0).await? };
    let changed = |s: &&TakenStep| refused.seen.is_some_and(|seen| s.number > seen);
    let facts = facts::of(console, visitor, &opened).await?;
    let names = HospitalNames::of(store).await?;
    let now = console.clock.now().wall;
    let letters = store.letters(id).await?;
    let cardholder = opened.alert.event.as_ref().and_then(facts::cardholder);
    // A case would tell who decides it blind that it was decided.
    let case = if opened.blind { None } else { store.case_of(id).await? };
    let is_confirmed = opened.state().decision().is_some_and(|d| d.as_str().parse::<Finding>().is_ok());
    let shown = AlertPage {
        frame: Frame::new(visitor, "alert-title"),
        id: id.to_string(),
        state: parts::state(visitor, opened.state()),
        claim: claim(visitor.words(), opened.listing.claim),
        reminder: match opened.listing.claim {
            Claim::Mismatch => "alert-reminder",
            Claim::Absent => "alert-reminder-absent",
        },
        takes_proxies: opened.listing.claim == Claim::Mismatch,
        changed: steps.iter().filter(changed).map(|s| parts::step(visitor, s)).collect(),
        checks: parts::checks(visitor, &opened.alert),
        posture: posture::of(console, visitor, &opened).await?,
        letters: letters.iter().map(|l| letter::row(visitor, l, opened.blind, now)).collect(),
        proxies: proxy::of(console, visitor, cardholder).await?,
        same_cardholder: parts::neighbours(
            visitor,
            &store.of_same_cardholder(&opened.listing, MOST_NEIGHBOURS).await?,
            &names,
            &hidden,
        ),
        same_counter: parts::neighbours(
            visitor,
            &store.of_same_counter(&opened.listing, MOST_NEIGHBOURS).await?,
            &names,
            &hidden,
        ),
        steps: steps.iter().map(|s| parts::step(visitor, s)).collect(),
        forms: Forms::of(visitor, &opened, &refused),
        can_take_out: visitor.may(TAKE_OUT),
        may_open_case: is_confirmed && case.is_none() && visitor.may(cases::OPEN),
        case: case.map(|number| number.to_string()),
        facts,
    };
    let answer = page(visitor, &shown)?;
    Ok(if refused.seen.is_some() { (StatusCode::CONFLICT, answer).into_response() } else { answer })
}

async fn next(Held(console): Held<Arc<Console>>, visitor: Visitor) -> Result<Response, Failure> {
    let next = console.store.next_alert(visitor.account()?).await?;
    Ok(Redirect::to(&next.map_or_else(|| "/alerts".to_owned(), |id| format!("/alerts/{id}"))).into_response())
}

async fn take_out(
    Held(console): Held<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<AlertId>,
) -> Result<Response, Failure> {
    console.note(&visitor, "bundle", &id.to_string(), String::new()).await?;
    let now = console.clock.now().wall;
    let made = bundle::file(&console.store, &console.key, id, now).await?.ok_or_else(Failure::not_found)?;
    Ok(file(JSON, &format!("alert-{id}.json"), made))
}
