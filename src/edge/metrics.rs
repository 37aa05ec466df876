//! The agent's metrics: every name, and the functions that record them.
//!
//! Labels are words of the program, configured counters, HTTP statuses and
//! routes; no settlement, no cardholder, no comparison score. Ages go by the
//! time since boot, so that a wall clock that is set shows in none of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{counter, gauge, histogram};

use crate::camera::ring::Ring;
use crate::clock::BoxTime;
use crate::crypto::Sha256;
use crate::heart::Pulse;
use crate::http::metrics::{Kind, declare};
use crate::http::request::Routes;
use crate::protocol::id::CounterId;
use crate::protocol::posture::CameraState;
use crate::protocol::verdict::{Inconclusive, NotAssessed, Outcome};

use super::health::Known;
use super::his::Dialect;
use super::outbox::Waiting;

/// From a closed window to its verdict: milliseconds on a fast box, seconds on a
/// slow one or behind a full queue.
const VERIFICATION_BOUNDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// From a request to its answer, with one commit to the disk in between.
const INTAKE_BOUNDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

declare! {
    /// Every metric of the agent.
    ALL;

    VERDICTS = "counterproof_verdicts_total", Kind::Counter, ["counter", "verdict", "reason"],
        "Verifications that ended, by verdict and reason. A held mismatch counts when its alert is signed, one in shadow when it would have been.";
    INTAKE = "counterproof_intake_requests_total", Kind::Counter, ["route", "status"],
        "Requests of the HIS by route and answer: 202 new, 200 repeated, 204 cancelled, else refused.";
    MISREAD = "counterproof_his_misread_total", Kind::Counter, ["dialect"],
        "Messages of the HIS in its own dialect that were not understood, and refused.";
    INTAKE_TIME = "counterproof_intake_duration_seconds", Kind::Histogram(INTAKE_BOUNDS), ["route"],
        "Time from a request of the HIS to its answer.";
    SHED = "counterproof_shed_total", Kind::Counter, ["counter", "at"],
        "Settlements that found a counter's mailbox or the workers' queue full: not_assessed(overload).";
    IN_FLIGHT = "counterproof_verifications_in_flight", Kind::Gauge, [],
        "Settlements between their acceptance and their verdict.";
    VERIFICATION_TIME = "counterproof_verification_duration_seconds", Kind::Histogram(VERIFICATION_BOUNDS), [],
        "Time from the close of a window to its verdict: waiting for references, for a worker, and looking.";
    QUEUE = "counterproof_worker_queue_length", Kind::Gauge, [],
        "Verifications that wait for a worker.";
    QUEUE_LIMIT = "counterproof_worker_queue_limit", Kind::Gauge, [],
        "Verifications that may wait for a worker (decision.queue).";
    SAMPLES = "counterproof_camera_samples_total", Kind::Counter, ["counter"],
        "Pictures that came from a counter's camera.";
    BYTES = "counterproof_camera_bytes_total", Kind::Counter, ["counter"],
        "Bytes that came from a counter's camera.";
    SAMPLE_AGE = "counterproof_camera_sample_age_seconds", Kind::Gauge, ["counter"],
        "Age of the newest picture of a counter's camera; from the start of the program if there was none yet.";
    LOST = "counterproof_windows_with_lost_frames_total", Kind::Counter, ["counter"],
        "Windows of which pictures were lost on the way from the camera, or had to go before the window was closed.";
    CAMERA_RESTARTS = "counterproof_camera_restarts_total", Kind::Counter, ["counter"],
        "How often a counter's camera ended and was started again.";
    CAMERA_HEALTH = "counterproof_camera_health", Kind::Gauge, ["counter", "state"],
        "1 for the state in which a counter's camera is, 0 for the others: ok, silent, frozen, black, covered, out_of_focus, moved.";
    ENTRANCE = "counterproof_entrance_watch_seconds_total", Kind::Counter, ["counter", "observed"],
        "Seconds of shifts with a roster at an entrance: observed (yes), or missed since the camera, the clock or the box could not be trusted or kept up (no).";
    THUMBNAILS = "counterproof_camera_thumbnails_total", Kind::Counter, ["counter"],
        "Pictures that were made into a thumbnail for the camera's health: at most one a minute, the only ones read without a settlement.";
    OUTBOX = "counterproof_outbox_events", Kind::Gauge, ["state"],
        "Alerts and withdrawals in the outbox: waiting for the bureau, or set aside since it refused them.";
    DELIVERIES = "counterproof_deliveries_total", Kind::Counter, ["outcome"],
        "Attempts to deliver an event: stored at the bureau, set_aside, or retry.";
    AUDIT_OK = "counterproof_audit_log_writable", Kind::Gauge, [],
        "1 while the audit log can be written; at 0 nothing is verified.";
    AUDIT_SEQ = "counterproof_audit_log_head_seq", Kind::Gauge, [],
        "Number of the audit log's last record.";
    STORE_OK = "counterproof_store_writable", Kind::Gauge, [],
        "1 while the box's database can be written; at 0 nothing is verified.";
    PURGE_AGE = "counterproof_last_purge_age_seconds", Kind::Gauge, [],
        "Time since limits were last enforced; from the start of the program if they never were.";
    BUREAU_AGE = "counterproof_bureau_last_answer_age_seconds", Kind::Gauge, [],
        "Time since the bureau last answered; from the start of the program if it never did.";
    HEART_AGE = "counterproof_part_progress_age_seconds", Kind::Gauge, ["part"],
        "Time since a part of the program last got on.";
    HEART_LIMIT = "counterproof_part_progress_limit_seconds", Kind::Gauge, ["part"],
        "How old that may become before the watchdog is not fed any more.";
    ARMED = "counterproof_armed", Kind::Gauge, [],
        "1 while mismatches raise alerts; 0 in shadow: settlements are verified and counted, and nobody is told.";
    WANTED = "counterproof_other_version_wanted", Kind::Gauge, [],
        "1 while the bureau wants another version on this box than the one that runs (`counterproof check` names it).";
    BUILD = "counterproof_build_info", Kind::Gauge, ["version"],
        "1, with the version of the program.";
    IN_FORCE = "counterproof_in_force_info", Kind::Gauge, ["policy", "notice", "calibration", "detector", "recognizer"],
        "1, with the first 16 digits of the SHA-256 of what is in force.";
}

/// A verification ended.
pub fn verdict(counter: &CounterId, outcome: Outcome) {
    verdicts(counter, outcome).increment(1);
}

fn verdicts(counter: &CounterId, outcome: Outcome) -> metrics::Counter {
    counter!(VERDICTS.name, "counter" => counter.to_string(), "verdict" => outcome.verdict(),
        "reason" => outcome.reason())
}

/// A message of the HIS was not understood.
pub fn misread(dialect: Dialect) {
    counter!(MISREAD.name, "dialect" => dialect.as_str()).increment(1);
}

/// Where a settlement was shed.
#[derive(Debug, Clone, Copy)]
pub enum Shed {
    /// The counter's mailbox was full.
    Mailbox,
    /// The workers' queue was full.
    Queue,
}

impl Shed {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Mailbox => "mailbox",
            Self::Queue => "queue",
        }
    }
}

/// A settlement was not verified since too many came at once.
pub fn shed(counter: &CounterId, at: Shed) {
    counter!(SHED.name, "counter" => counter.to_string(), "at" => at.as_str()).increment(1);
}

/// A window's verdict fell this long after it had closed.
pub fn verified_in(time: Duration) {
    histogram!(VERIFICATION_TIME.name).record(time);
}

/// A window was closed, and some of its pictures were lost.
pub fn frames_lost(counter: &CounterId) {
    counter!(LOST.name, "counter" => counter.to_string()).increment(1);
}

/// A camera ended and is started again.
pub fn camera_restarted(counter: &CounterId) {
    counter!(CAMERA_RESTARTS.name, "counter" => counter.to_string()).increment(1);
}

/// Part of a shift at an entrance has passed: observed for so long, and missed for so long.
pub fn entrance_watched(counter: &CounterId, observed: Duration, missed: Duration) {
    for (word, time) in [("yes", observed), ("no", missed)] {
        // Whole seconds are what a counter can hold; a look takes one.
        let seconds = (time.as_secs_f64()).round() as u64;
        counter!(ENTRANCE.name, "counter" => counter.to_string(), "observed" => word).increment(seconds);
    }
}

/// What became of an attempt to deliver an event.
#[derive(Debug, Clone, Copy)]
pub enum Delivered {
    /// The bureau has it.
    Stored,
    /// The bureau refused it for good.
    SetAside,
    /// It is tried again.
    Retry,
}

impl Delivered {
    const ALL: [Self; 3] = [Self::Stored, Self::SetAside, Self::Retry];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::SetAside => "set_aside",
            Self::Retry => "retry",
        }
    }
}

/// An attempt to deliver an event ended.
pub fn delivered(outcome: Delivered) {
    counter!(DELIVERIES.name, "outcome" => outcome.as_str()).increment(1);
}

/// Middleware: counts and times what the HIS asks.
pub async fn observe(State(routes): State<Routes>, request: Request, next: Next) -> Response {
    let (route, begun) = (routes.of(request.uri().path()), Instant::now());
    let answer = next.run(request).await;
    histogram!(INTAKE_TIME.name, "route" => route).record(begun.elapsed());
    counter!(INTAKE.name, "route" => route, "status" => answer.status().as_str().to_owned()).increment(1);
    answer
}

/// What is in force from the start to the end of the program.
pub struct InForce {
    /// The privacy policy.
    pub policy: Sha256,
    /// The posted notice.
    pub notice: Sha256,
    /// The calibration.
    pub calibration: Sha256,
    /// The detector's file.
    pub detector: Sha256,
    /// The recognizer's file.
    pub recognizer: Sha256,
}

/// Writes what stays as it is, and begins every counter at zero, so that the
/// first increase is seen as one.
pub fn begin(counters: impl Iterator<Item = CounterId>, in_force: &InForce) {
    for c in counters {
        let reasons = Inconclusive::ALL.iter().map(|r| Outcome::Inconclusive(*r));
        let outcomes = reasons.chain(NotAssessed::ALL.iter().map(|r| Outcome::NotAssessed(*r)));
        for outcome in outcomes.chain(Outcome::PLAIN) {
            verdicts(&c, outcome).increment(0);
        }
        for at in [Shed::Mailbox, Shed::Queue] {
            counter!(SHED.name, "counter" => c.to_string(), "at" => at.as_str()).increment(0);
        }
        for name in [CAMERA_RESTARTS.name, LOST.name] {
            counter!(name, "counter" => c.to_string()).increment(0);
        }
        entrance_watched(&c, Duration::ZERO, Duration::ZERO);
    }
    for dialect in Dialect::ALL {
        counter!(MISREAD.name, "dialect" => dialect.as_str()).increment(0);
    }
    for outcome in Delivered::ALL {
        counter!(DELIVERIES.name, "outcome" => outcome.as_str()).increment(0);
    }
    let short = |d: &Sha256| d.to_string().chars().take(16).collect::<String>();
    gauge!(BUILD.name, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    gauge!(IN_FORCE.name, "policy" => short(&in_force.policy), "notice" => short(&in_force.notice),
        "calibration" => short(&in_force.calibration), "detector" => short(&in_force.detector),
        "recognizer" => short(&in_force.recognizer))
    .set(1.0);
}

/// What is looked up when the page is read.
pub struct Reading {
    /// Verifications between acceptance and verdict.
    pub in_flight: u64,
    /// Verifications that wait for a worker, and how many may.
    pub queue: (usize, usize),
    /// What the outbox holds; `None` if it could not be read in time.
    pub outbox: Option<Waiting>,
    /// Whether the audit log can be written.
    pub audit_ok: bool,
    /// Its last record.
    pub audit_seq: Option<u64>,
    /// Whether the database can be written.
    pub store_ok: bool,
    /// Whether mismatches raise alerts.
    pub armed: bool,
    /// Whether the bureau wants another version here.
    pub other_version_wanted: bool,
    /// Since limits were enforced.
    pub purge_age: Duration,
    /// Since the bureau answered.
    pub bureau_age: Duration,
    /// Every part's pulse.
    pub pulses: Vec<Pulse>,
}

/// Brings the page up to date.
pub fn refresh(r: &Reading) {
    let flag = |b: bool| if b { 1.0 } else { 0.0 };
    gauge!(IN_FLIGHT.name).set(r.in_flight as f64);
    gauge!(QUEUE.name).set(r.queue.0 as f64);
    gauge!(QUEUE_LIMIT.name).set(r.queue.1 as f64);
    if let Some(outbox) = r.outbox {
        gauge!(OUTBOX.name, "state" => "waiting").set(outbox.waiting as f64);
        gauge!(OUTBOX.name, "state" => "set_aside").set(outbox.set_aside as f64);
    }
    gauge!(AUDIT_OK.name).set(flag(r.audit_ok));
    gauge!(AUDIT_SEQ.name).set(r.audit_seq.unwrap_or(0) as f64);
    gauge!(STORE_OK.name).set(flag(r.store_ok));
    gauge!(ARMED.name).set(flag(r.armed));
    gauge!(WANTED.name).set(flag(r.other_version_wanted));
    gauge!(PURGE_AGE.name).set(r.purge_age.as_secs_f64());
    gauge!(BUREAU_AGE.name).set(r.bureau_age.as_secs_f64());
    for p in &r.pulses {
        gauge!(HEART_AGE.name, "part" => p.part.clone()).set(p.age.as_secs_f64());
        gauge!(HEART_LIMIT.name, "part" => p.part.clone()).set(p.allowed.as_secs_f64());
    }
}

/// Brings what a counter's camera has sent up to date.
pub fn refresh_camera(counter: &CounterId, ring: &Arc<Ring>, started: BoxTime, now: BoxTime) {
    let (samples, bytes) = ring.received();
    counter!(SAMPLES.name, "counter" => counter.to_string()).absolute(samples);
    counter!(BYTES.name, "counter" => counter.to_string()).absolute(bytes);
    let age = now.since(ring.last_received().unwrap_or(started));
    gauge!(SAMPLE_AGE.name, "counter" => counter.to_string()).set(age.as_secs_f64());
}

/// Brings how a counter's camera fares up to date.
pub fn refresh_health(counter: &CounterId, known: Known) {
    for state in CameraState::ALL {
        let is = if *state == known.state { 1.0 } else { 0.0 };
        gauge!(CAMERA_HEALTH.name, "counter" => counter.to_string(), "state" => state.as_str()).set(is);
    }
    counter!(THUMBNAILS.name, "counter" => counter.to_string()).absolute(known.thumbnails);
}
