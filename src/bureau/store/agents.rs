//! The boxes on record.

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

use super::{Store, StoreError, parse};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::{PublicKey, SignatureError};
use crate::protocol::id::{AgentId, HospitalId};

/// A box to be put on record.
#[derive(Debug, Clone)]
pub struct NewAgent {
    /// Its name.
    pub name: AgentId,
    /// Where it stands.
    pub hospital: HospitalId,
    /// With which its alerts are signed.
    pub public_key: PublicKey,
    /// SHA-256 of the certificate it shows.
    pub certificate: Sha256,
}

/// A box on record.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its name.
    pub name: AgentId,
    /// Where it stands.
    pub hospital: HospitalId,
    /// The newest key with which its alerts are signed.
    pub public_key: PublicKey,
    /// SHA-256 of the newest certificate it shows.
    pub certificate: Sha256,
    /// Whether it is refused for now.
    pub suspended: bool,
    /// When it last sent an event or a posture.
    pub last_seen: Option<WallTime>,
}

/// A box on record, with what its chain looks like.
#[derive(Debug, Clone)]
pub struct AgentSummary {
    /// The box.
    pub agent: Agent,
    /// How many events are held of it.
    pub events: i64,
    /// How many of them have no predecessor here.
    pub gaps: i64,
    /// How many of them have one that expired on the box.
    pub expired: i64,
    /// How many name another predecessor than the one held.
    pub broken: i64,
}

/// What became of a change to the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentChange {
    /// It is done.
    Done,
    /// Adding: name, key or certificate is on record already. Else: there is
    /// no box of that name.
    Refused,
}

impl FromRow<'_, SqliteRow> for Agent {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let name: String = row.try_get("name")?;
        let decode = |e: StoreError| sqlx::Error::Decode(e.into());
        let label = format!("agents/{name}");
        let key: String = row.try_get("public_key")?;
        let key = PublicKey::from_base64(&key).map_err(|e: SignatureError| sqlx::Error::Decode(e.into()))?;
        Ok(Self {
            hospital: parse(&label, row.try_get("hospital")?).map_err(decode)?,
            public_key: key,
            certificate: parse(&label, row.try_get("certificate")?).map_err(decode)?,
            suspended: row.try_get("suspended")?,
            last_seen: row.try_get::<Option<i64>, _>("last_seen")?.map(WallTime::from_millis),
            name: parse(&label, &name).map_err(decode)?,
        })
    }
}

impl Store {
    /// Puts a box on record.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn add_agent(&self, new: &NewAgent, now: WallTime) -> Result<AgentChange, StoreError> {
        let (key, certificate) = (new.public_key.to_base64(), new.certificate.to_string());
        let mut tx = self.pool.begin().await?;
        let added = sqlx::query(
            "INSERT INTO agents (name, hospital, public_key, certificate, added_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        )
        .bind(new.name.as_str())
        .bind(new.hospital.as_str())
        .bind(&key)
        .bind(&certificate)
        .bind(now.as_millis())
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if added == 0 {
            return Ok(AgentChange::Refused);
        }
        // A key that some box had once is not given to another.
        let mut done = 0;
        for (sql, value) in [
            (
                "INSERT INTO agent_keys (public_key, agent, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                &key,
            ),
            (
                "INSERT INTO agent_certificates (certificate, agent, since) VALUES ($1, $2, $3) \
                 ON CONFLICT DO NOTHING",
                &certificate,
            ),
        ] {
            let insert = sqlx::query(sql).bind(value).bind(new.name.as_str()).bind(now.as_millis());
            done += insert.execute(&mut *tx).await?.rows_affected();
        }
        if done != 2 {
            return Ok(AgentChange::Refused);
        }
        tx.commit().await?;
        Ok(AgentChange::Done)
    }

    /// Refuses a box from now on, or hears it again.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn set_suspended(&self, name: &AgentId, suspended: bool) -> Result<AgentChange, StoreError> {
        let done = sqlx::query("UPDATE agents SET suspended = $1 WHERE name = $2")
            .bind(suspended)
            .bind(name.as_str())
            .execute(&self.pool)
            .await?;
        Ok(changed(done.rows_affected()))
    }

    /// The box that shows the certificate with this digest, if that is in
    /// force.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn agent_by_certificate(
        &self,
        certificate: Sha256,
        now: WallTime,
    ) -> Result<Option<Agent>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT * FROM agents WHERE name IN (SELECT agent FROM agent_certificates \
             WHERE certificate = $1 AND (until IS NULL OR until > $2))",
        )
        .bind(certificate.to_string())
        .bind(now.as_millis())
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The box of this name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn agent(&self, name: &AgentId) -> Result<Option<Agent>, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM agents WHERE name = $1")
            .bind(name.as_str())
            .fetch_optional(&self.pool)
            .await?)
    }

    /// Every box on record, by name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn agents(&self) -> Result<Vec<AgentSummary>, StoreError> {
        let agents: Vec<Agent> =
            sqlx::query_as("SELECT * FROM agents ORDER BY name").fetch_all(&self.pool).await?;
        let counts: Vec<(String, String, i64)> =
            sqlx::query_as("SELECT agent, chain, COUNT(*) FROM events GROUP BY agent, chain")
                .fetch_all(&self.pool)
                .await?;
        let count = |agent: &Agent, fits: &dyn Fn(&str) -> bool| -> i64 {
            counts.iter().filter(|(a, c, _)| a == agent.name.as_str() && fits(c)).map(|(.., n)| n).sum()
        };
        Ok(agents
            .into_iter()
            .map(|agent| AgentSummary {
                events: count(&agent, &|_| true),
                gaps: count(&agent, &|c| c == "gap"),
                expired: count(&agent, &|c| c == "expired"),
                broken: count(&agent, &|c| c == "broken"),
                agent,
            })
            .collect())
    }
}

pub(super) fn changed(rows: u64) -> AgentChange {
    if rows == 0 { AgentChange::Refused } else { AgentChange::Done }
}

#[cfg(test)]
pub(in crate::bureau) mod tests {
    use super::*;
    use crate::crypto::sign::SigningKey;

    pub(in crate::bureau) fn box_with_key(name: &str) -> (NewAgent, SigningKey) {
        let key = SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap();
        let new = NewAgent {
            name: name.parse().unwrap(),
            hospital: "H31010000001".parse().unwrap(),
            public_key: key.public(),
            certificate: Sha256::of(name.as_bytes()),
        };
        (new, key)
    }

    #[tokio::test]
    async fn a_box_is_added_once_and_can_be_suspended() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::bureau::store::tests::store(dir.path()).await;
        let (new, _) = box_with_key("box-1");
        let now = WallTime::from_millis(1);
        assert_eq!(store.add_agent(&new, now).await.unwrap(), AgentChange::Done);
        assert_eq!(store.add_agent(&new, now).await.unwrap(), AgentChange::Refused);
        let other_name = NewAgent { name: "box-2".parse().unwrap(), ..new.clone() };
        assert_eq!(store.add_agent(&other_name, now).await.unwrap(), AgentChange::Refused);
        assert_eq!(store.set_suspended(&new.name, true).await.unwrap(), AgentChange::Done);
        assert_eq!(store.set_suspended(&other_name.name, true).await.unwrap(), AgentChange::Refused);
        let found = store.agent_by_certificate(new.certificate, now).await.unwrap().unwrap();
        assert!(found.suspended && found.public_key == new.public_key);
        assert_eq!(store.agents().await.unwrap().len(), 1);
    }
}
