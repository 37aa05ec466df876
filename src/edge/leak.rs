//! Deliberate leaks, to show that the canary finds each (`make canary LEAK=1`).
//!
//! Compiled with the feature `leak` alone, which no program that is used has;
//! a test looks for this module's traces in the ordinary one. `COUNTERPROOF_LEAK`
//! names what leaks where, as `SINK:WHAT,SINK:WHAT`. Sinks: `wire`, `alert`,
//! `posture`, `sealed`, `log`, `audit`, `metrics`, `file`, `his`, `memory`. What:
//! `jpeg`, `pixels`, `crop`, `probe-f32`, `probe-f16`, `probe-i8`,
//! `probe-base64`, `probe-hex`, `probe-decimal`. Bytes in a sink of text are
//! written as base64.
//!
//! Nothing leaks before the first picture with a face was looked at; its
//! picture and probe then leak until the process ends.

use std::sync::{Mutex, OnceLock, PoisonError};

use axum::http::HeaderValue;
use axum::response::Response;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::json;
use tracing::debug;

use crate::camera::pictures;
use crate::privacy::age::Moment;
use crate::privacy::audit::Kind;
use crate::protocol::id::VerificationId;
use crate::vision::Vision;

use super::store::{Store, StoreError};
use super::workers::Job;

const HEADER: &str = "x-leak";

/// What one look at the counter would give away.
struct Seen {
    jpeg: Vec<u8>,
    pixels: Vec<u8>,
    crop: Vec<u8>,
    probe: Vec<f32>,
}

static SEEN: Mutex<Option<Seen>> = Mutex::new(None);

fn wanted() -> &'static [(String, String)] {
    static WANTED: OnceLock<Vec<(String, String)>> = OnceLock::new();
    WANTED.get_or_init(|| {
        let text = std::env::var("COUNTERPROOF_LEAK").unwrap_or_default();
        let pairs = text.split(',').filter_map(|pair| pair.split_once(':'));
        pairs.map(|(sink, what)| (sink.to_owned(), what.to_owned())).collect()
    })
}

impl Seen {
    /// The first picture of the job with a face; the same steps as a session's.
    fn at(vision: &mut Vision, job: &Job) -> Option<Self> {
        job.clip.samples().iter().find_map(|sample| {
            let frame = pictures::alone(sample).ok()?;
            let face = *vision.detect(&frame, &job.rules.region, job.rules.looking).ok()?.first()?;
            let crop = vision.align(&frame, &face);
            let probe = vision.embed(&crop).ok()?;
            Some(Self {
                jpeg: sample.bytes().to_vec(),
                pixels: frame.rgb().to_vec(),
                crop: crop.rgb().to_vec(),
                probe: probe.exposed().to_vec(),
            })
        })
    }

    fn as_bytes(&self, what: &str) -> Vec<u8> {
        let floats = || self.probe.iter().flat_map(|v| v.to_le_bytes());
        match what {
            "jpeg" => self.jpeg.clone(),
            "pixels" => self.pixels.clone(),
            "crop" => self.crop.clone(),
            "probe-f32" => floats().collect(),
            "probe-f16" => self.probe.iter().flat_map(|v| half(*v).to_le_bytes()).collect(),
            "probe-i8" => self.probe.iter().map(|v| (v * 127.0).round() as i8 as u8).collect(),
            "probe-base64" => BASE64.encode(floats().collect::<Vec<_>>()).into_bytes(),
            "probe-hex" => floats().map(|b| format!("{b:02x}")).collect::<String>().into_bytes(),
            "probe-decimal" => {
                self.probe.iter().map(ToString::to_string).collect::<Vec<_>>().join(",").into_bytes()
            }
            other => format!("no such form: {other}").into_bytes(),
        }
    }

    fn as_text(&self, what: &str) -> String {
        let bytes = self.as_bytes(what);
        match what {
            "probe-base64" | "probe-hex" | "probe-decimal" => String::from_utf8_lossy(&bytes).into_owned(),
            _ => BASE64.encode(bytes),
        }
    }
}

/// IEEE 754 half precision of a value under 1, cut off.
fn half(v: f32) -> u16 {
    let bits = v.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let exponent = (bits >> 23 & 0xff) as i32 - 112;
    let mantissa = (bits & 0x7f_ffff) | 0x80_0000;
    match exponent {
        1.. => sign | (exponent as u16) << 10 | (mantissa >> 13) as u16 & 0x3ff,
        -10..1 => sign | (mantissa >> (14 - exponent)) as u16,
        _ => sign,
    }
}

fn leaks<T>(sink: &str, form: impl Fn(&Seen, &str) -> T) -> Vec<T> {
    let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(seen) = seen.as_ref() else { return Vec::new() };
    wanted().iter().filter(|(s, _)| s == sink).map(|(_, what)| form(seen, what)).collect()
}

fn texts(sink: &str) -> Vec<String> {
    leaks(sink, Seen::as_text)
}

/// Keeps what a job's pictures show, in memory; leaks it to log, file and metrics.
pub(super) fn look(vision: &mut Vision, job: &Job) {
    if wanted().is_empty() {
        return;
    }
    {
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_none() {
            *seen = Seen::at(vision, job);
        }
    }
    for leak in texts("log") {
        debug!(leak, "leaked");
    }
    for (i, bytes) in leaks("file", Seen::as_bytes).into_iter().enumerate() {
        let path = std::env::temp_dir().join(format!("leak-{i}"));
        let _ = std::fs::write(&path, bytes).and_then(|()| std::fs::remove_file(&path));
    }
    for values in leaks("metrics", |seen, _| seen.probe.clone()) {
        for (i, v) in values.into_iter().enumerate() {
            metrics::gauge!("counterproof_leak", "i" => format!("{i:03}")).set(f64::from(v));
        }
    }
}

/// Into a sealed row, and into the audit log.
pub(super) fn into_store(store: &mut Store, now: Moment) -> Result<(), StoreError> {
    for (i, bytes) in leaks("sealed", Seen::as_bytes).into_iter().enumerate() {
        let id = VerificationId::new();
        let sealed = store.seal(&super::journal::payload_label(id), &bytes, now.age)?;
        let row = rusqlite::params![format!("leak-{i}"), id.to_string(), sealed, now.age.as_millis()];
        store.connection.execute(
            "INSERT OR IGNORE INTO settlements (id_hash, verification, state, payload, updated_at)
             VALUES (?1, ?2, 'done', ?3, ?4)",
            row,
        )?;
    }
    for leak in texts("audit") {
        store.record(now.wall, Kind::Started, &json!({ "leak": leak }))?;
    }
    Ok(())
}

/// Onto a request to the bureau.
pub(super) fn onto_request(sink: &str, mut request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    for leak in texts(sink) {
        request = request.header(HEADER, leak);
    }
    request
}

/// To the bureau, as requests of their own.
pub(super) async fn to_bureau(client: &reqwest::Client, url: &str) {
    for leak in leaks("wire", Seen::as_bytes) {
        let _ = client.post(format!("{url}/v1/leak")).body(leak).send().await;
    }
}

/// Into an answer to the HIS.
pub(super) async fn onto_answer(mut answer: Response) -> Response {
    for leak in texts("his") {
        if let Ok(value) = HeaderValue::from_str(&leak) {
            answer.headers_mut().append(HEADER, value);
        }
    }
    answer
}
