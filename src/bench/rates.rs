//! Error rates of a comparison, from scores alone.
//!
//! Words after ISO/IEC 19795-1. One rule everywhere: a pair is accepted when
//! its score is at or above the threshold. The functions are pure; a score
//! that is not a number has no place in them and is left out when a
//! [`Scores`] is made. Nothing here knows whose scores they are.

use serde::Serialize;

pub use crate::shares::{Interval, wilson};

/// Scores of genuine and of impostor pairs, each in ascending order.
#[derive(Debug, Clone, Default)]
pub struct Scores {
    genuine: Vec<f32>,
    impostor: Vec<f32>,
}

/// The two error rates at one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// A pair is accepted from this score on.
    pub threshold: f32,
    /// Share of impostor pairs accepted.
    pub fmr: f64,
    /// Share of genuine pairs not accepted.
    pub fnmr: f64,
}

impl Scores {
    /// Sorts scores by whether the pair is genuine.
    pub fn new(pairs: impl IntoIterator<Item = (f32, bool)>) -> Self {
        let mut out = Self::default();
        for (score, genuine) in pairs.into_iter().filter(|(s, _)| !s.is_nan()) {
            if genuine { &mut out.genuine } else { &mut out.impostor }.push(score);
        }
        out.genuine.sort_by(f32::total_cmp);
        out.impostor.sort_by(f32::total_cmp);
        out
    }

    /// Number of genuine pairs.
    pub fn genuine(&self) -> usize {
        self.genuine.len()
    }

    /// Number of impostor pairs.
    pub fn impostor(&self) -> usize {
        self.impostor.len()
    }

    /// FMR and FNMR at a threshold; a rate without pairs is 0.
    pub fn at(&self, threshold: f32) -> Point {
        let below = |scores: &[f32]| scores.partition_point(|s| *s < threshold);
        let accepted = self.impostor.len() - below(&self.impostor);
        Point {
            threshold,
            fmr: share(accepted, self.impostor.len()),
            fnmr: share(below(&self.genuine), self.genuine.len()),
        }
    }

    /// The rates at every threshold at which one of them changes, ascending,
    /// from everything accepted to nothing accepted.
    pub fn curve(&self) -> Vec<Point> {
        let mut thresholds: Vec<f32> = self.genuine.iter().chain(&self.impostor).copied().collect();
        thresholds.sort_by(f32::total_cmp);
        thresholds.dedup();
        if let Some(last) = thresholds.last() {
            thresholds.push(last.next_up());
        }
        thresholds.into_iter().map(|t| self.at(t)).collect()
    }

    /// Equal error rate: where FMR and FNMR cross, on the straight line between
    /// the two neighbouring points. `None` without genuine or impostor pairs.
    pub fn eer(&self) -> Option<f64> {
        if self.genuine.is_empty() || self.impostor.is_empty() {
            return None;
        }
        let curve = self.curve();
        let after = curve.iter().position(|p| p.fnmr >= p.fmr)?;
        let b = curve[after];
        let a = after.checked_sub(1).map_or(b, |before| curve[before]);
        let (gap_a, gap_b) = (a.fmr - a.fnmr, b.fnmr - b.fmr);
        if gap_a + gap_b <= 0.0 {
            return Some(b.fmr);
        }
        let way = gap_a / (gap_a + gap_b);
        Some(a.fmr + way * (b.fmr - a.fmr))
    }

    /// True accept rate at the lowest threshold whose FMR is at most `fmr`.
    /// `None` without genuine or impostor pairs.
    pub fn tar_at_fmr(&self, fmr: f64) -> Option<f64> {
        if self.genuine.is_empty() || self.impostor.is_empty() {
            return None;
        }
        // Rounded a little up, since 0.001 of 3000 must be 3 in floating point too.
        let allowed = (fmr * self.impostor.len() as f64 + 1e-9).floor() as usize;
        let Some(first_refused) = self.impostor.len().checked_sub(allowed + 1) else {
            return Some(1.0);
        };
        let threshold = self.impostor[first_refused].next_up();
        Some(1.0 - self.at(threshold).fnmr)
    }

    /// The threshold with the most right answers, and their share. Among
    /// equally good ones the middle one, halfway between two scores, so that
    /// one pair more or less moves it little. `None` without any pair.
    pub fn best_threshold(&self) -> Option<(f32, f64)> {
        let total = self.genuine.len() + self.impostor.len();
        let curve = self.curve();
        let right = |p: &Point| {
            let genuine = (1.0 - p.fnmr) * self.genuine.len() as f64;
            let impostor = (1.0 - p.fmr) * self.impostor.len() as f64;
            (genuine + impostor).round() as usize
        };
        let most = curve.iter().map(right).max()?;
        let best: Vec<usize> = (0..curve.len()).filter(|i| right(&curve[*i]) == most).collect();
        let middle = *best.get(best.len() / 2)?;
        let above = curve[middle].threshold;
        let below = middle.checked_sub(1).map_or(above, |i| curve[i].threshold);
        let halfway = below + (above - below) / 2.0;
        // Between neighbouring floats there is nothing: then the upper one separates them.
        let threshold = if halfway > below { halfway } else { above };
        Some((threshold, share(most, total))).filter(|(t, _)| t.is_finite())
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scores(genuine: &[f32], impostor: &[f32]) -> Scores {
        Scores::new(genuine.iter().map(|s| (*s, true)).chain(impostor.iter().map(|s| (*s, false))))
    }

    #[test]
    fn rates_of_a_case_counted_by_hand() {
        let s = scores(&[0.2, 0.6, 0.7, 0.9], &[0.1, 0.2, 0.3, 0.65]);
        let p = s.at(0.6);
        assert_eq!((p.fmr, p.fnmr), (0.25, 0.25));
        assert_eq!(s.eer(), Some(0.25));
        assert_eq!(s.tar_at_fmr(0.0), Some(0.5));
        assert_eq!(s.tar_at_fmr(0.25), Some(0.75));
        assert_eq!(s.tar_at_fmr(1.0), Some(1.0));
    }

    #[test]
    fn separable_scores_have_no_errors_and_a_threshold_between_them() {
        let s = scores(&[0.6, 0.8], &[0.1, 0.2]);
        assert_eq!(s.eer(), Some(0.0));
        let (t, accuracy) = s.best_threshold().unwrap();
        assert!((t - 0.4).abs() < 1e-6 && (accuracy - 1.0).abs() < 1e-9, "{t} {accuracy}");
    }

    #[test]
    fn without_pairs_there_is_no_rate() {
        let s = scores(&[], &[0.1]);
        assert_eq!((s.eer(), s.tar_at_fmr(0.1)), (None, None));
        assert_eq!(scores(&[], &[]).best_threshold(), None);
    }

    proptest! {
        #[test]
        fn rates_are_shares_and_move_one_way(pairs in proptest::collection::vec((-1f32..1.0, any::<bool>()), 1..80)) {
            let s = Scores::new(pairs);
            let curve = s.curve();
            for p in &curve {
                prop_assert!((0.0..=1.0).contains(&p.fmr) && (0.0..=1.0).contains(&p.fnmr));
            }
            for w in curve.windows(2) {
                prop_assert!(w[0].threshold < w[1].threshold);
                prop_assert!(w[0].fmr >= w[1].fmr && w[0].fnmr <= w[1].fnmr);
            }
            if let Some(eer) = s.eer() {
                prop_assert!((0.0..=1.0).contains(&eer));
            }
        }

        #[test]
        fn no_threshold_beats_the_best(pairs in proptest::collection::vec((-1f32..1.0, any::<bool>()), 1..80), other in -1.1f32..1.1) {
            let right = |t: f32| pairs.iter().filter(|(s, same)| (*s >= t) == *same).count();
            let (best, share) = Scores::new(pairs.iter().copied()).best_threshold().unwrap();
            prop_assert!(right(best) >= right(other));
            prop_assert!((share - right(best) as f64 / pairs.len() as f64).abs() < 1e-9);
        }

        #[test]
        fn tar_keeps_its_promise(pairs in proptest::collection::vec((-1f32..1.0, any::<bool>()), 2..80), fmr in 0f64..1.0) {
            let s = Scores::new(pairs);
            if let Some(tar) = s.tar_at_fmr(fmr) {
                let reached = s.curve().iter().filter(|p| p.fmr <= fmr).map(|p| 1.0 - p.fnmr).fold(0.0, f64::max);
                prop_assert!((tar - reached).abs() < 1e-9, "{tar} {reached}");
            }
        }
    }
}
