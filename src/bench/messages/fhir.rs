//! FHIR R4: claims, encounters and bundles of them.

use super::loose::{Loose, object, raw, text};
use super::values::{amount, extras, name, number};
use crate::bench::chance::Chance;

/// A message that is to be understood.
pub(super) fn message(chance: &mut Chance) -> Loose {
    let mut whole = match chance.below(5) {
        0 => claim(chance),
        1 => encounter(chance),
        2 => bundle(vec![encounter(chance), related(chance), patient(chance)], chance),
        _ => bundle(vec![patient(chance), claim(chance), encounter(chance)], chance),
    };
    whole.stir(chance);
    whole
}

fn bundle(mut parts: Vec<Loose>, chance: &mut Chance) -> Loose {
    chance.shuffle(&mut parts);
    let mut entries: Vec<Loose> = parts.into_iter().map(|p| object([("resource", p)])).collect();
    if chance.one_in(5) {
        entries.push(object([("fullUrl", text("urn:x"))]));
    }
    object([("resourceType", text("Bundle")), ("type", text("message")), ("entry", Loose::List(entries))])
}

fn moment(chance: &mut Chance) -> String {
    let end = chance.pick(&["+08:00", "Z", ".250+08:00"]);
    format!("2026-11-{:02}T{:02}:{:02}:15{end}", 1 + chance.below(28), chance.below(24), chance.below(60))
}

fn coded(code: &str) -> Loose {
    object([(
        "coding",
        Loose::List(vec![object([("system", text("urn:nhsa:med_type")), ("code", text(code))])]),
    )])
}

fn named(what: &str, number: String, chance: &mut Chance) -> Loose {
    match chance.below(2) {
        0 => object([("reference", text(format!("{what}/{number}"))), ("display", text(name(chance)))]),
        _ => object([("identifier", object([("value", text(number))])), ("display", text(name(chance)))]),
    }
}

fn claim(chance: &mut Chance) -> Loose {
    let status = chance.pick(&["active", "active", "active", "cancelled", "entered-in-error", "draft"]);
    let mut claim = object([
        ("resourceType", text("Claim")),
        ("status", text(status)),
        ("use", text("claim")),
        ("type", coded("institutional")),
        ("subType", coded(super::values::med_type(chance))),
        ("patient", named("Patient", number("P", chance), chance)),
        ("facility", named("Location", "D-7".into(), chance)),
        ("enterer", named("Practitioner", "op42".into(), chance)),
    ]);
    if chance.one_in(2) {
        claim.put("billablePeriod", object([("start", text("2026-11-01")), ("end", text(moment(chance)))]));
        claim.put("created", text("2026-11-22"));
    } else {
        claim.put("created", text(moment(chance)));
    }
    let mut total = object([("value", amount(chance))]);
    if chance.one_in(2) {
        total.put("currency", text("CNY"));
    }
    claim.put("total", total);
    if chance.one_in(3) {
        let concept = coded(chance.pick(&["M07801", "N18.500", "尿毒症"]));
        claim.put("diagnosis", Loose::List(vec![object([("diagnosisCodeableConcept", concept)])]));
    }
    if chance.one_in(3) {
        claim.put("id", text(number("c", chance)));
    } else {
        claim.put("identifier", Loose::List(vec![object([("value", text(number("S", chance)))])]));
    }
    extras(&mut claim, chance);
    claim
}

fn encounter(chance: &mut Chance) -> Loose {
    let class = chance.pick(&["AMB", "EMER", "IMP", "VR"]);
    let mut encounter = object([
        ("resourceType", text("Encounter")),
        ("id", text(number("M", chance))),
        ("status", text(chance.pick(&["planned", "in-progress", "finished", "cancelled"]))),
        ("class", if chance.one_in(2) { object([("code", text(class))]) } else { coded(class) }),
        ("subject", named("Patient", number("P", chance), chance)),
    ]);
    extras(&mut encounter, chance);
    encounter
}

fn related(chance: &mut Chance) -> Loose {
    let mut related = object([
        ("resourceType", text("RelatedPerson")),
        ("name", Loose::List(vec![object([("text", text(name(chance)))])])),
        ("photo", Loose::List(vec![object([("data", text("/9j/4AAQ".repeat(chance.below(99))))])])),
    ]);
    match chance.below(3) {
        0 => {}
        1 => related.put("identifier", Loose::List(Vec::new())),
        _ => {
            let mut identifier = object([("value", text("310101199001011234"))]);
            if chance.one_in(2) {
                identifier.put("type", coded(chance.pick(&["01", "1", "NI"])));
            }
            related.put("identifier", Loose::List(vec![identifier]));
        }
    }
    related
}

fn patient(chance: &mut Chance) -> Loose {
    object([
        ("resourceType", text("Patient")),
        ("name", Loose::List(vec![object([("text", text(name(chance)))])])),
        ("active", raw("true")),
    ])
}
