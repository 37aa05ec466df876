//! The pixel canary: whole verifications, and a search of everything that the
//! agent writes, sends or keeps for the faces it has looked at.
//!
//! The sinks are read where a leak would be in plain text: what arrives at the
//! bureau behind TLS ([`tap`]), the answers to the HIS, sealed rows after
//! opening, the log, the audit log, every system call that writes ([`strace`]),
//! and the process's memory once all is decided ([`memory`]). What is looked for
//! is made from the pictures of the cameras with the agent's own models
//! ([`faces`]). An empty sink is a failure of the test itself.

// Each of its users, a test and an example, uses a part; what cannot be prepared ends the run.
#![allow(dead_code, clippy::expect_used)]

pub mod decimals;
pub mod faces;
pub mod leaks;
pub mod memory;
pub mod needles;
pub mod report;
pub mod run;
pub mod strace;
pub mod tap;
