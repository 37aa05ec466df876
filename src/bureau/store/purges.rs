//! Deletion by cut-off, and the evidence of it.

use super::review::{DECIDED_ALERTS, DECLARED_PROXIES, OLDEST_DECIDED, OLDEST_OPEN, UNDECIDED};
use super::{Pool, Store, StoreError, Tx};
use crate::bureau::retention::Kind;
use crate::clock::WallTime;
use crate::privacy::retention::Purged;

/// What one run deleted of one kind.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PurgeReport {
    /// When it ran.
    pub at: WallTime,
    /// Of which kind.
    pub kind: String,
    /// What was older than this was deleted.
    pub cutoff: WallTime,
    /// How many rows.
    pub deleted: i64,
    /// Mark of the oldest that stays.
    pub oldest_left: Option<WallTime>,
}

/// A withdrawal stays as long as the alert it takes back, so that the alert
/// never looks open again; what it takes back must be an alert of the same box,
/// so that no two events hold each other for ever.
const OPEN_ALERTS: [&str; 4] = [
    UNDECIDED,
    "DELETE FROM withdrawals WHERE event IN (SELECT id FROM events WHERE received_at < $1) \
     AND NOT EXISTS (SELECT 1 FROM payloads p JOIN events e ON e.id = p.event \
     WHERE e.id = withdrawals.alert AND e.agent = withdrawals.agent AND e.kind IN ('mismatch', 'absent'))",
    "DELETE FROM payloads WHERE event IN \
     (SELECT id FROM events WHERE kind = 'withdrawn' AND received_at < $1) \
     AND event NOT IN (SELECT event FROM withdrawals)",
    // What expired, and where, stays in the chain; it says nothing of a person.
    "DELETE FROM payloads WHERE event IN \
     (SELECT id FROM events WHERE kind = 'expired' AND received_at < $1)",
];
const REFERENCES: [&str; 2] =
    ["DELETE FROM enrolments WHERE enrolled_at < $1", "DELETE FROM certificates WHERE added_at < $1"];
const EXEMPTIONS: [&str; 1] = ["DELETE FROM exemptions WHERE until <= $1"];
/// Sessions and attempts to sign in have an end of their own.
const SESSIONS: [&str; 2] =
    ["DELETE FROM sessions WHERE expires_at <= $1", "DELETE FROM sign_in_attempts WHERE ends_at <= $1"];
/// A case under legal hold stays, with all that led to it or came of it.
const CASES: [&str; 1] = ["DELETE FROM cases WHERE held = 0 AND ended_at < $1"];
const INCOMING: [&str; 1] = ["DELETE FROM incoming_transfers WHERE concluded_at < $1 \
     AND NOT EXISTS (SELECT 1 FROM cases c WHERE c.number = incoming_transfers.case_number AND c.held = 1)"];
const REPORTS: [&str; 1] = ["DELETE FROM reports WHERE concluded_at < $1 \
     AND NOT EXISTS (SELECT 1 FROM cases c WHERE c.number = reports.case_number AND c.held = 1)"];
const AUDIT_HEADS: [&str; 2] =
    ["DELETE FROM audit_heads WHERE received_at < $1", "DELETE FROM audit_findings WHERE last_at < $1"];
/// A document stays as long as an alert whose content is held names it.
const DOCUMENTS: [&str; 2] = [
    "DELETE FROM documents WHERE named_at < $1 AND digest NOT IN (SELECT digest FROM named_documents)",
    "DELETE FROM handout_files WHERE added_at < $1 AND digest NOT IN (SELECT digest FROM handouts)",
];
/// The evidence of purges ends with the record of acts, and so do orders, documents
/// handed out and roll-outs that a newer one took the place of, codes for joining, and
/// accounts that were disabled as long ago: until then the record names them. One that
/// single sign-on knows stays, or its owner would be let in anew.
const ACTS: [&str; 9] = [
    DISABLED_ACCOUNTS,
    "DELETE FROM acts WHERE at < $1",
    "DELETE FROM purges WHERE at < $1",
    "DELETE FROM commissions WHERE signed_at < $1 AND number < \
     (SELECT MAX(number) FROM commissions newest WHERE newest.agent = commissions.agent)",
    "DELETE FROM join_codes WHERE expires_at < $1",
    "DELETE FROM handouts WHERE at < $1 AND number < (SELECT MAX(number) FROM handouts newest \
     WHERE newest.agent = handouts.agent AND newest.kind = handouts.kind)",
    "DELETE FROM rollouts WHERE made_at < $1 AND number < (SELECT MAX(number) FROM rollouts newest)",
    // The cut-off is asked for in each, so that each takes one value.
    "DELETE FROM rollout_stages WHERE $1 > 0 AND rollout NOT IN (SELECT number FROM rollouts)",
    "DELETE FROM rollout_hospitals WHERE $1 > 0 AND rollout NOT IN (SELECT number FROM rollouts)",
];
const DISABLED_ACCOUNTS: &str =
    "DELETE FROM accounts WHERE disabled = 1 AND subject IS NULL AND changed_at < $1";
const RIGHTS_REQUESTS: [&str; 2] = [
    "DELETE FROM erasures WHERE request IN \
     (SELECT id FROM rights_requests WHERE COALESCE(ended_at, due_at) < $1)",
    "DELETE FROM rights_requests WHERE COALESCE(ended_at, due_at) < $1",
];
const CHECK_INS: [&str; 1] = ["DELETE FROM check_ins WHERE at < $1"];
/// A day goes when it is wholly before the cut-off; the marks of a run with its last posture.
const FIGURES: [&str; 5] = [
    "DELETE FROM day_counts WHERE day < (CAST($1 AS BIGINT) + 28800000) / 86400000",
    "DELETE FROM day_working WHERE day < (CAST($1 AS BIGINT) + 28800000) / 86400000",
    "DELETE FROM count_marks WHERE EXISTS (SELECT 1 FROM box_runs r \
     WHERE r.agent = count_marks.agent AND r.run = count_marks.run AND r.last_at < $1)",
    "DELETE FROM box_runs WHERE last_at < $1",
    "DELETE FROM seen_counters WHERE named_at < $1",
];
const SETTLEMENT_FIGURES: [&str; 3] = [
    "DELETE FROM settlement_figures WHERE month_ends < $1",
    "DELETE FROM settlement_imports WHERE at < $1",
    "DELETE FROM settlement_people WHERE CAST($1 AS BIGINT) IS NOT NULL \
     AND cardholder NOT IN (SELECT cardholder FROM settlement_figures)",
];

/// The mark of the oldest of a kind.
const fn oldest(kind: Kind) -> &'static str {
    match kind {
        Kind::References => {
            "SELECT MIN(at) FROM (SELECT enrolled_at AS at FROM enrolments \
             UNION ALL SELECT added_at FROM certificates) AS held"
        }
        Kind::Exemptions => "SELECT MIN(until) FROM exemptions",
        Kind::Sessions => {
            "SELECT MIN(at) FROM (SELECT expires_at AS at FROM sessions \
             UNION ALL SELECT ends_at FROM sign_in_attempts) AS held"
        }
        // A withdrawal stays as long as its alert; then the alert's age is what counts.
        Kind::OpenAlerts => OLDEST_OPEN,
        Kind::DecidedAlerts => OLDEST_DECIDED,
        Kind::DeclaredProxies => "SELECT MIN(until) FROM declared_proxies",
        Kind::AuditHeads => {
            "SELECT MIN(at) FROM (SELECT received_at AS at FROM audit_heads \
             UNION ALL SELECT last_at FROM audit_findings) AS held"
        }
        Kind::Documents => {
            "SELECT MIN(named_at) FROM documents WHERE digest NOT IN (SELECT digest FROM named_documents)"
        }
        Kind::Cases => "SELECT MIN(ended_at) FROM cases WHERE held = 0",
        Kind::IncomingTransfers => {
            "SELECT MIN(concluded_at) FROM incoming_transfers WHERE NOT EXISTS (SELECT 1 FROM cases c \
             WHERE c.number = incoming_transfers.case_number AND c.held = 1)"
        }
        Kind::Reports => {
            "SELECT MIN(concluded_at) FROM reports WHERE NOT EXISTS (SELECT 1 FROM cases c \
             WHERE c.number = reports.case_number AND c.held = 1)"
        }
        Kind::Acts => {
            "SELECT MIN(at) FROM (SELECT at FROM acts UNION ALL SELECT at FROM purges \
             UNION ALL SELECT expires_at FROM join_codes \
             UNION ALL SELECT made_at FROM rollouts WHERE number < \
             (SELECT MAX(number) FROM rollouts newest) \
             UNION ALL SELECT at FROM handouts WHERE number < (SELECT MAX(number) FROM handouts newest \
             WHERE newest.agent = handouts.agent AND newest.kind = handouts.kind) \
             UNION ALL SELECT signed_at FROM commissions WHERE number < \
             (SELECT MAX(number) FROM commissions newest WHERE newest.agent = commissions.agent) \
             UNION ALL SELECT changed_at FROM accounts WHERE disabled = 1 AND subject IS NULL) AS held"
        }
        // The last moment of the oldest day.
        Kind::Figures => {
            "SELECT MIN(at) FROM (SELECT (MIN(day) + 1) * 86400000 - 28800001 AS at FROM day_counts \
             UNION ALL SELECT (MIN(day) + 1) * 86400000 - 28800001 FROM day_working \
             UNION ALL SELECT MIN(last_at) FROM box_runs UNION ALL SELECT MIN(named_at) FROM seen_counters) AS held"
        }
        Kind::SettlementFigures => {
            "SELECT MIN(at) FROM (SELECT month_ends AS at FROM settlement_figures \
             UNION ALL SELECT at FROM settlement_imports) AS held"
        }
        Kind::RightsRequests => "SELECT MIN(COALESCE(ended_at, due_at)) FROM rights_requests",
        Kind::CheckIns => "SELECT MIN(at) FROM check_ins",
    }
}

/// Writes down that a run begins; its id. Nothing may be read before it: what
/// another connection committed after that would make the first write fail.
async fn begin(tx: &mut Tx<'_>, kind: Kind, cutoff: WallTime, now: WallTime) -> Result<String, StoreError> {
    let run = uuid::Uuid::now_v7().to_string();
    sqlx::query("INSERT INTO purges (at, kind, cutoff, deleted, run) VALUES ($1, $2, $3, 0, $4)")
        .bind(now.as_millis())
        .bind(kind.as_str())
        .bind(cutoff.as_millis())
        .bind(&run)
        .execute(&mut **tx)
        .await?;
    Ok(run)
}

async fn mark(tx: &mut Tx<'_>, kind: Kind) -> Result<Option<WallTime>, StoreError> {
    let at: Option<i64> = sqlx::query_scalar(oldest(kind)).fetch_one(&mut **tx).await?;
    Ok(at.map(WallTime::from_millis))
}

pub(super) async fn run(
    pool: &Pool,
    kind: Kind,
    cutoff: WallTime,
    now: WallTime,
) -> Result<Purged<WallTime>, StoreError> {
    let statements: &[&'static str] = match kind {
        Kind::References => &REFERENCES,
        Kind::Exemptions => &EXEMPTIONS,
        Kind::Sessions => &SESSIONS,
        Kind::OpenAlerts => &OPEN_ALERTS,
        Kind::DecidedAlerts => &DECIDED_ALERTS,
        Kind::DeclaredProxies => &DECLARED_PROXIES,
        Kind::AuditHeads => &AUDIT_HEADS,
        Kind::Documents => &DOCUMENTS,
        Kind::Cases => &CASES,
        Kind::IncomingTransfers => &INCOMING,
        Kind::Reports => &REPORTS,
        Kind::Acts => &ACTS,
        Kind::Figures => &FIGURES,
        Kind::SettlementFigures => &SETTLEMENT_FIGURES,
        Kind::RightsRequests => &RIGHTS_REQUESTS,
        Kind::CheckIns => &CHECK_INS,
    };
    let mut tx = pool.begin().await?;
    let run = begin(&mut tx, kind, cutoff, now).await?;
    let before = mark(&mut tx, kind).await?;
    let mut deleted = 0;
    for sql in statements {
        deleted += sqlx::query(*sql).bind(cutoff.as_millis()).execute(&mut *tx).await?.rows_affected();
    }
    let oldest_left = mark(&mut tx, kind).await?;
    sqlx::query("UPDATE purges SET deleted = $1, oldest_left = $2 WHERE run = $3")
        .bind(i64::try_from(deleted).unwrap_or(i64::MAX))
        .bind(oldest_left.map(WallTime::as_millis))
        .bind(run)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Purged { deleted, oldest_deleted: before.filter(|_| deleted > 0), oldest_left })
}

impl Store {
    /// Deletes what is older than `cutoff`, and writes down how much that was.
    ///
    /// # Errors
    /// If the database fails; nothing of the kind is deleted then.
    pub async fn purge(
        &self,
        kind: Kind,
        cutoff: WallTime,
        now: WallTime,
    ) -> Result<Purged<WallTime>, StoreError> {
        run(&self.pool, kind, cutoff, now).await
    }

    /// The latest reports, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn purge_reports(&self, limit: u32) -> Result<Vec<PurgeReport>, StoreError> {
        let rows: Vec<(i64, String, i64, i64, Option<i64>)> = sqlx::query_as(
            "SELECT at, kind, cutoff, deleted, oldest_left FROM purges ORDER BY at DESC, kind LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        let report = |(at, kind, cutoff, deleted, oldest_left): (_, _, _, _, Option<i64>)| PurgeReport {
            at: WallTime::from_millis(at),
            kind,
            cutoff: WallTime::from_millis(cutoff),
            deleted,
            oldest_left: oldest_left.map(WallTime::from_millis),
        };
        Ok(rows.into_iter().map(report).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::store::engine::connect;
    use crate::bureau::store::tests::on_both;

    #[tokio::test]
    async fn no_other_writer_comes_between_the_beginning_of_a_run_and_its_first_deletion() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::bureau::store::tests::store(dir.path()).await;
        let at = WallTime::from_millis;
        let mut run = store.pool.begin().await.unwrap();
        begin(&mut run, Kind::Acts, at(1), at(2)).await.unwrap();
        mark(&mut run, Kind::Acts).await.unwrap();
        let pool = connect(&dir.path().join("b.db").as_path().into()).await.unwrap();
        let mut other = pool.acquire().await.unwrap();
        sqlx::query("PRAGMA busy_timeout = 0").execute(&mut *other).await.unwrap();
        let write = "UPDATE meta SET value = value";
        let locked = sqlx::query(write).execute(&mut *other).await.unwrap_err();
        assert!(locked.to_string().contains("locked"), "{locked}");
        sqlx::query(ACTS[1]).bind(1_i64).execute(&mut *run).await.unwrap();
        run.commit().await.unwrap();
        sqlx::query(write).execute(&mut *other).await.unwrap();
    }

    #[tokio::test]
    async fn a_purge_goes_through_whatever_is_written_beside_it() {
        on_both(async |store| {
            let at = WallTime::from_millis;
            let writing = async {
                for _ in 0..100 {
                    sqlx::query("UPDATE meta SET value = value").execute(&store.pool).await.unwrap();
                }
            };
            let purging = async {
                for n in 0..100 {
                    store.purge(Kind::Documents, at(n), at(n)).await.unwrap();
                }
            };
            tokio::join!(writing, purging);
            assert_eq!(store.purge_reports(1000).await.unwrap().len(), 100);
        })
        .await;
    }
}
