use std::time::Duration;

use super::*;
use crate::bureau::store::agents::tests::box_with_key;
use crate::bureau::store::events::tests::{Bench, chain};
use crate::bureau::store::keys::NewKey;
use crate::bureau::store::tests::on_both;

fn at(ms: i64) -> WallTime {
    WallTime::from_millis(ms)
}

async fn count(store: &Store, table: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM {table}");
    sqlx::query_scalar(made(sql)).fetch_one(&store.pool).await.unwrap()
}

#[tokio::test]
async fn each_of_a_batch_fares_as_if_it_had_come_alone() {
    on_both(async |store| {
        let bench = Bench::new(store).await;
        let events = chain(4, Epoch::new());
        let mut other_bytes = events[0].clone();
        other_bytes.subject = Some("S2".parse().unwrap());
        let mut taken = other_bytes.clone();
        taken.id = AlertId::new();
        let all = [&events[0], &events[3], &events[0], &other_bytes, &taken, &events[2], &events[1]];
        let mut batch = Vec::new();
        for event in all {
            batch.push(bench.incoming(event, 1).await);
        }
        let answers = bench.store.insert_events(&batch).await.unwrap();
        let expected = [
            Insertion::Stored(ChainState::Ok),
            Insertion::Stored(ChainState::Gap),
            Insertion::Duplicate,
            Insertion::OtherBytes,
            Insertion::PlaceTaken(events[0].id),
            Insertion::Stored(ChainState::Gap),
            Insertion::Stored(ChainState::Ok),
        ];
        assert_eq!(answers, expected);
        assert_eq!((count(&bench.store, "events").await, count(&bench.store, "alerts").await), (4, 4));
        assert_eq!(count(&bench.store, "events WHERE chain <> 'ok'").await, 0);
    })
    .await;
}

/// What a box says by a record that has changed since is stored for nobody, and its
/// neighbours in the batch are none the worse for it.
#[tokio::test]
async fn a_record_that_changed_before_the_transaction_is_noticed_in_it() {
    on_both(async |store| {
        let bench = Bench::new(store).await;
        let events = chain(3, Epoch::new());
        let (other, _) = box_with_key("box-2");
        bench.store.add_agent(&other, at(0)).await.unwrap();
        let theirs = {
            let mut one = bench.incoming(&chain(1, Epoch::new())[0], 1).await;
            (one.agent, one.record) =
                (other.name.clone(), (other.public_key.to_base64(), other.certificate.to_string()));
            one
        };
        let (first, second) = (bench.incoming(&events[0], 1).await, bench.incoming(&events[1], 1).await);
        assert!(bench.store.set_suspended(&bench.agent, true).await.is_ok());
        let answers = bench.store.insert_events(&[first, theirs]).await.unwrap();
        assert_eq!(answers, [Insertion::Suspended, Insertion::Stored(ChainState::Ok)]);
        bench.store.set_suspended(&bench.agent, false).await.unwrap();
        let (new, _) = box_with_key("new-keys");
        let rotation = NewKey {
            name: bench.agent.clone(),
            public_key: new.public_key,
            certificate: new.certificate,
            overlap: Duration::from_secs(1),
        };
        bench.store.rotate_agent(&rotation, at(2)).await.unwrap();
        assert_eq!(bench.store.insert_events(&[second]).await.unwrap(), [Insertion::Stale]);
        assert_eq!(count(&bench.store, "events WHERE agent = 'box-1'").await, 0);
        assert_eq!(bench.put(&events[0], 3).await, Insertion::Stored(ChainState::Ok));
    })
    .await;
}
