//! `[privacy]` as somebody wrote it, checked against what must be declared.
//!
//! Promises: a [`Policy`] comes out only if nothing is missing, no limit is
//! above its ceiling and the notice that was posted is the one this policy
//! makes; otherwise every complaint at once, each with the rule that asks, and
//! an example. It cannot judge whether the answers are true.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Deserialize;

use super::notice;
use super::policy::{
    ALTERNATIVE, ASSESSMENT, ASSESSMENT_GRACE_DAYS, Assessment, BASIS, Basis, BasisKind, CAPTURE_REGION,
    CONTACT, CONTROLLER, CaptureRegion, CounterKind, ENTRANCE, Entrance, Item, LIMITS, Limit, NOTICE, Notice,
    OPTIONAL_LIMITS, Policy, RETENTION, ROSTERS, all_limits,
};
use super::wording::Wording;
use crate::crypto::Sha256;
use crate::frame::Region;
use crate::protocol::id::CounterId;
use crate::settings::Problem;

/// `[privacy]`; anything may be missing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    controller: Option<String>,
    contact: Option<String>,
    alternative: Option<String>,
    #[serde(default)]
    basis: DeclaredBasis,
    #[serde(default)]
    notice: DeclaredNotice,
    #[serde(default)]
    impact_assessment: DeclaredAssessment,
    #[serde(default)]
    retention: BTreeMap<String, u64>,
    entrance: Option<DeclaredEntrance>,
}

/// `[privacy.entrance]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredEntrance {
    #[serde(default)]
    basis: DeclaredBasis,
    #[serde(default)]
    notice: DeclaredNotice,
    #[serde(default)]
    impact_assessment: DeclaredAssessment,
}

/// The lawful basis, as somebody wrote it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeclaredBasis {
    kind: Option<BasisKind>,
    instrument: Option<String>,
    article: Option<String>,
}

/// The posted notice, as somebody wrote it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeclaredNotice {
    id: Option<String>,
    wording: Option<Wording>,
    sha256: Option<Sha256>,
    posted_on: Option<Date>,
    place: Option<String>,
}

/// The impact assessment, as somebody wrote it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeclaredAssessment {
    id: Option<String>,
    review_by: Option<Date>,
}

/// The kind and the capture region of each counter, in the order of the configuration.
pub type Regions<'a> = &'a [(&'a CounterId, CounterKind, Region)];

/// Where in `[privacy]` what is asked for stands.
pub(super) const ROOT: &str = "";
const AT_ENTRANCE: &str = "entrance.";
/// Where that stands in a box's configuration, and what prints its notice.
const SECTION: &str = "privacy";
const PRINTED_BY: &str = "counterproof policy notice";

impl Declared {
    /// The policy in force, and warnings to be shown.
    ///
    /// # Errors
    /// Everything that is missing or not allowed: what, why it is asked with
    /// the rule, and an example.
    pub fn policy(&self, regions: Regions, today: Date) -> Result<(Policy, Vec<String>), Vec<Problem>> {
        let mut asking = Asking::in_section(SECTION, PRINTED_BY);
        let draft = self.draft_of(regions, today, &mut asking);
        let made = draft.as_ref().map(|d| d.notice.sha256);
        let posted_on = self.notice.posted(ROOT, made, today, &mut asking);
        let entrance = self.entrance.as_ref().map(|e| {
            let made = draft.as_ref().and_then(|d| Some(d.entrance.as_ref()?.notice.sha256));
            e.notice.posted(AT_ENTRANCE, made, today, &mut asking)
        });
        let (Some(mut policy), Some(posted_on), true) = (draft, posted_on, asking.problems.is_empty()) else {
            return Err(asking.problems);
        };
        policy.notice.posted_on = posted_on;
        if let (Some(watched), Some(Some(posted_on))) = (&mut policy.entrance, entrance) {
            watched.notice.posted_on = posted_on;
        }
        Ok((policy, asking.warnings))
    }

    /// The policy as it would be in force if its notice were posted today: what
    /// the notice is printed from.
    ///
    /// # Errors
    /// Everything that is missing or not allowed, but for the notice's digest
    /// and date, which nobody can know before it is printed.
    pub fn draft(&self, regions: Regions, today: Date) -> Result<Policy, Vec<Problem>> {
        let mut asking = Asking::in_section(SECTION, PRINTED_BY);
        match self.draft_of(regions, today, &mut asking) {
            Some(policy) if asking.problems.is_empty() => Ok(policy),
            _ => Err(asking.problems),
        }
    }

    /// None where so much is missing that there is no policy.
    fn draft_of(&self, regions: Regions, today: Date, asking: &mut Asking) -> Option<Policy> {
        let controller = asking.line(&CONTROLLER, "controller", self.controller.as_ref());
        let contact = asking.line(&CONTACT, "contact", self.contact.as_ref());
        let alternative = asking.line(&ALTERNATIVE, "alternative", self.alternative.as_ref());
        let basis = self.basis.read(ROOT, asking);
        let impact_assessment = self.impact_assessment.read(ROOT, today, asking);
        let capture_regions_permille = capture_regions(regions, CounterKind::SettlementWindow, asking);
        let retention_s = self.retention(asking);
        let notice = self.notice.read(ROOT, today, asking);
        let entrance = self.entrance(regions, today, asking);
        let mut policy = Policy {
            controller: controller?,
            contact: contact?,
            alternative: alternative?,
            basis: basis?,
            notice: notice?,
            impact_assessment: impact_assessment?,
            capture_regions_permille: capture_regions_permille?,
            retention_s: retention_s?,
            entrance: entrance?,
        };
        policy.notice.sha256 = notice::of(&policy).digest();
        let entrance = notice::of_entrance(&policy).map(|printed| printed.digest());
        if let (Some(watched), Some(digest)) = (&mut policy.entrance, entrance) {
            watched.notice.sha256 = digest;
        }
        Some(policy)
    }

    /// What entrances are watched under: nothing if there are none; none at all where
    /// something is missing.
    #[allow(clippy::option_option)] // missing, or not asked for
    fn entrance(&self, regions: Regions, today: Date, asking: &mut Asking) -> Option<Option<Entrance>> {
        let kind = CounterKind::DialysisEntrance;
        let named = |limit: &Limit| self.retention.contains_key(limit.key);
        if !regions.iter().any(|(_, k, _)| *k == kind) {
            let unused =
                [("entrance", self.entrance.is_some()), ("retention.rosters_hours", named(&ROSTERS))];
            for (key, _) in unused.into_iter().filter(|(_, is_there)| *is_there) {
                let todo = "Nobody is watched under it: remove it, or say of a counter that it is one.";
                asking.refuse(key, "it", "a counter with kind = \"dialysis-entrance\"".into(), todo.into());
            }
            return Some(None);
        }
        if !named(&ROSTERS) {
            asking.limit(&ROSTERS, None);
        }
        let nothing = DeclaredEntrance::default();
        let declared = self.entrance.as_ref().unwrap_or(&nothing);
        if self.entrance.is_none() {
            asking.missing(&ENTRANCE, "entrance", "a basis, a notice and an impact assessment of its own");
        }
        let basis = declared.basis.read(AT_ENTRANCE, asking);
        let notice = declared.notice.read(AT_ENTRANCE, today, asking);
        let impact_assessment = declared.impact_assessment.read(AT_ENTRANCE, today, asking);
        let capture_regions_permille = capture_regions(regions, kind, asking);
        Some(Some(Entrance {
            basis: basis?,
            notice: notice?,
            impact_assessment: impact_assessment?,
            capture_regions_permille: capture_regions_permille?,
        }))
    }
    /// None where a limit is missing or out of its bounds.
    fn retention(&self, asking: &mut Asking) -> Option<BTreeMap<String, u64>> {
        for key in self.retention.keys().filter(|k| all_limits().all(|l| l.key != **k)) {
            let known = all_limits().map(|l| l.key).collect::<Vec<_>>().join(", ");
            let full = format!("retention.{key}");
            asking.refuse(&full, "a kind of data that is not kept", known, "Remove it.".into());
        }
        let named = OPTIONAL_LIMITS.into_iter().filter(|l| self.retention.contains_key(l.key));
        // First all, so that each is complained about.
        let limits: Vec<_> = LIMITS
            .into_iter()
            .chain(named)
            .map(|limit| {
                asking.limit(&limit, self.retention.get(limit.key)).map(|s| (limit.key.to_owned(), s))
            })
            .collect();
        limits.into_iter().collect()
    }
}

impl DeclaredBasis {
    pub(super) fn read(&self, at: &str, asking: &mut Asking) -> Option<Basis> {
        let kinds = "statutory_duty, public_interest or consent";
        let kind = asking.given(&BASIS, &format!("{at}basis.kind"), self.kind, kinds);
        let instrument = asking.line(&BASIS, &format!("{at}basis.instrument"), self.instrument.as_ref());
        let article = asking.line(&BASIS, &format!("{at}basis.article"), self.article.as_ref());
        Some(Basis { kind: kind?, instrument: instrument?, article: article? })
    }
}

impl DeclaredNotice {
    /// With a digest that is still to be made, and today's date where none is given.
    pub(super) fn read(&self, at: &str, today: Date, asking: &mut Asking) -> Option<Notice> {
        let id = asking.line(&NOTICE, &format!("{at}notice.id"), self.id.as_ref());
        let place = asking.line(&NOTICE, &format!("{at}notice.place"), self.place.as_ref());
        let wording = asking.given(&NOTICE, &format!("{at}notice.wording"), self.wording, Wording::ALLOWED);
        Some(Notice {
            id: id?,
            wording: wording?,
            sha256: Sha256([0; 32]),
            posted_on: self.posted_on.unwrap_or(today),
            place: place?,
        })
    }

    /// Since when it is posted, if it is the text that the policy makes.
    pub(super) fn posted(
        &self,
        at: &str,
        made: Option<Sha256>,
        today: Date,
        asking: &mut Asking,
    ) -> Option<Date> {
        let key = format!("{at}notice.posted_on");
        let posted_on = asking.given(&NOTICE, &key, self.posted_on, "a date");
        if let Some(date) = posted_on.filter(|d| *d > today) {
            asking.refuse(&key, date, format!("{today} or before"), "Post the notice first.".into());
        }
        let option = if at == AT_ENTRANCE { " --entrance" } else { "" };
        let key = format!("{at}notice.sha256");
        match made {
            Some(made) => asking.posted_text(&key, option, self.sha256, made),
            None if self.sha256.is_none() => {
                let allowed = format!("the digest that `{}{option}` prints", asking.printed_by);
                asking.missing(&NOTICE, &key, &allowed);
            }
            None => {}
        }
        posted_on
    }
}

impl DeclaredAssessment {
    pub(super) fn read(&self, at: &str, today: Date, asking: &mut Asking) -> Option<Assessment> {
        let key = format!("{at}impact_assessment.review_by");
        let id = asking.line(&ASSESSMENT, &format!("{at}impact_assessment.id"), self.id.as_ref());
        let review_by = asking.given(&ASSESSMENT, &key, self.review_by, "a date");
        let assessment = Assessment { id: id?, review_by: review_by? };
        let overdue = assessment.overdue_days(today);
        if overdue > ASSESSMENT_GRACE_DAYS {
            asking.refuse(
                &key,
                format!("{} ({overdue} days ago)", assessment.review_by),
                format!("at most {ASSESSMENT_GRACE_DAYS} days ago"),
                format!("Review the impact assessment and write the new date ({}).", ASSESSMENT.rule),
            );
        } else if overdue > 0 {
            asking.warnings.push(format!(
                "the impact assessment {} was due for review on {}; from {ASSESSMENT_GRACE_DAYS} days after that date the program does not start",
                assessment.id, assessment.review_by
            ));
        }
        Some(assessment)
    }
}

/// None where one is missing or not allowed.
fn capture_regions(
    regions: Regions,
    kind: CounterKind,
    asking: &mut Asking,
) -> Option<BTreeMap<CounterId, CaptureRegion>> {
    let one = |(i, (counter, _, region)): (usize, &(&CounterId, CounterKind, Region))| {
        let allowed = CaptureRegion::of(*region);
        if allowed.is_none() {
            let found = if *region == Region::NONE {
                format!("nothing for counter {counter}")
            } else {
                let Region { x, y, w, h } = region;
                format!("{{ x = {x}, y = {y}, w = {w}, h = {h} }}")
            };
            let allowed = "x, y, w, h as shares (0 to 1, at most three decimals) inside the picture";
            let key = format!("counters[{i}].region");
            asking.problems.push(Problem::new(&key, found, allowed, advice(&CAPTURE_REGION)));
        }
        allowed.map(|r| ((*counter).clone(), r))
    };
    // First all, so that each is complained about.
    let all: Vec<_> = regions.iter().enumerate().filter(|(_, (_, k, _))| *k == kind).map(one).collect();
    all.into_iter().collect()
}

fn advice(item: &Item) -> String {
    format!("{} ({}) Example: {}", item.why, item.rule, item.example)
}

/// What was complained about so far, in one section of a configuration.
pub(super) struct Asking {
    section: &'static str,
    /// What prints the notice.
    printed_by: &'static str,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
}

impl Asking {
    /// Nothing yet.
    pub(super) const fn in_section(section: &'static str, printed_by: &'static str) -> Self {
        Self { section, printed_by, problems: Vec::new(), warnings: Vec::new() }
    }

    /// The rule behind a key, with an example from this section.
    fn advice(&self, item: &Item) -> String {
        advice(item).replace("[privacy", &format!("[{}", self.section)).replace(PRINTED_BY, self.printed_by)
    }

    fn refuse(&mut self, key: &str, found: impl std::fmt::Display, allowed: String, advice: String) {
        self.problems.push(Problem::new(&format!("{}.{key}", self.section), found, allowed, advice));
    }

    fn missing(&mut self, item: &Item, key: &str, allowed: &str) {
        let advice = self.advice(item);
        self.refuse(key, "nothing", allowed.into(), advice);
    }

    fn given<T>(&mut self, item: &Item, key: &str, value: Option<T>, allowed: &str) -> Option<T> {
        if value.is_none() {
            self.missing(item, key, allowed);
        }
        value
    }

    /// A line of text: it is printed, so a line break could pass for the program's own words.
    pub(super) fn line(&mut self, item: &Item, key: &str, value: Option<&String>) -> Option<String> {
        let trimmed = value.map(|v| v.trim()).filter(|v| !v.is_empty());
        match trimmed {
            None => self.missing(item, key, "a line of text"),
            Some(v) if v.contains(char::is_control) => {
                let advice = self.advice(item);
                self.refuse(key, "several lines or a control character", "a line of text".into(), advice);
                return None;
            }
            Some(_) => {}
        }
        trimmed.map(str::to_owned)
    }

    fn limit(&mut self, limit: &Limit, value: Option<&u64>) -> Option<u64> {
        let key = format!("retention.{}", limit.key);
        let allowed = format!("{} to {}", limit.floor / limit.unit, limit.ceiling / limit.unit);
        let Some(value) = value else {
            let asked = format!("Say how long {} are kept. {}", limit.what.en, advice(&RETENTION));
            self.refuse(&key, "nothing", allowed, asked);
            return None;
        };
        let seconds = value.saturating_mul(limit.unit);
        if (limit.floor..=limit.ceiling).contains(&seconds) {
            return Some(seconds);
        }
        let bounds = "The ceilings are part of the program (src/privacy/policy.rs).";
        self.refuse(&key, value, allowed, format!("{bounds} {}", advice(&RETENTION)));
        None
    }

    /// The posted text must be the one that the policy makes.
    fn posted_text(&mut self, key: &str, option: &str, declared: Option<Sha256>, made: Sha256) {
        if declared == Some(made) {
            return;
        }
        let found = declared.map_or_else(|| "nothing".to_owned(), |d| d.to_string());
        let todo = format!(
            "What is posted and what is enforced must be the same text: print the new notice with \
             `{}{option} --config FILE`, post it, and write the digest that it prints.",
            self.printed_by
        );
        let allowed = format!("{made}, the digest of the notice that this policy makes");
        let advice = self.advice(&NOTICE);
        self.refuse(key, found, allowed, format!("{todo} {advice}"));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::privacy::policy::ACKNOWLEDGED_ALERTS;

    pub(in crate::privacy) const TODAY: Date = jiff::civil::date(2026, 11, 22);

    const WHOLE: &str = r#"
        controller = "hospital"
        contact = "office"
        alternative = "show an identity card"
        [basis]
        kind = "statutory_duty"
        instrument = "regulation"
        article = "1"
        [notice]
        id = "N1"
        wording = 1
        sha256 = "DIGEST"
        posted_on = "2026-11-01"
        place = "window 1"
        [impact_assessment]
        id = "A1"
        review_by = "2027-01-01"
        [retention]
        frames_seconds = 21
        journal_hours = 23
        acknowledged_alerts_days = 6
        waiting_alerts_days = 89
        withdrawal_links_days = 179
        "#;

    const WINDOW: CounterKind = CounterKind::SettlementWindow;
    const FIRST: Region = Region { x: 0.1, y: 0.0, w: 0.8, h: 1.0 };

    fn judge(text: &str, first: Region) -> Result<(Policy, Vec<String>), Vec<Problem>> {
        let (w01, w02) = ("w01".parse().unwrap(), "w02".parse().unwrap());
        let declared: Declared = toml::from_str(text).unwrap();
        declared.policy(&[(&w01, WINDOW, first), (&w02, WINDOW, Region::WHOLE)], TODAY)
    }

    fn policy(text: &str) -> Result<(Policy, Vec<String>), Vec<Problem>> {
        judge(text, FIRST)
    }

    /// The text with the digest of the notice that it makes, if it makes one.
    fn signed(text: &str) -> String {
        let (w01, w02) = ("w01".parse().unwrap(), "w02".parse().unwrap());
        let unsigned = text.replace("sha256 = \"DIGEST\"\n", "");
        let declared: Declared = toml::from_str(&unsigned).unwrap();
        let made = declared.draft(&[(&w01, WINDOW, FIRST), (&w02, WINDOW, Region::WHOLE)], TODAY);
        let digest = made.map_or_else(|_| Sha256([0; 32]), |p| p.notice.sha256);
        text.replace("DIGEST", &digest.to_string())
    }

    /// A policy in force, with one thing written otherwise.
    pub(in crate::privacy) fn with(from: &str, to: &str) -> Policy {
        assert!(WHOLE.contains(from), "{from}");
        policy(&signed(&WHOLE.replace(from, to))).unwrap().0
    }

    fn only(text: &str) -> Problem {
        let mut problems = policy(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems.remove(0)
    }

    #[test]
    fn nothing_declared_names_everything_that_is_missing() {
        let keys: Vec<String> = policy("").unwrap_err().into_iter().map(|p| p.key).collect();
        for line in WHOLE.lines().filter_map(|l| l.trim().split_once(" = ")) {
            assert!(keys.iter().any(|k| k.ends_with(line.0)), "{}: {keys:?}", line.0);
        }
    }

    #[test]
    fn each_key_alone_is_asked_for_with_its_rule_and_an_example() {
        let whole = signed(WHOLE);
        assert!(policy(&whole).is_ok());
        let mut section = String::new();
        let mut asked = 0;
        for line in whole.lines().map(str::trim).filter(|l| !l.is_empty()) {
            if let Some(name) = line.strip_prefix('[') {
                section = format!("{}.", name.trim_end_matches(']'));
                continue;
            }
            let key = line.split(" = ").next().unwrap();
            let problem = only(&whole.replace(line, ""));
            assert_eq!(problem.key, format!("privacy.{section}{key}"));
            assert_eq!(problem.found, "nothing", "{problem:?}");
            assert!(problem.advice.contains("PIPL art. ") || problem.advice.contains("measures art. "));
            let example = problem.advice.split("Example: ").nth(1).unwrap();
            assert!(example.contains(&format!("{key} = ")), "{key}: {example}");
            asked += 1;
        }
        assert_eq!(asked, 18);
    }

    #[test]
    fn an_empty_or_broken_line_is_refused() {
        let whole = signed(WHOLE);
        for (line, key) in [
            ("controller = \"hospital\"", "privacy.controller"),
            ("article = \"1\"", "privacy.basis.article"),
            ("place = \"window 1\"", "privacy.notice.place"),
            ("id = \"A1\"", "privacy.impact_assessment.id"),
        ] {
            for value in ["", "  ", "two\\nlines", "a\\u0007bell"] {
                let name = line.split(" = ").next().unwrap();
                let problem = only(&whole.replace(line, &format!("{name} = \"{value}\"")));
                assert_eq!(problem.key, key);
            }
        }
    }

    #[test]
    fn a_counter_without_a_region_is_refused_by_the_rule() {
        let whole = signed(WHOLE);
        let problem = judge(&whole, Region::NONE).unwrap_err().remove(0);
        assert_eq!(
            (problem.key.as_str(), problem.found.as_str()),
            ("counters[0].region", "nothing for counter w01")
        );
        assert!(problem.advice.contains("PIPL art. 6, 19, 28; measures art. 5, 8, 13"), "{problem:?}");
        assert!(problem.advice.contains("region = { x = "), "{problem:?}");
        let outside = judge(&whole, Region { x: 0.5, ..Region::WHOLE }).unwrap_err().remove(0);
        assert_eq!(outside.found, "{ x = 0.5, y = 0, w = 1, h = 1 }");
    }

    #[test]
    fn no_limit_passes_its_ceiling_or_falls_below_its_floor() {
        for limit in LIMITS {
            let line = WHOLE.lines().find(|l| l.contains(limit.key)).unwrap();
            let with =
                |units: u64| policy(&signed(&WHOLE.replace(line, &format!("{} = {units}", limit.key))));
            let (floor, ceiling) = (limit.floor / limit.unit, limit.ceiling / limit.unit);
            for good in [floor, ceiling] {
                let policy = with(good).unwrap().0;
                assert_eq!(policy.limit(limit), Duration::from_secs(good * limit.unit));
            }
            for bad in [0, floor - 1, ceiling + 1, u64::MAX >> 1] {
                let problem = with(bad).unwrap_err().remove(0);
                assert_eq!(problem.key, format!("privacy.retention.{}", limit.key));
                assert_eq!(problem.allowed, format!("{floor} to {ceiling}"));
                assert!(problem.advice.contains("PIPL art. 19"), "{problem:?}");
            }
        }
    }

    #[test]
    fn a_kind_of_data_that_is_not_kept_is_refused() {
        let problem = only(&signed(WHOLE).replace("[retention]", "[retention]\nfaces_days = 1"));
        assert_eq!(problem.key, "privacy.retention.faces_days");
    }

    #[test]
    fn a_policy_that_no_longer_fits_the_posted_notice_is_refused() {
        let whole = signed(WHOLE);
        for (from, to) in [("\"office\"", "\"desk\""), ("frames_seconds = 21", "frames_seconds = 20")] {
            let problem = only(&whole.replace(from, to));
            assert_eq!(problem.key, "privacy.notice.sha256");
            assert!(problem.advice.contains("counterproof policy notice"), "{problem:?}");
            let digest = with(from, to).notice.sha256.to_string();
            assert!(problem.allowed.starts_with(&digest), "{problem:?}");
        }
        let moved = judge(&whole, Region { x: 0.2, ..FIRST }).unwrap_err().remove(0);
        assert_eq!(moved.key, "privacy.notice.sha256");
        let tomorrow = only(&whole.replace("2026-11-01", "2026-11-23"));
        assert_eq!(tomorrow.key, "privacy.notice.posted_on");
    }

    #[test]
    fn an_overdue_assessment_warns_for_thirty_days_and_then_refuses() {
        let due = |date: &str| policy(&signed(WHOLE).replace("2027-01-01", date));
        assert_eq!(due("2026-11-22").unwrap().1.len(), 0);
        assert_eq!(due("2026-11-21").unwrap().1.len(), 1);
        assert_eq!(due("2026-10-23").unwrap().1.len(), 1);
        for late in ["2026-10-22", "2024-10-22"] {
            let problem = due(late).unwrap_err().remove(0);
            assert_eq!(problem.key, "privacy.impact_assessment.review_by");
            assert!(problem.advice.contains("PIPL art. 55"), "{problem:?}");
        }
    }

    #[test]
    fn the_digest_changes_with_anything_declared() {
        let base = with("hospital", "hospital");
        let others = [
            ("hospital", "clinic"),
            ("acknowledged_alerts_days = 6", "acknowledged_alerts_days = 5"),
            ("2027-01-01", "2027-01-02"),
            ("2026-11-01", "2026-11-02"),
            ("statutory_duty", "consent"),
        ];
        for (from, to) in others {
            assert_ne!(with(from, to).digest(), base.digest(), "{from}");
        }
        let fewer = with("acknowledged_alerts_days = 6", "acknowledged_alerts_days = 5");
        assert_eq!(fewer.limit(ACKNOWLEDGED_ALERTS), Duration::from_secs(5 * 86_400));
    }

    #[test]
    fn a_policy_is_read_back_from_its_document() {
        let policy = with("hospital", "某市第一人民医院");
        let document = policy.document();
        assert_eq!(serde_json::from_str::<Policy>(&document.canonical()).unwrap(), policy);
        assert_eq!(policy.digest(), Sha256::of(document.canonical().as_bytes()));
        assert!(!document.canonical().contains('.'), "a fraction has many ways to be written: {document:?}");
    }
}
