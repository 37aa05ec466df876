//! What the store notes about the box itself: how far the count of ages has
//! come, and digests of what was in force at the last start.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::clock::WallTime;
use crate::privacy::age::{Age, Due, Marks};
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

    /// Keeps the count of ages.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_marks(&self, marks: &Marks) -> Result<(), StoreError> {
        keep_marks(&self.connection, marks)
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
