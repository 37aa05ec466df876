//! Pictures, while they exist.
//!
//! A [`Sample`] is what a camera sent, still encoded; a [`Frame`] is a decoded
//! picture; a [`Region`] says which part of it may be looked at.
//!
//! Promises (3 of the design): pixels live in memory only. Neither type can be
//! serialized, cloned or printed, and both overwrite their bytes when dropped.
//! A test holds them to it (`tests/it/types.rs`). This module reads and writes
//! nothing.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::BoxTime;

/// A decoded picture: `height` rows of `width` pixels of R, G, B, 8 bits each.
pub struct Frame {
    width: u32,
    height: u32,
    rgb: Zeroizing<Vec<u8>>,
}

/// The bytes of a frame do not fit its size.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a picture of {width}x{height} needs {needed} bytes of RGB, found {found}")]
pub struct FrameSizeError {
    width: u32,
    height: u32,
    needed: usize,
    found: usize,
}

impl Frame {
    /// Takes RGB bytes, row by row.
    ///
    /// # Errors
    /// If `rgb` does not hold exactly `width * height * 3` bytes, or is empty.
    pub fn from_rgb(width: u32, height: u32, rgb: Vec<u8>) -> Result<Self, FrameSizeError> {
        let needed = width as usize * height as usize * 3;
        let rgb = Zeroizing::new(rgb);
        if needed == 0 || rgb.len() != needed {
            return Err(FrameSizeError { width, height, needed, found: rgb.len() });
        }
        Ok(Self { width, height, rgb })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// R, G, B of every pixel, row by row.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

/// How a sample is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// One JPEG picture.
    Jpeg,
    /// One H.264 access unit with start codes (ITU-T H.264 Annex B).
    H264(AccessUnit),
    /// Two pixels in four bytes, uncompressed.
    Yuyv {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes of a row: at least twice its pixels.
        stride: u32,
    },
}

/// What is known of an H.264 access unit without decoding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessUnit {
    /// What other pictures need it for.
    pub kind: Kind,
    /// Its place in the order of display, in ticks of the stream's clock
    /// (90,000 a second over RTP). Only their order within a group counts.
    pub ticks: i64,
}

/// What an access unit is to its group of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Begins a group: decoded from itself alone, with its parameter sets.
    Key,
    /// Others are decoded from it.
    Reference,
    /// Nothing is decoded from it.
    Disposable,
}

/// One picture as the camera sent it, with the time of its arrival.
pub struct Sample {
    at: BoxTime,
    codec: Codec,
    bytes: Zeroizing<Vec<u8>>,
    after_loss: bool,
}

impl Sample {
    /// Takes what the camera sent.
    pub fn new(at: BoxTime, codec: Codec, bytes: Vec<u8>) -> Self {
        Self { at, codec, bytes: Zeroizing::new(bytes), after_loss: false }
    }

    /// The same, with whether something was lost on the way just before it.
    #[must_use]
    pub fn with_loss(self, after_loss: bool) -> Self {
        Self { after_loss, ..self }
    }

    /// When it arrived.
    pub fn at(&self) -> BoxTime {
        self.at
    }

    /// How it is encoded.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// What the camera sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether something was lost on the way just before it.
    pub fn after_loss(&self) -> bool {
        self.after_loss
    }

    /// Whether it can be decoded without any other.
    pub fn stands_alone(&self) -> bool {
        !matches!(self.codec, Codec::H264(AccessUnit { kind: Kind::Reference | Kind::Disposable, .. }))
    }

    /// Whether the camera sent the same again, byte for byte.
    pub fn is_same(&self, other: &Self) -> bool {
        self.codec == other.codec && self.bytes == other.bytes
    }
}

/// The part of the picture in which a face may be looked for, in shares of its
/// width and height (0 to 1, origin top left).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
}

impl Region {
    /// The whole picture.
    pub const WHOLE: Self = Self { x: 0.0, y: 0.0, w: 1.0, h: 1.0 };
    /// No part of the picture: what may be looked at where nobody said more.
    /// Not valid; a configuration with it is refused.
    pub const NONE: Self = Self { x: 0.0, y: 0.0, w: 0.0, h: 0.0 };

    /// Whether it lies inside the picture and is not empty.
    pub fn is_valid(&self) -> bool {
        let Self { x, y, w, h } = *self;
        [x, y, w, h].iter().all(|v| v.is_finite())
            && x >= 0.0
            && y >= 0.0
            && w > 0.0
            && h > 0.0
            && x + w <= 1.0001
            && y + h <= 1.0001
    }

    /// Whether a point in pixels of a `width` x `height` picture lies in it.
    pub fn contains(&self, px: f32, py: f32, width: u32, height: u32) -> bool {
        let (u, v) = (px / width as f32, py / height as f32);
        u >= self.x && u <= self.x + self.w && v >= self.y && v <= self.y + self.h
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_the_wrong_length_is_refused() {
        assert!(Frame::from_rgb(2, 2, vec![0; 12]).is_ok());
        assert!(Frame::from_rgb(2, 2, vec![0; 11]).is_err());
        assert!(Frame::from_rgb(0, 2, vec![]).is_err());
    }

    #[test]
    fn a_region_outside_the_picture_is_not_valid() {
        assert!(Region::WHOLE.is_valid());
        assert!(!Region { x: 0.5, y: 0.0, w: 0.6, h: 1.0 }.is_valid());
        assert!(!Region { x: f32::NAN, y: 0.0, w: 0.6, h: 1.0 }.is_valid());
    }
}
