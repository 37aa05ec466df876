//! A JPEG picture's own marks: where it ends, and what it leaves out.
//!
//! Pure functions over bytes, by the grammar of ITU-T T.81 annex B. They say
//! nothing of the pixels: a picture that has its marks may still not decode.

use std::borrow::Cow;

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const HUFFMAN_TABLES: u8 = 0xc4;
const SCAN: u8 = 0xda;

/// An application segment by which the decoder knows Motion JPEG, whose Huffman
/// tables are those of T.81 annex K.3 where a picture brings none.
const MOTION_JPEG: [u8; 9] = [0xff, 0xe0, 0, 7, b'A', b'V', b'I', b'1', 0];

/// The picture at the beginning of `bytes`, up to its end mark, or `None` where
/// there is no whole picture.
///
/// Cameras hand over buffers that are longer than the picture. Segments are
/// passed over by their length, so that the end mark of a thumbnail inside one
/// is not taken for the picture's.
pub fn cut(bytes: &[u8]) -> Option<&[u8]> {
    let end = Marks::of(bytes)?.find(|m| m.code == END)?;
    bytes.get(..end.after)
}

/// The picture with standard Huffman tables where it has none, as many USB
/// cameras send it.
pub fn with_tables(picture: &[u8]) -> Cow<'_, [u8]> {
    match (picture.get(..2), picture.get(2..)) {
        (Some(start), Some(rest)) if lacks_tables(picture) => {
            Cow::Owned([start, &MOTION_JPEG, rest].concat())
        }
        _ => Cow::Borrowed(picture),
    }
}

/// Whether a scan begins before any table.
fn lacks_tables(picture: &[u8]) -> bool {
    Marks::of(picture)
        .and_then(|mut marks| marks.find(|m| matches!(m.code, HUFFMAN_TABLES | SCAN)))
        .is_some_and(|m| m.code == SCAN)
}

/// One mark.
struct Mark {
    code: u8,
    /// The first byte after it and what belongs to it.
    after: usize,
}

/// The marks of one picture, those inside segments left out. Ends where the
/// bytes do or where they are no JPEG any more.
struct Marks<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Marks<'a> {
    /// Behind the start mark; `None` if there is none.
    fn of(bytes: &'a [u8]) -> Option<Self> {
        bytes.starts_with(&[0xff, START]).then_some(Self { bytes, at: 2 })
    }
}

impl Iterator for Marks<'_> {
    type Item = Mark;

    fn next(&mut self) -> Option<Mark> {
        // What is before the next mark is a scan's data. There FF stands for itself where 00
        // follows, D0 to D7 are points of restart, and a mark may be filled up with FF before it.
        let code_at = loop {
            let rest = self.bytes.get(self.at..)?;
            self.at += rest.iter().position(|b| *b == 0xff)? + 1;
            match self.bytes.get(self.at)? {
                0x00 | 0x01 | 0xd0..=0xd7 => self.at += 1,
                0xff => {}
                _ => break self.at,
            }
        };
        let code = *self.bytes.get(code_at)?;
        let after = match (code, self.bytes.get(code_at + 1..code_at + 3)) {
            (END, _) => code_at + 1,
            // A second picture, not the end of this one.
            (START, _) => return None,
            (_, Some(&[high, low])) => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                if length < 2 {
                    return None;
                }
                code_at + 1 + length
            }
            _ => return None,
        };
        self.at = after;
        Some(Mark { code, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::decode;
    use proptest::prelude::*;

    fn encoded(seed: u8) -> Vec<u8> {
        let mut out = Vec::new();
        let rgb: Vec<u8> = (0..64 * 48 * 3).map(|i: u32| (i.wrapping_mul(7919) >> 3) as u8 ^ seed).collect();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, 80)
            .encode(&rgb, 64, 48, image::ExtendedColorType::Rgb8)
            .unwrap();
        out
    }

    /// A segment put behind the start mark.
    fn with_segment(picture: &[u8], code: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
        [&picture[..2], &[0xff, code], &length, content, &picture[2..]].concat()
    }

    fn without_tables(picture: &[u8]) -> Vec<u8> {
        let mut out = picture[..2].to_vec();
        let mut at = 2;
        for mark in Marks::of(picture).unwrap() {
            if mark.code != HUFFMAN_TABLES {
                out.extend_from_slice(&picture[at..mark.after]);
            }
            at = mark.after;
        }
        out
    }

    #[test]
    fn what_follows_the_end_mark_is_cut_off() {
        let picture = encoded(1);
        let stale = encoded(2);
        for tail in [&[][..], &[0; 512], &stale, &stale[stale.len() / 2..]] {
            assert_eq!(cut(&[&picture, tail].concat()), Some(&picture[..]));
        }
    }

    #[test]
    fn a_thumbnails_end_mark_is_not_the_pictures() {
        let thumbnail = encoded(3);
        let exif = [b"Exif\0\0", &thumbnail[..]].concat();
        let picture = with_segment(&encoded(4), 0xe1, &exif);
        assert_eq!(cut(&[&picture[..], &[7; 30]].concat()), Some(&picture[..]));
    }

    #[test]
    fn a_picture_cut_short_has_no_end() {
        let picture = encoded(5);
        for length in 0..picture.len() {
            assert_eq!(cut(&picture[..length]), None, "{length} of {} bytes", picture.len());
        }
        let two = [&picture[..picture.len() - 2], &encoded(6)].concat();
        assert_eq!(cut(&two), None, "the next picture's end mark is not this one's");
    }

    #[test]
    fn the_decoder_asks_for_tables_and_is_told_which() {
        let whole = encoded(8);
        let bare = without_tables(&whole);
        assert!(bare.len() < whole.len());
        assert!(matches!(with_tables(&whole), Cow::Borrowed(_)));
        // The encoder's tables are the standard ones, so that nothing is lost without them.
        assert_eq!(decode::jpeg(&bare).unwrap().rgb(), decode::jpeg(&whole).unwrap().rgb());
        assert_eq!(cut(&bare), Some(&bare[..]));
    }

    fn bytes() -> impl Strategy<Value = u8> {
        let marks = [0xff, 0xff, START, END, HUFFMAN_TABLES, SCAN, 0xe1, 0xd0, 0, 2, 5];
        prop_oneof![3 => proptest::sample::select(marks.to_vec()), 1 => any::<u8>()]
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_without_panic(rest in proptest::collection::vec(bytes(), 0..300)) {
            let bytes = [&[0xff, START][..], &rest].concat();
            let _ = with_tables(&bytes);
            if let Some(picture) = cut(&bytes) {
                prop_assert!(picture.ends_with(&[0xff, END]));
                prop_assert_eq!(cut(picture), Some(picture));
            }
            let _ = (cut(&rest), with_tables(&rest));
        }

        #[test]
        fn any_segment_and_any_tail_leave_the_picture_whole(
            segment in proptest::collection::vec(bytes(), 0..300),
            code in prop_oneof![0xe0u8..=0xef, Just(0xfe)],
            tail in proptest::collection::vec(bytes(), 0..300),
        ) {
            let picture = with_segment(&encoded(9), code, &segment);
            let buffer = [&picture[..], &tail].concat();
            prop_assert_eq!(cut(&buffer), Some(&picture[..]));
        }
    }
}
