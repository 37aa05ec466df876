//! Checking a bundle, without a network: each check named and explained.
//!
//! A check passes, fails, or cannot be told from what is in the file. Nothing
//! is believed because it stands in the bundle: a signature is checked over the
//! exact bytes, a digest is made anew. What the bureau alone says (when keys
//! were registered, which events stand beside the alert) is called its word.
//!
//! What no check can show is in [`super::report::NOT_PROVEN`], and is printed
//! with each result.

use super::report::{Check, Outcome, Report};
use super::{BoxPart, Bundle, BundleError, Document, LaterWord, RegisteredKey, SignedEvent, Unchecked};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::{PublicKey, SignatureError, Unverified};
use crate::protocol::alert::{Content, Event, Settings};
use crate::protocol::countersign::{Countersigned, Received};
use crate::protocol::document::DocumentKind;

/// Keys that the reader has from elsewhere: from the bureau's own publication,
/// from the box.
#[derive(Debug, Clone, Default)]
pub struct Pinned {
    /// The bureau's.
    pub bureau: Option<PublicKey>,
    /// The box's.
    pub agent: Option<PublicKey>,
}

/// An answer with its reason.
type Answer = Result<String, (Outcome, String)>;

fn fail<T>(why: impl Into<String>) -> Result<T, (Outcome, String)> {
    Err((Outcome::Fail, why.into()))
}

fn untold<T>(why: impl Into<String>) -> Result<T, (Outcome, String)> {
    Err((Outcome::CannotBeTold, why.into()))
}

/// Checks a file.
pub fn check(file: &[u8], pinned: &Pinned) -> Report {
    let mut checks = Vec::new();
    let unchecked = match Unchecked::read(file) {
        Ok(u) => u,
        Err(e) => {
            add(&mut checks, FORM, fail(unreadable(&e)));
            return Report::of(checks);
        }
    };
    let bundle = unchecked.bundle();
    add(&mut checks, FORM, Ok(format!("version 1, about event {}, made {}", bundle.event, bundle.made_at)));
    add(&mut checks, BUNDLE_SIGNATURE, bundle_signature(&unchecked));
    add(&mut checks, BUREAU_KEY, bureau_key(bundle, pinned));
    let alert = read_alert(bundle);
    let event = alert.as_ref().ok();
    let named = event.and_then(|e| e.content.about()).map(|about| about.settings);
    add(&mut checks, ALERT_FORM, alert.as_ref().map(told).map_err(Clone::clone));
    add(&mut checks, ALERT_SIGNATURE, alert_signature(bundle, pinned));
    add(&mut checks, BOX_KEY, box_key(bundle, event, pinned));
    add(&mut checks, RECEIPT, receipt(bundle, event));
    add(&mut checks, CHAIN_BEFORE, chain_before(bundle, event));
    add(&mut checks, CHAIN_AFTER, chain_after(bundle, event));
    add(&mut checks, LATER, later(bundle, event));
    add(&mut checks, POLICY, document(bundle, DocumentKind::Policy, named).and_then(|d| policy(d, named)));
    add(&mut checks, NOTICE, document(bundle, DocumentKind::Notice, named).map(notice));
    add(&mut checks, CALIBRATION, document(bundle, DocumentKind::Calibration, named).map(calibration));
    let heads = bundle.heads.as_ref();
    add(&mut checks, HEAD_BEFORE, head(bundle, event, heads.map(|h| h.before.as_ref()), Side::Before));
    add(&mut checks, HEAD_AFTER, head(bundle, event, heads.map(|h| h.after.as_ref()), Side::After));
    Report::of(checks)
}

/// A check's name and question.
type Asked = (&'static str, &'static str);

const FORM: Asked = ("form", "Is this file a bundle that this version can read?");
const BUNDLE_SIGNATURE: Asked =
    ("bundle_signature", "Is the file, to the last byte, what the bureau signed?");
const BUREAU_KEY: Asked = ("bureau_key", "Is the key in the file the bureau's own?");
const ALERT_FORM: Asked = ("alert", "Is the alert there, and of the form that boxes send?");
const ALERT_SIGNATURE: Asked = ("alert_signature", "Did the box sign exactly these bytes?");
const BOX_KEY: Asked = ("box_key", "Was that key registered for this box, and in force?");
const RECEIPT: Asked = ("receipt", "Did the bureau sign for having received it, and when?");
const CHAIN_BEFORE: Asked = ("chain_before", "Does it follow the event before it?");
const CHAIN_AFTER: Asked = ("chain_after", "Does the event after it follow this one?");
const LATER: Asked = ("later", "What did the box say of it later?");
const POLICY: Asked = ("policy", "Is the privacy policy that was in force there, unchanged?");
const NOTICE: Asked = ("notice", "Is the text of the posted notice there, unchanged?");
const CALIBRATION: Asked = ("calibration", "Is the calibration that was used there, unchanged?");
const HEAD_BEFORE: Asked =
    ("audit_head_before", "Had the bureau countersigned the box's audit log before the alert came?");
const HEAD_AFTER: Asked = ("audit_head_after", "Has the bureau countersigned the box's audit log since?");

fn add(checks: &mut Vec<Check>, (name, question): Asked, answer: Answer) {
    let (outcome, explanation) = match answer {
        Ok(why) => (Outcome::Pass, why),
        Err(other) => other,
    };
    // Text out of a document must not write on the reader's terminal.
    let explanation = explanation.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    checks.push(Check { name, question, outcome, explanation });
}

fn unreadable(e: &BundleError) -> String {
    format!("{e}. Nothing else was checked; ask the bureau for the file again")
}

fn bundle_signature(u: &Unchecked<'_>) -> Answer {
    let key = &u.bundle.bureau.public_key;
    match Unverified::new(u.signed, u.signature.clone()).verify(key) {
        Ok(_) => Ok(format!("signed with key {} over {} bytes", key.id(), u.signed.len())),
        Err(SignatureError::Wrong) => {
            fail("the signature does not fit the bytes: something in the file was changed after it was made")
        }
        Err(e) => fail(e.to_string()),
    }
}

fn bureau_key(bundle: &Bundle, pinned: &Pinned) -> Answer {
    let key = &bundle.bureau.public_key;
    match &pinned.bureau {
        Some(p) if p == key => Ok(format!("key {} is the one that was given", key.id())),
        Some(p) => fail(format!(
            "the file is signed with key {}; the one given is {}: it was made by somebody else, or the bureau has a new key",
            key.id(),
            p.id()
        )),
        None => untold(format!(
            "no key was given. Compare {} with the one that the bureau publishes, or give it with --bureau-key",
            key.to_base64()
        )),
    }
}

fn missing<T>(part: &str) -> Result<T, (Outcome, String)> {
    fail(format!("the bundle has no {part}: without it the alert is not proven; ask the bureau for it"))
}

fn signed_alert(bundle: &Bundle) -> Result<&SignedEvent, (Outcome, String)> {
    bundle.alert.as_ref().map_or_else(|| missing("alert"), Ok)
}

fn the_box(bundle: &Bundle) -> Result<&BoxPart, (Outcome, String)> {
    bundle.agent.as_ref().map_or_else(|| missing("box with its keys"), Ok)
}

fn the_event(event: Option<&Event>) -> Result<&Event, (Outcome, String)> {
    event.map_or_else(|| untold("the alert cannot be read"), Ok)
}

fn read_alert(bundle: &Bundle) -> Result<Event, (Outcome, String)> {
    let alert = signed_alert(bundle)?;
    let event =
        Event::from_bytes(&alert.bytes.0).or_else(|e| fail(format!("the alert cannot be read: {e}")))?;
    if event.id != bundle.event {
        return fail(format!("the bundle is about event {}, the alert in it is {}", bundle.event, event.id));
    }
    if let Some(agent) = &bundle.agent
        && event.source.0 != agent.name
    {
        return fail(format!("the alert is by {}, the bundle says {}", event.source.0, agent.name));
    }
    let Some(about) = event.content.about() else {
        return fail("the event is a later word about an alert: bundles are made of alerts");
    };
    if let Some(agent) = bundle.agent.as_ref().filter(|a| a.hospital != *about.hospital) {
        return fail(format!(
            "the alert names the hospital {}, the bureau has {} on record for its box",
            about.hospital, agent.hospital
        ));
    }
    Ok(event)
}

fn told(event: &Event) -> String {
    let subject = event.subject.as_ref().map_or("", |s| s.as_str());
    let said = match &event.content {
        Content::Mismatch(data) => {
            let c = &data.comparison;
            format!(
                "mean score {:.3}, threshold {:.3}, {} probes in {} ms; proxies compared: {}",
                c.score, c.threshold, c.probes, c.span_ms, data.proxies_compared
            )
        }
        Content::Absent(data) => {
            let o = &data.observation;
            format!(
                "billed and not seen; the entrance was observed for {:.1} % of the shift, {} of {} expected were seen, {} of {} faces were unclear",
                f64::from(o.observed_permille) / 10.0,
                o.seen,
                o.expected,
                o.unclear,
                o.faces
            )
        }
        Content::Withdrawn(_) | Content::Expired(_) => String::new(),
    };
    event.content.about().map_or(String::new(), |about| {
        format!(
            "settlement {subject} at counter {} of hospital {}, {}; {said}; by agent version {}",
            about.counter,
            about.hospital,
            about.occurred_at.timestamp(),
            about.settings.agent_version
        )
    })
}

/// The registered key that a signature names.
fn registered<'a>(agent: &'a BoxPart, signed: &SignedEvent) -> Result<&'a RegisteredKey, (Outcome, String)> {
    let named = signed.signature.key();
    agent
        .keys
        .iter()
        .find(|k| k.public_key.id() == *named)
        .map_or_else(|| fail(format!("it names key {named}, which was never registered for this box")), Ok)
}

fn alert_signature(bundle: &Bundle, pinned: &Pinned) -> Answer {
    let alert = signed_alert(bundle)?;
    // With the box's key at hand, the bureau's register is not needed for this.
    let key = match &pinned.agent {
        Some(key) => key,
        None => &registered(the_box(bundle)?, alert)?.public_key,
    };
    match Unverified::new(&alert.bytes.0, alert.signature.clone()).verify(key) {
        Ok(_) => Ok(format!(
            "signed with key {} over {} bytes, SHA-256 {}",
            key.id(),
            alert.bytes.0.len(),
            Sha256::of(&alert.bytes.0)
        )),
        Err(e) => fail(e.to_string()),
    }
}

fn box_key(bundle: &Bundle, event: Option<&Event>, pinned: &Pinned) -> Answer {
    let agent = the_box(bundle)?;
    let key = registered(agent, signed_alert(bundle)?)?;
    let event = the_event(event)?;
    let until = key.until.map_or_else(|| "now".to_owned(), |t| t.to_string());
    let span = format!(
        "by the bureau's word, {} had key {} from {} until {until}",
        agent.name,
        key.public_key.id(),
        key.since
    );
    if !in_force(key, event, bundle.receipt.as_ref().map(|r| r.received_at)) {
        return fail(format!("{span}; the alert is of {}", event.time));
    }
    match &pinned.agent {
        Some(p) if *p != key.public_key => fail(format!("the key given is {}; {span}", p.id())),
        Some(_) => Ok(format!("{span}; it is the one that was given")),
        None => Ok(span),
    }
}

/// Whether a key was in force for an event: registered when it came, and not
/// yet replaced when it was signed.
fn in_force(key: &RegisteredKey, event: &Event, received_at: Option<WallTime>) -> bool {
    received_at.is_none_or(|at| key.since <= at) && key.until.is_none_or(|until| event.signed_at() <= until)
}

/// Tries the bureau's present key, and those it had before.
fn by_bureau<T>(
    bundle: &Bundle,
    verify: impl Fn(&PublicKey) -> Result<T, SignatureError>,
) -> Result<T, SignatureError> {
    let present = verify(&bundle.bureau.public_key);
    if !matches!(present, Err(SignatureError::OtherKey { .. })) {
        return present;
    }
    bundle.bureau.earlier_keys.iter().find_map(|k| verify(k).ok()).map_or(present, Ok)
}

fn receipt(bundle: &Bundle, event: Option<&Event>) -> Answer {
    let Some(receipt) = &bundle.receipt else { return missing("receipt of the bureau") };
    let event = the_event(event)?;
    let received = Received {
        agent: &event.source.0,
        epoch: event.chain.epoch,
        seq: event.chain.seq,
        digest: Sha256::of(&signed_alert(bundle)?.bytes.0),
    };
    match by_bureau(bundle, |key| receipt.verify(received, key)) {
        Ok(()) => Ok(format!("received {}, by the bureau's clock", receipt.received_at)),
        Err(e) => fail(format!("the receipt is not for this alert at this time: {e}")),
    }
}

fn chain_before(bundle: &Bundle, event: Option<&Event>) -> Answer {
    let Some(neighbours) = &bundle.neighbours else { return missing("place in the chain") };
    let chain = the_event(event)?.chain;
    match (chain.seq, chain.previous, neighbours.before) {
        (1, None, _) => Ok(format!("it is the first event of epoch {}", chain.epoch)),
        (1, Some(_), _) | (_, None, _) => fail("its link does not fit its number"),
        (seq, Some(_), None) => untold(format!(
            "the bureau does not hold event {}: there is a gap before this one",
            seq.saturating_sub(1)
        )),
        (seq, Some(named), Some(held)) if named == held.digest => {
            let before = seq.saturating_sub(1);
            let how = if held.expired {
                "expired on the box; its digest, which the box signed for,"
            } else {
                "is held; its digest"
            };
            Ok(format!("number {seq} of its epoch; event {before} {how} is the one that this alert names"))
        }
        (_, Some(named), Some(held)) => {
            fail(format!("it names {named} as the event before; the bureau holds {}", held.digest))
        }
    }
}

fn chain_after(bundle: &Bundle, event: Option<&Event>) -> Answer {
    let Some(neighbours) = &bundle.neighbours else { return missing("place in the chain") };
    let event = the_event(event)?;
    let Some(after) = neighbours.after else {
        return untold(
            "no later event was held when the bundle was made: this was the last, or there is a gap after it",
        );
    };
    let own = Sha256::of(&signed_alert(bundle)?.bytes.0);
    let next = event.chain.seq.saturating_add(1);
    if (after.link.epoch, after.link.seq) != (event.chain.epoch, next) {
        return fail(format!(
            "the event given as the next is number {} of epoch {}",
            after.link.seq, after.link.epoch
        ));
    }
    if after.link.previous != Some(own) {
        return fail("the next event names another event as the one before it");
    }
    Ok(format!("by the bureau's word, event {next} ({}) names the digest of this alert", after.digest))
}

fn later(bundle: &Bundle, event: Option<&Event>) -> Answer {
    let Some(words) = &bundle.later else { return missing("list of what was said of it later") };
    let alert = the_event(event)?;
    let agent = the_box(bundle)?;
    if words.is_empty() {
        return Ok("nothing, by the bureau's word: it was not withdrawn when the bundle was made".into());
    }
    let said: Result<Vec<String>, _> = words.iter().map(|w| later_word(agent, alert, w)).collect();
    said.map(|all| all.join("; "))
}

fn later_word(agent: &BoxPart, alert: &Event, word: &LaterWord) -> Answer {
    let bytes = &word.event.bytes.0;
    let key = registered(agent, &word.event)?;
    Unverified::new(bytes, word.event.signature.clone())
        .verify(&key.public_key)
        .or_else(|e| fail(format!("a later event: {e}")))?;
    let event = Event::from_bytes(bytes).or_else(|e| fail(format!("a later event cannot be read: {e}")))?;
    if event.source != alert.source || !in_force(key, &event, Some(word.received_at)) {
        return fail("a later event is by another box, or by a key that was not in force");
    }
    match event.content {
        Content::Withdrawn(w) if w.alert == alert.id => Ok(format!(
            "WITHDRAWN by the box with event {}, received {}: the settlement was cancelled",
            event.chain.seq, word.received_at
        )),
        Content::Expired(e) if e.alert == alert.id => {
            Ok(format!("the box says, with event {}, that it no longer holds the alert", event.chain.seq))
        }
        _ => fail("a later event is about another alert"),
    }
}

fn document<'a>(
    bundle: &'a Bundle,
    kind: DocumentKind,
    named: Option<&Settings>,
) -> Result<&'a Document, (Outcome, String)> {
    let Some(settings) = named else { return untold("the alert cannot be read") };
    let named = match kind {
        DocumentKind::Policy => settings.policy,
        DocumentKind::Notice => settings.notice,
        DocumentKind::Calibration => settings.calibration,
    };
    let Some(document) = bundle.documents.iter().find(|d| d.kind == kind) else {
        return untold(format!(
            "the bundle has no {kind} document: the bureau does not hold it. The alert names it by SHA-256 {named}"
        ));
    };
    let found = Sha256::of(&document.bytes.0);
    if found != named {
        return fail(format!("the alert names {named}; this document is {found}: another, or changed"));
    }
    Ok(document)
}

fn policy(document: &Document, named: Option<&Settings>) -> Answer {
    let value: serde_json::Value = serde_json::from_slice(&document.bytes.0)
        .or_else(|e| fail(format!("it has the right digest, but is no JSON: {e}")))?;
    let text = |path: &str| value.pointer(path).and_then(|v| v.as_str()).unwrap_or("?").to_owned();
    if let Some(settings) = named
        && ![text("/notice/sha256"), text("/entrance/notice/sha256")].contains(&settings.notice.to_string())
    {
        return fail("the policy names another notice than the alert does");
    }
    Ok(format!(
        "its digest is the one in the alert; controller: {}; basis: {}, {} {}; notice {} since {}",
        text("/controller"),
        text("/basis/kind"),
        text("/basis/instrument"),
        text("/basis/article"),
        text("/notice/id"),
        text("/notice/posted_on")
    ))
}

fn notice(document: &Document) -> String {
    let text = String::from_utf8_lossy(&document.bytes.0);
    let first = text.lines().find(|l| !l.trim().is_empty()).unwrap_or_default();
    let first: String = first.chars().take(120).collect();
    format!("its digest is the one in the alert; {} characters; it begins: {first}", text.chars().count())
}

fn calibration(document: &Document) -> String {
    let text = String::from_utf8_lossy(&document.bytes.0);
    let table: Option<toml::Table> = text.parse().ok();
    let Some(table) = table else {
        return "its digest is the one in the alert; its text is not understood here".into();
    };
    let word = |key: &str| table.get(key).map_or_else(|| "?".to_owned(), ToString::to_string);
    let thresholds = table.get("thresholds").and_then(|t| t.as_table());
    let thresholds: Vec<String> =
        thresholds.into_iter().flatten().map(|(name, value)| format!("{name} = {value}")).collect();
    format!(
        "its digest is the one in the alert; model {}; source: {}; {}",
        word("model"),
        word("source"),
        thresholds.join(", ")
    )
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

fn head(bundle: &Bundle, event: Option<&Event>, found: Option<Option<&Countersigned>>, side: Side) -> Answer {
    let Some(found) = found else { return missing("countersigned audit heads") };
    let Some(head) = found else {
        let when = if side == Side::Before { "before" } else { "after" };
        return untold(format!(
            "the bundle has no audit head that the bureau countersigned {when} the receipt"
        ));
    };
    let event = the_event(event)?;
    if let Err(e) = by_bureau(bundle, |key| head.verify(key)) {
        return fail(format!("the countersignature does not hold: {e}"));
    }
    if head.agent != event.source.0 {
        return fail(format!("it is the head of {}, the alert is by {}", head.agent, event.source.0));
    }
    if let Some(receipt) = &bundle.receipt {
        let right = match side {
            Side::Before => head.received_at <= receipt.received_at,
            Side::After => head.received_at > receipt.received_at,
        };
        if !right {
            return fail(format!("it is of {}, on the other side of the receipt", head.received_at));
        }
    }
    Ok(format!(
        "record {} of epoch {}, countersigned {}: compare it with the box's own log (`counterproof audit verify --heads`)",
        head.audit.seq, head.audit.epoch, head.received_at
    ))
}
