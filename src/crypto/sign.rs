//! Signatures: who said it, over exactly which bytes.
//!
//! A signature is Ed25519 (RFC 8032) over the bytes as they travel, written as
//! `alg=ed25519,key=<16 hex digits>,sig=<base64>`. Bytes with a signature are
//! [`Unverified`] until a public key has verified them; only [`Verified`] can
//! be read. A signature by another algorithm is refused by name, and so is a
//! public key: it is written as base64, or as `ed25519:<base64>` where its
//! algorithm is to be seen.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::Sha256;

/// The algorithm's name wherever a signature or a key is written.
const ED25519_NAME: &str = "ed25519";

/// The name of a public key: the first 16 hexadecimal digits of its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl std::str::FromStr for KeyId {
    type Err = SignatureError;

    fn from_str(s: &str) -> Result<Self, SignatureError> {
        if s.len() != 16 || !s.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(SignatureError::Form("key is not 16 hexadecimal digits"));
        }
        Ok(Self(s.to_owned()))
    }
}

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// An Ed25519 public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Its name.
    pub fn id(&self) -> KeyId {
        KeyId(Sha256::of(&self.0).to_string()[..16].to_owned())
    }

    /// Its 32 bytes as base64.
    pub fn to_base64(&self) -> String {
        BASE64.encode(self.0)
    }

    /// From 32 bytes as base64, with or without `ed25519:` before them.
    ///
    /// # Errors
    /// If the text is not base64 or not 32 bytes long, or names another
    /// algorithm.
    pub fn from_base64(text: &str) -> Result<Self, SignatureError> {
        let bytes = match text.trim().split_once(':') {
            None => text.trim(),
            Some((ED25519_NAME, bytes)) => bytes,
            Some((other, _)) => return Err(SignatureError::unknown(other)),
        };
        BASE64
            .decode(bytes)
            .ok()
            .and_then(|b| <[u8; 32]>::try_from(b).ok())
            .map(Self)
            .ok_or(SignatureError::NotAPublicKey)
    }
}

impl serde::Serialize for PublicKey {
    /// With its algorithm: `ed25519:<base64>`.
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{ED25519_NAME}:{}", self.to_base64()))
    }
}

impl<'de> serde::Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::from_base64(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// A private Ed25519 key.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// A new key as PKCS#8.
    ///
    /// # Errors
    /// Only if the system's randomness fails.
    pub fn generate_pkcs8() -> Result<zeroize::Zeroizing<Vec<u8>>, SignatureError> {
        Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map(|d| zeroize::Zeroizing::new(d.as_ref().to_vec()))
            .map_err(|_| SignatureError::NotAPrivateKey)
    }

    /// From PKCS#8.
    ///
    /// # Errors
    /// If the bytes are not an Ed25519 key.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, SignatureError> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Self).map_err(|_| SignatureError::NotAPrivateKey)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(out)
    }

    /// Signs the bytes as they are.
    pub fn sign(&self, bytes: &[u8]) -> Signature {
        Signature { key: self.public().id(), value: self.0.sign(bytes).as_ref().to_vec() }
    }
}

/// A detached signature, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    key: KeyId,
    value: Vec<u8>,
}

impl Signature {
    /// The key it claims to be by.
    pub fn key(&self) -> &KeyId {
        &self.key
    }
}

impl std::fmt::Display for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "alg=ed25519,key={},sig={}", self.key, BASE64.encode(&self.value))
    }
}

impl serde::Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a signature or a key was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SignatureError {
    /// Not of the form written above.
    #[error("the signature is not of the form alg=ed25519,key=…,sig=… ({0})")]
    Form(&'static str),
    /// An algorithm this version does not know.
    #[error("the signature or key names the algorithm `{0}`; this version knows ed25519")]
    UnknownAlgorithm(String),
    /// By another key than the one it was checked with.
    #[error(
        "signed with key {found}; the key on record is {expected}: register the new key, or find out who signed"
    )]
    OtherKey {
        /// Key named by the signature.
        found: KeyId,
        /// Key it was checked with.
        expected: KeyId,
    },
    /// The bytes are not the ones that were signed.
    #[error("the signature does not fit the bytes")]
    Wrong,
    /// Not 32 bytes of base64.
    #[error("not an Ed25519 public key (32 bytes as base64)")]
    NotAPublicKey,
    /// Not PKCS#8 of an Ed25519 key.
    #[error("not an Ed25519 private key (PKCS#8): make one with `counterproof keys`")]
    NotAPrivateKey,
}

impl SignatureError {
    fn unknown(name: &str) -> Self {
        Self::UnknownAlgorithm(name.chars().take(32).collect())
    }
}

impl std::str::FromStr for Signature {
    type Err = SignatureError;

    fn from_str(s: &str) -> Result<Self, SignatureError> {
        let mut parts = s.trim().splitn(3, ',');
        let mut field = |name: &'static str, wanted: &'static str| {
            parts.next().and_then(|p| p.trim().strip_prefix(wanted)).ok_or(SignatureError::Form(name))
        };
        let alg = field("alg is missing", "alg=")?;
        if alg != ED25519_NAME {
            return Err(SignatureError::unknown(alg));
        }
        let key = field("key is missing", "key=")?;
        let key = key.parse()?;
        let sig = field("sig is missing", "sig=")?;
        let value = BASE64.decode(sig).map_err(|_| SignatureError::Form("sig is not base64"))?;
        Ok(Self { key, value })
    }
}

/// Bytes with a signature that nobody has checked.
pub struct Unverified<'a> {
    bytes: &'a [u8],
    signature: Signature,
}

impl<'a> Unverified<'a> {
    /// Joins bytes and what claims to be their signature.
    pub fn new(bytes: &'a [u8], signature: Signature) -> Self {
        Self { bytes, signature }
    }

    /// The key it claims to be by.
    pub fn claimed_key(&self) -> &KeyId {
        self.signature.key()
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// If it is by another key, or does not fit the bytes.
    pub fn verify(self, key: &PublicKey) -> Result<Verified<'a>, SignatureError> {
        let expected = key.id();
        if self.signature.key != expected {
            return Err(SignatureError::OtherKey { found: self.signature.key, expected });
        }
        UnparsedPublicKey::new(&ED25519, key.0)
            .verify(self.bytes, &self.signature.value)
            .map_err(|_| SignatureError::Wrong)?;
        Ok(Verified { bytes: self.bytes, signature: self.signature })
    }
}

/// Bytes whose signature was checked. Made by [`Unverified::verify`] alone:
///
/// ```compile_fail
/// use counterproof::crypto::sign::{Unverified, Verified};
/// fn skip<'a>(u: Unverified<'a>) -> Verified<'a> { u }
/// ```
/// ```
/// use counterproof::crypto::sign::{PublicKey, SignatureError, Unverified, Verified};
/// fn check<'a>(u: Unverified<'a>, k: &PublicKey) -> Result<Verified<'a>, SignatureError> { u.verify(k) }
/// ```
pub struct Verified<'a> {
    bytes: &'a [u8],
    signature: Signature,
}

impl Verified<'_> {
    /// The bytes that were signed.
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// The signature that was checked.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap()
    }

    #[test]
    fn only_the_signed_bytes_verify_and_only_by_their_key() {
        let (ours, other) = (key(), key());
        let signature: Signature = ours.sign(b"alert").to_string().parse().unwrap();
        assert!(Unverified::new(b"alert", signature.clone()).verify(&ours.public()).is_ok());
        assert_eq!(
            Unverified::new(b"alarm", signature.clone()).verify(&ours.public()).err(),
            Some(SignatureError::Wrong)
        );
        assert!(matches!(
            Unverified::new(b"alert", signature).verify(&other.public()),
            Err(SignatureError::OtherKey { .. })
        ));
    }

    #[test]
    fn another_algorithm_is_refused_by_name() {
        let text = key().sign(b"x").to_string().replacen("ed25519", "sm2-sm3", 1);
        assert_eq!(text.parse::<Signature>(), Err(SignatureError::UnknownAlgorithm("sm2-sm3".into())));
        let named = serde_json::to_value(key().public()).unwrap();
        assert!(named.as_str().unwrap().starts_with("ed25519:"), "{named}");
        assert!(serde_json::from_value::<PublicKey>(named.clone()).is_ok());
        let other = named.as_str().unwrap().replacen("ed25519", "sm2-sm3", 1);
        assert_eq!(PublicKey::from_base64(&other), Err(SignatureError::UnknownAlgorithm("sm2-sm3".into())));
        let refused = serde_json::from_value::<PublicKey>(other.into()).unwrap_err().to_string();
        assert!(refused.contains("`sm2-sm3`; this version knows ed25519"), "{refused}");
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in ".{0,120}") {
            if let Ok(s) = text.parse::<Signature>() {
                prop_assert_eq!(s.to_string().parse::<Signature>().unwrap(), s);
            }
        }
    }
}
