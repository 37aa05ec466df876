//! How a camera fares over time: whether samples come and differ, what its
//! thumbnails showed ([`super::health`]), and the one word that follows from both.

use std::time::Duration;

use super::health::View;
use crate::clock::BoxTime;
use crate::protocol::posture::CameraState;

/// Without a new sample for this long a camera is silent; with the same bytes
/// for this long it is frozen.
pub const STANDSTILL: Duration = Duration::from_secs(2);
/// Looks in a row that must not show the reference view before the camera was
/// moved: nobody stands before all of it for so many minutes.
pub const MOVED_AFTER: u32 = 3;

/// Whether samples come, and differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// They do.
    #[default]
    Good,
    /// None comes.
    Silent,
    /// All are the same.
    Frozen,
}

/// Judges a stream. `alike` is since when and until when the newest bytes came
/// ([`super::ring::Ring::alike`]); where none ever came, `started` counts.
pub fn flow(alike: Option<(BoxTime, BoxTime)>, started: BoxTime, now: BoxTime) -> Flow {
    let (first, last) = alike.unwrap_or((started, started));
    if now.since(last) >= STANDSTILL {
        Flow::Silent
    } else if last.since(first) >= STANDSTILL {
        Flow::Frozen
    } else {
        Flow::Good
    }
}

/// How a camera fared from look to look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Course {
    flow: Flow,
    view: Option<View>,
    /// Looks in a row that showed another view.
    elsewhere: u32,
}

impl Course {
    /// The stream was looked at.
    pub fn flows(&mut self, flow: Flow) {
        self.flow = flow;
    }

    /// A thumbnail was judged.
    pub fn shows(&mut self, view: View) {
        self.elsewhere = if view == View::Elsewhere { self.elsewhere.saturating_add(1) } else { 0 };
        self.view = Some(view);
    }

    /// How it fares now. Of several things that are wrong the one that a
    /// technician has to see to first: a camera with a cap on its lens may well
    /// send the same bytes again and again.
    pub fn state(&self) -> CameraState {
        match (self.flow, self.view) {
            (Flow::Silent, _) => CameraState::Silent,
            (_, Some(View::Black)) => CameraState::Black,
            (_, Some(View::Covered)) => CameraState::Covered,
            (Flow::Frozen, _) => CameraState::Frozen,
            (_, Some(View::OutOfFocus)) => CameraState::OutOfFocus,
            (_, Some(View::Elsewhere)) if self.elsewhere >= MOVED_AFTER => CameraState::Moved,
            _ => CameraState::Ok,
        }
    }

    /// Whether it may have been moved: the last look did not show its reference
    /// view, be it that somebody stood before it.
    pub fn in_doubt(&self) -> bool {
        self.elsewhere > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_has_moved_when_several_looks_in_a_row_say_so() {
        let mut course = Course::default();
        let look = |course: &mut Course, view| {
            course.shows(view);
            (course.state(), course.in_doubt())
        };
        assert_eq!((course.state(), course.in_doubt()), (CameraState::Ok, false));
        for _ in 1..MOVED_AFTER {
            assert_eq!(look(&mut course, View::Elsewhere), (CameraState::Ok, true));
        }
        assert_eq!(look(&mut course, View::Good), (CameraState::Ok, false));
        for n in 1..=MOVED_AFTER + 2 {
            let state = if n < MOVED_AFTER { CameraState::Ok } else { CameraState::Moved };
            assert_eq!(look(&mut course, View::Elsewhere), (state, true));
        }
        assert_eq!(look(&mut course, View::Black), (CameraState::Black, false));
        course.flows(Flow::Frozen);
        assert_eq!(course.state(), CameraState::Black, "a cap on the lens comes before what follows from it");
        assert_eq!(look(&mut course, View::Good).0, CameraState::Frozen);
        course.flows(Flow::Silent);
        assert_eq!(course.state(), CameraState::Silent);
    }

    #[test]
    fn silence_and_sameness_count_from_two_seconds() {
        let t = BoxTime::from_millis;
        let at = |first, last, now| flow(Some((t(first), t(last))), t(0), t(now));
        assert_eq!(flow(None, t(1000), t(2999)), Flow::Good);
        assert_eq!(flow(None, t(1000), t(3000)), Flow::Silent);
        assert_eq!(at(5000, 6999, 7000), Flow::Good);
        assert_eq!(at(5000, 7000, 7100), Flow::Frozen);
        assert_eq!(at(5000, 7000, 9000), Flow::Silent);
    }
}
