//! Documents that are handed to boxes, and whether they arrived.

use super::{AgentChange, Store, StoreError, Tx, parse};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::protocol::document::DocumentKind;
use crate::protocol::handout::{Arrived, Handout};
use crate::protocol::id::AgentId;
use crate::protocol::signed::Signed;

/// A document that was handed to a box, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct HandedOut {
    /// Which box.
    pub agent: AgentId,
    /// 1, 2, 3, … for each box.
    pub number: u64,
    /// What it is.
    pub kind: DocumentKind,
    /// SHA-256 of its bytes.
    pub digest: Sha256,
    /// Who handed it out.
    pub by: String,
    /// When.
    pub at: WallTime,
    /// When the box first said that it has it.
    pub arrived_at: Option<WallTime>,
}

type Row = (String, i64, String, String, String, i64, Option<i64>);

fn handed_out((agent, number, kind, digest, by, at, arrived_at): Row) -> Result<HandedOut, StoreError> {
    let label = format!("handouts/{agent}/{number}");
    Ok(HandedOut {
        agent: parse(&label, &agent)?,
        number: number.unsigned_abs(),
        kind: parse(&label, &kind)?,
        digest: parse(&label, &digest)?,
        by,
        at: WallTime::from_millis(at),
        arrived_at: arrived_at.map(WallTime::from_millis),
    })
}

/// Notes which documents a box says have arrived.
pub(super) async fn arrived(
    tx: &mut Tx<'_>,
    agent: &AgentId,
    arrived: &[Arrived],
    now: WallTime,
) -> Result<(), StoreError> {
    for one in arrived {
        sqlx::query(
            "UPDATE handouts SET arrived_at = $1 \
             WHERE agent = $2 AND number = $3 AND digest = $4 AND arrived_at IS NULL",
        )
        .bind(now.as_millis())
        .bind(agent.as_str())
        .bind(i64::try_from(one.number).unwrap_or(i64::MAX))
        .bind(one.digest.to_string())
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

impl Store {
    /// The greatest number of a document that was handed to a box; 0 if none was.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn last_handout(&self, agent: &AgentId) -> Result<u64, StoreError> {
        let last: Option<i64> = sqlx::query_scalar("SELECT MAX(number) FROM handouts WHERE agent = $1")
            .bind(agent.as_str())
            .fetch_one(&self.pool)
            .await?;
        Ok(last.unwrap_or(0).unsigned_abs())
    }

    /// Keeps a document and the signed word that a box is to have it. Refused if
    /// there is no such box, or the number was given out.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn hand_out(
        &self,
        handout: &Handout,
        signed: &Signed,
        body: &[u8],
        by: &str,
    ) -> Result<AgentChange, StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "INSERT INTO handout_files (digest, kind, body, added_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (digest) DO UPDATE SET added_at = excluded.added_at",
        )
        .bind(handout.digest.to_string())
        .bind(handout.kind.as_str())
        .bind(body)
        .bind(handout.at.as_millis())
        .execute(&mut *tx)
        .await?;
        let done = sqlx::query(
            "INSERT INTO handouts (agent, number, kind, digest, document, signature, by_whom, at) \
             SELECT name, $1, $2, $3, $4, $5, $6, $7 FROM agents WHERE name = $8 ON CONFLICT DO NOTHING",
        )
        .bind(i64::try_from(handout.number).unwrap_or(i64::MAX))
        .bind(handout.kind.as_str())
        .bind(handout.digest.to_string())
        .bind(&signed.document)
        .bind(signed.signature.to_string())
        .bind(by)
        .bind(handout.at.as_millis())
        .bind(handout.agent.as_str())
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(AgentChange::Refused);
        }
        tx.commit().await?;
        Ok(AgentChange::Done)
    }

    /// The newest word of each kind to a box.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn handouts_to(&self, agent: &AgentId) -> Result<Vec<Signed>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT document, signature FROM handouts WHERE agent = $1 AND number = \
             (SELECT MAX(number) FROM handouts newest WHERE newest.agent = $1 AND newest.kind = handouts.kind) \
             ORDER BY number",
        )
        .bind(agent.as_str())
        .fetch_all(&self.pool)
        .await?;
        let label = format!("handouts/{agent}");
        rows.into_iter()
            .map(|(document, signature)| Ok(Signed { document, signature: parse(&label, &signature)? }))
            .collect()
    }

    /// The bytes of a document that was handed to this box; nothing for others.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn handout_body(&self, agent: &AgentId, digest: Sha256) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT body FROM handout_files WHERE digest = $1 \
             AND EXISTS (SELECT 1 FROM handouts WHERE handouts.digest = $1 AND agent = $2)",
        )
        .bind(digest.to_string())
        .bind(agent.as_str())
        .fetch_optional(&self.pool)
        .await?)
    }

    /// What was handed out, newest first; of one box or of all.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn handed_out(&self, agent: Option<&AgentId>) -> Result<Vec<HandedOut>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT agent, number, kind, digest, by_whom, at, arrived_at FROM handouts \
             WHERE agent = $1 OR $2 = 1 ORDER BY at DESC, agent, number DESC",
        )
        .bind(agent.map_or("", AgentId::as_str))
        .bind(i64::from(agent.is_none()))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(handed_out).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::retention::Kind;
    use crate::bureau::store::tests::{box_with_key, on_both};
    use crate::protocol::commission::tests::key;
    use crate::protocol::handout::Format;

    const fn at(ms: i64) -> WallTime {
        WallTime::from_millis(ms)
    }

    #[tokio::test]
    async fn the_newest_of_each_kind_is_told_its_bytes_go_to_its_box_alone_and_older_ones_end() {
        on_both(async |store| {
            let (boxed, other) = (box_with_key("box-1").0, box_with_key("box-2").0);
            store.add_agent(&boxed, at(0)).await.unwrap();
            store.add_agent(&other, at(0)).await.unwrap();
            let key = key();
            let hand = async |number, kind, body: &[u8]| {
                let handout = Handout {
                    format: Format::V1,
                    agent: boxed.name.clone(),
                    kind,
                    digest: Sha256::of(body),
                    bytes: body.len() as u64,
                    number,
                    at: at(i64::try_from(number).unwrap()),
                };
                let signed = Signed::sign(&handout, &key).unwrap();
                store.hand_out(&handout, &signed, body, "li").await.unwrap()
            };
            assert_eq!(hand(1, DocumentKind::Calibration, b"one").await, AgentChange::Done);
            assert_eq!(hand(1, DocumentKind::Calibration, b"again").await, AgentChange::Refused);
            assert_eq!(hand(2, DocumentKind::Policy, b"policy").await, AgentChange::Done);
            assert_eq!(hand(3, DocumentKind::Calibration, b"two").await, AgentChange::Done);
            assert_eq!(store.last_handout(&boxed.name).await.unwrap(), 3);
            let told = store.handouts_to(&boxed.name).await.unwrap();
            let read = |s: &Signed| s.read::<Handout>(&key.public(), &boxed.name).unwrap();
            let numbers: Vec<u64> = told.iter().map(|s| read(s).number).collect();
            assert_eq!(numbers, [2, 3]);
            let body = async |name| store.handout_body(name, Sha256::of(b"two")).await.unwrap();
            assert_eq!(
                (body(&boxed.name).await.as_deref(), body(&other.name).await),
                (Some(&b"two"[..]), None)
            );
            assert_eq!(store.purge(Kind::Acts, at(50), at(60)).await.unwrap().deleted, 1);
            assert_eq!(store.purge(Kind::Documents, at(50), at(60)).await.unwrap().deleted, 1);
            assert_eq!(store.handed_out(None).await.unwrap().len(), 2);
            assert!(body(&boxed.name).await.is_some());
        })
        .await;
    }
}
