//! Deletion by cut-off, and the evidence of it.

use super::{Store, StoreError};
use crate::bureau::retention::Kind;
use crate::clock::WallTime;
use crate::privacy::retention::Purged;

/// What one run deleted of one kind.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PurgeReport {
    /// When it ran.
    pub at: WallTime,
    /// Of which kind.
    pub kind: String,
    /// What was older than this was deleted.
    pub cutoff: WallTime,
    /// How many rows.
    pub deleted: i64,
    /// Mark of the oldest that stays.
    pub oldest_left: Option<WallTime>,
}

/// A withdrawal stays as long as the alert it takes back, so that the alert
/// never looks open again.
const OPEN_ALERTS: [&str; 4] = [
    "DELETE FROM payloads WHERE event IN \
     (SELECT id FROM events WHERE kind = 'mismatch' AND received_at < $1)",
    "DELETE FROM withdrawals WHERE event IN (SELECT id FROM events WHERE received_at < $1) \
     AND alert NOT IN (SELECT event FROM payloads)",
    "DELETE FROM payloads WHERE event IN \
     (SELECT id FROM events WHERE kind = 'withdrawn' AND received_at < $1) \
     AND event NOT IN (SELECT event FROM withdrawals)",
    // What expired, and where, stays in the chain; it says nothing of a person.
    "DELETE FROM payloads WHERE event IN \
     (SELECT id FROM events WHERE kind = 'expired' AND received_at < $1)",
];
const REFERENCES: [&str; 1] = ["DELETE FROM enrolments WHERE enrolled_at < $1"];
const AUDIT_HEADS: [&str; 2] =
    ["DELETE FROM audit_heads WHERE received_at < $1", "DELETE FROM audit_findings WHERE last_at < $1"];
/// A document stays as long as an alert whose content is held names it.
const DOCUMENTS: [&str; 1] = ["DELETE FROM documents WHERE named_at < $1 \
     AND digest NOT IN (SELECT digest FROM named_documents)"];
const ACTS: [&str; 1] = ["DELETE FROM acts WHERE at < $1"];

/// The mark of the oldest of a kind.
const fn oldest(kind: Kind) -> &'static str {
    match kind {
        Kind::References => "SELECT MIN(enrolled_at) FROM enrolments",
        // A withdrawal stays as long as its alert; the alert's age is what counts.
        Kind::OpenAlerts => {
            "SELECT MIN(received_at) FROM events WHERE kind = 'mismatch' AND id IN (SELECT event FROM payloads)"
        }
        Kind::AuditHeads => "SELECT MIN(received_at) FROM audit_heads",
        Kind::Documents => {
            "SELECT MIN(named_at) FROM documents WHERE digest NOT IN (SELECT digest FROM named_documents)"
        }
        Kind::Acts => "SELECT MIN(at) FROM acts",
    }
}

impl Store {
    /// Deletes what is older than `cutoff`, and writes down how much that was.
    ///
    /// # Errors
    /// If the database fails; nothing of the kind is deleted then.
    pub async fn purge(
        &self,
        kind: Kind,
        cutoff: WallTime,
        now: WallTime,
    ) -> Result<Purged<WallTime>, StoreError> {
        let statements: &[&'static str] = match kind {
            Kind::References => &REFERENCES,
            Kind::OpenAlerts => &OPEN_ALERTS,
            Kind::AuditHeads => &AUDIT_HEADS,
            Kind::Documents => &DOCUMENTS,
            Kind::Acts => &ACTS,
        };
        let mut tx = self.pool.begin().await?;
        let mark = |at: Option<i64>| at.map(WallTime::from_millis);
        let before = mark(sqlx::query_scalar(oldest(kind)).fetch_one(&mut *tx).await?);
        let mut deleted = 0;
        for sql in statements {
            deleted += sqlx::query(*sql).bind(cutoff.as_millis()).execute(&mut *tx).await?.rows_affected();
        }
        let oldest_left = mark(sqlx::query_scalar(oldest(kind)).fetch_one(&mut *tx).await?);
        sqlx::query(
            "INSERT INTO purges (at, kind, cutoff, deleted, oldest_left) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(now.as_millis())
        .bind(kind.as_str())
        .bind(cutoff.as_millis())
        .bind(i64::try_from(deleted).unwrap_or(i64::MAX))
        .bind(oldest_left.map(WallTime::as_millis))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Purged { deleted, oldest_deleted: before.filter(|_| deleted > 0), oldest_left })
    }

    /// The latest reports, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn purge_reports(&self, limit: u32) -> Result<Vec<PurgeReport>, StoreError> {
        let rows: Vec<(i64, String, i64, i64, Option<i64>)> = sqlx::query_as(
            "SELECT at, kind, cutoff, deleted, oldest_left FROM purges ORDER BY at DESC, kind LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        let report = |(at, kind, cutoff, deleted, oldest_left): (_, _, _, _, Option<i64>)| PurgeReport {
            at: WallTime::from_millis(at),
            kind,
            cutoff: WallTime::from_millis(cutoff),
            deleted,
            oldest_left: oldest_left.map(WallTime::from_millis),
        };
        Ok(rows.into_iter().map(report).collect())
    }
}
