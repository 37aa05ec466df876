//! How every page looks: to axe-core, to a narrow and a wide window, to the Tab key.
//!
//! The pages are those of the console's own table of routes; one whose path asks
//! for something (an alert, a case, a box) is found by the links of the others.
//! With `COUNTERPROOF_LOOKS=DIR` a picture of each is put there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use counterproof::bureau::console;
use counterproof::http::request::Routes;

use super::chromium::{Chromium, Look, NARROW, WIDE};
use super::{Work, at_work};
use crate::support::bureau::{Bureau, PASSWORD};

/// Whether a path of a route asks for something.
fn asks(path: &str) -> bool {
    path.contains('{')
}

/// The pages that need no parameter: what answers with a page.
async fn plain_pages(bureau: &Bureau) -> Vec<String> {
    let mut pages = Vec::new();
    for path in console::places().into_iter().filter(|p| !asks(p)) {
        let answer = bureau.console(path).await;
        if answer.url().path() != path {
            // It leads to a page that is looked at under its own name.
            continue;
        }
        let kind = answer.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
        // A part of a page, which a script puts into one, is none.
        if kind.is_some_and(|k| k.starts_with("text/html")) {
            let status = answer.status();
            if answer.text().await.unwrap().starts_with("<!DOCTYPE") {
                assert!(status.is_success(), "{path}: {status}");
                pages.push(path.to_owned());
            }
        }
    }
    pages
}

/// One link to each page that asks for something, from these.
async fn found_pages(browser: &Chromium, from: &[String]) -> Vec<String> {
    let routes = Routes(Vec::leak(console::places()));
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    let mut todo: Vec<String> = from.to_vec();
    while let Some(path) = todo.pop() {
        browser.go(&path).await;
        let links = browser
            .ask("return [...document.querySelectorAll('main a[href^=\"/\"]:not([download])')].map(a => a.pathname)")
            .await;
        for link in links.as_array().unwrap().iter().filter_map(|l| l.as_str()) {
            let route = routes.of(link);
            let is_page = asks(route) && !route.starts_with("/language/") && !route.contains('.');
            if is_page && !found.contains_key(route) {
                found.insert(route, link.to_owned());
                todo.push(link.to_owned());
            }
        }
    }
    found.into_values().collect()
}

/// What is about one case, transfer, letter or report.
fn of_a_case(work: &Work) -> Vec<String> {
    let Work { letters, case, transfer, incoming, report, .. } = work;
    let prints = [format!("{transfer}/letter"), format!("{incoming}/receipt")];
    let pages = [case, transfer, incoming, report].into_iter().cloned();
    pages.chain(prints).chain(letters.first().cloned()).collect()
}

/// A page in one look; what is wrong with it.
pub(super) async fn look_at(browser: &Chromium, path: &str, look: Look) -> Vec<String> {
    browser.look(look).await;
    let mut wrong = browser.objections().await;
    wrong.extend(browser.beyond().await);
    if let Some(dir) = std::env::var_os("COUNTERPROOF_LOOKS").map(PathBuf::from) {
        let name = path.trim_matches('/').replace(['/', '?', '='], "-");
        let dark = if look.dark { "dark" } else { "light" };
        let name = format!("{name}.{}.{}.{dark}.png", look.language, look.size.0);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(name), browser.picture().await).unwrap();
    }
    wrong.into_iter().map(|w| format!("{path} {} {}: {w}", look.language, look.size.0)).collect()
}

async fn every_page_is_accessible(language: &'static str) {
    let (bureau, work) = at_work().await;
    let plain = plain_pages(&bureau).await;
    let start = Look { language, ..Look::default() };
    let browser = Chromium::open(&bureau.console_url(""), start).await;
    browser.go("/sign-in").await;
    let mut wrong = look_at(&browser, "/sign-in", Look { size: NARROW, ..start }).await;
    browser.sign_in("everything", PASSWORD).await;

    let mut from = plain.clone();
    from.push(work.asked.clone());
    let found = found_pages(&browser, &from).await;
    let routes = Routes(Vec::leak(console::places()));
    let reached: BTreeSet<&str> = found.iter().map(|path| routes.of(path)).collect();
    let unreached: Vec<String> =
        of_a_case(&work).into_iter().filter(|p| !reached.contains(routes.of(p))).collect();
    assert!(unreached.is_empty(), "no link leads to {unreached:?}");
    let pages: BTreeSet<&String> =
        plain.iter().chain(&found).chain([&work.new_case, &work.absence]).collect();
    for path in pages {
        browser.go(path).await;
        for size in [WIDE, NARROW] {
            for dark in [false, true] {
                wrong.extend(look_at(&browser, path, Look { size, dark, ..start }).await);
            }
            wrong.extend(browser.unseen_focus().await.into_iter().map(|w| format!("{path}: {w}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    browser.close().await;
}

#[tokio::test]
async fn every_page_is_accessible_in_chinese() {
    every_page_is_accessible("zh-CN").await;
}

#[tokio::test]
async fn every_page_is_accessible_in_english() {
    every_page_is_accessible("en").await;
}
