//! The record of who did what at the bureau.
//!
//! Every command that changes the record of boxes or takes something out of the
//! store is written down first, with who gave it. Who that is, the program
//! believes: `--by`, else the system's user. It does not replace an account.

use super::BureauError;
use super::store::{Act, Store};
use crate::clock::{Clock, SystemClock};

/// Who gives a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person(String);

impl Person {
    /// The one named, else the user of the system.
    pub fn of(named: Option<String>) -> Self {
        let user = || std::env::var("USER").ok().or_else(|| std::env::var("LOGNAME").ok());
        Self(named.or_else(user).filter(|n| !n.trim().is_empty()).unwrap_or_else(|| "unknown".into()))
    }
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
    let at = SystemClock.now().wall;
    let act = Act { at, by: by.0.clone(), what: what.into(), about: about.into(), detail };
    Ok(store.act(&act).await?)
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
