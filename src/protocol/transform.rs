//! The key of a box's transform, as the bureau hands it to that box alone.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto::transform::{ALGORITHM, TransformError, TransformKey};

/// The answer to `GET /v1/transform`.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransformGrant {
    /// How the key becomes a matrix; this version knows [`ALGORITHM`].
    algorithm: String,
    /// How often the box's transform was issued, from 1. For people: which
    /// transform made a reference is told by its id.
    version: u32,
    /// The key, as base64.
    #[schema(value_type = String)]
    key: Zeroizing<String>,
}

/// An answer that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GrantError {
    /// Made by a newer bureau.
    #[error(
        "the transform's algorithm is `{0}`; this version knows {ALGORITHM}: bring box and bureau to one version"
    )]
    UnknownAlgorithm(String),
    /// No key.
    #[error(transparent)]
    Key(#[from] TransformError),
}

impl TransformGrant {
    /// Hands out a key.
    pub fn new(version: u32, key: &TransformKey) -> Self {
        Self { algorithm: ALGORITHM.to_owned(), version, key: key.to_base64() }
    }

    /// How often the box's transform was issued, from 1.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The key.
    ///
    /// # Errors
    /// If the algorithm is not known, or the text is no key.
    pub fn key(&self) -> Result<TransformKey, GrantError> {
        if self.algorithm != ALGORITHM {
            return Err(GrantError::UnknownAlgorithm(self.algorithm.chars().take(40).collect()));
        }
        Ok(TransformKey::from_base64(&self.key)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_survives_the_wire_and_another_algorithm_is_named() {
        let key = TransformKey::new([5; 32]);
        let text = serde_json::to_string(&TransformGrant::new(3, &key)).unwrap();
        let grant: TransformGrant = serde_json::from_str(&text).unwrap();
        assert_eq!((grant.version(), grant.key().unwrap().id()), (3, key.id()));
        let newer: TransformGrant = serde_json::from_str(&text.replace("-v1", "-v2")).unwrap();
        let refused = newer.key().err().unwrap().to_string();
        assert!(refused.contains("-v2") && refused.contains(ALGORITHM), "{refused}");
        let cut: TransformGrant = serde_json::from_str(&text.replace("BQUF", "")).unwrap();
        assert_eq!(cut.key().err(), Some(GrantError::Key(TransformError::Key)));
    }
}
