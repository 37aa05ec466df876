//! What people do with alerts: steps, letters, declared proxies, blind checks.
//!
//! Promises: a step is taken on the alert as its page showed it, or refused; the history
//! is only ever added to; notes, reasons and answers are sealed, each for its own row.
//! Whether a step may be taken is [`crate::bureau::review::state`]'s to say.

mod ages;
mod blind;
mod letters;
mod neighbours;
mod proxies;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::Row;

use super::{DbRow, Store, StoreError, StoredAlert, Tx, parse};
use crate::bureau::accounts::AccountName;
use crate::bureau::review::state::{Claim, Decision, Refusal, State, Step};
use crate::clock::WallTime;
use crate::protocol::id::{AgentId, AlertId, CounterId, HospitalId};

pub(super) use ages::{DECIDED_ALERTS, DECLARED_PROXIES, OLDEST_DECIDED, OLDEST_OPEN, UNDECIDED};
pub use blind::{BlindAnswer, BlindCheck, BlindSaid, BlindState};
pub use letters::{Answer, Letter, LetterText, NewLetter};
pub use neighbours::Neighbour;
pub use proxies::{DeclaredProxy, NewProxy, ProxyAddition};

/// An alert as the list has it: what is worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Which.
    pub id: AlertId,
    /// Its number by arrival, over all boxes.
    pub arrival: i64,
    /// The box.
    pub agent: AgentId,
    /// Where it stands.
    pub hospital: HospitalId,
    /// At which counter.
    pub counter: CounterId,
    /// The mark of the cardholder.
    pub cardholder: String,
    /// What it claims.
    pub claim: Claim,
    /// 0 to 2.
    pub seriousness: i64,
    /// Where it stands.
    pub state: State,
    /// When it was decided.
    pub decided_at: Option<WallTime>,
    /// Who is to look at it.
    pub assignee: Option<String>,
    /// The number of the last step taken; 0 without any.
    pub last_step: i64,
}

/// What was said at a step; sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StepText {
    /// The note, the reason, or the words of who appeals.
    pub note: String,
    /// Who appeals or asks for a correction.
    pub person: String,
    /// The day on which they did, as they or their letter says it.
    pub on: String,
}

/// A step that somebody wants to take.
pub struct NewStep<'a> {
    /// With which alert.
    pub alert: AlertId,
    /// The number of the last step that they saw; 0 for none.
    pub seen: i64,
    /// Which.
    pub step: Step,
    /// Who.
    pub by: &'a AccountName,
    /// When.
    pub at: WallTime,
    /// Who is to look at it from now on, where the step says so.
    pub assignee: Option<&'a AccountName>,
    /// What they say to it.
    pub text: &'a StepText,
}

/// A step that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TakenStep {
    /// 1, 2, 3, … within the alert.
    pub number: i64,
    /// When.
    pub at: WallTime,
    /// Who.
    pub by: String,
    /// Its word: `assigned`, `decided`, `reopened`, `appealed`.
    pub step: String,
    /// What was decided.
    pub decision: Option<Decision>,
    /// To whom it was given.
    pub assignee: Option<String>,
    /// What they said to it.
    pub text: StepText,
}

const LISTING: &str = "SELECT a.id, a.arrival, a.agent, a.hospital, a.counter, a.cardholder, a.score_bin, \
     a.seriousness, a.state, a.decision, a.decided_at, a.assignee, \
     (SELECT COALESCE(MAX(r.number), 0) FROM review_steps r WHERE r.alert = a.id) AS last_step, \
     (SELECT COUNT(*) FROM withdrawals w WHERE w.alert = a.id AND w.agent = a.agent) AS taken_back \
     FROM alerts a WHERE a.id = $1";

fn state_of(row: &DbRow) -> Result<State, StoreError> {
    let (state, decision): (&str, Option<&str>) = (row.try_get("state")?, row.try_get("decision")?);
    State::read(state, decision).ok_or_else(|| StoreError::Content {
        label: "alerts".into(),
        what: format!("the state `{state}` with the decision {decision:?}"),
    })
}

fn listing(row: &DbRow) -> Result<Listing, StoreError> {
    let label = "alerts";
    Ok(Listing {
        id: parse(label, row.try_get("id")?)?,
        arrival: row.try_get("arrival")?,
        agent: parse(label, row.try_get("agent")?)?,
        hospital: parse(label, row.try_get("hospital")?)?,
        counter: parse(label, row.try_get("counter")?)?,
        cardholder: row.try_get("cardholder")?,
        claim: Claim::of_bin(row.try_get("score_bin")?),
        seriousness: row.try_get("seriousness")?,
        state: state_of(row)?,
        decided_at: row.try_get::<Option<i64>, _>("decided_at")?.map(WallTime::from_millis),
        assignee: row.try_get("assignee")?,
        last_step: row.try_get("last_step")?,
    })
}

impl Store {
    /// An alert as the list has it; nothing if there is none, or it has reached its limit.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn listing(&self, alert: AlertId) -> Result<Option<Listing>, StoreError> {
        let row = sqlx::query(LISTING).bind(alert.to_string()).fetch_optional(&self.pool).await?;
        row.as_ref().map(listing).transpose()
    }

    /// An alert as it is held, by its place on the list.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn listed_alert(&self, listing: &Listing) -> Result<Option<StoredAlert>, StoreError> {
        let next = listing.arrival.saturating_add(1);
        Ok(self.alerts(next, 1).await?.into_iter().find(|a| a.id == listing.id))
    }

    /// Takes a step, if the alert's state leads there and nobody was quicker; its state
    /// afterwards, or why not.
    ///
    /// # Errors
    /// If the database fails; nothing is changed then.
    pub async fn take_step(&self, new: &NewStep<'_>) -> Result<Result<State, Refusal>, StoreError> {
        let id = new.alert.to_string();
        let mut tx = self.pool.begin().await?;
        // A write first: it makes whoever else wants a step of this alert wait.
        let locked = sqlx::query("UPDATE alerts SET changed_at = $1 WHERE id = $2")
            .bind(new.at.as_millis())
            .bind(&id)
            .execute(&mut *tx)
            .await?;
        if locked.rows_affected() == 0 {
            return Ok(Err(Refusal::Gone));
        }
        let row = sqlx::query(LISTING).bind(&id).fetch_one(&mut *tx).await?;
        let now = listing(&row)?;
        let next = match now.state.after(new.step) {
            // What is in its way may be what the page did not show.
            Err(_) | Ok(_) if now.last_step != new.seen => return Ok(Err(Refusal::Stale)),
            Err(refusal) => return Ok(Err(refusal)),
            Ok(State::Decided(found)) if !found.fits(now.claim) => return Ok(Err(Refusal::Unfit)),
            Ok(State::Open) if row.try_get::<i64, _>("taken_back")? > 0 => State::Withdrawn,
            Ok(next) => next,
        };
        self.write_step(&mut tx, new, next).await?;
        tx.commit().await?;
        Ok(Ok(next))
    }

    async fn write_step(&self, tx: &mut Tx<'_>, new: &NewStep<'_>, next: State) -> Result<(), StoreError> {
        let step = uuid::Uuid::now_v7().to_string();
        let sealed = self.seal_as("review_steps", &step, new.text)?;
        sqlx::query(
            "INSERT INTO review_steps (id, alert, number, at, by_whom, step, decision, assignee, sealed) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&step)
        .bind(new.alert.to_string())
        .bind(new.seen.saturating_add(1))
        .bind(new.at.as_millis())
        .bind(new.by.as_str())
        .bind(new.step.as_str())
        .bind(new.step.decision().map(Decision::as_str))
        .bind(new.assignee.map(AccountName::as_str))
        .bind(sealed)
        .execute(&mut **tx)
        .await?;
        let decided_at = next.decision().map(|_| new.at.as_millis());
        // Who decided or was to look stays named until the alert is given to somebody.
        let assignee = match new.step {
            Step::Decide(_) => "assignee",
            Step::Assign | Step::Reopen | Step::Appeal => "$6",
        };
        let sql = format!(
            "UPDATE alerts SET state = $1, decision = $2, decided_at = $3, changed_at = $4, \
             assignee = {assignee} WHERE id = $5"
        );
        let update = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(next.as_str())
            .bind(next.decision().map(Decision::as_str))
            .bind(decided_at)
            .bind(new.at.as_millis())
            .bind(new.alert.to_string());
        let update = match new.step {
            Step::Decide(_) => update,
            Step::Assign | Step::Reopen | Step::Appeal => update.bind(new.assignee.map(AccountName::as_str)),
        };
        update.execute(&mut **tx).await?;
        Ok(())
    }

    /// The history of an alert after the step of this number, oldest first.
    ///
    /// # Errors
    /// If the database fails, or a row cannot be opened.
    pub async fn steps(&self, alert: AlertId, after: i64) -> Result<Vec<TakenStep>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, number, at, by_whom, step, decision, assignee, sealed FROM review_steps \
             WHERE alert = $1 AND number > $2 ORDER BY number",
        )
        .bind(alert.to_string())
        .bind(after)
        .fetch_all(&self.pool)
        .await?;
        let read = |row: &DbRow| {
            let id: &str = row.try_get("id")?;
            let decision = row.try_get::<Option<&str>, _>("decision")?;
            Ok(TakenStep {
                number: row.try_get("number")?,
                at: WallTime::from_millis(row.try_get("at")?),
                by: row.try_get("by_whom")?,
                step: row.try_get("step")?,
                decision: decision.map(|d| parse("review_steps", d)).transpose()?,
                assignee: row.try_get("assignee")?,
                text: self.open_as("review_steps", id, row.try_get("sealed")?)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Seals a value as the row of a table.
    fn seal_as(&self, table: &str, id: &str, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
        let label = format!("{table}/{id}");
        let bytes = serde_json::to_vec(value)
            .map_err(|e| StoreError::Content { label: label.clone(), what: e.to_string() })?;
        self.seal(&label, &bytes)
    }

    /// Opens what [`Self::seal_as`] sealed.
    fn open_as<T: DeserializeOwned>(&self, table: &str, id: &str, sealed: &[u8]) -> Result<T, StoreError> {
        let label = format!("{table}/{id}");
        let plain = self
            .key
            .open(&label, sealed)
            .map_err(|source| StoreError::Seal { label: label.clone(), source })?;
        serde_json::from_slice(&plain).map_err(|e| StoreError::Content { label, what: e.to_string() })
    }
}

#[cfg(test)]
mod tests;
