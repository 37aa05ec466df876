//! Somebody who acts for a cardholder: "my daughter paid", for the next time.
//!
//! A declaration needs two consents, the cardholder's to be represented and the proxy's
//! to be compared at the window, each as it was given and on which day, and it ends.
//! While it holds, the box is handed the proxy's references with the cardholder's, so
//! that she is a match; if she has none, the settlement is not assessed. Who she is, no
//! box learns.

use serde::{Deserialize, Serialize};

use crate::protocol::id::CardholderId;

/// Most proxies that one cardholder may have declared at a time.
pub const MOST_PROXIES: i64 = 4;

/// A declaration, as it is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// For whom somebody acts.
    pub cardholder: CardholderId,
    /// Who acts.
    pub proxy: CardholderId,
    /// What they are to each other.
    pub relation: String,
    /// How the cardholder agreed to be represented: form, words, day.
    pub cardholder_consent: String,
    /// How the proxy agreed to be compared at the window: form, words, day.
    pub proxy_consent: String,
    /// The day of the later of the two, as `YYYY-MM-DD`.
    pub consented_on: String,
}
