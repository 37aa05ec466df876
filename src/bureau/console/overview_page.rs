//! The list of boxes: rows of text for the template, which escapes them.

use askama::Template;
use jiff::Timestamp;
use jiff::tz::Offset;

use super::messages::Messages;
use super::overview::BoxView;
use crate::bureau::retention::Retention;
use crate::bureau::store::AuditFinding;
use crate::clock::WallTime;
use crate::http::language::Language;
use crate::protocol::commission::{Mode, ShadowReason};
use crate::protocol::countersign::HeadFinding;

/// A box sends a posture every minute; this long without one is silence.
const SILENT_AFTER_MS: i64 = 5 * 60 * 1000;

/// What the page says beside alerts and boxes.
pub(super) struct Context {
    pub(super) retention: Retention,
    pub(super) last_purge: Option<WallTime>,
    pub(super) now: WallTime,
}

/// The page as the template sees it.
#[derive(Template)]
#[template(path = "console.html")]
pub(super) struct Page {
    m: &'static Messages,
    lang: &'static str,
    other: &'static str,
    boxes: Vec<BoxRow>,
    references_days: u32,
    alerts_days: u32,
    last_purge: String,
}

/// A word with its weight: `good`, `watch`, `bad` or `quiet`.
struct Mark {
    text: &'static str,
    class: &'static str,
}

struct BoxRow {
    name: String,
    hospital: String,
    state: Mark,
    seen: String,
    version: String,
    waiting: String,
    held: String,
    liveness: String,
    mode: Option<Mark>,
    policy: Option<Mark>,
    verdicts: Vec<String>,
    troubles: Vec<String>,
    findings: Vec<String>,
    new_epoch: Option<String>,
}

impl Page {
    pub(super) fn new(language: Language, boxes: &[BoxView], about: &Context) -> Self {
        let m = Messages::of(language);
        Self {
            m,
            lang: language.tag(),
            other: language.other().tag(),
            boxes: boxes.iter().map(|b| box_row(m, b, about.now)).collect(),
            references_days: about.retention.references_days,
            alerts_days: about.retention.open_alerts_days,
            last_purge: about.last_purge.map_or_else(|| m.never.to_owned(), wall),
        }
    }
}

fn beijing(t: Timestamp) -> String {
    t.to_zoned(Offset::constant(8).to_time_zone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn wall(t: WallTime) -> String {
    Timestamp::from_millisecond(t.as_millis()).map_or_else(|_| t.to_string(), beijing)
}

fn finding(m: &Messages, f: &AuditFinding) -> String {
    let what = match f.kind {
        HeadFinding::CutShort => m.audit_cut_short,
        HeadFinding::Rewritten => m.audit_rewritten,
    };
    format!("{what} {} → {} ({}; {}×)", f.held.seq, f.found.seq, wall(f.first_at), f.times)
}

fn mode(m: &'static Messages, mode: Mode) -> Mark {
    let (text, class) = match mode {
        Mode::Armed => (m.mode_armed, "good"),
        Mode::Shadow(ShadowReason::NeverCommissioned) => (m.mode_never, "quiet"),
        Mode::Shadow(ShadowReason::OtherCalibration) => (m.mode_other_calibration, "watch"),
        Mode::Shadow(ShadowReason::OtherModel) => (m.mode_other_model, "watch"),
        Mode::Shadow(ShadowReason::Drift) => (m.mode_drift, "bad"),
        Mode::Shadow(ShadowReason::Revoked) => (m.mode_revoked, "watch"),
        Mode::Shadow(ShadowReason::Unverified) => (m.mode_unverified, "bad"),
    };
    Mark { text, class }
}

fn box_row(m: &'static Messages, view: &BoxView, now: WallTime) -> BoxRow {
    let posture = view.posture.as_ref();
    let dash = || "–".to_owned();
    let silent = view
        .posture_received_at
        .is_none_or(|at| now.as_millis().saturating_sub(at.as_millis()) > SILENT_AFTER_MS);
    BoxRow {
        name: view.name.to_string(),
        hospital: view.hospital.to_string(),
        state: match (view.suspended, silent) {
            (true, _) => Mark { text: m.suspended, class: "bad" },
            (false, true) => Mark { text: m.silent, class: "watch" },
            (false, false) => Mark { text: m.active, class: "good" },
        },
        seen: view.posture_received_at.map_or_else(|| m.never.to_owned(), wall),
        version: posture.map_or_else(dash, |p| p.agent_version.clone()),
        waiting: posture.map_or_else(dash, |p| format!("{} / {}", p.outbox_waiting, p.outbox_set_aside)),
        held: format!("{} / {} / {} / {}", view.events, view.gaps, view.expired, view.broken),
        findings: view.audit_findings.iter().map(|f| finding(m, f)).collect(),
        new_epoch: view.new_epoch_at.map(|at| format!("{} {}", m.new_epoch, wall(at))),
        liveness: posture.map_or_else(dash, |p| p.liveness.clone()),
        mode: posture.and_then(|p| p.commissioning.as_ref()).map(|s| mode(m, s.mode)),
        policy: posture.map(|p| match view.declared_policy {
            None => Mark { text: m.policy_undeclared, class: "quiet" },
            Some(declared) if declared == p.policy => Mark { text: m.policy_declared, class: "good" },
            Some(_) => Mark { text: m.policy_other, class: "bad" },
        }),
        verdicts: posture
            .map(|p| p.verdicts.iter().map(|(verdict, n)| format!("{verdict}: {n}")).collect())
            .unwrap_or_default(),
        troubles: posture.map(|p| p.troubles.clone()).unwrap_or_default(),
    }
}
