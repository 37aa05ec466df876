//! Counting how settlements ended, as ISO/IEC 19795-1 asks: events, sample,
//! and an interval that knows that settlements of one person are not independent.
//!
//! Two intervals stand beside each share. Wilson's takes settlements for
//! independent, which is too good. The other resamples people (a bootstrap by
//! person); without any event it gives nothing, and the rule of three on people
//! takes its place: none in n people means at most 3/n, at 95 %.

use std::collections::BTreeMap;

use super::backdrop::Dice;
use super::rates::{Interval, wilson};
use crate::protocol::verdict::Outcome;
use crate::verify::calibration::Share;

/// Samples of people that an interval rests on.
const RESAMPLES: usize = 1000;

/// Settlements of one kind.
#[derive(Default)]
pub struct Tally {
    all: Vec<(usize, Outcome)>,
}

impl Tally {
    /// A settlement of a person ended.
    pub fn add(&mut self, person: usize, outcome: Outcome) {
        self.all.push((person, outcome));
    }

    /// How many settlements.
    pub fn settlements(&self) -> usize {
        self.all.len()
    }

    /// How many people.
    pub fn people(&self) -> usize {
        self.by_person(|_| false).len()
    }

    /// How many ended so.
    pub fn count(&self, is: impl Fn(Outcome) -> bool) -> usize {
        self.all.iter().filter(|(_, o)| is(*o)).count()
    }

    /// The share that ended so; 0 of nothing.
    pub fn share(&self, is: impl Fn(Outcome) -> bool) -> f64 {
        self.count(is) as f64 / self.all.len().max(1) as f64
    }

    /// Reasons of those that were neither match nor mismatch.
    pub fn reasons(&self) -> BTreeMap<&'static str, usize> {
        let mut out = BTreeMap::new();
        for (_, o) in self.all.iter().filter(|(_, o)| is_inconclusive(*o)) {
            *out.entry(o.reason()).or_default() += 1;
        }
        out
    }

    /// Events and settlements of each person.
    fn by_person(&self, is: impl Fn(Outcome) -> bool) -> Vec<(f64, f64)> {
        let mut people: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
        for (person, outcome) in &self.all {
            let entry = people.entry(*person).or_default();
            entry.0 += f64::from(u8::from(is(*outcome)));
            entry.1 += 1.0;
        }
        people.into_values().collect()
    }

    /// 95 % interval when people are resampled; by the rule of three where
    /// nobody, or everybody, had the event in every settlement.
    pub fn by_people(&self, is: impl Fn(Outcome) -> bool) -> Interval {
        let people = self.by_person(is);
        let n = people.len();
        if n == 0 {
            return Interval { low: 0.0, high: 1.0 };
        }
        let rule_of_three = (3.0 / n as f64).min(1.0);
        if people.iter().all(|p| p.0 == 0.0) {
            return Interval { low: 0.0, high: rule_of_three };
        }
        if people.iter().all(|p| p.0 == p.1) {
            return Interval { low: 1.0 - rule_of_three, high: 1.0 };
        }
        // A fixed seed: the same data give the same interval.
        let mut dice = Dice::new(1);
        let mut shares: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let drawn = (0..n).map(|_| people[(dice.bits() % n as u64) as usize]);
                let (events, of) = drawn.fold((0.0, 0.0), |(e, o), p| (e + p.0, o + p.1));
                events / of
            })
            .collect();
        shares.sort_by(f64::total_cmp);
        Interval { low: shares[RESAMPLES * 25 / 1000], high: shares[RESAMPLES * 975 / 1000 - 1] }
    }

    /// Wilson's interval, which takes settlements for independent.
    pub fn wilson(&self, is: impl Fn(Outcome) -> bool) -> Interval {
        wilson(self.count(is), self.all.len())
    }

    /// The share with its sample, for a calibration.
    pub fn measured(&self, is: impl Fn(Outcome) -> bool + Copy) -> Share {
        let Interval { low, high } = self.by_people(is);
        // To six places: what is behind is not known.
        let round = |v: f64| (v * 1e6).round() / 1e6;
        Share { events: self.count(is) as u64, of: self.all.len() as u64, ci95: [round(low), round(high)] }
    }
}

/// A match.
pub fn is_match(o: Outcome) -> bool {
    o == Outcome::Match
}

/// An alert.
pub fn is_mismatch(o: Outcome) -> bool {
    o == Outcome::Mismatch
}

/// Neither.
pub fn is_inconclusive(o: Outcome) -> bool {
    !is_match(o) && !is_mismatch(o)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::verdict::Inconclusive;
    use proptest::prelude::*;

    #[test]
    fn no_event_in_ten_people_means_at_most_three_in_ten() {
        let mut t = Tally::default();
        (0..1000).for_each(|i| t.add(i % 10, Outcome::Match));
        assert_eq!(t.by_people(is_mismatch), Interval { low: 0.0, high: 0.3 });
        assert_eq!(t.by_people(is_match).low, 0.7);
        assert!(wilson(0, 1000).high < 0.01);
    }

    #[test]
    fn events_of_one_person_are_less_sure_than_events_of_many() {
        let of = |one: bool| {
            let mut t = Tally::default();
            for i in 0..1000 {
                let event = if one { i % 50 == 0 } else { i < 20 };
                t.add(i % 50, if event { Outcome::Mismatch } else { Outcome::Match });
            }
            t.by_people(is_mismatch)
        };
        assert!(of(true).high > of(false).high);
    }

    #[test]
    fn reasons_are_counted() {
        let mut t = Tally::default();
        t.add(0, Outcome::Inconclusive(Inconclusive::Blurred));
        t.add(1, Outcome::Match);
        assert_eq!(t.reasons(), BTreeMap::from([("blurred", 1)]));
        assert_eq!((t.people(), t.share(is_inconclusive)), (2, 0.5));
    }

    proptest! {
        #[test]
        fn an_interval_holds_its_share(events in proptest::collection::vec((0usize..8, any::<bool>()), 1..120)) {
            let mut t = Tally::default();
            events.iter().for_each(|(p, e)| t.add(*p, if *e { Outcome::Mismatch } else { Outcome::Match }));
            let Interval { low, high } = t.by_people(is_mismatch);
            prop_assert!(0.0 <= low && low <= high && high <= 1.0);
            prop_assert!(low <= t.share(is_mismatch) + 1e-9 || t.people() == 1);
        }
    }
}
