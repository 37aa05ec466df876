//! `counterproof evaluate linkability`: what protected references give away.
//!
//! Takes a list of pairs as `evaluate pairs` does and makes a reference of
//! every picture, as enrolment does. Three questions, each an attacker's:
//! whether two references under two boxes' transforms can be told to be of one
//! person ([`super::linkage`]); how many people of a whole set are found again
//! in another box's set; how much of a template comes back to who knows some
//! pairs of it and its protected form ([`super::recovery`]). What the answers
//! mean is in `docs/reference-protection.md`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use zeroize::Zeroizing;

use super::histogram::{self, Kinds, Panel};
use super::linkage::{Link, Linkability, dot, found_by_geometry};
use super::list::PairList;
use super::pairs::Work;
use super::rates::Scores;
use super::recovery::{Known, Recovery, cosine};
use super::{BenchError, find_manifest};
use crate::crypto::Sha256;
use crate::crypto::transform::{Transform, TransformKey};
use crate::protocol::reference::Template;
use crate::vision::embed::DIMENSION;
use crate::vision::manifest::Manifest;
use crate::vision::{Vision, Wanted};

/// Pairs of boxes whose transforms are tried.
const BOX_PAIRS: u8 = 10;
/// Known pairs that an attacker is given.
const KNOWN: [usize; 5] = [8, 32, 64, 128, 256];
/// Fewest people whose templates are to be recovered.
const FEWEST_TARGETS: usize = 20;
/// Most people in a set, since every one is compared with every one.
const LARGEST_SET: usize = 300;
/// How little an attacker may believe pairs that are not exact; the best of
/// them counts.
const DOUBTS: [f64; 4] = [0.03, 0.3, 1.0, 3.0];
/// For exact pairs: enough that rounding is not divided by.
const EXACT: f64 = 1e-6;

/// Options of `counterproof evaluate linkability`.
#[derive(Debug, clap::Args)]
pub struct LinkabilityArgs {
    /// List of pairs, with the header left,right,same,fold
    #[arg(long, value_name = "FILE")]
    pub pairs: PathBuf,
    /// Folder in which the paths of the list begin; the folder of a picture is its person
    #[arg(long, value_name = "DIR")]
    pub images: PathBuf,
    /// Also write linkability.svg and linkability.json into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Manifest of models
    #[arg(long, value_name = "FILE", default_value = "models/models.toml")]
    pub models: PathBuf,
}

/// Everything that was found out; `docs/reference-protection.md` explains the keys.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    model_sha256: Sha256,
    preprocessing: u32,
    images: usize,
    failures_to_acquire: usize,
    people: usize,
    mated_pairs: usize,
    non_mated_pairs: usize,
    box_pairs: u8,
    /// By what is compared: templates as they are, references under two
    /// transforms, and the very same template under two transforms.
    linkability: BTreeMap<&'static str, Option<Linkability>>,
    /// The same comparisons as error rates.
    eer: BTreeMap<&'static str, Option<f64>>,
    sets: Sets,
    recovery: Vec<Recovered>,
    recovery_targets: usize,
    /// Largest change of a score by a transform that both sides are under.
    score_change_max: f64,
}

/// Whole sets of references under two transforms.
#[derive(Debug, Serialize)]
struct Sets {
    people: usize,
    /// Share found again where both boxes hold the same references.
    found_same_photographs: f64,
    /// Share found again where they were made from other photographs.
    found_other_photographs: f64,
    /// Share found by guessing.
    chance: f64,
}

/// What known pairs recover: mean cosines with the true template.
#[derive(Debug, Serialize)]
struct Recovered {
    known_pairs: usize,
    /// The known templates are the very ones behind the protected ones.
    exact: f64,
    /// They are of other photographs of the same people.
    other_photograph: f64,
    /// Guessing the mean of the known templates each time.
    guess: f64,
}

/// Measures, and prints a table and, as its last line, JSON.
///
/// # Errors
/// [`BenchError`] naming the file, line or picture, and what to do.
pub fn run(args: &LinkabilityArgs) -> Result<(), BenchError> {
    let list = PairList::read(&args.pairs, &args.images)?;
    let manifest = Manifest::read(&find_manifest(&args.models))?;
    let wanted = Wanted::default();
    let mut first = Vision::load(&manifest, &wanted)?;
    let mut others = (1..super::pairs::processors())
        .map(|_| Vision::load(&manifest, &wanted))
        .collect::<Result<Vec<_>, _>>()?;
    let identity = first.recognizer();
    let embedded = Work::references_of(&list).through(std::iter::once(&mut first).chain(&mut others))?;
    let templates: Vec<Option<Template>> = embedded.into_iter().map(|e| e?.reference).collect();
    let data = Data::of(&list, &templates);
    let scores = LinkScores::of(&data);
    if scores.protected.iter().all(|l| l.mated) || scores.protected.iter().all(|l| !l.mated) {
        return Err(BenchError::Sample(format!(
            "{}: found no pair of one person, or none of two people, with a face in both pictures; \
             both kinds are needed",
            args.pairs.display()
        )));
    }
    let report = Report {
        model: wanted.recognizer,
        model_sha256: identity.sha256,
        preprocessing: identity.preprocessing,
        images: list.pictures.len(),
        failures_to_acquire: templates.iter().filter(|t| t.is_none()).count(),
        people: data.people,
        mated_pairs: data.pairs.iter().filter(|p| p.mated).count(),
        non_mated_pairs: data.pairs.iter().filter(|p| !p.mated).count(),
        box_pairs: BOX_PAIRS,
        linkability: scores.each(Linkability::of),
        eer: scores.each(|l| Scores::new(l.iter().map(|l| (l.score as f32, l.mated))).eer()),
        sets: sets(&data),
        recovery_targets: targets(&data).map_or(0, |(_, t)| t.len()),
        recovery: recover(&data),
        score_change_max: scores.change,
    };
    print(&report)?;
    match &args.out {
        Some(folder) => write_files(folder, &report, &scores),
        None => Ok(()),
    }
}

/// Two templates, and whose.
struct Pair<'a> {
    person: usize,
    mated: bool,
    left: &'a [f32],
    right: &'a [f32],
}

struct Data<'a> {
    people: usize,
    pairs: Vec<Pair<'a>>,
    /// For each person with a mated pair, the two templates of the first one.
    twice: Vec<[&'a [f32]; 2]>,
}

impl<'a> Data<'a> {
    fn of(list: &PairList, templates: &'a [Option<Template>]) -> Self {
        let mut numbers: BTreeMap<&Path, usize> = BTreeMap::new();
        let mut twice: BTreeMap<usize, [&[f32]; 2]> = BTreeMap::new();
        let mut pairs = Vec::new();
        for pair in &list.pairs {
            let folder = list.pictures[pair.left].parent().unwrap_or(Path::new(""));
            let next = numbers.len();
            let person = *numbers.entry(folder).or_insert(next);
            let (Some(left), Some(right)) = (&templates[pair.left], &templates[pair.right]) else { continue };
            let (left, right) = (left.values(), right.values());
            pairs.push(Pair { person, mated: pair.same, left, right });
            if pair.same {
                twice.entry(person).or_insert([left, right]);
            }
        }
        Self { people: numbers.len(), pairs, twice: twice.into_values().collect() }
    }
}

/// What the two distributions are called.
const KINDS: Kinds<'_> = Kinds { mated: "mated", non_mated: "non-mated", of: "templates" };

/// A box's transform; each number is another box.
fn transform(number: u8) -> Transform {
    TransformKey::new([number; 32]).transform(DIMENSION)
}

/// All vectors here are embeddings of one model.
fn under(transform: &Transform, vector: &[f32]) -> Zeroizing<Vec<f32>> {
    transform.apply(vector).unwrap_or_default()
}

/// Linkage scores (cosines) of every pair.
struct LinkScores {
    unprotected: Vec<Link>,
    protected: Vec<Link>,
    /// The left template of each mated pair with itself, beside all non-mated pairs.
    same_template: Vec<Link>,
    /// Largest change of a score by one transform on both sides.
    change: f64,
}

impl LinkScores {
    fn of(data: &Data<'_>) -> Self {
        let link = |pair: &Pair<'_>, score| Link { person: pair.person, mated: pair.mated, score };
        let unprotected: Vec<Link> = data.pairs.iter().map(|p| link(p, dot(p.left, p.right))).collect();
        let (mut protected, mut same_template, mut change) = (Vec::new(), Vec::new(), 0f64);
        for boxes in 0..BOX_PAIRS {
            let (one, two) = (transform(2 * boxes + 1), transform(2 * boxes + 2));
            for (pair, plain) in data.pairs.iter().zip(&unprotected) {
                let (left, right) = (under(&one, pair.left), under(&two, pair.right));
                protected.push(link(pair, dot(&left, &right)));
                let itself = if pair.mated { under(&two, pair.left) } else { right };
                same_template.push(link(pair, dot(&left, &itself)));
                if boxes == 0 {
                    change = change.max((dot(&left, &under(&one, pair.right)) - plain.score).abs());
                }
            }
        }
        Self { unprotected, protected, same_template, change }
    }

    fn each<T>(&self, figure: impl Fn(&[Link]) -> Option<T>) -> BTreeMap<&'static str, Option<T>> {
        BTreeMap::from([
            ("unprotected", figure(&self.unprotected)),
            ("protected", figure(&self.protected)),
            ("protected_same_template", figure(&self.same_template)),
        ])
    }
}

fn sets(data: &Data<'_>) -> Sets {
    let (one, two) = (transform(1), transform(2));
    let set = |t: &Transform, which: usize| -> Vec<Vec<f32>> {
        data.twice.iter().take(LARGEST_SET).map(|both| under(t, both[which]).to_vec()).collect()
    };
    let (at_one, same, other) = (set(&one, 0), set(&two, 0), set(&two, 1));
    Sets {
        people: at_one.len(),
        found_same_photographs: found_by_geometry(&at_one, &same),
        found_other_photographs: found_by_geometry(&at_one, &other),
        chance: 1.0 / at_one.len().max(1) as f64,
    }
}

type Both<'a> = [&'a [f32]; 2];

/// The people an attacker may know, and those behind them whose templates are
/// to be recovered; `None` if there are too few.
fn targets<'d, 'a>(data: &'d Data<'a>) -> Option<(&'d [Both<'a>], &'d [Both<'a>])> {
    let most = KNOWN.iter().rev().find(|n| data.twice.len() >= **n + FEWEST_TARGETS)?;
    Some(data.twice.split_at(*most))
}

fn recover(data: &Data<'_>) -> Vec<Recovered> {
    let Some((known, targets)) = targets(data) else { return Vec::new() };
    let transform = transform(1);
    let protect = |people: &[Both<'_>]| -> Vec<Zeroizing<Vec<f32>>> {
        people.iter().map(|both| under(&transform, both[0])).collect()
    };
    let (known_protected, targets_protected) = (protect(known), protect(targets));
    let mean_cosine = |guess: &dyn Fn(&[f32]) -> Vec<f64>| {
        let cosines = targets.iter().zip(&targets_protected).map(|(both, p)| cosine(&guess(p), both[0]));
        cosines.sum::<f64>() / targets.len() as f64
    };
    let attack = |pairs: usize, photograph: usize, lambda: f64| {
        let known: Vec<Known<'_>> = known
            .iter()
            .zip(&known_protected)
            .take(pairs)
            .map(|(both, protected)| Known { template: both[photograph], protected })
            .collect();
        let recovery = Recovery::of(&known, lambda)?;
        Some(mean_cosine(&|protected| recovery.template(protected)))
    };
    KNOWN
        .iter()
        .filter(|n| **n <= known.len())
        .map(|&known_pairs| {
            let mut mean = vec![0.0; DIMENSION];
            for both in &known[..known_pairs] {
                mean.iter_mut().zip(both[0]).for_each(|(m, v)| *m += f64::from(*v));
            }
            let noisy = DOUBTS.iter().filter_map(|lambda| attack(known_pairs, 1, *lambda));
            Recovered {
                known_pairs,
                exact: attack(known_pairs, 0, EXACT).unwrap_or(f64::NAN),
                other_photograph: noisy.fold(f64::NAN, f64::max),
                guess: mean_cosine(&|_| mean.clone()),
            }
        })
        .collect()
}

fn print(report: &Report) -> Result<(), BenchError> {
    let mut out = std::io::stdout().lock();
    let r = report;
    writeln!(
        out,
        "{} pictures of {} people, {} without a face; {} mated and {} non-mated pairs, {} pairs of boxes\n",
        r.images, r.people, r.failures_to_acquire, r.mated_pairs, r.non_mated_pairs, r.box_pairs
    )?;
    writeln!(out, "{:<26} {:>7} {:>18} {:>18} {:>8}", "", "D_sys", "95 %", "chance", "EER")?;
    for (what, linkability) in &r.linkability {
        let Some(l) = linkability else { continue };
        let span = |i: super::rates::Interval| format!("{:.4} to {:.4}", i.low, i.high);
        let eer = r.eer.get(what).copied().flatten().unwrap_or(f64::NAN);
        writeln!(out, "{what:<26} {:>7.4} {:>18} {:>18} {eer:>8.4}", l.d_sys, span(l.ci95), span(l.chance))?;
    }
    let s = &r.sets;
    writeln!(
        out,
        "\nsets of {} people: {:.1} % found again (same photographs), {:.1} % (others), {:.1} % by chance",
        s.people,
        s.found_same_photographs * 100.0,
        s.found_other_photographs * 100.0,
        s.chance * 100.0
    )?;
    writeln!(out, "\nrecovered templates of {} people, mean cosine with the true one", r.recovery_targets)?;
    writeln!(out, "{:>12} {:>8} {:>18} {:>8}", "known pairs", "exact", "other photograph", "guess")?;
    for k in &r.recovery {
        writeln!(
            out,
            "{:>12} {:>8.3} {:>18.3} {:>8.3}",
            k.known_pairs, k.exact, k.other_photograph, k.guess
        )?;
    }
    writeln!(out, "\nlargest change of a score by a transform: {:.1e}", r.score_change_max)?;
    writeln!(out, "{}", json(report)?)?;
    Ok(())
}

fn json(report: &Report) -> Result<String, BenchError> {
    serde_json::to_string(report).map_err(|e| BenchError::Output(e.into()))
}

fn write_files(folder: &Path, report: &Report, scores: &LinkScores) -> Result<(), BenchError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BenchError::Io { path, source, advice: "give --out a folder that can be written" }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let split = |links: &[Link]| -> [Vec<f64>; 2] {
        let of = |mated| links.iter().filter(|l| l.mated == mated).map(|l| l.score).collect();
        [of(true), of(false)]
    };
    let drawn: Vec<(String, [Vec<f64>; 2])> = [
        ("unprotected", "as they are", &scores.unprotected),
        ("protected", "under two boxes' transforms", &scores.protected),
    ]
    .into_iter()
    .filter_map(|(what, title, links)| {
        let d_sys = report.linkability.get(what)?.as_ref()?.d_sys;
        Some((format!("{title}: D_sys {d_sys:.3}"), split(links)))
    })
    .collect();
    let panels: Vec<Panel<'_>> =
        drawn.iter().map(|(title, [mated, non_mated])| Panel { title, mated, non_mated }).collect();
    let svg = histogram::to_svg(&format!("Linkability of references, {}", report.model), KINDS, &panels);
    for (name, text) in [("linkability.svg", svg), ("linkability.json", json(report)? + "\n")] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(failed(&path))?;
    }
    Ok(())
}
