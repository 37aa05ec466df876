//! A camera that plays pictures from a folder or an MJPEG file at its own
//! pace, for tests, demonstrations and evaluation.
//!
//! A folder's `*.jpg` are played in the order of their names; a file is JPEG
//! pictures one after the other, as a network camera sends them. The pictures
//! are handed on as they are: decoding is for whoever wants one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::frame::{Codec, Sample};
use crate::settings::Problem;

use super::{CameraError, Sink, Stream};

/// Greatest accepted picture of a replay, in bytes.
const MAX_PICTURE: usize = 16 << 20;

/// What to play, and how.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Folder of JPEG pictures, or an MJPEG file.
    pub path: PathBuf,
    /// Pictures a second.
    pub frames_per_second: f32,
    /// Begin again at the end, or fall silent.
    #[serde(default = "yes")]
    pub repeat: bool,
}

fn yes() -> bool {
    true
}

impl Replay {
    /// Finds what there is to play.
    ///
    /// # Errors
    /// [`ReplayError`] if nothing can be read.
    pub fn open(&self) -> Result<Player, ReplayError> {
        Ok(Player { pictures: Pictures::open(&self.path)?, replay: self.clone() })
    }

    /// What is wrong with its settings.
    pub fn problems(&self, key: &str) -> Vec<Problem> {
        let rate = self.frames_per_second;
        let wrong =
            || Problem::new(&format!("{key}.frames_per_second"), rate, "0.1 to 240", "Pictures a second.");
        if (0.1..=240.0).contains(&rate) { Vec::new() } else { vec![wrong()] }
    }
}

/// Why there is nothing to play.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The folder or file cannot be read.
    #[error("replay {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A picture that was there is not any more.
    #[error("replay {0}: the picture is gone or too long: was the folder taken away?")]
    Gone(PathBuf),
    /// No picture in it.
    #[error("replay {0}: no picture in it; expected a folder of .jpg files or a file of JPEG pictures")]
    Empty(PathBuf),
}

/// Pictures in their order, each read when it is played.
pub enum Pictures {
    /// One file each.
    Files(Vec<PathBuf>),
    /// One file with all of them.
    Memory(Vec<Vec<u8>>),
}

impl Pictures {
    /// Finds what there is to play.
    ///
    /// # Errors
    /// [`ReplayError`] if nothing can be read.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let io = |source| ReplayError::Io { path: path.to_owned(), source };
        let pictures = if std::fs::metadata(path).map_err(io)?.is_dir() {
            let mut files = Vec::new();
            for entry in std::fs::read_dir(path).map_err(io)? {
                let file = entry.map_err(io)?.path();
                if file
                    .extension()
                    .is_some_and(|e| e.eq_ignore_ascii_case("jpg") || e.eq_ignore_ascii_case("jpeg"))
                {
                    files.push(file);
                }
            }
            files.sort();
            Self::Files(files)
        } else {
            Self::Memory(split_mjpeg(&std::fs::read(path).map_err(io)?))
        };
        if pictures.len() == 0 { Err(ReplayError::Empty(path.to_owned())) } else { Ok(pictures) }
    }

    /// How many there are.
    #[allow(clippy::len_without_is_empty)] // never empty once open
    pub fn len(&self) -> usize {
        match self {
            Self::Files(f) => f.len(),
            Self::Memory(m) => m.len(),
        }
    }

    /// One of them; `None` past the end or if it cannot be read any more.
    pub fn get(&self, i: usize) -> Option<Vec<u8>> {
        match self {
            Self::Files(f) => std::fs::read(f.get(i)?).ok().filter(|b| b.len() <= MAX_PICTURE),
            Self::Memory(m) => m.get(i).cloned(),
        }
    }
}

/// Cuts a stream of JPEG pictures at their start marks (FF D8 FF) and end
/// marks (FF D9); what lies between pictures is passed over.
pub fn split_mjpeg(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = stream;
    while let Some(start) = rest.windows(3).position(|w| w == [0xff, 0xd8, 0xff]) {
        let picture = rest.get(start..).unwrap_or_default();
        let next =
            picture.windows(3).skip(3).position(|w| w == [0xff, 0xd8, 0xff]).map_or(picture.len(), |n| n + 3);
        let body = picture.get(..next).unwrap_or_default();
        if let Some(end) = body.windows(2).rposition(|w| w == [0xff, 0xd9]) {
            out.push(body.get(..end + 2).unwrap_or_default().to_vec());
        }
        rest = picture.get(next..).unwrap_or_default();
    }
    out
}

/// A replay that is ready to play.
pub struct Player {
    replay: Replay,
    pictures: Pictures,
}

impl Stream for Player {
    /// Plays the pictures at their pace by the machine's own clock. A picture
    /// that cannot be read any more is to a replay what unplugging is to a camera.
    fn play(self: Box<Self>, sink: &Sink) -> Result<(), CameraError> {
        let Self { replay, pictures } = *self;
        let period = Duration::from_secs_f32(1.0 / replay.frames_per_second.clamp(0.1, 240.0));
        let begun = std::time::Instant::now();
        for n in 0u32.. {
            if sink.stopped() {
                return Ok(());
            }
            let i = n as usize % pictures.len();
            if n as usize >= pictures.len() && !replay.repeat {
                break;
            }
            let due = begun + period * n;
            while let Some(left) =
                due.checked_duration_since(std::time::Instant::now()).filter(|d| !d.is_zero())
            {
                std::thread::sleep(left.min(Duration::from_millis(100)));
                if sink.stopped() {
                    return Ok(());
                }
            }
            let bytes = pictures.get(i).ok_or_else(|| ReplayError::Gone(replay.path.clone()))?;
            sink.ring.push(Sample::new(sink.clock.now().boot, Codec::Jpeg, bytes));
        }
        while !sink.stopped() {
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_stream_is_cut_into_its_pictures() {
        let a = [0xff, 0xd8, 0xff, 1, 2, 0xff, 0xd9];
        let b = [0xff, 0xd8, 0xff, 3, 0xff, 0xd9];
        let stream = [&a[..], b"--boundary\r\n", &b, &[0, 0], &a[..4]].concat();
        assert_eq!(split_mjpeg(&stream), [a.to_vec(), b.to_vec()]);
    }

    proptest! {
        #[test]
        fn any_stream_is_cut_without_panic(bytes in proptest::collection::vec(prop_oneof![Just(0xffu8), Just(0xd8), Just(0xd9), any::<u8>()], 0..200)) {
            for p in split_mjpeg(&bytes) {
                prop_assert!(p.starts_with(&[0xff, 0xd8, 0xff]) && p.ends_with(&[0xff, 0xd9]));
            }
        }
    }

    #[test]
    fn an_empty_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let text = Pictures::open(dir.path()).err().unwrap().to_string();
        assert!(text.contains("no picture"), "{text}");
    }
}
