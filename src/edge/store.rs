//! The box's database: one SQLite file with the settlements' journal, the
//! outbox, and audit rows on their way to the log.
//!
//! Promises: a change is on the disk before its call returns (WAL,
//! `synchronous=FULL`); a verdict, its alert and their audit rows are one
//! transaction; settlements and alerts are sealed; a settlement's number stands
//! here only as a keyed hash; what is deleted is overwritten
//! (`secure_delete`). A wrong root key is an error, not an empty store.
//!
//! This file opens it and owns what the parts share; `journal.rs` and
//! `outbox.rs` hold the parts.

use std::path::{Path, PathBuf};

use ring::hmac;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde_json::json;

use crate::clock::WallTime;
use crate::crypto::seal::{RootKey, SealError, SealKey};
use crate::crypto::sign::SigningKey;
use crate::privacy::audit::Kind;
use crate::protocol::id::{Epoch, SettlementId, VerificationId};
use crate::protocol::verdict::Outcome;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the box's database: {0}: is the disk full or read-only?")]
    Database(#[from] rusqlite::Error),
    /// A sealed row cannot be opened.
    #[error("the box's database: {0}")]
    Seal(#[from] SealError),
    /// The folder cannot be made.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A row that this version did not write.
    #[error("the box's database holds {0}, which this version did not write")]
    Content(String),
    /// Written by a newer version.
    #[error(
        "the box's database has schema {found}, this version knows {known}: install the newer version again"
    )]
    Newer {
        /// Schema found.
        found: i64,
        /// Newest schema known.
        known: i64,
    },
}

/// One step a schema version; never changed once released.
const SCHEMA: &[&str] = &["
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL);
    CREATE TABLE settlements (
        id_hash BLOB PRIMARY KEY,        -- HMAC-SHA256 of the settlement's number
        verification TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,             -- accepted, held, done, cancelled (before it came)
        content_hash BLOB,               -- HMAC of the message, to tell a repeat from a contradiction
        payload BLOB,                    -- sealed settlement, until done
        draft BLOB,                      -- sealed alert, while held
        release_at INTEGER,              -- wall ms
        alert TEXT,                      -- id of its alert, for a withdrawal
        alert_state TEXT,                -- alerted, withdrawn
        updated_at INTEGER NOT NULL      -- wall ms
    );
    CREATE INDEX settlements_state ON settlements (state);
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        digest BLOB NOT NULL,
        sealed BLOB,                     -- signature, newline, exact bytes
        state TEXT NOT NULL,             -- waiting, acknowledged, set_aside
        detail TEXT,
        updated_at INTEGER NOT NULL
    );
    CREATE TABLE audit_rows (
        row INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        data TEXT NOT NULL
    );
"];

/// The open database.
pub struct Store {
    pub(super) connection: Connection,
    pub(super) seal: SealKey,
    hash_key: hmac::Key,
    pub(super) signer: SigningKey,
    epoch: Epoch,
}

/// An audit record on its way to the log.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// Its number.
    pub row: i64,
    /// When it happened.
    pub at: WallTime,
    /// What happened.
    pub kind: Kind,
    /// Its details.
    pub data: serde_json::Value,
}

impl Store {
    /// Opens or makes the database in the state folder.
    ///
    /// # Errors
    /// If it cannot be made, belongs to another root key, or is newer.
    pub fn open(state: &Path, root: &RootKey, signer: SigningKey) -> Result<Self, StoreError> {
        std::fs::create_dir_all(state).map_err(|source| StoreError::Io { path: state.to_owned(), source })?;
        let connection = Connection::open(state.join("agent.db"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;
             PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000;",
        )?;
        let seal = root.derive("agent store")?;
        let hash_key = hmac::Key::new(hmac::HMAC_SHA256, root.mac_key("settlement numbers")?.as_ref());
        let mut store = Self { connection, seal, hash_key, signer, epoch: Epoch::new() };
        store.migrate()?;
        store.epoch = store.canary()?;
        Ok(store)
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        let found: i64 = self.connection.pragma_query_value(None, "user_version", |r| r.get(0))?;
        let known = SCHEMA.len() as i64;
        if found > known {
            return Err(StoreError::Newer { found, known });
        }
        for (i, step) in SCHEMA.iter().enumerate().skip(found as usize) {
            let tx = self.connection.transaction()?;
            tx.execute_batch(step)?;
            tx.pragma_update(None, "user_version", i as i64 + 1)?;
            tx.commit()?;
        }
        Ok(())
    }

    /// The epoch, sealed: it opens only under the key that the store was made
    /// with, and a store made anew begins a new one.
    fn canary(&mut self) -> Result<Epoch, StoreError> {
        let sealed: Option<Vec<u8>> = self
            .connection
            .query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |r| r.get(0))
            .optional()?;
        match sealed {
            Some(sealed) => {
                let text = self.seal.open("meta/epoch", &sealed)?;
                std::str::from_utf8(&text)
                    .ok()
                    .and_then(|t| t.parse().ok())
                    .ok_or_else(|| StoreError::Content("an epoch that is not one".into()))
            }
            None => {
                let epoch = Epoch::new();
                let sealed = self.seal.seal("meta/epoch", epoch.to_string().as_bytes())?;
                self.connection.execute("INSERT INTO meta (key, value) VALUES ('epoch', ?1)", [sealed])?;
                Ok(epoch)
            }
        }
    }

    /// The box's life between two re-imagings.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn hash(&self, id: &SettlementId) -> Vec<u8> {
        self.keyed_hash(id.as_str().as_bytes())
    }

    pub(super) fn keyed_hash(&self, bytes: &[u8]) -> Vec<u8> {
        hmac::sign(&self.hash_key, bytes).as_ref().to_vec()
    }

    /// Records something in the audit log's queue.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn record(&mut self, at: WallTime, kind: Kind, data: &serde_json::Value) -> Result<(), StoreError> {
        let tx = self.connection.transaction()?;
        audit(&tx, at, kind, data)?;
        tx.commit()?;
        Ok(())
    }

    /// The oldest rows that wait for the log, in their order.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn audit_rows(&self, most: usize) -> Result<Vec<AuditRow>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT row, at, kind, data FROM audit_rows ORDER BY row LIMIT ?1")?;
        let rows = statement.query_map([most as i64], |r| {
            Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?, r.get::<_, String>(2)?, r.get::<_, String>(3)?))
        })?;
        rows.map(|row| {
            let (row, at, kind, data) = row?;
            let strange = |what: &str| StoreError::Content(format!("audit row {row} with {what}"));
            Ok(AuditRow {
                row,
                at: WallTime::from_millis(at),
                kind: serde_json::from_value(kind.into()).map_err(|_| strange("an unknown kind"))?,
                data: serde_json::from_str(&data).map_err(|_| strange("broken details"))?,
            })
        })
        .collect()
    }

    /// Forgets the rows that stand in the log.
    ///
    /// # Errors
    /// If they cannot be deleted.
    pub fn exported(&mut self, up_to: i64) -> Result<(), StoreError> {
        self.connection.execute("DELETE FROM audit_rows WHERE row <= ?1", [up_to])?;
        Ok(())
    }
}

/// Adds an audit row to a transaction.
pub(super) fn audit(
    tx: &Transaction<'_>,
    at: WallTime,
    kind: Kind,
    data: &serde_json::Value,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO audit_rows (at, kind, data) VALUES (?1, ?2, ?3)",
        params![at.as_millis(), kind.as_str(), data.to_string()],
    )?;
    Ok(())
}

/// The one verdict of a verification.
pub(super) fn audit_verdict(
    tx: &Transaction<'_>,
    settlement: &SettlementId,
    id: VerificationId,
    outcome: Outcome,
    now: WallTime,
) -> Result<(), StoreError> {
    let mut data = json!({ "settlement": settlement, "verification": id, "verdict": outcome.verdict() });
    if !outcome.reason().is_empty() {
        data["reason"] = outcome.reason().into();
    }
    audit(tx, now, Kind::Verdict, &data)
}
