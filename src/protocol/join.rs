//! Joining: a box that nobody knows yet shows a one-time code and its keys.
//!
//! The code is one line that an administrator hands to the technician:
//! `cpj1.SECRET.PIN`. SECRET is 32 random bytes, of which the bureau keeps the
//! SHA-256 alone; PIN is the SHA-256 of the certificate that the bureau's listener
//! for joining shows, so that the box speaks its secret to nobody else. Whoever has
//! the code within its time joins in the box's place: it is a secret.
//!
//! The request is signed with the box's signing key. The TLS key needs no such
//! proof: the certificate that is made for it is of use only with its private half.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::id::{AgentId, HospitalId};
use crate::crypto::Sha256;
use crate::crypto::sign::PublicKey;

/// Path on the bureau's listener for joining.
pub const JOIN_PATH: &str = "/v1/join";
/// Largest accepted request, in bytes.
pub const MAX_BYTES: usize = 16 * 1024;
/// Begins every code, and names its form.
const FORM: &str = "cpj1";

/// A one-time code.
pub struct JoinCode {
    secret: Zeroizing<[u8; 32]>,
    pin: Sha256,
}

/// A text that is no code.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "this is no code for joining: expected one line as the bureau's console showed it once, beginning with `{FORM}.`"
)]
pub struct NotACode;

impl JoinCode {
    /// A code of this secret, for a listener that shows this certificate.
    pub fn new(secret: Zeroizing<[u8; 32]>, pin: Sha256) -> Self {
        Self { secret, pin }
    }

    /// SHA-256 of the certificate that the listener must show.
    pub fn pin(&self) -> Sha256 {
        self.pin
    }

    /// The secret as it travels in the request.
    pub fn secret(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64URL.encode(self.secret.as_ref()))
    }

    /// The line that is handed over.
    pub fn to_line(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{FORM}.{}.{}", self.secret().as_str(), BASE64URL.encode(self.pin.0)))
    }
}

/// What the bureau keeps of a secret: its SHA-256.
pub fn digest_of(secret: &str) -> Sha256 {
    Sha256::of(secret.as_bytes())
}

impl std::str::FromStr for JoinCode {
    type Err = NotACode;

    fn from_str(s: &str) -> Result<Self, NotACode> {
        let mut parts = s.trim().split('.');
        let (Some(FORM), Some(secret), Some(pin), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotACode);
        };
        let bytes = |text: &str| -> Option<[u8; 32]> {
            let bytes = Zeroizing::new(BASE64URL.decode(text).ok()?);
            bytes.as_slice().try_into().ok()
        };
        let secret = Zeroizing::new(bytes(secret).ok_or(NotACode)?);
        Ok(Self { secret, pin: Sha256(bytes(pin).ok_or(NotACode)?) })
    }
}

/// `POST /v1/join`, signed with the box's signing key.
#[derive(Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The code's secret.
    #[schema(value_type = String)]
    pub secret: Zeroizing<String>,
    /// With which the box's alerts will be signed.
    pub public_key: PublicKey,
    /// What it will connect with.
    pub tls: Tls,
    /// Version of the agent.
    pub agent_version: String,
}

/// With what a box will connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// A key without a certificate: the public point of an ECDSA P-256 key, 65
    /// bytes as base64. The bureau's authority for boxes makes the certificate.
    Key(String),
    /// A certificate as PEM that another authority has made already.
    Certificate(String),
}

/// 200: the box is on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JoinAnswer {
    /// Its name at the bureau.
    pub agent: AgentId,
    /// The hospital that it is on record for.
    pub hospital: HospitalId,
    /// The certificate that was made for its key, as PEM; none if it brought one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The authority to trust for the bureau's own certificate, as PEM.
    pub ca: String,
    /// Where boxes are heard: `https://host:port`; or only the port, where the
    /// bureau does not know by which name it is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The port where boxes are heard.
    pub port: u16,
    /// The bureau's signing key, to be pinned.
    pub bureau_key: PublicKey,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_code_is_one_line_and_comes_back_as_it_was() {
        let code = JoinCode::new(Zeroizing::new([7; 32]), Sha256::of(b"certificate"));
        let line = code.to_line();
        assert!(line.len() < 100 && line.starts_with("cpj1."), "{}", line.as_str());
        let back: JoinCode = format!(" {}\n", line.as_str()).parse().unwrap();
        assert_eq!((back.secret(), back.pin()), (code.secret(), code.pin()));
        for bad in ["", "cpj1", "cpj2.a.b", &line[..line.len() - 2], &format!("{}.x", line.as_str())] {
            assert_eq!(bad.parse::<JoinCode>().err(), Some(NotACode), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_code_or_refused(text in ".{0,120}") {
            let _ = text.parse::<JoinCode>();
        }
    }
}
