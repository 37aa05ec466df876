//! The list of alerts: what of one is sorted, counted and filtered without
//! opening its payload. `docs/decisions/0023-…` says what of it stands in the clear.
//!
//! Promises: every alert that is held has one row, written in the transaction that
//! stored it; a row goes with its payload; an alert that was taken back is
//! `withdrawn`, unless somebody had decided it.

use std::collections::BTreeSet;

use sqlx::Row;

use super::rows::{bind_all, made, portions, rows};
use super::{Store, StoreError, Tx, parse};
use crate::clock::WallTime;
use crate::protocol::alert::{About, Event};
use crate::protocol::figures::bin_of;
use crate::protocol::id::AgentId;

/// From this amount on an alert is more serious, in fen.
pub const SERIOUS_AMOUNT_FEN: u64 = 100_000;
/// So many alerts of an older store are put on the list in one transaction.
const FILL: i64 = 200;
/// Once this is in `meta`, every alert from before there was a list is on it.
const FILLED: &str = "alerts listed";

/// One alert as the list has it.
pub(super) struct Listed<'a> {
    pub(super) arrival: i64,
    pub(super) agent: &'a AgentId,
    pub(super) received_at: WallTime,
    pub(super) event: &'a Event,
    pub(super) about: About<'a>,
}

impl Store {
    /// Puts alerts that were just stored on the list, in the order of arrival.
    pub(super) async fn list_alerts(&self, tx: &mut Tx<'_>, all: &[Listed<'_>]) -> Result<(), StoreError> {
        let marks: Vec<String> = all.iter().map(|one| self.mark(one.about.cardholder)).collect();
        let mut seen = seen_before(tx, &marks).await?;
        let withdrawn = withdrawn_before(tx, all).await?;
        let mut ready = Vec::with_capacity(all.len());
        for (one, mark) in all.iter().zip(marks) {
            let amount = i64::from(one.about.amount_fen >= SERIOUS_AMOUNT_FEN);
            let seriousness = amount + i64::from(seen.contains(&mark));
            let is_back = withdrawn.contains(&(one.event.id.to_string(), one.agent.to_string()));
            if !is_back {
                seen.insert(mark.clone());
            }
            ready.push((one, mark, seriousness, if is_back { "withdrawn" } else { "open" }));
        }
        for portion in portions(&ready) {
            let head = "INSERT INTO alerts (id, arrival, agent, hospital, counter, cardholder, settlement, \
                        occurred_at, received_at, amount_fen, medical_type, score_bin, seriousness, model, \
                        calibration, state, changed_at) VALUES";
            let mut query = sqlx::query(made(rows(head, 17, portion.len(), "ON CONFLICT DO NOTHING")));
            for (one, mark, seriousness, state) in portion {
                let Listed { arrival, agent, received_at, event, about: data } = one;
                let settlement = event.subject.as_ref().map(|s| self.mark_settlement(s)).unwrap_or_default();
                query = query
                    .bind(event.id.to_string())
                    .bind(*arrival)
                    .bind(agent.as_str())
                    .bind(data.hospital.as_str())
                    .bind(data.counter.as_str())
                    .bind(mark)
                    .bind(settlement)
                    .bind(data.occurred_at.timestamp().as_millisecond())
                    .bind(received_at.as_millis())
                    .bind(i64::try_from(data.amount_fen).unwrap_or(i64::MAX))
                    .bind(data.medical_type.as_str())
                    .bind(score_bin(data.score))
                    .bind(*seriousness)
                    .bind(data.model.to_string())
                    .bind(data.settings.calibration.to_string())
                    .bind(*state)
                    .bind(received_at.as_millis());
            }
            query.execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// Puts the alerts of a store from before there was a list on it.
    ///
    /// # Errors
    /// If the database fails; what is listed by then stays, and the next start goes on.
    pub(super) async fn list_older_alerts(&self) -> Result<(), StoreError> {
        let done: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM meta WHERE name = $1")
            .bind(FILLED)
            .fetch_one(&self.pool)
            .await?;
        if done > 0 {
            return Ok(());
        }
        let mut after = i64::MIN;
        while let Some(last) = self.list_some(after).await? {
            after = last;
        }
        sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(FILLED)
            .bind(Vec::new())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Lists the next few after an arrival; the last one's, if there was any.
    async fn list_some(&self, after: i64) -> Result<Option<i64>, StoreError> {
        let rows: Vec<(i64, String, String, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT e.arrival, e.id, e.agent, e.received_at, p.sealed FROM events e \
             JOIN payloads p ON p.event = e.id WHERE e.kind IN ('mismatch', 'absent') \
             AND e.arrival > $1 ORDER BY e.arrival LIMIT $2",
        )
        .bind(after)
        .bind(FILL)
        .fetch_all(&self.pool)
        .await?;
        for (_, _, _, received_at, _) in &rows {
            self.make_month(WallTime::from_millis(*received_at)).await?;
        }
        let mut events = Vec::with_capacity(rows.len());
        for (arrival, id, agent, received_at, sealed) in &rows {
            let agent: AgentId = parse("events", agent)?;
            let opened = self.key.open(&super::events::label(id), sealed);
            let event = opened.ok().and_then(|bytes| Event::from_bytes(&bytes).ok());
            let Some(event) = event else {
                tracing::error!(alert = id, "a stored alert cannot be opened, and is on no list");
                continue;
            };
            events.push((*arrival, agent, WallTime::from_millis(*received_at), event));
        }
        let listed = events.iter().filter_map(|(arrival, agent, received_at, event)| {
            let about = event.content.about()?;
            Some(Listed { arrival: *arrival, agent, received_at: *received_at, event, about })
        });
        let mut tx = self.pool.begin().await?;
        self.list_alerts(&mut tx, &listed.collect::<Vec<_>>()).await?;
        tx.commit().await?;
        Ok(rows.last().map(|(arrival, ..)| *arrival))
    }
}

/// The cardholders, by mark, of whom an alert is held that was not taken back.
async fn seen_before(tx: &mut Tx<'_>, marks: &[String]) -> Result<BTreeSet<String>, StoreError> {
    let mut seen = BTreeSet::new();
    for portion in portions(marks) {
        // One row is enough of each, however many there are.
        let head = "SELECT c.column1 AS mark FROM (VALUES";
        let tail = ") AS c WHERE EXISTS (SELECT 1 FROM alerts o WHERE o.cardholder = c.column1 \
                    AND o.state <> 'withdrawn')";
        let query = sqlx::query(made(rows(head, 1, portion.len(), tail)));
        for row in bind_all(query, portion.iter().map(String::as_str)).fetch_all(&mut **tx).await? {
            seen.insert(row.try_get("mark")?);
        }
    }
    Ok(seen)
}

/// Which of these alerts were taken back before they came: alert and box.
async fn withdrawn_before(
    tx: &mut Tx<'_>,
    all: &[Listed<'_>],
) -> Result<BTreeSet<(String, String)>, StoreError> {
    let mut found = BTreeSet::new();
    for portion in portions(all) {
        let sql = rows("SELECT alert, agent FROM withdrawals WHERE alert IN (VALUES", 1, portion.len(), ")");
        let query = bind_all(sqlx::query(made(sql)), portion.iter().map(|one| one.event.id.to_string()));
        for row in query.fetch_all(&mut **tx).await? {
            found.insert((row.try_get("alert")?, row.try_get("agent")?));
        }
    }
    Ok(found)
}

/// What stands in the place of a score's bin where an alert has none: an absence.
pub const NO_SCORE: i64 = -1;

/// The bin of an alert's comparison score.
pub(super) fn score_bin(score: Option<f32>) -> i64 {
    score.map_or(NO_SCORE, |s| i64::try_from(bin_of(s)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::store::events::tests::{Bench, chain, withdrawal};
    use crate::bureau::store::tests::on_both;
    use crate::protocol::id::Epoch;

    /// What stands on the list, by arrival: id, seriousness, state.
    async fn listed(store: &Store) -> Vec<(String, i64, String)> {
        sqlx::query_as("SELECT id, seriousness, state FROM alerts ORDER BY arrival")
            .fetch_all(&store.pool)
            .await
            .unwrap()
    }

    /// Three alerts of one cardholder, the second of a large amount.
    fn three() -> Vec<Event> {
        let mut events = chain(3, Epoch::new());
        let crate::protocol::alert::Content::Mismatch(data) = &mut events[1].content else { panic!() };
        data.amount_fen = SERIOUS_AMOUNT_FEN;
        events
    }

    #[tokio::test]
    async fn an_alert_is_listed_with_how_serious_it_is_and_goes_with_its_payload() {
        on_both(async |store| {
            let bench = Bench::new(store).await;
            let events = three();
            bench.put(&withdrawal(&events[2], 9), 1).await;
            for event in &events {
                bench.put(event, 2).await;
            }
            bench.put(&withdrawal(&events[0], 10), 3).await;
            let found = listed(&bench.store).await;
            let expected =
                [(&events[0], 0, "withdrawn"), (&events[1], 2, "open"), (&events[2], 1, "withdrawn")];
            let expected = expected.map(|(e, n, s)| (e.id.to_string(), n, s.to_owned()));
            assert_eq!(found, expected);
            let at = WallTime::from_millis;
            bench.store.purge(crate::bureau::retention::Kind::OpenAlerts, at(9), at(9)).await.unwrap();
            assert!(listed(&bench.store).await.is_empty());
        })
        .await;
    }

    #[tokio::test]
    async fn alerts_from_before_there_was_a_list_are_put_on_it_once() {
        on_both(async |store| {
            let bench = Bench::new(store).await;
            for event in three() {
                bench.put(&event, 2).await;
            }
            let before = listed(&bench.store).await;
            for sql in ["DELETE FROM alerts", "DELETE FROM meta WHERE name = 'alerts listed'"] {
                sqlx::query(sql).execute(&bench.store.pool).await.unwrap();
            }
            bench.store.list_older_alerts().await.unwrap();
            assert_eq!(listed(&bench.store).await, before);
            sqlx::query("DELETE FROM alerts").execute(&bench.store.pool).await.unwrap();
            bench.store.list_older_alerts().await.unwrap();
            assert!(listed(&bench.store).await.is_empty());
        })
        .await;
    }
}
