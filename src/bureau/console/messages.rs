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
    title: "不一致预警", "Mismatch alerts";
    subtitle: "医疗保障局 · counterproof", "Bureau · counterproof";
    other_language: "English", "中文";
    reminder: "预警只说明当时窗口前的人与已登记特征不一致，不是结论。须由人工复核。",
        "An alert says that the person seen did not fit the reference. It is not a finding; a person has to review it.";
    alerts: "预警", "Alerts";
    no_alerts: "没有预警。", "There are no alerts.";
    boxes: "终端", "Boxes";
    no_boxes: "尚未登记终端。用 counterproof-bureau agents add 登记。",
        "No box is on record. Add one with counterproof-bureau agents add.";
    older: "更早的预警", "Older alerts";
    newest: "最新的预警", "Newest alerts";
    time: "结算时间", "Settled at";
    hospital: "医疗机构", "Hospital";
    counter: "窗口", "Counter";
    settlement: "结算号", "Settlement";
    cardholder: "参保人", "Cardholder";
    amount: "金额（元）", "Amount (yuan)";
    score: "比对分 / 阈值", "Score / threshold";
    probes: "现场特征", "Probes";
    probes_unit: "个，历时", "over";
    seconds: "秒", "s";
    state: "状态", "State";
    open: "待复核", "Open";
    withdrawn: "已撤销", "Withdrawn";
    signature: "签名", "Signature";
    signature_valid: "有效", "Valid";
    signature_invalid: "无效", "Invalid";
    chain: "序列", "Chain";
    chain_ok: "连续", "Unbroken";
    chain_gap: "前缺", "Gap before";
    chain_expired: "前件已在终端过期", "The one before expired on the box";
    chain_broken: "不符", "Misfit";
    unreadable: "内容无法读取", "The content cannot be read";
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
