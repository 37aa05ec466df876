//! The outbox part of the store: events signed, numbered, kept until the
//! bureau has them.
//!
//! Each event is signed over its exact bytes, and holds its number and the
//! digest of the one before. Committing it, the verdict behind it and their
//! audit rows is one transaction.

use rusqlite::{OptionalExtension, Transaction, params};
use serde_json::json;
use zeroize::Zeroizing;

use crate::crypto::Sha256;
use crate::privacy::age::{Age, Moment};
use crate::privacy::audit::Kind;
use crate::protocol::alert::{
    Content, Event, Expired, JsonType, Link, Source, SpecVersion, WithdrawalReason, Withdrawn,
};
use crate::protocol::head::{HeadAnswer, Range};
use crate::protocol::id::{AgentId, AlertId, SettlementId, VerificationId};
use crate::protocol::verdict::Outcome;

use super::alerts::Draft;
use super::standing;
use super::store::{Store, StoreError, audit, audit_verdict};

/// An event that waits for the bureau.
pub struct Outgoing {
    /// Its number in the epoch.
    pub seq: u64,
    /// Its id.
    pub id: AlertId,
    /// Its signature, as the header carries it.
    pub signature: String,
    /// Its exact bytes.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// What the outbox holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Events that wait for the bureau.
    pub waiting: u64,
    /// Events that it refused for good.
    pub set_aside: u64,
}

/// What became of a mismatch that was to be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It is held until its time comes.
    Held,
    /// Its settlement was cancelled meanwhile.
    Cancelled,
    /// The box is not armed for what found it: no alert may be made of it.
    InShadow,
}

/// What became of a held mismatch whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Released {
    /// Its alert was signed and committed.
    Alerted(AlertId),
    /// It ended without one.
    Watched,
    /// It had ended before: cancelled, or by the change into shadow.
    Ended,
}

/// Box, settlement and content of an event to come.
type Parts = (AgentId, Option<SettlementId>, Content);

/// The withdrawal of an alert.
fn withdrawal(agent: &AgentId, settlement: &SettlementId, alert: AlertId) -> Parts {
    let content = Content::Withdrawn(Withdrawn { alert, reason: WithdrawalReason::SettlementCancelled });
    (agent.clone(), Some(settlement.clone()), content)
}

/// An event, signed and sealed, ready to be committed.
struct Prepared {
    event: Event,
    digest: Sha256,
    sealed: Vec<u8>,
}

impl Prepared {
    fn id(&self) -> AlertId {
        self.event.id
    }

    fn seq(&self) -> u64 {
        self.event.chain.seq
    }

    fn insert(&self, tx: &Transaction<'_>, now: Moment) -> Result<(), StoreError> {
        tx.execute(
            "INSERT INTO outbox (seq, id, digest, sealed, state, updated_at) VALUES (?1, ?2, ?3, ?4, 'waiting', ?5)",
            params![self.seq() as i64, self.id().to_string(), self.digest.0, self.sealed, now.age.as_millis()],
        )?;
        Ok(())
    }
}

impl Store {
    /// Numbers, signs and seals the next event of the chain.
    fn prepare(&mut self, parts: Parts, now: Moment) -> Result<Prepared, StoreError> {
        let (agent, subject, content) = parts;
        let last: Option<(i64, Vec<u8>)> = self
            .connection
            .query_row("SELECT seq, digest FROM outbox ORDER BY seq DESC LIMIT 1", [], |r| {
                Ok((r.get(0)?, r.get(1)?))
            })
            .optional()?;
        let previous = match &last {
            Some((_, digest)) => Some(Sha256(
                digest
                    .as_slice()
                    .try_into()
                    .map_err(|_| StoreError::Content("a digest that is not one".into()))?,
            )),
            None => None,
        };
        let seq = last.map_or(1, |(seq, _)| seq as u64 + 1);
        let event = Event {
            specversion: SpecVersion::V1,
            id: AlertId::new(),
            source: Source(agent),
            time: jiff::Timestamp::from_millisecond(now.wall.as_millis()).unwrap_or_default(),
            subject,
            datacontenttype: JsonType::Json,
            chain: Link { epoch: self.epoch(), seq, previous },
            content,
        };
        let bytes = Zeroizing::new(event.to_bytes().map_err(|e| StoreError::Content(e.to_string()))?);
        let signature = self.signer.sign(&bytes).to_string();
        let plain = Zeroizing::new([signature.as_bytes(), b"\n", &bytes].concat());
        let sealed = self.seal(&label(seq), &plain, now.age)?;
        Ok(Prepared { digest: Sha256::of(&bytes), event, sealed })
    }

    /// Whether the box is armed for what found a mismatch.
    pub(super) fn may_send(&self, draft: &Draft) -> bool {
        self.armed().is_some_and(|a| a.covers(draft.model(), draft.calibration()))
    }

    /// Signs and commits the alert of a held mismatch, with its verdict, if the
    /// box is armed for what found it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn release(
        &mut self,
        verification: VerificationId,
        draft: Draft,
        now: Moment,
    ) -> Result<Released, StoreError> {
        let (outcome, score) = (draft.outcome(), draft.score());
        // What an entrance finds is not among the figures that a box is commissioned by.
        let is_counted = outcome == Outcome::Mismatch;
        if !self.may_send(&draft) {
            let ended = match is_counted {
                true => self.end(verification, draft.settlement(), outcome, score, now)?,
                false => self.end_apart(verification, draft.settlement(), outcome, now)?,
            };
            return Ok(if ended { Released::Watched } else { Released::Ended });
        }
        let counted = if is_counted { self.counted(outcome, score) } else { None };
        let (agent, settlement, content) = draft.into_parts();
        let subject = self.later_name(&settlement)?.unwrap_or_else(|| settlement.clone());
        let event = self.prepare((agent, Some(subject), content), now)?;
        let tx = self.connection.transaction()?;
        if !Self::mark_alerted(&tx, verification, event.id(), now)? {
            return Ok(Released::Ended);
        }
        event.insert(&tx, now)?;
        audit_verdict(&tx, Some(&settlement), verification, outcome, now)?;
        let data = json!({ "settlement": settlement, "event": event.id(), "seq": event.seq() });
        audit(&tx, now.wall, Kind::AlertCommitted, &data)?;
        if let Some(kept) = &counted {
            standing::write(&tx, &self.meta, kept)?;
        }
        tx.commit()?;
        self.has_counted(counted, now);
        Ok(Released::Alerted(event.id()))
    }

    /// Signs and commits the withdrawal of an alert, and marks its settlement.
    pub(super) fn withdraw(
        &mut self,
        hash: &[u8],
        settlement: &SettlementId,
        agent: &AgentId,
        alert: AlertId,
        now: Moment,
    ) -> Result<(), StoreError> {
        let parts = withdrawal(agent, settlement, alert);
        let event = self.prepare(parts, now)?;
        let tx = self.connection.transaction()?;
        tx.execute(
            // Its limit goes on: a withdrawal is no reason to keep the link longer.
            "UPDATE settlements SET alert_state = 'withdrawn' WHERE id_hash = ?1",
            params![hash],
        )?;
        event.insert(&tx, now)?;
        let data =
            json!({ "settlement": settlement, "event": event.id(), "withdraws": alert, "seq": event.seq() });
        audit(&tx, now.wall, Kind::WithdrawalCommitted, &data)?;
        tx.commit()?;
        Ok(())
    }

    /// Ends events that the bureau did not take before `cutoff`: what they said
    /// goes, and a signed word of each, with its place and digest alone, takes
    /// its turn. Returns how many, and the mark of the oldest.
    ///
    /// # Errors
    /// If it cannot be written; those done before stay done.
    pub(super) fn expire(
        &mut self,
        agent: &AgentId,
        cutoff: Age,
        now: Moment,
    ) -> Result<(u64, Option<Age>), StoreError> {
        let gone: Vec<(i64, String, [u8; 32], i64)> = self
            .connection
            .prepare_cached(
                "SELECT seq, id, digest, updated_at FROM outbox WHERE sealed IS NOT NULL
                 AND state <> 'acknowledged' AND tells_of IS NULL AND updated_at < ?1 ORDER BY seq",
            )?
            .query_map([cutoff.as_millis()], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))?
            .collect::<Result<_, _>>()?;
        let oldest = gone.iter().map(|(.., at)| Age::from_millis(*at)).min();
        for (seq, id, digest, _) in &gone {
            let alert = id.parse().map_err(|_| StoreError::Content("a broken event number".into()))?;
            let expired = Expired { alert, seq: *seq as u64, digest: Sha256(*digest) };
            let event = self.prepare((agent.clone(), None, Content::Expired(expired)), now)?;
            let tx = self.connection.transaction()?;
            tx.execute("UPDATE outbox SET sealed = NULL, state = 'expired' WHERE seq = ?1", [seq])?;
            event.insert(&tx, now)?;
            tx.execute("UPDATE outbox SET tells_of = ?2 WHERE seq = ?1", params![event.seq() as i64, seq])?;
            let data = json!({ "event": event.id(), "seq": event.seq(), "expired": id, "expired_seq": seq });
            audit(&tx, now.wall, Kind::ExpiryCommitted, &data)?;
            tx.commit()?;
        }
        Ok((gone.len() as u64, oldest))
    }

    /// The oldest events that wait, in their order.
    ///
    /// # Errors
    /// If they cannot be read or opened.
    pub fn waiting(&self, most: usize) -> Result<Vec<Outgoing>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT seq, id, sealed FROM outbox WHERE state = 'waiting' AND sealed IS NOT NULL ORDER BY seq LIMIT ?1",
        )?;
        let rows = statement.query_map([most as i64], |r| {
            Ok((r.get::<_, i64>(0)? as u64, r.get::<_, String>(1)?, r.get::<_, Vec<u8>>(2)?))
        })?;
        rows.map(|row| {
            let (seq, id, sealed) = row?;
            let strange = || StoreError::Content(format!("event {seq} in a form it does not know"));
            let plain = self.unseal(&label(seq), &sealed)?;
            let cut = plain.iter().position(|b| *b == b'\n').ok_or_else(strange)?;
            let (signature, rest) = plain.split_at(cut);
            Ok(Outgoing {
                seq,
                id: id.parse().map_err(|_| strange())?,
                signature: String::from_utf8(signature.to_vec()).map_err(|_| strange())?,
                bytes: Zeroizing::new(rest.get(1..).unwrap_or_default().to_vec()),
            })
        })
        .collect()
    }

    /// Sets aside events that cannot be read any more, as after damage to the
    /// disk: one must not keep the others. Returns how many.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_unreadable_aside(&mut self, now: Moment) -> Result<u64, StoreError> {
        let rows: Vec<(i64, String, Vec<u8>)> = self
            .connection
            .prepare_cached(
                "SELECT seq, id, sealed FROM outbox WHERE state = 'waiting' AND sealed IS NOT NULL",
            )?
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let mut aside = 0;
        for (seq, id, sealed) in rows {
            let Err(e) = self.unseal(&label(seq as u64), &sealed) else { continue };
            let why = format!("cannot be read: {e}");
            let data = json!({ "event": id, "seq": seq, "why": why });
            self.settle(seq as u64, "set_aside", Some(&why), (Kind::EventSetAside, data), now)?;
            aside += 1;
        }
        Ok(aside)
    }

    /// The bureau has the event.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn delivered(&mut self, out: &Outgoing, now: Moment) -> Result<(), StoreError> {
        let data = json!({ "event": out.id, "seq": out.seq });
        self.settle(out.seq, "acknowledged", None, (Kind::EventDelivered, data), now)
    }

    /// The bureau refused the event for good.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_aside(&mut self, out: &Outgoing, why: &str, now: Moment) -> Result<(), StoreError> {
        let data = json!({ "event": out.id, "seq": out.seq, "why": why });
        self.settle(out.seq, "set_aside", Some(why), (Kind::EventSetAside, data), now)
    }

    fn settle(
        &mut self,
        seq: u64,
        state: &str,
        detail: Option<&str>,
        record: (Kind, serde_json::Value),
        now: Moment,
    ) -> Result<(), StoreError> {
        let tx = self.connection.transaction()?;
        let changed = tx.execute(
            // The first acknowledgement begins another limit. Sent again, or refused, an event keeps its time.
            "UPDATE outbox SET state = ?2, detail = ?3,
             updated_at = CASE WHEN ?2 = 'acknowledged' AND detail IS NOT 'again' THEN ?4 ELSE updated_at END
             WHERE seq = ?1 AND state = 'waiting'",
            params![seq as i64, state, detail, now.age.as_millis()],
        )?;
        if changed == 1 {
            audit(&tx, now.wall, record.0, &record.1)?;
        }
        tx.commit()?;
        Ok(())
    }

    /// Sends again what the bureau once acknowledged, no longer holds, and is
    /// still at hand, as after a restored backup. Returns how many.
    ///
    /// What it refused for good is not sent again, and does not keep what lies
    /// behind it from being sent.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn resend_missing(&mut self, held: &HeadAnswer) -> Result<u64, StoreError> {
        let reach = held.reach().filter(|h| h.epoch == self.epoch());
        let greatest = reach.map_or(0, |h| h.seq);
        let behind = Range { first: greatest.saturating_add(1), last: u64::MAX };
        // Ranges are about the epoch that was named; of another, nothing is held.
        let between = if reach.is_some() { held.missing.as_slice() } else { &[] };
        let tx = self.connection.transaction()?;
        let mut changed = 0;
        for range in between.iter().chain([&behind]) {
            let number = |seq: u64| i64::try_from(seq).unwrap_or(i64::MAX);
            changed += tx.execute(
                "UPDATE outbox SET state = 'waiting', detail = 'again'
                 WHERE state = 'acknowledged' AND sealed IS NOT NULL AND seq BETWEEN ?1 AND ?2",
                [number(range.first), number(range.last)],
            )?;
        }
        tx.commit()?;
        Ok(changed as u64)
    }

    /// What the outbox holds.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn outbox(&self) -> Result<Waiting, StoreError> {
        let count = |state: &str| -> Result<u64, StoreError> {
            let n: i64 =
                self.connection
                    .query_row("SELECT count(*) FROM outbox WHERE state = ?1", [state], |r| r.get(0))?;
            Ok(n as u64)
        };
        Ok(Waiting { waiting: count("waiting")?, set_aside: count("set_aside")? })
    }
}

pub(super) fn label(seq: u64) -> String {
    format!("outbox/{seq}")
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::journal::tests::{NOW, settlement, store};
    use super::super::journal::{Accepted, Cancelled};
    use super::*;
    use crate::crypto::sign::{Signature, Unverified};
    use crate::protocol::alert::{self, Head};

    pub(in crate::edge) fn draft(id: &str) -> Draft {
        // A draft is made by the rule only; a test reads one as the store does.
        let event = alert::tests::example(1, None, crate::protocol::id::Epoch::new());
        let Content::Mismatch(data) = event.content else { panic!() };
        serde_json::from_value(json!({ "agent": "box-1", "settlement": id, "data": data })).unwrap()
    }

    pub(in crate::edge) fn alerted(s: &mut Store, id: &str) -> AlertId {
        let Accepted::New(v) = s.accept(&settlement(id), NOW).unwrap() else { panic!() };
        assert_eq!(s.hold(v, &draft(id), NOW.age, NOW).unwrap(), Held::Held);
        let (due, d) = s.due(NOW.age).unwrap().pop().unwrap();
        let d = d.unwrap();
        let Released::Alerted(id) = s.release(due, d, NOW).unwrap() else { panic!() };
        id
    }

    #[test]
    fn events_are_signed_and_chained() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        alerted(&mut s, "S1");
        alerted(&mut s, "S2");
        let all = s.waiting(10).unwrap();
        let events: Vec<Event> = all.iter().map(|o| Event::from_bytes(&o.bytes).unwrap()).collect();
        assert_eq!(events.iter().map(|e| e.chain.seq).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(events[1].chain.previous, Some(Sha256::of(&all[0].bytes)));
        let signature: Signature = all[1].signature.parse().unwrap();
        Unverified::new(&all[1].bytes, signature).verify(&s.signer.public()).unwrap();
    }

    #[test]
    fn a_held_mismatch_can_still_be_cancelled_and_an_alert_withdrawn() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        let agent: AgentId = "box-1".parse().unwrap();
        let Accepted::New(v) = s.accept(&settlement("S1"), NOW).unwrap() else { panic!() };
        assert_eq!(s.hold(v, &draft("S1"), NOW.age, NOW).unwrap(), Held::Held);
        let (due, d) = s.due(NOW.age).unwrap().pop().unwrap();
        let d = d.unwrap();
        assert_eq!(s.cancel(&settlement("S1").settlement_id, &agent, NOW).unwrap(), Cancelled::Stopped(v));
        assert_eq!(s.release(due, d, NOW).unwrap(), Released::Ended);
        assert_eq!(s.outbox().unwrap().waiting, 0);

        let alert = alerted(&mut s, "S2");
        let id = settlement("S2").settlement_id;
        assert_eq!(s.cancel(&id, &agent, NOW).unwrap(), Cancelled::Withdrawn);
        assert_eq!(s.cancel(&id, &agent, NOW).unwrap(), Cancelled::Nothing);
        let last = s.waiting(10).unwrap().pop().unwrap();
        match Event::from_bytes(&last.bytes).unwrap().content {
            Content::Withdrawn(w) => assert_eq!(w.alert, alert),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_that_cannot_be_read_does_not_keep_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        alerted(&mut s, "S1");
        alerted(&mut s, "S2");
        s.connection.execute("UPDATE outbox SET sealed = zeroblob(90) WHERE seq = 1", []).unwrap();
        assert!(s.waiting(9).is_err());
        assert_eq!(s.set_unreadable_aside(NOW).unwrap(), 1);
        assert_eq!(s.waiting(9).unwrap().iter().map(|o| o.seq).collect::<Vec<_>>(), [2]);
        assert_eq!(s.outbox().unwrap(), Waiting { waiting: 1, set_aside: 1 });
    }

    #[test]
    fn only_the_first_acknowledgement_begins_another_limit() {
        use crate::privacy::age::Age;
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        let later = Moment { age: Age::from_millis(NOW.age.as_millis() + 1000), ..NOW };
        let mark = |s: &Store, seq: i64| -> i64 {
            s.connection
                .query_row("SELECT updated_at FROM outbox WHERE seq = ?1", [seq], |r| r.get(0))
                .unwrap()
        };
        alerted(&mut s, "S1");
        alerted(&mut s, "S2");
        let all = s.waiting(9).unwrap();
        s.set_aside(&all[0], "refused", later).unwrap();
        s.delivered(&all[1], later).unwrap();
        assert_eq!((mark(&s, 1), mark(&s, 2)), (NOW.age.as_millis(), later.age.as_millis()));
        let link = |s: &Store| -> i64 {
            s.connection
                .query_row("SELECT updated_at FROM settlements WHERE alert_state = 'withdrawn'", [], |r| {
                    r.get(0)
                })
                .unwrap()
        };
        let agent: AgentId = "box-1".parse().unwrap();
        s.cancel(&settlement("S2").settlement_id, &agent, later).unwrap();
        assert_eq!(link(&s), NOW.age.as_millis());
    }

    #[test]
    fn a_bureau_that_lost_events_gets_them_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        for id in ["S1", "S2", "S3"] {
            alerted(&mut s, id);
        }
        for o in s.waiting(10).unwrap() {
            s.delivered(&o, NOW).unwrap();
        }
        assert_eq!(s.resend_missing(&held(&s, 3, &[])).unwrap(), 0);
        assert_eq!(s.resend_missing(&held(&s, 1, &[])).unwrap(), 2);
        assert_eq!(s.waiting(10).unwrap().iter().map(|o| o.seq).collect::<Vec<_>>(), [2, 3]);
    }

    /// What a bureau says that holds all up to `greatest` but these.
    fn held(s: &Store, greatest: u64, missing: &[(u64, u64)]) -> HeadAnswer {
        HeadAnswer {
            greatest: Some(Head { epoch: s.epoch(), seq: greatest }),
            missing: missing.iter().map(|&(first, last)| Range { first, last }).collect(),
            ..HeadAnswer::default()
        }
    }

    #[test]
    fn exactly_what_is_missing_is_sent_again_also_behind_a_gap_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        for id in ["S1", "S2", "S3", "S4", "S5"] {
            alerted(&mut s, id);
        }
        for (i, o) in s.waiting(10).unwrap().iter().enumerate() {
            if i == 1 { s.set_aside(o, "refused", NOW).unwrap() } else { s.delivered(o, NOW).unwrap() }
        }
        assert_eq!(s.resend_missing(&held(&s, 5, &[(2, 2)])).unwrap(), 0);
        assert_eq!(s.resend_missing(&held(&s, 4, &[(2, 3)])).unwrap(), 2);
        assert_eq!(s.waiting(10).unwrap().iter().map(|o| o.seq).collect::<Vec<_>>(), [3, 5]);
        // The same answer again changes nothing.
        assert_eq!(s.resend_missing(&held(&s, 4, &[(2, 3)])).unwrap(), 0);
    }

    #[test]
    fn a_bureau_that_holds_nothing_of_this_epoch_gets_all_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        for id in ["S1", "S2"] {
            alerted(&mut s, id);
        }
        for o in s.waiting(10).unwrap() {
            s.delivered(&o, NOW).unwrap();
        }
        let mut other = held(&s, 9, &[(1, 1)]);
        other.greatest = Some(Head { epoch: crate::protocol::id::Epoch::new(), seq: 9 });
        assert_eq!(s.resend_missing(&other).unwrap(), 2);
        for o in s.waiting(10).unwrap() {
            s.delivered(&o, NOW).unwrap();
        }
        assert_eq!(s.resend_missing(&HeadAnswer::default()).unwrap(), 2);
    }
}
