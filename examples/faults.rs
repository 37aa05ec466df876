//! Breaks everything that can break, and counts what was lost: `make faults`.
//!
//! `--cuts N` kills agent and bureau that often, cuts the power of a recorded
//! life a tenth as often, and runs every scenario (`docs/faults.md`). The last
//! line is one JSON object; the exit code tells whether every promise was kept.
//! What went wrong is left in `target/faults`.

#[path = "../tests/it/support/faults/mod.rs"]
mod faults;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use counterproof::bench::hospital::{self, pki};
use counterproof::vision::telemetry;
use faults::cuts::{self, Campaign};
use faults::oracle::Findings;
use faults::power::{self, PowerCuts};
use faults::world::Place;
use faults::{Extent, SCENARIOS};
use serde_json::{Value, json};

/// What to break.
#[derive(Parser)]
struct Arguments {
    /// Kills of agent and bureau.
    #[arg(long, default_value_t = 200)]
    cuts: u64,
    /// Power cuts; a tenth of the kills unless said.
    #[arg(long)]
    power: Option<u64>,
    /// Worlds that are cut side by side.
    #[arg(long, default_value_t = 2)]
    worlds: u64,
    /// Where chance begins; the same seed plans the same cuts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run one scenario alone, or `cuts`, `power`, `scenarios`; with a name,
    /// what is switched off is run too.
    #[arg(long)]
    only: Option<String>,
}

impl Arguments {
    fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

struct Harness {
    arguments: Arguments,
    place: Place,
    dir: PathBuf,
    begun: Instant,
}

fn main() -> ExitCode {
    if let Err(e) = telemetry::switch_off() {
        eprintln!("faults: {e}");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map(|r| r.block_on(run(Arguments::parse()))) {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::FAILURE,
        Ok(Err(e)) | Err(e) => {
            eprintln!("faults: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> io::Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = std::env::current_exe()?;
    let release = beside.ancestors().nth(2).unwrap_or(root).to_owned();
    let place = Place {
        agent: release.join("counterproof"),
        bureau: release.join("counterproof-bureau"),
        models: root.join("models/models.toml"),
        scratch: root.join("target/faults"),
    };
    let dir = place.scratch.clone();
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir)?;
    let harness = Harness { arguments, place, dir, begun: Instant::now() };
    let campaign = harness.kill().await?;
    let power = harness.cut_power().await?;
    let scenarios = harness.scenarios().await;
    Ok(harness.report(campaign, power, scenarios))
}

/// What the scenarios came to.
#[derive(Default)]
struct Scenarios {
    passed: Vec<&'static str>,
    failed: Vec<String>,
    off: Vec<String>,
    findings: Findings,
    figures: BTreeMap<&'static str, Value>,
}

impl Harness {
    fn say(&self, what: &str) {
        println!("{:>7.1} s  {what}", self.begun.elapsed().as_secs_f64());
    }

    async fn kill(&self) -> io::Result<Campaign> {
        let mut campaign = Campaign::default();
        if !self.arguments.wants("cuts") {
            return Ok(campaign);
        }
        let (all, worlds) = (self.arguments.cuts, self.arguments.worlds.max(1));
        let mut running = tokio::task::JoinSet::new();
        for n in 0..worlds {
            let share = all / worlds + u64::from(n < all % worlds);
            let (dir, place, begun) = (self.dir.clone(), self.place.clone(), self.begun);
            let seed = self.arguments.seed * 1000 + n;
            running.spawn(async move {
                let mut said = Duration::ZERO;
                let progress = |done| {
                    let now = begun.elapsed();
                    if now > said + Duration::from_secs(5) {
                        said = now;
                        println!("{:>7.1} s  world {n}: {done} of {share} cuts", now.as_secs_f64());
                    }
                };
                cuts::campaign(&dir, &place, share, seed, progress).await
            });
        }
        while let Some(ended) = running.join_next().await {
            campaign.add(ended.map_err(io::Error::other)??);
        }
        for (name, n) in &campaign.cuts {
            println!("{n:>9}  {name}");
        }
        Ok(campaign)
    }

    async fn cut_power(&self) -> io::Result<PowerCuts> {
        let wanted = self.arguments.power.unwrap_or(self.arguments.cuts.div_ceil(10));
        if wanted == 0 || !self.arguments.wants("power") {
            return Ok(PowerCuts::default());
        }
        power::power_cuts(&self.dir.join("power"), &self.place, wanted, self.arguments.seed, |n| {
            if n % 10 == 0 {
                self.say(&format!("{n} of {wanted} power cuts"));
            }
        })
        .await
    }

    async fn scenarios(&self) -> Scenarios {
        let mut all = Scenarios::default();
        let named = |name| self.arguments.only.as_deref() == Some(name);
        for s in SCENARIOS.iter().filter(|s| self.arguments.wants("scenarios") || named(s.name)) {
            if let Some(why) = s.off.filter(|_| !named(s.name)) {
                all.off.push(format!("{}: {why}", s.name));
                continue;
            }
            let begun = Instant::now();
            let outcome = (s.run)(&self.dir, &self.place, Extent::Full).await;
            let took = begun.elapsed().as_secs_f64();
            match outcome {
                Ok(outcome) => {
                    if outcome.findings.clean() {
                        all.passed.push(s.name);
                        let _ = std::fs::remove_dir_all(self.dir.join(s.name));
                    } else {
                        all.failed.push(s.name.to_owned());
                        println!("{}", json!(outcome.findings));
                    }
                    let figures: Vec<String> =
                        outcome.figures.iter().map(|(k, v)| format!("{k} {v}")).collect();
                    self.say(&format!("{} ({took:.1} s) {}", s.name, figures.join(", ")));
                    all.figures.extend(outcome.figures);
                    all.findings.add(outcome.findings);
                }
                Err(e) => {
                    self.say(&format!("{} FAILED: {e}", s.name));
                    all.failed.push(format!("{}: {e}", s.name));
                }
            }
        }
        all
    }

    fn report(&self, campaign: Campaign, power: PowerCuts, scenarios: Scenarios) -> bool {
        for dead in &power.dead {
            println!("the agent did not start after a power cut: {dead}");
        }
        let mut restarts = campaign.restarts.clone();
        restarts.sort();
        let restart = |share: f64| {
            let i = (restarts.len().saturating_sub(1) as f64 * share) as usize;
            restarts.get(i).map(Duration::as_millis)
        };
        let (cuts, planted) = (campaign.total(), campaign.planted());
        let mut all = campaign.findings;
        all.add(power.findings);
        all.add(scenarios.findings);
        if !all.clean() {
            println!("{}", json!(all));
        }
        let mut line = json!({
            "cuts": cuts,
            "planted": planted,
            "acknowledged": all.acknowledged,
            "delivered": all.delivered,
            "lost": all.lost(),
            "doubled": all.doubled(),
            "out_of_order": all.out_of_order.len(),
            "verdicts_missing": all.verdicts_missing.len(),
            "verdicts_doubled": all.verdicts_doubled.len(),
            "events_missing": all.events_missing.len(),
            "withdrawals_missing": all.withdrawals_missing.len(),
            "strangers": all.strangers.len(),
            "audit_breaks": all.audit_breaks.len(),
            "strange_answers": all.strange_answers.len(),
            "restart_ms_p50": restart(0.50),
            "restart_ms_p99": restart(0.99),
            "power_cuts": power.states,
            "power_not_started": power.dead.len(),
            "torn_tails_repaired": power.repaired,
            "scenarios_passed": scenarios.passed.len(),
            "scenarios_failed": scenarios.failed,
            "scenarios_off": scenarios.off,
            "seconds": self.begun.elapsed().as_secs(),
        });
        for (name, value) in scenarios.figures {
            line[name] = value;
        }
        println!("{line}");
        all.clean() && power.dead.is_empty() && scenarios.failed.is_empty()
    }
}
