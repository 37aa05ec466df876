//! Listening, with or without TLS, until told to stop.
//!
//! Over TLS the client's certificate is known to every handler as a
//! [`PeerCertificate`]: its SHA-256, by which a box or a caller is recorded.
//!
//! HTTP/1.1 only, and every connection goes through one boxed stream: the
//! callers are few and on a hospital network, and one instance of the protocol
//! is less to build than four (docs/decisions/0004).

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::middleware::AddExtension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::Layer;
use tracing::debug;

use crate::crypto::Sha256;
use crate::heart::Heart;

/// A client must have shown its certificate, and sent its headers, within this.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often an idle listener shows that it is there.
const BEAT: Duration = Duration::from_secs(1);
/// Connections at a time; further ones wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 1024;

/// The certificate that the caller showed and the configured CA signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCertificate(pub Sha256);

/// The address that the connection came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// Tells a server to stop.
#[derive(Debug, Clone)]
pub struct Handle(Arc<watch::Sender<Option<Duration>>>);

impl Default for Handle {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Handle {
    /// For one or several servers.
    pub fn new() -> Self {
        Self::default()
    }

    /// No new connections; open ones end after their request, or at the limit.
    pub fn stop(&self, limit: Duration) {
        self.0.send_replace(Some(limit));
    }
}

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}
type AnyStream = Pin<Box<dyn Stream>>;

/// A bound address, not yet serving.
pub struct Listener {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    heart: Option<Heart>,
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
        Ok(Self { listener, tls: tls.map(TlsAcceptor::from), heart: None })
    }

    /// The same, beating a heart while it is ready for connections.
    pub fn beating(mut self, heart: Heart) -> Self {
        self.heart = Some(heart);
        self
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the handle tells it to stop.
    ///
    /// # Errors
    /// If the listener cannot be used at all.
    pub async fn serve(self, app: Router, handle: Handle) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let mut stop = handle.0.subscribe();
        let mut connections = JoinSet::new();
        let limit = loop {
            while connections.try_join_next().is_some() {}
            if let Some(heart) = &self.heart {
                heart.beat();
            }
            if let Some(limit) = *stop.borrow() {
                break limit;
            }
            tokio::select! {
                accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                    Ok((stream, from)) => {
                        let app = Extension(PeerAddress(from.ip())).layer(app.clone());
                        connections.spawn(connection(stream, self.tls.clone(), app, stop.clone()));
                    }
                    Err(e) => {
                        // Out of descriptors, or a client that went away: the next accept may succeed.
                        debug!(error = %e, "a connection was not accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                _ = connections.join_next(), if !connections.is_empty() => {}
                _ = stop.changed() => {}
                () = tokio::time::sleep(BEAT), if self.heart.is_some() => {}
            }
        };
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        // What is still open at the limit ends with the set.
        let _ = tokio::time::timeout(limit, ended).await;
        Ok(())
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    app: AddExtension<Router, PeerAddress>,
    mut stop: watch::Receiver<Option<Duration>>,
) {
    let Some((stream, peer)) = greet(stream, tls).await else { return };
    let service = TowerToHyperService::new(Extension(peer).layer(app));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let told = async {
        let _ = stop.wait_for(Option::is_some).await;
    };
    let ended: Option<Result<(), hyper::Error>> = tokio::select! {
        ended = serving.as_mut() => Some(ended),
        () = told => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(e) = ended {
        debug!(error = %e, "a connection broke");
    }
}

/// The TLS handshake, where there is one; `None` if the client fails it.
async fn greet(stream: TcpStream, tls: Option<TlsAcceptor>) -> Option<(AnyStream, Option<PeerCertificate>)> {
    // Small answers should not wait for more to send.
    stream.set_nodelay(true).ok()?;
    let Some(tls) = tls else { return Some((Box::pin(stream), None)) };
    match tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let chain = stream.get_ref().1.peer_certificates();
            let peer = chain.and_then(|c| c.first()).map(|c| PeerCertificate(Sha256::of(c)));
            Some((Box::pin(stream), peer))
        }
        Ok(Err(e)) => {
            debug!(error = %e, "a client failed the TLS handshake");
            None
        }
        Err(_) => None,
    }
}
