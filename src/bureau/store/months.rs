//! The months in which a PostgreSQL server keeps the list of alerts: one partition
//! each, by the moment of receipt (UTC).
//!
//! Promises: the partition of an alert is there before the alert is written; a month
//! in which nothing is left, and whose time is over, is given back whole. A file has
//! no partitions, and there is nothing to do for one.

use std::collections::BTreeSet;
use std::sync::Mutex;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use sqlx::{AssertSqlSafe, Executor};

use super::{Database, Store, StoreError};
use crate::clock::WallTime;

/// Under this number one process at a time makes or gives back months. Any other
/// that the server's clients do not use would do.
const LOCK: i64 = 0x636f_756e_7465_7270;
/// So many months beside the present one are made ahead.
const AHEAD: i64 = 2;

/// The months that are known to be there.
#[derive(Default)]
pub(super) struct Months(Mutex<BTreeSet<Date>>);

impl Months {
    fn known(&self, month: Date) -> bool {
        self.0.lock().is_ok_and(|months| months.contains(&month))
    }

    fn note(&self, month: Date) {
        if let Ok(mut months) = self.0.lock() {
            months.insert(month);
        }
    }

    /// What another process gave back is looked for anew.
    fn forget(&self) {
        if let Ok(mut months) = self.0.lock() {
            months.clear();
        }
    }
}

fn unfit(what: impl std::fmt::Display) -> StoreError {
    StoreError::Content { label: "alerts".into(), what: what.to_string() }
}

/// The first day of the month of a moment.
fn month_of(at: WallTime) -> Result<Date, StoreError> {
    let moment = Timestamp::from_millisecond(at.as_millis()).map_err(unfit)?;
    Ok(moment.to_zoned(TimeZone::UTC).date().first_of_month())
}

fn begins(month: Date) -> Result<i64, StoreError> {
    Ok(month.to_zoned(TimeZone::UTC).map_err(unfit)?.timestamp().as_millisecond())
}

fn name(month: Date) -> String {
    format!("alerts_y{}m{:02}", month.year(), month.month())
}

impl Store {
    /// Makes the month of an alert that is about to be written, if it is not there.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) async fn make_month(&self, at: WallTime) -> Result<(), StoreError> {
        if matches!(self.at, Database::File(_)) {
            return Ok(());
        }
        let month = month_of(at)?;
        if self.months.known(month) {
            return Ok(());
        }
        let (from, to) = (begins(month)?, begins(month.saturating_add(1.month()))?);
        let make = format!(
            "CREATE TABLE IF NOT EXISTS {} PARTITION OF alerts FOR VALUES FROM ({from}) TO ({to})",
            name(month)
        );
        let mut tx = self.pool.begin().await?;
        // Two that make the same month at once would else fail over its name.
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *tx).await?;
        tx.execute(AssertSqlSafe(make)).await?;
        tx.commit().await?;
        self.months.note(month);
        Ok(())
    }

    /// Makes the present month and the next ones, and gives back those that are over
    /// and hold nothing any more.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn keep_months(&self, now: WallTime) -> Result<(), StoreError> {
        if matches!(self.at, Database::File(_)) {
            return Ok(());
        }
        self.months.forget();
        let present = month_of(now)?;
        for n in 0..=AHEAD {
            let month = present.saturating_add(n.months());
            self.make_month(WallTime::from_millis(begins(month)?)).await?;
        }
        let held: Vec<String> = sqlx::query_scalar(
            "SELECT c.relname::TEXT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
             WHERE i.inhparent = 'alerts'::REGCLASS ORDER BY c.relname",
        )
        .fetch_all(&self.pool)
        .await?;
        let over = name(present);
        for month in held.into_iter().filter(|month| *month < over && month.len() == over.len()) {
            self.give_back(&month).await?;
        }
        Ok(())
    }

    async fn give_back(&self, month: &str) -> Result<(), StoreError> {
        let look = format!("SELECT COUNT(*) FROM (SELECT 1 FROM {month} LIMIT 1) AS held");
        let held: i64 = sqlx::query_scalar(AssertSqlSafe(look)).fetch_one(&self.pool).await?;
        if held > 0 {
            return Ok(());
        }
        let mut tx = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *tx).await?;
        // Rather an hour later than that everybody waits behind one who reads.
        tx.execute("SET LOCAL lock_timeout = '2s'").await?;
        tx.execute(AssertSqlSafe(format!("DROP TABLE IF EXISTS {month}"))).await?;
        tx.commit().await?;
        tracing::info!(month, "an empty month was given back");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::store::tests::on_both;

    #[test]
    fn a_month_is_named_by_its_first_day() {
        let at: Timestamp = "2026-12-31T23:59:59.999Z".parse().unwrap();
        let month = month_of(WallTime::from_millis(at.as_millisecond())).unwrap();
        assert_eq!(name(month), "alerts_y2026m12");
        let next: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(begins(month.saturating_add(1.month())).unwrap(), next.as_millisecond());
    }

    #[tokio::test]
    async fn months_are_made_ahead_by_several_at_once_and_given_back_when_they_are_empty() {
        on_both(async |store| {
            let at = |text: &str| WallTime::from_millis(text.parse::<Timestamp>().unwrap().as_millisecond());
            let (then, now) = (at("2026-01-15T00:00:00Z"), at("2026-11-22T00:00:00Z"));
            let all = tokio::join!(store.keep_months(then), store.keep_months(then), store.keep_months(then));
            all.0.and(all.1).and(all.2).unwrap();
            store.keep_months(now).await.unwrap();
            if matches!(store.at, Database::Server(_)) {
                let held: Vec<String> = sqlx::query_scalar(
                    "SELECT c.relname::TEXT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
                     WHERE i.inhparent = 'alerts'::REGCLASS ORDER BY c.relname",
                )
                .fetch_all(&store.pool)
                .await
                .unwrap();
                assert_eq!(held, ["alerts_y2026m11", "alerts_y2026m12", "alerts_y2027m01"]);
            }
        })
        .await;
    }
}
