//! `counterproof evaluate sessions`: whole settlements through the rule that
//! decides, counted as the people at the window would count them.
//!
//! Layout `stills`: for each draw and person one photograph is the reference and
//! up to five others are the views of a settlement, taken for 400 ms apart.
//! Photographs years apart are harder than a minute at a window, and there is no
//! movement in them. Layout `sequences`: each sequence is what a counter's camera
//! sent, and goes the agent's own way from JPEG to verdict (`super::counters`).
//!
//! Genuine settlements are compared with the person's own references, impostor
//! settlements with every other person's, prints with those of the person
//! printed. The figures compare settings; they do not promise a rate at a
//! counter. People never tuned on are the other half (`--half`).

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock::BoxTime;
use crate::crypto::transform::Transform;
use crate::protocol::figures::ScoreHistogram;
use crate::protocol::verdict::Outcome;
use crate::verify::Verdict;
use crate::verify::calibration::{Calibration, Rule};
use crate::verify::evidence::Evidence;
use crate::verify::person::Seen;
use crate::verify::subjects::Subjects;
use crate::vision::detect::Face;
use crate::vision::liveness::Signal;
use crate::vision::manifest::Manifest;
use crate::vision::{Vision, Wanted};

use super::backdrop::Dice;
use super::corpus::{self, Draw, Half, Layout, Picture};
use super::rates::{Interval, Scores};
use super::tally::{Tally, is_inconclusive, is_match, is_mismatch};
use super::verification::{median, ms};
use super::{BenchError, counters, find_manifest};

/// Photographs of one settlement.
pub(super) const FRAMES: usize = 5;
/// Whoever a photograph is of stands at the counter.
const SITTER: Face = Face { score: 1.0, edges: [0.0, 0.0, 100.0, 100.0], landmarks: [[0.0; 2]; 5] };
/// Time between them, as the rule is told.
const APART_MS: u64 = 400;

/// Arguments of `evaluate sessions`.
#[derive(Debug, clap::Args)]
pub struct SessionsArgs {
    /// Folder with the people's pictures.
    #[arg(long, value_name = "DIR")]
    pub root: PathBuf,
    /// How the folder is laid out; by default as it looks.
    #[arg(long, value_enum)]
    pub layout: Option<Layout>,
    /// Stills: settlements drawn for each person.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub draws: u32,
    /// Stills: another seed draws others.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Sequences: milliseconds from one picture to the next.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub frame_ms: u64,
    /// Sequences: write every settlement as a line of JSON here.
    #[arg(long, value_name = "FILE")]
    pub each: Option<PathBuf>,
    /// Sequences: at most so many impostor settlements and prints each, spread over all.
    #[arg(long, value_name = "N")]
    pub most: Option<usize>,
    /// Sequences: without the liveness model.
    #[arg(long)]
    pub no_liveness: bool,
    /// Which people, by their place in the alphabet: to tune on one half and report on the other.
    #[arg(long, value_enum, default_value = "all")]
    pub half: Half,
    /// Stills: try these boundaries for a mismatch beside the calibration's: scores of all views together.
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    pub mismatch_score: Vec<f32>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// The manifest of models.
    #[arg(long, default_value = "models/models.toml")]
    pub models: PathBuf,
    /// The calibration that decides.
    #[arg(long, default_value = "config/calibrations/sface-2021dec.toml")]
    pub calibration: PathBuf,
}

/// How settlements of each kind ended.
#[derive(Default)]
pub(super) struct Ended {
    pub genuine: Tally,
    pub impostor: Tally,
    pub print: Tally,
    /// Scores at the verdict, as a box counts them.
    pub scores: [ScoreHistogram; 2],
    /// CPU of genuine verifications, ms.
    pub cpu_ms: Vec<f64>,
    /// Frames looked at until a match.
    pub frames_to_match: Vec<f64>,
}

/// Runs the evaluation and prints it.
///
/// # Errors
/// [`BenchError`] naming the folder or picture, and what to do.
pub fn run(args: &SessionsArgs) -> Result<(), BenchError> {
    let layout = args.layout.unwrap_or_else(|| Layout::of(&args.root));
    let manifest = Manifest::read(&find_manifest(&args.models))?;
    let liveness = layout == Layout::Sequences && !args.no_liveness;
    let wanted = Wanted { liveness: liveness.then(Wanted::liveness_model), ..Wanted::default() };
    let mut vision = Vision::load(&manifest, &wanted)?;
    let path = find_manifest(&args.calibration);
    let (calibration, _) = Calibration::read(&path, vision.recognizer())?;
    calibration.fits_liveness(&path, vision.liveness_sha256())?;
    let calibration = Arc::new(calibration);
    let people = corpus::read(&args.root, layout, args.half)?;
    let transform = super::transform();
    let pictures = corpus::embed(&mut vision, &people, layout, FRAMES)?;
    let comparisons = comparisons(&pictures, &calibration);
    if layout == Layout::Sequences {
        let played = counters::play(args, &mut vision, &calibration, &transform, &people)?;
        let mut report = report(people.len(), &calibration, &played.ended, comparisons);
        played.add_to(&mut report);
        return print(args, vec![report]);
    }
    let mut settings = vec![Arc::clone(&calibration)];
    settings.extend(args.mismatch_score.iter().map(|score| {
        let llr = calibration.map(FRAMES).llr(*score);
        Arc::new(Calibration {
            rule: Rule { mismatch_llr: llr, ..calibration.rule },
            ..(*calibration).clone()
        })
    }));
    let reports = settings
        .iter()
        .map(|c| {
            let mut dice = Dice::new(args.seed);
            let ended = settle(
                &pictures,
                &transform,
                c,
                (0..args.draws).map(|_| corpus::draw(&mut dice, &pictures, FRAMES)),
            );
            report(people.len(), c, &ended, comparisons.clone())
        })
        .collect();
    print(args, reports)
}

/// Plays every drawn settlement, genuine and impostor.
pub(super) fn settle(
    people: &[Vec<Picture>],
    transform: &Arc<Transform>,
    calibration: &Arc<Calibration>,
    draws: impl Iterator<Item = Vec<Draw>>,
) -> Ended {
    let mut out = Ended::default();
    for drawn in draws {
        let subjects: Vec<Option<Subjects>> = drawn
            .iter()
            .map(|d| super::cardholder(transform, people[d.person][d.reference].reference.as_ref()?))
            .collect();
        for probe in &drawn {
            for (reference, subjects) in drawn.iter().zip(&subjects) {
                let Some(subjects) = subjects else { continue };
                let frames = probe.frames.iter().map(|f| &people[probe.person][*f]);
                let (verdict, looked) = play(frames.clone(), subjects, calibration);
                let genuine = probe.person == reference.person;
                let outcome = verdict.outcome();
                if genuine {
                    out.cpu_ms.push(frames.take(looked).map(|f| ms(f.cost)).sum());
                    out.frames_to_match.extend((outcome == Outcome::Match).then_some(looked as f64));
                }
                if genuine { &mut out.genuine } else { &mut out.impostor }.add(probe.person, outcome);
                if let Some(score) = verdict.score() {
                    out.scores[usize::from(!genuine)].add(score);
                }
            }
        }
    }
    out
}

/// The verdict, and how many frames were looked at until it.
fn play<'a>(
    frames: impl Iterator<Item = &'a Picture>,
    subjects: &Subjects,
    calibration: &Arc<Calibration>,
) -> (Verdict, usize) {
    let mut evidence = Evidence::new(subjects, Arc::clone(calibration));
    let mut looked = 0;
    for (n, frame) in frames.enumerate() {
        looked = n + 1;
        evidence.sighting(0, &SITTER, false);
        if let Some((probe, quality)) = &frame.view {
            let at = BoxTime::from_millis(n as u64 * APART_MS);
            let seen = Seen { at, probe: Arc::clone(probe), quality: *quality, liveness: Signal::Off };
            if let Some(verdict) = evidence.view(0, seen) {
                return (verdict, looked);
            }
        }
    }
    (evidence.conclude(), looked)
}

/// FMR and FNMR of single comparisons at the boundary for a match.
fn comparisons(people: &[Vec<Picture>], calibration: &Calibration) -> Value {
    let transform = super::transform();
    let mut scores: Vec<(f32, bool)> = Vec::new();
    let views: Vec<(usize, &Picture, crate::vision::embed::ProtectedProbe)> = people
        .iter()
        .enumerate()
        .flat_map(|(i, pictures)| pictures.iter().map(move |p| (i, p)))
        .filter_map(|(i, p)| Some((i, p, p.view.as_ref()?.0.protect(&transform)?)))
        .collect();
    for (i, pictures) in people.iter().enumerate() {
        for reference in pictures {
            let Some(template) = reference.reference.as_ref().and_then(|r| r.protect(&transform)) else {
                continue;
            };
            let other = |p: &&(usize, &Picture, _)| p.0 != i || p.1.session != reference.session;
            for (j, _, probe) in views.iter().filter(other) {
                scores.extend(probe.compare(&template).map(|s| (s, i == *j)));
            }
        }
    }
    let scores = Scores::new(scores);
    let at = scores.at(calibration.map(1).score(calibration.rule.match_llr));
    json!({
        "genuine": scores.genuine(),
        "impostor": scores.impostor(),
        "threshold": at.threshold,
        "fmr": at.fmr,
        "fnmr": at.fnmr,
        "eer": scores.eer(),
    })
}

fn report(people: usize, c: &Calibration, ended: &Ended, comparisons: Value) -> Value {
    let Ended { genuine, impostor, print, .. } = ended;
    json!({
        "mismatch_score": c.map(FRAMES).score(c.rule.mismatch_llr),
        "people": people,
        "genuine_people": genuine.people(),
        "genuine_settlements": genuine.settlements(),
        "false_alerts": genuine.count(is_mismatch),
        "false_alerts_per_10k": genuine.share(is_mismatch) * 10_000.0,
        "genuine_matched": genuine.share(is_match),
        "inconclusive_genuine": genuine.share(is_inconclusive),
        "inconclusive_reasons": genuine.reasons(),
        "impostor_settlements": impostor.settlements(),
        "impostors_alerted": impostor.share(is_mismatch),
        "impostors_matched": impostor.share(is_match),
        "impostors_inconclusive": impostor.share(is_inconclusive),
        "impostor_reasons": impostor.reasons(),
        "prints": print.settlements(),
        "prints_matched": print.count(is_match),
        "prints_alerted": print.count(is_mismatch),
        "print_reasons": print.reasons(),
        "comparisons": comparisons,
        "ci95": intervals(ended, |tally, is| tally.wilson(is)),
        "ci95_by_people": intervals(ended, |tally, is| tally.by_people(is)),
        "cpu_ms_median": median(ended.cpu_ms.clone()),
        "frames_to_match_median": median(ended.frames_to_match.clone()),
        "notes": ["ci95 is Wilson's and takes settlements for independent, which is too good; ci95_by_people resamples people, and goes by the rule of three where there is no event"],
    })
}

/// The interval of each share.
fn intervals(ended: &Ended, of: impl Fn(&Tally, fn(Outcome) -> bool) -> Interval) -> Value {
    json!({
        "false_alerts": of(&ended.genuine, is_mismatch),
        "inconclusive_genuine": of(&ended.genuine, is_inconclusive),
        "impostors_alerted": of(&ended.impostor, is_mismatch),
        "impostors_matched": of(&ended.impostor, is_match),
        "prints_matched": of(&ended.print, is_match),
    })
}

fn print(args: &SessionsArgs, mut reports: Vec<Value>) -> Result<(), BenchError> {
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
    for r in &reports {
        let number = |k: &str| r[k].as_f64().unwrap_or(f64::NAN);
        println!(
            "{:>20.3} | {:>23.1} | {:>16.2}% | {:>19.2}% | {:>16.3}%",
            number("mismatch_score"),
            number("false_alerts_per_10k"),
            number("impostors_alerted") * 100.0,
            number("inconclusive_genuine") * 100.0,
            number("impostors_matched") * 100.0
        );
    }
    for r in reports.iter().filter(|r| r["prints"] != 0) {
        println!("prints {}, matched {}, alerted {}", r["prints"], r["prints_matched"], r["prints_alerted"]);
    }
    Ok(())
}
