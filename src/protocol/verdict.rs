//! The words for how a verification ended.
//!
//! These are labels: what is counted, audited and shown. The evidence behind a
//! mismatch is a type of `verify`, and no label becomes an alert.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every word there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word as it stands in audit rows, metrics and postures.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(super) use words;

words! {
    /// Why faces were looked for and nothing could be said.
    Inconclusive {
        /// Nobody was seen in the region.
        NoFace = "no_face",
        /// A face was seen, but too far away.
        TooSmall = "too_small",
        /// Something was seen that is hardly a face.
        DoubtfulFace = "doubtful_face",
        /// The head was turned, nodding or tilted.
        TurnedAway = "turned_away",
        /// Out of focus or moving.
        Blurred = "blurred",
        /// Too little light on the face.
        TooDark = "too_dark",
        /// Too much light on the face.
        TooBright = "too_bright",
        /// Flat light, fog on the lens, a hand before it.
        LowContrast = "low_contrast",
        /// The face was cut by the edge of the region or the picture.
        Truncated = "truncated",
        /// Mouth and chin were hidden: a mask, a scarf, a hand, a bandage.
        Occluded = "occluded",
        /// A face was seen well, but in too few separate views.
        TooFewViews = "too_few_views",
        /// The comparison scores lie between the two thresholds.
        ScoresBetween = "scores_between",
        /// Views that were taken for one person's are unlike each other.
        ViewsDisagree = "views_disagree",
        /// A picture of a person may have been held to the camera.
        PresentationAttackSuspected = "presentation_attack_suspected",
        /// Somebody else was there who was not seen well.
        OthersNotWellSeen = "others_not_well_seen",
        /// The neighbours' settlements leave too little of the window.
        WindowTooShort = "window_too_short",
        /// A settlement of somebody else was named late, inside the window.
        NeighbourNamedLate = "neighbour_named_late",
        /// The frames of the window could not be decoded.
        UnreadableFrames = "unreadable_frames",
        /// No edge in the camera's picture is sharp.
        CameraOutOfFocus = "camera_out_of_focus",
        /// The camera may have been moved: the last look at it did not show its usual view.
        CameraInDoubt = "camera_in_doubt",
        /// The entrance was not observed for enough of the shift.
        EntranceNotObserved = "entrance_not_observed",
        /// Too many of those who passed the entrance were not seen well.
        EntranceUnclear = "entrance_unclear",
        /// Too few of the others who were expected were seen at the entrance.
        OthersNotSeen = "others_not_seen",
    }
}

words! {
    /// Why no face was looked for, or the looking broke off.
    NotAssessed {
        /// The cardholder has no reference.
        NoReference = "no_reference",
        /// A declared proxy has no usable reference.
        ProxyUnknown = "proxy_unknown",
        /// The bureau could not be asked in time.
        ReferencesUnavailable = "references_unavailable",
        /// Times cannot be trusted within the bound.
        ClockUncertain = "clock_uncertain",
        /// The camera sent nothing in the window.
        CameraSilent = "camera_silent",
        /// The camera sent the same picture all the time.
        CameraFrozen = "camera_frozen",
        /// The camera's picture is black.
        CameraBlack = "camera_black",
        /// Something is before the camera's lens, or it is blinded.
        CameraCovered = "camera_covered",
        /// The camera does not look where it looked when it was aimed.
        CameraMoved = "camera_moved",
        /// Too many settlements at once.
        Overload = "overload",
        /// The box was restarted in between.
        Restarted = "restarted",
        /// A session was billed for somebody whom no shift's roster names.
        NoRoster = "no_roster",
        /// The HIS cancelled the settlement before a verdict.
        Cancelled = "cancelled",
        /// The configuration does not verify this kind of settlement.
        OutOfScope = "out_of_scope",
        /// Something that must work did not: models, memory, a worker.
        Fault = "fault",
    }
}

/// How a verification ended, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The cardholder or a declared proxy was there.
    Match,
    /// Somebody was seen well, and it was neither.
    Mismatch,
    /// A session was billed, and the entrance that was watched for the cardholder did not
    /// see them.
    Absent,
    /// Nothing can be said.
    Inconclusive(Inconclusive),
    /// It was not looked.
    NotAssessed(NotAssessed),
}

impl Outcome {
    /// The verdicts that have no reason beside them.
    pub const PLAIN: [Self; 3] = [Self::Match, Self::Mismatch, Self::Absent];

    /// Whether an armed box raises an alert about it.
    pub const fn accuses(self) -> bool {
        matches!(self, Self::Mismatch | Self::Absent)
    }

    /// `match`, `mismatch`, `absent`, `inconclusive` or `not_assessed`.
    pub const fn verdict(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Mismatch => "mismatch",
            Self::Absent => "absent",
            Self::Inconclusive(_) => "inconclusive",
            Self::NotAssessed(_) => "not_assessed",
        }
    }

    /// The reason, where the verdict has one; else empty.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Match | Self::Mismatch | Self::Absent => "",
            Self::Inconclusive(r) => r.as_str(),
            Self::NotAssessed(r) => r.as_str(),
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.reason() {
            "" => f.write_str(self.verdict()),
            reason => write!(f, "{}({reason})", self.verdict()),
        }
    }
}
