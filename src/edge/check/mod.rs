//! `counterproof check`: everything the box needs, as a table a technician
//! can act on.
//!
//! Promises: every line that is not ok names the thing, what was found and what
//! to do; no face is looked for; no secret is shown; nothing is changed but a
//! file in the state folder that is written and taken away. The cameras are
//! looked at together, and one that hangs does not keep the others. How long
//! each kind of thing may take is bounded, so that the whole is.

mod bureau;
mod cameras;
mod machine;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::crypto::keys;
use crate::privacy::policy::Policy;
use crate::shutters::Swap;

use super::agent::today;
use super::config::{Config, Effective, LivenessMode};
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
#[derive(Debug, Default)]
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

    /// For machines: `passed`, and `lines` with `what`, `level` and `found`.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({ "passed": self.passed(), "lines": self.lines })
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
    let Some((config, policy)) = configuration(&mut report, path) else { return report };
    // Cameras take the longest: they go on while the rest is looked at.
    let watched = Arc::clone(&config);
    let cameras = tokio::task::spawn_blocking(move || cameras::look(&watched));
    let bureau = bureau::ask(&config).await;
    own(&mut report, &config);
    let (level, found) = machine::disk(&config, &policy);
    report.add("disk", level, found);
    sight(&mut report, &config);
    match cameras.await {
        Ok(lines) => report.lines.extend(lines),
        Err(e) => report.add("cameras", Level::Failure, format!("{e}: report it with the log")),
    }
    let (level, found) = machine::clock(&config, bureau.clock_off_ms);
    report.add("clock", level, found);
    let (level, found) = bureau::version(bureau.wanted.as_ref());
    report.add("bureau", bureau.level, bureau.found);
    report.add("version", level, found);
    report
}

/// The configuration and its policy. Where only the notice's digest or date is
/// not right yet, that is said, and the rest of the box is looked at all the same.
fn configuration(report: &mut Report, path: &Path) -> Option<(Arc<Config>, Policy)> {
    const WHAT: &str = "configuration and policy";
    match Config::read(path, today()) {
        Ok(Effective { config, policy, warnings, .. }) => {
            let digest = policy.digest().to_string();
            report.add(WHAT, Level::Ok, format!("in order; policy {}", &digest[..16]));
            warnings.iter().for_each(|w| report.add("policy", Level::Warning, w));
            Some((Arc::new(config), policy))
        }
        Err(e) => {
            report.add(WHAT, Level::Failure, e);
            let draft = Config::read_before_notice(path, today()).ok();
            draft.map(|(config, policy)| (Arc::new(config), policy))
        }
    }
}

/// What is the box's own: its secrets and its folder.
fn own(report: &mut Report, config: &Config) {
    report.result("root key", keys::read_root_key(&config.keys.root), |_| {
        "readable, and by this user alone".into()
    });
    report.result("signing key", keys::read_signing_key(&config.keys.signing), |k| {
        format!("key {}; the bureau must have registered {}", k.public().id(), k.public().to_base64())
    });
    report.result("HIS token", keys::read_token(&config.his.token), |_| {
        "readable, and by this user alone".into()
    });
    if let Some(files) = &config.his.tls {
        report.result("HIS certificates", files.server(), |_| {
            format!("in order for {}; a caller needs one signed by {}", config.his.listen, files.ca.display())
        });
    }
    let state = &config.agent.state;
    let written = writable(state).map_err(|e| {
        format!("{}: {e}: it must be the service's own, and not on a read-only disk", state.display())
    });
    report.result("state folder", written, |()| "writable".into());
    let swap = Swap::of_this_process();
    let level = if matches!(swap, Swap::Possible { .. }) { Level::Warning } else { Level::Ok };
    report.add("swap", level, swap);
}

/// What it sees with, and whether it tells what it sees.
fn sight(report: &mut Report, config: &Config) {
    match config.liveness.mode {
        LivenessMode::Off => report.add(
            "liveness",
            Level::Warning,
            "off (liveness.mode = \"off\"): a photograph held to the camera is not told from a face; write \"averaged\" unless this is a trial on drawn pictures",
        ),
        LivenessMode::Averaged => report.add("liveness", Level::Ok, "averaged over the views of a face"),
    }
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
}

fn writable(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let probe = dir.join(".check");
    std::fs::write(&probe, b"counterproof check")?;
    std::fs::remove_file(probe)
}
