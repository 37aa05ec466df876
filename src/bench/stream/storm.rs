//! `counterproof bench storm`: many network cameras on one box, each with one
//! settlement a minute, through the real programs.
//!
//! A bureau and an agent are started from a folder of their own, the cameras are
//! GStreamer's, and what is reported is what the agent itself says: its log of
//! decisions, its metrics, its resident memory. Every tenth settlement is of
//! somebody else's card, which costs the whole window. The cameras' server runs
//! on the same machine, and takes its share of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bench::hospital::{Camera, Hospital, Programs, Wishes};
use crate::bench::{BenchError, find_manifest, round};

use super::{Encoding, Mounts, TemporaryFolder};

/// A counter's window by default.
const SIDE_MS: u64 = 3000;
/// The rings' past: windows need it.
const WARM_UP: Duration = Duration::from_secs(15);
const EVERY: Duration = Duration::from_secs(60);
/// How long the last verdicts may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `bench storm`.
#[derive(Debug, clap::Args)]
pub struct StormArgs {
    /// Network cameras, each with a counter.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub cameras: u32,
    /// How long settlements come.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub minutes: u64,
    /// The manifest of models.
    #[arg(long, default_value = "models/models.toml")]
    pub models: PathBuf,
    /// For machines.
    #[arg(long)]
    pub json: bool,
}

/// Runs the benchmark and prints it.
///
/// # Errors
/// If the programs, models or the server are missing, or a settlement is refused.
pub fn run(args: &StormArgs) -> Result<(), BenchError> {
    let models = std::path::absolute(find_manifest(&args.models))?;
    let folder = TemporaryFolder::new()?;
    let cameras = folder.path().join("cameras/w01");
    let server = Mounts::default().with("/camera", &Encoding::H264, &cameras).serve()?;
    let counters: Vec<(String, Camera)> =
        (1..=args.cameras).map(|n| (format!("w{n:02}"), Camera::Rtsp(server.url("/camera")))).collect();
    let wishes = Wishes {
        before_ms: SIDE_MS,
        after_ms: SIDE_MS,
        replace: vec![("hold_ms = 0".into(), "hold_ms = 0\nworkers = 2\nqueue = 64".into())],
        counters,
        ..Wishes::default()
    };
    eprintln!("a bureau, a box and {} cameras", args.cameras);
    let mut hospital = Hospital::open(folder.path(), programs()?, &models, &wishes)?;
    hospital.enrol()?;
    hospital.start_agent()?;
    std::thread::sleep(WARM_UP);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sent = runtime.block_on(settle(args, &hospital))?;
    let report = report(args, &hospital, &sent, &runtime)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?);
        return Ok(());
    }
    println!("{} network cameras, H.264 720p at 15/s, one settlement a minute each", args.cameras);
    for (key, value) in report.as_object().into_iter().flatten() {
        println!("  {key:<26} {value}");
    }
    Ok(())
}

/// This program and the bureau's beside it.
pub(in crate::bench) fn programs() -> Result<Programs, BenchError> {
    let agent = std::env::current_exe()?;
    let bureau = agent.with_file_name("counterproof-bureau");
    if bureau.is_file() {
        return Ok(Programs { agent, bureau });
    }
    Err(BenchError::Sample(format!("{} is not there: build both programs", bureau.display())))
}

/// Sends each camera its settlement a minute, at its own second; their verifications.
async fn settle(args: &StormArgs, hospital: &Hospital) -> Result<Vec<String>, BenchError> {
    let begun = Instant::now();
    let mut due: Vec<(Duration, u32, u64)> = Vec::new();
    for minute in 0..args.minutes {
        for camera in 1..=args.cameras {
            // Spread over the minute by the golden ratio, so that no two come together for a reason.
            let phase = (f64::from(camera) * 0.618_034 + minute as f64 * 0.271).fract();
            due.push((EVERY * minute as u32 + EVERY.mul_f64(phase), camera, minute));
        }
    }
    due.sort();
    let mut sent = Vec::new();
    for (n, (at, camera, minute)) in due.into_iter().enumerate() {
        tokio::time::sleep(at.saturating_sub(begun.elapsed())).await;
        let cardholder = if n % 10 == 9 { "PA" } else { "PB" };
        let id = format!("S{camera:03}{minute:03}");
        let settlement = Hospital::settlement(&id, &format!("w{camera:02}"), cardholder, &[]);
        let (status, answer) = hospital.settle(&settlement).await?;
        match answer.get("verification_id").and_then(Value::as_str) {
            Some(id) if status == 202 => sent.push(id.to_owned()),
            _ => return Err(BenchError::Sample(format!("settlement {id} was answered {status}: {answer}"))),
        }
        eprint!("\rsettlement {}/{}", n + 1, args.cameras as u64 * args.minutes);
    }
    eprintln!();
    Ok(sent)
}

fn report(
    args: &StormArgs,
    hospital: &Hospital,
    sent: &[String],
    runtime: &tokio::runtime::Runtime,
) -> Result<Value, BenchError> {
    let deadline = Instant::now() + PATIENCE;
    let decided = loop {
        let decided = hospital.decisions();
        if sent.iter().all(|id| decided.contains_key(id)) {
            break decided;
        }
        if Instant::now() > deadline {
            let missing = sent.iter().filter(|id| !decided.contains_key(*id)).count();
            return Err(BenchError::Sample(format!(
                "{missing} of {} settlements have no verdict",
                sent.len()
            )));
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let mut times: Vec<f64> = decided.values().map(|d| d.ms).collect();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get(((times.len() as f64 * share).ceil() as usize).max(1) - 1).copied();
    let mut verdicts: BTreeMap<String, u64> = BTreeMap::new();
    for d in decided.values() {
        *verdicts.entry(d.verdict.clone()).or_default() += 1;
    }
    let page = runtime.block_on(hospital.metrics(&hospital.agent_metrics))?;
    let sum = |name: &str| -> f64 {
        page.lines()
            .filter(|l| l.starts_with(name))
            .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    };
    let pid = hospital.agent.as_ref().map(crate::bench::hospital::Running::pid);
    let resident = pid.and_then(|pid| peak_resident(Path::new(&format!("/proc/{pid}/status"))));
    let most = 250.0 + 8.0 * f64::from(args.cameras);
    Ok(json!({
        "cameras": args.cameras,
        "settlements": sent.len(),
        "verdicts": verdicts,
        "windows_with_lost_frames": sum("counterproof_windows_with_lost_frames_total"),
        "camera_restarts": sum("counterproof_camera_restarts_total"),
        "decision_ms_p50": at(0.5).map(round),
        "decision_ms_p99": at(0.99).map(round),
        "resident_mb": resident.map(round),
        "resident_mb_allowed": most,
    }))
}

/// The most memory that a process had resident, in MB.
fn peak_resident(status: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()? * 1024.0 / 1e6)
}
