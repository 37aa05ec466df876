//! Listening, with or without TLS, until told to stop.
//!
//! Over TLS the client's certificate is known to every handler as a
//! [`PeerCertificate`]: its SHA-256, by which a box or a caller is recorded.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::middleware::AddExtension;
use axum_server::accept::{Accept, DefaultAcceptor};
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::Layer;

use crate::crypto::Sha256;

pub use axum_server::Handle;

/// The certificate that the caller showed and the configured CA signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCertificate(pub Sha256);

/// A TLS acceptor that hands the caller's certificate to the handlers.
#[derive(Clone)]
struct Acceptor(RustlsAcceptor);

type Knowing<S> = AddExtension<S, Option<PeerCertificate>>;

impl<I, S> Accept<I, S> for Acceptor
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Send + 'static,
{
    type Stream = tokio_rustls::server::TlsStream<I>;
    type Service = Knowing<S>;
    type Future = std::pin::Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let inner = Accept::<I, S>::accept(&self.0, stream, service);
        Box::pin(async move {
            let (stream, service) = inner.await?;
            let peer = stream
                .get_ref()
                .1
                .peer_certificates()
                .and_then(|chain| chain.first())
                .map(|c| PeerCertificate(Sha256::of(c)));
            Ok((stream, Extension(peer).layer(service)))
        })
    }
}

/// A bound address, not yet serving.
pub struct Listener {
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
}

impl Listener {
    /// Binds the address; port 0 takes a free one.
    ///
    /// # Errors
    /// With the address, if it cannot be bound.
    pub fn bind(address: SocketAddr, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).map_err(|e| {
            io::Error::new(
                e.kind(),
                format!("cannot listen on {address}: {e}: is another program using the port?"),
            )
        })?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, tls })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the handle is told to shut down.
    ///
    /// # Errors
    /// If the listener breaks.
    pub async fn serve(self, app: Router, handle: Handle<SocketAddr>) -> io::Result<()> {
        match self.tls {
            Some(tls) => {
                let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(tls))
                    .handshake_timeout(Duration::from_secs(10));
                axum_server::from_tcp(self.listener)?
                    .acceptor(Acceptor(acceptor))
                    .handle(handle)
                    .serve(app.into_make_service())
                    .await
            }
            None => {
                axum_server::from_tcp(self.listener)?
                    .acceptor(DefaultAcceptor::new())
                    .handle(handle)
                    .serve(app.layer(Extension(None::<PeerCertificate>)).into_make_service())
                    .await
            }
        }
    }
}
