//! The work of a day at a real browser: an alert comes while somebody looks at the list,
//! one is found and decided without scripts, one with the keyboard alone; one becomes a
//! case that a second person transfers, and is printed.

use std::collections::BTreeSet;

use counterproof::bench::postgres::{FORGETFUL, Postgres};
use counterproof::protocol::SIGNATURE_HEADER;
use tokio::task::JoinSet;

use super::chromium::{Chromium, Look};
use super::paper::printed;
use super::{BUREAU, furnished, furnished_as};
use crate::support::bureau::{Bureau, Chain, PASSWORD, TestBox};
use crate::support::server::{Server, on_server};
use crate::support::wait_for;

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

/// The box raises so many alerts, at the one process and the other in turn; their ids.
async fn raise(boxed: TestBox, name: &str, alerts: usize, urls: [String; 2]) -> BTreeSet<String> {
    let mut chain = Chain::new(name);
    let mut raised = BTreeSet::new();
    for url in urls.iter().cycle().take(alerts) {
        let (id, bytes) = chain.mismatch();
        let request = boxed.client.post(url).header(SIGNATURE_HEADER, boxed.key.sign(&bytes).to_string());
        assert_eq!(request.body(bytes).send().await.unwrap().status(), 201);
        raised.insert(id);
    }
    raised
}

#[tokio::test]
async fn alerts_that_two_processes_take_at_once_appear_in_a_page_of_one() {
    let postgres = Postgres::start(FORGETFUL).unwrap();
    let bureau = on_server(&postgres);
    let names = ["box-1", "box-2", "box-3", "box-4"];
    let boxes = names.map(|name| bureau.add_box(name));
    bureau.add_account("li", &["reviewer"]);
    let [one, two] = ["one", "two"].map(|name| Server::start(&bureau, name));
    let browser = Chromium::open(&two.console, Look::default()).await;
    browser.sign_in("li", PASSWORD).await;
    browser.go("/alerts").await;
    let urls = [one.url.clone(), two.url.clone()];
    let raising = names.into_iter().zip(boxes).map(|(name, boxed)| raise(boxed, name, 10, urls.clone()));
    let raising: JoinSet<BTreeSet<String>> = raising.collect();
    let raised: BTreeSet<String> = raising.join_all().await.into_iter().flatten().collect();
    browser
        .until("all to be told", "return document.querySelector('.fresh span').innerText.includes('40')")
        .await;
    browser.find("#live .fresh a").await.click().await.unwrap();
    browser.until("their rows", &format!("{ROWS} === 40")).await;
    let listed = "return [...document.querySelectorAll('tr[data-alert]')].map(row => row.dataset.alert)";
    let listed: BTreeSet<String> = serde_json::from_value(browser.ask(listed).await).unwrap();
    assert_eq!(listed, raised);
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

async fn change_person(browser: &Chromium, name: &str) {
    browser.follow(".who form button").await;
    browser.sign_in(name, PASSWORD).await;
}

#[tokio::test]
async fn an_alert_becomes_a_case_that_a_second_person_transfers_and_is_printed() {
    let bureau = furnished_as(BUREAU).await;
    bureau.add_account("wang", &["supervisor"]);
    bureau.add_account("zhao", &["privacy_officer"]);
    let browser = desk(&bureau, Look { language: "zh-CN", ..Look::default() }).await;
    browser.go("/alerts").await;
    // Not clicked: a line may be renewed under the pointer while alerts come in.
    let first = browser.ask("return document.querySelector('table.queue tbody a.open').pathname").await;
    let alert = first.as_str().unwrap().to_owned();
    browser.go(&alert).await;
    assert!(!browser.has("a[href^='/cases/new']").await, "an open alert is none for a case");
    browser.find("[data-key][value=impersonation]").await.click().await.unwrap();
    browser.fill("#note", "录像显示持卡人未到场，窗口前为另一人。").await;
    browser.follow("form[data-decide] button").await;
    browser.go(&alert).await;
    browser.follow("a[href^='/cases/new']").await;
    browser.fill("#facts", "参保人凭证被他人冒用。").await;
    browser.follow("form[action='/cases'] button").await;
    let case = browser.path().await;
    assert!(case.starts_with("/cases/C"), "{case}");
    // The letter is proposed with what is known; to whom it goes is chosen.
    let proposed =
        "return ['subject', 'letter-facts', 'receiver'].map(id => document.getElementById(id).value)";
    let known = serde_json::json!(["参保人（医保编号 P0001）", "参保人凭证被他人冒用。", ""]);
    assert_eq!(browser.ask(proposed).await, known);
    browser.find("#receiver").await.select_by_value("public_security").await.unwrap();
    browser.fill("#to", "样本市公安局").await;
    browser.follow("form[action$='/transfers'] button").await;
    let transfer = browser.path().await;
    assert!(!browser.has("form[action$='/approve']").await, "who proposes does not approve");

    change_person(&browser, "wang").await;
    browser.go(&transfer).await;
    browser.follow("form[action$='/approve'] button").await;
    // The language is the page's; the letter stays Chinese, and has a translation for reading.
    browser.follow("a[hreflang=en]").await;
    assert_eq!(browser.path().await, transfer);
    assert!(browser.text("main").await.contains("public security"));
    assert!(browser.has("a[href$='/letter']").await);
    let (pages, text) = printed(&browser, &format!("{transfer}/letter")).await;
    assert_eq!(pages, 2, "{text}");
    for part in ["移送书", "某市局（委）案移字〔", "回执", "样本市公安局", "某市医疗保障局"]
    {
        assert!(text.contains(part), "{part} is not in the letter:\n{text}");
    }
    assert!(!text.contains("Sign out"), "the console's own buttons are printed:\n{text}");
    browser.go(&alert).await;
    assert_eq!(browser.text("main a[href^='/cases/C']").await, case.trim_start_matches("/cases/"));

    change_person(&browser, "zhao").await;
    let into = tempfile::tempdir().unwrap();
    let behaviour = serde_json::json!({"behavior": "allow", "downloadPath": into.path()});
    browser.command("Browser.setDownloadBehavior", behaviour).await;
    browser.go("/privacy").await;
    browser.find("form[action='/privacy/export'] button").await.click().await.unwrap();
    let export = wait_for("the export", || {
        let files = std::fs::read_dir(into.path()).unwrap().map(|f| f.unwrap().path());
        files.into_iter().find(|f| f.extension().is_some_and(|e| e != "crdownload"))
    });
    let export = std::fs::read_to_string(export).unwrap();
    assert!(export.contains("box-1") && !export.contains("P0001"), "{export}");
    browser.close().await;
}
