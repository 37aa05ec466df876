//! The USB camera's code and the agent on it, in a guest with a real kernel's
//! cameras: `make test-devices` (tests/devices/run). Prints a line for each check.
//!
//! The hospital is made outside (`devices FOLDER`): emulated, to draw its cameras
//! and to enrol its cardholders would take minutes. The guest takes the folder
//! over (`devices FOLDER run`).
//!
//! /dev/video0 is `vivid`, which is uncompressed and can be unplugged;
//! /dev/video10 to 12 are `v4l2loopback`: 10 is fed with the drawn camera's
//! pictures, 11 falls silent after the first, 12 is no camera, as nobody writes.

#[path = "../tests/devices/feeder.rs"]
mod feeder;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use counterproof::bench::hospital::{Camera, Hospital, Programs, Wishes};
use counterproof::camera::ring::Ring;
use counterproof::camera::v4l2::V4l2;
use counterproof::camera::{CameraError, Sink, Stream, pictures};
use counterproof::clock::{BoxTime, SystemClock};
use counterproof::frame::{Codec, Sample};
use counterproof::vision::telemetry;
use feeder::Feeder;

/// Emulated, everything takes long.
const PATIENCE: Duration = Duration::from_secs(120);
const DRAWN: &str = "/dev/v4l/by-id/usb-drawn_camera-video-index0";
const FED: &str = "/dev/video10";
const SILENT: &str = "/dev/video11";
const EMPTY: &str = "/dev/video12";
const VIVID: &str = "/dev/video0";

fn main() -> ExitCode {
    // First of all: it sets the environment, while there is one thread.
    let switched = telemetry::switch_off().map_err(io::Error::other);
    let runtime = switched.and_then(|()| tokio::runtime::Builder::new_multi_thread().enable_all().build());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match (arguments.first(), arguments.get(1)) {
        (Some(folder), None) => runtime.and_then(|_| prepare(Path::new(folder))),
        (Some(folder), Some(_)) => runtime.and_then(|r| r.block_on(devices(Path::new(folder)))),
        (None, _) => Err(io::Error::other("usage: devices FOLDER [run]")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            println!("FAILED {e}");
            ExitCode::FAILURE
        }
    }
}

async fn devices(prepared: &Path) -> io::Result<bool> {
    let mut said = Said { all_ok: true, begun: Instant::now() };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    refusals(&mut said);
    vivid(&mut said);
    let pictures = drawn(prepared)?;
    mjpeg(&mut said, &pictures)?;
    silence(&mut said, &pictures)?;
    let _feeder = Feeder::start(FED, pictures.clone(), 15, usize::MAX)?;
    let mut h = take_over(prepared)?;
    h.start_agent()?;
    said.that("the agent is ready with both cameras", true, "");
    let believed = within(|| h.audit("clock_confirmed").last().is_some().then_some(()));
    said.that("and the bureau has confirmed its clock", believed.is_some(), "");
    settlements(&mut said, &h).await?;
    unplugged(&mut said, &h, root).await?;
    said.that("the agent ends when told to", ends(&mut h)?, "");
    stuck(&mut said, &mut h, &pictures).await?;
    Ok(said.all_ok)
}

/// What was found.
struct Said {
    all_ok: bool,
    begun: Instant,
}

impl Said {
    /// One line; `found` says what there was instead.
    fn that(&mut self, what: &str, so: bool, found: impl std::fmt::Display) {
        self.all_ok &= so;
        let after = self.begun.elapsed().as_secs();
        match so {
            true => println!("ok {what} ({after} s)"),
            false => println!("FAILED {what}: {found} ({after} s)"),
        }
    }
}

fn camera(device: &str, width: u32, height: u32) -> V4l2 {
    V4l2 { device: device.into(), width, height, frames_per_second: 15 }
}

/// A camera playing into a ring of its own.
struct Playing {
    ring: Arc<Ring>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Result<(), CameraError>>,
}

impl Playing {
    fn start(stream: impl Stream + 'static) -> Self {
        let ring = Arc::new(Ring::new(Duration::from_secs(20), 32 << 20));
        let stop = Arc::new(AtomicBool::new(false));
        let sink = Sink { ring: Arc::clone(&ring), clock: Arc::new(SystemClock), stop: Arc::clone(&stop) };
        let thread = std::thread::spawn(move || Box::new(stream).play(&sink));
        Self { ring, stop, thread }
    }

    /// So many samples of it, or as many as came in time.
    fn samples(&self, n: u64) -> Vec<Arc<Sample>> {
        let _ = within(|| (self.ring.received().0 >= n || self.thread.is_finished()).then_some(()));
        self.ring.between(BoxTime::from_millis(0), BoxTime::from_millis(u64::MAX)).samples().to_vec()
    }

    /// How it ended by itself or, told to stop, in time: `None` if it did not.
    fn ended(self, told: bool) -> Option<Result<(), CameraError>> {
        self.stop.store(told, Ordering::Relaxed);
        within(|| self.thread.is_finished().then_some(()))?;
        self.thread.join().ok()
    }
}

/// Waits for a thing to be so; `None` if it was not within [`PATIENCE`].
fn within<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    None
}

/// What is no camera is refused in words.
fn refusals(said: &mut Said) {
    for (device, words) in
        [("/dev/video77", "is it plugged in?"), ("/dev/null", "gives no video"), (EMPTY, "-video-index0")]
    {
        let found = camera(device, 1280, 720).open().err().map_or("it was opened".into(), |e| e.to_string());
        said.that(&format!("{device} is refused: {words}"), found.contains(words), found);
    }
}

/// Uncompressed pictures, of the size that was asked for, and never too much of them.
fn vivid(said: &mut Said) {
    for (asked, expected) in [((640, 480), (640, 480)), ((320, 180), (320, 180)), ((1280, 720), (640, 360))] {
        let what =
            format!("vivid, asked for {}x{}, gives YUYV of {}x{}", asked.0, asked.1, expected.0, expected.1);
        match camera(VIVID, asked.0, asked.1).open() {
            Err(e) => said.that(&what, false, e),
            Ok(opened) => {
                let codec = opened.codec();
                let playing = Playing::start(opened);
                let samples = playing.samples(4);
                let sizes: BTreeSet<_> = samples
                    .iter()
                    .map(|s| pictures::alone(s).map_or((0, 0), |f| (f.width(), f.height())))
                    .collect();
                let yuyv = matches!(codec, Codec::Yuyv { width, height, .. } if (width, height) == expected);
                said.that(
                    &what,
                    yuyv && sizes == BTreeSet::from([expected]),
                    format!("{codec:?}, {sizes:?}"),
                );
                if asked == (640, 480) {
                    colours(said, &samples);
                    busy(said);
                }
                let ended = playing.ended(true);
                said.that("and stops when told to", matches!(ended, Some(Ok(()))), format!("{ended:?}"));
            }
        }
    }
}

/// The test picture's bars begin with white at the left edge, and there are colours.
fn colours(said: &mut Said, samples: &[Arc<Sample>]) {
    let frame = samples.last().and_then(|s| pictures::alone(s).ok());
    let found: Vec<[u8; 3]> = frame
        .iter()
        .flat_map(|f| {
            let row = f.width() as usize * 3;
            let middle = f.rgb().get(row * f.height() as usize / 2..).unwrap_or_default();
            middle.get(..row).unwrap_or_default().chunks_exact(3)
        })
        .filter_map(|p| p.try_into().ok())
        .collect();
    let strong =
        |c: usize| found.iter().any(|p: &[u8; 3]| p.iter().enumerate().all(|(i, v)| (i == c) == (*v > 128)));
    let so = (0..3).all(strong);
    said.that("vivid's bars are red, green and blue after decoding", so, format!("{:?}", found.first()));
}

/// A camera in use is named as such.
fn busy(said: &mut Said) {
    let second = camera(VIVID, 640, 480).open().map_err(CameraError::from);
    let ended = second.map(|c| Playing::start(c).ended(false));
    let found = format!("{ended:?}");
    said.that("a camera that is in use is refused", found.contains("Busy"), found);
}

/// MJPEG comes out as it was put in, without what stands behind the picture.
fn mjpeg(said: &mut Said, pictures: &[Vec<u8>]) -> io::Result<()> {
    let _feeder = Feeder::start(FED, pictures.to_vec(), 15, usize::MAX)?;
    let opened = camera(DRAWN, 640, 480).open().map_err(io::Error::other)?;
    let size = opened.size();
    let playing = Playing::start(opened);
    let samples = playing.samples(8);
    let same = samples.iter().filter(|s| pictures.iter().any(|p| p == s.bytes())).count();
    let so = samples.len() >= 8 && same == samples.len() && size == (640, 480);
    said.that(
        "MJPEG is kept as it was sent, cut where it ends",
        so,
        format!("{same} of {}, {size:?}", samples.len()),
    );
    let ended = playing.ended(true);
    said.that("and stops when told to", matches!(ended, Some(Ok(()))), format!("{ended:?}"));
    Ok(())
}

/// A camera that sends nothing ends by itself, and stops when told to.
fn silence(said: &mut Said, pictures: &[Vec<u8>]) -> io::Result<()> {
    let _feeder = Feeder::start(SILENT, pictures.to_vec(), 15, 1)?;
    let open = || camera(SILENT, 640, 480).open().map_err(io::Error::other);
    let found = format!("{:?}", Playing::start(open()?).ended(false));
    said.that("a camera that sends nothing is given up", found.contains("Silent"), found);
    let playing = Playing::start(open()?);
    let ended = playing.ended(true);
    said.that("and stops when told to", matches!(ended, Some(Ok(()))), format!("{ended:?}"));
    Ok(())
}

/// The programs beside this one.
fn programs() -> io::Result<Programs> {
    let beside = std::env::current_exe()?;
    let release = beside.ancestors().nth(2).unwrap_or(Path::new("/")).to_owned();
    Ok(Programs { agent: release.join("counterproof"), bureau: release.join("counterproof-bureau") })
}

/// Makes a hospital with the fed camera at w01 and vivid at w02.
fn prepare(folder: &Path) -> io::Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let usb = |counter: &str, device: &str| (counter.to_owned(), Camera::V4l2(device.into()));
    let wishes = Wishes { counters: vec![usb("w01", DRAWN), usb("w02", VIVID)], ..Wishes::default() };
    let mut h = Hospital::open(folder, programs()?, &root.join("models/models.toml"), &wishes)?;
    h.enrol()?;
    h.bureau.take().map(|mut b| b.terminate()).transpose()?.map_or(Ok(false), |s| Ok(s.success()))
}

/// The prepared hospital, where it may be written to.
fn take_over(prepared: &Path) -> io::Result<Hospital> {
    let here = Path::new("/run/hospital");
    let copied = Command::new("cp").arg("-a").arg(prepared).arg(here).status()?;
    match copied.success() {
        true => Hospital::again(here, programs()?),
        false => Err(io::Error::other("the prepared hospital cannot be copied")),
    }
}

/// The pictures of the drawn camera.
fn drawn(hospital: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(hospital.join("cameras/w01"))?
        .map(|f| f.map(|f| f.path()))
        .collect::<io::Result<_>>()?;
    files.sort();
    files.iter().map(std::fs::read).collect()
}

/// The verdict of a settlement now, as `verdict` or `verdict(reason)`.
async fn verdict(h: &Hospital, id: &str, counter: &str, cardholder: &str) -> io::Result<String> {
    let (status, body) = h.settle(&Hospital::settlement(id, counter, cardholder, &[])).await?;
    let Some(verification) = body["verification_id"].as_str() else {
        return Ok(format!("the agent answered {status}: {body}"));
    };
    Ok(match within(|| h.verdict(verification)) {
        None => "no verdict".into(),
        Some((verdict, reason)) if reason.is_empty() => verdict,
        Some((verdict, reason)) => format!("{verdict}({reason})"),
    })
}

/// What a counter's metric says; 0 if it says nothing.
async fn metric(h: &Hospital, name: &str, counter: &str) -> io::Result<f64> {
    let page = h.metrics(&h.agent_metrics).await?;
    let line = format!("{name}{{counter=\"{counter}\"}} ");
    let value = page.lines().find_map(|l| l.strip_prefix(&line));
    Ok(value.and_then(|v| v.parse().ok()).unwrap_or(0.0))
}

/// Waits until a counter's metric is as it should; how it was last.
async fn until(h: &Hospital, name: &str, counter: &str, so: impl Fn(f64) -> bool) -> io::Result<(bool, f64)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let value = metric(h, name, counter).await?;
        if so(value) || Instant::now() > deadline {
            return Ok((so(value), value));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const SAMPLES: &str = "counterproof_camera_samples_total";
const AGE: &str = "counterproof_camera_sample_age_seconds";
const RESTARTS: &str = "counterproof_camera_restarts_total";

/// Both cameras' settlements.
async fn settlements(said: &mut Said, h: &Hospital) -> io::Result<()> {
    for (counter, least) in [("w01", 20.0), ("w02", 8.0)] {
        let (so, found) = until(h, SAMPLES, counter, |n| n >= least).await?;
        said.that(&format!("pictures of {counter} arrive"), so, found);
    }
    for (id, counter, cardholder, expected) in [
        ("D1", "w01", "PB", "match"),
        ("D2", "w01", "PA", "mismatch"),
        ("D3", "w02", "PB", "inconclusive(no_face)"),
    ] {
        let found = verdict(h, id, counter, cardholder).await?;
        said.that(&format!("{cardholder}'s card at {counter}: {expected}"), found == expected, found);
    }
    let deadline = Instant::now() + PATIENCE;
    let mut told = h.alerts().await?.contains_key("D2");
    while !told && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
        told = h.alerts().await?.contains_key("D2");
    }
    said.that("the bureau is told of the mismatch alone", told && h.alerts().await?.len() == 1, "");
    Ok(())
}

/// Unplugged, missed, plugged in again.
async fn unplugged(said: &mut Said, h: &Hospital, root: &Path) -> io::Result<()> {
    // The driver plugs itself in again when nobody has it open any more.
    let held = std::fs::File::open(VIVID)?;
    let unpacked = root.join("target/devices/root/usr");
    let status = Command::new(unpacked.join("bin/v4l2-ctl"))
        .env("LD_LIBRARY_PATH", unpacked.join("lib/x86_64-linux-gnu"))
        .args(["-d", VIVID, "-c", "disconnect=1"])
        .status()?;
    said.that("vivid is unplugged", status.success(), status);
    let (so, found) = until(h, RESTARTS, "w02", |n| n >= 3.0).await?;
    said.that("its camera is tried again and again", so, found);
    let (so, found) = until(h, AGE, "w02", |age| age >= 2.0).await?;
    said.that("no picture of it arrives", so, found);
    let found = verdict(h, "D4", "w02", "PB").await?;
    said.that("PB's card at w02: not_assessed(camera_silent)", found == "not_assessed(camera_silent)", found);
    let found = verdict(h, "D5", "w01", "PB").await?;
    said.that("and the other counter goes on: match", found == "match", found);
    let log = std::fs::read_to_string(h.dir.join("agent.log"))?;
    said.that("the log says what is the matter", log.contains("was it unplugged?"), "no line of it");
    let before = metric(h, SAMPLES, "w02").await?;
    drop(held);
    let (so, found) = until(h, SAMPLES, "w02", |n| n >= before + 10.0).await?;
    said.that("plugged in again, it comes back by itself", so, format!("{found} samples, {before} before"));
    let found = verdict(h, "D6", "w02", "PB").await?;
    said.that("PB's card at w02: inconclusive(no_face)", found == "inconclusive(no_face)", found);
    Ok(())
}

/// An agent with a camera that delivers nothing, and it is told to stop.
async fn stuck(said: &mut Said, h: &mut Hospital, pictures: &[Vec<u8>]) -> io::Result<()> {
    let _feeder = Feeder::start(SILENT, pictures.to_vec(), 15, 1)?;
    let config = std::fs::read_to_string(h.agent_config())?;
    std::fs::write(h.agent_config(), config.replace(&format!("\"{VIVID}\""), &format!("\"{SILENT}\"")))?;
    h.post_notice_anew()?;
    h.start_agent()?;
    let (so, found) = until(h, RESTARTS, "w02", |n| n >= 1.0).await?;
    said.that("the agent gives up a silent camera and tries it again", so, found);
    let found = verdict(h, "D7", "w02", "PB").await?;
    said.that("PB's card there: not_assessed(camera_silent)", found == "not_assessed(camera_silent)", found);
    said.that("the agent ends when told to", ends(h)?, "");
    Ok(())
}

/// Whether the agent ends in order.
fn ends(h: &mut Hospital) -> io::Result<bool> {
    Ok(h.agent.take().map(|mut a| a.terminate()).transpose()?.is_some_and(|s| s.success()))
}
