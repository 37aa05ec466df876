//! A throw-away certificate authority.
//!
//! Its key exists in memory only; what it issues is valid for loopback.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// A certificate authority that writes what it issues into one folder.
pub struct Pki {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// The files of one end of a connection, as PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// This end's certificate.
    pub certificate: PathBuf,
    /// This end's private key, mode 0600.
    pub key: PathBuf,
}

fn other(e: rcgen::Error) -> io::Error {
    io::Error::other(e)
}

impl Pki {
    /// Makes an authority and writes its certificate to `dir/ca.pem`.
    pub fn new(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "throw-away authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(other)?;
        fs::write(dir.join("ca.pem"), params.self_signed(&key).map_err(other)?.pem())?;
        Ok(Self { dir: dir.to_owned(), issuer: Issuer::new(params, key) })
    }

    /// Issues `NAME.pem` and `NAME.key`, for a server on loopback or a client.
    pub fn issue(&self, name: &str, server: bool) -> io::Result<Issued> {
        self.write(name, params(name, server)?)
    }

    /// The same, with a certificate whose time is over.
    pub fn issue_expired(&self, name: &str, server: bool) -> io::Result<Issued> {
        let mut params = params(name, server)?;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.write(name, params)
    }

    fn write(&self, name: &str, params: CertificateParams) -> io::Result<Issued> {
        let key = KeyPair::generate().map_err(other)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(other)?;
        let at = |file: String| self.dir.join(file);
        let issued = Issued {
            ca: at("ca.pem".into()),
            certificate: at(format!("{name}.pem")),
            key: at(format!("{name}.key")),
        };
        fs::write(&issued.certificate, certificate.pem())?;
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&issued.key)?;
        file.write_all(key.serialize_pem().as_bytes())?;
        Ok(issued)
    }
}

fn params(name: &str, server: bool) -> io::Result<CertificateParams> {
    let names = if server { vec!["localhost", "127.0.0.1"] } else { vec![name] };
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let mut params = CertificateParams::new(names).map_err(other)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![if server { ExtendedKeyUsagePurpose::ServerAuth } else { ExtendedKeyUsagePurpose::ClientAuth }];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}
