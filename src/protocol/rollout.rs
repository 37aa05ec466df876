//! The version that the bureau wants a box to run.
//!
//! It is said, not carried out: a box shows it (posture, metrics, `check`), and a
//! person installs the package. The digest is that of the package's file, so that
//! whoever installs it can compare.

use serde::{Deserialize, Serialize};

use super::id::AgentId;
use super::signed::Word;
use crate::clock::WallTime;
use crate::crypto::Sha256;

/// Longest name of a version, in characters.
pub const MAX_VERSION: usize = 40;

/// The only form spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// Version 1.
    #[serde(rename = "counterproof.wanted-version.v1")]
    V1,
}

/// Which version a box is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedVersion {
    /// Which form.
    pub format: Format,
    /// For which box.
    pub agent: AgentId,
    /// As the program tells its own: `0.2.0`.
    pub version: String,
    /// SHA-256 of the package's file.
    pub package: Sha256,
    /// Number of the roll-out.
    pub rollout: u64,
    /// When that stage began, by the bureau's clock.
    pub at: WallTime,
}

impl Word for WantedVersion {
    fn agent(&self) -> &AgentId {
        &self.agent
    }
}

/// Whether a text can be a version: what a package may be called.
pub fn is_version(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b".+~-".contains(&b);
    (1..=MAX_VERSION).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(fits)
}

/// The version that a box was told to run, as it tells it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// The version.
    pub version: String,
    /// Number of the roll-out.
    pub rollout: u64,
}
