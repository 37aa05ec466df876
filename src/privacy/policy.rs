//! The privacy policy of a box: what somebody signs before it starts.
//!
//! Passive does not mean secret. The agent refuses to start until its
//! configuration names who is responsible, on what basis, which notice is
//! posted where, which impact assessment was made, what people can do instead,
//! and how long each kind of data is kept. It cannot judge whether the answers
//! are true; it makes somebody give them, and puts their digest into every
//! alert. The limits below are ceilings: a configuration can only be stricter.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::crypto::Sha256;
use crate::settings::Problem;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// One kind of data with its limits, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Key under `privacy.retention`.
    pub key: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Seconds in one unit of the key.
    pub unit: u64,
    /// Limit where the configuration may not exceed it, in seconds.
    pub ceiling: u64,
    /// Limit where the configuration may not fall below it, in seconds.
    pub floor: u64,
}

/// Camera pictures in memory, as the camera sent them.
pub const FRAMES: Limit =
    Limit { key: "frames_seconds", what: "camera pictures in memory", unit: 1, ceiling: 60, floor: 5 };
/// Settlements, from acceptance to pruning.
pub const JOURNAL: Limit = Limit {
    key: "journal_hours",
    what: "settlements, after their verdict",
    unit: HOUR,
    ceiling: 24 * HOUR,
    floor: HOUR,
};
/// Alerts that the bureau has acknowledged.
pub const ACKNOWLEDGED_ALERTS: Limit = Limit {
    key: "acknowledged_alerts_days",
    what: "alerts that the bureau has acknowledged",
    unit: DAY,
    ceiling: 30 * DAY,
    floor: DAY,
};
/// Alerts that wait for the bureau.
pub const WAITING_ALERTS: Limit = Limit {
    key: "waiting_alerts_days",
    what: "alerts that the bureau has not acknowledged",
    unit: DAY,
    ceiling: 90 * DAY,
    floor: 7 * DAY,
};
/// Which alert belongs to which settlement, as a keyed hash, for withdrawals.
pub const WITHDRAWAL_LINKS: Limit = Limit {
    key: "withdrawal_links_days",
    what: "keyed hashes that lead from a settlement to its alert, for withdrawals",
    unit: DAY,
    ceiling: 180 * DAY,
    floor: DAY,
};

/// Every kind of data a box keeps for a time. (The audit log is kept for at
/// least three years and holds nothing personal but settlement numbers;
/// references are held for one verification and never stored.)
pub const LIMITS: [Limit; 5] = [FRAMES, JOURNAL, ACKNOWLEDGED_ALERTS, WAITING_ALERTS, WITHDRAWAL_LINKS];

/// Days after its review date during which an impact assessment only warns.
pub const ASSESSMENT_GRACE_DAYS: i64 = 30;

/// `[privacy]` as somebody wrote it; anything may be missing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    controller: Option<String>,
    contact: Option<String>,
    alternative: Option<String>,
    basis: Option<Basis>,
    notice: Option<Notice>,
    impact_assessment: Option<Assessment>,
    retention: Option<BTreeMap<String, u64>>,
}

/// The lawful basis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basis {
    /// `statutory_duty`, `public_interest` or `consent`.
    pub kind: BasisKind,
    /// The law, regulation or consent form.
    pub instrument: String,
    /// Its article.
    pub article: String,
}

/// Kinds of lawful basis (PIPL art. 13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BasisKind {
    /// Duties or responsibilities laid down by law.
    StatutoryDuty,
    /// Another ground that laws or administrative regulations name.
    PublicInterest,
    /// Separate consent of each person (PIPL art. 29).
    Consent,
}

/// The posted notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// Its number.
    pub id: String,
    /// File with the text that is posted.
    pub text: PathBuf,
    /// SHA-256 of that text.
    pub sha256: Sha256,
    /// Since when it hangs there.
    pub posted_on: Date,
    /// Where.
    pub place: String,
}

/// The impact assessment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assessment {
    /// Its number.
    pub id: String,
    /// By when it must be looked at again.
    pub review_by: Date,
}

/// A policy in which everything that must be declared is declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Who is responsible.
    pub controller: String,
    /// How people reach them.
    pub contact: String,
    /// What people can do instead of being compared.
    pub alternative: String,
    /// On what basis.
    pub basis: Basis,
    /// Which notice is posted.
    pub notice: Notice,
    /// Which impact assessment was made.
    pub impact_assessment: Assessment,
    /// Limit in seconds by kind of data.
    pub retention_s: BTreeMap<String, u64>,
}

impl Declared {
    /// The policy in force, and warnings to be shown.
    ///
    /// # Errors
    /// Everything that is missing or not allowed: what, why it is asked, and
    /// an example.
    pub fn policy(&self, base: &Path, today: Date) -> Result<(Policy, Vec<String>), Vec<Problem>> {
        let mut problems = Vec::new();
        let mut warnings = Vec::new();
        let controller = text(&mut problems, "controller", self.controller.as_ref(), CONTROLLER);
        let contact = text(&mut problems, "contact", self.contact.as_ref(), CONTACT);
        let alternative = text(&mut problems, "alternative", self.alternative.as_ref(), ALTERNATIVE);
        let basis = part(&mut problems, "basis", self.basis.as_ref(), BASIS);
        if let Some(b) = &basis
            && (b.instrument.trim().is_empty() || b.article.trim().is_empty())
        {
            problems.push(Problem::new(
                "privacy.basis",
                "an empty instrument or article",
                "both named",
                BASIS,
            ));
        }
        let notice = part(&mut problems, "notice", self.notice.as_ref(), NOTICE);
        if let Some(n) = &notice {
            problems.extend(check_notice(n, base, today));
        }
        let assessment =
            part(&mut problems, "impact_assessment", self.impact_assessment.as_ref(), ASSESSMENT);
        if let Some(a) = &assessment {
            check_assessment(a, today, &mut problems, &mut warnings);
        }
        let retention_s = self.retention(&mut problems);
        match (controller, contact, alternative, basis, notice, assessment) {
            (
                Some(controller),
                Some(contact),
                Some(alternative),
                Some(basis),
                Some(notice),
                Some(impact_assessment),
            ) if problems.is_empty() => {
                let policy = Policy {
                    controller,
                    contact,
                    alternative,
                    basis,
                    notice,
                    impact_assessment,
                    retention_s,
                };
                Ok((policy, warnings))
            }
            _ => Err(problems),
        }
    }

    fn retention(&self, problems: &mut Vec<Problem>) -> BTreeMap<String, u64> {
        let empty = BTreeMap::new();
        let given = self.retention.as_ref().unwrap_or(&empty);
        for key in given.keys().filter(|k| LIMITS.iter().all(|l| l.key != **k)) {
            let known = LIMITS.map(|l| l.key).join(", ");
            problems.push(Problem::new(
                &format!("privacy.retention.{key}"),
                "a kind of data that is not kept",
                known,
                "Remove it.",
            ));
        }
        let mut out = BTreeMap::new();
        for limit in LIMITS {
            let key = format!("privacy.retention.{}", limit.key);
            let allowed = format!("{} to {}", limit.floor / limit.unit, limit.ceiling / limit.unit);
            match given.get(limit.key) {
                None => problems.push(Problem::new(
                    &key,
                    "nothing",
                    allowed,
                    format!("Say how long {} are kept. {RETENTION}", limit.what),
                )),
                Some(v) => {
                    let seconds = v.saturating_mul(limit.unit);
                    if !(limit.floor..=limit.ceiling).contains(&seconds) {
                        problems.push(Problem::new(&key, v, allowed, RETENTION));
                    }
                    out.insert(limit.key.to_owned(), seconds);
                }
            }
        }
        out
    }
}

const CONTROLLER: &str = "Who is responsible must be told to everybody concerned (PIPL art. 17; measures on face recognition, art. 5). Example: controller = \"某市第一人民医院\"";
const CONTACT: &str = "People must be able to reach somebody (PIPL art. 17; measures on face recognition, art. 5). Example: contact = \"医保办 021-0000 0000\"";
const ALTERNATIVE: &str = "Nobody may be bound to face recognition as the only way (measures on face recognition, art. 10). Example: alternative = \"出示身份证，由窗口人员核对\"";
const BASIS: &str = "Faces are sensitive personal information and need a lawful basis for a specific purpose (PIPL art. 13, 28, 29). Example: [privacy.basis] kind = \"statutory_duty\", instrument = \"医疗保障基金使用监督管理条例\", article = \"…\"";
const NOTICE: &str = "A camera that identifies people needs a conspicuous notice (PIPL art. 26; measures on face recognition, art. 5, 13). Example: [privacy.notice] id = \"N-2026-01\", text = \"notice.txt\", sha256 = \"(sha256sum notice.txt)\", posted_on = \"2026-11-01\", place = \"结算窗口 1 至 6 号\"";
const ASSESSMENT: &str = "An impact assessment must come first and be kept (PIPL art. 55, 56; measures on face recognition, art. 9). Example: [privacy.impact_assessment] id = \"PIA-2026-07\", review_by = \"2027-07-01\"";
const RETENTION: &str = "Nothing may be kept longer than its purpose needs (PIPL art. 19; measures on face recognition, art. 8); the ceilings are in src/privacy/policy.rs.";

fn text(problems: &mut Vec<Problem>, key: &str, value: Option<&String>, why: &str) -> Option<String> {
    let filled = value.filter(|v| !v.trim().is_empty()).cloned();
    if filled.is_none() {
        problems.push(Problem::new(&format!("privacy.{key}"), "nothing", "a line of text", why));
    }
    filled
}

fn part<T: Clone>(problems: &mut Vec<Problem>, key: &str, value: Option<&T>, why: &str) -> Option<T> {
    if value.is_none() {
        problems.push(Problem::new(&format!("privacy.{key}"), "nothing", format!("[privacy.{key}]"), why));
    }
    value.cloned()
}

fn check_notice(n: &Notice, base: &Path, today: Date) -> Vec<Problem> {
    let mut problems = Vec::new();
    if n.posted_on > today {
        problems.push(Problem::new(
            "privacy.notice.posted_on",
            n.posted_on,
            format!("{today} or before"),
            "Post the notice first.",
        ));
    }
    if n.id.trim().is_empty() || n.place.trim().is_empty() {
        problems.push(Problem::new("privacy.notice", "an empty id or place", "both named", NOTICE));
    }
    match std::fs::read(base.join(&n.text)) {
        Err(e) => problems.push(Problem::new(
            "privacy.notice.text",
            format!("{}: {e}", n.text.display()),
            "the text that is posted",
            NOTICE,
        )),
        Ok(text) => {
            let found = Sha256::of(&text);
            if found != n.sha256 {
                problems.push(Problem::new(
                    "privacy.notice.sha256",
                    n.sha256,
                    format!("{found}, the digest of {}", n.text.display()),
                    "The posted text and the declared one must be the same: post the new text, then write its digest.",
                ));
            }
        }
    }
    problems
}

fn check_assessment(a: &Assessment, today: Date, problems: &mut Vec<Problem>, warnings: &mut Vec<String>) {
    if a.id.trim().is_empty() {
        problems.push(Problem::new("privacy.impact_assessment.id", "nothing", "its number", ASSESSMENT));
    }
    let overdue = (today - a.review_by).get_days();
    if i64::from(overdue) > ASSESSMENT_GRACE_DAYS {
        problems.push(Problem::new(
            "privacy.impact_assessment.review_by",
            format!("{} ({overdue} days ago)", a.review_by),
            format!("at most {ASSESSMENT_GRACE_DAYS} days ago"),
            "Review the impact assessment and write the new date.",
        ));
    } else if overdue > 0 {
        warnings.push(format!(
            "the impact assessment {} was due for review on {}; from {ASSESSMENT_GRACE_DAYS} days after that date the agent does not start",
            a.id, a.review_by
        ));
    }
}

impl Policy {
    /// The policy as canonical JSON (keys in the order written here): the bytes
    /// behind its digest.
    pub fn document(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// SHA-256 of the policy's document.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&self.document())
    }

    /// How long a kind of data may be kept.
    pub fn limit(&self, kind: Limit) -> Duration {
        Duration::from_secs(self.retention_s.get(kind.key).copied().unwrap_or(kind.floor).min(kind.ceiling))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Date = jiff::civil::date(2026, 11, 22);

    fn good(dir: &Path) -> String {
        std::fs::write(dir.join("notice.txt"), "公告").unwrap();
        format!(
            r#"
            controller = "hospital"
            contact = "office"
            alternative = "show an identity card"
            [basis]
            kind = "statutory_duty"
            instrument = "regulation"
            article = "1"
            [notice]
            id = "N1"
            text = "notice.txt"
            sha256 = "{}"
            posted_on = "2026-11-01"
            place = "window 1"
            [impact_assessment]
            id = "A1"
            review_by = "2027-01-01"
            [retention]
            frames_seconds = 20
            journal_hours = 24
            acknowledged_alerts_days = 7
            waiting_alerts_days = 90
            withdrawal_links_days = 180
            "#,
            Sha256::of("公告".as_bytes())
        )
    }

    fn policy(text: &str, dir: &Path) -> Result<(Policy, Vec<String>), Vec<Problem>> {
        toml::from_str::<Declared>(text).unwrap().policy(dir, TODAY)
    }

    #[test]
    fn nothing_declared_names_everything_that_is_missing() {
        let keys: Vec<String> = policy("", Path::new(".")).unwrap_err().into_iter().map(|p| p.key).collect();
        for key in ["controller", "contact", "alternative", "basis", "notice", "impact_assessment"] {
            assert!(keys.contains(&format!("privacy.{key}")), "{key}: {keys:?}");
        }
        assert_eq!(keys.iter().filter(|k| k.starts_with("privacy.retention.")).count(), LIMITS.len());
    }

    #[test]
    fn each_part_alone_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let whole = good(dir.path());
        assert!(policy(&whole, dir.path()).is_ok());
        for line in [
            "controller = \"hospital\"",
            "contact = \"office\"",
            "alternative = \"show an identity card\"",
            "frames_seconds = 20",
        ] {
            assert_eq!(policy(&whole.replace(line, ""), dir.path()).unwrap_err().len(), 1, "{line}");
        }
    }

    #[test]
    fn a_limit_above_its_ceiling_or_a_changed_notice_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let whole = good(dir.path());
        let long =
            policy(&whole.replace("frames_seconds = 20", "frames_seconds = 61"), dir.path()).unwrap_err();
        assert_eq!(
            (long[0].key.as_str(), long[0].allowed.as_str()),
            ("privacy.retention.frames_seconds", "5 to 60")
        );
        std::fs::write(dir.path().join("notice.txt"), "another").unwrap();
        assert_eq!(policy(&whole, dir.path()).unwrap_err()[0].key, "privacy.notice.sha256");
    }

    #[test]
    fn an_overdue_assessment_warns_and_then_refuses() {
        let dir = tempfile::tempdir().unwrap();
        let due = |date: &str| good(dir.path()).replace("2027-01-01", date);
        assert_eq!(policy(&due("2026-11-22"), dir.path()).unwrap().1.len(), 0);
        assert_eq!(policy(&due("2026-11-01"), dir.path()).unwrap().1.len(), 1);
        assert!(policy(&due("2026-10-22"), dir.path()).is_err());
        assert!(policy(&due("2024-10-22"), dir.path()).is_err());
    }

    #[test]
    fn the_digest_changes_with_any_limit() {
        let dir = tempfile::tempdir().unwrap();
        let a = policy(&good(dir.path()), dir.path()).unwrap().0;
        let b = policy(&good(dir.path()).replace("days = 7", "days = 6"), dir.path()).unwrap().0;
        assert_ne!(a.digest(), b.digest());
        assert_eq!(b.limit(ACKNOWLEDGED_ALERTS), Duration::from_secs(6 * DAY));
    }
}
