//! What both programs' servers share: errors as RFC 9457 problems, request
//! ids, TLS connections that know who called, the page of metrics, and what
//! pages on loopback have in common; what machines may ask, as OpenAPI.

pub mod language;
pub mod loopback;
pub mod metrics;
pub mod openapi;
pub mod problem;
pub mod request;
pub mod server;
