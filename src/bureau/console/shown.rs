//! How times, digests and spans are written on pages.

use jiff::Timestamp;
use jiff::tz::Offset;

use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::svg::chart::Unit;

/// A moment, as clocks in China show it.
pub(super) fn moment(at: WallTime) -> String {
    let shown =
        |t: Timestamp| t.to_zoned(Offset::constant(8).to_time_zone()).strftime("%Y-%m-%d %H:%M").to_string();
    Timestamp::from_millisecond(at.as_millis()).map_or_else(|_| at.to_string(), shown)
}

/// A moment, or a dash.
pub(super) fn moment_or_dash(at: Option<WallTime>) -> String {
    at.map_or_else(|| "–".to_owned(), moment)
}

/// Today in China.
pub(super) fn today(now: WallTime) -> jiff::civil::Date {
    let at = Timestamp::from_millisecond(now.as_millis()).unwrap_or(Timestamp::UNIX_EPOCH);
    Offset::constant(8).to_datetime(at).date()
}

/// The beginning of a day in China.
pub(super) fn day(text: &str) -> Option<WallTime> {
    let date: jiff::civil::Date = text.parse().ok()?;
    let at = Offset::constant(8).to_timestamp(date.at(0, 0, 0, 0)).ok()?;
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
        assert_eq!(today(at).to_string(), "2026-11-22");
        assert_eq!(day("2026-11-22").map(moment).as_deref(), Some("2026-11-22 00:00"));
        assert_eq!(day("22.11.2026"), None);
        assert_eq!([0, 5, 41_250, 123_456_789].map(yuan), ["0.00", "0.05", "412.50", "1,234,567.89"]);
        assert_eq!([span(60), span(600), span(86_400), span(864_000)], ["60 s", "10 min", "24 h", "10 d"]);
    }
}
