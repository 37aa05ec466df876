//! Drift: an armed box whose figures move away from those that it was
//! commissioned with.
//!
//! [`Window`] holds counts of the last settlements in [`BLOCKS`] blocks, the
//! oldest of which goes when it is full. Counts, not a list: the order of
//! settlements beside their scores would say of each what was found. Two things
//! are looked at: how far the scores lie from the [`Baseline`], and by how much
//! the share of inconclusive settlements rose. Each counts only if it passes its
//! limit, which says what matters, and if chance alone would rarely make it so,
//! which says what can be told from so few.
//!
//! How often a box goes back into shadow though nothing has changed: with the
//! limits as shipped, a baseline of 200 and a window of 500, a look passes the
//! limit of the scores with a probability of at most `2·exp(-2·0.2²·143)`, two
//! in a hundred thousand (Smirnov's bound); a larger baseline makes it rarer.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::distance;
use crate::protocol::figures::{Figures, ScoreHistogram};
use crate::protocol::verdict::Outcome;
use crate::settings::Problem;

/// Blocks of a window.
pub const BLOCKS: u64 = 10;
/// One-sided, at the level [`distance::ALPHA`] halved: 0.0005 of the standard normal distribution.
const Z: f64 = 3.29;

/// `[commissioning]`: when an armed box goes back into shadow.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Settlements at which it was looked, over which drift is judged.
    pub window: u64,
    /// Greatest Kolmogorov-Smirnov statistic of the scores: roughly the share of
    /// settlements whose scores may have moved.
    pub score_shift: f64,
    /// Greatest rise of the inconclusive share.
    pub inconclusive_rise: f64,
}

impl Default for Limits {
    /// A busy window's half day; a fifth of the scores elsewhere; fifteen in a
    /// hundred more that come to nothing.
    fn default() -> Self {
        Self { window: 500, score_shift: 0.2, inconclusive_rise: 0.15 }
    }
}

impl Limits {
    /// What is wrong with them. The ceilings keep anybody from switching drift off.
    pub fn problems(&self) -> Vec<Problem> {
        let mut out = Vec::new();
        let mut ask = |ok: bool, key: &str, found: String, allowed: &str, advice: &str| {
            if !ok {
                out.push(Problem::new(&format!("commissioning.{key}"), found, allowed, advice));
            }
        };
        ask(
            (20..=5000).contains(&self.window),
            "window",
            self.window.to_string(),
            "20 to 5000",
            "Settlements over which drift is judged; 500 is usual.",
        );
        ask(
            (0.05..=0.5).contains(&self.score_shift),
            "score_shift",
            self.score_shift.to_string(),
            "0.05 to 0.5",
            "How far scores may move before the box goes back into shadow.",
        );
        ask(
            (0.02..=0.5).contains(&self.inconclusive_rise),
            "inconclusive_rise",
            self.inconclusive_rise.to_string(),
            "0.02 to 0.5",
            "By how much the inconclusive share may rise before the box goes back into shadow.",
        );
        out
    }
}

/// Counts of settlements at which it was looked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    scores: ScoreHistogram,
    assessed: u64,
    inconclusive: u64,
}

impl Block {
    fn merge(&mut self, other: &Self) {
        self.scores.merge(&other.scores);
        self.assessed = self.assessed.saturating_add(other.assessed);
        self.inconclusive = self.inconclusive.saturating_add(other.inconclusive);
    }
}

/// With what later figures are compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    scores: ScoreHistogram,
    assessed: u64,
    inconclusive: u64,
}

impl Baseline {
    /// What was counted before a supervisor signed.
    pub fn of_figures(figures: &Figures) -> Self {
        Self {
            scores: figures.scores,
            assessed: figures.assessed(),
            inconclusive: figures.of("inconclusive"),
        }
    }
}

/// What moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Drift {
    /// The scores: the statistic, and its limit.
    Scores(f64, f64),
    /// The inconclusive share: now, and before.
    Inconclusive(f64, f64),
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Scores(found, limit) => write!(
                f,
                "the comparison scores moved away from those at commissioning by {found:.2} (Kolmogorov-Smirnov), at most {limit:.2} is allowed"
            ),
            Self::Inconclusive(now, before) => write!(
                f,
                "{:.0} % of the settlements are inconclusive now, {:.0} % were at commissioning",
                now * 100.0,
                before * 100.0
            ),
        }
    }
}

/// The last settlements at which it was looked, as counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    baseline: Option<Baseline>,
    blocks: VecDeque<Block>,
}

impl Window {
    /// Empty, to be compared with this. Without a baseline the first full window
    /// becomes it.
    pub fn against(baseline: Option<Baseline>) -> Self {
        Self { baseline, blocks: VecDeque::new() }
    }

    /// Counts a settlement, if it was looked.
    pub fn count(&mut self, outcome: Outcome, score: Option<f32>, limits: &Limits) {
        if matches!(outcome, Outcome::NotAssessed(_)) {
            return;
        }
        let size = limits.window.div_ceil(BLOCKS).max(1);
        if self.blocks.back().is_none_or(|b| b.assessed >= size) {
            self.blocks.push_back(Block::default());
        }
        if let Some(block) = self.blocks.back_mut() {
            block.assessed += 1;
            block.inconclusive += u64::from(matches!(outcome, Outcome::Inconclusive(_)));
            if let Some(score) = score {
                block.scores.add(score);
            }
        }
        // The newest block is filling: beside it there are as many as make a window.
        while self.blocks.len() as u64 > BLOCKS {
            self.blocks.pop_front();
        }
        let all = self.all();
        if self.baseline.is_none() && all.assessed >= limits.window {
            let Block { scores, assessed, inconclusive } = all;
            self.baseline = Some(Baseline { scores, assessed, inconclusive });
            self.blocks.clear();
        }
    }

    fn all(&self) -> Block {
        let mut all = Block::default();
        self.blocks.iter().for_each(|b| all.merge(b));
        all
    }

    /// What moved beyond its limit. Judged once nine tenths of a window are full:
    /// the newest tenth is always on its way.
    pub fn drift(&self, limits: &Limits) -> Option<Drift> {
        let (before, now) = (self.baseline?, self.all());
        if now.assessed < limits.window - limits.window / BLOCKS {
            return None;
        }
        let p = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let (was, is) = (p(before.inconclusive, before.assessed), p(now.inconclusive, now.assessed));
        let rose = before.assessed > 0
            && is - was > limits.inconclusive_rise
            && is - was > Z * spread(before.inconclusive, before.assessed, now.inconclusive, now.assessed);
        if rose {
            return Some(Drift::Inconclusive(is, was));
        }
        let (found, rare) = distance::compare(&before.scores, &now.scores)?;
        (rare && found > limits.score_shift).then_some(Drift::Scores(found, limits.score_shift))
    }
}

/// The standard error of the difference of two shares, pooled.
fn spread(a: u64, n: u64, b: u64, m: u64) -> f64 {
    let (n, m) = (n as f64, m as f64);
    let p = (a as f64 + b as f64) / (n + m);
    (p * (1.0 - p) * (1.0 / n + 1.0 / m)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::verdict::{Inconclusive, NotAssessed};
    use proptest::prelude::*;

    const L: Limits = Limits { window: 100, score_shift: 0.2, inconclusive_rise: 0.15 };
    const NO_FACE: Outcome = Outcome::Inconclusive(Inconclusive::NoFace);

    /// Scores around 0.7, as of genuine settlements.
    fn genuine(n: u64) -> f32 {
        0.6 + 0.2 * (n % 7) as f32 / 7.0
    }

    fn baseline(n: u64) -> Baseline {
        let mut f = Figures::default();
        (0..n).for_each(|i| f.count(Outcome::Match, Some(genuine(i))));
        Baseline::of_figures(&f)
    }

    #[test]
    fn a_box_that_goes_on_as_before_stays_armed() {
        let mut w = Window::against(Some(baseline(200)));
        for i in 0..1000 {
            w.count(Outcome::Match, Some(genuine(i)), &L);
            assert_eq!(w.drift(&L), None, "{i}");
        }
        assert!(w.blocks.len() as u64 <= BLOCKS && w.all().assessed <= L.window);
    }

    #[test]
    fn scores_that_move_and_faces_that_are_seen_no_more_are_drift() {
        let mut w = Window::against(Some(baseline(200)));
        let mut after = 0;
        while w.drift(&L).is_none() {
            w.count(Outcome::Match, Some(genuine(after) - 0.3), &L);
            after += 1;
        }
        assert_eq!(after, 90, "judged once nine tenths are full");
        assert!(w.drift(&L).unwrap().to_string().contains("scores moved"));

        // A camera that was covered: nobody has a score any more.
        let mut w = Window::against(Some(baseline(200)));
        (0..100).for_each(|i| w.count(Outcome::Match, Some(genuine(i)), &L));
        let mut after = 0;
        while w.drift(&L).is_none() {
            w.count(NO_FACE, None, &L);
            after += 1;
        }
        assert!(matches!(w.drift(&L), Some(Drift::Inconclusive(is, was)) if is > 0.15 && was == 0.0));
        assert!((15..40).contains(&after), "{after}");
    }

    #[test]
    fn without_a_baseline_the_first_full_window_is_it() {
        let mut w = Window::default();
        for i in 0..100 {
            w.count(NO_FACE, Some(genuine(i)), &L);
            assert_eq!(w.drift(&L), None);
        }
        assert_eq!(w.baseline.unwrap().inconclusive, 100);
        for i in 0..100 {
            w.count(Outcome::Match, Some(genuine(i)), &L);
        }
        assert_eq!(w.drift(&L), None, "fewer that come to nothing are no drift");
    }

    #[test]
    fn a_window_outlives_a_restart_and_limits_cannot_switch_it_off() {
        let mut w = Window::against(Some(baseline(200)));
        (0..137).for_each(|i| w.count(Outcome::Mismatch, Some(genuine(i)), &L));
        let text = serde_json::to_string(&w).unwrap();
        assert_eq!(serde_json::from_str::<Window>(&text).unwrap(), w);
        assert!(Limits::default().problems().is_empty());
        for bad in [
            Limits { window: 5001, ..L },
            Limits { window: 0, ..L },
            Limits { score_shift: 0.51, ..L },
            Limits { score_shift: f64::NAN, ..L },
            Limits { inconclusive_rise: 1.0, ..L },
        ] {
            assert_eq!(bad.problems().len(), 1, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn the_same_mixture_is_seldom_drift(scores in proptest::collection::vec(-0.2f32..0.9, 700)) {
            // Baseline and window are drawn from one source.
            let l = Limits { window: 500, ..L };
            let mut f = Figures::default();
            scores.iter().take(200).for_each(|s| f.count(Outcome::Match, Some(*s)));
            let mut w = Window::against(Some(Baseline::of_figures(&f)));
            for s in scores.iter().skip(200) {
                w.count(Outcome::Match, Some(*s), &l);
            }
            prop_assert_eq!(w.drift(&l), None);
        }

        #[test]
        fn what_was_not_assessed_is_no_evidence(n in 0usize..3000) {
            let mut w = Window::against(Some(baseline(200)));
            (0..n).for_each(|_| w.count(Outcome::NotAssessed(NotAssessed::NoReference), None, &L));
            prop_assert_eq!(w.drift(&L), None);
            prop_assert!(w.blocks.is_empty());
        }

        #[test]
        fn memory_is_bounded(window in 20u64..5000, n in 0u64..12_000) {
            let l = Limits { window, ..L };
            let mut w = Window::against(Some(baseline(200)));
            (0..n).for_each(|i| w.count(Outcome::Match, Some(genuine(i)), &l));
            prop_assert!(w.blocks.len() as u64 <= BLOCKS);
            prop_assert!(w.all().assessed <= window.div_ceil(BLOCKS) * BLOCKS);
        }
    }
}
