//! The audit log: an append-only file of JSON lines, each with the hash of
//! the one before, and signed checkpoints.
//!
//! A line is `{"epoch":…,"seq":…,"at":…,"kind":…,"data":{…},"prev":…,"hash":…}`
//! where `hash` is the SHA-256 of the line without its hash and `prev` the hash
//! of the line before. Changing any byte breaks the chain at that record.
//! Every [`CHECKPOINT_EVERY`] records, and at each close, a `checkpoint` signs
//! the head, so that nobody without the box's key can write the chain anew.
//!
//! Promises: a record is on the disk before [`AuditLog::append`] returns; if it
//! cannot be, the log says so and [`AuditLog::healthy`] is false until an append
//! has succeeded. It holds no personal data beyond settlement numbers; what is
//! written is for the callers to choose, through [`Kind`].

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::{PublicKey, Signature, SigningKey, Unverified};
use crate::protocol::id::Epoch;
use crate::protocol::posture::AuditHead;

/// Records between two signed checkpoints.
pub const CHECKPOINT_EVERY: u64 = 256;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The program started: version, policy, models, calibration.
    Started,
    /// The program stopped in order.
    Stopped,
    /// A settlement was accepted for verification.
    SettlementAccepted,
    /// A verification ended, with its verdict.
    Verdict,
    /// An alert was signed and committed.
    AlertCommitted,
    /// A withdrawal was signed and committed.
    WithdrawalCommitted,
    /// The bureau acknowledged an event.
    EventDelivered,
    /// The bureau refused an event for good; it was set aside.
    EventSetAside,
    /// Data reached its limit and was deleted.
    Purged,
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

/// Why the log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be opened, read or written.
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
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

/// What checking a whole log found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Its last record, if it has any.
    pub head: Option<AuditHead>,
    /// Checkpoints whose signature was verified.
    pub checkpoints: u64,
    /// Records after the last checkpoint: not yet signed.
    pub unsigned_tail: u64,
    /// Greatest database row that was exported into it.
    pub last_row: i64,
    /// Bytes of whole records.
    pub bytes: u64,
    /// Bytes after them: a record that a power cut tore.
    pub torn: u64,
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
    let mut body = body.to_vec();
    body.push(b'}');
    let hash = Sha256::of(&body);
    if hash != written {
        return Err(format!("its content hashes to {hash}, but {written} is written"));
    }
    let record = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
    Ok((record, hash))
}

/// Checks a whole log: every hash, every link, every signature.
///
/// # Errors
/// [`AuditError::Broken`] naming the first bad record.
pub fn verify(path: &Path, key: &PublicKey) -> Result<Checked, AuditError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut f| {
            // A device would be read without end.
            if !f.metadata()?.is_file() {
                return Err(std::io::Error::other("not a regular file"));
            }
            f.read_to_end(&mut bytes)
        })
        .map_err(|source| AuditError::Io { path: path.to_owned(), source })?;
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let mut checked = Checked {
        head: None,
        checkpoints: 0,
        unsigned_tail: 0,
        last_row: 0,
        bytes: whole as u64,
        torn: (bytes.len() - whole) as u64,
    };
    let mut prev = Sha256([0; 32]);
    for (i, line) in bytes.get(..whole).unwrap_or_default().split(|b| *b == b'\n').enumerate() {
        if line.is_empty() && i as u64 == checked.head.map_or(0, |h| h.seq) {
            continue;
        }
        let seq = i as u64 + 1;
        let broken =
            |what: String| AuditError::Broken { path: path.to_owned(), record: seq, line: i + 1, what };
        let (record, hash) = read_line(line).map_err(broken)?;
        if record.seq != seq || record.prev != prev {
            return Err(broken(format!(
                "it is number {} after {}, expected number {seq} after {prev}",
                record.seq, record.prev
            )));
        }
        checked.unsigned_tail += 1;
        if record.kind == Kind::Checkpoint {
            check_signature(&record, key).map_err(broken)?;
            checked.checkpoints += 1;
            checked.unsigned_tail = 0;
        }
        // A database made anew counts its rows from 1 again, under an epoch of its own.
        if checked.head.is_some_and(|h| h.epoch != record.epoch) {
            checked.last_row = 0;
        }
        checked.last_row = checked.last_row.max(record.row.unwrap_or(0));
        checked.head = Some(AuditHead { epoch: record.epoch, seq, hash });
        prev = hash;
    }
    Ok(checked)
}

fn check_signature(record: &Record, key: &PublicKey) -> Result<(), String> {
    let signature =
        record.data.get("signature").and_then(Value::as_str).ok_or("a checkpoint without signature")?;
    let signature: Signature = signature.parse().map_err(|e| format!("{e}"))?;
    let signed = signed_text(record.epoch, record.seq, record.prev);
    Unverified::new(signed.as_bytes(), signature).verify(key).map(|_| ()).map_err(|e| e.to_string())
}

fn signed_text(epoch: Epoch, seq: u64, prev: Sha256) -> String {
    format!("counterproof audit checkpoint {epoch} {seq} {prev}")
}

/// The open log of a running box.
pub struct AuditLog {
    path: PathBuf,
    file: File,
    key: SigningKey,
    epoch: Epoch,
    head: Option<AuditHead>,
    length: u64,
    since_checkpoint: u64,
    last_row: i64,
    healthy: bool,
}

impl AuditLog {
    /// Opens or begins the log, checks all of it, and cuts off a torn end
    /// (which is then recorded).
    ///
    /// # Errors
    /// If it cannot be read or written, or was changed.
    pub fn open(path: &Path, key: SigningKey, epoch: Epoch, now: WallTime) -> Result<Self, AuditError> {
        let io = |source| AuditError::Io { path: path.to_owned(), source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(io)?;
        let checked = verify(path, &key.public())?;
        let mut log = Self {
            path: path.to_owned(),
            file,
            key,
            epoch,
            head: checked.head,
            length: checked.bytes,
            since_checkpoint: checked.unsigned_tail,
            last_row: if checked.head.is_some_and(|h| h.epoch == epoch) { checked.last_row } else { 0 },
            healthy: true,
        };
        if checked.torn > 0 {
            log.append(now, Kind::TornTailRepaired, serde_json::json!({ "bytes": checked.torn }), None)?;
        }
        Ok(log)
    }

    /// Appends a record and waits until it is on the disk.
    ///
    /// # Errors
    /// If it could not be written; nothing of it then counts.
    pub fn append(
        &mut self,
        at: WallTime,
        kind: Kind,
        data: Value,
        row: Option<i64>,
    ) -> Result<AuditHead, AuditError> {
        let head = self.write(at, kind, data, row)?;
        if self.since_checkpoint >= CHECKPOINT_EVERY { self.checkpoint(at) } else { Ok(head) }
    }

    /// Signs the head, unless it is signed already.
    ///
    /// # Errors
    /// If it could not be written.
    pub fn checkpoint(&mut self, at: WallTime) -> Result<AuditHead, AuditError> {
        if let (0, Some(head)) = (self.since_checkpoint, self.head) {
            return Ok(head);
        }
        let (seq, prev) = self.next();
        let signature = self.key.sign(signed_text(self.epoch, seq, prev).as_bytes());
        let head = self.write(
            at,
            Kind::Checkpoint,
            serde_json::json!({ "signature": signature.to_string() }),
            None,
        )?;
        self.since_checkpoint = 0;
        Ok(head)
    }

    fn next(&self) -> (u64, Sha256) {
        self.head.map_or((1, Sha256([0; 32])), |h| (h.seq + 1, h.hash))
    }

    fn write(
        &mut self,
        at: WallTime,
        kind: Kind,
        data: Value,
        row: Option<i64>,
    ) -> Result<AuditHead, AuditError> {
        let (seq, prev) = self.next();
        let record = Record { epoch: self.epoch, seq, at, kind, data, row, prev };
        let (line, hash) = line_of(&record);
        let length = self.length;
        // What an earlier, failed write may have left is cut off first.
        let written = self
            .file
            .set_len(length)
            .and_then(|()| self.file.seek(SeekFrom::Start(length)))
            .and_then(|_| self.file.write_all(&line))
            .and_then(|()| self.file.sync_data());
        self.healthy = written.is_ok();
        written.map_err(|source| AuditError::Io { path: self.path.clone(), source })?;
        self.length += line.len() as u64;
        self.since_checkpoint += 1;
        self.last_row = self.last_row.max(row.unwrap_or(0));
        let head = AuditHead { epoch: self.epoch, seq, hash };
        self.head = Some(head);
        Ok(head)
    }

    /// Makes every further write fail, as a full or read-only disk does.
    #[cfg(test)]
    pub(crate) fn break_for_tests(&mut self) {
        if let Ok(read_only) = File::open(&self.path) {
            self.file = read_only;
        }
    }

    /// Whether the last attempt to write succeeded.
    pub fn healthy(&self) -> bool {
        self.healthy
    }

    /// The last record.
    pub fn head(&self) -> Option<AuditHead> {
        self.head
    }

    /// Greatest database row that was exported into the log.
    pub fn last_row(&self) -> i64 {
        self.last_row
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> SigningKey {
        // One key for all cases: it is derived from fixed bytes through PKCS#8 once.
        static DER: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        SigningKey::from_pkcs8(DER.get_or_init(|| SigningKey::generate_pkcs8().unwrap().to_vec())).unwrap()
    }

    const NOW: WallTime = WallTime::from_millis(1_795_000_000_000);

    fn written(n: u64) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let mut log = AuditLog::open(&path, key(), Epoch::new(), NOW).unwrap();
        for i in 0..n {
            log.append(
                NOW,
                Kind::Verdict,
                serde_json::json!({ "settlement": format!("S{i}") }),
                Some(i as i64 + 1),
            )
            .unwrap();
        }
        log.checkpoint(NOW).unwrap();
        (dir, path)
    }

    #[test]
    fn a_log_is_continued_where_it_ended() {
        let (_dir, path) = written(3);
        let epoch = verify(&path, &key().public()).unwrap().head.unwrap().epoch;
        let mut log = AuditLog::open(&path, key(), epoch, NOW).unwrap();
        assert_eq!((log.head().unwrap().seq, log.last_row()), (4, 3));
        log.append(NOW, Kind::Stopped, Value::Null, None).unwrap();
        let checked = verify(&path, &key().public()).unwrap();
        assert_eq!((checked.head.unwrap().seq, checked.checkpoints, checked.unsigned_tail), (5, 1, 1));
    }

    #[test]
    fn a_database_made_anew_exports_its_rows_from_the_first() {
        let (_dir, path) = written(3);
        let mut log = AuditLog::open(&path, key(), Epoch::new(), NOW).unwrap();
        assert_eq!(log.last_row(), 0);
        log.append(NOW, Kind::Started, Value::Null, Some(1)).unwrap();
        assert_eq!(verify(&path, &key().public()).unwrap().last_row, 1);
    }

    #[test]
    fn a_torn_end_is_cut_off_and_recorded() {
        let (_dir, path) = written(3);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&bytes[..], b"{\"epoch\":\"half"].concat()).unwrap();
        let log = AuditLog::open(&path, key(), Epoch::new(), NOW).unwrap();
        assert_eq!(log.head().unwrap().seq, 5);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().last().unwrap().contains("torn_tail_repaired"));
        verify(&path, &key().public()).unwrap();
    }

    #[test]
    fn a_log_that_cannot_be_written_says_so_and_recovers() {
        let (_dir, path) = written(1);
        let mut log = AuditLog::open(&path, key(), Epoch::new(), NOW).unwrap();
        let writable = std::mem::replace(&mut log.file, File::open(&path).unwrap());
        assert!(log.append(NOW, Kind::Stopped, Value::Null, None).is_err());
        assert!(!log.healthy());
        log.file = writable;
        log.append(NOW, Kind::Stopped, Value::Null, None).unwrap();
        assert!(log.healthy());
        assert_eq!(verify(&path, &key().public()).unwrap().head.unwrap().seq, 3);
    }

    #[test]
    fn another_key_s_checkpoint_is_refused() {
        let (_dir, path) = written(2);
        let other = SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap();
        assert!(matches!(verify(&path, &other.public()), Err(AuditError::Broken { record: 3, .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn one_changed_byte_is_found_and_its_record_named(at in any::<proptest::sample::Index>(), flip in 1u8..=255) {
            let (_dir, path) = written(8);
            let mut bytes = std::fs::read(&path).unwrap();
            let i = at.index(bytes.len() - 1);
            let record = bytes[..i].iter().filter(|b| **b == b'\n').count() as u64 + 1;
            bytes[i] ^= flip;
            std::fs::write(&path, &bytes).unwrap();
            match verify(&path, &key().public()) {
                Err(AuditError::Broken { record: named, .. }) => prop_assert_eq!(named, record),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
