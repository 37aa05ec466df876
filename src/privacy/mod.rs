//! What may be kept, for how long, and the proof that it was so.
//!
//! [`policy`] holds what must be declared before anything starts and the
//! ceilings no configuration can pass; [`audit`] is the hash-chained log
//! without which nothing is verified.

pub mod audit;
pub mod policy;
