//! The chain that the events of a box form: how each fits the one before it.
//!
//! Every event names the digest of the one before. One that never came is a
//! gap, unless the box signed that it expired; a digest that does not fit is a
//! break. What came later can close a gap, and is noted with the event behind.

use super::{StoreError, Tx, parse};
use crate::crypto::Sha256;
use crate::protocol::alert::Link;
use crate::protocol::id::{AgentId, Epoch};

/// How an event fits the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChainState {
    /// It names the digest of the event held before it, or is the first.
    Ok,
    /// The event before it is not held.
    Gap,
    /// The event before it expired on the box, which signed for its digest.
    Expired,
    /// It names another digest than that of the event before it.
    Broken,
}

impl ChainState {
    /// The word in the store and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Gap => "gap",
            Self::Expired => "expired",
            Self::Broken => "broken",
        }
    }

    pub(super) fn read(text: &str) -> Self {
        match text {
            "ok" => Self::Ok,
            "gap" => Self::Gap,
            "expired" => Self::Expired,
            _ => Self::Broken,
        }
    }

    pub(super) fn of(link: &Link, before: Option<Neighbour>) -> Self {
        match (link.seq, link.previous, before) {
            (1, None, _) => Self::Ok,
            (1, Some(_), _) | (_, None, _) => Self::Broken,
            (_, Some(_), None) => Self::Gap,
            (_, Some(named), Some(Neighbour { digest, expired })) if named == digest => {
                if expired {
                    Self::Expired
                } else {
                    Self::Ok
                }
            }
            _ => Self::Broken,
        }
    }
}

/// The event beside another in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Neighbour {
    /// SHA-256 of its exact bytes.
    pub(super) digest: Sha256,
    /// Whether it is not held, and the box said that it expired.
    pub(super) expired: bool,
}

/// What stands at a place of a chain: an event that is held, else one that
/// expired on the box.
pub(super) async fn at_place(
    tx: &mut Tx<'_>,
    agent: &AgentId,
    epoch: Epoch,
    seq: u64,
) -> Result<Option<Neighbour>, StoreError> {
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    for (sql, expired) in [
        ("SELECT digest FROM events WHERE agent = $1 AND epoch = $2 AND seq = $3", false),
        (
            "SELECT digest FROM expirations WHERE agent = $1 AND epoch = $2 AND seq = $3 ORDER BY event LIMIT 1",
            true,
        ),
    ] {
        let query = sqlx::query_scalar::<_, String>(sql);
        let query = query.bind(agent.as_str()).bind(epoch.to_string()).bind(seq);
        if let Some(digest) = query.fetch_optional(&mut **tx).await? {
            return Ok(Some(Neighbour { digest: parse("events", &digest)?, expired }));
        }
    }
    Ok(None)
}
