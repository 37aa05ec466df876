//! H.264: access units looked at without decoding, and groups of pictures
//! decoded.
//!
//! A [`GroupDecoder`] is fed a group of pictures from its key picture on and
//! gives those that are wanted. It promises that a picture is whole: after a
//! unit that was lost, cut short or refused by the decoder, nothing more is
//! taken from the group, since what follows would be drawn upon a picture that
//! is not there, and a smeared face is nobody's.
//!
//! It does not read H.265, interlaced pictures' fields apart, or groups that
//! begin with anything but an IDR picture.

use std::collections::BTreeSet;

use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::nal::{Nal, RefNal};
use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;
use zeroize::Zeroizing;

use crate::frame::{AccessUnit, Kind};

use super::error::{DecodeError, MAX_SIDE};

/// Units of a picture (ITU-T H.264, table 7-1).
const SLICE: u8 = 1;
const PARTITION_A: u8 = 2;
const IDR_SLICE: u8 = 5;

/// The units of a byte stream (Annex B), without their start codes.
pub fn units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(stream);
    std::iter::from_fn(move || {
        let unit = rest?;
        let end = unit.windows(3).position(|w| matches!(w, [0, 0, 0 | 1])).unwrap_or(unit.len());
        rest = after_start_code(unit.get(end..).unwrap_or_default());
        unit.get(..end)
    })
}

fn after_start_code(stream: &[u8]) -> Option<&[u8]> {
    let at = stream.windows(3).position(|w| w == [0, 0, 1])?;
    stream.get(at + 3..)
}

/// What an access unit is to its group; `None` if it holds no picture, or
/// begins in its middle (its first slice does not begin with the first block).
pub fn kind(access_unit: &[u8]) -> Option<Kind> {
    let is_slice = |u: &&[u8]| u.first().is_some_and(|h| matches!(h & 31, SLICE | PARTITION_A | IDR_SLICE));
    let slice = units(access_unit).find(is_slice)?;
    let (header, payload) = (*slice.first()?, *slice.get(1)?);
    // first_mb_in_slice is ue(v): zero is the single bit 1.
    if payload & 0x80 == 0 {
        return None;
    }
    Some(match (header & 31, header >> 5 & 3) {
        (IDR_SLICE, _) => Kind::Key,
        (_, 0) => Kind::Disposable,
        _ => Kind::Reference,
    })
}

/// How a stream's numbers stand for colours.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Colours {
    /// Numbers from 0 to 255; else luma from 16 to 235.
    pub full_range: bool,
    /// By ITU-R BT.601, else BT.709; `None` where the stream does not say.
    pub bt601: Option<bool>,
}

/// What the sequence parameter set of a key picture says of colours.
pub fn colours(access_unit: &[u8]) -> Colours {
    const PARAMETER_SET: u8 = 7;
    let set = units(access_unit).find(|u| u.first().is_some_and(|h| h & 31 == PARAMETER_SET));
    let parsed = set.and_then(|u| SeqParameterSet::from_bits(RefNal::new(u, &[], true).rbsp_bits()).ok());
    let signal = parsed.and_then(|s| s.vui_parameters?.video_signal_type);
    let matrix = signal.as_ref().and_then(|s| Some(s.colour_description.as_ref()?.matrix_coefficients));
    Colours {
        full_range: signal.as_ref().is_some_and(|s| s.video_full_range_flag),
        // ITU-T H.264, table E-5: 1 is BT.709, 5 and 6 are BT.601, 2 is "unspecified".
        bt601: match matrix {
            Some(1) => Some(false),
            Some(5 | 6) => Some(true),
            _ => None,
        },
    }
}

/// A decoded picture: luma at full size, chroma at half, rows without padding.
/// Overwritten when dropped.
pub struct I420 {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// What its numbers stand for.
    pub colours: Colours,
    planes: Zeroizing<Vec<u8>>,
}

impl I420 {
    /// Luma, U and V, row by row.
    pub fn planes(&self) -> (&[u8], &[u8], &[u8]) {
        let quarter = self.width.div_ceil(2) * self.height.div_ceil(2);
        let (y, chroma) = self.planes.split_at(self.width * self.height);
        let (u, v) = chroma.split_at(quarter);
        (y, u, v)
    }
}

/// A picture in the decoder's own memory.
pub struct Decoded<'a>(&'a DecodedYUV<'a>, Colours);

impl Decoded<'_> {
    /// Takes it out; `None` if its size is none that may be.
    pub fn copy(&self) -> Option<I420> {
        let (width, height) = self.0.dimensions();
        if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
            return None;
        }
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let size = width * height + 2 * half_width * half_height;
        let mut planes = Zeroizing::new(Vec::with_capacity(size));
        let (sy, su, sv) = self.0.strides();
        for (plane, stride, columns, rows) in [
            (self.0.y(), sy, width, height),
            (self.0.u(), su, half_width, half_height),
            (self.0.v(), sv, half_width, half_height),
        ] {
            for row in plane.chunks(stride.max(1)).take(rows) {
                planes.extend_from_slice(row.get(..columns)?);
            }
        }
        (planes.len() == size).then_some(I420 { width, height, colours: self.1, planes })
    }
}

/// Gets the pictures that come out of a decoder.
pub trait Take {
    /// One picture, with its place in the order of display.
    fn take(&mut self, ticks: i64, picture: Decoded<'_>);
}

/// Decodes one group of pictures. The next takes another: where pictures are drawn
/// from both sides the library (openh264 2.6) does not free all of a group that was
/// flushed, and has no room left after two or three.
pub struct GroupDecoder {
    decoder: Decoder,
    /// Places in the order of display of what was fed and has not come out.
    inside: BTreeSet<i64>,
    /// Nothing more of this group can be trusted.
    broken: bool,
    colours: Colours,
}

impl GroupDecoder {
    /// A decoder that was fed nothing.
    ///
    /// # Errors
    /// If the library cannot be set up.
    pub fn new() -> Result<Self, DecodeError> {
        // Flushing after each unit, the library's default, loses pictures where some are out of order.
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        let decoder = Decoder::with_api_config(OpenH264API::from_source(), config)
            .map_err(|e| DecodeError::H264 { reason: e.to_string() })?;
        Ok(Self { decoder, inside: BTreeSet::new(), broken: false, colours: Colours::default() })
    }

    /// Feeds one access unit, and gives the picture that comes out, if one does.
    /// The first is the group's key picture.
    ///
    /// # Errors
    /// If the unit cannot be decoded; nothing more comes of its group then.
    pub fn feed(&mut self, bytes: &[u8], unit: AccessUnit, out: &mut impl Take) -> Result<(), DecodeError> {
        if self.broken {
            return Err(DecodeError::H264 { reason: "a picture that it is drawn upon is missing".into() });
        }
        if unit.kind == Kind::Key {
            self.colours = colours(bytes);
        }
        self.inside.insert(unit.ticks);
        match self.decoder.decode(bytes) {
            Ok(Some(picture)) => {
                if let Some(ticks) = self.inside.pop_first() {
                    out.take(ticks, Decoded(&picture, self.colours));
                }
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(e) => {
                self.missing();
                Err(DecodeError::H264 { reason: e.to_string() })
            }
        }
    }

    /// Says that a unit is missing here: nothing more comes of its group.
    pub fn missing(&mut self) {
        self.broken = true;
        self.inside.clear();
    }

    /// Gives what the decoder still holds of a group.
    pub fn finish(mut self, out: &mut impl Take) {
        if let Ok(rest) = self.decoder.flush_remaining() {
            for picture in rest {
                if let Some(ticks) = self.inside.pop_first() {
                    out.take(ticks, Decoded(&picture, self.colours));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_access_unit_is_known_by_its_first_slice() {
        let sps = [0, 0, 0, 1, 0x67, 1, 2];
        let with = |slice: [u8; 2]| kind(&[&sps[..], &[0, 0, 1, slice[0], slice[1], 9]].concat());
        assert_eq!(with([0x65, 0x88]), Some(Kind::Key));
        assert_eq!(with([0x41, 0x9a]), Some(Kind::Reference));
        assert_eq!(with([0x01, 0x9a]), Some(Kind::Disposable));
        // Begins in mid-picture.
        assert_eq!(with([0x65, 0x40]), None);
        assert_eq!(kind(&sps), None);
        assert_eq!(units(&[0, 0, 1, 5, 6, 0, 0, 0, 1, 7]).collect::<Vec<_>>(), [&[5, 6][..], &[7]]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at_without_panic(bytes in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..200)) {
            let _ = kind(&bytes);
            prop_assert!(units(&bytes).count() <= bytes.len());
        }
    }
}
