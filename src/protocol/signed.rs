//! A word of the bureau to one box: text that travels with its signature.
//!
//! What is signed are the exact bytes of the document, which is JSON that names
//! its form and the box. It says nothing until [`Signed::read`] has checked it with
//! the pinned key. What the words mean stands with each of them
//! (`commission`, `handout`, `rollout`).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::id::AgentId;
use super::json::{self, Misread};
use crate::crypto::sign::{PublicKey, Signature, SignatureError, SigningKey, Unverified};

/// Longest document that is read, in bytes, unless its [`Word`] says otherwise.
pub const MAX_BYTES: usize = 4 * 1024;

/// What may be signed for a box.
pub trait Word: Serialize + DeserializeOwned {
    /// Longest document that is read, in bytes.
    const MOST: usize = MAX_BYTES;

    /// The box that it is for.
    fn agent(&self) -> &AgentId;
}

/// A document with a signature that nobody has checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The exact text that was signed.
    pub document: String,
    /// By the bureau, over the bytes of the document.
    pub signature: Signature,
}

/// Why a word does not count.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SignedError {
    /// By another key, or over something else.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Signed, but not understood.
    #[error("its document is not understood: {0}")]
    Form(#[from] Misread),
    /// Longer than [`Word::MOST`].
    #[error("its document has {found} bytes, at most {most} are read")]
    TooLong {
        /// How long it is.
        found: usize,
        /// How long it may be.
        most: usize,
    },
    /// For another box.
    #[error("it is for {found}, this box is {expected}")]
    OtherBox {
        /// The box it names.
        found: AgentId,
        /// This box.
        expected: AgentId,
    },
}

impl Signed {
    /// Signs a word.
    ///
    /// # Errors
    /// Only if it cannot be written as JSON.
    pub fn sign(word: &impl Word, key: &SigningKey) -> Result<Self, serde_json::Error> {
        let document = serde_json::to_string(word)?;
        let signature = key.sign(document.as_bytes());
        Ok(Self { document, signature })
    }

    /// What it says, if the bureau signed it, and for this box.
    ///
    /// # Errors
    /// [`SignedError`]
    pub fn read<W: Word>(&self, bureau: &PublicKey, agent: &AgentId) -> Result<W, SignedError> {
        let (found, most) = (self.document.len(), W::MOST);
        if found > most {
            return Err(SignedError::TooLong { found, most });
        }
        let verified = Unverified::new(self.document.as_bytes(), self.signature.clone()).verify(bureau)?;
        let word: W = json::read(verified.bytes())?;
        if word.agent() != agent {
            return Err(SignedError::OtherBox { found: word.agent().clone(), expected: agent.clone() });
        }
        Ok(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;
    use crate::crypto::Sha256;
    use crate::protocol::document::DocumentKind;
    use crate::protocol::handout::{Format, Handout};

    fn key() -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap()
    }

    #[test]
    fn a_word_counts_for_its_box_under_the_pinned_key_alone() {
        let (bureau, agent): (_, AgentId) = (key(), "box-1".parse().unwrap());
        let handout = Handout {
            format: Format::V1,
            agent: agent.clone(),
            kind: DocumentKind::Policy,
            digest: Sha256::of(b"p"),
            bytes: 1,
            number: 3,
            at: WallTime::from_millis(5),
        };
        let signed = Signed::sign(&handout, &bureau).unwrap();
        assert_eq!(signed.read::<Handout>(&bureau.public(), &agent).unwrap(), handout);
        let stranger = signed.read::<Handout>(&key().public(), &agent);
        assert!(matches!(stranger, Err(SignedError::Signature(_))));
        let other = signed.read::<Handout>(&bureau.public(), &"box-2".parse().unwrap()).unwrap_err();
        assert_eq!(other.to_string(), "it is for box-1, this box is box-2");
        let changed = Signed { document: signed.document.replace(":3,", ":4,"), ..signed.clone() };
        assert_ne!(changed, signed);
        assert!(matches!(changed.read::<Handout>(&bureau.public(), &agent), Err(SignedError::Signature(_))));
        let long = Signed { document: "x".repeat(MAX_BYTES + 1), ..signed };
        let too_long = SignedError::TooLong { found: MAX_BYTES + 1, most: MAX_BYTES };
        assert_eq!(long.read::<Handout>(&bureau.public(), &agent), Err(too_long));
        let form = Signed::sign(&handout, &bureau).unwrap().document.replace(".v1", ".v9");
        let newer = Signed { signature: bureau.sign(form.as_bytes()), document: form };
        assert!(matches!(newer.read::<Handout>(&bureau.public(), &agent), Err(SignedError::Form(_))));
    }
}
