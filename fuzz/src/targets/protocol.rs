//! What crosses a wire, and what the store keeps as text.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use counterproof::clock::{BootId, BoxTime, Now, WallTime};
use counterproof::crypto::Sha256;
use counterproof::crypto::sign::{PublicKey, Signature, SigningKey, Unverified};
use counterproof::edge::alerts::Draft;
use counterproof::edge::inspect::read_heads;
use counterproof::http::problem::Problem;
use counterproof::privacy::age::{Ages, Due, Marks, Word};
use counterproof::protocol::alert::{Event, EventError, MAX_BYTES, Source};
use counterproof::protocol::commission::{Commission, Order};
use counterproof::protocol::countersign::{Countersigned, PostureAnswer};
use counterproof::protocol::head::HeadAnswer;
use counterproof::protocol::id::{AlertId, CardholderId, SettlementId};
use counterproof::protocol::join::JoinCode;
use counterproof::protocol::policy::PolicyDocument;
use counterproof::protocol::posture::Posture;
use counterproof::protocol::reference::{ReferenceSet, Template};
use counterproof::protocol::settlement::{Accepted, Settlement};
use counterproof::protocol::signed::SignedError;
use counterproof::protocol::transform::TransformGrant;
use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{choose, refused};

/// `POST /v1/settlements`.
pub fn settlement(data: &[u8]) -> bool {
    let settlement = match Settlement::from_json(data) {
        Ok(settlement) => settlement,
        Err(e) => return refused(e, data.len()),
    };
    let again = serde_json::to_vec(&settlement).unwrap();
    assert_eq!(Settlement::from_json(&again).unwrap(), settlement);
    nothing_smuggled(data, &again);
    true
}

/// `POST /v1/alerts`, and the drafts that the store holds. An event may have no
/// part that is not in the contract, however it is written: that is how it is
/// known that none carries a picture.
pub fn event(data: &[u8]) -> bool {
    let Some((choice, data)) = choose(data, 2) else { return false };
    if choice == 1 {
        return json::<Draft>(data);
    }
    let event = match Event::from_bytes(data) {
        Ok(event) => event,
        Err(e) => return refused(e, data.len()),
    };
    let again = match event.to_bytes() {
        Ok(again) => again,
        // A number or an id can be written shorter than this program writes it.
        Err(EventError::TooLong(_)) if data.len() > MAX_BYTES / 2 => return true,
        Err(e) => panic!("read, and cannot be written: {e}"),
    };
    assert_eq!(Event::from_bytes(&again).unwrap(), event);
    nothing_smuggled(data, &again);
    true
}

/// What box and bureau say to each other besides.
pub fn answers(data: &[u8]) -> bool {
    let Some((choice, data)) = choose(data, 11) else { return false };
    match choice {
        0 => match Posture::from_bytes(data) {
            Ok(posture) => {
                let again = serde_json::to_vec(&posture).unwrap();
                assert_eq!(Posture::from_bytes(&again).unwrap(), posture);
                nothing_smuggled(data, &again);
                true
            }
            Err(e) => refused(e, data.len()),
        },
        1 => references(data),
        2 => std::str::from_utf8(data).is_ok_and(template),
        3 => answer::<HeadAnswer>(data).is_some_and(|a| a.reach().is_some()),
        4 => json::<Accepted>(data),
        5 => posture_answer(data),
        6 => grant(data),
        7 => match PolicyDocument::read(data) {
            Ok(document) => {
                let again = PolicyDocument::read(document.to_string().as_bytes());
                assert_eq!(again.unwrap(), document);
                true
            }
            Err(e) => refused(e, data.len()),
        },
        8 => match std::str::from_utf8(data).map(read_heads) {
            Ok(Ok(heads)) => !heads.is_empty(),
            Ok(Err(e)) => refused(e, data.len()),
            Err(_) => false,
        },
        9 => match serde_json::from_slice::<Problem>(data) {
            Ok(problem) => {
                let answer = axum::response::IntoResponse::into_response(problem);
                assert!(answer.headers().contains_key("content-type"));
                true
            }
            Err(e) => refused(e, data.len()),
        },
        _ => order(data),
    }
}

/// An answer of the bureau, which may say more than this version reads.
fn answer<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(data).map_err(|e| refused(e, data.len())).ok()?;
    let again = serde_json::to_vec(&value).unwrap();
    assert_eq!(serde_json::from_slice::<T>(&again).unwrap(), value);
    Some(value)
}

/// An order that is signed counts for the box that it names, and for no other.
fn order(data: &[u8]) -> bool {
    let order: Order = match counterproof::protocol::json::read(data) {
        Ok(order) => order,
        Err(e) => return refused(e, data.len()),
    };
    let key = super::crypto::signing_key();
    let signed = Commission::sign(&order, &key).unwrap();
    nothing_smuggled(data, signed.0.document.as_bytes());
    match signed.verify(&key.public(), &order.agent) {
        Ok(word) => assert_eq!(word.order(), &order),
        Err(e) => assert!(matches!(e, SignedError::TooLong { .. }), "{e}"),
    }
    assert!(
        signed.verify(&key.public(), &"another".parse().unwrap()).is_err()
            || order.agent.as_str() == "another"
    );
    true
}

/// A countersignature holds for what the targets' key signed, and for nothing else.
fn posture_answer(data: &[u8]) -> bool {
    let Some(answer) = answer::<PostureAnswer>(data) else { return false };
    let head = &answer.countersigned;
    let key = super::crypto::signing_key();
    let ours = Countersigned::new(head.agent.clone(), head.audit, head.received_at, &key);
    assert_eq!(head.verify(&key.public()).is_ok(), ours.signature == head.signature);
    true
}

fn grant(data: &[u8]) -> bool {
    let grant: TransformGrant = match serde_json::from_slice(data) {
        Ok(grant) => grant,
        Err(e) => return refused(e, data.len()),
    };
    match grant.key() {
        Ok(key) => {
            let again = serde_json::to_vec(&TransformGrant::new(grant.version(), &key)).unwrap();
            nothing_smuggled(data, &again);
            assert_eq!(key.transform(4).apply(&[0.5; 4]).map(|v| v.len()), Some(4));
            true
        }
        Err(e) => refused(e, data.len()),
    }
}

/// References are made for the seeds' model; whoever asks for another gets none.
fn references(data: &[u8]) -> bool {
    let set: ReferenceSet = match serde_json::from_slice(data) {
        Ok(set) => set,
        Err(e) => return refused(e, data.len()),
    };
    let again = serde_json::to_vec(&set).unwrap();
    nothing_smuggled(data, &again);
    match set.usable(Sha256::of(super::seeds::MODEL), super::seeds::PREPROCESSING) {
        Ok(usable) => {
            assert!(usable.iter().all(|r| r.transform() == set.transform && r.dimension() > 0));
            !usable.is_empty()
        }
        Err(e) => refused(e, data.len()),
    }
}

/// A template that is taken has unit length and survives the wire.
fn template(text: &str) -> bool {
    let template = match Template::from_base64(text) {
        Ok(template) => template,
        Err(e) => return refused(e, text.len()),
    };
    let length: f64 = template.values().iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    assert!((length - 1.0).abs() < 1e-4, "its length is {length}");
    let again = Template::from_base64(&template.to_base64()).unwrap();
    assert!(template.values().iter().zip(again.values()).all(|(a, b)| (a - b).abs() < 1e-5));
    true
}

/// Names, numbers, digests, signatures and keys. What is read is written the
/// same way again: a name, digest or key has one spelling.
pub fn names(data: &[u8]) -> bool {
    let Some((choice, data)) = choose(data, 8) else { return false };
    if choice == 6 {
        return private_key(data);
    }
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let given = text.len();
    match choice {
        0 => match text.parse::<SettlementId>() {
            Ok(id) => {
                assert_eq!(id.to_string(), text);
                assert!(!text.contains(['/', '\\', '<', '"', '\n']), "{text}");
                assert_eq!(text.parse::<CardholderId>().unwrap().as_str(), text);
                true
            }
            Err(e) => refused(e, given),
        },
        1 => match text.parse::<Sha256>() {
            Ok(digest) => {
                assert_eq!(digest.to_string(), text.to_lowercase());
                true
            }
            Err(e) => refused(e, given),
        },
        2 => match text.parse::<Signature>() {
            Ok(signature) => {
                assert_eq!(signature.to_string().parse::<Signature>().unwrap(), signature);
                assert!(
                    Unverified::new(b"never signed", signature)
                        .verify(&super::crypto::signing_key().public())
                        .is_err()
                );
                true
            }
            Err(e) => refused(e, given),
        },
        3 => match PublicKey::from_base64(text) {
            Ok(key) => {
                let plain = text.trim();
                assert_eq!(key.to_base64(), plain.strip_prefix("ed25519:").unwrap_or(plain));
                assert_eq!(
                    serde_json::from_value::<PublicKey>(serde_json::to_value(&key).unwrap()).unwrap(),
                    key
                );
                let signature = super::crypto::signing_key().sign(b"x");
                assert!(Unverified::new(b"x", signature).verify(&key).is_err() || is_ours(&key));
                true
            }
            Err(e) => refused(e, given),
        },
        4 => match text.parse::<AlertId>() {
            Ok(id) => {
                assert_eq!(id.to_string().parse::<AlertId>().unwrap(), id);
                true
            }
            Err(e) => refused(e, given),
        },
        7 => match text.parse::<JoinCode>() {
            Ok(code) => {
                assert_eq!(code.to_line().as_str(), text.trim());
                true
            }
            Err(e) => refused(e, given),
        },
        _ => match Source::try_from(text.to_owned()) {
            Ok(source) => {
                assert_eq!(String::from(source), text);
                true
            }
            Err(e) => refused(e, given),
        },
    }
}

fn is_ours(key: &PublicKey) -> bool {
    *key == super::crypto::signing_key().public()
}

fn private_key(data: &[u8]) -> bool {
    match SigningKey::from_pkcs8(data) {
        Ok(key) => {
            let signed = Unverified::new(b"x", key.sign(b"x")).verify(&key.public());
            assert_eq!(signed.unwrap().bytes(), b"x");
            true
        }
        Err(e) => refused(e, data.len()),
    }
}

/// The count of ages as the store keeps it, and any clocks after it: six times
/// of 8 bytes, then JSON. However damaged what was kept is, the count goes on,
/// and never backwards.
pub fn marks(data: &[u8]) -> bool {
    let Some((times, text)) = data.split_first_chunk::<48>() else { return false };
    let mut times = times.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b));
    let mut time = || times.next().unwrap_or_default();
    let kept = serde_json::from_slice::<Marks>(text);
    if let Ok(kept) = &kept {
        let again = serde_json::to_vec(kept).unwrap();
        assert_eq!(serde_json::from_slice::<Marks>(&again).unwrap(), *kept);
    }
    let boot = BootId::from_bytes([text.first().copied().unwrap_or(0); 16]);
    let begun = time();
    let at = |boot: u64, wall: u64| Now {
        boot: BoxTime::from_millis(boot),
        wall: WallTime::from_millis(wall as i64),
    };
    let start = at(begun, time());
    let later = at(begun.saturating_add(time() % 100_000_000_000), time());
    let bureau = WallTime::from_millis(time() as i64);
    let bound = Duration::from_millis(time() % 100_000);
    let accepted = kept.is_ok();
    let mut ages = Ages::resume(kept.ok(), None, boot, start);
    let first = ages.now(start);
    ages.look(later);
    assert!(ages.now(later) >= first);
    ages.hear(Word::exact(bureau, bound / 2), bound, later);
    for told in [None, Some(bureau)] {
        while let Some(due) = ages.due(told, later) {
            let (Due::Older(_, gap) | Due::WaitingOlder(_, gap)) = due;
            assert!(i64::try_from(gap.as_millis()).is_ok(), "the store cannot count a gap of {gap:?}");
            let marks = ages.marks_once_counted(due, later);
            ages.counted(due);
            assert_eq!(marks, ages.marks(later));
        }
    }
    assert!(ages.doubt().is_none_or(|d| !d.to_string().is_empty()));
    accepted
}

/// A type that goes through JSON and back.
fn json<T: Serialize + DeserializeOwned>(data: &[u8]) -> bool {
    match serde_json::from_slice::<T>(data) {
        Ok(value) => {
            let again = serde_json::to_vec(&value).unwrap();
            let third = serde_json::to_vec(&serde_json::from_slice::<T>(&again).unwrap()).unwrap();
            assert_eq!(again, third);
            nothing_smuggled(data, &again);
            true
        }
        Err(e) => refused(e, data.len()),
    }
}

/// Every key that was read is one that is written, as often, and nothing
/// follows the document. A `null` for what may be absent counts as absent.
fn nothing_smuggled(read: &[u8], written: &[u8]) {
    let keys = |bytes| serde_json::from_slice::<Keys>(bytes).expect("more than one JSON document was taken");
    let (read, written) = (keys(read).all, keys(written).all);
    assert!(read.is_subset(&written), "taken and not written: {:?}", read.difference(&written));
}

/// The keys of a JSON document with their paths, repeated ones too.
#[derive(Default)]
struct Keys {
    all: BTreeSet<(String, usize)>,
    null: bool,
}

impl Keys {
    fn take(&mut self, name: &str, inner: Keys) {
        if inner.null {
            return;
        }
        let mut add = |path: String| {
            let mut n = 0;
            while !self.all.insert((path.clone(), n)) {
                n += 1;
            }
        };
        add(name.to_owned());
        inner.all.into_iter().for_each(|(path, _)| add(format!("{name}.{path}")));
    }
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Keys;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Keys, E> {
        Ok(Keys { null: true, ..Keys::default() })
    }
    fn visit_bool<E>(self, _: bool) -> Result<Keys, E> {
        Ok(Keys::default())
    }
    fn visit_i64<E>(self, _: i64) -> Result<Keys, E> {
        Ok(Keys::default())
    }
    fn visit_u64<E>(self, _: u64) -> Result<Keys, E> {
        Ok(Keys::default())
    }
    fn visit_f64<E>(self, _: f64) -> Result<Keys, E> {
        Ok(Keys::default())
    }
    fn visit_str<E>(self, _: &str) -> Result<Keys, E> {
        Ok(Keys::default())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Keys, A::Error> {
        let mut keys = Keys::default();
        while let Some(item) = items.next_element::<Keys>()? {
            keys.take("[]", item);
        }
        Ok(keys)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Keys, A::Error> {
        let mut keys = Keys::default();
        while let Some((name, value)) = fields.next_entry::<String, Keys>()? {
            keys.take(&name, value);
        }
        Ok(keys)
    }
}
