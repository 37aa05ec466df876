//! Faces and how well they are seen, and nothing more: what aiming a camera
//! needs.
//!
//! Promises: no recognizer is loaded, so no embedding can be made here, by
//! mistake as little as by intent; nothing is kept of a picture after the call.

use super::align::Crop;
use super::cost::Costs;
use super::detect::{Detector, Face, Looking};
use super::manifest::{Manifest, Role};
use super::model::ModelError;
use super::quality::Quality;
use crate::frame::{Frame, Region};

/// The detector with its buffers; one thread uses it at a time.
pub struct Finder {
    detector: Detector,
    costs: Costs,
}

impl Finder {
    /// Loads the detector with this id.
    ///
    /// # Errors
    /// [`ModelError`] naming the model that is missing or not the manifest's.
    pub fn load(manifest: &Manifest, detector: &str) -> Result<Self, ModelError> {
        let model = manifest.model(detector, Role::Detector)?;
        Ok(Self { detector: Detector::load(manifest, model)?, costs: Costs::default() })
    }

    /// Faces in a region of the frame, best first.
    ///
    /// # Errors
    /// If the model fails.
    pub fn detect(&mut self, frame: &Frame, region: &Region, how: Looking) -> Result<Vec<Face>, ModelError> {
        self.detector.detect(frame, region, how, &mut self.costs)
    }

    /// How well a face, looked for in a region, is seen: as a verification
    /// measures it, on the face aligned.
    pub fn judge(frame: &Frame, region: &Region, face: &Face) -> Quality {
        Quality::of(frame, region, face, &Crop::of(frame, face))
    }

    /// Makes the detector forget the last pictures.
    ///
    /// # Errors
    /// If the model fails.
    pub fn overwrite(&mut self) -> Result<(), ModelError> {
        self.detector.overwrite()
    }
}
