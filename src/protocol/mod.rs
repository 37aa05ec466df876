//! What may cross a wire, and nothing else.
//!
//! The shapes of `docs/contracts.md`, each read strictly: a field that is not
//! named here is refused, so that no picture and no probe can travel in one.
//! This storey knows nothing of pixels; a test on the imports keeps it so.

pub mod absence;
pub mod alert;
pub mod bundle;
pub mod check_in;
pub mod commission;
pub mod countersign;
pub mod document;
pub mod figures;
pub mod handout;
pub mod head;
pub mod id;
pub mod join;
pub mod json;
pub mod policy;
pub mod posture;
pub mod proxy;
pub mod reference;
pub mod rollout;
pub mod roster;
mod schema;
pub mod settlement;
pub mod signed;
pub mod transform;
pub mod verdict;

/// Path on the bureau for alerts.
pub const ALERTS_PATH: &str = "/v1/alerts";
/// Path on the bureau that says which alert of this box it holds last.
pub const HEAD_PATH: &str = "/v1/head";
/// Path on the bureau for references, followed by the cardholder.
pub const REFERENCES_PATH: &str = "/v1/references";
/// Path on the bureau for the key of this box's transform.
pub const TRANSFORM_PATH: &str = "/v1/transform";
/// Path on the bureau for the key under which certificates of proxies are hashed.
pub const PROXY_KEY_PATH: &str = "/v1/proxy-key";
/// Path on the bureau for the references of a proxy, followed by the mark of a certificate.
pub const PROXIES_PATH: &str = "/v1/proxies";
/// Path on the bureau for postures.
pub const POSTURE_PATH: &str = "/v1/posture";
/// Path on the bureau for the policy that it declared for the calling box.
pub const POLICY_PATH: &str = "/v1/policy";
/// Path on the bureau for documents, followed by the SHA-256 of one.
pub const DOCUMENTS_PATH: &str = "/v1/documents";
/// Header that carries the detached signature of an alert or a posture.
pub const SIGNATURE_HEADER: &str = "counterproof-signature";
/// Media type of an alert (CloudEvents 1.0, structured JSON).
pub const CLOUDEVENTS_JSON: &str = "application/cloudevents+json";
