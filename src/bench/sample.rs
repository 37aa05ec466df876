//! A bureau on loopback, filled with made-up alerts: for `make console` and for
//! measuring the console.
//!
//! Promises: the program is the real one, started as a process of its own, with keys
//! and certificates made for it; everything lies in one folder; it listens on
//! loopback alone. Its passwords are in this file, so it guards nothing: never put
//! anything real into it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::hospital::Running;
use super::hospital::pki::Pki;
use crate::crypto::keys::make_bureau_keys;

/// Of every account of it.
pub const PASSWORD: &str = "made up for a made-up city";

/// A bureau in a folder, running or not.
pub struct SampleBureau {
    program: PathBuf,
    dir: PathBuf,
    config: PathBuf,
    running: Option<Running>,
    console: String,
}

/// What a bureau says once it listens.
#[derive(Deserialize)]
struct Ready {
    console: std::net::SocketAddr,
}

impl SampleBureau {
    /// Makes keys, certificates and configuration in `dir`, unless they are there.
    /// `store` is the part `[store]` without its root key, `console` the address for people.
    ///
    /// # Errors
    /// If something cannot be made or written.
    pub fn make(program: &Path, dir: &Path, store: &str, console: &str) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let config = dir.join("bureau.toml");
        if !dir.join("keys/root.key").exists() {
            Pki::new(&dir.join("pki"))?.issue("bureau", true)?;
            make_bureau_keys(&dir.join("keys"), &["localhost".into()]).map_err(io::Error::other)?;
        }
        fs::write(
            &config,
            format!(
                "[server]\nlisten = \"127.0.0.1:0\"\n[server.tls]\nca = \"pki/ca.pem\"\n\
                 certificate = \"pki/bureau.pem\"\nkey = \"pki/bureau.key\"\n\
                 [console]\nlisten = \"{console}\"\n[store]\n{store}\nroot_key = \"keys/root.key\"\n\
                 [keys]\nsigning = \"keys/signing.key\"\n"
            ),
        )?;
        Ok(Self::of(program, dir, &config))
    }

    /// A bureau that has its configuration; `dir` is for its log.
    pub fn of(program: &Path, dir: &Path, config: &Path) -> Self {
        let (program, dir, config) = (program.into(), dir.into(), config.into());
        Self { program, dir, config, running: None, console: String::new() }
    }

    /// Runs a command of it; what it said.
    ///
    /// # Errors
    /// If it fails, with what it said.
    pub fn command(&self, words: &[&str]) -> io::Result<String> {
        let (first, rest) = words.split_first().unwrap_or((&"", &[]));
        let mut command = Command::new(&self.program);
        command.arg(first);
        // `accounts add` takes the configuration behind its second word.
        let (second, rest) = match rest.split_first() {
            Some((second, rest)) if !second.starts_with("--") => (Some(second), rest),
            _ => (None, rest),
        };
        command.args(second).arg("--config").arg(&self.config).args(rest);
        let output = command.env("RUST_LOG", "warn").output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("{}: {}", words.join(" "), said.trim())))
    }

    /// Fills it with so many alerts, unless that was done before.
    ///
    /// # Errors
    /// If it holds anything real, or cannot be filled.
    pub fn fill(&self, alerts: u32) -> io::Result<()> {
        match self.command(&["seed", "--alerts", &alerts.to_string()]) {
            Err(e) if e.to_string().contains("filled before") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Makes an account with [`PASSWORD`], if there is none of that name.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn add_account(&self, name: &str, display: &str, roles: &[&str]) -> io::Result<()> {
        let file = self.dir.join("password");
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&file)?.write_all(PASSWORD.as_bytes())?;
        let path = file.to_string_lossy();
        let mut words = vec!["accounts", "add", name, "--display", display, "--password-file", &path];
        words.extend(roles.iter().flat_map(|role| ["--role", role]));
        match self.command(&words) {
            Err(e) if e.to_string().contains("already") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Errors
    /// If it does not start, with its log.
    pub fn start(&mut self) -> io::Result<()> {
        let ready = self.dir.join("ready.json");
        let config = self.config.to_string_lossy().into_owned();
        let arguments = ["serve", "--config", &config];
        self.running = Some(Running::start(&self.program, &arguments, self.dir.join("bureau.log"), &ready)?);
        let Ready { console } = serde_json::from_slice(&fs::read(&ready)?)?;
        self.console = format!("http://{console}");
        Ok(())
    }

    /// Ends it, and waits for that.
    ///
    /// # Errors
    /// If it cannot be told.
    pub fn end(&mut self) -> io::Result<()> {
        self.running.take().map_or(Ok(()), |mut running| running.terminate().map(drop))
    }

    /// The address of its console, while it runs.
    pub fn console(&self) -> &str {
        &self.console
    }

    /// The cookie of a new session.
    ///
    /// # Errors
    /// If nobody is signed in.
    pub async fn sign_in(&self, name: &str) -> io::Result<String> {
        super::sign_in(&self.console, name, PASSWORD).await
    }
}
