//! The commands about boxes: add, rotate, list, suspend, resume, reissue. Each that
//! changes something is written down first, with who gave it.

use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;

use super::BureauError;
use super::acts::{self, Person};
use super::store::{AgentChange, AgentKey, AgentSummary, NewAgent, NewKey, Store};
use crate::clock::{Clock, SystemClock, WallTime};
use crate::crypto::Sha256;
use crate::crypto::sign::{KeyId, PublicKey};
use crate::protocol::id::{AgentId, HospitalId};

/// Longest that an old key may stay good beside a new one, in hours.
pub const MAX_OVERLAP_HOURS: u64 = 30 * 24;

/// The key and the certificate of a box, as its operator sends them.
#[derive(Debug, Clone)]
pub struct Identity {
    /// With which its alerts are signed.
    pub public_key: PublicKey,
    /// SHA-256 of the certificate it shows.
    pub certificate: Sha256,
}

impl Identity {
    /// Reads a public key (base64) and the first certificate in a PEM file.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn read(public_key: &str, certificate: &Path) -> Result<Self, BureauError> {
        let public_key = PublicKey::from_base64(public_key).map_err(|e| {
            BureauError::Command(format!("--public-key: {e}: `counterproof keys` prints it on the box"))
        })?;
        let der = CertificateDer::from_pem_file(certificate).map_err(|e| {
            let path = certificate.display();
            BureauError::Command(format!("--certificate {path}: {e}; expected the box's certificate as PEM"))
        })?;
        Ok(Self { public_key, certificate: Sha256::of(&der) })
    }
}

/// Puts a box on record.
///
/// # Errors
/// If its name, key or certificate is on record already.
pub async fn add(
    store: &Store,
    by: &Person,
    name: AgentId,
    hospital: HospitalId,
    identity: Identity,
) -> Result<(), BureauError> {
    let Identity { public_key, certificate } = identity;
    let detail = format!("hospital {hospital}, key {}, certificate {certificate}", public_key.id());
    acts::note(store, by, "agents add", name.as_str(), detail).await?;
    let new = NewAgent { name, hospital, public_key, certificate };
    match store.add_agent(&new, SystemClock.now().wall).await? {
        AgentChange::Done => Ok(()),
        AgentChange::Refused => Err(BureauError::Command(format!(
            "{}: a box with this name, this public key or this certificate is or was on record; \
             `agents list` shows which. Each box has its own",
            new.name
        ))),
    }
}

/// Gives a box a new key and certificate. The old ones stay good for
/// `overlap_hours`, so that the box need not stop; until when that is.
///
/// # Errors
/// If there is no such box, the key or certificate is on record, or the overlap
/// is longer than [`MAX_OVERLAP_HOURS`].
pub async fn rotate(
    store: &Store,
    by: &Person,
    name: AgentId,
    identity: Identity,
    overlap_hours: u64,
) -> Result<WallTime, BureauError> {
    let overlap = overlap(overlap_hours)?;
    let now = SystemClock.now().wall;
    let Identity { public_key, certificate } = identity;
    let until = now.plus(overlap);
    let detail = format!("key {}, certificate {certificate}, the old ones until {until}", public_key.id());
    acts::note(store, by, "agents rotate", name.as_str(), detail).await?;
    if store.agent(&name).await?.is_none() {
        return Err(unknown(&name));
    }
    let new = NewKey { name, public_key, certificate, overlap };
    match store.rotate_agent(&new, now).await? {
        AgentChange::Done => Ok(until),
        AgentChange::Refused => Err(BureauError::Command(format!(
            "{}: this public key or this certificate is or was on record already: \
             a rotation needs a new key and a new certificate",
            new.name
        ))),
    }
}

/// How long old keys stay good.
///
/// # Errors
/// If that is longer than [`MAX_OVERLAP_HOURS`].
pub fn overlap(hours: u64) -> Result<Duration, BureauError> {
    if hours > MAX_OVERLAP_HOURS {
        let what = format!("--overlap-hours: found {hours}; allowed: 0 to {MAX_OVERLAP_HOURS}");
        return Err(BureauError::Command(what));
    }
    Ok(Duration::from_secs(hours * 3600))
}

/// There is no box of that name.
pub(super) fn unknown(name: &AgentId) -> BureauError {
    BureauError::Command(format!("no box is called {name}; `agents list` shows the names"))
}

/// Refuses a box from now on, or hears it again.
///
/// # Errors
/// If there is no such box.
pub async fn set_suspended(
    store: &Store,
    by: &Person,
    name: &AgentId,
    suspended: bool,
) -> Result<(), BureauError> {
    let what = if suspended { "agents suspend" } else { "agents resume" };
    acts::note(store, by, what, name.as_str(), String::new()).await?;
    match store.set_suspended(name, suspended).await? {
        AgentChange::Done => Ok(()),
        AgentChange::Refused => Err(unknown(name)),
    }
}

/// Issues a new transform for a box's references, and says so. What was handed
/// out under the old one no longer compares with anything.
///
/// # Errors
/// If there is no such box.
pub async fn reissue(store: &Store, by: &Person, name: &AgentId) -> Result<String, BureauError> {
    acts::note(store, by, "agents reissue", name.as_str(), String::new()).await?;
    let issued = store.reissue_transform(name).await?.ok_or_else(|| unknown(name))?;
    let version = issued.version;
    Ok(format!(
        "{name}: references are under transform version {version} now; the box takes it up at its next settlement"
    ))
}

/// A box on record, as it is listed.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    name: AgentId,
    hospital: HospitalId,
    suspended: bool,
    transform: u32,
    events: i64,
    last_seen: Option<WallTime>,
    /// SHA-256 of the newest certificate.
    certificate: Sha256,
    /// Those in force now, the newest first.
    keys: Vec<ListedKey>,
}

#[derive(Debug, Clone, Serialize)]
struct ListedKey {
    id: KeyId,
    public_key: PublicKey,
    since: WallTime,
    until: Option<WallTime>,
}

/// The boxes on record with the keys that are in force now.
///
/// # Errors
/// If the store fails.
pub async fn list(store: &Store) -> Result<Vec<Listed>, BureauError> {
    let now = SystemClock.now().wall;
    let mut listed = Vec::new();
    for AgentSummary { agent, events, .. } in store.agents().await? {
        let keys = store.agent_keys(&agent.name).await?.into_iter().filter(|k| k.in_force(now));
        let keys = keys.map(|AgentKey { public_key, since, until }| {
            let id = public_key.id();
            ListedKey { id, public_key, since, until }
        });
        listed.push(Listed {
            name: agent.name,
            hospital: agent.hospital,
            suspended: agent.suspended,
            transform: agent.transform.version,
            events,
            last_seen: agent.last_seen,
            certificate: agent.certificate,
            keys: keys.collect(),
        });
    }
    Ok(listed)
}

/// One line per box, and one more for each older key that is still good.
pub fn table(listed: &[Listed]) -> String {
    let mut text = format!(
        "{:<20} {:<16} {:<17} {:<10} {:>9} {:>6}  last seen\n",
        "name", "hospital", "key", "state", "transform", "events"
    );
    for Listed { name, hospital, suspended, transform, events, last_seen, keys, .. } in listed {
        let state = if *suspended { "suspended" } else { "active" };
        let seen = last_seen.map_or_else(|| "never".to_owned(), |t| t.to_string());
        let (older, newest): (Vec<_>, Vec<_>) = keys.iter().partition(|k| k.until.is_some());
        let key = newest.first().map(|k| k.id.to_string()).unwrap_or_default();
        text.push_str(&format!(
            "{:<20} {:<16} {key:<17} {state:<10} {transform:>9} {events:>6}  {seen}\n",
            name.as_str(),
            hospital.as_str(),
        ));
        for ListedKey { id, until, .. } in older {
            let until = until.map(|t| t.to_string()).unwrap_or_default();
            text.push_str(&format!("{:<37} {:<17} until {until}\n", "", id.to_string()));
        }
    }
    text
}
