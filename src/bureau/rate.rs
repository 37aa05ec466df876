//! How often each box may fetch references: a bucket of tokens per box, in
//! memory, filled at the configured rate and never above a minute's worth.
//!
//! It bounds how fast a stolen box could read the references of others. It
//! forgets everything at a restart, and keeps no history.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::clock::BoxTime;
use crate::protocol::id::AgentId;

const MINUTE_MS: u64 = 60_000;

struct Bucket {
    /// In milliseconds of credit; a fetch costs `MINUTE_MS / per_minute`.
    credit: u64,
    at: BoxTime,
}

/// The buckets of all boxes.
pub struct Limiter {
    cost: u64,
    buckets: Mutex<HashMap<AgentId, Bucket>>,
}

impl Limiter {
    /// Admits `per_minute` fetches a minute from each box.
    pub fn new(per_minute: u32) -> Self {
        Self { cost: (MINUTE_MS / u64::from(per_minute.max(1))).max(1), buckets: Mutex::default() }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// With the seconds to wait, if the box has none left.
    pub fn admit(&self, agent: &AgentId, now: BoxTime) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(|e| e.into_inner());
        let bucket = buckets.entry(agent.clone()).or_insert_with(|| Bucket { credit: MINUTE_MS, at: now });
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
