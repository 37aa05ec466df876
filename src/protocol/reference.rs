//! References: a cardholder's enrolled embeddings, as the bureau hands them
//! to one box for one settlement.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::id::CardholderId;
use crate::crypto::Sha256;

/// Longest accepted embedding, in numbers.
pub const MAX_DIMENSION: usize = 2048;
/// Most references that one cardholder may have for one model.
pub const MAX_REFERENCES: usize = 16;

/// An embedding of unit length. It cannot be cloned or printed, and is
/// overwritten when dropped.
pub struct Template(Zeroizing<Vec<f32>>);

/// Numbers that are not an embedding.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum TemplateError {
    /// No numbers, or too many.
    #[error("an embedding has 1 to {MAX_DIMENSION} numbers; found {0}")]
    Dimension(usize),
    /// More references for one model than anybody may have.
    #[error("a cardholder has at most {MAX_REFERENCES} references for one model; found {0}")]
    TooMany(usize),
    /// Zero, infinite or not a number.
    #[error("an embedding has a finite length above zero; found {0}")]
    Length(f32),
    /// Not base64 of 32-bit floats.
    #[error("an embedding travels as base64 of little-endian 32-bit floats")]
    Encoding,
}

impl Template {
    /// Takes raw numbers and scales them to unit length.
    ///
    /// # Errors
    /// If there are none, too many, or their length is not finite and positive.
    pub fn from_raw(values: Vec<f32>) -> Result<Self, TemplateError> {
        let mut values = Zeroizing::new(values);
        if values.is_empty() || values.len() > MAX_DIMENSION {
            return Err(TemplateError::Dimension(values.len()));
        }
        let length = values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt() as f32;
        if !length.is_finite() || length < 1e-6 {
            return Err(TemplateError::Length(length));
        }
        values.iter_mut().for_each(|v| *v /= length);
        Ok(Self(values))
    }

    /// The numbers, of unit length together.
    pub fn values(&self) -> &[f32] {
        &self.0
    }

    /// Little-endian 32-bit floats as base64.
    pub fn to_base64(&self) -> Zeroizing<String> {
        let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(self.0.iter().flat_map(|v| v.to_le_bytes()).collect());
        Zeroizing::new(BASE64.encode(bytes.as_slice()))
    }

    /// Reads [`Template::to_base64`].
    ///
    /// # Errors
    /// If the text is not base64 of floats, or not an embedding.
    pub fn from_base64(text: &str) -> Result<Self, TemplateError> {
        let bytes = Zeroizing::new(BASE64.decode(text).map_err(|_| TemplateError::Encoding)?);
        let (floats, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(TemplateError::Encoding);
        }
        Self::from_raw(floats.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }
}

/// The answer to `GET /v1/references/{cardholder}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceSet {
    /// Whose.
    pub cardholder: CardholderId,
    /// At least one, at most [`MAX_REFERENCES`] for each model.
    pub references: Vec<ReferenceOnWire>,
}

/// One reference as it travels.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceOnWire {
    /// SHA-256 of the model that made it.
    pub model: Sha256,
    /// Version of alignment and preparation that made it.
    pub preprocessing: u32,
    /// The embedding, as base64.
    pub embedding: Zeroizing<String>,
}

impl ReferenceSet {
    /// The references that the given model and preprocessing can be compared with.
    ///
    /// # Errors
    /// If one of them is not an embedding, or there are too many.
    pub fn usable(&self, model: Sha256, preprocessing: u32) -> Result<Vec<Template>, TemplateError> {
        let fitting = |r: &&ReferenceOnWire| r.model == model && r.preprocessing == preprocessing;
        let count = self.references.iter().filter(fitting).count();
        if count > MAX_REFERENCES {
            return Err(TemplateError::TooMany(count));
        }
        self.references.iter().filter(fitting).map(|r| Template::from_base64(&r.embedding)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn templates_have_unit_length_and_survive_the_wire(values in proptest::collection::vec(-1e3f32..1e3, 1..200)) {
            if let Ok(t) = Template::from_raw(values) {
                let norm: f32 = t.values().iter().map(|v| v * v).sum();
                prop_assert!((norm - 1.0).abs() < 1e-3);
                let again = Template::from_base64(&t.to_base64()).unwrap();
                prop_assert!(t.values().iter().zip(again.values()).all(|(a, b)| (a - b).abs() < 1e-6));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,64}") {
            let _ = Template::from_base64(&text);
        }
    }
}
