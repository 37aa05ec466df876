//! What preparation makes of the real models computes what their files compute.

use std::collections::BTreeMap;
use std::path::Path;

use counterproof::camera::decode;
use counterproof::vision::manifest::{Manifest, Model, Role, Step};
use counterproof::vision::model::Loaded;
use counterproof::vision::prepare::prepare;
use counterproof::vision::{Vision, Wanted};

/// Most that a number of an embedding of unit length may differ, and one of the
/// detector's outputs (logits, cells): rounding, with room for other processors.
const EMBEDDING: f32 = 5e-6;
const DETECTION: f32 = 1e-5;

const PORTRAITS: [&str; 4] = ["portrait-a", "portrait-b1", "portrait-b2", "portrait-b3"];

fn manifest() -> Manifest {
    Manifest::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/models.toml")).unwrap()
}

fn loaded(manifest: &Manifest, model: &Model, steps: &[Step]) -> Loaded {
    let graph = prepare(&manifest.bytes(&model.file).unwrap(), steps).unwrap();
    Loaded::from_graph(manifest, &model.id, &graph, model.optimisation).unwrap()
}

/// Planes of noise, of a slope, and of blocks of two greys, 0 to 255.
fn drawn(height: usize, width: usize) -> Vec<Vec<f32>> {
    let pixels = || (0..3 * height * width).map(|i| (i / width % height, i % width));
    let mut state = 0x9e37_79b9_u32;
    let noise = pixels().map(|_| {
        // xorshift32: any noise that is the same each time.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as f32
    });
    let slope = pixels().map(|(y, x)| (x * 255 / width + y) as f32 % 256.0);
    let blocks = pixels().map(|(y, x)| if (x / 16 + y / 16) % 2 == 0 { 90.0 } else { 170.0 });
    vec![noise.collect(), slope.collect(), blocks.collect()]
}

/// Aligned faces of the sample portraits as R, G, B planes.
fn faces(manifest: &Manifest) -> Vec<Vec<f32>> {
    let mut vision = Vision::load(manifest, &Wanted::default()).unwrap();
    let one = |id: &&str| {
        let frame = decode::still(&manifest.sample(id).unwrap()).unwrap();
        let face = vision.find_in_still(&frame).unwrap()[0];
        let crop = vision.align(&frame, &face);
        (0..3)
            .flat_map(|c| crop.rgb().iter().skip(c).step_by(3).map(|v| f32::from(*v)).collect::<Vec<_>>())
            .collect()
    };
    PORTRAITS.iter().map(one).collect()
}

fn embedding(model: &mut Loaded, input: &[f32]) -> Vec<f32> {
    let out = model.run(input, 112, 112).unwrap();
    let raw = out.get("fc1", 128).unwrap();
    let length = raw.iter().map(|v| v * v).sum::<f32>().sqrt();
    raw.iter().map(|v| v / length).collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_prepared_recognizer_gives_the_embeddings_of_its_file() {
    let manifest = manifest();
    let model = manifest.model("sface-2021dec", Role::Recognizer).unwrap();
    let mut original = loaded(&manifest, model, &[]);
    let others = [model.prepare.clone(), vec![Step::DropWeightInputs, Step::SplitPrelu]];
    let inputs = [faces(&manifest), drawn(112, 112)].concat();
    for steps in others {
        let mut prepared = loaded(&manifest, model, &steps);
        for input in &inputs {
            let d = largest_difference(&embedding(&mut original, input), &embedding(&mut prepared, input));
            println!("{steps:?}: {d:.1e}");
            assert!(d <= EMBEDDING, "{steps:?}: {d}");
        }
    }
}

#[test]
fn a_prepared_detector_finds_what_its_file_finds() {
    let manifest = manifest();
    let model = manifest.model("yunet-2023mar", Role::Detector).unwrap();
    // The file itself runs at one size only.
    let mut original = loaded(&manifest, model, &[Step::FreeSize]);
    let mut prepared = loaded(&manifest, model, &model.prepare);
    let outputs = |model: &mut Loaded, input: &[f32], (height, width): (usize, usize)| {
        let out = model.run(input, height, width).unwrap();
        let mut all = BTreeMap::new();
        for stride in [8, 16, 32] {
            for (name, numbers) in [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)] {
                let cells = height / stride * (width / stride);
                let name = format!("{name}_{stride}");
                all.insert(name.clone(), out.get(&name, numbers * cells).unwrap().to_vec());
            }
        }
        all
    };
    let portrait = decode::still(&manifest.sample("portrait-a").unwrap()).unwrap();
    let (w, h) = (portrait.width() as usize, portrait.height() as usize);
    for size in [(256, 320), (480, 640), (32, 96)] {
        let (height, width) = size;
        // The portrait at that size, nearest pixels, B, G, R.
        let planes = (0..3 * height * width).map(|i| {
            let (c, y, x) = (i / width / height, i / width % height, i % width);
            f32::from(portrait.rgb()[(y * h / height * w + x * w / width) * 3 + 2 - c])
        });
        for input in [drawn(height, width), vec![planes.collect()]].concat() {
            let (theirs, ours) = (outputs(&mut original, &input, size), outputs(&mut prepared, &input, size));
            for (name, values) in theirs {
                let d = largest_difference(&values, &ours[&name]);
                assert!(d <= DETECTION, "{name} at {size:?}: {d}");
            }
        }
    }
}

#[test]
fn eight_bits_change_an_embedding_little_and_its_identity() {
    let manifest = manifest();
    let whole = manifest.model("sface-2021dec", Role::Recognizer).unwrap();
    let short = manifest.model("sface-2021dec-w8", Role::Recognizer).unwrap();
    let mut original = loaded(&manifest, whole, &[]);
    let mut prepared = loaded(&manifest, short, &short.prepare);
    for face in faces(&manifest) {
        let (a, b) = (embedding(&mut original, &face), embedding(&mut prepared, &face));
        let cosine: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
        println!("cosine {cosine:.6}, {:.1e}", largest_difference(&a, &b));
        assert!(cosine >= 0.9999, "{cosine}");
    }
    // The bytes of its 128 x 50176 weights are a quarter.
    let size = |m: &Model| prepare(&manifest.bytes(&m.file).unwrap(), &m.prepare).unwrap().len();
    assert!(size(whole) - size(short) > 128 * 50176 * 29 / 10, "{} and {}", size(whole), size(short));

    let identity = |id: &str| {
        let wanted = Wanted { recognizer: id.into(), ..Wanted::default() };
        Vision::load(&manifest, &wanted).unwrap().recognizer()
    };
    let (whole, short) = (identity("sface-2021dec"), identity("sface-2021dec-w8"));
    assert_eq!(whole.preprocessing, 257, "references that were made before stay good");
    assert_eq!(whole.sha256, short.sha256);
    assert_ne!(whole.preprocessing, short.preprocessing);
}

#[test]
fn a_step_refuses_a_model_that_it_does_not_fit() {
    let manifest = manifest();
    let bytes = |id, role| manifest.bytes(&manifest.model(id, role).unwrap().file).unwrap();
    let (yunet, sface) = (bytes("yunet-2023mar", Role::Detector), bytes("sface-2021dec", Role::Recognizer));
    let refused = |model: &[u8], steps: &[Step], word: &str| {
        let text = prepare(model, steps).unwrap_err().to_string();
        assert!(text.contains(word), "{steps:?}: {text}");
    };
    refused(&yunet, &[Step::FoldPrelu], "PRelu");
    refused(&yunet, &[Step::EightBitHead], "Gemm");
    refused(&sface, &[Step::MergeHeads], "YuNet");
    for step in [Step::FoldPrelu, Step::EightBitHead] {
        refused(&sface, &[step, step], "");
    }
    refused(&yunet, &[Step::MergeHeads, Step::MergeHeads], "YuNet");
}
