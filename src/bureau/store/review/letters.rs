//! Letters about alerts: what was asked of whom, until when, and what came back.

use serde::{Deserialize, Serialize};
use sqlx::Row;

use super::super::figures::{Place, in_place, natural, of_place};
use super::super::{DbRow, Store, StoreError, parse};
use crate::bureau::review::letters::{LetterKind, LetterState};
use crate::clock::WallTime;
use crate::protocol::id::AlertId;

/// What a letter says and what came back; sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LetterText {
    /// What is asked for beyond the letter's own words: numbers of documents, a question.
    pub asked: String,
    /// What came back, in words.
    pub answer: String,
    /// Who said it.
    pub person: String,
    /// Whether the cardholder came: `yes`, `no`, or empty.
    pub came: String,
    /// Who acted for the cardholder, and what they are to each other.
    pub acted: String,
}

/// A letter to be drafted.
pub struct NewLetter<'a> {
    /// About which alert.
    pub alert: AlertId,
    /// Of which kind.
    pub kind: LetterKind,
    /// Who drafts it.
    pub by: &'a str,
    /// When.
    pub at: WallTime,
    /// By when it should be answered.
    pub due: WallTime,
    /// What is asked for beyond the letter's own words.
    pub asked: &'a str,
}

/// A letter on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// Its id.
    pub id: String,
    /// About which alert.
    pub alert: AlertId,
    /// Of which kind.
    pub kind: LetterKind,
    /// How far it is.
    pub state: LetterState,
    /// When it was drafted.
    pub drafted_at: WallTime,
    /// Who drafted it.
    pub drafted_by: String,
    /// By when it should be answered.
    pub due_at: WallTime,
    /// When it was sent.
    pub sent_at: Option<WallTime>,
    /// When it was answered or refused.
    pub ended_at: Option<WallTime>,
    /// What it says and what came back.
    pub text: LetterText,
}

/// What became of a letter.
pub struct Answer<'a> {
    /// Which letter.
    pub letter: &'a str,
    /// About which alert, as the page said.
    pub alert: AlertId,
    /// How far it is now.
    pub state: LetterState,
    /// When.
    pub at: WallTime,
    /// What came back; empty for a letter that was sent.
    pub text: &'a LetterText,
}

const TABLE: &str = "letters";
const BY_ALERT: &str = "SELECT id, alert, kind, state, drafted_at, drafted_by, due_at, sent_at, ended_at, sealed \
     FROM letters WHERE alert = $1 ORDER BY drafted_at, id";
const BY_ID: &str = "SELECT id, alert, kind, state, drafted_at, drafted_by, due_at, sent_at, ended_at, sealed \
     FROM letters WHERE id = $1";

impl Store {
    /// Drafts a letter; its id. Nothing if there is no such alert.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn draft_letter(&self, new: &NewLetter<'_>) -> Result<Option<String>, StoreError> {
        let id = uuid::Uuid::now_v7().to_string();
        let text = LetterText { asked: new.asked.to_owned(), ..LetterText::default() };
        let done = sqlx::query(
            "INSERT INTO letters (id, alert, kind, state, drafted_at, drafted_by, due_at, changed_at, sealed) \
             SELECT $1, p.event, $2, 'drafted', $3, $4, $5, $3, $6 FROM payloads p WHERE p.event = $7",
        )
        .bind(&id)
        .bind(new.kind.as_str())
        .bind(new.at.as_millis())
        .bind(new.by)
        .bind(new.due.as_millis())
        .bind(self.seal_as(TABLE, &id, &text)?)
        .bind(new.alert.to_string())
        .execute(&self.pool)
        .await?;
        Ok((done.rows_affected() == 1).then_some(id))
    }

    /// Says what became of a letter; whether it could: one that was answered stays so.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn answer_letter(&self, answer: &Answer<'_>) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("UPDATE letters SET changed_at = $1 WHERE id = $2")
            .bind(answer.at.as_millis())
            .bind(answer.letter)
            .execute(&mut *tx)
            .await?;
        let row = sqlx::query(BY_ID).bind(answer.letter).fetch_optional(&mut *tx).await?;
        let Some(held) = row.as_ref().map(|r| self.letter_of(r)).transpose()? else { return Ok(false) };
        if held.alert != answer.alert || !held.state.leads_to(answer.state) {
            return Ok(false);
        }
        let text = LetterText { asked: held.text.asked, ..answer.text.clone() };
        let (sent, ended) = match answer.state {
            LetterState::Sent => (Some(answer.at.as_millis()), None),
            _ => (held.sent_at.map(WallTime::as_millis), Some(answer.at.as_millis())),
        };
        sqlx::query("UPDATE letters SET state = $1, sent_at = $2, ended_at = $3, sealed = $4 WHERE id = $5")
            .bind(answer.state.as_str())
            .bind(sent)
            .bind(ended)
            .bind(self.seal_as(TABLE, answer.letter, &text)?)
            .bind(answer.letter)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The letters about an alert, oldest first.
    ///
    /// # Errors
    /// If the database fails, or one cannot be opened.
    pub async fn letters(&self, alert: AlertId) -> Result<Vec<Letter>, StoreError> {
        let rows = sqlx::query(BY_ALERT).bind(alert.to_string()).fetch_all(&self.pool).await?;
        rows.iter().map(|row| self.letter_of(row)).collect()
    }

    /// Which of the alerts have a letter that waits longer than it should: what the queue
    /// marks.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn overdue_alerts(&self, now: WallTime) -> Result<Vec<AlertId>, StoreError> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT DISTINCT alert FROM letters WHERE state IN ('drafted', 'sent') AND due_at < $1 ORDER BY alert",
        )
        .bind(now.as_millis())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|(id,)| parse(TABLE, id)).collect()
    }

    /// How many requests to keep a recording were overdue at a moment, by hospital:
    /// sent before their day, and not answered by then. One that the bureau sent late,
    /// or not at all, is nothing that a hospital has left undone.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn overdue_requests(
        &self,
        at: WallTime,
        place: &Place,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = in_place!(
            "SELECT hospital, COUNT(*) FROM letters l JOIN alerts a ON a.id = l.alert \
             WHERE l.kind = 'recording' AND l.sent_at < l.due_at AND l.due_at < $1 \
             AND (l.ended_at IS NULL OR l.ended_at >= $2)",
            "GROUP BY hospital ORDER BY hospital"
        );
        let moments = (at.as_millis(), at.as_millis());
        let rows: Vec<(String, i64)> = of_place(sql, moments, place).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(hospital, n)| (hospital, natural(n))).collect())
    }

    fn letter_of(&self, row: &DbRow) -> Result<Letter, StoreError> {
        let id: &str = row.try_get("id")?;
        let at = |column: &str| row.try_get::<Option<i64>, _>(column).map(|t| t.map(WallTime::from_millis));
        Ok(Letter {
            id: id.to_owned(),
            alert: parse(TABLE, row.try_get("alert")?)?,
            kind: parse(TABLE, row.try_get("kind")?)?,
            state: parse(TABLE, row.try_get("state")?)?,
            drafted_at: WallTime::from_millis(row.try_get("drafted_at")?),
            drafted_by: row.try_get("drafted_by")?,
            due_at: WallTime::from_millis(row.try_get("due_at")?),
            sent_at: at("sent_at")?,
            ended_at: at("ended_at")?,
            text: self.open_as(TABLE, id, row.try_get("sealed")?)?,
        })
    }
}
