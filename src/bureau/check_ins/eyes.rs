//! The models behind check-ins: one photograph and one person's references in, a word out.
//!
//! Promises: one photograph at a time, decoded only when its turn has come; pixels,
//! crops and embeddings are overwritten before the answer leaves, and the models run on
//! grey; references are opened for one request. Comparison is under a transform that is
//! drawn at the start and kept in memory alone, since there is no other comparison.
//!
//! This is the one file of the bureau that knows `verify`.

use std::sync::{Arc, Mutex};

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::bureau::BureauError;
use crate::bureau::config::Config;
use crate::camera::decode;
use crate::crypto::transform::{Transform, TransformKey};
use crate::frame::Frame;
use crate::protocol::check_in::{CheckInOutcome, ScoreBand};
use crate::protocol::reference::Template;
use crate::protocol::verdict::NotAssessed;
use crate::verify::calibration::Calibration;
use crate::verify::still::{self, Look, LookError, Said};
use crate::verify::subjects::Subjects;
use crate::vision::manifest::Manifest;
use crate::vision::model::ModelError;
use crate::vision::{ModelIdentity, Vision, Wanted, embed};

use super::config::CheckInsConfig;

/// Most pixels of a photograph: a telephone's 24 megapixels.
pub const MOST_PIXELS: u64 = 25_000_000;

/// The models, with what their scores are worth.
pub(super) struct Eyes {
    vision: Mutex<Vision>,
    calibration: Calibration,
    transform: Arc<Transform>,
    identity: ModelIdentity,
}

/// A photograph that cannot be looked at, and why.
#[derive(Debug)]
pub(super) struct Unreadable(pub(super) String);

impl Eyes {
    /// Loads models and calibration.
    ///
    /// # Errors
    /// [`BureauError`] naming the model, or why the calibration does not fit it.
    pub(super) fn open(config: &Config, check_ins: &CheckInsConfig) -> Result<Self, BureauError> {
        let models = &config.models;
        let manifest = Manifest::read(&models.manifest).map_err(ModelError::from)?;
        let wanted = Wanted {
            detector: models.detector.clone(),
            recognizer: models.recognizer.clone(),
            liveness: Some(check_ins.liveness.clone()),
        };
        let vision = Vision::load(&manifest, &wanted)?;
        let (identity, path) =
            (vision.recognizer(), check_ins.calibration.as_deref().unwrap_or("calibration".as_ref()));
        let unfit = |e: &dyn std::fmt::Display| BureauError::Command(format!("check_ins.calibration: {e}"));
        let (calibration, _) = Calibration::read(path, identity).map_err(|e| unfit(&e))?;
        calibration.fits_liveness(path, vision.liveness_sha256()).map_err(|e| unfit(&e))?;
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| BureauError::Command("no randomness".into()))?;
        let transform = Arc::new(TransformKey::new(bytes).transform(embed::DIMENSION));
        Ok(Self { vision: Mutex::new(vision), calibration, transform, identity })
    }

    /// Whose references can be compared with.
    pub(super) const fn identity(&self) -> ModelIdentity {
        self.identity
    }

    /// Looks at a photograph; takes its time, and its turn.
    ///
    /// # Errors
    /// [`Unreadable`] if it is no whole picture, or too large a one.
    pub(super) fn look(
        &self,
        photo: Zeroizing<Vec<u8>>,
        references: &[Template],
    ) -> Result<(CheckInOutcome, Option<ScoreBand>), Unreadable> {
        // What a panic left in the buffers is overwritten by the next run.
        let mut vision = self.vision.lock().unwrap_or_else(|e| e.into_inner());
        let frame = decoded(&photo)?;
        drop(photo);
        let looked = self.compare(&mut vision, &frame, references);
        drop(frame);
        if let Err(error) = vision.overwrite() {
            tracing::error!(%error, "the models could not be made to forget a check-in");
        }
        Ok(match looked {
            Ok(Look { said, score }) => (outcome(said), score.map(ScoreBand::of)),
            Err(error) => {
                tracing::error!(%error, "a check-in could not be judged");
                (CheckInOutcome::NotAssessed(NotAssessed::Fault), None)
            }
        })
    }

    fn compare(
        &self,
        vision: &mut Vision,
        frame: &Frame,
        references: &[Template],
    ) -> Result<Look, LookError> {
        let protected = references.iter().filter_map(|r| r.protect(&self.transform)).collect();
        let mut subjects = Subjects::under(Arc::clone(&self.transform));
        subjects.add(protected).map_err(|_| LookError::Incomparable)?;
        still::look(vision, &self.calibration, &subjects, frame)
    }
}

fn decoded(photo: &[u8]) -> Result<Frame, Unreadable> {
    let unreadable = |e: decode::DecodeError| Unreadable(e.to_string());
    let (width, height) = decode::still_size(photo).map_err(unreadable)?;
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MOST_PIXELS {
        return Err(Unreadable(format!(
            "found {width} x {height} pixels; allowed: {MOST_PIXELS} together: send it smaller, 1600 on the longer side is plenty"
        )));
    }
    decode::still(photo).map_err(unreadable)
}

const fn outcome(said: Said) -> CheckInOutcome {
    match said {
        Said::Match => CheckInOutcome::Match,
        Said::Mismatch => CheckInOutcome::Mismatch,
        Said::Inconclusive(doubt) => CheckInOutcome::Inconclusive(doubt),
    }
}
