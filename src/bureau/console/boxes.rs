//! The boxes: who is on record, how each fares, and one-time codes for joining. What is
//! wrong with one stands on its own page.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use std::time::Duration;

use super::failure::Failure;
use super::frame::Frame;
use super::parts::{HospitalNames, Mark, Table};
use super::privacy::agreement;
use super::route::{ADMINISTER, Needs, Route};
use super::shown::{moment, moment_or_dash};
use super::statistics::usual_days;
use super::statistics_page::false_alerts;
use super::visitor::{Posted, Visitor};
use super::{Console, page};
use crate::bureau::accounts::Role;
use crate::bureau::agents;
use crate::bureau::figures::calendar::Day;
use crate::bureau::join::For;
use crate::bureau::privacy::Agreement;
use crate::bureau::store::{Agent, AuditFinding, Per, Place, Store, StoreError, StoredPosture};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::protocol::commission::Mode;
use crate::protocol::countersign::HeadFinding;
use crate::protocol::id::BadName;
use crate::protocol::posture::Posture;

/// Who sees boxes.
pub(super) const BOXES: Needs = Needs::Roles(&[Role::Administrator, Role::Supervisor]);
/// A box reports every minute: so long without a word is silence.
const SILENT: Duration = Duration::from_secs(300);

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/boxes", BOXES, list), Route::post("/boxes/code", ADMINISTER, make_code)]
}

struct Row {
    name: String,
    hospital: String,
    state: Mark,
    mode: String,
    policy: Mark,
    troubles: Option<String>,
    version: String,
    waiting: String,
    arrived: String,
    last: String,
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

/// A box on record, and what it last told.
pub(super) struct Known {
    pub(super) agent: Agent,
    pub(super) posture: Option<StoredPosture>,
    pub(super) audit_findings: Vec<AuditFinding>,
    /// Digest of the policy that the bureau declared for it.
    pub(super) declared_policy: Option<Sha256>,
}

impl Known {
    /// Every box, by name. Its events are not counted for that.
    pub(super) async fn all(store: &Store) -> Result<Vec<Self>, StoreError> {
        let (agents, mut postures) = (store.boxes().await?, store.postures().await?);
        let (declared, findings) = (store.declared_digests().await?, store.audit_findings().await?);
        let known = |agent: Agent| {
            let at = postures.iter().position(|p| p.agent == agent.name);
            Self {
                posture: at.map(|i| postures.swap_remove(i)),
                audit_findings: findings.iter().filter(|f| f.agent == agent.name).cloned().collect(),
                declared_policy: declared.get(&agent.name).copied(),
                agent,
            }
        };
        Ok(agents.into_iter().map(known).collect())
    }

    /// This box.
    pub(super) async fn of(store: &Store, agent: Agent) -> Result<Self, StoreError> {
        let findings = store.audit_findings().await?.into_iter().filter(|f| f.agent == agent.name);
        Ok(Self {
            posture: store.posture(&agent.name).await?,
            audit_findings: findings.collect(),
            declared_policy: store.declared_policy(&agent.name).await?.map(|d| d.digest),
            agent,
        })
    }

    /// What it last told of itself.
    pub(super) fn told(&self) -> Option<&Posture> {
        self.posture.as_ref().map(|p| &p.posture)
    }

    /// Whether its policy is the declared one.
    pub(super) fn agreement(&self) -> Agreement {
        Agreement::of(self.declared_policy, self.told().map(|p| p.policy))
    }
}

/// How a box stands, as its word: `armed`, or why it is in shadow.
pub(super) fn mode(visitor: &Visitor, mode: Option<Mode>) -> String {
    let word = match mode {
        None => "not_told",
        Some(Mode::Armed) => "armed",
        Some(Mode::Shadow(reason)) => reason.as_str(),
    };
    visitor.words().word("box-mode", word)
}

/// What is wrong with a box: findings about its audit log in the visitor's words, and what
/// the box says of itself, in its own.
pub(super) fn troubles(visitor: &Visitor, of: &Known) -> Vec<String> {
    let words = visitor.words();
    let finding = |f: &AuditFinding| {
        let (held, found) = (f.held.seq.to_string(), f.found.seq.to_string());
        let (at, times) = (moment(f.first_at), f.times.to_string());
        let values = [("held", held.as_str()), ("found", &found), ("at", &at), ("times", &times)];
        match f.kind {
            HeadFinding::CutShort => words.say_with("box-audit-cut-short", &values),
            HeadFinding::Rewritten => words.say_with("box-audit-rewritten", &values),
        }
    };
    let said = of.told().into_iter().flat_map(|p| p.troubles.iter().cloned());
    of.audit_findings.iter().map(finding).chain(said).collect()
}

/// With how many documents arrived, and until when a code of it is good.
fn row(
    visitor: &Visitor,
    of: &Known,
    hospital: String,
    (arrived, joins): (String, String),
    now: WallTime,
) -> Row {
    let words = visitor.words();
    let (posture, dash) = (of.told(), || "–".to_owned());
    let (state, class) = match of.agent.last_seen {
        _ if of.agent.suspended => ("suspended", "bad"),
        Some(at) if at >= now.minus(SILENT) => ("active", "good"),
        _ => ("silent", "watch"),
    };
    let wanted = posture.and_then(|p| p.wanted.as_ref()).map(|w| w.version.as_str());
    let version = posture.map_or_else(dash, |p| p.agent_version.clone());
    let troubles = troubles(visitor, of).len();
    Row {
        state: Mark::new(words.word("box-state", state), class),
        mode: mode(visitor, posture.and_then(|p| p.commissioning.as_ref()).map(|s| s.mode)),
        policy: agreement(visitor, of.agreement()),
        troubles: (troubles > 0).then(|| words.count("box-some-troubles", troubles as i64)),
        version: match wanted {
            Some(wanted) if wanted != version => format!("{version} → {wanted}"),
            _ => version,
        },
        waiting: posture.map_or_else(dash, |p| format!("{} / {}", p.outbox_waiting, p.outbox_set_aside)),
        last: moment_or_dash(of.agent.last_seen),
        arrived,
        joins,
        hospital,
        name: of.agent.name.to_string(),
    }
}

async fn list(State(console): State<Arc<Console>>, visitor: Visitor) -> Result<Response, Failure> {
    let (store, now, words) = (&console.store, console.clock.now().wall, visitor.words());
    let (boxes, handed_out, codes) =
        (Known::all(store).await?, store.handed_out(None).await?, store.codes().await?);
    let days = usual_days(Day::of(now));
    let decided = store.decided_alerts(Per::Box, days, &Place::default()).await?;
    let names = HospitalNames::of(store).await?;
    let row = |of: &Known| {
        let to_it: Vec<_> = handed_out.iter().filter(|h| h.agent == of.agent.name).collect();
        let arrived = to_it.iter().filter(|h| h.arrived_at.is_some()).count();
        let code = codes.iter().find(|c| c.agent == of.agent.name && c.is_good(now));
        let joins = code.map_or_else(String::new, |c| moment(c.expires_at));
        row(
            &visitor,
            of,
            names.name(&of.agent.hospital),
            (format!("{arrived} / {}", to_it.len()), joins),
            now,
        )
    };
    let new = codes.iter().filter(|c| c.is_good(now) && !boxes.iter().any(|b| b.agent.name == c.agent));
    let waiting = new
        .map(|c| vec![c.agent.to_string(), names.name(&c.hospital), c.by.clone(), moment(c.expires_at)])
        .collect();
    page(
        &visitor,
        &BoxesPage {
            frame: Frame::new(&visitor, "boxes-title"),
            rows: boxes.iter().map(row).collect(),
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
    Posted { form }: Posted<CodeForm>,
) -> Result<Response, Failure> {
    let codes = console.codes.as_ref().ok_or_else(|| Failure::conflict("boxes-no-join"))?;
    let hospital = Some(form.hospital.trim()).filter(|h| !h.is_empty());
    let hours = form.overlap_hours.trim();
    let hours: u64 = if hours.is_empty() { 0 } else { hours.parse().map_err(|_| Failure::refused(hours))? };
    let wish = For {
        agent: form.name.trim().parse().map_err(|e: BadName| Failure::refused(e))?,
        hospital: hospital.map(str::parse).transpose().map_err(|e: BadName| Failure::refused(e))?,
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
