//! Counts by day, from what successive postures add, and how long counters were
//! seen working.
//!
//! Written inside the transaction that keeps a posture, whose first statement locks
//! the box's row: two postures of one box never count at once.

use sqlx::query::QueryAs;
use sqlx::{Database, FromRow};

use super::{Db, DbRow, Store, StoreError, Tx, parse};
use crate::bureau::figures::calendar::{Day, Days};
use crate::bureau::figures::counts::{self, Counted, Tally};
use crate::bureau::figures::coverage::KnownCounter;
use crate::clock::WallTime;
use crate::protocol::id::{AgentId, HospitalId};
use crate::protocol::posture::Posture;

/// How long the marks of a run outlive its last posture once another run began: no
/// posture is under way for longer.
const LATE_MS: i64 = 24 * 3_600_000;

/// Of which hospitals figures are asked; both empty: of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// One hospital's code.
    pub hospital: String,
    /// One district's name.
    pub district: String,
}

/// A question of [`in_place`] between two numbers, `$1` and `$2`: days, months or moments.
pub(super) fn of_place<'q, O>(
    sql: &'static str,
    (from, to): (i64, i64),
    place: &'q Place,
) -> QueryAs<'q, Db, O, <Db as Database>::Arguments>
where
    O: for<'r> FromRow<'r, DbRow>,
{
    sqlx::query_as(sql).bind(from).bind(to).bind(&place.hospital).bind(&place.district)
}

/// A place as a condition, with `$3` the hospital and `$4` the district.
macro_rules! in_place {
    ($before:expr, $after:expr) => {
        concat!(
            $before,
            " AND ($3 = '' OR hospital = $3) \
             AND ($4 = '' OR hospital IN (SELECT code FROM hospitals WHERE district = $4)) ",
            $after
        )
    };
}
pub(super) use in_place;

/// Counts what a posture adds. Called before it takes the place of the one that is held.
pub(super) async fn count(tx: &mut Tx<'_>, posture: &Posture, now: WallTime) -> Result<(), StoreError> {
    let run = counts::run(posture);
    let told = counts::since_start(posture);
    let mut marks = match seen_before(tx, &posture.agent, &run, now).await? {
        true => marks(tx, &posture.agent, &run).await?,
        false => begin(tx, posture, &run).await?,
    };
    if run.is_empty() && counts::restarted(&marks, &told) {
        sqlx::query("DELETE FROM count_marks WHERE agent = $1 AND run = ''")
            .bind(posture.agent.as_str())
            .execute(&mut **tx)
            .await?;
        marks.clear();
    }
    let new = counts::advance(&mut marks, &told);
    for (counted, n) in &new {
        let mark = marks.get(counted).copied().unwrap_or_default();
        keep_mark(tx, &posture.agent, &run, counted, mark).await?;
        sqlx::query(
            "INSERT INTO day_counts (day, agent, hospital, counter, verdict, reason, n) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (day, agent, hospital, counter, verdict, reason) DO UPDATE SET n = day_counts.n + excluded.n",
        )
        .bind(Day::of(now).number())
        .bind(posture.agent.as_str())
        .bind(posture.hospital.as_str())
        .bind(&counted.counter)
        .bind(&counted.verdict)
        .bind(&counted.reason)
        .bind(whole(*n))
        .execute(&mut **tx)
        .await?;
    }
    see_counters(tx, posture, now).await
}

/// Whether the run is one that was heard before; it is from now on.
async fn seen_before(tx: &mut Tx<'_>, agent: &AgentId, run: &str, now: WallTime) -> Result<bool, StoreError> {
    let update = sqlx::query("UPDATE box_runs SET last_at = $3 WHERE agent = $1 AND run = $2")
        .bind(agent.as_str())
        .bind(run)
        .bind(now.as_millis())
        .execute(&mut **tx)
        .await?;
    if update.rows_affected() > 0 {
        return Ok(true);
    }
    sqlx::query("INSERT INTO box_runs (agent, run, last_at) VALUES ($1, $2, $3)")
        .bind(agent.as_str())
        .bind(run)
        .bind(now.as_millis())
        .execute(&mut **tx)
        .await?;
    for sql in [
        "DELETE FROM count_marks WHERE agent = $1 AND run IN \
         (SELECT run FROM box_runs WHERE agent = $1 AND last_at < $2)",
        "DELETE FROM box_runs WHERE agent = $1 AND last_at < $2",
    ] {
        sqlx::query(sql)
            .bind(agent.as_str())
            .bind(now.as_millis().saturating_sub(LATE_MS))
            .execute(&mut **tx)
            .await?;
    }
    Ok(false)
}

/// The marks with which a run begins: nothing, unless a posture of it is held from
/// before there were counts.
async fn begin(tx: &mut Tx<'_>, posture: &Posture, run: &str) -> Result<Tally, StoreError> {
    let held: Option<Vec<u8>> = sqlx::query_scalar("SELECT body FROM postures WHERE agent = $1")
        .bind(posture.agent.as_str())
        .fetch_optional(&mut **tx)
        .await?;
    let held = held.and_then(|body| Posture::from_bytes(&body).ok()).filter(|p| counts::run(p) == run);
    let marks = held.map(|p| counts::since_start(&p)).unwrap_or_default();
    for (counted, n) in &marks {
        keep_mark(tx, &posture.agent, run, counted, *n).await?;
    }
    Ok(marks)
}

async fn marks(tx: &mut Tx<'_>, agent: &AgentId, run: &str) -> Result<Tally, StoreError> {
    let rows: Vec<(String, String, String, i64)> =
        sqlx::query_as("SELECT counter, verdict, reason, n FROM count_marks WHERE agent = $1 AND run = $2")
            .bind(agent.as_str())
            .bind(run)
            .fetch_all(&mut **tx)
            .await?;
    let mark = |(counter, verdict, reason, n)| (Counted { counter, verdict, reason }, natural(n));
    Ok(rows.into_iter().map(mark).collect())
}

async fn keep_mark(
    tx: &mut Tx<'_>,
    agent: &AgentId,
    run: &str,
    counted: &Counted,
    n: u64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO count_marks (agent, run, counter, verdict, reason, n) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (agent, run, counter, verdict, reason) DO UPDATE SET n = excluded.n",
    )
    .bind(agent.as_str())
    .bind(run)
    .bind(&counted.counter)
    .bind(&counted.verdict)
    .bind(&counted.reason)
    .bind(whole(n))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes which counters the box named, and how long those that work have worked.
async fn see_counters(tx: &mut Tx<'_>, posture: &Posture, now: WallTime) -> Result<(), StoreError> {
    let (agent, hospital) = (posture.agent.as_str(), posture.hospital.as_str());
    let rows: Vec<(String, Option<i64>)> =
        sqlx::query_as("SELECT counter, ok_at FROM seen_counters WHERE agent = $1 AND hospital = $2")
            .bind(agent)
            .bind(hospital)
            .fetch_all(&mut **tx)
            .await?;
    let before: std::collections::HashMap<String, Option<i64>> = rows.into_iter().collect();
    for (counter, works) in counts::cameras(posture) {
        sqlx::query(
            "INSERT INTO seen_counters (agent, hospital, counter, first_at, named_at, ok_at) \
             VALUES ($1, $2, $3, $4, $4, $5) ON CONFLICT (agent, hospital, counter) \
             DO UPDATE SET named_at = excluded.named_at, ok_at = excluded.ok_at",
        )
        .bind(agent)
        .bind(hospital)
        .bind(&counter)
        .bind(now.as_millis())
        .bind(works.then_some(now.as_millis()))
        .execute(&mut **tx)
        .await?;
        let last = before.get(&counter).copied().flatten().filter(|_| works);
        let worked = counts::worked(last, now.as_millis());
        if worked > 0 {
            sqlx::query(
                "INSERT INTO day_working (day, agent, hospital, counter, worked_ms) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (day, agent, hospital, counter) \
                 DO UPDATE SET worked_ms = day_working.worked_ms + excluded.worked_ms",
            )
            .bind(Day::of(now).number())
            .bind(agent)
            .bind(hospital)
            .bind(&counter)
            .bind(worked)
            .execute(&mut **tx)
            .await?;
        }
    }
    Ok(())
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn natural(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}

/// How often a verdict was counted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Verdicts {
    /// Of what: a day as `YYYY-MM-DD`, a reason, a hospital's code.
    pub of: String,
    /// `match`, `mismatch`, `inconclusive`, `not_assessed` or `other`.
    pub verdict: String,
    /// How often.
    pub n: u64,
}

/// By what verdicts are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The day, in China.
    Day,
    /// The reason; empty for verdicts that have none.
    Reason,
    /// The hospital.
    Hospital,
}

macro_rules! by {
    ($what:literal) => {
        in_place!(
            concat!(
                "SELECT ",
                $what,
                " AS what, verdict, CAST(SUM(n) AS BIGINT) AS n FROM day_counts WHERE day BETWEEN $1 AND $2"
            ),
            concat!("GROUP BY ", $what, ", verdict ORDER BY n DESC, verdict, what")
        )
    };
}

impl Store {
    /// Verdicts of these days, by what they are told apart; the most frequent first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn verdicts(&self, by: By, days: Days, place: &Place) -> Result<Vec<Verdicts>, StoreError> {
        let sql = match by {
            By::Day => by!("CAST(day AS TEXT)"),
            By::Reason => by!("reason"),
            By::Hospital => by!("hospital"),
        };
        let rows: Vec<(String, String, i64)> =
            of_place(sql, days.numbers(), place).fetch_all(&self.pool).await?;
        let verdicts = |(mut of, verdict, n): (String, String, i64)| {
            if by == By::Day {
                of = Day::from_number(parse("day_counts", &of)?).to_string();
            }
            Ok(Verdicts { of, verdict, n: natural(n) })
        };
        rows.into_iter().map(verdicts).collect()
    }

    /// Every counter that a box named, with since when and until when it is known. A
    /// counter that its box names no more is known until then; so is one of a box that
    /// was suspended.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn known_counters(&self, place: &Place) -> Result<Vec<KnownCounter>, StoreError> {
        let rows: Vec<(String, String, i64, i64, i64)> = of_place(in_place!(
            "SELECT hospital, counter, MIN(first_at), MAX(named_at), CAST(MAX(there) AS BIGINT) FROM \
             (SELECT s.hospital AS hospital, s.counter AS counter, s.first_at AS first_at, s.named_at AS named_at, \
             CASE WHEN a.suspended = FALSE AND s.named_at >= COALESCE(p.received_at, 0) THEN 1 ELSE 0 END AS there \
             FROM seen_counters s JOIN agents a ON a.name = s.agent LEFT JOIN postures p ON p.agent = s.agent) \
             AS named WHERE first_at BETWEEN $1 AND $2",
            "GROUP BY hospital, counter ORDER BY hospital, counter"
        ), (i64::MIN, i64::MAX), place)
        .fetch_all(&self.pool)
        .await?;
        let day = |at| Day::of(WallTime::from_millis(at));
        rows.into_iter()
            .map(|(hospital, counter, first, named, there)| {
                let hospital = parse("seen_counters", &hospital)?;
                let last = (there == 0).then_some(day(named));
                Ok(KnownCounter { hospital, counter, first: day(first), last })
            })
            .collect()
    }

    /// How many counters of each hospital were seen working for at least so long, by day.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn covered(
        &self,
        days: Days,
        place: &Place,
        least_ms: i64,
    ) -> Result<Vec<(Day, HospitalId, u64)>, StoreError> {
        let rows: Vec<(i64, String, i64)> = of_place(
            in_place!(
                "SELECT day, hospital, COUNT(*) AS n FROM \
             (SELECT day, hospital, counter, CAST(SUM(worked_ms) AS BIGINT) AS worked FROM day_working \
             WHERE day BETWEEN $1 AND $2 GROUP BY day, hospital, counter) AS seen WHERE worked >= $5",
                "GROUP BY day, hospital ORDER BY day, hospital"
            ),
            days.numbers(),
            place,
        )
        .bind(least_ms)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(day, hospital, n)| {
                Ok((Day::from_number(day), parse("day_working", &hospital)?, natural(n)))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
