//! The page of metrics: Prometheus text over plain HTTP, on loopback only.
//!
//! A program lists its metrics as [`Metric`]s in one file and records them
//! through functions there; the list is what is described, documented and
//! tested. Series are bounded: labels are words of the program or configured
//! counters. Nothing on the page is about a person.
//!
//! Without a `[metrics]` section nothing is recorded at all.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Deserialize;

use super::problem::Problem;
use crate::clock::Now;
use crate::settings;

/// The text format's media type (Prometheus exposition formats, 0.0.4).
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How often measured times are sorted into their buckets when nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// `[metrics]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// A loopback address.
    pub listen: SocketAddr,
}

impl Listen {
    /// What is wrong with it, if anything.
    pub fn problem(&self) -> Option<settings::Problem> {
        (!self.listen.ip().is_loopback()).then(|| {
            settings::Problem::new(
                "metrics.listen",
                self.listen,
                "a loopback address, such as 127.0.0.1:9701",
                "The page has neither TLS nor a password, and it tells how busy a window is. Let a collector on this machine read it and send it on.",
            )
        })
    }
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Counts up from the start of the program.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Times in seconds, counted by upper bounds.
    Histogram(&'static [f64]),
}

/// One metric: the names by which it is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name, with unit and `_total` as Prometheus writes them.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, for people.
    pub help: &'static str,
}

/// Declares metrics, each a constant that has its name, and the list of all.
macro_rules! declare {
    ($(#[$about:meta])* $list:ident;
     $($id:ident = $name:literal, $kind:expr, [$($label:literal),*], $help:literal;)*) => {
        $(const $id: $crate::http::metrics::Metric = $crate::http::metrics::Metric {
            name: $name, kind: $kind, labels: &[$($label),*], help: $help,
        };)*

        $(#[$about])*
        pub const $list: &[$crate::http::metrics::Metric] = &[$($id),*];
    };
}

pub(crate) use declare;

/// What every program tells of itself, under the names that Prometheus's own
/// client libraries use.
pub const PROCESS: [Metric; 3] = [
    Metric {
        name: "process_start_time_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "When the process started, in seconds since 1970 by the box's wall clock.",
    },
    Metric {
        name: "process_resident_memory_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "Memory of the process that is resident.",
    },
    Metric {
        name: "process_cpu_seconds_total",
        kind: Kind::Counter,
        labels: &[],
        help: "CPU time of the process, user and system, in whole seconds.",
    },
];

/// Why metrics cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// A histogram without bounds, or another recorder in this process.
    #[error("metrics cannot be recorded: {0}")]
    Recorder(String),
}

/// Begins recording, and describes every metric of the list.
///
/// # Errors
/// If this process records already.
pub fn record(metrics: &[Metric], started: Now) -> Result<Page, MetricsError> {
    let refused = |e: &dyn std::fmt::Display| MetricsError::Recorder(e.to_string());
    let mut builder = PrometheusBuilder::new();
    for m in metrics {
        if let Kind::Histogram(bounds) = m.kind {
            let name = Matcher::Full(m.name.to_owned());
            builder = builder.set_buckets_for_metric(name, bounds).map_err(|e| refused(&e))?;
        }
    }
    let recorder = builder.build_recorder();
    let page = Page(recorder.handle());
    metrics::set_global_recorder(recorder).map_err(|e| refused(&e))?;
    for m in metrics.iter().chain(&PROCESS) {
        match m.kind {
            Kind::Counter => describe_counter!(m.name, m.help),
            Kind::Gauge => describe_gauge!(m.name, m.help),
            Kind::Histogram(_) => describe_histogram!(m.name, Unit::Seconds, m.help),
        }
    }
    gauge!("process_start_time_seconds").set(started.wall.as_millis() as f64 / 1000.0);
    Ok(page)
}

/// What has been recorded.
#[derive(Clone)]
pub struct Page(PrometheusHandle);

impl Page {
    /// The page itself at `/metrics`, and `/healthz`. `refresh` is called for
    /// each reading and brings what is looked up rather than counted up to date;
    /// `unwell` says what is stuck, if anything.
    pub fn router<F, R, H>(self, refresh: F, unwell: H) -> Router
    where
        F: Fn() -> R + Clone + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
        H: Fn() -> Option<String> + Clone + Send + Sync + 'static,
    {
        let page = move || {
            let (page, refresh) = (self.clone(), refresh.clone());
            async move {
                refresh().await;
                process();
                page.0.run_upkeep();
                ([(header::CONTENT_TYPE, TEXT)], page.0.render())
            }
        };
        Router::new()
            .route("/metrics", get(page))
            .route("/healthz", get(move || std::future::ready(health(unwell()))))
            .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "metrics are at /metrics") })
    }

    /// Sorts what was measured into its buckets, so that it does not pile up
    /// while nobody reads. Runs until the program ends.
    pub async fn keep_up(self) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.0.run_upkeep();
        }
    }
}

/// 200 while everything gets on, else 503 and what is stuck.
///
/// # Errors
/// The problem, for the caller.
pub fn health(unwell: Option<String>) -> Result<&'static str, Problem> {
    unwell.map_or(Ok("ok\n"), |what| Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, what)))
}

fn process() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    if let Some(kilobytes) = kilobytes {
        gauge!("process_resident_memory_bytes").set((kilobytes << 10) as f64);
    }
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    counter!("process_cpu_seconds_total").absolute(cpu.tv_sec as u64);
}
