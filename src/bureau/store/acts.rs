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

/// Which acts are asked for; what is empty does not narrow.
#[derive(Debug, Clone)]
pub struct ActsAsked {
    /// By this person.
    pub by: String,
    /// What was done, whole or its beginning.
    pub what: String,
    /// About this.
    pub about: String,
    /// Not before this moment.
    pub from: WallTime,
    /// Before this moment.
    pub to: WallTime,
    /// Written before the act of this number.
    pub before: i64,
}

/// An act and its number; later ones have greater numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedAct {
    /// Its number.
    pub number: i64,
    /// What was done.
    pub act: Act,
}

// Three statements, so that each finds its index.
const OF_ALL: &str = "SELECT id, at, by_whom, what, about, detail FROM acts \
     WHERE id < $1 AND ($2 = '' OR by_whom = $2) AND ($3 = '' OR about = $3) \
     AND ($4 = '' OR substr(what, 1, length($4)) = $4) AND at >= $5 AND at < $6 ORDER BY id DESC LIMIT $7";
const OF_PERSON: &str = "SELECT id, at, by_whom, what, about, detail FROM acts \
     WHERE id < $1 AND by_whom = $2 AND ($3 = '' OR about = $3) \
     AND ($4 = '' OR substr(what, 1, length($4)) = $4) AND at >= $5 AND at < $6 ORDER BY id DESC LIMIT $7";
const OF_THING: &str = "SELECT id, at, by_whom, what, about, detail FROM acts \
     WHERE id < $1 AND ($2 = '' OR by_whom = $2) AND about = $3 \
     AND ($4 = '' OR substr(what, 1, length($4)) = $4) AND at >= $5 AND at < $6 ORDER BY id DESC LIMIT $7";

impl Store {
    /// The acts that are asked for, newest first, at most `limit`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find_acts(&self, asked: &ActsAsked, limit: i64) -> Result<Vec<NumberedAct>, StoreError> {
        let sql = match (asked.by.as_str(), asked.about.as_str()) {
            ("", "") => OF_ALL,
            ("", _) => OF_THING,
            _ => OF_PERSON,
        };
        let rows: Vec<(i64, i64, String, String, String, String)> = sqlx::query_as(sql)
            .bind(asked.before)
            .bind(&asked.by)
            .bind(&asked.about)
            .bind(&asked.what)
            .bind(asked.from.as_millis())
            .bind(asked.to.as_millis())
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        let act = |(number, at, by, what, about, detail)| NumberedAct {
            number,
            act: Act { at: WallTime::from_millis(at), by, what, about, detail },
        };
        Ok(rows.into_iter().map(act).collect())
    }

    /// Writes an act down. It is written before it is done, so that nothing is
    /// done that is not written; one that was refused stands there too.
    ///
    /// # Errors
    /// If the database fails: then it must not be done.
    pub async fn act(&self, act: &Act) -> Result<(), StoreError> {
        write(&self.pool, act).await
    }

    /// What was done about one thing, oldest first, at most 1000; nobody's looks.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn done_about(&self, about: &str) -> Result<Vec<Act>, StoreError> {
        let rows: Vec<(i64, String, String, String, String)> = sqlx::query_as(
            "SELECT at, by_whom, what, about, detail FROM acts WHERE about = $1 AND what NOT LIKE '%look' \
             AND what NOT LIKE '%print' ORDER BY id LIMIT 1000",
        )
        .bind(about)
        .fetch_all(&self.pool)
        .await?;
        let act =
            |(at, by, what, about, detail)| Act { at: WallTime::from_millis(at), by, what, about, detail };
        Ok(rows.into_iter().map(act).collect())
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
    async fn acts_are_found_by_person_thing_words_and_time_page_by_page() {
        on_both(async |store| {
            let at = WallTime::from_millis;
            for n in 0..30 {
                let (by, about) =
                    (["li", "chen"][n % 2].to_owned(), ["box-1", "box-2", "box-3"][n % 3].to_owned());
                let what = ["see alert", "agents add"][usize::from(n >= 20)].to_owned();
                let act = Act { at: at(i64::try_from(n).unwrap()), by, what, about, detail: String::new() };
                store.act(&act).await.unwrap();
            }
            let all = ActsAsked {
                by: String::new(),
                what: String::new(),
                about: String::new(),
                from: at(i64::MIN),
                to: at(i64::MAX),
                before: i64::MAX,
            };
            let times = async |asked: ActsAsked| -> Vec<i64> {
                let found = store.find_acts(&asked, 5).await.unwrap();
                found.into_iter().map(|a| a.act.at.as_millis()).collect()
            };
            assert_eq!(times(all.clone()).await, [29, 28, 27, 26, 25]);
            let last = store.find_acts(&all, 5).await.unwrap()[4].number;
            assert_eq!(times(ActsAsked { before: last, ..all.clone() }).await, [24, 23, 22, 21, 20]);
            assert_eq!(times(ActsAsked { by: "li".into(), ..all.clone() }).await, [28, 26, 24, 22, 20]);
            let both = ActsAsked { by: "li".into(), about: "box-1".into(), ..all.clone() };
            assert_eq!(times(both).await, [24, 18, 12, 6, 0]);
            let thing = ActsAsked { about: "box-3".into(), what: "see".into(), ..all.clone() };
            assert_eq!(times(thing).await, [17, 14, 11, 8, 5]);
            assert_eq!(times(ActsAsked { from: at(2), to: at(4), ..all }).await, [3, 2]);
        })
        .await;
    }

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
