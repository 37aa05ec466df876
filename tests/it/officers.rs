//! The console for those who see to boxes and to privacy, over real programs: a code
//! for joining, the privacy pages with their signed export, a person's rights.

use std::path::Path;
use std::process::Command;

use counterproof::crypto::Sha256;
use counterproof::crypto::sign::{PublicKey, Signature, Unverified};
use counterproof::protocol::POSTURE_PATH;
use serde_json::{Value, json};

use crate::support::bureau::{Bureau, Chain, TestBox};
use crate::support::person::Person;

fn posture(version: &str) -> Value {
    let nothing = Sha256::of(b"m");
    json!({
        "agent": "box-1", "hospital": "H31010000001", "at": 1_795_000_000_000_i64, "agent_version": version,
        "models": {"recognizer": nothing}, "policy": nothing, "calibration": nothing,
        "retention_s": {"journal_hours": 3600}, "verdicts": {}, "outbox_waiting": 0, "outbox_set_aside": 0,
        "purges": {"journal_hours": {"at": 1_795_000_000_000_i64, "deleted": 3, "since_start": 40,
                                     "oldest_left_s": 4000}},
        "liveness": "off", "troubles": [],
        "audit": {"epoch": "01938a00-0000-7000-8000-000000000000", "seq": 9, "hash": nothing},
    })
}

#[tokio::test]
async fn an_administrator_makes_a_code_once_and_a_box_joins_with_it() {
    let mut bureau = Bureau::prepare("[join]\nlisten = '127.0.0.1:0'\n");
    bureau.run();
    let admin = Person::new(&bureau, "wei", &["administrator"]).await;
    let fields = [("name", "box-7"), ("hospital", "H31010000001")];
    let (status, _, page) = admin.send("/boxes", "/boxes/code", &fields).await;
    assert_eq!(status, 200, "{page}");
    let code = page.split("<code>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert!(code.starts_with("cpj1."), "{code}");
    let (_, list) = admin.get("/boxes").await;
    assert!(list.contains("box-7") && !list.contains(&code), "{list}");

    let own = bureau.pki.issue("box-7", false).unwrap();
    let keys = bureau.dir.path().join("keys-7");
    let joined = Command::new(env!("CARGO_BIN_EXE_counterproof"))
        .args(["join", "--bureau", &bureau.join_url(), "--code", &code, "--keys"])
        .arg(&keys)
        .arg("--certificate")
        .arg(&own.certificate)
        .output()
        .unwrap();
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
    let (_, page) = admin.get("/boxes/box-7").await;
    assert!(page.contains("H31010000001") && page.contains("Suspend this box"), "{page}");
    let (status, ..) = admin.send("/boxes/box-7", "/boxes/box-7/suspend", &[]).await;
    assert_eq!(status, 303);
    assert!(admin.get("/boxes/box-7").await.1.contains("Hear it again"));

    // A supervisor looks and signs; codes and suspending are the administrator's.
    let supervisor = Person::new(&bureau, "li", &["supervisor"]).await;
    let (status, page) = supervisor.get("/boxes/box-7").await;
    assert!(status == 200 && page.contains("Take the commission back") && !page.contains("Hear it again"));
    let (status, _, refused) = supervisor.send("/boxes/box-7", "/boxes/box-7/resume", &[]).await;
    assert_eq!(status, 403, "{refused}");
}

#[tokio::test]
async fn the_privacy_officer_sees_each_box_and_takes_out_one_signed_file() {
    let bureau = Bureau::start("");
    let boxed: TestBox = bureau.add_box("box-1");
    let sent = boxed.post(&bureau, POSTURE_PATH, posture("0.1.0").to_string().as_bytes()).await;
    assert_eq!(sent.status().as_u16(), 200);
    let officer = Person::new(&bureau, "chen", &["privacy_officer"]).await;
    let (status, page) = officer.get("/privacy").await;
    assert_eq!(status, 200, "{page}");
    for part in
        ["box-1", "None declared", "Fits; countersigned", "journal_hours", "Cardholders with a reference: 0"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let (_, page) = officer.get("/privacy/boxes/box-1").await;
    assert!(
        page.contains("settlements, after their verdict") && page.contains("Older than its limit"),
        "{page}"
    );
    assert!(page.contains(&Sha256::of(b"m").to_string()), "{page}");

    let (status, _, file) = officer.send("/privacy", "/privacy/export", &[]).await;
    assert_eq!(status, 200, "{file}");
    let file: Value = serde_json::from_str(&file).unwrap();
    let (document, key) =
        (file["document"].as_str().unwrap(), bureau.command(&["show-key"]).output().unwrap());
    let key = PublicKey::from_base64(&String::from_utf8(key.stdout).unwrap()).unwrap();
    let signature: Signature = file["signature"].as_str().unwrap().parse().unwrap();
    assert!(Unverified::new(document.as_bytes(), signature).verify(&key).is_ok());
    let told: Value = serde_json::from_str(document).unwrap();
    assert_eq!(told["overview"]["boxes"][0]["purges"]["journal_hours"]["since_start"], 40);
    assert_eq!((&told["by"], &told["overview"]["filing"]), (&"chen".into(), &"not_due".into()));
    let acts = String::from_utf8(bureau.command(&["acts"]).output().unwrap().stdout).unwrap();
    assert!(acts.contains("privacy export"), "{acts}");
    let reviewer = Person::new(&bureau, "wu", &["reviewer"]).await;
    for path in ["/privacy", "/rights", "/boxes", "/rollouts"] {
        assert_eq!(reviewer.get(path).await.0, 403, "{path}");
    }
}

fn holds(dir: &Path, file: &str, needle: &str) -> bool {
    let bytes = std::fs::read(dir.join(file)).unwrap_or_default();
    bytes.windows(needle.len()).any(|w| w == needle.as_bytes())
}

fn today() -> String {
    jiff::Timestamp::now().to_zoned(jiff::tz::Offset::constant(8).to_time_zone()).date().to_string()
}

fn request<'t>(number: &'t str, kind: &'t str, received: &'t str) -> [(&'t str, &'t str); 4] {
    [("cardholder", number), ("kind", kind), ("received", received), ("asked", "please")]
}

/// A reviewer writes a letter about an alert, declares a proxy there, and decides it.
async fn work_on(bureau: &Bureau, alert: &str) {
    let reviewer = Person::new(bureau, "wu", &["reviewer"]).await;
    let proxy = [
        ("proxy", "P0002"),
        ("relation", "daughter"),
        ("cardholder_consent", "his word"),
        ("proxy_consent", "her word"),
        ("consented_on", "2026-01-02"),
        ("days", "30"),
    ];
    let decision = [("seen", "0"), ("decision", "false_alert"), ("note", "the recording shows her")];
    for (form, fields) in [
        ("letters", &[("kind", "recording"), ("asked", "camera 7")][..]),
        ("proxies", &proxy),
        ("decision", &decision),
    ] {
        let (status, _, said) = reviewer.send(alert, &format!("{alert}/{form}"), fields).await;
        assert_eq!(status, 303, "{form}: {said}");
    }
}

#[tokio::test]
async fn a_person_is_told_what_is_held_and_has_it_erased_with_a_receipt() {
    let bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    let (id, alert) = Chain::new("box-1").mismatch();
    assert_eq!(boxed.alert(&bureau, &alert).await, 201);
    work_on(&bureau, &format!("/alerts/{id}")).await;
    let officer = Person::new(&bureau, "chen", &["privacy_officer"]).await;
    let ask = async |kind| {
        let (status, place, said) =
            officer.send("/rights", "/rights", &request("P0001", kind, &today())).await;
        assert!(status == 303 && place.starts_with("/rights/") && !place.contains("P0001"), "{place} {said}");
        place
    };
    let access = ask("access").await;
    let (_, page) = officer.get(&access).await;
    assert!(page.contains("P0001") && page.contains(&id), "{page}");
    let (_, _, held) = officer.send(&access, &format!("{access}/export"), &[]).await;
    let held: Value = serde_json::from_str(&held).unwrap();
    assert_eq!(
        (&held["cardholder"], &held["alerts"][0]["event"]["id"]),
        (&"P0001".into(), &id.as_str().into())
    );
    let alert_held = &held["alerts"][0];
    assert_eq!(alert_held["steps"][0]["text"]["note"], "the recording shows her");
    assert_eq!(alert_held["steps"][0]["decision"], "false_alert");
    assert_eq!(
        (&alert_held["letters"][0]["kind"], &alert_held["letters"][0]["text"]["asked"]),
        (&"recording".into(), &"camera 7".into())
    );
    let declared = &held["declared_proxies"];
    assert_eq!(
        (&declared[0]["as"], &declared[0]["held"]["declaration"]["proxy"]),
        (&"cardholder".into(), &"P0002".into())
    );
    // The proxy is told that she is one, and not of whom.
    let (_, theirs, _) = officer.send("/rights", "/rights", &request("P0002", "access", &today())).await;
    let (_, _, hers) = officer.send(&theirs, &format!("{theirs}/export"), &[]).await;
    assert!(hers.contains("her word") && !hers.contains("his word") && !hers.contains("P0001"), "{hers}");
    let end = [("how", "done"), ("outcome", "handed over")];
    assert_eq!(officer.send(&access, &format!("{access}/end"), &end).await.0, 303);

    let erasure = ask("erasure").await;
    let to = format!("{erasure}/erase");
    let (status, _, said) = officer.send(&erasure, &to, &[("cardholder", "P0002")]).await;
    assert!(status == 422 && said.contains("nothing was erased"), "{said}");
    let (status, place, said) = officer.send(&erasure, &to, &[("cardholder", "P0001")]).await;
    assert_eq!((status, place.as_str()), (303, format!("{erasure}/receipt").as_str()), "{said}");
    let (_, receipt) = officer.get(&place).await;
    assert!(
        receipt.contains(&Sha256::of(&alert).to_string()) && receipt.contains("Nothing stays."),
        "{receipt}"
    );
    let all = bureau.json("/alerts.json").await;
    assert_eq!(all["alerts"].as_array().map(Vec::len), Some(0), "{all}");
    // The box sends it again, as after a lost answer: it is known, and does not come back.
    assert_eq!(boxed.alert(&bureau, &alert).await, 200);
    let acts = String::from_utf8(bureau.command(&["acts"]).output().unwrap().stdout).unwrap();
    for what in ["rights request", "rights look", "rights export", "rights erase", "rights receipt"] {
        assert!(acts.contains(what), "{what}: {acts}");
    }
    assert!(!acts.contains("P0001"));
    for file in ["bureau.db", "bureau.db-wal", "bureau.log"] {
        assert!(!holds(bureau.dir.path(), file, "P0001"), "{file}");
    }
}
