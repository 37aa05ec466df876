//! HL7 v2, and the frames of MLLP around it.

use super::loose::spoil_bytes;
use super::values::{encoded, name, number};
use crate::bench::chance::Chance;

/// A message that is to be understood, in any of the separators that a sender may choose.
pub(super) fn message(chance: &mut Chance) -> String {
    let kind =
        chance.pick(&["DFT^P03", "DFT^P03", "DFT^P03^DFT_P03", "ADT^A01", "ADT^A03", "ADT^A04", "ORU^R01"]);
    let at = format!("202611{:02}{:02}{:02}15", 1 + chance.below(28), chance.below(24), chance.below(60));
    let offset = chance.pick(&["", "", ".000", "+0800", ".000+0800"]);
    let class = chance.pick(&["O", "E", "R", "I", "P"]);
    let mut lines = vec![
        format!("MSH|^~\\&|D-7|H31010000001|CP||{at}||{kind}|{}|P|2.5", number("MSG", chance)),
        format!("EVN|P03|{at}"),
        format!(
            "PID|1||{}^^^NHSA^MI~31010119900101123X^^^GA^NI||{}||19900101|M",
            number("P", chance),
            plain(&name(chance))
        ),
        format!("PV1|1|{class}|||||||||||||||||{}", number("M", chance)),
    ];
    for part in 0..1 + chance.below(3) {
        let what = chance.pick(&["CG", "CG", "PY", "CO", "CD"]);
        let (yuan, cents) = (chance.below(9000), chance.below(100));
        let care = chance.pick(&["11", "14", "", "41"]);
        lines.push(format!(
            "FT1|{}|{}||{at}{offset}|{at}|{what}|||||{yuan}.{cents:02}^CNY|||||||{care}||||||op42^{}",
            part + 1,
            number("S", chance),
            plain(&name(chance))
        ));
    }
    if chance.one_in(3) {
        lines.push(format!("ZXX|{}|||||{}", plain(&name(chance)), "A".repeat(chance.below(500))));
    }
    let end = chance.pick(&["\r", "\r", "\r\n", "\n"]);
    let text = lines.into_iter().map(|l| l + end).collect::<String>();
    if chance.one_in(5) { text.replace('|', "#").replace('^', "!").replace('~', "%") } else { text }
}

/// A name cannot hold the separators.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !"|^~\\&#!%\"".contains(*c)).collect()
}

/// A message with something of it wrong.
pub(super) fn spoil(text: &mut String, chance: &mut Chance) {
    let mut fields: Vec<String> = text.split('|').map(str::to_owned).collect();
    for _ in 0..1 + chance.below(4) {
        let (a, b) = (chance.below(fields.len()), chance.below(fields.len()));
        match chance.below(6) {
            0 => fields.swap(a, b),
            1 => drop(fields.remove(a)),
            2 => fields.insert(a, String::new()),
            3 => fields.iter_mut().skip(a).take(1).for_each(|f| *f = "9".repeat(300)),
            4 => fields.iter_mut().skip(a).take(1).for_each(|f| *f = "^~&\\|\r王\u{0}\"\"".into()),
            _ => {
                let copy = fields.get(b).cloned().unwrap_or_default();
                fields.iter_mut().skip(a).take(1).for_each(|f| f.push_str(&copy));
            }
        }
        if fields.is_empty() {
            break;
        }
    }
    *text = fields.join("|");
}

/// What comes over a connection: messages in their frames, one after the other.
pub(super) fn stream(chance: &mut Chance) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..1 + chance.below(4) {
        out.extend_from_slice(chance.pick(&[b"".as_slice(), b"", b"\r\n", b" "]));
        out.push(0x0b);
        let mut text = message(chance);
        if chance.one_in(3) {
            spoil(&mut text, chance);
        }
        out.extend(encoded(&text, chance));
        out.extend_from_slice(b"\x1c\r");
    }
    out
}

/// A connection on which something went wrong.
pub(super) fn spoilt_stream(chance: &mut Chance) -> Vec<u8> {
    let mut out = stream(chance);
    if chance.one_in(3) {
        let at = chance.below(out.len());
        let mark = chance.pick(&[b"\x0b".as_slice(), b"\x1c", b"\x1c\r", b"\r"]);
        out.splice(at..at, mark.iter().copied());
    } else {
        spoil_bytes(&mut out, chance);
    }
    out
}
