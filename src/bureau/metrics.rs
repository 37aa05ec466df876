//! The bureau's metrics: every name, and the functions that record them.
//!
//! Labels are words of the program, routes and HTTP statuses; no box, no
//! cardholder, no settlement. Which box is meant stands on the console.

use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{counter, gauge, histogram};

use super::retention::Kind as Limit;
use super::store::ChainState;
use crate::heart::Pulse;
use crate::http::metrics::{Kind, declare};
use crate::http::request::Routes;
use crate::protocol::check_in::CheckInVerdict;
use crate::protocol::countersign::HeadFinding;

/// From a request to its answer, with one commit in between.
const REQUEST_BOUNDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

declare! {
    /// Every metric of the bureau.
    ALL;

    REQUESTS = "counterproof_bureau_requests_total", Kind::Counter, ["route", "status"],
        "Requests of boxes by route and answer; an alert: 201 stored, 200 seen before, else refused.";
    REQUEST_TIME = "counterproof_bureau_request_duration_seconds", Kind::Histogram(REQUEST_BOUNDS), ["route"],
        "Time from a request of a box to its answer.";
    EVENTS = "counterproof_bureau_events_stored_total", Kind::Counter, ["chain"],
        "Alerts and withdrawals stored, by how they fit the box's chain: ok, gap, expired or broken.";
    FINDINGS = "counterproof_bureau_audit_findings_total", Kind::Counter, ["kind"],
        "Postures whose audit head does not fit those seen before: cut_short or rewritten.";
    BOXES = "counterproof_bureau_boxes", Kind::Gauge, ["state"],
        "Boxes on record: active or suspended.";
    SILENT = "counterproof_bureau_boxes_silent", Kind::Gauge, [],
        "Active boxes that have called before, but not within the last five minutes.";
    DELETED = "counterproof_bureau_purged_rows_total", Kind::Counter, ["kind"],
        "Rows deleted at their limit.";
    PURGE_FAILURES = "counterproof_bureau_purge_failures_total", Kind::Counter, [],
        "Times that limits could not be enforced.";
    PURGE_AGE = "counterproof_bureau_last_purge_age_seconds", Kind::Gauge, [],
        "Time since limits were last enforced; from the start of the program if they never were.";
    STORE_OK = "counterproof_bureau_store_readable", Kind::Gauge, [],
        "1 while the store answers.";
    HEART_AGE = "counterproof_bureau_part_progress_age_seconds", Kind::Gauge, ["part"],
        "Time since a part of the program last got on.";
    HEART_LIMIT = "counterproof_bureau_part_progress_limit_seconds", Kind::Gauge, ["part"],
        "How old that may become before the watchdog is not fed any more.";
    CHECK_INS = "counterproof_bureau_check_ins_total", Kind::Counter, ["verdict"],
        "Check-ins by telephone that were kept, by verdict.";
    CHECK_INS_REFUSED = "counterproof_bureau_check_ins_refused_total", Kind::Counter, ["why"],
        "Check-ins that were not taken: unauthorized, too_often, busy, unreadable or store.";
    BUILD = "counterproof_bureau_build_info", Kind::Gauge, ["version"],
        "1, with the version of the program.";
}

/// Middleware: counts and times what boxes ask.
pub async fn observe(State(routes): State<Routes>, request: Request, next: Next) -> Response {
    let (route, begun) = (routes.of(request.uri().path()), Instant::now());
    let answer = next.run(request).await;
    histogram!(REQUEST_TIME.name, "route" => route).record(begun.elapsed());
    counter!(REQUESTS.name, "route" => route, "status" => answer.status().as_str().to_owned()).increment(1);
    answer
}

/// An event was stored.
pub fn stored(chain: ChainState) {
    counter!(EVENTS.name, "chain" => chain.as_str()).increment(1);
}

/// An audit head does not fit those that its box showed before.
pub fn finding(kind: HeadFinding) {
    counter!(FINDINGS.name, "kind" => kind.as_str()).increment(1);
}

/// A limit was enforced.
pub fn purged(kind: Limit, deleted: u64) {
    counter!(DELETED.name, "kind" => kind.as_str()).increment(deleted);
}

/// Limits could not be enforced.
pub fn purge_failed() {
    counter!(PURGE_FAILURES.name).increment(1);
}

/// A check-in was kept.
pub fn checked_in(verdict: CheckInVerdict) {
    counter!(CHECK_INS.name, "verdict" => verdict.as_str()).increment(1);
}

/// A check-in was not taken.
pub fn check_in_refused(why: &'static str) {
    counter!(CHECK_INS_REFUSED.name, "why" => why).increment(1);
}

/// Writes what stays as it is, and begins every counter at zero.
pub fn begin() {
    for chain in [ChainState::Ok, ChainState::Gap, ChainState::Expired, ChainState::Broken] {
        counter!(EVENTS.name, "chain" => chain.as_str()).increment(0);
    }
    for kind in [HeadFinding::CutShort, HeadFinding::Rewritten] {
        counter!(FINDINGS.name, "kind" => kind.as_str()).increment(0);
    }
    for kind in Limit::ALL {
        counter!(DELETED.name, "kind" => kind.as_str()).increment(0);
    }
    for verdict in CheckInVerdict::ALL {
        counter!(CHECK_INS.name, "verdict" => verdict.as_str()).increment(0);
    }
    for why in ["unauthorized", "too_often", "busy", "unreadable", "store"] {
        counter!(CHECK_INS_REFUSED.name, "why" => why).increment(0);
    }
    counter!(PURGE_FAILURES.name).increment(0);
    gauge!(BUILD.name, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// How many boxes there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Boxes {
    /// Heard.
    pub active: u64,
    /// Refused.
    pub suspended: u64,
    /// Active, but silent for too long.
    pub silent: u64,
}

/// Brings the page up to date; `None` if the store did not answer in time.
pub fn refresh(boxes: Option<Boxes>, purge_age: Duration, pulses: &[Pulse]) {
    gauge!(STORE_OK.name).set(if boxes.is_some() { 1.0 } else { 0.0 });
    if let Some(boxes) = boxes {
        gauge!(BOXES.name, "state" => "active").set(boxes.active as f64);
        gauge!(BOXES.name, "state" => "suspended").set(boxes.suspended as f64);
        gauge!(SILENT.name).set(boxes.silent as f64);
    }
    gauge!(PURGE_AGE.name).set(purge_age.as_secs_f64());
    for p in pulses {
        gauge!(HEART_AGE.name, "part" => p.part.clone()).set(p.age.as_secs_f64());
        gauge!(HEART_LIMIT.name, "part" => p.part.clone()).set(p.allowed.as_secs_f64());
    }
}
