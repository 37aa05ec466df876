//! What may be kept, for how long, and the proof that it was so.
//!
//! [`policy`] holds the ceilings no configuration can pass and what must be
//! declared before anything starts; [`declared`] checks what somebody wrote,
//! [`notice`] makes the text that is posted out of it ([`wording`] holds the
//! words), [`page`] shows it and [`compare`] tells two policies apart; [`check_ins`] is the same for
//! photographs from phones. [`age`]
//! is the count that limits go by, and [`retention`] carries them out in every
//! store alike. [`audit`] is the hash-chained log without which nothing is
//! verified.

pub mod age;
pub mod audit;
pub mod check_ins;
pub mod compare;
pub mod declared;
mod entrance_wording;
pub mod notice;
pub mod page;
pub mod policy;
pub mod retention;
pub mod wording;
