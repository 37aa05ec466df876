//! The audit log: a folder of files, as a disk may hold it after a power cut
//! or after somebody was at it.
//!
//! An input is four bytes (how the rest is meant, where one byte is changed,
//! and by which mask), then files one after the other, each begun by a line `#`
//! with the number in its name. Bytes alone would never pass the first hash;
//! so, if the first byte is odd, each line that is a JSON object is given the
//! link, the signature (where it says `auto`) and the hash that it should have,
//! as the holder of the box's key could write it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use counterproof::clock::WallTime;
use counterproof::crypto::Sha256;
use counterproof::privacy::audit::report::Report;
use counterproof::privacy::audit::{self, AuditLog, Kind};
use counterproof::protocol::id::Epoch;
use jiff::civil::date;
use serde_json::{Value, json};

use super::crypto::signing_key;
use super::{refused, with_folder};

/// The epoch that an opened log goes on in.
pub const EPOCH: &str = "01939e5c-0000-7000-8000-000000000001";
const NOW: WallTime = WallTime::from_millis(1_795_000_000_000);
/// Most files of one input.
const FILES: usize = 3;

/// Checks, reports, opens (which repairs), goes on writing and purges.
///
/// What was whole, or torn at its end alone, is whole after a start, and after
/// a purge; one changed byte of a whole log is always found.
pub fn folder(data: &[u8]) -> bool {
    let Some(([how, at_low, at_high, mask], files)) = data.split_first_chunk::<4>() else { return false };
    with_folder(|dir| {
        let dir = dir.join("audit");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let mut written = write_files(&dir, files, how % 2 == 1);
        // A number beyond 64 bits names no file of the log.
        let segments = audit::segments(&dir).unwrap();
        written.retain(|(path, _)| segments.iter().any(|s| s.path == *path));
        let checked = audit::verify(&dir, None);
        if checked.is_ok() {
            change_a_byte(&dir, &written, u16::from_le_bytes([*at_low, *at_high]), *mask);
        }
        let walked = audit::walk(&dir, None, &mut |_, _| {});
        let (from, to) = (date(2026, 11, 1), date(2026, 12, 31));
        match Report::read(&dir, None, from, to) {
            Ok(report) => {
                assert!(!report.page().is_empty() && serde_json::to_string(&report).is_ok());
                let _ = report.kept();
            }
            Err(e) => {
                refused(e, data.len());
            }
        }
        go_on(&dir, walked.is_ok());
        checked.map_or_else(|e| refused(e, data.len()), |c| c.head.is_some())
    })
}

/// Opens the log as a start does, and writes, signs and purges.
fn go_on(dir: &Path, whole: bool) {
    let trusted = signing_key().public();
    let verify = |after: &str| {
        let checked = audit::verify(dir, Some(&trusted));
        assert!(!whole || checked.is_ok(), "a whole log, and {after}: {}", checked.unwrap_err());
    };
    let mut log = match AuditLog::open(dir, signing_key(), EPOCH.parse::<Epoch>().unwrap(), NOW) {
        Ok(log) => log,
        Err(e) => {
            refused(e, 4096);
            return;
        }
    };
    let wrote = log.append(NOW, Kind::Started, json!({}), Some(1)).and_then(|_| log.checkpoint(NOW));
    if let Err(e) = wrote {
        assert!(!log.healthy());
        refused(e, 4096);
        return;
    }
    verify("a start");
    match log.purge(WallTime::from_millis(i64::MAX), NOW) {
        Ok(_) => verify("a purge"),
        Err(e) => {
            refused(e, 4096);
        }
    }
}

fn change_a_byte(dir: &Path, written: &[(PathBuf, Vec<u8>)], at: u16, mask: u8) {
    let total: usize = written.iter().map(|(_, bytes)| bytes.len()).sum();
    if total == 0 || mask == 0 {
        return;
    }
    let mut at = usize::from(at) % total;
    for (path, bytes) in written {
        if at >= bytes.len() {
            at -= bytes.len();
            continue;
        }
        let mut changed = bytes.clone();
        changed[at] ^= mask;
        fs::write(path, changed).unwrap();
        assert!(audit::verify(dir, None).is_err(), "a changed byte was not found");
        fs::write(path, bytes).unwrap();
        return;
    }
}

fn write_files(dir: &Path, files: &[u8], mend: bool) -> Vec<(PathBuf, Vec<u8>)> {
    let mut out: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    let mut prev = Sha256([0; 32]);
    for line in files.split_inclusive(|b| *b == b'\n') {
        if let Some(name) = line.strip_prefix(b"#") {
            let digits: String =
                name.iter().filter(|b| b.is_ascii_digit()).take(20).map(|b| char::from(*b)).collect();
            let path = dir.join(format!("{digits:0>12}.jsonl"));
            if out.len() == FILES || out.iter().any(|(p, _)| *p == path) {
                break;
            }
            out.push((path, Vec::new()));
        } else if let Some((_, bytes)) = out.last_mut() {
            let mended = if mend { mended(line, &mut prev) } else { None };
            bytes.extend_from_slice(mended.as_deref().unwrap_or(line));
        }
    }
    for (path, bytes) in &out {
        fs::write(path, bytes).unwrap();
    }
    out
}

/// The line with the link, signature and hash that it should have.
fn mended(line: &[u8], prev: &mut Sha256) -> Option<Vec<u8>> {
    let mut record: Value = serde_json::from_slice(line).ok()?;
    let fields = record.as_object_mut()?;
    let automatic = |v: Option<&Value>| v.and_then(Value::as_str) == Some("auto");
    if automatic(fields.get("prev")) {
        fields.insert("prev".into(), prev.to_string().into());
    }
    let place = format!("{} {} {prev}", fields.get("epoch")?.as_str()?, fields.get("seq")?);
    let public = signing_key().public().to_base64();
    let data = fields.get_mut("data").and_then(Value::as_object_mut);
    for (key, value) in data.into_iter().flatten() {
        if automatic(Some(value)) {
            *value = match key.as_str() {
                "public_key" => public.clone(),
                "hash" => prev.to_string(),
                "handover" => signed(&format!("counterproof-audit-handover-v1 sha256 {place} {public}")),
                _ => signed(&format!("counterproof-audit-checkpoint-v1 sha256 {place}")),
            }
            .into();
        }
    }
    let mut text = record.to_string();
    *prev = Sha256::of(text.as_bytes());
    text.pop();
    write!(text, ",\"hash\":\"{prev}\"}}").ok()?;
    text.push_str(if line.ends_with(b"\n") { "\n" } else { "" });
    Some(text.into_bytes())
}

fn signed(text: &str) -> String {
    signing_key().sign(text.as_bytes()).to_string()
}
