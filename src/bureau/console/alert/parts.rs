//! Small parts of the page: words with their weight, lines of lists.

use super::super::parts::{HospitalNames, Mark, claim};
use super::super::shown::{second, yuan};
use super::super::visitor::Visitor;
use crate::bureau::review::State;
use crate::bureau::store::{ChainState, Neighbour, StoredAlert, TakenStep};
use crate::clock::WallTime;
use crate::protocol::alert::About;
use crate::protocol::id::AlertId;

/// Something that was checked, how it came out, and what to do.
pub(super) struct Advised {
    pub(super) name: String,
    pub(super) mark: Mark,
    pub(super) advice: String,
}

/// Another alert, as a line.
pub(super) struct NeighbourRow {
    pub(super) id: String,
    pub(super) at: String,
    pub(super) hospital: String,
    pub(super) counter: String,
    pub(super) amount: String,
    pub(super) claim: Mark,
    pub(super) state: Mark,
}

/// A step of the history, as a line.
pub(super) struct StepRow {
    pub(super) at: String,
    pub(super) by: String,
    pub(super) what: String,
    pub(super) note: String,
    /// Who appealed, and when.
    pub(super) person: String,
}

/// When the HIS says that the card was settled.
pub(super) fn settled(about: &About<'_>) -> WallTime {
    WallTime::from_millis(about.occurred_at.timestamp().as_millisecond())
}

pub(super) fn state(visitor: &Visitor, state: State) -> Mark {
    let words = visitor.words();
    match state {
        State::Open => Mark::new(words.word("review-state", "open"), "quiet"),
        State::Withdrawn => Mark::new(words.word("review-state", "withdrawn"), "quiet"),
        // Decided is neither good nor bad: what was found says which.
        State::Decided(d) => Mark::new(words.word("review-decision", d.as_str()), "quiet"),
    }
}

pub(super) fn checks(visitor: &Visitor, alert: &StoredAlert) -> Vec<Advised> {
    let words = visitor.words();
    let (signature, weight) = match (alert.signature_valid, &alert.event) {
        (true, _) => ("valid", "good"),
        (false, Some(_)) => ("invalid", "bad"),
        (false, None) => ("unreadable", "bad"),
    };
    let chain = match alert.chain {
        ChainState::Ok => "good",
        ChainState::Gap => "watch",
        ChainState::Expired => "quiet",
        ChainState::Broken => "bad",
    };
    let chained = alert.chain.as_str();
    vec![
        Advised {
            name: words.say("alert-check-signature"),
            mark: Mark { text: words.word("alert-signature", signature), class: weight },
            advice: words.word("alert-signature-advice", signature),
        },
        Advised {
            name: words.say("alert-check-chain"),
            mark: Mark { text: words.word("alert-chain", chained), class: chain },
            advice: words.word("alert-chain-advice", chained),
        },
    ]
}

/// Other alerts as lines. One that the visitor is to decide blind looks open here too.
pub(super) fn neighbours(
    visitor: &Visitor,
    found: &[Neighbour],
    names: &HospitalNames,
    hidden: &[AlertId],
) -> Vec<NeighbourRow> {
    let row = |n: &Neighbour| NeighbourRow {
        id: n.id.to_string(),
        at: second(n.occurred_at),
        hospital: names.name(&n.hospital),
        counter: n.counter.to_string(),
        amount: yuan(n.amount_fen.unsigned_abs()),
        claim: claim(visitor.words(), n.claim),
        state: state(visitor, if hidden.contains(&n.id) { State::Open } else { n.state }),
    };
    found.iter().map(row).collect()
}

pub(super) fn step(visitor: &Visitor, taken: &TakenStep) -> StepRow {
    let words = visitor.words();
    let what = match (taken.decision, &taken.assignee) {
        (Some(decision), _) => {
            let decision = words.word("review-decision", decision.as_str());
            words.say_with("alert-did-decided", &[("value", &decision)])
        }
        (None, Some(to)) => words.say_with("alert-did-assigned", &[("value", to)]),
        (None, None) => words.word("alert-step", &taken.step),
    };
    let person = match (taken.text.person.as_str(), taken.text.on.as_str()) {
        ("", _) => String::new(),
        (person, on) => words.say_with("alert-appealed-by", &[("person", person), ("on", on)]),
    };
    StepRow { at: second(taken.at), by: taken.by.clone(), what, note: taken.text.note.clone(), person }
}
