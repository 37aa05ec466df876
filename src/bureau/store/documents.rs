//! Documents by digest, each kept once.

use super::postures::seen;
use super::{Store, StoreError, Tx};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::protocol::document::DocumentKind;
use crate::protocol::id::AgentId;
use crate::protocol::posture::Posture;

/// Most documents of one box that no alert names; those named longest ago go.
const MOST_DOCUMENTS: i64 = 32;

/// What became of a document that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is stored and committed.
    Stored,
    /// It was held before.
    Held,
    /// Neither the latest posture of the box nor an event of it names it.
    NotNamed,
    /// The box is suspended: nothing of it is stored.
    Suspended,
}

/// Notes that a posture names documents; which of them are not held.
pub(super) async fn name(
    tx: &mut Tx<'_>,
    posture: &Posture,
    now: WallTime,
) -> Result<Vec<Sha256>, StoreError> {
    let mut missing = Vec::new();
    for (_, digest) in posture.documents() {
        let held = sqlx::query("UPDATE documents SET named_at = $1 WHERE digest = $2")
            .bind(now.as_millis())
            .bind(digest.to_string())
            .execute(&mut **tx)
            .await?;
        if held.rows_affected() == 0 {
            missing.push(digest);
        }
    }
    Ok(missing)
}

/// Whether the latest posture of a box or an event of it names a document.
async fn is_named(tx: &mut Tx<'_>, agent: &AgentId, digest: Sha256) -> Result<bool, StoreError> {
    let posture: Option<Vec<u8>> = sqlx::query_scalar("SELECT body FROM postures WHERE agent = $1")
        .bind(agent.as_str())
        .fetch_optional(&mut **tx)
        .await?;
    let posture: Option<Posture> = posture.and_then(|body| serde_json::from_slice(&body).ok());
    if posture.is_some_and(|p| p.documents().any(|(_, d)| d == digest)) {
        return Ok(true);
    }
    let events: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM named_documents n JOIN events e ON e.id = n.event \
         WHERE n.digest = $1 AND e.agent = $2",
    )
    .bind(digest.to_string())
    .bind(agent.as_str())
    .fetch_one(&mut **tx)
    .await?;
    Ok(events > 0)
}

impl Store {
    /// Keeps a document that `agent` handed in, if something that it said names
    /// the digest: a box cannot fill the store with what nobody asked for. Of what
    /// no alert names, [`MOST_DOCUMENTS`] stay; what goes and is named again is
    /// asked for again.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn keep_document(
        &self,
        agent: &AgentId,
        kind: DocumentKind,
        bytes: &[u8],
        now: WallTime,
    ) -> Result<Kept, StoreError> {
        let digest = Sha256::of(bytes);
        let mut tx = self.pool.begin().await?;
        if !seen(&mut tx, agent, now).await? {
            return Ok(Kept::Suspended);
        }
        if !is_named(&mut tx, agent, digest).await? {
            return Ok(Kept::NotNamed);
        }
        let done = sqlx::query(
            "INSERT INTO documents (digest, kind, body, named_at, agent) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (digest) DO NOTHING",
        )
        .bind(digest.to_string())
        .bind(kind.as_str())
        .bind(bytes)
        .bind(now.as_millis())
        .bind(agent.as_str())
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "DELETE FROM documents WHERE digest IN (SELECT digest FROM documents WHERE agent = $1 \
             AND digest NOT IN (SELECT digest FROM named_documents) \
             ORDER BY (digest = $2) DESC, named_at DESC LIMIT 1000000 OFFSET $3)",
        )
        .bind(agent.as_str())
        .bind(digest.to_string())
        .bind(MOST_DOCUMENTS)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(if done.rows_affected() == 1 { Kept::Stored } else { Kept::Held })
    }

    /// The digests of the documents of a kind that are held, named last first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn document_digests(&self, kind: DocumentKind) -> Result<Vec<Sha256>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT digest FROM documents WHERE kind = $1 ORDER BY named_at DESC, digest LIMIT 50",
        )
        .bind(kind.as_str())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|digest| super::parse("documents", digest)).collect()
    }

    /// The exact bytes of a document.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn document(&self, digest: Sha256) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(sqlx::query_scalar("SELECT body FROM documents WHERE digest = $1")
            .bind(digest.to_string())
            .fetch_optional(&self.pool)
            .await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::retention::Kind;
    use crate::bureau::store::agents::tests::box_with_key;
    use crate::bureau::store::tests::on_both;
    use crate::crypto::sign::{SigningKey, Unverified};
    use crate::protocol::alert::tests::example;
    use crate::protocol::countersign::{Countersigned, Receipt, Received};
    use crate::protocol::id::Epoch;

    const fn at(ms: i64) -> WallTime {
        WallTime::from_millis(ms)
    }

    async fn alert(store: &Store, agent: &AgentId, key: &SigningKey, ms: i64) {
        let event = example(1, None, Epoch::new());
        let bytes = event.to_bytes().unwrap();
        let verified = Unverified::new(&bytes, key.sign(&bytes)).verify(&key.public()).unwrap();
        let (epoch, digest) = (event.chain.epoch, Sha256::of(&bytes));
        let receipt = Receipt::new(Received { agent, epoch, seq: 1, digest }, at(ms), key);
        let agent = store.agent(agent).await.unwrap().unwrap();
        let incoming = store.incoming(&agent, &verified, event, &receipt).unwrap();
        store.insert_events(&[incoming]).await.unwrap();
    }

    #[tokio::test]
    async fn a_document_stays_while_an_alert_names_it_and_then_ends() {
        on_both(async |store| {
            let (new, key) = box_with_key("box-1");
            store.add_agent(&new, at(0)).await.unwrap();
            let keep = async |bytes: &[u8]| {
                store.keep_document(&new.name, DocumentKind::Policy, bytes, at(10)).await.unwrap()
            };
            // The example names the digests of "p", "n" and "c".
            assert_eq!(keep(b"p").await, Kept::NotNamed);
            alert(&store, &new.name, &key, 20).await;
            assert_eq!(
                (keep(b"p").await, keep(b"p").await, keep(b"q").await),
                (Kept::Stored, Kept::Held, Kept::NotNamed)
            );
            store.set_suspended(&new.name, true).await.unwrap();
            assert_eq!(keep(b"n").await, Kept::Suspended);
            let digest = Sha256::of(b"p");
            assert_eq!(store.purge(Kind::Documents, at(99), at(100)).await.unwrap().deleted, 0);
            assert_eq!(store.document(digest).await.unwrap().as_deref(), Some(&b"p"[..]));
            store.purge(Kind::OpenAlerts, at(21), at(100)).await.unwrap();
            assert_eq!(store.purge(Kind::Documents, at(10), at(100)).await.unwrap().deleted, 0);
            assert_eq!(store.purge(Kind::Documents, at(11), at(100)).await.unwrap().deleted, 1);
            assert_eq!(store.document(digest).await.unwrap(), None);
        })
        .await;
    }

    fn posture(policy: Sha256, seq: u64) -> Posture {
        let digest = Sha256::of(b"same");
        serde_json::from_value(serde_json::json!({
            "agent": "box-1", "hospital": "H31010000001", "at": 1, "agent_version": "0.1.0",
            "models": {}, "policy": policy, "calibration": digest, "retention_s": {}, "verdicts": {},
            "outbox_waiting": 0, "outbox_set_aside": 0, "liveness": "off", "troubles": [],
            "audit": {"epoch": "01938a00-0000-7000-8000-000000000000", "seq": seq, "hash": digest},
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn a_box_that_names_ever_new_documents_does_not_fill_the_store() {
        on_both(async |store| {
            let (new, key) = box_with_key("box-1");
            store.add_agent(&new, at(0)).await.unwrap();
            alert(&store, &new.name, &key, 1).await;
            let keep = async |bytes: &[u8], ms| {
                store.keep_document(&new.name, DocumentKind::Policy, bytes, at(ms)).await.unwrap()
            };
            // One that an alert names is not counted, and stays.
            assert_eq!(keep(b"p", 2).await, Kept::Stored);
            let most = u64::try_from(MOST_DOCUMENTS).unwrap();
            for n in 1..=most + 3 {
                let (document, ms) = (format!("document {n}"), 10 + n as i64);
                let posture = posture(Sha256::of(document.as_bytes()), n);
                let bytes = serde_json::to_vec(&posture).unwrap();
                let verified = Unverified::new(&bytes, key.sign(&bytes)).verify(&key.public()).unwrap();
                let head = Countersigned::new(new.name.clone(), posture.audit, at(ms), &key);
                store.keep_posture(&posture, &verified, &head).await.unwrap().unwrap();
                assert_eq!(keep(document.as_bytes(), ms).await, Kept::Stored);
            }
            let held = async |bytes: &[u8]| store.document(Sha256::of(bytes)).await.unwrap().is_some();
            assert!(held(b"p").await);
            for n in 1..=most + 3 {
                assert_eq!(held(format!("document {n}").as_bytes()).await, n > 3, "{n}");
            }
        })
        .await;
    }
}
