//! Running a model: one file of the manifest, checked, prepared and loaded on
//! one thread.
//!
//! The inference library is loaded once for the process, from the manifest's
//! file. Sessions use one thread each, so that a worker's cost is its own.

use std::collections::HashSet;
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::TensorRef;

use super::manifest::{Manifest, ManifestError, Model, Optimisation};
use super::prepare::{PrepareError, prepare};
use super::telemetry;

/// What models are shown to make them forget: the middle of 0 to 255.
pub(super) const GREY: f32 = 127.5;

/// Why a model could not be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Not the manifest's file.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Not a model that the manifest's steps fit.
    #[error("{id}: {source}")]
    Prepare {
        /// Which model.
        id: String,
        /// What went wrong.
        source: PrepareError,
    },
    /// The library would report on this machine.
    #[error(
        "the inference library is not loaded: it would report on this machine to its maker; set {}=1 in the environment",
        telemetry::VARIABLE
    )]
    Telemetry,
    /// The inference library failed.
    #[error("{what}: the inference library says: {message}")]
    Runtime {
        /// What was being done.
        what: String,
        /// Its words.
        message: String,
    },
    /// The model's output is not what its kind promises.
    #[error(
        "{id}: output `{output}` has {found} numbers, expected {expected}: this model needs another entry in the manifest"
    )]
    Output {
        /// Which model.
        id: String,
        /// Which output.
        output: String,
        /// Numbers found.
        found: usize,
        /// Numbers expected.
        expected: usize,
    },
}

fn runtime(what: impl Into<String>) -> impl FnOnce(ort::Error) -> ModelError {
    let what = what.into();
    move |e| ModelError::Runtime { what, message: e.to_string() }
}

/// The library, loaded on first use.
fn environment(manifest: &Manifest) -> Result<&'static Environment, ModelError> {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    static LOADING: Mutex<()> = Mutex::new(());
    // The library allows one environment for each process: threads that load
    // their first model at the same time take turns.
    let _turn = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(e) = ENVIRONMENT.get() {
        return Ok(e);
    }
    if !telemetry::is_off() {
        return Err(ModelError::Telemetry);
    }
    let path = manifest.runtime()?;
    let failed =
        |message: String| ModelError::Runtime { what: format!("loading {}", path.display()), message };
    let built = ort::init_from(&path)
        .map_err(|e| failed(e.to_string()))?
        .with_name("counterproof")
        .with_telemetry(false)
        .build()
        .map_err(|e| failed(e.to_string()))?;
    Ok(ENVIRONMENT.get_or_init(|| built))
}

/// A model in memory, ready to run.
pub struct Loaded {
    id: String,
    session: Session,
    /// Sizes that it was run at, height and width.
    settled: HashSet<(usize, usize)>,
}

impl Loaded {
    /// Reads, checks, prepares and loads a model as the manifest says.
    ///
    /// # Errors
    /// [`ModelError`] naming the file and what is wrong with it.
    pub fn new(manifest: &Manifest, model: &Model) -> Result<Self, ModelError> {
        let bytes = manifest.bytes(&model.file)?;
        let prepared = prepare(&bytes, &model.prepare)
            .map_err(|source| ModelError::Prepare { id: model.id.clone(), source })?;
        Self::from_graph(manifest, &model.id, &prepared, model.optimisation)
    }

    /// Loads a graph that is at hand; benchmarks compare preparations with it.
    ///
    /// # Errors
    /// If the library refuses it.
    pub fn from_graph(
        manifest: &Manifest,
        id: &str,
        graph: &[u8],
        optimisation: Optimisation,
    ) -> Result<Self, ModelError> {
        let environment = environment(manifest)?;
        let level = match optimisation {
            Optimisation::Extended => GraphOptimizationLevel::Level2,
            Optimisation::All => GraphOptimizationLevel::All,
        };
        let what = || format!("loading model {id}");
        let failed =
            |e: ort::Error<SessionBuilder>| ModelError::Runtime { what: what(), message: e.to_string() };
        let session = Session::builder(environment)
            .map_err(runtime(what()))?
            .with_intra_threads(1)
            .map_err(failed)?
            .with_optimization_level(level)
            .map_err(failed)?
            .commit_from_memory(graph)
            .map_err(runtime(what()))?;
        Ok(Self { id: id.to_owned(), session, settled: HashSet::new() })
    }

    /// Runs it on `[1,3,height,width]`.
    ///
    /// # Errors
    /// If the library fails.
    pub fn run(&mut self, input: &[f32], height: usize, width: usize) -> Result<Outputs<'_>, ModelError> {
        self.settle(height, width)?;
        self.run_once(input, height, width)
    }

    /// Runs a size that is new on grey first. The runtime learns from the first
    /// run of a size where to put its tensors, and puts them there from the
    /// second on: a picture must not be the first, since what it left behind would
    /// lie where no later run of that size overwrites it.
    fn settle(&mut self, height: usize, width: usize) -> Result<(), ModelError> {
        if self.settled.contains(&(height, width)) {
            return Ok(());
        }
        let grey = vec![GREY; 3 * height * width];
        for _ in 0..2 {
            self.run_once(&grey, height, width)?;
        }
        self.settled.insert((height, width));
        Ok(())
    }

    fn run_once(&mut self, input: &[f32], height: usize, width: usize) -> Result<Outputs<'_>, ModelError> {
        let what = || format!("running model {}", self.id);
        let tensor = TensorRef::from_array_view(([1, 3, height, width], input)).map_err(runtime(what()))?;
        let message = what();
        let values = self.session.run(ort::inputs![tensor]).map_err(runtime(message))?;
        Ok(Outputs { id: &self.id, values })
    }
}

/// The outputs of one run, by name.
pub struct Outputs<'a> {
    id: &'a str,
    values: ort::session::SessionOutputs<'a>,
}

impl Outputs<'_> {
    /// One output, of exactly `expected` numbers.
    ///
    /// # Errors
    /// If there is no such output, or it has another size.
    pub fn get(&self, name: &str, expected: usize) -> Result<&[f32], ModelError> {
        let wrong = |found| ModelError::Output { id: self.id.into(), output: name.into(), found, expected };
        let value = self.values.get(name).ok_or_else(|| wrong(0))?;
        let (_, data) = value.try_extract_tensor::<f32>().map_err(runtime(format!("reading {name}")))?;
        if data.len() == expected { Ok(data) } else { Err(wrong(data.len())) }
    }
}
