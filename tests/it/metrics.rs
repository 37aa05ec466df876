//! Metrics: the pages of both programs as a collector reads them, and what is
//! built on them: the dashboard, the alerting rules, the page for operators.

use std::collections::BTreeSet;

use counterproof::http::metrics::{Kind, Metric, PROCESS};
use counterproof::{bureau, edge};
use reqwest::{Method, header};
use serde_json::Value;

use crate::support::hospital::{Hospital, Wishes};
use crate::support::prometheus::{self, Page};
use crate::support::{quick_hospital, wait_for};

fn agent_list() -> Vec<&'static Metric> {
    edge::metrics::ALL.iter().chain(&PROCESS).collect()
}

fn bureau_list() -> Vec<&'static Metric> {
    bureau::metrics::ALL.iter().chain(&PROCESS).collect()
}

fn every_list() -> impl Iterator<Item = &'static Metric> {
    agent_list().into_iter().chain(bureau_list()).chain(edge::relay::METRICS)
}

/// The agent's page and the bureau's, read strictly.
async fn pages(h: &Hospital) -> (Page, Page) {
    let agent = prometheus::read(&h.metrics(&h.agent_metrics).await.unwrap());
    let bureau = prometheus::read(&h.metrics(&h.bureau_metrics).await.unwrap());
    agent.check_against(&agent_list());
    bureau.check_against(&bureau_list());
    (agent, bureau)
}

async fn settled(h: &Hospital, id: &str, cardholder: &str) -> (String, String) {
    let (status, body) = h.settle(&Hospital::settlement(id, "w01", cardholder, &[])).await.unwrap();
    assert_eq!(status, 202, "{body}");
    let verification = body["verification_id"].as_str().unwrap().to_owned();
    wait_for("a verdict", || h.verdict(&verification))
}

#[tokio::test]
async fn a_running_box_and_bureau_tell_their_figures_and_nobody_s_name() {
    let mut o = quick_hospital(&Wishes::default());
    let h = &mut o.h;
    h.enrol().unwrap();
    h.start_agent().unwrap();
    let (agent, _) = pages(h).await;
    let silent = ("counter", "w01");
    assert_eq!(agent.value("counterproof_verdicts_total", &[("verdict", "match")]), 0.0);
    wait_for("pictures of a whole window", || {
        std::fs::metadata(h.dir.join("agent.ready"))
            .ok()?
            .modified()
            .ok()?
            .elapsed()
            .ok()
            .filter(|t| t.as_millis() > 900)
    });

    assert_eq!(settled(h, "NUMBER-4711", "PB").await.0, "match");
    assert_eq!(settled(h, "NUMBER-4712", "PA").await.0, "mismatch");
    assert_eq!(settled(h, "NUMBER-4713", "NOBODY-77").await.1, "no_reference");
    let again = Hospital::settlement("NUMBER-4714", "w99", "PB", &[]);
    assert_eq!(h.settle(&again).await.unwrap().0, 404);
    let mut state = None;
    while state != Some(1.0) {
        state = Some(pages(h).await.1.value("counterproof_bureau_events_stored_total", &[("chain", "ok")]));
    }

    let (agent, bureau) = pages(h).await;
    let verdicts = |v: &str, r: &str| {
        agent.value("counterproof_verdicts_total", &[silent, ("verdict", v), ("reason", r)])
    };
    assert_eq!((verdicts("match", ""), verdicts("mismatch", "")), (1.0, 1.0));
    assert_eq!(verdicts("not_assessed", "no_reference"), 1.0);
    let route = ("route", "/v1/settlements");
    assert_eq!(agent.value("counterproof_intake_requests_total", &[route, ("status", "202")]), 3.0);
    assert_eq!(agent.value("counterproof_intake_requests_total", &[route, ("status", "404")]), 1.0);
    let samples = |a: &Page| a.value("counterproof_camera_samples_total", &[silent]);
    assert!(samples(&agent) > 10.0);
    assert!(agent.value("counterproof_camera_bytes_total", &[silent]) > 10_000.0);
    assert_eq!(agent.value("counterproof_deliveries_total", &[("outcome", "stored")]), 1.0);
    assert_eq!(agent.value("counterproof_audit_log_writable", &[]), 1.0);
    assert!(agent.value("counterproof_audit_log_head_seq", &[]) >= 7.0);
    assert!(agent.value("process_resident_memory_bytes", &[]) > 1e6);
    assert_eq!(bureau.value("counterproof_bureau_boxes", &[("state", "active")]), 1.0);
    let references = ("route", "/v1/references/{cardholder}");
    assert_eq!(bureau.value("counterproof_bureau_requests_total", &[references, ("status", "200")]), 2.0);
    assert_eq!(bureau.value("counterproof_bureau_requests_total", &[references, ("status", "404")]), 1.0);

    // Every metric of the lists is there by now, and none names anybody.
    for (page, list) in [(&agent, agent_list()), (&bureau, bureau_list())] {
        let missing: Vec<_> = list.iter().filter(|m| !page.0.contains_key(m.name)).map(|m| m.name).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
    for page in [&h.agent_metrics, &h.bureau_metrics] {
        let text = h.metrics(page).await.unwrap();
        for name in ["NUMBER-47", "\"PA\"", "\"PB\"", "NOBODY", "w99", "box-1", "41250"] {
            assert!(!text.contains(name), "{name} stands in {page}");
        }
    }
}

#[tokio::test]
async fn no_request_adds_a_series_for_itself() {
    let mut o = quick_hospital(&Wishes::default());
    let h = &mut o.h;
    h.start_agent().unwrap();
    let ask = async |n: usize| {
        for (method, path) in [
            (Method::GET, format!("/v1/settlements/S{n}")),
            (Method::DELETE, format!("/v1/settlements/S{n}")),
            (Method::POST, format!("/v1/{n}")),
        ] {
            h.request(method, &path).bearer_auth(&h.token).send().await.unwrap();
        }
        let settle = Hospital::settlement(&format!("S{n}"), &format!("w{n}"), &format!("P{n}"), &[]);
        h.settle(&settle).await.unwrap();
        let long = h.request(Method::POST, "/v1/settlements").header(header::CONTENT_TYPE, format!("t/{n}"));
        long.bearer_auth(&h.token).body("{").send().await.unwrap();
    };
    ask(100).await;
    let first = pages(h).await.0.series();
    for n in 101..140 {
        ask(n).await;
    }
    let (agent, _) = pages(h).await;
    assert_eq!(agent.series(), first);
    assert_eq!(agent.value("counterproof_intake_requests_total", &[("status", "415")]), 40.0);
    // Two windows, twenty verdicts each, and what one program has: far below what a collector minds.
    assert!(first < 400, "{first}");
}

#[tokio::test]
async fn a_page_that_others_could_read_is_refused() {
    let found = "[metrics]\nlisten = \"127.0.0.1:0\"";
    let wishes =
        Wishes { replace: vec![(found.into(), found.replace("127.0.0.1", "0.0.0.0"))], ..Wishes::default() };
    let mut o = quick_hospital(&wishes);
    let said = o.h.start_agent().unwrap_err().to_string();
    assert!(said.contains("metrics.listen: found 0.0.0.0:0") && said.contains("loopback"), "{said}");
    let config = o.h.dir.join("bureau.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace(found, &found.replace("127.0.0.1", "[::]"))).unwrap();
    drop(o.h.bureau.take());
    let said = o.h.bureau_command(&["agents", "list"]).unwrap_err().to_string();
    assert!(said.contains("metrics.listen: found [::]:0"), "{said}");
}

fn file(path: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The metrics that a text speaks of, by the names that a query uses.
fn spoken_of(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|w| w.starts_with("counterproof_") || w.starts_with("process_"))
        .collect()
}

/// Every name by which a query can ask for the metrics of both programs.
fn names() -> BTreeSet<String> {
    let of = |m: &Metric| match m.kind {
        Kind::Histogram(_) => ["_bucket", "_sum", "_count"].map(|s| format!("{}{s}", m.name)).to_vec(),
        _ => vec![m.name.to_owned()],
    };
    agent_list().into_iter().chain(bureau_list()).flat_map(of).collect()
}

#[test]
fn names_keep_the_conventions() {
    for m in agent_list().into_iter().chain(bureau_list()) {
        let name = m.name;
        assert!(name.starts_with("counterproof_") || name.starts_with("process_"), "{name}");
        assert_eq!(m.kind == Kind::Counter, name.ends_with("_total"), "{name}");
        assert!(!matches!(m.kind, Kind::Histogram(_)) || name.ends_with("_seconds"), "{name}");
        assert!(
            !["_ms", "_mb", "_percent", "_minutes", "_hours"].iter().any(|u| name.ends_with(u)),
            "{name}"
        );
        assert!(m.help.ends_with('.') && m.help.len() > 20, "{name}: {}", m.help);
    }
}

#[test]
fn dashboard_and_rules_ask_only_for_what_there_is() {
    let names = names();
    let (dashboard, rules) = (file("config/grafana-dashboard.json"), file("config/prometheus-alerts.yml"));
    for text in [&dashboard, &rules] {
        let unknown: Vec<_> = spoken_of(text).into_iter().filter(|w| !names.contains(*w)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(spoken_of(text).len() > 10);
    }
    let board: Value = serde_json::from_str(&dashboard).unwrap();
    assert!(board["schemaVersion"].as_u64().is_some_and(|v| v >= 39));
    assert_eq!(board["templating"]["list"][0]["type"], "datasource");
    let panels = board["panels"].as_array().unwrap();
    for panel in panels.iter().filter(|p| p["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        assert!(panel["targets"].as_array().is_some_and(|t| !t.is_empty()), "{}", panel["title"]);
        assert!(panel["description"].as_str().is_some_and(|d| d.len() > 20), "{}", panel["title"]);
    }
    let ids: BTreeSet<u64> = panels.iter().filter_map(|p| p["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
}

#[test]
fn operators_find_every_metric_and_every_alarm_in_their_page() {
    let page = file("docs/operating.md");
    for m in every_list() {
        assert!(page.contains(&format!("`{}`", m.name)), "{} is not documented", m.name);
    }
    let known: BTreeSet<&str> = every_list().map(|m| m.name).collect();
    let gone: Vec<_> = spoken_of(&page).into_iter().filter(|w| !known.contains(w)).collect();
    assert!(gone.is_empty(), "documented, but not there: {gone:?}");
    let rules = file("config/prometheus-alerts.yml");
    let alarms: Vec<&str> = rules.lines().filter_map(|l| l.trim().strip_prefix("- alert: ")).collect();
    assert!(alarms.len() >= 15, "{alarms:?}");
    for alarm in alarms {
        assert!(page.contains(&format!("`{alarm}`")), "{alarm} is not explained");
    }
}

/// What the programs say at `error` and `warn` is what somebody is woken for.
#[test]
fn operators_find_every_log_message_in_their_page() {
    let page = file("docs/operating.md");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut messages = BTreeSet::new();
    for dir in ["src/edge", "src/edge/aim", "src/bureau", "src/bureau/store", "src/bureau/console", "src"] {
        for entry in std::fs::read_dir(root.join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(path).unwrap();
                let calls = text.split("error!(").skip(1).chain(text.split("warn!(").skip(1));
                messages.extend(calls.filter_map(message));
            }
        }
    }
    assert!(messages.len() >= 25, "{messages:?}");
    let missing: Vec<_> = messages.iter().filter(|m| !page.contains(m.as_str())).collect();
    assert!(missing.is_empty(), "not explained: {missing:#?}");
}

/// The text of a log call: its last string, the one that follows the fields.
fn message(call: &str) -> Option<String> {
    let call = call.split(");").next()?;
    let text = call.rsplit('"').nth(1)?;
    (text.contains(' ') && !text.contains('{')).then(|| text.to_owned())
}
