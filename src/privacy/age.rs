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
/// Most drift that a stop of the agent excuses, however long it was: nobody
/// looked meanwhile, and a kept clock drifts less.
const DRIFT_STOPPED: Duration = Duration::from_secs(1);
/// How far before the stop a boot may seem to lie without the wall clock having
/// gone back: a hardware clock keeps whole seconds, and drifts.
const ROUGHLY: Duration = Duration::from_secs(5);
/// Most changes of trust that wait to be written down; more say nothing new.
const MOST_NEWS: usize = 64;
/// How long from the agent's first start in a boot the bureau may say how long
/// the box was off, before the wall clock's word counts.
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
    /// Not yet counted for what does not wait for the bureau.
    most: Option<Pending>,
    /// Not yet counted for what waits for it.
    waiting: Option<Pending>,
}

/// A time that the box was off, or several in a row, not yet counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    /// What was written up to this age is older by the gap.
    up_to: Age,
    /// Wall time when the box was last seen running.
    off_at: WallTime,
    /// Whether that time was believed.
    off_believed: bool,
    /// Wall time when it last came back: its own, until the bureau told better.
    on_at: WallTime,
    /// Running time in between, in ms: it is counted by itself.
    ran_ms: u64,
    /// Time off before `off_at` that counts as well, in ms.
    before_ms: u64,
    /// When the agent first ran in this boot, in ms since the boot: graces
    /// count from there.
    since_ms: u64,
}

impl Pending {
    /// How long the box was off, if it came back at `on_at`. Longer than every
    /// limit where the clock says that it came back before it went.
    fn gap(&self, on_at: WallTime) -> Duration {
        let off = on_at.as_millis().saturating_sub(self.off_at.as_millis());
        let off = off.saturating_sub(i64::try_from(self.ran_ms).unwrap_or(i64::MAX));
        if off < -millis(ROUGHLY) {
            return UNKNOWN_GAP;
        }
        // Longer than every limit is long enough, whatever a damaged store says.
        let ms = u64::try_from(off).unwrap_or(0).saturating_add(self.before_ms);
        Duration::from_millis(ms).min(UNKNOWN_GAP)
    }

    /// The box was off again before this was counted. Where the bureau has
    /// confirmed the clock meanwhile, its word is where the next one begins.
    fn again(self, next: Self) -> Self {
        if next.off_believed && !self.off_believed {
            return Self { before_ms: self.gap(self.on_at).as_millis() as u64, ..next };
        }
        let ran = next.up_to.since(self.up_to).as_millis() as u64;
        Self {
            off_at: self.off_at,
            off_believed: self.off_believed,
            ran_ms: self.ran_ms.saturating_add(ran),
            before_ms: self.before_ms,
            ..next
        }
    }

    /// How long it was, once the bureau has said so or the grace has ended.
    fn due(&self, bureau: Option<WallTime>, grace: Duration, now: Now) -> Option<Duration> {
        let up = now.boot.since(BoxTime::from_millis(0));
        let ended = now.boot.since(BoxTime::from_millis(self.since_ms)) >= grace;
        match bureau {
            // When the box went off is known by its own clock; if that was not believed either, nothing is.
            Some(bureau) if self.off_believed => {
                // The bureau cannot go back: what is less than nothing is rounding.
                Some(self.gap(bureau.minus(up).max(self.off_at.plus(Duration::from_millis(self.ran_ms)))))
            }
            _ => ended.then(|| self.gap(self.on_at)),
        }
    }
}

/// What the bureau said about the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// Its time now, at the best guess.
    pub time: WallTime,
    /// How far that may be from the truth, either way.
    pub uncertainty: Duration,
    /// How much of the uncertainty is forgiven when a clock is confirmed: a
    /// source that tells whole seconds could else confirm none.
    pub slack: Duration,
}

impl Word {
    /// A `Date` is whole seconds, and a server may make it anew only once a
    /// second.
    const DATE_ERROR: Duration = Duration::from_secs(1);

    /// A time to the millisecond, told in an answer that was `trip` under way: it
    /// was right at some moment of that.
    pub fn exact(told: WallTime, trip: Duration) -> Self {
        Self { time: told.plus(trip / 2), uncertainty: trip / 2, slack: Duration::ZERO }
    }

    /// The same from a `Date` header.
    pub fn date(told: WallTime, trip: Duration) -> Self {
        Self {
            time: told.plus(Self::DATE_ERROR / 2 + trip / 2),
            uncertainty: Self::DATE_ERROR + trip / 2,
            slack: Self::DATE_ERROR,
        }
    }
}

/// What a word of the bureau did to the trust in the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It is right, as far as it must be.
    Confirmed,
    /// It is wrong.
    Denied,
    /// The answer was too slow to tell; what was believed stays.
    Unsettled,
}

/// A change of the trust in the wall clock, to be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It is not believed.
    Doubted(Doubt),
    /// The bureau has confirmed it, with its time.
    Confirmed(WallTime),
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
    /// Changes of trust, by the wall clock, not yet written down.
    news: Vec<(WallTime, News)>,
    most: Option<Pending>,
    waiting: Option<Pending>,
}

impl Ages {
    /// Goes on from what was kept, or begins: the count then starts at the
    /// wall clock's reading, so that marks look like times. `newest` is the
    /// greatest mark of a row: it may be later than what was kept, and the count
    /// does not fall behind it.
    pub fn resume(kept: Option<Marks>, newest: Option<Age>, boot: BootId, now: Now) -> Self {
        let no_less = |age: Age| newest.map_or(age, |n| n.max(age));
        let begin = Self {
            base: no_less(Age(now.wall.as_millis())),
            base_boot: now.boot,
            boot,
            last: now,
            doubt: Some(Doubt::Unconfirmed),
            turns: 0,
            news: Vec::new(),
            most: None,
            waiting: None,
        };
        let Some(kept) = kept else { return begin };
        if kept.boot == boot && kept.boot_ms <= now.boot.as_millis() {
            let ran = now.boot.since(BoxTime::from_millis(kept.boot_ms));
            let step = now.wall.as_millis().saturating_sub(kept.wall.plus(ran).as_millis());
            let doubt = match (kept.believed, stepped(step, drift(ran).min(DRIFT_STOPPED))) {
                (_, true) => Some(Doubt::Stepped(step)),
                (true, false) => None,
                (false, false) => Some(Doubt::Unconfirmed),
            };
            let base = no_less(kept.age.plus(ran));
            return Self { base, doubt, most: kept.most, waiting: kept.waiting, ..begin };
        }
        // Another boot: at least its own length has passed; how long the box was off, others must say.
        let up = now.boot.since(BoxTime::from_millis(0));
        let up_to = no_less(kept.age);
        let next = Pending {
            up_to,
            // It ran at least until it wrote the newest row.
            off_at: kept.wall.plus(up_to.since(kept.age)),
            off_believed: kept.believed,
            on_at: now.wall.minus(up),
            ran_ms: 0,
            before_ms: 0,
            since_ms: now.boot.as_millis(),
        };
        let after = |pending: Option<Pending>| Some(pending.map_or(next, |p| p.again(next)));
        Self { base: up_to.plus(up), most: after(kept.most), waiting: after(kept.waiting), ..begin }
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
            most: self.most,
            waiting: self.waiting,
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
        if stepped(step, drift(ran)) {
            self.turns += 1;
            self.doubt = Some(Doubt::Stepped(step));
            self.tell(now, News::Doubted(Doubt::Stepped(step)));
        }
        self.doubt
    }

    fn tell(&mut self, now: Now, news: News) {
        if self.news.len() < MOST_NEWS {
            self.news.push((now.wall, news));
        }
    }

    /// Whether something is still to be written down.
    pub fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// What is to be written down, in order, once.
    pub fn take_news(&mut self) -> Vec<(WallTime, News)> {
        std::mem::take(&mut self.news)
    }

    /// It could not be written down; it comes first the next time.
    pub fn put_back(&mut self, mut news: Vec<(WallTime, News)>) {
        news.append(&mut self.news);
        self.news = news;
    }

    /// The bureau's word, if the wall clock may differ by `allowed`. A clock is
    /// confirmed only where the word leaves no doubt that it is within that (but
    /// for the word's slack), and denied only where it leaves none that it is not.
    pub fn hear(&mut self, word: Word, allowed: Duration, now: Now) -> Heard {
        // A step that nobody has seen yet comes before what settles it.
        self.look(now);
        let on_at = word.time.minus(now.boot.since(BoxTime::from_millis(0)));
        for pending in [&mut self.most, &mut self.waiting].into_iter().flatten() {
            pending.on_at = on_at;
        }
        let ahead = now.wall.as_millis().saturating_sub(word.time.as_millis());
        let apart = Duration::from_millis(ahead.unsigned_abs());
        if apart.saturating_add(word.uncertainty) <= allowed.saturating_add(word.slack) {
            if self.doubt.take().is_some() {
                self.tell(now, News::Confirmed(word.time));
            }
            return Heard::Confirmed;
        }
        if apart <= allowed.saturating_add(word.uncertainty) {
            return Heard::Unsettled;
        }
        let doubt = Doubt::Differs(ahead);
        if self.doubt.replace(doubt).is_none() {
            self.turns += 1;
            self.tell(now, News::Doubted(doubt));
        }
        Heard::Denied
    }

    /// Data that turns out older than its marks, now that the bureau has said
    /// what time it is or a grace has ended. Each is told until
    /// [`Ages::counted`] was called for it.
    pub fn due(&self, bureau: Option<WallTime>, now: Now) -> Option<Due> {
        let most = self.most.and_then(|p| Some(Due::Older(p.up_to, p.due(bureau, GRACE, now)?)));
        let waiting = || {
            let p = self.waiting?;
            Some(Due::WaitingOlder(p.up_to, p.due(bureau, GRACE_FOR_WAITING, now)?))
        };
        most.or_else(waiting)
    }

    /// What to keep together with the change that [`Ages::counted`] then tells.
    pub fn marks_once_counted(&self, due: Due, now: Now) -> Marks {
        let mut marks = self.marks(now);
        match due {
            Due::Older(..) => marks.most = None,
            Due::WaitingOlder(..) => marks.waiting = None,
        }
        marks
    }

    /// The store has made the data older.
    pub fn counted(&mut self, due: Due) {
        match due {
            Due::Older(..) => self.most = None,
            Due::WaitingOlder(..) => self.waiting = None,
        }
    }
}

/// What the wall clock may drift in a time.
fn drift(ran: Duration) -> Duration {
    Duration::from_millis(u64::try_from(ran.as_millis() * DRIFT_PPM / 1_000_000).unwrap_or(u64::MAX))
}

fn stepped(step: i64, drift: Duration) -> bool {
    Duration::from_millis(step.unsigned_abs()) > drift.saturating_add(STEP)
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

    fn exact(time: WallTime) -> Word {
        Word::exact(time, Duration::ZERO)
    }

    fn boot(n: u8) -> BootId {
        BootId::from_bytes([n; 16])
    }

    /// Running and believed since a minute.
    fn believed() -> (Ages, Now) {
        let mut ages = Ages::resume(None, None, boot(1), at(1000, WALL));
        let now = at(61_000, WALL + 60_000);
        assert_eq!(ages.hear(exact(now.wall), BOUND, now), Heard::Confirmed);
        ages.take_news();
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
            None,
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
        assert_eq!((ages.look(slewed), ages.has_news()), (None, false));
        let turns = ages.turns();
        let stepped = at(slewed.boot.as_millis() + 1000, slewed.wall.as_millis() + 400_000);
        let doubt = Doubt::Stepped(399_000);
        assert_eq!(ages.look(stepped), Some(doubt));
        assert_eq!(ages.take_news(), [(stepped.wall, News::Doubted(doubt))]);
        assert!(!ages.has_news());
        assert_ne!(ages.turns(), turns);
        let bureau = WallTime::from_millis(slewed.wall.as_millis() + 1000);
        assert_eq!(ages.hear(exact(bureau), BOUND, stepped), Heard::Denied);
        assert_eq!(ages.doubt(), Some(Doubt::Differs(399_000)));
        assert_eq!(ages.hear(exact(stepped.wall), BOUND, stepped), Heard::Confirmed);
        assert_eq!(ages.doubt(), None);
    }

    #[test]
    fn a_restart_of_the_program_keeps_trust_and_count() {
        let (ages, now) = believed();
        let later = at(now.boot.as_millis() + 90_000, now.wall.as_millis() + 90_010);
        let again = Ages::resume(Some(ages.marks(now)), None, boot(1), later);
        assert_eq!(again.doubt(), None);
        assert_eq!(again.now(later).since(ages.now(now)), Duration::from_secs(90));
        assert_eq!(again.due(None, later), None);
    }

    #[test]
    fn time_off_counts_when_the_bureau_says_so_or_the_grace_ends() {
        let (ages, now) = believed();
        let back = at(20_000, now.wall.as_millis() + 5 * 86_400_000);
        let mut again = Ages::resume(Some(ages.marks(now)), None, boot(2), back);
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
        let mut alone = Ages::resume(Some(ages.marks(now)), None, boot(2), back);
        let later = at(20_000 + GRACE.as_millis() as u64, back.wall.as_millis() + 900_000);
        let Some(Due::Older(_, gap)) = alone.due(None, later) else { panic!() };
        assert_eq!(gap, DAY * 5 - Duration::from_secs(20));
        alone.counted(Due::Older(written, gap));
        assert_eq!(alone.due(None, later), None);
        let day_later = at(20_000 + GRACE_FOR_WAITING.as_millis() as u64, 0);
        assert!(matches!(alone.due(None, day_later), Some(Due::WaitingOlder(..))));
    }

    #[test]
    fn a_gap_that_nobody_can_tell_is_longer_than_every_limit() {
        let (ages, now) = believed();
        let back = at(1000, now.wall.as_millis() - 86_400_000);
        let again = Ages::resume(Some(ages.marks(now)), None, boot(2), back);
        let later = at(1000 + GRACE.as_millis() as u64, 0);
        assert!(matches!(again.due(None, later), Some(Due::Older(_, gap)) if gap == UNKNOWN_GAP));
        assert!(crate::privacy::policy::LIMITS.iter().all(|l| Duration::from_secs(l.ceiling) < UNKNOWN_GAP));
    }

    #[test]
    fn a_second_boot_before_the_first_gap_was_counted_adds_to_it() {
        let (ages, now) = believed();
        let first =
            Ages::resume(Some(ages.marks(now)), None, boot(2), at(1000, now.wall.as_millis() + 86_400_000));
        let kept = first.marks(at(60_000, now.wall.as_millis() + 86_400_000 + 59_000));
        let wall = now.wall.as_millis() + 3 * 86_400_000;
        let second = Ages::resume(Some(kept), None, boot(3), at(1000, wall));
        let bureau = WallTime::from_millis(wall);
        let Some(Due::Older(up_to, gap)) = second.due(Some(bureau), at(1000, wall)) else { panic!() };
        assert_eq!(up_to, kept.age);
        // Three days less what it ran in between, which is counted by itself.
        assert_eq!(gap, DAY * 3 - Duration::from_secs(61));
    }

    /// What a crash left: kept at `kept`, and then nothing more.
    fn after_crash(kept: Marks, newest: Option<Age>, n: u8, now: Now) -> Ages {
        Ages::resume(Some(kept), newest, boot(n), now)
    }

    #[test]
    fn what_was_written_after_the_last_mark_counts_the_time_off_too() {
        let (ages, now) = believed();
        let written = ages.now(at(now.boot.as_millis() + 50_000, 0));
        let back = at(20_000, now.wall.as_millis() + 86_400_000 + 50_000 + 20_000);
        let again = after_crash(ages.marks(now), Some(written), 2, back);
        assert_eq!(again.due(Some(back.wall), back), Some(Due::Older(written, DAY)));
        assert_eq!(again.now(back).since(written), Duration::from_secs(20));
        // Nor does the count fall behind a row where nothing or little was kept.
        assert_eq!(Ages::resume(None, Some(written.plus(DAY)), boot(2), now).now(now), written.plus(DAY));
        let same = Ages::resume(Some(ages.marks(now)), Some(written), boot(1), now);
        assert_eq!(same.now(now), written);
    }

    #[test]
    fn a_box_switched_off_every_night_makes_no_row_older_than_it_is() {
        let (mut ages, start) = believed();
        let (mut now, mut true_ms) = (start, 0u64);
        // Marks of a row of each day, and what is true of it; and of an alert that waits from the first day.
        let mut rows = vec![(ages.now(now), true_ms)];
        let mut alert = ages.now(now);
        let check = |rows: &[(Age, u64)], count: Age, true_ms: u64| {
            for (mark, written) in rows {
                let (told, real) = (count.since(*mark), Duration::from_millis(true_ms - written));
                assert!(told.abs_diff(real) <= Duration::from_secs(1), "{told:?} for {real:?}");
            }
        };
        let apply = |ages: &mut Ages, rows: &mut [(Age, u64)], alert: &mut Age, bureau, now| {
            while let Some(due) = ages.due(bureau, now) {
                match due {
                    Due::Older(up_to, gap) => {
                        rows.iter_mut().filter(|r| r.0 <= up_to).for_each(|r| r.0 = r.0.minus(gap));
                    }
                    Due::WaitingOlder(up_to, gap) if *alert <= up_to => *alert = alert.minus(gap),
                    Due::WaitingOlder(..) => {}
                }
                ages.counted(due);
            }
        };
        for night in 2..21 {
            let kept = ages.marks(now);
            true_ms += 10 * 3_600_000;
            now = at(30_000, start.wall.as_millis() + true_ms as i64);
            ages = after_crash(kept, None, night, now);
            // The night ended when the box booted.
            for hour in 0..14 {
                apply(&mut ages, &mut rows, &mut alert, None, now);
                if hour > 0 {
                    check(&rows, ages.now(now), true_ms);
                }
                rows.push((ages.now(now), true_ms));
                true_ms += 3_600_000;
                now = at(now.boot.as_millis() + 3_600_000, start.wall.as_millis() + true_ms as i64);
            }
        }
        assert!(ages.now(now).since(alert) < Duration::from_millis(true_ms), "too early for what waits");
        apply(&mut ages, &mut rows, &mut alert, Some(now.wall), now);
        check(&rows, ages.now(now), true_ms);
        check(&[(alert, 0)], ages.now(now), true_ms);
    }

    #[test]
    fn a_first_stop_that_nobody_believed_does_not_keep_the_bureau_s_word_from_counting() {
        let begun = at(1000, WALL);
        let unbelieved = Ages::resume(None, None, boot(1), begun);
        let on = |days: i64| at(0, WALL + days * 86_400_000);
        let mut second = after_crash(unbelieved.marks(begun), None, 2, on(1));
        assert_eq!(second.hear(exact(on(1).wall), BOUND, on(1)), Heard::Confirmed);
        assert_eq!(second.due(Some(on(1).wall), on(1)), None, "when it went off is not known");
        let third = after_crash(second.marks(on(1)), None, 3, on(3));
        let bureau = Some(on(3).wall);
        assert!(matches!(third.due(bureau, on(3)), Some(Due::Older(_, gap)) if gap == DAY * 3));
    }

    #[test]
    fn a_slow_answer_neither_confirms_nor_denies() {
        let (ages, now) = believed();
        let apart = |ms: i64| WallTime::from_millis(now.wall.as_millis() - ms);
        let word =
            |ms, s| Word { time: apart(ms), uncertainty: Duration::from_secs(s), slack: Duration::ZERO };
        let mut booted = Ages::resume(None, None, boot(1), now);
        for (ms, s, heard) in [
            (9000, 10, Heard::Unsettled),
            (0, 3, Heard::Unsettled),
            (-13_000, 10, Heard::Denied),
            (12_000, 10, Heard::Unsettled),
            (1000, 1, Heard::Confirmed),
            (12_000, 10, Heard::Unsettled),
        ] {
            let before = booted.doubt();
            assert_eq!(booted.hear(word(ms, s), BOUND, now), heard, "{ms} ms, to {s} s");
            if heard == Heard::Unsettled {
                assert_eq!(booted.doubt(), before);
            }
        }
        // What takes time is half of it away, either way.
        let slow = Word::exact(now.wall, Duration::from_secs(8));
        assert_eq!((slow.time, slow.uncertainty), (now.wall.plus(DAY / 21_600), DAY / 21_600));
        // A `Date` confirms a clock at its middle, and forgives its own second alone.
        let mut dated = ages;
        let date = |ahead_ms: i64| Word::date(apart(500 + ahead_ms), Duration::ZERO);
        assert_eq!(dated.hear(date(2000), BOUND, now), Heard::Confirmed);
        assert_eq!(dated.hear(date(2001), BOUND, now), Heard::Unsettled);
        assert_eq!(dated.hear(date(3001), BOUND, now), Heard::Denied);
    }

    #[test]
    fn a_grace_counts_from_the_agent_s_first_start_in_a_boot() {
        let (ages, now) = believed();
        let on = |hours: u64| at(hours * 3_600_000, WALL + 86_400_000 + hours as i64 * 3_600_000);
        // The machine ran for two days before the agent did.
        let late = after_crash(ages.marks(now), None, 2, on(48));
        assert_eq!(late.due(None, on(48)), None);
        // Another start in the same boot does not begin it anew.
        let mut again = after_crash(late.marks(on(48)), None, 2, on(49));
        let Some(due @ Due::Older(..)) = again.due(None, on(49)) else { panic!() };
        again.counted(due);
        assert_eq!(again.due(None, on(71)), None);
        assert!(matches!(again.due(None, on(72)), Some(Due::WaitingOlder(..))));
    }

    #[test]
    fn a_long_stop_excuses_no_more_than_a_second_of_drift() {
        let (ages, now) = believed();
        let after =
            |step: i64| at(now.boot.as_millis() + 86_400_000, now.wall.as_millis() + 86_400_000 + step);
        let doubt = |step| after_crash(ages.marks(now), None, 1, after(step)).doubt();
        assert_eq!((doubt(1250), doubt(-1250)), (None, None));
        assert_eq!(doubt(1251), Some(Doubt::Stepped(1251)));
        assert_eq!(doubt(-60_000), Some(Doubt::Stepped(-60_000)));
    }

    #[test]
    fn a_step_that_nobody_saw_is_told_before_the_word_that_settles_it() {
        let (mut ages, now) = believed();
        let later = at(now.boot.as_millis() + 1000, now.wall.as_millis() + 31_000);
        assert_eq!(ages.hear(exact(later.wall), BOUND, later), Heard::Confirmed);
        let news = ages.take_news();
        let step = News::Doubted(Doubt::Stepped(30_000));
        assert_eq!(news, [(later.wall, step), (later.wall, News::Confirmed(later.wall))]);
        ages.put_back(news.clone());
        assert_eq!(ages.take_news(), news);
    }

    proptest! {
        #[test]
        fn whatever_the_wall_clock_does_data_never_gets_younger(steps in proptest::collection::vec((1u64..10_000_000, any::<i32>(), any::<bool>()), 1..30)) {
            let mut now = at(5000, WALL);
            let mut boots = 1;
            let mut ages = Ages::resume(None, None, boot(1), now);
            let mut count = ages.now(now);
            for (ran, wall, reboot) in steps {
                let kept = ages.marks(now);
                now = at(now.boot.as_millis() + ran, WALL + i64::from(wall) * 1000);
                if reboot {
                    boots += 1;
                    now.boot = BoxTime::from_millis(ran);
                    ages = Ages::resume(Some(kept), None, boot(boots), now);
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
