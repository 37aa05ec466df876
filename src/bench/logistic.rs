//! From scores to log-likelihood ratios: linear logistic regression and the
//! cost of its result.
//!
//! Both kinds of scores weigh the same, whatever their numbers, so that the
//! result is a likelihood ratio and not a posterior (N. Brümmer and J. du Preez,
//! "Application-independent evaluation of speaker detection", 2006). Pure
//! functions; nothing here knows whose scores they are.

/// A score and whether it is of one person.
pub type Sample = (f32, bool);

/// `offset + slope * score`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// At score 0.
    pub offset: f64,
    /// A score of 1 more.
    pub slope: f64,
}

impl Line {
    /// The log-likelihood ratio of a score.
    pub fn llr(self, score: f32) -> f64 {
        self.offset + self.slope * f64::from(score)
    }

    /// The line that costs least (Newton's method), its slope held back a little
    /// so that scores that do not overlap still give a finite one. `None` without
    /// samples of both kinds, or if likeness does not rise with the score.
    pub fn fit(samples: &[Sample]) -> Option<Self> {
        const HOLD: f64 = 1e-6;
        let genuine = samples.iter().filter(|s| s.1).count();
        let weight = |same: bool| 0.5 / if same { genuine } else { samples.len() - genuine } as f64;
        if genuine == 0 || genuine == samples.len() {
            return None;
        }
        let mut line = Self { offset: 0.0, slope: 1.0 };
        for _ in 0..100 {
            let (mut g, mut h) = ([0.0, HOLD * line.slope], [1e-12, 0.0, HOLD]);
            for (score, same) in samples {
                let (x, w) = (f64::from(*score), weight(*same));
                let p = 1.0 / (1.0 + (-line.llr(*score)).exp());
                let (e, v) = (w * (p - f64::from(u8::from(*same))), w * p * (1.0 - p));
                g = [g[0] + e, g[1] + e * x];
                h = [h[0] + v, h[1] + v * x, h[2] + v * x * x];
            }
            let determinant = h[0] * h[2] - h[1] * h[1];
            // Steps of at most 10, since far out the curve is flat and a step would run away.
            let step = |a: f64, b: f64, c: f64, d: f64| ((a * b - c * d) / determinant).clamp(-10.0, 10.0);
            let by = [step(h[2], g[0], h[1], g[1]), step(h[0], g[1], h[1], g[0])];
            line = Self { offset: line.offset - by[0], slope: line.slope - by[1] };
            if by[0].abs() + by[1].abs() < 1e-9 {
                break;
            }
        }
        (line.offset.is_finite() && line.slope.is_finite() && line.slope > 0.0).then_some(line)
    }
}

/// Cost of log-likelihood ratios in bits, Cllr: 0 tells everything, 1 nothing.
pub fn cllr(ratios: impl Iterator<Item = (f64, bool)>) -> f64 {
    let (mut cost, mut n) = ([0.0f64; 2], [0.0f64; 2]);
    for (llr, same) in ratios {
        let kind = usize::from(same);
        cost[kind] += (if same { -llr } else { llr }).exp().ln_1p();
        n[kind] += 1.0;
    }
    (cost[0] / n[0] + cost[1] / n[1]) / (2.0 * std::f64::consts::LN_2)
}

/// The least cost that any rising map of these scores reaches: that of the
/// isotonic one (pool adjacent violators; M. Ayer and others, 1955).
pub fn least_cllr(samples: &[Sample]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let genuine = samples.iter().filter(|s| s.1).count() as f64;
    let impostor = samples.len() as f64 - genuine;
    // Blocks of neighbours: their genuine and impostor members.
    let mut blocks: Vec<[f64; 2]> = Vec::new();
    let share = |b: &[f64; 2]| b[1] / (b[0] + b[1]);
    let mut last = None;
    for (score, same) in sorted {
        let one = if same { [0.0, 1.0] } else { [1.0, 0.0] };
        match blocks.last_mut() {
            // Equal scores cannot be told apart.
            Some(b) if last == Some(score) => *b = [b[0] + one[0], b[1] + one[1]],
            _ => blocks.push(one),
        }
        last = Some(score);
        while let [.., a, b] = blocks[..] {
            if share(&a) < share(&b) {
                break;
            }
            blocks.truncate(blocks.len() - 2);
            blocks.push([a[0] + b[0], a[1] + b[1]]);
        }
    }
    let mut cost = [0.0; 2];
    for b in &blocks {
        let ratio = (b[1] / genuine) / (b[0] / impostor);
        for (kind, members) in b.iter().enumerate().filter(|(_, m)| **m > 0.0) {
            cost[kind] += members * (if kind == 1 { 1.0 / ratio } else { ratio }).ln_1p();
        }
    }
    (cost[0] / impostor + cost[1] / genuine) / (2.0 * std::f64::consts::LN_2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::backdrop::Dice;
    use proptest::prelude::*;

    /// Two normal distributions, standard deviation 0.1 each, 0.35 apart: their
    /// true ratio is a line of slope 35 through 0 in the middle.
    fn normal(n: usize) -> Vec<Sample> {
        let mut dice = Dice::new(3);
        let mut sum = || (0..12).map(|_| dice.between(0.0, 1.0)).sum::<f32>() - 6.0;
        (0..n).map(|i| (sum() * 0.1 + if i % 2 == 0 { 0.35 } else { 0.0 }, i % 2 == 0)).collect()
    }

    #[test]
    fn the_line_of_two_normal_distributions_is_found() {
        let samples = normal(20_000);
        let line = Line::fit(&samples).unwrap();
        assert!((line.slope / 35.0 - 1.0).abs() < 0.15, "{line:?}");
        assert!((line.llr(0.175)).abs() < 0.5, "{line:?}");
        let cost = cllr(samples.iter().map(|(s, g)| (line.llr(*s), *g)));
        let least = least_cllr(&samples);
        assert!(least <= cost && cost < least + 0.02, "{cost} {least}");
    }

    #[test]
    fn scores_that_say_nothing_cost_one_bit_and_fall_to_no_line() {
        assert!((cllr([(0.0, true), (0.0, false)].into_iter()) - 1.0).abs() < 1e-12);
        assert_eq!(Line::fit(&[(0.1, true)]), None);
        let turned: Vec<Sample> = normal(200).into_iter().map(|(s, g)| (s, !g)).collect();
        assert_eq!(Line::fit(&turned), None);
    }

    #[test]
    fn scores_apart_give_a_finite_line_and_no_least_cost() {
        let samples = [(0.8, true), (0.9, true), (0.1, false), (0.2, false)];
        let line = Line::fit(&samples).unwrap();
        assert!(line.llr(0.9) > 3.0 && line.llr(0.1) < -3.0, "{line:?}");
        assert!(least_cllr(&samples) < 1e-12);
    }

    proptest! {
        #[test]
        fn no_line_costs_less_than_the_least(samples in proptest::collection::vec((-1f32..1.0, any::<bool>()), 4..60)) {
            prop_assume!(samples.iter().any(|s| s.1) && samples.iter().any(|s| !s.1));
            if let Some(line) = Line::fit(&samples) {
                let cost = cllr(samples.iter().map(|(s, g)| (line.llr(*s), *g)));
                prop_assert!(least_cllr(&samples) <= cost + 1e-9, "{cost}");
            }
        }
    }
}
