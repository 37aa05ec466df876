//! `counterproof bench verification`: what one genuine verification costs, by
//! step, beside one bare detection and one bare embedding.
//!
//! CPU time of the one thread that does the work, on MJPEG pictures of
//! 640x480 drawn from a sample portrait, compared with the reference of another
//! portrait of the same person. Timings are of this machine and this moment:
//! what carries over is the ratios, which are measured side by side.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use crate::camera::clip::Clip;
use crate::camera::{decode, pictures};
use crate::clock::BoxTime;
use crate::frame::{Codec, Frame, Region, Sample};
use crate::verify::Verdict;
use crate::verify::calibration::Calibration;
use crate::verify::session::{self, Rules};
use crate::verify::subjects::Subjects;
use crate::vision::align::Crop;
use crate::vision::cost::{Costs, Step, thread_cpu};
use crate::vision::detect::Looking;
use crate::vision::manifest::Manifest;
use crate::vision::{Vision, Wanted};

use super::scene::Scene;
use super::{BenchError, find_manifest, round};

/// Pictures of the window: three seconds at 15 a second.
const PICTURES: u32 = 45;

/// Arguments of `bench verification`.
#[derive(Debug, clap::Args)]
pub struct VerificationArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Verifications that are measured; the median counts.
    #[arg(long, default_value_t = 41, value_parser = clap::value_parser!(u32).range(5..=2000))]
    pub runs: u32,
    /// The manifest of models.
    #[arg(long, default_value = "models/models.toml")]
    pub models: PathBuf,
    /// The calibration whose thresholds decide.
    #[arg(long, default_value = "config/calibrations/sface-2021dec.toml")]
    pub calibration: PathBuf,
}

/// CPU of one step in a median verification.
#[derive(Debug, Serialize)]
struct StepCost {
    step: &'static str,
    /// Median over the verifications, in milliseconds.
    cpu_ms: f64,
    /// Times that it ran in one verification, on average.
    runs: f64,
}

/// Everything that is measured on.
struct Bench {
    vision: Vision,
    rules: Rules,
    subjects: Subjects,
    clip: Clip,
}

/// Runs the benchmark and prints it.
///
/// # Errors
/// If models or samples are missing, or the verification is not a match.
pub fn run(args: &VerificationArgs) -> Result<(), BenchError> {
    let manifest = Manifest::read(&find_manifest(&args.models))?;
    let mut bench = Bench::new(&manifest, args)?;
    // Once unmeasured, for caches and the runtime's buffers.
    bench.verification(0)?;
    bench.raw(0)?;
    let (mut costs, mut raw, mut overwrite) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..args.runs {
        costs.push(bench.verification(n)?);
        overwrite.push(bench.overwrite()?);
        raw.push(bench.raw(n)?);
        // Its larger look is not a verification's to forget.
        bench.overwrite()?;
        if n % 10 == 0 {
            eprint!("\rverification {n}/{}", args.runs);
        }
    }
    eprintln!("\r{:40}\r", "");
    let original = bench.original_embedding(&manifest, args.runs.min(21))?;
    print(args, &costs, &Beside { raw, overwrite, original })
}

/// As on a box: with the liveness model.
fn wanted() -> Wanted {
    Wanted { liveness: Some(Wanted::liveness_model()), ..Wanted::default() }
}

/// Models, a cardholder who is enrolled, and a counter where that person stands.
pub(super) struct Ready {
    pub vision: Vision,
    pub rules: Rules,
    pub subjects: Subjects,
    pub scene: Scene,
}

impl Ready {
    pub fn new(manifest: &Manifest, calibration: &Path) -> Result<Self, BenchError> {
        let mut vision = Vision::load(manifest, &wanted())?;
        let (mut calibration, _) = Calibration::read(&find_manifest(calibration), vision.recognizer())?;
        // The drawn person is a picture, and the liveness model says so: it looks as on a
        // box, and its word is not heard.
        if let Some(liveness) = &mut calibration.liveness {
            liveness.least_mean = 0.0;
        }
        let still = |id: &str| -> Result<Frame, BenchError> {
            decode::still(&manifest.sample(id)?)
                .map_err(|source| BenchError::Picture { path: PathBuf::from(id), source })
        };
        let refused = |what: String| BenchError::Sample(what);
        let reference =
            vision.enrol(&still("portrait-b1")?).map_err(|e| refused(format!("portrait-b1: {e}")))?;
        let portrait = still("portrait-b2")?;
        let faces = vision.find_in_still(&portrait)?;
        let face = faces.first().ok_or_else(|| refused("portrait-b2: no face found".into()))?;
        let scene = Scene::person(&portrait, face).map_err(|e| refused(format!("portrait-b2: {e}")))?;
        Ok(Self {
            vision,
            rules: Rules::counter(Arc::new(calibration), Region::WHOLE),
            subjects: super::cardholder(&super::transform(), &reference.template)
                .ok_or_else(|| refused("portrait-b1: its embedding does not fit the transform".into()))?,
            scene,
        })
    }
}

impl Bench {
    fn new(manifest: &Manifest, args: &VerificationArgs) -> Result<Self, BenchError> {
        let Ready { vision, rules, subjects, scene } = Ready::new(manifest, &args.calibration)?;
        let sample = |n: u32| {
            let at = BoxTime::from_millis(1000 + u64::from(n) * 67);
            Arc::new(Sample::new(at, Codec::Jpeg, scene.jpeg(n)))
        };
        Ok(Self { vision, rules, subjects, clip: Clip::of((0..PICTURES).map(sample).collect()) })
    }

    /// One genuine verification, its moment another each time.
    fn verification(&mut self, n: u32) -> Result<Costs, BenchError> {
        let moment = BoxTime::from_millis(1000 + u64::from(n % PICTURES) * 67);
        let ran = session::run(&mut self.vision, self.rules.clone(), &self.subjects, &self.clip, moment)?;
        match ran.verdict {
            Verdict::Match(_) => Ok(ran.costs),
            other => Err(BenchError::Sample(format!("a genuine verification ended as {}", other.outcome()))),
        }
    }

    /// What the worker does once nobody waits: the models forget.
    fn overwrite(&mut self) -> Result<Duration, BenchError> {
        let before = thread_cpu();
        self.vision.overwrite()?;
        Ok(thread_cpu().saturating_sub(before))
    }

    /// The two inferences alone: one detection at 640x480 and one embedding.
    fn raw(&mut self, n: u32) -> Result<Duration, BenchError> {
        let sample = &self.clip.samples()[(n % PICTURES) as usize];
        let frame = pictures::alone(sample)
            .map_err(|source| BenchError::Picture { path: PathBuf::from("scene"), source })?;
        self.vision.costs().take();
        let whole = Looking { long_side: 640, ..Looking::COUNTER };
        let faces = self.vision.detect(&frame, &Region::WHOLE, whole)?;
        let face = faces.first().ok_or_else(|| BenchError::Sample("no face in a scene".into()))?;
        let crop: Crop = self.vision.align(&frame, face);
        self.vision.embed(&crop)?;
        let costs = self.vision.costs().take();
        Ok(costs.of(Step::DetectInference).0 + costs.of(Step::EmbedInference).0)
    }

    /// Prepared embedding over the same file as it comes, interleaved.
    fn original_embedding(&mut self, manifest: &Manifest, runs: u32) -> Result<f64, BenchError> {
        let mut original = Vision::load_unprepared(manifest, &wanted())?;
        let frame = pictures::alone(&self.clip.samples()[0])
            .map_err(|source| BenchError::Picture { path: PathBuf::from("scene"), source })?;
        let faces = self.vision.detect(&frame, &Region::WHOLE, Looking::COUNTER)?;
        let face = faces.first().ok_or_else(|| BenchError::Sample("no face in a scene".into()))?;
        let crop = self.vision.align(&frame, face);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..=runs {
            for (vision, out) in [(&mut self.vision, &mut ours), (&mut original, &mut theirs)] {
                vision.costs().take();
                vision.embed(&crop)?;
                out.push(ms(vision.costs().take().of(Step::EmbedInference).0));
            }
        }
        Ok(median(ours) / median(theirs))
    }
}

pub(super) fn ms(d: Duration) -> f64 {
    d.as_secs_f64() * 1000.0
}

pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What is measured beside verifications, CPU of each run.
struct Beside {
    raw: Vec<Duration>,
    overwrite: Vec<Duration>,
    /// Prepared embedding over the original.
    original: f64,
}

fn print(args: &VerificationArgs, costs: &[Costs], beside: &Beside) -> Result<(), BenchError> {
    let of = |f: &dyn Fn(&Costs) -> f64| median(costs.iter().map(f).collect());
    let share = |c: &Costs, inference: bool| -> f64 {
        Step::ALL.iter().filter(|s| s.is_inference() == inference).map(|s| ms(c.of(*s).0)).sum()
    };
    let cpu = of(&|c| ms(c.total()));
    let raw_ms = median(beside.raw.iter().copied().map(ms).collect());
    let overwrite_ms = median(beside.overwrite.iter().copied().map(ms).collect());
    let steps: Vec<StepCost> = Step::ALL
        .iter()
        .map(|step| StepCost {
            step: step.as_str(),
            cpu_ms: round(of(&|c| ms(c.of(*step).0))),
            runs: round(costs.iter().map(|c| f64::from(c.of(*step).1)).sum::<f64>() / costs.len() as f64),
        })
        .collect();
    let report = json!({
        "cpu_ms": round(cpu),
        "inference_cpu_ms": round(of(&|c| share(c, true))),
        "other_cpu_ms": round(of(&|c| share(c, false))),
        "raw_ms": round(raw_ms),
        "cpu_over_raw": round(cpu / raw_ms),
        "prepared_over_original": round(beside.original),
        "overwrite_ms": round(overwrite_ms),
        "runs": costs.len(),
        "steps": steps,
    });
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?);
        return Ok(());
    }
    println!("one genuine verification, MJPEG 640x480, median of {} (CPU ms of one thread)", costs.len());
    for s in &steps {
        println!("  {:<18} {:>8.2}   x {:.1}", s.step, s.cpu_ms, s.runs);
    }
    for key in [
        "cpu_ms",
        "inference_cpu_ms",
        "other_cpu_ms",
        "raw_ms",
        "cpu_over_raw",
        "prepared_over_original",
        "overwrite_ms",
    ] {
        println!("{key:<24} {}", report[key]);
    }
    Ok(())
}
