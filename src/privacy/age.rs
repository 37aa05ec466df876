//! How old data is, by a count that survives a wall clock set back.
//!
//! Limits go by [`Age`]: milliseconds that the box itself has counted
//! (`CLOCK_BOOTTIME`, which no one can set), carried over from boot to boot in
//! [`Marks`]. The wall clock is one witness only, for the time that the box was
//! off: what it says then makes older data older, at once or after a grace in
//! which the bureau may say better. A wall clock that was set back while the
//! box was off has nothing to say; if the bureau does not either, the gap
//! counts as longer than every limit. So no clock can lengthen a limit.
//!
//! The same file knows whether the wall clock is believed: it is from the
//! bureau's word on, until it steps or the box boots anew. A verdict whose
//! times are in doubt is `not_assessed(clock_uncertain)`.
//!
//! Pure: it reads no clock and no disk; the store keeps the marks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{BootId, BoxTime, Now, WallTime};

/// Milliseconds on the box's own count; never falls. Only differences mean
/// something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Age(i64);

impl Age {
    /// From the store.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// For the store.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The moment `d` later.
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.saturating_add(millis(d)))
    }

    /// The moment `d` earlier.
    pub fn minus(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(millis(d)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

/// A moment as the store writes it: for people, and for limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// By the wall clock.
    pub wall: WallTime,
    /// By the box's own count.
    pub age: Age,
}

/// Most that the wall clock may move against the box's count between two looks
/// without having been stepped: a part for rounding and a slow look.
const STEP: Duration = Duration::from_millis(250);
/// Fastest drift that is not a step, in parts per million (adjtime slews by at
/// most 500).
const DRIFT_PPM: u128 = 1000;
/// How long after a boot the bureau may say how long the box was off, before
/// the wall clock's word counts.
pub const GRACE: Duration = Duration::from_secs(15 * 60);
/// The same for alerts that wait for the bureau: each is offered to it for a
/// day of running before it can expire by a clock that nobody confirmed.
pub const GRACE_FOR_WAITING: Duration = Duration::from_secs(24 * 3600);
/// A gap of unknown length counts as this: longer than every limit of a box.
const UNKNOWN_GAP: Duration = Duration::from_secs(400 * 86_400);

/// What is kept between two runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    age: Age,
    boot: BootId,
    boot_ms: u64,
    wall: WallTime,
    believed: bool,
    pending: Option<Pending>,
}

/// A time that the box was off, not yet counted everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    /// What was written up to this age is older by the gap.
    up_to: Age,
    /// Wall time when the box was last seen running.
    off_at: WallTime,
    /// Whether that time was believed.
    off_believed: bool,
    /// Wall time when it came back, and age then.
    on_at: WallTime,
    /// Counted already for everything but what waits for the bureau.
    counted: Option<u64>,
}

/// Something the clocks say that must be acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Data written up to an age is older than its mark by so much: all kinds
    /// but what waits for the bureau.
    Older(Age, Duration),
    /// The same for what waits for the bureau.
    WaitingOlder(Age, Duration),
}

/// Why the wall clock is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Nobody has confirmed it since the boot.
    Unconfirmed,
    /// It was stepped by so many ms.
    Stepped(i64),
    /// It is so many ms ahead of the bureau's.
    Differs(i64),
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unconfirmed => {
                write!(f, "the wall clock was not yet compared with the bureau's since the box started")
            }
            Self::Stepped(ms) => write!(
                f,
                "the wall clock was stepped by {ms} ms; verdicts wait until it was compared with the bureau's"
            ),
            Self::Differs(ms) => write!(
                f,
                "the wall clock is {ms} ms ahead of the bureau's: synchronise the box (timedatectl, chronyc tracking)"
            ),
        }
    }
}

/// The count, and the trust in the wall clock.
#[derive(Debug)]
pub struct Ages {
    base: Age,
    base_boot: BoxTime,
    boot: BootId,
    last: Now,
    doubt: Option<Doubt>,
    /// Raised with each step and each change of trust.
    turns: u64,
    untold: Option<Doubt>,
    pending: Option<Pending>,
}

impl Ages {
    /// Goes on from what was kept, or begins: the count then starts at the
    /// wall clock's reading, so that marks look like times.
    pub fn resume(kept: Option<Marks>, boot: BootId, now: Now) -> Self {
        let begin = Self {
            base: Age(now.wall.as_millis()),
            base_boot: now.boot,
            boot,
            last: now,
            doubt: Some(Doubt::Unconfirmed),
            turns: 0,
            untold: None,
            pending: None,
        };
        let Some(kept) = kept else { return begin };
        if kept.boot == boot && kept.boot_ms <= now.boot.as_millis() {
            let ran = now.boot.since(BoxTime::from_millis(kept.boot_ms));
            let step = now.wall.as_millis().saturating_sub(kept.wall.plus(ran).as_millis());
            let doubt = match (kept.believed, stepped(step, ran)) {
                (_, true) => Some(Doubt::Stepped(step)),
                (true, false) => None,
                (false, false) => Some(Doubt::Unconfirmed),
            };
            return Self { base: kept.age.plus(ran), doubt, pending: kept.pending, ..begin };
        }
        // Another boot: at least its own length has passed; how long the box was off, others must say.
        let base = kept.age.plus(now.boot.since(BoxTime::from_millis(0)));
        let pending = Pending {
            up_to: kept.pending.map_or(kept.age, |p| p.up_to.max(kept.age)),
            off_at: kept.pending.map_or(kept.wall, |p| p.off_at),
            off_believed: kept.pending.map_or(kept.believed, |p| p.off_believed),
            on_at: now.wall.minus(now.boot.since(BoxTime::from_millis(0))),
            counted: None,
        };
        Self { base, pending: Some(pending), ..begin }
    }

    /// The count now.
    pub fn now(&self, now: Now) -> Age {
        self.base.plus(now.boot.since(self.base_boot))
    }

    /// What to keep.
    pub fn marks(&self, now: Now) -> Marks {
        Marks {
            age: self.now(now),
            boot: self.boot,
            boot_ms: now.boot.as_millis(),
            wall: now.wall,
            believed: self.doubt.is_none(),
            pending: self.pending,
        }
    }

    /// Why the wall clock is not believed, if it is not.
    pub fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// A number that changes with each step of the wall clock.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Looks at both clocks; why the wall clock is not believed, if it is not. To
    /// be asked before anything is decided by a time: a step that nobody has
    /// looked for is not known.
    pub fn look(&mut self, now: Now) -> Option<Doubt> {
        let ran = now.boot.since(self.last.boot);
        let step = now.wall.as_millis().saturating_sub(self.last.wall.plus(ran).as_millis());
        self.last = now;
        if stepped(step, ran) {
            self.turns += 1;
            self.doubt = Some(Doubt::Stepped(step));
            self.untold = self.doubt;
        }
        self.doubt
    }

    /// A step that was seen and not yet written down, once.
    pub fn take_untold(&mut self) -> Option<Doubt> {
        self.untold.take()
    }

    /// The bureau's word: its time when it answered, believed to `bound`.
    /// `true` if the trust changed.
    pub fn hear(&mut self, bureau: WallTime, bound: Duration, now: Now) -> bool {
        let before = self.doubt;
        let ahead = now.wall.as_millis().saturating_sub(bureau.as_millis());
        self.doubt = (ahead.unsigned_abs() > bound.as_millis() as u64).then_some(Doubt::Differs(ahead));
        let changed = before.is_none() != self.doubt.is_none();
        if changed && self.doubt.is_some() {
            self.turns += 1;
        }
        changed
    }

    /// Data that turns out older than its marks, now that the bureau has said
    /// what time it is or a grace has ended. Each is told until
    /// [`Ages::counted`] was called for it.
    pub fn due(&self, bureau: Option<WallTime>, now: Now) -> Option<Due> {
        let pending = self.pending?;
        let up = now.boot.since(BoxTime::from_millis(0));
        let gap = match bureau {
            // When the box went off is known by its own clock; if that was not believed either, nothing is.
            Some(bureau) if pending.off_believed => {
                let back = bureau.as_millis().saturating_sub(millis(up));
                Some(u64::try_from(back.saturating_sub(pending.off_at.as_millis())).unwrap_or(0))
            }
            _ if pending.on_at >= pending.off_at => {
                Some(pending.on_at.as_millis().abs_diff(pending.off_at.as_millis()))
            }
            _ => None,
        };
        // Longer than every limit is long enough, whatever a damaged store says.
        let gap = gap.map_or(UNKNOWN_GAP, |ms| Duration::from_millis(ms).min(UNKNOWN_GAP));
        let told = bureau.is_some() && pending.off_believed;
        match pending.counted {
            None if told || up >= GRACE => Some(Due::Older(pending.up_to, gap)),
            Some(_) if told || up >= GRACE_FOR_WAITING => Some(Due::WaitingOlder(pending.up_to, gap)),
            _ => None,
        }
    }

    /// What to keep together with the change that [`Ages::counted`] then tells.
    pub fn marks_once_counted(&self, due: Due, now: Now) -> Marks {
        let mut pending = self.pending;
        count(&mut pending, due);
        Marks { pending, ..self.marks(now) }
    }

    /// The store has made the data older.
    pub fn counted(&mut self, due: Due) {
        count(&mut self.pending, due);
    }
}

fn count(pending: &mut Option<Pending>, due: Due) {
    match (due, pending.as_mut()) {
        (Due::Older(_, gap), Some(p)) => p.counted = Some(gap.as_millis() as u64),
        (Due::WaitingOlder(..), _) => *pending = None,
        (Due::Older(..), None) => {}
    }
}

fn stepped(step: i64, ran: Duration) -> bool {
    let drift = ran.as_millis() * DRIFT_PPM / 1_000_000;
    u128::from(step.unsigned_abs()) > STEP.as_millis() + drift
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WALL: i64 = 1_795_000_000_000;
    const BOUND: Duration = Duration::from_secs(2);
    const DAY: Duration = Duration::from_secs(86_400);
    const HOUR: Duration = Duration::from_secs(3600);

    fn at(boot_ms: u64, wall: i64) -> Now {
        Now { boot: BoxTime::from_millis(boot_ms), wall: WallTime::from_millis(wall) }
    }

    fn boot(n: u8) -> BootId {
        BootId::from_bytes([n; 16])
    }

    /// Running and believed since a minute.
    fn believed() -> (Ages, Now) {
        let mut ages = Ages::resume(None, boot(1), at(1000, WALL));
        let now = at(61_000, WALL + 60_000);
        assert!(ages.hear(now.wall, BOUND, now));
        (ages, now)
    }

    #[test]
    fn a_wall_clock_set_back_does_not_make_data_younger() {
        let (mut ages, now) = believed();
        let written = ages.now(now);
        let back = at(now.boot.as_millis() + 3_600_000, WALL - 365 * 86_400_000);
        assert!(matches!(ages.look(back), Some(Doubt::Stepped(_))));
        assert_eq!(ages.now(back).since(written), HOUR);
        // A restart of the program under the wrong clock changes nothing.
        let again = Ages::resume(
            Some(ages.marks(back)),
            boot(1),
            at(back.boot.as_millis() + 5000, back.wall.as_millis() + 5000),
        );
        assert_eq!(
            again.now(at(back.boot.as_millis() + 5000, 0)).since(written),
            HOUR + Duration::from_secs(5)
        );
        assert!(again.doubt().is_some());
    }

    #[test]
    fn a_step_is_doubted_until_the_bureau_agrees_and_a_slew_is_not() {
        let (mut ages, now) = believed();
        let slewed = at(now.boot.as_millis() + 10_000, now.wall.as_millis() + 10_005);
        assert_eq!((ages.look(slewed), ages.take_untold()), (None, None));
        let turns = ages.turns();
        let stepped = at(slewed.boot.as_millis() + 1000, slewed.wall.as_millis() + 400_000);
        let doubt = Some(Doubt::Stepped(399_000));
        assert_eq!((ages.look(stepped), ages.take_untold(), ages.take_untold()), (doubt, doubt, None));
        assert_ne!(ages.turns(), turns);
        let bureau = WallTime::from_millis(slewed.wall.as_millis() + 1000);
        ages.hear(bureau, BOUND, stepped);
        assert_eq!(ages.doubt(), Some(Doubt::Differs(399_000)));
        assert!(ages.hear(stepped.wall, BOUND, stepped));
        assert_eq!(ages.doubt(), None);
    }

    #[test]
    fn a_restart_of_the_program_keeps_trust_and_count() {
        let (ages, now) = believed();
        let later = at(now.boot.as_millis() + 90_000, now.wall.as_millis() + 90_010);
        let again = Ages::resume(Some(ages.marks(now)), boot(1), later);
        assert_eq!(again.doubt(), None);
        assert_eq!(again.now(later).since(ages.now(now)), Duration::from_secs(90));
        assert_eq!(again.due(None, later), None);
    }

    #[test]
    fn time_off_counts_when_the_bureau_says_so_or_the_grace_ends() {
        let (ages, now) = believed();
        let back = at(20_000, now.wall.as_millis() + 5 * 86_400_000);
        let mut again = Ages::resume(Some(ages.marks(now)), boot(2), back);
        assert_eq!(again.doubt(), Some(Doubt::Unconfirmed));
        assert_eq!(again.due(None, back), None);
        // The bureau knows better than a wall clock that leapt.
        let bureau = WallTime::from_millis(now.wall.as_millis() + 2 * 86_400_000 + 20_000);
        let written = ages.now(now);
        assert_eq!(again.due(Some(bureau), back), Some(Due::Older(written, DAY * 2)));
        again.counted(Due::Older(written, DAY * 2));
        assert_eq!(again.due(Some(bureau), back), Some(Due::WaitingOlder(written, DAY * 2)));
        again.counted(Due::WaitingOlder(written, DAY * 2));
        assert_eq!(again.due(Some(bureau), back), None);
        // Without the bureau the wall clock counts, later for what waits.
        let mut alone = Ages::resume(Some(ages.marks(now)), boot(2), back);
        let later = at(GRACE.as_millis() as u64, back.wall.as_millis() + 900_000);
        let Some(Due::Older(_, gap)) = alone.due(None, later) else { panic!() };
        assert_eq!(gap, DAY * 5 - Duration::from_secs(20));
        alone.counted(Due::Older(written, gap));
        assert_eq!(alone.due(None, later), None);
        let day_later = at(GRACE_FOR_WAITING.as_millis() as u64, 0);
        assert!(matches!(alone.due(None, day_later), Some(Due::WaitingOlder(..))));
    }

    #[test]
    fn a_gap_that_nobody_can_tell_is_longer_than_every_limit() {
        let (ages, now) = believed();
        let back = at(1000, now.wall.as_millis() - 86_400_000);
        let again = Ages::resume(Some(ages.marks(now)), boot(2), back);
        let later = at(GRACE.as_millis() as u64, 0);
        assert!(matches!(again.due(None, later), Some(Due::Older(_, gap)) if gap == UNKNOWN_GAP));
        assert!(crate::privacy::policy::LIMITS.iter().all(|l| Duration::from_secs(l.ceiling) < UNKNOWN_GAP));
    }

    #[test]
    fn a_second_boot_before_the_first_gap_was_counted_adds_to_it() {
        let (ages, now) = believed();
        let first = Ages::resume(Some(ages.marks(now)), boot(2), at(1000, now.wall.as_millis() + 86_400_000));
        let kept = first.marks(at(60_000, now.wall.as_millis() + 86_400_000 + 59_000));
        let wall = now.wall.as_millis() + 3 * 86_400_000;
        let second = Ages::resume(Some(kept), boot(3), at(1000, wall));
        let bureau = WallTime::from_millis(wall);
        let Some(Due::Older(up_to, gap)) = second.due(Some(bureau), at(1000, wall)) else { panic!() };
        assert_eq!(up_to, kept.age);
        assert!(gap >= DAY * 3 - Duration::from_secs(1), "{gap:?}");
    }

    proptest! {
        #[test]
        fn whatever_the_wall_clock_does_data_never_gets_younger(steps in proptest::collection::vec((1u64..10_000_000, any::<i32>(), any::<bool>()), 1..30)) {
            let mut now = at(5000, WALL);
            let mut boots = 1;
            let mut ages = Ages::resume(None, boot(1), now);
            let mut count = ages.now(now);
            for (ran, wall, reboot) in steps {
                let kept = ages.marks(now);
                now = at(now.boot.as_millis() + ran, WALL + i64::from(wall) * 1000);
                if reboot {
                    boots += 1;
                    now.boot = BoxTime::from_millis(ran);
                    ages = Ages::resume(Some(kept), boot(boots), now);
                } else {
                    ages.look(now);
                }
                prop_assert!(ages.now(now) >= count);
                prop_assert!(ages.now(now).since(count) >= Duration::from_millis(ran));
                count = ages.now(now);
            }
        }
    }
}
