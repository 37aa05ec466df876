//! Sick cameras: each ends a settlement in a reason of its own, accuses nobody,
//! and is told to the bureau and on the page of metrics.

use std::path::Path;
use std::time::Duration;

use counterproof::bench::scene::Scene;
use counterproof::camera::health::{ReferenceView, Thumbnail};
use counterproof::edge::views::Views;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, RgbImage, imageops};

use crate::support::hospital::{Hospital, Wishes};
use crate::support::prometheus::{self, Page};
use crate::support::{quick_hospital, wait_for};

/// Counters beside the two that every hospital has.
const SICK: [&str; 4] = ["black", "covered", "frozen", "blurred"];

fn write(folder: &Path, n: usize, picture: &RgbImage) {
    std::fs::create_dir_all(folder).unwrap();
    let file = std::fs::File::create(folder.join(format!("{n:04}.jpg"))).unwrap();
    JpegEncoder::new_with_quality(file, 85)
        .encode(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .unwrap();
}

/// Pictures of one value with a sensor's noise, another in each.
fn grey(folder: &Path, value: u8) {
    for n in 0..10u32 {
        let noise = |x: u32, y: u32| ((x * 31 + y * 17 + n * 7) % 5) as u8;
        write(folder, n as usize, &RgbImage::from_fn(640, 480, |x, y| image::Rgb([value + noise(x, y); 3])));
    }
}

/// The cameras of [`SICK`], from the pictures of `w01`, where somebody stands.
fn make_them(h: &Hospital) {
    let cameras = h.dir.join("cameras");
    let person = |n: u32| image::open(cameras.join(format!("w01/{n:04}.jpg"))).unwrap().into_rgb8();
    grey(&cameras.join("black"), 4);
    grey(&cameras.join("covered"), 120);
    write(&cameras.join("frozen"), 0, &person(0));
    for n in 0..10 {
        write(&cameras.join("blurred"), n as usize, &imageops::fast_blur(&person(n), 5.0));
    }
}

fn with_sick_counters() -> Wishes {
    let counter = |id: &str| {
        format!(
            "[[counters]]\nid = \"{id}\"\nbefore_ms = 700\nafter_ms = 700\nregion = {{ x = 0, y = 0, w = 1, h = 1 }}\n[counters.camera]\nkind = \"replay\"\npath = \"cameras/{id}\"\nframes_per_second = 15\n"
        )
    };
    let all: String = SICK.iter().map(|id| counter(id)).collect();
    // In shadow the bureau hears every ten seconds, and verdicts are the same.
    let replace = vec![("[privacy]\n".to_owned(), all + "[privacy]\n")];
    Wishes { replace, commissioned: false, ..Wishes::default() }
}

async fn page(h: &Hospital) -> Page {
    prometheus::read(&h.metrics(&h.agent_metrics).await.unwrap())
}

/// Waits until the page shows a camera in a state, and no other.
async fn in_state(h: &Hospital, counter: &str, state: &str) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let page = page(h).await;
        let of = |labels: &[(&str, &str)]| page.value("counterproof_camera_health", labels);
        let looked = page.value("counterproof_camera_thumbnails_total", &[("counter", counter)]) > 0.0;
        if looked && of(&[("counter", counter), ("state", state)]) == 1.0 {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "waited 20 s for {counter} to be {state}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn settled(h: &Hospital, counter: &str, cardholder: &str) -> (String, String) {
    let id = format!("S-{counter}-{cardholder}");
    let (status, body) = h.settle(&Hospital::settlement(&id, counter, cardholder, &[])).await.unwrap();
    assert_eq!(status, 202, "{body}");
    let verification = body["verification_id"].as_str().unwrap().to_owned();
    wait_for("a verdict", || h.verdict(&verification))
}

#[tokio::test]
async fn a_sick_camera_is_named_and_accuses_nobody() {
    let mut o = quick_hospital(&with_sick_counters());
    let h = &mut o.h;
    make_them(h);
    h.enrol().unwrap();
    h.start_agent().unwrap();
    for (counter, state, verdict, reason) in [
        ("w01", "ok", "mismatch", ""),
        ("black", "black", "not_assessed", "camera_black"),
        ("covered", "covered", "not_assessed", "camera_covered"),
        ("frozen", "frozen", "not_assessed", "camera_frozen"),
        ("blurred", "out_of_focus", "inconclusive", "camera_out_of_focus"),
    ] {
        in_state(h, counter, state).await;
        assert_eq!(settled(h, counter, "PA").await, (verdict.to_owned(), reason.to_owned()), "{counter}");
    }
    in_state(h, "w02", "ok").await;

    // One look at each, however often its state was asked.
    let looks = |page: &Page, c: &str| page.value("counterproof_camera_thumbnails_total", &[("counter", c)]);
    let told = page(h).await;
    for counter in SICK.iter().chain(&["w01", "w02"]) {
        let states = ["ok", "silent", "frozen", "black", "covered", "out_of_focus", "moved"];
        let of = |s: &str| told.value("counterproof_camera_health", &[("counter", counter), ("state", s)]);
        assert_eq!(states.iter().map(|s| of(s)).sum::<f64>(), 1.0, "{counter}");
        assert!(looks(&told, counter) <= 2.0, "{counter}: {} looks", looks(&told, counter));
    }

    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let posture = loop {
        let posture = h.console("/agents.json").await.unwrap()["agents"][0]["posture"].clone();
        if posture["cameras"]["blurred"] == "out_of_focus" && posture["cameras"]["frozen"] == "frozen" {
            break posture;
        }
        assert!(std::time::Instant::now() < deadline, "waited 30 s for a posture with them: {posture}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((&posture["cameras"]["w01"], &posture["cameras"]["black"]), (&"ok".into(), &"black".into()));
    let troubles = posture["troubles"].to_string();
    for (counter, word) in [
        ("black", "cap on the lens"),
        ("covered", "covered or blinded"),
        ("frozen", "same picture"),
        ("blurred", "out of focus"),
    ] {
        let said = format!("counter {counter}: the camera ");
        assert!(troubles.contains(&said) && troubles.contains(word), "{counter}: {troubles}");
    }
    assert!(!troubles.contains("counter w01: the camera"), "{troubles}");
}

#[tokio::test]
async fn a_camera_that_may_have_been_moved_accuses_nobody() {
    let mut o = quick_hospital(&Wishes { commissioned: false, ..Wishes::default() });
    let h = &mut o.h;
    // The one looks elsewhere than it was aimed; the other has nobody before its view, and its own view.
    let views = Views::of(&h.dir.join("state"));
    let view = |seed| ReferenceView::of(&Thumbnail::of(&Scene::empty().with_seed(seed).frame(0))).unwrap();
    views.remember(&"w01".parse().unwrap(), &view(5)).unwrap();
    views.remember(&"w02".parse().unwrap(), &view(0)).unwrap();
    h.enrol().unwrap();
    h.start_agent().unwrap();
    for counter in ["w01", "w02"] {
        in_state(h, counter, "ok").await;
    }
    let found = settled(h, "w01", "PA").await;
    assert_eq!(found, ("inconclusive".into(), "camera_in_doubt".into()));
    assert_eq!(settled(h, "w01", "PB").await.0, "match", "a match accuses nobody");
    assert_eq!(settled(h, "w02", "PA").await.1, "no_face");
}
