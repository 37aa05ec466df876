//! Countersignatures: the bureau's word that it saw something, and when.
//!
//! A box signs its own audit log, so a box that is taken over can sign another
//! one. What it cannot do is take back the heads that the bureau countersigned:
//! a log in which a countersigned record is missing, or has another hash, was
//! cut short or rewritten. The same form is the receipt of an event.
//!
//! What is signed is one line of text, [`Countersigned::statement`] or
//! [`Receipt::statement`]; it names every value and the algorithm of each
//! digest. The line is derived from the fields at both ends and never read, so
//! the two cannot say different things. It promises that the bureau was shown
//! this at that time by its clock, and nothing about whether it is true.

use serde::{Deserialize, Serialize};

use super::commission::Commission;
use super::id::{AgentId, Epoch};
use super::posture::AuditHead;
use super::signed::Signed;
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::{PublicKey, Signature, SignatureError, SigningKey, Unverified};

/// The only form of a countersigned head spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum HeadFormat {
    /// Version 1.
    #[serde(rename = "counterproof.countersigned-head.v1")]
    V1,
}

/// A box's audit head as the bureau received it, signed by the bureau. Not
/// verified: [`Countersigned::verify`] does that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Countersigned {
    /// Which form.
    pub format: HeadFormat,
    /// Whose head.
    pub agent: AgentId,
    /// The head.
    pub audit: AuditHead,
    /// When it came, by the bureau's clock.
    pub received_at: WallTime,
    /// By the bureau, over the bytes of the statement.
    pub signature: Signature,
}

impl Countersigned {
    /// Signs for having received a head.
    pub fn new(agent: AgentId, audit: AuditHead, received_at: WallTime, key: &SigningKey) -> Self {
        let signature = key.sign(head_statement(&agent, audit, received_at).as_bytes());
        Self { format: HeadFormat::V1, agent, audit, received_at, signature }
    }

    /// The exact text that is signed, without a line end.
    pub fn statement(&self) -> String {
        head_statement(&self.agent, self.audit, self.received_at)
    }

    /// Checks the signature with the bureau's key.
    ///
    /// # Errors
    /// If it is by another key, or over something else.
    pub fn verify(&self, bureau: &PublicKey) -> Result<VerifiedHead, SignatureError> {
        Unverified::new(self.statement().as_bytes(), self.signature.clone()).verify(bureau)?;
        Ok(VerifiedHead(self.clone()))
    }
}

fn head_statement(agent: &AgentId, head: AuditHead, received_at: WallTime) -> String {
    let AuditHead { epoch, seq, hash } = head;
    let at = received_at.as_millis();
    format!("counterproof countersigned audit head v1 {agent} {epoch} {seq} sha256:{hash} {at}")
}

/// A countersigned head whose signature was checked. Made by
/// [`Countersigned::verify`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedHead(Countersigned);

impl VerifiedHead {
    /// Whose head.
    pub fn agent(&self) -> &AgentId {
        &self.0.agent
    }

    /// The head.
    pub fn audit(&self) -> AuditHead {
        self.0.audit
    }

    /// When the bureau received it, by the bureau's clock.
    pub fn received_at(&self) -> WallTime {
        self.0.received_at
    }

    /// The whole, to be kept or handed on.
    pub fn countersigned(&self) -> &Countersigned {
        &self.0
    }
}

/// The bureau's receipt of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// When the event came, by the bureau's clock.
    pub received_at: WallTime,
    /// By the bureau, over the bytes of the statement.
    pub signature: Signature,
}

/// The place and the digest of an event: what a receipt is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'a> {
    /// Whose event.
    pub agent: &'a AgentId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its number.
    pub seq: u64,
    /// SHA-256 of its exact bytes.
    pub digest: Sha256,
}

impl Receipt {
    /// Signs for having received an event.
    pub fn new(event: Received<'_>, received_at: WallTime, key: &SigningKey) -> Self {
        let signature = key.sign(Self::statement(event, received_at).as_bytes());
        Self { received_at, signature }
    }

    /// The exact text that is signed, without a line end.
    pub fn statement(event: Received<'_>, received_at: WallTime) -> String {
        let Received { agent, epoch, seq, digest } = event;
        let at = received_at.as_millis();
        format!("counterproof receipt v1 {agent} {epoch} {seq} sha256:{digest} {at}")
    }

    /// Checks that this is the bureau's receipt of that event.
    ///
    /// # Errors
    /// If it is by another key, or for another event or time.
    pub fn verify(&self, event: Received<'_>, bureau: &PublicKey) -> Result<(), SignatureError> {
        let statement = Self::statement(event, self.received_at);
        Unverified::new(statement.as_bytes(), self.signature.clone()).verify(bureau).map(|_| ())
    }
}

/// What the bureau noticed when it compared a head with those it had seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeadFinding {
    /// In one epoch, the number of the last record fell: records were removed.
    CutShort,
    /// A number that was seen before has another hash now: records were changed.
    Rewritten,
}

impl HeadFinding {
    /// Its name in the store and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CutShort => "cut_short",
            Self::Rewritten => "rewritten",
        }
    }
}

/// The answer to `POST /v1/posture`. Unknown fields are read over, so that a
/// bureau may say more than an older box asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PostureAnswer {
    /// The posture's audit head, countersigned.
    pub countersigned: Countersigned,
    /// The text that was signed, to be read; whoever checks derives it anew.
    pub statement: String,
    /// What does not fit the heads that the bureau saw before.
    #[serde(default)]
    pub finding: Option<HeadFinding>,
    /// Digests of documents that the posture names and the bureau lacks.
    #[serde(default)]
    pub missing: Vec<Sha256>,
    /// The newest order to this box about its commissioning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commission: Option<Commission>,
    /// The newest document of each kind that was handed to this box.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handouts: Vec<Signed>,
    /// The version that this box is to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Signed>,
    /// The bureau's signing key, to be compared with the pinned one.
    pub public_key: PublicKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap()
    }

    fn head() -> AuditHead {
        AuditHead { epoch: Epoch::new(), seq: 9, hash: Sha256::of(b"record") }
    }

    #[test]
    fn a_countersigned_head_verifies_for_these_values_and_this_bureau_alone() {
        let bureau = key();
        let agent: AgentId = "box-1".parse().unwrap();
        let good = Countersigned::new(agent, head(), WallTime::from_millis(5), &bureau);
        let back: Countersigned = serde_json::from_str(&serde_json::to_string(&good).unwrap()).unwrap();
        assert_eq!(back.verify(&bureau.public()).unwrap().countersigned(), &good);
        assert!(good.verify(&key().public()).is_err());
        let seq = AuditHead { seq: 8, ..good.audit };
        let hash = AuditHead { hash: Sha256::of(b"another"), ..good.audit };
        let epoch = AuditHead { epoch: Epoch::new(), ..good.audit };
        for changed in [
            Countersigned { audit: seq, ..good.clone() },
            Countersigned { audit: hash, ..good.clone() },
            Countersigned { audit: epoch, ..good.clone() },
            Countersigned { agent: "box-2".parse().unwrap(), ..good.clone() },
            Countersigned { received_at: WallTime::from_millis(6), ..good.clone() },
        ] {
            assert_eq!(changed.verify(&bureau.public()).err(), Some(SignatureError::Wrong));
        }
    }

    #[test]
    fn another_version_or_algorithm_is_refused_by_name() {
        let good = Countersigned::new("b".parse().unwrap(), head(), WallTime::from_millis(5), &key());
        let text = serde_json::to_string(&good).unwrap();
        for (from, to) in [("head.v1", "head.v9"), ("alg=ed25519", "alg=sm2-sm3")] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            let e = serde_json::from_str::<Countersigned>(&changed).unwrap_err().to_string();
            assert!(e.contains(to.trim_start_matches("alg=")), "{e}");
        }
        assert!(good.statement().contains("sha256:"), "{}", good.statement());
    }

    #[test]
    fn a_receipt_is_for_one_event_at_one_time() {
        let bureau = key();
        let agent: AgentId = "box-1".parse().unwrap();
        let event = Received { agent: &agent, epoch: Epoch::new(), seq: 3, digest: Sha256::of(b"e") };
        let receipt = Receipt::new(event, WallTime::from_millis(7), &bureau);
        receipt.verify(event, &bureau.public()).unwrap();
        let later = Receipt { received_at: WallTime::from_millis(8), ..receipt.clone() };
        assert!(later.verify(event, &bureau.public()).is_err());
        assert!(receipt.verify(Received { seq: 4, ..event }, &bureau.public()).is_err());
        assert!(receipt.verify(Received { digest: Sha256::of(b"f"), ..event }, &bureau.public()).is_err());
    }
}
