//! From a stream to samples, and from the samples that are wanted to frames.

pub mod decode;
pub mod replay;
pub mod ring;
