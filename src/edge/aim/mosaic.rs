//! What `--picture` shows of the camera's picture: enough to see the desk, the
//! lamp and where somebody stands, and nobody's face.
//!
//! A detector misses faces: turned away, masked, small, badly lit. To pixelate
//! only what it found would leave the others clear, and that cannot be taken
//! back. So the whole picture is made of [`COLUMNS`] blocks across, each one tone,
//! and only those blocks leave this file: a face that nobody found would have to
//! fill three eighths of the picture's width to get fifteen of them. Faces that
//! were found, with a margin for what is around them, become one tone altogether.
//! What is served is as many pixels as there are blocks: there is no detail in it
//! to be won back.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use zeroize::Zeroizing;

use crate::frame::Frame;
use crate::vision::detect::{Face, Looking};

/// Blocks across the picture.
pub(super) const COLUMNS: u32 = 40;
/// Added around a face on each side, in widths and heights of it: hair, ears, chin.
const MARGIN: f32 = 0.4;
/// Looked for more eagerly than in a verification: what is no face may be
/// hidden too.
pub(super) const LOOKING: [Looking; 4] = [
    Looking { least_score: 0.3, ..Looking::COUNTER },
    Looking { least_score: 0.3, ..Looking::STILL[0] },
    Looking { least_score: 0.3, ..Looking::STILL[1] },
    Looking { least_score: 0.3, ..Looking::STILL[2] },
];

/// The blocks of a picture, faces hidden.
pub(super) struct Mosaic {
    columns: u32,
    rows: u32,
    /// R, G, B of each block, row by row.
    tones: Zeroizing<Vec<u8>>,
}

impl Mosaic {
    /// Of a picture and every face that was found anywhere in it.
    pub(super) fn of(frame: &Frame, faces: &[Face]) -> Self {
        let (w, h) = (frame.width(), frame.height());
        let side = w.div_ceil(COLUMNS).max(1);
        let (columns, rows) = (w.div_ceil(side), h.div_ceil(side));
        let mut sums = Zeroizing::new(vec![0u32; (columns * rows * 4) as usize]);
        for (y, row) in frame.rgb().chunks_exact(w as usize * 3).enumerate() {
            let line = (y as u32 / side * columns) as usize;
            for (x, pixel) in row.as_chunks::<3>().0.iter().enumerate() {
                let block = (line + x / side as usize) * 4;
                if let Some([r, g, b, n]) = sums.get_mut(block..block + 4) {
                    *r += u32::from(pixel[0]);
                    *g += u32::from(pixel[1]);
                    *b += u32::from(pixel[2]);
                    *n += 1;
                }
            }
        }
        let mut mosaic = Self { columns, rows, tones: Zeroizing::default() };
        for face in faces {
            mosaic.flatten(&mut sums, &mosaic.blocks(face, side as f32));
        }
        let tones = sums.as_chunks::<4>().0.iter();
        mosaic.tones =
            Zeroizing::new(tones.flat_map(|[r, g, b, n]| [r, g, b].map(|s| (s / n.max(&1)) as u8)).collect());
        mosaic
    }

    /// The blocks that a face with its margin touches.
    fn blocks(&self, face: &Face, side: f32) -> Vec<usize> {
        let [x0, y0, x1, y1] = face.edges;
        let (mx, my) = (face.width() * MARGIN, face.height() * MARGIN);
        let span = |from: f32, to: f32, most: u32| {
            let last = most.saturating_sub(1);
            // Casts of what lies outside end at 0 and at the last block.
            ((from / side).floor() as u32).min(last)..=((to / side).floor() as u32).min(last)
        };
        let columns = span(x0 - mx, x1 + mx, self.columns);
        span(y0 - my, y1 + my, self.rows)
            .flat_map(|row| columns.clone().map(move |column| (row * self.columns + column) as usize))
            .collect()
    }

    /// Makes the blocks one tone: their mean.
    fn flatten(&self, sums: &mut [u32], blocks: &[usize]) {
        let (all, _) = sums.as_chunks_mut::<4>();
        let mut mean = [0u64; 4];
        for block in blocks.iter().filter_map(|b| all.get(*b)) {
            mean.iter_mut().zip(block).for_each(|(m, s)| *m += u64::from(*s));
        }
        let n = mean[3].max(1);
        let tone = mean.map(|s| (s / n) as u32);
        for block in blocks {
            if let Some(found) = all.get_mut(*block) {
                *found = [tone[0], tone[1], tone[2], 1];
            }
        }
    }

    /// As a PNG of one pixel for each block.
    ///
    /// # Errors
    /// Of the encoder; none is known.
    pub(super) fn png(&self) -> Result<Vec<u8>, image::ImageError> {
        let mut out = Vec::new();
        PngEncoder::new(&mut out).write_image(
            &self.tones,
            self.columns,
            self.rows,
            ExtendedColorType::Rgb8,
        )?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noise(w: u32, h: u32) -> Frame {
        let rgb = (0..w * h * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        Frame::from_rgb(w, h, rgb).unwrap()
    }

    fn face(edges: [f32; 4]) -> Face {
        Face { score: 0.9, edges, landmarks: [[0.0; 2]; 5] }
    }

    #[test]
    fn a_picture_becomes_forty_blocks_across_and_a_face_one_tone() {
        // Half black, half white, and a face across the border.
        let row = [[0u8; 3].repeat(320), [255; 3].repeat(320)].concat();
        let frame = Frame::from_rgb(640, 480, row.repeat(480)).unwrap();
        let plain = Mosaic::of(&frame, &[]);
        assert_eq!((plain.columns, plain.rows), (40, 30));
        let at = |m: &Mosaic, x: u32, y: u32| m.tones[((y * m.columns + x) * 3) as usize];
        assert_eq!((at(&plain, 19, 15), at(&plain, 20, 15)), (0, 255));
        let hidden = Mosaic::of(&frame, &[face([240.0, 160.0, 400.0, 320.0])]);
        assert_eq!(at(&hidden, 19, 15), at(&hidden, 20, 15));
        // Ears and hair too, but not the rest of the picture.
        assert_eq!(at(&hidden, 12, 8), at(&hidden, 20, 15));
        assert_eq!((at(&hidden, 2, 2), at(&hidden, 38, 2)), (0, 255));
        let png = image::load_from_memory(&hidden.png().unwrap()).unwrap();
        assert_eq!((png.width(), png.height()), (40, 30));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_face_anywhere_is_flat(w in 1u32..900, h in 1u32..300, x in -2000f32..2000.0, y in -2000f32..2000.0, s in 0f32..1500.0) {
            let frame = noise(w, h);
            let face = face([x, y, x + s, y + s]);
            let mosaic = Mosaic::of(&frame, std::slice::from_ref(&face));
            prop_assert!(mosaic.columns <= COLUMNS && mosaic.columns >= 1);
            prop_assert_eq!(mosaic.tones.len(), (mosaic.columns * mosaic.rows * 3) as usize);
            let side = w.div_ceil(COLUMNS) as f32;
            let tones: std::collections::HashSet<_> =
                mosaic.blocks(&face, side).iter().map(|b| mosaic.tones[b * 3..b * 3 + 3].to_vec()).collect();
            prop_assert_eq!(tones.len(), 1);
        }
    }
}
