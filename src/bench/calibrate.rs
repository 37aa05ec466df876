//! `counterproof calibrate`: makes a calibration from people's pictures.
//!
//! For 1 to 5 views a settlement's score becomes a log-likelihood ratio by a
//! line of its own (`super::logistic`), so that what views of one face share is
//! measured and not assumed. The boundary for a match follows from the share of
//! impostors that may pass (A. Wald, "Sequential Analysis", 1947: `ln 1/share`);
//! the boundary for a mismatch is the least that still alerts the share of
//! impostors asked for, since every step beyond it would risk honest people for
//! nothing. The rule that decides is then run over the same settlements, and what
//! comes out stands in the file.
//!
//! It refuses where the data cannot carry the rate of false alerts that is asked
//! for: none in n independent settlements means at most 3/n, at 95 %.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::crypto::Sha256;
use crate::crypto::transform::Transform;
use crate::protocol::figures::Expected;
use crate::protocol::reference::Protected;
use crate::protocol::verdict::{Inconclusive, Outcome};
use crate::verify::calibration::{
    Boundary, Calibration, Data, LivenessRule, Measured, Rule, ScoreMap, Share,
};
use crate::vision::embed::ProtectedProbe;
use crate::vision::manifest::{Manifest, Role};
use crate::vision::{ModelIdentity, Vision, Wanted};

use super::backdrop::Dice;
use super::corpus::{self, Draw, Half, Layout, Picture};
use super::histogram::{Kinds, Panel, to_svg};
use super::logistic::{Line, Sample, cllr, least_cllr};
use super::pairs;
use super::rates::{Scores, wilson};
use super::sessions::{Ended, FRAMES, settle};
use super::svg::Det;
use super::tally::{Tally, is_inconclusive, is_match, is_mismatch};
use super::{BenchError, find_manifest};

/// Views weigh as much as their unified quality exceeds this. Of 0, 4, 8 and the
/// plain mean, 8 left the fewest false alerts on the tuned half (docs/accuracy.md).
const WEIGHT_FLOOR: f32 = 8.0;
/// Resamples of people for the boundaries' intervals.
const RESAMPLES: u32 = 100;

/// Arguments of `calibrate`.
#[derive(Debug, clap::Args)]
pub struct CalibrateArgs {
    /// Folder with the people's pictures; settlements are drawn from them.
    #[arg(long, value_name = "DIR", required_unless_present = "pairs", conflicts_with = "pairs")]
    pub root: Option<PathBuf>,
    /// How the folder is laid out; by default as it looks.
    #[arg(long, value_enum)]
    pub layout: Option<Layout>,
    /// Instead of a folder, a list of pairs (left,right,same,fold): one view each.
    #[arg(long, value_name = "CSV", requires = "images")]
    pub pairs: Option<PathBuf>,
    /// The folder in which the paths of the list begin.
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Name of the data, for people.
    #[arg(long)]
    pub name: String,
    /// Folder for calibration.toml, det.svg and scores.svg.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Which people, by their place in the alphabet; report on the others.
    #[arg(long, value_enum, default_value = "all")]
    pub half: Half,
    /// Settlements drawn for each person.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub draws: u32,
    /// Another seed draws others.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Greatest share of genuine settlements that may end in an alert, at 95 % confidence.
    #[arg(long, default_value_t = 0.005)]
    pub false_alert_rate: f64,
    /// Share of impostor settlements that may pass as a match.
    #[arg(long, default_value_t = 0.005)]
    pub false_match_rate: f64,
    /// Share of impostor settlements to alert on.
    #[arg(long, default_value_t = 0.9973)]
    pub impostors_alerted: f64,
    /// Average of the liveness model's word below which a picture is suspected.
    #[arg(long, default_value_t = 0.5)]
    pub liveness_least: f32,
    /// The manifest of models.
    #[arg(long, default_value = "models/models.toml")]
    pub models: PathBuf,
}

/// A settlement's score, and whose it is.
#[derive(Clone, Copy)]
struct Scored {
    person: usize,
    score: f32,
    genuine: bool,
}

/// Scores of settlements with 1, 2, 3, … views.
struct Gathered {
    people: usize,
    by_views: Vec<Vec<Scored>>,
    comparisons: [u64; 2],
    /// Genuine settlements of which no two share a comparison.
    independent: u64,
}

/// Makes a calibration and writes it.
///
/// # Errors
/// [`BenchError`] naming what is missing or too little, and what to do.
pub fn run(args: &CalibrateArgs) -> Result<(), BenchError> {
    let manifest = Manifest::read(&find_manifest(&args.models))?;
    let mut vision = Vision::load(&manifest, &Wanted::default())?;
    let liveness = manifest.model(&Wanted::liveness_model(), Role::Liveness)?.file.sha256;
    let about = About { model: vision.recognizer(), liveness };
    let (gathered, calibration) = match (&args.root, &args.pairs, &args.images) {
        (Some(root), ..) => {
            let layout = args.layout.unwrap_or_else(|| Layout::of(root));
            let people = corpus::read(root, layout, args.half)?;
            let pictures = corpus::embed(&mut vision, &people, layout, FRAMES * 2)?;
            let (transform, mut dice) = (super::transform(), Dice::new(args.seed));
            let draws: Vec<Vec<Draw>> =
                (0..args.draws).map(|_| corpus::draw(&mut dice, &pictures, FRAMES)).collect();
            let gathered = Gathered::of_people(&pictures, &draws, &transform);
            let calibration = make(args, &about, &gathered)?;
            let ended = settle(&pictures, &transform, &Arc::new(calibration.clone()), draws.into_iter());
            let measured = measured(&calibration, &ended.genuine, &ended.impostor);
            let expected = expected(&ended);
            (gathered, Calibration { measured, expected, ..calibration })
        }
        (None, Some(list), Some(images)) => {
            let gathered = Gathered::of_pairs(list, images, &manifest)?;
            let calibration = make(args, &about, &gathered)?;
            let (genuine, impostor) = gathered.verdicts(&calibration);
            let measured = measured(&calibration, &genuine, &impostor);
            (gathered, Calibration { measured, ..calibration })
        }
        _ => return Err(BenchError::Sample("found neither --root nor --pairs with --images".into())),
    };
    enough(args, &gathered, &calibration)?;
    write(args, &gathered, &calibration)?;
    print!("{}", summary(&calibration));
    Ok(())
}

/// Which models.
struct About {
    model: ModelIdentity,
    liveness: Sha256,
}

impl Gathered {
    fn of_people(people: &[Vec<Picture>], draws: &[Vec<Draw>], transform: &Arc<Transform>) -> Self {
        let protect = |p: &Picture| -> (Option<Protected>, Option<(ProtectedProbe, f32)>) {
            let weight = |q: f32| (q - WEIGHT_FLOOR).max(0.3);
            let view = p
                .view
                .as_ref()
                .and_then(|(probe, _)| Some((probe.protect(transform)?, weight(probe.unified_quality()))));
            (p.reference.as_ref().and_then(|r| r.protect(transform)), view)
        };
        let protected: Vec<Vec<_>> = people.iter().map(|p| p.iter().map(protect).collect()).collect();
        let mut by_views = vec![Vec::new(); FRAMES];
        for drawn in draws {
            for probe in drawn {
                let views: Vec<_> =
                    probe.frames.iter().filter_map(|f| protected[probe.person][*f].1.as_ref()).collect();
                for k in 1..=views.len() {
                    let Some(pool) = ProtectedProbe::pool(views[..k].iter().map(|(p, w)| (p, *w))) else {
                        continue;
                    };
                    for d in drawn {
                        let Some(reference) = &protected[d.person][d.reference].0 else { continue };
                        let genuine = d.person == probe.person;
                        let scored = |score| Scored { person: probe.person, score, genuine };
                        by_views[k - 1].extend(pool.compare(reference).map(scored));
                    }
                }
            }
        }
        // Pairs of pictures of different sessions, each way: one of them is the reference.
        let own = |p: &Vec<Picture>| -> u64 {
            let other = |a: &Picture| p.iter().filter(|b| b.session != a.session).count() as u64;
            p.iter().map(other).sum()
        };
        let all: u64 = people.iter().map(|p| p.len() as u64).sum();
        let genuine: u64 = people.iter().map(own).sum();
        let impostor = people.iter().map(|p| p.len() as u64 * (all - p.len() as u64)).sum();
        Self {
            people: people.len(),
            by_views,
            comparisons: [genuine, impostor],
            independent: genuine / FRAMES as u64,
        }
    }

    fn of_pairs(list: &Path, images: &Path, manifest: &Manifest) -> Result<Self, BenchError> {
        let (people, scores) = pairs::scores_with_people(list, images, manifest)?;
        let all: Vec<Scored> =
            scores.into_iter().map(|(person, score, genuine)| Scored { person, score, genuine }).collect();
        let genuine = all.iter().filter(|s| s.genuine).count() as u64;
        Ok(Self {
            people,
            comparisons: [genuine, all.len() as u64 - genuine],
            independent: genuine,
            by_views: vec![all],
        })
    }

    /// What single comparisons would say, each taken for a settlement.
    fn verdicts(&self, calibration: &Calibration) -> (Tally, Tally) {
        let (mut genuine, mut impostor) = (Tally::default(), Tally::default());
        for s in self.by_views.iter().flatten() {
            let outcome = match calibration.map(1).llr(s.score) {
                l if l >= calibration.rule.match_llr => Outcome::Match,
                l if l <= calibration.rule.mismatch_llr => Outcome::Mismatch,
                _ => Outcome::Inconclusive(Inconclusive::ScoresBetween),
            };
            if s.genuine { &mut genuine } else { &mut impostor }.add(s.person, outcome);
        }
        (genuine, impostor)
    }

    fn samples(&self, views: usize) -> Vec<Sample> {
        self.by_views[views].iter().map(|s| (s.score, s.genuine)).collect()
    }
}

fn too_little(what: String) -> BenchError {
    BenchError::TooLittle(what)
}

/// The maps and the boundaries; nothing is measured yet.
fn make(args: &CalibrateArgs, about: &About, gathered: &Gathered) -> Result<Calibration, BenchError> {
    let mut maps = Vec::new();
    let (most, least) = caps(gathered);
    for (k, scored) in gathered.by_views.iter().enumerate() {
        let line = Line::fit(&gathered.samples(k)).ok_or_else(|| {
            too_little(format!(
                "no line fits the scores of {} views ({} of them): give pictures of several sessions of each of several people",
                k + 1,
                scored.len()
            ))
        })?;
        let round = |v: f64| (v * 1e4).round() as f32 / 1e4;
        maps.push(ScoreMap {
            views: k as u32 + 1,
            offset: round(line.offset),
            slope: round(line.slope),
            most,
            least,
        });
    }
    let last = maps.last().copied().ok_or_else(|| too_little("there are no settlements".into()))?;
    let most_views = gathered.by_views.last().into_iter().flatten();
    let mut impostor: Vec<f32> = most_views.filter(|s| !s.genuine).map(|s| s.score).collect();
    impostor.sort_by(f32::total_cmp);
    let at = (args.impostors_alerted * impostor.len() as f64).ceil() as usize;
    let boundary = impostor.get(at.clamp(1, impostor.len().max(1)) - 1).copied().unwrap_or(-1.0);
    let mismatch_llr = last.llr((boundary * 1000.0).ceil() / 1000.0);
    let match_llr = (1.0 / args.false_match_rate).ln() as f32;
    if mismatch_llr >= 0.0 || match_llr >= most {
        return Err(too_little(format!(
            "to alert {} of impostors the boundary would be a score of {boundary:.3}, where the ratio is {mismatch_llr:.2}, and a match needs {match_llr:.2} of at most {most:.2}: honest people would be accused; ask for less, or measure with a better model",
            args.impostors_alerted
        )));
    }
    let nothing = Share { events: 0, of: 0, ci95: [0.0, 1.0] };
    Ok(Calibration {
        model: about.model.sha256,
        preprocessing: about.model.preprocessing,
        made_by: command(args),
        data: Data {
            name: args.name.clone(),
            people: gathered.people as u32,
            genuine_comparisons: gathered.comparisons[0],
            impostor_comparisons: gathered.comparisons[1],
            genuine_settlements: gathered.independent,
        },
        rule: Rule {
            match_llr,
            mismatch_llr,
            mismatch_probes: 3,
            mismatch_span_ms: 600,
            same_view: 0.99,
            weight_floor: WEIGHT_FLOOR,
        },
        measured: Measured {
            false_alerts: nothing,
            impostors_alerted: nothing,
            impostors_matched: nothing,
            inconclusive_genuine: nothing,
            cllr: ends(gathered, |k| {
                cllr(gathered.by_views[k].iter().map(|s| (maps[k].llr(s.score).into(), s.genuine)))
            }),
            cllr_min: ends(gathered, |k| least_cllr(&gathered.samples(k))),
            boundaries: [match_llr, mismatch_llr].map(|llr| boundary_of(gathered, last, llr)).into(),
        },
        liveness: Some(LivenessRule { model: about.liveness, least_mean: args.liveness_least }),
        expected: None,
        maps,
    })
}

/// A measure for one view and for the most.
fn ends(gathered: &Gathered, of: impl Fn(usize) -> f64) -> [f64; 2] {
    [0, gathered.by_views.len().saturating_sub(1)].map(|k| (of(k) * 1e4).round() / 1e4)
}

/// No ratio can be told beyond one event in the sample.
fn caps(gathered: &Gathered) -> (f32, f32) {
    let log = |n: u64| ((n.max(2) as f32).ln() * 100.0).round() / 100.0;
    let impostors = gathered.comparisons[1] / gathered.by_views.len().max(1) as u64;
    (log(impostors), -log(gathered.independent))
}

/// Where a ratio lies as a score of the most views, when people are resampled.
fn boundary_of(gathered: &Gathered, map: ScoreMap, llr: f32) -> Boundary {
    let scored = gathered.by_views.last().map(Vec::as_slice).unwrap_or_default();
    let mut of_person: Vec<Vec<Sample>> = vec![Vec::new(); gathered.people];
    for s in scored {
        of_person[s.person].push((s.score, s.genuine));
    }
    let mut dice = Dice::new(1);
    let mut scores: Vec<f32> = (0..RESAMPLES)
        .filter_map(|_| {
            let drawn: Vec<Sample> = (0..gathered.people)
                .flat_map(|_| of_person[(dice.bits() % gathered.people as u64) as usize].iter().copied())
                .collect();
            let line = Line::fit(&drawn)?;
            Some(((f64::from(llr) - line.offset) / line.slope) as f32)
        })
        .collect();
    scores.sort_by(f32::total_cmp);
    let round = |v: f32| (v * 1e4).round() / 1e4;
    let at = |share: f64| scores.get((share * scores.len() as f64) as usize).copied().unwrap_or(f32::NAN);
    let ci95 = if scores.is_empty() { [-1.0, 1.0] } else { [at(0.025), at(0.975)].map(round) };
    Boundary { llr, score: round(map.score(llr)), ci95 }
}

/// What a box that is in order should find, were its people these.
fn expected(ended: &Ended) -> Option<Expected> {
    let [genuine, impostor] = &ended.scores;
    Some(Expected {
        genuine: genuine.shares()?,
        impostor: impostor.shares()?,
        inconclusive_genuine: ended.genuine.share(is_inconclusive),
        settlements: ended.genuine.settlements() as u64,
    })
}

fn measured(calibration: &Calibration, genuine: &Tally, impostor: &Tally) -> Measured {
    Measured {
        false_alerts: genuine.measured(is_mismatch),
        impostors_alerted: impostor.measured(is_mismatch),
        impostors_matched: impostor.measured(is_match),
        inconclusive_genuine: genuine.measured(is_inconclusive),
        ..calibration.measured.clone()
    }
}

/// Whether the sample carries the rate that was asked for.
fn enough(args: &CalibrateArgs, gathered: &Gathered, calibration: &Calibration) -> Result<(), BenchError> {
    let needed = (3.0 / args.false_alert_rate).ceil() as u64;
    if gathered.independent < needed {
        return Err(too_little(format!(
            "a rate of {} needs {needed} genuine settlements that share no comparison (rule of three: none in n means at most 3/n at 95 %); found {} of {} people: give more people and pictures, or ask for a rate of at least {:.4}",
            args.false_alert_rate,
            gathered.independent,
            gathered.people,
            3.0 / gathered.independent.max(1) as f64
        )));
    }
    let share = calibration.measured.false_alerts;
    // As many of the independent ones as of all that were drawn.
    let events = (share.events as f64 * gathered.independent as f64 / share.of.max(1) as f64).ceil() as usize;
    let upper = if events == 0 {
        3.0 / gathered.independent as f64
    } else {
        wilson(events, gathered.independent as usize).high
    };
    if upper > args.false_alert_rate {
        return Err(too_little(format!(
            "{} of {} genuine settlements ended in an alert: at 95 % the rate may be {upper:.4}, above the {} asked for: ask for fewer impostors alerted (--impostors-alerted), or for a higher rate",
            share.events, share.of, args.false_alert_rate
        )));
    }
    Ok(())
}

fn command(args: &CalibrateArgs) -> String {
    let name = |p: &Path| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let data = match (&args.root, &args.pairs) {
        (Some(root), _) => format!("--root {}", name(root)),
        (None, Some(list)) => format!("--pairs {}", name(list)),
        (None, None) => String::new(),
    };
    let half = format!("{:?}", args.half).to_lowercase();
    format!(
        "counterproof calibrate {data} --half {half} --draws {} --seed {} --false-alert-rate {} --false-match-rate {} --impostors-alerted {} --liveness-least {}",
        args.draws,
        args.seed,
        args.false_alert_rate,
        args.false_match_rate,
        args.impostors_alerted,
        args.liveness_least
    )
}

fn write(args: &CalibrateArgs, gathered: &Gathered, calibration: &Calibration) -> Result<(), BenchError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BenchError::Io { path, source, advice: "give --out a folder that can be written" }
    };
    std::fs::create_dir_all(&args.out).map_err(failed(&args.out))?;
    let text = toml::to_string(calibration).map_err(|e| BenchError::Sample(e.to_string()))?;
    let head = "# Made by a program; a change by hand makes it another calibration.\n# What it says and how it was chosen: docs/accuracy.md.\n";
    let last = gathered.by_views.len() - 1;
    let scores = Scores::new(gathered.samples(last));
    let det = Det {
        title: &format!("DET curve, {} views", last + 1),
        subtitle: &format!("{}: {} people", args.name, gathered.people),
        curve: &scores.curve(),
        eer: scores.eer(),
        resolution: 1.0 / gathered.independent.max(1) as f64,
    };
    let of = |k: usize, genuine: bool| -> Vec<f64> {
        gathered.by_views[k].iter().filter(|s| s.genuine == genuine).map(|s| s.score.into()).collect()
    };
    let sets: Vec<(String, Vec<f64>, Vec<f64>)> = [0, last]
        .iter()
        .map(|k| {
            (if *k == 0 { "1 view".into() } else { format!("{} views", k + 1) }, of(*k, true), of(*k, false))
        })
        .collect();
    let panels: Vec<Panel<'_>> =
        sets.iter().map(|(title, mated, non_mated)| Panel { title, mated, non_mated }).collect();
    let kinds = Kinds { mated: "genuine", non_mated: "impostor", of: "settlements" };
    for (name, text) in [
        ("calibration.toml", format!("{head}{text}")),
        ("det.svg", det.to_svg()),
        ("scores.svg", to_svg(&format!("Comparison scores, {}", args.name), kinds, &panels)),
    ] {
        let path = args.out.join(name);
        std::fs::write(&path, text).map_err(failed(&path))?;
    }
    Ok(())
}

fn summary(c: &Calibration) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let m = &c.measured;
    for (name, share) in [
        ("false alerts", m.false_alerts),
        ("impostors alerted", m.impostors_alerted),
        ("impostors matched", m.impostors_matched),
        ("genuine inconclusive", m.inconclusive_genuine),
    ] {
        let percent = |v: f64| v * 100.0;
        let Share { events, of, ci95: [low, high] } = share;
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{name:<22}{events:>8} of {of:<8} {:.3} % ({:.3} to {:.3}, people resampled)",
            percent(events as f64 / of.max(1) as f64),
            percent(low),
            percent(high)
        );
    }
    for b in &m.boundaries {
        let _ = writeln!(
            out,
            "ratio {:>7.2} at score {:.3} ({:.3} to {:.3})",
            b.llr, b.score, b.ci95[0], b.ci95[1]
        );
    }
    let _ = writeln!(
        out,
        "Cllr {:.4} for one view (least {:.4}), {:.4} for the most (least {:.4})",
        m.cllr[0], m.cllr_min[0], m.cllr[1], m.cllr_min[1]
    );
    out
}
