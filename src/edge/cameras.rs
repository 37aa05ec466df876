//! The cameras, each in a thread of its own, each started again when it ends.
//!
//! A camera that is unplugged, or a driver that panics, costs its counter its
//! pictures (`not_assessed(camera_silent)`) and nobody else anything. It is
//! tried again after a wait that doubles from [`FIRST_WAIT`] to [`LAST_WAIT`];
//! meanwhile what is left in its ring ages out as always.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tracing::{error, info, warn};

use crate::camera::ring::Ring;
use crate::camera::{CameraError, Sink, Stream};
use crate::privacy::policy;

use super::agent::AgentError;
use super::config::Counter;
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
/// If one cannot be opened and will not be by waiting: a wrong path, a camera that
/// sends what is not read. One that is not plugged in yet is tried again.
pub fn start(
    context: &Arc<Context>,
    stop: &Arc<AtomicBool>,
) -> Result<Vec<(Counter, Arc<Ring>)>, AgentError> {
    let keep = context.policy.limit(policy::FRAMES);
    let counters = &context.config.counters;
    // Side by side, since a network camera is asked what it sends; and apart from this runtime.
    let opened: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = counters.iter().map(|c| scope.spawn(|| c.camera.open())).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    let mut out = Vec::new();
    for (counter, opened) in counters.iter().cloned().zip(opened) {
        let first = match opened.map_err(|_| std::io::Error::other("opening a camera panicked"))? {
            Ok(stream) => Some(stream),
            Err(e) if e.may_pass() => {
                warn!(counter = %counter.id, error = %e, "a camera is not there yet; it is tried again");
                None
            }
            Err(e) => return Err(e.into()),
        };
        let ring = Arc::new(Ring::new(keep, counter.ring_mb << 20));
        let sink =
            Sink { ring: Arc::clone(&ring), clock: Arc::clone(&context.clock), stop: Arc::clone(stop) };
        let keeper = Keeper { counter: counter.clone(), sink };
        std::thread::Builder::new()
            .name(format!("camera-{}", counter.id))
            .spawn(move || keeper.keep(first))?;
        out.push((counter, ring));
    }
    Ok(out)
}

struct Keeper {
    counter: Counter,
    sink: Sink,
}

impl Keeper {
    fn keep(&self, mut opened: Option<Box<dyn Stream>>) {
        let mut wait = FIRST_WAIT;
        while !self.sink.stopped() {
            let begun = self.sink.clock.now().boot;
            let played = catch_unwind(AssertUnwindSafe(|| self.play(opened.take())));
            if self.sink.stopped() {
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
            if self.sink.clock.now().boot.since(begun) >= STEADY {
                wait = FIRST_WAIT;
            }
            self.pause(wait);
            wait = (wait * 2).min(LAST_WAIT);
        }
    }

    fn play(&self, opened: Option<Box<dyn Stream>>) -> Result<(), CameraError> {
        let stream = match opened {
            Some(stream) => stream,
            None => {
                let stream = self.counter.camera.open()?;
                info!(counter = %self.counter.id, "a camera is opened again");
                stream
            }
        };
        stream.play(&self.sink)
    }

    /// Waits by the clock.
    fn pause(&self, wait: Duration) {
        let begun = self.sink.clock.now().boot;
        while !self.sink.stopped() && self.sink.clock.now().boot.since(begun) < wait {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
