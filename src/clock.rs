//! What time it is, and how sure that is.
//!
//! Three clocks meet at a counter: the box's time since boot, which never
//! steps and orders frames; its wall clock, which people read and which can be
//! wrong; and the HIS's wall clock, written into each settlement. They are
//! three types, and a HIS time becomes a box time only through a [`ClockMap`],
//! which carries a bound on the error or refuses.
//!
//! Promises: [`BoxTime`] never goes backwards within one boot; no conversion
//! without a bound. It does not set or discipline any clock.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Milliseconds since the box booted, suspended time included
/// (`CLOCK_BOOTTIME`). Orders everything that happens on one box in one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoxTime(u64);

impl BoxTime {
    /// From milliseconds since boot.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since boot.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment `d` later.
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.saturating_add(d.as_millis() as u64))
    }

    /// The moment `d` earlier, or the boot itself.
    pub fn minus(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(d.as_millis() as u64))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The distance between two moments, whichever is first.
    pub fn distance(self, other: Self) -> Duration {
        Duration::from_millis(self.0.abs_diff(other.0))
    }
}

/// Milliseconds since 1970 in UTC by the box's wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(i64);

impl WallTime {
    /// From milliseconds since 1970 UTC.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970 UTC.
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
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Display for WallTime {
    /// RFC 3339 in UTC, to the millisecond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => write!(f, "{} ms since 1970", self.0),
        }
    }
}

/// A moment as the HIS wrote it, by the HIS's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HisTime(Timestamp);

impl HisTime {
    /// From a time stamp that the HIS wrote.
    pub const fn new(t: Timestamp) -> Self {
        Self(t)
    }

    /// The time stamp as written.
    pub const fn timestamp(self) -> Timestamp {
        self.0
    }
}

/// Both clocks of the box, read together.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Since boot.
    pub boot: BoxTime,
    /// By the wall clock.
    pub wall: WallTime,
}

/// Which boot of the machine this is: two moments by [`BoxTime`] compare only
/// within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(uuid::Uuid);

impl BootId {
    /// From 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Uuid::from_bytes(bytes))
    }

    /// The kernel's (`/proc/sys/kernel/random/boot_id`). Where it cannot be
    /// read, one of its own: every start then counts as a boot.
    pub fn of_this_boot() -> Self {
        let told = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        Self(told.ok().and_then(|t| t.trim().parse().ok()).unwrap_or_else(uuid::Uuid::now_v7))
    }
}

/// Where the program gets the time; a test turns its own.
pub trait Clock: Send + Sync + 'static {
    /// Both clocks at this moment.
    fn now(&self) -> Now;
}

/// The kernel's clocks.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Now {
            boot: BoxTime(t.tv_sec as u64 * 1000 + t.tv_nsec as u64 / 1_000_000),
            wall: WallTime(Timestamp::now().as_millisecond()),
        }
    }
}

/// A clock that stands still until it is turned.
#[derive(Debug)]
pub struct ManualClock(Mutex<Now>);

impl ManualClock {
    /// Starts at the given moment.
    pub fn new(now: Now) -> Self {
        Self(Mutex::new(now))
    }

    /// Turns both clocks forward.
    pub fn advance(&self, d: Duration) {
        let mut now = self.0.lock().unwrap_or_else(|e| e.into_inner());
        now.boot = now.boot.plus(d);
        now.wall = now.wall.plus(d);
    }

    /// Steps the wall clock alone, as an NTP correction does.
    pub fn step_wall(&self, to: WallTime) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).wall = to;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        *self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Why a HIS time could not be placed on the box's time line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ClockDoubt {
    /// The HIS says that the settlement is still to come.
    #[error(
        "the settlement's time is {ahead_ms} ms ahead of this box's clock; at most {allowed_ms} ms is allowed: compare the HIS's clock with the box's"
    )]
    InFuture {
        /// How far ahead, in milliseconds.
        ahead_ms: u64,
        /// How far ahead it may be.
        allowed_ms: u64,
    },
    /// The message came later than the ring reaches back.
    #[error(
        "the settlement's time is {behind_ms} ms before its arrival; at most {allowed_ms} ms is allowed: the message was delayed, or the clocks differ"
    )]
    TooOld {
        /// How far behind, in milliseconds.
        behind_ms: u64,
        /// How far behind it may be.
        allowed_ms: u64,
    },
}

/// Places HIS times on the box's time line, within a stated bound.
#[derive(Debug, Clone, Copy)]
pub struct ClockMap {
    /// Largest assumed difference between the HIS's clock and the box's.
    pub error: Duration,
    /// Longest accepted time between a settlement and its message.
    pub delay: Duration,
}

impl ClockMap {
    /// The box time of a HIS time, right to within `±self.error`.
    ///
    /// # Errors
    /// [`ClockDoubt`] if the time lies ahead by more than the error, or behind
    /// by more than error and delay together.
    pub fn place(&self, his: HisTime, now: Now) -> Result<BoxTime, ClockDoubt> {
        let behind = now.wall.0.saturating_sub(his.0.as_millisecond());
        let error = self.error.as_millis() as u64;
        let allowed = error.saturating_add(self.delay.as_millis() as u64);
        let distance = behind.unsigned_abs();
        if behind < 0 {
            if distance > error {
                return Err(ClockDoubt::InFuture { ahead_ms: distance, allowed_ms: error });
            }
            return Ok(BoxTime(now.boot.0.saturating_add(distance)));
        }
        if distance > allowed || distance > now.boot.0 {
            return Err(ClockDoubt::TooOld { behind_ms: distance, allowed_ms: allowed.min(now.boot.0) });
        }
        Ok(BoxTime(now.boot.0 - distance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAP: ClockMap = ClockMap { error: Duration::from_secs(2), delay: Duration::from_secs(5) };

    fn his(ms: i64) -> HisTime {
        HisTime(Timestamp::from_millisecond(ms).unwrap())
    }

    #[test]
    fn a_time_ahead_of_the_bound_is_refused() {
        let now = Now { boot: BoxTime(100_000), wall: WallTime(1_000_000) };
        assert_eq!(MAP.place(his(1_001_999), now), Ok(BoxTime(101_999)));
        assert!(matches!(MAP.place(his(1_002_001), now), Err(ClockDoubt::InFuture { ahead_ms: 2001, .. })));
        assert!(matches!(MAP.place(his(992_999), now), Err(ClockDoubt::TooOld { behind_ms: 7001, .. })));
    }

    #[test]
    fn a_box_that_has_just_booted_knows_no_time_before_it() {
        let now = Now { boot: BoxTime(1_000), wall: WallTime(1_000_000) };
        assert!(MAP.place(his(998_000), now).is_err());
    }

    proptest! {
        #[test]
        fn placing_never_panics_and_stays_within_the_bounds(wall in any::<i64>(), boot in any::<u64>(), at in -377_705_023_201_000i64..253_402_207_200_000) {
            let now = Now { boot: BoxTime(boot), wall: WallTime(wall) };
            if let Ok(t) = MAP.place(his(at), now) {
                prop_assert!(t.distance(now.boot) <= Duration::from_secs(7));
            }
        }
    }
}
