//! Needles from the cameras' pictures: what the agent may have held of them.
//!
//! Each picture is looked at as a session does, by the same library on the same
//! machine, so that the numbers are the same to the last bit. Two tensors from inside the
//! recognizer are taken from the same graph with two more outputs: the one
//! before its last step (`fc1 = a * pre_fc1 + b`, number by number, so that it is
//! as good as the embedding), and the features before that.
//!
//! The box turns probes by its transform before it compares them; the turned
//! ones are looked for as well, once its transform was seen on the wire.

use std::io;
use std::path::Path;

use counterproof::camera::decode;
use counterproof::frame::{Frame, Region};
use counterproof::protocol::reference::Template;
use counterproof::vision::align::{Crop, SIDE};
use counterproof::vision::detect::{Face, Looking};
use counterproof::vision::embed::DIMENSION;
use counterproof::vision::manifest::{Manifest, Model, Role};
use counterproof::vision::model::Loaded;
use counterproof::vision::prepare::prepare;
use counterproof::vision::{Vision, Wanted};
use fast_image_resize as fir;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::needles::{Class, Needles, PROBE};

/// The tensor an affine step away from the embedding, and the one before it.
const BEFORE_LAST: &str = "pre_fc1";
const FEATURES: &str = "bn1";
/// Channels, height and width of the features.
const FEATURES_SHAPE: [usize; 3] = [1024, 7, 7];

/// The agent's models, and the recognizer with its inside turned out.
pub struct Eyes {
    vision: Vision,
    opened: Loaded,
    /// The probe of each face that was found, with its name.
    pub probes: Vec<(String, Template)>,
}

impl Eyes {
    pub fn open(models: &Path) -> io::Result<Self> {
        let manifest = Manifest::read(models).map_err(io::Error::other)?;
        let wanted = Wanted::default();
        let model = manifest.model(&wanted.recognizer, Role::Recognizer).map_err(io::Error::other)?;
        Ok(Self {
            opened: turned_out(&manifest, model)?,
            vision: Vision::load(&manifest, &wanted).map_err(io::Error::other)?,
            probes: Vec::new(),
        })
    }

    /// Adds all pictures of a folder; in how many of them there is a face.
    pub fn folder(&mut self, folder: &Path, needles: &mut Needles) -> io::Result<usize> {
        let mut files: Vec<_> =
            std::fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<io::Result<_>>()?;
        files.sort();
        let mut faces = 0;
        for file in files {
            let name = |what: &str| {
                let counter = folder.file_name().unwrap_or_default().to_string_lossy();
                format!("{what} of {counter}/{}", file.file_name().unwrap_or_default().to_string_lossy())
            };
            let bytes = std::fs::read(&file)?;
            needles.thing(name("picture")).jpeg(&bytes);
            let frame = decode::jpeg(&bytes).map_err(io::Error::other)?;
            let found = self.vision.detect(&frame, &Region::WHOLE, Looking::COUNTER);
            let found = found.map_err(io::Error::other)?;
            picture(&name("picture"), &bytes, &frame, found.first(), needles)?;
            if let Some(face) = found.first() {
                faces += 1;
                let crop = self.vision.align(&frame, face);
                self.crop(&name("face"), &crop, needles)?;
            }
        }
        Ok(faces)
    }

    /// The aligned face and everything that the recognizer makes of it.
    fn crop(&mut self, name: &str, crop: &Crop, needles: &mut Needles) -> io::Result<()> {
        let planes: Vec<f32> =
            (0..3).flat_map(|c| crop.rgb().as_chunks::<3>().0.iter().map(move |p| f32::from(p[c]))).collect();
        let row = |y: usize| y * SIDE..(y + 1) * SIDE;
        for y in [20, 52, 72, 92] {
            let bytes = &crop.rgb()[row(y).start * 3..row(y).end * 3];
            let together: Vec<f32> = bytes.iter().map(|v| f32::from(*v)).collect();
            let mut thing = needles.thing(name).row("crop", bytes);
            thing = thing.tensor(Class::Pixel, "crop-f32", &together);
            for plane in planes.chunks(SIDE * SIDE) {
                thing = thing.tensor(Class::Pixel, "crop-f32", &plane[row(y)]);
            }
        }
        let out = self.opened.run(&planes, SIDE, SIDE).map_err(io::Error::other)?;
        for tensor in ["fc1", BEFORE_LAST] {
            let values = out.get(tensor, DIMENSION).map_err(io::Error::other)?;
            needles.thing(format!("{tensor}, {name}")).embedding(Class::Probe, &PROBE, values);
        }
        // A probe is the embedding scaled to unit length.
        let raw = out.get("fc1", DIMENSION).map_err(io::Error::other)?.to_vec();
        let probe = Template::from_raw(raw).map_err(io::Error::other)?;
        needles.thing(format!("probe, {name}")).embedding(Class::Probe, &PROBE, probe.values());
        self.probes.push((name.to_owned(), probe));
        let features = out.get(FEATURES, FEATURES_SHAPE.iter().product()).map_err(io::Error::other)?;
        blocks(&format!("{FEATURES}, {name}"), features, needles);
        Ok(())
    }
}

/// Features as they lie channel by channel, and as the runtime blocks them: some
/// channels of one place side by side.
fn blocks(name: &str, features: &[f32], needles: &mut Needles) {
    let [channels, height, width] = FEATURES_SHAPE;
    let places = height * width;
    for channel in (0..channels).step_by(channels / 8) {
        let plane = &features[channel * places..][..places];
        needles.thing(name).tensor(Class::Probe, "probe-tensor", plane);
        let block: Vec<f32> = (0..8).map(|c| features[(channel + c) * places + places / 2]).collect();
        needles.thing(name).tensor(Class::Probe, "probe-tensor", &block);
    }
}

/// Rows of a decoded picture, as colours, as luma and as the detector is shown
/// them; in the middle of the face where there is one.
fn picture(
    name: &str,
    jpeg: &[u8],
    frame: &Frame,
    face: Option<&Face>,
    needles: &mut Needles,
) -> io::Result<()> {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let [left, top, right, bottom] = match face {
        Some(f) => f.edges.map(|v| v.max(0.0) as usize),
        None => [width / 3, height / 3, width * 2 / 3, height * 2 / 3],
    };
    let (right, bottom) = (right.min(width), bottom.min(height));
    let luma = luma(jpeg)?;
    let scaled = scaled(frame)?;
    for part in 1..6 {
        let y = top + (bottom - top) * part / 6;
        let colours = &frame.rgb()[(y * width + left) * 3..(y * width + right) * 3];
        let grey = luma.get(y * width + left..y * width + right).unwrap_or_default();
        // The detector looks at half the size.
        let small = &scaled[(y / 2 * (width / 2) + left / 2) * 3..(y / 2 * (width / 2) + right / 2) * 3];
        let mut thing = needles.thing(name).row("pixels", colours).row("pixels-luma", grey);
        thing = thing.row("pixels-scaled", small);
        for c in 0..3 {
            let plane: Vec<f32> = small.as_chunks::<3>().0.iter().map(|p| f32::from(p[c])).collect();
            thing = thing.tensor(Class::Pixel, "pixels-f32", &plane);
        }
    }
    Ok(())
}

/// The luma that lies in the JPEG itself, before it is made colours.
fn luma(jpeg: &[u8]) -> io::Result<Vec<u8>> {
    let options = DecoderOptions::new_fast().jpeg_set_out_colorspace(ColorSpace::Luma);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    decoder.decode().map_err(|e| io::Error::other(format!("{e:?}")))
}

/// Half the size, by the detector's way of scaling.
fn scaled(frame: &Frame) -> io::Result<Vec<u8>> {
    let (w, h) = (frame.width() / 2, frame.height() / 2);
    let mut out = vec![0; (w * h * 3) as usize];
    let source = TypedImageRef::<U8x3>::from_buffer(frame.width(), frame.height(), frame.rgb());
    let mut target = TypedImage::<U8x3>::from_buffer(w, h, &mut out).map_err(io::Error::other)?;
    let options =
        fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Bilinear));
    fir::Resizer::new()
        .resize_typed(&source.map_err(io::Error::other)?, &mut target, &options)
        .map_err(io::Error::other)?;
    Ok(out)
}

/// The prepared recognizer with its inner tensors as outputs.
fn turned_out(manifest: &Manifest, model: &Model) -> io::Result<Loaded> {
    let bytes = manifest.bytes(&model.file).map_err(io::Error::other)?;
    let graph = prepare(&bytes, &model.prepare).map_err(io::Error::other)?;
    let graph = with_outputs(&graph, &[BEFORE_LAST, FEATURES])
        .ok_or_else(|| io::Error::other("the recognizer is not an ONNX model"))?;
    Loaded::from_graph(manifest, "recognizer turned out", &graph, model.optimisation)
        .map_err(io::Error::other)
}

/// Adds outputs to the graph of an ONNX model: field 12 of field 7, each a
/// message with a name in field 1 (`onnx.proto`).
fn with_outputs(model: &[u8], names: &[&str]) -> Option<Vec<u8>> {
    const GRAPH: u64 = 7 << 3 | 2;
    const OUTPUT: u64 = 12 << 3 | 2;
    let mut added = Vec::new();
    for name in names {
        put(&mut added, OUTPUT);
        put(&mut added, name.len() as u64 + 2);
        put(&mut added, 1 << 3 | 2);
        put(&mut added, name.len() as u64);
        added.extend_from_slice(name.as_bytes());
    }
    let (mut out, mut rest) = (Vec::new(), model);
    while !rest.is_empty() {
        let (tag, after) = varint(rest)?;
        put(&mut out, tag);
        let (value, after) = varint(after)?;
        rest = after;
        let body = match tag & 7 {
            0 => &[][..],
            2 => after.get(..value as usize)?,
            _ => return None,
        };
        rest = &rest[body.len()..];
        let added = if tag == GRAPH { &added[..] } else { &[] };
        put(&mut out, value + added.len() as u64);
        out.extend_from_slice(body);
        out.extend_from_slice(added);
    }
    Some(out)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().take(10).position(|b| b & 0x80 == 0)?;
    let value = bytes[..=end].iter().rev().fold(0, |v, b| v << 7 | u64::from(b & 0x7f));
    Some((value, &bytes[end + 1..]))
}

fn put(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}
