//! The words of the notice at a dialysis room's entrance, by version.
//!
//! It is another notice than that at the windows: there one to one at a settlement, here
//! one to few for a whole shift. As with the other, a version that was published is never
//! changed, every figure and name comes from the policy, and a sentence that the program
//! does not keep must not stand here.

use super::policy::{
    ACKNOWLEDGED_ALERTS, AUDIT_LOG_YEARS, Entrance, FRAMES, JOURNAL, Limit, Policy, ROSTERS, WAITING_ALERTS,
    WITHDRAWAL_LINKS,
};
use super::wording::{RIGHTS, Section, Sheet, Wording, capital, in_chinese, in_english, regions, section};
use crate::protocol::roster::MOST;

/// What is kept of people at an entrance.
const KEPT: [Limit; 6] = [FRAMES, ROSTERS, JOURNAL, ACKNOWLEDGED_ALERTS, WAITING_ALERTS, WITHDRAWAL_LINKS];

/// The sheets of the notice that `entrance` names.
pub(super) fn sheets(policy: &Policy, entrance: &Entrance) -> [Sheet; 2] {
    match entrance.notice.wording {
        Wording::First => [first_chinese(policy, entrance), first_english(policy, entrance)],
    }
}

fn first_chinese(p: &Policy, e: &Entrance) -> Sheet {
    let areas = regions(&e.capture_regions_permille, "、", |counters, [x, y, w, h]| {
        format!("{counters}：从左 {x}%、从上 {y}% 起，宽 {w}%、高 {h}%")
    })
    .join("；");
    let one = |l: &Limit| format!("· {}：最多 {}", l.what.zh, in_chinese(l, p.limit(*l).as_secs()));
    let mut limits: Vec<String> = KEPT.iter().map(one).collect();
    limits.extend([
        "· 本设备取得的已登记特征：只用于这一班次，见到本人或者班次结束即删除，不存储".to_owned(),
        format!("· 审计记录：至少 {AUDIT_LOG_YEARS} 年；除结算号外不含个人信息"),
        "医疗保障局保存的预警和已登记特征，按该局公布的期限保存。".to_owned(),
    ]);
    Sheet {
        lang: "zh-CN",
        title: "透析室出入口人脸核对告知书",
        about: format!(
            "编号 {} · 文本版本 {} · 张贴位置：{}",
            e.notice.id,
            u32::from(e.notice.wording),
            e.notice.place
        ),
        sections: vec![
            section(
                "一、谁负责",
                [format!("处理者：{}", p.controller), format!("联系方式：{}", p.contact)],
            ),
            section(
                "二、为什么核对",
                [
                    "透析按次结算。在此核对当班应到的患者是否到过透析室，防止没有人来却记账（虚开项目），保护医保基金和患者的权益。".into(),
                    "人脸信息是敏感个人信息。有没有人来，只有在出入口核对才能发现；只与当班名单比对，见到本人后不再核对，尽量减少对您的影响。".into(),
                ],
            ),
            section(
                "三、依据",
                [format!("{}：{} {}", e.basis.kind.label().zh, e.basis.instrument, e.basis.article)],
            ),
            section(
                "四、摄像头做什么",
                [
                    format!("· 只在有名单的班次内，在下列采集区域内查找经过的人脸，只与当班名单上的患者（最多 {MOST} 人）的已登记特征比对，直到见到本人。比对在本处的设备内完成。"),
                    format!("· 采集区域（占画面的比例）：{areas}"),
                    "· 设备为这一班次向医疗保障局取得名单上患者的已登记特征，该局因此得知这些患者当班应到；双方都不留存这次查询。".into(),
                ],
            ),
            section(
                "五、摄像头不做什么",
                [
                    "· 没有名单，不查找人脸。".into(),
                    "· 不辨认名单以外的人：工作人员、陪护和访客与谁都不相符，不留下任何记录，只计入经过的人数。".into(),
                    "· 画面和现场特征只在内存中，不写入磁盘，不向外发送。对名单上的人，只记下见到与否和时间。".into(),
                    "· 不阻止任何人出入，不影响治疗和结算，不显示结果。".into(),
                ],
            ),
            Section { heading: "六、本设备保存什么、多久", lines: limits },
            section(
                "七、谁收到、谁决定",
                [
                    "只有已经记账、出入口整班得到充分观察而没有见到本人时，设备才向医疗保障局发出一条预警，内容是：结算号、医疗机构、出入口、持卡人编号、时间、金额、医疗类别、班次和观察情况的数字。预警不含图像，也不含人脸特征。".into(),
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

fn first_english(p: &Policy, e: &Entrance) -> Sheet {
    let areas = regions(&e.capture_regions_permille, ", ", |counters, [x, y, w, h]| {
        format!("{counters}: from {x}% left and {y}% top, {w}% wide and {h}% high")
    })
    .join("; ");
    let one = |l: &Limit| format!("· {}: at most {}", l.what.en, in_english(l, p.limit(*l).as_secs()));
    let mut limits: Vec<String> = KEPT.iter().map(one).collect();
    limits.extend([
        "· enrolled features that this device fetches: for this shift alone, deleted once the person was seen or the shift is over, never stored".to_owned(),
        format!("· audit records: at least {AUDIT_LOG_YEARS} years; nothing personal in them but settlement numbers"),
        "The bureau keeps alerts and enrolled features for the times that it has made public.".to_owned(),
    ]);
    Sheet {
        lang: "en",
        title: "Notice: faces are checked at the entrance of the dialysis room",
        about: format!(
            "No. {} · wording {} · posted at: {}",
            e.notice.id,
            u32::from(e.notice.wording),
            e.notice.place
        ),
        sections: vec![
            section(
                "1. Who is responsible",
                [format!("Responsible: {}", p.controller), format!("Contact: {}", p.contact)],
            ),
            section(
                "2. Why",
                [
                    "Dialysis is settled by the session. It is checked here whether the patients who are expected for a shift came to the dialysis room, so that no session is billed to which nobody came, and to protect the insurance fund and the patients.".into(),
                    "Faces are sensitive personal information. Whether somebody came can only be found at the entrance; comparing with the roster of the shift alone, and only until each was seen, keeps the effect on you as small as possible.".into(),
                ],
            ),
            section(
                "3. On what basis",
                [format!("{}: {} {}", capital(e.basis.kind.label().en), e.basis.instrument, e.basis.article)],
            ),
            section(
                "4. What the camera does",
                [
                    format!("· During a shift that has a roster, and inside the capture region, faces that pass are compared with the enrolled features of the patients on that roster (at most {MOST}) and of nobody else, until each was seen. The comparison is made inside the device here."),
                    format!("· Capture region (share of the picture): {areas}"),
                    "· For the shift the device fetches the enrolled features of the patients on the roster from the medical-insurance bureau, which so learns that they are expected; neither side keeps a record of it.".into(),
                ],
            ),
            section(
                "5. What the camera does not do",
                [
                    "· Without a roster, no face is looked for.".into(),
                    "· Nobody else is identified: staff, companions and visitors match nobody and leave no trace but the number of those who passed.".into(),
                    "· Pictures and live features stay in memory. They are not written to a disk and not sent. Of those on the roster, only whether they were seen and when is kept.".into(),
                    "· Nobody is kept from passing; treatment and settlement are not affected, and no result is shown.".into(),
                ],
            ),
            Section { heading: "6. What this device keeps, and how long", lines: limits },
            section(
                "7. Who is told, and who decides",
                [
                    "Only if a session was billed, the entrance was well observed for the whole shift and the person was not seen, an alert is sent to the medical-insurance bureau: settlement number, institution, entrance, the cardholder's number, time, amount, kind of care, the shift, and figures of how the entrance was observed. It holds no picture and no facial features.".into(),
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
