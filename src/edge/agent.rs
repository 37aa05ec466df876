//! Starting, running and stopping the agent.
//!
//! Start: configuration and policy, keys, models and calibration, store and
//! audit log; what a stop interrupted is ended; then cameras, counters, intake.
//! Anything that is not in order is an error before the first settlement is
//! accepted. Stop (SIGTERM, SIGINT): intake closes, open verifications get
//! [`FINISH`] to end, what does not ends at the next start; the audit log is
//! signed last.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use crate::camera::replay::{self, Pictures, ReplayError};
use crate::camera::ring::Ring;
use crate::clock::{Clock, SystemClock};
use crate::crypto::Sha256;
use crate::crypto::keys::{self, KeyError};
use crate::crypto::tls::TlsError;
use crate::http::server::{Handle, Listener};
use crate::privacy::audit::{AuditError, AuditLog, Kind};
use crate::privacy::policy;
use crate::protocol::alert::Settings;
use crate::settings::SettingsError;
use crate::verify::calibration::{Calibration, CalibrationError};
use crate::vision::Vision;
use crate::vision::manifest::{Manifest, ManifestError};
use crate::vision::model::ModelError;

use super::alerts::InForce;
use super::config::{Camera, Config, Counter, Effective};
use super::context::{Context, ExportError, audit_path};
use super::counter::{Counters, Tools};
use super::delivery::Delivery;
use super::intake::Intake;
use super::posture::Reporter;
use super::purge::Limits;
use super::references::References;
use super::shutters;
use super::store::{Store, StoreError};
use super::workers::Workers;

/// How long open verifications get at a stop.
const FINISH: Duration = Duration::from_secs(3);
/// How often limits are enforced.
const PURGE_EVERY: Duration = Duration::from_secs(600);

/// Why the agent did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // each variant is its source
pub enum AgentError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Camera(#[from] ReplayError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the bureau's connection: {0}")]
    Client(#[from] reqwest::Error),
}

/// Models and calibration, checked against each other.
pub struct Eyes {
    /// One set for each worker.
    pub models: Vec<Vision>,
    /// The manifest they came from.
    pub manifest: Arc<Manifest>,
    /// The calibration.
    pub calibration: Calibration,
    /// Its digest.
    pub calibration_digest: Sha256,
}

impl Eyes {
    /// Loads what the configuration names.
    ///
    /// # Errors
    /// Naming the model or calibration that is not in order.
    pub fn open(config: &Config) -> Result<Self, AgentError> {
        let manifest = Arc::new(Manifest::read(&config.models.manifest)?);
        let first = Vision::load(&manifest, &config.models.wanted)?;
        let (calibration, calibration_digest) =
            Calibration::read(&config.decision.calibration, first.recognizer())?;
        let mut models = vec![first];
        while models.len() < config.decision.workers {
            models.push(Vision::load(&manifest, &config.models.wanted)?);
        }
        Ok(Self { models, manifest, calibration, calibration_digest })
    }
}

/// The connection to the bureau.
///
/// # Errors
/// If its certificates cannot be used.
pub fn bureau_client(config: &Config) -> Result<reqwest::Client, AgentError> {
    let tls = config.bureau.tls.client()?;
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(20))
        .build()?)
}

/// Today by the box's clock, in UTC.
pub fn today() -> jiff::civil::Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// Runs the agent until it is told to stop.
///
/// # Errors
/// Whatever keeps it from starting, with what to do.
pub fn run(path: &Path, ready_file: Option<PathBuf>) -> Result<(), AgentError> {
    shutters::close();
    let effective = Config::read(path, today())?;
    effective.warnings.iter().for_each(|w| warn!("{w}"));
    let eyes = Eyes::open(&effective.config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let done = runtime.block_on(serve(effective, eyes, ready_file));
    // A name look-up that hangs must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(500));
    done
}

async fn serve(effective: Effective, eyes: Eyes, ready_file: Option<PathBuf>) -> Result<(), AgentError> {
    let Effective { config, policy, .. } = effective;
    let Eyes { models, manifest, calibration, calibration_digest } = eyes;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let token = keys::read_token(&config.his.token)?;
    let client = bureau_client(&config)?;
    let vision = models.first().ok_or_else(|| std::io::Error::other("no worker"))?;
    let recognizer = vision.recognizer();
    let digests = BTreeMap::from([
        ("detector".to_owned(), vision.detector_sha256()),
        ("recognizer".to_owned(), recognizer.sha256),
    ]);
    let in_force = InForce {
        agent: config.agent.name.clone(),
        hospital: config.agent.hospital.clone(),
        clock_error_ms: config.his.clock_error_ms,
        settings: Settings {
            agent_version: env!("CARGO_PKG_VERSION").into(),
            policy: policy.digest(),
            notice: policy.notice.sha256,
            calibration: calibration_digest,
        },
    };
    let (store, audit) = open_state(&config, &*clock)?;
    let context = Arc::new(Context::new(config, policy, calibration, in_force, clock, store, audit));
    begin(&context, &digests).await?;

    let config = &context.config;
    let deadline = Duration::from_millis(config.bureau.reference_deadline_ms);
    let references = References::new(client.clone(), &config.bureau.url, deadline, recognizer);
    let workers = Workers::start(models, config.decision.queue, &manifest, &config.models.wanted)?;
    let stop = Arc::new(AtomicBool::new(false));
    let counters = start_cameras(&context, &stop)?;
    let tools = Arc::new(Tools { context: Arc::clone(&context), references, workers });
    let counters = Arc::new(Counters::start(counters, &tools));
    let listener = match &config.his.tls {
        Some(files) => Listener::bind(config.his.listen, Some(Arc::new(files.server()?)))?,
        None => Listener::bind(config.his.listen, None)?,
    };
    let address = listener.address()?;
    let signer = keys::read_signing_key(&config.keys.signing)?;
    let reporter =
        Reporter { context: Arc::clone(&context), client: client.clone(), signer, models: digests };
    tokio::spawn(export(Arc::clone(&context)));
    tokio::spawn(release(Arc::clone(&context)));
    tokio::spawn(purge(Arc::clone(&context)));
    tokio::spawn(Delivery::new(Arc::clone(&context), client).run());
    tokio::spawn(reporter.run());
    let handle = Handle::new();
    let intake = Intake::new(Arc::clone(&context), counters, &token).router();
    let serving = tokio::spawn(listener.serve(intake, handle.clone()));
    announce(address, ready_file.as_deref())?;

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    finish(&context, &handle, &stop).await;
    serving.abort();
    Ok(())
}

fn open_state(config: &Config, clock: &dyn Clock) -> Result<(Store, AuditLog), AgentError> {
    let root = keys::read_root_key(&config.keys.root)?;
    let store = Store::open(&config.agent.state, &root, keys::read_signing_key(&config.keys.signing)?)?;
    let key = keys::read_signing_key(&config.keys.signing)?;
    let audit = AuditLog::open(&audit_path(&config.agent.state), key, store.epoch(), clock.now().wall)?;
    Ok((store, audit))
}

/// Ends what a stop interrupted and writes the first record; if the audit log
/// cannot be written, nothing starts.
async fn begin(context: &Arc<Context>, models: &BTreeMap<String, Sha256>) -> Result<(), AgentError> {
    let now = context.wall();
    let interrupted = context.store(move |s| s.end_interrupted(now)).await?;
    if interrupted > 0 {
        warn!(interrupted, "verifications that the last stop interrupted ended as not_assessed(restarted)");
    }
    let started = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "policy": context.in_force.settings.policy,
        "calibration": context.in_force.settings.calibration,
        "models": models,
        "liveness": "off",
    });
    context.store(move |s| s.record(now, Kind::Started, &started)).await?;
    context.export_audit()?;
    Ok(())
}

fn start_cameras(
    context: &Arc<Context>,
    stop: &Arc<AtomicBool>,
) -> Result<Vec<(Counter, Arc<Ring>)>, AgentError> {
    let keep = context.policy.limit(policy::FRAMES);
    let mut out = Vec::new();
    for counter in context.config.counters.clone() {
        let ring = Arc::new(Ring::new(keep, counter.ring_mb << 20));
        let Camera::Replay(replay) = counter.camera.clone();
        let pictures = Pictures::open(&replay.path)?;
        let (ring_of, clock, stop) = (Arc::clone(&ring), Arc::clone(&context.clock), Arc::clone(stop));
        std::thread::Builder::new()
            .name(format!("camera-{}", counter.id))
            .spawn(move || replay::play(&pictures, &replay, &ring_of, &clock, &stop))?;
        out.push((counter, ring));
    }
    Ok(out)
}

fn announce(address: SocketAddr, ready_file: Option<&Path>) -> Result<(), AgentError> {
    info!(his = %address, "listening");
    if let Some(path) = ready_file {
        let part = path.with_extension("part");
        std::fs::write(&part, json!({ "his": address.to_string() }).to_string())?;
        std::fs::rename(part, path)?;
    }
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    Ok(())
}

/// Moves audit rows to the log as they come, and tries again where it failed.
async fn export(context: Arc<Context>) {
    loop {
        let worker = Arc::clone(&context);
        let done = tokio::task::spawn_blocking(move || worker.export_audit()).await;
        match done {
            Ok(Ok(())) => context.audit_waits.notified().await,
            Ok(Err(e)) => {
                error!(error = %e, "the audit log cannot be written; nothing is verified until it can");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

/// Signs and commits held mismatches when their time has come.
async fn release(context: Arc<Context>) {
    loop {
        context.record_again().await;
        let now = context.wall();
        let mut least = 50;
        let due = context.store(move |s| s.due(now)).await.unwrap_or_else(|e| {
            error!(error = %e, "held mismatches cannot be read");
            least = 5000;
            Vec::new()
        });
        for (id, draft) in due {
            let Ok(draft) = draft.inspect_err(
                |e| error!(verification = %id, error = %e, "a held mismatch cannot be read; it stays"),
            ) else {
                least = 5000;
                continue;
            };
            match context.store(move |s| s.release(id, draft, now)).await {
                Ok(Some(event)) => {
                    context.count(crate::protocol::verdict::Outcome::Mismatch);
                    info!(verification = %id, verdict = "mismatch", %event, "verified");
                    context.audit_waits.notify_one();
                    context.events_wait.notify_one();
                }
                Ok(None) => {}
                Err(e) => {
                    error!(verification = %id, error = %e, "an alert could not be committed; it is tried again");
                    least = 5000;
                }
            }
        }
        let next = context.store(|s| s.next_due()).await.ok().flatten();
        let now = context.wall();
        let wait = next.map_or(Duration::from_secs(60), |t| {
            Duration::from_millis((t.as_millis() - now.as_millis()).clamp(least, 60_000) as u64)
        });
        tokio::select! {
            () = context.mismatch_held.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Enforces the limits of the policy, and records what was deleted.
async fn purge(context: Arc<Context>) {
    loop {
        let now = context.wall();
        let before = |limit| now.minus(context.policy.limit(limit));
        let (journal, links) = (before(policy::JOURNAL), before(policy::WITHDRAWAL_LINKS));
        let (acknowledged, waiting) = (before(policy::ACKNOWLEDGED_ALERTS), before(policy::WAITING_ALERTS));
        let limits = Limits { journal, links, acknowledged, waiting };
        let purged = context.store(move |s| s.purge(limits, now)).await;
        match purged {
            Ok(undelivered) if undelivered > 0 => {
                error!(undelivered, "alerts reached their limit before the bureau took them");
            }
            Ok(_) => {}
            Err(e) => error!(error = %e, "limits could not be enforced"),
        }
        context.audit_waits.notify_one();
        tokio::time::sleep(PURGE_EVERY).await;
    }
}

async fn finish(context: &Arc<Context>, handle: &Handle, stop: &AtomicBool) {
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    info!("stopping: no new settlements; open verifications get a moment to end");
    handle.stop(Duration::from_secs(1));
    let deadline = tokio::time::Instant::now() + FINISH;
    while context.in_flight.load(Ordering::Relaxed) > 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let now = context.wall();
    let left = context.in_flight.load(Ordering::Relaxed);
    let recorded = context
        .store(move |s| {
            let interrupted = s.end_interrupted(now)?;
            s.record(now, Kind::Stopped, &json!({ "interrupted": interrupted }))
        })
        .await;
    let exported = context.export_audit();
    let signed = context.checkpoint();
    for e in [
        recorded.err().map(|e| e.to_string()),
        exported.err().map(|e| e.to_string()),
        signed.err().map(|e| e.to_string()),
    ]
    .into_iter()
    .flatten()
    {
        error!(error = e, "the stop could not be recorded; the next start repairs it");
    }
    info!(interrupted = left, "stopped");
}
