//! The agent as a HIS and a technician meet it: the real programs, real
//! models, real TLS, one database each.

use std::time::Duration;

use counterproof::crypto::keys::read_signing_key;
use counterproof::privacy::audit;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::support::hospital::{Hospital, Programs, Wishes};
use crate::support::wait_for;

fn programs() -> Programs {
    Programs {
        agent: env!("CARGO_BIN_EXE_counterproof").into(),
        bureau: env!("CARGO_BIN_EXE_counterproof-bureau").into(),
    }
}

fn models() -> std::path::PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/models/models.toml").into()
}

struct Open {
    h: Hospital,
    _dir: tempfile::TempDir,
}

fn hospital(wishes: &Wishes) -> Open {
    let dir = tempfile::tempdir().unwrap();
    let h = Hospital::open(dir.path(), programs(), &models(), wishes).unwrap();
    Open { h, _dir: dir }
}

/// A window that closes soon, so that tests do not wait for it.
fn quick() -> Wishes {
    Wishes { before_ms: 700, after_ms: 700, ..Wishes::default() }
}

/// Settles, and waits for the verdict.
async fn verdict(h: &Hospital, id: &str, counter: &str, cardholder: &str) -> (String, String) {
    let (status, body) = h.settle(&Hospital::settlement(id, counter, cardholder, &[])).await.unwrap();
    assert_eq!(status, 202, "{body}");
    let verification = body["verification_id"].as_str().unwrap();
    wait_for("a verdict", || h.verdict(verification))
}

fn ring_filled() {
    // The drawn cameras play at 15/s; a window needs its past in the ring.
    std::thread::park_timeout(Duration::from_millis(900));
}

async fn alert_state(h: &Hospital, settlement: &str) -> Option<String> {
    h.alerts().await.unwrap().get(settlement).and_then(|a| a["state"].as_str().map(str::to_owned))
}

async fn wait_for_alert(h: &Hospital, settlement: &str, state: &str) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while alert_state(h, settlement).await.as_deref() != Some(state) {
        assert!(std::time::Instant::now() < deadline, "waited 20 s for {settlement} to be {state}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_a_his_sends_wrongly_is_named() {
    let mut o = hospital(&quick());
    o.h.start_agent().unwrap();
    let h = &o.h;
    let good = Hospital::settlement("S1", "w01", "PB", &[]);
    let with = |key: &str, value: Value| {
        let mut s = good.clone();
        s[key] = value;
        s.to_string()
    };
    let json = "application/json";
    for (body, kind, token, status, field) in [
        ("{".to_owned(), json, true, 400, None),
        (good.to_string(), json, false, 401, None),
        (with("counter", json!("w99")), json, true, 404, Some("counter")),
        (with("cardholder", json!("x".repeat(70_000))), json, true, 413, None),
        (good.to_string(), "text/plain", true, 415, None),
        (with("amount_fen", json!("12")), json, true, 422, Some("amount_fen")),
        (with("occurred_at", json!("2026-02-30T00:00:00Z")), json, true, 422, Some("occurred_at")),
        (with("photo", json!("x")), json, true, 422, Some("photo")),
    ] {
        let mut request = h.request(Method::POST, "/v1/settlements").header(header::CONTENT_TYPE, kind);
        if token {
            request = request.bearer_auth(&h.token);
        }
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["field"].as_str(), field, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|d| d.len() > 10), "{problem}");
    }
    assert_eq!(h.request(Method::GET, "/readyz").send().await.unwrap().status(), StatusCode::OK);
    assert!(h.audit("settlement_accepted").is_empty());
}

#[tokio::test]
async fn a_stranger_s_alert_arrives_once_and_is_withdrawn_when_cancelled() {
    let mut o = hospital(&quick());
    let h = &mut o.h;
    h.enrol().unwrap();
    h.start_agent().unwrap();
    ring_filled();
    assert_eq!(verdict(h, "S1", "w01", "PA").await.0, "mismatch");
    wait_for_alert(h, "S1", "open").await;

    let again = Hospital::settlement("S2", "w01", "PB", &[]);
    let (first, body) = h.settle(&again).await.unwrap();
    let (second, repeated) = h.settle(&again).await.unwrap();
    assert_eq!((first, second), (202, 200));
    assert_eq!(body, repeated);
    let mut other = again.clone();
    other["amount_fen"] = json!(7);
    assert_eq!(h.settle(&other).await.unwrap().0, 409);

    assert_eq!(h.cancel("S1").await.unwrap(), 204);
    wait_for_alert(h, "S1", "withdrawn").await;
    assert_eq!(h.alerts().await.unwrap().len(), 1);

    assert_eq!(h.cancel("S3").await.unwrap(), 204);
    assert_eq!(h.settle(&Hospital::settlement("S3", "w01", "PA", &[])).await.unwrap().0, 202);
    assert!(h.agent.as_mut().unwrap().terminate().unwrap().success());
    let verdicts: Vec<(Value, Value)> = h
        .audit("verdict")
        .iter()
        .map(|v| (v["data"]["settlement"].clone(), v["data"]["verdict"].clone()))
        .collect();
    let of = |id: &str| verdicts.iter().filter(|v| v.0 == id).map(|v| v.1.clone()).collect::<Vec<_>>();
    assert_eq!(of("S1"), ["mismatch"]);
    assert_eq!(of("S2").len(), 1);
    assert_eq!(of("S3"), ["not_assessed"]);

    let key = read_signing_key(&h.dir.join("keys/signing.key").to_string_lossy()).unwrap();
    let checked = audit::verify(&h.dir.join("state/audit"), Some(&key.public())).unwrap();
    assert!(checked.checkpoints >= 1 && checked.unsigned_tail == 0, "{checked:?}");
}

/// Waits until the bureau has handed out references.
async fn references_given(h: &Hospital) {
    for _ in 0..600 {
        let page = h.metrics(&h.bureau_metrics).await.unwrap();
        let line = |l: &str| l.contains("/v1/references/") && l.contains("\"200\"") && !l.ends_with(" 0");
        if page.lines().any(|l| l.starts_with("counterproof_bureau_requests_total") && line(l)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the bureau was not asked for references");
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9_and_a_bureau_that_is_away() {
    let mut o = hospital(&quick());
    let h = &mut o.h;
    h.enrol().unwrap();
    h.start_agent().unwrap();
    ring_filled();
    // The bureau goes away after the references were fetched, before the verdict.
    let (_, body) = h.settle(&Hospital::settlement("S1", "w01", "PA", &[])).await.unwrap();
    let verification = body["verification_id"].as_str().unwrap().to_owned();
    references_given(h).await;
    let bureau = h.bureau.take();
    drop(bureau);
    assert_eq!(wait_for("a verdict", || h.verdict(&verification)).0, "mismatch");
    // Without references nobody is looked at; and a kill leaves this one open.
    assert_eq!(verdict(h, "S2", "w01", "PA").await, ("not_assessed".into(), "references_unavailable".into()));
    assert_eq!(h.settle(&Hospital::settlement("S3", "w01", "PA", &[])).await.unwrap().0, 202);
    h.agent.as_mut().unwrap().kill();

    let config = std::fs::read_to_string(h.agent_config()).unwrap();
    let port: String =
        config.split("https://localhost:").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    h.start_bureau(&format!("127.0.0.1:{port}")).unwrap();
    h.start_agent().unwrap();
    wait_for_alert(h, "S1", "open").await;
    let ended: Vec<Value> =
        h.audit("verdict").into_iter().filter(|v| v["data"]["settlement"] == "S3").collect();
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!(ended[0]["data"]["reason"], "restarted");
    assert_eq!(h.alerts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_held_mismatch_is_never_sent_if_cancelled_or_if_a_neighbour_is_named() {
    let mut o = hospital(&Wishes { hold_ms: 60_000, ..quick() });
    let h = &mut o.h;
    h.enrol().unwrap();
    h.start_agent().unwrap();
    ring_filled();
    // No neighbour; one of the same moment; one just after the window, told once it had closed.
    for (id, late) in [("S1", None), ("S2", Some(0)), ("S3", Some(800))] {
        let settlement = Hospital::settlement(id, "w01", "PA", &[]);
        let (_, body) = h.settle(&settlement).await.unwrap();
        let verification = body["verification_id"].as_str().unwrap().to_owned();
        let looked = || h.told(&verification).into_iter().find(|v| v["message"] == "looked");
        assert_eq!(wait_for("a look", looked)["verdict"], "mismatch");
        assert!(h.verdict(&verification).is_none(), "held, not yet recorded");
        match late {
            None => assert_eq!(h.cancel(id).await.unwrap(), 204),
            Some(after_ms) => {
                // Somebody else's, of a kind that is not verified, cuts all the same.
                let mut neighbour = Hospital::settlement(&format!("{id}-N"), "w01", "PB", &[]);
                let moment: jiff::Timestamp = settlement["occurred_at"].as_str().unwrap().parse().unwrap();
                let then = moment + jiff::SignedDuration::from_millis(after_ms);
                neighbour["occurred_at"] = json!(then.to_string());
                neighbour["medical_type"] = json!("21");
                h.settle(&neighbour).await.unwrap();
            }
        }
        let ended = || h.audit("verdict").into_iter().find(|v| v["data"]["settlement"] == id);
        let ended = wait_for("its end", ended);
        let expected = if late.is_some() { "neighbour_named_late" } else { "cancelled" };
        assert_eq!(ended["data"]["reason"], expected);
    }
    assert!(h.alerts().await.unwrap().is_empty());
}

#[tokio::test]
async fn clocks_that_disagree_and_kinds_out_of_scope_are_not_assessed() {
    let mut o = hospital(&quick());
    let h = &mut o.h;
    h.enrol().unwrap();
    h.start_agent().unwrap();
    let mut old = Hospital::settlement("S1", "w01", "PA", &[]);
    old["occurred_at"] = json!("2026-01-01T00:00:00Z");
    let mut inpatient = Hospital::settlement("S2", "w01", "PA", &[]);
    inpatient["medical_type"] = json!("21");
    let proxy = Hospital::settlement("S3", "w01", "PB", &["P-UNKNOWN"]);
    for (settlement, reason) in
        [(old, "clock_uncertain"), (inpatient, "out_of_scope"), (proxy, "proxy_unknown")]
    {
        let (_, body) = h.settle(&settlement).await.unwrap();
        let verification = body["verification_id"].as_str().unwrap().to_owned();
        let ended = wait_for("a verdict", || h.verdict(&verification));
        assert_eq!(ended, ("not_assessed".into(), reason.into()));
    }
}

fn refusal(h: &mut Hospital) -> String {
    h.start_agent().err().map(|e| e.to_string()).unwrap_or_default()
}

#[tokio::test]
async fn without_what_must_be_declared_the_agent_does_not_start() {
    for (from, to, named) in [
        ("controller = ", "# controller = ", "privacy.controller: found nothing"),
        ("id = \"DEMO-1\"\nwording", "id = \"\"\nwording", "privacy.notice.id: found nothing"),
        ("posted_on = \"2026-01-01\"", "posted_on = \"2999-01-01\"", "privacy.notice.posted_on"),
        ("review_by = \"2099-01-01\"", "review_by = \"2020-01-01\"", "privacy.impact_assessment.review_by"),
        ("journal_hours = 24", "", "privacy.retention.journal_hours: found nothing"),
        ("frames_seconds = 20", "frames_seconds = 600", "allowed: 5 to 60"),
        ("frames_seconds = 20", "frames_seconds = 6", "at least 7 for counter w01"),
        ("delay_ms = 5000", "delay_ms = 5000\nspeed = 1", "unknown field `speed`"),
        ("mode = \"off\"", "mode = \"on\"", "unknown variant `on`"),
        ("listen = \"127.0.0.1:0\"", "listen = \"0.0.0.0:0\"", "his.listen: found 0.0.0.0:0"),
    ] {
        let mut o = hospital(&Wishes { replace: vec![(from.into(), to.into())], ..quick() });
        let said = refusal(&mut o.h);
        assert!(said.contains(named), "{from} -> {to}: {said}");
        assert!(said.contains("counterproof.toml"), "{said}");
    }
}

#[tokio::test]
async fn broken_keys_models_calibrations_and_logs_are_refused_by_name() {
    // A model file cut short: both hashes are named.
    let o = hospital(&quick());
    let files = o.h.dir.join("models");
    std::fs::create_dir_all(files.join("files")).unwrap();
    std::fs::copy(models(), files.join("models.toml")).unwrap();
    for entry in std::fs::read_dir(models().parent().unwrap().join("files")).unwrap() {
        let from = entry.unwrap().path();
        let bytes = std::fs::read(&from).unwrap();
        let keep = if from.to_string_lossy().contains("sface") { bytes.len() / 2 } else { bytes.len() };
        std::fs::write(files.join("files").join(from.file_name().unwrap()), &bytes[..keep]).unwrap();
    }
    let mut o = o;
    let config = std::fs::read_to_string(o.h.agent_config()).unwrap();
    let elsewhere =
        config.replace(&models().display().to_string(), &files.join("models.toml").display().to_string());
    std::fs::write(o.h.agent_config(), elsewhere).unwrap();
    let said = refusal(&mut o.h);
    assert!(said.contains("0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79"), "{said}");
    std::fs::write(o.h.agent_config(), &config).unwrap();

    // Another root key than the store was made with.
    o.h.start_agent().unwrap();
    o.h.agent.as_mut().unwrap().terminate().unwrap();
    let root = o.h.dir.join("keys/root.key");
    let ours = std::fs::read(&root).unwrap();
    std::fs::copy(o.h.dir.join("bureau-keys/root.key"), &root).unwrap();
    let said = refusal(&mut o.h);
    assert!(said.contains("root key"), "{said}");
    std::fs::write(&root, ours).unwrap();

    // One byte of the audit log changed.
    let log = o.h.dir.join("state/audit/000000000001.jsonl");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[60] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let said = refusal(&mut o.h);
    assert!(said.contains("record 1"), "{said}");
}

#[tokio::test]
async fn an_expired_certificate_is_said_and_costs_no_alert() {
    let mut o = hospital(&quick());
    let h = &mut o.h;
    h.enrol().unwrap();
    h.pki.issue_expired("box-1", false).unwrap();
    // Nor does the bureau's word reach it.
    h.waits_until_armed = false;
    h.start_agent().unwrap();
    ring_filled();
    assert_eq!(verdict(h, "S1", "w01", "PA").await, ("not_assessed".into(), "references_unavailable".into()));
    let check = std::process::Command::new(&h.programs.agent)
        .args(["check", "--config"])
        .arg(h.agent_config())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(!check.status.success());
    assert!(said.contains("FAILURE") && said.contains("renew this box's certificate"), "{said}");
    assert!(said.contains("liveness") && said.contains("off"), "{said}");
}
