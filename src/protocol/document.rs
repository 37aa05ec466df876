//! Documents by digest: what alerts and postures name, kept as exact bytes.
//!
//! An alert says under which policy, notice and calibration it was raised by
//! SHA-256 alone. Here the bytes behind the digests travel, once each, so that
//! somebody can read years later what was in force. None is about a person.

use serde::{Deserialize, Serialize};

/// Largest accepted document, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// What a document is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// The privacy policy, as canonical JSON.
    Policy,
    /// The text of the posted notice.
    Notice,
    /// The calibration file: thresholds, and the model and data they belong to.
    Calibration,
}

impl DocumentKind {
    /// Every kind there is.
    pub const ALL: [Self; 3] = [Self::Policy, Self::Notice, Self::Calibration];

    /// Its name in a query, in the store and in a bundle.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Notice => "notice",
            Self::Calibration => "calibration",
        }
    }
}

impl std::fmt::Display for DocumentKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for DocumentKind {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|k| k.as_str() == s).ok_or_else(|| {
            let found: String = s.chars().take(40).collect();
            format!("found `{found}`; known kinds of document: policy, notice, calibration")
        })
    }
}
