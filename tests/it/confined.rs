//! The programs under their units' own restrictions: they work, and what is
//! forbidden there is forbidden.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::hospital::{Hospital, Running, Wishes};
use crate::support::unit::{Room, Unit, syscall_numbers};
use crate::support::{quick_hospital, wait_for, wrapper};

/// Runs a program of the hospital in its room; what its ready file says.
fn run(h: &Hospital, unit: &str, program: &Path, words: &[&str], state: &str) -> (Running, Value) {
    let (unit, state) = (Unit::read(unit), h.dir.join(state));
    let room = Room { unit: &unit, folder: &h.dir, state: &state, filtered: true };
    let name = program.file_name().unwrap().to_string_lossy();
    let door = room.door(&h.dir.join(format!("confined-{name}")), program);
    let ready = state.join("ready.json");
    let log = h.dir.join(if name.ends_with("bureau") { "bureau.log" } else { "agent.log" });
    let running = Running::start(&door, words, log, &ready).unwrap();
    (running, serde_json::from_slice(&std::fs::read(ready).unwrap()).unwrap())
}

#[tokio::test]
async fn a_whole_verification_works_under_the_units_restrictions() {
    let mut o = quick_hospital(&Wishes::default());
    let h = &mut o.h;
    h.enrol().unwrap();
    // The bureau's store into a folder of its own, as StateDirectory= gives it.
    h.bureau.take().unwrap().terminate().unwrap();
    let config = h.dir.join("bureau.toml");
    std::fs::create_dir(h.dir.join("bureau-state")).unwrap();
    std::fs::create_dir_all(h.dir.join("state")).unwrap();
    std::fs::rename(h.dir.join("bureau.db"), h.dir.join("bureau-state/bureau.db")).unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    let agent_text = std::fs::read_to_string(h.agent_config()).unwrap();
    let port: String = agent_text
        .split("https://localhost:")
        .nth(1)
        .unwrap()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let text = text.replace("path = \"bureau.db\"", "path = \"bureau-state/bureau.db\"");
    let text = text.replacen("listen = \"127.0.0.1:0\"", &format!("listen = \"127.0.0.1:{port}\""), 1);
    std::fs::write(&config, text).unwrap();

    let words = ["serve", "--config", &config.to_string_lossy()];
    let (bureau, ready) = run(h, "counterproof-bureau.service", &h.programs.bureau, &words, "bureau-state");
    h.console = format!("http://{}", ready["console"].as_str().unwrap());
    h.bureau = Some(bureau);
    let config = h.agent_config();
    let words = ["run", "--config", &config.to_string_lossy()];
    let (agent, ready) = run(h, "counterproof.service", &h.programs.agent, &words, "state");
    h.joined(&ready);
    h.agent = Some(agent);
    h.wait_until_armed().unwrap();
    let full =
        || h.agent.as_ref().and_then(|a| std::fs::metadata(&a.log).ok()?.created().ok()?.elapsed().ok());
    wait_for("pictures of a whole window", || full().filter(|t| t.as_millis() > 1500));

    for (id, cardholder, expected) in [("S1", "PB", "match"), ("S2", "PA", "mismatch")] {
        let (status, body) = h.settle(&Hospital::settlement(id, "w01", cardholder, &[])).await.unwrap();
        assert_eq!(status, 202, "{body}");
        let verification = body["verification_id"].as_str().unwrap().to_owned();
        assert_eq!(wait_for("a verdict", || h.verdict(&verification)).0, expected);
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !h.alerts().await.unwrap().contains_key("S2") {
        assert!(std::time::Instant::now() < deadline, "waited 20 s for the alert");
    }
    let page = h.metrics(&h.agent_metrics).await.unwrap();
    assert!(page.contains("process_resident_memory_bytes "), "{page}");
    // Nothing that it wanted was refused.
    let log = std::fs::read_to_string(&h.agent.as_ref().unwrap().log).unwrap();
    let bad: Vec<&str> = log.lines().filter(|l| l.contains("\"ERROR\"") || l.contains("\"WARN\"")).collect();
    let unexpected: Vec<_> =
        bad.iter().filter(|l| l.contains("ot permitted") || l.contains("denied")).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
}

/// Tries what a program that was taken over would try, and prints each errno.
const BURGLAR: &str = r#"#!/usr/bin/python3
import ctypes, errno, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
numbers = json.loads(sys.argv[1])
def call(name, *arguments):
    ctypes.set_errno(0)
    libc.syscall.restype = ctypes.c_long
    r = libc.syscall(ctypes.c_long(numbers[name]), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    return "done" if r >= 0 else errno.errorcode[ctypes.get_errno()]
def attempt(f):
    try:
        f()
        return "done"
    except OSError as e:
        return errno.errorcode[e.errno]
state = os.environ["STATE_DIRECTORY"]
WRITE_EXECUTE, ANONYMOUS = 1 | 2 | 4, 0x22
out = {
    "write to /etc": attempt(lambda: open("/etc/burglar", "w")),
    "write beside the state": attempt(lambda: open(sys.argv[2] + "/burglar", "w")),
    "write to the state": attempt(lambda: open(state + "/allowed", "w")),
    "write to /tmp": attempt(lambda: open("/tmp/allowed", "w")),
    "open a camera": attempt(lambda: open("/dev/video0", "rb")),
    "open the memory": attempt(lambda: open("/dev/mem", "rb")),
    "open the terminal": attempt(lambda: open("/dev/tty", "rb")),
    "make a device": attempt(lambda: os.mknod(state + "/null", 0o020600, os.makedev(1, 3))),
    "mount": call("mount", b"x", b"/tmp", b"tmpfs", 0, 0),
    "ptrace": call("ptrace", 0, 0, 0, 0),
    "bpf": call("bpf", 0, 0, 0),
    "unshare": call("unshare", 0x10000000),
    "reboot": call("reboot", 0, 0, 0, 0),
    "load a module": call("init_module", 0, 0, b""),
    "set the clock": call("clock_settime", 0, 0),
    "join a namespace": call("setns", 0, 0),
    "write and execute": call("mmap", 0, 4096, WRITE_EXECUTE, ANONYMOUS, -1, 0),
    "packet socket": call("socket", 17, 3, 0),
    "netlink socket": call("socket", 16, 3, 0),
    "tcp socket": call("socket", 2, 1, 0),
    "set-id file": attempt(lambda: os.chmod(state + "/allowed", 0o4700)),
    "see others": "done" if any(p.isdigit() and int(p) > 3 for p in os.listdir("/proc")) else "none",
    "user": str(os.getuid()),
    "capabilities": [l.split()[1] for l in open("/proc/self/status") if l.startswith("CapEff")][0],
    "no new privileges": [l.split()[1] for l in open("/proc/self/status") if l.startswith("NoNewPrivs")][0],
    "environment": " ".join(sorted(set(os.environ) - {"LC_CTYPE", "PWD"})),
}
print(json.dumps(out))
"#;

fn burgle(unit: &Unit, filtered: bool) -> BTreeMap<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let program = wrapper(&dir.path().join("burglar"), BURGLAR);
    let room = Room { unit, folder: dir.path(), state: &state, filtered };
    let numbers = serde_json::to_string(&syscall_numbers()).unwrap();
    let door = room.door(&dir.path().join("door"), &program);
    let output = Command::new(door).arg(numbers).arg(dir.path()).env("SECRET", "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn what_the_units_forbid_is_forbidden_in_that_room() {
    let agent = burgle(&Unit::read("counterproof.service"), true);
    let expected = [
        ("write to /etc", "EROFS"),
        ("write beside the state", "EROFS"),
        ("write to the state", "done"),
        ("write to /tmp", "done"),
        ("open a camera", "ENOENT"),
        ("open the memory", "ENOENT"),
        ("open the terminal", "ENOENT"),
        ("make a device", "EPERM"),
        ("mount", "EPERM"),
        ("ptrace", "EPERM"),
        ("bpf", "EPERM"),
        ("unshare", "EPERM"),
        ("reboot", "EPERM"),
        ("load a module", "EPERM"),
        ("set the clock", "EPERM"),
        ("join a namespace", "EPERM"),
        ("write and execute", "EPERM"),
        ("packet socket", "EPERM"),
        ("netlink socket", "EPERM"),
        ("tcp socket", "done"),
        ("set-id file", "EPERM"),
        ("see others", "none"),
        ("user", "65534"),
        ("capabilities", "0000000000000000"),
        ("no new privileges", "1"),
        ("environment", "PATH STATE_DIRECTORY"),
    ];
    let expected: BTreeMap<String, String> =
        expected.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    assert_eq!(agent, expected);
    assert_eq!(burgle(&Unit::read("counterproof-bureau.service"), true), expected);
    // Without the filter the same attempts pass: it is the filter that was seen at work.
    let open = burgle(&Unit::read("counterproof.service"), false);
    for attempt in ["write and execute", "netlink socket", "set-id file", "ptrace"] {
        assert_eq!(open[attempt], "done", "{attempt}");
    }
}

/// The units as systemd's own judge sees them, and the lines that a person
/// would look for.
#[test]
fn the_units_are_as_tight_as_they_say() {
    for name in ["counterproof.service", "counterproof-bureau.service"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name);
        let judged = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=15"])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&judged.stdout).into_owned();
        assert!(judged.status.success(), "{name}: {}", said.lines().last().unwrap_or_default());
        let unit = Unit::read(name);
        for (key, value) in [
            ("Type", "notify"),
            ("WatchdogSec", "30"),
            ("ProtectSystem", "strict"),
            ("PrivateTmp", "yes"),
            ("DevicePolicy", "closed"),
            ("IPAddressDeny", "any"),
            ("NoNewPrivileges", "yes"),
            ("CapabilityBoundingSet", ""),
            ("DynamicUser", "yes"),
            ("MemorySwapMax", "0"),
            ("LimitCORE", "0"),
        ] {
            assert_eq!(unit.one(key), value, "{name}: {key}");
        }
        assert!(!unit.all("MemoryMax").is_empty() && !unit.all("SystemCallFilter").is_empty());
    }
    // The agent reads the boot's id there; see its unit.
    assert!(Unit::read("counterproof.service").all("ProcSubset").is_empty());
}
