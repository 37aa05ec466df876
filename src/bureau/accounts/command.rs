//! The commands about accounts; each is written down first, with who gave it.

use std::io::{self, BufRead, IsTerminal};
use std::path::Path;

use zeroize::Zeroizing;

use super::{AccountName, Roles, password};
use crate::bureau::BureauError;
use crate::bureau::acts::{self, Person, on_one_line};
use crate::bureau::store::{NewAccount, Store};
use crate::clock::{Clock, SystemClock};
use crate::crypto::keys::read_secret;

/// Most characters of the name that pages show.
pub const MAX_DISPLAY: usize = 64;

/// Makes an account. The password is a line from wherever the caller reads it.
///
/// # Errors
/// If the name is taken, the password too short, or no role is given.
pub async fn add(
    store: &Store,
    by: &Person,
    name: AccountName,
    display: Option<String>,
    roles: Roles,
    new_password: &str,
) -> Result<(), BureauError> {
    if roles.is_empty() {
        let what =
            "--role: found none; give one or more of reviewer, supervisor, privacy_officer, administrator";
        return Err(BureauError::Command(what.into()));
    }
    let display = on_one_line("--display", display.unwrap_or_else(|| name.to_string()), MAX_DISPLAY)?;
    let hash =
        password::hash(new_password).map_err(|e| BureauError::Command(format!("the password: {e}")))?;
    acts::note(store, by, "accounts add", name.as_str(), format!("roles {roles}")).await?;
    let new = NewAccount { name, display, roles, password: hash };
    if store.add_account(&new, SystemClock.now().wall).await? {
        return Ok(());
    }
    Err(BureauError::Command(format!("there is an account {} already", new.name)))
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
