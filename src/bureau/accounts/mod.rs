//! Accounts: who may sign in at the console, and as what.
//!
//! Promises: a password is kept as its Argon2id hash alone; an account has one or
//! more [`Role`]s and nothing is allowed without one; who is disabled or locked
//! gets no session. What it does not do: say which page needs which role; that
//! stands with each route of the console.

pub mod command;
pub mod password;

use std::fmt;
use std::str::FromStr;

use super::store::{Account, Store, StoreError};
use crate::clock::WallTime;

/// What somebody may do at the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Judges alerts and prepares cases.
    Reviewer,
    /// The second person: approves, signs, sees the desk's figures.
    Supervisor,
    /// Reads retention and its proof; answers to cardholders' rights.
    PrivacyOfficer,
    /// Accounts and boxes.
    Administrator,
}

impl Role {
    /// Every role there is.
    pub const ALL: [Self; 4] = [Self::Reviewer, Self::Supervisor, Self::PrivacyOfficer, Self::Administrator];

    /// Its word in the store, in commands and in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reviewer => "reviewer",
            Self::Supervisor => "supervisor",
            Self::PrivacyOfficer => "privacy_officer",
            Self::Administrator => "administrator",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|r| r.as_str() == s).ok_or_else(|| {
            let found: String = s.chars().take(40).collect();
            format!(
                "found `{}`; the roles are reviewer, supervisor, privacy_officer, administrator",
                found.escape_debug()
            )
        })
    }
}

/// Roles of one account; never empty once it is on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

impl Roles {
    /// These roles, each once.
    pub fn new(roles: impl IntoIterator<Item = Role>) -> Self {
        let mut roles: Vec<Role> = roles.into_iter().collect();
        roles.sort_unstable();
        roles.dedup();
        Self(roles)
    }

    /// Whether this role is among them.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether one of these is among them.
    pub fn any_of(&self, wanted: &[Role]) -> bool {
        wanted.iter().any(|r| self.has(*r))
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Role> {
        self.0.iter().copied()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|r| r.as_str()).collect();
        f.write_str(&words.join(" "))
    }
}

impl FromStr for Roles {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        s.split_whitespace().map(Role::from_str).collect::<Result<Vec<_>, _>>().map(Self::new)
    }
}

/// The name that somebody signs in with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(String);

impl AccountName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AccountName {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-@".contains(&b);
        if (1..=64).contains(&s.len()) && s.bytes().all(fits) {
            return Ok(Self(s.to_owned()));
        }
        let found: String = s.chars().take(80).collect();
        Err(format!(
            "found `{}`; allowed as a name to sign in with: 1 to 64 of a-z, 0-9, `.`, `_`, `-` and `@`",
            found.escape_debug()
        ))
    }
}

/// After so many wrong passwords in a row an account is locked for [`LOCK_MS`].
pub const MOST_FAILURES: i64 = 5;
/// How long, in milliseconds.
pub const LOCK_MS: i64 = 15 * 60 * 1000;

/// What became of an attempt to sign in.
#[derive(Debug)]
pub enum Attempt {
    /// It is them.
    Admitted(Box<Account>),
    /// No such name, a wrong password, or an account that signs in elsewhere or is
    /// disabled: not told apart, so that nobody learns which names there are.
    Refused,
    /// Too many wrong passwords, until then. Pages say the same as of [`Self::Refused`]:
    /// only a name that there is can be locked.
    Locked(WallTime),
}

/// Checks a name and a password; counts what was wrong.
///
/// # Errors
/// If the store fails.
pub async fn sign_in(
    store: &Store,
    name: &str,
    password: zeroize::Zeroizing<String>,
    now: WallTime,
) -> Result<Attempt, StoreError> {
    let account = match name.parse::<AccountName>() {
        Ok(name) => store.account(&name).await?,
        Err(_) => None,
    };
    let locked = account.as_ref().and_then(|a| a.locked_until).filter(|until| now < *until);
    // The hash is worked out whether or not there is such an account, and whether or not
    // it is locked: the time of the answer says nothing.
    let hash = account.as_ref().map(|a| a.password.clone()).unwrap_or_default();
    let fits = password::fits(password, hash).await;
    let Some(account) = account else { return Ok(Attempt::Refused) };
    if let Some(until) = locked {
        return Ok(Attempt::Locked(until));
    }
    if !fits || account.disabled {
        let lock = WallTime::from_millis(now.as_millis().saturating_add(LOCK_MS));
        store.sign_in_failed(&account.name, MOST_FAILURES, lock).await?;
        return Ok(Attempt::Refused);
    }
    store.sign_in_succeeded(&account.name).await?;
    Ok(Attempt::Admitted(Box::new(account)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_names_are_read_or_refused_by_name() {
        assert_eq!("supervisor reviewer".parse::<Roles>().unwrap().to_string(), "reviewer supervisor");
        assert!("judge".parse::<Roles>().unwrap_err().contains("found `judge`"));
        for good in ["li", "li.na@bureau", "a-1_2"] {
            assert!(good.parse::<AccountName>().is_ok(), "{good}");
        }
        for bad in ["", "Li", "li na", "李", "a\nb", &"x".repeat(65)] {
            assert!(bad.parse::<AccountName>().is_err(), "{bad:?}");
        }
    }
}
