//! Transfers that come in: another authority hands the bureau a lead.

use sqlx::Row;

use super::super::{DbRow, Store, StoreError, parse};
use super::{Actor, CaseError, INCOMING, next_number, time};
use crate::bureau::cases::numbers::{Number, Series};
use crate::bureau::cases::texts::IncomingText;
use crate::bureau::cases::words::{Authority, IncomingState, Outcome};
use crate::clock::WallTime;

/// A transfer that came in, to be registered.
pub struct NewIncoming<'a> {
    /// From whom.
    pub sender: Authority,
    /// When it came.
    pub received_at: WallTime,
    /// What it says.
    pub text: IncomingText,
    /// Who registers it, and when.
    pub by: Actor<'a>,
}

/// A transfer that came in, as it stands.
#[derive(Clone)]
pub struct IncomingTransfer {
    /// Its number here.
    pub number: Number,
    /// From whom.
    pub sender: Authority,
    /// How far it is.
    pub state: IncomingState,
    /// When it came.
    pub received_at: WallTime,
    /// Which account registered it.
    pub registered_by: String,
    /// When the bureau asked for missing material.
    pub asked_at: Option<WallTime>,
    /// When that came.
    pub supplied_at: Option<WallTime>,
    /// When the receipt was sent.
    pub answered_at: Option<WallTime>,
    /// When the sender was told what came of it.
    pub concluded_at: Option<WallTime>,
    /// What came of it.
    pub outcome: Option<Outcome>,
    /// The case it became.
    pub case: Option<Number>,
    /// What it and the answers say.
    pub text: IncomingText,
}

impl Store {
    /// Registers a transfer that came in.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn register_incoming(&self, new: NewIncoming<'_>) -> Result<Number, CaseError> {
        let mut tx = self.pool.begin().await?;
        let number = next_number(&mut tx, Series::Incoming, new.by.at).await?;
        let key = number.to_string();
        sqlx::query(
            "INSERT INTO incoming_transfers (number, sender, state, received_at, registered_at, \
             registered_by, sealed) VALUES ($1, $2, 'registered', $3, $4, $5, $6)",
        )
        .bind(&key)
        .bind(new.sender.as_str())
        .bind(new.received_at.as_millis())
        .bind(new.by.at.as_millis())
        .bind(new.by.who)
        .bind(self.seal_text(&INCOMING, &key, &new.text)?)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(number)
    }

    /// Writes down that the sender was asked for missing material.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if it was asked before, or the receipt was sent.
    pub async fn ask_sender(&self, number: Number, what: &str, by: Actor<'_>) -> Result<(), CaseError> {
        let sql = "UPDATE incoming_transfers SET asked_at = $1 \
                   WHERE number = $2 AND asked_at IS NULL AND state = 'registered'";
        self.step_incoming(sql, number, by, |text| text.asked = what.to_owned()).await
    }

    /// Writes down that the missing material came.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if none was asked for, or it came before.
    pub async fn sender_supplied(&self, number: Number, by: Actor<'_>) -> Result<(), CaseError> {
        let sql = "UPDATE incoming_transfers SET supplied_at = $1 \
                   WHERE number = $2 AND asked_at IS NOT NULL AND supplied_at IS NULL";
        self.step_incoming(sql, number, by, |_| {}).await
    }

    /// Writes down that the receipt was sent, and what it says.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if it was sent before.
    pub async fn answer_incoming(
        &self,
        number: Number,
        receipt: &str,
        by: Actor<'_>,
    ) -> Result<(), CaseError> {
        let sql = "UPDATE incoming_transfers SET answered_at = $1, state = 'answered' \
                   WHERE number = $2 AND state = 'registered'";
        self.step_incoming(sql, number, by, |text| text.receipt = receipt.to_owned()).await
    }

    /// Writes down that the sender was told what came of it.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if no receipt was sent, or it was concluded before.
    pub async fn conclude_incoming(
        &self,
        number: Number,
        (outcome, result): (Outcome, &str),
        by: Actor<'_>,
    ) -> Result<(), CaseError> {
        let key = number.to_string();
        let allowed = sqlx::query(
            "UPDATE incoming_transfers SET concluded_at = $1, outcome = $2, state = 'concluded' \
             WHERE number = $3 AND state = 'answered'",
        );
        let allowed = allowed.bind(by.at.as_millis()).bind(outcome.as_str()).bind(&key);
        self.advance(&INCOMING, &key, allowed, |text: &mut IncomingText| text.result = result.to_owned())
            .await
    }

    async fn step_incoming(
        &self,
        sql: &'static str,
        number: Number,
        by: Actor<'_>,
        change: impl FnOnce(&mut IncomingText),
    ) -> Result<(), CaseError> {
        let key = number.to_string();
        let allowed = sqlx::query(sql).bind(by.at.as_millis()).bind(&key);
        self.advance(&INCOMING, &key, allowed, change).await
    }

    /// A transfer that came in, if there is one of that number.
    ///
    /// # Errors
    /// If the database fails, or its text cannot be opened.
    pub async fn incoming_transfer(&self, number: Number) -> Result<Option<IncomingTransfer>, StoreError> {
        let row = sqlx::query("SELECT * FROM incoming_transfers WHERE number = $1")
            .bind(number.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| self.read_incoming(&row)).transpose()
    }

    pub(super) fn read_incoming(&self, row: &DbRow) -> Result<IncomingTransfer, StoreError> {
        let number: &str = row.try_get("number")?;
        let label = INCOMING.label(number);
        let at = |column: &str| row.try_get::<Option<i64>, _>(column).map(time);
        let outcome: Option<&str> = row.try_get("outcome")?;
        let case: Option<&str> = row.try_get("case_number")?;
        Ok(IncomingTransfer {
            number: parse(&label, number)?,
            sender: parse(&label, row.try_get("sender")?)?,
            state: parse(&label, row.try_get("state")?)?,
            received_at: WallTime::from_millis(row.try_get("received_at")?),
            registered_by: row.try_get("registered_by")?,
            asked_at: at("asked_at")?,
            supplied_at: at("supplied_at")?,
            answered_at: at("answered_at")?,
            concluded_at: at("concluded_at")?,
            outcome: outcome.map(|o| parse(&label, o)).transpose()?,
            case: case.map(|c| parse(&label, c)).transpose()?,
            text: self.open_text(&INCOMING, number, row.try_get("sealed")?)?,
        })
    }
}
