//! HL7 v2: DFT^P03, the message of a charge that is posted, and ADT^A01, A03, A04 for
//! the beginning and the end of a stay. Each is answered with an ACK.
//!
//! Of a DFT: FT1-2 is the settlement's number, FT1-4 its moment, FT1-6 what it is (`CG`,
//! `PY`, `CO` settle; `CD` takes it back), FT1-11 the amount in yuan, FT1-24 who entered
//! it; PID-3 is the cardholder, FT1-18 or else PV1-2 the kind of care, PV1-19 the stay;
//! MSH-3 is the sending terminal. Several FT1 are parts of one settlement: the first
//! counts, and the amounts add up. Anything else of the message is read over.

use super::{Message, Misread, Registration, Sender, Settling, StayId, disease, sender_part, untidy};
use crate::clock::HisTime;
use crate::protocol::id::MedicalType;
use crate::protocol::settlement::{Channel, MAX_AMOUNT_FEN};

/// A message, and what its answer must repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// What it says.
    pub message: Message,
    /// Its control number (MSH-10).
    pub control: String,
}

/// What an answer says of a message (HL7 table 0008).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledgement {
    /// Taken.
    Accepted,
    /// Not understood, or not for this box: the same again will fare no better.
    Rejected,
    /// Not now.
    Error,
}

impl Acknowledgement {
    const fn code(self) -> &'static str {
        match self {
            Self::Accepted => "AA",
            Self::Rejected => "AR",
            Self::Error => "AE",
        }
    }
}

/// The answer to a message of this control number; `text` says why not.
pub fn acknowledge(control: &str, what: Acknowledgement, text: &str) -> String {
    let plain = |t: &str| -> String {
        t.chars().map(|c| if "|^~\\&\r\n".contains(c) || c.is_control() { ' ' } else { c }).collect()
    };
    let (control, text, code) = (plain(control), plain(text), what.code());
    format!("MSH|^~\\&|counterproof||||||ACK|{control}|P|2.5\rMSA|{code}|{control}|{text}\r")
}

/// The control number of a message that may not be understood; empty if it has none.
pub fn control_of(bytes: &[u8]) -> String {
    let read = || -> Option<String> {
        let text = untidy::text(bytes).ok()?;
        let segments = Segments::read(&text).ok()?;
        Some(segments.first("MSH")?.field(10)?.chars().take(60).collect())
    };
    read().unwrap_or_default()
}

/// Reads a message, without the bytes that frame it.
///
/// # Errors
/// [`Misread`] with the name of the field, such as `FT1-11`.
pub fn read(bytes: &[u8]) -> Result<Heard, Misread> {
    let text = untidy::text(bytes).map_err(|what| Misread::new("message", what))?;
    let segments = Segments::read(&text)?;
    let header = segments.needed("MSH")?;
    let control = header.needed(10)?.chars().take(60).collect();
    let kind = header.needed(9)?;
    let event: Vec<&str> = kind.splitn(3, segments.component).take(2).collect();
    let message = match event.as_slice() {
        ["DFT", "P03"] | ["DFT"] => charge(&segments)?,
        ["ADT", "A01" | "A04"] => Message::Registered(Registration {
            request: None,
            stay: Some(stay(&segments)?.ok_or_else(|| Misread::new("PV1-19", "nothing; it is needed"))?),
            proxy: None,
        }),
        ["ADT", "A03" | "A11"] => Message::StayEnded {
            stay: stay(&segments)?.ok_or_else(|| Misread::new("PV1-19", "nothing; it is needed"))?,
        },
        _ => Message::Other { kind: event.join("^").chars().take(40).collect() },
    };
    Ok(Heard { message, control })
}

fn charge(segments: &Segments<'_>) -> Result<Message, Misread> {
    let first = segments.needed("FT1")?;
    let settlement = first.name(2)?;
    match first.component_needed(6)? {
        "CG" | "PY" | "CO" => {}
        "CD" => return Ok(Message::Cancel { settlement }),
        other => {
            let found: String = other.chars().take(20).collect();
            let what =
                format!("found `{}`; allowed: CG, PY, CO (settle) and CD (take back)", found.escape_debug());
            return Err(Misread::new("FT1-6", what));
        }
    }
    let mut amount_fen: u64 = 0;
    for part in segments.all("FT1") {
        let fen = untidy::fen(part.component_needed(11)?).map_err(|what| Misread::new("FT1-11", what))?;
        amount_fen = amount_fen.saturating_add(fen);
    }
    if amount_fen > MAX_AMOUNT_FEN {
        return Err(Misread::new("FT1-11", "more than 1,000,000,000 yuan; is the unit yuan?"));
    }
    let person = segments.needed("PID")?;
    let header = segments.needed("MSH")?;
    Ok(Message::Settle(Box::new(Settling {
        request: settlement,
        cardholder: person.name(3)?,
        occurred_at: time(first)?,
        amount_fen,
        medical_type: medical_type(segments, first)?,
        disease_code: disease(first.component(19).map(str::to_owned)),
        channel: Channel::Window,
        stay: stay(segments)?,
        sender: Sender {
            operator: sender_part("FT1-24", first.component(24).map(str::to_owned))?,
            device: sender_part("MSH-3", header.component(3).map(str::to_owned))?,
        },
    })))
}

/// `20261122091015`, perhaps with a fraction and an offset (`+0800`).
fn time(charge: &Segment<'_>) -> Result<HisTime, Misread> {
    let text = charge.component_needed(4)?;
    let refuse = |what| Misread::new("FT1-4", what);
    let Some((moment, offset)) = text.split_once(['+', '-']) else {
        return untidy::time(text).map_err(refuse);
    };
    let sign = if text.contains('+') { '+' } else { '-' };
    let (hours, minutes) = offset.split_at_checked(2).unwrap_or(("", ""));
    let at = moment.split_at_checked(14).map(|(seconds, fraction)| {
        let digits = |range: std::ops::Range<usize>| seconds.get(range).unwrap_or_default();
        format!(
            "{}-{}-{}T{}:{}:{}{fraction}{sign}{hours}:{minutes}",
            digits(0..4),
            digits(4..6),
            digits(6..8),
            digits(8..10),
            digits(10..12),
            digits(12..14)
        )
    });
    untidy::time(at.as_deref().unwrap_or(text)).map_err(refuse)
}

fn medical_type(segments: &Segments<'_>, charge: &Segment<'_>) -> Result<MedicalType, Misread> {
    if let Some(code) = charge.component(18).filter(|c| c.len() <= 8 && c.bytes().any(|b| b.is_ascii_digit()))
    {
        return code.parse().map_err(|e| Misread::new("FT1-18", format!("{e}")));
    }
    let class = segments.first("PV1").and_then(|s| s.component(2));
    let known = match class {
        Some("O") => "11",
        Some("P") => "12",
        Some("E") => "13",
        Some("R") => "14",
        Some("I") => "21",
        _ => {
            let what = "no med_type, such as 11 (outpatient), and no PV1-2 of O, P, E, R or I";
            return Err(Misread::new("FT1-18", what));
        }
    };
    known.parse().map_err(|e| Misread::new("FT1-18", format!("{e}")))
}

fn stay(segments: &Segments<'_>) -> Result<Option<StayId>, Misread> {
    let number = segments.first("PV1").and_then(|s| s.component(19));
    number.map(|n| StayId::read("PV1-19", n)).transpose()
}

/// A message as its segments.
struct Segments<'m> {
    all: Vec<Segment<'m>>,
    component: char,
}

/// A segment as its fields.
struct Segment<'m> {
    name: &'m str,
    fields: Vec<&'m str>,
    component: char,
    repetition: char,
}

impl<'m> Segments<'m> {
    fn read(text: &'m str) -> Result<Self, Misread> {
        let no_header =
            || Misread::new("MSH", "a message begins with MSH and its separators, such as MSH|^~\\&");
        let mut marks = text.trim_start().strip_prefix("MSH").ok_or_else(no_header)?.chars();
        let mut mark = || marks.next().filter(|c| c.is_ascii_punctuation()).ok_or_else(no_header);
        let (field, component, repetition) = (mark()?, mark()?, mark()?);
        let one = |line: &'m str| {
            let mut fields: Vec<&str> = line.split(field).collect();
            let name = fields.first().copied().unwrap_or_default();
            if name == "MSH" {
                // The separator itself is MSH-1.
                fields.insert(1, "");
            }
            Segment { name, fields, component, repetition }
        };
        let lines = text.split(['\r', '\n']).map(str::trim).filter(|l| !l.is_empty());
        Ok(Self { all: lines.map(one).collect(), component })
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &Segment<'m>> {
        self.all.iter().filter(move |s| s.name == name)
    }

    fn first(&self, name: &str) -> Option<&Segment<'m>> {
        self.all(name).next()
    }

    fn needed(&self, name: &str) -> Result<&Segment<'m>, Misread> {
        self.first(name).ok_or_else(|| Misread::new(name, "no such segment; it is needed"))
    }
}

impl<'m> Segment<'m> {
    /// A field, if anything stands in it.
    fn field(&self, n: usize) -> Option<&'m str> {
        self.fields.get(n).map(|f| f.trim()).filter(|f| !f.is_empty() && *f != "\"\"")
    }

    fn needed(&self, n: usize) -> Result<&'m str, Misread> {
        self.field(n).ok_or_else(|| Misread::new(format!("{}-{n}", self.name), "nothing; it is needed"))
    }

    /// The first component of the first repetition of a field.
    fn component(&self, n: usize) -> Option<&'m str> {
        let first = self.field(n)?.split(self.repetition).next()?.split(self.component).next()?.trim();
        Some(first).filter(|t| !t.is_empty())
    }

    fn component_needed(&self, n: usize) -> Result<&'m str, Misread> {
        self.component(n).ok_or_else(|| Misread::new(format!("{}-{n}", self.name), "nothing; it is needed"))
    }

    fn name<T: std::str::FromStr>(&self, n: usize) -> Result<T, Misread>
    where
        T::Err: std::fmt::Display,
    {
        self.component_needed(n)?
            .parse()
            .map_err(|e: T::Err| Misread::new(format!("{}-{n}", self.name), e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHARGE: &str = "MSH|^~\\&|D-7|H31010000001|CP||20261122091016||DFT^P03|MSG00001|P|2.5\r\
        EVN|P03|20261122091016\r\
        PID|1||P0001^^^NHSA^MI~310101199001011234^^^GA^NI||王^小明||19900101|M\r\
        PV1|1|O|||||||||||||||||M-1\r\
        FT1|1|S202611220001||20261122091015|20261122|CG|||||412.50^CNY|||||||14||||||op42^李^娜\r";

    fn settling(text: &str) -> Settling {
        match read(text.as_bytes()).unwrap().message {
            Message::Settle(s) => *s,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_charge_is_a_settlement() {
        let s = settling(CHARGE);
        assert_eq!((s.request.as_str(), s.cardholder.as_str()), ("S202611220001", "P0001"));
        assert_eq!((s.amount_fen, s.medical_type.as_str()), (41250, "14"));
        assert_eq!(s.occurred_at.timestamp().to_string(), "2026-11-22T01:10:15Z");
        assert_eq!(s.stay.as_ref().map(StayId::as_str), Some("M-1"));
        assert_eq!((s.sender.operator.as_deref(), s.sender.device.as_deref()), (Some("op42"), Some("D-7")));
        let kept = format!("{s:?}");
        assert!(!kept.contains('王') && !kept.contains('李') && !kept.contains("3101011990"), "{kept}");
        assert_eq!(read(CHARGE.as_bytes()).unwrap().control, "MSG00001");
    }

    #[test]
    fn it_is_understood_however_untidily_it_is_written() {
        let tidy = settling(CHARGE);
        assert_eq!(settling(&CHARGE.replace('\r', "\r\n")), tidy);
        assert_eq!(
            settling(&CHARGE.replace("20261122091015|20261122", "20261122091015.000+0800|20261122")),
            tidy
        );
        assert_eq!(settling(&CHARGE.replace('|', "#").replace('^', "!")), tidy);
        let (gbk, ..) = encoding_rs::GBK.encode(CHARGE);
        assert_eq!(read(&gbk).unwrap().message, Message::Settle(Box::new(tidy.clone())));
        let by_class = settling(&CHARGE.replace("|||||||14||||||op42", "|||||||||||||op42"));
        assert_eq!(by_class.medical_type.as_str(), "11");
        let more = format!("{CHARGE}FT1|2|S202611220001||20261122091015||CG|||||10\r");
        assert_eq!(settling(&more).amount_fen, 42250);
    }

    #[test]
    fn it_is_taken_back_and_stays_begin_and_end() {
        let back = CHARGE.replace("|CG|", "|CD|");
        let settlement = "S202611220001".parse().unwrap();
        assert_eq!(read(back.as_bytes()).unwrap().message, Message::Cancel { settlement });
        let end = CHARGE.replace("DFT^P03", "ADT^A03^ADT_A03");
        assert!(
            matches!(read(end.as_bytes()).unwrap().message, Message::StayEnded { stay } if stay.as_str() == "M-1")
        );
        let other = CHARGE.replace("DFT^P03", "ORU^R01");
        assert_eq!(read(other.as_bytes()).unwrap().message, Message::Other { kind: "ORU^R01".into() });
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        for (from, to, path) in [
            ("412.50^CNY", "much", "FT1-11"),
            ("|P0001^", "|P 1^", "PID-3"),
            ("|CG|", "|XX|", "FT1-6"),
            ("|20261122091015|2026", "|yesterday|2026", "FT1-4"),
            ("S202611220001", "", "FT1-2"),
            ("FT1|1", "ZZZ|1", "FT1"),
            ("MSH|^~\\&", "EVN", "MSH"),
        ] {
            assert_eq!(read(CHARGE.replace(from, to).as_bytes()).unwrap_err().path, path);
        }
        assert_eq!(control_of(CHARGE.replace("|CG|", "|XX|").as_bytes()), "MSG00001");
        assert_eq!(control_of(b"nonsense"), "");
    }

    #[test]
    fn an_answer_repeats_the_number_and_cannot_be_made_to_say_more() {
        let ack = acknowledge("MSG00001", Acknowledgement::Accepted, "");
        assert!(ack.ends_with("MSA|AA|MSG00001|\r"), "{ack}");
        let evil = acknowledge("A|B\rMSA", Acknowledgement::Rejected, "x\ry|z");
        assert_eq!(evil.matches('\r').count(), 2, "{evil:?}");
        assert!(evil.contains("MSA|AR|A B MSA|x y z"), "{evil:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_understood_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (read(&bytes), control_of(&bytes));
        }

        #[test]
        fn a_message_with_any_character_changed_never_panics(at in any::<proptest::sample::Index>(), with in any::<char>()) {
            let mut text: Vec<char> = CHARGE.chars().collect();
            let i = at.index(text.len());
            text[i] = with;
            let _ = read(text.into_iter().collect::<String>().as_bytes());
        }
    }
}
