//! What somebody signs for before the bureau takes photographs from phones, and the
//! notice that follows from it.
//!
//! Promises: a [`CheckInPolicy`] comes out only if nothing is missing and the notice that
//! was posted is the one that this declaration makes, word for word; otherwise every
//! complaint at once, each with the rule that asks. It is a purpose of its own: a box's
//! policy does not stand for it. It cannot judge whether the answers are true.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::declared::{Asking, DeclaredAssessment, DeclaredBasis, DeclaredNotice, ROOT};
use super::notice::Printed;
use super::policy::{ALTERNATIVE, Assessment, BUREAU_CHECK_INS, Basis, CONTACT, CONTROLLER, Notice};
use super::wording::{RIGHTS, Sheet, Wording, capital, in_chinese, in_english, section};
use crate::settings::Problem;

/// Where it stands in the bureau's configuration, and what prints its notice.
const SECTION: &str = "check_ins.privacy";
const PRINTED_BY: &str = "counterproof-bureau check-ins notice";

/// What `[check_ins.privacy]` declares; anything may be missing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredCheckIns {
    controller: Option<String>,
    contact: Option<String>,
    alternative: Option<String>,
    #[serde(default)]
    basis: DeclaredBasis,
    #[serde(default)]
    notice: DeclaredNotice,
    #[serde(default)]
    impact_assessment: DeclaredAssessment,
}

/// A declaration in which everything is declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckInPolicy {
    /// Who is responsible.
    pub controller: String,
    /// How people reach them.
    pub contact: String,
    /// What people can do instead.
    pub alternative: String,
    /// On what basis.
    pub basis: Basis,
    /// Which notice is posted.
    pub notice: Notice,
    /// Which impact assessment was made.
    pub impact_assessment: Assessment,
    /// How long the fact of a check-in is kept, in seconds.
    pub kept_s: u64,
}

impl DeclaredCheckIns {
    /// The policy in force, and warnings to be shown; facts are kept for `kept_s` seconds.
    ///
    /// # Errors
    /// Everything that is missing or not allowed.
    pub fn policy(&self, kept_s: u64, today: Date) -> Result<(CheckInPolicy, Vec<String>), Vec<Problem>> {
        let mut asking = Asking::in_section(SECTION, PRINTED_BY);
        let draft = self.draft_of(kept_s, today, &mut asking);
        let made = draft.as_ref().map(|d| d.notice.sha256);
        let posted_on = self.notice.posted(ROOT, made, today, &mut asking);
        let (Some(mut policy), Some(posted_on), true) = (draft, posted_on, asking.problems.is_empty()) else {
            return Err(asking.problems);
        };
        policy.notice.posted_on = posted_on;
        Ok((policy, asking.warnings))
    }

    /// The policy as it would be in force if its notice were posted today: what the notice
    /// is printed from.
    ///
    /// # Errors
    /// Everything that is missing but the notice's digest and date.
    pub fn draft(&self, kept_s: u64, today: Date) -> Result<CheckInPolicy, Vec<Problem>> {
        let mut asking = Asking::in_section(SECTION, PRINTED_BY);
        match self.draft_of(kept_s, today, &mut asking) {
            Some(policy) if asking.problems.is_empty() => Ok(policy),
            _ => Err(asking.problems),
        }
    }

    fn draft_of(&self, kept_s: u64, today: Date, asking: &mut Asking) -> Option<CheckInPolicy> {
        let controller = asking.line(&CONTROLLER, "controller", self.controller.as_ref());
        let contact = asking.line(&CONTACT, "contact", self.contact.as_ref());
        let alternative = asking.line(&ALTERNATIVE, "alternative", self.alternative.as_ref());
        let basis = self.basis.read(ROOT, asking);
        let impact_assessment = self.impact_assessment.read(ROOT, today, asking);
        let notice = self.notice.read(ROOT, today, asking);
        let mut policy = CheckInPolicy {
            controller: controller?,
            contact: contact?,
            alternative: alternative?,
            basis: basis?,
            notice: notice?,
            impact_assessment: impact_assessment?,
            kept_s,
        };
        policy.notice.sha256 = policy.printed().digest();
        Some(policy)
    }
}

impl CheckInPolicy {
    /// The notice, Chinese first.
    pub fn printed(&self) -> Printed {
        let sheets = match self.notice.wording {
            Wording::First => [chinese(self), english(self)],
        };
        Printed::of_sheets(sheets)
    }
}

fn chinese(p: &CheckInPolicy) -> Sheet {
    let kept = in_chinese(&BUREAU_CHECK_INS, p.kept_s);
    Sheet {
        lang: "zh-CN",
        title: "查房和签到人脸核对告知书",
        about: format!(
            "编号 {} · 文本版本 {} · 张贴位置：{}",
            p.notice.id,
            u32::from(p.notice.wording),
            p.notice.place
        ),
        sections: vec![
            section(
                "一、谁负责",
                [format!("处理者：{}", p.controller), format!("联系方式：{}", p.contact)],
            ),
            section(
                "二、为什么核对",
                [
                    "查房时核对住院的人是不是登记住院的持卡人，医师签到时核对到岗的人是不是本人，防止冒名住院、挂床住院和虚假出诊，保护医保基金和持卡人的权益。".into(),
                    "人脸信息是敏感个人信息。每次只拍一张照片，只与一个人比对一次，尽量减少对您的影响。".into(),
                ],
            ),
            section(
                "三、依据",
                [format!("{}：{} {}", p.basis.kind.label().zh, p.basis.instrument, p.basis.article)],
            ),
            section(
                "四、怎么核对",
                [
                    "· 工作人员当面用手机拍一张照片，加密传送到医疗保障局，在内存中与所报编号的已登记特征比对一次。".into(),
                    "· 不在多人的人脸库中搜索，不辨认其他人是谁。".into(),
                    "· 一张照片的结论不是处理决定，不产生预警，也不产生案件。".into(),
                ],
            ),
            section(
                "五、保存什么、多久",
                [
                    "· 照片和现场特征：只在内存中，得出结论即清除，不写入磁盘。".into(),
                    format!("· 核对的事实（编号、时间、地点、用途、操作人、结论、比对分所在区间）：最多 {kept}；其中编号、地点和区间加密保存。"),
                ],
            ),
            section(
                "六、不愿意核对怎么办",
                [format!("您可以选择：{}。选择这一方式，不影响您就医和工作。", p.alternative.trim_end_matches('。'))],
            ),
            section(
                "七、您的权利",
                [
                    RIGHTS.zh.into(),
                ],
            ),
        ],
    }
}

fn english(p: &CheckInPolicy) -> Sheet {
    let kept = in_english(&BUREAU_CHECK_INS, p.kept_s);
    Sheet {
        lang: "en",
        title: "Notice: faces are checked at ward rounds and sign-in",
        about: format!(
            "No. {} · wording {} · posted at: {}",
            p.notice.id,
            u32::from(p.notice.wording),
            p.notice.place
        ),
        sections: vec![
            section(
                "1. Who is responsible",
                [format!("Responsible: {}", p.controller), format!("Contact: {}", p.contact)],
            ),
            section(
                "2. Why",
                [
                    "On a ward round it is checked that the person in the bed is the cardholder who was admitted; when a doctor signs in, that it is the doctor. This is to prevent stays under another's name, empty beds that are billed and attendance that is made up, and to protect the insurance fund and the cardholders.".into(),
                    "Faces are sensitive personal information. One photograph is taken each time, and compared once with one person, to keep the effect on you as small as possible.".into(),
                ],
            ),
            section(
                "3. On what basis",
                [format!("{}: {} {}", capital(p.basis.kind.label().en), p.basis.instrument, p.basis.article)],
            ),
            section(
                "4. How it is checked",
                [
                    "· Staff take one photograph with a telephone in your presence. It is sent encrypted to the medical-insurance bureau and compared there in memory, once, with the enrolled features under the number that was given.".into(),
                    "· There is no search over the faces of many people, and nobody else is identified.".into(),
                    "· What one photograph says decides nothing: no alert and no case comes of it.".into(),
                ],
            ),
            section(
                "5. What is kept, and how long",
                [
                    "· Photograph and live features: in memory alone, wiped with the outcome, never written to a disk.".into(),
                    format!("· The fact (number, time, place, purpose, who did it, outcome, band of the comparison score): at most {kept}; number, place and band are sealed."),
                ],
            ),
            section(
                "6. If you do not want this",
                [format!(
                    "You may choose instead: {}. Your treatment and your work are not affected by that choice.",
                    p.alternative.trim_end_matches('.')
                )],
            ),
            section(
                "7. Your rights",
                [
                    RIGHTS.en.into(),
                ],
            ),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Date = jiff::civil::date(2026, 11, 23);
    const KEPT: u64 = 77 * 86_400;
    const WHOLE: &str = r#"
        controller = "hospital"
        contact = "office"
        alternative = "show a wristband"
        [basis]
        kind = "statutory_duty"
        instrument = "regulation"
        article = "1"
        [notice]
        id = "N9"
        wording = 1
        sha256 = "DIGEST"
        posted_on = "2026-11-01"
        place = "ward 3"
        [impact_assessment]
        id = "A9"
        review_by = "2027-01-01"
        "#;

    fn declared(text: &str) -> DeclaredCheckIns {
        toml::from_str(text).unwrap()
    }

    fn signed() -> String {
        let draft = declared(&WHOLE.replace("sha256 = \"DIGEST\"", "")).draft(KEPT, TODAY).unwrap();
        WHOLE.replace("DIGEST", &draft.notice.sha256.to_string())
    }

    #[test]
    fn each_line_alone_is_asked_for_by_its_key() {
        let whole = signed();
        let (policy, warnings) = declared(&whole).policy(KEPT, TODAY).unwrap();
        assert!(warnings.is_empty() && policy.notice.posted_on.to_string() == "2026-11-01");
        for line in whole.lines().map(str::trim).filter(|l| l.contains(" = ")) {
            let problems = declared(&whole.replace(line, "")).policy(KEPT, TODAY).unwrap_err();
            let key = line.split(" = ").next().unwrap();
            assert!(
                problems[0].key.starts_with("check_ins.privacy.") && problems[0].key.ends_with(key),
                "{problems:?}"
            );
            assert!(!problems[0].advice.contains("[privacy"), "{problems:?}");
        }
    }

    #[test]
    fn another_limit_is_another_notice_and_an_old_assessment_is_refused() {
        let whole = declared(&signed());
        let problem = whole.policy(KEPT + 86_400, TODAY).unwrap_err().remove(0);
        assert_eq!(problem.key, "check_ins.privacy.notice.sha256");
        assert!(problem.advice.contains("counterproof-bureau check-ins notice"), "{problem:?}");
        let later = whole.policy(KEPT, jiff::civil::date(2027, 1, 5)).unwrap();
        assert_eq!(later.1.len(), 1);
        let problem = whole.policy(KEPT, jiff::civil::date(2027, 3, 1)).unwrap_err().remove(0);
        assert_eq!(problem.key, "check_ins.privacy.impact_assessment.review_by");
    }

    #[test]
    fn the_notice_says_every_name_and_the_limit_in_both_languages() {
        let text = declared(&signed()).policy(KEPT, TODAY).unwrap().0.printed().text();
        let (chinese, english) = text.split_once("\n\n\n").unwrap();
        for name in ["hospital", "office", "show a wristband", "regulation", "N9", "ward 3"] {
            assert!(chinese.contains(name) && english.contains(name), "{name}");
        }
        assert!(chinese.contains("最多 77 天") && english.contains("at most 77 days"));
    }
}
