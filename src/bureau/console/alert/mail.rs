//! What a letter says, in each of its two languages.
//!
//! Promises: a letter asks for what can decide the claim of its alert: of a mismatch the
//! recording of a minute at a window, of an absence that of a whole shift at an entrance;
//! who acted for a cardholder, or whether and where they were treated. It accuses nobody.
//! It keeps nothing and sends nothing.

use super::super::shown::{day, moment, second, yuan};
use super::super::words::Words;
use super::parts::settled;
use super::{Opened, absence};
use crate::bureau::review::{Claim, LetterKind};
use crate::bureau::store::Letter;
use crate::clock::WallTime;
use crate::http::language::Language;
use crate::protocol::alert::Content;

/// Longest difference of clocks that is added to what is asked for, in ms.
const MOST_CLOCK_MS: u64 = 600_000;
/// Nobody is at a window for less than a minute before and after.
const AROUND_MS: i64 = 60_000;

/// One of the two languages of a letter.
pub(super) struct Side {
    pub(super) tag: &'static str,
    pub(super) title: String,
    pub(super) to: String,
    pub(super) paragraphs: Vec<String>,
    /// What is to be filled in by hand.
    pub(super) blanks: Vec<String>,
    pub(super) sign: String,
    pub(super) note: String,
}

/// Who writes, and when.
pub(super) struct Sender<'a> {
    pub(super) bureau: &'a str,
    pub(super) now: WallTime,
}

/// The messages of a letter.
struct Texts {
    title: &'static str,
    to: &'static str,
    paragraphs: &'static [&'static str],
    blanks: &'static [&'static str],
}

const KEPT: &[&str] = &["mail-blank-kept", "mail-blank-person", "mail-blank-day"];
const SENT: &[&str] = &["mail-blank-person", "mail-blank-day"];
const SAID: &[&str] = &[
    "mail-blank-name",
    "mail-blank-number",
    "mail-blank-relation",
    "mail-blank-words",
    "mail-blank-read",
    "mail-blank-taken",
    "mail-blank-day",
];

const fn texts(kind: LetterKind, claim: Claim) -> Texts {
    use Claim::{Absent, Mismatch};
    match (kind, claim) {
        (LetterKind::Recording, Mismatch) => Texts {
            title: "mail-recording-title",
            to: "mail-to-hospital",
            paragraphs: &["mail-recording-what", "mail-recording-why", "mail-recording-until"],
            blanks: KEPT,
        },
        (LetterKind::Recording, Absent) => Texts {
            title: "mail-recording-title",
            to: "mail-to-hospital",
            paragraphs: &["mail-absent-recording-what", "mail-recording-why", "mail-recording-until"],
            blanks: KEPT,
        },
        (LetterKind::Inquiry, Mismatch) => Texts {
            title: "mail-inquiry-title",
            to: "mail-to-cardholder",
            paragraphs: &["mail-inquiry-what", "mail-inquiry-questions", "mail-inquiry-rights"],
            blanks: &[
                "mail-blank-came",
                "mail-blank-acted",
                "mail-blank-relation",
                "mail-blank-signed",
                "mail-blank-day",
            ],
        },
        (LetterKind::Inquiry, Absent) => Texts {
            title: "mail-inquiry-title",
            to: "mail-to-cardholder",
            paragraphs: &[
                "mail-absent-inquiry-what",
                "mail-absent-inquiry-questions",
                "mail-absent-inquiry-rights",
            ],
            blanks: &[
                "mail-blank-treated",
                "mail-blank-hours",
                "mail-blank-door",
                "mail-blank-signed",
                "mail-blank-day",
            ],
        },
        (LetterKind::Statement, Mismatch) => Texts {
            title: "mail-statement-title",
            to: "mail-about",
            paragraphs: &["mail-statement-what", "mail-statement-duty"],
            blanks: SAID,
        },
        (LetterKind::Statement, Absent) => Texts {
            title: "mail-statement-title",
            to: "mail-absent-about",
            paragraphs: &["mail-absent-statement-what", "mail-statement-duty"],
            blanks: SAID,
        },
        (LetterKind::Documents, Mismatch) => Texts {
            title: "mail-documents-title",
            to: "mail-to-hospital",
            paragraphs: &["mail-documents-what", "mail-documents-until"],
            blanks: SENT,
        },
        (LetterKind::Documents, Absent) => Texts {
            title: "mail-absent-documents-title",
            to: "mail-to-hospital",
            paragraphs: &["mail-absent-documents-what", "mail-documents-until"],
            blanks: SENT,
        },
    }
}

/// From when to when a recording is asked for, and the shift that it is about; of a
/// mismatch both are around the settlement.
struct Asked {
    from: String,
    until: String,
    shift_from: String,
    shift_until: String,
}

impl Asked {
    fn of(content: &Content) -> Option<Self> {
        let (begins, ends, clock_ms) = match content {
            Content::Mismatch(data) => {
                let at = settled(&data.about());
                (at, at, data.clock_error_ms)
            }
            Content::Absent(data) => {
                (absence::at(data.shift.begins_at), absence::at(data.shift.ends_at), data.clock_error_ms)
            }
            Content::Withdrawn(_) | Content::Expired(_) => return None,
        };
        let margin = AROUND_MS + i64::try_from(clock_ms.min(MOST_CLOCK_MS)).unwrap_or(0);
        let around = |at: WallTime, ms: i64| second(WallTime::from_millis(at.as_millis().saturating_add(ms)));
        Some(Self {
            from: around(begins, -margin),
            until: around(ends, margin),
            shift_from: moment(begins),
            shift_until: moment(ends),
        })
    }
}

/// The letter in one language; nothing if the alert cannot be read.
pub(super) fn side(language: Language, opened: &Opened, letter: &Letter, from: &Sender<'_>) -> Option<Side> {
    let event = opened.alert.event.as_ref()?;
    let (about, claim) = (event.content.about()?, Claim::of(&event.content)?);
    let asked = Asked::of(&event.content)?;
    let words = Words::of(language);
    let settlement = event.subject.as_ref().map(ToString::to_string).unwrap_or_default();
    let (at, due) = (second(settled(&about)), day(letter.due_at).to_string());
    let (amount, today) = (yuan(about.amount_fen), day(from.now).to_string());
    let code = about.hospital.as_str();
    let hospital = match &opened.hospital {
        Some(known) => words.say_with("mail-hospital", &[("name", &known.name), ("code", code)]),
        None => words.say_with("mail-hospital-unnamed", &[("code", code)]),
    };
    let values = [
        ("bureau", from.bureau),
        ("hospital", hospital.as_str()),
        ("counter", about.counter.as_str()),
        ("cardholder", about.cardholder.as_str()),
        ("settlement", settlement.as_str()),
        ("at", at.as_str()),
        ("from", asked.from.as_str()),
        ("until", asked.until.as_str()),
        ("begins", asked.shift_from.as_str()),
        ("ends", asked.shift_until.as_str()),
        ("amount", amount.as_str()),
        ("due", due.as_str()),
        ("today", today.as_str()),
    ];
    let say = |id: &str| words.say_with(id, &values);
    let texts = texts(letter.kind, claim);
    let mut paragraphs: Vec<String> = texts.paragraphs.iter().map(|id| say(id)).collect();
    if !letter.text.asked.is_empty() {
        paragraphs.push(words.say_with("mail-asked", &[("value", &letter.text.asked)]));
    }
    Some(Side {
        tag: language.tag(),
        title: say(texts.title),
        to: say(texts.to),
        paragraphs,
        blanks: texts.blanks.iter().map(|id| say(id)).collect(),
        sign: say("mail-sign"),
        note: say("mail-note"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_of_every_claim_has_its_words_in_both_languages() {
        for words in [Language::Chinese, Language::English].map(Words::of) {
            for claim in Claim::ALL {
                for kind in LetterKind::ALL {
                    let t = texts(*kind, *claim);
                    let all = [t.title, t.to].into_iter().chain(t.paragraphs.iter().copied());
                    for id in all.chain(t.blanks.iter().copied()) {
                        assert_ne!(words.say(id), id);
                    }
                }
            }
        }
    }
}
