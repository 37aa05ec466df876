//! Whole programs, over real sockets, files and databases.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;
mod architecture;
mod bureau;
mod faults;
mod opencv;
mod support;
mod types;
