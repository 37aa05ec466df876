//! What somebody signs for: who is responsible, on what basis, which notice
//! hangs where, which assessment was made. The program cannot judge whether the
//! answers are true, so it offers none.

use jiff::civil::Date;

use crate::edge::agent::today;

use super::InitError;
use super::questions::{Asker, a_line};

/// In Chinese and in English.
type Both = (&'static str, &'static str);

fn date_to_come(text: &str) -> bool {
    text.parse::<Date>().is_ok_and(|d| d >= today())
}

fn past_or_nothing(text: &str) -> bool {
    text.is_empty() || text == "-" || text.parse::<Date>().is_ok_and(|d| d <= today())
}

/// Somebody signs for these; hence no default for any of them.
const SIGNED_FOR: [(&str, Both, Both); 9] = [
    (
        "privacy.controller",
        ("个人信息处理者：谁负责（个人信息保护法第十七条）。", "Who is responsible (PIPL art. 17)."),
        ("一行文字，例如 某市第一人民医院", "a line of text, such as 某市第一人民医院"),
    ),
    (
        "privacy.contact",
        ("人们怎样联系负责人、行使权利。", "How people reach them and use their rights."),
        ("一行文字，例如 医保办 021-0000 0000", "a line of text, such as 医保办 021-0000 0000"),
    ),
    (
        "privacy.alternative",
        (
            "不愿被比对的人还有什么合理方便的方式（人脸识别技术应用安全管理办法第十条）。",
            "What people can do who do not want to be compared (measures art. 10).",
        ),
        (
            "一行文字，例如 出示身份证件，由窗口人员核对",
            "a line of text, such as 出示身份证件，由窗口人员核对",
        ),
    ),
    (
        "privacy.basis.kind",
        (
            "合法性基础：statutory_duty 法定职责，public_interest 法律法规规定的其他情形，consent 单独同意（第十三、二十九条）。请法务确认。",
            "The lawful basis: statutory_duty, public_interest or consent (PIPL art. 13, 29). Let the legal department say which.",
        ),
        ("statutory_duty、public_interest 或 consent", "statutory_duty, public_interest or consent"),
    ),
    (
        "privacy.basis.instrument",
        ("依据的法律、法规或同意书名称。", "The law, regulation or consent form."),
        ("一行文字", "a line of text"),
    ),
    ("privacy.basis.article", ("其条款。", "Its article."), ("一行文字", "a line of text")),
    (
        "privacy.notice.id",
        (
            "告知书编号。告知书由本程序按策略生成。",
            "The notice's number. The notice itself is made from the policy.",
        ),
        ("一行文字，例如 N-2026-01", "a line of text, such as N-2026-01"),
    ),
    (
        "privacy.notice.place",
        ("告知书张贴在哪里。", "Where the notice hangs."),
        ("一行文字，例如 结算窗口 1 至 6 号", "a line of text, such as 结算窗口 1 至 6 号"),
    ),
    (
        "privacy.impact_assessment.id",
        (
            "个人信息保护影响评估的编号；须事先完成（第五十五条）。",
            "The number of the impact assessment, which comes first (PIPL art. 55).",
        ),
        ("一行文字，例如 PIA-2026-01", "a line of text, such as PIA-2026-01"),
    ),
];

/// Asks them all; when the notice was posted, if it was.
pub(super) fn ask(
    ask: &mut Asker,
    values: &mut Vec<(&'static str, String)>,
) -> Result<Option<Date>, InitError> {
    for (key, what, allowed) in SIGNED_FOR {
        let will_do: &dyn Fn(&str) -> bool = match key {
            "privacy.basis.kind" => &|text| matches!(text, "statutory_duty" | "public_interest" | "consent"),
            _ => &a_line,
        };
        let answer = ask.ask(key, what, allowed, None, will_do)?;
        values.push((key, answer));
    }
    let review_by = ask.ask(
        "privacy.impact_assessment.review_by",
        ("影响评估下次复核日期。", "By when the impact assessment is looked at again."),
        ("今天或以后的日期，YYYY-MM-DD", "a date from today on, YYYY-MM-DD"),
        None,
        &date_to_come,
    )?;
    values.push(("privacy.impact_assessment.review_by", review_by));
    let posted = ask.ask(
        "privacy.notice.posted_on",
        (
            "告知书何时张贴？还没有就填 -，张贴后写入配置；在此之前程序不会启动。",
            "When was the notice posted? - if it was not yet: then write the date into the configuration when it is; the agent does not start before.",
        ),
        ("今天或以前的日期 YYYY-MM-DD，或 -", "a date up to today, YYYY-MM-DD, or -"),
        Some("-"),
        &past_or_nothing,
    )?;
    Ok(posted.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_was_posted_in_the_past_and_a_review_is_to_come() {
        assert!(past_or_nothing("-") && past_or_nothing("2020-01-01") && !past_or_nothing("2999-01-01"));
        assert!(date_to_come("2999-01-01") && !date_to_come("2020-01-01"));
    }
}
