//! Versions that boxes are to run, stage by stage.

use std::collections::BTreeMap;

use super::{AgentChange, Store, StoreError, parse};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::protocol::id::HospitalId;

/// A roll-out to be kept.
pub struct NewRollout {
    /// The version.
    pub version: String,
    /// SHA-256 of its package.
    pub package: Sha256,
    /// Who planned it.
    pub by: String,
    /// The hospitals of each stage, first stage first.
    pub stages: Vec<Vec<HospitalId>>,
}

/// A roll-out as it is held.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Rollout {
    /// Its number.
    pub number: u64,
    /// The version.
    pub version: String,
    /// SHA-256 of its package.
    pub package: Sha256,
    /// Who planned it.
    pub by: String,
    /// When.
    pub made_at: WallTime,
    /// Its stages, in order.
    pub stages: Vec<Stage>,
}

/// A stage of a roll-out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Stage {
    /// 1, 2, 3, …
    pub number: u64,
    /// When it was begun.
    pub begun_at: Option<WallTime>,
    /// When it was stopped.
    pub stopped_at: Option<WallTime>,
    /// Which hospitals it is for.
    pub hospitals: Vec<HospitalId>,
}

impl Stage {
    /// Whether its boxes are told of the version now.
    pub fn tells(&self) -> bool {
        self.begun_at.is_some() && self.stopped_at.is_none()
    }
}

/// What somebody does with a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageChange {
    /// Its boxes are told from now on.
    Begin,
    /// They are told no more.
    Stop,
}

/// What a box is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Number of the roll-out.
    pub rollout: u64,
    /// The version.
    pub version: String,
    /// SHA-256 of its package.
    pub package: Sha256,
    /// When the stage was begun.
    pub at: WallTime,
}

impl Store {
    /// Keeps a roll-out of which no stage is begun; its number. Nothing is kept
    /// if a hospital stands in two stages.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn plan_rollout(&self, new: &NewRollout, now: WallTime) -> Result<Option<u64>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let number: i64 = sqlx::query_scalar(
            "INSERT INTO rollouts (version, package, by_whom, made_at) VALUES ($1, $2, $3, $4) RETURNING number",
        )
        .bind(&new.version)
        .bind(new.package.to_string())
        .bind(&new.by)
        .bind(now.as_millis())
        .fetch_one(&mut *tx)
        .await?;
        for (stage, hospitals) in (1_i64..).zip(&new.stages) {
            sqlx::query("INSERT INTO rollout_stages (rollout, stage) VALUES ($1, $2)")
                .bind(number)
                .bind(stage)
                .execute(&mut *tx)
                .await?;
            for hospital in hospitals {
                let done = sqlx::query(
                    "INSERT INTO rollout_hospitals (rollout, stage, hospital) VALUES ($1, $2, $3) \
                     ON CONFLICT DO NOTHING",
                )
                .bind(number)
                .bind(stage)
                .bind(hospital.as_str())
                .execute(&mut *tx)
                .await?;
                if done.rows_affected() == 0 {
                    return Ok(None);
                }
            }
        }
        tx.commit().await?;
        Ok(Some(number.unsigned_abs()))
    }

    /// Begins a stage, or stops it. Refused if there is no such stage, or it is so
    /// already.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn change_stage(
        &self,
        (rollout, stage): (u64, u64),
        change: StageChange,
        now: WallTime,
    ) -> Result<AgentChange, StoreError> {
        let sql = match change {
            StageChange::Begin => {
                "UPDATE rollout_stages SET begun_at = $1, stopped_at = NULL \
                 WHERE rollout = $2 AND stage = $3 AND (begun_at IS NULL OR stopped_at IS NOT NULL)"
            }
            StageChange::Stop => {
                "UPDATE rollout_stages SET stopped_at = $1 \
                 WHERE rollout = $2 AND stage = $3 AND begun_at IS NOT NULL AND stopped_at IS NULL"
            }
        };
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let update = sqlx::query(sql).bind(now.as_millis()).bind(number(rollout)).bind(number(stage));
        Ok(AgentChange::of(update.execute(&self.pool).await?.rows_affected()))
    }

    /// Every roll-out, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn rollouts(&self) -> Result<Vec<Rollout>, StoreError> {
        let rows: Vec<(i64, String, String, String, i64)> = sqlx::query_as(
            "SELECT number, version, package, by_whom, made_at FROM rollouts ORDER BY number DESC",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut stages = self.stages().await?;
        rows.into_iter()
            .map(|(number, version, package, by, made_at)| {
                Ok(Rollout {
                    number: number.unsigned_abs(),
                    version,
                    package: parse(&format!("rollouts/{number}"), &package)?,
                    by,
                    made_at: WallTime::from_millis(made_at),
                    stages: stages.remove(&number).unwrap_or_default(),
                })
            })
            .collect()
    }

    async fn stages(&self) -> Result<BTreeMap<i64, Vec<Stage>>, StoreError> {
        let rows: Vec<(i64, i64, Option<i64>, Option<i64>)> = sqlx::query_as(
            "SELECT rollout, stage, begun_at, stopped_at FROM rollout_stages ORDER BY rollout, stage",
        )
        .fetch_all(&self.pool)
        .await?;
        let hospitals: Vec<(i64, i64, String)> =
            sqlx::query_as("SELECT rollout, stage, hospital FROM rollout_hospitals ORDER BY hospital")
                .fetch_all(&self.pool)
                .await?;
        let mut stages: BTreeMap<i64, Vec<Stage>> = BTreeMap::new();
        for (rollout, stage, begun_at, stopped_at) in rows {
            let of_it = hospitals.iter().filter(|(r, s, _)| (*r, *s) == (rollout, stage));
            stages.entry(rollout).or_default().push(Stage {
                number: stage.unsigned_abs(),
                begun_at: begun_at.map(WallTime::from_millis),
                stopped_at: stopped_at.map(WallTime::from_millis),
                hospitals: of_it.map(|(.., h)| parse("rollout_hospitals", h)).collect::<Result<_, _>>()?,
            });
        }
        Ok(stages)
    }

    /// What the boxes of a hospital are to run: of the roll-outs whose stage is
    /// begun there, the newest.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn wanted_version(&self, hospital: &HospitalId) -> Result<Option<Wanted>, StoreError> {
        let row: Option<(i64, String, String, i64)> = sqlx::query_as(
            "SELECT r.number, r.version, r.package, s.begun_at FROM rollouts r \
             JOIN rollout_hospitals h ON h.rollout = r.number \
             JOIN rollout_stages s ON s.rollout = r.number AND s.stage = h.stage \
             WHERE h.hospital = $1 AND s.begun_at IS NOT NULL AND s.stopped_at IS NULL \
             ORDER BY r.number DESC LIMIT 1",
        )
        .bind(hospital.as_str())
        .fetch_optional(&self.pool)
        .await?;
        row.map(|(number, version, package, at)| {
            Ok(Wanted {
                rollout: number.unsigned_abs(),
                version,
                package: parse(&format!("rollouts/{number}"), &package)?,
                at: WallTime::from_millis(at),
            })
        })
        .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::store::tests::on_both;

    #[tokio::test]
    async fn a_stage_tells_while_it_is_begun_and_the_newest_roll_out_counts() {
        on_both(async |store| {
            let at = WallTime::from_millis;
            let hospital = |h: &str| -> HospitalId { h.parse().unwrap() };
            let plan = async |version: &str, stages: &[&[&str]]| {
                let stages = stages.iter().map(|s| s.iter().map(|h| hospital(h)).collect()).collect();
                let (version, package) = (version.to_owned(), Sha256::of(b"deb"));
                store
                    .plan_rollout(&NewRollout { version, package, by: "li".into(), stages }, at(1))
                    .await
                    .unwrap()
            };
            assert_eq!(plan("1.0", &[&["H1", "H2"], &["H2"]]).await, None, "a hospital in two stages");
            assert!(store.rollouts().await.unwrap().is_empty());
            let first = plan("1.1", &[&["H1"], &["H2"]]).await.unwrap();
            let wanted = async |h: &str| store.wanted_version(&hospital(h)).await.unwrap().map(|w| w.version);
            assert_eq!(wanted("H1").await, None);
            let change = async |stage, to| store.change_stage(stage, to, at(5)).await.unwrap();
            assert_eq!(change((first, 1), StageChange::Begin).await, AgentChange::Done);
            assert_eq!(change((first, 1), StageChange::Begin).await, AgentChange::Refused);
            assert_eq!((wanted("H1").await.as_deref(), wanted("H2").await), (Some("1.1"), None));
            let second = plan("1.2", &[&["H1"]]).await.unwrap();
            change((second, 1), StageChange::Begin).await;
            assert_eq!(wanted("H1").await.as_deref(), Some("1.2"));
            assert_eq!(change((second, 1), StageChange::Stop).await, AgentChange::Done);
            assert_eq!(wanted("H1").await.as_deref(), Some("1.1"));
            assert_eq!(change((second, 9), StageChange::Stop).await, AgentChange::Refused);
            let all = store.rollouts().await.unwrap();
            assert_eq!((all[0].number, all[0].stages[0].tells(), all[1].stages.len()), (second, false, 2));
        })
        .await;
    }
}
