//! A small hospital on loopback: a bureau, an agent, a throw-away authority,
//! cameras drawn from the sample portraits. For the demo, the benchmarks and the
//! whole-program tests; everything it makes lies in one folder.
//!
//! The two programs are the real ones, started as processes of their own, and so
//! are models, store, keys and certificates. No person is behind it: its cameras
//! are drawn, and nothing measured here says how accurate a verdict is.

mod desk;
pub mod pki;
mod running;
mod settings;
mod wishes;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::camera::decode;
use crate::vision::manifest::Manifest;
use crate::vision::{Vision, Wanted};

use super::scene::Scene;
use desk::Desk;
use pki::Pki;
pub use running::Running;
pub use settings::entrance_toml;
use settings::{NO_DIGEST, agent_toml, bureau_toml, shipped_calibration};
pub use wishes::{Camera, People, Wishes};

/// Pictures of each drawn camera, played in a loop.
const PICTURES: u32 = 45;

/// Where the two programs are.
pub struct Programs {
    /// `counterproof`.
    pub agent: PathBuf,
    /// `counterproof-bureau`.
    pub bureau: PathBuf,
}

/// How a verification ended, and when.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Milliseconds from the close of its window.
    pub ms: f64,
    /// Its verdict.
    pub verdict: String,
}

/// The hospital and its bureau.
pub struct Hospital {
    /// The folder of everything.
    pub dir: PathBuf,
    /// What runs in it.
    pub programs: Programs,
    /// Its authority.
    pub pki: Pki,
    /// The bureau, while it runs.
    pub bureau: Option<Running>,
    /// The box's agent, while it runs.
    pub agent: Option<Running>,
    /// Where the HIS reaches the agent.
    pub his: String,
    /// Where the bureau's console is.
    pub console: String,
    /// Where the agent tells its metrics.
    pub agent_metrics: String,
    /// Where the bureau tells its own.
    pub bureau_metrics: String,
    /// The HIS's.
    pub token: String,
    /// Whether a start waits until the box is armed.
    pub waits_until_armed: bool,
    client: reqwest::Client,
    desk: Desk,
}

/// For HTTP on loopback. It trusts no authority: a machine need not have any.
fn client(redirects: reqwest::redirect::Policy) -> io::Result<reqwest::Client> {
    let builder = reqwest::Client::builder().no_proxy().tls_certs_only([]).redirect(redirects);
    builder.build().map_err(io::Error::other)
}

fn made(what: &str, output: io::Result<std::process::Output>) -> io::Result<String> {
    let output = output?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{what}: {}\n{text}{said}", output.status)))
}

/// The public key that a `keys` command printed last.
fn last_key(printed: &str) -> io::Result<String> {
    let key = printed.lines().filter_map(|l| l.rsplit_once(": ")).next_back().map(|(_, k)| k.to_owned());
    key.ok_or_else(|| io::Error::other("the keys command printed no public key"))
}

impl Hospital {
    /// Makes folder, authority, keys, cameras and configurations; starts the
    /// bureau, registers the box, enrols the two portraits as `PA` and `PB`.
    pub fn open(dir: &Path, programs: Programs, models: &Path, wishes: &Wishes) -> io::Result<Self> {
        crate::crypto::tls::install_provider();
        fs::create_dir_all(dir.join("portraits"))?;
        let pki = Pki::new(&dir.join("pki"))?;
        pki.issue("bureau", true)?;
        pki.issue("box-1", false)?;
        let manifest = Manifest::read(models).map_err(io::Error::other)?;
        for (person, photo) in wishes.people.enrolled(&manifest)? {
            fs::write(dir.join(format!("portraits/{person}.jpg")), photo)?;
        }
        // A caller that opens many hospitals draws once, and copies.
        if !dir.join("cameras").exists() {
            draw_cameras(dir, &manifest, &wishes.people.there(&manifest)?)?;
        }
        let keys = made(
            "counterproof keys",
            Command::new(&programs.agent)
                .args(["keys", "--name", "box-1", "--out"])
                .arg(dir.join("keys"))
                .output(),
        )?;
        let public = last_key(&keys)?;
        let bureau_key = last_key(&made(
            "counterproof-bureau keys",
            Command::new(&programs.bureau).args(["keys", "--out"]).arg(dir.join("bureau-keys")).output(),
        )?)?;
        fs::write(dir.join("bureau.toml"), bureau_toml(models, &wishes.bureau))?;
        let mut hospital = Self::at(dir, programs, pki, wishes.commissioned)?;
        let bureau = hospital.start_bureau("127.0.0.1:0")?;
        hospital.bureau_command(&[
            "agents",
            "add",
            "--name",
            "box-1",
            "--hospital",
            "H00000000001",
            "--public-key",
            &public,
            "--certificate",
            &dir.join("pki/box-1.pem").to_string_lossy(),
        ])?;
        hospital.write_agent_toml(models, &bureau, &bureau_key, wishes)?;
        if wishes.commissioned {
            hospital.commission(models)?;
        }
        Ok(hospital)
    }

    /// The hospital of a folder that was opened elsewhere and copied here. Its bureau
    /// is started at the place where the agent looks for it; the authority's key is
    /// not in the folder, and a new one issues nothing that these two accept.
    ///
    /// # Errors
    /// If the folder is not one of [`Self::open`], or the bureau does not start.
    pub fn again(dir: &Path, programs: Programs) -> io::Result<Self> {
        crate::crypto::tls::install_provider();
        let config = fs::read_to_string(dir.join("counterproof.toml"))?;
        let url = config.lines().find_map(|l| l.strip_prefix("url = ")).unwrap_or_default();
        let port = url.trim_end_matches('"').rsplit(':').next().unwrap_or_default();
        let pki = Pki::new(&dir.join("another-pki"))?;
        let mut hospital = Self::at(dir, programs, pki, true)?;
        hospital.start_bureau(&format!("127.0.0.1:{port}"))?;
        Ok(hospital)
    }

    /// One of which nothing runs yet.
    fn at(dir: &Path, programs: Programs, pki: Pki, waits_until_armed: bool) -> io::Result<Self> {
        Ok(Self {
            dir: dir.to_owned(),
            programs,
            pki,
            bureau: None,
            agent: None,
            his: String::new(),
            console: String::new(),
            agent_metrics: String::new(),
            bureau_metrics: String::new(),
            token: fs::read_to_string(dir.join("keys/his.token"))?.trim().to_owned(),
            waits_until_armed,
            client: client(reqwest::redirect::Policy::default())?,
            desk: Desk::default(),
        })
    }

    /// Starts the bureau; the address where boxes reach it.
    pub fn start_bureau(&mut self, listen: &str) -> io::Result<String> {
        let file = self.dir.join("bureau.toml");
        let text = fs::read_to_string(&file)?;
        let line = text.lines().find(|l| l.starts_with("listen")).unwrap_or_default().to_owned();
        fs::write(&file, text.replacen(&line, &format!("listen = \"{listen}\""), 1))?;
        let ready = self.dir.join("bureau.ready");
        let arguments = ["serve", "--config", &file.to_string_lossy()];
        let running = Running::start(&self.programs.bureau, &arguments, self.dir.join("bureau.log"), &ready)?;
        self.bureau = Some(running);
        let addresses: Value = serde_json::from_slice(&fs::read(ready)?)?;
        self.console = format!("http://{}", addresses["console"].as_str().unwrap_or_default());
        self.bureau_metrics = format!("http://{}/metrics", addresses["metrics"].as_str().unwrap_or_default());
        Ok(addresses["agents"].as_str().unwrap_or_default().to_owned())
    }

    /// Runs a command of the bureau's program.
    pub fn bureau_command(&self, words: &[&str]) -> io::Result<String> {
        let mut command = Command::new(&self.programs.bureau);
        command.args(words).arg("--config").arg(self.dir.join("bureau.toml"));
        made(words.first().unwrap_or(&"bureau"), command.output())
    }

    /// A supervisor signs for the shipped calibration, before the box showed anything.
    pub fn commission(&self, models: &Path) -> io::Result<String> {
        let calibration = shipped_calibration(models);
        self.bureau_command(&[
            "commission",
            "sign",
            "box-1",
            "--supervisor",
            "demonstration",
            "--without-figures",
            "a throw-away box on loopback",
            "--calibration",
            &calibration.to_string_lossy(),
        ])
    }

    /// Whether the box is armed, by its own audit log.
    pub fn armed(&self) -> bool {
        let last = |kind: &str| self.audit(kind).last().and_then(|r| r["seq"].as_u64());
        last("commissioned") > last("shadowed")
    }

    /// Enrols the folder of portraits; the program's words.
    pub fn enrol(&self) -> io::Result<String> {
        let photos = self.dir.join("portraits");
        self.bureau_command(&["enrol", &photos.to_string_lossy()])
    }

    fn write_agent_toml(&self, models: &Path, bureau: &str, key: &str, wishes: &Wishes) -> io::Result<()> {
        let port = bureau.rsplit(':').next().unwrap_or_default();
        let mut text = agent_toml(models, port, key, wishes);
        for (from, to) in &wishes.replace {
            if !text.contains(from.as_str()) {
                return Err(io::Error::other(format!("the configuration has no `{from}`")));
            }
            text = text.replace(from.as_str(), to);
        }
        fs::write(self.agent_config(), &text)?;
        self.post_notice()
    }

    /// Posts the notice that the configuration makes: writes its digest there. A
    /// configuration that makes none stays as it is, for the agent to refuse.
    pub fn post_notice_anew(&self) -> io::Result<()> {
        let path = self.agent_config();
        let text = fs::read_to_string(&path)?;
        let changed = |line: &str| match line.trim_start().starts_with("sha256 = ") {
            true => format!("sha256 = \"{NO_DIGEST}\"\n"),
            false => format!("{line}\n"),
        };
        fs::write(&path, text.lines().map(changed).collect::<String>())?;
        self.post_notice()
    }

    /// Writes the digest of the notice that the policy makes, as the program tells it.
    ///
    /// # Errors
    /// If the program or the configuration cannot be read.
    pub fn post_notice(&self) -> io::Result<()> {
        self.post(None)
    }

    fn post(&self, option: Option<&str>) -> io::Result<()> {
        let path = self.agent_config();
        let told = Command::new(&self.programs.agent)
            .args(["policy", "notice", "--config"])
            .arg(&path)
            .args(option)
            .output()?;
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        let digest = said.lines().find_map(|l| l.trim().strip_prefix("sha256 = \"")?.strip_suffix('"'));
        let Some(digest) = digest.filter(|_| told.status.success()) else { return Ok(()) };
        let text = fs::read_to_string(&path)?;
        // The windows' notice comes first in the file, the entrance's after it.
        fs::write(&path, text.replacen(NO_DIGEST, digest, 1))?;
        if option.is_none() && text.contains("[privacy.entrance.notice]") {
            self.post(Some("--entrance"))?;
        }
        Ok(())
    }

    /// The agent's configuration.
    pub fn agent_config(&self) -> PathBuf {
        self.dir.join("counterproof.toml")
    }

    /// Starts the agent; how long it took to be ready.
    pub fn start_agent(&mut self) -> io::Result<Duration> {
        let ready = self.dir.join("agent.ready");
        let begun = Instant::now();
        let config = self.agent_config().to_string_lossy().into_owned();
        let running = Running::start(
            &self.programs.agent,
            &["run", "--config", &config],
            self.dir.join("agent.log"),
            &ready,
        )?;
        let took = begun.elapsed();
        self.agent = Some(running);
        let addresses: Value = serde_json::from_slice(&fs::read(ready)?)?;
        self.joined(&addresses);
        if self.waits_until_armed && self.bureau.is_some() {
            self.wait_until_armed()?;
        }
        Ok(took)
    }

    /// The box is armed with the answer to its first posture.
    pub fn wait_until_armed(&self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.armed() {
            if Instant::now() > deadline {
                return Err(io::Error::other("the box was not armed within 20 s"));
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Notes where the agent listens, from its ready file.
    pub fn joined(&mut self, addresses: &Value) {
        self.his = format!("http://{}", addresses["his"].as_str().unwrap_or_default());
        self.agent_metrics = format!("http://{}/metrics", addresses["metrics"].as_str().unwrap_or_default());
    }

    /// A settlement now, at a counter.
    pub fn settlement(id: &str, counter: &str, cardholder: &str, proxies: &[&str]) -> Value {
        json!({
            "settlement_id": id, "counter": counter, "cardholder": cardholder,
            "occurred_at": jiff::Timestamp::now().to_string(), "amount_fen": 41250,
            "medical_type": "11", "proxies": proxies,
        })
    }

    /// Sends a settlement; status and answer.
    pub async fn settle(&self, settlement: &Value) -> io::Result<(u16, Value)> {
        let sent = self
            .client
            .post(format!("{}/v1/settlements", self.his))
            .bearer_auth(&self.token)
            .json(settlement)
            .send()
            .await
            .map_err(io::Error::other)?;
        let status = sent.status().as_u16();
        Ok((status, sent.json().await.map_err(io::Error::other)?))
    }

    /// Cancels a settlement; the status.
    pub async fn cancel(&self, id: &str) -> io::Result<u16> {
        let url = format!("{}/v1/settlements/{id}", self.his);
        let sent = self.client.delete(url).bearer_auth(&self.token).send().await.map_err(io::Error::other)?;
        Ok(sent.status().as_u16())
    }

    /// A request as a HIS would send it, for what is not an ordinary settlement.
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.his))
    }

    /// A page of metrics.
    pub async fn metrics(&self, page: &str) -> io::Result<String> {
        self.client.get(page).send().await.map_err(io::Error::other)?.text().await.map_err(io::Error::other)
    }

    /// The alerts that the bureau holds, by settlement.
    pub async fn alerts(&self) -> io::Result<BTreeMap<String, Value>> {
        let all = self.console("/alerts.json").await?;
        let list = all["alerts"].as_array().cloned().unwrap_or_default();
        Ok(list
            .into_iter()
            .map(|a| (a["event"]["subject"].as_str().unwrap_or_default().to_owned(), a))
            .collect())
    }

    /// What the agent's log says of a verification: `looked` and `verified` lines.
    pub fn told(&self, verification: &str) -> Vec<Value> {
        self.log().filter(|v| v["verification"] == verification).collect()
    }

    /// What the agent's log says of every verification that has its verdict.
    pub fn decisions(&self) -> BTreeMap<String, Decision> {
        let (mut times, mut verdicts) = (BTreeMap::new(), BTreeMap::new());
        for line in self.log() {
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            match line["message"].as_str() {
                Some("decided") => {
                    times.insert(text("verification"), line["decided_ms"].as_f64().unwrap_or(f64::NAN));
                }
                Some("verified") => {
                    verdicts.insert(text("verification"), text("verdict"));
                }
                _ => {}
            }
        }
        let decision = |(id, verdict): (String, String)| {
            let ms = *times.get(&id)?;
            Some((id, Decision { ms, verdict }))
        };
        verdicts.into_iter().filter_map(decision).collect()
    }

    /// The lines of the agent's log that can be read.
    fn log(&self) -> impl Iterator<Item = Value> {
        let file = self.agent.as_ref().and_then(|agent| fs::File::open(&agent.log).ok());
        let lines = file.into_iter().flat_map(|f| io::BufReader::new(f).lines().map_while(Result::ok));
        lines.filter_map(|l| serde_json::from_str::<Value>(&l).ok())
    }

    /// The verdict of a verification, once it is recorded: verdict and reason.
    pub fn verdict(&self, verification: &str) -> Option<(String, String)> {
        let told = self.told(verification);
        let line = told.iter().find(|v| v["message"] == "verified")?;
        let text = |k: &str| line[k].as_str().unwrap_or_default().to_owned();
        Some((text("verdict"), text("reason")))
    }

    /// The audit log's records of one kind.
    pub fn audit(&self, kind: &str) -> Vec<Value> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.dir.join("state/audit"))
            .map(|d| d.filter_map(|f| Some(f.ok()?.path())).collect())
            .unwrap_or_default();
        files.sort();
        let text: String = files.iter().filter_map(|f| fs::read_to_string(f).ok()).collect();
        text.lines()
            .filter_map(|l| serde_json::from_str::<Value>(l).ok())
            .filter(|v| v["kind"] == kind)
            .collect()
    }
}

/// `w01`: the person of a photograph stands there; `w02`: nobody.
fn draw_cameras(dir: &Path, manifest: &Manifest, there: &[u8]) -> io::Result<()> {
    let mut vision = Vision::load(manifest, &Wanted::default()).map_err(io::Error::other)?;
    let photo = decode::still(there).map_err(io::Error::other)?;
    let faces = vision.find_in_still(&photo).map_err(io::Error::other)?;
    let face = faces
        .first()
        .ok_or_else(|| io::Error::other("no face in the photograph of who stands at the window"))?;
    let person = Scene::person(&photo, face).map_err(io::Error::other)?;
    for (counter, scene) in [("w01", person), ("w02", Scene::empty())] {
        let folder = dir.join("cameras").join(counter);
        fs::create_dir_all(&folder)?;
        for n in 0..PICTURES {
            fs::write(folder.join(format!("{n:04}.jpg")), scene.jpeg(n))?;
        }
    }
    Ok(())
}
