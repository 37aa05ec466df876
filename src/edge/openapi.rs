//! What a HIS may say to a box, as OpenAPI: `counterproof openapi`.

use crate::http::openapi::{Need, OpenApi, Operation};
use crate::protocol::id::SettlementId;
use crate::protocol::roster::{Close, Closed, Roster};
use crate::protocol::settlement::{Accepted, Settlement};

/// The intake's operations.
pub fn document() -> OpenApi {
    let about = "On loopback or the hospital's network, with `Authorization: Bearer` and the box's token. \
                 No answer tells a verdict, and nothing waits for one.";
    let settle = Operation::new("post", "/v1/settlements", "A card is being settled at a counter.")
        .takes::<Settlement>("application/json")
        .answers::<Accepted>(202, "Accepted, after the journal's commit.")
        .answers::<Accepted>(200, "The same settlement was accepted before.")
        .refuses(&[400, 401, 404, 409, 413, 415, 422, 503]);
    let cancel = Operation::new("delete", "/v1/settlements/{id}", "A settlement was cancelled.")
        .answers_plainly(204, "Stopped, withdrawn, or remembered.", "")
        .refuses(&[401, 422, 503]);
    let roster = Operation::new(
        "put",
        "/v1/rosters/{counter}/{shift}",
        "Who is expected at an entrance during a shift.",
    )
    .takes::<Roster>("application/json")
    .answers_plainly(201, "Taken, after the commit.", "")
    .answers_plainly(200, "The same roster is held already.", "")
    .refuses(&[400, 401, 404, 409, 413, 415, 422, 503]);
    let close = Operation::new(
        "post",
        "/v1/rosters/{counter}/{shift}/close",
        "A shift is over, and these sessions were billed in it.",
    )
    .takes::<Close>("application/json")
    .answers::<Closed>(200, "Each session accepted, after the journal's commit.")
    .refuses(&[400, 401, 404, 409, 413, 415, 422, 503]);
    let nhsa = Operation::new(
        "post",
        "/v1/his/nhsa",
        "A message of the national platform, as the HIS sends it there.",
    )
    .takes_bytes()
    .answers::<Accepted>(202, "A settlement, accepted after the journal's commit.")
    .answers::<Accepted>(200, "The same settlement was accepted before.")
    .answers_plainly(204, "Anything else: noted, or nothing to do with a settlement.", "")
    .refuses(&[400, 401, 404, 409, 413, 422, 503]);
    let answer = Operation::new("post", "/v1/his/nhsa/answers", "What the national platform answered.")
        .query::<String>("infno", Need::Optional)
        .query::<SettlementId>("msgid", Need::Optional)
        .takes_bytes()
        .answers_plainly(204, "Noted.", "")
        .refuses(&[400, 401, 404, 413, 422, 503]);
    let fhir = Operation::new("post", "/v1/his/fhir", "A FHIR R4 Claim or Encounter, alone or in a Bundle.")
        .takes_bytes()
        .answers::<Accepted>(202, "A settlement, accepted after the journal's commit.")
        .answers::<Accepted>(200, "The same settlement was accepted before.")
        .answers_plainly(204, "Anything else: noted, or nothing to do with a settlement.", "")
        .refuses(&[400, 401, 404, 409, 413, 422, 503]);
    let alive = Operation::new("get", "/healthz", "Whether every part of the program gets on.")
        .answers_plainly(200, "It does.", "text/plain")
        .refuses(&[503]);
    let ready = Operation::new("get", "/readyz", "Whether the box can verify now.")
        .answers_plainly(200, "It can.", "text/plain")
        .refuses(&[503]);
    let empty = OpenApi::new("counterproof: settlements", about);
    [settle, cancel, roster, close, nhsa, answer, fhir, alive, ready].into_iter().fold(empty, OpenApi::with)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_and_no_other() {
        document().assert_of(super::super::intake::ROUTES.0.iter().copied());
    }
}
