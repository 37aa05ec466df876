//! What the bureau holds of a box's chain: the answer to `GET /v1/head`.
//!
//! The box sends again exactly what is missing and what it still has, so a
//! bureau restored from a backup gets back what it lost, behind a gap for good
//! too. Numbers only; nothing in it is about a person.

use serde::{Deserialize, Serialize};

use super::alert::Head;
use super::id::HospitalId;
use super::signed::Signed;
use crate::crypto::sign::PublicKey;

/// Most ranges in one answer.
pub const MAX_RANGES: usize = 1000;

/// Numbers that are not held, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// `GET /v1/head`. Unknown fields are read over, so that a bureau may say more
/// than an older box asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HeadAnswer {
    /// The last event up to which nothing is missing; nothing if the first is.
    pub head: Option<Head>,
    /// The greatest number held, and the epoch that all of this is about;
    /// nothing if no event is held.
    #[serde(default)]
    pub greatest: Option<Head>,
    /// What is not held below the greatest, in order; what expired on the box
    /// is not counted.
    #[serde(default)]
    pub missing: Vec<Range>,
    /// Whether there are more than [`MAX_RANGES`] of them.
    #[serde(default)]
    pub truncated: bool,
    /// The bureau's signing key, to be compared with the pinned one.
    #[serde(default)]
    pub public_key: Option<PublicKey>,
    /// The hospital that the box is on record for.
    #[serde(default)]
    pub hospital: Option<HospitalId>,
    /// The version that the box is to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Signed>,
}

/// 201 to `POST /v1/alerts`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Stored {
    /// Whether the event before it is not held: then the box asks for the head.
    /// A connection that broke and was made anew between two events goes
    /// unnoticed otherwise.
    #[serde(default)]
    pub gap: bool,
}

impl HeadAnswer {
    /// The epoch spoken of, and the greatest number held in it.
    pub fn reach(&self) -> Option<Head> {
        self.greatest.or(self.head)
    }
}
