//! A camera for a while, outside the agent: what `check` and `aim` see of one.
//!
//! The camera plays in a thread of its own into a small ring, as it does in the
//! agent; nothing is decoded until somebody asks for a picture. What is still in
//! the ring is overwritten when the [`Glimpse`] is dropped. A driver that hangs
//! keeps its thread and nothing else: it ends with the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::camera::clip::Clip;
use crate::camera::decode::DecodeError;
use crate::camera::pictures::{self, Pictures};
use crate::camera::ring::Ring;
use crate::camera::{CameraError, Sink, Stream};
use crate::clock::{BoxTime, Clock, SystemClock};
use crate::frame::Frame;

use super::config::{Config, Counter};

/// How long pictures stay in memory here, beside the time between two that can
/// be decoded alone.
const KEEP: Duration = Duration::from_secs(6);
/// Answers within this, if it runs: it is on this machine or next to it.
const PATIENCE: Duration = Duration::from_secs(1);

/// A camera that plays.
pub(super) struct Glimpse {
    ring: Arc<Ring>,
    stop: Arc<AtomicBool>,
    ended: Arc<Mutex<Option<String>>>,
}

/// What came from it.
pub(super) struct Received {
    /// Pictures that are still held.
    pub held: usize,
    /// Pictures a second over those, where there are two.
    pub rate: Option<f32>,
    /// Age of the newest.
    pub age: Option<Duration>,
}

impl Glimpse {
    /// Opens the counter's camera and lets it play.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(super) fn open(counter: &Counter) -> Result<Self, CameraError> {
        let stream = counter.camera.open()?;
        let keep = KEEP + counter.camera.group();
        let ring = Arc::new(Ring::new(keep, counter.ring_mb << 20));
        let (stop, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
        let sink = Sink { ring: Arc::clone(&ring), clock: Arc::new(SystemClock), stop: Arc::clone(&stop) };
        let told = Arc::clone(&ended);
        let play = move || {
            let why = play(stream, &sink);
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        };
        // A thread that cannot be had is a camera that ended at once.
        if let Err(e) = std::thread::Builder::new().name(format!("camera-{}", counter.id)).spawn(play) {
            *ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(e.to_string());
        }
        Ok(Self { ring, stop, ended })
    }

    /// Why it plays no more, if it ended.
    pub(super) fn ended(&self) -> Option<String> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What came so far.
    pub(super) fn received(&self) -> Received {
        let clip = self.all();
        let all = clip.samples();
        let span = match (all.first(), all.last()) {
            (Some(first), Some(last)) => last.at().since(first.at()),
            _ => Duration::ZERO,
        };
        let rate = (!span.is_zero()).then(|| (all.len() - 1) as f32 / span.as_secs_f32());
        let now = SystemClock.now().boot;
        Received { held: all.len(), rate, age: all.last().map(|s| now.since(s.at())) }
    }

    /// The newest picture; where it cannot be decoded, the newest that can be
    /// decoded alone. `None` if none came.
    ///
    /// # Errors
    /// If neither can be decoded.
    pub(super) fn picture(&self) -> Option<Result<Frame, DecodeError>> {
        let clip = self.all();
        let newest = clip.samples().len().checked_sub(1)?;
        match Pictures::of(&clip, [newest]).frame(newest) {
            Ok(frame) => Some(Ok(frame)),
            Err(e) => Some(self.ring.newest_alone().map_or(Err(e), |s| pictures::alone(&s))),
        }
    }

    fn all(&self) -> Clip {
        self.ring.between(BoxTime::from_millis(0), BoxTime::from_millis(u64::MAX))
    }
}

impl Drop for Glimpse {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.ring.drop_before(BoxTime::from_millis(u64::MAX));
    }
}

fn play(stream: Box<dyn Stream>, sink: &Sink) -> String {
    match catch_unwind(AssertUnwindSafe(|| stream.play(sink))) {
        Ok(Ok(())) => "the camera ended".into(),
        Ok(Err(e)) => e.to_string(),
        Err(_) => "the camera's driver panicked: report it with the log".into(),
    }
}

/// Whether an agent with this configuration runs: whether somebody listens for
/// the HIS. (Port 0 is any port, so that it cannot be told.)
fn agent_runs(config: &Config) -> bool {
    let listen = config.his.listen;
    listen.port() != 0 && std::net::TcpStream::connect_timeout(&listen, PATIENCE).is_ok()
}

/// How a camera that only one program can open says that another has it.
const HELD: &str = "another program is using it";

/// What to do where the agent has the camera that could not be opened; `why` is
/// what the camera said.
pub(super) fn held_by_agent(config: &Config, why: &str) -> Option<&'static str> {
    let advice = "; the agent runs, and a USB camera can be opened only once: stop the agent first (systemctl stop counterproof), and start it again afterwards";
    (why.contains(HELD) && agent_runs(config)).then_some(advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::agent::today;

    fn config(listen: std::net::SocketAddr) -> Config {
        let text = include_str!("../../config/counterproof.example.toml");
        let text = text.replace("127.0.0.1:8701", &listen.to_string());
        Config::parse_before_notice(std::path::Path::new("/c.toml"), &text, today()).unwrap().0
    }

    #[test]
    fn only_a_camera_that_is_held_while_the_agent_runs_is_the_agents() {
        let agent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let running = config(agent.local_addr().unwrap());
        let held = "camera /dev/video0: another program is using it: `fuser -v /dev/video0` names it";
        assert!(held_by_agent(&running, held).is_some_and(|a| a.contains("systemctl stop")));
        assert_eq!(held_by_agent(&running, "camera /dev/video0: there is no such device"), None);
        assert_eq!(held_by_agent(&config("127.0.0.1:0".parse().unwrap()), held), None);
    }
}
