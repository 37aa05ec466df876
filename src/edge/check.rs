//! `counterproof check`: everything the box needs, as a table a technician
//! can act on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::camera::ring::Ring;
use crate::camera::{Sink, decode};
use crate::clock::{BoxTime, SystemClock};
use crate::crypto::keys;
use crate::crypto::sign::PublicKey;
use crate::protocol::HEAD_PATH;
use crate::protocol::head::HeadAnswer;
use crate::shutters::Swap;

use super::agent::{bureau_client, today};
use super::config::{Config, Counter, LivenessMode};
use super::delivery::chain;
use super::eyes::Eyes;
use super::watched;

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// In order.
    Ok,
    /// Works, but should be known.
    Warning,
    /// Keeps the box from working.
    Failure,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// What was looked at.
    pub what: String,
    /// How it is.
    pub level: Level,
    /// What was found, and what to do.
    pub found: String,
}

/// Everything that was looked at.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// In the order it was looked at.
    pub lines: Vec<Line>,
}

impl Report {
    fn add(&mut self, what: impl Into<String>, level: Level, found: impl ToString) {
        self.lines.push(Line { what: what.into(), level, found: found.to_string() });
    }

    fn result<T, E: ToString>(
        &mut self,
        what: &str,
        result: Result<T, E>,
        ok: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match result {
            Ok(v) => {
                self.add(what, Level::Ok, ok(&v));
                Some(v)
            }
            Err(e) => {
                self.add(what, Level::Failure, e);
                None
            }
        }
    }

    /// Whether nothing keeps the box from working.
    pub fn passed(&self) -> bool {
        self.lines.iter().all(|l| l.level != Level::Failure)
    }

    /// The table, for people.
    pub fn table(&self) -> String {
        let width = self.lines.iter().map(|l| l.what.chars().count()).max().unwrap_or(0);
        let line = |l: &Line| {
            let level = match l.level {
                Level::Ok => "ok",
                Level::Warning => "WARNING",
                Level::Failure => "FAILURE",
            };
            let found = l.found.replace('\n', &format!("\n{:1$}", "", width + 11));
            format!("{level:<8} {:<width$}  {found}\n", l.what)
        };
        self.lines.iter().map(line).collect()
    }
}

/// Looks at everything.
pub async fn check(path: &Path) -> Report {
    let mut report = Report::default();
    let Some(effective) = report.result("configuration and policy", Config::read(path, today()), |e| {
        format!("in order; policy {}", &e.policy.digest().to_string()[..16])
    }) else {
        return report;
    };
    for warning in &effective.warnings {
        report.add("policy", Level::Warning, warning);
    }
    let config = &effective.config;
    match config.liveness.mode {
        LivenessMode::Off => report.add(
            "liveness",
            Level::Warning,
            "off (liveness.mode = \"off\"): a photograph held to the camera is not told from a face",
        ),
        LivenessMode::Averaged => report.add("liveness", Level::Ok, "averaged over the views of a face"),
    }
    report.result("root key", keys::read_root_key(&config.keys.root), |_| {
        "readable, and by this user alone".into()
    });
    report.result("signing key", keys::read_signing_key(&config.keys.signing), |k| {
        format!("key {}; the bureau must have registered {}", k.public().id(), k.public().to_base64())
    });
    report.result("HIS token", keys::read_token(&config.his.token), |_| {
        "readable, and by this user alone".into()
    });
    report.result("state folder", writable(&config.agent.state), |()| "writable".into());
    let eyes = report.result("models and calibration", Eyes::open(config), |e| {
        format!(
            "{} and {}; calibration {}",
            config.models.wanted.detector,
            config.models.wanted.recognizer,
            &e.calibration_digest.to_string()[..16]
        )
    });
    if let Some(eyes) = &eyes {
        let (armed, found) = watched::mode(config, &eyes.in_force(config));
        report.add("alerts", if armed { Level::Ok } else { Level::Warning }, found);
    }
    let swap = Swap::of_this_process();
    let level = if matches!(swap, Swap::Possible { .. }) { Level::Warning } else { Level::Ok };
    report.add("swap", level, swap);
    for counter in &config.counters {
        let (level, found) = camera(counter);
        report.add(format!("camera of {}", counter.id), level, found);
    }
    let (level, found) = bureau(config).await;
    report.add("bureau", level, found);
    report
}

fn writable(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let probe = dir.join(".check");
    std::fs::write(&probe, b"counterproof check")?;
    std::fs::remove_file(probe)
}

async fn bureau(config: &Config) -> (Level, String) {
    let client = match bureau_client(config) {
        Ok(c) => c,
        Err(e) => return (Level::Failure, e.to_string()),
    };
    match client.get(format!("{}{HEAD_PATH}", config.bureau.url)).send().await {
        Ok(a) if a.status().is_success() => match a.json::<HeadAnswer>().await {
            Ok(held) => on_record(config, &held),
            Err(e) => (Level::Failure, format!("its head is not understood: {}", chain(&e))),
        },
        Ok(a) => (
            Level::Failure,
            format!("{} answered {}: is this box registered there?", config.bureau.url, a.status()),
        ),
        Err(e) => (Level::Failure, chain(&e)),
    }
}

/// Whether the bureau has this box on record for the hospital that is set, and
/// signs with the pinned key. An older bureau does not name the hospital.
fn on_record(config: &Config, held: &HeadAnswer) -> (Level, String) {
    let set = &config.agent.hospital;
    match &held.hospital {
        Some(found) if found != set => (
            Level::Failure,
            format!(
                "{} has this box on record for hospital {found}, agent.hospital is {set}: it would refuse every \
                 posture and alert; correct the one that is wrong",
                config.bureau.url
            ),
        ),
        _ => pinned(config, held.public_key.as_ref()),
    }
}

/// Whether the bureau signs with the key that is pinned.
fn pinned(config: &Config, key: Option<&PublicKey>) -> (Level, String) {
    let (url, pinned) = (&config.bureau.url, &config.bureau.public_key);
    match key {
        Some(key) if key == pinned => {
            (Level::Ok, format!("{url} knows this box, and signs with the pinned key {}", key.id()))
        }
        Some(key) => (
            Level::Failure,
            format!(
                "{url} signs with key {}, pinned is {}: ask its operator, and write the key that `counterproof-bureau show-key` prints there as bureau.public_key",
                key.id(),
                pinned.id()
            ),
        ),
        None => (Level::Failure, format!("{url} names no signing key: it is older than this box")),
    }
}

/// Watches a camera for two seconds: how many pictures, how large.
fn camera(counter: &Counter) -> (Level, String) {
    const WATCH: Duration = Duration::from_secs(2);
    let stream = match counter.camera.open() {
        Ok(s) => s,
        Err(e) => return (Level::Failure, e.to_string()),
    };
    let (ring, stop) =
        (Arc::new(Ring::new(WATCH * 2, counter.ring_mb << 20)), Arc::new(AtomicBool::new(false)));
    let sink = Sink { ring: Arc::clone(&ring), clock: Arc::new(SystemClock), stop: Arc::clone(&stop) };
    std::thread::scope(|scope| {
        scope.spawn(|| stream.play(&sink));
        let begun = Instant::now();
        while begun.elapsed() < WATCH {
            std::thread::sleep(Duration::from_millis(50));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let clip = ring.between(BoxTime::from_millis(0), BoxTime::from_millis(u64::MAX));
    let samples = clip.samples();
    let Some(last) = samples.iter().rposition(|s| s.stands_alone()).and_then(|i| samples.get(i)) else {
        return (Level::Failure, "no picture in 2 s".into());
    };
    match decode::sample(last) {
        Ok(frame) => {
            let rate = samples.len() as f32 / WATCH.as_secs_f32();
            let level = if frame.width() < 640 || rate < 5.0 { Level::Warning } else { Level::Ok };
            (
                level,
                format!(
                    "{}, {}x{} at {rate:.0}/s (at least 640 wide and 5/s wanted)",
                    counter.camera.kind(),
                    frame.width(),
                    frame.height()
                ),
            )
        }
        Err(e) => (Level::Failure, e.to_string()),
    }
}
