//! Documents that the bureau hands to a box: a policy or a calibration.
//!
//! The word of it comes with the answer to a posture; the box fetches the bytes by
//! their digest, keeps them in its state folder and says so in its next posture.
//! Nothing comes into force by that: which policy and which calibration a box works
//! under is its own configuration's word, under its compiled ceilings.

use serde::{Deserialize, Serialize};

use super::document::DocumentKind;
use super::id::AgentId;
use super::signed::Word;
use crate::clock::WallTime;
use crate::crypto::Sha256;

/// The only form spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// Version 1.
    #[serde(rename = "counterproof.handout.v1")]
    V1,
}

/// That a document is meant for a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handout {
    /// Which form.
    pub format: Format,
    /// For which box.
    pub agent: AgentId,
    /// What it is.
    pub kind: DocumentKind,
    /// SHA-256 of its bytes.
    pub digest: Sha256,
    /// How many bytes it has.
    pub bytes: u64,
    /// 1, 2, 3, … for each box: the greatest of a kind counts.
    pub number: u64,
    /// When it was signed, by the bureau's clock.
    pub at: WallTime,
}

impl Word for Handout {
    fn agent(&self) -> &AgentId {
        &self.agent
    }
}

/// A document that has arrived on a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Arrived {
    /// What it is.
    pub kind: DocumentKind,
    /// SHA-256 of its bytes, which the box has checked.
    pub digest: Sha256,
    /// The number of the word that it came with.
    pub number: u64,
}
