//! Finding faces: YuNet.
//!
//! Input f32 `[1,3,H,W]`, B, G, R, 0 to 255, H and W multiples of 32 (the
//! picture is padded with black on the right and below). Outputs for strides
//! s of 8, 16, 32, cells row by row: `cls_s`, `obj_s`, `bbox_s`, `kps_s`.
//! Finds faces of about 10 to 300 pixels in what it is shown.

use fast_image_resize as fir;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use zeroize::{Zeroize, Zeroizing};

use super::cost::{Costs, Step};
use super::manifest::{Manifest, Model};
use super::model::{GREY, Loaded, ModelError, Outputs};
use crate::frame::{Frame, Region};

const STRIDES: [usize; 3] = [8, 16, 32];
/// Boxes that overlap by more than this share (intersection over union) are one face.
const SAME_FACE_OVERLAP: f32 = 0.3;

/// A face in a frame; all places in pixels of that frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// The detector's confidence, 0 to 1.
    pub score: f32,
    /// Left, top, right, bottom.
    pub edges: [f32; 4],
    /// Right eye, left eye, nose tip, right and left corner of the mouth
    /// (right and left as the person has them), as x, y.
    pub landmarks: [[f32; 2]; 5],
}

impl Face {
    /// Width in pixels.
    pub fn width(&self) -> f32 {
        self.edges[2] - self.edges[0]
    }

    /// Height in pixels.
    pub fn height(&self) -> f32 {
        self.edges[3] - self.edges[1]
    }

    /// The middle of the box.
    pub fn centre(&self) -> [f32; 2] {
        [(self.edges[0] + self.edges[2]) / 2.0, (self.edges[1] + self.edges[3]) / 2.0]
    }

    /// Pixels between the eyes.
    pub fn inter_eye(&self) -> f32 {
        let [r, l, ..] = self.landmarks;
        (r[0] - l[0]).hypot(r[1] - l[1])
    }

    /// Intersection over union of two boxes, 0 to 1.
    pub fn overlap(&self, other: &Self) -> f32 {
        let (a, b) = (&self.edges, &other.edges);
        let w = a[2].min(b[2]) - a[0].max(b[0]);
        let h = a[3].min(b[3]) - a[1].max(b[1]);
        if w <= 0.0 || h <= 0.0 {
            return 0.0;
        }
        let both = w * h;
        both / (self.width() * self.height() + other.width() * other.height() - both)
    }

    /// Whether its box touches the edge of the region or of the frame, to a
    /// hundredth of the frame.
    pub fn touches_edge(&self, frame: &Frame, region: &Region) -> bool {
        let (w, h) = (frame.width() as f32, frame.height() as f32);
        let [x0, y0, x1, y1] = self.edges;
        x0 <= (region.x + 0.01) * w
            || y0 <= (region.y + 0.01) * h
            || x1 >= (region.x + region.w - 0.01) * w
            || y1 >= (region.y + region.h - 0.01) * h
    }

    fn map(mut self, scale: f32, left: f32, top: f32) -> Self {
        let [x0, y0, x1, y1] = self.edges;
        self.edges = [x0 * scale + left, y0 * scale + top, x1 * scale + left, y1 * scale + top];
        self.landmarks = self.landmarks.map(|[x, y]| [x * scale + left, y * scale + top]);
        self
    }
}

/// At what size to look, and how sure to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Looking {
    /// The longer side is scaled down to this many pixels; a smaller picture
    /// stays as it is, unless `enlarge`.
    pub long_side: u32,
    /// Scale smaller pictures up too.
    pub enlarge: bool,
    /// Black added around the picture, as a share of its longer side, for
    /// faces that fill it.
    pub margin: f32,
    /// Least confidence, 0 to 1.
    pub least_score: f32,
}

impl Looking {
    /// At a counter: half of 640x480 finds faces from about 20 pixels on.
    pub const COUNTER: Self = Self { long_side: 320, enlarge: false, margin: 0.0, least_score: 0.6 };
    /// Still pictures, tried in this order until a face is found.
    pub const STILL: [Self; 3] = [
        Self { long_side: 640, enlarge: false, margin: 0.0, least_score: 0.6 },
        Self { long_side: 640, enlarge: true, margin: 0.0, least_score: 0.5 },
        Self { long_side: 480, enlarge: true, margin: 0.5, least_score: 0.4 },
    ];
}

/// The detector with its buffers.
pub struct Detector {
    model: Loaded,
    resizer: fir::Resizer,
    scaled: Zeroizing<Vec<u8>>,
    input: Zeroizing<Vec<f32>>,
    /// Sizes of input shown since the last [`Detector::overwrite`], width and height.
    shown: Vec<(usize, usize)>,
}

impl Detector {
    pub(super) fn load(manifest: &Manifest, model: &Model) -> Result<Self, ModelError> {
        Ok(Self {
            model: Loaded::new(manifest, model)?,
            resizer: fir::Resizer::new(),
            scaled: Zeroizing::default(),
            input: Zeroizing::default(),
            shown: Vec::new(),
        })
    }

    /// Runs the model on grey at every size that it was shown since the last
    /// call, and overwrites the buffers: what they held of pictures is gone.
    pub(super) fn overwrite(&mut self) -> Result<(), ModelError> {
        // Frees what the resizer keeps between its two passes.
        self.resizer.reset_internal_buffers();
        self.scaled.zeroize();
        for (width, height) in std::mem::take(&mut self.shown) {
            // The whole buffer, not only what the last picture needed of it.
            self.input.zeroize();
            self.input.resize(3 * width * height, GREY);
            self.model.run(&self.input, height, width)?;
        }
        self.input.zeroize();
        Ok(())
    }

    pub(super) fn detect(
        &mut self,
        frame: &Frame,
        region: &Region,
        how: Looking,
        costs: &mut Costs,
    ) -> Result<Vec<Face>, ModelError> {
        let window = Window::of(frame, region);
        let input = costs.measure(Step::DetectInput, || self.fill(frame, &window, how));
        let Self { model, input: buffer, shown, .. } = self;
        let size = (input.padded_w, input.padded_h);
        if !shown.contains(&size) {
            shown.push(size);
        }
        let out =
            costs.measure(Step::DetectInference, || model.run(buffer, input.padded_h, input.padded_w))?;
        let faces = costs
            .measure(Step::DetectOutput, || read(&out, input.padded_w, input.padded_h, how.least_score))?;
        let back = 1.0 / input.scale;
        let shift = input.offset * back;
        Ok(faces
            .into_iter()
            .map(|f| f.map(back, window.left as f32 - shift, window.top as f32 - shift))
            .filter(|f| {
                let [x, y] = f.centre();
                region.contains(x, y, frame.width(), frame.height())
            })
            .collect())
    }

    /// Scales the window and writes it as B, G, R planes.
    fn fill(&mut self, frame: &Frame, window: &Window, how: Looking) -> Input {
        let long = window.width.max(window.height) as f32;
        let wanted = how.long_side as f32 / (long * (1.0 + 2.0 * how.margin));
        let scale = if how.enlarge { wanted } else { wanted.min(1.0) };
        let w = ((window.width as f32 * scale).round() as usize).max(1);
        let h = ((window.height as f32 * scale).round() as usize).max(1);
        let offset = (long * scale * how.margin).round() as usize;
        let input = Input {
            padded_w: (w + 2 * offset).next_multiple_of(32),
            padded_h: (h + 2 * offset).next_multiple_of(32),
            offset: offset as f32,
            scale,
        };
        let whole = window.width == frame.width() && window.height == frame.height();
        let rgb = if whole && w == window.width as usize && h == window.height as usize {
            frame.rgb()
        } else {
            self.scale(frame, window, w, h);
            &self.scaled
        };
        let plane = input.padded_w * input.padded_h;
        self.input.clear();
        self.input.resize(3 * plane, 0.0);
        let (blue, rest) = self.input.split_at_mut(plane);
        let (green, red) = rest.split_at_mut(plane);
        for (y, row) in rgb.chunks_exact(w * 3).enumerate() {
            let at = (y + offset) * input.padded_w + offset;
            let planes = red[at..at + w].iter_mut().zip(&mut green[at..at + w]).zip(&mut blue[at..at + w]);
            for (((r, g), b), pixel) in planes.zip(row.as_chunks::<3>().0) {
                *r = f32::from(pixel[0]);
                *g = f32::from(pixel[1]);
                *b = f32::from(pixel[2]);
            }
        }
        input
    }

    fn scale(&mut self, frame: &Frame, window: &Window, w: usize, h: usize) {
        self.scaled.clear();
        self.scaled.resize(w * h * 3, 0);
        // Typed views: the untyped call would build the resizer for every pixel format there is.
        let source = TypedImageRef::<U8x3>::from_buffer(frame.width(), frame.height(), frame.rgb());
        let target = TypedImage::<U8x3>::from_buffer(w as u32, h as u32, &mut self.scaled);
        let options = fir::ResizeOptions::new()
            .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Bilinear))
            .crop(
                f64::from(window.left),
                f64::from(window.top),
                f64::from(window.width),
                f64::from(window.height),
            );
        if let (Ok(source), Ok(mut target)) = (source, target) {
            // Sizes and crop were made from the frame itself; a refusal would leave a black
            // picture, in which no face is found.
            let done = self.resizer.resize_typed(&source, &mut target, &options);
            debug_assert!(done.is_ok(), "{done:?}");
        }
    }
}

/// What the detector was shown.
struct Input {
    padded_w: usize,
    padded_h: usize,
    offset: f32,
    scale: f32,
}

/// The region in whole pixels, with a margin so that a face at its edge is whole.
struct Window {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl Window {
    const MARGIN: f32 = 0.1;

    fn of(frame: &Frame, region: &Region) -> Self {
        let (w, h) = (frame.width() as f32, frame.height() as f32);
        let (mx, my) = (region.w * Self::MARGIN, region.h * Self::MARGIN);
        let left = ((region.x - mx).max(0.0) * w) as u32;
        let top = ((region.y - my).max(0.0) * h) as u32;
        let right = ((region.x + region.w + mx).min(1.0) * w).round() as u32;
        let bottom = ((region.y + region.h + my).min(1.0) * h).round() as u32;
        let left = left.min(frame.width() - 1);
        let top = top.min(frame.height() - 1);
        Self {
            left,
            top,
            width: right.clamp(left + 1, frame.width()) - left,
            height: bottom.clamp(top + 1, frame.height()) - top,
        }
    }
}

/// Reads the three strides' outputs; one face for each place, best first.
fn read(out: &Outputs<'_>, width: usize, height: usize, least: f32) -> Result<Vec<Face>, ModelError> {
    let mut faces = Vec::new();
    for s in STRIDES {
        let (cols, rows) = (width / s, height / s);
        let n = cols * rows;
        let cls = out.get(&format!("cls_{s}"), n)?;
        let obj = out.get(&format!("obj_{s}"), n)?;
        let boxes = out.get(&format!("bbox_{s}"), n * 4)?.as_chunks::<4>().0;
        let points = out.get(&format!("kps_{s}"), n * 10)?.as_chunks::<10>().0;
        for (i, (((c, o), b), k)) in cls.iter().zip(obj).zip(boxes).zip(points).enumerate() {
            let score = (c.clamp(0.0, 1.0) * o.clamp(0.0, 1.0)).sqrt();
            if score >= least {
                faces.push(face(score, (i % cols) as f32, (i / cols) as f32, s as f32, b, k));
            }
        }
    }
    faces.retain(|f| f.edges.iter().chain(f.landmarks.as_flattened()).all(|v| v.is_finite()));
    Ok(one_for_each_place(faces))
}

fn face(score: f32, col: f32, row: f32, s: f32, b: &[f32; 4], k: &[f32; 10]) -> Face {
    let (cx, cy) = ((col + b[0]) * s, (row + b[1]) * s);
    let (w, h) = (b[2].exp() * s, b[3].exp() * s);
    let point = |i: usize| [(col + k[2 * i]) * s, (row + k[2 * i + 1]) * s];
    Face {
        score,
        edges: [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0],
        landmarks: std::array::from_fn(point),
    }
}

fn one_for_each_place(mut faces: Vec<Face>) -> Vec<Face> {
    faces.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Face> = Vec::new();
    for face in faces {
        if kept.iter().all(|k| k.overlap(&face) <= SAME_FACE_OVERLAP) {
            kept.push(face);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn boxed(score: f32, x: f32, y: f32, w: f32, h: f32) -> Face {
        Face { score, edges: [x, y, x + w, y + h], landmarks: [[x, y]; 5] }
    }

    #[test]
    fn overlapping_boxes_are_one_face_and_the_surer_one() {
        let faces = vec![
            boxed(0.7, 0.0, 0.0, 10.0, 10.0),
            boxed(0.9, 1.0, 1.0, 10.0, 10.0),
            boxed(0.8, 40.0, 0.0, 9.0, 9.0),
        ];
        let kept = one_for_each_place(faces);
        assert_eq!(kept.iter().map(|f| f.score).collect::<Vec<_>>(), [0.9, 0.8]);
    }

    proptest! {
        #[test]
        fn overlap_is_symmetric_and_a_share(x in -50f32..50.0, y in -50f32..50.0, w in 0.1f32..60.0, h in 0.1f32..60.0) {
            let (a, b) = (boxed(1.0, 0.0, 0.0, 20.0, 30.0), boxed(1.0, x, y, w, h));
            let o = a.overlap(&b);
            prop_assert!((0.0..=1.0001).contains(&o));
            prop_assert!((o - b.overlap(&a)).abs() < 1e-4);
            prop_assert!((a.overlap(&a) - 1.0).abs() < 1e-5);
        }

        #[test]
        fn a_window_lies_inside_its_frame(x in 0f32..1.0, y in 0f32..1.0, w in 0.001f32..1.0, h in 0.001f32..1.0, fw in 1u32..900, fh in 1u32..900) {
            let frame = Frame::from_rgb(fw, fh, vec![0; (fw * fh * 3) as usize]).unwrap();
            let region = Region { x, y, w: w.min(1.0 - x), h: h.min(1.0 - y) };
            let win = Window::of(&frame, &region);
            prop_assert!(win.width >= 1 && win.height >= 1);
            prop_assert!(win.left + win.width <= fw && win.top + win.height <= fh);
        }
    }
}
