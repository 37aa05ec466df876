//! A bureau of the real binary on loopback, and boxes that call it.

use std::cell::RefCell;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use counterproof::crypto::Sha256;
use counterproof::crypto::sign::SigningKey;
use counterproof::crypto::tls::{TlsFiles, install_provider};
use counterproof::protocol::{ALERTS_PATH, SIGNATURE_HEADER};

use super::pki::{Issued, Pki};
use super::wait_for;

/// Of every account that a test makes.
pub const PASSWORD: &str = "only for tests on loopback";

const BINARY: &str = env!("CARGO_BIN_EXE_counterproof-bureau");

/// A folder with everything that a bureau needs, and its program if it runs.
pub struct Bureau {
    pub dir: tempfile::TempDir,
    pub pki: Pki,
    pub config: PathBuf,
    running: Option<Running>,
    session: RefCell<Option<String>>,
}

struct Running {
    child: Child,
    agents: SocketAddr,
    console: SocketAddr,
    join: Option<SocketAddr>,
}

#[derive(serde::Deserialize)]
struct Ready {
    agents: SocketAddr,
    console: SocketAddr,
    join: Option<SocketAddr>,
}

impl Bureau {
    /// Writes keys, certificates and a configuration; nothing runs yet.
    pub fn prepare(extra: &str) -> Self {
        install_provider();
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::new(&dir.path().join("pki")).unwrap();
        pki.issue("bureau", true).unwrap();
        write_root_key(&dir.path().join("root.key"), 1);
        write_signing_key(&dir.path().join("signing.key"));
        let config = dir.path().join("bureau.toml");
        let text = format!(
            "[server]\nlisten = '127.0.0.1:0'\n[server.tls]\nca = 'pki/ca.pem'\n\
             certificate = 'pki/bureau.pem'\nkey = 'pki/bureau.key'\n[console]\nlisten = '127.0.0.1:0'\n\
             [store]\npath = 'bureau.db'\nroot_key = 'root.key'\n\
             [keys]\nsigning = 'signing.key'\n{extra}\n"
        );
        fs::write(&config, text).unwrap();
        Self { dir, pki, config, running: None, session: RefCell::new(None) }
    }

    /// The same, running.
    pub fn start(extra: &str) -> Self {
        let mut bureau = Self::prepare(extra);
        bureau.run();
        bureau
    }

    /// Starts the program and waits until it listens.
    pub fn run(&mut self) {
        let ready_file = self.dir.path().join("ready.json");
        let _ = fs::remove_file(&ready_file);
        let mut child = self
            .command(&["serve"])
            .arg("--ready-file")
            .arg(&ready_file)
            .stderr(fs::File::options().create(true).append(true).open(self.log_file()).unwrap())
            .spawn()
            .unwrap();
        let ready: Ready = wait_for("the bureau to listen", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the bureau ended with {status}: {}", self.log());
            }
            fs::read(&ready_file).ok().map(|b| serde_json::from_slice(&b).unwrap())
        });
        self.running =
            Some(Running { child, agents: ready.agents, console: ready.console, join: ready.join });
    }

    /// A command of the program with this configuration.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(words).arg("--config").arg(&self.config).stdin(Stdio::null()).env_remove("RUST_LOG");
        command
    }

    /// Kills the program at once, as a power cut does.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.child.kill().unwrap();
            running.child.wait().unwrap();
        }
    }

    /// Tells the program to end, and waits for it.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        let mut running = self.running.take().unwrap();
        let pid = rustix::process::Pid::from_child(&running.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        wait_for("the bureau to end", || running.child.try_wait().unwrap())
    }

    /// The program's process.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().unwrap().child.id()
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("bureau.log")
    }

    /// What the program has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Address of a path on the boxes' side.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.running.as_ref().unwrap().agents)
    }

    /// Address of a path of the console.
    pub fn console_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.as_ref().unwrap().console)
    }

    /// Where boxes join.
    pub fn join_url(&self) -> String {
        format!("https://{}", self.running.as_ref().unwrap().join.unwrap())
    }

    /// A path of the console, for somebody with every role.
    pub async fn console(&self, path: &str) -> reqwest::Response {
        if self.session.borrow().is_none() {
            self.add_account("everything", &["reviewer", "supervisor", "privacy_officer", "administrator"]);
            *self.session.borrow_mut() = Some(self.sign_in("everything").await);
        }
        let cookie = self.session.borrow().clone().unwrap();
        let get = reqwest::Client::new().get(self.console_url(path));
        get.header("cookie", cookie).send().await.unwrap()
    }

    /// Makes an account with [`PASSWORD`], if there is none of that name.
    pub fn add_account(&self, name: &str, roles: &[&str]) {
        let mut command = self.command(&["accounts", "add", name]);
        for role in roles {
            command.args(["--role", role]);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || said.contains("already"), "{said}");
    }

    /// The cookie of a session of this account.
    pub async fn sign_in(&self, name: &str) -> String {
        counterproof::bench::sign_in(&self.console_url(""), name, PASSWORD).await.unwrap()
    }

    /// A JSON document of the console.
    pub async fn json(&self, path: &str) -> serde_json::Value {
        self.console(path).await.json().await.unwrap()
    }

    /// A box with a certificate of the bureau's authority, on record.
    pub fn add_box(&self, name: &str) -> TestBox {
        let boxed = self.stranger(name);
        let added = self.add(name, &boxed);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        boxed
    }

    /// Runs `agents add`.
    pub fn add(&self, name: &str, boxed: &TestBox) -> Output {
        self.command(&["agents", "add", "--name", name, "--hospital", "H31010000001"])
            .args(["--public-key", &boxed.key.public().to_base64(), "--certificate"])
            .arg(&boxed.files.certificate)
            .output()
            .unwrap()
    }

    /// A box with a certificate, but not on record.
    pub fn stranger(&self, name: &str) -> TestBox {
        TestBox::new(self.pki.issue(name, false).unwrap())
    }
}

impl Drop for Bureau {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A client that signs.
pub struct TestBox {
    pub files: Issued,
    pub key: SigningKey,
    pub client: reqwest::Client,
}

impl TestBox {
    pub fn new(files: Issued) -> Self {
        let tls = TlsFiles {
            ca: files.ca.clone(),
            certificate: files.certificate.clone(),
            key: files.key.to_string_lossy().into_owned(),
        };
        let client =
            reqwest::Client::builder().tls_backend_preconfigured(tls.client().unwrap()).build().unwrap();
        let key = SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap();
        Self { files, key, client }
    }

    /// Posts bytes signed by this box.
    pub async fn post(&self, bureau: &Bureau, path: &str, bytes: &[u8]) -> reqwest::Response {
        self.post_with(bureau, path, bytes, &self.key.sign(bytes).to_string()).await
    }

    /// Posts bytes with any signature.
    pub async fn post_with(
        &self,
        bureau: &Bureau,
        path: &str,
        bytes: &[u8],
        signature: &str,
    ) -> reqwest::Response {
        self.client
            .post(bureau.url(path))
            .header(SIGNATURE_HEADER, signature)
            .body(bytes.to_vec())
            .send()
            .await
            .unwrap()
    }

    /// Posts an alert; its status.
    pub async fn alert(&self, bureau: &Bureau, bytes: &[u8]) -> u16 {
        self.post(bureau, ALERTS_PATH, bytes).await.status().as_u16()
    }

    pub async fn get(&self, bureau: &Bureau, path: &str) -> reqwest::Response {
        self.client.get(bureau.url(path)).send().await.unwrap()
    }
}

/// Writes a root key whose 32 bytes are `byte`.
pub fn write_root_key(path: &Path, byte: u8) {
    let _ = fs::remove_file(path);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(BASE64.encode([byte; 32]).as_bytes()).unwrap();
}

/// Writes a new signing key.
pub fn write_signing_key(path: &Path) {
    let _ = fs::remove_file(path);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    let key = SigningKey::generate_pkcs8().unwrap();
    file.write_all(BASE64.encode(key.as_slice()).as_bytes()).unwrap();
}

/// A chain of events of one box, as bytes.
pub struct Chain {
    agent: String,
    epoch: uuid::Uuid,
    seq: u64,
    previous: Option<Sha256>,
    /// When the next event is signed, by the box's clock.
    pub time: String,
    /// Policy, notice and calibration that the next mismatch names.
    pub settings: [Sha256; 3],
}

impl Chain {
    pub fn new(agent: &str) -> Self {
        let settings = [Sha256::of(b"x"); 3];
        let time = "2026-11-22T01:10:20Z".into();
        Self { agent: agent.into(), epoch: uuid::Uuid::now_v7(), seq: 0, previous: None, time, settings }
    }

    fn link(&mut self, kind: &str, data: serde_json::Value) -> (String, Vec<u8>) {
        self.seq += 1;
        let id = uuid::Uuid::now_v7().to_string();
        let mut chain = serde_json::json!({"epoch": self.epoch, "seq": self.seq});
        if let Some(previous) = self.previous {
            chain["previous"] = previous.to_string().into();
        }
        let mut event = serde_json::json!({
            "specversion": "1.0", "id": id, "source": format!("/agents/{}", self.agent),
            "time": self.time, "datacontenttype": "application/json", "chain": chain,
            "type": format!("counterproof.alert.{kind}.v1"), "data": data,
        });
        if kind != "expired" {
            event["subject"] = format!("S{}", self.seq).into();
        }
        let bytes = serde_json::to_vec(&event).unwrap();
        self.previous = Some(Sha256::of(&bytes));
        (id, bytes)
    }

    /// The next event: a mismatch; its id and its bytes.
    pub fn mismatch(&mut self) -> (String, Vec<u8>) {
        let digest = Sha256::of(b"x").to_string();
        let [policy, notice, calibration] = self.settings.map(|d| d.to_string());
        self.link(
            "mismatch",
            serde_json::json!({
                "hospital": "H31010000001", "counter": "w03", "cardholder": "P0001",
                "occurred_at": "2026-11-22T01:10:15Z", "clock_error_ms": 2000, "amount_fen": 41250,
                "medical_type": "14", "proxies_compared": 0,
                "comparison": {"model": digest, "score": 0.04, "threshold": 0.25, "probes": 5,
                               "span_ms": 3200, "faces": 1},
                "quality": {"inter_eye_px": 62.0, "detection": 0.93, "yaw": 0.1, "sharpness": 210.0},
                "settings": {"agent_version": "0.1.0", "policy": policy, "notice": notice,
                             "calibration": calibration},
            }),
        )
    }

    /// The next event: an absence at the entrance `d01`; its id and its bytes.
    pub fn absence(&mut self) -> (String, Vec<u8>) {
        let digest = Sha256::of(b"x").to_string();
        let [policy, notice, calibration] = self.settings.map(|d| d.to_string());
        self.link(
            "absent",
            serde_json::json!({
                "hospital": "H31010000001", "counter": "d01", "cardholder": "P0002",
                "occurred_at": "2026-11-22T04:05:00Z", "clock_error_ms": 2000, "amount_fen": 42000,
                "medical_type": "14",
                "shift": {"begins_at": "2026-11-21T23:30:00Z", "ends_at": "2026-11-22T04:00:00Z"},
                "observation": {"model": digest, "observed_permille": 970, "expected": 40, "seen": 39,
                                "faces": 212, "unclear": 3, "log_likelihood_ratio": -6.5},
                "settings": {"agent_version": "0.1.0", "policy": policy, "notice": notice,
                             "calibration": calibration},
            }),
        )
    }

    /// The next event: the withdrawal of an earlier one.
    pub fn withdrawal(&mut self, alert: &str) -> Vec<u8> {
        self.link("withdrawn", serde_json::json!({"alert": alert, "reason": "settlement_cancelled"})).1
    }

    /// The next event: the word that an earlier one, `(id, seq, bytes)`, expired.
    pub fn expired(&mut self, id: &str, seq: u64, bytes: &[u8]) -> Vec<u8> {
        let digest = Sha256::of(bytes);
        self.link("expired", serde_json::json!({"alert": id, "seq": seq, "digest": digest})).1
    }
}
