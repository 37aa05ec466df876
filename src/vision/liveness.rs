//! Telling a person from a picture of one (presentation attack detection,
//! ISO/IEC 30107-3): one still at a time, by texture and surroundings.
//!
//! Input f32 `[1,3,128,128]`, B, G, R, 0 to 255: the square around the face's
//! centre whose side is 2.7 times the face's height, shifted to lie inside the
//! frame. Output three numbers; after softmax the first is the share of a live
//! person. It knows printed photographs; masks of silicone it does not.
//!
//! What it says is one signal: averaged over views by `verify`, and only ever a
//! doubt. A face that fills the frame has no square around it: that is said, and
//! is no word for the face either.

use fast_image_resize as fir;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use zeroize::{Zeroize, Zeroizing};

use super::cost::{Costs, Step};
use super::detect::Face;
use super::manifest::{Manifest, Model};
use super::model::{GREY, Loaded, ModelError};
use crate::frame::Frame;

/// Side of the input in pixels.
const SIDE: usize = 128;
const PLANE: usize = SIDE * SIDE;
/// Side of the square in heights of the face, as the model was trained.
const SCALE: f32 = 2.7;
/// Least side that still says something; a face that is larger in its frame gives
/// no signal. Down to 1.75 prints and people were told apart on NUAA.
const LEAST_SCALE: f32 = 1.6;

/// What is known of one presentation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Signal {
    /// Nobody asked: there is no liveness model.
    Off,
    /// The face fills the frame: nothing can be said.
    TooClose,
    /// How far it is that of a live person, 0 to 1.
    Live(f32),
}

/// The model with its buffers.
pub struct Liveness {
    model: Loaded,
    resizer: fir::Resizer,
    scaled: Zeroizing<Vec<u8>>,
    input: Zeroizing<Vec<f32>>,
    shown: bool,
}

impl Liveness {
    pub(super) fn load(manifest: &Manifest, model: &Model) -> Result<Self, ModelError> {
        Ok(Self {
            model: Loaded::new(manifest, model)?,
            resizer: fir::Resizer::new(),
            scaled: Zeroizing::new(vec![0; PLANE * 3]),
            input: Zeroizing::new(vec![0.0; PLANE * 3]),
            shown: false,
        })
    }

    /// Runs the model on grey if it was shown anything since the last call.
    pub(super) fn overwrite(&mut self) -> Result<(), ModelError> {
        self.resizer.reset_internal_buffers();
        self.scaled.as_mut_slice().zeroize();
        if std::mem::take(&mut self.shown) {
            self.input.fill(GREY);
            self.model.run(&self.input, SIDE, SIDE)?;
        }
        self.input.as_mut_slice().zeroize();
        Ok(())
    }

    pub(super) fn of(&mut self, frame: &Frame, face: &Face, costs: &mut Costs) -> Result<Signal, ModelError> {
        let Some(square) = Square::around(face, frame.width() as f32, frame.height() as f32) else {
            return Ok(Signal::TooClose);
        };
        costs.measure(Step::LivenessInput, || self.fill(frame, &square));
        self.shown = true;
        let out = costs.measure(Step::LivenessInference, || self.model.run(&self.input, SIDE, SIDE))?;
        Ok(out.get("output", 3)?.first_chunk::<3>().map_or(Signal::TooClose, |o| Signal::Live(live_share(o))))
    }

    fn fill(&mut self, frame: &Frame, square: &Square) {
        let source = TypedImageRef::<U8x3>::from_buffer(frame.width(), frame.height(), frame.rgb());
        let target = TypedImage::<U8x3>::from_buffer(SIDE as u32, SIDE as u32, &mut self.scaled);
        // Between four pixels without smoothing, as in the model's training.
        let options = fir::ResizeOptions::new()
            .resize_alg(fir::ResizeAlg::Interpolation(fir::FilterType::Bilinear))
            .crop(square.left.into(), square.top.into(), square.side.into(), square.side.into());
        if let (Ok(source), Ok(mut target)) = (source, target) {
            // The square lies inside the frame by construction; a refusal would show the last one again.
            let done = self.resizer.resize_typed(&source, &mut target, &options);
            debug_assert!(done.is_ok(), "{done:?}");
        }
        let (blue, rest) = self.input.split_at_mut(PLANE);
        let (green, red) = rest.split_at_mut(PLANE);
        for (((b, g), r), pixel) in blue.iter_mut().zip(green).zip(red).zip(self.scaled.as_chunks::<3>().0) {
            *r = f32::from(pixel[0]);
            *g = f32::from(pixel[1]);
            *b = f32::from(pixel[2]);
        }
    }
}

/// Softmax of the three outputs; the first is a live person.
fn live_share(out: &[f32; 3]) -> f32 {
    let most = out.iter().copied().fold(f32::MIN, f32::max);
    let [live, a, b] = out.map(|v| (v - most).exp());
    live / (live + a + b)
}

/// What is shown to the model, in pixels of the frame.
#[derive(Debug, PartialEq)]
struct Square {
    left: f32,
    top: f32,
    side: f32,
}

impl Square {
    fn around(face: &Face, width: f32, height: f32) -> Option<Self> {
        let unit = face.height();
        let side = (SCALE * unit).min(width).min(height);
        if !side.is_finite() || side < 1.0 || side < LEAST_SCALE * unit {
            return None;
        }
        let [cx, cy] = face.centre();
        let inside = |centre: f32, length: f32| (centre - side / 2.0).min(length - side).max(0.0);
        Some(Self { left: inside(cx, width), top: inside(cy, height), side })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn face(x: f32, y: f32, w: f32, h: f32) -> Face {
        Face { score: 0.9, edges: [x, y, x + w, y + h], landmarks: [[x, y]; 5] }
    }

    #[test]
    fn the_square_is_2_7_heights_and_a_face_that_fills_the_frame_has_none() {
        let s = Square::around(&face(280.0, 200.0, 80.0, 100.0), 640.0, 480.0).unwrap();
        assert_eq!(s, Square { left: 185.0, top: 115.0, side: 270.0 });
        assert_eq!(Square::around(&face(150.0, 50.0, 260.0, 320.0), 640.0, 480.0), None);
    }

    #[test]
    fn softmax_gives_the_share_of_the_first() {
        assert!((live_share(&[0.0, 0.0, 0.0]) - 1.0 / 3.0).abs() < 1e-6);
        assert!(live_share(&[9.0, -2.0, 1.0]) > 0.999 && live_share(&[-900.0, 2.0, 900.0]) < 1e-6);
    }

    proptest! {
        #[test]
        fn the_square_lies_inside_the_frame(x in -400f32..900.0, y in -400f32..900.0, h in 0.0f32..600.0, fw in 16f32..900.0, fh in 16f32..900.0) {
            if let Some(s) = Square::around(&face(x, y, h, h), fw, fh) {
                prop_assert!(s.left >= 0.0 && s.top >= 0.0 && s.side >= 1.0);
                prop_assert!(s.left + s.side <= fw + 1e-3 && s.top + s.side <= fh + 1e-3);
            }
        }
    }
}
