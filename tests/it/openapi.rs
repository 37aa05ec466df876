//! The OpenAPI documents that are checked in: current, whole, and true of what the
//! programs really say. `make openapi` writes them anew.

use std::process::Command;

use counterproof::protocol::{ALERTS_PATH, HEAD_PATH};
use serde_json::{Value, json};

use crate::support::bureau::{Bureau, Chain};
use crate::support::schema::{Contract, refs};

const BUREAU: &str = "openapi/bureau.json";
const AGENT: &str = "openapi/agent.json";

/// A file of the repository.
fn held(file: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

fn said_by(program: &str) -> String {
    let output = Command::new(program).arg("openapi").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_checked_in_is_what_the_programs_say() {
    let programs = [env!("CARGO_BIN_EXE_counterproof-bureau"), env!("CARGO_BIN_EXE_counterproof")];
    for (file, program) in [BUREAU, AGENT].into_iter().zip(programs) {
        assert!(held(file) == said_by(program), "{file} is not current: `make openapi` writes it anew");
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    for file in [BUREAU, AGENT] {
        let document: Value = serde_json::from_str(&held(file)).unwrap();
        let named = refs(&document);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for name in &named {
            assert!(schemas.contains_key(name), "{name} is not described");
        }
        for name in schemas.keys() {
            assert!(named.contains(name), "{name} is described and not used");
        }
    }
}

#[tokio::test]
async fn what_boxes_and_the_bureau_say_is_as_described() {
    let contract = Contract::read(&held(BUREAU));
    let bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    let mut chain = Chain::new("box-1");
    let (id, alert) = chain.mismatch();
    contract.request("post", ALERTS_PATH, &serde_json::from_slice(&alert).unwrap()).unwrap();
    contract.answer("post", ALERTS_PATH, boxed.post(&bureau, ALERTS_PATH, &alert).await).await;
    let withdrawal = chain.withdrawal(&id);
    contract.request("post", ALERTS_PATH, &serde_json::from_slice(&withdrawal).unwrap()).unwrap();

    // Neither the programs nor the description take a field that nobody named.
    let mut more: Value = serde_json::from_slice(&alert).unwrap();
    more["picture"] = "…".into();
    assert!(contract.request("post", ALERTS_PATH, &more).unwrap_err().contains("picture"));
    let refused = boxed.post(&bureau, ALERTS_PATH, more.to_string().as_bytes()).await;
    assert_eq!(refused.status().as_u16(), 422);
    contract.answer("post", ALERTS_PATH, refused).await;

    contract.answer("get", HEAD_PATH, boxed.get(&bureau, HEAD_PATH).await).await;
    contract.answer("get", "/alerts.json", bureau.console("/alerts.json").await).await;
    contract.answer("get", "/agents.json", bureau.console("/agents.json").await).await;
    let unknown = boxed.get(&bureau, "/v1/references/P0001?settlement=S1").await;
    assert_eq!(unknown.status().as_u16(), 404);
    contract.answer("get", "/v1/references/{cardholder}", unknown).await;

    // A method that is not described is not there.
    for (path, methods) in contract.paths().filter(|(p, _)| p.starts_with("/v1/") && *p != "/v1/join") {
        // What apps send goes to the console's address.
        let to_console = path == "/v1/check-ins";
        let at = |path: &str| if to_console { bureau.console_url(path) } else { bureau.url(path) };
        let asked = at(&path.replace("{cardholder}", "P1").replace("{sha256}", &"0".repeat(64)));
        for method in ["get", "post", "put", "delete"].into_iter().filter(|m| !methods.contains(m)) {
            let named = reqwest::Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answer = boxed.client.request(named, &asked).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 405, "{method} {path}");
        }
    }
}

#[test]
fn a_settlement_of_the_national_platform_s_numbers_is_as_described() {
    let contract = Contract::read(&held(AGENT));
    let settlement = json!({
        "settlement_id": "S202611220001", "counter": "w03", "cardholder": "P0001",
        "occurred_at": "2026-11-22T09:10:15+08:00", "amount_fen": 41250, "medical_type": "14",
        "proxies": ["P0002"],
    });
    contract.request("post", "/v1/settlements", &settlement).unwrap();
    let read = counterproof::protocol::settlement::Settlement::from_json(settlement.to_string().as_bytes());
    contract.request("post", "/v1/settlements", &serde_json::to_value(read.unwrap()).unwrap()).unwrap();
    for (field, wrong) in [("amount_fen", json!(-1)), ("cardholder", json!(7)), ("channel", json!("moon"))] {
        let mut other = settlement.clone();
        other[field] = wrong;
        assert!(contract.request("post", "/v1/settlements", &other).is_err(), "{field}");
        let read = counterproof::protocol::settlement::Settlement::from_json(other.to_string().as_bytes());
        assert!(read.is_err(), "{field}");
    }
}
