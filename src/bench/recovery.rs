//! How well templates are recovered by somebody who knows some of them and how
//! they look under a box's transform.
//!
//! With `x` the known templates and `y` the protected ones, a protected
//! template `z` is taken back to `X (YᵀY + λ)⁻¹ Yᵀ z`: regularised least squares
//! over the known pairs. If the pairs are exact this is the part of the template
//! in the span of the known ones, and all of it once they span the space: as
//! good as an orthogonal Procrustes fit, without its singular values. For pairs
//! that are not exact (another photograph of the same person) a Procrustes fit
//! could do better; the figure is a lower bound for an attacker.

use super::linkage::dot;

/// What an attacker knows of one person.
pub struct Known<'a> {
    /// A template of the person, under no transform.
    pub template: &'a [f32],
    /// The person's protected reference.
    pub protected: &'a [f32],
}

/// Takes protected templates back with the help of known pairs.
pub struct Recovery<'a> {
    known: &'a [Known<'a>],
    /// Cholesky's factor of `YᵀY + λ`, lower triangle, row by row.
    factor: Vec<Vec<f64>>,
}

impl<'a> Recovery<'a> {
    /// Solves for what the known pairs tell. `lambda` is above 0: the larger,
    /// the less the pairs are believed. `None` if they cannot be solved for.
    pub fn of(known: &'a [Known<'a>], lambda: f64) -> Option<Self> {
        let mut factor: Vec<Vec<f64>> = Vec::with_capacity(known.len());
        for (i, pair) in known.iter().enumerate() {
            let mut row: Vec<f64> = Vec::with_capacity(i + 1);
            for (j, done) in factor.iter().enumerate() {
                let along: f64 = row.iter().zip(done).map(|(a, b)| a * b).sum();
                row.push((dot(pair.protected, known[j].protected) - along) / done[j]);
            }
            let left = dot(pair.protected, pair.protected) + lambda - row.iter().map(|v| v * v).sum::<f64>();
            if left <= 0.0 {
                return None;
            }
            row.push(left.sqrt());
            factor.push(row);
        }
        Some(Self { known, factor })
    }

    /// The best guess at the template behind a protected one.
    pub fn template(&self, protected: &[f32]) -> Vec<f64> {
        let n = self.known.len();
        let mut weights: Vec<f64> = Vec::with_capacity(n);
        for (row, pair) in self.factor.iter().zip(self.known) {
            let along: f64 = row.iter().zip(&weights).map(|(a, b)| a * b).sum();
            weights.push((dot(pair.protected, protected) - along) / row[weights.len()]);
        }
        for i in (0..n).rev() {
            let along: f64 = (i + 1..n).map(|j| self.factor[j][i] * weights[j]).sum();
            weights[i] = (weights[i] - along) / self.factor[i][i];
        }
        let mut out = vec![0.0; protected.len()];
        for (pair, weight) in self.known.iter().zip(weights) {
            out.iter_mut().zip(pair.template).for_each(|(o, v)| *o += weight * f64::from(*v));
        }
        out
    }
}

/// Cosine of a guess and the truth; 0 if there is no guess.
pub fn cosine(guess: &[f64], truth: &[f32]) -> f64 {
    let product: f64 = guess.iter().zip(truth).map(|(g, t)| g * f64::from(*t)).sum();
    let length = guess.iter().map(|g| g * g).sum::<f64>().sqrt() * dot(truth, truth).sqrt();
    if length > 0.0 { product / length } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::backdrop::Dice;
    use crate::crypto::transform::TransformKey;

    fn vectors(n: usize, dimension: usize, seed: u64) -> Vec<Vec<f32>> {
        let mut dice = Dice::new(seed);
        (0..n).map(|_| (0..dimension).map(|_| dice.between(-1.0, 1.0)).collect()).collect()
    }

    /// Mean cosine of what is recovered of vectors in 16 random directions.
    fn recovered(pairs: usize) -> f64 {
        let transform = TransformKey::new([3; 32]).transform(16);
        let templates = vectors(pairs + 20, 16, 5);
        let protected: Vec<Vec<f32>> =
            templates.iter().map(|v| transform.apply(v).unwrap().to_vec()).collect();
        let known: Vec<Known<'_>> = templates
            .iter()
            .zip(&protected)
            .take(pairs)
            .map(|(template, protected)| Known { template, protected })
            .collect();
        let attack = Recovery::of(&known, 1e-6).unwrap();
        let targets = templates.iter().zip(&protected).skip(pairs);
        targets.map(|(t, p)| cosine(&attack.template(p), t)).sum::<f64>() / 20.0
    }

    #[test]
    fn as_many_exact_pairs_as_dimensions_undo_a_transform_and_half_of_them_half_of_it() {
        assert!(recovered(16) > 0.9999 && recovered(30) > 0.9999, "{} {}", recovered(16), recovered(30));
        // The share of a random direction in half of the dimensions.
        assert!((recovered(8) - 0.5f64.sqrt()).abs() < 0.12, "{}", recovered(8));
        assert_eq!(recovered(0), 0.0);
    }
}
