//! Ways to evidence without a picture: what is asked of whom, and until when.
//!
//! An alert has no picture, so what decides is elsewhere: the hospital's own
//! surveillance recording, the cardholder's word, somebody's statement, the papers of
//! the settlement. Each is a letter that somebody drafts, prints, sends by the post or
//! by hand, and enters the answer of. Nothing is sent by the program.

use super::config::ReviewConfig;
use super::words::words;
use crate::clock::WallTime;

const DAY_MS: i64 = 24 * 3600 * 1000;

words! {
    /// What is asked for.
    LetterKind {
        /// The hospital keeps its own surveillance recording of that minute.
        Recording = "recording",
        /// The cardholder is asked: did you come yourself, who acted for you?
        Inquiry = "inquiry",
        /// A statement, to be filled in by hand.
        Statement = "statement",
        /// The hospital's papers of the settlement.
        Documents = "documents",
    }
}

words! {
    /// How far it is.
    LetterState {
        /// Made, and not yet sent.
        Drafted = "drafted",
        /// On its way, or being thought about.
        Sent = "sent",
        /// Answered.
        Answered = "answered",
        /// Whoever was asked would not, or could not.
        Refused = "refused",
    }
}

impl LetterState {
    /// Whether somebody may put it from here to there.
    pub const fn leads_to(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Drafted, Self::Sent | Self::Answered | Self::Refused)
                | (Self::Sent, Self::Answered | Self::Refused)
        )
    }

    /// Whether it still waits for something.
    pub const fn waits(self) -> bool {
        matches!(self, Self::Drafted | Self::Sent)
    }

    /// Whether its time is over: it waits, and its day has passed.
    pub fn is_overdue(self, due: WallTime, now: WallTime) -> bool {
        self.waits() && due < now
    }
}

impl LetterKind {
    /// By when it should be answered. A recording is gone when it is overwritten, so its
    /// time runs from the settlement; every other one's from when it was made.
    pub fn due(self, settled: WallTime, now: WallTime, config: &ReviewConfig) -> WallTime {
        let (from, days) = match self {
            Self::Recording => (settled, config.recording_days),
            Self::Inquiry | Self::Statement | Self::Documents => (now, config.reply_days),
        };
        WallTime::from_millis(from.as_millis().saturating_add(i64::from(days).saturating_mul(DAY_MS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_due_by_its_settlement_and_the_rest_by_when_they_were_made() {
        let at = |days: i64| WallTime::from_millis(days * DAY_MS);
        let config = ReviewConfig::default();
        assert_eq!(LetterKind::Recording.due(at(0), at(29), &config), at(30));
        assert_eq!(LetterKind::Inquiry.due(at(0), at(29), &config), at(44));
        assert!(LetterState::Drafted.is_overdue(at(30), at(31)));
        assert!(!LetterState::Sent.is_overdue(at(30), at(30)));
        assert!(!LetterState::Answered.is_overdue(at(30), at(31)));
    }

    #[test]
    fn what_is_answered_or_refused_stays_so() {
        for from in LetterState::ALL {
            for to in LetterState::ALL {
                assert!(!from.leads_to(*to) || (from.waits() && from != to), "{from} {to}");
            }
        }
    }
}
