//! The page of one alert over the real program: what it says, what people do with it,
//! and that a proxy who was declared there is a match at the counter.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::support::bureau::{Bureau, Chain, PASSWORD};
use crate::support::hospital::{Hospital, Wishes};
use crate::support::person::{Person, between};
use crate::support::{quick_hospital, wait_for};
use counterproof::crypto::Sha256;
use counterproof::protocol::SIGNATURE_HEADER;

/// A bureau with one alert under the shipped calibration; the alert's id.
async fn bureau_with_alert() -> (Bureau, String) {
    let bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/calibrations/sface-2021dec.toml");
    let calibration = std::fs::read(path).unwrap();
    let mut chain = Chain::new("box-1");
    chain.settings[2] = Sha256::of(&calibration);
    let (id, bytes) = chain.mismatch();
    assert_eq!(boxed.alert(&bureau, &bytes).await, 201);
    let url = format!("/v1/documents/{}?kind=calibration", chain.settings[2]);
    let put = boxed.client.put(bureau.url(&url));
    let put = put.header(SIGNATURE_HEADER, boxed.key.sign(&calibration).to_string());
    let put = put.body(calibration).send().await.unwrap();
    assert!(put.status().is_success(), "{}", put.text().await.unwrap());
    (bureau, id)
}

#[tokio::test]
async fn an_alert_is_told_in_words_decided_and_decided_blind_once_more() {
    let (bureau, id) = bureau_with_alert().await;
    let li = Person::new(&bureau, "li", &["reviewer"]).await;
    let path = format!("/alerts/{id}");
    let open = li.page(&path).await;
    for said in [
        "seen clearly 5 times over 3.2 s",
        "Similarity 0.04",
        "In the 1502 settlements",
        "none was below 0.40",
        "no more than 3.9 %",
        "LFW people",
        "P0001",
        "412.50 yuan",
        "<svg",
        "These are the bytes that the box signed",
    ] {
        assert!(open.contains(said), "{said}: {open}");
    }
    let radios = open.split("type=\"radio\"").skip(1).map(|rest| rest.split('>').next().unwrap());
    assert!(radios.clone().count() >= 8 && radios.clone().all(|r| !r.contains("checked")), "preselected");
    let chinese = li.ask(&format!("{path}?lang=zh-CN")).await.text().await.unwrap();
    assert!(chinese.contains("没有一笔低于 0.40") && chinese.contains("本人在场（误报）"));
    // Who only reads rights does not read alerts; the proof is not for a reviewer.
    let officer = Person::new(&bureau, "officer", &["privacy_officer"]).await;
    assert_eq!(officer.ask(&path).await.status().as_u16(), 403);
    assert_eq!(li.ask(&format!("{path}/bundle")).await.status().as_u16(), 403);
    let bundle = officer.ask(&format!("{path}/bundle")).await;
    assert_eq!(bundle.headers()["content-type"], "application/json");
    assert!(bundle.text().await.unwrap().contains("counterproof.bundle"));

    // A letter: due 30 days after the settlement, printed in both languages.
    let kind = [("kind", "recording"), ("asked", "camera 7")];
    assert_eq!(li.send_from(&open, &format!("{path}/letters"), &kind).await.0, 303);
    let page = li.page(&path).await;
    assert!(page.contains("due 2026-12-22") && page.contains("camera 7"), "{page}");
    let letter = between(&page, &format!("href=\"{path}/letters/"), "\"");
    let printed = li.page(&format!("{path}/letters/{letter}")).await;
    assert!(printed.contains("关于保全监控录像的函") && printed.contains("Request to preserve"), "{printed}");
    let answer = [("state", "answered"), ("answer", "the daughter came")];
    assert_eq!(li.send_from(&page, &format!("{path}/letters/{letter}"), &answer).await.0, 303);

    // A decision: not without a choice or a reason; and not on a page that is out of date.
    let decision = format!("{path}/decision");
    assert_eq!(li.send_from(&page, &decision, &[("seen", "0"), ("note", "n")]).await.0, 422);
    let full = |word: &'static str| [("seen", "0"), ("decision", word), ("note", "the recording shows her")];
    assert_eq!(li.send_from(&page, &decision, &full("undeclared_proxy")[..2]).await.0, 422);
    assert_eq!(li.send_from(&page, &decision, &full("undeclared_proxy")).await.0, 303);
    let boss = Person::new(&bureau, "boss", &["supervisor", "reviewer"]).await;
    let (status, _, late) = boss.send(&path, &decision, &full("false_alert")).await;
    assert!(
        status == 409 && late.contains("out of date") && late.contains("Decided: undeclared proxy"),
        "{late}"
    );

    // Wu decides it once more and cannot know.
    let wu = Person::new(&bureau, "wu", &["reviewer"]).await;
    let desk = boss.page("/blind").await;
    assert!(desk.contains("0 pairs so far"), "{desk}");
    assert_eq!(boss.send_from(&desk, "/blind", &[("reviewer", "wu"), ("count", "3")]).await.0, 303);
    let blind = wu.page(&path).await;
    for sign in ["undeclared proxy</span>", "Decided:", "li</p>", "Open again"] {
        assert!(!blind.contains(sign), "{sign}: {blind}");
    }
    assert!(
        blind.contains("quiet\">open</span>") && blind.contains("Nobody has done anything yet"),
        "{blind}"
    );
    let list = wu.page("/alerts").await;
    assert!(list.contains(&path) && !list.contains("undeclared proxy"), "{list}");
    let decided = wu.page("/alerts?state=decided").await;
    assert!(!decided.contains(&path), "{decided}");
    let next = wu.ask("/alerts/next").await;
    assert_eq!(next.headers()["location"], path.as_str());
    assert_eq!(wu.send_from(&blind, &decision, &full("false_alert")).await.0, 303);
    let decided = boss.page(&path).await;
    assert!(decided.contains("Decided: undeclared proxy") && !decided.contains("Decided: the cardholder"));
    let desk = boss.page("/blind").await;
    assert!(desk.contains("1 pairs so far") && desk.contains(&path) && !desk.contains("wu"), "{desk}");

    // The other side speaks: it is open again.
    let appeal = [("seen", "1"), ("person", "P. Li"), ("on", "2026-11-20"), ("note", "it was me")];
    assert_eq!(li.send(&path, &format!("{path}/appeal"), &appeal).await.0, 303);
    let again = li.page(&path).await;
    assert!(again.contains("P. Li, 2026-11-20") && again.contains("quiet\">open</span>"), "{again}");
    sealed_and_recorded(&bureau, &id);
}

/// A line of a list, by the alert's id.
fn line<'t>(page: &'t str, id: &str) -> &'t str {
    between(page, &format!("data-alert=\"{id}\""), "</tr>")
}

#[tokio::test]
async fn a_blind_check_is_open_wherever_its_reviewer_looks() {
    let bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    let mut chain = Chain::new("box-1");
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (id, bytes) = chain.mismatch();
        assert_eq!(boxed.alert(&bureau, &bytes).await, 201);
        ids.push(id);
    }
    let [blind, other] = &ids[..] else { unreachable!() };
    let li = Person::new(&bureau, "li", &["reviewer"]).await;
    let page = format!("/alerts/{blind}");
    let decided = [("seen", "0"), ("decision", "undeclared_proxy"), ("note", "her daughter")];
    assert_eq!(li.send(&page, &format!("{page}/decision"), &decided).await.0, 303);
    let boss = Person::new(&bureau, "boss", &["supervisor"]).await;
    let wu = Person::new(&bureau, "wu", &["reviewer"]).await;
    assert_eq!(boss.send("/blind", "/blind", &[("reviewer", "wu"), ("count", "1")]).await.0, 303);

    // To li it is decided wherever it stands, to wu it is open there.
    let counts = async |of: &Person, asked: &str| {
        let page = of.page(&format!("/alerts?{asked}")).await;
        let tabs = page.split("<span class=\"count\">").skip(1);
        tabs.map(|t| t.split('<').next().unwrap().parse::<u32>().unwrap()).collect::<Vec<_>>()
    };
    // Open, decided, withdrawn, all; whatever else is asked for.
    for asked in ["", "assignee=nobody", "state=decided", "hospital=H31010000001&counter=w03", "score=low"] {
        assert_eq!(counts(&li, asked).await, [1, 1, 0, 2], "{asked}");
        assert_eq!(counts(&wu, asked).await, [2, 0, 0, 2], "{asked}");
    }
    for path in [
        "/alerts".to_owned(),
        "/alerts?state=all&order=newest".to_owned(),
        "/alerts/rows?since=0".to_owned(),
        format!("/alerts/row?id={blind}"),
    ] {
        let page = wu.page(&path).await;
        let line = line(&page, blind);
        assert!(
            line.contains("open") && !line.contains("decided") && !line.contains("proxy"),
            "{path}: {line}"
        );
    }
    assert!(line(&li.page("/alerts?state=decided").await, blind).contains("undeclared proxy"));
    for path in ["/alerts?state=decided", "/alerts/rows?since=0&state=decided"] {
        assert!(!wu.page(path).await.contains(blind.as_str()), "{path}");
    }
    let fresh = async |of: &Person, asked: &str| {
        let said = of.page(&format!("/alerts/fresh?since=0{asked}")).await;
        serde_json::from_str::<serde_json::Value>(&said).unwrap()["n"].as_i64().unwrap()
    };
    for (asked, to_li, to_wu) in [("", 1, 2), ("&state=decided", 1, 0), ("&state=all", 2, 2)] {
        assert_eq!((fresh(&li, asked).await, fresh(&wu, asked).await), (to_li, to_wu), "{asked}");
    }
    // Machines are told of no decision at all: what li reads is what wu reads.
    let json = wu.page("/alerts.json").await;
    assert!(json == li.page("/alerts.json").await && !json.contains("decided"), "{json}");
    // Beside another alert of the same cardholder.
    let beside = async |of: &Person| {
        let page = of.page(&format!("/alerts/{other}")).await;
        between(&page, &format!("<a href=\"/alerts/{blind}\""), "</tr>").to_owned()
    };
    assert!(beside(&li).await.contains("undeclared proxy") && beside(&wu).await.contains(">open<"));
    // And beside the cardholder's settlements.
    let month = &jiff::Timestamp::now().to_string()[..7];
    let file = bureau.dir.path().join("settled.csv");
    let head = "month,cardholder,hospital,medical_type,settlements,amount_fen";
    std::fs::write(&file, format!("{head}\n{month},P0001,H31010000001,14,3,90000\n")).unwrap();
    let import = bureau.command(&["figures", "import"]).args(["--by", "li"]).arg(&file).output().unwrap();
    assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
    let (_, found, _) = wu.send("/alerts", "/alerts/find", &[("number", "P0001")]).await;
    assert!(line(&wu.page(&found).await, blind).contains("open"));
    let mark = between(&found, "cardholder=", "&");
    let told = async |of: &Person| {
        let page = of.page(&format!("/abnormal/{mark}")).await;
        between(&page, &format!("<a href=\"/alerts/{blind}\""), "</li>").to_owned()
    };
    assert_ne!(told(&li).await, told(&wu).await);
    assert!(!told(&wu).await.contains("proxy"), "{}", told(&wu).await);
}

/// Nothing that was said stands in the clear; every look and step is in the record.
fn sealed_and_recorded(bureau: &Bureau, id: &str) {
    let mut held = Vec::new();
    for file in ["bureau.db", "bureau.db-wal"] {
        held.extend(std::fs::read(bureau.dir.path().join(file)).unwrap_or_default());
    }
    for word in ["the recording shows her", "the daughter came", "camera 7", "it was me", "P. Li"] {
        assert!(!held.windows(word.len()).any(|w| w == word.as_bytes()), "{word}");
    }
    let acts = bureau.command(&["acts"]).output().unwrap();
    let acts = String::from_utf8(acts.stdout).unwrap();
    for act in ["look", "decided", "appealed", "letter drafted", "letter printed", "bundle", "blind check"] {
        let line = acts.lines().find(|l| l.contains(act)).unwrap_or_else(|| panic!("{act}: {acts}"));
        assert!(act == "blind check" || line.contains(id), "{line}");
    }
    assert!(!acts.contains("P0001"), "{acts}");
}

async fn verdict(h: &Hospital, id: &str, cardholder: &str) -> (String, String) {
    let (status, body) = h.settle(&Hospital::settlement(id, "w01", cardholder, &[])).await.unwrap();
    assert_eq!(status, 202, "{body}");
    let verification = body["verification_id"].as_str().unwrap().to_owned();
    wait_for("a verdict", || h.verdict(&verification))
}

#[tokio::test]
async fn a_proxy_who_was_declared_at_the_bureau_is_a_match_the_next_time() {
    let mut o = quick_hospital(&Wishes::default());
    let h = &mut o.h;
    h.enrol().unwrap();
    h.start_agent().unwrap();
    // The drawn cameras play at 15/s; a window needs its past in the ring.
    std::thread::park_timeout(Duration::from_millis(900));
    // PB stands at the counter with the card of PA.
    assert_eq!(verdict(h, "S1", "PA").await.0, "mismatch");
    let deadline = Instant::now() + Duration::from_secs(20);
    let alert = loop {
        if let Some(alert) = h.alerts().await.unwrap().get("S1") {
            break alert["id"].as_str().unwrap().to_owned();
        }
        assert!(Instant::now() < deadline, "waited 20 s for the alert of S1");
        tokio::task::yield_now().await;
    };
    let file = h.dir.join("password");
    std::fs::write(&file, PASSWORD).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let path = file.to_string_lossy();
    let add = ["accounts", "add", "everything", "--role", "reviewer", "--password-file", &path];
    h.bureau_command(&add).unwrap();
    let person = Person::signed_in(h.console.clone(), "everything").await;
    let page = format!("/alerts/{alert}");
    let declare = |proxy: &'static str| {
        [
            ("proxy", proxy),
            ("relation", "daughter"),
            ("cardholder_consent", "signed at the desk"),
            ("proxy_consent", "signed at the desk"),
            ("consented_on", "2026-01-02"),
            ("days", "30"),
        ]
    };
    let to = format!("{page}/proxies");
    let (status, _, said) = person.send(&page, &to, &declare("PB")).await;
    assert_eq!(status, 303, "{said}");
    assert_eq!(verdict(h, "S2", "PA").await.0, "match");
    // One who is not enrolled cannot be compared: a doubt, and no accusation.
    assert_eq!(person.send(&page, &to, &declare("PX")).await.0, 303);
    assert_eq!(verdict(h, "S3", "PA").await, ("not_assessed".into(), "proxy_unknown".into()));
}
