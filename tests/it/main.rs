//! Whole programs, over real sockets, files and databases.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;
mod aim;
mod architecture;
mod bureau;
mod canary;
mod check;
mod commission;
mod confined;
mod corpus;
mod evidence;
mod exempt;
mod faults;
mod health;
mod init;
mod logs;
mod metrics;
mod opencv;
mod policy;
mod prepare;
mod proof;
mod protect;
mod rtsp;
mod supervision;
mod support;
mod types;
