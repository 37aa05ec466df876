//! A program that runs, with its log.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program that is not ready by then will not be; emulated, it takes a minute.
const READY: Duration = Duration::from_secs(120);

/// A running program with its log.
pub struct Running {
    child: Child,
    /// Everything that it says.
    pub log: PathBuf,
}

impl Running {
    /// Starts a program, and waits until it has written its ready file.
    ///
    /// # Errors
    /// If it ends or is not ready in time, with its log.
    pub fn start(program: &Path, arguments: &[&str], log: PathBuf, ready: &Path) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).env("RUST_LOG", "info,counterproof=debug,ort=warn").stdin(Stdio::null());
        Self::of(command, log, ready)
    }

    /// The same, of a command that says where the program is, what it is told and how
    /// much it logs.
    ///
    /// # Errors
    /// If it ends or is not ready in time, with its log.
    pub fn of(mut command: Command, log: PathBuf, ready: &Path) -> io::Result<Self> {
        let _ = fs::remove_file(ready);
        let out = fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let program = PathBuf::from(command.get_program());
        let mut child = command
            .args(["--ready-file".as_ref(), ready.as_os_str()])
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        let deadline = Instant::now() + READY;
        while !ready.exists() {
            if let Some(status) = child.try_wait()? {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(io::Error::other(format!("{} ended with {status}:\n{said}", program.display())));
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                return Err(io::Error::other(format!(
                    "{} was not ready within {READY:?}",
                    program.display()
                )));
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok(Self { child, log })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(&mut self) -> io::Result<std::process::ExitStatus> {
        Command::new("kill").arg(self.pid().to_string()).status()?;
        self.child.wait()
    }

    /// Lets it run on when this is dropped.
    pub fn leave_running(self) {
        std::mem::forget(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
