//! Inputs to begin with. Code makes them, from the project's own types and
//! examples, so that they follow a change of format; no picture is of a person.

use counterproof::bench::messages;
use counterproof::clock::WallTime;
use counterproof::crypto::Sha256;
use counterproof::crypto::transform::TransformKey;
use counterproof::protocol::commission::{
    Arm, Commission, Format, Mode, Order, ShadowReason, Standing, Word,
};
use counterproof::protocol::countersign::{Countersigned, PostureAnswer};
use counterproof::protocol::figures::Figures;
use counterproof::protocol::id::Epoch;
use counterproof::protocol::join::JoinCode;
use counterproof::protocol::policy::PolicyDocument;
use counterproof::protocol::posture::{AuditHead, CameraState, Posture};
use counterproof::protocol::reference::{ReferenceSet, Template};
use counterproof::protocol::transform::TransformGrant;
use counterproof::protocol::verdict::Outcome;
use serde_json::{Value, json};

use super::audit::EPOCH;
use super::crypto::{pkcs8, seal_key, signing_key};

const AGENT: &str = include_str!("../../../config/counterproof.example.toml");
const BUREAU: &str = include_str!("../../../config/bureau.example.toml");
const CALIBRATION: &str = include_str!("../../../config/calibrations/sface-2021dec.toml");
const MODELS: &str = include_str!("../../../models/models.toml");
const NOW: i64 = 1_795_000_000_000;
/// What made the seeds' references.
pub const MODEL: &[u8] = b"m";
/// Its preprocessing.
pub const PREPROCESSING: u32 = 257;

/// The choice of a target, and what it chooses for.
fn chosen(choice: u8, rest: impl AsRef<[u8]>) -> Vec<u8> {
    [&[choice], rest.as_ref()].concat()
}

fn digest(of: &str) -> String {
    Sha256::of(of.as_bytes()).to_string()
}

/// The contract's example, and one without what may be left out.
pub fn settlement() -> Vec<Vec<u8>> {
    let whole = json!({
        "settlement_id": "S202611220001", "counter": "w03", "cardholder": "P0001",
        "occurred_at": "2026-11-22T09:10:15+08:00", "amount_fen": 41250, "medical_type": "14",
        "proxies": ["P0002"],
    });
    let mut least = whole.clone();
    least.as_object_mut().unwrap().remove("proxies");
    [whole, least].map(|v| v.to_string().into_bytes()).to_vec()
}

fn mismatch() -> Value {
    json!({
        "hospital": "H31010000001", "counter": "w03", "cardholder": "P0001",
        "occurred_at": "2026-11-22T01:10:15Z", "clock_error_ms": 2000, "amount_fen": 41250,
        "medical_type": "14", "proxies_compared": 0,
        "comparison": {
            "model": digest("m"), "score": 0.04, "threshold": 0.25, "probes": 5, "span_ms": 3200, "faces": 1,
        },
        "quality": { "inter_eye_px": 62.0, "detection": 0.93, "yaw": 0.1, "sharpness": 210.0 },
        "settings": {
            "agent_version": "0.1.0", "policy": digest("p"), "notice": digest("n"), "calibration": digest("c"),
        },
    })
}

fn cloud_event(kind: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0", "id": EPOCH, "source": "/agents/box-1", "time": "2026-11-22T01:10:20Z",
        "subject": "S1", "datacontenttype": "application/json",
        "chain": { "epoch": EPOCH, "seq": 2, "previous": digest("e") },
        "type": format!("counterproof.alert.{kind}.v1"), "data": data,
    })
}

fn withdrawal() -> Value {
    let mut withdrawn = cloud_event("withdrawn", json!({ "alert": EPOCH, "reason": "settlement_cancelled" }));
    // No event takes itself back.
    withdrawn["id"] = "0190f0a4-0000-7000-8000-0000000000ff".into();
    withdrawn
}

/// An alert, a withdrawal, the word of an expired one, a draft.
pub fn event() -> Vec<Vec<u8>> {
    let mut expired = cloud_event("expired", json!({ "alert": EPOCH, "seq": 1, "digest": digest("e") }));
    expired.as_object_mut().unwrap().remove("subject");
    vec![
        chosen(0, cloud_event("mismatch", mismatch()).to_string()),
        chosen(0, withdrawal().to_string()),
        chosen(0, expired.to_string()),
        chosen(1, json!({ "agent": "box-1", "settlement": "S1", "data": mismatch() }).to_string()),
    ]
}

/// One of each answer.
pub fn answers() -> Vec<Vec<u8>> {
    let epoch: Epoch = EPOCH.parse().unwrap();
    let head = AuditHead { epoch, seq: 9, hash: Sha256::of(b"h") };
    let mut figures = Figures::default();
    figures.count(Outcome::Match, Some(0.7));
    let posture = Posture {
        agent: "box-1".parse().unwrap(),
        hospital: "H31010000001".parse().unwrap(),
        at: WallTime::from_millis(NOW),
        agent_version: "0.1.0".into(),
        models: [("recognizer".into(), Sha256::of(MODEL))].into(),
        policy: Sha256::of(b"p"),
        notice: Some(Sha256::of(b"n")),
        calibration: Sha256::of(b"c"),
        retention_s: [("frames_seconds".into(), 20)].into(),
        purges: Default::default(),
        arrived: Vec::new(),
        wanted: None,
        run: Some(EPOCH.parse().unwrap()),
        verdicts: [("match".into(), 7)].into(),
        counters: Default::default(),
        cameras: [("w01".parse().unwrap(), CameraState::Covered)].into(),
        outbox_waiting: 1,
        outbox_set_aside: 0,
        audit: head,
        liveness: "off".into(),
        commissioning: Some(Standing {
            mode: Mode::Shadow(ShadowReason::Drift),
            since: WallTime::from_millis(NOW),
            detail: Some("scores moved".into()),
            number: 3,
            commission: Some(Sha256::of(b"o")),
            figures: figures.clone(),
        }),
        troubles: vec!["the disk is full".into()],
    };
    let key = signing_key();
    let countersigned = Countersigned::new(posture.agent.clone(), head, WallTime::from_millis(NOW + 5), &key);
    let heads = serde_json::to_string(&countersigned).unwrap();
    let arm = Arm {
        model: Sha256::of(MODEL),
        preprocessing: PREPROCESSING,
        calibration: Sha256::of(b"c"),
        note: Some("seen".into()),
        settlements: 240,
        figures: Some(figures),
        without_figures: None,
    };
    let order = Order {
        format: Format::V1,
        agent: "box-1".parse().unwrap(),
        number: 4,
        signed_at: WallTime::from_millis(NOW),
        supervisor: "li".into(),
        order: Word::Arm(Box::new(arm)),
    };
    let answer = PostureAnswer {
        statement: countersigned.statement(),
        countersigned,
        finding: None,
        missing: vec![Sha256::of(b"p")],
        commission: Some(Commission::sign(&order, &key).unwrap()),
        handouts: Vec::new(),
        wanted: None,
        public_key: key.public(),
    };
    let transform = TransformKey::new([5; 32]);
    let template = Template::from_raw(vec![0.6, 0.8, -1.0]).unwrap();
    let mut set = ReferenceSet::new("P0001".parse().unwrap(), transform.id());
    let protected = template.protect(&transform.transform(3)).unwrap();
    assert!(set.add(Sha256::of(MODEL), PREPROCESSING, &protected));
    let policy = PolicyDocument::of(json!({ "controller": "hospital", "regions": { "w1": [0, 1000] } }));
    let held = json!({ "epoch": epoch, "seq": 7 });
    let holds = json!({
        "head": held, "greatest": held, "missing": [{ "first": 2, "last": 3 }], "truncated": false,
        "public_key": key.public(),
    });
    let problem = json!({ "status": 422, "title": "Unprocessable", "detail": "chain.seq", "field": "chain" });
    vec![
        chosen(0, serde_json::to_vec(&posture).unwrap()),
        chosen(1, serde_json::to_vec(&set).unwrap()),
        chosen(2, template.to_base64().as_bytes()),
        chosen(3, holds.to_string()),
        chosen(4, json!({ "verification_id": epoch }).to_string()),
        chosen(5, serde_json::to_vec(&answer).unwrap()),
        chosen(6, serde_json::to_vec(&TransformGrant::new(3, &transform)).unwrap()),
        chosen(7, policy.to_string()),
        chosen(8, heads + "\n"),
        chosen(9, problem.to_string()),
        chosen(10, serde_json::to_vec(&order).unwrap()),
    ]
}

/// A whole bundle, and one with its parts missing.
pub fn bundle() -> Vec<Vec<u8>> {
    let key = signing_key().public();
    let policy = json!({ "controller": "hospital", "notice": { "id": "N1", "sha256": digest("n") } });
    let mut alert = cloud_event("mismatch", mismatch());
    alert["data"]["settings"]["policy"] = digest(&policy.to_string()).into();
    let head = |at: i64| {
        json!({
            "format": "counterproof.countersigned-head.v1", "agent": "box-1",
            "audit": { "epoch": EPOCH, "seq": 7, "hash": digest("r") },
            "received_at": at, "signature": "auto",
        })
    };
    let signed = 1_795_309_820_000i64;
    let link = json!({ "epoch": EPOCH, "seq": 3, "previous": digest(&alert.to_string()) });
    let word = json!({ "bytes": withdrawal(), "signature": "auto" });
    let whole = json!({
        "format": "counterproof.bundle.v1", "algorithms": { "signature": "ed25519", "digest": "sha256" },
        "event": EPOCH, "made_at": signed + 99_000, "bureau": { "public_key": key, "earlier_keys": [] },
        "alert": { "bytes": alert, "signature": "auto" },
        "box": { "name": "box-1", "hospital": "H31010000001", "keys": [{ "public_key": key, "since": 5 }] },
        "receipt": { "received_at": signed + 5000, "signature": "auto" },
        "neighbours": {
            "before": { "digest": digest("e"), "expired": false },
            "after": { "digest": digest("f"), "link": link },
        },
        "later": [{ "event": word, "received_at": signed + 9000 }],
        "documents": [{ "kind": "policy", "bytes": policy }],
        "heads": { "before": head(signed), "after": head(signed + 60_000) },
    });
    let mut short = whole.clone();
    short
        .as_object_mut()
        .unwrap()
        .retain(|part, _| !["neighbours", "later", "heads"].contains(&part.as_str()));
    let input = |mask: u8, inner: Value| [&[1, 0x80, 3, mask], inner.to_string().as_bytes()].concat();
    vec![input(1, whole), input(0, short)]
}

/// One of each kind of name.
pub fn names() -> Vec<Vec<u8>> {
    let key = signing_key();
    vec![
        chosen(0, "S2026-11.22:0001_x"),
        chosen(1, digest("x")),
        chosen(2, key.sign(b"x").to_string()),
        chosen(3, key.public().to_base64()),
        chosen(4, EPOCH),
        chosen(5, "/agents/box-1"),
        chosen(6, pkcs8()),
        chosen(7, JoinCode::new([7; 32].into(), Sha256::of(b"c")).to_line().as_bytes()),
    ]
}

/// Marks with and without a time that was not counted yet.
pub fn marks() -> Vec<Vec<u8>> {
    let marks = |pending: Value| {
        json!({
            "age": NOW, "boot": "01010101-0101-0101-0101-010101010101", "boot_ms": 1000, "wall": NOW,
            "believed": true, "most": pending, "waiting": pending,
        })
    };
    let pending = json!({
        "up_to": NOW, "off_at": NOW, "off_believed": true, "on_at": NOW + 5000,
        "ran_ms": 1000, "before_ms": 1000, "since_ms": 1000,
    });
    let times: Vec<u8> =
        [61_000, NOW as u64 + 60_000, 90_000, NOW as u64 + 150_000, NOW as u64 + 150_000, 2000]
            .iter()
            .flat_map(|t| t.to_le_bytes())
            .collect();
    [marks(Value::Null), marks(pending)]
        .map(|m| [times.as_slice(), m.to_string().as_bytes()].concat())
        .to_vec()
}

/// A header, and texts to be sealed.
pub fn seal() -> Vec<Vec<u8>> {
    let header = [b"CPS\x01".as_slice(), &seal_key().name(), &[0; 28]].concat();
    let change = |at: u8, mask: u8| chosen(2, [&[at, mask, 3], b"P0001".as_slice()].concat());
    vec![chosen(0, &header), chosen(1, &header), change(0, 0), change(3, 1), change(30, 0x80)]
}

/// Files of keys, made as `counterproof keys` writes them, and a certificate.
pub fn keys() -> Vec<Vec<u8>> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let pem = |label: &str, bytes: &[u8]| {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(bytes))
    };
    let mut out = vec![
        chosen(0, STANDARD.encode([7; 32])),
        chosen(1, STANDARD.encode(pkcs8())),
        chosen(2, "0123456789abcdefghijklmnop\n"),
        chosen(3, pem("PRIVATE KEY", &pkcs8())),
        chosen(3, pem("CERTIFICATE", &[0x30, 3, 2, 1, 0])),
    ];
    if let Some(both) = certificate() {
        out.push(chosen(3, both));
    }
    out
}

/// A certificate of the targets' own key, with the key: of use to nobody.
fn certificate() -> Option<String> {
    let key = rcgen::KeyPair::try_from(pkcs8().as_slice()).ok()?;
    let certificate = rcgen::CertificateParams::new(vec!["box-1".into()]).ok()?.self_signed(&key).ok()?;
    Some(format!("{}{}", certificate.pem(), key.serialize_pem()))
}

/// Settings without comments: a fuzzer need not learn to write those.
fn plain(text: &str) -> String {
    let keep = |l: &&str| !l.trim_start().starts_with('#') && !l.trim().is_empty();
    text.lines()
        .filter(keep)
        .map(|l| format!("{}\n", l.split("  #").next().unwrap_or(l).trim_end()))
        .collect()
}

/// The example.
pub fn agent_config() -> Vec<Vec<u8>> {
    vec![plain(AGENT).into_bytes()]
}

/// The bureau's example, the calibration that is shipped, a short manifest.
pub fn settings() -> Vec<Vec<u8>> {
    vec![chosen(0, plain(BUREAU)), chosen(1, plain(CALIBRATION)), chosen(2, plain(MODELS))]
}

/// Logs of one file and of two, with a checkpoint, a purge and a torn end.
pub fn audit() -> Vec<Vec<u8>> {
    let record = |seq: u64, kind: &str, data: Value| {
        let at = NOW + seq as i64;
        json!({ "epoch": EPOCH, "seq": seq, "at": at, "kind": kind, "data": data, "prev": "auto" })
            .to_string()
    };
    let segment = |seq| record(seq, "segment", json!({ "public_key": "auto", "last_row": 3 }));
    let looked = json!({ "kinds": [{ "kind": "journal_hours", "limit_s": 3600, "oldest_left_s": 20 }] });
    let one = [
        "#1".into(),
        segment(1),
        record(2, "started", json!({ "retention_s": { "journal_hours": 3600 } })),
        record(3, "verdict", json!({ "verdict": "inconclusive", "reason": "no_face" })),
        record(4, "purged", json!({ "kind": "journal_hours", "deleted": 3, "oldest_s": 3601 })),
        record(5, "retention", looked),
        record(6, "checkpoint", json!({ "signature": "auto" })),
    ]
    .join("\n");
    let two = [
        one.clone(),
        "#7".into(),
        segment(7),
        record(8, "stopped", json!({})),
        record(9, "checkpoint", json!({ "signature": "auto" })),
    ]
    .join("\n");
    let late = ["#7".into(), segment(7), record(8, "clock_doubted", json!({}))].join("\n");
    let input = |at: u16, mask: u8, files: &str, end: &str| {
        let [low, high] = at.to_le_bytes();
        [&[1, low, high, mask], files.as_bytes(), end.as_bytes()].concat()
    };
    vec![
        input(0, 0, &one, "\n"),
        input(700, 1, &two, "\n"),
        input(90, 0x1b, &two, "\n{\"epoch\":"),
        input(5, 4, &late, "\n"),
        input(0, 0, "#1\n", ""),
    ]
}

/// Drawn pictures: a JPEG of a gradient, grey and coloured, and a PNG.
pub fn picture() -> Vec<Vec<u8>> {
    let rgb: Vec<u8> = (0..24 * 16 * 3).map(|i| (i % 253) as u8).collect();
    let small = image::RgbImage::from_raw(24, 16, rgb).unwrap();
    let mut out = vec![jpeg(24, 16)];
    for format in [image::ImageFormat::Jpeg, image::ImageFormat::Png] {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::DynamicImage::from(small.clone()).to_luma8().write_to(&mut bytes, format).unwrap();
        out.push(bytes.into_inner());
    }
    let mut png = std::io::Cursor::new(Vec::new());
    small.write_to(&mut png, image::ImageFormat::Png).unwrap();
    out.push(png.into_inner());
    out.push(with_orientation(&jpeg(24, 16)));
    out
}

fn jpeg(width: u16, height: u16) -> Vec<u8> {
    let rgb: Vec<u8> = (0..usize::from(width) * usize::from(height) * 3).map(|i| (i % 253) as u8).collect();
    let mut out = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, 60)
        .encode(&rgb, width.into(), height.into(), image::ExtendedColorType::Rgb8)
        .unwrap();
    out
}

/// The picture with an EXIF part that says it lies on its side.
fn with_orientation(jpeg: &[u8]) -> Vec<u8> {
    let tiff = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let length = (tiff.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, tiff, &jpeg[2..]].concat()
}

/// Two pictures with a boundary between them.
pub fn mjpeg() -> Vec<Vec<u8>> {
    let one = jpeg(8, 8);
    let short = [0xff, 0xd8, 0xff, 1, 2, 0xff, 0xd9];
    vec![
        [&short[..], b"--boundary\r\n", &short, &[0, 0xff], &short[..4]].concat(),
        [one.clone(), one].concat(),
    ]
}

/// A field of a protobuf message that is made of bytes, and one that is a number.
fn field(number: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = [body.len() as u8 & 0x7f | 0x80, (body.len() >> 7) as u8];
    [&[number << 3 | 2], &length[..], body].concat()
}

fn number(number: u8, v: u8) -> Vec<u8> {
    vec![number << 3, v & 0x7f | 0x80, v >> 7]
}

/// A weight of floats that differ.
fn floats(name: &str, dims: &[u8]) -> Vec<u8> {
    let values: usize = dims.iter().map(|d| usize::from(*d)).product();
    let raw: Vec<u8> = (1..=values).flat_map(|i| (i as f32 * 0.4).to_le_bytes()).collect();
    let dims: Vec<u8> = dims.iter().flat_map(|d| number(1, *d)).collect();
    field(5, [dims, number(2, 1), field(8, name), field(9, raw)].concat())
}

fn operator(op: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|i| field(1, i)).collect();
    field(1, [inputs, field(2, output), field(4, op), attributes.concat()].concat())
}

fn one(name: &str, v: u8) -> Vec<u8> {
    field(5, [field(1, name), number(3, v)].concat())
}

fn several(name: &str, values: &[u8]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|v| number(8, *v)).collect();
    field(5, [field(1, name), values].concat())
}

/// Small graphs that the steps of preparing fit: a PReLU, one after a normalised
/// convolution with a second convolution behind it, a last product, and YuNet's
/// heads with the same weights at each stride.
pub fn onnx() -> Vec<Vec<u8>> {
    let model = |graph: Vec<u8>| [number(1, 7), field(7, graph)].concat();
    let dim = |v: u8| field(1, number(1, v));
    let shape = field(2, [dim(1), dim(3), dim(4), dim(4)].concat());
    let value =
        |name: &str| [field(1, name), field(2, field(1, [number(1, 1), shape.clone()].concat()))].concat();
    let ends =
        [field(11, value("x")), field(11, value("slope")), field(12, value("y")), field(13, value("h"))];
    let slope = floats("slope", &[3, 1, 1]);
    let prelu = model([operator("PRelu", &["x", "slope"], "y", &[]), slope.clone(), ends.concat()].concat());
    let row = [
        operator("Conv", &["x", "w"], "c", &[one("group", 3)]),
        operator("BatchNormalization", &["c", "v", "v", "v", "v"], "n", &[]),
        operator("PRelu", &["n", "s"], "f", &[]),
        operator("Conv", &["f", "w2"], "y", &[]),
        [floats("w", &[3, 1, 3, 3]), floats("v", &[3]), floats("s", &[3, 1, 1]), floats("w2", &[2, 3, 1, 1])]
            .concat(),
        ends.concat(),
    ];
    let product = [
        operator("Gemm", &["x", "w", "v"], "y", &[one("transB", 1)]),
        floats("w", &[2, 128]),
        floats("v", &[2]),
        ends.concat(),
    ];
    let (row, product, heads) = (model(row.concat()), model(product.concat()), model(heads()));
    let choices =
        |choices: &[u8], model: &[u8]| choices.iter().map(|c| chosen(*c, model)).collect::<Vec<_>>();
    [
        choices(&[1, 2, 3, 8, 9, 10, 11], &prelu),
        choices(&[4, 7, 15], &row),
        choices(&[32, 35], &product),
        choices(&[16, 18], &heads),
    ]
    .concat()
}

fn heads() -> Vec<u8> {
    let mut graph = Vec::new();
    for (name, numbers) in [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)] {
        let [w, b, w2, shape] = ["w", "b", "d", "s"].map(|part| format!("{name}{part}"));
        graph.extend(
            [floats(&w, &[numbers, 2, 1, 1]), floats(&b, &[numbers]), floats(&w2, &[numbers, 1, 3, 3])]
                .concat(),
        );
        let cells: Vec<u8> = [1i64, -1, i64::from(numbers)].iter().flat_map(|v| v.to_le_bytes()).collect();
        graph.extend(field(5, [number(1, 3), number(2, 7), field(8, &shape), field(9, cells)].concat()));
        for stride in [8, 16, 32] {
            let output = format!("{name}_{stride}");
            let [a, c, t, r] = ["a", "c", "t", "r"].map(|part| format!("{output}{part}"));
            let last = if numbers == 1 { &r } else { &output };
            graph.extend(operator("Conv", &["x", &w, &b], &a, &[several("kernel_shape", &[1, 1])]));
            let kept = [several("kernel_shape", &[3, 3]), several("pads", &[1; 4]), one("group", numbers)];
            graph.extend(operator("Conv", &[&a, &w2, &b], &c, &kept));
            graph.extend(operator("Transpose", &[&c], &t, &[several("perm", &[0, 2, 3, 1])]));
            graph.extend(operator("Reshape", &[&t, &shape], last, &[]));
            if numbers == 1 {
                graph.extend(operator("Sigmoid", &[&r], &output, &[]));
            }
            graph.extend(field(12, field(1, &output)));
        }
    }
    graph
}

/// A list of photographs, and one of pairs.
pub fn lists() -> Vec<Vec<u8>> {
    vec![
        chosen(0, "\u{feff}cardholder,photo\r\nP0001,a, b.jpg\r\n\r\nP0002,c.png\n"),
        chosen(
            2,
            "\u{feff}month,cardholder,hospital,medical_type,settlements,amount_fen\r\n2026-10,P1,H1,11,3,41250\n",
        ),
        chosen(1, "\u{feff}left,right,same,fold\r\na.jpg,b.jpg,1,1\r\n\r\nb.jpg,c.jpg,False,-7\n"),
    ]
}

/// Well-meant messages of a dialect, as untidy as they come.
fn well_meant(reader: &str) -> Vec<Vec<u8>> {
    let made = (0..400).filter_map(|n| messages::made(reader, n)).filter(|m| m.is_valid);
    made.map(|m| m.bytes).filter(|b| b.len() <= 4096).take(12).collect()
}

/// Requests, and answers.
pub fn nhsa() -> Vec<Vec<u8>> {
    [well_meant("nhsa"), well_meant("nhsa_answers")].concat()
}

/// Claims, encounters and bundles.
pub fn fhir() -> Vec<Vec<u8>> {
    well_meant("fhir")
}

/// Charges and stays.
pub fn hl7() -> Vec<Vec<u8>> {
    well_meant("hl7")
}

/// The same in their frames.
pub fn mllp() -> Vec<Vec<u8>> {
    well_meant("mllp")
}
