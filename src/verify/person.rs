//! What was seen of one followed face, and what that says.
//!
//! Separate views are put together into one probe, each weighing as much as its
//! unified quality allows; a view that is nearly the same picture as an earlier
//! one adds nothing, so that a still does not testify ten times. What so many
//! views are worth is the calibration's to say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::BoxTime;
use crate::protocol::verdict::Inconclusive;
use crate::vision::detect::Face;
use crate::vision::embed::{Probe, ProtectedProbe};
use crate::vision::liveness::Signal;
use crate::vision::quality::{Flaw, Gate, Quality};

use super::calibration::Calibration;
use super::subjects::Subjects;

/// A single sighting below this confidence, never seen well, is no person.
const PHANTOM_DETECTION: f32 = 0.75;

/// A good view of a face.
pub struct Seen {
    /// When.
    pub at: BoxTime,
    /// Its embedding.
    pub probe: Arc<Probe>,
    /// How well it is seen.
    pub quality: Quality,
    /// Whether it is a live person's.
    pub liveness: Signal,
}

/// One separate view of a person.
struct View {
    at: BoxTime,
    probe: Arc<Probe>,
    protected: ProtectedProbe,
    weight: f32,
    quality: Quality,
    /// The whole face is seen: it may speak against somebody.
    witness: bool,
    /// The best score for anybody by itself.
    single: f32,
}

/// What was seen of one person at the counter.
#[derive(Default)]
pub(super) struct Person {
    sightings: u32,
    best_detection: f32,
    /// Sum over sightings, pixels.
    widths: f32,
    /// Sightings at which the face touched the edge of what is looked at.
    at_edge: u32,
    views: Vec<View>,
    compared: u32,
    flaws: BTreeMap<Flaw, u32>,
    liveness: f32,
    liveness_measured: u32,
    too_close: u32,
}

/// How a person's views together compare with the subject that fits best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fit {
    /// Mean score over that subject's references, -1 to 1.
    pub score: f32,
    /// Its log-likelihood ratio.
    pub llr: f32,
    /// The ratio of that subject's best reference alone.
    pub best_llr: f32,
}

/// What is to be thought of a person when nothing more will be seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Standing {
    /// The cardholder or a proxy.
    Fits(Fit),
    /// Like the cardholder or a proxy, and like a picture of one.
    MayBePicture,
    /// Seen well, and nobody who may be there.
    Stranger(Fit),
    /// Nothing can be said, and why not.
    Unclear(Inconclusive),
    /// Nothing speaks for them, but they were not seen well enough to say more.
    NotSeenWell(Inconclusive),
}

impl Person {
    pub fn sighted(&mut self, face: &Face, at_edge: bool) {
        self.sightings += 1;
        self.best_detection = self.best_detection.max(face.score);
        self.widths += face.width();
        self.at_edge += u32::from(at_edge);
    }

    pub fn flawed(&mut self, flaws: &[Flaw]) {
        for flaw in flaws {
            *self.flaws.entry(*flaw).or_default() += 1;
        }
    }

    /// Adds a view; `None` if it cannot be compared, and then it is no view.
    pub fn add(&mut self, seen: Seen, subjects: &Subjects, calibration: &Calibration) -> Option<()> {
        let protected = subjects.protect(&seen.probe)?;
        self.compared += 1;
        match seen.liveness {
            Signal::Off => {}
            Signal::Live(live) if live.is_finite() => {
                self.liveness += live;
                self.liveness_measured += 1;
            }
            Signal::Live(_) | Signal::TooClose => self.too_close += 1,
        }
        let same = calibration.rule.same_view;
        let known = |v: &View| v.probe.likeness(&seen.probe).is_some_and(|l| l >= same);
        if !self.views.iter().any(known) {
            let flaws = seen.quality.flaws(&Gate::WITNESS);
            self.flawed(&flaws);
            let scores = subjects.scores(&protected);
            self.views.push(View {
                at: seen.at,
                weight: calibration.weight(seen.probe.unified_quality()),
                probe: seen.probe,
                protected,
                quality: seen.quality,
                witness: flaws.is_empty(),
                single: scores.iter().map(|s| s.best).fold(-1.0, f32::max),
            });
        }
        Some(())
    }

    pub fn sightings(&self) -> u32 {
        self.sightings
    }

    /// Probes compared, views that were nearly the same included.
    pub fn compared(&self) -> u32 {
        self.compared
    }

    /// Separate views.
    pub fn views(&self) -> usize {
        self.views.len()
    }

    /// Seen once and hardly a face: a pattern, not a person.
    pub fn is_phantom(&self) -> bool {
        self.sightings <= 1 && self.views.is_empty() && self.best_detection < PHANTOM_DETECTION
    }

    /// Whether a liveness model took the views together for a picture, or was
    /// asked and could not say anything of any of them.
    pub fn may_be_picture(&self, calibration: &Calibration) -> bool {
        if self.liveness_measured == 0 {
            return self.too_close > 0;
        }
        let mean = self.liveness / self.liveness_measured as f32;
        calibration.liveness.is_some_and(|l| mean < l.least_mean)
    }

    /// Pixels that the face was wide, on average.
    pub fn width(&self) -> f32 {
        self.widths / self.sightings.max(1) as f32
    }

    /// Whether the face only crossed the edge: touching it each time, in less than
    /// a quarter of the frames in which somebody else was seen.
    pub fn only_passed(&self, others_sightings: u32) -> bool {
        self.at_edge == self.sightings && self.sightings.saturating_mul(4) < others_sightings
    }

    /// All views together against everybody; the best fit.
    pub fn fit(&self, subjects: &Subjects, calibration: &Calibration) -> Option<Fit> {
        fit(self.views.iter(), subjects, calibration)
    }

    /// Of each subject in turn, the likelihood ratio (natural logarithm) of the views
    /// together, by the mean of its references or the best of them, whichever says more;
    /// `None` without views.
    pub fn best_llrs(&self, subjects: &Subjects, calibration: &Calibration) -> Option<Vec<f32>> {
        let map = calibration.map(self.views.len());
        let scores = subjects.scores(&pooled(self.views.iter())?);
        Some(scores.iter().map(|s| map.llr(s.best.max(s.mean))).collect())
    }

    fn witnesses(&self) -> impl Iterator<Item = &View> + Clone {
        self.views.iter().filter(|v| v.witness)
    }

    /// Milliseconds between the first and the last view that may speak against somebody.
    pub fn span(&self) -> Duration {
        let times = self.witnesses().map(|v| v.at);
        match (times.clone().min(), times.max()) {
            (Some(first), Some(last)) => last.since(first),
            _ => Duration::ZERO,
        }
    }

    /// Views that may speak against somebody.
    pub fn witness_views(&self) -> u32 {
        self.witnesses().count() as u32
    }

    pub fn seen_well(&self, calibration: &Calibration) -> bool {
        let rule = &calibration.rule;
        self.witness_views() >= rule.mismatch_probes
            && self.span() >= Duration::from_millis(rule.mismatch_span_ms)
    }

    /// The mean of a measure over the views that may speak against somebody.
    pub fn mean(&self, measure: fn(&Quality) -> f32) -> f32 {
        let n = self.witness_views().max(1) as f32;
        self.witnesses().map(|v| measure(&v.quality)).sum::<f32>() / n
    }

    /// What is to be thought of the person.
    pub fn standing(&self, subjects: &Subjects, calibration: &Calibration) -> Standing {
        let rule = &calibration.rule;
        let Some(all) = self.fit(subjects, calibration) else {
            return Standing::NotSeenWell(self.flaw_reason().unwrap_or(Inconclusive::DoubtfulFace));
        };
        if all.best_llr >= rule.match_llr {
            let doubt = self.may_be_picture(calibration);
            return if doubt { Standing::MayBePicture } else { Standing::Fits(all) };
        }
        if self.disagree(calibration) {
            return Standing::Unclear(Inconclusive::ViewsDisagree);
        }
        let speaks_for = |f: &Fit| f.llr > rule.mismatch_llr || f.best_llr >= 0.0;
        // One view that comes half way to a match is a doubt, whatever the others say.
        let single = |v: &View| calibration.map(1).llr(v.single) >= rule.match_llr / 2.0;
        if speaks_for(&all) || self.views.iter().any(single) {
            return Standing::Unclear(Inconclusive::ScoresBetween);
        }
        if !self.seen_well(calibration) {
            return Standing::NotSeenWell(self.too_few());
        }
        if self.may_be_picture(calibration) {
            return Standing::MayBePicture;
        }
        match fit(self.witnesses(), subjects, calibration) {
            Some(against) if !speaks_for(&against) => Standing::Stranger(against),
            _ => Standing::Unclear(Inconclusive::ScoresBetween),
        }
    }

    /// A view that would be a stranger to the others: two people were taken for one.
    fn disagree(&self, calibration: &Calibration) -> bool {
        (0..self.views.len()).any(|i| {
            let others = self.views.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, v)| v);
            let map = calibration.map(self.views.len().saturating_sub(1));
            pooled(others)
                .and_then(|o| o.likeness(&self.views[i].protected))
                .is_some_and(|l| map.llr(l) <= calibration.rule.mismatch_llr)
        })
    }

    /// Why there are too few views: what was wrong with the others, if that was most of them.
    fn too_few(&self) -> Inconclusive {
        let most = self.flaws.values().copied().max().unwrap_or(0);
        let reason = self.flaw_reason().filter(|_| most > self.witness_views());
        reason.unwrap_or(Inconclusive::TooFewViews)
    }

    fn flaw_reason(&self) -> Option<Inconclusive> {
        self.flaws.iter().max_by_key(|(_, n)| **n).map(|(flaw, _)| flaw.reason())
    }
}

fn pooled<'a>(views: impl Iterator<Item = &'a View>) -> Option<ProtectedProbe> {
    ProtectedProbe::pool(views.map(|v| (&v.protected, v.weight)))
}

fn fit<'a>(
    views: impl Iterator<Item = &'a View> + Clone,
    subjects: &Subjects,
    calibration: &Calibration,
) -> Option<Fit> {
    let map = calibration.map(views.clone().count());
    let scores = subjects.scores(&pooled(views)?);
    let fits = scores.iter().map(|s| Fit { score: s.mean, llr: map.llr(s.mean), best_llr: map.llr(s.best) });
    // Whoever fits best by all references; the best single one counts for everybody.
    fits.reduce(|a, b| {
        let best = if b.score > a.score { b } else { a };
        Fit { best_llr: a.best_llr.max(b.best_llr), ..best }
    })
}
