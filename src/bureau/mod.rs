//! The bureau: receives alerts, hands out references, shows what it holds.
//!
//! Promises: what it acknowledges is committed; only signed words of boxes on
//! record are stored; what is about a person is sealed on the disk, bounded in
//! time, and never in a log. It makes no decision about an alert: people do.
//!
//! [`api`] is the boxes' side, [`console`] the people's, [`accounts`] who they are, [`store`] what both
//! stand on; [`retention`] empties it, [`enrol`] fills it with references,
//! [`exempt`] keeps cardholders from being judged, [`hospitals`] says where boxes stand,
//! [`check_ins`] takes photographs from telephones, one to one,
//! [`review`] is what people do with alerts, [`cases`] what confirmed ones become,
//! [`bundle`] takes out what others check, [`commission`] says which boxes may raise
//! alerts, [`acts`] says who did what, [`figures`] what all of it says together;
//! [`watch`] sees that all gets on, [`metrics`] counts.

pub mod accounts;
pub mod acts;
pub mod agents;
pub mod api;
pub mod bundle;
pub mod cases;
pub mod certificates;
pub mod check_ins;
pub mod commission;
pub mod config;
pub mod console;
pub mod enrol;
pub mod exempt;
pub mod figures;
pub mod fill;
pub mod handouts;
pub mod hospitals;
pub mod ingest;
pub mod join;
mod lines;
pub mod metrics;
pub mod policies;
pub mod privacy;
pub mod rate;
pub mod retention;
pub mod review;
pub mod rights;
pub mod rollouts;
pub mod seed;
pub mod serve;
pub mod settled;
pub mod statistics;
pub mod store;
pub mod transforms;
pub mod watch;

use std::io;

use self::config::Config;
use self::store::{NoDatabase, Store, StoreError};
use crate::crypto::keys::{KeyError, read_root_key, read_signing_key};
use crate::crypto::sign::SigningKey;
use crate::crypto::tls::TlsError;
use crate::http::metrics::MetricsError;
use crate::settings::SettingsError;
use crate::vision::manifest::Manifest;
use crate::vision::model::ModelError;
use crate::vision::{Vision, Wanted};

/// Why the bureau cannot start, or a command of it failed.
#[derive(Debug, thiserror::Error)]
pub enum BureauError {
    /// The configuration was refused.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The root key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Certificates or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Metrics cannot be recorded.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A listener or a file failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The models cannot be used.
    #[error(transparent)]
    Models(#[from] ModelError),
    /// What was named is no database.
    #[error("store.database: {0}")]
    Database(#[from] NoDatabase),
    /// A command was asked for what is not so.
    #[error("{0}")]
    Command(String),
}

/// Opens the store that the configuration names.
///
/// # Errors
/// [`BureauError`], above all for a wrong or exposed root key.
pub async fn open_store(config: &Config) -> Result<Store, BureauError> {
    let root = read_root_key(&config.store.root_key)?;
    Ok(Store::open(config.store.place()?, &root).await?)
}

/// Reads the key with which the bureau signs.
///
/// # Errors
/// If it is missing, exposed, or something else.
pub fn signing_key(config: &Config) -> Result<SigningKey, BureauError> {
    Ok(read_signing_key(&config.keys.signing)?)
}

/// Loads the models that the configuration names.
///
/// # Errors
/// [`BureauError`] naming the model that is missing or not the manifest's.
pub fn load_vision(config: &Config) -> Result<Vision, BureauError> {
    let models = &config.models;
    let manifest = Manifest::read(&models.manifest).map_err(ModelError::from)?;
    // Photographs are enrolled by people who see them; nobody holds one to a camera.
    let (detector, recognizer) = (models.detector.clone(), models.recognizer.clone());
    let wanted = Wanted { detector, recognizer, liveness: None };
    Ok(Vision::load(&manifest, &wanted)?)
}
