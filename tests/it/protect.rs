//! Protected references, over real programs: each box's are under a transform
//! of its own, scores are kept, a stolen one is of no use elsewhere, and a new
//! issue needs no restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use counterproof::bench;
use counterproof::camera::decode;
use counterproof::crypto::transform::Transform;
use counterproof::protocol::TRANSFORM_PATH;
use counterproof::protocol::reference::{Protected, ReferenceSet};
use counterproof::protocol::transform::TransformGrant;
use counterproof::verify::subjects::{SubjectError, Subjects};
use counterproof::vision::embed::{DIMENSION, Probe};
use counterproof::vision::manifest::Manifest;
use counterproof::vision::{Vision, Wanted};
use serde_json::{Value, json};

use crate::support::bureau::{Bureau, TestBox};
use crate::support::hospital::{Hospital, Programs, Wishes};
use crate::support::wait_for;

const REFERENCES: &str = "/v1/references/PB?settlement=S1";

fn models() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/models/models.toml").into()
}

/// A bureau at which one of the portraits is enrolled as `PB`.
fn bureau() -> Bureau {
    let bureau = Bureau::start(&format!("[models]\nmanifest = '{}'", models().display()));
    let folder = bureau.dir.path().join("portraits");
    std::fs::create_dir(&folder).unwrap();
    let photo = Manifest::read(&models()).unwrap().sample("portrait-b1").unwrap();
    std::fs::write(folder.join("PB.jpg"), photo).unwrap();
    let enrolled = bureau.command(&["enrol", &folder.to_string_lossy()]).output().unwrap();
    assert!(enrolled.status.success(), "{}", String::from_utf8_lossy(&enrolled.stderr));
    bureau
}

/// Another portrait of the same person as a probe, and the score that the two
/// have without a bureau in between.
fn probe() -> (Probe, f32) {
    let manifest = Manifest::read(&models()).unwrap();
    let mut vision = Vision::load(&manifest, &Wanted::default()).unwrap();
    let still = |id: &str| decode::still(&manifest.sample(id).unwrap()).unwrap();
    let frame = still("portrait-b2");
    let face = vision.find_in_still(&frame).unwrap()[0];
    let crop = vision.align(&frame, &face);
    let probe = vision.embed(&crop).unwrap();
    let reference = vision.enrol(&still("portrait-b1")).unwrap().template;
    let transform = bench::transform();
    let score = probe.protect(&transform).unwrap().compare(&reference.protect(&transform).unwrap());
    (probe, score.unwrap())
}

/// What a box gets: its transform, and the references' answer as text.
async fn fetch(bureau: &Bureau, boxed: &TestBox) -> (Transform, String) {
    let grant = boxed.get(bureau, TRANSFORM_PATH).await;
    assert_eq!(grant.headers()["cache-control"], "no-store");
    let grant: TransformGrant = grant.json().await.unwrap();
    let set = boxed.get(bureau, REFERENCES).await;
    assert_eq!(set.headers()["cache-control"], "no-store");
    (grant.key().unwrap().transform(DIMENSION), set.text().await.unwrap())
}

/// The one reference in an answer.
fn reference(answer: &str) -> Protected {
    let manifest = Manifest::read(&models()).unwrap();
    let vision = Vision::load(&manifest, &Wanted::default()).unwrap();
    let set: ReferenceSet = serde_json::from_str(answer).unwrap();
    let model = vision.recognizer();
    set.usable(model.sha256, model.preprocessing).unwrap().remove(0)
}

fn score(probe: &Probe, transform: &Transform, answer: &str) -> Option<f32> {
    probe.protect(transform).unwrap().compare(&reference(answer))
}

#[tokio::test]
async fn two_boxes_get_other_bytes_and_the_same_scores_and_a_stolen_reference_is_a_strangers() {
    let bureau = bureau();
    let (one, two) = (bureau.add_box("box-1"), bureau.add_box("box-2"));
    let (probe, expected) = probe();
    let (transform_1, answer_1) = fetch(&bureau, &one).await;
    let (transform_2, answer_2) = fetch(&bureau, &two).await;
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let embedding = |text: &str| parsed(text)["references"][0]["embedding"].clone();
    assert_ne!(embedding(&answer_1), embedding(&answer_2));
    assert_ne!(transform_1.id(), transform_2.id());
    for (transform, answer) in [(&transform_1, &answer_1), (&transform_2, &answer_2)] {
        let found = score(&probe, transform, answer).unwrap();
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
    // As it was stolen it does not compare at the other box.
    assert_eq!(score(&probe, &transform_2, &answer_1), None);
    let mut subjects = Subjects::under(Arc::new(transform_2));
    assert_eq!(subjects.add(vec![reference(&answer_1)]), Err(SubjectError::OtherTransform));
    // A thief writes the other box's id on it: the score is that of a random direction, whose standard
    // deviation in 128 dimensions is 0.088.
    let (transform_2, _) = fetch(&bureau, &two).await;
    let mut forged = parsed(&answer_1);
    forged["transform"] = json!(transform_2.id());
    let stolen = score(&probe, &transform_2, &forged.to_string()).unwrap();
    assert!(expected > 0.5 && stolen.abs() < 0.45, "genuine {expected}, stolen {stolen}");
}

#[tokio::test]
async fn a_new_issue_leaves_the_old_references_without_use() {
    let bureau = bureau();
    let boxed = bureau.add_box("box-1");
    let other = bureau.add_box("box-2");
    let (probe, expected) = probe();
    let (_, before) = fetch(&bureau, &boxed).await;
    let (_, of_other) = fetch(&bureau, &other).await;
    let said = bureau.command(&["agents", "reissue", "box-1"]).output().unwrap();
    assert!(String::from_utf8(said.stdout).unwrap().contains("transform version 2"));
    let (transform, after) = fetch(&bureau, &boxed).await;
    assert_eq!(score(&probe, &transform, &before), None);
    assert!((score(&probe, &transform, &after).unwrap() - expected).abs() < 1e-5);
    // The other box's stay as they were.
    assert_eq!(fetch(&bureau, &other).await.1, of_other);
    let nobody = bureau.command(&["agents", "reissue", "box-9"]).output().unwrap();
    assert!(!nobody.status.success());
    assert!(String::from_utf8(nobody.stderr).unwrap().contains("no box is called box-9"));
}

#[tokio::test]
async fn a_suspended_box_gets_neither_transform_nor_references_nor_does_a_stranger() {
    let bureau = bureau();
    let boxed = bureau.add_box("box-1");
    assert_eq!(boxed.get(&bureau, REFERENCES).await.status().as_u16(), 200);
    assert!(bureau.command(&["agents", "suspend", "box-1"]).status().unwrap().success());
    let stranger = bureau.stranger("box-2");
    for caller in [&boxed, &stranger] {
        for path in [TRANSFORM_PATH, REFERENCES] {
            let refused = caller.get(&bureau, path).await;
            assert_eq!(refused.status().as_u16(), 403, "{path}");
            let text = refused.text().await.unwrap();
            assert!(!text.contains("embedding") && !text.contains("\"key\""), "{text}");
        }
    }
}

/// Settles, and waits for the verdict.
async fn verdict(h: &Hospital, id: &str, cardholder: &str) -> String {
    let (status, body) = h.settle(&Hospital::settlement(id, "w01", cardholder, &[])).await.unwrap();
    assert_eq!(status, 202, "{body}");
    let verification = body["verification_id"].as_str().unwrap();
    wait_for("a verdict", || h.verdict(verification)).0
}

/// Versions of the transforms that the agent's log says were fetched.
fn fetched(log: &Path) -> Vec<u64> {
    std::fs::read_to_string(log)
        .unwrap()
        .lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok())
        .filter(|l| l["message"] == "the transform of references was fetched")
        .map(|l| l["version"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn a_running_agent_takes_a_new_issue_up_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let programs = Programs {
        agent: env!("CARGO_BIN_EXE_counterproof").into(),
        bureau: env!("CARGO_BIN_EXE_counterproof-bureau").into(),
    };
    let wishes = Wishes { before_ms: 700, after_ms: 700, ..Wishes::default() };
    let mut h = Hospital::open(dir.path(), programs, &models(), &wishes).unwrap();
    h.enrol().unwrap();
    h.start_agent().unwrap();
    // The person of the portraits B stands at w01.
    assert_eq!(verdict(&h, "S1", "PB").await, "match");
    assert_eq!(verdict(&h, "S2", "PB").await, "match");
    let log = h.agent.as_ref().unwrap().log.clone();
    assert_eq!(fetched(&log), [1], "one fetch serves all settlements");
    for (n, version) in [(3, 2), (4, 3)] {
        let said = h.bureau_command(&["agents", "reissue", "box-1"]).unwrap();
        assert!(said.contains(&format!("transform version {version}")), "{said}");
        assert_eq!(verdict(&h, &format!("S{n}"), "PB").await, "match");
        assert_eq!(fetched(&log).last(), Some(&version));
    }
    // And a stranger is still one.
    assert_eq!(verdict(&h, "S5", "PA").await, "mismatch");
    assert_eq!(fetched(&log), [1, 2, 3]);
    // Nothing of it is on the box's disk.
    let state = dir.path().join("state");
    let entries = [state.clone(), state.join("audit")];
    let files = entries.iter().flat_map(|d| std::fs::read_dir(d).unwrap()).map(|e| e.unwrap().path());
    let mut read = 0;
    for file in files.filter(|f| f.is_file()) {
        let bytes = std::fs::read(file).unwrap();
        read += bytes.len();
        assert!(!String::from_utf8_lossy(&bytes).contains("haar-hmac-sha256"));
    }
    assert!(read > 0);
}
