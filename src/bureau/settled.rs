//! Settlement statistics from a file into the store, by command or on the console.
//!
//! Promises: what [`figures::import`](super::figures::import) refuses is not imported,
//! not in part either; who imported what is recorded before, by the file's digest.

use std::path::Path;

use super::BureauError;
use super::acts::{Person, note};
use super::figures::calendar::Month;
use super::figures::import::{Allowed, Line, MOST_BYTES, Refused, read};
use super::retention::Retention;
use super::store::{Import, Imported, Store};
use crate::clock::{Clock, SystemClock, WallTime};
use crate::crypto::Sha256;

/// The words of the command, in the record of acts.
pub const ACT: &str = "figures import";

/// Which months may be imported now: those that the retention limit would not delete
/// at once, up to this one.
pub fn allowed(retention: &Retention, now: WallTime) -> Allowed {
    let kept = i64::from(retention.settlement_figures_days) * 86_400_000;
    let oldest = Month::of(WallTime::from_millis(now.as_millis().saturating_sub(kept)));
    Allowed { first: oldest, last: Month::of(now) }
}

/// Reads a file's bytes; its digest and its lines.
///
/// # Errors
/// [`Refused`] with every bad line.
pub fn understand(
    bytes: &[u8],
    retention: &Retention,
    now: WallTime,
) -> Result<(Sha256, Vec<Line>), Refused> {
    Ok((Sha256::of(bytes), read(bytes, allowed(retention, now))?))
}

/// Imports a file; what came of it, in words.
///
/// # Errors
/// If the file cannot be read, a line is bad, or the store fails.
pub async fn import(
    store: &Store,
    retention: &Retention,
    file: &Path,
    by: &Person,
) -> Result<String, BureauError> {
    let place = file.display();
    let size = std::fs::metadata(file)
        .map_err(|e| BureauError::Command(format!("{place}: {e}: name a CSV file")))?
        .len();
    if size > MOST_BYTES as u64 {
        let what = format!("{place}: found {size} bytes; allowed: {MOST_BYTES}: split it by month");
        return Err(BureauError::Command(what));
    }
    let bytes = std::fs::read(file).map_err(|e| BureauError::Command(format!("{place}: {e}")))?;
    let now = SystemClock.now().wall;
    let (digest, lines) = understand(&bytes, retention, now)
        .map_err(|r| BureauError::Command(format!("{place}: {}", told(&r))))?;
    note(store, by, ACT, &digest.to_string(), format!("{} lines", lines.len())).await?;
    let imported = store.import_settled(digest, &lines, by.name(), now).await?;
    Ok(match imported {
        Imported::New(Import { lines, replaced, .. }) => {
            format!("{place}: {lines} lines were imported; {replaced} of them took the place of earlier ones")
        }
        Imported::Before(Import { at, by, .. }) => {
            format!("{place}: this very file was imported at {at} by {by}; nothing was changed")
        }
    })
}

/// Every fault on a line of its own.
fn told(refused: &Refused) -> String {
    let Refused { faults, count } = refused;
    let mut text =
        format!("{count} faults, and nothing was imported; mend the lines and import the file again");
    for fault in faults {
        text.push_str(&format!("\n  {fault}"));
    }
    if *count > faults.len() {
        text.push_str(&format!("\n  and {} more", count - faults.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_limit_would_delete_at_once_is_not_imported() {
        let now = "2026-11".parse::<Month>().unwrap().begins();
        let retention = Retention { settlement_figures_days: 60, ..Retention::default() };
        let allowed = allowed(&retention, now);
        assert_eq!(
            (allowed.first.to_string(), allowed.last.to_string()),
            ("2026-09".into(), "2026-11".into())
        );
        assert!(allowed.first.ends().as_millis() > now.as_millis() - 60 * 86_400_000);
    }
}
