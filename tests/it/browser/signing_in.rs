//! Signing in and out, the switch of language, and life without scripts.

use super::chromium::{Chromium, Look};
use crate::single_sign_on::house;
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

#[tokio::test]
async fn a_start_password_is_handed_out_and_changed() {
    let bureau = Bureau::start("");
    bureau.add_account("chen", &["administrator"]);
    let browser = Chromium::open(&bureau.console_url(""), Look::default()).await;
    browser.sign_in("chen", PASSWORD).await;
    browser.go("/accounts").await;
    browser.fill("#name", "li").await;
    browser.find("input[name=reviewer]").await.click().await.unwrap();
    browser.follow("main form button").await;
    assert_eq!(browser.objections().await, Vec::<String>::new());
    let start = browser.text("code").await;
    browser.follow(".who form button").await;

    // Whatever is asked for, the first thing is to change it.
    browser.sign_in("li", &start).await;
    browser.go("/alerts").await;
    assert_eq!(browser.path().await, "/account");
    browser.expect(422);
    let own = "four words of my own";
    for (old, new, path) in [(&*start, "too short to be one", "/account/password"), (&start, own, "/alerts")]
    {
        browser.fill("#old", old).await;
        browser.fill("#new", new).await;
        browser.fill("#again", own).await;
        browser.follow("main form button").await;
        assert_eq!(browser.path().await, path);
    }
    browser.follow(".who form button").await;
    browser.sign_in("li", own).await;
    assert_eq!(browser.path().await, "/alerts");
    browser.close().await;
}

/// The issuer is another site (127.0.0.1) than the console (localhost): the session's
/// cookie does not go with what leads from there to here.
#[tokio::test]
async fn somebody_comes_back_from_single_sign_on_and_is_in() {
    let house = house("");
    house.issuer.control("id=wang&group=desk-review").await;
    let browser = Chromium::open(&house.origin, Look::default()).await;
    browser.also(&house.issuer.address);
    browser.go("/account").await;
    assert_eq!(browser.path().await, "/sign-in?back=%2Faccount");
    assert_eq!(browser.objections().await, Vec::<String>::new());
    browser.follow("a[href^='/sign-in/oidc']").await;
    browser.fill("[name=login]", "wang").await;
    browser.fill("[name=password]", "any").await;
    browser.follow("button").await;
    browser.follow("button").await;
    assert_eq!(browser.text(".who .person").await, "Name of wang");
    browser.until("the page that was asked for", "return location.pathname === '/account'").await;
    browser.go("/alerts").await;
    assert_eq!(browser.path().await, "/alerts");
    browser.close().await;
}
