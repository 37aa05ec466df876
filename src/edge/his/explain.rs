//! `counterproof his explain FILE`: how a message is understood, for who joins a HIS to a
//! box and for who wants to know what is kept of it.
//!
//! Promises: it is read as the agent reads it; no value of a field that is dropped is
//! shown, and of a person's number the ends alone. A field counts if the message would be
//! understood otherwise without it: that is tried, field by field, not written down
//! somewhere. It asks nobody and keeps nothing.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Dialect, Message, Misread, Proxy, nhsa, untidy};
use crate::protocol::settlement::{Settlement, SettlementError};

/// What a message says, and what of it is dropped.
#[derive(Debug, Clone, Serialize)]
pub struct Explained {
    /// `nhsa`, `nhsa answer`, `fhir`, `hl7`, or `own` for `POST /v1/settlements`.
    pub dialect: &'static str,
    /// What it says: `settle`, `cancel`, `named`, `failed`, `registered`, `stay named`,
    /// `stay ended`, or `nothing`.
    pub says: &'static str,
    /// What is taken from it, in this program's words; of numbers of people the ends.
    pub taken: Vec<(&'static str, String)>,
    /// Fields that make no difference, and the characters in each: they are dropped.
    pub dropped: Vec<(String, usize)>,
}

/// A message that is not understood, and as what it was read.
#[derive(Debug, thiserror::Error)]
#[error("read as {dialect}: {source}")]
pub struct NotUnderstood {
    dialect: &'static str,
    source: Misread,
}

/// Reads one message of any dialect. An answer of the national platform is read as one to
/// a settlement.
///
/// # Errors
/// If it is not understood: as which dialect, and the path of the field.
pub fn explain(bytes: &[u8]) -> Result<Explained, NotUnderstood> {
    let own = |dialect| move |source| NotUnderstood { dialect, source };
    let text = untidy::text(bytes).map_err(|what| own("no dialect")(Misread::new("file", what)))?;
    if text.trim_start().starts_with("MSH") {
        let message = Dialect::Hl7.read(bytes).map_err(own("hl7"))?;
        let says = |lines: &[String]| Dialect::Hl7.read(lines.join("\r").as_bytes()).ok();
        let dropped = segments(&text, &message, says);
        return Ok(told("hl7", &message, dropped));
    }
    let Ok(Value::Object(mut document)) = serde_json::from_str::<Value>(&text) else {
        let what = "neither HL7 v2 (it begins with MSH) nor a JSON object";
        return Err(own("no dialect")(Misread::new("file", what)));
    };
    open_texts(&mut document);
    let has = |key: &str| document.contains_key(key);
    if has("settlement_id") {
        return own_message(document).map_err(own("own"));
    }
    type Read = fn(&[u8]) -> Result<Message, Misread>;
    let (dialect, read): (_, Read) = if has("resourceType") {
        ("fhir", |b| Dialect::Fhir.read(b))
    } else if has("infcode") {
        ("nhsa answer", |b| nhsa::response(&nhsa::Asked::default(), b))
    } else {
        ("nhsa", |b| Dialect::Nhsa.read(b))
    };
    let message = read(bytes).map_err(own(dialect))?;
    let dropped = leaves(document, |without| read(without).ok().as_ref() == Some(&message));
    Ok(told(dialect, &message, dropped))
}

/// `input` and `output` may be JSON in a text.
fn open_texts(document: &mut Map<String, Value>) {
    for key in ["input", "output"] {
        if let Some(Value::String(text)) = document.get(key)
            && let Ok(opened) = serde_json::from_str::<Value>(text)
            && opened.is_object()
        {
            document.insert(key.into(), opened);
        }
    }
}

fn own_message(document: Map<String, Value>) -> Result<Explained, Misread> {
    let bytes = Value::Object(document).to_string();
    let s = Settlement::from_json(bytes.as_bytes()).map_err(|e| match e {
        SettlementError::NotJson(what) => Misread::new("body", what),
        SettlementError::Field { field, what } => Misread::new(field, what),
    })?;
    let taken = vec![
        ("settlement", ends(s.settlement_id.as_str())),
        ("cardholder", ends(s.cardholder.as_str())),
        ("counter", s.counter.to_string()),
        ("occurred at", s.occurred_at.timestamp().to_string()),
        ("amount, fen", s.amount_fen.to_string()),
        ("medical type", s.medical_type.to_string()),
        ("proxies", s.proxies.len().to_string()),
    ];
    Ok(Explained { dialect: "own", says: "settle", taken, dropped: Vec::new() })
}

/// The leaves without which the message says the same.
fn leaves(document: Map<String, Value>, says_the_same: impl Fn(&[u8]) -> bool) -> Vec<(String, usize)> {
    let mut whole = Value::Object(document);
    let mut pointers = Vec::new();
    collect(&whole, String::new(), &mut pointers);
    let mut dropped = Vec::new();
    for pointer in pointers {
        let Some(place) = whole.pointer_mut(&pointer) else { continue };
        let value = std::mem::take(place);
        if says_the_same(whole.to_string().as_bytes()) {
            let characters = value.as_str().map_or_else(|| value.to_string().len(), |t| t.chars().count());
            dropped.push((pointer.trim_start_matches('/').replace('/', "."), characters));
        }
        if let Some(place) = whole.pointer_mut(&pointer) {
            *place = value;
        }
    }
    dropped
}

fn collect(value: &Value, pointer: String, out: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, inner) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                collect(inner, format!("{pointer}/{key}"), out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (i, inner) in items.iter().enumerate() {
                collect(inner, format!("{pointer}/{i}"), out);
            }
        }
        Value::Null => {}
        Value::String(text) if text.is_empty() => {}
        _ => out.push(pointer),
    }
}

/// The fields of segments without which the message says the same.
fn segments(
    text: &str,
    message: &Message,
    read: impl Fn(&[String]) -> Option<Message>,
) -> Vec<(String, usize)> {
    let mut lines: Vec<String> =
        text.split(['\r', '\n']).map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
    let Some(separator) = text.trim_start().chars().nth(3) else { return Vec::new() };
    let mut dropped = Vec::new();
    for i in 0..lines.len() {
        let Some(line) = lines.get(i).cloned() else { continue };
        let fields: Vec<&str> = line.split(separator).collect();
        let name = fields.first().copied().unwrap_or_default();
        // The separators of MSH are no field, and itself counts as one.
        let (first, shift) = if name == "MSH" { (2, 1) } else { (1, 0) };
        for (n, field) in fields.iter().enumerate().skip(first).filter(|(_, f)| !f.is_empty()) {
            let mut without = fields.clone();
            if let Some(place) = without.get_mut(n) {
                *place = "";
            }
            if let Some(place) = lines.get_mut(i) {
                *place = without.join(&separator.to_string());
            }
            if read(&lines).as_ref() == Some(message) {
                dropped.push((format!("{name}-{}", n + shift), field.chars().count()));
            }
        }
        if let Some(place) = lines.get_mut(i) {
            *place = line;
        }
    }
    dropped
}

/// The ends of a number: enough to find it again, too little to know it.
fn ends(text: &str) -> String {
    let n = text.chars().count();
    if n <= 4 {
        return "…".repeat(n.min(1));
    }
    let head: String = text.chars().take(2).collect();
    let tail: String = text.chars().skip(n - 2).collect();
    format!("{head}…{tail}")
}

fn told(dialect: &'static str, message: &Message, dropped: Vec<(String, usize)>) -> Explained {
    let mut taken = Vec::new();
    let says = match message {
        Message::Settle(s) => {
            taken.extend([
                ("settlement", ends(s.request.as_str())),
                ("cardholder", ends(s.cardholder.as_str())),
                ("occurred at", s.occurred_at.timestamp().to_string()),
                ("amount, fen", s.amount_fen.to_string()),
                ("medical type", s.medical_type.to_string()),
                ("disease", s.disease_code.as_ref().map_or_else(|| "not said".into(), ToString::to_string)),
                ("channel", format!("{:?}", s.channel).to_lowercase()),
            ]);
            taken.extend(s.stay.iter().map(|stay| ("stay", ends(stay.as_str()))));
            taken.extend(s.sender.device.iter().map(|d| ("terminal", d.clone())));
            taken.extend(s.sender.operator.iter().map(|o| ("operator", o.clone())));
            "settle"
        }
        Message::Named(n) => {
            taken
                .extend([("request", ends(n.request.as_str())), ("settlement", ends(n.settlement.as_str()))]);
            taken.push(("paid from a relative's account", n.relatives_account.to_string()));
            "named"
        }
        Message::Failed { request } => {
            taken.push(("request", ends(request.as_str())));
            "failed"
        }
        Message::Cancel { settlement } => {
            taken.push(("settlement", ends(settlement.as_str())));
            "cancel"
        }
        Message::Registered(r) => {
            taken.extend(r.request.iter().map(|id| ("request", ends(id.as_str()))));
            taken.extend(r.stay.iter().map(|stay| ("stay", ends(stay.as_str()))));
            taken.push((
                "proxy",
                match r.proxy {
                    None => "nobody".into(),
                    Some(Proxy::Unnamed) => "somebody without a certificate".into(),
                    Some(Proxy::Certificate(_)) => "somebody, as a keyed hash of their certificate".into(),
                },
            ));
            "registered"
        }
        Message::StayNamed { request, stay } => {
            taken.extend([("request", ends(request.as_str())), ("stay", ends(stay.as_str()))]);
            "stay named"
        }
        Message::StayEnded { stay } => {
            taken.push(("stay", ends(stay.as_str())));
            "stay ended"
        }
        Message::Other { kind } => {
            taken.push(("kind", kind.clone()));
            "nothing"
        }
    };
    Explained { dialect, says, taken, dropped }
}

impl Explained {
    /// As a page for people.
    pub fn page(&self) -> String {
        let mut out = format!("dialect  {}\nsays     {}\n\ntaken:\n", self.dialect, self.says);
        for (what, value) in &self.taken {
            out.push_str(&format!("  {what:<30} {value}\n"));
        }
        out.push_str("\ndropped on receipt:\n");
        if self.dropped.is_empty() {
            out.push_str("  nothing\n");
        }
        for (path, characters) in &self.dropped {
            out.push_str(&format!("  {path:<40} {characters} characters\n"));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(explained: &Explained) -> Vec<&str> {
        explained.dropped.iter().map(|(path, _)| path.as_str()).collect()
    }

    #[test]
    fn what_is_dropped_is_named_and_not_shown() {
        let input = json!({ "data": {
            "psn_no": "31010000000000000001", "mdtrt_cert_no": "310101199001011234", "med_type": "11",
            "medfee_sumamt": "412.50", "mdtrt_id": "M-100", "invono": "" } });
        let message = json!({
            "infno": "2207", "msgid": "H31010000001202611220910150001", "opter": "op42", "opter_name": "李娜",
            "inf_time": "2026-11-22 09:10:15", "input": input.to_string(),
        });
        let explained = explain(message.to_string().as_bytes()).unwrap();
        assert_eq!((explained.dialect, explained.says), ("nhsa", "settle"));
        assert_eq!(paths(&explained), ["input.data.mdtrt_cert_no", "opter_name"]);
        let page = explained.page();
        for hidden in ["李娜", "310101199001011234", "31010000000000000001", "H3101000000120261122"] {
            assert!(!page.contains(hidden), "{page}");
        }
        assert!(page.contains("31…01") && page.contains("18 characters"), "{page}");
    }

    #[test]
    fn every_dialect_is_told_from_the_others() {
        let hl7 = "MSH|^~\\&|D-7|H|||20261122||DFT^P03|M1|P|2.5\rPID|1||P0001||王^小明\r\
                   FT1|1|S202611220001||20261122091015||CG|||||412.50|||||||14\r";
        let explained = explain(hl7.as_bytes()).unwrap();
        assert_eq!((explained.dialect, explained.says), ("hl7", "settle"));
        assert!(paths(&explained).contains(&"PID-5") && !paths(&explained).contains(&"PID-3"));
        let answer = json!({ "infcode": 0, "output": { "setlinfo": {
            "setl_id": "310000S0001", "medins_setl_id": "MSG-00001", "psn_name": "王小明" } } });
        let explained = explain(answer.to_string().as_bytes()).unwrap();
        assert_eq!((explained.dialect, explained.says), ("nhsa answer", "named"));
        assert_eq!(paths(&explained), ["output.setlinfo.psn_name"]);
        let fhir = json!({ "resourceType": "Encounter", "id": "M-1", "status": "finished" });
        assert_eq!(explain(fhir.to_string().as_bytes()).unwrap().dialect, "fhir");
        let own = json!({ "settlement_id": "S202611220001", "counter": "w1", "cardholder": "P0001",
            "occurred_at": "2026-11-22T09:10:15Z", "amount_fen": 1, "medical_type": "11" });
        assert_eq!(explain(own.to_string().as_bytes()).unwrap().dialect, "own");
        let wrong = explain(b"{\"infno\": 2207}").unwrap_err().to_string();
        assert!(wrong.contains("nhsa") && wrong.contains("input"), "{wrong}");
        assert!(explain(b"<xml/>").unwrap_err().to_string().contains("MSH"));
    }
}
