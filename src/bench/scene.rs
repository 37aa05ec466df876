//! A test camera drawn from a still photograph: head and shoulders, moved,
//! scaled, turned, relit, a little blurred and noisy from frame to frame,
//! before a drawn backdrop and behind a desk.
//!
//! The same scene and frame number give the same picture. Good for the demo,
//! tests and timing; it is no evidence of life, and its scores say nothing of
//! real people at a real counter, since every frame is the same photograph.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageBuffer, Rgb, imageops};
use zeroize::Zeroizing;

use super::backdrop::{self, DESK, Dice, SIZE};
use crate::frame::Frame;
use crate::vision::detect::Face;

/// Height of the face in the picture before it is moved nearer or farther.
const FACE_HEIGHT: f32 = 164.0;
/// Where the middle of the face is before it moves.
const PLACE: [f32; 2] = [320.0, 205.0];
const QUALITY: u8 = 85;
/// Pixels over which a cut-out fades into the backdrop.
const FADE: f32 = 14.0;

/// A camera's view of a counter with one person at it, or nobody.
pub struct Scene {
    seed: u64,
    backdrop: Zeroizing<Vec<u8>>,
    person: Option<CutOut>,
}

/// The photograph cannot stand at the counter.
#[derive(Debug, thiserror::Error)]
#[error(
    "the face at {edges:?} does not lie in the photograph of {width}x{height}: give a face that was found in it"
)]
pub struct NotInPicture {
    edges: [f32; 4],
    width: u32,
    height: u32,
}

impl Scene {
    /// Nobody at the counter.
    pub fn empty() -> Self {
        Self { seed: 0, backdrop: backdrop::draw(0).into(), person: None }
    }

    /// The person of a photograph at the counter: `face` is where it is in it.
    ///
    /// # Errors
    /// If the face lies outside the photograph or has no size.
    pub fn person(portrait: &Frame, face: &Face) -> Result<Self, NotInPicture> {
        let person = CutOut::of(portrait, face).ok_or(NotInPicture {
            edges: face.edges,
            width: portrait.width(),
            height: portrait.height(),
        })?;
        Ok(Self { person: Some(person), ..Self::empty() })
    }

    /// The same with another backdrop and other movements.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, backdrop: backdrop::draw(seed).into(), ..self }
    }

    /// One picture.
    pub fn frame(&self, n: u32) -> Frame {
        let mut dice = Dice::new(self.seed ^ (u64::from(n) << 32 | 0x5EED));
        let pose = Pose::at(n, self.seed, &mut dice);
        let mut rgb = self.backdrop.to_vec();
        if let Some(person) = &self.person {
            person.stand(&pose, &mut rgb);
        }
        finish(&mut rgb, &pose, &mut dice);
        Frame::from_rgb(SIZE.0 as u32, SIZE.1 as u32, rgb)
            .unwrap_or_else(|e| unreachable!("the backdrop has the size of the picture: {e}"))
    }

    /// One picture as a camera would send it.
    pub fn jpeg(&self, n: u32) -> Vec<u8> {
        let frame = self.frame(n);
        let mut out = Vec::new();
        JpegEncoder::new_with_quality(&mut out, QUALITY)
            .encode(frame.rgb(), frame.width(), frame.height(), ExtendedColorType::Rgb8)
            .unwrap_or_else(|e| unreachable!("a picture of this size fits a JPEG in memory: {e}"));
        out
    }
}

/// How the person stands in one frame, and how the camera sees it.
struct Pose {
    shift: [f32; 2],
    scale: f32,
    roll: f32,
    light: f32,
    blur: f32,
    noise: f32,
}

impl Pose {
    fn at(n: u32, seed: u64, dice: &mut Dice) -> Self {
        let mut habits = Dice::new(seed ^ 0xA11CE);
        let mut sway = |slowness: f32| (n as f32 / slowness + habits.between(0.0, 6.0)).sin();
        let [x, y, near, roll, light] = [5.3, 3.7, 7.1, 4.6, 9.7].map(&mut sway);
        let mut jitter = |by: f32| dice.between(-by, by);
        Self {
            shift: [PLACE[0] + 24.0 * x + jitter(3.0), PLACE[1] + 9.0 * y + jitter(2.0)],
            scale: 1.0 + 0.085 * near + jitter(0.015),
            roll: 0.05 * roll + jitter(0.01),
            light: 1.0 + 0.13 * light + jitter(0.03),
            blur: 0.3 + jitter(0.3),
            noise: 4.0 + jitter(2.0),
        }
    }
}

/// Head and shoulders at the scale of the scene.
struct CutOut {
    width: usize,
    height: usize,
    rgb: Zeroizing<Vec<u8>>,
    opacity: Vec<f32>,
    face: [f32; 2],
}

impl CutOut {
    fn of(portrait: &Frame, face: &Face) -> Option<Self> {
        let [cx, cy] = face.centre();
        let unit = face.height();
        let (w, h) = (portrait.width(), portrait.height());
        let inside = (0.0..w as f32).contains(&cx) && (0.0..h as f32).contains(&cy);
        if !inside || !(1.0..=h as f32 * 2.0).contains(&unit) {
            return None;
        }
        let left = (cx - 1.5 * unit).max(0.0) as u32;
        let top = (cy - 1.2 * unit).max(0.0) as u32;
        let right = ((cx + 1.5 * unit) as u32).clamp(left + 1, w);
        let bottom = ((cy + 1.9 * unit) as u32).clamp(top + 1, h);
        let scale = FACE_HEIGHT / unit;
        let scaled = |length: u32| ((length as f32 * scale).round() as u32).max(1);
        let (width, height) = (scaled(right - left), scaled(bottom - top));
        let whole: ImageBuffer<Rgb<u8>, &[u8]> = ImageBuffer::from_raw(w, h, portrait.rgb())?;
        let part = imageops::crop_imm(&whole, left, top, right - left, bottom - top);
        let rgb = imageops::resize(&*part, width, height, imageops::FilterType::Triangle).into_raw();
        let face = [(cx - left as f32) * scale, (cy - top as f32) * scale];
        let (width, height) = (width as usize, height as usize);
        let opacity = (0..width * height)
            .map(|i| opacity([(i % width) as f32, (i / width) as f32], face, [width as f32, height as f32]))
            .collect();
        Some(Self { width, height, rgb: rgb.into(), opacity, face })
    }

    /// Draws the person over the picture, behind the desk.
    fn stand(&self, pose: &Pose, rgb: &mut [u8]) {
        let (sin, cos) = pose.roll.sin_cos();
        for (i, pixel) in rgb.as_chunks_mut::<3>().0.iter_mut().enumerate().take(SIZE.0 * DESK) {
            let dx = ((i % SIZE.0) as f32 - pose.shift[0]) / pose.scale;
            let dy = ((i / SIZE.0) as f32 - pose.shift[1]) / pose.scale;
            let from = [cos * dx + sin * dy + self.face[0], cos * dy - sin * dx + self.face[1]];
            if let Some((colour, opacity)) = self.sample(from) {
                for (p, c) in pixel.iter_mut().zip(colour) {
                    *p = (f32::from(*p) + (c - f32::from(*p)) * opacity + 0.5) as u8;
                }
            }
        }
    }

    /// Colour and opacity between four pixels; nothing outside or where it cannot be seen.
    fn sample(&self, [x, y]: [f32; 2]) -> Option<([f32; 3], f32)> {
        if x < 0.0 || y < 0.0 {
            return None;
        }
        let (left, top) = (x as usize, y as usize);
        if left + 1 >= self.width || top + 1 >= self.height {
            return None;
        }
        let at = top * self.width + left;
        let opacity = self.opacity[at];
        if opacity <= 0.0 {
            return None;
        }
        let (fx, fy) = (x - left as f32, y - top as f32);
        let value = |pixel: usize, c: usize| f32::from(self.rgb[pixel * 3 + c]);
        let colour = std::array::from_fn(|c| {
            let above = value(at, c) * (1.0 - fx) + value(at + 1, c) * fx;
            let under = value(at + self.width, c) * (1.0 - fx) + value(at + self.width + 1, c) * fx;
            above * (1.0 - fy) + under * fy
        });
        Some((colour, opacity))
    }
}

/// The outline of head and shoulders around a face, fading at its edges and
/// at the edges of the cut-out.
fn opacity([x, y]: [f32; 2], [cx, cy]: [f32; 2], [width, height]: [f32; 2]) -> f32 {
    let (dx, dy) = ((x - cx) / FACE_HEIGHT, (y - cy) / FACE_HEIGHT);
    let head = 1.0 - (dx / 0.62).hypot((dy + 0.08) / 0.78);
    let shoulder_line = 0.42 + 0.5 * (1.0 - (-(dx * 1.4).powi(4)).exp());
    let shoulders = dy - shoulder_line;
    let shape = head.max(shoulders) * FACE_HEIGHT / (FADE * 1.5) + 0.5;
    let edge = x.min(width - 1.0 - x).min(y).min(height - 1.0 - y) / FADE;
    shape.min(edge).clamp(0.0, 1.0)
}

/// Light, a slightly soft lens and a sensor's noise over the whole picture.
fn finish(rgb: &mut [u8], pose: &Pose, dice: &mut Dice) {
    let sharp = Zeroizing::new(rgb.to_vec());
    let row = SIZE.0 * 3;
    for (i, pixel) in rgb.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let grains = dice.bits();
        let noise = ((grains & 0xFF) as f32 + (grains >> 8 & 0xFF) as f32 - 255.0) / 255.0 * pose.noise;
        for (c, p) in pixel.iter_mut().enumerate() {
            let at = i * 3 + c;
            let near = |j: usize| f32::from(*sharp.get(j).unwrap_or(&sharp[at]));
            let around =
                near(at.wrapping_sub(3)) + near(at + 3) + near(at.wrapping_sub(row)) + near(at + row);
            let soft = f32::from(*p) + (around / 4.0 - f32::from(*p)) * pose.blur;
            *p = (soft * pose.light + noise + 0.5).clamp(0.0, 255.0) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::camera::decode;
    use crate::frame::Region;
    use crate::protocol::reference::Protected;
    use crate::vision::detect::Looking;
    use crate::vision::manifest::Manifest;
    use crate::vision::quality::Gate;
    use crate::vision::{Vision, Wanted};

    fn models() -> (Manifest, Vision) {
        let manifest =
            Manifest::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/models/models.toml"))).unwrap();
        let vision = Vision::load(&manifest, &Wanted::default()).unwrap();
        (manifest, vision)
    }

    fn portrait(manifest: &Manifest, vision: &mut Vision, id: &str) -> (Frame, Face, Protected) {
        let frame = decode::still(&manifest.sample(id).unwrap()).unwrap();
        let face = vision.find_in_still(&frame).unwrap()[0];
        let crop = vision.align(&frame, &face);
        let reference = vision.reference(&crop).unwrap().0.protect(&crate::bench::transform()).unwrap();
        (frame, face, reference)
    }

    #[test]
    fn a_frame_number_gives_one_picture() {
        let scene = Scene::empty().with_seed(7);
        assert_eq!(scene.jpeg(3), scene.jpeg(3));
        assert_ne!(scene.jpeg(3), scene.jpeg(4));
        let frame = decode::jpeg(&scene.jpeg(0)).unwrap();
        assert_eq!((frame.width() as usize, frame.height() as usize), SIZE);
    }

    #[test]
    fn a_face_outside_its_photograph_is_refused() {
        let frame = Frame::from_rgb(40, 30, vec![9; 40 * 30 * 3]).unwrap();
        for edges in [[50.0, 0.0, 60.0, 10.0], [5.0, 5.0, 5.0, 5.0], [f32::NAN; 4], [-1e9, -1e9, 1e9, 1e9]] {
            let face = Face { score: 1.0, edges, landmarks: [[0.0; 2]; 5] };
            assert!(Scene::person(&frame, &face).is_err(), "{edges:?}");
        }
        let face = Face { score: 1.0, edges: [0.0, 0.0, 40.0, 30.0], landmarks: [[0.0; 2]; 5] };
        Scene::person(&frame, &face).unwrap().frame(0);
    }

    #[test]
    fn nobody_is_seen_in_an_empty_scene() {
        let (_, mut vision) = models();
        for seed in 0..4 {
            let scene = Scene::empty().with_seed(seed);
            for n in 0..10 {
                let frame = decode::jpeg(&scene.jpeg(n)).unwrap();
                for how in [Looking::COUNTER, Looking::STILL[0]] {
                    assert!(vision.detect(&frame, &Region::WHOLE, how).unwrap().is_empty(), "{seed} {n}");
                }
            }
        }
    }

    #[test]
    fn a_person_in_a_scene_is_found_once_and_is_like_the_own_portrait_only() {
        let (manifest, mut vision) = models();
        let (_, _, own) = portrait(&manifest, &mut vision, "portrait-b1");
        let (_, _, other) = portrait(&manifest, &mut vision, "portrait-a");
        let transform = crate::bench::transform();
        for id in ["portrait-b2", "portrait-b3"] {
            let (frame, face, _) = portrait(&manifest, &mut vision, id);
            let crop = vision.align(&frame, &face);
            let photograph = vision.embed(&crop).unwrap().protect(&transform).unwrap();
            let scene = Scene::person(&frame, &face).unwrap();
            for n in 0..=30 {
                let frame = decode::jpeg(&scene.jpeg(n)).unwrap();
                let faces = vision.detect(&frame, &Region::WHOLE, Looking::COUNTER).unwrap();
                assert_eq!(faces.len(), 1, "{id}, frame {n}: {faces:?}");
                assert!((130.0..200.0).contains(&faces[0].height()), "{id}, frame {n}: {faces:?}");
                let crop = vision.align(&frame, &faces[0]);
                let flaws = vision.judge(&frame, &Region::WHOLE, &faces[0], &crop).flaws(&Gate::PROBE);
                assert!(flaws.is_empty(), "{id}, frame {n}: {flaws:?}");
                let probe = vision.embed(&crop).unwrap().protect(&transform).unwrap();
                let like_own = probe.compare(&own).unwrap();
                assert!(like_own > 0.5, "{id}, frame {n}: {like_own}");
                // How like the other person's photograph is depends on the two photographs;
                // a scene may not bring them closer.
                let (alike, before) = (probe.compare(&other).unwrap(), photograph.compare(&other).unwrap());
                assert!(alike < before.max(0.15) + 0.06, "{id}, frame {n}: {alike}, photograph {before}");
                assert!(alike < 0.33, "{id}, frame {n}: {alike}");
            }
        }
    }
}
