//! What successive postures of a box add to the counts of a day.
//!
//! A posture says how many verdicts of each kind there were since the box's
//! program started. Of each number the greatest that was heard in one run of the
//! program is kept as its mark; what a posture says beyond it is new. So a posture
//! that is lost is made up for by the next one, one that comes late or twice adds
//! nothing, and a restart, which is another run, begins at 0.
//!
//! What it cannot know: what a box counted between its last posture and its end,
//! about a minute. Those settlements stand in the box's audit log.

use std::collections::BTreeMap;

use crate::protocol::posture::{CameraState, Posture, VerdictCounts};
use crate::protocol::verdict::{Inconclusive, NotAssessed, Outcome};

/// Counters of one box that are told apart; what there are more counts for no counter.
pub const MOST_COUNTERS: usize = 256;
/// Greatest number that is believed, so that no sum in the store overflows.
const MOST: u64 = 1_000_000_000_000;
/// A verdict that this version has no word for.
const OTHER: &str = "other";

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counted {
    /// The counter; empty where none is known.
    pub counter: String,
    /// `match`, `mismatch`, `inconclusive`, `not_assessed` or `other`.
    pub verdict: String,
    /// The reason, where the verdict has one; else empty.
    pub reason: String,
}

/// How many of each.
pub type Tally = BTreeMap<Counted, u64>;

/// Which run of a box's program a posture is of; empty where the box does not say.
pub fn run(posture: &Posture) -> String {
    posture.run.map(|run| run.to_string()).unwrap_or_default()
}

/// The verdicts since the program's start, by counter. A box that does not say
/// which run it is in is counted as a whole: its numbers by counter are not read at
/// one moment with the others.
pub fn since_start(posture: &Posture) -> Tally {
    let mut tally = Tally::new();
    let mut whole = by_word(&posture.verdicts);
    if posture.run.is_some() {
        for (counter, counts) in posture.counters.iter().take(MOST_COUNTERS) {
            for ((verdict, reason), n) in by_word(counts) {
                let rest = whole.entry((verdict, reason)).or_default();
                *rest = rest.saturating_sub(n);
                add(&mut tally, counter.as_str(), verdict, reason, n);
            }
        }
    }
    for ((verdict, reason), n) in whole {
        add(&mut tally, "", verdict, reason, n);
    }
    tally.retain(|_, n| *n > 0);
    tally
}

fn add(tally: &mut Tally, counter: &str, verdict: &str, reason: &str, n: u64) {
    let [counter, verdict, reason] = [counter, verdict, reason].map(str::to_owned);
    let sum = tally.entry(Counted { counter, verdict, reason }).or_default();
    *sum = sum.saturating_add(n).min(MOST);
}

/// Counts by verdict and reason; words that are not known count as one.
fn by_word(counts: &VerdictCounts) -> BTreeMap<(&'static str, &'static str), u64> {
    let mut out = BTreeMap::new();
    for (word, n) in counts {
        let sum: &mut u64 = out.entry(known(word)).or_default();
        *sum = sum.saturating_add(*n).min(MOST);
    }
    out
}

fn known(word: &str) -> (&'static str, &'static str) {
    let inconclusive = Inconclusive::ALL.iter().map(|r| Outcome::Inconclusive(*r));
    let not_assessed = NotAssessed::ALL.iter().map(|r| Outcome::NotAssessed(*r));
    let all = Outcome::PLAIN.into_iter().chain(inconclusive).chain(not_assessed);
    let mut all = all.filter(|o| {
        let (verdict, reason) = (o.verdict(), o.reason());
        let rest = word.strip_prefix(verdict).unwrap_or("-");
        if reason.is_empty() {
            rest.is_empty()
        } else {
            rest.strip_prefix('(').and_then(|r| r.strip_suffix(')')) == Some(reason)
        }
    });
    all.next().map_or((OTHER, ""), |o| (o.verdict(), o.reason()))
}

/// What a posture adds to the marks of its run; the marks are raised by it.
pub fn advance(marks: &mut Tally, told: &Tally) -> Tally {
    let mut new = Tally::new();
    for (counted, n) in told {
        let mark = marks.entry(counted.clone()).or_default();
        if n > mark {
            new.insert(counted.clone(), n - *mark);
            *mark = *n;
        }
    }
    new
}

/// Whether a box that names no run was started again since the marks were made:
/// one of its numbers is lower than it was.
pub fn restarted(marks: &Tally, told: &Tally) -> bool {
    marks.iter().any(|(counted, mark)| told.get(counted).copied().unwrap_or_default() < *mark)
}

/// The counters that a posture names, with whether the camera there works.
pub fn cameras(posture: &Posture) -> BTreeMap<String, bool> {
    let mut out: BTreeMap<String, bool> =
        posture.counters.keys().map(|c| (c.as_str().to_owned(), false)).collect();
    out.extend(posture.cameras.iter().map(|(c, s)| (c.as_str().to_owned(), *s == CameraState::Ok)));
    out.into_iter().take(MOST_COUNTERS).collect()
}

/// Longest time between two postures during which a camera that worked at both is
/// taken to have worked in between; in milliseconds. A box speaks once a minute.
pub const LONGEST_GAP_MS: i64 = 150_000;

/// How long a camera worked before now, in milliseconds, if it did at `last` too.
pub fn worked(last: Option<i64>, now: i64) -> i64 {
    last.map(|last| now.saturating_sub(last)).filter(|gap| (0..=LONGEST_GAP_MS).contains(gap)).unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    /// A posture of a run with these counts by counter; `""` counts for none.
    pub(crate) fn posture(run: Option<u128>, counts: &[(&str, &str, u64)]) -> Posture {
        let digest = "0".repeat(64);
        let mut verdicts = VerdictCounts::new();
        let mut counters = serde_json::Map::new();
        for (counter, word, n) in counts {
            *verdicts.entry((*word).to_owned()).or_default() += n;
            if !counter.is_empty() {
                let of = counters.entry((*counter).to_owned()).or_insert_with(|| serde_json::json!({}));
                of[*word] = (*n).into();
            }
        }
        let mut body = serde_json::json!({
            "agent": "box-1", "hospital": "H1", "at": 1, "agent_version": "0.1.0", "models": {},
            "policy": digest, "calibration": digest, "retention_s": {}, "verdicts": verdicts,
            "counters": counters, "outbox_waiting": 0, "outbox_set_aside": 0, "liveness": "off",
            "troubles": [],
            "audit": { "epoch": Uuid::from_u128(1).to_string(), "seq": 1, "hash": digest },
        });
        if let Some(run) = run {
            body["run"] = Uuid::from_u128(run).to_string().into();
        }
        serde_json::from_value(body).unwrap()
    }

    fn of(counter: &str, verdict: &str, reason: &str) -> Counted {
        Counted { counter: counter.into(), verdict: verdict.into(), reason: reason.into() }
    }

    #[test]
    fn what_no_counter_was_counted_for_stands_for_none_and_unknown_words_are_one() {
        let mut p = posture(
            Some(1),
            &[
                ("w1", "match", 5),
                ("", "not_assessed(restarted)", 2),
                ("w2", "mismatch", 1),
                ("", "a(b)", 3),
                ("", "matched", 4),
            ],
        );
        let tally = since_start(&p);
        let expected = [
            (of("", "not_assessed", "restarted"), 2),
            (of("", "other", ""), 7),
            (of("w1", "match", ""), 5),
            (of("w2", "mismatch", ""), 1),
        ];
        assert_eq!(tally, Tally::from(expected));
        // Without a run the whole is counted, and no counter.
        p.run = None;
        assert_eq!(since_start(&p)[&of("", "match", "")], 5);
        assert!(since_start(&p).keys().all(|c| c.counter.is_empty()));
    }

    #[test]
    fn a_number_beyond_belief_is_cut() {
        let told = since_start(&posture(Some(1), &[("w1", "match", u64::MAX / 2), ("w2", "match", 3)]));
        assert_eq!(told[&of("w1", "match", "")], MOST);
    }

    #[test]
    fn a_camera_worked_between_two_postures_at_which_it_did() {
        assert_eq!([worked(None, 9), worked(Some(0), 60_000), worked(Some(0), 150_001)], [0, 60_000, 0]);
        assert_eq!(worked(Some(9), 3), 0);
    }

    /// What happens to a box.
    #[derive(Debug, Clone)]
    enum Step {
        Verdict(usize, usize),
        /// A posture is made; whether it arrives at once, never, or at the end as well.
        Posture(usize),
        Restart,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0usize..3, 0usize..3).prop_map(|(c, w)| Step::Verdict(c, w)),
            3 => (0usize..4).prop_map(Step::Posture),
            1 => Just(Step::Restart),
        ]
    }

    const COUNTERS: [&str; 3] = ["", "w1", "w2"];
    const WORDS: [&str; 3] = ["match", "mismatch", "inconclusive(no_face)"];

    fn total(tally: &Tally) -> u64 {
        tally.values().sum()
    }

    proptest! {
        /// Whatever is lost, late or doubled, and whenever the box is restarted: what is
        /// counted is what the last posture of each run that arrived had said.
        #[test]
        fn nothing_that_was_told_is_lost_or_doubled(steps in proptest::collection::vec(step(), 0..120)) {
            let mut marks: BTreeMap<String, Tally> = BTreeMap::new();
            let (mut run, mut counts) = (1u128, BTreeMap::<(usize, usize), u64>::new());
            let (mut counted, mut heard, mut late) = (Tally::new(), BTreeMap::<u128, u64>::new(), Vec::new());
            let mut hear = |p: &Posture, counted: &mut Tally| {
                let told = since_start(p);
                for (k, n) in advance(marks.entry(super::run(p)).or_default(), &told) {
                    *counted.entry(k).or_default() += n;
                }
                total(&told)
            };
            for step in steps {
                match step {
                    Step::Verdict(c, w) => *counts.entry((c, w)).or_default() += 1,
                    Step::Restart => { run += 1; counts.clear(); }
                    Step::Posture(how) => {
                        let list: Vec<_> = counts.iter().map(|((c, w), n)| (COUNTERS[*c], WORDS[*w], *n)).collect();
                        let p = posture(Some(run), &list);
                        if how != 0 {
                            let told = hear(&p, &mut counted);
                            heard.insert(run, told);
                        }
                        if how == 3 || how == 2 {
                            late.push(p);
                        }
                    }
                }
            }
            for p in late.iter().rev() {
                hear(p, &mut counted);
            }
            prop_assert_eq!(total(&counted), heard.values().sum::<u64>());
        }

        /// A box that names no run: a restart is seen by a number that fell.
        #[test]
        fn a_box_that_names_no_run_is_counted_too(runs in proptest::collection::vec(proptest::collection::vec(1u64..9, 1..5), 1..5)) {
            let (mut marks, mut counted, mut last) = (Tally::new(), 0, 0);
            let mut sure = 0;
            for run in runs {
                let mut n = 0;
                for more in run {
                    n += more;
                    let told = since_start(&posture(None, &[("", "match", n)]));
                    if restarted(&marks, &told) {
                        marks.clear();
                    }
                    counted += total(&advance(&mut marks, &told));
                }
                // What a run told beyond the one before it is counted for sure.
                sure += n.saturating_sub(last);
                last = n;
            }
            prop_assert!(counted >= sure);
        }
    }
}
