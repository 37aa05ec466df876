//! What of the copies the agent gets. On a thread of its own: reading a long message
//! must not keep another's bytes waiting.
//!
//! Copies are bounded: what passes while [`MOST_HELD`] are held is not copied, and the
//! connection is looked at again from its next request on.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::counter;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::{debug, warn};
use zeroize::Zeroizing;

use super::overhear::{Heard, Lost, Reader, Side};
use super::{HANDED_ON, MISSED};
use crate::edge::his::{nhsa, senders};
use crate::protocol::id::CounterId;

/// Bytes of copies that are held at a time, of all connections together.
const MOST_HELD: usize = 64 * 1024 * 1024;
/// Requests of one connection that may wait for their answers.
const MOST_PENDING: usize = 1024;
/// The agent answers after a commit to its disk, or not at all.
const PATIENCE: Duration = Duration::from_secs(3);

/// Messages of which the agent gets a copy, and whether it gets their answers.
const KINDS: [(&str, bool); 7] = [
    ("2201", true),
    ("2207", true),
    ("2208", false),
    ("2304", true),
    ("2305", false),
    ("2401", true),
    ("2402", false),
];

/// To the platform, or to the HIS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

impl Direction {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Why the agent did not get a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missed {
    Agent,
    Refused,
    Unread,
    Behind,
}

fn missed(why: Missed) {
    let reason = match why {
        Missed::Agent => "agent",
        Missed::Refused => "refused",
        Missed::Unread => "unread",
        Missed::Behind => "behind",
    };
    counter!(MISSED.name, "reason" => reason).increment(1);
}

/// What passed on a connection.
enum Copy {
    Bytes(Direction, Zeroizing<Vec<u8>>, OwnedSemaphorePermit),
    Ended(Direction),
    /// Some bytes were not copied.
    Gap,
}

/// The way of one connection's copies.
pub(super) struct Copies {
    send: mpsc::UnboundedSender<Copy>,
    room: Arc<Semaphore>,
    gap: Mutex<bool>,
}

impl Copies {
    /// Bytes that were passed on. Never waits.
    pub(super) fn passed(&self, direction: Direction, bytes: &[u8]) {
        let want = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut gap = self.gap.lock().unwrap_or_else(|e| e.into_inner());
        match Arc::clone(&self.room).try_acquire_many_owned(want) {
            Ok(room) => {
                if std::mem::take(&mut *gap) {
                    let _ = self.send.send(Copy::Gap);
                }
                let _ = self.send.send(Copy::Bytes(direction, Zeroizing::new(bytes.to_vec()), room));
            }
            Err(_) => *gap = true,
        }
    }

    /// One direction ended.
    pub(super) fn ended(&self, direction: Direction) {
        let _ = self.send.send(Copy::Ended(direction));
    }
}

/// Where copies of new connections go.
#[derive(Clone)]
pub(super) struct Observers {
    begin: mpsc::UnboundedSender<(mpsc::UnboundedReceiver<Copy>, Option<CounterId>)>,
    room: Arc<Semaphore>,
}

impl Observers {
    pub(super) fn connection(&self, counter: Option<CounterId>) -> Copies {
        let (send, receive) = mpsc::unbounded_channel();
        let _ = self.begin.send((receive, counter));
        Copies { send, room: Arc::clone(&self.room), gap: Mutex::new(false) }
    }
}

/// Starts the thread on which copies are read.
pub(super) fn observers(hand_on: Arc<HandOn>) -> io::Result<Observers> {
    let (begin, mut begun) = mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("overhear".into()).spawn(move || {
        runtime.block_on(async move {
            while let Some((copies, counter)) = begun.recv().await {
                tokio::spawn(observe(copies, counter, Arc::clone(&hand_on)));
            }
        });
    })?;
    Ok(Observers { begin, room: Arc::new(Semaphore::new(MOST_HELD)) })
}

/// A request whose answer is to come.
struct Pending {
    is_head: bool,
    /// If the agent gets the answer.
    asked: Option<nhsa::Asked>,
}

/// What is known of one connection.
struct Connection {
    up: Reader,
    down: Reader,
    pending: VecDeque<Pending>,
    counter: Option<CounterId>,
    /// Nothing more can be read of it, until a request begins.
    blind: bool,
}

async fn observe(
    mut copies: mpsc::UnboundedReceiver<Copy>,
    counter: Option<CounterId>,
    hand_on: Arc<HandOn>,
) {
    let mut connection = Connection::new(counter);
    while let Some(copy) = copies.recv().await {
        match copy {
            Copy::Gap => connection.lose(Missed::Behind),
            Copy::Ended(Direction::Up) => {}
            Copy::Ended(Direction::Down) => {
                let last = connection.down.end();
                connection.answered(last.into_iter().collect(), &hand_on).await;
            }
            Copy::Bytes(direction, bytes, room) => {
                connection.take(direction, &bytes, &hand_on).await;
                drop(room);
            }
        }
    }
}

impl Connection {
    fn new(counter: Option<CounterId>) -> Self {
        let (up, down) = (Reader::new(Side::Requests), Reader::new(Side::Answers));
        Self { up, down, pending: VecDeque::new(), counter, blind: false }
    }

    fn lose(&mut self, why: Missed) {
        if !self.blind {
            missed(why);
        }
        *self = Self { blind: true, ..Self::new(self.counter.take()) };
    }

    async fn take(&mut self, direction: Direction, bytes: &[u8], hand_on: &HandOn) {
        if self.blind {
            // A request begins a piece, after the answer before it: that is how HISs talk.
            let begins = direction == Direction::Up
                && [&b"POST "[..], b"GET ", b"PUT "].iter().any(|m| bytes.starts_with(m));
            if !begins {
                return;
            }
            self.blind = false;
        }
        match direction {
            Direction::Up => match self.up.take(bytes, || false) {
                Ok(heard) => self.asked(heard, hand_on).await,
                Err(Lost) => self.lose(Missed::Unread),
            },
            Direction::Down => {
                let mut ahead = self.pending.iter();
                let taken = self.down.take(bytes, || ahead.next().is_some_and(|p| p.is_head));
                match taken {
                    Ok(heard) => self.answered(heard, hand_on).await,
                    Err(Lost) => self.lose(Missed::Unread),
                }
            }
        }
    }

    async fn asked(&mut self, heard: Vec<Heard>, hand_on: &HandOn) {
        for one in heard {
            let is_head = one.method == "HEAD";
            let asked = match &one.body {
                Some(body) if !body.is_empty() => self.copy(&one, body, hand_on).await,
                Some(_) => None,
                None => {
                    missed(Missed::Unread);
                    None
                }
            };
            if self.pending.len() >= MOST_PENDING {
                return self.lose(Missed::Unread);
            }
            self.pending.push_back(Pending { is_head, asked });
        }
    }

    /// Hands a request on, if it is one of those; what its answer will be about.
    async fn copy(&self, one: &Heard, body: &[u8], hand_on: &HandOn) -> Option<nhsa::Asked> {
        // Anything else that passes is nobody's business here.
        let asked = nhsa::asked(body).ok()?;
        let kind = asked.kind.clone()?;
        let (_, is_answered) = *KINDS.iter().find(|(k, _)| *k == kind)?;
        let named = self.counter.as_ref().map(CounterId::as_str).or(one.counter.as_deref());
        hand_on.request(&kind, named, body).await;
        is_answered.then_some(asked)
    }

    async fn answered(&mut self, heard: Vec<Heard>, hand_on: &HandOn) {
        for one in heard {
            // Interim answers are followed by the real one.
            if (100..200).contains(&one.status) {
                continue;
            }
            let Some(Pending { asked: Some(asked), .. }) = self.pending.pop_front() else { continue };
            match &one.body {
                Some(body) => hand_on.answer(&asked, body).await,
                None => missed(Missed::Unread),
            }
        }
    }
}

/// The agent.
pub(super) struct HandOn {
    client: reqwest::Client,
    url: String,
    token: Zeroizing<String>,
}

impl HandOn {
    pub(super) fn new(agent: SocketAddr, token: &Zeroizing<String>) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()?;
        Ok(Self { client, url: format!("http://{agent}/v1/his/nhsa"), token: token.clone() })
    }

    async fn request(&self, kind: &str, counter: Option<&str>, body: &[u8]) {
        let mut request = self.client.post(&self.url);
        if let Some(counter) = counter {
            request = request.header(senders::HEADER, counter);
        }
        self.send(kind.to_owned(), request, body).await;
    }

    async fn answer(&self, asked: &nhsa::Asked, body: &[u8]) {
        let kind = asked.kind.as_deref().unwrap_or_default();
        let msgid = asked.request.as_ref().map(ToString::to_string).unwrap_or_default();
        let url = format!("{}/answers?infno={kind}&msgid={msgid}", self.url);
        self.send(format!("{kind} answer"), self.client.post(url), body).await;
    }

    async fn send(&self, kind: String, request: reqwest::RequestBuilder, body: &[u8]) {
        let request = request.bearer_auth(self.token.as_str()).header(CONTENT_TYPE, "application/json");
        match request.body(body.to_vec()).send().await {
            Ok(answer) if answer.status().is_success() => {
                counter!(HANDED_ON.name, "kind" => kind).increment(1);
            }
            Ok(answer) => {
                let status = answer.status().as_u16();
                let now = status >= 500;
                missed(if now { Missed::Agent } else { Missed::Refused });
                // What it says of the message may name a terminal, and nobody.
                warn!(kind, status, "the agent did not take a copy");
            }
            Err(e) => {
                missed(Missed::Agent);
                debug!(kind, error = %e.without_url(), "the agent cannot be reached");
            }
        }
    }
}
