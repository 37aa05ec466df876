//! All cases, transfers and reports that matter for a span of time: the ledger's and the
//! yearly report's source.

use super::super::{DbRow, Store, StoreError, parse};
use super::open::{FINDINGS, LISTED};
use super::{Case, IncomingTransfer, Report, Transfer};
use crate::bureau::cases::words::Finding;
use crate::clock::WallTime;

/// From one moment up to another, the last not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub from: WallTime,
    /// The first one after it.
    pub to: WallTime,
}

/// What began in the span, ended in it, or began before it and had not ended by then.
/// Each list is bounded: [`MOST`] rows, the newest.
macro_rules! touching {
    ($began:literal, $ended:literal) => {
        concat!(
            $began,
            " < $2 AND (",
            $ended,
            " IS NULL OR ",
            $ended,
            " >= $1) ORDER BY ",
            $began,
            " DESC LIMIT $3"
        )
    };
}

/// The most rows of one kind that a list holds.
pub const MOST: i64 = 20_000;

impl Store {
    /// Cases that began or ended in a span, or ran through it; newest first.
    ///
    /// # Errors
    /// If the database fails, or a text cannot be opened.
    pub async fn cases(&self, span: Span) -> Result<Vec<Case>, StoreError> {
        let rows = self.touching(LISTED, span).await?;
        rows.iter().map(|row| self.read_case(row)).collect()
    }

    /// The same of transfers to other authorities.
    ///
    /// # Errors
    /// If the database fails, or a text cannot be opened.
    pub async fn transfers(&self, span: Span) -> Result<Vec<Transfer>, StoreError> {
        const SQL: &str = concat!("SELECT * FROM transfers WHERE ", touching!("proposed_at", "concluded_at"));
        let rows = self.touching(SQL, span).await?;
        rows.iter().map(|row| self.read_transfer(row)).collect()
    }

    /// The same of transfers that came in.
    ///
    /// # Errors
    /// If the database fails, or a text cannot be opened.
    pub async fn all_incoming(&self, span: Span) -> Result<Vec<IncomingTransfer>, StoreError> {
        const SQL: &str =
            concat!("SELECT * FROM incoming_transfers WHERE ", touching!("received_at", "concluded_at"));
        let rows = self.touching(SQL, span).await?;
        rows.iter().map(|row| self.read_incoming(row)).collect()
    }

    /// The same of reports of the public.
    ///
    /// # Errors
    /// If the database fails, or a text cannot be opened.
    pub async fn reports(&self, span: Span) -> Result<Vec<Report>, StoreError> {
        const SQL: &str = concat!("SELECT * FROM reports WHERE ", touching!("received_at", "concluded_at"));
        let rows = self.touching(SQL, span).await?;
        rows.iter().map(|row| self.read_report(row)).collect()
    }

    /// The confirmed alerts of cases that were opened in a span: by what was decided, how
    /// many, and their sum in fen.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn findings(&self, span: Span) -> Result<Vec<(Finding, i64, i64)>, StoreError> {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(FINDINGS)
            .bind(span.from.as_millis())
            .bind(span.to.as_millis())
            .fetch_all(&self.pool)
            .await?;
        let read = |(finding, count, fen): (String, _, _)| Ok((parse("alerts", &finding)?, count, fen));
        rows.into_iter().map(read).collect()
    }

    async fn touching(&self, sql: &'static str, span: Span) -> Result<Vec<DbRow>, StoreError> {
        let rows = sqlx::query(sql)
            .bind(span.from.as_millis())
            .bind(span.to.as_millis())
            .bind(MOST)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }
}
