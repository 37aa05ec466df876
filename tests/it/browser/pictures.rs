//! The pictures of the README: the list, an alert and a transfer's letter, from the running program on
//! made-up data. `make pictures` puts them into `docs/pictures`.

use std::path::PathBuf;

use super::chromium::{Chromium, Look};
use super::{approve, made_up};
use crate::support::bureau::{Bureau, PASSWORD};
use crate::support::person::between;
use crate::support::worker::Worker;

/// Most bytes of a picture: what is checked in stays small.
const MOST: usize = 200 * 1024;

/// The letter of a case of one made-up alert.
async fn transferred(bureau: &Bureau, language: &str) -> String {
    let li = Worker::new(bureau, "li", &["reviewer"]).await;
    // What is about an entrance is no impersonation.
    let (_, list) = li.get("/alerts?claim=mismatch").await;
    let alert = format!("/alerts/{}", between(&list, "data-alert=\"", "\""));
    li.decide(&alert, "0", "impersonation").await;
    let transfer = li.propose(&li.case_of(&alert).await).await;
    approve(bureau, &transfer).await;
    let read = if language == "en" { "?read=en" } else { "" };
    format!("{transfer}/letter{read}")
}

async fn pictures(language: &'static str) {
    let (bureau, dir) = (made_up().await, tempfile::tempdir().unwrap());
    let into = std::env::var_os("COUNTERPROOF_PICTURES").map_or_else(|| dir.path().to_owned(), PathBuf::from);
    std::fs::create_dir_all(&into).unwrap();
    let browser = Chromium::open(&bureau.console_url(""), Look { language, ..Look::default() }).await;
    browser.sign_in("everything", PASSWORD).await;
    let letter = transferred(&bureau, language).await;
    for (name, path) in [("queue", "/alerts"), ("alert", "/alerts/next"), ("transfer", letter.as_str())] {
        browser.go(path).await;
        let picture = browser.small_picture().await;
        assert!(picture.starts_with(b"RIFF") && picture.len() < MOST, "{name}: {} bytes", picture.len());
        std::fs::write(into.join(format!("{name}.{language}.webp")), picture).unwrap();
    }
    browser.close().await;
}

#[tokio::test]
async fn the_readme_s_pictures_can_be_made_in_chinese() {
    pictures("zh-CN").await;
}

#[tokio::test]
async fn the_readme_s_pictures_can_be_made_in_english() {
    pictures("en").await;
}
