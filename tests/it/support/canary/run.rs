//! A real hospital, whole verifications, and everything that comes out of it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use counterproof::crypto::keys::read_root_key;
use counterproof::edge::opened;
use counterproof::protocol::reference::Template;
use counterproof::protocol::transform::TransformGrant;
use counterproof::vision::embed::DIMENSION;
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::super::hospital::{Hospital, Programs, Wishes};
use super::faces::Eyes;
use super::memory::{self, Scan};
use super::needles::{Class, Hits, Needles, PROBE, REFERENCE, Search};
use super::strace::{self, Written};
use super::tap::Tap;

/// What to run.
pub struct Wish {
    pub programs: Programs,
    pub models: PathBuf,
    /// What leaks where, for an agent with the feature `leak`; empty for none.
    pub leaks: String,
    /// Wait for a posture that was made after the verifications; it comes once a minute.
    pub posture_after: bool,
}

/// A place where something of a face could come out.
pub struct Sink {
    pub name: &'static str,
    /// Bytes that were searched.
    pub bytes: usize,
    pub hits: Hits,
}

/// What a run found.
pub struct Found {
    pub settlements: Vec<String>,
    pub sinks: Vec<Sink>,
    pub needles: usize,
    /// The process stopped in the middle of a verification: here something must be found.
    pub looking: Scan,
    /// After the last verdict, rings drained.
    pub after: Scan,
    /// Bytes written to files, and sent to the bureau and the HIS, in plain text.
    pub written: usize,
    pub sent: usize,
    /// Files that were written, and calls that cannot be searched.
    pub files: Vec<String>,
    pub unseen: Vec<String>,
    /// Files outside the box's own folder, and machines other than this one.
    pub elsewhere: Vec<String>,
    /// Whether the box has metrics.
    pub metrics: bool,
}

/// A verification takes a window of 1.4 s, a held mismatch, and `strace`'s time.
const PATIENCE: Duration = Duration::from_secs(60);
/// Work of the worker after which it is stopped, in nanoseconds: two or three
/// pictures. Each further try lets it go on for a picture more.
const SOME_WORK: u64 = 50_000_000;
const A_PICTURE: u64 = 25_000_000;
const TRIES: u64 = 8;

/// Runs everything in `dir`, which must be empty or not exist.
///
/// # Errors
/// If a program does not start, or something does not come to pass.
pub async fn run(dir: &Path, wish: Wish) -> io::Result<Found> {
    let begun = Instant::now();
    let say = |what: &str| eprintln!("canary, {:>3} s: {what}", begun.elapsed().as_secs());
    say("a hospital, its cameras, and what to look for in their pictures");
    let mut canary = Canary::start(dir, wish).await?;
    say("settlements");
    let mut settlements = canary.settlements().await?;
    let references = canary.references()?;
    say("the memory of the agent while it looks at somebody");
    let looking = canary.scan_while_looking(&references).await?;
    canary.ask(Method::GET, "/readyz", None).await?;
    canary.ask(Method::POST, "/v1/settlements", Some(json!({ "settlement_id": 7 }))).await?;
    let metrics = canary.metrics().await?;
    if canary.wish.posture_after {
        say("the next posture");
        canary.posture().await?;
    }
    // A match sends nothing after its references came: they must go all the same.
    settlements.push(canary.play("S7", "w01", "PB", "match").await?);
    say("the memory of the agent once all is decided");
    let after = canary.scan_after(&references).await?;
    say("everything that was written and sent");
    canary.end(settlements, looking, after, metrics, &references)
}

struct Canary {
    wish: Wish,
    h: Hospital,
    tap: Tap,
    search: Search,
    /// Of each face in the cameras' pictures, with its name.
    probes: Vec<(String, Template)>,
    needles: usize,
    trace: PathBuf,
    temporary: PathBuf,
    his: Vec<u8>,
    metrics: Vec<u8>,
    opened: BTreeMap<String, Vec<u8>>,
    raw: Vec<u8>,
}

fn wishes() -> Wishes {
    let replace = [("frames_seconds = 20", "frames_seconds = 5"), ("delay_ms = 5000", "delay_ms = 1000")];
    Wishes {
        hold_ms: 1500,
        before_ms: 700,
        after_ms: 700,
        replace: replace.map(|(from, to)| (from.to_owned(), to.to_owned())).to_vec(),
        ..Wishes::default()
    }
}

impl Canary {
    async fn start(dir: &Path, wish: Wish) -> io::Result<Self> {
        let programs = Programs { agent: wish.programs.agent.clone(), bureau: wish.programs.bureau.clone() };
        let mut h = Hospital::open(dir, programs, &wish.models, &wishes())?;
        h.enrol()?;
        let (search, needles, probes) = needles(dir, &wish.models)?;
        let tap = into_the_line(&h).await?;
        let (trace, temporary) = (dir.join("agent.strace"), dir.join("tmp"));
        std::fs::create_dir_all(&temporary)?;
        let folder = temporary.to_string_lossy();
        let variables =
            [("RUST_LOG", "debug"), ("TMPDIR", folder.as_ref()), ("COUNTERPROOF_LEAK", wish.leaks.as_str())];
        h.programs.agent = strace::wrapper(dir, &wish.programs.agent, &trace, &variables)?;
        h.start_agent()?;
        Ok(Self {
            wish,
            h,
            tap,
            search,
            probes,
            needles,
            trace,
            temporary,
            his: Vec::new(),
            metrics: Vec::new(),
            opened: BTreeMap::new(),
            raw: Vec::new(),
        })
    }

    fn pid(&self) -> u32 {
        self.h.agent.as_ref().map_or(0, |a| a.pid())
    }

    /// Asks as the HIS does, and keeps every byte of the answer.
    async fn ask(&mut self, method: Method, path: &str, body: Option<Value>) -> io::Result<(u16, Value)> {
        let mut request = self.h.request(method, path).bearer_auth(&self.h.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(io::Error::other)?;
        let status = answer.status().as_u16();
        let mut bytes = format!("{status}\n").into_bytes();
        for (name, value) in answer.headers() {
            bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat());
        }
        let text = answer.bytes().await.map_err(io::Error::other)?;
        bytes.extend_from_slice(&text);
        self.his.extend(bytes);
        Ok((status, serde_json::from_slice(&text).unwrap_or_default()))
    }

    /// Begins a verification; its number.
    async fn settle(&mut self, id: &str, counter: &str, cardholder: &str) -> io::Result<String> {
        let body = Hospital::settlement(id, counter, cardholder, &[]);
        let (status, answer) = self.ask(Method::POST, "/v1/settlements", Some(body)).await?;
        self.snapshot()?;
        match answer["verification_id"].as_str() {
            Some(number) if status == 202 => Ok(number.to_owned()),
            _ => Err(io::Error::other(format!("{id}: the agent answered {status}: {answer}"))),
        }
    }

    /// Whether somebody was looked for, or the verdict fell without.
    fn looked(&self, verification: &str) -> bool {
        let told = self.h.told(verification);
        told.iter().any(|line| line["message"] == "looked" || line["message"] == "verified")
    }

    /// One settlement to its verdict, which must be `expected`.
    async fn play(
        &mut self,
        id: &str,
        counter: &str,
        cardholder: &str,
        expected: &str,
    ) -> io::Result<String> {
        let number = self.settle(id, counter, cardholder).await?;
        until("a look or a verdict", || self.looked(&number)).await?;
        // While a mismatch is held, its draft is a sealed row.
        self.snapshot()?;
        until("a verdict", || self.h.verdict(&number).is_some()).await?;
        let (verdict, reason) = self.h.verdict(&number).unwrap_or_default();
        self.snapshot()?;
        if verdict != expected {
            return Err(io::Error::other(format!("{id}: {verdict}({reason}), expected {expected}")));
        }
        Ok(format!("{id} {verdict}"))
    }

    /// Every verdict once, an alert delivered, one withdrawn, one cancelled while held.
    async fn settlements(&mut self) -> io::Result<Vec<String>> {
        // The window needs its past in the ring.
        tokio::time::sleep(Duration::from_millis(900)).await;
        let mut out = vec![self.play("S1", "w01", "PB", "match").await?];
        out.push(self.play("S2", "w01", "PA", "mismatch").await?);
        self.alert("S2", "open").await?;
        out.push(self.play("S3", "w02", "PB", "inconclusive").await?);
        out.push(self.play("S4", "w02", "P-NEW", "not_assessed").await?);
        self.ask(Method::DELETE, "/v1/settlements/S2", None).await?;
        self.alert("S2", "withdrawn").await?;
        out.push("S2 withdrawn".into());
        let held = self.settle("S5", "w01", "PA").await?;
        until("a held mismatch", || self.looked(&held)).await?;
        self.snapshot()?;
        self.ask(Method::DELETE, "/v1/settlements/S5", None).await?;
        out.push("S5 cancelled while held".into());
        Ok(out)
    }

    async fn alert(&mut self, settlement: &str, state: &str) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.h.alerts().await?.get(settlement).is_none_or(|a| a["state"] != state) {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{settlement}: no alert `{state}` at the bureau")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.snapshot()
    }

    /// Opens what is sealed now, and reads the database's files as they are.
    fn snapshot(&mut self) -> io::Result<()> {
        let state = self.h.dir.join("state");
        let root =
            read_root_key(&self.h.dir.join("keys/root.key").to_string_lossy()).map_err(io::Error::other)?;
        for row in opened::open_all(&state, &root).map_err(io::Error::other)? {
            self.opened.entry(row.label).or_default().extend_from_slice(&row.plain);
        }
        for file in ["agent.db", "agent.db-wal", "agent.db-shm"] {
            self.raw.extend(std::fs::read(state.join(file)).unwrap_or_default());
        }
        Ok(())
    }

    /// Needles of the references that the bureau handed out, as they came, and of
    /// the probes as the box's transform turns them.
    fn references(&self) -> io::Result<Search> {
        let answers = self.tap.answers();
        let text = String::from_utf8_lossy(&answers);
        let mut needles = Needles::default();
        for (at, _) in text.match_indices("{\"cardholder\"") {
            let mut parts = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
            let Some(Ok(set)) = parts.next() else { continue };
            for reference in set["references"].as_array().into_iter().flatten() {
                let embedding = reference["embedding"].as_str().unwrap_or_default();
                let template = Template::from_base64(embedding).map_err(io::Error::other)?;
                let name = format!("reference of {}", set["cardholder"]);
                needles.thing(name).embedding(Class::Reference, &REFERENCE, template.values());
            }
        }
        if needles.len() == 0 {
            return Err(io::Error::other("no reference was seen on its way to the agent"));
        }
        let before = needles.len();
        for (at, _) in text.match_indices("{\"algorithm\"") {
            let mut parts = serde_json::Deserializer::from_str(&text[at..]).into_iter::<TransformGrant>();
            let Some(Ok(grant)) = parts.next() else { continue };
            let transform = grant.key().map_err(io::Error::other)?.transform(DIMENSION);
            for (name, probe) in &self.probes {
                let turned = transform.apply(probe.values()).unwrap_or_default();
                needles.thing(format!("turned probe, {name}")).embedding(Class::Probe, &PROBE, &turned);
            }
        }
        if needles.len() == before {
            return Err(io::Error::other("no transform was seen on its way to the agent"));
        }
        Ok(needles.build())
    }

    /// Stops the process in the middle of a mismatch and searches its memory:
    /// what is looked for must then be there, else the search finds nothing ever.
    async fn scan_while_looking(&mut self, references: &Search) -> io::Result<Scan> {
        let pid = self.pid();
        let mut seen = Scan::default();
        for n in 0..TRIES {
            let before = memory::thread_cpu(pid, "worker-0")?;
            let number = self.settle(&format!("S6-{n}"), "w01", "PA").await?;
            let enough = before + SOME_WORK + n * A_PICTURE;
            until("the worker to look", || {
                memory::thread_cpu(pid, "worker-0").is_ok_and(|now| now > enough) || self.looked(&number)
            })
            .await?;
            let stopped = Stopped::new(pid)?;
            seen = memory::scan(pid, &self.search)?;
            let more = memory::scan(pid, references)?;
            seen.hits.merge(more.hits);
            drop(stopped);
            until("a verdict", || self.h.verdict(&number).is_some()).await?;
            if ["jpeg", "pixels", "crop", "probe-f32", "reference-f32"].iter().all(|f| seen.hits.has(f)) {
                break;
            }
        }
        Ok(seen)
    }

    async fn metrics(&mut self) -> io::Result<bool> {
        let page = self.h.metrics(&self.h.agent_metrics).await?;
        self.metrics.extend_from_slice(page.as_bytes());
        Ok(!page.is_empty())
    }

    /// Waits for one more posture than there is.
    async fn posture(&self) -> io::Result<()> {
        let postures = || self.tap.requests().iter().filter(|r| r.line.contains("/v1/posture")).count();
        let before = postures();
        let deadline = Instant::now() + Duration::from_secs(90);
        while postures() == before {
            if Instant::now() > deadline {
                return Err(io::Error::other("no posture within 90 s"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Takes the cameras' pictures away, waits for the rings to empty, and
    /// searches the memory: again and again, until nothing is found or enough
    /// time has passed for everything to have been let go of.
    async fn scan_after(&mut self, references: &Search) -> io::Result<Scan> {
        for counter in ["w01", "w02"] {
            for file in std::fs::read_dir(self.h.dir.join("cameras").join(counter))? {
                std::fs::remove_file(file?.path())?;
            }
        }
        let deadline = Instant::now() + Duration::from_secs(25);
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let mut scan = memory::scan(self.pid(), &self.search)?;
            let more = memory::scan(self.pid(), references)?;
            scan.hits.merge(more.hits);
            scan.places.extend(more.places);
            if scan.hits.is_empty() || Instant::now() > deadline {
                return Ok(scan);
            }
        }
    }

    /// Stops the agent and searches everything.
    fn end(
        mut self,
        settlements: Vec<String>,
        looking: Scan,
        after: Scan,
        metrics: bool,
        references: &Search,
    ) -> io::Result<Found> {
        self.snapshot()?;
        let agent = self.h.agent.as_mut().ok_or_else(|| io::Error::other("the agent is gone"))?;
        let status = agent.terminate()?;
        if !status.success() {
            return Err(io::Error::other(format!("the agent ended with {status}")));
        }
        let log = std::fs::read(&agent.log)?;
        let written = settled(&self.trace)?;
        let mut parts: Vec<(&'static str, bool, Vec<u8>)> = vec![("alert", true, Vec::new())];
        parts.extend([("posture", true, Vec::new()), ("wire", true, Vec::new())]);
        for request in self.tap.requests() {
            let sink = match request.line.split(' ').nth(1).unwrap_or_default() {
                "/v1/alerts" => 0,
                "/v1/posture" => 1,
                _ => 2,
            };
            parts[sink].2.extend(request.bytes);
        }
        let sent = parts.iter().map(|p| p.2.len()).sum::<usize>() + self.his.len() + self.metrics.len();
        parts.push(("his", true, self.his));
        parts.push(("metrics", true, self.metrics));
        parts.push(("sealed", true, self.opened.into_values().flatten().collect()));
        parts.push(("log", true, log));
        let state = self.h.dir.join("state");
        let mut audit = Vec::new();
        for file in std::fs::read_dir(state.join("audit"))? {
            audit.extend(std::fs::read(file?.path())?);
        }
        parts.push(("audit", true, audit));
        parts.push(("database", false, self.raw));
        let mut files: [Vec<u8>; 3] = Default::default();
        for (name, bytes) in &written.files {
            let kind = if Path::new(name).starts_with(&self.temporary) {
                0
            } else {
                1 + usize::from(name.contains("/agent.db"))
            };
            files[kind].extend_from_slice(bytes);
        }
        let [temporary, others, database] = files;
        // An agent that writes no temporary file is as it should be.
        if !temporary.is_empty() {
            parts.push(("file", true, temporary));
        }
        parts.push(("writes", true, others));
        parts.push(("database writes", false, database));
        parts.push(("sockets", false, written.sockets.values().flatten().copied().collect()));
        parts.push(("pipes", false, written.inside.clone()));
        let sinks = parts.into_iter().map(|(name, plain, bytes)| {
            let look = |s: &Search| if plain { s.plain(&bytes) } else { s.bytes(&bytes) };
            let mut hits = look(&self.search);
            hits.merge(references.bytes(&bytes));
            hits.merge(references.numbers(&bytes));
            Sink { name, bytes: bytes.len(), hits }
        });
        Ok(Found {
            settlements,
            sinks: sinks.collect(),
            needles: self.needles,
            looking,
            after,
            written: written.bytes(),
            sent,
            elsewhere: elsewhere(&self.h.dir, &written),
            files: written.files.into_keys().collect(),
            unseen: written.unseen.into_iter().collect(),
            metrics,
        })
    }
}

/// The search, how many needles it has, and the probe of each face.
type Sought = (Search, usize, Vec<(String, Template)>);

/// What the cameras' pictures give to look for.
fn needles(dir: &Path, models: &Path) -> io::Result<Sought> {
    let mut eyes = Eyes::open(models)?;
    let mut needles = Needles::default();
    let faces = eyes.folder(&dir.join("cameras/w01"), &mut needles)?;
    if faces == 0 {
        return Err(io::Error::other("no face in the pictures of w01"));
    }
    eyes.folder(&dir.join("cameras/w02"), &mut needles)?;
    let n = needles.len();
    Ok((needles.build(), n, eyes.probes))
}

/// Puts the tap between the agent and the bureau.
async fn into_the_line(h: &Hospital) -> io::Result<Tap> {
    let config = std::fs::read_to_string(h.agent_config())?;
    let port: String = config
        .split("https://localhost:")
        .nth(1)
        .unwrap_or_default()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let bureau = format!("127.0.0.1:{port}").parse().map_err(io::Error::other)?;
    let tap = Tap::start(&h.dir.join("pki"), bureau, "box-1").await?;
    let from = format!("https://localhost:{port}");
    let to = format!("https://localhost:{}", tap.address.port());
    std::fs::write(h.agent_config(), config.replace(&from, &to))?;
    Ok(tap)
}

/// Where the agent wrote outside its folder, and whom it called: nobody, nowhere.
fn elsewhere(dir: &Path, written: &Written) -> Vec<String> {
    let files = written.files.keys().filter(|f| !Path::new(f).starts_with(dir) && !f.starts_with("/dev/"));
    let called = written.called.iter().map(|a| format!("the agent called {a}"));
    files.map(|f| format!("the agent wrote to {f}")).chain(called).collect()
}

/// What `strace` wrote, once it has written all: it ends a little after the process.
fn settled(trace: &Path) -> io::Result<Written> {
    let deadline = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(trace)?.lines().last().is_some_and(|l| l.contains("+++ exited")) {
        if Instant::now() > deadline {
            return Err(io::Error::other("strace did not end"));
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Written::read(trace)
}

async fn until(what: &str, mut so: impl FnMut() -> bool) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("waited 60 s for {what}")));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// A process that stands still until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn new(pid: u32) -> io::Result<Self> {
        let id = Pid::from_raw(pid as i32).ok_or_else(|| io::Error::other("no process"))?;
        kill_process(id, Signal::STOP)?;
        let stopped = Self(id);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
            match state {
                Some('T' | 't') => return Ok(stopped),
                _ if Instant::now() > deadline => return Err(io::Error::other("the agent does not stop")),
                _ => std::thread::park_timeout(Duration::from_millis(1)),
            }
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}
