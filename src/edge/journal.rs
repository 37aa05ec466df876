//! The settlements' part of the store: accepted once, ended once.
//!
//! States: `accepted` (acknowledged, no verdict yet), `held` (a mismatch that
//! may still be cancelled), `done` (its verdict stands in an audit row),
//! `cancelled` (the cancellation came first). Only this file moves a row from
//! one to the next, and each move that ends a verification writes its one
//! verdict in the same transaction.

use std::time::Duration;

use rusqlite::{OptionalExtension, Params, Transaction, params};
use serde_json::json;

use crate::privacy::age::{Age, Moment};
use crate::privacy::audit::Kind;
use crate::protocol::id::{AgentId, AlertId, SettlementId, VerificationId};
use crate::protocol::settlement::Settlement;
use crate::protocol::verdict::{Inconclusive, NotAssessed, Outcome};

use super::alerts::Draft;
use super::commission::Kept;
use super::outbox::Held;
use super::standing;
use super::store::{Store, StoreError, audit, audit_verdict, audit_watched};

/// What became of a settlement message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// New: its verification begins.
    New(VerificationId),
    /// Seen before, the same: the first answer again.
    Repeated(VerificationId),
    /// The same number with another content.
    Contradicts,
    /// Cancelled before it came: its verdict is recorded already.
    CancelledBefore(VerificationId),
}

/// What became of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The settlement is not known; it will be when it comes.
    Remembered,
    /// Its verification had no verdict yet; now it has.
    Stopped(VerificationId),
    /// Its alert was signed; a withdrawal was committed.
    Withdrawn,
    /// Nothing was left to cancel.
    Nothing,
}

/// A held mismatch whose time has come, if it can be read.
pub type Due = (VerificationId, Result<Draft, StoreError>);

struct Row {
    verification: VerificationId,
    state: String,
    content_hash: Option<Vec<u8>>,
    alert: Option<AlertId>,
    alerted: bool,
}

impl Store {
    fn row(&self, hash: &[u8]) -> Result<Option<Row>, StoreError> {
        let strange = |what: &str| StoreError::Content(format!("a settlement with {what}"));
        let row = self
            .connection
            .prepare_cached("SELECT verification, state, content_hash, alert, alert_state FROM settlements WHERE id_hash = ?1")?
            .query_row([hash], |r| {
                Ok((
                    r.get::<_, String>(0)?,
                    r.get::<_, String>(1)?,
                    r.get::<_, Option<Vec<u8>>>(2)?,
                    r.get::<_, Option<String>>(3)?,
                    r.get::<_, Option<String>>(4)?,
                ))
            })
            .optional()?;
        let Some((verification, state, content_hash, alert, alert_state)) = row else { return Ok(None) };
        Ok(Some(Row {
            verification: verification.parse().map_err(|_| strange("a broken verification number"))?,
            state,
            content_hash,
            alert: alert.map(|a| a.parse()).transpose().map_err(|_| strange("a broken alert number"))?,
            alerted: alert_state.as_deref() == Some("alerted"),
        }))
    }

    /// Whether a cancellation came for a settlement that is not known.
    pub(super) fn was_cancelled(&self, hash: &[u8]) -> Result<bool, StoreError> {
        Ok(self.row(hash)?.is_some_and(|row| row.state == "cancelled"))
    }

    /// The verification of a settlement that has no verdict yet.
    pub(super) fn is_open(&self, hash: &[u8]) -> Result<Option<VerificationId>, StoreError> {
        let open = self.row(hash)?.filter(|row| matches!(row.state.as_str(), "accepted" | "held"));
        Ok(open.map(|row| row.verification))
    }

    /// Journals a settlement, once.
    ///
    /// # Errors
    /// If it cannot be written; then it must not be acknowledged.
    pub fn accept(&mut self, settlement: &Settlement, now: Moment) -> Result<Accepted, StoreError> {
        let hash = self.hash(&settlement.settlement_id);
        let payload = serde_json::to_vec(settlement).map_err(|e| StoreError::Content(e.to_string()))?;
        let content = self.keyed_hash(&payload);
        if let Some(row) = self.row(&hash)? {
            return match (row.state.as_str(), row.content_hash) {
                ("cancelled", _) => self.accept_cancelled(settlement, &hash, &content, row.verification, now),
                (_, Some(known)) if known != content => Ok(Accepted::Contradicts),
                _ => Ok(Accepted::Repeated(row.verification)),
            };
        }
        let id = VerificationId::new();
        let sealed = self.seal(&payload_label(id), &payload, now.age)?;
        let tx = self.connection.transaction()?;
        tx.execute(
            "INSERT INTO settlements (id_hash, verification, state, content_hash, payload, updated_at)
             VALUES (?1, ?2, 'accepted', ?3, ?4, ?5)",
            params![hash, id.to_string(), content, sealed, now.age.as_millis()],
        )?;
        audit_accepted(&tx, settlement, id, now)?;
        tx.commit()?;
        Ok(Accepted::New(id))
    }

    /// Ends held mismatches in whose reach a settlement of somebody else came that
    /// is named only now, by the HIS's own times: whatever this box's clock says,
    /// and over a restart. Returns those that ended.
    ///
    /// # Errors
    /// If they cannot be read or ended.
    pub fn cut_held(
        &mut self,
        settlement: &Settlement,
        reach: Duration,
        now: Moment,
    ) -> Result<Vec<VerificationId>, StoreError> {
        // Named before, it has cut their windows already.
        if self.row(&self.hash(&settlement.settlement_id))?.is_some() {
            return Ok(Vec::new());
        }
        // Every settlement asks this: only those near in time are opened.
        let (at, reach_ms) = (settlement.occurred_at.timestamp().as_millisecond(), reach.as_millis() as i64);
        let near = [at.saturating_sub(reach_ms), at.saturating_add(reach_ms)];
        let held = self.held("occurred_at BETWEEN ?1 AND ?2", near)?;
        let mut ended = Vec::new();
        for (id, draft) in held {
            let Ok(draft) = draft else { continue };
            let outcome = Outcome::Inconclusive(Inconclusive::NeighbourNamedLate);
            if draft.has_neighbour(settlement, reach)
                && self.end(id, draft.settlement(), outcome, None, now)?
            {
                ended.push(id);
            }
        }
        Ok(ended)
    }

    fn accept_cancelled(
        &mut self,
        settlement: &Settlement,
        hash: &[u8],
        content: &[u8],
        id: VerificationId,
        now: Moment,
    ) -> Result<Accepted, StoreError> {
        let outcome = Outcome::NotAssessed(NotAssessed::Cancelled);
        let counted = self.counted(outcome, None);
        let tx = self.connection.transaction()?;
        tx.execute(
            "UPDATE settlements SET state = 'done', content_hash = ?2, updated_at = ?3 WHERE id_hash = ?1",
            params![hash, content, now.age.as_millis()],
        )?;
        audit_accepted(&tx, settlement, id, now)?;
        audit_verdict(&tx, Some(&settlement.settlement_id), id, outcome, now)?;
        if let Some(kept) = &counted {
            standing::write(&tx, &self.meta, kept)?;
        }
        tx.commit()?;
        self.has_counted(counted, now);
        Ok(Accepted::CancelledBefore(id))
    }

    /// Cancels a settlement, whatever has become of it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn cancel(
        &mut self,
        id: &SettlementId,
        agent: &AgentId,
        now: Moment,
    ) -> Result<Cancelled, StoreError> {
        let mut hash = self.hash(id);
        let mut row = self.row(&hash)?;
        if row.is_none()
            && let Some(accepted_under) = self.accepted_under(&hash)?
        {
            hash = accepted_under;
            row = self.row(&hash)?;
        }
        let Some(row) = row else {
            self.connection.execute(
                "INSERT INTO settlements (id_hash, verification, state, updated_at) VALUES (?1, ?2, 'cancelled', ?3)",
                params![hash, VerificationId::new().to_string(), now.age.as_millis()],
            )?;
            return Ok(Cancelled::Remembered);
        };
        match (row.state.as_str(), row.alert) {
            ("accepted" | "held", _) => {
                self.end(row.verification, id, Outcome::NotAssessed(NotAssessed::Cancelled), None, now)?;
                Ok(Cancelled::Stopped(row.verification))
            }
            ("done", Some(alert)) if row.alerted => {
                self.withdraw(&hash, id, agent, alert, now)?;
                Ok(Cancelled::Withdrawn)
            }
            _ => Ok(Cancelled::Nothing),
        }
    }

    /// Records the verdict of a verification that has none yet, and counts it
    /// with its score. `false` if it has one: a cancellation was quicker. A
    /// mismatch that ends here is one that was watched in shadow: no alert is
    /// made of it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn end(
        &mut self,
        verification: VerificationId,
        settlement: &SettlementId,
        outcome: Outcome,
        score: Option<f32>,
        now: Moment,
    ) -> Result<bool, StoreError> {
        let counted = self.counted(outcome, score);
        self.end_any(verification, Some(settlement), (outcome, counted), now)
    }

    /// The same of an entrance, whose verdicts are not among the figures that a box is
    /// commissioned by.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn end_apart(
        &mut self,
        verification: VerificationId,
        settlement: &SettlementId,
        outcome: Outcome,
        now: Moment,
    ) -> Result<bool, StoreError> {
        self.end_any(verification, Some(settlement), (outcome, None), now)
    }

    /// Ends a verification of which only the number is at hand; the record
    /// names its settlement if that can be read.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn give_up(
        &mut self,
        verification: VerificationId,
        reason: NotAssessed,
        now: Moment,
    ) -> Result<bool, StoreError> {
        let sealed: Option<Vec<u8>> = self
            .connection
            .query_row(
                "SELECT payload FROM settlements WHERE verification = ?1",
                [verification.to_string()],
                |r| r.get(0),
            )
            .optional()?
            .flatten();
        let settlement = sealed
            .and_then(|s| self.unseal(&payload_label(verification), &s).ok())
            .and_then(|plain| serde_json::from_slice::<Settlement>(&plain).ok());
        let id = settlement.as_ref().map(|s| &s.settlement_id);
        let outcome = Outcome::NotAssessed(reason);
        let counted = self.counted(outcome, None);
        self.end_any(verification, id, (outcome, counted), now)
    }

    fn end_any(
        &mut self,
        verification: VerificationId,
        settlement: Option<&SettlementId>,
        (outcome, counted): (Outcome, Option<Kept>),
        now: Moment,
    ) -> Result<bool, StoreError> {
        let tx = self.connection.transaction()?;
        let changed = tx.execute(
            "UPDATE settlements SET state = 'done', payload = NULL, draft = NULL, occurred_at = NULL, updated_at = ?2
             WHERE verification = ?1 AND state IN ('accepted', 'held')",
            params![verification.to_string(), now.age.as_millis()],
        )?;
        if changed == 1 {
            match outcome {
                watched if watched.accuses() => audit_watched(&tx, settlement, verification, watched, now)?,
                other => audit_verdict(&tx, settlement, verification, other, now)?,
            }
            if let Some(kept) = &counted {
                standing::write(&tx, &self.meta, kept)?;
            }
        }
        tx.commit()?;
        if changed == 1 {
            self.has_counted(counted, now);
        }
        Ok(changed == 1)
    }

    /// Holds a mismatch until `release_at`, if the box is armed for what found it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn hold(
        &mut self,
        verification: VerificationId,
        draft: &Draft,
        release_at: Age,
        now: Moment,
    ) -> Result<Held, StoreError> {
        #[cfg(feature = "leak")]
        super::leak::into_store(self, now)?;
        // The box may have been disarmed since the draft was made.
        if !self.may_send(draft) {
            return Ok(Held::InShadow);
        }
        let plain = serde_json::to_vec(draft).map_err(|e| StoreError::Content(e.to_string()))?;
        let sealed = self.seal(&draft_label(verification), &plain, now.age)?;
        let changed = self.connection.execute(
            "UPDATE settlements SET state = 'held', draft = ?2, release_at = ?3, occurred_at = ?4, updated_at = ?5
             WHERE verification = ?1 AND state = 'accepted'",
            params![
                verification.to_string(),
                sealed,
                release_at.as_millis(),
                draft.occurred_at().timestamp().as_millisecond(),
                now.age.as_millis()
            ],
        )?;
        Ok(if changed == 1 { Held::Held } else { Held::Cancelled })
    }

    /// Held mismatches whose time has come.
    ///
    /// # Errors
    /// If they cannot be read or opened.
    pub fn due(&self, now: Age) -> Result<Vec<Due>, StoreError> {
        self.held("release_at <= ?1 ORDER BY release_at", [now.as_millis()])
    }

    /// Held mismatches that fit a condition, each opened if it can be.
    pub(super) fn held(&self, which: &str, values: impl Params) -> Result<Vec<Due>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT verification, draft FROM settlements WHERE state = 'held' AND {which}"
        ))?;
        let rows = statement.query_map(values, |r| Ok((r.get::<_, String>(0)?, r.get::<_, Vec<u8>>(1)?)))?;
        rows.map(|row| {
            let (id, sealed) = row?;
            let id: VerificationId =
                id.parse().map_err(|_| StoreError::Content("a broken verification number".into()))?;
            // One that cannot be read must not keep the others.
            let draft = self.unseal(&draft_label(id), &sealed).and_then(|plain| {
                serde_json::from_slice(&plain)
                    .map_err(|e| StoreError::Content(format!("a held alert that cannot be read: {e}")))
            });
            Ok((id, draft))
        })
        .collect()
    }

    /// When the next held mismatch is due.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn next_due(&self) -> Result<Option<Age>, StoreError> {
        let at: Option<i64> = self.connection.query_row(
            "SELECT min(release_at) FROM settlements WHERE state = 'held'",
            [],
            |r| r.get(0),
        )?;
        Ok(at.map(Age::from_millis))
    }

    /// Ends every verification that a stop or a crash interrupted, as
    /// `not_assessed(restarted)`. Called once, before anything is accepted. A
    /// settlement that cannot be read ends too: it must not keep the others.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn end_interrupted(&mut self, now: Moment) -> Result<u64, StoreError> {
        let open: Vec<String> = self
            .connection
            .prepare("SELECT verification FROM settlements WHERE state = 'accepted'")?
            .query_map([], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        for id in &open {
            let id = id.parse().map_err(|_| StoreError::Content("a broken verification number".into()))?;
            self.give_up(id, NotAssessed::Restarted, now)?;
        }
        Ok(open.len() as u64)
    }

    /// Marks a settlement as alerted, in the transaction that commits its alert.
    pub(super) fn mark_alerted(
        tx: &Transaction<'_>,
        verification: VerificationId,
        alert: AlertId,
        now: Moment,
    ) -> Result<bool, StoreError> {
        let changed = tx.execute(
            "UPDATE settlements SET state = 'done', payload = NULL, draft = NULL, occurred_at = NULL, alert = ?2,
             alert_state = 'alerted', updated_at = ?3 WHERE verification = ?1 AND state = 'held'",
            params![verification.to_string(), alert.to_string(), now.age.as_millis()],
        )?;
        Ok(changed == 1)
    }
}

pub(super) fn payload_label(id: VerificationId) -> String {
    format!("settlements/{id}/payload")
}

pub(super) fn draft_label(id: VerificationId) -> String {
    format!("settlements/{id}/draft")
}

fn audit_accepted(
    tx: &Transaction<'_>,
    settlement: &Settlement,
    id: VerificationId,
    now: Moment,
) -> Result<(), StoreError> {
    let data =
        json!({ "settlement": settlement.settlement_id, "verification": id, "counter": settlement.counter });
    audit(tx, now.wall, Kind::SettlementAccepted, &data)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::crypto::seal::RootKey;
    use crate::crypto::sign::SigningKey;
    use crate::edge::commission::tests::{in_force, word};
    use crate::protocol::commission::tests::order;

    pub(in crate::edge) const NOW: Moment = Moment {
        wall: crate::clock::WallTime::from_millis(1_795_000_000_000),
        age: Age::from_millis(1_795_000_000_000),
    };

    pub(in crate::edge) fn store(dir: &std::path::Path) -> Store {
        let der = dir.join("key.der");
        if !der.exists() {
            std::fs::write(&der, SigningKey::generate_pkcs8().unwrap().as_slice()).unwrap();
        }
        let signer = SigningKey::from_pkcs8(&std::fs::read(&der).unwrap()).unwrap();
        let mut store = Store::open(dir, RootKey::new([7; 32]), signer, NOW.wall).unwrap();
        arm(&mut store, 1);
        store
    }

    /// The bureau of the tests; the same key whenever it is asked.
    pub(in crate::edge) fn bureau() -> SigningKey {
        static DER: std::sync::LazyLock<zeroize::Zeroizing<Vec<u8>>> =
            std::sync::LazyLock::new(|| SigningKey::generate_pkcs8().unwrap());
        SigningKey::from_pkcs8(&DER).unwrap()
    }

    /// A supervisor signs for what the drafts of tests name.
    pub(in crate::edge) fn arm(store: &mut Store, number: u64) {
        let f = in_force(&bureau());
        let signed = word(&order(number, &f.subject), &bureau());
        store.take_up(f, NOW).unwrap();
        store.heed(&signed, NOW).unwrap();
    }

    pub(in crate::edge) fn settlement(id: &str) -> Settlement {
        Settlement::from_json(
            format!(
                r#"{{"settlement_id":"{id}","counter":"w1","cardholder":"P0001",
                "occurred_at":"2026-11-22T09:10:15+08:00","amount_fen":1,"medical_type":"11"}}"#
            )
            .as_bytes(),
        )
        .unwrap()
    }

    fn verdicts(store: &Store) -> Vec<String> {
        let rows = store.audit_rows(1000).unwrap();
        rows.iter()
            .filter(|r| r.kind == Kind::Verdict)
            .map(|r| format!("{} {} {}", r.data["settlement"], r.data["verdict"], r.data["reason"]))
            .collect()
    }

    #[test]
    fn a_settlement_is_accepted_once_and_ends_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        let Accepted::New(id) = s.accept(&settlement("S1"), NOW).unwrap() else { panic!() };
        assert_eq!(s.accept(&settlement("S1"), NOW).unwrap(), Accepted::Repeated(id));
        let mut other = settlement("S1");
        other.amount_fen = 2;
        assert_eq!(s.accept(&other, NOW).unwrap(), Accepted::Contradicts);
        let sid = settlement("S1").settlement_id;
        assert!(s.end(id, &sid, Outcome::Match, None, NOW).unwrap());
        assert!(!s.end(id, &sid, Outcome::Inconclusive(Inconclusive::NoFace), None, NOW).unwrap());
        assert_eq!(verdicts(&s), [r#""S1" "match" null"#]);
        assert_eq!(s.accept(&settlement("S1"), NOW).unwrap(), Accepted::Repeated(id));
    }

    #[test]
    fn a_cancellation_may_come_first_or_stop_or_find_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        let agent: AgentId = "box-1".parse().unwrap();
        let id = |n: &str| settlement(n).settlement_id;
        assert_eq!(s.cancel(&id("S1"), &agent, NOW).unwrap(), Cancelled::Remembered);
        assert!(matches!(s.accept(&settlement("S1"), NOW).unwrap(), Accepted::CancelledBefore(_)));
        assert!(matches!(s.accept(&settlement("S1"), NOW).unwrap(), Accepted::Repeated(_)));
        let Accepted::New(v) = s.accept(&settlement("S2"), NOW).unwrap() else { panic!() };
        assert_eq!(s.cancel(&id("S2"), &agent, NOW).unwrap(), Cancelled::Stopped(v));
        assert!(!s.end(v, &id("S2"), Outcome::Match, None, NOW).unwrap());
        assert_eq!(s.cancel(&id("S2"), &agent, NOW).unwrap(), Cancelled::Nothing);
        assert_eq!(
            verdicts(&s),
            [r#""S1" "not_assessed" "cancelled""#, r#""S2" "not_assessed" "cancelled""#]
        );
    }

    #[test]
    fn a_neighbour_named_late_ends_a_held_mismatch_over_a_restart_too() {
        use crate::edge::outbox::tests::draft;
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        let Accepted::New(held) = s.accept(&settlement("S1"), NOW).unwrap() else { panic!() };
        // It is about P0001 at w03, 2026-11-22T01:10:15Z.
        assert_eq!(s.hold(held, &draft("S1"), NOW.age, NOW).unwrap(), Held::Held);
        drop(s);
        let mut s = store(dir.path());
        let other = |id: &str, cardholder: &str, counter: &str, second: u8| {
            let mut n = settlement(id);
            n.cardholder = cardholder.parse().unwrap();
            n.counter = counter.parse().unwrap();
            n.occurred_at =
                crate::clock::HisTime::new(format!("2026-11-22T01:10:{second}Z").parse().unwrap());
            n
        };
        let reach = Duration::from_secs(8);
        for far in
            [other("S2", "P0001", "w03", 17), other("S3", "P2", "w04", 17), other("S4", "P2", "w03", 24)]
        {
            assert_eq!(s.cut_held(&far, reach, NOW).unwrap(), []);
        }
        let near = other("S5", "P2", "w03", 17);
        assert_eq!(s.cut_held(&near, reach, NOW).unwrap(), [held]);
        assert_eq!(verdicts(&s), [r#""S1" "inconclusive" "neighbour_named_late""#]);
        assert!(s.due(NOW.age).unwrap().is_empty());
    }

    #[test]
    fn a_neighbour_that_was_named_before_ends_nothing_when_it_is_repeated() {
        use crate::edge::outbox::tests::draft;
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        let mut near = settlement("S5");
        near.cardholder = "P2".parse().unwrap();
        near.counter = "w03".parse().unwrap();
        s.accept(&near, NOW).unwrap();
        let Accepted::New(held) = s.accept(&settlement("S1"), NOW).unwrap() else { panic!() };
        assert_eq!(s.hold(held, &draft("S1"), NOW.age, NOW).unwrap(), Held::Held);
        assert_eq!(s.cut_held(&near, Duration::from_secs(8), NOW).unwrap(), []);
    }

    #[test]
    fn what_a_crash_interrupted_ends_as_restarted() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        s.accept(&settlement("S1"), NOW).unwrap();
        drop(s);
        let mut s = store(dir.path());
        assert_eq!(s.end_interrupted(NOW).unwrap(), 1);
        assert_eq!(s.end_interrupted(NOW).unwrap(), 0);
        assert_eq!(verdicts(&s), [r#""S1" "not_assessed" "restarted""#]);
    }

    #[test]
    fn nothing_personal_stands_in_the_file_and_another_key_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        let mut told = settlement("SETTLEMENT-77");
        told.cardholder = "CARDHOLDER-99".parse().unwrap();
        s.accept(&told, NOW).unwrap();
        s.exported(i64::MAX).unwrap();
        drop(s);
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(13).any(|w| w == b"CARDHOLDER-99"));
        }
        let signer = SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap();
        let error = Store::open(dir.path(), RootKey::new([8; 32]), signer, NOW.wall).err().unwrap();
        assert!(error.to_string().contains("root key"), "{error}");
    }
}
