//! Bundles: one alert with all that proves where it came from, as one file.
//!
//! The bureau exports it; an inspector, a court's expert or the hospital checks
//! it on a laptop, without a network ([`check`]). The file is one line of JSON,
//!
//! ```text
//! {"bundle":{…},"signature":"alg=ed25519,key=…,sig=…"}
//! ```
//!
//! and the bureau signs the exact bytes of the inner object, from its first to
//! its last brace, so that one changed byte anywhere is noticed and no program
//! has to write the JSON again to check it. The inner object names its version
//! and its algorithms.
//!
//! Any part may be missing, for the bureau can hold less than it should (a
//! document that never came, a receipt from before receipts); the check then
//! says which. It contains personal information: the alert's own. Of the events
//! before and after there are digests alone.

pub mod check;
pub mod report;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

use super::alert::Link;
use super::countersign::{Countersigned, Receipt};
use super::document::DocumentKind;
use super::id::{AgentId, AlertId, HospitalId};
use super::json;
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::{PublicKey, Signature, SignatureError, SigningKey};

/// Largest bundle that is read, in bytes: an alert, its later words and three
/// documents at their limits, as base64, with room.
pub const MAX_BYTES: usize = 2 * 1024 * 1024;

const OPENING: &[u8] = b"{\"bundle\":";
const BETWEEN: &[u8] = b",\"signature\":\"";
const CLOSING: &[u8] = b"\"}\n";

/// The only version written and read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// Version 1.
    #[serde(rename = "counterproof.bundle.v1")]
    V1,
}

/// How everything in a bundle is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignatureAlgorithm {
    /// Ed25519 (RFC 8032).
    #[serde(rename = "ed25519")]
    Ed25519,
}

/// By what every digest in a bundle is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DigestAlgorithm {
    /// SHA-256 (FIPS 180-4).
    #[serde(rename = "sha256")]
    Sha256,
}

/// The algorithms of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Algorithms {
    /// Of every signature and key.
    pub signature: SignatureAlgorithm,
    /// Of every digest.
    pub digest: DigestAlgorithm,
}

/// The algorithms of this version.
pub const ALGORITHMS: Algorithms =
    Algorithms { signature: SignatureAlgorithm::Ed25519, digest: DigestAlgorithm::Sha256 };

/// Bytes that travel as base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exact(pub Vec<u8>);

impl Serialize for Exact {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        BASE64.decode(String::deserialize(d)?).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The exact bytes of an event with the box's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedEvent {
    /// The bytes as they travelled.
    pub bytes: Exact,
    /// By the box, over these bytes.
    pub signature: Signature,
}

/// A public key of the box, as the bureau registered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisteredKey {
    /// The key, with its algorithm.
    pub public_key: PublicKey,
    /// From when it was in force.
    pub since: WallTime,
    /// Until when; still in force if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<WallTime>,
}

/// The box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxPart {
    /// Its name.
    pub name: AgentId,
    /// Where it stands.
    pub hospital: HospitalId,
    /// Every key it had.
    pub keys: Vec<RegisteredKey>,
}

/// The event before the alert, as the bureau holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// SHA-256 of its exact bytes.
    pub digest: Sha256,
    /// Whether the bureau never had the event, and the box said that it expired.
    pub expired: bool,
}

/// The event after the alert, as the bureau holds it: its digest and its link.
/// Its bytes are another person's and stay at the bureau.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// SHA-256 of its exact bytes.
    pub digest: Sha256,
    /// Its place in the chain, with the digest of the event before it.
    pub link: Link,
}

/// The neighbours of the alert in its box's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbours {
    /// The event before; absent for the first, and for one that is not held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// The event after; absent if none is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
}

/// A later event about the alert: its withdrawal or its expiry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaterWord {
    /// What was said.
    pub event: SignedEvent,
    /// When it came, by the bureau's clock.
    pub received_at: WallTime,
}

/// A document that the alert names by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Which.
    pub kind: DocumentKind,
    /// Its exact bytes.
    pub bytes: Exact,
}

/// The countersigned audit heads nearest to the alert's receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heads {
    /// The last before it, or at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Countersigned>,
    /// The first after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Countersigned>,
}

/// The bureau that made the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BureauPart {
    /// The key that signs the bundle.
    pub public_key: PublicKey,
    /// Keys that it signed with before: older receipts and heads bear them.
    #[serde(default)]
    pub earlier_keys: Vec<PublicKey>,
}

/// What a bundle holds. Each part that may be missing is an `Option`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Which version.
    pub format: Format,
    /// Which algorithms.
    pub algorithms: Algorithms,
    /// Which event it is about.
    pub event: AlertId,
    /// When it was made, by the bureau's clock.
    pub made_at: WallTime,
    /// By whom.
    pub bureau: BureauPart,
    /// The alert.
    #[serde(default)]
    pub alert: Option<SignedEvent>,
    /// The box that raised it.
    #[serde(default, rename = "box")]
    pub agent: Option<BoxPart>,
    /// The bureau's receipt of it.
    #[serde(default)]
    pub receipt: Option<Receipt>,
    /// What stands beside it in the chain.
    #[serde(default)]
    pub neighbours: Option<Neighbours>,
    /// What was said of it later; empty if nothing was.
    #[serde(default)]
    pub later: Option<Vec<LaterWord>>,
    /// Policy, notice and calibration.
    #[serde(default)]
    pub documents: Vec<Document>,
    /// Audit heads around its receipt.
    #[serde(default)]
    pub heads: Option<Heads>,
}

/// Why a file cannot be read as a bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// More than [`MAX_BYTES`].
    #[error("the file has {0} bytes; a bundle has at most {MAX_BYTES}")]
    TooLong(usize),
    /// Not `{"bundle":…,"signature":"…"}` and a line end.
    #[error(
        "the file is not of the form {{\"bundle\":…,\"signature\":\"…\"}} with one line end: it is no bundle, or was changed"
    )]
    Frame,
    /// The signature cannot be read.
    #[error("signature: {0}")]
    Signature(#[from] SignatureError),
    /// The inner object cannot be read.
    #[error("bundle.{field}: {what}")]
    Content {
        /// Path of the field.
        field: String,
        /// What is wrong.
        what: String,
    },
}

/// A bundle that was read and not yet checked.
pub struct Unchecked<'a> {
    /// The exact bytes that the bureau signed.
    signed: &'a [u8],
    signature: Signature,
    bundle: Bundle,
}

impl Bundle {
    /// The file: signed by the bureau whose public key stands in it.
    ///
    /// # Errors
    /// If it cannot be written as JSON or is longer than [`MAX_BYTES`].
    pub fn to_file(&self, key: &SigningKey) -> Result<Vec<u8>, BundleError> {
        let content = |what: String| BundleError::Content { field: ".".into(), what };
        let inner = serde_json::to_vec(self).map_err(|e| content(e.to_string()))?;
        let signature = key.sign(&inner).to_string();
        let file = [OPENING, &inner, BETWEEN, signature.as_bytes(), CLOSING].concat();
        if file.len() > MAX_BYTES {
            return Err(BundleError::TooLong(file.len()));
        }
        Ok(file)
    }
}

impl<'a> Unchecked<'a> {
    /// Reads a file.
    ///
    /// # Errors
    /// [`BundleError`] naming what is not as it should be.
    pub fn read(file: &'a [u8]) -> Result<Self, BundleError> {
        if file.len() > MAX_BYTES {
            return Err(BundleError::TooLong(file.len()));
        }
        let rest = file.strip_prefix(OPENING).ok_or(BundleError::Frame)?;
        let rest = rest.strip_suffix(CLOSING).ok_or(BundleError::Frame)?;
        let at = rest.windows(BETWEEN.len()).rposition(|w| w == BETWEEN).ok_or(BundleError::Frame)?;
        let (signed, text) = rest.split_at(at);
        let text = text.strip_prefix(BETWEEN).unwrap_or_default();
        let text = std::str::from_utf8(text).map_err(|_| BundleError::Frame)?;
        let signature: Signature = text.parse()?;
        // A signature that can be written in two ways would be two files.
        if signature.to_string() != text {
            return Err(BundleError::Frame);
        }
        let bundle = json::read(signed).map_err(|e| BundleError::Content { field: e.field, what: e.what })?;
        Ok(Self { signed, signature, bundle })
    }

    /// What it claims.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }
}

#[cfg(test)]
mod tests;
