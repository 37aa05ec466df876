//! Events on their way into the store, on both engines: by two bureau processes at once
//! on one PostgreSQL, and through kills in the middle of it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use counterproof::bench::postgres::{FORGETFUL, Postgres};
use counterproof::protocol::SIGNATURE_HEADER;

use super::support::bureau::{Bureau, Chain, TestBox};
use super::support::server::{Server, on_server};
use super::support::wait_for;

/// The status, or nothing if the connection broke.
async fn post(boxed: &TestBox, url: &str, bytes: &[u8]) -> Option<u16> {
    let request = boxed.client.post(url).header(SIGNATURE_HEADER, boxed.key.sign(bytes).to_string());
    Some(request.body(bytes.to_vec()).send().await.ok()?.status().as_u16())
}

/// A chain of 40 events: mismatches, each fifth withdrawn; and how many mismatches.
fn events(name: &str) -> (Vec<Vec<u8>>, usize) {
    let mut chain = Chain::new(name);
    let (mut events, mut alerts) = (Vec::new(), 0);
    while events.len() < 40 {
        let (id, bytes) = chain.mismatch();
        events.push(bytes);
        alerts += 1;
        if alerts % 5 == 0 {
            events.push(chain.withdrawal(&id));
        }
    }
    (events, alerts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_database_store_every_event_once_and_every_chain_whole() {
    let postgres = Postgres::start(FORGETFUL).unwrap();
    let bureau = on_server(&postgres);
    let names: Vec<String> = (0..6).map(|n| format!("box-{n}")).collect();
    let boxes: Vec<TestBox> = names.iter().map(|name| bureau.add_box(name)).collect();
    let servers = [Server::start(&bureau, "one"), Server::start(&bureau, "two")];
    let mut sending = tokio::task::JoinSet::new();
    let (mut sent, mut mismatches) = (0, 0);
    for (name, boxed) in names.iter().zip(boxes) {
        let (mut events, alerts) = events(name);
        (sent, mismatches) = (sent + events.len(), mismatches + alerts);
        // Out of order, so that there are gaps to be closed, and withdrawals before their alerts.
        for i in 0..events.len() / 2 {
            let other = (i * 17 + 5) % events.len();
            events.swap(i, other);
        }
        let urls = servers.each_ref().map(|server| server.url.clone());
        sending.spawn(async move {
            let (boxed, urls) = (&boxed, &urls);
            let mut stored = 0;
            for portion in events.chunks(8) {
                // All of a portion at once, each to both processes.
                let asked =
                    portion.iter().flat_map(|bytes| urls.iter().map(move |url| post(boxed, url, bytes)));
                let told = futures_util::future::join_all(asked).await;
                for pair in told.chunks(2) {
                    let pair = BTreeSet::from_iter(pair.iter().copied());
                    assert_eq!(pair, BTreeSet::from([Some(200), Some(201)]));
                    stored += 1;
                }
            }
            stored
        });
    }
    let stored: usize = sending.join_all().await.into_iter().sum();
    assert_eq!(stored, sent);
    let ask = |sql: &str| postgres.psql("postgres", sql).unwrap();
    assert_eq!(ask("SELECT COUNT(*) FROM events"), sent.to_string());
    assert_eq!(ask("SELECT COUNT(*) FROM payloads"), sent.to_string());
    assert_eq!(ask("SELECT COUNT(*) FROM events WHERE chain <> 'ok'"), "0");
    assert_eq!(ask("SELECT COUNT(*) FROM alerts"), mismatches.to_string());
    let withdrawn = "SELECT COUNT(*) FROM alerts WHERE (state = 'withdrawn') <> \
                     EXISTS (SELECT 1 FROM withdrawals w WHERE w.alert = alerts.id)";
    assert_eq!(ask(withdrawn), "0");
    drop(servers);
}

/// Boxes send without end; the process is killed in the middle, and started again.
async fn killed_in_the_middle(bureau: &Bureau) {
    let boxes: Vec<(String, TestBox)> =
        (0..8).map(|n| format!("box-{n}")).map(|name| (name.clone(), bureau.add_box(&name))).collect();
    let mut server = Server::start(bureau, "first");
    let acknowledged = std::sync::Arc::new(AtomicUsize::new(0));
    let mut sending = tokio::task::JoinSet::new();
    for (name, boxed) in boxes {
        let (url, acknowledged) = (server.url.clone(), acknowledged.clone());
        sending.spawn(async move {
            let mut chain = Chain::new(&name);
            let mut kept = Vec::new();
            loop {
                let (_, bytes) = chain.mismatch();
                match post(&boxed, &url, &bytes).await {
                    Some(status) => assert_eq!(status, 201),
                    // Whether this one was stored, the box does not know.
                    None => return (boxed, kept, bytes),
                }
                kept.push(bytes);
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let count = acknowledged.clone();
    let enough = move || (count.load(Ordering::Relaxed) >= 100).then_some(());
    tokio::task::spawn_blocking(move || wait_for("100 events", enough)).await.unwrap();
    server.process.kill();
    let told = sending.join_all().await;
    let server = Server::start(bureau, "second");
    let mut last = 0;
    for (boxed, kept, open) in told {
        last += kept.len();
        for bytes in kept {
            assert_eq!(post(&boxed, &server.url, &bytes).await, Some(200), "it was acknowledged");
        }
        assert!(matches!(post(&boxed, &server.url, &open).await, Some(200 | 201)));
    }
    assert!(last >= 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill_in_the_middle_of_it_in_a_file() {
    killed_in_the_middle(&Bureau::prepare("")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill_in_the_middle_of_it_on_a_server() {
    let postgres = Postgres::start(FORGETFUL).unwrap();
    killed_in_the_middle(&on_server(&postgres)).await;
}
