//! Accounts of the console.
//!
//! Promises: what changes who may do what ends the account's sessions in the same
//! transaction; while there is somebody who may administer, no change leaves nobody.

use sqlx::Row;

use super::{DbRow, Store, StoreError, Tx, parse};
use crate::bureau::accounts::{AccountName, Roles};
use crate::clock::WallTime;

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
    /// Until when a password that was handed out may be used, to be changed at once.
    pub start_until: Option<WallTime>,
    /// Issuer and subject of single sign-on, with a space between.
    pub subject: Option<String>,
    /// Whether the roles are what single sign-on says.
    pub managed: bool,
    /// Whether they may not sign in.
    pub disabled: bool,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It was made, and the account's sessions ended.
    Done,
    /// There is no such account.
    NoAccount,
    /// Nobody could administer any more; nothing was changed.
    LastAdministrator,
}

const BY_NAME: &str = "SELECT name, display, roles, password, start_until, subject, managed, disabled \
                       FROM accounts WHERE name = $1";
const BY_SUBJECT: &str = "SELECT name, display, roles, password, start_until, subject, managed, disabled \
                          FROM accounts WHERE subject = $1";
const ALL: &str = "SELECT name, display, roles, password, start_until, subject, managed, disabled \
                   FROM accounts ORDER BY name";

pub(super) fn read(row: &DbRow) -> Result<Account, StoreError> {
    let name: &str = row.try_get("name")?;
    let label = format!("accounts/{name}");
    Ok(Account {
        name: parse(&label, name)?,
        display: row.try_get("display")?,
        roles: parse(&label, row.try_get("roles")?)?,
        password: row.try_get("password")?,
        start_until: row.try_get::<Option<i64>, _>("start_until")?.map(WallTime::from_millis),
        subject: row.try_get("subject")?,
        managed: row.try_get::<i64, _>("managed")? != 0,
        disabled: row.try_get::<i64, _>("disabled")? != 0,
    })
}

/// How many can sign in and administer.
async fn administrators(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    let sql = "SELECT COUNT(*) FROM accounts WHERE disabled = 0 AND (password <> '' OR subject IS NOT NULL) \
               AND ' ' || roles || ' ' LIKE '% administrator %'";
    Ok(sqlx::query_scalar(sql).fetch_one(&mut **tx).await?)
}

/// One change of an account: `$1` is its name, `$2` a text, `$3` a number, `$4` now.
#[derive(Clone, Copy)]
struct Change<'c> {
    sql: &'static str,
    text: &'c str,
    number: Option<i64>,
}

const ROLES: &str =
    "UPDATE accounts SET roles = $2, managed = CAST($3 AS BIGINT), changed_at = $4 WHERE name = $1";
const DISABLED: &str =
    "UPDATE accounts SET disabled = CAST($3 AS BIGINT), changed_at = $4 WHERE name = $1 AND $2 = ''";
const PASSWORD: &str =
    "UPDATE accounts SET password = $2, start_until = CAST($3 AS BIGINT), changed_at = $4 WHERE name = $1";
const SUBJECT: &str = "UPDATE accounts SET subject = NULLIF($2, ''), managed = CAST($3 AS BIGINT), changed_at = $4 WHERE name = $1";

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

    /// Puts an account on record that single sign-on vouches for; whether name and
    /// subject were free.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn add_managed_account(
        &self,
        new: &NewAccount,
        subject: &str,
        now: WallTime,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO accounts (name, display, roles, password, subject, managed, created_at, changed_at) \
             VALUES ($1, $2, $3, '', $4, 1, $5, $5) ON CONFLICT DO NOTHING",
        )
        .bind(new.name.as_str())
        .bind(&new.display)
        .bind(new.roles.to_string())
        .bind(subject)
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
        let row = sqlx::query(BY_NAME).bind(name.as_str()).fetch_optional(&self.pool).await?;
        row.as_ref().map(read).transpose()
    }

    /// The account that single sign-on vouches for by this issuer and subject.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn account_of_subject(&self, subject: &str) -> Result<Option<Account>, StoreError> {
        let row = sqlx::query(BY_SUBJECT).bind(subject).fetch_optional(&self.pool).await?;
        row.as_ref().map(read).transpose()
    }

    /// Every account, by name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        sqlx::query(ALL).fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// Gives an account these roles instead of its own.
    ///
    /// # Errors
    /// If the database fails; nothing is changed then.
    pub async fn set_roles(
        &self,
        name: &AccountName,
        roles: &Roles,
        now: WallTime,
    ) -> Result<Changed, StoreError> {
        let text = roles.to_string();
        self.change(name, Change { sql: ROLES, text: &text, number: Some(0) }, now).await
    }

    /// Takes over the roles that single sign-on says. It may take away the last
    /// administrator: who may sign in is the issuer's word then.
    ///
    /// # Errors
    /// If the database fails; nothing is changed then.
    pub async fn set_managed_roles(
        &self,
        name: &AccountName,
        roles: &Roles,
        now: WallTime,
    ) -> Result<(), StoreError> {
        let text = roles.to_string();
        let mut tx = self.pool.begin().await?;
        apply(&mut tx, name, Change { sql: ROLES, text: &text, number: Some(1) }, now).await?;
        Ok(tx.commit().await?)
    }

    /// Lets nobody sign in with this account any more.
    ///
    /// # Errors
    /// If the database fails; nothing is changed then.
    pub async fn disable_account(&self, name: &AccountName, now: WallTime) -> Result<Changed, StoreError> {
        self.change(name, Change { sql: DISABLED, text: "", number: Some(1) }, now).await
    }

    /// Lets them sign in again.
    ///
    /// # Errors
    /// If the database fails; nothing is changed then.
    pub async fn enable_account(&self, name: &AccountName, now: WallTime) -> Result<Changed, StoreError> {
        self.change(name, Change { sql: DISABLED, text: "", number: Some(0) }, now).await
    }

    /// Gives an account the password with this hash; with `start_until`, one that must
    /// be changed at the first sign-in and is good until then.
    ///
    /// # Errors
    /// If the database fails; nothing is changed then.
    pub async fn set_password(
        &self,
        name: &AccountName,
        hash: &str,
        start_until: Option<WallTime>,
        now: WallTime,
    ) -> Result<Changed, StoreError> {
        let number = start_until.map(WallTime::as_millis);
        self.change(name, Change { sql: PASSWORD, text: hash, number }, now).await
    }

    /// Says by which issuer and subject single sign-on knows the owner of an account, or
    /// that it does not; its roles stay what they are here. The subject must be free.
    ///
    /// # Errors
    /// If the database fails, also because another account has the subject.
    pub async fn link_account(
        &self,
        name: &AccountName,
        subject: Option<&str>,
        now: WallTime,
    ) -> Result<Changed, StoreError> {
        let text = subject.unwrap_or_default();
        self.change(name, Change { sql: SUBJECT, text, number: Some(0) }, now).await
    }

    async fn change(
        &self,
        name: &AccountName,
        change: Change<'_>,
        now: WallTime,
    ) -> Result<Changed, StoreError> {
        let mut tx = self.pool.begin().await?;
        // One change at a time, also with several processes on one database: two
        // administrators that take away each other must not both succeed.
        sqlx::query("UPDATE meta SET value = value WHERE name = 'canary'").execute(&mut *tx).await?;
        let before = administrators(&mut tx).await?;
        if apply(&mut tx, name, change, now).await? == 0 {
            return Ok(Changed::NoAccount);
        }
        if before > 0 && administrators(&mut tx).await? == 0 {
            return Ok(Changed::LastAdministrator);
        }
        tx.commit().await?;
        Ok(Changed::Done)
    }
}

/// Makes the change and ends the account's sessions; how many accounts that was.
async fn apply(
    tx: &mut Tx<'_>,
    name: &AccountName,
    change: Change<'_>,
    now: WallTime,
) -> Result<u64, StoreError> {
    let done = sqlx::query(change.sql)
        .bind(name.as_str())
        .bind(change.text)
        .bind(change.number)
        .bind(now.as_millis())
        .execute(&mut **tx)
        .await?;
    sqlx::query("DELETE FROM sessions WHERE account = $1").bind(name.as_str()).execute(&mut **tx).await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bureau::accounts::{Role, password};
    use crate::bureau::retention::Kind;
    use crate::bureau::store::SessionLimits;
    use crate::bureau::store::tests::on_both;
    use crate::crypto::Sha256;

    pub const LIMITS: SessionLimits = SessionLimits { idle_ms: 100_000, whole_ms: 1_000_000 };
    pub const RIGHT: &str = "three words and a half";

    pub async fn add(store: &Store, name: &str, role: Role) -> AccountName {
        let name: AccountName = name.parse().unwrap();
        let new = NewAccount {
            name: name.clone(),
            display: "Li".into(),
            roles: Roles::new([role]),
            password: password::hash(RIGHT).unwrap(),
        };
        assert!(store.add_account(&new, WallTime::from_millis(1)).await.unwrap());
        assert!(!store.add_account(&new, WallTime::from_millis(2)).await.unwrap());
        name
    }

    #[tokio::test]
    async fn a_change_ends_the_sessions_and_the_last_administrator_stays() {
        on_both(async |store| {
            let at = WallTime::from_millis;
            let chen = add(&store, "chen", Role::Administrator).await;
            let li = add(&store, "li", Role::Reviewer).await;
            let reviewer = Roles::new([Role::Reviewer]);
            for refused in [
                store.set_roles(&chen, &reviewer, at(3)).await.unwrap(),
                store.disable_account(&chen, at(3)).await.unwrap(),
            ] {
                assert_eq!(refused, Changed::LastAdministrator);
            }
            assert!(
                store
                    .account(&chen)
                    .await
                    .unwrap()
                    .is_some_and(|a| !a.disabled && a.roles.has(Role::Administrator))
            );
            for change in 0..4 {
                let token = Sha256::of(&[change]);
                store.begin_session(token, &li, LIMITS, at(3)).await.unwrap();
                let done = match change {
                    0 => store.set_roles(&li, &Roles::new([Role::Administrator]), at(4)).await,
                    1 => store.set_password(&li, "x", Some(at(9)), at(4)).await,
                    2 => store.link_account(&li, Some("https://sso.example 7"), at(4)).await,
                    _ => store.disable_account(&li, at(4)).await,
                };
                assert_eq!(done.unwrap(), Changed::Done, "{change}");
                store.enable_account(&li, at(4)).await.unwrap();
                assert!(store.session(token, LIMITS, at(5)).await.unwrap().is_none(), "{change}");
            }
            let held = store.account_of_subject("https://sso.example 7").await.unwrap().unwrap();
            assert!(held.name == li && held.start_until == Some(at(9)) && !held.managed);
            assert_eq!(
                store.disable_account(&chen, at(6)).await.unwrap(),
                Changed::Done,
                "there is another now"
            );
            assert_eq!(store.accounts().await.unwrap().len(), 2);
            // Disabled at 6, chen goes with the acts of that time; li stays.
            store.purge(Kind::Acts, at(6), at(9)).await.unwrap();
            assert_eq!(store.accounts().await.unwrap().len(), 2);
            let left = store.purge(Kind::Acts, at(7), at(9)).await.unwrap();
            assert_eq!((left.deleted, store.accounts().await.unwrap().len()), (1, 1));
            // One that single sign-on knows stays, or its owner would be let in anew.
            let new = NewAccount {
                name: "wang".parse().unwrap(),
                display: "Wang".into(),
                roles: Roles::new([Role::Reviewer]),
                password: String::new(),
            };
            assert!(store.add_managed_account(&new, "https://sso.example 8", at(7)).await.unwrap());
            assert_eq!(store.disable_account(&new.name, at(7)).await.unwrap(), Changed::Done);
            store.purge(Kind::Acts, at(9), at(9)).await.unwrap();
            assert!(store.account_of_subject("https://sso.example 8").await.unwrap().is_some());
            let nobody = "nobody".parse().unwrap();
            assert_eq!(store.disable_account(&nobody, at(6)).await.unwrap(), Changed::NoAccount);
        })
        .await;
    }
}
