//! Configuration files: TOML with all that is checked behind it.

use std::path::Path;

use counterproof::commissioning::report::CalibrationFile;
use counterproof::privacy::policy::LIMITS;
use counterproof::settings::{self, SettingsError, Validate};
use counterproof::verify::calibration::Calibration;
use counterproof::vision::manifest::{Manifest, Role};
use counterproof::{bureau, edge};
use jiff::civil::{Date, date};
use serde::de::DeserializeOwned;

use super::{choose, refused, with_folder};

/// The day on which the targets read policies.
const TODAY: Date = date(2026, 11, 22);

/// The agent's configuration with `[privacy]`: what is accepted keeps within
/// the ceilings, what is refused names the file.
pub fn agent(data: &[u8]) -> bool {
    with_folder(|dir| {
        let path = dir.join("agent.toml");
        std::fs::write(&path, data).unwrap();
        match edge::config::Config::read(&path, TODAY) {
            Ok(read) => {
                for limit in LIMITS {
                    let seconds = read.policy.limit(limit).as_secs();
                    assert!((limit.floor..=limit.ceiling).contains(&seconds), "{}", limit.key);
                }
                assert!(read.config.counters.iter().all(|c| c.region.is_valid()));
                assert!(read.config.agent.state.is_absolute());
                let _ = read.config.clock_map();
                assert_eq!(read.policy.digest().to_string().len(), 64);
                true
            }
            Err(e) => refused_by_name(e, "agent.toml", data.len()),
        }
    })
}

/// The bureau's configuration, a calibration, the manifest of models.
pub fn others(data: &[u8]) -> bool {
    let Some((choice, data)) = choose(data, 3) else { return false };
    if choice == 0 {
        return with_folder(|dir| {
            let path = dir.join("bureau.toml");
            std::fs::write(&path, data).unwrap();
            match bureau::config::Config::read(&path) {
                Ok(config) => {
                    assert!(config.console.listen.ip().is_loopback());
                    true
                }
                Err(e) => refused_by_name(e, "bureau.toml", data.len()),
            }
        });
    }
    let Ok(text) = std::str::from_utf8(data) else { return false };
    if choice == 1 {
        let Some(calibration) = parse::<Calibration>("calibration.toml", text) else { return false };
        let rule = calibration.rule;
        assert!(rule.mismatch_llr < 0.0 && rule.match_llr > 0.0);
        assert!(rule.mismatch_probes >= 2, "one view never accuses");
        assert!(calibration.map(3).llr(-1.0) <= calibration.map(3).llr(1.0));
        // What the bureau reads of it says the same.
        let read = CalibrationFile::read(data).unwrap();
        assert_eq!((read.model, read.expected), (calibration.model, calibration.expected));
        return true;
    }
    let Some(manifest) = parse::<Manifest>("models.toml", text) else { return false };
    if let Err(e) = manifest.model("none", Role::Detector) {
        refused(e, data.len());
    }
    true
}

fn parse<T: DeserializeOwned + Validate>(name: &str, text: &str) -> Option<T> {
    settings::parse(Path::new(name), text).map_err(|e| refused_by_name(e, name, text.len())).ok()
}

fn refused_by_name(e: SettingsError, name: &str, given: usize) -> bool {
    let text = e.to_string();
    assert!(text.contains(name), "{text}");
    // Several complaints come at once; each holds its advice.
    refused(text, given + 8192)
}
