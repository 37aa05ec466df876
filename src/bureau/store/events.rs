//! Alerts, withdrawals and expiries, and the chain they form.
//!
//! The chain (number, id, digest, time) stays; the payload, which is about a
//! person, is sealed and goes when its time is over.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row;

use super::chain::ChainState;
use super::{AgentKey, DbRow, Store, StoreError, parse};
use crate::clock::WallTime;
use crate::crypto::sign::{Signature, Unverified};
use crate::protocol::alert::{Content, Event};
use crate::protocol::id::{AgentId, AlertId};

/// What became of an event that was handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Insertion {
    /// It is stored and committed.
    Stored(ChainState),
    /// The same bytes were stored before.
    Duplicate,
    /// Its id was used before, for other bytes.
    OtherBytes,
    /// Its place in the chain holds another event.
    PlaceTaken(AlertId),
    /// The box is suspended: nothing of it is stored.
    Suspended,
    /// The box's record has changed since its caller was looked up: nothing is stored,
    /// and the caller has to be looked up anew.
    Stale,
}

/// An alert as it is held.
pub struct StoredAlert {
    /// Its number by arrival, over all boxes.
    pub arrival: i64,
    /// Its id.
    pub id: AlertId,
    /// Who sent it.
    pub agent: AgentId,
    /// When it came.
    pub received_at: WallTime,
    /// When a withdrawal of it came.
    pub withdrawn_at: Option<WallTime>,
    /// How it fits the event before it.
    pub chain: ChainState,
    /// Whether the held bytes open, and bear the box's signature, today.
    pub signature_valid: bool,
    /// What it says; nothing if its bytes cannot be opened or read.
    pub event: Option<Event>,
}

pub(super) fn label(id: &str) -> String {
    format!("payloads/{id}")
}

pub(super) fn number(seq: u64, id: AlertId) -> Result<i64, StoreError> {
    i64::try_from(seq)
        .map_err(|_| StoreError::Content { label: format!("events/{id}"), what: "number too large".into() })
}

pub(super) const fn kind(content: &Content) -> &'static str {
    match content {
        Content::Mismatch(_) => "mismatch",
        Content::Absent(_) => "absent",
        Content::Withdrawn(_) => "withdrawn",
        Content::Expired(_) => "expired",
    }
}

impl Store {
    /// The alerts that arrived before number `before`, newest first.
    ///
    /// # Errors
    /// If the database fails. A payload that cannot be opened is no error: its
    /// alert is listed without content.
    pub async fn alerts(&self, before: i64, limit: u32) -> Result<Vec<StoredAlert>, StoreError> {
        let rows = sqlx::query(
            "SELECT e.arrival, e.id, e.agent, e.chain, e.received_at, e.digest, p.sealed, p.signature, \
                    (SELECT MIN(x.received_at) FROM withdrawals w JOIN events x ON x.id = w.event \
                     WHERE w.alert = e.id AND w.agent = e.agent) AS withdrawn_at \
             FROM events e JOIN payloads p ON p.event = e.id \
             WHERE e.kind IN ('mismatch', 'absent') AND e.arrival < $1 ORDER BY e.arrival DESC LIMIT $2",
        )
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        let keys = self.signing_keys(&rows).await?;
        rows.iter().map(|row| self.read_alert(row, &keys)).collect()
    }

    /// The keys of the boxes that rows of alerts name.
    pub(super) async fn signing_keys(
        &self,
        rows: &[DbRow],
    ) -> Result<BTreeMap<String, Vec<AgentKey>>, StoreError> {
        let agents: Result<BTreeSet<String>, _> = rows.iter().map(|row| row.try_get("agent")).collect();
        self.keys_of(&agents?).await
    }

    /// Reads a row with an alert's number, id, box and times, its payload and signature.
    pub(super) fn read_alert(
        &self,
        row: &DbRow,
        keys: &BTreeMap<String, Vec<AgentKey>>,
    ) -> Result<StoredAlert, StoreError> {
        let id: &str = row.try_get("id")?;
        let at = |column: &str| row.try_get::<Option<i64>, _>(column).map(|t| t.map(WallTime::from_millis));
        let bytes = self.key.open(&label(id), row.try_get("sealed")?);
        if let Err(error) = &bytes {
            tracing::error!(alert = id, %error, "a stored alert cannot be opened");
        }
        let bytes = bytes.ok();
        let signature = row.try_get::<&str, _>("signature")?.parse::<Signature>().ok();
        let event = bytes.as_ref().and_then(|b| Event::from_bytes(b).ok());
        let keys = keys.get(row.try_get::<&str, _>("agent")?).map(Vec::as_slice).unwrap_or_default();
        let signature_valid = match (&bytes, &event, signature) {
            (Some(b), Some(e), Some(s)) => keys
                .iter()
                .find(|k| k.public_key.id() == *s.key() && k.signed(e.signed_at()))
                .is_some_and(|k| Unverified::new(b, s).verify(&k.public_key).is_ok()),
            _ => false,
        };
        Ok(StoredAlert {
            arrival: row.try_get("arrival")?,
            id: parse("events", id)?,
            agent: parse("events", row.try_get("agent")?)?,
            received_at: WallTime::from_millis(row.try_get("received_at")?),
            withdrawn_at: at("withdrawn_at")?,
            chain: ChainState::read(row.try_get("chain")?),
            signature_valid,
            event,
        })
    }
}

#[cfg(test)]
pub(in crate::bureau) mod tests {
    use super::*;
    use crate::bureau::retention::Kind;
    use crate::bureau::store::Incoming;
    use crate::bureau::store::agents::tests::box_with_key;
    use crate::bureau::store::tests::on_both;
    use crate::crypto::Sha256;
    use crate::crypto::sign::SigningKey;
    use crate::protocol::alert::tests::example;
    use crate::protocol::alert::{Expired, Head, WithdrawalReason, Withdrawn};
    use crate::protocol::countersign::{Receipt, Received};
    use crate::protocol::id::Epoch;

    pub(in crate::bureau) struct Bench {
        pub(in crate::bureau) store: Store,
        pub(in crate::bureau) agent: AgentId,
        pub(in crate::bureau) key: SigningKey,
    }

    impl Bench {
        pub(in crate::bureau) async fn new(store: Store) -> Self {
            let (new, key) = box_with_key("box-1");
            store.add_agent(&new, WallTime::from_millis(0)).await.unwrap();
            Self { store, agent: new.name, key }
        }

        pub(in crate::bureau) async fn put(&self, event: &Event, at: i64) -> Insertion {
            let incoming = self.incoming(event, at).await;
            self.store.insert_events(&[incoming]).await.unwrap().remove(0)
        }

        /// An event of the box, by its record as it is now.
        pub(in crate::bureau) async fn incoming(&self, event: &Event, at: i64) -> Incoming {
            let bytes = event.to_bytes().unwrap();
            let verified = Unverified::new(&bytes, self.key.sign(&bytes)).verify(&self.key.public()).unwrap();
            let received = Received {
                agent: &self.agent,
                epoch: event.chain.epoch,
                seq: event.chain.seq,
                digest: Sha256::of(&bytes),
            };
            let receipt = Receipt::new(received, WallTime::from_millis(at), &self.key);
            let agent = self.store.agent(&self.agent).await.unwrap().unwrap();
            self.store.incoming(&agent, &verified, event.clone(), &receipt).unwrap()
        }

        async fn head(&self) -> Option<Head> {
            self.store.holdings(&self.agent).await.unwrap().head
        }

        async fn list(&self) -> Vec<StoredAlert> {
            self.store.alerts(i64::MAX, 100).await.unwrap()
        }
    }

    pub(in crate::bureau) fn chain(n: u64, epoch: Epoch) -> Vec<Event> {
        let mut previous = None;
        (1..=n)
            .map(|seq| {
                let event = example(seq, previous, epoch);
                previous = Some(Sha256::of(&event.to_bytes().unwrap()));
                event
            })
            .collect()
    }

    pub(in crate::bureau) fn withdrawal(of: &Event, seq: u64) -> Event {
        let content =
            Content::Withdrawn(Withdrawn { alert: of.id, reason: WithdrawalReason::SettlementCancelled });
        Event { content, ..example(seq, Some(Sha256::of(&of.to_bytes().unwrap())), of.chain.epoch) }
    }

    #[tokio::test]
    async fn an_event_is_stored_once_and_its_place_belongs_to_it() {
        on_both(async |store| {
            let bench = Bench::new(store).await;
            let events = chain(1, Epoch::new());
            assert_eq!(bench.put(&events[0], 1).await, Insertion::Stored(ChainState::Ok));
            assert_eq!(bench.put(&events[0], 2).await, Insertion::Duplicate);
            let mut changed = events[0].clone();
            changed.subject = Some("S2".parse().unwrap());
            assert_eq!(bench.put(&changed, 3).await, Insertion::OtherBytes);
            changed.id = AlertId::new();
            assert_eq!(bench.put(&changed, 4).await, Insertion::PlaceTaken(events[0].id));
            let listed = bench.list().await;
            assert_eq!(listed.len(), 1);
            assert!(listed[0].signature_valid);
            assert_eq!(listed[0].event.as_ref(), Some(&events[0]));
        })
        .await;
    }

    #[tokio::test]
    async fn a_gap_is_noted_and_closes_when_the_missing_event_comes() {
        on_both(async |store| {
            let bench = Bench::new(store).await;
            let epoch = Epoch::new();
            let events = chain(3, epoch);
            assert_eq!(bench.put(&events[0], 1).await, Insertion::Stored(ChainState::Ok));
            assert_eq!(bench.put(&events[2], 2).await, Insertion::Stored(ChainState::Gap));
            assert_eq!(bench.head().await, Some(Head { epoch, seq: 1 }));
            assert_eq!(bench.put(&events[1], 3).await, Insertion::Stored(ChainState::Ok));
            assert_eq!(bench.head().await, Some(Head { epoch, seq: 3 }));
            assert!(bench.list().await.iter().all(|a| a.chain == ChainState::Ok));
            let stranger = example(4, Some(Sha256::of(b"another")), epoch);
            assert_eq!(bench.put(&stranger, 4).await, Insertion::Stored(ChainState::Broken));
        })
        .await;
    }

    fn expired(gone: &Event, seq: u64, after: &Event) -> Event {
        let digest = Sha256::of(&gone.to_bytes().unwrap());
        let data = Expired { alert: gone.id, seq: gone.chain.seq, digest };
        let previous = Some(Sha256::of(&after.to_bytes().unwrap()));
        Event { subject: None, content: Content::Expired(data), ..example(seq, previous, gone.chain.epoch) }
    }

    #[tokio::test]
    async fn a_place_that_expired_on_the_box_is_no_gap_whichever_comes_first() {
        for early in [false, true] {
            on_both(async |store| {
                let bench = Bench::new(store).await;
                let events = chain(3, Epoch::new());
                let word = expired(&events[1], 4, &events[2]);
                bench.put(&events[0], 1).await;
                let (a, b) = if early { (&word, &events[2]) } else { (&events[2], &word) };
                bench.put(a, 2).await;
                bench.put(b, 3).await;
                let states: Vec<_> = bench
                    .list()
                    .await
                    .iter()
                    .map(|a| (a.event.as_ref().unwrap().chain.seq, a.chain))
                    .collect();
                assert!(states.contains(&(3, ChainState::Expired)), "{states:?}");
                assert_eq!(bench.head().await.unwrap().seq, 4);
                let boxes = bench.store.agents().await.unwrap();
                assert_eq!((boxes[0].gaps, boxes[0].expired), (0, 1));
                // The event itself, should it come after all, is worth more.
                bench.put(&events[1], 4).await;
                assert!(bench.list().await.iter().all(|a| a.chain == ChainState::Ok));
            })
            .await;
        }
    }

    #[tokio::test]
    async fn an_expiry_with_another_digest_does_not_explain_a_gap() {
        on_both(async |store| {
            let bench = Bench::new(store).await;
            let events = chain(3, Epoch::new());
            bench.put(&events[0], 1).await;
            bench.put(&events[2], 2).await;
            let mut word = expired(&events[1], 4, &events[2]);
            let Content::Expired(data) = &mut word.content else { panic!() };
            data.digest = Sha256::of(b"another");
            bench.put(&word, 3).await;
            let third = bench.list().await.into_iter().find(|a| a.id == events[2].id).unwrap();
            assert_eq!(third.chain, ChainState::Broken);
        })
        .await;
    }

    #[tokio::test]
    async fn the_head_is_of_the_newest_epoch_and_none_without_its_first_event() {
        on_both(async |store| {
            let bench = Bench::new(store).await;
            assert_eq!(bench.head().await, None);
            for event in chain(2, Epoch::new()) {
                bench.put(&event, 1).await;
            }
            let newer = chain(2, Epoch::new());
            bench.put(&newer[1], 2).await;
            assert_eq!(bench.head().await, None);
            bench.put(&newer[0], 3).await;
            let head = bench.head().await;
            assert_eq!(head, Some(Head { epoch: newer[0].chain.epoch, seq: 2 }));
        })
        .await;
    }

    #[tokio::test]
    async fn a_withdrawal_counts_whichever_comes_first() {
        on_both(async |store| {
            let bench = Bench::new(store).await;
            let alert = &chain(1, Epoch::new())[0];
            let back = withdrawal(alert, 2);
            assert_eq!(bench.put(&back, 5).await, Insertion::Stored(ChainState::Gap));
            assert!(bench.list().await.is_empty());
            bench.put(alert, 6).await;
            assert_eq!(bench.list().await[0].withdrawn_at, Some(WallTime::from_millis(5)));
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_over_its_limit_goes_and_a_late_duplicate_is_still_known() {
        on_both(async |store| {
            let bench = Bench::new(store).await;
            let alert = &chain(1, Epoch::new())[0];
            bench.put(alert, 10).await;
            let back = withdrawal(alert, 2);
            bench.put(&back, 5).await;
            let at = WallTime::from_millis;
            assert_eq!(bench.store.purge(Kind::OpenAlerts, at(8), at(100)).await.unwrap().deleted, 0);
            assert!(bench.list().await[0].withdrawn_at.is_some());
            assert_eq!(bench.store.purge(Kind::OpenAlerts, at(11), at(101)).await.unwrap().deleted, 3);
            bench.store.empty_log().await.unwrap();
            assert!(bench.list().await.is_empty());
            assert_eq!(bench.put(alert, 12).await, Insertion::Duplicate);
            let reports = bench.store.purge_reports(10).await.unwrap();
            assert_eq!((reports.len(), reports[0].deleted), (2, 3));
        })
        .await;
    }

    #[tokio::test]
    async fn withdrawals_that_name_each_other_do_not_stay_for_ever() {
        on_both(async |store| {
            let bench = Bench::new(store).await;
            let first = &chain(1, Epoch::new())[0];
            let mut one = withdrawal(first, 2);
            let other = withdrawal(&one, 3);
            let Content::Withdrawn(data) = &mut one.content else { panic!() };
            data.alert = other.id;
            bench.put(&one, 5).await;
            bench.put(&other, 6).await;
            let at = WallTime::from_millis;
            let done = bench.store.purge(Kind::OpenAlerts, at(6), at(100)).await.unwrap();
            // Each counts twice: as a withdrawal and as its payload.
            assert_eq!((done.deleted, done.oldest_deleted, done.oldest_left), (2, Some(at(5)), Some(at(6))));
            let done = bench.store.purge(Kind::OpenAlerts, at(7), at(101)).await.unwrap();
            assert_eq!((done.deleted, done.oldest_left), (2, None));
        })
        .await;
    }

    #[tokio::test]
    async fn a_word_of_expiry_is_seen_among_what_is_held() {
        on_both(async |store| {
            let bench = Bench::new(store).await;
            let events = chain(2, Epoch::new());
            bench.put(&expired(&events[0], 3, &events[1]), 5).await;
            let at = WallTime::from_millis;
            let done = bench.store.purge(Kind::OpenAlerts, at(5), at(100)).await.unwrap();
            assert_eq!((done.deleted, done.oldest_left), (0, Some(at(5))));
        })
        .await;
    }

    #[tokio::test]
    async fn a_box_that_was_suspended_meanwhile_is_not_heard() {
        on_both(async |store| {
            let bench = Bench::new(store).await;
            let alert = &chain(1, Epoch::new())[0];
            bench.store.set_suspended(&bench.agent, true).await.unwrap();
            assert_eq!(bench.put(alert, 10).await, Insertion::Suspended);
            assert!(bench.list().await.is_empty());
            assert_eq!(bench.store.agent(&bench.agent).await.unwrap().unwrap().last_seen, None);
            bench.store.set_suspended(&bench.agent, false).await.unwrap();
            assert_eq!(bench.put(alert, 11).await, Insertion::Stored(ChainState::Ok));
        })
        .await;
    }

    #[tokio::test]
    async fn nothing_about_a_person_stands_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::new(crate::bureau::store::tests::store(dir.path()).await).await;
        bench.put(&chain(1, Epoch::new())[0], 1).await;
        bench.store.empty_log().await.unwrap();
        let file = std::fs::read(dir.path().join("b.db")).unwrap();
        for word in ["P0001", "\"S1\"", "41250"] {
            assert!(!file.windows(word.len()).any(|w| w == word.as_bytes()), "{word}");
        }
    }
}
