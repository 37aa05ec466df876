//! Certificates of people, as hashes under the bureau's key.

use super::{Store, StoreError, parse};
use crate::clock::WallTime;
use crate::protocol::id::CardholderId;
use crate::protocol::proxy::{ProxyKey, ProxyMark};

/// A certificate, known by its hash, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its hash.
    pub mark: ProxyMark,
    /// Whose it is.
    pub cardholder: CardholderId,
}

impl Store {
    /// The key under which certificates are hashed, here and on every box.
    ///
    /// # Errors
    /// Only if the crypto library fails.
    pub fn proxy_key(&self) -> Result<ProxyKey, StoreError> {
        Ok(ProxyKey::new(*self.proxy_key))
    }

    /// Keeps certificates, in place of what was known under the same hash; all of them or
    /// none.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn keep_certificates(&self, all: &[Certificate], now: WallTime) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        for one in all {
            sqlx::query(
                "INSERT INTO certificates (mark, cardholder, added_at) VALUES ($1, $2, $3) \
                 ON CONFLICT (mark) DO UPDATE SET cardholder = excluded.cardholder, added_at = excluded.added_at",
            )
            .bind(one.mark.to_string())
            .bind(one.cardholder.as_str())
            .bind(now.as_millis())
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Whose certificate it is.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn holder_of_certificate(&self, mark: ProxyMark) -> Result<Option<CardholderId>, StoreError> {
        let found: Option<String> = sqlx::query_scalar("SELECT cardholder FROM certificates WHERE mark = $1")
            .bind(mark.to_string())
            .fetch_optional(&self.pool)
            .await?;
        found.map(|c| parse("certificates", &c)).transpose()
    }

    /// How many certificates of a person are known.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn certificates_of(&self, cardholder: &CardholderId) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT COUNT(*) FROM certificates WHERE cardholder = $1")
            .bind(cardholder.as_str())
            .fetch_one(&self.pool)
            .await?)
    }
}
