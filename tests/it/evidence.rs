//! The proof of what became of data, as an inspector reads it from a box's
//! state folder; and keys that are replaced while the box runs.

use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use counterproof::crypto::keys::{read_signing_key, replace_root_key};
use counterproof::privacy::audit::segments;
use serde_json::Value;

use crate::support::hospital::{Hospital, Programs, Wishes};
use crate::support::wait_for;

struct Open {
    h: Hospital,
    _dir: tempfile::TempDir,
}

fn hospital() -> Open {
    let dir = tempfile::tempdir().unwrap();
    let programs = Programs {
        agent: env!("CARGO_BIN_EXE_counterproof").into(),
        bureau: env!("CARGO_BIN_EXE_counterproof-bureau").into(),
    };
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models/models.toml");
    let wishes = Wishes { before_ms: 500, after_ms: 500, ..Wishes::default() };
    let h = Hospital::open(dir.path(), programs, models.as_ref(), &wishes).unwrap();
    Open { h, _dir: dir }
}

fn audit(h: &Hospital, words: &[&str]) -> Output {
    Command::new(&h.programs.agent)
        .arg("audit")
        .args(words)
        .arg("--state")
        .arg(h.dir.join("state"))
        .output()
        .unwrap()
}

fn public_key(h: &Hospital) -> String {
    read_signing_key(&h.dir.join("keys/signing.key").to_string_lossy()).unwrap().public().to_base64()
}

async fn settled(h: &Hospital, id: &str) -> String {
    let (status, body) = h.settle(&Hospital::settlement(id, "w02", "PX", &[])).await.unwrap();
    assert_eq!(status, 202, "{body}");
    let verification = body["verification_id"].as_str().unwrap().to_owned();
    wait_for("a verdict", || h.verdict(&verification)).1
}

#[tokio::test]
async fn an_inspector_checks_and_reads_the_log_and_one_changed_byte_is_found() {
    let mut o = hospital();
    let h = &mut o.h;
    h.start_agent().unwrap();
    assert_eq!(settled(h, "S1").await, "no_reference");
    assert!(h.agent.as_mut().unwrap().terminate().unwrap().success());

    let key = public_key(h);
    let good = audit(h, &["verify", "--key", &key]);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    assert!(String::from_utf8_lossy(&good.stdout).starts_with("in order: records 1 to"));
    let json = audit(h, &["verify", "--json"]);
    let checked: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(checked["keys"], serde_json::json!([key]));
    let stranger = BASE64.encode([7; 32]);
    assert!(!audit(h, &["verify", "--key", &stranger]).status.success());

    // Another folder, as by a typing mistake, or one that was emptied, is no log in order.
    for words in [["audit", "verify"], ["audit", "report"]] {
        let nowhere = h.dir.join("portraits");
        let wrong = Command::new(&h.programs.agent).args(words).arg("--state").arg(nowhere).output().unwrap();
        let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
        assert!(!wrong.status.success() && said.contains("holds no audit log"), "{said}");
    }

    let report = audit(h, &["report", "--json"]);
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
    let told: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(told["verdicts"]["not_assessed(no_reference)"], 1);
    assert!(told["kinds"]["journal_hours"]["looks"].as_u64().unwrap() >= 1, "{told}");
    assert_eq!(told["kinds"]["journal_hours"]["limit_s"], 86_400);
    let page = audit(h, &["report"]);
    assert!(String::from_utf8_lossy(&page.stdout).contains("nothing outlived its limit"));
    let early = audit(h, &["report", "--json", "--from", "2020-01-01", "--to", "2020-12-31"]);
    let told: Value = serde_json::from_slice(&early.stdout).unwrap();
    assert_eq!((&told["records"], &told["verdicts"]), (&0.into(), &serde_json::json!({})));

    // What the bureau signed is in it; a log cut short is no longer the one the bureau saw.
    let heads = h.dir.join("heads.jsonl");
    let told = h.bureau_command(&["heads", "box-1", "--json"]).unwrap();
    assert!(told.lines().count() >= 1, "{told}");
    std::fs::write(&heads, &told).unwrap();
    let bureau_key = h.bureau_command(&["show-key"]).unwrap();
    let against = ["verify", "--heads", heads.to_str().unwrap(), "--bureau-key", bureau_key.trim()];
    let good = audit(h, &against);
    let said = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(good.status.success() && said.contains("heads that the bureau signed are all in it"), "{said}");
    let another = told.replacen("box-1", "box-2", 1);
    std::fs::write(&heads, another).unwrap();
    assert!(!audit(h, &against).status.success());
    std::fs::write(&heads, &told).unwrap();

    let file = segments(&h.dir.join("state/audit")).unwrap().remove(0).path;
    let whole = std::fs::read(&file).unwrap();
    let lines: Vec<usize> = whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i).collect();
    // In the first record, in the third, and the newline at the very end.
    for (at, record) in [(20, 1), (lines[1] + 30, 3), (lines[lines.len() - 1], lines.len())] {
        let mut changed = whole.clone();
        changed[at] ^= 4;
        std::fs::write(&file, changed).unwrap();
        let bad = audit(h, &["verify", "--key", &key]);
        let said = String::from_utf8_lossy(&bad.stderr).into_owned();
        assert!(!bad.status.success() && said.contains(&format!("record {record} ")), "{said}");
        assert!(!audit(h, &["report"]).status.success());
    }
    std::fs::write(&file, &whole[..=lines[0]]).unwrap();
    assert!(audit(h, &["verify"]).status.success());
    let cut = audit(h, &against);
    let said = String::from_utf8_lossy(&cut.stderr).into_owned();
    assert!(!cut.status.success() && said.contains("cut short"), "{said}");
}

/// How often a text stands in any file of the log's folder.
fn found(h: &Hospital, text: &str) -> usize {
    let files = std::fs::read_dir(h.dir.join("state/audit")).unwrap();
    let read = |f: std::io::Result<std::fs::DirEntry>| std::fs::read(f.unwrap().path()).unwrap();
    files.map(read).map(|bytes| bytes.windows(text.len()).filter(|w| *w == text.as_bytes()).count()).sum()
}

#[tokio::test]
async fn the_log_holds_settlement_numbers_and_neither_cardholder_nor_amount() {
    let mut o = hospital();
    let h = &mut o.h;
    h.start_agent().unwrap();
    let settlements = [("ZHENGJU-0001", "KAHAO-70011"), ("ZHENGJU-0002", "KAHAO-70022")];
    let proxy = "DAIBAN-90099";
    for (id, cardholder) in settlements {
        let mut settlement = Hospital::settlement(id, "w02", cardholder, &[proxy]);
        settlement["amount_fen"] = 987_654_321_u64.into();
        let (status, body) = h.settle(&settlement).await.unwrap();
        assert_eq!(status, 202, "{body}");
        let verification = body["verification_id"].as_str().unwrap().to_owned();
        wait_for("a verdict", || h.verdict(&verification));
    }
    // A cancellation is told as well.
    assert_eq!(h.cancel("ZHENGJU-0003").await.unwrap(), 204);
    assert!(h.agent.as_mut().unwrap().terminate().unwrap().success());

    // The search finds what is there: each settlement as accepted and with its verdict.
    for (id, cardholder) in settlements {
        assert!(found(h, id) >= 2, "{id}");
        assert_eq!(found(h, cardholder), 0, "{cardholder}");
    }
    // As written, in yuan, and with its thousands.
    for amount in ["987654321", "9876543.21", "9,876,543.21", "987_654_321", proxy] {
        assert_eq!(found(h, amount), 0, "{amount}");
    }
}

#[tokio::test]
async fn verdicts_are_counted_in_the_log_and_a_changed_policy_is_told() {
    let mut o = hospital();
    let h = &mut o.h;
    h.start_agent().unwrap();
    settled(h, "S1").await;
    settled(h, "S2").await;
    assert!(h.agent.as_mut().unwrap().terminate().unwrap().success());
    let counts = h.audit("verdict_counts").pop().unwrap();
    assert_eq!(counts["data"], serde_json::json!({ "not_assessed(no_reference)": 2 }));
    assert!(h.audit("policy_changed").is_empty());
    let before = h.audit("started").pop().unwrap()["data"]["policy"].clone();

    let config = std::fs::read_to_string(h.agent_config()).unwrap();
    let line = config.lines().find(|l| l.starts_with("journal_hours")).unwrap();
    std::fs::write(h.agent_config(), config.replacen(line, "journal_hours = 23", 1)).unwrap();
    h.post_notice_anew().unwrap();
    h.start_agent().unwrap();
    let after = h.audit("started").pop().unwrap()["data"]["policy"].clone();
    let changed = h.audit("policy_changed");
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0]["data"], serde_json::json!({ "from": before, "to": after }));
    assert_ne!(before, after);
}

#[tokio::test]
async fn keys_are_replaced_without_losing_a_row() {
    let mut o = hospital();
    let h = &mut o.h;
    h.start_agent().unwrap();
    settled(h, "S1").await;
    let former = public_key(h);

    // Another root key while the agent runs.
    let previous = replace_root_key(&h.dir.join("keys")).unwrap();
    let pid = h.agent.as_ref().unwrap().pid().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    wait_for("the new root key to be taken over", || {
        (!h.audit("root_key_replaced").is_empty()).then_some(())
    });
    std::fs::remove_file(previous).unwrap();
    settled(h, "S2").await;
    // The same settlement is known under the new key.
    let again = h.settle(&Hospital::settlement("S1", "w02", "PX", &[])).await.unwrap();
    assert!([200, 409].contains(&again.0), "{again:?}");
    assert!(h.agent.as_mut().unwrap().terminate().unwrap().success());

    // Again with both keys named, as with systemd credentials; and another signing key.
    replace_root_key(&h.dir.join("keys")).unwrap();
    let keys = h.dir.join("keys");
    std::fs::rename(keys.join("signing.key"), keys.join("signing.previous.key")).unwrap();
    std::fs::copy(h.dir.join("other-keys/signing.key"), keys.join("signing.key")).unwrap_or_else(|_| {
        let made = counterproof::crypto::keys::make_keys(&h.dir.join("other-keys"), "box-1");
        made.unwrap();
        std::fs::copy(h.dir.join("other-keys/signing.key"), keys.join("signing.key")).unwrap()
    });
    let config = std::fs::read_to_string(h.agent_config()).unwrap();
    let both = config.replacen(
        "[keys]\n",
        "[keys]\nroot_previous = 'keys/root.previous.key'\nsigning_previous = 'keys/signing.previous.key'\n",
        1,
    );
    assert_ne!(both, config);
    std::fs::write(h.agent_config(), both).unwrap();
    h.start_agent().unwrap();
    settled(h, "S3").await;
    assert!(h.agent.as_mut().unwrap().terminate().unwrap().success());
    assert_eq!(h.audit("root_key_replaced").len(), 2);
    assert_eq!(h.audit("configuration_changed").len(), 1);
    let verified = audit(h, &["verify", "--json", "--key", &public_key(h)]);
    let checked: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(checked["keys"], serde_json::json!([former, public_key(h)]));

    // From then on the new keys alone are enough.
    std::fs::write(h.agent_config(), config).unwrap();
    h.start_agent().unwrap();
    settled(h, "S4").await;
}
