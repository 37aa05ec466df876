//! Verdicts of many settlements as counts: what an evaluation measures, a
//! calibration carries, and a box in shadow counts.
//!
//! The types are those that cross the wire, so that all three mean the same
//! bins; this file says which score of a settlement is counted.

pub use crate::protocol::figures::{BINS, Expected, Figures, NotShares, ScoreHistogram, Shares};

use super::Verdict;

/// Counts one settlement: its verdict, and the best pooled comparison score if
/// it had one.
pub fn count(figures: &mut Figures, verdict: &Verdict) {
    figures.count(verdict.outcome(), verdict.score());
}
