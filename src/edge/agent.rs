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

use crate::camera::CameraError;
use crate::clock::{BootId, Clock, SystemClock, WallTime};
use crate::crypto::Sha256;
use crate::crypto::keys::{self, KeyError};
use crate::crypto::tls::TlsError;
use crate::http::metrics::MetricsError;
use crate::http::server::{Handle, Listener};
use crate::privacy::age::Ages;
use crate::privacy::audit::{self, AuditError, AuditLog, Kind};
use crate::privacy::policy::CounterKind;
use crate::protocol::alert::Settings;
use crate::settings::SettingsError;
use crate::shutters;

use super::alerts::InForce;
use super::cameras;
use super::config::{Config, Effective};
use super::context::{Context, ExportError, State};
use super::counter::{Counters, Tools};
use super::delivery::Delivery;
use super::desk::Desk;
use super::entrance::Entrances;
use super::eyes::{Eyes, EyesError};
use super::gauges::Gauges;
use super::health;
use super::intake::Intake;
use super::mllp;
use super::posture::Reporter;
use super::references::References;
use super::store::{Roots, Store, StoreError};
use super::upkeep;
use super::workers::Workers;

/// How long open verifications get at a stop.
const FINISH: Duration = Duration::from_secs(3);

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
    Eyes(#[from] EyesError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Camera(#[from] CameraError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the bureau's connection: {0}")]
    Client(#[from] reqwest::Error),
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
    let Effective { config, policy, digest, .. } = effective;
    let commission = eyes.in_force(&config);
    let Eyes { sights, manifest, calibration, calibration_digest, previous } = eyes;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let token = keys::read_token(&config.his.token)?;
    let client = bureau_client(&config)?;
    let sight = sights.first().ok_or_else(|| std::io::Error::other("no worker"))?;
    let recognizers = sight.recognizers();
    let digests = sight.digests();
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
    let state = open_state(&config, &*clock)?;
    let context = Arc::new(Context::new(config, policy, calibration, in_force, clock, state));
    let started = Started { models: digests.clone(), configuration: digest, commission };
    begin(&context, started).await?;

    let config = &context.config;
    let deadline = Duration::from_millis(config.bureau.reference_deadline_ms);
    let references = References::new(client.clone(), &config.bureau.url, deadline, recognizers);
    let workers = Workers::start(sights, config, &manifest, &context.watch)?;
    let stop = Arc::new(AtomicBool::new(false));
    let counters = cameras::start(&context, &stop)?;
    let rings = counters.iter().map(|(_, ring)| Arc::clone(ring)).collect();
    let watched = counters.clone();
    let previous = previous.map(Arc::new);
    let tools =
        Arc::new(Tools { context: Arc::clone(&context), references: references.clone(), workers, previous });
    let gauges = Gauges::new(&counters, &tools);
    let (entrances, counters) =
        counters.into_iter().partition(|(c, _)| c.kind == CounterKind::DialysisEntrance);
    let entrances = Arc::new(Entrances::start(entrances, &tools).await?);
    let counters = Arc::new(Counters::start(counters, &tools));
    let listener = match &config.his.tls {
        Some(files) => Listener::bind(config.his.listen, Some(Arc::new(files.server()?)))?,
        None => Listener::bind(config.his.listen, None)?,
    };
    let address = listener.address()?;
    let listener = listener.beating(context.watch.listener("his"));
    let signer = keys::read_signing_key(&config.keys.signing)?;
    let reporter = Reporter::new(Arc::clone(&context), client.clone(), signer, digests.clone());
    tokio::spawn(upkeep::export(Arc::clone(&context)));
    tokio::spawn(upkeep::release(Arc::clone(&context)));
    tokio::spawn(upkeep::limits(Arc::clone(&context), rings));
    tokio::spawn(upkeep::clocks(Arc::clone(&context)));
    tokio::spawn(health::watch(Arc::clone(&context), watched));
    tokio::spawn(Delivery::new(Arc::clone(&context), client).run());
    tokio::spawn(reporter.run());
    let handle = Handle::new();
    let metrics = match &config.metrics {
        Some(section) => Some(gauges.serve(section.listen, &digests, &handle)?),
        None => None,
    };
    let desk = Arc::new(Desk::new(Arc::clone(&context), counters, entrances, references));
    let intake = Intake::new(Arc::clone(&desk), &token).router();
    let mut hl7 = Vec::new();
    for port in &config.his.hl7 {
        hl7.push(mllp::listen(port, Arc::clone(&desk), context.watch.listener("hl7")).await?);
    }
    let serving = tokio::spawn(listener.serve(intake, handle.clone()));
    context.watch.hearts.watch()?;
    announce(&Addresses { his: address, hl7, metrics }, ready_file.as_deref())?;

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => upkeep::reload_root_key(&context).await,
        }
    }
    finish(&context, &handle, &stop).await;
    serving.abort();
    Ok(())
}

/// Opens the state folder.
fn open_state(config: &Config, clock: &dyn Clock) -> Result<State, AgentError> {
    let keys = &config.keys;
    let previous = keys.root_previous.as_deref().map(keys::read_root_key).transpose()?;
    let roots = Roots { current: keys::read_root_key(&keys.root)?, previous };
    let signer = || keys::read_signing_key(&keys.signing);
    let now = clock.now();
    let mut store = Store::open(&config.agent.state, roots, signer()?, now.wall)?;
    let previous = keys.signing_previous.as_deref().map(keys::read_signing_key).transpose()?;
    let audit_keys = audit::Keys { signing: signer()?, previous };
    let folder = audit::folder(&config.agent.state);
    let mut audit = AuditLog::open(&folder, audit_keys, store.epoch(), now.wall)?;
    leave_a_restored_epoch(&mut store, &mut audit, now.wall)?;
    let ages = Ages::resume(store.marks()?, store.newest()?, BootId::of_this_boot(), now);
    Ok(State { store, audit, ages })
}

/// Begins a new epoch if the database is older than the log, as one that was
/// restored alone from a backup. In its own epoch it would number rows again
/// that stand in the log, and they would be taken for those; and events again
/// that the bureau may hold. What waited in the backup goes into the log once
/// more, under the new epoch.
fn leave_a_restored_epoch(store: &mut Store, audit: &mut AuditLog, now: WallTime) -> Result<(), StoreError> {
    let Some(head) = audit.head() else { return Ok(()) };
    let former = store.epoch();
    let older = if head.epoch == former {
        store.rows_found() < audit.last_row()
    } else {
        // A database made anew has given out no row; another is of an epoch that the log has left.
        store.rows_found() > 0
    };
    if !older {
        return Ok(());
    }
    let data = json!({
        "reason": "database_older_than_log",
        "former": former,
        "log_epoch": head.epoch,
        "log_row": audit.last_row(),
        "database_row": store.rows_found(),
    });
    store.begin_epoch(now, &data)?;
    audit.begin_epoch(store.epoch());
    warn!(why = %data, "the database is older than the audit log, as one from a backup: a new epoch begins");
    Ok(())
}

/// Ends what a stop interrupted and writes the first records; if the audit log
/// cannot be written, nothing starts.
async fn begin(context: &Arc<Context>, started: Started) -> Result<(), AgentError> {
    let now = context.moment();
    let interrupted = context.store(move |s| s.end_interrupted(now)).await?;
    if interrupted > 0 {
        warn!(interrupted, "verifications that the last stop interrupted ended as not_assessed(restarted)");
    }
    let Started { models, configuration, commission } = started;
    let settings = &context.in_force.settings;
    let data = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "policy": settings.policy,
        "notice": settings.notice,
        "retention_s": context.policy.retention_s,
        "calibration": settings.calibration,
        "models": models,
        "liveness": context.config.liveness.mode.as_str(),
    });
    let (policy, configuration) = (settings.policy.to_string(), configuration.to_string());
    context
        .store(move |s| {
            s.record(now.wall, Kind::Started, &data)?;
            changed(s, "configuration", &configuration, Kind::ConfigurationChanged, now.wall)?;
            changed(s, "policy", &policy, Kind::PolicyChanged, now.wall)?;
            s.take_up(commission, now)
        })
        .await?;
    context.keep_marks().await?;
    context.export_audit(&context.watch.audit_export)?;
    context.checkpoint()?;
    Ok(())
}

/// What the first records say beside what is in force.
struct Started {
    /// SHA-256 of each model, by role.
    models: BTreeMap<String, Sha256>,
    /// SHA-256 of the configuration file.
    configuration: Sha256,
    /// What the box must be commissioned for.
    commission: super::commission::InForce,
}

/// Records that a digest differs from that of the last start, once.
fn changed(store: &mut Store, what: &str, digest: &str, kind: Kind, now: WallTime) -> Result<(), StoreError> {
    let before = store.note(what)?;
    match before.as_deref() {
        Some(known) if known == digest => Ok(()),
        before => {
            let data = json!({ "from": before, "to": digest });
            store.keep_note(what, digest, before.map(|_| (kind, &data)), now)
        }
    }
}

/// Where the agent listens.
struct Addresses {
    his: SocketAddr,
    hl7: Vec<SocketAddr>,
    metrics: Option<SocketAddr>,
}

fn announce(at: &Addresses, ready_file: Option<&Path>) -> Result<(), AgentError> {
    let Addresses { his, hl7, metrics } = at;
    info!(%his, ?hl7, metrics = metrics.map(tracing::field::display), "listening");
    if let Some(path) = ready_file {
        let part = path.with_extension("part");
        let mut ready = json!({ "his": his, "hl7": hl7 });
        if let Some(metrics) = metrics {
            ready["metrics"] = json!(metrics);
        }
        std::fs::write(&part, ready.to_string())?;
        std::fs::rename(part, path)?;
    }
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    Ok(())
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
    let now = context.moment();
    let left = context.in_flight.load(Ordering::Relaxed);
    let counts = context.verdicts();
    let recorded = context
        .store(move |s| {
            let interrupted = s.end_interrupted(now)?;
            s.record(now.wall, Kind::VerdictCounts, &json!(counts))?;
            s.record(now.wall, Kind::Stopped, &json!({ "interrupted": interrupted }))
        })
        .await;
    let marked = context.keep_marks().await;
    let exported = context.export_audit(&context.watch.audit_export);
    let signed = context.checkpoint();
    for e in [
        recorded.err().map(|e| e.to_string()),
        marked.err().map(|e| e.to_string()),
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

#[cfg(test)]
mod tests {
    use super::super::journal::tests::{NOW, store};
    use super::super::outbox::tests::alerted;
    use super::*;
    use crate::crypto::sign::SigningKey;
    use crate::protocol::alert::Event;

    fn log(dir: &Path, store: &Store) -> AuditLog {
        let key = SigningKey::from_pkcs8(&std::fs::read(dir.join("key.der")).unwrap()).unwrap();
        AuditLog::open(&audit::folder(dir), key, store.epoch(), NOW.wall).unwrap()
    }

    /// A start: rows go to the log as the running agent moves them.
    fn start(dir: &Path) -> (Store, AuditLog) {
        let mut store = store(dir);
        let mut log = log(dir, &store);
        leave_a_restored_epoch(&mut store, &mut log, NOW.wall).unwrap();
        export(&mut store, &mut log);
        (store, log)
    }

    fn export(store: &mut Store, log: &mut AuditLog) {
        for row in store.audit_rows(100).unwrap() {
            if row.row > log.last_row() {
                log.append(NOW.wall, row.kind, row.data, Some(row.row)).unwrap();
            }
        }
        store.exported(i64::MAX).unwrap();
    }

    fn verdict(store: &mut Store, name: &str) {
        store.record(NOW.wall, Kind::Verdict, &json!({ "settlement": name })).unwrap();
    }

    fn in_the_log(dir: &Path, kind: Kind) -> Vec<String> {
        let mut found = Vec::new();
        let mut see = |r: &audit::Record, _| {
            if r.kind == kind {
                found.push(r.data["settlement"].as_str().or(r.data["reason"].as_str()).unwrap().to_owned());
            }
        };
        audit::walk(&audit::folder(dir), None, &mut see).unwrap();
        found
    }

    fn links(store: &Store) -> Vec<(crate::protocol::id::Epoch, u64)> {
        let link = |bytes: &[u8]| Event::from_bytes(bytes).unwrap().chain;
        store.waiting(9).unwrap().iter().map(|o| link(&o.bytes)).map(|l| (l.epoch, l.seq)).collect()
    }

    #[test]
    fn a_database_from_a_backup_begins_a_new_epoch_and_loses_no_row() {
        let dir = tempfile::tempdir().unwrap();
        let (db, backup) = (dir.path().join("agent.db"), dir.path().join("backup.db"));
        let (mut s, mut l) = start(dir.path());
        verdict(&mut s, "before");
        export(&mut s, &mut l);
        s.empty_log().unwrap();
        std::fs::copy(&db, &backup).unwrap();
        ["lost", "too"].iter().for_each(|name| verdict(&mut s, name));
        alerted(&mut s, "S1");
        export(&mut s, &mut l);
        let (former, sent) = (s.epoch(), links(&s));
        drop((s, l));

        // Nothing is amiss: the epoch goes on.
        assert_eq!(start(dir.path()).0.epoch(), former);

        for round in 1..=2 {
            ["agent.db-wal", "agent.db-shm"].iter().for_each(|f| {
                let _ = std::fs::remove_file(dir.path().join(f));
            });
            std::fs::copy(&backup, &db).unwrap();
            let (mut s, mut l) = start(dir.path());
            assert_ne!(s.epoch(), former);
            assert_eq!(l.head().unwrap().epoch, s.epoch());
            assert_eq!(in_the_log(dir.path(), Kind::EpochBegun), vec!["database_older_than_log"; round]);
            verdict(&mut s, "after");
            alerted(&mut s, "S2");
            export(&mut s, &mut l);
            let told = in_the_log(dir.path(), Kind::Verdict);
            assert_eq!(told.iter().filter(|name| *name == "after").count(), round, "{told:?}");
            // No number of the former chain is given out again.
            assert!(links(&s).iter().all(|link| !sent.contains(link)));
            let epoch = s.epoch();
            drop((s, l));
            assert_eq!(start(dir.path()).0.epoch(), epoch);
        }
    }

    #[test]
    fn a_database_made_anew_beside_a_log_keeps_the_epoch_it_was_made_with() {
        let dir = tempfile::tempdir().unwrap();
        let (mut s, mut l) = start(dir.path());
        verdict(&mut s, "S1");
        export(&mut s, &mut l);
        drop((s, l));
        ["agent.db", "agent.db-wal", "agent.db-shm"].iter().for_each(|f| {
            let _ = std::fs::remove_file(dir.path().join(f));
        });
        start(dir.path());
        assert!(in_the_log(dir.path(), Kind::EpochBegun).is_empty());
    }
}
