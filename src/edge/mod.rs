//! The agent on the box.
//!
//! The way of a settlement: [`intake`] checks and journals it, the counter's
//! actor ([`counter`]) owns its window, [`references`] are fetched,
//! [`workers`] look, [`store`] records the verdict and holds a mismatch, and
//! [`delivery`] brings its alert to the bureau. [`agent`] starts and stops it
//! all.

pub mod agent;
pub mod alerts;
pub mod check;
pub mod config;
pub mod context;
pub mod counter;
pub mod delivery;
pub mod inspect;
pub mod intake;
pub mod journal;
#[cfg(feature = "leak")]
mod leak;
pub mod outbox;
pub mod posture;
pub mod purge;
pub mod references;
pub mod shutters;
pub mod store;
pub mod workers;
