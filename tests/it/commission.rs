//! Watch first, accuse later: a box in shadow tells nobody, a supervisor's
//! signature arms it, and whatever it was not signed for puts it back.

use std::process::{Command, Output};
use std::time::Duration;

use counterproof::crypto::sign::SigningKey;
use serde_json::Value;

use crate::support::hospital::{Hospital, Wishes};
use crate::support::{models, quick_hospital, wait_for};

fn in_shadow() -> Wishes {
    Wishes { commissioned: false, ..Wishes::default() }
}

/// Settles, and waits for the recorded verdict.
async fn settled(h: &Hospital, id: &str, counter: &str, cardholder: &str) -> Value {
    let settlement = Hospital::settlement(id, counter, cardholder, &[]);
    // As a HIS does: a connection that idled for ten seconds may close under the request.
    let sent = match h.settle(&settlement).await {
        Ok(sent) => sent,
        Err(_) => h.settle(&settlement).await.unwrap(),
    };
    assert!(matches!(sent.0, 200 | 202), "{sent:?}");
    recorded(h, id)
}

fn recorded(h: &Hospital, id: &str) -> Value {
    wait_for("a verdict", || h.audit("verdict").into_iter().find(|v| v["data"]["settlement"] == id))["data"]
        .clone()
}

fn ring_filled() {
    // The drawn cameras play at 15/s; a window needs its past in the ring.
    std::thread::park_timeout(Duration::from_millis(900));
}

/// The box's last change into this mode.
fn turned(h: &Hospital, mode: &str) -> Option<Value> {
    let both = ["commissioned", "shadowed"].map(|kind| h.audit(kind));
    let last = both.into_iter().flatten().max_by_key(|r| r["seq"].as_u64())?;
    (last["data"]["to"] == mode).then(|| last["data"].clone())
}

fn agent(h: &Hospital, words: &[&str]) -> Output {
    Command::new(&h.programs.agent).args(words).arg("--config").arg(h.agent_config()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn restart(h: &mut Hospital) {
    assert!(h.agent.as_mut().unwrap().terminate().unwrap().success());
    h.start_agent().unwrap();
}

async fn wait_for_alert(h: &Hospital, settlement: &str) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !h.alerts().await.unwrap().contains_key(settlement) {
        assert!(std::time::Instant::now() < deadline, "waited 20 s for the alert of {settlement}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn armed_gauge(page: &str) -> Option<&str> {
    page.lines().find_map(|l| l.strip_prefix("counterproof_armed "))
}

#[tokio::test]
async fn a_stranger_in_shadow_is_told_to_nobody_until_a_supervisor_signed_and_after_it_was_revoked() {
    let mut o = quick_hospital(&in_shadow());
    let h = &mut o.h;
    h.enrol().unwrap();
    h.start_agent().unwrap();
    ring_filled();
    let watched = settled(h, "S1", "w01", "PA").await;
    assert_eq!((&watched["verdict"], &watched["shadow"]), (&"mismatch".into(), &true.into()));
    assert_eq!(settled(h, "S2", "w01", "PB").await["verdict"], "match");
    assert_eq!(armed_gauge(&h.metrics(&h.agent_metrics).await.unwrap()), Some("0"));

    // The box's own report, while it runs.
    let page = said(&agent(h, &["commission", "report"]));
    assert!(page.contains("box-1: shadow(never_commissioned)") && page.contains("mismatch"), "{page}");
    assert!(page.contains("recommendation: wait: 2 of 200 settlements"), "{page}");
    let json: Value = serde_json::from_slice(&agent(h, &["commission", "report", "--json"]).stdout).unwrap();
    assert_eq!(json["recommendation"]["seen"], 2);
    let checked = said(&agent(h, &["check"]));
    assert!(checked.contains("in shadow: settlements are verified and counted, 2 with a score"), "{checked}");

    // Too little was seen: it is not signed without a reason.
    let sign = ["commission", "sign", "box-1", "--supervisor", "li"];
    let refused = wait_for("the box's calibration at the bureau", || {
        let e = h.bureau_command(&sign).unwrap_err().to_string();
        (!e.contains("is not held here")).then_some(e)
    });
    assert!(refused.contains("wait: 0 of 200") && refused.contains("--without-figures"), "{refused}");
    assert!(h.bureau_command(&["commission", "report", "box-1"]).unwrap().contains("wait: 0 of 200"));
    let reason = ["--without-figures", "two strangers were recognised by hand"];
    let done = h.bureau_command(&[&sign[..], &reason].concat()).unwrap();
    assert!(done.starts_with("order 1: box-1 is armed"), "{done}");
    let word = wait_for("the box to be armed", || turned(h, "armed"));
    assert_eq!((&word["supervisor"], &word["without_figures"]), (&"li".into(), &reason[1].into()));
    assert_eq!(armed_gauge(&h.metrics(&h.agent_metrics).await.unwrap()), Some("1"));
    settled(h, "S3", "w01", "PA").await;
    wait_for_alert(h, "S3").await;
    let listed = wait_for("the bureau to hear of it", || {
        let listed = h.bureau_command(&["commission", "list"]).unwrap();
        listed.contains("box-1                armed").then_some(listed)
    });
    assert!(listed.contains(" arm ") && listed.contains(" yes "), "{listed}");

    // What is armed stays so over a restart, without a word of the bureau.
    let order = counterproof_order(h);
    restart(h);
    assert_eq!(turned(h, "armed"), Some(word));

    let revoke = ["commission", "revoke", "box-1", "--supervisor", "wu", "--reason", "the window moved"];
    h.bureau_command(&revoke).unwrap();
    h.waits_until_armed = false;
    restart(h);
    let why = wait_for("the box to be disarmed", || turned(h, "shadow(revoked)"));
    assert_eq!((&why["detail"], &why["supervisor"]), (&"the window moved".into(), &"wu".into()));
    // The former order, brought back, arms nothing.
    let store = rusqlite::Connection::open(h.dir.join("bureau.db")).unwrap();
    store.execute("DELETE FROM commissions WHERE number > ?1", [order]).unwrap();
    restart(h);
    let log = || std::fs::read_to_string(&h.agent.as_ref().unwrap().log).unwrap();
    wait_for("the old order to be refused", || log().contains("is older than one seen before").then_some(()));
    ring_filled();
    assert_eq!(settled(h, "S4", "w01", "PA").await["shadow"], true);
    assert_eq!(h.alerts().await.unwrap().into_keys().collect::<Vec<_>>(), ["S3"]);
    let acts = h.bureau_command(&["acts"]).unwrap();
    assert!(acts.contains("commission sign") && acts.contains("commission revoke"), "{acts}");
}

fn counterproof_order(h: &Hospital) -> i64 {
    let store = rusqlite::Connection::open(h.dir.join("bureau.db")).unwrap();
    store.query_row("SELECT MAX(number) FROM commissions WHERE agent = 'box-1'", [], |r| r.get(0)).unwrap()
}

#[tokio::test]
async fn an_order_that_was_forged_or_is_for_another_box_model_or_calibration_arms_nothing() {
    let mut o = quick_hospital(&in_shadow());
    let h = &mut o.h;
    let public = SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap().public();
    h.pki.issue("box-2", false).unwrap();
    let certificate = h.dir.join("pki/box-2.pem").to_string_lossy().into_owned();
    h.bureau_command(&[
        "agents",
        "add",
        "--name",
        "box-2",
        "--hospital",
        "H00000000001",
        "--public-key",
        &public.to_base64(),
        "--certificate",
        &certificate,
    ])
    .unwrap();
    let shipped = models().parent().unwrap().join("../config/calibrations/sface-2021dec.toml");
    let calibration = shipped.to_string_lossy().into_owned();
    let sign = |name: &str| {
        let words = ["commission", "sign", name, "--supervisor", "li", "--without-figures", "a test"];
        h.bureau_command(&[&words[..], &["--calibration", &calibration]].concat()).unwrap()
    };
    sign("box-2");
    let store = rusqlite::Connection::open(h.dir.join("bureau.db")).unwrap();
    let take = |change: &str| {
        let sql = format!(
            "INSERT INTO commissions (agent, number, document, signature, signed_at)
             SELECT 'box-1', 7, {change}, signature, signed_at FROM commissions WHERE agent = 'box-2'"
        );
        assert_eq!(store.execute(&sql, []).unwrap(), 1);
    };
    take("document");
    h.waits_until_armed = false;
    h.start_agent().unwrap();
    let told = |h: &Hospital, what: &str| {
        let log = || std::fs::read_to_string(&h.agent.as_ref().unwrap().log).unwrap_or_default();
        wait_for(what, || log().contains(what).then_some(()));
    };
    told(h, "it is for box-2, this box is box-1");
    store.execute("DELETE FROM commissions WHERE agent = 'box-1'", []).unwrap();
    take("replace(document, 'box-2', 'box-1')");
    restart(h);
    told(h, "the signature does not fit the bytes");
    assert!(!h.armed());
    store.execute("DELETE FROM commissions WHERE agent = 'box-1'", []).unwrap();

    // Signed in order, it arms; another calibration puts the box back.
    let words = ["commission", "sign", "box-1", "--supervisor", "li", "--without-figures", "a test"];
    h.bureau_command(&[&words[..], &["--calibration", &calibration]].concat()).unwrap();
    h.waits_until_armed = true;
    restart(h);
    let config = std::fs::read_to_string(h.agent_config()).unwrap();
    let other = h.dir.join("other.toml");
    std::fs::write(&other, std::fs::read_to_string(&shipped).unwrap() + "# another\n").unwrap();
    let line = config.lines().find(|l| l.starts_with("calibration = ")).unwrap();
    let changed = config.replacen(line, "calibration = \"other.toml\"", 1);
    std::fs::write(h.agent_config(), changed).unwrap();
    h.waits_until_armed = false;
    restart(h);
    assert!(turned(h, "shadow(other_calibration)").is_some());
    let checked = said(&agent(h, &["check"]));
    assert!(checked.contains("other_calibration") && checked.contains("signs anew"), "{checked}");
    // What was signed for the former one still stands.
    std::fs::write(h.agent_config(), config).unwrap();
    restart(h);
    assert!(turned(h, "armed").is_some());
}

#[tokio::test]
async fn a_box_whose_figures_drift_goes_back_into_shadow_and_says_so() {
    let replace = [
        ("[liveness]", "[commissioning]\nwindow = 20\n[liveness]"),
        ("hold_ms = 0", "hold_ms = 0\nqueue = 64"),
    ];
    let replace = replace.map(|(from, to)| (from.to_owned(), to.to_owned())).to_vec();
    let mut o = quick_hospital(&Wishes { replace, ..Wishes::default() });
    let h = &mut o.h;
    h.enrol().unwrap();
    h.start_agent().unwrap();
    ring_filled();
    // The first window is the baseline, since nobody showed figures; then the camera sees nobody.
    for (counter, prefix) in [("w01", "A"), ("w02", "B")] {
        let ids: Vec<String> = (0..20).map(|i| format!("{prefix}{i}")).collect();
        for id in &ids {
            let (status, body) = h.settle(&Hospital::settlement(id, counter, "PB", &[])).await.unwrap();
            assert_eq!(status, 202, "{body}");
        }
        ids.iter().for_each(|id| drop(recorded(h, id)));
    }
    let why = wait_for("the box to disarm itself", || turned(h, "shadow(drift)"));
    assert!(why["detail"].as_str().unwrap().contains("are inconclusive now, 0 % were"), "{why}");
    assert_eq!(settled(h, "S1", "w01", "PA").await["shadow"], true);
    assert!(h.alerts().await.unwrap().is_empty());
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let told = h.console("/agents.json").await.unwrap();
        let posture = &told["agents"][0]["posture"];
        let troubles = posture["troubles"].to_string();
        if posture["commissioning"]["mode"] == "shadow(drift)" && troubles.contains("back into shadow") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{posture}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The order that was signed before is spent: a restart does not arm the box.
    h.waits_until_armed = false;
    restart(h);
    assert!(turned(h, "shadow(drift)").is_some());
    let page = said(&agent(h, &["commission", "report"]));
    assert!(page.contains("shadow(drift)") && page.contains("because "), "{page}");
}
