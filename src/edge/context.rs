//! What every part of the running agent shares: its settings, its clock, its
//! store, and what it knows of its own health.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{debug, error, info, warn};

use crate::clock::{BoxTime, Clock, Now, WallTime};
use crate::heart::Heart;
use crate::privacy::age::{Age, Ages, Doubt, Due, Heard, Moment, Word};
use crate::privacy::audit::{AuditError, AuditLog, CEILING, Kind};
use crate::privacy::policy::{ASSESSMENT_GRACE_DAYS, Policy};
use crate::protocol::id::{SettlementId, VerificationId};
use crate::protocol::posture::AuditHead;
use crate::protocol::verdict::{NotAssessed, Outcome};
use crate::verify::calibration::Calibration;

use super::alerts::{Draft, InForce};
use super::commission::Armed;
use super::config::Config;
use super::outbox::Held;
use super::standing::Turned;
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
    pub calibration: Arc<Calibration>,
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
    /// Rung when the box was armed or disarmed: the bureau should hear of it.
    pub turned: Notify,
    /// Verifications between acceptance and verdict.
    pub in_flight: AtomicU64,
    /// Who must get on, and where verifications are.
    pub watch: Watch,
    store: Arc<Mutex<Store>>,
    /// As the store said last, beside it: whoever asks never waits for a disk.
    armed: Arc<Mutex<Option<Armed>>>,
    audit: Mutex<AuditLog>,
    /// Of the log, beside it: whoever asks never waits for a disk.
    audit_head: Mutex<Option<AuditHead>>,
    ages: Arc<Mutex<Ages>>,
    audit_ok: AtomicBool,
    store_ok: AtomicBool,
    overdue_days: AtomicI32,
    verdicts: Mutex<BTreeMap<String, u64>>,
    unrecorded: Mutex<Vec<(VerificationId, SettlementId, Ending)>>,
}

/// How a verification ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ending {
    /// The verdict.
    pub outcome: Outcome,
    /// The best pooled comparison score, if there was one: it is counted, and kept nowhere.
    pub score: Option<f32>,
    /// Of an entrance: not among the figures that the box is commissioned by.
    pub is_apart: bool,
}

impl Ending {
    /// At an entrance.
    pub fn apart(outcome: Outcome) -> Self {
        Self { outcome, score: None, is_apart: true }
    }
}

impl From<Outcome> for Ending {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, score: None, is_apart: false }
    }
}

/// Why the box cannot verify now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The audit log cannot be written.
    AuditLog,
    /// The database cannot be written.
    Store,
    /// The impact assessment's review was due more than 30 days ago: so many.
    Assessment(i32),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Assessment(days) => {
                return write!(
                    f,
                    "the review of the impact assessment was due {days} days ago, at most {ASSESSMENT_GRACE_DAYS} are allowed: nothing is verified until it was reviewed, the new date is in privacy.impact_assessment.review_by and the agent was restarted"
                );
            }
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
            calibration: Arc::new(calibration),
            in_force,
            clock,
            audit_waits: Notify::new(),
            events_wait: Notify::new(),
            clock_doubted: Notify::new(),
            mismatch_held: Notify::new(),
            turned: Notify::new(),
            in_flight: AtomicU64::new(0),
            armed: Arc::new(Mutex::new(store.armed().cloned())),
            store: Arc::new(Mutex::new(store)),
            audit_head: Mutex::new(audit.head()),
            audit: Mutex::new(audit),
            ages: Arc::new(Mutex::new(ages)),
            audit_ok: AtomicBool::new(true),
            store_ok: AtomicBool::new(true),
            overdue_days: AtomicI32::new(0),
            verdicts: Mutex::default(),
            unrecorded: Mutex::default(),
        }
    }

    /// The wall clock.
    pub fn wall(&self) -> WallTime {
        self.clock.now().wall
    }

    /// Asks the count of ages. The clocks are read under its lock: two who ask at
    /// once must not look in another order than they read.
    fn ages<R>(&self, ask: impl FnOnce(&mut Ages, Now) -> R) -> R {
        let mut ages = lock(&self.ages);
        let now = self.clock.now();
        ask(&mut ages, now)
    }

    /// Now, by both counts.
    pub fn moment(&self) -> Moment {
        self.ages(|ages, now| Moment { wall: now.wall, age: ages.now(now) })
    }

    /// Why the wall clock is not believed, if it is not.
    /// Looks before it answers: a step a moment ago counts.
    pub fn doubt(&self) -> Option<Doubt> {
        self.ages(Ages::look)
    }

    /// A number that changes with each step of the wall clock, the last moment's
    /// included.
    pub fn clock_turns(&self) -> u64 {
        self.ages(|ages, now| {
            ages.look(now);
            ages.turns()
        })
    }

    /// Looks at the clocks, and writes a step down. `true` if there was one.
    ///
    /// # Errors
    /// If it cannot be written; it is tried again.
    pub async fn look_at_clocks(&self) -> Result<bool, StoreError> {
        let news = self.ages(|ages, now| {
            ages.look(now);
            ages.has_news()
        });
        if news {
            self.keep_marks().await?;
        }
        Ok(news)
    }

    /// Takes the bureau's time from an answer to what was asked at `asked`;
    /// `word` makes of the time that was under way what it is worth. What turns
    /// out to be older by it is made older.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn hear_bureau_time(
        &self,
        asked: BoxTime,
        word: impl FnOnce(Duration) -> Word,
    ) -> Result<Heard, StoreError> {
        let allowed = Duration::from_millis(self.config.his.clock_error_ms);
        let (word, heard, news) = self.ages(|ages, now| {
            let word = word(now.boot.since(asked));
            (word, ages.hear(word, allowed, now), ages.has_news())
        });
        if news {
            self.keep_marks().await?;
            if heard == Heard::Confirmed {
                self.mismatch_held.notify_one();
            }
        }
        self.make_older(Some(word.time)).await?;
        Ok(heard)
    }

    /// Makes data older that lay there while the box was off.
    ///
    /// All of it is one visit to the store, so that no time off is counted twice:
    /// nobody else counts, or keeps the marks, between the change and the note of it.
    ///
    /// # Errors
    /// If it cannot be written; it is tried again.
    pub async fn make_older(&self, bureau: Option<WallTime>) -> Result<(), StoreError> {
        if self.ages(|ages, now| ages.due(bureau, now)).is_none() {
            return Ok(());
        }
        let (ages, clock) = (Arc::clone(&self.ages), Arc::clone(&self.clock));
        self.store(move |s| {
            loop {
                let (due, marks) = {
                    let ages = lock(&ages);
                    let now = clock.now();
                    let Some(due) = ages.due(bureau, now) else { return Ok(()) };
                    (due, ages.marks_once_counted(due, now))
                };
                s.make_older(due, &marks)?;
                lock(&ages).counted(due);
                let (Due::Older(_, gap) | Due::WaitingOlder(_, gap)) = due;
                info!(
                    gap_s = gap.as_secs(),
                    confirmed = bureau.is_some(),
                    "time off was added to the age of what is kept"
                );
            }
        })
        .await
    }

    /// Keeps the count of ages and the trust in the wall clock, and records how
    /// that changed.
    ///
    /// # Errors
    /// If it cannot be written; what changed is then told the next time.
    pub async fn keep_marks(&self) -> Result<(), StoreError> {
        let (ages, clock) = (Arc::clone(&self.ages), Arc::clone(&self.clock));
        self.store(move |s| {
            let (marks, news) = {
                let mut ages = lock(&ages);
                let now = clock.now();
                (ages.marks(now), ages.take_news())
            };
            let kept = s.keep_marks(&marks, &news);
            if kept.is_err() {
                lock(&ages).put_back(news);
            }
            kept
        })
        .await?;
        self.audit_waits.notify_one();
        Ok(())
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
        let (store, armed) = (Arc::clone(&self.store), Arc::clone(&self.armed));
        let work = move || {
            let mut store = lock(&store);
            let before = store.changes();
            let result = f(&mut store);
            // While the store is held: what is said last is what is so.
            *lock(&armed) = store.armed().cloned();
            (result, store.changes() > before, store.take_turned())
        };
        let (result, wrote, turned) = tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| {
            (Err(StoreError::Content(format!("a call that did not return: {e}"))), false, Vec::new())
        });
        turned.into_iter().for_each(|t| self.has_turned(t));
        // A disk that is full can still be read: only a write shows that it is well again.
        match &result {
            Err(StoreError::Database(_)) => self.store_ok.store(false, Ordering::Relaxed),
            Ok(_) if wrote => self.store_ok.store(true, Ordering::Relaxed),
            _ => {}
        }
        result
    }

    /// Tells that the box was armed or disarmed.
    fn has_turned(&self, turned: Turned) {
        let Turned { mode, detail, ended } = turned;
        if mode.is_armed() {
            info!(%mode, "the box is armed: mismatches raise alerts from now on");
        } else {
            let without = ended.len();
            warn!(%mode, detail, without, "the box is in shadow: it raises no alerts");
        }
        ended.into_iter().for_each(|id| self.ended(id, Outcome::Mismatch));
        self.audit_waits.notify_one();
        self.turned.notify_one();
    }

    /// With what the box is armed, if it is. Never waits for a disk.
    pub fn armed(&self) -> Option<Armed> {
        lock(&self.armed).clone()
    }

    /// What keeps the box from verifying now.
    pub fn trouble(&self) -> Option<Trouble> {
        if !self.audit_ok.load(Ordering::Relaxed) {
            return Some(Trouble::AuditLog);
        }
        if !self.store_ok.load(Ordering::Relaxed) {
            return Some(Trouble::Store);
        }
        let overdue = self.overdue_days();
        (overdue > ASSESSMENT_GRACE_DAYS).then_some(Trouble::Assessment(overdue))
    }

    /// For how many days the review of the impact assessment was due already,
    /// when it was last looked at; zero or less if it was not.
    pub fn overdue_days(&self) -> i32 {
        self.overdue_days.load(Ordering::Relaxed)
    }

    /// Looks whether the impact assessment is still in time, if the wall clock is
    /// believed. Returns the day by which it looked.
    pub fn look_at_assessment(&self) -> Option<jiff::civil::Date> {
        let wall = self.ages(|ages, now| ages.look(now).is_none().then_some(now.wall))?;
        let at = jiff::Timestamp::from_millisecond(wall.as_millis()).ok()?;
        let today = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        self.overdue_days.store(self.policy.overdue_days(today), Ordering::Relaxed);
        Some(today)
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
        // First for its counter: the bureau takes what is counted here and at no counter
        // for something that ended without one.
        self.watch.places.ended(verification, outcome);
        self.count(outcome);
        self.audit_waits.notify_one();
        info!(%verification, verdict = outcome.verdict(), reason = outcome.reason(), "verified");
    }

    /// Ends a verification without an alert: with a verdict other than mismatch,
    /// or with one that was watched in shadow.
    pub async fn end(
        &self,
        verification: VerificationId,
        settlement: &SettlementId,
        ending: impl Into<Ending>,
    ) {
        let (id, now, ending) = (settlement.clone(), self.moment(), ending.into());
        let Ending { outcome, score, is_apart } = ending;
        let end = move |s: &mut Store| match is_apart {
            true => s.end_apart(verification, &id, outcome, now),
            false => s.end(verification, &id, outcome, score, now),
        };
        match self.store(end).await {
            Ok(true) => self.ended(verification, outcome),
            Ok(false) => {
                self.watch.places.forget(verification);
                debug!(%verification, "cancelled before its verdict");
            }
            Err(e) => {
                error!(%verification, error = %e, "the verdict could not be recorded; it is tried again");
                lock(&self.unrecorded).push((verification, settlement.clone(), ending));
            }
        }
    }

    /// Tries again to record verdicts that could not be.
    pub async fn record_again(&self) {
        let again = std::mem::take(&mut *lock(&self.unrecorded));
        for (verification, settlement, ending) in again {
            self.watch.release.beat();
            self.end(verification, &settlement, ending).await;
        }
    }

    /// Holds a mismatch for as long as it may still be cancelled, if the box is
    /// still armed.
    pub async fn hold(&self, verification: VerificationId, draft: Draft) -> Held {
        let now = self.moment();
        let settlement = draft.settlement().clone();
        let release: Age = now.age.plus(Duration::from_millis(self.config.decision.hold_ms));
        match self.store(move |s| s.hold(verification, &draft, release, now)).await {
            Ok(held) => {
                if held == Held::Held {
                    self.mismatch_held.notify_one();
                }
                held
            }
            Err(e) => {
                error!(%verification, error = %e, "a mismatch could not be recorded");
                let outcome = Outcome::NotAssessed(NotAssessed::Fault);
                lock(&self.unrecorded).push((verification, settlement, outcome.into()));
                Held::Cancelled
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
    use crate::clock::{BootId, ManualClock, SystemClock};
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

    fn make(dir: &Path, broken: bool, clock: Arc<dyn Clock>) -> Arc<Context> {
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
        let (kept, newest) = (store.marks().unwrap(), store.newest().unwrap());
        let ages = Ages::resume(kept, newest, BootId::of_this_boot(), clock.now());
        let Effective { config, policy, .. } = effective;
        Arc::new(Context::new(config, policy, calibration, in_force, clock, State { store, audit, ages }))
    }

    pub(in crate::edge) fn context(dir: &Path) -> Arc<Context> {
        make(dir, false, Arc::new(SystemClock))
    }

    pub(in crate::edge) fn context_with_broken_audit_log(dir: &Path) -> Arc<Context> {
        make(dir, true, Arc::new(SystemClock))
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

    const HOUR: Duration = Duration::from_secs(3600);

    fn kinds(context: &Context) -> Vec<Kind> {
        let rows = lock(&context.store).audit_rows(99).unwrap();
        rows.iter().map(|r| r.kind).filter(|k| ![Kind::Started, Kind::Commissioned].contains(k)).collect()
    }

    /// A box that was off for an hour, with a settlement and a data key from before.
    fn off_for_an_hour(dir: &Path, clock: &Arc<ManualClock>) -> (Arc<Context>, Age) {
        let start = clock.now();
        let mut before = Ages::resume(None, None, BootId::from_bytes([9; 16]), start);
        before.hear(Word::exact(start.wall, Duration::ZERO), HOUR, start);
        let written = before.now(start);
        let mut store = store(dir);
        store.keep_marks(&before.marks(start), &[]).unwrap();
        store
            .connection
            .execute(
                "INSERT INTO settlements (id_hash, verification, state, updated_at) VALUES (x'00', 'v', 'done', ?1)",
                [written.as_millis()],
            )
            .unwrap();
        drop(store);
        // The wall clock goes on; the count since the boot begins anew.
        clock.step_wall(start.wall.plus(HOUR));
        let context = make(dir, false, Arc::clone(clock) as Arc<dyn Clock>);
        (context, written)
    }

    fn manual() -> Arc<ManualClock> {
        Arc::new(ManualClock::new(Now { boot: BoxTime::from_millis(0), wall: NOW.wall }))
    }

    fn mark(context: &Context) -> Age {
        let store = lock(&context.store);
        let ms = store.connection.query_row("SELECT updated_at FROM settlements", [], |r| r.get(0));
        Age::from_millis(ms.unwrap())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn two_words_of_the_bureau_at_once_count_time_off_once() {
        let dir = tempfile::tempdir().unwrap();
        let clock = manual();
        let (context, written) = off_for_an_hour(dir.path(), &clock);
        let now = clock.now();
        // The clock is confirmed already, so that both words go straight to the time off.
        context.ages(|ages, now| ages.hear(Word::exact(now.wall, Duration::ZERO), HOUR, now));
        context.keep_marks().await.unwrap();
        let hear = || {
            let context = Arc::clone(&context);
            tokio::spawn(async move {
                context.hear_bureau_time(now.boot, |trip| Word::exact(now.wall, trip)).await.unwrap();
            })
        };
        let keep = || {
            let context = Arc::clone(&context);
            tokio::spawn(async move { context.keep_marks().await.unwrap() })
        };
        // The store is busy, so that all of them wait for it at the same place.
        let busy = Arc::clone(&context.store);
        let (a, b, c, d) = {
            let _busy = lock(&busy);
            let all = (hear(), keep(), hear(), keep());
            while Arc::strong_count(&busy) < 6 {
                std::thread::yield_now();
            }
            all
        };
        let (a, b, c, d) = tokio::join!(a, b, c, d);
        for done in [a, b, c, d] {
            done.unwrap();
        }
        assert_eq!(mark(&context), written.minus(HOUR));
        // Nor does a start after that find any of it uncounted.
        let (kept, now) = (lock(&context.store).marks().unwrap(), clock.now());
        let again = Ages::resume(kept, None, BootId::of_this_boot(), now);
        assert_eq!(again.due(Some(now.wall), now), None);
    }

    #[tokio::test]
    async fn a_change_of_trust_outlives_a_kill_a_moment_later() {
        let dir = tempfile::tempdir().unwrap();
        let clock = manual();
        let context = make(dir.path(), false, Arc::clone(&clock) as Arc<dyn Clock>);
        let doubt_after_a_kill = || {
            let kept = lock(&context.store).marks().unwrap();
            Ages::resume(kept, None, BootId::of_this_boot(), clock.now()).doubt()
        };
        let now = clock.now();
        let hear = |time| context.hear_bureau_time(now.boot, move |trip| Word::exact(time, trip));
        assert_eq!(hear(now.wall).await.unwrap(), Heard::Confirmed);
        assert_eq!(doubt_after_a_kill(), None);
        assert_eq!(hear(now.wall.plus(HOUR)).await.unwrap(), Heard::Denied);
        assert!(doubt_after_a_kill().is_some());
        assert_eq!(hear(now.wall).await.unwrap(), Heard::Confirmed);
        clock.step_wall(now.wall.plus(HOUR));
        assert!(context.look_at_clocks().await.unwrap());
        assert!(doubt_after_a_kill().is_some());
        let (doubted, confirmed) = (Kind::ClockDoubted, Kind::ClockConfirmed);
        assert_eq!(kinds(&context), [confirmed, doubted, confirmed, doubted]);
    }

    #[tokio::test]
    async fn a_step_is_recorded_before_the_word_that_settles_it() {
        let dir = tempfile::tempdir().unwrap();
        let clock = manual();
        let context = make(dir.path(), false, Arc::clone(&clock) as Arc<dyn Clock>);
        for wall in [NOW.wall, NOW.wall.plus(HOUR)] {
            clock.step_wall(wall);
            let at = clock.now().boot;
            context.hear_bureau_time(at, |trip| Word::exact(wall, trip)).await.unwrap();
        }
        let (doubted, confirmed) = (Kind::ClockDoubted, Kind::ClockConfirmed);
        assert_eq!(kinds(&context), [confirmed, doubted, confirmed]);
    }

    #[test]
    fn an_assessment_that_becomes_overdue_while_the_agent_runs_ends_in_trouble() {
        let dir = tempfile::tempdir().unwrap();
        let clock = manual();
        let context = make(dir.path(), false, Arc::clone(&clock) as Arc<dyn Clock>);
        let review_by = context.policy.impact_assessment.review_by;
        let due = review_by.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_millisecond();
        let later = |days: i64, believed: bool| {
            clock.step_wall(WallTime::from_millis(due + days * 86_400_000));
            context.ages(|ages, now| {
                let told = if believed { now.wall } else { WallTime::from_millis(0) };
                ages.hear(Word::exact(told, Duration::ZERO), HOUR, now);
            });
            let looked = context.look_at_assessment();
            assert_eq!(looked.is_some(), believed);
            (context.overdue_days(), context.trouble())
        };
        assert_eq!(later(0, true), (0, None));
        // A wall clock that nobody believes says nothing.
        assert_eq!(later(31, false), (0, None));
        assert_eq!(later(1, true), (1, None));
        assert_eq!(later(30, true), (30, None));
        assert_eq!(later(31, true), (31, Some(Trouble::Assessment(31))));
        assert_eq!(later(400, true).0, 400, "whole days, however many");
    }

    /// Both clocks go on by a second at each reading; between a reading and its
    /// use, others get their turn.
    struct Hurried(AtomicU64);

    impl Clock for Hurried {
        fn now(&self) -> Now {
            let ms = self.0.fetch_add(1000, Ordering::SeqCst);
            std::thread::yield_now();
            Now { boot: BoxTime::from_millis(ms), wall: NOW.wall.plus(Duration::from_millis(ms)) }
        }
    }

    #[test]
    fn looks_at_once_see_no_step_where_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let context = make(dir.path(), false, Arc::new(Hurried(AtomicU64::new(0))));
        let before = context.clock_turns();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        context.doubt();
                    }
                });
            }
        });
        assert_eq!(context.clock_turns(), before);
    }
}
