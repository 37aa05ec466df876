//! What pages become when they are printed.

use std::process::Command;

use super::chromium::{Chromium, Look};
use super::furnished;
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
