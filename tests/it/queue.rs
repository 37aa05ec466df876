//! The reviewers' list through the real program: what it shows and records, how it
//! is filtered and paged, and how it hears of what is new.

use std::time::Duration;

use serde_json::Value;

use crate::support::bureau::{Bureau, Chain};
use crate::support::person::Person;

fn ids(page: &str) -> Vec<&str> {
    page.split("data-alert=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

fn acts(bureau: &Bureau) -> Vec<Value> {
    let output = bureau.command(&["acts", "--json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// An alert of a new box.
async fn one_alert(bureau: &Bureau) -> String {
    let boxed = bureau.add_box("box-1");
    let (id, bytes) = Chain::new("box-1").mismatch();
    assert_eq!(boxed.alert(bureau, &bytes).await, 201);
    id
}

#[tokio::test]
async fn an_alert_is_listed_without_the_cardholders_number_and_the_look_is_recorded() {
    let bureau = Bureau::start("");
    let id = one_alert(&bureau).await;
    let browser = Person::new(&bureau, "li", &["reviewer"]).await.in_chinese();
    let home = browser.ask("/").await;
    assert_eq!((home.status().as_u16(), home.headers()["location"].to_str().unwrap()), (303, "/alerts"));
    let page = browser.page("/alerts").await;
    assert_eq!(ids(&page), [id.as_str()]);
    assert!(!page.contains("P0001") && page.contains("412.50") && page.contains("签名有效"), "{page}");
    assert!(!page.contains("class=\"made-up\""));
    let looked: Vec<Value> = acts(&bureau).into_iter().filter(|a| a["what"] == "look at alerts").collect();
    assert_eq!((looked.len(), &looked[0]["by"]), (1, &Value::from("li")), "{looked:?}");
    for (filter, listed) in [
        ("hospital=H31010000001", 1),
        ("hospital=H2", 0),
        ("from=2026-11-22&to=2026-11-22", 1),
        ("to=2026-11-21", 0),
        ("score=low", 1),
        ("score=near", 0),
        ("least=412.50&most=412.5", 1),
        ("least=412.51", 0),
        ("state=decided", 0),
        ("state=all&order=newest", 1),
        ("assignee=mine", 0),
        ("assignee=nobody&counter=w03", 1),
    ] {
        assert_eq!(ids(&browser.page(&format!("/alerts?{filter}")).await).len(), listed, "{filter}");
    }
    let unfit = browser.ask("/alerts?from=yesterday").await;
    assert_eq!(unfit.status().as_u16(), 422);
    assert!(unfit.text().await.unwrap().contains("yesterday"));
}

#[tokio::test]
async fn a_cardholder_is_found_by_number_and_the_number_goes_no_further() {
    let bureau = Bureau::start("");
    let id = one_alert(&bureau).await;
    let browser = Person::new(&bureau, "li", &["reviewer"]).await.in_chinese();
    let (status, address, _) = browser.send("/alerts", "/alerts/find", &[("number", " P0001 ")]).await;
    assert_eq!(status, 303);
    assert!(address.starts_with("/alerts?state=all&cardholder=") && !address.contains("P0001"), "{address}");
    assert_eq!(ids(&browser.page(&address).await), [id.as_str()]);
    let (_, other, _) = browser.send("/alerts", "/alerts/find", &[("number", "P0002")]).await;
    let nothing = browser.page(&other).await;
    assert!(ids(&nothing).is_empty());
    assert_eq!(browser.send("/alerts", "/alerts/find", &[("number", "P 1")]).await.0, 422);
    assert!(!serde_json::to_string(&acts(&bureau)).unwrap().contains("P0001"));
    assert!(!bureau.log().contains("P0001"));
}

#[tokio::test]
async fn a_made_up_store_says_so_and_its_pages_keep_the_filter_both_ways() {
    let bureau = Bureau::start("");
    let filled = bureau.command(&["seed"]).args(["--alerts", "500", "--by", "test"]).output().unwrap();
    assert!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));
    let again = bureau.command(&["seed"]).args(["--alerts", "1"]).output().unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("filled before"));
    let browser = Person::new(&bureau, "li", &["reviewer"]).await.in_chinese();
    let first = browser.page("/alerts?state=all&order=newest&score=middle").await;
    assert!(first.contains("class=\"made-up\"") && !first.contains("rel=\"prev\""));
    assert!(first.contains("/language/en?back=%2Falerts%3Fstate%3Dall%26order%3Dnewest%26score%3Dmiddle"));
    let link = |page: &str, rel: &str| {
        let before = page.split(&format!("\" rel=\"{rel}\"")).next().unwrap();
        before.rsplit("href=\"").next().unwrap().replace("&#38;", "&").replace("&amp;", "&")
    };
    let next = link(&first, "next");
    assert!(next.starts_with("/alerts?state=all&order=newest&score=middle&after="), "{next}");
    let second = browser.page(&next).await;
    assert!(ids(&first).iter().all(|id| !ids(&second).contains(id)));
    let back = browser.page(&link(&second, "prev")).await;
    assert_eq!(ids(&back), ids(&first));
}

/// What a stream says, until it has said `word`; everything, if it ended before.
async fn read_until(stream: &mut reqwest::Response, word: &str) -> String {
    let mut heard = String::new();
    let listen = async {
        while !heard.contains(word) {
            let Ok(Some(part)) = stream.chunk().await else { break };
            heard.push_str(std::str::from_utf8(&part).unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(60), listen).await.unwrap_or(());
    heard
}

#[tokio::test]
async fn an_open_page_hears_of_a_new_alert_and_the_stream_ends_with_its_session() {
    let mut bureau = Bureau::start("");
    let (heard, over, id);
    {
        let browser = Person::new(&bureau, "li", &["reviewer"]).await.in_chinese();
        let mut stream = browser.ask("/feed").await;
        assert_eq!(stream.headers()["content-type"], "text/event-stream");
        read_until(&mut stream, "still here").await;
        id = one_alert(&bureau).await;
        heard = read_until(&mut stream, "event: alert").await;
        let fresh: Value = browser.ask("/alerts/fresh?since=0").await.json().await.unwrap();
        assert_eq!(fresh["n"], 1);
        let nothing: Value = browser.ask("/alerts/fresh?since=0&score=near").await.json().await.unwrap();
        assert_eq!(nothing["n"], 0);
        assert_eq!(ids(&browser.page("/alerts/rows?since=0").await), [id.as_str()]);
        assert_eq!(ids(&browser.page(&format!("/alerts/row?id={id}")).await), [id.as_str()]);
        assert_eq!(browser.send("/alerts", "/sign-out", &[]).await.0, 303);
        over = read_until(&mut stream, "event: over").await;
    }
    assert!(heard.contains(&id) && !heard.contains("P0001") && !heard.contains("w03"), "{heard}");
    assert!(over.contains("event: over"), "{over}");
    let browser = Person::new(&bureau, "wang", &["supervisor"]).await;
    let mut stream = browser.ask("/feed").await;
    read_until(&mut stream, "still here").await;
    drop(browser);
    // An open stream does not keep the program.
    assert!(bureau.terminate().success());
}

#[tokio::test]
async fn who_does_not_review_sees_neither_list_nor_feed() {
    let bureau = Bureau::start("");
    let browser = Person::new(&bureau, "zhao", &["administrator"]).await;
    for path in ["/alerts", "/alerts/rows", "/alerts/fresh", "/alerts/row", "/feed", "/alerts.json"] {
        assert_eq!(browser.ask(path).await.status().as_u16(), 403, "{path}");
    }
    let home = browser.ask("/").await;
    assert_ne!(home.headers()["location"].to_str().unwrap(), "/alerts");
}
