//! How well templates under two transforms can be told to be of one person.
//!
//! For single templates the global linkability `D_sys` of M. Gomez-Barrero, J.
//! Galbally, C. Rathgeb and C. Busch, "General Framework to Evaluate
//! Unlinkability in Biometric Template Protection Systems", IEEE Transactions
//! on Information Forensics and Security 13(6), 2018, doi
//! 10.1109/TIFS.2017.2788000: with `p(s|m)` and `p(s|n)` the densities of the
//! linkage score of mated and non-mated templates, both taken for equally
//! likely beforehand,
//!
//! ```text
//! D(s)  = max(0, (p(s|m) - p(s|n)) / (p(s|m) + p(s|n)))
//! D_sys = integral of p(s|m) D(s) ds        0: unlinkable, 1: fully linkable
//! ```
//!
//! which is their definition with `LR = p(s|m) / p(s|n)` written out. Densities
//! are histograms, so that scores without any relation give a little more than
//! 0; [`Linkability::chance`] says how much.
//!
//! For whole sets, how many members are found again by their distances to the
//! others, which an orthogonal transform keeps. Nothing here knows a name.

use serde::Serialize;

use super::backdrop::Dice;
use super::rates::Interval;

/// Samples drawn for an interval, and shuffles for the level of chance.
const RESAMPLES: usize = 200;

/// The linkage score of two templates.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Whose the first one is; scores of one person are drawn together.
    pub person: usize,
    /// Whether both are of one person.
    pub mated: bool,
    /// Higher means more alike.
    pub score: f64,
}

/// `D_sys` with what a reader needs to judge it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Linkability {
    /// `D_sys`, 0 to 1.
    pub d_sys: f64,
    /// 1.96 standard deviations about it, over samples of the people drawn with
    /// replacement. Not the samples' own percentiles: drawing makes histograms
    /// rougher, and every sample's `D_sys` is a little higher than this one.
    pub ci95: Interval,
    /// Between which values 95 % of `D_sys` lie if the same scores are mated and
    /// non-mated at random: what no linkability at all looks like.
    pub chance: Interval,
}

impl Linkability {
    /// Measures it. `None` without mated or non-mated scores.
    pub fn of(links: &[Link]) -> Option<Self> {
        let d = d_sys(links.iter())?;
        let mut dice = Dice::new(1);
        let people = links.iter().map(|l| l.person).max()? + 1;
        let mut of_person: Vec<Vec<&Link>> = vec![Vec::new(); people];
        links.iter().for_each(|l| of_person[l.person].push(l));
        of_person.retain(|p| !p.is_empty());
        let sample = |dice: &mut Dice| {
            let drawn: Vec<&Link> = (0..of_person.len())
                .flat_map(|_| &of_person[below(dice, of_person.len())])
                .copied()
                .collect();
            d_sys(drawn.into_iter())
        };
        let samples: Vec<f64> = (0..RESAMPLES).filter_map(|_| sample(&mut dice)).collect();
        let mut shuffled = links.to_vec();
        let shuffles = (0..RESAMPLES)
            .filter_map(|_| {
                for i in (1..shuffled.len()).rev() {
                    let j = below(&mut dice, i + 1);
                    let (a, b) = (shuffled[i].score, shuffled[j].score);
                    (shuffled[i].score, shuffled[j].score) = (b, a);
                }
                d_sys(shuffled.iter())
            })
            .collect();
        let reach = 1.96 * deviation(&samples);
        let ci95 = Interval { low: (d - reach).max(0.0), high: (d + reach).min(1.0) };
        Some(Self { d_sys: d, ci95, chance: middle(shuffles)? })
    }
}

fn below(dice: &mut Dice, n: usize) -> usize {
    (dice.bits() % n as u64) as usize
}

fn deviation(values: &[f64]) -> f64 {
    let n = values.len().max(2) as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()
}

/// The middle 95 %.
fn middle(mut values: Vec<f64>) -> Option<Interval> {
    values.sort_by(f64::total_cmp);
    let at =
        |share: f64| values.get((share * (values.len().checked_sub(1)? as f64)).round() as usize).copied();
    Some(Interval { low: at(0.025)?, high: at(0.975)? })
}

/// `D_sys` from histograms of as many bins as the paper's tool takes: one for
/// each ten mated scores, at most 100.
fn d_sys<'a>(links: impl Iterator<Item = &'a Link> + Clone) -> Option<f64> {
    let low = links.clone().map(|l| l.score).fold(f64::INFINITY, f64::min);
    let high = links.clone().map(|l| l.score).fold(f64::NEG_INFINITY, f64::max);
    let mated = links.clone().filter(|l| l.mated).count();
    let bins = (mated / 10).clamp(1, 100);
    let (mut of_mated, mut of_others) = (vec![0u32; bins], vec![0u32; bins]);
    for link in links {
        let at = ((link.score - low) / (high - low) * bins as f64) as usize;
        let bin = at.min(bins - 1);
        if link.mated { of_mated[bin] += 1 } else { of_others[bin] += 1 }
    }
    let others: u32 = of_others.iter().sum();
    if mated == 0 || others == 0 {
        return None;
    }
    let share = of_mated.iter().zip(&of_others).map(|(m, n)| {
        let (m, n) = (f64::from(*m) / mated as f64, f64::from(*n) / f64::from(others));
        if m > n { m * (m - n) / (m + n) } else { 0.0 }
    });
    Some(share.sum())
}

/// The share of the members of `a` whose own counterpart in `b`, at the same
/// place, is the member of `b` with the most similar distances to the others of
/// its set. The order is not used, and neither are scores between the sets: it
/// works between any two transforms.
pub fn found_by_geometry(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let (a, b) = (profiles(a), profiles(b));
    let apart = |p: &[f64], q: &[f64]| p.iter().zip(q).map(|(x, y)| (x - y).powi(2)).sum::<f64>();
    let nearest = |p: &[f64]| (0..b.len()).min_by(|i, j| apart(p, &b[*i]).total_cmp(&apart(p, &b[*j])));
    let found = a.iter().enumerate().filter(|(i, p)| nearest(p) == Some(*i)).count();
    found as f64 / a.len().max(1) as f64
}

/// Each member's inner products with the others, ascending.
fn profiles(set: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let profile = |i: usize| {
        let others = set.iter().enumerate().filter(|(j, _)| *j != i);
        let mut products: Vec<f64> = others.map(|(_, v)| dot(&set[i], v)).collect();
        products.sort_by(f64::total_cmp);
        products
    };
    (0..set.len()).map(profile).collect()
}

/// The inner product.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::transform::TransformKey;
    use proptest::prelude::*;

    fn links(mated: impl Fn(f64) -> f64, non_mated: impl Fn(f64) -> f64) -> Vec<Link> {
        let mut dice = Dice::new(7);
        (0..4000)
            .map(|i| {
                let (x, mated_one) = (f64::from(dice.between(0.0, 1.0)), i % 2 == 0);
                let score = if mated_one { mated(x) } else { non_mated(x) };
                Link { person: i / 8, mated: mated_one, score }
            })
            .collect()
    }

    #[test]
    fn known_densities_have_their_known_linkability() {
        // Apart: fully linkable. The same: only chance. Half of the mated ones alone, the other
        // half among twice as dense others: 0.5 * 1 + 0.
        let apart = Linkability::of(&links(|x| 2.0 + x, |x| x)).unwrap();
        assert!((apart.d_sys - 1.0).abs() < 1e-9 && apart.chance.high < 0.1, "{apart:?}");
        let same = Linkability::of(&links(|x| x, |x| x)).unwrap();
        assert!(same.d_sys < 0.08 && same.d_sys <= same.chance.high * 1.2, "{same:?}");
        let half = Linkability::of(&links(|x| x * 2.0, |x| x)).unwrap();
        assert!((half.d_sys - 0.5).abs() < 0.03, "{half:?}");
        assert!(half.ci95.low <= half.d_sys && half.d_sys <= half.ci95.high, "{half:?}");
        // Two triangles, p(s|m) = 2s and p(s|n) = 2(1-s): integral over s > 1/2 of 2s (2s - 1) = 5/12.
        let slanted = Linkability::of(&links(|x| x.sqrt(), |x| 1.0 - x.sqrt())).unwrap();
        assert!((slanted.d_sys - 5.0 / 12.0).abs() < 0.03, "{slanted:?}");
    }

    #[test]
    fn one_kind_alone_gives_no_figure() {
        let only: Vec<Link> = links(|x| x, |x| x).into_iter().filter(|l| l.mated).collect();
        assert!(Linkability::of(&only).is_none() && Linkability::of(&[]).is_none());
    }

    #[test]
    fn a_set_is_found_again_under_any_transform() {
        let mut dice = Dice::new(3);
        let set: Vec<Vec<f32>> =
            (0..40).map(|_| (0..16).map(|_| dice.between(-1.0, 1.0)).collect()).collect();
        let under = |key: u8| -> Vec<Vec<f32>> {
            let t = TransformKey::new([key; 32]).transform(16);
            set.iter().map(|v| t.apply(v).unwrap().to_vec()).collect()
        };
        assert_eq!(found_by_geometry(&under(1), &under(2)), 1.0);
        let others: Vec<Vec<f32>> =
            (0..40).map(|_| (0..16).map(|_| dice.between(-1.0, 1.0)).collect()).collect();
        assert!(found_by_geometry(&under(1), &others) < 0.2);
    }

    proptest! {
        #[test]
        fn linkability_is_a_share(rows in proptest::collection::vec((0usize..9, any::<bool>(), -1f64..1.0), 0..60)) {
            let links: Vec<Link> =
                rows.iter().map(|(person, mated, score)| Link { person: *person, mated: *mated, score: *score }).collect();
            if let Some(l) = Linkability::of(&links) {
                for v in [l.d_sys, l.ci95.low, l.ci95.high, l.chance.low, l.chance.high] {
                    prop_assert!((0.0..=1.0).contains(&v), "{:?}", l);
                }
            }
        }
    }
}
