//! The states of an alert, and the steps between them.
//!
//! ```text
//! open ──decide──▶ decided ──reopen, appeal──▶ open
//! open ──the box takes it back──▶ withdrawn
//! ```
//!
//! An alert that was decided before it was taken back stays decided; reopened, or after
//! an appeal, it is withdrawn: nothing is left to decide. No state is left but by one of
//! these, and each takes a person with a reason. What may be found depends on what the
//! alert claims ([`Claim`]).

use super::words::words;
use crate::bureau::store::{ChainState, NO_SCORE};
use crate::protocol::alert::Content;

words! {
    /// What an alert claims.
    Claim {
        /// Somebody was seen well at a window who is neither cardholder nor proxy.
        Mismatch = "mismatch",
        /// A session was billed for somebody whom the entrance that was watched did not see.
        Absent = "absent",
    }
}

impl Claim {
    /// Of an event; nothing if it is no alert, but a later word about one.
    pub const fn of(content: &Content) -> Option<Self> {
        match content {
            Content::Mismatch(_) => Some(Self::Mismatch),
            Content::Absent(_) => Some(Self::Absent),
            Content::Withdrawn(_) | Content::Expired(_) => None,
        }
    }

    /// Of a line of the list, which says it by the score's bin: an absence has no score.
    pub const fn of_bin(score_bin: i64) -> Self {
        if score_bin == NO_SCORE { Self::Absent } else { Self::Mismatch }
    }
}

words! {
    /// What somebody found.
    Decision {
        /// The cardholder was there: the alert was false.
        FalseAlert = "false_alert",
        /// Somebody acted for the cardholder who had not been declared.
        UndeclaredProxy = "undeclared_proxy",
        /// Somebody used the card as if it were theirs.
        Impersonation = "impersonation",
        /// The session that was billed did not take place.
        NotRendered = "not_rendered",
        /// It cannot be established.
        NotEstablished = "not_established",
    }
}

impl Decision {
    /// Whether it can be found of an alert that claims this. Nobody is treated by proxy, and
    /// who stood at a window says nothing of whether a session took place.
    pub const fn fits(self, claim: Claim) -> bool {
        match self {
            Self::FalseAlert | Self::NotEstablished => true,
            Self::UndeclaredProxy | Self::Impersonation => matches!(claim, Claim::Mismatch),
            Self::NotRendered => matches!(claim, Claim::Absent),
        }
    }
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Somebody has to look.
    Open,
    /// Somebody decided.
    Decided(Decision),
    /// The box took it back.
    Withdrawn,
}

impl State {
    /// From the two columns of the store; nothing for words that were never written.
    pub fn read(state: &str, decision: Option<&str>) -> Option<Self> {
        match (state, decision) {
            ("open", None) => Some(Self::Open),
            ("withdrawn", None) => Some(Self::Withdrawn),
            ("decided", Some(d)) => d.parse().ok().map(Self::Decided),
            _ => None,
        }
    }

    /// Its word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Decided(_) => "decided",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// What was decided, if it was.
    pub const fn decision(self) -> Option<Decision> {
        match self {
            Self::Decided(d) => Some(d),
            Self::Open | Self::Withdrawn => None,
        }
    }

    /// The state after a step.
    ///
    /// # Errors
    /// [`Refusal`] if the step does not lead on from here.
    pub const fn after(self, step: Step) -> Result<Self, Refusal> {
        match (self, step) {
            (Self::Withdrawn, _) => Err(Refusal::Withdrawn),
            (Self::Open, Step::Decide(d)) => Ok(Self::Decided(d)),
            (Self::Open, Step::Assign) => Ok(Self::Open),
            // An appeal may come before anybody decided; it is recorded all the same.
            (Self::Open | Self::Decided(_), Step::Appeal) => Ok(Self::Open),
            (Self::Decided(_), Step::Reopen) => Ok(Self::Open),
            (Self::Decided(_), Step::Decide(_) | Step::Assign) => Err(Refusal::Decided),
            (Self::Open, Step::Reopen) => Err(Refusal::Open),
        }
    }
}

/// What a person does with an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Decides it.
    Decide(Decision),
    /// Says who is to look at it.
    Assign,
    /// Opens a decided one again.
    Reopen,
    /// Records that the person concerned asks for a correction, or appeals.
    Appeal,
}

impl Step {
    /// Its word in the history.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decide(_) => "decided",
            Self::Assign => "assigned",
            Self::Reopen => "reopened",
            Self::Appeal => "appealed",
        }
    }

    /// What it decides.
    pub const fn decision(self) -> Option<Decision> {
        match self {
            Self::Decide(d) => Some(d),
            Self::Assign | Self::Reopen | Self::Appeal => None,
        }
    }
}

/// Why a step was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The box took the alert back: nothing is left to decide.
    Withdrawn,
    /// It is decided: it must be reopened first.
    Decided,
    /// It is open already.
    Open,
    /// Somebody did something with it after the page was made.
    Stale,
    /// Its bytes are in doubt: a supervisor has to decide it.
    NeedsSupervisor,
    /// What was found cannot be found of an alert that claims what this one does.
    Unfit,
    /// There is no such alert, or it has reached its limit.
    Gone,
}

/// Whether what the bureau holds is what the box said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Soundness {
    /// The signature is the box's, and nothing contradicts the chain.
    Sound,
    /// The signature does not fit, the chain is broken, or it cannot be read.
    Doubtful,
}

impl Soundness {
    /// Of an alert as it is held. A gap before it says nothing against it.
    pub const fn of(signature_valid: bool, chain: ChainState) -> Self {
        match (signature_valid, chain) {
            (false, _) | (true, ChainState::Broken) => Self::Doubtful,
            (true, ChainState::Ok | ChainState::Gap | ChainState::Expired) => Self::Sound,
        }
    }

    /// Whether somebody may decide.
    ///
    /// # Errors
    /// [`Refusal::NeedsSupervisor`]
    pub const fn admits(self, is_supervisor: bool) -> Result<(), Refusal> {
        match (self, is_supervisor) {
            (Self::Sound, _) | (Self::Doubtful, true) => Ok(()),
            (Self::Doubtful, false) => Err(Refusal::NeedsSupervisor),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_decision() -> impl Strategy<Value = Decision> {
        proptest::sample::select(Decision::ALL.to_vec())
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any_decision().prop_map(Step::Decide),
            Just(Step::Assign),
            Just(Step::Reopen),
            Just(Step::Appeal)
        ]
    }

    fn any_state() -> impl Strategy<Value = State> {
        prop_oneof![Just(State::Open), Just(State::Withdrawn), any_decision().prop_map(State::Decided)]
    }

    #[test]
    fn of_every_claim_the_opposite_and_nothing_can_be_found_and_of_each_its_own() {
        let of = |claim| Decision::ALL.iter().copied().filter(|d| d.fits(claim)).collect::<Vec<_>>();
        use Decision::{FalseAlert, Impersonation, NotEstablished, NotRendered, UndeclaredProxy};
        assert_eq!(of(Claim::Mismatch), [FalseAlert, UndeclaredProxy, Impersonation, NotEstablished]);
        assert_eq!(of(Claim::Absent), [FalseAlert, NotRendered, NotEstablished]);
        assert_eq!([NO_SCORE, 0, 39].map(Claim::of_bin), [Claim::Absent, Claim::Mismatch, Claim::Mismatch]);
    }

    #[test]
    fn doubtful_bytes_are_for_a_supervisor() {
        for (valid, chain, doubtful) in [
            (true, ChainState::Ok, false),
            (true, ChainState::Gap, false),
            (true, ChainState::Expired, false),
            (true, ChainState::Broken, true),
            (false, ChainState::Ok, true),
        ] {
            let s = Soundness::of(valid, chain);
            assert_eq!(s == Soundness::Doubtful, doubtful);
            assert_eq!(s.admits(false).is_err(), doubtful);
            assert!(s.admits(true).is_ok());
        }
    }

    proptest! {
        #[test]
        fn a_state_survives_the_store(state in any_state()) {
            let decision = state.decision().map(Decision::as_str);
            prop_assert_eq!(State::read(state.as_str(), decision), Some(state));
        }

        #[test]
        fn whatever_people_do_only_a_decision_decides_and_nothing_brings_back_what_was_taken_back(
            steps in proptest::collection::vec(any_step(), 0..40), start in any_state())
        {
            let mut state = start;
            for step in steps {
                let Ok(next) = state.after(step) else { continue };
                prop_assert_ne!(state, State::Withdrawn);
                prop_assert_ne!(next, State::Withdrawn);
                // Decided only by a decision, and never one over another.
                prop_assert_eq!(next.decision(), step.decision());
                prop_assert!(step.decision().is_none() || state == State::Open);
                state = next;
            }
            prop_assert_eq!(state == State::Withdrawn, start == State::Withdrawn);
        }
    }
}
