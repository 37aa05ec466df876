//! How long the bureau keeps what, and the purge that carries it out.
//!
//! Promises: no configuration can keep a kind of data longer than its ceiling
//! in [`policy`]; what is older than its limit is deleted by cut-off, whatever its
//! state, and overwritten in a file (`secure_delete`, and the write-ahead
//! log is emptied after it); a PostgreSQL server is told to use its space again
//! (`docs/privacy.md` says what that leaves); each run leaves a report per kind in the store
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
use crate::privacy::policy::{self, Limit};
use crate::privacy::retention::{Evidence, Expires, Purged, carry_out};
use crate::settings::Problem;

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
    /// Alerts that somebody decided, and what belongs to them, from the decision.
    pub decided_alerts_days: u32,
    /// Countersigned audit heads, from receipt, and findings about them.
    pub audit_heads_days: u32,
    /// Documents that no alert names, from when a posture last named them.
    pub documents_days: u32,
    /// Cases and their transfers, from the case's end.
    pub cases_days: u32,
    /// Transfers that came in, from their conclusion.
    pub incoming_transfers_days: u32,
    /// Reports of the public, from their conclusion.
    pub reports_days: u32,
    /// The record of who did what at the bureau, and that of purges.
    pub acts_days: u32,
    /// Counts of verdicts by day; nobody's in particular.
    pub figures_days: u32,
    /// Imported settlement statistics, from the end of their month.
    pub settlement_figures_days: u32,
    /// Requests of people about their own data, from their end.
    pub rights_requests_days: u32,
    /// Facts of check-ins, from the check-in; must be said where `[check_ins]` is.
    pub check_ins_days: Option<u32>,
}

/// For how long facts of check-ins stay that were kept before `[check_ins]` was taken out,
/// in days.
const CHECK_INS_DAYS: u32 = 90;

impl Default for Retention {
    fn default() -> Self {
        Self {
            references_days: 3650,
            open_alerts_days: 180,
            decided_alerts_days: 730,
            audit_heads_days: 1095,
            documents_days: 30,
            cases_days: 1825,
            incoming_transfers_days: 1825,
            reports_days: 1095,
            acts_days: 1095,
            figures_days: 1095,
            settlement_figures_days: 400,
            rights_requests_days: 1095,
            check_ins_days: None,
        }
    }
}

impl Retention {
    /// Limits that are none, or above their ceilings.
    pub(super) fn problems(&self) -> Vec<Problem> {
        Kind::ALL
            .into_iter()
            .map(|kind| (kind.limit(), u64::from(self.days(kind))))
            .filter(|(limit, days)| !(limit.floor..=limit.ceiling).contains(&(days * limit.unit)))
            .map(|(limit, days)| {
                let advice = "The ceiling is part of the program (src/privacy/policy.rs), so that no setting can lift it.";
                let allowed = format!("{} to {} (days)", limit.floor / limit.unit, limit.ceiling / limit.unit);
                Problem::new(&format!("retention.{}", limit.key), days, allowed, advice)
            })
            .collect()
    }

    /// The limit of a kind.
    pub fn days(&self, kind: Kind) -> u32 {
        match kind {
            Kind::References => self.references_days,
            // Each has an end of its own, and nothing of it is kept longer.
            Kind::Exemptions | Kind::Sessions | Kind::DeclaredProxies => 0,
            Kind::OpenAlerts => self.open_alerts_days,
            Kind::DecidedAlerts => self.decided_alerts_days,
            Kind::AuditHeads => self.audit_heads_days,
            Kind::Documents => self.documents_days,
            Kind::Cases => self.cases_days,
            Kind::IncomingTransfers => self.incoming_transfers_days,
            Kind::Reports => self.reports_days,
            Kind::Acts => self.acts_days,
            Kind::Figures => self.figures_days,
            Kind::SettlementFigures => self.settlement_figures_days,
            Kind::RightsRequests => self.rights_requests_days,
            Kind::CheckIns => self.check_ins_days.unwrap_or(CHECK_INS_DAYS),
        }
    }
}

/// A kind of data with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Enrolled embeddings.
    References,
    /// Exemptions that are over.
    Exemptions,
    /// Sessions of the console that are over, and attempts to sign in.
    Sessions,
    /// Alerts that nobody has decided, withdrawals, and words of expiry.
    OpenAlerts,
    /// Alerts that somebody decided, and what belongs to them.
    DecidedAlerts,
    /// Declarations of proxies that are over.
    DeclaredProxies,
    /// Countersigned audit heads and what did not fit them.
    AuditHeads,
    /// Documents that no alert names.
    Documents,
    /// Cases that have ended, with their transfers.
    Cases,
    /// Transfers that came in.
    IncomingTransfers,
    /// Reports of the public.
    Reports,
    /// Who did what at the bureau.
    Acts,
    /// Counts of verdicts by day.
    Figures,
    /// Imported settlement statistics of cardholders.
    SettlementFigures,
    /// Requests of people about their own data, and receipts of erasures.
    RightsRequests,
    /// Facts of check-ins by phone.
    CheckIns,
}

impl Kind {
    /// Every kind there is.
    pub const ALL: [Self; 16] = [
        Self::References,
        Self::Exemptions,
        Self::Sessions,
        Self::OpenAlerts,
        Self::DecidedAlerts,
        Self::DeclaredProxies,
        Self::AuditHeads,
        Self::Documents,
        Self::Cases,
        Self::IncomingTransfers,
        Self::Reports,
        Self::Acts,
        Self::Figures,
        Self::SettlementFigures,
        Self::RightsRequests,
        Self::CheckIns,
    ];

    /// Its name, ceiling and floor.
    pub const fn limit(self) -> Limit {
        match self {
            Self::References => policy::BUREAU_REFERENCES,
            Self::Exemptions => policy::BUREAU_EXEMPTIONS,
            Self::Sessions => policy::BUREAU_SESSIONS,
            Self::OpenAlerts => policy::BUREAU_OPEN_ALERTS,
            Self::DecidedAlerts => policy::BUREAU_DECIDED_ALERTS,
            Self::DeclaredProxies => policy::BUREAU_PROXIES,
            Self::AuditHeads => policy::BUREAU_AUDIT_HEADS,
            Self::Documents => policy::BUREAU_DOCUMENTS,
            Self::Cases => policy::BUREAU_CASES,
            Self::IncomingTransfers => policy::BUREAU_INCOMING,
            Self::Reports => policy::BUREAU_REPORTS,
            Self::Acts => policy::BUREAU_ACTS,
            Self::Figures => policy::BUREAU_FIGURES,
            Self::SettlementFigures => policy::BUREAU_SETTLEMENT_FIGURES,
            Self::RightsRequests => policy::BUREAU_RIGHTS,
            Self::CheckIns => policy::BUREAU_CHECK_INS,
        }
    }

    fn of(limit: &Limit) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.limit().key == limit.key)
    }

    /// Its name in the store and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::References => "references",
            Self::Exemptions => "exemptions",
            Self::Sessions => "sessions",
            Self::OpenAlerts => "open_alerts",
            Self::DecidedAlerts => "decided_alerts",
            Self::DeclaredProxies => "declared_proxies",
            Self::AuditHeads => "audit_heads",
            Self::Documents => "documents",
            Self::Cases => "cases",
            Self::IncomingTransfers => "incoming_transfers",
            Self::Reports => "reports",
            Self::Acts => "acts",
            Self::Figures => "figures",
            Self::SettlementFigures => "settlement_figures",
            Self::RightsRequests => "rights_requests",
            Self::CheckIns => "check_ins",
        }
    }
}

/// The store as one with limits.
struct Held<'a>(&'a Store);

impl Expires<WallTime> for Held<'_> {
    type Error = StoreError;

    fn kinds(&self) -> Vec<Limit> {
        policy::BUREAU_LIMITS.to_vec()
    }

    async fn purge(
        &mut self,
        limit: &Limit,
        cutoff: WallTime,
        now: WallTime,
    ) -> Result<Purged<WallTime>, StoreError> {
        let kind = Kind::of(limit).ok_or_else(|| StoreError::Content {
            label: limit.key.to_owned(),
            what: "no kind of data that the bureau holds".into(),
        })?;
        self.0.purge(kind, cutoff, now).await
    }
}

/// Carries out every limit once.
///
/// # Errors
/// If the store fails; kinds done before it stay done.
pub async fn purge(store: &Store, retention: &Retention, now: WallTime) -> Result<(), StoreError> {
    let limit = |l: &Limit| Kind::of(l).map_or(Duration::ZERO, |k| DAY * retention.days(k));
    for evidence in carry_out(&mut Held(store), limit, now).await? {
        let Evidence { kind, deleted, oldest_left_s, .. } = &evidence;
        if let Some(kind) = Kind::ALL.into_iter().find(|k| k.limit().key == kind) {
            metrics::purged(kind, *deleted);
        }
        if evidence.outlived() {
            tracing::error!(kind, oldest_left_s, "data outlived its limit");
        }
        tracing::info!(kind, deleted, oldest_left_s, "retention carried out");
    }
    store.keep_months(now).await?;
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
