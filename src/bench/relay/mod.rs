//! `counterproof bench relay`: what `counterproof relay` costs whoever waits, and whether
//! a byte of what passes is ever another.
//!
//! The relay is the real program, and so are agent and bureau behind it, which get the
//! copies. HIS and platform are this program's: deterministic messages, every byte of
//! which is compared at both ends.
//!
//! First at a given rate: each message goes once directly to the platform and once
//! through the relay, one after the other and alternately in either order, so that both
//! see the same machine. What is reported as added is the relay's percentile less the
//! direct one's: what somebody who waits would see. (The percentile of the pairs' own
//! differences would be that of the machine's hiccups, which are in both halves.) Then
//! over many connections, as fast as it goes: there the question is bytes, not time.
//!
//! What it does not say: how a hospital's network behaves; all of it is on loopback.

mod exchange;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::exchange::{Mix, exchange};
use crate::bench::hospital::{Hospital, Running, Wishes};
use crate::bench::stream::TemporaryFolder;
use crate::bench::stream::storm::programs;
use crate::bench::wire::{Asking, Platform, Seen};
use crate::bench::{BenchError, find_manifest, round};

/// Connections of the HIS at a given rate, each way.
const CONNECTIONS: usize = 8;
/// Exchanges before anything is counted.
const WARM_UP: u64 = 200;
/// Copies that do not change for so long will not come.
const SETTLED: Duration = Duration::from_secs(5);
/// Numbers of the exchanges as fast as it goes.
const FLOOD: u64 = 1 << 32;
/// Numbers of those with a connection each.
const ANEW: u64 = 1 << 31;

/// Arguments of `bench relay`.
#[derive(Debug, clap::Args)]
pub struct RelayArgs {
    /// Requests a second through the relay, and as many directly.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=2000))]
    pub rate: u64,
    /// How long, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub seconds: u64,
    /// Messages afterwards, as fast as it goes; a million takes some minutes.
    #[arg(long, default_value_t = 100_000)]
    pub messages: u64,
    /// Connections for those.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub connections: u64,
    /// The manifest of models, for the agent.
    #[arg(long, default_value = "models/models.toml")]
    pub models: PathBuf,
    /// For machines.
    #[arg(long)]
    pub json: bool,
}

/// Runs the benchmark and prints it.
///
/// # Errors
/// If a program is missing or does not start; if a byte was altered or an answer lost,
/// after the report.
pub fn run(args: &RelayArgs) -> Result<(), BenchError> {
    let models = std::path::absolute(find_manifest(&args.models))?;
    let folder = TemporaryFolder::new()?;
    eprintln!("a bureau, a box and a relay");
    let bench = Bench::open(folder.path(), &models)?;
    eprintln!("{} requests a second directly and through the relay, {} s", args.rate, args.seconds);
    let kept = bench.paced(args, 0)?;
    let of_paced = bench.copied(kept.copies)?;
    eprintln!("the same with a connection for each request");
    let anew = bench.paced(&RelayArgs { seconds: args.seconds.div_ceil(3), ..copy(args) }, ANEW)?;
    let before = bench.copied(kept.copies + anew.copies)?;
    eprintln!("{} messages over {} connections", args.messages, args.connections);
    let flood = bench.flood(args)?;
    let after = bench.copied(before.handed_on + flood.copies)?;
    let report = report(args, &Phases { kept, anew, flood, of_paced, before, after }, &bench);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?);
    } else {
        println!("a relay between HIS and platform, on loopback");
        for (key, value) in report.as_object().into_iter().flatten() {
            println!("  {key:<26} {value}");
        }
    }
    let bad = |key: &str| report.get(key).and_then(Value::as_u64) != Some(0);
    if bad("bytes_altered") || bad("failed") {
        return Err(BenchError::Unmeasured(std::io::Error::other("bytes were altered or lost: see above")));
    }
    Ok(())
}

fn copy(args: &RelayArgs) -> RelayArgs {
    RelayArgs { models: args.models.clone(), ..*args }
}

fn platform(mix: Mix) -> std::io::Result<Platform> {
    Platform::start(Arc::new(move |n| Some(exchange(n, mix).0)))
}

/// What one phase saw.
#[derive(Default)]
struct Phase {
    /// Sorted, in milliseconds.
    direct: Vec<f64>,
    relayed: Vec<f64>,
    /// Copies that the agent was to get.
    copies: u64,
    failed: u64,
    took: Duration,
}

struct Phases {
    kept: Phase,
    anew: Phase,
    flood: Phase,
    of_paced: Copied,
    before: Copied,
    after: Copied,
}

/// What the relay says of the copies.
#[derive(Debug, Default, Clone, PartialEq)]
struct Copied {
    handed_on: u64,
    missed: BTreeMap<String, u64>,
}

/// Everything that runs.
struct Bench {
    hospital: Hospital,
    steady: Platform,
    anything: Platform,
    down: Arc<Seen>,
    /// To the steady platform, and to the other.
    ways: [SocketAddr; 2],
    metrics: String,
    runtime: tokio::runtime::Runtime,
    _relay: Running,
}

impl Bench {
    fn open(dir: &Path, models: &Path) -> Result<Self, BenchError> {
        let reads = "[[his.senders]]\ncounter = \"w01\"\ndevices = [\"D-1\"]\n[metrics]\n";
        let stays = "withdrawal_links_days = 180\nstays_days = 90";
        let replace =
            vec![("[metrics]\n".into(), reads.into()), ("withdrawal_links_days = 180".into(), stays.into())];
        let wishes = Wishes { replace, ..Wishes::default() };
        let mut hospital = Hospital::open(dir, programs()?, models, &wishes)?;
        hospital.start_agent()?;
        let (steady, anything) = (platform(Mix::Steady)?, platform(Mix::Everything)?);
        let config = dir.join("relay.toml");
        let way = |p: &Platform| format!("[[ways]]\nlisten = \"127.0.0.1:0\"\nupstream = \"{}\"\n", p.at);
        let text = format!(
            "[agent]\naddress = \"{}\"\ntoken = \"keys/his.token\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n{}{}",
            hospital.his.trim_start_matches("http://"),
            way(&steady),
            way(&anything)
        );
        std::fs::write(&config, text)?;
        let ready = dir.join("relay.ready");
        let mut command = Command::new(&hospital.programs.agent);
        command.args(["relay", "--config"]).arg(&config).env("RUST_LOG", "warn");
        let relay = Running::of(command, dir.join("relay.log"), &ready)?;
        let told: Value = serde_json::from_slice(&std::fs::read(ready)?).map_err(std::io::Error::from)?;
        let at = |pointer: &str| {
            let text = told.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            text.parse::<SocketAddr>()
                .map_err(|_| BenchError::Unmeasured(std::io::Error::other("the relay told no address")))
        };
        let (ways, metrics) =
            ([at("/ways/0")?, at("/ways/1")?], format!("http://{}/metrics", at("/metrics")?));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { hospital, steady, anything, down: Arc::default(), ways, metrics, runtime, _relay: relay })
    }

    /// Each exchange directly and through the relay, at the given rate each; from `first`
    /// on. Numbers from [`ANEW`] on have a connection each.
    fn paced(&self, args: &RelayArgs, first: u64) -> Result<Phase, BenchError> {
        let begun = Instant::now() + Duration::from_millis(200);
        let count = WARM_UP + args.rate * args.seconds;
        let apart = Duration::from_secs(1).div_f64(args.rate as f64 * 2.0);
        let ways = [self.steady.at, self.ways[0]];
        let threads: Vec<_> = (0..CONNECTIONS as u64)
            .map(|thread| {
                let down = Arc::clone(&self.down);
                std::thread::spawn(move || {
                    let mut asking = ways.map(Asking::new);
                    let mut phase = Phase::default();
                    for n in (thread..count).step_by(CONNECTIONS) {
                        let (made, copies) = exchange(first + n, Mix::Steady);
                        phase.copies += copies;
                        for half in 0..2_usize {
                            let due = begun + apart * (2 * n as u32 + half as u32);
                            std::thread::sleep(due.saturating_duration_since(Instant::now()));
                            // In either order, so that neither is always the one after a pause.
                            let which = (half + n as usize) % 2;
                            let Some(way) = asking.get_mut(which) else { continue };
                            if first >= ANEW {
                                way.hang_up();
                            }
                            let took = way.ask(&made, &down);
                            let times = if which == 0 { &mut phase.direct } else { &mut phase.relayed };
                            match took {
                                Ok(took) if n >= WARM_UP => times.push(took.as_secs_f64() * 1000.0),
                                Ok(_) => {}
                                Err(_) => phase.failed += 1,
                            }
                        }
                    }
                    phase
                })
            })
            .collect();
        joined(threads, begun)
    }

    /// As fast as it goes, through the relay alone.
    fn flood(&self, args: &RelayArgs) -> Result<Phase, BenchError> {
        let begun = Instant::now();
        let next = Arc::new(AtomicU64::new(0));
        let (count, way) = (args.messages, self.ways[1]);
        let mut threads = Vec::new();
        for _ in 0..args.connections {
            let (next, down) = (Arc::clone(&next), Arc::clone(&self.down));
            let ask = move || {
                let (mut asking, mut phase) = (Asking::new(way), Phase::default());
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return phase;
                    }
                    let (made, copies) = exchange(FLOOD + n, Mix::Everything);
                    phase.copies += copies;
                    phase.failed += u64::from(asking.ask(&made, &down).is_err());
                }
            };
            threads.push(std::thread::Builder::new().stack_size(256 * 1024).spawn(ask)?);
        }
        while threads.iter().any(|t| !t.is_finished()) {
            std::thread::sleep(Duration::from_millis(500));
            eprint!("\rmessage {}/{count}", next.load(Ordering::Relaxed).min(count));
        }
        eprintln!();
        joined(threads, begun)
    }

    /// What became of the copies, once so many were handed on or none come any more.
    fn copied(&self, expected: u64) -> Result<Copied, BenchError> {
        let (mut last, mut since) = (Copied::default(), Instant::now());
        loop {
            let now = self.copied_until_now()?;
            if now.handed_on >= expected {
                return Ok(now);
            }
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() > SETTLED {
                return Ok(last);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn copied_until_now(&self) -> Result<Copied, BenchError> {
        // A connection that was idle for long was closed meanwhile; the next is another.
        let ask = || self.runtime.block_on(self.hospital.metrics(&self.metrics));
        let page = ask().or_else(|_| ask())?;
        let mut copied = Copied::default();
        for line in page.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let value = value.parse::<f64>().unwrap_or_default() as u64;
            if name.starts_with("counterproof_relay_handed_on_total") {
                copied.handed_on += value;
            } else if let Some(rest) = name.strip_prefix("counterproof_relay_missed_total{reason=\"") {
                copied.missed.insert(rest.trim_end_matches("\"}").to_owned(), value);
            }
        }
        Ok(copied)
    }
}

fn joined(threads: Vec<std::thread::JoinHandle<Phase>>, begun: Instant) -> Result<Phase, BenchError> {
    let mut all = Phase::default();
    for thread in threads {
        let one = thread
            .join()
            .map_err(|_| BenchError::Unmeasured(std::io::Error::other("a thread of the HIS panicked")))?;
        all.direct.extend(one.direct);
        all.relayed.extend(one.relayed);
        all.copies += one.copies;
        all.failed += one.failed;
    }
    all.direct.sort_by(f64::total_cmp);
    all.relayed.sort_by(f64::total_cmp);
    all.took = begun.elapsed();
    Ok(all)
}

fn at(sorted: &[f64], share: f64) -> f64 {
    let rank = ((sorted.len() as f64 * share).ceil() as usize).max(1) - 1;
    round(sorted.get(rank).copied().unwrap_or(f64::NAN))
}

fn report(args: &RelayArgs, phases: &Phases, bench: &Bench) -> Value {
    let Phases { kept, anew, flood, of_paced, before, after } = phases;
    let seen = [&bench.down, &bench.steady.up, &bench.anything.up];
    let sum =
        |what: fn(&Seen) -> &AtomicU64| -> u64 { seen.iter().map(|s| what(s).load(Ordering::Relaxed)).sum() };
    let of_flood = after.handed_on.saturating_sub(before.handed_on);
    json!({
        "requests": kept.relayed.len(),
        "rate_per_second": args.rate,
        "direct_ms_p50": at(&kept.direct, 0.5),
        "direct_ms_p99": at(&kept.direct, 0.99),
        "relayed_ms_p50": at(&kept.relayed, 0.5),
        "relayed_ms_p99": at(&kept.relayed, 0.99),
        "added_ms_p50": round(at(&kept.relayed, 0.5) - at(&kept.direct, 0.5)),
        "added_ms_p99": round(at(&kept.relayed, 0.99) - at(&kept.direct, 0.99)),
        "connecting_added_ms_p50": round(at(&anew.relayed, 0.5) - at(&anew.direct, 0.5)),
        "connecting_added_ms_p99": round(at(&anew.relayed, 0.99) - at(&anew.direct, 0.99)),
        "copies": kept.copies,
        "missed_copies": kept.copies.saturating_sub(of_paced.handed_on),
        "messages": args.messages,
        "messages_per_second": (args.messages as f64 / flood.took.as_secs_f64()).round(),
        "bytes_compared": sum(|s| &s.bytes),
        "bytes_altered": sum(|s| &s.altered),
        "failed": kept.failed + anew.failed + flood.failed,
        "flood_copies": flood.copies,
        "flood_missed_copies": flood.copies.saturating_sub(of_flood),
        "missed_by_reason": after.missed,
    })
}
