//! How often each box may fetch references, and each address try to sign in: a
//! bucket of tokens each, in memory, filled at its rate and never above a minute's
//! worth.
//!
//! It bounds how fast a stolen box could read the references of others, and how
//! fast passwords can be tried over many names. It forgets everything at a restart,
//! and keeps no history. Several processes each count for themselves.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::Duration;

use crate::clock::BoxTime;

const MINUTE_MS: u64 = 60_000;
/// Buckets that are full say nothing; above so many they are let go.
const MOST_BUCKETS: usize = 10_000;

struct Bucket {
    /// In milliseconds of credit; a fetch costs `MINUTE_MS / per_minute`.
    credit: u64,
    at: BoxTime,
}

/// The buckets of all boxes, or of all of another kind.
pub struct Limiter<Who> {
    cost: u64,
    buckets: Mutex<HashMap<Who, Bucket>>,
}

impl<Who: Eq + Hash + Clone> Limiter<Who> {
    /// Admits so many a minute from each.
    pub fn new(per_minute: u32) -> Self {
        Self { cost: (MINUTE_MS / u64::from(per_minute.max(1))).max(1), buckets: Mutex::default() }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// With the seconds to wait, if the box has none left.
    pub fn admit(&self, who: &Who, now: BoxTime) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(|e| e.into_inner());
        if buckets.len() >= MOST_BUCKETS {
            let minute = Duration::from_millis(MINUTE_MS);
            buckets.retain(|_, b| now.since(b.at) < minute);
        }
        let bucket = buckets.entry(who.clone()).or_insert_with(|| Bucket { credit: MINUTE_MS, at: now });
        let earned = u64::try_from(now.since(bucket.at).as_millis()).unwrap_or(MINUTE_MS);
        bucket.credit = bucket.credit.saturating_add(earned).min(MINUTE_MS);
        bucket.at = now;
        match bucket.credit.checked_sub(self.cost) {
            Some(rest) => {
                bucket.credit = rest;
                Ok(())
            }
            None => Err((self.cost - bucket.credit).div_ceil(1000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::AgentId;

    #[test]
    fn a_minute_s_worth_passes_and_then_one_per_share_of_a_minute() {
        let limiter = Limiter::new(3);
        let agent: AgentId = "box-1".parse().unwrap();
        let at = |ms: u64| BoxTime::from_millis(1_000_000 + ms);
        for _ in 0..3 {
            assert_eq!(limiter.admit(&agent, at(0)), Ok(()));
        }
        assert_eq!(limiter.admit(&agent, at(0)), Err(20));
        assert_eq!(limiter.admit(&agent, at(19_500)), Err(1));
        assert_eq!(limiter.admit(&agent, at(20_000)), Ok(()));
        assert_eq!(limiter.admit(&"box-2".parse().unwrap(), at(0)), Ok(()));
    }
}
