//! FHIR R4: a `Claim` that a hospital sends for a settlement, by itself or in a `Bundle`
//! with its `Encounter`, or an `Encounter` alone.
//!
//! A `Claim` is a settlement (`status` `active`) or takes one back (`cancelled`,
//! `entered-in-error`). Its number is the first `identifier`, else its `id`; the
//! cardholder the patient's `identifier`, else the last part of the reference; the time
//! `billablePeriod.end`, else `created`, with a time of day; the amount `total` in CNY.
//! The kind of care is the code of `subType` or `type` if it is a `med_type`, else the
//! class of the `Encounter`. An `Encounter` alone begins a stay, or ends it (`finished`,
//! `cancelled`); a `RelatedPerson` in the bundle acts for the cardholder.

use super::tree::{Branch, Tree};
use super::{
    CertificateDigest, Message, Misread, Proxy, Registration, Sender, Settling, StayId, disease, sender_part,
    untidy,
};
use crate::clock::HisTime;
use crate::protocol::id::MedicalType;
use crate::protocol::settlement::Channel;

/// Reads a message.
///
/// # Errors
/// [`Misread`] with the path of the field.
pub fn read(bytes: &[u8]) -> Result<Message, Misread> {
    let tree = Tree::read(bytes)?;
    let root = tree.root()?;
    let mut parts = Parts::default();
    match root.needed("resourceType")?.as_str() {
        "Bundle" => {
            for entry in root.list("entry")? {
                if let Some(resource) = entry.branch("resource")? {
                    parts.take(resource)?;
                }
            }
        }
        _ => parts.take(root)?,
    }
    let Parts { claim, encounter, related, kind } = parts;
    match (claim, encounter) {
        (Some(claim), encounter) => understand_claim(&claim, encounter.as_ref()),
        (None, Some(encounter)) => understand_encounter(&encounter, related.as_ref()),
        (None, None) => Ok(Message::Other { kind }),
    }
}

/// What of a bundle is looked at.
#[derive(Default)]
struct Parts<'m> {
    claim: Option<Branch<'m>>,
    encounter: Option<Branch<'m>>,
    related: Option<Branch<'m>>,
    kind: String,
}

impl<'m> Parts<'m> {
    fn take(&mut self, resource: Branch<'m>) -> Result<(), Misread> {
        let kind = resource.needed("resourceType")?;
        let place = match kind.as_str() {
            "Claim" => &mut self.claim,
            "Encounter" => &mut self.encounter,
            "RelatedPerson" => &mut self.related,
            _ => {
                self.kind = kind.chars().take(40).collect();
                return Ok(());
            }
        };
        if place.is_some() {
            return Err(Misread::new(
                resource.at("resourceType"),
                format!("a second {kind}; send each settlement by itself"),
            ));
        }
        *place = Some(resource);
        Ok(())
    }
}

fn understand_claim(claim: &Branch<'_>, encounter: Option<&Branch<'_>>) -> Result<Message, Misread> {
    let status = claim.needed("status")?;
    let number = number(claim)?;
    let settlement = number.text.parse().map_err(|e| Misread::new(&number.path, format!("{e}")))?;
    match status.as_str() {
        "active" => {}
        "cancelled" | "entered-in-error" => return Ok(Message::Cancel { settlement }),
        _ => return Ok(Message::Other { kind: "Claim that is not active".into() }),
    }
    let person = reference(claim, "patient")?;
    let cardholder = person.text.parse().map_err(|e| Misread::new(&person.path, format!("{e}")))?;
    let stay = match encounter {
        Some(encounter) => Some(stay_of(encounter)?),
        None => None,
    };
    Ok(Message::Settle(Box::new(Settling {
        request: settlement,
        cardholder,
        occurred_at: time(claim)?,
        amount_fen: amount(claim)?,
        medical_type: medical_type(claim, encounter)?,
        disease_code: disease(diagnosis(claim)?),
        channel: Channel::Window,
        stay,
        sender: Sender {
            operator: optional_reference(claim, "enterer")?,
            device: optional_reference(claim, "facility")?,
        },
    })))
}

fn understand_encounter(encounter: &Branch<'_>, related: Option<&Branch<'_>>) -> Result<Message, Misread> {
    let stay = stay_of(encounter)?;
    if matches!(encounter.needed("status")?.as_str(), "finished" | "cancelled" | "entered-in-error") {
        return Ok(Message::StayEnded { stay });
    }
    let proxy = match related {
        None => None,
        Some(related) => Some(match related.list("identifier")?.first() {
            None => Proxy::Unnamed,
            Some(identifier) => {
                let number = zeroize::Zeroizing::new(identifier.needed("value")?);
                // An identity card, unless it says something else in the national code list.
                let kind = identifier.branch("type")?.map(|t| code(&t)).transpose()?.flatten();
                let kind = kind.filter(|k| k.bytes().all(|b| b.is_ascii_digit()));
                Proxy::Certificate(CertificateDigest::of(kind.as_deref().unwrap_or("01"), &number))
            }
        }),
    };
    Ok(Message::Registered(Registration { request: None, stay: Some(stay), proxy }))
}

/// A text and where it stands.
struct Placed {
    text: String,
    path: String,
}

/// The business identifier of a resource, else its id.
fn number(resource: &Branch<'_>) -> Result<Placed, Misread> {
    if let Some(first) = resource.list("identifier")?.first() {
        return Ok(Placed { text: first.needed("value")?, path: first.at("value") });
    }
    Ok(Placed { text: resource.needed("id")?, path: resource.at("id") })
}

/// Whom a resource refers to: by their identifier, else by the last part of the reference.
fn reference(resource: &Branch<'_>, key: &str) -> Result<Placed, Misread> {
    let reference =
        resource.branch(key)?.ok_or_else(|| Misread::new(resource.at(key), "nothing; it is needed"))?;
    if let Some(identifier) = reference.branch("identifier")? {
        return Ok(Placed { text: identifier.needed("value")?, path: identifier.at("value") });
    }
    let text = reference.needed("reference")?;
    let last = text.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(Placed { text: last, path: reference.at("reference") })
}

fn optional_reference(resource: &Branch<'_>, key: &str) -> Result<Option<String>, Misread> {
    if !resource.has(key) {
        return Ok(None);
    }
    let found = reference(resource, key)?;
    sender_part(&found.path, Some(found.text))
}

fn stay_of(encounter: &Branch<'_>) -> Result<StayId, Misread> {
    let number = number(encounter)?;
    StayId::read(&number.path, &number.text)
}

/// A day alone is no moment: a window cannot be placed by it.
fn time(claim: &Branch<'_>) -> Result<HisTime, Misread> {
    if let Some(period) = claim.branch("billablePeriod")?
        && let Some(end) = period.text("end")?
        && end.contains('T')
    {
        return untidy::time(&end).map_err(|what| Misread::new(period.at("end"), what));
    }
    claim.read("created", untidy::time)
}

fn amount(claim: &Branch<'_>) -> Result<u64, Misread> {
    let total =
        claim.branch("total")?.ok_or_else(|| Misread::new(claim.at("total"), "nothing; it is needed"))?;
    match total.text("currency")?.as_deref() {
        None | Some("CNY") => total.read("value", untidy::fen),
        Some(other) => {
            let found: String = other.chars().take(8).collect();
            Err(Misread::new(total.at("currency"), format!("found `{}`; allowed: CNY", found.escape_debug())))
        }
    }
}

/// The code of a `CodeableConcept`, or of a `Coding`.
fn code(concept: &Branch<'_>) -> Result<Option<String>, Misread> {
    match concept.list("coding")?.first() {
        Some(coding) => coding.text("code"),
        None => concept.text("code"),
    }
}

/// The code of the first diagnosis, if it has one.
fn diagnosis(claim: &Branch<'_>) -> Result<Option<String>, Misread> {
    let all = claim.list("diagnosis")?;
    let Some(first) = all.first() else { return Ok(None) };
    let concept = first.branch("diagnosisCodeableConcept")?;
    Ok(concept.map(|c| code(&c)).transpose()?.flatten())
}

fn medical_type(claim: &Branch<'_>, encounter: Option<&Branch<'_>>) -> Result<MedicalType, Misread> {
    for key in ["subType", "type"] {
        let Some(concept) = claim.branch(key)? else { continue };
        let Some(code) = code(&concept)? else { continue };
        // A province's own have letters too; FHIR's words (`institutional`) are longer.
        if code.len() <= 8 && code.bytes().any(|b| b.is_ascii_digit()) {
            return code.parse().map_err(|e| Misread::new(claim.at(key), format!("{e}")));
        }
    }
    let class = encounter.map(|e| e.branch("class")).transpose()?.flatten();
    let class = class.map(|c| code(&c)).transpose()?.flatten();
    let known = match class.as_deref() {
        Some("AMB" | "VR" | "HH") => "11",
        Some("EMER") => "13",
        Some("IMP" | "ACUTE" | "NONAC" | "SS" | "OBSENC") => "21",
        _ => {
            let what =
                "no med_type, such as 11 (outpatient), and no Encounter whose class is AMB, EMER or IMP";
            return Err(Misread::new(claim.at("subType"), what));
        }
    };
    known.parse().map_err(|e| Misread::new(claim.at("subType"), format!("{e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn claim() -> Value {
        json!({
            "resourceType": "Claim", "id": "c1", "identifier": [{ "value": "S202611220001" }],
            "status": "active", "use": "claim", "created": "2026-11-22",
            "type": { "coding": [{ "code": "institutional" }] },
            "subType": { "coding": [{ "system": "urn:nhsa:med_type", "code": "14" }] },
            "patient": { "reference": "Patient/P0001", "display": "王小明" },
            "billablePeriod": { "end": "2026-11-22T09:10:15+08:00" },
            "enterer": { "identifier": { "value": "op42" }, "display": "李娜" },
            "total": { "value": 412.5, "currency": "CNY" },
        })
    }

    fn encounter(status: &str) -> Value {
        json!({ "resourceType": "Encounter", "id": "M-1", "status": status,
            "class": { "code": "AMB" }, "subject": { "reference": "Patient/P0001" } })
    }

    fn bundle(parts: &[Value]) -> Value {
        let entry: Vec<_> = parts.iter().map(|p| json!({ "resource": p })).collect();
        json!({ "resourceType": "Bundle", "type": "message", "entry": entry })
    }

    fn understood(value: &Value) -> Result<Message, Misread> {
        read(value.to_string().as_bytes())
    }

    #[test]
    fn a_claim_is_a_settlement_alone_and_in_a_bundle() {
        let Message::Settle(alone) = understood(&claim()).unwrap() else { panic!() };
        assert_eq!((alone.request.as_str(), alone.cardholder.as_str()), ("S202611220001", "P0001"));
        assert_eq!((alone.amount_fen, alone.medical_type.as_str()), (41250, "14"));
        assert_eq!(alone.occurred_at.timestamp().to_string(), "2026-11-22T01:10:15Z");
        assert_eq!(alone.sender.operator.as_deref(), Some("op42"));
        let kept = format!("{alone:?}");
        assert!(!kept.contains('王') && !kept.contains('李'), "{kept}");
        let patient = json!({ "resourceType": "Patient", "name": [{ "text": "王小明" }] });
        let Message::Settle(bundled) =
            understood(&bundle(&[patient, claim(), encounter("in-progress")])).unwrap()
        else {
            panic!()
        };
        assert_eq!(bundled.stay.as_ref().map(StayId::as_str), Some("M-1"));
        assert_eq!(Settling { stay: None, ..*bundled }, *alone);
        let mut plain = claim();
        plain["subType"] = Value::Null;
        let Message::Settle(by_class) =
            understood(&bundle(&[plain.clone(), encounter("in-progress")])).unwrap()
        else {
            panic!()
        };
        assert_eq!(by_class.medical_type.as_str(), "11");
        assert_eq!(understood(&plain).unwrap_err().path, "subType");
    }

    #[test]
    fn a_claim_is_taken_back_and_a_stay_begins_and_ends() {
        let mut cancelled = claim();
        cancelled["status"] = json!("cancelled");
        let settlement = "S202611220001".parse().unwrap();
        assert_eq!(understood(&cancelled).unwrap(), Message::Cancel { settlement });
        let related = json!({ "resourceType": "RelatedPerson", "name": [{ "text": "王芳" }],
            "identifier": [{ "value": "310101199001011234" }] });
        let Message::Registered(begun) = understood(&bundle(&[encounter("planned"), related])).unwrap()
        else {
            panic!()
        };
        let digest = CertificateDigest::of("1", "310101199001011234");
        assert_eq!(begun.proxy, Some(Proxy::Certificate(digest)));
        let Message::StayEnded { stay } = understood(&encounter("finished")).unwrap() else { panic!() };
        assert_eq!(stay.as_str(), "M-1");
        let patient = json!({ "resourceType": "Patient" });
        assert_eq!(understood(&patient).unwrap(), Message::Other { kind: "Patient".into() });
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        for (pointer, value, path) in [
            ("/total/currency", json!("USD"), "total.currency"),
            ("/total/value", json!("a lot"), "total.value"),
            ("/patient", Value::Null, "patient"),
            ("/identifier/0/value", json!("S 1"), "identifier[0].value"),
            ("/billablePeriod", Value::Null, "created"),
        ] {
            let mut bad = claim();
            *bad.pointer_mut(pointer).unwrap() = value;
            assert_eq!(understood(&bad).unwrap_err().path, path);
        }
        assert_eq!(
            understood(&bundle(&[claim(), claim()])).unwrap_err().path,
            "entry[1].resource.resourceType"
        );
    }

    proptest! {
        #[test]
        fn a_message_with_any_byte_changed_never_panics(at in any::<proptest::sample::Index>(), with in any::<u8>()) {
            let mut bytes = bundle(&[claim(), encounter("planned")]).to_string().into_bytes();
            let i = at.index(bytes.len());
            bytes[i] = with;
            let _ = read(&bytes);
        }
    }
}
