//! Rosters of shifts in the box's store: who is expected, whether they were seen and when.
//!
//! One sealed row for each shift, from the HIS's word to the limit after its end. No
//! picture, no embedding and no score of anybody who passed: of those who were expected
//! the fact and the time, of the entrance how long it was observed.

use std::collections::BTreeMap;

use rusqlite::params;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::store::{Store, StoreError};
use crate::clock::WallTime;
use crate::privacy::age::{Age, Moment};
use crate::protocol::absence::Shift;
use crate::protocol::id::{CardholderId, CounterId, ShiftId};
use crate::protocol::verdict::Inconclusive;
use crate::verify::roster::Absent;

/// A shift and what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The entrance.
    pub counter: CounterId,
    /// The shift's name.
    pub name: ShiftId,
    /// From when to when.
    pub shift: Shift,
    /// Who is expected, and what is known of them.
    pub people: BTreeMap<CardholderId, Fact>,
    /// Milliseconds for which the entrance was observed.
    pub observed_ms: u64,
    /// The watch was interrupted: who was not seen by then may have passed unnoticed.
    pub is_broken: bool,
    /// The shift is over, and nothing more will be learnt.
    pub is_over: bool,
}

/// What is known of somebody who is expected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fact {
    /// Nothing yet.
    Sought,
    /// Nobody knows what they look like.
    NoReference,
    /// They were seen.
    Seen {
        /// When first.
        at: WallTime,
    },
    /// They were well looked for and not seen.
    Absent(Absent),
    /// Nothing can be said.
    Unclear(Inconclusive),
}

impl Store {
    fn roster_hash(&self, counter: &CounterId, name: &ShiftId) -> Vec<u8> {
        self.keyed_hash(format!("roster/{counter}/{name}").as_bytes())
    }

    /// Writes a shift, whether it is held already or not.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_roster(&mut self, kept: &Kept, now: Moment) -> Result<(), StoreError> {
        let hash = self.roster_hash(&kept.counter, &kept.name);
        let plain = serde_json::to_vec(kept).map_err(|e| StoreError::Content(e.to_string()))?;
        let sealed = self.seal(&label(&hash), &Zeroizing::new(plain), now.age)?;
        self.connection.execute(
            // Its limit begins when it is over, and goes on from then.
            "INSERT INTO rosters (roster_hash, sealed, is_over, updated_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (roster_hash) DO UPDATE SET sealed = excluded.sealed, is_over = excluded.is_over,
             updated_at = CASE WHEN rosters.is_over THEN rosters.updated_at ELSE excluded.updated_at END",
            params![hash, sealed, kept.is_over, now.age.as_millis()],
        )?;
        Ok(())
    }

    /// Deletes a shift.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn drop_roster(&mut self, counter: &CounterId, name: &ShiftId) -> Result<(), StoreError> {
        let hash = self.roster_hash(counter, name);
        self.connection.execute("DELETE FROM rosters WHERE roster_hash = ?1", [hash])?;
        Ok(())
    }

    /// All shifts that are held, each with the mark of its last change. One that cannot be
    /// read is left out: it must not keep the others.
    ///
    /// # Errors
    /// If the database fails.
    pub fn rosters(&self) -> Result<Vec<(Kept, Age)>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT roster_hash, sealed, updated_at FROM rosters")?;
        let rows = statement
            .query_map([], |r| Ok((r.get::<_, Vec<u8>>(0)?, r.get::<_, Vec<u8>>(1)?, r.get::<_, i64>(2)?)))?;
        let mut all = Vec::new();
        for row in rows {
            let (hash, sealed, at) = row?;
            let plain = self.unseal(&label(&hash), &sealed);
            match plain.map(|p| serde_json::from_slice(&p)) {
                Ok(Ok(kept)) => all.push((kept, Age::from_millis(at))),
                _ => tracing::error!("a shift's roster cannot be read; nothing will be said of it"),
            }
        }
        Ok(all)
    }
}

fn label(hash: &[u8]) -> String {
    let hex: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    format!("rosters/{hex}")
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::journal::tests::{NOW, store};
    use super::*;
    use crate::clock::HisTime;

    pub(in crate::edge) fn kept(name: &str, people: &[&str]) -> Kept {
        let at = |text: &str| HisTime::new(text.parse().unwrap());
        Kept {
            counter: "d01".parse().unwrap(),
            name: name.parse().unwrap(),
            shift: Shift { begins_at: at("2026-11-23T00:00:00Z"), ends_at: at("2026-11-23T04:00:00Z") },
            people: people.iter().map(|p| (p.parse().unwrap(), Fact::Sought)).collect(),
            observed_ms: 0,
            is_broken: false,
            is_over: false,
        }
    }

    #[test]
    fn a_shift_is_kept_over_a_restart_and_nothing_of_it_stands_in_the_clear() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(dir.path());
        let mut one = kept("am-1", &["P-EXPECTED-1", "P-EXPECTED-2"]);
        s.keep_roster(&one, NOW).unwrap();
        one.people.insert("P-EXPECTED-1".parse().unwrap(), Fact::Seen { at: NOW.wall });
        one.people.insert("P-EXPECTED-2".parse().unwrap(), Fact::Unclear(Inconclusive::OthersNotSeen));
        one.is_over = true;
        s.keep_roster(&one, NOW).unwrap();
        s.empty_log().unwrap();
        drop(s);
        let mut s = store(dir.path());
        assert_eq!(s.rosters().unwrap(), [(one.clone(), NOW.age)]);
        let bytes = std::fs::read(dir.path().join("agent.db")).unwrap();
        for hidden in [&b"P-EXPECTED"[..], b"am-1", b"others_not_seen"] {
            assert!(!bytes.windows(hidden.len()).any(|w| w == hidden));
        }
        // Written again after its end, it keeps its time.
        let later = Moment { age: Age::from_millis(NOW.age.as_millis() + 5000), ..NOW };
        s.keep_roster(&one, later).unwrap();
        assert_eq!(s.rosters().unwrap()[0].1, NOW.age);
        s.drop_roster(&one.counter, &one.name).unwrap();
        assert!(s.rosters().unwrap().is_empty());
    }
}
