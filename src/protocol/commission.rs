//! Commissioning: the bureau's signed word that a box may raise alerts.
//!
//! A box begins in shadow: it verifies and counts, and accuses nobody. What
//! arms it is a [`Commission`] that a supervisor signed at the bureau after
//! seeing its figures; it is for one box, one model and one calibration. What
//! ends that again is a word of the same form with a greater number. A box
//! heeds the greatest number that it has seen, so that an old word cannot be
//! brought back.
//!
//! What is signed are the exact bytes of the document, which travels as text. A
//! [`Commission`] says nothing until [`Commission::verify`] made a
//! [`VerifiedCommission`] of it:
//!
//! ```compile_fail
//! use counterproof::protocol::commission::{Commission, VerifiedCommission};
//! fn believe(c: Commission) -> VerifiedCommission { c }
//! ```
//! ```
//! use counterproof::crypto::sign::PublicKey;
//! use counterproof::protocol::commission::{Commission, VerifiedCommission};
//! use counterproof::protocol::id::AgentId;
//! use counterproof::protocol::signed::SignedError;
//! fn check(c: Commission, k: &PublicKey, a: &AgentId) -> Result<VerifiedCommission, SignedError> { c.verify(k, a) }
//! ```

use serde::{Deserialize, Serialize};

use super::figures::Figures;
use super::id::AgentId;
use super::signed::{self, Signed, SignedError};
use super::verdict::words;
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::{PublicKey, SigningKey};

/// Longest document that is read, in bytes.
pub const MAX_BYTES: usize = 16 * 1024;
/// Longest name of a supervisor, in characters.
pub const MAX_NAME: usize = 64;
/// Longest note or reason, in characters.
pub const MAX_TEXT: usize = 500;

/// What a box is armed for: another of any of these needs another signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The box.
    pub agent: AgentId,
    /// SHA-256 of the recognizer's file.
    pub model: Sha256,
    /// Version of preparation and alignment.
    pub preprocessing: u32,
    /// SHA-256 of the calibration file.
    pub calibration: Sha256,
}

/// The only form spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// Version 1.
    #[serde(rename = "counterproof.commission.v1")]
    V1,
}

/// What a supervisor signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Which form.
    pub format: Format,
    /// To which box.
    pub agent: AgentId,
    /// 1, 2, 3, …: the greatest counts.
    pub number: u64,
    /// When, by the bureau's clock.
    pub signed_at: WallTime,
    /// Who.
    pub supervisor: String,
    /// What the box shall do.
    pub order: Word,
}

/// What a box shall do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Raise alerts from now on.
    Arm(Box<Arm>),
    /// Raise none any more.
    Revoke(Revoke),
}

/// That a box may raise alerts, and what was seen before that was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// SHA-256 of the recognizer's file.
    pub model: Sha256,
    /// Version of preparation and alignment.
    pub preprocessing: u32,
    /// SHA-256 of the calibration file.
    pub calibration: Sha256,
    /// A remark of the supervisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Settlements with a score that were seen in shadow.
    pub settlements: u64,
    /// What was counted in shadow; later figures are held against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<Figures>,
    /// Why it was signed though the figures did not speak for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_figures: Option<String>,
}

/// That a box shall raise no alerts any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// Why.
    pub reason: String,
}

/// An order with a signature that nobody has checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct Commission(pub Signed);

impl signed::Word for Order {
    const MOST: usize = MAX_BYTES;

    fn agent(&self) -> &AgentId {
        &self.agent
    }
}

impl Commission {
    /// Signs an order.
    ///
    /// # Errors
    /// Only if it cannot be written as JSON.
    pub fn sign(order: &Order, key: &SigningKey) -> Result<Self, serde_json::Error> {
        Signed::sign(order, key).map(Self)
    }

    /// SHA-256 of the document: its name in records.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(self.0.document.as_bytes())
    }

    /// Checks that the bureau signed it, and for this box.
    ///
    /// # Errors
    /// [`SignedError`]
    pub fn verify(&self, bureau: &PublicKey, agent: &AgentId) -> Result<VerifiedCommission, SignedError> {
        let order = self.0.read(bureau, agent)?;
        Ok(VerifiedCommission { order, commission: self.clone() })
    }
}

/// A commission whose signature was checked, for this box. Made by
/// [`Commission::verify`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCommission {
    order: Order,
    commission: Commission,
}

/// Why a verified commission does not arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotArmed {
    /// It revokes.
    Revoked,
    /// It is for another model, or another preparation of pictures.
    OtherModel,
    /// It is for another calibration.
    OtherCalibration,
}

impl VerifiedCommission {
    /// What was signed.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// The whole, to be kept.
    pub fn commission(&self) -> &Commission {
        &self.commission
    }

    /// What it arms with, if it arms a box for this.
    ///
    /// # Errors
    /// [`NotArmed`]
    pub fn arms(&self, subject: &Subject) -> Result<&Arm, NotArmed> {
        let Word::Arm(arm) = &self.order.order else { return Err(NotArmed::Revoked) };
        if (arm.model, arm.preprocessing) != (subject.model, subject.preprocessing) {
            return Err(NotArmed::OtherModel);
        }
        if arm.calibration != subject.calibration {
            return Err(NotArmed::OtherCalibration);
        }
        Ok(arm)
    }
}

words! {
    /// Why a box is in shadow.
    ShadowReason {
        /// No commission was seen yet.
        NeverCommissioned = "never_commissioned",
        /// The commission is for another calibration than the one in force.
        OtherCalibration = "other_calibration",
        /// The commission is for another model than the one in force.
        OtherModel = "other_model",
        /// The box's figures moved away from those it was commissioned with.
        Drift = "drift",
        /// A supervisor took the commission back.
        Revoked = "revoked",
        /// The commission at hand does not bear the pinned key, or is another box's.
        Unverified = "unverified",
    }
}

/// Whether a box raises alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It verifies and counts, and raises none.
    Shadow(ShadowReason),
    /// It raises alerts.
    Armed,
}

impl Mode {
    /// Whether it raises alerts.
    pub const fn is_armed(self) -> bool {
        matches!(self, Self::Armed)
    }
}

/// `armed`, or `shadow(reason)`.
impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Armed => f.write_str("armed"),
            Self::Shadow(reason) => write!(f, "shadow({reason})"),
        }
    }
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let reason = text.strip_prefix("shadow(").and_then(|r| r.strip_suffix(')'));
        match (text, reason) {
            ("armed", _) => Some(Self::Armed),
            (_, Some(word)) => {
                ShadowReason::ALL.iter().find(|r| r.as_str() == word).map(|r| Self::Shadow(*r))
            }
            _ => None,
        }
        .ok_or_else(|| {
            let found: String = text.chars().take(40).collect();
            format!("found `{found}`; expected `armed`, or `shadow(…)` with a reason that this version knows")
        })
    }
}

impl Serialize for Mode {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How a box stands, as its posture tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Whether it raises alerts.
    pub mode: Mode,
    /// Since when it stands so, by the box's clock.
    pub since: WallTime,
    /// More about why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The greatest number of an order that it has seen; 0 if none.
    pub number: u64,
    /// SHA-256 of that order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commission: Option<Sha256>,
    /// What it counted since.
    pub figures: Figures,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::crypto::sign::SignatureError;
    use proptest::prelude::*;

    pub(crate) fn key() -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap()
    }

    pub(crate) fn subject() -> Subject {
        Subject {
            agent: "box-1".parse().unwrap(),
            model: Sha256::of(b"m"),
            preprocessing: 257,
            calibration: Sha256::of(b"c"),
        }
    }

    pub(crate) fn order(number: u64, subject: &Subject) -> Order {
        let arm = Arm {
            model: subject.model,
            preprocessing: subject.preprocessing,
            calibration: subject.calibration,
            note: None,
            settlements: 0,
            figures: None,
            without_figures: Some("a test".into()),
        };
        Order {
            format: Format::V1,
            agent: subject.agent.clone(),
            number,
            signed_at: WallTime::from_millis(5),
            supervisor: "li".into(),
            order: Word::Arm(Box::new(arm)),
        }
    }

    #[test]
    fn a_commission_counts_for_these_bytes_this_bureau_and_this_box_alone() {
        let (bureau, s) = (key(), subject());
        let good = Commission::sign(&order(1, &s), &bureau).unwrap();
        let back: Commission = serde_json::from_str(&serde_json::to_string(&good).unwrap()).unwrap();
        let verified = back.verify(&bureau.public(), &s.agent).unwrap();
        assert_eq!((verified.order().number, verified.commission()), (1, &good));
        assert!(matches!(
            good.verify(&key().public(), &s.agent),
            Err(SignedError::Signature(SignatureError::OtherKey { .. }))
        ));
        let with = |document: String, signature| Commission(Signed { document, signature });
        let changed = with(good.0.document.replace("\"li\"", "\"wu\""), good.0.signature.clone());
        assert_eq!(
            changed.verify(&bureau.public(), &s.agent).err(),
            Some(SignedError::Signature(SignatureError::Wrong))
        );
        let other = good.verify(&bureau.public(), &"box-2".parse().unwrap()).unwrap_err();
        assert!(other.to_string().contains("for box-1, this box is box-2"), "{other}");
        // What the bureau signs for another purpose is none.
        let statement = "counterproof receipt v1 box-1".to_owned();
        let signature = bureau.sign(statement.as_bytes());
        let foreign = with(statement, signature);
        assert!(matches!(foreign.verify(&bureau.public(), &s.agent), Err(SignedError::Form(_))));
        let document = " ".repeat(MAX_BYTES + 1);
        let signature = bureau.sign(document.as_bytes());
        let long = with(document, signature);
        assert!(matches!(long.verify(&bureau.public(), &s.agent), Err(SignedError::TooLong { .. })));
    }

    #[test]
    fn it_arms_for_its_own_model_and_calibration_and_a_revocation_for_none() {
        let (bureau, s) = (key(), subject());
        let verified = |order: &Order| {
            Commission::sign(order, &bureau).unwrap().verify(&bureau.public(), &s.agent).unwrap()
        };
        let armed = verified(&order(1, &s));
        assert!(armed.arms(&s).is_ok());
        let model = Subject { model: Sha256::of(b"another"), ..s.clone() };
        let preparation = Subject { preprocessing: 258, ..s.clone() };
        let calibration = Subject { calibration: Sha256::of(b"another"), ..s.clone() };
        assert_eq!(armed.arms(&model).err(), Some(NotArmed::OtherModel));
        assert_eq!(armed.arms(&preparation).err(), Some(NotArmed::OtherModel));
        assert_eq!(armed.arms(&calibration).err(), Some(NotArmed::OtherCalibration));
        let revoke = Word::Revoke(Revoke { reason: "moved".into() });
        let revoked = verified(&Order { order: revoke, ..order(2, &s) });
        assert_eq!(revoked.arms(&s).err(), Some(NotArmed::Revoked));
    }

    #[test]
    fn a_mode_is_one_word_on_the_wire() {
        for mode in ShadowReason::ALL.iter().map(|r| Mode::Shadow(*r)).chain([Mode::Armed]) {
            let text = serde_json::to_string(&mode).unwrap();
            assert_eq!(serde_json::from_str::<Mode>(&text).unwrap(), mode);
        }
        assert_eq!(Mode::Shadow(ShadowReason::Drift).to_string(), "shadow(drift)");
        assert!("shadow(weather)".parse::<Mode>().unwrap_err().contains("shadow(weather)"));
    }

    proptest! {
        #[test]
        fn any_signed_bytes_are_read_or_refused(text in ".{0,200}") {
            let bureau = key();
            let signature = bureau.sign(text.as_bytes());
            let c = Commission(Signed { document: text, signature });
            prop_assert!(c.verify(&bureau.public(), &subject().agent).is_err());
        }
    }
}
