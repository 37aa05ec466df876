//! The commissioning part of the store: how the box stands, kept with what it
//! counted.
//!
//! Promises: each verdict is counted in the transaction that records it; a box
//! that goes into shadow ends every held mismatch, without an alert, in the
//! transaction that notes the change. What is kept is sealed: beside the audit
//! log, which names settlements in their order, a count that grows by one would
//! say which score was whose.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Transaction, params};
use tracing::error;

use crate::clock::WallTime;
use crate::crypto::seal::{RootKey, SealKey};
use crate::privacy::age::Moment;
use crate::protocol::commission::{Mode, Standing, VerifiedCommission};
use crate::protocol::id::VerificationId;
use crate::protocol::verdict::Outcome;

use super::alerts::Draft;
use super::commission::{Armed, Change, Heeded, InForce, Kept};
use super::store::{Store, StoreError, audit, audit_watched, meta_key, read_meta, write_meta};

/// Its place in `meta`.
pub(super) const NAME: &str = "commissioning";

/// What the store knows once it was told what is in force.
pub(super) struct Commissioning {
    in_force: InForce,
    kept: Kept,
    /// As the order at hand was verified last.
    armed: Option<Armed>,
}

/// That the box stands otherwise now.
#[derive(Debug, Clone, PartialEq)]
pub struct Turned {
    /// How it stands.
    pub mode: Mode,
    /// Why, in words.
    pub detail: Option<String>,
    /// Held mismatches that ended without an alert by it.
    pub ended: Vec<VerificationId>,
}

impl Store {
    /// Stands as the order at hand and what is in force make it; called once,
    /// before anything is accepted.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn take_up(&mut self, in_force: InForce, now: Moment) -> Result<(), StoreError> {
        let found = read(&self.connection, &self.meta)?;
        let mut kept = found.unwrap_or_else(|| Kept::new(in_force.subject.clone(), now.wall));
        let change = kept.stand(&in_force, now.wall);
        self.turn(in_force, kept, change, now)
    }

    /// Takes an order of the bureau to this box, if it is newer than any before.
    ///
    /// # Errors
    /// If it cannot be written; then it is not heeded.
    pub fn heed(&mut self, word: &VerifiedCommission, now: Moment) -> Result<Heeded, StoreError> {
        let Some(Commissioning { in_force, kept, .. }) = &self.commissioning else {
            return Err(StoreError::Content("no commissioning: it was not begun".into()));
        };
        let (in_force, mut kept) = (in_force.clone(), kept.clone());
        let (heeded, change) = kept.heed(word, &in_force, now.wall);
        if heeded == Heeded::Taken {
            self.turn(in_force, kept, change, now)?;
        }
        Ok(heeded)
    }

    /// Keeps how the box stands now, with the record of what changed. In shadow
    /// nothing stays held.
    fn turn(
        &mut self,
        in_force: InForce,
        kept: Kept,
        change: Option<Change>,
        now: Moment,
    ) -> Result<(), StoreError> {
        let armed = kept.armed(&in_force).ok();
        let held = if armed.is_some() { Vec::new() } else { self.held("1 = 1", [])? };
        let mut ended = Vec::new();
        let tx = self.connection.transaction()?;
        write(&tx, &self.meta, &kept)?;
        if let Some(Change { kind, data }) = &change {
            audit(&tx, now.wall, *kind, data)?;
        }
        for (id, draft) in held {
            tx.execute(
                "UPDATE settlements SET state = 'done', payload = NULL, draft = NULL, occurred_at = NULL,
                 updated_at = ?2 WHERE verification = ?1 AND state = 'held'",
                params![id.to_string(), now.age.as_millis()],
            )?;
            // One that cannot be read ends too: it must not be sent once it can.
            let draft = draft.ok();
            let outcome = draft.as_ref().map_or(Outcome::Mismatch, Draft::outcome);
            audit_watched(&tx, draft.as_ref().map(Draft::settlement), id, outcome, now)?;
            ended.push(id);
        }
        tx.commit()?;
        let turned = Turned { mode: kept.mode(), detail: kept.standing().detail, ended };
        self.commissioning = Some(Commissioning { in_force, kept, armed });
        if change.is_some() || !turned.ended.is_empty() {
            self.turned.push(turned);
        }
        Ok(())
    }

    /// What is to be kept once this verdict is recorded.
    pub(super) fn counted(&self, outcome: Outcome, score: Option<f32>) -> Option<Kept> {
        let Commissioning { in_force, kept, .. } = self.commissioning.as_ref()?;
        let mut kept = kept.clone();
        kept.count(outcome, score, &in_force.limits);
        Some(kept)
    }

    /// Notes what was counted, after its transaction; figures that moved too far
    /// put the box into shadow.
    pub(super) fn has_counted(&mut self, counted: Option<Kept>, now: Moment) {
        let (Some(mut kept), Some(commissioning)) = (counted, &mut self.commissioning) else { return };
        commissioning.kept = kept.clone();
        let in_force = &commissioning.in_force;
        let Some(drift) = kept.drift(&in_force.limits) else { return };
        let in_force = in_force.clone();
        let change = kept.spend(drift, &in_force, now.wall);
        // Not written, it is found again at the next verdict; until then nothing may be sent.
        commissioning.armed = None;
        if let Err(e) = self.turn(in_force, kept, change, now) {
            error!(error = %e, "figures moved, and that could not be recorded; the box raises no alerts all the same");
        }
    }

    /// With what the box is armed, if it is.
    pub fn armed(&self) -> Option<&Armed> {
        self.commissioning.as_ref()?.armed.as_ref()
    }

    /// How the box stands, as the bureau may hear it.
    pub fn standing(&self) -> Option<Standing> {
        self.commissioning.as_ref().map(|c| c.kept.told())
    }

    /// How the box came to stand otherwise since this was asked last.
    pub(super) fn take_turned(&mut self) -> Vec<Turned> {
        std::mem::take(&mut self.turned)
    }
}

fn read(connection: &Connection, meta: &SealKey) -> Result<Option<Kept>, StoreError> {
    let strange = |e: serde_json::Error| StoreError::Content(format!("commissioning: {e}"));
    let plain = read_meta(connection, meta, NAME)?;
    plain.map(|p| serde_json::from_slice(&p).map_err(strange)).transpose()
}

/// Writes what is kept, in the transaction of what it counts.
pub(super) fn write(tx: &Transaction<'_>, meta: &SealKey, kept: &Kept) -> Result<(), StoreError> {
    let plain = serde_json::to_vec(kept).map_err(|e| StoreError::Content(e.to_string()))?;
    write_meta(tx, meta, NAME, &plain)
}

/// How a box stands, read from its state folder while the agent may be running:
/// as it would stand if it were started now.
///
/// # Errors
/// If the database cannot be read, or belongs to another root key.
pub fn look(state: &Path, root: &RootKey, in_force: &InForce, now: WallTime) -> Result<Standing, StoreError> {
    let file = state.join("agent.db");
    let fresh = || Kept::new(in_force.subject.clone(), now);
    if !file.exists() {
        return Ok(fresh().standing());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    let mut kept = read(&connection, &meta_key(root)?)?.unwrap_or_else(fresh);
    kept.stand(in_force, now);
    Ok(kept.standing())
}

#[cfg(test)]
mod tests {
    use super::super::commission::tests::{in_force, word};
    use super::super::journal::Accepted;
    use super::super::journal::tests::{NOW, bureau, settlement, store};
    use super::super::outbox::tests::draft;
    use super::super::outbox::{Held, Released};
    use super::*;
    use crate::privacy::audit::Kind;
    use crate::protocol::commission::ShadowReason;
    use crate::protocol::commission::tests::order;
    use crate::protocol::id::VerificationId;

    fn held(s: &mut Store, id: &str) -> VerificationId {
        let Accepted::New(v) = s.accept(&settlement(id), NOW).unwrap() else { panic!() };
        assert_eq!(s.hold(v, &draft(id), NOW.age, NOW).unwrap(), Held::Held);
        v
    }

    fn rows(s: &Store, kind: Kind) -> Vec<serde_json::Value> {
        s.audit_rows(999).unwrap().into_iter().filter(|r| r.kind == kind).map(|r| r.data).collect()
    }

    fn matches(s: &mut Store, from: u32, n: u32, score: f32) {
        for i in from..from + n {
            let told = settlement(&format!("M{i}"));
            let Accepted::New(v) = s.accept(&told, NOW).unwrap() else { panic!() };
            assert!(s.end(v, &told.settlement_id, Outcome::Match, Some(score), NOW).unwrap());
        }
    }

    #[test]
    fn a_box_in_shadow_holds_nothing_and_sends_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        let v = held(&mut s, "S1");
        let (due, d) = s.due(NOW.age).unwrap().pop().unwrap();
        // Taken to be sent a moment before the box is disarmed.
        let mut f = in_force(&bureau());
        f.subject.calibration = crate::crypto::Sha256::of(b"another");
        s.take_up(f, NOW).unwrap();
        assert_eq!(s.release(due, d.unwrap(), NOW).unwrap(), Released::Ended);
        let turned = s.take_turned().pop().unwrap();
        assert_eq!((turned.mode, turned.ended), (Mode::Shadow(ShadowReason::OtherCalibration), vec![v]));
        assert_eq!(s.outbox().unwrap().waiting, 0);
        let verdicts = rows(&s, Kind::Verdict);
        assert_eq!(verdicts.len(), 1);
        assert_eq!((&verdicts[0]["verdict"], &verdicts[0]["shadow"]), (&"mismatch".into(), &true.into()));
        // Nor is anything held from then on.
        let Accepted::New(v) = s.accept(&settlement("S2"), NOW).unwrap() else { panic!() };
        assert_eq!(s.hold(v, &draft("S2"), NOW.age, NOW).unwrap(), Held::InShadow);
        let sid = settlement("S2").settlement_id;
        assert!(s.end(v, &sid, Outcome::Mismatch, Some(0.1), NOW).unwrap());
        assert_eq!(rows(&s, Kind::Verdict)[1]["shadow"], true);
        assert_eq!(s.outbox().unwrap().waiting, 0);
    }

    #[test]
    fn an_alert_that_was_committed_still_goes_out_and_counts_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        held(&mut s, "S1");
        let (due, d) = s.due(NOW.age).unwrap().pop().unwrap();
        assert!(matches!(s.release(due, d.unwrap(), NOW).unwrap(), Released::Alerted(_)));
        matches(&mut s, 0, 3, 0.7);
        let before = s.standing().unwrap();
        drop(s);
        let mut s = store(dir.path());
        assert_eq!(s.standing().unwrap(), before);
        assert_eq!(
            (before.mode, before.figures.of("match"), before.figures.of("mismatch")),
            (Mode::Armed, 3, 1)
        );
        let mut f = in_force(&bureau());
        f.bureau = crate::protocol::commission::tests::key().public();
        s.take_up(f, NOW).unwrap();
        assert_eq!(s.standing().unwrap().mode, Mode::Shadow(ShadowReason::Unverified));
        assert_eq!(s.waiting(9).unwrap().len(), 1);
    }

    #[test]
    fn figures_that_move_disarm_and_end_what_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        matches(&mut s, 0, 20, 0.7);
        let v = held(&mut s, "S1");
        matches(&mut s, 20, 20, 0.4);
        assert_eq!(s.armed(), None);
        let turned = s.take_turned().pop().unwrap();
        assert_eq!((turned.mode, turned.ended), (Mode::Shadow(ShadowReason::Drift), vec![v]));
        assert!(turned.detail.unwrap().contains("scores moved"));
        let shadowed = rows(&s, Kind::Shadowed);
        assert_eq!(shadowed.last().unwrap()["to"], "shadow(drift)");
        // Neither a restart nor the same order arms it again; a new one does.
        drop(s);
        let mut s = store(dir.path());
        assert_eq!(s.armed(), None);
        let f = in_force(&bureau());
        assert_eq!(s.heed(&word(&order(1, &f.subject), &bureau()), NOW).unwrap(), Heeded::Known);
        assert_eq!(s.armed(), None);
        assert_eq!(s.heed(&word(&order(2, &f.subject), &bureau()), NOW).unwrap(), Heeded::Taken);
        assert!(s.armed().is_some());
    }

    #[test]
    fn a_verdict_that_is_not_recorded_is_not_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        let Accepted::New(v) = s.accept(&settlement("S1"), NOW).unwrap() else { panic!() };
        let sid = settlement("S1").settlement_id;
        s.connection.execute_batch("ALTER TABLE audit_rows RENAME TO hidden").unwrap();
        assert!(s.end(v, &sid, Outcome::Match, Some(0.7), NOW).is_err());
        s.connection.execute_batch("ALTER TABLE hidden RENAME TO audit_rows").unwrap();
        assert_eq!(s.standing().unwrap().figures.of("match"), 0);
        assert!(s.end(v, &sid, Outcome::Match, Some(0.7), NOW).unwrap());
        assert!(!s.end(v, &sid, Outcome::Match, Some(0.7), NOW).unwrap());
        assert_eq!(s.standing().unwrap().figures.of("match"), 1);
    }

    #[test]
    fn a_look_from_outside_changes_nothing_and_needs_the_root_key() {
        let dir = tempfile::tempdir().unwrap();
        let f = in_force(&bureau());
        let (root, now) = (RootKey::new([7; 32]), NOW.wall);
        let nobody = look(dir.path(), &root, &f, now).unwrap();
        assert_eq!(nobody.mode, Mode::Shadow(ShadowReason::NeverCommissioned));
        let mut s = store(dir.path());
        matches(&mut s, 0, 3, 0.7);
        let seen = look(dir.path(), &root, &f, now).unwrap();
        assert_eq!((seen.mode, seen.figures.scores.total()), (Mode::Armed, 3));
        let mut other = f.clone();
        other.subject.calibration = crate::crypto::Sha256::of(b"another");
        let seen = look(dir.path(), &root, &other, now).unwrap();
        assert_eq!(
            (seen.mode, seen.figures.scores.total()),
            (Mode::Shadow(ShadowReason::OtherCalibration), 0)
        );
        assert!(s.armed().is_some());
        // Nor need anybody have it open.
        drop(s);
        assert_eq!(look(dir.path(), &root, &f, now).unwrap().figures.scores.total(), 3);
        let mut s = store(dir.path());
        assert!(look(dir.path(), &RootKey::new([8; 32]), &f, now).is_err());
        // Another root key takes it over with the rest.
        s.replace_root(&RootKey::new([8; 32]), now).unwrap();
        assert_eq!(look(dir.path(), &RootKey::new([8; 32]), &f, now).unwrap().mode, Mode::Armed);
    }
}
