//! People who act for a cardholder, known by their certificate alone: a keyed hash of its
//! type and number, made where the number is received. The number goes no further.
//!
//! A hash without a key would be no secret: numbers of identity cards can be tried. The
//! key is the bureau's, and its boxes' for as long as they run.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::hmac;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto::Sha256;

/// The key under which certificates are hashed: 32 bytes.
pub struct ProxyKey(Zeroizing<[u8; 32]>);

/// The hash of a certificate under the bureau's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
pub struct ProxyMark(Sha256);

/// The digest of a certificate's type and number, made when they are read. By itself it is
/// no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateDigest(Sha256);

impl CertificateDigest {
    /// Of a type and a number. `01` and `1` are the same type; letters of a number count
    /// as capitals, and spaces not at all.
    pub fn of(kind: &str, number: &str) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(kind.len() + 1 + number.len() * 2));
        text.push_str(kind.trim().trim_start_matches('0'));
        text.push('|');
        text.extend(number.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_uppercase()));
        Self(Sha256::of(text.as_bytes()))
    }
}

impl ProxyKey {
    /// A key from its bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The hash of a certificate: HMAC-SHA256.
    pub fn mark(&self, certificate: CertificateDigest) -> ProxyMark {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_ref());
        let tag = hmac::sign(&key, &certificate.0.0);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(tag.as_ref());
        ProxyMark(Sha256(bytes))
    }
}

impl std::fmt::Display for ProxyMark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for ProxyMark {
    type Err = <Sha256 as std::str::FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The answer to `GET /v1/proxy-key`.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyKeyGrant {
    /// The key, as base64.
    #[schema(value_type = String)]
    key: Zeroizing<String>,
}

impl ProxyKeyGrant {
    /// Hands out a key.
    pub fn new(key: &ProxyKey) -> Self {
        Self { key: Zeroizing::new(BASE64.encode(key.0.as_ref())) }
    }

    /// The key; nothing if the text is none.
    pub fn key(&self) -> Option<ProxyKey> {
        let bytes = Zeroizing::new(BASE64.decode(self.key.as_bytes()).ok()?);
        bytes.as_slice().try_into().ok().map(ProxyKey::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_has_one_mark_however_it_is_written_and_another_under_another_key() {
        let key = ProxyKey::new([7; 32]);
        let mark = key.mark(CertificateDigest::of("01", "31010119900101123x"));
        assert_eq!(mark, key.mark(CertificateDigest::of("1", " 31010119900101123X")));
        assert_ne!(mark, key.mark(CertificateDigest::of("02", "31010119900101123x")));
        assert_ne!(mark, ProxyKey::new([8; 32]).mark(CertificateDigest::of("01", "31010119900101123x")));
        assert_eq!(mark.to_string().parse().ok(), Some(mark));
        let text = serde_json::to_string(&ProxyKeyGrant::new(&key)).unwrap();
        let grant: ProxyKeyGrant = serde_json::from_str(&text).unwrap();
        assert_eq!(grant.key().unwrap().mark(CertificateDigest::of("01", "31010119900101123x")), mark);
        let cut: ProxyKeyGrant = serde_json::from_str(&text.replace("BwcH", "")).unwrap();
        assert!(cut.key().is_none());
    }
}
