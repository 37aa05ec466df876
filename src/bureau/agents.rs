//! The commands about boxes: add, list, suspend, resume, reissue.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::BureauError;
use super::store::{AgentChange, AgentSummary, NewAgent, Store};
use crate::clock::{Clock, SystemClock};
use crate::crypto::Sha256;
use crate::crypto::sign::PublicKey;
use crate::protocol::id::{AgentId, HospitalId};

/// Puts a box on record, with the first certificate in a PEM file.
///
/// # Errors
/// If the key or the certificate cannot be read, or one of the three is on
/// record already.
pub async fn add(
    store: &Store,
    name: AgentId,
    hospital: HospitalId,
    public_key: &str,
    certificate: &Path,
) -> Result<(), BureauError> {
    let public_key = PublicKey::from_base64(public_key).map_err(|e| {
        BureauError::Command(format!("--public-key: {e}: `counterproof keys` prints it on the box"))
    })?;
    let der = CertificateDer::from_pem_file(certificate).map_err(|e| {
        let path = certificate.display();
        BureauError::Command(format!("--certificate {path}: {e}; expected the box's certificate as PEM"))
    })?;
    let new = NewAgent { name, hospital, public_key, certificate: Sha256::of(&der) };
    match store.add_agent(&new, SystemClock.now().wall).await? {
        AgentChange::Done => Ok(()),
        AgentChange::Refused => Err(BureauError::Command(format!(
            "{}: a box with this name, this public key or this certificate is on record already; \
             `agents list` shows which. Each box has its own",
            new.name
        ))),
    }
}

/// Refuses a box from now on, or hears it again.
///
/// # Errors
/// If there is no such box.
pub async fn set_suspended(store: &Store, name: &AgentId, suspended: bool) -> Result<(), BureauError> {
    match store.set_suspended(name, suspended).await? {
        AgentChange::Done => Ok(()),
        AgentChange::Refused => Err(no_such_box(name)),
    }
}

/// Issues a new transform for a box's references, and says so. What was handed
/// out under the old one no longer compares with anything.
///
/// # Errors
/// If there is no such box.
pub async fn reissue(store: &Store, name: &AgentId) -> Result<String, BureauError> {
    let issued = store.reissue_transform(name).await?.ok_or_else(|| no_such_box(name))?;
    let version = issued.version;
    Ok(format!(
        "{name}: references are under transform version {version} now; the box takes it up at its next settlement"
    ))
}

fn no_such_box(name: &AgentId) -> BureauError {
    BureauError::Command(format!("no box is called {name}; `agents list` shows the names"))
}

/// One line per box.
pub fn table(agents: &[AgentSummary]) -> String {
    let mut text = format!(
        "{:<20} {:<16} {:<17} {:<10} {:>9} {:>6}  last seen\n",
        "name", "hospital", "key", "state", "transform", "events"
    );
    for AgentSummary { agent, events, .. } in agents {
        let state = if agent.suspended { "suspended" } else { "active" };
        let seen = agent.last_seen.map_or_else(|| "never".to_owned(), |t| t.to_string());
        text.push_str(&format!(
            "{:<20} {:<16} {:<17} {state:<10} {:>9} {events:>6}  {seen}\n",
            agent.name.as_str(),
            agent.hospital.as_str(),
            agent.public_key.id().to_string(),
            agent.transform.version,
        ));
    }
    text
}
