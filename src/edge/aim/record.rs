//! The audit log's word of an aiming: who, where, how long, what was shown.
//!
//! Aiming looks for faces without a settlement, so it begins only when that is
//! written down. The agent may be running and holds the log: the record is left
//! in its database, and it moves it to the log with its own. Where no agent ran
//! yet there is no database, and it is made as the agent would make it.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use serde_json::{Value, json};

use crate::clock::{Clock, SystemClock};
use crate::crypto::keys;
use crate::edge::agent::AgentError;
use crate::edge::config::Config;
use crate::edge::store::{Roots, Store};
use crate::privacy::audit::Kind;

/// Leaves a record.
pub(super) fn leave(config: &Config, kind: Kind, data: &Value) -> Result<(), AgentError> {
    let now = SystemClock.now().wall;
    let state = &config.agent.state;
    if Store::leave(state, now, kind, data)? {
        return Ok(());
    }
    let roots = Roots::from(keys::read_root_key(&config.keys.root)?);
    let mut store = Store::open(state, roots, keys::read_signing_key(&config.keys.signing)?, now)?;
    Ok(store.record(now, kind, data)?)
}

/// Gives a folder of the state folder, with its files, to whom that belongs: a
/// command of root must not leave there what the agent cannot read or replace.
pub(super) fn hand_over(state: &Path, folder: &Path) -> std::io::Result<()> {
    let own = |path: &Path| std::fs::metadata(path).map(|m| (m.uid(), m.gid()));
    let theirs = own(state)?;
    for path in std::iter::once(Ok(folder.to_owned()))
        .chain(std::fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())))
    {
        let path = path?;
        if own(&path)? != theirs {
            chown(&path, Some(theirs.0), Some(theirs.1))?;
        }
    }
    Ok(())
}

/// Who gives this command: the user whose rights it has and, where that is
/// another, the one who signed in, whom `sudo` and `su` do not change.
pub(super) fn who() -> Value {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let login = std::fs::read_to_string("/proc/self/loginuid").unwrap_or_default();
    let uid = rustix::process::getuid().as_raw();
    from_words(uid, &login, &passwd)
}

fn from_words(uid: u32, login: &str, passwd: &str) -> Value {
    // What the kernel says where nobody signed in: a service, a container.
    const UNSET: u32 = u32::MAX;
    let name = |uid: u32| {
        let line = passwd.lines().find(|l| l.split(':').nth(2) == Some(&uid.to_string()));
        let name = line.and_then(|l| l.split(':').next()).filter(|n| !n.contains(char::is_control));
        name.map_or_else(|| format!("uid {uid}"), str::to_owned)
    };
    let login = login.trim().parse().ok().filter(|login| *login != UNSET && *login != uid);
    match login {
        Some(login) => json!({ "user": name(uid), "signed_in": name(login) }),
        None => json!({ "user": name(uid) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::journal::tests::{NOW, store};
    use crate::privacy::age::Moment;

    #[test]
    fn who_signed_in_is_told_beside_whose_rights_are_used() {
        let passwd = "root:x:0:0::/root:/bin/sh\nli:x:1000:1000::/home/li:/bin/sh\n";
        assert_eq!(from_words(0, "4294967295\n", passwd), json!({ "user": "root" }));
        assert_eq!(from_words(0, "", passwd), json!({ "user": "root" }));
        assert_eq!(from_words(0, "1000\n", passwd), json!({ "user": "root", "signed_in": "li" }));
        assert_eq!(from_words(1000, "1000\n", passwd), json!({ "user": "li" }));
        assert_eq!(from_words(7, "", passwd), json!({ "user": "uid 7" }));
    }

    #[test]
    fn a_record_is_left_beside_a_store_that_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let at = |m: Moment| m.wall;
        assert!(!Store::leave(dir.path(), at(NOW), Kind::AimBegun, &json!({})).unwrap());
        let mut agent = store(dir.path());
        agent.record(at(NOW), Kind::Started, &json!({})).unwrap();
        assert!(Store::leave(dir.path(), at(NOW), Kind::AimBegun, &json!({ "counter": "w1" })).unwrap());
        let rows = agent.audit_rows(9).unwrap();
        let [.., before, last] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((before.kind, last.kind), (Kind::Started, Kind::AimBegun));
        assert_eq!(last.data, json!({ "counter": "w1" }));
        assert_eq!(last.row, before.row + 1);
    }
}
