//! The page for check-ins, with a camera that a file feeds: from the picture in the page
//! to the answer, in both languages, with a script and without.

use super::chromium::{Chromium, Look, NARROW, WIDE};
use super::looks::look_at;
use crate::check_ins::{before, open};
use crate::support::bureau::{Bureau, PASSWORD};

/// A file that plays as a camera: one picture, again and again.
fn camera(bureau: &Bureau) -> std::path::PathBuf {
    let file = bureau.dir.path().with_extension("mjpeg");
    std::fs::write(&file, before(60, "portrait-b1", 480).repeat(3)).unwrap();
    file
}

/// Looks at the page in every way, with the camera's picture blacked out: no face is in a
/// picture that is left of it.
async fn looks_well(browser: &Chromium, name: &str, language: &'static str) {
    browser.ask("document.querySelector('#camera').style.filter = 'brightness(0)'").await;
    let mut wrong = Vec::new();
    for size in [WIDE, NARROW] {
        for dark in [false, true] {
            wrong.extend(look_at(browser, name, Look { language, size, dark, scripts: true }).await);
        }
    }
    wrong.extend(browser.unseen_focus().await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn checks_in(browser: &Chromium, language: &'static str, match_said: &str, notice: &str) {
    browser.sign_in("nurse", PASSWORD).await;
    // The first page of whoever sees nothing else.
    assert_eq!(browser.path().await, "/check-in");
    let plays = "const v = document.querySelector('#camera'); return v.checkVisibility() && v.videoWidth > 0";
    browser.until("the camera's picture", plays).await;
    assert!(browser.text(".notice-text").await.contains(notice));
    looks_well(browser, "check-in", language).await;
    browser.fill("#cardholder", "PB").await;
    browser.fill("#place", "12").await;
    browser.turn_page(async { browser.find("#check-in button").await.click().await }).await;
    browser.until("the answer", "return location.search.startsWith('?done=')").await;
    assert!(browser.text("#outcome .verdict").await.contains(match_said));
    let kept = "return document.querySelectorAll('main img, main canvas').length + localStorage.length";
    assert_eq!(browser.ask(kept).await, 0);
    looks_well(browser, "check-in-done", language).await;
}

#[tokio::test]
async fn a_telephone_s_camera_checks_somebody_in_in_both_languages() {
    let bureau = open();
    bureau.add_account("nurse", &["ward"]);
    let file = camera(&bureau);
    for (language, said, notice) in [("en", "Match", "at most 30 days"), ("zh-CN", "一致", "最多 30 天")]
    {
        let look = Look { language, ..Look::default() };
        let browser = Chromium::with_camera(&bureau.console_url(""), look, &file).await;
        checks_in(&browser, language, said, notice).await;
        browser.close().await;
    }
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn without_a_camera_and_without_a_script_the_form_asks_for_a_file() {
    let bureau = open();
    bureau.add_account("nurse", &["ward"]);
    let photo = bureau.dir.path().with_extension("jpg");
    std::fs::write(&photo, before(60, "portrait-b1", 480)).unwrap();
    for scripts in [true, false] {
        let browser = Chromium::open(&bureau.console_url(""), Look { scripts, ..Look::default() }).await;
        browser.sign_in("nurse", PASSWORD).await;
        if scripts {
            browser.until("a word on it", "return document.querySelector('#said').textContent !== ''").await;
        }
        browser.fill("#cardholder", "PB").await;
        browser.fill("#place", "12").await;
        browser.find("#photograph").await.send_keys(&photo.to_string_lossy()).await.unwrap();
        browser.follow("#check-in button").await;
        assert!(browser.text("#outcome .verdict").await.contains("Match"));
        browser.close().await;
    }
    std::fs::remove_file(photo).unwrap();
}
