//! What an inspector asks of a box's state folder: `counterproof audit verify`
//! and `counterproof audit report`. They read, and change nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Date;
use serde::Serialize;

use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::{PublicKey, SignatureError};
use crate::privacy::audit::report::Report;
use crate::privacy::audit::{AuditError, CEILING, Checked, folder, segments, walk};
use crate::protocol::countersign::Countersigned;
use crate::protocol::id::{AgentId, Epoch};

/// What a log is held against.
#[derive(Default)]
pub struct Against {
    /// The box's public key, as the bureau has it on record.
    pub key: Option<PublicKey>,
    /// Heads of the log that the bureau signed.
    pub heads: Vec<Countersigned>,
    /// The bureau's public key; without it the heads' signatures are not checked.
    pub bureau_key: Option<PublicKey>,
}

/// Why a log is not in order.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The log itself.
    #[error(transparent)]
    Log(#[from] AuditError),
    /// There is none.
    #[error(
        "{0} holds no audit log: --state is the box's state folder (agent.state in its configuration); a box that ran has one, so if this is its folder, it was emptied"
    )]
    NoLog(PathBuf),
    /// A head is not the bureau's.
    #[error("line {line} of the heads: {source}: are they this bureau's?")]
    Head {
        /// From 1.
        line: usize,
        /// What the signature said.
        source: SignatureError,
    },
    /// A head of another box.
    #[error(
        "line {line} of the heads is of {found}; the others are of {expected}: give the heads of one box"
    )]
    OtherBox {
        /// From 1.
        line: usize,
        /// Whose it is.
        found: AgentId,
        /// Whose the others are.
        expected: AgentId,
    },
    /// The bureau saw a record that is not there.
    #[error(
        "record {seq}: the bureau saw it on {seen} with hash {expected}, and {found}: the log was cut short or rewritten"
    )]
    Missing {
        /// Number of the record.
        seq: u64,
        /// When the bureau signed for it.
        seen: WallTime,
        /// Hash it had then.
        expected: Sha256,
        /// What is there now.
        found: String,
    },
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Inspected {
    /// What checking the log found.
    #[serde(flatten)]
    pub log: Checked,
    /// Heads that the bureau has of this log and that are in it.
    pub heads: usize,
    /// Heads of records that reached the log's own limit and are gone by right.
    pub heads_below: usize,
    /// Heads of logs that this box had before it was begun anew.
    pub heads_of_other_logs: usize,
}

/// A file of the log goes by its last record, the bureau's head is of any
/// record in it: within a day of each other.
const A_DAY: Duration = Duration::from_secs(86_400);

/// Reads heads as `counterproof-bureau heads --json` prints them, one a line.
///
/// # Errors
/// Naming the line that is none.
pub fn read_heads(text: &str) -> Result<Vec<Countersigned>, String> {
    let read = |(i, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| format!("line {}: not a countersigned head: {e}", i + 1))
    };
    text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()).map(read).collect()
}

/// Checks the whole log of a state folder.
///
/// # Errors
/// Naming the first bad record.
pub fn check(state: &Path, against: &Against) -> Result<Inspected, InspectError> {
    if let Some(key) = &against.bureau_key {
        for (i, head) in against.heads.iter().enumerate() {
            head.verify(key).map_err(|source| InspectError::Head { line: i + 1, source })?;
        }
    }
    if let Some(first) = against.heads.first() {
        let expected = &first.agent;
        if let Some(i) = against.heads.iter().position(|h| h.agent != *expected) {
            let found = against.heads.get(i).map_or_else(|| expected.clone(), |h| h.agent.clone());
            return Err(InspectError::OtherBox { line: i + 1, found, expected: expected.clone() });
        }
    }
    let mut seen: BTreeMap<u64, Sha256> = BTreeMap::new();
    let mut epochs: BTreeSet<Epoch> = BTreeSet::new();
    let wanted: BTreeSet<u64> = against.heads.iter().map(|h| h.audit.seq).collect();
    let dir = existing(state)?;
    let checked = walk(&dir, against.key.as_ref(), &mut |record, hash| {
        epochs.insert(record.epoch);
        if wanted.contains(&record.seq) {
            seen.insert(record.seq, hash);
        }
    })?
    .whole(&dir)?;
    // A box that was begun anew has another log: heads of the former are not about this one.
    let (here, elsewhere): (Vec<_>, Vec<_>) =
        against.heads.iter().partition(|h| epochs.contains(&h.audit.epoch));
    let newest = against.heads.iter().map(|h| h.received_at).max();
    let old = |seen: WallTime| newest.is_some_and(|newest| newest.minus(CEILING - A_DAY) >= seen);
    let mut heads_below = 0;
    for head in &here {
        let audit = head.audit;
        let found = match seen.get(&audit.seq) {
            Some(hash) if *hash == audit.hash => continue,
            // What reached its limit by the bureau's time is gone by right.
            None if audit.seq < checked.first && old(head.received_at) => {
                heads_below += 1;
                continue;
            }
            None if audit.seq < checked.first => {
                format!("the log begins with record {} before ten years were over", checked.first)
            }
            Some(hash) => format!("it has {hash} now"),
            None => "it is missing".into(),
        };
        let (seq, seen, expected) = (audit.seq, head.received_at, audit.hash);
        return Err(InspectError::Missing { seq, seen, expected, found });
    }
    Ok(Inspected {
        log: checked,
        heads: here.len() - heads_below,
        heads_below,
        heads_of_other_logs: elsewhere.len(),
    })
}

/// The folder of a log that has at least one file.
fn existing(state: &Path) -> Result<PathBuf, InspectError> {
    let dir = folder(state);
    let begun = dir.is_dir() && !segments(&dir)?.is_empty();
    if begun { Ok(dir) } else { Err(InspectError::NoLog(state.to_owned())) }
}

/// What a check found, for people.
pub fn told(found: &Inspected, against: &Against) -> String {
    let checked = &found.log;
    let Some(head) = checked.head else { return "the log is empty\n".into() };
    let by = match &against.key {
        Some(key) => format!("the key given ({})", key.id()),
        None => format!(
            "{}, as the log itself says: give --key with the key that the bureau has on record",
            checked.keys.join(", then ")
        ),
    };
    format!(
        "in order: records {} to {} in {} files, {} signed checkpoints, {} records after the last\n\
         signed by {by}\nhead {}\n{}",
        checked.first,
        head.seq,
        checked.segments,
        checked.checkpoints,
        checked.unsigned_tail,
        head.hash,
        heads(found, against)
    )
}

fn heads(found: &Inspected, against: &Against) -> String {
    let others = match found.heads_of_other_logs {
        0 => String::new(),
        n => format!("{n} heads are of logs that this box had before it was begun anew\n"),
    };
    let told = match (found.heads, &against.bureau_key) {
        (0, _) => "not compared with what the bureau saw: give --heads of this box\n".into(),
        (n, Some(_)) => format!("{n} heads that the bureau signed are all in it\n"),
        (n, None) => {
            format!(
                "{n} heads are all in it; whether the bureau signed them was not checked: give --bureau-key\n"
            )
        }
    };
    let below = match found.heads_below {
        0 => String::new(),
        n => format!("{n} heads are of records that are gone: they reached the log's limit of ten years\n"),
    };
    told + &below + &others
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
) -> Result<Report, InspectError> {
    let to = to.unwrap_or(today);
    let from = from.unwrap_or_else(|| to.saturating_sub(jiff::Span::new().days(30)));
    Ok(Report::read(&existing(state)?, key, from, to)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::sign::SigningKey;
    use crate::privacy::audit::{AuditLog, Kind, segments};
    use serde_json::json;

    const NOW: WallTime = WallTime::from_millis(1_795_000_000_000);

    fn key() -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap()
    }

    /// A box whose log has two files, and a bureau that saw one record of each,
    /// the second so long after the first.
    fn seen(apart: Duration) -> (tempfile::TempDir, Against, AuditLog) {
        let state = tempfile::tempdir().unwrap();
        let (bureau, agent): (_, AgentId) = (key(), "box-1".parse().unwrap());
        let mut log = AuditLog::open(&folder(state.path()), key(), Epoch::new(), NOW).unwrap();
        let mut heads = Vec::new();
        for at in [NOW, NOW.plus(apart)] {
            log.append(at, Kind::Verdict, json!({}), None).unwrap();
            let head = log.checkpoint(at).unwrap();
            heads.push(Countersigned::new(agent.clone(), head, at, &bureau));
        }
        let against = Against { key: None, heads, bureau_key: Some(bureau.public()) };
        assert_eq!(segments(&folder(state.path())).unwrap().len(), 2);
        (state, against, log)
    }

    #[test]
    fn heads_below_the_log_are_excused_only_when_they_are_as_old_as_its_limit() {
        let young = CEILING - A_DAY - Duration::from_secs(1);
        for (apart, excused) in [(CEILING - A_DAY, true), (young, false), (A_DAY, false)] {
            let (state, against, mut log) = seen(apart);
            let whole = check(state.path(), &against).unwrap();
            assert_eq!((whole.heads, whole.heads_below), (2, 0));
            // The box deletes by its own clock, which may have been set forward.
            assert_eq!(log.purge(NOW.plus(CEILING * 10), NOW.plus(apart)).unwrap(), 1);
            match (check(state.path(), &against), excused) {
                (Ok(found), true) => {
                    assert_eq!((found.heads, found.heads_below), (1, 1));
                    let said = told(&found, &against);
                    assert!(said.contains("1 heads are of records that are gone"), "{said}");
                }
                (Err(InspectError::Missing { seq, found, .. }), false) => {
                    assert_eq!(seq, 3);
                    assert!(found.contains("before ten years were over"), "{found}");
                }
                (other, _) => panic!("{apart:?}: {other:?}"),
            }
        }
    }
}
