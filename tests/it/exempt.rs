//! Exempt cardholders, over real programs: no window judges them, no box is told,
//! and with its end that ends.

use std::path::Path;
use std::time::Duration;

use counterproof::vision::manifest::Manifest;
use reqwest::Response;
use serde_json::Value;

use crate::support::bureau::Bureau;
use crate::support::hospital::{Hospital, Wishes};
use crate::support::{models, quick_hospital, wait_for};

const REASON: &str = "facial palsy since spring";

/// A day that is not more than two years ahead.
fn next_year() -> String {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    now.saturating_add(jiff::Span::new().years(1)).to_string()
}

async fn verdict(h: &Hospital, id: &str, cardholder: &str, proxies: &[&str]) -> (String, String) {
    let (status, body) = h.settle(&Hospital::settlement(id, "w01", cardholder, proxies)).await.unwrap();
    assert_eq!(status, 202, "{body}");
    let verification = body["verification_id"].as_str().unwrap().to_owned();
    wait_for("a verdict", || h.verdict(&verification))
}

fn not_assessed(reason: &str) -> (String, String) {
    ("not_assessed".into(), reason.into())
}

fn bytes_of(dir: &Path, start: &str) -> Vec<u8> {
    let files = std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().path());
    let named = files.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with(start));
    named.flat_map(|p| std::fs::read(p).unwrap()).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

#[tokio::test]
async fn a_stranger_with_the_card_of_somebody_exempt_is_told_to_nobody_until_it_ends() {
    let mut o = quick_hospital(&Wishes::default());
    let h = &mut o.h;
    h.enrol().unwrap();
    h.start_agent().unwrap();
    // The drawn cameras play at 15/s; a window needs its past in the ring.
    std::thread::park_timeout(Duration::from_millis(900));
    let until = next_year();
    let add = ["exempt", "add", "PA", "--until", &until, "--by", "li", "--reason", REASON];
    let said = h.bureau_command(&add).unwrap();
    assert!(said.starts_with("PA: no window judges") && !said.contains("is it the right one"), "{said}");
    assert_eq!(verdict(h, "S1", "PA", &[]).await, not_assessed("no_reference"));
    // PB stands there, and would be found; but who else may come is not known.
    assert_eq!(verdict(h, "S2", "PB", &["PA"]).await, not_assessed("proxy_unknown"));
    assert_eq!(verdict(h, "S3", "PB", &[]).await.0, "match");

    h.bureau_command(&["exempt", "end", "PA", "--by", "wu"]).unwrap();
    assert_eq!(verdict(h, "S4", "PA", &[]).await.0, "mismatch");
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !h.alerts().await.unwrap().contains_key("S4") {
        assert!(std::time::Instant::now() < deadline, "waited 20 s for the alert of S4");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(h.alerts().await.unwrap().into_keys().collect::<Vec<_>>(), ["S4"]);
    let acts = h.bureau_command(&["acts", "--cardholder", "PA"]).unwrap();
    assert!(acts.contains("exempt add") && acts.contains("exempt end") && acts.contains(" li "), "{acts}");
    // The log tells of the kind and how many, as of every kind, and of nobody.
    let log = std::fs::read(h.dir.join("bureau.log")).unwrap();
    assert!(!holds(&log, "exempt add") && !holds(&log, REASON));
    // The box learnt nothing of it.
    let log = std::fs::read(&h.agent.as_ref().unwrap().log).unwrap();
    assert!(holds(&log, "no_reference") && !holds(&log, "exempt"));
}

/// A refusal without what differs between any two answers.
async fn refusal(answer: Response) -> (Vec<String>, Value) {
    assert_eq!(answer.status().as_u16(), 404);
    let names = answer.headers().iter().filter(|(n, _)| !["date", "x-request-id"].contains(&n.as_str()));
    let headers = names.map(|(n, v)| format!("{n}: {v:?}")).collect();
    let mut body: Value = answer.json().await.unwrap();
    assert!(body.as_object_mut().unwrap().remove("instance").is_some());
    (headers, body)
}

#[tokio::test]
async fn a_box_gets_the_answer_of_somebody_who_was_never_enrolled_and_the_bureau_notes_no_look() {
    let bureau = Bureau::start(&format!("[models]\nmanifest = '{}'", models().display()));
    let folder = bureau.dir.path().join("portraits");
    std::fs::create_dir(&folder).unwrap();
    let photo = Manifest::read(&models()).unwrap().sample("portrait-b1").unwrap();
    std::fs::write(folder.join("PB.jpg"), photo).unwrap();
    assert!(bureau.command(&["enrol", &folder.to_string_lossy()]).output().unwrap().status.success());
    let boxed = bureau.add_box("box-1");
    let ask = async |who: &str| boxed.get(&bureau, &format!("/v1/references/{who}?settlement=S1")).await;
    assert_eq!(ask("PB").await.status().as_u16(), 200);
    let nobody = refusal(ask("PX").await).await;

    let until = next_year();
    let exempt = |words: &[&str]| {
        let output = bureau.command(&[&["exempt"], words].concat()).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), said)
    };
    let add = |until: &str| exempt(&["add", "PB", "--until", until, "--by", "li", "--reason", REASON]);
    let (done, said) = add("2999-01-01");
    assert!(!done && said.contains("--until: found `2999-01-01`; allowed: a day as YYYY-MM-DD"), "{said}");
    assert_eq!(ask("PB").await.status().as_u16(), 200);
    let (done, said) = add(&until);
    assert!(done, "{said}");
    let acts = |table: &str| {
        let store = rusqlite::Connection::open(bureau.dir.path().join("bureau.db")).unwrap();
        let sql = format!("SELECT COUNT(*) FROM {table}");
        store.query_row(&sql, [], |r| r.get::<_, i64>(0)).unwrap()
    };
    let before = ["acts", "exemptions", "enrolments"].map(acts);
    assert_eq!(refusal(ask("PB").await).await, nobody);
    assert_eq!(["acts", "exemptions", "enrolments"].map(acts), before);
    assert!(!holds(&bytes_of(bureau.dir.path(), "bureau."), REASON));

    let (_, listed) = exempt(&["list", "--json", "--by", "wu"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (&listed[0]["cardholder"], &listed[0]["until"], &listed[0]["reason"], &listed[0]["by"]),
        (&"PB".into(), &until.into(), &REASON.into(), &"li".into())
    );
    assert!(exempt(&["end", "PB", "--by", "li"]).0);
    assert_eq!(ask("PB").await.status().as_u16(), 200);
    let (done, said) = exempt(&["end", "PB", "--by", "li"]);
    assert!(!done && said.contains("PB is not exempt"), "{said}");
}
