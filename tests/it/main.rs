//! Whole-program tests.

mod opencv;
