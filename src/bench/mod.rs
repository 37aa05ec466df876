//! Measuring: what the models and the decision are worth on a set of
//! photographs, and the drawn test camera that demo, tests and benchmarks
//! share.
//!
//! Promises: a photograph is decoded once and dropped, embeddings live in
//! memory only, and what is written holds rates and never a score with a
//! person's name. It measures one to one comparisons; there is no search.
//! Nothing here is used by the agent or the bureau's server.

pub mod backdrop;
pub mod calibrate;
pub mod chance;
pub mod city;
pub mod corpus;
pub mod counters;
pub mod drawn;
pub mod entrance;
pub mod histogram;
pub mod hospital;
pub mod ingest;
pub mod linkability;
pub mod linkage;
pub mod list;
pub mod logistic;
pub mod messages;
pub mod pairs;
pub mod postgres;
pub mod queue;
pub mod rates;
pub mod recovery;
pub mod relay;
pub mod report;
pub mod sample;
pub mod scene;
pub mod sessions;
mod sign_in;
pub mod stream;
pub mod svg;
pub mod tally;
pub mod trial;
pub mod verification;
pub mod wire;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use sign_in::sign_in;

use crate::camera::decode::DecodeError;
use crate::crypto::transform::{Transform, TransformKey};
use crate::protocol::reference::Template;
use crate::verify::subjects::Subjects;
use crate::vision::embed::DIMENSION;
use crate::vision::manifest::ManifestError;
use crate::vision::model::ModelError;

/// `counterproof evaluate`.
#[derive(Debug, clap::Args)]
pub struct EvaluateArgs {
    /// On what.
    #[command(subcommand)]
    pub what: Evaluation,
}

/// What can be evaluated.
#[derive(Debug, clap::Subcommand)]
pub enum Evaluation {
    /// Compare pairs of photographs: accuracy by fold, FMR and FNMR, EER, DET curve
    Pairs(pairs::PairsArgs),
    /// Play whole settlements: false alerts per 10,000, impostors alerted, inconclusive
    Sessions(sessions::SessionsArgs),
    /// Play shifts at an entrance: absent by mistake per 10,000, absences told, hidden, unclear
    Entrance(entrance::EntranceArgs),
    /// What a setting means for a city: alerts a day, and honest people among them
    City(city::CityArgs),
    /// Attack protected references: D_sys, sets found again, templates recovered from known pairs
    Linkability(linkability::LinkabilityArgs),
}

/// Runs `counterproof evaluate`: the result on standard output, progress on
/// standard error.
///
/// # Errors
/// [`BenchError`] naming the file, line or picture, and what to do.
pub fn run(args: &EvaluateArgs) -> Result<(), BenchError> {
    match &args.what {
        Evaluation::Pairs(args) => pairs::run(args),
        Evaluation::Sessions(args) => sessions::run(args),
        Evaluation::Entrance(args) => entrance::run(args),
        Evaluation::City(args) => city::run(args),
        Evaluation::Linkability(args) => linkability::run(args),
    }
}

/// `counterproof bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// Of what.
    #[command(subcommand)]
    pub what: Benchmark,
}

/// What can be timed.
#[derive(Debug, clap::Subcommand)]
pub enum Benchmark {
    /// One genuine verification, by step, beside one bare detection and embedding
    Verification(verification::VerificationArgs),
    /// A camera while nobody settles, beside a loop that decodes every picture
    Idle(stream::idle::IdleArgs),
    /// From the end of a window to the verdict, one counter with a network camera
    Window(stream::window::WindowArgs),
    /// Many network cameras on one box, through the real programs
    Storm(stream::storm::StormArgs),
    /// Messages of every dialect, untidy and spoilt: none may make the reader panic
    Messages(messages::MessagesArgs),
    /// What the relay between HIS and platform adds, and whether it alters a byte
    Relay(relay::RelayArgs),
    /// Write the drawn camera's pictures as a data set for `evaluate sessions`
    Scenes(drawn::ScenesArgs),
}

/// Runs `counterproof bench`; `readers` are the agent's, by dialect.
///
/// # Errors
/// [`BenchError`] naming what is missing.
pub fn time(args: &BenchArgs, readers: &[messages::Reader]) -> Result<(), BenchError> {
    match &args.what {
        Benchmark::Verification(args) => verification::run(args),
        Benchmark::Idle(args) => stream::idle::run(args),
        Benchmark::Window(args) => stream::window::run(args),
        Benchmark::Storm(args) => stream::storm::run(args),
        Benchmark::Messages(args) => messages::run(args, readers),
        Benchmark::Relay(args) => relay::run(args),
        Benchmark::Scenes(args) => drawn::run(args),
    }
}

/// Why an evaluation could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file cannot be read or written.
    #[error("{path}: {source}: {advice}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// A line of the list of pairs is not a pair.
    #[error("{path}:{line}: found {found}; expected {expected}")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What stands there.
        found: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// The list names a picture that is not there.
    #[error(
        "{path}:{line}: no picture `{entry}` (looked for {looked_for}): give --images the folder in which the paths of the list begin"
    )]
    NoPicture {
        /// The list.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The entry.
        entry: String,
        /// Where it might have been.
        looked_for: String,
    },
    /// A picture that cannot be decoded.
    #[error("{path}: {source}: replace the picture, or take its pairs out of the list")]
    Picture {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The models.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The manifest of models.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The calibration.
    #[error(transparent)]
    Calibration(#[from] crate::verify::calibration::CalibrationError),
    /// Not enough data for what was asked.
    #[error("too little data: {0}")]
    TooLittle(String),
    /// A sample does not do what it must.
    #[error("the samples: {0}: run models/fetch")]
    Sample(String),
    /// A server, a connection or an answer.
    #[error("nothing could be measured: {0}")]
    Unmeasured(std::io::Error),
    /// Standard output was closed.
    #[error("writing the result: {0}")]
    Output(#[from] std::io::Error),
}

/// The transform under which evaluations compare, as a box does under its own.
/// Any key gives the same scores to 1e-5; a fixed one gives the same last places.
pub fn transform() -> Arc<Transform> {
    Arc::new(TransformKey::new([0; 32]).transform(DIMENSION))
}

/// A settlement's subjects: one cardholder with one reference; `None` if the
/// reference does not fit the transform.
fn cardholder(transform: &Arc<Transform>, reference: &Template) -> Option<Subjects> {
    let mut subjects = Subjects::under(Arc::clone(transform));
    subjects.add(vec![reference.protect(transform)?]).ok()?;
    Some(subjects)
}

/// To a thousandth: what is behind is noise.
fn round(v: f64) -> f64 {
    (v * 1000.0).round() / 1000.0
}

/// Where the manifest of models is: as given or, if nothing is there and the
/// path is relative, beside the program or a folder above it, so that a
/// program in a checkout's `target/` finds the checkout's.
pub fn find_manifest(given: &Path) -> PathBuf {
    if given.is_absolute() || given.exists() {
        return given.to_owned();
    }
    let program = std::env::current_exe().unwrap_or_default();
    let beside = program.ancestors().skip(1).map(|folder| folder.join(given)).find(|path| path.is_file());
    beside.unwrap_or_else(|| given.to_owned())
}

/// A folder for one measurement, that goes with this.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(what: &str) -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("counterproof-{what}-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays is no fault of the measurement.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
