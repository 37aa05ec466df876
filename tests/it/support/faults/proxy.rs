//! What may stand between a box and its bureau, and may be ill.
//!
//! A wire (TCP) in front of a server that ends TLS with the throw-away
//! authority's keys and speaks to the real bureau with the box's certificate.
//! Faults are queued; each call for alerts or for the head meets the next one,
//! and passes when none is left. References always pass, so that settlements
//! go on being verified.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use counterproof::crypto::tls::TlsFiles;
use counterproof::http::server::{Handle, Listener};
use counterproof::protocol::ALERTS_PATH;
use tokio::net::{TcpListener, TcpStream};

use super::super::pki::Issued;
use super::oracle::Ledger;
use super::world::World;

/// One way in which a call goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status, with `Retry-After` in seconds where one is named, and a body.
    Answer(u16, Option<u64>, &'static str),
    /// The call reaches the bureau, its answer never the box: the connection
    /// stays open and silent.
    Forget,
    /// The call reaches the bureau; the box is told 502.
    StoredAndDenied,
    /// Answered, but only after this.
    Slow(Duration),
    /// The connection is reset before TLS.
    Reset,
    /// 422 for the event that is sent now, and whenever it comes again.
    RefuseForGood,
}

#[derive(Default)]
struct Shared {
    faults: VecDeque<Fault>,
    refused: Vec<String>,
    met: u64,
}

/// The wire and the server.
pub struct Proxy {
    shared: Arc<Mutex<Shared>>,
    server: Handle,
    wire: tokio::task::JoinHandle<()>,
    address: std::net::SocketAddr,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(|e| e.into_inner())
}

#[derive(Clone)]
struct Ends {
    shared: Arc<Mutex<Shared>>,
    client: reqwest::Client,
    upstream: String,
    ledger: Arc<Ledger>,
}

fn files(issued: &Issued) -> TlsFiles {
    TlsFiles {
        ca: issued.ca.clone(),
        certificate: issued.certificate.clone(),
        key: issued.key.to_string_lossy().into_owned(),
    }
}

impl Proxy {
    /// Stands before the world's bureau; the agent's configuration then names it.
    pub async fn before(world: &World) -> io::Result<Self> {
        let pki = world.path("pki");
        let ours = world.hospital.pki.issue("proxy", true)?;
        let as_box =
            Issued { ca: pki.join("ca.pem"), certificate: pki.join("box-1.pem"), key: pki.join("box-1.key") };
        let tls = files(&as_box).client().map_err(io::Error::other)?;
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let port = world.bureau_address().rsplit(':').next().unwrap_or_default().to_owned();
        let ends = Ends {
            shared: Arc::clone(&shared),
            client: client.map_err(io::Error::other)?,
            upstream: format!("https://localhost:{port}"),
            ledger: Arc::clone(&world.ledger),
        };
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let tls = Arc::new(files(&ours).server().map_err(io::Error::other)?);
        let listener = Listener::bind(any, Some(tls))?;
        let behind = listener.address()?;
        let server = Handle::new();
        tokio::spawn(listener.serve(Router::new().fallback(pass).with_state(ends), server.clone()));
        let wire = TcpListener::bind(any).await?;
        let address = wire.local_addr()?;
        let wire = tokio::spawn(carry(wire, behind, Arc::clone(&shared)));
        world.edit(
            "counterproof.toml",
            &format!("https://localhost:{port}"),
            &format!("https://localhost:{}", address.port()),
        )?;
        Ok(Self { shared, server, wire, address })
    }

    /// Queues faults for the next calls.
    pub fn queue(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.shared).faults.extend(faults);
    }

    /// How many faults were met so far.
    pub fn met(&self) -> u64 {
        lock(&self.shared).met
    }

    /// Whether faults are left in the queue.
    pub fn pending(&self) -> bool {
        !lock(&self.shared).faults.is_empty()
    }

    /// Forgets faults that were not met.
    pub fn clear(&self) {
        lock(&self.shared).faults.clear();
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.stop(Duration::ZERO);
        self.wire.abort();
    }
}

/// Carries bytes, or resets a connection where that is the next fault.
async fn carry(wire: TcpListener, behind: std::net::SocketAddr, shared: Arc<Mutex<Shared>>) {
    while let Ok((mut from, _)) = wire.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let reset = {
                let mut s = lock(&shared);
                let next = matches!(s.faults.front(), Some(Fault::Reset));
                if next {
                    s.faults.pop_front();
                    s.met += 1;
                }
                next
            };
            if reset {
                // Closed with bytes unread, a socket is reset.
                let _ = from.readable().await;
                return;
            }
            if let Ok(mut to) = TcpStream::connect(behind).await {
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            }
        });
    }
}

async fn pass(
    State(ends): State<Ends>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let about_events = uri.path().starts_with(ALERTS_PATH) || uri.path().contains("head");
    let id = (method == Method::POST && uri.path() == ALERTS_PATH).then(|| event_id(&body)).flatten();
    let fault = {
        let mut s = lock(&ends.shared);
        if id.as_ref().is_some_and(|id| s.refused.contains(id)) {
            return (StatusCode::UNPROCESSABLE_ENTITY, "refused").into_response();
        }
        match s.faults.front() {
            // A reset waits for a new connection: this one ends here.
            Some(Fault::Reset) if about_events => {
                return ([(header::CONNECTION, "close")], StatusCode::BAD_GATEWAY).into_response();
            }
            Some(Fault::RefuseForGood) if id.is_none() => None,
            Some(_) if about_events => {
                s.met += 1;
                s.faults.pop_front()
            }
            _ => None,
        }
    };
    match fault {
        None | Some(Fault::Reset) => forward(&ends, method, &uri, headers, body).await,
        Some(Fault::Answer(status, retry_after, text)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut answer = (status, text).into_response();
            if let Some(seconds) = retry_after {
                answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            answer
        }
        Some(Fault::Forget) => {
            drop(forward(&ends, method, &uri, headers, body).await);
            std::future::pending().await
        }
        Some(Fault::StoredAndDenied) => {
            drop(forward(&ends, method, &uri, headers, body).await);
            (StatusCode::BAD_GATEWAY, "lost on the way back").into_response()
        }
        Some(Fault::Slow(wait)) => {
            tokio::time::sleep(wait).await;
            forward(&ends, method, &uri, headers, body).await
        }
        Some(Fault::RefuseForGood) => {
            if let Some(id) = id {
                ends.ledger.refused(&id);
                lock(&ends.shared).refused.push(id);
            }
            (StatusCode::UNPROCESSABLE_ENTITY, "refused").into_response()
        }
    }
}

fn event_id(body: &[u8]) -> Option<String> {
    let v: serde_json::Value = serde_json::from_slice(body).ok()?;
    v.get("id")?.as_str().map(str::to_owned)
}

async fn forward(ends: &Ends, method: Method, uri: &Uri, mut headers: HeaderMap, body: Bytes) -> Response {
    headers.remove(header::HOST);
    headers.remove(header::CONTENT_LENGTH);
    let url = format!("{}{uri}", ends.upstream);
    let sent = ends.client.request(method, url).headers(headers).body(body).send().await;
    let Ok(answer) = sent else { return StatusCode::BAD_GATEWAY.into_response() };
    let status = answer.status();
    let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
    let Ok(bytes) = answer.bytes().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let mut response = (status, Body::from(bytes)).into_response();
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}
