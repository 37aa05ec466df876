//! What the bureau is told of a session that was billed for somebody whom the entrance
//! of a dialysis room did not see: `counterproof.alert.absent.v1`.
//!
//! No field can carry a picture or a probe, and none says anything of those who did pass:
//! they are a number. It is a claim about a doorway, not about a face, so it says how well
//! the doorway was observed, and how many of the others who were expected were seen there.

use serde::{Deserialize, Serialize};

use super::alert::{Settings, finite};
use super::id::{CardholderId, CounterId, HospitalId, MedicalType};
use crate::clock::HisTime;
use crate::crypto::Sha256;

/// A session that was billed, and the cardholder not seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Absent {
    /// Where the box stands.
    pub hospital: HospitalId,
    /// The entrance.
    pub counter: CounterId,
    /// For whom the session was billed.
    pub cardholder: CardholderId,
    /// When it was billed, by the HIS's clock.
    pub occurred_at: HisTime,
    /// Bound on the difference between that clock and the camera's, in ms.
    pub clock_error_ms: u64,
    /// How much, in fen.
    pub amount_fen: u64,
    /// Which kind of care.
    pub medical_type: MedicalType,
    /// The shift for which they were expected.
    pub shift: Shift,
    /// How the entrance was observed during it.
    pub observation: Observation,
    /// What the box was set to.
    pub settings: Settings,
}

/// From when to when a roster is watched for, by the HIS's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Shift {
    /// Its beginning.
    pub begins_at: HisTime,
    /// Its end.
    pub ends_at: HisTime,
}

/// How an entrance was observed during a shift, and what speaks for the absent one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// SHA-256 of the recognizer's file.
    pub model: Sha256,
    /// Thousandths of the shift during which the entrance was observed, 0 to 1000.
    pub observed_permille: u16,
    /// Cardholders with references who were expected, the absent one among them.
    pub expected: u32,
    /// Of them, those who were seen.
    pub seen: u32,
    /// Faces that were followed through the entrance, those of anybody.
    pub faces: u32,
    /// Of them, those not seen well enough to be told from the absent one.
    pub unclear: u32,
    /// Of all faces that passed, how likely the one that came nearest was theirs rather than
    /// anybody's: natural logarithm of its likelihood ratio, below 0.
    #[serde(deserialize_with = "finite")]
    pub log_likelihood_ratio: f32,
}

/// Thousandths of a whole.
pub const WHOLE: u16 = 1000;

impl Absent {
    /// What the types alone do not say; the field and what is wrong with it.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        let o = &self.observation;
        if self.shift.ends_at.timestamp() <= self.shift.begins_at.timestamp() {
            return Some(("data.shift.ends_at", "not after begins_at".into()));
        }
        if o.observed_permille > WHOLE {
            let found = o.observed_permille;
            return Some((
                "data.observation.observed_permille",
                format!("found {found}; allowed are 0 to {WHOLE}"),
            ));
        }
        if o.seen >= o.expected {
            let (seen, expected) = (o.seen, o.expected);
            return Some((
                "data.observation.seen",
                format!("found {seen} of {expected}; the absent one was expected and not seen"),
            ));
        }
        if o.log_likelihood_ratio >= 0.0 {
            let found = o.log_likelihood_ratio;
            return Some((
                "data.observation.log_likelihood_ratio",
                format!(
                    "found {found}; allowed are numbers below 0: no face that passed was as likely theirs"
                ),
            ));
        }
        (o.unclear > o.faces).then(|| {
            ("data.observation.unclear", format!("found {} of {} faces; at most all", o.unclear, o.faces))
        })
    }
}
