//! Thresholds, and the model and data they belong to.
//!
//! A calibration names the recognizer's file by SHA-256 and the preparation
//! it was measured with; another model is refused (promise 11).

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::crypto::Sha256;
use crate::settings::{self, Problem, SettingsError, Validate};
use crate::vision::ModelIdentity;

/// A calibration file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// SHA-256 of the recognizer's file.
    pub model: Sha256,
    /// Version of preparation and alignment.
    pub preprocessing: u32,
    /// Where the thresholds come from, for people: data, people, settlements.
    pub source: String,
    /// The thresholds.
    pub thresholds: Thresholds,
}

/// When views are enough, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// One probe at or above this comparison score is a match.
    pub match_single: f32,
    /// A mean of at least `match_probes` at or above this is a match.
    pub match_mean: f32,
    /// Probes for a match by their mean.
    pub match_probes: u32,
    /// A mean at or below this is a mismatch, if the views are enough.
    pub mismatch_mean: f32,
    /// No single probe of a mismatch may be above this.
    pub mismatch_single: f32,
    /// Separate probes of each face for a mismatch.
    pub mismatch_probes: u32,
    /// Milliseconds that they must span.
    pub mismatch_span_ms: u64,
    /// Two probes of one face with a cosine at or above this are one view.
    pub same_view: f32,
}

/// Why a calibration was refused.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// The file itself.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Made for another model.
    #[error(
        "{path}: made for model {found} (preprocessing {found_preprocessing}), but the recognizer is {expected} (preprocessing {expected_preprocessing}): use the calibration that was made for this model"
    )]
    OtherModel {
        /// Which calibration.
        path: PathBuf,
        /// The model it names.
        found: Sha256,
        /// The preprocessing it names.
        found_preprocessing: u32,
        /// The model in use.
        expected: Sha256,
        /// The preprocessing in use.
        expected_preprocessing: u32,
    },
}

impl Validate for Calibration {
    fn problems(&self) -> Vec<Problem> {
        let t = &self.thresholds;
        let mut out = Vec::new();
        let mut ask = |bad: bool, key: &str, found: String, allowed: &str| {
            if bad {
                out.push(Problem::new(
                    &format!("thresholds.{key}"),
                    found,
                    allowed,
                    "Take the calibration that came with the model.",
                ));
            }
        };
        let cosine = |v: f32| !(-1.0..=1.0).contains(&v);
        ask(cosine(t.match_single), "match_single", t.match_single.to_string(), "-1 to 1");
        ask(
            cosine(t.match_mean) || t.match_mean > t.match_single,
            "match_mean",
            t.match_mean.to_string(),
            "-1 to match_single",
        );
        ask(
            cosine(t.mismatch_mean) || t.mismatch_mean >= t.match_mean,
            "mismatch_mean",
            t.mismatch_mean.to_string(),
            "below match_mean",
        );
        ask(
            !(t.mismatch_mean..=t.match_single).contains(&t.mismatch_single),
            "mismatch_single",
            t.mismatch_single.to_string(),
            "mismatch_mean to match_single",
        );
        ask(t.match_probes < 2, "match_probes", t.match_probes.to_string(), "2 or more");
        ask(
            t.mismatch_probes < 2,
            "mismatch_probes",
            t.mismatch_probes.to_string(),
            "2 or more: one view never accuses",
        );
        ask(!(0.5..=1.0).contains(&t.same_view), "same_view", t.same_view.to_string(), "0.5 to 1");
        out
    }
}

impl Calibration {
    /// Reads a calibration for the given recognizer; also its digest.
    ///
    /// # Errors
    /// If it cannot be read, or was made for another model.
    pub fn read(path: &Path, model: ModelIdentity) -> Result<(Self, Sha256), CalibrationError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Io { path: path.to_owned(), source })?;
        let calibration: Self = settings::parse(path, &text)?;
        if calibration.model != model.sha256 || calibration.preprocessing != model.preprocessing {
            return Err(CalibrationError::OtherModel {
                path: path.to_owned(),
                found: calibration.model,
                found_preprocessing: calibration.preprocessing,
                expected: model.sha256,
                expected_preprocessing: model.preprocessing,
            });
        }
        Ok((calibration, Sha256::of(text.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/calibrations/sface-2021dec.toml");

    #[test]
    fn another_model_s_calibration_is_refused() {
        let other = ModelIdentity { sha256: Sha256::of(b"other"), preprocessing: 257 };
        let text = Calibration::read(Path::new(SHIPPED), other).unwrap_err().to_string();
        assert!(text.contains(&other.sha256.to_string()), "{text}");
    }

    #[test]
    fn one_view_never_accuses() {
        let text = std::fs::read_to_string(SHIPPED).unwrap();
        let one = regex_free_replace(&text, "mismatch_probes", "1");
        let e = settings::parse::<Calibration>(Path::new("c.toml"), &one).unwrap_err().to_string();
        assert!(e.contains("one view never accuses"), "{e}");
    }

    fn regex_free_replace(text: &str, key: &str, value: &str) -> String {
        text.lines()
            .map(|l| {
                if l.starts_with(&format!("{key} ")) {
                    format!("{key} = {value}\n")
                } else {
                    format!("{l}\n")
                }
            })
            .collect()
    }
}
