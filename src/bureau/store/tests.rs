//! What tests of the store share: a fresh store in a file, and one on a server.

use std::ops::AsyncFn;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use self::postgres::{FORGETFUL, Postgres};
pub(in crate::bureau) use super::agents::tests::box_with_key;
use super::engine::{STEPS, connect, migrator};
use super::*;

#[path = "../../bench/postgres.rs"]
#[allow(
    dead_code,
    clippy::duplicate_mod,
    reason = "benchmarks use more of it, and rooms of one storey do not meet"
)]
mod postgres;

/// A database with an up-to-date schema, from which fresh ones are copied.
const MODEL: &str = "model";

/// The server of this process; started once.
fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = Postgres::start(FORGETFUL).unwrap();
        server.psql("postgres", &format!("CREATE DATABASE {MODEL}")).unwrap();
        server
    })
}

/// A database of a name of its own, that goes with this.
struct Fresh {
    name: String,
    at: Database,
}

impl Fresh {
    async fn copy_of(template: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let make = format!("CREATE DATABASE {name} TEMPLATE {template}");
        tokio::task::spawn_blocking(move || server().psql("postgres", &make).unwrap()).await.unwrap();
        let at = server().url(&name).parse().unwrap();
        Self { name, at }
    }

    /// One whose schema is that of a new store.
    async fn new() -> Self {
        static MADE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
        MADE.get_or_init(async || {
            let at: Database = server().url(MODEL).parse().unwrap();
            engine::open(&at).await.unwrap().close().await;
        })
        .await;
        Self::copy_of(MODEL).await
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let _ = server().psql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// Runs a test on a fresh file, then on a fresh database of a PostgreSQL server.
pub(in crate::bureau) async fn on_both(test: impl AsyncFn(Store)) {
    let dir = tempfile::tempdir().unwrap();
    test(store(dir.path()).await).await;
    let fresh = Fresh::new().await;
    test(open(&fresh.at).await).await;
}

/// Runs a test that opens stores by itself, with the place of a fresh file and with that
/// of a fresh and empty database.
pub(in crate::bureau) async fn at_both(test: impl AsyncFn(Database)) {
    let dir = tempfile::tempdir().unwrap();
    test(Database::File(dir.path().join("b.db"))).await;
    let fresh = Fresh::copy_of("template0").await;
    test(fresh.at.clone()).await;
}

/// Runs a test on a fresh database of a server, with a way to tell the server things.
pub(in crate::bureau) async fn query_on_server(test: impl AsyncFn(Store, &dyn Fn(&str) -> String)) {
    let fresh = Fresh::new().await;
    test(open(&fresh.at).await, &|sql| server().psql(&fresh.name, sql).unwrap()).await;
}

async fn open(at: &Database) -> Store {
    Store::open(at.clone(), &RootKey::new([7; 32])).await.unwrap()
}

/// A store in a file of that folder.
pub(in crate::bureau) async fn store(dir: &Path) -> Store {
    open(&Database::File(dir.join("b.db"))).await
}

#[tokio::test]
async fn another_root_key_is_an_error_and_not_an_empty_store() {
    at_both(async |at| {
        open(&at).await.close().await;
        let wrong = Store::open(at.clone(), &RootKey::new([8; 32])).await.err().unwrap();
        assert!(matches!(wrong, StoreError::WrongKey { .. }), "{wrong}");
        assert!(wrong.to_string().contains("the root key this store was made with"), "{wrong}");
        open(&at).await;
    })
    .await;
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused_and_left_as_it_is() {
    at_both(async |at| {
        let pool = engine::open(&at).await.unwrap();
        let newer = [STEPS, &[(1000, "later", "CREATE TABLE later (of_it TEXT)")]].concat();
        migrator(&newer, &at).run(&pool).await.unwrap();
        pool.close().await;
        let bytes = || match &at {
            Database::File(path) => std::fs::read(path).unwrap(),
            Database::Server(_) => Vec::new(),
        };
        let before = bytes();
        let refused = Store::open(at.clone(), &RootKey::new([7; 32])).await.err().unwrap();
        assert!(matches!(refused, StoreError::Newer { found: 1000, .. }), "{refused}");
        assert!(refused.to_string().contains("install the newer version again"), "{refused}");
        assert!(before == bytes());
        let pool = connect(&at).await.unwrap();
        let canary: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM meta").fetch_one(&pool).await.unwrap();
        assert_eq!(canary, 0);
    })
    .await;
}

#[tokio::test]
async fn a_store_of_any_schema_is_brought_up_to_date_and_keeps_its_boxes_and_their_keys() {
    at_both(async |at| {
        if let Database::File(path) = &at {
            std::fs::File::create(path).unwrap();
        }
        let pool = connect(&at).await.unwrap();
        migrator(&STEPS[..1], &at).run(&pool).await.unwrap();
        let (old, _) = box_with_key("box-1");
        sqlx::query(
            "INSERT INTO agents (name, hospital, public_key, certificate, added_at) \
             VALUES ($1, 'H1', $2, $3, 7)",
        )
        .bind(old.name.as_str())
        .bind(old.public_key.to_base64())
        .bind(old.certificate.to_string())
        .execute(&pool)
        .await
        .unwrap();
        // Each version that was released stood at one of these for a time.
        for step in 2..STEPS.len() {
            migrator(&STEPS[..step], &at).run(&pool).await.unwrap();
        }
        pool.close().await;
        let store = open(&at).await;
        let keys = store.agent_keys(&old.name).await.unwrap();
        assert_eq!(
            (&keys[0].public_key, keys[0].since.as_millis(), keys[0].until),
            (&old.public_key, 7, None)
        );
        let now = crate::clock::WallTime::from_millis(8);
        assert!(store.agent_by_certificate(old.certificate, now).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn several_processes_may_open_an_empty_database_at_once() {
    let fresh = Fresh::copy_of("template0").await;
    let (one, two, three) = tokio::join!(open(&fresh.at), open(&fresh.at), open(&fresh.at));
    for store in [one, two, three] {
        store.answers().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_the_password() {
    let at: Database = "postgres://bureau@localhost/alerts?host=/nowhere".parse().unwrap();
    let missing = Store::open(at.with_password("s3cret"), &RootKey::new([7; 32])).await.err().unwrap();
    let said = missing.to_string();
    assert!(said.contains("postgres://localhost/alerts") && !said.contains("s3cret"), "{said}");
}

#[tokio::test]
async fn why_a_database_cannot_be_reached_is_told_in_the_words_of_who_refused() {
    let refused = async |at: &Database| {
        let error = Store::open(at.clone(), &RootKey::new([7; 32])).await.err().unwrap();
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
        error.to_string()
    };
    // Nobody listens where somebody did.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = refused(&format!("postgres://bureau@{free}/alerts").parse().unwrap()).await;
    assert!(nobody.contains("refused") && !nobody.contains("pool"), "{nobody}");
    let missing = refused(&server().url("not_there").parse().unwrap()).await;
    assert!(missing.contains("\"not_there\" does not exist"), "{missing}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.db");
    std::fs::write(&path, [b'x'; 4096]).unwrap();
    let other = refused(&Database::File(path)).await;
    assert!(other.contains("file is not a database"), "{other}");
}

#[tokio::test]
async fn connections_are_durable_and_overwrite_what_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path()).await;
    let number =
        async |sql: &'static str| -> i64 { sqlx::query_scalar(sql).fetch_one(&store.pool).await.unwrap() };
    assert_eq!(number("PRAGMA synchronous").await, 2);
    assert_eq!(number("PRAGMA secure_delete").await, 1);
    assert_eq!(number("PRAGMA foreign_keys").await, 1);
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(dir.path().join("b.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_server_that_was_told_to_be_quick_is_asked_to_be_durable() {
    let fresh = Fresh::new().await;
    let quick = format!("ALTER DATABASE {} SET synchronous_commit = off", fresh.name);
    server().psql("postgres", &quick).unwrap();
    let store = open(&fresh.at).await;
    let mode: String = sqlx::query_scalar("SELECT current_setting('synchronous_commit')")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    assert_eq!(mode, "on");
}

/// Whether another process's batch waits for the one that is under way.
const WAITING: &str = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_seen_the_alert_of_one_number_has_seen_all_with_smaller_ones() {
    use super::events::tests::{Bench, chain};
    use crate::protocol::id::Epoch;
    let fresh = Fresh::new().await;
    let one = Bench::new(open(&fresh.at).await).await;
    let two = open(&fresh.at).await;
    let (first, second) = (&chain(1, Epoch::new())[0], &chain(1, Epoch::new())[0]);
    one.store.make_month(crate::clock::WallTime::from_millis(1)).await.unwrap();
    let mut under_way = one.store.begin_batch().await.unwrap();
    one.store.insert_in(&mut under_way, &[one.incoming(first, 1).await]).await.unwrap();
    let incoming = one.incoming(second, 1).await;
    let later = tokio::spawn(async move {
        two.insert_events(&[incoming]).await.unwrap();
        two.newest_arrival().await.unwrap()
    });
    while server().psql(&fresh.name, WAITING).unwrap() != "1" {
        tokio::task::yield_now().await;
    }
    assert_eq!(one.store.newest_arrival().await.unwrap(), 0);
    under_way.commit().await.unwrap();
    assert_eq!((later.await.unwrap(), one.store.alerts(i64::MAX, 9).await.unwrap().len()), (2, 2));
}
