//! The red and yellow list (红黄名单) of hospitals, by a rule that is written in the
//! configuration and shown with the list.
//!
//! Promises: each entry says which limits were passed, with the numbers; every
//! hospital is judged by the same rule, and one about which too little is known is
//! said to be so rather than called good. What it does not do: anything to a hospital.

use serde::{Deserialize, Serialize};

use super::coverage::Cover;
use crate::protocol::id::HospitalId;

/// Limits of one colour; one that is left out is not asked about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Confirmed alerts per 10,000 verified settlements, from which on.
    pub confirmed_per_10000: Option<f64>,
    /// Share of the days of all counters without a working box, from which on; 0 to 1.
    pub uncovered_share: Option<f64>,
    /// Preservation requests that are overdue, from how many on.
    pub overdue_requests: Option<u64>,
}

/// What is known about a hospital in the period.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hospital {
    /// Its code.
    pub code: HospitalId,
    /// Settlements at which it was looked.
    pub verified: u64,
    /// Alerts that were confirmed.
    pub confirmed: u64,
    /// Days of its counters.
    #[serde(skip)]
    pub cover: Cover,
    /// Preservation requests that are overdue.
    pub overdue_requests: u64,
}

/// What a hospital is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Confirmed alerts per 10,000 verified settlements.
    ConfirmedPer10000,
    /// Share of the days of all counters without a working box.
    UncoveredShare,
    /// Preservation requests that are overdue.
    OverdueRequests,
}

impl Measure {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::ConfirmedPer10000, Self::UncoveredShare, Self::OverdueRequests];
}

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Reason {
    /// Of what.
    pub measure: Measure,
    /// What was found.
    pub found: f64,
    /// From which on it counts.
    pub limit: f64,
    /// The numbers of which it was made: so many
    pub part: u64,
    /// of so many; nothing where it is a plain number.
    pub whole: Option<u64>,
}

/// Where a hospital stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// At least one red limit is reached.
    Red,
    /// At least one yellow limit is reached.
    Yellow,
    /// Neither, and something is not known.
    Unknown,
    /// Neither.
    None,
}

/// A hospital's place on the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Which hospital, with its numbers.
    pub hospital: Hospital,
    /// Where it stands.
    pub colour: Colour,
    /// Why; empty for one that is on neither list.
    pub reasons: Vec<Reason>,
    /// What the rule asks about and nobody knows.
    pub unknown: Vec<Measure>,
}

/// The rule: `[figures]` holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Limits of the red list.
    pub red: Limits,
    /// Limits of the yellow list.
    pub yellow: Limits,
    /// Settlements below which a rate is not judged.
    pub least_verified: u64,
}

impl Rule {
    /// Every hospital with its colour and why: red first, the rest by code.
    pub fn judge(&self, hospitals: Vec<Hospital>) -> Vec<Entry> {
        let mut list: Vec<Entry> = hospitals.into_iter().map(|h| self.one(h)).collect();
        list.sort_by(|a, b| (a.colour, &a.hospital.code).cmp(&(b.colour, &b.hospital.code)));
        list
    }

    fn one(&self, hospital: Hospital) -> Entry {
        let red = self.reached(&self.red, &hospital);
        let yellow = self.reached(&self.yellow, &hospital);
        let unknown: Vec<Measure> = Measure::ALL
            .into_iter()
            .filter(|m| {
                self.red.of(*m).or(self.yellow.of(*m)).is_some() && self.found(*m, &hospital).is_none()
            })
            .collect();
        let (colour, reasons) = match (red.is_empty(), yellow.is_empty(), unknown.is_empty()) {
            (false, ..) => {
                // What is only yellow is said too.
                let more = yellow.into_iter().filter(|y| red.iter().all(|r| r.measure != y.measure));
                (Colour::Red, red.iter().copied().chain(more).collect())
            }
            (true, false, _) => (Colour::Yellow, yellow),
            (true, true, false) => (Colour::Unknown, Vec::new()),
            (true, true, true) => (Colour::None, Vec::new()),
        };
        Entry { hospital, colour, reasons, unknown }
    }

    fn reached(&self, limits: &Limits, hospital: &Hospital) -> Vec<Reason> {
        let reason = |measure| {
            let limit = limits.of(measure)?;
            let (found, part, whole) = self.found(measure, hospital)?;
            (found >= limit).then_some(Reason { measure, found, limit, part, whole })
        };
        Measure::ALL.into_iter().filter_map(reason).collect()
    }

    /// What is found of a measure, and the numbers it is made of.
    fn found(&self, measure: Measure, hospital: &Hospital) -> Option<(f64, u64, Option<u64>)> {
        match measure {
            Measure::ConfirmedPer10000 => {
                let (part, whole) = (hospital.confirmed, hospital.verified);
                let enough = whole >= self.least_verified.max(1);
                enough.then(|| (part as f64 * 10_000.0 / whole as f64, part, Some(whole)))
            }
            Measure::UncoveredShare => {
                let Cover { covered, known } = hospital.cover;
                let share = hospital.cover.share()?;
                Some((1.0 - share, known.saturating_sub(covered), Some(known)))
            }
            Measure::OverdueRequests => {
                Some((hospital.overdue_requests as f64, hospital.overdue_requests, None))
            }
        }
    }
}

impl Limits {
    /// The limit of a measure.
    pub fn of(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::ConfirmedPer10000 => self.confirmed_per_10000,
            Measure::UncoveredShare => self.uncovered_share,
            Measure::OverdueRequests => self.overdue_requests.map(|n| n as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule() -> Rule {
        let limits = |rate, share, n| Limits {
            confirmed_per_10000: Some(rate),
            uncovered_share: Some(share),
            overdue_requests: Some(n),
        };
        Rule { red: limits(5.0, 0.3, 5), yellow: limits(2.0, 0.1, 1), least_verified: 1000 }
    }

    fn hospital(code: &str, verified: u64, confirmed: u64, covered: u64, overdue: u64) -> Hospital {
        let cover = Cover { covered, known: 100 };
        Hospital { code: code.parse().unwrap(), verified, confirmed, cover, overdue_requests: overdue }
    }

    #[test]
    fn each_entry_says_why_with_its_numbers() {
        let list = rule().judge(vec![
            hospital("H1", 10_000, 0, 100, 0),
            hospital("H2", 10_000, 3, 100, 0),
            hospital("H3", 20_000, 8, 60, 2),
            hospital("H4", 999, 9, 100, 0),
        ]);
        let told: Vec<_> = list.iter().map(|e| (e.hospital.code.as_str(), e.colour)).collect();
        assert_eq!(
            told,
            [("H3", Colour::Red), ("H2", Colour::Yellow), ("H4", Colour::Unknown), ("H1", Colour::None)]
        );
        let [uncovered, rate, overdue] = &list[0].reasons[..] else { panic!("{:?}", list[0]) };
        assert_eq!(
            (uncovered.measure, uncovered.part, uncovered.whole),
            (Measure::UncoveredShare, 40, Some(100))
        );
        assert_eq!(
            (rate.measure, rate.limit, rate.part, rate.whole),
            (Measure::ConfirmedPer10000, 2.0, 8, Some(20_000))
        );
        assert_eq!((overdue.found, overdue.limit), (2.0, 1.0));
        // 9 of 999 settlements are too few to be judged by: said, and not called good.
        assert_eq!(list[2].unknown, [Measure::ConfirmedPer10000]);
    }

    #[test]
    fn what_the_rule_does_not_ask_about_is_not_missed() {
        let mut rule = rule();
        (rule.red, rule.yellow) =
            (Limits::default(), Limits { uncovered_share: Some(0.5), ..Limits::default() });
        let one = hospital("H1", 0, 9, 100, 9);
        assert_eq!(rule.judge(vec![one])[0].colour, Colour::None);
    }

    proptest! {
        #[test]
        fn more_of_what_is_wrong_is_never_better(verified in 0u64..50_000, confirmed in 0u64..90, covered in 0u64..=100, overdue in 0u64..9) {
            let one = |confirmed, covered, overdue| {
                rule().judge(vec![hospital("H1", verified, confirmed, covered, overdue)])[0].colour
            };
            let before = one(confirmed, covered, overdue);
            prop_assert!(one(confirmed + 1, covered, overdue) <= before);
            prop_assert!(one(confirmed, covered.saturating_sub(1), overdue) <= before);
            prop_assert!(one(confirmed, covered, overdue + 1) <= before);
        }
    }
}
