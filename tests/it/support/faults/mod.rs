//! The fault harness: real programs, real work, and everything that can break.
//! `examples/faults.rs` runs all of it, `tests/it/faults.rs` a quick selection.
//! What is broken how, and what a model of it leaves out: `docs/faults.md`.

#![allow(dead_code)]

pub mod cuts;
pub mod dice;
pub mod oracle;
pub mod power;
pub mod process;
pub mod trace;
pub mod world;
