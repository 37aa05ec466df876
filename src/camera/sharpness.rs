//! How sharp the edges of a picture are, as one number.
//!
//! Along rows and columns of the picture's luma, at a width of about 640
//! pixels, runs of [`RUN`] pixels are taken. Where both ends of a run differ
//! there is an edge in it: a sharp one rises within two pixels, a blurred one
//! over many. The number is the sum of the greatest rises over two pixels,
//! divided by the sum of the differences of the ends. So it goes by the edges
//! that are there, however many, and weighs strong ones more; noise, which has
//! no edges of that size, hardly counts. It is about 0.25 where nothing is
//! sharp, and 0.6 to 1 for ordinary cameras.
//!
//! The luma is overwritten when the number is known.

use zeroize::Zeroizing;

use crate::frame::Frame;

/// Pixels of a run.
const RUN: usize = 16;
/// Pixels at either end of a run that are averaged.
const END: usize = 4;
/// Rows that are averaged into one before runs are taken, against noise.
const BAND: usize = 4;
/// Pixels between the starts of two runs.
const STEP: usize = 4;
/// Luma by which the ends of a run must differ.
const EDGE: f32 = 24.0;
/// Runs with an edge below which nothing is said.
const LEAST_RUNS: usize = 60;
/// Width to which larger pictures are brought near, in pixels.
const NEAR: usize = 640;

/// Luma of a pixel, 0 to 255.
pub(super) fn luma([r, g, b]: [u8; 3]) -> u32 {
    (77 * u32::from(r) + 150 * u32::from(g) + 29 * u32::from(b)) >> 8
}

/// Of a frame; `None` where it has too few edges.
pub(super) fn of(frame: &Frame) -> Option<f32> {
    let block = (frame.width() as usize / NEAR).max(1);
    let (width, height) = (frame.width() as usize / block, frame.height() as usize / block);
    let picture = shrunk(frame, block, width, height);
    let mut sum = Sum::default();
    let (down, across) = (height / BAND, width / BAND);
    let mut line = Zeroizing::new(vec![0f32; width.max(height)]);
    for band in 0..down {
        for (x, value) in line.iter_mut().enumerate().take(width) {
            let column = (0..BAND).map(|i| picture[(band * BAND + i) * width + x]);
            *value = column.sum::<f32>() / BAND as f32;
        }
        sum.add(&line[..width]);
    }
    for band in 0..across {
        for (y, value) in line.iter_mut().enumerate().take(height) {
            let row = &picture[y * width + band * BAND..][..BAND];
            *value = row.iter().sum::<f32>() / BAND as f32;
        }
        sum.add(&line[..height]);
    }
    (sum.runs >= LEAST_RUNS).then(|| sum.rises / sum.edges)
}

/// The luma of a frame, averaged over blocks of pixels.
fn shrunk(frame: &Frame, block: usize, width: usize, height: usize) -> Zeroizing<Vec<f32>> {
    let row = frame.width() as usize * 3;
    let mut out = Zeroizing::new(vec![0f32; width * height]);
    for (y, line) in out.chunks_exact_mut(width).enumerate() {
        for rgb in frame.rgb()[y * block * row..].chunks_exact(row).take(block) {
            for (value, pixels) in line.iter_mut().zip(rgb.chunks_exact(3 * block)) {
                *value += pixels.as_chunks::<3>().0.iter().map(|p| luma(*p)).sum::<u32>() as f32;
            }
        }
    }
    let points = (block * block) as f32;
    out.iter_mut().for_each(|v| *v /= points);
    out
}

#[derive(Default)]
struct Sum {
    rises: f32,
    edges: f32,
    runs: usize,
}

impl Sum {
    fn add(&mut self, line: &[f32]) {
        let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
        for run in line.windows(RUN).step_by(STEP) {
            let edge = (mean(&run[RUN - END..]) - mean(&run[..END])).abs();
            if edge < EDGE {
                continue;
            }
            let rise = run.windows(3).map(|w| (w[2] - w[0]).abs()).fold(0.0, f32::max);
            // A line within the run rises and falls again: it counts, but not for everything.
            self.rises += rise.min(3.0 * edge);
            self.edges += edge;
            self.runs += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stripes of 40 pixels whose edges rise over `rise` pixels.
    fn stripes(width: u32, height: u32, rise: f32) -> Frame {
        let value = |x: u32| {
            let side = if x % 80 < 40 { 60.0 } else { -60.0 };
            let from_edge = (x % 40).min(40 - x % 40) as f32;
            (128.0 + side * (from_edge / rise.max(1e-3)).min(1.0)) as u8
        };
        let rgb = (0..height).flat_map(|_| (0..width).flat_map(move |x| [value(x); 3])).collect();
        Frame::from_rgb(width, height, rgb).unwrap()
    }

    #[test]
    fn edges_that_rise_slowly_are_less_sharp() {
        let [sharp, soft, blurred] = [0.0, 4.0, 12.0].map(|rise| of(&stripes(640, 360, rise)).unwrap());
        assert!(sharp > 0.9 && soft < 0.7 && blurred < 0.4, "{sharp} {soft} {blurred}");
        assert!(sharp > soft && soft > blurred);
    }

    #[test]
    fn twice_the_size_is_as_sharp() {
        let (small, large) = (of(&stripes(640, 360, 4.0)).unwrap(), of(&stripes(1280, 720, 8.0)).unwrap());
        assert!((small - large).abs() < 0.1, "{small} {large}");
    }

    #[test]
    fn a_picture_without_edges_says_nothing() {
        for (w, h) in [(1, 1), (15, 3), (640, 480)] {
            let frame = Frame::from_rgb(w, h, vec![90; (w * h * 3) as usize]).unwrap();
            assert_eq!(of(&frame), None);
        }
    }
}
