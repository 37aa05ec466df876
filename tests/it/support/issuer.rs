//! A real OpenID Connect issuer on loopback (`tests/it/oidc/issuer.mjs`, npm's
//! `oidc-provider`), and a browser that is good enough for it: cookies by name,
//! redirections seen one by one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use counterproof::crypto::tls::client_trusting;
use url::Url;

use super::pki::Pki;

/// Put there by `scripts/issuer`, its packages by their hashes.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/issuer/issuer.mjs");

/// The issuer, until it is dropped.
pub struct Issuer {
    child: Child,
    tell: ChildStdin,
    said: BufReader<ChildStdout>,
    pub address: String,
    pub ca: PathBuf,
}

impl Issuer {
    /// Starts it; it serves once it was told where the console is.
    pub fn start(dir: &Path) -> Self {
        let files = Pki::new(&dir.join("issuer-pki")).unwrap();
        let files = files.issue("issuer", true).unwrap();
        assert!(Path::new(SCRIPT).exists(), "{SCRIPT} is missing: scripts/issuer fetches it");
        let mut child = Command::new("node")
            .arg(SCRIPT)
            .args([&files.certificate, &files.key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let tell = child.stdin.take().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut issuer = Self { child, tell, said, address: String::new(), ca: files.ca };
        issuer.address = issuer.line()["issuer"].as_str().unwrap().to_owned();
        issuer
    }

    /// Its next line that is JSON; the library prints warnings between.
    fn line(&mut self) -> serde_json::Value {
        loop {
            let mut line = String::new();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "the issuer ended");
            if let Ok(value) = serde_json::from_str(&line) {
                return value;
            }
        }
    }

    /// Says where browsers may be sent back to, and waits until it serves.
    pub fn serve(&mut self, redirect: &str) {
        writeln!(self.tell, "{}", serde_json::json!({ "redirect": redirect })).unwrap();
        self.line();
    }

    /// Changes what it will say next; the ID token that it gave last.
    pub async fn control(&self, query: &str) -> Option<String> {
        let answer = Browser::new(&self.ca).get(&format!("{}/control?{query}", self.address)).await;
        let said: serde_json::Value = answer.json().await.unwrap();
        said["last"].as_str().map(str::to_owned)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cookies by name, for whichever server they are: a test has few.
pub struct Browser {
    http: reqwest::Client,
    pub cookies: RefCell<BTreeMap<String, String>>,
}

impl Browser {
    /// One that trusts this authority.
    pub fn new(ca: &Path) -> Self {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(client_trusting(ca).unwrap())
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { http, cookies: RefCell::default() }
    }

    pub async fn get(&self, address: &str) -> reqwest::Response {
        self.send(self.http.get(address).header("accept", "text/html")).await
    }

    pub async fn post(&self, address: &str, form: &[(&str, &str)]) -> reqwest::Response {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let kind = "application/x-www-form-urlencoded";
        self.send(
            self.http.post(address).header("content-type", kind).header("accept", "text/html").body(body),
        )
        .await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> reqwest::Response {
        let held: Vec<String> = self.cookies.borrow().iter().map(|(k, v)| format!("{k}={v}")).collect();
        let answer = request.header("cookie", held.join("; ")).send().await.unwrap();
        for set in answer.headers().get_all("set-cookie") {
            let (pair, rest) = set.to_str().unwrap().split_once(';').unwrap_or((set.to_str().unwrap(), ""));
            let (name, value) = pair.split_once('=').unwrap();
            if value.is_empty() || rest.contains("Max-Age=0") {
                self.cookies.borrow_mut().remove(name);
            } else {
                self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Signs in at the issuer as `id`, from the address that a client sends browsers to;
    /// the address to which the issuer sends them back.
    pub async fn at_issuer(&self, address: &str, id: &str, back: &str) -> Url {
        let mut next = Url::parse(address).unwrap();
        for _ in 0..12 {
            if next.as_str().starts_with(back) {
                return next;
            }
            let mut answer = self.get(next.as_str()).await;
            if answer.status().as_u16() == 200 {
                let page = answer.text().await.unwrap();
                let login = page.contains("name=\"login\"");
                let form: &[(&str, &str)] = if login {
                    &[("prompt", "login"), ("login", id), ("password", "any")]
                } else {
                    &[("prompt", "consent")]
                };
                answer = self.post(next.as_str(), form).await;
            }
            let to =
                answer.headers().get("location").unwrap_or_else(|| panic!("{next}: {}", answer.status()));
            next = next.join(to.to_str().unwrap()).unwrap();
        }
        panic!("the issuer sends browsers round and round: {next}");
    }
}
