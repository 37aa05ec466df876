//! The light on the part of a picture in which faces are looked for, measured
//! without looking for any: enough to say that a lamp is missing or that a
//! window shines from behind.
//!
//! The limits are chosen, not measured on a data set: a pixel is too dark or too
//! bright where the mean of a whole face would be refused (`Gate::PROBE`), and a
//! region is not well lit where most of it is dark, or a third of it is glare.

use serde::Serialize;

use crate::frame::{Frame, Region};
use crate::vision::quality::Gate;

/// Mean luma of a region that is well lit, 0 to 255.
pub const MEAN: (f32, f32) = (50.0, 205.0);
/// Greatest share of pixels that may be too dark: dark clothes and hair are many.
pub const MOST_DARK: f32 = 0.5;
/// Greatest share of pixels that may be too bright.
pub const MOST_BRIGHT: f32 = 0.33;

/// How a region is lit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Light {
    /// Mean luma, 0 to 255.
    pub mean: f32,
    /// Share of pixels too dark for a face, 0 to 1.
    pub dark: f32,
    /// Share of pixels too bright for a face, 0 to 1.
    pub bright: f32,
}

/// What is wrong with the light.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Too little of it.
    TooDark,
    /// Too much of it, or a lamp or window in the picture.
    TooBright,
}

impl Light {
    /// Of the region's pixels (luma by BT.601). A region without a pixel counts
    /// as black.
    pub fn of(frame: &Frame, region: &Region) -> Self {
        let (dark, bright) = Gate::PROBE.brightness;
        let (mut sum, mut n, mut below, mut above) = (0.0f64, 0u32, 0u32, 0u32);
        let width = frame.width() as usize;
        for (i, pixel) in frame.rgb().as_chunks::<3>().0.iter().enumerate() {
            let (x, y) = ((i % width) as f32 + 0.5, (i / width) as f32 + 0.5);
            if !region.contains(x, y, frame.width(), frame.height()) {
                continue;
            }
            let [r, g, b] = pixel.map(f32::from);
            let luma = 0.299 * r + 0.587 * g + 0.114 * b;
            sum += f64::from(luma);
            n += 1;
            below += u32::from(luma < dark);
            above += u32::from(luma > bright);
        }
        let n = n.max(1) as f32;
        Self { mean: (sum / f64::from(n)) as f32, dark: below as f32 / n, bright: above as f32 / n }
    }

    /// What is wrong with it, if anything.
    pub fn fault(&self) -> Option<Fault> {
        if self.mean < MEAN.0 || self.dark > MOST_DARK {
            Some(Fault::TooDark)
        } else if self.mean > MEAN.1 || self.bright > MOST_BRIGHT {
            Some(Fault::TooBright)
        } else {
            None
        }
    }
}

impl std::fmt::Display for Light {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let share = |s: f32| s * 100.0;
        write!(
            f,
            "mean {:.0} of 255, {:.0} % too dark, {:.0} % too bright",
            self.mean,
            share(self.dark),
            share(self.bright)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Left half of one grey, right half of another.
    fn halves(left: u8, right: u8) -> Frame {
        let row: Vec<u8> = [[left; 3].repeat(20), [right; 3].repeat(20)].concat();
        Frame::from_rgb(40, 10, row.repeat(10)).unwrap()
    }

    #[test]
    fn only_the_region_is_measured() {
        let frame = halves(0, 120);
        let right = Light::of(&frame, &Region { x: 0.5, y: 0.0, w: 0.5, h: 1.0 });
        assert!((right.mean - 120.0).abs() < 0.1 && right.dark == 0.0, "{right:?}");
        assert_eq!(right.fault(), None);
        let left = Light::of(&frame, &Region { x: 0.0, y: 0.0, w: 0.5, h: 1.0 });
        assert_eq!((left.dark, left.fault()), (1.0, Some(Fault::TooDark)));
    }

    #[test]
    fn a_bright_half_is_glare() {
        let light = Light::of(&halves(90, 255), &Region::WHOLE);
        assert!((light.bright - 0.5).abs() < 0.01);
        assert_eq!(light.fault(), Some(Fault::TooBright));
        assert_eq!(Light::of(&halves(90, 255), &Region::NONE).fault(), Some(Fault::TooDark));
    }
}
