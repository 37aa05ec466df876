//! The file that proves an alert: checked by people who did not make it.
//!
//! An input is four bytes (how the rest is meant, where one byte is changed, and
//! by which mask), then the file. If the first byte is odd, the rest is the
//! inner object, to which the bureau's signature is added; and in it, where
//! bytes are expected, an object stands for its text, and `auto` for the
//! signature that belongs there, as box and bureau could have written it.

use base64::{Engine, engine::general_purpose::STANDARD};
use counterproof::clock::WallTime;
use counterproof::crypto::Sha256;
use counterproof::protocol::bundle::check::{Pinned, check};
use counterproof::protocol::bundle::report::{Outcome, Report};
use counterproof::protocol::countersign::{Countersigned, Receipt, Received};
use counterproof::protocol::id::{AgentId, Epoch};
use counterproof::protocol::posture::AuditHead;
use serde_json::Value;

use super::crypto::signing_key;

/// Checks a file: whatever it is, each check answers, in words that do not
/// write on a terminal; and one changed byte of a file that passes fails it.
pub fn file(data: &[u8]) -> bool {
    let Some(([how, at_low, at_high, mask], rest)) = data.split_first_chunk::<4>() else { return false };
    let file = if how % 2 == 1 { framed(rest) } else { rest.to_vec() };
    let key = signing_key().public();
    let pinned = Pinned { bureau: Some(key.clone()), agent: Some(key) };
    let report = checked(&file, &pinned);
    checked(&file, &Pinned::default());
    if report.passed && *mask != 0 {
        let at = usize::from(u16::from_le_bytes([*at_low, *at_high])) % file.len();
        let mut changed = file;
        changed[at] ^= mask;
        assert!(!checked(&changed, &pinned).passed, "a changed byte was not noticed");
    }
    report.passed
}

fn checked(file: &[u8], pinned: &Pinned) -> Report {
    let report = check(file, pinned);
    assert!(report.checks.iter().all(|c| !c.explanation.is_empty()));
    assert!(!report.table().contains(|c: char| c.is_control() && c != '\n'));
    assert!(serde_json::to_string(&report).is_ok());
    assert_eq!(report.passed, report.checks.iter().all(|c| c.outcome != Outcome::Fail));
    report
}

fn framed(inner: &[u8]) -> Vec<u8> {
    let inner = match serde_json::from_slice::<Value>(inner) {
        Ok(mut bundle) => {
            fill(&mut bundle);
            bundle.to_string().into_bytes()
        }
        Err(_) => inner.to_vec(),
    };
    let signature = signing_key().sign(&inner).to_string();
    [b"{\"bundle\":", inner.as_slice(), b",\"signature\":\"", signature.as_bytes(), b"\"}\n"].concat()
}

/// Puts bytes for objects and signatures for `auto`.
fn fill(bundle: &mut Value) {
    let documents = bundle.get_mut("documents").and_then(Value::as_array_mut);
    documents.into_iter().flatten().for_each(|d| drop(bytes_of(d)));
    let later = bundle.get_mut("later").and_then(Value::as_array_mut);
    later.into_iter().flatten().filter_map(|w| w.get_mut("event")).for_each(sign_event);
    let event = bundle.pointer("/alert/bytes").cloned().unwrap_or_default();
    if let Some(alert) = bundle.get_mut("alert") {
        sign_event(alert);
    }
    if let Some(signature) = receipt(bundle, &event) {
        bundle["receipt"]["signature"] = signature.into();
    }
    for side in ["before", "after"] {
        if let Some(head) = bundle.pointer_mut(&format!("/heads/{side}"))
            && let Some(signature) = countersignature(head)
        {
            head["signature"] = signature.into();
        }
    }
}

/// The text of an object under `bytes`, which takes its place as base64.
fn bytes_of(part: &mut Value) -> Option<Vec<u8>> {
    let bytes = part.get_mut("bytes")?;
    if bytes.is_object() {
        *bytes = STANDARD.encode(bytes.to_string()).into();
    }
    STANDARD.decode(bytes.as_str()?).ok()
}

fn is_automatic(part: &Value) -> bool {
    part.get("signature").and_then(Value::as_str) == Some("auto")
}

fn sign_event(part: &mut Value) {
    let bytes = bytes_of(part);
    if let (Some(bytes), true) = (bytes, is_automatic(part)) {
        part["signature"] = signing_key().sign(&bytes).to_string().into();
    }
}

fn time(part: &Value) -> Option<WallTime> {
    part.get("received_at")?.as_i64().map(WallTime::from_millis)
}

/// The receipt of the alert, whose object stands in `event`.
fn receipt(bundle: &Value, event: &Value) -> Option<String> {
    let receipt = bundle.get("receipt").filter(|r| is_automatic(r))?;
    let agent: AgentId = bundle.pointer("/box/name")?.as_str()?.parse().ok()?;
    let epoch: Epoch = event.pointer("/chain/epoch")?.as_str()?.parse().ok()?;
    let seq = event.pointer("/chain/seq")?.as_u64()?;
    let digest = Sha256::of(event.to_string().as_bytes());
    let received = Received { agent: &agent, epoch, seq, digest };
    Some(Receipt::new(received, time(receipt)?, &signing_key()).signature.to_string())
}

fn countersignature(head: &Value) -> Option<String> {
    let audit: AuditHead = serde_json::from_value(head.get("audit")?.clone()).ok()?;
    let agent: AgentId = head.get("agent")?.as_str()?.parse().ok()?;
    let signed = Countersigned::new(agent, audit, time(head).filter(|_| is_automatic(head))?, &signing_key());
    Some(signed.signature.to_string())
}
