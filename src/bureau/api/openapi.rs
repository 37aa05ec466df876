//! The machines' side of the bureau as OpenAPI: `counterproof-bureau openapi`.

use crate::bureau::check_ins;
use crate::crypto::sign::Signature;
use crate::http::openapi::{Need, OpenApi, Operation};
use crate::protocol::alert::Event;
use crate::protocol::countersign::PostureAnswer;
use crate::protocol::document::DocumentKind;
use crate::protocol::head::{HeadAnswer, Stored};
use crate::protocol::id::{SettlementId, ShiftId};
use crate::protocol::join::{JOIN_PATH, JoinAnswer, JoinRequest};
use crate::protocol::policy::PolicyDocument;
use crate::protocol::posture::Posture;
use crate::protocol::proxy::ProxyKeyGrant;
use crate::protocol::reference::ReferenceSet;
use crate::protocol::transform::TransformGrant;
use crate::protocol::{
    ALERTS_PATH, CLOUDEVENTS_JSON, HEAD_PATH, POLICY_PATH, POSTURE_PATH, PROXY_KEY_PATH, SIGNATURE_HEADER,
    TRANSFORM_PATH,
};

use super::references::AskedAs;
use super::{DOCUMENT_PATH, PROXY_PATH, REFERENCE_PATH};

/// What boxes say and ask, how they join, and what apps send.
pub fn document() -> OpenApi {
    let about = "Over TLS with certificates both ways; a box joins over TLS with a one-time code. \
                 What is signed is signed over the exact bytes of the body.";
    let empty = OpenApi::new("counterproof-bureau: boxes and apps", about);
    let others = [join(), check_ins::api::operation()];
    alerts().into_iter().chain(references()).chain(documents()).chain(others).fold(empty, OpenApi::with)
}

fn alerts() -> [Operation; 3] {
    [
        Operation::new(
            "post",
            ALERTS_PATH,
            "An event of a box: a mismatch or an absence, its withdrawal, or its expiry.",
        )
        .header::<Signature>(SIGNATURE_HEADER)
        .takes::<Event>(CLOUDEVENTS_JSON)
        .answers::<Stored>(201, "Stored.")
        .answers_plainly(200, "The same bytes were stored before.", "")
        .refuses(&[400, 403, 408, 409, 413, 422, 503]),
        Operation::new("get", HEAD_PATH, "Which events of this box are held.")
            .answers::<HeadAnswer>(200, "What is held.")
            .refuses(&[403, 503]),
        Operation::new("post", POSTURE_PATH, "How a box stands, once a minute.")
            .header::<Signature>(SIGNATURE_HEADER)
            .takes::<Posture>("application/json")
            .answers::<PostureAnswer>(200, "The audit head, countersigned; what the box is to know.")
            .refuses(&[400, 403, 408, 413, 422, 503]),
    ]
}

fn references() -> [Operation; 4] {
    [
        Operation::new("get", REFERENCE_PATH, "A cardholder's references, for one settlement or one shift.")
            .query::<SettlementId>("settlement", Need::Optional)
            .query::<ShiftId>("shift", Need::Optional)
            .query::<AskedAs>("as", Need::Optional)
            .answers::<ReferenceSet>(200, "Under this box's transform.")
            .refuses(&[400, 403, 404, 429, 503]),
        Operation::new("get", TRANSFORM_PATH, "The key of this box's transform.")
            .answers::<TransformGrant>(200, "The key.")
            .refuses(&[403, 503]),
        Operation::new("get", PROXY_KEY_PATH, "The key under which certificates of proxies are hashed.")
            .answers::<ProxyKeyGrant>(200, "The key.")
            .refuses(&[403, 503]),
        Operation::new("get", PROXY_PATH, "A proxy's references, by the hash of a certificate.")
            .query::<SettlementId>("settlement", Need::Required)
            .answers::<ReferenceSet>(200, "Under this box's transform.")
            .refuses(&[400, 403, 404, 429, 503]),
    ]
}

fn documents() -> [Operation; 3] {
    [
        Operation::new("get", POLICY_PATH, "The policy that the bureau declared for this box.")
            .answers::<PolicyDocument>(200, "The policy.")
            .refuses(&[403, 404, 503]),
        Operation::new("put", DOCUMENT_PATH, "The bytes behind a digest that an alert or a posture named.")
            .query::<DocumentKind>("kind", Need::Required)
            .header::<Signature>(SIGNATURE_HEADER)
            .takes_bytes()
            .answers_plainly(201, "Stored.", "")
            .answers_plainly(200, "Held before.", "")
            .refuses(&[400, 403, 408, 409, 413, 422, 503]),
        Operation::new("get", DOCUMENT_PATH, "A document that the bureau handed to this box.")
            .answers_plainly(200, "Its exact bytes.", "application/octet-stream")
            .refuses(&[400, 403, 404, 503]),
    ]
}

fn join() -> Operation {
    Operation::new("post", JOIN_PATH, "Join with a one-time code, on a listener of its own.")
        .header::<Signature>(SIGNATURE_HEADER)
        .takes::<JoinRequest>("application/json")
        .answers::<JoinAnswer>(200, "The box is on record.")
        .refuses(&[403, 409, 413, 422, 500, 503])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::check_in::CHECK_INS_PATH;

    #[test]
    fn every_route_is_described_and_no_other() {
        document().assert_of(super::super::ROUTES.0.iter().copied().chain([JOIN_PATH, CHECK_INS_PATH]));
    }
}
