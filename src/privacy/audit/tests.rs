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
    let kept = std::fs::read(w.path.join("torn-000000000005.recorded")).unwrap();
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

/// A log's files as they stand, with their records.
fn forged(path: &std::path::Path, epoch: Epoch, records: &[(Kind, Value)]) {
    let file = segments(path).unwrap().pop().unwrap().path;
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.strip_suffix(b"\n").unwrap().rsplit(|b| *b == b'\n').next().unwrap();
    let (record, mut prev) = read_line(last).unwrap();
    for (seq, (kind, data)) in (record.seq + 1..).zip(records) {
        let record = Record { epoch, seq, at: NOW, kind: *kind, data: data.clone(), row: None, prev };
        let (line, hash) = line_of(&record);
        bytes.extend_from_slice(&line);
        prev = hash;
    }
    std::fs::write(&file, bytes).unwrap();
}

#[test]
fn a_deleted_history_is_not_excused_by_a_record_that_nobody_signed() {
    let w = rotated();
    let files = segments(&w.path).unwrap();
    let up_to = files[1].first - 1;
    let hash = super::verify::last_record(&files[0].path).unwrap().1;
    std::fs::remove_file(&files[0].path).unwrap();
    let claim = json!({ "kind": "audit_log", "deleted": 1, "up_to": up_to, "hash": hash });
    forged(&w.path, w.epoch, &[(Kind::Purged, claim)]);
    for trusted in [None, Some(key().public())] {
        let error = verify(&w.path, trusted.as_ref()).unwrap_err();
        assert!(error.to_string().contains("no signed record says"), "{error}");
    }
    // A start does not sign it either: the box deletes only after the signature.
    let refused = AuditLog::open(&w.path, key(), w.epoch, NOW).err().unwrap();
    assert!(refused.to_string().contains("is not signed"), "{refused}");
}

#[test]
fn what_reached_its_limit_is_deleted_only_once_a_signed_record_excuses_it() {
    let w = rotated();
    let mut log = w.open();
    let first = segments(&w.path).unwrap().remove(0).path;
    log.break_for_tests();
    assert!(log.purge(NOW.plus(DAY * 36_500), NOW).is_err());
    log.mend_for_tests();
    assert!(first.exists());
    log.purge(NOW.plus(DAY * 36_500), NOW).unwrap();
    assert!(!first.exists());
    w.verify().unwrap();
}

#[test]
fn a_tail_without_a_signature_is_a_fault_when_it_is_longer_than_any_box_leaves() {
    let add = |n: u64| {
        let w = written(1);
        forged(&w.path, w.epoch, &vec![(Kind::Verdict, json!({})); n as usize]);
        w
    };
    assert_eq!(add(UNSIGNED_AT_MOST).verify().unwrap().unsigned_tail, UNSIGNED_AT_MOST);
    let w = add(UNSIGNED_AT_MOST + 1);
    let at = 3 + UNSIGNED_AT_MOST + 1;
    match w.verify() {
        Err(AuditError::Broken { record, what, .. }) => {
            assert_eq!(record, at);
            assert!(what.contains("without a signature"), "{what}");
        }
        other => panic!("{other:?}"),
    }
    // A start does not sign it.
    assert!(AuditLog::open(&w.path, key(), w.epoch, NOW).is_err());
}

#[test]
fn a_file_begins_only_after_a_signature() {
    let w = written(1);
    forged(&w.path, w.epoch, &[(Kind::Verdict, json!({}))]);
    let (record, prev) = super::verify::last_record(&w.last_file()).unwrap();
    let seq = record.seq + 1;
    let data = json!({ "public_key": key().public().to_base64(), "last_row": 0 });
    let next = Record { epoch: w.epoch, seq, at: NOW, kind: Kind::Segment, data, row: None, prev };
    std::fs::write(segment_path(&w.path, seq), line_of(&next).0).unwrap();
    let named = |e: AuditError| match e {
        AuditError::Broken { record, what, .. } => (record, what.contains("ends with a checkpoint")),
        other => panic!("{other}"),
    };
    assert_eq!(named(w.verify().unwrap_err()), (seq, true));
    assert_eq!(named(AuditLog::open(&w.path, key(), w.epoch, NOW).err().unwrap()), (seq, true));
}

#[test]
fn a_checkpoint_that_failed_comes_before_the_next_record() {
    let w = written(0);
    let mut log = w.open();
    (0..CHECKPOINT_EVERY - 1).for_each(|i| append(&mut log, NOW, i));
    // The one that brings the tail to its length is written; its checkpoint is not.
    log.fail_checkpoints_for_tests(true);
    for i in 0..9 {
        assert!(log.append(NOW, Kind::Verdict, json!({ "settlement": i }), Some(1_000 + i)).is_err());
    }
    assert_eq!((log.last_row(), log.healthy()), (1_000, false));
    assert_eq!(w.verify().unwrap().unsigned_tail, CHECKPOINT_EVERY);
    log.fail_checkpoints_for_tests(false);
    log.append(NOW, Kind::Verdict, json!({}), Some(1_001)).unwrap();
    assert_eq!(w.verify().unwrap().unsigned_tail, 1);
    assert!(log.healthy());
}

#[test]
fn a_hand_over_signs_what_the_former_key_left_unsigned() {
    let w = written(1);
    append(&mut w.open(), NOW, 7);
    let keys = Keys { signing: other_key(), previous: Some(key()) };
    let next = keys.signing.public();
    let mut log = AuditLog::open(&w.path, keys, w.epoch, NOW).unwrap();
    append(&mut log, NOW, 8);
    // Two records follow it: the file's own, and this one.
    assert_eq!(verify(&w.path, Some(&key().public())).unwrap().unsigned_tail, 2);
    drop(log);
    let mut log = AuditLog::open(&w.path, Keys { signing: other_key(), previous: None }, w.epoch, NOW);
    assert!(matches!(log, Err(AuditError::OtherKey { .. })));
    log = AuditLog::open(&w.path, key(), w.epoch, NOW);
    assert!(matches!(log, Err(AuditError::OtherKey { found, .. }) if found == next.to_base64()));
}

fn torn(w: &Written) -> Vec<u8> {
    let path = w.last_file();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"epoch\":\"half");
    std::fs::write(&path, &bytes).unwrap();
    bytes
}

fn repairs(w: &Written) -> Vec<Value> {
    let mut found = Vec::new();
    let mut see = |record: &Record, _| {
        if record.kind == Kind::TornTailRepaired {
            found.push(record.data.clone());
        }
    };
    walk(&w.path, None, &mut see).unwrap();
    found
}

#[test]
fn whoever_has_another_key_cuts_nothing() {
    let w = written(3);
    let bytes = torn(&w);
    let refused = AuditLog::open(&w.path, other_key(), w.epoch, NOW).err().unwrap();
    assert!(matches!(refused, AuditError::OtherKey { .. }), "{refused}");
    assert_eq!(std::fs::read(w.last_file()).unwrap(), bytes);
    assert!(repairs(&w).is_empty());
    w.open();
    assert_eq!(repairs(&w).len(), 1);
}

#[test]
fn a_torn_end_that_a_start_cut_off_and_could_not_record_is_recorded_by_the_next() {
    let w = written(3);
    torn(&w);
    // A start that is killed here has cut, and recorded nothing.
    super::torn::cut(&w.path).unwrap();
    w.verify().unwrap();
    assert!(repairs(&w).is_empty());
    for _ in 0..3 {
        w.open();
        assert_eq!(repairs(&w), [json!({ "bytes": 14, "kept": "torn-000000000006" })]);
    }
    assert!(w.path.join("torn-000000000006.recorded").exists());
    // It goes with the files of its time.
    w.open().purge(NOW.plus(DAY * 36_500), NOW).unwrap();
    assert!(!w.path.join("torn-000000000006.recorded").exists());
    w.verify().unwrap();
}

#[test]
fn a_torn_end_never_takes_the_place_of_another() {
    let w = written(3);
    for _ in 0..2 {
        torn(&w);
        super::torn::cut(&w.path).unwrap();
    }
    let path = w.last_file();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&bytes[..], b"another"].concat()).unwrap();
    w.open();
    let names: Vec<Value> = repairs(&w).iter().map(|d| d["kept"].clone()).collect();
    assert_eq!(names, ["torn-000000000006", "torn-000000000006-2"]);
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
