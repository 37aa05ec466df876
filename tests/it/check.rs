//! `counterproof check`: a line for each thing that a box needs, and what to do.

use std::process::Command;

use serde_json::Value;

use crate::support::hospital::{Hospital, Wishes};
use crate::support::quick_hospital;

fn check(h: &Hospital) -> (bool, Value) {
    let done = Command::new(env!("CARGO_BIN_EXE_counterproof"))
        .args(["check", "--json", "--config"])
        .arg(h.agent_config())
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    (done.status.success(), serde_json::from_slice(&done.stdout).unwrap())
}

fn line(checked: &Value, what: &str) -> (String, String) {
    let lines = checked["lines"].as_array().unwrap();
    let line = lines.iter().find(|l| l["what"] == what).unwrap_or_else(|| panic!("{what}: {checked:#}"));
    let text = |k: &str| line[k].as_str().unwrap().to_owned();
    (text("level"), text("found"))
}

#[test]
fn a_box_in_order_has_a_line_for_each_thing_and_passes() {
    let o = quick_hospital(&Wishes::default());
    let (ended_well, checked) = check(&o.h);
    assert!(ended_well && checked["passed"] == true, "{checked:#}");
    for what in [
        "configuration and policy",
        "root key",
        "signing key",
        "HIS token",
        "state folder",
        "disk",
        "models and calibration",
        "camera of w01",
        "light at w01",
        "camera of w02",
        "light at w02",
        "bureau",
    ] {
        assert_eq!(line(&checked, what).0, "ok", "{what}: {checked:#}");
    }
    // Whether somebody synchronises this machine is not for a test to say; that the bureau agrees is.
    let (level, found) = line(&checked, "clock");
    assert!(level != "failure" && found.contains("agrees with the bureau's"), "{found}");
    let (_, found) = line(&checked, "camera of w01");
    assert!(found.starts_with("replay, 640x480 at "), "{found}");
    let (_, found) = line(&checked, "light at w01");
    assert!(found.contains("mean ") && found.contains("% too dark"), "{found}");
}

#[test]
fn what_is_wrong_is_named_with_what_to_do_and_the_rest_is_looked_at_all_the_same() {
    let dark = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let wishes = Wishes {
        commissioned: false,
        replace: vec![
            dark("place = \"w01, w02\"", "place = \"w01 and w02\""),
            dark("path = \"cameras/w02\"", "path = \"cameras/none\""),
        ],
        ..Wishes::default()
    };
    let mut o = quick_hospital(&wishes);
    // A camera with its cap on.
    let black = image::RgbImage::new(640, 480);
    for file in std::fs::read_dir(o.h.dir.join("cameras/w01")).unwrap() {
        black.save(file.unwrap().path()).unwrap();
    }
    let config = std::fs::read_to_string(o.h.agent_config()).unwrap();
    std::fs::write(o.h.agent_config(), config.replace("frames_seconds = 20", "frames_seconds = 21")).unwrap();
    o.h.bureau.take();
    let (ended_well, checked) = check(&o.h);
    assert!(!ended_well && checked["passed"] == false, "{checked:#}");
    for (what, level, words) in [
        ("configuration and policy", "failure", "counterproof policy notice"),
        ("light at w01", "warning", "put light on the person"),
        ("camera of w02", "failure", "cameras/none"),
        ("bureau", "failure", "is the bureau running"),
        ("liveness", "warning", "write \"averaged\""),
    ] {
        let (found_level, found) = line(&checked, what);
        assert!(found_level == level && found.contains(words), "{what}: {found_level}: {found}");
    }
    assert_eq!(line(&checked, "models and calibration").0, "ok");
}
