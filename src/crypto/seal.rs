//! Sealing: what is written to a disk is unreadable without the root key.
//!
//! Format, version 1: `"CPS"`, one byte of algorithm (1 = AES-256-GCM with a
//! key from HKDF-SHA256, or a random key sealed under such a one), 4 bytes that
//! name the key, 12 bytes of nonce, then ciphertext and 16 bytes of tag. The
//! label of the row (table, id) is authenticated with it, so that sealed rows
//! cannot change places.
//!
//! A store's rows are sealed under data keys ([`KeyRing`]), one for each day,
//! which are themselves sealed under the root key: a data key whose rows have
//! all reached their limit is destroyed, and copies of them that a disk may
//! still hold are unreadable for good; and another root key seals the data keys
//! anew without touching a row.
//!
//! Nonces are random. With 96 bits, 2^32 seals under one key keep the chance
//! of a repeat under 2^-32 (NIST SP 800-38D, 8.3); a box seals a few thousand
//! rows a day.

use std::collections::HashMap;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::Sha256;

const MAGIC: &[u8; 3] = b"CPS";
const AES_256_GCM_HKDF_SHA256: u8 = 1;
const HEADER: usize = 3 + 1 + 4;

/// Name of a key in the headers of what it sealed.
pub type KeyName = [u8; 4];

/// The name of the key that sealed a row, if the row has a header.
pub fn sealed_by(row: &[u8]) -> Option<KeyName> {
    row.strip_prefix(MAGIC)?.split_first()?.1.first_chunk().copied()
}

/// The 32 secret bytes from which a store's keys are derived.
pub struct RootKey(Zeroizing<[u8; 32]>);

impl RootKey {
    /// Takes 32 bytes of good randomness.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A key for one purpose; different purposes give unrelated keys.
    ///
    /// # Errors
    /// Only if the crypto library fails.
    pub fn derive(&self, purpose: &str) -> Result<SealKey, SealError> {
        let key = self.expand(b"counterproof seal v1", purpose)?;
        SealKey::from_bytes(&key)
    }

    /// 32 bytes for a keyed hash of one purpose, unrelated to every seal.
    ///
    /// # Errors
    /// Only if the crypto library fails.
    pub fn mac_key(&self, purpose: &str) -> Result<Zeroizing<[u8; 32]>, SealError> {
        self.expand(b"counterproof mac v1", purpose)
    }

    fn expand(&self, salt: &[u8], purpose: &str) -> Result<Zeroizing<[u8; 32]>, SealError> {
        let mut key = Zeroizing::new([0; 32]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
            .extract(self.0.as_ref())
            .expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(key.as_mut()))
            .map_err(|_| SealError::Library)?;
        Ok(key)
    }
}

/// Seals and opens rows of one store.
pub struct SealKey {
    key: LessSafeKey,
    name: KeyName,
    rng: SystemRandom,
}

/// Why something could not be sealed or opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// Not written by this program, or cut short.
    #[error("this is not a sealed row (no header, or cut short)")]
    NotSealed,
    /// Written by a newer program.
    #[error(
        "sealed with algorithm {0}; this program knows 1 (AES-256-GCM): it was written by a newer version"
    )]
    UnknownAlgorithm(u8),
    /// Another root key.
    #[error(
        "sealed under key {found}, but the root key given makes {ours}: give the root key this store was made with, or begin a new state directory"
    )]
    OtherKey {
        /// Name of the key in the header.
        found: String,
        /// Name of the key at hand.
        ours: String,
    },
    /// Changed, or moved to another place.
    #[error("the sealed row was changed, or belongs to another place")]
    Tampered,
    /// The key of the row is not in the ring.
    #[error("sealed under data key {0}, which was destroyed when its rows reached their limit, or is lost")]
    Destroyed(String),
    /// The crypto library failed.
    #[error("the crypto library could not make a key or a nonce")]
    Library,
}

impl SealKey {
    fn from_bytes(key: &[u8; 32]) -> Result<Self, SealError> {
        let name = Sha256::of(&[b"key name: ", key.as_slice()].concat());
        let unbound = UnboundKey::new(&AES_256_GCM, key).map_err(|_| SealError::Library)?;
        Ok(Self {
            key: LessSafeKey::new(unbound),
            name: [name.0[0], name.0[1], name.0[2], name.0[3]],
            rng: SystemRandom::new(),
        })
    }

    /// Its name in the headers of what it seals.
    pub fn name(&self) -> KeyName {
        self.name
    }

    /// Seals `plain` for the place that `label` names.
    ///
    /// # Errors
    /// Only if the system's randomness fails.
    pub fn seal(&self, label: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        self.rng.fill(&mut nonce).map_err(|_| SealError::Library)?;
        let mut out = Vec::with_capacity(HEADER + NONCE_LEN + plain.len() + 16);
        out.extend_from_slice(MAGIC);
        out.push(AES_256_GCM_HKDF_SHA256);
        out.extend_from_slice(&self.name);
        out.extend_from_slice(&nonce);
        let mut body = Zeroizing::new(plain.to_vec());
        let tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(label), &mut body)
            .map_err(|_| SealError::Library)?;
        out.extend_from_slice(&body);
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    /// Opens what was sealed for the place that `label` names.
    ///
    /// # Errors
    /// [`SealError`]: not sealed, another key, changed, or another place.
    pub fn open(&self, label: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (magic, rest) = sealed.split_first_chunk::<3>().ok_or(SealError::NotSealed)?;
        let (algorithm, rest) = rest.split_first().ok_or(SealError::NotSealed)?;
        let (name, rest) = rest.split_first_chunk::<4>().ok_or(SealError::NotSealed)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::NotSealed)?;
        if magic != MAGIC {
            return Err(SealError::NotSealed);
        }
        if *algorithm != AES_256_GCM_HKDF_SHA256 {
            return Err(SealError::UnknownAlgorithm(*algorithm));
        }
        if *name != self.name {
            return Err(SealError::OtherKey { found: hex(name), ours: hex(&self.name) });
        }
        let mut body = Zeroizing::new(body.to_vec());
        let len = self
            .key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(label), &mut body)
            .map_err(|_| SealError::Tampered)?
            .len();
        body.truncate(len);
        Ok(body)
    }
}

/// The data keys of a store: the newest seals, all open.
pub struct KeyRing {
    over: SealKey,
    keys: HashMap<KeyName, (SealKey, Zeroizing<[u8; 32]>)>,
    newest: Option<KeyName>,
}

const DATA_KEY_LABEL: &str = "data key";

impl KeyRing {
    /// An empty ring under a key that is derived from the root.
    pub fn new(over: SealKey) -> Self {
        Self { over, keys: HashMap::new(), newest: None }
    }

    /// Takes in a data key as [`KeyRing::add`] gave it; the last one taken in
    /// is the newest.
    ///
    /// # Errors
    /// [`SealError::OtherKey`] under another root key.
    pub fn take(&mut self, sealed: &[u8]) -> Result<KeyName, SealError> {
        let plain = self.over.open(DATA_KEY_LABEL, sealed)?;
        let bytes: [u8; 32] = plain.as_slice().try_into().map_err(|_| SealError::Tampered)?;
        self.hold(Zeroizing::new(bytes))
    }

    fn hold(&mut self, bytes: Zeroizing<[u8; 32]>) -> Result<KeyName, SealError> {
        let key = SealKey::from_bytes(&bytes)?;
        let name = key.name;
        self.keys.insert(name, (key, bytes));
        self.newest = Some(name);
        Ok(name)
    }

    /// Makes a new data key, the newest from now on; to be kept as returned:
    /// its name, and itself sealed.
    ///
    /// # Errors
    /// Only if the system's randomness fails.
    pub fn add(&mut self) -> Result<(KeyName, Vec<u8>), SealError> {
        let mut bytes = Zeroizing::new([0; 32]);
        self.over.rng.fill(bytes.as_mut()).map_err(|_| SealError::Library)?;
        let sealed = self.over.seal(DATA_KEY_LABEL, bytes.as_ref())?;
        Ok((self.hold(bytes)?, sealed))
    }

    /// The name of the key that seals, if there is one yet.
    pub fn newest(&self) -> Option<KeyName> {
        self.newest
    }

    /// Forgets a key whose rows are gone.
    pub fn forget(&mut self, name: KeyName) {
        self.keys.remove(&name);
        if self.newest == Some(name) {
            self.newest = None;
        }
    }

    /// Every data key sealed under another key, on which the ring can then
    /// [stand](KeyRing::stand_on).
    ///
    /// # Errors
    /// Only if the system's randomness fails.
    pub fn sealed_under(&self, over: &SealKey) -> Result<Vec<(KeyName, Vec<u8>)>, SealError> {
        let seal = |(name, (_, bytes)): (&KeyName, &(SealKey, Zeroizing<[u8; 32]>))| {
            Ok((*name, over.seal(DATA_KEY_LABEL, bytes.as_ref())?))
        };
        self.keys.iter().map(seal).collect()
    }

    /// Seals data keys under this key from now on.
    pub fn stand_on(&mut self, over: SealKey) {
        self.over = over;
    }

    /// Seals `plain` for the place that `label` names, under the newest key.
    ///
    /// # Errors
    /// If there is no key yet, or the system's randomness fails.
    pub fn seal(&self, label: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let (key, _) = self.newest.and_then(|n| self.keys.get(&n)).ok_or(SealError::Library)?;
        key.seal(label, plain)
    }

    /// Opens what was sealed for the place that `label` names, under any of
    /// its keys.
    ///
    /// # Errors
    /// [`SealError::Destroyed`] if the key is gone; else as [`SealKey::open`].
    pub fn open(&self, label: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let name = sealed_by(sealed).ok_or(SealError::NotSealed)?;
        let (key, _) = self.keys.get(&name).ok_or_else(|| SealError::Destroyed(hex(&name)))?;
        key.open(label, sealed)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(byte: u8) -> SealKey {
        RootKey::new([byte; 32]).derive("test").unwrap()
    }

    #[test]
    fn a_row_opens_only_with_its_key_and_at_its_place() {
        let sealed = key(1).seal("row/1", b"P0001").unwrap();
        assert_eq!(key(1).open("row/1", &sealed).unwrap().as_slice(), b"P0001");
        assert_eq!(key(1).open("row/2", &sealed).unwrap_err(), SealError::Tampered);
        assert!(matches!(key(2).open("row/1", &sealed), Err(SealError::OtherKey { .. })));
        assert!(!sealed.windows(5).any(|w| w == b"P0001"));
    }

    #[test]
    fn data_keys_open_their_rows_until_they_are_destroyed_and_survive_another_root() {
        let root = |byte: u8| RootKey::new([byte; 32]).derive("data keys").unwrap();
        let mut ring = KeyRing::new(root(1));
        assert!(ring.seal("r", b"x").is_err());
        let (first, kept) = ring.add().unwrap();
        let old = ring.seal("r", b"old").unwrap();
        let (second, _) = ring.add().unwrap();
        let new = ring.seal("r", b"new").unwrap();
        assert_eq!((sealed_by(&old), sealed_by(&new)), (Some(first), Some(second)));
        let moved = ring.sealed_under(&root(2)).unwrap();
        ring.stand_on(root(2));
        ring.forget(first);
        assert!(matches!(ring.open("r", &old), Err(SealError::Destroyed(_))));
        assert_eq!(ring.open("r", &new).unwrap().as_slice(), b"new");
        let mut again = KeyRing::new(root(2));
        assert!(matches!(again.take(&kept), Err(SealError::OtherKey { .. })));
        for (_, sealed) in moved {
            again.take(&sealed).unwrap();
        }
        assert_eq!(again.open("r", &old).unwrap().as_slice(), b"old");
    }

    #[test]
    fn another_algorithm_is_refused_by_number() {
        let mut sealed = key(1).seal("r", b"x").unwrap();
        sealed[3] = 2;
        let refused = key(1).open("r", &sealed).unwrap_err();
        assert_eq!(refused, SealError::UnknownAlgorithm(2));
        assert!(refused.to_string().contains("algorithm 2"), "{refused}");
    }

    #[test]
    fn the_same_row_is_never_sealed_alike() {
        assert_ne!(key(1).seal("a", b"x").unwrap(), key(1).seal("a", b"x").unwrap());
    }

    proptest! {
        #[test]
        fn any_changed_byte_is_noticed(plain in proptest::collection::vec(any::<u8>(), 0..64), at in any::<proptest::sample::Index>(), flip in 1u8..) {
            let mut sealed = key(1).seal("r", &plain).unwrap();
            let i = at.index(sealed.len());
            sealed[i] ^= flip;
            prop_assert!(key(1).open("r", &sealed).is_err());
        }

        #[test]
        fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(key(1).open("r", &bytes).is_err());
        }
    }
}
