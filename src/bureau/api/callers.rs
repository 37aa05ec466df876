//! Who calls, remembered: the record of a box by the certificate that it shows.
//!
//! Promises: a box that was suspended, or whose key, certificate or transform was
//! replaced, is not taken for what it was. What is remembered is compared with the
//! record in the same statement or transaction that does what was asked
//! ([`Insertion::Stale`](crate::bureau::store::Insertion), `references_for`); where they
//! differ, or a request is refused, the record is read anew and the request is looked
//! at once more. The end of a certificate's and a key's time is obeyed without that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Extension, FromRequestParts};
use axum::http::request::Parts;
use axum::response::Response;

use super::{Api, forbidden, suspended, unavailable};
use crate::bureau::store::{Agent, AgentKey};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::http::server::PeerCertificate;

/// Most boxes that are remembered; then it begins anew.
const MOST: usize = 4096;

/// A box as it was looked up.
pub(super) struct Known {
    pub(super) agent: Agent,
    /// Every signing key that it had.
    pub(super) keys: Vec<AgentKey>,
    /// When the certificate that it showed ends.
    until: Option<WallTime>,
}

/// The boxes that were looked up lately.
#[derive(Default)]
pub struct Callers(Mutex<HashMap<Sha256, Arc<Known>>>);

impl Callers {
    fn remembered(&self, certificate: Sha256, now: WallTime) -> Option<Arc<Known>> {
        let all = self.0.lock().unwrap_or_else(|e| e.into_inner());
        all.get(&certificate).filter(|known| known.until.is_none_or(|until| until > now)).cloned()
    }

    fn remember(&self, certificate: Sha256, known: &Arc<Known>) {
        let mut all = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(certificate, known.clone());
    }

    fn forget(&self, certificate: Sha256) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).remove(&certificate);
    }
}

/// A box that calls, as it is remembered or as it was just read.
pub(super) struct Heard {
    pub(super) known: Arc<Known>,
    certificate: Sha256,
    is_fresh: bool,
}

impl FromRequestParts<Arc<Api>> for Heard {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Response> {
        let certificate = shown(parts, api).await?;
        match api.callers.remembered(certificate, api.clock.now().wall) {
            Some(known) => Ok(Self { known, certificate, is_fresh: false }),
            None => Self::read(api, certificate).await,
        }
    }
}

impl Heard {
    async fn read(api: &Api, certificate: Sha256) -> Result<Self, Response> {
        let now = api.clock.now().wall;
        // The record first: whoever gives a key or a certificate an end changes it too, so
        // that what is read after it is never older than what is compared.
        let agent = on_record(api, certificate, now).await?;
        let keys = api.store.agent_keys(&agent.name).await.map_err(unavailable)?;
        let until = api.store.certificate_end(certificate).await.map_err(unavailable)?;
        let known = Arc::new(Known { agent, keys, until });
        api.callers.remember(certificate, &known);
        Ok(Self { known, certificate, is_fresh: true })
    }

    /// The record read anew, if it was only remembered: what follows from it may be
    /// another thing now.
    pub(super) async fn anew(self, api: &Api) -> Result<Option<Self>, Response> {
        api.callers.forget(self.certificate);
        if self.is_fresh { Ok(None) } else { Self::read(api, self.certificate).await.map(Some) }
    }
}

/// The certificate that was shown.
pub(super) async fn shown(parts: &mut Parts, api: &Arc<Api>) -> Result<Sha256, Response> {
    let peer = Extension::<Option<PeerCertificate>>::from_request_parts(parts, api).await;
    match peer {
        Ok(Extension(Some(PeerCertificate(certificate)))) => Ok(certificate),
        _ => Err(forbidden("no certificate was shown: connect with the box's own".into())),
    }
}

/// The box with that certificate, if it is on record and not suspended.
pub(super) async fn on_record(api: &Api, certificate: Sha256, now: WallTime) -> Result<Agent, Response> {
    match api.store.agent_by_certificate(certificate, now).await.map_err(unavailable)? {
        Some(agent) if agent.suspended => Err(suspended(&agent)),
        Some(agent) => Ok(agent),
        None => {
            tracing::warn!(%certificate, "an unknown certificate called");
            Err(forbidden(format!(
                "no box is on record with the certificate of SHA-256 {certificate}, or it was replaced: \
                 `counterproof-bureau agents add` or `agents rotate` puts one on record"
            )))
        }
    }
}

#[cfg(test)]
mod tests;
