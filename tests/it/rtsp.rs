//! Network cameras against a real server: every kind of H.264 that cameras
//! send, passwords, restarts, lost packets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use counterproof::bench::stream::{Codec, Encoding, Mounts, Server};
use counterproof::camera::clip::Clip;
use counterproof::camera::pictures::Pictures;
use counterproof::camera::ring::Ring;
use counterproof::camera::rtsp::{Rtsp, RtspError};
use counterproof::camera::{CameraError, Sink, Stream};
use counterproof::clock::{BoxTime, SystemClock};
use counterproof::frame::{self, Frame};

/// Enough for a slow machine; what is waited for comes within a second or two.
const PATIENCE: Duration = Duration::from_secs(40);

/// So many grey pictures, each a step lighter than the one before.
const STEPS: u32 = 20;

/// Pictures of which each can be told from its neighbours.
fn pictures() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..STEPS {
        let grey = image::RgbImage::from_pixel(320, 240, image::Rgb([(30 + 10 * n) as u8; 3]));
        grey.save(dir.path().join(format!("{n:04}.jpg"))).unwrap();
    }
    let path = dir.path().to_owned();
    (dir, path)
}

/// Which of the pictures a frame is.
fn step(frame: &Frame) -> u32 {
    let sum: u64 = frame.rgb().iter().map(|v| u64::from(*v)).sum();
    ((sum as f64 / frame.rgb().len() as f64 - 30.0) / 10.0).round().max(0.0) as u32
}

fn camera(url: &str, more: &str) -> Rtsp {
    toml::from_str(&format!("url = \"{url}\"\n{more}")).unwrap()
}

/// A camera that plays, until this is dropped.
struct Playing {
    ring: Arc<Ring>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<Result<(), CameraError>>>,
}

impl Playing {
    fn start(camera: &Rtsp) -> Self {
        let ring = Arc::new(Ring::new(Duration::from_secs(20), 64 << 20));
        let stop = Arc::new(AtomicBool::new(false));
        let sink = Sink { ring: Arc::clone(&ring), clock: Arc::new(SystemClock), stop: Arc::clone(&stop) };
        let connection = Box::new(camera.open().unwrap());
        let thread = std::thread::spawn(move || connection.play(&sink));
        Self { ring, stop, thread: Some(thread) }
    }

    /// Waits until so many samples have come.
    #[track_caller]
    fn wait_for(&mut self, samples: u64) -> Clip {
        let deadline = Instant::now() + PATIENCE;
        while self.ring.received().0 < samples {
            assert!(Instant::now() < deadline, "{} of {samples} samples came", self.ring.received().0);
            if self.thread.as_ref().unwrap().is_finished() {
                panic!("the camera ended after {} samples: {:?}", self.ring.received().0, self.end());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.ring.between(BoxTime::from_millis(0), BoxTime::from_millis(u64::MAX))
    }

    /// How it ended by itself.
    fn end(&mut self) -> Result<(), CameraError> {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(encoding: &Encoding, pictures: &Path) -> Server {
    Mounts::default().with("/w01", encoding, pictures).serve().unwrap()
}

/// Decodes every picture of a clip, asked for outward from the middle as a
/// verification does: which each is, in the order of display.
#[track_caller]
fn decoded(clip: &Clip, size: (u32, u32)) -> Vec<u32> {
    let count = clip.samples().len();
    let mut reader = Pictures::of(clip, 0..count);
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|i| i.abs_diff(count / 2));
    let mut out = Vec::new();
    for i in order {
        let frame = reader.frame(i).unwrap_or_else(|e| panic!("picture {i} of {count}: {e}"));
        assert_eq!((frame.width(), frame.height()), size);
        let place = match clip.samples()[i].codec() {
            frame::Codec::H264(unit) => unit.ticks,
            _ => i as i64,
        };
        out.push((place, step(&frame)));
    }
    out.sort_unstable();
    out.into_iter().map(|(_, step)| step).collect()
}

#[test]
fn every_kind_of_stream_is_kept_as_sent_and_every_picture_decoded() {
    let (_dir, pictures) = pictures();
    let small = |e: Encoding| Encoding { size: (640, 480), rate: 30, ..e };
    let kinds = [
        ("baseline", small(Encoding::h264("baseline", 0, false))),
        ("main, variable-length codes", small(Encoding::h264("main", 0, false))),
        ("main, arithmetic codes", small(Encoding::h264("main", 2, true))),
        ("high, three pictures drawn from both sides", small(Encoding::h264("high", 3, true))),
        ("jpeg", small(Encoding::JPEG)),
    ];
    for (name, encoding) in kinds {
        let server = serve(&encoding, &pictures);
        let mut playing = Playing::start(&camera(&server.url("/w01"), ""));
        let clip = playing.wait_for(75);
        assert!(!clip.has_lost_frames(), "{name}");
        assert!(clip.samples()[0].stands_alone(), "{name}: the ring begins with a picture that stands alone");
        // Each is the one that it was taken for: the next is always the next lighter one. At the
        // end those may be missing that are sent after a later one.
        let mut steps = decoded(&clip, (640, 480));
        steps.truncate(steps.len() - 3);
        let follows = |w: &[u32]| (w[0] + 1) % STEPS == w[1];
        assert!(steps.windows(2).all(follows), "{name}: {steps:?}");
    }
}

#[test]
fn a_password_is_asked_for_and_never_shown() {
    let (dir, pictures) = pictures();
    let encoding = Encoding { size: (640, 480), ..Encoding::H264 };
    let server = Mounts::default()
        .with("/w01", &encoding, &pictures)
        .guarded("viewer", "correct horse")
        .serve()
        .unwrap();
    let with = |password: &str| {
        let file = dir.path().join("camera.password");
        std::fs::write(&file, format!("{password}\n")).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        camera(&server.url("/w01"), &format!("user = \"viewer\"\npassword = \"{}\"", file.display()))
    };
    Playing::start(&with("correct horse")).wait_for(5);
    let refused = Playing::start(&with("battery staple")).end().unwrap_err().to_string();
    assert!(refused.contains("401") && refused.contains("password file"), "{refused}");
    assert!(!refused.contains("battery") && !refused.contains("viewer"), "{refused}");
    let without = Playing::start(&camera(&server.url("/w01"), "")).end().unwrap_err().to_string();
    assert!(without.contains("401"), "{without}");
}

#[test]
fn a_camera_that_sends_h265_is_refused_with_what_to_change_at_it() {
    let (_dir, pictures) = pictures();
    let server = serve(&Encoding { codec: Codec::H265, ..Encoding::H264 }, &pictures);
    let refused = camera(&server.url("/w01"), "").open().err().unwrap();
    assert!(matches!(refused, RtspError::OtherCodec { .. }), "{refused}");
    let told = refused.to_string();
    assert!(told.contains("H265") && told.contains("set this stream of the camera to H.264"), "{told}");
}

#[test]
fn a_camera_that_goes_away_ends_and_comes_back_with_another_size() {
    let (_dir, pictures) = pictures();
    let encoding = Encoding { size: (640, 480), ..Encoding::H264 };
    let server = serve(&encoding, &pictures);
    let (port, settings) = (server.port, camera(&server.url("/w01"), ""));
    let mut playing = Playing::start(&settings);
    playing.wait_for(10);
    drop(server);
    assert!(playing.end().is_err());
    // Not there: opened, since it may come; and it says so when it plays.
    let absent = Playing::start(&settings).end().unwrap_err().to_string();
    assert!(absent.contains("rtsp://127.0.0.1"), "{absent}");
    let larger = Encoding { size: (1280, 720), ..encoding };
    let server = Mounts::default().with("/w01", &larger, &pictures).at(port).serve().unwrap();
    let clip = Playing::start(&settings).wait_for(20);
    assert_eq!(decoded(&clip, (1280, 720)).len(), clip.samples().len());
    drop(server);
}

#[test]
fn lost_packets_cost_the_pictures_that_are_drawn_upon_them_and_no_others() {
    let (_dir, pictures) = pictures();
    let encoding = Encoding { size: (640, 480), rate: 30, loss: 0.01, ..Encoding::h264("main", 0, true) };
    let server = serve(&encoding, &pictures);
    let mut playing = Playing::start(&camera(&server.url("/w01"), ""));
    let deadline = Instant::now() + PATIENCE;
    let clip = loop {
        let clip = playing.wait_for(90);
        // Something was lost, and a whole group came after it.
        let lost = clip.samples().iter().position(|s| s.after_loss());
        let later = lost.map_or(0, |i| clip.samples()[i..].iter().filter(|s| s.stands_alone()).count());
        if later >= 2 {
            break clip;
        }
        assert!(Instant::now() < deadline, "nothing was lost");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(clip.has_lost_frames());
    let samples = clip.samples();
    let mut reader = Pictures::of(&clip, 0..samples.len());
    let (mut broken, mut whole) = (false, 0);
    for (i, sample) in samples.iter().enumerate() {
        broken = !sample.stands_alone() && (broken || sample.after_loss());
        let read = reader.frame(i);
        assert!(!(broken && read.is_ok()), "picture {i} is drawn upon one that was lost");
        whole += usize::from(read.is_ok());
    }
    assert!(whole > 0);
}
