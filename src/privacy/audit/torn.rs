//! Ends of the log that a power cut tore: cut off, and kept beside it.
//!
//! What is cut off lies in `torn-N`, under the number that its record would
//! have had, until the log has recorded it; then in `torn-N.recorded`. So a
//! start that ends between the cut and the record loses neither.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::log::{io, sync_folder};
use super::{AuditError, read_line, segments};

const RECORDED: &str = ".recorded";

/// Cuts off a last line that is not a record, and removes a last file that is
/// left without one. Each record is on the disk before the next is begun, so a
/// power cut can leave one such line: cut short, or whole with sectors that were
/// never written. What is cut off is kept first: if it was not a power cut,
/// somebody will want to see it.
pub(super) fn cut(dir: &Path) -> Result<(), AuditError> {
    while let Some(last) = segments(dir)?.pop() {
        let bytes = std::fs::read(&last.path).map_err(io(&last.path))?;
        let ended = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let from = ended.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let (whole, tail) = bytes.split_at(from.min(bytes.len()));
        if tail.strip_suffix(b"\n").is_some_and(|line| read_line(line).is_ok()) {
            return Ok(());
        }
        let number = last.first + whole.iter().filter(|b| **b == b'\n').count() as u64;
        keep(dir, number, tail)?;
        if !whole.is_empty() {
            let cut = OpenOptions::new().write(true).open(&last.path);
            return cut
                .and_then(|f| f.set_len(whole.len() as u64).and_then(|()| f.sync_all()))
                .map_err(io(&last.path));
        }
        std::fs::remove_file(&last.path).map_err(io(&last.path))?;
        sync_folder(dir).map_err(io(dir))?;
    }
    Ok(())
}

/// Keeps what is cut off; what is kept already under its number stays.
fn keep(dir: &Path, number: u64, torn: &[u8]) -> Result<(), AuditError> {
    if torn.is_empty() {
        return Ok(());
    }
    let mut path = dir.join(format!("torn-{number:012}"));
    let mut copy = 1;
    while path.exists() || recorded_name(&path).exists() {
        // A start that was killed between this and the cut kept it already.
        if std::fs::read(&path).is_ok_and(|kept| kept == torn) {
            return Ok(());
        }
        copy += 1;
        path = dir.join(format!("torn-{number:012}-{copy}"));
    }
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(torn).and_then(|()| file.sync_all()))
        .and_then(|()| sync_folder(dir));
    written.map_err(|source| {
        // Half of it would be taken for another torn end; the whole still stands in the log.
        let _ = std::fs::remove_file(&path);
        AuditError::Io { path, source }
    })
}

fn recorded_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(RECORDED);
    name.into()
}

/// Marks a torn end as recorded.
pub(super) fn set_recorded(path: &Path) -> Result<(), AuditError> {
    std::fs::rename(path, recorded_name(path)).map_err(io(path))?;
    path.parent().map_or(Ok(()), sync_folder).map_err(io(path))
}

/// Torn ends that the log does not tell of yet, in their order.
pub(super) fn unrecorded(dir: &Path) -> Result<Vec<PathBuf>, AuditError> {
    kept(dir, false)
}

/// Torn ends that the log tells of.
pub(super) fn recorded(dir: &Path) -> Result<Vec<PathBuf>, AuditError> {
    kept(dir, true)
}

fn kept(dir: &Path, recorded: bool) -> Result<Vec<PathBuf>, AuditError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io(dir))? {
        let path = entry.map_err(io(dir))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if name.starts_with("torn-") && name.ends_with(RECORDED) == recorded && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
