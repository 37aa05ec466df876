//! The policy in force as a page for people: each item with what was declared,
//! each limit with its ceiling, and the rule that asks for it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::policy::{
    ALTERNATIVE, ASSESSMENT, AUDIT_LOG_CEILING_YEARS, AUDIT_LOG_YEARS, BASIS, CAPTURE_REGION, CONTACT,
    CONTROLLER, CaptureRegion, ENTRANCE, Entrance, Item, Label, NOTICE, Policy, RETENTION,
};
use super::wording::{in_english, percent};
use crate::protocol::id::CounterId;

/// Columns of the labels on the left.
const LEFT: usize = 32;

/// The page.
pub fn page(policy: &Policy) -> String {
    let p = policy;
    let mut out = String::from("Privacy policy in force / 现行隐私策略\n");
    line(&mut out, Label { zh: "摘要", en: "SHA-256" }, &p.digest().to_string());
    out.push_str("\nDeclared / 已声明的事项\n");
    item(&mut out, &CONTROLLER, &[&p.controller]);
    item(&mut out, &CONTACT, &[&p.contact]);
    let kind = p.basis.kind.label();
    let basis = format!("{} / {}", kind.en, kind.zh);
    item(&mut out, &BASIS, &[&basis, &format!("{} {}", p.basis.instrument, p.basis.article)]);
    item(&mut out, &ALTERNATIVE, &[&p.alternative]);
    let n = &p.notice;
    let posted =
        format!("{} (wording {}), posted on {}: {}", n.id, u32::from(n.wording), n.posted_on, n.place);
    item(&mut out, &NOTICE, &[&posted, &format!("SHA-256 {}", n.sha256)]);
    let a = &p.impact_assessment;
    item(&mut out, &ASSESSMENT, &[&format!("{}, to be reviewed by {}", a.id, a.review_by)]);
    regions(&mut out, &CAPTURE_REGION, &p.capture_regions_permille);
    if let Some(e) = &p.entrance {
        entrance(&mut out, e);
    }
    limits(&mut out, p);
    out.push_str(
        "\nPIPL: 个人信息保护法. Measures: 人脸识别技术应用安全管理办法 (2025).\n\
         Alerts and postures of this box carry the digest above.\n",
    );
    out
}

fn regions(out: &mut String, asked: &Item, all: &BTreeMap<CounterId, CaptureRegion>) {
    let one = |(counter, r): (&CounterId, &CaptureRegion)| {
        let [x, y, w, h] = [r.x, r.y, r.w, r.h].map(percent);
        format!("{counter}: from {x} % left and {y} % top, {w} % wide, {h} % high")
    };
    let lines: Vec<String> = all.iter().map(one).collect();
    item(out, asked, &lines.iter().map(String::as_str).collect::<Vec<_>>());
}

/// What entrances are watched under.
fn entrance(out: &mut String, e: &Entrance) {
    let kind = e.basis.kind.label();
    let basis = format!("{} / {}: {} {}", kind.en, kind.zh, e.basis.instrument, e.basis.article);
    let n = &e.notice;
    let posted = format!("{}, posted on {}: {}; SHA-256 {}", n.id, n.posted_on, n.place, n.sha256);
    let a = &e.impact_assessment;
    let assessed = format!("{}, to be reviewed by {}", a.id, a.review_by);
    item(out, &ENTRANCE, &[&basis, &posted, &assessed]);
    regions(out, &ENTRANCE, &e.capture_regions_permille);
}

fn limits(out: &mut String, p: &Policy) {
    let _ = writeln!(out, "\nKept at most / {}  [{}]", RETENTION.label.zh, RETENTION.rule);
    for limit in p.limits() {
        let at_most = in_english(&limit, p.limit(limit).as_secs());
        let ceiling = in_english(&limit, limit.ceiling);
        let _ =
            writeln!(out, "  {at_most:<10}  ceiling {ceiling:<10}  {} / {}", limit.what.en, limit.what.zh);
    }
    let _ = writeln!(
        out,
        "  {:<10}  {:<18}  references on the box, never stored / 本设备取得的已登记特征，不存储",
        "one check", ""
    );
    let (years, most) =
        (format!("{AUDIT_LOG_YEARS} years"), format!("ceiling {AUDIT_LOG_CEILING_YEARS} years"));
    let _ = writeln!(
        out,
        "  {years:<10}  {most:<18}  audit log, at least; settlement numbers alone / 审计记录（至少），除结算号外不含个人信息"
    );
}

fn item(out: &mut String, item: &Item, lines: &[&str]) {
    let (first, more) = lines.split_first().unwrap_or((&"", &[]));
    line(out, item.label, first);
    let rule = format!("[{}]", item.rule);
    for next in more.iter().copied().chain([rule.as_str()]) {
        let _ = writeln!(out, "{:LEFT$}{next}", "");
    }
}

fn line(out: &mut String, label: Label, value: &str) {
    let label = format!("  {} / {}", label.en, label.zh);
    let pad = LEFT.saturating_sub(columns(&label));
    let _ = writeln!(out, "{label}{:pad$}{value}", "");
}

/// Columns on a terminal: Chinese characters and their punctuation take two.
fn columns(text: &str) -> usize {
    let wide = |c: char| ('\u{2e80}'..='\u{9fff}').contains(&c) || ('\u{ff00}'..='\u{ff60}').contains(&c);
    text.chars().map(|c| if wide(c) { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::declared::tests::with;

    #[test]
    fn the_page_says_everything_with_its_rule_and_ceiling() {
        let policy = with("hospital", "某市第一人民医院");
        let page = page(&policy);
        let said = [
            policy.digest().to_string(),
            policy.notice.sha256.to_string(),
            "某市第一人民医院".into(),
            "w01: from 10 % left and 0 % top, 80 % wide, 100 % high".into(),
            "A1, to be reviewed by 2027-01-01".into(),
        ];
        for text in said {
            assert!(page.contains(&text), "{text}: {page}");
        }
        for item in [CONTROLLER, CONTACT, BASIS, NOTICE, ASSESSMENT, ALTERNATIVE, CAPTURE_REGION, RETENTION] {
            assert!(page.contains(item.rule) && page.contains(item.label.zh), "{}: {page}", item.label.en);
        }
        for limit in policy.limits() {
            let figures = format!(
                "{:<10}  ceiling {:<10}",
                in_english(&limit, policy.limit(limit).as_secs()),
                in_english(&limit, limit.ceiling)
            );
            assert!(page.contains(&figures), "{figures}: {page}");
        }
    }

    #[test]
    fn values_stand_in_one_column_whatever_the_script() {
        let page = page(&with("hospital", "HERE"));
        let start = |text: &str| page.lines().find_map(|l| Some(columns(&l[..l.find(text)?]))).unwrap();
        assert_eq!((start("HERE"), start("office"), start("A1, ")), (LEFT, LEFT, LEFT));
    }
}
