//! What is done with accounts, by commands and by the administrator's page; each act
//! is written down first, with who gave it.

use std::io::{self, BufRead, IsTerminal};
use std::path::Path;

use zeroize::Zeroizing;

use super::{AccountName, Roles, START_MS, password};
use crate::bureau::BureauError;
use crate::bureau::acts::{self, Person, on_one_line};
use crate::bureau::store::{Account, Changed, NewAccount, Store};
use crate::clock::{Clock, SystemClock, WallTime};
use crate::crypto::keys::read_secret;

/// Most characters of the name that pages show.
pub const MAX_DISPLAY: usize = 64;

/// An account, as commands show it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Shown {
    name: AccountName,
    display: String,
    roles: Vec<&'static str>,
    /// How they sign in: `password`, `start password`, `single sign-on`, or two.
    by: Vec<&'static str>,
    disabled: bool,
    locked_until: Option<WallTime>,
}

/// What is done with an account that is on record.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Gives it these roles instead of its own.
    Roles(Roles),
    /// Lets nobody sign in with it.
    Disable,
    /// Lets them sign in again.
    Enable,
    /// Takes a lock after wrong passwords away.
    Unlock,
    /// Ends its sessions.
    SignOut,
    /// Says by which issuer and subject single sign-on knows its owner.
    Link(String),
    /// Says that single sign-on knows its owner no more.
    Unlink,
}

impl Deed {
    const fn words(&self) -> &'static str {
        match self {
            Self::Roles(_) => "accounts roles",
            Self::Disable => "accounts disable",
            Self::Enable => "accounts enable",
            Self::Unlock => "accounts unlock",
            Self::SignOut => "accounts sign-out",
            Self::Link(_) => "accounts link",
            Self::Unlink => "accounts unlink",
        }
    }
}

/// Makes an account. The password is a line from wherever the caller reads it.
///
/// # Errors
/// If the name is taken, the password not good enough, or no role is given.
pub async fn add(
    store: &Store,
    by: &Person,
    name: AccountName,
    display: Option<String>,
    roles: Roles,
    new_password: &str,
) -> Result<(), BureauError> {
    if roles.is_empty() {
        return Err(no_role());
    }
    let display = on_one_line("--display", display.unwrap_or_else(|| name.to_string()), MAX_DISPLAY)?;
    let word = Zeroizing::new(new_password.to_owned());
    let hash = password::hash_of(&name, word).await.map_err(about_password)?;
    acts::note(store, by, "accounts add", name.as_str(), format!("roles {roles}")).await?;
    let new = NewAccount { name, display, roles, password: hash };
    if store.add_account(&new, SystemClock.now().wall).await? {
        return Ok(());
    }
    Err(BureauError::Command(format!("there is an account {} already", new.name)))
}

/// Makes an account with a password to hand out, which has to be changed at the first
/// sign-in; the password.
///
/// # Errors
/// As [`add`].
pub async fn issue(
    store: &Store,
    by: &Person,
    name: AccountName,
    display: Option<String>,
    roles: Roles,
) -> Result<Zeroizing<String>, BureauError> {
    let word = password::make().map_err(about_password)?;
    add(store, by, name.clone(), display, roles, &word).await?;
    // Between the two nobody knows the password but this program.
    let hash = password::hash_of(&name, word.clone()).await.map_err(about_password)?;
    let now = SystemClock.now().wall;
    answer(&name, store.set_password(&name, &hash, Some(start_until(now)), now).await?)?;
    Ok(word)
}

/// Gives an account another password, and ends its sessions.
///
/// # Errors
/// If there is no such account, or the password is not good enough.
pub async fn set_password(
    store: &Store,
    by: &Person,
    name: &AccountName,
    word: Zeroizing<String>,
) -> Result<(), BureauError> {
    let hash = password::hash_of(name, word).await.map_err(about_password)?;
    may_have_password(store, name).await?;
    acts::note(store, by, "accounts password", name.as_str(), String::new()).await?;
    answer(name, store.set_password(name, &hash, None, SystemClock.now().wall).await?)
}

/// Gives an account a password to hand out, which has to be changed at the first
/// sign-in, and ends its sessions; the password.
///
/// # Errors
/// If there is no such account.
pub async fn reissue(
    store: &Store,
    by: &Person,
    name: &AccountName,
) -> Result<Zeroizing<String>, BureauError> {
    may_have_password(store, name).await?;
    let word = password::make().map_err(about_password)?;
    let hash = password::hash_of(name, word.clone()).await.map_err(about_password)?;
    acts::note(store, by, "accounts password", name.as_str(), "one to hand out".into()).await?;
    let now = SystemClock.now().wall;
    answer(name, store.set_password(name, &hash, Some(start_until(now)), now).await?)?;
    store.forget_attempts(name.as_str()).await?;
    Ok(word)
}

/// Does this with the account.
///
/// # Errors
/// If there is no such account, or nobody could administer any more.
pub async fn apply(store: &Store, by: &Person, name: &AccountName, deed: Deed) -> Result<(), BureauError> {
    let detail = match &deed {
        Deed::Roles(roles) if roles.is_empty() => return Err(no_role()),
        Deed::Roles(roles) => format!("roles {roles}"),
        _ => String::new(),
    };
    acts::note(store, by, deed.words(), name.as_str(), detail).await?;
    let now = SystemClock.now().wall;
    let changed = match deed {
        Deed::Roles(roles) => store.set_roles(name, &roles, now).await?,
        Deed::Disable => store.disable_account(name, now).await?,
        Deed::Enable => store.enable_account(name, now).await?,
        Deed::Link(subject) => {
            let subject = on_one_line("--subject", subject, 512)?;
            if !subject.split_once(' ').is_some_and(|(issuer, sub)| issuer.contains("://") && !sub.is_empty())
            {
                let what = format!(
                    "--subject: found `{subject}`; allowed: the issuer's address, a space, and the subject of \
                     its ID tokens"
                );
                return Err(BureauError::Command(what));
            }
            if store.account_of_subject(&subject).await?.is_some_and(|a| a.name != *name) {
                let what = "--subject: another account is linked to it already".into();
                return Err(BureauError::Command(what));
            }
            store.link_account(name, Some(&subject), now).await?
        }
        Deed::Unlink => store.link_account(name, None, now).await?,
        Deed::Unlock | Deed::SignOut if store.account(name).await?.is_none() => Changed::NoAccount,
        Deed::Unlock => {
            store.forget_attempts(name.as_str()).await?;
            Changed::Done
        }
        Deed::SignOut => {
            store.end_sessions(name).await?;
            Changed::Done
        }
    };
    answer(name, changed)
}

/// Every account, with its lock.
///
/// # Errors
/// If the store fails.
pub async fn list(store: &Store) -> Result<Vec<Shown>, BureauError> {
    let now = SystemClock.now().wall;
    let mut shown = Vec::new();
    for account in store.accounts().await? {
        let locked_until = store.locked_until(&account.name, now).await?;
        let Account { name, display, roles, disabled, .. } = account.clone();
        let roles = roles.iter().map(super::Role::as_str).collect();
        shown.push(Shown { name, display, roles, by: account.signs_in_by(), disabled, locked_until });
    }
    Ok(shown)
}

/// One line per account.
pub fn table(accounts: &[Shown]) -> String {
    let mut text = format!("{:<24} {:<44} {:<28} state\n", "name", "roles", "signs in by");
    for a in accounts {
        let state = match (a.disabled, a.locked_until) {
            (true, _) => "disabled".to_owned(),
            (false, Some(until)) => format!("locked until {until}"),
            (false, None) => String::new(),
        };
        let (name, roles, by) = (a.name.as_str(), a.roles.join(" "), a.by.join(", "));
        text.push_str(&format!("{name:<24} {roles:<44} {by:<28} {state}\n"));
    }
    text
}

impl Account {
    /// How they sign in.
    pub fn signs_in_by(&self) -> Vec<&'static str> {
        let password = match (self.password.is_empty(), self.start_until) {
            (true, _) => None,
            (false, Some(_)) => Some("start password"),
            (false, None) => Some("password"),
        };
        password.into_iter().chain(self.subject.as_ref().map(|_| "single sign-on")).collect()
    }
}

/// An account whose roles are single sign-on's word is not entered in another way:
/// nobody would hear there that a role was taken away.
async fn may_have_password(store: &Store, name: &AccountName) -> Result<(), BureauError> {
    if store.account(name).await?.is_some_and(|a| a.managed) {
        return Err(BureauError::Command(format!(
            "the roles of {name} are what single sign-on says; give it roles of its own first (accounts roles)"
        )));
    }
    Ok(())
}

fn start_until(now: WallTime) -> WallTime {
    WallTime::from_millis(now.as_millis().saturating_add(START_MS))
}

fn no_role() -> BureauError {
    BureauError::Command(
        "--role: found none; give one or more of reviewer, supervisor, privacy_officer, administrator, ward"
            .into(),
    )
}

fn about_password(error: password::BadPassword) -> BureauError {
    BureauError::Command(format!("the password: {error}"))
}

fn answer(name: &AccountName, changed: Changed) -> Result<(), BureauError> {
    match changed {
        Changed::Done => Ok(()),
        Changed::NoAccount => Err(BureauError::Command(format!("there is no account {name}"))),
        Changed::LastAdministrator => Err(BureauError::Command(format!(
            "{name} is the last who may administer; make another administrator first"
        ))),
    }
}

/// The first line of a file that its owner alone may read, else of standard input.
/// Who types it at a terminal sees what is typed.
///
/// # Errors
/// If it cannot be read, or others may read the file.
pub fn read_password(file: Option<&Path>) -> Result<Zeroizing<String>, BureauError> {
    if let Some(file) = file {
        let (_, bytes) = read_secret(&file.to_string_lossy())?;
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            BureauError::Command(format!("{}: not text; expected the password as one line", file.display()))
        })?;
        return Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()));
    }
    if io::stdin().is_terminal() {
        eprintln!("password (it is shown as you type):");
    }
    let mut line = Zeroizing::new(String::new());
    io::stdin().lock().read_line(&mut line)?;
    Ok(Zeroizing::new(line.trim_end_matches(['\n', '\r']).to_owned()))
}
