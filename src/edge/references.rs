//! References: fetched from the bureau for one settlement, held until its
//! verdict, never stored.
//!
//! The fetch names the settlement, which tells the bureau of the visit; it is
//! limited there per box and leaves no history (`docs/privacy.md`).

use std::time::Duration;

use reqwest::StatusCode;
use tracing::warn;

use crate::protocol::REFERENCES_PATH;
use crate::protocol::id::{CardholderId, SettlementId};
use crate::protocol::reference::{ReferenceSet, Template};
use crate::protocol::settlement::Settlement;
use crate::protocol::verdict::NotAssessed;
use crate::verify::evidence::Subject;
use crate::vision::ModelIdentity;
use crate::vision::embed::DIMENSION;

/// Largest accepted answer, in bytes.
const MAX_ANSWER: usize = 256 * 1024;

/// Fetches references over the bureau's connection.
#[derive(Clone)]
pub struct References {
    client: reqwest::Client,
    url: String,
    deadline: Duration,
    model: ModelIdentity,
}

enum Fetched {
    Some(Vec<Template>),
    None,
}

impl References {
    /// For one bureau and one model.
    pub fn new(client: reqwest::Client, url: &str, deadline: Duration, model: ModelIdentity) -> Self {
        Self { client, url: url.to_owned(), deadline, model }
    }

    /// Everybody who may be at the counter: the cardholder first, then the
    /// declared proxies.
    ///
    /// # Errors
    /// The reason why the settlement cannot be assessed.
    pub async fn subjects(&self, settlement: &Settlement) -> Result<Vec<Subject>, NotAssessed> {
        let all = async {
            let mut subjects = Vec::with_capacity(1 + settlement.proxies.len());
            let people = std::iter::once((&settlement.cardholder, NotAssessed::NoReference))
                .chain(settlement.proxies.iter().map(|p| (p, NotAssessed::ProxyUnknown)));
            for (person, missing) in people {
                match self.fetch(person, &settlement.settlement_id).await? {
                    Fetched::Some(templates) => subjects.extend(Subject::new(templates)),
                    Fetched::None => return Err(missing),
                }
            }
            Ok(subjects)
        };
        tokio::time::timeout(self.deadline, all).await.unwrap_or_else(|_| {
            warn!(deadline_ms = self.deadline.as_millis() as u64, "the bureau gave no references in time");
            Err(NotAssessed::ReferencesUnavailable)
        })
    }

    async fn fetch(&self, person: &CardholderId, settlement: &SettlementId) -> Result<Fetched, NotAssessed> {
        let unavailable = |why: String| {
            warn!(why, "references cannot be fetched");
            NotAssessed::ReferencesUnavailable
        };
        let url = format!("{}{REFERENCES_PATH}/{person}?settlement={settlement}", self.url);
        let mut answer = self
            .client
            .get(url)
            .send()
            .await
            .map_err(|e| unavailable(super::delivery::chain(&e.without_url())))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(Fetched::None),
            other => return Err(unavailable(format!("the bureau answered {other}"))),
        }
        let mut body = zeroize::Zeroizing::new(Vec::new());
        while let Some(chunk) =
            answer.chunk().await.map_err(|e| unavailable(super::delivery::chain(&e.without_url())))?
        {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(unavailable(format!("the bureau's answer is longer than {MAX_ANSWER} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let set: ReferenceSet = serde_json::from_slice(&body).map_err(|e| {
            unavailable(format!(
                "the bureau's answer is not understood (line {}, column {})",
                e.line(),
                e.column()
            ))
        })?;
        if set.cardholder != *person {
            return Err(unavailable("the bureau answered for somebody else".into()));
        }
        let usable = set
            .usable(self.model.sha256, self.model.preprocessing)
            .map_err(|e| unavailable(format!("the bureau's answer is not understood: {e}")))?;
        // An embedding of another length would compare as nothing, which must not look like a stranger.
        if usable.iter().any(|t| t.values().len() != DIMENSION) {
            return Err(unavailable(format!("a reference has not the {DIMENSION} numbers of this model")));
        }
        Ok(if usable.is_empty() { Fetched::None } else { Fetched::Some(usable) })
    }
}
