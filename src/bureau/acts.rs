//! The record of who did what at the bureau.
//!
//! Every command that changes the record of boxes or takes something out of the
//! store is written down first, with who gave it. Who that is, the program
//! believes: `--by`, else the system's user. It does not replace an account.

use super::BureauError;
use super::store::{Act, Database, Store, erase_references as erase_references_of};
use crate::clock::{Clock, SystemClock};

/// Who gives a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person(String);

impl Person {
    /// The one named, else the user of the system.
    ///
    /// # Errors
    /// If a control character is among the name: with a line end in it, one act
    /// would look like two.
    pub fn of(named: Option<String>) -> Result<Self, BureauError> {
        let user = || std::env::var("USER").ok().or_else(|| std::env::var("LOGNAME").ok());
        let name = named.or_else(user).filter(|n| !n.trim().is_empty()).unwrap_or_else(|| "unknown".into());
        if name.chars().any(char::is_control) {
            let found = name.escape_debug();
            let what = format!("--by: found `{found}`; a name on one line, without control characters");
            return Err(BureauError::Command(what));
        }
        Ok(Self(name))
    }

    /// As the record of acts names them.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// A text of a command, on one line, neither empty nor too long.
///
/// # Errors
/// If it is another, with what was found.
pub(super) fn on_one_line(option: &str, found: String, most: usize) -> Result<String, BureauError> {
    let trimmed = found.trim();
    let n = trimmed.chars().count();
    if (1..=most).contains(&n) && !trimmed.chars().any(char::is_control) {
        return Ok(trimmed.to_owned());
    }
    let shown: String = trimmed.chars().take(40).collect::<String>().escape_debug().to_string();
    let what = format!(
        "{option}: found {n} characters, `{shown}`; allowed: 1 to {most} on one line, without control characters"
    );
    Err(BureauError::Command(what))
}

/// Writes down that `by` is about to do something.
///
/// # Errors
/// If it cannot be written; then it must not be done.
pub async fn note(
    store: &Store,
    by: &Person,
    what: &str,
    about: &str,
    detail: String,
) -> Result<(), BureauError> {
    Ok(store.act(&act(by, what, about, detail)).await?)
}

fn act(by: &Person, what: &str, about: &str, detail: String) -> Act {
    Act { at: SystemClock.now().wall, by: by.0.clone(), what: what.into(), about: about.into(), detail }
}

/// Erases every reference of a store, and writes that down; what was
/// done, in words. It needs no key.
///
/// # Errors
/// If the store fails, is a newer version's, or is still read by somebody.
pub async fn erase_references(at: &Database, by: &Person) -> Result<String, BureauError> {
    let act = act(by, "erase-references", "every cardholder", String::new());
    Ok(match erase_references_of(at, &act).await? {
        Some(n) => format!("{at}: {n} references were erased; alerts and the record of acts stay"),
        None => format!("{at}: there is no store, so there are no references"),
    })
}

/// One line per act.
pub fn table(acts: &[Act]) -> String {
    let mut text = format!("{:<25} {:<16} {:<16} {:<38} detail\n", "when", "who", "what", "about");
    for act in acts {
        let Act { at, by, what, about, detail } = act;
        text.push_str(&format!("{:<25} {by:<16} {what:<16} {about:<38} {detail}\n", at.to_string()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_line_end_is_refused() {
        assert_eq!(Person::of(Some("张三 (IT)".into())).unwrap(), Person("张三 (IT)".into()));
        for name in ["li\n2026-01-01 zhang agents add", "\u{1b}[2K", "li\u{85}"] {
            let e = Person::of(Some(name.into())).unwrap_err().to_string();
            assert!(e.starts_with("--by: found") && !e.contains(char::is_control), "{e}");
        }
    }
}
