//! A settlement, as the HIS sends it.

use serde::{Deserialize, Serialize};

use super::id::{CardholderId, CounterId, DiseaseCode, MedicalType, SettlementId, VerificationId};
use crate::clock::HisTime;

/// Largest accepted body of a settlement message, in bytes.
pub const MAX_BODY: usize = 64 * 1024;
/// Most proxies that one settlement may declare.
pub const MAX_PROXIES: usize = 8;
/// Largest accepted amount: 1 000 000 000 yuan, to catch a unit mistaken.
pub const MAX_AMOUNT_FEN: u64 = 100_000_000_000;

/// "This card is being settled at this counter": `POST /v1/settlements`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// The HIS's number of it; the same number again is the same settlement.
    pub settlement_id: SettlementId,
    /// Where.
    pub counter: CounterId,
    /// Whose card.
    pub cardholder: CardholderId,
    /// When, by the HIS's clock, with its offset from UTC.
    pub occurred_at: HisTime,
    /// How much, in fen (0.01 yuan).
    pub amount_fen: u64,
    /// Which kind of care (`med_type`).
    pub medical_type: MedicalType,
    /// People who may stand there instead, declared for this settlement.
    #[serde(default)]
    pub proxies: Vec<CardholderId>,
    /// How it is settled; at a window if the HIS does not say.
    #[serde(default, skip_serializing_if = "Channel::is_window")]
    pub channel: Channel,
    /// The cardholder's age in whole years, where the HIS says it: somebody else
    /// settles for a child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_years: Option<u8>,
    /// The disease for which it is settled (`dise_codg`), where the HIS says it: a session
    /// of dialysis is told by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disease_code: Option<DiseaseCode>,
}

/// How a card is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Handed over at a counter with a camera.
    #[default]
    Window,
    /// At a machine that people use by themselves.
    Kiosk,
    /// On a telephone, from anywhere.
    Mobile,
}

impl Channel {
    fn is_window(&self) -> bool {
        *self == Self::Window
    }
}

/// The answer to a settlement: 202 when new, 200 when repeated.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The check that was begun.
    pub verification_id: VerificationId,
}

/// A settlement message that was not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettlementError {
    /// Not JSON at all.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// A field is missing, unknown or of the wrong form.
    #[error("{field}: {what}")]
    Field {
        /// Path of the field.
        field: String,
        /// What was found and what is allowed.
        what: String,
    },
}

impl Settlement {
    /// Reads a message.
    ///
    /// # Errors
    /// [`SettlementError`] naming the field.
    pub fn from_json(body: &[u8]) -> Result<Self, SettlementError> {
        let mut de = serde_json::Deserializer::from_slice(body);
        let settlement: Self = serde_path_to_error::deserialize(&mut de).map_err(|e| {
            let path = e.path().to_string();
            match e.inner().classify() {
                serde_json::error::Category::Data => SettlementError::Field {
                    field: if path == "." { "body".into() } else { path },
                    what: e.inner().to_string(),
                },
                _ => SettlementError::NotJson(e.inner().to_string()),
            }
        })?;
        de.end().map_err(|e| SettlementError::NotJson(e.to_string()))?;
        settlement.check()
    }

    fn check(self) -> Result<Self, SettlementError> {
        let bad = |field: &str, what: String| Err(SettlementError::Field { field: field.into(), what });
        if self.amount_fen > MAX_AMOUNT_FEN {
            return bad(
                "amount_fen",
                format!("found {}; allowed: 0 to {MAX_AMOUNT_FEN} fen (0.01 yuan each)", self.amount_fen),
            );
        }
        if self.proxies.len() > MAX_PROXIES {
            return bad(
                "proxies",
                format!("found {}; at most {MAX_PROXIES} may be declared", self.proxies.len()),
            );
        }
        if self.medical_type.as_str().len() > 8 {
            return bad("medical_type", "at most 8 characters, such as 11 (outpatient)".into());
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = r#"{"settlement_id":"S202611220001","counter":"w03","cardholder":"P0001",
        "occurred_at":"2026-11-22T09:10:15+08:00","amount_fen":41250,"medical_type":"14","proxies":["P0002"]}"#;

    #[test]
    fn the_contract_s_example_is_understood() {
        let s = Settlement::from_json(GOOD.as_bytes()).unwrap();
        assert_eq!(s.occurred_at.timestamp().to_string(), "2026-11-22T01:10:15Z");
        assert_eq!(s.proxies.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, field, word) in [
            ("\"P0001\"", "\"P 1\"", "cardholder", "letters, digits"),
            ("41250", "-1", "amount_fen", "u64"),
            ("41250", "999999999999", "amount_fen", "allowed"),
            ("2026-11-22T09:10:15+08:00", "2026-13-22T09:10:15+08:00", "occurred_at", "month"),
            ("2026-11-22T09:10:15+08:00", "2026-11-22T09:10:15", "occurred_at", "offset"),
            ("[\"P0002\"]", "[7]", "proxies[0]", "string"),
            ("\"counter\"", "\"window\"", "window", "unknown field"),
            ("\"amount_fen\"", "\"channel\":\"post\",\"amount_fen\"", "channel", "mobile"),
            ("\"amount_fen\"", "\"age_years\":-1,\"amount_fen\"", "age_years", "u8"),
        ] {
            match Settlement::from_json(GOOD.replace(from, to).as_bytes()) {
                Err(SettlementError::Field { field: f, what }) => {
                    assert_eq!(f, field, "{what}");
                    assert!(what.contains(word), "{field}: {what}");
                }
                other => panic!("{to}: {other:?}"),
            }
        }
        assert!(matches!(Settlement::from_json(b"{"), Err(SettlementError::NotJson(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_understood_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Settlement::from_json(&body);
        }

        #[test]
        fn a_message_with_any_character_changed_never_panics(at in any::<proptest::sample::Index>(), with in any::<char>()) {
            let mut text: Vec<char> = GOOD.chars().collect();
            let i = at.index(text.len());
            text[i] = with;
            let _ = Settlement::from_json(text.into_iter().collect::<String>().as_bytes());
        }
    }
}
