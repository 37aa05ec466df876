//! The latest posture of each box, as it was signed.

use super::{Store, StoreError, Tx, documents, figures, handouts, heads, parse};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::Verified;
use crate::protocol::countersign::{Countersigned, HeadFinding};
use crate::protocol::id::AgentId;
use crate::protocol::posture::Posture;

/// A posture as it is held.
pub struct StoredPosture {
    /// Whose.
    pub agent: AgentId,
    /// When it came.
    pub received_at: WallTime,
    /// What it says.
    pub posture: Posture,
}

/// What keeping a posture brought to light.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostureKept {
    /// What does not fit the audit heads that the box showed before.
    pub finding: Option<HeadFinding>,
    /// Documents that it names and that are not held.
    pub missing: Vec<Sha256>,
}

/// Notes that a box has spoken; whether it is on record and may speak. As the
/// first statement of a transaction it also makes other transactions of the
/// same box wait, so that what is true here is true until the commit: a box
/// that was suspended while its body was on the way is not heard.
pub(super) async fn seen(tx: &mut Tx<'_>, agent: &AgentId, now: WallTime) -> Result<bool, StoreError> {
    let update = sqlx::query("UPDATE agents SET last_seen = $1 WHERE name = $2 AND suspended = FALSE")
        .bind(now.as_millis())
        .bind(agent.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(update.rows_affected() == 1)
}

impl Store {
    /// Keeps a posture in the place of the box's last one, its countersigned
    /// audit head in the history, and counts what it adds to the day. A head that does not fit is
    /// kept like any other, and found. `None`, and nothing is kept, if the box
    /// is suspended.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn keep_posture(
        &self,
        posture: &Posture,
        verified: &Verified<'_>,
        head: &Countersigned,
    ) -> Result<Option<PostureKept>, StoreError> {
        let now = head.received_at;
        let mut tx = self.pool.begin().await?;
        if !seen(&mut tx, &posture.agent, now).await? {
            return Ok(None);
        }
        figures::count(&mut tx, posture, now).await?;
        sqlx::query(
            "INSERT INTO postures (agent, at, received_at, body, signature) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (agent) DO UPDATE SET at = excluded.at, received_at = excluded.received_at, \
             body = excluded.body, signature = excluded.signature",
        )
        .bind(posture.agent.as_str())
        .bind(posture.at.as_millis())
        .bind(now.as_millis())
        .bind(verified.bytes())
        .bind(verified.signature().to_string())
        .execute(&mut *tx)
        .await?;
        let finding = heads::keep(&mut tx, head).await?;
        let missing = documents::name(&mut tx, posture, now).await?;
        handouts::arrived(&mut tx, &posture.agent, &posture.arrived, now).await?;
        tx.commit().await?;
        Ok(Some(PostureKept { finding, missing }))
    }

    /// The latest posture of every box that sent one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn postures(&self) -> Result<Vec<StoredPosture>, StoreError> {
        let rows: Vec<Row> =
            sqlx::query_as("SELECT agent, received_at, body FROM postures").fetch_all(&self.pool).await?;
        rows.into_iter().map(read).collect()
    }

    /// The latest posture of a box.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn posture(&self, agent: &AgentId) -> Result<Option<StoredPosture>, StoreError> {
        let row: Option<Row> =
            sqlx::query_as("SELECT agent, received_at, body FROM postures WHERE agent = $1")
                .bind(agent.as_str())
                .fetch_optional(&self.pool)
                .await?;
        row.map(read).transpose()
    }
}

type Row = (String, i64, Vec<u8>);

fn read((agent, received_at, body): Row) -> Result<StoredPosture, StoreError> {
    let label = format!("postures/{agent}");
    let posture = serde_json::from_slice(&body)
        .map_err(|e| StoreError::Content { label: label.clone(), what: e.to_string() })?;
    let received_at = WallTime::from_millis(received_at);
    Ok(StoredPosture { agent: parse(&label, &agent)?, received_at, posture })
}
