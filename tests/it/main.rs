//! Whole programs, over real sockets, files and databases.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;
mod architecture;
mod bureau;
mod confined;
mod logs;
mod metrics;
mod opencv;
mod supervision;
mod support;
mod types;
