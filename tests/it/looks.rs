//! That every look at a person's data is in the record of acts before it is shown: each
//! page of the console's table of routes shows nobody's, or writes the look down, and
//! shows nothing if that cannot be done.

use std::collections::BTreeSet;

use counterproof::bureau::console;
use counterproof::http::request::Routes;
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};

use crate::support::bureau::{Bureau, Chain};
use crate::support::person::{Person, between};
use crate::support::worker::Worker;

const NUMBER: &str = "P0001";
const EVERY_ROLE: [&str; 4] = ["reviewer", "supervisor", "privacy_officer", "administrator"];

/// What shows nobody's data: ways in, counts, figures without names, boxes, policies.
const ABOUT_NOBODY: [&str; 32] = [
    "/",
    "/sign-in",
    "/sign-in/oidc",
    "/sign-in/oidc/callback",
    "/language/{tag}",
    "/account",
    "/accounts",
    "/accounts/{name}",
    "/alerts/next",
    "/alerts/fresh",
    "/feed",
    "/blind",
    "/agents.json",
    "/statistics",
    "/statistics.csv",
    // Ranks without numbers; whoever opens one is written down.
    "/abnormal",
    // A form; what came of the last one is told to its sender (tests/it/check_ins.rs).
    "/check-in",
    "/boxes",
    "/boxes/{name}",
    "/rollouts",
    "/privacy",
    "/privacy/boxes/{name}",
    // Numbers, states, days and sums; forms to fill in.
    "/ledger",
    "/ledger.csv",
    "/yearly",
    "/yearly.csv",
    "/cases",
    "/transfers",
    "/transfers/in",
    "/transfers/in/new",
    "/reports",
    "/reports/new",
];

fn acts(bureau: &Bureau) -> Vec<Value> {
    let output = bureau.command(&["acts", "--json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Pages with a person's data: the address, what the record calls the look, and about what.
async fn looks(bureau: &Bureau, person: &Person) -> Vec<(String, &'static str, String)> {
    let boxed = bureau.add_box("box-1");
    let mut chain = Chain::new("box-1");
    let (id, bytes) = chain.mismatch();
    assert_eq!(boxed.alert(bureau, &bytes).await, 201);
    let (confirmed, bytes) = chain.mismatch();
    assert_eq!(boxed.alert(bureau, &bytes).await, 201);
    let cases = cases(bureau, confirmed).await;
    let alert = format!("/alerts/{id}");
    let (status, letter, _) =
        person.send(&alert, &format!("{alert}/letters"), &[("kind", "recording")]).await;
    assert_eq!(status, 303);
    let request = [("cardholder", NUMBER), ("kind", "access"), ("received", "2026-01-02"), ("asked", "all")];
    let (status, request, said) = person.send("/rights", "/rights", &request).await;
    assert_eq!(status, 303, "{said}");
    let file = bureau.dir.path().join("settled.csv");
    let head = "month,cardholder,hospital,medical_type,settlements,amount_fen";
    std::fs::write(&file, format!("{head}\n2026-01,{NUMBER},H31010000001,14,3,90000\n")).unwrap();
    let import = bureau.command(&["figures", "import", "--by", "li"]).arg(&file).output().unwrap();
    assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
    let (_, found, _) = person.send("/alerts", "/alerts/find", &[("number", NUMBER)]).await;
    let mark = between(&found, "cardholder=", "&").to_owned();
    let list = || "list of alerts".to_owned();
    let mut looks = vec![
        ("/alerts".into(), "look at alerts", list()),
        (found, "look at alerts", mark.clone()),
        ("/alerts/rows?since=0".into(), "look at alerts", list()),
        (format!("/alerts/row?id={id}"), "look at alerts", id.clone()),
        ("/alerts.json".into(), "look at alerts", list()),
        (alert.clone(), "look", id.clone()),
        (letter, "letter printed", id.clone()),
        (format!("{alert}/bundle"), "bundle", id),
        (format!("/abnormal/{mark}"), "look at a cardholder's settlements", mark.clone()),
        ("/rights".into(), "rights look", "list of requests".into()),
        (request.clone(), "rights look", mark.clone()),
        (format!("{request}/receipt"), "rights receipt", mark),
        ("/check-ins".into(), "look at check-ins", "list of check-ins".into()),
        ("/acts?about=nothing".into(), "see acts", "acts".into()),
        ("/acts.csv".into(), "export acts", "acts".into()),
    ];
    looks.extend(cases);
    looks
}

/// The same of cases: one that was transferred, what came in, and a confirmed alert that
/// is in none.
async fn cases(bureau: &Bureau, confirmed: String) -> Vec<(String, &'static str, String)> {
    let wang = Worker::new(bureau, "wang", &["reviewer"]).await;
    let wu = Worker::new(bureau, "wu", &["supervisor"]).await;
    let number = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    wang.decide(&format!("/alerts/{confirmed}"), "0", "impersonation").await;
    let (report, incoming, case) = (wang.report().await, wang.incoming().await, wang.case().await);
    let transfer = wang.propose(&case).await;
    wu.done(&format!("{transfer}/approve"), &[]).await;
    let about = number(&case);
    vec![
        (format!("/cases/new?alert={confirmed}"), "case look", confirmed),
        (case, "case look", about.clone()),
        (format!("{transfer}/letter"), "transfer print", about.clone()),
        (transfer, "transfer look", about),
        (format!("{incoming}/receipt"), "incoming print", number(&incoming)),
        (incoming.clone(), "incoming look", number(&incoming)),
        (report.clone(), "report look", number(&report)),
        ("/cases/holds".into(), "holds look", "list of holds".into()),
    ]
}

#[tokio::test]
async fn every_look_at_a_person_is_written_down_or_not_shown() {
    let bureau = Bureau::start("");
    let person = Person::new(&bureau, "li", &EVERY_ROLE).await;
    let looks = looks(&bureau, &person).await;
    let routes = Routes(Vec::leak(console::places()));
    let looked_at: BTreeSet<&str> =
        looks.iter().map(|(path, ..)| routes.of(path.split('?').next().unwrap())).collect();
    let known = looked_at.iter().chain(&ABOUT_NOBODY).copied().collect::<BTreeSet<_>>();
    assert_eq!(known, console::places().into_iter().collect(), "a page is in neither list, or in one of old");

    for (path, what, about) in &looks {
        let before = acts(&bureau).len();
        assert_eq!(person.get(path).await.0, 200, "{path}");
        let now = acts(&bureau);
        let newest = &now[0];
        assert_eq!(now.len(), before + 1, "{path}");
        assert_eq!(
            (&newest["by"], &newest["what"], &newest["about"]),
            (&"li".into(), &(*what).into(), &about.as_str().into()),
            "{path}"
        );
    }
    let told = serde_json::to_string(&acts(&bureau)).unwrap();
    assert!(!told.contains(NUMBER) && !bureau.log().contains(NUMBER), "{told}");

    // A record that cannot be written: nothing is shown.
    let store = format!("sqlite://{}", bureau.dir.path().join("bureau.db").display());
    let mut store = SqliteConnection::connect(&store).await.unwrap();
    sqlx::query("ALTER TABLE acts RENAME TO gone").execute(&mut store).await.unwrap();
    for (path, ..) in &looks {
        let (status, shown) = person.get(path).await;
        assert!(status == 503 && !shown.contains(NUMBER), "{path}: {status} {shown}");
    }
}
