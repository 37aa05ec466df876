//! Every reader of what a HIS sends, by name, for who tries them with much. What is read
//! is thrown away.
//!
//! A reader of HL7 says the answer too, since that repeats what came; an answer of the
//! national platform is read as one to each kind of request.

use super::super::mllp;
use super::hl7::{self, Acknowledgement};
use super::{Misread, fhir, nhsa};

/// What a reader says of bytes: nothing if it took them, else why not.
pub type Read = fn(&[u8]) -> Result<(), String>;

/// All of them.
pub const ALL: [(&str, Read); 5] = [
    ("nhsa", nhsa_request),
    ("nhsa_answers", nhsa_answer),
    ("fhir", |bytes| fhir::read(bytes).map(drop).map_err(told)),
    ("hl7", hl7_message),
    ("mllp", mllp_stream),
];

fn told(e: Misread) -> String {
    e.to_string()
}

fn nhsa_request(bytes: &[u8]) -> Result<(), String> {
    // The relay reads no more than this of what passes.
    let asked = nhsa::asked(bytes);
    nhsa::request(bytes).map_err(told)?;
    asked.map(drop).map_err(told)
}

fn nhsa_answer(bytes: &[u8]) -> Result<(), String> {
    for kind in [None, Some("2304"), Some("2201"), Some("1101")] {
        let asked = nhsa::Asked { kind: kind.map(str::to_owned), request: None };
        nhsa::response(&asked, bytes).map_err(told)?;
    }
    Ok(())
}

fn hl7_message(bytes: &[u8]) -> Result<(), String> {
    let control = hl7::control_of(bytes);
    let read = hl7::read(bytes);
    let (what, text) = match &read {
        Ok(_) => (Acknowledgement::Accepted, String::new()),
        Err(e) => (Acknowledgement::Rejected, e.to_string()),
    };
    let answer = hl7::acknowledge(&control, what, &text);
    if answer.matches('\r').count() != 2 {
        return Err("the answer has lines of the message in it".into());
    }
    read.map(drop).map_err(told)
}

/// A message that is refused is answered, and the connection goes on; only a broken frame
/// ends it.
fn mllp_stream(bytes: &[u8]) -> Result<(), String> {
    let mut held = bytes.to_vec();
    while let Some(message) = mllp::first(&mut held)? {
        let _ = hl7_message(&message);
    }
    if held.is_empty() { Ok(()) } else { Err("a message without its end".into()) }
}
