//! A privacy policy as a document of its own, named by its digest.
//!
//! The canonical form is JSON without spaces, keys sorted, whole numbers and
//! text alone (a part of RFC 8785), so that any tool can make it again. Its
//! SHA-256 is what alerts and postures carry. What stands in a policy is the
//! business of `privacy::policy`; this storey carries it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::crypto::Sha256;

/// Largest accepted document, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// A policy with its digest: what `counterproof policy show --json` prints and
/// `GET /v1/policy` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PolicyDocument {
    /// SHA-256 of [`PolicyDocument::canonical`].
    pub digest: Sha256,
    /// The policy.
    pub policy: Value,
}

/// Bytes that are not a policy with its digest.
#[derive(Debug, thiserror::Error)]
pub enum PolicyDocumentError {
    /// Not the expected JSON.
    #[error("{0}; expected one line as `counterproof policy show --json` prints it")]
    Form(String),
    /// The digest is not that of the policy beside it.
    #[error(
        "the digest says {said}, the policy beside it has {found}: it was changed after it was printed; \
         print it anew with `counterproof policy show --json`"
    )]
    Digest {
        /// The digest that stands there.
        said: Sha256,
        /// The digest of the policy.
        found: Sha256,
    },
}

impl PolicyDocument {
    /// Names a policy by its digest.
    pub fn of(policy: Value) -> Self {
        Self { digest: Sha256::of(policy.to_string().as_bytes()), policy }
    }

    /// The bytes that the digest is made of.
    pub fn canonical(&self) -> String {
        // serde_json keeps the keys of an object sorted; a test holds it to that.
        self.policy.to_string()
    }

    /// Reads a policy with its digest, and checks one against the other.
    ///
    /// # Errors
    /// [`PolicyDocumentError`]
    pub fn read(bytes: &[u8]) -> Result<Self, PolicyDocumentError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            digest: Sha256,
            policy: Value,
        }
        if bytes.len() > MAX_BYTES {
            let what = format!("{} bytes, more than {MAX_BYTES}", bytes.len());
            return Err(PolicyDocumentError::Form(what));
        }
        let written: Written =
            serde_json::from_slice(bytes).map_err(|e| PolicyDocumentError::Form(e.to_string()))?;
        let document = Self::of(written.policy);
        if document.digest != written.digest {
            return Err(PolicyDocumentError::Digest { said: written.digest, found: document.digest });
        }
        Ok(document)
    }
}

/// One line: `{"digest":"…","policy":{…}}`, the policy in its canonical form.
impl std::fmt::Display for PolicyDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, r#"{{"digest":"{}","policy":{}}}"#, self.digest, self.canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_canonical_form_is_sorted_and_without_spaces() {
        let document = PolicyDocument::of(json!({"b": {"z": 1, "a": "窗口"}, "a": [true]}));
        assert_eq!(document.canonical(), r#"{"a":[true],"b":{"a":"窗口","z":1}}"#);
        assert_eq!(document.digest, Sha256::of(document.canonical().as_bytes()));
    }

    #[test]
    fn a_changed_policy_is_noticed_and_its_layout_is_not() {
        let document = PolicyDocument::of(json!({"b": 1, "a": 2}));
        let digest = document.digest;
        let spaced = format!("{{\n \"policy\": {{ \"b\": 1, \"a\": 2 }},\n \"digest\": \"{digest}\" }}\n");
        assert_eq!(PolicyDocument::read(spaced.as_bytes()).unwrap(), document);
        let changed = spaced.replace("\"b\": 1", "\"b\": 3");
        let refused = PolicyDocument::read(changed.as_bytes()).unwrap_err();
        assert!(refused.to_string().contains(&digest.to_string()), "{refused}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = PolicyDocument::read(&bytes);
        }
    }
}
