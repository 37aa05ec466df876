use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::log::AuditLog;
use super::*;
use crate::crypto::sign::SigningKey;

fn key() -> SigningKey {
    // One key for all cases: it is derived from fixed bytes through PKCS#8 once.
    static DER: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    SigningKey::from_pkcs8(DER.get_or_init(|| SigningKey::generate_pkcs8().unwrap().to_vec())).unwrap()
}

fn other_key() -> SigningKey {
    SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap()
}

const NOW: WallTime = WallTime::from_millis(1_795_000_000_000);
const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

struct Written {
    _dir: tempfile::TempDir,
    path: PathBuf,
    epoch: Epoch,
}

impl Written {
    fn open(&self) -> AuditLog {
        AuditLog::open(&self.path, key(), self.epoch, NOW).unwrap()
    }

    fn verify(&self) -> Result<Checked, AuditError> {
        verify(&self.path, Some(&key().public()))
    }

    fn last_file(&self) -> PathBuf {
        segments(&self.path).unwrap().pop().unwrap().path
    }
}

fn append(log: &mut AuditLog, at: WallTime, i: u64) {
    let data = json!({ "settlement": format!("S{i}") });
    log.append(at, Kind::Verdict, data, Some(i as i64 + 1)).unwrap();
}

/// A log of a `segment` record, `n` verdicts and a checkpoint.
fn written(n: u64) -> Written {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit");
    let epoch = Epoch::new();
    let mut log = AuditLog::open(&path, key(), epoch, NOW).unwrap();
    (0..n).for_each(|i| append(&mut log, NOW, i));
    log.checkpoint(NOW).unwrap();
    Written { _dir: dir, path, epoch }
}

/// Three days, two files a day.
fn rotated() -> Written {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit");
    let epoch = Epoch::new();
    let mut log = AuditLog::open_with(&path, key().into(), epoch, NOW, 900).unwrap();
    for i in 0..12 {
        append(&mut log, NOW.plus(DAY * (i as u32 / 4)), i);
    }
    Written { _dir: dir, path, epoch }
}

#[test]
fn a_log_is_continued_where_it_ended() {
    let w = written(3);
    let mut log = w.open();
    assert_eq!((log.head().unwrap().seq, log.last_row()), (5, 3));
    log.append(NOW, Kind::Stopped, Value::Null, None).unwrap();
    let checked = w.verify().unwrap();
    assert_eq!((checked.head.unwrap().seq, checked.checkpoints, checked.unsigned_tail), (6, 1, 1));
}

#[test]
fn a_database_made_anew_exports_its_rows_from_the_first() {
    let w = written(3);
    let mut log = AuditLog::open(&w.path, key(), Epoch::new(), NOW).unwrap();
    assert_eq!(log.last_row(), 0);
    log.append(NOW, Kind::Started, Value::Null, Some(1)).unwrap();
    assert_eq!(walk(&w.path, None, &mut |_, _| {}).unwrap().last_row, 1);
}

#[test]
fn a_new_file_begins_with_each_day_and_when_one_is_long_and_the_chain_goes_on() {
    let w = rotated();
    let checked = w.verify().unwrap();
    assert!(checked.segments >= 6, "{checked:?}");
    assert_eq!(w.open().last_row(), 12);
    // Each file but the last ends with a checkpoint.
    for file in segments(&w.path).unwrap().iter().rev().skip(1) {
        let text = std::fs::read_to_string(&file.path).unwrap();
        assert!(text.lines().last().unwrap().contains("\"checkpoint\""));
    }
}

#[test]
fn a_file_that_is_missing_is_noticed() {
    // The last one is missed by the bureau, which countersigned its head.
    for gone in 0..3 {
        let w = rotated();
        let file = segments(&w.path).unwrap().remove(gone);
        std::fs::remove_file(&file.path).unwrap();
        let error = w.verify().unwrap_err();
        assert!(matches!(error, AuditError::Broken { .. }), "{error}");
    }
}

#[test]
fn files_that_reached_their_limit_go_and_the_log_says_so() {
    let w = rotated();
    let mut log = w.open();
    let far = NOW.plus(DAY * 36_500);
    let files = segments(&w.path).unwrap().len() as u64;
    assert_eq!(log.purge(NOW.minus(DAY * 36_500), NOW).unwrap(), 0);
    let gone = log.purge(far, NOW).unwrap();
    assert!(gone >= files - 1, "{gone} of {files}");
    let checked = w.verify().unwrap();
    assert!(checked.first > 1 && checked.segments <= 2, "{checked:?}");
}

#[test]
fn a_torn_end_is_a_fault_until_a_start_cuts_it_off_and_records_it() {
    let w = written(3);
    let path = w.last_file();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&bytes[..], b"{\"epoch\":\"half"].concat()).unwrap();
    assert!(matches!(w.verify(), Err(AuditError::Broken { record: 6, .. })));
    assert_eq!(w.open().head().unwrap().seq, 7);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.lines().nth(5).unwrap().contains("torn_tail_repaired"));
    w.verify().unwrap();
}

#[test]
fn a_last_record_with_a_sector_that_was_never_written_is_cut_off_and_kept() {
    let w = written(3);
    let path = w.last_file();
    let whole = std::fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    let end = bytes.len();
    // The last record is the checkpoint, number 5; its middle never reached the disk.
    bytes[end - 200..end - 100].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(w.verify(), Err(AuditError::Broken { record: 5, .. })));
    assert_eq!(w.open().head().unwrap().seq, 6);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.lines().nth(4).unwrap().contains("torn_tail_repaired"));
    let kept = std::fs::read(w.path.join("torn-000000000005")).unwrap();
    assert!(bytes.ends_with(&kept) && kept.len() > 200);
    w.verify().unwrap();
}

#[test]
fn a_record_before_the_last_that_was_changed_is_never_repaired() {
    let w = written(3);
    let path = w.last_file();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(AuditLog::open(&w.path, key(), w.epoch, NOW).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_file_that_a_crash_left_without_a_record_is_begun_again() {
    for left in [&b""[..], b"{\"epoch\":\"half"] {
        let w = written(3);
        std::fs::write(segment_path(&w.path, 6), left).unwrap();
        let mut log = w.open();
        append(&mut log, NOW.plus(DAY), 3);
        let checked = w.verify().unwrap();
        assert_eq!(checked.segments, 2);
    }
}

#[test]
fn a_log_that_cannot_be_written_says_so_and_recovers() {
    let w = written(1);
    let mut log = w.open();
    log.break_for_tests();
    assert!(log.append(NOW, Kind::Stopped, Value::Null, None).is_err());
    assert!(!log.healthy());
    log.mend_for_tests();
    log.append(NOW, Kind::Stopped, Value::Null, None).unwrap();
    assert!(log.healthy());
    assert_eq!(w.verify().unwrap().head.unwrap().seq, 4);
}

#[test]
fn nothing_signed_by_the_trusted_key_is_a_fault() {
    let w = written(2);
    let other = other_key().public();
    assert!(matches!(verify(&w.path, Some(&other)), Err(AuditError::Broken { .. })));
    verify(&w.path, None).unwrap();
}

#[test]
fn a_key_follows_another_only_with_its_word() {
    let w = written(2);
    let new = || other_key();
    let refused = AuditLog::open(&w.path, new(), w.epoch, NOW).err().unwrap();
    assert!(refused.to_string().contains("keys.signing_previous"), "{refused}");
    let next = new();
    let (former, latter) = (key().public(), next.public());
    let keys = Keys { signing: next, previous: Some(key()) };
    let mut log = AuditLog::open(&w.path, keys, w.epoch, NOW).unwrap();
    append(&mut log, NOW, 7);
    log.checkpoint(NOW).unwrap();
    let checked = verify(&w.path, Some(&latter)).unwrap();
    assert_eq!(checked.keys, [former.to_base64(), latter.to_base64()]);
    verify(&w.path, Some(&former)).unwrap();
    // Without the hand-over the same log is a forgery.
    let path = w.last_file();
    let text = std::fs::read_to_string(&path).unwrap();
    let first = text.lines().next().unwrap();
    let mut record: Value = serde_json::from_str(first).unwrap();
    record["data"].as_object_mut().unwrap().remove("handover");
    record.as_object_mut().unwrap().remove("hash");
    let record: Record = serde_json::from_value(record).unwrap();
    std::fs::write(&path, line_of(&record).0).unwrap();
    let error = verify(&w.path, None).unwrap_err();
    assert!(error.to_string().contains("without its word"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn one_changed_byte_is_found_and_its_record_named(file in 0usize..2, at in any::<proptest::sample::Index>(), flip in 1u8..=255) {
        let w = rotated();
        let file = segments(&w.path).unwrap().remove(file);
        let mut bytes = std::fs::read(&file.path).unwrap();
        let i = at.index(bytes.len());
        let record = file.first + bytes[..i].iter().filter(|b| **b == b'\n').count() as u64;
        bytes[i] ^= flip;
        std::fs::write(&file.path, &bytes).unwrap();
        match w.verify() {
            Err(AuditError::Broken { record: named, .. }) => prop_assert_eq!(named, record),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn any_file_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(segment_path(dir.path(), 1), bytes).unwrap();
        let _ = verify(dir.path(), None);
        let _ = AuditLog::open(dir.path(), key(), Epoch::new(), NOW);
    }
}
