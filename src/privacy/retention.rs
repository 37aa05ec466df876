//! Retention: one mechanism for every store, on the box and at the bureau.
//!
//! A store says which kinds of data it holds ([`Expires::kinds`]) and deletes
//! what is older than a cut-off ([`Expires::purge`]), with a report.
//! [`carry_out`] asks it for each kind with the limit in force; what was
//! deleted, how old it had become and how old the oldest is that stays is the
//! evidence that goes into the audit log.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::policy::Limit;

/// A clock that limits go by: the box counts by `Age`, the bureau by its wall
/// clock.
pub trait Count: Copy + Ord {
    /// The moment `d` earlier.
    fn before(self, d: Duration) -> Self;
    /// How long after `earlier` this is; zero if it is not after it.
    fn since(self, earlier: Self) -> Duration;
}

impl Count for super::age::Age {
    fn before(self, d: Duration) -> Self {
        self.minus(d)
    }
    fn since(self, earlier: Self) -> Duration {
        Self::since(self, earlier)
    }
}

impl Count for crate::clock::BoxTime {
    fn before(self, d: Duration) -> Self {
        self.minus(d)
    }
    fn since(self, earlier: Self) -> Duration {
        Self::since(self, earlier)
    }
}

impl Count for crate::clock::WallTime {
    fn before(self, d: Duration) -> Self {
        self.minus(d)
    }
    fn since(self, earlier: Self) -> Duration {
        let ms = self.as_millis().saturating_sub(earlier.as_millis());
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    }
}

/// What a store deleted of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged<T> {
    /// Rows, files or pictures.
    pub deleted: u64,
    /// Mark of the oldest that was deleted.
    pub oldest_deleted: Option<T>,
    /// Mark of the oldest that stays.
    pub oldest_left: Option<T>,
}

/// A store that holds data with limits.
pub trait Expires<T: Count> {
    /// Why it could not.
    type Error;

    /// The kinds that it holds.
    fn kinds(&self) -> Vec<Limit>;

    /// Deletes what is older than `cutoff`, durably; `now` is the moment that
    /// its evidence is marked with.
    ///
    /// # Errors
    /// The store's; nothing of the kind is deleted then.
    fn purge(
        &mut self,
        kind: &Limit,
        cutoff: T,
        now: T,
    ) -> impl Future<Output = Result<Purged<T>, Self::Error>> + Send;
}

/// The evidence about one kind, in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Key of the kind.
    pub kind: String,
    /// Limit in force.
    pub limit_s: u64,
    /// How much was deleted.
    pub deleted: u64,
    /// Age of the oldest that was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_deleted_s: Option<u64>,
    /// Age of the oldest that stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_left_s: Option<u64>,
}

impl Evidence {
    /// Whether something stays that is older than its limit.
    pub fn outlived(&self) -> bool {
        self.oldest_left_s.is_some_and(|age| age > self.limit_s)
    }
}

/// Carries out every limit of a store once.
///
/// # Errors
/// The store's, for the first kind that failed; kinds before it are done.
pub async fn carry_out<T: Count, S: Expires<T>>(
    store: &mut S,
    limit: impl Fn(&Limit) -> Duration,
    now: T,
) -> Result<Vec<Evidence>, S::Error> {
    let mut all = Vec::new();
    for kind in store.kinds() {
        let limit = limit(&kind);
        let done = store.purge(&kind, now.before(limit), now).await?;
        let age = |t: T| now.since(t).as_secs();
        all.push(Evidence {
            kind: kind.key.to_owned(),
            limit_s: limit.as_secs(),
            deleted: done.deleted,
            oldest_deleted_s: done.oldest_deleted.map(age),
            oldest_left_s: done.oldest_left.map(age),
        });
    }
    Ok(all)
}
