//! References: a cardholder's enrolled embeddings, as the bureau hands them
//! to one box for one settlement.
//!
//! A [`Template`] is as the model made it; it stays at the bureau. What crosses
//! the wire is [`Protected`] under the transform of one box, and comparable
//! with nothing else.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::id::CardholderId;
use crate::crypto::Sha256;
use crate::crypto::transform::{Transform, TransformId};

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

/// A template under one transform. It cannot be cloned or printed, and is
/// overwritten when dropped.
pub struct Protected {
    template: Template,
    transform: TransformId,
}

impl Template {
    /// The template under a transform; `None` if it has another dimension.
    pub fn protect(&self, transform: &Transform) -> Option<Protected> {
        // Scaled again: the transform keeps lengths to about 1e-7 only.
        let template = Template::from_raw(std::mem::take(&mut *transform.apply(&self.0)?)).ok()?;
        Some(Protected { template, transform: transform.id() })
    }
}

impl Protected {
    /// Under which transform it is.
    pub fn transform(&self) -> TransformId {
        self.transform
    }

    /// The weighted mean of several templates, scaled to unit length; `None`
    /// without any, if they do not fit each other, or if they cancel out.
    pub fn pool<'a>(templates: impl IntoIterator<Item = (&'a Self, f32)>) -> Option<Self> {
        let mut all = templates.into_iter();
        let (first, weight) = all.next()?;
        let mut sum: Vec<f32> = first.template.values().iter().map(|v| v * weight).collect();
        for (other, weight) in all {
            if other.transform != first.transform || other.dimension() != sum.len() {
                return None;
            }
            sum.iter_mut().zip(other.template.values()).for_each(|(s, v)| *s += v * weight);
        }
        Some(Self { template: Template::from_raw(sum).ok()?, transform: first.transform })
    }

    /// How many numbers it has.
    pub fn dimension(&self) -> usize {
        self.template.0.len()
    }

    /// Cosine with another protected template, -1 to 1; `None` if the two are
    /// under different transforms or have different dimensions.
    pub fn compare(&self, other: &Self) -> Option<f32> {
        let (a, b) = (self.template.values(), other.template.values());
        (self.transform == other.transform && a.len() == b.len())
            .then(|| a.iter().zip(b).map(|(x, y)| x * y).sum())
    }
}

/// The answer to `GET /v1/references/{cardholder}`.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceSet {
    /// Whose.
    pub cardholder: CardholderId,
    /// Under which transform all of them are.
    pub transform: TransformId,
    /// At least one, at most [`MAX_REFERENCES`] for each model.
    references: Vec<ReferenceOnWire>,
    /// Of each proxy whom the cardholder declared at the bureau, what is enrolled: nothing of
    /// one who is not. Who they are, is not said. Left out where nobody is declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    proxies: Vec<Vec<ReferenceOnWire>>,
}

/// Most declared proxies in one answer.
pub const MAX_DECLARED: usize = 16;

/// One reference as it travels. Made from a [`Protected`] only.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceOnWire {
    /// SHA-256 of the model that made it.
    model: Sha256,
    /// Version of alignment and preparation that made it.
    preprocessing: u32,
    /// The protected embedding, as base64.
    #[schema(value_type = String)]
    embedding: Zeroizing<String>,
}

impl ReferenceSet {
    /// An answer that has no references yet.
    pub fn new(cardholder: CardholderId, transform: TransformId) -> Self {
        Self { cardholder, transform, references: Vec::new(), proxies: Vec::new() }
    }

    /// Adds a proxy whom the cardholder declared; `proxy` is the answer for that person.
    /// Whether it is under this set's transform. If not, nothing is added.
    #[must_use]
    pub fn add_proxy(&mut self, proxy: Self) -> bool {
        let fits = proxy.transform == self.transform;
        if fits {
            self.proxies.push(proxy.references);
        }
        fits
    }

    /// The declared proxies, each as an answer of its own under nobody's name; one who is
    /// the same person as `known` (the same references) is left out.
    ///
    /// # Errors
    /// If there are more than [`MAX_DECLARED`].
    pub fn take_proxies(&mut self, known: &[Self]) -> Result<Vec<Self>, TemplateError> {
        let found = std::mem::take(&mut self.proxies);
        if found.len() > MAX_DECLARED {
            return Err(TemplateError::TooMany(found.len()));
        }
        let same = |a: &[ReferenceOnWire], b: &[ReferenceOnWire]| {
            !a.is_empty()
                && a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| {
                    (a.model, a.preprocessing, &*a.embedding) == (b.model, b.preprocessing, &*b.embedding)
                })
        };
        let new = found.into_iter().filter(|p| !known.iter().any(|k| same(&k.references, p)));
        let (cardholder, transform) = (&self.cardholder, self.transform);
        let set =
            |references| Self { cardholder: cardholder.clone(), transform, references, proxies: Vec::new() };
        Ok(new.map(set).collect())
    }

    /// Adds a reference that the given model and preprocessing made; whether it
    /// is under this set's transform. If not, nothing is added.
    #[must_use]
    pub fn add(&mut self, model: Sha256, preprocessing: u32, reference: &Protected) -> bool {
        let fits = reference.transform == self.transform;
        if fits {
            let embedding = reference.template.to_base64();
            self.references.push(ReferenceOnWire { model, preprocessing, embedding });
        }
        fits
    }

    /// The references that the given model and preprocessing can be compared with.
    ///
    /// # Errors
    /// If one of them is not an embedding, or there are too many.
    pub fn usable(&self, model: Sha256, preprocessing: u32) -> Result<Vec<Protected>, TemplateError> {
        let fitting = |r: &&ReferenceOnWire| r.model == model && r.preprocessing == preprocessing;
        let count = self.references.iter().filter(fitting).count();
        if count > MAX_REFERENCES {
            return Err(TemplateError::TooMany(count));
        }
        let read = |r: &ReferenceOnWire| {
            let template = Template::from_base64(&r.embedding)?;
            Ok(Protected { template, transform: self.transform })
        };
        self.references.iter().filter(fitting).map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::transform::TransformKey;
    use proptest::prelude::*;

    fn protected(values: [f32; 3], key: u8) -> Protected {
        Template::from_raw(values.to_vec())
            .unwrap()
            .protect(&TransformKey::new([key; 32]).transform(3))
            .unwrap()
    }

    #[test]
    fn templates_under_two_transforms_do_not_compare() {
        let (one, other) = (protected([1.0, 2.0, 3.0], 1), protected([1.0, 2.0, 3.0], 2));
        assert_eq!(one.compare(&other), None);
        assert!((one.compare(&protected([2.0, 4.0, 6.0], 1)).unwrap() - 1.0).abs() < 1e-6);
        let template = Template::from_raw(vec![1.0; 4]).unwrap();
        assert!(template.protect(&TransformKey::new([1; 32]).transform(3)).is_none());
    }

    #[test]
    fn a_set_has_one_transform_and_survives_the_wire() {
        let (model, reference) = (Sha256::of(b"m"), protected([1.0, 2.0, 3.0], 1));
        let mut set = ReferenceSet::new("P0001".parse().unwrap(), reference.transform());
        assert!(set.add(model, 7, &reference));
        assert!(!set.add(model, 7, &protected([1.0, 2.0, 3.0], 2)));
        let text = serde_json::to_string(&set).unwrap();
        let read: ReferenceSet = serde_json::from_str(&text).unwrap();
        let usable = read.usable(model, 7).unwrap();
        assert_eq!(usable.len(), 1);
        assert!((usable[0].compare(&reference).unwrap() - 1.0).abs() < 1e-6);
        assert!(read.usable(model, 8).unwrap().is_empty());
    }

    #[test]
    fn declared_proxies_travel_without_a_name_and_nobody_is_taken_for_two() {
        let model = Sha256::of(b"m");
        let of = |values, name: &str| {
            let reference = protected(values, 1);
            let mut set = ReferenceSet::new(name.parse().unwrap(), reference.transform());
            assert!(set.add(model, 7, &reference));
            set
        };
        let mut set = of([1.0, 2.0, 3.0], "P0001");
        assert!(set.add_proxy(of([3.0, 2.0, 1.0], "P0002")) && set.add_proxy(of([3.0, 1.0, 1.0], "P0003")));
        assert!(set.add_proxy(ReferenceSet::new("P0004".parse().unwrap(), set.transform)));
        let other = protected([1.0, 2.0, 3.0], 2);
        assert!(!set.add_proxy(ReferenceSet::new("P0005".parse().unwrap(), other.transform())));
        let text = serde_json::to_string(&set).unwrap();
        assert!(!text.contains("P0002") && !text.contains("P0004"), "{text}");
        let mut read: ReferenceSet = serde_json::from_str(&text).unwrap();
        // The HIS named P0003 too.
        let found = read.take_proxies(&[of([3.0, 1.0, 1.0], "P0003")]).unwrap();
        let counts: Vec<usize> = found.iter().map(|p| p.usable(model, 7).unwrap().len()).collect();
        assert_eq!(counts, [1, 0]);
        assert!(read.take_proxies(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_pool_lies_between_its_templates_and_only_of_one_transform() {
        let (a, b) = (protected([1.0, 0.0, 0.0], 1), protected([0.0, 1.0, 0.0], 1));
        let pool = Protected::pool([(&a, 1.0), (&b, 1.0)]).unwrap();
        assert!((pool.compare(&a).unwrap() - 0.5f32.sqrt()).abs() < 1e-6);
        let heavy = Protected::pool([(&a, 9.0), (&b, 1.0)]).unwrap();
        assert!(heavy.compare(&a) > pool.compare(&a));
        assert!(Protected::pool([(&a, 1.0), (&protected([0.0, 1.0, 0.0], 2), 1.0)]).is_none());
        assert!(Protected::pool([(&a, 1.0), (&protected([-1.0, 0.0, 0.0], 1), 1.0)]).is_none());
        assert!(Protected::pool([]).is_none());
    }

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
