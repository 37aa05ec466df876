//! How times, amounts, digests and spans are written on pages.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::svg::chart::Unit;

/// A moment written by China's clock.
fn written(at: WallTime, form: &str) -> String {
    let shown = |t: Timestamp| Offset::constant(8).to_datetime(t).strftime(form).to_string();
    Timestamp::from_millisecond(at.as_millis()).map_or_else(|_| at.to_string(), shown)
}

/// A moment, to the minute.
pub(super) fn moment(at: WallTime) -> String {
    written(at, "%Y-%m-%d %H:%M")
}

/// A moment, to the second.
pub(super) fn second(at: WallTime) -> String {
    written(at, "%Y-%m-%d %H:%M:%S")
}

/// A moment, or a dash.
pub(super) fn moment_or_dash(at: Option<WallTime>) -> String {
    at.map_or_else(|| "–".to_owned(), moment)
}

/// The day of a moment.
pub(super) fn day(at: WallTime) -> Date {
    let at = Timestamp::from_millisecond(at.as_millis()).unwrap_or(Timestamp::UNIX_EPOCH);
    Offset::constant(8).to_datetime(at).date()
}

/// The beginning of a day in China.
pub(super) fn midnight(day: Date) -> Option<WallTime> {
    let at = Offset::constant(8).to_timestamp(day.at(0, 0, 0, 0)).ok()?;
    Some(WallTime::from_millis(at.as_millisecond()))
}

/// The first digits of a digest.
pub(super) fn short(digest: Sha256) -> String {
    digest.to_string().chars().take(16).collect()
}

/// An amount in fen, 0 or more, as yuan.
pub(super) fn yuan(fen: u64) -> String {
    format!("{}.{:02}", Unit::Count.write((fen / 100) as f64), fen % 100)
}

/// A span in the largest unit that tells it: days, hours, minutes, seconds.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_chinas_and_days_begin_there() {
        let at = WallTime::from_millis(1_795_276_800_000);
        assert_eq!(moment(at), "2026-11-22 00:00");
        assert_eq!(second(WallTime::from_millis(1_795_276_799_999)), "2026-11-21 23:59:59");
        assert_eq!(day(at).to_string(), "2026-11-22");
        assert_eq!(midnight("2026-11-22".parse().unwrap()), Some(at));
        assert_eq!([span(60), span(600), span(86_400), span(864_000)], ["60 s", "10 min", "24 h", "10 d"]);
    }

    #[test]
    fn amounts_are_written_as_people_read_them() {
        for (fen, text) in [(0, "0.00"), (5, "0.05"), (41_250, "412.50"), (123_456_789, "1,234,567.89")] {
            assert_eq!(yuan(fen), text);
        }
    }
}
