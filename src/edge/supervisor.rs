//! The agent's parts, watched: who must get on, and how long each may take.
//!
//! Essential are the loops without which a settlement would be acknowledged and
//! come to nothing: intake, each counter's actor, each worker, the export of
//! the audit log, the release of held mismatches, delivery, posture, purge, and
//! the look at the cameras' health, without which a sick camera's word would be
//! taken. If one is stuck the watchdog is not fed (`heart`), and systemd starts the
//! program anew; what was acknowledged is in the journal. Cameras are not
//! essential: an unplugged one restarts itself (`cameras`), not the box.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{BoxTime, Clock};
use crate::heart::{Heart, Hearts};
use crate::protocol::id::CounterId;

use super::health::Cameras;
use super::papers::Wanted;
use super::places::Places;
use super::purge::LastPurges;

/// A loop that waits for the database: three times as long as SQLite itself
/// waits for a lock (5 s), since others may stand before it.
const STORE_WORK: Duration = Duration::from_secs(15);
/// Delivery and posture: one exchange with the bureau (at most 20 s), and the
/// database before and after it.
const EXCHANGE: Duration = Duration::from_secs(60);
/// A purge overwrites every page that it frees.
const PURGE: Duration = Duration::from_secs(120);
/// A few pictures are decoded at a time.
const LOOK_AT_CAMERAS: Duration = Duration::from_secs(15);
/// A listener beats once a second, whatever its handlers do.
const LISTENER: Duration = Duration::from_secs(10);
/// An idle worker beats once a second.
const IDLE_WORKER: Duration = Duration::from_secs(10);
/// A verification: a full window at a hundred times the cost of a frame on the
/// slowest box measured, or loading the models anew.
pub const VERIFICATION: Duration = Duration::from_secs(120);

/// What the supervisor knows of the running agent.
pub struct Watch {
    /// Every part's heart.
    pub hearts: Hearts,
    /// Moving audit rows to the log.
    pub audit_export: Heart,
    /// Signing held mismatches.
    pub release: Heart,
    /// Enforcing limits.
    pub purge: Heart,
    /// Watching the clocks.
    pub clocks: Heart,
    /// Bringing events to the bureau.
    pub delivery: Heart,
    /// Telling the bureau how the box fares.
    pub posture: Heart,
    /// Looking at the cameras' health.
    pub camera_health: Heart,
    /// Where open verifications are.
    pub places: Places,
    /// How the cameras fare.
    pub cameras: Cameras,
    /// When each limit was last carried out.
    pub purges: LastPurges,
    /// The version that the bureau wants here.
    pub wanted: Wanted,
    clock: Arc<dyn Clock>,
    started: BoxTime,
    purged: AtomicU64,
    answered: AtomicU64,
}

impl Watch {
    /// Begins to watch.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let hearts = Hearts::new(Arc::clone(&clock));
        let started = clock.now().boot;
        Self {
            audit_export: hearts.heart("audit_export", STORE_WORK),
            release: hearts.heart("release", STORE_WORK),
            purge: hearts.heart("purge", PURGE),
            clocks: hearts.heart("clocks", STORE_WORK),
            delivery: hearts.heart("delivery", EXCHANGE),
            posture: hearts.heart("posture", EXCHANGE),
            camera_health: hearts.heart("camera_health", LOOK_AT_CAMERAS),
            hearts,
            places: Places::default(),
            cameras: Cameras::default(),
            purges: LastPurges::default(),
            wanted: Wanted::default(),
            clock,
            started,
            purged: AtomicU64::new(started.as_millis()),
            answered: AtomicU64::new(started.as_millis()),
        }
    }

    /// The heart of a listener.
    pub fn listener(&self, name: &str) -> Heart {
        self.hearts.heart(format!("listener-{name}"), LISTENER)
    }

    /// The heart of a counter's actor.
    pub fn counter(&self, id: &CounterId) -> Heart {
        self.hearts.heart(format!("counter-{id}"), STORE_WORK)
    }

    /// The heart of a worker.
    pub fn worker(&self, number: usize) -> Heart {
        self.hearts.heart(format!("worker-{number}"), IDLE_WORKER)
    }

    /// When the program began.
    pub const fn started(&self) -> BoxTime {
        self.started
    }

    /// Limits have just been enforced.
    pub fn purged(&self) {
        self.purged.store(self.clock.now().boot.as_millis(), Ordering::Relaxed);
    }

    /// The bureau has just answered, whatever it said.
    pub fn bureau_answered(&self) {
        self.answered.store(self.clock.now().boot.as_millis(), Ordering::Relaxed);
    }

    fn since(&self, at: &AtomicU64) -> Duration {
        self.clock.now().boot.since(BoxTime::from_millis(at.load(Ordering::Relaxed)))
    }

    /// Since limits were enforced, or since the start.
    pub fn purge_age(&self) -> Duration {
        self.since(&self.purged)
    }

    /// Since the bureau answered, or since the start.
    pub fn bureau_age(&self) -> Duration {
        self.since(&self.answered)
    }
}
