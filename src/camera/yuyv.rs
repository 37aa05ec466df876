//! Uncompressed pictures of simple USB cameras: two pixels in four bytes
//! (Y, U, Y, V; 4:2:2).
//!
//! Read with the coefficients of BT.601 in the limited range, which is what V4L2
//! says of a YUYV stream that says nothing else of itself.

use yuv::{YuvPackedImage, YuvRange, YuvStandardMatrix};

use crate::frame::Frame;

use super::error::{DecodeError, MAX_SIDE};

/// How many bytes a picture has; `None` if it cannot be one. `stride` is how many
/// bytes a row has.
pub fn size(width: u32, height: u32, stride: u32) -> Option<usize> {
    let sides = 2..=MAX_SIDE as u32;
    if !sides.contains(&width) || !sides.contains(&height) || !width.is_multiple_of(2) {
        return None;
    }
    let rows = width * 2..=MAX_SIDE as u32 * 4;
    rows.contains(&stride).then_some(stride as usize * height as usize)
}

/// Decodes a picture to RGB.
///
/// # Errors
/// [`DecodeError::Yuyv`] if the bytes do not fit the size.
pub fn rgb(bytes: &[u8], width: u32, height: u32, stride: u32) -> Result<Frame, DecodeError> {
    let bad = || DecodeError::Yuyv { bytes: bytes.len(), width, height, stride };
    let yuy = size(width, height, stride).and_then(|n| bytes.get(..n)).ok_or_else(bad)?;
    let picture = YuvPackedImage { yuy, yuy_stride: stride, width, height };
    let mut out = vec![0; width as usize * height as usize * 3];
    yuv::yuyv422_to_rgb(&picture, &mut out, width * 3, YuvRange::Limited, YuvStandardMatrix::Bt601)
        .map_err(|_| bad())?;
    Frame::from_rgb(width, height, out).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_colours_of_a_test_bar_come_out() {
        // Y, U, V of BT.601's limited range, and what they are.
        for ([y, u, v], expected) in [
            ([16u8, 128, 128], [0u8, 0, 0]),
            ([235, 128, 128], [255, 255, 255]),
            ([126, 128, 128], [128, 128, 128]),
            ([81, 90, 240], [255, 0, 0]),
            ([145, 54, 34], [0, 255, 0]),
            ([41, 240, 110], [0, 0, 255]),
        ] {
            // Rows that are longer than their pixels, as some drivers pad them.
            let row = [[y, u, y, v].repeat(8), vec![0xee; 4]].concat();
            let frame = rgb(&row.repeat(4), 16, 4, 36).unwrap();
            assert_eq!((frame.width(), frame.height()), (16, 4));
            for pixel in frame.rgb().chunks(3) {
                for (found, wanted) in pixel.iter().zip(expected) {
                    assert!(found.abs_diff(wanted) <= 2, "{pixel:?} for {expected:?}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_its_size_is_refused() {
        assert!(rgb(&[0; 16 * 4 * 2], 16, 4, 32).is_ok());
        for (length, width, height, stride) in [
            (16 * 4 * 2 - 1, 16, 4, 32),
            (16 * 4 * 2, 16, 4, 30),
            (16 * 4 * 2, 15, 4, 32),
            (16 * 4 * 2, 0, 4, 32),
            (16 * 4 * 2, 16, 0, 32),
            (16 * 4 * 2, 1 << 31, 1 << 31, u32::MAX),
        ] {
            let e = rgb(&vec![0; length], width, height, stride).err().unwrap().to_string();
            assert!(e.contains(&format!("{width} x {height}")), "{e}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_and_sizes_are_read_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..4096),
            width in 0u32..70, height in 0u32..70, stride in 0u32..200,
        ) {
            let fits = size(width, height, stride).is_some_and(|n| bytes.len() >= n);
            prop_assert_eq!(rgb(&bytes, width, height, stride).is_ok(), fits);
        }
    }
}
