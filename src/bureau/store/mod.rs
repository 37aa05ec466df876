//! The bureau's store: one SQLite file, or a database of a PostgreSQL server.
//!
//! Promises: what a function here has answered is on the disk (write-ahead
//! log, `synchronous=FULL`; `synchronous_commit=on`); alert bytes, embeddings and reasons of exemptions are
//! sealed under the root key, each for its own row; a wrong root key is an error when the store
//! is opened, never an empty store; what is deleted from a file is overwritten. Several
//! processes may work on one database.
//!
//! Constraint: every statement runs on both; what only one of them knows is in
//! [`engine`] and [`months`]. A transaction begins with a
//! write, which takes SQLite's write lock or PostgreSQL's row lock before
//! anything is read.
//!
//! What it does not do: decide what may be stored. That is the business of the
//! callers, and of types such as [`crate::crypto::sign::Verified`].

mod accounts;
mod acts;
mod agents;
mod alerts;
mod batch;
mod cases;
mod certificates;
mod chain;
mod check_ins;
mod commissions;
mod decided;
mod documents;
mod engine;
mod erase;
mod erasures;
mod events;
mod evidence;
mod exemptions;
mod figures;
mod handouts;
mod heads;
mod holdings;
mod hospitals;
mod joins;
mod keys;
mod months;
mod place;
mod policies;
mod postures;
mod purges;
mod queue;
mod references;
mod requests;
mod review;
mod rollouts;
mod rows;
mod seeding;
mod sessions;
mod settled;

use std::io;
use std::path::PathBuf;

use sqlx::migrate::MigrateError;
use zeroize::Zeroizing;

use self::engine::{Db, DbRow, Pool, Tx};
use self::months::Months;
use crate::crypto::seal::{RootKey, SealError, SealKey};

pub use accounts::{Account, Changed, NewAccount};
pub use acts::{Act, ActsAsked, NumberedAct};
pub use agents::{Agent, AgentChange, AgentSummary, NewAgent, TransformIssue};
pub use alerts::{NO_SCORE, SERIOUS_AMOUNT_FEN};
pub use batch::Incoming;
pub use cases::{
    Actor, Approval, Case, CaseAlert, CaseError, CaseRefusal, Held, IncomingTransfer, NewCase, NewIncoming,
    NewReport, NewTransfer, Origin, Report, ReportAnswer, Span, Transfer, TransferId, TransferStep,
};
pub use certificates::Certificate;
pub use chain::ChainState;
pub use check_ins::{CheckIn, CheckInsAsked};
pub use decided::{AlertState, Per};
pub use documents::Kept;
pub use erase::erase_references;
pub use erasures::{Erasure, HeldAlert, HeldReference, KeptBy, Receipt, Stays};
pub use events::{Insertion, StoredAlert};
pub use evidence::{Evidence, StoredEvent};
pub use exemptions::Exemption;
pub use figures::{By, Place, Verdicts};
pub use handouts::HandedOut;
pub use heads::AuditFinding;
pub use hospitals::Hospital;
pub use joins::{Code, Joined, Joining, NewCode};
pub use keys::{AgentKey, NewKey};
pub use place::{Database, EXPECTED, NoDatabase};
pub use postures::{PostureKept, StoredPosture};
pub use purges::PurgeReport;
pub use queue::{
    AlertChange, Among, Assignee, QueueFilter, QueueFrom, QueueOrder, QueuePage, QueuePlace, QueueRow,
    QueueState, StateCounts,
};
pub use references::{Addition, FoundFor, NewReference, StoredReference};
pub use requests::{NewRequest, Request};
pub use review::{
    Answer, BlindAnswer, BlindCheck, BlindSaid, BlindState, DeclaredProxy, Letter, LetterText, Listing,
    Neighbour, NewLetter, NewProxy, NewStep, ProxyAddition, StepText, TakenStep,
};
pub use rollouts::{NewRollout, Rollout, Stage, StageChange, Wanted};
pub use seeding::{MADE_UP, MadeDay, MadeDecision, MadeEvent};
pub use sessions::{AttemptLimits, Chance, SessionLimits};
pub use settled::{Import, Imported, MOST_SETTLED, MonthSettled};

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
        "{place}: the store has schema step {found}, this version knows {known}: install the newer version again"
    )]
    Newer {
        /// Which database.
        place: String,
        /// The first step found that is not known.
        found: i64,
        /// Newest step known.
        known: i64,
    },
    /// The database is no store of this program.
    #[error("{place}: the schema cannot be brought up to date: {source}")]
    Schema {
        /// Which database.
        place: String,
        /// What went wrong.
        source: MigrateError,
    },
    /// The root key is not the one the store was made with.
    #[error("{place}: wrong root key: {source}")]
    WrongKey {
        /// Which database.
        place: String,
        /// What the seal said.
        source: SealError,
    },
    /// The database cannot be reached.
    #[error("{place}: {source}: is the server running, is the database made, and may this user use it?")]
    Unreachable {
        /// Which database.
        place: String,
        /// What the driver said.
        source: sqlx::Error,
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
    #[error("the store failed: {0}: look at the disk, and at the file's owner or the server's log")]
    Database(#[from] sqlx::Error),
}

impl StoreError {
    /// Whether another process stood in the way, and trying again helps: a deadlock, a
    /// lock that was not had in time, an id that was stored meanwhile.
    pub fn is_collision(&self) -> bool {
        const CODES: [&str; 6] = ["40P01", "40001", "55P03", "23505", "5", "517"];
        let Self::Database(error) = self else { return false };
        let code = error.as_database_error().and_then(|e| e.code());
        code.is_some_and(|code| CODES.contains(&code.as_ref()))
    }
}

/// The open store.
pub struct Store {
    pool: Pool,
    at: Database,
    key: SealKey,
    months: Months,
    /// From which the boxes' transforms are derived.
    transforms: Zeroizing<[u8; 32]>,
    /// For what the record of acts calls an exempt cardholder.
    marks: Zeroizing<[u8; 32]>,
    /// For what lists call a settlement.
    settlements: Zeroizing<[u8; 32]>,
    /// Under which certificates of proxies are hashed, here and on every box.
    proxy_key: Zeroizing<[u8; 32]>,
}

impl Store {
    /// Opens the store, or makes it, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`], above all [`StoreError::WrongKey`].
    pub async fn open(at: impl Into<Database>, root: &RootKey) -> Result<Self, StoreError> {
        let at = at.into();
        let library = |source| StoreError::Seal { label: CANARY_LABEL.into(), source };
        let key = root.derive("bureau store v1").map_err(library)?;
        let transforms = root.mac_key("bureau transforms v1").map_err(library)?;
        let marks = root.mac_key("bureau marks of cardholders v1").map_err(library)?;
        let settlements = root.mac_key("bureau marks of settlements v1").map_err(library)?;
        let proxy_key = root.mac_key("certificates of proxies v1").map_err(library)?;
        let pool = engine::open(&at).await?;
        let months = Months::default();
        let store = Self { pool, at, key, months, transforms, marks, settlements, proxy_key };
        store.check_key().await?;
        store.list_older_alerts().await?;
        Ok(store)
    }

    async fn check_key(&self) -> Result<(), StoreError> {
        let fresh = self.seal(CANARY_LABEL, CANARY)?;
        sqlx::query("INSERT INTO meta (name, value) VALUES ('canary', $1) ON CONFLICT (name) DO NOTHING")
            .bind(fresh)
            .execute(&self.pool)
            .await?;
        let held: Vec<u8> =
            sqlx::query_scalar("SELECT value FROM meta WHERE name = 'canary'").fetch_one(&self.pool).await?;
        match self.key.open(CANARY_LABEL, &held) {
            Ok(_) => Ok(()),
            Err(source) => Err(StoreError::WrongKey { place: self.at.to_string(), source }),
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

    /// Empties a file's write-ahead log, in which deleted rows may still stand; lets a
    /// server use their space again.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn empty_log(&self) -> Result<(), StoreError> {
        engine::clear_away(&self.pool, &self.at).await
    }

    /// Finishes what runs and closes the database.
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
pub(super) use events::tests as event_tests;

#[cfg(test)]
pub(super) mod tests;
