//! Everything that the box's database keeps sealed, opened: for inspection.
//!
//! An inspector with the root key, and the test that looks for pixels and
//! probes in everything that is written, read the store through this one
//! function. It changes nothing: the database is opened for reading only, so it
//! may be read while the agent runs.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use zeroize::Zeroizing;

use crate::crypto::seal::{KeyRing, RootKey, sealed_by};

use super::store::{StoreError, meta_key, over_key};
use super::{journal, outbox};

/// A sealed row, opened.
pub struct Opened {
    /// Its place: table and key, as the seal names it.
    pub label: String,
    /// What was sealed.
    pub plain: Zeroizing<Vec<u8>>,
}

/// Opens every sealed row of the database in a state folder.
///
/// # Errors
/// If there is no database, it cannot be read, or a row does not open.
pub fn open_all(state: &Path, root: &RootKey) -> Result<Vec<Opened>, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(state.join("agent.db"), flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    let meta = meta_key(root)?;
    let mut ring = KeyRing::new(over_key(root)?);
    let mut statement = connection.prepare("SELECT sealed FROM data_keys")?;
    for sealed in statement.query_map([], |r| r.get::<_, Vec<u8>>(0))? {
        ring.take(&sealed?)?;
    }
    let open = |(label, bytes): (String, Vec<u8>)| {
        let by_root = sealed_by(&bytes) == Some(meta.name());
        let plain = if by_root { meta.open(&label, &bytes)? } else { ring.open(&label, &bytes)? };
        Ok(Opened { label, plain })
    };
    sealed(&connection)?.into_iter().map(open).collect()
}

/// Place and bytes of every sealed row.
fn sealed(connection: &Connection) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    type Label = fn(&str) -> Option<String>;
    let tables: [(&str, Label); 4] = [
        ("SELECT key, value FROM meta WHERE key IN ('epoch', 'hash key', 'commissioning')", |key| {
            Some(format!("meta/{key}"))
        }),
        ("SELECT verification, payload FROM settlements WHERE payload IS NOT NULL", |key| {
            key.parse().ok().map(journal::payload_label)
        }),
        ("SELECT verification, draft FROM settlements WHERE draft IS NOT NULL", |key| {
            key.parse().ok().map(journal::draft_label)
        }),
        ("SELECT CAST(seq AS TEXT), sealed FROM outbox WHERE sealed IS NOT NULL", |key| {
            key.parse().ok().map(outbox::label)
        }),
    ];
    let mut rows = Vec::new();
    for (query, label) in tables {
        let mut statement = connection.prepare(query)?;
        let found = statement.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, Vec<u8>>(1)?)))?;
        for row in found {
            let (key, bytes) = row?;
            let label = label(&key).ok_or_else(|| StoreError::Content(format!("a row named `{key}`")))?;
            rows.push((label, bytes));
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::super::journal::Accepted;
    use super::super::journal::tests::{NOW, settlement, store};
    use super::super::outbox::tests::alerted;
    use super::*;

    #[test]
    fn every_sealed_row_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        let Accepted::New(open) = s.accept(&settlement("S1"), NOW).unwrap() else { panic!() };
        alerted(&mut s, "S2");
        let rows = open_all(dir.path(), &RootKey::new([7; 32])).unwrap();
        let of = |label: &str| rows.iter().find(|r| r.label == label).map(|r| r.plain.to_vec());
        assert!(of(&journal::payload_label(open)).is_some_and(|p| p.starts_with(b"{")));
        assert!(of(&outbox::label(1)).is_some_and(|p| p.windows(8).any(|w| w == b"mismatch")));
        assert!(of("meta/epoch").is_some());
        assert!(open_all(dir.path(), &RootKey::new([9; 32])).is_err());
    }
}
