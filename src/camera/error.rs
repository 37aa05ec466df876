//! Why a picture cannot be decoded, whatever it is encoded in.

/// Greatest accepted width and height, in pixels.
pub const MAX_SIDE: usize = 8192;

/// Why a picture could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not a JPEG, or cut short.
    #[error("not a whole JPEG picture ({bytes} bytes): {reason}")]
    Jpeg {
        /// How long it is.
        bytes: usize,
        /// The decoder's words.
        reason: String,
    },
    /// A picture of an H.264 stream.
    #[error("not a whole H.264 picture: {reason}")]
    H264 {
        /// What is missing, or the decoder's words.
        reason: String,
    },
    /// An uncompressed picture that does not fit its size.
    #[error("not a YUYV picture of {width} x {height} in rows of {stride} bytes: found {bytes} bytes")]
    Yuyv {
        /// How long it is.
        bytes: usize,
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes of a row.
        stride: u32,
    },
    /// Not a still picture that can be read.
    #[error("not a readable JPEG or PNG picture ({bytes} bytes): {reason}")]
    Still {
        /// How long it is.
        bytes: usize,
        /// The decoder's words.
        reason: String,
    },
}
