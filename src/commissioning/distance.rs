//! How far two distributions of comparison scores lie apart.
//!
//! The two-sample Kolmogorov-Smirnov statistic: the greatest difference of the
//! cumulative shares, 0 (the same) to 1 (nothing in common). Over bins it is at
//! most what it would be over the scores themselves, so a limit is passed later,
//! never sooner. Its critical value for samples of `n` and `m` is
//! `sqrt(-ln(α/2)/2) · sqrt((n+m)/(n·m))` (Smirnov 1939; Knuth, The Art of
//! Computer Programming 2, section 3.3.1).
//!
//! Not chosen: the population stability index, whose expectation without any
//! change is about `(bins-1)·(1/n+1/m)`, for 40 bins and 200 settlements more
//! than the limits that are usual for it.

use crate::protocol::figures::{ScoreHistogram, Shares};

/// The level of the critical value: how rarely equal distributions pass it.
pub const ALPHA: f64 = 0.001;

/// The Kolmogorov-Smirnov statistic of two distributions, 0 to 1.
pub fn kolmogorov_smirnov(a: &Shares, b: &Shares) -> f64 {
    let mut apart = 0.0;
    let mut greatest: f64 = 0.0;
    for (x, y) in a.by_bin().iter().zip(b.by_bin()) {
        apart += x - y;
        greatest = greatest.max(f64::abs(apart));
    }
    greatest.min(1.0)
}

/// The one-sided statistic: how far `a` lies below `b`, 0 (nowhere) to 1 (all of it).
pub fn lower(a: &Shares, b: &Shares) -> f64 {
    let mut apart = 0.0;
    let mut greatest: f64 = 0.0;
    for (x, y) in a.by_bin().iter().zip(b.by_bin()) {
        apart += x - y;
        greatest = greatest.max(apart);
    }
    greatest.clamp(0.0, 1.0)
}

/// The statistic that samples of `n` and `m` from one distribution pass with a
/// probability of at most [`ALPHA`]; above 1, and so never passed, for small ones.
pub fn critical(n: u64, m: u64) -> f64 {
    let (n, m) = (n as f64, m as f64);
    (-(ALPHA / 2.0).ln() / 2.0).sqrt() * ((n + m) / (n * m)).sqrt()
}

/// The statistic of two samples, and whether chance alone would rarely make it
/// so great. Nothing if one of them is empty.
pub fn compare(a: &ScoreHistogram, b: &ScoreHistogram) -> Option<(f64, bool)> {
    let statistic = kolmogorov_smirnov(&a.shares()?, &b.shares()?);
    Some((statistic, statistic > critical(a.total(), b.total())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::figures::BINS;
    use proptest::prelude::*;

    fn all_in(bin: usize, n: u64) -> ScoreHistogram {
        let mut counts = [0; BINS];
        counts[bin] = n;
        ScoreHistogram::new(counts)
    }

    #[test]
    fn nothing_in_common_is_one_and_an_empty_sample_says_nothing() {
        assert_eq!(compare(&all_in(3, 100), &all_in(4, 100)), Some((1.0, true)));
        assert_eq!(compare(&all_in(3, 100), &all_in(3, 7)), Some((0.0, false)));
        assert_eq!(compare(&all_in(3, 100), &ScoreHistogram::default()), None);
        // Of two settlements nothing follows.
        assert_eq!(compare(&all_in(3, 2), &all_in(4, 2)), Some((1.0, false)));
    }

    #[test]
    fn what_lies_higher_is_not_lower() {
        let (low, high) = (all_in(3, 9).shares().unwrap(), all_in(30, 9).shares().unwrap());
        assert_eq!((lower(&low, &high), lower(&high, &low), lower(&low, &low)), (1.0, 0.0, 0.0));
    }

    #[test]
    fn the_critical_value_is_the_one_of_the_tables() {
        // 1.9495 at the level 0.001, times sqrt(1/n + 1/m).
        assert!((critical(500, 500) - 0.1233).abs() < 1e-4);
        assert!((critical(500, 200) - 0.1631).abs() < 1e-4);
    }

    proptest! {
        #[test]
        fn it_is_a_distance(
            a in proptest::collection::vec(0u64..50, BINS), b in proptest::collection::vec(0u64..50, BINS),
            c in proptest::collection::vec(0u64..50, BINS))
        {
            let of = |v: Vec<u64>| ScoreHistogram::new(v.try_into().unwrap()).shares();
            let (Some(a), Some(b), Some(c)) = (of(a), of(b), of(c)) else { return Ok(()) };
            let d = kolmogorov_smirnov;
            prop_assert_eq!(d(&a, &a), 0.0);
            prop_assert!((0.0..=1.0).contains(&d(&a, &b)));
            prop_assert!((d(&a, &b) - d(&b, &a)).abs() < 1e-12);
            prop_assert!(d(&a, &c) <= d(&a, &b) + d(&b, &c) + 1e-12);
        }
    }
}
