//! The logs of whole runs, read as somebody would who looks for people in them.
//!
//! Both programs run at `trace`; the settlements hold marks that occur nowhere
//! else: cardholders, settlement numbers, amounts, names. None may be found in
//! what the programs logged, and the search is shown to find each.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::support::hospital::{Hospital, Wishes};
use crate::support::{quick_hospital, wait_for, wrapper};

const CARDHOLDER: &str = "CARDHOLDER-ROWAN-4711";
const STRANGER: &str = "CARDHOLDER-HAZEL-4712";
const PERSONAL: [&str; 8] =
    [CARDHOLDER, STRANGER, "SETTLED-0815", "8675309", "王小明", "310101199001011234", "13800138000", "ROWAN"];

/// The marks that a text holds.
fn found<'a>(text: &str, marks: &[&'a str]) -> Vec<&'a str> {
    marks.iter().copied().filter(|m| text.contains(m)).collect()
}

/// A program that says all it can; not the runtime, which tells thousands of
/// steps of its graph rewriting.
fn talkative(dir: &Path, program: &Path) -> std::path::PathBuf {
    let name = format!("talkative-{}", program.file_name().unwrap().to_string_lossy());
    let script = format!("#!/bin/sh\nRUST_LOG=trace,ort=error exec {} \"$@\"\n", program.display());
    wrapper(&dir.join(name), &script)
}

async fn open() -> crate::support::Open {
    let mut o = quick_hospital(&Wishes { hold_ms: 300, ..Wishes::default() });
    let h = &mut o.h;
    let portraits = h.dir.join("portraits");
    std::fs::rename(portraits.join("PB.jpg"), portraits.join(format!("{CARDHOLDER}.jpg"))).unwrap();
    std::fs::rename(portraits.join("PA.jpg"), portraits.join(format!("{STRANGER}.jpg"))).unwrap();
    h.enrol().unwrap();
    h.programs.agent = talkative(&h.dir, &h.programs.agent);
    h.programs.bureau = talkative(&h.dir, &h.programs.bureau);
    // The bureau of this run says all it can too, at the address that the box knows.
    let config = std::fs::read_to_string(h.agent_config()).unwrap();
    let port: String =
        config.split("https://localhost:").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    drop(h.bureau.take());
    h.start_bureau(&format!("127.0.0.1:{port}")).unwrap();
    h.start_agent().unwrap();
    o
}

fn settlement(n: u32, counter: &str, cardholder: &str) -> Value {
    let mut s = Hospital::settlement(&format!("SETTLED-0815-{n}"), counter, cardholder, &[]);
    s["amount_fen"] = json!(8_675_309);
    s
}

/// Everything that a HIS can do well or badly.
async fn a_busy_day(h: &Hospital) -> String {
    let post = || h.request(Method::POST, "/v1/settlements").bearer_auth(&h.token);
    let mut request = String::new();
    let person = [(1, "w01", STRANGER, "mismatch"), (2, "w01", CARDHOLDER, "match")];
    let nobody = [(3, "w02", "310101199001011234", "not_assessed"), (4, "w02", CARDHOLDER, "inconclusive")];
    for (n, counter, cardholder, expected) in person.into_iter().chain(nobody) {
        let first = settlement(n, counter, cardholder);
        let answer = post().json(&first).send().await.unwrap();
        request = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        let body: Value = answer.json().await.unwrap();
        let verification = body["verification_id"].as_str().unwrap().to_owned();
        assert_eq!(wait_for("a verdict", || h.verdict(&verification)).0, expected, "settlement {n}");
        if n == 4 {
            assert_eq!(h.settle(&first).await.unwrap().0, 200);
            assert_eq!(h.settle(&settlement(n, counter, STRANGER)).await.unwrap().0, 409);
        }
    }
    assert_eq!(h.settle(&settlement(5, "w02", STRANGER)).await.unwrap().0, 202);
    assert_eq!(h.cancel("SETTLED-0815-5").await.unwrap(), 204);
    let mut old = settlement(6, "w02", CARDHOLDER);
    old["occurred_at"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(h.settle(&old).await.unwrap().0, 202);
    for (key, value) in [
        ("counter", json!("王小明")),
        ("counter", json!("CARDHOLDER-ROWAN-4711")),
        ("amount_fen", json!("8675309")),
        ("psn_name", json!("王小明")),
        ("phone", json!("13800138000")),
        ("cardholder", json!("王小明 13800138000")),
        ("proxies", json!([{ "certno": "310101199001011234" }])),
    ] {
        let mut wrong = settlement(7, "w02", CARDHOLDER);
        wrong[key] = value;
        assert!(h.settle(&wrong).await.unwrap().0 >= 400);
    }
    for body in ["{\"name\":\"王小明\",", "王小明 310101199001011234", ""] {
        post().header(header::CONTENT_TYPE, "application/json").body(body).send().await.unwrap();
    }
    post().header(header::CONTENT_TYPE, "text/ROWAN").body("ROWAN").send().await.unwrap();
    post()
        .header("x-request-id", "310101199001011234")
        .json(&settlement(8, "w02", CARDHOLDER))
        .send()
        .await
        .unwrap();
    for path in
        ["/v1/cardholders/CARDHOLDER-ROWAN-4711", "/SETTLED-0815-1?name=ROWAN", "/v1/settlements/王小明"]
    {
        h.request(Method::DELETE, path).bearer_auth(&h.token).send().await.unwrap();
    }
    request
}

#[tokio::test]
async fn no_log_line_is_about_a_person() {
    let mut o = open().await;
    let request = a_busy_day(&o.h).await;
    let h = &mut o.h;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let alert = loop {
        if let Some(alert) = h.alerts().await.unwrap().remove("SETTLED-0815-1") {
            break alert;
        }
        assert!(std::time::Instant::now() < deadline, "waited 20 s for the alert");
    };
    let score = alert["event"]["data"]["comparison"]["score"].as_f64().unwrap();
    assert!(h.agent.as_mut().unwrap().terminate().unwrap().success());
    assert!(h.bureau.as_mut().unwrap().terminate().unwrap().success());
    let agent = std::fs::read_to_string(h.dir.join("agent.log")).unwrap();
    let bureau = std::fs::read_to_string(h.dir.join("bureau.log")).unwrap();

    let digits = format!("{score:.6}");
    let marks: Vec<&str> =
        PERSONAL.iter().copied().chain([digits.trim_end_matches('0'), "\"score\""]).collect();
    for (whose, log) in [("agent", &agent), ("bureau", &bureau)] {
        let lines: Vec<&str> = log.lines().collect();
        assert!(lines.len() > 10 && log.contains("\"DEBUG\""), "{whose} said too little:\n{log}");
        let hits: Vec<_> = lines.iter().filter(|l| !found(l, &marks).is_empty()).collect();
        assert!(hits.is_empty(), "{whose}: {hits:#?}");
        // The search would have found each of them in this very log.
        for mark in &marks {
            let planted = format!("{log}{{\"level\":\"TRACE\",\"message\":\"a look at {mark}\"}}\n");
            assert_eq!(found(&planted, &marks).first().map(|m| mark.contains(m)), Some(true), "{mark}");
        }
        for line in lines {
            let v: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{whose}: {e}: {line}"));
            assert!(v["message"].is_string() && v["level"].is_string(), "{line}");
        }
    }
    // One request is followed by its id, from its answer into the log.
    let of_request = |l: &&str| l.contains(&request);
    let its: Vec<Value> =
        agent.lines().filter(of_request).map(|l| serde_json::from_str(l).unwrap()).collect();
    let said: Vec<&str> = its.iter().filter_map(|v| v["message"].as_str()).collect();
    assert_eq!(said, ["accepted", "answered"], "{its:#?}");
}

/// Under systemd the fields go to journald's own socket; bubblewrap puts ours
/// where journald's would be.
#[tokio::test]
async fn under_systemd_the_journal_gets_the_fields() {
    let mut o = quick_hospital(&Wishes::default());
    let h = &mut o.h;
    let journal = h.dir.join("journal");
    std::fs::create_dir(&journal).unwrap();
    let socket = UnixDatagram::bind(journal.join("socket")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // Read from the beginning: a journal that takes nothing holds up who writes to it.
    let reader = std::thread::spawn(move || {
        let mut bytes = [0; 65536];
        loop {
            let n = socket.recv(&mut bytes).expect("journald was told nothing for a minute");
            let entry = String::from_utf8_lossy(&bytes[..n]).into_owned();
            // Each value stands behind its length, in eight bytes.
            if entry.contains("accepted\n") {
                return entry;
            }
        }
    });
    let script = format!(
        "#!/bin/sh\nexport JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2)\n\
         exec bwrap --die-with-parent --dev-bind / / --tmpfs /run --bind {} /run/systemd/journal -- {} \"$@\"\n",
        journal.display(),
        h.programs.agent.display()
    );
    h.programs.agent = wrapper(&h.dir.join("journalled"), &script);
    h.start_agent().unwrap();
    assert_eq!(h.settle(&Hospital::settlement("S1", "w01", "PB", &[])).await.unwrap().0, 202);
    let accepted = reader.join().unwrap();
    for field in ["COUNTERPROOF_REQUEST", "COUNTERPROOF_VERIFICATION", "COUNTERPROOF_COUNTER", "PRIORITY"] {
        assert!(accepted.contains(field), "{field}: {accepted:?}");
    }
    assert!(accepted.contains("SYSLOG_IDENTIFIER"), "{accepted:?}");
    let lines = std::fs::read_to_string(&h.agent.as_ref().unwrap().log).unwrap();
    assert!(!lines.contains("accepted"), "nothing twice: {lines}");
}
