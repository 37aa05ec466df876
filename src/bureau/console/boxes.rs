//! The boxes: who is on record, how each fares, and one-time codes for joining.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use std::time::Duration;

use super::failure::Failure;
use super::frame::Frame;
use super::parts::Table;
use super::route::{ADMINISTER, Needs, Route};
use super::shown::{moment, moment_or_dash};
use super::statistics::usual_days;
use super::statistics_page::false_alerts;
use super::visitor::{Posted, Visitor};
use super::{Console, page};
use crate::bureau::accounts::Role;
use crate::bureau::acts::Person;
use crate::bureau::agents;
use crate::bureau::figures::calendar::Day;
use crate::bureau::join::For;
use crate::bureau::store::{Agent, Per, Place};
use crate::protocol::commission::Mode;

/// Who sees boxes.
pub(super) const BOXES: Needs = Needs::Roles(&[Role::Administrator, Role::Supervisor]);
/// Five postures missed.
const SILENT: Duration = Duration::from_secs(300);

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/boxes", BOXES, list), Route::post("/boxes/code", ADMINISTER, make_code)]
}

impl Visitor {
    /// Who they are in the record of acts.
    pub(super) fn acts_as(&self) -> Result<Person, Failure> {
        Ok(Person::of(Some(self.account()?.as_str().to_owned()))?)
    }
}

struct Row {
    name: String,
    hospital: String,
    state: String,
    class: &'static str,
    mode: String,
    version: String,
    last: String,
    arrived: String,
    joins: String,
}

#[derive(Template)]
#[template(path = "console/boxes.html")]
struct BoxesPage<'a> {
    frame: Frame<'a>,
    rows: Vec<Row>,
    waiting: Vec<Vec<String>>,
    /// Of the usual days, with the first of them.
    false_alerts: Table,
    since: String,
    may_join: bool,
    administers: bool,
}

async fn list(State(console): State<Arc<Console>>, visitor: Visitor) -> Result<Response, Failure> {
    let (store, now, words) = (&console.store, console.clock.now().wall, visitor.words());
    let (postures, handed_out) = (store.postures().await?, store.handed_out(None).await?);
    let codes = store.codes().await?;
    let row = |agent: Agent| {
        let posture = postures.iter().find(|p| p.agent == agent.name).map(|p| &p.posture);
        let silent = agent.last_seen.is_none_or(|t| t < now.minus(SILENT));
        let (state, class) = match (agent.suspended, silent) {
            (true, _) => ("suspended", "bad"),
            (false, true) => ("silent", "watch"),
            (false, false) => ("active", "good"),
        };
        let mode = posture.and_then(|p| p.commissioning.as_ref()).map(|s| match s.mode {
            Mode::Armed => "armed",
            Mode::Shadow(reason) => reason.as_str(),
        });
        let of_it = || handed_out.iter().filter(|h| h.agent == agent.name);
        let arrived = of_it().filter(|h| h.arrived_at.is_some()).count();
        let wanted = posture.and_then(|p| p.wanted.as_ref()).map(|w| w.version.as_str());
        let version = posture.map(|p| p.agent_version.clone()).unwrap_or_default();
        Row {
            state: words.word("box-state", state),
            class,
            mode: words.word("box-mode", mode.unwrap_or("not_told")),
            version: match wanted {
                Some(wanted) if wanted != version => format!("{version} → {wanted}"),
                _ => version,
            },
            last: moment_or_dash(agent.last_seen),
            arrived: format!("{arrived} / {}", of_it().count()),
            joins: codes
                .iter()
                .find(|c| c.agent == agent.name && c.is_good(now))
                .map_or_else(String::new, |c| moment(c.expires_at)),
            hospital: agent.hospital.to_string(),
            name: agent.name.to_string(),
        }
    };
    let days = usual_days(Day::of(now));
    let decided = store.decided_alerts(Per::Box, days, &Place::default()).await?;
    let agents = store.boxes().await?;
    let known: Vec<String> = agents.iter().map(|a| a.name.to_string()).collect();
    let new = codes.iter().filter(|c| c.is_good(now) && !known.iter().any(|k| *k == c.agent.as_str()));
    let waiting = new
        .map(|c| vec![c.agent.to_string(), c.hospital.to_string(), c.by.clone(), moment(c.expires_at)])
        .collect();
    let rows = agents.into_iter().map(row).collect();
    page(
        &visitor,
        &BoxesPage {
            frame: Frame::new(&visitor, "boxes-title"),
            rows,
            waiting,
            false_alerts: false_alerts(words, "statistics-by-box", "statistics-box", &decided),
            since: days.first.to_string(),
            may_join: console.codes.is_some(),
            administers: visitor.has(Role::Administrator),
        },
    )
}

#[derive(Deserialize)]
struct CodeForm {
    name: String,
    #[serde(default)]
    hospital: String,
    #[serde(default)]
    overlap_hours: String,
}

#[derive(Template)]
#[template(path = "console/code.html")]
struct CodePage<'a> {
    frame: Frame<'a>,
    line: String,
    until: String,
    replaces: bool,
    name: String,
}

/// The one page that shows a code: it cannot be gone back to.
async fn make_code(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Posted { form, .. }: Posted<CodeForm>,
) -> Result<Response, Failure> {
    let codes = console.codes.as_ref().ok_or_else(|| Failure::conflict("boxes-no-join"))?;
    let wrong = |what: String| Failure::bad("failure-refused").with("what", what);
    let hospital = Some(form.hospital.trim()).filter(|h| !h.is_empty());
    let hours = form.overlap_hours.trim();
    let hours: u64 = if hours.is_empty() { 0 } else { hours.parse().map_err(|_| wrong(hours.into()))? };
    let wish = For {
        agent: form.name.trim().parse().map_err(|e: crate::protocol::id::BadName| wrong(e.to_string()))?,
        hospital: hospital
            .map(str::parse)
            .transpose()
            .map_err(|e: crate::protocol::id::BadName| wrong(e.to_string()))?,
        overlap: agents::overlap(hours)?,
    };
    let name = wish.agent.to_string();
    let now = console.clock.now().wall;
    let shown = codes.make(&console.store, &visitor.acts_as()?, wish, now).await?;
    page(
        &visitor,
        &CodePage {
            frame: Frame::new(&visitor, "code-title"),
            line: shown.line.to_string(),
            until: moment(shown.expires_at),
            replaces: shown.replaces,
            name,
        },
    )
}
