//! What a hospital's information system says, in whichever dialect it says it.
//!
//! A dialect is one file: a pure function from the bytes of a message to a
//! [`Message`], or a [`Misread`] that names the path of the field. Promises: any
//! bytes are understood or refused; of a message only what stands in [`Message`]
//! outlives its reading, and no field of that can hold a name, a certificate's
//! number, an address or a photograph; extra keys are read over. What it does not
//! do: find the counter, or ask anybody.

pub mod explain;
pub mod fhir;
pub mod hl7;
pub mod nhsa;
pub mod reading;
pub mod senders;
mod tree;
mod untidy;

use crate::clock::HisTime;
use crate::protocol::id::{CardholderId, DiseaseCode, MedicalType, SettlementId};
use crate::protocol::proxy::CertificateDigest;
use crate::protocol::settlement::Channel;

/// What a message says, in this program's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A card is being settled.
    Settle(Box<Settling>),
    /// A settlement went through, and this is its number.
    Named(Naming),
    /// The platform refused a settlement.
    Failed {
        /// The message that it answers.
        request: SettlementId,
    },
    /// A settlement is taken back.
    Cancel {
        /// Its number.
        settlement: SettlementId,
    },
    /// A visit or a stay begins, perhaps with somebody who acts for the cardholder.
    Registered(Registration),
    /// A visit or a stay that began has this number.
    StayNamed {
        /// The message that began it.
        request: SettlementId,
        /// Its number from now on.
        stay: StayId,
    },
    /// A stay is over.
    StayEnded {
        /// Which.
        stay: StayId,
    },
    /// Understood, and nothing to do with a settlement.
    Other {
        /// What kind of message it is, at most 40 characters.
        kind: String,
    },
}

/// A card that is being settled; the counter is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settling {
    /// The number that the message gives it: the HIS's own, or that of the message.
    pub request: SettlementId,
    /// Whose card.
    pub cardholder: CardholderId,
    /// When, by the HIS's clock.
    pub occurred_at: HisTime,
    /// How much, in fen.
    pub amount_fen: u64,
    /// Which kind of care.
    pub medical_type: MedicalType,
    /// The disease for which it is settled, where the message says it as a code.
    pub disease_code: Option<DiseaseCode>,
    /// How it is settled.
    pub channel: Channel,
    /// The visit or stay that it belongs to.
    pub stay: Option<StayId>,
    /// From where it was sent.
    pub sender: Sender,
}

/// The number of a settlement that went through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// The message that began it.
    pub request: SettlementId,
    /// Its number from now on.
    pub settlement: SettlementId,
    /// Whether part of it was paid from a relative's account: no impersonation.
    pub relatives_account: bool,
}

/// The beginning of a visit or a stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The message that says so: the stay's name until it has its number.
    pub request: Option<SettlementId>,
    /// Which, where the message says it: with the national platform the answer does.
    pub stay: Option<StayId>,
    /// Who acts for the cardholder.
    pub proxy: Option<Proxy>,
}

/// Somebody who acts for a cardholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    /// Their certificate, as a digest of its type and number.
    Certificate(CertificateDigest),
    /// Somebody of whom the message gives no certificate.
    Unnamed,
}

/// A visit or a stay (`mdtrt_id`): 1 to 64 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StayId(String);

impl StayId {
    /// Reads one.
    pub(super) fn read(path: &str, text: &str) -> Result<Self, Misread> {
        if (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        Err(Misread::new(path, "expected 1 to 64 visible ASCII characters"))
    }

    /// The number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A way to say how a card was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The national medical-insurance platform's messages.
    Nhsa,
    /// FHIR R4.
    Fhir,
    /// HL7 v2.
    Hl7,
}

impl Dialect {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Nhsa, Self::Fhir, Self::Hl7];

    /// Its name, for people and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nhsa => "nhsa",
            Self::Fhir => "fhir",
            Self::Hl7 => "hl7",
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`Misread`] with the path of the field.
    pub fn read(self, bytes: &[u8]) -> Result<Message, Misread> {
        match self {
            Self::Nhsa => nhsa::request(bytes),
            Self::Fhir => fhir::read(bytes),
            Self::Hl7 => hl7::read(bytes).map(|heard| heard.message),
        }
    }
}

/// From where a message was sent, as far as it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sender {
    /// The operator or the machine that stands for one (`opter`).
    pub operator: Option<String>,
    /// The device (`dev_no`).
    pub device: Option<String>,
}

/// Most characters of an operator's or a device's number.
const MOST_SENDER: usize = 100;

/// An operator's or a device's number, if it can be one.
fn sender_part(path: &str, text: Option<String>) -> Result<Option<String>, Misread> {
    let Some(text) = text else { return Ok(None) };
    let n = text.chars().count();
    if n <= MOST_SENDER && !text.chars().any(char::is_control) {
        return Ok(Some(text));
    }
    Err(Misread::new(path, format!("found {n} characters; allowed: up to {MOST_SENDER} on one line")))
}

/// A disease's code, if it is one: what is none is a text for people, and says nothing here.
fn disease(text: Option<String>) -> Option<DiseaseCode> {
    text.and_then(|t| t.parse().ok())
}

/// A message that was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}")]
pub struct Misread {
    /// Path of the field, such as `input.data.psn_no`.
    pub path: String,
    /// What was found, and what is allowed.
    pub what: String,
}

impl Misread {
    fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into() }
    }
}
