//! `counterproof evaluate entrance`: shifts at a dialysis room's entrance, played through
//! the rule that decides, counted as the people on the roster would count them.
//!
//! For each shift a roster is drawn, of whom a few stay away; everybody else, and every
//! other person of the data as a stranger, passes once in a few photographs. Then each
//! person on the roster counts as billed. Photographs years apart are harder than a
//! doorway in their quality of likeness, and easier in everything else: nobody wears a
//! mask, nobody looks away, and the entrance misses nobody. So `false_absent` is a figure
//! of the rule alone, and not a promise of a rate at a door.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::clock::BoxTime;
use crate::crypto::transform::Transform;
use crate::frame::Region;
use crate::privacy::policy::Entrance;
use crate::protocol::roster::MOST;
use crate::verify::calibration::Calibration;
use crate::verify::person::Seen;
use crate::verify::roster::{Demands, Expected, Presence, Watch};
use crate::vision::liveness::Signal;
use crate::vision::manifest::Manifest;
use crate::vision::{Vision, Wanted};

use super::backdrop::Dice;
use super::corpus::{self, Draw, Half, Layout, Picture};
use super::rates::wilson;
use super::{BenchError, find_manifest};

/// Time between two people who pass: each is out of sight before the next.
const APART: Duration = Duration::from_secs(10);
/// Time between two views of one person.
const VIEWS_APART: Duration = Duration::from_millis(300);

/// Arguments of `evaluate entrance`.
#[derive(Debug, clap::Args)]
pub struct EntranceArgs {
    /// Folder with the people's pictures, one folder each.
    #[arg(long, value_name = "DIR")]
    pub root: PathBuf,
    /// Shifts that are played.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub shifts: u32,
    /// People on each roster.
    #[arg(long, default_value_t = MOST as u32, value_parser = clap::value_parser!(u32).range(6..=MOST as i64))]
    pub expected: u32,
    /// Of them, how many stay away.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=12))]
    pub absent: u32,
    /// Photographs in which somebody passes, at most.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=5))]
    pub views: u32,
    /// Likelihood ratios (natural logarithm) from which a face is a doubt: the box's own first.
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true, default_values_t = [Demands::USUAL.doubt_llr])]
    pub doubt: Vec<f32>,
    /// Which people, by their place in the alphabet.
    #[arg(long, value_enum, default_value = "all")]
    pub half: Half,
    /// Another seed draws other shifts.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
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

/// How those on the rosters ended.
#[derive(Default)]
struct Counted {
    present: [u64; 3],
    absent: [u64; 3],
    faces: u64,
}

/// Runs the evaluation and prints it.
///
/// # Errors
/// [`BenchError`] naming the folder or picture, and what to do.
pub fn run(args: &EntranceArgs) -> Result<(), BenchError> {
    let manifest = Manifest::read(&find_manifest(&args.models))?;
    let mut vision = Vision::load(&manifest, &Wanted { liveness: None, ..Wanted::default() })?;
    let (calibration, _) = Calibration::read(&find_manifest(&args.calibration), vision.recognizer())?;
    let people = corpus::read(&args.root, Layout::Stills, args.half)?;
    let pictures = corpus::embed(&mut vision, &people, Layout::Stills, args.views as usize)?;
    let mut shifts = Shifts {
        args,
        pictures: &pictures,
        calibration: Arc::new(calibration),
        transform: super::transform(),
        entrance: Entrance::for_evaluation(),
        dice: Dice::new(args.seed),
    };
    let mut counted: Vec<Counted> = args.doubt.iter().map(|_| Counted::default()).collect();
    for _ in 0..args.shifts {
        shifts.play(&mut counted)?;
    }
    print(args, &counted)
}

struct Shifts<'a> {
    args: &'a EntranceArgs,
    pictures: &'a [Vec<Picture>],
    calibration: Arc<Calibration>,
    transform: Arc<Transform>,
    entrance: Entrance,
    dice: Dice,
}

impl Shifts<'_> {
    fn play(&mut self, counted: &mut [Counted]) -> Result<(), BenchError> {
        let mut drawn = corpus::draw(&mut self.dice, self.pictures, self.args.views as usize);
        shuffle(&mut self.dice, &mut drawn);
        let mut expected = Expected::under(&self.entrance, Arc::clone(&self.transform));
        let mut roster = Vec::new();
        let mut strangers = Vec::new();
        for draw in drawn {
            let reference = self.pictures[draw.person][draw.reference].reference.as_ref();
            let reference = reference.and_then(|r| r.protect(&self.transform));
            let has_room = roster.len() < self.args.expected as usize;
            let added = reference.filter(|_| has_room).map(|r| expected.add(vec![r]));
            if matches!(added, Some(Ok(_))) { roster.push(draw) } else { strangers.push(draw) }
        }
        if roster.len() < self.args.expected as usize {
            return Err(BenchError::TooLittle(format!(
                "{} people can be expected, {} are asked for: give more people, or --expected fewer",
                roster.len(),
                self.args.expected
            )));
        }
        let mut watch = Watch::new(expected, Arc::clone(&self.calibration), Region::WHOLE);
        let (away, came) = roster.split_at(self.args.absent as usize);
        let mut at = BoxTime::from_millis(0);
        for draw in came.iter().chain(&strangers) {
            at = at.plus(APART);
            watch.pass(at, self.views(draw, at));
        }
        watch.let_go(at.plus(APART));
        for (counted, doubt_llr) in counted.iter_mut().zip(&self.args.doubt) {
            let demands = Demands { doubt_llr: *doubt_llr, ..Demands::USUAL };
            for number in 0..roster.len() {
                let of = if number < away.len() { &mut counted.absent } else { &mut counted.present };
                match watch.presence(number, 1.0, &demands) {
                    Presence::Seen => of[0] += 1,
                    Presence::Absent(_) => of[1] += 1,
                    Presence::Unclear(_) => of[2] += 1,
                }
            }
            counted.faces += (came.len() + strangers.len()) as u64;
        }
        Ok(())
    }

    fn views(&self, draw: &Draw, at: BoxTime) -> Vec<Seen> {
        let frames = draw.frames.iter().filter_map(|i| self.pictures[draw.person][*i].view.as_ref());
        let seen = |(n, (probe, quality)): (usize, &(Arc<_>, _))| Seen {
            at: at.plus(VIEWS_APART * n as u32),
            probe: Arc::clone(probe),
            quality: *quality,
            liveness: Signal::Off,
        };
        frames.enumerate().map(seen).collect()
    }
}

fn shuffle(dice: &mut Dice, all: &mut [Draw]) {
    for i in (1..all.len()).rev() {
        let j = (dice.between(0.0, (i + 1) as f32) as usize).min(i);
        all.swap(i, j);
    }
}

fn report(args: &EntranceArgs, doubt: f32, c: &Counted) -> serde_json::Value {
    let (present, absent): (u64, u64) = (c.present.iter().sum(), c.absent.iter().sum());
    let share = |n: u64, of: u64| n as f64 / of.max(1) as f64;
    json!({
        "doubt_llr": doubt,
        "shifts": args.shifts,
        "expected": args.expected,
        "faces_per_shift": c.faces / u64::from(args.shifts.max(1)),
        "present": present,
        "false_absent": c.present[1],
        "false_absent_per_10k": share(c.present[1], present) * 10_000.0,
        "false_absent_ci95": wilson(c.present[1] as usize, present as usize),
        "present_seen": share(c.present[0], present),
        "present_inconclusive": share(c.present[2], present),
        "absent": absent,
        "absent_told": share(c.absent[1], absent),
        "absent_hidden": share(c.absent[0], absent),
        "absent_inconclusive": share(c.absent[2], absent),
    })
}

fn print(args: &EntranceArgs, counted: &[Counted]) -> Result<(), BenchError> {
    let reports: Vec<_> = args.doubt.iter().zip(counted).map(|(doubt, c)| report(args, *doubt, c)).collect();
    if args.json {
        let all = json!({
            "doubts": reports,
            "notes": ["the entrance misses nobody here: this is the rule's share alone, not a rate at a door"],
        });
        println!("{}", serde_json::to_string_pretty(&all).map_err(std::io::Error::from)?);
        return Ok(());
    }
    println!(
        "doubt from | absent by mistake, of 10,000 who came | absences told | taken for seen | inconclusive"
    );
    for r in &reports {
        let number = |k: &str| r[k].as_f64().unwrap_or(f64::NAN);
        println!(
            "{:>10.1} | {:>37.1} | {:>12.1}% | {:>13.1}% | {:>11.1}%",
            number("doubt_llr"),
            number("false_absent_per_10k"),
            number("absent_told") * 100.0,
            number("absent_hidden") * 100.0,
            number("absent_inconclusive") * 100.0
        );
    }
    Ok(())
}
