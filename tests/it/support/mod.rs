//! What the whole-program tests share.

pub mod bureau;
pub mod canary;
pub mod faults;
pub mod issuer;
pub mod person;
pub mod prometheus;
pub mod schema;
pub mod server;
pub mod unit;
pub mod worker;

pub use counterproof::bench::hospital::{self, pki};

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hospital::{Hospital, Programs, Wishes};

/// A hospital in a folder that goes with it.
pub struct Open {
    pub h: Hospital,
    _dir: tempfile::TempDir,
}

/// The two programs of this build.
pub fn programs() -> Programs {
    Programs {
        agent: env!("CARGO_BIN_EXE_counterproof").into(),
        bureau: env!("CARGO_BIN_EXE_counterproof-bureau").into(),
    }
}

/// The manifest of the real models.
pub fn models() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/models/models.toml").into()
}

/// A hospital whose windows close soon, so that tests do not wait for them.
pub fn quick_hospital(wishes: &Wishes) -> Open {
    let dir = tempfile::tempdir().unwrap();
    let wishes = Wishes { before_ms: 700, after_ms: 700, ..wishes.clone() };
    let h = Hospital::open(dir.path(), programs(), &models(), &wishes).unwrap();
    Open { h, _dir: dir }
}

/// A program in front of another: a shell script, executable.
pub fn wrapper(path: &Path, script: &str) -> PathBuf {
    use std::io::Write;
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(path).unwrap();
    file.write_all(script.as_bytes()).unwrap();
    path.to_owned()
}

/// Waits for a thing to be so, and gives up after 20 seconds.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited 20 s for {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
