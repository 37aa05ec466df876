//! Keys, seals, signatures, TLS and the transforms of references: what the rest
//! of the program trusts.
//!
//! Everything here is `ring` or `rustls` behind types that make the wrong use
//! hard: a sealed row opens only under its own label, bytes with a signature
//! cannot be read as verified before they were, secrets are overwritten on
//! drop. Each header names its algorithms, so that others can join.

pub mod authority;
pub mod keys;
pub mod seal;
pub mod sign;
pub mod tls;
pub mod transform;

use ring::digest;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(out)
    }
}

impl std::fmt::Display for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// The text is not a SHA-256 digest.
#[derive(Debug, thiserror::Error)]
#[error("found `{0}`; expected 64 hexadecimal digits (this version knows SHA-256 digests alone)")]
pub struct NotADigest(String);

impl std::str::FromStr for Sha256 {
    type Err = NotADigest;

    fn from_str(s: &str) -> Result<Self, NotADigest> {
        let bad = || NotADigest(s.chars().take(80).collect());
        // `from_str_radix` would take a sign: `+a` for `0a`, a second spelling of one digest.
        if s.len() != 64 || !s.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut out = [0; 32];
        for (byte, pair) in out.iter_mut().zip(s.as_bytes().chunks(2)) {
            let text = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(text, 16).map_err(|_| bad())?;
        }
        Ok(Self(out))
    }
}

impl serde::Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Sha256 {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Sha256;

    #[test]
    fn a_digest_by_another_algorithm_is_refused_by_name() {
        let digest = Sha256::of(b"x").to_string();
        assert_eq!(digest.parse::<Sha256>().unwrap(), Sha256::of(b"x"));
        let refused = format!("sm3:{digest}").parse::<Sha256>().unwrap_err().to_string();
        assert!(refused.contains("sm3:") && refused.contains("SHA-256 digests alone"), "{refused}");
    }
}
