//! Breaks everything that can break, and counts what was lost: `make faults`.
//!
//! `--cuts N` kills that often (`docs/faults.md` says how); `--only NAME` runs
//! one scenario. The last line is one JSON object; the exit code tells whether
//! every promise was kept.

#[path = "../tests/it/support/faults/mod.rs"]
mod faults;
#[path = "../tests/it/support/hospital.rs"]
mod hospital;
#[path = "../tests/it/support/pki.rs"]
mod pki;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use faults::cuts::{self, Campaign};
use faults::world::Place;

/// What to break.
#[derive(Parser)]
struct Arguments {
    /// How many kills of agent and bureau.
    #[arg(long, default_value_t = 200)]
    cuts: u64,
    /// Worlds side by side.
    #[arg(long, default_value_t = 2)]
    worlds: u64,
    /// Power cuts.
    #[arg(long, default_value_t = 0)]
    power: u64,
    /// Start of the chances; the same seed plans the same cuts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map(|r| r.block_on(run(&arguments))) {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::FAILURE,
        Ok(Err(e)) | Err(e) => {
            eprintln!("faults: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> io::Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = std::env::current_exe()?;
    let release = beside.ancestors().nth(2).unwrap_or(root).to_owned();
    let place = Place {
        agent: release.join("counterproof"),
        bureau: release.join("counterproof-bureau"),
        models: root.join("models/models.toml"),
    };
    let dir = root.join("target/faults");
    let _ = std::fs::remove_dir_all(&dir);
    let begun = Instant::now();
    if arguments.power > 0 {
        let out = faults::power::power_cuts(&dir.join("power"), &place, arguments.power, arguments.seed, |n| {
            println!("{:>6.1} s  power cut {n}", begun.elapsed().as_secs_f64());
        })
        .await?;
        println!("{out:#?}");
    }
    let mut campaign = Campaign::default();
    let mut running = tokio::task::JoinSet::new();
    for n in 0..arguments.worlds {
        let share = arguments.cuts / arguments.worlds + u64::from(n < arguments.cuts % arguments.worlds);
        let (dir, place, seed) = (dir.clone(), place.clone(), arguments.seed * 1000 + n);
        running.spawn(async move {
            cuts::campaign(&dir, &place, share, seed, |done| {
                println!("{:>6.1} s  world {n}: {done} of {share} cuts", begun.elapsed().as_secs_f64());
            })
            .await
        });
    }
    while let Some(ended) = running.join_next().await {
        campaign.add(ended.map_err(io::Error::other)??);
    }
    for (name, n) in &campaign.cuts {
        println!("{n:>6} {name}");
    }
    println!("{}", serde_json::to_string(&campaign.findings)?);
    println!("{:?}", begun.elapsed());
    Ok(campaign.findings.clean())
}
