//! One target for each thing that the programs read: it hands bytes to the
//! project's own public function and holds it to its word. `make fuzz` runs
//! them under libFuzzer; `cargo test` replays what that found
//! (`tests/it/corpus.rs` includes this file).
//!
//! What every target asks:
//! - any bytes are read or refused: no panic, no overflow, no endless loop;
//! - what was read can be written, and is the same when it is read again;
//! - a refusal says why, in not much more text than it was given.
//!
//! What one asks beyond that is said at its function. A target that takes
//! several small formats chooses by its first byte.

mod audit;
mod bundle;
mod crypto;
mod dialects;
mod lists;
mod pictures;
mod protocol;
pub mod seeds;
mod settings;

use std::fmt::Display;
use std::path::Path;

/// One target.
pub struct Target {
    /// Its name, and that of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Longest input that is worth trying, in bytes.
    pub longest: usize,
    /// Reads the bytes; `true` if they were accepted.
    pub run: fn(&[u8]) -> bool,
    /// Inputs to begin with, made by code.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target there is.
pub const ALL: &[Target] = &[
    Target { name: "settlement", longest: 2048, run: protocol::settlement, seeds: seeds::settlement },
    Target { name: "event", longest: 4200, run: protocol::event, seeds: seeds::event },
    Target { name: "answers", longest: 4096, run: protocol::answers, seeds: seeds::answers },
    Target { name: "bundle", longest: 16384, run: bundle::file, seeds: seeds::bundle },
    Target { name: "names", longest: 512, run: protocol::names, seeds: seeds::names },
    Target { name: "marks", longest: 1024, run: protocol::marks, seeds: seeds::marks },
    Target { name: "seal", longest: 512, run: crypto::seal, seeds: seeds::seal },
    Target { name: "keys", longest: 4096, run: crypto::keys, seeds: seeds::keys },
    Target { name: "agent_config", longest: 2048, run: settings::agent, seeds: seeds::agent_config },
    Target { name: "settings", longest: 8192, run: settings::others, seeds: seeds::settings },
    Target { name: "audit", longest: 8192, run: audit::folder, seeds: seeds::audit },
    Target { name: "picture", longest: 8192, run: pictures::picture, seeds: seeds::picture },
    Target { name: "mjpeg", longest: 4096, run: pictures::mjpeg, seeds: seeds::mjpeg },
    Target { name: "onnx", longest: 8192, run: pictures::onnx, seeds: seeds::onnx },
    Target { name: "lists", longest: 2048, run: lists::lists, seeds: seeds::lists },
    Target { name: "nhsa", longest: 4096, run: dialects::nhsa, seeds: seeds::nhsa },
    Target { name: "fhir", longest: 4096, run: dialects::fhir, seeds: seeds::fhir },
    Target { name: "hl7", longest: 4096, run: dialects::hl7, seeds: seeds::hl7 },
    Target { name: "mllp", longest: 4096, run: dialects::mllp, seeds: seeds::mllp },
];

/// The target of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|t| t.name == name)
}

/// A refusal must say something, and not echo without bound: it goes into logs
/// and answers. `given` is how many bytes were refused.
fn refused(why: impl Display, given: usize) -> bool {
    let text = why.to_string();
    assert!(!text.trim().is_empty(), "refused without a word");
    let most = 4096 + 8 * given;
    assert!(text.len() <= most, "{given} bytes were refused with {} bytes of text", text.len());
    false
}

/// The first byte as a choice of `n`, and what follows.
fn choose(data: &[u8], n: u8) -> Option<(u8, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((first % n, rest))
}

/// A folder that is made once for each thread; what a target writes into it is
/// replaced by the next input. The caller of the program chooses its place
/// (`TMPDIR`) and clears it: libFuzzer ends without unwinding.
fn with_folder<T>(work: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().unwrap();
    }
    FOLDER.with(|dir| work(dir.path()))
}
