//! JPEG pictures and still photographs, decoded to RGB.
//!
//! A picture that cannot be decoded is an error with the reason, and never more
//! than [`MAX_SIDE`] pixels wide or high: a forged header must not make the box
//! allocate without bound.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::frame::Frame;

pub use super::error::{DecodeError, MAX_SIDE};
use super::jpeg as marks;

/// Decodes a JPEG to RGB. A picture whose bytes end early is refused, since its
/// lower part would be grey. (One with an end mark before its last rows is not:
/// the decoder does not tell.) One without Huffman tables is read with the
/// standard ones.
///
/// # Errors
/// [`DecodeError::Jpeg`] with the decoder's reason.
pub fn jpeg(bytes: &[u8]) -> Result<Frame, DecodeError> {
    let bad = |reason: String| DecodeError::Jpeg { bytes: bytes.len(), reason };
    let options = DecoderOptions::new_fast()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let picture = marks::with_tables(bytes);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&*picture), options);
    decoder.decode_headers().map_err(|e| bad(format!("{e:?}")))?;
    let info = decoder.info().ok_or_else(|| bad("no header".into()))?;
    if !could_hold(bytes.len(), usize::from(info.width), usize::from(info.height)) {
        return Err(bad(format!("its header claims {} x {} pixels", info.width, info.height)));
    }
    let rgb = decoder.decode().map_err(|e| bad(format!("{e:?}")))?;
    Frame::from_rgb(u32::from(info.width), u32::from(info.height), rgb).map_err(|e| bad(e.to_string()))
}

/// Whether so many bytes of JPEG can hold so many pixels: each block of 8 x 8
/// takes at least a bit. A few forged ones would cost seconds and hundreds of
/// megabytes otherwise.
fn could_hold(bytes: usize, width: usize, height: usize) -> bool {
    width.div_ceil(8) * height.div_ceil(8) <= bytes.saturating_mul(8)
}

/// Width and height that a still photograph's header claims, in pixels, before anything
/// is decoded.
///
/// # Errors
/// [`DecodeError::Still`] if it is neither JPEG nor PNG.
pub fn still_size(bytes: &[u8]) -> Result<(u32, u32), DecodeError> {
    let reader = image::ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format();
    let size = reader.map_err(image::ImageError::from).and_then(image::ImageReader::into_dimensions);
    size.map_err(|e| DecodeError::Still { bytes: bytes.len(), reason: e.to_string() })
}

/// Decodes a still photograph (JPEG or PNG), turned upright as its EXIF says.
///
/// # Errors
/// [`DecodeError::Still`] with the reason.
pub fn still(bytes: &[u8]) -> Result<Frame, DecodeError> {
    use image::ImageDecoder;
    let bad = |reason: String| DecodeError::Still { bytes: bytes.len(), reason };
    let read = || {
        let mut reader = image::ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format()?;
        let mut limits = image::Limits::default();
        limits.max_image_width = Some(MAX_SIDE as u32);
        limits.max_image_height = Some(MAX_SIDE as u32);
        reader.limits(limits);
        let is_jpeg = reader.format() == Some(image::ImageFormat::Jpeg);
        let mut decoder = reader.into_decoder()?;
        let orientation = decoder.orientation()?;
        // A JPEG's pixels come from the strict decoder: the lenient one fills the missing end
        // of a picture that was cut short with grey.
        let picture = if is_jpeg { None } else { Some(image::DynamicImage::from_decoder(decoder)?) };
        Ok::<_, image::ImageError>((picture, orientation))
    };
    let (picture, orientation) = read().map_err(|e| bad(e.to_string()))?;
    let mut picture = match picture {
        Some(picture) => picture,
        None => {
            let frame = jpeg(bytes)?;
            image::RgbImage::from_raw(frame.width(), frame.height(), frame.rgb().to_vec())
                .map(image::DynamicImage::ImageRgb8)
                .ok_or_else(|| bad("its size does not fit its pixels".into()))?
        }
    };
    picture.apply_orientation(orientation);
    let rgb = picture.into_rgb8();
    Frame::from_rgb(rgb.width(), rgb.height(), rgb.into_raw()).map_err(|e| bad(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn picture() -> Vec<u8> {
        let mut out = Vec::new();
        let rgb: Vec<u8> = (0..64 * 48 * 3).map(|i| (i % 253) as u8).collect();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, 90)
            .encode(&rgb, 64, 48, image::ExtendedColorType::Rgb8)
            .unwrap();
        out
    }

    #[test]
    fn both_decoders_read_a_picture() {
        let bytes = picture();
        let (a, b) = (jpeg(&bytes).unwrap(), still(&bytes).unwrap());
        assert_eq!((a.width(), a.height()), (64, 48));
        assert_eq!((b.width(), b.height()), (64, 48));
        assert_eq!(still_size(&bytes).unwrap(), (64, 48));
        assert!(still_size(b"GIF89a").is_err());
    }

    #[test]
    fn a_picture_cut_short_is_refused() {
        let bytes = picture();
        for part in [0, 1, 20, bytes.len() / 2] {
            assert!(jpeg(&bytes[..part]).is_err(), "{part} of {} bytes", bytes.len());
            assert!(still(&bytes[..part]).is_err(), "still: {part} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn a_picture_that_claims_to_be_larger_than_its_bytes_is_refused() {
        let mut bytes = picture();
        let header = bytes.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        bytes[header + 5..header + 9].copy_from_slice(&[8, 0, 8, 0]);
        let e = jpeg(&bytes).err().unwrap().to_string();
        assert!(e.contains("claims 2048 x 2048"), "{e}");
        assert!(still(&bytes).is_err());
        assert!(could_hold(1, 64, 8) && !could_hold(1, 65, 8));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn changed_bytes_never_panic(at in any::<proptest::sample::Index>(), with in any::<u8>()) {
            let mut bytes = picture();
            let i = at.index(bytes.len());
            bytes[i] = with;
            let _ = jpeg(&bytes);
            let _ = still(&bytes);
        }
    }
}
