//! Who is signed in, and who tried.
//!
//! Promises: of a session's secret only the digest is here, of a name that was tried
//! only a keyed hash; an attempt is counted before the password is looked at, so
//! that many at once do not get past the limit.

use ring::hmac;
use sqlx::Row;
use zeroize::Zeroizing;

use super::accounts::{Account, read};
use super::{DbRow, Store, StoreError};
use crate::bureau::accounts::AccountName;
use crate::clock::WallTime;
use crate::crypto::Sha256;

/// How long a session lasts, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// Without a request.
    pub idle_ms: i64,
    /// From signing in.
    pub whole_ms: i64,
}

/// How many wrong attempts there may be.
#[derive(Debug, Clone, Copy)]
pub struct AttemptLimits {
    /// In a row, before the name is locked.
    pub most: i64,
    /// For how long it is locked then, in milliseconds.
    pub lock_ms: i64,
    /// After how long without another they are forgotten, in milliseconds.
    pub memory_ms: i64,
}

/// What may come of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chance {
    /// The password may be looked at.
    Given,
    /// The same, and if it is wrong, the name is locked from now on.
    Last,
    /// The name is locked.
    Locked,
}

/// A session is marked as used at most so often, in milliseconds.
const TOUCH_MS: i64 = 60_000;
/// What is sealed for a browser to bring back.
const BROWSER: &str = "sign-on/browser";

impl Store {
    fn name_mark(&self, name: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.marks.as_ref());
        let tag = hmac::sign(&key, format!("name to sign in with/{name}").as_bytes());
        tag.as_ref().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Counts an attempt with this name, and says whether it may go on.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn begin_attempt(
        &self,
        name: &str,
        limits: AttemptLimits,
        now: WallTime,
    ) -> Result<Chance, StoreError> {
        let at = now.as_millis();
        // Failures above the limit are attempts while it is locked.
        let failures: i64 = sqlx::query_scalar(
            "INSERT INTO sign_in_attempts (name, failures, locked_until, ends_at) VALUES ($1, 1, NULL, $2) \
             ON CONFLICT (name) DO UPDATE SET \
             failures = CASE WHEN sign_in_attempts.locked_until <= $3 OR sign_in_attempts.ends_at <= $3 \
             THEN 1 ELSE sign_in_attempts.failures + 1 END, \
             locked_until = CASE WHEN sign_in_attempts.locked_until > $3 THEN sign_in_attempts.locked_until \
             WHEN sign_in_attempts.locked_until IS NULL AND sign_in_attempts.ends_at > $3 \
             AND sign_in_attempts.failures + 1 >= $4 THEN CAST($5 AS BIGINT) ELSE NULL END, \
             ends_at = $2 RETURNING failures",
        )
        .bind(self.name_mark(name))
        .bind(at.saturating_add(limits.memory_ms))
        .bind(at)
        .bind(limits.most)
        .bind(at.saturating_add(limits.lock_ms))
        .fetch_one(&self.pool)
        .await?;
        Ok(match failures {
            n if n < limits.most => Chance::Given,
            n if n == limits.most => Chance::Last,
            _ => Chance::Locked,
        })
    }

    /// Forgets the attempts with this name, and its lock.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn forget_attempts(&self, name: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM sign_in_attempts WHERE name = $1")
            .bind(self.name_mark(name))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Until when this name is locked, if it is.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn locked_until(
        &self,
        name: &AccountName,
        now: WallTime,
    ) -> Result<Option<WallTime>, StoreError> {
        let until: Option<i64> = sqlx::query_scalar(
            "SELECT locked_until FROM sign_in_attempts WHERE name = $1 AND locked_until > $2",
        )
        .bind(self.name_mark(name.as_str()))
        .bind(now.as_millis())
        .fetch_optional(&self.pool)
        .await?;
        Ok(until.map(WallTime::from_millis))
    }

    /// Begins a session; `token` is the digest of the secret that the browser keeps.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn begin_session(
        &self,
        token: Sha256,
        account: &AccountName,
        limits: SessionLimits,
        now: WallTime,
    ) -> Result<(), StoreError> {
        let at = now.as_millis();
        sqlx::query(
            "INSERT INTO sessions (token, account, created_at, last_at, expires_at) VALUES ($1, $2, $3, $3, $4)",
        )
        .bind(token.to_string())
        .bind(account.as_str())
        .bind(at)
        .bind(at.saturating_add(limits.whole_ms))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Who is signed in with this token, if it still counts and they may.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn session(
        &self,
        token: Sha256,
        limits: SessionLimits,
        now: WallTime,
    ) -> Result<Option<Account>, StoreError> {
        let at = now.as_millis();
        let Some(row) = self.session_row(token, limits, at).await? else { return Ok(None) };
        // Well before the session would end for want of a request.
        let touch = TOUCH_MS.min(limits.idle_ms / 4);
        if row.try_get::<i64, _>("last_at")?.saturating_add(touch) <= at {
            sqlx::query("UPDATE sessions SET last_at = $1 WHERE token = $2")
                .bind(at)
                .bind(token.to_string())
                .execute(&self.pool)
                .await?;
        }
        read(&row).map(Some)
    }

    /// The same, without making the session last longer: what an open page asks by itself
    /// is no sign that somebody sits before it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn glance(
        &self,
        token: Sha256,
        limits: SessionLimits,
        now: WallTime,
    ) -> Result<Option<Account>, StoreError> {
        self.session_row(token, limits, now.as_millis()).await?.as_ref().map(read).transpose()
    }

    async fn session_row(
        &self,
        token: Sha256,
        limits: SessionLimits,
        at: i64,
    ) -> Result<Option<DbRow>, StoreError> {
        Ok(sqlx::query(
            "SELECT a.name, a.display, a.roles, a.password, a.start_until, a.subject, a.managed, a.disabled, \
             s.last_at FROM sessions s JOIN accounts a ON a.name = s.account \
             WHERE s.token = $1 AND s.expires_at > $2 AND s.last_at > $3 AND a.disabled = 0",
        )
        .bind(token.to_string())
        .bind(at)
        .bind(at.saturating_sub(limits.idle_ms))
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn end_session(&self, token: Sha256) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM sessions WHERE token = $1")
            .bind(token.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Ends every session of an account; how many there were.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn end_sessions(&self, account: &AccountName) -> Result<u64, StoreError> {
        let done = sqlx::query("DELETE FROM sessions WHERE account = $1")
            .bind(account.as_str())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected())
    }

    /// Seals what a browser is to keep and bring back, and cannot read or change.
    ///
    /// # Errors
    /// If the library fails.
    pub fn seal_for_browser(&self, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.seal(BROWSER, plain)
    }

    /// Opens what a browser brought back; nothing if this store did not seal it.
    pub fn open_from_browser(&self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.key.open(BROWSER, sealed).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::accounts::Role;
    use crate::bureau::retention::Kind;
    use crate::bureau::store::accounts::tests::{LIMITS, add};
    use crate::bureau::store::tests::on_both;

    #[tokio::test]
    async fn a_session_ends_when_it_is_idle_when_its_time_is_over_and_when_it_is_ended() {
        on_both(async |store| {
            let name = add(&store, "li", Role::Reviewer).await;
            let at = WallTime::from_millis;
            let token = Sha256::of(b"a secret");
            store.begin_session(token, &name, LIMITS, at(0)).await.unwrap();
            let is_in = async |now: i64| store.session(token, LIMITS, at(now)).await.unwrap().is_some();
            assert!(is_in(99_999).await, "this use counts");
            assert!(is_in(199_998).await && !is_in(999_999).await, "idle");
            let other = Sha256::of(b"another");
            let short = SessionLimits { idle_ms: i64::MAX, whole_ms: 1_000 };
            store.begin_session(other, &name, short, at(0)).await.unwrap();
            assert!(store.session(other, short, at(999)).await.unwrap().is_some());
            assert!(store.session(other, short, at(1_000)).await.unwrap().is_none());
            store.end_session(token).await.unwrap();
            assert!(!is_in(199_999).await);
            assert_eq!(store.end_sessions(&name).await.unwrap(), 1);
        })
        .await;
    }

    #[tokio::test]
    async fn the_shortest_idle_time_is_not_over_while_the_session_is_used() {
        on_both(async |store| {
            let name = add(&store, "li", Role::Reviewer).await;
            let limits = SessionLimits { idle_ms: 60_000, whole_ms: 3_600_000 };
            let token = Sha256::of(b"a secret");
            store.begin_session(token, &name, limits, WallTime::from_millis(0)).await.unwrap();
            for now in (0..600_000).step_by(20_000) {
                assert!(
                    store.session(token, limits, WallTime::from_millis(now)).await.unwrap().is_some(),
                    "{now}"
                );
            }
        })
        .await;
    }

    #[tokio::test]
    async fn attempts_are_counted_before_the_password_is_looked_at_and_forgotten() {
        on_both(async |store| {
            let at = WallTime::from_millis;
            let limits = AttemptLimits { most: 3, lock_ms: 100, memory_ms: 1_000 };
            let attempt = async |now| store.begin_attempt("Anybody", limits, at(now)).await.unwrap();
            let first = [attempt(0).await, attempt(1).await, attempt(2).await, attempt(3).await];
            assert_eq!(first, [Chance::Given, Chance::Given, Chance::Last, Chance::Locked]);
            assert_eq!(
                [attempt(101).await, attempt(102).await],
                [Chance::Locked, Chance::Given],
                "not prolonged"
            );
            assert_eq!(
                [attempt(103).await, attempt(1_103).await],
                [Chance::Given, Chance::Given],
                "forgotten"
            );
            store.forget_attempts("Anybody").await.unwrap();
            assert_eq!([attempt(1_104).await, attempt(1_105).await], [Chance::Given; 2]);
            let marks: Vec<String> =
                sqlx::query_scalar("SELECT name FROM sign_in_attempts").fetch_all(&store.pool).await.unwrap();
            assert!(marks.len() == 1 && marks[0].len() == 64);
            assert_eq!(store.purge(Kind::Sessions, at(2_105), at(2_105)).await.unwrap().deleted, 1);
        })
        .await;
    }

    #[tokio::test]
    async fn ended_sessions_go_with_the_next_run_and_leave_its_evidence() {
        on_both(async |store| {
            let name = add(&store, "li", Role::Reviewer).await;
            let at = WallTime::from_millis;
            for (n, begun) in [(1, 0), (2, 500)] {
                store.begin_session(Sha256::of(&[n]), &name, LIMITS, at(begun)).await.unwrap();
            }
            let done = store.purge(Kind::Sessions, at(1_000_000), at(1_000_000)).await.unwrap();
            assert_eq!((done.deleted, done.oldest_left), (1, Some(at(1_000_500))));
            assert_eq!(store.purge_reports(1).await.unwrap()[0].kind, "sessions");
        })
        .await;
    }
}
