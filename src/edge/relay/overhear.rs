//! HTTP/1 messages, read from bytes as they pass in one direction.
//!
//! Promises: any bytes are read or given up on, in bounded memory; a body that is longer
//! than [`MOST_BODY`] is passed over, and told as one that was.

use zeroize::Zeroizing;

/// Longest body that is looked into: a registration may hold a photograph.
pub(super) const MOST_BODY: usize = 4 * 1024 * 1024;
/// Longest head of a message, and longest line of a chunk.
const MOST_HEAD: usize = 64 * 1024;
/// Most header fields.
const MOST_FIELDS: usize = 128;

/// Bytes that are no HTTP/1 message: nothing more is read of this direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost;

/// A message.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Of a request; empty for an answer.
    pub(super) method: String,
    /// Of an answer; 0 for a request.
    pub(super) status: u16,
    /// The counter that the sender named.
    pub(super) counter: Option<String>,
    /// The body as it was meant, unless it could not be read.
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
}

/// Which of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Requests,
    Answers,
}

/// Reads messages of one direction of a connection.
pub(super) struct Reader {
    side: Side,
    held: Zeroizing<Vec<u8>>,
    state: State,
}

enum State {
    Head,
    Body { heard: Heard, rest: u64 },
    Chunks { heard: Heard },
    Trailer { heard: Heard },
    UntilTheEnd { heard: Heard },
}

/// How long a body is.
enum Length {
    Bytes(u64),
    Chunked,
    UntilTheEnd,
}

impl Heard {
    fn take(&mut self, bytes: &[u8]) {
        let fits = self.body.as_ref().is_some_and(|body| body.len() + bytes.len() <= MOST_BODY);
        match &mut self.body {
            Some(body) if fits => body.extend_from_slice(bytes),
            _ => self.body = None,
        }
    }
}

impl Reader {
    pub(super) fn new(side: Side) -> Self {
        Self { side, held: Zeroizing::default(), state: State::Head }
    }

    /// Takes bytes; `no_body` says of the next answer whether its request asked for none
    /// (HEAD). The messages that end in them.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        mut no_body: impl FnMut() -> bool,
    ) -> Result<Vec<Heard>, Lost> {
        self.held.extend_from_slice(bytes);
        let mut done = Vec::new();
        loop {
            let state = std::mem::replace(&mut self.state, State::Head);
            let (next, goes_on) = match state {
                State::Head => self.head(&mut done, &mut no_body)?,
                State::Body { mut heard, rest } => {
                    let n = self.held.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
                    heard.take(self.held.get(..n).unwrap_or_default());
                    self.held.drain(..n);
                    match rest - n as u64 {
                        0 => (finished(heard, &mut done), true),
                        rest => (State::Body { heard, rest }, false),
                    }
                }
                State::Chunks { heard } => self.chunk(heard)?,
                State::Trailer { heard } => self.trailer(heard, &mut done)?,
                State::UntilTheEnd { mut heard } => {
                    heard.take(&self.held);
                    self.held.clear();
                    (State::UntilTheEnd { heard }, false)
                }
            };
            self.state = next;
            if !goes_on {
                return Ok(done);
            }
        }
    }

    /// The direction ended; the message that ends with it.
    pub(super) fn end(&mut self) -> Option<Heard> {
        match std::mem::replace(&mut self.state, State::Head) {
            State::UntilTheEnd { heard } => Some(heard),
            _ => None,
        }
    }

    fn head(
        &mut self,
        done: &mut Vec<Heard>,
        no_body: &mut impl FnMut() -> bool,
    ) -> Result<(State, bool), Lost> {
        // Some clients end a body with a line too many.
        let blank = self.held.iter().take_while(|b| b"\r\n".contains(b)).count();
        self.held.drain(..blank);
        if self.held.is_empty() {
            return Ok((State::Head, false));
        }
        let Some((n, heard, length)) = self.parse(no_body)? else {
            return if self.held.len() > MOST_HEAD { Err(Lost) } else { Ok((State::Head, false)) };
        };
        self.held.drain(..n);
        Ok(match length {
            Length::Bytes(0) => (finished(heard, done), true),
            Length::Bytes(rest) => (State::Body { heard, rest }, true),
            Length::Chunked => (State::Chunks { heard }, true),
            Length::UntilTheEnd => (State::UntilTheEnd { heard }, true),
        })
    }

    fn parse(&self, no_body: &mut impl FnMut() -> bool) -> Result<Option<(usize, Heard, Length)>, Lost> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let (n, mut heard, none, fields) = match self.side {
            Side::Requests => {
                let mut request = httparse::Request::new(&mut fields);
                let httparse::Status::Complete(n) = request.parse(&self.held).map_err(|_| Lost)? else {
                    return Ok(None);
                };
                let method = request.method.unwrap_or_default().to_owned();
                (n, Heard { method, ..Heard::default() }, false, request.headers)
            }
            Side::Answers => {
                let mut answer = httparse::Response::new(&mut fields);
                let httparse::Status::Complete(n) = answer.parse(&self.held).map_err(|_| Lost)? else {
                    return Ok(None);
                };
                let status = answer.code.unwrap_or_default();
                // An interim answer is not the one that its request waits for.
                let interim = (100..200).contains(&status);
                let none = interim || no_body() || matches!(status, 204 | 304);
                (n, Heard { status, ..Heard::default() }, none, answer.headers)
            }
        };
        let field = |name: &str| {
            let found = fields.iter().find(|f| f.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok().map(str::trim)
        };
        heard.counter = field(crate::edge::his::senders::HEADER).map(str::to_owned);
        // A compressed body passes, and is not looked into.
        let plain = field("content-encoding").is_none_or(|e| e.eq_ignore_ascii_case("identity"));
        heard.body = plain.then(Zeroizing::default);
        let length = if none {
            Length::Bytes(0)
        } else if field("transfer-encoding").is_some_and(|t| t.to_ascii_lowercase().ends_with("chunked")) {
            Length::Chunked
        } else if let Some(text) = field("content-length") {
            Length::Bytes(text.parse().map_err(|_| Lost)?)
        } else if self.side == Side::Requests {
            Length::Bytes(0)
        } else {
            Length::UntilTheEnd
        };
        Ok(Some((n, heard, length)))
    }

    fn chunk(&mut self, mut heard: Heard) -> Result<(State, bool), Lost> {
        match httparse::parse_chunk_size(&self.held).map_err(|_| Lost)? {
            httparse::Status::Partial if self.held.len() > MOST_HEAD => Err(Lost),
            httparse::Status::Partial => Ok((State::Chunks { heard }, false)),
            httparse::Status::Complete((n, 0)) => {
                self.held.drain(..n);
                Ok((State::Trailer { heard }, true))
            }
            httparse::Status::Complete((n, size)) => {
                let whole = usize::try_from(size).ok().and_then(|s| s.checked_add(n + 2)).ok_or(Lost)?;
                if self.held.len() < whole {
                    // A chunk of any size must not be held whole: a long one is given up on.
                    return if whole > MOST_BODY + MOST_HEAD {
                        Err(Lost)
                    } else {
                        Ok((State::Chunks { heard }, false))
                    };
                }
                heard.take(self.held.get(n..whole - 2).unwrap_or_default());
                self.held.drain(..whole);
                Ok((State::Chunks { heard }, true))
            }
        }
    }

    /// Fields after the last chunk, up to an empty line.
    fn trailer(&mut self, heard: Heard, done: &mut Vec<Heard>) -> Result<(State, bool), Lost> {
        let Some(end) = self.held.windows(2).position(|w| w == b"\r\n") else {
            return if self.held.len() > MOST_HEAD {
                Err(Lost)
            } else {
                Ok((State::Trailer { heard }, false))
            };
        };
        self.held.drain(..end + 2);
        Ok(if end == 0 { (finished(heard, done), true) } else { (State::Trailer { heard }, true) })
    }
}

fn finished(heard: Heard, done: &mut Vec<Heard>) -> State {
    done.push(heard);
    State::Head
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Method, status, body.
    type Told = (String, u16, Option<Vec<u8>>);

    fn read(side: Side, pieces: &[&[u8]]) -> Result<Vec<Told>, Lost> {
        let mut reader = Reader::new(side);
        let mut all = Vec::new();
        for piece in pieces {
            all.extend(reader.take(piece, || false)?);
        }
        all.extend(reader.end());
        Ok(all.into_iter().map(|h| (h.method, h.status, h.body.map(|b| b.to_vec()))).collect())
    }

    const REQUESTS: &[u8] = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\r\n\
        GET /b HTTP/1.1\r\n\r\nPOST /c HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n\
        2;x=y\r\nde\r\n1\r\nf\r\n0\r\nTrailer: 1\r\n\r\nPOST /d HTTP/1.1\r\ncontent-length:1\r\nContent-Encoding: gzip\r\n\r\n.";

    fn expected() -> Vec<Told> {
        let one = |m: &str, b: Option<&[u8]>| (m.to_owned(), 0, b.map(<[u8]>::to_vec));
        vec![one("POST", Some(b"abc")), one("GET", Some(b"")), one("POST", Some(b"def")), one("POST", None)]
    }

    #[test]
    fn messages_are_read_however_they_are_cut() {
        assert_eq!(read(Side::Requests, &[REQUESTS]).unwrap(), expected());
        let bytes: Vec<&[u8]> = REQUESTS.chunks(1).collect();
        assert_eq!(read(Side::Requests, &bytes).unwrap(), expected());
    }

    #[test]
    fn an_answer_ends_by_its_length_by_its_kind_or_with_the_connection() {
        let answers: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n\
            HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\nno\
            HTTP/1.0 200 OK\r\n\r\neverything that comes";
        let told = read(Side::Answers, &[answers]).unwrap();
        let statuses: Vec<u16> = told.iter().map(|(_, s, _)| *s).collect();
        assert_eq!(statuses, [100, 204, 500, 200]);
        assert_eq!(told[3].2.as_deref(), Some(&b"everything that comes"[..]));
        let mut reader = Reader::new(Side::Answers);
        let head =
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let mut first = true;
        let heard = reader.take(head, || std::mem::take(&mut first)).unwrap();
        assert_eq!(heard.len(), 2, "the answer to HEAD has no body");
    }

    #[test]
    fn what_is_too_long_is_passed_over_and_what_is_no_http_is_given_up_on() {
        let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", MOST_BODY + 1);
        let body = vec![b'x'; MOST_BODY + 1];
        let more = b"GET / HTTP/1.1\r\n\r\n";
        let heard = read(Side::Requests, &[head.as_bytes(), &body, more]).unwrap();
        assert_eq!(heard.iter().map(|h| h.2.is_some()).collect::<Vec<_>>(), [false, true]);
        for bad in
            [&b"\x16\x03\x01\x02\x00"[..], b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", &[b'a'; 70_000]]
        {
            assert_eq!(read(Side::Requests, &[bad]).err(), Some(Lost));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_given_up_on(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (read(Side::Requests, &[&bytes]), read(Side::Answers, &[&bytes]));
        }

        #[test]
        fn a_cut_anywhere_changes_nothing(at in 0..REQUESTS.len()) {
            let (a, b) = REQUESTS.split_at(at);
            prop_assert_eq!(read(Side::Requests, &[a, b]).unwrap(), expected());
        }
    }
}
