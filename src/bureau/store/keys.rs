//! The keys and certificates that each box had, with the time they were in
//! force; and the bureau's own public keys.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sqlx::AssertSqlSafe;

use super::{AgentChange, Store, StoreError, Tx};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::PublicKey;
use crate::protocol::id::AgentId;

/// A signing key of a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentKey {
    /// The key.
    pub public_key: PublicKey,
    /// From when it was in force.
    pub since: WallTime,
    /// Until when; none while it is the newest.
    pub until: Option<WallTime>,
}

impl AgentKey {
    /// Whether it is in force at `now`.
    pub fn in_force(&self, now: WallTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Whether something signed at `at` by the box's clock may bear it.
    pub fn signed(&self, at: WallTime) -> bool {
        self.until.is_none_or(|until| at <= until)
    }
}

/// A new key and certificate of a box on record.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Which box.
    pub name: AgentId,
    /// With which its alerts are signed from now on.
    pub public_key: PublicKey,
    /// SHA-256 of the certificate it shows from now on.
    pub certificate: Sha256,
    /// How long the old ones stay good.
    pub overlap: Duration,
}

fn read_key(agent: &str, text: &str) -> Result<PublicKey, StoreError> {
    PublicKey::from_base64(text)
        .map_err(|e| StoreError::Content { label: format!("agent_keys/{agent}"), what: e.to_string() })
}

impl Store {
    /// Every signing key that a box had, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn agent_keys(&self, agent: &AgentId) -> Result<Vec<AgentKey>, StoreError> {
        let rows: Vec<(String, i64, Option<i64>)> = sqlx::query_as(
            "SELECT public_key, since, until FROM agent_keys WHERE agent = $1 ORDER BY since DESC, until",
        )
        .bind(agent.as_str())
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(key, since, until)| {
                Ok(AgentKey {
                    public_key: read_key(agent.as_str(), &key)?,
                    since: WallTime::from_millis(since),
                    until: until.map(WallTime::from_millis),
                })
            })
            .collect()
    }

    /// The same of several boxes, by name, in one question.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) async fn keys_of(
        &self,
        agents: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Vec<AgentKey>>, StoreError> {
        let mut keys: BTreeMap<String, Vec<AgentKey>> = BTreeMap::new();
        if agents.is_empty() {
            return Ok(keys);
        }
        let places: Vec<String> = (1..=agents.len()).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT agent, public_key, since, until FROM agent_keys WHERE agent IN ({}) \
             ORDER BY since DESC, until",
            places.join(", ")
        );
        let mut query = sqlx::query_as::<_, (String, String, i64, Option<i64>)>(AssertSqlSafe(sql));
        for agent in agents {
            query = query.bind(agent.as_str());
        }
        for (agent, key, since, until) in query.fetch_all(&self.pool).await? {
            let key = AgentKey {
                public_key: read_key(&agent, &key)?,
                since: WallTime::from_millis(since),
                until: until.map(WallTime::from_millis),
            };
            keys.entry(agent).or_default().push(key);
        }
        Ok(keys)
    }

    /// Gives a box a new key and certificate; those before it, older ones too,
    /// end after the overlap or when they would have ended, whichever is sooner.
    /// Refused if there is no such box, or one of the two is on record.
    ///
    /// # Errors
    /// If the database fails; nothing is changed then.
    pub async fn rotate_agent(&self, new: &NewKey, now: WallTime) -> Result<AgentChange, StoreError> {
        let (key, certificate) = (new.public_key.to_base64(), new.certificate.to_string());
        let rotation =
            Rotation { name: &new.name, key: &key, certificate: &certificate, until: now.plus(new.overlap) };
        let mut tx = self.pool.begin().await?;
        if !rotate(&mut tx, &rotation, now).await? {
            return Ok(AgentChange::Refused);
        }
        tx.commit().await?;
        Ok(AgentChange::Done)
    }

    /// Notes with which key the bureau signs from now on.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn note_bureau_key(&self, key: &PublicKey, now: WallTime) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO bureau_keys (public_key, since) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(key.to_base64())
            .bind(now.as_millis())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Every key that the bureau has signed with, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn bureau_keys(&self) -> Result<Vec<PublicKey>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar("SELECT public_key FROM bureau_keys ORDER BY since DESC")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|key| read_key("bureau", key)).collect()
    }
}

/// A new key and certificate, as text.
pub(super) struct Rotation<'a> {
    /// Which box.
    pub(super) name: &'a AgentId,
    /// Its new key.
    pub(super) key: &'a str,
    /// Its new certificate.
    pub(super) certificate: &'a str,
    /// When the old ones end.
    pub(super) until: WallTime,
}

/// Gives a box a new key and certificate; whether there is such a box, and neither
/// was on record. If not, the transaction must not be committed.
pub(super) async fn rotate(tx: &mut Tx<'_>, new: &Rotation<'_>, now: WallTime) -> Result<bool, StoreError> {
    let name = new.name.as_str();
    // Ends what was in force. An end that was set before can be brought forward
    // (a key that was stolen within its overlap), and is never put off.
    for sql in [
        "UPDATE agent_keys SET until = $1 WHERE agent = $2 AND (until IS NULL OR until > $1)",
        "UPDATE agent_certificates SET until = $1 WHERE agent = $2 AND (until IS NULL OR until > $1)",
    ] {
        sqlx::query(sql).bind(new.until.as_millis()).bind(name).execute(&mut **tx).await?;
    }
    let mut done = 0;
    for (sql, value) in [
        (
            "INSERT INTO agent_keys (public_key, agent, since) \
             SELECT $1, name, $2 FROM agents WHERE name = $3 ON CONFLICT DO NOTHING",
            new.key,
        ),
        (
            "INSERT INTO agent_certificates (certificate, agent, since) \
             SELECT $1, name, $2 FROM agents WHERE name = $3 ON CONFLICT DO NOTHING",
            new.certificate,
        ),
    ] {
        let insert = sqlx::query(sql).bind(value).bind(now.as_millis()).bind(name);
        done += insert.execute(&mut **tx).await?.rows_affected();
    }
    if done != 2 {
        return Ok(false);
    }
    let update = sqlx::query("UPDATE agents SET public_key = $1, certificate = $2 WHERE name = $3");
    let done = update.bind(new.key).bind(new.certificate).bind(name).execute(&mut **tx).await?;
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::store::agents::tests::box_with_key;
    use crate::bureau::store::tests::on_both;

    #[tokio::test]
    async fn a_new_key_leaves_the_old_one_good_for_the_overlap() {
        on_both(async |store| {
            let (old, _) = box_with_key("box-1");
            let (other, _) = box_with_key("box-2");
            let at = WallTime::from_millis;
            store.add_agent(&old, at(10)).await.unwrap();
            let new = NewKey {
                name: old.name.clone(),
                public_key: other.public_key.clone(),
                certificate: other.certificate,
                overlap: Duration::from_millis(5),
            };
            assert_eq!(store.rotate_agent(&new, at(20)).await.unwrap(), AgentChange::Done);
            let keys = store.agent_keys(&old.name).await.unwrap();
            let read: Vec<_> = keys.iter().map(|k| (&k.public_key, k.since, k.until)).collect();
            assert_eq!(read, [(&other.public_key, at(20), None), (&old.public_key, at(10), Some(at(25)))]);
            assert!(keys[1].in_force(at(24)) && !keys[1].in_force(at(25)));
            for (certificate, now, known) in
                [(old.certificate, 24, true), (old.certificate, 25, false), (other.certificate, 99, true)]
            {
                let found = store.agent_by_certificate(certificate, at(now)).await.unwrap();
                assert_eq!(found.is_some(), known, "{now}");
            }
            // A key of another box, or the same again, is refused and changes nothing.
            assert_eq!(store.rotate_agent(&new, at(30)).await.unwrap(), AgentChange::Refused);
            assert_eq!(store.agent_keys(&old.name).await.unwrap(), keys);
            assert_eq!(store.add_agent(&other, at(31)).await.unwrap(), AgentChange::Refused);
            let nobody = NewKey { name: "box-9".parse().unwrap(), ..new };
            assert_eq!(store.rotate_agent(&nobody, at(30)).await.unwrap(), AgentChange::Refused);
        })
        .await;
    }

    #[tokio::test]
    async fn a_later_rotation_shortens_the_overlap_of_older_keys_and_never_lengthens_it() {
        on_both(async |store| {
            let boxes = ["box-1", "two", "three", "four"].map(|name| box_with_key(name).0);
            let at = WallTime::from_millis;
            store.add_agent(&boxes[0], at(0)).await.unwrap();
            for (n, now, overlap) in [(1, 10, 100), (2, 20, 0), (3, 30, 500)] {
                let new = NewKey {
                    name: boxes[0].name.clone(),
                    public_key: boxes[n].public_key.clone(),
                    certificate: boxes[n].certificate,
                    overlap: Duration::from_millis(overlap),
                };
                assert_eq!(store.rotate_agent(&new, at(now)).await.unwrap(), AgentChange::Done);
            }
            let keys = store.agent_keys(&boxes[0].name).await.unwrap();
            let ends: Vec<_> = keys.iter().map(|k| k.until).collect();
            assert_eq!(ends, [None, Some(at(530)), Some(at(20)), Some(at(20))]);
            let known =
                async |n: usize| store.agent_by_certificate(boxes[n].certificate, at(20)).await.unwrap();
            assert!(known(0).await.is_none() && known(1).await.is_none() && known(2).await.is_some());
        })
        .await;
    }
}
