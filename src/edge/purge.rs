//! Retention on the box: what has reached its limit goes, in one transaction
//! with the record that it went. Rows are overwritten (`secure_delete`); a
//! purged event leaves its number and digest, for the chain.

use serde_json::json;

use crate::clock::WallTime;
use crate::privacy::audit::Kind;
use crate::privacy::policy;

use super::store::{Store, StoreError, audit};

/// What is older goes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Settlements without an alert, from their end.
    pub journal: WallTime,
    /// Links from settlements to alerts.
    pub links: WallTime,
    /// Events, from their acknowledgement.
    pub acknowledged: WallTime,
    /// Events that were never acknowledged.
    pub waiting: WallTime,
}

impl Store {
    /// Deletes what has reached its limit, and records it. Returns how many
    /// events went that the bureau never took.
    ///
    /// # Errors
    /// If it cannot be written; then nothing is deleted.
    pub fn purge(&mut self, limits: Limits, now: WallTime) -> Result<u64, StoreError> {
        let tx = self.connection.transaction()?;
        let delete = |sql: &str, before: WallTime| tx.execute(sql, [before.as_millis()]).map(|n| n as u64);
        let settlements = delete(
            "DELETE FROM settlements WHERE state IN ('done', 'cancelled') AND alert IS NULL AND updated_at < ?1",
            limits.journal,
        )?;
        let links = delete(
            "DELETE FROM settlements WHERE state = 'done' AND alert IS NOT NULL AND updated_at < ?1",
            limits.links,
        )?;
        let acknowledged = delete(
            "UPDATE outbox SET sealed = NULL WHERE sealed IS NOT NULL AND state = 'acknowledged' AND updated_at < ?1",
            limits.acknowledged,
        )?;
        let waiting = delete(
            "UPDATE outbox SET sealed = NULL WHERE sealed IS NOT NULL AND state <> 'acknowledged' AND updated_at < ?1",
            limits.waiting,
        )?;
        if settlements + links + acknowledged + waiting > 0 {
            let data = json!({
                policy::JOURNAL.key: settlements,
                policy::WITHDRAWAL_LINKS.key: links,
                policy::ACKNOWLEDGED_ALERTS.key: acknowledged,
                policy::WAITING_ALERTS.key: waiting,
            });
            audit(&tx, now, Kind::Purged, &data)?;
        }
        tx.commit()?;
        Ok(waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::super::journal::Accepted;
    use super::super::journal::tests::{NOW, settlement, store};
    use super::super::outbox::tests::alerted;
    use super::*;
    use crate::crypto::Sha256;
    use crate::protocol::alert::Event;
    use crate::protocol::verdict::Outcome;

    const LATER: WallTime = WallTime::from_millis(NOW.as_millis() + 1);

    fn limits(t: WallTime) -> Limits {
        Limits { journal: t, links: t, acknowledged: t, waiting: t }
    }

    fn purged(s: &Store) -> usize {
        s.audit_rows(1000).unwrap().iter().filter(|r| r.kind == Kind::Purged).count()
    }

    #[test]
    fn ended_settlements_go_at_their_limit_and_it_is_recorded_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        let Accepted::New(v) = s.accept(&settlement("S1"), NOW).unwrap() else { panic!() };
        s.accept(&settlement("S2"), NOW).unwrap();
        s.end(v, &settlement("S1").settlement_id, Outcome::Match, NOW).unwrap();
        s.purge(limits(NOW), NOW).unwrap();
        assert_eq!(purged(&s), 0);
        s.purge(limits(LATER), NOW).unwrap();
        s.purge(limits(LATER), NOW).unwrap();
        assert_eq!(purged(&s), 1);
        assert!(matches!(s.accept(&settlement("S1"), NOW).unwrap(), Accepted::New(_)));
        assert!(matches!(s.accept(&settlement("S2"), NOW).unwrap(), Accepted::Repeated(_)));
    }

    #[test]
    fn a_purged_event_leaves_its_place_in_the_chain() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        alerted(&mut s, "S1");
        let first = s.waiting(1).unwrap().pop().unwrap();
        s.delivered(&first, NOW).unwrap();
        assert_eq!(s.purge(limits(LATER), NOW).unwrap(), 0);
        alerted(&mut s, "S2");
        let next = s.waiting(1).unwrap().pop().unwrap();
        assert_eq!(Event::from_bytes(&next.bytes).unwrap().chain.previous, Some(Sha256::of(&first.bytes)));
        assert_eq!(s.purge(limits(LATER), NOW).unwrap(), 1);
        assert!(s.waiting(1).unwrap().is_empty());
    }
}
