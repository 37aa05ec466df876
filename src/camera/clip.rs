//! A window's samples, pinned: those of the window, and before them those from
//! which its first picture is decoded.

use std::sync::Arc;

use crate::clock::BoxTime;
use crate::frame::Sample;

/// Samples in the order of their arrival; they live as long as this does.
#[derive(Clone, Default)]
pub struct Clip {
    samples: Vec<Arc<Sample>>,
    /// So many come before the window.
    lead: usize,
    has_lost_frames: bool,
}

impl Clip {
    /// Samples that are all of the window.
    pub fn of(samples: Vec<Arc<Sample>>) -> Self {
        let has_lost_frames = samples.iter().any(|s| s.after_loss());
        Self { samples, lead: 0, has_lost_frames }
    }

    /// Takes the samples from `from` to `to`, both included, and the group before
    /// them that the first belongs to. `squeezed`: some of them are gone already.
    pub(super) fn cut<'a>(
        all: impl DoubleEndedIterator<Item = &'a Arc<Sample>> + Clone,
        (from, to): (BoxTime, BoxTime),
        squeezed: bool,
    ) -> Self {
        let mut lead: Vec<Arc<Sample>> = Vec::new();
        let inside: Vec<Arc<Sample>> =
            all.clone().filter(|s| (from..=to).contains(&s.at())).cloned().collect();
        if inside.first().is_some_and(|s| !s.stands_alone()) {
            for s in all.rev().filter(|s| s.at() < from) {
                lead.push(Arc::clone(s));
                if s.stands_alone() {
                    break;
                }
            }
            lead.reverse();
        }
        let has_lost_frames = squeezed || inside.iter().any(|s| s.after_loss());
        let count = lead.len();
        lead.extend(inside);
        Self { samples: lead, lead: count, has_lost_frames }
    }

    /// Whether there is none of the window.
    pub fn is_empty(&self) -> bool {
        self.samples.len() == self.lead
    }

    /// The samples of the window.
    pub fn samples(&self) -> &[Arc<Sample>] {
        self.samples.get(self.lead..).unwrap_or_default()
    }

    /// All of them, and how many come before the window.
    pub(super) fn all(&self) -> (&[Arc<Sample>], usize) {
        (&self.samples, self.lead)
    }

    /// Whether some of the window's samples were lost on the way, or had to go
    /// before it was closed.
    pub fn has_lost_frames(&self) -> bool {
        self.has_lost_frames
    }
}
