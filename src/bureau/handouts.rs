//! Handing documents to boxes: a policy or a calibration, with a signed word.
//!
//! Promises: nothing is handed out that is not written down first; what a box gets
//! is what was handed to it, and to no other unasked. It puts nothing into force:
//! which policy and which calibration a box works under stands in its own
//! configuration, and a technician changes that.

use super::BureauError;
use super::acts::{self, Person};
use super::agents::unknown;
use super::policies;
use super::store::{AgentChange, Store};
use crate::clock::WallTime;
use crate::commissioning::report::CalibrationFile;
use crate::crypto::Sha256;
use crate::crypto::sign::SigningKey;
use crate::protocol::document::{DocumentKind, MAX_BYTES};
use crate::protocol::handout::{Format, Handout};
use crate::protocol::id::AgentId;
use crate::protocol::policy::PolicyDocument;
use crate::protocol::signed::Signed;

/// A document that somebody wants to hand out.
pub struct Document {
    kind: DocumentKind,
    bytes: Vec<u8>,
}

impl Document {
    /// A calibration, as its exact bytes.
    ///
    /// # Errors
    /// In words, if it is none or too long.
    pub fn calibration(bytes: Vec<u8>) -> Result<Self, String> {
        if bytes.len() > MAX_BYTES {
            return Err(format!("{} bytes; allowed: at most {MAX_BYTES}", bytes.len()));
        }
        CalibrationFile::read(&bytes)?;
        Ok(Self { kind: DocumentKind::Calibration, bytes })
    }

    /// A policy, as `counterproof policy show --json` prints it. What is handed out
    /// is its canonical form, whose SHA-256 postures and alerts name.
    ///
    /// # Errors
    /// In words, if it is none, or no box could run it.
    pub fn policy(bytes: &[u8]) -> Result<Self, String> {
        let document = PolicyDocument::read(bytes).map_err(|e| e.to_string())?;
        policies::check(&document)?;
        Ok(Self { kind: DocumentKind::Policy, bytes: document.canonical().into_bytes() })
    }

    /// Of either kind, from a file that somebody names.
    ///
    /// # Errors
    /// As [`Self::calibration`] and [`Self::policy`]; a notice follows from its
    /// policy, and is not handed out.
    pub fn of_kind(kind: DocumentKind, bytes: Vec<u8>) -> Result<Self, String> {
        match kind {
            DocumentKind::Calibration => Self::calibration(bytes),
            DocumentKind::Policy => Self::policy(&bytes),
            DocumentKind::Notice => {
                Err("a notice follows from its policy (`counterproof policy notice`): hand out the policy"
                    .into())
            }
        }
    }

    /// SHA-256 of its bytes.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&self.bytes)
    }
}

/// Signs that a box is to have a document, and keeps both. The number of the word.
///
/// # Errors
/// If there is no such box, or the store fails.
pub async fn hand_out(
    store: &Store,
    key: &SigningKey,
    by: &Person,
    name: &AgentId,
    (document, now): (&Document, WallTime),
) -> Result<u64, BureauError> {
    if store.agent(name).await?.is_none() {
        return Err(unknown(name));
    }
    // A bureau restored from a backup goes on behind what the box has seen.
    let posture = store.posture(name).await?;
    let seen = posture.iter().flat_map(|p| &p.posture.arrived).map(|a| a.number).max().unwrap_or(0);
    let number = store.last_handout(name).await?.max(seen).saturating_add(1);
    let Document { kind, bytes } = document;
    let handout = Handout {
        format: Format::V1,
        agent: name.clone(),
        kind: *kind,
        digest: document.digest(),
        bytes: bytes.len() as u64,
        number,
        at: now,
    };
    let detail = format!("{kind} {}, number {number}", handout.digest);
    acts::note(store, by, "agents hand-out", name.as_str(), detail).await?;
    let signed = Signed::sign(&handout, key).map_err(std::io::Error::from)?;
    match store.hand_out(&handout, &signed, bytes, by.name()).await? {
        AgentChange::Done => Ok(number),
        AgentChange::Refused => Err(BureauError::Command(format!(
            "somebody else handed {name} document {number} at the same moment: look, and hand out again"
        ))),
    }
}
