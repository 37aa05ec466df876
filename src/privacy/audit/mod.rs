//! The audit log: append-only files of JSON lines, each with the hash of the
//! one before, and signed checkpoints.
//!
//! A line is `{"epoch":…,"seq":…,"at":…,"kind":…,"data":{…},"prev":…,"hash":…}`
//! where `hash` is the SHA-256 of the line without its hash and `prev` the hash
//! of the line before. Changing any byte breaks the chain at that record.
//! Every [`CHECKPOINT_EVERY`] records, at each new file and at each close, a
//! `checkpoint` signs the head, so that nobody without the box's key can write
//! the chain anew; more than [`UNSIGNED_AT_MOST`] records after the last one are
//! a fault. Cutting it short is seen by the bureau, which countersigns its head
//! with each posture.
//!
//! Files (segments) lie in one folder and are named by the number of their
//! first record; a new one begins with each day and after [`SEGMENT_BYTES`].
//! Its first record, `segment`, names the key that signs it; a key is followed
//! by another only with the former key's signature, which covers the chain up to
//! there as a checkpoint does.
//!
//! A log may begin late only if a signed record in it says that what is gone
//! reached its limit, [`CEILING`].
//!
//! [`AuditLog`] writes, [`verify`] checks, [`report`] reads for people. No
//! personal data beyond settlement numbers; what is written is for the callers
//! to choose, through [`Kind`].

mod log;
pub mod report;
mod torn;
mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::{PublicKey, Signature, Unverified};
use crate::privacy::policy::AUDIT_LOG_CEILING_YEARS;
use crate::protocol::id::Epoch;
use crate::protocol::posture::AuditHead;

pub use log::{AuditLog, Keys};
pub use verify::{Checked, Visit, folder, verify, walk};

/// Records between two signed checkpoints.
pub const CHECKPOINT_EVERY: u64 = 256;
/// Most records that may follow the last signature. A writer signs before it
/// would go beyond [`CHECKPOINT_EVERY`]; the rest is slack for logs of earlier
/// versions, which added one record with each signature that failed.
pub const UNSIGNED_AT_MOST: u64 = CHECKPOINT_EVERY + 64;
/// The log's own limit: files whose last record is older are deleted. Years of
/// 365 days.
pub const CEILING: Duration = Duration::from_secs(AUDIT_LOG_CEILING_YEARS as u64 * 365 * 86_400);
/// A segment that has grown to this is followed by another, in bytes.
pub const SEGMENT_BYTES: u64 = 8 << 20;

/// Greatest number that a record can have: no box writes so many.
const LAST_NUMBER: u64 = i64::MAX as u64;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A segment begins: the key that signs it, the greatest row so far.
    Segment,
    /// The program started: version, policy with its limits, models, calibration.
    Started,
    /// The program stopped in order.
    Stopped,
    /// The configuration differs from that of the last start.
    ConfigurationChanged,
    /// The privacy policy differs from that of the last start.
    PolicyChanged,
    /// A new epoch began without a new database, and why.
    EpochBegun,
    /// The root key was replaced; what it sealed is sealed under the new one.
    RootKeyReplaced,
    /// A settlement was accepted for verification.
    SettlementAccepted,
    /// A verification ended, with its verdict.
    Verdict,
    /// Verdicts since the start, counted.
    VerdictCounts,
    /// An alert was signed and committed.
    AlertCommitted,
    /// A withdrawal was signed and committed.
    WithdrawalCommitted,
    /// An event reached its limit before the bureau took it; the word of that
    /// was signed and committed.
    ExpiryCommitted,
    /// The bureau acknowledged an event.
    EventDelivered,
    /// The bureau refused an event for good; it was set aside.
    EventSetAside,
    /// Data reached its limit and was deleted.
    Purged,
    /// Limits were looked after: how old the oldest of each kind is.
    Retention,
    /// The wall clock was stepped, or is not believed for another reason.
    ClockDoubted,
    /// The bureau's time agrees with the wall clock.
    ClockConfirmed,
    /// The box raises alerts from now on: by which word of whom, for what.
    Commissioned,
    /// The box raises no alerts from now on, and why.
    Shadowed,
    /// Somebody began to aim a camera, which looks for faces without a
    /// settlement: who, at which counter, for how long at most, with its picture or not.
    AimBegun,
    /// Aiming ended, and why; what was shown and changed.
    AimEnded,
    /// A shift's roster began to be watched for at an entrance: which, how many are expected.
    RosterBegun,
    /// A shift is over: how many were expected and seen, and for how much of it the entrance
    /// was observed.
    RosterEnded,
    /// The bureau signed the head of this log.
    Countersigned,
    /// The end of the log was torn by a power cut and cut off.
    TornTailRepaired,
    /// The head of the chain, signed.
    Checkpoint,
}

impl Kind {
    /// The word in the log.
    pub fn as_str(self) -> String {
        match serde_json::to_value(self) {
            Ok(Value::String(s)) => s,
            _ => String::new(),
        }
    }
}

/// One record, as read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The box's life between two re-imagings.
    pub epoch: Epoch,
    /// 1, 2, 3, …
    pub seq: u64,
    /// When, by the box's wall clock.
    pub at: WallTime,
    /// What happened.
    pub kind: Kind,
    /// Its details.
    pub data: Value,
    /// Number of the database row it was exported from, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<i64>,
    /// Hash of the record before; zeros on the first.
    pub prev: Sha256,
}

impl Record {
    /// Its place in the chain, given its hash.
    pub fn head(&self, hash: Sha256) -> AuditHead {
        AuditHead { epoch: self.epoch, seq: self.seq, hash }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.data.get(key).and_then(Value::as_str)
    }
}

/// Why the log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A file cannot be opened, read or written.
    #[error("audit log {path}: {source}: verification stops until it can be written")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A record is not what was written.
    #[error(
        "audit log {path}: record {record} (line {line}): {what}: keep the file as it is and tell the privacy officer"
    )]
    Broken {
        /// Which file.
        path: PathBuf,
        /// Number the record should have.
        record: u64,
        /// Line in the file, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The log was signed with another key.
    #[error(
        "audit log {path}: signed with key {found}, but keys.signing is {ours}: name the former key as keys.signing_previous, once, so that it can hand over"
    )]
    OtherKey {
        /// The log's folder.
        path: PathBuf,
        /// Key of its last segment.
        found: String,
        /// Key at hand.
        ours: String,
    },
}

/// A file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Number of its first record.
    pub first: u64,
    /// Where it lies.
    pub path: PathBuf,
}

/// The log's files, oldest first. Another file in the folder is none of it, one
/// with another spelling of a number neither: no two have the same number.
///
/// # Errors
/// If the folder cannot be read.
pub fn segments(dir: &Path) -> Result<Vec<Segment>, AuditError> {
    let io = |source| AuditError::Io { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let first = path
            .file_name()
            .and_then(|n| n.to_str()?.strip_suffix(".jsonl")?.parse().ok())
            .filter(|n| (1..=LAST_NUMBER).contains(n) && path == segment_path(dir, *n) && path.is_file());
        found.extend(first.map(|first| Segment { first, path }));
    }
    found.sort_by_key(|s| s.first);
    Ok(found)
}

fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:012}.jsonl"))
}

const HASH_FIELD: &str = ",\"hash\":\"";
const HASH_TAIL: usize = HASH_FIELD.len() + 64 + 2;

fn line_of(record: &Record) -> (Vec<u8>, Sha256) {
    let body = serde_json::to_vec(record).unwrap_or_default();
    let hash = Sha256::of(&body);
    let mut line = body;
    line.pop();
    line.extend_from_slice(format!("{HASH_FIELD}{hash}\"}}\n").as_bytes());
    (line, hash)
}

fn read_line(line: &[u8]) -> Result<(Record, Sha256), String> {
    let (body, tail) =
        line.len().checked_sub(HASH_TAIL).map(|n| line.split_at(n)).ok_or("too short for a record")?;
    let tail = std::str::from_utf8(tail).map_err(|_| "not text")?;
    let written: Sha256 = tail
        .strip_prefix(HASH_FIELD)
        .and_then(|t| t.strip_suffix("\"}"))
        .and_then(|t| t.parse().ok())
        .ok_or("no hash at its end")?;
    // A digest is read in either case; it is written in lower case alone.
    if tail.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("its hash is not in lower case".into());
    }
    let mut body = body.to_vec();
    body.push(b'}');
    let hash = Sha256::of(&body);
    if hash != written {
        return Err(format!("its content hashes to {hash}, but {written} is written"));
    }
    let record = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
    Ok((record, hash))
}

/// What a checkpoint signs: the algorithm of the chain, and the head before it.
fn checkpoint_text(epoch: Epoch, seq: u64, prev: Sha256) -> String {
    format!("counterproof-audit-checkpoint-v1 sha256 {epoch} {seq} {prev}")
}

/// What a key signs when another follows it.
fn handover_text(epoch: Epoch, seq: u64, prev: Sha256, to: &PublicKey) -> String {
    format!("counterproof-audit-handover-v1 sha256 {epoch} {seq} {prev} {}", to.to_base64())
}

fn check(text: &str, signature: Option<&str>, key: &PublicKey) -> Result<(), String> {
    let signature: Signature = signature.ok_or("it has no signature")?.parse().map_err(|e| format!("{e}"))?;
    Unverified::new(text.as_bytes(), signature).verify(key).map(|_| ()).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests;
