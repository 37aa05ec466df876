//! `counterproof relay`: between a HIS and the platform that it talks to, on the
//! hospital's network. The HIS is not changed but for the address that it sends to.
//!
//! Promises: every byte is passed on unchanged, at once, in both directions, whatever it
//! is; nothing that the relay reads, or that the agent does or does not do, delays or
//! breaks what passes. A copy of what settles, cancels and registers is handed to the
//! agent; what could not be is counted, with the reason. Nothing of a message is kept or
//! logged.
//!
//! What it does not do: look into TLS, or into compressed bodies (they pass, and are
//! counted as missed), or hide its own address from the platform.
//!
//! [`pass`] passes bytes, [`overhear`] reads messages from copies of them on a thread of
//! its own, [`hand_on`] gives them to the agent.

mod hand_on;
mod overhear;
mod pass;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use self::hand_on::HandOn;
use self::pass::Way;
use crate::clock::{Clock, SystemClock};
use crate::crypto::keys::{self, KeyError};
use crate::http::metrics::{self, Kind, Listen, MetricsError, declare};
use crate::http::server::{Handle, Listener};
use crate::protocol::id::CounterId;
use crate::settings::{self, Problem, SettingsError, Validate};

/// The relay's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayConfig {
    /// Who gets the copies.
    pub agent: Agent,
    /// From where to where.
    pub ways: Vec<WayConfig>,
    /// Where metrics are read.
    pub metrics: Option<Listen>,
}

/// `[agent]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Where the agent listens (`his.listen`), on this machine.
    pub address: SocketAddr,
    /// Place of its bearer token.
    pub token: String,
}

/// `[[ways]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WayConfig {
    /// Where the HIS sends to.
    pub listen: SocketAddr,
    /// Where it would send to without the relay: `HOST:PORT`.
    pub upstream: String,
    /// The counter of everything that comes here, if it is one.
    pub counter: Option<CounterId>,
}

impl Validate for RelayConfig {
    fn problems(&self) -> Vec<Problem> {
        let mut out: Vec<Problem> = self.metrics.as_ref().and_then(Listen::problem).into_iter().collect();
        if !self.agent.address.ip().is_loopback() {
            let advice = "The token crosses no network: run the relay on the box.";
            out.push(Problem::new("agent.address", self.agent.address, "a loopback address", advice));
        }
        if self.ways.is_empty() {
            let advice = "Name where the HIS sends to, and where to from there.";
            out.push(Problem::new("ways", "none", "at least one [[ways]]", advice));
        }
        for (i, way) in self.ways.iter().enumerate() {
            let named = way.upstream.rsplit_once(':');
            if !named.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
            {
                let key = format!("ways[{i}].upstream");
                out.push(Problem::new(&key, &way.upstream, "HOST:PORT", "As the HIS has it today."));
            }
        }
        out
    }
}

declare! {
    /// Every metric of the relay.
    METRICS;

    CONNECTIONS = "counterproof_relay_connections_total", Kind::Counter, [],
        "Connections of the HIS that were passed on.";
    UPSTREAM_FAILURES = "counterproof_relay_upstream_failures_total", Kind::Counter, [],
        "Connections of the HIS for which the platform could not be reached.";
    BYTES = "counterproof_relay_bytes_total", Kind::Counter, ["direction"],
        "Bytes that were passed on: to the platform (up), and to the HIS (down).";
    HANDED_ON = "counterproof_relay_handed_on_total", Kind::Counter, ["kind"],
        "Copies that the agent took, by the number of the message (infno); answers apart.";
    MISSED = "counterproof_relay_missed_total", Kind::Counter, ["reason"],
        "Copies that the agent did not get or take: agent (not there, or not now), refused (not understood), unread (not HTTP/1, too long, or compressed), behind (too much at once).";
}

/// Why the relay did not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // each variant is its source
pub enum RelayError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the connection to the agent: {0}")]
    Client(#[from] reqwest::Error),
}

/// Runs the relay until it is told to stop.
///
/// # Errors
/// Whatever keeps it from starting, with what to do.
pub fn run(path: &Path, ready_file: Option<PathBuf>) -> Result<(), RelayError> {
    let mut config: RelayConfig = settings::parse(path, &settings::text(path)?)?;
    keys::resolve(&mut config.agent.token, path.parent().unwrap_or(Path::new(".")));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let done = runtime.block_on(serve(config, ready_file));
    runtime.shutdown_background();
    done
}

async fn serve(config: RelayConfig, ready_file: Option<PathBuf>) -> Result<(), RelayError> {
    let token = keys::read_token(&config.agent.token)?;
    let hand_on = Arc::new(HandOn::new(config.agent.address, &token)?);
    let observers = hand_on::observers(hand_on)?;
    let handle = Handle::new();
    let metrics = match &config.metrics {
        Some(section) => {
            let page = metrics::record(METRICS, SystemClock.now())?;
            let listener = Listener::bind(section.listen, None)?;
            let address = listener.address()?;
            let router = page.router(|| async {}, || None);
            tokio::spawn(listener.serve(router, handle.clone()));
            Some(address)
        }
        None => None,
    };
    let mut listening = Vec::new();
    for way in config.ways {
        let listener = TcpListener::bind(way.listen)
            .await
            .map_err(|e| std::io::Error::new(e.kind(), format!("ways.listen {}: {e}", way.listen)))?;
        listening.push(listener.local_addr()?);
        let way = Way { upstream: way.upstream, counter: way.counter, observers: observers.clone() };
        tokio::spawn(pass::accept(listener, Arc::new(way)));
    }
    info!(?listening, metrics = metrics.map(tracing::field::display), "passing on");
    if let Some(path) = ready_file {
        let part = path.with_extension("part");
        std::fs::write(&part, json!({ "ways": listening, "metrics": metrics }).to_string())?;
        std::fs::rename(part, path)?;
    }
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<RelayConfig, String> {
        settings::parse(Path::new("relay.toml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn the_example_is_understood_and_what_would_carry_the_token_away_is_not() {
        let example = include_str!("../../../config/relay.example.toml");
        assert_eq!(parsed(example).unwrap().ways.len(), 1);
        for (from, to, key) in [
            ("127.0.0.1:8701", "192.0.2.1:8701", "agent.address"),
            ("10.0.0.5:8080", "platform", "ways[0].upstream"),
            ("127.0.0.1:9702", "0.0.0.0:9702", "metrics.listen"),
        ] {
            let refused = parsed(&example.replace(from, to)).unwrap_err();
            assert!(refused.contains(key), "{refused}");
        }
    }
}
