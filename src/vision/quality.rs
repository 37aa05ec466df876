//! How well a face is seen, and what is wrong with it.
//!
//! Measures after ISO/IEC 29794-5 where it has a name: inter-eye distance,
//! head pose (from the landmarks), sharpness, illumination (mean and spread of
//! the luma of the aligned face), mouth occlusion, truncation. Each has a
//! [`Flaw`], so that a technician learns which.
//!
//! A [`Gate`] says what is asked, and for what: a view may speak for somebody
//! with less than it needs to speak against them.

use super::align::{Crop, SIDE};
use super::detect::Face;
use crate::frame::{Frame, Region};
use crate::protocol::verdict::Inconclusive;

/// Measures of one face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Pixels between the eyes.
    pub inter_eye: f32,
    /// The detector's confidence, 0 to 1.
    pub detection: f32,
    /// Turn to the side: the nose tip's distance from the line through the
    /// middle of the eyes and of the mouth, in inter-eye distances; 0 facing,
    /// about 0.5 at 45 degrees.
    pub yaw: f32,
    /// Nod: where the nose tip lies between the middle of the eyes (0) and of
    /// the mouth (1); about 0.55 facing, less looking up, more looking down.
    pub pitch: f32,
    /// Tilt of the line through the eyes, degrees, 0 to 180.
    pub roll: f32,
    /// Variance of the Laplacian of the aligned face's luma, in grey levels squared.
    pub sharpness: f32,
    /// Mean luma of the aligned face, 0 to 255.
    pub brightness: f32,
    /// Standard deviation of that luma.
    pub contrast: f32,
    /// How far a mouth is seen: range of the mean luma of the rows around the
    /// mouth over that around the eyes. About 0.9; a mask or a hand gives below
    /// 0.2. Tried on painted masks only (docs/accuracy.md); real ones
    /// were not at hand.
    pub mouth: f32,
    /// Share of the face's box inside the region and the frame, 0 to 1.
    pub inside: f32,
}

/// What is wrong with a face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flaw {
    /// Too far away.
    TooSmall,
    /// The detector is not sure that it is a face.
    DoubtfulFace,
    /// The head is turned.
    TurnedAway,
    /// Out of focus or moving.
    Blurred,
    /// Too little light.
    TooDark,
    /// Too much light.
    TooBright,
    /// Flat light, fog on the lens, a hand before it.
    LowContrast,
    /// Cut by the edge of the region or the picture.
    Truncated,
    /// Mouth and chin are hidden: a mask, a scarf, a hand, a bandage.
    Occluded,
    /// The recognizer makes little of it (unified quality).
    HardToRecognize,
}

impl Flaw {
    /// The reason of a verdict that it stands in the way of.
    pub const fn reason(self) -> Inconclusive {
        match self {
            Self::TooSmall => Inconclusive::TooSmall,
            Self::DoubtfulFace => Inconclusive::DoubtfulFace,
            Self::TurnedAway => Inconclusive::TurnedAway,
            Self::Blurred => Inconclusive::Blurred,
            Self::TooDark => Inconclusive::TooDark,
            Self::TooBright => Inconclusive::TooBright,
            Self::LowContrast => Inconclusive::LowContrast,
            Self::Truncated => Inconclusive::Truncated,
            Self::Occluded => Inconclusive::Occluded,
            Self::HardToRecognize => Inconclusive::DoubtfulFace,
        }
    }
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooSmall => "too small",
            Self::DoubtfulFace => "hardly recognizable as a face",
            Self::TurnedAway => "turned away",
            Self::Blurred => "blurred",
            Self::TooDark => "too dark",
            Self::TooBright => "too bright",
            Self::LowContrast => "too little contrast",
            Self::Truncated => "cut by the edge",
            Self::Occluded => "mouth and chin hidden",
            Self::HardToRecognize => "hardly to be recognized",
        })
    }
}

/// What is asked of a face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// Least inter-eye distance in pixels.
    pub inter_eye: f32,
    /// Least confidence.
    pub detection: f32,
    /// Greatest turn.
    pub yaw: f32,
    /// Least and greatest nod.
    pub pitch: (f32, f32),
    /// Greatest tilt, degrees.
    pub roll: f32,
    /// Least sharpness.
    pub sharpness: f32,
    /// Darkest and brightest mean luma.
    pub brightness: (f32, f32),
    /// Least contrast.
    pub contrast: f32,
    /// Least that is seen of a mouth.
    pub mouth: f32,
    /// Least share inside the region and the frame.
    pub inside: f32,
    /// Least unified quality, the length of the embedding; of photographs to enrol.
    pub unified: f32,
}

impl Gate {
    /// For probes: wide enough for a window's light, since a bad probe costs a
    /// doubt and a missing one costs a verdict. A mask does not keep anybody
    /// from being recognized.
    pub const PROBE: Self = Self {
        inter_eye: 20.0,
        detection: 0.75,
        yaw: 0.45,
        pitch: (0.1, 0.95),
        roll: 45.0,
        sharpness: 12.0,
        brightness: (35.0, 228.0),
        contrast: 14.0,
        mouth: 0.0,
        inside: 0.9,
        unified: 0.0,
    };
    /// For views that may speak against somebody: the whole face is seen.
    pub const WITNESS: Self = Self { mouth: 0.28, ..Self::PROBE };
    /// For references, which are made once and used for years.
    /// Below a unified quality of 9.5 lie 7 of 1,000 LFW photographs.
    pub const ENROLMENT: Self =
        Self { inter_eye: 32.0, detection: 0.8, yaw: 0.35, sharpness: 25.0, unified: 9.5, ..Self::WITNESS };
}

#[cfg(test)]
impl Quality {
    /// Without a flaw.
    pub const GOOD: Self = Self {
        inter_eye: 60.0,
        detection: 0.9,
        yaw: 0.1,
        pitch: 0.5,
        roll: 3.0,
        sharpness: 100.0,
        brightness: 120.0,
        contrast: 40.0,
        mouth: 0.9,
        inside: 1.0,
    };
}

impl Quality {
    /// Measures a face, looked for in a region, and its aligned crop.
    pub fn of(frame: &Frame, region: &Region, face: &Face, crop: &Crop) -> Self {
        let luma = luma(crop);
        let pose = Pose::of(&face.landmarks);
        let n = luma.len() as f32;
        let brightness = luma.iter().sum::<f32>() / n;
        let contrast = (luma.iter().map(|v| (v - brightness).powi(2)).sum::<f32>() / n).sqrt();
        Self {
            inter_eye: face.inter_eye(),
            detection: face.score,
            yaw: pose.yaw,
            pitch: pose.pitch,
            roll: pose.roll,
            sharpness: laplacian_variance(&luma),
            brightness,
            contrast,
            mouth: mouth(&luma),
            inside: inside(frame, region, face),
        }
    }

    /// Everything that keeps the face from passing the gate.
    pub fn flaws(&self, gate: &Gate) -> Vec<Flaw> {
        [
            (self.inter_eye < gate.inter_eye, Flaw::TooSmall),
            (self.detection < gate.detection, Flaw::DoubtfulFace),
            (
                self.yaw > gate.yaw
                    || self.roll > gate.roll
                    || !(gate.pitch.0..=gate.pitch.1).contains(&self.pitch),
                Flaw::TurnedAway,
            ),
            (self.sharpness < gate.sharpness, Flaw::Blurred),
            (self.brightness < gate.brightness.0, Flaw::TooDark),
            (self.brightness > gate.brightness.1, Flaw::TooBright),
            (self.contrast < gate.contrast, Flaw::LowContrast),
            (self.inside < gate.inside, Flaw::Truncated),
            (self.mouth < gate.mouth, Flaw::Occluded),
        ]
        .into_iter()
        .filter_map(|(bad, flaw)| bad.then_some(flaw))
        .collect()
    }
}

/// Luma of the crop without its outer eighth, where background shows (BT.601 weights).
fn luma(crop: &Crop) -> Vec<f32> {
    let rows = crop.rgb().as_chunks::<{ SIDE * 3 }>().0;
    rows[MARGIN..SIDE - MARGIN]
        .iter()
        .flat_map(|row| row.as_chunks::<3>().0[MARGIN..SIDE - MARGIN].iter())
        .map(|[r, g, b]| 0.299 * f32::from(*r) + 0.587 * f32::from(*g) + 0.114 * f32::from(*b))
        .collect()
}

const MARGIN: usize = SIDE / 8;
const INNER: usize = SIDE - 2 * MARGIN;

fn laplacian_variance(luma: &[f32]) -> f32 {
    let (mut sum, mut squares, mut n) = (0.0f64, 0.0f64, 0.0f64);
    for y in 1..INNER - 1 {
        for x in 1..INNER - 1 {
            let i = y * INNER + x;
            let l = luma[i - 1] + luma[i + 1] + luma[i - INNER] + luma[i + INNER] - 4.0 * luma[i];
            sum += f64::from(l);
            squares += f64::from(l) * f64::from(l);
            n += 1.0;
        }
    }
    (squares / n - (sum / n).powi(2)) as f32
}

/// Head pose from five landmarks.
struct Pose {
    yaw: f32,
    pitch: f32,
    roll: f32,
}

impl Pose {
    fn of(landmarks: &[[f32; 2]; 5]) -> Self {
        let [right_eye, left_eye, nose, right_mouth, left_mouth] = *landmarks;
        let mid = |a: [f32; 2], b: [f32; 2]| [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
        let (eyes, mouth) = (mid(right_eye, left_eye), mid(right_mouth, left_mouth));
        let axis = [mouth[0] - eyes[0], mouth[1] - eyes[1]];
        let length = axis[0].hypot(axis[1]).max(1e-3);
        let eye_line = [left_eye[0] - right_eye[0], left_eye[1] - right_eye[1]];
        let span = eye_line[0].hypot(eye_line[1]).max(1e-3);
        let nose = [nose[0] - eyes[0], nose[1] - eyes[1]];
        Self {
            yaw: (axis[0] * nose[1] - axis[1] * nose[0]).abs() / length / span,
            pitch: (axis[0] * nose[0] + axis[1] * nose[1]) / (length * length),
            roll: eye_line[1].atan2(eye_line[0]).to_degrees().abs(),
        }
    }
}

/// Range of the mean luma of rows around the mouth over that around the eyes,
/// in the aligned face, whose landmarks are at known places.
fn mouth(luma: &[f32]) -> f32 {
    let range = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
        let n = columns.len() as f32;
        let means = rows.map(|y| {
            let row = (y - MARGIN) * INNER;
            luma[row + columns.start - MARGIN..row + columns.end - MARGIN].iter().sum::<f32>() / n
        });
        let (least, most) = means.fold((f32::MAX, f32::MIN), |(l, m), v| (l.min(v), m.max(v)));
        most - least
    };
    let eyes = (range(42..62, 28..50) + range(42..62, 62..84)) / 2.0;
    // The last rows of the inner part are just below the mouth.
    range(78..SIDE - MARGIN, 44..68) / eyes.max(1.0)
}

fn inside(frame: &Frame, region: &Region, face: &Face) -> f32 {
    let [x0, y0, x1, y1] = face.edges;
    let (fw, fh) = (frame.width() as f32, frame.height() as f32);
    let across = x1.min((region.x + region.w).min(1.0) * fw) - x0.max(region.x * fw);
    let down = y1.min((region.y + region.h).min(1.0) * fh) - y0.max(region.y * fh);
    (across.max(0.0) * down.max(0.0) / (face.width() * face.height()).max(1e-3)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACING: [[f32; 2]; 5] = [[10.0, 10.0], [50.0, 10.0], [30.0, 30.0], [15.0, 50.0], [45.0, 50.0]];

    #[test]
    fn a_turned_head_is_told_from_a_facing_one() {
        let pose = Pose::of(&FACING);
        assert!(pose.yaw < 0.01 && pose.roll < 0.01 && (pose.pitch - 0.5).abs() < 0.01);
        let mut turned = FACING;
        turned[2][0] = 50.0;
        assert!(Pose::of(&turned).yaw > 0.45);
        let nodding = FACING.map(|[x, y]| [x, if y == 30.0 { 50.0 } else { y }]);
        assert!(Pose::of(&nodding).pitch > 0.95);
        let tilted = FACING.map(|[x, y]| [-y, x]);
        assert!((Pose::of(&tilted).roll - 90.0).abs() < 0.01 && Pose::of(&tilted).yaw < 0.01);
    }

    #[test]
    fn a_flat_grey_face_is_blurred_and_without_contrast() {
        let frame = Frame::from_rgb(200, 200, vec![128; 200 * 200 * 3]).unwrap();
        let face = Face {
            score: 0.9,
            edges: [20.0, 0.0, 190.0, 190.0],
            landmarks: FACING.map(|[x, y]| [x + 70.0, y + 70.0]),
        };
        let q = Quality::of(&frame, &Region::WHOLE, &face, &Crop::of(&frame, &face));
        let flaws = q.flaws(&Gate::PROBE);
        assert!(flaws.contains(&Flaw::Blurred) && flaws.contains(&Flaw::LowContrast), "{flaws:?}");
        assert!(!flaws.contains(&Flaw::TooDark));
    }
}
