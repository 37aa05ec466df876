//! Boxes, over real programs: they join by a one-time code, get documents and hear
//! of the version that they are to run; a re-imaged one ends what was before.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use counterproof::crypto::Sha256;
use counterproof::crypto::keys::read_signing_key;
use counterproof::protocol::{ALERTS_PATH, HEAD_PATH};
use serde_json::Value;

use crate::support::bureau::{Bureau, Chain, TestBox};
use crate::support::hospital::pki::Issued;
use crate::support::hospital::{Hospital, Running, Wishes};
use crate::support::{models, quick_hospital, wait_for};

const AGENT: &str = env!("CARGO_BIN_EXE_counterproof");
const BUREAU: &str = env!("CARGO_BIN_EXE_counterproof-bureau");

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Makes the authority for boxes in `dir`, and adds it to those that the bureau trusts.
fn authority(dir: &Path) {
    let made = Command::new(BUREAU).args(["join-authority", "--out"]).arg(dir).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let [ca, own] = ["pki/ca.pem", "boxes-ca.pem"].map(|f| fs::read_to_string(dir.join(f)).unwrap());
    fs::write(dir.join("pki/ca.pem"), format!("{ca}{own}")).unwrap();
}

fn joining_bureau() -> Bureau {
    let mut bureau = Bureau::prepare("[join]\nlisten = '127.0.0.1:0'\nauthority_key = 'boxes-ca.key'\n");
    authority(bureau.dir.path());
    bureau.run();
    bureau
}

/// Makes a code; what the program printed for standard output.
fn code(bureau: &Bureau, words: &[&str]) -> String {
    let made = bureau.command(&[&["agents", "code"], words].concat()).args(["--by", "li"]).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

fn join(bureau: &str, code: &str, keys: &Path) -> Output {
    let words = ["join", "--bureau", bureau, "--code", code, "--keys"];
    Command::new(AGENT).args(words).arg(keys).env_remove("RUST_LOG").output().unwrap()
}

/// A client with what joining wrote.
fn joined(keys: &Path) -> TestBox {
    let at = |f: &str| keys.join(f);
    let files = Issued { ca: at("bureau-ca.pem"), certificate: at("box.pem"), key: at("tls.key") };
    let key = read_signing_key(&at("signing.key").to_string_lossy()).unwrap();
    TestBox { key, ..TestBox::new(files) }
}

#[tokio::test]
async fn a_box_joins_by_a_code_and_its_alert_goes_through_and_the_code_is_good_for_no_other() {
    let bureau = joining_bureau();
    let keys = bureau.dir.path().join("box-keys");
    let line = code(&bureau, &["box-1", "--hospital", "H31010000001"]);
    let done = join(&bureau.join_url(), &line, &keys);
    let told = said(&done);
    assert!(done.status.success() && told.contains("on record as box-1 of hospital H31010000001"), "{told}");
    assert!(told.contains("name = \"box-1\"") && told.contains("public_key = \""), "{told}");
    let boxed = joined(&keys);
    let (_, alert) = Chain::new("box-1").mismatch();
    assert_eq!(boxed.alert(&bureau, &alert).await, 201);

    // Used up, also for the same box.
    let again = said(&join(&bureau.join_url(), &line, &keys));
    assert!(again.contains("refused (403)") && again.contains("was used"), "{again}");
    let other = bureau.dir.path().join("other-keys");
    assert!(said(&join(&bureau.join_url(), &line, &other)).contains("refused (403)"));
    // Neither the code nor its secret is anywhere at the bureau.
    let secret = line.split('.').nth(1).unwrap();
    for file in ["bureau.db", "bureau.db-wal", "bureau.log"] {
        let bytes = fs::read(bureau.dir.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{file}");
    }
    let acts = String::from_utf8(bureau.command(&["acts"]).output().unwrap().stdout).unwrap();
    assert!(acts.contains("agents code") && acts.contains("agents join"), "{acts}");
}

#[tokio::test]
async fn a_newer_code_ends_the_one_before_and_a_server_that_the_code_does_not_name_hears_no_secret() {
    let bureau = joining_bureau();
    let keys = bureau.dir.path().join("box-keys");
    let words = ["box-1", "--hospital", "H31010000001"];
    let (first, second) = (code(&bureau, &words), code(&bureau, &words));
    assert!(said(&join(&bureau.join_url(), &first, &keys)).contains("refused (403)"));
    // Another bureau with another certificate, which the code does not name.
    let stranger = joining_bureau();
    let refused = said(&join(&stranger.join_url(), &second, &keys));
    assert!(refused.contains("the code names") && refused.contains("stays good"), "{refused}");
    assert!(!stranger.log().contains("somebody tried to join"), "{}", stranger.log());
    let done = join(&bureau.join_url(), &second, &keys);
    assert!(done.status.success(), "{}", said(&done));
    let wrong = said(&join(&bureau.join_url(), "cpj1.x.y", &keys));
    assert!(wrong.contains("this is no code for joining"), "{wrong}");
    let hospital = bureau.command(&["agents", "code", "box-2"]).output().unwrap();
    assert!(said(&hospital).contains("a new box needs its hospital's code"), "{}", said(&hospital));
}

#[tokio::test]
async fn where_the_bureau_makes_no_certificates_a_box_brings_one() {
    let bureau = Bureau::start("[join]\nlisten = '127.0.0.1:0'\n");
    let keys = bureau.dir.path().join("box-keys");
    let line = code(&bureau, &["box-1", "--hospital", "H31010000001"]);
    let refused = said(&join(&bureau.join_url(), &line, &keys));
    assert!(refused.contains("join with --certificate; the code stays good"), "{refused}");
    let own = bureau.pki.issue("box-1", false).unwrap();
    let done = Command::new(AGENT)
        .args(["join", "--bureau", &bureau.join_url(), "--code", &line, "--keys"])
        .arg(&keys)
        .arg("--certificate")
        .arg(&own.certificate)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", said(&done));
    let key = read_signing_key(&keys.join("signing.key").to_string_lossy()).unwrap();
    let boxed = TestBox { key, ..TestBox::new(own) };
    assert_eq!(boxed.get(&bureau, HEAD_PATH).await.status().as_u16(), 200);
}

#[tokio::test]
async fn a_re_imaged_box_has_new_keys_and_the_old_certificate_ends() {
    let bureau = joining_bureau();
    let [old_keys, new_keys] = ["old", "new"].map(|d| bureau.dir.path().join(d));
    let first = code(&bureau, &["box-1", "--hospital", "H31010000001"]);
    assert!(join(&bureau.join_url(), &first, &old_keys).status.success());
    let old = joined(&old_keys);
    let mut chain = Chain::new("box-1");
    let (_, before) = chain.mismatch();
    assert_eq!(old.alert(&bureau, &before).await, 201);

    // The same keys are no new ones; the code stays good for new ones.
    let second = code(&bureau, &["box-1"]);
    let refused = said(&join(&bureau.join_url(), &second, &old_keys));
    assert!(refused.contains("refused (409)") && refused.contains("the code stays good"), "{refused}");
    assert_eq!(old.get(&bureau, HEAD_PATH).await.status().as_u16(), 200);
    assert!(join(&bureau.join_url(), &second, &new_keys).status.success());
    let new = joined(&new_keys);
    assert_eq!(old.get(&bureau, HEAD_PATH).await.status().as_u16(), 403);
    let (_, after) = Chain::new("box-1").mismatch();
    assert_eq!(old.post(&bureau, ALERTS_PATH, &after).await.status().as_u16(), 403);
    assert_eq!(new.alert(&bureau, &after).await, 201);
    let listed = bureau.command(&["agents", "list", "--json"]).output().unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((&listed[0]["transform"], &listed[0]["events"]), (&2.into(), &2.into()));
}

/// The hospital's bureau anew, with a listener for joining; where that is.
fn let_join(h: &mut Hospital) -> String {
    authority(&h.dir);
    let config = h.dir.join("bureau.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}[join]\nlisten = \"127.0.0.1:0\"\nauthority_key = \"boxes-ca.key\"\n"))
        .unwrap();
    h.bureau.take().unwrap().terminate().unwrap();
    let agent = fs::read_to_string(h.agent_config()).unwrap();
    let url = agent.lines().find_map(|l| l.strip_prefix("url = \"https://localhost:")).unwrap();
    h.start_bureau(&format!("127.0.0.1:{}", url.trim_end_matches('"'))).unwrap();
    let ready: Value = serde_json::from_slice(&fs::read(h.dir.join("bureau.ready")).unwrap()).unwrap();
    format!("https://{}", ready["join"].as_str().unwrap())
}

fn restart(h: &mut Hospital) {
    if let Some(mut running) = h.agent.take() {
        assert!(Running::terminate(&mut running).unwrap().success());
    }
    h.start_agent().unwrap();
}

async fn posture(h: &Hospital, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let told = h.bureau_command(&["agents", "posture", "box-1"]).unwrap_or_default();
        let posture: Value = serde_json::from_str(&told).unwrap_or_default();
        if fits(&posture) {
            return posture;
        }
        assert!(std::time::Instant::now() < deadline, "waited 30 s for {what}: {posture:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_real_box_that_was_re_imaged_gets_documents_hears_of_a_version_and_its_alert_goes_through() {
    let mut o = quick_hospital(&Wishes { commissioned: false, ..Wishes::default() });
    let h = &mut o.h;
    h.enrol().unwrap();
    let bureau = let_join(h);
    let line = h.bureau_command(&["agents", "code", "box-1"]).unwrap();
    let keys = h.dir.join("new-keys");
    let done = join(&bureau, line.lines().next().unwrap(), &keys);
    assert!(done.status.success(), "{}", said(&done));
    // A disk made anew: new keys, a new state folder, and so a new epoch.
    let text = fs::read_to_string(h.agent_config()).unwrap();
    let text = text
        .replace("\"keys/", "\"new-keys/")
        .replace("pki/box-1.pem", "new-keys/box.pem")
        .replace("pki/box-1.key", "new-keys/tls.key");
    fs::write(h.agent_config(), text).unwrap();
    h.token = fs::read_to_string(keys.join("his.token")).unwrap().trim().to_owned();
    restart(h);

    let shipped = models().parent().unwrap().join("../config/calibrations/sface-2021dec.toml");
    let changed = format!("{}# another\n", fs::read_to_string(&shipped).unwrap());
    let file: PathBuf = h.dir.join("handed-out.toml");
    fs::write(&file, &changed).unwrap();
    let digest = Sha256::of(changed.as_bytes()).to_string();
    let hand_out = |h: &Hospital| {
        let file = file.to_string_lossy().into_owned();
        let words = ["agents", "hand-out", "box-1", "--kind", "calibration", "--file", &file];
        h.bureau_command(&words).unwrap()
    };
    assert!(hand_out(h).contains(&digest));
    let plan = ["rollout", "plan", "--version", "9.9.9", "--package", &digest, "--stages", "H00000000001"];
    h.bureau_command(&plan).unwrap();
    h.bureau_command(&["rollout", "begin", "1", "1"]).unwrap();
    restart(h);
    // The document may have come before the stage was begun.
    let here = |p: &Value| p["arrived"][0]["digest"] == *digest && p["wanted"]["version"] == "9.9.9";
    let told = posture(h, "the document and the version to arrive", here).await;
    assert_ne!(told["calibration"], *digest, "it is not in force by arriving");
    let journal = &told["purges"]["journal_hours"];
    assert!(journal["at"].is_i64() && journal["deleted"] == 0, "{told:#}");
    let kept = h.dir.join(format!("state/documents/calibration-{digest}.toml"));
    assert_eq!(fs::read_to_string(&kept).unwrap(), changed);
    let metrics = h.metrics(&h.agent_metrics).await.unwrap();
    assert!(metrics.contains("counterproof_other_version_wanted 1"), "{metrics}");
    let check = Command::new(AGENT).args(["check", "--config"]).arg(h.agent_config()).output().unwrap();
    assert!(said(&check).contains("the bureau wants 9.9.9 here (roll-out 1)"), "{}", said(&check));
    let listed = h.bureau_command(&["rollout", "list"]).unwrap();
    assert!(listed.contains("9.9.9") && listed.contains("H00000000001"), "{listed}");

    // A stage that is stopped tells nothing any more.
    h.bureau_command(&["rollout", "stop", "1", "1"]).unwrap();
    restart(h);
    posture(h, "the version to be forgotten", |p| p["wanted"].is_null() && p["arrived"].is_array()).await;

    let sign = ["commission", "sign", "box-1", "--supervisor", "li", "--without-figures", "a test"];
    h.bureau_command(&sign).unwrap();
    h.waits_until_armed = true;
    restart(h);
    // The drawn cameras play at 15/s; a window needs its past in the ring.
    std::thread::park_timeout(Duration::from_millis(900));
    let (status, body) = h.settle(&Hospital::settlement("S1", "w01", "PA", &[])).await.unwrap();
    assert_eq!(status, 202, "{body}");
    let verification = body["verification_id"].as_str().unwrap().to_owned();
    assert_eq!(wait_for("a verdict", || h.verdict(&verification)).0, "mismatch");
    let delivered = wait_for("the alert to be delivered", || {
        let delivered = h.audit("event_delivered");
        (!delivered.is_empty()).then_some(delivered)
    });
    assert_eq!(delivered.len(), 1);
}
