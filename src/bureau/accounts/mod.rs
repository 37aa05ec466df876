//! Accounts: who may sign in at the console, and as what.
//!
//! Promises: a password is kept as its Argon2id hash alone; an account has one or
//! more [`Role`]s and nothing is allowed without one; who is disabled or locked
//! gets no session. [`oidc`] lets a bureau's own single sign-on say who it is. What it does not do: say which page needs which role; that
//! stands with each route of the console.

pub mod command;
pub mod oidc;
pub mod password;

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use super::store::{Account, Act, AttemptLimits, Chance, Store, StoreError};
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
    /// Checks people in with a telephone, and sees nothing else.
    Ward,
}

impl Role {
    /// Every role there is.
    pub const ALL: [Self; 5] =
        [Self::Reviewer, Self::Supervisor, Self::PrivacyOfficer, Self::Administrator, Self::Ward];

    /// Its word in the store, in commands and in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reviewer => "reviewer",
            Self::Supervisor => "supervisor",
            Self::PrivacyOfficer => "privacy_officer",
            Self::Administrator => "administrator",
            Self::Ward => "ward",
        }
    }
}

impl<'de> serde::Deserialize<'de> for Role {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|r| r.as_str() == s).ok_or_else(|| {
            let found: String = s.chars().take(40).collect();
            format!(
                "found `{}`; the roles are reviewer, supervisor, privacy_officer, administrator, ward",
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
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

/// How many wrong passwords there may be: five in a row, then a quarter of an hour's
/// lock; forgotten after a day.
pub const ATTEMPTS: AttemptLimits =
    AttemptLimits { most: 5, lock_ms: 15 * 60 * 1000, memory_ms: 24 * 60 * 60 * 1000 };
/// For how long a password that was handed out may be used, in milliseconds.
pub const START_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Who may sign in with a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalSignIn {
    /// Whoever has one.
    #[default]
    Everyone,
    /// Administrators alone, so that single sign-on's failure locks nobody out for
    /// good; everybody else by single sign-on.
    Administrators,
}

/// What became of an attempt to sign in.
#[derive(Debug)]
pub enum Attempt {
    /// It is them.
    Admitted(Box<Account>),
    /// No such name, a wrong password, or an account that signs in elsewhere, is
    /// disabled, or whose start password is over: not told apart, so that nobody learns
    /// which names there are.
    Refused,
    /// Too many wrong passwords with this name, whether or not there is such an account.
    Locked,
}

/// Checks a name and a password; counts the attempt before it does.
///
/// # Errors
/// If the store fails.
pub async fn sign_in(
    store: &Store,
    name: &str,
    password: Zeroizing<String>,
    local: LocalSignIn,
    now: WallTime,
) -> Result<Attempt, StoreError> {
    let chance = store.begin_attempt(name, ATTEMPTS, now).await?;
    let account = match name.parse::<AccountName>() {
        Ok(name) => store.account(&name).await?,
        Err(_) => None,
    };
    // The hash is worked out whether or not there is such an account, and whether or not
    // the name is locked: the time of the answer says nothing.
    let hash = account.as_ref().map(|a| a.password.clone()).unwrap_or_default();
    let fits = password::fits(password, hash).await;
    if chance == Chance::Locked {
        return Ok(Attempt::Locked);
    }
    // What was changed while the hash was worked out counts.
    let held = match account.as_ref().filter(|_| fits) {
        Some(a) => store.account(&a.name).await?.filter(|now| now.password == a.password),
        None => None,
    };
    let about = account.as_ref().map_or("no account", |a| a.name.as_str()).to_owned();
    match held.filter(|a| may_sign_in(a, local, now)) {
        Some(account) => {
            store.forget_attempts(name).await?;
            Ok(Attempt::Admitted(Box::new(account)))
        }
        None => {
            if chance == Chance::Last {
                let by = "nobody signed in".to_owned();
                let what = "lock after wrong passwords".to_owned();
                store.act(&Act { at: now, by, what, about, detail: String::new() }).await?;
            }
            Ok(Attempt::Refused)
        }
    }
}

fn may_sign_in(account: &Account, local: LocalSignIn, now: WallTime) -> bool {
    let in_time = account.start_until.is_none_or(|until| now < until);
    let by_password = local == LocalSignIn::Everyone || account.roles.has(Role::Administrator);
    // What single sign-on says of roles is as old as the last sign-in there.
    !account.disabled && !account.managed && in_time && by_password
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::store::tests::on_both;
    use crate::bureau::store::{Changed, NewAccount};

    const RIGHT: &str = "three words and a half";

    async fn add(store: &Store, name: &str, role: Role) {
        let new = NewAccount {
            name: name.parse().unwrap(),
            display: "Li".into(),
            roles: Roles::new([role]),
            password: password::hash(RIGHT).unwrap(),
        };
        assert!(store.add_account(&new, WallTime::from_millis(1)).await.unwrap());
    }

    async fn attempt(store: &Store, name: &str, word: &str, now: i64) -> Attempt {
        let (word, now) = (Zeroizing::new(word.to_owned()), WallTime::from_millis(now));
        sign_in(store, name, word, LocalSignIn::Everyone, now).await.unwrap()
    }

    #[tokio::test]
    async fn too_many_wrong_passwords_lock_a_name_for_a_while_whether_or_not_there_is_one() {
        on_both(async |store| {
        add(&store, "li", Role::Reviewer).await;
        for name in ["li", "nobody", "Nobody at all"] {
            for n in 0..ATTEMPTS.most {
                assert!(matches!(attempt(&store, name, "wrong", n).await, Attempt::Refused), "{name}");
            }
            assert!(matches!(attempt(&store, name, RIGHT, 10).await, Attempt::Locked), "{name}");
        }
        let later = 10 + ATTEMPTS.lock_ms;
        assert!(
            matches!(attempt(&store, "li", RIGHT, later).await, Attempt::Admitted(a) if a.roles.has(Role::Reviewer))
        );
        let locks = store.acts(9).await.unwrap();
        let about: Vec<&str> = locks.iter().map(|a| a.about.as_str()).collect();
        assert_eq!(about, ["no account", "no account", "li"], "and nothing of what was typed");
        })
        .await;
    }

    #[tokio::test]
    async fn many_attempts_at_once_do_not_get_past_the_limit() {
        on_both(async |store| {
            add(&store, "li", Role::Reviewer).await;
            let all = (0..12).map(|_| attempt(&store, "li", "wrong", 5));
            let looked_at = futures_util::future::join_all(all)
                .await
                .iter()
                .filter(|a| matches!(a, Attempt::Refused))
                .count();
            assert_eq!(i64::try_from(looked_at).unwrap(), ATTEMPTS.most);
        })
        .await;
    }

    #[tokio::test]
    async fn start_passwords_end_and_passwords_can_be_for_administrators_alone() {
        on_both(async |store| {
            add(&store, "li", Role::Reviewer).await;
            add(&store, "chen", Role::Administrator).await;
            let at = WallTime::from_millis;
            let hash = password::hash(RIGHT).unwrap();
            let given = store.set_password(&"li".parse().unwrap(), &hash, Some(at(50)), at(1)).await.unwrap();
            assert_eq!(given, Changed::Done);
            assert!(matches!(attempt(&store, "li", RIGHT, 49).await, Attempt::Admitted(_)));
            assert!(matches!(attempt(&store, "li", RIGHT, 50).await, Attempt::Refused));
            for (name, admitted) in [("li", false), ("chen", true)] {
                let word = Zeroizing::new(RIGHT.to_owned());
                let done = sign_in(&store, name, word, LocalSignIn::Administrators, at(20)).await.unwrap();
                assert_eq!(matches!(done, Attempt::Admitted(_)), admitted, "{name}");
            }
        })
        .await;
    }

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
