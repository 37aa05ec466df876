//! The words of the notice, by version.
//!
//! A version that was published is never changed: notices made with it hang on
//! walls, and their digests stand in alerts. New words are a new version.
//! Every figure and name comes from the policy; a sentence that the program
//! does not keep must not stand here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::policy::{AUDIT_LOG_YEARS, CaptureRegion, Label, Limit, Policy, ROSTERS};
use crate::protocol::id::CounterId;

const DAY: u64 = 24 * 3600;

/// A version of the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum Wording {
    /// The first.
    First,
}

impl Wording {
    /// For complaints.
    pub const ALLOWED: &'static str = "1 (the version of the notice's wording)";
}

impl From<Wording> for u32 {
    fn from(w: Wording) -> Self {
        match w {
            Wording::First => 1,
        }
    }
}

impl TryFrom<u32> for Wording {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        match number {
            1 => Ok(Self::First),
            _ => Err(format!("found {number}; allowed: {}", Self::ALLOWED)),
        }
    }
}

/// The notice in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// Its language, as HTML names it.
    pub lang: &'static str,
    /// What it is.
    pub title: &'static str,
    /// Which one, and where it hangs.
    pub about: String,
    /// What it says.
    pub sections: Vec<Section>,
}

/// What each notice says of people's rights.
pub(super) const RIGHTS: Label = Label {
    zh: "您可以通过上述联系方式查阅、复制、更正、补充、删除您的个人信息，要求解释说明，拒绝核对；基于同意的，可以随时撤回同意。也可以向网信部门和医疗保障局投诉、举报。",
    en: "Through the contact above you may see, copy, correct, complete or delete your personal information, ask for an explanation, and refuse the check; where it rests on consent, you may withdraw it at any time. You may also complain to the cyberspace administration and to the medical-insurance bureau.",
};

/// One heading with what stands under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The heading.
    pub heading: &'static str,
    /// Paragraphs.
    pub lines: Vec<String>,
}

pub(super) fn section<const N: usize>(heading: &'static str, lines: [String; N]) -> Section {
    Section { heading, lines: lines.into() }
}

/// A limit's figure in the unit of its key.
pub(super) fn figure(limit: &Limit, seconds: u64) -> (u64, Label) {
    let unit = match limit.unit {
        1 => Label { zh: "秒", en: "second" },
        DAY => Label { zh: "天", en: "day" },
        _ => Label { zh: "小时", en: "hour" },
    };
    (seconds / limit.unit, unit)
}

/// As in `20 seconds`, `1 hour`.
pub(super) fn in_english(limit: &Limit, seconds: u64) -> String {
    let (n, unit) = figure(limit, seconds);
    format!("{n} {}{}", unit.en, if n == 1 { "" } else { "s" })
}

/// As in `20 秒`.
pub(super) fn in_chinese(limit: &Limit, seconds: u64) -> String {
    let (n, unit) = figure(limit, seconds);
    format!("{n} {}", unit.zh)
}

/// Thousandths as per cent: `80`, `12.5`.
pub(super) fn percent(thousandths: u16) -> String {
    match thousandths % 10 {
        0 => format!("{}", thousandths / 10),
        tenths => format!("{}.{tenths}", thousandths / 10),
    }
}

/// Each capture region once, with the counters that have it.
pub(super) fn regions(
    all: &BTreeMap<CounterId, CaptureRegion>,
    and: &str,
    one: impl Fn(&str, [String; 4]) -> String,
) -> Vec<String> {
    let mut groups: Vec<(CaptureRegion, Vec<&str>)> = Vec::new();
    for (counter, region) in all {
        match groups.iter_mut().find(|(r, _)| r == region) {
            Some((_, counters)) => counters.push(counter.as_str()),
            None => groups.push((*region, vec![counter.as_str()])),
        }
    }
    groups
        .into_iter()
        .map(|(r, counters)| one(&counters.join(and), [r.x, r.y, r.w, r.h].map(percent)))
        .collect()
}

/// What is kept of people at windows: a roster's data stand in the notice at its entrance.
fn kept(policy: &Policy, one: impl Fn(&Limit, u64) -> String) -> Vec<String> {
    policy
        .limits()
        .filter(|l| l.key != ROSTERS.key)
        .map(|limit| one(&limit, policy.limit(limit).as_secs()))
        .collect()
}

/// The sheets of the notice that `policy` names.
pub(super) fn sheets(policy: &Policy) -> [Sheet; 2] {
    match policy.notice.wording {
        Wording::First => [first_chinese(policy), first_english(policy)],
    }
}

fn first_chinese(p: &Policy) -> Sheet {
    let areas = regions(&p.capture_regions_permille, "、", |counters, [x, y, w, h]| {
        format!("{counters}：从左 {x}%、从上 {y}% 起，宽 {w}%、高 {h}%")
    })
    .join("；");
    let mut limits = kept(p, |limit, s| format!("· {}：最多 {}", limit.what.zh, in_chinese(limit, s)));
    limits.extend([
        "· 本设备取得的已登记特征：只用于本次核验，得出结论即删除，不存储".to_owned(),
        format!("· 审计记录：至少 {AUDIT_LOG_YEARS} 年；除结算号外不含个人信息"),
        "医疗保障局保存的预警和已登记特征，按该局公布的期限保存。".to_owned(),
    ]);
    Sheet {
        lang: "zh-CN",
        title: "医保结算人脸核对告知书",
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
                    "用医保卡在此结算时，核对到场的人是不是持卡人或者其申报的代办人，防止冒用医保卡，保护医保基金和持卡人的权益。".into(),
                    "人脸信息是敏感个人信息。是否冒用，只有把到场的人与持卡人比对才能发现；每次结算只作一次一对一的比对，尽量减少对您的影响。比对不一致时，医疗保障局的工作人员可能向您或者持卡人核实。".into(),
                ],
            ),
            section(
                "三、依据",
                [format!("{}：{} {}", p.basis.kind.label().zh, p.basis.instrument, p.basis.article)],
            ),
            section(
                "四、摄像头做什么",
                [
                    "· 只为一次结算，在结算前后短时间的画面中、下列采集区域内查找人脸，提取现场特征，与持卡人及其申报的代办人的已登记特征比对。比对在本处的设备内完成。".into(),
                    format!("· 采集区域（占画面的比例）：{areas}"),
                    "· 设备为本次结算向医疗保障局取得已登记特征，该局因此得知有一张卡正在此结算；双方都不留存这次查询。".into(),
                ],
            ),
            section(
                "五、摄像头不做什么",
                [
                    "· 没有结算，不查找人脸。".into(),
                    "· 不在多人的人脸库中搜索，不辨认其他人是谁。".into(),
                    "· 画面和现场特征只在内存中，不写入磁盘，不向外发送。".into(),
                    "· 不阻止、不拖延结算，窗口不显示比对结果。".into(),
                ],
            ),
            Section { heading: "六、本设备保存什么、多久", lines: limits },
            section(
                "七、谁收到、谁决定",
                [
                    "只有明确不一致时，设备才向医疗保障局发出一条预警，内容是：结算号、医疗机构、窗口、持卡人编号、时间、金额、医疗类别、比对分和质量数据。预警不含图像，也不含人脸特征。".into(),
                    "预警不是结论。由医疗保障局的工作人员复核并作出决定，程序不作决定。".into(),
                ],
            ),
            section(
                "八、不愿意核对怎么办",
                [format!("您可以选择：{}。选择这一方式，不影响您就医和结算。", p.alternative.trim_end_matches('。'))],
            ),
            section(
                "九、您的权利",
                [
                    RIGHTS.zh.into(),
                ],
            ),
        ],
    }
}

fn first_english(p: &Policy) -> Sheet {
    let areas = regions(&p.capture_regions_permille, ", ", |counters, [x, y, w, h]| {
        format!("{counters}: from {x}% left and {y}% top, {w}% wide and {h}% high")
    })
    .join("; ");
    let mut limits = kept(p, |limit, s| format!("· {}: at most {}", limit.what.en, in_english(limit, s)));
    limits.extend([
        "· enrolled features that this device fetches: for this check alone, deleted with its outcome, never stored".to_owned(),
        format!("· audit records: at least {AUDIT_LOG_YEARS} years; nothing personal in them but settlement numbers"),
        "The bureau keeps alerts and enrolled features for the times that it has made public.".to_owned(),
    ]);
    Sheet {
        lang: "en",
        title: "Notice: faces are checked at settlement",
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
                    "When a medical-insurance card is settled here, it is checked that the person present is the cardholder or somebody the cardholder declared. This is to prevent the use of other people's cards, and to protect the insurance fund and the cardholders.".into(),
                    "Faces are sensitive personal information. That a card is used by another can only be found by comparing the person present with the cardholder; one comparison, one to one, for each settlement keeps the effect on you as small as possible. After a mismatch, staff of the medical-insurance bureau may ask you or the cardholder.".into(),
                ],
            ),
            section(
                "3. On what basis",
                [format!("{}: {} {}", capital(p.basis.kind.label().en), p.basis.instrument, p.basis.article)],
            ),
            section(
                "4. What the camera does",
                [
                    "· For one settlement, in the short time before and after it and inside the capture region, faces are looked for and compared with the enrolled features of the cardholder and of the persons the cardholder declared. The comparison is made inside the device here.".into(),
                    format!("· Capture region (share of the picture): {areas}"),
                    "· For this settlement the device fetches the enrolled features from the medical-insurance bureau, which so learns that a card is being settled here; neither side keeps a record of it.".into(),
                ],
            ),
            section(
                "5. What the camera does not do",
                [
                    "· Without a settlement, no face is looked for.".into(),
                    "· There is no search over the faces of many people, and nobody else is identified.".into(),
                    "· Pictures and live features stay in memory. They are not written to a disk and not sent.".into(),
                    "· Settlement is neither stopped nor delayed, and the window shows no result.".into(),
                ],
            ),
            Section { heading: "6. What this device keeps, and how long", lines: limits },
            section(
                "7. Who is told, and who decides",
                [
                    "Only a clear mismatch sends an alert to the medical-insurance bureau: settlement number, institution, window, the cardholder's number, time, amount, kind of care, comparison score and quality figures. It holds no picture and no facial features.".into(),
                    "An alert is not a finding. A person at the bureau reviews it and decides; the program decides nothing.".into(),
                ],
            ),
            section(
                "8. If you do not want this",
                [format!(
                    "You may choose instead: {}. Your treatment and settlement are not affected by that choice.",
                    p.alternative.trim_end_matches('.')
                )],
            ),
            section(
                "9. Your rights",
                [
                    RIGHTS.en.into(),
                ],
            ),
        ],
    }
}

pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
