//! The privacy policy from the configuration to the bureau: the real programs,
//! one configuration, one database.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use counterproof::crypto::Sha256;
use counterproof::edge::config::Config;
use counterproof::protocol::{POLICY_PATH, POSTURE_PATH};
use serde_json::{Value, json};

use crate::support::bureau::{Bureau, TestBox};
use crate::support::hospital::{Hospital, Programs, Wishes};

const AGENT: &str = env!("CARGO_BIN_EXE_counterproof");

/// A box's configuration that looks for no camera and no model: enough for
/// everything about its policy, with a real bureau behind it.
struct Site {
    bureau: Bureau,
    boxed: TestBox,
    config: PathBuf,
}

fn program(words: &[&str], config: &Path) -> Output {
    Command::new(AGENT).args(words).arg("--config").arg(config).env_remove("RUST_LOG").output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The published example, with another bureau and no notice posted yet.
fn example(dir: &Path, bureau: &str) -> PathBuf {
    let text = include_str!("../../config/counterproof.example.toml");
    let digest = text.lines().find(|l| l.starts_with("sha256 = ")).unwrap();
    let text = text
        .replace(digest, "sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"")
        .replace("https://bureau.example:8743", bureau)
        // The programs go by today's date: this one does not come.
        .replace("review_by = \"2027-11-01\"", "review_by = \"2099-11-01\"")
        .replace("ca = \"bureau-ca.pem\"", "ca = \"pki/ca.pem\"")
        .replace("certificate = \"box-1.pem\"", "certificate = \"pki/box-1.pem\"")
        .replace("key = \"credential:tls.key\"", "key = \"pki/box-1.key\"");
    let path = dir.join("box.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// Writes the digest that `policy notice` prints.
fn post_notice(config: &Path) {
    let printed = program(&["policy", "notice"], config);
    assert!(printed.status.success(), "{}", err(&printed));
    let digest = Sha256::of(&printed.stdout).to_string();
    assert!(err(&printed).contains(&format!("sha256 = \"{digest}\"")), "{}", err(&printed));
    let text = std::fs::read_to_string(config).unwrap();
    let line = text.lines().find(|l| l.starts_with("sha256 = ")).unwrap();
    std::fs::write(config, text.replace(line, &format!("sha256 = \"{digest}\""))).unwrap();
}

impl Site {
    fn open() -> Self {
        let bureau = Bureau::start("");
        let boxed = bureau.add_box("box-1");
        let address = bureau.url("").replace("127.0.0.1", "localhost");
        let config = example(bureau.dir.path(), &address);
        post_notice(&config);
        Self { bureau, boxed, config }
    }

    fn write(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(&self.config, text.replace(from, to)).unwrap();
    }

    /// `policy show --json`, kept in a file.
    fn show_json(&self) -> (PathBuf, Value) {
        let shown = program(&["policy", "show", "--json"], &self.config);
        assert!(shown.status.success(), "{}", err(&shown));
        let file = self.bureau.dir.path().join("policy.json");
        std::fs::write(&file, &shown.stdout).unwrap();
        (file, serde_json::from_slice(&shown.stdout).unwrap())
    }

    fn declare(&self, words: &[&str]) -> Output {
        self.bureau.command(&["agents", "declare", "box-1"]).args(words).output().unwrap()
    }

    fn diff(&self) -> (Option<i32>, String, String) {
        let output = program(&["policy", "diff"], &self.config);
        (output.status.code(), out(&output), err(&output))
    }
}

#[test]
fn the_notice_is_printed_posted_and_then_the_policy_is_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let config = example(dir.path(), "https://bureau.example:8743");
    let refused = program(&["policy", "show"], &config);
    assert!(!refused.status.success());
    assert!(err(&refused).contains("privacy.notice.sha256"), "{}", err(&refused));
    assert!(err(&refused).contains("counterproof policy notice"), "{}", err(&refused));
    post_notice(&config);
    let shown = program(&["policy", "show"], &config);
    assert!(shown.status.success(), "{}", err(&shown));
    let page = out(&shown);
    for text in ["ceiling 60 seconds", "采集区域", "PIPL art. 55", "80 % wide"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let html = program(&["policy", "notice", "--html"], &config);
    assert!(out(&html).starts_with("<!doctype html>") && out(&html).contains("最多 20 秒"), "{}", out(&html));
    // A limit that changes asks for a new notice.
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("frames_seconds = 20", "frames_seconds = 30")).unwrap();
    assert!(!program(&["policy", "show"], &config).status.success());
    post_notice(&config);
    assert!(out(&program(&["policy", "show"], &config)).contains("30 seconds  ceiling 60 seconds"));
}

#[test]
fn the_published_example_is_in_order() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config/counterproof.example.toml"));
    let read = Config::read(path, jiff::civil::date(2026, 11, 22)).unwrap();
    assert_eq!(read.warnings, Vec::<String>::new());
}

#[test]
fn the_document_that_is_shown_has_the_digest_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = example(dir.path(), "https://bureau.example:8743");
    post_notice(&config);
    let shown = program(&["policy", "show", "--json"], &config);
    assert!(shown.status.success(), "{}", err(&shown));
    let line = out(&shown);
    let said: Value = serde_json::from_str(&line).unwrap();
    let digest = said["digest"].as_str().unwrap();
    // By the bytes as they stand, and by any tool that sorts keys.
    let bytes = line.trim_end().strip_prefix(&format!("{{\"digest\":\"{digest}\",\"policy\":")).unwrap();
    assert_eq!(Sha256::of(bytes.strip_suffix('}').unwrap().as_bytes()).to_string(), digest);
    assert_eq!(Sha256::of(said["policy"].to_string().as_bytes()).to_string(), digest);
    let page = out(&program(&["policy", "show"], &config));
    assert!(page.contains(digest), "{page}");
}

#[test]
fn who_reads_the_hiss_own_messages_says_how_long_it_knows_who_acts() {
    let dir = tempfile::tempdir().unwrap();
    let config = example(dir.path(), "https://bureau.example:8743");
    post_notice(&config);
    let whole = std::fs::read_to_string(&config).unwrap();
    let senders = "[[his.senders]]\ncounter = \"w01\"\ndevices = [\"D-1\"]\n[metrics]";
    std::fs::write(&config, whole.replace("[metrics]", senders)).unwrap();
    let said = err(&program(&["run"], &config));
    assert!(
        said.contains("privacy.retention.stays_days: found nothing") && said.contains("1 to 180"),
        "{said}"
    );
    let mistyped = senders.replace("w01", "w1").replace("devices", "device");
    std::fs::write(&config, whole.replace("[metrics]", &mistyped)).unwrap();
    let said = err(&program(&["run"], &config));
    assert!(said.contains("device") && said.contains("box.toml"), "{said}");
}

#[test]
fn the_agent_does_not_start_without_each_thing_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let config = example(dir.path(), "https://bureau.example:8743");
    post_notice(&config);
    let whole = std::fs::read_to_string(&config).unwrap();
    let from = whole.find("[privacy]").unwrap();
    let mut section = String::new();
    let mut asked = 0;
    let keys = whole[from..].lines().chain(["region = "]);
    for line in keys.filter(|l| !l.starts_with('#') && !l.is_empty()) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
            continue;
        }
        let key = line.split(" = ").next().unwrap();
        let named = if key == "region" { "counters[0].region".into() } else { format!("{section}.{key}") };
        let without = whole.lines().filter(|l| match key {
            "region" => !l.starts_with("region = "),
            _ => *l != line,
        });
        std::fs::write(&config, without.collect::<Vec<_>>().join("\n")).unwrap();
        let refused = program(&["run"], &config);
        assert!(!refused.status.success(), "started without {named}");
        let said = err(&refused);
        assert!(said.contains(&format!("{named}: found nothing")), "{named}: {said}");
        let rule = said.contains("PIPL art. ") || said.contains("measures art. ");
        assert!(rule && said.contains("Example: ") && said.contains("box.toml"), "{named}: {said}");
        asked += 1;
    }
    assert_eq!(asked, 19);
}

#[test]
fn a_limit_above_its_ceiling_and_an_overdue_assessment_are_refused_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let config = example(dir.path(), "https://bureau.example:8743");
    post_notice(&config);
    let whole = std::fs::read_to_string(&config).unwrap();
    for (from, to, named) in [
        (
            "frames_seconds = 20",
            "frames_seconds = 61",
            "privacy.retention.frames_seconds: found 61; allowed: 5 to 60",
        ),
        (
            "journal_hours = 24",
            "journal_hours = 25",
            "privacy.retention.journal_hours: found 25; allowed: 1 to 24",
        ),
        (
            "review_by = \"2099-11-01\"",
            "review_by = \"2020-11-01\"",
            "privacy.impact_assessment.review_by: found 2020-11-01",
        ),
        ("wording = 1 ", "wording = 2 ", "found 2; allowed: 1 (the version of the notice's wording)"),
        ("w = 0.8", "w = 1.8", "counters[0].region: found { x = 0.1, y = 0, w = 1.8, h = 1 }"),
        ("w = 0.8", "w = 0.81234", "at most three decimals"),
    ] {
        let text = whole.replace(from, to);
        assert_ne!(text, whole, "{from}");
        std::fs::write(&config, &text).unwrap();
        let said = err(&program(&["run"], &config));
        let line = text.lines().position(|l| l.contains(to)).unwrap() + 1;
        assert!(
            said.contains(named) && said.contains(&format!("box.toml:{line}:")),
            "{line} {named}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn diff_says_the_same_different_or_not_to_be_told() {
    let mut site = Site::open();
    let (code, _, said) = site.diff();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("agents declare"), "{said}");

    let (file, shown) = site.show_json();
    let declared = site.declare(&["--policy", &file.to_string_lossy()]);
    assert!(declared.status.success(), "{}", err(&declared));
    let digest = shown["digest"].as_str().unwrap();
    assert_eq!(site.diff(), (Some(0), format!("the same: {digest}\n"), String::new()));
    let answer: Value = site.boxed.get(&site.bureau, POLICY_PATH).await.json().await.unwrap();
    assert_eq!(answer, shown);

    site.write("waiting_alerts_days = 90", "waiting_alerts_days = 60");
    site.write("医保办 021-0000 0000", "医保办 021-0000 0001");
    post_notice(&site.config);
    let (code, report, _) = site.diff();
    assert_eq!(code, Some(1), "{report}");
    for text in [
        "contact\n    at the box:         医保办 021-0000 0001\n    bureau's declared:  医保办 021-0000 0000\n",
        "retention_s.waiting_alerts_days\n    at the box:         5184000\n    bureau's declared:  7776000\n    stricter: the box",
        "notice.sha256",
    ] {
        assert!(report.contains(text), "{text}: {report}");
    }

    site.bureau.kill();
    let (code, report, said) = site.diff();
    assert_eq!((code, report.as_str()), (Some(2), ""), "{said}");
    site.write("waiting_alerts_days = 60", "waiting_alerts_days = 900");
    assert_eq!(site.diff().0, Some(2));
}

#[test]
fn only_what_a_box_could_run_is_declared() {
    let site = Site::open();
    let (file, shown) = site.show_json();
    let path = file.to_string_lossy().into_owned();
    let changed = |pointer: &str, value: Value| {
        let mut policy = shown["policy"].clone();
        *policy.pointer_mut(pointer).unwrap() = value;
        policy
    };
    let named =
        |policy: Value| json!({"digest": Sha256::of(policy.to_string().as_bytes()), "policy": policy});
    let above = named(changed("/retention_s/frames_seconds", json!(61)));
    let unknown = named(changed("/basis", json!({"kind": "habit", "instrument": "a", "article": "1"})));
    let tampered = json!({"digest": shown["digest"], "policy": changed("/contact", json!("nobody"))});
    for (text, why) in [
        (above.to_string(), "retention_s.frames_seconds: found 61; allowed: 5 to 60 seconds"),
        (unknown.to_string(), "habit"),
        (tampered.to_string(), "it was changed after it was printed"),
        ("{".to_owned(), "policy show --json"),
    ] {
        std::fs::write(&file, text).unwrap();
        let refused = site.declare(&["--policy", &path]);
        assert!(!refused.status.success() && err(&refused).contains(why), "{why}: {}", err(&refused));
    }
    assert!(!site.declare(&["--none"]).status.success());
    assert!(!site.declare(&[]).status.success());
    std::fs::write(&file, shown.to_string()).unwrap();
    assert!(site.declare(&["--policy", &path]).status.success());
    assert!(site.declare(&["--none"]).status.success());
    assert_eq!(site.diff().0, Some(2));
    let nobody = site.bureau.command(&["agents", "declare", "box-9", "--policy", &path]).output().unwrap();
    assert!(err(&nobody).contains("no box is called box-9"), "{}", err(&nobody));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_boxes_says_whether_the_policy_is_the_declared_one() {
    let site = Site::open();
    let (file, shown) = site.show_json();
    let page =
        async |lang: &str| site.bureau.console(&format!("/boxes?lang={lang}")).await.text().await.unwrap();
    let zero = "0".repeat(64);
    let mut posture = json!({
        "agent": "box-1", "hospital": "H31010000001", "at": 1_795_000_000_000_i64, "agent_version": "0.1.0",
        "models": {}, "policy": zero, "calibration": zero, "retention_s": {}, "verdicts": {},
        "outbox_waiting": 0, "outbox_set_aside": 0, "liveness": "off", "troubles": [],
        "audit": {"epoch": uuid::Uuid::now_v7(), "seq": 9, "hash": zero},
    });
    let send = async |posture: &Value| {
        let bytes = posture.to_string();
        let status = site.boxed.post(&site.bureau, POSTURE_PATH, bytes.as_bytes()).await.status();
        assert_eq!(status.as_u16(), 200);
    };
    send(&posture).await;
    assert!(page("en").await.contains("None declared") && page("zh").await.contains("未申报"));
    assert!(site.declare(&["--policy", &file.to_string_lossy()]).status.success());
    assert!(page("en").await.contains("Not as declared") && page("zh").await.contains("与申报不符"));
    posture["policy"] = shown["digest"].clone();
    send(&posture).await;
    assert!(page("en").await.contains(">As declared<") && page("zh").await.contains("与申报一致"));
    assert_eq!(site.bureau.json("/agents.json").await["agents"][0]["declared_policy"], shown["digest"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_agent_names_the_policy_that_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let programs = Programs { agent: AGENT.into(), bureau: env!("CARGO_BIN_EXE_counterproof-bureau").into() };
    let models = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/models/models.toml"));
    let mut hospital = Hospital::open(dir.path(), programs, models, &Wishes::default()).unwrap();
    let shown = program(&["policy", "show", "--json"], &hospital.agent_config());
    let file = dir.path().join("policy.json");
    std::fs::write(&file, &shown.stdout).unwrap();
    hospital.bureau_command(&["agents", "declare", "box-1", "--policy", &file.to_string_lossy()]).unwrap();
    hospital.start_agent().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let known = loop {
        let known = hospital.console("/agents.json").await.unwrap()["agents"][0].clone();
        if known["posture"].is_object() {
            break known;
        }
        assert!(std::time::Instant::now() < deadline, "waited 20 s for a posture");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(known["posture"]["policy"], shown["digest"]);
    assert_eq!(known["declared_policy"], shown["digest"]);
    assert_eq!(known["posture"]["retention_s"], shown["policy"]["retention_s"]);
    assert_eq!(program(&["policy", "diff"], &hospital.agent_config()).status.code(), Some(0));
}
