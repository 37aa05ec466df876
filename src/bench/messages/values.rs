//! Values of a message, each as untidy as real ones are.

use super::loose::{Loose, raw, text};
use crate::bench::chance::Chance;

/// People and places that nobody has: what a reader must drop.
const NAMES: [&str; 6] = ["王小明", "李娜", "欧阳修远", "张 三", "Ada \"Q\" Li", "某某医院\\分院"];

/// A name.
pub(super) fn name(chance: &mut Chance) -> String {
    chance.pick(&NAMES).to_owned()
}

/// A number of something, as letters and digits.
pub(super) fn number(prefix: &str, chance: &mut Chance) -> String {
    format!("{prefix}{:012}", chance.bits() % 1_000_000_000_000)
}

/// Text, or the same as a number where it is one without a zero in front.
pub(super) fn maybe_number(value: &str, chance: &mut Chance) -> Loose {
    let plain = value.bytes().all(|b| b.is_ascii_digit()) && !value.starts_with('0');
    match chance.below(6) {
        0 if plain => raw(value),
        1 => text(format!(" {value} ")),
        _ => text(value),
    }
}

/// An amount in yuan.
pub(super) fn amount(chance: &mut Chance) -> Loose {
    let (yuan, cents) = (chance.below(20_000), chance.below(100));
    match chance.below(8) {
        0 => raw(format!("{yuan}.{cents:02}")),
        1 => raw(yuan),
        2 => text(yuan.to_string()),
        3 => text(format!("  {yuan}.{cents:02} ")),
        4 => text(format!("{},{:03}.{cents:02}", yuan / 1000, yuan % 1000)),
        5 => text(format!("{yuan}.{cents:02}00")),
        6 => text(format!(".{cents:02}")),
        _ => text(format!("{yuan}.{cents:02}")),
    }
}

/// A time, with or without separators.
pub(super) fn time(chance: &mut Chance) -> String {
    let (month, day) = (1 + chance.below(12), 1 + chance.below(28));
    let (hour, minute, second) = (chance.below(24), chance.below(60), chance.below(60));
    let date = |mark: &str| format!("2026{mark}{month:02}{mark}{day:02}");
    match chance.below(7) {
        0 => format!("{}{hour:02}{minute:02}{second:02}", date("")),
        1 => format!("{}{hour:02}{minute:02}{second:02}123", date("")),
        2 => format!("{}T{hour:02}:{minute:02}:{second:02}+08:00", date("-")),
        3 => format!("{} {hour:02}:{minute:02}:{second:02}", date("/")),
        4 => format!("{} {hour:02}:{minute:02}:{second:02}.000", date("-")),
        5 => format!(" {}T{hour:02}:{minute:02}:{second:02} ", date("-")),
        _ => format!("{} {hour:02}:{minute:02}:{second:02}", date("-")),
    }
}

/// A kind of care.
pub(super) fn med_type(chance: &mut Chance) -> &'static str {
    chance.pick(&["11", "12", "13", "14", "21", "41", "9901", "1102", "52"])
}

/// Keys that no standard has, some with much beneath.
pub(super) fn extras(into: &mut Loose, chance: &mut Chance) {
    for _ in 0..chance.below(4) {
        let key =
            chance.pick(&["exp_content", "a_key_of_the_province", "备注", "psn_name", "certno", "addr"]);
        let value = match chance.below(6) {
            0 => raw("null"),
            1 => raw("-1.5e3"),
            2 => Loose::List(vec![text(name(chance)), raw("[]"), raw("{\"x\":[1,{}]}")]),
            3 => text("QUJD".repeat(chance.below(200))),
            _ => text(name(chance)),
        };
        into.put(key, value);
    }
}

/// The bytes of a text: UTF-8, with its mark, or GBK.
pub(super) fn encoded(text: &str, chance: &mut Chance) -> Vec<u8> {
    match chance.below(6) {
        0 => encoding_rs::GBK.encode(text).0.into_owned(),
        1 => [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        _ => text.as_bytes().to_vec(),
    }
}
