//! Posture: once a minute the bureau hears what this box is and how it fares.
//! Counts only; a posture that cannot be sent is dropped, the next one is
//! complete.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use tracing::{debug, error};

use crate::crypto::Sha256;
use crate::crypto::sign::SigningKey;
use crate::protocol::posture::Posture;
use crate::protocol::{POSTURE_PATH, SIGNATURE_HEADER};

use super::context::Context;
use super::delivery::chain;

const EVERY: Duration = Duration::from_secs(60);

/// Says how the box fares.
pub struct Reporter {
    /// The agent.
    pub context: Arc<Context>,
    /// The bureau's connection.
    pub client: reqwest::Client,
    /// Signs postures.
    pub signer: SigningKey,
    /// SHA-256 of each model, by role.
    pub models: BTreeMap<String, Sha256>,
}

impl Reporter {
    /// Runs until the agent stops.
    pub async fn run(self) {
        loop {
            if let Err(why) = self.report().await {
                debug!(why, "the posture could not be sent");
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn report(&self) -> Result<(), String> {
        let posture = self.posture().await?;
        let bytes = serde_json::to_vec(&posture).map_err(|e| e.to_string())?;
        let request = self
            .client
            .post(format!("{}{POSTURE_PATH}", self.context.config.bureau.url))
            .header(CONTENT_TYPE, "application/json")
            .header(SIGNATURE_HEADER, self.signer.sign(&bytes).to_string())
            .body(bytes);
        #[cfg(feature = "leak")]
        let request = super::leak::onto_request("posture", request);
        let answer = request.send().await.map_err(|e| chain(&e))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        if status.is_client_error() {
            error!(%status, "the bureau refused this box's posture: is the box registered and not suspended?");
        }
        Err(format!("the bureau answered {status}"))
    }

    async fn posture(&self) -> Result<Posture, String> {
        let c = &self.context;
        let outbox = c.store(|s| s.outbox()).await.map_err(|e| e.to_string())?;
        let mut troubles: Vec<String> = c.trouble().iter().map(ToString::to_string).collect();
        if outbox.set_aside > 0 {
            troubles.push(format!("{} events were refused by the bureau and set aside", outbox.set_aside));
        }
        Ok(Posture {
            agent: c.config.agent.name.clone(),
            hospital: c.config.agent.hospital.clone(),
            at: c.wall(),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            models: self.models.clone(),
            policy: c.in_force.settings.policy,
            calibration: c.in_force.settings.calibration,
            retention_s: c.policy.retention_s.clone(),
            verdicts: c.verdicts(),
            outbox_waiting: outbox.waiting,
            outbox_set_aside: outbox.set_aside,
            audit: c.audit_head().ok_or("the audit log is empty")?,
            liveness: "off".into(),
            troubles,
        })
    }
}
