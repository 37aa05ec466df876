//! Names of things, each a type of its own.
//!
//! A name that comes from outside is 1 to 64 characters of letters, digits and
//! `. _ : -`; that is what the national platform's numbers and the usual HIS
//! numbers are made of, and it is safe in a path, a log and a page.

use serde::{Deserialize, Serialize};

/// A name of the wrong form.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("found `{found}`; allowed as {kind}: 1 to 64 characters of letters, digits, `.`, `_`, `:` and `-`")]
pub struct BadName {
    kind: &'static str,
    found: String,
}

fn check(kind: &'static str, text: &str) -> Result<(), BadName> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b".:_-".contains(&b);
    if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(());
    }
    Err(BadName { kind, found: text.chars().take(80).collect() })
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String, pattern = "^[A-Za-z0-9.:_-]{1,64}$")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadName;
            fn from_str(s: &str) -> Result<Self, BadName> {
                check($kind, s).map(|()| Self(s.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(s: String) -> Result<Self, BadName> {
                check($kind, &s).map(|()| Self(s))
            }
        }

        impl From<$name> for String {
            fn from(n: $name) -> Self {
                n.0
            }
        }
    )*};
}

names! {
    /// The HIS's number of a settlement.
    SettlementId = "settlement number";
    /// A place with a camera.
    CounterId = "counter";
    /// The pseudonymous number of a cardholder (`psn_no`), or of a proxy.
    CardholderId = "cardholder number";
    /// A box.
    AgentId = "agent name";
    /// A medical institution (`fixmedins_code`).
    HospitalId = "hospital code";
    /// `med_type` of the national platform: 11 outpatient, 21 inpatient, …; provinces add to it.
    MedicalType = "medical type";
    /// `dise_codg` of the national platform: M07801 for haemodialysis, …
    DiseaseCode = "disease code";
    /// A shift of a dialysis room.
    ShiftId = "shift";
}

macro_rules! uuids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, format = "uuid")]
        pub struct $name(pub uuid::Uuid);

        impl $name {
            /// A new one (UUIDv7: time, then randomness).
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                Self(uuid::Uuid::now_v7())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(s: &str) -> Result<Self, uuid::Error> {
                s.parse().map(Self)
            }
        }
    )*};
}

uuids! {
    /// One settlement's check.
    VerificationId;
    /// One alert or withdrawal.
    AlertId;
    /// A box's life between two re-imagings; alerts are numbered within it.
    Epoch;
}
