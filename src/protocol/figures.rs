//! Figures of many settlements: counts by verdict, and how often which
//! comparison score was found. Nothing in them is about one person.
//!
//! A score says something about a person's face, so it leaves a verification
//! only as one more in a bin of [`ScoreHistogram`]. What a calibration found on
//! the people that it was made with is [`Expected`]. Both are numbers and
//! nothing else; what follows from them is for `commissioning`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::verdict::{Inconclusive, NotAssessed, Outcome};

/// Bins from -1 to 1, all equally wide: 0.05.
pub const BINS: usize = 40;
/// Shares are printed with a few decimals; their sum may be off by this.
const ROUNDING: f64 = 1e-3;

/// How many settlements had a score in each bin. Bin `i` reaches from
/// `-1 + i/20` up to, and without, `-1 + (i+1)/20`; the last one holds 1 too.
/// Counts stay at their greatest value rather than wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScoreHistogram([u64; BINS]);

impl Default for ScoreHistogram {
    fn default() -> Self {
        Self([0; BINS])
    }
}

impl ScoreHistogram {
    /// From counts by bin.
    pub const fn new(counts: [u64; BINS]) -> Self {
        Self(counts)
    }

    /// Counts one settlement's score, -1 to 1; beyond that it goes into the
    /// outermost bin. What is not a number is not counted.
    pub fn add(&mut self, score: f32) {
        if score.is_nan() {
            return;
        }
        if let Some(count) = self.0.get_mut(bin_of(score)) {
            *count = count.saturating_add(1);
        }
    }

    /// Counts everything that another one counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// The counts by bin.
    pub const fn counts(&self) -> &[u64; BINS] {
        &self.0
    }

    /// Settlements counted.
    pub fn total(&self) -> u64 {
        self.0.iter().copied().fold(0, u64::saturating_add)
    }

    /// The share of each bin; nothing if nothing was counted.
    pub fn shares(&self) -> Option<Shares> {
        let total: f64 = self.0.iter().map(|n| *n as f64).sum();
        (total > 0.0).then(|| Shares(self.0.map(|n| n as f64 / total)))
    }

    /// The lower and the upper border of a bin.
    pub fn borders(bin: usize) -> (f64, f64) {
        let at = |i: usize| -1.0 + i as f64 * 2.0 / BINS as f64;
        (at(bin), at(bin + 1))
    }
}

/// The bin of a score, -1 to 1; beyond that, and for what is not a number, an
/// outermost one.
pub fn bin_of(score: f32) -> usize {
    // By the score in twentieths, as the bins' borders are: in single precision alone
    // a score on a border could fall on either side of it.
    let bin = ((f64::from(score) + 1.0) * (BINS as f64 / 2.0) + 1e-6).floor();
    bin.clamp(0.0, (BINS - 1) as f64) as usize
}

impl Serialize for ScoreHistogram {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.as_slice().serialize(s)
    }
}

impl<'de> Deserialize<'de> for ScoreHistogram {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        numbers(Vec::deserialize(d)?).map(Self)
    }
}

fn numbers<T, E: de::Error>(found: Vec<T>) -> Result<[T; BINS], E> {
    let n = found.len();
    <[T; BINS]>::try_from(found)
        .map_err(|_| E::custom(format!("found {n} numbers; expected {BINS}, one for each bin from -1 to 1")))
}

/// The share of settlements in each bin, 0 to 1, together 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares([f64; BINS]);

/// Numbers that are not shares.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum NotShares {
    /// One is below 0, above 1, or no number.
    #[error("found {0}; a share is 0 to 1")]
    Share(f64),
    /// They do not make a whole.
    #[error("the shares add up to {0}; expected 1")]
    Sum(f64),
}

impl Shares {
    /// Checks that they are shares of one whole; a sum that is off by rounding is put right.
    ///
    /// # Errors
    /// [`NotShares`]
    pub fn new(shares: [f64; BINS]) -> Result<Self, NotShares> {
        if let Some(bad) = shares.iter().find(|s| !(0.0..=1.0).contains(*s)) {
            return Err(NotShares::Share(*bad));
        }
        let sum: f64 = shares.iter().sum();
        if (sum - 1.0).abs() > ROUNDING {
            return Err(NotShares::Sum(sum));
        }
        Ok(Self(shares.map(|s| s / sum)))
    }

    /// The shares by bin.
    pub const fn by_bin(&self) -> &[f64; BINS] {
        &self.0
    }
}

impl Serialize for Shares {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.as_slice().serialize(s)
    }
}

impl<'de> Deserialize<'de> for Shares {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(numbers(Vec::deserialize(d)?)?).map_err(de::Error::custom)
    }
}

/// What a calibration found on the people that it was made with: the table
/// `[expected]` of a calibration file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Scores of settlements at which the cardholder was there.
    pub genuine: Shares,
    /// Scores of settlements at which a stranger was there.
    pub impostor: Shares,
    /// The share of genuine settlements that ended as inconclusive, 0 to 1.
    #[serde(deserialize_with = "share")]
    pub inconclusive_genuine: f64,
    /// Genuine settlements that were looked at, at least 1.
    #[serde(deserialize_with = "at_least_one")]
    pub settlements: u64,
}

fn share<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    let found = f64::deserialize(d)?;
    let fits = (0.0..=1.0).contains(&found);
    if fits { Ok(found) } else { Err(de::Error::custom(NotShares::Share(found))) }
}

fn at_least_one<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    match u64::deserialize(d)? {
        0 => Err(de::Error::custom("found 0 settlements; expected at least 1")),
        n => Ok(n),
    }
}

/// What became of many settlements.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Best pooled comparison scores of those that had one.
    pub scores: ScoreHistogram,
    /// Verdicts, by `verdict` or `verdict(reason)`.
    pub verdicts: BTreeMap<String, u64>,
}

impl Figures {
    /// Counts one settlement with its score, if it had one.
    pub fn count(&mut self, outcome: Outcome, score: Option<f32>) {
        let count = self.verdicts.entry(outcome.to_string()).or_default();
        *count = count.saturating_add(1);
        if let Some(score) = score {
            self.scores.add(score);
        }
    }

    /// Settlements with this verdict, whatever the reason.
    pub fn of(&self, verdict: &str) -> u64 {
        self.reasons(verdict).map(|(_, n)| n).fold(0, u64::saturating_add)
    }

    /// The reasons of a verdict with their counts; an empty one where it has none.
    pub fn reasons<'a>(&'a self, verdict: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
        self.verdicts.iter().filter_map(move |(key, n)| {
            let rest = key.strip_prefix(verdict)?;
            let reason = rest.strip_prefix('(').and_then(|r| r.strip_suffix(')'));
            (rest.is_empty() || reason.is_some()).then_some((reason.unwrap_or_default(), *n))
        })
    }

    /// Settlements at which it was looked: matches, mismatches and inconclusive ones.
    pub fn assessed(&self) -> u64 {
        ["match", "mismatch", "inconclusive"].iter().map(|v| self.of(v)).fold(0, u64::saturating_add)
    }

    /// The share of the assessed that is inconclusive; 0 if none was assessed.
    pub fn inconclusive_share(&self) -> f64 {
        match self.assessed() {
            0 => 0.0,
            n => self.of("inconclusive") as f64 / n as f64,
        }
    }

    /// Without verdicts that this version has no word for: what is signed has a bounded length.
    pub fn in_known_words(&self) -> Self {
        let reasons = Inconclusive::ALL.iter().map(|r| Outcome::Inconclusive(*r));
        let reasons = reasons.chain(NotAssessed::ALL.iter().map(|r| Outcome::NotAssessed(*r)));
        let known = reasons.chain(Outcome::PLAIN).map(|o| o.to_string());
        let kept = known.filter_map(|word| self.verdicts.get(&word).map(|n| (word, *n)));
        Self { scores: self.scores, verdicts: kept.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(scores: &[f32]) -> ScoreHistogram {
        let mut h = ScoreHistogram::default();
        scores.iter().for_each(|s| h.add(*s));
        h
    }

    #[test]
    fn a_score_on_a_border_belongs_to_the_bin_above_it() {
        for i in 0..BINS {
            let border = ScoreHistogram::borders(i).0 as f32;
            let h = of(&[border]);
            assert_eq!(h.counts().iter().position(|n| *n == 1), Some(i), "{border}");
        }
        let ends = of(&[1.0, 1.0001, -1.0, -7.0, f32::NAN]);
        assert_eq!((ends.counts()[0], ends.counts()[BINS - 1], ends.total()), (2, 2, 4));
    }

    #[test]
    fn shares_are_of_one_whole() {
        assert_eq!(ScoreHistogram::default().shares(), None);
        let mut even = [1.0 / BINS as f64; BINS];
        Shares::new(even).unwrap();
        even[0] = 0.5;
        assert!(matches!(Shares::new(even), Err(NotShares::Sum(_))));
        even[0] = f64::NAN;
        assert!(matches!(Shares::new(even), Err(NotShares::Share(_))));
    }

    #[test]
    fn what_a_calibration_expects_is_read_from_its_file_or_refused_by_name() {
        let one =
            |at: usize| (0..BINS).map(|i| if i == at { "1" } else { "0" }).collect::<Vec<_>>().join(",");
        let text = format!(
            "genuine = [{}]\nimpostor = [{}]\ninconclusive_genuine = 0.02\nsettlements = 900\n",
            one(34),
            one(21)
        );
        let expected: Expected = toml::from_str(&text).unwrap();
        assert_eq!(expected.genuine.by_bin()[34], 1.0);
        let back: Expected = toml::from_str(&toml::to_string(&expected).unwrap()).unwrap();
        assert_eq!(back, expected);
        for (from, to, said) in [
            ("= 0.02", "= 1.02", "a share is 0 to 1"),
            ("= 900", "= 0", "at least 1"),
            ("genuine = [0,", "genuine = [", "found 39 numbers; expected 40"),
            ("genuine = [0,", "genuine = [1,", "add up to 2"),
        ] {
            let e = toml::from_str::<Expected>(&text.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(e.contains(said), "{e}");
        }
    }

    #[test]
    fn verdicts_are_summed_over_their_reasons_and_unknown_words_are_left_out() {
        let mut f = Figures::default();
        f.count(Outcome::Match, Some(0.7));
        f.count(Outcome::Mismatch, Some(0.1));
        f.count(Outcome::Inconclusive(Inconclusive::NoFace), None);
        f.count(Outcome::Inconclusive(Inconclusive::Blurred), None);
        f.count(Outcome::NotAssessed(NotAssessed::NoReference), None);
        f.verdicts.insert("mismatched".into(), 9);
        assert_eq!((f.of("match"), f.of("mismatch"), f.of("inconclusive"), f.assessed()), (1, 1, 2, 4));
        assert_eq!((f.inconclusive_share(), f.scores.total()), (0.5, 2));
        let known = f.in_known_words();
        assert_eq!((known.verdicts.len(), known.verdicts.contains_key("mismatched")), (5, false));
    }

    proptest! {
        #[test]
        fn every_score_is_counted_once_and_merging_adds(
            a in proptest::collection::vec(-1.0f32..=1.0, 0..50), b in proptest::collection::vec(-1.0f32..=1.0, 0..50))
        {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            let all: Vec<f32> = a.iter().chain(&b).copied().collect();
            prop_assert_eq!(merged, of(&all));
            prop_assert_eq!(merged.total(), all.len() as u64);
            let text = serde_json::to_string(&merged).unwrap();
            prop_assert_eq!(serde_json::from_str::<ScoreHistogram>(&text).unwrap(), merged);
            if let Some(shares) = merged.shares() {
                prop_assert!((shares.by_bin().iter().sum::<f64>() - 1.0).abs() < 1e-9);
                prop_assert!(Shares::new(*shares.by_bin()).is_ok());
            }
        }
    }
}
