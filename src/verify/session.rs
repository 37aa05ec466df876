//! One verification: frames in, a verdict out.
//!
//! `push` takes a frame and either asks for more or decides. Frames are best
//! pushed outward from the moment of settlement ([`outward`]): the person at
//! the window is most likely there then, and a match ends the work.

use std::sync::Arc;
use std::time::Duration;

use crate::camera::clip::Clip;
use crate::camera::decode::DecodeError;
use crate::camera::pictures::Pictures;
use crate::clock::BoxTime;
use crate::frame::{Frame, Region};
use crate::protocol::verdict::Inconclusive;
use crate::vision::Vision;
use crate::vision::cost::{Costs, Step};
use crate::vision::detect::{Face, Looking};
use crate::vision::follow::Follower;
use crate::vision::model::ModelError;
use crate::vision::quality::Gate;

use super::Verdict;
use super::calibration::Calibration;
use super::evidence::Evidence;
use super::person::Seen;
use super::subjects::Subjects;

/// How a session looks at frames.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What scores are worth, and when views are enough.
    pub calibration: Arc<Calibration>,
    /// Where faces are looked for.
    pub region: Region,
    /// At what size.
    pub looking: Looking,
    /// What a probe must be.
    pub gate: Gate,
    /// Time between two frames that are looked at.
    pub spacing: Duration,
    /// Most frames that are looked at.
    pub frames: usize,
}

impl Rules {
    /// The usual ones for a counter.
    pub fn counter(calibration: Arc<Calibration>, region: Region) -> Self {
        Self {
            calibration,
            region,
            looking: Looking::COUNTER,
            gate: Gate::PROBE,
            spacing: Duration::from_millis(200),
            frames: 24,
        }
    }
}

/// Whether a session wants more.
pub enum Progress {
    /// Push the next frame.
    More,
    /// Decided.
    Decided(Verdict),
}

/// One verification's state; overwritten when dropped, as its parts are.
pub struct Session<'a> {
    rules: Rules,
    evidence: Evidence<'a>,
    follower: Follower,
}

impl<'a> Session<'a> {
    /// Nothing seen yet.
    pub fn new(rules: Rules, subjects: &'a Subjects) -> Self {
        let evidence = Evidence::new(subjects, Arc::clone(&rules.calibration));
        Self { rules, evidence, follower: Follower::default() }
    }

    /// Looks at a frame.
    ///
    /// # Errors
    /// If a model fails.
    pub fn push(&mut self, vision: &mut Vision, frame: &Frame, at: BoxTime) -> Result<Progress, ModelError> {
        let faces = vision.detect(frame, &self.rules.region, self.rules.looking)?;
        let people = self.follower.assign(at, &faces);
        for (face, person) in faces.iter().zip(people) {
            self.evidence.sighting(person, face, face.touches_edge(frame, &self.rules.region));
            if let Some(verdict) = self.look(vision, frame, at, face, person)? {
                return Ok(Progress::Decided(verdict));
            }
        }
        Ok(Progress::More)
    }

    fn look(
        &mut self,
        vision: &mut Vision,
        frame: &Frame,
        at: BoxTime,
        face: &Face,
        person: usize,
    ) -> Result<Option<Verdict>, ModelError> {
        if !self.evidence.wants(person) {
            return Ok(None);
        }
        let crop = vision.align(frame, face);
        let quality = vision.judge(frame, &self.rules.region, face, &crop);
        let flaws = quality.flaws(&self.rules.gate);
        if !flaws.is_empty() {
            self.evidence.flawed(person, &flaws);
            return Ok(None);
        }
        let probe = Arc::new(vision.embed(&crop)?);
        let liveness = vision.liveness(frame, face)?;
        let seen = Seen { at, probe, quality, liveness };
        let evidence = &mut self.evidence;
        Ok(vision.costs().measure(Step::Decide, || evidence.view(person, seen)))
    }

    /// The verdict when no more frames come.
    pub fn finish(self) -> Verdict {
        self.evidence.conclude()
    }
}

/// What a run over samples found, and what it cost.
#[derive(Debug)]
pub struct Ran {
    /// The verdict.
    pub verdict: Verdict,
    /// Frames that were looked at.
    pub frames: u32,
    /// Frames that could not be decoded.
    pub unreadable: u32,
    /// Camera time between the earliest and the latest of those looked at.
    pub span: Duration,
    /// CPU by step.
    pub costs: Costs,
}

/// Runs one verification over the samples of a window, outward from `moment`.
///
/// # Errors
/// If a model fails. Samples that cannot be decoded are passed over and
/// counted; if none can be, the verdict is inconclusive and says so.
pub fn run(
    vision: &mut Vision,
    rules: Rules,
    subjects: &Subjects,
    clip: &Clip,
    moment: BoxTime,
) -> Result<Ran, ModelError> {
    vision.costs().take();
    let times: Vec<BoxTime> = clip.samples().iter().map(|s| s.at()).collect();
    let order = outward(&times, moment, rules.spacing, rules.frames);
    let mut pictures = Pictures::of(clip, order.iter().copied());
    let mut session = Session::new(rules, subjects);
    let (mut frames, mut unreadable) = (0, 0);
    let mut decided = None;
    let mut looked = Vec::new();
    for (i, at) in order.into_iter().filter_map(|i| Some((i, *times.get(i)?))) {
        let frame: Result<Frame, DecodeError> = vision.costs().measure(Step::Decode, || pictures.frame(i));
        let Ok(frame) = frame else {
            unreadable += 1;
            continue;
        };
        frames += 1;
        looked.push(at);
        if let Progress::Decided(verdict) = session.push(vision, &frame, at)? {
            decided = Some(verdict);
            break;
        }
    }
    let verdict = match decided {
        Some(v) => v,
        None if frames == 0 => Verdict::Inconclusive(Inconclusive::UnreadableFrames, None),
        None => session.finish(),
    };
    let span = match (looked.iter().min(), looked.iter().max()) {
        (Some(first), Some(last)) => last.since(*first),
        _ => Duration::ZERO,
    };
    Ok(Ran { verdict, frames, unreadable, span, costs: vision.costs().take() })
}

/// The samples to look at, by their place in `times`, in the order to do so: the
/// one nearest the moment, then alternately before and after it, each at least
/// `spacing` from all chosen before, at most `most`.
pub fn outward(times: &[BoxTime], moment: BoxTime, spacing: Duration, most: usize) -> Vec<usize> {
    let mut nearest: Vec<(usize, BoxTime)> = times.iter().copied().enumerate().collect();
    nearest.sort_by_key(|(_, at)| at.distance(moment));
    let mut chosen: Vec<(usize, BoxTime)> = Vec::new();
    for (i, at) in nearest {
        if chosen.len() == most {
            break;
        }
        if chosen.iter().all(|(_, c)| c.distance(at) >= spacing) {
            chosen.push((i, at));
        }
    }
    chosen.into_iter().map(|(i, _)| i).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moments(times: &[u64]) -> Vec<BoxTime> {
        times.iter().map(|t| BoxTime::from_millis(*t)).collect()
    }

    #[test]
    fn the_work_goes_outward_from_the_moment() {
        let all = moments(&(0..31).map(|i| i * 66).collect::<Vec<_>>());
        let order: Vec<u64> = outward(&all, BoxTime::from_millis(1000), Duration::from_millis(200), 5)
            .iter()
            .map(|i| all[*i].as_millis())
            .collect();
        assert_eq!(order, [990, 1254, 726, 1518, 462]);
    }

    proptest! {
        #[test]
        fn chosen_samples_keep_their_distance(times in proptest::collection::vec(0u64..10_000, 0..60), moment in 0u64..10_000, most in 0usize..30) {
            let all = moments(&times);
            let chosen: Vec<BoxTime> = outward(&all, BoxTime::from_millis(moment), Duration::from_millis(200), most).into_iter().map(|i| all[i]).collect();
            prop_assert!(chosen.len() <= most);
            for (i, a) in chosen.iter().enumerate() {
                for b in &chosen[..i] {
                    prop_assert!(a.distance(*b) >= Duration::from_millis(200));
                    prop_assert!(a.distance(BoxTime::from_millis(moment)) >= b.distance(BoxTime::from_millis(moment)));
                }
            }
        }
    }
}
