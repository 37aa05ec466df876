//! How well a face is seen, and what is wrong with it.
//!
//! Measures after ISO/IEC 29794-5 where it has a name: inter-eye distance,
//! head pose (from the landmarks), sharpness, illumination (mean and spread of
//! the luma of the aligned face), truncation. Each has a [`Flaw`], so that a
//! technician learns which.

use super::align::{Crop, SIDE};
use super::detect::Face;
use crate::frame::Frame;

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
    /// Variance of the Laplacian of the aligned face's luma, in grey levels squared.
    pub sharpness: f32,
    /// Mean luma of the aligned face, 0 to 255.
    pub brightness: f32,
    /// Standard deviation of that luma.
    pub contrast: f32,
    /// Share of the face's box inside the frame, 0 to 1.
    pub inside: f32,
}

/// What is wrong with a face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// Cut by the edge of the picture.
    Truncated,
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
    /// Least sharpness.
    pub sharpness: f32,
    /// Darkest and brightest mean luma.
    pub brightness: (f32, f32),
    /// Least contrast.
    pub contrast: f32,
    /// Least share inside the frame.
    pub inside: f32,
}

impl Gate {
    /// For probes: wide enough for a window's light, since a bad probe costs a
    /// doubt and a missing one costs a verdict.
    pub const PROBE: Self = Self {
        inter_eye: 20.0,
        detection: 0.75,
        yaw: 0.45,
        sharpness: 12.0,
        brightness: (35.0, 228.0),
        contrast: 14.0,
        inside: 0.9,
    };
    /// For references, which are made once and used for years.
    pub const ENROLMENT: Self =
        Self { inter_eye: 32.0, detection: 0.8, yaw: 0.35, sharpness: 25.0, ..Self::PROBE };
}

impl Quality {
    /// Measures a face and its aligned crop.
    pub fn of(frame: &Frame, face: &Face, crop: &Crop) -> Self {
        let luma = luma(crop);
        let n = luma.len() as f32;
        let brightness = luma.iter().sum::<f32>() / n;
        let contrast = (luma.iter().map(|v| (v - brightness).powi(2)).sum::<f32>() / n).sqrt();
        Self {
            inter_eye: face.inter_eye(),
            detection: face.score,
            yaw: yaw(&face.landmarks),
            sharpness: laplacian_variance(&luma),
            brightness,
            contrast,
            inside: inside(frame, face),
        }
    }

    /// Everything that keeps the face from passing the gate.
    pub fn flaws(&self, gate: &Gate) -> Vec<Flaw> {
        [
            (self.inter_eye < gate.inter_eye, Flaw::TooSmall),
            (self.detection < gate.detection, Flaw::DoubtfulFace),
            (self.yaw > gate.yaw, Flaw::TurnedAway),
            (self.sharpness < gate.sharpness, Flaw::Blurred),
            (self.brightness < gate.brightness.0, Flaw::TooDark),
            (self.brightness > gate.brightness.1, Flaw::TooBright),
            (self.contrast < gate.contrast, Flaw::LowContrast),
            (self.inside < gate.inside, Flaw::Truncated),
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

fn yaw(landmarks: &[[f32; 2]; 5]) -> f32 {
    let [right_eye, left_eye, nose, right_mouth, left_mouth] = *landmarks;
    let mid = |a: [f32; 2], b: [f32; 2]| [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
    let (eyes, mouth) = (mid(right_eye, left_eye), mid(right_mouth, left_mouth));
    let axis = [mouth[0] - eyes[0], mouth[1] - eyes[1]];
    let length = axis[0].hypot(axis[1]).max(1e-3);
    let eye_line = [left_eye[0] - right_eye[0], left_eye[1] - right_eye[1]];
    let span = eye_line[0].hypot(eye_line[1]).max(1e-3);
    let off = (axis[0] * (nose[1] - eyes[1]) - axis[1] * (nose[0] - eyes[0])).abs() / length;
    off / span
}

fn inside(frame: &Frame, face: &Face) -> f32 {
    let [x0, y0, x1, y1] = face.edges;
    let w = x1.min(frame.width() as f32) - x0.max(0.0);
    let h = y1.min(frame.height() as f32) - y0.max(0.0);
    (w.max(0.0) * h.max(0.0) / (face.width() * face.height()).max(1e-3)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACING: [[f32; 2]; 5] = [[10.0, 10.0], [50.0, 10.0], [30.0, 30.0], [15.0, 50.0], [45.0, 50.0]];

    #[test]
    fn a_turned_head_is_told_from_a_facing_one() {
        assert!(yaw(&FACING) < 0.01);
        let mut turned = FACING;
        turned[2][0] = 50.0;
        assert!(yaw(&turned) > 0.45);
    }

    #[test]
    fn a_flat_grey_face_is_blurred_and_without_contrast() {
        let frame = Frame::from_rgb(200, 200, vec![128; 200 * 200 * 3]).unwrap();
        let face = Face {
            score: 0.9,
            edges: [20.0, 0.0, 190.0, 190.0],
            landmarks: FACING.map(|[x, y]| [x + 70.0, y + 70.0]),
        };
        let q = Quality::of(&frame, &face, &Crop::of(&frame, &face));
        let flaws = q.flaws(&Gate::PROBE);
        assert!(flaws.contains(&Flaw::Blurred) && flaws.contains(&Flaw::LowContrast), "{flaws:?}");
        assert!(!flaws.contains(&Flaw::TooDark));
    }
}
