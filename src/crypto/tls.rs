//! TLS between box and bureau: version 1.3 only, certificates both ways, and
//! no certificate authority but the one named in the configuration. The one
//! exception is joining, where a box has no certificate yet: the server asks for
//! none, and the box knows the server by the SHA-256 of its certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{WantsServerCert, WebPkiClientVerifier};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};

use super::Sha256;
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

/// The files of a server that asks its clients for no certificate.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerFiles {
    /// Its certificate chain (PEM).
    pub certificate: PathBuf,
    /// Its private key: a path or `credential:NAME`.
    pub key: String,
}

impl ServerFiles {
    /// For a server that browsers speak to; TLS 1.3 and HTTP/1.1.
    ///
    /// # Errors
    /// [`TlsError`] naming the file that cannot be used.
    pub fn server(&self) -> Result<ServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
            .with_no_client_auth()
            .with_single_cert(certificates(&self.certificate)?, private_key(&self.key)?)
            .map_err(|e| TlsError::Config { certificate: self.certificate.clone(), what: e.to_string() })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// For a client that shows no certificate and trusts this authority alone.
///
/// # Errors
/// [`TlsError`] if the file cannot be used.
pub fn client_trusting(ca: &Path) -> Result<ClientConfig, TlsError> {
    Ok(ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth())
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
        let verified = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
            .with_client_cert_verifier(verifier);
        self.serve_with(verified)
    }

    /// For a server that asks nobody for a certificate: joining alone.
    ///
    /// # Errors
    /// [`TlsError`] naming the file that cannot be used.
    pub fn server_for_anybody(&self) -> Result<ServerConfig, TlsError> {
        self.serve_with(
            ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13]).with_no_client_auth(),
        )
    }

    /// With this end's certificate, for HTTP/1.1.
    fn serve_with(
        &self,
        asks: ConfigBuilder<ServerConfig, WantsServerCert>,
    ) -> Result<ServerConfig, TlsError> {
        let mut config = asks
            .with_single_cert(certificates(&self.certificate)?, private_key(&self.key)?)
            .map_err(|e| self.config_error(e))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// SHA-256 of this end's certificate: by which a [`pinned_client`] knows it.
    ///
    /// # Errors
    /// [`TlsError`] naming the file that cannot be used.
    pub fn pin(&self) -> Result<Sha256, TlsError> {
        let all = certificates(&self.certificate)?;
        all.first().map(|c| Sha256::of(c)).ok_or_else(|| self.config_error("no certificate in it"))
    }
}

/// For a client that has no certificate, and speaks to the server alone that shows
/// the certificate of this SHA-256 and holds its key.
///
/// # Errors
/// Only if the provider lacks TLS 1.3.
pub fn pinned_client(pin: Sha256) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { pin, provider }))
        .with_no_client_auth();
    Ok(config)
}

/// Takes one certificate and no other; neither names nor times count, for the pin
/// was handed over by a person a moment ago.
#[derive(Debug)]
struct Pinned {
    pin: Sha256,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = Sha256::of(end_entity);
        if found == self.pin {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::General(format!("the server shows the certificate {found}, the code names {}", self.pin)))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 alone is spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
