//! One photograph against one person: what a check-in by phone asks.
//!
//! Promises: the same detector, gate, alignment, recognizer, liveness model and
//! calibration as at a counter, with the map for one view; exactly one face is judged,
//! or the photograph says nothing; a doubt is never a mismatch. What comes out is a word
//! ([`Said`]) and no [`Mismatch`](super::Mismatch), so that no alert can be made of it:
//! one view never accuses.
//!
//! What it does not do: decode, choose whom to compare with, or keep anything.

use super::calibration::Calibration;
use super::subjects::{Score, Subjects};
use crate::frame::{Frame, Region};
use crate::protocol::check_in::Doubt;
use crate::vision::Vision;
use crate::vision::detect::Face;
use crate::vision::liveness::Signal;
use crate::vision::model::ModelError;
use crate::vision::quality::{Flaw, Gate};

/// A face less than a third as wide as the widest is a bystander or a pattern; the same
/// as at enrolment.
const RIVAL: f32 = 3.0;

/// What a photograph says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The face is that of the person compared with.
    Match,
    /// It is not, as far as one photograph can say.
    Mismatch,
    /// Nothing can be said.
    Inconclusive(Doubt),
}

/// What a photograph says, with the comparison score where that may be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// The word.
    pub said: Said,
    /// The score, -1 to 1; nothing where it was not compared, or where a picture may have
    /// been held to the camera: whoever does that learns nothing of how alike it is.
    pub score: Option<f32>,
}

/// Why a photograph could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// A model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The references are of another length than the recognizer's embeddings, or none.
    #[error("the references cannot be compared with the recognizer's embeddings")]
    Incomparable,
}

impl Look {
    const fn doubt(doubt: Doubt) -> Self {
        Self { said: Said::Inconclusive(doubt), score: None }
    }
}

/// Looks at one photograph. `subjects` are one person's references.
///
/// # Errors
/// [`LookError`] if a model fails, or there is nothing to compare with.
pub fn look(
    vision: &mut Vision,
    calibration: &Calibration,
    subjects: &Subjects,
    frame: &Frame,
) -> Result<Look, LookError> {
    let faces = vision.find_in_still(frame)?;
    let face = match only(&faces) {
        Ok(face) => face,
        Err(doubt) => return Ok(Look::doubt(doubt)),
    };
    let crop = vision.align(frame, face);
    let quality = vision.judge(frame, &Region::WHOLE, face, &crop);
    if let Some(flaw) = quality.flaws(&Gate::PROBE).first() {
        return Ok(Look::doubt(doubt_of(*flaw)));
    }
    let probe = vision.embed(&crop)?;
    let signal = vision.liveness(frame, face)?;
    let protected = subjects.protect(&probe).ok_or(LookError::Incomparable)?;
    let [score] = subjects.scores(&protected)[..] else { return Err(LookError::Incomparable) };
    Ok(judge(calibration, score, signal, quality.flaws(&Gate::WITNESS).first().copied()))
}

/// The face, if there is exactly one that could be meant.
fn only(faces: &[Face]) -> Result<&Face, Doubt> {
    let widest = faces.iter().max_by(|a, b| a.width().total_cmp(&b.width())).ok_or(Doubt::NoFace)?;
    match faces.iter().filter(|f| f.width() * RIVAL >= widest.width()).count() {
        1 => Ok(widest),
        _ => Err(Doubt::SeveralFaces),
    }
}

/// The rule: as at a counter, but that nothing comes of a mismatch. `hidden` is what
/// keeps this view from speaking against anybody.
fn judge(calibration: &Calibration, score: Score, signal: Signal, hidden: Option<Flaw>) -> Look {
    let (map, rule) = (calibration.map(1), &calibration.rule);
    let (all, best) = (map.llr(score.mean), map.llr(score.best));
    let said = if best >= rule.match_llr {
        Said::Match
    } else if all <= rule.mismatch_llr && best < 0.0 {
        hidden.map_or(Said::Mismatch, |flaw| Said::Inconclusive(doubt_of(flaw)))
    } else {
        Said::Inconclusive(Doubt::ScoresBetween)
    };
    match (said, picture(calibration, signal)) {
        (Said::Match | Said::Mismatch, Some(doubt)) => Look::doubt(doubt),
        _ => Look { said, score: Some(score.mean) },
    }
}

/// Whether the photograph may be one of a picture.
fn picture(calibration: &Calibration, signal: Signal) -> Option<Doubt> {
    let least = calibration.liveness.map_or(1.0, |l| l.least_mean);
    match signal {
        Signal::Off => None,
        Signal::TooClose => Some(Doubt::TooClose),
        Signal::Live(live) if live >= least => None,
        // Below it, or not a number.
        Signal::Live(_) => Some(Doubt::PresentationAttackSuspected),
    }
}

const fn doubt_of(flaw: Flaw) -> Doubt {
    match flaw {
        Flaw::TooSmall => Doubt::TooSmall,
        Flaw::DoubtfulFace | Flaw::HardToRecognize => Doubt::DoubtfulFace,
        Flaw::TurnedAway => Doubt::TurnedAway,
        Flaw::Blurred => Doubt::Blurred,
        Flaw::TooDark => Doubt::TooDark,
        Flaw::TooBright => Doubt::TooBright,
        Flaw::LowContrast => Doubt::LowContrast,
        Flaw::Truncated => Doubt::Truncated,
        Flaw::Occluded => Doubt::Occluded,
    }
}

#[cfg(test)]
mod tests {
    use super::super::calibration::tests::simple;
    use super::*;
    use proptest::prelude::*;

    fn face(x: f32, width: f32) -> Face {
        Face { score: 0.9, edges: [x, 0.0, x + width, width], landmarks: [[x, 0.0]; 5] }
    }

    fn said(mean: f32, best: f32, signal: Signal, hidden: Option<Flaw>) -> Said {
        judge(&simple(), Score { mean, best }, signal, hidden).said
    }

    const LIVE: Signal = Signal::Live(0.9);

    #[test]
    fn one_face_is_judged_and_two_are_not() {
        assert_eq!(only(&[]).err(), Some(Doubt::NoFace));
        assert_eq!(only(&[face(0.0, 20.0), face(50.0, 100.0)]).unwrap().width(), 100.0);
        assert_eq!(only(&[face(0.0, 40.0), face(50.0, 100.0)]).err(), Some(Doubt::SeveralFaces));
    }

    #[test]
    fn a_doubt_is_never_a_mismatch() {
        // The simple map: ratio 0 at 0.35, 5 at 0.45, -5 at 0.25.
        assert_eq!(said(0.5, 0.5, LIVE, None), Said::Match);
        assert_eq!(said(0.1, 0.1, LIVE, None), Said::Mismatch);
        assert_eq!(said(0.1, 0.4, LIVE, None), Said::Inconclusive(Doubt::ScoresBetween));
        assert_eq!(said(0.3, 0.3, LIVE, None), Said::Inconclusive(Doubt::ScoresBetween));
        assert_eq!(said(0.1, 0.1, LIVE, Some(Flaw::Occluded)), Said::Inconclusive(Doubt::Occluded));
        assert_eq!(said(0.5, 0.5, LIVE, Some(Flaw::Occluded)), Said::Match);
    }

    #[test]
    fn whoever_holds_up_a_picture_learns_nothing_of_how_alike_it_is() {
        let score = Score { mean: 0.6, best: 0.6 };
        for (signal, doubt) in [
            (Signal::Live(0.1), Doubt::PresentationAttackSuspected),
            (Signal::Live(f32::NAN), Doubt::PresentationAttackSuspected),
            (Signal::TooClose, Doubt::TooClose),
        ] {
            assert_eq!(judge(&simple(), score, signal, None), Look::doubt(doubt));
        }
        assert_eq!(judge(&simple(), score, LIVE, None).score, Some(0.6));
    }

    proptest! {
        #[test]
        fn who_is_more_alike_is_never_a_mismatch_where_less_is_not(a in -1f32..1.0, more in 0f32..1.0) {
            let (low, high) = (said(a, a, LIVE, None), said(a + more, a + more, LIVE, None));
            prop_assert!(!(high == Said::Mismatch && low != Said::Mismatch));
            prop_assert!(!(low == Said::Match && high != Said::Match));
        }
    }
}
