//! The forms at the foot of the page: who may use which.

use super::super::visitor::Visitor;
use super::{Opened, Refused};
use crate::bureau::accounts::Role;
use crate::bureau::review::{Decision, LetterKind, Soundness, State};

/// One thing to choose.
pub(super) struct Choice {
    /// What the form sends.
    pub(super) value: &'static str,
    /// What stands beside it.
    pub(super) label: String,
    /// The key that chooses it.
    pub(super) key: usize,
}

/// What the visitor may do now.
pub(super) struct Forms {
    /// The number of the last step on this page.
    pub(super) seen: i64,
    /// What was written into a form that could not be taken.
    pub(super) note: String,
    pub(super) can_decide: bool,
    /// A supervisor has to decide it, and the visitor is none.
    pub(super) needs_supervisor: bool,
    /// Its bytes are in doubt.
    pub(super) is_doubtful: bool,
    pub(super) can_reopen: bool,
    pub(super) can_appeal: bool,
    pub(super) is_withdrawn: bool,
    /// It was taken back after somebody had decided it.
    pub(super) is_withdrawn_late: bool,
    pub(super) is_supervisor: bool,
    /// Who is to look at it now.
    pub(super) assignee: String,
    pub(super) decisions: Vec<Choice>,
    pub(super) letters: Vec<Choice>,
}

impl Forms {
    pub(super) fn of(visitor: &Visitor, opened: &Opened, refused: &Refused) -> Self {
        let words = visitor.words();
        let (state, soundness) = (opened.state(), opened.soundness());
        let is_supervisor = visitor.has(Role::Supervisor);
        let admitted = soundness.admits(is_supervisor).is_ok();
        let decision = |(n, d): (usize, &Decision)| Choice {
            value: d.as_str(),
            label: words.word("review-decision", d.as_str()),
            key: n + 1,
        };
        let letter = |(n, k): (usize, &LetterKind)| Choice {
            value: k.as_str(),
            label: words.word("alert-letter", k.as_str()),
            key: n + 1,
        };
        Self {
            seen: opened.last_step(),
            note: refused.note.clone(),
            can_decide: state == State::Open && admitted,
            needs_supervisor: state == State::Open && !admitted,
            is_doubtful: soundness == Soundness::Doubtful,
            can_reopen: matches!(state, State::Decided(_)),
            can_appeal: state != State::Withdrawn,
            is_withdrawn: state == State::Withdrawn,
            is_withdrawn_late: matches!(state, State::Decided(_)) && opened.alert.withdrawn_at.is_some(),
            is_supervisor,
            assignee: if opened.blind {
                String::new()
            } else {
                opened.listing.assignee.clone().unwrap_or_default()
            },
            decisions: Decision::ALL
                .iter()
                .filter(|d| d.fits(opened.listing.claim))
                .enumerate()
                .map(decision)
                .collect(),
            letters: LetterKind::ALL.iter().enumerate().map(letter).collect(),
        }
    }
}
