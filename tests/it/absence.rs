//! A session that was billed for somebody who was not seen at the entrance, as the bureau's
//! people meet it: on the list, on its page, in letters, in a case, in the statistics.

use serde_json::Value;

use crate::support::bureau::{Bureau, Chain};
use crate::support::person::{Person, between};
use crate::support::worker::Worker;

/// A bureau with a mismatch and an absence of one box: their ids.
async fn bureau_with_both() -> (Bureau, String, String) {
    let bureau = Bureau::start("[cases]\nbureau = '某市医疗保障局'\nletter_prefix = '某医保移字'\n");
    let boxed = bureau.add_box("box-1");
    let mut chain = Chain::new("box-1");
    let ((mismatch, first), (absence, second)) = (chain.mismatch(), chain.absence());
    for bytes in [&first, &second] {
        assert_eq!(boxed.alert(&bureau, bytes).await, 201);
    }
    (bureau, mismatch, absence)
}

fn ids(page: &str) -> Vec<&str> {
    page.split("data-alert=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn an_absence_stands_beside_mismatches_and_is_told_from_them() {
    let (bureau, mismatch, absence) = bureau_with_both().await;
    let li = Person::new(&bureau, "li", &["reviewer"]).await;
    let list = li.page("/alerts").await;
    assert_eq!(ids(&list).len(), 2);
    let line = |id: &str| between(&list, &format!("data-alert=\"{id}\""), "</tr>");
    assert!(line(&absence).contains("claim absent\">absence<") && line(&absence).contains("no score"));
    assert!(line(&mismatch).contains("claim mismatch\">mismatch<") && line(&mismatch).contains("low"));
    for (asked, listed) in [
        ("claim=absent", vec![absence.as_str()]),
        ("claim=mismatch", vec![mismatch.as_str()]),
        ("claim=absent&score=low", vec![]),
        ("score=low", vec![mismatch.as_str()]),
        ("claim=absent&counter=d01&state=all&order=newest", vec![absence.as_str()]),
    ] {
        let page = li.page(&format!("/alerts?{asked}")).await;
        assert_eq!(ids(&page), listed, "{asked}");
    }
    assert_eq!(li.get("/alerts?claim=nothing").await.0, 422);
    let fresh: Value = li.ask("/alerts/fresh?since=0&claim=absent").await.json().await.unwrap();
    assert_eq!(fresh["n"], 1);
    let json: Value = li.ask("/alerts.json").await.json().await.unwrap();
    let told: Vec<_> =
        json["alerts"].as_array().unwrap().iter().map(|a| (&a["id"], a["claim"].as_str())).collect();
    assert_eq!(told, [(&Value::from(absence), Some("absent")), (&Value::from(mismatch), Some("mismatch"))]);
}

#[tokio::test]
async fn an_absence_is_judged_asked_about_and_handed_on_in_words_of_its_own() {
    let (bureau, mismatch, absence) = bureau_with_both().await;
    let li = Worker::new(&bureau, "li", &["reviewer"]).await;
    let alert = format!("/alerts/{absence}");
    let english = li.person.page(&format!("{alert}?lang=en")).await;
    let chinese = li.get(&alert).await.1;
    let reader = Person::new(&bureau, "sun", &["reviewer"]).await;
    let english = if english.contains("What was observed") { english } else { reader.page(&alert).await };
    for (page, said) in [
        (&english, ["absence</span>", "observed for 97 % of the shift", "Of the 40 people", "39 were seen"]),
        (&english, ["212 faces passed", "3 of them", "665 times likelier", "another door"]),
        (&english, ["2026-11-22 07:30", "<svg", "39 / 40", "These are the bytes that the box signed"]),
        (&chinese, ["未到场</span>", "97 % 的时间内", "应到 40 人", "见到 39 人"]),
        (&chinese, ["轮椅", "别的门", "未治疗而收费（虚开项目）", "P0002"]),
    ] {
        for text in said {
            assert!(page.contains(text), "{text}: {page}");
        }
    }
    // What can be found of it, and nothing else; nobody is treated by proxy.
    let offered = |page: &str| {
        let radios = page.split("name=\"decision\" value=\"").skip(1);
        radios.map(|r| r.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(offered(&chinese), ["false_alert", "not_rendered", "not_established"]);
    assert!(!chinese.contains("id=\"proxy\""));
    let other = li.get(&format!("/alerts/{mismatch}")).await.1;
    assert_eq!(offered(&other), ["false_alert", "undeclared_proxy", "impersonation", "not_established"]);
    let decision = |word: &'static str| [("seen", "0"), ("decision", word), ("note", "n")];
    for word in ["impersonation", "undeclared_proxy"] {
        let (status, said) = li.post(&format!("{alert}/decision"), &decision(word)).await;
        assert!(status == 422 && said.contains("不适用于此预警"), "{said}");
    }
    let to = format!("/alerts/{mismatch}/decision");
    assert_eq!(li.post(&to, &decision("not_rendered")).await.0, 422);

    letters(&li, &alert).await;

    // Confirmed, it becomes a case about the hospital that billed.
    li.decide(&alert, "0", "not_rendered").await;
    assert!(li.get("/alerts?state=decided").await.1.contains("未治疗而收费"));
    let case = li.case_of(&alert).await;
    let (_, page) = li.get(&case).await;
    assert!(page.contains("H31010000001未治疗而收费") && !page.contains("P0002"), "{page}");
    let transfer = li.propose(&case).await;
    let wu = Worker::new(&bureau, "wu", &["supervisor"]).await;
    wu.done(&format!("{transfer}/approve"), &[]).await;
    for (path, said) in [("letter", "治疗室出入口核验"), ("letter?read=en", "entrance of a treatment room")]
    {
        let (_, letter) = li.get(&format!("{transfer}/{path}")).await;
        assert!(letter.contains(said) && !letter.contains("settlement window"), "{letter}");
    }
    // And counts apart from mismatches.
    let (_, csv) = li.get("/statistics.csv?from=2026-01-01&to=2030-01-01").await;
    let mut lines = csv.lines();
    let (head, row) = (lines.next().unwrap(), lines.next().unwrap());
    let of = |name: &str| {
        let at = head.split(',').position(|h| h.trim_start_matches('\u{feff}') == name).unwrap();
        row.split(',').nth(at).unwrap().to_owned()
    };
    assert_eq!((of("not_rendered"), of("alerts"), of("open")), ("1".into(), "2".into(), "1".into()), "{csv}");
    let (_, statistics) = li.get("/statistics?from=2026-01-01&to=2030-01-01").await;
    assert!(statistics.contains("误报占已判定之比 · 未到场"), "{statistics}");
}

/// Each letter, in both languages on one page.
async fn letters(li: &Worker, alert: &str) {
    for (kind, chinese, english) in [
        ("recording", "自 2026-11-22 07:28:58 至 2026-11-22 12:01:02", "for the whole shift"),
        ("inquiry", "您当日是否在该院接受治疗", "Were you treated there on that day?"),
        ("statement", "起止时间、机位床号", "at which machine and bed"),
        ("documents", "机器运行记录", "log of the machine"),
    ] {
        let letter = li.done(&format!("{alert}/letters"), &[("kind", kind), ("asked", "")]).await;
        let (_, page) = li.get(&letter).await;
        assert!(page.contains(chinese) && page.contains(english), "{kind}: {page}");
        assert!(!page.contains("代办") && !page.contains("acted for you"), "{kind}: {page}");
    }
}
