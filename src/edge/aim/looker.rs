//! What aiming sees, in numbers: one look at the newest picture for each
//! question of the page. Nobody asks, nothing is looked at.
//!
//! Faces are looked for and judged as a verification does it, and held against
//! the same limits. No embedding can be made: only the detector is loaded.
//! Places leave as shares of the picture, of a face its box alone.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::camera::CameraError;
use crate::camera::health::{NoReferenceView, ReferenceView, Thumbnail};
use crate::edge::config::Counter;
use crate::edge::glimpse::Glimpse;
use crate::edge::light::{self, Light};
use crate::frame::{Frame, Region};
use crate::vision::detect::{Face, Looking};
use crate::vision::finder::Finder;
use crate::vision::model::ModelError;
use crate::vision::quality::{Gate, Quality};

use super::mosaic::{self, Mosaic};

/// Faces that are told of; a counter with more has another trouble.
const MOST_FACES: usize = 4;
/// A camera that ended is opened again after this.
const AGAIN: Duration = Duration::from_secs(2);

/// The camera and the detector.
pub(super) struct Looker {
    finder: Finder,
    counter: Counter,
    glimpse: Option<Glimpse>,
    tried: Instant,
    trouble: Option<String>,
}

/// What the page shows.
#[derive(Debug, Serialize)]
pub(super) struct View {
    camera: Option<Camera>,
    light: Option<LightView>,
    faces: Vec<FaceView>,
    /// What is wrong with the camera, in words.
    trouble: Option<String>,
}

#[derive(Debug, Serialize)]
struct Camera {
    kind: &'static str,
    width: u32,
    height: u32,
    rate: f32,
    age_ms: u64,
}

#[derive(Debug, Serialize)]
struct LightView {
    #[serde(flatten)]
    light: Light,
    fault: Option<light::Fault>,
    measures: [Measure; 3],
}

#[derive(Debug, Serialize)]
struct FaceView {
    /// Left, top, right, bottom, as shares of the picture.
    edges: [f32; 4],
    ok: bool,
    /// What keeps it from being used, as the reasons of verdicts name it.
    flaws: Vec<&'static str>,
    measures: Vec<Measure>,
}

/// A number, what is allowed, and the ends of its bar.
#[derive(Debug, Serialize)]
struct Measure {
    name: &'static str,
    value: f32,
    least: Option<f32>,
    most: Option<f32>,
    bar: [f32; 2],
    ok: bool,
}

impl Measure {
    fn new(name: &'static str, value: f32, least: Option<f32>, most: Option<f32>, bar: [f32; 2]) -> Self {
        let ok = least.is_none_or(|l| value >= l) && most.is_none_or(|m| value <= m);
        Self { name, value: (value * 1000.0).round() / 1000.0, least, most, bar, ok }
    }
}

/// The measures that the gate for probes asks about.
fn measures(q: &Quality) -> Vec<Measure> {
    let g = Gate::PROBE;
    let least = |name, value, least: f32, end: f32| Measure::new(name, value, Some(least), None, [0.0, end]);
    let most = |name, value, most: f32, end: f32| Measure::new(name, value, None, Some(most), [0.0, end]);
    let between = |name, value, (from, to): (f32, f32), end: f32| {
        Measure::new(name, value, Some(from), Some(to), [0.0, end])
    };
    vec![
        least("inter_eye", q.inter_eye, g.inter_eye, 120.0),
        least("detection", q.detection, g.detection, 1.0),
        most("yaw", q.yaw, g.yaw, 1.0),
        between("pitch", q.pitch, g.pitch, 1.2),
        most("roll", q.roll, g.roll, 90.0),
        least("sharpness", q.sharpness, g.sharpness, 200.0),
        between("brightness", q.brightness, g.brightness, 255.0),
        least("contrast", q.contrast, g.contrast, 80.0),
        least("inside", q.inside, g.inside, 1.0),
    ]
}

fn lit(frame: &Frame, region: &Region) -> LightView {
    let l = Light::of(frame, region);
    let measures = [
        Measure::new("light_mean", l.mean, Some(light::MEAN.0), Some(light::MEAN.1), [0.0, 255.0]),
        Measure::new("light_dark", l.dark, None, Some(light::MOST_DARK), [0.0, 1.0]),
        Measure::new("light_bright", l.bright, None, Some(light::MOST_BRIGHT), [0.0, 1.0]),
    ];
    LightView { light: l, fault: l.fault(), measures }
}

fn seen(frame: &Frame, region: &Region, face: &Face) -> FaceView {
    let quality = Finder::judge(frame, region, face);
    let flaws: Vec<_> = quality.flaws(&Gate::PROBE).iter().map(|f| f.reason().as_str()).collect();
    let (w, h) = (frame.width() as f32, frame.height() as f32);
    let [x0, y0, x1, y1] = face.edges;
    let edges = [x0 / w, y0 / h, x1 / w, y1 / h].map(|v| (v * 1000.0).round() / 1000.0);
    FaceView { edges, ok: flaws.is_empty(), flaws, measures: measures(&quality) }
}

impl Looker {
    /// Opens the counter's camera.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(super) fn open(finder: Finder, counter: Counter) -> Result<Self, CameraError> {
        let glimpse = Some(Glimpse::open(&counter)?);
        Ok(Self { finder, counter, glimpse, tried: Instant::now(), trouble: None })
    }

    /// Looks at the newest picture, in the region.
    ///
    /// # Errors
    /// If the detector fails.
    pub(super) fn view(&mut self, region: &Region) -> Result<View, ModelError> {
        let frame = self.frame();
        let trouble = self.trouble.clone();
        let Some(frame) = frame else {
            return Ok(View { camera: None, light: None, faces: Vec::new(), trouble });
        };
        let received = self.glimpse.as_ref().map(Glimpse::received);
        let camera = Camera {
            kind: self.counter.camera.kind(),
            width: frame.width(),
            height: frame.height(),
            rate: received.as_ref().and_then(|r| r.rate).map_or(0.0, |r| (r * 10.0).round() / 10.0),
            age_ms: received.and_then(|r| r.age).map_or(0, |a| a.as_millis() as u64),
        };
        let found = self.finder.detect(&frame, region, Looking::COUNTER)?;
        let faces = found.iter().take(MOST_FACES).map(|f| seen(&frame, region, f)).collect();
        Ok(View { camera: Some(camera), light: Some(lit(&frame, region)), faces, trouble })
    }

    /// The newest picture as blocks; `None` if there is none.
    ///
    /// # Errors
    /// If the detector fails: then nothing is shown.
    pub(super) fn picture(&mut self) -> Result<Option<Mosaic>, ModelError> {
        let Some(frame) = self.frame() else { return Ok(None) };
        let mut faces = Vec::new();
        for how in mosaic::LOOKING {
            faces.extend(self.finder.detect(&frame, &Region::WHOLE, how)?);
        }
        Ok(Some(Mosaic::of(&frame, &faces)))
    }

    /// The view as it is now, to come back to: edges, no picture. `None` if there
    /// is no picture.
    ///
    /// # Errors
    /// If it is black, covered or out of focus.
    pub(super) fn reference(&mut self) -> Option<Result<ReferenceView, NoReferenceView>> {
        self.frame().map(|frame| ReferenceView::of(&Thumbnail::of(&frame)))
    }

    /// Makes the detector forget what it saw.
    ///
    /// # Errors
    /// If it fails.
    pub(super) fn forget(mut self) -> Result<(), ModelError> {
        self.glimpse = None;
        self.finder.overwrite()
    }

    fn frame(&mut self) -> Option<Frame> {
        if let Some(why) = self.glimpse.as_ref().and_then(Glimpse::ended) {
            (self.glimpse, self.tried, self.trouble) = (None, Instant::now(), Some(why));
        }
        if self.glimpse.is_none() && self.tried.elapsed() >= AGAIN {
            self.tried = Instant::now();
            match Glimpse::open(&self.counter) {
                Ok(glimpse) => self.glimpse = Some(glimpse),
                Err(e) => self.trouble = Some(e.to_string()),
            }
        }
        match self.glimpse.as_ref()?.picture()? {
            Ok(frame) => {
                self.trouble = None;
                Some(frame)
            }
            Err(e) => {
                self.trouble = Some(e.to_string());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_ask_what_the_gate_asks() {
        // Each flaw of the gate is a bar that is not ok, and the other way round.
        let good = Quality::GOOD;
        let bad = [
            Quality { inter_eye: 19.0, ..good },
            Quality { detection: 0.7, ..good },
            Quality { yaw: 0.5, ..good },
            Quality { pitch: 0.05, ..good },
            Quality { roll: 50.0, ..good },
            Quality { sharpness: 11.0, ..good },
            Quality { brightness: 30.0, ..good },
            Quality { brightness: 240.0, ..good },
            Quality { contrast: 10.0, ..good },
            Quality { inside: 0.8, ..good },
        ];
        assert!(measures(&good).iter().all(|m| m.ok) && good.flaws(&Gate::PROBE).is_empty());
        for q in bad {
            assert_eq!(q.flaws(&Gate::PROBE).len(), 1, "{q:?}");
            assert_eq!(measures(&q).iter().filter(|m| !m.ok).count(), 1, "{q:?}");
        }
    }
}
