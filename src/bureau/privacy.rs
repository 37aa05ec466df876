//! What a privacy officer looks at: each box's policy, limits, purges and audit log,
//! and the bureau's own; and all of it as one signed file for an inspection.
//!
//! Promises: nothing here is about a cardholder but a count of them; what a box did
//! not tell is shown as not told, never guessed. It reads and changes nothing.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Serialize;
use serde_json::Value;

use super::BureauError;
use super::acts::{self, Person};
use super::retention::{Kind, Retention};
use super::store::{AuditFinding, PurgeReport, Store, StoreError};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::{PublicKey, Signature, SigningKey};
use crate::privacy::compare::{self, Difference};
use crate::privacy::policy::{Assessment, Notice, Policy};
use crate::protocol::handout::Arrived;
use crate::protocol::id::{AgentId, HospitalId};
use crate::protocol::posture::LastPurge;

/// From so many people on whose faces are stored a filing is due (measures of 2025,
/// art. 15).
pub const FILING_AT: i64 = 100_000;
/// From this share of [`FILING_AT`] on, in percent, it is said.
const SAID_FROM_PERCENT: i64 = 80;

/// How near the count of enrolled cardholders is to the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Filing {
    /// Far below it.
    NotDue,
    /// At 80 % of it or more.
    Near,
    /// At it or above: a filing is due.
    Due,
}

impl Filing {
    /// Of so many cardholders.
    pub const fn of(enrolled: i64) -> Self {
        if enrolled >= FILING_AT {
            Self::Due
        } else if enrolled * 100 >= FILING_AT * SAID_FROM_PERCENT {
            Self::Near
        } else {
            Self::NotDue
        }
    }

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotDue => "not_due",
            Self::Near => "near",
            Self::Due => "due",
        }
    }
}

/// How the declared policy and the one in force compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// They are the same.
    Same,
    /// They differ.
    Differs,
    /// None is declared for this box.
    NotDeclared,
    /// The box has not told which one is in force.
    NotTold,
}

impl Agreement {
    /// Of the digest that was declared for a box and the one that it says is in force.
    pub fn of(declared: Option<Sha256>, in_force: Option<Sha256>) -> Self {
        match (declared, in_force) {
            (None, _) => Self::NotDeclared,
            (Some(_), None) => Self::NotTold,
            (Some(d), Some(f)) if d == f => Self::Same,
            (Some(_), Some(_)) => Self::Differs,
        }
    }

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "differs",
            Self::NotDeclared => "not_declared",
            Self::NotTold => "not_told",
        }
    }
}

/// What is known of one box.
#[derive(Debug, Clone, Serialize)]
pub struct BoxPrivacy {
    /// The box.
    pub agent: AgentId,
    /// Where it stands.
    pub hospital: HospitalId,
    /// Whether it is refused for now.
    pub suspended: bool,
    /// When its last posture came.
    pub posture_at: Option<WallTime>,
    /// Digest of the policy that was declared for it.
    pub declared: Option<Sha256>,
    /// Digest of the policy in force.
    pub in_force: Option<Sha256>,
    /// How the two compare.
    pub agreement: Agreement,
    /// Where they differ, if both are held here.
    pub differences: Vec<Difference>,
    /// Limits in force, in seconds, by kind of data.
    pub retention_s: BTreeMap<String, u64>,
    /// When each was last carried out, as the box tells.
    pub purges: BTreeMap<String, LastPurge>,
    /// What did not fit its audit heads.
    pub findings: Vec<AuditFinding>,
    /// When its newest head was countersigned.
    pub head_at: Option<WallTime>,
    /// The notice of the policy in force, if that policy is held here.
    pub notice: Option<Notice>,
    /// The impact assessment of it.
    pub assessment: Option<Assessment>,
    /// For how many days the assessment's review was due already.
    pub overdue_days: Option<i32>,
    /// Version of the agent.
    pub version: Option<String>,
    /// SHA-256 of each model, by role.
    pub models: BTreeMap<String, Sha256>,
    /// The calibration in force.
    pub calibration: Option<Sha256>,
    /// Documents of the bureau that have arrived.
    pub arrived: Vec<Arrived>,
    /// What is wrong there, in the box's words.
    pub troubles: Vec<String>,
}

impl BoxPrivacy {
    /// Whether somebody has to look at it.
    pub fn needs_a_look(&self) -> bool {
        self.agreement != Agreement::Same
            || !self.findings.is_empty()
            || self.overdue_days.is_some_and(|d| d > 0)
            || !self.troubles.is_empty()
            || self.outlived().next().is_some()
    }

    /// Kinds of data of which something stays that is older than its limit.
    pub fn outlived(&self) -> impl Iterator<Item = &str> {
        self.purges.iter().filter_map(|(kind, last)| {
            let limit = self.retention_s.get(kind)?;
            last.oldest_left_s.is_some_and(|age| age > *limit).then_some(kind.as_str())
        })
    }
}

/// A kind of data at the bureau.
#[derive(Debug, Clone, Serialize)]
pub struct BureauLimit {
    /// Its name.
    pub kind: Kind,
    /// The limit that is set, in days.
    pub days: u32,
    /// The ceiling, in days.
    pub ceiling_days: u64,
    /// When it was last carried out, and what came of it.
    pub last: Option<PurgeReport>,
}

/// Everything on the pages.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    /// Every box on record, by name.
    pub boxes: Vec<BoxPrivacy>,
    /// The bureau's own kinds of data.
    pub bureau: Vec<BureauLimit>,
    /// How many cardholders have a reference.
    pub enrolled: i64,
    /// What follows from that.
    pub filing: Filing,
}

/// Looks at everything.
///
/// # Errors
/// If the store fails.
pub async fn overview(store: &Store, retention: &Retention, today: Date) -> Result<Overview, StoreError> {
    let (agents, postures) = (store.boxes().await?, store.postures().await?);
    let (findings, heads) = (store.audit_findings().await?, store.newest_heads().await?);
    let mut boxes = Vec::new();
    for agent in agents {
        let told = postures.iter().find(|p| p.agent == agent.name);
        let posture = told.map(|t| &t.posture);
        let declared = store.declared_policy(&agent.name).await?;
        let in_force = match posture {
            Some(p) => store.document(p.policy).await?,
            None => None,
        };
        let in_force: Option<Value> = in_force.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let policy: Option<Policy> = in_force.clone().and_then(|v| serde_json::from_value(v).ok());
        let agreement = Agreement::of(declared.as_ref().map(|d| d.digest), posture.map(|p| p.policy));
        let differences = match (&in_force, &declared) {
            (Some(at_box), Some(d)) => compare::differences(at_box, &d.policy),
            _ => Vec::new(),
        };
        boxes.push(BoxPrivacy {
            suspended: agent.suspended,
            posture_at: told.map(|t| t.received_at),
            declared: declared.map(|d| d.digest),
            in_force: posture.map(|p| p.policy),
            agreement,
            differences,
            retention_s: posture.map(|p| p.retention_s.clone()).unwrap_or_default(),
            purges: posture.map(|p| p.purges.clone()).unwrap_or_default(),
            findings: findings.iter().filter(|f| f.agent == agent.name).cloned().collect(),
            head_at: heads.get(&agent.name).copied(),
            overdue_days: policy.as_ref().map(|p| p.impact_assessment.overdue_days(today)),
            notice: policy.as_ref().map(|p| p.notice.clone()),
            assessment: policy.map(|p| p.impact_assessment),
            version: posture.map(|p| p.agent_version.clone()),
            models: posture.map(|p| p.models.clone()).unwrap_or_default(),
            calibration: posture.map(|p| p.calibration),
            arrived: posture.map(|p| p.arrived.clone()).unwrap_or_default(),
            troubles: posture.map(|p| p.troubles.clone()).unwrap_or_default(),
            hospital: agent.hospital,
            agent: agent.name,
        });
    }
    let enrolled = store.enrolled_cardholders().await?;
    Ok(Overview { boxes, bureau: bureau(store, retention).await?, enrolled, filing: Filing::of(enrolled) })
}

async fn bureau(store: &Store, retention: &Retention) -> Result<Vec<BureauLimit>, StoreError> {
    let reports = store.purge_reports(u32::try_from(Kind::ALL.len() * 4).unwrap_or(100)).await?;
    let limit = |kind: Kind| BureauLimit {
        kind,
        days: retention.days(kind),
        ceiling_days: kind.limit().ceiling / 86_400,
        last: reports.iter().find(|r| r.kind == kind.as_str()).cloned(),
    };
    Ok(Kind::ALL.into_iter().map(limit).collect())
}

/// What an inspection gets: one JSON file.
#[derive(Serialize)]
struct Inspection<'a> {
    format: &'static str,
    made_at: WallTime,
    by: &'a str,
    overview: &'a Overview,
    purges: Vec<PurgeReport>,
    requests: (usize, usize),
}

/// The file: the exact text, and the bureau's signature over it.
#[derive(Serialize)]
struct SignedFile {
    document: String,
    signature: Signature,
    public_key: PublicKey,
}

/// Most reports of purges in an inspection's file: about three months of them.
const MOST_REPORTS: u32 = 50_000;

/// Everything on the pages and the reports of purges as one signed JSON file; that
/// it was taken out is an act.
///
/// # Errors
/// If the store fails.
pub async fn inspection(
    store: &Store,
    key: &SigningKey,
    by: &Person,
    overview: &Overview,
    now: WallTime,
) -> Result<Vec<u8>, BureauError> {
    acts::note(store, by, "privacy export", "", format!("{} boxes", overview.boxes.len())).await?;
    let file = Inspection {
        format: "counterproof.inspection.v1",
        made_at: now,
        by: by.name(),
        overview,
        purges: store.purge_reports(MOST_REPORTS).await?,
        requests: super::rights::waiting(store, now).await?,
    };
    let document = serde_json::to_string(&file).map_err(std::io::Error::from)?;
    let signature = key.sign(document.as_bytes());
    let signed = SignedFile { document, signature, public_key: key.public() };
    Ok(serde_json::to_vec_pretty(&signed).map_err(std::io::Error::from)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_for_filing_is_said_before_it_is_reached() {
        let of = |n| Filing::of(n).as_str();
        assert_eq!(
            [of(0), of(79_999), of(80_000), of(99_999), of(100_000)],
            ["not_due", "not_due", "near", "near", "due"]
        );
    }
}
