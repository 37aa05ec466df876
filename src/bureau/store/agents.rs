//! The boxes on record.

use sqlx::{FromRow, Row};

use super::{DbRow, Store, StoreError, Tx, parse};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::{PublicKey, SignatureError};
use crate::crypto::transform::TransformKey;
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
    /// When it last sent an event, a posture or a document.
    pub last_seen: Option<WallTime>,
    /// Which transform its references are under.
    pub transform: TransformIssue,
}

/// Which transform a box's references are under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransformIssue {
    /// How often one was issued, from 1.
    pub version: u32,
    /// The issue's own id; empty for the first one of boxes that were on record
    /// before there were transforms.
    issue: String,
}

impl TransformIssue {
    /// How often one was issued, and the issue's own id.
    pub(super) fn parts(&self) -> (u32, &str) {
        (self.version, &self.issue)
    }
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
    /// Adding: name, key or certificate is on record already. Withdrawing a
    /// policy: none is declared. Else: there is no box of that name.
    Refused,
}

impl AgentChange {
    pub(super) fn of(rows: u64) -> Self {
        if rows == 0 { Self::Refused } else { Self::Done }
    }
}

/// Boxes as [`Agent`] reads them.
macro_rules! boxes {
    ($which:literal) => {
        concat!(
            "SELECT name, hospital, public_key, certificate, last_seen, transform_version, transform_issue, \
             CASE WHEN suspended THEN 1 ELSE 0 END AS is_suspended FROM agents ",
            $which
        )
    };
}

/// Reads how often a transform was issued.
fn version(label: &str, found: i64) -> Result<u32, StoreError> {
    let what = |_| StoreError::Content { label: label.into(), what: format!("transform version {found}") };
    u32::try_from(found).map_err(what)
}

impl FromRow<'_, DbRow> for Agent {
    fn from_row(row: &DbRow) -> Result<Self, sqlx::Error> {
        let name: String = row.try_get("name")?;
        let decode = |e: StoreError| sqlx::Error::Decode(e.into());
        let label = format!("agents/{name}");
        let key: String = row.try_get("public_key")?;
        let key = PublicKey::from_base64(&key).map_err(|e: SignatureError| sqlx::Error::Decode(e.into()))?;
        Ok(Self {
            hospital: parse(&label, row.try_get("hospital")?).map_err(decode)?,
            public_key: key,
            certificate: parse(&label, row.try_get("certificate")?).map_err(decode)?,
            suspended: row.try_get::<i64, _>("is_suspended")? != 0,
            last_seen: row.try_get::<Option<i64>, _>("last_seen")?.map(WallTime::from_millis),
            transform: TransformIssue {
                version: version(&label, row.try_get("transform_version")?).map_err(decode)?,
                issue: row.try_get("transform_issue")?,
            },
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
        if !enter(&mut tx, (&new.name, &new.hospital), (&key, &certificate), now).await? {
            return Ok(AgentChange::Refused);
        }
        tx.commit().await?;
        Ok(AgentChange::Done)
    }

    /// Issues a new transform to a box; `None` if there is no such box. From
    /// now on its references are under that.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn reissue_transform(&self, name: &AgentId) -> Result<Option<TransformIssue>, StoreError> {
        let row: Option<(i64, String)> = sqlx::query_as(
            "UPDATE agents SET transform_version = transform_version + 1, transform_issue = $1 \
             WHERE name = $2 RETURNING transform_version, transform_issue",
        )
        .bind(new_issue())
        .bind(name.as_str())
        .fetch_optional(&self.pool)
        .await?;
        let label = format!("agents/{name}");
        row.map(|(n, issue)| Ok(TransformIssue { version: version(&label, n)?, issue })).transpose()
    }

    /// The key of the transform that a box's references are under.
    ///
    /// # Errors
    /// If the crypto library fails.
    pub fn transform_key(&self, agent: &Agent) -> Result<TransformKey, StoreError> {
        let TransformIssue { version, issue } = &agent.transform;
        TransformKey::derive(&self.transforms, &[agent.name.as_str(), &version.to_string(), issue])
            .map_err(|e| StoreError::Content { label: format!("agents/{}", agent.name), what: e.to_string() })
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
        Ok(AgentChange::of(done.rows_affected()))
    }

    /// When a certificate's time ends, if that is known.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn certificate_end(&self, certificate: Sha256) -> Result<Option<WallTime>, StoreError> {
        let until: Option<Option<i64>> =
            sqlx::query_scalar("SELECT until FROM agent_certificates WHERE certificate = $1")
                .bind(certificate.to_string())
                .fetch_optional(&self.pool)
                .await?;
        Ok(until.flatten().map(WallTime::from_millis))
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
        Ok(sqlx::query_as(boxes!(
            "WHERE name IN (SELECT agent FROM agent_certificates \
             WHERE certificate = $1 AND (until IS NULL OR until > $2))"
        ))
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
        Ok(sqlx::query_as(boxes!("WHERE name = $1")).bind(name.as_str()).fetch_optional(&self.pool).await?)
    }

    /// Every box on record, by name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn boxes(&self) -> Result<Vec<Agent>, StoreError> {
        Ok(sqlx::query_as(boxes!("ORDER BY name")).fetch_all(&self.pool).await?)
    }

    /// Every box on record, by name, with what its chain looks like: every event is
    /// counted for that.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn agents(&self) -> Result<Vec<AgentSummary>, StoreError> {
        let agents = self.boxes().await?;
        let counts: Vec<ChainCount> =
            sqlx::query_as("SELECT agent, chain, COUNT(*) FROM events GROUP BY agent, chain")
                .fetch_all(&self.pool)
                .await?;
        Ok(agents.into_iter().map(|agent| AgentSummary::of(agent, &counts)).collect())
    }

    /// One box with what its chain looks like: its events are counted for that.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn agent_summary(&self, name: &AgentId) -> Result<Option<AgentSummary>, StoreError> {
        let Some(agent) = self.agent(name).await? else { return Ok(None) };
        let counts: Vec<ChainCount> = sqlx::query_as(
            "SELECT agent, chain, COUNT(*) FROM events WHERE agent = $1 GROUP BY agent, chain",
        )
        .bind(name.as_str())
        .fetch_all(&self.pool)
        .await?;
        Ok(Some(AgentSummary::of(agent, &counts)))
    }
}

/// A box's name, how its events fit their chain, and how many do.
type ChainCount = (String, String, i64);

impl AgentSummary {
    fn of(agent: Agent, counts: &[ChainCount]) -> Self {
        let own = || counts.iter().filter(|(name, ..)| name == agent.name.as_str());
        let count = |chain: &str| own().filter(|(_, c, _)| c == chain).map(|(.., n)| n).sum();
        Self {
            events: own().map(|(.., n)| n).sum(),
            gaps: count("gap"),
            expired: count("expired"),
            broken: count("broken"),
            agent,
        }
    }
}

/// Puts a box on record, with its key and certificate; whether none of these was
/// there before.
pub(super) async fn enter(
    tx: &mut Tx<'_>,
    (name, hospital): (&AgentId, &HospitalId),
    (key, certificate): (&str, &str),
    now: WallTime,
) -> Result<bool, StoreError> {
    let added = sqlx::query(
        "INSERT INTO agents (name, hospital, public_key, certificate, added_at, transform_issue) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(name.as_str())
    .bind(hospital.as_str())
    .bind(key)
    .bind(certificate)
    .bind(now.as_millis())
    .bind(new_issue())
    .execute(&mut **tx)
    .await?
    .rows_affected();
    if added == 0 {
        return Ok(false);
    }
    // A key that some box had once is not given to another.
    let mut done = 0;
    for (sql, value) in [
        ("INSERT INTO agent_keys (public_key, agent, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", key),
        (
            "INSERT INTO agent_certificates (certificate, agent, since) VALUES ($1, $2, $3) \
             ON CONFLICT DO NOTHING",
            certificate,
        ),
    ] {
        let insert = sqlx::query(sql).bind(value).bind(name.as_str()).bind(now.as_millis());
        done += insert.execute(&mut **tx).await?.rows_affected();
    }
    Ok(done == 2)
}

/// Issues a new transform to a box.
pub(super) async fn reissue(tx: &mut Tx<'_>, name: &AgentId) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE agents SET transform_version = transform_version + 1, transform_issue = $1 WHERE name = $2",
    )
    .bind(new_issue())
    .bind(name.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn new_issue() -> String {
    uuid::Uuid::now_v7().to_string()
}

#[cfg(test)]
pub(in crate::bureau) mod tests {
    use super::*;
    use crate::bureau::store::tests::on_both;
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
        on_both(async |store| {
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
        })
        .await;
    }
    #[tokio::test]
    async fn each_box_and_each_issue_has_a_key_of_its_own_and_a_restored_backup_brings_none_back() {
        on_both(async |store| {
            let (one, two) = (box_with_key("box-1").0, box_with_key("box-2").0);
            for new in [&one, &two] {
                store.add_agent(new, WallTime::from_millis(1)).await.unwrap();
            }
            let key = async |new: &NewAgent| {
                let agent = store
                    .agent_by_certificate(new.certificate, WallTime::from_millis(2))
                    .await
                    .unwrap()
                    .unwrap();
                (agent.transform.version, store.transform_key(&agent).unwrap().id())
            };
            let (first, other) = (key(&one).await, key(&two).await);
            assert_eq!((first, first.0), (key(&one).await, 1));
            assert_ne!(first.1, other.1);
            let backup = store
                .agent_by_certificate(one.certificate, WallTime::from_millis(2))
                .await
                .unwrap()
                .unwrap()
                .transform;
            assert_eq!(store.reissue_transform(&one.name).await.unwrap().unwrap().version, 2);
            let second = key(&one).await;
            assert_ne!(second.1, first.1);
            assert_eq!(key(&two).await, other);
            sqlx::query("UPDATE agents SET transform_version = 1, transform_issue = $1 WHERE name = 'box-1'")
                .bind(&backup.issue)
                .execute(&store.pool)
                .await
                .unwrap();
            assert_eq!(key(&one).await, first);
            store.reissue_transform(&one.name).await.unwrap();
            let again = key(&one).await;
            assert!(again.0 == 2 && again.1 != second.1 && again.1 != first.1, "{again:?}");
            assert!(store.reissue_transform(&"box-9".parse().unwrap()).await.unwrap().is_none());
        })
        .await;
    }
}
