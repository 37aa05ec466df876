//! How verifications ended, by counter: for metrics, for the posture, and for
//! whoever has to see that window 3 has the sun behind it.
//!
//! Counts since the start, of outcomes and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use crate::protocol::id::{CounterId, VerificationId};
use crate::protocol::posture::VerdictCounts;
use crate::protocol::verdict::{Inconclusive, Outcome};

use super::metrics;

/// Verdicts of a counter before its shares say anything.
const LEAST: u64 = 50;
/// A reason that is that of more than this share of a counter's verdicts is a trouble.
const TROUBLE: f64 = 0.1;

/// Counters with the verifications that are open there, and what became of the others.
#[derive(Default)]
pub struct Places(Mutex<State>);

#[derive(Default)]
struct State {
    open: HashMap<VerificationId, CounterId>,
    ended: BTreeMap<CounterId, VerdictCounts>,
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A verification begins.
    pub fn began(&self, id: VerificationId, counter: &CounterId) {
        self.lock().open.insert(id, counter.clone());
    }

    /// A verification ended, with this verdict.
    pub fn ended(&self, id: VerificationId, outcome: Outcome) {
        let mut state = self.lock();
        if let Some(counter) = state.open.remove(&id) {
            metrics::verdict(&counter, outcome);
            *state.ended.entry(counter).or_default().entry(outcome.to_string()).or_default() += 1;
        }
    }

    /// A verification ended, and nothing is counted for it here.
    pub fn forget(&self, id: VerificationId) {
        self.lock().open.remove(&id);
    }

    /// Verdicts since the start by counter, by `verdict` or `verdict(reason)`.
    pub fn counts(&self) -> BTreeMap<CounterId, VerdictCounts> {
        self.lock().ended.clone()
    }

    /// What a technician should look at, in words.
    pub fn troubles(&self) -> Vec<String> {
        let state = self.lock();
        state.ended.iter().flat_map(|(counter, counts)| troubles(counter, counts)).collect()
    }
}

fn troubles(counter: &CounterId, counts: &VerdictCounts) -> Vec<String> {
    let all: u64 = counts.iter().filter(|(k, _)| !k.starts_with("not_assessed")).map(|(_, n)| n).sum();
    if all < LEAST {
        return Vec::new();
    }
    let told = |reason: &Inconclusive| {
        let advice = advice(*reason)?;
        let n = *counts.get(&Outcome::Inconclusive(*reason).to_string())?;
        let many = n as f64 > all as f64 * TROUBLE;
        many.then(|| format!("counter {counter}: {n} of {all} verdicts are {reason}: {advice}"))
    };
    Inconclusive::ALL.iter().filter_map(told).collect()
}

/// What a technician can do about a reason; nothing where it is not the camera's.
fn advice(reason: Inconclusive) -> Option<&'static str> {
    Some(match reason {
        Inconclusive::NoFace => "is the camera aimed at where people stand?",
        Inconclusive::TooSmall => "people stand too far from the camera: move it nearer, or zoom in",
        Inconclusive::TurnedAway => "the camera looks from the side: move it in front of the person",
        Inconclusive::Blurred => "focus the lens, clean it, or give more light",
        Inconclusive::TooDark => "give the place more light, or open the lens",
        Inconclusive::TooBright => {
            "there is light behind people or on the lens: shade it, or turn the camera"
        }
        Inconclusive::LowContrast => "clean the lens; look for fog or glass before it",
        Inconclusive::Truncated => "faces are cut at the edge: widen the region, or turn the camera",
        Inconclusive::DoubtfulFace => "patterns are taken for faces: narrow the region",
        Inconclusive::PresentationAttackSuspected => {
            "pictures of people are shown, or stand in the region: look what is there"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_with_light_behind_it_is_named_once_enough_was_seen() {
        let (places, w3): (Places, CounterId) = (Places::default(), "w03".parse().unwrap());
        let end = |outcome, n| {
            for _ in 0..n {
                let id = VerificationId(uuid::Uuid::now_v7());
                places.began(id, &w3);
                places.ended(id, outcome);
            }
        };
        end(Outcome::Inconclusive(Inconclusive::TooBright), 20);
        assert_eq!(places.troubles(), [""; 0]);
        end(Outcome::Match, 60);
        let [trouble] = &places.troubles()[..] else { panic!("{:?}", places.troubles()) };
        assert!(trouble.contains("w03: 20 of 80") && trouble.contains("light behind"), "{trouble}");
        end(Outcome::Match, 200);
        assert_eq!(places.troubles(), [""; 0]);
        assert_eq!(places.counts()[&w3]["inconclusive(too_bright)"], 20);
    }
}
