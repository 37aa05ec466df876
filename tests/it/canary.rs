//! Nothing leaves, nothing stays: the canary in its short form, and the
//! process's shutters. `make canary` is the long form.

use std::path::PathBuf;

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::support::canary::run::{Wish, run};
use crate::support::hospital::{Hospital, Programs, Wishes};

fn programs() -> Programs {
    Programs {
        agent: env!("CARGO_BIN_EXE_counterproof").into(),
        bureau: env!("CARGO_BIN_EXE_counterproof-bureau").into(),
    }
}

fn models() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/models/models.toml").into()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_face_is_written_sent_or_kept() {
    let dir = tempfile::tempdir().unwrap();
    let wish = Wish { programs: programs(), models: models(), leaks: String::new(), posture_after: false };
    let found = run(dir.path(), wish).await.unwrap();
    assert!(found.clean(), "{}\n{}", found.table(), found.json());
}

#[test]
fn the_program_has_no_leaks_that_can_be_switched_on() {
    for program in [programs().agent, programs().bureau] {
        let bytes = std::fs::read(&program).unwrap();
        let has = |text: &[u8]| bytes.windows(text.len()).any(|w| w == text);
        assert!(has(b"counterproof"), "{} was not read", program.display());
        // Written in two parts, so that this test's own words are never what is found.
        let variable = ["COUNTERPROOF", "_LEAK"].concat();
        assert!(!has(variable.as_bytes()), "{} was built with the feature `leak`", program.display());
    }
}

/// A script that starts the agent as another group.
/// What belongs to a process that is not dumpable belongs to root's group: that
/// is how it shows from outside, even to root.
fn as_another_group(dir: &std::path::Path) -> PathBuf {
    let script = dir.join("another-group");
    let agent = programs().agent;
    let text = format!("#!/bin/sh\nexec setpriv --regid=65534 --clear-groups '{}' \"$@\"\n", agent.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    script
}

#[tokio::test]
async fn no_core_dump_no_onlooker_no_swap() {
    let dir = tempfile::tempdir().unwrap();
    let mut h = Hospital::open(dir.path(), programs(), &models(), &Wishes::default()).unwrap();
    h.programs.agent = as_another_group(dir.path());
    h.start_agent().unwrap();
    let pid = h.agent.as_ref().unwrap().pid();
    let of = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let number = |file: &str, key: &str| -> u64 {
        let text = of(file);
        let line = text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_else(|| panic!("{key}: {text}"));
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    assert_eq!(number("status", "Gid:"), 65534);
    assert_eq!(number("limits", "Max core file size"), 0);
    assert_eq!(std::fs::metadata(format!("/proc/{pid}/mem")).unwrap().gid(), 0, "it is dumpable");
    let caps = of("status").lines().find_map(|l| l.strip_prefix("CapEff:").map(str::to_owned)).unwrap();
    let privileged = u64::from_str_radix(caps.trim(), 16).unwrap() >> 14 & 1 == 1;
    if privileged || of("limits").lines().any(|l| l.starts_with("Max locked memory         unlimited")) {
        assert!(number("status", "VmLck:") > 50_000, "its memory is not locked");
        // As it is touched, so that a lock costs no more than what is used.
        assert!(number("status", "VmRSS:") < 400_000);
    } else {
        assert_eq!(number("status", "VmLck:"), 0, "a lock under a limit makes allocations fail");
    }
    assert_eq!(of("comm").trim(), "counterproof");

    // Where it is not locked, it is said whether swap is to be feared.
    let check = std::process::Command::new(programs().agent)
        .args(["check", "--config"])
        .arg(h.agent_config())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&check.stdout);
    assert!(said.lines().any(|l| l.contains(" swap ")), "{said}");
}
