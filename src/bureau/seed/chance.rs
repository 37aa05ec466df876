//! Chance that can be repeated: what a seed leads to, and nothing secret.

/// Numbers that look like chance and follow from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(super) const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to, and without, 1.
    pub(super) fn share(&mut self) -> f64 {
        // 53 bits are what a double holds.
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 up to, and without, `n`; 0 if there is nothing to choose.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.share() * n as f64) as usize
    }

    /// Whether what happens with this probability happens.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// Of a normal distribution (Box and Muller).
    pub(super) fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        mean + deviation * radius * (std::f64::consts::TAU * self.share()).cos()
    }

    /// One of some, each as likely as its weight says.
    pub(super) fn weighted<'t, T>(&mut self, some: &'t [(f64, T)]) -> Option<&'t T> {
        let whole: f64 = some.iter().map(|(weight, _)| weight).sum();
        let mut at = self.share() * whole;
        let found = some.iter().find(|(weight, _)| {
            at -= weight;
            at < 0.0
        });
        found.or(some.last()).map(|(_, thing)| thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_leads_to_the_same_and_numbers_are_spread() {
        let (mut a, mut b) = (Chance::new(7), Chance::new(7));
        assert!((0..100).all(|_| a.bits() == b.bits()));
        let n = 20_000;
        let mean = (0..n).map(|_| a.share()).sum::<f64>() / f64::from(n);
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        let values: Vec<f64> = (0..n).map(|_| a.normal(3.0, 2.0)).collect();
        let mean = values.iter().sum::<f64>() / f64::from(n);
        let spread = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(n)).sqrt();
        assert!((mean - 3.0).abs() < 0.1 && (spread - 2.0).abs() < 0.1, "{mean} {spread}");
        let heads = (0..n).filter(|_| a.weighted(&[(3.0, true), (1.0, false)]) == Some(&true)).count();
        assert!((14_500..15_500).contains(&heads), "{heads}");
        assert_eq!(a.weighted::<u8>(&[]), None);
    }
}
