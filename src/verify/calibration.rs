//! What a comparison score is worth, for one model and one set of people.
//!
//! A calibration is an object: it names the recognizer's file by SHA-256, the
//! preparation, and the people it was measured on; it turns the score of a
//! person's views into a log-likelihood ratio; it carries the two boundaries of
//! the test with the error rates that were measured at them. Another model's
//! calibration is refused (promise 11). `bench::calibrate` makes one.
//!
//! The score of k separate views is the cosine of their weighted mean with the
//! reference. That k views of one face say less than k times one view is
//! measured, not assumed: there is a map for each k, made from k views.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::crypto::Sha256;
use crate::settings::{self, Problem, SettingsError, Validate};
use crate::vision::ModelIdentity;

use crate::protocol::figures::Expected;

/// A calibration file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// SHA-256 of the recognizer's file.
    pub model: Sha256,
    /// Version of preparation and alignment.
    pub preprocessing: u32,
    /// The command that made it.
    pub made_by: String,
    /// On whom.
    pub data: Data,
    /// When views are enough, and for what.
    pub rule: Rule,
    /// What was measured at the boundaries, on the people it was made from.
    pub measured: Measured,
    /// The liveness model's boundary, where one is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<LivenessRule>,
    /// What was found on the people that it was made with; older ones leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
    /// From score to log-likelihood ratio, for 1, 2, 3, … separate views.
    pub maps: Vec<ScoreMap>,
}

/// The people and settlements that a calibration was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Its name, for people.
    pub name: String,
    /// People in it.
    pub people: u32,
    /// Different pairs of one person's pictures that were compared.
    pub genuine_comparisons: u64,
    /// Different pairs of two people's pictures.
    pub impostor_comparisons: u64,
    /// Genuine settlements of which no two share a comparison.
    pub genuine_settlements: u64,
}

/// The boundaries of the test.
///
/// After each view the likelihood ratio of a person is looked at: at or above
/// `match_llr` the verdict is a match at once, as in A. Wald's sequential test,
/// whose bound says that of impostors at most `exp(-match_llr)` pass. A mismatch is
/// never early: it needs `mismatch_probes` separate views over
/// `mismatch_span_ms`, and all that was seen to lie at or below `mismatch_llr`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A person is the cardholder from here on; natural logarithm.
    pub match_llr: f32,
    /// A person is somebody else up to here; natural logarithm.
    pub mismatch_llr: f32,
    /// Separate views of each face for a mismatch.
    pub mismatch_probes: u32,
    /// Milliseconds that they must span.
    pub mismatch_span_ms: u64,
    /// Two probes of one face with a cosine at or above this are one view.
    pub same_view: f32,
    /// Views weigh as much as their unified quality exceeds this, at least 0.3.
    pub weight_floor: f32,
}

/// Shares of settlements at the boundaries, with 95 % intervals that resample people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Genuine settlements that ended as a mismatch.
    pub false_alerts: Share,
    /// Impostor settlements that ended as a mismatch.
    pub impostors_alerted: Share,
    /// Impostor settlements that ended as a match.
    pub impostors_matched: Share,
    /// Genuine settlements that were left inconclusive.
    pub inconclusive_genuine: Share,
    /// Cost of the likelihood ratios in bits (Cllr; N. Brümmer and J. du Preez, 2006):
    /// 0 tells everything, 1 nothing. For one view and for the most.
    pub cllr: [f64; 2],
    /// The least that any monotone map of these scores reaches.
    pub cllr_min: [f64; 2],
    /// Where the two boundaries lie as scores of the most views, with intervals.
    pub boundaries: Vec<Boundary>,
}

/// A share with its sample and its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// How many.
    pub events: u64,
    /// Of how many.
    pub of: u64,
    /// The interval's ends, 0 to 1.
    pub ci95: [f64; 2],
}

/// A boundary as a score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boundary {
    /// The likelihood ratio, natural logarithm.
    pub llr: f32,
    /// The score of the most views at which it lies.
    pub score: f32,
    /// 95 % interval of that score when people are resampled.
    pub ci95: [f32; 2],
}

/// The average of the liveness model's word on a person's views, and when it is a doubt.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LivenessRule {
    /// SHA-256 of the liveness model's file.
    pub model: Sha256,
    /// Below this average, 0 to 1, a picture of a person may have been shown.
    pub least_mean: f32,
}

/// From score to log-likelihood ratio: `offset + slope * score`, ever rising.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreMap {
    /// Separate views that the score is of.
    pub views: u32,
    /// At score 0.
    pub offset: f32,
    /// A score of 1 more.
    pub slope: f32,
    /// No ratio is greater: the sample is too small to know.
    pub most: f32,
    /// No ratio is less.
    pub least: f32,
}

impl ScoreMap {
    /// The log-likelihood ratio of a comparison score.
    pub fn llr(&self, score: f32) -> f32 {
        (self.offset + self.slope * score).clamp(self.least, self.most)
    }

    /// The score at which the ratio is reached; beyond ±1 if it never is.
    pub fn score(&self, llr: f32) -> f32 {
        (llr - self.offset) / self.slope
    }
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
    /// Its liveness boundary is missing, or another liveness model's.
    #[error(
        "{path}: the liveness model is {expected}, but the calibration's [liveness] is for {}: use a calibration that was made for it, or switch liveness off by name", found.map_or("none".into(), |f| f.to_string())
    )]
    OtherLiveness {
        /// Which calibration.
        path: PathBuf,
        /// The liveness model that it names.
        found: Option<Sha256>,
        /// The one in use.
        expected: Sha256,
    },
}

/// Most maps that a calibration may have.
const MOST_MAPS: usize = 16;

impl Validate for Calibration {
    fn problems(&self) -> Vec<Problem> {
        let mut out = Vec::new();
        let mut ask = |good: bool, key: &str, found: String, allowed: &str| {
            if !good {
                let advice = "Take the calibration that came with the model, or make one with `counterproof calibrate`.";
                out.push(Problem::new(key, found, allowed, advice));
            }
        };
        let r = &self.rule;
        let llr = |v: f32| v.is_finite() && v.abs() <= 100.0;
        ask(
            llr(r.match_llr) && r.match_llr > 0.0,
            "rule.match_llr",
            r.match_llr.to_string(),
            "above 0, to 100",
        );
        ask(
            llr(r.mismatch_llr) && r.mismatch_llr < 0.0,
            "rule.mismatch_llr",
            r.mismatch_llr.to_string(),
            "-100 to below 0",
        );
        ask(
            (2..=100).contains(&r.mismatch_probes),
            "rule.mismatch_probes",
            r.mismatch_probes.to_string(),
            "2 to 100: one view never accuses",
        );
        ask((0.5..=1.0).contains(&r.same_view), "rule.same_view", r.same_view.to_string(), "0.5 to 1");
        ask(
            r.weight_floor.is_finite() && r.weight_floor >= 0.0,
            "rule.weight_floor",
            r.weight_floor.to_string(),
            "0 or more",
        );
        if let Some(l) = &self.liveness {
            ask(
                (0.0..=1.0).contains(&l.least_mean),
                "liveness.least_mean",
                l.least_mean.to_string(),
                "0 to 1",
            );
        }
        ask(
            (1..=MOST_MAPS).contains(&self.maps.len()),
            "maps",
            format!("{} maps", self.maps.len()),
            "1 to 16, for 1, 2, 3, … views",
        );
        for (i, m) in self.maps.iter().enumerate() {
            let good = m.views as usize == i + 1
                && m.offset.is_finite()
                && (1e-3..=1e4).contains(&m.slope)
                && m.least < 0.0
                && m.most > 0.0
                && llr(m.least)
                && llr(m.most);
            ask(
                good,
                &format!("maps[{i}]"),
                format!(
                    "views {}, offset {}, slope {}, {} to {}",
                    m.views, m.offset, m.slope, m.least, m.most
                ),
                "views 1, 2, 3, … in order, a slope above 0, least below 0 and most above",
            );
        }
        let reach = self.maps.last().is_none_or(|m| m.least <= r.mismatch_llr && m.most >= r.match_llr);
        ask(
            reach,
            "rule",
            "a boundary beyond what the last map can give".into(),
            "boundaries between its `least` and its `most`",
        );
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

    /// Checks that its liveness boundary is for the model in use, if one is.
    ///
    /// # Errors
    /// If it has none, or one for another model.
    pub fn fits_liveness(&self, path: &Path, model: Option<Sha256>) -> Result<(), CalibrationError> {
        let found = self.liveness.map(|l| l.model);
        match model {
            Some(expected) if found != Some(expected) => {
                Err(CalibrationError::OtherLiveness { path: path.to_owned(), found, expected })
            }
            _ => Ok(()),
        }
    }

    /// The map for so many separate views; the last one for more.
    pub fn map(&self, views: usize) -> ScoreMap {
        // Refused when read: a calibration without maps. A flat one decides nothing.
        const FLAT: ScoreMap = ScoreMap { views: 1, offset: 0.0, slope: 1e-3, most: 0.0, least: 0.0 };
        let at = views.clamp(1, self.maps.len().max(1)) - 1;
        self.maps.get(at).copied().unwrap_or(FLAT)
    }

    /// The weight of a view among others of its face.
    pub fn weight(&self, unified_quality: f32) -> f32 {
        const LEAST: f32 = 0.3;
        let weight = unified_quality - self.rule.weight_floor;
        if weight.is_finite() { weight.max(LEAST) } else { LEAST }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/calibrations/sface-2021dec.toml");

    /// One map for all numbers of views: ratio 0 at a score of 0.35, 10 at 0.55.
    pub(crate) fn simple() -> Calibration {
        let share = Share { events: 0, of: 1, ci95: [0.0, 1.0] };
        Calibration {
            model: Sha256::of(b"m"),
            preprocessing: 1,
            made_by: "a test".into(),
            data: Data {
                name: "none".into(),
                people: 0,
                genuine_comparisons: 0,
                impostor_comparisons: 0,
                genuine_settlements: 0,
            },
            rule: Rule {
                match_llr: 5.0,
                mismatch_llr: -5.0,
                mismatch_probes: 3,
                mismatch_span_ms: 500,
                same_view: 0.99,
                weight_floor: 8.0,
            },
            measured: Measured {
                false_alerts: share,
                impostors_alerted: share,
                impostors_matched: share,
                inconclusive_genuine: share,
                cllr: [0.0; 2],
                cllr_min: [0.0; 2],
                boundaries: Vec::new(),
            },
            liveness: Some(LivenessRule { model: Sha256::of(b"l"), least_mean: 0.5 }),
            expected: None,
            maps: vec![ScoreMap { views: 1, offset: -17.5, slope: 50.0, most: 12.0, least: -12.0 }],
        }
    }

    #[test]
    fn another_model_s_calibration_is_refused() {
        let other = ModelIdentity { sha256: Sha256::of(b"other"), preprocessing: 257 };
        let text = Calibration::read(Path::new(SHIPPED), other).unwrap_err().to_string();
        assert!(text.contains(&other.sha256.to_string()), "{text}");
    }

    #[test]
    fn another_liveness_model_s_boundary_is_refused() {
        let c = simple();
        assert!(c.fits_liveness(Path::new("c"), None).is_ok());
        assert!(c.fits_liveness(Path::new("c"), Some(Sha256::of(b"l"))).is_ok());
        let e = c.fits_liveness(Path::new("c"), Some(Sha256::of(b"k"))).unwrap_err().to_string();
        assert!(e.contains(&Sha256::of(b"k").to_string()), "{e}");
    }

    #[test]
    fn one_view_never_accuses_and_a_falling_map_is_refused() {
        assert_eq!(simple().problems(), []);
        let one = Calibration { rule: Rule { mismatch_probes: 1, ..simple().rule }, ..simple() };
        assert!(one.problems()[0].allowed.contains("one view never accuses"));
        let mut falling = simple();
        falling.maps[0].slope = -1.0;
        assert_eq!(falling.problems()[0].key, "maps[0]");
        assert!(!Calibration { maps: vec![], ..simple() }.problems().is_empty());
        let beyond = Calibration { rule: Rule { mismatch_llr: -13.0, ..simple().rule }, ..simple() };
        assert_eq!(beyond.problems()[0].key, "rule");
    }

    proptest! {
        #[test]
        fn more_alike_never_means_less_likely(a in -1f32..1.0, b in -1f32..1.0, views in 0usize..40) {
            let map = simple().map(views);
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            prop_assert!(map.llr(low) <= map.llr(high));
            prop_assert!((map.score(map.llr(0.4)) - 0.4).abs() < 1e-4);
        }

        #[test]
        fn a_calibration_survives_its_file(offset in -30f32..-1.0, slope in 1f32..100.0) {
            let mut c = simple();
            c.maps[0] = ScoreMap { offset, slope, ..c.maps[0] };
            let text = toml::to_string(&c).unwrap();
            prop_assert_eq!(settings::parse::<Calibration>(Path::new("c.toml"), &text).unwrap(), c);
        }
    }
}
