//! A share of many, and how sure it is.
//!
//! Pure. What the share is of, and whether its trials are independent, is for
//! whoever asks.

use serde::Serialize;

/// A 95 % interval of a share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end, 0 to 1.
    pub low: f64,
    /// Upper end, 0 to 1.
    pub high: f64,
}

/// Wilson's score interval for `part` of `whole` at 95 %; 0 to 1 of nothing.
/// It takes the trials for independent: pairs that share a person are less
/// than that, so the true interval is somewhat wider.
///
/// E. B. Wilson, Probable inference, the law of succession, and statistical
/// inference, Journal of the American Statistical Association 22 (1927) 209-212.
pub fn wilson(part: usize, whole: usize) -> Interval {
    const Z: f64 = 1.959_963_984_540_054;
    if whole == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let n = whole as f64;
    let p = part as f64 / n;
    let z2n = Z * Z / n;
    let centre = (p + z2n / 2.0) / (1.0 + z2n);
    let half = Z * (p * (1.0 - p) / n + z2n / (4.0 * n)).sqrt() / (1.0 + z2n);
    Interval { low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wilson_agrees_with_the_published_example() {
        assert_eq!(wilson(0, 0), Interval { low: 0.0, high: 1.0 });
        // 81 of 263: 0.2553 to 0.3662 (R. G. Newcombe, Statistics in Medicine 17, 1998, table I).
        let i = wilson(81, 263);
        assert!((i.low - 0.2553).abs() < 5e-5 && (i.high - 0.3662).abs() < 5e-5, "{i:?}");
    }

    proptest! {
        #[test]
        fn the_interval_holds_its_share(whole in 1usize..5000, part in any::<proptest::sample::Index>()) {
            let part = part.index(whole + 1);
            let i = wilson(part, whole);
            let p = part as f64 / whole as f64;
            prop_assert!(i.low <= p + 1e-12 && p <= i.high + 1e-12 && i.low >= 0.0 && i.high <= 1.0);
        }
    }
}
