//! Stays with somebody who acts for the cardholder: who, as keyed hashes of their
//! certificates, from the stay's registration to its end, or to its limit.
//!
//! A stay is known by its number (`mdtrt_id`). The national platform gives that in its
//! answer to a registration; until it comes the stay is known by the registration's own.

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::his::StayId;
use super::store::{Store, StoreError};
use crate::privacy::age::Moment;
use crate::protocol::id::SettlementId;
use crate::protocol::proxy::ProxyMark;

/// Most people who act in one stay: as many as one settlement may declare.
const MOST: usize = crate::protocol::settlement::MAX_PROXIES;

/// Who acts for a cardholder during a stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acting {
    /// By the keyed hashes of their certificates.
    pub marks: Vec<ProxyMark>,
    /// Somebody is among them of whom no such hash could be made.
    pub has_unknown: bool,
}

impl Acting {
    fn join(&mut self, more: &Self) {
        for mark in &more.marks {
            if self.marks.contains(mark) {
                continue;
            }
            // One who is not compared must not look like a stranger.
            if self.marks.len() < MOST { self.marks.push(*mark) } else { self.has_unknown = true }
        }
        self.has_unknown |= more.has_unknown;
    }
}

/// The name under which a stay is kept.
pub enum StayName<'a> {
    /// Its number.
    Number(&'a StayId),
    /// The message that began it.
    Begun(&'a SettlementId),
}

impl Store {
    fn stay_hash(&self, name: &StayName<'_>) -> Vec<u8> {
        let text = match name {
            StayName::Number(stay) => format!("stay/{}", stay.as_str()),
            StayName::Begun(request) => format!("begun/{request}"),
        };
        self.keyed_hash(text.as_bytes())
    }

    /// Notes who acts during a stay, beside those that are noted already.
    ///
    /// # Errors
    /// If it cannot be written; then the message must not be acknowledged.
    pub fn begin_stay(
        &mut self,
        name: &StayName<'_>,
        acting: &Acting,
        now: Moment,
    ) -> Result<(), StoreError> {
        let hash = self.stay_hash(name);
        let mut whole = self.read_stay(&hash)?.unwrap_or_default();
        whole.join(acting);
        self.write_stay(&hash, &whole, now)
    }

    /// A stay that began with a message has this number.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn name_stay(&mut self, begun: &SettlementId, stay: &StayId, now: Moment) -> Result<(), StoreError> {
        let former = self.stay_hash(&StayName::Begun(begun));
        let Some(acting) = self.read_stay(&former)? else { return Ok(()) };
        self.begin_stay(&StayName::Number(stay), &acting, now)?;
        self.connection.execute("DELETE FROM stays WHERE stay_hash = ?1", [former])?;
        Ok(())
    }

    /// A stay is over: nobody acts in it any more.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn end_stay(&mut self, stay: &StayId) -> Result<(), StoreError> {
        let hash = self.stay_hash(&StayName::Number(stay));
        self.connection.execute("DELETE FROM stays WHERE stay_hash = ?1", [hash])?;
        Ok(())
    }

    /// Who acts during a stay.
    ///
    /// # Errors
    /// If it cannot be read or opened.
    pub fn acting_in(&self, stay: &StayId) -> Result<Acting, StoreError> {
        Ok(self.read_stay(&self.stay_hash(&StayName::Number(stay)))?.unwrap_or_default())
    }

    fn read_stay(&self, hash: &[u8]) -> Result<Option<Acting>, StoreError> {
        let sealed: Option<Vec<u8>> = self
            .connection
            .query_row("SELECT sealed FROM stays WHERE stay_hash = ?1", [hash], |r| r.get(0))
            .optional()?;
        let Some(sealed) = sealed else { return Ok(None) };
        let plain = self.unseal(&label(hash), &sealed)?;
        serde_json::from_slice(&plain).map(Some).map_err(|e| StoreError::Content(format!("a stay: {e}")))
    }

    fn write_stay(&mut self, hash: &[u8], acting: &Acting, now: Moment) -> Result<(), StoreError> {
        let plain = serde_json::to_vec(acting).map_err(|e| StoreError::Content(e.to_string()))?;
        let sealed = self.seal(&label(hash), &Zeroizing::new(plain), now.age)?;
        self.connection.execute(
            "INSERT INTO stays (stay_hash, sealed, updated_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (stay_hash) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at",
            params![hash, sealed, now.age.as_millis()],
        )?;
        Ok(())
    }
}

fn label(hash: &[u8]) -> String {
    let hex: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    format!("stays/{hex}")
}

#[cfg(test)]
mod tests {
    use super::super::journal::tests::{NOW, store};
    use super::*;
    use crate::protocol::proxy::{CertificateDigest, ProxyKey};

    fn acting(numbers: &[&str]) -> Acting {
        let key = ProxyKey::new([7; 32]);
        let mark = |n: &&str| key.mark(CertificateDigest::of("01", n));
        Acting { marks: numbers.iter().map(mark).collect(), has_unknown: false }
    }

    #[test]
    fn a_stay_knows_who_acts_from_its_registration_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        let stay = StayId::read("mdtrt_id", "M-1").unwrap();
        let begun: SettlementId = "MSG-1".parse().unwrap();
        s.begin_stay(&StayName::Begun(&begun), &acting(&["a"]), NOW).unwrap();
        assert_eq!(s.acting_in(&stay).unwrap(), Acting::default());
        s.begin_stay(&StayName::Number(&stay), &acting(&["b"]), NOW).unwrap();
        s.name_stay(&begun, &stay, NOW).unwrap();
        // Again, as a message that is repeated.
        s.name_stay(&begun, &stay, NOW).unwrap();
        assert_eq!(s.acting_in(&stay).unwrap(), acting(&["b", "a"]));
        let rows: i64 = s.connection.query_row("SELECT COUNT(*) FROM stays", [], |r| r.get(0)).unwrap();
        assert_eq!(rows, 1);
        drop(s);
        let mut s = store(dir.path());
        assert_eq!(s.acting_in(&stay).unwrap().marks.len(), 2);
        s.end_stay(&stay).unwrap();
        assert_eq!(s.acting_in(&stay).unwrap(), Acting::default());
    }

    #[test]
    fn who_is_one_too_many_is_unknown_and_not_forgotten() {
        let mut whole = acting(&["1", "2", "3", "4", "5", "6", "7", "8"]);
        whole.join(&acting(&["8"]));
        assert!(!whole.has_unknown);
        whole.join(&acting(&["9"]));
        assert!(whole.has_unknown && whole.marks.len() == MOST);
    }
}
