//! Everybody who may be at the counter, as references that probes can be
//! compared with: the cardholder and the declared proxies of one settlement.
//!
//! There is no way to hold more than that: a [`Subjects`] is made for one
//! settlement, under one box's transform, and what does not fit it does not get in.

use std::sync::Arc;

use crate::crypto::transform::Transform;
use crate::protocol::reference::Protected;
use crate::vision::embed::{Probe, ProtectedProbe};

/// The references of one person who may be at the counter: the cardholder,
/// or a declared proxy. Never empty.
struct Subject(Vec<Protected>);

/// How a probe compares with one person's references; cosines, -1 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Score {
    /// The mean over the references.
    pub mean: f32,
    /// The best of them.
    pub best: f32,
}

impl Subject {
    fn score(&self, probe: &ProtectedProbe) -> Score {
        let scores = self.0.iter().filter_map(|r| probe.compare(r));
        let (sum, n, best) = scores.fold((0.0, 0.0, -1.0f32), |(s, n, b), v| (s + v, n + 1.0, b.max(v)));
        Score { mean: if n > 0.0 { sum / n } else { -1.0 }, best }
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

    /// Overwrites a person's references; nothing is like them any more.
    pub(super) fn forget(&mut self, number: usize) {
        if let Some(subject) = self.all.get_mut(number) {
            subject.0.clear();
        }
    }

    /// A probe under the transform of these references; `None` if it is of
    /// another dimension, or there is nobody to compare it with.
    pub(super) fn protect(&self, probe: &Probe) -> Option<ProtectedProbe> {
        if self.all.is_empty() { None } else { probe.protect(&self.transform) }
    }

    /// How a probe compares with each person.
    pub(super) fn scores(&self, probe: &ProtectedProbe) -> Vec<Score> {
        self.all.iter().map(|s| s.score(probe)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::crypto::transform::TransformKey;
    use crate::protocol::reference::Template;
    use std::sync::LazyLock;

    pub(crate) static TRANSFORM: LazyLock<Arc<Transform>> =
        LazyLock::new(|| Arc::new(TransformKey::new([7; 32]).transform(64)));

    /// The axis of that number.
    pub(crate) fn axis(dimension: usize, number: usize) -> Template {
        let mut v = vec![0.0; dimension];
        v[number] = 1.0;
        Template::from_raw(v).unwrap()
    }

    /// One person with a reference along each of the axes.
    pub(crate) fn along(axes: &[usize]) -> Subjects {
        let mut subjects = Subjects::under(Arc::clone(&TRANSFORM));
        subjects.add(axes.iter().map(|a| axis(64, *a).protect(&TRANSFORM).unwrap()).collect()).unwrap();
        subjects
    }

    #[test]
    fn what_does_not_fit_the_transform_never_gets_in() {
        let other = TransformKey::new([8; 32]);
        let mut subjects = Subjects::under(Arc::clone(&TRANSFORM));
        assert_eq!(subjects.add(Vec::new()), Err(SubjectError::Nobody));
        let foreign = axis(64, 0).protect(&other.transform(64)).unwrap();
        assert_eq!(subjects.add(vec![foreign]), Err(SubjectError::OtherTransform));
        let longer = axis(65, 0).protect(&TransformKey::new([7; 32]).transform(65)).unwrap();
        assert_eq!(subjects.add(vec![longer]), Err(SubjectError::Dimension(65, 64)));
        assert!(subjects.protect(&Probe::for_tests(axis(64, 0))).is_none());
        assert!(along(&[0]).protect(&Probe::for_tests(axis(65, 0))).is_none());
    }

    #[test]
    fn several_references_are_one_person() {
        let subjects = along(&[0, 1]);
        let probe = subjects.protect(&Probe::for_tests(axis(64, 1))).unwrap();
        let [score] = subjects.scores(&probe)[..] else { panic!("one person") };
        assert!((score.best - 1.0).abs() < 1e-6 && (score.mean - 0.5).abs() < 1e-6);
    }
}
