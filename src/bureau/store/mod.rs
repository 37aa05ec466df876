//! The bureau's store: one SQLite file.
//!
//! Promises: what a function here has answered is on the disk (write-ahead
//! log, `synchronous=FULL`); alert bytes, embeddings and reasons of exemptions are
//! sealed under the root key, each for its own row; a wrong root key is an error when the store
//! is opened, never an empty store; what is deleted is overwritten.
//!
//! Constraint: every statement runs on PostgreSQL too; what only SQLite knows
//! is in this file, where connections are made. A transaction begins with a
//! write, which takes SQLite's write lock or PostgreSQL's row lock before
//! anything is read.
//!
//! What it does not do: decide what may be stored. That is the business of the
//! callers, and of types such as [`crate::crypto::sign::Verified`].

mod accounts;
mod acts;
mod agents;
mod chain;
mod commissions;
mod documents;
mod engine;
mod erase;
mod events;
mod evidence;
mod exemptions;
mod handouts;
mod heads;
mod holdings;
mod joins;
mod keys;
mod policies;
mod postures;
mod purges;
mod references;
mod rollouts;

use std::io;
use std::path::{Path, PathBuf};

use sqlx::migrate::MigrateError;
use zeroize::Zeroizing;

use self::engine::{DbRow, Pool, Tx, empty_log, open_file};
use crate::crypto::seal::{RootKey, SealError, SealKey};

pub use accounts::{Account, NewAccount, SessionLimits};
pub use acts::Act;
pub use agents::{Agent, AgentChange, AgentSummary, NewAgent, TransformIssue};
pub use chain::ChainState;
pub use documents::Kept;
pub use erase::erase_references;
pub use events::{Insertion, StoredAlert};
pub use evidence::{Evidence, StoredEvent};
pub use exemptions::Exemption;
pub use handouts::HandedOut;
pub use heads::AuditFinding;
pub use joins::{Code, Joined, Joining, NewCode};
pub use keys::{AgentKey, NewKey};
pub use postures::{PostureKept, StoredPosture};
pub use purges::PurgeReport;
pub use references::{Addition, NewReference, StoredReference};
pub use rollouts::{NewRollout, Rollout, Stage, StageChange, Wanted};

const CANARY_LABEL: &str = "meta/canary";
const CANARY: &[u8] = b"counterproof bureau";

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be made.
    #[error("{path}: {source}: name a folder that the service's user owns as store.path")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Written by a newer version.
    #[error(
        "{path}: the store has schema step {found}, this version knows {known}: install the newer version again"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// The first step found that is not known.
        found: i64,
        /// Newest step known.
        known: i64,
    },
    /// The file is no store of this program.
    #[error("{path}: the schema cannot be brought up to date: {source}")]
    Schema {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        source: MigrateError,
    },
    /// The root key is not the one the store was made with.
    #[error("{path}: wrong root key: {source}")]
    WrongKey {
        /// Which file.
        path: PathBuf,
        /// What the seal said.
        source: SealError,
    },
    /// A row cannot be sealed or opened.
    #[error("row {label}: {source}")]
    Seal {
        /// Which row.
        label: String,
        /// What the seal said.
        source: SealError,
    },
    /// A row holds what this program never wrote.
    #[error("row {label}: {what}: the file was changed by something else, or is damaged")]
    Content {
        /// Which row.
        label: String,
        /// What is wrong with it.
        what: String,
    },
    /// The database failed.
    #[error("the store failed: {0}: look at the disk and at the file's owner")]
    Database(#[from] sqlx::Error),
}

/// The open store.
pub struct Store {
    pool: Pool,
    key: SealKey,
    /// From which the boxes' transforms are derived.
    transforms: Zeroizing<[u8; 32]>,
    /// For what the record of acts calls an exempt cardholder.
    marks: Zeroizing<[u8; 32]>,
}

impl Store {
    /// Opens the store, or makes it, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`], above all [`StoreError::WrongKey`].
    pub async fn open(path: &Path, root: &RootKey) -> Result<Self, StoreError> {
        let library = |source| StoreError::Seal { label: CANARY_LABEL.into(), source };
        let key = root.derive("bureau store v1").map_err(library)?;
        let transforms = root.mac_key("bureau transforms v1").map_err(library)?;
        let marks = root.mac_key("bureau marks of cardholders v1").map_err(library)?;
        let pool = open_file(path).await?;
        let store = Self { pool, key, transforms, marks };
        store.check_key(path).await?;
        Ok(store)
    }

    async fn check_key(&self, path: &Path) -> Result<(), StoreError> {
        let fresh = self.seal(CANARY_LABEL, CANARY)?;
        sqlx::query("INSERT INTO meta (name, value) VALUES ('canary', $1) ON CONFLICT (name) DO NOTHING")
            .bind(fresh)
            .execute(&self.pool)
            .await?;
        let held: Vec<u8> =
            sqlx::query_scalar("SELECT value FROM meta WHERE name = 'canary'").fetch_one(&self.pool).await?;
        match self.key.open(CANARY_LABEL, &held) {
            Ok(_) => Ok(()),
            Err(source) => Err(StoreError::WrongKey { path: path.into(), source }),
        }
    }

    /// Asks the database for the least that it can answer.
    ///
    /// # Errors
    /// If it does not.
    pub async fn answers(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1 FROM meta LIMIT 1").fetch_one(&self.pool).await?;
        Ok(())
    }

    /// Empties the write-ahead log, in which deleted rows may still stand.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn empty_log(&self) -> Result<(), StoreError> {
        empty_log(&self.pool).await
    }

    /// Finishes what runs and closes the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    fn seal(&self, label: &str, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.key.seal(label, plain).map_err(|source| StoreError::Seal { label: label.into(), source })
    }
}

/// Reads a column that this program wrote as text.
fn parse<T: std::str::FromStr>(label: &str, text: &str) -> Result<T, StoreError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|e: T::Err| StoreError::Content { label: label.into(), what: e.to_string() })
}

#[cfg(test)]
pub(super) mod tests {
    pub(in crate::bureau) use super::agents::tests::box_with_key;
    use super::engine::{STEPS, connect, migrator};
    use super::*;

    pub(in crate::bureau) async fn store(dir: &Path) -> Store {
        Store::open(&dir.join("b.db"), &RootKey::new([7; 32])).await.unwrap()
    }

    #[tokio::test]
    async fn another_root_key_is_an_error_and_not_an_empty_store() {
        let dir = tempfile::tempdir().unwrap();
        store(dir.path()).await.close().await;
        let path = dir.path().join("b.db");
        let wrong = Store::open(&path, &RootKey::new([8; 32])).await.err().unwrap();
        assert!(matches!(wrong, StoreError::WrongKey { .. }), "{wrong}");
        assert!(wrong.to_string().contains("the root key this store was made with"), "{wrong}");
        store(dir.path()).await;
    }

    #[tokio::test]
    async fn a_store_of_a_newer_version_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.db");
        let pool = open_file(&path).await.unwrap();
        let newer = [STEPS, &[(1000, "later", "CREATE TABLE later (of TEXT)")]].concat();
        migrator(&newer).run(&pool).await.unwrap();
        pool.close().await;
        let before = std::fs::read(&path).unwrap();
        let refused = Store::open(&path, &RootKey::new([7; 32])).await.err().unwrap();
        assert!(matches!(refused, StoreError::Newer { found: 1000, .. }), "{refused}");
        assert!(refused.to_string().contains("install the newer version again"), "{refused}");
        assert!(before == std::fs::read(&path).unwrap());
    }

    #[tokio::test]
    async fn a_store_of_the_first_schema_keeps_its_boxes_and_their_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.db");
        std::fs::File::create(&path).unwrap();
        let pool = connect(&path).await.unwrap();
        migrator(&STEPS[..1]).run(&pool).await.unwrap();
        let (old, _) = agents::tests::box_with_key("box-1");
        sqlx::query("INSERT INTO agents (name, hospital, public_key, certificate, added_at) VALUES ($1, 'H1', $2, $3, 7)")
            .bind(old.name.as_str())
            .bind(old.public_key.to_base64())
            .bind(old.certificate.to_string())
            .execute(&pool)
            .await
            .unwrap();
        pool.close().await;
        let store = store(dir.path()).await;
        let keys = store.agent_keys(&old.name).await.unwrap();
        assert_eq!(
            (&keys[0].public_key, keys[0].since.as_millis(), keys[0].until),
            (&old.public_key, 7, None)
        );
        let now = crate::clock::WallTime::from_millis(8);
        assert!(store.agent_by_certificate(old.certificate, now).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn connections_are_durable_and_overwrite_what_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path()).await;
        let number = async |sql: &'static str| -> i64 {
            sqlx::query_scalar(sql).fetch_one(&store.pool).await.unwrap()
        };
        assert_eq!(number("PRAGMA synchronous").await, 2);
        assert_eq!(number("PRAGMA secure_delete").await, 1);
        assert_eq!(number("PRAGMA foreign_keys").await, 1);
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(dir.path().join("b.db")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
