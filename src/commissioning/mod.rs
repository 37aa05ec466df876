//! Watch first, accuse later: what follows from the figures of many settlements.
//!
//! [`distance`] says how far two distributions of scores lie apart,
//! [`recommend`] what a supervisor should make of a box in shadow, [`drift`]
//! when a box that was armed goes back into shadow, [`report`] shows all of it
//! to people. Box and bureau use the same functions, so that both say the same.
//!
//! Promises: pure functions of counts; no clock, no store, no wire. What it does
//! not do: arm anything. A supervisor signs, and the box checks what was signed
//! (`protocol::commission`).

pub mod distance;
pub mod drift;
pub mod recommend;
pub mod report;
