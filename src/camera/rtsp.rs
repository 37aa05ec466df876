//! A network camera: RTSP over TCP, H.264 or Motion JPEG.
//!
//! The stream is taken apart into pictures as they were encoded; nothing is
//! decoded. The password is sent in digest authentication only where the camera
//! asks for it, comes from a file of its own, and stands in no message: a URL
//! that carries one is refused.
//!
//! H.265 is refused when the camera says what it sends, with words that say what
//! to change at the camera. Audio and metadata streams are not asked for. The
//! stream's clock is not used to place pictures in time: a picture's time is that
//! of its arrival, less the delay that the configuration states.

use std::fmt;
use std::time::Duration;

use futures_util::StreamExt;
use retina::client::{
    Credentials, InitialTimestampPolicy, PlayOptions, Playing, Session, SessionOptions, SetupOptions,
    TcpTransportOptions, Transport,
};
use retina::codec::{CodecItem, FrameFormat, VideoFrame};
use serde::Deserialize;
use tracing::debug;
use url::Url;

use crate::crypto::keys::{self, KeyError};
use crate::frame::{AccessUnit, Codec, Sample};
use crate::settings::Problem;

use super::{CameraError, Sink, Stream, h264};

/// How long a camera may take to say what it sends, and to begin.
const ANSWER: Duration = Duration::from_secs(10);
/// A camera that sends no picture for this long is connected to anew.
const SILENCE: Duration = Duration::from_secs(5);
/// How often a waiting stream looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Greatest accepted picture, in bytes.
const MAX_PICTURE: usize = 16 << 20;

/// `kind = "rtsp"`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rtsp {
    /// `rtsp://host:port/path`, without user and password. As written: what is
    /// wrong with it is told without repeating it.
    pub url: String,
    /// Its user, where it asks for one.
    #[serde(default)]
    pub user: Option<String>,
    /// Place of the password: a file with mode 0600, or `credential:NAME`.
    #[serde(default)]
    pub password: Option<String>,
    /// How long after the light a picture arrives: the camera's encoder, the network.
    #[serde(default = "usual_delay")]
    pub delay_ms: u64,
    /// Longest time between two key pictures, as set at the camera. Pictures are
    /// kept for so much longer, since one can be decoded only from its key picture on.
    #[serde(default = "usual_interval")]
    pub key_frame_seconds: u64,
}

fn usual_delay() -> u64 {
    200
}

fn usual_interval() -> u64 {
    4
}

/// Why a network camera cannot be used, or ended. None of them names the user,
/// the password or what follows `?` in the address.
#[derive(Debug, thiserror::Error)]
pub enum RtspError {
    /// The password cannot be read.
    #[error("the camera's password: {0}")]
    Password(#[from] KeyError),
    /// Its address is none.
    #[error("camera.url: expected rtsp://host:port/path")]
    NoAddress,
    /// It does not answer in time.
    #[error("{0}: no answer within 10 s: is the camera on, and its address right?")]
    NoAnswer(Address),
    /// It answers with an error.
    #[error("{address}: {reason}{}", advice(*status))]
    Refused {
        /// Which camera.
        address: Address,
        /// Its status, if it got so far.
        status: Option<u16>,
        /// What happened.
        reason: String,
    },
    /// It has no stream that can be used.
    #[error(
        "{address}: it sends {found}, which is not read here: set this stream of the camera to H.264, or name its second stream (often the smaller one) if that is H.264"
    )]
    OtherCodec {
        /// Which camera.
        address: Address,
        /// What it sends.
        found: String,
    },
    /// Nothing comes any more.
    #[error("{0}: no picture for 5 s")]
    Silent(Address),
    /// It ended the stream.
    #[error("{0}: the camera ended the stream")]
    Ended(Address),
    /// No runtime for the connection.
    #[error("a network camera's thread: {0}")]
    Io(#[from] std::io::Error),
}

fn advice(status: Option<u16>) -> &'static str {
    match status {
        Some(401 | 403) => ": correct camera.user and the password file, or the account at the camera",
        Some(404) => ": the path in camera.url names no stream of this camera",
        Some(453 | 503) => {
            ": too many programs may be connected to the camera; end one, or use its other stream"
        }
        _ => "",
    }
}

/// A camera's address as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&Url> for Address {
    /// Without what may be secret: user, password, query; and a path that names
    /// them itself, as some cameras have it (`/user=…&password=…`).
    fn from(url: &Url) -> Self {
        let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
        let path = if url.path().contains('=') { "/…" } else { url.path() };
        Self(format!("{}://{}{port}{path}", url.scheme(), url.host_str().unwrap_or("?")))
    }
}

impl Rtsp {
    /// A camera that asks for no password, with the usual settings.
    pub fn at(url: &str) -> Self {
        let (delay_ms, key_frame_seconds) = (usual_delay(), usual_interval());
        Self { url: url.to_owned(), user: None, password: None, delay_ms, key_frame_seconds }
    }

    /// What is wrong with its settings.
    pub fn problems(&self, key: &str) -> Vec<Problem> {
        let mut out = Vec::new();
        let mut ask = |ok: bool, name: &str, found: String, allowed: &str, advice: &str| {
            if !ok {
                out.push(Problem::new(&format!("{key}.{name}"), found, allowed, advice));
            }
        };
        let url = Url::parse(&self.url).ok();
        let shown = url.as_ref().map_or_else(|| "no address".into(), |u| Address::from(u).0);
        ask(
            url.as_ref().is_some_and(|u| u.scheme() == "rtsp" && u.host_str().is_some()),
            "url",
            format!("`{shown}`"),
            "rtsp://host:port/path",
            "Only RTSP over TCP is read.",
        );
        ask(
            url.as_ref().is_none_or(|u| u.username().is_empty() && u.password().is_none()),
            "url",
            format!("`{shown}` with a user or password in it"),
            "an address without them",
            "Write camera.user, and the password into a file named by camera.password.",
        );
        ask(
            self.user.is_some() == self.password.is_some(),
            "password",
            if self.user.is_some() { "a user without a password" } else { "a password without a user" }
                .into(),
            "both camera.user and camera.password, or neither",
            "The password is the place of a file with mode 0600, or credential:NAME.",
        );
        ask(
            self.delay_ms <= 5000,
            "delay_ms",
            self.delay_ms.to_string(),
            "0 to 5000",
            "A camera that is slower than that cannot say who was there.",
        );
        ask(
            (1..=30).contains(&self.key_frame_seconds),
            "key_frame_seconds",
            self.key_frame_seconds.to_string(),
            "1 to 30",
            "Set the camera's I-frame interval to 1 or 2 seconds.",
        );
        out
    }

    /// Reads the password; asks the camera what it sends, if it answers.
    ///
    /// # Errors
    /// If the password cannot be read, or the camera sends what is not read here.
    /// A camera that does not answer now may later: no error.
    pub fn open(&self) -> Result<Connection, RtspError> {
        let credentials = match (&self.user, &self.password) {
            (Some(user), Some(place)) => Some(Credentials {
                username: user.clone(),
                password: keys::read_password(place)?.to_string(),
            }),
            _ => None,
        };
        let url = Url::parse(&self.url).map_err(|_| RtspError::NoAddress)?;
        let camera = Camera { url, delay: Duration::from_millis(self.delay_ms), credentials };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let described = runtime.block_on(camera.describe());
        match &described {
            Err(RtspError::OtherCodec { address, found }) => {
                return Err(RtspError::OtherCodec { address: address.clone(), found: found.clone() });
            }
            Err(e) => debug!(error = %e, "a camera does not answer yet"),
            Ok(_) => {}
        }
        Ok(Connection { camera, runtime, described })
    }
}

/// A network camera that was asked what it sends.
pub struct Connection {
    camera: Camera,
    /// The connection lives in it.
    runtime: tokio::runtime::Runtime,
    described: Result<Described, RtspError>,
}

/// A connection, and which of the camera's streams to take.
struct Described {
    session: Session<retina::client::Described>,
    stream: usize,
    is_h264: bool,
}

impl Stream for Connection {
    fn play(self: Box<Self>, sink: &Sink) -> Result<(), CameraError> {
        let Self { camera, runtime, described } = *self;
        let done = described.and_then(|described| runtime.block_on(camera.run(described, sink)));
        // What the library still says to the camera must not keep the thread.
        runtime.shutdown_timeout(Duration::from_millis(200));
        Ok(done?)
    }
}

struct Camera {
    url: Url,
    delay: Duration,
    credentials: Option<Credentials>,
}

impl Camera {
    fn address(&self) -> Address {
        Address::from(&self.url)
    }

    fn refused(&self, e: &retina::Error) -> RtspError {
        let status = e.status_code();
        // The library's words may quote the camera's, which may quote the address that was asked for.
        let mut reason = e.to_string().replace(self.url.as_str(), &self.address().0);
        for secret in [self.url.query(), Some(self.url.path()).filter(|p| p.contains('='))] {
            reason = secret.into_iter().fold(reason, |text, secret| text.replace(secret, "…"));
        }
        let reason = reason.lines().next().unwrap_or_default().to_owned();
        RtspError::Refused { address: self.address(), status, reason }
    }

    /// Asks the camera what it sends.
    async fn describe(&self) -> Result<Described, RtspError> {
        let options = SessionOptions::default()
            .creds(self.credentials.clone())
            .user_agent(concat!("counterproof/", env!("CARGO_PKG_VERSION")).into());
        let asked = Session::describe(self.url.clone(), options);
        let session = match tokio::time::timeout(ANSWER, asked).await {
            Ok(Ok(session)) => session,
            Ok(Err(e)) => return Err(self.refused(&e)),
            Err(_) => return Err(RtspError::NoAnswer(self.address())),
        };
        let video = |s: &retina::client::Stream| s.media() == "video";
        let usable = |s: &retina::client::Stream| video(s) && matches!(s.encoding_name(), "h264" | "jpeg");
        let found = session.streams().iter().enumerate().find(|(_, s)| usable(s));
        if let Some((stream, is_h264)) = found.map(|(i, s)| (i, s.encoding_name() == "h264")) {
            return Ok(Described { session, stream, is_h264 });
        }
        let names = session.streams().iter().filter(|s| video(s)).map(|s| s.encoding_name());
        let names: Vec<&str> = names.collect();
        let found = if names.is_empty() { "no video".into() } else { names.join(" and ").to_uppercase() };
        Err(RtspError::OtherCodec { address: self.address(), found })
    }

    async fn begin(&self, described: Described) -> Result<Session<Playing>, RtspError> {
        let Described { mut session, stream, .. } = described;
        let setup = SetupOptions::default()
            .transport(Transport::Tcp(TcpTransportOptions::default()))
            .frame_format(FrameFormat::SIMPLE);
        session.setup(stream, setup).await.map_err(|e| self.refused(&e))?;
        let play = PlayOptions::default().initial_timestamp(InitialTimestampPolicy::Permissive);
        session.play(play).await.map_err(|e| self.refused(&e))
    }

    async fn run(&self, described: Described, sink: &Sink) -> Result<(), RtspError> {
        let is_h264 = described.is_h264;
        let session = match tokio::time::timeout(ANSWER, self.begin(described)).await {
            Ok(begun) => begun?,
            Err(_) => return Err(RtspError::NoAnswer(self.address())),
        };
        let mut items = std::pin::pin!(session.demuxed().map_err(|e| self.refused(&e))?);
        let mut unit = Units { is_h264, delay: self.delay, lost: false };
        let mut last = tokio::time::Instant::now();
        while !sink.stopped() {
            match tokio::time::timeout(LOOK_EVERY, items.next()).await {
                Ok(Some(Ok(CodecItem::VideoFrame(frame)))) => {
                    last = tokio::time::Instant::now();
                    if let Some(sample) = unit.sample(frame, sink) {
                        sink.ring.push(sample);
                    }
                }
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(e))) => return Err(self.refused(&e)),
                Ok(None) => return Err(RtspError::Ended(self.address())),
                Err(_) if last.elapsed() > SILENCE => return Err(RtspError::Silent(self.address())),
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Makes samples of what the library takes out of the packets.
struct Units {
    is_h264: bool,
    delay: Duration,
    /// A unit was left out since the last sample.
    lost: bool,
}

impl Units {
    fn sample(&mut self, frame: VideoFrame, sink: &Sink) -> Option<Sample> {
        let lost = std::mem::take(&mut self.lost) || frame.loss() > 0;
        let ticks = frame.timestamp().timestamp();
        let bytes = frame.into_data();
        let codec = if self.is_h264 {
            h264::kind(&bytes).map(|kind| Codec::H264(AccessUnit { kind, ticks }))
        } else {
            Some(Codec::Jpeg)
        };
        match codec.filter(|_| bytes.len() <= MAX_PICTURE) {
            Some(codec) => {
                let at = sink.clock.now().boot.minus(self.delay);
                Some(Sample::new(at, codec, bytes).with_loss(lost))
            }
            None => {
                self.lost = true;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtsp(text: &str) -> Rtsp {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn secrets_in_an_address_are_refused_and_not_shown() {
        let camera = rtsp("url = \"rtsp://admin:hunter2@10.0.0.9:554/ch1?token=abc\"");
        let told = format!("{:?}", camera.problems("counters[0].camera"));
        assert!(
            told.contains("counters[0].camera.url") && told.contains("rtsp://10.0.0.9:554/ch1"),
            "{told}"
        );
        assert!(!told.contains("hunter2") && !told.contains("abc"), "{told}");
        for hidden in ["rtsp://u:secret@h/", "rtsp//u:secret@h/", "http://h/user=u&password=secret"] {
            let told = format!("{:?}", rtsp(&format!("url = \"{hidden}\"")).problems("c"));
            assert!(told.contains("c.url") && !told.contains("secret"), "{told}");
        }
        let half = rtsp("url = \"rtsp://10.0.0.9/ch1\"\nuser = \"admin\"").problems("c");
        assert!(matches!(&half[..], [p] if p.key == "c.password"), "{half:?}");
        assert_eq!(rtsp("url = \"rtsp://10.0.0.9/ch1\"").problems("c"), []);
    }

    #[test]
    fn another_scheme_or_an_impossible_setting_is_refused() {
        let keys = |text: &str| rtsp(text).problems("c").into_iter().map(|p| p.key).collect::<Vec<_>>();
        assert_eq!(keys("url = \"http://10.0.0.9/ch1\""), ["c.url"]);
        let both = "url = \"rtsp://10.0.0.9/\"\ndelay_ms = 9000\nkey_frame_seconds = 0";
        assert_eq!(keys(both), ["c.delay_ms", "c.key_frame_seconds"]);
    }
}
