//! The pictures of the README: the list and an alert, from the running program on
//! made-up data. `make pictures` puts them into `docs/pictures`.

use std::path::PathBuf;

use super::chromium::{Chromium, Look};
use super::made_up;
use crate::support::bureau::PASSWORD;

/// Most bytes of a picture: what is checked in stays small.
const MOST: usize = 200 * 1024;

async fn pictures(language: &'static str) {
    let (bureau, dir) = (made_up().await, tempfile::tempdir().unwrap());
    let into = std::env::var_os("COUNTERPROOF_PICTURES").map_or_else(|| dir.path().to_owned(), PathBuf::from);
    std::fs::create_dir_all(&into).unwrap();
    let browser = Chromium::open(&bureau.console_url(""), Look { language, ..Look::default() }).await;
    browser.sign_in("everything", PASSWORD).await;
    for (name, path) in [("queue", "/alerts"), ("alert", "/alerts/next")] {
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
