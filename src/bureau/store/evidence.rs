//! All that is held about one alert, for a bundle.

use sqlx::Row;
use zeroize::Zeroizing;

use super::chain::at_place;
use super::events::label;
use super::{Store, StoreError, parse};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::Signature;
use crate::protocol::alert::{Event, EventError, Link};
use crate::protocol::id::{AgentId, AlertId};

/// An event with its exact bytes, opened.
pub struct StoredEvent {
    /// The bytes that the box signed.
    pub bytes: Zeroizing<Vec<u8>>,
    /// The box's signature.
    pub signature: Signature,
    /// When it came.
    pub received_at: WallTime,
    /// The bureau's signature for that, if it gave one.
    pub receipt: Option<Signature>,
}

/// All that is held about one alert.
pub struct Evidence {
    /// Who raised it.
    pub agent: AgentId,
    /// The alert.
    pub alert: StoredEvent,
    /// What its bytes say.
    pub event: Event,
    /// The event before: its digest, and whether it expired on the box.
    pub before: Option<(Sha256, bool)>,
    /// The event after: its digest and its link.
    pub after: Option<(Sha256, Link)>,
    /// Its withdrawal, the word that it expired; oldest first.
    pub later: Vec<StoredEvent>,
}

fn unreadable(id: AlertId, e: &EventError) -> StoreError {
    StoreError::Content { label: format!("payloads/{id}"), what: e.to_string() }
}

impl Store {
    /// All that is held about an alert; nothing if there is no such event, or
    /// its content has reached its limit.
    ///
    /// # Errors
    /// If the database fails, or what it holds cannot be opened or read.
    pub async fn evidence(&self, id: AlertId) -> Result<Option<Evidence>, StoreError> {
        let agent: Option<String> = sqlx::query_scalar("SELECT agent FROM events WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        let Some(agent) = agent else { return Ok(None) };
        let agent: AgentId = parse("events", &agent)?;
        let Some(alert) = self.stored_event(id).await? else { return Ok(None) };
        let event = Event::from_bytes(&alert.bytes).map_err(|e| unreadable(id, &e))?;
        let mut later = Vec::new();
        for word in self.words_about(&agent, id).await? {
            later.extend(self.stored_event(word).await?);
        }
        let mut tx = self.pool.begin().await?;
        let before = at_place(&mut tx, &agent, event.chain.epoch, event.chain.seq.saturating_sub(1)).await?;
        drop(tx);
        let after = self.after(&agent, &event).await?;
        Ok(Some(Evidence {
            agent,
            alert,
            before: before.map(|b| (b.digest, b.expired)),
            after,
            later,
            event,
        }))
    }

    async fn stored_event(&self, id: AlertId) -> Result<Option<StoredEvent>, StoreError> {
        let row = sqlx::query(
            "SELECT e.received_at, p.sealed, p.signature, p.receipt \
             FROM payloads p JOIN events e ON e.id = p.event WHERE p.event = $1",
        )
        .bind(id.to_string())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let label = label(&id.to_string());
        let bytes = self
            .key
            .open(&label, row.try_get("sealed")?)
            .map_err(|source| StoreError::Seal { label: label.clone(), source })?;
        let receipt: Option<String> = row.try_get("receipt")?;
        Ok(Some(StoredEvent {
            bytes,
            signature: parse(&label, row.try_get("signature")?)?,
            received_at: WallTime::from_millis(row.try_get("received_at")?),
            receipt: receipt.map(|r| parse(&label, &r)).transpose()?,
        }))
    }

    async fn words_about(&self, agent: &AgentId, id: AlertId) -> Result<Vec<AlertId>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM events WHERE id IN \
             (SELECT event FROM withdrawals WHERE alert = $1 AND agent = $2 \
              UNION SELECT event FROM expirations WHERE alert = $1 AND agent = $2) ORDER BY arrival",
        )
        .bind(id.to_string())
        .bind(agent.as_str())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|id| parse("events", id)).collect()
    }

    async fn after(&self, agent: &AgentId, event: &Event) -> Result<Option<(Sha256, Link)>, StoreError> {
        let seq = event.chain.seq.saturating_add(1);
        let row: Option<(String, Option<String>)> = sqlx::query_as(
            "SELECT digest, previous FROM events WHERE agent = $1 AND epoch = $2 AND seq = $3",
        )
        .bind(agent.as_str())
        .bind(event.chain.epoch.to_string())
        .bind(i64::try_from(seq).unwrap_or(i64::MAX))
        .fetch_optional(&self.pool)
        .await?;
        row.map(|(digest, previous)| {
            let previous = previous.map(|p| parse("events", &p)).transpose()?;
            Ok((parse("events", &digest)?, Link { epoch: event.chain.epoch, seq, previous }))
        })
        .transpose()
    }
}
