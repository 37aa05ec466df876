//! Writing the log: a record is on the disk before its append returns.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::torn;
use super::verify::{SEGMENTS_PURGED, first_key, last_record, last_segment};
use super::{
    AuditError, CHECKPOINT_EVERY, Kind, Record, SEGMENT_BYTES, checkpoint_text, handover_text, line_of,
    segment_path, segments,
};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::SigningKey;
use crate::protocol::id::Epoch;
use crate::protocol::posture::AuditHead;

/// The keys of a log.
pub struct Keys {
    /// Signs from now on.
    pub signing: SigningKey,
    /// Signed until now, where that is another: it hands over once.
    pub previous: Option<SigningKey>,
}

impl From<SigningKey> for Keys {
    fn from(signing: SigningKey) -> Self {
        Self { signing, previous: None }
    }
}

/// The open log of a running box.
///
/// If a record cannot be written, [`AuditLog::healthy`] is false until an
/// append has succeeded.
pub struct AuditLog {
    dir: PathBuf,
    keys: Keys,
    epoch: Epoch,
    /// Largest length of a segment, in bytes.
    most: u64,
    file: Option<Open>,
    head: Option<AuditHead>,
    since_checkpoint: u64,
    last_row: i64,
    healthy: bool,
    #[cfg(test)]
    no_checkpoints: bool,
}

/// The file at hand.
struct Open {
    path: PathBuf,
    file: File,
    length: u64,
    day: i64,
}

const DAY_MS: i64 = 86_400_000;

fn day(at: WallTime) -> i64 {
    at.as_millis().div_euclid(DAY_MS)
}

pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> AuditError + use<> {
    let path = path.to_owned();
    move |source| AuditError::Io { path, source }
}

/// Makes a change of a folder's entries durable.
pub(super) fn sync_folder(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

impl AuditLog {
    /// Opens or begins the log in the folder, checks its last file, cuts off a
    /// torn end, and records each end that was cut off and is not yet recorded.
    ///
    /// # Errors
    /// If it cannot be read or written, was changed, or another key signed it
    /// that does not hand over.
    pub fn open(dir: &Path, keys: impl Into<Keys>, epoch: Epoch, now: WallTime) -> Result<Self, AuditError> {
        Self::open_with(dir, keys.into(), epoch, now, SEGMENT_BYTES)
    }

    pub(super) fn open_with(
        dir: &Path,
        keys: Keys,
        epoch: Epoch,
        now: WallTime,
        most: u64,
    ) -> Result<Self, AuditError> {
        if !dir.exists() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io(dir))?;
            dir.parent().map_or(Ok(()), sync_folder).map_err(io(dir))?;
        }
        // Before anything is cut: whoever has another key changes nothing here.
        let ours = keys.signing.public();
        let found = segments(dir)?.iter().rev().find_map(|s| first_key(&s.path));
        let same = found.as_ref().is_none_or(|key| *key == ours);
        if let Some(found) = found.filter(|key| {
            *key != ours && keys.previous.as_ref().is_none_or(|previous| previous.public() != *key)
        }) {
            let (found, ours) = (found.to_base64(), ours.to_base64());
            return Err(AuditError::OtherKey { path: dir.to_owned(), found, ours });
        }
        torn::cut(dir)?;
        let checked = last_segment(dir)?;
        let mut log = Self {
            dir: dir.to_owned(),
            keys,
            epoch,
            most,
            file: None,
            head: checked.head,
            since_checkpoint: checked.unsigned_tail,
            last_row: if checked.head.is_some_and(|h| h.epoch == epoch) { checked.last_row } else { 0 },
            healthy: true,
            #[cfg(test)]
            no_checkpoints: false,
        };
        if same {
            log.keys.previous = None;
            log.reopen(checked.bytes, now)?;
        }
        log.record_torn(now)?;
        Ok(log)
    }

    /// Records what was cut off and is not recorded yet: at this start, or at one
    /// that ended before it could.
    fn record_torn(&mut self, now: WallTime) -> Result<(), AuditError> {
        for path in torn::unrecorded(&self.dir)? {
            let bytes = std::fs::metadata(&path).map_err(io(&path))?.len();
            let kept = path.file_name().map(|n| n.to_string_lossy().into_owned());
            self.append(now, Kind::TornTailRepaired, json!({ "bytes": bytes, "kept": kept }), None)?;
            self.checkpoint(now)?;
            torn::set_recorded(&path)?;
        }
        Ok(())
    }

    /// Goes on writing in the last file.
    fn reopen(&mut self, length: u64, now: WallTime) -> Result<(), AuditError> {
        let Some(path) = segments(&self.dir)?.pop().map(|s| s.path) else { return Ok(()) };
        let file = OpenOptions::new().write(true).open(&path).map_err(io(&path))?;
        // The day of its first record does not matter: a start begins none that is not needed.
        self.file = Some(Open { path, file, length, day: day(now) });
        Ok(())
    }

    /// Appends a record and waits until it is on the disk.
    ///
    /// # Errors
    /// If it could not be written; nothing of it then counts. Or if the
    /// checkpoint that is due after it could not: the record counts, its row is
    /// [`AuditLog::last_row`], and nothing more is written before it is signed.
    pub fn append(
        &mut self,
        at: WallTime,
        kind: Kind,
        data: Value,
        row: Option<i64>,
    ) -> Result<AuditHead, AuditError> {
        if self.since_checkpoint >= CHECKPOINT_EVERY {
            self.checkpoint(at)?;
        }
        self.make_room(at)?;
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
        self.make_room(at)?;
        let (seq, prev) = self.next();
        let signature = self.keys.signing.sign(checkpoint_text(self.epoch, seq, prev).as_bytes());
        let head = self.write(at, Kind::Checkpoint, json!({ "signature": signature.to_string() }), None)?;
        self.since_checkpoint = 0;
        Ok(head)
    }

    /// Begins a new file where there is none, with a new day, or when the last
    /// one is long; the last one ends with a checkpoint.
    fn make_room(&mut self, at: WallTime) -> Result<(), AuditError> {
        if self.file.as_ref().is_some_and(|f| f.day == day(at) && f.length < self.most) {
            return Ok(());
        }
        if self.file.is_some() && self.since_checkpoint > 0 {
            let (seq, prev) = self.next();
            let signature = self.keys.signing.sign(checkpoint_text(self.epoch, seq, prev).as_bytes());
            self.write(at, Kind::Checkpoint, json!({ "signature": signature.to_string() }), None)?;
            self.since_checkpoint = 0;
        }
        let begun = self.begin_segment(at);
        self.healthy &= begun.is_ok();
        begun
    }

    fn begin_segment(&mut self, at: WallTime) -> Result<(), AuditError> {
        if let Some(open) = &self.file {
            // What a failed write may have left behind the last record would look like a torn end.
            let cut = open.file.set_len(open.length).and_then(|()| open.file.sync_data());
            cut.map_err(io(&open.path))?;
        }
        let (seq, prev) = self.next();
        let path = segment_path(&self.dir, seq);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(io(&path))?;
        sync_folder(&self.dir).map_err(io(&self.dir))?;
        let public = self.keys.signing.public();
        let mut data = json!({ "public_key": public.to_base64(), "last_row": self.last_row });
        if let (Some(former), Some(_)) = (&self.keys.previous, self.head)
            && former.public() != public
        {
            let text = handover_text(self.epoch, seq, prev, &public);
            data["handover"] = former.sign(text.as_bytes()).to_string().into();
        }
        let before = self.file.replace(Open { path, file, length: 0, day: day(at) });
        let handed = data.get("handover").is_some();
        if let Err(e) = self.write(at, Kind::Segment, data, None) {
            // Without its first record the file does not count, and is made anew.
            if let Some(begun) = std::mem::replace(&mut self.file, before) {
                let _ = std::fs::remove_file(begun.path);
            }
            return Err(e);
        }
        if handed {
            self.since_checkpoint = 1;
        }
        self.keys.previous = None;
        Ok(())
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
        #[cfg(test)]
        if self.no_checkpoints && kind == Kind::Checkpoint {
            self.healthy = false;
            return Err(AuditError::Io { path: self.dir.clone(), source: std::io::Error::other("full") });
        }
        let Some(open) = self.file.as_mut() else {
            let source = std::io::Error::other("no file is open");
            return Err(AuditError::Io { path: self.dir.clone(), source });
        };
        let length = open.length;
        // What an earlier, failed write may have left is cut off first.
        let written = open
            .file
            .set_len(length)
            .and_then(|()| open.file.seek(SeekFrom::Start(length)))
            .and_then(|_| open.file.write_all(&line))
            .and_then(|()| open.file.sync_data());
        self.healthy = written.is_ok();
        written.map_err(|source| AuditError::Io { path: open.path.clone(), source })?;
        open.length += line.len() as u64;
        self.since_checkpoint += 1;
        self.last_row = self.last_row.max(row.unwrap_or(0));
        let head = AuditHead { epoch: self.epoch, seq, hash };
        self.head = Some(head);
        Ok(head)
    }

    /// Deletes files whose last record is older than `cutoff`, never the one
    /// at hand, and recorded torn ends as old; records it first. Returns how many
    /// files of the log.
    ///
    /// # Errors
    /// If the record cannot be written and signed (then nothing is deleted), or a
    /// file cannot be deleted.
    pub fn purge(&mut self, cutoff: WallTime, now: WallTime) -> Result<u64, AuditError> {
        let all = segments(&self.dir)?;
        // A file's last change is its last record; the next file's name tells its number.
        let old = |path: &Path| -> Result<bool, AuditError> {
            let changed = std::fs::metadata(path).and_then(|m| m.modified()).map_err(io(path))?;
            let changed = jiff::Timestamp::try_from(changed).map_or(i64::MAX, |t| t.as_millisecond());
            Ok(changed < cutoff.as_millis())
        };
        let mut gone = Vec::new();
        for pair in all.windows(2) {
            let [segment, next] = pair else { break };
            if !old(&segment.path)? {
                break;
            }
            let up_to = next.first - 1;
            let (_, hash) = last_record(&segment.path)?;
            let data = json!({ "kind": SEGMENTS_PURGED, "deleted": 1, "up_to": up_to, "hash": hash });
            self.append(now, Kind::Purged, data, None)?;
            gone.push(&segment.path);
        }
        let mut torn = torn::recorded(&self.dir)?;
        torn.retain(|path| old(path).unwrap_or(false));
        if !torn.is_empty() {
            let data = json!({ "kind": "audit_log_torn_ends", "deleted": torn.len() });
            self.append(now, Kind::Purged, data, None)?;
        }
        if gone.is_empty() && torn.is_empty() {
            return Ok(0);
        }
        // Only a signed record excuses what is gone: the signature comes first. The
        // oldest goes first, so that a power cut leaves a log that begins where a record says.
        self.checkpoint(now)?;
        for path in gone.iter().copied().chain(&torn) {
            std::fs::remove_file(path).map_err(io(path))?;
            sync_folder(&self.dir).map_err(io(&self.dir))?;
        }
        Ok(gone.len() as u64)
    }

    /// Makes every further checkpoint fail, as a disk that is full just there does.
    #[cfg(test)]
    pub(super) fn fail_checkpoints_for_tests(&mut self, fail: bool) {
        self.no_checkpoints = fail;
    }

    /// Makes every further write fail, as a full or read-only disk does.
    #[cfg(test)]
    pub(crate) fn break_for_tests(&mut self) {
        self.dir = self.dir.join("gone");
        if let Some(open) = &mut self.file
            && let Ok(read_only) = File::open(&open.path)
        {
            open.file = read_only;
        }
    }

    /// Mends what [`AuditLog::break_for_tests`] broke.
    #[cfg(test)]
    pub(super) fn mend_for_tests(&mut self) {
        self.dir.pop();
        if let Some(open) = &mut self.file
            && let Ok(writable) = OpenOptions::new().write(true).open(&open.path)
        {
            open.file = writable;
        }
    }

    /// Whether the last attempt to write succeeded.
    pub fn healthy(&self) -> bool {
        self.healthy
    }

    /// Goes on under another epoch, whose rows are numbered anew.
    pub fn begin_epoch(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        self.last_row = 0;
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
