//! Blind checks: decided alerts that somebody else decides once more, not knowing it.
//!
//! Promises: who decided an alert, or did anything with it, is never asked again; the
//! second decision changes nothing about the alert and stands apart; the pairs that
//! leave here have no names.

use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use sqlx::Row;

use super::super::{DbRow, Store, StoreError, parse};
use super::StepText;
use crate::bureau::accounts::AccountName;
use crate::bureau::review::agreement::Pair;
use crate::bureau::review::state::{Claim, Decision};
use crate::bureau::review::words::words;
use crate::clock::WallTime;
use crate::protocol::id::AlertId;

words! {
    /// How far a blind check is.
    BlindState {
        /// It lies among the reviewer's open alerts.
        Waiting = "waiting",
        /// The reviewer decided.
        Answered = "answered",
        /// The reviewer learnt of it: it counts for nothing.
        Void = "void",
    }
}

/// A blind check, as the desk's supervisor sees it: without a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlindCheck {
    /// Which alert.
    pub alert: AlertId,
    /// When it was mixed in.
    pub asked_at: WallTime,
    /// How far it is.
    pub state: BlindState,
    /// What was decided first.
    pub first: Decision,
    /// What was decided blind.
    pub second: Option<Decision>,
}

/// What was decided blind about an alert, for the person whom it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlindSaid {
    /// What.
    pub decision: Decision,
    /// When.
    pub at: WallTime,
    /// Why.
    pub note: String,
}

/// A blind second decision.
pub struct BlindAnswer<'a> {
    /// About which alert.
    pub alert: AlertId,
    /// Whose.
    pub by: &'a AccountName,
    /// What they decided.
    pub decision: Decision,
    /// Their reason.
    pub note: &'a str,
    /// When.
    pub at: WallTime,
}

const TABLE: &str = "blind_checks";
/// Decided alerts that this reviewer had nothing to do with and that nobody checked; the
/// newest first, and none older than an open one can be: it would be known by its date.
const CANDIDATES: &str = "SELECT a.id, a.decision FROM alerts a WHERE a.state = 'decided' \
     AND NOT EXISTS (SELECT 1 FROM review_steps r WHERE r.alert = a.id AND (r.by_whom = $1 OR r.assignee = $1)) \
     AND NOT EXISTS (SELECT 1 FROM blind_checks b WHERE b.alert = a.id) AND a.received_at >= $2 \
     ORDER BY a.arrival DESC LIMIT 500";

/// A number below `n`, which is not 0, by lot.
fn lot_below(n: usize) -> Result<usize, StoreError> {
    let mut bytes = [0_u8; 8];
    SystemRandom::new().fill(&mut bytes).map_err(|_| StoreError::Content {
        label: TABLE.into(),
        what: "the system gave no randomness".into(),
    })?;
    Ok((u64::from_le_bytes(bytes) % n.max(1) as u64) as usize)
}

impl Store {
    /// Mixes decided alerts into a reviewer's open ones, chosen by lot among the newest that
    /// they had nothing to do with and that came after `since`; how many there were.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn ask_blind(
        &self,
        reviewer: &AccountName,
        by: &AccountName,
        most: usize,
        (since, at): (WallTime, WallTime),
    ) -> Result<usize, StoreError> {
        let mut rows: Vec<(String, String)> = sqlx::query_as(CANDIDATES)
            .bind(reviewer.as_str())
            .bind(since.as_millis())
            .fetch_all(&self.pool)
            .await?;
        let mut asked = 0;
        while asked < most && !rows.is_empty() {
            let lot = lot_below(rows.len())?;
            let (alert, first) = rows.swap_remove(lot);
            let done = sqlx::query(
                "INSERT INTO blind_checks (id, alert, asked_at, asked_by, reviewer, state, first) \
                 SELECT $1, id, $2, $3, $4, 'waiting', decision FROM alerts \
                 WHERE id = $5 AND state = 'decided' AND decision = $6 ON CONFLICT DO NOTHING",
            )
            .bind(uuid::Uuid::now_v7().to_string())
            .bind(at.as_millis())
            .bind(by.as_str())
            .bind(reviewer.as_str())
            .bind(&alert)
            .bind(&first)
            .execute(&self.pool)
            .await?;
            asked += usize::from(done.rows_affected() == 1);
        }
        Ok(asked)
    }

    /// The alerts that somebody is to decide blind: to them they are open, like any other.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn blind_for(&self, account: &AccountName) -> Result<Vec<AlertId>, StoreError> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT b.alert FROM blind_checks b JOIN alerts a ON a.id = b.alert \
             WHERE b.reviewer = $1 AND b.state = 'waiting' AND a.state = 'decided' ORDER BY b.alert",
        )
        .bind(account.as_str())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|(id,)| parse(TABLE, id)).collect()
    }

    /// Keeps a blind second decision; whether it was asked for, and can be found of that alert.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn answer_blind(&self, answer: &BlindAnswer<'_>) -> Result<bool, StoreError> {
        let row: Option<(String, i64)> = sqlx::query_as(
            "SELECT b.id, a.score_bin FROM blind_checks b JOIN alerts a ON a.id = b.alert \
             WHERE b.alert = $1 AND b.reviewer = $2 AND b.state = 'waiting'",
        )
        .bind(answer.alert.to_string())
        .bind(answer.by.as_str())
        .fetch_optional(&self.pool)
        .await?;
        let fitting = row.filter(|(_, bin)| answer.decision.fits(Claim::of_bin(*bin)));
        let Some((id, _)) = fitting else { return Ok(false) };
        let text = StepText { note: answer.note.to_owned(), ..StepText::default() };
        let done = sqlx::query(
            "UPDATE blind_checks SET state = 'answered', second = $1, ended_at = $2, sealed = $3 \
             WHERE id = $4 AND state = 'waiting'",
        )
        .bind(answer.decision.as_str())
        .bind(answer.at.as_millis())
        .bind(self.seal_as(TABLE, &id, &text)?)
        .bind(&id)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// What was decided blind about an alert, without a name.
    ///
    /// # Errors
    /// If the database fails, or a row cannot be opened.
    pub async fn blind_said(&self, alert: AlertId) -> Result<Vec<BlindSaid>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, second, ended_at, sealed FROM blind_checks \
             WHERE alert = $1 AND state = 'answered' ORDER BY ended_at, id",
        )
        .bind(alert.to_string())
        .fetch_all(&self.pool)
        .await?;
        let read = |row: &DbRow| {
            let text: StepText = self.open_as(TABLE, row.try_get("id")?, row.try_get("sealed")?)?;
            Ok(BlindSaid {
                decision: parse(TABLE, row.try_get("second")?)?,
                at: WallTime::from_millis(row.try_get("ended_at")?),
                note: text.note,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Ends a blind check that its reviewer learnt of.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn void_blind(
        &self,
        alert: AlertId,
        reviewer: &AccountName,
        at: WallTime,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE blind_checks SET state = 'void', ended_at = $1 \
             WHERE alert = $2 AND reviewer = $3 AND state = 'waiting'",
        )
        .bind(at.as_millis())
        .bind(alert.to_string())
        .bind(reviewer.as_str())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Every blind check, newest first, without names.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn blind_checks(&self) -> Result<Vec<BlindCheck>, StoreError> {
        let rows = sqlx::query(
            "SELECT alert, asked_at, state, first, second FROM blind_checks ORDER BY asked_at DESC, alert",
        )
        .fetch_all(&self.pool)
        .await?;
        let read = |row: &DbRow| {
            let second = row.try_get::<Option<&str>, _>("second")?;
            Ok(BlindCheck {
                alert: parse(TABLE, row.try_get("alert")?)?,
                asked_at: WallTime::from_millis(row.try_get("asked_at")?),
                state: parse(TABLE, row.try_get("state")?)?,
                first: parse(TABLE, row.try_get("first")?)?,
                second: second.map(|s| parse(TABLE, s)).transpose()?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// The pairs of decisions that count.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn blind_pairs(&self) -> Result<Vec<Pair>, StoreError> {
        let checks = self.blind_checks().await?;
        Ok(checks.iter().filter_map(|c| Some((c.first, c.second?))).collect())
    }

    /// The alert that somebody should look at next: of those open and theirs or nobody's,
    /// and of those they are to decide blind, the most serious, then the newest.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn next_alert(&self, account: &AccountName) -> Result<Option<AlertId>, StoreError> {
        let next: Option<(String,)> = sqlx::query_as(
            "SELECT id FROM (SELECT a.id, a.seriousness, a.arrival FROM alerts a WHERE a.state = 'open' \
             AND (a.assignee IS NULL OR a.assignee = $1) UNION ALL \
             SELECT a.id, a.seriousness, a.arrival FROM alerts a JOIN blind_checks b ON b.alert = a.id \
             WHERE b.reviewer = $1 AND b.state = 'waiting' AND a.state = 'decided') AS waiting \
             ORDER BY seriousness DESC, arrival DESC LIMIT 1",
        )
        .bind(account.as_str())
        .fetch_optional(&self.pool)
        .await?;
        next.map(|(id,)| parse(TABLE, &id)).transpose()
    }
}
