//! Each camera for two seconds, all of them at once: what it really sends, and
//! how the counter's region is lit. No face is looked for.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use crate::edge::config::{Config, Counter};
use crate::edge::glimpse::{self, Glimpse};
use crate::edge::light::{Fault, Light};
use crate::frame::Frame;

use super::{Level, Line};

/// How long a camera is watched, from its first picture.
const WATCH: Duration = Duration::from_secs(2);
/// A camera that has shown no whole picture by then, and by the time between two
/// that can be decoded alone, has failed.
const MOST: Duration = Duration::from_secs(8);
/// A driver that hangs is waited for so long; a network camera alone may take
/// ten seconds to say what it sends.
const HANGS: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(50);
/// Smallest width in pixels and rate that leave enough of a face.
const LEAST_WIDTH: u32 = 640;
const LEAST_RATE: f32 = 5.0;

/// Looks at all cameras, two lines for each.
pub(super) fn look(config: &Arc<Config>) -> Vec<Line> {
    let waiting: Vec<_> =
        config.counters.iter().map(|c| (c.id.to_string(), begin(config, c.clone()))).collect();
    let until = Instant::now() + HANGS;
    let mut lines = Vec::new();
    for (id, found) in waiting {
        let Seen { camera, light } = match found.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            Ok(seen) => seen,
            Err(_) => Seen::failed(format!(
                "no answer within {} s: its driver or network hangs; unplug it and plug it in again, or look at its address",
                HANGS.as_secs()
            )),
        };
        lines.push(Line { what: format!("camera of {id}"), level: camera.0, found: camera.1 });
        if let Some((level, found)) = light {
            lines.push(Line { what: format!("light at {id}"), level, found });
        }
    }
    lines
}

struct Seen {
    camera: (Level, String),
    light: Option<(Level, String)>,
}

impl Seen {
    fn failed(why: impl Into<String>) -> Self {
        Self { camera: (Level::Failure, why.into()), light: None }
    }

    /// Of a camera that did not open or ended. Nothing is wrong with one that
    /// the agent has.
    fn ended(config: &Config, why: &str) -> Self {
        match glimpse::held_by_agent(config, why) {
            Some(advice) => Self { camera: (Level::Warning, format!("{why}{advice}")), light: None },
            None => Self::failed(why),
        }
    }
}

fn begin(config: &Arc<Config>, counter: Counter) -> Receiver<Seen> {
    let (tell, told) = mpsc::channel();
    let config = Arc::clone(config);
    // Whoever cannot have a thread drops `tell`, and is reported as hanging.
    let _ = std::thread::Builder::new().name(format!("check-{}", counter.id)).spawn(move || {
        let _ = tell.send(watch(&config, &counter));
    });
    told
}

fn watch(config: &Config, counter: &Counter) -> Seen {
    let glimpse = match Glimpse::open(counter) {
        Ok(g) => g,
        Err(e) => return Seen::ended(config, &e.to_string()),
    };
    let begun = Instant::now();
    let mut first: Option<Instant> = None;
    let mut picture = None;
    let most = MOST + counter.camera.group();
    while begun.elapsed() < most {
        std::thread::sleep(STEP);
        if glimpse.received().held > 0 {
            first.get_or_insert_with(Instant::now);
        }
        if first.is_some_and(|f| f.elapsed() >= WATCH) {
            picture = glimpse.picture();
        }
        if matches!(picture, Some(Ok(_))) {
            break;
        }
        if let Some(why) = glimpse.ended() {
            return Seen::ended(config, &why);
        }
    }
    let rate = glimpse.received().rate.unwrap_or(0.0);
    match picture {
        None => Seen::failed(format!(
            "no picture in {} s: is it switched on, and is another program using it?",
            most.as_secs()
        )),
        Some(Err(e)) => Seen::failed(format!(
            "{e}: none of its pictures can be read; set the camera to MJPEG or H.264, and look at its cable"
        )),
        Some(Ok(frame)) => Seen { camera: sends(counter, &frame, rate), light: Some(lit(counter, &frame)) },
    }
}

fn sends(counter: &Counter, frame: &Frame, rate: f32) -> (Level, String) {
    let (kind, w, h) = (counter.camera.kind(), frame.width(), frame.height());
    let found = format!("{kind}, {w}x{h} at {rate:.1}/s");
    if w < LEAST_WIDTH || rate < LEAST_RATE {
        let asked = format!(
            "allowed: at least {LEAST_WIDTH} wide and {LEAST_RATE:.0}/s, or too little is seen of a face"
        );
        (
            Level::Warning,
            format!(
                "{found}; {asked}: set size and rate of the camera, and give it light (a dark room halves the rate of many)"
            ),
        )
    } else {
        (Level::Ok, found)
    }
}

fn lit(counter: &Counter, frame: &Frame) -> (Level, String) {
    let light = Light::of(frame, &counter.region);
    let aim = format!("`counterproof aim --counter {}` shows it while you change something", counter.id);
    match light.fault() {
        None => (Level::Ok, format!("in its region: {light}")),
        Some(Fault::TooDark) => (
            Level::Warning,
            format!(
                "in its region: {light}: too dark; put light on the person, not behind them, or take the cover off the lens; {aim}"
            ),
        ),
        Some(Fault::TooBright) => (
            Level::Warning,
            format!(
                "in its region: {light}: too bright; turn the camera away from windows and lamps, or lower its exposure; {aim}"
            ),
        ),
    }
}
