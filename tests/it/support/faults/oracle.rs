//! The oracle: what was acknowledged, and whether all of it came true.
//!
//! The ledger is written by whoever speaks as the HIS, from the answers alone;
//! nothing that the programs say of themselves enters it. At the end it is held
//! against the two places that must not lie: the box's audit log and the
//! bureau's database.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use counterproof::crypto::Sha256;
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;
use serde_json::Value;

/// One record of an audit log.
#[derive(Debug, Clone)]
pub struct Record {
    pub epoch: String,
    pub seq: u64,
    pub kind: String,
    pub data: Value,
    pub row: Option<i64>,
    prev: String,
    hash: String,
    /// Whether the line hashes to what it says.
    whole: bool,
}

impl Record {
    fn read(line: &str) -> Option<Self> {
        let v: Value = serde_json::from_str(line).ok()?;
        let text = |k: &str| v.get(k).and_then(Value::as_str).map(str::to_owned);
        let hash = text("hash")?;
        let body = line.strip_suffix(&format!(",\"hash\":\"{hash}\"}}"));
        let whole = body.is_some_and(|b| Sha256::of(format!("{b}}}").as_bytes()).to_string() == hash);
        Some(Self {
            epoch: text("epoch")?,
            seq: v.get("seq")?.as_u64()?,
            kind: text("kind")?,
            data: v.get("data").cloned().unwrap_or_default(),
            row: v.get("row").and_then(Value::as_i64),
            prev: text("prev")?,
            hash,
            whole,
        })
    }

    /// A log of these records (kind, data, row), numbered and chained.
    pub fn chain(epoch: &str, records: &[Value]) -> Vec<Self> {
        let mut prev = Sha256([0; 32]).to_string();
        let mut out = Vec::new();
        for (i, r) in records.iter().enumerate() {
            let body = serde_json::json!({
                "epoch": epoch, "seq": i + 1, "kind": r["kind"], "data": r["data"], "row": r["row"], "prev": prev,
            })
            .to_string();
            let hash = Sha256::of(body.as_bytes()).to_string();
            let line = format!("{},\"hash\":\"{hash}\"}}", body.strip_suffix('}').unwrap_or_default());
            out.extend(Self::read(&line));
            prev = hash;
        }
        out
    }

    /// A field of its details, as text.
    pub fn text(&self, field: &str) -> &str {
        self.data.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}

/// The files of a state folder's audit log in their order: one file
/// `audit.log`, or those of a folder `audit`.
pub fn audit_files(state: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(state.join("audit"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "log" || e == "jsonl"))
        .collect();
    files.sort();
    let single = state.join("audit.log");
    if single.is_file() {
        files.insert(0, single);
    }
    files
}

/// Every whole record of a state folder's audit log. A last line that is not
/// whole is left out: the next start repairs it.
pub fn audit_records(state: &Path) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    for file in audit_files(state) {
        let text = String::from_utf8_lossy(&std::fs::read(file)?).into_owned();
        records.extend(text.lines().filter_map(Record::read));
    }
    Ok(records)
}

/// An event as the bureau holds it.
#[derive(Debug, Clone)]
pub struct Held {
    pub arrival: i64,
    pub id: String,
    pub epoch: String,
    pub seq: u64,
    pub chain: String,
    digest: String,
    previous: Option<String>,
}

impl Held {
    /// One as it should be.
    pub fn example(
        arrival: i64,
        id: &str,
        epoch: &str,
        seq: u64,
        digest: String,
        previous: Option<String>,
    ) -> Self {
        Self { arrival, id: id.into(), epoch: epoch.into(), seq, chain: "ok".into(), digest, previous }
    }
}

/// Every event in the bureau's database, by arrival. Read beside the running
/// bureau; nothing is written, so its recovery is left to itself.
pub fn held(database: &Path) -> io::Result<Vec<Held>> {
    let open = || -> rusqlite::Result<Vec<Held>> {
        let db = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(Duration::from_secs(5))?;
        let mut rows = db.prepare(
            "SELECT arrival, id, epoch, seq, chain, digest, previous FROM events ORDER BY arrival",
        )?;
        let rows = rows.query_map([], |r| {
            Ok(Held {
                arrival: r.get(0)?,
                id: r.get(1)?,
                epoch: r.get(2)?,
                seq: r.get::<_, i64>(3)? as u64,
                chain: r.get(4)?,
                digest: r.get(5)?,
                previous: r.get(6)?,
            })
        })?;
        rows.collect()
    };
    open().map_err(io::Error::other)
}

#[derive(Default)]
struct Entries {
    sent: BTreeSet<String>,
    acknowledged: BTreeMap<String, String>,
    /// Settlements to which two answers named two verifications.
    changed: BTreeSet<String>,
    cancelled: BTreeSet<String>,
    unanswered: Vec<Value>,
    /// Events that the bureau, or what stands before it, refused for good.
    refused: BTreeSet<String>,
    shed: u64,
    strange: Vec<String>,
    answers: Vec<Duration>,
}

/// What the HIS was told.
#[derive(Default)]
pub struct Ledger(Mutex<Entries>);

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A settlement goes out; whatever follows, it may exist.
    pub fn sent(&self, id: &str) {
        self.lock().sent.insert(id.to_owned());
    }

    /// 202 or 200 came.
    pub fn acknowledged(&self, id: &str, verification: &str, after: Duration) {
        let mut e = self.lock();
        e.answers.push(after);
        let first = e.acknowledged.entry(id.to_owned()).or_insert_with(|| verification.to_owned()).clone();
        if first != verification {
            e.changed.insert(id.to_owned());
        }
    }

    /// 204 came to a cancellation.
    pub fn cancelled(&self, id: &str) {
        self.lock().cancelled.insert(id.to_owned());
    }

    /// No answer came; it is sent again later, as a HIS does.
    pub fn unanswered(&self, body: Value) {
        self.lock().unanswered.push(body);
    }

    /// What must be sent again.
    pub fn again(&self) -> Vec<Value> {
        std::mem::take(&mut self.lock().unanswered)
    }

    /// 503 came: not accepted, and said so.
    pub fn shed(&self, after: Duration) {
        let mut e = self.lock();
        e.shed += 1;
        e.answers.push(after);
    }

    /// An answer that has no place here.
    pub fn strange(&self, what: String) {
        self.lock().strange.push(what);
    }

    /// The bureau refused this event for good.
    pub fn refused(&self, event: &str) {
        self.lock().refused.insert(event.to_owned());
    }

    /// How many settlements were acknowledged.
    pub fn acknowledgements(&self) -> usize {
        self.lock().acknowledged.len()
    }

    /// How many were answered with 503.
    pub fn sheds(&self) -> u64 {
        self.lock().shed
    }

    /// How long the answers took, ascending.
    pub fn answers(&self) -> Vec<Duration> {
        let mut all = self.lock().answers.clone();
        all.sort();
        all
    }

    /// The verification of a settlement.
    pub fn verification(&self, id: &str) -> Option<String> {
        self.lock().acknowledged.get(id).cloned()
    }

    /// A copy that knows only these acknowledgements, for a box whose life
    /// ended earlier.
    pub fn as_of(&self, acknowledged: &BTreeSet<String>, cancelled: &BTreeSet<String>) -> Self {
        let e = self.lock();
        let known = e.acknowledged.iter().filter(|(k, _)| acknowledged.contains(*k));
        Self(Mutex::new(Entries {
            sent: e.sent.clone(),
            acknowledged: known.map(|(k, v)| (k.clone(), v.clone())).collect(),
            cancelled: cancelled.clone(),
            ..Entries::default()
        }))
    }

    /// Holds the ledger against audit logs (one for each life of the state
    /// folder) and the bureau's events.
    pub fn check(&self, histories: &[Vec<Record>], events: &[Held]) -> Findings {
        let e = self.lock();
        let mut f = Findings {
            acknowledged: e.acknowledged.len() as u64,
            cancelled: e.cancelled.len() as u64,
            delivered: events.len() as u64,
            shed: e.shed,
            ..Findings::default()
        };
        f.strange_answers.clone_from(&e.strange);
        f.answers_changed = e.changed.iter().cloned().collect();
        for history in histories {
            f.check_log(history);
        }
        let records: Vec<&Record> = histories.iter().flatten().collect();
        f.check_settlements(&e, &records);
        f.check_events(&e, &records, events);
        f
    }
}

/// What was found, each by its name; all empty when every promise was kept.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Findings {
    pub acknowledged: u64,
    pub cancelled: u64,
    pub delivered: u64,
    pub shed: u64,
    /// Acknowledged, and not accepted exactly once in the audit log.
    pub acceptances_missing: Vec<String>,
    pub verdicts_missing: Vec<String>,
    pub verdicts_doubled: Vec<String>,
    /// Committed, and not at the bureau.
    pub events_missing: Vec<String>,
    /// Two alerts for one settlement, two withdrawals of one alert, one event twice.
    pub events_doubled: Vec<String>,
    /// Cancelled and acknowledged, alerted, and not withdrawn.
    pub withdrawals_missing: Vec<String>,
    pub out_of_order: Vec<String>,
    /// What nobody sent or committed.
    pub strangers: Vec<String>,
    /// One settlement, two verifications named.
    pub answers_changed: Vec<String>,
    pub strange_answers: Vec<String>,
    /// Breaks of the audit log's chain, and rows that stand in it twice.
    pub audit_breaks: Vec<String>,
}

fn count<'a>(items: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, u64> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

fn of_kind<'a>(records: &[&'a Record], kind: &'a str) -> Vec<&'a Record> {
    records.iter().copied().filter(|r| r.kind == kind).collect()
}

impl Findings {
    fn check_log(&mut self, log: &[Record]) {
        let mut rows = BTreeSet::new();
        for (i, r) in log.iter().enumerate() {
            let before = i.checked_sub(1).and_then(|n| log.get(n));
            let follows = before.is_none_or(|b| r.prev == b.hash && r.seq == b.seq + 1);
            if !r.whole || !follows {
                self.audit_breaks.push(format!("record {}", r.seq));
            }
            if r.row.is_some_and(|n| !rows.insert((r.epoch.clone(), n))) {
                self.audit_breaks.push(format!("row {} twice", r.row.unwrap_or_default()));
            }
        }
    }

    fn check_settlements(&mut self, e: &Entries, records: &[&Record]) {
        let accepted = of_kind(records, "settlement_accepted");
        let accepted_of = count(accepted.iter().map(|r| r.text("settlement")));
        let verdicts = of_kind(records, "verdict");
        let verdicts_of = count(verdicts.iter().map(|r| r.text("verification")));
        for (id, verification) in &e.acknowledged {
            if accepted_of.get(id.as_str()) != Some(&1) {
                self.acceptances_missing.push(id.clone());
            }
            match verdicts_of.get(verification.as_str()) {
                None => self.verdicts_missing.push(id.clone()),
                Some(1) => {}
                Some(_) => self.verdicts_doubled.push(id.clone()),
            }
        }
        // What was accepted without the answer having arrived has its one verdict all the same.
        for r in &accepted {
            if !e.acknowledged.contains_key(r.text("settlement"))
                && verdicts_of.get(r.text("verification")) != Some(&1)
            {
                self.verdicts_missing.push(format!("{} (unanswered)", r.text("settlement")));
            }
        }
        for (id, n) in count(verdicts.iter().map(|r| r.text("settlement"))) {
            if n > 1 && !self.verdicts_doubled.iter().any(|d| d == id) {
                self.verdicts_doubled.push(id.to_owned());
            }
        }
        let unknown = accepted_of.keys().filter(|id| !e.sent.contains(**id));
        self.strangers.extend(unknown.map(|id| format!("settlement {id}")));
    }

    fn check_events(&mut self, e: &Entries, records: &[&Record], events: &[Held]) {
        let alerts = of_kind(records, "alert_committed");
        let withdrawals = of_kind(records, "withdrawal_committed");
        for (name, list) in [("alert", &alerts), ("withdrawal", &withdrawals)] {
            let twice = count(list.iter().map(|r| r.text("settlement"))).into_iter().filter(|(_, n)| *n > 1);
            self.events_doubled.extend(twice.map(|(id, n)| format!("{n} of kind {name} for {id}")));
        }
        let withdrawn: BTreeSet<&str> = withdrawals.iter().map(|r| r.text("settlement")).collect();
        for r in &alerts {
            let id = r.text("settlement");
            if e.cancelled.contains(id) && !withdrawn.contains(id) {
                self.withdrawals_missing.push(id.to_owned());
            }
        }
        let here = count(events.iter().map(|h| h.id.as_str()));
        let committed: BTreeMap<&str, &Record> =
            alerts.iter().chain(&withdrawals).map(|r| (r.text("event"), *r)).collect();
        for id in committed.keys().filter(|id| !e.refused.contains(**id)) {
            match here.get(id) {
                None => self.events_missing.push((*id).to_owned()),
                Some(1) => {}
                Some(n) => self.events_doubled.push(format!("{id}: {n} times at the bureau")),
            }
        }
        for h in events {
            match committed.get(h.id.as_str()) {
                None => self.strangers.push(format!("event {}", h.id)),
                Some(r) if r.epoch != h.epoch || r.data.get("seq").and_then(Value::as_u64) != Some(h.seq) => {
                    self.out_of_order.push(format!("{}: not the place it was committed to", h.id));
                }
                Some(_) => {}
            }
        }
        let refused: BTreeSet<(&str, u64)> = committed
            .iter()
            .filter(|(id, _)| e.refused.contains(**id))
            .map(|(_, r)| (r.epoch.as_str(), r.data.get("seq").and_then(Value::as_u64).unwrap_or_default()))
            .collect();
        self.check_order(events, &refused);
    }

    /// In each epoch: numbered without a gap, each naming the one before it,
    /// and arrived in that order.
    fn check_order(&mut self, events: &[Held], refused: &BTreeSet<(&str, u64)>) {
        let mut chains: BTreeMap<&str, Vec<&Held>> = BTreeMap::new();
        for h in events {
            chains.entry(&h.epoch).or_default().push(h);
        }
        for (epoch, chain) in &mut chains {
            let late = chain.windows(2).filter(|w| w.first().map(|h| h.seq) > w.last().map(|h| h.seq));
            self.out_of_order.extend(late.filter_map(|w| w.last().map(|h| format!("{} came late", h.id))));
            chain.sort_by_key(|h| h.seq);
            let mut expected = 1;
            let mut before: Option<&Held> = None;
            for h in chain.iter() {
                while expected < h.seq && refused.contains(&(*epoch, expected)) {
                    expected += 1;
                    before = None;
                }
                let behind_refused = before.is_none() && h.seq > 1;
                let linked = behind_refused || h.previous == before.map(|b| b.digest.clone());
                let fits = h.chain == "ok" || (behind_refused && h.chain == "gap");
                if expected != h.seq || !linked || !fits {
                    self.out_of_order.push(format!("{}: number {}, chain {}", h.id, h.seq, h.chain));
                }
                expected = h.seq + 1;
                before = Some(h);
            }
        }
    }

    /// Acknowledged or committed, and gone.
    pub fn lost(&self) -> usize {
        self.acceptances_missing.len()
            + self.verdicts_missing.len()
            + self.events_missing.len()
            + self.withdrawals_missing.len()
    }

    /// There more than once.
    pub fn doubled(&self) -> usize {
        self.verdicts_doubled.len() + self.events_doubled.len() + self.answers_changed.len()
    }

    /// What else is wrong.
    pub fn otherwise_wrong(&self) -> usize {
        self.strangers.len() + self.strange_answers.len() + self.audit_breaks.len()
    }

    /// Every promise kept.
    pub fn clean(&self) -> bool {
        self.lost() + self.doubled() + self.out_of_order.len() + self.otherwise_wrong() == 0
    }

    /// Adds those of another world.
    pub fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.cancelled += other.cancelled;
        self.delivered += other.delivered;
        self.shed += other.shed;
        self.acceptances_missing.extend(other.acceptances_missing);
        self.verdicts_missing.extend(other.verdicts_missing);
        self.verdicts_doubled.extend(other.verdicts_doubled);
        self.events_missing.extend(other.events_missing);
        self.events_doubled.extend(other.events_doubled);
        self.withdrawals_missing.extend(other.withdrawals_missing);
        self.out_of_order.extend(other.out_of_order);
        self.strangers.extend(other.strangers);
        self.answers_changed.extend(other.answers_changed);
        self.strange_answers.extend(other.strange_answers);
        self.audit_breaks.extend(other.audit_breaks);
    }
}
