//! `counterproof bench idle`: what a camera costs while nobody settles, beside a
//! loop that decodes every picture with the same decoder.
//!
//! The cameras are received as the agent receives them, from a server whose own
//! work is not counted; the processor time is that of this whole process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::bench::scene::Scene;
use crate::bench::{BenchError, round};
use crate::camera::pictures::Pictures;
use crate::camera::ring::Ring;
use crate::camera::rtsp::Rtsp;
use crate::camera::{CameraError, Sink, Stream};
use crate::clock::{Clock, SystemClock};
use crate::vision::cost::process_cpu;

use super::{Encoding, Mounts, TemporaryFolder};

/// As a box keeps pictures by default.
const KEEP: Duration = Duration::from_secs(20);
/// Before anything is counted: connections, first buffers.
const WARM_UP: Duration = Duration::from_secs(3);
/// How long a camera may take to send its first picture.
const BEGIN: Duration = Duration::from_secs(30);

/// Arguments of `bench idle`.
#[derive(Debug, clap::Args)]
pub struct IdleArgs {
    /// Cameras received side by side.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub cameras: u32,
    /// Seconds that are counted, for each codec.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u64).range(5..=600))]
    pub seconds: u64,
    /// For machines.
    #[arg(long)]
    pub json: bool,
}

/// Runs the benchmark and prints it.
///
/// # Errors
/// If the server is missing or a camera does not play.
pub fn run(args: &IdleArgs) -> Result<(), BenchError> {
    let pictures = TemporaryFolder::draw(&Scene::empty())?;
    let mut report = Map::new();
    for (name, encoding) in [("mjpeg", Encoding::JPEG), ("h264", Encoding::H264)] {
        eprintln!("{name}: {} cameras, {} s", args.cameras, args.seconds);
        report.insert(name.into(), measure(args, &encoding, &pictures)?);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?);
        return Ok(());
    }
    println!("{} cameras by RTSP, 720p at 15/s, {} s each", args.cameras, args.seconds);
    for (name, values) in &report {
        for key in ["cpu_percent_per_camera", "continuous_over_idle", "ring_mb"] {
            println!("  {name:<6} {key:<24} {}", values.get(key).unwrap_or(&Value::Null));
        }
    }
    Ok(())
}

fn measure(args: &IdleArgs, encoding: &Encoding, pictures: &TemporaryFolder) -> Result<Value, BenchError> {
    let server = Mounts::default().with("/camera", encoding, pictures.path()).serve()?;
    let mut cameras: Vec<Receiving> = Vec::new();
    for _ in 0..args.cameras {
        // One after the other: the server refuses whoever asks while it makes the stream for another.
        let camera = Receiving::start(&server.url("/camera"))?;
        camera.wait_for_picture()?;
        cameras.push(camera);
    }
    std::thread::sleep(WARM_UP);
    let before = (process_cpu(), Instant::now(), received(&cameras));
    std::thread::sleep(Duration::from_secs(args.seconds));
    let (cpu, span) = (process_cpu().saturating_sub(before.0), before.1.elapsed());
    let (samples, bytes) = received(&cameras);
    let seconds = span.as_secs_f64() * f64::from(args.cameras);
    let idle = cpu.as_secs_f64() / seconds;
    let ring_bytes = cameras.iter().map(|c| c.ring.held_bytes()).max().unwrap_or(0);
    let decoding = cameras.first().map(decode_everything).transpose()?.unwrap_or(0.0);
    for camera in cameras {
        camera.end()?;
    }
    Ok(json!({
        "cpu_percent_per_camera": round(idle * 100.0),
        "continuous_over_idle": round((idle + decoding) / idle),
        "continuous_cpu_percent": round((idle + decoding) * 100.0),
        "ring_mb": round(ring_bytes as f64 / 1e6),
        "pictures_per_second": round((samples - before.2.0) as f64 / seconds),
        "megabits_per_second": round((bytes - before.2.1) as f64 * 8e-6 / seconds),
    }))
}

fn received(cameras: &[Receiving]) -> (u64, u64) {
    cameras.iter().map(|c| c.ring.received()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
}

/// Processor seconds for each second of the stream, all its pictures decoded in
/// their order to what a model could look at.
fn decode_everything(camera: &Receiving) -> Result<f64, BenchError> {
    let now = SystemClock.now().boot;
    let clip = camera.ring.between(now.minus(Duration::from_secs(10)), now);
    let samples = clip.samples();
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Ok(0.0) };
    let before = crate::vision::cost::thread_cpu();
    let mut pictures = Pictures::of(&clip, 0..samples.len());
    for i in 0..samples.len() {
        pictures.frame(i).map_err(|source| BenchError::Picture { path: "a stream".into(), source })?;
    }
    let cpu = crate::vision::cost::thread_cpu().saturating_sub(before);
    Ok(cpu.as_secs_f64() / last.at().since(first.at()).as_secs_f64().max(0.001))
}

/// A camera that is received into a ring, in a thread of its own.
pub(super) struct Receiving {
    pub ring: Arc<Ring>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), CameraError>>,
}

impl Receiving {
    pub fn start(url: &str) -> Result<Self, BenchError> {
        let failed = |e: &dyn std::fmt::Display| BenchError::Sample(format!("{url}: {e}"));
        let connection = Box::new(Rtsp::at(url).open().map_err(|e| failed(&e))?);
        let ring = Arc::new(Ring::new(KEEP, 64 << 20));
        let stop = Arc::new(AtomicBool::new(false));
        let sink = Sink { ring: Arc::clone(&ring), clock: Arc::new(SystemClock), stop: Arc::clone(&stop) };
        Ok(Self { ring, stop, thread: std::thread::spawn(move || connection.play(&sink)) })
    }

    pub fn wait_for_picture(&self) -> Result<(), BenchError> {
        let deadline = Instant::now() + BEGIN;
        while self.ring.received().0 == 0 {
            if self.thread.is_finished() || Instant::now() > deadline {
                return Err(BenchError::Sample("a camera sent no picture".into()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    pub fn end(self) -> Result<(), BenchError> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(BenchError::Sample(format!("a camera ended: {e}"))),
            Err(_) => Err(BenchError::Sample("a camera's thread panicked".into())),
        }
    }
}
