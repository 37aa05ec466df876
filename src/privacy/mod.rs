//! What may be kept, for how long, and the proof that it was so.
//!
//! [`policy`] holds what must be declared before anything starts and the
//! ceilings no configuration can pass; [`age`] is the count that limits go by;
//! [`retention`] carries them out in every store alike; [`audit`] is the
//! hash-chained log without which nothing is verified.

pub mod age;
pub mod audit;
pub mod policy;
pub mod retention;
