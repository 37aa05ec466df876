//! One-time codes by which boxes join, and what came of them. The secrets are not
//! here: their SHA-256 is.

use std::time::Duration;

use super::{Store, StoreError, Tx, parse};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::PublicKey;
use crate::protocol::id::{AgentId, HospitalId};

/// A code to be kept.
pub struct NewCode {
    /// SHA-256 of its secret.
    pub secret: Sha256,
    /// The name that the box gets.
    pub agent: AgentId,
    /// Where it stands.
    pub hospital: HospitalId,
    /// Whether a box of this name is on record, and gets new keys.
    pub replaces: bool,
    /// How long its old keys stay good then.
    pub overlap: Duration,
    /// Who made it.
    pub by: String,
    /// From when on nobody joins with it.
    pub expires_at: WallTime,
}

/// A code as it is held.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Code {
    /// The name that the box gets.
    pub agent: AgentId,
    /// Where it stands.
    pub hospital: HospitalId,
    /// Whether a box of this name gets new keys.
    pub replaces: bool,
    /// How long its old keys stay good then.
    pub overlap: Duration,
    /// Who made it.
    pub by: String,
    /// When it was made.
    pub made_at: WallTime,
    /// From when on nobody joins with it.
    pub expires_at: WallTime,
    /// When a box joined with it.
    pub used_at: Option<WallTime>,
    /// Until when the certificate is good that was made then, if one was.
    pub certificate_until: Option<WallTime>,
}

impl Code {
    /// Whether a box may join with it at `now`.
    pub fn is_good(&self, now: WallTime) -> bool {
        self.used_at.is_none() && now < self.expires_at
    }
}

/// With what a box joins.
pub struct Joining {
    /// With which its alerts are signed.
    pub public_key: PublicKey,
    /// SHA-256 of the certificate it shows.
    pub certificate: Sha256,
    /// Until when that is good, if it was made here.
    pub certificate_until: Option<WallTime>,
}

/// What came of a box's wish to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    /// It is on record.
    Done,
    /// There is no such code, it was used, or its time is over.
    NoCode,
    /// The name, the key or the certificate is or was on record; the code stays good.
    Taken,
}

type Row = (String, String, i64, i64, String, i64, i64, Option<i64>, Option<i64>);

fn code(row: Row) -> Result<Code, StoreError> {
    let (agent, hospital, replaces, overlap_ms, by, made_at, expires_at, used_at, until) = row;
    let label = format!("join_codes/{agent}");
    Ok(Code {
        agent: parse(&label, &agent)?,
        hospital: parse(&label, &hospital)?,
        replaces: replaces != 0,
        overlap: Duration::from_millis(overlap_ms.unsigned_abs()),
        by,
        made_at: WallTime::from_millis(made_at),
        expires_at: WallTime::from_millis(expires_at),
        used_at: used_at.map(WallTime::from_millis),
        certificate_until: until.map(WallTime::from_millis),
    })
}

/// Codes as [`code`] reads them.
macro_rules! codes {
    ($which:literal) => {
        concat!(
            "SELECT agent, hospital, replaces, overlap_ms, by_whom, made_at, expires_at, used_at, \
             certificate_until FROM join_codes ",
            $which
        )
    };
}

impl Store {
    /// Keeps a code; those made before for this name and not used end.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn keep_code(&self, new: &NewCode, now: WallTime) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "UPDATE join_codes SET expires_at = $1 WHERE agent = $2 AND used_at IS NULL AND expires_at > $1",
        )
        .bind(now.as_millis())
        .bind(new.agent.as_str())
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO join_codes (secret, agent, hospital, replaces, overlap_ms, by_whom, made_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(new.secret.to_string())
        .bind(new.agent.as_str())
        .bind(new.hospital.as_str())
        .bind(i64::from(new.replaces))
        .bind(i64::try_from(new.overlap.as_millis()).unwrap_or(i64::MAX))
        .bind(&new.by)
        .bind(now.as_millis())
        .bind(new.expires_at.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The code of this secret.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn code(&self, secret: Sha256) -> Result<Option<Code>, StoreError> {
        let row: Option<Row> = sqlx::query_as(codes!("WHERE secret = $1"))
            .bind(secret.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.map(code).transpose()
    }

    /// The newest code of each name, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn codes(&self) -> Result<Vec<Code>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(codes!(
            "WHERE made_at = (SELECT MAX(made_at) FROM join_codes newest \
             WHERE newest.agent = join_codes.agent) ORDER BY made_at DESC, agent"
        ))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(code).collect()
    }

    /// Uses a code up and puts its box on record, or gives the box new keys: both
    /// or neither. Of two that come at once with one code, one joins.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn join(
        &self,
        secret: Sha256,
        joining: &Joining,
        now: WallTime,
    ) -> Result<(Joined, Option<Code>), StoreError> {
        let mut tx = self.pool.begin().await?;
        let used = sqlx::query(
            "UPDATE join_codes SET used_at = $1, public_key = $2, certificate = $3, certificate_until = $4 \
             WHERE secret = $5 AND used_at IS NULL AND expires_at > $1",
        )
        .bind(now.as_millis())
        .bind(joining.public_key.to_base64())
        .bind(joining.certificate.to_string())
        .bind(joining.certificate_until.map(WallTime::as_millis))
        .bind(secret.to_string())
        .execute(&mut *tx)
        .await?;
        if used.rows_affected() == 0 {
            return Ok((Joined::NoCode, None));
        }
        let find = sqlx::query_as(codes!("WHERE secret = $1")).bind(secret.to_string());
        let row: Row = find.fetch_one(&mut *tx).await?;
        let code = code(row)?;
        if !enter(&mut tx, &code, joining, now).await? {
            // Rolled back, the code is good again.
            return Ok((Joined::Taken, Some(code)));
        }
        tx.commit().await?;
        Ok((Joined::Done, Some(code)))
    }
}

/// Writes the box or its new keys; whether it could.
async fn enter(tx: &mut Tx<'_>, code: &Code, joining: &Joining, now: WallTime) -> Result<bool, StoreError> {
    let (key, certificate) = (joining.public_key.to_base64(), joining.certificate.to_string());
    if code.replaces {
        let rotation = super::keys::Rotation {
            name: &code.agent,
            key: &key,
            certificate: &certificate,
            until: now.plus(code.overlap),
        };
        if !super::keys::rotate(tx, &rotation, now).await? {
            return Ok(false);
        }
        // New keys because the old ones may be out of hand: so may the transform.
        if code.overlap.is_zero() {
            super::agents::reissue(tx, &code.agent).await?;
        }
        return Ok(true);
    }
    super::agents::enter(tx, (&code.agent, &code.hospital), (&key, &certificate), now).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::store::tests::{box_with_key, on_both};

    const fn at(ms: i64) -> WallTime {
        WallTime::from_millis(ms)
    }

    fn new(secret: &str, agent: &str, replaces: bool) -> NewCode {
        NewCode {
            secret: Sha256::of(secret.as_bytes()),
            agent: agent.parse().unwrap(),
            hospital: "H31010000001".parse().unwrap(),
            replaces,
            overlap: Duration::ZERO,
            by: "li".into(),
            expires_at: at(100),
        }
    }

    fn with(name: &str) -> Joining {
        let (new, _) = box_with_key(name);
        Joining { public_key: new.public_key, certificate: new.certificate, certificate_until: Some(at(900)) }
    }

    #[tokio::test]
    async fn a_code_is_good_for_one_box_until_its_time_is_over_and_a_newer_one_takes_its_place() {
        on_both(async |store| {
            let join = async |secret: &str, joining: &Joining, now| {
                store.join(Sha256::of(secret.as_bytes()), joining, at(now)).await.unwrap().0
            };
            store.keep_code(&new("one", "box-1", false), at(1)).await.unwrap();
            store.keep_code(&new("two", "box-1", false), at(2)).await.unwrap();
            let boxed = with("box-1");
            assert_eq!(join("one", &boxed, 3).await, Joined::NoCode, "a newer code was made");
            assert_eq!(join("none", &boxed, 3).await, Joined::NoCode);
            assert_eq!(join("two", &boxed, 100).await, Joined::NoCode, "its time is over");
            assert_eq!(join("two", &boxed, 3).await, Joined::Done);
            assert_eq!(join("two", &with("another"), 4).await, Joined::NoCode);
            assert!(store.agent_by_certificate(boxed.certificate, at(4)).await.unwrap().is_some());
            let held = store.code(Sha256::of(b"two")).await.unwrap().unwrap();
            assert_eq!((held.used_at, held.certificate_until), (Some(at(3)), Some(at(900))));
            assert!(!held.is_good(at(4)) && store.codes().await.unwrap() == [held]);
        })
        .await;
    }

    #[tokio::test]
    async fn new_keys_end_the_old_ones_and_what_is_taken_leaves_the_code_good() {
        on_both(async |store| {
            let (first, _) = box_with_key("box-1");
            store.add_agent(&first, at(0)).await.unwrap();
            store.keep_code(&new("again", "box-1", true), at(1)).await.unwrap();
            let (secret, own) = (Sha256::of(b"again"), with("other"));
            let same = Joining { public_key: first.public_key.clone(), ..with("other") };
            assert_eq!(store.join(secret, &same, at(2)).await.unwrap().0, Joined::Taken);
            assert!(store.agent_by_certificate(first.certificate, at(3)).await.unwrap().is_some());
            assert_eq!(store.join(secret, &own, at(4)).await.unwrap().0, Joined::Done);
            assert!(store.agent_by_certificate(first.certificate, at(5)).await.unwrap().is_none());
            let held = store.agent_by_certificate(own.certificate, at(5)).await.unwrap().unwrap();
            assert_eq!((held.name, held.transform.version), (first.name, 2));
        })
        .await;
    }
}
