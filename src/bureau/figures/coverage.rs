//! Which share of the known counters was seen working, day by day.
//!
//! A counter is known from the day on which a box first named it, until its box
//! names it no more or is suspended. It counts as covered on a day on which its
//! camera was seen working for long enough; how long that is, is set, since nobody
//! tells the bureau when windows are open. So a day on which hospitals are closed and
//! switch their boxes off is a day without cover: it is not guessed away.

use std::collections::{BTreeMap, BTreeSet};

use super::calendar::{Day, Days};
use crate::protocol::id::HospitalId;

/// A counter that a box named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCounter {
    /// Where.
    pub hospital: HospitalId,
    /// Its name there.
    pub counter: String,
    /// From when on.
    pub first: Day,
    /// Until when, if it is no more.
    pub last: Option<Day>,
}

impl KnownCounter {
    /// Whether it is known on a day.
    pub fn on(&self, day: Day) -> bool {
        self.first <= day && self.last.is_none_or(|last| day <= last)
    }
}

/// Covered ones among known ones: counters of a day, or days of counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cover {
    /// How many were covered; at most as many as were known.
    pub covered: u64,
    /// How many were known.
    pub known: u64,
}

impl Cover {
    /// The share that was covered; nothing where none was known.
    pub fn share(self) -> Option<f64> {
        (self.known > 0).then(|| self.covered as f64 / self.known as f64)
    }

    fn add(&mut self, other: Self) {
        self.covered += other.covered;
        self.known += other.known;
    }
}

/// Coverage over some days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Counters of each day.
    pub by_day: BTreeMap<Day, Cover>,
    /// Days of all counters of each hospital together.
    pub by_hospital: BTreeMap<HospitalId, Cover>,
}

impl Coverage {
    /// From the counters that are known and how many of each hospital were covered on a day.
    pub fn of(days: Days, counters: &[KnownCounter], covered: &[(Day, HospitalId, u64)]) -> Self {
        let mut all: BTreeMap<(Day, &HospitalId), Cover> = BTreeMap::new();
        let hospitals: BTreeSet<&HospitalId> = counters.iter().map(|c| &c.hospital).collect();
        for day in days.each() {
            for counter in counters.iter().filter(|c| c.on(day)) {
                all.entry((day, &counter.hospital)).or_default().known += 1;
            }
        }
        for (day, hospital, n) in covered {
            if let Some(cover) = all.get_mut(&(*day, hospital)) {
                cover.covered = (*n).min(cover.known);
            }
        }
        let mut out = Self::default();
        out.by_day.extend(days.each().map(|d| (d, Cover::default())));
        out.by_hospital.extend(hospitals.into_iter().map(|h| (h.clone(), Cover::default())));
        for ((day, hospital), cover) in all {
            out.by_day.entry(day).or_default().add(cover);
            out.by_hospital.entry(hospital.clone()).or_default().add(cover);
        }
        out
    }

    /// All days of all counters together.
    pub fn whole(&self) -> Cover {
        self.by_day.values().fold(Cover::default(), |mut all, c| {
            all.add(*c);
            all
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn known(hospital: &str, counter: &str, first: i64, last: Option<i64>) -> KnownCounter {
        let day = Day::from_number;
        KnownCounter {
            hospital: hospital.parse().unwrap(),
            counter: counter.into(),
            first: day(first),
            last: last.map(day),
        }
    }

    #[test]
    fn a_counter_counts_from_its_first_day_to_its_last() {
        let day = Day::from_number;
        let counters =
            [known("H1", "w1", 10, None), known("H1", "w2", 11, Some(12)), known("H2", "w1", 99, None)];
        let covered = [(day(10), "H1".parse().unwrap(), 1), (day(11), "H1".parse().unwrap(), 1)];
        let days = Days { first: day(9), last: day(13) };
        let coverage = Coverage::of(days, &counters, &covered);
        let by_day: Vec<_> = coverage.by_day.values().map(|c| (c.covered, c.known)).collect();
        assert_eq!(by_day, [(0, 0), (1, 1), (1, 2), (0, 2), (0, 1)]);
        assert_eq!(coverage.whole(), Cover { covered: 2, known: 6 });
        assert_eq!(coverage.by_hospital[&"H2".parse().unwrap()].share(), None);
    }

    proptest! {
        #[test]
        fn no_more_are_covered_than_are_known(
            counters in proptest::collection::vec((0u8..3, 0u8..4, 0i64..20, proptest::option::of(0i64..20)), 0..9),
            covered in proptest::collection::vec((0i64..20, 0u8..3, 0u64..9), 0..30),
        ) {
            let counters: Vec<_> =
                counters.iter().map(|(h, c, f, l)| known(&format!("H{h}"), &format!("w{c}"), *f, *l)).collect();
            let covered: Vec<_> = covered
                .iter()
                .map(|(d, h, n)| (Day::from_number(*d), format!("H{h}").parse().unwrap(), *n))
                .collect();
            let days = Days { first: Day::from_number(0), last: Day::from_number(19) };
            let coverage = Coverage::of(days, &counters, &covered);
            let mut sum = Cover::default();
            for cover in coverage.by_hospital.values() {
                prop_assert!(cover.covered <= cover.known);
                sum.add(*cover);
            }
            prop_assert_eq!(sum, coverage.whole());
        }
    }
}
