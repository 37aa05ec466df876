//! A real program, started plainly or under something that hurts it: a tracer
//! that kills at a system call, another clock, another root, fewer descriptors.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A program that is not ready within this does not count as started.
const PATIENCE: Duration = Duration::from_secs(40);

/// What stands before the program on its command line, and in its environment.
#[derive(Debug, Clone, Default)]
pub struct Wrap {
    words: Vec<OsString>,
    environment: Vec<(String, String)>,
    /// Where a tracer writes what it saw.
    pub trace: Option<PathBuf>,
}

impl Wrap {
    /// Under words such as `prlimit --as=…`.
    pub fn words<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> Self {
        Self { words: words.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Under strace, which writes to `trace`. It runs as a grandchild (`-D`), so
    /// that the child is the program itself and dies as the program dies.
    pub fn strace(trace: &Path, options: &[String]) -> Self {
        let mut words: Vec<OsString> =
            ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o"].map(Into::into).to_vec();
        words.push(trace.into());
        words.extend(options.iter().map(Into::into));
        Self { words, environment: Vec::new(), trace: Some(trace.to_owned()) }
    }

    /// With a variable more.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.environment.push((key.to_owned(), value.into()));
        self
    }
}

/// How a start ended.
pub enum Started {
    /// Ready, after this long; with what its ready file says.
    Ready(Process, Duration, Value),
    /// It ended before it was ready.
    Died(ExitStatus),
}

/// A running program.
pub struct Process {
    child: Child,
    ended: Option<ExitStatus>,
    /// Where a tracer writes what it saw.
    pub trace: Option<PathBuf>,
}

/// A program on its way to being ready.
pub struct Starting {
    process: Process,
    begun: Instant,
    ready: PathBuf,
}

impl Starting {
    /// Begins to start it.
    pub fn begin(
        program: &Path,
        config: &Path,
        word: &str,
        log: &Path,
        ready: &Path,
        wrap: &Wrap,
    ) -> io::Result<Self> {
        let _ = fs::remove_file(ready);
        let out = fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut words = wrap.words.clone();
        words.push(program.into());
        let first = words.first().cloned().unwrap_or_default();
        let begun = Instant::now();
        let child = Command::new(first)
            .args(words.iter().skip(1))
            .args([word.as_ref(), "--config".as_ref(), config.as_os_str()])
            .args(["--ready-file".as_ref(), ready.as_os_str()])
            .env("RUST_LOG", "info,counterproof=debug,ort=warn")
            .envs(wrap.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        let process = Process { child, ended: None, trace: wrap.trace.clone() };
        Ok(Self { process, begun, ready: ready.to_owned() })
    }

    /// Whether it is ready, dead, or neither yet.
    pub fn look(mut self) -> io::Result<Result<Started, Self>> {
        if let Some(text) = fs::read(&self.ready).ok().filter(|t| !t.is_empty()) {
            let took = self.begun.elapsed();
            return Ok(Ok(Started::Ready(self.process, took, serde_json::from_slice(&text)?)));
        }
        if let Some(status) = self.process.ended()? {
            return Ok(Ok(Started::Died(status)));
        }
        if self.begun.elapsed() > PATIENCE {
            self.process.kill();
            return Err(io::Error::other(format!("not ready within {} s", PATIENCE.as_secs())));
        }
        Ok(Err(self))
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Process {
    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended)
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
    }

    /// Sends a signal by name, such as `STOP`.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().map(drop)
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(&mut self) -> io::Result<ExitStatus> {
        self.signal("TERM")?;
        let status = self.child.wait()?;
        self.ended = Some(status);
        Ok(status)
    }

    /// Whether a tracer holds it in a call that is made and has not returned.
    pub fn held_after_a_call(&self) -> bool {
        let Some(trace) = &self.trace else { return false };
        fs::read(trace).is_ok_and(|t| t.windows(9).any(|w| w == b"(DELAYED)"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether an end was a kill, and not an error of the program's own.
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}
