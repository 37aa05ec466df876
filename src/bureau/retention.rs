//! How long the bureau keeps what, and the purge that carries it out.
//!
//! Promises: no configuration can keep a kind of data longer than its ceiling
//! here; what is older than its limit is deleted by cut-off, whatever its
//! state, and overwritten in the file (`secure_delete`, and the write-ahead
//! log is emptied after it); each run leaves a report per kind in the store
//! and in the log, with counts only.
//!
//! What stays after a purge is the chain: number, id, digest and time of each
//! event, by which a late duplicate is still known. Nothing in it is about a
//! person. What it does not do: reach backups of the file.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::metrics;
use super::store::{Store, StoreError};
use super::watch::Watch;
use crate::clock::{Clock, WallTime};
use crate::settings::Problem;

/// Longest that references may be kept, in days.
pub const REFERENCES_CEILING_DAYS: u32 = 3650;
/// Longest that alerts nobody has decided may be kept, in days.
pub const OPEN_ALERTS_CEILING_DAYS: u32 = 365;
/// Longest that countersigned audit heads may be kept, in days.
pub const AUDIT_HEADS_CEILING_DAYS: u32 = 3650;
/// Longest that documents which no alert names may be kept, in days.
pub const DOCUMENTS_CEILING_DAYS: u32 = 365;
/// Longest that the record of who did what may be kept, in days.
pub const ACTS_CEILING_DAYS: u32 = 3650;

/// How often the limits are carried out.
const EVERY: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// `[retention]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// References, from enrolment.
    pub references_days: u32,
    /// Alerts and withdrawals, from receipt.
    pub open_alerts_days: u32,
    /// Countersigned audit heads, from receipt, and findings about them.
    pub audit_heads_days: u32,
    /// Documents that no alert names, from when a posture last named them.
    pub documents_days: u32,
    /// The record of who did what at the bureau.
    pub acts_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            references_days: 3650,
            open_alerts_days: 180,
            audit_heads_days: 1095,
            documents_days: 30,
            acts_days: 1095,
        }
    }
}

impl Retention {
    /// Limits that are none, or above their ceilings.
    pub(super) fn problems(&self) -> Vec<Problem> {
        [
            ("retention.references_days", self.references_days, REFERENCES_CEILING_DAYS),
            ("retention.open_alerts_days", self.open_alerts_days, OPEN_ALERTS_CEILING_DAYS),
            ("retention.audit_heads_days", self.audit_heads_days, AUDIT_HEADS_CEILING_DAYS),
            ("retention.documents_days", self.documents_days, DOCUMENTS_CEILING_DAYS),
            ("retention.acts_days", self.acts_days, ACTS_CEILING_DAYS),
        ]
        .into_iter()
        .filter(|(_, days, ceiling)| *days == 0 || days > ceiling)
        .map(|(key, days, ceiling)| {
            let advice = "The ceiling is part of the program, so that no setting can lift it.";
            Problem::new(key, days, format!("1 to {ceiling} (days)"), advice)
        })
        .collect()
    }

    /// The limit of a kind.
    pub fn days(&self, kind: Kind) -> u32 {
        match kind {
            Kind::References => self.references_days,
            Kind::OpenAlerts => self.open_alerts_days,
            Kind::AuditHeads => self.audit_heads_days,
            Kind::Documents => self.documents_days,
            Kind::Acts => self.acts_days,
        }
    }
}

/// A kind of data with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Enrolled embeddings.
    References,
    /// Alerts that nobody has decided, withdrawals, and words of expiry.
    OpenAlerts,
    /// Countersigned audit heads and what did not fit them.
    AuditHeads,
    /// Documents that no alert names.
    Documents,
    /// Who did what at the bureau.
    Acts,
}

impl Kind {
    /// Every kind there is.
    pub const ALL: [Self; 5] =
        [Self::References, Self::OpenAlerts, Self::AuditHeads, Self::Documents, Self::Acts];

    /// Its name in the store and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::References => "references",
            Self::OpenAlerts => "open_alerts",
            Self::AuditHeads => "audit_heads",
            Self::Documents => "documents",
            Self::Acts => "acts",
        }
    }
}

/// Carries out every limit once.
///
/// # Errors
/// If the store fails; kinds done before it stay done.
pub async fn purge(store: &Store, retention: &Retention, now: WallTime) -> Result<(), StoreError> {
    for kind in Kind::ALL {
        let cutoff = now.minus(DAY * retention.days(kind));
        let deleted = store.purge(kind, cutoff, now).await?;
        metrics::purged(kind, deleted);
        tracing::info!(kind = kind.as_str(), %cutoff, deleted, "retention carried out");
    }
    store.empty_log().await
}

/// Carries out the limits at once and then every hour, for ever.
pub(super) async fn keep_purging(
    store: Arc<Store>,
    retention: Retention,
    clock: Arc<dyn Clock>,
    watch: Watch,
) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        watch.purge.rest(ticks.tick()).await;
        if let Err(error) = purge(&store, &retention, clock.now().wall).await {
            metrics::purge_failed();
            tracing::error!(%error, "retention could not be carried out; trying again in an hour");
        } else {
            watch.purged();
        }
    }
}
