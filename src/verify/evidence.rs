//! The rule: what was seen of each person, and when that is enough.
//!
//! A match needs one probe that fits very well, or several that fit on
//! average. A mismatch needs every person at the counter to have been seen
//! well, in several separate views over a span of time, and to fit nobody who
//! may be there. Everything between is inconclusive. Views that are nearly the
//! same picture count once, so that a still does not testify ten times.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::BoxTime;
use crate::crypto::Sha256;
use crate::crypto::transform::Transform;
use crate::protocol::alert::{Comparison, QualitySummary};
use crate::protocol::reference::Protected;
use crate::protocol::verdict::Inconclusive;
use crate::vision::embed::{Probe, ProtectedProbe};
use crate::vision::quality::Quality;

use super::Verdict;
use super::calibration::Thresholds;

/// The references of one person who may be at the counter: the cardholder,
/// or a declared proxy. Never empty.
struct Subject(Vec<Protected>);

impl Subject {
    /// The comparison score of a probe: its best over the references.
    fn score(&self, probe: &ProtectedProbe) -> f32 {
        self.0.iter().filter_map(|r| probe.compare(r)).fold(-1.0, f32::max)
    }
}

/// Everybody who may be at the counter, with the one transform that all their
/// references are under. Probes are brought under the same: what does not
/// compare would look like a stranger, and cannot get in here.
pub struct Subjects {
    transform: Arc<Transform>,
    all: Vec<Subject>,
}

/// References that cannot be in one [`Subjects`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SubjectError {
    /// A person without references cannot be compared.
    #[error("somebody who may be at the counter has no references")]
    Nobody,
    /// Made for another box, or before the transform was issued anew.
    #[error("a reference is under another transform than the one at hand")]
    OtherTransform,
    /// Of another model.
    #[error("a reference has {0} numbers; the transform takes {1}")]
    Dimension(usize, usize),
}

impl Subjects {
    /// Nobody yet.
    pub fn under(transform: Arc<Transform>) -> Self {
        Self { transform, all: Vec::new() }
    }

    /// Adds a person.
    ///
    /// # Errors
    /// [`SubjectError`] if the references are none, or do not fit the transform.
    pub fn add(&mut self, references: Vec<Protected>) -> Result<(), SubjectError> {
        if references.is_empty() {
            return Err(SubjectError::Nobody);
        }
        if references.iter().any(|r| r.transform() != self.transform.id()) {
            return Err(SubjectError::OtherTransform);
        }
        let dimension = self.transform.dimension();
        if let Some(r) = references.iter().find(|r| r.dimension() != dimension) {
            return Err(SubjectError::Dimension(r.dimension(), dimension));
        }
        self.all.push(Subject(references));
        Ok(())
    }

    /// The scores of a probe, one for each person; `None` if there is nobody to
    /// compare with, or the probe is of another dimension.
    fn scores(&self, probe: &Probe) -> Option<Vec<f32>> {
        let probe = probe.protect(&self.transform)?;
        (!self.all.is_empty()).then(|| self.all.iter().map(|s| s.score(&probe)).collect())
    }
}

/// That the cardholder or a proxy was there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Present {
    /// The score that decided: one probe's, or a mean.
    pub score: f32,
    /// Probes compared until then.
    pub probes: u32,
}

/// That somebody was seen well who is neither cardholder nor proxy. Made by
/// the rule of this file alone:
///
/// ```compile_fail
/// let m = counterproof::verify::Mismatch { comparison: todo!(), quality: todo!() };
/// ```
/// ```compile_fail
/// fn accuse(p: counterproof::verify::Present) -> counterproof::verify::Mismatch { p.into() }
/// ```
/// ```
/// fn read(m: &counterproof::verify::Mismatch) -> f32 { m.comparison().score }
/// ```
#[derive(Debug)]
pub struct Mismatch {
    comparison: Comparison,
    quality: QualitySummary,
}

impl Mismatch {
    /// What was compared.
    pub fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    /// How well it was seen.
    pub fn quality(&self) -> QualitySummary {
        self.quality
    }
}

/// One separate view of a person.
struct View {
    at: BoxTime,
    probe: Arc<Probe>,
    scores: Vec<f32>,
    quality: Quality,
}

/// What was seen of one person at the counter.
#[derive(Default)]
struct Person {
    sightings: u32,
    best_detection: f32,
    views: Vec<View>,
    repeated: u32,
}

impl Person {
    /// The mean score for the subject that fits best, with the greatest single
    /// score for anybody.
    fn scores(&self) -> Option<(f32, f32)> {
        let n = self.views.len() as f32;
        let subjects = self.views.first()?.scores.len();
        let mean = |s: usize| self.views.iter().filter_map(|v| v.scores.get(s)).sum::<f32>() / n;
        let best = (0..subjects).map(mean).fold(-1.0, f32::max);
        let single = self.views.iter().flat_map(|v| &v.scores).copied().fold(-1.0, f32::max);
        Some((best, single))
    }

    fn span(&self) -> Duration {
        let times = self.views.iter().map(|v| v.at);
        match (times.clone().min(), times.max()) {
            (Some(first), Some(last)) => last.since(first),
            _ => Duration::ZERO,
        }
    }

    fn seen_well(&self, t: &Thresholds) -> bool {
        self.views.len() as u32 >= t.mismatch_probes
            && self.span() >= Duration::from_millis(t.mismatch_span_ms)
    }

    /// Seen once and hardly a face: a pattern, not a person.
    fn is_phantom(&self) -> bool {
        self.sightings <= 1 && self.views.is_empty() && self.best_detection < PHANTOM_DETECTION
    }
}

/// A single sighting below this confidence, never seen well, is no person.
const PHANTOM_DETECTION: f32 = 0.75;

/// All evidence of one session.
pub struct Evidence<'a> {
    subjects: &'a Subjects,
    thresholds: Thresholds,
    model: Sha256,
    people: Vec<Person>,
}

impl<'a> Evidence<'a> {
    /// Nothing seen yet.
    pub fn new(subjects: &'a Subjects, thresholds: Thresholds, model: Sha256) -> Self {
        Self { subjects, thresholds, model, people: Vec::new() }
    }

    fn person(&mut self, number: usize) -> &mut Person {
        if self.people.len() <= number {
            self.people.resize_with(number + 1, Person::default);
        }
        &mut self.people[number]
    }

    /// A face of the person was seen, well or not.
    pub fn sighting(&mut self, number: usize, detection: f32) {
        let person = self.person(number);
        person.sightings += 1;
        person.best_detection = person.best_detection.max(detection);
    }

    /// Whether another view of this person can still change anything.
    pub fn wants(&self, number: usize) -> bool {
        const ENOUGH: usize = 3;
        let t = &self.thresholds;
        self.people
            .get(number)
            .is_none_or(|p| !p.seen_well(t) || p.views.len() < t.mismatch_probes as usize + ENOUGH)
    }

    /// A good view of the person. Decides at once when it is a match.
    pub fn view(
        &mut self,
        number: usize,
        at: BoxTime,
        probe: Arc<Probe>,
        quality: Quality,
    ) -> Option<Verdict> {
        // Without scores it is no view: nobody is judged by what cannot be compared.
        let scores = self.subjects.scores(&probe)?;
        let single = scores.iter().copied().fold(-1.0, f32::max);
        let t = self.thresholds;
        let compared = 1 + self.people.iter().map(|p| p.views.len() as u32 + p.repeated).sum::<u32>();
        let person = self.person(number);
        let known = |v: &View| v.probe.likeness(&probe).is_some_and(|l| l >= t.same_view);
        if person.views.iter().any(known) {
            person.repeated += 1;
        } else {
            person.views.push(View { at, probe, scores, quality });
        }
        if single >= t.match_single {
            return Some(Verdict::Match(Present { score: single, probes: compared }));
        }
        let (mean, _) = person.scores()?;
        (person.views.len() as u32 >= t.match_probes && mean >= t.match_mean)
            .then_some(Verdict::Match(Present { score: mean, probes: compared }))
    }

    /// The verdict once nothing more will be seen.
    pub fn conclude(&self) -> Verdict {
        let t = &self.thresholds;
        let people: Vec<&Person> =
            self.people.iter().filter(|p| p.sightings > 0 && !p.is_phantom()).collect();
        let scores = people.iter().filter_map(|p| p.scores()).map(|(mean, _)| mean);
        let best = scores.reduce(f32::max);
        let inconclusive = |reason| Verdict::Inconclusive(reason, best);
        if people.is_empty() {
            return inconclusive(Inconclusive::NoFace);
        }
        if people.iter().all(|p| p.views.is_empty()) {
            return inconclusive(Inconclusive::PoorQuality);
        }
        let fits_nobody = |p: &Person| {
            p.scores().is_some_and(|(mean, single)| mean <= t.mismatch_mean && single <= t.mismatch_single)
        };
        if people.iter().any(|p| !p.views.is_empty() && !fits_nobody(p)) {
            return inconclusive(Inconclusive::ScoresBetween);
        }
        if !people.iter().any(|p| p.seen_well(t)) {
            return inconclusive(Inconclusive::TooFewViews);
        }
        if !people.iter().all(|p| p.seen_well(t)) {
            return inconclusive(Inconclusive::OthersNotWellSeen);
        }
        match self.mismatch(&people) {
            Some(m) => Verdict::Mismatch(m),
            None => inconclusive(Inconclusive::PoorQuality),
        }
    }

    fn mismatch(&self, people: &[&Person]) -> Option<Mismatch> {
        let nearest = people.iter().max_by(|a, b| {
            let mean = |p: &Person| p.scores().map_or(-1.0, |(m, _)| m);
            mean(a).total_cmp(&mean(b))
        })?;
        let n = nearest.views.len() as f32;
        let mean = |f: fn(&Quality) -> f32| nearest.views.iter().map(|v| f(&v.quality)).sum::<f32>() / n;
        Some(Mismatch {
            comparison: Comparison {
                model: self.model,
                score: nearest.scores()?.0,
                threshold: self.thresholds.mismatch_mean,
                probes: nearest.views.len() as u32,
                span_ms: nearest.span().as_millis() as u64,
                faces: people.len() as u32,
            },
            quality: QualitySummary {
                inter_eye_px: mean(|q| q.inter_eye),
                detection: mean(|q| q.detection),
                yaw: mean(|q| q.yaw),
                sharpness: mean(|q| q.sharpness),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::transform::TransformKey;
    use crate::protocol::reference::Template;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static TRANSFORM: LazyLock<Arc<Transform>> =
        LazyLock::new(|| Arc::new(TransformKey::new([7; 32]).transform(64)));

    const T: Thresholds = Thresholds {
        match_single: 0.5,
        match_mean: 0.4,
        match_probes: 2,
        mismatch_mean: 0.25,
        mismatch_single: 0.35,
        mismatch_probes: 3,
        mismatch_span_ms: 500,
        same_view: 0.99,
    };
    const Q: Quality = Quality {
        inter_eye: 60.0,
        detection: 0.9,
        yaw: 0.1,
        sharpness: 100.0,
        brightness: 120.0,
        contrast: 40.0,
        inside: 1.0,
    };

    /// A reference along the first axis, and a probe at the given cosine to it
    /// whose remainder points along axis `k`.
    fn subject() -> Subjects {
        let mut v = vec![0.0; 64];
        v[0] = 1.0;
        let reference = Template::from_raw(v).unwrap().protect(&TRANSFORM).unwrap();
        let mut subjects = Subjects::under(Arc::clone(&TRANSFORM));
        subjects.add(vec![reference]).unwrap();
        subjects
    }

    fn axis(dimension: usize) -> Template {
        let mut v = vec![0.0; dimension];
        v[0] = 1.0;
        Template::from_raw(v).unwrap()
    }

    #[test]
    fn what_does_not_fit_the_transform_never_gets_in_and_is_never_a_stranger() {
        let other = TransformKey::new([8; 32]);
        let mut subjects = Subjects::under(Arc::clone(&TRANSFORM));
        assert_eq!(subjects.add(Vec::new()), Err(SubjectError::Nobody));
        let foreign = axis(64).protect(&other.transform(64)).unwrap();
        assert_eq!(subjects.add(vec![foreign]), Err(SubjectError::OtherTransform));
        let longer = axis(65).protect(&TransformKey::new([7; 32]).transform(65)).unwrap();
        assert_eq!(subjects.add(vec![longer]), Err(SubjectError::Dimension(65, 64)));
        let subjects = subject();
        let mut e = Evidence::new(&subjects, T, Sha256::of(b"m"));
        for ms in [0, 300, 600, 900] {
            e.sighting(0, 0.9);
            let odd = Arc::new(Probe::for_tests(axis(65)));
            assert!(e.view(0, BoxTime::from_millis(ms), odd, Q).is_none());
        }
        assert_eq!(e.conclude().outcome().to_string(), "inconclusive(poor_quality)");
    }

    fn probe(cosine: f32, k: usize) -> Arc<Probe> {
        let mut v = vec![0.0; 64];
        v[0] = cosine;
        v[1 + k % 63] = (1.0 - cosine * cosine).sqrt();
        Arc::new(Probe::for_tests(Template::from_raw(v).unwrap()))
    }

    fn run(views: &[(usize, u64, f32, usize)]) -> Verdict {
        let subjects = subject();
        let mut e = Evidence::new(&subjects, T, Sha256::of(b"m"));
        for (person, ms, cosine, k) in views {
            e.sighting(*person, 0.9);
            if let Some(v) = e.view(*person, BoxTime::from_millis(*ms), probe(*cosine, *k), Q) {
                return v;
            }
        }
        e.conclude()
    }

    fn words(views: &[(usize, u64, f32, usize)]) -> String {
        run(views).outcome().to_string()
    }

    #[test]
    fn several_separate_views_of_a_stranger_are_a_mismatch() {
        assert_eq!(words(&[(0, 0, 0.1, 0), (0, 300, 0.1, 1), (0, 600, 0.1, 2)]), "mismatch");
        assert_eq!(words(&[(0, 0, 0.1, 0), (0, 300, 0.1, 1)]), "inconclusive(too_few_views)");
        assert_eq!(
            words(&[(0, 0, 0.1, 0), (0, 100, 0.1, 1), (0, 200, 0.1, 2)]),
            "inconclusive(too_few_views)"
        );
    }

    #[test]
    fn ten_copies_of_one_still_are_one_view() {
        let copies: Vec<_> = (0..10).map(|i| (0, i * 300, 0.1, 5)).collect();
        assert_eq!(words(&copies), "inconclusive(too_few_views)");
    }

    #[test]
    fn one_view_that_comes_too_near_is_a_doubt() {
        assert_eq!(
            words(&[(0, 0, 0.1, 0), (0, 300, 0.36, 1), (0, 600, 0.1, 2)]),
            "inconclusive(scores_between)"
        );
        assert_eq!(
            words(&[(0, 0, 0.3, 0), (0, 300, 0.3, 1), (0, 600, 0.3, 2)]),
            "inconclusive(scores_between)"
        );
    }

    #[test]
    fn the_cardholder_beside_a_stranger_is_a_match() {
        let stranger = [(0, 0, 0.0, 0), (0, 300, 0.0, 1), (0, 600, 0.0, 2)];
        assert_eq!(words(&[&stranger[..], &[(1, 700, 0.6, 3)]].concat()), "match");
        assert_eq!(
            words(&[&stranger[..], &[(1, 700, 0.1, 3)]].concat()),
            "inconclusive(others_not_well_seen)"
        );
    }

    #[test]
    fn nobody_and_nobody_seen_well_are_told_apart() {
        assert_eq!(words(&[]), "inconclusive(no_face)");
        let subjects = subject();
        let mut e = Evidence::new(&subjects, T, Sha256::of(b"m"));
        e.sighting(0, 0.9);
        assert_eq!(e.conclude().outcome().to_string(), "inconclusive(poor_quality)");
    }

    proptest! {
        #[test]
        fn whoever_fits_once_is_never_accused(
            mut views in proptest::collection::vec((0usize..3, 0u64..5000, -0.2f32..0.3, 0usize..60), 0..20),
            at in any::<proptest::sample::Index>(), cosine in 0.36f32..0.99)
        {
            let i = at.index(views.len() + 1);
            views.insert(i, (0, 2500, cosine, 61));
            prop_assert_ne!(words(&views), "mismatch");
        }

        #[test]
        fn more_views_of_the_same_kind_never_turn_a_stranger_into_a_match(n in 1u64..30, cosine in -0.5f32..0.24) {
            let views: Vec<_> = (0..n).map(|i| (0, i * 200, cosine, i as usize)).collect();
            prop_assert_ne!(words(&views), "match");
        }
    }
}
