//! What cases, letters and reports say. It is about people: the store keeps it sealed,
//! and nothing here can be printed by accident.

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;

/// The longest text of a field that people fill, in characters.
pub const MOST_TEXT: usize = 8000;
/// The longest text of one line, in characters.
pub const MOST_LINE: usize = 200;

/// Of a case.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaseText {
    /// What happened, as far as it was established.
    pub facts: String,
    /// Why it is under legal hold, or why no longer.
    pub hold: String,
    /// What came of it, or why it was closed without a transfer.
    pub ending: String,
}

/// Of a transfer to another authority: its letter, and what came back.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LetterText {
    /// The receiver's name: `×市公安局`.
    pub to: String,
    /// Whom at the receiver, and how to reach them.
    pub to_contact: String,
    /// Whom or what the case is about.
    pub subject: String,
    /// What happened.
    pub facts: String,
    /// The law or regulation.
    pub basis: String,
    /// What goes with it, a line each.
    pub attachments: String,
    /// The bureau's name, as it was when the letter was approved.
    pub bureau: String,
    /// Whom at the bureau a receiver may ask.
    pub contact: String,
    /// The letter's number as printed.
    pub number: String,
    /// The alerts of the case, as they were when it was approved.
    pub alerts: Vec<LetterAlert>,
    /// Why the second person sent it back.
    pub refusal: String,
    /// Which material the receiver asked for.
    pub asked: String,
    /// What the receipt says.
    pub receipt: String,
    /// What the result says.
    pub result: String,
}

/// One alert on a letter.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterAlert {
    /// Its id.
    pub alert: String,
    /// At which hospital: its code.
    pub hospital: String,
    /// Its name, if it was known.
    pub hospital_name: Option<String>,
    /// When it was settled.
    pub occurred_at: WallTime,
    /// For how much, in fen.
    pub amount_fen: i64,
    /// What was decided: a [`super::words::Finding`].
    pub finding: String,
}

/// Of a transfer that came in.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IncomingText {
    /// The sender's name.
    pub from: String,
    /// Whom at the sender, and how to reach them.
    pub from_contact: String,
    /// The number of their letter.
    pub their_number: String,
    /// Whom or what it is about, and what happened.
    pub facts: String,
    /// Which material was missing.
    pub asked: String,
    /// What the receipt says.
    pub receipt: String,
    /// What came of it.
    pub result: String,
}

/// Of a report of the public.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportText {
    /// Who reported; empty if they did not say.
    pub reporter: String,
    /// How to reach them.
    pub contact: String,
    /// What they said.
    pub text: String,
    /// What they were answered.
    pub answer: String,
    /// Why it may take longer.
    pub extension: String,
    /// What came of it.
    pub result: String,
}
