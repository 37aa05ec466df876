//! Numbers that settlements get after they were accepted: the national platform gives
//! one in its answer, and a cancellation names that.

use rusqlite::{OptionalExtension, params};

use super::his::Naming;
use super::journal::Cancelled;
use super::store::{Store, StoreError};
use crate::privacy::age::Moment;
use crate::protocol::id::{AgentId, SettlementId, VerificationId};
use crate::protocol::verdict::{NotAssessed, Outcome};

/// What became of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// It is known from now on.
    Noted,
    /// A cancellation under this name had come before.
    Cancelled(Cancelled),
    /// A relative's account paid: nothing is said of who stood there.
    OutOfScope(VerificationId),
}

impl Store {
    /// Notes the number that a settlement got.
    ///
    /// # Errors
    /// If it cannot be written; then the message must not be acknowledged.
    pub fn name(&mut self, naming: &Naming, agent: &AgentId, now: Moment) -> Result<Named, StoreError> {
        let (id_hash, name_hash) = (self.hash(&naming.request), self.hash(&naming.settlement));
        let sealed = self.seal(&label(&id_hash), naming.settlement.as_str().as_bytes(), now.age)?;
        self.connection.execute(
            "INSERT INTO names (name_hash, id_hash, sealed, elsewhere, updated_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO NOTHING",
            params![name_hash, id_hash, sealed, naming.relatives_account, now.age.as_millis()],
        )?;
        if id_hash != name_hash && self.was_cancelled(&name_hash)? {
            return Ok(Named::Cancelled(self.cancel(&naming.request, agent, now)?));
        }
        if naming.relatives_account
            && let Some(verification) = self.is_open(&id_hash)?
        {
            let outcome = Outcome::NotAssessed(NotAssessed::OutOfScope);
            if self.end(verification, &naming.request, outcome, None, now)? {
                return Ok(Named::OutOfScope(verification));
            }
        }
        Ok(Named::Noted)
    }

    /// Whether a relative's account paid for a settlement, by an answer that came before it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn was_paid_elsewhere(&self, id: &SettlementId) -> Result<bool, StoreError> {
        let found = self
            .connection
            .prepare_cached("SELECT elsewhere FROM names WHERE id_hash = ?1")?
            .query_row([self.hash(id)], |r| r.get(0))
            .optional()?;
        Ok(found.unwrap_or(false))
    }

    /// The hash under which a settlement was accepted that is called by its later name.
    pub(super) fn accepted_under(&self, name_hash: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT id_hash FROM names WHERE name_hash = ?1")?
            .query_row([name_hash], |r| r.get(0))
            .optional()?)
    }

    /// The number that a settlement got, if it did.
    pub(super) fn later_name(&self, id: &SettlementId) -> Result<Option<SettlementId>, StoreError> {
        let hash = self.hash(id);
        let sealed: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT sealed FROM names WHERE id_hash = ?1")?
            .query_row([&hash], |r| r.get(0))
            .optional()?;
        let Some(sealed) = sealed else { return Ok(None) };
        let plain = self.unseal(&label(&hash), &sealed)?;
        let strange = || StoreError::Content("a settlement's later number that is none".into());
        let text = std::str::from_utf8(&plain).map_err(|_| strange())?;
        text.parse().map(Some).map_err(|_| strange())
    }
}

fn label(id_hash: &[u8]) -> String {
    let hex: String = id_hash.iter().map(|b| format!("{b:02x}")).collect();
    format!("names/{hex}")
}

#[cfg(test)]
mod tests {
    use super::super::journal::Accepted;
    use super::super::journal::tests::{NOW, settlement, store};
    use super::super::outbox::tests::alerted;
    use super::*;

    fn naming(request: &str, settlement: &str, relatives_account: bool) -> Naming {
        Naming {
            request: request.parse().unwrap(),
            settlement: settlement.parse().unwrap(),
            relatives_account,
        }
    }

    fn agent() -> AgentId {
        "box-1".parse().unwrap()
    }

    #[test]
    fn a_settlement_is_cancelled_by_its_later_name_whichever_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        let name = "310000S1".parse().unwrap();
        let Accepted::New(id) = s.accept(&settlement("MSG1"), NOW).unwrap() else { panic!() };
        assert_eq!(s.name(&naming("MSG1", "310000S1", false), &agent(), NOW).unwrap(), Named::Noted);
        assert_eq!(s.cancel(&name, &agent(), NOW).unwrap(), Cancelled::Stopped(id));
        assert_eq!(s.cancel(&name, &agent(), NOW).unwrap(), Cancelled::Nothing);

        let name = "310000S2".parse().unwrap();
        assert_eq!(s.cancel(&name, &agent(), NOW).unwrap(), Cancelled::Remembered);
        let Accepted::New(id) = s.accept(&settlement("MSG2"), NOW).unwrap() else { panic!() };
        let named = s.name(&naming("MSG2", "310000S2", false), &agent(), NOW).unwrap();
        assert_eq!(named, Named::Cancelled(Cancelled::Stopped(id)));
    }

    #[test]
    fn an_alert_and_its_withdrawal_bear_the_later_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        s.name(&naming("S1", "310000S1", false), &agent(), NOW).unwrap();
        alerted(&mut s, "S1");
        let name: SettlementId = "310000S1".parse().unwrap();
        assert_eq!(s.cancel(&name, &agent(), NOW).unwrap(), Cancelled::Withdrawn);
        let subjects: Vec<_> = s
            .waiting(9)
            .unwrap()
            .iter()
            .map(|out| crate::protocol::alert::Event::from_bytes(&out.bytes).unwrap().subject)
            .collect();
        assert_eq!(subjects, [Some(name.clone()), Some(name)]);
    }

    #[test]
    fn what_a_relatives_account_paid_accuses_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        let Accepted::New(id) = s.accept(&settlement("MSG1"), NOW).unwrap() else { panic!() };
        let named = s.name(&naming("MSG1", "310000S1", true), &agent(), NOW).unwrap();
        assert_eq!(named, Named::OutOfScope(id));
        assert_eq!(s.name(&naming("MSG2", "310000S2", true), &agent(), NOW).unwrap(), Named::Noted);
        assert!(s.was_paid_elsewhere(&"MSG2".parse().unwrap()).unwrap());
        assert!(!s.was_paid_elsewhere(&"MSG3".parse().unwrap()).unwrap());
    }
}
