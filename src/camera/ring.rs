//! The last seconds of a stream, as the camera sent it.
//!
//! Bounded by time and by bytes; nothing is decoded. A settlement pins its
//! samples by holding them: they outlive their place in the ring, and are
//! overwritten when the last holder lets go.
//!
//! The oldest sample always stands alone: what remains of a group of H.264
//! pictures whose key picture had to go cannot be decoded, and goes with it.
//!
//! The ring also notes since when the camera has sent the very same bytes. Each
//! sample is compared with the one before it: two pictures of a living camera
//! differ in length or in their first bytes, so the comparison ends at once, and
//! no hash is needed. Only of a frozen camera is everything compared: 100 kB take
//! a few microseconds.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::clock::BoxTime;
use crate::frame::Sample;

use super::clip::Clip;

/// A ring of samples, shared by the camera and the counter.
pub struct Ring {
    held: Mutex<Held>,
    keep: Duration,
    bytes: usize,
    received: Received,
}

#[derive(Default)]
struct Held {
    samples: VecDeque<Arc<Sample>>,
    bytes: usize,
    /// When the newest of those arrived that had to go for want of bytes.
    squeezed: Option<BoxTime>,
}

impl Held {
    fn drop_oldest(&mut self) -> Option<BoxTime> {
        let old = self.samples.pop_front()?;
        self.bytes -= old.bytes().len();
        Some(old.at())
    }

    /// Lets go of what cannot be decoded since its key picture is gone.
    fn drop_orphans(&mut self) -> u64 {
        let mut dropped = 0;
        while self.samples.front().is_some_and(|s| !s.stands_alone()) {
            self.drop_oldest();
            dropped += 1;
        }
        dropped
    }
}

/// What has come since the start, whether it is still held or not.
#[derive(Default)]
struct Received {
    samples: AtomicU64,
    bytes: AtomicU64,
    /// Milliseconds since boot of the newest, where there was one.
    last: AtomicU64,
    /// The same of the first of those with the newest one's bytes.
    alike: AtomicU64,
}

impl Ring {
    /// Keeps samples for `keep`, and never more than `bytes` of them.
    pub fn new(keep: Duration, bytes: usize) -> Self {
        Self { held: Mutex::default(), keep, bytes, received: Received::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Adds the newest sample and lets go of what is too old or too much.
    pub fn push(&self, sample: Sample) {
        let now = sample.at();
        self.received.samples.fetch_add(1, Ordering::Relaxed);
        self.received.bytes.fetch_add(sample.bytes().len() as u64, Ordering::Relaxed);
        let mut held = self.lock();
        self.received.last.store(now.as_millis(), Ordering::Relaxed);
        if held.samples.back().is_none_or(|before| !before.is_same(&sample)) {
            self.received.alike.store(now.as_millis(), Ordering::Relaxed);
        }
        held.bytes += sample.bytes().len();
        held.samples.push_back(Arc::new(sample));
        while held.samples.front().is_some_and(|s| now.since(s.at()) > self.keep) {
            held.drop_oldest();
        }
        while held.bytes > self.bytes {
            held.squeezed = held.drop_oldest();
        }
        held.drop_orphans();
    }

    /// Lets go of everything before `cutoff`, when nothing new arrives to push
    /// it out. Returns how many samples that were.
    pub fn drop_before(&self, cutoff: BoxTime) -> u64 {
        let mut held = self.lock();
        let mut dropped = 0;
        while held.samples.front().is_some_and(|s| s.at() < cutoff) {
            held.drop_oldest();
            dropped += 1;
        }
        dropped + held.drop_orphans()
    }

    /// When the oldest sample arrived.
    pub fn oldest(&self) -> Option<BoxTime> {
        self.lock().samples.front().map(|s| s.at())
    }

    /// Pins the samples of a window, both ends included, and those before it
    /// from which its first is decoded.
    pub fn between(&self, from: BoxTime, to: BoxTime) -> Clip {
        let held = self.lock();
        let squeezed = held.squeezed.is_some_and(|t| t >= from);
        Clip::cut(held.samples.iter(), (from, to), squeezed)
    }

    /// The newest sample that can be decoded alone.
    pub fn newest_alone(&self) -> Option<Arc<Sample>> {
        self.lock().samples.iter().rev().find(|s| s.stands_alone()).cloned()
    }

    /// How many samples and bytes have come since the start.
    pub fn received(&self) -> (u64, u64) {
        let of = |n: &AtomicU64| n.load(Ordering::Relaxed);
        (of(&self.received.samples), of(&self.received.bytes))
    }

    /// How many bytes are held now.
    pub fn held_bytes(&self) -> usize {
        self.lock().bytes
    }

    /// When the newest sample came, even if it is not held any more.
    pub fn last_received(&self) -> Option<BoxTime> {
        let last = BoxTime::from_millis(self.received.last.load(Ordering::Relaxed));
        (self.received().0 > 0).then_some(last)
    }

    /// Since when, and until when, the camera has sent what it sent last. Both are
    /// the same moment while each sample differs from the one before it.
    pub fn alike(&self) -> Option<(BoxTime, BoxTime)> {
        // Both under the lock: the one of before a gap and the other of after it would look like a standstill.
        let _guard = self.lock();
        let first = BoxTime::from_millis(self.received.alike.load(Ordering::Relaxed));
        self.last_received().map(|last| (first.min(last), last))
    }

    /// When the newest sample arrived.
    pub fn newest(&self) -> Option<BoxTime> {
        self.lock().samples.back().map(|s| s.at())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{AccessUnit, Codec, Kind};
    use proptest::prelude::*;

    fn t(ms: u64) -> BoxTime {
        BoxTime::from_millis(ms)
    }

    fn sample(ms: u64, bytes: usize) -> Sample {
        Sample::new(t(ms), Codec::Jpeg, vec![7; bytes])
    }

    fn unit(ms: u64, kind: Kind, bytes: usize) -> Sample {
        Sample::new(t(ms), Codec::H264(AccessUnit { kind, ticks: ms as i64 * 90 }), vec![7; bytes])
    }

    #[test]
    fn a_pinned_sample_outlives_its_place() {
        let ring = Ring::new(Duration::from_secs(1), 1 << 20);
        ring.push(sample(0, 10));
        let pinned = ring.between(t(0), t(10));
        ring.push(sample(5000, 10));
        assert!(ring.between(t(0), t(10)).is_empty());
        assert_eq!(pinned.samples()[0].bytes(), [7; 10]);
        assert_eq!(ring.drop_before(t(8000)), 1);
        assert_eq!(ring.newest(), None);
    }

    #[test]
    fn what_had_to_go_for_want_of_bytes_is_missed_by_the_windows_that_it_was_in() {
        let ring = Ring::new(Duration::from_secs(60), 35);
        for n in 0..4 {
            ring.push(sample(n * 100, 10));
        }
        assert!(ring.between(t(0), t(300)).has_lost_frames());
        assert!(!ring.between(t(100), t(300)).has_lost_frames());
    }

    #[test]
    fn the_same_bytes_are_noticed_and_one_other_ends_it() {
        let ring = Ring::new(Duration::from_secs(20), 1 << 20);
        let alike = || ring.alike().map(|(from, to)| (from.as_millis(), to.as_millis()));
        assert_eq!(alike(), None);
        for (ms, bytes) in [(100, 10), (200, 11), (300, 11), (400, 11)] {
            ring.push(sample(ms, bytes));
        }
        assert_eq!(alike(), Some((200, 400)));
        assert_eq!(ring.newest_alone().map(|s| s.at().as_millis()), Some(400));
        ring.push(Sample::new(BoxTime::from_millis(500), Codec::Jpeg, [&[7; 10][..], &[8]].concat()));
        assert_eq!(alike(), Some((500, 500)));
        // What was let go is not there to compare with: a doubt is no standstill.
        ring.drop_before(BoxTime::from_millis(600));
        ring.push(Sample::new(BoxTime::from_millis(700), Codec::Jpeg, [&[7; 10][..], &[8]].concat()));
        assert_eq!(alike(), Some((700, 700)));
    }

    proptest! {
        #[test]
        fn the_ring_never_exceeds_its_bounds(steps in proptest::collection::vec((0u64..500, 0usize..4000, 0u8..8), 1..80), mjpeg in any::<bool>()) {
            let ring = Ring::new(Duration::from_secs(3), 20_000);
            let mut now = 0;
            for (dt, bytes, kind) in steps {
                now += dt;
                let kind = [Kind::Key, Kind::Disposable, Kind::Reference][usize::from(kind.min(2))];
                ring.push(if mjpeg { sample(now, bytes) } else { unit(now, kind, bytes) });
                let held = ring.lock();
                prop_assert_eq!(held.samples.iter().map(|s| s.bytes().len()).sum::<usize>(), held.bytes);
                prop_assert!(held.bytes <= 20_000);
                prop_assert!(held.samples.iter().all(|s| now - s.at().as_millis() <= 3000));
                prop_assert!(held.samples.front().is_none_or(|s| s.stands_alone()));
            }
        }
    }
}
