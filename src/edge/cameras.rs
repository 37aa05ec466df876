//! The cameras, each in a thread of its own, each started again when it ends.
//!
//! A camera that is unplugged, or a driver that panics, costs its counter its
//! pictures (`not_assessed(camera_silent)`) and nobody else anything. It is
//! tried again after a wait that doubles from [`FIRST_WAIT`] to [`LAST_WAIT`];
//! meanwhile what is left in its ring ages out as always.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::{error, info};

use crate::camera::replay::{self, Pictures, ReplayError};
use crate::camera::ring::Ring;
use crate::clock::Clock;
use crate::privacy::policy;

use super::agent::AgentError;
use super::config::{Camera, Counter};
use super::context::Context;
use super::metrics;

/// The wait after a camera's first end.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait.
const LAST_WAIT: Duration = Duration::from_secs(30);
/// A camera that ran this long begins with the first wait again.
const STEADY: Duration = Duration::from_secs(60);
/// How often the wait before a restart looks whether the agent stops.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Starts every counter's camera.
///
/// # Errors
/// If one cannot be opened now: a wrong path should be noticed at the start.
pub fn start(
    context: &Arc<Context>,
    stop: &Arc<AtomicBool>,
) -> Result<Vec<(Counter, Arc<Ring>)>, AgentError> {
    let keep = context.policy.limit(policy::FRAMES);
    let mut out = Vec::new();
    for counter in context.config.counters.clone() {
        let ring = Arc::new(Ring::new(keep, counter.ring_mb << 20));
        let Camera::Replay(replay) = &counter.camera;
        let first = Pictures::open(&replay.path)?;
        let keeper = Keeper {
            counter: counter.clone(),
            ring: Arc::clone(&ring),
            clock: Arc::clone(&context.clock),
            stop: Arc::clone(stop),
        };
        std::thread::Builder::new()
            .name(format!("camera-{}", counter.id))
            .spawn(move || keeper.keep(Some(first)))?;
        out.push((counter, ring));
    }
    Ok(out)
}

struct Keeper {
    counter: Counter,
    ring: Arc<Ring>,
    clock: Arc<dyn Clock>,
    stop: Arc<AtomicBool>,
}

impl Keeper {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn keep(&self, mut opened: Option<Pictures>) {
        let mut wait = FIRST_WAIT;
        while !self.stopped() {
            let begun = self.clock.now().boot;
            let played = catch_unwind(AssertUnwindSafe(|| self.play(opened.take())));
            if self.stopped() {
                return;
            }
            let counter = &self.counter.id;
            let wait_ms = wait.as_millis() as u64;
            match played {
                Ok(Ok(())) => error!(%counter, wait_ms, "a camera ended; it is started again"),
                Ok(Err(e)) => error!(%counter, wait_ms, error = %e, "a camera ended; it is started again"),
                Err(_) => error!(%counter, wait_ms, "a camera panicked; it is started again"),
            }
            metrics::camera_restarted(counter);
            if self.clock.now().boot.since(begun) >= STEADY {
                wait = FIRST_WAIT;
            }
            self.pause(wait);
            wait = (wait * 2).min(LAST_WAIT);
        }
    }

    fn play(&self, opened: Option<Pictures>) -> Result<(), ReplayError> {
        let Camera::Replay(replay) = &self.counter.camera;
        let pictures = match opened {
            Some(pictures) => pictures,
            None => {
                let pictures = Pictures::open(&replay.path)?;
                info!(counter = %self.counter.id, "a camera is back");
                pictures
            }
        };
        replay::play(&pictures, replay, &self.ring, &self.clock, &self.stop)
    }

    /// Waits by the clock.
    fn pause(&self, wait: Duration) {
        let begun = self.clock.now().boot;
        while !self.stopped() && self.clock.now().boot.since(begun) < wait {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
