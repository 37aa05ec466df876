//! `counterproof commission report`: what this box counted, beside what its
//! calibration expects, and what to make of it. It reads the state folder and
//! changes nothing, so the agent may be running.

use std::path::Path;

use crate::clock::{Clock, SystemClock};
use crate::commissioning::report::{CalibrationFile, Report};
use crate::crypto::Sha256;
use crate::crypto::keys;
use crate::protocol::commission::{Mode, ShadowReason, Standing};
use crate::settings::SettingsError;

use super::agent::{AgentError, today};
use super::commission::InForce;
use super::config::Config;
use super::standing;

/// Reads how the box of a configuration stands.
///
/// # Errors
/// If the configuration, its calibration, the root key or the database cannot
/// be read.
pub fn report(path: &Path) -> Result<Report, AgentError> {
    let config = Config::read(path, today())?.config;
    let file = &config.decision.calibration;
    let bytes = std::fs::read(file).map_err(|source| SettingsError::Io { path: file.clone(), source })?;
    let read = CalibrationFile::read(&bytes);
    let calibration = read.map_err(|e| std::io::Error::other(format!("{}: {e}", file.display())))?;
    let digest = Sha256::of(&bytes);
    let in_force = InForce {
        subject: calibration.subject(config.agent.name.clone(), digest),
        bureau: config.bureau.public_key.clone(),
        limits: config.commissioning,
    };
    let standing = look(&config, &in_force)?;
    Ok(Report::new(config.agent.name, digest, standing, calibration.expected))
}

fn look(config: &Config, in_force: &InForce) -> Result<Standing, AgentError> {
    let root = keys::read_root_key(&config.keys.root)?;
    Ok(standing::look(&config.agent.state, &root, in_force, SystemClock.now().wall)?)
}

/// Whether the box raises alerts, for `counterproof check`: whether that is as
/// it should be, and what was found.
pub(super) fn mode(config: &Config, in_force: &InForce) -> (bool, String) {
    let Standing { mode, since, detail, figures, .. } = match look(config, in_force) {
        Ok(standing) => standing,
        Err(e) => return (false, e.to_string()),
    };
    let detail = detail.map_or_else(String::new, |d| format!(" ({d})"));
    let seen = figures.scores.total();
    let name = &config.agent.name;
    match mode {
        Mode::Armed => (true, format!("armed since {since}: mismatches raise alerts")),
        Mode::Shadow(ShadowReason::NeverCommissioned) => (
            false,
            format!(
                "in shadow: settlements are verified and counted, {seen} with a score so far, and nobody is told; \
                 `counterproof commission report` shows the figures, at the bureau `commission sign {name}` arms it"
            ),
        ),
        Mode::Shadow(reason) => (
            false,
            format!(
                "in shadow since {since}, {reason}{detail}: nobody is told of a mismatch until a supervisor \
                 at the bureau signs anew (`commission sign {name}`)"
            ),
        ),
    }
}
