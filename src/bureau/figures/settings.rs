//! `[figures]`: what statistics are judged by.

use serde::Deserialize;

use super::list::{Limits, Rule};
use crate::settings::Problem;

/// `[figures]`
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FiguresConfig {
    /// Hours of a day for which a counter must be seen working to count as covered, 1 to 24.
    pub covered_hours: u32,
    /// Cardholders below which nothing is computed about a medical type, 10 to 100,000.
    pub least_people: u32,
    /// Verified settlements below which no rate of a hospital is judged, 1 to 1,000,000.
    pub least_verified: u32,
    /// From which on a hospital is on the red list.
    pub red: Limits,
    /// From which on a hospital is on the yellow list.
    pub yellow: Limits,
}

impl Default for FiguresConfig {
    fn default() -> Self {
        Self {
            covered_hours: 4,
            least_people: 30,
            least_verified: 1000,
            red: Limits {
                confirmed_per_10000: Some(5.0),
                uncovered_share: Some(0.3),
                overdue_requests: Some(5),
            },
            yellow: Limits {
                confirmed_per_10000: Some(2.0),
                uncovered_share: Some(0.1),
                overdue_requests: Some(1),
            },
        }
    }
}

impl FiguresConfig {
    /// The rule of the red and yellow list.
    pub fn rule(&self) -> Rule {
        Rule { red: self.red, yellow: self.yellow, least_verified: u64::from(self.least_verified) }
    }

    /// How long a counter must be seen working on a day, in milliseconds.
    pub fn covered_ms(&self) -> i64 {
        i64::from(self.covered_hours) * 3_600_000
    }

    /// What cannot be meant.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut whole = |key: &str, found: u32, least: u32, most: u32, advice: &'static str| {
            if !(least..=most).contains(&found) {
                let allowed = format!("{least} to {most}");
                problems.push(Problem::new(&format!("figures.{key}"), found, allowed, advice));
            }
        };
        whole(
            "covered_hours",
            self.covered_hours,
            1,
            24,
            "Take the hours for which a window is surely open on a working day.",
        );
        whole(
            "least_people",
            self.least_people,
            10,
            100_000,
            "Among fewer, one person's number moves what is usual.",
        );
        whole(
            "least_verified",
            self.least_verified,
            1,
            1_000_000,
            "One alert among few settlements is a high rate by chance.",
        );
        for (list, limits) in [("red", &self.red), ("yellow", &self.yellow)] {
            if let Some(found) = limits.confirmed_per_10000.filter(|f| !(*f > 0.0 && *f <= 10_000.0)) {
                let key = format!("figures.{list}.confirmed_per_10000");
                problems.push(Problem::new(
                    &key,
                    found,
                    "above 0, to 10000",
                    "Confirmed alerts per 10,000 verified settlements.",
                ));
            }
            if let Some(found) = limits.uncovered_share.filter(|f| !(*f > 0.0 && *f <= 1.0)) {
                let key = format!("figures.{list}.uncovered_share");
                problems.push(Problem::new(&key, found, "above 0, to 1", "A share: 0.1 is one day of ten."));
            }
            if limits.overdue_requests == Some(0) {
                let key = format!("figures.{list}.overdue_requests");
                problems.push(Problem::new(
                    &key,
                    0,
                    "at least 1",
                    "With 0 every hospital would be on the list.",
                ));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed_and_what_cannot_be_meant_is_not() {
        assert!(FiguresConfig::default().problems().is_empty());
        let text = "covered_hours = 25\nleast_people = 3\n[red]\nuncovered_share = 30.0\noverdue_requests = 0\n\
                    [yellow]\nconfirmed_per_10000 = -1.0\n";
        let config: FiguresConfig = toml::from_str(text).unwrap();
        let problems: Vec<String> = config.problems().iter().map(|p| format!("{p:?}")).collect();
        for key in [
            "covered_hours",
            "least_people",
            "red.uncovered_share",
            "red.overdue_requests",
            "yellow.confirmed_per_10000",
        ] {
            assert!(problems.iter().any(|p| p.contains(&format!("figures.{key}"))), "{key}: {problems:?}");
        }
        // A list that names some limits asks about no others.
        assert_eq!((config.red.confirmed_per_10000, config.yellow.uncovered_share), (None, None));
    }
}
