//! Other alerts of the same cardholder, and of the same counter.

use sqlx::Row;

use super::super::{DbRow, Store, StoreError, parse};
use super::{Listing, state_of};
use crate::bureau::review::state::{Claim, State};
use crate::clock::WallTime;
use crate::protocol::id::{AlertId, CounterId, HospitalId};

/// Another alert, as a line on the page of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Which.
    pub id: AlertId,
    /// When its settlement was.
    pub occurred_at: WallTime,
    /// Where.
    pub hospital: HospitalId,
    /// At which counter.
    pub counter: CounterId,
    /// What it claims.
    pub claim: Claim,
    /// How much, in fen.
    pub amount_fen: i64,
    /// Where it stands.
    pub state: State,
}

const COLUMNS: &str =
    "SELECT id, occurred_at, hospital, counter, amount_fen, score_bin, state, decision FROM alerts";

fn read(row: &DbRow) -> Result<Neighbour, StoreError> {
    let label = "alerts";
    Ok(Neighbour {
        id: parse(label, row.try_get("id")?)?,
        occurred_at: WallTime::from_millis(row.try_get("occurred_at")?),
        hospital: parse(label, row.try_get("hospital")?)?,
        counter: parse(label, row.try_get("counter")?)?,
        claim: Claim::of_bin(row.try_get("score_bin")?),
        amount_fen: row.try_get("amount_fen")?,
        state: state_of(row)?,
    })
}

impl Store {
    /// The newest other alerts of an alert's cardholder.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn of_same_cardholder(&self, of: &Listing, most: u32) -> Result<Vec<Neighbour>, StoreError> {
        let sql = format!("{COLUMNS} WHERE cardholder = $1 AND id <> $2 ORDER BY arrival DESC LIMIT $3");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(&of.cardholder)
            .bind(of.id.to_string())
            .bind(i64::from(most))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(read).collect()
    }

    /// The newest other alerts of an alert's counter.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn of_same_counter(&self, of: &Listing, most: u32) -> Result<Vec<Neighbour>, StoreError> {
        let sql = format!(
            "{COLUMNS} WHERE agent = $1 AND counter = $2 AND id <> $3 ORDER BY arrival DESC LIMIT $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(of.agent.as_str())
            .bind(of.counter.as_str())
            .bind(of.id.to_string())
            .bind(i64::from(most))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(read).collect()
    }
}
