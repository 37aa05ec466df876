//! Declared proxies: who may act for whom, until when.
//!
//! They are found by the mark of the cardholder. That somebody was looked up leaves no
//! trace, as with references.

use serde::Serialize;
use sqlx::Row;

use super::super::{DbRow, Store, StoreError};
use crate::bureau::review::proxies::{Declaration, MOST_PROXIES};
use crate::clock::WallTime;
use crate::protocol::id::CardholderId;

/// A declaration to be put on record.
pub struct NewProxy<'a> {
    /// What was declared.
    pub declaration: &'a Declaration,
    /// Who puts it on record.
    pub by: &'a str,
    /// When.
    pub at: WallTime,
    /// From this moment on it is over.
    pub until: WallTime,
}

/// What became of a declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyAddition {
    /// It is on record.
    Added,
    /// One of the same two people holds already.
    Declared,
    /// The cardholder has as many as anybody may have.
    Full,
}

/// A declaration on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeclaredProxy {
    /// Its id.
    pub id: String,
    /// What was declared.
    pub declaration: Declaration,
    /// Who put it on record.
    pub declared_by: String,
    /// When.
    pub declared_at: WallTime,
    /// From this moment on it is over.
    pub until: WallTime,
}

const TABLE: &str = "declared_proxies";

impl Store {
    /// Puts a declaration on record.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn declare_proxy(&self, new: &NewProxy<'_>) -> Result<ProxyAddition, StoreError> {
        let id = uuid::Uuid::now_v7().to_string();
        let Declaration { cardholder, proxy, .. } = new.declaration;
        let (cardholder, proxy) = (self.mark(cardholder), self.mark(proxy));
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "INSERT INTO declared_proxies (id, cardholder, proxy, declared_at, declared_by, until, sealed) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&id)
        .bind(&cardholder)
        .bind(&proxy)
        .bind(new.at.as_millis())
        .bind(new.by)
        .bind(new.until.as_millis())
        .bind(self.seal_as(TABLE, &id, new.declaration)?)
        .execute(&mut *tx)
        .await?;
        let held: Vec<(String,)> =
            sqlx::query_as("SELECT proxy FROM declared_proxies WHERE cardholder = $1 AND until > $2")
                .bind(&cardholder)
                .bind(new.at.as_millis())
                .fetch_all(&mut *tx)
                .await?;
        if held.iter().filter(|(p,)| *p == proxy).count() > 1 {
            return Ok(ProxyAddition::Declared);
        }
        if held.len() as i64 > MOST_PROXIES {
            return Ok(ProxyAddition::Full);
        }
        tx.commit().await?;
        Ok(ProxyAddition::Added)
    }

    /// Who is declared for a cardholder now.
    ///
    /// # Errors
    /// If the database fails, or a row cannot be opened.
    pub async fn proxies_of(
        &self,
        cardholder: &CardholderId,
        now: WallTime,
    ) -> Result<Vec<DeclaredProxy>, StoreError> {
        self.declared("cardholder = $1 AND until > $2", cardholder, now).await
    }

    /// Every declaration that is held about a person, in force or not: who may act for
    /// them, and for whom they may act.
    ///
    /// # Errors
    /// If the database fails, or a row cannot be opened.
    pub async fn declarations_about(&self, person: &CardholderId) -> Result<Vec<DeclaredProxy>, StoreError> {
        let ever = WallTime::from_millis(i64::MIN);
        self.declared("(cardholder = $1 OR proxy = $1) AND until > $2", person, ever).await
    }

    async fn declared(
        &self,
        condition: &'static str,
        person: &CardholderId,
        since: WallTime,
    ) -> Result<Vec<DeclaredProxy>, StoreError> {
        let sql = format!(
            "SELECT id, declared_at, declared_by, until, sealed FROM declared_proxies \
             WHERE {condition} ORDER BY declared_at, id"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(self.mark(person))
            .bind(since.as_millis())
            .fetch_all(&self.pool)
            .await?;
        let read = |row: &DbRow| {
            let id: &str = row.try_get("id")?;
            Ok(DeclaredProxy {
                id: id.to_owned(),
                declaration: self.open_as(TABLE, id, row.try_get("sealed")?)?,
                declared_by: row.try_get("declared_by")?,
                declared_at: WallTime::from_millis(row.try_get("declared_at")?),
                until: WallTime::from_millis(row.try_get("until")?),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Ends a declaration of a cardholder's; whether there was one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn end_proxy(&self, id: &str, cardholder: &CardholderId) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM declared_proxies WHERE id = $1 AND cardholder = $2")
            .bind(id)
            .bind(self.mark(cardholder))
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}
