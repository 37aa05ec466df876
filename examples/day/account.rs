//! What became of every settlement, from what the programs say themselves: the box's audit
//! log, the alerts that the bureau holds, the counts of relay and box. A settlement of
//! which none of them knows an end is unaccounted for.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use counterproof::bench::hospital::Hospital;
use serde_json::{Map, Value, json};

use super::plan::{Day, Says, Settlement};

/// How long the last verdicts and alerts may take.
const PATIENCE: Duration = Duration::from_secs(45);
const AGAIN: Duration = Duration::from_secs(1);
/// Alerts in one answer of the console.
const PAGE: usize = 500;

/// Verdicts about which there must be an alert.
const ACCUSE: [&str; 2] = ["mismatch", "absent"];

/// What each program said at the end.
#[derive(Default)]
pub struct Said {
    /// Verdicts of the audit log by the message's number; more than one is one too many.
    verdicts: BTreeMap<String, Vec<String>>,
    /// Alerts at the bureau by the settlement's number, and whether each was withdrawn.
    alerts: BTreeMap<String, bool>,
    /// Verdicts that the box counted, with and without an entry in the audit log.
    pub counted: BTreeMap<String, u64>,
    /// Copies that the relay says the agent did not get, by reason.
    pub missed: BTreeMap<String, u64>,
    /// Copies that the relay says the agent took, by kind.
    handed_on: BTreeMap<String, u64>,
    /// Messages that settle, as the HIS sent them.
    settling: u64,
}

/// The account of the day.
#[derive(Default)]
pub struct Account {
    pub matched: u64,
    pub alerted: u64,
    pub withdrawn: u64,
    pub inconclusive: BTreeMap<String, u64>,
    pub not_assessed: BTreeMap<String, u64>,
    pub unaccounted: Vec<String>,
    /// What was planned and what came instead, and how often.
    pub surprises: BTreeMap<String, u64>,
}

impl Said {
    /// Asks until every settlement has its end and every mismatch its alert, or nothing
    /// changes any more.
    ///
    /// # Errors
    /// If a program does not answer.
    pub async fn hear(h: &Hospital, relay: &str, day: &Day) -> io::Result<Self> {
        let (settlements, deadline) = (&day.settlements, Instant::now() + PATIENCE);
        let settling = day.events.iter().filter(|e| matches!(e.says, Says::Settles)).count() as u64;
        loop {
            let mut said = Self { verdicts: verdicts(h), settling, ..Self::default() };
            said.alerts = alerts(h).await?;
            let waits = settlements.iter().filter(|s| !said.is_whole(s)).count();
            if waits == 0 || Instant::now() > deadline {
                said.counted = counted(&h.metrics(&h.agent_metrics).await?, "counterproof_verdicts_total");
                let page = h.metrics(relay).await?;
                said.missed = counted(&page, "counterproof_relay_missed_total");
                said.handed_on = counted(&page, "counterproof_relay_handed_on_total");
                return Ok(said);
            }
            eprint!("\rwaiting for {waits} settlements   ");
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// The alert of a settlement: under its number at the platform, or its message's.
    fn alert(&self, s: &Settlement) -> Option<bool> {
        self.alerts.get(&s.setl_id).or_else(|| self.alerts.get(&s.msgid)).copied()
    }

    fn is_whole(&self, s: &Settlement) -> bool {
        let withdrawn = s.kind.expected() != "withdrawn" || self.alert(s) == Some(true);
        match self.verdicts.get(&s.msgid).and_then(|v| v.first()).map(String::as_str) {
            None => false,
            Some(accuses) if ACCUSE.contains(&accuses) => self.alert(s).is_some() && withdrawn,
            Some(_) => true,
        }
    }

    /// Draws up the account.
    pub fn account(&self, settlements: &[Settlement]) -> Account {
        let mut account = Account::default();
        let mut turned_away = self.turned_away();
        for s in settlements {
            let ends = self.verdicts.get(&s.msgid).map(Vec::as_slice).unwrap_or_default();
            let end = match (ends, self.alert(s)) {
                ([one], None) if !ACCUSE.contains(&one.as_str()) => one.clone(),
                ([one], Some(true)) if ACCUSE.contains(&one.as_str()) => "withdrawn".into(),
                ([one], Some(false)) if ACCUSE.contains(&one.as_str()) => "alerted".into(),
                // The box refused it and counted that; the relay counted the refusal.
                ([], None) => match turned_away.iter_mut().find(|(_, left)| **left > 0) {
                    Some((reason, left)) => {
                        *left -= 1;
                        format!("not_assessed({reason})")
                    }
                    None => "unaccounted".into(),
                },
                _ => "unaccounted".into(),
            };
            account.enter(s, &end);
        }
        account
    }

    /// Settlements that never got as far as the audit log, by what the box and the relay
    /// say of them.
    fn turned_away(&self) -> BTreeMap<String, u64> {
        let in_log = |reason: &str| {
            let all = self.verdicts.values().flatten();
            all.filter(|v| **v == format!("not_assessed({reason})")).count() as u64
        };
        let taken = |kind: &str| self.handed_on.get(&format!("{{kind=\"{kind}\"}}")).copied().unwrap_or(0);
        let not_taken = self.settling.saturating_sub(taken("2207") + taken("2304"));
        let missed = not_taken.min(self.missed.values().sum());
        let mut away = BTreeMap::new();
        for reason in ["overload", "fault"] {
            let counted: u64 =
                self.counted.iter().filter(|(labels, _)| labels.contains(reason)).map(|(_, n)| n).sum();
            away.insert(reason.to_owned(), counted.saturating_sub(in_log(reason)));
        }
        let known: u64 = away.values().sum();
        away.insert("copy_missed".to_owned(), missed.saturating_sub(known));
        away
    }

    /// Verdicts that the box counted and its audit log does not have, or the other way.
    pub fn counts_differ(&self) -> u64 {
        let counted: u64 = self.counted.values().sum();
        counted.abs_diff(self.verdicts.values().map(|v| v.len() as u64).sum())
    }
}

impl Account {
    fn enter(&mut self, s: &Settlement, end: &str) {
        let reason = |prefix: &str| Some(end.strip_prefix(prefix)?.trim_end_matches(')').to_owned());
        match end {
            "match" => self.matched += 1,
            "alerted" => self.alerted += 1,
            "withdrawn" => self.withdrawn += 1,
            _ => {
                if let Some(reason) = reason("inconclusive(") {
                    *self.inconclusive.entry(reason).or_default() += 1;
                } else if let Some(reason) = reason("not_assessed(") {
                    *self.not_assessed.entry(reason).or_default() += 1;
                } else {
                    self.unaccounted.push(s.msgid.clone());
                }
            }
        }
        if end != s.kind.expected() {
            *self.surprises.entry(format!("{:?}: {end}", s.kind)).or_default() += 1;
        }
    }

    /// The account for machines.
    pub fn json(&self, settlements: usize) -> Map<String, Value> {
        let sum = |of: &BTreeMap<String, u64>| of.values().sum::<u64>();
        let account = json!({
            "settlements": settlements,
            "matched": self.matched,
            "alerted": self.alerted,
            "withdrawn": self.withdrawn,
            "inconclusive": sum(&self.inconclusive),
            "not_assessed": sum(&self.not_assessed),
            "unaccounted": self.unaccounted.len(),
            "inconclusive_by_reason": self.inconclusive,
            "not_assessed_by_reason": self.not_assessed,
            "not_as_planned": sum(&self.surprises),
        });
        account.as_object().cloned().unwrap_or_default()
    }
}

/// Verdicts by the message's number. A cancellation's is entered under the platform's: the
/// verification's number joins the two.
fn verdicts(h: &Hospital) -> BTreeMap<String, Vec<String>> {
    let text = |record: &Value, key: &str| {
        record.pointer(&format!("/data/{key}")).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let accepted = h.audit("settlement_accepted");
    let messages: BTreeMap<String, String> =
        accepted.iter().map(|r| (text(r, "verification"), text(r, "settlement"))).collect();
    let mut verdicts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in h.audit("verdict") {
        let (verdict, reason) = (text(&record, "verdict"), text(&record, "reason"));
        let word = if reason.is_empty() { verdict } else { format!("{verdict}({reason})") };
        let verification = text(&record, "verification");
        let message = messages.get(&verification).cloned().unwrap_or(verification);
        verdicts.entry(message).or_default().push(word);
    }
    verdicts
}

async fn alerts(h: &Hospital) -> io::Result<BTreeMap<String, bool>> {
    let mut alerts = BTreeMap::new();
    let mut next = String::new();
    loop {
        let page = h.console(&format!("/alerts.json?limit={PAGE}{next}")).await?;
        let list = page.get("alerts").and_then(Value::as_array).cloned().unwrap_or_default();
        for alert in &list {
            let subject = alert.pointer("/event/subject").and_then(Value::as_str).unwrap_or_default();
            alerts
                .insert(subject.to_owned(), alert.get("state").and_then(Value::as_str) == Some("withdrawn"));
        }
        match page.get("next").and_then(Value::as_i64) {
            Some(before) => next = format!("&before={before}"),
            None => return Ok(alerts),
        }
    }
}

/// A counter's values by their labels.
pub fn counted(page: &str, name: &str) -> BTreeMap<String, u64> {
    let lines = page.lines().filter_map(|l| l.strip_prefix(name)?.rsplit_once(' '));
    lines.map(|(labels, n)| (labels.to_owned(), n.parse::<f64>().unwrap_or_default() as u64)).collect()
}
