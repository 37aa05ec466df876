//! Reading the log: every hash, every link, every signature, one line at a
//! time.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::{
    AuditError, Kind, LAST_NUMBER, Record, Segment, UNSIGNED_AT_MOST, check, checkpoint_text, handover_text,
    read_line, segments,
};
use crate::crypto::Sha256;
use crate::crypto::sign::PublicKey;
use crate::protocol::posture::AuditHead;

/// Longest line that is read, in bytes: far above any record.
const LONGEST_LINE: u64 = 1 << 20;
/// The kind of data that purged segments are of, in their record.
pub(super) const SEGMENTS_PURGED: &str = "audit_log";

/// What checking a log found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Its last record, if it has any.
    pub head: Option<AuditHead>,
    /// Number of its first record; greater than 1 if older ones reached their limit.
    pub first: u64,
    /// Files.
    pub segments: u64,
    /// Checkpoints whose signature was verified.
    pub checkpoints: u64,
    /// Records after the last checkpoint or hand-over: not yet signed.
    pub unsigned_tail: u64,
    /// The keys that signed it, oldest first, as base64.
    pub keys: Vec<String>,
    /// Greatest database row of the last epoch that was exported into it.
    #[serde(skip)]
    pub last_row: i64,
    /// Bytes of whole records in the last file.
    #[serde(skip)]
    pub bytes: u64,
    /// Bytes after them: a record that a power cut tore.
    pub torn: u64,
}

/// Sees each record that was found in order, with its hash.
pub type Visit<'a> = &'a mut dyn FnMut(&Record, Sha256);

/// Checks a whole log: every hash, every link, every signature.
///
/// `trusted` is a public key that the reader knows to be the box's, as the
/// bureau registered it; it must have signed the log, or handed over to who
/// did. Without one, the log is checked against the keys that it names itself.
///
/// # Errors
/// [`AuditError::Broken`] naming the first bad record; a torn end is one.
pub fn verify(dir: &Path, trusted: Option<&PublicKey>) -> Result<Checked, AuditError> {
    walk(dir, trusted, &mut |_, _| {}).and_then(|checked| checked.whole(dir))
}

impl Checked {
    /// Before the first record.
    pub(super) const fn nothing() -> Self {
        Self {
            head: None,
            first: 1,
            segments: 0,
            checkpoints: 0,
            unsigned_tail: 0,
            keys: Vec::new(),
            last_row: 0,
            bytes: 0,
            torn: 0,
        }
    }

    /// Refuses a log whose last record is torn.
    ///
    /// # Errors
    /// [`AuditError::Broken`] naming it.
    pub fn whole(self, dir: &Path) -> Result<Self, AuditError> {
        if self.torn == 0 {
            return Ok(self);
        }
        let path = segments(dir)?.pop().map_or_else(|| dir.to_owned(), |s| s.path);
        Err(AuditError::Broken {
            path,
            record: self.head.map_or(1, |h| h.seq + 1),
            line: 0,
            what: format!(
                "it is cut off after {} bytes; after a power cut the agent's next start repairs and records that",
                self.torn
            ),
        })
    }
}

/// As [`verify`], telling each record; a torn end is only counted.
///
/// # Errors
/// [`AuditError::Broken`] naming the first bad record.
pub fn walk(dir: &Path, trusted: Option<&PublicKey>, visit: Visit<'_>) -> Result<Checked, AuditError> {
    let all = segments(dir)?;
    let mut chain = Chain::begin();
    for (i, segment) in all.iter().enumerate() {
        chain.segment(segment, i + 1 == all.len(), visit)?;
    }
    chain.end(dir, trusted)
}

/// Checks the last file alone and its link to the one before, as a start does.
pub(super) fn last_segment(dir: &Path) -> Result<Checked, AuditError> {
    let all = segments(dir)?;
    let mut chain = Chain::begin();
    if let [.., before, _] = all.as_slice() {
        let (record, hash) = last_record(&before.path)?;
        chain.expected = Some(hash);
        chain.key = first_key(&before.path);
        chain.checked.unsigned_tail = u64::from(record.kind != Kind::Checkpoint);
    }
    if let Some(last) = all.last() {
        chain.segment(last, true, &mut |_, _| {})?;
    }
    chain.checked.segments = all.len() as u64;
    // The box deletes nothing before the record of it is signed.
    if let (Some(up_to), Some(oldest)) = (chain.unsigned_claim, all.first())
        && oldest.first > up_to
    {
        let what = format!("records up to {up_to} are gone, and the record that says so is not signed");
        return Err(AuditError::Broken { path: dir.to_owned(), record: up_to, line: 0, what });
    }
    Ok(chain.checked)
}

/// The key that the first record of a file names, unchecked. `None` if it does
/// not begin with a whole one.
pub(super) fn first_key(path: &Path) -> Option<PublicKey> {
    let mut line = Vec::new();
    BufReader::new(File::open(path).ok()?.take(LONGEST_LINE)).read_until(b'\n', &mut line).ok()?;
    let (record, _) = read_line(line.strip_suffix(b"\n")?).ok()?;
    PublicKey::from_base64(record.text("public_key")?).ok()
}

/// The last record of a file and its hash, by its last line alone.
pub(super) fn last_record(path: &Path) -> Result<(Record, Sha256), AuditError> {
    let io = |source| AuditError::Io { path: path.to_owned(), source };
    let bytes = std::fs::read(path).map_err(io)?;
    let whole = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let from = whole.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let line = whole.get(from..).unwrap_or_default();
    read_line(line).map_err(|what| AuditError::Broken {
        path: path.to_owned(),
        record: 0,
        line: 0,
        what: format!("the last record of this file: {what}"),
    })
}

/// The state of a walk.
struct Chain {
    /// Hash that the next record must name; unknown before the first.
    expected: Option<Sha256>,
    next: Option<u64>,
    key: Option<PublicKey>,
    /// Number and hash of the last record that is gone, if the log begins late.
    gone: Option<(u64, Sha256)>,
    /// Whether a record says that those reached their limit.
    claimed: bool,
    /// Up to which number records are gone, as the last unsigned record of it says.
    unsigned_claim: Option<u64>,
    /// Whether such a record is signed: without that, anybody could have added it.
    excused: bool,
    signed_by: Vec<String>,
    checked: Checked,
}

impl Chain {
    fn begin() -> Self {
        Self {
            expected: None,
            next: None,
            key: None,
            gone: None,
            claimed: false,
            unsigned_claim: None,
            excused: false,
            signed_by: Vec::new(),
            checked: Checked::nothing(),
        }
    }

    fn segment(&mut self, segment: &Segment, last: bool, visit: Visit<'_>) -> Result<(), AuditError> {
        let io = |source| AuditError::Io { path: segment.path.clone(), source };
        let mut file = BufReader::new(File::open(&segment.path).map_err(io)?);
        self.checked.segments += 1;
        self.checked.bytes = 0;
        let (mut line, mut number) = (Vec::new(), 0);
        loop {
            line.clear();
            let read = file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(io)?;
            if read == 0 {
                return Ok(());
            }
            number += 1;
            let seq = self.next.unwrap_or(segment.first);
            let broken = |what: String| AuditError::Broken {
                path: segment.path.clone(),
                record: seq,
                line: number,
                what,
            };
            let Some(body) = line.strip_suffix(b"\n") else {
                if last && read < LONGEST_LINE as usize {
                    self.checked.torn = read as u64;
                    return Ok(());
                }
                return Err(broken("it has no end".into()));
            };
            let (record, hash) = read_line(body).map_err(broken)?;
            let fault = if number == 1 { self.enter(&record, segment) } else { None };
            if let Some(what) = fault.or_else(|| self.record(&record, hash, number == 1).err()) {
                return Err(broken(what));
            }
            self.checked.bytes += read as u64;
            visit(&record, hash);
        }
    }

    /// What is wrong with the first record of a file, if anything.
    fn enter(&mut self, record: &Record, segment: &Segment) -> Option<String> {
        if record.kind != Kind::Segment {
            return Some("a file of the log begins with a record of kind `segment`".into());
        }
        if record.seq != segment.first {
            return Some(format!(
                "the file is named for record {}, and begins with {}",
                segment.first, record.seq
            ));
        }
        if self.next.is_none() {
            self.checked.first = record.seq;
            let expected = *self.expected.get_or_insert(record.prev);
            if record.seq > 1 {
                self.gone = Some((record.seq - 1, expected));
            }
            self.next = Some(record.seq);
        }
        None
    }

    fn record(&mut self, record: &Record, hash: Sha256, first: bool) -> Result<(), String> {
        let seq = self.next.unwrap_or(1);
        if seq > LAST_NUMBER {
            return Err(format!("records are numbered up to {LAST_NUMBER}"));
        }
        let prev = self.expected.unwrap_or(Sha256([0; 32]));
        if record.seq != seq || record.prev != prev {
            return Err(format!(
                "it is number {} after {}, expected number {seq} after {prev}",
                record.seq, record.prev
            ));
        }
        if seq == 1 && record.prev != Sha256([0; 32]) {
            return Err("the first record names one before it".into());
        }
        let unsigned = self.checked.unsigned_tail;
        self.checked.unsigned_tail += 1;
        match record.kind {
            Kind::Segment if first => self.key(record, unsigned)?,
            Kind::Segment => {
                return Err("a record of kind `segment` stands at the beginning of a file only".into());
            }
            Kind::Checkpoint => self.checkpoint(record)?,
            Kind::Purged if record.text("kind") == Some(SEGMENTS_PURGED) => self.excuse(record),
            _ => {}
        }
        if self.checked.unsigned_tail > UNSIGNED_AT_MOST {
            return Err(format!(
                "more than {UNSIGNED_AT_MOST} records without a signature after them; the box signs every {}",
                super::CHECKPOINT_EVERY
            ));
        }
        // A database made anew counts its rows from 1 again, under an epoch of its own.
        if self.checked.head.is_some_and(|h| h.epoch != record.epoch) && record.kind != Kind::Segment {
            self.checked.last_row = 0;
        }
        self.checked.last_row = self.checked.last_row.max(record.row.unwrap_or(0));
        self.checked.head = Some(record.head(hash));
        self.expected = Some(hash);
        self.next = Some(seq + 1);
        Ok(())
    }

    /// A file begins, `unsigned` records after the last signature.
    fn key(&mut self, record: &Record, unsigned: u64) -> Result<(), String> {
        let named = record.text("public_key").ok_or("it names no public key")?;
        let key = PublicKey::from_base64(named).map_err(|e| e.to_string())?;
        if let Some(former) = self.key.take_if(|k| *k != key) {
            let text = handover_text(record.epoch, record.seq, record.prev, &key);
            check(&text, record.text("handover"), &former).map_err(|e| {
                format!("key {} followed key {} without its word: {e}", key.id(), former.id())
            })?;
            // It names the hash of the record before, so all up to there is signed.
            self.signed(&former);
            self.checked.unsigned_tail = 1;
        } else if unsigned > 0 {
            return Err(
                "a file ends with a checkpoint before the next begins; the one before does not".into()
            );
        }
        if self.checked.keys.last().map(String::as_str) != Some(named) {
            self.checked.keys.push(key.to_base64());
        }
        let row = record.data.get("last_row").and_then(Value::as_i64).unwrap_or(0);
        self.checked.last_row = row;
        self.key = Some(key);
        Ok(())
    }

    fn checkpoint(&mut self, record: &Record) -> Result<(), String> {
        let key = self.key.clone().ok_or("a checkpoint before any key")?;
        let text = checkpoint_text(record.epoch, record.seq, record.prev);
        check(&text, record.text("signature"), &key)?;
        self.signed(&key);
        self.checked.checkpoints += 1;
        self.checked.unsigned_tail = 0;
        Ok(())
    }

    /// Everything so far is signed.
    fn signed(&mut self, by: &PublicKey) {
        self.signed_by.push(by.to_base64());
        self.signed_by.dedup();
        self.excused |= self.claimed;
        self.unsigned_claim = None;
    }

    fn excuse(&mut self, record: &Record) {
        let up_to = record.data.get("up_to").and_then(Value::as_u64);
        let hash = record.text("hash").and_then(|h| h.parse().ok());
        self.unsigned_claim = self.unsigned_claim.max(up_to);
        self.claimed |= self.gone.is_some_and(|(seq, h)| Some(seq) == up_to && Some(h) == hash);
    }

    fn end(self, dir: &Path, trusted: Option<&PublicKey>) -> Result<Checked, AuditError> {
        let broken =
            |record, what: String| AuditError::Broken { path: dir.to_owned(), record, line: 0, what };
        if let (Some((seq, _)), false) = (self.gone, self.excused) {
            return Err(broken(
                1,
                format!(
                    "records 1 to {seq} are missing, and no signed record says that they reached their limit"
                ),
            ));
        }
        let trusted = trusted.map(PublicKey::to_base64);
        if let Some(key) = trusted
            && self.checked.head.is_some()
        {
            let place = self.checked.keys.iter().position(|k| *k == key);
            let after = place.and_then(|i| self.checked.keys.get(i..)).unwrap_or_default();
            if !self.signed_by.iter().any(|k| after.contains(k)) {
                return Err(broken(
                    self.checked.first,
                    format!(
                        "nothing in this log is signed by the key {key}; it names {}",
                        self.checked.keys.join(", ")
                    ),
                ));
            }
        }
        Ok(self.checked)
    }
}

/// The folder that a state folder keeps its log in.
pub fn folder(state: &Path) -> PathBuf {
    state.join("audit")
}
