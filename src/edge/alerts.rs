//! From a mismatch to the alert about it.
//!
//! A [`Draft`] is made from a [`Mismatch`] by a box that is [`Armed`], and from
//! nothing else; the outbox takes only drafts:
//!
//! ```compile_fail
//! use counterproof::{edge::{alerts::{Draft, InForce}, commission::Armed}, protocol::settlement::Settlement, verify::Present};
//! fn accuse(p: &Present, s: &Settlement, f: &InForce, a: &Armed) -> Draft { Draft::of(p, s, f, a) }
//! ```
//! ```compile_fail
//! use counterproof::{edge::alerts::{Draft, InForce}, protocol::settlement::Settlement, verify::Mismatch};
//! fn accuse(m: &Mismatch, s: &Settlement, f: &InForce) -> Draft { Draft::of(m, s, f) }
//! ```
//! ```
//! use counterproof::{edge::{alerts::{Draft, InForce}, commission::Armed}, protocol::settlement::Settlement, verify::Mismatch};
//! fn accuse(m: &Mismatch, s: &Settlement, f: &InForce, a: &Armed) -> Draft { Draft::of(m, s, f, a) }
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::HisTime;
use crate::crypto::Sha256;
use crate::protocol::alert;
use crate::protocol::id::{AgentId, CounterId, HospitalId, SettlementId};
use crate::protocol::settlement::Settlement;
use crate::verify::Mismatch;

use super::commission::Armed;

/// What was in force when a verdict fell.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The box.
    pub agent: AgentId,
    /// Where it stands.
    pub hospital: HospitalId,
    /// Bound on the difference of the clocks, in ms.
    pub clock_error_ms: u64,
    /// Digests of policy, notice and calibration.
    pub settings: alert::Settings,
}

/// An alert that is held: not yet numbered, not yet signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    agent: AgentId,
    settlement: SettlementId,
    data: alert::Mismatch,
}

impl Draft {
    /// The alert about a mismatch in the verification of a settlement, by a box
    /// that a supervisor armed.
    pub fn of(mismatch: &Mismatch, settlement: &Settlement, in_force: &InForce, _: &Armed) -> Self {
        Self {
            agent: in_force.agent.clone(),
            settlement: settlement.settlement_id.clone(),
            data: alert::Mismatch {
                hospital: in_force.hospital.clone(),
                counter: settlement.counter.clone(),
                cardholder: settlement.cardholder.clone(),
                occurred_at: settlement.occurred_at,
                clock_error_ms: in_force.clock_error_ms,
                amount_fen: settlement.amount_fen,
                medical_type: settlement.medical_type.clone(),
                proxies_compared: settlement.proxies.len() as u32,
                comparison: mismatch.comparison().clone(),
                quality: mismatch.quality(),
                settings: in_force.settings.clone(),
            },
        }
    }

    /// With so many proxies compared: the cardholder may have declared some at the bureau.
    #[must_use]
    pub fn with_proxies(mut self, compared: u32) -> Self {
        self.data.proxies_compared = compared;
        self
    }

    /// The settlement it is about.
    pub fn settlement(&self) -> &SettlementId {
        &self.settlement
    }

    /// The counter where it happened.
    pub fn counter(&self) -> &CounterId {
        &self.data.counter
    }

    /// The recognizer that found it.
    pub(super) fn model(&self) -> Sha256 {
        self.data.comparison.model
    }

    /// The calibration that found it.
    pub(super) fn calibration(&self) -> Sha256 {
        self.data.settings.calibration
    }

    /// The comparison score.
    pub(super) fn score(&self) -> f32 {
        self.data.comparison.score
    }

    /// When its settlement was, by the HIS's clock.
    pub(super) fn occurred_at(&self) -> HisTime {
        self.data.occurred_at
    }

    /// Whether a settlement of somebody else at the same counter comes so near
    /// that the face may have been that person's.
    pub(super) fn has_neighbour(&self, other: &Settlement, reach: Duration) -> bool {
        let apart = self.data.occurred_at.timestamp().duration_since(other.occurred_at.timestamp());
        self.data.counter == other.counter
            && self.data.cardholder != other.cardholder
            && apart.unsigned_abs() <= reach
    }

    /// The box, the settlement, and what will be said.
    pub(super) fn into_parts(self) -> (AgentId, SettlementId, alert::Content) {
        (self.agent, self.settlement, alert::Content::Mismatch(Box::new(self.data)))
    }
}
