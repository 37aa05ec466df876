//! What people asked for about their own data, and what was erased for them.
//!
//! A cardholder is found by the mark; the number, what was asked and what came of it
//! are sealed. An erasure takes everything that is about the cardholder and that no
//! case holds, in one transaction with its signed receipt.

use serde::{Deserialize, Serialize};

use super::{Store, StoreError, Tx, parse};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::{Signature, SigningKey};
use crate::protocol::id::{AlertId, CardholderId};

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

/// A reference that is held: that there is one, not what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldReference {
    /// SHA-256 of the recognizer that made it.
    pub model: Sha256,
    /// When it was enrolled.
    pub enrolled_at: WallTime,
    /// SHA-256 of the photograph, which is not kept.
    pub photo: Sha256,
}

/// An alert about a cardholder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldAlert {
    /// Its id.
    pub id: AlertId,
    /// `open`, `decided` or `withdrawn`.
    pub state: String,
    /// What was decided.
    pub decision: Option<String>,
    /// The case that keeps it, if one does.
    pub kept_by: Option<KeptBy>,
}

/// Why an alert stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptBy {
    /// Number of the case.
    pub case: String,
    /// `legal_hold`, or `case` while it runs.
    pub reason: String,
}

/// What an erasure took and what stayed: the signed text, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// `counterproof.erasure.v1`.
    pub format: String,
    /// Its id.
    pub id: String,
    /// The request that it answers.
    pub request: String,
    /// The cardholder's mark.
    pub mark: String,
    /// When.
    pub at: WallTime,
    /// Who did it.
    pub by: String,
    /// References that were erased: SHA-256 of each as it was sealed.
    pub references: Vec<Sha256>,
    /// Alerts that were erased: SHA-256 of each as the box signed it.
    pub alerts: Vec<Sha256>,
    /// How many withdrawals of these went with them.
    pub withdrawals: u64,
    /// How many declarations of proxies went.
    pub proxies: u64,
    /// What stays, and why.
    pub stays: Vec<Stays>,
}

/// An alert that was not erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stays {
    /// SHA-256 of the alert as the box signed it.
    pub alert: Sha256,
    /// Number of the case.
    pub case: String,
    /// `legal_hold`, or `case` while it runs.
    pub reason: String,
}

/// A receipt with the bureau's signature over its exact text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// What it says.
    pub erasure: Erasure,
    /// The text that was signed.
    pub document: String,
    /// By the bureau.
    pub signature: Signature,
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

/// Alerts about a cardholder, with what keeps them.
const ALERTS: &str = "SELECT a.id, a.state, a.decision, e.digest, \
    (SELECT MIN(h.case_number) FROM held_alerts h WHERE h.alert = a.id), \
    (SELECT MAX(h.held) FROM held_alerts h WHERE h.alert = a.id) \
    FROM alerts a JOIN events e ON e.id = a.id WHERE a.cardholder = $1 ORDER BY a.arrival";

type AlertRow = (String, String, Option<String>, String, Option<String>, Option<i64>);

fn kept_by(case: Option<String>, held: Option<i64>) -> Option<KeptBy> {
    let reason = if held == Some(1) { "legal_hold" } else { "case" };
    case.map(|case| KeptBy { case, reason: reason.into() })
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

    /// The references that are held of a cardholder, without what is in them.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn held_references(&self, cardholder: &CardholderId) -> Result<Vec<HeldReference>, StoreError> {
        let rows: Vec<(String, i64, String)> = sqlx::query_as(
            "SELECT model, enrolled_at, photo FROM enrolments WHERE cardholder = $1 ORDER BY enrolled_at, id",
        )
        .bind(cardholder.as_str())
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(model, enrolled_at, photo)| {
                Ok(HeldReference {
                    model: parse("enrolments", &model)?,
                    enrolled_at: WallTime::from_millis(enrolled_at),
                    photo: parse("enrolments", &photo)?,
                })
            })
            .collect()
    }

    /// The alerts that are held about a cardholder, and which of them a case keeps.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn alerts_about(&self, mark: &str) -> Result<Vec<HeldAlert>, StoreError> {
        let rows: Vec<AlertRow> = sqlx::query_as(ALERTS).bind(mark).fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|(id, state, decision, _, case, held)| {
                Ok(HeldAlert { id: parse("alerts", &id)?, state, decision, kept_by: kept_by(case, held) })
            })
            .collect()
    }

    /// The acts about a mark or an alert, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn acts_about(&self, about: &str) -> Result<Vec<super::Act>, StoreError> {
        let rows: Vec<(i64, String, String, String, String)> = sqlx::query_as(
            "SELECT at, by_whom, what, about, detail FROM acts WHERE about = $1 ORDER BY id DESC LIMIT 1000",
        )
        .bind(about)
        .fetch_all(&self.pool)
        .await?;
        let act = |(at, by, what, about, detail)| super::Act {
            at: WallTime::from_millis(at),
            by,
            what,
            about,
            detail,
        };
        Ok(rows.into_iter().map(act).collect())
    }

    /// Erases what is held about the cardholder of a request and no case keeps, and
    /// keeps the signed receipt: both or neither.
    ///
    /// # Errors
    /// If the database fails; nothing is erased then.
    pub async fn erase_for(
        &self,
        request: &Request,
        key: &SigningKey,
        by: &str,
        now: WallTime,
    ) -> Result<Receipt, StoreError> {
        let id = uuid::Uuid::now_v7().to_string();
        let mut tx = self.pool.begin().await?;
        let references = erase_references(&mut tx, &request.cardholder).await?;
        let rows: Vec<AlertRow> = sqlx::query_as(ALERTS).bind(&request.mark).fetch_all(&mut *tx).await?;
        let (mut alerts, mut stays, mut withdrawals) = (Vec::new(), Vec::new(), 0);
        for (alert, _, _, digest, case, held) in rows {
            let digest: Sha256 = parse("events", &digest)?;
            match kept_by(case, held) {
                Some(KeptBy { case, reason }) => stays.push(Stays { alert: digest, case, reason }),
                None => {
                    withdrawals += erase_alert(&mut tx, &alert).await?;
                    alerts.push(digest);
                }
            }
        }
        let proxies = sqlx::query("DELETE FROM declared_proxies WHERE cardholder = $1 OR proxy = $1")
            .bind(&request.mark)
            .execute(&mut *tx)
            .await?
            .rows_affected();
        let erasure = Erasure {
            format: "counterproof.erasure.v1".into(),
            id: id.clone(),
            request: request.id.clone(),
            mark: request.mark.clone(),
            at: now,
            by: by.to_owned(),
            references,
            alerts,
            withdrawals,
            proxies,
            stays,
        };
        let document = serde_json::to_string(&erasure)
            .map_err(|e| StoreError::Content { label: format!("erasures/{id}"), what: e.to_string() })?;
        let signature = key.sign(document.as_bytes());
        sqlx::query(
            "INSERT INTO erasures (id, request, mark, at, document, signature) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&id)
        .bind(&request.id)
        .bind(&request.mark)
        .bind(now.as_millis())
        .bind(&document)
        .bind(signature.to_string())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Receipt { erasure, document, signature })
    }

    /// The receipts of a request, latest first.
    ///
    /// # Errors
    /// If the database fails, or what it holds is no receipt.
    pub async fn receipts(&self, request: &str) -> Result<Vec<Receipt>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT document, signature FROM erasures WHERE request = $1 ORDER BY at DESC, id DESC",
        )
        .bind(request)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(document, signature)| {
                let erasure = serde_json::from_str(&document)
                    .map_err(|e| StoreError::Content { label: "erasures".into(), what: e.to_string() })?;
                Ok(Receipt { erasure, signature: parse("erasures", &signature)?, document })
            })
            .collect()
    }

    /// How many cardholders have a reference.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn enrolled_cardholders(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT COUNT(DISTINCT cardholder) FROM enrolments")
            .fetch_one(&self.pool)
            .await?)
    }
}

async fn erase_references(tx: &mut Tx<'_>, cardholder: &CardholderId) -> Result<Vec<Sha256>, StoreError> {
    let sealed: Vec<Vec<u8>> =
        sqlx::query_scalar("DELETE FROM enrolments WHERE cardholder = $1 RETURNING sealed")
            .bind(cardholder.as_str())
            .fetch_all(&mut **tx)
            .await?;
    Ok(sealed.iter().map(|s| Sha256::of(s)).collect())
}

/// Erases an alert's content and what people did with it; how many withdrawals went
/// with it. Its place in the box's chain stays: number and digest.
async fn erase_alert(tx: &mut Tx<'_>, alert: &str) -> Result<u64, StoreError> {
    let withdrawn = sqlx::query(
        "DELETE FROM payloads WHERE event IN (SELECT w.event FROM withdrawals w \
         JOIN events e ON e.id = w.alert AND e.agent = w.agent WHERE w.alert = $1)",
    )
    .bind(alert)
    .execute(&mut **tx)
    .await?
    .rows_affected();
    for sql in ["DELETE FROM withdrawals WHERE alert = $1", "DELETE FROM payloads WHERE event = $1"] {
        sqlx::query(sql).bind(alert).execute(&mut **tx).await?;
    }
    Ok(withdrawn)
}
