//! The bureau's own authority for boxes: makes their certificates when they join.
//!
//! It is a key and nothing else: its name follows from the key, so that its
//! certificate can be made again and nothing has to be parsed. It signs what the
//! bureau decides (the box's name, use as a client, two years) and takes nothing of
//! that from a request. It says nothing about servers: the bureau's own certificate
//! comes from elsewhere.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use jiff::ToSpan;
use jiff::civil::Date;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm, date_time_ymd,
};

use super::Sha256;
use super::keys::{KeyError, read_secret};

/// For how many days a box's certificate is good.
pub const CERTIFICATE_DAYS: i64 = 730;
/// Until which year the authority's own certificate is good.
const AUTHORITY_UNTIL: i32 = 2060;
/// An uncompressed point of P-256.
const POINT_BYTES: usize = 65;

/// The public half of a box's TLS key: a point of P-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point([u8; POINT_BYTES]);

impl Point {
    /// From base64.
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes: [u8; POINT_BYTES] = BASE64.decode(text).ok()?.try_into().ok()?;
        (bytes.first() == Some(&4)).then_some(Self(bytes))
    }

    /// As base64.
    pub fn to_base64(&self) -> String {
        BASE64.encode(self.0)
    }

    /// The public half of the private key at `place` (PEM; a path or
    /// `credential:NAME`).
    ///
    /// # Errors
    /// If it cannot be read, or is no ECDSA P-256 key.
    pub fn of_key(place: &str) -> Result<Self, KeyError> {
        let (path, pair) = read_pair(place)?;
        let bytes = pair.der_bytes().try_into().ok().filter(|_| pair.algorithm() == &PKCS_ECDSA_P256_SHA256);
        bytes.map(Self).ok_or_else(|| KeyError::Content {
            path,
            what: "found another kind of key; a certificate is made for ECDSA P-256 alone, as `counterproof keys` \
                   makes it: bring a certificate of your own authority with --certificate"
                .into(),
        })
    }
}

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

fn read_pair(place: &str) -> Result<(PathBuf, KeyPair), KeyError> {
    let (path, pem) = read_secret(place)?;
    let content = |what: String| KeyError::Content { path: path.clone(), what };
    let text = std::str::from_utf8(&pem).map_err(|_| content("a private key as PEM is text".into()))?;
    let pair = KeyPair::from_pem(text).map_err(|e| content(format!("no private key as PEM: {e}")))?;
    Ok((path, pair))
}

/// A certificate that was made for a box.
#[derive(Debug, Clone)]
pub struct Made {
    /// As PEM.
    pub pem: String,
    /// SHA-256 of its DER form: by which the bureau knows it.
    pub digest: Sha256,
    /// Its last day, in UTC.
    pub last_day: Date,
}

/// The authority, with its private key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Reads the key of the authority (PEM; a path or `credential:NAME`).
    ///
    /// # Errors
    /// If it is missing, exposed or something else.
    pub fn read(place: &str) -> Result<Self, KeyError> {
        let (_, key) = read_pair(place)?;
        Ok(Self { issuer: Issuer::new(own(&key), key) })
    }

    /// Makes a key and its certificate in `dir`: `boxes-ca.key` and `boxes-ca.pem`.
    ///
    /// # Errors
    /// If one is there already (nothing is overwritten) or cannot be written.
    pub fn make(dir: &Path) -> Result<[PathBuf; 2], KeyError> {
        let content = |e: rcgen::Error| KeyError::Content { path: dir.to_owned(), what: e.to_string() };
        let key = KeyPair::generate().map_err(content)?;
        let pem = own(&key).self_signed(&key).map_err(content)?.pem();
        let files = [dir.join("boxes-ca.key"), dir.join("boxes-ca.pem")];
        let texts = [zeroize::Zeroizing::new(key.serialize_pem()), zeroize::Zeroizing::new(pem)];
        fs::create_dir_all(dir).map_err(|source| KeyError::Io { path: dir.to_owned(), source })?;
        for (path, text) in files.iter().zip(&texts) {
            let mode = if path.extension().is_some_and(|e| e == "key") { 0o600 } else { 0o644 };
            fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(path)
                .and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(|source| KeyError::Io { path: path.clone(), source })?;
        }
        Ok(files)
    }

    /// A certificate for a box: its name, for use as a client, from the day before
    /// `today` for [`CERTIFICATE_DAYS`].
    ///
    /// # Errors
    /// Only if the crypto library fails.
    pub fn issue(&self, name: &str, key: &Point, today: Date) -> Result<Made, rcgen::Error> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let last_day = today.saturating_add(CERTIFICATE_DAYS.days());
        let day = |d: Date| date_time_ymd(d.year().into(), d.month().unsigned_abs(), d.day().unsigned_abs());
        params.not_before = day(today.saturating_sub(1.day()));
        params.not_after = day(last_day);
        let made = params.signed_by(key, &self.issuer)?;
        Ok(Made { pem: made.pem(), digest: Sha256::of(made.der()), last_day })
    }
}

/// What the authority's certificate says: all of it follows from the key.
fn own(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    let id: String = Sha256::of(key.der_bytes()).to_string().chars().take(16).collect();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("counterproof boxes {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(AUTHORITY_UNTIL, 1, 1);
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_for_a_key_as_the_keys_command_makes_it() {
        let dir = tempfile::tempdir().unwrap();
        let [key, certificate] = Authority::make(dir.path()).unwrap();
        assert!(Authority::make(dir.path()).is_err(), "nothing is overwritten");
        assert!(fs::read_to_string(certificate).unwrap().contains("BEGIN CERTIFICATE"));
        super::super::keys::make_keys(&dir.path().join("box"), "box-1").unwrap();
        let point = Point::of_key(&dir.path().join("box/tls.key").to_string_lossy()).unwrap();
        assert_eq!(Point::from_base64(&point.to_base64()), Some(point.clone()));
        assert_eq!(Point::from_base64("AAAA"), None);
        let authority = Authority::read(&key.to_string_lossy()).unwrap();
        let made = authority.issue("box-1", &point, "2026-11-22".parse().unwrap()).unwrap();
        assert_eq!(made.last_day, "2028-11-21".parse().unwrap());
        assert!(made.pem.contains("BEGIN CERTIFICATE"));
    }
}
