//! What the queue is asked for: which alerts, in which order, from where on.

use crate::bureau::review::Claim;
use crate::clock::WallTime;
use crate::protocol::id::{AlertId, CounterId, HospitalId};

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum QueueState {
    /// Nobody has decided it.
    Open,
    /// Somebody has.
    Decided,
    /// The settlement was cancelled.
    Withdrawn,
}

impl QueueState {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Open, Self::Decided, Self::Withdrawn];

    /// Its word in the store and in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Decided => "decided",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The state of that word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }
}

/// In which order alerts are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueueOrder {
    /// The most serious first; among equals the newest.
    #[default]
    Serious,
    /// The newest first.
    Newest,
}

/// Who works on an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assignee {
    /// Nobody yet.
    Nobody,
    /// Whoever signs in with this name.
    Account(String),
}

/// Which alerts are listed; what is left out does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueFilter {
    /// In these states; all if empty.
    pub states: Vec<QueueState>,
    /// Of one hospital.
    pub hospital: Option<HospitalId>,
    /// Of the hospitals of one district.
    pub district: Option<String>,
    /// Of counters of this name.
    pub counter: Option<CounterId>,
    /// Settled at or after.
    pub from: Option<WallTime>,
    /// Settled before.
    pub until: Option<WallTime>,
    /// Of those that claim this.
    pub claim: Option<Claim>,
    /// The score's bin, from and to, both included.
    pub bins: Option<(i64, i64)>,
    /// Least amount, in fen.
    pub amount_from: Option<i64>,
    /// Greatest amount, in fen.
    pub amount_to: Option<i64>,
    /// Who works on it.
    pub assignee: Option<Assignee>,
    /// The mark of a cardholder.
    pub cardholder: Option<String>,
    /// Arrived after this number.
    pub arrived_after: Option<i64>,
    /// Which of all.
    pub among: Among,
}

impl QueueFilter {
    /// Whether it names alerts, or their cardholder: few, which are found by that.
    pub(super) const fn names_few(&self) -> bool {
        self.cardholder.is_some() || matches!(self.among, Among::Only(_))
    }
}

/// Which alerts a filter looks at before it looks at anything else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Among {
    /// Every one.
    #[default]
    All,
    /// These few.
    Only(Vec<AlertId>),
    /// All but these few.
    Without(Vec<AlertId>),
}

/// The place of an alert in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuePlace {
    /// How serious.
    pub seriousness: i64,
    /// Its number by arrival.
    pub arrival: i64,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueueFrom {
    /// At the top.
    #[default]
    Start,
    /// With what comes after this alert.
    After(QueuePlace),
    /// It ends with what comes before this alert.
    Before(QueuePlace),
}
