//! How well the desk agrees with itself: Cohen's kappa over alerts that two people
//! decided, the second without knowing of the first.
//!
//! It is a figure of the desk: pairs have no names, and below [`LEAST_PAIRS`] nothing is
//! computed, since a handful of pairs would be a figure of a person. 1 is full
//! agreement, 0 as much as by chance. First and second decisions are the two raters,
//! whoever made them. The interval is the large-sample one of Fleiss, Cohen and Everitt
//! (1969), cut at -1 and 1.

use super::state::Decision;

/// Fewer pairs say nothing.
pub const LEAST_PAIRS: usize = 30;
/// For an interval that holds the truth 95 times of 100.
const Z95: f64 = 1.959_964;

/// The first decision about an alert, and the blind second one.
pub type Pair = (Decision, Decision);

/// What pairs of decisions say of the desk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Agreement {
    /// Too few pairs to say anything.
    TooFew {
        /// How many there are.
        pairs: usize,
    },
    /// All decisions of both times are one and the same: nothing to agree about by chance.
    NoVariety {
        /// How many pairs there are.
        pairs: usize,
    },
    /// A figure.
    Kappa {
        /// How many pairs it is from.
        pairs: usize,
        /// The share of pairs that are equal, 0 to 1.
        equal: f64,
        /// Cohen's kappa, -1 to 1.
        kappa: f64,
        /// Its 95 % interval.
        ci95: (f64, f64),
    },
}

impl Agreement {
    /// What these pairs say.
    pub fn of(pairs: &[Pair]) -> Self {
        let n = pairs.len();
        if n < LEAST_PAIRS {
            return Self::TooFew { pairs: n };
        }
        let share = |fits: &dyn Fn(&Pair) -> bool| pairs.iter().filter(|p| fits(p)).count() as f64 / n as f64;
        let first = |d: Decision| share(&|p| p.0 == d);
        let second = |d: Decision| share(&|p| p.1 == d);
        let equal = share(&|p| p.0 == p.1);
        let chance: f64 = Decision::ALL.iter().map(|d| first(*d) * second(*d)).sum();
        if 1.0 - chance < 1e-12 {
            return Self::NoVariety { pairs: n };
        }
        let kappa = (equal - chance) / (1.0 - chance);
        let (mut on, mut off) = (0.0, 0.0);
        for a in Decision::ALL {
            on += share(&|p| p.0 == *a && p.1 == *a)
                * ((1.0 - chance) - (second(*a) + first(*a)) * (1.0 - equal)).powi(2);
            for b in Decision::ALL.iter().filter(|b| *b != a) {
                off += share(&|p| p.0 == *a && p.1 == *b) * (second(*a) + first(*b)).powi(2);
            }
        }
        let last = (equal * chance - 2.0 * chance + equal).powi(2);
        let variance = (on + (1.0 - equal).powi(2) * off - last) / (n as f64 * (1.0 - chance).powi(4));
        let half = Z95 * variance.max(0.0).sqrt();
        Self::Kappa { pairs: n, equal, kappa, ci95: ((kappa - half).max(-1.0), (kappa + half).min(1.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::any_decision;
    use super::*;
    use Decision::{FalseAlert as F, Impersonation as I};
    use proptest::prelude::*;

    fn pairs(counts: &[(Pair, usize)]) -> Vec<Pair> {
        counts.iter().flat_map(|(p, n)| std::iter::repeat_n(*p, *n)).collect()
    }

    #[test]
    fn a_known_table_has_its_known_kappa() {
        // 2 x 2: 20 and 15 alike, 5 and 10 not. Agreement 0.7, by chance 0.5.
        let table = pairs(&[((F, F), 20), ((F, I), 5), ((I, F), 10), ((I, I), 15)]);
        let Agreement::Kappa { pairs, equal, kappa, ci95 } = Agreement::of(&table) else { panic!() };
        assert_eq!(pairs, 50);
        assert!((equal - 0.7).abs() < 1e-9 && (kappa - 0.4).abs() < 1e-9, "{kappa}");
        // Standard error 0.1270; 4,000 resamples of the table gave 0.1256.
        assert!((ci95.0 - 0.1511).abs() < 2e-3 && (ci95.1 - 0.6489).abs() < 2e-3, "{ci95:?}");
    }

    #[test]
    fn few_pairs_and_pairs_without_variety_say_nothing() {
        assert_eq!(Agreement::of(&pairs(&[((F, F), 29)])), Agreement::TooFew { pairs: 29 });
        assert_eq!(Agreement::of(&pairs(&[((F, F), 30)])), Agreement::NoVariety { pairs: 30 });
    }

    proptest! {
        #[test]
        fn a_kappa_lies_in_its_interval(all in proptest::collection::vec((any_decision(), any_decision()), 30..200)) {
            if let Agreement::Kappa { kappa, ci95, equal, .. } = Agreement::of(&all) {
                prop_assert!((-1.0..=1.0).contains(&kappa) && ci95.0 <= kappa && kappa <= ci95.1);
                prop_assert!((0.0..=1.0).contains(&equal) && ci95.0 >= -1.0 && ci95.1 <= 1.0);
                let turned: Vec<Pair> = all.iter().map(|(a, b)| (*b, *a)).collect();
                let Agreement::Kappa { kappa: other, .. } = Agreement::of(&turned) else { panic!() };
                prop_assert!((kappa - other).abs() < 1e-9);
            }
        }
    }
}
