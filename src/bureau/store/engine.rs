//! The database beneath the store: one SQLite file, made here with what only
//! SQLite knows.
//!
//! Promises: what was committed is on the disk (write-ahead log,
//! `synchronous=FULL`); what is deleted is overwritten; the schema is that of this
//! version, or the store is refused.
//!
//! Everything else of the store speaks through [`Db`], sqlx's driver for whichever
//! database it is: plain text, whole and real numbers and bytes. It cannot read a
//! column that was declared BOOLEAN: such are compared in SQL, or new ones declared
//! BIGINT.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Any, AnyConnection, AnyPool, Executor, SqlSafeStr, Transaction};
use url::Url;

use super::StoreError;

/// The driver of whichever database it is.
pub(super) type Db = Any;
/// Connections to it.
pub(super) type Pool = AnyPool;
/// A row of it.
pub(super) type DbRow = AnyRow;
/// A transaction of it.
pub(super) type Tx<'t> = Transaction<'t, Db>;

/// One step of the schema: its number, its name, its statements.
type Step = (i64, &'static str, &'static str);

/// Each step of the schema, in order. A step that was published is never changed.
pub(super) const STEPS: &[Step] = &[
    (1, "first", include_str!("migrations/0001_first.sql")),
    (2, "policies", include_str!("migrations/0002_policies.sql")),
    (3, "transforms", include_str!("migrations/0003_transforms.sql")),
    (4, "proof", include_str!("migrations/0004_proof.sql")),
    (5, "evidence", include_str!("migrations/0005_evidence.sql")),
    (6, "runs", include_str!("migrations/0006_runs.sql")),
    (7, "documents", include_str!("migrations/0007_documents.sql")),
    (8, "commissions", include_str!("migrations/0008_commissions.sql")),
    (9, "exemptions", include_str!("migrations/0009_exemptions.sql")),
    (11, "accounts", include_str!("migrations/0011_accounts.sql")),
    (14, "boxes", include_str!("migrations/0014_boxes.sql")),
];

/// What every connection to a file is told first.
const PRAGMAS: &str = "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                       PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;";

/// Opens the file, or makes it, and brings its schema up to date: what needs no key.
pub(super) async fn open_file(path: &Path) -> Result<Pool, StoreError> {
    make_private(path).map_err(|source| StoreError::File { path: path.into(), source })?;
    let pool = connect(path).await?;
    let known = STEPS.last().map_or(0, |(step, ..)| *step);
    migrator(STEPS).run(&pool).await.map_err(|source| match source {
        MigrateError::VersionMissing(found) if found > known => {
            StoreError::Newer { path: path.into(), found, known }
        }
        source => StoreError::Schema { path: path.into(), source },
    })?;
    Ok(pool)
}

/// Connects to a file that is there.
pub(super) async fn connect(path: &Path) -> Result<Pool, StoreError> {
    sqlx::any::install_default_drivers();
    let options: AnyConnectOptions = url(path)?.as_str().parse()?;
    let pool = AnyPoolOptions::new()
        .max_connections(4)
        .after_connect(|connection: &mut AnyConnection, _| {
            Box::pin(async move { connection.execute(PRAGMAS).await.map(drop) })
        })
        .connect_with(options)
        .await?;
    Ok(pool)
}

/// The file as sqlx wants it named; every character of the path is kept.
fn url(path: &Path) -> Result<Url, StoreError> {
    let unfit = |what: String| StoreError::File { path: path.into(), source: io::Error::other(what) };
    let whole = std::path::absolute(path).map_err(|e| unfit(e.to_string()))?;
    let file = Url::from_file_path(&whole).map_err(|()| unfit("no path that can be named".into()))?;
    Url::parse(&format!("sqlite://{}", file.path())).map_err(|e| unfit(e.to_string()))
}

/// The steps as sqlx wants them.
pub(super) fn migrator(steps: &[Step]) -> Migrator {
    let step = |(version, name, sql): &Step| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(steps.iter().map(step).collect())
}

/// Empties the write-ahead log, in which deleted rows may still stand.
pub(super) async fn empty_log(pool: &Pool) -> Result<(), StoreError> {
    let (busy, ..): (i64, i64, i64) =
        sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(pool).await?;
    if busy == 0 {
        return Ok(());
    }
    // Somebody reads: an answer, not an error, and deleted rows stay for now.
    Err(StoreError::Database(sqlx::Error::Protocol(
        "the write-ahead log could not be emptied: somebody still reads it".into(),
    )))
}

/// Makes the file with mode 0600 if it is not there; SQLite gives its side
/// files the same mode.
fn make_private(path: &Path) -> io::Result<()> {
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}
