//! Alerts and withdrawals, and the chain they form.
//!
//! The chain (number, id, digest, time) stays; the payload, which is about a
//! person, is sealed and goes when its time is over.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::{Store, StoreError, parse};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::{PublicKey, Signature, Unverified, Verified};
use crate::protocol::alert::{Content, Event, Head, Link};
use crate::protocol::id::{AgentId, AlertId, Epoch};

/// How an event fits the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainState {
    /// It names the digest of the event held before it, or is the first.
    Ok,
    /// The event before it is not held.
    Gap,
    /// It names another digest than that of the event held before it.
    Broken,
}

impl ChainState {
    /// The word in the store and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Gap => "gap",
            Self::Broken => "broken",
        }
    }

    fn read(text: &str) -> Self {
        match text {
            "ok" => Self::Ok,
            "gap" => Self::Gap,
            _ => Self::Broken,
        }
    }

    fn of(link: &Link, held_before: Option<Sha256>) -> Self {
        match (link.seq, link.previous, held_before) {
            (1, None, _) => Self::Ok,
            (1, Some(_), _) | (_, None, _) => Self::Broken,
            (_, Some(_), None) => Self::Gap,
            (_, Some(named), Some(held)) if named == held => Self::Ok,
            _ => Self::Broken,
        }
    }
}

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

fn label(id: &str) -> String {
    format!("payloads/{id}")
}

fn number(seq: u64, id: AlertId) -> Result<i64, StoreError> {
    i64::try_from(seq)
        .map_err(|_| StoreError::Content { label: format!("events/{id}"), what: "number too large".into() })
}

const fn kind(content: &Content) -> &'static str {
    match content {
        Content::Mismatch(_) => "mismatch",
        Content::Withdrawn(_) => "withdrawn",
    }
}

impl Store {
    /// Stores an event of `agent`, once; answers after the commit.
    ///
    /// # Errors
    /// If the database fails; nothing is stored then.
    pub async fn insert_event(
        &self,
        agent: &AgentId,
        verified: &Verified<'_>,
        event: &Event,
        now: WallTime,
    ) -> Result<Insertion, StoreError> {
        let digest = Sha256::of(verified.bytes());
        let mut tx = self.pool.begin().await?;
        super::postures::seen(&mut tx, agent, now).await?;
        if let Some(refusal) = seen_before(&mut tx, agent, event, digest).await? {
            return Ok(refusal);
        }
        let chain = ChainState::of(&event.chain, neighbour(&mut tx, agent, event, -1).await?);
        insert_link(&mut tx, agent, event, digest, chain, now).await?;
        let id = event.id.to_string();
        sqlx::query("INSERT INTO payloads (event, sealed, signature) VALUES ($1, $2, $3)")
            .bind(&id)
            .bind(self.seal(&label(&id), verified.bytes())?)
            .bind(verified.signature().to_string())
            .execute(&mut *tx)
            .await?;
        if let Content::Withdrawn(w) = &event.content {
            sqlx::query("INSERT INTO withdrawals (event, agent, alert) VALUES ($1, $2, $3)")
                .bind(&id)
                .bind(agent.as_str())
                .bind(w.alert.to_string())
                .execute(&mut *tx)
                .await?;
        }
        settle_successor(&mut tx, agent, event, digest).await?;
        tx.commit().await?;
        Ok(Insertion::Stored(chain))
    }

    /// The head of a box's newest epoch: the last event before which none is
    /// missing. Nothing if none is held, or the first is missing.
    ///
    /// The newest epoch is the one whose first event came last; a re-imaged
    /// box never sends events of an older one, whatever its clock says.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn head(&self, agent: &AgentId) -> Result<Option<Head>, StoreError> {
        let epoch: Option<String> = sqlx::query_scalar(
            "SELECT epoch FROM events WHERE agent = $1 GROUP BY epoch ORDER BY MIN(arrival) DESC LIMIT 1",
        )
        .bind(agent.as_str())
        .fetch_optional(&self.pool)
        .await?;
        let Some(epoch) = epoch else { return Ok(None) };
        let last: Option<i64> = sqlx::query_scalar(
            "SELECT e.seq FROM events e WHERE e.agent = $1 AND e.epoch = $2 \
             AND EXISTS (SELECT 1 FROM events f WHERE f.agent = e.agent AND f.epoch = e.epoch AND f.seq = 1) \
             AND NOT EXISTS (SELECT 1 FROM events n WHERE n.agent = e.agent AND n.epoch = e.epoch \
                             AND n.seq = e.seq + 1) \
             ORDER BY e.seq LIMIT 1",
        )
        .bind(agent.as_str())
        .bind(&epoch)
        .fetch_optional(&self.pool)
        .await?;
        let epoch: Epoch = parse("events", &epoch)?;
        Ok(last.map(|seq| Head { epoch, seq: seq.unsigned_abs() }))
    }

    /// The alerts that arrived before number `before`, newest first.
    ///
    /// # Errors
    /// If the database fails. A payload that cannot be opened is no error: its
    /// alert is listed without content.
    pub async fn alerts(&self, before: i64, limit: u32) -> Result<Vec<StoredAlert>, StoreError> {
        let rows = sqlx::query(
            "SELECT e.arrival, e.id, e.agent, e.chain, e.received_at, e.digest, p.sealed, p.signature, \
                    a.public_key, \
                    (SELECT MIN(x.received_at) FROM withdrawals w JOIN events x ON x.id = w.event \
                     WHERE w.alert = e.id AND w.agent = e.agent) AS withdrawn_at \
             FROM events e JOIN payloads p ON p.event = e.id JOIN agents a ON a.name = e.agent \
             WHERE e.kind = 'mismatch' AND e.arrival < $1 ORDER BY e.arrival DESC LIMIT $2",
        )
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| self.read_alert(row)).collect()
    }

    fn read_alert(&self, row: &SqliteRow) -> Result<StoredAlert, StoreError> {
        let id: &str = row.try_get("id")?;
        let at = |column: &str| row.try_get::<Option<i64>, _>(column).map(|t| t.map(WallTime::from_millis));
        let bytes = self.key.open(&label(id), row.try_get("sealed")?);
        if let Err(error) = &bytes {
            tracing::error!(alert = id, %error, "a stored alert cannot be opened");
        }
        let bytes = bytes.ok();
        let key = PublicKey::from_base64(row.try_get("public_key")?).ok();
        let signature = row.try_get::<&str, _>("signature")?.parse::<Signature>().ok();
        let signature_valid = match (&bytes, key, signature) {
            (Some(b), Some(k), Some(s)) => Unverified::new(b, s).verify(&k).is_ok(),
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
            event: bytes.and_then(|b| Event::from_bytes(&b).ok()),
        })
    }
}

async fn seen_before(
    tx: &mut Transaction<'_, Sqlite>,
    agent: &AgentId,
    event: &Event,
    digest: Sha256,
) -> Result<Option<Insertion>, StoreError> {
    let same_id: Option<(String, String)> = sqlx::query_as("SELECT agent, digest FROM events WHERE id = $1")
        .bind(event.id.to_string())
        .fetch_optional(&mut **tx)
        .await?;
    if let Some((held_agent, held)) = same_id {
        let same = held_agent == agent.as_str() && held == digest.to_string();
        return Ok(Some(if same { Insertion::Duplicate } else { Insertion::OtherBytes }));
    }
    let same_place: Option<String> =
        sqlx::query_scalar("SELECT id FROM events WHERE agent = $1 AND epoch = $2 AND seq = $3")
            .bind(agent.as_str())
            .bind(event.chain.epoch.to_string())
            .bind(number(event.chain.seq, event.id)?)
            .fetch_optional(&mut **tx)
            .await?;
    same_place.map(|id| parse("events", &id).map(Insertion::PlaceTaken)).transpose()
}

/// The digest of the event `step` places after this one.
async fn neighbour(
    tx: &mut Transaction<'_, Sqlite>,
    agent: &AgentId,
    event: &Event,
    step: i64,
) -> Result<Option<Sha256>, StoreError> {
    let digest: Option<String> =
        sqlx::query_scalar("SELECT digest FROM events WHERE agent = $1 AND epoch = $2 AND seq = $3")
            .bind(agent.as_str())
            .bind(event.chain.epoch.to_string())
            .bind(number(event.chain.seq, event.id)?.saturating_add(step))
            .fetch_optional(&mut **tx)
            .await?;
    digest.map(|d| parse("events", &d)).transpose()
}

async fn insert_link(
    tx: &mut Transaction<'_, Sqlite>,
    agent: &AgentId,
    event: &Event,
    digest: Sha256,
    chain: ChainState,
    now: WallTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO events (id, agent, epoch, seq, digest, previous, kind, chain, received_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(event.id.to_string())
    .bind(agent.as_str())
    .bind(event.chain.epoch.to_string())
    .bind(number(event.chain.seq, event.id)?)
    .bind(digest.to_string())
    .bind(event.chain.previous.map(|p| p.to_string()))
    .bind(kind(&event.content))
    .bind(chain.as_str())
    .bind(now.as_millis())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An event that came before this one, its predecessor, now has it.
async fn settle_successor(
    tx: &mut Transaction<'_, Sqlite>,
    agent: &AgentId,
    event: &Event,
    digest: Sha256,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE events SET chain = CASE WHEN previous = $1 THEN 'ok' ELSE 'broken' END \
         WHERE agent = $2 AND epoch = $3 AND seq = $4 AND chain = 'gap'",
    )
    .bind(digest.to_string())
    .bind(agent.as_str())
    .bind(event.chain.epoch.to_string())
    .bind(number(event.chain.seq, event.id)?.saturating_add(1))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::retention::Kind;
    use crate::bureau::store::agents::tests::box_with_key;
    use crate::crypto::sign::SigningKey;
    use crate::protocol::alert::tests::example;
    use crate::protocol::alert::{WithdrawalReason, Withdrawn};

    struct Bench {
        store: Store,
        agent: AgentId,
        key: SigningKey,
        _dir: tempfile::TempDir,
    }

    impl Bench {
        async fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = crate::bureau::store::tests::store(dir.path()).await;
            let (new, key) = box_with_key("box-1");
            store.add_agent(&new, WallTime::from_millis(0)).await.unwrap();
            Self { store, agent: new.name, key, _dir: dir }
        }

        async fn put(&self, event: &Event, at: i64) -> Insertion {
            let bytes = event.to_bytes().unwrap();
            let verified = Unverified::new(&bytes, self.key.sign(&bytes)).verify(&self.key.public()).unwrap();
            self.store.insert_event(&self.agent, &verified, event, WallTime::from_millis(at)).await.unwrap()
        }

        async fn list(&self) -> Vec<StoredAlert> {
            self.store.alerts(i64::MAX, 100).await.unwrap()
        }
    }

    fn chain(n: u64, epoch: Epoch) -> Vec<Event> {
        let mut previous = None;
        (1..=n)
            .map(|seq| {
                let event = example(seq, previous, epoch);
                previous = Some(Sha256::of(&event.to_bytes().unwrap()));
                event
            })
            .collect()
    }

    fn withdrawal(of: &Event, seq: u64) -> Event {
        let content =
            Content::Withdrawn(Withdrawn { alert: of.id, reason: WithdrawalReason::SettlementCancelled });
        Event { content, ..example(seq, Some(Sha256::of(&of.to_bytes().unwrap())), of.chain.epoch) }
    }

    #[tokio::test]
    async fn an_event_is_stored_once_and_its_place_belongs_to_it() {
        let bench = Bench::new().await;
        let events = chain(1, Epoch::new());
        assert_eq!(bench.put(&events[0], 1).await, Insertion::Stored(ChainState::Ok));
        assert_eq!(bench.put(&events[0], 2).await, Insertion::Duplicate);
        let mut changed = events[0].clone();
        changed.subject = "S2".parse().unwrap();
        assert_eq!(bench.put(&changed, 3).await, Insertion::OtherBytes);
        changed.id = AlertId::new();
        assert_eq!(bench.put(&changed, 4).await, Insertion::PlaceTaken(events[0].id));
        let listed = bench.list().await;
        assert_eq!(listed.len(), 1);
        assert!(listed[0].signature_valid);
        assert_eq!(listed[0].event.as_ref(), Some(&events[0]));
    }

    #[tokio::test]
    async fn a_gap_is_noted_and_closes_when_the_missing_event_comes() {
        let bench = Bench::new().await;
        let epoch = Epoch::new();
        let events = chain(3, epoch);
        assert_eq!(bench.put(&events[0], 1).await, Insertion::Stored(ChainState::Ok));
        assert_eq!(bench.put(&events[2], 2).await, Insertion::Stored(ChainState::Gap));
        assert_eq!(bench.store.head(&bench.agent).await.unwrap(), Some(Head { epoch, seq: 1 }));
        assert_eq!(bench.put(&events[1], 3).await, Insertion::Stored(ChainState::Ok));
        assert_eq!(bench.store.head(&bench.agent).await.unwrap(), Some(Head { epoch, seq: 3 }));
        assert!(bench.list().await.iter().all(|a| a.chain == ChainState::Ok));
        let stranger = example(4, Some(Sha256::of(b"another")), epoch);
        assert_eq!(bench.put(&stranger, 4).await, Insertion::Stored(ChainState::Broken));
    }

    #[tokio::test]
    async fn the_head_is_of_the_newest_epoch_and_none_without_its_first_event() {
        let bench = Bench::new().await;
        assert_eq!(bench.store.head(&bench.agent).await.unwrap(), None);
        for event in chain(2, Epoch::new()) {
            bench.put(&event, 1).await;
        }
        let newer = chain(2, Epoch::new());
        bench.put(&newer[1], 2).await;
        assert_eq!(bench.store.head(&bench.agent).await.unwrap(), None);
        bench.put(&newer[0], 3).await;
        let head = bench.store.head(&bench.agent).await.unwrap();
        assert_eq!(head, Some(Head { epoch: newer[0].chain.epoch, seq: 2 }));
    }

    #[tokio::test]
    async fn a_withdrawal_counts_whichever_comes_first() {
        let bench = Bench::new().await;
        let alert = &chain(1, Epoch::new())[0];
        let back = withdrawal(alert, 2);
        assert_eq!(bench.put(&back, 5).await, Insertion::Stored(ChainState::Gap));
        assert!(bench.list().await.is_empty());
        bench.put(alert, 6).await;
        assert_eq!(bench.list().await[0].withdrawn_at, Some(WallTime::from_millis(5)));
    }

    #[tokio::test]
    async fn what_is_over_its_limit_goes_and_a_late_duplicate_is_still_known() {
        let bench = Bench::new().await;
        let alert = &chain(1, Epoch::new())[0];
        bench.put(alert, 10).await;
        let back = withdrawal(alert, 2);
        bench.put(&back, 5).await;
        let at = WallTime::from_millis;
        assert_eq!(bench.store.purge(Kind::OpenAlerts, at(8), at(100)).await.unwrap(), 0);
        assert!(bench.list().await[0].withdrawn_at.is_some());
        assert_eq!(bench.store.purge(Kind::OpenAlerts, at(11), at(101)).await.unwrap(), 3);
        bench.store.empty_log().await.unwrap();
        assert!(bench.list().await.is_empty());
        assert_eq!(bench.put(alert, 12).await, Insertion::Duplicate);
        let reports = bench.store.purge_reports(10).await.unwrap();
        assert_eq!((reports.len(), reports[0].deleted), (2, 3));
    }

    #[tokio::test]
    async fn nothing_about_a_person_stands_in_the_file() {
        let bench = Bench::new().await;
        bench.put(&chain(1, Epoch::new())[0], 1).await;
        bench.store.empty_log().await.unwrap();
        let file = std::fs::read(bench._dir.path().join("b.db")).unwrap();
        for word in ["P0001", "41250", "w03"] {
            assert!(!file.windows(word.len()).any(|w| w == word.as_bytes()), "{word}");
        }
    }
}
