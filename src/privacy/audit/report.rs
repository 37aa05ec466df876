//! The page that a privacy officer takes to an inspection: what was kept and
//! how long, what was deleted when, and whether anything outlived its limit.
//!
//! It is read from the log alone, and only after the whole log was checked; it
//! says what cannot be told as plainly as what can.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::Value;

use super::{AuditError, Checked, Kind, Record, walk};
use crate::clock::WallTime;
use crate::crypto::sign::PublicKey;
use crate::privacy::policy;
use crate::privacy::retention::Evidence;

/// Longest pause between two looks at the limits of a running box that is no
/// gap in the evidence, in seconds: the agent looks every ten minutes and
/// writes it down every hour.
const LONGEST_PAUSE_S: u64 = 2 * 3600;

/// What is known of one kind of data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct KindReport {
    /// What it is.
    pub what: String,
    /// Greatest limit in force in the period, in seconds.
    pub limit_s: Option<u64>,
    /// How much was deleted.
    pub deleted: u64,
    /// Greatest age at which something was deleted, in seconds.
    pub oldest_deleted_s: Option<u64>,
    /// Times that the oldest that stays was looked at.
    pub looks: u64,
    /// Greatest age of what stayed at such a look, in seconds.
    pub oldest_left_s: Option<u64>,
    /// Looks at which something was older than its limit.
    pub outlived: u64,
}

impl KindReport {
    /// Of a kind of which nothing is known but its key.
    fn of(key: &str) -> Self {
        let known = policy::all_limits().find(|l| l.key == key);
        let what = known.map_or_else(|| key.replace('_', " "), |l| format!("{}  {}", l.what.en, l.what.zh));
        Self { what, ..Self::default() }
    }
}

/// A line of the report's diary.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// When.
    pub at: WallTime,
    /// Number of its record.
    pub seq: u64,
    /// What happened.
    pub kind: Kind,
    /// Its details.
    pub data: Value,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// First day, UTC.
    pub from: Date,
    /// Last day, UTC.
    pub to: Date,
    /// What checking the whole log found.
    pub log: Checked,
    /// Records in the period.
    pub records: u64,
    /// By kind of data.
    pub kinds: BTreeMap<String, KindReport>,
    /// Verdicts in the period, by `verdict` or `verdict(reason)`.
    pub verdicts: BTreeMap<String, u64>,
    /// Heads of the log that the bureau signed.
    pub countersigned: u64,
    /// Longest time that the box ran without evidence of retention, in seconds.
    pub longest_pause_s: u64,
    /// Starts that no stop went before.
    pub interrupted: u64,
    /// Starts, stops, changes, doubts and deletions, in their order.
    pub diary: Vec<Entry>,
}

impl Report {
    /// Checks the whole log, and reads the days from `from` to `to` (UTC, both
    /// included).
    ///
    /// # Errors
    /// [`AuditError::Broken`] naming the first bad record: a log that was
    /// changed proves nothing.
    pub fn read(dir: &Path, trusted: Option<&PublicKey>, from: Date, to: Date) -> Result<Self, AuditError> {
        let mut reading = Reading::new(from, to);
        let log = walk(dir, trusted, &mut |record, _| reading.see(record))?.whole(dir)?;
        Ok(reading.report(log))
    }

    /// Whether nothing is known to have outlived its limit and the evidence has
    /// no gap.
    pub fn kept(&self) -> bool {
        self.kinds.values().all(|k| k.outlived == 0) && self.longest_pause_s <= LONGEST_PAUSE_S
    }

    /// The page, for people.
    pub fn page(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "Retention and processing, {} to {} (UTC)", self.from, self.to)?;
        writeln!(out, "留存与处理报告，{} 至 {}（UTC）\n", self.from, self.to)?;
        self.write_log(out)?;
        writeln!(out, "\nWhat was kept, and what was deleted  留存与删除")?;
        for k in self.kinds.values() {
            writeln!(out, "\n  {}", k.what)?;
            writeln!(out, "    limit in force            {}", span(k.limit_s))?;
            writeln!(out, "    deleted                   {}", k.deleted)?;
            writeln!(out, "    oldest when deleted       {}", span(k.oldest_deleted_s))?;
            writeln!(out, "    oldest that stayed        {} ({} looks)", span(k.oldest_left_s), k.looks)?;
            let verdict = match (k.looks, k.outlived) {
                (0, _) => "cannot be told: no look at it is on record  无法判断",
                (_, 0) => "nothing outlived its limit  未超期",
                _ => "SOMETHING OUTLIVED ITS LIMIT  存在超期",
            };
            writeln!(out, "    {verdict}")?;
        }
        let pause =
            if self.longest_pause_s > LONGEST_PAUSE_S { "  A GAP IN THE EVIDENCE  证据中断" } else { "" };
        writeln!(
            out,
            "\n  longest time that the box ran without such a look: {}{pause}",
            span(Some(self.longest_pause_s))
        )?;
        writeln!(out, "\nVerdicts  核验结论")?;
        for (verdict, n) in &self.verdicts {
            writeln!(out, "  {n:>8}  {verdict}")?;
        }
        writeln!(out, "\nDiary  日志摘录")?;
        for e in &self.diary {
            let kind = e.kind.as_str();
            writeln!(out, "  {}  {:>8}  {kind:<22} {}", e.at, e.seq, brief(&e.data))?;
        }
        Ok(())
    }

    fn write_log(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "The log  审计日志")?;
        if let Some(head) = self.log.head {
            writeln!(out, "  checked from record {} to {}, hash {}", self.log.first, head.seq, head.hash)?;
        }
        writeln!(
            out,
            "  signed at {} places, {} records after the last",
            self.log.checkpoints, self.log.unsigned_tail
        )?;
        writeln!(out, "  by {}", self.log.keys.join(", then "))?;
        writeln!(out, "  (compare with the key that the bureau has on record for this box)")?;
        writeln!(out, "  heads that the bureau signed in the period: {}", self.countersigned)?;
        writeln!(
            out,
            "  records in the period: {}; starts without a stop before: {}",
            self.records, self.interrupted
        )
    }
}

/// A length of time, for people.
fn span(seconds: Option<u64>) -> String {
    let Some(s) = seconds else { return "-".into() };
    match (s / 86_400, s / 3600, s / 60) {
        (d, ..) if d >= 2 => format!("{d} d {} h", s % 86_400 / 3600),
        (_, h, _) if h >= 2 => format!("{h} h {} min", s % 3600 / 60),
        (.., m) if m >= 2 => format!("{m} min {} s", s % 60),
        _ => format!("{s} s"),
    }
}

fn brief(data: &Value) -> String {
    let text = match data {
        Value::Object(fields) => {
            let field = |(k, v): (&String, &Value)| match v {
                Value::String(s) => format!("{k}={}", s.chars().take(24).collect::<String>()),
                Value::Object(_) | Value::Array(_) => format!("{k}=…"),
                other => format!("{k}={other}"),
            };
            fields.iter().map(field).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    };
    text.chars().take(160).collect()
}

/// What the diary tells.
const DIARY: [Kind; 19] = [
    Kind::Segment,
    Kind::Started,
    Kind::Stopped,
    Kind::ConfigurationChanged,
    Kind::PolicyChanged,
    Kind::EpochBegun,
    Kind::RootKeyReplaced,
    Kind::Commissioned,
    Kind::Shadowed,
    Kind::Purged,
    Kind::ClockDoubted,
    Kind::ClockConfirmed,
    Kind::ExpiryCommitted,
    Kind::EventSetAside,
    Kind::TornTailRepaired,
    Kind::AimBegun,
    Kind::AimEnded,
    Kind::RosterBegun,
    Kind::RosterEnded,
];

struct Reading {
    report: Report,
    /// When the box was last known to look after limits, while it runs.
    looked: Option<WallTime>,
    running: bool,
}

impl Report {
    fn kind(&mut self, key: &str) -> &mut KindReport {
        self.kinds.entry(key.to_owned()).or_insert_with(|| KindReport::of(key))
    }
}

impl Reading {
    fn new(from: Date, to: Date) -> Self {
        let report = Report {
            from,
            to,
            log: Checked::nothing(),
            records: 0,
            kinds: policy::LIMITS.into_iter().map(|l| (l.key.to_owned(), KindReport::of(l.key))).collect(),
            verdicts: BTreeMap::new(),
            countersigned: 0,
            longest_pause_s: 0,
            interrupted: 0,
            diary: Vec::new(),
        };
        Self { report, looked: None, running: false }
    }

    fn see(&mut self, record: &Record) {
        let day = jiff::Timestamp::from_millisecond(record.at.as_millis())
            .map(|t| t.to_zoned(TimeZone::UTC).date())
            .unwrap_or_default();
        let inside = (self.report.from..=self.report.to).contains(&day);
        self.follow(record, inside);
        if !inside {
            return;
        }
        self.report.records += 1;
        match record.kind {
            Kind::Started => self.limits(record),
            Kind::Verdict => self.verdict(record),
            Kind::Purged => self.purged(record),
            Kind::Retention => self.looked(record),
            Kind::Countersigned => self.report.countersigned += 1,
            _ => {}
        }
        if DIARY.contains(&record.kind) {
            let Record { at, seq, kind, data, .. } = record.clone();
            self.report.diary.push(Entry { at, seq, kind, data });
        }
    }

    /// Whether the box runs, and since when nobody looked.
    fn follow(&mut self, record: &Record, inside: bool) {
        if let (true, Some(looked), true) = (self.running, self.looked, inside)
            && record.kind != Kind::Started
        {
            let pause = record.at.as_millis().saturating_sub(looked.as_millis()) / 1000;
            let pause = u64::try_from(pause).unwrap_or(0);
            self.report.longest_pause_s = self.report.longest_pause_s.max(pause);
        }
        match record.kind {
            Kind::Started => {
                self.report.interrupted += u64::from(self.running && inside);
                self.running = true;
                self.looked = Some(record.at);
            }
            Kind::Stopped => self.running = false,
            Kind::Retention => self.looked = Some(record.at),
            _ => {}
        }
    }

    fn limits(&mut self, record: &Record) {
        let limits = record.data.get("retention_s").and_then(Value::as_object);
        for (key, limit) in limits.into_iter().flatten() {
            let kind = self.report.kind(key);
            kind.limit_s = kind.limit_s.max(limit.as_u64());
        }
    }

    fn verdict(&mut self, record: &Record) {
        let word = |key| record.text(key).unwrap_or_default();
        let name = match (word("verdict"), word("reason")) {
            (verdict, "") => verdict.to_owned(),
            (verdict, reason) => format!("{verdict}({reason})"),
        };
        *self.report.verdicts.entry(name).or_default() += 1;
    }

    fn purged(&mut self, record: &Record) {
        let Some(key) = record.text("kind") else { return };
        let kind = self.report.kind(key);
        let deleted = record.data.get("deleted").and_then(Value::as_u64).unwrap_or(0);
        kind.deleted = kind.deleted.saturating_add(deleted);
        kind.oldest_deleted_s =
            kind.oldest_deleted_s.max(record.data.get("oldest_s").and_then(Value::as_u64));
    }

    fn looked(&mut self, record: &Record) {
        let kinds = record.data.get("kinds").cloned().unwrap_or_default();
        let Ok(all) = serde_json::from_value::<Vec<Evidence>>(kinds) else { return };
        for e in all {
            let outlived = e.outlived();
            let kind = self.report.kind(&e.kind);
            kind.looks += 1;
            kind.limit_s = kind.limit_s.max(Some(e.limit_s));
            kind.oldest_left_s = kind.oldest_left_s.max(e.oldest_left_s);
            kind.outlived += u64::from(outlived);
        }
    }

    fn report(self, log: Checked) -> Report {
        Report { log, ..self.report }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::sign::SigningKey;
    use crate::privacy::audit::AuditLog;
    use crate::protocol::id::Epoch;
    use serde_json::json;

    const HOUR: u64 = 3600;

    fn at(hours: u64) -> WallTime {
        let begin: jiff::Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        WallTime::from_millis(begin.as_millisecond()).plus(std::time::Duration::from_secs(hours * HOUR))
    }

    fn look(oldest_s: u64) -> Value {
        json!({ "kinds": [{ "kind": "journal_hours", "limit_s": 24 * HOUR, "deleted": 0, "oldest_left_s": oldest_s }] })
    }

    fn report(records: &[(u64, Kind, Value)]) -> Report {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap();
        let mut log = AuditLog::open(dir.path(), key, Epoch::new(), at(0)).unwrap();
        for (hours, kind, data) in records {
            log.append(at(*hours), *kind, data.clone(), None).unwrap();
        }
        log.checkpoint(at(100)).unwrap();
        let days = (jiff::civil::date(2026, 11, 1), jiff::civil::date(2026, 11, 2));
        Report::read(dir.path(), None, days.0, days.1).unwrap()
    }

    fn started() -> Value {
        json!({ "retention_s": { "journal_hours": 24 * HOUR } })
    }

    #[test]
    fn a_day_in_order_says_so_and_counts_only_its_own() {
        let r = report(&[
            (0, Kind::Started, started()),
            (1, Kind::Retention, look(3000)),
            (2, Kind::Purged, json!({ "kind": "journal_hours", "deleted": 7, "oldest_s": 86_500 })),
            (2, Kind::Verdict, json!({ "settlement": "S1", "verdict": "inconclusive", "reason": "no_face" })),
            (3, Kind::Retention, look(80_000)),
            (4, Kind::Stopped, json!({})),
            (60, Kind::Purged, json!({ "kind": "journal_hours", "deleted": 100 })),
        ]);
        let kind = &r.kinds["journal_hours"];
        assert_eq!(
            (kind.deleted, kind.oldest_deleted_s, kind.oldest_left_s),
            (7, Some(86_500), Some(80_000))
        );
        assert_eq!((kind.limit_s, kind.looks, kind.outlived), (Some(24 * HOUR), 2, 0));
        assert_eq!(r.verdicts["inconclusive(no_face)"], 1);
        assert_eq!((r.longest_pause_s, r.interrupted), (2 * HOUR, 0));
        assert!(r.kept());
        let page = r.page();
        assert!(
            page.contains("nothing outlived its limit") && page.contains("inconclusive(no_face)"),
            "{page}"
        );
        // Of the other kinds nobody looked.
        assert!(page.contains("cannot be told"), "{page}");
    }

    #[test]
    fn what_outlived_its_limit_and_a_gap_in_the_evidence_are_said() {
        let r = report(&[(0, Kind::Started, started()), (1, Kind::Retention, look(90_000))]);
        assert!(!r.kept() && r.page().contains("SOMETHING OUTLIVED"));
        let r = report(&[
            (0, Kind::Started, started()),
            (1, Kind::Retention, look(10)),
            (9, Kind::Verdict, json!({})),
            (9, Kind::Started, started()),
        ]);
        assert_eq!((r.longest_pause_s, r.interrupted), (8 * HOUR, 1));
        assert!(!r.kept() && r.page().contains("A GAP IN THE EVIDENCE"));
    }
}
