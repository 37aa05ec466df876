//! What the agent does all the time beside verifying: moves audit rows to the
//! log, signs held mismatches when their time has come, carries out limits,
//! watches the clocks.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tracing::{error, info, warn};

use crate::camera::ring::Ring;
use crate::clock::{BoxTime, WallTime};
use crate::crypto::keys;
use crate::privacy::age::{GRACE, Moment, Word};
use crate::privacy::audit::Kind;
use crate::privacy::policy::ASSESSMENT_GRACE_DAYS;
use crate::privacy::retention::{Evidence, carry_out};
use crate::protocol::verdict::{NotAssessed, Outcome};

use super::alerts::Draft;
use super::context::{Context, Trouble};
use super::metrics;
use super::outbox::Released;
use super::purge::{Held, Rings};
use super::store::StoreError;

/// How often limits are carried out in the database.
const PURGE_EVERY: Duration = Duration::from_secs(600);
/// How often the evidence of it is written, though nothing was deleted.
const EVIDENCE_EVERY: Duration = Duration::from_secs(3600);
/// How often pictures that nobody pushes out are looked for.
const RINGS_EVERY: Duration = Duration::from_secs(1);
/// How often the clocks are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the count of ages is kept.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// Moves audit rows to the log as they come, and tries again where it failed.
pub(super) async fn export(context: Arc<Context>) {
    let heart = context.watch.audit_export.clone();
    loop {
        let (worker, beating) = (Arc::clone(&context), heart.clone());
        let done = tokio::task::spawn_blocking(move || worker.export_audit(&beating)).await;
        match done {
            Ok(Ok(())) => heart.rest(context.audit_waits.notified()).await,
            Ok(Err(e)) => {
                error!(error = %e, "the audit log cannot be written; nothing is verified until it can");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

/// Signs and commits held mismatches when their time has come.
pub(super) async fn release(context: Arc<Context>) {
    let heart = context.watch.release.clone();
    loop {
        heart.beat();
        context.record_again().await;
        let least = release_due(&context).await;
        let next = context.store(|s| s.next_due()).await.ok().flatten();
        let now = context.moment().age;
        let wait =
            next.map_or(Duration::from_secs(60), |t| t.since(now).clamp(least, Duration::from_secs(60)));
        // Whichever is first: a mismatch that is newly held, or the next one due.
        let _ = heart.rest(tokio::time::timeout(wait, context.mismatch_held.notified())).await;
    }
}

/// Releases what is due. Returns how long to wait at least before the next try.
async fn release_due(context: &Arc<Context>) -> Duration {
    const SOON: Duration = Duration::from_millis(50);
    const LATER: Duration = Duration::from_secs(5);
    let now = context.moment();
    // No alert has a doubtful time: it waits until the bureau has confirmed the clock, but not for ever.
    let doubted = context.doubt().is_some();
    let before = if doubted { now.age.minus(GRACE) } else { now.age };
    let due = match context.store(move |s| s.due(before)).await {
        Ok(due) => due,
        Err(e) => {
            error!(error = %e, "held mismatches cannot be read");
            return LATER;
        }
    };
    let mut least = if doubted { LATER } else { SOON };
    for (id, draft) in due {
        context.watch.release.beat();
        let counter = draft.as_ref().ok().map(|d| d.counter().clone());
        let told = draft.as_ref().map_or(Outcome::Mismatch, Draft::outcome);
        let reason = if doubted { NotAssessed::ClockUncertain } else { NotAssessed::Fault };
        let done = match draft {
            Ok(draft) if !doubted => {
                context.store(move |s| s.release(id, draft, now)).await.map(|r| (r, told))
            }
            unusable => {
                if let Err(e) = unusable {
                    error!(verification = %id, error = %e, "a held mismatch cannot be read; it ends as not assessed");
                }
                let given_up = context.store(move |s| s.give_up(id, reason, now)).await;
                let released = |ended| if ended { Released::Watched } else { Released::Ended };
                given_up.map(|ended| (released(ended), Outcome::NotAssessed(reason)))
            }
        };
        match done {
            Ok((Released::Alerted(event), _)) => {
                if let Some(counter) = &counter {
                    metrics::verdict(counter, told);
                }
                context.watch.places.forget(id);
                context.count(told);
                info!(verification = %id, verdict = told.verdict(), %event, "verified");
                context.events_wait.notify_one();
            }
            Ok((Released::Ended, _)) => {}
            Ok((Released::Watched, outcome)) => {
                context.count(outcome);
                context.watch.places.ended(id, outcome);
            }
            Err(e) => {
                error!(verification = %id, error = %e, "an alert could not be committed; it is tried again");
                least = LATER;
            }
        }
        context.audit_waits.notify_one();
    }
    least
}

/// Carries out the limits of the policy, and records the evidence.
pub(super) async fn limits(context: Arc<Context>, rings: Vec<Arc<Ring>>) {
    let limit = |l: &_| context.policy.limit(*l);
    let heart = context.watch.purge.clone();
    let mut purged: Option<BoxTime> = None;
    let mut evidenced: Option<BoxTime> = None;
    let mut assessed = None;
    loop {
        heart.beat();
        let now = context.clock.now().boot;
        // A ring cannot fail.
        let Ok(frames) = carry_out(&mut Rings(&rings), limit, now).await;
        context.watch.purges.note(&frames, context.wall());
        let due = |last: Option<BoxTime>, every| last.is_none_or(|t| now.since(t) >= every);
        if due(purged, PURGE_EVERY) {
            purged = Some(now);
            let today = context.look_at_assessment();
            if today.is_some() && today != assessed {
                assessed = today;
                tell_overdue(&context);
            }
            let moment = context.moment();
            match purge(&context, moment).await {
                Ok(rows) => {
                    context.watch.purged();
                    context.watch.purges.note(&rows, moment.wall);
                    if due(evidenced, EVIDENCE_EVERY) {
                        evidenced = Some(now);
                        let all: Vec<&Evidence> = frames.iter().chain(&rows).collect();
                        evidence(&context, &all, moment.wall).await;
                    }
                }
                Err(e) => error!(error = %e, "limits could not be enforced"),
            }
        }
        heart.rest(tokio::time::sleep(RINGS_EVERY)).await;
    }
}

/// Once a day: whether the review of the impact assessment is overdue.
fn tell_overdue(context: &Context) {
    let (days, assessment) = (context.overdue_days(), &context.policy.impact_assessment);
    match context.trouble() {
        Some(trouble @ Trouble::Assessment(_)) => error!(id = assessment.id, "{trouble}"),
        _ if days > 0 => warn!(
            id = assessment.id,
            days,
            most = ASSESSMENT_GRACE_DAYS,
            "the review of the impact assessment is overdue; beyond the most days nothing is verified"
        ),
        _ => {}
    }
}

async fn purge(context: &Arc<Context>, now: Moment) -> Result<Vec<Evidence>, StoreError> {
    context.make_older(None).await?;
    let limit = |l: &_| context.policy.limit(*l);
    let rows = carry_out(&mut Held { context, now }, limit, now.age).await?;
    context.store(move |s| s.finish_purge(now)).await?;
    context.audit_waits.notify_one();
    let undelivered = rows
        .iter()
        .filter(|e| e.kind == crate::privacy::policy::WAITING_ALERTS.key)
        .map(|e| e.deleted)
        .sum::<u64>();
    if undelivered > 0 {
        error!(undelivered, "alerts reached their limit before the bureau took them");
        context.events_wait.notify_one();
    }
    for e in rows.iter().filter(|e| e.outlived()) {
        error!(kind = e.kind, oldest_s = e.oldest_left_s, limit_s = e.limit_s, "data outlived its limit");
    }
    Ok(rows)
}

/// Writes how old the oldest of each kind is, what the verdicts were, and signs
/// the head of the log.
async fn evidence(context: &Arc<Context>, all: &[&Evidence], now: WallTime) {
    let (data, counts) = (json!({ "kinds": all }), json!(context.verdicts()));
    let recorded = context
        .store(move |s| {
            s.record(now, Kind::Retention, &data)?;
            s.record(now, Kind::VerdictCounts, &counts)
        })
        .await;
    let worker = Arc::clone(context);
    let signed = tokio::task::spawn_blocking(move || {
        worker.export_audit(&worker.watch.purge).map_err(|e| e.to_string())?;
        worker.purge_audit_log().map_err(|e| e.to_string())?;
        worker.checkpoint().map_err(|e| e.to_string())
    })
    .await;
    if let Err(e) = recorded {
        error!(error = %e, "the evidence of retention could not be recorded");
    }
    if let Ok(Err(error)) = signed {
        error!(error, "the head of the audit log could not be signed");
    }
}

/// Watches the clocks, and keeps the count of ages.
pub(super) async fn clocks(context: Arc<Context>) {
    let heart = context.watch.clocks.clone();
    let mut kept = context.clock.now().boot;
    loop {
        heart.rest(tokio::time::sleep(LOOK_EVERY)).await;
        match context.look_at_clocks().await {
            Ok(true) => context.clock_doubted.notify_one(),
            Ok(false) => {}
            Err(e) => error!(error = %e, "a step of the clock could not be recorded"),
        }
        let now = context.clock.now().boot;
        // While the database is ill, this write is what shows that it is well again.
        if now.since(kept) >= KEEP_EVERY || context.trouble() == Some(Trouble::Store) {
            kept = now;
            if let Err(e) = context.keep_marks().await {
                error!(error = %e, "the count of ages could not be kept");
            }
        }
    }
}

/// Takes the time from an answer of the bureau. Its certificate was checked,
/// so nobody between can tell another.
pub(super) async fn hear(context: &Arc<Context>, answer: &reqwest::Response, asked: BoxTime) {
    let told = answer
        .headers()
        .get(reqwest::header::DATE)
        .and_then(|d| jiff::fmt::rfc2822::parse(d.to_str().ok()?).ok());
    let Some(told) = told else { return };
    let told = WallTime::from_millis(told.timestamp().as_millisecond());
    if let Err(e) = context.hear_bureau_time(asked, |trip| Word::date(told, trip)).await {
        error!(error = %e, "the bureau's time could not be taken");
    }
}

/// Takes over a root key that was replaced, without a stop (SIGHUP).
pub(super) async fn reload_root_key(context: &Arc<Context>) {
    let root = match keys::read_root_key(&context.config.keys.root) {
        Ok(root) => root,
        Err(e) => return error!(error = %e, "the root key cannot be read; the one at hand stays"),
    };
    let now = context.wall();
    let replaced = context
        .store(move |s| {
            if s.stands_on(&root)? {
                return Ok(false);
            }
            s.replace_root(&root, now)?;
            Ok(true)
        })
        .await;
    context.audit_waits.notify_one();
    match replaced {
        Ok(true) => info!("the root key was replaced; everything sealed stands under the new one"),
        Ok(false) => warn!("SIGHUP: the root key is the one in use"),
        Err(e) => error!(error = %e, "the root key could not be replaced; the one at hand stays"),
    }
}
