//! A dialysis room's entrance, with the real programs: a shift's roster, those who were
//! seen, and the session that was billed for somebody who was not.

use std::process::Command;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::hospital::{Hospital, Wishes, entrance_toml};
use crate::support::{Open, models, quick_hospital, wait_for};

/// Cardholders with the portrait of whom the camera shows, and one with another.
const THERE: [&str; 6] = ["P1", "P2", "P3", "P4", "P5", "P6"];
const ELSEWHERE: &str = "PA";

/// A box with a window and an entrance; `PB` passes the entrance.
fn hospital() -> Open {
    let mut wishes = Wishes::default();
    let window = "id = \"w01\"\nbefore_ms = 700\nafter_ms = 700\n";
    wishes.replace.push((window.into(), "id = \"d01\"\nkind = \"dialysis-entrance\"\n".into()));
    let own = format!("withdrawal_links_days = 180\nrosters_hours = 24\n{}", entrance_toml("d01"));
    wishes.replace.push(("withdrawal_links_days = 180".into(), own));
    let mut open = quick_hospital(&wishes);
    let h = &mut open.h;
    // The photograph that the camera was drawn from: one face that is everybody's.
    let photo = std::fs::read(models().with_file_name("files/portrait-b3.jpg")).unwrap();
    for person in THERE {
        // The same photograph is not enrolled for two people: each has a few bytes more.
        let own = [&photo, person.as_bytes()].concat();
        std::fs::write(h.dir.join(format!("portraits/{person}.jpg")), own).unwrap();
    }
    h.enrol().unwrap();
    notices(h);
    h.start_agent().unwrap();
    open
}

/// The entrance has a notice of its own, and without it the box does not start.
fn notices(h: &Hospital) {
    let config = h.agent_config();
    let ask = |words: &[&str]| Command::new(&h.programs.agent).args(words).arg(&config).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let notice = text(&ask(&["policy", "notice", "--entrance", "--config"]).stdout);
    assert!(
        notice.contains("虚开项目") && notice.contains("Without a roster, no face is looked for"),
        "{notice}"
    );
    let whole = std::fs::read_to_string(&config).unwrap();
    let (windows, entrance) = whole.split_once("[privacy.entrance.basis]").unwrap();
    std::fs::write(&config, windows).unwrap();
    let refused = ask(&["run", "--config"]);
    let said = text(&refused.stderr);
    for key in
        ["privacy.entrance", "entrance.basis.kind", "entrance.notice.id", "entrance.impact_assessment.id"]
    {
        assert!(!refused.status.success() && said.contains(key), "{key}: {said}");
    }
    std::fs::write(&config, format!("{windows}[privacy.entrance.basis]{entrance}")).unwrap();
}

/// From so many seconds from now on, for so long.
fn roster(from: i64, seconds: i64, people: &[&str]) -> Value {
    let begins = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(from);
    let ends = begins + jiff::SignedDuration::from_secs(seconds);
    json!({ "begins_at": begins.to_string(), "ends_at": ends.to_string(), "cardholders": people })
}

async fn send(h: &Hospital, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
    let request = h.request(method, path).bearer_auth(&h.token).json(body);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

async fn put(h: &Hospital, name: &str, roster: &Value) -> (u16, Value) {
    let (status, body) = send(h, Method::PUT, &format!("/v1/rosters/{name}"), roster).await;
    (status.as_u16(), body)
}

fn billed(id: &str, person: &str) -> Value {
    json!({ "settlement_id": id, "cardholder": person, "occurred_at": jiff::Timestamp::now().to_string(),
            "amount_fen": 40000, "medical_type": "14" })
}

/// A session of dialysis that is settled at the window.
async fn settle(h: &Hospital, id: &str, person: &str) -> String {
    let mut message = Hospital::settlement(id, "w02", person, &[]);
    message["disease_code"] = "M07801".into();
    let (status, body) = send(h, Method::POST, "/v1/settlements", &message).await;
    assert_eq!(status, 202, "{body}");
    body["verification_id"].as_str().unwrap().to_owned()
}

fn verdict(h: &Hospital, verification: &str) -> String {
    let (verdict, reason) = wait_for("a verdict in the audit log", || {
        let record = h.audit("verdict").into_iter().find(|r| r["data"]["verification"] == verification)?;
        let text = |k: &str| record["data"][k].as_str().unwrap_or_default().to_owned();
        Some((text("verdict"), text("reason")))
    });
    if reason.is_empty() { verdict } else { format!("{verdict}({reason})") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_billed_for_somebody_whom_the_entrance_did_not_see_is_told_and_the_others_are_not() {
    let open = hospital();
    let h = &open.h;
    let everybody = [&THERE[..], &[ELSEWHERE, "P-NOT-ENROLLED"]].concat();
    let shift = roster(4, 6, &everybody);
    assert_eq!(put(h, "d01/am", &shift).await.0, 201);
    assert_eq!(put(h, "d01/am", &shift).await.0, 200);
    let many: Vec<String> = (0..61).map(|i| format!("P{i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (name, roster, status, field) in [
        ("d01/noon", roster(5, 60, &["P1"]), 409, "shift"),
        ("d01/late", roster(90_000, 60, &["P1"]), 422, "begins_at"),
        ("d01/many", roster(600, 60, &many), 422, "cardholders"),
        ("w02/am", roster(600, 60, &["P1"]), 404, "counter"),
    ] {
        let (found, body) = put(h, name, &roster).await;
        assert_eq!((found, &body["field"]), (status, &field.into()), "{name}: {body}");
    }
    // Given anew before it begins: what was billed ahead is not lost with the first roster.
    assert_eq!(put(h, "d01/pm", &roster(3600, 60, &["P-LATER"])).await.0, 201);
    let ahead = settle(h, "S-AHEAD", "P-LATER").await;
    assert_eq!(put(h, "d01/pm", &roster(3600, 60, &["P-OTHER"])).await.0, 201);
    assert_eq!(verdict(h, &ahead), "not_assessed(no_roster)");
    // Billed while the shift is running: who was seen is known at once, the others at its end.
    let early = settle(h, "S-EARLY", ELSEWHERE).await;
    wait_for("the end of the shift", || h.audit("roster_ended").pop());
    let ended = h.audit("roster_ended").pop().unwrap()["data"].clone();
    assert_eq!((&ended["expected"], &ended["seen"]), (&8.into(), &6.into()), "{ended}");
    assert_eq!(verdict(h, &early), "absent", "{ended}");
    for (person, said) in [("P1", "match"), ("P6", "match"), ("P-NOT-ENROLLED", "not_assessed(no_reference)")]
    {
        let verification = settle(h, &format!("S-{person}"), person).await;
        assert_eq!(verdict(h, &verification), said, "{person}");
    }

    // Somebody whom no roster names is verified at the window as ever; the entrance knows nothing of them.
    let body = json!({ "billed": [billed("S-CLOSE", "P2"), billed("S-NOBODY", "PB")] });
    let (status, closed) = send(h, Method::POST, "/v1/rosters/d01/am/close", &body).await;
    assert_eq!(status, 200, "{closed}");
    let ids: Vec<&str> = closed["verifications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["verification_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.iter().map(|id| verdict(h, id)).collect::<Vec<_>>(), ["match", "not_assessed(no_roster)"]);
    assert_eq!(send(h, Method::POST, "/v1/rosters/d01/night/close", &body).await.0, 404);

    // The bureau has the alert, and its withdrawal once the HIS takes the settlement back.
    let alert = wait_for_alert(h, |a| a["event"]["subject"] == "S-EARLY").await;
    let event = &alert["event"];
    assert_eq!(event["type"], "counterproof.alert.absent.v1", "{alert}");
    let (data, seen) = (&event["data"], &event["data"]["observation"]);
    assert_eq!((&data["counter"], &data["cardholder"]), (&"d01".into(), &ELSEWHERE.into()), "{alert}");
    assert_eq!((&seen["expected"], &seen["seen"]), (&7.into(), &6.into()), "{alert}");
    assert!(seen["observed_permille"].as_u64() >= Some(950), "{alert}");
    let gone = h.request(Method::DELETE, "/v1/settlements/S-EARLY").bearer_auth(&h.token);
    assert_eq!(gone.send().await.unwrap().status(), 204);
    wait_for_alert(h, |a| a["event"]["subject"] == "S-EARLY" && a["state"] == "withdrawn").await;
    assert_eq!(h.alerts().await.unwrap().len(), 1);
}

async fn wait_for_alert(h: &Hospital, fits: impl Fn(&Value) -> bool) -> Value {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let all = h.alerts().await.unwrap();
        if let Some(found) = all.values().find(|a| fits(a)) {
            return found.clone();
        }
        assert!(tokio::time::Instant::now() < deadline, "no such alert: {all:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_was_interrupted_accuses_nobody() {
    let mut open = hospital();
    let everybody = [&THERE[..], &[ELSEWHERE]].concat();
    assert_eq!(put(&open.h, "d01/am", &roster(3, 20, &everybody)).await.0, 201);
    wait_for("the shift's first look", || {
        let log = std::fs::read_to_string(open.h.dir.join("agent.log")).unwrap();
        log.contains("roster is watched for").then_some(())
    });
    open.h.agent = None;
    open.h.start_agent().unwrap();
    let h = &open.h;
    let absent = settle(h, "S-1", ELSEWHERE).await;
    let (status, _) = send(h, Method::POST, "/v1/rosters/d01/am/close", &json!({ "billed": [] })).await;
    assert_eq!(status, 200);
    assert_eq!(verdict(h, &absent), "inconclusive(entrance_not_observed)");
}
