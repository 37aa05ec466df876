//! How the cameras fare: looked at all the time, without looking for faces.
//!
//! One task for all cameras. Once a second it asks each ring whether samples
//! come and differ, which decodes nothing. Once a minute for each camera, the
//! first time as soon as it delivers, one sample is decoded into a thumbnail and
//! judged (`camera::health`); what was read is overwritten before the next. That
//! is all that is read of frames without a settlement, and it is counted.
//!
//! A camera's state is asked when a settlement's window has closed. A doubt
//! never becomes an accusation: black, covered, moved and frozen cameras end a
//! settlement as not assessed, and nobody is looked for. With one that is out of
//! focus people are still looked for, since a match accuses nobody; whatever else
//! comes out is inconclusive. The same holds for mismatches while a camera may
//! have been moved.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::camera::course::{Course, Flow, flow};
use crate::camera::health::{Thumbnail, View, judge};
use crate::camera::pictures;
use crate::camera::ring::Ring;
use crate::clock::BoxTime;
use crate::frame::Sample;
use crate::protocol::id::CounterId;
use crate::protocol::posture::CameraState;
use crate::protocol::verdict::{Inconclusive, NotAssessed, Outcome};

use super::config::Counter;
use super::context::Context;
use super::views::Views;

/// How often it is asked whether samples come and differ.
const EVERY: Duration = Duration::from_secs(1);
/// Time between two thumbnails of a camera, at least.
pub const THUMBNAIL_EVERY: Duration = Duration::from_secs(60);
/// The same after a sample that could not be decoded.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// Most thumbnails at a look: many cameras take turns rather than the processor.
const MOST_AT_ONCE: usize = 4;

/// How the cameras of a box fare.
#[derive(Default)]
pub struct Cameras(Mutex<BTreeMap<CounterId, Camera>>);

#[derive(Default)]
struct Camera {
    course: Course,
    thumbnails: u64,
    /// When the next thumbnail may be made; at once where there was none yet.
    due: Option<BoxTime>,
}

/// What is known of a camera. One that was not looked at yet is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// How it fares.
    pub state: CameraState,
    /// Whether it may have been moved.
    pub in_doubt: bool,
    /// Thumbnails that were made of its pictures since the start.
    pub thumbnails: u64,
}

impl Known {
    /// Why nobody is looked for in these samples of a window, if so.
    pub fn refusal(&self, samples: &[Arc<Sample>]) -> Option<NotAssessed> {
        match self.state {
            CameraState::Black => Some(NotAssessed::CameraBlack),
            CameraState::Covered => Some(NotAssessed::CameraCovered),
            _ if self.is_frozen(samples) => Some(NotAssessed::CameraFrozen),
            CameraState::Moved => Some(NotAssessed::CameraMoved),
            CameraState::Ok | CameraState::Silent | CameraState::Frozen | CameraState::OutOfFocus => None,
        }
    }

    /// Whether all samples are one picture. A single one says nothing by itself.
    fn is_frozen(&self, samples: &[Arc<Sample>]) -> bool {
        let alike = samples.windows(2).all(|pair| matches!(pair, [a, b] if a.is_same(b)));
        alike && (samples.len() > 1 || self.state == CameraState::Frozen)
    }

    /// What a verdict is worth with such a camera.
    pub fn temper(&self, found: Outcome) -> Outcome {
        match (found, self.state) {
            (Outcome::Mismatch | Outcome::Absent | Outcome::Inconclusive(_), CameraState::OutOfFocus) => {
                Outcome::Inconclusive(Inconclusive::CameraOutOfFocus)
            }
            (found, CameraState::Black) if found.accuses() => Outcome::NotAssessed(NotAssessed::CameraBlack),
            (found, CameraState::Covered) if found.accuses() => {
                Outcome::NotAssessed(NotAssessed::CameraCovered)
            }
            (found, CameraState::Moved) if found.accuses() => Outcome::NotAssessed(NotAssessed::CameraMoved),
            (found, _) if found.accuses() && self.in_doubt => {
                Outcome::Inconclusive(Inconclusive::CameraInDoubt)
            }
            _ => found,
        }
    }
}

impl Cameras {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<CounterId, Camera>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// What is known of a counter's camera.
    pub fn known(&self, counter: &CounterId) -> Known {
        let cameras = self.lock();
        let camera = cameras.get(counter);
        Known {
            state: camera.map_or(CameraState::Ok, |c| c.course.state()),
            in_doubt: camera.is_some_and(|c| c.course.in_doubt()),
            thumbnails: camera.map_or(0, |c| c.thumbnails),
        }
    }

    /// How each camera fares.
    pub fn states(&self) -> BTreeMap<CounterId, CameraState> {
        self.lock().iter().map(|(id, camera)| (id.clone(), camera.course.state())).collect()
    }

    /// What a technician should look at, in words.
    pub fn troubles(&self) -> Vec<String> {
        let told = |(id, state): (CounterId, CameraState)| {
            advice(state).map(|advice| format!("counter {id}: the camera {advice}"))
        };
        self.states().into_iter().filter_map(told).collect()
    }

    /// Notes whether samples come and differ. Returns since when a thumbnail is due.
    fn flows(&self, counter: &CounterId, flow: Flow) -> Option<BoxTime> {
        self.change(counter, |camera| {
            camera.course.flows(flow);
            camera.due
        })
    }

    /// Notes what a thumbnail showed; `None` if the sample could not be decoded.
    fn shows(&self, counter: &CounterId, view: Option<View>, now: BoxTime) {
        self.change(counter, |camera| match view {
            Some(view) => {
                camera.course.shows(view);
                camera.thumbnails += 1;
                camera.due = Some(now.plus(THUMBNAIL_EVERY));
            }
            None => camera.due = Some(now.plus(TRY_AGAIN)),
        });
    }

    /// Changes what is known of a camera, and tells if it fares otherwise by that.
    fn change<T>(&self, counter: &CounterId, change: impl FnOnce(&mut Camera) -> T) -> T {
        let (before, after, done) = {
            let mut cameras = self.lock();
            let camera = cameras.entry(counter.clone()).or_default();
            let before = camera.course.state();
            let done = change(camera);
            (before, camera.course.state(), done)
        };
        if before != after {
            match advice(after) {
                Some(advice) => {
                    warn!(%counter, state = %after, advice, "a camera is not as it should be");
                }
                None => info!(%counter, "a camera is as it should be again"),
            }
        }
        done
    }
}

/// What is wrong with a camera, and what to do; nothing where it is well.
fn advice(state: CameraState) -> Option<&'static str> {
    Some(match state {
        CameraState::Ok => return None,
        CameraState::Silent => "sends nothing: look at its cable, its power and its address",
        CameraState::Frozen => "sends the same picture again and again: switch it off and on",
        CameraState::Black => "shows nothing but black: is the room dark, or a cap on the lens?",
        CameraState::Covered => {
            "is covered or blinded: take away what is before the lens, clean it, or shade it from light"
        }
        CameraState::OutOfFocus => "is out of focus: focus the lens, and clean it",
        CameraState::Moved => {
            "does not look where it was aimed: set it right, or aim it again (`counterproof aim`)"
        }
    })
}

/// Looks at all cameras until the agent stops.
pub(super) async fn watch(context: Arc<Context>, cameras: Vec<(Counter, Arc<Ring>)>) {
    let heart = context.watch.camera_health.clone();
    let views = Views::of(&context.config.agent.state);
    loop {
        for (counter, sample) in due(&context, &cameras) {
            heart.beat();
            look(&context, &views, &counter, sample).await;
        }
        heart.rest(tokio::time::sleep(EVERY)).await;
    }
}

/// Asks whether samples come; returns the cameras of which a thumbnail is due,
/// those that wait longest first, each with the sample for it.
fn due(context: &Context, cameras: &[(Counter, Arc<Ring>)]) -> Vec<(CounterId, Arc<Sample>)> {
    let now = context.clock.now().boot;
    let mut due = Vec::new();
    for (Counter { id: counter, camera, .. }, ring) in cameras {
        // A sample's time is that of the light: nothing newer than the delay can be there.
        let flow = flow(ring.alike(), context.watch.started(), now.minus(camera.delay()));
        let since = context.watch.cameras.flows(counter, flow);
        if since.is_none_or(|s| s <= now)
            && let Some(sample) = ring.newest_alone()
        {
            due.push((since, counter.clone(), sample));
        }
    }
    due.sort_by_key(|(since, _, _)| *since);
    due.into_iter().take(MOST_AT_ONCE).map(|(_, counter, sample)| (counter, sample)).collect()
}

/// Makes a thumbnail of a sample, and judges it.
async fn look(context: &Arc<Context>, views: &Views, counter: &CounterId, sample: Arc<Sample>) {
    let (views, id) = (views.clone(), counter.clone());
    let seen = tokio::task::spawn_blocking(move || see(&sample, &views, &id)).await;
    let view = seen.unwrap_or_else(|_| {
        error!(%counter, "a look at a camera panicked");
        None
    });
    context.watch.cameras.shows(counter, view, context.clock.now().boot);
}

fn see(sample: &Sample, views: &Views, counter: &CounterId) -> Option<View> {
    let frame = match pictures::alone(sample) {
        Ok(frame) => frame,
        Err(e) => {
            debug!(%counter, error = %e, "a picture cannot be decoded for the camera's health");
            return None;
        }
    };
    let thumbnail = Thumbnail::of(&frame);
    drop(frame);
    let reference = views.load(counter).unwrap_or_else(|e| {
        warn!(%counter, error = %e, "a camera's reference view cannot be read; whether it was moved is not judged");
        None
    });
    Some(judge(&thumbnail, reference.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Codec;
    use Inconclusive as I;
    use NotAssessed as N;

    fn samples(contents: &[&[u8]]) -> Vec<Arc<Sample>> {
        let sample = |(i, bytes): (usize, &&[u8])| {
            Arc::new(Sample::new(BoxTime::from_millis(i as u64 * 66), Codec::Jpeg, bytes.to_vec()))
        };
        contents.iter().enumerate().map(sample).collect()
    }

    fn known(state: CameraState) -> Known {
        Known { state, in_doubt: state == CameraState::Moved, thumbnails: 1 }
    }

    #[test]
    fn nobody_is_looked_for_with_a_sick_camera() {
        let (moving, still) = (samples(&[b"a", b"b", b"b"]), samples(&[b"a", b"a"]));
        let (one, none) = (samples(&[b"a"]), samples(&[]));
        use CameraState as S;
        for (state, of_moving, of_still, of_one) in [
            (S::Ok, None, Some(N::CameraFrozen), None),
            // What came before it fell silent or froze was seen all the same.
            (S::Silent, None, Some(N::CameraFrozen), None),
            (S::Frozen, None, Some(N::CameraFrozen), Some(N::CameraFrozen)),
            (S::OutOfFocus, None, Some(N::CameraFrozen), None),
            (S::Black, Some(N::CameraBlack), Some(N::CameraBlack), Some(N::CameraBlack)),
            (S::Covered, Some(N::CameraCovered), Some(N::CameraCovered), Some(N::CameraCovered)),
            (S::Moved, Some(N::CameraMoved), Some(N::CameraFrozen), Some(N::CameraMoved)),
        ] {
            let known = known(state);
            let found = [&moving, &still, &one].map(|s| known.refusal(s));
            assert_eq!(found, [of_moving, of_still, of_one], "{state}");
            let _ = known.refusal(&none);
        }
    }

    #[test]
    fn no_doubt_about_a_camera_becomes_an_accusation() {
        let words = [I::Blurred, I::NoFace, I::ScoresBetween].map(Outcome::Inconclusive);
        let all = [&[Outcome::Match, Outcome::Mismatch][..], &words].concat();
        for state in CameraState::ALL {
            for in_doubt in [false, true] {
                let known = Known { in_doubt, ..known(*state) };
                let well =
                    !in_doubt && matches!(state, CameraState::Ok | CameraState::Silent | CameraState::Frozen);
                assert_eq!(known.temper(Outcome::Mismatch) == Outcome::Mismatch, well, "{state} {in_doubt}");
                for found in &all {
                    assert_eq!(known.temper(*found) == Outcome::Match, *found == Outcome::Match);
                }
            }
        }
        let blurred = known(CameraState::OutOfFocus).temper(Outcome::Inconclusive(I::Blurred));
        assert_eq!(blurred, Outcome::Inconclusive(I::CameraOutOfFocus));
    }

    #[test]
    fn a_sick_camera_is_a_trouble_with_what_to_do_until_it_is_well() {
        let (cameras, w3): (Cameras, CounterId) = (Cameras::default(), "w03".parse().unwrap());
        let t = BoxTime::from_millis;
        assert_eq!(cameras.flows(&w3, Flow::Good), None, "the first thumbnail is due at once");
        assert_eq!(cameras.troubles(), [""; 0]);
        cameras.shows(&w3, Some(View::Covered), t(5000));
        assert_eq!(cameras.flows(&w3, Flow::Good), Some(t(65_000)));
        let [trouble] = &cameras.troubles()[..] else { panic!("{:?}", cameras.troubles()) };
        assert!(trouble.starts_with("counter w03: the camera is covered") && trouble.contains("lens"));
        assert_eq!(cameras.states(), [(w3.clone(), CameraState::Covered)].into());
        // What cannot be decoded changes nothing, and is no thumbnail.
        cameras.shows(&w3, None, t(65_000));
        assert_eq!((cameras.known(&w3).state, cameras.known(&w3).thumbnails), (CameraState::Covered, 1));
        assert_eq!(cameras.flows(&w3, Flow::Good), Some(t(75_000)));
        cameras.shows(&w3, Some(View::Good), t(75_000));
        assert_eq!((cameras.troubles(), cameras.known(&w3).thumbnails), (vec![], 2));
    }

    #[test]
    fn every_state_but_ok_says_what_to_do() {
        for state in CameraState::ALL {
            assert_eq!(advice(*state).is_none(), *state == CameraState::Ok, "{state}");
        }
    }
}
