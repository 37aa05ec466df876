//! Cases, transfers both ways, and reports of the public.
//!
//! Promises: what they say is sealed; each step is one transaction that begins with a
//! write and asks whether the state still allows it; a number is taken in the transaction
//! that uses it, so that a series has no gap; a transfer is approved by a supervisor who
//! neither proposed it nor decided an alert of its case, or not at all.

mod holds;
mod incoming;
mod lists;
mod open;
mod reports;
mod transfers;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::rows::Asked;
use super::{Store, StoreError, Tx};
use crate::bureau::cases::numbers::{Number, Series};
use crate::bureau::cases::workdays::day_of;
use crate::clock::WallTime;

pub use holds::Held;
pub use incoming::{IncomingTransfer, NewIncoming};
pub use lists::Span;
pub use open::{Case, CaseAlert, NewCase, Origin};
pub use reports::{NewReport, Report, ReportAnswer};
pub use transfers::{Approval, NewTransfer, Transfer, TransferId, TransferStep};

/// Who does something, and when.
#[derive(Debug, Clone, Copy)]
pub struct Actor<'a> {
    /// The account.
    pub who: &'a str,
    /// The moment.
    pub at: WallTime,
}

/// Why a step was not taken; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaseRefusal {
    /// There is none of that number or id.
    Unknown,
    /// Its state does not allow it, or no longer.
    State,
    /// An alert is not one that somebody confirmed, or no longer.
    NotConfirmed,
    /// The alert is in another case.
    ElsewhereAlready,
    /// A case needs an alert, a report or a transfer to come from.
    NoOrigin,
    /// Whoever proposed it cannot approve it.
    Proposer,
    /// Whoever decided an alert of it cannot approve it.
    Decider,
    /// Only a supervisor approves.
    NotSupervisor,
    /// A proposed transfer still waits for its second person.
    Pending,
}

impl CaseRefusal {
    /// Its word: the end of a message's id.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::State => "state",
            Self::NotConfirmed => "not-confirmed",
            Self::ElsewhereAlready => "elsewhere",
            Self::NoOrigin => "no-origin",
            Self::Proposer => "proposer",
            Self::Decider => "decider",
            Self::NotSupervisor => "not-supervisor",
            Self::Pending => "pending",
        }
    }
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// It is not allowed.
    #[error("refused: {}", .0.as_str())]
    Refused(CaseRefusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for CaseError {
    fn from(e: sqlx::Error) -> Self {
        Self::Store(e.into())
    }
}

pub(super) fn refuse<T>(why: CaseRefusal) -> Result<T, CaseError> {
    Err(CaseError::Refused(why))
}

/// A table with sealed text, and how its rows are found.
struct Table {
    name: &'static str,
    read: &'static str,
    write: &'static str,
}

const CASES: Table = Table {
    name: "cases",
    read: "SELECT sealed FROM cases WHERE number = $1",
    write: "UPDATE cases SET sealed = $1 WHERE number = $2",
};
const TRANSFERS: Table = Table {
    name: "transfers",
    read: "SELECT sealed FROM transfers WHERE id = $1",
    write: "UPDATE transfers SET sealed = $1 WHERE id = $2",
};
const INCOMING: Table = Table {
    name: "incoming_transfers",
    read: "SELECT sealed FROM incoming_transfers WHERE number = $1",
    write: "UPDATE incoming_transfers SET sealed = $1 WHERE number = $2",
};
const REPORTS: Table = Table {
    name: "reports",
    read: "SELECT sealed FROM reports WHERE number = $1",
    write: "UPDATE reports SET sealed = $1 WHERE number = $2",
};

impl Table {
    fn label(&self, key: &str) -> String {
        format!("{}/{key}", self.name)
    }
}

impl Store {
    fn seal_text<T: Serialize>(&self, table: &Table, key: &str, text: &T) -> Result<Vec<u8>, StoreError> {
        let label = table.label(key);
        let plain = serde_json::to_vec(text)
            .map(zeroize::Zeroizing::new)
            .map_err(|e| StoreError::Content { label: label.clone(), what: e.to_string() })?;
        self.seal(&label, &plain)
    }

    fn open_text<T: DeserializeOwned>(
        &self,
        table: &Table,
        key: &str,
        sealed: &[u8],
    ) -> Result<T, StoreError> {
        let label = table.label(key);
        let plain = self
            .key
            .open(&label, sealed)
            .map_err(|source| StoreError::Seal { label: label.clone(), source })?;
        serde_json::from_slice(&plain).map_err(|e| StoreError::Content { label, what: e.to_string() })
    }

    /// Takes a step of a row and changes its text, if its state allows it still: if `allowed`
    /// changes the row.
    async fn advance<T: Serialize + DeserializeOwned>(
        &self,
        table: &Table,
        key: &str,
        allowed: Asked<'_>,
        change: impl FnOnce(&mut T),
    ) -> Result<(), CaseError> {
        let mut tx = self.pool.begin().await?;
        if allowed.execute(&mut *tx).await?.rows_affected() == 0 {
            return refuse(CaseRefusal::State);
        }
        self.amend(&mut tx, table, key, change).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Changes the sealed text of a row that this transaction has already written to.
    async fn amend<T: Serialize + DeserializeOwned>(
        &self,
        tx: &mut Tx<'_>,
        table: &Table,
        key: &str,
        change: impl FnOnce(&mut T),
    ) -> Result<(), StoreError> {
        let sealed: Vec<u8> = sqlx::query_scalar(table.read).bind(key).fetch_one(&mut **tx).await?;
        let mut text: T = self.open_text(table, key, &sealed)?;
        change(&mut text);
        let sealed = self.seal_text(table, key, &text)?;
        sqlx::query(table.write).bind(sealed).bind(key).execute(&mut **tx).await?;
        Ok(())
    }
}

/// The next number of a series in the year of `at`; it is used when this transaction is
/// committed, and free again when it is not.
async fn next_number(tx: &mut Tx<'_>, series: Series, at: WallTime) -> Result<Number, StoreError> {
    let year = day_of(at).year();
    let last: i64 = sqlx::query_scalar(
        "INSERT INTO case_numbers (series, year, last) VALUES ($1, $2, 1) \
         ON CONFLICT (series, year) DO UPDATE SET last = case_numbers.last + 1 RETURNING last",
    )
    .bind(series.letter().to_string())
    .bind(i64::from(year))
    .fetch_one(&mut **tx)
    .await?;
    let n = u32::try_from(last).map_err(|_| StoreError::Content {
        label: "case_numbers".into(),
        what: format!("the last number is {last}"),
    })?;
    Ok(Number { series, year, n })
}

fn time(ms: Option<i64>) -> Option<WallTime> {
    ms.map(WallTime::from_millis)
}

#[cfg(test)]
mod tests;
