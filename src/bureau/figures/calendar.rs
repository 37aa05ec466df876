//! Days and months as people in China count them (UTC+8, no summer time).

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};

use crate::clock::WallTime;

/// A text that is no day or month.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("found `{found}`; allowed: {allowed}")]
pub struct NoDate {
    found: String,
    allowed: &'static str,
}

impl NoDate {
    fn of(found: &str, allowed: &'static str) -> Self {
        Self { found: found.chars().take(20).collect(), allowed }
    }
}

const EPOCH: Date = Date::constant(1970, 1, 1);

/// A day, as the store counts them: days since 1 January 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    /// The day of a moment.
    pub const fn of(at: WallTime) -> Self {
        Self((at.as_millis() + 8 * 3_600_000).div_euclid(86_400_000))
    }

    /// From days since 1 January 1970.
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// Days since 1 January 1970.
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The day so many days later; earlier if it is below 0.
    pub const fn plus(self, days: i64) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// The moment when it begins.
    pub const fn begins(self) -> WallTime {
        WallTime::from_millis(self.0.saturating_mul(86_400_000).saturating_sub(8 * 3_600_000))
    }

    fn date(self) -> Date {
        // A day beyond the calendar is its last: no clock says one.
        EPOCH.saturating_add(self.0.clamp(-3_000_000, 2_900_000).days())
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date().fmt(f)
    }
}

impl FromStr for Day {
    type Err = NoDate;

    /// One way to write a day, so that none is understood otherwise than it was meant.
    fn from_str(text: &str) -> Result<Self, NoDate> {
        let date = text.parse::<Date>().ok().filter(|d| d.to_string() == text && d.year() >= 1970);
        let days = date.and_then(|d| Some(Offset::UTC.to_timestamp(d.at(0, 0, 0, 0)).ok()?.as_second()));
        days.map(|s| Self(s / 86_400)).ok_or_else(|| NoDate::of(text, "a day as YYYY-MM-DD"))
    }
}

/// Days from the first to the last, both among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// The first.
    pub first: Day,
    /// The last; not before the first.
    pub last: Day,
}

/// Most days that are looked at together: five years.
pub const MOST_DAYS: i64 = 1827;

impl Days {
    /// The days between two, whichever is first; the latest [`MOST_DAYS`] of them.
    pub fn between(a: Day, b: Day) -> Self {
        let (first, last) = (a.min(b), a.max(b));
        Self { first: first.max(last.plus(1 - MOST_DAYS)), last }
    }

    /// How many they are.
    pub const fn count(self) -> i64 {
        self.last.0 - self.first.0 + 1
    }

    /// Each of them.
    pub fn each(self) -> impl Iterator<Item = Day> {
        (self.first.0..=self.last.0).map(Day)
    }

    /// The first and the last, as the store counts them.
    pub const fn numbers(self) -> (i64, i64) {
        (self.first.0, self.last.0)
    }

    /// From when until, and without, when.
    pub const fn moments(self) -> (WallTime, WallTime) {
        (self.first.begins(), self.last.plus(1).begins())
    }
}

/// A month, as the store counts them: 202611 is November 2026.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(i64);

impl Month {
    /// From such a number.
    ///
    /// # Errors
    /// If it is none, before 1970 or beyond 9998.
    pub fn from_number(number: i64) -> Result<Self, NoDate> {
        let (year, month) = (number.div_euclid(100), number.rem_euclid(100));
        let fits = (1970..9999).contains(&year) && (1..=12).contains(&month);
        if fits { Ok(Self(number)) } else { Err(NoDate::of(&number.to_string(), "a month as YYYY-MM")) }
    }

    /// As the store counts it.
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The month of a moment.
    pub fn of(at: WallTime) -> Self {
        let date = Timestamp::from_millisecond(at.as_millis())
            .map_or(EPOCH, |t| Offset::constant(8).to_datetime(t).date());
        Self(i64::from(date.year().clamp(1970, 9998)) * 100 + i64::from(date.month()))
    }

    /// The month so many months later; earlier if it is below 0.
    pub fn plus(self, months: i64) -> Self {
        let all = self.0.div_euclid(100) * 12 + self.0.rem_euclid(100) - 1;
        let all = all.saturating_add(months).clamp(1970 * 12, 9998 * 12 + 11);
        Self(all.div_euclid(12) * 100 + all.rem_euclid(12) + 1)
    }

    /// The moment when it begins.
    pub fn begins(self) -> WallTime {
        let first = format!("{self}-01").parse::<Day>();
        first.map_or(WallTime::from_millis(0), Day::begins)
    }

    /// The moment when it is over.
    pub fn ends(self) -> WallTime {
        self.plus(1).begins()
    }

    /// Each month from this to another, both among them; none if that is earlier.
    pub fn up_to(self, last: Self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |m| Some(m.plus(1))).take_while(move |m| *m <= last)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(100), self.0.rem_euclid(100))
    }
}

impl FromStr for Month {
    type Err = NoDate;

    fn from_str(text: &str) -> Result<Self, NoDate> {
        let no = || NoDate::of(text, "a month as YYYY-MM");
        let (year, month) = text.split_once('-').ok_or_else(no)?;
        let digits = |t: &str, n: usize| t.len() == n && t.bytes().all(|b| b.is_ascii_digit());
        if !digits(year, 4) || !digits(month, 2) {
            return Err(no());
        }
        let number = format!("{year}{month}").parse().map_err(|_| no())?;
        Self::from_number(number).map_err(|_| no())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_day_begins_at_midnight_in_beijing() {
        let eight: Timestamp = "2026-11-21T16:00:00Z".parse().unwrap();
        let at = WallTime::from_millis(eight.as_millisecond());
        assert_eq!(Day::of(at).to_string(), "2026-11-22");
        assert_eq!(Day::of(WallTime::from_millis(at.as_millis() - 1)).to_string(), "2026-11-21");
        assert_eq!(Day::of(at).begins(), at);
        assert_eq!(Month::of(at).to_string(), "2026-11");
    }

    #[test]
    fn what_is_no_day_or_month_is_refused() {
        for bad in ["2026-13-01", "20261122", "2026-11-22T00:00", "1969-12-31", ""] {
            assert!(bad.parse::<Day>().is_err(), "{bad}");
        }
        for bad in ["2026-13", "2026-00", "202611", "26-11", "2026-1", "1969-12", "+026-11", ""] {
            assert!(bad.parse::<Month>().is_err(), "{bad}");
        }
        let e = "tomorrow".parse::<Day>().unwrap_err().to_string();
        assert_eq!(e, "found `tomorrow`; allowed: a day as YYYY-MM-DD");
    }

    #[test]
    fn months_go_over_the_year() {
        let m: Month = "2026-11".parse().unwrap();
        let all: Vec<_> = m.up_to(m.plus(3)).map(|m| m.to_string()).collect();
        assert_eq!(all, ["2026-11", "2026-12", "2027-01", "2027-02"]);
        assert_eq!(m.plus(-11).to_string(), "2025-12");
        assert_eq!(Day::of(m.ends()).to_string(), "2026-12-01");
        assert_eq!(m.up_to(m.plus(-1)).count(), 0);
    }

    proptest! {
        #[test]
        fn days_and_months_are_read_as_they_are_written(number in 0i64..2_900_000, at in 0i64..200_000_000_000_000) {
            let day = Day::from_number(number);
            prop_assert_eq!(day.to_string().parse::<Day>().unwrap(), day);
            prop_assert_eq!(Day::of(day.begins()), day);
            let month = Month::of(WallTime::from_millis(at));
            prop_assert_eq!(month.to_string().parse::<Month>().unwrap(), month);
            prop_assert!(month.begins().as_millis() <= at && at < month.ends().as_millis());
        }

        #[test]
        fn a_period_is_bounded(a in -9_000_000i64..9_000_000, b in -9_000_000i64..9_000_000) {
            let days = Days::between(Day::from_number(a), Day::from_number(b));
            prop_assert!((1..=MOST_DAYS).contains(&days.count()));
            prop_assert_eq!(days.each().count() as i64, days.count());
        }
    }
}
