//! What a supervisor should make of a box in shadow: one pure function, used by
//! the box's report and by the bureau's.
//!
//! It recommends; a person signs. It errs on the side of waiting: what it calls
//! "do not arm" is a camera that is aimed at something else, a calibration that
//! does not fit the place, or references that are not the cardholders', and a
//! box like that would accuse honest people.

use serde::Serialize;

use super::distance;
use crate::protocol::figures::{Expected, Figures};

/// Settlements with a score that a box must have seen in shadow.
pub const LEAST_SETTLEMENTS: u64 = 200;
/// More than this share of decided settlements ended as a mismatch: so many
/// strangers do not pay, and no reviewer could work through the alerts.
pub const MOST_MISMATCHES: f64 = 0.10;
/// By so much the inconclusive share may exceed what the calibration found.
pub const INCONCLUSIVE_SLACK: f64 = 0.20;
/// The greatest inconclusive share where the calibration says nothing: beyond
/// it the box says nothing about most settlements.
pub const MOST_INCONCLUSIVE: f64 = 0.50;
/// The greatest Kolmogorov-Smirnov statistic between a box's scores and those of
/// the calibration's genuine settlements. Larger than the limit of drift: another
/// place with other people is expected to differ.
pub const MOST_APART: f64 = 0.35;

/// What to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Recommendation {
    /// Nothing speaks against arming it.
    Arm,
    /// Too little was seen.
    Wait {
        /// Settlements with a score so far.
        seen: u64,
        /// Settlements wanted.
        wanted: u64,
        /// What else should be looked into meanwhile.
        concerns: Vec<Concern>,
    },
    /// What was seen speaks against it.
    DoNotArm {
        /// Why; never empty.
        concerns: Vec<Concern>,
    },
}

/// What speaks against arming.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Concern {
    /// Scores lie nearer to those of strangers than to those of cardholders.
    LikeStrangers,
    /// Scores lie far below those of the calibration's cardholders: the statistic.
    FarFromGenuine {
        /// Kolmogorov-Smirnov, one-sided, 0 to 1.
        statistic: f64,
    },
    /// Too many come to nothing.
    Inconclusive {
        /// Their share now.
        share: f64,
        /// The greatest that is in order.
        most: f64,
        /// The most frequent reason.
        reason: String,
    },
    /// Too many mismatches.
    Mismatches {
        /// Their share among matches and mismatches.
        share: f64,
    },
}

impl std::fmt::Display for Concern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = |s: f64| (s * 100.0).round();
        match self {
            Self::LikeStrangers => f.write_str(
                "scores of most settlements lie where strangers' do; is the camera aimed at the person who pays, and are the references of these cardholders the right ones?",
            ),
            Self::FarFromGenuine { statistic } => write!(
                f,
                "scores lie far below those of the calibration's cardholders (Kolmogorov-Smirnov {statistic:.2}, at most {MOST_APART:.2} is in order); look at light, distance and the age of the enrolled photographs"
            ),
            Self::Inconclusive { share, most, reason } => write!(
                f,
                "{} % of the settlements are inconclusive, at most {} % is in order; most often {reason}",
                percent(*share),
                percent(*most)
            ),
            Self::Mismatches { share } => write!(
                f,
                "{} % of the decided settlements would have raised an alert, at most {} % is in order",
                percent(*share),
                percent(MOST_MISMATCHES)
            ),
        }
    }
}

impl std::fmt::Display for Recommendation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list =
            |concerns: &[Concern]| concerns.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        match self {
            Self::Arm => f.write_str("arm: nothing in these figures speaks against it"),
            Self::Wait { seen, wanted, concerns } if concerns.is_empty() => {
                write!(f, "wait: {seen} of {wanted} settlements with a score")
            }
            Self::Wait { seen, wanted, concerns } => {
                write!(f, "wait: {seen} of {wanted} settlements with a score; meanwhile: {}", list(concerns))
            }
            Self::DoNotArm { concerns } => write!(f, "do not arm: {}", list(concerns)),
        }
    }
}

/// What to make of a box's figures, held against its calibration's where it
/// says what it expects; `wanted` is how many settlements with a score there
/// must be.
pub fn recommend(figures: &Figures, expected: Option<&Expected>, wanted: u64) -> Recommendation {
    let seen = figures.scores.total();
    let concerns = concerns(figures, expected);
    if seen < wanted {
        return Recommendation::Wait { seen, wanted, concerns };
    }
    if concerns.is_empty() { Recommendation::Arm } else { Recommendation::DoNotArm { concerns } }
}

fn concerns(figures: &Figures, expected: Option<&Expected>) -> Vec<Concern> {
    let mut out = Vec::new();
    out.extend(expected.and_then(|e| scores(figures, e)));
    let most = expected.map_or(MOST_INCONCLUSIVE, |e| (e.inconclusive_genuine + INCONCLUSIVE_SLACK).min(1.0));
    let share = figures.inconclusive_share();
    if enough(figures.assessed()) && share > most {
        let reason = figures.reasons("inconclusive").max_by_key(|(_, n)| *n);
        let reason = reason.map(|(word, _)| word.to_owned()).unwrap_or_default();
        out.push(Concern::Inconclusive { share, most, reason });
    }
    let (matches, mismatches) = (figures.of("match"), figures.of("mismatch"));
    let decided = matches.saturating_add(mismatches);
    let share = mismatches as f64 / decided.max(1) as f64;
    if enough(decided) && share > MOST_MISMATCHES {
        out.push(Concern::Mismatches { share });
    }
    out
}

/// Of fewer settlements than this nothing is said.
fn enough(n: u64) -> bool {
    n >= 20
}

fn scores(figures: &Figures, expected: &Expected) -> Option<Concern> {
    let n = figures.scores.total();
    let seen = figures.scores.shares().filter(|_| enough(n))?;
    let to_genuine = distance::kolmogorov_smirnov(&seen, &expected.genuine);
    if distance::kolmogorov_smirnov(&seen, &expected.impostor) < to_genuine {
        return Some(Concern::LikeStrangers);
    }
    // Higher scores than those of the calibration's people are no concern: a minute at a
    // window is easier than photographs years apart.
    let lower = distance::lower(&seen, &expected.genuine);
    let rare = lower > distance::critical(n, expected.settlements);
    (rare && lower > MOST_APART).then_some(Concern::FarFromGenuine { statistic: lower })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::protocol::figures::{BINS, ScoreHistogram};
    use crate::protocol::verdict::{Inconclusive, Outcome};
    use proptest::prelude::*;

    /// Genuine scores from 0.5 to 0.9, impostors' from -0.1 to 0.2.
    pub(crate) fn expected() -> Expected {
        let flat = |from: usize, to: usize| {
            let mut counts = [0; BINS];
            (from..to).for_each(|i| counts[i] = 100);
            ScoreHistogram::new(counts).shares().unwrap()
        };
        Expected {
            genuine: flat(30, 38),
            impostor: flat(18, 24),
            inconclusive_genuine: 0.02,
            settlements: 800,
        }
    }

    pub(crate) fn figures(genuine: u64, strangers: u64, nobody: u64) -> Figures {
        let mut f = Figures::default();
        (0..genuine).for_each(|i| f.count(Outcome::Match, Some(0.5 + 0.4 * (i % 8) as f32 / 8.0)));
        (0..strangers).for_each(|i| f.count(Outcome::Mismatch, Some(-0.1 + 0.3 * (i % 6) as f32 / 6.0)));
        (0..nobody).for_each(|_| f.count(Outcome::Inconclusive(Inconclusive::NoFace), None));
        f
    }

    fn said(f: &Figures, expected: Option<&Expected>) -> String {
        recommend(f, expected, LEAST_SETTLEMENTS).to_string()
    }

    #[test]
    fn a_box_that_sees_what_its_calibration_saw_may_be_armed() {
        let e = expected();
        assert_eq!(recommend(&figures(300, 3, 10), Some(&e), 200), Recommendation::Arm);
        assert_eq!(recommend(&figures(300, 3, 10), None, 200), Recommendation::Arm);
        assert_eq!(said(&figures(37, 0, 0), Some(&e)), "wait: 37 of 200 settlements with a score");
    }

    #[test]
    fn a_box_that_looks_at_the_wrong_person_is_not_armed() {
        let e = expected();
        let wrong = said(&figures(60, 200, 10), Some(&e));
        assert!(
            wrong.starts_with("do not arm: scores of most settlements lie where strangers' do"),
            "{wrong}"
        );
        assert!(wrong.contains("would have raised an alert"), "{wrong}");
        // Without expectations the mismatches alone tell.
        assert!(said(&figures(180, 60, 0), None).starts_with("do not arm: 25 %"));
        let dark = said(&figures(250, 0, 200), Some(&e));
        assert!(dark.starts_with("do not arm: 44 % of the settlements are inconclusive"), "{dark}");
        assert!(dark.ends_with("most often no_face"), "{dark}");
        let mut dim = Figures::default();
        (0..300).for_each(|i| dim.count(Outcome::Match, Some(0.36 + 0.2 * (i % 4) as f32 / 4.0)));
        assert!(
            said(&dim, Some(&e)).contains("lie far below those of the calibration"),
            "{}",
            said(&dim, Some(&e))
        );
        // Trouble is told while still waiting.
        assert!(
            said(&figures(0, 60, 0), Some(&e)).contains("60 of 200 settlements with a score; meanwhile: ")
        );
    }

    proptest! {
        #[test]
        fn too_little_is_never_enough(genuine in 0u64..150, strangers in 0u64..49, nobody in 0u64..500) {
            let r = recommend(&figures(genuine, strangers, nobody), Some(&expected()), LEAST_SETTLEMENTS);
            let wait = matches!(r, Recommendation::Wait { .. });
            prop_assert!(wait);
        }

        #[test]
        fn more_strangers_never_make_it_better(genuine in 200u64..400, strangers in 0u64..200) {
            let e = expected();
            let arms = |s| recommend(&figures(genuine, s, 0), Some(&e), LEAST_SETTLEMENTS) == Recommendation::Arm;
            prop_assert!(arms(strangers) || !arms(strangers + 50));
        }
    }
}
