//! The sealing part of the store: a data key for each day, under the root key.
//!
//! A row is sealed under the key of its day; a key is destroyed with the last
//! row that needs it, and copies of such rows that a disk may still hold are
//! unreadable for good. Another root key seals the data keys anew and touches
//! no row.

use std::time::Duration;

use rusqlite::params;
use serde_json::json;
use zeroize::Zeroizing;

use crate::clock::WallTime;
use crate::crypto::seal::{RootKey, sealed_by};
use crate::privacy::age::{Age, Moment};
use crate::privacy::audit::Kind;

use super::store::{SEALED_META, Store, StoreError, audit, meta_key, over_key, read_meta, write_meta};

/// A data key seals for this long.
const DATA_KEY_LIFE: Duration = Duration::from_secs(86_400);

impl Store {
    /// Seals the data keys, and what stands in `meta`, under another root key,
    /// and records it, at once. No row is touched, and the store goes on meanwhile.
    ///
    /// # Errors
    /// If it cannot be written; the former root key is then still the one.
    pub fn replace_root(&mut self, root: &RootKey, at: WallTime) -> Result<(), StoreError> {
        let meta = meta_key(root)?;
        let plain: Vec<(&str, Zeroizing<Vec<u8>>)> = SEALED_META
            .into_iter()
            .filter_map(|name| match read_meta(&self.connection, &self.meta, name) {
                Ok(value) => value.map(|v| Ok((name, v))),
                Err(e) => Some(Err(e)),
            })
            .collect::<Result<_, StoreError>>()?;
        let keys = self.ring.sealed_under(&over_key(root)?)?;
        let tx = self.connection.transaction()?;
        for (name, value) in plain {
            write_meta(&tx, &meta, name, &value)?;
        }
        for (name, sealed) in keys {
            tx.execute("UPDATE data_keys SET sealed = ?2 WHERE name = ?1", params![name, sealed])?;
        }
        audit(&tx, at, Kind::RootKeyReplaced, &json!({}))?;
        tx.commit()?;
        self.meta = meta;
        self.ring.stand_on(over_key(root)?);
        Ok(())
    }

    /// Whether the store stands on this root key.
    ///
    /// # Errors
    /// Only if the crypto library fails.
    pub fn stands_on(&self, root: &RootKey) -> Result<bool, StoreError> {
        Ok(meta_key(root)?.name() == self.meta.name())
    }

    /// Seals under the data key of the day.
    pub(super) fn seal(&mut self, label: &str, plain: &[u8], now: Age) -> Result<Vec<u8>, StoreError> {
        let worn = now.since(self.newest_made) >= DATA_KEY_LIFE;
        if self.ring.newest().is_none() || worn {
            let (name, sealed) = self.ring.add()?;
            let kept = self.connection.execute(
                "INSERT INTO data_keys (name, sealed, made_at) VALUES (?1, ?2, ?3)",
                params![name, sealed, now.as_millis()],
            );
            if let Err(e) = kept {
                // A key that is not kept must not seal.
                self.ring.forget(name);
                return Err(e.into());
            }
            self.newest_made = now;
        }
        Ok(self.ring.seal(label, plain)?)
    }

    /// Opens a sealed row.
    pub(super) fn unseal(&self, label: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        // Before there were data keys, rows were sealed under a key of the root.
        if sealed_by(sealed) == Some(self.meta.name()) {
            return Ok(self.meta.open(label, sealed)?);
        }
        Ok(self.ring.open(label, sealed)?)
    }

    /// Destroys data keys of former days that no row needs. Returns how many.
    pub(super) fn destroy_unused_keys(&mut self, now: Moment) -> Result<u64, StoreError> {
        let unused: Vec<[u8; 4]> = self
            .connection
            .prepare_cached(
                "SELECT name FROM data_keys WHERE made_at <= ?1 AND name NOT IN (
                     SELECT substr(payload, 5, 4) FROM settlements WHERE payload IS NOT NULL
                     UNION SELECT substr(draft, 5, 4) FROM settlements WHERE draft IS NOT NULL
                     UNION SELECT substr(sealed, 5, 4) FROM outbox WHERE sealed IS NOT NULL
                     UNION SELECT substr(sealed, 5, 4) FROM names
                     UNION SELECT substr(sealed, 5, 4) FROM stays
                     UNION SELECT substr(sealed, 5, 4) FROM rosters)",
            )?
            .query_map([now.age.minus(DATA_KEY_LIFE).as_millis()], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        if unused.is_empty() {
            return Ok(0);
        }
        let tx = self.connection.transaction()?;
        for name in &unused {
            tx.execute("DELETE FROM data_keys WHERE name = ?1", [name])?;
        }
        audit(&tx, now.wall, Kind::Purged, &json!({ "kind": "data_keys", "deleted": unused.len() }))?;
        tx.commit()?;
        unused.iter().for_each(|name| self.ring.forget(*name));
        Ok(unused.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::journal::tests::{NOW, store};
    use super::*;

    #[test]
    fn a_root_key_is_replaced_with_its_record_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        let (former, next) = (RootKey::new([7; 32]), RootKey::new([8; 32]));
        let hide = "ALTER TABLE audit_rows RENAME TO hidden";
        s.connection.execute_batch(hide).unwrap();
        assert!(s.replace_root(&next, NOW.wall).is_err());
        assert!(s.stands_on(&former).unwrap());
        s.connection.execute_batch("ALTER TABLE hidden RENAME TO audit_rows").unwrap();
        drop(s);
        let mut s = store(dir.path());
        s.replace_root(&next, NOW.wall).unwrap();
        let kinds: Vec<Kind> = s.audit_rows(9).unwrap().iter().map(|r| r.kind).collect();
        assert_eq!(
            (s.stands_on(&next).unwrap(), kinds),
            (true, vec![Kind::Commissioned, Kind::RootKeyReplaced])
        );
    }
}
