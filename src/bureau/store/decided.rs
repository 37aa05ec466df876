//! What became of alerts, counted by what they claim, and by hospital, by day, and by box,
//! model and calibration. Counts alone; no alert is opened for them.

use super::figures::{Place, in_place, natural, of_place};
use super::{Store, StoreError};
use crate::bureau::figures::calendar::{Day, Days};
use crate::bureau::figures::share::{Decided, FalseAlerts};
use crate::bureau::review::Claim;
use crate::clock::WallTime;
use std::collections::BTreeMap;

/// By what alerts are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// Their hospital.
    Hospital,
    /// The box that raised them.
    Box,
    /// The recognizer that compared.
    Model,
    /// The calibration in force then.
    Calibration,
    /// The day on which they came, in China.
    Day,
}

macro_rules! per {
    ($what:literal) => {
        in_place!(
            concat!(
                "SELECT ",
                $what,
                " AS what, MIN(score_bin) AS bin, state, COALESCE(decision, '') AS decided, COUNT(*) AS n \
                 FROM alerts WHERE received_at >= $1 AND received_at < $2"
            ),
            concat!(
                "GROUP BY ",
                $what,
                ", CASE WHEN score_bin < 0 THEN 1 ELSE 0 END, state, COALESCE(decision, '') ORDER BY what"
            )
        )
    };
}

impl Store {
    /// What became of the alerts that came in these days and are still held, by what they are told apart
    /// and by what they claim.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn decided_alerts(
        &self,
        per: Per,
        days: Days,
        place: &Place,
    ) -> Result<Vec<FalseAlerts>, StoreError> {
        let sql = match per {
            Per::Hospital => per!("hospital"),
            Per::Box => per!("agent"),
            Per::Model => per!("model"),
            Per::Calibration => per!("calibration"),
            Per::Day => per!("CAST((received_at + 28800000) / 86400000 AS TEXT)"),
        };
        let (from, until) = days.moments();
        let moments = (from.as_millis(), until.as_millis());
        let rows: Vec<(String, i64, String, String, i64)> =
            of_place(sql, moments, place).fetch_all(&self.pool).await?;
        let mut all: BTreeMap<(String, Claim), Decided> = BTreeMap::new();
        for (of, bin, state, decision, n) in rows {
            let of = match per {
                Per::Day => of.parse().map_or(of, |n| Day::from_number(n).to_string()),
                _ => of,
            };
            all.entry((of, Claim::of_bin(bin))).or_default().put(&state, &decision, natural(n));
        }
        Ok(all.into_iter().map(|((of, claim), decided)| FalseAlerts { of, claim, decided }).collect())
    }

    /// Alerts of these days that were not taken back, by the cardholder's mark.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn alerts_by_cardholder(
        &self,
        days: Days,
        place: &Place,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        let (from, until) = days.moments();
        let sql = in_place!(
            "SELECT cardholder, COUNT(*) FROM alerts \
             WHERE received_at >= $1 AND received_at < $2 AND state <> 'withdrawn'",
            "GROUP BY cardholder"
        );
        let moments = (from.as_millis(), until.as_millis());
        let rows: Vec<(String, i64)> = of_place(sql, moments, place).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(mark, n)| (mark, natural(n))).collect())
    }
}

/// Where an alert stands, without what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertState {
    /// Its id.
    pub id: String,
    /// When it came.
    pub received_at: WallTime,
    /// `open`, `decided` or `withdrawn`.
    pub state: String,
    /// The decision, of a decided one.
    pub decision: Option<String>,
}

impl Store {
    /// The alerts of a cardholder that are held, newest first; at most 100.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn states_of_cardholder(&self, mark: &str) -> Result<Vec<AlertState>, StoreError> {
        let rows: Vec<(String, i64, String, Option<String>)> = sqlx::query_as(
            "SELECT id, received_at, state, decision FROM alerts WHERE cardholder = $1 \
             ORDER BY arrival DESC LIMIT 100",
        )
        .bind(mark)
        .fetch_all(&self.pool)
        .await?;
        let one = |(id, at, state, decision)| AlertState {
            id,
            received_at: WallTime::from_millis(at),
            state,
            decision,
        };
        Ok(rows.into_iter().map(one).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::store::NO_SCORE;
    use crate::bureau::store::tests::on_both;

    #[tokio::test]
    async fn alerts_are_counted_by_what_became_of_them() {
        on_both(async |store| {
            let now = Day::from_number(20_000).begins().as_millis();
            store.make_month(WallTime::from_millis(now)).await.unwrap();
            let (agent, _) = crate::bureau::store::tests::box_with_key("box-1");
            store.add_agent(&agent, WallTime::from_millis(1)).await.unwrap();
            for (n, (state, decision, bin)) in [
                ("open", None, 3),
                ("decided", Some("false_alert"), 3),
                ("decided", Some("impersonation"), 3),
                ("withdrawn", None, 3),
                ("decided", Some("not_rendered"), NO_SCORE),
            ]
            .into_iter()
            .enumerate()
            {
                let id = format!("e{n}");
                let put = async |sql: &'static str, sealed: Option<Vec<u8>>| {
                    let query = sqlx::query(sql).bind(&id).bind(n as i64).bind(now);
                    let query = if let Some(sealed) = sealed { query.bind(sealed) } else { query };
                    query.execute(&store.pool).await.unwrap();
                };
                put(
                    "INSERT INTO events (id, agent, epoch, seq, digest, kind, chain, received_at) \
                     VALUES ($1, 'box-1', 'e', $2, '', 'mismatch', 'ok', $3)",
                    None,
                )
                .await;
                put(
                    "INSERT INTO payloads (event, sealed, signature) \
                     SELECT id, $4, '' FROM events WHERE id = $1 AND seq = $2 AND received_at = $3",
                    Some(Vec::new()),
                )
                .await;
                put(
                    "INSERT INTO alerts (id, arrival, agent, hospital, counter, cardholder, settlement, occurred_at, \
                     received_at, amount_fen, medical_type, score_bin, seriousness, model, calibration, changed_at) \
                     VALUES ($1, $2, 'box-1', 'H1', 'w1', 'm1', 's', $3, $3, 1, '11', 3, 0, 'sface', 'c', $3)",
                    None,
                )
                .await;
                sqlx::query("UPDATE alerts SET state = $1, decision = $2, score_bin = $3 WHERE id = $4")
                    .bind(state)
                    .bind(decision)
                    .bind(bin)
                    .bind(&id)
                    .execute(&store.pool)
                    .await
                    .unwrap();
            }
            let day = Day::from_number(20_000);
            let days = Days { first: day, last: day };
            for per in [Per::Hospital, Per::Box, Per::Model, Per::Calibration, Per::Day] {
                let all = store.decided_alerts(per, days, &Place::default()).await.unwrap();
                // What nobody came to says nothing of how often a face was another's.
                let [one, other] = &all[..] else { panic!("{per:?}: {all:?}") };
                assert_eq!((one.claim, other.claim, &one.of), (Claim::Mismatch, Claim::Absent, &other.of));
                assert_eq!((other.decided.all(), other.decided.confirmed()), (1, 1));
                let d = one.decided;
                assert_eq!((d.all(), d.open, d.false_alert, d.confirmed()), (4, 1, 1, 1), "{per:?}");
            }
            let by_day = store.decided_alerts(Per::Day, days, &Place::default()).await.unwrap();
            assert_eq!(by_day[0].of, day.to_string());
            let elsewhere = Place { hospital: String::new(), district: "nowhere".into() };
            assert!(store.decided_alerts(Per::Box, days, &elsewhere).await.unwrap().is_empty());
            let by_person = store.alerts_by_cardholder(days, &Place::default()).await.unwrap();
            assert_eq!(by_person, BTreeMap::from([("m1".to_owned(), 4)]));
            let states = store.states_of_cardholder("m1").await.unwrap();
            assert_eq!((states.len(), states[0].state.as_str()), (5, "decided"));
        })
        .await;
    }
}
