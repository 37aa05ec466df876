//! Every sentence of the console, in both languages side by side.
//!
//! A page takes its words from here alone. A message that one language lacks
//! does not compile; a test finds empty ones.

use crate::http::language::Language;

macro_rules! messages {
    ($($name:ident: $chinese:literal, $english:literal;)*) => {
        /// The sentences in one language.
        pub(super) struct Messages {
            $(pub(super) $name: &'static str,)*
        }

        const CHINESE: Messages = Messages { $($name: $chinese,)* };
        const ENGLISH: Messages = Messages { $($name: $english,)* };

        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $chinese, $english),)*];
    };
}

messages! {
    title: "终端", "Boxes";
    subtitle: "医疗保障局 · counterproof", "Bureau · counterproof";
    other_language: "English", "中文";
    boxes: "终端", "Boxes";
    no_boxes: "尚未登记终端。用 counterproof-bureau agents add 登记。",
        "No box is on record. Add one with counterproof-bureau agents add.";
    hospital: "医疗机构", "Hospital";
    state: "状态", "State";
    box_name: "终端", "Box";
    active: "在用", "Active";
    silent: "无消息", "Silent";
    suspended: "已暂停", "Suspended";
    last_posture: "最近报告", "Last report";
    never: "从未", "Never";
    version: "版本", "Version";
    waiting: "待送达 / 搁置", "Waiting / set aside";
    held: "已收 / 缺口 / 已过期 / 不符", "Held / gaps / expired / misfits";
    audit_cut_short: "审计日志被截短，记录号：", "The audit log was cut short, record:";
    audit_rewritten: "审计日志被改写，记录号：", "The audit log was rewritten, record:";
    new_epoch: "审计日志新纪元始于：", "New audit epoch since";
    liveness: "活体检测", "Liveness";
    commissioning: "投用", "Commissioning";
    mode_armed: "已投用，会预警", "Armed, raises alerts";
    mode_never: "试运行，尚未签署", "In shadow, never commissioned";
    mode_other_calibration: "试运行，标定已更换", "In shadow, another calibration";
    mode_other_model: "试运行，模型已更换", "In shadow, another model";
    mode_drift: "试运行，数据偏移", "In shadow, its figures drifted";
    mode_revoked: "试运行，签署已撤回", "In shadow, revoked";
    mode_unverified: "试运行，签名不符", "In shadow, the signature does not count";
    policy: "隐私策略", "Policy";
    policy_declared: "与申报一致", "As declared";
    policy_other: "与申报不符", "Not as declared";
    policy_undeclared: "未申报", "None declared";
    troubles: "问题", "Troubles";
    none: "无", "None";
    verdicts: "核验结论", "Verdicts";
    clock_note: "时间均为北京时间（UTC+8）。", "All times are China time (UTC+8).";
    kept_references: "已登记特征保存期限（天）：", "References are kept for (days):";
    kept_alerts: "未复核预警保存期限（天）：", "Alerts without a decision are kept for (days):";
    last_purge: "最近一次到期清除：", "Limits last carried out:";
}

impl Messages {
    /// The sentences in `language`.
    pub(super) const fn of(language: Language) -> &'static Self {
        match language {
            Language::Chinese => &CHINESE,
            Language::English => &ENGLISH,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_have_every_message() {
        let is_chinese = |t: &str| t.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        for (name, chinese, english) in ALL {
            assert!(!chinese.trim().is_empty() && !english.trim().is_empty(), "{name} is empty");
            // The switch names the other language in that language.
            if *name != "other_language" {
                assert!(is_chinese(chinese), "{name}: {chinese}");
                assert!(!is_chinese(english), "{name}: {english}");
            }
        }
    }

    #[test]
    fn every_message_is_used_by_the_page() {
        let sources =
            [include_str!("overview_page.rs"), include_str!("../../../templates/console.html")].concat();
        for (name, ..) in ALL {
            assert!(sources.contains(&format!("m.{name}")), "{name} is not used");
        }
    }

    #[test]
    fn the_template_has_no_sentence_of_its_own() {
        let template = include_str!("../../../templates/console.html");
        let outside = crate::http::language::outside_tags(template);
        assert!(!outside.contains(char::is_alphabetic), "{outside}");
    }
}
