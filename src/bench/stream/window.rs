//! `counterproof bench window`: processor time from the end of a window to the
//! verdict, one counter with an H.264 camera of 720p.
//!
//! The drawn person is received from a real server; then the windows of the
//! stream that was kept are verified one after the other, as a worker does it.

use std::time::Duration;

use serde_json::json;

use crate::bench::verification::{Ready, median, ms};
use crate::bench::{BenchError, find_manifest, round};
use crate::verify::{Verdict, session};
use crate::vision::cost::{Step, process_cpu};
use crate::vision::manifest::Manifest;

use super::idle::Receiving;
use super::{Encoding, Mounts, TemporaryFolder};

/// A counter's window by default.
const SIDE: Duration = Duration::from_secs(3);
/// How much of the stream is kept.
const KEPT: Duration = Duration::from_secs(19);

/// Arguments of `bench window`.
#[derive(Debug, clap::Args)]
pub struct WindowArgs {
    /// Windows to verify.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(5..=1000))]
    pub runs: u32,
    /// The manifest of models.
    #[arg(long, default_value = "models/models.toml")]
    pub models: std::path::PathBuf,
    /// The calibration.
    #[arg(long, default_value = "config/calibrations/sface-2021dec.toml")]
    pub calibration: std::path::PathBuf,
    /// For machines.
    #[arg(long)]
    pub json: bool,
}

/// Runs the benchmark and prints it.
///
/// # Errors
/// If models, samples or the server are missing, or a verification is not a match.
pub fn run(args: &WindowArgs) -> Result<(), BenchError> {
    let manifest = Manifest::read(&find_manifest(&args.models))?;
    let Ready { mut vision, rules, subjects, scene } = Ready::new(&manifest, &args.calibration)?;
    let pictures = TemporaryFolder::draw(&scene)?;
    let server = Mounts::default().with("/camera", &Encoding::H264, pictures.path()).serve()?;
    let camera = Receiving::start(&server.url("/camera"))?;
    camera.wait_for_picture()?;
    eprintln!("receiving {} s of H.264 720p", KEPT.as_secs());
    std::thread::sleep(KEPT);
    let ring = std::sync::Arc::clone(&camera.ring);
    camera.end()?;
    drop(server);
    let (Some(oldest), Some(newest)) = (ring.oldest(), ring.newest()) else {
        return Err(BenchError::Sample("the camera sent nothing".into()));
    };
    let spread = newest.since(oldest).saturating_sub(SIDE * 2).as_millis() as u64;
    let (mut all, mut decode, mut frames) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..=args.runs {
        // Another place in its group of pictures each time: 997 is prime.
        let moment = newest.minus(SIDE + Duration::from_millis(u64::from(n) * 997 % spread.max(1)));
        let before = process_cpu();
        let clip = ring.between(moment.minus(SIDE), moment.plus(SIDE));
        let ran = session::run(&mut vision, rules.clone(), &subjects, &clip, moment)?;
        let cpu = process_cpu().saturating_sub(before);
        if !matches!(ran.verdict, Verdict::Match(_)) {
            let found = ran.verdict.outcome();
            return Err(BenchError::Sample(format!("a genuine verification ended as {found}")));
        }
        // The first fills the runtime's buffers.
        if n > 0 {
            all.push(ms(cpu));
            decode.push(ms(ran.costs.of(Step::Decode).0));
            frames.push(f64::from(ran.frames));
        }
    }
    let mut sorted = all.clone();
    sorted.sort_by(f64::total_cmp);
    let p90 = sorted.get(sorted.len() * 9 / 10).copied().unwrap_or(f64::NAN);
    let report = json!({
        "cpu_ms_p50": round(median(all)),
        "cpu_ms_p90": round(p90),
        "decode_ms_p50": round(median(decode)),
        "frames_p50": median(frames),
        "runs": args.runs,
    });
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?);
        return Ok(());
    }
    println!("one counter, H.264 720p at 15/s: from the end of a window to the verdict");
    for key in ["cpu_ms_p50", "cpu_ms_p90", "decode_ms_p50", "frames_p50", "runs"] {
        println!("  {key:<16} {}", report[key]);
    }
    Ok(())
}
