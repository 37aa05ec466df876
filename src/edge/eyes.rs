//! What a box sees with: its models, and the calibrations made for them.
//!
//! While a recognizer is replaced, the one before it is loaded too, for
//! cardholders whose photographs were not enrolled anew yet. It may find that
//! somebody is the cardholder; it tells the bureau of nobody, since the box's
//! commission is for the new one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::crypto::Sha256;
use crate::protocol::commission::Subject;
use crate::verify::calibration::{Calibration, CalibrationError};
use crate::vision::manifest::{Manifest, ManifestError};
use crate::vision::model::ModelError;
use crate::vision::{ModelIdentity, Vision, Wanted};

use super::commission::InForce;
use super::config::Config;

/// Which of a box's recognizers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one that the box is commissioned for.
    Present,
    /// The one before it, while references of it are still about.
    Previous,
}

/// The models of one worker.
pub struct Sight {
    present: Vision,
    previous: Option<Vision>,
}

/// Models or a calibration that are not in order.
#[derive(Debug, thiserror::Error)]
pub enum EyesError {
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A calibration.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// The previous recognizer is the present one.
    #[error(
        "models.previous.recognizer `{0}` is the recognizer in use: name the one before it, or take [models.previous] out"
    )]
    SameTwice(String),
}

impl Sight {
    /// Loads what the configuration names.
    ///
    /// # Errors
    /// Naming the model that is not in order.
    pub fn load(manifest: &Manifest, config: &Config) -> Result<Self, ModelError> {
        let wanted = config.wanted();
        let previous =
            config.models.previous.as_ref().map(|p| {
                Vision::load(manifest, &Wanted { recognizer: p.recognizer.clone(), ..wanted.clone() })
            });
        Ok(Self { present: Vision::load(manifest, &wanted)?, previous: previous.transpose()? })
    }

    /// The models to look with; the present ones if there are no others.
    pub fn with(&mut self, which: Which) -> &mut Vision {
        match (which, &mut self.previous) {
            (Which::Previous, Some(previous)) => previous,
            _ => &mut self.present,
        }
    }

    /// The recognizers, the best first.
    pub fn recognizers(&self) -> Vec<(Which, ModelIdentity)> {
        let previous = self.previous.as_ref().map(|v| (Which::Previous, v.recognizer()));
        std::iter::once((Which::Present, self.present.recognizer())).chain(previous).collect()
    }

    /// SHA-256 of each model's file, by what it is for.
    pub fn digests(&self) -> BTreeMap<String, Sha256> {
        let v = &self.present;
        let mut out = BTreeMap::from([
            ("detector".to_owned(), v.detector_sha256()),
            ("recognizer".to_owned(), v.recognizer().sha256),
        ]);
        out.extend(v.liveness_sha256().map(|l| ("liveness".to_owned(), l)));
        out
    }

    /// Makes every model forget the last pictures.
    ///
    /// # Errors
    /// If a model fails.
    pub fn overwrite(&mut self) -> Result<(), ModelError> {
        let previous = self.previous.as_mut().map_or(Ok(()), Vision::overwrite);
        self.present.overwrite().and(previous)
    }
}

/// Models and calibrations, checked against each other.
pub struct Eyes {
    /// One for each worker.
    pub sights: Vec<Sight>,
    /// The manifest they came from.
    pub manifest: Arc<Manifest>,
    /// The calibration of the present recognizer.
    pub calibration: Calibration,
    /// Its digest.
    pub calibration_digest: Sha256,
    /// The calibration of the recognizer before it.
    pub previous: Option<Calibration>,
}

impl Eyes {
    /// Loads what the configuration names.
    ///
    /// # Errors
    /// Naming the model or calibration that is not in order.
    pub fn open(config: &Config) -> Result<Self, EyesError> {
        let manifest = Arc::new(Manifest::read(&config.models.manifest)?);
        let first = Sight::load(&manifest, config)?;
        let (calibration, calibration_digest) = read(&config.decision.calibration, &first.present)?;
        let previous = match (&config.models.previous, &first.previous) {
            (Some(named), Some(vision)) => {
                if vision.recognizer() == first.present.recognizer() {
                    return Err(EyesError::SameTwice(named.recognizer.clone()));
                }
                Some(read(&named.calibration, vision)?.0)
            }
            _ => None,
        };
        let mut sights = vec![first];
        while sights.len() < config.decision.workers {
            sights.push(Sight::load(&manifest, config)?);
        }
        Ok(Self { sights, manifest, calibration, calibration_digest, previous })
    }

    /// What the box must be commissioned for.
    pub fn in_force(&self, config: &Config) -> InForce {
        let Calibration { model, preprocessing, .. } = &self.calibration;
        let subject = Subject {
            agent: config.agent.name.clone(),
            model: *model,
            preprocessing: *preprocessing,
            calibration: self.calibration_digest,
        };
        InForce { subject, bureau: config.bureau.public_key.clone(), limits: config.commissioning }
    }
}

fn read(path: &Path, vision: &Vision) -> Result<(Calibration, Sha256), CalibrationError> {
    let read = Calibration::read(path, vision.recognizer())?;
    read.0.fits_liveness(path, vision.liveness_sha256())?;
    Ok(read)
}
