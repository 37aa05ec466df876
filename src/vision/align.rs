//! Alignment: the five landmarks brought to fixed places in 112x112 pixels by
//! the least-squares similarity (S. Umeyama, "Least-squares estimation of
//! transformation parameters between two point patterns", 1991; in the plane
//! it is one complex division), sampled bilinearly, black outside the frame.

use zeroize::Zeroizing;

use super::detect::Face;
use crate::frame::Frame;

/// Raised whenever alignment changes, since embeddings then no longer compare.
pub const ALIGNMENT: u32 = 1;
/// Side of an aligned face in pixels.
pub const SIDE: usize = 112;
/// Where the landmarks go: the places that ArcFace-type recognizers were trained with.
const PLACES: [[f32; 2]; 5] =
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]];

/// An aligned face: 112 rows of 112 pixels of R, G, B. Overwritten when dropped.
pub struct Crop(Zeroizing<Vec<u8>>);

/// `q = a p + t` over the complex numbers: turn, scale and shift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    a: [f32; 2],
    t: [f32; 2],
}

impl Similarity {
    /// The one that brings the points nearest to the places, or `None` if the
    /// points are all one.
    pub fn fit(points: &[[f32; 2]; 5], places: &[[f32; 2]; 5]) -> Option<Self> {
        let mean = |p: &[[f32; 2]; 5]| {
            p.iter().fold([0.0f64; 2], |m, v| [m[0] + f64::from(v[0]) / 5.0, m[1] + f64::from(v[1]) / 5.0])
        };
        let (mp, mq) = (mean(points), mean(places));
        let (mut re, mut im, mut spread) = (0.0, 0.0, 0.0);
        for (p, q) in points.iter().zip(places) {
            let (px, py) = (f64::from(p[0]) - mp[0], f64::from(p[1]) - mp[1]);
            let (qx, qy) = (f64::from(q[0]) - mq[0], f64::from(q[1]) - mq[1]);
            re += px * qx + py * qy;
            im += px * qy - py * qx;
            spread += px * px + py * py;
        }
        let (re, im) = (re / spread, im / spread);
        let size = re.hypot(im);
        if !size.is_finite() || size < 1e-9 {
            return None;
        }
        let t = [mq[0] - (re * mp[0] - im * mp[1]), mq[1] - (im * mp[0] + re * mp[1])];
        Some(Self { a: [re as f32, im as f32], t: [t[0] as f32, t[1] as f32] })
    }

    /// Where a point goes.
    pub fn apply(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let [re, im] = self.a;
        [re * x - im * y + self.t[0], im * x + re * y + self.t[1]]
    }

    /// The way back.
    pub fn inverse(&self) -> Self {
        let [re, im] = self.a;
        let size = re * re + im * im;
        let a = [re / size, -im / size];
        let t = [-(a[0] * self.t[0] - a[1] * self.t[1]), -(a[1] * self.t[0] + a[0] * self.t[1])];
        Self { a, t }
    }
}

impl Crop {
    /// The face, aligned. Landmarks that are all in one place give black.
    pub fn of(frame: &Frame, face: &Face) -> Self {
        let mut out = Zeroizing::new(vec![0; SIDE * SIDE * 3]);
        if let Some(to_crop) = Similarity::fit(&face.landmarks, &PLACES) {
            sample(frame, &to_crop.inverse(), &mut out);
        }
        Self(out)
    }

    /// R, G, B of every pixel, row by row.
    pub fn rgb(&self) -> &[u8] {
        &self.0
    }
}

fn sample(frame: &Frame, from_crop: &Similarity, out: &mut [u8]) {
    let (width, height) = (frame.width() as isize, frame.height() as isize);
    let rgb = frame.rgb();
    let step = from_crop.a;
    for (row, line) in out.as_chunks_mut::<{ SIDE * 3 }>().0.iter_mut().enumerate() {
        let [mut x, mut y] = from_crop.apply([0.0, row as f32]);
        for pixel in line.as_chunks_mut::<3>().0 {
            let (left, top) = (x.floor(), y.floor());
            let (fx, fy) = (x - left, y - top);
            let (left, top) = (left as isize, top as isize);
            if left >= 0 && top >= 0 && left + 1 < width && top + 1 < height {
                let at = (top * width + left) as usize * 3;
                let below = at + width as usize * 3;
                let (above, below) = (&rgb[at..at + 6], &rgb[below..below + 6]);
                for c in 0..3 {
                    let u = f32::from(above[c]) * (1.0 - fx) + f32::from(above[c + 3]) * fx;
                    let d = f32::from(below[c]) * (1.0 - fx) + f32::from(below[c + 3]) * fx;
                    pixel[c] = (u * (1.0 - fy) + d * fy + 0.5) as u8;
                }
            } else {
                *pixel = at_the_edge(rgb, width, height, [left, top], [fx, fy]);
            }
            x += step[0];
            y += step[1];
        }
    }
}

fn at_the_edge(
    rgb: &[u8],
    width: isize,
    height: isize,
    [left, top]: [isize; 2],
    [fx, fy]: [f32; 2],
) -> [u8; 3] {
    let weight =
        |dx: isize, dy: isize| (if dx == 1 { fx } else { 1.0 - fx }) * (if dy == 1 { fy } else { 1.0 - fy });
    let mut sum = [0.5f32; 3];
    for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        let (x, y) = (left.saturating_add(dx), top.saturating_add(dy));
        if (0..width).contains(&x) && (0..height).contains(&y) {
            let at = (y * width + x) as usize * 3;
            for (s, v) in sum.iter_mut().zip(&rgb[at..at + 3]) {
                *s += weight(dx, dy) * f32::from(*v);
            }
        }
    }
    sum.map(|s| s as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_similarity_is_found_again(re in -4f32..4.0, im in -4f32..4.0, tx in -200f32..200.0, ty in -200f32..200.0) {
            prop_assume!(re.hypot(im) > 0.05);
            let truth = Similarity { a: [re, im], t: [tx, ty] };
            let points = PLACES.map(|p| truth.inverse().apply(p));
            let found = Similarity::fit(&points, &PLACES).unwrap();
            for (p, q) in points.iter().zip(PLACES) {
                let [x, y] = found.apply(*p);
                prop_assert!((x - q[0]).abs() < 0.1 && (y - q[1]).abs() < 0.1);
            }
        }

        #[test]
        fn any_landmarks_can_be_aligned(points in proptest::array::uniform5(proptest::array::uniform2(-1e6f32..1e6))) {
            let frame = Frame::from_rgb(8, 6, vec![200; 8 * 6 * 3]).unwrap();
            let face = Face { score: 1.0, edges: [0.0; 4], landmarks: points };
            prop_assert_eq!(Crop::of(&frame, &face).rgb().len(), SIDE * SIDE * 3);
        }
    }

    #[test]
    fn a_face_already_in_place_stays_as_it_is() {
        let rgb: Vec<u8> = (0..SIDE * SIDE * 3).map(|i| (i * 7 % 251) as u8).collect();
        let frame = Frame::from_rgb(SIDE as u32, SIDE as u32, rgb.clone()).unwrap();
        let crop = Crop::of(&frame, &Face { score: 1.0, edges: [0.0; 4], landmarks: PLACES });
        let worst = crop.rgb().iter().zip(&rgb).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(1), "{worst:?}");
    }

    #[test]
    fn points_all_in_one_place_give_no_similarity() {
        assert_eq!(Similarity::fit(&[[3.0, 3.0]; 5], &PLACES), None);
    }
}
