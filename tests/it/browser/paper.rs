//! What pages become when they are printed.

use std::process::Command;

use super::chromium::{Chromium, Look};
use super::{at_work, furnished};
use crate::support::bureau::PASSWORD;

/// What a PDF's pages are, and what stands on them.
pub fn read_pdf(pdf: &[u8]) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("printed.pdf");
    std::fs::write(&file, pdf).unwrap();
    let run = |program: &str, after: &[&str]| {
        let output = Command::new(program).arg(&file).args(after).output();
        let output = output.unwrap_or_else(|e| panic!("{program}: {e}: scripts/packages installs it"));
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    (run("pdfinfo", &[]), run("pdftotext", &["-"]))
}

#[tokio::test]
async fn a_page_is_printed_on_a4_without_what_is_for_the_screen() {
    let bureau = furnished().await;
    let look = Look { language: "zh-CN", ..Look::default() };
    let browser = Chromium::open(&bureau.console_url(""), look).await;
    browser.sign_in("everything", PASSWORD).await;
    browser.go("/statistics").await;
    assert!(browser.text(".who").await.contains("退出"));
    let (about, text) = read_pdf(&browser.print().await);
    assert!(about.contains("(A4)"), "{about}");
    assert!(text.contains("统计") && !text.contains("退出"), "{text}");
    browser.close().await;
}

/// A path as it is printed: how many pages of A4, and their text without white space,
/// since lines break where the page ends them.
pub async fn printed(browser: &Chromium, path: &str) -> (u32, String) {
    browser.go(path).await;
    let (about, text) = read_pdf(&browser.print().await);
    assert!(about.contains("(A4)"), "{path}: {about}");
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    for word in ["退出", "主导航", "English", "打印本页", "返回"] {
        assert!(!text.contains(word), "{word} is on the paper of {path}: {text}");
    }
    let pages = about.lines().find_map(|l| l.strip_prefix("Pages:")).unwrap();
    (pages.trim().parse().unwrap(), text)
}

fn assert_says(text: &str, phrases: &[&str]) {
    for phrase in phrases {
        assert!(text.contains(phrase), "{phrase} is not on the paper: {text}");
    }
}

#[tokio::test]
async fn letters_ledger_and_yearly_report_are_printed_on_a4_with_who_writes_to_whom() {
    let (bureau, work) = at_work().await;
    let look = Look { language: "zh-CN", ..Look::default() };
    let browser = Chromium::open(&bureau.console_url(""), look).await;
    browser.sign_in("everything", PASSWORD).await;

    let (pages, text) = printed(&browser, &format!("{}/letter", work.transfer)).await;
    assert_eq!(pages, 2, "the receipt has a page of its own: {text}");
    let phrases = [
        "医保基金使用违法违规案件移送书",
        "某市局（委）案移字〔",
        "〕1号",
        "致某市公安局：",
        "经查，李四持王五的医保凭证结算。",
        "《医疗保障基金使用监督管理条例》",
        "某市第一人民医院",
        "412.50",
        "2.询问笔录",
        "3个工作日内",
        "基金监管科",
        "案件移送书（回执）",
        "致某市医疗保障局：",
        "材料不全，请补正",
        "（印章）",
    ];
    assert_says(&text, &phrases);
    let (pages, text) = printed(&browser, &format!("{}/receipt", work.incoming)).await;
    assert_eq!(pages, 1, "{text}");
    assert_says(&text, &["（回执）", "某卫移〔2026〕5号", "致某市卫生健康委员会：", "某市医疗保障局"]);

    // Letters about an alert: a sheet in Chinese, one in English for reading.
    let titles = ["关于保全监控录像的函", "询问函", "询问笔录", "关于调取结算单据的函"];
    for (letter, title) in work.letters.iter().zip(titles) {
        let (pages, text) = printed(&browser, letter).await;
        assert_eq!(pages, 2, "{letter}: {text}");
        assert_says(&text, &[title, "某市第一人民医院（编码H31010000001）", "某市医疗保障局", "（印章）"]);
    }
    for (path, title) in [("/ledger?show=all", "案件移送台账"), ("/yearly", "年度报告")] {
        assert_says(&printed(&browser, path).await.1, &[title]);
    }
    browser.close().await;
}
