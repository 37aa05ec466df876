//! Accounts and sessions of the console.

use sqlx::Row;

use super::{DbRow, Store, StoreError, parse};
use crate::bureau::accounts::{AccountName, Roles};
use crate::clock::WallTime;
use crate::crypto::Sha256;

/// An account to be put on record.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// With which they sign in.
    pub name: AccountName,
    /// As pages show them.
    pub display: String,
    /// What they may do.
    pub roles: Roles,
    /// The hash of their password; empty for single sign-on only.
    pub password: String,
}

/// An account on record.
#[derive(Debug, Clone)]
pub struct Account {
    /// With which they sign in.
    pub name: AccountName,
    /// As pages show them.
    pub display: String,
    /// What they may do.
    pub roles: Roles,
    /// The hash of their password; empty for single sign-on only.
    pub password: String,
    /// Whether they may not sign in.
    pub disabled: bool,
    /// Until when nobody may try, after too many wrong passwords.
    pub locked_until: Option<WallTime>,
}

/// How long a session lasts, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// Without a request.
    pub idle_ms: i64,
    /// From signing in.
    pub whole_ms: i64,
}

const ACCOUNT: &str =
    "SELECT name, display, roles, password, disabled, locked_until FROM accounts WHERE name = $1";
/// A session is marked as used at most so often, in milliseconds.
const TOUCH_MS: i64 = 60_000;

fn read(row: &DbRow) -> Result<Account, StoreError> {
    let name: &str = row.try_get("name")?;
    let label = format!("accounts/{name}");
    Ok(Account {
        name: parse(&label, name)?,
        display: row.try_get("display")?,
        roles: parse(&label, row.try_get("roles")?)?,
        password: row.try_get("password")?,
        disabled: row.try_get::<i64, _>("disabled")? != 0,
        locked_until: row.try_get::<Option<i64>, _>("locked_until")?.map(WallTime::from_millis),
    })
}

impl Store {
    /// Puts an account on record; whether the name was free.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn add_account(&self, new: &NewAccount, now: WallTime) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO accounts (name, display, roles, password, created_at, changed_at) \
             VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT DO NOTHING",
        )
        .bind(new.name.as_str())
        .bind(&new.display)
        .bind(new.roles.to_string())
        .bind(&new.password)
        .bind(now.as_millis())
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The account of this name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn account(&self, name: &AccountName) -> Result<Option<Account>, StoreError> {
        let row = sqlx::query(ACCOUNT).bind(name.as_str()).fetch_optional(&self.pool).await?;
        row.as_ref().map(read).transpose()
    }

    /// Counts a wrong password; at the `most`th in a row the account is locked until `lock`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn sign_in_failed(
        &self,
        name: &AccountName,
        most: i64,
        lock: WallTime,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE accounts SET locked_until = CASE WHEN failures + 1 >= $1 THEN $2 ELSE locked_until END, \
             failures = CASE WHEN failures + 1 >= $1 THEN 0 ELSE failures + 1 END WHERE name = $3",
        )
        .bind(most)
        .bind(lock.as_millis())
        .bind(name.as_str())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets wrong passwords.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn sign_in_succeeded(&self, name: &AccountName) -> Result<(), StoreError> {
        sqlx::query("UPDATE accounts SET failures = 0, locked_until = NULL WHERE name = $1")
            .bind(name.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
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
        if row.try_get::<i64, _>("last_at")?.saturating_add(TOUCH_MS) <= at {
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
            "SELECT a.name, a.display, a.roles, a.password, a.disabled, a.locked_until, s.last_at \
             FROM sessions s JOIN accounts a ON a.name = s.account \
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::accounts::{Attempt, LOCK_MS, MOST_FAILURES, Role, password, sign_in};
    use crate::bureau::store::tests::on_both;
    use zeroize::Zeroizing;

    const LIMITS: SessionLimits = SessionLimits { idle_ms: 100_000, whole_ms: 1_000_000 };

    async fn with_account(store: &Store) -> AccountName {
        let name: AccountName = "li".parse().unwrap();
        let new = NewAccount {
            name: name.clone(),
            display: "Li".into(),
            roles: Roles::new([Role::Reviewer]),
            password: password::hash("three words and a half").unwrap(),
        };
        assert!(store.add_account(&new, WallTime::from_millis(1)).await.unwrap());
        assert!(!store.add_account(&new, WallTime::from_millis(2)).await.unwrap());
        name
    }

    #[tokio::test]
    async fn too_many_wrong_passwords_lock_an_account_for_a_while_and_no_other_name_is_told_apart() {
        on_both(async |store| {
        with_account(&store).await;
        let at = WallTime::from_millis;
        let attempt = async |name: &str, word: &str, now: i64| {
            sign_in(&store, name, Zeroizing::new(word.to_owned()), at(now)).await.unwrap()
        };
        for n in 0..MOST_FAILURES {
            assert!(matches!(attempt("li", "wrong", n).await, Attempt::Refused));
        }
        let right = "three words and a half";
        assert!(
            matches!(attempt("li", right, 10).await, Attempt::Locked(until) if until == at(MOST_FAILURES - 1 + LOCK_MS))
        );
        assert!(
            matches!(attempt("li", right, 10 + LOCK_MS).await, Attempt::Admitted(a) if a.roles.has(Role::Reviewer))
        );
        assert!(matches!(attempt("nobody", right, 10).await, Attempt::Refused));
        assert!(matches!(attempt("Nobody at all", right, 10).await, Attempt::Refused));
        })
        .await;
    }

    #[tokio::test]
    async fn a_session_ends_when_it_is_idle_when_its_time_is_over_and_when_it_is_ended() {
        on_both(async |store| {
            let name = with_account(&store).await;
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
        })
        .await;
    }
}
