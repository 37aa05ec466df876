//! Countersigned audit heads: their history, and what does not fit it.
//!
//! Of each box the first head of each hour is held, whatever its epoch; the
//! latest of each of its newest [`MOST_EPOCHS`] epochs; and whatever head a later
//! one contradicted. A head that was kept cannot be taken back by the box, and a
//! box that begins epoch after epoch does not fill the store.

use std::collections::BTreeMap;

use super::{Store, StoreError, Tx, parse};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::protocol::countersign::{Countersigned, HeadFinding, HeadFormat};
use crate::protocol::id::{AgentId, Epoch};
use crate::protocol::posture::AuditHead;

/// Of so many epochs of a box the latest head is held. A new epoch is a
/// re-imaged box: a rare thing.
const MOST_EPOCHS: i64 = 32;
const HOUR_MS: i64 = 3_600_000;

/// A head that does not fit those that a box showed before.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct AuditFinding {
    /// Whose log.
    pub agent: AgentId,
    /// What is wrong with it.
    pub kind: HeadFinding,
    /// The head that was shown before.
    pub held: AuditHead,
    /// The head that was first shown against it.
    pub found: AuditHead,
    /// When that was.
    pub first_at: WallTime,
    /// When such a head was last shown.
    pub last_at: WallTime,
    /// How often.
    pub times: i64,
}

/// Compares a head with those seen before, and keeps it.
pub(super) async fn keep(tx: &mut Tx<'_>, head: &Countersigned) -> Result<Option<HeadFinding>, StoreError> {
    let contradicted = compare(tx, &head.agent, head.audit).await?;
    if let Some((kind, held)) = contradicted {
        note(tx, head, kind, held).await?;
    }
    let (agent, epoch) = (head.agent.as_str(), head.audit.epoch.to_string());
    sqlx::query(
        "DELETE FROM audit_heads WHERE agent = $1 AND kept = FALSE AND (epoch = $2 OR id NOT IN \
         (SELECT id FROM audit_heads WHERE agent = $1 AND kept = FALSE AND epoch <> $2 \
         ORDER BY id DESC LIMIT $3))",
    )
    .bind(agent)
    .bind(&epoch)
    .bind(MOST_EPOCHS - 1)
    .execute(&mut **tx)
    .await?;
    let at = head.received_at.as_millis();
    let hour = at - at.rem_euclid(HOUR_MS);
    sqlx::query(
        "INSERT INTO audit_heads (agent, epoch, seq, hash, received_at, signature, kept) \
         VALUES ($1, $2, $3, $4, $5, $6, NOT EXISTS (SELECT 1 FROM audit_heads \
         WHERE agent = $1 AND received_at >= $7 AND received_at < $8))",
    )
    .bind(agent)
    .bind(&epoch)
    .bind(number(head)?)
    .bind(head.audit.hash.to_string())
    .bind(at)
    .bind(head.signature.to_string())
    .bind(hour)
    .bind(hour.saturating_add(HOUR_MS))
    .execute(&mut **tx)
    .await?;
    Ok(contradicted.map(|(kind, _)| kind))
}

fn number(head: &Countersigned) -> Result<i64, StoreError> {
    i64::try_from(head.audit.seq).map_err(|_| StoreError::Content {
        label: format!("audit_heads/{}", head.agent),
        what: "number too large".into(),
    })
}

/// What was shown before and contradicts this head: a greater number, or the
/// same number with another hash.
async fn compare(
    tx: &mut Tx<'_>,
    agent: &AgentId,
    found: AuditHead,
) -> Result<Option<(HeadFinding, AuditHead)>, StoreError> {
    let seq = i64::try_from(found.seq).unwrap_or(i64::MAX);
    let held: Option<(i64, String)> = sqlx::query_as(
        "SELECT seq, hash FROM audit_heads WHERE agent = $1 AND epoch = $2 \
         AND (seq > $3 OR (seq = $3 AND hash <> $4)) ORDER BY seq DESC, received_at LIMIT 1",
    )
    .bind(agent.as_str())
    .bind(found.epoch.to_string())
    .bind(seq)
    .bind(found.hash.to_string())
    .fetch_optional(&mut **tx)
    .await?;
    let Some((held_seq, hash)) = held else { return Ok(None) };
    let kind = if held_seq > seq { HeadFinding::CutShort } else { HeadFinding::Rewritten };
    let held =
        AuditHead { epoch: found.epoch, seq: held_seq.unsigned_abs(), hash: parse("audit_heads", &hash)? };
    Ok(Some((kind, held)))
}

/// Writes a finding down, once for each head that was contradicted, and holds
/// on to that head.
async fn note(
    tx: &mut Tx<'_>,
    head: &Countersigned,
    kind: HeadFinding,
    held: AuditHead,
) -> Result<(), StoreError> {
    let (agent, epoch, hash) = (head.agent.as_str(), held.epoch.to_string(), held.hash.to_string());
    let held_seq = i64::try_from(held.seq).unwrap_or(i64::MAX);
    sqlx::query(
        "UPDATE audit_heads SET kept = TRUE WHERE agent = $1 AND epoch = $2 AND seq = $3 AND hash = $4",
    )
    .bind(agent)
    .bind(&epoch)
    .bind(held_seq)
    .bind(&hash)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "INSERT INTO audit_findings \
         (agent, kind, epoch, held_seq, held_hash, found_seq, found_hash, first_at, last_at, times) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, 1) \
         ON CONFLICT (agent, kind, epoch, held_seq, held_hash) \
         DO UPDATE SET last_at = excluded.last_at, times = audit_findings.times + 1",
    )
    .bind(agent)
    .bind(kind.as_str())
    .bind(&epoch)
    .bind(held_seq)
    .bind(&hash)
    .bind(number(head)?)
    .bind(head.audit.hash.to_string())
    .bind(head.received_at.as_millis())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

type HeadRow = (String, String, i64, String, i64, String);

fn read(row: HeadRow) -> Result<Countersigned, StoreError> {
    let (agent, epoch, seq, hash, received_at, signature) = row;
    let label = "audit_heads";
    Ok(Countersigned {
        format: HeadFormat::V1,
        agent: parse(label, &agent)?,
        audit: AuditHead {
            epoch: parse(label, &epoch)?,
            seq: seq.unsigned_abs(),
            hash: parse(label, &hash)?,
        },
        received_at: WallTime::from_millis(received_at),
        signature: parse(label, &signature)?,
    })
}

impl Store {
    /// The countersigned heads of a box, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn heads(&self, agent: &AgentId) -> Result<Vec<Countersigned>, StoreError> {
        let rows: Vec<HeadRow> = sqlx::query_as(
            "SELECT agent, epoch, seq, hash, received_at, signature FROM audit_heads \
             WHERE agent = $1 ORDER BY received_at, id",
        )
        .bind(agent.as_str())
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(read).collect()
    }

    /// The heads nearest to a moment: the last up to it, and the first after.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn heads_around(
        &self,
        agent: &AgentId,
        at: WallTime,
    ) -> Result<(Option<Countersigned>, Option<Countersigned>), StoreError> {
        let mut found = Vec::new();
        for sql in [
            "SELECT agent, epoch, seq, hash, received_at, signature FROM audit_heads \
             WHERE agent = $1 AND received_at <= $2 ORDER BY received_at DESC, id DESC LIMIT 1",
            "SELECT agent, epoch, seq, hash, received_at, signature FROM audit_heads \
             WHERE agent = $1 AND received_at > $2 ORDER BY received_at, id LIMIT 1",
        ] {
            let query = sqlx::query_as::<_, HeadRow>(sql).bind(agent.as_str()).bind(at.as_millis());
            found.push(query.fetch_optional(&self.pool).await?.map(read).transpose()?);
        }
        let after = found.pop().flatten();
        Ok((found.pop().flatten(), after))
    }

    /// Of each box that showed more than one epoch, when it first showed the
    /// newest. A box begins one when it is re-imaged; whether it was, people know.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn newer_epochs(&self) -> Result<BTreeMap<AgentId, WallTime>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT agent, MAX(begun) FROM (SELECT agent, epoch, MIN(received_at) AS begun FROM audit_heads \
             GROUP BY agent, epoch) AS epochs GROUP BY agent HAVING COUNT(*) > 1",
        )
        .fetch_all(&self.pool)
        .await?;
        let read =
            |(agent, begun): (String, i64)| Ok((parse("audit_heads", &agent)?, WallTime::from_millis(begun)));
        rows.into_iter().map(read).collect()
    }

    /// When the newest head of each box was countersigned.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn newest_heads(&self) -> Result<BTreeMap<AgentId, WallTime>, StoreError> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT agent, MAX(received_at) FROM audit_heads GROUP BY agent")
                .fetch_all(&self.pool)
                .await?;
        let read =
            |(agent, at): (String, i64)| Ok((parse("audit_heads", &agent)?, WallTime::from_millis(at)));
        rows.into_iter().map(read).collect()
    }

    /// Every finding about audit heads, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn audit_findings(&self) -> Result<Vec<AuditFinding>, StoreError> {
        type Row = (String, String, String, i64, String, i64, String, i64, i64, i64);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT agent, kind, epoch, held_seq, held_hash, found_seq, found_hash, first_at, last_at, times \
             FROM audit_findings ORDER BY last_at DESC",
        )
        .fetch_all(&self.pool)
        .await?;
        let finding = |row: Row| -> Result<AuditFinding, StoreError> {
            let (agent, kind, epoch, held_seq, held_hash, found_seq, found_hash, first_at, last_at, times) =
                row;
            let label = "audit_findings";
            let epoch: Epoch = parse(label, &epoch)?;
            let head = |seq: i64, hash: &str| -> Result<AuditHead, StoreError> {
                let hash: Sha256 = parse(label, hash)?;
                Ok(AuditHead { epoch, seq: seq.unsigned_abs(), hash })
            };
            Ok(AuditFinding {
                agent: parse(label, &agent)?,
                kind: if kind == HeadFinding::CutShort.as_str() {
                    HeadFinding::CutShort
                } else {
                    HeadFinding::Rewritten
                },
                held: head(held_seq, &held_hash)?,
                found: head(found_seq, &found_hash)?,
                first_at: WallTime::from_millis(first_at),
                last_at: WallTime::from_millis(last_at),
                times,
            })
        };
        rows.into_iter().map(finding).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::retention::Kind;
    use crate::bureau::store::agents::tests::box_with_key;
    use crate::bureau::store::tests::on_both;
    use crate::crypto::sign::SigningKey;

    struct Bench {
        store: Store,
        agent: AgentId,
        key: SigningKey,
    }

    impl Bench {
        async fn new(store: Store) -> Self {
            let (new, key) = box_with_key("box-1");
            store.add_agent(&new, WallTime::from_millis(0)).await.unwrap();
            Self { store, agent: new.name, key }
        }

        async fn show(&self, epoch: Epoch, seq: u64, hash: &str, at: i64) -> Option<HeadFinding> {
            let audit = AuditHead { epoch, seq, hash: Sha256::of(hash.as_bytes()) };
            let head = Countersigned::new(self.agent.clone(), audit, WallTime::from_millis(at), &self.key);
            let mut tx = self.store.pool.begin().await.unwrap();
            assert!(super::super::postures::seen(&mut tx, &self.agent, head.received_at).await.unwrap());
            let finding = keep(&mut tx, &head).await.unwrap();
            tx.commit().await.unwrap();
            finding
        }

        async fn numbers(&self) -> Vec<u64> {
            let heads = self.store.heads(&self.agent).await.unwrap();
            assert!(heads.iter().all(|h| h.verify(&self.key.public()).is_ok()));
            heads.iter().map(|h| h.audit.seq).collect()
        }
    }

    #[tokio::test]
    async fn the_first_of_each_hour_and_the_latest_are_kept() {
        on_both(async |store| {
            let bench = Bench::new(store).await;
            let epoch = Epoch::new();
            for minute in 0..150 {
                assert_eq!(
                    bench.show(epoch, minute + 1, &format!("r{minute}"), minute as i64 * 60_000).await,
                    None
                );
            }
            assert_eq!(bench.numbers().await, [1, 61, 121, 150]);
            let (before, after) =
                bench.store.heads_around(&bench.agent, WallTime::from_millis(60 * 60_000)).await.unwrap();
            assert_eq!((before.unwrap().audit.seq, after.unwrap().audit.seq), (61, 121));
            let at = WallTime::from_millis;
            assert_eq!(bench.store.purge(Kind::AuditHeads, at(60 * 60_000), at(1)).await.unwrap().deleted, 1);
            assert_eq!(bench.numbers().await, [61, 121, 150]);
        })
        .await;
    }

    #[tokio::test]
    async fn epoch_after_epoch_does_not_fill_the_store() {
        on_both(async |store| {
            let bench = Bench::new(store).await;
            let first = Epoch::new();
            bench.show(first, 1, "first", 0).await;
            bench.show(first, 2, "its latest", 1).await;
            for n in 3..=32 {
                bench.show(Epoch::new(), n, "one of many", n as i64).await;
            }
            assert_eq!(bench.numbers().await, (1..=32).collect::<Vec<_>>());
            for n in 33..=90 {
                bench.show(Epoch::new(), n, "one of many", n as i64).await;
            }
            let expected: Vec<u64> = std::iter::once(1).chain(59..=90).collect();
            assert_eq!(bench.numbers().await, expected);
        })
        .await;
    }

    #[tokio::test]
    async fn a_log_cut_short_or_rewritten_is_found_and_the_old_head_stays() {
        on_both(async |store| {
            let bench = Bench::new(store).await;
            let epoch = Epoch::new();
            assert_eq!(bench.show(epoch, 10, "ten", 0).await, None);
            assert_eq!(bench.show(epoch, 12, "twelve", 1).await, None);
            assert_eq!(bench.show(epoch, 12, "twelve", 2).await, None);
            assert_eq!(bench.show(epoch, 11, "eleven", 3).await, Some(HeadFinding::CutShort));
            assert_eq!(bench.show(epoch, 12, "other", 4).await, Some(HeadFinding::Rewritten));
            assert_eq!(bench.show(epoch, 13, "thirteen", 5).await, None);
            assert!(bench.store.newer_epochs().await.unwrap().is_empty());
            assert_eq!(bench.show(Epoch::new(), 1, "one", 6).await, None);
            let newer = bench.store.newer_epochs().await.unwrap();
            assert_eq!(newer, BTreeMap::from([(bench.agent.clone(), WallTime::from_millis(6))]));
            let findings = bench.store.audit_findings().await.unwrap();
            assert_eq!(findings.len(), 2);
            assert!(findings.iter().all(|f| f.held.seq == 12 && f.held.hash == Sha256::of(b"twelve")));
            assert!(bench.numbers().await.contains(&12));
            // While it lasts, it is counted and not written again.
            bench.show(epoch, 2, "two", 7).await;
            bench.show(epoch, 3, "three", 8).await;
            let findings = bench.store.audit_findings().await.unwrap();
            assert_eq!(findings.len(), 3);
            assert_eq!((findings[0].held.seq, findings[0].times), (13, 2));
        })
        .await;
    }
}
