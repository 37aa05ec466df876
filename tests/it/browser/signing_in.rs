//! Signing in and out, the switch of language, and life without scripts.

use super::chromium::{Chromium, Look};
use crate::support::bureau::{Bureau, PASSWORD};

#[tokio::test]
async fn somebody_signs_in_reads_in_either_language_and_signs_out() {
    let bureau = Bureau::start("");
    bureau.add_account("li", &["reviewer"]);
    let browser =
        Chromium::open(&bureau.console_url(""), Look { language: "zh-CN", ..Look::default() }).await;

    // A page that needs somebody leads to the form, and back once they are known.
    browser.go("/").await;
    assert!(browser.path().await.starts_with("/sign-in?back="));
    assert_eq!(browser.ask("return document.documentElement.lang").await, "zh-CN");
    browser.expect(401);
    browser.fill("#name", "li").await;
    browser.fill("#password", "not this one").await;
    browser.follow("main form button").await;
    assert!(browser.text("[role=alert]").await.contains("密码"));
    assert_eq!(browser.ask("return document.querySelector('#name').value").await, "li");
    browser.fill("#password", PASSWORD).await;
    browser.turn_page(browser.press("\u{e007}")).await;
    assert!(!browser.path().await.starts_with("/sign-in"));

    browser.go("/sign-in").await;
    browser.follow(".who form button").await;
    assert_eq!(browser.path().await, "/sign-in");
    // The switch stays on the page, and is remembered.
    browser.follow("a[hreflang=en]").await;
    assert_eq!(browser.path().await, "/sign-in");
    assert_eq!(browser.ask("return document.documentElement.lang").await, "en");
    browser.go("/").await;
    assert!(browser.path().await.starts_with("/sign-in?back="));
    assert_eq!(browser.ask("return document.documentElement.lang").await, "en");
    assert!(!browser.has(".who .person").await);
    browser.close().await;
}

#[tokio::test]
async fn signing_in_needs_no_script() {
    let bureau = Bureau::start("");
    bureau.add_account("li", &["reviewer"]);
    let browser = Chromium::open(&bureau.console_url(""), Look { scripts: false, ..Look::default() }).await;
    browser.sign_in("li", PASSWORD).await;
    assert!(!browser.path().await.starts_with("/sign-in"));
    browser.close().await;
}
