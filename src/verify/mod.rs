//! From samples and references to a verdict.
//!
//! [`session::Session`] is a plain object, used alike by the agent and by
//! evaluation; [`still`] judges one photograph; [`subjects`] are whoever may be there; [`person`] is what was
//! seen of one face; [`evidence`] holds the rule that decides; [`calibration`]
//! says what a score is worth, for the one model it was made for.
//!
//! Promises: a probe is compared with one cardholder's references and those of
//! that settlement's declared proxies, or, at an entrance that the policy declares, with
//! those of one shift's [`roster`]; there is no type here that could hold a gallery; a doubt is never a mismatch; a [`Mismatch`] is made by the
//! rule and by nothing else.

pub mod calibration;
pub mod evidence;
pub mod person;
pub mod roster;
pub mod session;
pub mod still;
pub mod subjects;

use crate::protocol::verdict::{Inconclusive, Outcome};

pub use evidence::{Mismatch, Present};

/// How a session ended.
#[derive(Debug)]
pub enum Verdict {
    /// The cardholder or a declared proxy was there.
    Match(Present),
    /// Somebody was seen well, and it was neither.
    Mismatch(Mismatch),
    /// Nothing can be said; with the best comparison score, where there was one.
    Inconclusive(Inconclusive, Option<f32>),
}

impl Verdict {
    /// The verdict in words.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Match(_) => Outcome::Match,
            Self::Mismatch(_) => Outcome::Mismatch,
            Self::Inconclusive(reason, _) => Outcome::Inconclusive(*reason),
        }
    }

    /// The score that decided, where one did.
    pub fn score(&self) -> Option<f32> {
        match self {
            Self::Match(p) => Some(p.score),
            Self::Mismatch(m) => Some(m.comparison().score),
            Self::Inconclusive(_, score) => *score,
        }
    }
}
