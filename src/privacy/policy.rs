//! The privacy policy of a box: what somebody signs before it starts.
//!
//! Passive does not mean secret. The agent refuses to start until its
//! configuration names who is responsible, on what basis, which notice is
//! posted where, which impact assessment was made, what people can do instead,
//! which part of the picture is looked at, and how long each kind of data is
//! kept. It cannot judge whether the answers are true; it makes somebody give
//! them, and puts their digest into every alert.
//!
//! This page is for a privacy officer: first the ceilings, which no
//! configuration can pass, then what must be declared and which rule asks for
//! it, then what a policy consists of. `declared` checks what somebody wrote
//! against it; `notice` makes the text that is posted.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::wording::Wording;
use crate::crypto::Sha256;
use crate::frame::Region;
use crate::protocol::id::CounterId;
use crate::protocol::policy::PolicyDocument;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// A thing in both languages of the notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// 中文
    pub zh: &'static str,
    /// English
    pub en: &'static str,
}

/// One kind of data with its limits, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Key under `privacy.retention`.
    pub key: &'static str,
    /// What it is.
    pub what: Label,
    /// Seconds in one unit of the key.
    pub unit: u64,
    /// Limit that the configuration may not exceed, in seconds.
    pub ceiling: u64,
    /// Limit that the configuration may not fall below, in seconds: what the
    /// program needs to do its work at all.
    pub floor: u64,
}

/// Camera pictures in memory, as the camera sent them.
pub const FRAMES: Limit = Limit {
    key: "frames_seconds",
    what: Label { zh: "内存中的摄像头画面", en: "camera pictures in memory" },
    unit: 1,
    ceiling: 60,
    floor: 5,
};
/// Settlements, from acceptance to pruning.
pub const JOURNAL: Limit = Limit {
    key: "journal_hours",
    what: Label { zh: "核验后的结算记录", en: "settlements, after their verdict" },
    unit: HOUR,
    ceiling: 24 * HOUR,
    floor: HOUR,
};
/// Alerts that the bureau has acknowledged.
pub const ACKNOWLEDGED_ALERTS: Limit = Limit {
    key: "acknowledged_alerts_days",
    what: Label { zh: "医疗保障局已签收的预警", en: "alerts that the bureau has acknowledged" },
    unit: DAY,
    ceiling: 30 * DAY,
    floor: DAY,
};
/// Alerts that wait for the bureau.
pub const WAITING_ALERTS: Limit = Limit {
    key: "waiting_alerts_days",
    what: Label {
        zh: "医疗保障局尚未签收的预警", en: "alerts that the bureau has not acknowledged"
    },
    unit: DAY,
    ceiling: 90 * DAY,
    floor: 7 * DAY,
};
/// Which alert belongs to which settlement, as a keyed hash, for withdrawals.
pub const WITHDRAWAL_LINKS: Limit = Limit {
    key: "withdrawal_links_days",
    what: Label {
        zh: "撤销预警所需的结算号加密散列",
        en: "keyed hashes that lead from a settlement to its alert, for withdrawals",
    },
    unit: DAY,
    ceiling: 180 * DAY,
    floor: DAY,
};

/// That somebody acts for a cardholder during a stay: a keyed hash of their certificate.
/// Kept only by a box that reads the HIS's own messages; the others need not name it.
pub const STAYS: Limit = Limit {
    key: "stays_days",
    what: Label {
        zh: "就诊期间代办人证件的加密散列",
        en: "keyed hashes of the certificates of people who act for a cardholder during a stay",
    },
    unit: DAY,
    ceiling: 180 * DAY,
    floor: DAY,
};

/// Who was expected for a shift at a dialysis room's entrance, and whether they were seen:
/// from the shift's end, so that a session that is billed after it can be judged. Kept only
/// by a box with such an entrance.
pub const ROSTERS: Limit = Limit {
    key: "rosters_hours",
    what: Label {
        zh: "班次结束后的名单（谁应到、是否见到）",
        en: "facts of a shift after its end (who was expected, whether they were seen)",
    },
    unit: HOUR,
    ceiling: 24 * HOUR,
    floor: HOUR,
};

/// Every kind of data that each box keeps for a time. (References are held for one
/// verification and never stored.)
pub const LIMITS: [Limit; 5] = [FRAMES, JOURNAL, ACKNOWLEDGED_ALERTS, WAITING_ALERTS, WITHDRAWAL_LINKS];

/// Kinds of data that a box keeps only if its policy names them.
pub const OPTIONAL_LIMITS: [Limit; 2] = [STAYS, ROSTERS];

/// Every kind of data that some box keeps.
pub fn all_limits() -> impl Iterator<Item = Limit> {
    LIMITS.into_iter().chain(OPTIONAL_LIMITS)
}

/// The bureau: enrolled embeddings, from enrolment.
pub const BUREAU_REFERENCES: Limit = bureau("references_days", "已登记特征", "references", 3650);
/// The bureau: exemptions, from the end that each has. Nothing to set: they go
/// when they are over.
pub const BUREAU_EXEMPTIONS: Limit = bureau("exemptions", "已到期的豁免", "exemptions that are over", 0);
/// The bureau: sessions of the console, and attempts to sign in, from the end that
/// each has (at most a day). Nothing to set: they go when they are over.
pub const BUREAU_SESSIONS: Limit = bureau("sessions", "已结束的登录", "sessions that are over", 0);
/// Years for which a cardholder may be exempted at most; after that somebody
/// decides anew.
pub const EXEMPTION_YEARS: i32 = 2;
/// The bureau: alerts that nobody has decided, withdrawals, words of expiry.
pub const BUREAU_OPEN_ALERTS: Limit =
    bureau("open_alerts_days", "未决预警", "alerts that nobody has decided", 365);
/// The bureau: alerts that somebody decided, with letters, statements and history, from
/// the decision. An administrative offence that harms somebody's life, health or money can
/// be punished for five years (行政处罚法 art. 36); nothing is needed longer than that,
/// unless a case runs.
pub const BUREAU_DECIDED_ALERTS: Limit =
    bureau("decided_alerts_days", "已决预警及其材料", "decided alerts and what belongs to them", 1826);
/// The bureau: declarations of proxies, from the end that each has.
pub const BUREAU_PROXIES: Limit =
    bureau("declared_proxies", "已到期的代办申报", "declarations of proxies that are over", 0);
/// The bureau: countersigned audit heads, and what did not fit them.
pub const BUREAU_AUDIT_HEADS: Limit =
    bureau("audit_heads_days", "会签的审计链头", "countersigned audit heads", 3650);
/// The bureau: policies, notices and calibrations that no alert names.
pub const BUREAU_DOCUMENTS: Limit =
    bureau("documents_days", "无预警引用的文件", "documents that no alert names", 365);
/// The bureau: who did what there.
pub const BUREAU_ACTS: Limit = bureau("acts_days", "操作记录", "the record of who did what", 3650);
/// The bureau: counts of verdicts by day, which are nobody's in particular.
pub const BUREAU_FIGURES: Limit = bureau("figures_days", "按日统计", "counts of verdicts by day", 3650);
/// The bureau: settlement statistics of cardholders that somebody imported, from
/// the end of their month.
pub const BUREAU_SETTLEMENT_FIGURES: Limit =
    bureau("settlement_figures_days", "导入的结算统计", "imported settlement statistics", 1095);

/// The bureau: requests of people about their own data, with the receipts of
/// erasures, from their end.
pub const BUREAU_RIGHTS: Limit =
    bureau("rights_requests_days", "个人权利请求", "requests of people about their own data", 3650);
/// The bureau: cases and the transfers made of them, from their end; one that runs
/// or is under legal hold stays.
pub const BUREAU_CASES: Limit =
    bureau("cases_days", "已结案件及其移送", "cases that have ended, with their transfers", 3650);
/// The bureau: transfers that came in, from their conclusion.
pub const BUREAU_INCOMING: Limit =
    bureau("incoming_transfers_days", "已办结的移入线索", "transfers that came in and are concluded", 3650);
/// The bureau: reports of the public, from their conclusion.
pub const BUREAU_REPORTS: Limit =
    bureau("reports_days", "已办结的举报", "reports of the public that are concluded", 3650);
/// The bureau: facts of check-ins by phone, from the check-in. An inspection of a hospital
/// looks back over a year; photographs are not kept at all.
pub const BUREAU_CHECK_INS: Limit =
    bureau("check_ins_days", "手机核对的事实", "facts of check-ins by phone", 366);

/// Every kind of data that the bureau keeps for a time.
pub const BUREAU_LIMITS: [Limit; 16] = [
    BUREAU_REFERENCES,
    BUREAU_EXEMPTIONS,
    BUREAU_SESSIONS,
    BUREAU_OPEN_ALERTS,
    BUREAU_DECIDED_ALERTS,
    BUREAU_PROXIES,
    BUREAU_AUDIT_HEADS,
    BUREAU_DOCUMENTS,
    BUREAU_CASES,
    BUREAU_INCOMING,
    BUREAU_REPORTS,
    BUREAU_ACTS,
    BUREAU_FIGURES,
    BUREAU_SETTLEMENT_FIGURES,
    BUREAU_RIGHTS,
    BUREAU_CHECK_INS,
];

const fn bureau(key: &'static str, zh: &'static str, en: &'static str, days: u64) -> Limit {
    let floor = if days == 0 { 0 } else { DAY };
    Limit { key, what: Label { zh, en }, unit: DAY, ceiling: days * DAY, floor }
}

/// Years for which the audit log is kept at least (PIPL art. 56 asks it of the
/// records of processing). It holds nothing personal but settlement numbers.
pub const AUDIT_LOG_YEARS: u32 = 3;

/// Years after which files of the audit log are deleted: settlement numbers do
/// not stay for ever.
pub const AUDIT_LOG_CEILING_YEARS: u32 = 10;

/// Days after its review date during which an impact assessment only warns.
pub const ASSESSMENT_GRACE_DAYS: i32 = 30;

/// One thing that must be declared. "PIPL" is 个人信息保护法, "the measures" are
/// 人脸识别技术应用安全管理办法 of 2025.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// Its name on the page for people.
    pub label: Label,
    /// Why it is asked.
    pub why: &'static str,
    /// The rule it comes from.
    pub rule: &'static str,
    /// How it may look in the configuration.
    pub example: &'static str,
}

/// Who is responsible.
pub const CONTROLLER: Item = Item {
    label: Label { zh: "处理者", en: "controller" },
    why: "Who is responsible must be told to everybody concerned.",
    rule: "PIPL art. 17; measures art. 5",
    example: "[privacy] controller = \"某市第一人民医院\"",
};
/// How people reach them.
pub const CONTACT: Item = Item {
    label: Label { zh: "联系方式", en: "contact" },
    why: "People must be able to reach somebody and to use their rights.",
    rule: "PIPL art. 17, 50; measures art. 5",
    example: "[privacy] contact = \"医保办 021-0000 0000\"",
};
/// On what basis.
pub const BASIS: Item = Item {
    label: Label { zh: "合法性基础", en: "lawful basis" },
    why: "Faces are sensitive personal information: they need a lawful basis, a specific purpose and sufficient necessity, or separate consent.",
    rule: "PIPL art. 13, 28, 29; measures art. 4, 6",
    example: "[privacy.basis] kind = \"statutory_duty\", instrument = \"医疗保障基金使用监督管理条例\", article = \"第…条\"",
};
/// Which notice is posted.
pub const NOTICE: Item = Item {
    label: Label { zh: "告知书", en: "notice" },
    why: "Where a camera identifies people, a conspicuous notice must say so, why it is necessary and what it means for them.",
    rule: "PIPL art. 17, 26, 30; measures art. 5, 13",
    example: "[privacy.notice] id = \"N-2026-01\", wording = 1, sha256 = \"(printed by `counterproof policy notice`)\", posted_on = \"2026-11-01\", place = \"结算窗口 1 至 6 号\"",
};
/// Which impact assessment was made.
pub const ASSESSMENT: Item = Item {
    label: Label { zh: "影响评估", en: "impact assessment" },
    why: "An impact assessment must come first, be kept for three years, and be handed in with the filing once faces of 100,000 people are stored.",
    rule: "PIPL art. 55, 56; measures art. 9, 15",
    example: "[privacy.impact_assessment] id = \"PIA-2026-07\", review_by = \"2027-07-01\"",
};
/// What people can do instead.
pub const ALTERNATIVE: Item = Item {
    label: Label { zh: "替代方式", en: "alternative" },
    why: "Face recognition may not be the only way; who does not want it needs another that is reasonable and convenient.",
    rule: "measures art. 10",
    example: "[privacy] alternative = \"出示身份证件，由窗口人员核对\"",
};
/// Which part of each picture is looked at.
pub const CAPTURE_REGION: Item = Item {
    label: Label { zh: "采集区域", en: "capture region" },
    why: "Only what the purpose needs may be looked at, so the part of each picture where faces are looked for is set by somebody, never by default.",
    rule: "PIPL art. 6, 19, 28; measures art. 5, 8, 13",
    example: "[[counters]] region = { x = 0.1, y = 0.0, w = 0.8, h = 1.0 } (shares of width and height; the whole picture is { x = 0, y = 0, w = 1, h = 1 })",
};
/// What a dialysis room's entrance is watched under.
pub const ENTRANCE: Item = Item {
    label: Label { zh: "透析室出入口", en: "dialysis room's entrance" },
    why: "One to few, at a doorway, for a whole shift, is another processing than one to one at a settlement: it needs a basis, a notice and an assessment of its own, or it stays off.",
    rule: "PIPL art. 6, 13, 17, 26, 28, 55; measures art. 4, 5, 9, 13",
    example: "[privacy.entrance.basis] kind = \"statutory_duty\", instrument = \"…\", article = \"…\"; [privacy.entrance.notice] id = \"N-2026-02\", wording = 1, sha256 = \"(printed by `counterproof policy notice --entrance`)\", posted_on = \"2026-11-01\", place = \"透析室入口\"; [privacy.entrance.impact_assessment] id = \"PIA-2026-08\", review_by = \"2027-07-01\"",
};
/// How long each kind of data is kept.
pub const RETENTION: Item = Item {
    label: Label { zh: "保存期限", en: "retention" },
    why: "Nothing may be kept longer than its purpose needs; what is kept is sealed, and each deletion is recorded.",
    rule: "PIPL art. 19, 47; measures art. 8, 14",
    example: "[privacy.retention] frames_seconds = 20, journal_hours = 24, acknowledged_alerts_days = 7, waiting_alerts_days = 90, withdrawal_links_days = 180",
};

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

impl BasisKind {
    /// For people.
    pub fn label(self) -> Label {
        match self {
            Self::StatutoryDuty => Label {
                zh: "履行法定职责或者法定义务所必需",
                en: "necessary for a duty laid down by law",
            },
            Self::PublicInterest => Label {
                zh: "法律、行政法规规定的其他情形",
                en: "another ground laid down by law",
            },
            Self::Consent => {
                Label { zh: "取得个人的单独同意", en: "separate consent of each person" }
            }
        }
    }
}

/// The posted notice. Its text follows from the policy; see `notice`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// Its number.
    pub id: String,
    /// Version of the words it is made with.
    pub wording: Wording,
    /// SHA-256 of its text.
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

impl Assessment {
    /// For how many days its review was due already; zero or less if it was not.
    pub fn overdue_days(&self, today: Date) -> i32 {
        (today - self.review_by).get_days()
    }
}

/// A [`Region`] in thousandths of the picture's width and height. Whole
/// numbers, so that every program writes them, and their digest, alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureRegion {
    /// Left edge.
    pub x: u16,
    /// Upper edge.
    pub y: u16,
    /// Width.
    pub w: u16,
    /// Height.
    pub h: u16,
}

impl CaptureRegion {
    /// The same region, or none if it is empty, reaches outside the picture or
    /// is drawn finer than a thousandth.
    pub fn of(region: Region) -> Option<Self> {
        let thousandths = |share: f32| {
            let exact = share * 1000.0;
            let whole = exact.round();
            ((exact - whole).abs() < 1e-3 && (0.0..=1000.0).contains(&whole)).then_some(whole as u16)
        };
        let Region { x, y, w, h } = region;
        let out = Self { x: thousandths(x)?, y: thousandths(y)?, w: thousandths(w)?, h: thousandths(h)? };
        out.is_valid().then_some(out)
    }

    /// Whether it lies inside the picture and is not empty.
    pub fn is_valid(self) -> bool {
        let inside = |from: u16, size: u16| size > 0 && u32::from(from) + u32::from(size) <= 1000;
        inside(self.x, self.w) && inside(self.y, self.h)
    }
}

/// A policy in which everything that must be declared is declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// Where faces are looked for, by counter.
    pub capture_regions_permille: BTreeMap<CounterId, CaptureRegion>,
    /// Limit in seconds by kind of data.
    pub retention_s: BTreeMap<String, u64>,
    /// What entrances are watched under; none is without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrance: Option<Entrance>,
}

/// What dialysis rooms' entrances are watched under: the exception from one to one has a
/// basis, a notice and an impact assessment of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entrance {
    /// On what basis.
    pub basis: Basis,
    /// Which notice is posted there.
    pub notice: Notice,
    /// Which impact assessment was made.
    pub impact_assessment: Assessment,
    /// Where faces are looked for, by entrance.
    pub capture_regions_permille: BTreeMap<CounterId, CaptureRegion>,
}

impl Entrance {
    /// That of an evaluation, in which nobody passes a door.
    pub fn for_evaluation() -> Self {
        let date = jiff::civil::date(1970, 1, 1);
        let none = || "an evaluation: nobody passes a door".to_owned();
        Self {
            basis: Basis { kind: BasisKind::Consent, instrument: none(), article: none() },
            notice: Notice {
                id: none(),
                wording: Wording::First,
                sha256: Sha256([0; 32]),
                posted_on: date,
                place: none(),
            },
            impact_assessment: Assessment { id: none(), review_by: date },
            capture_regions_permille: BTreeMap::new(),
        }
    }
}

/// What a counter is: whom it looks for, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CounterKind {
    /// One to one, at a settlement.
    #[default]
    SettlementWindow,
    /// One to the roster of a shift, during that shift.
    DialysisEntrance,
}

impl Policy {
    /// For how many days the review of an impact assessment was due already, of the one
    /// that is due longest; zero or less if none was.
    pub fn overdue_days(&self, today: Date) -> i32 {
        let entrance = self.entrance.as_ref().map(|e| e.impact_assessment.overdue_days(today));
        self.impact_assessment.overdue_days(today).max(entrance.unwrap_or(i32::MIN))
    }

    /// The document that stands for this policy: canonical JSON and its digest.
    pub fn document(&self) -> PolicyDocument {
        PolicyDocument::of(json!(self))
    }

    /// SHA-256 of the canonical document: what alerts and postures name.
    pub fn digest(&self) -> Sha256 {
        self.document().digest
    }

    /// The kinds of data that are kept under this policy.
    pub fn limits(&self) -> impl Iterator<Item = Limit> {
        let named = OPTIONAL_LIMITS.into_iter().filter(|l| self.retention_s.contains_key(l.key));
        LIMITS.into_iter().chain(named)
    }

    /// Whether a kind of data is kept at all.
    pub fn keeps(&self, kind: Limit) -> bool {
        self.limits().any(|l| l.key == kind.key)
    }

    /// How long a kind of data may be kept.
    pub fn limit(&self, kind: Limit) -> Duration {
        Duration::from_secs(self.retention_s.get(kind.key).copied().unwrap_or(kind.floor).min(kind.ceiling))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_kept_in_thousandths_or_refused() {
        let region = |x, y, w, h| CaptureRegion::of(Region { x, y, w, h });
        assert_eq!(region(0.1, 0.0, 0.8, 1.0), Some(CaptureRegion { x: 100, y: 0, w: 800, h: 1000 }));
        assert_eq!(CaptureRegion::of(Region::WHOLE), Some(CaptureRegion { x: 0, y: 0, w: 1000, h: 1000 }));
        for (x, y, w, h) in [
            (0.5, 0.0, 0.6, 1.0),
            (0.0, 0.0, 0.0, 1.0),
            (-0.1, 0.0, 0.5, 0.5),
            (0.1234, 0.0, 0.5, 0.5),
            (f32::NAN, 0.0, 0.5, 0.5),
            (0.0, 0.0, f32::INFINITY, 0.5),
        ] {
            assert_eq!(region(x, y, w, h), None, "{x} {y} {w} {h}");
        }
    }

    #[test]
    fn every_item_names_its_rule_and_together_they_name_all_that_ask() {
        let items = [
            CONTROLLER,
            CONTACT,
            BASIS,
            NOTICE,
            ASSESSMENT,
            ALTERNATIVE,
            CAPTURE_REGION,
            ENTRANCE,
            RETENTION,
        ];
        let numbers = |law: &str| -> Vec<u32> {
            let of_item = |item: &Item| {
                let part = item.rule.split("; ").find_map(|p| p.strip_prefix(law)?.strip_prefix(" art. "));
                part.into_iter()
                    .flat_map(|p| p.split(", "))
                    .filter_map(|n| n.parse().ok())
                    .collect::<Vec<u32>>()
            };
            items.iter().flat_map(of_item).collect()
        };
        assert!(items.iter().all(|i| !i.why.is_empty() && i.example.contains(" = ")));
        let (law, measures) = (numbers("PIPL"), numbers("measures"));
        assert!([26, 28, 29, 55].iter().all(|n| law.contains(n)), "{law:?}");
        assert!([5, 8, 9, 10, 13, 14, 15].iter().all(|n| measures.contains(n)), "{measures:?}");
    }
}
