//! JSON as it is written out there: keys in any order and twice, spaces where nobody
//! wants them, numbers that no type holds, nests of lists. And how a document is spoilt.

use crate::bench::chance::Chance;

/// A value that is written as it is.
#[derive(Debug, Clone)]
pub(super) enum Loose {
    Text(String),
    /// A number, `true`, `null`, or what is none of these.
    Raw(String),
    List(Vec<Loose>),
    Object(Vec<(String, Loose)>),
}

/// Text.
pub(super) fn text(value: impl Into<String>) -> Loose {
    Loose::Text(value.into())
}

/// A number, or anything else that is written without quotes.
pub(super) fn raw(value: impl ToString) -> Loose {
    Loose::Raw(value.to_string())
}

/// An object.
pub(super) fn object<const N: usize>(entries: [(&str, Loose); N]) -> Loose {
    Loose::Object(entries.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

impl Loose {
    /// Adds a key.
    pub(super) fn put(&mut self, key: &str, value: Loose) {
        if let Self::Object(entries) = self {
            entries.push((key.to_owned(), value));
        }
    }

    /// The same keys in another order, here and below.
    pub(super) fn stir(&mut self, chance: &mut Chance) {
        match self {
            Self::Object(entries) => {
                chance.shuffle(entries);
                entries.iter_mut().for_each(|(_, v)| v.stir(chance));
            }
            // The order of a list says something.
            Self::List(items) => items.iter_mut().for_each(|v| v.stir(chance)),
            Self::Text(_) | Self::Raw(_) => {}
        }
    }

    /// The text of it, with spaces and escapes as chance has it.
    pub(super) fn written(&self, chance: &mut Chance) -> String {
        let mut out = String::new();
        let style = Style { spaces: chance.one_in(3), escapes: chance.one_in(6) };
        self.write(style, &mut out);
        out
    }

    fn write(&self, style: Style, out: &mut String) {
        match self {
            Self::Raw(raw) => out.push_str(raw),
            Self::Text(text) => quote(text, style, out),
            Self::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    item.write(style, out);
                }
                out.push(']');
            }
            Self::Object(entries) => {
                out.push('{');
                for (i, (key, value)) in entries.iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    out.push_str(if style.spaces { "\r\n\t " } else { "" });
                    quote(key, style, out);
                    out.push_str(if style.spaces { " : " } else { ":" });
                    value.write(style, out);
                }
                out.push('}');
            }
        }
    }

    /// How many values there are, itself among them.
    fn size(&self) -> usize {
        1 + match self {
            Self::List(items) => items.iter().map(Self::size).sum(),
            Self::Object(entries) => entries.iter().map(|(_, v)| v.size()).sum(),
            Self::Text(_) | Self::Raw(_) => 0,
        }
    }

    /// The value of a number, counted from the outermost.
    fn nth(&mut self, n: &mut usize) -> Option<&mut Self> {
        if *n == 0 {
            return Some(self);
        }
        *n -= 1;
        match self {
            Self::List(items) => items.iter_mut().find_map(|v| v.nth(n)),
            Self::Object(entries) => entries.iter_mut().find_map(|(_, v)| v.nth(n)),
            Self::Text(_) | Self::Raw(_) => None,
        }
    }

    /// Makes something of it wrong, or what nobody expects.
    pub(super) fn spoil(&mut self, chance: &mut Chance) {
        for _ in 0..1 + chance.below(3) {
            let size = self.size();
            let donor = self.nth(&mut chance.below(size)).map(|v| v.clone());
            let Some(place) = self.nth(&mut chance.below(size)) else { continue };
            match (chance.below(6), &mut *place) {
                // Fields swapped, and a value where another belongs.
                (0, _) => *place = donor.unwrap_or_else(|| raw("null")),
                (1, Self::Object(entries)) if !entries.is_empty() => {
                    entries.swap_remove(chance.below(entries.len()));
                }
                (2, Self::Object(entries)) if entries.len() > 1 => {
                    let (a, b) = (chance.below(entries.len()), chance.below(entries.len()));
                    let key = entries.get(a).map(|(k, _)| k.clone()).unwrap_or_default();
                    if let Some(entry) = entries.get_mut(b) {
                        entry.0 = key;
                    }
                }
                (3, _) => *place = Self::List(vec![place.clone(); chance.below(3)]),
                _ => *place = strange(chance),
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Style {
    spaces: bool,
    escapes: bool,
}

fn quote(text: &str, style: Style, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if u32::from(c) < 0x20 || (style.escapes && !c.is_ascii()) => {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().for_each(|u| out.push_str(&format!("\\u{u:04x}")));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// What nobody expects where it stands.
fn strange(chance: &mut Chance) -> Loose {
    match chance.below(14) {
        0 => raw("null"),
        1 => raw("true"),
        2 => raw(chance.bits()),
        3 => raw(format!("-{}", chance.bits())),
        4 => raw(chance.pick(&[
            "1e999",
            "-0",
            "1E-400",
            "0.1e+308",
            "18446744073709551616",
            "00",
            "0x10",
            "NaN",
            ".5",
        ])),
        5 => raw("9".repeat(1 + chance.below(400))),
        6 => text("9".repeat(1 + chance.below(400))),
        7 => text(""),
        8 => text(chance.pick(&[
            "\u{0}",
            "\u{feff}",
            "\u{202e}x",
            "１２",
            "ß",
            "👩‍🦰",
            "-1",
            "1.2.3",
            "24:61:61",
            "99999999999999",
            "2026-02-30 24:00:00",
        ])),
        9 => text(" ".repeat(chance.below(2000))),
        10 => Loose::Object(Vec::new()),
        11 => text(deep(chance.below(300))),
        12 => raw(deep(chance.below(300))),
        _ => raw("\"\\ud800\""),
    }
}

/// Lists and objects in each other, so many levels.
fn deep(levels: usize) -> String {
    format!("{}1{}", "[{\"data\":".repeat(levels / 2), "}]".repeat(levels / 2))
}

/// Bytes changed as a wire or a program would change them.
pub(super) fn spoil_bytes(bytes: &mut Vec<u8>, chance: &mut Chance) {
    for _ in 0..1 + chance.below(4) {
        let at = chance.below(bytes.len());
        match chance.below(7) {
            0 => bytes.truncate(at),
            1 => {
                if let Some(b) = bytes.get_mut(at) {
                    *b ^= 1 << chance.below(8);
                }
            }
            2 => {
                if let Some(b) = bytes.get_mut(at) {
                    *b = chance.bits() as u8;
                }
            }
            3 => bytes.insert(at.min(bytes.len()), chance.bits() as u8),
            4 => drop(bytes.drain(at..(at + chance.below(20)).min(bytes.len()))),
            5 => {
                let to = (at + chance.below(200)).min(bytes.len());
                let again = bytes.get(at..to).unwrap_or_default().to_vec();
                let where_to = chance.below(bytes.len());
                bytes.splice(where_to..where_to, again);
            }
            _ => bytes.extend((0..chance.below(40)).map(|_| chance.bits() as u8).collect::<Vec<_>>()),
        }
    }
}
