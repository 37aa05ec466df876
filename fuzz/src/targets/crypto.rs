//! Seals, and the files that hold keys and certificates.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use counterproof::crypto::keys;
use counterproof::crypto::seal::{KeyRing, RootKey, SealKey, sealed_by};
use counterproof::crypto::sign::SigningKey;
use counterproof::crypto::tls::{TlsFiles, install_provider};

use super::{choose, refused, with_folder};

/// PKCS#8 of Ed25519 up to the 32 secret bytes (RFC 8410).
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// The key that signs in targets: made of known bytes, of no use elsewhere.
pub fn signing_key() -> SigningKey {
    SigningKey::from_pkcs8(&pkcs8()).unwrap()
}

/// The same as a file holds it.
pub fn pkcs8() -> Vec<u8> {
    [PKCS8.as_slice(), &[7; 32]].concat()
}

/// The key that seals in targets.
pub fn seal_key() -> SealKey {
    RootKey::new([7; 32]).derive("fuzz").unwrap()
}

/// Rows and data keys: whatever the bytes are, nothing opens that was not
/// sealed, and nothing that was changed after it was.
///
/// By the first byte: bytes as they are for a row, or for a data key; or a
/// place, a mask and a text: the text is sealed, the byte at the place is
/// changed by the mask.
pub fn seal(data: &[u8]) -> bool {
    let Some((choice, data)) = choose(data, 3) else { return false };
    let key = seal_key();
    match choice {
        0 => {
            let opened = key.open("row/1", data);
            assert!(opened.is_err(), "a forged row was opened");
            sealed_by(data).is_some()
        }
        1 => {
            let mut ring = KeyRing::new(key);
            let taken = ring.take(data).expect_err("a forged data key was taken");
            refused(taken, data.len());
            let opened = ring.open("row/1", data);
            refused(opened.expect_err("a forged row was opened"), data.len())
        }
        _ => {
            let Some(([at, mask, label], plain)) = data.split_first_chunk::<3>() else { return false };
            let (place, other) = (format!("row/{label}"), format!("row/{}", label.wrapping_add(1)));
            let mut sealed = key.seal(&place, plain).unwrap();
            assert_eq!(key.open(&place, &sealed).unwrap().as_slice(), plain);
            assert!(key.open(&other, &sealed).is_err(), "a row was moved");
            let at = usize::from(*at) % sealed.len();
            sealed[at] ^= mask;
            assert_eq!(key.open(&place, &sealed).is_ok(), *mask == 0);
            assert!(key.open(&place, &sealed[..at]).is_err(), "a row was cut short");
            true
        }
    }
}

/// Files with a root key, a signing key, a token, and the three files of TLS.
pub fn keys(data: &[u8]) -> bool {
    let Some((choice, data)) = choose(data, 4) else { return false };
    with_folder(|dir| {
        let path = dir.join("secret");
        write_secret(&path, data);
        let place = path.to_string_lossy();
        let read = match choice {
            0 => keys::read_root_key(&place).map(|_| ()),
            1 => keys::read_signing_key(&place).map(|key| {
                key.sign(b"x");
            }),
            2 => keys::read_token(&place).map(|token| assert!(token.len() >= 24)),
            _ => return tls(&path, data),
        };
        read.map_or_else(|e| refused(e, data.len()), |()| true)
    })
}

/// One PEM file as authority, certificate and key.
fn tls(path: &Path, data: &[u8]) -> bool {
    install_provider();
    let files = TlsFiles {
        ca: path.to_owned(),
        certificate: path.to_owned(),
        key: path.to_string_lossy().into_owned(),
    };
    let client = files.client().map_or_else(|e| refused(e, data.len()), |_| true);
    let server = files.server().map_or_else(|e| refused(e, data.len()), |_| true);
    client || server
}

fn write_secret(path: &Path, data: &[u8]) {
    fs::write(path, data).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
