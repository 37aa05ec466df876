//! Imported settlement statistics of cardholders.
//!
//! Promises: a file is in the store whole or not at all, and the same file is known
//! by its digest; a cardholder stands in the index as a mark, and the number itself
//! is sealed; a line of a later file takes the place of the one for the same month,
//! cardholder, hospital and medical type.

use std::collections::{BTreeMap, BTreeSet};

use super::{Store, StoreError, Tx, parse};
use crate::bureau::figures::calendar::Month;
use crate::bureau::figures::import::Line;
use crate::bureau::figures::unusual::Settled;
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::protocol::id::CardholderId;

use super::figures::{Place, in_place, natural, of_place};

/// Pairs of cardholder and medical type that are looked at together: no question takes all memory.
pub const MOST_SETTLED: usize = 2_000_000;

/// A file that was imported.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Import {
    /// Its SHA-256.
    pub digest: Sha256,
    /// When.
    pub at: WallTime,
    /// Who did it.
    pub by: String,
    /// Its lines.
    pub lines: u64,
    /// How many of them took the place of earlier ones.
    pub replaced: u64,
}

/// What came of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// It is in the store now.
    New(Import),
    /// The same file was imported before.
    Before(Import),
}

/// Settlements of a cardholder in one month, for an export of what is held.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MonthSettled {
    /// The month as `YYYY-MM`.
    pub month: String,
    /// The hospital's code.
    pub hospital: String,
    /// Of which medical type.
    pub medical_type: String,
    /// How many.
    pub settlements: i64,
    /// Their amounts together, in fen.
    pub amount_fen: i64,
}

fn label(mark: &str) -> String {
    format!("settlement_people/{mark}")
}

type ImportRow = (String, i64, String, i64, i64);

fn import((digest, at, by, lines, replaced): ImportRow) -> Result<Import, StoreError> {
    let digest = parse("settlement_imports", &digest)?;
    let (lines, replaced) = (natural(lines), natural(replaced));
    Ok(Import { digest, at: WallTime::from_millis(at), by, lines, replaced })
}

const IMPORT: &str =
    "SELECT digest, at, by_whom, rows_in, replaced FROM settlement_imports WHERE digest = $1";

impl Store {
    /// Takes the lines of a file into the store, all of them or none.
    ///
    /// # Errors
    /// If the database fails; nothing is imported then.
    pub async fn import_settled(
        &self,
        digest: Sha256,
        lines: &[Line],
        by: &str,
        now: WallTime,
    ) -> Result<Imported, StoreError> {
        let mut tx = self.pool.begin().await?;
        let rows = i64::try_from(lines.len()).unwrap_or(i64::MAX);
        let new = sqlx::query(
            "INSERT INTO settlement_imports (digest, at, by_whom, rows_in, replaced) VALUES ($1, $2, $3, $4, 0) \
             ON CONFLICT (digest) DO NOTHING",
        )
        .bind(digest.to_string())
        .bind(now.as_millis())
        .bind(by)
        .bind(rows)
        .execute(&mut *tx)
        .await?;
        if new.rows_affected() == 0 {
            let before: ImportRow =
                sqlx::query_as(IMPORT).bind(digest.to_string()).fetch_one(&mut *tx).await?;
            return Ok(Imported::Before(import(before)?));
        }
        let mut people = BTreeMap::new();
        let mut replaced: i64 = 0;
        for line in lines {
            let mark = people.entry(&line.cardholder).or_insert_with(|| self.mark(&line.cardholder));
            replaced += i64::from(keep(&mut tx, line, mark).await?);
        }
        for (cardholder, mark) in people {
            let sealed = self.seal(&label(&mark), cardholder.as_str().as_bytes())?;
            sqlx::query(
                "INSERT INTO settlement_people (cardholder, sealed) VALUES ($1, $2) ON CONFLICT (cardholder) DO NOTHING",
            )
            .bind(&mark)
            .bind(sealed)
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query("UPDATE settlement_imports SET replaced = $2 WHERE digest = $1")
            .bind(digest.to_string())
            .bind(replaced)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        let lines = natural(rows);
        Ok(Imported::New(Import { digest, at: now, by: by.into(), lines, replaced: natural(replaced) }))
    }

    /// The latest imports, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn settled_imports(&self, limit: u32) -> Result<Vec<Import>, StoreError> {
        let rows: Vec<ImportRow> = sqlx::query_as(
            "SELECT digest, at, by_whom, rows_in, replaced FROM settlement_imports ORDER BY at DESC, digest LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(import).collect()
    }

    /// What each cardholder settled of each medical type in the months from the first to
    /// the last; nothing if that is more than [`MOST_SETTLED`].
    ///
    /// # Errors
    /// If the database fails.
    pub async fn settled(
        &self,
        first: Month,
        last: Month,
        place: &Place,
    ) -> Result<Option<Vec<Settled>>, StoreError> {
        let rows: Vec<(String, String, i64, i64)> = of_place(in_place!(
            "SELECT cardholder, medical_type, CAST(SUM(settlements) AS BIGINT), CAST(SUM(amount_fen) AS BIGINT) \
             FROM settlement_figures WHERE month BETWEEN $1 AND $2",
            "GROUP BY cardholder, medical_type LIMIT $5"
        ), (first.number(), last.number()), place)
        .bind(i64::try_from(MOST_SETTLED).unwrap_or(i64::MAX).saturating_add(1))
        .fetch_all(&self.pool)
        .await?;
        let settled = |(cardholder, medical_type, settlements, amount_fen)| Settled {
            cardholder,
            medical_type,
            settlements,
            amount_fen,
        };
        Ok((rows.len() <= MOST_SETTLED).then(|| rows.into_iter().map(settled).collect()))
    }

    /// The months of which something is known.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn settled_months(&self) -> Result<BTreeSet<Month>, StoreError> {
        let rows: Vec<(i64,)> =
            sqlx::query_as("SELECT DISTINCT month FROM settlement_figures").fetch_all(&self.pool).await?;
        let month = |(n,)| {
            Month::from_number(n)
                .map_err(|e| StoreError::Content { label: "settlement_figures".into(), what: e.to_string() })
        };
        rows.into_iter().map(month).collect()
    }

    /// Whom a mark of the statistics stands for; nothing if it is none of them. A look
    /// at this is a look at a person: the caller has recorded it.
    ///
    /// # Errors
    /// If the database fails, or the row was changed.
    pub async fn settled_by(&self, mark: &str) -> Result<Option<CardholderId>, StoreError> {
        let sealed: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT sealed FROM settlement_people WHERE cardholder = $1")
                .bind(mark)
                .fetch_optional(&self.pool)
                .await?;
        let Some(sealed) = sealed else { return Ok(None) };
        let label = label(mark);
        let plain = self
            .key
            .open(&label, &sealed)
            .map_err(|source| StoreError::Seal { label: label.clone(), source })?;
        parse(&label, &String::from_utf8_lossy(&plain)).map(Some)
    }

    /// What is held of one cardholder, month by month, for an export.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn settled_of(&self, mark: &str) -> Result<Vec<MonthSettled>, StoreError> {
        let rows: Vec<(i64, String, String, i64, i64)> = sqlx::query_as(
            "SELECT month, hospital, medical_type, settlements, amount_fen FROM settlement_figures \
             WHERE cardholder = $1 ORDER BY month, hospital, medical_type",
        )
        .bind(mark)
        .fetch_all(&self.pool)
        .await?;
        let one = |(month, hospital, medical_type, settlements, amount_fen)| MonthSettled {
            month: Month::from_number(month).map_or_else(|_| month.to_string(), |m| m.to_string()),
            hospital,
            medical_type,
            settlements,
            amount_fen,
        };
        Ok(rows.into_iter().map(one).collect())
    }
}

/// Keeps a line; whether it took the place of an earlier one.
async fn keep(tx: &mut Tx<'_>, line: &Line, mark: &str) -> Result<bool, StoreError> {
    let of_line = |sql: &'static str| {
        sqlx::query(sql)
            .bind(line.month.number())
            .bind(mark)
            .bind(line.hospital.as_str())
            .bind(line.medical_type.as_str())
            .bind(line.settlements)
            .bind(line.amount_fen)
    };
    let earlier = "UPDATE settlement_figures SET settlements = $5, amount_fen = $6 \
                   WHERE month = $1 AND cardholder = $2 AND hospital = $3 AND medical_type = $4";
    if of_line(earlier).execute(&mut **tx).await?.rows_affected() > 0 {
        return Ok(true);
    }
    let new = "INSERT INTO settlement_figures \
               (month, cardholder, hospital, medical_type, settlements, amount_fen, month_ends) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    of_line(new).bind(line.month.ends().as_millis()).execute(&mut **tx).await?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::figures::import::{Allowed, read};
    use crate::bureau::retention::Kind;
    use crate::bureau::store::tests::{on_both, store};

    fn month(text: &str) -> Month {
        text.parse().unwrap()
    }

    fn lines(text: &str) -> (Sha256, Vec<Line>) {
        let text = format!("month,cardholder,hospital,medical_type,settlements,amount_fen\n{text}");
        let allowed = Allowed { first: month("2025-01"), last: month("2026-12") };
        (Sha256::of(text.as_bytes()), read(text.as_bytes(), allowed).ok().unwrap())
    }

    #[tokio::test]
    async fn a_file_is_known_again_and_a_later_one_corrects_it() {
        on_both(async |store| {
            let now = WallTime::from_millis(1);
            let (digest, first) =
                lines("2026-09,P1,H1,11,3,300\n2026-10,P1,H2,11,1,50\n2026-10,P2,H1,14,9,900\n");
            let new = store.import_settled(digest, &first, "li", now).await.unwrap();
            let Imported::New(import) = new else { panic!("{new:?}") };
            assert_eq!((import.lines, import.replaced), (3, 0));
            let again = store.import_settled(digest, &first, "wang", WallTime::from_millis(2)).await.unwrap();
            assert_eq!(again, Imported::Before(import));
            let (digest, second) = lines("2026-10,P2,H1,14,10,1000\n2026-10,P3,H1,14,1,1\n");
            let later = store.import_settled(digest, &second, "li", now).await.unwrap();
            assert!(matches!(later, Imported::New(Import { lines: 2, replaced: 1, .. })), "{later:?}");
            assert_eq!(store.settled_imports(9).await.unwrap().len(), 2);

            let p = |n: &str| store.mark(&n.parse().unwrap());
            let (p1, p2) = (p("P1"), p("P2"));
            let mut all =
                store.settled(month("2026-09"), month("2026-10"), &Place::default()).await.unwrap().unwrap();
            all.sort_by_key(|s| (s.medical_type.clone(), s.settlements));
            let told: Vec<_> = all.iter().map(|s| (&s.cardholder, s.settlements, s.amount_fen)).collect();
            assert_eq!(told, [(&p1, 4, 350), (&p("P3"), 1, 1), (&p2, 10, 1000)]);
            let at_h2 = Place { hospital: "H2".into(), district: String::new() };
            assert_eq!(
                store.settled(month("2026-10"), month("2026-10"), &at_h2).await.unwrap().unwrap().len(),
                1
            );
            assert_eq!(store.settled_months().await.unwrap(), [month("2026-09"), month("2026-10")].into());

            assert_eq!(store.settled_by(&p1).await.unwrap(), Some("P1".parse().unwrap()));
            assert_eq!(store.settled_by("0000").await.unwrap(), None);
            assert_eq!(store.settled_of(&p1).await.unwrap().len(), 2);
        })
        .await;
    }

    #[tokio::test]
    async fn statistics_end_with_their_month_and_nobody_stays_behind() {
        on_both(async |store| {
            let (digest, first) = lines("2026-09,P1,H1,11,3,300\n2026-10,P2,H1,11,1,50\n");
            store.import_settled(digest, &first, "li", month("2026-11").begins()).await.unwrap();
            let done =
                store.purge(Kind::SettlementFigures, month("2026-10").ends(), WallTime::from_millis(9)).await;
            let done = done.unwrap();
            assert_eq!(done.oldest_left, Some(month("2026-10").ends()));
            let p = |n: &str| store.mark(&n.parse().unwrap());
            assert_eq!(store.settled_by(&p("P1")).await.unwrap(), None);
            assert!(store.settled_by(&p("P2")).await.unwrap().is_some());
        })
        .await;
    }

    #[tokio::test]
    async fn no_number_of_a_cardholder_stands_in_clear_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path()).await;
        let (digest, first) = lines("2026-09,P31000000000001,H1,11,3,300\n");
        store.import_settled(digest, &first, "li", WallTime::from_millis(1)).await.unwrap();
        store.empty_log().await.unwrap();
        let bytes = std::fs::read(dir.path().join("b.db")).unwrap();
        assert!(!bytes.windows(8).any(|w| w == b"P3100000"));
    }
}
