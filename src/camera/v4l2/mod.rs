//! USB cameras, by Video4Linux.
//!
//! The camera's MJPEG is taken as it comes. A camera without it gives YUYV,
//! uncompressed, of which less can be held: ten seconds of 720p at 15/s are
//! 280 MB, and a counter's ring is 32 MB. So such a camera is asked for 640x480 at
//! 5/s at most, and whatever it then gives, no more than [`YUYV_A_SECOND`] is kept.
//!
//! Promises: nothing here waits without bound in reading, a camera that sends
//! nothing ends with an error, and neither a driver's refusal nor a library's panic
//! ends more than this camera. What format is agreed on is for [`agree`], why no
//! picture comes for [`failure`]; starting again is for whoever opened it.

mod agree;
mod failure;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tracing::{info, warn};
use v4l::Device;
use v4l::buffer::{Flags, Type};
use v4l::io::traits::{CaptureStream, Stream as _};
use v4l::prelude::MmapStream;

use crate::frame::{Codec, Sample};
use crate::settings::Problem;

use super::{CameraError, Sink, Stream, jpeg, yuyv};
use agree::Agreed;
pub use failure::V4l2Error;
use failure::{Doing, ENODEV};

/// Most bytes of uncompressed pictures that are kept a second: ten seconds of them
/// are the 32 MB of a counter's ring, where nothing else is configured.
pub const YUYV_A_SECOND: u32 = 3_200_000;
/// A camera that sent pictures and then none for so long has ended.
const SILENCE: Duration = Duration::from_secs(2);
/// The first picture may take longer: many cameras measure the light first.
const FIRST_PICTURE: Duration = Duration::from_secs(5);
/// How long to wait for a picture before looking whether to stop.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A driver that takes longer to let go is left to itself.
const RELEASE: Duration = Duration::from_secs(2);
/// poll(2): there is something to read.
const POLLIN: i16 = 1;
/// Buffers that the camera fills in turn.
const BUFFERS: u32 = 4;

/// `kind = "v4l2"`: which camera, and what to ask of it. It gives what it has that
/// is nearest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct V4l2 {
    /// The device: `/dev/v4l/by-id/...-video-index0`, or `/dev/video0`.
    pub device: PathBuf,
    /// Pixels in a row.
    #[serde(default = "width")]
    pub width: u32,
    /// Rows.
    #[serde(default = "height")]
    pub height: u32,
    /// Pictures that are kept a second; more are passed over.
    #[serde(default = "rate")]
    pub frames_per_second: u32,
}

const fn width() -> u32 {
    1280
}

const fn height() -> u32 {
    720
}

const fn rate() -> u32 {
    15
}

impl V4l2 {
    /// Opens the device and agrees with it on a format.
    ///
    /// # Errors
    /// [`V4l2Error`] with what to do.
    pub fn open(&self) -> Result<Camera, V4l2Error> {
        // The library takes for granted what a driver says of itself.
        catch_unwind(AssertUnwindSafe(|| agree::with(self)))
            .unwrap_or_else(|_| Err(V4l2Error::Panicked(self.device.clone())))
            .map(|(device, agreed)| Camera { wanted: self.clone(), device, agreed })
    }

    /// What is wrong with its settings.
    pub fn problems(&self, key: &str) -> Vec<Problem> {
        let mut out = Vec::new();
        if !self.device.is_absolute() {
            out.push(Problem::new(
                &format!("{key}.device"),
                self.device.display(),
                "a path such as /dev/v4l/by-id/usb-...-video-index0",
                "`ls -l /dev/v4l/by-id/` lists the USB cameras that are plugged in.",
            ));
        }
        for (name, value, (least, most), what) in [
            ("width", self.width, (160, 4096), "Pixels in a row."),
            ("height", self.height, (120, 4096), "Rows of pixels."),
            ("frames_per_second", self.frames_per_second, (1, 60), "Pictures a second."),
        ] {
            if !(least..=most).contains(&value) {
                out.push(Problem::new(&format!("{key}.{name}"), value, format!("{least} to {most}"), what));
            }
        }
        out
    }
}

/// A USB camera that is open.
pub struct Camera {
    wanted: V4l2,
    device: Device,
    agreed: Agreed,
}

impl Camera {
    /// How its samples are encoded.
    pub const fn codec(&self) -> Codec {
        self.agreed.codec
    }

    /// Width and height of its pictures, in pixels.
    pub const fn size(&self) -> (u32, u32) {
        (self.agreed.width, self.agreed.height)
    }
}

impl Stream for Camera {
    fn play(self: Box<Self>, sink: &Sink) -> Result<(), CameraError> {
        let Self { wanted, device, agreed } = *self;
        let failed = |e| V4l2Error::of(&wanted.device, Doing::Start, e);
        let stream = MmapStream::with_buffers(&device, Type::VideoCapture, BUFFERS).map_err(failed)?;
        info!(
            device = %wanted.device.display(), format = agreed.name(), width = agreed.width, height = agreed.height,
            frames_per_second = agreed.rate, "a USB camera is open"
        );
        let mut reader = Reader { device: &wanted.device, codec: agreed.codec, stream, lent: false };
        // A panic of the library must not drop the stream, whose drop may panic too.
        let played = catch_unwind(AssertUnwindSafe(|| reader.play(sink, agreed.period())));
        release(reader.stream, &wanted.device);
        played.unwrap_or_else(|_| Err(V4l2Error::Panicked(wanted.device.clone()))).map_err(Into::into)
    }
}

/// Reads a stream, never waiting longer than [`LOOK_EVERY`].
///
/// The library hands over a buffer's bytes only where it gave one back before. So
/// it is asked only when a picture is waiting, and whether one is, is asked here.
struct Reader<'a> {
    device: &'a Path,
    codec: Codec,
    stream: MmapStream<'static>,
    /// Whether a buffer is here and not with the driver.
    lent: bool,
}

impl Reader<'_> {
    /// Reads until told to stop.
    fn play(&mut self, sink: &Sink, period: Duration) -> Result<(), V4l2Error> {
        let device = self.device;
        self.start().map_err(|e| V4l2Error::of(device, Doing::Start, e))?;
        let mut pace = Pace::new(period, Instant::now());
        let (mut last, mut patience, mut broken) = (Instant::now(), FIRST_PICTURE, 0);
        while !sink.stopped() {
            let codec = self.codec;
            let read = self.read().map_err(|e| V4l2Error::of(device, Doing::Read, e))?;
            let now = Instant::now();
            let whole = read.map(|buffer| whole(codec, buffer));
            if let Some(Some(picture)) = whole {
                if pace.takes(now) {
                    sink.ring.push(Sample::new(sink.clock.now().boot, codec, picture.to_vec()));
                }
                (last, patience, broken) = (now, SILENCE, 0);
            } else {
                broken += u32::from(whole.is_some());
                if now.duration_since(last) >= patience {
                    let (device, seconds) = (device.to_owned(), patience.as_secs());
                    return Err(V4l2Error::Silent { device, seconds, broken });
                }
            }
        }
        Ok(())
    }

    /// Gives the driver all buffers and starts the camera.
    fn start(&mut self) -> io::Result<()> {
        // Its wait has no end where no time is set, and none is needed: see `read`.
        self.stream.set_timeout(Duration::ZERO);
        self.lent = match self.stream.next() {
            Ok(_) => true,
            Err(e) if nothing_yet(&e) => false,
            Err(e) => return Err(e),
        };
        Ok(())
    }

    /// What the camera filled next, if it did so by now: empty if it was damaged.
    fn read(&mut self) -> io::Result<Option<&[u8]>> {
        let wait = i32::try_from(LOOK_EVERY.as_millis()).unwrap_or(i32::MAX);
        match self.stream.handle().poll(POLLIN, wait) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(None),
            Err(e) => return Err(e),
        }
        if !self.lent {
            // The bytes of this one cannot be reached; it is the camera's first, in any case.
            self.lent = CaptureStream::dequeue(&mut self.stream).map(|_| true)?;
            return Ok(None);
        }
        self.lent = false;
        match self.stream.next() {
            Ok((bytes, about)) => {
                self.lent = true;
                let used = if about.flags.contains(Flags::ERROR) { 0 } else { about.bytesused as usize };
                Ok(bytes.get(..used))
            }
            Err(e) if nothing_yet(&e) => {
                // A driver that says there is something where there is nothing must not be asked
                // without a pause.
                std::thread::sleep(LOOK_EVERY);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}

fn nothing_yet(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The picture in a buffer, if it is whole.
fn whole(codec: Codec, buffer: &[u8]) -> Option<&[u8]> {
    match codec {
        Codec::Yuyv { width, height, stride } => buffer.get(..yuyv::size(width, height, stride)?),
        _ => jpeg::cut(buffer),
    }
}

/// Which of a camera's pictures are kept, where it sends more than are wanted.
struct Pace {
    period: Duration,
    due: Instant,
}

impl Pace {
    fn new(period: Duration, now: Instant) -> Self {
        Self { period, due: now }
    }

    /// Whether to keep the one that came now. One that is a little early counts, so
    /// that a camera of the wanted rate, which is never quite even, loses none.
    fn takes(&mut self, now: Instant) -> bool {
        let takes = now + self.period / 2 >= self.due;
        if takes {
            self.due = (self.due + self.period).max(now);
        }
        takes
    }
}

/// Lets go of a stream without waiting for a driver that does not answer, and
/// without the library's panic where it answers otherwise than expected: two such
/// panics at once, which a drop can cause, would end the process.
fn release(mut stream: MmapStream<'static>, device: &Path) {
    let (done, wait) = mpsc::channel();
    let name = device.display().to_string();
    let released = std::thread::Builder::new().name("camera-release".into()).spawn(move || {
        let stopped = catch_unwind(AssertUnwindSafe(|| stream.stop()));
        match stopped {
            Ok(Err(e)) if e.raw_os_error() != Some(ENODEV) => {
                warn!(device = name, error = %e, "a camera was not stopped; its memory stays taken");
                std::mem::forget(stream);
            }
            _ => drop(catch_unwind(AssertUnwindSafe(|| drop(stream)))),
        }
        let _ = done.send(());
    });
    if released.is_err() || wait.recv_timeout(RELEASE).is_err() {
        warn!(device = %device.display(), "a camera's driver does not let go of it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn camera(device: &str) -> V4l2 {
        V4l2 { device: device.into(), width: width(), height: height(), frames_per_second: rate() }
    }

    #[test]
    fn settings_have_defaults_and_bounds() {
        let read = |text: &str| toml::from_str::<V4l2>(text);
        assert_eq!(read("device = \"/dev/video0\"").unwrap(), camera("/dev/video0"));
        assert!(read("device = \"/dev/video0\"\nfps = 15").is_err());
        assert_eq!(camera("/dev/video0").problems("c"), []);
        let wrong = V4l2 { width: 0, height: 9999, frames_per_second: 61, ..camera("video0") };
        let keys: Vec<String> = wrong.problems("c").into_iter().map(|p| p.key).collect();
        assert_eq!(keys, ["c.device", "c.width", "c.height", "c.frames_per_second"]);
    }

    #[test]
    fn what_is_no_camera_is_named() {
        let said = |device: &str| camera(device).open().err().unwrap().to_string();
        assert!(said("/dev/video-that-is-not-there").contains("is it plugged in?"));
        assert!(said("/dev/null").contains("gives no video"), "{}", said("/dev/null"));
    }

    #[test]
    fn a_buffer_longer_or_shorter_than_the_picture() {
        let yuyv = Codec::Yuyv { width: 4, height: 2, stride: 8 };
        assert_eq!(whole(yuyv, &[1; 20]), Some(&[1; 16][..]));
        assert_eq!(whole(yuyv, &[1; 15]), None);
        assert_eq!(whole(Codec::Jpeg, &[]), None);
        let jpeg = [0xff, 0xd8, 0xff, 0xfe, 0, 2, 0xff, 0xd9, 0, 0];
        assert_eq!(whole(Codec::Jpeg, &jpeg), Some(&jpeg[..8]));
    }

    /// How many of `n` pictures are kept that come every `every` ms, each up to
    /// `late` ms late by turns.
    fn kept(period: u64, every: u64, late: u64, n: u64) -> u64 {
        let begun = Instant::now();
        let mut pace = Pace::new(Duration::from_millis(period), begun);
        let at = |i| begun + Duration::from_millis(i * every + (i * 7 % 3) * late / 2);
        (0..n).filter(|i| pace.takes(at(*i))).count() as u64
    }

    #[test]
    fn a_camera_of_the_wanted_rate_loses_no_picture() {
        for late in [0, 10, 30] {
            assert_eq!(kept(66, 66, late, 300), 300, "{late} ms late");
        }
        // A slower one neither, and after a pause there is no burst to make up for it.
        assert_eq!(kept(66, 100, 40, 300), 300);
    }

    proptest! {
        #[test]
        fn a_faster_camera_is_thinned_to_the_wanted_rate(period in 40u64..500, part in 2u64..8) {
            let every = (period / part).max(1);
            let n = 2000;
            let most = n * every / period + 2;
            let found = kept(period, every, 0, n);
            prop_assert!(found <= most && found + 2 >= n * every / period, "{found} of at most {most}");
        }
    }
}
