//! The queue: alerts in the order in which reviewers take them, page by page.
//!
//! Promises: a page costs the same however deep it lies and however many alerts
//! there are: each state and seriousness asked for is read from its place in one
//! index on, a page's length at most, and only these few are put in order. A page
//! begins after an alert, not after a number of alerts: what arrives meanwhile moves
//! nothing. What a filter passes over is passed over in the index.
//!
//! What it does not do: say who may see it, or write down that somebody did.

mod asked;
mod statement;

use sqlx::{AssertSqlSafe, Row};

pub use self::asked::{Among, Assignee, QueueFilter, QueueFrom, QueueOrder, QueuePlace, QueueState};
use self::statement::{Asked, LINES, NAMES, Statement, Value};
use super::{DbRow, Hospital, Store, StoreError, StoredAlert, parse};
use crate::bureau::review::Claim;
use crate::clock::WallTime;

/// An alert as a line of the queue.
pub struct QueueRow {
    /// What the box said and whether its signature fits.
    pub alert: StoredAlert,
    /// Where.
    pub hospital: String,
    /// The hospital's name and district, if they are known.
    pub place: Option<(String, String)>,
    /// At which counter.
    pub counter: String,
    /// When the card was settled.
    pub occurred_at: WallTime,
    /// How much, in fen.
    pub amount_fen: i64,
    /// Which kind of care.
    pub medical_type: String,
    /// What it claims.
    pub claim: Claim,
    /// The score's bin, 0 to 39; [`NO_SCORE`](super::NO_SCORE) of an absence.
    pub score_bin: i64,
    /// How serious, 0 to 2.
    pub seriousness: i64,
    /// Where it stands.
    pub state: QueueState,
    /// What was decided.
    pub decision: Option<String>,
    /// Who works on it, as pages show them.
    pub assignee: Option<String>,
}

/// A page of the queue.
pub struct QueuePage {
    /// Its lines, in order.
    pub rows: Vec<QueueRow>,
    /// Whether lines come before it.
    pub has_before: bool,
    /// Whether lines come after it.
    pub has_after: bool,
}

/// How many alerts that a filter lets through are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateCounts {
    /// Open ones.
    pub open: i64,
    /// Decided ones.
    pub decided: i64,
    /// Withdrawn ones.
    pub withdrawn: i64,
}

/// Something that became of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertChange {
    /// Its id.
    pub id: String,
    /// Its number by arrival.
    pub arrival: i64,
    /// When it changed, or came.
    pub changed_at: WallTime,
}

impl Store {
    async fn fetch(&self, s: Statement) -> Result<Vec<DbRow>, StoreError> {
        let mut query = sqlx::query(AssertSqlSafe(s.sql));
        for value in s.values {
            query = match value {
                Value::Number(n) => query.bind(n),
                Value::Text(t) => query.bind(t),
            };
        }
        Ok(query.fetch_all(&self.pool).await?)
    }

    /// A page of the queue, at most `length` lines.
    ///
    /// # Errors
    /// If the database fails. A payload that cannot be opened is no error: its line has
    /// no content.
    pub async fn queue_page(
        &self,
        filter: &QueueFilter,
        order: QueueOrder,
        from: QueueFrom,
        length: u32,
    ) -> Result<QueuePage, StoreError> {
        let limit = i64::from(length) + 1;
        let asked = Asked { filter, order, from, limit };
        let mut rows = self.fetch(asked.statement()).await?;
        let more = rows.len() > length as usize;
        if more {
            // The one too many is the furthest from where the page hangs.
            if asked.upward() { drop(rows.remove(0)) } else { rows.truncate(length as usize) }
        }
        let keys = self.signing_keys(&rows).await?;
        let rows = rows.iter().map(|row| Ok(QueueRow::read(row, self.read_alert(row, &keys)?)?));
        let rows: Vec<QueueRow> = rows.collect::<Result<_, StoreError>>()?;
        Ok(QueuePage {
            has_before: if asked.upward() { more } else { from != QueueFrom::Start },
            has_after: if asked.upward() { true } else { more },
            rows,
        })
    }

    /// One line of the queue; `None` if there is no such alert.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn queue_row(&self, id: &str) -> Result<Option<QueueRow>, StoreError> {
        let mut s = Statement::default();
        s.put(LINES).put("alerts q").put(NAMES).put(" WHERE q.id = ").text(id);
        let rows = self.fetch(s).await?;
        let keys = self.signing_keys(&rows).await?;
        let row = rows.first().map(|row| Ok(QueueRow::read(row, self.read_alert(row, &keys)?)?));
        row.transpose()
    }

    /// How many alerts that the filter lets through are in each state; which states it
    /// asks for does not matter.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn queue_counts(&self, filter: &QueueFilter) -> Result<StateCounts, StoreError> {
        let mut s = Statement::default();
        s.put("SELECT state, COUNT(*) AS n FROM alerts WHERE ");
        if filter.names_few() {
            s.few(filter);
        } else {
            // Whatever the filter: what is asked for is in the index of the queue. The few
            // that came after a moment are found by their numbers.
            s.put(match filter.arrived_after {
                None => "state IN ('open', 'decided', 'withdrawn')",
                Some(_) => "1 = 1",
            });
        }
        s.filter(filter).put(" GROUP BY state");
        let mut counts = StateCounts::default();
        for row in self.fetch(s).await? {
            let n = row.try_get("n")?;
            match QueueState::of(row.try_get("state")?) {
                Some(QueueState::Open) => counts.open = n,
                Some(QueueState::Decided) => counts.decided = n,
                Some(QueueState::Withdrawn) => counts.withdrawn = n,
                None => {}
            }
        }
        Ok(counts)
    }

    /// The hospitals that are known by name, and those that only have a box, by district.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn places_of_boxes(&self) -> Result<Vec<Hospital>, StoreError> {
        let rows: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT h.code, h.name, h.district FROM (SELECT code, name, district FROM hospitals UNION ALL \
             SELECT DISTINCT a.hospital, a.hospital, '' FROM agents a \
             WHERE a.hospital NOT IN (SELECT code FROM hospitals)) AS h ORDER BY h.district, h.code",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(code, name, district)| Ok(Hospital { code: parse("hospitals", &code)?, name, district }))
            .collect()
    }

    /// The number of the alert that came last; 0 if there is none.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn newest_arrival(&self) -> Result<i64, StoreError> {
        let newest = "SELECT CAST(COALESCE(MAX(arrival), 0) AS BIGINT) FROM alerts";
        Ok(sqlx::query_scalar(newest).fetch_one(&self.pool).await?)
    }

    /// What came or changed at or after a moment, the earliest first, at most `limit`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn alert_changes(&self, since: WallTime, limit: u32) -> Result<Vec<AlertChange>, StoreError> {
        let changed =
            "SELECT id, arrival, changed_at FROM alerts WHERE changed_at >= $1 ORDER BY changed_at LIMIT $2";
        self.changes(changed, since.as_millis(), limit).await
    }

    /// What came after the alert of a number, in order, at most `limit`: whatever the clock
    /// said when it was taken, and however long it then took to be stored.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn alerts_after(&self, arrival: i64, limit: u32) -> Result<Vec<AlertChange>, StoreError> {
        let came = "SELECT id, arrival, changed_at FROM alerts WHERE arrival > $1 ORDER BY arrival LIMIT $2";
        self.changes(came, arrival, limit).await
    }

    async fn changes(
        &self,
        sql: &'static str,
        after: i64,
        limit: u32,
    ) -> Result<Vec<AlertChange>, StoreError> {
        let asked = sqlx::query_as(sql).bind(after).bind(i64::from(limit));
        let rows: Vec<(String, i64, i64)> = asked.fetch_all(&self.pool).await?;
        let change = |(id, arrival, at)| AlertChange { id, arrival, changed_at: WallTime::from_millis(at) };
        Ok(rows.into_iter().map(change).collect())
    }
}

impl QueueRow {
    fn read(row: &DbRow, alert: StoredAlert) -> Result<Self, sqlx::Error> {
        let name: Option<String> = row.try_get("hospital_name")?;
        let display: Option<String> = row.try_get("display")?;
        let assignee: Option<String> = row.try_get("assignee")?;
        let score_bin = row.try_get("score_bin")?;
        Ok(Self {
            alert,
            hospital: row.try_get("hospital")?,
            place: name.zip(row.try_get("district")?),
            counter: row.try_get("counter")?,
            occurred_at: WallTime::from_millis(row.try_get("occurred_at")?),
            amount_fen: row.try_get("amount_fen")?,
            medical_type: row.try_get("medical_type")?,
            claim: Claim::of_bin(score_bin),
            score_bin,
            seriousness: row.try_get("seriousness")?,
            state: QueueState::of(row.try_get("state")?).unwrap_or(QueueState::Open),
            decision: row.try_get("decision")?,
            assignee: display.or(assignee),
        })
    }

    /// Its place in the queue.
    pub const fn at(&self) -> QueuePlace {
        QueuePlace { seriousness: self.seriousness, arrival: self.alert.arrival }
    }
}

#[cfg(test)]
mod tests;
