//! Agreeing with a USB camera on what it sends.
//!
//! MJPEG where the camera has it, else YUYV; of its sizes and rates the nearest to
//! what is wanted. `nokhwa` lists and sets them; where it cannot, the driver is
//! asked to do it itself (docs/decisions/0018). What the driver says in the end
//! is what counts.

use std::panic::catch_unwind;
use std::path::Path;
use std::time::Duration;

use nokhwa::Camera;
use nokhwa::utils::{
    ApiBackend, CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType,
};
use tracing::debug;
use v4l::Device;
use v4l::capability::Flags;
use v4l::format::{Format, FourCC};
use v4l::framesize::FrameSizeEnum;
use v4l::video::Capture;
use v4l::video::capture::Parameters;

use crate::frame::Codec;

use super::failure::{Doing, V4l2Error};
use super::{V4l2, YUYV_A_SECOND, yuyv};

/// What is asked for of uncompressed pictures at most: width, height, pictures a second.
const YUYV_MOST: Mode = Mode { width: 640, height: 480, rate: 5 };

/// What a camera sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// How its pictures are encoded.
    pub codec: Codec,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Pictures a second that are kept at most.
    pub rate: u32,
}

impl Agreed {
    /// The format's name.
    pub const fn name(&self) -> &'static str {
        if matches!(self.codec, Codec::Yuyv { .. }) { "YUYV" } else { "MJPEG" }
    }

    /// The least time between two pictures that are kept.
    pub fn period(&self) -> Duration {
        let period = Duration::from_secs(1) / self.rate.max(1);
        let Codec::Yuyv { height, stride, .. } = self.codec else { return period };
        let bytes = f64::from(stride) * f64::from(height);
        period.max(Duration::from_secs_f64(bytes / f64::from(YUYV_A_SECOND)))
    }
}

/// A size and a rate, of those that are whole numbers of pictures a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mode {
    width: u32,
    height: u32,
    rate: u32,
}

/// What of a camera's formats is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Jpeg(FourCC),
    Yuyv,
}

impl Kind {
    /// The best of what is offered.
    fn of(offered: &[FourCC]) -> Option<Self> {
        let has = |name: &[u8; 4]| offered.contains(&FourCC::new(name)).then(|| FourCC::new(name));
        has(b"MJPG").or(has(b"JPEG")).map(Self::Jpeg).or(has(b"YUYV").map(|_| Self::Yuyv))
    }

    fn fourcc(self) -> FourCC {
        match self {
            Self::Jpeg(fourcc) => fourcc,
            Self::Yuyv => FourCC::new(b"YUYV"),
        }
    }

    /// The format as `nokhwa` names it, where it does.
    fn named(self) -> Option<FrameFormat> {
        match self {
            Self::Jpeg(fourcc) => (fourcc == FourCC::new(b"MJPG")).then_some(FrameFormat::MJPEG),
            Self::Yuyv => Some(FrameFormat::YUYV),
        }
    }

    /// What to ask for.
    fn ask(self, wanted: &V4l2) -> Mode {
        let Mode { width, height, rate } = YUYV_MOST;
        match self {
            Self::Yuyv if wanted.width > width || wanted.height > height => {
                let scale = (f64::from(width) / f64::from(wanted.width))
                    .min(f64::from(height) / f64::from(wanted.height));
                let scaled = |side: u32| (f64::from(side) * scale).round() as u32;
                Mode {
                    width: scaled(wanted.width),
                    height: scaled(wanted.height),
                    rate: rate.min(wanted.frames_per_second),
                }
            }
            Self::Yuyv => Mode { rate: rate.min(wanted.frames_per_second), ..Self::whole(wanted) },
            Self::Jpeg(_) => Self::whole(wanted),
        }
    }

    const fn whole(wanted: &V4l2) -> Mode {
        Mode { width: wanted.width, height: wanted.height, rate: wanted.frames_per_second }
    }
}

/// Opens the device and agrees with it.
pub fn with(wanted: &V4l2) -> Result<(Device, Agreed), V4l2Error> {
    let path = &wanted.device;
    let failed = |doing| move |e| V4l2Error::of(path, doing, e);
    let device = Device::with_path(path).map_err(failed(Doing::Open))?;
    let about = device.query_caps().map_err(failed(Doing::Open))?;
    if !about.capabilities.contains(Flags::VIDEO_CAPTURE | Flags::STREAMING) {
        return Err(V4l2Error::NotACamera { device: path.clone(), card: about.card });
    }
    let offered: Vec<FourCC> =
        device.enum_formats().map_err(failed(Doing::Ask))?.iter().map(|f| f.fourcc).collect();
    let kind = Kind::of(&offered).ok_or_else(|| V4l2Error::no_format(path, &offered))?;
    let ask = kind.ask(wanted);
    match listed(path, &device, kind, ask) {
        Ok(mode) => debug!(device = %path.display(), ?mode, "set from the camera's list"),
        Err(why) => {
            debug!(device = %path.display(), why, "the driver itself is asked for the nearest");
            let format = Format::new(ask.width, ask.height, kind.fourcc());
            device.set_format(&format).map_err(failed(Doing::Ask))?;
            // There are cameras with one rate, which do not let themselves be asked.
            let _ = device.set_params(&Parameters::with_fps(ask.rate));
        }
    }
    let format = device.format().map_err(failed(Doing::Ask))?;
    let fraction = device.params().map(|p| p.interval).ok();
    let per_second = fraction.and_then(|f| f.denominator.checked_div(f.numerator)).filter(|r| *r > 0);
    let agreed = agreed(&format, kind, per_second.map_or(ask.rate, |r| r.min(ask.rate)));
    agreed.ok_or_else(|| V4l2Error::no_format(path, &[format.fourcc])).map(|agreed| (device, agreed))
}

/// What the driver's answer means; `None` if it cannot be used.
fn agreed(format: &Format, kind: Kind, rate: u32) -> Option<Agreed> {
    let &Format { width, height, fourcc, stride, .. } = format;
    let codec = match kind {
        _ if fourcc != kind.fourcc() => return None,
        Kind::Jpeg(_) => Codec::Jpeg,
        Kind::Yuyv => {
            let stride = stride.max(width.checked_mul(2)?);
            yuyv::size(width, height, stride)?;
            Codec::Yuyv { width, height, stride }
        }
    };
    Some(Agreed { codec, width, height, rate })
}

/// Sets the nearest of what the camera lists; the reason where that cannot be done.
fn listed(path: &Path, device: &Device, kind: Kind, ask: Mode) -> Result<Mode, String> {
    let number = number(path).ok_or("the device has no number")?;
    let format = kind.named().ok_or("a format without a name")?;
    let sizes = device.enum_framesizes(kind.fourcc()).map_err(|e| e.to_string())?;
    if sizes.iter().any(|s| matches!(s.size, FrameSizeEnum::Stepwise(_))) {
        return Err("sizes come in steps".into());
    }
    let set = || -> Result<Mode, String> {
        let said = |e: nokhwa::NokhwaError| e.to_string();
        let formats = [format];
        let as_it_is = RequestedFormat::with_formats(RequestedFormatType::None, &formats);
        let mut camera = Camera::with_backend(CameraIndex::Index(number), as_it_is, ApiBackend::Video4Linux)
            .map_err(said)?;
        let listed = camera.compatible_camera_formats().map_err(said)?;
        let modes = listed.iter().filter(|f| f.format() == format).map(|f| Mode {
            width: f.width(),
            height: f.height(),
            rate: f.frame_rate(),
        });
        let mode = nearest(modes, ask).ok_or("nothing is listed")?;
        let exactly = CameraFormat::new_from(mode.width, mode.height, format, mode.rate);
        let exactly = RequestedFormat::with_formats(RequestedFormatType::Exact(exactly), &formats);
        camera.set_camera_requset(exactly).map_err(said)?;
        Ok(mode)
    };
    let mode = catch_unwind(set).unwrap_or_else(|_| Err("the library panicked".into()))?;
    // The number may be another camera's by now, and a rate is not always what is listed.
    match device.format() {
        Ok(f) if (f.fourcc, f.width, f.height) == (kind.fourcc(), mode.width, mode.height) => Ok(mode),
        _ => Err("the camera is set otherwise".into()),
    }
}

/// N of /dev/videoN, which `path` is or leads to.
fn number(path: &Path) -> Option<u32> {
    let node = path.canonicalize().ok()?;
    node.file_name()?.to_str()?.strip_prefix("video")?.parse().ok()
}

/// The nearest size, and of that the lowest rate that is enough, or else the highest.
fn nearest(modes: impl Iterator<Item = Mode> + Clone, ask: Mode) -> Option<Mode> {
    let ratio = |a: u32, b: u32| (f64::from(a.max(1)) / f64::from(b.max(1))).ln().abs();
    let distance = |m: &Mode| ratio(m.width, ask.width) + ratio(m.height, ask.height);
    let near = modes.clone().min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
    let same = modes.filter(|m| (m.width, m.height) == (near.width, near.height));
    let enough = same.clone().filter(|m| m.rate >= ask.rate).min_by_key(|m| m.rate);
    enough.or_else(|| same.max_by_key(|m| m.rate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wanted(width: u32, height: u32, frames_per_second: u32) -> V4l2 {
        V4l2 { device: "/dev/video0".into(), width, height, frames_per_second }
    }

    fn mode((width, height, rate): (u32, u32, u32)) -> Mode {
        Mode { width, height, rate }
    }

    #[test]
    fn mjpeg_is_taken_before_yuyv() {
        let offered = |names: &[&[u8; 4]]| names.iter().map(|n| FourCC::new(n)).collect::<Vec<_>>();
        assert_eq!(Kind::of(&offered(&[b"YUYV", b"H264", b"MJPG"])).unwrap().fourcc(), FourCC::new(b"MJPG"));
        assert_eq!(Kind::of(&offered(&[b"YUYV", b"JPEG"])).unwrap().fourcc(), FourCC::new(b"JPEG"));
        assert_eq!(Kind::of(&offered(&[b"NV12", b"YUYV"])), Some(Kind::Yuyv));
        assert_eq!(Kind::of(&offered(&[b"H264", b"NV12"])), None);
    }

    #[test]
    fn less_is_asked_of_what_is_not_compressed() {
        let jpeg = Kind::Jpeg(FourCC::new(b"MJPG"));
        assert_eq!(jpeg.ask(&wanted(1280, 720, 15)), mode((1280, 720, 15)));
        assert_eq!(Kind::Yuyv.ask(&wanted(1280, 720, 15)), mode((640, 360, 5)));
        assert_eq!(Kind::Yuyv.ask(&wanted(1280, 960, 2)), mode((640, 480, 2)));
        assert_eq!(Kind::Yuyv.ask(&wanted(320, 240, 30)), mode((320, 240, 5)));
    }

    #[test]
    fn the_nearest_of_a_list_is_taken() {
        let list: Vec<Mode> =
            [(1920, 1080, 30), (1280, 720, 10), (1280, 720, 30), (640, 480, 30), (640, 480, 15)]
                .map(mode)
                .into();
        for (ask, expected) in [
            ((1280, 720, 15), (1280, 720, 30)),
            ((1280, 720, 60), (1280, 720, 30)),
            ((1280, 800, 5), (1280, 720, 10)),
            ((640, 360, 15), (640, 480, 15)),
            ((4096, 4096, 1), (1920, 1080, 30)),
        ] {
            assert_eq!(nearest(list.iter().copied(), mode(ask)), Some(mode(expected)), "{ask:?}");
        }
        assert_eq!(nearest([].into_iter(), mode((1, 1, 1))), None);
    }

    #[test]
    fn what_the_driver_answers_must_be_usable() {
        let format =
            |width, height, name, stride| Format { stride, ..Format::new(width, height, FourCC::new(name)) };
        let yuyv = |f: &Format| agreed(f, Kind::Yuyv, 5).map(|a| a.codec);
        assert_eq!(
            yuyv(&format(640, 480, b"YUYV", 1280)),
            Some(Codec::Yuyv { width: 640, height: 480, stride: 1280 })
        );
        let untold = yuyv(&format(640, 480, b"YUYV", 0));
        assert_eq!(untold, Some(Codec::Yuyv { width: 640, height: 480, stride: 1280 }));
        assert_eq!(yuyv(&format(640, 480, b"NV12", 640)), None);
        assert_eq!(yuyv(&format(641, 480, b"YUYV", 1282)), None);
        assert_eq!(yuyv(&format(u32::MAX, 2, b"YUYV", 0)), None);
    }

    #[test]
    fn what_is_kept_of_uncompressed_pictures_fits_the_ring() {
        let of = |codec, rate| Agreed { codec, width: 1280, height: 720, rate }.period();
        assert_eq!(of(Codec::Jpeg, 15), Duration::from_secs(1) / 15);
        assert_eq!(of(Codec::Yuyv { width: 640, height: 480, stride: 1280 }, 5), Duration::from_millis(200));
        assert_eq!(of(Codec::Yuyv { width: 1280, height: 720, stride: 2560 }, 5), Duration::from_millis(576));
    }

    #[test]
    fn a_name_that_leads_to_a_device_has_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let (node, name) = (dir.path().join("video7"), dir.path().join("usb-Some_Camera-video-index0"));
        std::fs::write(&node, "").unwrap();
        std::os::unix::fs::symlink("video7", &name).unwrap();
        assert_eq!((number(&node), number(&name)), (Some(7), Some(7)));
        assert_eq!(number(Path::new("/dev/null")), None);
        assert_eq!(number(&dir.path().join("video8")), None);
    }

    proptest! {
        #[test]
        fn the_nearest_is_one_of_the_list(
            list in proptest::collection::vec((0u32..5000, 0u32..5000, 0u32..200).prop_map(mode), 0..20),
            ask in (1u32..5000, 1u32..5000, 1u32..60).prop_map(mode),
        ) {
            match nearest(list.iter().copied(), ask) {
                None => prop_assert!(list.is_empty()),
                Some(found) => {
                    prop_assert!(list.contains(&found));
                    let better = |m: &&Mode| (m.width, m.height) == (ask.width, ask.height) && m.rate >= ask.rate;
                    if list.iter().any(|m| better(&m)) {
                        prop_assert!(better(&&found));
                    }
                }
            }
        }
    }
}
