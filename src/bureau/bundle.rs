//! Exporting: one alert as a bundle, one box's countersigned heads.

use std::io::Write;
use std::path::Path;

use super::BureauError;
use super::acts::{self, Person};
use super::store::{Evidence, Store};
use crate::clock::WallTime;
use crate::crypto::sign::SigningKey;
use crate::protocol::alert::Event;
use crate::protocol::bundle::check::{Pinned, check};
use crate::protocol::bundle::report::Report;
use crate::protocol::bundle::{
    ALGORITHMS, After, Before, BoxPart, Bundle, BureauPart, Document, Exact, Format, Heads, LaterWord,
    Neighbours, RegisteredKey, SignedEvent,
};
use crate::protocol::countersign::{Countersigned, Receipt};
use crate::protocol::document::DocumentKind;
use crate::protocol::id::{AgentId, AlertId};

/// Writes the bundle of an alert to a new file, and checks it as an inspector
/// would.
///
/// # Errors
/// If there is no such alert, it is no mismatch, its content has reached its
/// limit, the file is there already, or a file or the store fails.
pub async fn export(
    store: &Store,
    key: &SigningKey,
    by: &Person,
    event: AlertId,
    out: &Path,
    now: WallTime,
) -> Result<Report, BureauError> {
    acts::note(store, by, "bundle", &event.to_string(), String::new()).await?;
    let Some(evidence) = store.evidence(event).await? else {
        return Err(BureauError::Command(format!(
            "no alert {event} is held: `/alerts.json` of the console lists them; one past its limit is gone"
        )));
    };
    let bundle = gather(store, key, evidence, now).await?;
    let file = bundle.to_file(key).map_err(|e| BureauError::Command(e.to_string()))?;
    write_new(out, &file)?;
    Ok(check(&file, &Pinned { bureau: Some(key.public()), agent: None }))
}

/// The bundle of an alert, to be handed out; nothing if no such alert is held. Whoever asks
/// for it writes that down first.
///
/// # Errors
/// If it is no mismatch, or the store fails.
pub async fn file(
    store: &Store,
    key: &SigningKey,
    event: AlertId,
    now: WallTime,
) -> Result<Option<Vec<u8>>, BureauError> {
    let Some(evidence) = store.evidence(event).await? else { return Ok(None) };
    let bundle = gather(store, key, evidence, now).await?;
    bundle.to_file(key).map(Some).map_err(|e| BureauError::Command(e.to_string()))
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), BureauError> {
    use std::os::unix::fs::OpenOptionsExt;
    let open = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = open.and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all()));
    written.map_err(|e| BureauError::Command(format!("--out {}: {e}; name a new file", path.display())))
}

async fn gather(
    store: &Store,
    key: &SigningKey,
    evidence: Evidence,
    now: WallTime,
) -> Result<Bundle, BureauError> {
    let Evidence { agent, alert, event, before, after, later } = evidence;
    if event.content.about().is_none() {
        let what = "is no alert: a withdrawal or an expiry stands in the bundle of its alert";
        return Err(BureauError::Command(format!("{} {what}", event.id)));
    }
    let (head_before, head_after) = store.heads_around(&agent, alert.received_at).await?;
    let earlier_keys = store.bureau_keys().await?.into_iter().filter(|k| *k != key.public()).collect();
    Ok(Bundle {
        format: Format::V1,
        algorithms: ALGORITHMS,
        event: event.id,
        made_at: now,
        bureau: BureauPart { public_key: key.public(), earlier_keys },
        receipt: alert.receipt.map(|signature| Receipt { received_at: alert.received_at, signature }),
        alert: Some(SignedEvent { bytes: Exact(alert.bytes.to_vec()), signature: alert.signature }),
        agent: the_box(store, &agent).await?,
        neighbours: Some(Neighbours {
            before: before.map(|(digest, expired)| Before { digest, expired }),
            after: after.map(|(digest, link)| After { digest, link }),
        }),
        later: Some(
            later
                .into_iter()
                .map(|w| LaterWord {
                    event: SignedEvent { bytes: Exact(w.bytes.to_vec()), signature: w.signature },
                    received_at: w.received_at,
                })
                .collect(),
        ),
        documents: documents(store, &event).await?,
        heads: Some(Heads { before: head_before, after: head_after }),
    })
}

async fn the_box(store: &Store, name: &AgentId) -> Result<Option<BoxPart>, BureauError> {
    let Some(agent) = store.agent(name).await? else { return Ok(None) };
    let keys = store.agent_keys(name).await?.into_iter().map(|k| RegisteredKey {
        public_key: k.public_key,
        since: k.since,
        until: k.until,
    });
    Ok(Some(BoxPart { name: agent.name, hospital: agent.hospital, keys: keys.collect() }))
}

async fn documents(store: &Store, event: &Event) -> Result<Vec<Document>, BureauError> {
    let Some(about) = event.content.about() else { return Ok(Vec::new()) };
    let named = about.settings;
    let mut out = Vec::new();
    for (kind, digest) in [
        (DocumentKind::Policy, named.policy),
        (DocumentKind::Notice, named.notice),
        (DocumentKind::Calibration, named.calibration),
    ] {
        let bytes = store.document(digest).await?;
        out.extend(bytes.map(|b| Document { kind, bytes: Exact(b) }));
    }
    Ok(out)
}

/// The countersigned heads of a box, oldest first.
///
/// # Errors
/// If there is no such box, or the store fails.
pub async fn heads(store: &Store, by: &Person, name: &AgentId) -> Result<Vec<Countersigned>, BureauError> {
    acts::note(store, by, "heads", name.as_str(), String::new()).await?;
    if store.agent(name).await?.is_none() {
        return Err(super::agents::unknown(name));
    }
    Ok(store.heads(name).await?)
}

/// One JSON object per line, as `docs/contracts.md` has it.
///
/// # Errors
/// Never for heads that were read from a store.
pub fn heads_json(heads: &[Countersigned]) -> Result<String, BureauError> {
    let mut text = String::new();
    for head in heads {
        text.push_str(&serde_json::to_string(head).map_err(std::io::Error::from)?);
        text.push('\n');
    }
    Ok(text)
}

/// One line per head, for people.
pub fn heads_table(heads: &[Countersigned]) -> String {
    let mut text = format!("{:<25} {:<36} {:>10}  hash\n", "countersigned", "epoch", "record");
    for head in heads {
        let (at, epoch) = (head.received_at.to_string(), head.audit.epoch.to_string());
        text.push_str(&format!("{at:<25} {epoch:<36} {:>10}  {}\n", head.audit.seq, head.audit.hash));
    }
    text
}
