//! A hospital of which any part may die, and the HIS that goes on working.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::hospital::{Hospital, Programs, Wishes};
use super::oracle::{self, Findings, Held, Ledger, Record};
use super::process::{Process, Started, Starting, Wrap};

/// How long programs that were left in peace may take to bring everything to
/// its end; twice the longest pause between two attempts to deliver.
const PEACE: Duration = Duration::from_secs(120);

/// Where things are.
#[derive(Clone)]
pub struct Place {
    pub agent: PathBuf,
    pub bureau: PathBuf,
    pub models: PathBuf,
    /// A folder for what worlds share.
    pub scratch: PathBuf,
}

/// A hospital, its bureau, and what was acknowledged in it.
pub struct World {
    pub hospital: Hospital,
    pub ledger: Arc<Ledger>,
    pub agent: Option<Process>,
    pub bureau: Option<Process>,
    /// Audit logs of earlier lives of the state folder.
    pub archives: Vec<Vec<Record>>,
    /// From start to ready, of starts that nothing slowed.
    pub restarts: Vec<Duration>,
    bureau_at: String,
    name: String,
    settlements: u64,
}

/// Somebody who speaks as the HIS, for as long as the agent lives.
#[derive(Clone)]
pub struct Desk {
    client: reqwest::Client,
    his: String,
    token: String,
    ledger: Arc<Ledger>,
}

impl Desk {
    /// Sends a settlement and notes the answer, if one comes.
    pub async fn settle(&self, body: Value) -> Option<u16> {
        let id = body.get("settlement_id").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.ledger.sent(&id);
        let begun = Instant::now();
        let request = self.client.post(format!("{}/v1/settlements", self.his)).bearer_auth(&self.token);
        let answer = async {
            let answer = request.json(&body).send().await.ok()?;
            let status = answer.status().as_u16();
            Some((status, answer.json::<Value>().await.ok()?))
        };
        match answer.await {
            Some((200 | 202, answer)) => {
                let verification = answer.get("verification_id").and_then(Value::as_str).unwrap_or_default();
                self.ledger.acknowledged(&id, verification, begun.elapsed());
                Some(202)
            }
            Some((503, _)) => {
                self.ledger.shed(begun.elapsed());
                Some(503)
            }
            Some((status, answer)) => {
                self.ledger.strange(format!("{id}: {status} {answer}"));
                Some(status)
            }
            None => {
                self.ledger.unanswered(body);
                None
            }
        }
    }

    /// Cancels a settlement and notes the answer, if one comes.
    pub async fn cancel(&self, id: &str) -> Option<u16> {
        let url = format!("{}/v1/settlements/{id}", self.his);
        let answer = self.client.delete(url).bearer_auth(&self.token).send().await.ok()?;
        match answer.status().as_u16() {
            204 => self.ledger.cancelled(id),
            503 => {}
            other => self.ledger.strange(format!("cancelling {id}: {other}")),
        }
        Some(answer.status().as_u16())
    }

    /// What `/readyz` answers.
    pub async fn ready(&self) -> Option<u16> {
        let answer = self.client.get(format!("{}/readyz", self.his)).send().await.ok()?;
        Some(answer.status().as_u16())
    }
}

/// Waits for a thing to be so.
pub async fn until<T>(
    what: &str,
    most: Duration,
    mut look: impl AsyncFnMut() -> io::Result<Option<T>>,
) -> io::Result<T> {
    let deadline = Instant::now() + most;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("waited {} s for {what}", most.as_secs())));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl World {
    /// Makes a hospital in the folder, with two cardholders enrolled and the
    /// bureau running; no agent yet.
    pub async fn open(dir: &Path, place: &Place, wishes: &Wishes) -> io::Result<Self> {
        let mut hospital = open_hospital(dir, place, wishes)?;
        hospital.enrol()?;
        drop(hospital.bureau.take());
        let agent = fs::read_to_string(hospital.agent_config())?;
        let url = agent.lines().find_map(|l| l.strip_prefix("url = \"https://localhost:"));
        let port = url.map(|u| u.trim_end_matches('"').to_owned()).unwrap_or_default();
        let name = dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let mut world = Self {
            hospital,
            ledger: Arc::default(),
            agent: None,
            bureau: None,
            archives: Vec::new(),
            restarts: Vec::new(),
            bureau_at: format!("127.0.0.1:{port}"),
            name: name.chars().filter(char::is_ascii_alphanumeric).collect(),
            settlements: 0,
        };
        let listen = world.bureau_at.clone();
        let text = fs::read_to_string(world.path("bureau.toml"))?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if let Some(line) = lines.iter_mut().find(|l| l.starts_with("listen")) {
            *line = format!("listen = \"{listen}\"");
        }
        // Boxes here settle faster than any window does.
        lines.push("[references]\nper_agent_per_minute = 6000\n".into());
        fs::write(world.path("bureau.toml"), lines.join("\n"))?;
        world.start_bureau(&Wrap::default()).await?;
        Ok(world)
    }

    /// A path in the world's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.hospital.dir.join(name)
    }

    /// Where boxes reach the bureau.
    pub fn bureau_address(&self) -> &str {
        &self.bureau_at
    }

    /// Changes a text of one of the configurations.
    pub fn edit(&self, file: &str, from: &str, to: &str) -> io::Result<()> {
        let text = fs::read_to_string(self.path(file))?;
        if !text.contains(from) {
            return Err(io::Error::other(format!("{file} has no `{from}`")));
        }
        fs::write(self.path(file), text.replace(from, to))
    }

    /// Begins to start the agent.
    pub fn begin_agent(&self, wrap: &Wrap) -> io::Result<Starting> {
        let (config, log, ready) =
            (self.hospital.agent_config(), self.path("agent.log"), self.path("agent.ready"));
        Starting::begin(&self.hospital.programs.agent, &config, "run", &log, &ready, wrap)
    }

    /// Begins to start the bureau.
    pub fn begin_bureau(&self, wrap: &Wrap) -> io::Result<Starting> {
        let (config, log, ready) =
            (self.path("bureau.toml"), self.path("bureau.log"), self.path("bureau.ready"));
        Starting::begin(&self.hospital.programs.bureau, &config, "serve", &log, &ready, wrap)
    }

    /// Takes over an agent that is ready.
    pub fn agent_is(&mut self, process: Process, took: Duration, ready: &Value) {
        if process.trace.is_none() {
            self.restarts.push(took);
        }
        let address = ready.get("his").and_then(Value::as_str).unwrap_or_default();
        self.hospital.his = format!("http://{address}");
        self.agent = Some(process);
    }

    /// Starts the agent and waits until it is ready.
    pub async fn start_agent(&mut self, wrap: &Wrap) -> io::Result<Duration> {
        match finished(self.begin_agent(wrap)?).await? {
            Started::Ready(process, took, ready) => {
                self.agent_is(process, took, &ready);
                self.armed().await?;
                Ok(took)
            }
            Started::Died(status) => Err(self.died("agent", status)),
        }
    }

    /// Waits until a new box is armed: with the answer to its first posture. Later
    /// ones know it from their store.
    async fn armed(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.bureau.is_some() && !self.hospital.armed() {
            let gone = self.agent.as_mut().map(Process::ended).transpose()?.flatten();
            if gone.is_some() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("the box was not armed within 30 s"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Starts the bureau and waits until it is ready.
    pub async fn start_bureau(&mut self, wrap: &Wrap) -> io::Result<()> {
        match finished(self.begin_bureau(wrap)?).await? {
            Started::Ready(process, ..) => self.bureau = Some(process),
            Started::Died(status) => return Err(self.died("bureau", status)),
        }
        Ok(())
    }

    /// A program that did not start, with its last words.
    pub fn died(&self, who: &str, status: std::process::ExitStatus) -> io::Error {
        let log = fs::read_to_string(self.path(&format!("{who}.log"))).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        io::Error::other(format!("the {who} did not start ({status}): {}", last.join(" | ")))
    }

    /// kill -9 of the agent.
    pub fn kill_agent(&mut self) {
        self.agent = None;
    }

    /// kill -9 of the bureau.
    pub fn kill_bureau(&mut self) {
        self.bureau = None;
    }

    /// Somebody who speaks as the HIS to the agent that runs now.
    pub fn desk(&self) -> io::Result<Desk> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build();
        Ok(Desk {
            client: client.map_err(io::Error::other)?,
            his: self.hospital.his.clone(),
            token: self.hospital.token.clone(),
            ledger: Arc::clone(&self.ledger),
        })
    }

    /// A settlement of its own number, now.
    pub fn settlement(&mut self, counter: &str, cardholder: &str) -> Value {
        self.settlements += 1;
        let id = format!("S{}-{}", self.name, self.settlements);
        Hospital::settlement(&id, counter, cardholder, &[])
    }

    /// The agent's state folder.
    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Audit logs of all lives of the state folder.
    pub fn histories(&self) -> io::Result<Vec<Vec<Record>>> {
        let mut all = self.archives.clone();
        all.push(oracle::audit_records(&self.state())?);
        Ok(all)
    }

    /// What the bureau holds.
    pub fn held(&self) -> io::Result<Vec<Held>> {
        oracle::held(&self.path("bureau.db"))
    }

    /// The ledger against everything that is there now.
    pub fn check(&self) -> io::Result<Findings> {
        Ok(self.ledger.check(&self.histories()?, &self.held()?))
    }

    /// How many alerts and withdrawals were committed.
    pub fn committed(&self) -> io::Result<usize> {
        let kinds = ["alert_committed", "withdrawal_committed"];
        Ok(self.histories()?.iter().flatten().filter(|r| kinds.contains(&r.kind.as_str())).count())
    }

    /// Starts what does not run, lets everything come to its end, and checks.
    pub async fn peace(&mut self) -> io::Result<Findings> {
        // Whatever ended meanwhile, or would still end at a planted call, is started anew.
        for program in [&mut self.bureau, &mut self.agent] {
            let gone = program.as_mut().map(|p| p.ended().map(|e| e.is_some() || p.trace.is_some()));
            if gone.transpose()?.unwrap_or_default() {
                *program = None;
            }
        }
        if self.bureau.is_none() {
            self.start_bureau(&Wrap::default()).await?;
        }
        if self.agent.is_none() {
            self.start_agent(&Wrap::default()).await?;
        }
        let desk = self.desk()?;
        for body in self.ledger.again() {
            desk.settle(body).await;
        }
        self.settled().await
    }

    /// Waits until everything acknowledged has come true and every log agrees;
    /// what is still missing when patience ends is lost.
    pub async fn settled(&self) -> io::Result<Findings> {
        let deadline = Instant::now() + PEACE;
        loop {
            let findings = self.check()?;
            if findings.clean() || Instant::now() > deadline {
                return Ok(findings);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sends settlements of a stranger's card until one more alert is
    /// committed than there were, and returns once its record stands.
    pub async fn alert(&mut self) -> io::Result<()> {
        let before = self.committed()?;
        let desk = self.desk()?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.committed()? <= before {
            if Instant::now() > deadline {
                return Err(io::Error::other("no alert was committed within 30 s"));
            }
            let body = self.settlement("w01", "PA");
            desk.settle(body).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Ok(())
    }
}

/// Waits until a start has ended one way or the other.
pub async fn finished(mut starting: Starting) -> io::Result<Started> {
    loop {
        match starting.look()? {
            Ok(started) => return Ok(started),
            Err(still) => starting = still,
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether this process has drawn the cameras: drawing takes longer than
/// everything else here, so worlds copy what the first one drew.
static DRAWN: Mutex<bool> = Mutex::new(false);

fn open_hospital(dir: &Path, place: &Place, wishes: &Wishes) -> io::Result<Hospital> {
    let programs = Programs { agent: place.agent.clone(), bureau: place.bureau.clone() };
    let kept = place.scratch.join("cameras");
    let mut drawn = DRAWN.lock().unwrap_or_else(|e| e.into_inner());
    if *drawn {
        drop(drawn);
        copy_folder(&kept, &dir.join("cameras"))?;
        return Hospital::open(dir, programs, &place.models, wishes);
    }
    let hospital = Hospital::open(dir, programs, &place.models, wishes)?;
    let _ = fs::remove_dir_all(&kept);
    copy_folder(&dir.join("cameras"), &kept)?;
    *drawn = true;
    Ok(hospital)
}

/// Copies a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
