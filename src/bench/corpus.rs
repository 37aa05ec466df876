//! People and their pictures, from folders: what settlements are drawn from.
//!
//! Two layouts. `stills`: `ROOT/PERSON/*.jpg`, photographs of any time.
//! `sequences`: `ROOT/{live,print}/PERSON/SESSION/SEQUENCE/*.jpg`, what a camera
//! sent, in order; `print` is a picture of that person held to the camera.
//! Names of people stay in paths: nothing here gives one to a report.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::camera::decode;
use crate::frame::{Frame, Region};
use crate::protocol::reference::Template;
use crate::vision::Vision;
use crate::vision::cost::thread_cpu;
use crate::vision::detect::Looking;
use crate::vision::embed::Probe;
use crate::vision::quality::{Gate, Quality};

use super::BenchError;
use super::backdrop::Dice;
use super::pairs::{Progress, subject};

/// How a folder of pictures is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Layout {
    /// `PERSON/*.jpg`, photographs
    Stills,
    /// `{live,print}/PERSON/SESSION/SEQUENCE/*.jpg`, what a camera sent
    Sequences,
}

impl Layout {
    /// What the folder looks like.
    pub fn of(root: &Path) -> Self {
        if root.join("live").is_dir() { Self::Sequences } else { Self::Stills }
    }
}

/// Which people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Half {
    /// Everybody
    All,
    /// The first, third, fifth, …
    Odd,
    /// The second, fourth, sixth, …
    Even,
}

impl Half {
    fn has(self, place: usize) -> bool {
        match self {
            Self::All => true,
            Self::Odd => place.is_multiple_of(2),
            Self::Even => !place.is_multiple_of(2),
        }
    }
}

/// One folder of pictures in order of their names.
#[derive(Debug, Clone)]
pub struct Sequence {
    /// The session that it belongs to; the same number is the same day.
    pub session: usize,
    /// Its pictures.
    pub pictures: Vec<PathBuf>,
}

/// One person's folders.
#[derive(Debug, Clone)]
pub struct Folders {
    /// Of the person.
    pub live: Vec<Sequence>,
    /// Of pictures of the person.
    pub print: Vec<Sequence>,
}

/// Reads which pictures there are of whom.
///
/// # Errors
/// If there are not two people, naming the folder and what was found.
pub fn read(root: &Path, layout: Layout, half: Half) -> Result<Vec<Folders>, BenchError> {
    let people: Vec<Folders> = match layout {
        Layout::Stills => subfolders(root)?
            .iter()
            .map(|person| {
                // No two photographs are of one session.
                let each = jpegs(person)?.into_iter().enumerate();
                let live = each.map(|(session, p)| Sequence { session, pictures: vec![p] }).collect();
                Ok(Folders { live, print: Vec::new() })
            })
            .collect::<Result<_, BenchError>>()?,
        Layout::Sequences => subfolders(&root.join("live"))?
            .iter()
            .map(|person| {
                let prints = root.join("print").join(person.file_name().unwrap_or_default());
                let print = if prints.is_dir() { sequences(&prints)? } else { Vec::new() };
                Ok(Folders { live: sequences(person)?, print })
            })
            .collect::<Result<_, BenchError>>()?,
    };
    let wanted = |(place, person): (usize, Folders)| {
        (half.has(place) && person.live.iter().any(|s| !s.pictures.is_empty())).then_some(person)
    };
    let people: Vec<Folders> = people.into_iter().enumerate().filter_map(wanted).collect();
    if people.len() < 2 {
        return Err(BenchError::TooLittle(format!(
            "{}: found {} people with pictures; at least 2 are needed: give --root the folder that holds one folder for each person",
            root.display(),
            people.len()
        )));
    }
    Ok(people)
}

fn sequences(person: &Path) -> Result<Vec<Sequence>, BenchError> {
    let mut out = Vec::new();
    for (session, folder) in subfolders(person)?.iter().enumerate() {
        for sequence in subfolders(folder)? {
            out.push(Sequence { session, pictures: jpegs(&sequence)? });
        }
    }
    Ok(out)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, BenchError> {
    let io = |source| BenchError::Io {
        path: dir.to_owned(),
        source,
        advice: "give --root the folder that holds one folder for each person",
    };
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(dir).map_err(io)?.filter_map(|e| e.ok().map(|e| e.path())).collect();
    all.sort();
    Ok(all)
}

fn subfolders(dir: &Path) -> Result<Vec<PathBuf>, BenchError> {
    Ok(entries(dir)?.into_iter().filter(|p| p.is_dir()).collect())
}

fn jpegs(dir: &Path) -> Result<Vec<PathBuf>, BenchError> {
    let jpeg = |p: &PathBuf| p.extension().is_some_and(|e| e.eq_ignore_ascii_case("jpg"));
    Ok(entries(dir)?.into_iter().filter(jpeg).collect())
}

/// The bytes of a picture.
///
/// # Errors
/// If it cannot be read.
pub fn bytes(path: &Path) -> Result<Vec<u8>, BenchError> {
    std::fs::read(path).map_err(|source| BenchError::Io {
        path: path.to_owned(),
        source,
        advice: "make the picture readable",
    })
}

/// A picture, decoded.
///
/// # Errors
/// If it cannot be read or decoded.
pub fn frame(path: &Path) -> Result<Frame, BenchError> {
    decode::still(&bytes(path)?).map_err(|source| BenchError::Picture { path: path.to_owned(), source })
}

/// One picture: as a reference, and as a view.
pub struct Picture {
    /// Its session, and its sequence in it.
    pub session: usize,
    /// Number of the sequence among the person's.
    pub sequence: usize,
    /// As enrolment makes it; nothing where no face is found.
    pub reference: Option<Template>,
    /// As a good view at a counter; nothing where it is not one.
    pub view: Option<(Arc<Probe>, Quality)>,
    /// CPU from the file's bytes to the view.
    pub cost: Duration,
}

/// Embeds every picture of every person; of a sequence, `most` spread over it.
///
/// # Errors
/// If a picture cannot be read, or a model fails.
pub fn embed(
    vision: &mut Vision,
    people: &[Folders],
    layout: Layout,
    most: usize,
) -> Result<Vec<Vec<Picture>>, BenchError> {
    let spread = |s: &Sequence| -> Vec<PathBuf> {
        let n = s.pictures.len().min(most);
        (0..n).filter_map(|i| s.pictures.get(i * s.pictures.len() / n).cloned()).collect()
    };
    let total = people.iter().flat_map(|p| &p.live).map(|s| s.pictures.len().min(most)).sum();
    let mut progress = Progress::new(total);
    let mut out = Vec::with_capacity(people.len());
    for person in people {
        let mut pictures = Vec::new();
        for (number, sequence) in person.live.iter().enumerate() {
            for path in spread(sequence) {
                // Photographs are one settlement's views however far apart they were taken.
                let at = (sequence.session, if layout == Layout::Stills { 0 } else { number });
                pictures.push(picture(vision, &path, at)?);
                progress.one_more();
            }
        }
        out.push(pictures);
    }
    Ok(out)
}

fn picture(
    vision: &mut Vision,
    path: &Path,
    (session, sequence): (usize, usize),
) -> Result<Picture, BenchError> {
    let begun = thread_cpu();
    let frame = frame(path)?;
    let mut faces = vision.detect(&frame, &Region::WHOLE, Looking::COUNTER)?;
    if faces.is_empty() {
        faces = vision.find_in_still(&frame)?;
    }
    let Some(face) = subject(&frame, &faces) else {
        return Ok(Picture {
            session,
            sequence,
            reference: None,
            view: None,
            cost: thread_cpu().saturating_sub(begun),
        });
    };
    let crop = vision.align(&frame, face);
    let quality = vision.judge(&frame, &Region::WHOLE, face, &crop);
    let good = quality.flaws(&Gate::PROBE).is_empty();
    let view = if good { Some((Arc::new(vision.embed(&crop)?), quality)) } else { None };
    let cost = thread_cpu().saturating_sub(begun);
    let (reference, unified) = vision.reference(&crop)?;
    // Photographs of all kinds are references here; those a bureau would send back are not.
    let reference = (unified >= Gate::ENROLMENT.unified).then_some(reference);
    Ok(Picture { session, sequence, reference, view, cost })
}

/// A settlement's pictures by number: the reference, and the frames.
pub struct Draw {
    /// Of whom.
    pub person: usize,
    /// Number of the reference among the person's pictures.
    pub reference: usize,
    /// Numbers of the frames, none of the reference's session.
    pub frames: Vec<usize>,
}

/// One settlement of each person who has pictures of two sessions: any picture
/// is the reference, up to `most` of one other sequence are the frames.
pub fn draw(dice: &mut Dice, people: &[Vec<Picture>], most: usize) -> Vec<Draw> {
    let mut pick = |n: usize| (dice.between(0.0, n as f32) as usize).min(n - 1);
    let mut out = Vec::new();
    for (person, pictures) in people.iter().enumerate() {
        if pictures.is_empty() {
            continue;
        }
        let reference = pick(pictures.len());
        let other = |i: &usize| pictures[*i].session != pictures[reference].session;
        let mut left: Vec<usize> = (0..pictures.len()).filter(other).collect();
        if left.is_empty() {
            continue;
        }
        let sequence = pictures[left[pick(left.len())]].sequence;
        left.retain(|i| pictures[*i].sequence == sequence);
        let frames = (0..left.len().min(most)).map(|_| left.swap_remove(pick(left.len()))).collect();
        out.push(Draw { person, reference, frames });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn touch(root: &Path, path: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"").unwrap();
    }

    #[test]
    fn both_layouts_are_read_and_one_person_is_too_few() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for p in ["a/1.jpg", "a/2.jpg", "a/notes.txt", "b/1.JPG", "c/1.jpg"] {
            touch(root, p);
        }
        let count = |half| read(root, Layout::of(root), half).map(|p| p.len());
        assert_eq!((count(Half::All).unwrap(), count(Half::Odd).unwrap()), (3, 2));
        let text = count(Half::Even).unwrap_err().to_string();
        assert!(text.contains("found 1 people"), "{text}");
        let people = read(root, Layout::Stills, Half::All).unwrap();
        assert_eq!(people[0].live.iter().map(|s| s.session).collect::<Vec<_>>(), [0, 1]);

        let root = &root.join("cameras");
        for p in [
            "live/a/s1/x/1.jpg",
            "live/a/s1/y/1.jpg",
            "live/a/s2/x/1.jpg",
            "live/b/s1/x/1.jpg",
            "print/a/s1/x/1.jpg",
        ] {
            touch(root, p);
        }
        assert_eq!(Layout::of(root), Layout::Sequences);
        let people = read(root, Layout::Sequences, Half::All).unwrap();
        assert_eq!(people[0].live.iter().map(|s| s.session).collect::<Vec<_>>(), [0, 0, 1]);
        assert_eq!((people[0].print.len(), people[1].print.len()), (1, 0));
    }

    proptest! {
        #[test]
        fn frames_are_different_pictures_of_one_sequence_and_another_session(
            places in proptest::collection::vec((0usize..3, 0usize..3), 1..20), seed in any::<u64>())
        {
            let person: Vec<Picture> = places.iter().map(|(session, sequence)| Picture {
                session: *session, sequence: session * 3 + sequence, reference: None, view: None, cost: Duration::ZERO,
            }).collect();
            let people = [person];
            for d in draw(&mut Dice::new(seed), &people, 5) {
                let pictures = &people[d.person];
                let mut seen = d.frames.clone();
                seen.sort_unstable();
                seen.dedup();
                prop_assert!(!d.frames.is_empty() && seen.len() == d.frames.len() && seen.len() <= 5);
                for f in &d.frames {
                    prop_assert_ne!(pictures[*f].session, pictures[d.reference].session);
                    prop_assert_eq!(pictures[*f].sequence, pictures[d.frames[0]].sequence);
                }
            }
        }
    }
}
