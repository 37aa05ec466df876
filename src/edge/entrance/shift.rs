//! One shift at an entrance: from its roster to the facts about everybody on it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::super::rosters::{Fact, Kept};
use crate::clock::{BoxTime, WallTime};
use crate::frame::Region;
use crate::privacy::age::Age;
use crate::protocol::id::{CardholderId, VerificationId};
use crate::protocol::settlement::Settlement;
use crate::protocol::verdict::Inconclusive;
use crate::verify::calibration::Calibration;
use crate::verify::roster::{Demands, Expected, Presence, Watch};

/// Milliseconds before a shift's beginning at which references are fetched.
const FETCHED_BEFORE_MS: i64 = 60_000;

/// A shift, what it is doing, and the bills that wait for its end.
pub(super) struct Shift {
    pub(super) kept: Kept,
    pub(super) stage: Stage,
    pub(super) bills: Vec<(VerificationId, Settlement)>,
    /// When it was over, by the count that limits go by.
    pub(super) over_at: Option<Age>,
    /// It could not be written down as it is.
    pub(super) is_unsaved: bool,
}

/// What a shift is doing.
pub(super) enum Stage {
    /// It has not begun.
    Ahead,
    /// References are being fetched.
    Fetching(Fetching),
    /// Faces are looked for.
    Watching(Watching),
    /// It is over, or everybody was seen.
    Done,
}

/// References on their way.
pub(super) struct Fetching {
    pub(super) left: VecDeque<CardholderId>,
    pub(super) expected: Option<Expected>,
    /// Who has which number.
    pub(super) numbers: Vec<CardholderId>,
}

/// A watch under way.
pub(super) struct Watching {
    /// Nothing while a worker has it; nothing for good if the worker lost it.
    pub(super) watch: Option<Box<Watch>>,
    pub(super) numbers: Vec<CardholderId>,
    /// Up to when the camera's pictures were looked at.
    pub(super) until: BoxTime,
    /// Steps of the wall clock until it began.
    pub(super) clock_turns: u64,
}

/// How far a time lies from another's beginning and end; nothing in between.
pub(super) fn apart(at: i64, begins: i64, ends: i64) -> i64 {
    begins.saturating_sub(at).max(at.saturating_sub(ends)).max(0)
}

impl Shift {
    /// One that was just given, or is read back from the store.
    pub(super) fn new(kept: Kept, since: Age) -> Self {
        let over_at = kept.is_over.then_some(since);
        let stage = if kept.is_over { Stage::Done } else { Stage::Ahead };
        Self { kept, stage, bills: Vec::new(), over_at, is_unsaved: false }
    }

    pub(super) fn begins_ms(&self) -> i64 {
        self.kept.shift.begins_at.timestamp().as_millisecond()
    }

    pub(super) fn ends_ms(&self) -> i64 {
        self.kept.shift.ends_at.timestamp().as_millisecond()
    }

    pub(super) fn is_due_to_fetch(&self, now: WallTime) -> bool {
        matches!(self.stage, Stage::Ahead) && now.as_millis() >= self.begins_ms() - FETCHED_BEFORE_MS
    }

    /// Whether it is over, and its last picture has come.
    pub(super) fn is_due_to_end(&self, now: WallTime, delay: Duration) -> bool {
        !self.kept.is_over && now >= WallTime::from_millis(self.ends_ms()).plus(delay)
    }

    /// Its beginning and end on the box's time line, by what the wall clock says now.
    pub(super) fn span(&self, wall: WallTime, now: BoxTime) -> (BoxTime, BoxTime) {
        let place = |ms: i64| {
            let ahead = ms.saturating_sub(wall.as_millis());
            let far = Duration::from_millis(ahead.unsigned_abs());
            if ahead < 0 { now.minus(far) } else { now.plus(far) }
        };
        (place(self.begins_ms()), place(self.ends_ms()))
    }

    /// Begins to fetch the references of those who are not known to be seen.
    pub(super) fn fetch(&mut self) {
        let sought = self.kept.people.iter().filter(|(_, fact)| matches!(fact, Fact::Sought));
        let left = sought.map(|(person, _)| person.clone()).collect();
        self.stage = Stage::Fetching(Fetching { left, expected: None, numbers: Vec::new() });
    }

    /// Begins to watch, once all references are there.
    pub(super) fn watch(
        &mut self,
        calibration: &Arc<Calibration>,
        region: Region,
        (until, clock_turns): (BoxTime, u64),
    ) {
        let Stage::Fetching(fetching) = &mut self.stage else { return };
        let numbers = std::mem::take(&mut fetching.numbers);
        let Some(expected) = fetching.expected.take() else {
            self.stage = Stage::Done;
            return;
        };
        let watch = Some(Box::new(Watch::new(expected, Arc::clone(calibration), region)));
        self.stage = Stage::Watching(Watching { watch, numbers, until, clock_turns });
    }

    /// Notes who was seen; whether anybody was.
    pub(super) fn saw(&mut self, found: &[usize], at: WallTime) -> bool {
        let Stage::Watching(watching) = &self.stage else { return false };
        for person in found.iter().filter_map(|number| watching.numbers.get(*number)) {
            self.kept.people.insert(person.clone(), Fact::Seen { at });
        }
        if watching.watch.as_ref().is_some_and(|w| w.is_done()) {
            self.stage = Stage::Done;
        }
        !found.is_empty()
    }

    /// The share of the shift that was observed, 0 to 1.
    pub(super) fn observed(&self) -> f64 {
        let whole = self.ends_ms().saturating_sub(self.begins_ms()).max(1);
        (self.kept.observed_ms as f64 / whole as f64).min(1.0)
    }

    /// Ends it: everybody has a fact, and the references are gone.
    pub(super) fn conclude(&mut self, demands: &Demands, now: Age, latest: BoxTime) {
        let observed = self.observed();
        let stage = std::mem::replace(&mut self.stage, Stage::Done);
        if let Stage::Watching(Watching { watch: Some(mut watch), numbers, .. }) = stage {
            watch.let_go(latest);
            for (number, person) in numbers.into_iter().enumerate() {
                let fact = match watch.presence(number, observed, demands) {
                    Presence::Seen => continue,
                    Presence::Unclear(reason) => Fact::Unclear(reason),
                    // Who passed while nobody looked was not seen either.
                    Presence::Absent(_) if self.kept.is_broken => {
                        Fact::Unclear(Inconclusive::EntranceNotObserved)
                    }
                    Presence::Absent(absent) => Fact::Absent(absent),
                };
                self.kept.people.insert(person, fact);
            }
        }
        for fact in self.kept.people.values_mut().filter(|f| matches!(f, Fact::Sought)) {
            *fact = Fact::Unclear(Inconclusive::EntranceNotObserved);
        }
        self.kept.is_over = true;
        self.over_at = Some(now);
    }

    /// What a session that was billed for somebody is ended with, if it is known already.
    pub(super) fn fact(&self, person: &CardholderId) -> Option<Fact> {
        let fact = *self.kept.people.get(person)?;
        (self.kept.is_over || matches!(fact, Fact::Seen { .. } | Fact::NoReference)).then_some(fact)
    }

    /// How many are expected, and how many were seen.
    pub(super) fn counts(&self) -> (usize, usize) {
        let seen = self.kept.people.values().filter(|f| matches!(f, Fact::Seen { .. })).count();
        (self.kept.people.len(), seen)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::rosters::tests::kept;
    use super::*;

    const NOW: Age = Age::from_millis(1_000_000);

    fn shift() -> Shift {
        Shift::new(kept("am", &["P1", "P2", "P3"]), NOW)
    }

    #[test]
    fn who_was_never_looked_for_is_not_absent() {
        let mut s = shift();
        s.kept.people.insert("P1".parse().unwrap(), Fact::Seen { at: WallTime::from_millis(5) });
        s.kept.people.insert("P2".parse().unwrap(), Fact::NoReference);
        assert!(s.fact(&"P3".parse().unwrap()).is_none());
        assert!(matches!(s.fact(&"P1".parse().unwrap()), Some(Fact::Seen { .. })));
        s.conclude(&Demands::USUAL, NOW, BoxTime::from_millis(1));
        let not_observed = Some(Fact::Unclear(Inconclusive::EntranceNotObserved));
        assert_eq!(s.fact(&"P3".parse().unwrap()), not_observed);
        assert_eq!(s.fact(&"P2".parse().unwrap()), Some(Fact::NoReference));
        assert_eq!(s.fact(&"P9".parse().unwrap()), None);
        assert_eq!((s.counts(), s.over_at), ((3, 1), Some(NOW)));
    }

    #[test]
    fn a_shift_has_its_time() {
        let s = shift();
        let at = |minutes: i64| WallTime::from_millis(s.begins_ms() + minutes * 60_000);
        assert!(!s.is_due_to_fetch(at(-2)) && s.is_due_to_fetch(at(-1)));
        let second = Duration::from_secs(1);
        assert!(!s.is_due_to_end(at(239), second) && !s.is_due_to_end(at(240), second));
        assert!(s.is_due_to_end(at(241), second));
        let boot = BoxTime::from_millis(60_000_000);
        let minutes = |n: u64| Duration::from_secs(60 * n);
        assert_eq!(s.span(at(30), boot), (boot.minus(minutes(30)), boot.plus(minutes(210))));
        assert_eq!((apart(5, 10, 20), apart(15, 10, 20), apart(27, 10, 20)), (5, 0, 7));
    }
}
