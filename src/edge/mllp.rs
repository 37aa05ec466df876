//! HL7 v2 over MLLP: each message between 0x0B and 0x1C 0x0D, each answered by an ACK
//! after the journal's commit.
//!
//! On loopback alone: MLLP says nothing of who calls. What is not understood is refused
//! (`AR`) with the field, what cannot be taken now (`AE`) is to be sent again. Messages of
//! one connection are taken one after the other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::{Instrument, debug, error_span, warn};
use zeroize::Zeroizing;

use super::config::Hl7Port;
use super::desk::Desk;
use super::his::Dialect;
use super::his::hl7::{self, Acknowledgement, Heard};
use super::metrics;
use crate::heart::Heart;
use crate::protocol::id::CounterId;

const BEGIN: u8 = 0x0b;
const END: [u8; 2] = [0x1c, 0x0d];
/// Longest message. A charge has a few kilobytes.
const MOST_BYTES: usize = 1024 * 1024;
/// Connections at a time; further ones wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 64;
/// A message that began must have come within this.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often an idle listener shows that it is there.
const BEAT: Duration = Duration::from_secs(1);

/// Listens on a port until the program ends; where that is.
///
/// # Errors
/// If the address cannot be bound.
pub async fn listen(port: &Hl7Port, desk: Arc<Desk>, heart: Heart) -> io::Result<std::net::SocketAddr> {
    let listener = TcpListener::bind(port.listen).await.map_err(|e| {
        io::Error::new(e.kind(), format!("his.hl7 {}: {e}: does another program listen there?", port.listen))
    })?;
    let address = listener.local_addr()?;
    tokio::spawn(accept(listener, port.counter.clone(), desk, heart));
    Ok(address)
}

async fn accept(listener: TcpListener, counter: Option<CounterId>, desk: Arc<Desk>, heart: Heart) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        heart.beat();
        let both = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let Ok((place, accepted)) = tokio::time::timeout(BEAT, both).await else { continue };
        match accepted {
            Ok((stream, _)) => {
                let (desk, counter) = (Arc::clone(&desk), counter.clone());
                tokio::spawn(async move {
                    if let Err(e) = serve(stream, counter, &desk).await {
                        debug!(error = %e, "an HL7 connection ended");
                    }
                    drop(place);
                });
            }
            // Out of descriptors, for one: others end, and there is room again.
            Err(e) => {
                warn!(error = %e, "an HL7 connection could not be taken");
                tokio::time::sleep(BEAT).await;
            }
        }
    }
}

async fn serve(mut stream: TcpStream, counter: Option<CounterId>, desk: &Arc<Desk>) -> io::Result<()> {
    let mut held = Zeroizing::new(Vec::new());
    loop {
        let Some(message) = next(&mut stream, &mut held).await? else { return Ok(()) };
        let id = uuid::Uuid::now_v7();
        let answer =
            take(&message, counter.clone(), desk).instrument(error_span!("request", request = %id)).await;
        let mut framed = vec![BEGIN];
        framed.extend_from_slice(answer.as_bytes());
        framed.extend_from_slice(&END);
        stream.write_all(&framed).await?;
    }
}

async fn take(bytes: &[u8], counter: Option<CounterId>, desk: &Arc<Desk>) -> String {
    let Heard { message, control } = match hl7::read(bytes) {
        Ok(heard) => heard,
        Err(e) => {
            metrics::misread(Dialect::Hl7);
            return hl7::acknowledge(&hl7::control_of(bytes), Acknowledgement::Rejected, &e.to_string());
        }
    };
    match desk.hear(message, counter).await {
        Ok(_) => hl7::acknowledge(&control, Acknowledgement::Accepted, ""),
        Err(problem) => {
            let what = if problem.status >= 500 { Acknowledgement::Error } else { Acknowledgement::Rejected };
            hl7::acknowledge(&control, what, &problem.detail)
        }
    }
}

/// The first whole message of what came, taken out of it; nothing if more must come.
///
/// # Errors
/// If something stands outside a message, or one is too long: nothing more can be read.
pub(super) fn first(held: &mut Vec<u8>) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    // Line ends between messages are no messages.
    let begin = held.iter().position(|b| *b == BEGIN).unwrap_or(held.len());
    if held.iter().take(begin).any(|b| !b.is_ascii_whitespace()) {
        return Err("bytes outside a message: each begins with 0x0B".into());
    }
    held.drain(..begin);
    if let Some(end) = held.windows(END.len()).position(|w| w == END) {
        let message = held.get(1..end).unwrap_or_default().to_vec();
        held.drain(..end + END.len());
        return Ok(Some(Zeroizing::new(message)));
    }
    if held.len() > MOST_BYTES {
        return Err(format!("a message of more than {MOST_BYTES} bytes"));
    }
    Ok(None)
}

/// The next message of a connection; nothing if it ended between two.
async fn next(
    stream: &mut TcpStream,
    held: &mut Zeroizing<Vec<u8>>,
) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let bad = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    loop {
        if let Some(message) = first(held).map_err(bad)? {
            return Ok(Some(message));
        }
        let mut more = Zeroizing::new(vec![0; 16 * 1024]);
        let n = if held.is_empty() {
            stream.read(&mut more).await?
        } else {
            tokio::time::timeout(PATIENCE, stream.read(&mut more)).await??
        };
        match (n, held.is_empty()) {
            (0, true) => return Ok(None),
            (0, false) => return Err(bad("the connection ended within a message".into())),
            _ => held.extend_from_slice(more.get(..n).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_out_of_their_frames_one_by_one() {
        let mut held = b"\r\n\x0bone\x1c\r\x0b\x1c\r \x0btw".to_vec();
        let mut next = || first(&mut held).unwrap().map(|m| m.to_vec());
        assert_eq!((next(), next(), next()), (Some(b"one".to_vec()), Some(Vec::new()), None));
        assert_eq!(held, b"\x0btw");
        assert!(first(&mut b"nonsense".to_vec()).unwrap_err().contains("0x0B"));
        let long = [&[BEGIN][..], &vec![b'x'; MOST_BYTES]].concat();
        assert!(first(&mut long.clone()).unwrap_err().contains("more than"));
    }
}
