//! Cardholders whom no window judges. What it is for, `references` carries out.
//!
//! The reason may be a diagnosis: it is sealed, and goes with its row.

use ring::hmac;

use super::{Store, StoreError, parse};
use crate::clock::WallTime;
use crate::protocol::id::{CardholderId, SettlementId};

/// An exemption as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Exemption {
    /// Whose.
    pub cardholder: CardholderId,
    /// From this moment on it is over.
    pub until: WallTime,
    /// Who gave it.
    pub by: String,
    /// When it was given.
    pub at: WallTime,
    /// Why; sealed on the disk.
    pub reason: String,
}

fn label(cardholder: &str) -> String {
    format!("exemptions/{cardholder}")
}

impl Store {
    /// Keeps an exemption, in place of the one that the cardholder has.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn exempt(&self, new: &Exemption) -> Result<(), StoreError> {
        let sealed = self.seal(&label(new.cardholder.as_str()), new.reason.as_bytes())?;
        sqlx::query(
            "INSERT INTO exemptions (cardholder, until, by_whom, at, sealed) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (cardholder) DO UPDATE SET until = excluded.until, by_whom = excluded.by_whom, \
             at = excluded.at, sealed = excluded.sealed",
        )
        .bind(new.cardholder.as_str())
        .bind(new.until.as_millis())
        .bind(&new.by)
        .bind(new.at.as_millis())
        .bind(sealed)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Ends a cardholder's exemption; whether there was one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn end_exemption(&self, cardholder: &CardholderId) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM exemptions WHERE cardholder = $1")
            .bind(cardholder.as_str())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The exemptions in force, those that end soonest first.
    ///
    /// # Errors
    /// If the database fails, or a row cannot be opened.
    pub async fn exemptions(&self, now: WallTime) -> Result<Vec<Exemption>, StoreError> {
        let rows: Vec<(String, i64, String, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT cardholder, until, by_whom, at, sealed FROM exemptions WHERE until > $1 \
             ORDER BY until, cardholder",
        )
        .bind(now.as_millis())
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(cardholder, until, by, at, sealed)| {
                let label = label(&cardholder);
                let plain = self
                    .key
                    .open(&label, &sealed)
                    .map_err(|source| StoreError::Seal { label: label.clone(), source })?;
                let reason = std::str::from_utf8(&plain)
                    .map_err(|_| StoreError::Content { label: label.clone(), what: "not text".into() })?;
                Ok(Exemption {
                    cardholder: parse(&label, &cardholder)?,
                    until: WallTime::from_millis(until),
                    by,
                    at: WallTime::from_millis(at),
                    reason: reason.to_owned(),
                })
            })
            .collect()
    }

    /// Whether anything is enrolled for a cardholder, exempt or not.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn is_enrolled(&self, cardholder: &CardholderId) -> Result<bool, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM enrolments WHERE cardholder = $1")
            .bind(cardholder.as_str())
            .fetch_one(&self.pool)
            .await?;
        Ok(count > 0)
    }

    /// What the record of acts calls a cardholder: a keyed hash, so that it tells
    /// nobody who was exempt, and whoever has the root key and the number finds
    /// the acts about them.
    pub fn mark(&self, cardholder: &CardholderId) -> String {
        mark(&self.marks, cardholder.as_str())
    }

    /// By which a settlement is found on lists: a keyed hash of its number.
    pub fn mark_settlement(&self, settlement: &SettlementId) -> String {
        mark(&self.settlements, settlement.as_str())
    }
}

fn mark(key: &[u8; 32], text: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
    tag.as_ref().iter().take(8).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::retention::{self, Kind, Retention};
    use crate::bureau::store::NewReference;
    use crate::bureau::store::tests::on_both;
    use crate::crypto::Sha256;
    use crate::protocol::reference::Template;

    const REASON: &str = "Bell's palsy, left";

    fn at(ms: i64) -> WallTime {
        WallTime::from_millis(ms)
    }

    fn exemption(cardholder: &str, until: i64, by: &str) -> Exemption {
        let cardholder = cardholder.parse().unwrap();
        Exemption { cardholder, until: at(until), by: by.into(), at: at(1), reason: REASON.into() }
    }

    #[tokio::test]
    async fn references_are_withheld_until_the_moment_it_is_over_and_of_nobody_else() {
        on_both(async |store| {
            let people: [CardholderId; 2] = ["P0001", "P0002"].map(|p| p.parse().unwrap());
            let template = Template::from_raw(vec![3.0, 4.0]).unwrap();
            for cardholder in &people {
                let photo = Sha256::of(cardholder.as_str().as_bytes());
                let (model, preprocessing) = (Sha256::of(b"m"), 1);
                let new = NewReference { cardholder, model, preprocessing, template: &template, photo };
                store.add_reference(&new, at(0)).await.unwrap();
            }
            store.exempt(&exemption("P0001", 10, "li")).await.unwrap();
            let handed =
                async |person: usize, now| store.references(&people[person], at(now)).await.unwrap().len();
            assert_eq!((handed(0, 2).await, handed(1, 2).await), (0, 1));
            assert!(store.is_enrolled(&people[0]).await.unwrap());
            assert_eq!((handed(0, 9).await, handed(0, 10).await), (0, 1));
            assert!(store.end_exemption(&people[0]).await.unwrap());
            assert_eq!(handed(0, 2).await, 1);
            assert!(!store.end_exemption(&people[0]).await.unwrap());
        })
        .await;
    }

    #[tokio::test]
    async fn a_second_one_takes_the_place_of_the_first_and_its_reason_is_sealed() {
        on_both(async |store| {
            store.exempt(&exemption("P0001", 10, "li")).await.unwrap();
            store.exempt(&exemption("P0002", 8, "li")).await.unwrap();
            store.exempt(&exemption("P0001", 5, "wu")).await.unwrap();
            let held = store.exemptions(at(4)).await.unwrap();
            assert!(held == [exemption("P0001", 5, "wu"), exemption("P0002", 8, "li")]);
            assert_eq!(store.exemptions(at(5)).await.unwrap().len(), 1);
            let sealed: Vec<Vec<u8>> =
                sqlx::query_scalar("SELECT sealed FROM exemptions").fetch_all(&store.pool).await.unwrap();
            assert!(sealed.iter().all(|s| !s.windows(5).any(|w| w == &REASON.as_bytes()[..5])));
            let marks = ["P0001", "P0002"].map(|p| store.mark(&p.parse().unwrap()));
            assert!(marks[0].len() == 16 && marks[0] != marks[1], "{marks:?}");
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_over_goes_with_the_next_run_and_leaves_its_evidence() {
        on_both(async |store| {
            store.exempt(&exemption("P0001", 10, "li")).await.unwrap();
            store.exempt(&exemption("P0002", 20, "li")).await.unwrap();
            retention::purge(&store, &Retention::default(), at(10)).await.unwrap();
            let report = store.purge_reports(9).await.unwrap();
            let report = report.into_iter().find(|r| r.kind == "exemptions").unwrap();
            assert_eq!((report.deleted, report.cutoff, report.oldest_left), (1, at(10), Some(at(20))));
            let left: i64 =
                sqlx::query_scalar("SELECT COUNT(*) FROM exemptions").fetch_one(&store.pool).await.unwrap();
            assert_eq!(left, 1);
            let done = store.purge(Kind::Exemptions, at(20), at(20)).await.unwrap();
            assert_eq!((done.deleted, done.oldest_deleted, done.oldest_left), (1, Some(at(20)), None));
        })
        .await;
    }
}
