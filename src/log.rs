//! The programs' logs: structured events, to journald or as JSON lines.
//!
//! Under systemd (`JOURNAL_STREAM` names this very standard error) events go to
//! journald's own socket with their fields, each as `COUNTERPROOF_NAME`; else,
//! or if the socket cannot be reached, they are JSON lines on standard error.
//! `RUST_LOG` says how much; the default is `info`.
//!
//! Promises: no library says more than `info`, whatever `RUST_LOG` asks for. At
//! `debug` and below HTTP clients write addresses and headers, and an address
//! here names a cardholder. Our own events hold nothing personal at any level:
//! no settlement, no cardholder, no amount, no comparison score
//! (`tests/it/logs.rs` reads the logs of whole runs at `trace`).

use std::io;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// What journald's field names begin with.
const FIELD_PREFIX: &str = "COUNTERPROOF";

/// Starts the log of a program; `name` is what `journalctl -t` goes by.
///
/// A second start in one process does nothing: the first one stays.
pub fn start(name: &str) {
    // The runtime tells every step of its graph rewriting, at `info` and `warn`.
    let wanted = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .try_from_env()
        .unwrap_or_else(|_| EnvFilter::new("info,ort=error"));
    let log = tracing_subscriber::registry().with(wanted).with(filter_fn(may_be_said));
    let journal = stderr_is_the_journal().then(|| {
        tracing_journald::layer().map(|l| {
            l.with_field_prefix(Some(FIELD_PREFIX.into())).with_syslog_identifier(name.into()).boxed()
        })
    });
    // Started twice only by tests in one process.
    let _ = match journal {
        Some(Ok(journal)) => log.with(journal).try_init(),
        Some(Err(_)) | None => log
            .with(fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(io::stderr))
            .try_init(),
    };
}

/// Ours, or nothing that a library tells only to its own developers.
fn may_be_said(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("counterproof") || *metadata.level() <= Level::INFO
}

/// Whether standard error is what systemd connected to the journal: the
/// variable alone is inherited by whatever a unit's shell starts.
fn stderr_is_the_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(io::stderr()).is_ok_and(|s| named == format!("{}:{}", s.st_dev, s.st_ino))
}
