//! Facts of check-ins: who was to be seen where, when and by whom, and what one
//! photograph said. A cardholder is found by the mark; number, place, reason and the
//! band of the score are sealed.
//!
//! What it cannot hold: a photograph, an embedding, a comparison score.

use serde::{Deserialize, Serialize};

use super::{Store, StoreError, parse};
use crate::clock::WallTime;
use crate::protocol::check_in::{CheckInVerdict, PlaceSeen, Purpose, ScoreBand};
use crate::protocol::id::CardholderId;

/// A check-in as it is held.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckIn {
    /// Its id (UUIDv7).
    pub id: String,
    /// When it was received.
    pub at: WallTime,
    /// Who it was said to be.
    pub cardholder: CardholderId,
    /// The account that asked, or `app:` and the app's name.
    pub by: String,
    /// What it was for.
    pub purpose: Purpose,
    /// Where.
    pub place: PlaceSeen,
    /// What the photograph said.
    pub verdict: CheckInVerdict,
    /// Why it said no more.
    pub reason: Option<String>,
    /// The band of the comparison score.
    pub score_band: Option<ScoreBand>,
}

/// Which check-ins to list.
#[derive(Debug, Clone, Default)]
pub struct CheckInsAsked {
    /// Only this verdict.
    pub verdict: Option<CheckInVerdict>,
    /// Only this purpose.
    pub purpose: Option<Purpose>,
    /// Only those before the one with this id; empty for all.
    pub before: String,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    cardholder: CardholderId,
    place: PlaceSeen,
    reason: Option<String>,
    bin: Option<u8>,
}

fn label(id: &str) -> String {
    format!("check_ins/{id}")
}

type Row = (String, i64, String, String, String, Vec<u8>);

/// Check-ins as [`Store::check_in_of`] reads them.
macro_rules! check_ins {
    ($which:literal) => {
        concat!("SELECT id, at, by_whom, purpose, verdict, sealed FROM check_ins ", $which)
    };
}

impl Store {
    /// Keeps a check-in.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn keep_check_in(&self, new: &CheckIn) -> Result<(), StoreError> {
        let label = label(&new.id);
        let sealed = Sealed {
            cardholder: new.cardholder.clone(),
            place: new.place.clone(),
            reason: new.reason.clone(),
            bin: new.score_band.map(|band| band.bin),
        };
        let content =
            |e: serde_json::Error| StoreError::Content { label: label.clone(), what: e.to_string() };
        let plain = zeroize::Zeroizing::new(serde_json::to_vec(&sealed).map_err(content)?);
        sqlx::query(
            "INSERT INTO check_ins (id, at, mark, by_whom, purpose, verdict, sealed) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&new.id)
        .bind(new.at.as_millis())
        .bind(self.mark(&new.cardholder))
        .bind(&new.by)
        .bind(new.purpose.as_str())
        .bind(new.verdict.as_str())
        .bind(self.seal(&label, &plain)?)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    fn check_in_of(&self, row: Row) -> Result<CheckIn, StoreError> {
        let (id, at, by, purpose, verdict, sealed) = row;
        let label = label(&id);
        let plain = self
            .key
            .open(&label, &sealed)
            .map_err(|source| StoreError::Seal { label: label.clone(), source })?;
        let sealed: Sealed = serde_json::from_slice(&plain)
            .map_err(|e| StoreError::Content { label: label.clone(), what: e.to_string() })?;
        Ok(CheckIn {
            id,
            at: WallTime::from_millis(at),
            cardholder: sealed.cardholder,
            by,
            purpose: parse(&label, &purpose)?,
            place: sealed.place,
            verdict: parse(&label, &verdict)?,
            reason: sealed.reason,
            score_band: sealed.bin.map(ScoreBand::of_bin),
        })
    }

    /// A check-in.
    ///
    /// # Errors
    /// If the database fails, or the row cannot be opened.
    pub async fn check_in(&self, id: &str) -> Result<Option<CheckIn>, StoreError> {
        let row: Option<Row> =
            sqlx::query_as(check_ins!("WHERE id = $1")).bind(id).fetch_optional(&self.pool).await?;
        row.map(|r| self.check_in_of(r)).transpose()
    }

    /// Check-ins, latest first: ids begin with the time.
    ///
    /// # Errors
    /// If the database fails, or a row cannot be opened.
    pub async fn check_ins(&self, asked: CheckInsAsked, limit: u32) -> Result<Vec<CheckIn>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(check_ins!(
            "WHERE ($1 = '' OR id < $1) AND ($2 = '' OR verdict = $2) AND ($3 = '' OR purpose = $3) \
             ORDER BY id DESC LIMIT $4"
        ))
        .bind(asked.before)
        .bind(asked.verdict.map_or("", CheckInVerdict::as_str))
        .bind(asked.purpose.map_or("", Purpose::as_str))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(|r| self.check_in_of(r)).collect()
    }

    /// The check-ins about a cardholder, latest first.
    ///
    /// # Errors
    /// If the database fails, or a row cannot be opened.
    pub async fn check_ins_about(&self, mark: &str) -> Result<Vec<CheckIn>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(check_ins!("WHERE mark = $1 ORDER BY id DESC"))
            .bind(mark)
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(|r| self.check_in_of(r)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bureau::retention::Kind;
    use crate::bureau::store::tests::on_both;
    use crate::protocol::check_in::Doubt;

    /// A check-in at a moment.
    pub(in crate::bureau::store) fn made(id: &str, at: i64, cardholder: &str) -> CheckIn {
        CheckIn {
            id: id.into(),
            at: WallTime::from_millis(at),
            cardholder: cardholder.parse().unwrap(),
            by: "app:rounds".into(),
            purpose: Purpose::WardRound,
            place: "ward 3, bed 12".parse().unwrap(),
            verdict: CheckInVerdict::Inconclusive,
            reason: Some(Doubt::Blurred.as_str().into()),
            score_band: Some(ScoreBand::of(0.41)),
        }
    }

    #[tokio::test]
    async fn facts_are_kept_sealed_found_by_mark_and_end_at_their_limit() {
        on_both(async |store| {
            let at = WallTime::from_millis;
            let first = made("a", 5, "P0001");
            let second = CheckIn {
                verdict: CheckInVerdict::Match,
                purpose: Purpose::SignIn,
                reason: None,
                score_band: None,
                ..made("b", 9, "P0002")
            };
            for check_in in [&first, &second] {
                store.keep_check_in(check_in).await.unwrap();
            }
            assert_eq!(store.check_in("a").await.unwrap().as_ref(), Some(&first));
            assert_eq!(store.check_in("c").await.unwrap(), None);
            let all = store.check_ins(CheckInsAsked::default(), 9).await.unwrap();
            assert_eq!(all, [second.clone(), first.clone()]);
            let matches = CheckInsAsked { verdict: Some(CheckInVerdict::Match), ..CheckInsAsked::default() };
            assert_eq!(store.check_ins(matches, 9).await.unwrap(), std::slice::from_ref(&second));
            let before = CheckInsAsked {
                before: "b".into(),
                purpose: Some(Purpose::WardRound),
                ..CheckInsAsked::default()
            };
            assert_eq!(store.check_ins(before, 9).await.unwrap(), std::slice::from_ref(&first));
            let mark = store.mark(&first.cardholder);
            assert_eq!(store.check_ins_about(&mark).await.unwrap(), [first]);
            let sealed: Vec<Vec<u8>> =
                sqlx::query_scalar("SELECT sealed FROM check_ins").fetch_all(&store.pool).await.unwrap();
            for word in ["P0001", "ward 3", "blurred"] {
                assert!(
                    sealed.iter().all(|s| !s.windows(word.len()).any(|w| w == word.as_bytes())),
                    "{word}"
                );
            }
            assert_eq!(store.purge(Kind::CheckIns, at(9), at(20)).await.unwrap().deleted, 1);
            assert_eq!(store.purge(Kind::CheckIns, at(9), at(20)).await.unwrap().oldest_left, Some(at(9)));
        })
        .await;
    }
}
