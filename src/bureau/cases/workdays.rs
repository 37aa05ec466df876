//! Working days in China: Monday to Friday, save the holidays, and the weekend days
//! that are worked in their place.
//!
//! Promises: the day from which a period is counted is not in it; a period ends on a
//! working day; a day of a year without a holiday table is counted by the week alone,
//! and the result says so. It knows no holiday of its own: the State Council sets them
//! anew each autumn, and somebody writes them into the configuration.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, Weekday};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};

use crate::clock::WallTime;

/// The day in China of a moment; the last day there is for one beyond it.
pub fn day_of(at: WallTime) -> Date {
    Timestamp::from_millisecond(at.as_millis())
        .map_or(Date::MAX, |t| Offset::constant(8).to_datetime(t).date())
}

/// The first moment of a day in China.
pub fn start_of(day: Date) -> WallTime {
    let start = Offset::constant(8).to_timestamp(day.at(0, 0, 0, 0));
    WallTime::from_millis(start.map_or(i64::MAX, Timestamp::as_millisecond))
}

/// A day by which something must be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// The last day on which it is in time.
    pub day: Date,
    /// Whether all years that were counted through have a holiday table.
    pub by_table: bool,
}

/// The holidays of the years that the configuration knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calendar {
    years: BTreeMap<i16, Year>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Year {
    holidays: BTreeSet<Date>,
    worked: BTreeSet<Date>,
}

impl Calendar {
    /// Adds the table of a year: its holidays, and weekend days that are worked.
    pub fn set(
        &mut self,
        year: i16,
        holidays: impl IntoIterator<Item = Date>,
        worked: impl IntoIterator<Item = Date>,
    ) {
        let table = Year { holidays: holidays.into_iter().collect(), worked: worked.into_iter().collect() };
        self.years.insert(year, table);
    }

    /// Whether there is a table of a year.
    pub fn knows(&self, year: i16) -> bool {
        self.years.contains_key(&year)
    }

    /// Whether offices work on a day.
    pub fn works(&self, day: Date) -> bool {
        let week = !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
        match self.years.get(&day.year()) {
            Some(table) => table.worked.contains(&day) || (week && !table.holidays.contains(&day)),
            None => week,
        }
    }

    /// The `days`th working day after `from`; `from` itself where `days` is 0.
    pub fn after(&self, from: Date, days: u32) -> Due {
        let mut due = Due { day: from, by_table: true };
        let mut left = days;
        while left > 0 {
            let Ok(next) = due.day.tomorrow() else { break };
            due.day = next;
            due.by_table &= self.knows(next.year());
            left -= u32::from(self.works(next));
        }
        due
    }

    /// The day `months` later, or the first working day after it if nobody works then.
    pub fn months_after(&self, from: Date, months: u32) -> Due {
        let day = from.saturating_add(i64::from(months).months());
        let mut due = Due { day, by_table: self.knows(day.year()) };
        while !self.works(due.day) {
            let Ok(next) = due.day.tomorrow() else { break };
            due = Due { day: next, by_table: due.by_table && self.knows(next.year()) };
        }
        due
    }

    /// How many working days lie after `from`, up to `to` and with it.
    pub fn between(&self, from: Date, to: Date) -> u32 {
        let mut day = from;
        let mut days = 0;
        while day < to {
            let Ok(next) = day.tomorrow() else { break };
            day = next;
            days += u32::from(self.works(day));
        }
        days
    }
}

#[cfg(test)]
pub(in crate::bureau) mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    /// 2025 and 2026 as the State Council's office announced them.
    pub(in crate::bureau) fn announced() -> Calendar {
        super::super::config::tests::example().calendar()
    }

    fn due(calendar: &Calendar, from: Date, days: u32) -> Date {
        let due = calendar.after(from, days);
        assert!(due.by_table, "{from} and {days}");
        due.day
    }

    #[test]
    fn seven_days_before_national_day_end_after_it() {
        let c = announced();
        // Of 2026: 20 September is worked, 25 to 27 September and 1 to 7 October are free.
        assert_eq!(due(&c, date(2026, 9, 18), 7), date(2026, 9, 29));
        assert_eq!(due(&c, date(2026, 9, 28), 7), date(2026, 10, 13));
        assert_eq!(due(&c, date(2026, 9, 30), 1), date(2026, 10, 8));
        // 10 October, a Saturday, is worked.
        assert_eq!(due(&c, date(2026, 9, 30), 3), date(2026, 10, 10));
        // Of 2025: with the Mid-Autumn Festival, 1 to 8 October; 28 September and 11 October are worked.
        assert_eq!(due(&c, date(2025, 9, 26), 7), date(2025, 10, 13));
        assert_eq!(due(&c, date(2025, 9, 27), 1), date(2025, 9, 28));
    }

    #[test]
    fn spring_festival_and_new_year_are_not_counted() {
        let c = announced();
        // Of 2026: 15 to 23 February are free, the Saturdays 14 and 28 are worked.
        assert_eq!(due(&c, date(2026, 2, 13), 3), date(2026, 2, 25));
        assert_eq!(due(&c, date(2026, 2, 14), 1), date(2026, 2, 24));
        assert_eq!(due(&c, date(2026, 2, 11), 15), date(2026, 3, 10));
        // Of 2025: 28 January to 4 February; 26 January and 8 February are worked.
        assert_eq!(due(&c, date(2025, 1, 24), 7), date(2025, 2, 10));
        // Across the year: 1 to 3 January 2026 are free, Sunday 4 January is worked.
        assert_eq!(due(&c, date(2025, 12, 31), 1), date(2026, 1, 4));
        assert_eq!(due(&c, date(2025, 12, 31), 2), date(2026, 1, 5));
    }

    #[test]
    fn a_year_without_a_table_is_counted_by_the_week_and_says_so() {
        let c = announced();
        assert!(!c.knows(2027));
        assert_eq!(c.after(date(2026, 12, 30), 2), Due { day: date(2027, 1, 1), by_table: false });
        assert_eq!(c.after(date(2026, 12, 30), 1), Due { day: date(2026, 12, 31), by_table: true });
        assert_eq!(c.after(date(2024, 12, 31), 1), Due { day: date(2025, 1, 2), by_table: true });
    }

    #[test]
    fn months_end_on_a_working_day() {
        let c = announced();
        // Three months after 1 July 2026 is a holiday until the 7th.
        assert_eq!(c.months_after(date(2026, 7, 1), 3), Due { day: date(2026, 10, 8), by_table: true });
        assert_eq!(c.months_after(date(2025, 11, 30), 3).day, date(2026, 2, 28));
        assert!(!c.months_after(date(2026, 9, 1), 6).by_table);
    }

    #[test]
    fn a_day_is_the_one_in_china() {
        let evening: Timestamp = "2026-11-22T15:59:59Z".parse().unwrap();
        let at = WallTime::from_millis(evening.as_millisecond());
        assert_eq!(day_of(at), date(2026, 11, 22));
        assert_eq!(day_of(WallTime::from_millis(at.as_millis() + 1000)), date(2026, 11, 23));
        assert_eq!(start_of(date(2026, 11, 23)).as_millis(), at.as_millis() + 1000);
    }

    fn days() -> impl Strategy<Value = Date> {
        (0..3000_i64).prop_map(|n| date(2022, 1, 1).saturating_add(n.days()))
    }

    proptest! {
        #[test]
        fn a_period_holds_as_many_working_days_as_were_asked_for(from in days(), n in 0..200_u32) {
            let c = announced();
            let end = c.after(from, n);
            prop_assert_eq!(c.between(from, end.day), n);
            prop_assert!(n == 0 || c.works(end.day));
            prop_assert!(c.after(from, n + 1).day > end.day);
        }

        #[test]
        fn periods_add_up(from in days(), a in 0..60_u32, b in 0..60_u32) {
            let c = announced();
            prop_assert_eq!(c.after(c.after(from, a).day, b).day, c.after(from, a + b).day);
        }

        #[test]
        fn a_later_beginning_never_ends_earlier(from in days(), later in 0..30_i64, n in 1..60_u32) {
            let c = announced();
            prop_assert!(c.after(from.saturating_add(later.days()), n).day >= c.after(from, n).day);
        }

        #[test]
        fn months_end_no_earlier_and_within_a_long_holiday(from in days(), n in 1..24_u32) {
            let c = announced();
            let end = c.months_after(from, n).day;
            let plain = from.saturating_add(i64::from(n).months());
            prop_assert!(end >= plain && c.works(end) && (end - plain).get_days() < 12);
        }
    }
}
