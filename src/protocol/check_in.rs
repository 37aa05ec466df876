//! Check-ins: one photograph from a phone, compared with one cardholder.
//!
//! Promises: the answer's types have no field that could carry a picture, an embedding
//! or a comparison score; a score leaves as its bin of 0.05 alone. What it does not do:
//! say how a photograph is judged; that is `verify::still`.

use serde::{Deserialize, Serialize};

use super::figures::{BINS, ScoreHistogram, bin_of};
use super::id::CardholderId;
use super::verdict::{NotAssessed, words};
use crate::clock::WallTime;

/// Where a photograph is sent.
pub const CHECK_INS_PATH: &str = "/v1/check-ins";

words! {
    /// What a check-in is for.
    Purpose {
        /// An in-patient is seen in the ward.
        WardRound = "ward_round",
        /// A doctor begins work.
        SignIn = "sign_in",
    }
}

words! {
    /// Why one photograph says nothing of who is on it.
    Doubt {
        /// Nobody is on it.
        NoFace = "no_face",
        /// More than one person is on it.
        SeveralFaces = "several_faces",
        /// The face is too small.
        TooSmall = "too_small",
        /// The face fills the picture: nothing can be said about whether it is live.
        TooClose = "too_close",
        /// Something that is hardly a face.
        DoubtfulFace = "doubtful_face",
        /// The head is turned, nodding or tilted.
        TurnedAway = "turned_away",
        /// Out of focus or moving.
        Blurred = "blurred",
        /// Too little light on the face.
        TooDark = "too_dark",
        /// Too much light on the face.
        TooBright = "too_bright",
        /// Flat light, fog on the lens, a hand before it.
        LowContrast = "low_contrast",
        /// The face is cut by the edge of the picture.
        Truncated = "truncated",
        /// Mouth and chin are hidden.
        Occluded = "occluded",
        /// The comparison score lies between the two thresholds.
        ScoresBetween = "scores_between",
        /// A picture of a person may have been held to the camera.
        PresentationAttackSuspected = "presentation_attack_suspected",
    }
}

/// How a check-in ended, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckInOutcome {
    /// The face is the cardholder's.
    Match,
    /// It is not, as far as one photograph can say.
    Mismatch,
    /// Nothing can be said.
    Inconclusive(Doubt),
    /// It was not looked.
    NotAssessed(NotAssessed),
}

impl CheckInOutcome {
    /// Its verdict.
    pub const fn verdict(self) -> CheckInVerdict {
        match self {
            Self::Match => CheckInVerdict::Match,
            Self::Mismatch => CheckInVerdict::Mismatch,
            Self::Inconclusive(_) => CheckInVerdict::Inconclusive,
            Self::NotAssessed(_) => CheckInVerdict::NotAssessed,
        }
    }

    /// The reason, where the verdict has one.
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Match | Self::Mismatch => None,
            Self::Inconclusive(doubt) => Some(doubt.as_str()),
            Self::NotAssessed(reason) => Some(reason.as_str()),
        }
    }
}

words! {
    /// The verdict on one photograph. A mismatch is an answer to whoever asked: no alert
    /// and no case comes of it.
    CheckInVerdict {
        /// The face is the cardholder's.
        Match = "match",
        /// It is not, as far as one photograph can say.
        Mismatch = "mismatch",
        /// Nothing can be said; the reason says why.
        Inconclusive = "inconclusive",
        /// It was not looked; the reason says why.
        NotAssessed = "not_assessed",
    }
}

impl std::str::FromStr for Purpose {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().copied().find(|p| p.as_str() == s);
        known.ok_or_else(|| "expected ward_round or sign_in".to_owned())
    }
}

impl std::str::FromStr for CheckInVerdict {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().copied().find(|v| v.as_str() == s);
        known.ok_or_else(|| "expected match, mismatch, inconclusive or not_assessed".to_owned())
    }
}

/// Most characters of a place.
const MOST_PLACE: usize = 64;

/// Where somebody is seen: a ward and bed, a clinic. 1 to 64 characters on one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 64)]
pub struct PlaceSeen(String);

impl PlaceSeen {
    /// The place as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for PlaceSeen {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let text = s.trim();
        let n = text.chars().count();
        if (1..=MOST_PLACE).contains(&n) && !text.chars().any(char::is_control) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("found {n} characters; allowed as a place: 1 to {MOST_PLACE} on one line"))
    }
}

impl TryFrom<String> for PlaceSeen {
    type Error = String;

    fn try_from(s: String) -> Result<Self, String> {
        s.parse()
    }
}

impl From<PlaceSeen> for String {
    fn from(place: PlaceSeen) -> Self {
        place.0
    }
}

/// The bin of a comparison score: it lies from `from` up to, and without, `to`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScoreBand {
    /// The bin, 0 to 39.
    pub bin: u8,
    /// Its lower border, -1 to 0.95.
    pub from: f64,
    /// Its upper border, -0.95 to 1.
    pub to: f64,
}

impl ScoreBand {
    /// The band of a score, -1 to 1.
    pub fn of(score: f32) -> Self {
        Self::of_bin(u8::try_from(bin_of(score)).unwrap_or(u8::MAX))
    }

    /// The band with this number; beyond the last one, the last one.
    pub fn of_bin(bin: u8) -> Self {
        let last = u8::try_from(BINS - 1).unwrap_or(u8::MAX);
        let bin = bin.min(last);
        let (from, to) = ScoreHistogram::borders(usize::from(bin));
        // Twentieths, as people write them.
        let tidy = |border: f64| (border * 20.0).round() / 20.0;
        Self { bin, from: tidy(from), to: tidy(to) }
    }
}

/// What an app sends, as the parts of a form.
#[derive(utoipa::ToSchema)]
pub struct CheckInRequest {
    /// Who it is said to be; compared with this person alone.
    pub cardholder: CardholderId,
    /// What it is for.
    pub purpose: Purpose,
    /// Where.
    pub place: PlaceSeen,
    /// JPEG or PNG, at most 8 MiB and 25 million pixels.
    #[schema(value_type = String, format = Binary)]
    pub photograph: Vec<u8>,
}

/// What came of it; the fact is kept, the photograph is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CheckInAnswer {
    /// Id of the fact (UUIDv7).
    pub check_in: String,
    /// When it was received.
    pub at: WallTime,
    /// The verdict.
    pub verdict: CheckInVerdict,
    /// Why, where the verdict is `inconclusive` or `not_assessed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The band of the comparison score, where one was compared and nothing speaks for a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_band: Option<ScoreBand>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn places_are_one_line() {
        assert_eq!("  三病区 12 床 ".parse::<PlaceSeen>().unwrap().as_str(), "三病区 12 床");
        for bad in ["", "  ", "a\nb", &"x".repeat(65)] {
            assert!(bad.parse::<PlaceSeen>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for purpose in Purpose::ALL {
            assert_eq!(purpose.as_str().parse(), Ok(*purpose));
        }
        for verdict in CheckInVerdict::ALL {
            assert_eq!(verdict.as_str().parse(), Ok(*verdict));
        }
        assert!("visit".parse::<Purpose>().is_err());
    }

    proptest! {
        #[test]
        fn a_band_says_no_more_of_a_score_than_a_twentieth(score in -1f32..1.0) {
            let band = ScoreBand::of(score);
            prop_assert!(band.from - 1e-5 <= f64::from(score) && f64::from(score) <= band.to + 1e-5);
            prop_assert!((band.to - band.from - 0.05).abs() < 1e-9);
            prop_assert_eq!(ScoreBand::of_bin(band.bin), band);
        }
    }
}
