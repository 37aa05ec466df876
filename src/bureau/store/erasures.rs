//! What is held about one cardholder, and its erasure: everything that no case holds,
//! in one transaction with its signed receipt.

use serde::{Deserialize, Serialize};

use super::requests::Request;
use super::{Store, StoreError, Tx, parse};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::{Signature, SigningKey};
use crate::protocol::id::{AlertId, CardholderId};

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
    /// How many rows of imported settlement statistics went.
    pub settlement_figures: u64,
    /// How many facts of check-ins went; receipts of before there were any leave it out.
    #[serde(default)]
    pub check_ins: u64,
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
        let settlement_figures = erase_settled(&mut tx, &request.mark).await?;
        let check_ins = sqlx::query("DELETE FROM check_ins WHERE mark = $1")
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
            settlement_figures,
            check_ins,
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
    sqlx::query("DELETE FROM certificates WHERE cardholder = $1")
        .bind(cardholder.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(sealed.iter().map(|s| Sha256::of(s)).collect())
}

/// Erases the imported settlement statistics of a cardholder; how many lines that was.
async fn erase_settled(tx: &mut Tx<'_>, mark: &str) -> Result<u64, StoreError> {
    let mut lines = 0;
    for (sql, counts) in [
        ("DELETE FROM settlement_people WHERE cardholder = $1", 0),
        ("DELETE FROM settlement_figures WHERE cardholder = $1", 1),
    ] {
        lines += counts * sqlx::query(sql).bind(mark).execute(&mut **tx).await?.rows_affected();
    }
    Ok(lines)
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bureau::figures::calendar::Month;
    use crate::bureau::figures::import::Line;
    use crate::bureau::store::NewReference;
    use crate::bureau::store::check_ins::tests::made;
    use crate::bureau::store::events::tests::{Bench, chain, withdrawal};
    use crate::bureau::store::requests::tests::asked;
    use crate::bureau::store::tests::on_both;
    use crate::crypto::sign::Unverified;
    use crate::protocol::alert::{Content, Event};
    use crate::protocol::commission::tests::key;
    use crate::protocol::id::Epoch;
    use crate::protocol::reference::Template;

    const fn at(ms: i64) -> WallTime {
        WallTime::from_millis(ms)
    }

    fn cardholder(event: &Event) -> CardholderId {
        let Content::Mismatch(data) = &event.content else { panic!() };
        data.cardholder.clone()
    }

    async fn enrolled(store: &Store, cardholder: &CardholderId) {
        let template = Template::from_raw(vec![3.0, 4.0]).unwrap();
        let (model, photo) = (Sha256::of(b"m"), Sha256::of(cardholder.as_str().as_bytes()));
        let new = NewReference { cardholder, model, preprocessing: 1, template: &template, photo };
        store.add_reference(&new, at(1)).await.unwrap();
    }

    /// Imports a month of each of them, one after the other.
    async fn settled(store: &Store, people: &[&CardholderId]) {
        let line = |(cardholder, month): (&&CardholderId, i64)| Line {
            month: Month::from_number(month).unwrap(),
            cardholder: (*cardholder).clone(),
            hospital: "H1".parse().unwrap(),
            medical_type: "11".parse().unwrap(),
            settlements: 1,
            amount_fen: 100,
        };
        let lines: Vec<Line> = people.iter().zip(202601..).map(line).collect();
        store.import_settled(Sha256::of(b"a file"), &lines, "li", at(1)).await.unwrap();
    }

    /// Puts an alert into a case in that state, and under legal hold if `held` is 1.
    pub(in crate::bureau::store) async fn keep_in_a_case(
        store: &Store,
        alert: &Event,
        (state, held): (&str, i64),
    ) {
        sqlx::query(
            "INSERT INTO cases (number, state, held, opened_at, opened_by, changed_at, sealed) \
             VALUES ('A1', $1, $2, 1, 'li', 1, $3)",
        )
        .bind(state)
        .bind(held)
        .bind(&b"x"[..])
        .execute(&store.pool)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO case_alerts (alert, case_number, joined_at, joined_by, hospital, occurred_at, \
             amount_fen, finding, decided_at) VALUES ($1, 'A1', 1, 'li', 'H1', 1, 1, 'impersonation', 1)",
        )
        .bind(alert.id.to_string())
        .execute(&store.pool)
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn everything_about_a_person_goes_but_what_a_case_holds_and_the_receipt_says_so() {
        on_both(async |store| {
            let bench = Bench::new(store).await;
            let events = chain(3, Epoch::new());
            for event in &events {
                bench.put(event, 2).await;
            }
            bench.put(&withdrawal(&events[0], 9), 3).await;
            let (store, who) = (&bench.store, cardholder(&events[0]));
            let somebody: CardholderId = "P9999".parse().unwrap();
            for person in [&who, &somebody] {
                enrolled(store, person).await;
            }
            settled(store, &[&who, &who, &somebody]).await;
            for (id, person) in [("c1", &who), ("c2", &somebody)] {
                store.keep_check_in(&made(id, 3, person.as_str())).await.unwrap();
            }
            keep_in_a_case(store, &events[1], ("closed", 1)).await;
            let request = asked(store, "erasure", &who).await;
            let before = store.alerts_about(&request.mark).await.unwrap();
            let kept: Vec<_> = before.iter().filter_map(|a| a.kept_by.as_ref()).collect();
            assert_eq!((before.len(), kept[0].reason.as_str()), (3, "legal_hold"));

            let key = key();
            let receipt = store.erase_for(&request, &key, "chen", at(20)).await.unwrap();
            let erasure = &receipt.erasure;
            let digest = |e: &Event| Sha256::of(&e.to_bytes().unwrap());
            assert_eq!(erasure.alerts, [digest(&events[0]), digest(&events[2])]);
            assert_eq!(
                (
                    erasure.references.len(),
                    erasure.withdrawals,
                    erasure.settlement_figures,
                    erasure.check_ins
                ),
                (1, 1, 2, 1)
            );
            let marks = [&who, &somebody].map(|person| store.mark(person));
            assert!(store.settled_of(&marks[0]).await.unwrap().is_empty());
            assert_eq!(store.settled_by(&marks[0]).await.unwrap(), None);
            assert_eq!(store.settled_of(&marks[1]).await.unwrap().len(), 1);
            assert!(store.check_ins_about(&marks[0]).await.unwrap().is_empty());
            assert_eq!(store.check_ins_about(&marks[1]).await.unwrap().len(), 1);
            let stays = Stays { alert: digest(&events[1]), case: "A1".into(), reason: "legal_hold".into() };
            assert_eq!(erasure.stays, [stays]);
            assert!(!receipt.document.contains(who.as_str()) && receipt.document.contains(&request.mark));
            let signed = Unverified::new(receipt.document.as_bytes(), receipt.signature.clone());
            assert!(signed.verify(&key.public()).is_ok());
            assert_eq!(store.receipts(&request.id).await.unwrap(), [receipt]);

            let left = store.alerts_about(&request.mark).await.unwrap();
            assert_eq!(left.iter().map(|a| a.id).collect::<Vec<_>>(), [events[1].id]);
            assert!(store.evidence(events[1].id).await.unwrap().is_some());
            assert!(store.evidence(events[0].id).await.unwrap().is_none());
            assert!(store.held_references(&who).await.unwrap().is_empty());
            assert_eq!(store.held_references(&somebody).await.unwrap().len(), 1);
            assert_eq!(store.enrolled_cardholders().await.unwrap(), 1);
        })
        .await;
    }
}
