//! Transfers to another authority: proposed by one person, approved by a second, and
//! what comes back.

use std::fmt;
use std::str::FromStr;

use sqlx::Row;
use uuid::Uuid;

use super::super::{DbRow, Store, StoreError, Tx, parse};
use super::open::alerts_in;
use super::{Actor, CaseError, CaseRefusal, TRANSFERS, next_number, refuse, time};
use crate::bureau::accounts::{Role, Roles};
use crate::bureau::cases::numbers::{Number, Series};
use crate::bureau::cases::texts::{LetterAlert, LetterText};
use crate::bureau::cases::words::{Authority, Outcome, TransferState};
use crate::clock::WallTime;

/// Which transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransferId(Uuid);

impl fmt::Display for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TransferId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// A transfer to be proposed.
pub struct NewTransfer<'a> {
    /// Of which case.
    pub case: Number,
    /// To whom.
    pub receiver: Authority,
    /// What the letter is to say: receiver, subject, facts, basis, attachments.
    pub text: LetterText,
    /// Who proposes it, and when.
    pub by: Actor<'a>,
}

/// What an approved letter is signed with.
#[derive(Debug, Clone, Copy)]
pub struct Approval<'a> {
    /// The bureau's name.
    pub bureau: &'a str,
    /// Whom at the bureau a receiver may ask.
    pub contact: &'a str,
    /// What stands before the year in the letter's number.
    pub prefix: &'a str,
}

/// A transfer as it stands.
#[derive(Clone)]
pub struct Transfer {
    /// Which.
    pub id: TransferId,
    /// Of which case.
    pub case: Number,
    /// To whom.
    pub receiver: Authority,
    /// How far it is.
    pub state: TransferState,
    /// When it was proposed.
    pub proposed_at: WallTime,
    /// By which account.
    pub proposed_by: String,
    /// When it was approved or sent back.
    pub decided_at: Option<WallTime>,
    /// By which account.
    pub decided_by: Option<String>,
    /// The letter's number, once approved.
    pub number: Option<Number>,
    /// Sum over the case's alerts as it was approved, in fen.
    pub amount_fen: i64,
    /// How many alerts the case had then.
    pub alerts: i64,
    /// When the receiver asked for missing material.
    pub asked_at: Option<WallTime>,
    /// When that was handed in.
    pub supplied_at: Option<WallTime>,
    /// When the receipt came.
    pub received_at: Option<WallTime>,
    /// When the result came.
    pub concluded_at: Option<WallTime>,
    /// What became of it.
    pub outcome: Option<Outcome>,
    /// What the letter and the answers say.
    pub text: LetterText,
}

/// What comes after a transfer was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferStep<'a> {
    /// The receiver asked for this material.
    Asked(&'a str),
    /// It was handed in.
    Supplied,
    /// The receipt came, and says this.
    Received(&'a str),
    /// The result came, and says this.
    Concluded(Outcome, &'a str),
}

impl Store {
    /// Proposes to hand a case to another authority.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if the case has ended, or another proposal waits.
    pub async fn propose_transfer(&self, new: NewTransfer<'_>) -> Result<TransferId, CaseError> {
        let case = new.case.to_string();
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query(
            "UPDATE cases SET changed_at = $1 WHERE number = $2 AND state IN ('open', 'transferred')",
        )
        .bind(new.by.at.as_millis())
        .bind(&case)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return refuse(CaseRefusal::State);
        }
        let waiting: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM transfers WHERE case_number = $1 AND state = 'proposed'",
        )
        .bind(&case)
        .fetch_one(&mut *tx)
        .await?;
        if waiting > 0 {
            return refuse(CaseRefusal::Pending);
        }
        let id = TransferId(Uuid::now_v7());
        sqlx::query(
            "INSERT INTO transfers (id, case_number, receiver, state, proposed_at, proposed_by, sealed) \
             VALUES ($1, $2, $3, 'proposed', $4, $5, $6)",
        )
        .bind(id.to_string())
        .bind(&case)
        .bind(new.receiver.as_str())
        .bind(new.by.at.as_millis())
        .bind(new.by.who)
        .bind(self.seal_text(&TRANSFERS, &id.to_string(), &new.text)?)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Approves a proposed transfer: its letter gets the next number of the year and is
    /// not changed any more.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if it does not wait for approval, if `by` is no supervisor,
    /// proposed it or decided an alert of its case, or if an alert of the case is not
    /// confirmed any more.
    pub async fn approve_transfer(
        &self,
        id: TransferId,
        with: Approval<'_>,
        by: Actor<'_>,
    ) -> Result<Number, CaseError> {
        let key = id.to_string();
        let mut tx = self.pool.begin().await?;
        decide(&mut tx, &key, TransferState::Sent, by).await?;
        let (case, proposer): (String, String) =
            sqlx::query_as("SELECT case_number, proposed_by FROM transfers WHERE id = $1")
                .bind(&key)
                .fetch_one(&mut *tx)
                .await?;
        if proposer == by.who {
            return refuse(CaseRefusal::Proposer);
        }
        let done = sqlx::query(
            "UPDATE cases SET state = 'transferred', changed_at = $1 \
             WHERE number = $2 AND state IN ('open', 'transferred')",
        )
        .bind(by.at.as_millis())
        .bind(&case)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return refuse(CaseRefusal::State);
        }
        second_person(&mut tx, &case, by).await?;
        let alerts = alerts_in(&mut tx, &case).await?;
        let lines: Option<Vec<LetterAlert>> = alerts
            .iter()
            .map(|a| {
                Some(LetterAlert {
                    alert: a.alert.to_string(),
                    hospital: a.hospital.clone(),
                    hospital_name: a.hospital_name.clone(),
                    occurred_at: a.occurred_at,
                    amount_fen: a.amount_fen,
                    finding: a.finding?.to_string(),
                })
            })
            .collect();
        let Some(lines) = lines else { return refuse(CaseRefusal::NotConfirmed) };
        let amount = lines.iter().fold(0_i64, |sum, line| sum.saturating_add(line.amount_fen));
        let count = i64::try_from(lines.len()).unwrap_or(i64::MAX);
        let number = next_number(&mut tx, Series::Letter, by.at).await?;
        sqlx::query("UPDATE transfers SET year = $1, n = $2, amount_fen = $3, alerts = $4 WHERE id = $5")
            .bind(i64::from(number.year))
            .bind(i64::from(number.n))
            .bind(amount)
            .bind(count)
            .bind(&key)
            .execute(&mut *tx)
            .await?;
        self.amend(&mut tx, &TRANSFERS, &key, |text: &mut LetterText| {
            text.bureau = with.bureau.to_owned();
            text.contact = with.contact.to_owned();
            text.number = number.printed(with.prefix);
            text.alerts = lines;
        })
        .await?;
        tx.commit().await?;
        Ok(number)
    }

    /// Sends a proposed transfer back, with the reason.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if it does not wait for approval.
    pub async fn refuse_transfer(
        &self,
        id: TransferId,
        reason: &str,
        by: Actor<'_>,
    ) -> Result<(), CaseError> {
        let key = id.to_string();
        let mut tx = self.pool.begin().await?;
        decide(&mut tx, &key, TransferState::Refused, by).await?;
        self.amend(&mut tx, &TRANSFERS, &key, |text: &mut LetterText| text.refusal = reason.to_owned())
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Writes down what the receiver did, on the day it was.
    ///
    /// # Errors
    /// [`CaseError::Refused`] if the transfer was not sent, or the step was taken before.
    pub async fn step_transfer(
        &self,
        id: TransferId,
        step: TransferStep<'_>,
        on: WallTime,
    ) -> Result<(), CaseError> {
        let key = id.to_string();
        let allowed = match step {
            TransferStep::Asked(_) => sqlx::query(
                "UPDATE transfers SET asked_at = $1 WHERE id = $2 AND asked_at IS NULL \
                 AND state IN ('sent', 'received')",
            ),
            TransferStep::Supplied => sqlx::query(
                "UPDATE transfers SET supplied_at = $1 WHERE id = $2 AND asked_at IS NOT NULL \
                 AND supplied_at IS NULL AND state IN ('sent', 'received')",
            ),
            TransferStep::Received(_) => sqlx::query(
                "UPDATE transfers SET received_at = $1, state = 'received' WHERE id = $2 AND state = 'sent'",
            ),
            TransferStep::Concluded(..) => sqlx::query(
                "UPDATE transfers SET concluded_at = $1, state = 'concluded', outcome = $3 WHERE id = $2 \
                 AND state IN ('sent', 'received')",
            ),
        };
        let allowed = allowed.bind(on.as_millis()).bind(&key);
        let allowed = match step {
            TransferStep::Concluded(outcome, _) => allowed.bind(outcome.as_str()),
            _ => allowed,
        };
        self.advance(&TRANSFERS, &key, allowed, |text: &mut LetterText| match step {
            TransferStep::Asked(what) => text.asked = what.to_owned(),
            TransferStep::Supplied => {}
            TransferStep::Received(says) => text.receipt = says.to_owned(),
            TransferStep::Concluded(_, says) => text.result = says.to_owned(),
        })
        .await
    }

    /// A transfer, if there is one.
    ///
    /// # Errors
    /// If the database fails, or its text cannot be opened.
    pub async fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, StoreError> {
        let row = sqlx::query("SELECT * FROM transfers WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| self.read_transfer(&row)).transpose()
    }

    /// The transfers of a case, oldest first.
    ///
    /// # Errors
    /// If the database fails, or a text cannot be opened.
    pub async fn transfers_of(&self, case: Number) -> Result<Vec<Transfer>, StoreError> {
        let rows = sqlx::query("SELECT * FROM transfers WHERE case_number = $1 ORDER BY proposed_at, id")
            .bind(case.to_string())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| self.read_transfer(row)).collect()
    }

    pub(super) fn read_transfer(&self, row: &DbRow) -> Result<Transfer, StoreError> {
        let id: &str = row.try_get("id")?;
        let label = TRANSFERS.label(id);
        let at = |column: &str| row.try_get::<Option<i64>, _>(column).map(time);
        let damaged = |_| StoreError::Content { label: label.clone(), what: "no number of a letter".into() };
        let number = match (row.try_get::<Option<i64>, _>("year")?, row.try_get::<Option<i64>, _>("n")?) {
            (Some(year), Some(n)) => Some(Number {
                series: Series::Letter,
                year: i16::try_from(year).map_err(damaged)?,
                n: u32::try_from(n).map_err(damaged)?,
            }),
            _ => None,
        };
        let outcome: Option<&str> = row.try_get("outcome")?;
        Ok(Transfer {
            id: parse(&label, id)?,
            case: parse(&label, row.try_get("case_number")?)?,
            receiver: parse(&label, row.try_get("receiver")?)?,
            state: parse(&label, row.try_get("state")?)?,
            proposed_at: WallTime::from_millis(row.try_get("proposed_at")?),
            proposed_by: row.try_get("proposed_by")?,
            decided_at: at("decided_at")?,
            decided_by: row.try_get("decided_by")?,
            number,
            amount_fen: row.try_get("amount_fen")?,
            alerts: row.try_get("alerts")?,
            asked_at: at("asked_at")?,
            supplied_at: at("supplied_at")?,
            received_at: at("received_at")?,
            concluded_at: at("concluded_at")?,
            outcome: outcome.map(|o| parse(&label, o)).transpose()?,
            text: self.open_text(&TRANSFERS, id, row.try_get("sealed")?)?,
        })
    }
}

/// Takes a proposal out of waiting; of two who try, one succeeds.
async fn decide(tx: &mut Tx<'_>, id: &str, to: TransferState, by: Actor<'_>) -> Result<(), CaseError> {
    let done = sqlx::query(
        "UPDATE transfers SET state = $1, decided_at = $2, decided_by = $3 \
         WHERE id = $4 AND state = 'proposed'",
    )
    .bind(to.as_str())
    .bind(by.at.as_millis())
    .bind(by.who)
    .bind(id)
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 0 { refuse(CaseRefusal::State) } else { Ok(()) }
}

/// Whether `by` may be the second person for a case.
async fn second_person(tx: &mut Tx<'_>, case: &str, by: Actor<'_>) -> Result<(), CaseError> {
    let roles: Option<String> =
        sqlx::query_scalar("SELECT roles FROM accounts WHERE name = $1 AND disabled = 0")
            .bind(by.who)
            .fetch_optional(&mut **tx)
            .await?;
    let roles: Option<Roles> = roles.map(|r| parse("accounts", &r)).transpose()?;
    if !roles.is_some_and(|r| r.has(Role::Supervisor)) {
        return refuse(CaseRefusal::NotSupervisor);
    }
    // Locks the alerts: nobody decides one between this look and the commit.
    sqlx::query(
        "UPDATE alerts SET changed_at = changed_at \
         WHERE id IN (SELECT alert FROM case_alerts WHERE case_number = $1)",
    )
    .bind(case)
    .execute(&mut **tx)
    .await?;
    let decided: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM decisions d JOIN case_alerts a ON a.alert = d.alert \
         WHERE a.case_number = $1 AND d.by_whom = $2",
    )
    .bind(case)
    .bind(by.who)
    .fetch_one(&mut **tx)
    .await?;
    if decided > 0 { refuse(CaseRefusal::Decider) } else { Ok(()) }
}
