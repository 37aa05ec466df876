//! What every part of the running agent shares: its settings, its clock, its
//! store, and what it knows of its own health.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use tracing::{debug, error, info, warn};

use crate::clock::{Clock, WallTime};
use crate::heart::Heart;
use crate::privacy::age::{Age, Ages, Doubt, Due, Marks, Moment};
use crate::privacy::audit::{AuditError, AuditLog, CEILING, Kind};
use crate::privacy::policy::Policy;
use crate::protocol::id::{SettlementId, VerificationId};
use crate::protocol::posture::AuditHead;
use crate::protocol::verdict::{NotAssessed, Outcome};
use crate::verify::calibration::Calibration;

use super::alerts::{Draft, InForce};
use super::config::Config;
use super::store::{Store, StoreError};
use super::supervisor::Watch;

/// Rows that are moved to the audit log at a time.
const EXPORT_BATCH: usize = 256;

/// What lies in the state folder, opened.
pub struct State {
    /// The database.
    pub store: Store,
    /// The audit log.
    pub audit: AuditLog,
    /// The count of ages, resumed.
    pub ages: Ages,
}

/// Shared by all tasks of one agent.
pub struct Context {
    /// The configuration.
    pub config: Config,
    /// The privacy policy in force.
    pub policy: Policy,
    /// The calibration in force.
    pub calibration: Calibration,
    /// What goes into alerts.
    pub in_force: InForce,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Rung when audit rows wait.
    pub audit_waits: Notify,
    /// Rung when events wait.
    pub events_wait: Notify,
    /// Rung when the bureau should be asked the time.
    pub clock_doubted: Notify,
    /// Rung when a mismatch is held.
    pub mismatch_held: Notify,
    /// Verifications between acceptance and verdict.
    pub in_flight: AtomicU64,
    /// Who must get on, and where verifications are.
    pub watch: Watch,
    store: Arc<Mutex<Store>>,
    audit: Mutex<AuditLog>,
    /// Of the log, beside it: whoever asks never waits for a disk.
    audit_head: Mutex<Option<AuditHead>>,
    ages: Mutex<Ages>,
    audit_ok: AtomicBool,
    store_ok: AtomicBool,
    verdicts: Mutex<BTreeMap<String, u64>>,
    unrecorded: Mutex<Vec<(VerificationId, SettlementId, Outcome)>>,
}

/// Why the box cannot verify now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The audit log cannot be written.
    AuditLog,
    /// The database cannot be written.
    Store,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::AuditLog => "the audit log cannot be written: nothing is verified until it can (is the disk full or read-only?)",
            Self::Store => "the box's database cannot be written: nothing is verified until it can (is the disk full or read-only?)",
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl Context {
    /// Joins what was opened.
    pub fn new(
        config: Config,
        policy: Policy,
        calibration: Calibration,
        in_force: InForce,
        clock: Arc<dyn Clock>,
        state: State,
    ) -> Self {
        let State { store, audit, ages } = state;
        Self {
            watch: Watch::new(Arc::clone(&clock)),
            config,
            policy,
            calibration,
            in_force,
            clock,
            audit_waits: Notify::new(),
            events_wait: Notify::new(),
            clock_doubted: Notify::new(),
            mismatch_held: Notify::new(),
            in_flight: AtomicU64::new(0),
            store: Arc::new(Mutex::new(store)),
            audit_head: Mutex::new(audit.head()),
            audit: Mutex::new(audit),
            ages: Mutex::new(ages),
            audit_ok: AtomicBool::new(true),
            store_ok: AtomicBool::new(true),
            verdicts: Mutex::default(),
            unrecorded: Mutex::default(),
        }
    }

    /// The wall clock.
    pub fn wall(&self) -> WallTime {
        self.clock.now().wall
    }

    /// Now, by both counts.
    pub fn moment(&self) -> Moment {
        let now = self.clock.now();
        Moment { wall: now.wall, age: lock(&self.ages).now(now) }
    }

    /// Why the wall clock is not believed, if it is not.
    /// Looks before it answers: a step a moment ago counts.
    pub fn doubt(&self) -> Option<Doubt> {
        let now = self.clock.now();
        lock(&self.ages).look(now)
    }

    /// A number that changes with each step of the wall clock, the last moment's
    /// included.
    pub fn clock_turns(&self) -> u64 {
        let now = self.clock.now();
        let mut ages = lock(&self.ages);
        ages.look(now);
        ages.turns()
    }

    /// Looks at the clocks, and records a step. `true` if there was one.
    ///
    /// # Errors
    /// If the record cannot be written.
    pub async fn look_at_clocks(&self) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let untold = {
            let mut ages = lock(&self.ages);
            ages.look(now);
            ages.take_untold()
        };
        let Some(doubt) = untold else { return Ok(false) };
        warn!(%doubt, "the wall clock is not believed");
        self.record(now.wall, Kind::ClockDoubted, json!({ "why": doubt.to_string() })).await?;
        Ok(true)
    }

    /// Takes the bureau's time, told within `bound` of the truth; what turns
    /// out to be older by it is made older.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn hear_bureau_time(&self, told: WallTime, bound: Duration) -> Result<(), StoreError> {
        let now = self.clock.now();
        let (changed, doubt) = {
            let mut ages = lock(&self.ages);
            (ages.hear(told, bound, now), ages.doubt())
        };
        match doubt {
            Some(doubt) if changed => {
                warn!(%doubt, "the wall clock is not believed");
                self.record(now.wall, Kind::ClockDoubted, json!({ "why": doubt.to_string() })).await?;
            }
            None if changed => {
                self.record(now.wall, Kind::ClockConfirmed, json!({ "bureau_time": told })).await?;
                self.mismatch_held.notify_one();
            }
            _ => {}
        }
        self.make_older(Some(told)).await
    }

    /// Makes data older that lay there while the box was off.
    ///
    /// # Errors
    /// If it cannot be written; it is tried again.
    pub async fn make_older(&self, bureau: Option<WallTime>) -> Result<(), StoreError> {
        loop {
            let now = self.clock.now();
            let (due, marks) = {
                let ages = lock(&self.ages);
                let Some(due) = ages.due(bureau, now) else { return Ok(()) };
                (due, ages.marks_once_counted(due, now))
            };
            let (Due::Older(_, gap) | Due::WaitingOlder(_, gap)) = due;
            self.store(move |s| s.make_older(due, &marks)).await?;
            lock(&self.ages).counted(due);
            info!(
                gap_s = gap.as_secs(),
                confirmed = bureau.is_some(),
                "time off was added to the age of what is kept"
            );
        }
    }

    /// Keeps the count of ages.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn keep_marks(&self) -> Result<(), StoreError> {
        let marks: Marks = lock(&self.ages).marks(self.clock.now());
        self.store(move |s| s.keep_marks(&marks)).await
    }

    /// Records something in the audit log's queue.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn record(&self, at: WallTime, kind: Kind, data: serde_json::Value) -> Result<(), StoreError> {
        self.store(move |s| s.record(at, kind, &data)).await?;
        self.audit_waits.notify_one();
        Ok(())
    }

    /// Runs a change or a look-up on the store, off the async threads.
    ///
    /// # Errors
    /// The store's.
    pub async fn store<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Store) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let store = Arc::clone(&self.store);
        let work = move || {
            let mut store = lock(&store);
            let before = store.changes();
            let result = f(&mut store);
            (result, store.changes() > before)
        };
        let (result, wrote) = tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| {
            (Err(StoreError::Content(format!("a call that did not return: {e}"))), false)
        });
        // A disk that is full can still be read: only a write shows that it is well again.
        match &result {
            Err(StoreError::Database(_)) => self.store_ok.store(false, Ordering::Relaxed),
            Ok(_) if wrote => self.store_ok.store(true, Ordering::Relaxed),
            _ => {}
        }
        result
    }

    /// What keeps the box from verifying now.
    pub fn trouble(&self) -> Option<Trouble> {
        if !self.audit_ok.load(Ordering::Relaxed) {
            return Some(Trouble::AuditLog);
        }
        (!self.store_ok.load(Ordering::Relaxed)).then_some(Trouble::Store)
    }

    /// Whether the audit log can be written, and whether the database can.
    pub fn writable(&self) -> (bool, bool) {
        (self.audit_ok.load(Ordering::Relaxed), self.store_ok.load(Ordering::Relaxed))
    }

    /// Counts a verdict that was recorded, or one that could not be.
    pub fn count(&self, outcome: Outcome) {
        *lock(&self.verdicts).entry(outcome.to_string()).or_default() += 1;
    }

    /// Verdicts since the start, by `verdict` or `verdict(reason)`.
    pub fn verdicts(&self) -> BTreeMap<String, u64> {
        lock(&self.verdicts).clone()
    }

    /// Tells that a verification ended, once its verdict is in the store.
    pub fn ended(&self, verification: VerificationId, outcome: Outcome) {
        self.count(outcome);
        self.watch.places.ended(verification, outcome);
        self.audit_waits.notify_one();
        info!(%verification, verdict = outcome.verdict(), reason = outcome.reason(), "verified");
    }

    /// Ends a verification with a verdict other than mismatch.
    pub async fn end(&self, verification: VerificationId, settlement: &SettlementId, outcome: Outcome) {
        let (id, now) = (settlement.clone(), self.moment());
        match self.store(move |s| s.end(verification, &id, outcome, now)).await {
            Ok(true) => self.ended(verification, outcome),
            Ok(false) => {
                self.watch.places.forget(verification);
                debug!(%verification, "cancelled before its verdict");
            }
            Err(e) => {
                error!(%verification, error = %e, "the verdict could not be recorded; it is tried again");
                lock(&self.unrecorded).push((verification, settlement.clone(), outcome));
            }
        }
    }

    /// Tries again to record verdicts that could not be.
    pub async fn record_again(&self) {
        let again = std::mem::take(&mut *lock(&self.unrecorded));
        for (verification, settlement, outcome) in again {
            self.watch.release.beat();
            self.end(verification, &settlement, outcome).await;
        }
    }

    /// Holds a mismatch for as long as it may still be cancelled.
    pub async fn hold(&self, verification: VerificationId, draft: Draft) -> bool {
        let now = self.moment();
        let settlement = draft.settlement().clone();
        let release: Age = now.age.plus(Duration::from_millis(self.config.decision.hold_ms));
        match self.store(move |s| s.hold(verification, &draft, release, now)).await {
            Ok(held) => {
                self.mismatch_held.notify_one();
                held
            }
            Err(e) => {
                error!(%verification, error = %e, "a mismatch could not be recorded");
                let outcome = Outcome::NotAssessed(NotAssessed::Fault);
                lock(&self.unrecorded).push((verification, settlement, outcome));
                false
            }
        }
    }

    /// Moves waiting audit rows to the log, in order, once; beats the heart of
    /// whoever does it with each.
    ///
    /// # Errors
    /// If the log cannot be written; the rows then wait, and nothing is verified.
    pub fn export_audit(&self, heart: &Heart) -> Result<(), ExportError> {
        let done = self.move_audit_rows(heart);
        self.audit_ok.store(done.is_ok(), Ordering::Relaxed);
        done
    }

    fn move_audit_rows(&self, heart: &Heart) -> Result<(), ExportError> {
        loop {
            heart.beat();
            let rows = lock(&self.store).audit_rows(EXPORT_BATCH)?;
            let Some(last) = rows.last().map(|r| r.row) else {
                return Ok(());
            };
            for row in rows {
                heart.beat();
                // Each append waits for the disk: others get the log between two.
                self.with_log(|log| {
                    // A crash between log and database, or another who moves rows, leaves some
                    // that stand in the log already.
                    let stands = row.row <= log.last_row();
                    if stands {
                        Ok(())
                    } else {
                        log.append(row.at, row.kind, row.data, Some(row.row)).map(|_| ())
                    }
                })?;
            }
            lock(&self.store).exported(last)?;
        }
    }

    /// Works on the log, and keeps its head where everybody may read it.
    fn with_log<R>(&self, work: impl FnOnce(&mut AuditLog) -> R) -> R {
        let mut log = lock(&self.audit);
        let done = work(&mut log);
        *lock(&self.audit_head) = log.head();
        done
    }

    /// Signs the head of the audit log.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn checkpoint(&self) -> Result<AuditHead, AuditError> {
        self.with_log(|log| log.checkpoint(self.wall()))
    }

    /// Deletes files of the audit log that are older than the program allows;
    /// only by a clock that the bureau has confirmed.
    ///
    /// # Errors
    /// If the record of it cannot be written, or a file cannot be deleted.
    pub fn purge_audit_log(&self) -> Result<u64, AuditError> {
        if self.doubt().is_some() {
            return Ok(0);
        }
        let now = self.wall();
        self.with_log(|log| log.purge(now.minus(CEILING), now))
    }

    /// The last record of the audit log. Never waits for a disk.
    pub fn audit_head(&self) -> Option<AuditHead> {
        *lock(&self.audit_head)
    }
}

/// Why audit rows could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log.
    #[error(transparent)]
    Log(#[from] AuditError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::clock::{BootId, SystemClock};
    use crate::crypto::Sha256;
    use crate::crypto::sign::SigningKey;
    use crate::edge::config::Config;
    use crate::edge::config::Effective;
    use crate::edge::journal::tests::{NOW, store};
    use crate::privacy::audit::{folder, segments};
    use crate::protocol::alert::Settings;
    use std::path::Path;

    fn example() -> crate::edge::config::Effective {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/counterproof.example.toml");
        Config::read(Path::new(path), jiff::civil::date(2026, 11, 22)).unwrap()
    }

    fn make(dir: &Path, broken: bool) -> Arc<Context> {
        let mut store = store(dir);
        store.record(NOW.wall, Kind::Started, &serde_json::json!({})).unwrap();
        let key = SigningKey::from_pkcs8(&std::fs::read(dir.join("key.der")).unwrap()).unwrap();
        let mut audit = AuditLog::open(&folder(dir), key, store.epoch(), NOW.wall).unwrap();
        if broken {
            audit.break_for_tests();
        }
        let effective = example();
        let calibration =
            toml::from_str(include_str!("../../config/calibrations/sface-2021dec.toml")).unwrap();
        let nothing = Sha256::of(b"");
        let settings =
            Settings { agent_version: "0".into(), policy: nothing, notice: nothing, calibration: nothing };
        let in_force = InForce {
            agent: effective.config.agent.name.clone(),
            hospital: effective.config.agent.hospital.clone(),
            clock_error_ms: 0,
            settings,
        };
        let clock = Arc::new(SystemClock);
        let ages = Ages::resume(None, BootId::of_this_boot(), clock.now());
        let Effective { config, policy, .. } = effective;
        Arc::new(Context::new(config, policy, calibration, in_force, clock, State { store, audit, ages }))
    }

    pub(in crate::edge) fn context(dir: &Path) -> Arc<Context> {
        make(dir, false)
    }

    pub(in crate::edge) fn context_with_broken_audit_log(dir: &Path) -> Arc<Context> {
        make(dir, true)
    }

    #[test]
    fn audit_rows_reach_the_log_once_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let context = context(dir.path());
        for i in 0..600 {
            lock(&context.store)
                .record(NOW.wall, Kind::Verdict, &serde_json::json!({ "settlement": i }))
                .unwrap();
        }
        // However many move rows at a time.
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| context.export_audit(&context.watch.audit_export).unwrap());
            }
        });
        context.export_audit(&context.watch.audit_export).unwrap();
        let files = segments(&folder(dir.path())).unwrap();
        let text: String = files.iter().map(|f| std::fs::read_to_string(&f.path).unwrap()).collect();
        let numbers: Vec<u64> = text
            .lines()
            .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap())
            .filter(|v| v["kind"] == "verdict")
            .map(|v| v["data"]["settlement"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (0..600).collect::<Vec<_>>());
    }

    #[test]
    fn the_head_is_told_while_the_log_waits_for_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let context = context(dir.path());
        context.export_audit(&context.watch.audit_export).unwrap();
        let writing = lock(&context.audit);
        let expected = writing.head();
        let (tell, told) = std::sync::mpsc::channel();
        let asked = Arc::clone(&context);
        std::thread::spawn(move || tell.send(asked.audit_head()));
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(expected));
        drop(writing);
        let signed = context.checkpoint().unwrap();
        assert_eq!(context.audit_head(), Some(signed));
    }
}
