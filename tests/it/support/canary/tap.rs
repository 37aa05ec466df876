//! A tap between agent and bureau: what arrives behind TLS, as plain text.
//!
//! It shows the agent the bureau's certificate and the bureau the agent's, with
//! the keys of the throw-away authority, and writes down what passes. Only what
//! comes from the agent counts as sent.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use counterproof::crypto::tls::TlsFiles;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// One connection's bytes.
#[derive(Default)]
struct Talk {
    sent: Vec<u8>,
    answered: Vec<u8>,
}

type Talks = Arc<Mutex<Vec<Talk>>>;

/// The tap; it ends with the runtime.
pub struct Tap {
    pub address: SocketAddr,
    talks: Talks,
}

/// A request as it arrived.
pub struct Request {
    /// Method and path.
    pub line: String,
    /// All its bytes, head and body.
    pub bytes: Vec<u8>,
}

impl Tap {
    /// Listens on loopback, in front of the bureau at `bureau`; `pki` is the
    /// authority's folder.
    pub async fn start(pki: &Path, bureau: SocketAddr, agent: &str) -> io::Result<Self> {
        let files = |name: &str| TlsFiles {
            ca: pki.join("ca.pem"),
            certificate: pki.join(format!("{name}.pem")),
            key: pki.join(format!("{name}.key")).to_string_lossy().into_owned(),
        };
        let acceptor = TlsAcceptor::from(Arc::new(files("bureau").server().map_err(io::Error::other)?));
        let connector = TlsConnector::from(Arc::new(files(agent).client().map_err(io::Error::other)?));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let talks = Talks::default();
        let all = Arc::clone(&talks);
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let (acceptor, connector, all) = (acceptor.clone(), connector.clone(), Arc::clone(&all));
                // A connection that fails is the agent's to try again.
                tokio::spawn(async move { pass(from, bureau, &acceptor, &connector, &all).await });
            }
        });
        Ok(Self { address, talks })
    }

    /// Everything that the agent sent, request by request.
    pub fn requests(&self) -> Vec<Request> {
        let talks = self.talks.lock().unwrap_or_else(|e| e.into_inner());
        talks.iter().flat_map(|t| requests(&t.sent)).collect()
    }

    /// Everything that the bureau answered.
    pub fn answers(&self) -> Vec<u8> {
        let talks = self.talks.lock().unwrap_or_else(|e| e.into_inner());
        talks.iter().flat_map(|t| t.answered.iter().copied()).collect()
    }
}

async fn pass(
    from: TcpStream,
    bureau: SocketAddr,
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
    talks: &Talks,
) -> io::Result<()> {
    let agent = acceptor.accept(from).await?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let bureau = connector.connect(name, TcpStream::connect(bureau).await?).await?;
    let talk = {
        let mut talks = talks.lock().unwrap_or_else(|e| e.into_inner());
        talks.push(Talk::default());
        talks.len() - 1
    };
    let (agent_read, agent_write) = tokio::io::split(agent);
    let (bureau_read, bureau_write) = tokio::io::split(bureau);
    let note = |answer: bool| {
        let talks = Arc::clone(talks);
        move |bytes: &[u8]| {
            let mut talks = talks.lock().unwrap_or_else(|e| e.into_inner());
            let Some(talk) = talks.get_mut(talk) else { return };
            if answer { &mut talk.answered } else { &mut talk.sent }.extend_from_slice(bytes);
        }
    };
    let sent = copy(agent_read, bureau_write, note(false));
    let answered = copy(bureau_read, agent_write, note(true));
    let _ = tokio::join!(sent, answered);
    Ok(())
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    note: impl Fn(&[u8]),
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await;
        let Ok(n @ 1..) = read else {
            let _ = to.shutdown().await;
            return Ok(());
        };
        note(&buffer[..n]);
        to.write_all(&buffer[..n]).await?;
        to.flush().await?;
    }
}

/// Cuts a connection's bytes into requests, by `content-length`. What does not
/// look like a request is one all the same, so that nothing is passed over.
fn requests(mut bytes: &[u8]) -> Vec<Request> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let head = bytes.windows(4).position(|w| w == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
        let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
        let length = text
            .lines()
            .filter_map(|l| l.split_once(':'))
            .find(|(k, _)| k.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, v)| v.trim().parse::<usize>().ok())
            .unwrap_or(0);
        let (request, rest) = bytes.split_at((head + length).min(bytes.len()));
        let line = text.lines().next().unwrap_or_default().to_owned();
        out.push(Request { line, bytes: request.to_vec() });
        bytes = rest;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_cut_apart_and_nothing_is_lost() {
        let all = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyzGET /b HTTP/1.1\r\n\r\nrest";
        let cut = requests(all);
        let lines: Vec<&str> = cut.iter().map(|r| r.line.as_str()).collect();
        assert_eq!(lines, ["POST /a HTTP/1.1", "GET /b HTTP/1.1", "rest"]);
        assert_eq!(cut.iter().flat_map(|r| r.bytes.clone()).collect::<Vec<_>>(), all);
    }
}
