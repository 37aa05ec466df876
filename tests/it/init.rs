//! `counterproof init`: from a person's answers, or a file of them, to a
//! configuration that `check` reads.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::models;

const AGENT: &str = env!("CARGO_BIN_EXE_counterproof");
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn init(out: &Path, words: &[&str], language: &str, piped: &str) -> Output {
    let mut child = Command::new(AGENT)
        .args(["init", "--out"])
        .arg(out)
        .args(words)
        .env_remove("RUST_LOG")
        .env("LC_ALL", language)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Whoever refuses early reads no answers.
    let _ = child.stdin.take().unwrap().write_all(piped.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn checked(config: &Path) -> Value {
    let done = Command::new(AGENT).args(["check", "--json", "--config"]).arg(config).output().unwrap();
    serde_json::from_slice(&done.stdout).unwrap()
}

fn level(checked: &Value, what: &str) -> String {
    let lines = checked["lines"].as_array().unwrap();
    let line = lines.iter().find(|l| l["what"] == what).unwrap_or_else(|| panic!("{what}: {checked:#}"));
    line["level"].as_str().unwrap().to_owned()
}

/// What a person types, a line each.
fn typed(posted_on: &str) -> String {
    [
        "box-1",
        "H00000000001",
        "http://bureau.example", // refused, asked again
        "https://bureau.example:8743",
        KEY,
        "keys",
        "yes",
        "",
        "w01, w02",
        "replay",
        "cameras/w01",
        "0.1 0 0.8 1",
        "replay",
        "cameras/w02",
        "half of it", // refused, asked again
        "whole",
        "某市第一人民医院",
        "医保办 021-0000 0000",
        "出示身份证件，由窗口人员核对",
        "statutory_duty",
        "a regulation",
        "12",
        "N-1",
        "settlement windows",
        "PIA-1",
        "2099-01-01",
        posted_on,
    ]
    .join("\n")
        + "\n"
}

#[test]
fn answers_at_the_terminal_become_a_configuration_that_check_accepts() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("counterproof.toml");
    let done = init(&out, &[], "C.UTF-8", &typed("2026-01-01"));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let said = text(&done.stdout);
    assert_eq!(said.matches("that will not do").count(), 2, "{said}");
    assert!(said.contains("public signing key, for the bureau: ") && said.contains("Next:"), "{said}");
    assert!(!said.contains("签名公钥"), "{said}");

    let written = std::fs::read_to_string(&out).unwrap();
    assert!(written.contains("# The capture region: where in the picture people stand"), "{written}");
    assert!(written.contains("id = \"w02\"") && written.contains("root = \"keys/root.key\""), "{written}");
    let checked = checked(&out);
    for what in ["configuration and policy", "root key", "signing key", "HIS token"] {
        assert_eq!(level(&checked, what), "ok", "{checked:#}");
    }

    // Nothing is overwritten: neither the configuration nor the keys.
    let again = init(&out, &[], "C.UTF-8", &typed("2026-01-01"));
    assert!(!again.status.success() && text(&again.stderr).contains("nothing is overwritten"));
    let key = std::fs::read(dir.path().join("keys/root.key")).unwrap();
    let other = dir.path().join("other.toml");
    let kept = init(&other, &[], "C.UTF-8", &typed("-"));
    assert!(text(&kept.stdout).contains("keys are there already"), "{}", text(&kept.stderr));
    assert_eq!(std::fs::read(dir.path().join("keys/root.key")).unwrap(), key);

    // A notice that nobody posted yet keeps the agent from starting, and nothing else is wrong.
    let unposted = crate::init::checked(&other);
    let found = unposted["lines"][0]["found"].as_str().unwrap();
    assert!(
        found.contains("privacy.notice.posted_on") && !found.contains("privacy.notice.sha256"),
        "{found}"
    );
    assert_eq!(found.lines().count(), 1, "{found}");
}

#[test]
fn an_answer_that_is_missing_writes_nothing_and_a_chinese_session_is_asked_in_chinese() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("counterproof.toml");
    let half: String = typed("-").lines().take(8).map(|l| format!("{l}\n")).collect();
    let done = init(&out, &[], "zh_CN.UTF-8", &half);
    assert!(!done.status.success() && !out.exists());
    assert!(text(&done.stdout).contains("医疗机构编码"), "{}", text(&done.stdout));
    assert!(text(&done.stderr).contains("no answer to `counters`"), "{}", text(&done.stderr));
    assert!(!dir.path().join("keys").exists());
}

fn answers(cameras: &Path) -> String {
    let calibration = concat!(env!("CARGO_MANIFEST_DIR"), "/config/calibrations/sface-2021dec.toml");
    format!(
        r#"counters = ["w03"]
[agent]
name = "box-1"
hospital = "H00000000001"
state = "state"
[bureau]
url = "https://bureau.example:8743"
public_key = "{KEY}"
[keys]
place = "keys"
[models]
manifest = "{}"
[decision]
calibration = "{calibration}"
[counter.w03]
kind = "replay"
path = "{}"
region = "whole"
[privacy]
controller = "hospital"
contact = "office"
alternative = "show an identity card"
[privacy.basis]
kind = "consent"
instrument = "form 7"
article = "1"
[privacy.notice]
id = "N-1"
place = "windows"
posted_on = "2026-01-01"
[privacy.impact_assessment]
id = "PIA-1"
review_by = "2099-01-01"
"#,
        models().display(),
        cameras.display()
    )
}

#[test]
fn a_file_of_answers_does_the_same_and_a_mistyped_key_is_not_overlooked() {
    let dir = tempfile::tempdir().unwrap();
    let cameras = dir.path().join("cameras");
    std::fs::create_dir(&cameras).unwrap();
    for n in 0..3u8 {
        let picture = image::RgbImage::from_pixel(640, 480, image::Rgb([120 + n; 3]));
        picture.save(cameras.join(format!("{n}.jpg"))).unwrap();
    }
    let (file, out) = (dir.path().join("answers.toml"), dir.path().join("counterproof.toml"));
    let with = |content: &str| {
        std::fs::write(&file, content).unwrap();
        init(&out, &["--answers", &file.to_string_lossy()], "C.UTF-8", "")
    };
    let good = answers(&cameras);
    for (from, to, said) in [
        ("kind = \"consent\"\n", "", "no answer to `privacy.basis.kind`"),
        ("kind = \"consent\"", "kind = \"habit\"", "found `habit`"),
        ("contact = ", "contakt = ", "no answer to `privacy.contact`"),
        ("[privacy.basis]", "sort = 1\n[privacy.basis]", "`privacy.sort` answers no question"),
    ] {
        let refused = with(&good.replace(from, to));
        assert!(!refused.status.success() && !out.exists(), "{from}");
        assert!(text(&refused.stderr).contains(said), "{}", text(&refused.stderr));
    }
    let done = with(&good);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let checked = checked(&out);
    for what in ["configuration and policy", "state folder", "models and calibration", "camera of w03"] {
        assert_eq!(level(&checked, what), "ok", "{checked:#}");
    }
}
