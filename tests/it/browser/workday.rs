//! The work of a day at a real browser: an alert comes while somebody looks at the list,
//! one is found and decided without scripts, one with the keyboard alone.

use super::chromium::{Chromium, Look};
use super::furnished;
use crate::support::bureau::{Bureau, PASSWORD};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ROWS: &str = "return document.querySelectorAll('table.queue tbody tr').length";

async fn desk(bureau: &Bureau, look: Look) -> Chromium {
    bureau.add_account("li", &["reviewer"]);
    let browser = Chromium::open(&bureau.console_url(""), look).await;
    browser.sign_in("li", PASSWORD).await;
    browser
}

/// How many alerts are in this state, as the list says.
async fn rows(browser: &Chromium, state: &str) -> u64 {
    browser.go(&format!("/alerts?state={state}")).await;
    browser.ask(ROWS).await.as_u64().unwrap()
}

#[tokio::test]
async fn an_alert_appears_while_the_list_is_open() {
    let bureau = furnished().await;
    let browser = desk(&bureau, Look::default()).await;
    browser.go("/alerts").await;
    let before = browser.ask(ROWS).await.as_u64().unwrap();
    browser.ask("document.documentElement.dataset.same = 'page'").await;
    bureau.another_alert().await;
    browser.find("#live .fresh a").await.click().await.unwrap();
    browser.until("its row", &format!("{ROWS} === {}", before + 1)).await;
    assert_eq!(browser.ask("return document.documentElement.dataset.same").await, "page");
    browser.close().await;
}

#[tokio::test]
async fn an_alert_is_found_and_decided_without_scripts() {
    let bureau = furnished().await;
    let browser = desk(&bureau, Look { scripts: false, ..Look::default() }).await;
    assert_eq!(rows(&browser, "open").await, 6);
    browser.fill("#counter", "w04").await;
    browser.follow("#filter button").await;
    assert_eq!(browser.ask(ROWS).await, 0);
    browser.fill("#counter", "w03").await;
    browser.follow("#filter button").await;
    assert!(browser.path().await.contains("counter=w03"));
    browser.follow("table.queue tbody a.open").await;
    browser.find("[data-key][value=false_alert]").await.click().await.unwrap();
    browser.fill("#note", "The recording shows the cardholder.").await;
    browser.follow("form[data-decide] button").await;
    assert_eq!((rows(&browser, "open").await, rows(&browser, "decided").await), (5, 1));
    browser.close().await;
}

#[tokio::test]
async fn an_alert_is_found_and_decided_with_the_keyboard_alone() {
    let bureau = furnished().await;
    let browser = desk(&bureau, Look { language: "zh-CN", ..Look::default() }).await;
    browser.go("/alerts").await;
    browser.find("table.queue").await;
    browser.press("/").await.unwrap();
    assert_eq!(browser.ask("return document.activeElement.id").await, "hospital");
    browser.press(&TAB.repeat(2)).await.unwrap();
    browser.press("w03").await.unwrap();
    browser.turn_page(browser.press(ENTER)).await;
    assert!(browser.path().await.contains("counter=w03"), "{}", browser.path().await);
    browser.press("j").await.unwrap();
    assert_eq!(browser.ask("return document.activeElement.className").await, "open");
    browser.turn_page(browser.press(ENTER)).await;
    let alert = browser.path().await;
    assert!(alert.starts_with("/alerts/"), "{alert}");

    // Nothing is chosen before somebody chooses, and a key alone sends nothing.
    let chosen = "const e = document.querySelector('[data-key]:checked'); return e && e.value";
    assert!(browser.ask(chosen).await.is_null());
    let key =
        browser.ask("return document.querySelector('[data-key][value=impersonation]').dataset.key").await;
    browser.press(key.as_str().unwrap()).await.unwrap();
    assert_eq!(browser.ask(chosen).await, "impersonation");
    assert_eq!(browser.path().await, alert);
    browser.press(TAB).await.unwrap();
    // Digits of a note choose nothing.
    browser.press("kept 1 of 2").await.unwrap();
    assert_eq!(browser.ask("return document.querySelector('#note').value").await, "kept 1 of 2");
    assert_eq!(browser.ask(chosen).await, "impersonation");
    browser.press(TAB).await.unwrap();
    browser.turn_page(browser.press(ENTER)).await;
    assert_eq!((rows(&browser, "open").await, rows(&browser, "decided").await), (5, 1));
    browser.close().await;
}
