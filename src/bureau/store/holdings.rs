//! What is held of a box's chain, and which numbers are missing in it.

use super::{Store, StoreError, parse};
use crate::protocol::alert::Head;
use crate::protocol::head::{HeadAnswer, MAX_RANGES, Range};
use crate::protocol::id::{AgentId, Epoch};

/// The ranges between the numbers that are held or expired on the box.
const GAPS: &str = "SELECT before + 1, seq - 1 FROM \
    (SELECT seq, COALESCE(LAG(seq) OVER (ORDER BY seq), 0) AS before FROM \
        (SELECT seq FROM events WHERE agent = $1 AND epoch = $2 \
         UNION SELECT seq FROM expirations WHERE agent = $1 AND epoch = $2) AS known) AS pairs \
    WHERE seq > before + 1 ORDER BY seq LIMIT $3";

impl Store {
    /// What is held of a box's newest epoch. The bureau's key and the
    /// box's hospital are not filled in.
    ///
    /// The newest epoch is the one whose first event came last; a re-imaged
    /// box never sends events of an older one, whatever its clock says.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn holdings(&self, agent: &AgentId) -> Result<HeadAnswer, StoreError> {
        let newest: Option<(String, i64)> = sqlx::query_as(
            "SELECT epoch, MAX(seq) FROM events WHERE agent = $1 GROUP BY epoch \
             ORDER BY MIN(arrival) DESC LIMIT 1",
        )
        .bind(agent.as_str())
        .fetch_optional(&self.pool)
        .await?;
        let Some((epoch, greatest)) = newest else { return Ok(HeadAnswer::default()) };
        let rows: Vec<(i64, i64)> = sqlx::query_as(GAPS)
            .bind(agent.as_str())
            .bind(&epoch)
            .bind(i64::try_from(MAX_RANGES + 1).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await?;
        let epoch: Epoch = parse("events", &epoch)?;
        let greatest = greatest.unsigned_abs();
        let truncated = rows.len() > MAX_RANGES;
        let missing: Vec<Range> = rows
            .iter()
            .take(MAX_RANGES)
            .map(|(first, last)| Range { first: first.unsigned_abs(), last: last.unsigned_abs() })
            .collect();
        let last = missing.first().map_or(greatest, |range| range.first.saturating_sub(1));
        Ok(HeadAnswer {
            head: (last > 0).then_some(Head { epoch, seq: last }),
            greatest: Some(Head { epoch, seq: greatest }),
            missing,
            truncated,
            ..HeadAnswer::default()
        })
    }
}
