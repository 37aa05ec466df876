//! The national medical-insurance platform's messages, as hospitals produce them.
//!
//! Read are 2207 and 2304 (settle), 2208 and 2305 (cancel), 2201 and 2401 (a visit or
//! a stay begins), 2402 (a stay ends), and the answers to the first four. A request for
//! settlement has no `setl_id`: it is known by its `msgid` until the answer names it.
//!
//! Of the envelope and the input, only the fields that this module names are looked at.

use super::tree::{Branch, Tree};
use super::{
    CertificateDigest, Message, Misread, Naming, Proxy, Registration, Sender, Settling, StayId, disease,
    sender_part, untidy,
};
use crate::protocol::id::SettlementId;
use crate::protocol::settlement::Channel;

/// Reads a request.
///
/// # Errors
/// [`Misread`] with the path of the field.
pub fn request(bytes: &[u8]) -> Result<Message, Misread> {
    let tree = Tree::read(bytes)?;
    let envelope = tree.root()?;
    let kind = envelope.needed("infno")?;
    match kind.as_str() {
        "2207" | "2304" => settle(&envelope).map(|s| Message::Settle(Box::new(s))),
        "2208" | "2305" => {
            let document = input(&envelope)?;
            let data = document.root()?.or_data().map_err(inside)?;
            Ok(Message::Cancel { settlement: data.name("setl_id").map_err(inside)? })
        }
        "2201" | "2401" => register(&envelope).map(Message::Registered),
        "2402" => {
            let document = input(&envelope)?;
            let data = part(&document, &["dscginfo", "mdtrtinfo"])?;
            Ok(Message::StayEnded { stay: stay(&data, "mdtrt_id").map_err(inside)? })
        }
        _ => Ok(Message::Other { kind: kind.chars().take(8).collect() }),
    }
}

/// A request that an answer belongs to; the answer itself does not say which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Its kind (`infno`); 2207 if nobody says it.
    pub kind: Option<String>,
    /// Its number (`msgid`). Without it, it is that which the answer repeats.
    pub request: Option<SettlementId>,
}

/// Reads what tells an answer's request from others: kind and number.
///
/// # Errors
/// [`Misread`] with the path of the field.
pub fn asked(bytes: &[u8]) -> Result<Asked, Misread> {
    let tree = Tree::read(bytes)?;
    let envelope = tree.root()?;
    Ok(Asked { kind: Some(envelope.needed("infno")?), request: Some(envelope.name("msgid")?) })
}

/// Reads an answer.
///
/// # Errors
/// [`Misread`] with the path of the field.
pub fn response(asked: &Asked, bytes: &[u8]) -> Result<Message, Misread> {
    let tree = Tree::read(bytes)?;
    let envelope = tree.root()?;
    let code = envelope.needed("infcode")?;
    let went_through = match code.as_str() {
        "0" => true,
        "-1" => false,
        other => {
            let found: String = other.chars().take(20).collect();
            let what = format!("found `{}`; allowed: 0 and -1", found.escape_debug());
            return Err(Misread::new("infcode", what));
        }
    };
    let document = envelope.document("output")?;
    match (asked.kind.as_deref().unwrap_or("2207"), went_through) {
        ("2207" | "2304", true) => named(asked, document.as_ref()).map(Message::Named),
        ("2207" | "2304", false) => Ok(Message::Failed { request: request_of(asked, &envelope)? }),
        ("2201" | "2401", true) => {
            let document = document.ok_or_else(|| Misread::new("output", "nothing; it is needed"))?;
            let info = part_of(&document, &["result", "mdtrtinfo"]).map_err(of_output)?;
            let stay = stay(&info, "mdtrt_id").map_err(of_output)?;
            Ok(Message::StayNamed { request: request_of(asked, &envelope)?, stay })
        }
        (kind, _) => Ok(Message::Other { kind: kind.chars().take(8).collect() }),
    }
}

/// The request that an answer without a `medins_setl_id` belongs to. `inf_refmsgid` is the
/// last resort: with most platforms it is their own number of it.
fn request_of(asked: &Asked, envelope: &Branch<'_>) -> Result<SettlementId, Misread> {
    asked.request.clone().map_or_else(|| envelope.name("inf_refmsgid"), Ok)
}

fn named(asked: &Asked, document: Option<&Tree>) -> Result<Naming, Misread> {
    let info =
        document.map(setlinfo).transpose()?.flatten().ok_or_else(|| {
            Misread::new("output.setlinfo", "nothing; it names a settlement that went through")
        })?;
    let mulaid = info.text("acct_mulaid_pay").map_err(of_output)?;
    let mulaid = mulaid.map(|text| untidy::fen(&text)).transpose();
    let mulaid = mulaid.map_err(|what| of_output(Misread::new(info.at("acct_mulaid_pay"), what)))?;
    Ok(Naming {
        request: match &asked.request {
            Some(request) => request.clone(),
            None => info.name("medins_setl_id").map_err(of_output)?,
        },
        settlement: info.name("setl_id").map_err(of_output)?,
        relatives_account: mulaid.is_some_and(|fen| fen > 0),
    })
}

fn inside(e: Misread) -> Misread {
    Misread::new(format!("input.{}", e.path), e.what)
}

fn of_output(e: Misread) -> Misread {
    Misread::new(format!("output.{}", e.path), e.what)
}

/// What stands in `input`, an object or its text.
fn input(envelope: &Branch<'_>) -> Result<Tree, Misread> {
    envelope.document("input")?.ok_or_else(|| Misread::new("input", "nothing; it is needed"))
}

/// The object of `input` under one of these names, under `data`, or the input itself.
fn part<'t>(document: &'t Tree, names: &[&str]) -> Result<Branch<'t>, Misread> {
    part_of(document, names).map_err(inside)
}

fn part_of<'t>(document: &'t Tree, names: &[&str]) -> Result<Branch<'t>, Misread> {
    let data = document.root()?.or_data()?;
    for name in names {
        if let Some(found) = data.branch(name)? {
            return Ok(found);
        }
    }
    Ok(data)
}

fn setlinfo(document: &Tree) -> Result<Option<Branch<'_>>, Misread> {
    let root = document.root().map_err(of_output)?;
    if let Some(info) = root.branch("setlinfo").map_err(of_output)? {
        return Ok(Some(info));
    }
    let data = root.or_data().map_err(of_output)?;
    match data.branch("setlinfo").map_err(of_output)? {
        Some(info) => Ok(Some(info)),
        None => Ok(Some(data).filter(|d| d.has("setl_id"))),
    }
}

fn settle(envelope: &Branch<'_>) -> Result<Settling, Misread> {
    let document = input(envelope)?;
    let data = part(&document, &[])?;
    Ok(Settling {
        request: envelope.name("msgid")?,
        cardholder: data.name("psn_no").map_err(inside)?,
        occurred_at: envelope.read("inf_time", untidy::time)?,
        amount_fen: data.read("medfee_sumamt", untidy::fen).map_err(inside)?,
        medical_type: data.name("med_type").map_err(inside)?,
        disease_code: disease(data.text("dise_codg").map_err(inside)?),
        // 1 somebody at a desk, 2 a machine that people use by themselves, 3 a telephone.
        channel: match envelope.text("opter_type")?.as_deref().map(|t| t.trim_start_matches('0')) {
            Some("2") => Channel::Kiosk,
            Some("3") => Channel::Mobile,
            _ => Channel::Window,
        },
        stay: match data.text("mdtrt_id").map_err(inside)? {
            Some(_) => Some(stay(&data, "mdtrt_id").map_err(inside)?),
            None => None,
        },
        sender: Sender { operator: sender(envelope, "opter")?, device: sender(envelope, "dev_no")? },
    })
}

fn sender(envelope: &Branch<'_>, key: &str) -> Result<Option<String>, Misread> {
    sender_part(&envelope.at(key), envelope.text(key)?)
}

fn stay(data: &Branch<'_>, key: &str) -> Result<StayId, Misread> {
    StayId::read(&data.at(key), &data.needed(key)?)
}

fn register(envelope: &Branch<'_>) -> Result<Registration, Misread> {
    let document = input(envelope)?;
    let visit = part(&document, &["mdtrtinfo"])?;
    // Beside `data`, or in it.
    let beside = document.root().and_then(|root| root.branch("agnterinfo")).map_err(inside)?;
    let within = document.root().and_then(Branch::or_data).and_then(|data| data.branch("agnterinfo"));
    let proxy = match beside.map_or(within.map_err(inside)?, Some) {
        Some(agent) => proxy(&agent).map_err(inside)?,
        // Some write it flat.
        None => proxy(&visit).map_err(inside)?,
    };
    let stay = visit.has("mdtrt_id").then(|| stay(&visit, "mdtrt_id").map_err(inside)).transpose()?;
    Ok(Registration { request: Some(envelope.name("msgid")?), stay, proxy })
}

/// Who acts for the cardholder; nobody if every field of it is empty, as some send it.
fn proxy(agent: &Branch<'_>) -> Result<Option<Proxy>, Misread> {
    if let Some(number) = agent.text("agnter_certno")?.map(zeroize::Zeroizing::new) {
        let kind = agent.text("agnter_cert_type")?.unwrap_or_else(|| "01".to_owned());
        return Ok(Some(Proxy::Certificate(CertificateDigest::of(&kind, &number))));
    }
    let name = agent.text("agnter_name")?.map(zeroize::Zeroizing::new);
    Ok(name.map(|_| Proxy::Unnamed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const MSGID: &str = "H31010000001202611220910150001";

    fn envelope(kind: &str, input: Value) -> Value {
        json!({
            "infno": kind, "msgid": MSGID, "mdtrtarea_admvs": "310100",
            "insuplc_admdvs": "310100", "recer_sys_code": "MBS_LOCAL", "dev_no": "D-7", "cainfo": "",
            "signtype": "SM3", "infver": "V1.0", "opter_type": "1", "opter": "op42",
            "opter_name": "收费员李娜", "inf_time": "2026-11-22 09:10:15",
            "fixmedins_code": "H31010000001", "fixmedins_name": "某某医院", "sign_no": "", "input": input,
        })
    }

    fn settlement() -> Value {
        json!({
            "psn_no": "31010000000000000001", "mdtrt_cert_type": "02", "mdtrt_cert_no": "310101199001011234",
            "med_type": "11", "medfee_sumamt": "412.50", "psn_setlway": "01", "mdtrt_id": "M-1",
            "chrg_bchno": "B1", "insutype": "310", "acct_used_flag": "1", "invono": "I1",
        })
    }

    fn read(value: &Value) -> Result<Message, Misread> {
        request(value.to_string().as_bytes())
    }

    fn answered(kind: &str, value: &Value) -> Result<Message, Misread> {
        response(&Asked { kind: Some(kind.into()), request: None }, value.to_string().as_bytes())
    }

    fn settling(value: &Value) -> Settling {
        match read(value).unwrap() {
            Message::Settle(s) => *s,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_settlement_is_understood_however_untidily_it_is_written() {
        let tidy = settling(&envelope("2207", json!({ "data": settlement() })));
        assert_eq!(tidy.request.as_str(), "H31010000001202611220910150001");
        assert_eq!(
            (tidy.amount_fen, tidy.medical_type.as_str(), tidy.channel),
            (41250, "11", Channel::Window)
        );
        assert_eq!(tidy.occurred_at.timestamp().to_string(), "2026-11-22T01:10:15Z");
        assert_eq!(tidy.stay.as_ref().unwrap().as_str(), "M-1");
        let mut other = settlement();
        other["medfee_sumamt"] = json!(412.5);
        other["med_type"] = json!(11);
        let mut untidy = envelope("2304", json!(json!({ "data": [other.clone()] }).to_string()));
        untidy["infno"] = json!(2304);
        untidy["inf_time"] = json!("20261122091015");
        untidy["a_key_of_the_province"] = json!({"more": [1, 2]});
        assert_eq!(settling(&untidy), tidy);
        assert_eq!(settling(&envelope("2207", other)), tidy);
        let text = envelope("2207", settlement()).to_string();
        let (gbk, ..) = encoding_rs::GBK.encode(&text);
        assert_eq!(request(&gbk).unwrap(), Message::Settle(Box::new(tidy)));
    }

    #[test]
    fn kiosks_and_telephones_are_told_apart_and_nothing_personal_is_kept() {
        for (kind, channel) in [("2", Channel::Kiosk), ("03", Channel::Mobile), ("1", Channel::Window)] {
            let mut message = envelope("2207", settlement());
            message["opter_type"] = json!(kind);
            assert_eq!(settling(&message).channel, channel);
        }
        let kept = format!("{:?}", settling(&envelope("2207", settlement())));
        for personal in ["310101199001011234", "李娜", "某某医院", "I1"] {
            assert!(!kept.contains(personal), "{kept}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        for (key, value, path, word) in [
            ("psn_no", json!("P 1"), "input.data.psn_no", "letters, digits"),
            ("psn_no", Value::Null, "input.data.psn_no", "needed"),
            ("medfee_sumamt", json!("412.505"), "input.data.medfee_sumamt", "two decimals"),
            ("medfee_sumamt", json!([]), "input.data.medfee_sumamt", "a list"),
            ("mdtrt_id", json!("就诊一"), "input.data.mdtrt_id", "ASCII"),
        ] {
            let mut data = settlement();
            data[key] = value;
            let e = read(&envelope("2207", json!({ "data": data }))).unwrap_err();
            assert_eq!(e.path, path, "{e}");
            assert!(e.what.contains(word), "{e}");
        }
        let mut message = envelope("2207", settlement());
        message["inf_time"] = json!("22.11.2026");
        assert_eq!(read(&message).unwrap_err().path, "inf_time");
        assert_eq!(request(b"<xml/>").unwrap_err().path, "body");
        assert_eq!(request(b"[]").unwrap_err().what, "found a list; expected an object");
    }

    #[test]
    fn the_answer_names_the_settlement_or_says_that_it_failed() {
        let info = json!({
            "setl_id": "310000S0001", "medins_setl_id": "H31010000001202611220910150001",
            "psn_no": "31010000000000000001", "setl_time": "2026-11-22 09:10:17", "medfee_sumamt": 412.5,
            "acct_mulaid_pay": "20.00",
        });
        let named = Message::Named(Naming {
            request: "H31010000001202611220910150001".parse().unwrap(),
            settlement: "310000S0001".parse().unwrap(),
            relatives_account: true,
        });
        for output in [
            json!({ "setlinfo": info }),
            json!({ "data": { "setlinfo": info } }),
            json!(json!({ "setlinfo": info }).to_string()),
            info.clone(),
        ] {
            for code in [json!(0), json!("0")] {
                let answer =
                    json!({"infcode": code, "inf_refmsgid": "310000202611220910170001", "output": output});
                assert_eq!(answered("2207", &answer).unwrap(), named);
            }
        }
        let failed =
            json!({"infcode": -1, "inf_refmsgid": "H31010000001202611220910150001", "err_msg": "余额不足"});
        let request = "H31010000001202611220910150001".parse().unwrap();
        assert_eq!(answered("2304", &failed).unwrap(), Message::Failed { request });
        let strange = json!({"infcode": "7", "inf_refmsgid": "a"});
        assert_eq!(answered("2207", &strange).unwrap_err().path, "infcode");
    }

    #[test]
    fn a_cancellation_and_a_registration_are_understood() {
        let cancel =
            read(&envelope("2208", json!({"data": {"setl_id": "310000S0001", "psn_no": "P1"}}))).unwrap();
        assert_eq!(cancel, Message::Cancel { settlement: "310000S0001".parse().unwrap() });
        let register = |kind: &str, number: &str| {
            let input = json!({
                "mdtrtinfo": {"mdtrt_id": "M-1", "psn_no": "P1"},
                "agnterinfo": {"agnter_name": "王芳", "agnter_rlts": "1", "agnter_cert_type": kind,
                    "agnter_certno": number, "agnter_tel": "13800000000", "agnter_addr": "某路1号", "agnter_photo": "/9j/4AAQ"},
            });
            match read(&envelope("2401", input)).unwrap() {
                Message::Registered(r) => r,
                other => panic!("{other:?}"),
            }
        };
        let first = register("01", "31010119900101123x");
        assert_eq!(first, register("1", " 31010119900101123X "));
        assert_ne!(first.proxy, register("01", "310101199001011231").proxy);
        let kept = format!("{first:?}");
        assert!(!kept.contains("王芳") && !kept.contains("4AAQ") && !kept.contains("3101011990"), "{kept}");
        assert_eq!(
            (first.request.as_ref().unwrap().as_str(), first.stay.as_ref().unwrap().as_str()),
            (MSGID, "M-1")
        );
        assert_eq!(read(&envelope("1101", json!({}))).unwrap(), Message::Other { kind: "1101".into() });
    }

    #[test]
    fn the_answer_to_a_registration_names_the_stay() {
        let request: SettlementId = MSGID.parse().unwrap();
        let asked = Asked { kind: Some("2201".into()), request: Some(request.clone()) };
        for output in [
            json!({ "data": { "mdtrt_id": "M-7" } }),
            json!({ "result": { "mdtrt_id": "M-7" } }),
            json!({ "mdtrt_id": "M-7" }),
        ] {
            let answer = json!({ "infcode": "0", "output": output }).to_string();
            let Message::StayNamed { request: of, stay } = response(&asked, answer.as_bytes()).unwrap()
            else {
                panic!()
            };
            assert_eq!((&of, stay.as_str()), (&request, "M-7"));
        }
        let agent = json!({ "agnter_certno": "310101199001011234" });
        for input in [
            json!({ "data": { "psn_no": "P1" }, "agnterinfo": agent }),
            json!({ "data": { "psn_no": "P1", "agnterinfo": agent } }),
            json!({ "mdtrtinfo": { "psn_no": "P1" }, "agnterinfo": agent }),
        ] {
            let Message::Registered(r) = read(&envelope("2201", input)).unwrap() else { panic!() };
            assert!(matches!(r.proxy, Some(Proxy::Certificate(_))), "{:?}", r.proxy);
        }
        let nobody = json!({ "psn_no": "P1", "agnterinfo": { "agnter_name": "", "agnter_certno": "" } });
        let named = json!({ "data": { "psn_no": "P1", "agnter_name": "王芳" } });
        for (input, proxy) in [(nobody, None), (named, Some(Proxy::Unnamed))] {
            let Message::Registered(r) = read(&envelope("2201", input)).unwrap() else { panic!() };
            assert_eq!((r.stay, r.proxy), (None, proxy));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_understood_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (request(&bytes), response(&Asked::default(), &bytes), asked(&bytes));
        }

        #[test]
        fn a_message_with_any_byte_changed_never_panics(at in any::<proptest::sample::Index>(), with in any::<u8>()) {
            let mut bytes = envelope("2207", json!({ "data": settlement() })).to_string().into_bytes();
            let i = at.index(bytes.len());
            bytes[i] = with;
            let _ = request(&bytes);
        }
    }
}
