//! The share of decided alerts that were false, with how sure it is.
//!
//! The interval is Wilson's at 95 % ([`wilson`]). It takes alerts for independent;
//! several of one cardholder are less than that. Alerts that nobody has decided yet
//! stand beside it: reviewers may decide the plain ones first, and then the share
//! moves when the rest follows.

use serde::Serialize;

use crate::bureau::review::Claim;
use crate::shares::{Interval, wilson};

/// What became of alerts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// Nobody has decided them.
    pub open: u64,
    /// Taken back by their box, because the settlement was cancelled.
    pub withdrawn: u64,
    /// The cardholder was there.
    pub false_alert: u64,
    /// Somebody acted for the cardholder and had not been declared.
    pub undeclared_proxy: u64,
    /// Somebody used the card as if it were theirs.
    pub impersonation: u64,
    /// The session that was billed did not take place.
    pub not_rendered: u64,
    /// It cannot be established.
    pub not_established: u64,
}

impl Decided {
    /// Counts so many alerts of a state, and of a decision where they have one, in the
    /// store's words. A word that is not known counts for nobody's decision.
    pub fn put(&mut self, state: &str, decision: &str, n: u64) {
        let place = match (state, decision) {
            ("withdrawn", _) => &mut self.withdrawn,
            ("decided", "false_alert") => &mut self.false_alert,
            ("decided", "undeclared_proxy") => &mut self.undeclared_proxy,
            ("decided", "impersonation") => &mut self.impersonation,
            ("decided", "not_rendered") => &mut self.not_rendered,
            ("decided", "not_established") => &mut self.not_established,
            _ => &mut self.open,
        };
        *place = place.saturating_add(n);
    }

    /// Adds what another counted.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.open, other.open),
            (&mut self.withdrawn, other.withdrawn),
            (&mut self.false_alert, other.false_alert),
            (&mut self.undeclared_proxy, other.undeclared_proxy),
            (&mut self.impersonation, other.impersonation),
            (&mut self.not_rendered, other.not_rendered),
            (&mut self.not_established, other.not_established),
        ] {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// All of them.
    pub const fn all(&self) -> u64 {
        self.open.saturating_add(self.withdrawn).saturating_add(self.decided())
    }

    /// Those that somebody decided.
    pub const fn decided(&self) -> u64 {
        self.confirmed().saturating_add(self.false_alert).saturating_add(self.not_established)
    }

    /// Those at which the cardholder was found not to have been there.
    pub const fn confirmed(&self) -> u64 {
        self.undeclared_proxy.saturating_add(self.impersonation).saturating_add(self.not_rendered)
    }

    /// The share of the decided that was false.
    pub fn false_share(&self) -> Option<Share> {
        Share::of(self.false_alert, self.decided())
    }

    /// The share of the decided that was confirmed.
    pub fn confirmed_share(&self) -> Option<Share> {
        Share::of(self.confirmed(), self.decided())
    }
}

/// A part of a whole.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// How many are.
    pub part: u64,
    /// Of how many; at least 1, and not below the part.
    pub whole: u64,
    /// The share's 95 % interval.
    pub interval: Interval,
}

impl Share {
    /// The share of a part; nothing of nothing.
    pub fn of(part: u64, whole: u64) -> Option<Self> {
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        (whole > 0).then(|| Self { part, whole, interval: wilson(size(part.min(whole)), size(whole)) })
    }

    /// 0 to 1.
    pub fn value(&self) -> f64 {
        self.part as f64 / self.whole as f64
    }
}

/// What became of the alerts of one claim: of one box, by one model, under one calibration.
/// Claims are told apart: that a face was another says nothing of how often nobody came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FalseAlerts {
    /// Of which: a box's name, a model's id, a calibration's digest.
    pub of: String,
    /// What they claim.
    pub claim: Claim,
    /// What became of them.
    pub decided: Decided,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_what_was_decided_and_says_what_was_not() {
        let mut d = Decided::default();
        d.put("open", "", 40);
        d.put("withdrawn", "", 3);
        d.put("decided", "false_alert", 81);
        d.put("decided", "impersonation", 100);
        d.put("decided", "undeclared_proxy", 80);
        d.put("decided", "not_established", 2);
        let mut absences = Decided::default();
        absences.put("decided", "not_rendered", 7);
        assert_eq!((absences.confirmed(), absences.decided()), (7, 7));
        assert_eq!((d.all(), d.decided(), d.confirmed(), d.open), (306, 263, 180, 40));
        let share = d.false_share().unwrap();
        assert!((share.value() - 0.308).abs() < 1e-3);
        // Newcombe's example, as in `shares`.
        assert!((share.interval.low - 0.2553).abs() < 5e-5 && (share.interval.high - 0.3662).abs() < 5e-5);
        assert_eq!(Decided::default().false_share(), None);
        let mut twice = d;
        twice.add(&d);
        assert_eq!((twice.all(), twice.decided()), (612, 526));
    }

    #[test]
    fn a_word_of_a_later_version_is_nobody_s_decision() {
        let mut d = Decided::default();
        d.put("decided", "something_new", 2);
        assert_eq!((d.open, d.decided()), (2, 0));
    }
}
