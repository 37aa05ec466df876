//! The workers' queue: bounded, said to be full at once, and a taker that waits
//! beats its heart.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::heart::Heart;

/// How often a taker that waits shows that it is there.
const BEAT: Duration = Duration::from_secs(1);

/// First in, first out, for several takers.
pub struct Queue<T> {
    waiting: Mutex<VecDeque<T>>,
    arrived: Condvar,
    closed: AtomicBool,
    limit: usize,
}

impl<T> Queue<T> {
    /// Holds at most `limit` things that nobody has taken yet.
    pub fn new(limit: usize) -> Self {
        Self { waiting: Mutex::default(), arrived: Condvar::new(), closed: AtomicBool::new(false), limit }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.waiting.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Adds a thing at the end.
    ///
    /// # Errors
    /// The thing itself if there is no room, or nobody takes any more.
    pub fn put(&self, thing: T) -> Result<(), T> {
        let mut waiting = self.lock();
        if waiting.len() >= self.limit || self.closed.load(Ordering::Relaxed) {
            return Err(thing);
        }
        waiting.push_back(thing);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for a thing; `None` once the queue is closed and empty.
    pub fn take(&self, heart: &Heart) -> Option<T> {
        let mut waiting = self.lock();
        loop {
            heart.beat();
            if let Some(thing) = waiting.pop_front() {
                return Some(thing);
            }
            if self.closed.load(Ordering::Relaxed) {
                return None;
            }
            waiting = self.arrived.wait_timeout(waiting, BEAT).unwrap_or_else(|e| e.into_inner()).0;
        }
    }

    /// A thing that waits already.
    pub fn take_waiting(&self) -> Option<T> {
        self.lock().pop_front()
    }

    /// Takes no more; those who wait leave once it is empty.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.arrived.notify_all();
    }

    /// How many things wait.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many may wait.
    pub const fn limit(&self) -> usize {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::heart::Hearts;
    use std::sync::Arc;

    #[test]
    fn a_full_queue_says_so_and_a_closed_one_is_emptied() {
        let heart = Hearts::new(Arc::new(SystemClock)).heart("taker", Duration::from_secs(9));
        let queue = Queue::new(2);
        assert_eq!((queue.put(1), queue.put(2), queue.put(3)), (Ok(()), Ok(()), Err(3)));
        assert_eq!(queue.take(&heart), Some(1));
        assert_eq!(queue.put(4), Ok(()));
        queue.close();
        assert_eq!(queue.put(5), Err(5));
        assert_eq!((queue.take(&heart), queue.take(&heart), queue.take(&heart)), (Some(2), Some(4), None));
    }

    #[test]
    fn several_takers_take_each_thing_once() {
        let hearts = Hearts::new(Arc::new(SystemClock));
        let queue = Arc::new(Queue::new(1000));
        let takers: Vec<_> = (0..4)
            .map(|i| {
                let (queue, heart) =
                    (Arc::clone(&queue), hearts.heart(format!("{i}"), Duration::from_secs(9)));
                std::thread::spawn(move || std::iter::from_fn(|| queue.take(&heart)).collect::<Vec<u32>>())
            })
            .collect();
        (0..1000).for_each(|n| queue.put(n).unwrap());
        queue.close();
        let mut taken: Vec<u32> = takers.into_iter().flat_map(|t| t.join().unwrap()).collect();
        taken.sort_unstable();
        assert_eq!(taken, (0..1000).collect::<Vec<_>>());
    }
}
