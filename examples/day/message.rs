//! The day's messages as bytes: what the HIS sends and what the platform answers, the
//! same however often they are made.

use std::time::Duration;

use counterproof::bench::wire::Exchange;
use serde_json::{Value, json};

use super::plan::{Day, Kind, Says, Settlement, certificate, proxy_of};
use super::shifts::DISEASE;

/// Everything that a message follows from.
pub struct Script {
    pub day: Day,
    pub people: usize,
    /// The day's beginning, by the HIS's clock.
    pub begins: jiff::Timestamp,
}

/// As the national platform writes a time.
fn written(at: jiff::Timestamp) -> String {
    let china = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
    at.to_zoned(china).strftime("%Y-%m-%d %H:%M:%S.%3f").to_string()
}

impl Script {
    /// The message of a number, and its answer; nothing if there is no such message.
    pub fn exchange(&self, number: u64) -> Option<Exchange> {
        let event = self.day.events.get(usize::try_from(number).ok()?)?;
        let about = self.day.settlements.get(event.about)?;
        let (request, answer, after) = match event.says {
            Says::LooksUp => (self.envelope("1101", about, "L", json!({})), json!({ "infcode": 0 }), 5),
            Says::Registers => self.registers(about),
            Says::Settles => self.settles(about),
            Says::Cancels => {
                let infno = if about.infno == "2207" { "2208" } else { "2305" };
                let input = json!({ "data": { "setl_id": about.setl_id, "psn_no": about.cardholder } });
                (self.envelope(infno, about, "C", input), json!({ "infcode": "0", "output": {} }), 5)
            }
        };
        Some(Exchange {
            request: head(&format!("POST /fsi/api/{number:x} HTTP/1.1\r\nHost: platform"), &request),
            answer: head("HTTP/1.1 200 OK\r\nServer: platform", &answer),
            answer_after: Duration::from_millis(after),
            ..Exchange::default()
        })
    }

    fn envelope(&self, infno: &str, about: &Settlement, mark: &str, input: Value) -> Value {
        let at = self.begins + jiff::SignedDuration::try_from(about.at).unwrap_or_default();
        let kind = match about.kind {
            Kind::Kiosk => "2",
            Kind::Telephone => "3",
            _ => "1",
        };
        json!({
            "infno": infno, "msgid": format!("{}{mark}", about.msgid), "mdtrtarea_admvs": "310100",
            "insuplc_admdvs": "310100", "recer_sys_code": "MBS_LOCAL", "dev_safe_info": "", "cainfo": "",
            "dev_no": format!("D-{}", about.window + 1), "signtype": "SM3", "infver": "V1.0",
            "opter_type": kind, "opter": "op", "opter_name": "收费员", "inf_time": written(at),
            "fixmedins_code": "H00000000001", "fixmedins_name": "演示医院", "sign_no": "", "input": input,
        })
    }

    fn registers(&self, about: &Settlement) -> (Value, Value, u64) {
        let agent = match about.kind {
            Kind::Proxy => json!({ "agnter_name": "代办人", "agnter_rlts": "1", "agnter_cert_type": "01",
                "agnter_certno": certificate(proxy_of(about, self.people)), "agnter_photo": "QUJD".repeat(3000) }),
            Kind::UnknownProxy => json!({ "agnter_name": "代办人", "agnter_cert_type": "01",
                "agnter_certno": certificate(None) }),
            _ => json!({ "agnter_name": "", "agnter_certno": "" }),
        };
        let input = json!({ "data": { "psn_no": about.cardholder, "med_type": "11" }, "agnterinfo": agent });
        let answer = json!({ "infcode": 0, "output": { "data": { "mdtrt_id": about.stay } } });
        (self.envelope("2201", about, "R", input), answer, 5)
    }

    fn settles(&self, about: &Settlement) -> (Value, Value, u64) {
        let is_session = about.window == self.day.windows;
        let amount = format!("{}.{:02}", about.amount_fen / 100, about.amount_fen % 100);
        let input = json!({ "data": {
            "psn_no": about.cardholder, "psn_name": "患者", "mdtrt_cert_type": "02",
            "mdtrt_cert_no": "31010119900101123X", "medfee_sumamt": amount, "psn_setlway": "01",
            "med_type": match (about.kind, is_session) { (Kind::InPatient, _) => "21", (_, true) => "14", _ => "11" },
            "dise_codg": if is_session { DISEASE } else { "" },
            "mdtrt_id": about.stay, "insutype": "310", "acct_used_flag": "1", "invono": "",
        } });
        let mut request = self.envelope(about.infno, about, "", input);
        if let Some(msgid) = request.get_mut("msgid") {
            *msgid = json!(about.msgid);
        }
        let answer = match about.kind {
            Kind::Refused => json!({ "infcode": -1, "inf_refmsgid": "310000", "err_msg": "余额不足" }),
            kind => json!({ "infcode": "0", "inf_refmsgid": "310000", "output": { "setlinfo": {
                "setl_id": about.setl_id, "medins_setl_id": about.msgid, "psn_no": about.cardholder,
                "medfee_sumamt": amount,
                "acct_mulaid_pay": if kind == Kind::RelativesAccount { "20.00" } else { "0" },
            } } }),
        };
        (request, answer, about.answered_after.as_millis() as u64)
    }
}

fn head(first: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let fields = format!("Content-Type: application/json\r\nContent-Length: {}", body.len());
    format!("{first}\r\n{fields}\r\n\r\n{body}").into_bytes()
}
