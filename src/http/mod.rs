//! What both programs' servers share: errors as RFC 9457 problems, request
//! ids, TLS connections that know who called, and the page of metrics.

pub mod metrics;
pub mod problem;
pub mod request;
pub mod server;
