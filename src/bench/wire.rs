//! Both ends of a HIS's traffic, as bytes: a platform that answers, and a connection that
//! asks. Each knows from the number of an exchange what it must get, and counts every byte
//! that is another.
//!
//! A request's first line is `POST /fsi/api/NUMBER HTTP/1.1`, the number in hexadecimal:
//! by it the platform knows the exchange. Nothing else of HTTP is read here.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Whoever waits longer for a byte has lost one.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between the pieces of a slow body.
const PAUSE: Duration = Duration::from_millis(5);
/// Longest first line of a request that is looked for.
const LONGEST_LINE: usize = 200;
const AT_A_TIME: usize = 64 * 1024;

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Every byte from the first line on.
    pub request: Vec<u8>,
    /// Every byte of the answer.
    pub answer: Vec<u8>,
    /// Pieces in which the HIS sends, with pauses between them; 1 for none.
    pub request_pieces: usize,
    /// Pieces in which the platform sends.
    pub answer_pieces: usize,
    /// How long the platform thinks.
    pub answer_after: Duration,
    /// Whether the answer ends with its connection.
    pub is_last: bool,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            request: Vec::new(),
            answer: Vec::new(),
            request_pieces: 1,
            answer_pieces: 1,
            answer_after: Duration::ZERO,
            is_last: false,
        }
    }
}

/// The exchange of a number, the same each time; nothing if there is no such one.
pub type Script = dyn Fn(u64) -> Option<Exchange> + Send + Sync;

/// The number of an exchange, from the first line of its request.
fn number_of(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let path = text.strip_prefix("POST /fsi/api/")?.split(' ').next()?;
    u64::from_str_radix(path, 16).ok()
}

/// What was compared, of one direction.
#[derive(Debug, Default)]
pub struct Seen {
    /// Bytes that came.
    pub bytes: AtomicU64,
    /// Those that should have been others, were missing, or too many.
    pub altered: AtomicU64,
}

impl Seen {
    fn add(&self, bytes: usize, altered: u64) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.altered.fetch_add(altered, Ordering::Relaxed);
    }
}

/// A platform that answers on loopback, a thread for each connection, until the program ends.
pub struct Platform {
    /// Where it listens.
    pub at: SocketAddr,
    /// What came from the HIS.
    pub up: Arc<Seen>,
}

impl Platform {
    /// Listens, and answers as the script says.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn start(script: Arc<Script>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let at = listener.local_addr()?;
        let up = Arc::new(Seen::default());
        let seen = Arc::clone(&up);
        std::thread::Builder::new().name("platform".into()).spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                // A connection without a thread is one that ends: the HIS's side counts it.
                let _ = std::thread::Builder::new().name("answering".into()).spawn(move || {
                    let _ = answer_all(stream, script.as_ref(), &seen);
                });
            }
        })?;
        Ok(Self { at, up })
    }
}

fn answer_all(mut stream: TcpStream, script: &Script, seen: &Seen) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut held = Vec::new();
    let mut buffer = vec![0; AT_A_TIME];
    loop {
        let number = first_line(&mut stream, &mut held, &mut buffer)?;
        let Some(made) = number.and_then(script) else {
            // Bytes that begin no request were not sent so.
            seen.add(held.len(), held.len() as u64);
            return Ok(());
        };
        while held.len() < made.request.len() {
            match stream.read(&mut buffer)? {
                0 => break,
                n => held.extend_from_slice(buffer.get(..n).unwrap_or_default()),
            }
        }
        let whole = held.len().min(made.request.len());
        seen.add(whole, differing(held.get(..whole).unwrap_or_default(), &made.request));
        held.drain(..whole);
        std::thread::sleep(made.answer_after);
        send(&mut stream, &made.answer, made.answer_pieces)?;
        if made.is_last {
            return stream.shutdown(std::net::Shutdown::Write);
        }
    }
}

/// The number in the first line; nothing if the connection ended or it is no such line.
fn first_line(stream: &mut TcpStream, held: &mut Vec<u8>, buffer: &mut [u8]) -> io::Result<Option<u64>> {
    loop {
        if let Some(end) = held.iter().position(|b| *b == b'\r') {
            return Ok(held.get(..end).and_then(number_of));
        }
        if held.len() > LONGEST_LINE {
            return Ok(None);
        }
        match stream.read(buffer)? {
            0 => return Ok(None),
            n => held.extend_from_slice(buffer.get(..n).unwrap_or_default()),
        }
    }
}

/// Bytes that are not as they should be; missing ones and those too many are among them.
fn differing(found: &[u8], expected: &[u8]) -> u64 {
    if found == expected {
        return 0;
    }
    let both = found.iter().zip(expected).filter(|(a, b)| a != b).count();
    (both + found.len().abs_diff(expected.len())) as u64
}

fn send(stream: &mut TcpStream, bytes: &[u8], pieces: usize) -> io::Result<()> {
    let length = bytes.len().div_ceil(pieces.max(1)).max(1);
    for (i, piece) in bytes.chunks(length).enumerate() {
        if i > 0 {
            std::thread::sleep(PAUSE);
        }
        stream.write_all(piece)?;
    }
    Ok(())
}

/// A HIS's connection, opened when it is needed.
pub struct Asking {
    to: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Asking {
    /// To there.
    pub fn new(to: SocketAddr) -> Self {
        Self { to, stream: None, buffer: vec![0; AT_A_TIME] }
    }

    /// The next exchange is on a connection of its own.
    pub fn hang_up(&mut self) {
        self.stream = None;
    }

    /// Asks, and waits for the whole answer; how long that took, connecting included
    /// where there was no connection.
    ///
    /// # Errors
    /// If the connection cannot be made, or ends before the answer does.
    pub fn ask(&mut self, made: &Exchange, seen: &Seen) -> io::Result<Duration> {
        let begun = Instant::now();
        let done = self.ask_once(made, seen);
        let took = begun.elapsed();
        if made.is_last || done.is_err() {
            self.stream = None;
        }
        done.map(|()| took)
    }

    fn ask_once(&mut self, made: &Exchange, seen: &Seen) -> io::Result<()> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect(self.to)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                none.insert(stream)
            }
        };
        send(stream, &made.request, made.request_pieces)?;
        let mut rest = made.answer.as_slice();
        while !rest.is_empty() {
            let most = self.buffer.len().min(rest.len());
            let n = match stream.read(self.buffer.get_mut(..most).unwrap_or_default()) {
                Ok(0) => Err(io::Error::other("the answer ended too early")),
                other => other,
            }
            .inspect_err(|_| seen.add(0, rest.len() as u64))?;
            let (expected, after) = rest.split_at(n.min(rest.len()));
            seen.add(n, differing(self.buffer.get(..n).unwrap_or_default(), expected));
            rest = after;
        }
        if made.is_last {
            let more = stream.read(&mut self.buffer)?;
            seen.add(more, more as u64);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_that_is_another_is_counted() {
        assert_eq!(differing(b"abc", b"abc"), 0);
        assert_eq!(differing(b"abd", b"abc"), 1);
        assert_eq!(differing(b"ab", b"abc"), 1);
        assert_eq!(differing(b"xbcde", b"abc"), 3);
    }

    /// An answer of any length, each third one ending its connection.
    fn script(n: u64) -> Option<Exchange> {
        let request =
            format!("POST /fsi/api/{n:x} HTTP/1.1\r\n\r\n{}", "a".repeat(n as usize * 7)).into_bytes();
        let answer = vec![b'b'; n as usize * 1000 + 1];
        let pieces = 1 + n as usize % 2;
        let made = Exchange {
            request,
            answer,
            request_pieces: pieces,
            answer_pieces: pieces,
            ..Exchange::default()
        };
        (n < 99).then_some(Exchange { is_last: n.is_multiple_of(3), ..made })
    }

    #[test]
    fn both_ends_agree_where_nothing_is_between_them_and_not_where_a_byte_is_changed() {
        assert_eq!(number_of(b"POST /fsi/api/1f HTTP/1.1"), Some(31));
        assert_eq!(number_of(b"GET / HTTP/1.1"), None);
        let platform = Platform::start(Arc::new(script)).unwrap();
        let down = Seen::default();
        let altered = || [&down, &platform.up].map(|s| s.altered.load(Ordering::Relaxed));
        let mut asking = Asking::new(platform.at);
        for n in 0..40 {
            asking.ask(&script(n).unwrap(), &down).unwrap();
        }
        assert_eq!(altered(), [0, 0]);
        let mut other = script(7).unwrap();
        let at = other.request.len() - 1;
        other.request[at] ^= 1;
        other.answer[0] ^= 1;
        asking.hang_up();
        asking.ask(&other, &down).unwrap();
        assert_eq!(altered(), [1, 1]);
        let none = Exchange { request: b"POST /fsi/api/99 HTTP/1.1\r\n".to_vec(), answer: vec![1], ..other };
        assert!(asking.ask(&none, &down).is_err());
    }
}
