//! Whether a camera shows what it should, judged without looking for faces.
//!
//! ```text
//! camera ──samples──▶ ring ── notes arrivals, and since when the bytes are the same
//!                      │        └─▶ silent, frozen: once a second, nothing decoded
//!                      └── newest sample that stands alone, once a minute
//!                            └─▶ decoded ▶ Thumbnail ▶ judge ▶ View ▶ Course
//!                                black, covered, out of focus, elsewhere than its ReferenceView
//! ```
//!
//! A [`Thumbnail`] is 80 x 45 values of luma and one number for the sharpness
//! of the edges. It is all that is read of a frame between settlements; like a
//! frame it can be neither written, copied nor printed, and is overwritten when
//! dropped. A [`ReferenceView`] is a histogram of the directions of edges, kept
//! from aiming: where in the picture there are edges, and how they run. Its 576
//! bytes say of each 144th part of the picture how strong the edges of four
//! directions are, so that a person in it is a few cells with edges. No face
//! and no picture can be made of it.
//!
//! This module judges and keeps nothing. When it is looked is in `edge::health`.
//!
//! The limits below were found on the webcam pictures of a research data set
//! (NUAA, `live`: 13 sequences of 40 pictures with a person close before the
//! camera, which stands still) and on drawn cameras, blurred, darkened, shifted
//! and turned by computation. `docs/decisions/0020-camera-health.md` has the
//! figures.

use std::f32::consts::PI;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::sharpness;
use crate::frame::Frame;

/// Columns of a thumbnail, whatever the shape of the picture.
const WIDTH: usize = 80;
/// Its rows.
const HEIGHT: usize = 45;

/// Luma below which a point is black: a capped sensor's noise lies below it.
const BLACK: u8 = 32;
/// Share of points that may be lighter in a black picture: a lamp of a device.
const BLACK_BUT: f32 = 0.01;
/// A picture is covered if 99 of 100 differences between neighbouring points of
/// its thumbnail are below this, plus [`COVERED_OF_MEAN`] of its mean luma. Real
/// and drawn pictures of a mean of 120 have 64 or more; a hand, tape or fog on
/// the lens gives less than 4.
const COVERED: f32 = 2.0;
/// Darker pictures have weaker edges.
const COVERED_OF_MEAN: f32 = 0.05;
/// Mean luma from which a picture has an edge somewhere, or something is before
/// the lens. (What a hand near the lens lets through has slow changes, which may
/// be strong.) In a third of the light real pictures have hundreds of edges.
const LIGHT: f32 = 64.0;
/// Sharpness below which a camera is out of focus. As they are, real and drawn
/// pictures have 0.64 or more, 0.57 in a third of the light; blurred by a
/// Gaussian of 2 pixels of 640 they have 0.38 to 0.46, by one of 3 pixels 0.38
/// at most.
const BLURRED: f32 = 0.39;

/// Cells of a reference view, across and down.
const CELLS: (usize, usize) = (16, 9);
/// Directions that edges are counted by.
const DIRECTIONS: usize = 4;
/// Luma that a gradient must pass to count: what is below it is noise.
const NOISE: f32 = 4.0;
/// From the root of a cell's edges to its byte: the strongest edge there can be
/// just fits.
const SCALE: f32 = 2.5;
/// Cells of a neighbourhood, across and down.
const NEIGHBOURS: usize = 3;
/// Least correlation of neighbourhoods that look as before.
const SAME: f32 = 0.7;
/// A camera looks elsewhere if less than this share of what had edges looks as
/// before. The same view with a person who moves and light that changes had 0.09
/// or more, in the worst of 13 sequences; a picture shifted by an eighth of its
/// width 0.00 in the middle.
const LEAST_SAME: f32 = 0.08;
/// Part of a reference view's neighbourhoods with the fewest edges, which say nothing.
const EMPTIEST: f32 = 0.3;

/// A small luma picture for [`judge`], and how sharp the edges of the frame are.
pub struct Thumbnail {
    luma: Zeroizing<Vec<u8>>,
    /// `None` where there are too few edges to say.
    sharpness: Option<f32>,
}

impl Thumbnail {
    /// Of a frame of any size.
    pub fn of(frame: &Frame) -> Self {
        Self { luma: shrink(frame), sharpness: sharpness::of(frame) }
    }

    /// The luma in its columns and rows; the edge's where it would be outside.
    fn at(&self, x: usize, y: usize) -> f32 {
        f32::from(self.luma[y.min(HEIGHT - 1) * WIDTH + x.min(WIDTH - 1)])
    }

    fn mean(&self) -> f32 {
        self.luma.iter().map(|v| f32::from(*v)).sum::<f32>() / self.luma.len() as f32
    }

    fn is_black(&self) -> bool {
        let lit = self.luma.iter().filter(|v| **v >= BLACK).count();
        (lit as f32) <= BLACK_BUT * self.luma.len() as f32
    }

    fn is_covered(&self) -> bool {
        let mean = self.mean();
        if self.sharpness.is_none() && mean >= LIGHT {
            return true;
        }
        let least = COVERED + COVERED_OF_MEAN * mean;
        let points = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y)));
        let edges = points.filter(|&(x, y)| {
            let here = self.at(x, y);
            (self.at(x + 1, y) - here).abs() >= least || (self.at(x, y + 1) - here).abs() >= least
        });
        edges.count() * 100 < self.luma.len()
    }

    /// How strong edges are, by cell and direction.
    fn edges(&self) -> Vec<u8> {
        let mut sums = vec![0f32; CELLS.0 * CELLS.1 * DIRECTIONS];
        for y in 1..HEIGHT - 1 {
            for x in 1..WIDTH - 1 {
                let across = self.at(x + 1, y) - self.at(x - 1, y);
                let down = self.at(x, y + 1) - self.at(x, y - 1);
                let strength = across.hypot(down) - NOISE;
                if strength <= 0.0 {
                    continue;
                }
                let direction = down.atan2(across).rem_euclid(PI) / PI * DIRECTIONS as f32;
                let (first, share) = (direction as usize % DIRECTIONS, direction.fract());
                let cell = (y * CELLS.1 / HEIGHT) * CELLS.0 + x * CELLS.0 / WIDTH;
                sums[cell * DIRECTIONS + first] += strength * (1.0 - share);
                sums[cell * DIRECTIONS + (first + 1) % DIRECTIONS] += strength * share;
            }
        }
        sums.into_iter().map(|s| (s.sqrt() * SCALE).min(255.0) as u8).collect()
    }
}

/// Averages a frame's luma into the points of a thumbnail.
fn shrink(frame: &Frame) -> Zeroizing<Vec<u8>> {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let span = |i: usize, of: usize, length: usize| {
        let from = i * length / of;
        from..((i + 1) * length / of).max(from + 1)
    };
    let mut luma = Zeroizing::new(Vec::with_capacity(WIDTH * HEIGHT));
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let (columns, rows) = (span(x, WIDTH, width), span(y, HEIGHT, height));
            let points = columns.len() * rows.len();
            let of_row = |row: usize| -> u32 {
                let at = row * width;
                let rgb = &frame.rgb()[(at + columns.start) * 3..(at + columns.end) * 3];
                rgb.as_chunks::<3>().0.iter().map(|p| sharpness::luma(*p)).sum()
            };
            luma.push((rows.map(of_row).sum::<u32>() as usize / points) as u8);
        }
    }
    luma
}

/// What a camera shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// A picture with edges, sharp where that can be said, of the usual view
    /// where one is known.
    Good,
    /// Nothing but black.
    Black,
    /// Nothing with an edge.
    Covered,
    /// Edges, and none that is sharp.
    OutOfFocus,
    /// Something else than the reference view.
    Elsewhere,
}

impl std::fmt::Display for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Black => "black",
            Self::Covered => "covered or blinded",
            Self::OutOfFocus => "out of focus",
            Self::Elsewhere => "another view",
        })
    }
}

/// Judges a thumbnail, beside the camera's reference view if there is one.
pub fn judge(thumbnail: &Thumbnail, reference: Option<&ReferenceView>) -> View {
    if thumbnail.is_black() {
        View::Black
    } else if thumbnail.is_covered() {
        View::Covered
    } else if thumbnail.sharpness.is_some_and(|s| s < BLURRED) {
        View::OutOfFocus
    } else if reference.is_some_and(|r| !r.looks_like(thumbnail)) {
        View::Elsewhere
    } else {
        View::Good
    }
}

/// What a camera looked at when it was aimed: where edges are, and how they run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct ReferenceView(Vec<u8>);

/// A view of this kind cannot be one to come back to.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoReferenceView {
    /// The picture is not good.
    #[error(
        "the camera's picture is {0}: mend that first, a reference view needs a sharp picture with edges"
    )]
    View(View),
    /// It was not written by this version, or damaged.
    #[error("{0}: expected format {FORMAT} with {CELL_BYTES} bytes as base64; aim the camera again")]
    Form(String),
}

/// Number of the form that is written.
const FORMAT: u32 = 1;
const CELL_BYTES: usize = CELLS.0 * CELLS.1 * DIRECTIONS;

/// As it lies in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    edges: String,
}

impl From<ReferenceView> for Written {
    fn from(view: ReferenceView) -> Self {
        Self { format: FORMAT, edges: BASE64.encode(view.0) }
    }
}

impl TryFrom<Written> for ReferenceView {
    type Error = NoReferenceView;

    fn try_from(w: Written) -> Result<Self, NoReferenceView> {
        if w.format != FORMAT {
            return Err(NoReferenceView::Form(format!("format {}", w.format)));
        }
        let edges = BASE64.decode(&w.edges).map_err(|e| NoReferenceView::Form(e.to_string()))?;
        match edges.len() {
            CELL_BYTES => Ok(Self(edges)),
            n => Err(NoReferenceView::Form(format!("{n} bytes"))),
        }
    }
}

impl ReferenceView {
    /// Of a thumbnail that shows the view as it is to be.
    ///
    /// # Errors
    /// [`NoReferenceView::View`] if it is black, covered or out of focus.
    pub fn of(thumbnail: &Thumbnail) -> Result<Self, NoReferenceView> {
        match judge(thumbnail, None) {
            View::Good => Ok(Self(thumbnail.edges())),
            view => Err(NoReferenceView::View(view)),
        }
    }

    fn looks_like(&self, thumbnail: &Thumbnail) -> bool {
        self.share_alike(&thumbnail.edges()) >= LEAST_SAME
    }

    /// The share of the view that looks as before, of what had edges then, from
    /// 0 to 1. It goes by neighbourhoods of cells, each for itself, since
    /// a person hides some of them and light changes some.
    fn share_alike(&self, edges: &[u8]) -> f32 {
        let mut found: Vec<(u32, f32)> = Vec::new();
        for y in 0..=CELLS.1 - NEIGHBOURS {
            for x in 0..=CELLS.0 - NEIGHBOURS {
                let of = |all: &[u8]| -> [u8; NEIGHBOURS * NEIGHBOURS * DIRECTIONS] {
                    std::array::from_fn(|i| {
                        let (cell, direction) = (i / DIRECTIONS, i % DIRECTIONS);
                        let at = (y + cell / NEIGHBOURS) * CELLS.0 + x + cell % NEIGHBOURS;
                        all[at * DIRECTIONS + direction]
                    })
                };
                let before = of(&self.0);
                let strength = before.iter().map(|v| u32::from(*v)).sum();
                found.push((strength, correlation(&before, &of(edges))));
            }
        }
        found.sort_by_key(|(strength, _)| *strength);
        let telling = &found[(found.len() as f32 * EMPTIEST) as usize..];
        telling.iter().filter(|(_, c)| *c >= SAME).count() as f32 / telling.len() as f32
    }
}

/// Pearson's, from -1 to 1; 0 where one of them has the same value everywhere.
fn correlation(a: &[u8], b: &[u8]) -> f32 {
    let mean = |v: &[u8]| v.iter().map(|x| f32::from(*x)).sum::<f32>() / v.len() as f32;
    let (ma, mb) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (f32::from(*x) - ma, f32::from(*y) - mb);
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    if aa * bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: (u32, u32) = (640, 360);

    fn frame(value: impl Fn(u32, u32) -> f32) -> Frame {
        let points = (0..SIZE.1).flat_map(|y| (0..SIZE.0).map(move |x| (x, y)));
        let rgb = points.flat_map(|(x, y)| [value(x, y).clamp(0.0, 255.0) as u8; 3]).collect();
        Frame::from_rgb(SIZE.0, SIZE.1, rgb).unwrap()
    }

    /// Boards of several sizes on a wall, seen from a place so far to the right, in
    /// so much light.
    pub(crate) fn room(shift: u32, light: f32) -> Frame {
        let mut dice = 7u32;
        let mut cast = |sides: u32| {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (dice >> 8) % sides
        };
        let board = |_| ([cast(1000), cast(320), 30 + cast(90), 25 + cast(90)], 40.0 + cast(180) as f32);
        let boards: Vec<_> = (0..28).map(board).collect();
        frame(|x, y| {
            let on = |[left, top, wide, high]: [u32; 4]| {
                (left..left + wide).contains(&(x + shift)) && (top..top + high).contains(&y)
            };
            let found = boards.iter().rfind(|(place, _)| on(*place));
            light * found.map_or(140.0, |(_, value)| *value)
        })
    }

    /// The same with somebody before the middle of it.
    fn with_person(of: &Frame, shift: i32) -> Frame {
        let rgb = of.rgb();
        frame(|x, y| {
            let (dx, dy) = ((x as i32 - 320 - shift) as f32 / 80.0, (y as f32 - 150.0) / 110.0);
            let inside = dx.hypot(dy) < 1.0 || (y > 240 && dx.abs() < 2.0);
            if inside { 90.0 + dx * 20.0 } else { f32::from(rgb[((y * SIZE.0 + x) * 3) as usize]) }
        })
    }

    fn blurred(of: &Frame, sigma: f32) -> Frame {
        let picture = image::RgbImage::from_raw(of.width(), of.height(), of.rgb().to_vec()).unwrap();
        let soft = image::imageops::blur(&picture, sigma);
        Frame::from_rgb(of.width(), of.height(), soft.into_raw()).unwrap()
    }

    fn view(frame: &Frame) -> View {
        judge(&Thumbnail::of(frame), None)
    }

    #[test]
    fn black_covered_and_blurred_pictures_are_named() {
        let room = room(0, 1.0);
        assert_eq!(view(&room), View::Good);
        assert_eq!(view(&frame(|x, y| ((x * 7 + y * 13) % 20) as f32)), View::Black);
        assert_eq!(view(&frame(|_, _| 255.0)), View::Covered);
        assert_eq!(view(&frame(|x, y| 60.0 + x as f32 / 16.0 + ((x + y) % 3) as f32)), View::Covered);
        assert_eq!(view(&blurred(&room, 1.0)), View::Good);
        assert_eq!(view(&blurred(&room, 4.0)), View::OutOfFocus);
        // A lamp in the dark is not much of a picture, but a picture.
        let lamp = frame(|x, y| if x.abs_diff(300) < 40 && y.abs_diff(180) < 40 { 200.0 } else { 8.0 });
        assert_ne!(view(&lamp), View::Black);
    }

    #[test]
    fn people_and_light_do_not_move_a_camera_and_turning_it_does() {
        let aimed = room(0, 1.0);
        let reference = ReferenceView::of(&Thumbnail::of(&aimed)).unwrap();
        let shows = |f: &Frame| judge(&Thumbnail::of(f), Some(&reference));
        for shift in [-150, 0, 90] {
            assert_eq!(shows(&with_person(&aimed, shift)), View::Good, "a person at {shift}");
        }
        for light in [0.5, 0.8, 1.2] {
            assert_eq!(shows(&room(0, light)), View::Good, "light {light}");
        }
        assert_eq!(shows(&room(4, 1.0)), View::Good, "a tremor");
        for shift in [80, 200, 300] {
            assert_eq!(shows(&room(shift, 1.0)), View::Elsewhere, "shifted by {shift} pixels");
        }
    }

    #[test]
    fn a_view_that_is_not_good_is_no_reference() {
        let dark = frame(|_, _| 3.0);
        let said = ReferenceView::of(&Thumbnail::of(&dark)).unwrap_err().to_string();
        assert!(said.contains("is black") && said.contains("sharp"), "{said}");
    }

    #[test]
    fn a_reference_view_comes_back_from_its_text_and_is_small() {
        let view = ReferenceView::of(&Thumbnail::of(&room(0, 1.0))).unwrap();
        let text = serde_json::to_string(&view).unwrap();
        assert!(text.len() < 1000, "{}", text.len());
        assert_eq!(serde_json::from_str::<ReferenceView>(&text).unwrap(), view);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn any_picture_is_judged(width in 1u32..200, height in 1u32..120, seed in any::<u64>()) {
            let bits = |i: u64| (seed ^ i).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56;
            let rgb = (0..u64::from(width * height * 3)).map(|i| bits(i) as u8).collect();
            let thumbnail = Thumbnail::of(&Frame::from_rgb(width, height, rgb).unwrap());
            if let Ok(own) = ReferenceView::of(&thumbnail) {
                let share = own.share_alike(&thumbnail.edges());
                prop_assert!((0.0..=1.0).contains(&share));
                let expected = if share >= LEAST_SAME { View::Good } else { View::Elsewhere };
                prop_assert_eq!(judge(&thumbnail, Some(&own)), expected);
            }
        }

        #[test]
        fn more_light_by_a_factor_changes_a_correlation_little(a in proptest::collection::vec(0u8..120, 16), k in 1u8..=2) {
            let b: Vec<u8> = a.iter().map(|v| v * k).collect();
            let flat = a.iter().all(|v| *v == a[0]);
            prop_assert!(flat || (correlation(&a, &b) - 1.0).abs() < 1e-3);
        }
    }
}
