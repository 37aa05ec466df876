//! One to a declared shift's roster: who of those expected was seen at an entrance, and
//! when that nobody saw them is worth telling.
//!
//! The one exception to comparing one to one. What holds it narrow is in the types: an
//! [`Expected`] is made from the policy's word about entrances, takes at most
//! [`roster::MOST`] people, and says nothing of anybody else. Whoever passes and is none of
//! them is a number; their views are overwritten once they are out of sight. Of those
//! expected it keeps that they were seen, and how near any face came.
//!
//! Two boundaries, both set for the number compared (`docs/accuracy.md`):
//! - seen: each face is compared with `n` people at once, so the likelihood ratio that is
//!   enough for one must be `n` times as great. By Wald's bound a stranger then passes for
//!   any of the `n` no oftener than for one in a comparison one to one. A false sighting
//!   hides an absence and accuses nobody.
//! - absent: no face that passed, in any number of views, was as likely theirs as anybody
//!   else's ([`Demands::doubt_llr`]). Of the many who pass some come near by chance, and the more
//!   there are the likelier; each such chance is a doubt, and a doubt accuses nobody.
//!
//! An [`Absent`] is made by the rule of this file and by nothing else:
//!
//! ```compile_fail
//! let a = counterproof::verify::roster::Absent { observation: todo!() };
//! ```
//!
//! And nobody is expected without the policy's word about entrances:
//!
//! ```compile_fail
//! use counterproof::{crypto::transform::Transform, verify::roster::Expected};
//! fn expect(t: std::sync::Arc<Transform>) -> Expected { Expected::under(t) }
//! ```
//! ```
//! use counterproof::{crypto::transform::Transform, privacy::policy::Entrance, verify::roster::Expected};
//! fn expect(e: &Entrance, t: std::sync::Arc<Transform>) -> Expected { Expected::under(e, t) }
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::calibration::Calibration;
use super::person::{Person, Seen};
use super::subjects::{SubjectError, Subjects};
use crate::camera::clip::Clip;
use crate::camera::pictures::Pictures;
use crate::clock::BoxTime;
use crate::crypto::transform::Transform;
use crate::frame::{Frame, Region};
use crate::privacy::policy::Entrance;
use crate::protocol::absence::{Observation, WHOLE};
use crate::protocol::reference::Protected;
use crate::protocol::roster;
use crate::protocol::verdict::Inconclusive;
use crate::vision::Vision;
use crate::vision::detect::{Face, Looking};
use crate::vision::follow::Follower;
use crate::vision::model::ModelError;
use crate::vision::quality::Gate;

/// Separate views from which a face that passed can be told from somebody.
const CLEAR_VIEWS: u32 = 2;
/// Who was not seen for so long has passed.
const GONE: Duration = Duration::from_secs(3);
/// Most faces that are followed at a time: a crowd beyond that is counted as unclear.
const MOST_FOLLOWED: usize = 64;

/// What must hold before an absence is told of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demands {
    /// Least share of the shift that was observed, 0 to 1.
    pub least_observed: f64,
    /// Greatest share of those who passed that may be unclear, 0 to 1.
    pub most_unclear: f64,
    /// Least share of the others expected who were seen, 0 to 1.
    pub least_seen: f64,
    /// Fewest others expected.
    pub least_others: u32,
    /// A face whose likelihood ratio (natural logarithm) for somebody reaches this may be
    /// theirs: their absence is then in doubt. `docs/accuracy.md` says what others cost.
    pub doubt_llr: f32,
}

impl Demands {
    /// The laxest that a configuration may ask for.
    pub const USUAL: Self =
        Self { least_observed: 0.95, most_unclear: 0.1, least_seen: 0.8, least_others: 5, doubt_llr: -2.0 };
}

/// Somebody was expected, well looked for, and not seen. Kept sealed by the box between
/// the shift's end and the bill.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Absent {
    observation: Observation,
}

impl Absent {
    /// How the entrance was observed.
    pub fn observation(&self) -> Observation {
        self.observation
    }
}

/// What a shift says of one person.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Presence {
    /// They were seen.
    Seen,
    /// They were well looked for and not seen.
    Absent(Absent),
    /// Nothing can be said.
    Unclear(Inconclusive),
}

/// A person who cannot be expected.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ExpectedError {
    /// One more than a roster takes.
    #[error("a roster names at most {} people", roster::MOST)]
    Full,
    /// Their references do not fit.
    #[error(transparent)]
    References(#[from] SubjectError),
}

/// The references of those who are expected, under one box's transform.
pub struct Expected {
    subjects: Subjects,
    count: usize,
}

impl Expected {
    /// Nobody yet, for an entrance that the policy declares.
    pub fn under(_: &Entrance, transform: Arc<Transform>) -> Self {
        Self { subjects: Subjects::under(transform), count: 0 }
    }

    /// Adds a person; their number.
    ///
    /// # Errors
    /// [`ExpectedError`] if there are too many, or the references do not fit.
    pub fn add(&mut self, references: Vec<Protected>) -> Result<usize, ExpectedError> {
        if self.count == roster::MOST {
            return Err(ExpectedError::Full);
        }
        self.subjects.add(references)?;
        self.count += 1;
        Ok(self.count - 1)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// A face on its way through the entrance.
#[derive(Default)]
struct Passer {
    person: Person,
    last: Option<BoxTime>,
    is_known: bool,
}

/// What is known of one who is expected.
#[derive(Clone, Copy)]
struct Sought {
    is_seen: bool,
    /// The greatest likelihood ratio of any face, natural logarithm.
    nearest: f32,
    /// A face was like theirs, and like a picture.
    may_be_picture: bool,
}

/// A shift's watch: a plain object, driven by frames. Overwritten when dropped, as its
/// parts are.
pub struct Watch {
    expected: Expected,
    calibration: Arc<Calibration>,
    region: Region,
    follower: Follower,
    passers: BTreeMap<usize, Passer>,
    sought: Vec<Sought>,
    faces: u32,
    unclear: u32,
}

impl Watch {
    /// Begins a shift.
    pub fn new(expected: Expected, calibration: Arc<Calibration>, region: Region) -> Self {
        let nobody = Sought { is_seen: false, nearest: f32::NEG_INFINITY, may_be_picture: false };
        let sought = vec![nobody; expected.count()];
        Self {
            expected,
            calibration,
            region,
            follower: Follower::default(),
            passers: BTreeMap::new(),
            sought,
            faces: 0,
            unclear: 0,
        }
    }

    /// The likelihood ratio, natural logarithm, from which a face is that of one of those
    /// expected.
    fn seen_llr(&self) -> f32 {
        self.calibration.rule.match_llr + (self.expected.count().max(1) as f32).ln()
    }

    /// Looks at a frame; the numbers of those who were seen for the first time.
    ///
    /// # Errors
    /// If a model fails.
    pub fn push(
        &mut self,
        vision: &mut Vision,
        frame: &Frame,
        at: BoxTime,
    ) -> Result<Vec<usize>, ModelError> {
        self.let_go(at);
        let faces = vision.detect(frame, &self.region, Looking::COUNTER)?;
        let followed = self.follower.assign(at, &faces);
        let mut found = Vec::new();
        for (face, number) in faces.iter().zip(followed) {
            if self.passers.len() >= MOST_FOLLOWED && !self.passers.contains_key(&number) {
                self.faces += 1;
                self.unclear += 1;
                continue;
            }
            let at_edge = face.touches_edge(frame, &self.region);
            let passer = self.passers.entry(number).or_default();
            passer.last = Some(at);
            passer.person.sighted(face, at_edge);
            found.extend(self.look(vision, frame, at, face, number)?);
        }
        Ok(found)
    }

    fn look(
        &mut self,
        vision: &mut Vision,
        frame: &Frame,
        at: BoxTime,
        face: &Face,
        number: usize,
    ) -> Result<Vec<usize>, ModelError> {
        let enough = self.calibration.maps.len();
        let Some(passer) = self.passers.get_mut(&number) else { return Ok(Vec::new()) };
        if passer.is_known || passer.person.views() >= enough {
            return Ok(Vec::new());
        }
        let crop = vision.align(frame, face);
        let quality = vision.judge(frame, &self.region, face, &crop);
        let flaws = quality.flaws(&Gate::PROBE);
        if !flaws.is_empty() {
            passer.person.flawed(&flaws);
            return Ok(Vec::new());
        }
        let probe = Arc::new(vision.embed(&crop)?);
        let liveness = vision.liveness(frame, face)?;
        Ok(self.view(number, Seen { at, probe, quality, liveness }))
    }

    /// A good view of a face; the numbers of those who are seen by it.
    fn view(&mut self, number: usize, seen: Seen) -> Vec<usize> {
        let (enough, calibration) = (self.seen_llr(), Arc::clone(&self.calibration));
        let Some(passer) = self.passers.get_mut(&number) else { return Vec::new() };
        if passer.person.add(seen, &self.expected.subjects, &calibration).is_none() {
            return Vec::new();
        }
        let Some(ratios) = passer.person.best_llrs(&self.expected.subjects, &calibration) else {
            return Vec::new();
        };
        let picture = passer.person.may_be_picture(&calibration);
        let mut found = Vec::new();
        for (i, (sought, llr)) in self.sought.iter_mut().zip(ratios).enumerate() {
            sought.nearest = sought.nearest.max(llr);
            let fits = llr >= enough;
            passer.is_known |= fits && !picture;
            sought.may_be_picture |= fits && picture;
            if fits && !picture && !sought.is_seen {
                sought.is_seen = true;
                found.push(i);
            }
        }
        found.iter().for_each(|number| self.found(*number));
        found
    }

    /// How a person is looked for no more: their references are overwritten.
    fn found(&mut self, number: usize) {
        self.expected.subjects.forget(number);
    }

    /// Somebody passes, in these views: what an evaluation plays in the place of frames.
    pub fn pass(&mut self, at: BoxTime, views: Vec<Seen>) -> Vec<usize> {
        /// Whoever a photograph is of fills it.
        const PASSING: Face = Face { score: 1.0, edges: [0.0, 0.0, 100.0, 100.0], landmarks: [[0.0; 2]; 5] };
        self.let_go(at);
        // Nobody else is in sight: the number is free.
        let number = 0;
        let passer = self.passers.entry(number).or_default();
        passer.last = Some(at);
        // Twice, so that whoever gives no good view is somebody all the same.
        (0..2).for_each(|_| passer.person.sighted(&PASSING, false));
        views.into_iter().flat_map(|seen| self.view(number, seen)).collect()
    }

    /// Counts those who are out of sight, and overwrites what was seen of them.
    pub fn let_go(&mut self, now: BoxTime) {
        let gone: Vec<usize> = self
            .passers
            .iter()
            .filter(|(_, p)| p.last.is_none_or(|last| now.since(last) > GONE))
            .map(|(number, _)| *number)
            .collect();
        for passer in gone.iter().filter_map(|number| self.passers.remove(number)) {
            if passer.person.is_phantom() {
                continue;
            }
            self.faces += 1;
            self.unclear += u32::from(!passer.is_known && passer.person.witness_views() < CLEAR_VIEWS);
        }
        self.follower.forget(now.minus(GONE));
    }

    /// What the shift says of a person, at its end.
    ///
    /// `observed`: the share of the shift that was observed, 0 to 1.
    pub fn presence(&self, number: usize, observed: f64, demands: &Demands) -> Presence {
        let Some(sought) = self.sought.get(number) else {
            return Presence::Unclear(Inconclusive::EntranceNotObserved);
        };
        if sought.is_seen {
            return Presence::Seen;
        }
        match self.doubt(sought, observed, demands) {
            Some(reason) => Presence::Unclear(reason),
            None => Presence::Absent(Absent { observation: self.observation(sought, observed) }),
        }
    }

    fn doubt(&self, sought: &Sought, observed: f64, demands: &Demands) -> Option<Inconclusive> {
        if sought.may_be_picture {
            return Some(Inconclusive::PresentationAttackSuspected);
        }
        if observed.is_nan() || observed < demands.least_observed {
            return Some(Inconclusive::EntranceNotObserved);
        }
        let others = self.sought.len().saturating_sub(1) as f64;
        if others < f64::from(demands.least_others) || f64::from(self.seen()) < demands.least_seen * others {
            return Some(Inconclusive::OthersNotSeen);
        }
        if self.faces == 0 || f64::from(self.unclear) > demands.most_unclear * f64::from(self.faces) {
            return Some(Inconclusive::EntranceUnclear);
        }
        (!sought.nearest.is_finite() || sought.nearest >= demands.doubt_llr)
            .then_some(Inconclusive::ScoresBetween)
    }

    fn observation(&self, sought: &Sought, observed: f64) -> Observation {
        Observation {
            model: self.calibration.model,
            // Rounded down: no more is said than was observed.
            observed_permille: (observed.clamp(0.0, 1.0) * f64::from(WHOLE)).floor() as u16,
            expected: u32::try_from(self.sought.len()).unwrap_or(u32::MAX),
            seen: self.seen(),
            faces: self.faces,
            unclear: self.unclear,
            log_likelihood_ratio: sought.nearest,
        }
    }

    /// How many of those expected were seen.
    pub fn seen(&self) -> u32 {
        self.sought.iter().filter(|s| s.is_seen).count() as u32
    }

    /// Whether everybody was seen: nothing is left to look for.
    pub fn is_done(&self) -> bool {
        self.sought.iter().all(|s| s.is_seen)
    }
}

/// Time between two frames that are looked at: somebody who walks through a door is seen
/// in several.
const SPACING: Duration = Duration::from_millis(300);
/// Most frames of one look.
const FRAMES: usize = 12;

/// Shows a watch a piece of a camera's pictures, in the order of time; the numbers of those
/// who were seen for the first time, and how many frames were looked at.
///
/// # Errors
/// If a model fails. Samples that cannot be decoded are passed over.
pub fn glance(vision: &mut Vision, watch: &mut Watch, clip: &Clip) -> Result<(Vec<usize>, u32), ModelError> {
    vision.costs().take();
    let mut chosen: Vec<(usize, BoxTime)> = Vec::new();
    for (i, sample) in clip.samples().iter().enumerate() {
        if chosen.len() < FRAMES && chosen.last().is_none_or(|(_, at)| sample.at().since(*at) >= SPACING) {
            chosen.push((i, sample.at()));
        }
    }
    let mut pictures = Pictures::of(clip, chosen.iter().map(|(i, _)| *i));
    let (mut found, mut frames) = (Vec::new(), 0);
    for (i, at) in chosen {
        let Ok(frame) = pictures.frame(i) else { continue };
        frames += 1;
        found.extend(watch.push(vision, &frame, at)?);
    }
    Ok((found, frames))
}

#[cfg(test)]
mod tests {
    use super::super::calibration::tests::simple;
    use super::super::subjects::tests::{TRANSFORM, axis};
    use super::*;
    use crate::protocol::reference::Template;
    use crate::vision::embed::Probe;
    use crate::vision::liveness::Signal;
    use crate::vision::quality::Quality;
    use proptest::prelude::*;

    /// People along the first axes, one each.
    fn watch(people: usize) -> Watch {
        let mut expected = Expected::under(&Entrance::for_evaluation(), Arc::clone(&TRANSFORM));
        for i in 0..people {
            expected.add(vec![axis(64, i).protect(&TRANSFORM).unwrap()]).unwrap();
        }
        Watch::new(expected, Arc::new(simple()), Region::WHOLE)
    }

    fn probe(who: usize, cosine: f32, view: usize) -> Arc<Probe> {
        let mut v = vec![0.0; 64];
        v[who] = cosine;
        v[62] = ((1.0 - cosine * cosine) * 0.8).sqrt();
        v[20 + view % 40] += ((1.0 - cosine * cosine) * 0.2).sqrt();
        Arc::new(Probe::for_tests(Template::from_raw(v).unwrap()))
    }

    const FACE: Face = Face { score: 0.9, edges: [0.0, 0.0, 100.0, 120.0], landmarks: [[0.0; 2]; 5] };

    /// A face passes, in so many views, as near to one of the people as said.
    fn pass(
        w: &mut Watch,
        number: usize,
        (who, cosine): (usize, f32),
        views: usize,
        live: Signal,
    ) -> Vec<usize> {
        let mut found = Vec::new();
        for view in 0..views {
            let at = BoxTime::from_millis((number * 10_000 + view * 300) as u64);
            let passer = w.passers.entry(number).or_default();
            passer.last = Some(at);
            passer.person.sighted(&FACE, false);
            let seen = Seen { at, probe: probe(who, cosine, view), quality: Quality::GOOD, liveness: live };
            found.extend(w.view(number, seen));
        }
        w.let_go(BoxTime::from_millis((number * 10_000 + 9_000) as u64));
        found
    }

    const LIVE: Signal = Signal::Live(0.95);
    const STRANGER: (usize, f32) = (63, 0.8);

    fn words(presence: Presence) -> String {
        match presence {
            Presence::Seen => "seen".into(),
            Presence::Absent(_) => "absent".into(),
            Presence::Unclear(reason) => reason.to_string(),
        }
    }

    /// A shift in which all but the first of seven were seen, and ten strangers.
    fn shift() -> Watch {
        let mut w = watch(7);
        for who in 1..7 {
            assert_eq!(pass(&mut w, who, (who, 0.8), 3, LIVE), [who]);
        }
        for number in 10..20 {
            assert!(pass(&mut w, number, STRANGER, 3, LIVE).is_empty());
        }
        w
    }

    fn ask(w: &Watch) -> String {
        words(w.presence(0, 0.97, &Demands::USUAL))
    }

    #[test]
    fn who_was_well_looked_for_and_not_seen_is_absent_and_the_others_were_there() {
        let w = shift();
        assert_eq!(ask(&w), "absent");
        let Presence::Absent(absent) = w.presence(0, 0.9799, &Demands::USUAL) else { panic!() };
        let o = absent.observation();
        assert_eq!((o.observed_permille, o.expected, o.seen, o.faces, o.unclear), (979, 7, 6, 16, 0));
        assert!(o.log_likelihood_ratio < Demands::USUAL.doubt_llr);
        for who in 1..7 {
            assert_eq!(words(w.presence(who, 0.0, &Demands::USUAL)), "seen");
        }
        let kept = serde_json::to_string(&absent).unwrap();
        assert_eq!(serde_json::from_str::<Absent>(&kept).unwrap(), absent);
    }

    #[test]
    fn every_doubt_about_the_entrance_keeps_it_from_accusing() {
        assert_eq!(words(shift().presence(0, 0.94, &Demands::USUAL)), "entrance_not_observed");
        assert_eq!(words(shift().presence(0, f64::NAN, &Demands::USUAL)), "entrance_not_observed");
        let mut w = shift();
        w.sought.iter_mut().take(3).for_each(|s| s.is_seen = false);
        assert_eq!(ask(&w), "others_not_seen");
        // Five in all: too few others to know whether the entrance works.
        let mut few = watch(5);
        (1..5).for_each(|who| drop(pass(&mut few, who, (who, 0.8), 3, LIVE)));
        assert_eq!(ask(&few), "others_not_seen");
        // Two of eighteen who passed were seen in one view each.
        let mut w = shift();
        (20..22).for_each(|n| drop(pass(&mut w, n, STRANGER, 1, LIVE)));
        assert_eq!(ask(&w), "entrance_unclear");
        // One face that may be theirs: at 0.35 the ratio is 1.
        let mut w = shift();
        pass(&mut w, 30, (0, 0.36), 3, LIVE);
        assert_eq!(ask(&w), "scores_between");
        // A picture of theirs was held up.
        let mut w = shift();
        assert!(pass(&mut w, 30, (0, 0.9), 3, Signal::Live(0.02)).is_empty());
        assert_eq!(ask(&w), "presentation_attack_suspected");
    }

    #[test]
    fn a_face_must_be_likelier_the_more_it_is_compared_with() {
        // Ratio 5 is enough for one; ln 7 more for seven, and ln 60 more for sixty.
        let score = |llr: f32| (llr + 17.5) / 50.0;
        assert_eq!(pass(&mut watch(1), 1, (0, score(5.2)), 1, LIVE), [0]);
        assert!(pass(&mut watch(7), 1, (0, score(6.8)), 1, LIVE).is_empty());
        assert_eq!(pass(&mut watch(7), 1, (0, score(7.1)), 1, LIVE), [0]);
        let sixty = watch(19).seen_llr();
        assert!((sixty - (5.0 + 19f32.ln())).abs() < 1e-5);
    }

    #[test]
    fn a_roster_takes_sixty_and_not_one_more() {
        let mut expected = Expected::under(&Entrance::for_evaluation(), Arc::clone(&TRANSFORM));
        let references = || vec![axis(64, 0).protect(&TRANSFORM).unwrap()];
        assert!((0..60).all(|i| expected.add(references()) == Ok(i)));
        assert_eq!(expected.add(references()), Err(ExpectedError::Full));
        assert_eq!(expected.count(), 60);
        let mut none = Expected::under(&Entrance::for_evaluation(), Arc::clone(&TRANSFORM));
        assert_eq!(none.add(Vec::new()), Err(ExpectedError::References(SubjectError::Nobody)));
    }

    #[test]
    fn who_was_seen_is_compared_with_no_more() {
        let mut w = watch(2);
        assert_eq!(pass(&mut w, 1, (1, 0.8), 1, LIVE), [1]);
        let same = w.expected.subjects.protect(&probe(1, 0.8, 0)).unwrap();
        let scores = w.expected.subjects.scores(&same);
        assert_eq!((scores[1].best, scores[1].mean), (-1.0, -1.0));
        assert!(pass(&mut w, 2, (1, 0.8), 1, LIVE).is_empty());
    }

    #[test]
    fn who_has_passed_is_a_number_and_nothing_else() {
        let w = shift();
        assert!(w.passers.is_empty());
        assert_eq!((w.faces, w.seen()), (16, 6));
        assert!(!w.is_done());
    }

    proptest! {
        #[test]
        fn whoever_passed_once_well_is_never_absent(others in 0usize..20, cosine in 0.36f32..0.99, views in 1usize..5) {
            let mut w = shift();
            for n in 0..others {
                pass(&mut w, 40 + n, STRANGER, 3, LIVE);
            }
            pass(&mut w, 80, (0, cosine), views, LIVE);
            prop_assert_ne!(ask(&w), "absent");
        }
    }
}
