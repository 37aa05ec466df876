//! The agent on the box.
//!
//! The way of a settlement: [`intake`] takes it, or [`his`] reads it from the HIS's own
//! messages, [`desk`] journals it, the counter's
//! actor ([`counter`]) owns its window, [`references`] are fetched,
//! [`workers`] look, [`store`] records the verdict and holds a mismatch, and
//! [`delivery`] brings its alert to the bureau. [`agent`] starts and stops it
//! all; [`supervisor`] sees that it gets on, [`metrics`] counts.

pub mod agent;
pub mod aim;

pub mod alerts;
pub mod cameras;
pub mod check;
pub mod commission;
pub mod config;
pub mod context;
pub mod counter;
mod data_keys;
pub mod delivery;
pub mod desk;
pub mod entrance;
pub mod eyes;
pub mod gauges;
mod glimpse;
pub mod health;
pub mod his;
pub mod init;

pub mod inspect;
pub mod intake;
pub mod join;
pub mod journal;
#[cfg(feature = "leak")]
mod leak;
mod light;
mod marks;
pub mod metrics;
mod mllp;
pub mod names;
pub mod openapi;
pub mod opened;
pub mod outbox;
pub mod papers;
pub mod places;
pub mod policy;
pub mod posture;
pub mod purge;
pub mod queue;
pub mod references;
pub mod relay;
pub mod rosters;
pub mod standing;
pub mod stays;
pub mod store;
pub mod supervisor;
mod upkeep;
pub mod views;
pub mod watched;
mod windows;
pub mod workers;
