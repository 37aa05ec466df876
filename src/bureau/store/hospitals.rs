//! What hospitals are called, and in which district they are.

use super::{Store, StoreError, parse};
use crate::protocol::id::HospitalId;

/// A hospital as lists and letters name it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Hospital {
    /// Its code.
    pub code: HospitalId,
    /// Its name.
    pub name: String,
    /// The district it is in.
    pub district: String,
}

impl Store {
    /// Keeps names and districts, in place of those that are known under a code; all
    /// of them or none.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn keep_hospitals(&self, hospitals: &[Hospital]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        for hospital in hospitals {
            sqlx::query(
                "INSERT INTO hospitals (code, name, district) VALUES ($1, $2, $3) \
                 ON CONFLICT (code) DO UPDATE SET name = excluded.name, district = excluded.district",
            )
            .bind(hospital.code.as_str())
            .bind(&hospital.name)
            .bind(&hospital.district)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The hospital of a code, if it is known.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn hospital(&self, code: &HospitalId) -> Result<Option<Hospital>, StoreError> {
        let row: Option<(String, String)> =
            sqlx::query_as("SELECT name, district FROM hospitals WHERE code = $1")
                .bind(code.as_str())
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.map(|(name, district)| Hospital { code: code.clone(), name, district }))
    }

    /// The hospitals that are known, by district and code.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn hospitals(&self) -> Result<Vec<Hospital>, StoreError> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT code, name, district FROM hospitals ORDER BY district, code")
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter()
            .map(|(code, name, district)| Ok(Hospital { code: parse("hospitals", &code)?, name, district }))
            .collect()
    }
}
