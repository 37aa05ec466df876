//! From frames to probes: find faces, follow them, judge how well they are
//! seen, align them, embed the good ones.
//!
//! Promises: nothing here compares two people, reads a disk after loading, or
//! keeps a pixel after the call that used it; buffers are overwritten when
//! dropped and reused in between. Deciding is for `verify`.

pub mod align;
pub mod cost;
pub mod detect;
pub mod embed;
pub mod finder;
pub mod follow;
pub mod liveness;
pub mod manifest;
pub mod model;
pub mod prepare;
pub mod quality;
pub mod telemetry;

use crate::crypto::Sha256;
use crate::frame::{Frame, Region};
use crate::protocol::reference::Template;

use align::Crop;
use cost::{Costs, Step};
use detect::{Detector, Face, Looking};
use embed::{Embedder, Probe};
use liveness::{Liveness, Signal};
use manifest::{Manifest, Model, Role};
use model::ModelError;
use quality::{Flaw, Quality};

/// Which models of the manifest to load.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    /// Id of the detector.
    pub detector: String,
    /// Id of the recognizer.
    pub recognizer: String,
    /// Id of the liveness model, where one is wanted.
    pub liveness: Option<String>,
}

impl Wanted {
    /// Id of the liveness model that this version knows.
    pub fn liveness_model() -> String {
        "fr-liveness".into()
    }
}

impl Default for Wanted {
    fn default() -> Self {
        Self { detector: "yunet-2023mar".into(), recognizer: "sface-2021dec".into(), liveness: None }
    }
}

/// Which model made an embedding: only embeddings of one identity compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelIdentity {
    /// SHA-256 of the recognizer's file.
    pub sha256: Sha256,
    /// Variant and version of preparation, and version of alignment.
    pub preprocessing: u32,
}

fn preprocessing(recognizer: &Model) -> u32 {
    prepare::variant(&recognizer.prepare) << 16 | prepare::PREPARATION << 8 | align::ALIGNMENT
}

/// One set of models with their buffers; one thread uses it at a time.
pub struct Vision {
    detector: Detector,
    embedder: Embedder,
    liveness: Option<Liveness>,
    identity: ModelIdentity,
    detector_sha256: Sha256,
    liveness_sha256: Option<Sha256>,
    costs: Costs,
}

/// A photograph that became a reference.
pub struct Enrolled {
    /// The reference.
    pub template: Template,
    /// How well the face is seen.
    pub quality: Quality,
}

/// Why a photograph did not become a reference.
#[derive(Debug, thiserror::Error)]
pub enum EnrolRefusal {
    /// No face in it.
    #[error("no face found: give a photograph that shows the face from the front")]
    NoFace,
    /// More than one.
    #[error("{0} faces found: crop the photograph to the cardholder")]
    SeveralFaces(usize),
    /// A face that is not seen well enough.
    #[error("the face is not seen well: {}", list(.0))]
    Poor(Vec<Flaw>),
    /// The models failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}

fn list(flaws: &[Flaw]) -> String {
    flaws.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Vision {
    /// Loads the wanted models.
    ///
    /// # Errors
    /// [`ModelError`] naming the model that is missing or not the manifest's.
    pub fn load(manifest: &Manifest, wanted: &Wanted) -> Result<Self, ModelError> {
        let detector = manifest.model(&wanted.detector, Role::Detector)?;
        let recognizer = manifest.model(&wanted.recognizer, Role::Recognizer)?;
        let liveness = wanted.liveness.as_ref().map(|id| manifest.model(id, Role::Liveness)).transpose()?;
        Ok(Self {
            detector: Detector::load(manifest, detector)?,
            embedder: Embedder::load(manifest, recognizer)?,
            liveness: liveness.map(|model| Liveness::load(manifest, model)).transpose()?,
            identity: ModelIdentity {
                sha256: recognizer.file.sha256,
                preprocessing: preprocessing(recognizer),
            },
            detector_sha256: detector.file.sha256,
            liveness_sha256: liveness.map(|model| model.file.sha256),
            costs: Costs::default(),
        })
    }

    /// The same models as they come, without the manifest's preparation where
    /// they run without it; benchmarks compare the two.
    ///
    /// # Errors
    /// As [`Vision::load`].
    pub fn load_unprepared(manifest: &Manifest, wanted: &Wanted) -> Result<Self, ModelError> {
        let mut vision = Self::load(manifest, wanted)?;
        let mut recognizer = manifest.model(&wanted.recognizer, Role::Recognizer)?.clone();
        recognizer.prepare.clear();
        vision.embedder = Embedder::load(manifest, &recognizer)?;
        Ok(vision)
    }

    /// Which recognizer this is.
    pub fn recognizer(&self) -> ModelIdentity {
        self.identity
    }

    /// SHA-256 of the detector's file.
    pub fn detector_sha256(&self) -> Sha256 {
        self.detector_sha256
    }

    /// SHA-256 of the liveness model's file, where one is loaded.
    pub fn liveness_sha256(&self) -> Option<Sha256> {
        self.liveness_sha256
    }

    /// CPU spent by step since the last call of [`Costs::take`].
    pub fn costs(&mut self) -> &mut Costs {
        &mut self.costs
    }

    /// Faces in a region of the frame, best first.
    ///
    /// # Errors
    /// If the model fails.
    pub fn detect(&mut self, frame: &Frame, region: &Region, how: Looking) -> Result<Vec<Face>, ModelError> {
        self.detector.detect(frame, region, how, &mut self.costs)
    }

    /// The face turned and scaled to the recognizer's input.
    pub fn align(&mut self, frame: &Frame, face: &Face) -> Crop {
        self.costs.measure(Step::Align, || Crop::of(frame, face))
    }

    /// How well a face, looked for in a region, is seen.
    pub fn judge(&mut self, frame: &Frame, region: &Region, face: &Face, crop: &Crop) -> Quality {
        self.costs.measure(Step::Quality, || Quality::of(frame, region, face, crop))
    }

    /// Whether the presentation is that of a live person.
    ///
    /// # Errors
    /// If the model fails.
    pub fn liveness(&mut self, frame: &Frame, face: &Face) -> Result<Signal, ModelError> {
        match &mut self.liveness {
            Some(model) => model.of(frame, face, &mut self.costs),
            None => Ok(Signal::Off),
        }
    }

    /// The embedding of an aligned face.
    ///
    /// # Errors
    /// If the model fails.
    pub fn embed(&mut self, crop: &Crop) -> Result<Probe, ModelError> {
        self.embedder.embed(crop, &mut self.costs)
    }

    /// The reference that an aligned face gives, the embedding of the face and
    /// of its mirror image together, and the unified quality of the face.
    ///
    /// # Errors
    /// If the model fails.
    pub fn reference(&mut self, crop: &Crop) -> Result<(Template, f32), ModelError> {
        self.embedder.embed_with_mirror(crop, &mut self.costs)
    }

    /// Makes the models forget the last pictures: runs them on grey, at the sizes
    /// that were looked at, and overwrites their buffers.
    ///
    /// Reaches the inputs of detector and recognizer, the scaled picture, and
    /// every tensor between them and the outputs, since the runtime puts those of
    /// a run of one size where it put those of the last. One of the recognizer's
    /// is an affine step away from the embedding. Buffers that the resizer and the
    /// decoders free are overwritten by the program's allocator.
    ///
    /// Costs about one detection and one embedding, so it is for idle moments.
    ///
    /// # Errors
    /// If a model fails.
    pub fn overwrite(&mut self) -> Result<(), ModelError> {
        let recognizer = self.embedder.overwrite();
        let liveness = self.liveness.as_mut().map_or(Ok(()), Liveness::overwrite);
        self.detector.overwrite().and(recognizer).and(liveness)
    }

    /// The faces of a still picture of any size, best first: looks at it as it
    /// is, and if nothing is found once enlarged and once with a margin, for
    /// pictures that are smaller or closer than the detector likes.
    ///
    /// # Errors
    /// If the model fails.
    pub fn find_in_still(&mut self, frame: &Frame) -> Result<Vec<Face>, ModelError> {
        for how in Looking::STILL {
            let faces = self.detect(frame, &Region::WHOLE, how)?;
            if !faces.is_empty() {
                return Ok(faces);
            }
        }
        Ok(Vec::new())
    }

    /// A reference from a photograph: exactly one face, well seen. The
    /// embedding is that of the face and of its mirror image together.
    ///
    /// # Errors
    /// [`EnrolRefusal`] with the reason.
    pub fn enrol(&mut self, frame: &Frame) -> Result<Enrolled, EnrolRefusal> {
        let faces = self.find_in_still(frame)?;
        let best = faces.first().ok_or(EnrolRefusal::NoFace)?;
        // A face less than a third as wide is a bystander or a pattern, not a second sitter.
        let rivals = faces.iter().filter(|f| f.width() * 3.0 >= best.width()).count();
        if rivals > 1 {
            return Err(EnrolRefusal::SeveralFaces(rivals));
        }
        let crop = self.align(frame, best);
        let quality = self.judge(frame, &Region::WHOLE, best, &crop);
        let flaws = quality.flaws(&quality::Gate::ENROLMENT);
        if !flaws.is_empty() {
            return Err(EnrolRefusal::Poor(flaws));
        }
        let (template, unified) = self.reference(&crop)?;
        if unified < quality::Gate::ENROLMENT.unified {
            return Err(EnrolRefusal::Poor(vec![Flaw::HardToRecognize]));
        }
        Ok(Enrolled { template, quality })
    }
}
