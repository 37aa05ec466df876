//! A shift's roster: who is expected at a dialysis room's entrance, and what was billed.
//!
//! `PUT /v1/rosters/{counter}/{shift}` gives a box at most [`MOST`] cardholders for a time
//! of at most [`LONGEST`]; it is valid for that shift alone. It is the one exception to
//! comparing one to one, so its bounds are part of the contract and not of a configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::absence::Shift;
use super::id::{CardholderId, CounterId, MedicalType, SettlementId, VerificationId};
use super::json;
use super::settlement::{Channel, MAX_AMOUNT_FEN, Settlement, SettlementError};
use crate::clock::HisTime;

/// Most cardholders of one shift.
pub const MOST: usize = 60;
/// The longest shift.
pub const LONGEST: Duration = Duration::from_secs(8 * 3600);
/// How long before a shift's beginning its roster may be given.
pub const AHEAD: Duration = Duration::from_secs(24 * 3600);

/// Who is expected during a shift.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// When the first of them may arrive, by the HIS's clock, with its offset from UTC.
    pub begins_at: HisTime,
    /// When the last of them has left; at most 8 hours later.
    pub ends_at: HisTime,
    /// They: 1 to 60, each once.
    #[schema(min_items = 1, max_items = 60)]
    pub cardholders: Vec<CardholderId>,
}

/// The end of a shift, with the sessions that were billed in it:
/// `POST /v1/rosters/{counter}/{shift}/close`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Close {
    /// Sessions that were billed; none if each comes as a settlement of its own.
    #[schema(max_items = 60)]
    pub billed: Vec<Billed>,
}

/// A session that was billed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Billed {
    /// The HIS's number of the settlement.
    pub settlement_id: SettlementId,
    /// For whom.
    pub cardholder: CardholderId,
    /// When, by the HIS's clock, with its offset from UTC.
    pub occurred_at: HisTime,
    /// How much, in fen (0.01 yuan).
    pub amount_fen: u64,
    /// Which kind of care (`med_type`).
    pub medical_type: MedicalType,
}

/// The answer to the end of a shift.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    /// The check that was begun for each session, in the order in which they were named.
    pub verifications: Vec<Begun>,
}

/// The check that was begun for a session.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    /// The session's settlement.
    pub settlement_id: SettlementId,
    /// Its check.
    pub verification_id: VerificationId,
}

impl Billed {
    /// As a settlement at the entrance.
    pub fn at(self, counter: CounterId) -> Settlement {
        let Self { settlement_id, cardholder, occurred_at, amount_fen, medical_type } = self;
        Settlement {
            settlement_id,
            counter,
            cardholder,
            occurred_at,
            amount_fen,
            medical_type,
            proxies: Vec::new(),
            channel: Channel::Window,
            age_years: None,
            disease_code: None,
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, SettlementError> {
    json::read(body).map_err(|e| SettlementError::Field { field: e.field, what: e.what })
}

fn bad<T>(field: &str, what: String) -> Result<T, SettlementError> {
    Err(SettlementError::Field { field: field.into(), what })
}

impl Roster {
    /// Reads a roster.
    ///
    /// # Errors
    /// [`SettlementError`] naming the field.
    pub fn from_json(body: &[u8]) -> Result<Self, SettlementError> {
        let roster: Self = read(body)?;
        let n = roster.cardholders.len();
        if !(1..=MOST).contains(&n) {
            return bad("cardholders", format!("found {n}; allowed: 1 to {MOST} for one shift"));
        }
        for (i, one) in roster.cardholders.iter().enumerate() {
            if roster.cardholders.iter().take(i).any(|other| other == one) {
                return bad(&format!("cardholders[{i}]"), "named twice; each is expected once".into());
            }
        }
        let (begins, ends) = (roster.begins_at.timestamp(), roster.ends_at.timestamp());
        let long = ends.duration_since(begins);
        if !(long.is_positive() && long.unsigned_abs() <= LONGEST) {
            let hours = LONGEST.as_secs() / 3600;
            return bad(
                "ends_at",
                format!("found {ends}; allowed: after begins_at ({begins}), at most {hours} hours"),
            );
        }
        Ok(roster)
    }

    /// From when to when it is watched for.
    pub fn shift(&self) -> Shift {
        Shift { begins_at: self.begins_at, ends_at: self.ends_at }
    }
}

impl Close {
    /// Reads the end of a shift.
    ///
    /// # Errors
    /// [`SettlementError`] naming the field.
    pub fn from_json(body: &[u8]) -> Result<Self, SettlementError> {
        let close: Self = read(body)?;
        let n = close.billed.len();
        if n > MOST {
            return bad("billed", format!("found {n}; at most {MOST}, as many as a roster names"));
        }
        let greatest = close.billed.iter().position(|b| b.amount_fen > MAX_AMOUNT_FEN);
        if let Some(i) = greatest {
            return bad(
                &format!("billed[{i}].amount_fen"),
                format!("allowed: 0 to {MAX_AMOUNT_FEN} fen (0.01 yuan each)"),
            );
        }
        Ok(close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = r#"{"begins_at":"2026-11-23T07:00:00+08:00","ends_at":"2026-11-23T11:30:00+08:00","cardholders":["P1","P2"]}"#;

    #[test]
    fn a_roster_is_for_sixty_at_most_and_for_one_shift() {
        assert_eq!(Roster::from_json(GOOD.as_bytes()).unwrap().cardholders.len(), 2);
        let names = |n: usize| (0..n).map(|i| format!("\"P{i}\"")).collect::<Vec<_>>().join(",");
        assert!(Roster::from_json(GOOD.replace("\"P1\",\"P2\"", &names(60)).as_bytes()).is_ok());
        for (from, to, field) in [
            ("\"P1\",\"P2\"", names(61).as_str(), "cardholders"),
            ("\"P1\",\"P2\"", "", "cardholders"),
            ("\"P2\"", "\"P1\"", "cardholders[1]"),
            ("T11:30", "T15:01", "ends_at"),
            ("T11:30", "T07:00", "ends_at"),
            ("\"begins_at\"", "\"photograph\":\"/9j/\",\"begins_at\"", "photograph"),
        ] {
            match Roster::from_json(GOOD.replace(from, to).as_bytes()) {
                Err(SettlementError::Field { field: found, .. }) => assert_eq!(found, field),
                other => panic!("{to}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_close_names_what_was_billed() {
        let one = r#"{"settlement_id":"S1","cardholder":"P1","occurred_at":"2026-11-23T11:40:00+08:00","amount_fen":40000,"medical_type":"14"}"#;
        let close = Close::from_json(format!("{{\"billed\":[{one}]}}").as_bytes()).unwrap();
        assert_eq!(close.billed.len(), 1);
        assert!(Close::from_json(b"{\"billed\":[]}").is_ok());
        assert!(Close::from_json(b"{}").is_err());
        let many = vec![one; 61].join(",");
        assert!(Close::from_json(format!("{{\"billed\":[{many}]}}").as_bytes()).is_err());
        let dear = one.replace("40000", "99999999999999");
        let told = Close::from_json(format!("{{\"billed\":[{dear}]}}").as_bytes()).unwrap_err().to_string();
        assert!(told.starts_with("billed[0].amount_fen"), "{told}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_understood_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (Roster::from_json(&body), Close::from_json(&body));
        }
    }
}
