//! `counterproof aim`: a page that helps to aim one camera.
//!
//! It is one of two named exceptions from "no settlement, no biometrics": faces
//! are looked for so that a technician sees where the camera points. Hence:
//!
//! - it serves on loopback alone, under an address that nobody can guess, for
//!   at most [`MOST`];
//! - it begins only when that is written down for the audit log, and its end is
//!   written down too ([`record`]);
//! - faces are looked for only when the page asks, and only in the region; the
//!   recognizer is not even loaded ([`looker`]);
//! - the page shows outlines and numbers; with `--picture` coarse blocks too,
//!   for [`PICTURE`] from the first one ([`mosaic`]);
//! - it writes nothing but the region ([`region`]) and the view to come back to
//!   (`camera::health`), and only when told to.
//!
//! Like the agent it closes the shutters first, and its detector is made to
//! forget at the end.

mod looker;
mod messages;
mod mosaic;
mod record;
mod region;
mod server;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

use crate::camera::CameraError;
use crate::http::server::{Handle, Listener};
use crate::privacy::audit::Kind;
use crate::protocol::id::CounterId;
use crate::settings::SettingsError;
use crate::shutters;
use crate::vision::finder::Finder;
use crate::vision::manifest::{Manifest, ManifestError};
use crate::vision::model::ModelError;

use super::agent::{AgentError, today};
use super::config::Config;
use super::glimpse;
use looker::Looker;
use server::Aim;

/// The longest that one aiming may last.
pub const MOST: Duration = Duration::from_secs(600);
/// How long the picture is shown, from the first that was.
pub const PICTURE: Duration = Duration::from_secs(60);
/// How long answers under way get at the end.
const FINISH: Duration = Duration::from_secs(1);

/// What was asked for.
pub struct Asked {
    /// The configuration.
    pub config: PathBuf,
    /// Which counter.
    pub counter: CounterId,
    /// Whether the picture is shown, in blocks.
    pub picture: bool,
    /// Where the page is.
    pub listen: SocketAddr,
    /// How long; more than [`MOST`] is [`MOST`].
    pub time: Duration,
}

/// Why a camera was not aimed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // those that are their source
pub enum AimError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Others could look.
    #[error(
        "--listen: found {0}; allowed: a loopback address, such as 127.0.0.1:8705: the page has no password. From another machine: ssh -L 8705:127.0.0.1:8705 HOST"
    )]
    NotLoopback(SocketAddr),
    /// No such counter.
    #[error("--counter: found `{found}`; allowed: {known}, as the configuration names them")]
    NoCounter {
        /// What was asked for.
        found: CounterId,
        /// What there is.
        known: String,
    },
    /// The camera cannot be opened.
    #[error("camera of {counter}: {source}{advice}")]
    Camera {
        /// Whose.
        counter: CounterId,
        /// What it said.
        source: CameraError,
        /// What to do, where more is known.
        advice: &'static str,
    },
    /// It cannot be written down.
    #[error("the audit log must say who aims, and it cannot be told: {0}")]
    Record(#[source] AgentError),
    /// No randomness for the page's address.
    #[error("the system gave no randomness: no address for the page can be made that nobody guesses")]
    NoRandomness,
}

/// Serves the page until its time is over, somebody ends it, or a signal comes.
///
/// # Errors
/// Whatever keeps it from beginning, or its end from being written down.
pub fn run(asked: &Asked) -> Result<(), AimError> {
    shutters::close();
    if !asked.listen.ip().is_loopback() {
        return Err(AimError::NotLoopback(asked.listen));
    }
    // The notice may still have to be printed: its region is what is sought here.
    let (config, _) = Config::read_before_notice(&asked.config, today())?;
    let Some(counter) = config.counters.iter().find(|c| c.id == asked.counter).cloned() else {
        let known = config.counters.iter().map(|c| c.id.as_str()).collect::<Vec<_>>().join(", ");
        return Err(AimError::NoCounter { found: asked.counter.clone(), known });
    };
    let manifest = Manifest::read(&config.models.manifest)?;
    let finder = Finder::load(&manifest, &config.models.wanted.detector)?;
    let listener = Listener::bind(asked.listen, None)?;
    let address = listener.address()?;
    let token = token()?;
    let (region, id) = (counter.region, counter.id.clone());
    let looker = Looker::open(finder, counter).map_err(|source| {
        let advice = glimpse::held_by_agent(&config, &source.to_string()).unwrap_or_default();
        AimError::Camera { counter: id.clone(), source, advice }
    })?;
    let time = asked.time.min(MOST);
    let begun = json!({
        "counter": id, "by": record::who(), "seconds": time.as_secs_f32().ceil(), "picture": asked.picture,
    });
    record::leave(&config, Kind::AimBegun, &begun).map_err(AimError::Record)?;
    let aim = Arc::new(Aim::new(looker, region, &config.agent.state, asked, &token, time));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    announce(asked, address, &token, time);
    let served = runtime.block_on(serve(listener, Arc::clone(&aim), time));
    runtime.shutdown_timeout(FINISH);
    let why = served.as_ref().map_or("failed", |why| why);
    let told = aim.told();
    let ended = json!({
        "counter": id, "why": why, "looks": told.looks, "pictures": told.pictures, "regions_written": told.regions,
        "references_kept": told.references,
    });
    let recorded = record::leave(&config, Kind::AimEnded, &ended).map_err(AimError::Record);
    if let Some(Err(e)) = aim.take_looker().map(Looker::forget) {
        // The process ends at once, and its memory with it.
        warn!(error = %e, "the detector could not be made to forget");
    }
    served?;
    recorded?;
    println!("ended ({why}); begin and end stand in the audit log");
    Ok(())
}

/// Why it ended: `time`, `asked` or `signal`.
async fn serve(listener: Listener, aim: Arc<Aim>, time: Duration) -> Result<&'static str, std::io::Error> {
    let handle = Handle::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let serving = tokio::spawn(listener.serve(server::router(Arc::clone(&aim)), handle.clone()));
    let why = tokio::select! {
        () = tokio::time::sleep(time) => "time",
        () = aim.told_to_end() => "asked",
        _ = terminate.recv() => "signal",
        _ = interrupt.recv() => "signal",
    };
    handle.stop(FINISH);
    serving.await.map_err(std::io::Error::other)??;
    Ok(why)
}

/// Part of the page's address, so that other users of this machine cannot look.
fn token() -> Result<String, AimError> {
    let mut bytes = [0u8; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| AimError::NoRandomness)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn announce(asked: &Asked, address: SocketAddr, token: &str, time: Duration) {
    let Asked { counter, .. } = asked;
    println!("Aiming {counter} for {} s. Open on this machine:", time.as_secs_f32().ceil());
    println!("    http://{address}/{token}/");
    let port = address.port();
    println!("from another machine: ssh -L {port}:{address} HOST, then the same address there.");
    if asked.picture {
        println!("The picture is shown in coarse blocks for {} s, faces as one tone.", PICTURE.as_secs());
    } else {
        println!("Outlines and numbers only; --picture shows coarse blocks too.");
    }
    println!("Ctrl-C ends it. Who aimed what, from when to when, goes into the audit log.");
}
