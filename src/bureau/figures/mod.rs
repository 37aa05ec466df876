//! What many settlements and alerts say together.
//!
//! Promises: pure functions of counts; no clock, no store, no page. A share has its
//! interval beside it ([`shares`](crate::shares)), and what too few numbers cannot
//! say is not computed but said to be missing. No figure decides anything: a rule
//! says why a hospital is on a list, and people look.
//!
//! [`calendar`] days and months as people in China count them, [`counts`] what
//! successive postures add, [`coverage`] which counters work, [`share`] of decided
//! alerts, [`list`] red and yellow, [`robust`] and [`unusual`] what is far from the
//! usual, [`import`] settlement statistics from a file, [`settings`] what can be set.

pub mod calendar;
pub mod counts;
pub mod coverage;
pub mod import;
pub mod list;
pub mod robust;
pub mod settings;
pub mod share;
pub mod unusual;
