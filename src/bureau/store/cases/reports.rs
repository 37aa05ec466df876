//! Reports of the public: registered, answered, extended, concluded.

use sqlx::Row;

use super::super::{DbRow, Store, StoreError, parse};
use super::{Actor, CaseError, CaseRefusal, REPORTS, next_number, refuse, time};
use crate::bureau::cases::numbers::{Number, Series};
use crate::bureau::cases::texts::ReportText;
use crate::bureau::cases::words::{Channel, Complexity, ReportOutcome, ReportState};
use crate::clock::WallTime;

/// A report to be registered.
pub struct NewReport<'a> {
    /// How it came.
    pub channel: Channel,
    /// When it came.
    pub received_at: WallTime,
    /// What it says, and who said it.
    pub text: ReportText,
    /// Who registers it, and when.
    pub by: Actor<'a>,
}

/// What whoever reported is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportAnswer {
    /// It is taken up.
    TakenUp,
    /// It is not.
    NotTakenUp,
}

/// A report as it stands.
#[derive(Clone)]
pub struct Report {
    /// Its number.
    pub number: Number,
    /// How it came.
    pub channel: Channel,
    /// How far it is.
    pub state: ReportState,
    /// How long it may take.
    pub complexity: Complexity,
    /// When it came.
    pub received_at: WallTime,
    /// Which account registered it.
    pub registered_by: String,
    /// When it was answered whether it is taken up.
    pub answered_at: Option<WallTime>,
    /// When it was concluded.
    pub concluded_at: Option<WallTime>,
    /// What became of it.
    pub outcome: Option<ReportOutcome>,
    /// The case it led to.
    pub case: Option<Number>,
    /// What it and the answers say.
    pub text: ReportText,
}

impl Store {
    /// Registers a report.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn register_report(&self, new: NewReport<'_>) -> Result<Number, CaseError> {
        let mut tx = self.pool.begin().await?;
        let number = next_number(&mut tx, Series::Report, new.by.at).await?;
        let key = number.to_string();
        sqlx::query(
            "INSERT INTO reports (number, channel, state, complexity, received_at, registered_at, \
             registered_by, sealed) VALUES ($1, $2, 'registered', 'ordinary', $3, $4, $5, $6)",
        )
        .bind(&key)
        .bind(new.channel.as_str())
        .bind(new.received_at.as_millis())
        .bind(new.by.at.as_millis())
        .bind(new.by.who)
        .bind(self.seal_text(&REPORTS, &key, &new.text)?)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(number)
    }

    /// Writes down what whoever reported was answered.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if it was answered before.
    pub async fn answer_report(
        &self,
        number: Number,
        (answer, says): (ReportAnswer, &str),
        by: Actor<'_>,
    ) -> Result<(), CaseError> {
        let sql = match answer {
            ReportAnswer::TakenUp => {
                "UPDATE reports SET answered_at = $1, state = 'taken_up' \
                 WHERE number = $2 AND state = 'registered'"
            }
            ReportAnswer::NotTakenUp => {
                "UPDATE reports SET answered_at = $1, concluded_at = $1, state = 'not_taken_up' \
                 WHERE number = $2 AND state = 'registered'"
            }
        };
        let key = number.to_string();
        let allowed = sqlx::query(sql).bind(by.at.as_millis()).bind(&key);
        self.advance(&REPORTS, &key, allowed, |text: &mut ReportText| text.answer = says.to_owned()).await
    }

    /// Gives a report that was taken up more time, with the reason.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if it was not taken up, or is as complex already.
    pub async fn extend_report(
        &self,
        number: Number,
        (complexity, reason): (Complexity, &str),
    ) -> Result<(), CaseError> {
        let key = number.to_string();
        let allowed = sqlx::query(
            "UPDATE reports SET complexity = $1 WHERE number = $2 AND state = 'taken_up' \
             AND complexity <> $1 AND complexity <> 'most_complex'",
        );
        let allowed = allowed.bind(complexity.as_str()).bind(&key);
        self.advance(&REPORTS, &key, allowed, |text: &mut ReportText| text.extension = reason.to_owned())
            .await
    }

    /// Concludes a report that was taken up.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if it was not taken up, or was concluded before.
    pub async fn conclude_report(
        &self,
        number: Number,
        (outcome, result): (ReportOutcome, &str),
        by: Actor<'_>,
    ) -> Result<(), CaseError> {
        let key = number.to_string();
        let allowed = sqlx::query(
            "UPDATE reports SET concluded_at = $1, outcome = $2, state = 'concluded' \
             WHERE number = $3 AND state = 'taken_up'",
        );
        let allowed = allowed.bind(by.at.as_millis()).bind(outcome.as_str()).bind(&key);
        self.advance(&REPORTS, &key, allowed, |text: &mut ReportText| text.result = result.to_owned()).await
    }

    /// Says that a report that was taken up belongs to a case that there is.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if there is no such case, the report has one, or it was not
    /// taken up.
    pub async fn link_report(&self, number: Number, case: Number) -> Result<(), CaseError> {
        let done = sqlx::query(
            "UPDATE reports SET case_number = (SELECT c.number FROM cases c WHERE c.number = $1) \
             WHERE number = $2 AND case_number IS NULL AND state = 'taken_up' \
             AND EXISTS (SELECT 1 FROM cases c WHERE c.number = $1)",
        )
        .bind(case.to_string())
        .bind(number.to_string())
        .execute(&self.pool)
        .await?;
        if done.rows_affected() == 0 { refuse(CaseRefusal::State) } else { Ok(()) }
    }

    /// A report, if there is one of that number.
    ///
    /// # Errors
    /// If the database fails, or its text cannot be opened.
    pub async fn report(&self, number: Number) -> Result<Option<Report>, StoreError> {
        let row = sqlx::query("SELECT * FROM reports WHERE number = $1")
            .bind(number.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| self.read_report(&row)).transpose()
    }

    pub(super) fn read_report(&self, row: &DbRow) -> Result<Report, StoreError> {
        let number: &str = row.try_get("number")?;
        let label = REPORTS.label(number);
        let outcome: Option<&str> = row.try_get("outcome")?;
        let case: Option<&str> = row.try_get("case_number")?;
        Ok(Report {
            number: parse(&label, number)?,
            channel: parse(&label, row.try_get("channel")?)?,
            state: parse(&label, row.try_get("state")?)?,
            complexity: parse(&label, row.try_get("complexity")?)?,
            received_at: WallTime::from_millis(row.try_get("received_at")?),
            registered_by: row.try_get("registered_by")?,
            answered_at: time(row.try_get("answered_at")?),
            concluded_at: time(row.try_get("concluded_at")?),
            outcome: outcome.map(|o| parse(&label, o)).transpose()?,
            case: case.map(|c| parse(&label, c)).transpose()?,
            text: self.open_text(&REPORTS, number, row.try_get("sealed")?)?,
        })
    }
}
