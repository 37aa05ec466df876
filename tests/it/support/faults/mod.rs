//! The fault harness: real programs, real work, and everything that can break.
//! `examples/faults.rs` runs all of it, `tests/it/faults.rs` a quick selection.
//! What is broken how, and what a model of it leaves out: `docs/faults.md`.

#![allow(dead_code)]

pub mod clocks;
pub mod cuts;
pub mod dice;
pub mod disk;
pub mod oracle;
pub mod peers;
pub mod power;
pub mod process;
pub mod proxy;
pub mod trace;
pub mod window;
pub mod world;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::pin::Pin;

use serde_json::Value;

use oracle::Findings;
use world::Place;

/// How much of a scenario is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What fits into `cargo test`.
    Quick,
    /// All of it.
    Full,
}

/// What a scenario came to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub findings: Findings,
    /// What was measured on the way, by name.
    pub figures: BTreeMap<&'static str, Value>,
}

impl Outcome {
    /// With what the oracle found.
    pub fn of(findings: Findings) -> Self {
        Self { findings, figures: BTreeMap::new() }
    }

    /// With a figure more.
    pub fn figure(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.figures.insert(name, value.into());
        self
    }
}

/// An error where a scenario did not go as it must.
pub fn must(so: bool, otherwise: impl FnOnce() -> String) -> io::Result<()> {
    if so { Ok(()) } else { Err(io::Error::other(otherwise())) }
}

type Run = Pin<Box<dyn Future<Output = io::Result<Outcome>>>>;

/// One thing that breaks.
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(&Path, &Place, Extent) -> Run,
    /// Why it is not run yet, where it is known to fail.
    pub off: Option<&'static str>,
}

macro_rules! scenarios {
    ($($room:ident :: $name:ident $(: off $why:literal)?,)*) => {
        /// All of them.
        pub const SCENARIOS: &[Scenario] = &[$(Scenario {
            name: stringify!($name),
            run: |dir, place, extent| {
                let (dir, place) = (dir.join(stringify!($name)), place.clone());
                Box::pin(async move { $room::$name(&dir, &place, extent).await })
            },
            off: [$(Some($why),)? None][0],
        },)*];
    };
}

scenarios! {
    peers::ill_bureau,
    peers::away_bureau,
    peers::restored_bureau,
    peers::refused_alert,
    peers::restored_behind_a_refusal,
    peers::reimaged_box,
    peers::name_not_found,
    disk::disk_full,
    disk::disk_read_only,
    disk::input_output_errors,
    disk::no_descriptors,
    clocks::clock_steps,
    clocks::a_month_without_the_bureau,
    clocks::a_year_ahead_with_alerts_waiting,
    window::sick_cameras,
    window::settlement_storm,
    window::memory_ends,
}
