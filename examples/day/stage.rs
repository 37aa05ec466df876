//! Who stands before the cameras. A window's camera plays a folder of pictures in a loop;
//! each is a link into the folder of whoever is there at the moment, and one link says who
//! that is. It is changed by a rename, so that no picture is ever half of two.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use counterproof::bench::scene::Scene;
use counterproof::camera::decode;
use counterproof::vision::manifest::Manifest;
use counterproof::vision::{Vision, Wanted};

use super::plan::There;

/// Pictures of each scene, played in a loop.
const PICTURES: u32 = 24;

/// The windows' cameras.
pub struct Stage {
    cameras: PathBuf,
}

const fn folder(there: There) -> &'static str {
    match there {
        There::Nobody => "nobody",
        There::PersonA => "person-a",
        There::PersonB => "person-b",
    }
}

/// The folder of a window's camera, from 0.
pub fn window(n: usize) -> String {
    format!("w{:02}", n + 1)
}

impl Stage {
    /// Draws the scenes from the sample portraits, and makes a camera for each window.
    ///
    /// # Errors
    /// If the models are not there, or the folder cannot be written.
    pub fn draw(dir: &Path, manifest: &Manifest, windows: usize) -> io::Result<Self> {
        let cameras = dir.join("cameras");
        let mut vision = Vision::load(manifest, &Wanted::default()).map_err(io::Error::other)?;
        for (there, portrait) in [
            (There::Nobody, None),
            (There::PersonA, Some("portrait-a")),
            (There::PersonB, Some("portrait-b3")),
        ] {
            let scene = match portrait {
                None => Scene::empty(),
                Some(id) => person(&mut vision, &manifest.sample(id).map_err(io::Error::other)?)?,
            };
            let folder = cameras.join("scenes").join(folder(there));
            fs::create_dir_all(&folder)?;
            for n in 0..PICTURES {
                fs::write(folder.join(format!("{n:04}.jpg")), scene.jpeg(n))?;
            }
        }
        let stage = Self { cameras };
        for n in 0..windows {
            let folder = stage.cameras.join(window(n));
            fs::create_dir_all(&folder)?;
            stage.comes(n, There::Nobody)?;
            for n in 0..PICTURES {
                symlink(format!("now/{n:04}.jpg"), folder.join(format!("{n:04}.jpg")))?;
            }
        }
        Ok(stage)
    }

    /// Somebody else is at a window from now on.
    ///
    /// # Errors
    /// If the link cannot be changed.
    pub fn comes(&self, n: usize, there: There) -> io::Result<()> {
        let folder_of_window = self.cameras.join(window(n));
        let next = folder_of_window.join("next");
        let _ = fs::remove_file(&next);
        symlink(format!("../scenes/{}", folder(there)), &next)?;
        fs::rename(next, folder_of_window.join("now"))
    }
}

fn person(vision: &mut Vision, photograph: &[u8]) -> io::Result<Scene> {
    let photo = decode::still(photograph).map_err(io::Error::other)?;
    let faces = vision.find_in_still(&photo).map_err(io::Error::other)?;
    let face = faces.first().ok_or_else(|| io::Error::other("no face in a sample portrait"))?;
    Scene::person(&photo, face).map_err(io::Error::other)
}

/// A photograph that is another file for each cardholder: the bureau enrols no file twice.
/// The mark is a comment (JPEG's COM), which no decoder shows.
pub fn marked(photograph: &[u8], mark: &str) -> Vec<u8> {
    let (start, rest) = photograph.split_at(2.min(photograph.len()));
    let length = (mark.len() as u16 + 2).to_be_bytes();
    [start, &[0xff, 0xfe], &length, mark.as_bytes(), rest].concat()
}
