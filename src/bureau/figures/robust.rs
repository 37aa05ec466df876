//! How far a number is from the usual, by median and median absolute deviation, and
//! its percentile: neither is moved by the few that one looks for.
//!
//! The robust z-score is `(x - median) / (1.4826 * MAD)`. 1.4826 = 1 / 0.6745 makes
//! the MAD an estimate of the standard deviation where numbers are normally
//! distributed (F. R. Hampel, The influence curve and its role in robust estimation,
//! Journal of the American Statistical Association 69 (1974) 383-393). Settlements
//! and amounts are not: the score says how far, not how likely. Where more than half
//! of the population have the same number, the MAD is 0 and there is no score; the
//! percentile stands alone then.

/// By which a MAD becomes a standard deviation, for normal numbers.
pub const CONSISTENCY: f64 = 1.4826;

/// What is usual among many.
#[derive(Debug, Clone, PartialEq)]
pub struct Usual {
    /// In ascending order.
    numbers: Vec<i64>,
    median: f64,
    mad: f64,
}

impl Usual {
    /// Of these numbers; nothing of fewer than `least`, or of none.
    pub fn of(mut numbers: Vec<i64>, least: usize) -> Option<Self> {
        if numbers.len() < least.max(1) {
            return None;
        }
        numbers.sort_unstable();
        let sorted: Vec<f64> = numbers.iter().map(|n| *n as f64).collect();
        let median = middle(&sorted)?;
        let mut away: Vec<f64> = sorted.iter().map(|n| (n - median).abs()).collect();
        away.sort_by(f64::total_cmp);
        let mad = middle(&away)?;
        Some(Self { numbers, median, mad })
    }

    /// How many they are.
    pub const fn count(&self) -> usize {
        self.numbers.len()
    }

    /// As many are below as above it.
    pub const fn median(&self) -> f64 {
        self.median
    }

    /// The median of the distances from the median.
    pub const fn mad(&self) -> f64 {
        self.mad
    }

    /// How many robust standard deviations a number is above the median; nothing
    /// where the MAD is 0.
    pub fn score(&self, number: i64) -> Option<f64> {
        (self.mad > 0.0).then(|| (number as f64 - self.median) / (CONSISTENCY * self.mad))
    }

    /// The share of the population whose number is at most this one, in percent, 0 to 100.
    pub fn percentile(&self, number: i64) -> f64 {
        let below = self.numbers.partition_point(|n| *n <= number);
        below as f64 * 100.0 / self.numbers.len() as f64
    }
}

/// The middle of ascending numbers; between two, their mean.
fn middle(sorted: &[f64]) -> Option<f64> {
    let at = sorted.len().checked_sub(1)?;
    Some(f64::midpoint(*sorted.get(at / 2)?, *sorted.get(at.div_ceil(2))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_known_population() {
        // Median 4, distances 3 2 2 0 0 2 5: MAD 2.
        let usual = Usual::of(vec![1, 2, 2, 4, 4, 6, 9], 7).unwrap();
        assert_eq!((usual.count(), usual.median(), usual.mad()), (7, 4.0, 2.0));
        assert!((usual.score(9).unwrap() - 5.0 / 2.9652).abs() < 1e-9);
        assert_eq!([0, 4, 9].map(|n| usual.percentile(n)), [0.0, 500.0 / 7.0, 100.0]);
        assert_eq!(Usual::of(vec![1, 3], 2).unwrap().median(), 2.0);
    }

    #[test]
    fn where_most_are_alike_there_is_no_score() {
        let usual = Usual::of(vec![1, 1, 1, 1, 8], 5).unwrap();
        assert_eq!((usual.score(8), usual.percentile(8), usual.percentile(1)), (None, 100.0, 80.0));
    }

    #[test]
    fn too_few_have_no_usual() {
        assert_eq!(Usual::of(vec![1; 29], 30), None);
        assert_eq!(Usual::of(vec![], 0), None);
    }

    proptest! {
        #[test]
        fn a_larger_number_is_further_out(numbers in proptest::collection::vec(0i64..1000, 1..60), a in 0i64..1000, by in 1i64..50) {
            let usual = Usual::of(numbers.clone(), 1).unwrap();
            prop_assert!(usual.percentile(a) <= usual.percentile(a + by));
            prop_assert!((0.0..=100.0).contains(&usual.percentile(a)));
            if let (Some(x), Some(y)) = (usual.score(a), usual.score(a + by)) {
                prop_assert!(x < y);
            }
            // Half of them are at or below the median, half at or above.
            let n = numbers.len();
            prop_assert!(numbers.iter().filter(|x| **x as f64 <= usual.median()).count() * 2 >= n);
            prop_assert!(numbers.iter().filter(|x| **x as f64 >= usual.median()).count() * 2 >= n);
        }

        /// One that is far out, however far, does not move what is usual.
        #[test]
        fn one_far_out_changes_nothing(numbers in proptest::collection::vec(0i64..1000, 3..60), far in 1000i64..1_000_000, further in 1_000_000i64..1_000_000_000) {
            let with = |x| Usual::of(numbers.iter().copied().chain([x]).collect(), 1).unwrap();
            prop_assert_eq!(with(far).median(), with(further).median());
            prop_assert_eq!(with(far).mad(), with(further).mad());
        }
    }
}
