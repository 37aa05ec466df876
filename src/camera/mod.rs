//! From a camera to samples, and from the samples that are wanted to frames.
//!
//! A [`Source`] is what a configuration says of a camera; opened, it is a
//! [`Stream`] that fills a [`ring::Ring`] with what the camera sends, as it
//! sends it. Nothing is decoded until a settlement wants a picture ([`decode`]).
//! Who starts streams, watches them and starts them again is not here.

pub mod clip;
pub mod course;
pub mod decode;
pub mod error;
pub mod h264;
pub mod health;
pub mod jpeg;
pub mod pictures;
pub mod replay;
pub mod ring;
pub mod rtsp;
mod sharpness;
pub mod v4l2;
pub mod yuyv;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer};

use crate::clock::Clock;
use crate::crypto::keys;
use crate::settings::{self, Problem};

use replay::{Replay, ReplayError};
use ring::Ring;
use rtsp::{Rtsp, RtspError};
use v4l2::{V4l2, V4l2Error};

/// `[counters.camera]`
#[derive(Debug, Clone)]
pub enum Source {
    /// Pictures from a folder or file.
    Replay(Replay),
    /// A network camera.
    Rtsp(Rtsp),
    /// A USB camera.
    V4l2(V4l2),
}

impl<'de> Deserialize<'de> for Source {
    /// By `kind`, then the keys of that kind. Complaints name the key themselves,
    /// for its place in the file is lost on the way (`settings` finds it again).
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Kind {
            Replay,
            Rtsp,
            V4l2,
        }
        #[derive(Deserialize)]
        struct Tagged {
            kind: Kind,
            #[serde(flatten)]
            keys: toml::Table,
        }
        fn of_kind<T: DeserializeOwned, E: de::Error>(keys: toml::Table) -> Result<T, E> {
            serde_path_to_error::deserialize(toml::Value::Table(keys)).map_err(|e| {
                let (path, what) = (e.path().to_string(), e.inner().message());
                E::custom(settings::about(&path, what))
            })
        }
        let Tagged { kind, keys } = Tagged::deserialize(deserializer)?;
        Ok(match kind {
            Kind::Replay => Self::Replay(of_kind(keys)?),
            Kind::Rtsp => Self::Rtsp(of_kind(keys)?),
            Kind::V4l2 => Self::V4l2(of_kind(keys)?),
        })
    }
}

/// Where a stream puts its samples, and when it ends.
pub struct Sink {
    /// Takes the samples.
    pub ring: Arc<Ring>,
    /// Tells when they arrived.
    pub clock: Arc<dyn Clock>,
    /// Set when the stream is to end.
    pub stop: Arc<AtomicBool>,
}

impl Sink {
    /// Whether the stream is to end.
    pub fn stopped(&self) -> bool {
        self.stop.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// A camera that is open.
pub trait Stream: Send {
    /// Fills the ring until told to stop. Blocks; meant for a thread of its own.
    ///
    /// # Errors
    /// When the camera ends, is unplugged, or sends what cannot be understood.
    fn play(self: Box<Self>, sink: &Sink) -> Result<(), CameraError>;
}

/// Why a camera cannot be opened, or ended.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // each variant is its source
pub enum CameraError {
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Rtsp(#[from] RtspError),
    #[error(transparent)]
    V4l2(#[from] V4l2Error),
}

impl CameraError {
    /// Whether it may pass without anybody changing the configuration or the
    /// camera: it is not there yet, or somebody else has it.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Replay(_) | Self::Rtsp(_) => false,
            Self::V4l2(e) => e.may_pass(),
        }
    }
}

impl Source {
    /// Opens the camera. A network camera that does not answer is none of the
    /// errors: it is asked again when it plays.
    ///
    /// # Errors
    /// If it is not there or not as configured, with what to do.
    pub fn open(&self) -> Result<Box<dyn Stream>, CameraError> {
        match self {
            Self::Replay(replay) => Ok(Box::new(replay.open()?)),
            Self::Rtsp(rtsp) => Ok(Box::new(rtsp.open()?)),
            Self::V4l2(v4l2) => Ok(Box::new(v4l2.open()?)),
        }
    }

    /// What is wrong with its settings; `key` is its place in the configuration.
    pub fn problems(&self, key: &str) -> Vec<Problem> {
        match self {
            Self::Replay(replay) => replay.problems(key),
            Self::Rtsp(rtsp) => rtsp.problems(key),
            Self::V4l2(v4l2) => v4l2.problems(key),
        }
    }

    /// Makes paths absolute that are written relative to the configuration's folder.
    pub fn resolve(&mut self, base: &Path) {
        match self {
            Self::Replay(replay) => replay.path = base.join(&replay.path),
            Self::Rtsp(rtsp) => rtsp.password.iter_mut().for_each(|p| keys::resolve(p, base)),
            Self::V4l2(_) => {}
        }
    }

    /// Its kind, as configurations name it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Replay(_) => "replay",
            Self::Rtsp(_) => "rtsp",
            Self::V4l2(_) => "v4l2",
        }
    }

    /// How long after the light a picture arrives.
    pub const fn delay(&self) -> Duration {
        match self {
            Self::Replay(_) | Self::V4l2(_) => Duration::ZERO,
            Self::Rtsp(rtsp) => Duration::from_millis(rtsp.delay_ms),
        }
    }

    /// Longest time between two pictures that can be decoded alone.
    pub const fn group(&self) -> Duration {
        match self {
            Self::Replay(_) | Self::V4l2(_) => Duration::ZERO,
            Self::Rtsp(rtsp) => Duration::from_secs(rtsp.key_frame_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Validate;

    #[derive(Debug, Deserialize)]
    struct File {
        camera: Source,
    }

    impl Validate for File {
        fn problems(&self) -> Vec<Problem> {
            self.camera.problems("camera")
        }
    }

    fn complaint(text: &str) -> String {
        settings::parse::<File>(Path::new("f"), text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_with_a_camera_is_told_with_its_line_and_key() {
        let cases = [
            ("[camera]\nkind = \"rtsp\"\nurl = \"rtsp://h/\"\nfames = 3\n", "f:4:1", "`fames`"),
            ("[camera]\nkind = \"v4l2\"\ndevice = \"/dev/video0\"\n  width = \"1\"\n", "f:4:3", "`width`"),
            ("[camera]\nkind = \"rstp\"\n", "f:2:8", "`rstp`"),
            ("[camera]\nkind = \"rtsp\"\n[other]\nwidth = 1\n", "f:1:1", "`url`"),
            ("[camera]\nkind = \"v4l2\"\ndevice = \"video0\"\n", "f:3", "camera.device"),
        ];
        for (text, place, key) in cases {
            let told = complaint(text);
            assert!(told.starts_with(place) && told.contains(key), "{told}");
        }
    }
}
