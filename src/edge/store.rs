//! The box's database: one SQLite file with the settlements' journal, the
//! outbox, and audit rows on their way to the log.
//!
//! Promises: a change is on the disk before its call returns (WAL,
//! `synchronous=FULL`); a verdict, its alert and their audit rows are one
//! transaction; settlements and alerts are sealed, under a data key for each
//! day that is destroyed with its last row; a settlement's number stands here
//! only as a keyed hash; what is deleted is overwritten (`secure_delete`, and
//! the write-ahead log is emptied). A wrong root key is an error, not an empty
//! store; another root key takes over without touching a row.
//!
//! Rows are marked with [`Age`], not with the wall clock: limits go by it.
//!
//! This file opens it and owns what the parts share; `journal.rs` and
//! `outbox.rs` hold the parts, `standing.rs` says whether they may raise alerts, `purge.rs` ends them, `data_keys.rs` seals them.

use std::path::{Path, PathBuf};

use ring::hmac;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params};
use serde_json::json;

use zeroize::Zeroizing;

use crate::clock::WallTime;
use crate::crypto::seal::{KeyRing, RootKey, SealError, SealKey};
use crate::crypto::sign::SigningKey;
use crate::privacy::age::{Age, Moment};
use crate::privacy::audit::Kind;
use crate::protocol::id::{Epoch, SettlementId, VerificationId};
use crate::protocol::verdict::Outcome;

use super::standing::{self, Commissioning, Turned};

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
    /// Written by an older version, and not for this call to change.
    #[error(
        "the box's database has schema {found}, this version has {known}: start the agent of this version once, it takes the database over"
    )]
    Older {
        /// Schema found.
        found: i64,
        /// Schema of this version.
        known: i64,
    },
}

/// One step a schema version; never changed once released.
const SCHEMA: &[&str] = &[
    "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL);
    CREATE TABLE settlements (
        id_hash BLOB PRIMARY KEY,        -- HMAC-SHA256 of the settlement's number
        verification TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,             -- accepted, held, done, cancelled (before it came)
        content_hash BLOB,               -- HMAC of the message, to tell a repeat from a contradiction
        payload BLOB,                    -- sealed settlement, until done
        draft BLOB,                      -- sealed alert, while held
        release_at INTEGER,              -- age
        alert TEXT,                      -- id of its alert, for a withdrawal
        alert_state TEXT,                -- alerted, withdrawn
        updated_at INTEGER NOT NULL      -- age
    );
    CREATE INDEX settlements_state ON settlements (state);
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        digest BLOB NOT NULL,
        sealed BLOB,                     -- signature, newline, exact bytes
        state TEXT NOT NULL,             -- waiting, acknowledged, set_aside, expired
        detail TEXT,
        updated_at INTEGER NOT NULL
    );
    CREATE TABLE audit_rows (
        row INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        data TEXT NOT NULL
    );
",
    "
    CREATE TABLE data_keys (
        name BLOB PRIMARY KEY,
        sealed BLOB NOT NULL,            -- under the root key
        made_at INTEGER NOT NULL         -- age
    );
    ALTER TABLE outbox ADD COLUMN tells_of INTEGER; -- seq of the event that expired, in the word of it
    ALTER TABLE settlements ADD COLUMN occurred_at INTEGER; -- ms by the HIS's clock, while held
",
    "
    CREATE TABLE names (                 -- numbers that settlements got after they were accepted
        name_hash BLOB PRIMARY KEY,      -- HMAC-SHA256 of the number
        id_hash BLOB NOT NULL UNIQUE,    -- that of the number it was accepted under
        sealed BLOB NOT NULL,            -- the number
        elsewhere INTEGER NOT NULL,      -- 1 if a relative's account paid
        updated_at INTEGER NOT NULL      -- age
    );
    CREATE TABLE stays (                 -- stays with somebody who acts for the cardholder
        stay_hash BLOB PRIMARY KEY,      -- HMAC-SHA256 of its number, or of the message that began it
        sealed BLOB NOT NULL,            -- who, as keyed hashes of certificates
        updated_at INTEGER NOT NULL      -- age
    );
",
    "
    CREATE TABLE rosters (               -- shifts at entrances
        roster_hash BLOB PRIMARY KEY,    -- HMAC-SHA256 of the entrance and the shift's name
        sealed BLOB NOT NULL,            -- who is expected, whether they were seen and when
        is_over INTEGER NOT NULL,        -- 1 once the shift has ended
        updated_at INTEGER NOT NULL      -- age: of the last change, then of the end
    );
",
];

/// What stands sealed in `meta`.
pub(super) const SEALED_META: [&str; 3] = ["epoch", "hash key", standing::NAME];

/// The open database.
pub struct Store {
    pub(super) connection: Connection,
    /// Seals what stands in `meta`.
    pub(super) meta: SealKey,
    pub(super) ring: KeyRing,
    pub(super) newest_made: Age,
    hash_key: hmac::Key,
    pub(super) signer: SigningKey,
    epoch: Epoch,
    rows_found: i64,
    pub(super) commissioning: Option<Commissioning>,
    pub(super) turned: Vec<Turned>,
}

/// The root key, and the one before it until the store has changed over.
pub struct Roots {
    /// In force.
    pub current: RootKey,
    /// In force until now, where it was replaced.
    pub previous: Option<RootKey>,
}

impl From<RootKey> for Roots {
    fn from(current: RootKey) -> Self {
        Self { current, previous: None }
    }
}

pub(super) fn meta_key(root: &RootKey) -> Result<SealKey, SealError> {
    root.derive("agent store")
}

pub(super) fn over_key(root: &RootKey) -> Result<SealKey, SealError> {
    root.derive("agent data keys")
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
    /// Opens or makes the database in the state folder; `now` is when, for the
    /// record of a root key that was replaced.
    ///
    /// # Errors
    /// If it cannot be made, belongs to another root key, or is newer.
    pub fn open(
        state: &Path,
        roots: impl Into<Roots>,
        signer: SigningKey,
        now: WallTime,
    ) -> Result<Self, StoreError> {
        let roots = roots.into();
        std::fs::create_dir_all(state).map_err(|source| StoreError::Io { path: state.to_owned(), source })?;
        let connection = Connection::open(state.join("agent.db"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;
             PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000;",
        )?;
        migrate(&connection)?;
        let begun = is_begun(&connection)?;
        let fits = |root: &RootKey| -> Result<bool, StoreError> {
            match read_meta(&connection, &meta_key(root)?, "epoch") {
                Err(StoreError::Seal(SealError::OtherKey { .. })) => Ok(false),
                other => other.map(|_| true),
            }
        };
        let current = fits(&roots.current)?;
        let former = match &roots.previous {
            Some(previous) if begun && !current && fits(previous)? => Some(previous),
            _ => None,
        };
        let root = former.unwrap_or(&roots.current);
        let mut store = Self {
            meta: meta_key(root)?,
            ring: KeyRing::new(over_key(root)?),
            newest_made: Age::from_millis(i64::MIN),
            hash_key: hmac::Key::new(hmac::HMAC_SHA256, &[]),
            rows_found: greatest_row(&connection)?,
            connection,
            signer,
            epoch: Epoch::new(),
            commissioning: None,
            turned: Vec::new(),
        };
        store.begin(root)?;
        if former.is_some() {
            store.replace_root(&roots.current, now)?;
        }
        Ok(store)
    }

    /// Reads what is sealed in `meta`, or makes it in a new store.
    fn begin(&mut self, root: &RootKey) -> Result<(), StoreError> {
        match read_meta(&self.connection, &self.meta, "epoch")? {
            Some(text) => {
                self.epoch = std::str::from_utf8(&text)
                    .ok()
                    .and_then(|t| t.parse().ok())
                    .ok_or_else(|| StoreError::Content("an epoch that is not one".into()))?;
            }
            None => {
                let epoch = self.epoch.to_string();
                write_meta(&self.connection, &self.meta, "epoch", epoch.as_bytes())?;
            }
        }
        let hash_key = match read_meta(&self.connection, &self.meta, "hash key")? {
            Some(key) => key,
            // Of its own from here on: another root key must not change the hashes.
            None => {
                let key = root.mac_key("settlement numbers")?;
                write_meta(&self.connection, &self.meta, "hash key", key.as_ref())?;
                Zeroizing::new(key.to_vec())
            }
        };
        self.hash_key = hmac::Key::new(hmac::HMAC_SHA256, &hash_key);
        let keys: Vec<(Vec<u8>, i64)> = self
            .connection
            .prepare("SELECT sealed, made_at FROM data_keys ORDER BY made_at, rowid")?
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (sealed, made_at) in keys {
            self.ring.take(&sealed)?;
            self.newest_made = Age::from_millis(made_at);
        }
        Ok(())
    }

    /// Rows written since the store was opened.
    pub(super) fn changes(&self) -> u64 {
        self.connection.total_changes()
    }

    /// Empties the write-ahead log, in which deleted rows may still stand.
    pub(super) fn empty_log(&self) -> Result<(), StoreError> {
        let busy: i64 = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get(0))?;
        if busy != 0 {
            // Somebody reads: an answer, not an error, and deleted rows stay for now.
            return Err(StoreError::Content(
                "a write-ahead log that somebody still reads; it is emptied later".into(),
            ));
        }
        Ok(())
    }

    /// The box's life between two re-imagings.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Number of the last audit row that this database had given out when it was
    /// opened; 0 if none.
    pub fn rows_found(&self) -> i64 {
        self.rows_found
    }

    /// Begins a new epoch and records why: this database goes back behind what
    /// the box has done, so numbers of the former epoch may be given out already.
    ///
    /// # Errors
    /// If it cannot be written; the former epoch is then still the one.
    pub fn begin_epoch(&mut self, at: WallTime, why: &serde_json::Value) -> Result<(), StoreError> {
        let epoch = Epoch::new();
        let tx = self.connection.transaction()?;
        write_meta(&tx, &self.meta, "epoch", epoch.to_string().as_bytes())?;
        audit(&tx, at, Kind::EpochBegun, why)?;
        tx.commit()?;
        self.epoch = epoch;
        Ok(())
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

    /// Leaves a record for the audit log in the database of a state folder whose
    /// agent may be running, without opening anything that is sealed: the agent
    /// moves it to its log with its own rows, within a minute or at its next start.
    /// `false` if there is no database yet.
    ///
    /// # Errors
    /// If it cannot be written, or another version's agent owns the database.
    pub fn leave(
        state: &Path,
        at: WallTime,
        kind: Kind,
        data: &serde_json::Value,
    ) -> Result<bool, StoreError> {
        let file = state.join("agent.db");
        if !file.exists() {
            return Ok(false);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags)?;
        connection.execute_batch(
            "PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;",
        )?;
        let found: i64 = connection.pragma_query_value(None, "user_version", |r| r.get(0))?;
        let known = SCHEMA.len() as i64;
        match found.cmp(&known) {
            std::cmp::Ordering::Less => return Err(StoreError::Older { found, known }),
            std::cmp::Ordering::Greater => return Err(StoreError::Newer { found, known }),
            std::cmp::Ordering::Equal => {}
        }
        let tx = connection.unchecked_transaction()?;
        audit(&tx, at, kind, data)?;
        tx.commit()?;
        Ok(true)
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

fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |r| r.get(0))?;
    let known = SCHEMA.len() as i64;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (i, step) in SCHEMA.iter().enumerate().skip(found as usize) {
        let tx = connection.unchecked_transaction()?;
        tx.execute_batch(step)?;
        tx.pragma_update(None, "user_version", i as i64 + 1)?;
        tx.commit()?;
    }
    Ok(())
}

/// Number of the last audit row that was ever given out: it stays when rows go.
fn greatest_row(connection: &Connection) -> Result<i64, StoreError> {
    let seq = "SELECT seq FROM sqlite_sequence WHERE name = 'audit_rows'";
    Ok(connection.query_row(seq, [], |r| r.get(0)).optional()?.unwrap_or(0))
}

/// Whether the store was begun under some root key.
fn is_begun(connection: &Connection) -> Result<bool, StoreError> {
    Ok(connection.query_row("SELECT EXISTS (SELECT 1 FROM meta WHERE key = 'epoch')", [], |r| r.get(0))?)
}

/// A sealed value of `meta`. It opens only under the key that the store was
/// made with, or that replaced it.
pub(super) fn read_meta(
    connection: &Connection,
    key: &SealKey,
    name: &str,
) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    let sealed: Option<Vec<u8>> =
        connection.query_row("SELECT value FROM meta WHERE key = ?1", [name], |r| r.get(0)).optional()?;
    Ok(sealed.map(|s| key.open(&format!("meta/{name}"), &s)).transpose()?)
}

pub(super) fn write_meta(
    connection: &Connection,
    key: &SealKey,
    name: &str,
    plain: &[u8],
) -> Result<(), StoreError> {
    let sealed = key.seal(&format!("meta/{name}"), plain)?;
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        params![name, sealed],
    )?;
    Ok(())
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
    settlement: Option<&SettlementId>,
    id: VerificationId,
    outcome: Outcome,
    now: Moment,
) -> Result<(), StoreError> {
    audit(tx, now.wall, Kind::Verdict, &verdict(settlement, id, outcome))
}

/// The one verdict of a verification that ended as a mismatch or an absence and raises no
/// alert, since the box is in shadow.
pub(super) fn audit_watched(
    tx: &Transaction<'_>,
    settlement: Option<&SettlementId>,
    id: VerificationId,
    outcome: Outcome,
    now: Moment,
) -> Result<(), StoreError> {
    let mut data = verdict(settlement, id, outcome);
    data["shadow"] = true.into();
    audit(tx, now.wall, Kind::Verdict, &data)
}

fn verdict(settlement: Option<&SettlementId>, id: VerificationId, outcome: Outcome) -> serde_json::Value {
    let mut data = json!({ "settlement": settlement, "verification": id, "verdict": outcome.verdict() });
    if !outcome.reason().is_empty() {
        data["reason"] = outcome.reason().into();
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::journal::tests::store;

    #[test]
    fn a_database_of_a_newer_version_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        drop(store(dir.path()));
        let path = dir.path().join("agent.db");
        let newer = SCHEMA.len() as i64 + 1;
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", newer).unwrap();
        connection.close().unwrap();
        let before = std::fs::read(&path).unwrap();
        let signer = SigningKey::from_pkcs8(&std::fs::read(dir.path().join("key.der")).unwrap()).unwrap();
        let root = RootKey::new([7; 32]);
        let refused = Store::open(dir.path(), root, signer, WallTime::from_millis(1)).err().unwrap();
        assert!(matches!(refused, StoreError::Newer { found, .. } if found == newer), "{refused}");
        assert!(refused.to_string().contains("install the newer version again"), "{refused}");
        assert!(before == std::fs::read(&path).unwrap());
    }
}
