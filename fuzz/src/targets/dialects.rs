//! What a HIS sends in its own words.

use counterproof::edge::his::{explain, reading};

use super::refused;

/// Bytes for a reader: taken or refused, twice alike, and explained without its fields.
fn read(name: &str, data: &[u8]) -> bool {
    let Some((_, read)) = reading::ALL.iter().find(|(n, _)| *n == name) else {
        panic!("no reader is called {name}")
    };
    let first = read(data);
    assert_eq!(first, read(data), "read twice, and not alike");
    if let Err(why) = explain::explain(data) {
        refused(why, data.len());
    }
    match first {
        Ok(()) => true,
        Err(why) => refused(why, data.len()),
    }
}

/// `POST /v1/his/nhsa`, and its answers.
pub fn nhsa(data: &[u8]) -> bool {
    let requests = read("nhsa", data);
    read("nhsa_answers", data) || requests
}

/// `POST /v1/his/fhir`.
pub fn fhir(data: &[u8]) -> bool {
    read("fhir", data)
}

/// A message of HL7 v2, and the answer to it.
pub fn hl7(data: &[u8]) -> bool {
    read("hl7", data)
}

/// What comes over an MLLP connection.
pub fn mllp(data: &[u8]) -> bool {
    read("mllp", data)
}
