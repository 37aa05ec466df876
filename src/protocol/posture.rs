//! Posture: once a minute, what a box is and how it fares. Counts only;
//! nothing in it is about a person.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::commission::Standing;
use super::document::DocumentKind;
use super::handout::Arrived;
use super::id::{AgentId, CounterId, Epoch, HospitalId};
use super::json::{self, Misread};
use super::rollout::Told;
use super::verdict::words;
use crate::clock::WallTime;
use crate::crypto::Sha256;

/// How many verdicts of each kind, by `verdict` or `verdict(reason)`.
pub type VerdictCounts = BTreeMap<String, u64>;

words! {
    /// How a counter's camera fares.
    CameraState {
        /// Nothing is wrong with it, as far as was looked.
        Ok = "ok",
        /// It sends nothing.
        Silent = "silent",
        /// It sends the same bytes again and again.
        Frozen = "frozen",
        /// Its picture is black.
        Black = "black",
        /// Something is before the lens, or it is blinded: a picture without edges.
        Covered = "covered",
        /// No edge in its picture is sharp.
        OutOfFocus = "out_of_focus",
        /// It does not look where it looked when it was aimed.
        Moved = "moved",
    }
}

/// `POST /v1/posture`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Posture {
    /// Which box.
    pub agent: AgentId,
    /// Where it stands.
    pub hospital: HospitalId,
    /// When, by the box's clock.
    pub at: WallTime,
    /// Version of the agent.
    pub agent_version: String,
    /// SHA-256 of each model in use, by role.
    pub models: BTreeMap<String, Sha256>,
    /// The privacy policy in force.
    pub policy: Sha256,
    /// The text of the posted notice; older boxes leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<Sha256>,
    /// The calibration in force.
    pub calibration: Sha256,
    /// Retention in force: limit in seconds by kind of data.
    pub retention_s: BTreeMap<String, u64>,
    /// When each limit was last carried out, by kind of data; older boxes leave it out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub purges: BTreeMap<String, LastPurge>,
    /// Documents of the bureau that have arrived; older boxes leave it out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arrived: Vec<Arrived>,
    /// The version that it was told to run; older boxes leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Told>,
    /// Which run of the program this is; another one after each start. Older boxes leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub run: Option<uuid::Uuid>,
    /// Verdicts since the start, by `verdict` or `verdict(reason)`.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub verdicts: VerdictCounts,
    /// The same by counter; older boxes leave it out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, BTreeMap<String, u64>>)]
    pub counters: BTreeMap<CounterId, VerdictCounts>,
    /// How the counters' cameras fare; older boxes leave it out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cameras: BTreeMap<CounterId, CameraState>,
    /// Events that wait for delivery.
    pub outbox_waiting: u64,
    /// Events that the bureau refused for good.
    pub outbox_set_aside: u64,
    /// The audit log's last record.
    pub audit: AuditHead,
    /// Whether liveness is on.
    pub liveness: String,
    /// Whether it raises alerts, and what it counted since; older boxes leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commissioning: Option<Standing>,
    /// What is wrong now, in words; empty when all is well.
    pub troubles: Vec<String>,
}

impl Posture {
    /// Reads the exact bytes of a posture.
    ///
    /// # Errors
    /// [`Misread`] naming the field.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Misread> {
        json::read(bytes)
    }

    /// The documents that it names.
    pub fn documents(&self) -> impl Iterator<Item = (DocumentKind, Sha256)> {
        [
            Some((DocumentKind::Policy, self.policy)),
            self.notice.map(|n| (DocumentKind::Notice, n)),
            Some((DocumentKind::Calibration, self.calibration)),
        ]
        .into_iter()
        .flatten()
    }
}

/// When a limit was last carried out, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LastPurge {
    /// When, by the box's clock.
    pub at: WallTime,
    /// How much was deleted then.
    pub deleted: u64,
    /// How much was deleted since the agent started.
    pub since_start: u64,
    /// Age of the oldest that stayed, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_left_s: Option<u64>,
}

/// The last record of a box's audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditHead {
    /// The box's life between two re-imagings.
    pub epoch: Epoch,
    /// Number of the record.
    pub seq: u64,
    /// Its hash.
    pub hash: Sha256,
}
