//! Judging alerts: what people may do with one, in which order, and what helps them.
//!
//! Promises: nothing here decides; an alert's state changes by a person's [`state::Step`]
//! alone, and only along the arrows of [`state::State::after`]. What was said of an
//! alert is told only as far as its calibration's data go ([`rarity`]).
//!
//! [`letters`] are the ways to evidence without a picture, [`agreement`] is a figure of
//! the whole desk, [`config`] says when answers are due. What it does not do: keep
//! anything; that is the store's.

pub mod agreement;
pub mod config;
pub mod letters;
pub mod proxies;
pub mod rarity;
pub mod state;
pub(super) mod words;

pub use agreement::Agreement;
pub use config::ReviewConfig;
pub use letters::{LetterKind, LetterState};
pub use state::{Claim, Decision, Refusal, Soundness, State, Step};
