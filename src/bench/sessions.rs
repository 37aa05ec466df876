//! `counterproof evaluate sessions`: whole settlements through the rule that
//! decides, counted as the people at the window would count them.
//!
//! Layout `stills`: `ROOT/PERSON/*.jpg`. For each draw and person one
//! photograph is the reference and up to five others are the frames of a
//! settlement, taken for 400 ms apart. Genuine settlements are compared with
//! the person's own reference, impostor settlements with every other person's.
//! Photographs years apart are harder than a minute at a window, and there is
//! no movement in them: the figures compare settings, they do not promise a
//! rate at a counter. People never tuned on are the other half (`--half`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use crate::camera::decode;
use crate::clock::BoxTime;
use crate::crypto::transform::Transform;
use crate::protocol::verdict::Outcome;
use crate::verify::calibration::{Calibration, Thresholds};
use crate::verify::evidence::{Evidence, Subjects};
use crate::vision::embed::Probe;
use crate::vision::manifest::Manifest;
use crate::vision::quality::{Gate, Quality};
use crate::vision::{Vision, Wanted};

use super::backdrop::Dice;
use super::pairs::subject;
use super::rates::{Interval, wilson};
use super::{BenchError, find_manifest};

/// Photographs of one settlement.
const FRAMES: usize = 5;
/// Time between them, as the rule is told.
const APART_MS: u64 = 400;

/// Arguments of `evaluate sessions`.
#[derive(Debug, clap::Args)]
pub struct SessionsArgs {
    /// Folder with one folder of photographs for each person.
    #[arg(long, value_name = "DIR")]
    pub root: PathBuf,
    /// How the folder is laid out.
    #[arg(long, value_enum, default_value = "stills")]
    pub layout: Layout,
    /// Settlements drawn for each person.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub draws: u32,
    /// Another seed draws others.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Which people, by their place in the alphabet: to tune on one half and report on the other.
    #[arg(long, value_enum, default_value = "all")]
    pub half: Half,
    /// Try these mean scores for a mismatch beside the calibration's.
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    pub mismatch_mean: Vec<f32>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// The manifest of models.
    #[arg(long, default_value = "models/models.toml")]
    pub models: PathBuf,
    /// The calibration whose thresholds decide.
    #[arg(long, default_value = "config/calibrations/sface-2021dec.toml")]
    pub calibration: PathBuf,
}

/// Layouts that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Layout {
    /// `PERSON/*.jpg`, photographs
    Stills,
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

/// One photograph: as a reference, and as a frame.
struct Still {
    reference: Option<Subjects>,
    seen: Option<(Arc<Probe>, Quality)>,
}

/// Verdicts of one kind of settlement.
#[derive(Default)]
struct Tally {
    settlements: usize,
    matches: usize,
    mismatches: usize,
    inconclusive: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn add(&mut self, outcome: Outcome) {
        self.settlements += 1;
        match outcome {
            Outcome::Match => self.matches += 1,
            Outcome::Mismatch => self.mismatches += 1,
            other => *self.inconclusive.entry(other.reason()).or_default() += 1,
        }
    }

    fn undecided(&self) -> usize {
        self.inconclusive.values().sum()
    }
}

/// Runs the evaluation and prints it.
///
/// # Errors
/// [`BenchError`] naming the folder or picture, and what to do.
pub fn run(args: &SessionsArgs) -> Result<(), BenchError> {
    let manifest = Manifest::read(&find_manifest(&args.models))?;
    let mut vision = Vision::load(&manifest, &Wanted::default())?;
    let (calibration, _) = Calibration::read(&find_manifest(&args.calibration), vision.recognizer())?;
    let people = people(args)?;
    let total: usize = people.iter().map(Vec::len).sum();
    let (transform, mut done) = (super::transform(), 0);
    let mut stills = Vec::with_capacity(people.len());
    for photographs in &people {
        let mut of_one = Vec::with_capacity(photographs.len());
        for path in photographs {
            of_one.push(still(&mut vision, &transform, path)?);
            done += 1;
            if done % 50 == 0 || done == total {
                eprint!("\rphotographs {done}/{total}");
            }
        }
        stills.push(of_one);
    }
    eprintln!();
    let mut settings = vec![calibration.thresholds];
    settings.extend(
        args.mismatch_mean.iter().map(|m| Thresholds { mismatch_mean: *m, ..calibration.thresholds }),
    );
    let reports: Vec<serde_json::Value> = settings
        .iter()
        .map(|t| {
            let (genuine, impostor) = settle(args, &stills, *t, calibration.model);
            report(&people, t, &genuine, &impostor)
        })
        .collect();
    print(args, reports)
}

fn people(args: &SessionsArgs) -> Result<Vec<Vec<PathBuf>>, BenchError> {
    let read = |dir: &Path| -> Result<Vec<PathBuf>, BenchError> {
        let io = |source| BenchError::Io {
            path: dir.to_owned(),
            source,
            advice: "give --root the folder that holds one folder for each person",
        };
        let mut all: Vec<PathBuf> =
            std::fs::read_dir(dir).map_err(io)?.filter_map(|e| e.ok().map(|e| e.path())).collect();
        all.sort();
        Ok(all)
    };
    let mut out = Vec::new();
    for (i, dir) in read(&args.root)?.into_iter().filter(|p| p.is_dir()).enumerate() {
        let wanted = match args.half {
            Half::All => true,
            Half::Odd => i % 2 == 0,
            Half::Even => i % 2 == 1,
        };
        if wanted {
            let mut photographs = read(&dir)?;
            photographs.retain(|p| p.extension().is_some_and(|e| e.eq_ignore_ascii_case("jpg")));
            if photographs.len() > 1 {
                out.push(photographs);
            }
        }
    }
    if out.len() < 2 {
        return Err(BenchError::Sample(format!(
            "{}: found {} people with two photographs or more; at least 2 are needed",
            args.root.display(),
            out.len()
        )));
    }
    Ok(out)
}

fn still(vision: &mut Vision, transform: &Arc<Transform>, path: &Path) -> Result<Still, BenchError> {
    let bytes = std::fs::read(path).map_err(|source| BenchError::Io {
        path: path.to_owned(),
        source,
        advice: "make the picture readable",
    })?;
    let frame =
        decode::still(&bytes).map_err(|source| BenchError::Picture { path: path.to_owned(), source })?;
    let faces = vision.find_in_still(&frame)?;
    let Some(face) = subject(&frame, &faces) else { return Ok(Still { reference: None, seen: None }) };
    let crop = vision.align(&frame, face);
    let quality = vision.judge(&frame, face, &crop);
    let reference = super::cardholder(transform, &vision.reference(&crop)?);
    let good = quality.flaws(&Gate::PROBE).is_empty();
    let seen = if good { Some((Arc::new(vision.embed(&crop)?), quality)) } else { None };
    Ok(Still { reference, seen })
}

/// Plays every drawn settlement under one setting.
fn settle(
    args: &SessionsArgs,
    people: &[Vec<Still>],
    thresholds: Thresholds,
    model: crate::crypto::Sha256,
) -> (Tally, Tally) {
    let (mut genuine, mut impostor) = (Tally::default(), Tally::default());
    let mut dice = Dice::new(args.seed);
    for _ in 0..args.draws {
        let drawn: Vec<(usize, Vec<usize>)> = people.iter().map(|p| draw(&mut dice, p.len())).collect();
        for (i, (_, frames)) in drawn.iter().enumerate() {
            for (j, (reference, _)) in drawn.iter().enumerate() {
                let Some(subject) = &people[j][*reference].reference else { continue };
                let frames = frames.iter().map(|f| &people[i][*f]);
                let outcome = play(frames, subject, thresholds, model);
                if i == j { genuine.add(outcome) } else { impostor.add(outcome) }
            }
        }
    }
    (genuine, impostor)
}

/// One reference and up to five other photographs.
fn draw(dice: &mut Dice, photographs: usize) -> (usize, Vec<usize>) {
    let mut left: Vec<usize> = (0..photographs).collect();
    let mut take = || {
        let at = (dice.between(0.0, left.len() as f32) as usize).min(left.len() - 1);
        left.swap_remove(at)
    };
    let reference = take();
    (reference, (1..photographs.min(FRAMES + 1)).map(|_| take()).collect())
}

fn play<'a>(
    frames: impl Iterator<Item = &'a Still>,
    subject: &Subjects,
    thresholds: Thresholds,
    model: crate::crypto::Sha256,
) -> Outcome {
    let mut evidence = Evidence::new(subject, thresholds, model);
    for (n, frame) in frames.enumerate() {
        evidence.sighting(0, 1.0);
        if let Some((probe, quality)) = &frame.seen {
            let at = BoxTime::from_millis(n as u64 * APART_MS);
            if let Some(verdict) = evidence.view(0, at, Arc::clone(probe), *quality) {
                return verdict.outcome();
            }
        }
    }
    evidence.conclude().outcome()
}

fn report(people: &[Vec<PathBuf>], t: &Thresholds, genuine: &Tally, impostor: &Tally) -> serde_json::Value {
    let share = |part: usize, of: &Tally| part as f64 / of.settlements.max(1) as f64;
    let ci = |part: usize, of: &Tally| -> Interval { wilson(part, of.settlements) };
    json!({
        "mismatch_mean": t.mismatch_mean,
        "people": people.len(),
        "genuine_settlements": genuine.settlements,
        "false_alerts": genuine.mismatches,
        "false_alerts_per_10k": share(genuine.mismatches, genuine) * 10_000.0,
        "genuine_matched": share(genuine.matches, genuine),
        "inconclusive_genuine": share(genuine.undecided(), genuine),
        "inconclusive_reasons": genuine.inconclusive,
        "impostor_settlements": impostor.settlements,
        "impostors_alerted": share(impostor.mismatches, impostor),
        "impostors_matched": share(impostor.matches, impostor),
        "impostors_inconclusive": share(impostor.undecided(), impostor),
        "ci95": {
            "false_alerts": ci(genuine.mismatches, genuine),
            "inconclusive_genuine": ci(genuine.undecided(), genuine),
            "impostors_alerted": ci(impostor.mismatches, impostor),
        },
        "note": "intervals take settlements for independent; those of one person are not, so the true ones are wider",
    })
}

fn print(args: &SessionsArgs, mut reports: Vec<serde_json::Value>) -> Result<(), BenchError> {
    if args.json {
        let mut first = reports.remove(0);
        if !reports.is_empty() {
            first["others"] = reports.into();
        }
        println!("{}", serde_json::to_string_pretty(&first).map_err(std::io::Error::from)?);
        return Ok(());
    }
    println!(
        "mismatch at or below | false alerts per 10,000 | impostors alerted | genuine inconclusive | impostors matched"
    );
    for r in reports {
        let number = |k: &str| r[k].as_f64().unwrap_or(f64::NAN);
        println!(
            "{:>20.2} | {:>23.1} | {:>16.2}% | {:>19.2}% | {:>16.3}%",
            number("mismatch_mean"),
            number("false_alerts_per_10k"),
            number("impostors_alerted") * 100.0,
            number("inconclusive_genuine") * 100.0,
            number("impostors_matched") * 100.0
        );
    }
    Ok(())
}
