//! Values as real messages write them: numbers as text, times with or without
//! separators, texts in GBK.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::clock::HisTime;
use crate::protocol::settlement::MAX_AMOUNT_FEN;

/// The clocks of the national platform and of hospitals show China time.
const CHINA: Offset = Offset::constant(8);

/// The text of a message: UTF-8, else GBK (in its successor GB 18030).
pub(super) fn text(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(Cow::Borrowed(text));
    }
    encoding_rs::GB18030
        .decode_without_bom_handling_and_without_replacement(bytes)
        .ok_or_else(|| "neither UTF-8 nor GBK; send one of the two".to_owned())
}

/// An amount in yuan, as `412.5`, `412.50`, `1,412.50` or ` 412.50`, in fen.
pub(super) fn fen(text: &str) -> Result<u64, String> {
    let refuse = |why: &str| {
        let found: String = text.chars().take(40).collect();
        Err(format!("found `{}`; {why}", found.escape_debug()))
    };
    let plain: String = text.trim().chars().filter(|c| *c != ',').collect();
    let (yuan, rest) = plain.split_once('.').unwrap_or((&plain, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if (yuan.is_empty() && rest.is_empty()) || !digits(yuan) || !digits(rest) {
        return refuse("expected an amount in yuan, such as 412.50");
    }
    if rest.bytes().skip(2).any(|b| b != b'0') {
        return refuse("an amount in yuan has at most two decimals");
    }
    let cents: String = rest.chars().chain("00".chars()).take(2).collect();
    let whole = if yuan.is_empty() { "0" } else { yuan };
    match format!("{whole}{cents}").parse::<u64>() {
        Ok(fen) if fen <= MAX_AMOUNT_FEN => Ok(fen),
        _ => refuse("more than 1,000,000,000 yuan; is the unit yuan?"),
    }
}

/// A time as `2026-11-22 09:10:15`, `2026-11-22T09:10:15`, `2026/11/22 09:10:15`,
/// `20261122091015`, with or without a fraction; China time unless it names its offset.
pub(super) fn time(text: &str) -> Result<HisTime, String> {
    let trimmed = text.trim();
    if let Ok(with_offset) = trimmed.parse::<Timestamp>() {
        return Ok(HisTime::new(with_offset));
    }
    let refuse = || {
        let found: String = text.chars().take(40).collect();
        format!(
            "found `{}`; expected a time such as 2026-11-22 09:10:15 or 20261122091015",
            found.escape_debug()
        )
    };
    let (seconds, fraction) = trimmed.split_once('.').unwrap_or((trimmed, ""));
    let digits: String = seconds.chars().filter(char::is_ascii_digit).collect();
    let only = |c: char| c.is_ascii_digit() || "-/: T".contains(c);
    // Milliseconds may follow without a point: yyyyMMddHHmmssSSS.
    let (seconds_digits, more) = digits.split_at_checked(14).ok_or_else(refuse)?;
    if !seconds.chars().all(only)
        || !matches!(more.len(), 0 | 3)
        || !fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(refuse());
    }
    let civil = DateTime::strptime("%Y%m%d%H%M%S", seconds_digits).map_err(|_| refuse())?;
    let at = CHINA.to_timestamp(civil).map_err(|_| refuse())?;
    let millis: String = more.chars().chain(fraction.chars()).chain("000".chars()).take(3).collect();
    let millis: i64 = millis.parse().map_err(|_| refuse())?;
    Timestamp::from_millisecond(at.as_millisecond() + millis).map(HisTime::new).map_err(|_| refuse())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_read_as_hospitals_write_them() {
        for (text, expected) in [
            ("412.5", 41250),
            (" 412.50 ", 41250),
            ("1,412.50", 141_250),
            ("412", 41200),
            (".5", 50),
            ("0.00", 0),
            ("412.5000", 41250),
            ("0000412.05", 41205),
        ] {
            assert_eq!(fen(text), Ok(expected), "{text}");
        }
        for bad in ["", ".", "-1", "4e2", "412.505", "１２", "1.2.3", "99999999999999999999", "1000000001"]
        {
            assert!(fen(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_read_with_or_without_separators() {
        for text in [
            "2026-11-22 09:10:15",
            "2026-11-22T09:10:15",
            "2026/11/22 09:10:15",
            "20261122091015",
            "20261122 091015",
            "2026-11-22T01:10:15Z",
            "2026-11-22T09:10:15+08:00",
            "2026-11-22 09:10:15.0",
        ] {
            assert_eq!(time(text).unwrap().timestamp().to_string(), "2026-11-22T01:10:15Z", "{text}");
        }
        assert_eq!(time("20261122091015123").unwrap().timestamp().to_string(), "2026-11-22T01:10:15.123Z");
        for bad in
            ["", "2026-11-22", "20261322091015", "2026-11-22 25:10:15", "yesterday", "2026112209101512"]
        {
            assert!(time(bad).unwrap_err().contains("expected a time"), "{bad}");
        }
    }

    #[test]
    fn a_message_in_gbk_is_read() {
        let (bytes, ..) = encoding_rs::GBK.encode("{\"opter_name\":\"收费处三号窗口\"}");
        assert_eq!(text(&bytes).unwrap(), "{\"opter_name\":\"收费处三号窗口\"}");
        assert_eq!(text(b"\xef\xbb\xbf{}").unwrap(), "{}");
        assert!(text(&[0xff, 0xff, 0x00]).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(t in ".{0,40}") {
            let _ = (fen(&t), time(&t));
        }

        #[test]
        fn an_amount_is_the_one_that_was_written(yuan in 0_u64..1_000_000_000, cents in 0_u64..100) {
            prop_assert_eq!(fen(&format!("{yuan}.{cents:02}")), Ok(yuan * 100 + cents));
        }
    }
}
