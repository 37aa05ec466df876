//! Statistics over the real program: what boxes report is counted, settlement
//! statistics are imported whole or not at all, and a look at a person is recorded.

use std::process::Output;

use counterproof::bureau::figures::calendar::Month;
use counterproof::clock::{Clock, SystemClock};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::bureau::{Bureau, TestBox};

const HEAD: &str = "month,cardholder,hospital,medical_type,settlements,amount_fen\n";

fn last_month() -> Month {
    Month::of(SystemClock.now().wall).plus(-1)
}

/// Forty who settle two or three times, and one who settles ninety times.
fn good_file() -> String {
    let month = last_month();
    let usual =
        (0..40).map(|n| format!("{month},P31000{n:04},H31010000001,11,{},{}\n", 2 + n % 2, 20_000 + n));
    format!("{HEAD}{}{month},P310009999,H31010000001,11,90,900000\n", usual.collect::<String>())
}

fn import(bureau: &Bureau, name: &str, text: &str) -> Output {
    let file = bureau.dir.path().join(name);
    std::fs::write(&file, text).unwrap();
    bureau.command(&["figures", "import"]).args(["--by", "li"]).arg(file).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

struct Desk<'b> {
    bureau: &'b Bureau,
    cookie: String,
    client: reqwest::Client,
}

impl<'b> Desk<'b> {
    async fn of(bureau: &'b Bureau, name: &str, role: &str) -> Self {
        bureau.add_account(name, &[role]);
        let cookie = bureau.sign_in(name).await;
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { bureau, cookie, client }
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let asked = self.client.get(self.bureau.console_url(path)).header("cookie", &self.cookie);
        let answer =
            asked.header("accept", "text/html").header("accept-language", "en").send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn upload(&self, csrf: &str, file: &str) -> (StatusCode, String, String) {
        let body = format!(
            "--B\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n{csrf}\r\n--B\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\
             Content-Type: text/csv\r\n\r\n{file}\r\n--B--\r\n"
        );
        let asked =
            self.client.post(self.bureau.console_url("/abnormal/import")).header("cookie", &self.cookie);
        let asked =
            asked.header("content-type", "multipart/form-data; boundary=B").header("accept", "text/html");
        let answer = asked.header("accept-language", "en").body(body).send().await.unwrap();
        let to = answer.headers().get("location").map_or("", |v| v.to_str().unwrap()).to_owned();
        (answer.status(), to, answer.text().await.unwrap())
    }
}

/// The value of a form's token on a page.
fn csrf(page: &str) -> String {
    let at = page.find("name=\"csrf\" value=\"").unwrap() + 19;
    page[at..].split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn settlement_statistics_are_imported_whole_or_not_at_all() {
    let bureau = Bureau::start("");
    let month = last_month();
    let bad = import(&bureau, "bad.csv", &format!("{}{month},P2,H1,11,0,x\n", good_file()));
    let words = said(&bad);
    assert!(!bad.status.success(), "{words}");
    assert!(words.contains("line 43: settlements: found `0`; allowed: a whole number, 1 to"), "{words}");
    assert!(words.contains("line 43: amount_fen: found `x`"), "{words}");
    let reviewer = Desk::of(&bureau, "reviewer", "reviewer").await;
    let (status, page) = reviewer.get("/abnormal").await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert!(page.contains("nothing is guessed"), "{page}");

    let good = import(&bureau, "good.csv", &good_file());
    assert!(
        good.status.success() && said(&good).contains("41 lines were imported; 0 of them"),
        "{}",
        said(&good)
    );
    let again = import(&bureau, "copy.csv", &good_file());
    assert!(again.status.success() && said(&again).contains("imported at"), "{}", said(&again));

    let (_, page) = reviewer.get("/abnormal").await;
    assert!(page.contains("No. 1, open") && !page.contains("P31000"), "{page}");
    let mark = page.split("href=\"/abnormal/").nth(1).unwrap().split('"').next().unwrap();
    let (status, one) = reviewer.get(&format!("/abnormal/{mark}")).await;
    assert!(status == StatusCode::OK && one.contains("P310009999"), "{one}");
    let acts = said(&bureau.command(&["acts"]).output().unwrap());
    let look = acts.lines().find(|l| l.contains("look at a cardholder's settlements")).unwrap();
    assert!(look.contains("reviewer") && look.contains(mark) && !acts.contains("P310009999"), "{acts}");
    // A period of which nothing is known is said to be so, beside one that is.
    let (_, page) = reviewer.get(&format!("/abnormal?from={}&to={month}", month.plus(-1))).await;
    assert!(page.contains(&format!("leave them out: {}", month.plus(-1))), "{page}");
    assert_eq!(reviewer.get("/abnormal/0123456789abcdef").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_file_is_uploaded_by_a_supervisor_with_the_form_of_the_page() {
    let bureau = Bureau::start("");
    let supervisor = Desk::of(&bureau, "supervisor", "supervisor").await;
    let (_, page) = supervisor.get("/abnormal").await;
    let token = csrf(page.split("/abnormal/import").nth(1).unwrap());
    assert_eq!(supervisor.upload("wrong", &good_file()).await.0, StatusCode::FORBIDDEN);
    assert_eq!(supervisor.upload(&token, "").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, _, page) = supervisor.upload(&token, &"x".repeat(9 << 20)).await;
    assert!(status == StatusCode::UNPROCESSABLE_ENTITY && page.contains("too large"), "{status} {page}");
    let (status, _, page) = supervisor.upload(&token, &format!("{HEAD}2026-13,P1,H1,11,1,1\n")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.contains("Nothing") || page.contains("nothing of it was imported"), "{page}");
    assert!(page.contains("2026-13"), "{page}");
    let (status, to, _) = supervisor.upload(&token, &good_file()).await;
    assert_eq!((status, to.as_str()), (StatusCode::SEE_OTHER, "/abnormal?said=new"));
    assert_eq!(supervisor.upload(&token, &good_file()).await.1, "/abnormal?said=before");
    let reviewer = Desk::of(&bureau, "reviewer", "reviewer").await;
    assert_eq!(reviewer.upload(&token, &good_file()).await.0, StatusCode::FORBIDDEN);
}

fn posture(run: u128, matches: u64) -> Value {
    let digest = "0".repeat(64);
    json!({
        "agent": "box-1", "hospital": "H31010000001", "at": 1, "agent_version": "0.1.0", "models": {},
        "policy": digest, "calibration": digest, "retention_s": {}, "outbox_waiting": 0,
        "outbox_set_aside": 0, "liveness": "off", "troubles": [], "run": uuid::Uuid::from_u128(run),
        "verdicts": {"match": matches, "inconclusive(too_dark)": 2}, "cameras": {"w01": "ok"},
        "counters": {"w01": {"match": matches, "inconclusive(too_dark)": 2}},
        "audit": {"epoch": uuid::Uuid::from_u128(9), "seq": 9, "hash": digest},
    })
}

async fn report(bureau: &Bureau, boxed: &TestBox, run: u128, matches: u64) {
    let bytes = serde_json::to_vec(&posture(run, matches)).unwrap();
    assert_eq!(boxed.post(bureau, "/v1/posture", &bytes).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_boxes_report_is_counted_and_shown_as_a_picture_a_table_and_csv() {
    let bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    for (run, matches) in [(1, 1200), (1, 1201), (1, 1201), (2, 30)] {
        report(&bureau, &boxed, run, matches).await;
    }
    let officer = Desk::of(&bureau, "officer", "privacy_officer").await;
    let (status, page) = officer.get("/statistics").await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert!(page.contains("1,235 / 1,235") && page.contains("Too dark"), "{page}");
    // Verdicts and coverage; of alerts there is nothing to draw.
    assert_eq!(page.matches("<svg class=\"plot\"").count(), 2);
    assert!(!page.contains("style=") && page.contains("<desc id=\"verdicts-desc\">"));
    // No camera was seen working for hours; nothing that the rule asks about is unknown.
    assert!(page.contains("<td data-label=\"List\">Red</td>"), "{page}");
    let (_, csv) = officer.get("/statistics.csv").await;
    assert!(csv.lines().nth(1).unwrap().contains(",1235,1231,0,0,4,0,0,0,"), "{csv}");
    let (status, page) = officer.get("/statistics?from=yesterday").await;
    assert!(status == StatusCode::UNPROCESSABLE_ENTITY && page.contains("yesterday"), "{page}");
    // Statistics are nobody's in particular; those of cardholders are for who reviews.
    assert_eq!(officer.get("/abnormal").await.0, StatusCode::FORBIDDEN);
}
