//! Why a USB camera gives no picture, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use v4l::format::FourCC;

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EIO: i32 = 5;
const ENXIO: i32 = 6;
const EACCES: i32 = 13;
const EBUSY: i32 = 16;
pub const ENODEV: i32 = 19;
const ENOTTY: i32 = 25;
const ENOSPC: i32 = 28;

impl V4l2Error {
    /// Whether it may pass by itself: the camera comes later, or is given free.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Busy(_) | Self::Gone(_) | Self::Silent { .. })
    }
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum V4l2Error {
    /// Nothing is there.
    #[error(
        "camera {}: there is no such device: is it plugged in? `ls -l /dev/v4l/by-id/` lists those that are",
        .0.display()
    )]
    Missing(PathBuf),
    /// It is there and may not be opened.
    #[error(
        "camera {}: not allowed: the user of the agent must be in the group `video`, and its unit must allow \
         the device (counterproof.service.d/20-camera.conf.example)", .0.display()
    )]
    Forbidden(PathBuf),
    /// It is there and gives no video.
    #[error(
        "camera {}: {card} gives no video: many cameras have a second device for other data; \
         take the one whose name ends in -video-index0", .device.display()
    )]
    NotACamera {
        /// Which.
        device: PathBuf,
        /// What it calls itself.
        card: String,
    },
    /// Another program has it.
    #[error("camera {device}: another program is using it: `fuser -v {device}` names it", device = .0.display())]
    Busy(PathBuf),
    /// It speaks neither of the two formats.
    #[error(
        "camera {}: it offers {offered}, of which none can be used: a camera with MJPEG or YUYV is needed",
        .device.display()
    )]
    NoFormat {
        /// Which.
        device: PathBuf,
        /// The four letters of each.
        offered: String,
    },
    /// The USB bus cannot carry what was asked for.
    #[error(
        "camera {}: the USB bus has no room for it: plug it into a port of another controller, \
         away from other cameras, or lower width, height or frames_per_second", .0.display()
    )]
    Bandwidth(PathBuf),
    /// It was there and is not any more.
    #[error("camera {}: it is gone: was it unplugged? Look at its cable and hub", .0.display())]
    Gone(PathBuf),
    /// It is there and sends nothing.
    #[error(
        "camera {}: no picture for {seconds} s ({broken} came that were not whole): if it does not come back, \
         unplug it and plug it in again, without a hub", .device.display()
    )]
    Silent {
        /// Which.
        device: PathBuf,
        /// How long.
        seconds: u64,
        /// Pictures that came in this time and could not be used.
        broken: u32,
    },
    /// Anything else that the driver says.
    #[error("camera {}: {doing}: {source}: unplug it and plug it in again; `dmesg` says more", .device.display())]
    Refused {
        /// Which.
        device: PathBuf,
        /// What was tried.
        doing: Doing,
        /// What the system said.
        source: io::Error,
    },
    /// The library took a driver's answer for impossible.
    #[error("camera {}: the library panicked over what its driver said: try another camera", .0.display())]
    Panicked(PathBuf),
}

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Opening the device.
    Open,
    /// Agreeing on a format.
    Ask,
    /// Starting the stream.
    Start,
    /// Reading pictures.
    Read,
}

impl std::fmt::Display for Doing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "it cannot be opened",
            Self::Ask => "it agrees to no format",
            Self::Start => "it does not start",
            Self::Read => "it cannot be read",
        })
    }
}

impl V4l2Error {
    /// What the system's answer means.
    pub fn of(device: &Path, doing: Doing, source: io::Error) -> Self {
        let device = device.to_owned();
        match (source.raw_os_error(), doing) {
            (Some(ENOENT | ENXIO), _) | (Some(ENODEV), Doing::Open) => Self::Missing(device),
            (Some(EPERM | EACCES), _) => Self::Forbidden(device),
            (Some(EBUSY), _) => Self::Busy(device),
            (Some(ENOTTY), Doing::Open) => Self::NotACamera { device, card: "what is there".into() },
            (Some(ENOSPC), Doing::Start) => Self::Bandwidth(device),
            (Some(ENODEV), _) | (Some(EIO), Doing::Read) => Self::Gone(device),
            _ => Self::Refused { device, doing, source },
        }
    }

    /// None of these can be used.
    pub fn no_format(device: &Path, offered: &[FourCC]) -> Self {
        let names: Vec<String> = offered.iter().map(ToString::to_string).collect();
        let offered = if names.is_empty() { "nothing".into() } else { names.join(", ") };
        Self::NoFormat { device: device.to_owned(), offered }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_names_the_device_and_what_to_do() {
        for (errno, doing, advice) in [
            (ENOENT, Doing::Open, "is it plugged in"),
            (ENODEV, Doing::Open, "is it plugged in"),
            (EACCES, Doing::Open, "group `video`"),
            (EPERM, Doing::Open, "20-camera.conf"),
            (ENOTTY, Doing::Open, "-video-index0"),
            (EBUSY, Doing::Ask, "fuser -v /dev/video3"),
            (EBUSY, Doing::Start, "fuser -v /dev/video3"),
            (ENOSPC, Doing::Start, "another controller"),
            (ENODEV, Doing::Read, "unplugged"),
            (EIO, Doing::Read, "unplugged"),
            (EIO, Doing::Start, "dmesg"),
        ] {
            let text = V4l2Error::of(Path::new("/dev/video3"), doing, io::Error::from_raw_os_error(errno))
                .to_string();
            assert!(text.starts_with("camera /dev/video3: ") && text.contains(advice), "{errno}: {text}");
        }
        let text = V4l2Error::no_format(Path::new("/dev/video3"), &[FourCC::new(b"H264")]).to_string();
        assert!(text.contains("H264") && text.contains("MJPEG or YUYV"), "{text}");
    }
}
