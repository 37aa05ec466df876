//! What both programs' servers share: errors as RFC 9457 problems, and TLS
//! connections that know who called.

pub mod problem;
pub mod server;
