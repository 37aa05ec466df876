//! The last seconds of a stream, as the camera sent it.
//!
//! Bounded by time and by bytes; nothing is decoded. A settlement pins its
//! samples by holding them: they outlive their place in the ring, and are
//! overwritten when the last holder lets go.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::clock::BoxTime;
use crate::frame::Sample;

/// A ring of samples, shared by the camera and the counter.
pub struct Ring {
    samples: Mutex<(VecDeque<Arc<Sample>>, usize)>,
    keep: Duration,
    bytes: usize,
    received: Received,
}

/// What has come since the start, whether it is still held or not.
#[derive(Default)]
struct Received {
    samples: AtomicU64,
    bytes: AtomicU64,
    /// Milliseconds since boot of the newest, where there was one.
    last: AtomicU64,
}

impl Ring {
    /// Keeps samples for `keep`, and never more than `bytes` of them.
    pub fn new(keep: Duration, bytes: usize) -> Self {
        let samples = Mutex::new((VecDeque::new(), 0));
        Self { samples, keep, bytes, received: Received::default() }
    }

    fn lock(&self) -> MutexGuard<'_, (VecDeque<Arc<Sample>>, usize)> {
        self.samples.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Adds the newest sample and lets go of what is too old or too much.
    pub fn push(&self, sample: Sample) {
        let now = sample.at();
        self.received.samples.fetch_add(1, Ordering::Relaxed);
        self.received.bytes.fetch_add(sample.bytes().len() as u64, Ordering::Relaxed);
        self.received.last.store(now.as_millis(), Ordering::Relaxed);
        let mut guard = self.lock();
        let (samples, size) = &mut *guard;
        *size += sample.bytes().len();
        samples.push_back(Arc::new(sample));
        while samples.front().is_some_and(|s| now.since(s.at()) > self.keep || *size > self.bytes) {
            if let Some(old) = samples.pop_front() {
                *size -= old.bytes().len();
            }
        }
    }

    /// Lets go of everything before `cutoff`, when nothing new arrives to push
    /// it out. Returns how many samples that were.
    pub fn drop_before(&self, cutoff: BoxTime) -> u64 {
        let mut guard = self.lock();
        let (samples, size) = &mut *guard;
        let mut dropped = 0;
        while samples.front().is_some_and(|s| s.at() < cutoff) {
            if let Some(old) = samples.pop_front() {
                *size -= old.bytes().len();
                dropped += 1;
            }
        }
        dropped
    }

    /// When the oldest sample arrived.
    pub fn oldest(&self) -> Option<BoxTime> {
        self.lock().0.front().map(|s| s.at())
    }

    /// The samples of a window, both ends included.
    pub fn between(&self, from: BoxTime, to: BoxTime) -> Vec<Arc<Sample>> {
        self.lock().0.iter().filter(|s| (from..=to).contains(&s.at())).cloned().collect()
    }

    /// How many samples and bytes have come since the start.
    pub fn received(&self) -> (u64, u64) {
        let of = |n: &AtomicU64| n.load(Ordering::Relaxed);
        (of(&self.received.samples), of(&self.received.bytes))
    }

    /// When the newest sample came, even if it is not held any more.
    pub fn last_received(&self) -> Option<BoxTime> {
        let last = BoxTime::from_millis(self.received.last.load(Ordering::Relaxed));
        (self.received().0 > 0).then_some(last)
    }

    /// When the newest sample arrived.
    pub fn newest(&self) -> Option<BoxTime> {
        self.lock().0.back().map(|s| s.at())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Codec;
    use proptest::prelude::*;

    fn sample(ms: u64, bytes: usize) -> Sample {
        Sample::new(BoxTime::from_millis(ms), Codec::Jpeg, vec![7; bytes])
    }

    #[test]
    fn a_pinned_sample_outlives_its_place() {
        let ring = Ring::new(Duration::from_secs(1), 1 << 20);
        ring.push(sample(0, 10));
        let pinned = ring.between(BoxTime::from_millis(0), BoxTime::from_millis(10));
        ring.push(sample(5000, 10));
        assert_eq!(ring.between(BoxTime::from_millis(0), BoxTime::from_millis(10)).len(), 0);
        assert_eq!(pinned[0].bytes(), [7; 10]);
        assert_eq!(ring.drop_before(BoxTime::from_millis(8000)), 1);
        assert_eq!(ring.newest(), None);
    }

    proptest! {
        #[test]
        fn the_ring_never_exceeds_its_bounds(steps in proptest::collection::vec((0u64..500, 0usize..4000), 1..80)) {
            let ring = Ring::new(Duration::from_secs(3), 20_000);
            let mut now = 0;
            for (dt, bytes) in steps {
                now += dt;
                ring.push(sample(now, bytes));
                let (samples, size) = &*ring.lock();
                prop_assert_eq!(samples.iter().map(|s| s.bytes().len()).sum::<usize>(), *size);
                prop_assert!(*size <= 20_000);
                prop_assert!(samples.iter().all(|s| now - s.at().as_millis() <= 3000));
            }
        }
    }
}
