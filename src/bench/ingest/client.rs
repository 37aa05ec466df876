//! A box's connection to the bureau: one, kept, one request at a time. The bureau closes
//! one that was idle for long; the next request opens another, as a box does.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A request that was made ready before.
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    /// Header and value.
    pub(super) signature: Option<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// Any other status is an error.
    pub(super) expected: u16,
}

/// A connection, open unless it was idle for long.
pub(super) struct Client {
    address: String,
    tls: Arc<ClientConfig>,
    sender: http1::SendRequest<Body>,
}

async fn open(address: &str, tls: &Arc<ClientConfig>) -> io::Result<http1::SendRequest<Body>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls.clone()).connect(name, stream).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}

impl Client {
    pub(super) async fn connect(address: &str, tls: Arc<ClientConfig>) -> io::Result<Self> {
        let sender = open(address, &tls).await?;
        Ok(Self { address: address.to_owned(), tls, sender })
    }

    /// Sends one after the other; how long each was waited for.
    pub(super) async fn send_all(mut self, requests: Vec<Request>) -> io::Result<(Self, Vec<Duration>)> {
        let mut waits = Vec::with_capacity(requests.len());
        for request in requests {
            let begun = Instant::now();
            self.send(request).await?;
            waits.push(begun.elapsed());
        }
        Ok((self, waits))
    }

    async fn send(&mut self, request: Request) -> io::Result<()> {
        let Request { method, path, signature, body, expected } = request;
        let mut built =
            http::Request::builder().method(method).uri(path).header(http::header::HOST, "localhost");
        if let Some((name, value)) = signature {
            built = built.header(name, value);
        }
        let ready = built.body(Body::from(Bytes::from(body))).map_err(io::Error::other)?;
        let answer = match self.sender.try_send_request(ready).await {
            Ok(answer) => answer,
            Err(mut failed) => {
                // Given back if nothing of it was sent: the connection had been closed.
                let unsent = failed.take_message();
                let ready = unsent.ok_or_else(|| io::Error::other(failed.into_error()))?;
                self.sender = open(&self.address, &self.tls).await?;
                self.sender.send_request(ready).await.map_err(io::Error::other)?
            }
        };
        let status = answer.status().as_u16();
        let told =
            axum::body::to_bytes(Body::new(answer.into_body()), 1 << 20).await.map_err(io::Error::other)?;
        if status == expected {
            return Ok(());
        }
        let told = String::from_utf8_lossy(&told).into_owned();
        Err(io::Error::other(format!("the bureau answered {status}, expected {expected}: {told}")))
    }
}
