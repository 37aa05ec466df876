//! Our embeddings and those of OpenCV's own face pipeline are the same, as far
//! as arithmetic allows: a slip in detection, alignment or channel order would
//! lower every score a little and be seen nowhere else.

use std::collections::BTreeMap;
use std::path::Path;

use counterproof::camera::decode;
use counterproof::frame::{Frame, FrameSizeError};
use counterproof::protocol::reference::Template;
use counterproof::vision::manifest::Manifest;
use counterproof::vision::{Vision, Wanted};

/// Made by `tests/data/opencv_vectors.py`.
#[derive(serde::Deserialize)]
struct Stored {
    vectors: BTreeMap<String, Vec<f32>>,
}

/// The longer side brought to at most 640 pixels by averaging whole blocks, as
/// the script does, so that no resizing filter is compared.
fn reduced(frame: &Frame) -> Result<Frame, FrameSizeError> {
    let (w, h) = (frame.width() as usize, frame.height() as usize);
    let block = w.max(h).div_ceil(640);
    let (small_w, small_h) = (w / block, h / block);
    let mean = |i: usize| {
        let (x, y, c) = (i / 3 % small_w * block, i / 3 / small_w * block, i % 3);
        let inside = (0..block * block).map(|k| ((y + k / block) * w + x + k % block) * 3 + c);
        let sum: usize = inside.map(|at| usize::from(frame.rgb()[at])).sum();
        ((sum + block * block / 2) / (block * block)) as u8
    };
    let rgb = (0..small_w * small_h * 3).map(mean).collect();
    Frame::from_rgb(small_w as u32, small_h as u32, rgb)
}

#[test]
fn embeddings_agree_with_opencv() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let stored: Stored = serde_json::from_str(include_str!("../data/opencv_vectors.json")).unwrap();
    let manifest = Manifest::read(&root.join("models/models.toml")).unwrap();
    let mut vision = Vision::load(&manifest, &Wanted::default()).unwrap();
    let transform = counterproof::bench::transform();
    let mut cosines: Vec<f32> = stored
        .vectors
        .into_iter()
        .map(|(id, vector)| {
            let frame = reduced(&decode::still(&manifest.sample(&id).unwrap()).unwrap()).unwrap();
            let face = vision.find_in_still(&frame).unwrap()[0];
            let crop = vision.align(&frame, &face);
            let probe = vision.embed(&crop).unwrap();
            let theirs = Template::from_raw(vector).unwrap().protect(&transform).unwrap();
            let cosine = probe.protect(&transform).unwrap().compare(&theirs).unwrap();
            println!("{id}: {cosine:.4}");
            cosine
        })
        .collect();
    cosines.sort_by(f32::total_cmp);
    assert_eq!(cosines.len(), 4);
    let median = f32::midpoint(cosines[1], cosines[2]);
    assert!(median >= 0.99, "median {median}: {cosines:?}");
    assert!(cosines[0] >= 0.99, "{cosines:?}");
}
