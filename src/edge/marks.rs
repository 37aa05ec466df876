//! What the store notes about the box itself: how far the count of ages has
//! come, and digests of what was in force at the last start.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;
use tracing::warn;

use crate::clock::WallTime;
use crate::privacy::age::{Age, Due, Marks, News};
use crate::privacy::audit::Kind;

use super::store::{Store, StoreError, audit};

impl Store {
    /// The count of ages as it was kept last.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn marks(&self) -> Result<Option<Marks>, StoreError> {
        let text: Option<String> = self
            .connection
            .query_row("SELECT value FROM meta WHERE key = 'ages'", [], |r| r.get(0))
            .optional()?;
        text.map(|t| serde_json::from_str(&t).map_err(|e| StoreError::Content(format!("ages: {e}"))))
            .transpose()
    }

    /// The greatest mark of a row. Rows are written at once and the count once a
    /// minute, so that this can be later than what was kept.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn newest(&self) -> Result<Option<Age>, StoreError> {
        let ms: Option<i64> = self.connection.query_row(
            "SELECT max(mark) FROM (SELECT max(updated_at) AS mark FROM settlements
                UNION ALL SELECT max(updated_at) FROM outbox
                UNION ALL SELECT max(updated_at) FROM names
                UNION ALL SELECT max(updated_at) FROM stays
                UNION ALL SELECT max(updated_at) FROM rosters
                UNION ALL SELECT max(made_at) FROM data_keys)",
            [],
            |r| r.get(0),
        )?;
        Ok(ms.map(Age::from_millis))
    }

    /// Keeps the count of ages, and with it the records of how the trust in the
    /// wall clock changed.
    ///
    /// # Errors
    /// If it cannot be written; then none of it is.
    pub fn keep_marks(&mut self, marks: &Marks, news: &[(WallTime, News)]) -> Result<(), StoreError> {
        let tx = self.connection.transaction()?;
        keep_marks(&tx, marks)?;
        for (at, news) in news {
            match news {
                News::Doubted(doubt) => {
                    warn!(%doubt, "the wall clock is not believed");
                    audit(&tx, *at, Kind::ClockDoubted, &json!({ "why": doubt.to_string() }))?;
                }
                News::Confirmed(told) => {
                    audit(&tx, *at, Kind::ClockConfirmed, &json!({ "bureau_time": told }))?;
                }
            }
        }
        tx.commit()?;
        Ok(())
    }

    /// Makes data older than its marks say, and keeps the count in which that
    /// is noted.
    ///
    /// # Errors
    /// If it cannot be written; then nothing is older.
    pub fn make_older(&mut self, due: Due, marks: &Marks) -> Result<(), StoreError> {
        let (up_to, gap, statements): (Age, Duration, &[&str]) = match due {
            Due::Older(up_to, gap) => (
                up_to,
                gap,
                &[
                    "UPDATE settlements SET updated_at = updated_at - ?2, release_at = release_at - ?2 WHERE updated_at <= ?1",
                    "UPDATE outbox SET updated_at = updated_at - ?2 WHERE updated_at <= ?1 AND state = 'acknowledged'",
                    "UPDATE data_keys SET made_at = made_at - ?2 WHERE made_at <= ?1",
                    "UPDATE names SET updated_at = updated_at - ?2 WHERE updated_at <= ?1",
                    "UPDATE stays SET updated_at = updated_at - ?2 WHERE updated_at <= ?1",
                    "UPDATE rosters SET updated_at = updated_at - ?2 WHERE updated_at <= ?1",
                ],
            ),
            Due::WaitingOlder(up_to, gap) => (
                up_to,
                gap,
                &[
                    "UPDATE outbox SET updated_at = updated_at - ?2 WHERE updated_at <= ?1 AND state <> 'acknowledged'",
                ],
            ),
        };
        let tx = self.connection.transaction()?;
        for sql in statements {
            tx.execute(sql, params![up_to.as_millis(), gap.as_millis() as i64])?;
        }
        keep_marks(&tx, marks)?;
        tx.commit()?;
        Ok(())
    }

    /// A note of the agent's own, such as the digest of its last policy.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn note(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self
            .connection
            .query_row("SELECT value FROM meta WHERE key = 'note/' || ?1", [key], |r| r.get(0))
            .optional()?)
    }

    /// Writes such a note, and the record of what it means, together.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_note(
        &mut self,
        key: &str,
        value: &str,
        record: Option<(Kind, &serde_json::Value)>,
        at: WallTime,
    ) -> Result<(), StoreError> {
        let tx = self.connection.transaction()?;
        tx.execute(
            "INSERT INTO meta (key, value) VALUES ('note/' || ?1, ?2)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [key, value],
        )?;
        if let Some((kind, data)) = record {
            audit(&tx, at, kind, data)?;
        }
        tx.commit()?;
        Ok(())
    }
}

fn keep_marks(connection: &Connection, marks: &Marks) -> Result<(), StoreError> {
    let text = serde_json::to_string(marks).map_err(|e| StoreError::Content(e.to_string()))?;
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('ages', ?1) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [text],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::edge::journal::tests::store;
    use crate::privacy::age::Age;

    #[test]
    fn the_newest_mark_is_that_of_any_row() {
        let dir = tempfile::tempdir().unwrap();
        let s = store(dir.path());
        let insert = |sql: &str| s.connection.execute(sql, []).unwrap();
        assert_eq!(s.newest().unwrap(), None);
        insert("INSERT INTO data_keys (name, sealed, made_at) VALUES (x'00', x'00', 5)");
        assert_eq!(s.newest().unwrap(), Some(Age::from_millis(5)));
        insert(
            "INSERT INTO settlements (id_hash, verification, state, updated_at) VALUES (x'00', 'v', 'done', 7)",
        );
        assert_eq!(s.newest().unwrap(), Some(Age::from_millis(7)));
        insert("INSERT INTO outbox (id, digest, state, updated_at) VALUES ('a', x'00', 'waiting', 9)");
        assert_eq!(s.newest().unwrap(), Some(Age::from_millis(9)));
    }
}
