//! Embedding: SFace.
//!
//! Input f32 `[1,3,112,112]`, R, G, B, 0 to 255; output `fc1`, 128 numbers,
//! scaled to unit length. A [`Probe`] is an embedding of a face at the
//! counter: like a [`Template`] it cannot be cloned, printed or serialized, and
//! nothing turns it into one. It is compared with references only under the
//! transform that they are under.

use zeroize::Zeroizing;

use super::align::{Crop, SIDE};
use super::cost::{Costs, Step};
use super::manifest::{Manifest, Model};
use super::model::{GREY, Loaded, ModelError};
use crate::crypto::transform::Transform;
use crate::protocol::reference::{Protected, Template};

/// Numbers in an embedding of this recognizer.
pub const DIMENSION: usize = 128;
const PLANE: usize = SIDE * SIDE;

/// The embedding of a face at the counter, of unit length. Lives for one
/// settlement, in memory.
///
/// It has no comparison with a reference; it has to be protected first:
///
/// ```compile_fail
/// fn compare(p: &counterproof::vision::embed::Probe, r: &counterproof::protocol::reference::Protected) {
///     let _ = p.compare(r);
/// }
/// ```
/// ```compile_fail
/// fn compare(p: &counterproof::vision::embed::ProtectedProbe, r: &counterproof::protocol::reference::Template) {
///     let _ = p.compare(r);
/// }
/// ```
/// ```
/// use counterproof::{crypto::transform::Transform, protocol::reference::Protected, vision::embed::Probe};
/// fn compare(p: &Probe, box_s: &Transform, r: &Protected) -> Option<f32> {
///     p.protect(box_s)?.compare(r)
/// }
/// ```
pub struct Probe {
    template: Template,
    unified_quality: f32,
}

impl Probe {
    /// The probe under a box's transform; `None` if that has another dimension.
    pub fn protect(&self, transform: &Transform) -> Option<ProtectedProbe> {
        self.template.protect(transform).map(ProtectedProbe)
    }

    /// Length of the embedding before it was scaled to 1, about 5 to 16 for this
    /// recognizer: how well the face is seen as a whole, ISO/IEC 29794-5's unified
    /// quality score in the sense of MagFace (Q. Meng et al., CVPR 2021). Of one
    /// model only, and comparable within one camera rather than between two.
    pub fn unified_quality(&self) -> f32 {
        self.unified_quality
    }

    /// Cosine with another probe of the same settlement, to tell whether two
    /// views are one; `None` if their lengths differ.
    pub fn likeness(&self, other: &Self) -> Option<f32> {
        dot(self.template.values(), other.template.values())
    }

    /// The numbers: only in a program that is built to leak them.
    #[cfg(feature = "leak")]
    pub(crate) fn exposed(&self) -> &[f32] {
        self.template.values()
    }

    /// A probe at a known place, for tests of the rule that decides.
    #[cfg(test)]
    pub(crate) fn for_tests(template: Template) -> Self {
        Self { template, unified_quality: 12.0 }
    }
}

/// A probe under one box's transform.
pub struct ProtectedProbe(Protected);

impl ProtectedProbe {
    /// The comparison score: cosine with a reference, -1 to 1; `None` if the
    /// two are under different transforms or have different dimensions.
    pub fn compare(&self, reference: &Protected) -> Option<f32> {
        self.0.compare(reference)
    }

    /// Cosine with another probe of the same settlement under the same transform.
    pub fn likeness(&self, other: &Self) -> Option<f32> {
        self.0.compare(&other.0)
    }

    /// The weighted mean of several probes of one face, scaled to unit length;
    /// `None` without any, or if they are under different transforms.
    pub fn pool<'a>(probes: impl IntoIterator<Item = (&'a Self, f32)>) -> Option<Self> {
        Protected::pool(probes.into_iter().map(|(p, weight)| (&p.0, weight))).map(Self)
    }
}

fn length(v: &[f32]) -> f32 {
    v.iter().map(|x| x * x).sum::<f32>().sqrt()
}

fn dot(a: &[f32], b: &[f32]) -> Option<f32> {
    (a.len() == b.len()).then(|| a.iter().zip(b).map(|(x, y)| x * y).sum())
}

/// The recognizer with its buffer.
pub struct Embedder {
    model: Loaded,
    id: String,
    input: Zeroizing<Vec<f32>>,
}

impl Embedder {
    pub(super) fn load(manifest: &Manifest, model: &Model) -> Result<Self, ModelError> {
        Ok(Self {
            model: Loaded::new(manifest, model)?,
            id: model.id.clone(),
            input: Zeroizing::new(vec![0.0; 3 * PLANE]),
        })
    }

    /// Runs the model on grey: what its buffers held of a face is gone.
    pub(super) fn overwrite(&mut self) -> Result<(), ModelError> {
        self.input.fill(GREY);
        self.model.run(&self.input, SIDE, SIDE)?;
        Ok(())
    }

    pub(super) fn embed(&mut self, crop: &Crop, costs: &mut Costs) -> Result<Probe, ModelError> {
        let raw = self.raw(crop, false, costs)?;
        let unified_quality = length(&raw);
        Ok(Probe { template: self.template(raw)?, unified_quality })
    }

    pub(super) fn embed_with_mirror(
        &mut self,
        crop: &Crop,
        costs: &mut Costs,
    ) -> Result<(Template, f32), ModelError> {
        let (face, mirrored) = (self.raw(crop, false, costs)?, self.raw(crop, true, costs)?);
        let unified_quality = length(&face);
        let (face, mirrored) = (self.template(face)?, self.template(mirrored)?);
        let sum = face.values().iter().zip(mirrored.values()).map(|(a, b)| a + b).collect();
        Ok((self.template(Zeroizing::new(sum))?, unified_quality))
    }

    fn raw(
        &mut self,
        crop: &Crop,
        mirror: bool,
        costs: &mut Costs,
    ) -> Result<Zeroizing<Vec<f32>>, ModelError> {
        costs.measure(Step::EmbedInput, || fill(&mut self.input, crop, mirror));
        let out = costs.measure(Step::EmbedInference, || self.model.run(&self.input, SIDE, SIDE))?;
        Ok(Zeroizing::new(out.get("fc1", DIMENSION)?.to_vec()))
    }

    fn template(&self, mut raw: Zeroizing<Vec<f32>>) -> Result<Template, ModelError> {
        Template::from_raw(std::mem::take(&mut *raw)).map_err(|e| ModelError::Runtime {
            what: format!("running model {}", self.id),
            message: format!("its output is no embedding: {e}"),
        })
    }
}

fn fill(input: &mut [f32], crop: &Crop, mirror: bool) {
    let (red, rest) = input.split_at_mut(PLANE);
    let (green, blue) = rest.split_at_mut(PLANE);
    let pixels = crop.rgb().as_chunks::<3>().0;
    let planes = red.iter_mut().zip(green).zip(blue).enumerate();
    for (i, ((r, g), b)) in planes {
        let from = if mirror { i - i % SIDE + (SIDE - 1 - i % SIDE) } else { i };
        let [pr, pg, pb] = pixels[from];
        *r = f32::from(pr);
        *g = f32::from(pg);
        *b = f32::from(pb);
    }
}
