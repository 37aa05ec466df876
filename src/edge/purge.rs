//! Retention on the box: what has reached its limit goes, with the record that
//! it went. Rows are overwritten (`secure_delete`), the write-ahead log is
//! emptied, and data keys that seal nothing any more are destroyed; a purged
//! event leaves its number and digest, for the chain.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rusqlite::{OptionalExtension, Transaction};
use serde_json::json;

use crate::camera::ring::Ring;
use crate::clock::{BoxTime, WallTime};
use crate::privacy::age::{Age, Moment};
use crate::privacy::audit::Kind;
use crate::privacy::policy::{self, Limit};
use crate::privacy::retention::{Evidence, Expires, Purged};
use crate::protocol::id::AgentId;
use crate::protocol::posture::LastPurge;

use super::context::Context;
use super::store::{Store, StoreError, audit};

/// Every kind that a policy always names.
const KINDS: [Limit; 4] =
    [policy::JOURNAL, policy::WITHDRAWAL_LINKS, policy::ACKNOWLEDGED_ALERTS, policy::WAITING_ALERTS];

/// Where a kind of data stands: its rows, and what ends them.
struct Place {
    rows: &'static str,
    end: &'static str,
}

fn place(kind: &Limit) -> Option<Place> {
    let place = |rows, end| Some(Place { rows, end });
    match kind.key {
        k if k == policy::JOURNAL.key => {
            place("settlements WHERE state IN ('done', 'cancelled') AND alert IS NULL", "DELETE FROM")
        }
        k if k == policy::WITHDRAWAL_LINKS.key => {
            place("settlements WHERE state = 'done' AND alert IS NOT NULL", "DELETE FROM")
        }
        k if k == policy::ACKNOWLEDGED_ALERTS.key => {
            place("outbox WHERE sealed IS NOT NULL AND state = 'acknowledged'", "UPDATE")
        }
        k if k == policy::STAYS.key => place("stays WHERE TRUE", "DELETE FROM"),
        k if k == policy::ROSTERS.key => place("rosters WHERE is_over", "DELETE FROM"),
        k if k == policy::WAITING_ALERTS.key => place(
            "outbox WHERE sealed IS NOT NULL AND state <> 'acknowledged' AND tells_of IS NULL",
            "UPDATE",
        ),
        _ => None,
    }
}

impl Place {
    fn sql(&self) -> String {
        match self.end {
            "UPDATE" => format!("UPDATE {}", self.rows.replacen(" WHERE ", " SET sealed = NULL WHERE ", 1)),
            end => format!("{end} {}", self.rows),
        }
    }

    fn oldest(&self, tx: &Transaction<'_>) -> Result<Option<Age>, StoreError> {
        let sql = format!("SELECT min(updated_at) FROM {}", self.rows);
        let oldest: Option<Option<i64>> = tx.query_row(&sql, [], |r| r.get(0)).optional()?;
        Ok(oldest.flatten().map(Age::from_millis))
    }
}

impl Store {
    /// Deletes what of a kind is marked before `cutoff`, and records it, in one
    /// transaction.
    ///
    /// # Errors
    /// If it cannot be written; then nothing is deleted.
    pub fn purge(
        &mut self,
        kind: &Limit,
        cutoff: Age,
        now: Moment,
        agent: &AgentId,
    ) -> Result<Purged<Age>, StoreError> {
        let place =
            place(kind).ok_or_else(|| StoreError::Content(format!("no data of kind {}", kind.key)))?;
        // What the bureau never took is not deleted without a word.
        let expired = match kind.key == policy::WAITING_ALERTS.key {
            true => self.expire(agent, cutoff, now)?,
            false => (0, None),
        };
        let tx = self.connection.transaction()?;
        let oldest = expired.1.or(place.oldest(&tx)?);
        let deleted = expired.0
            + tx.execute(&format!("{} AND updated_at < ?1", place.sql()), [cutoff.as_millis()])? as u64;
        if [policy::JOURNAL.key, policy::WITHDRAWAL_LINKS.key].contains(&kind.key) {
            end_names(&tx, cutoff)?;
        }
        let oldest_left = place.oldest(&tx)?;
        if deleted > 0 {
            let oldest_s = oldest.map(|t| now.age.since(t).as_secs());
            let data = json!({ "kind": kind.key, "deleted": deleted, "oldest_s": oldest_s });
            audit(&tx, now.wall, Kind::Purged, &data)?;
        }
        tx.commit()?;
        Ok(Purged { deleted, oldest_deleted: oldest.filter(|_| deleted > 0), oldest_left })
    }

    /// Makes deletion real: destroys data keys that seal nothing any more, and
    /// empties the write-ahead log, in which deleted rows may still stand.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish_purge(&mut self, now: Moment) -> Result<u64, StoreError> {
        let keys = self.destroy_unused_keys(now)?;
        self.empty_log()?;
        Ok(keys)
    }
}

/// A settlement's later name goes with its settlement.
fn end_names(tx: &Transaction<'_>, cutoff: Age) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM names WHERE updated_at < ?1 AND id_hash NOT IN (SELECT id_hash FROM settlements)",
        [cutoff.as_millis()],
    )?;
    Ok(())
}

/// When each limit was last carried out since the start, for the bureau to see.
#[derive(Default)]
pub struct LastPurges(Mutex<BTreeMap<String, LastPurge>>);

impl LastPurges {
    /// Notes a run.
    pub fn note(&self, run: &[Evidence], at: WallTime) {
        let mut last = self.0.lock().unwrap_or_else(|e| e.into_inner());
        for Evidence { kind, deleted, oldest_left_s, .. } in run {
            let before = last.get(kind).map_or(0, |p| p.since_start);
            let since_start = before.saturating_add(*deleted);
            let now = LastPurge { at, deleted: *deleted, since_start, oldest_left_s: *oldest_left_s };
            last.insert(kind.clone(), now);
        }
    }

    /// By kind of data.
    pub fn all(&self) -> BTreeMap<String, LastPurge> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }
}

/// The box's database as a store with limits.
pub struct Held<'a> {
    /// The agent.
    pub context: &'a Context,
    /// The moment that everything done is marked with.
    pub now: Moment,
}

impl Expires<Age> for Held<'_> {
    type Error = StoreError;

    fn kinds(&self) -> Vec<Limit> {
        let named = policy::OPTIONAL_LIMITS.into_iter().filter(|kind| self.context.policy.keeps(*kind));
        KINDS.into_iter().chain(named).collect()
    }

    async fn purge(&mut self, kind: &Limit, cutoff: Age, _now: Age) -> Result<Purged<Age>, StoreError> {
        let (kind, now, agent) = (*kind, self.now, self.context.config.agent.name.clone());
        self.context.store(move |s| s.purge(&kind, cutoff, now, &agent)).await
    }
}

/// The cameras' rings as a store with limits: pictures that stay in memory
/// when no newer ones come.
pub struct Rings<'a>(pub &'a [Arc<Ring>]);

impl Expires<BoxTime> for Rings<'_> {
    type Error = std::convert::Infallible;

    fn kinds(&self) -> Vec<Limit> {
        vec![policy::FRAMES]
    }

    async fn purge(
        &mut self,
        _kind: &Limit,
        cutoff: BoxTime,
        _now: BoxTime,
    ) -> Result<Purged<BoxTime>, Self::Error> {
        let oldest = || self.0.iter().filter_map(|r| r.oldest()).min();
        let before = oldest();
        let deleted = self.0.iter().map(|r| r.drop_before(cutoff)).sum();
        Ok(Purged { deleted, oldest_deleted: before.filter(|_| deleted > 0), oldest_left: oldest() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::his::{Naming, StayId};
    use super::super::journal::Accepted;
    use super::super::journal::tests::{NOW, settlement, store};
    use super::super::opened;
    use super::super::outbox::tests::alerted;
    use super::super::stays::{Acting, StayName};
    use super::*;
    use crate::crypto::Sha256;
    use crate::crypto::seal::RootKey;
    use crate::frame::{Codec, Sample};
    use crate::privacy::retention::carry_out;
    use crate::protocol::alert::Event;
    use crate::protocol::verdict::Outcome;
    use std::time::Duration;

    const DAY: Duration = Duration::from_secs(86_400);

    fn later(d: Duration) -> Moment {
        Moment { wall: NOW.wall.plus(d), age: NOW.age.plus(d) }
    }

    fn purged(s: &Store) -> usize {
        s.audit_rows(1000).unwrap().iter().filter(|r| r.kind == Kind::Purged).count()
    }

    fn agent() -> AgentId {
        "box-1".parse().unwrap()
    }

    /// Deletes what is older than the kind's ceiling.
    fn at_ceiling(s: &mut Store, kind: &Limit, now: Moment) -> u64 {
        s.purge(kind, now.age.minus(Duration::from_secs(kind.ceiling)), now, &agent()).unwrap().deleted
    }

    /// Each kind of the design's table that the box's database holds: made,
    /// there at its ceiling, gone a second after it.
    #[test]
    fn every_kind_in_the_database_ends_at_its_limit() {
        for kind in KINDS {
            let dir = tempfile::tempdir().unwrap();
            let mut s = store(dir.path());
            match kind.key {
                k if k == policy::JOURNAL.key => {
                    let Accepted::New(v) = s.accept(&settlement("S1"), NOW).unwrap() else { panic!() };
                    s.end(v, &settlement("S1").settlement_id, Outcome::Match, None, NOW).unwrap();
                }
                k if k == policy::WAITING_ALERTS.key => drop(alerted(&mut s, "S1")),
                k if k == policy::STAYS.key => {
                    let stay = StayId::read("mdtrt_id", "M-1").unwrap();
                    let acting = Acting { marks: Vec::new(), has_unknown: true };
                    s.begin_stay(&StayName::Number(&stay), &acting, NOW).unwrap();
                }
                _ => {
                    alerted(&mut s, "S1");
                    let out = s.waiting(1).unwrap().pop().unwrap();
                    s.delivered(&out, NOW).unwrap();
                }
            }
            let ceiling = Duration::from_secs(kind.ceiling);
            assert_eq!(at_ceiling(&mut s, &kind, later(ceiling)), 0, "{}", kind.key);
            let left = s.purge(&kind, NOW.age.minus(ceiling), NOW, &agent()).unwrap().oldest_left;
            assert_eq!(left, Some(NOW.age), "{}", kind.key);
            assert_eq!(at_ceiling(&mut s, &kind, later(ceiling + Duration::from_secs(1))), 1, "{}", kind.key);
            assert_eq!(purged(&s), 1, "{}", kind.key);
        }
    }

    #[test]
    fn a_later_name_goes_with_its_settlement() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        for (request, name) in [("S1", "310000S1"), ("S2", "310000S2")] {
            let (request, settlement) = (request.parse().unwrap(), name.parse().unwrap());
            let naming = Naming { request, settlement, relatives_account: false };
            s.name(&naming, &agent(), NOW).unwrap();
        }
        alerted(&mut s, "S1");
        let names = |s: &Store| -> i64 {
            s.connection.query_row("SELECT COUNT(*) FROM names", [], |r| r.get(0)).unwrap()
        };
        let day = Duration::from_secs(policy::JOURNAL.ceiling + 1);
        at_ceiling(&mut s, &policy::JOURNAL, later(day));
        assert_eq!(names(&s), 1, "that of the alerted one stays with its link");
        let half_a_year = Duration::from_secs(policy::WITHDRAWAL_LINKS.ceiling + 1);
        at_ceiling(&mut s, &policy::WITHDRAWAL_LINKS, later(half_a_year));
        assert_eq!(names(&s), 0);
    }

    #[test]
    fn pictures_end_when_no_newer_ones_come() {
        let ring = Arc::new(Ring::new(Duration::from_secs(60), 1 << 20));
        ring.push(Sample::new(BoxTime::from_millis(1000), Codec::Jpeg, vec![1; 10]));
        let rings = [ring];
        let end = |at| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let limit = |l: &Limit| Duration::from_secs(l.ceiling);
            let done = runtime.block_on(carry_out(&mut Rings(&rings), limit, BoxTime::from_millis(at)));
            done.unwrap().remove(0)
        };
        assert_eq!((end(61_000).deleted, end(61_000).oldest_left_s), (0, Some(60)));
        assert_eq!((end(61_001).deleted, end(61_001).oldest_left_s), (1, None));
    }

    #[test]
    fn what_has_no_verdict_yet_is_never_purged() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        s.accept(&settlement("S2"), NOW).unwrap();
        for kind in KINDS {
            assert_eq!(at_ceiling(&mut s, &kind, later(DAY * 1000)), 0);
        }
        assert!(matches!(s.accept(&settlement("S2"), NOW).unwrap(), Accepted::Repeated(_)));
    }

    #[test]
    fn a_data_key_is_destroyed_with_its_last_row_and_copies_of_the_row_are_unreadable() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        alerted(&mut s, "S1");
        let rows = || opened::open_all(dir.path(), &RootKey::new([7; 32])).unwrap();
        let copy = rows().into_iter().find(|r| r.label.starts_with("outbox")).unwrap().label;
        let sealed: Vec<u8> = s.connection.query_row("SELECT sealed FROM outbox", [], |r| r.get(0)).unwrap();
        assert!(s.unseal(&copy, &sealed).is_ok());
        assert_eq!(s.finish_purge(later(DAY * 2)).unwrap(), 0);
        assert_eq!(at_ceiling(&mut s, &policy::WAITING_ALERTS, later(DAY * 91)), 1);
        assert_eq!(s.finish_purge(later(DAY * 91)).unwrap(), 1);
        let error = s.unseal(&copy, &sealed).unwrap_err();
        assert!(error.to_string().contains("destroyed"), "{error}");
        // The word of it is under a key of its own day.
        assert_eq!(rows().iter().filter(|r| r.label.starts_with("outbox")).count(), 1);
    }

    #[test]
    fn deleted_rows_are_in_no_file_of_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        alerted(&mut s, "S1");
        let sealed: Vec<u8> = s.connection.query_row("SELECT sealed FROM outbox", [], |r| r.get(0)).unwrap();
        let needle = &sealed[40..72];
        let found = || {
            std::fs::read_dir(dir.path())
                .unwrap()
                .any(|f| std::fs::read(f.unwrap().path()).unwrap().windows(32).any(|w| w == needle))
        };
        assert!(found());
        at_ceiling(&mut s, &policy::WAITING_ALERTS, later(DAY * 91));
        s.finish_purge(later(DAY * 91)).unwrap();
        assert!(!found());
    }

    #[test]
    fn a_purged_event_leaves_its_place_in_the_chain() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        alerted(&mut s, "S1");
        let first = s.waiting(1).unwrap().pop().unwrap();
        s.delivered(&first, NOW).unwrap();
        assert_eq!(at_ceiling(&mut s, &policy::ACKNOWLEDGED_ALERTS, later(DAY * 31)), 1);
        alerted(&mut s, "S2");
        let next = s.waiting(1).unwrap().pop().unwrap();
        assert_eq!(Event::from_bytes(&next.bytes).unwrap().chain.previous, Some(Sha256::of(&first.bytes)));
    }

    #[test]
    fn an_alert_that_nobody_took_leaves_a_signed_word_which_does_not_expire() {
        use crate::protocol::alert::Content;
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        let alert = alerted(&mut s, "S1");
        let lost = s.waiting(1).unwrap().pop().unwrap();
        assert_eq!(at_ceiling(&mut s, &policy::WAITING_ALERTS, later(DAY * 91)), 1);
        let word = s.waiting(9).unwrap();
        let event = Event::from_bytes(&word[0].bytes).unwrap();
        assert_eq!((word.len(), event.chain.seq, event.subject.is_none()), (1, 2, true));
        assert_eq!(event.chain.previous, Some(Sha256::of(&lost.bytes)));
        let Content::Expired(expired) = event.content else { panic!() };
        assert_eq!((expired.alert, expired.seq, expired.digest), (alert, 1, Sha256::of(&lost.bytes)));
        // However long it takes, there is one word and not a word of a word.
        assert_eq!(at_ceiling(&mut s, &policy::WAITING_ALERTS, later(DAY * 900)), 0);
        assert_eq!(s.waiting(9).unwrap().len(), 1);
        let kinds: Vec<Kind> = s.audit_rows(99).unwrap().iter().map(|r| r.kind).collect();
        assert!(kinds.contains(&Kind::ExpiryCommitted));
    }

    #[test]
    fn time_that_the_box_was_off_counts() {
        use crate::clock::{BootId, Now};
        use crate::privacy::age::{Ages, Due};
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        alerted(&mut s, "S1");
        let now = Now { boot: BoxTime::from_millis(0), wall: NOW.wall };
        let marks = Ages::resume(None, None, BootId::from_bytes([1; 16]), now).marks(now);
        s.make_older(Due::Older(NOW.age, DAY * 100), &marks).unwrap();
        assert_eq!(at_ceiling(&mut s, &policy::WAITING_ALERTS, later(DAY)), 0);
        s.make_older(Due::WaitingOlder(NOW.age, DAY * 100), &marks).unwrap();
        assert_eq!(at_ceiling(&mut s, &policy::WAITING_ALERTS, later(DAY)), 1);
        assert_eq!(s.marks().unwrap(), Some(marks));
    }
}
