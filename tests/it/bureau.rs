//! The bureau as boxes and people meet it: the real program, real TLS.

use counterproof::protocol::{ALERTS_PATH, HEAD_PATH, POSTURE_PATH, TRANSFORM_PATH};
use serde_json::{Value, json};

use crate::support::bureau::{Bureau, Chain, TestBox, write_root_key};
use crate::support::pki::Pki;

async fn problem(response: reqwest::Response, status: u16) -> Value {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    response.json().await.unwrap()
}

#[tokio::test]
async fn an_alert_is_stored_once_and_shown() {
    let bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    let mut chain = Chain::new("box-1");
    let (id, alert) = chain.mismatch();
    let none = boxed.get(&bureau, HEAD_PATH).await.json::<Value>().await.unwrap();
    assert_eq!((&none["head"], &none["greatest"]), (&Value::Null, &Value::Null));
    assert_eq!(boxed.alert(&bureau, &alert).await, 201);
    assert_eq!(boxed.alert(&bureau, &alert).await, 200);

    let other_bytes = String::from_utf8(alert.clone()).unwrap().replace("\"S1\"", "\"S9\"");
    let refused = problem(boxed.post(&bureau, ALERTS_PATH, other_bytes.as_bytes()).await, 409).await;
    assert!(refused["detail"].as_str().unwrap().contains(&id), "{refused}");
    let same_place = other_bytes.replace(&id, &uuid::Uuid::now_v7().to_string());
    assert_eq!(boxed.alert(&bureau, same_place.as_bytes()).await, 409);

    let listed = bureau.json("/alerts.json").await;
    assert_eq!(listed["alerts"].as_array().unwrap().len(), 1);
    let shown = &listed["alerts"][0];
    assert_eq!(shown["event"], serde_json::from_slice::<Value>(&alert).unwrap());
    assert_eq!(
        (&shown["signature"], &shown["chain"], &shown["state"]),
        (&json!("valid"), &json!("ok"), &json!("open"))
    );
    let head = boxed.get(&bureau, HEAD_PATH).await.json::<Value>().await.unwrap();
    assert_eq!(head["head"]["seq"], 1);
}

#[tokio::test]
async fn a_gap_is_stored_and_noted_and_a_withdrawal_may_come_first() {
    let bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    let mut chain = Chain::new("box-1");
    let (_, first) = chain.mismatch();
    let (id, second) = chain.mismatch();
    let withdrawal = chain.withdrawal(&id);
    assert_eq!(boxed.alert(&bureau, &withdrawal).await, 201);
    assert_eq!(boxed.alert(&bureau, &second).await, 201);
    let listed = bureau.json("/alerts.json").await;
    assert_eq!(
        (&listed["alerts"][0]["state"], &listed["alerts"][0]["chain"]),
        (&json!("withdrawn"), &json!("gap"))
    );
    assert_eq!(bureau.json("/agents.json").await["agents"][0]["gaps"], 1);
    assert_eq!(boxed.alert(&bureau, &first).await, 201);
    assert_eq!(bureau.json("/agents.json").await["agents"][0]["gaps"], 0);
}

#[tokio::test]
async fn what_is_not_signed_by_the_box_over_these_bytes_is_refused() {
    let bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    let other = bureau.add_box("box-2");
    let (_, alert) = Chain::new("box-1").mismatch();
    let signed_by_other = other.key.sign(&alert).to_string();
    let over_other_bytes = boxed.key.sign(b"other").to_string();
    for (signature, status) in [(signed_by_other.as_str(), 422), (&over_other_bytes, 422), ("alg=none", 400)]
    {
        let refused = problem(boxed.post_with(&bureau, ALERTS_PATH, &alert, signature).await, status).await;
        assert_eq!(refused["field"], "counterproof-signature");
    }
    let unsigned = boxed.client.post(bureau.url(ALERTS_PATH)).body(alert.clone()).send().await.unwrap();
    assert_eq!(unsigned.status().as_u16(), 400);
    let in_another_name = problem(other.post(&bureau, ALERTS_PATH, &alert).await, 422).await;
    assert_eq!(in_another_name["field"], "source");
    assert_eq!(bureau.json("/alerts.json").await["alerts"], json!([]));
}

#[tokio::test]
async fn a_box_must_be_known_and_not_suspended() {
    let bureau = Bureau::start("");
    let (_, alert) = Chain::new("box-1").mismatch();
    let stranger = bureau.stranger("box-9");
    let refused = problem(stranger.post(&bureau, ALERTS_PATH, &alert).await, 403).await;
    assert!(refused["detail"].as_str().unwrap().contains("agents add"), "{refused}");

    let boxed = bureau.add_box("box-1");
    assert!(!bureau.add("box-1", &boxed).status.success());
    assert!(bureau.command(&["agents", "suspend", "box-1"]).status().unwrap().success());
    for path in [HEAD_PATH, TRANSFORM_PATH, "/v1/references/P0001?settlement=S1"] {
        assert_eq!(boxed.get(&bureau, path).await.status().as_u16(), 403, "{path}");
    }
    problem(boxed.post(&bureau, ALERTS_PATH, &alert).await, 403).await;
    let table = bureau.command(&["agents", "list"]).output().unwrap();
    assert!(String::from_utf8(table.stdout).unwrap().contains("suspended"));
    let listed = bureau.command(&["agents", "list", "--json"]).output().unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((&listed[0]["name"], &listed[0]["suspended"]), (&json!("box-1"), &json!(true)));
    assert_eq!(listed[0]["keys"][0]["public_key"], serde_json::to_value(boxed.key.public()).unwrap());
    assert!(bureau.command(&["agents", "resume", "box-1"]).status().unwrap().success());
    assert_eq!(boxed.alert(&bureau, &alert).await, 201);
    assert!(!bureau.command(&["agents", "suspend", "box-7"]).status().unwrap().success());
}

#[test]
fn the_bureau_closes_its_shutters() {
    let bureau = Bureau::start("");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", bureau.pid())).unwrap();
    let core = limits.lines().find_map(|l| l.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().take(2).collect::<Vec<_>>(), ["0", "0"], "{limits}");
}

#[tokio::test]
async fn without_a_good_certificate_there_is_no_connection() {
    let bureau = Bureau::start("");
    let ca = reqwest::Certificate::from_pem(&std::fs::read(bureau.dir.path().join("pki/ca.pem")).unwrap());
    let nobody = reqwest::Client::builder().tls_certs_only([ca.unwrap()]).build().unwrap();
    assert!(nobody.get(bureau.url(HEAD_PATH)).send().await.is_err());

    let expired = TestBox::new(bureau.pki.issue_expired("box-1", false).unwrap());
    assert!(expired.client.get(bureau.url(HEAD_PATH)).send().await.is_err());

    let elsewhere = Pki::new(&bureau.dir.path().join("elsewhere")).unwrap();
    let mut files = elsewhere.issue("box-1", false).unwrap();
    files.ca = bureau.dir.path().join("pki/ca.pem");
    let foreign = TestBox::new(files);
    assert!(foreign.client.get(bureau.url(HEAD_PATH)).send().await.is_err());
}

#[tokio::test]
async fn an_event_of_another_form_is_refused_by_field() {
    let bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    let (_, alert) = Chain::new("box-1").mismatch();
    let text = String::from_utf8(alert).unwrap();
    let smuggled = text.replacen("{\"amount_fen\"", "{\"image\":\"/9j/4AAQ\",\"amount_fen\"", 1);
    assert_ne!(smuggled, text);
    let refused = problem(boxed.post(&bureau, ALERTS_PATH, smuggled.as_bytes()).await, 422).await;
    assert!(refused["detail"].as_str().unwrap().contains("image"), "{refused}");
    let zeroth = text.replacen("\"seq\":1", "\"seq\":0", 1);
    let refused = problem(boxed.post(&bureau, ALERTS_PATH, zeroth.as_bytes()).await, 422).await;
    assert_eq!(refused["field"], "chain.seq");
    let elsewhere = text.replace("H31010000001", "H99");
    let refused = problem(boxed.post(&bureau, ALERTS_PATH, elsewhere.as_bytes()).await, 422).await;
    assert_eq!(refused["field"], "data.hospital");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("found H99") && detail.contains("for hospital H31010000001"), "{detail}");
    let posture = posture("box-1").to_string().replace("H31010000001", "H99");
    let refused = problem(boxed.post(&bureau, POSTURE_PATH, posture.as_bytes()).await, 422).await;
    assert_eq!(refused["field"], "hospital");
    let head = boxed.get(&bureau, HEAD_PATH).await.json::<Value>().await.unwrap();
    assert_eq!(head["hospital"], "H31010000001");
    let padded = format!("{text}{}", " ".repeat(4097 - text.len()));
    problem(boxed.post(&bureau, ALERTS_PATH, padded.as_bytes()).await, 413).await;
    for rubbish in [&b""[..], b"\xff\xfe", b"[]", b"{\"specversion\":"] {
        problem(boxed.post(&bureau, ALERTS_PATH, rubbish).await, 422).await;
    }
    problem(boxed.get(&bureau, "/v1/nothing").await, 404).await;
    problem(boxed.get(&bureau, ALERTS_PATH).await, 405).await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let mut bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    let mut chain = Chain::new("box-1");
    let alerts: Vec<_> = (0..5).map(|_| chain.mismatch().1).collect();
    for alert in &alerts {
        assert_eq!(boxed.alert(&bureau, alert).await, 201);
    }
    bureau.kill();
    bureau.run();
    for alert in &alerts {
        assert_eq!(boxed.alert(&bureau, alert).await, 200);
    }
    assert_eq!(bureau.json("/alerts.json").await["alerts"].as_array().unwrap().len(), 5);
    assert!(bureau.terminate().success());
}

#[tokio::test]
async fn another_root_key_stops_the_start_and_says_so() {
    let mut bureau = Bureau::start("");
    bureau.terminate();
    write_root_key(&bureau.dir.path().join("root.key"), 2);
    let output = bureau.command(&["serve"]).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("bureau.db: wrong root key"), "{text}");
}

#[tokio::test]
async fn references_are_asked_for_by_settlement_and_not_too_often() {
    let bureau = Bureau::start("[references]\nper_agent_per_minute = 3");
    let boxed = bureau.add_box("box-1");
    let bare = problem(boxed.get(&bureau, "/v1/references/P0001").await, 400).await;
    assert_eq!(bare["field"], "settlement");
    problem(boxed.get(&bureau, "/v1/references/P%2000?settlement=S1").await, 400).await;
    for _ in 0..3 {
        problem(boxed.get(&bureau, "/v1/references/P0001?settlement=S1").await, 404).await;
    }
    let limited = boxed.get(&bureau, "/v1/references/P0001?settlement=S1").await;
    assert!(limited.headers().contains_key("retry-after"));
    problem(limited, 429).await;
    assert!(!bureau.log().contains("P0001"), "{}", bureau.log());
}

fn posture(agent: &str) -> Value {
    let digest = "0".repeat(64);
    json!({
        "agent": agent, "hospital": "H31010000001", "at": 1_795_000_000_000_i64, "agent_version": "0.1.0",
        "models": {"detector": digest, "recognizer": digest}, "policy": digest, "calibration": digest,
        "retention_s": {"frames": 20}, "verdicts": {"match": 7, "mismatch": 1}, "outbox_waiting": 0,
        "outbox_set_aside": 0, "liveness": "off", "troubles": ["camera w03 is dark"],
        "audit": {"epoch": uuid::Uuid::now_v7(), "seq": 9, "hash": digest},
    })
}

#[tokio::test]
async fn the_latest_posture_of_a_box_is_shown_and_only_its_own_is_taken() {
    let bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    let own = posture("box-1").to_string();
    assert_eq!(boxed.post(&bureau, POSTURE_PATH, own.as_bytes()).await.status().as_u16(), 200);
    let foreign = posture("box-2").to_string();
    let refused = problem(boxed.post(&bureau, POSTURE_PATH, foreign.as_bytes()).await, 422).await;
    assert_eq!(refused["field"], "agent");
    let shown = bureau.json("/agents.json").await;
    assert_eq!(shown["agents"][0]["posture"]["verdicts"]["match"], 7);
    let page = bureau.console("/boxes/box-1?lang=en").await.text().await.unwrap();
    assert!(page.contains("camera w03 is dark") && page.contains("lang=\"en\""), "{page}");
}

#[tokio::test]
async fn the_console_is_strict_bilingual_and_for_loopback_names_only() {
    let bureau = Bureau::start("");
    let page = bureau.console("/").await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers()["content-language"], "zh-CN");
    let html = page.text().await.unwrap();
    assert!(html.contains("待复核预警") && !html.contains("style=") && !html.contains("<script>"), "{html}");
    assert_eq!(bureau.console("/console.css").await.status().as_u16(), 200);
    let url = bureau.console("/").await.url().to_string();
    let rebound = reqwest::Client::new().get(url).header("host", "evil.example").send().await.unwrap();
    problem(rebound, 421).await;
    problem(bureau.console("/alerts.json?befor=1").await, 400).await;
}
