//! The rule: what was seen of everybody, and when that is enough.
//!
//! A match is early: as soon as one person's views together are likely enough
//! to be somebody's who may be there. A mismatch is late: every person at the
//! counter was seen well, in several separate views over a span of time, no view
//! by itself speaks for anybody who may be there, and nothing looks like a
//! picture held to the camera. Everything between is inconclusive. The
//! boundaries and what they cost are the calibration's.
//!
//! At the counter is whoever is not more than twice as far from the camera as the
//! nearest, and did more than cross the edge of the picture. Somebody farther away,
//! in the queue or on a poster, may be the cardholder and then is a match, and is a
//! doubt if they could be; but nobody has to see them well.

use std::sync::Arc;

use crate::crypto::Sha256;
use crate::protocol::alert::{Comparison, QualitySummary};
use crate::protocol::verdict::Inconclusive;
use crate::vision::detect::Face;
use crate::vision::quality::Flaw;

use super::Verdict;
use super::calibration::Calibration;
use super::person::{Fit, Person, Seen, Standing};
use super::subjects::Subjects;

/// That the cardholder or a proxy was there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Present {
    /// The comparison score that decided, -1 to 1.
    pub score: f32,
    /// Its log-likelihood ratio, natural logarithm.
    pub llr: f32,
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

/// Who is narrower than this share of the widest face is more than twice as far away.
const AT_THE_COUNTER: f32 = 0.5;

/// All evidence of one session.
pub struct Evidence<'a> {
    subjects: &'a Subjects,
    calibration: Arc<Calibration>,
    people: Vec<Person>,
}

impl<'a> Evidence<'a> {
    /// Nothing seen yet.
    pub fn new(subjects: &'a Subjects, calibration: Arc<Calibration>) -> Self {
        Self { subjects, calibration, people: Vec::new() }
    }

    fn person(&mut self, number: usize) -> &mut Person {
        if self.people.len() <= number {
            self.people.resize_with(number + 1, Person::default);
        }
        &mut self.people[number]
    }

    /// A face of the person was seen, well or not.
    ///
    /// `at_edge`: it touched the edge of what is looked at.
    pub fn sighting(&mut self, number: usize, face: &Face, at_edge: bool) {
        self.person(number).sighted(face, at_edge);
    }

    /// A face of the person was seen, and not well.
    pub fn flawed(&mut self, number: usize, flaws: &[Flaw]) {
        self.person(number).flawed(flaws);
    }

    /// Whether another view of this person can still change anything.
    pub fn wants(&self, number: usize) -> bool {
        let c = &self.calibration;
        // More views than the calibration has a map for would be worth what nobody measured.
        let enough = c.maps.len().max(c.rule.mismatch_probes as usize);
        self.people.get(number).is_none_or(|p| !p.seen_well(c) || p.views() < enough)
    }

    /// A good view of the person. Decides at once when it is a match.
    pub fn view(&mut self, number: usize, seen: Seen) -> Option<Verdict> {
        let (subjects, calibration) = (self.subjects, Arc::clone(&self.calibration));
        let person = self.person(number);
        // Without scores it is no view: nobody is judged by what cannot be compared.
        person.add(seen, subjects, &calibration)?;
        let fit = person.fit(subjects, &calibration)?;
        let early = fit.best_llr >= calibration.rule.match_llr && !person.may_be_picture(&calibration);
        early.then(|| self.matched(fit))
    }

    fn matched(&self, fit: Fit) -> Verdict {
        let probes = self.people.iter().map(Person::compared).sum();
        Verdict::Match(Present { score: fit.score, llr: fit.best_llr, probes })
    }

    /// The verdict once nothing more will be seen.
    pub fn conclude(&self) -> Verdict {
        let seen = self.people.iter().filter(|p| p.sightings() > 0 && !p.is_phantom());
        let all: Vec<(&Person, Standing)> =
            seen.map(|p| (p, p.standing(self.subjects, &self.calibration))).collect();
        let fits = all.iter().filter_map(|(p, _)| p.fit(self.subjects, &self.calibration));
        let best = fits.map(|f| f.score).reduce(f32::max);
        let inconclusive = |reason| Verdict::Inconclusive(reason, best);
        let widest = all.iter().map(|(p, _)| p.width()).fold(0.0, f32::max);
        let longest = all.iter().map(|(p, _)| p.sightings()).max().unwrap_or(0);
        let (near, far): (Vec<_>, Vec<_>) =
            all.iter().partition(|(p, _)| p.width() >= AT_THE_COUNTER * widest && !p.only_passed(longest));
        let fit = |(_, s): &(_, Standing)| if let Standing::Fits(f) = s { Some(*f) } else { None };
        if let Some(fit) = all.iter().find_map(fit) {
            return self.matched(fit);
        }
        if near.iter().any(|(_, s)| *s == Standing::MayBePicture) {
            return inconclusive(Inconclusive::PresentationAttackSuspected);
        }
        let unclear =
            |(_, s): &&(_, Standing)| if let Standing::Unclear(reason) = s { Some(*reason) } else { None };
        if let Some(reason) = near.iter().chain(&far).find_map(|p| unclear(&p)) {
            return inconclusive(reason);
        }
        let strangers = near.iter().filter(|(_, s)| matches!(s, Standing::Stranger(_))).count();
        if strangers == 0 {
            return inconclusive(why_nobody_was_seen_well(&near));
        }
        if strangers < near.len() {
            return inconclusive(Inconclusive::OthersNotWellSeen);
        }
        match self.mismatch(&near) {
            Some(m) => Verdict::Mismatch(m),
            None => inconclusive(Inconclusive::ScoresBetween),
        }
    }

    /// Every standing must be a stranger's; the one who fits best is told of.
    fn mismatch(&self, people: &[(&Person, Standing)]) -> Option<Mismatch> {
        let mut all: Vec<(&Person, Fit)> = Vec::new();
        for (person, standing) in people {
            let Standing::Stranger(fit) = standing else { return None };
            all.push((*person, *fit));
        }
        let (nearest, fit) = all.into_iter().max_by(|a, b| a.1.score.total_cmp(&b.1.score))?;
        let probes = nearest.witness_views();
        let map = self.calibration.map(probes as usize);
        Some(Mismatch {
            comparison: Comparison {
                model: self.model(),
                score: fit.score,
                threshold: map.score(self.calibration.rule.mismatch_llr),
                log_likelihood_ratio: Some(fit.llr),
                probes,
                span_ms: nearest.span().as_millis() as u64,
                faces: people.len() as u32,
            },
            quality: QualitySummary {
                inter_eye_px: nearest.mean(|q| q.inter_eye),
                detection: nearest.mean(|q| q.detection),
                yaw: nearest.mean(|q| q.yaw),
                sharpness: nearest.mean(|q| q.sharpness),
            },
        })
    }

    fn model(&self) -> Sha256 {
        self.calibration.model
    }
}

/// The reason of whoever was seen most; nobody at all is a reason too.
fn why_nobody_was_seen_well(people: &[(&Person, Standing)]) -> Inconclusive {
    match people.iter().max_by_key(|(p, _)| (p.views(), p.sightings())) {
        Some((_, Standing::NotSeenWell(reason))) => *reason,
        Some(_) => Inconclusive::TooFewViews,
        None => Inconclusive::NoFace,
    }
}

#[cfg(test)]
mod tests {
    use super::super::calibration::tests::simple;
    use super::super::subjects::tests::{along, axis};
    use super::*;
    use crate::clock::BoxTime;
    use crate::protocol::reference::Template;
    use crate::vision::embed::Probe;
    use crate::vision::liveness::Signal;
    use crate::vision::quality::Quality;
    use proptest::prelude::*;

    const Q: Quality = Quality::GOOD;

    /// A probe at the given cosine to the reference, the first axis. What remains
    /// points mostly along the second axis, the face's own, and a little along
    /// one of the others, which makes it a view of its own.
    fn probe(cosine: f32, view: usize) -> Arc<Probe> {
        let mut v = vec![0.0; 64];
        let rest = 1.0 - cosine * cosine;
        v[0] = cosine;
        v[1] = (rest * 0.8).sqrt();
        v[2 + view % 62] = (rest * 0.2).sqrt();
        Arc::new(Probe::for_tests(Template::from_raw(v).unwrap()))
    }

    /// One good view: person, milliseconds, cosine, number of the view.
    type Good = (usize, u64, f32, usize);

    fn seen((_, ms, cosine, view): Good) -> Seen {
        Seen { at: BoxTime::from_millis(ms), probe: probe(cosine, view), quality: Q, liveness: Signal::Off }
    }

    const FACE: Face = Face { score: 0.9, edges: [0.0, 0.0, 100.0, 120.0], landmarks: [[0.0; 2]; 5] };

    fn run_as(views: &[Good], change: impl Fn(Seen) -> Seen) -> Verdict {
        let subjects = along(&[0]);
        let mut e = Evidence::new(&subjects, Arc::new(simple()));
        for v in views {
            e.sighting(v.0, &FACE, false);
            if let Some(verdict) = e.view(v.0, change(seen(*v))) {
                return verdict;
            }
        }
        e.conclude()
    }

    fn words(views: &[Good]) -> String {
        run_as(views, |s| s).outcome().to_string()
    }

    const STRANGER: [Good; 3] = [(0, 0, 0.1, 0), (0, 300, 0.1, 1), (0, 600, 0.1, 2)];

    #[test]
    fn several_separate_views_of_a_stranger_are_a_mismatch() {
        assert_eq!(words(&STRANGER), "mismatch");
        assert_eq!(words(&STRANGER[..2]), "inconclusive(too_few_views)");
        assert_eq!(
            words(&[(0, 0, 0.1, 0), (0, 100, 0.1, 1), (0, 200, 0.1, 2)]),
            "inconclusive(too_few_views)"
        );
        let Verdict::Mismatch(m) = run_as(&STRANGER, |s| s) else { panic!() };
        let c = m.comparison();
        assert_eq!((c.probes, c.span_ms, c.faces), (3, 600, 1));
        assert!(c.score <= c.threshold && c.log_likelihood_ratio < Some(-5.0), "{c:?}");
    }

    #[test]
    fn ten_copies_of_one_still_are_one_view() {
        let copies: Vec<_> = (0..10).map(|i| (0, i * 300, 0.1, 5)).collect();
        assert_eq!(words(&copies), "inconclusive(too_few_views)");
        let copies: Vec<_> = (0..10).map(|i| (0, i * 300, 0.4, 5)).collect();
        assert_eq!(words(&copies), "inconclusive(scores_between)");
    }

    #[test]
    fn one_view_that_comes_too_near_is_a_doubt() {
        assert_eq!(
            words(&[(0, 0, 0.02, 0), (0, 300, 0.42, 1), (0, 600, 0.02, 2), (0, 900, 0.02, 3)]),
            "inconclusive(scores_between)"
        );
        assert_eq!(
            words(&[(0, 0, 0.3, 0), (0, 300, 0.3, 1), (0, 600, 0.3, 2)]),
            "inconclusive(scores_between)"
        );
    }

    #[test]
    fn the_cardholder_beside_a_stranger_is_a_match() {
        assert_eq!(words(&[&STRANGER[..], &[(1, 700, 0.6, 3)]].concat()), "match");
        assert_eq!(
            words(&[&STRANGER[..], &[(1, 700, 0.1, 3)]].concat()),
            "inconclusive(others_not_well_seen)"
        );
    }

    #[test]
    fn nobody_and_nobody_seen_well_are_told_apart() {
        assert_eq!(words(&[]), "inconclusive(no_face)");
        let subjects = along(&[0]);
        let mut e = Evidence::new(&subjects, Arc::new(simple()));
        e.sighting(0, &FACE, false);
        assert_eq!(e.conclude().outcome().to_string(), "inconclusive(doubtful_face)");
        for flaws in [&[Flaw::TooBright, Flaw::LowContrast][..], &[Flaw::TooBright]] {
            e.sighting(0, &FACE, false);
            e.flawed(0, flaws);
        }
        assert_eq!(e.conclude().outcome().to_string(), "inconclusive(too_bright)");
    }

    #[test]
    fn what_cannot_be_compared_is_never_a_stranger() {
        let subjects = along(&[0]);
        let mut e = Evidence::new(&subjects, Arc::new(simple()));
        for v in STRANGER {
            e.sighting(0, &FACE, false);
            let odd = Arc::new(Probe::for_tests(axis(65, 0)));
            assert!(e.view(0, Seen { probe: odd, ..seen(v) }).is_none());
        }
        assert_eq!(e.conclude().outcome().to_string(), "inconclusive(doubtful_face)");
    }

    #[test]
    fn a_mask_keeps_nobody_from_matching_and_nobody_is_accused_in_one() {
        let masked = |s: Seen| Seen { quality: Quality { mouth: 0.1, ..Q }, ..s };
        assert_eq!(run_as(&STRANGER, masked).outcome().to_string(), "inconclusive(occluded)");
        assert_eq!(run_as(&[(0, 0, 0.6, 0)], masked).outcome().to_string(), "match");
    }

    #[test]
    fn a_picture_is_neither_a_match_nor_a_mismatch() {
        let picture = |s: Seen| Seen { liveness: Signal::Live(0.02), ..s };
        let attack = "inconclusive(presentation_attack_suspected)";
        assert_eq!(run_as(&STRANGER, picture).outcome().to_string(), attack);
        assert_eq!(run_as(&[(0, 0, 0.6, 0), (0, 300, 0.6, 1)], picture).outcome().to_string(), attack);
        let close = |s: Seen| Seen { liveness: Signal::TooClose, ..s };
        assert_eq!(run_as(&[(0, 0, 0.6, 0), (0, 300, 0.6, 1)], close).outcome().to_string(), attack);
        let live = |s: Seen| Seen { liveness: Signal::Live(0.97), ..s };
        assert_eq!(run_as(&STRANGER, live).outcome().to_string(), "mismatch");
        assert_eq!(run_as(&[(0, 0, 0.6, 0)], live).outcome().to_string(), "match");
        // The average counts: one doubtful view among good ones is none.
        let one = |s: Seen| Seen {
            liveness: Signal::Live(if s.at == BoxTime::from_millis(0) { 0.1 } else { 0.99 }),
            ..s
        };
        assert_eq!(
            run_as(&[(0, 0, 0.6, 0), (0, 300, 0.6, 1), (0, 600, 0.6, 2)], one).outcome().to_string(),
            "match"
        );
    }

    #[test]
    fn somebody_in_the_queue_need_not_be_seen_well_and_may_be_the_cardholder() {
        let far = Face { edges: [0.0, 0.0, 40.0, 50.0], ..FACE };
        let run = |queue: &[Good], face: Face, edge: bool| {
            let subjects = along(&[0]);
            let mut e = Evidence::new(&subjects, Arc::new(simple()));
            for v in STRANGER {
                e.sighting(v.0, &FACE, false);
                assert!(e.view(v.0, seen(v)).is_none());
            }
            (0..2).for_each(|_| e.sighting(0, &FACE, false));
            e.sighting(1, &face, edge);
            let verdict = queue.iter().find_map(|v| e.view(v.0, seen(*v)));
            verdict.unwrap_or_else(|| e.conclude()).outcome().to_string()
        };
        assert_eq!(run(&[], far, false), "mismatch");
        assert_eq!(run(&[], FACE, false), "inconclusive(others_not_well_seen)");
        assert_eq!(run(&[(1, 0, 0.36, 9)], far, false), "inconclusive(scores_between)");
        assert_eq!(run(&[(1, 0, 0.7, 9)], far, false), "match");
        // Crossing the edge once beside somebody who is seen five times.
        assert_eq!(run(&[], FACE, true), "mismatch");
    }

    #[test]
    fn two_people_taken_for_one_are_a_doubt() {
        let subjects = along(&[0]);
        let mut e = Evidence::new(&subjects, Arc::new(simple()));
        for v in STRANGER {
            e.sighting(0, &FACE, false);
            assert!(e.view(0, seen(v)).is_none());
        }
        e.sighting(0, &FACE, false);
        let other = Arc::new(Probe::for_tests(axis(64, 60)));
        assert!(e.view(0, Seen { probe: other, ..seen((0, 900, 0.0, 0)) }).is_none());
        assert_eq!(e.conclude().outcome().to_string(), "inconclusive(views_disagree)");
    }

    proptest! {
        #[test]
        fn whoever_fits_once_is_never_accused(
            mut views in proptest::collection::vec((0usize..3, 0u64..5000, -0.2f32..0.3, 0usize..60), 0..20),
            at in any::<proptest::sample::Index>(), cosine in 0.41f32..0.99)
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

        #[test]
        fn copies_of_views_never_change_what_is_said(views in proptest::collection::vec((0usize..1, 0u64..3000, 0.0f32..0.4, 0usize..8), 1..8), copies in 1usize..5) {
            let many: Vec<Good> = views.iter().flat_map(|v| std::iter::repeat_n(*v, copies)).collect();
            prop_assert_eq!(words(&many), words(&views));
        }
    }
}
