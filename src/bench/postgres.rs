//! A PostgreSQL server of its own, from Debian's package, for tests and benchmarks.
//!
//! Promises: it listens on a socket in a folder of its own and on no address; it ends,
//! and its folder goes, when the process that started it ends, however that ends. A
//! PostgreSQL that is not installed is an error that says what to install.
//!
//! What it does not do: serve anybody's data. Whoever reaches the socket is let in.
//! Unit tests of the store include this file as it stands, so it knows nothing else of
//! this package.

use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// Settings of a server whose commits survive a power cut: its own defaults, said aloud.
pub const DURABLE: &[&str] = &["fsync=on", "synchronous_commit=on", "full_page_writes=on"];
/// Settings of a server that may lose everything, for tests of what is said to it.
pub const FORGETFUL: &[&str] = &["fsync=off", "full_page_writes=off"];

/// A server that does not answer by then will not.
const READY: Duration = Duration::from_secs(60);

/// Ends the server when its own end is asked for, which happens when whoever started it
/// ends; then removes its folder.
const KEEPER: &str = r#"
trap 'kill -QUIT $server 2>/dev/null' TERM INT HUP
"$1/postgres" -D "$2/data" $3 >"$2/log" 2>&1 &
server=$!
echo started
while kill -0 $server 2>/dev/null; do wait $server; done
rm -rf "$2"
"#;

/// A running server.
pub struct Postgres {
    keeper: Child,
    programs: PathBuf,
    dir: PathBuf,
}

impl Postgres {
    /// Makes an empty server and waits until it answers.
    ///
    /// # Errors
    /// If PostgreSQL is not installed, or does not start, with its log.
    pub fn start(settings: &[&str]) -> io::Result<Self> {
        let programs = programs()?;
        let dir = folder()?;
        let made = as_server(programs.join("initdb").as_os_str())
            .args([
                "--auth=trust",
                "--username=postgres",
                "--no-locale",
                "--encoding=UTF8",
                "--no-sync",
                "-D",
            ])
            .arg(dir.join("data"))
            .output()?;
        if !made.status.success() {
            let _ = fs::remove_dir_all(&dir);
            let said = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(io::Error::other(format!("initdb: {said}")));
        }
        let mut options = vec!["-c listen_addresses=".to_owned(), "-c max_connections=200".into()];
        options.push(format!("-c unix_socket_directories={}", dir.display()));
        options.extend(settings.iter().map(|setting| format!("-c {setting}")));
        let mut keep = as_server("sh".as_ref());
        keep.args(["-c", KEEPER, "sh"]).arg(&programs).arg(&dir).arg(options.join(" "));
        let server = Self { keeper: spawn_for_good(keep)?, programs, dir };
        let deadline = Instant::now() + READY;
        while !server.psql("postgres", "SELECT 1").is_ok_and(|said| said == "1") {
            if Instant::now() > deadline {
                let log = fs::read_to_string(server.dir.join("log")).unwrap_or_default();
                return Err(io::Error::other(format!("PostgreSQL was not ready within {READY:?}:\n{log}")));
            }
            thread::park_timeout(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// How a client names a database of it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.dir.display())
    }

    /// Runs a statement; what it answered.
    ///
    /// # Errors
    /// If it fails, with what the server said.
    pub fn psql(&self, database: &str, statement: &str) -> io::Result<String> {
        let asked = Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--quiet", "-At", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"])
            .arg(&self.dir)
            .args(["-d", database, "-c", statement])
            .stdin(Stdio::null())
            .output()?;
        if asked.status.success() {
            return Ok(String::from_utf8_lossy(&asked.stdout).trim().to_owned());
        }
        Err(io::Error::other(format!("{statement}: {}", String::from_utf8_lossy(&asked.stderr))))
    }

    /// Its folder, in which it also writes its log.
    pub fn folder(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.keeper.id().to_string()).status();
        let _ = self.keeper.wait();
    }
}

/// The folder of the newest PostgreSQL's programs.
fn programs() -> io::Result<PathBuf> {
    let found = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest =
        found.map(|e| e.path()).filter(|p| p.join("bin/postgres").exists()).max_by_key(|p| version(p));
    newest.map(|path| path.join("bin")).ok_or_else(|| {
        io::Error::other("PostgreSQL is not installed: `apt-get install postgresql`, or `make packages`")
    })
}

/// A new folder that belongs to whom the server runs as.
fn folder() -> io::Result<PathBuf> {
    let mut n = 0;
    let dir = loop {
        let dir = env::temp_dir().join(format!("counterproof-postgres-{}-{n}", std::process::id()));
        match fs::create_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => n += 1,
            made => break made.map(|()| dir)?,
        }
    };
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
    if is_root()? {
        let id = |what: &str| -> io::Result<u32> {
            let asked = Command::new("id").args([what, "postgres"]).output()?;
            String::from_utf8_lossy(&asked.stdout)
                .trim()
                .parse()
                .map_err(|_| io::Error::other("there is no user postgres: is Debian's package whole?"))
        };
        std::os::unix::fs::chown(&dir, Some(id("-u")?), Some(id("-g")?))?;
    }
    Ok(dir)
}

fn is_root() -> io::Result<bool> {
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

/// A command as the server's user, for root may not run one; it is told to end when the
/// thread that started it does.
fn as_server(program: &std::ffi::OsStr) -> Command {
    let mut command = Command::new("setpriv");
    if is_root().unwrap_or_default() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.args(["--pdeathsig", "TERM", "--"]).arg(program).current_dir("/").stdin(Stdio::null());
    command
}

/// Starts a program from a thread that lives as long as this process: the word that the
/// parent died comes when the thread ends, not the process.
fn spawn_for_good(mut command: Command) -> io::Result<Child> {
    let (tell, told) = mpsc::channel();
    thread::Builder::new().name("postgres".into()).spawn(move || {
        let _ = tell.send(command.stdout(Stdio::piped()).spawn());
        loop {
            thread::park();
        }
    })?;
    let mut child = told.recv().map_err(io::Error::other)??;
    let mut first = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut first)?;
    }
    Ok(child)
}
