//! Recorded sequences as counters: each goes the agent's own way, from what the
//! camera sent to a verdict, with the agent's own rules.
//!
//! References are up to five pictures of one session, enrolled as a bureau
//! enrols photographs. Genuine: every sequence of another session. Impostor:
//! every sequence of every other person. Print: the printed sequences of the
//! person. The moment of settlement is the middle of the sequence.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::camera::clip::Clip;
use crate::clock::BoxTime;
use crate::crypto::transform::Transform;
use crate::frame::{Codec, Region, Sample};
use crate::protocol::reference::Template;
use crate::protocol::verdict::Outcome;
use crate::verify::calibration::Calibration;
use crate::verify::session::{self, Ran, Rules};
use crate::verify::subjects::Subjects;
use crate::vision::{EnrolRefusal, Vision};

use super::BenchError;
use super::corpus::{self, Folders, Sequence};
use super::pairs::Progress;
use super::sessions::{Ended, SessionsArgs};
use super::verification::{median, ms};

/// References that a session gives.
const REFERENCES: usize = 5;

/// How the settlements ended, and what they cost.
pub(super) struct Played {
    pub ended: Ended,
    /// Milliseconds of camera time that those frames span.
    match_span_ms: Vec<f64>,
    enrolled: usize,
    refused: usize,
}

impl Played {
    /// Adds what only sequences tell.
    pub fn add_to(&self, report: &mut Value) {
        let print = &self.ended.print;
        report["ms_to_match_median"] = json!(median(self.match_span_ms.clone()));
        report["references"] = json!({ "enrolled": self.enrolled, "refused": self.refused });
        report["apcer"] = json!(print.share(super::tally::is_match));
        let suspected = |o: Outcome| o.reason() == "presentation_attack_suspected";
        report["prints_suspected"] = json!(print.count(suspected));
        report["bpcer"] = json!(self.ended.genuine.share(suspected));
    }
}

/// The references of one session of one person.
struct Enrolled {
    person: usize,
    session: usize,
    pictures: Vec<PathBuf>,
    references: Vec<Template>,
}

/// What is shown to the counter, and of whom.
struct Shown {
    person: usize,
    session: usize,
    is_print: bool,
    pictures: Vec<PathBuf>,
    clip: Clip,
}

/// Plays every settlement.
///
/// # Errors
/// If a picture cannot be read, or a model fails.
pub(super) fn play(
    args: &SessionsArgs,
    vision: &mut Vision,
    calibration: &Arc<Calibration>,
    transform: &Arc<Transform>,
    people: &[Folders],
) -> Result<Played, BenchError> {
    let mut refused = 0;
    let mut enrolled = Vec::new();
    for (person, folders) in people.iter().enumerate() {
        let sessions = folders.live.iter().map(|s| s.session).max().map_or(0, |s| s + 1);
        for session in 0..sessions {
            let of = |s: &&Sequence| s.session == session;
            let pictures = folders.live.iter().filter(of).flat_map(|s| &s.pictures).cloned().collect();
            let one = enrol(vision, person, session, pictures, &mut refused)?;
            enrolled.extend(Some(one).filter(|e| !e.references.is_empty()));
        }
    }
    let shown = shown(people, args.frame_ms)?;
    let settlements = settlements(&enrolled, &shown, args.most.unwrap_or(usize::MAX));
    let mut each = args.each.as_ref().map(create).transpose()?;
    let mut out = Played {
        ended: Ended::default(),
        match_span_ms: Vec::new(),
        enrolled: enrolled.iter().map(|e| e.references.len()).sum(),
        refused,
    };
    let mut progress = Progress::new(settlements.len());
    for (e, s) in settlements {
        let ran = verify(vision, calibration, transform, e, s)?;
        out.count(e, s, &ran);
        if let Some((path, file)) = &mut each {
            let line = told(e, s, &ran);
            writeln!(file, "{line}").map_err(|source| write_failed(path, source))?;
        }
        progress.one_more();
    }
    Ok(out)
}

fn write_failed(path: &std::path::Path, source: std::io::Error) -> BenchError {
    BenchError::Io { path: path.to_owned(), source, advice: "give --each a file that can be written" }
}

fn create(path: &PathBuf) -> Result<(PathBuf, std::io::BufWriter<std::fs::File>), BenchError> {
    let file = std::fs::File::create(path).map_err(|source| write_failed(path, source))?;
    Ok((path.clone(), std::io::BufWriter::new(file)))
}

/// Up to five pictures spread over a session that a bureau would enrol.
fn enrol(
    vision: &mut Vision,
    person: usize,
    session: usize,
    all: Vec<PathBuf>,
    refused: &mut usize,
) -> Result<Enrolled, BenchError> {
    let mut out = Enrolled { person, session, pictures: Vec::new(), references: Vec::new() };
    for part in 0..REFERENCES {
        let range = all.len() * part / REFERENCES..all.len() * (part + 1) / REFERENCES;
        for path in all.get(range).unwrap_or_default() {
            match vision.enrol(&corpus::frame(path)?) {
                Ok(enrolled) => {
                    out.references.push(enrolled.template);
                    out.pictures.push(path.clone());
                    break;
                }
                Err(EnrolRefusal::Model(e)) => return Err(e.into()),
                Err(_) => *refused += 1,
            }
        }
    }
    Ok(out)
}

fn shown(people: &[Folders], frame_ms: u64) -> Result<Vec<Shown>, BenchError> {
    let mut out = Vec::new();
    for (person, folders) in people.iter().enumerate() {
        let both = [(&folders.live, false), (&folders.print, true)];
        for (sequence, is_print) in both.into_iter().flat_map(|(all, p)| all.iter().map(move |s| (s, p))) {
            let samples = sequence
                .pictures
                .iter()
                .enumerate()
                .map(|(i, path)| {
                    let at = BoxTime::from_millis(i as u64 * frame_ms);
                    Ok(Arc::new(Sample::new(at, Codec::Jpeg, corpus::bytes(path)?)))
                })
                .collect::<Result<Vec<_>, BenchError>>()?;
            let (session, pictures) = (sequence.session, sequence.pictures.clone());
            out.push(Shown { person, session, is_print, pictures, clip: Clip::of(samples) });
        }
    }
    Ok(out)
}

fn settlements<'a>(
    enrolled: &'a [Enrolled],
    shown: &'a [Shown],
    most: usize,
) -> Vec<(&'a Enrolled, &'a Shown)> {
    let counts = |e: &Enrolled, s: &Shown| match (s.is_print, e.person == s.person) {
        (true, same) => same,
        (false, true) => e.session != s.session,
        (false, false) => true,
    };
    let pairs = enrolled.iter().flat_map(|e| shown.iter().map(move |s| (e, s)));
    let all: Vec<_> = pairs.filter(|(e, s)| counts(e, s)).collect();
    let kind = |e: &Enrolled, s: &Shown| match (s.is_print, e.person == s.person) {
        (true, _) => 2,
        (false, true) => 0,
        (false, false) => 1,
    };
    let mut of_kind = [0usize; 3];
    all.iter().for_each(|(e, s)| of_kind[kind(e, s)] += 1);
    let mut seen = [0usize; 3];
    let mut spread = |(e, s): &(&Enrolled, &Shown)| {
        let k = kind(e, s);
        let (at, of) = (seen[k], of_kind[k].max(1));
        seen[k] += 1;
        // Genuine ones are few and all are wanted.
        k == 0 || (at + 1).saturating_mul(most) / of > at.saturating_mul(most) / of || most >= of
    };
    all.into_iter().filter(|p| spread(p)).collect()
}

fn verify(
    vision: &mut Vision,
    calibration: &Arc<Calibration>,
    transform: &Arc<Transform>,
    enrolled: &Enrolled,
    shown: &Shown,
) -> Result<Ran, BenchError> {
    let mut subjects = Subjects::under(Arc::clone(transform));
    subjects
        .add(enrolled.references.iter().filter_map(|r| r.protect(transform)).collect())
        .map_err(|e| BenchError::Sample(e.to_string()))?;
    let rules = Rules::counter(Arc::clone(calibration), Region::WHOLE);
    let middle =
        shown.clip.samples().get(shown.clip.samples().len() / 2).map_or(BoxTime::from_millis(0), |s| s.at());
    Ok(session::run(vision, rules, &subjects, &shown.clip, middle)?)
}

impl Played {
    fn count(&mut self, enrolled: &Enrolled, shown: &Shown, ran: &Ran) {
        let outcome = ran.verdict.outcome();
        let genuine = !shown.is_print && enrolled.person == shown.person;
        let tally = match (shown.is_print, genuine) {
            (true, _) => &mut self.ended.print,
            (false, true) => &mut self.ended.genuine,
            (false, false) => &mut self.ended.impostor,
        };
        tally.add(shown.person, outcome);
        if genuine {
            self.ended.cpu_ms.push(ms(ran.costs.total()));
            if outcome == Outcome::Match {
                self.ended.frames_to_match.push(f64::from(ran.frames));
                self.match_span_ms.push(ms(ran.span));
            }
        }
    }
}

/// One settlement for a program that repeats it, with the paths of its pictures.
fn told(enrolled: &Enrolled, shown: &Shown, ran: &Ran) -> Value {
    let kind = match (shown.is_print, enrolled.person == shown.person) {
        (true, _) => "print",
        (false, true) => "genuine",
        (false, false) => "impostor",
    };
    let outcome = ran.verdict.outcome();
    json!({
        "kind": kind,
        "references": enrolled.pictures,
        "frames": shown.pictures,
        "verdict": outcome.verdict(),
        "reason": outcome.reason(),
        "cpu_ms": ms(ran.costs.total()),
        "frames_looked_at": ran.frames,
        "score": ran.verdict.score(),
    })
}
