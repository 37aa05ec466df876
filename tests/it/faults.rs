//! A quick selection of what `make faults` breaks: fifty kills, a few power
//! cuts, and each scenario in its small form. The oracle of each world must
//! find nothing lost, nothing twice, nothing out of order, nothing strange.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::faults::oracle::{Findings, Held, Ledger, Record};
use crate::support::faults::world::Place;
use crate::support::faults::{Extent, SCENARIOS, cuts, power};

fn place() -> Place {
    let scratch = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("faults");
    std::fs::create_dir_all(&scratch).unwrap();
    Place {
        agent: env!("CARGO_BIN_EXE_counterproof").into(),
        bureau: env!("CARGO_BIN_EXE_counterproof-bureau").into(),
        models: concat!(env!("CARGO_MANIFEST_DIR"), "/models/models.toml").into(),
        scratch,
    }
}

#[track_caller]
fn assert_clean(findings: &Findings) {
    assert!(findings.clean(), "{}", json!(findings));
    assert!(findings.acknowledged > 0, "nothing was done: {}", json!(findings));
}

async fn scenario(name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let s = SCENARIOS.iter().find(|s| s.name == name).unwrap();
    let outcome = (s.run)(dir.path(), &place(), Extent::Quick).await.unwrap();
    assert_clean(&outcome.findings);
}

/// Each scenario a test of its own name; one that is switched off says why.
macro_rules! scenarios {
    ($($name:ident $(: ignored $why:literal)?,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            $(#[ignore = $why])?
            async fn $name() {
                scenario(stringify!($name)).await;
            }
        )*

        #[test]
        fn every_scenario_is_tested_or_switched_off_by_name() {
            let here = BTreeSet::from([$(stringify!($name)),*]);
            assert_eq!(here, SCENARIOS.iter().map(|s| s.name).collect());
            let ignored = BTreeSet::from([$($(($why, stringify!($name)).1,)?)*]);
            assert_eq!(ignored, SCENARIOS.iter().filter(|s| s.off.is_some()).map(|s| s.name).collect());
        }
    };
}

scenarios! {
    ill_bureau,
    away_bureau,
    restored_bureau,
    refused_alert,
    restored_behind_a_refusal,
    reimaged_box,
    name_not_found,
    disk_full,
    disk_read_only,
    input_output_errors,
    no_descriptors,
    clock_steps,
    a_month_without_the_bureau,
    a_year_ahead_with_alerts_waiting,
    sick_cameras,
    settlement_storm,
    memory_ends,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_lose_and_double_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let campaign = cuts::campaign(dir.path(), &place(), 50, 1, |_| {}).await.unwrap();
    assert!(campaign.total() >= 50 && campaign.planted() > 0, "{:?}", campaign.cuts);
    assert_clean(&campaign.findings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_lose_and_double_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = power::power_cuts(&dir.path().join("power"), &place(), 12, 1, |_| {}).await.unwrap();
    assert_eq!(out.dead, Vec::<String>::new());
    assert_clean(&out.findings);
}

/// A harness that cannot find anything proves nothing: on a disk that forgets
/// what it said it had synced, things are lost, and the oracle says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_lies_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let out = power::lying_disk(&dir.path().join("power"), &place(), 6, 1).await.unwrap();
    assert!(out.findings.lost() > 0 || !out.dead.is_empty(), "{out:?}");
}

/// A log and a bureau in which one settlement was alerted and withdrawn.
struct Told {
    ledger: Ledger,
    log: Vec<Value>,
    held: Vec<Held>,
}

const EPOCH: &str = "e1";

fn held(seq: u64, id: &str) -> Held {
    let digest = |n: u64| format!("d{n}");
    let previous = (seq > 1).then(|| digest(seq - 1));
    Held::example(seq as i64, id, EPOCH, seq, digest(seq), previous)
}

fn told() -> Told {
    let ledger = Ledger::default();
    ledger.sent("S1");
    ledger.acknowledged("S1", "v1", std::time::Duration::ZERO);
    ledger.cancelled("S1");
    let log = vec![
        json!({"kind": "settlement_accepted", "data": {"settlement": "S1", "verification": "v1"}, "row": 1}),
        json!({"kind": "verdict", "data": {"settlement": "S1", "verification": "v1", "verdict": "mismatch"}, "row": 2}),
        json!({"kind": "alert_committed", "data": {"settlement": "S1", "event": "a1", "seq": 1}, "row": 3}),
        json!({"kind": "withdrawal_committed", "data": {"settlement": "S1", "event": "a2", "seq": 2}, "row": 4}),
    ];
    Told { ledger, log, held: vec![held(1, "a1"), held(2, "a2")] }
}

fn check(told: &Told) -> Findings {
    told.ledger.check(&[Record::chain(EPOCH, &told.log)], &told.held)
}

#[test]
fn the_oracle_finds_nothing_where_nothing_is_wrong() {
    assert_clean(&check(&told()));
}

#[test]
fn the_oracle_names_what_is_lost_doubled_strange_or_out_of_order() {
    type Harm = fn(&mut Told);
    type Found = fn(&Findings) -> bool;
    let cases: [(&str, Harm, Found); 9] = [
        ("no verdict", |t| drop(t.log.remove(1)), |f| f.verdicts_missing == ["S1"]),
        (
            "two verdicts",
            |t| {
                let mut r = t.log[1].clone();
                r["row"] = json!(9);
                t.log.push(r)
            },
            |f| f.verdicts_doubled == ["S1"],
        ),
        ("not accepted", |t| drop(t.log.remove(0)), |f| f.acceptances_missing == ["S1"]),
        ("not delivered", |t| drop(t.held.pop()), |f| f.events_missing == ["a2"]),
        (
            "not withdrawn",
            |t| {
                t.log.pop();
                t.held.pop();
            },
            |f| f.withdrawals_missing == ["S1"],
        ),
        ("a stranger", |t| t.held.push(held(3, "a3")), |f| f.strangers == ["event a3"]),
        ("out of order", |t| t.held.swap(0, 1), |f| !f.out_of_order.is_empty()),
        ("a row twice", |t| t.log[3]["row"] = json!(3), |f| f.audit_breaks == ["row 3 twice"]),
        (
            "another answer",
            |t| t.ledger.acknowledged("S1", "v2", std::time::Duration::ZERO),
            |f| f.answers_changed == ["S1"],
        ),
    ];
    for (what, harm, found) in cases {
        let mut told = told();
        harm(&mut told);
        let findings = check(&told);
        assert!(found(&findings) && !findings.clean(), "{what}: {}", json!(findings));
    }
}
