//! What a made-up store is filled with, many rows at a time.
//!
//! Promises: a store that holds a box, a reference or an event of anybody else is not
//! touched; a store that was filled says so for ever after, and [`Store::is_made_up`]
//! tells it to every page.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, Executor, Row};

use super::alerts::score_bin;
use super::events::{kind, label};
use super::{ChainState, Database, Store, StoreError, Tx};
use crate::bureau::figures::calendar::Day;
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::Signature;
use crate::protocol::alert::{About, Content, Event};
use crate::protocol::document::DocumentKind;
use crate::protocol::id::{AgentId, CounterId, HospitalId};

/// What the names of made-up boxes begin with.
pub const MADE_UP: &str = "made-up-";
const META: &str = "made up";
/// Events in one statement: a file takes 32,766 values in one, a server 65,535.
const AT_ONCE: usize = 250;

/// What a decided alert was decided to be, when.
#[derive(Debug, Clone, Copy)]
pub struct MadeDecision {
    /// The decision's word.
    pub word: &'static str,
    /// When.
    pub at: WallTime,
}

/// An event of a made-up box.
pub struct MadeEvent {
    /// The event.
    pub event: Event,
    /// Its exact bytes.
    pub bytes: Vec<u8>,
    /// By the box.
    pub signature: Signature,
    /// By the bureau.
    pub receipt: Signature,
    /// The box.
    pub agent: AgentId,
    /// When it came.
    pub received_at: WallTime,
    /// Of an alert: how serious.
    pub seriousness: i64,
    /// Of an alert: whether it was withdrawn afterwards, and when.
    pub withdrawn_at: Option<WallTime>,
    /// Of an alert: what was decided.
    pub decision: Option<MadeDecision>,
    /// Of an alert: who works on it.
    pub assignee: Option<&'static str>,
}

/// A day of a made-up counter.
pub struct MadeDay {
    /// Which day.
    pub day: Day,
    /// The box.
    pub agent: AgentId,
    /// Where it stands.
    pub hospital: HospitalId,
    /// The counter.
    pub counter: CounterId,
    /// How long its camera was seen working, in milliseconds.
    pub worked_ms: i64,
    /// Settlements by verdict and reason.
    pub counts: Vec<(&'static str, &'static str, u64)>,
}

/// `INSERT INTO … VALUES` of so many rows of so many columns.
fn insert(into: &str, columns: usize, rows: usize, end: &str) -> String {
    let row = |r: usize| {
        let values: Vec<String> = (1..=columns).map(|c| format!("${}", r * columns + c)).collect();
        format!("({})", values.join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!("INSERT INTO {into} VALUES {}{end}", rows.join(", "))
}

impl Store {
    /// Whether what it holds is made up.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn is_made_up(&self) -> Result<bool, StoreError> {
        let n: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM meta WHERE name = $1")
            .bind(META)
            .fetch_one(&self.pool)
            .await?;
        Ok(n > 0)
    }

    /// What this store holds that was not made up, in words, if anything.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn holds_real(&self) -> Result<Option<String>, StoreError> {
        let boxes = "SELECT COUNT(*) FROM agents WHERE name NOT LIKE 'made-up-%'";
        let references = "SELECT COUNT(*) FROM enrolments";
        let exemptions = "SELECT COUNT(*) FROM exemptions";
        for (sql, what) in
            [(boxes, "boxes on record"), (references, "references"), (exemptions, "exemptions")]
        {
            let n: i64 = sqlx::query_scalar(sql).fetch_one(&self.pool).await?;
            if n > 0 {
                return Ok(Some(format!("{n} {what}")));
            }
        }
        Ok(None)
    }

    /// Marks the store as made up, for ever.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn mark_made_up(&self) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(META)
            .bind(b"made up".to_vec())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Puts documents that made-up alerts name, without a box that brought them.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn put_made_documents(
        &self,
        documents: &[(DocumentKind, Vec<u8>)],
        now: WallTime,
    ) -> Result<(), StoreError> {
        for (kind, body) in documents {
            sqlx::query(
                "INSERT INTO documents (digest, kind, body, named_at, agent) VALUES ($1, $2, $3, $4, '') \
                 ON CONFLICT (digest) DO NOTHING",
            )
            .bind(Sha256::of(body).to_string())
            .bind(kind.as_str())
            .bind(body.as_slice())
            .bind(now.as_millis())
            .execute(&self.pool)
            .await?;
        }
        Ok(())
    }

    /// Stores events of made-up boxes in one transaction, in the order given, as if they
    /// had arrived so. They fit their chains; that is not checked.
    ///
    /// # Errors
    /// If the database fails; nothing is stored then.
    pub async fn insert_made(&self, events: &[MadeEvent]) -> Result<(), StoreError> {
        for made in events {
            self.make_month(made.received_at).await?;
        }
        let mut tx = self.pool.begin().await?;
        for chunk in events.chunks(AT_ONCE) {
            let arrivals = links(&mut tx, chunk).await?;
            self.payloads(&mut tx, chunk).await?;
            self.listed(&mut tx, chunk, &arrivals).await?;
            named(&mut tx, chunk).await?;
            withdrawals(&mut tx, chunk).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Stores what made-up counters did, in one transaction.
    ///
    /// # Errors
    /// If the database fails, or a day of a counter is there already; nothing is stored then.
    pub async fn put_made_days(&self, days: &[MadeDay]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        for chunk in days.chunks(AT_ONCE) {
            let sql = insert("day_working (day, agent, hospital, counter, worked_ms)", 5, chunk.len(), "");
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for made in chunk {
                query = query
                    .bind(made.day.number())
                    .bind(made.agent.as_str())
                    .bind(made.hospital.as_str())
                    .bind(made.counter.as_str())
                    .bind(made.worked_ms);
            }
            query.execute(&mut *tx).await?;
        }
        let counts: Vec<_> =
            days.iter().flat_map(|made| made.counts.iter().map(move |n| (made, n))).collect();
        for chunk in counts.chunks(AT_ONCE) {
            const INTO: &str = "day_counts (day, agent, hospital, counter, verdict, reason, n)";
            let mut query = sqlx::query(AssertSqlSafe(insert(INTO, 7, chunk.len(), "")));
            for (made, (verdict, reason, n)) in chunk {
                query = query
                    .bind(made.day.number())
                    .bind(made.agent.as_str())
                    .bind(made.hospital.as_str())
                    .bind(made.counter.as_str())
                    .bind(*verdict)
                    .bind(*reason)
                    .bind(i64::try_from(*n).unwrap_or(i64::MAX));
            }
            query.execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Lets the database count what it holds, so that it chooses the right indexes at once.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn gather_statistics(&self) -> Result<(), StoreError> {
        if matches!(self.at, Database::Server(_)) {
            self.pool.execute("ANALYZE").await?;
        }
        Ok(())
    }

    async fn payloads(&self, tx: &mut Tx<'_>, events: &[MadeEvent]) -> Result<(), StoreError> {
        let sql = insert("payloads (event, sealed, signature, receipt)", 4, events.len(), "");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for made in events {
            let id = made.event.id.to_string();
            let sealed = self.seal(&label(&id), &made.bytes)?;
            query =
                query.bind(id).bind(sealed).bind(made.signature.to_string()).bind(made.receipt.to_string());
        }
        query.execute(&mut **tx).await?;
        Ok(())
    }

    /// The lines of the list of alerts.
    async fn listed(
        &self,
        tx: &mut Tx<'_>,
        events: &[MadeEvent],
        arrivals: &BTreeMap<String, i64>,
    ) -> Result<(), StoreError> {
        let lines: Vec<_> = events.iter().filter_map(|made| Some((made, about(made)?))).collect();
        if lines.is_empty() {
            return Ok(());
        }
        const INTO: &str = "alerts (id, arrival, agent, hospital, counter, cardholder, settlement, occurred_at, \
                            received_at, amount_fen, medical_type, score_bin, seriousness, model, calibration, \
                            state, decision, decided_at, assignee, changed_at)";
        let sql = insert(INTO, 20, lines.len(), "");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (made, data) in lines {
            let id = made.event.id.to_string();
            let settlement = made.event.subject.as_ref().map(|s| self.mark_settlement(s)).unwrap_or_default();
            let arrival = arrivals.get(&id).copied().unwrap_or_default();
            let decided_at = made.decision.map(|d| d.at.as_millis());
            let withdrawn_at = made.withdrawn_at.map(WallTime::as_millis);
            let state = match (decided_at, withdrawn_at) {
                (Some(_), _) => "decided",
                (None, Some(_)) => "withdrawn",
                (None, None) => "open",
            };
            query = query
                .bind(id)
                .bind(arrival)
                .bind(made.agent.as_str())
                .bind(data.hospital.as_str())
                .bind(data.counter.as_str())
                .bind(self.mark(data.cardholder))
                .bind(settlement)
                .bind(data.occurred_at.timestamp().as_millisecond())
                .bind(made.received_at.as_millis())
                .bind(i64::try_from(data.amount_fen).unwrap_or(i64::MAX))
                .bind(data.medical_type.as_str())
                .bind(score_bin(data.score))
                .bind(made.seriousness)
                .bind(data.model.to_string())
                .bind(data.settings.calibration.to_string())
                .bind(state)
                .bind(made.decision.map(|d| d.word))
                .bind(decided_at)
                .bind(made.assignee)
                .bind(decided_at.or(withdrawn_at).unwrap_or(made.received_at.as_millis()));
        }
        query.execute(&mut **tx).await?;
        Ok(())
    }
}

fn about(made: &MadeEvent) -> Option<About<'_>> {
    made.event.content.about()
}

/// The chain; the arrival of each event by its id.
async fn links(tx: &mut Tx<'_>, events: &[MadeEvent]) -> Result<BTreeMap<String, i64>, StoreError> {
    const INTO: &str = "events (id, agent, epoch, seq, digest, previous, kind, chain, received_at)";
    let sql = insert(INTO, 9, events.len(), " RETURNING id, arrival");
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for made in events {
        let link = &made.event.chain;
        query = query
            .bind(made.event.id.to_string())
            .bind(made.agent.as_str())
            .bind(link.epoch.to_string())
            .bind(i64::try_from(link.seq).unwrap_or(i64::MAX))
            .bind(Sha256::of(&made.bytes).to_string())
            .bind(link.previous.map(|p| p.to_string()))
            .bind(kind(&made.event.content))
            .bind(ChainState::Ok.as_str())
            .bind(made.received_at.as_millis());
    }
    let rows = query.fetch_all(&mut **tx).await?;
    rows.iter().map(|row| Ok((row.try_get("id")?, row.try_get("arrival")?))).collect()
}

/// Which documents alerts name.
async fn named(tx: &mut Tx<'_>, events: &[MadeEvent]) -> Result<(), StoreError> {
    let pairs: Vec<(String, Sha256)> = events
        .iter()
        .filter_map(|made| Some((made, about(made)?.settings)))
        .flat_map(|(made, s)| {
            BTreeSet::from([s.policy, s.notice, s.calibration])
                .into_iter()
                .map(|d| (made.event.id.to_string(), d))
        })
        .collect();
    if pairs.is_empty() {
        return Ok(());
    }
    let sql = insert("named_documents (event, digest)", 2, pairs.len(), "");
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for (event, digest) in pairs {
        query = query.bind(event).bind(digest.to_string());
    }
    query.execute(&mut **tx).await?;
    Ok(())
}

/// Which alerts withdrawals take back.
async fn withdrawals(tx: &mut Tx<'_>, events: &[MadeEvent]) -> Result<(), StoreError> {
    for made in events {
        let Content::Withdrawn(withdrawn) = &made.event.content else { continue };
        sqlx::query("INSERT INTO withdrawals (event, agent, alert) VALUES ($1, $2, $3)")
            .bind(made.event.id.to_string())
            .bind(made.agent.as_str())
            .bind(withdrawn.alert.to_string())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}
