//! Whether the parts of a program still get on with their work.
//!
//! Every essential loop has a [`Heart`] and beats it each time round; a loop
//! that waits long rests on it ([`Heart::rest`]), which beats once a second.
//! A heart that has not beaten within its allowance is stuck. While one is, the
//! service manager's watchdog is not fed ([`Hearts::watch`]), so that a program
//! that no longer does its work is started again; and health says which part.
//!
//! Promises: the feeding goes by the parts' own progress, never by a timer of
//! its own; a part that is watched but not essential never stops it. It does not
//! end or restart anything itself.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{error, info, warn};

use crate::clock::{BoxTime, Clock};

/// How often a resting part beats, and the hearts are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// One part's sign of life. Clones are the same heart.
#[derive(Clone)]
pub struct Heart(Arc<Inner>);

struct Inner {
    part: String,
    usual: Duration,
    /// Milliseconds since boot of the last beat.
    at: AtomicU64,
    /// Milliseconds from it to the next one, at most.
    allowed: AtomicU64,
    clock: Arc<dyn Clock>,
}

impl Heart {
    /// The part is getting on.
    pub fn beat(&self) {
        self.allow(self.0.usual);
    }

    /// The part is getting on, and what it does next may take this long.
    pub fn allow(&self, time: Duration) {
        self.0.allowed.store(time.as_millis() as u64, Ordering::Relaxed);
        self.0.at.store(self.0.clock.now().boot.as_millis(), Ordering::Relaxed);
    }

    /// Waits for something, beating meanwhile: waiting is no standstill.
    pub async fn rest<T>(&self, something: impl Future<Output = T>) -> T {
        let mut something = std::pin::pin!(something);
        loop {
            self.beat();
            tokio::select! {
                done = something.as_mut() => {
                    self.beat();
                    return done;
                }
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    fn pulse(&self, now: BoxTime) -> Pulse {
        Pulse {
            part: self.0.part.clone(),
            age: now.since(BoxTime::from_millis(self.0.at.load(Ordering::Relaxed))),
            allowed: Duration::from_millis(self.0.allowed.load(Ordering::Relaxed)),
        }
    }
}

/// How a part fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    /// Its name.
    pub part: String,
    /// Since its last beat.
    pub age: Duration,
    /// How old that may become.
    pub allowed: Duration,
}

impl fmt::Display for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, age, allowed } = self;
        write!(f, "{part} has not got on for {} s (allowed: {} s)", age.as_secs(), allowed.as_secs())
    }
}

/// All hearts of a program. Clones are the same set.
#[derive(Clone)]
pub struct Hearts {
    all: Arc<Mutex<Vec<Heart>>>,
    clock: Arc<dyn Clock>,
}

impl Hearts {
    /// None yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { all: Arc::default(), clock }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Heart>> {
        self.all.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A heart for an essential part, beating from now on.
    pub fn heart(&self, part: impl Into<String>, allowance: Duration) -> Heart {
        let heart = Heart(Arc::new(Inner {
            part: part.into(),
            usual: allowance,
            at: AtomicU64::new(0),
            allowed: AtomicU64::new(0),
            clock: Arc::clone(&self.clock),
        }));
        heart.beat();
        self.lock().push(heart.clone());
        heart
    }

    /// Every part's pulse.
    pub fn pulses(&self) -> Vec<Pulse> {
        let now = self.clock.now().boot;
        self.lock().iter().map(|h| h.pulse(now)).collect()
    }

    /// The parts that have not got on within their allowance.
    pub fn stuck(&self) -> Vec<Pulse> {
        self.pulses().into_iter().filter(|p| p.age > p.allowed).collect()
    }

    /// What is stuck, in one line; `None` if nothing is.
    pub fn complaint(&self) -> Option<String> {
        let stuck: Vec<String> = self.stuck().iter().map(ToString::to_string).collect();
        (!stuck.is_empty()).then(|| stuck.join("; "))
    }

    /// Starts the thread that feeds the service manager's watchdog, where
    /// there is one, for as long as no part is stuck.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn watch(&self) -> std::io::Result<()> {
        let hearts = self.clone();
        let limit = sd_notify::watchdog_enabled();
        // Four times within the limit, so that one late look costs nothing.
        let every = limit.map_or(EVERY, |l| (l / 4).clamp(Duration::from_millis(10), EVERY));
        std::thread::Builder::new().name("supervisor".into()).spawn(move || {
            let mut stuck = false;
            loop {
                stuck = hearts.look(limit.is_some(), stuck);
                std::thread::sleep(every);
            }
        })?;
        Ok(())
    }

    /// Feeds unless a part is stuck, and says it when that changes.
    fn look(&self, feeding: bool, was_stuck: bool) -> bool {
        let complaint = self.complaint();
        match (&complaint, was_stuck) {
            (Some(what), false) => {
                error!(what, "a part of the program is stuck; the watchdog is not fed");
                tell(&[NotifyState::Status(what)]);
            }
            (None, true) => {
                info!("every part of the program gets on again");
                tell(&[NotifyState::Status("")]);
            }
            _ => {}
        }
        if complaint.is_none() && feeding {
            tell(&[NotifyState::Watchdog]);
        }
        complaint.is_some()
    }
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(what) {
        warn!(error = %e, "the service manager cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Now, WallTime};

    fn clock() -> Arc<ManualClock> {
        let now = Now { boot: BoxTime::from_millis(5_000), wall: WallTime::from_millis(0) };
        Arc::new(ManualClock::new(now))
    }

    #[test]
    fn a_part_is_stuck_once_its_allowance_is_over_and_well_when_it_beats() {
        let clock = clock();
        let hearts = Hearts::new(clock.clone());
        let a = hearts.heart("a", Duration::from_secs(10));
        let b = hearts.heart("b", Duration::from_secs(3));
        clock.advance(Duration::from_secs(3));
        assert_eq!(hearts.complaint(), None);
        clock.advance(Duration::from_millis(1));
        assert_eq!(hearts.complaint().as_deref(), Some("b has not got on for 3 s (allowed: 3 s)"));
        b.allow(Duration::from_secs(60));
        clock.advance(Duration::from_secs(7));
        assert_eq!(hearts.stuck().iter().map(|p| p.part.as_str()).collect::<Vec<_>>(), ["a"]);
        a.beat();
        clock.advance(Duration::from_secs(50));
        assert_eq!(hearts.stuck().len(), 1, "the longer allowance still holds");
        b.beat();
        a.beat();
        clock.advance(Duration::from_secs(4));
        assert_eq!(hearts.stuck().len(), 1, "a beat brings back the usual allowance");
    }

    #[tokio::test]
    async fn waiting_beats() {
        let clock = clock();
        let hearts = Hearts::new(clock.clone());
        let heart = hearts.heart("a", Duration::from_secs(3));
        clock.advance(Duration::from_secs(60));
        assert!(hearts.complaint().is_some());
        heart.rest(tokio::task::yield_now()).await;
        assert_eq!(hearts.complaint(), None);
    }
}
