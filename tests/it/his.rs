//! The HIS's own messages, with the real programs: from bytes to verdicts, alerts and
//! withdrawals, and what of them is found nowhere afterwards.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::canary::memory;
use crate::support::hospital::{Hospital, Wishes};
use crate::support::{Open, quick_hospital, wait_for};

/// What a message holds and nobody is to keep: names, numbers, an address, a photograph.
pub const PERSONAL: [&str; 8] = [
    "收费员李娜婷",
    "患者王小明哲",
    "代办人赵四海波",
    "31010119900101123X",
    "310101198502025678",
    "13800138999",
    "某某路一百二十八号",
    "QUdOVEVSLVBIT1RPR1JBUEg",
];
const PROXY: &str = "310101198502025678";
const STRANGER: &str = "110101197703039012";

/// A box that reads the HIS's own messages; `PB` stands at its counter.
pub fn hospital() -> Open {
    let mut wishes = Wishes::default();
    let senders = "[[his.senders]]\ncounter = \"w01\"\ndevices = [\"D-1\"]\noperators = [\"op42\"]\n\
                   [[his.hl7]]\nlisten = \"127.0.0.1:0\"\n[metrics]\n";
    wishes.replace.push(("[metrics]\n".into(), senders.into()));
    let stays = "withdrawal_links_days = 180\nstays_days = 90";
    wishes.replace.push(("withdrawal_links_days = 180".into(), stays.into()));
    let mut open = quick_hospital(&wishes);
    let h = &mut open.h;
    h.enrol().unwrap();
    let file = h.dir.join("certificates.csv");
    std::fs::write(&file, format!("cardholder,cert_type,certno\nPB,01,{PROXY}\n")).unwrap();
    h.bureau_command(&["certificates", "import", &file.to_string_lossy(), "--by", "zhang"]).unwrap();
    std::fs::remove_file(file).unwrap();
    h.start_agent().unwrap();
    // The drawn cameras play at 15/s; a window needs its past in the ring.
    std::thread::park_timeout(Duration::from_millis(900));
    open
}

/// Now, as the national platform writes it.
fn now() -> String {
    let china = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
    jiff::Timestamp::now().to_zoned(china).strftime("%Y-%m-%d %H:%M:%S.%3f").to_string()
}

pub fn envelope(kind: &str, msgid: &str, input: Value) -> Value {
    json!({
        "infno": kind, "msgid": msgid, "mdtrtarea_admvs": "310100", "insuplc_admdvs": "310100",
        "recer_sys_code": "MBS_LOCAL", "dev_no": "D-1", "dev_safe_info": "", "cainfo": "", "signtype": "SM3",
        "infver": "V1.0", "opter_type": "1", "opter": "op42", "opter_name": PERSONAL[0], "inf_time": now(),
        "fixmedins_code": "H00000000001", "fixmedins_name": "某某医院", "sign_no": "", "input": input,
    })
}

pub fn settlement(person: &str, stay: &str) -> Value {
    json!({ "data": {
        "psn_no": person, "psn_name": PERSONAL[1], "mdtrt_cert_type": "02", "mdtrt_cert_no": PERSONAL[3],
        "med_type": "11", "medfee_sumamt": "412.50", "psn_setlway": "01", "mdtrt_id": stay,
        "insutype": "310", "acct_used_flag": "1", "invono": "",
    }})
}

async fn post(h: &Hospital, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
    let request = h.request(reqwest::Method::POST, path).bearer_auth(&h.token).body(body);
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

async fn nhsa(h: &Hospital, message: &Value) -> (u16, Value) {
    post(h, "/v1/his/nhsa", message.to_string()).await
}

async fn begin(h: &Hospital, msgid: &str, person: &str, stay: &str) -> String {
    let (status, body) = nhsa(h, &envelope("2207", msgid, settlement(person, stay))).await;
    assert_eq!(status, 202, "{body}");
    body["verification_id"].as_str().unwrap().to_owned()
}

fn verdict(h: &Hospital, verification: &str) -> (String, String) {
    wait_for("a verdict", || h.verdict(verification))
}

/// The verdict of one that ended before its window closed.
fn recorded(h: &Hospital, verification: &str) -> (String, String) {
    wait_for("a verdict in the audit log", || {
        let record = h.audit("verdict").into_iter().find(|r| r["data"]["verification"] == verification)?;
        let text = |k: &str| record["data"][k].as_str().unwrap_or_default().to_owned();
        Some((text("verdict"), text("reason")))
    })
}

fn said(verdict: &str, reason: &str) -> (String, String) {
    (verdict.into(), reason.into())
}

pub fn named(msgid: &str, setl_id: &str, mulaid: &str) -> String {
    json!({ "infcode": "0", "inf_refmsgid": "310000X", "output": { "setlinfo": {
        "setl_id": setl_id, "medins_setl_id": msgid, "psn_name": PERSONAL[1], "certno": PERSONAL[3],
        "acct_mulaid_pay": mulaid, "medfee_sumamt": 412.5 } } })
    .to_string()
}

fn registration(msgid: &str, certificate: &str) -> Value {
    let agent = json!({ "agnter_name": PERSONAL[2], "agnter_rlts": "1", "agnter_cert_type": "01",
        "agnter_certno": certificate, "agnter_tel": PERSONAL[5], "agnter_addr": PERSONAL[6],
        "agnter_photo": PERSONAL[7].repeat(2000) });
    envelope(
        "2201",
        msgid,
        json!({ "data": { "psn_no": "PA", "psn_name": PERSONAL[1] }, "agnterinfo": agent }),
    )
}

/// The alert of a settlement, once the bureau has it.
async fn alert(h: &Hospital, settlement: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(alert) = h.alerts().await.unwrap().get(settlement) {
            return alert.clone();
        }
        assert!(Instant::now() < deadline, "waited 20 s for the alert of {settlement}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_national_platforms_messages_are_verified_named_and_taken_back() {
    let open = hospital();
    let h = &open.h;
    let refused = |status: u16, (found, body): (u16, Value), field: &str| {
        assert_eq!((found, body["field"].as_str()), (status, Some(field)), "{body}");
        body["detail"].as_str().unwrap().to_owned()
    };
    // Whoever stands there is the cardholder.
    let own = begin(h, "MSG-1", "PB", "M-1").await;
    assert_eq!(verdict(h, &own), said("match", ""));
    // A stranger's card: the alert bears the number that the answer gave, and so is withdrawn.
    let other = begin(h, "MSG-2", "PA", "M-2").await;
    assert_eq!(
        post(h, "/v1/his/nhsa/answers?infno=2207&msgid=MSG-2", named("MSG-2", "310000S2", "0")).await.0,
        204
    );
    assert_eq!(verdict(h, &other).0, "mismatch");
    let told = alert(h, "310000S2").await;
    let cancel = json!({ "data": { "setl_id": "310000S2", "psn_no": "PA" } });
    assert_eq!(nhsa(h, &envelope("2208", "MSG-3", cancel)).await.0, 204);
    let deadline = Instant::now() + Duration::from_secs(20);
    while alert(h, "310000S2").await["withdrawn_at"].is_null() {
        assert!(Instant::now() < deadline, "waited 20 s for the withdrawal of {told}");
        tokio::task::yield_now().await;
    }
    // The platform refused it; a relative's account paid it: nobody is accused.
    let failed = begin(h, "MSG-4", "PA", "M-4").await;
    let answer = json!({ "infcode": -1, "err_msg": PERSONAL[1] }).to_string();
    assert_eq!(post(h, "/v1/his/nhsa/answers?infno=2207&msgid=MSG-4", answer).await.0, 204);
    assert_eq!(recorded(h, &failed), said("not_assessed", "cancelled"));
    let paid = begin(h, "MSG-5", "PA", "M-5").await;
    assert_eq!(post(h, "/v1/his/nhsa/answers", named("MSG-5", "310000S5", "20.00")).await.0, 204);
    assert_eq!(recorded(h, &paid), said("not_assessed", "out_of_scope"));
    // What is wrong is told with its path, and who is unknown with what was sent.
    let mut bad = envelope("2207", "MSG-6", settlement("PA", "M-6"));
    bad["input"]["data"]["medfee_sumamt"] = json!("much");
    refused(422, nhsa(h, &bad).await, "input.data.medfee_sumamt");
    let mut unknown = envelope("2207", "MSG-7", settlement("PA", "M-7"));
    (unknown["dev_no"], unknown["opter"]) = (json!("D-9"), json!("op99"));
    let detail = refused(404, nhsa(h, &unknown).await, "counter");
    assert!(detail.contains("`D-9`") && detail.contains("`op99`"), "{detail}");
    let by_header = h.request(reqwest::Method::POST, "/v1/his/nhsa").bearer_auth(&h.token);
    let sent =
        by_header.header("counterproof-counter", "w01").body(unknown.to_string()).send().await.unwrap();
    assert_eq!(sent.status(), 202);
    assert_eq!(nhsa(h, &envelope("1101", "MSG-8", json!({}))).await.0, 204);
    let nobody = h.request(reqwest::Method::POST, "/v1/his/nhsa").body("{}").send().await.unwrap();
    assert_eq!(nobody.status(), 401);
}

#[tokio::test]
async fn who_acts_in_a_stay_is_known_by_their_certificate_and_nothing_personal_is_found_anywhere() {
    let mut open = hospital();
    let h = &mut open.h;
    // Whose certificate the bureau knows is compared like any proxy.
    assert_eq!(nhsa(h, &registration("REG-1", PROXY)).await.0, 204);
    let begun = json!({ "infcode": 0, "output": { "data": { "mdtrt_id": "M-1" } } }).to_string();
    assert_eq!(post(h, "/v1/his/nhsa/answers?infno=2201&msgid=REG-1", begun).await.0, 204);
    let proxy = begin(h, "MSG-1", "PA", "M-1").await;
    assert_eq!(verdict(h, &proxy), said("match", ""));
    // Whose it does not know: a doubt, and no accusation.
    let mut unknown = registration("REG-2", STRANGER);
    unknown["input"]["data"]["mdtrt_id"] = json!("M-2");
    assert_eq!(nhsa(h, &unknown).await.0, 204);
    let stranger = begin(h, "MSG-2", "PA", "M-2").await;
    assert_eq!(verdict(h, &stranger), said("not_assessed", "proxy_unknown"));
    let over = envelope("2402", "MSG-3", json!({ "dscginfo": { "mdtrt_id": "M-2" } }));
    assert_eq!(nhsa(h, &over).await.0, 204);
    let after = begin(h, "MSG-4", "PA", "M-2").await;
    assert_eq!(verdict(h, &after).0, "mismatch");
    alert(h, "MSG-4").await;

    let pid = h.agent.as_ref().unwrap().pid();
    let needles: Vec<Vec<u8>> = PERSONAL.iter().chain([&STRANGER]).map(|p| p.as_bytes().to_vec()).collect();
    wait_for("the last message to be gone from memory", || {
        memory::holds_any(pid, &needles).unwrap().is_empty().then_some(())
    });
    h.agent.take();
    h.bureau.take();
    let holds = |bytes: &[u8]| needles.iter().any(|n| bytes.windows(n.len()).any(|w| w == n.as_slice()));
    let mut folders = vec![h.dir.clone()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                files += 1;
                assert!(!holds(&std::fs::read(&path).unwrap()), "{}", path.display());
            }
        }
    }
    assert!(files > 20, "{files}");
}

/// Sends messages over one connection; the code of each answer.
fn over_mllp(to: SocketAddr, messages: &[String]) -> Vec<String> {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut codes = Vec::new();
    for message in messages {
        stream.write_all(&[b"\x0b", message.as_bytes(), b"\x1c\r"].concat()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\x1c\r") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        let text = String::from_utf8(answer).unwrap();
        let msa = text.split('\r').find_map(|l| l.strip_prefix("MSA|")).unwrap().to_owned();
        codes.push(msa);
    }
    codes
}

#[tokio::test]
async fn hl7_and_fhir_say_the_same_in_their_own_words() {
    let open = hospital();
    let h = &open.h;
    let ready: Value = serde_json::from_slice(&std::fs::read(h.dir.join("agent.ready")).unwrap()).unwrap();
    let port: SocketAddr = ready["hl7"][0].as_str().unwrap().parse().unwrap();
    let moment = now().replace(['-', ' ', ':'], "");
    let charge = format!(
        "MSH|^~\\&|D-1|H|CP||{moment}||DFT^P03|M1|P|2.5\rPID|1||PB^^^NHSA||{}\rFT1|1|S-HL7||{moment}||CG|||||412.50|||||||11\r",
        PERSONAL[1]
    );
    let answers = over_mllp(
        port,
        &[
            charge.clone(),
            charge.replace("|M1|", "|M2|"),
            charge.replace("412.50", "much").replace("|M1|", "|M3|"),
            charge.replace("D-1", "D-9").replace("|M1|", "|M4|").replace("S-HL7", "S-HL8"),
            "nonsense".into(),
        ],
    );
    assert_eq!(answers[0], "AA|M1|");
    assert_eq!(answers[1], "AA|M2|", "sent again, it is the same");
    assert!(answers[2].starts_with("AR|M3|FT1-11"), "{answers:?}");
    assert!(answers[3].starts_with("AR|M4|") && answers[3].contains("D-9"), "{answers:?}");
    assert!(answers[4].starts_with("AR||"), "{answers:?}");
    let accepted = h.audit("settlement_accepted");
    let verification = accepted[0]["data"]["verification"].as_str().unwrap().to_owned();
    assert_eq!(verdict(h, &verification), said("match", ""));

    let claim = json!({
        "resourceType": "Claim", "identifier": [{ "value": "S-FHIR" }], "status": "active",
        "created": jiff::Timestamp::now().to_string(), "subType": { "coding": [{ "code": "11" }] },
        "patient": { "reference": "Patient/PB", "display": PERSONAL[1] },
        "facility": { "identifier": { "value": "D-1" } }, "total": { "value": 412.5, "currency": "CNY" },
    });
    let (status, body) = post(h, "/v1/his/fhir", claim.to_string()).await;
    assert_eq!(status, 202, "{body}");
    assert_eq!(verdict(h, body["verification_id"].as_str().unwrap()), said("match", ""));
    let told = std::process::Command::new(env!("CARGO_BIN_EXE_counterproof"))
        .args(["his", "explain", "-"])
        .stdin({
            let file = h.dir.join("message");
            std::fs::write(&file, &charge).unwrap();
            std::fs::File::open(file).unwrap()
        })
        .output()
        .unwrap();
    let page = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success() && page.contains("PID-5") && !page.contains(PERSONAL[1]), "{page}");
}
