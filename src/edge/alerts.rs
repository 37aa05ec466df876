//! From a mismatch or an absence to the alert about it.
//!
//! A [`Draft`] is made from a [`Mismatch`] or an [`Absent`] by a box that is [`Armed`], and from
//! nothing else; the outbox takes only drafts:
//!
//! ```compile_fail
//! use counterproof::{edge::{alerts::{Draft, InForce}, commission::Armed}, protocol::settlement::Settlement, verify::Present};
//! fn accuse(p: &Present, s: &Settlement, f: &InForce, a: &Armed) -> Draft { Draft::of(p, s, f, a) }
//! ```
//! ```compile_fail
//! use counterproof::{edge::alerts::{Draft, InForce}, privacy::policy::Entrance, protocol::{absence::Shift, id::CounterId, settlement::Settlement}, verify::roster::Absent};
//! fn accuse(a: &Absent, s: &Settlement, at: (&CounterId, Shift), f: (&InForce, &Entrance)) -> Draft { Draft::absent(a, s, at, f) }
//! ```
//! ```
//! use counterproof::{edge::{alerts::{Draft, InForce}, commission::Armed}, privacy::policy::Entrance, protocol::{absence::Shift, id::CounterId, settlement::Settlement}, verify::roster::Absent};
//! fn accuse(a: &Absent, s: &Settlement, at: (&CounterId, Shift), f: (&InForce, &Entrance), armed: &Armed) -> Draft { Draft::absent(a, s, at, f, armed) }
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
use crate::privacy::policy::Entrance;
use crate::protocol::absence::{self, Shift};
use crate::protocol::alert;
use crate::protocol::id::{AgentId, CounterId, HospitalId, SettlementId};
use crate::protocol::settlement::Settlement;
use crate::protocol::verdict::Outcome;
use crate::verify::Mismatch;
use crate::verify::roster::Absent;

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
    data: Told,
}

/// What an alert will say. Read back by its fields: the two have not the same ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Told {
    Mismatch(Box<alert::Mismatch>),
    Absent(Box<absence::Absent>),
}

impl Draft {
    /// The alert about a mismatch in the verification of a settlement, by a box
    /// that a supervisor armed.
    pub fn of(mismatch: &Mismatch, settlement: &Settlement, in_force: &InForce, _: &Armed) -> Self {
        Self {
            agent: in_force.agent.clone(),
            settlement: settlement.settlement_id.clone(),
            data: Told::Mismatch(Box::new(alert::Mismatch {
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
            })),
        }
    }

    /// The alert about a session that was billed for somebody whom an entrance did not see
    /// during a shift, by a box that a supervisor armed.
    pub fn absent(
        absent: &Absent,
        settlement: &Settlement,
        (counter, shift): (&CounterId, Shift),
        (in_force, entrance): (&InForce, &Entrance),
        _: &Armed,
    ) -> Self {
        Self {
            agent: in_force.agent.clone(),
            settlement: settlement.settlement_id.clone(),
            data: Told::Absent(Box::new(absence::Absent {
                hospital: in_force.hospital.clone(),
                counter: counter.clone(),
                cardholder: settlement.cardholder.clone(),
                occurred_at: settlement.occurred_at,
                clock_error_ms: in_force.clock_error_ms,
                amount_fen: settlement.amount_fen,
                medical_type: settlement.medical_type.clone(),
                shift,
                observation: absent.observation(),
                // The notice that hangs there is another than that at the windows.
                settings: alert::Settings { notice: entrance.notice.sha256, ..in_force.settings.clone() },
            })),
        }
    }

    fn about(&self) -> alert::About<'_> {
        match &self.data {
            Told::Mismatch(data) => data.about(),
            Told::Absent(data) => data.about(),
        }
    }

    /// The verdict that it tells.
    pub(super) fn outcome(&self) -> Outcome {
        match &self.data {
            Told::Mismatch(_) => Outcome::Mismatch,
            Told::Absent(_) => Outcome::Absent,
        }
    }

    /// With so many proxies compared: the cardholder may have declared some at the bureau.
    #[must_use]
    pub fn with_proxies(mut self, compared: u32) -> Self {
        if let Told::Mismatch(data) = &mut self.data {
            data.proxies_compared = compared;
        }
        self
    }

    /// The settlement it is about.
    pub fn settlement(&self) -> &SettlementId {
        &self.settlement
    }

    /// The counter where it happened.
    pub fn counter(&self) -> &CounterId {
        self.about().counter
    }

    /// The recognizer that found it.
    pub(super) fn model(&self) -> Sha256 {
        self.about().model
    }

    /// The calibration that found it.
    pub(super) fn calibration(&self) -> Sha256 {
        self.about().settings.calibration
    }

    /// The comparison score, where one stands behind it.
    pub(super) fn score(&self) -> Option<f32> {
        self.about().score
    }

    /// When its settlement was, by the HIS's clock.
    pub(super) fn occurred_at(&self) -> HisTime {
        self.about().occurred_at
    }

    /// Whether a settlement of somebody else at the same counter comes so near
    /// that the face may have been that person's.
    pub(super) fn has_neighbour(&self, other: &Settlement, reach: Duration) -> bool {
        let Told::Mismatch(data) = &self.data else { return false };
        let apart = data.occurred_at.timestamp().duration_since(other.occurred_at.timestamp());
        data.counter == other.counter && data.cardholder != other.cardholder && apart.unsigned_abs() <= reach
    }

    /// The box, the settlement, and what will be said.
    pub(super) fn into_parts(self) -> (AgentId, SettlementId, alert::Content) {
        let content = match self.data {
            Told::Mismatch(data) => alert::Content::Mismatch(data),
            Told::Absent(data) => alert::Content::Absent(data),
        };
        (self.agent, self.settlement, content)
    }
}
