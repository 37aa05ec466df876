//! The documents that made-up alerts name: policy, notice and calibration, so that
//! what an alert's page looks up is there.

use std::collections::BTreeMap;

use jiff::civil::date;

use crate::crypto::Sha256;
use crate::privacy::policy::{Assessment, Basis, BasisKind, LIMITS, Notice, Policy};
use crate::privacy::wording::Wording;
use crate::protocol::alert::Settings;
use crate::protocol::document::DocumentKind;
use crate::protocol::policy::PolicyDocument;

/// The calibration that comes with the program.
pub(super) const CALIBRATION: &str = include_str!("../../../config/calibrations/sface-2021dec.toml");
/// Its text says that it hangs nowhere.
pub(super) const NOTICE: &str = "样本数据，并无张贴的告知。\nMade-up data; no such notice hangs anywhere.\n";

/// The policy.
pub(super) fn policy() -> PolicyDocument {
    let made_up = |what: &str| format!("样本 · {what}");
    Policy {
        controller: made_up("样本市医疗保障局"),
        contact: made_up("无"),
        alternative: made_up("人工核验"),
        basis: Basis { kind: BasisKind::StatutoryDuty, instrument: made_up("无"), article: made_up("无") },
        notice: Notice {
            id: "made-up".into(),
            wording: Wording::First,
            sha256: Sha256::of(NOTICE.as_bytes()),
            posted_on: date(2026, 1, 5),
            place: made_up("无"),
        },
        impact_assessment: Assessment { id: "made-up".into(), review_by: date(2027, 1, 5) },
        capture_regions_permille: BTreeMap::new(),
        entrance: None,
        retention_s: LIMITS.iter().map(|limit| (limit.key.to_owned(), limit.floor)).collect(),
    }
    .document()
}

/// Each with its exact bytes.
pub(super) fn documents() -> [(DocumentKind, Vec<u8>); 3] {
    [
        (DocumentKind::Policy, policy().canonical().into_bytes()),
        (DocumentKind::Notice, NOTICE.into()),
        (DocumentKind::Calibration, CALIBRATION.into()),
    ]
}

/// What alerts and boxes name.
pub(super) fn settings() -> Settings {
    let [policy, notice, calibration] = documents().map(|(_, body)| Sha256::of(&body));
    Settings { agent_version: env!("CARGO_PKG_VERSION").to_owned(), policy, notice, calibration }
}
