//! What the bureau proves to others, with the real programs: countersigned
//! audit heads, bundles, rotated keys, the record of acts, lost events.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use counterproof::crypto::Sha256;
use counterproof::crypto::sign::{PublicKey, SigningKey};
use counterproof::crypto::tls::TlsFiles;
use counterproof::protocol::bundle::check::{Pinned, check};
use counterproof::protocol::countersign::{Countersigned, HeadFinding, PostureAnswer};
use counterproof::protocol::head::{HeadAnswer, Range, Stored};
use counterproof::protocol::{ALERTS_PATH, DOCUMENTS_PATH, HEAD_PATH, POSTURE_PATH, SIGNATURE_HEADER};
use serde_json::{Value, json};

use crate::support::bureau::{Bureau, Chain, TestBox};
use crate::support::hospital::{Hospital, Programs, Wishes};
use crate::support::wait_for;

/// What a command printed; it must have ended well.
fn said(output: Output) -> String {
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn bureau_key(bureau: &Bureau) -> PublicKey {
    PublicKey::from_base64(&said(bureau.command(&["show-key"]).output().unwrap())).unwrap()
}

/// A box's postures, with an audit head that the test sets.
struct Postures {
    epoch: uuid::Uuid,
    documents: [Sha256; 3],
}

impl Postures {
    fn new() -> Self {
        Self { epoch: uuid::Uuid::now_v7(), documents: [Sha256::of(b"x"); 3] }
    }

    async fn send(&self, bureau: &Bureau, boxed: &TestBox, seq: u64, record: &str) -> PostureAnswer {
        let nothing = Sha256::of(b"m");
        let [policy, notice, calibration] = self.documents;
        let posture = json!({
            "agent": "box-1", "hospital": "H31010000001", "at": 1_795_000_000_000_i64,
            "agent_version": "0.1.0", "models": {"detector": nothing}, "policy": policy, "notice": notice,
            "calibration": calibration, "retention_s": {}, "verdicts": {}, "outbox_waiting": 0,
            "outbox_set_aside": 0, "liveness": "off", "troubles": [],
            "audit": {"epoch": self.epoch, "seq": seq, "hash": Sha256::of(record.as_bytes())},
        });
        let answer = boxed.post(bureau, POSTURE_PATH, posture.to_string().as_bytes()).await;
        assert_eq!(answer.status().as_u16(), 200);
        answer.json().await.unwrap()
    }
}

#[tokio::test]
async fn audit_heads_are_countersigned_and_a_log_cut_short_is_found_told_and_shown() {
    let bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    let key = bureau_key(&bureau);
    let postures = Postures::new();
    let answer = postures.send(&bureau, &boxed, 9, "nine").await;
    assert_eq!((answer.finding, &answer.public_key), (None, &key));
    let head = answer.countersigned.verify(&key).unwrap();
    assert_eq!((head.audit().seq, head.audit().hash), (9, Sha256::of(b"nine")));
    assert_eq!(answer.statement, answer.countersigned.statement());
    let held: HeadAnswer = boxed.get(&bureau, HEAD_PATH).await.json().await.unwrap();
    assert_eq!(held.public_key, Some(key.clone()));

    let cut = postures.send(&bureau, &boxed, 4, "four").await;
    assert_eq!(cut.finding, Some(HeadFinding::CutShort));
    let rewritten = postures.send(&bureau, &boxed, 9, "another nine").await;
    assert_eq!(rewritten.finding, Some(HeadFinding::Rewritten));
    // The countersignature says what was shown, not that it was right.
    assert!(cut.countersigned.verify(&key).is_ok());
    assert!(bureau.log().contains("cut short or rewritten"), "{}", bureau.log());
    let shown = bureau.json("/agents.json").await;
    let findings = shown["agents"][0]["audit_findings"].as_array().unwrap();
    assert_eq!(findings.len(), 2);
    assert!(findings.iter().all(|f| f["held"]["hash"] == json!(Sha256::of(b"nine"))), "{shown}");
    for (language, words) in [("zh-CN", "审计日志被截短"), ("en", "The audit log was cut short")] {
        let page = bureau.console(&format!("/boxes/box-1?lang={language}")).await.text().await.unwrap();
        assert!(page.contains(words), "{page}");
    }

    let lines = said(bureau.command(&["heads", "box-1", "--json"]).output().unwrap());
    let heads: Vec<Countersigned> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(heads.iter().all(|h| h.verify(&key).is_ok()));
    assert!(heads.iter().any(|h| h.audit == head.audit()), "{lines}");
    assert!(!bureau.command(&["heads", "box-7"]).output().unwrap().status.success());
}

async fn put(bureau: &Bureau, boxed: &TestBox, digest: Sha256, kind: &str, bytes: &[u8]) -> u16 {
    let url = bureau.url(&format!("{DOCUMENTS_PATH}/{digest}?kind={kind}"));
    let request = boxed.client.put(url).header(SIGNATURE_HEADER, boxed.key.sign(bytes).to_string());
    request.body(bytes.to_vec()).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn documents_are_kept_once_by_digest_and_only_if_they_are_named() {
    let bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    let texts: [&[u8]; 3] = [b"{}", b"notice", b"model = 'm'"];
    let digests = texts.map(Sha256::of);
    assert_eq!(put(&bureau, &boxed, digests[0], "policy", texts[0]).await, 409);
    let postures = Postures { documents: digests, ..Postures::new() };
    assert_eq!(postures.send(&bureau, &boxed, 1, "1").await.missing, digests);
    assert_eq!(put(&bureau, &boxed, digests[0], "policy", texts[0]).await, 201);
    assert_eq!(put(&bureau, &boxed, digests[0], "policy", texts[0]).await, 200);
    assert_eq!(postures.send(&bureau, &boxed, 2, "2").await.missing, digests[1..]);
    assert_eq!(put(&bureau, &boxed, digests[1], "notice", b"another").await, 422);
    assert_eq!(put(&bureau, &boxed, digests[1], "photo", texts[1]).await, 400);
    assert_eq!(put(&bureau, &boxed, Sha256::of(b"z"), "notice", b"z").await, 409);
    let long = vec![b' '; 256 * 1024 + 1];
    assert_eq!(put(&bureau, &boxed, Sha256::of(&long), "notice", &long).await, 413);
    let url = bureau.url(&format!("{DOCUMENTS_PATH}/sm3:{}?kind=notice", digests[1]));
    let other = boxed.client.put(url).body("notice").send().await.unwrap();
    assert_eq!(other.status().as_u16(), 400);
    assert!(other.text().await.unwrap().contains("sm3:"));
    let unsigned = boxed.client.put(bureau.url(&format!("{DOCUMENTS_PATH}/{}?kind=notice", digests[1])));
    assert_eq!(unsigned.body("notice").send().await.unwrap().status().as_u16(), 400);
}

fn verify_bundle(file: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_counterproof"));
    command.arg("verify-bundle").arg(file).args(words).output().unwrap()
}

fn outcome<'a>(report: &'a Value, name: &str) -> &'a str {
    let all = report["checks"].as_array().unwrap();
    all.iter().find(|c| c["name"] == name).unwrap()["outcome"].as_str().unwrap()
}

#[tokio::test]
async fn a_bundle_is_checked_without_a_network_and_one_changed_byte_is_noticed() {
    let bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    let notice = b"notice".as_slice();
    let policy = json!({"notice": {"sha256": Sha256::of(notice)}}).to_string();
    let texts: [&[u8]; 3] = [policy.as_bytes(), notice, b"model = 'm'\n[thresholds]\nmatch_mean = 0.4\n"];
    let postures = Postures { documents: texts.map(Sha256::of), ..Postures::new() };
    postures.send(&bureau, &boxed, 1, "1").await;
    for (kind, text) in [("policy", texts[0]), ("notice", texts[1]), ("calibration", texts[2])] {
        assert_eq!(put(&bureau, &boxed, Sha256::of(text), kind, text).await, 201);
    }
    let mut chain = Chain::new("box-1");
    chain.settings = postures.documents;
    let (_, first) = chain.mismatch();
    let (id, alert) = chain.mismatch();
    let withdrawal = chain.withdrawal(&id);
    for event in [&first, &alert, &withdrawal] {
        assert_eq!(boxed.alert(&bureau, event).await, 201);
    }
    postures.send(&bureau, &boxed, 2, "2").await;

    let file = bureau.dir.path().join("bundle.json");
    let out = file.to_str().unwrap();
    said(bureau.command(&["bundle", &id, "--by", "inspector", "--out", out]).output().unwrap());
    let again = bureau.command(&["bundle", &id, "--out", out]).output().unwrap();
    assert!(!again.status.success(), "a file that is there must not be overwritten");
    let nothing = uuid::Uuid::now_v7().to_string();
    assert!(!bureau.command(&["bundle", &nothing, "--out", "x"]).output().unwrap().status.success());

    let (bureau_key, box_key) = (bureau_key(&bureau).to_base64(), boxed.key.public().to_base64());
    let keys = ["--bureau-key", &bureau_key, "--agent-key", &box_key, "--json"];
    let report: Value = serde_json::from_str(&said(verify_bundle(&file, &keys))).unwrap();
    for check in report["checks"].as_array().unwrap() {
        assert_eq!(check["outcome"], "pass", "{check}");
    }
    let table = said(verify_bundle(&file, &keys[..2]));
    assert!(table.contains("What this does not prove") && table.contains("WITHDRAWN"), "{table}");

    // Without the bureau's key nothing fails, and nothing is proven.
    let adrift = verify_bundle(&file, &[]);
    let why = String::from_utf8_lossy(&adrift.stderr).into_owned();
    assert!(!adrift.status.success() && why.contains("give --bureau-key"), "{why}");

    let whole = std::fs::read(&file).unwrap();
    for position in (0..whole.len()).step_by(whole.len() / 60) {
        let mut changed = whole.clone();
        changed[position] = changed[position].wrapping_add(1);
        assert!(!check(&changed, &Pinned::default()).passed, "byte {position}");
    }
    let cut = bureau.dir.path().join("cut.json");
    std::fs::write(&cut, &whole[..whole.len() - 10]).unwrap();
    assert!(!verify_bundle(&cut, &[]).status.success());
    let other = SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap().public().to_base64();
    assert!(!verify_bundle(&file, &["--bureau-key", &other]).status.success());
    let acts = said(bureau.command(&["acts"]).output().unwrap());
    assert!(acts.contains("inspector") && acts.contains(&id), "{acts}");
}

fn rotate(bureau: &Bureau, new: &TestBox, hours: &str) -> Output {
    let key = new.key.public().to_base64();
    let words = ["agents", "rotate", "box-1", "--public-key", &key, "--overlap-hours", hours];
    bureau.command(&words).arg("--certificate").arg(&new.files.certificate).output().unwrap()
}

/// Posts an event over one box's connection, signed by another's key.
async fn alert_signed_by(bureau: &Bureau, over: &TestBox, by: &TestBox, event: &[u8]) -> u16 {
    let signature = by.key.sign(event).to_string();
    over.post_with(bureau, ALERTS_PATH, event, &signature).await.status().as_u16()
}

#[tokio::test]
async fn a_rotated_key_overlaps_and_what_it_signed_stays_provable() {
    let bureau = Bureau::start("");
    let old = bureau.add_box("box-1");
    let (new, newest) = (bureau.stranger("box-1-new"), bureau.stranger("box-1-newest"));
    let mut chain = Chain::new("box-1");
    let (first, event) = chain.mismatch();
    assert_eq!(old.alert(&bureau, &event).await, 201);
    let event = chain.mismatch().1;
    assert_eq!(new.alert(&bureau, &event).await, 403);
    assert_eq!(alert_signed_by(&bureau, &old, &new, &event).await, 422);

    said(rotate(&bureau, &new, "24"));
    assert_eq!(alert_signed_by(&bureau, &old, &old, &event).await, 201);
    for (over, by) in [(&new, &new), (&new, &old), (&old, &new)] {
        assert_eq!(alert_signed_by(&bureau, over, by, &chain.mismatch().1).await, 201);
    }
    let table = said(bureau.command(&["agents", "list"]).output().unwrap());
    for key in [&old, &new] {
        assert!(table.contains(&key.key.public().id().to_string()), "{table}");
    }
    assert!(!rotate(&bureau, &old, "24").status.success(), "an old key must not come back");
    assert!(!rotate(&bureau, &newest, "100000").status.success());

    said(rotate(&bureau, &newest, "0"));
    assert_eq!(new.get(&bureau, HEAD_PATH).await.status().as_u16(), 403);
    assert_eq!(old.get(&bureau, HEAD_PATH).await.status().as_u16(), 403, "its overlap was cut short");
    // What the second key signed before it ended may still come; nothing that it signs later.
    assert_eq!(alert_signed_by(&bureau, &newest, &new, &chain.mismatch().1).await, 201);
    let posture = b"{}";
    let late = newest.post_with(&bureau, POSTURE_PATH, posture, &new.key.sign(posture).to_string()).await;
    assert_eq!(late.status().as_u16(), 422);
    assert!(late.text().await.unwrap().contains("was replaced"));
    chain.time = "2099-01-01T00:00:00Z".into();
    let late = chain.mismatch().1;
    assert_eq!(alert_signed_by(&bureau, &newest, &new, &late).await, 422);
    assert_eq!(alert_signed_by(&bureau, &newest, &newest, &late).await, 201);

    let listed = bureau.json("/alerts.json").await;
    let alerts = listed["alerts"].as_array().unwrap();
    assert_eq!(alerts.len(), 7);
    assert!(alerts.iter().all(|a| a["signature"] == "valid"), "{listed}");
    let file = bureau.dir.path().join("bundle.json");
    said(bureau.command(&["bundle", &first, "--out", file.to_str().unwrap()]).output().unwrap());
    let key = old.key.public().to_base64();
    let bureau_key = bureau_key(&bureau).to_base64();
    said(verify_bundle(&file, &["--agent-key", &key, "--bureau-key", &bureau_key]));
    let acts: Value =
        serde_json::from_str(&said(bureau.command(&["acts", "--json"]).output().unwrap())).unwrap();
    let of_commands = |a: &&Value| a["by"] != "everything" && a["what"] != "accounts add";
    let all = acts.as_array().unwrap().iter().rev().filter(of_commands);
    let what: Vec<_> = all.map(|a| a["what"].as_str().unwrap()).collect();
    // One that was refused stands there too.
    assert_eq!(what, ["agents add", "agents rotate", "agents rotate", "agents rotate", "bundle"]);
}

/// A connection that stays open, written and read by hand.
struct KeptAlive {
    stream: rustls::StreamOwned<rustls::ClientConnection, TcpStream>,
}

impl KeptAlive {
    fn open(bureau: &Bureau, boxed: &TestBox) -> Self {
        let files = &boxed.files;
        let key = files.key.to_string_lossy().into_owned();
        let tls = TlsFiles { ca: files.ca.clone(), certificate: files.certificate.clone(), key };
        let name = "127.0.0.1".try_into().unwrap();
        let connection = rustls::ClientConnection::new(Arc::new(tls.client().unwrap()), name).unwrap();
        let address = bureau.url("").replace("https://", "");
        Self { stream: rustls::StreamOwned::new(connection, TcpStream::connect(address).unwrap()) }
    }

    /// Asks for the head; the status of the answer, whose body is read too.
    fn head(&mut self) -> u16 {
        self.send(format!("GET {HEAD_PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").as_bytes());
        self.status()
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The status of the next answer, whose body is read too.
    fn status(&mut self) -> u16 {
        let mut text = String::new();
        let mut byte = [0];
        while !text.ends_with("\r\n\r\n") {
            self.stream.read_exact(&mut byte).unwrap();
            text.push(char::from(byte[0]));
        }
        let length =
            text.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body).unwrap();
        text.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

#[tokio::test]
async fn a_suspended_box_is_refused_on_the_connection_that_it_has_open() {
    let bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    let mut open = KeptAlive::open(&bureau, &boxed);
    assert_eq!(open.head(), 200);
    said(bureau.command(&["agents", "suspend", "box-1", "--by", "zhang"]).output().unwrap());
    assert_eq!(open.head(), 403);
    said(bureau.command(&["agents", "resume", "box-1"]).output().unwrap());
    assert_eq!(open.head(), 200);
    let acts = said(bureau.command(&["acts"]).output().unwrap());
    assert!(acts.lines().any(|l| l.contains("zhang") && l.contains("agents suspend")), "{acts}");
}

/// With `Expect: 100-continue` the bureau says when it has read the headers,
/// and so known the box, and waits for the body.
#[tokio::test]
async fn a_box_that_is_suspended_before_its_body_came_is_not_heard() {
    let bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    let event = Chain::new("box-1").mismatch().1;
    let mut open = KeptAlive::open(&bureau, &boxed);
    let signature = boxed.key.sign(&event);
    open.send(
        format!(
            "POST {ALERTS_PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\nexpect: 100-continue\r\n\
             {SIGNATURE_HEADER}: {signature}\r\ncontent-length: {}\r\n\r\n",
            event.len()
        )
        .as_bytes(),
    );
    assert_eq!(open.status(), 100);
    said(bureau.command(&["agents", "suspend", "box-1"]).output().unwrap());
    open.send(&event);
    assert_eq!(open.status(), 403);
    assert_eq!(bureau.json("/alerts.json").await["alerts"], json!([]));
}

#[tokio::test]
async fn the_head_names_what_is_missing_and_what_expired_is_no_gap() {
    let bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    let mut chain = Chain::new("box-1");
    let events: Vec<_> = (0..6).map(|_| chain.mismatch()).collect();
    for i in [0, 3, 5] {
        let stored = boxed.post(&bureau, ALERTS_PATH, &events[i].1).await;
        assert_eq!(stored.status().as_u16(), 201);
        assert_eq!(stored.json::<Stored>().await.unwrap().gap, i > 0);
    }
    let held: HeadAnswer = boxed.get(&bureau, HEAD_PATH).await.json().await.unwrap();
    assert_eq!(held.missing, [Range { first: 2, last: 3 }, Range { first: 5, last: 5 }]);
    assert_eq!((held.head.unwrap().seq, held.greatest.unwrap().seq, held.truncated), (1, 6, false));

    let words = [chain.expired(&events[1].0, 2, &events[1].1), chain.expired(&events[2].0, 3, &events[2].1)];
    for word in &words {
        assert_eq!(boxed.alert(&bureau, word).await, 201);
    }
    let held: HeadAnswer = boxed.get(&bureau, HEAD_PATH).await.json().await.unwrap();
    assert_eq!(held.missing, [Range { first: 5, last: 5 }]);
    assert_eq!(held.head.unwrap().seq, 4);
    let shown = bureau.json("/agents.json").await;
    assert_eq!((&shown["agents"][0]["gaps"], &shown["agents"][0]["expired"]), (&json!(1), &json!(1)));
    let listed = bureau.json("/alerts.json").await;
    let fourth = listed["alerts"].as_array().unwrap().iter().find(|a| a["id"] == *events[3].0).unwrap();
    assert_eq!(fourth["chain"], "expired");
    for (language, words) in [("zh-CN", "前一条已在设备上到期"), ("en", "one before it expired on the box")]
    {
        let page = bureau.console(&format!("/alerts?state=all&lang={language}")).await.text().await.unwrap();
        assert!(page.contains(words), "{page}");
    }
    let early = chain.expired(&events[0].0, 99, &events[0].1);
    assert_eq!(boxed.alert(&bureau, &early).await, 422);
}

/// A backup of a database that is in use.
fn copy_database(from: &Path, to: &Path) {
    let source = rusqlite::Connection::open(from).unwrap();
    source.execute("VACUUM INTO ?1", [to.to_str().unwrap()]).unwrap();
}

#[tokio::test]
async fn a_bureau_restored_behind_a_gap_gets_again_what_it_lost_and_proves_it() {
    let dir = tempfile::tempdir().unwrap();
    let programs = Programs {
        agent: env!("CARGO_BIN_EXE_counterproof").into(),
        bureau: env!("CARGO_BIN_EXE_counterproof-bureau").into(),
    };
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models/models.toml");
    let wishes = Wishes { before_ms: 700, after_ms: 700, ..Wishes::default() };
    let mut h = Hospital::open(dir.path(), programs, Path::new(models), &wishes).unwrap();
    h.enrol().unwrap();
    h.start_agent().unwrap();
    std::thread::park_timeout(std::time::Duration::from_millis(900));
    let database = dir.path().join("bureau.db");
    settle(&h, "S1").await;
    wait_for_alerts(&h, &["S1"]).await;
    // Somebody else holds the place of the next event: the bureau refuses it for good.
    let other = rusqlite::Connection::open(&database).unwrap();
    let other_id = uuid::Uuid::now_v7().to_string();
    other
        .execute(
            "INSERT INTO events (id, agent, epoch, seq, digest, kind, chain, received_at)
             SELECT ?1, agent, epoch, 2, digest, 'other', 'broken', received_at FROM events WHERE seq = 1",
            [&other_id],
        )
        .unwrap();
    settle(&h, "S2").await;
    wait_for("an event set aside", || (!h.audit("event_set_aside").is_empty()).then_some(()));
    other.execute("DELETE FROM events WHERE id = ?1", [&other_id]).unwrap();
    settle(&h, "S3").await;
    wait_for_alerts(&h, &["S1", "S3"]).await;
    let backup = dir.path().join("backup.db");
    copy_database(&database, &backup);
    settle(&h, "S4").await;
    wait_for_alerts(&h, &["S1", "S3", "S4"]).await;

    // The bureau is restored from the backup; an event that waits brings the box back.
    h.bureau.as_mut().unwrap().kill();
    drop(other);
    for side in ["bureau.db", "bureau.db-wal", "bureau.db-shm"] {
        let _ = std::fs::remove_file(dir.path().join(side));
    }
    std::fs::copy(&backup, &database).unwrap();
    let config = std::fs::read_to_string(h.agent_config()).unwrap();
    let port: String =
        config.split("https://localhost:").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    h.start_bureau(&format!("127.0.0.1:{port}")).unwrap();
    settle(&h, "S5").await;
    wait_for_alerts(&h, &["S1", "S3", "S4", "S5"]).await;

    // What the box sent beside its alerts: its documents, and heads to countersign.
    let alerts = h.alerts().await.unwrap();
    let id = alerts["S3"]["id"].as_str().unwrap();
    let file = dir.path().join("bundle.json");
    let key = h.bureau_command(&["show-key"]).unwrap();
    h.bureau_command(&["bundle", id, "--out", file.to_str().unwrap()]).unwrap();
    let words = ["--bureau-key", key.trim(), "--json"];
    let report: Value = serde_json::from_str(&said(verify_bundle(&file, &words))).unwrap();
    let passed = [
        "bundle_signature",
        "bureau_key",
        "alert_signature",
        "box_key",
        "receipt",
        "policy",
        "notice",
        "calibration",
    ];
    for name in passed.iter().chain(&["chain_after", "audit_head_before"]) {
        assert_eq!(outcome(&report, name), "pass", "{report}");
    }
    assert_eq!(outcome(&report, "chain_before"), "cannot_be_told", "{report}");
}

async fn settle(h: &Hospital, id: &str) {
    let (status, body) = h.settle(&Hospital::settlement(id, "w01", "PA", &[])).await.unwrap();
    assert_eq!(status, 202, "{body}");
    let verification = body["verification_id"].as_str().unwrap();
    assert_eq!(wait_for("a verdict", || h.verdict(verification)).0, "mismatch");
}

async fn wait_for_alerts(h: &Hospital, wanted: &[&str]) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let held = h.alerts().await.unwrap_or_default();
        if held.keys().map(String::as_str).eq(wanted.iter().copied()) {
            return;
        }
        let held: Vec<_> = held.keys().collect();
        assert!(std::time::Instant::now() < deadline, "waited 60 s for {wanted:?}; held {held:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
