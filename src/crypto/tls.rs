//! TLS between box and bureau: version 1.3 only, certificates both ways, and
//! no certificate authority but the one named in the configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::keys::{KeyError, read_secret};

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate file cannot be read as PEM.
    #[error("{path}: {what}; expected certificates as PEM")]
    Certificates {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The private key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The private key is not PEM.
    #[error("{path}: {what}; expected a private key as PEM (PKCS#8)")]
    KeyForm {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Key and certificate do not fit, or the like.
    #[error("certificate {certificate}: {what}")]
    Config {
        /// Which certificate.
        certificate: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// The files of one end of a connection.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The authority that must have signed the other end's certificate (PEM).
    pub ca: PathBuf,
    /// This end's certificate chain (PEM).
    pub certificate: PathBuf,
    /// This end's private key: a path or `credential:NAME`.
    pub key: String,
}

/// Makes `ring` the process's provider; called once by each program and test.
pub fn install_provider() {
    // A second call finds the first one's provider, which is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |what: String| TlsError::Certificates { path: path.to_owned(), what };
    let all = CertificateDer::pem_file_iter(path)
        .and_then(|i| i.collect::<Result<Vec<_>, _>>())
        .map_err(|e| bad(e.to_string()))?;
    if all.is_empty() {
        return Err(bad("no certificate in it".into()));
    }
    Ok(all)
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for c in certificates(path)? {
        store.add(c).map_err(|e| TlsError::Certificates { path: path.to_owned(), what: e.to_string() })?;
    }
    Ok(store)
}

fn private_key(place: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    let (path, pem) = read_secret(place)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|e| TlsError::KeyForm { path, what: e.to_string() })
}

impl TlsFiles {
    fn config_error(&self, e: impl std::fmt::Display) -> TlsError {
        TlsError::Config { certificate: self.certificate.clone(), what: e.to_string() }
    }

    /// For a client that shows its certificate and trusts `ca` alone.
    ///
    /// # Errors
    /// [`TlsError`] naming the file that cannot be used.
    pub fn client(&self) -> Result<ClientConfig, TlsError> {
        ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
            .with_root_certificates(roots(&self.ca)?)
            .with_client_auth_cert(certificates(&self.certificate)?, private_key(&self.key)?)
            .map_err(|e| self.config_error(e))
    }

    /// For a server that asks every client for a certificate signed by `ca`.
    ///
    /// # Errors
    /// [`TlsError`] naming the file that cannot be used.
    pub fn server(&self) -> Result<ServerConfig, TlsError> {
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots(&self.ca)?))
            .build()
            .map_err(|e| self.config_error(e))?;
        let mut config = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates(&self.certificate)?, private_key(&self.key)?)
            .map_err(|e| self.config_error(e))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}
