//! How rare an alert's comparison score is, by the calibration that the box used: told
//! only as far as the calibration's data go.
//!
//! A calibration counted scores in bins of 0.05. So a score is compared by whole bins,
//! and "so low" means: in its bin or a lower one. Where the sample cannot say "once in
//! so many" (nobody scored so low), what is told is how many were looked at, the lowest
//! bin that anybody had, and the upper end of the measured interval, which counts a
//! person once however many settlements they had.

use crate::commissioning::report::{CalibrationFile, Measured};
use crate::protocol::figures::{Expected, ScoreHistogram, bin_of};

/// How often honest people scored so low, in the calibration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Honest {
    /// Some did: once in so many settlements.
    OnceIn(u64),
    /// None did; the lowest bin that anybody had begins here.
    None {
        /// Its lower border, -1 to 1.
        lowest: f64,
    },
}

/// What a calibration says of a score.
#[derive(Debug, Clone, PartialEq)]
pub struct Rarity {
    /// "So low" is below this: the upper border of the score's bin.
    pub below: f64,
    /// Settlements of the calibration at which the cardholder was there.
    pub settlements: u64,
    /// How often they scored so low.
    pub honest: Honest,
    /// The share of settlements at which a stranger was there with a score so low, 0 to 1.
    pub strangers: f64,
}

impl Rarity {
    /// Of a score by what its calibration found.
    pub fn of(score: f32, expected: &Expected) -> Self {
        let bin = bin_of(score);
        let up_to = |shares: &[f64]| shares.iter().take(bin + 1).sum::<f64>();
        let genuine = expected.genuine.by_bin();
        let settlements = expected.settlements;
        // Counted back from the share: a bin holds whole settlements.
        let so_low = (up_to(genuine) * settlements as f64).round() as u64;
        let honest = match settlements.checked_div(so_low) {
            Some(once_in) => Honest::OnceIn(once_in),
            None => {
                let first = genuine.iter().position(|s| *s > 0.0).unwrap_or(0);
                Honest::None { lowest: ScoreHistogram::borders(first).0 }
            }
        };
        let below = ScoreHistogram::borders(bin).1;
        Self { below, settlements, honest, strangers: up_to(expected.impostor.by_bin()).min(1.0) }
    }
}

/// Where the two boundaries between verdicts lie, as comparison scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boundaries {
    /// At or below it the verdict is mismatch.
    pub mismatch: f64,
    /// At or above it, match; nothing if the calibration does not say.
    pub matched: Option<f64>,
}

impl Boundaries {
    /// Of an alert with this threshold.
    pub fn of(threshold: f32, calibration: Option<&CalibrationFile>) -> Self {
        let measured = calibration.and_then(|c| c.measured.as_ref());
        let highest = |m: &Measured| m.boundaries.iter().map(|b| b.score).reduce(f64::max);
        let mismatch = f64::from(threshold);
        Self { mismatch, matched: measured.and_then(highest).filter(|m| *m > mismatch) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::figures::{BINS, Shares};
    use proptest::prelude::*;

    fn shipped() -> CalibrationFile {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/calibrations/sface-2021dec.toml");
        CalibrationFile::read(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn the_shipped_calibration_says_none_and_not_a_rarity_that_it_cannot_know() {
        let expected = shipped().expected.unwrap();
        let r = Rarity::of(0.12, &expected);
        assert!(matches!(r.honest, Honest::None { lowest } if (lowest - 0.4).abs() < 1e-9), "{r:?}");
        assert_eq!(r.settlements, 1502);
        assert!((r.below - 0.15).abs() < 1e-9 && (0.6..0.95).contains(&r.strangers), "{r:?}");
        // Six of 1,502 lie between 0.40 and 0.45.
        assert_eq!(Rarity::of(0.42, &expected).honest, Honest::OnceIn(250));
        assert_eq!(Rarity::of(1.0, &expected).honest, Honest::OnceIn(1));
    }

    #[test]
    fn boundaries_are_the_alerts_threshold_and_the_calibrations_higher_one() {
        let c = shipped();
        let b = Boundaries::of(0.34, Some(&c));
        assert!((b.mismatch - 0.34).abs() < 1e-6 && b.matched == Some(0.5475), "{b:?}");
        assert_eq!(Boundaries::of(0.34, None).matched, None);
        let measured = c.measured.unwrap();
        assert_eq!((measured.false_alerts.events, measured.false_alerts.of), (0, 1502));
    }

    proptest! {
        #[test]
        fn a_lower_score_is_never_less_rare(counts in proptest::collection::vec(0u64..50, BINS), a in -1.0f32..1.0, b in -1.0f32..1.0) {
            let total: u64 = counts.iter().sum();
            prop_assume!(total > 0);
            let mut of = [0.0; BINS];
            for (share, n) in of.iter_mut().zip(&counts) { *share = *n as f64 / total as f64; }
            let shares = Shares::new(of).unwrap();
            let e = Expected { genuine: shares, impostor: shares, inconclusive_genuine: 0.0, settlements: total };
            let (low, high) = (Rarity::of(a.min(b), &e), Rarity::of(a.max(b), &e));
            prop_assert!(low.strangers <= high.strangers + 1e-9);
            match (low.honest, high.honest) {
                (Honest::OnceIn(l), Honest::OnceIn(h)) => prop_assert!(l >= h && h >= 1),
                (Honest::OnceIn(_), Honest::None { .. }) => prop_assert!(false, "{:?} {:?}", low, high),
                (Honest::None { lowest }, _) => prop_assert!(lowest + 1e-9 >= low.below, "{lowest} {low:?}"),
            }
        }
    }
}
