//! Cases: opened from confirmed alerts, a report or a transfer that came in; filled,
//! joined, ended.

use sqlx::Row;

use super::super::{DbRow, Store, StoreError, Tx, parse};
use super::{Actor, CASES, CaseError, CaseRefusal, next_number, refuse, time};
use crate::bureau::cases::numbers::{Number, Series};
use crate::bureau::cases::texts::CaseText;
use crate::bureau::cases::words::{CaseState, Finding};
use crate::clock::WallTime;
use crate::protocol::id::AlertId;

/// Where a case comes from, besides alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Confirmed alerts alone.
    Alerts,
    /// A transfer that came in.
    Incoming(Number),
    /// A report of the public.
    Report(Number),
}

/// A case to be opened.
pub struct NewCase<'a> {
    /// Where it comes from.
    pub origin: Origin,
    /// Confirmed alerts that join it at once.
    pub alerts: &'a [AlertId],
    /// What happened, as far as it was established.
    pub facts: &'a str,
}

/// A case as it stands.
#[derive(Clone)]
pub struct Case {
    /// Its number.
    pub number: Number,
    /// How far it is.
    pub state: CaseState,
    /// Whether it is under legal hold.
    pub held: bool,
    /// When it was opened.
    pub opened_at: WallTime,
    /// By which account.
    pub opened_by: String,
    /// When it was concluded or closed.
    pub ended_at: Option<WallTime>,
    /// Alerts that joined it and are confirmed still.
    pub confirmed: i64,
    /// Alerts that joined it.
    pub alerts: i64,
    /// Sum over the confirmed ones, in fen.
    pub amount_fen: i64,
    /// The earliest decision on a confirmed one.
    pub decided_at: Option<WallTime>,
    /// What it says.
    pub text: CaseText,
}

/// An alert of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseAlert {
    /// Which.
    pub alert: AlertId,
    /// At which hospital: its code.
    pub hospital: String,
    /// Its name, if it is known.
    pub hospital_name: Option<String>,
    /// When it was settled.
    pub occurred_at: WallTime,
    /// For how much, in fen.
    pub amount_fen: i64,
    /// When it was decided, as it joined.
    pub decided_at: WallTime,
    /// What is decided today; nothing if it was reopened, withdrawn or decided otherwise.
    pub finding: Option<Finding>,
}

/// What is decided of a case's alert today. An alert that has gone at its limit counts
/// as it joined.
macro_rules! finding {
    () => {
        "CASE WHEN x.id IS NULL THEN a.finding WHEN x.state = 'decided' THEN x.decision END"
    };
}
/// The decisions that make an alert a confirmed one: each [`Finding`].
macro_rules! findings {
    () => {
        "('undeclared_proxy', 'impersonation', 'not_rendered')"
    };
}
/// Whether that is a confirmed one.
macro_rules! confirmed {
    () => {
        concat!("(", finding!(), ") IN ", findings!())
    };
}
/// Cases with the sums over their confirmed alerts.
macro_rules! select_cases {
    ($where:literal) => {
        concat!(
            "SELECT c.number, c.state, c.held, c.opened_at, c.opened_by, c.ended_at, c.sealed, \
             (SELECT COUNT(*) FROM case_alerts j WHERE j.case_number = c.number) AS alerts, \
             COALESCE(s.confirmed, 0) AS confirmed, COALESCE(s.amount_fen, 0) AS amount_fen, s.decided_at \
             FROM cases c LEFT JOIN (SELECT a.case_number, COUNT(*) AS confirmed, \
             CAST(SUM(a.amount_fen) AS BIGINT) AS amount_fen, MIN(a.decided_at) AS decided_at \
             FROM case_alerts a LEFT JOIN alerts x ON x.id = a.alert WHERE ",
            confirmed!(),
            " GROUP BY a.case_number) AS s ON s.case_number = c.number WHERE ",
            $where
        )
    };
}
/// Cases that touch a span, newest first.
pub(super) const LISTED: &str = select_cases!(
    "c.opened_at < $2 AND (c.ended_at IS NULL OR c.ended_at >= $1) \
     ORDER BY c.opened_at DESC, c.number DESC LIMIT $3"
);
/// Cases that alerts may join, newest first.
const OPEN: &str = select_cases!("c.state = 'open' ORDER BY c.opened_at DESC, c.number DESC LIMIT 200");
/// Cases that keep alerts from purge and erasure.
const KEEPING: &str = select_cases!(
    "c.held = 1 OR c.state IN ('open', 'transferred') ORDER BY c.opened_at DESC, c.number DESC LIMIT 1000"
);
/// Alerts of cases that were opened in a span, by what was decided.
pub(super) const FINDINGS: &str = concat!(
    "SELECT f.finding, COUNT(*) AS alerts, CAST(SUM(f.amount_fen) AS BIGINT) AS amount_fen FROM (SELECT ",
    finding!(),
    " AS finding, a.amount_fen AS amount_fen FROM case_alerts a JOIN cases c ON c.number = a.case_number \
     LEFT JOIN alerts x ON x.id = a.alert WHERE c.opened_at >= $1 AND c.opened_at < $2) AS f \
     WHERE f.finding IN ",
    findings!(),
    " GROUP BY f.finding ORDER BY f.finding"
);

const ALERTS: &str = concat!(
    "SELECT a.alert, a.hospital, h.name AS hospital_name, a.occurred_at, a.amount_fen, a.decided_at, ",
    finding!(),
    " AS finding FROM case_alerts a LEFT JOIN alerts x ON x.id = a.alert \
     LEFT JOIN hospitals h ON h.code = a.hospital WHERE a.case_number = $1 ORDER BY a.occurred_at, a.alert"
);

impl Store {
    /// Opens a case.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if an alert is not confirmed or is in a case already, if the
    /// report or transfer has one, or if it comes from nothing.
    pub async fn open_case(&self, new: &NewCase<'_>, by: Actor<'_>) -> Result<Number, CaseError> {
        if new.alerts.is_empty() && new.origin == Origin::Alerts {
            return refuse(CaseRefusal::NoOrigin);
        }
        let mut tx = self.pool.begin().await?;
        let number = next_number(&mut tx, Series::Case, by.at).await?;
        let key = number.to_string();
        let text = CaseText { facts: new.facts.to_owned(), ..CaseText::default() };
        sqlx::query(
            "INSERT INTO cases (number, state, opened_at, opened_by, changed_at, sealed) \
             VALUES ($1, 'open', $2, $3, $2, $4)",
        )
        .bind(&key)
        .bind(by.at.as_millis())
        .bind(by.who)
        .bind(self.seal_text(&CASES, &key, &text)?)
        .execute(&mut *tx)
        .await?;
        for alert in new.alerts {
            join(&mut tx, number, *alert, by).await?;
        }
        let (sql, origin) = match new.origin {
            Origin::Alerts => (None, None),
            Origin::Incoming(n) => (
                Some(
                    "UPDATE incoming_transfers SET case_number = $1 \
                WHERE number = $2 AND case_number IS NULL AND state <> 'concluded'",
                ),
                Some(n),
            ),
            Origin::Report(n) => (
                Some(
                    "UPDATE reports SET case_number = $1 \
                WHERE number = $2 AND case_number IS NULL AND state = 'taken_up'",
                ),
                Some(n),
            ),
        };
        if let (Some(sql), Some(origin)) = (sql, origin) {
            let done = sqlx::query(sql).bind(&key).bind(origin.to_string()).execute(&mut *tx).await?;
            if done.rows_affected() == 0 {
                return refuse(CaseRefusal::State);
            }
        }
        tx.commit().await?;
        Ok(number)
    }

    /// Has a confirmed alert join a case that is open.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if the case is not open, or the alert not confirmed or in a
    /// case already.
    pub async fn join_case(&self, case: Number, alert: AlertId, by: Actor<'_>) -> Result<(), CaseError> {
        let mut tx = self.pool.begin().await?;
        touch(&mut tx, case, by).await?;
        join(&mut tx, case, alert, by).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Writes what happened into a case that is open.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if it is not open.
    pub async fn fill_case(&self, case: Number, facts: &str, by: Actor<'_>) -> Result<(), CaseError> {
        let mut tx = self.pool.begin().await?;
        touch(&mut tx, case, by).await?;
        let key = case.to_string();
        self.amend(&mut tx, &CASES, &key, |text: &mut CaseText| text.facts = facts.to_owned()).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Closes an open case without a transfer, with the reason.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if it is not open, or a proposed transfer waits.
    pub async fn close_case(&self, case: Number, reason: &str, by: Actor<'_>) -> Result<(), CaseError> {
        self.end_case(case, [CaseState::Open, CaseState::Closed], reason, by).await
    }

    /// Concludes a transferred case, with what came of it.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if it was not transferred, or a proposed transfer waits.
    pub async fn conclude_case(&self, case: Number, result: &str, by: Actor<'_>) -> Result<(), CaseError> {
        self.end_case(case, [CaseState::Transferred, CaseState::Concluded], result, by).await
    }

    async fn end_case(
        &self,
        case: Number,
        [from, to]: [CaseState; 2],
        ending: &str,
        by: Actor<'_>,
    ) -> Result<(), CaseError> {
        let key = case.to_string();
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query(
            "UPDATE cases SET state = $1, ended_at = $2, changed_at = $2 WHERE number = $3 AND state = $4",
        )
        .bind(to.as_str())
        .bind(by.at.as_millis())
        .bind(&key)
        .bind(from.as_str())
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return refuse(CaseRefusal::State);
        }
        let pending: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM transfers WHERE case_number = $1 AND state = 'proposed'",
        )
        .bind(&key)
        .fetch_one(&mut *tx)
        .await?;
        if pending > 0 {
            return refuse(CaseRefusal::Pending);
        }
        self.amend(&mut tx, &CASES, &key, |text: &mut CaseText| text.ending = ending.to_owned()).await?;
        tx.commit().await?;
        Ok(())
    }

    /// A case, if there is one of that number.
    ///
    /// # Errors
    /// If the database fails, or its text cannot be opened.
    pub async fn case(&self, number: Number) -> Result<Option<Case>, StoreError> {
        let row = sqlx::query(select_cases!("c.number = $1"))
            .bind(number.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| self.read_case(&row)).transpose()
    }

    /// The alerts of a case, in the order of their settlements.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn case_alerts(&self, case: Number) -> Result<Vec<CaseAlert>, StoreError> {
        let rows = sqlx::query(ALERTS).bind(case.to_string()).fetch_all(&self.pool).await?;
        rows.iter().map(read_alert).collect()
    }

    /// The newest 200 cases that are open.
    ///
    /// # Errors
    /// If the database fails, or a text cannot be opened.
    pub async fn open_cases(&self) -> Result<Vec<Case>, StoreError> {
        let rows = sqlx::query(OPEN).fetch_all(&self.pool).await?;
        rows.iter().map(|row| self.read_case(row)).collect()
    }

    /// The newest 1000 cases that keep alerts from purge and erasure: they run, or are
    /// under legal hold.
    ///
    /// # Errors
    /// If the database fails, or a text cannot be opened.
    pub async fn keeping_cases(&self) -> Result<Vec<Case>, StoreError> {
        let rows = sqlx::query(KEEPING).fetch_all(&self.pool).await?;
        rows.iter().map(|row| self.read_case(row)).collect()
    }

    /// A confirmed alert as it would join a case.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn confirmed_alert(&self, alert: AlertId) -> Result<Option<CaseAlert>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT id AS alert, hospital, h.name AS hospital_name, occurred_at, amount_fen, decided_at, \
             decision AS finding FROM alerts LEFT JOIN hospitals h ON h.code = hospital WHERE id = $1 AND state = 'decided' \
             AND decision IN ",
            findings!()
        ))
        .bind(alert.to_string())
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(read_alert).transpose()
    }

    /// The case that an alert is in.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn case_of(&self, alert: AlertId) -> Result<Option<Number>, StoreError> {
        let number: Option<String> =
            sqlx::query_scalar("SELECT case_number FROM case_alerts WHERE alert = $1")
                .bind(alert.to_string())
                .fetch_optional(&self.pool)
                .await?;
        number.map(|n| parse("case_alerts", &n)).transpose()
    }

    pub(super) fn read_case(&self, row: &DbRow) -> Result<Case, StoreError> {
        let number: &str = row.try_get("number")?;
        let label = CASES.label(number);
        Ok(Case {
            number: parse(&label, number)?,
            state: parse(&label, row.try_get("state")?)?,
            held: row.try_get::<i64, _>("held")? != 0,
            opened_at: WallTime::from_millis(row.try_get("opened_at")?),
            opened_by: row.try_get("opened_by")?,
            ended_at: time(row.try_get("ended_at")?),
            confirmed: row.try_get("confirmed")?,
            alerts: row.try_get("alerts")?,
            amount_fen: row.try_get("amount_fen")?,
            decided_at: time(row.try_get("decided_at")?),
            text: self.open_text(&CASES, number, row.try_get("sealed")?)?,
        })
    }
}

/// The alerts of a case, inside a transaction.
pub(super) async fn alerts_in(tx: &mut Tx<'_>, case: &str) -> Result<Vec<CaseAlert>, StoreError> {
    let rows = sqlx::query(ALERTS).bind(case).fetch_all(&mut **tx).await?;
    rows.iter().map(read_alert).collect()
}

fn read_alert(row: &DbRow) -> Result<CaseAlert, StoreError> {
    let finding: Option<&str> = row.try_get("finding")?;
    Ok(CaseAlert {
        alert: parse("case_alerts", row.try_get("alert")?)?,
        hospital: row.try_get("hospital")?,
        hospital_name: row.try_get("hospital_name")?,
        occurred_at: WallTime::from_millis(row.try_get("occurred_at")?),
        amount_fen: row.try_get("amount_fen")?,
        decided_at: WallTime::from_millis(row.try_get("decided_at")?),
        finding: finding.and_then(|f| f.parse().ok()),
    })
}

/// Marks an open case as changed, which locks it.
async fn touch(tx: &mut Tx<'_>, case: Number, by: Actor<'_>) -> Result<(), CaseError> {
    let done = sqlx::query("UPDATE cases SET changed_at = $1 WHERE number = $2 AND state = 'open'")
        .bind(by.at.as_millis())
        .bind(case.to_string())
        .execute(&mut **tx)
        .await?;
    if done.rows_affected() == 0 { refuse(CaseRefusal::State) } else { Ok(()) }
}

async fn join(tx: &mut Tx<'_>, case: Number, alert: AlertId, by: Actor<'_>) -> Result<(), CaseError> {
    let done = sqlx::query(concat!(
        "INSERT INTO case_alerts (alert, case_number, joined_at, joined_by, hospital, occurred_at, \
         amount_fen, finding, decided_at) \
         SELECT x.id, $1, $2, $3, x.hospital, x.occurred_at, x.amount_fen, x.decision, \
         x.decided_at FROM alerts x WHERE x.id = $4 AND x.state = 'decided' \
         AND x.decision IN ",
        findings!(),
        " ON CONFLICT (alert) DO NOTHING"
    ))
    .bind(case.to_string())
    .bind(by.at.as_millis())
    .bind(by.who)
    .bind(alert.to_string())
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() > 0 {
        return Ok(());
    }
    let taken: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM case_alerts WHERE alert = $1")
        .bind(alert.to_string())
        .fetch_one(&mut **tx)
        .await?;
    refuse(if taken > 0 { CaseRefusal::ElsewhereAlready } else { CaseRefusal::NotConfirmed })
}
