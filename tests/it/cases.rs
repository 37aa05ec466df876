//! Cases, transfers and reports at the console of the real program. How they look and
//! print: `browser`.

use crate::support::bureau::{Bureau, Chain};
use crate::support::worker::Worker;

const SETTINGS: &str = "[cases]\nbureau = '某市医疗保障局'\nletter_prefix = '某医保移字'\n\
                        contact = '基金监管科 000-0000 0000'\n";

#[tokio::test]
async fn a_transfer_goes_out_by_two_people_and_comes_back() {
    let bureau = Bureau::start(SETTINGS);
    let li = Worker::new(&bureau, "li", &["reviewer"]).await;
    let wu = Worker::new(&bureau, "wu", &["supervisor"]).await;
    let case = li.case().await;
    let proposed = wu.propose(&case).await;
    let (status, _) = li.post(&format!("{proposed}/approve"), &[]).await;
    assert_eq!(status, 403, "a reviewer approved");
    let (status, page) = wu.post(&format!("{proposed}/approve"), &[]).await;
    assert!(status == 409, "who proposed it approved it: {page}");
    assert_eq!(li.get(&format!("{proposed}/letter")).await.0, 409);
    wu.done(&format!("{proposed}/refuse"), &[("text", "请补充询问笔录")]).await;
    let transfer = li.propose(&case).await;
    wu.done(&format!("{transfer}/approve"), &[]).await;

    let (_, letter) = li.get(&format!("{transfer}/letter")).await;
    assert!(letter.contains("某医保移字〔") && letter.contains("〕1号"), "{letter}");
    let (_, reading) = li.get(&format!("{transfer}/letter?read=en")).await;
    assert!(reading.contains("Please return the receipt") && reading.contains("译文仅供阅读"), "{reading}");

    let (_, page) = li.get(&transfer).await;
    let today = page.split_once("type=\"date\" value=\"").unwrap().1.get(..10).unwrap().to_owned();
    let on = ("on", today.as_str());
    let before = [("on", "2020-01-01"), ("text", "")];
    assert_eq!(li.post(&format!("{transfer}/received"), &before).await.0, 422);
    li.done(&format!("{transfer}/received"), &[on, ("text", "材料齐全")]).await;
    let result = [on, ("outcome", "taken_up"), ("text", "已立案侦查")];
    li.done(&format!("{transfer}/concluded"), &result).await;
    assert_eq!(li.post(&format!("{case}/conclude"), &[("text", "已立案")]).await.0, 403);
    wu.done(&format!("{case}/conclude"), &[("text", "公安机关已立案侦查")]).await;
    let (_, page) = li.get(&case).await;
    assert!(page.contains("公安机关已立案侦查") && page.contains("已办结"), "{page}");
    let acts = bureau.command(&["acts"]).output().unwrap();
    let acts = String::from_utf8(acts.stdout).unwrap();
    for act in ["transfer approve", "transfer print", "case conclude", "report register"] {
        assert!(acts.contains(act), "{act}: {acts}");
    }
    assert!(!acts.contains("张三") && !bureau.log().contains("张三"));
}

#[tokio::test]
async fn the_ledger_and_the_yearly_report_are_listed_and_exported() {
    let bureau = Bureau::start(SETTINGS);
    let li = Worker::new(&bureau, "li", &["reviewer"]).await;
    let case = li.case().await;
    let number = case.rsplit('/').next().unwrap();
    let today = li.today().await;
    let incoming = li.incoming().await;
    let (status, receipt) = li.get(&format!("{incoming}/receipt")).await;
    assert!(
        status == 200 && receipt.contains("某卫移〔2026〕5号") && receipt.contains("（回执）"),
        "{receipt}"
    );

    let (_, ledger) = li.get("/ledger?show=all").await;
    assert!(ledger.contains(number) && ledger.contains(&incoming), "{ledger}");
    // Without a table of holidays that is said, beside the deadline and above all.
    assert!(ledger.contains("未按") || ledger.contains("仅按周末推算"), "{ledger}");
    assert!(!ledger.contains("张三") && !ledger.contains("冒名就诊"));
    let (_, only) = li.get("/ledger?matter=case&show=running").await;
    assert!(only.contains(number) && !only.contains(&incoming));
    let (_, csv) = li.get("/ledger.csv?show=all").await;
    assert!(csv.starts_with('\u{feff}') && csv.contains(&format!("案件,{number},")), "{csv}");
    let (_, csv) = li.get(&format!("/yearly.csv?year={}", today.get(..4).unwrap())).await;
    assert!(csv.contains("举报（按渠道）,电话,1,,0"), "{csv}");
}

#[tokio::test]
async fn pages_of_cases_are_for_those_who_work_on_them() {
    let bureau = Bureau::start(SETTINGS);
    let li = Worker::new(&bureau, "li", &["reviewer"]).await;
    let officer = Worker::new(&bureau, "sun", &["privacy_officer"]).await;
    let case = li.case().await;
    for path in [case.as_str(), "/ledger", "/ledger.csv", "/yearly", "/reports/new"] {
        assert_eq!(officer.get(path).await.0, 403, "{path}");
    }
    let (status, holds) = officer.get("/cases/holds").await;
    assert!(status == 200 && holds.contains(case.rsplit('/').next().unwrap()), "{holds}");
    assert_eq!(li.get("/cases/holds").await.0, 403);
    assert_eq!(li.get("/cases/C2020-0001").await.0, 404);
    assert_eq!(li.get("/cases/nonsense").await.0, 404);
    assert_eq!(li.get("/cases/new").await.0, 409);
    let (status, page) = li.post(&format!("{case}/facts"), &[("text", " ")]).await;
    assert!(status == 422 && page.contains("8000"), "{page}");
}

#[tokio::test]
async fn a_confirmed_alert_leads_to_its_case_and_its_letters_name_bureau_and_hospital() {
    let bureau = Bureau::start(SETTINGS);
    let boxed = bureau.add_box("box-1");
    let (id, bytes) = Chain::new("box-1").mismatch();
    assert_eq!(boxed.alert(&bureau, &bytes).await, 201);
    let li = Worker::new(&bureau, "li", &["reviewer"]).await;
    let wu = Worker::new(&bureau, "wu", &["supervisor"]).await;
    let sun = Worker::new(&bureau, "sun", &["reviewer"]).await;
    let alert = format!("/alerts/{id}");
    let new = format!("/cases/new?alert={id}");

    // Letters: with the hospital's code alone, until its name is known.
    let letter = li.done(&format!("{alert}/letters"), &[("kind", "recording"), ("asked", "")]).await;
    let (_, page) = li.get(&letter).await;
    assert!(
        page.contains("编码为 H31010000001 的定点医药机构：") && page.contains("某市医疗保障局"),
        "{page}"
    );
    let names = bureau.dir.path().join("hospitals.csv");
    std::fs::write(&names, "code,name,district\nH31010000001,某市第一人民医院,某区\n").unwrap();
    let imported = bureau.command(&["hospitals", "import", "--by", "wu"]).arg(&names).output().unwrap();
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let (_, page) = li.get(&letter).await;
    assert!(page.contains("某市第一人民医院（编码 H31010000001）："), "{page}");

    // An open alert is no case, and one that is decided as false neither.
    assert!(!li.get(&alert).await.1.contains(&new));
    assert_eq!(li.get(&new).await.0, 409);
    li.decide(&alert, "0", "false_alert").await;
    assert!(!li.get(&alert).await.1.contains(&new));
    li.done(&format!("{alert}/reopening"), &[("seen", "1"), ("note", "新证据")]).await;
    li.decide(&alert, "2", "impersonation").await;
    assert!(li.get(&alert).await.1.contains(&new));

    // Who decides it blind sees an open alert, which is none for a case.
    wu.done("/blind", &[("reviewer", "sun"), ("count", "1")]).await;
    assert!(!sun.get(&alert).await.1.contains(&new));
    assert_eq!(sun.get(&new).await.0, 409);
    let form = [("origin", "alert"), ("id", id.as_str()), ("facts", "")];
    assert_eq!(sun.post("/cases", &form).await.0, 409);
    let (status, page) = li.get(&new).await;
    assert!(status == 200 && page.contains("某市第一人民医院 H31010000001"), "{page}");
    let case = li.case_of(&alert).await;
    assert!(li.get(&alert).await.1.contains(&format!("href=\"{case}\"")));
    assert!(!sun.get(&alert).await.1.contains(&case));
    assert_eq!(li.get(&new).await.0, 303);

    // Who decided is no second person; who only read is.
    let transfer = wu.propose(&case).await;
    assert_eq!(wu.post(&format!("{transfer}/approve"), &[]).await.0, 409);
    let zhao = Worker::new(&bureau, "zhao", &["supervisor"]).await;
    zhao.done(&format!("{transfer}/approve"), &[]).await;
    let (_, page) = zhao.get(&format!("{transfer}/letter")).await;
    assert!(page.contains("某市第一人民医院 H31010000001") && page.contains("412.50"), "{page}");
}
