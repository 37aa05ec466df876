//! The pixel canary: `make canary`.
//!
//! Runs whole verifications in a real hospital on loopback and searches
//! everything that the agent writes, sends and keeps for the faces it looked at.
//! `--leaky PROGRAM` takes an agent with leaks built in: then each must be
//! found; with `--proof` that is success, without it a leak that is found is the
//! failure that it would be. `--short` does not wait for the minute's posture.

#[path = "../tests/it/support/canary/mod.rs"]
mod canary;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use canary::leaks;
use canary::run::{Found, Wish, run};
use counterproof::bench::hospital;
use counterproof::vision::telemetry;
use hospital::Programs;
use serde_json::json;

/// What was asked for.
struct Arguments {
    leaky: Option<PathBuf>,
    proof: bool,
    short: bool,
}

impl Arguments {
    fn read() -> io::Result<Self> {
        let mut out = Self { leaky: None, proof: false, short: false };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--leaky" => out.leaky = words.next().map(PathBuf::from),
                "--proof" => out.proof = true,
                "--short" => out.short = true,
                other => {
                    let known = "--leaky PROGRAM, --proof, --short";
                    return Err(io::Error::other(format!("`{other}` is not known; known: {known}")));
                }
            }
        }
        Ok(out)
    }
}

fn main() -> ExitCode {
    if let Err(e) = telemetry::switch_off() {
        eprintln!("canary: {e}");
        return ExitCode::FAILURE;
    }
    let done = Arguments::read().and_then(|arguments| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let found = runtime.block_on(look(&arguments))?;
        print!("{}", found.table());
        Ok(if arguments.leaky.is_some() { judge_leaks(&found, arguments.proof) } else { judge(&found) })
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("canary: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn look(arguments: &Arguments) -> io::Result<Found> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = std::env::current_exe()?;
    let release = beside.ancestors().nth(2).unwrap_or(root);
    let dir = root.join("target/canary/run");
    let _ = std::fs::remove_dir_all(&dir);
    let agent = arguments.leaky.clone().unwrap_or_else(|| release.join("counterproof"));
    let wish = Wish {
        programs: Programs { agent, bureau: release.join("counterproof-bureau") },
        models: root.join("models/models.toml"),
        leaks: if arguments.leaky.is_some() { leaks::variable() } else { String::new() },
        posture_after: !arguments.short,
    };
    run(&dir, wish).await
}

/// An ordinary agent: nothing may be found.
fn judge(found: &Found) -> bool {
    println!("{}", found.json());
    found.clean()
}

/// An agent with leaks: each must be found.
fn judge_leaks(found: &Found, proof: bool) -> bool {
    let leaks = leaks::found(found);
    println!("\nleaks that were built in:");
    for (leak, found) in &leaks {
        println!("  {leak:<24} {}", if *found { "found" } else { "NOT FOUND" });
    }
    let seen = leaks.iter().filter(|(_, found)| *found).count();
    let mut line = found.json();
    line["leaks_built_in"] = json!(leaks.len());
    line["leaks_found"] = json!(seen);
    println!("{line}");
    proof && seen == leaks.len() && !leaks.is_empty() && found.faults().is_empty()
}
