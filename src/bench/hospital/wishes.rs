//! What whoever opens a throw-away hospital may want otherwise.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::vision::manifest::Manifest;

/// What a test may want otherwise.
#[derive(Clone)]
pub struct Wishes {
    /// How long a mismatch is held.
    pub hold_ms: u64,
    /// How long before a settlement its window begins.
    pub before_ms: u64,
    /// How long after it the window ends.
    pub after_ms: u64,
    /// Texts of the agent's configuration to replace: found, by what.
    pub replace: Vec<(String, String)>,
    /// Lines at the end of the bureau's configuration.
    pub bureau: String,
    /// Whether a supervisor signs before the box starts; else it begins in shadow.
    pub commissioned: bool,
    /// The counters and their cameras.
    pub counters: Vec<(String, Camera)>,
    /// Who is enrolled, and who stands at `w01`.
    pub people: People,
}

/// Whose photographs are used.
#[derive(Debug, Clone)]
pub enum People {
    /// The manifest's sample portraits: `PA` and `PB`, of whom `PB` stands there.
    Samples,
    /// Those that somebody gives: one for each cardholder, and another of whoever stands there.
    Given {
        /// By cardholder.
        enrolled: BTreeMap<String, PathBuf>,
        /// At `w01`.
        there: PathBuf,
    },
}

impl People {
    /// One photograph for each cardholder.
    pub(super) fn enrolled(&self, manifest: &Manifest) -> io::Result<BTreeMap<String, Vec<u8>>> {
        let sample = |name: &str, id| Ok((name.to_owned(), manifest.sample(id).map_err(io::Error::other)?));
        match self {
            Self::Samples => [("PA", "portrait-a"), ("PB", "portrait-b1")]
                .map(|(n, id)| sample(n, id))
                .into_iter()
                .collect(),
            Self::Given { enrolled, .. } => {
                enrolled.iter().map(|(name, path)| Ok((name.clone(), read(path)?))).collect()
            }
        }
    }

    /// Who stands at `w01`.
    pub(super) fn there(&self, manifest: &Manifest) -> io::Result<Vec<u8>> {
        match self {
            // Not portrait-b2: even as photographs, it and portrait A score 0.28, which is a doubt.
            Self::Samples => manifest.sample("portrait-b3").map_err(io::Error::other),
            Self::Given { there, .. } => read(there),
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|e| io::Error::other(format!("{}: {e}", path.display())))
}

/// A counter's camera.
#[derive(Debug, Clone)]
pub enum Camera {
    /// The pictures of a folder, 15 a second.
    Replay(PathBuf),
    /// A network camera at this address.
    Rtsp(String),
    /// A USB camera of 640x480 at this device.
    V4l2(PathBuf),
}

/// Two, with the drawn cameras.
fn usual_counters() -> Vec<(String, Camera)> {
    let replay = |id: &str| (id.to_owned(), Camera::Replay(format!("cameras/{id}").into()));
    vec![replay("w01"), replay("w02")]
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            hold_ms: 0,
            before_ms: 1000,
            after_ms: 1000,
            replace: Vec::new(),
            bureau: String::new(),
            commissioned: true,
            counters: usual_counters(),
            people: People::Samples,
        }
    }
}
