//! Whether two machines compute the same embeddings.
//!
//! Prints what a recognizer makes of pictures that are computed here: noise and
//! waves, no face and nobody's. On one machine `agreement MODELS RECOGNIZER > FILE`,
//! on the other `agreement MODELS RECOGNIZER --as FILE`, which fails where a number
//! differs by more than 1e-4, or is none. RECOGNIZER is a name of the manifest.

use std::path::Path;
use std::process::ExitCode;

use counterproof::frame::Frame;
use counterproof::vision::detect::Face;
use counterproof::vision::manifest::Manifest;
use counterproof::vision::{Vision, Wanted, telemetry};

/// Most that a number of an embedding of unit length may differ.
const MOST: f32 = 1e-4;
const PICTURES: u32 = 8;
const SIDE: u32 = 256;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.as_slice() {
        [models, recognizer] => {
            embeddings(models, recognizer).map(|all| all.iter().for_each(|e| println!("{}", text(e))))
        }
        [models, recognizer, option, file] if option == "--as" => compare(models, recognizer, file),
        _ => Err("usage: agreement MODELS.toml RECOGNIZER [--as FILE]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("agreement: {e}");
            ExitCode::FAILURE
        }
    }
}

/// One embedding for each computed picture.
fn embeddings(models: &str, recognizer: &str) -> Result<Vec<Vec<f32>>, String> {
    telemetry::switch_off().map_err(|e| e.to_string())?;
    let manifest = Manifest::read(Path::new(models)).map_err(|e| e.to_string())?;
    let wanted = Wanted { recognizer: recognizer.into(), ..Wanted::default() };
    let mut vision = Vision::load(&manifest, &wanted).map_err(|e| e.to_string())?;
    let embed = |n| {
        let frame = picture(n).map_err(|e| e.to_string())?;
        let crop = vision.align(&frame, &place());
        let (template, _) = vision.reference(&crop).map_err(|e| e.to_string())?;
        Ok(template.values().to_vec())
    };
    (0..PICTURES).map(embed).collect()
}

/// Where a face would be; the picture is turned and scaled as a face is.
fn place() -> Face {
    Face {
        score: 1.0,
        edges: [60.0, 50.0, 190.0, 210.0],
        landmarks: [[98.0, 110.0], [152.0, 104.0], [128.0, 138.0], [104.0, 168.0], [150.0, 164.0]],
    }
}

/// Waves of another length for each `n`, with noise; whole numbers alone, so that
/// every machine computes the same.
fn picture(n: u32) -> Result<Frame, counterproof::frame::FrameSizeError> {
    let mut state = n.wrapping_add(1);
    let pixel = |i: u32| {
        let (x, y) = (i % SIDE, i / SIDE);
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let wave = |v: u32, by: u32| (v * (by + n) % 256) as u8 / 2;
        let noise = (state % 32) as u8;
        [wave(x, 3) + noise, wave(y, 5) + noise, wave(x + y, 2) + noise]
    };
    Frame::from_rgb(SIDE, SIDE, (0..SIDE * SIDE).flat_map(pixel).collect())
}

fn text(embedding: &[f32]) -> String {
    embedding.iter().map(|v| format!("{v:.8}")).collect::<Vec<_>>().join(" ")
}

fn compare(models: &str, recognizer: &str, file: &str) -> Result<(), String> {
    let there = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
    let here = embeddings(models, recognizer)?;
    if there.lines().count() != here.len() {
        return Err(format!("{file}: {} embeddings instead of {}", there.lines().count(), here.len()));
    }
    let mut greatest = 0.0f32;
    let mut least_cosine = 1.0f32;
    for (line, mine) in there.lines().zip(&here) {
        let other: Vec<f32> = line
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|e| format!("{file}: {e}"))?;
        if other.len() != mine.len() {
            return Err(format!("{file}: {} numbers instead of {}", other.len(), mine.len()));
        }
        // What is not a number differs from nothing, and would pass below.
        if !mine.iter().chain(&other).all(|v| v.is_finite()) {
            return Err(format!("{file}: an embedding, there or here, with what is not a number"));
        }
        let pairs = || mine.iter().zip(&other);
        greatest = pairs().map(|(a, b)| (a - b).abs()).fold(greatest, f32::max);
        least_cosine = least_cosine.min(pairs().map(|(a, b)| a * b).sum());
    }
    println!(
        "{recognizer}: {} embeddings, greatest difference of a number {greatest:.2e}, least cosine {least_cosine:.8}",
        here.len()
    );
    if greatest <= MOST { Ok(()) } else { Err(format!("more than {MOST:e}")) }
}
