//! What an inspector asks of a box's state folder: `counterproof audit verify`
//! and `counterproof audit report`. They read, and change nothing.

use std::path::Path;

use jiff::civil::Date;

use crate::crypto::sign::PublicKey;
use crate::privacy::audit::report::Report;
use crate::privacy::audit::{AuditError, Checked, folder, verify};

/// Checks the whole log of a state folder.
///
/// # Errors
/// Naming the first bad record.
pub fn check(state: &Path, key: Option<&PublicKey>) -> Result<Checked, AuditError> {
    verify(&folder(state), key)
}

/// What a check found, for people.
pub fn told(checked: &Checked, key: Option<&PublicKey>) -> String {
    let Some(head) = checked.head else { return "the log is empty\n".into() };
    let by = match key {
        Some(key) => format!("the key given ({})", key.id()),
        None => format!(
            "{}, as the log itself says: give --key with the key that the bureau has on record",
            checked.keys.join(", then ")
        ),
    };
    format!(
        "in order: records {} to {} in {} files, {} signed checkpoints, {} records after the last\n\
         signed by {by}\nhead {}\n",
        checked.first, head.seq, checked.segments, checked.checkpoints, checked.unsigned_tail, head.hash
    )
}

/// The report on a period; without dates, on the last 30 days.
///
/// # Errors
/// Naming the first bad record.
pub fn report(
    state: &Path,
    key: Option<&PublicKey>,
    from: Option<Date>,
    to: Option<Date>,
    today: Date,
) -> Result<Report, AuditError> {
    let to = to.unwrap_or(today);
    let from = from.unwrap_or_else(|| to.saturating_sub(jiff::Span::new().days(30)));
    Report::read(&folder(state), key, from, to)
}
