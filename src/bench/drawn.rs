//! `counterproof bench scenes`: the drawn test camera's pictures as a data set,
//! in the layout that `evaluate sessions` reads, for whoever has no other.
//!
//! Two people from the sample portraits; a session is a portrait, or another
//! drawing of it. What is measured on them is the program, not its accuracy.

use std::path::PathBuf;

use crate::camera::decode;
use crate::vision::manifest::Manifest;
use crate::vision::{Vision, Wanted};

use super::scene::Scene;
use super::{BenchError, find_manifest};

/// Person, session, portrait, seed of the scene.
const SESSIONS: [(&str, &str, &str, u64); 5] = [
    ("0001", "session-01", "portrait-a", 1),
    ("0001", "session-02", "portrait-a", 2),
    ("0002", "session-01", "portrait-b1", 3),
    ("0002", "session-02", "portrait-b2", 4),
    ("0002", "session-03", "portrait-b3", 5),
];
/// Pictures of a sequence: six seconds at five a second.
const PICTURES: u32 = 30;

/// Arguments of `bench scenes`.
#[derive(Debug, clap::Args)]
pub struct ScenesArgs {
    /// Folder to write to.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The manifest of models.
    #[arg(long, default_value = "models/models.toml")]
    pub models: PathBuf,
}

/// Draws and writes the pictures.
///
/// # Errors
/// If a sample is missing or shows no face, or a picture cannot be written.
pub fn run(args: &ScenesArgs) -> Result<(), BenchError> {
    let manifest = Manifest::read(&find_manifest(&args.models))?;
    let mut vision = Vision::load(&manifest, &Wanted::default())?;
    for (person, session, id, seed) in SESSIONS {
        let refused = |what: &str| BenchError::Sample(format!("{id}: {what}"));
        let portrait = decode::still(&manifest.sample(id)?)
            .map_err(|source| BenchError::Picture { path: PathBuf::from(id), source })?;
        let faces = vision.find_in_still(&portrait)?;
        let face = faces.first().ok_or_else(|| refused("no face found"))?;
        let scene = Scene::person(&portrait, face).map_err(|e| refused(&e.to_string()))?.with_seed(seed);
        let folder = args.out.join("live").join(person).join(session).join("00-00");
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |source| BenchError::Io { path, source, advice: "give --out a folder that can be written" }
        };
        std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
        for n in 0..PICTURES {
            let path = folder.join(format!("{n:04}.jpg"));
            std::fs::write(&path, scene.jpeg(n * 3)).map_err(failed(&path))?;
        }
    }
    Ok(())
}
