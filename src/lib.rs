//! counterproof checks at a settlement window, locally and one to one, that
//! the person there is the cardholder or a declared proxy. Only a confident
//! mismatch leaves the box, as a small signed alert without a picture.
//!
//! The house, from the ground up; each storey imports only those below it:
//! `clock, crypto, frame, heart, log, settings, shares, shutters, svg` /
//! `protocol, http` / `privacy, commissioning` /
//! `camera, vision` / `verify` / `edge, bureau, bench` / the two programs.

pub mod bench;
pub mod bureau;
pub mod camera;
pub mod clock;
pub mod commissioning;
pub mod crypto;
pub mod edge;
pub mod frame;
pub mod heart;
pub mod http;
pub mod log;
pub mod privacy;
pub mod protocol;
pub mod settings;
pub mod shares;
pub mod shutters;
pub mod svg;
pub mod verify;
pub mod vision;
