//! What people asked for about their own data. A cardholder is found by the mark; the
//! number, what was asked and what came of it are sealed.

use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::clock::WallTime;
use crate::protocol::id::CardholderId;

/// A request to be kept.
pub struct NewRequest {
    /// What is asked for: a word of `bureau::rights::Kind`.
    pub kind: &'static str,
    /// About whom.
    pub cardholder: CardholderId,
    /// In which words.
    pub asked: String,
    /// When it was received.
    pub received_at: WallTime,
    /// By when it is to be answered.
    pub due_at: WallTime,
    /// Who took it.
    pub by: String,
}

/// A request as it is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request {
    /// Its id.
    pub id: String,
    /// What is asked for.
    pub kind: String,
    /// The cardholder's mark.
    pub mark: String,
    /// About whom.
    pub cardholder: CardholderId,
    /// In which words.
    pub asked: String,
    /// When it was received.
    pub received_at: WallTime,
    /// By when it is to be answered.
    pub due_at: WallTime,
    /// Who took it.
    pub by: String,
    /// `open`, `done` or `refused`.
    pub state: String,
    /// When it was ended, and by whom.
    pub ended: Option<(WallTime, String)>,
    /// What came of it, in words.
    pub outcome: Option<String>,
}

impl Request {
    /// Whether it waits though its time is over.
    pub fn is_overdue(&self, now: WallTime) -> bool {
        self.state == "open" && self.due_at < now
    }
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    cardholder: CardholderId,
    asked: String,
    outcome: Option<String>,
}

fn label(id: &str) -> String {
    format!("rights_requests/{id}")
}

type Row = (String, String, String, i64, i64, String, String, Option<i64>, Option<String>, Vec<u8>);

/// Requests as [`Store::request_of`] reads them.
macro_rules! requests {
    ($which:literal) => {
        concat!(
            "SELECT id, kind, mark, received_at, due_at, by_whom, state, ended_at, ended_by, sealed \
             FROM rights_requests ",
            $which
        )
    };
}

impl Store {
    /// Keeps a request; its id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn open_request(&self, new: &NewRequest) -> Result<String, StoreError> {
        let id = uuid::Uuid::now_v7().to_string();
        let sealed = Sealed { cardholder: new.cardholder.clone(), asked: new.asked.clone(), outcome: None };
        let sealed = self.seal_request(&id, &sealed)?;
        sqlx::query(
            "INSERT INTO rights_requests (id, kind, mark, received_at, due_at, by_whom, state, sealed) \
             VALUES ($1, $2, $3, $4, $5, $6, 'open', $7)",
        )
        .bind(&id)
        .bind(new.kind)
        .bind(self.mark(&new.cardholder))
        .bind(new.received_at.as_millis())
        .bind(new.due_at.as_millis())
        .bind(&new.by)
        .bind(sealed)
        .execute(&self.pool)
        .await?;
        Ok(id)
    }

    fn seal_request(&self, id: &str, sealed: &Sealed) -> Result<Vec<u8>, StoreError> {
        let content = |e: serde_json::Error| StoreError::Content { label: label(id), what: e.to_string() };
        self.seal(&label(id), &zeroize::Zeroizing::new(serde_json::to_vec(sealed).map_err(content)?))
    }

    fn request_of(&self, row: Row) -> Result<Request, StoreError> {
        let (id, kind, mark, received_at, due_at, by, state, ended_at, ended_by, sealed) = row;
        let label = label(&id);
        let plain = self
            .key
            .open(&label, &sealed)
            .map_err(|source| StoreError::Seal { label: label.clone(), source })?;
        let sealed: Sealed =
            serde_json::from_slice(&plain).map_err(|e| StoreError::Content { label, what: e.to_string() })?;
        Ok(Request {
            id,
            kind,
            mark,
            cardholder: sealed.cardholder,
            asked: sealed.asked,
            received_at: WallTime::from_millis(received_at),
            due_at: WallTime::from_millis(due_at),
            by,
            state,
            ended: ended_at.map(|at| (WallTime::from_millis(at), ended_by.unwrap_or_default())),
            outcome: sealed.outcome,
        })
    }

    /// A request.
    ///
    /// # Errors
    /// If the database fails, or the row cannot be opened.
    pub async fn request(&self, id: &str) -> Result<Option<Request>, StoreError> {
        let row: Option<Row> =
            sqlx::query_as(requests!("WHERE id = $1")).bind(id).fetch_optional(&self.pool).await?;
        row.map(|r| self.request_of(r)).transpose()
    }

    /// Requests: the open ones first, those due soonest before others; then the
    /// ended ones, latest first.
    ///
    /// # Errors
    /// If the database fails, or a row cannot be opened.
    pub async fn requests(&self, limit: u32) -> Result<Vec<Request>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(requests!(
            "ORDER BY CASE WHEN state = 'open' THEN 0 ELSE 1 END, \
             CASE WHEN state = 'open' THEN due_at ELSE -ended_at END, id LIMIT $1"
        ))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(|r| self.request_of(r)).collect()
    }

    /// The requests about a cardholder, latest first.
    ///
    /// # Errors
    /// If the database fails, or a row cannot be opened.
    pub async fn requests_about(&self, mark: &str) -> Result<Vec<Request>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(requests!("WHERE mark = $1 ORDER BY received_at DESC, id"))
            .bind(mark)
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(|r| self.request_of(r)).collect()
    }

    /// Ends a request that is open, with what came of it; whether it was open.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn end_request(
        &self,
        id: &str,
        (state, outcome): (&'static str, String),
        by: &str,
        now: WallTime,
    ) -> Result<bool, StoreError> {
        let Some(held) = self.request(id).await? else { return Ok(false) };
        let sealed = Sealed { cardholder: held.cardholder, asked: held.asked, outcome: Some(outcome) };
        let done = sqlx::query(
            "UPDATE rights_requests SET state = $1, ended_at = $2, ended_by = $3, sealed = $4 \
             WHERE id = $5 AND state = 'open'",
        )
        .bind(state)
        .bind(now.as_millis())
        .bind(by)
        .bind(self.seal_request(id, &sealed)?)
        .bind(id)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bureau::retention::Kind;
    use crate::bureau::store::tests::on_both;

    const fn at(ms: i64) -> WallTime {
        WallTime::from_millis(ms)
    }

    pub(in crate::bureau::store) async fn asked(
        store: &Store,
        kind: &'static str,
        cardholder: &CardholderId,
    ) -> Request {
        let new = NewRequest {
            kind,
            cardholder: cardholder.clone(),
            asked: "my own words".into(),
            received_at: at(1),
            due_at: at(10),
            by: "chen".into(),
        };
        let id = store.open_request(&new).await.unwrap();
        store.request(&id).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn requests_are_sealed_the_open_ones_come_first_and_they_end_at_their_limit() {
        on_both(async |store| {
            let who: CardholderId = "P0001".parse().unwrap();
            let (first, second) =
                (asked(&store, "access", &who).await, asked(&store, "correction", &who).await);
            assert!(first.is_overdue(at(11)) && !first.is_overdue(at(10)));
            let done = ("done", "told on the phone".to_owned());
            assert!(store.end_request(&first.id, done.clone(), "chen", at(5)).await.unwrap());
            assert!(!store.end_request(&first.id, done, "chen", at(6)).await.unwrap());
            let all = store.requests(9).await.unwrap();
            assert_eq!((all[0].id.as_str(), all[1].state.as_str()), (second.id.as_str(), "done"));
            assert_eq!(all[1].outcome.as_deref(), Some("told on the phone"));
            assert_eq!(all[1].ended, Some((at(5), "chen".into())));
            assert_eq!(store.requests_about(&first.mark).await.unwrap().len(), 2);
            let sealed: Vec<Vec<u8>> = sqlx::query_scalar("SELECT sealed FROM rights_requests")
                .fetch_all(&store.pool)
                .await
                .unwrap();
            for needle in ["P0001", "my own words", "phone"] {
                assert!(sealed.iter().all(|s| !s.windows(needle.len()).any(|w| w == needle.as_bytes())));
            }
            assert_eq!(store.purge(Kind::RightsRequests, at(6), at(9)).await.unwrap().deleted, 1);
            assert_eq!(store.requests(9).await.unwrap(), [second]);
        })
        .await;
    }
}
