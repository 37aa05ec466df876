//! The letter of a transfer (移送书) with its receipt (回执), and the receipt that the
//! bureau itself sends: for printing on A4, in Chinese; in English for reading only.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use jiff::civil::Date;
use serde::Deserialize;

use super::failure::Failure;
use super::frame::Frame;
use super::matters::{self, hospital};
use super::shown::moment;
use super::transfers::looked_at;
use super::visitor::Visitor;
use super::words::Words;
use super::{Console, page};
use crate::bureau::cases::money::yuan;
use crate::bureau::cases::numbers::Series;
use crate::bureau::cases::texts::{IncomingText, LetterAlert, LetterText};
use crate::bureau::cases::words::Finding;
use crate::bureau::cases::workdays::day_of;
use crate::clock::WallTime;
use crate::http::language::Language;

/// In which language a letter is wanted.
#[derive(Deserialize)]
pub(super) struct Reading {
    read: Option<String>,
}

impl Reading {
    fn language(&self) -> Language {
        if self.read.as_deref() == Some("en") { Language::English } else { Language::Chinese }
    }
}

/// A day as letters write it.
fn written(day: Date, words: &Words) -> String {
    let (y, m, d) = (day.year().to_string(), day.month().to_string(), day.day().to_string());
    words.say_with("letter-day", &[("y", &y), ("m", &m), ("d", &d)])
}

struct Line {
    n: usize,
    hospital: String,
    occurred_at: String,
    amount: String,
    finding: String,
}

#[derive(Template)]
#[template(path = "console/letter.html")]
struct LetterPage<'a> {
    frame: Frame<'a>,
    words: &'static Words,
    tag: &'static str,
    is_translation: bool,
    id: String,
    case: String,
    text: LetterText,
    amount: String,
    lines: Vec<Line>,
    facts: Vec<String>,
    attachments: Vec<String>,
    day: String,
    material_days: String,
}

impl LetterPage<'_> {
    fn say(&self, id: &str) -> String {
        self.words.say(id)
    }

    fn say_of(&self, id: &str, value: &str) -> String {
        self.words.say_with(id, &[("value", value)])
    }

    fn opening(&self) -> String {
        let values = [("subject", self.text.subject.as_str()), ("basis", self.text.basis.as_str())];
        self.words.say_with("letter-opening", &values)
    }

    fn sums(&self) -> String {
        let count = self.lines.len().to_string();
        let values = [("case", self.case.as_str()), ("count", &count), ("amount", &self.amount)];
        self.words.say_with("letter-sums", &values)
    }

    /// Where the leads come from: of the findings that are on the list.
    fn sources(&self) -> Vec<String> {
        let of_entrance = |alert: &LetterAlert| alert.finding == Finding::NotRendered.as_str();
        let alerts = &self.text.alerts;
        let windows = alerts.iter().any(|a| !of_entrance(a)).then_some("letter-no-picture");
        let entrances = alerts.iter().any(of_entrance).then_some("letter-no-picture-entrance");
        windows.into_iter().chain(entrances).map(|id| self.words.say(id)).collect()
    }

    fn acknowledgement(&self) -> String {
        let values = [("bureau", self.text.bureau.as_str()), ("number", self.text.number.as_str())];
        self.words.say_with("letter-acknowledged", &values)
    }
}

pub(super) async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    Query(reading): Query<Reading>,
) -> Result<Response, Failure> {
    let transfer = looked_at(&console, &visitor, &raw, "transfer print").await?;
    let (Some(_), Some(sent)) = (transfer.number, transfer.decided_at) else {
        return Err(Failure::conflict("refused-not-approved"));
    };
    let language = reading.language();
    let words = Words::of(language);
    let lines = transfer.text.alerts.iter().enumerate().map(|(i, alert)| Line {
        n: i + 1,
        hospital: hospital(&alert.hospital, alert.hospital_name.as_deref()),
        occurred_at: moment(alert.occurred_at),
        amount: yuan(alert.amount_fen),
        finding: words.word("finding", &alert.finding),
    });
    let split = |text: &str| text.lines().map(str::to_owned).collect();
    let shown = LetterPage {
        frame: Frame::titled(&visitor, words.say("letter-title")),
        words,
        tag: language.tag(),
        is_translation: language == Language::English,
        id: transfer.id.to_string(),
        case: transfer.case.to_string(),
        amount: yuan(transfer.amount_fen),
        lines: lines.collect(),
        facts: split(&transfer.text.facts),
        attachments: split(&transfer.text.attachments),
        day: written(day_of(sent), words),
        material_days: console.practice.config.deadlines.material_days.to_string(),
        text: transfer.text,
    };
    page(&visitor, &shown)
}

#[derive(Template)]
#[template(path = "console/incoming_receipt.html")]
struct ReceiptPage<'a> {
    frame: Frame<'a>,
    words: &'static Words,
    tag: &'static str,
    is_translation: bool,
    number: String,
    text: IncomingText,
    bureau: String,
    contact: String,
    received: String,
    day: String,
}

impl ReceiptPage<'_> {
    fn say(&self, id: &str) -> String {
        self.words.say(id)
    }

    fn say_of(&self, id: &str, value: &str) -> String {
        self.words.say_with(id, &[("value", value)])
    }

    fn acknowledgement(&self) -> String {
        let values = [
            ("theirs", self.text.their_number.as_str()),
            ("day", self.received.as_str()),
            ("number", self.number.as_str()),
        ];
        self.words.say_with("letter-we-acknowledge", &values)
    }
}

/// The receipt for a transfer that came in.
pub(super) async fn receipt(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(raw): Path<String>,
    Query(reading): Query<Reading>,
) -> Result<Response, Failure> {
    let number = matters::noted(&console, &visitor, Series::Incoming, "incoming print", &raw).await?;
    let incoming = console.store.incoming_transfer(number).await?.ok_or_else(Failure::not_found)?;
    let answered: WallTime = incoming.answered_at.ok_or_else(|| Failure::conflict("refused-not-answered"))?;
    let language = reading.language();
    let words = Words::of(language);
    let config = &console.practice.config;
    let shown = ReceiptPage {
        frame: Frame::titled(&visitor, words.say("letter-receipt-title")),
        words,
        tag: language.tag(),
        is_translation: language == Language::English,
        number: number.to_string(),
        bureau: config.bureau.clone(),
        contact: config.contact.clone(),
        received: written(day_of(incoming.received_at), words),
        day: written(day_of(answered), words),
        text: incoming.text,
    };
    page(&visitor, &shown)
}
