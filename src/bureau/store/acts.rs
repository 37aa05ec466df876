//! Who did what at the bureau.

use super::{Pool, Store, StoreError};
use crate::clock::WallTime;

/// One act of a person: a box added, suspended, given a new key; a bundle
/// taken out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Act {
    /// When.
    pub at: WallTime,
    /// Who, as they named themselves or as the system knows them.
    pub by: String,
    /// What: the command's words.
    pub what: String,
    /// About which box or alert, or the mark of which cardholder.
    pub about: String,
    /// More of it, where there is more; nothing about a patient.
    pub detail: String,
}

impl Store {
    /// Writes an act down. It is written before it is done, so that nothing is
    /// done that is not written; one that was refused stands there too.
    ///
    /// # Errors
    /// If the database fails: then it must not be done.
    pub async fn act(&self, act: &Act) -> Result<(), StoreError> {
        write(&self.pool, act).await
    }

    /// The latest acts, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn acts(&self, limit: u32) -> Result<Vec<Act>, StoreError> {
        let rows: Vec<(i64, String, String, String, String)> =
            sqlx::query_as("SELECT at, by_whom, what, about, detail FROM acts ORDER BY id DESC LIMIT $1")
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .await?;
        let act =
            |(at, by, what, about, detail)| Act { at: WallTime::from_millis(at), by, what, about, detail };
        Ok(rows.into_iter().map(act).collect())
    }
}

pub(super) async fn write(pool: &Pool, act: &Act) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO acts (at, by_whom, what, about, detail) VALUES ($1, $2, $3, $4, $5)")
        .bind(act.at.as_millis())
        .bind(&act.by)
        .bind(&act.what)
        .bind(&act.about)
        .bind(&act.detail)
        .execute(pool)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::retention::Kind;
    use crate::bureau::store::tests::on_both;

    #[tokio::test]
    async fn acts_are_listed_newest_first_and_end_at_their_limit() {
        on_both(async |store| {
            let act = |at, what: &str| Act {
                at: WallTime::from_millis(at),
                by: "li".into(),
                what: what.into(),
                about: "box-1".into(),
                detail: String::new(),
            };
            store.act(&act(1, "agents add")).await.unwrap();
            store.act(&act(2, "agents suspend")).await.unwrap();
            let all = store.acts(10).await.unwrap();
            assert_eq!(all, [act(2, "agents suspend"), act(1, "agents add")]);
            let at = WallTime::from_millis;
            assert_eq!(store.purge(Kind::Acts, at(2), at(9)).await.unwrap().deleted, 1);
            assert_eq!(store.acts(10).await.unwrap().len(), 1);
            // The evidence of purges ends with them: that of the run at 9, by one at 20.
            let done = store.purge(Kind::Acts, at(10), at(20)).await.unwrap();
            assert_eq!((done.deleted, done.oldest_left), (2, Some(at(20))));
            let left: Vec<_> = store.purge_reports(9).await.unwrap().into_iter().map(|r| r.at).collect();
            assert_eq!(left, [at(20)]);
        })
        .await;
    }
}
