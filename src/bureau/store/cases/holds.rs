//! What a case keeps from purge and from erasure: the alerts of a case that runs, and of
//! one under legal hold (the view `held_alerts`).

use super::super::{Store, StoreError, parse};
use super::{Actor, CASES, CaseError, CaseRefusal, refuse};
use crate::bureau::cases::numbers::Number;
use crate::bureau::cases::texts::CaseText;
use crate::protocol::id::AlertId;

/// An alert that a case keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which alert.
    pub alert: AlertId,
    /// By which case.
    pub case: Number,
    /// Whether a supervisor put the case under legal hold; else it is kept because the
    /// case has not ended.
    pub legal_hold: bool,
}

impl Store {
    /// Whether a case keeps this alert: it may be neither purged nor erased.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn is_held(&self, alert: AlertId) -> Result<bool, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM held_alerts WHERE alert = $1")
            .bind(alert.to_string())
            .fetch_one(&self.pool)
            .await?;
        Ok(count > 0)
    }

    /// Every alert that a case keeps, by case.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn held_alerts(&self) -> Result<Vec<Held>, StoreError> {
        let rows: Vec<(String, String, i64)> =
            sqlx::query_as("SELECT alert, case_number, held FROM held_alerts ORDER BY case_number, alert")
                .fetch_all(&self.pool)
                .await?;
        let read = |(alert, case, held): (String, String, i64)| {
            Ok(Held {
                alert: parse("case_alerts", &alert)?,
                case: parse("case_alerts", &case)?,
                legal_hold: held != 0,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Puts a case under legal hold, with a reason.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if there is no such case.
    pub async fn hold_case(&self, case: Number, reason: &str, by: Actor<'_>) -> Result<(), CaseError> {
        self.set_hold(case, 1, reason, by).await
    }

    /// Lifts the legal hold of a case, with a reason.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if there is no such case, or it is under none.
    pub async fn lift_hold(&self, case: Number, reason: &str, by: Actor<'_>) -> Result<(), CaseError> {
        self.set_hold(case, 0, reason, by).await
    }

    async fn set_hold(&self, case: Number, held: i64, reason: &str, by: Actor<'_>) -> Result<(), CaseError> {
        let key = case.to_string();
        let mut tx = self.pool.begin().await?;
        let done =
            sqlx::query("UPDATE cases SET held = $1, changed_at = $2 WHERE number = $3 AND held <> $1")
                .bind(held)
                .bind(by.at.as_millis())
                .bind(&key)
                .execute(&mut *tx)
                .await?;
        if done.rows_affected() == 0 {
            return refuse(CaseRefusal::State);
        }
        self.amend(&mut tx, &CASES, &key, |text: &mut CaseText| text.hold = reason.to_owned()).await?;
        tx.commit().await?;
        Ok(())
    }
}
