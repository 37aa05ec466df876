//! Running the bureau: both listeners, the purge, and the end.
//!
//! Ready means that both listeners are bound and the store is open; that is
//! when systemd is told and the ready file appears. SIGTERM or SIGINT lets
//! what runs finish, for at most [`GRACE`].

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::accounts::oidc::SignOn;
use super::api::{self, Api, Callers};
use super::cases::Practice;
use super::check_ins::CheckIns;
use super::config::Config;
use super::console::{self, Console};
use super::ingest::Ingest;
use super::join::{self, Codes, Joins};
use super::rate::Limiter;
use super::store::Store;
use super::transforms::Transforms;
use super::watch::Watch;
use super::{BureauError, open_store, retention, signing_key};
use crate::clock::{Clock, SystemClock};
use crate::http::metrics;
use crate::http::server::{Handle, Listener};
use crate::shutters;

/// How long requests in flight may take when the program is told to end.
pub const GRACE: Duration = Duration::from_secs(4);

/// The addresses that were bound.
#[derive(Debug, Clone, Copy, serde::Serialize)]
struct Ready {
    agents: SocketAddr,
    console: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    join: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<SocketAddr>,
}

/// Serves until told to end.
///
/// # Errors
/// [`BureauError`] naming what cannot be used, or which listener broke.
pub async fn serve(config: Config, ready_file: Option<&Path>) -> Result<(), BureauError> {
    shutters::close();
    // Before anything is announced: who sees the ready file may send a signal at once.
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let store = Arc::new(open_store(&config).await?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let key = Arc::new(signing_key(&config)?);
    store.note_bureau_key(&key.public(), clock.now().wall).await?;
    tracing::info!(key = %key.public().id(), public_key = key.public().to_base64(), "signing");
    let tls = config.server.tls.server()?;
    let agents = Listener::bind(config.server.listen, Some(Arc::new(tls)))?;
    let console_tls = config.console.tls.as_ref().map(|t| t.server()).transpose()?;
    let console = Listener::bind(config.console.listen, console_tls.map(Arc::new))?;
    let page = config.metrics.as_ref().map(|m| Listener::bind(m.listen, None)).transpose()?;
    let metrics = page.as_ref().map(Listener::address).transpose()?;
    let address = agents.address()?;
    let joins = Joins::open(&config, store.clone(), clock.clone(), (address.port(), key.public()))?;
    let joining = match &config.join {
        Some(join) => {
            Some(Listener::bind(join.listen, Some(Arc::new(config.server.tls.server_for_anybody()?)))?)
        }
        None => None,
    };
    let join = joining.as_ref().map(Listener::address).transpose()?;
    let ready = Ready { agents: address, console: console.address()?, join, metrics };
    let watch = Watch::new(clock.clone());

    let api = Api {
        store: store.clone(),
        ingest: Ingest::start(store.clone()),
        callers: Callers::default(),
        clock: clock.clone(),
        limiter: Limiter::new(config.references.per_agent_per_minute),
        transforms: Transforms::default(),
        key: key.clone(),
    };
    let handle = Handle::new();
    let mut listeners = JoinSet::new();
    let mut start = |name: &str, listener: Listener, app: Router| {
        listeners.spawn(listener.beating(watch.listener(name)).serve(app, handle.clone()));
    };
    if let Some(listener) = page {
        let page = metrics::record(super::metrics::ALL, clock.now())?;
        super::metrics::begin();
        tokio::spawn(page.clone().keep_up());
        start("metrics", listener, watch.page(page, store.clone()));
    }
    start("agents", agents, api::router(Arc::new(api)));
    if let Some((listener, joins)) = joining.zip(joins) {
        start("join", listener, join::router(Arc::new(joins)));
    }
    let check_ins = CheckIns::open(&config, store.clone(), clock.clone())?.map(Arc::new);
    let codes = config.join.is_some().then(|| Codes::of(&config)).transpose()?;
    let origin = config.console.origin(ready.console);
    let mut console_of =
        Console::new(store.clone(), config.console, config.retention, clock.clone(), key.clone())
            .with_figures(config.figures)
            .with_review(config.review)
            .with_practice(Practice::new(config.cases, &config.calendar))
            .with_check_ins(check_ins)
            .with(codes, config.rights);
    if let Some(oidc) = config.oidc {
        console_of = console_of.with_single_sign_on(SignOn::new(oidc, &origin)?);
    }
    let console_of = Arc::new(console_of);
    start("console", console, console::router(Arc::clone(&console_of)));
    let telling = tokio::spawn({
        let console = Arc::clone(&console_of);
        async move { console.keep_telling().await }
    });
    let asking = tokio::spawn(watch.ask(store.clone()));
    let purging =
        tokio::spawn(retention::keep_purging(store.clone(), config.retention, clock, watch.clone()));
    watch.hearts.watch()?;
    announce(ready, ready_file)?;

    let broken = tokio::select! {
        _ = term.recv() => None,
        _ = int.recv() => None,
        ended = listeners.join_next() => ended,
    };
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("ending");
    console_of.end_streams();
    handle.stop(GRACE);
    telling.abort();
    asking.abort();
    purging.abort();
    while listeners.join_next().await.is_some() {}
    close(&store).await;
    match broken {
        None => Ok(()),
        Some(Ok(Err(e))) => Err(e.into()),
        Some(_) => Err(io::Error::other("a listener ended by itself").into()),
    }
}

fn announce(ready: Ready, ready_file: Option<&Path>) -> io::Result<()> {
    tracing::info!(agents = %ready.agents, console = %ready.console, "listening");
    if let Some(path) = ready_file {
        let half = path.with_extension("part");
        std::fs::write(&half, serde_json::to_vec(&ready)?)?;
        std::fs::rename(&half, path)?;
    }
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    Ok(())
}

async fn close(store: &Store) {
    if tokio::time::timeout(Duration::from_millis(500), store.close()).await.is_err() {
        tracing::warn!("the store was still busy; what was not committed is rolled back at the next start");
    }
}
