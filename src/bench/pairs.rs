//! `counterproof evaluate pairs`: how well two photographs of one person are
//! told from two of different people.
//!
//! The left picture is the reference and the right one the probe, made as
//! enrolment and the counter make theirs; the score is their cosine under a
//! transform, as at a box. Every
//! picture is decoded, looked at and embedded once. Unlike enrolment it
//! refuses no poor picture and expects bystanders: of several faces it takes
//! the large and central one.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::list::PairList;
use super::report::{Report, Scored, Subject};
use super::svg::Det;
use super::{BenchError, find_manifest};
use crate::camera::decode;
use crate::frame::Frame;
use crate::protocol::reference::Template;
use crate::vision::align::Crop;
use crate::vision::detect::Face;
use crate::vision::embed::Probe;
use crate::vision::manifest::Manifest;
use crate::vision::model::ModelError;
use crate::vision::{Vision, Wanted};

/// Options of `counterproof evaluate pairs`.
#[derive(Debug, clap::Args)]
pub struct PairsArgs {
    /// List of pairs, with the header left,right,same,fold
    #[arg(long, value_name = "FILE")]
    pub pairs: PathBuf,
    /// Folder in which the paths of the list begin
    #[arg(long, value_name = "DIR")]
    pub images: PathBuf,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// Also write det.svg and pairs.json into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Manifest of models
    #[arg(long, value_name = "FILE", default_value = "models/models.toml")]
    pub models: PathBuf,
    /// How the left picture becomes a reference
    #[arg(long, value_enum, default_value_t = References::Enrolled)]
    pub references: References,
    /// Threads, each with its own models; as many as there are processors unless given
    #[arg(long, value_name = "N")]
    pub threads: Option<std::num::NonZeroUsize>,
}

/// How the left picture of a pair becomes a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum References {
    /// As enrolment does: the face and its mirror image together
    Enrolled,
    /// The face alone, as a probe
    Plain,
}

impl References {
    fn as_str(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled (face and mirror image together)",
            Self::Plain => "plain (face alone)",
        }
    }
}

/// Evaluates the pairs and prints the report.
///
/// # Errors
/// [`BenchError`] naming the file, line or picture, and what to do.
pub fn run(args: &PairsArgs) -> Result<(), BenchError> {
    let list = PairList::read(&args.pairs, &args.images)?;
    let manifest = Manifest::read(&find_manifest(&args.models))?;
    let wanted = Wanted::default();
    let mut first = Vision::load(&manifest, &wanted)?;
    let subject = Subject {
        model: wanted.recognizer.clone(),
        model_sha256: first.recognizer().sha256,
        preprocessing: first.recognizer().preprocessing,
        detector: wanted.detector.clone(),
        detector_sha256: first.detector_sha256(),
        references: args.references.as_str(),
        images: list.pictures.len(),
        failures_to_acquire: 0,
        failed: Vec::new(),
    };
    let work = Work::of(&list, args.references);
    let threads = args.threads.map_or_else(processors, std::num::NonZeroUsize::get);
    let mut others = (1..threads).map(|_| Vision::load(&manifest, &wanted)).collect::<Result<Vec<_>, _>>()?;
    let people = work.through(std::iter::once(&mut first).chain(&mut others))?;
    let report = report(subject, &list, &args.images, &people).ok_or_else(|| BenchError::Line {
        path: args.pairs.clone(),
        line: 2,
        found: "no pair that can be scored".into(),
        expected: "pairs of readable pictures",
    })?;
    if let Some(folder) = &args.out {
        write_files(folder, &report, args)?;
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json(&report)?)?
    } else {
        write!(out, "{report}")?
    }
    Ok(())
}

pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// What was made of one picture; nothing where no face was found.
#[derive(Default)]
pub(super) struct Embedded {
    pub(super) reference: Option<Template>,
    probe: Option<Probe>,
}

/// One picture and what it is needed for.
struct Task<'a> {
    picture: &'a Path,
    is_left: bool,
    is_right: bool,
}

pub(super) struct Work<'a> {
    tasks: Vec<Task<'a>>,
    references: References,
    next: AtomicUsize,
}

type Done = (usize, Result<Option<Embedded>, BenchError>);

impl<'a> Work<'a> {
    fn of(list: &'a PairList, references: References) -> Self {
        let mut tasks: Vec<Task<'a>> =
            list.pictures.iter().map(|picture| Task { picture, is_left: false, is_right: false }).collect();
        for pair in &list.pairs {
            tasks[pair.left].is_left = true;
            tasks[pair.right].is_right = true;
        }
        Self { tasks, references, next: AtomicUsize::new(0) }
    }

    /// The same for a reference of every picture, left or right, as enrolment makes it.
    pub(super) fn references_of(list: &'a PairList) -> Self {
        let task = |picture: &'a PathBuf| Task { picture, is_left: true, is_right: false };
        let tasks = list.pictures.iter().map(task).collect();
        Self { tasks, references: References::Enrolled, next: AtomicUsize::new(0) }
    }

    /// Embeds every picture, each model set on a thread of its own.
    pub(super) fn through<'v>(
        &self,
        models: impl Iterator<Item = &'v mut Vision>,
    ) -> Result<Vec<Option<Embedded>>, BenchError> {
        let mut all: Vec<Option<Embedded>> = self.tasks.iter().map(|_| None).collect();
        std::thread::scope(|scope| {
            let (send, receive) = mpsc::channel();
            for vision in models {
                let send = send.clone();
                scope.spawn(move || self.one_thread(vision, &send));
            }
            drop(send);
            let mut progress = Progress::new(all.len());
            for (i, embedded) in receive {
                all[i] = embedded?;
                progress.one_more();
            }
            Ok(all)
        })
    }

    fn one_thread(&self, vision: &mut Vision, send: &mpsc::Sender<Done>) {
        loop {
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = self.tasks.get(i) else { return };
            // Nobody receives any more once a picture has failed.
            if send.send((i, self.embed(vision, task))).is_err() {
                return;
            }
        }
    }

    fn embed(&self, vision: &mut Vision, task: &Task<'_>) -> Result<Option<Embedded>, BenchError> {
        let path = || task.picture.to_owned();
        let bytes = std::fs::read(task.picture).map_err(|source| BenchError::Io {
            path: path(),
            source,
            advice: "make the picture readable",
        })?;
        let frame = decode::still(&bytes).map_err(|source| BenchError::Picture { path: path(), source })?;
        let Some(crop) = aligned_subject(vision, &frame)? else { return Ok(None) };
        let enrolled = self.references == References::Enrolled;
        let mut out = Embedded::default();
        if task.is_left && enrolled {
            out.reference = Some(vision.reference(&crop)?.0);
        }
        if task.is_right || !enrolled {
            out.probe = Some(vision.embed(&crop)?);
        }
        Ok(Some(out))
    }
}

/// Person of the left picture, score, and whether it is one person's pair.
pub(super) type OfPerson = (usize, f32, bool);

/// Scores of a list's pairs with the person of the left picture and whether it is
/// one person's pair; also how many people there are. A folder is a person; pairs
/// with a picture that shows no face are left out.
pub(super) fn scores_with_people(
    pairs: &Path,
    images: &Path,
    manifest: &Manifest,
) -> Result<(usize, Vec<OfPerson>), BenchError> {
    let list = PairList::read(pairs, images)?;
    let mut models = (0..processors())
        .map(|_| Vision::load(manifest, &Wanted::default()))
        .collect::<Result<Vec<_>, _>>()?;
    let embedded = Work::of(&list, References::Enrolled).through(models.iter_mut())?;
    let mut people: BTreeMap<&Path, usize> = BTreeMap::new();
    let transform = super::transform();
    let mut out = Vec::new();
    for pair in &list.pairs {
        let folder = list.pictures[pair.left].parent().unwrap_or(Path::new(""));
        let next = people.len();
        let person = *people.entry(folder).or_insert(next);
        let both = embedded[pair.left].as_ref().zip(embedded[pair.right].as_ref());
        let score = both.and_then(|(left, right)| {
            right.probe.as_ref()?.protect(&transform)?.compare(&left.reference.as_ref()?.protect(&transform)?)
        });
        out.extend(score.map(|score| (person, score, pair.same)));
    }
    Ok((people.len(), out))
}

/// The face that a photograph is of, aligned; `None` if no face is found.
///
/// # Errors
/// If a model fails.
pub fn aligned_subject(vision: &mut Vision, frame: &Frame) -> Result<Option<Crop>, ModelError> {
    let faces = vision.find_in_still(frame)?;
    Ok(subject(frame, &faces).map(|face| vision.align(frame, face)))
}

/// The face that a photograph is of: large and near the middle.
pub fn subject<'a>(frame: &Frame, faces: &'a [Face]) -> Option<&'a Face> {
    let (mx, my) = (frame.width() as f32 / 2.0, frame.height() as f32 / 2.0);
    let weight = |face: &Face| {
        let [x, y] = face.centre();
        // 1 in the middle, 0 in the corners.
        let central = 1.0 - (x - mx).hypot(y - my) / mx.hypot(my);
        face.width() * face.height() * central.max(0.0) * face.score
    };
    faces.iter().max_by(|a, b| weight(a).total_cmp(&weight(b)))
}

fn report(mut about: Subject, list: &PairList, images: &Path, people: &[Option<Embedded>]) -> Option<Report> {
    let transform = super::transform();
    let score = |left: &Embedded, right: &Embedded| match &left.reference {
        Some(reference) => {
            right.probe.as_ref()?.protect(&transform)?.compare(&reference.protect(&transform)?)
        }
        None => right.probe.as_ref()?.likeness(left.probe.as_ref()?),
    };
    let scored: Vec<Scored> = list
        .pairs
        .iter()
        .map(|pair| {
            let both = people[pair.left].as_ref().zip(people[pair.right].as_ref());
            Scored { pair: *pair, score: both.and_then(|(left, right)| score(left, right)) }
        })
        .collect();
    let name = |p: &PathBuf| p.strip_prefix(images).unwrap_or(p).display().to_string();
    about.failed =
        list.pictures.iter().zip(people).filter(|(_, e)| e.is_none()).map(|(p, _)| name(p)).collect();
    about.failures_to_acquire = about.failed.len();
    Report::of(about, &scored)
}

fn json(report: &Report) -> Result<String, BenchError> {
    serde_json::to_string_pretty(report).map_err(|e| BenchError::Output(e.into()))
}

fn write_files(folder: &Path, report: &Report, args: &PairsArgs) -> Result<(), BenchError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BenchError::Io { path, source, advice: "give --out a folder that can be written" }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let data = args.pairs.file_name().unwrap_or_default().to_string_lossy();
    let least = report.genuine_pairs.min(report.impostor_pairs).max(1);
    let svg = Det {
        title: &format!("DET curve, {}", report.subject.model),
        subtitle: &format!(
            "{data}: {} genuine and {} impostor pairs, {} without a face",
            report.genuine_pairs, report.impostor_pairs, report.subject.failures_to_acquire
        ),
        curve: &report.curve,
        eer: report.eer,
        resolution: 1.0 / least as f64,
    }
    .to_svg();
    for (name, text) in [("det.svg", svg), ("pairs.json", json(report)? + "\n")] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(failed(&path))?;
    }
    Ok(())
}

/// Counts pictures on standard error: one line that changes on a terminal,
/// a line now and then elsewhere.
pub(super) struct Progress {
    done: usize,
    all: usize,
    since: Instant,
    shown: Instant,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(all: usize) -> Self {
        let now = Instant::now();
        Self { done: 0, all, since: now, shown: now, terminal: std::io::stderr().is_terminal() }
    }

    pub(super) fn one_more(&mut self) {
        self.done += 1;
        let wait = if self.terminal { Duration::from_millis(200) } else { Duration::from_secs(10) };
        if self.done < self.all && self.shown.elapsed() < wait {
            return;
        }
        self.shown = Instant::now();
        let rate = self.done as f64 / self.since.elapsed().as_secs_f64().max(1e-3);
        let end = if self.terminal && self.done < self.all { '\r' } else { '\n' };
        let mut err = std::io::stderr().lock();
        // Progress that cannot be shown is no reason to stop.
        let _ = write!(err, "{} of {}, {rate:.0} a second {end}", self.done, self.all);
        let _ = err.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, y: f32, side: f32) -> Face {
        let h = side / 2.0;
        Face { score: 0.9, edges: [x - h, y - h, x + h, y + h], landmarks: [[x, y]; 5] }
    }

    #[test]
    fn the_subject_is_large_and_central() {
        let frame = Frame::from_rgb(250, 250, vec![0; 250 * 250 * 3]).unwrap();
        let sitter = face(125.0, 125.0, 90.0);
        assert_eq!(subject(&frame, &[face(20.0, 20.0, 95.0), sitter]), Some(&sitter));
        assert_eq!(subject(&frame, &[face(125.0, 130.0, 12.0), sitter]), Some(&sitter));
        assert_eq!(subject(&frame, &[]), None);
    }
}
