//! Network cameras to measure and test on: GStreamer's RTSP server on loopback,
//! which encodes a folder of drawn pictures.
//!
//! The server is a process of its own, so that its work is not counted, and ends
//! with whoever started it. What it needs are Debian packages
//! (`scripts/packages devices`).

pub mod idle;
pub mod storm;
pub mod window;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::BenchError;
use super::scene::Scene;

/// Debian's Python, which has the bindings.
const PYTHON: &str = "/usr/bin/python3";
const SERVER: &str = include_str!("server.py");

/// Pictures of a folder that is drawn: 45, three seconds at fifteen a second.
const PICTURES: u32 = 45;

/// A folder for temporary files that goes with whoever made it.
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// A new one, empty, for this user alone.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new() -> Result<Self, BenchError> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("counterproof-{}", uuid::Uuid::now_v7()));
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Self(path)),
            Err(source) => {
                Err(BenchError::Io { path, source, advice: "set TMPDIR to a folder that can be written" })
            }
        }
    }

    /// One with a scene's pictures, as [`Encoding`] plays them.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn draw(scene: &Scene) -> Result<Self, BenchError> {
        let folder = Self::new()?;
        for n in 0..PICTURES {
            std::fs::write(folder.0.join(format!("{n:04}.jpg")), scene.jpeg(n))?;
        }
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How a camera encodes.
#[derive(Debug, Clone)]
pub struct Encoding {
    /// Width and height, in pixels.
    pub size: (u32, u32),
    /// Pictures a second.
    pub rate: u32,
    /// What it sends.
    pub codec: Codec,
    /// Share of RTP packets that never leave, 0 to 1.
    pub loss: f32,
}

/// What a camera sends.
#[derive(Debug, Clone)]
pub enum Codec {
    /// JPEG pictures (RFC 2435).
    Jpeg,
    /// H.264.
    H264 {
        /// Its profile: `baseline`, `main`, `high`.
        profile: &'static str,
        /// Pictures between two references that are drawn from both.
        b_frames: u32,
        /// Arithmetic coding; else variable-length codes.
        cabac: bool,
        /// Pictures from one key picture to the next.
        group: u32,
    },
    /// H.265, which is not read.
    H265,
}

impl Encoding {
    /// H.264 as cameras come: 720p, 15 a second, 2 Mb/s, a key picture every two seconds.
    pub const H264: Self = Self {
        size: (1280, 720),
        rate: 15,
        codec: Codec::H264 { profile: "main", b_frames: 0, cabac: true, group: 30 },
        loss: 0.0,
    };
    /// Motion JPEG of the same size and rate.
    pub const JPEG: Self = Self { codec: Codec::Jpeg, ..Self::H264 };

    /// The same pictures with other H.264.
    #[must_use]
    pub const fn h264(profile: &'static str, b_frames: u32, cabac: bool) -> Self {
        Self { codec: Codec::H264 { profile, b_frames, cabac, group: 30 }, ..Self::H264 }
    }

    /// The pipeline that plays `*.jpg` of a folder, named `0000.jpg` and on, in a loop.
    fn pipeline(&self, pictures: &Path) -> String {
        let (width, height) = self.size;
        let rate = self.rate;
        // Full range in JPEG; as video otherwise.
        let colours = if matches!(self.codec, Codec::Jpeg) { "1:4:0:0" } else { "bt709" };
        let from = format!(
            "multifilesrc location=\"{}/%04d.jpg\" loop=true caps=image/jpeg,framerate={rate}/1 ! jpegdec ! \
             videoconvert ! videoscale add-borders=true ! \
             video/x-raw,format=I420,width={width},height={height},colorimetry={colours}",
            pictures.display()
        );
        let encoder = match &self.codec {
            Codec::Jpeg => "jpegenc quality=85 ! rtpjpegpay".to_owned(),
            Codec::H264 { profile, b_frames, cabac, group } => format!(
                "x264enc bitrate=2000 speed-preset=superfast threads=1 bframes={b_frames} \
                 cabac={cabac} key-int-max={group} option-string=scenecut=0 ! \
                 video/x-h264,profile={profile} ! rtph264pay config-interval=-1 pt=96"
            ),
            Codec::H265 => "x265enc speed-preset=ultrafast ! rtph265pay config-interval=-1 pt=96".to_owned(),
        };
        match self.loss {
            0.0 => format!("{from} ! {encoder} name=pay0"),
            loss => format!("{from} ! {encoder} ! identity drop-probability={loss} name=pay0"),
        }
    }
}

/// A running server.
pub struct Server {
    child: Child,
    /// The port on loopback where it listens.
    pub port: u16,
}

/// What a server serves.
#[derive(Default)]
pub struct Mounts {
    paths: BTreeMap<String, String>,
    account: Option<(String, String)>,
    port: u16,
}

impl Mounts {
    /// Serves the pictures of a folder at a path such as `/w01`.
    #[must_use]
    pub fn with(mut self, path: &str, encoding: &Encoding, pictures: &Path) -> Self {
        self.paths.insert(path.to_owned(), encoding.pipeline(pictures));
        self
    }

    /// Asks callers for this user and password.
    #[must_use]
    pub fn guarded(mut self, user: &str, password: &str) -> Self {
        self.account = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Listens at this port, where another server was before.
    #[must_use]
    pub fn at(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    /// If it does not start, with what it said.
    pub fn serve(&self) -> io::Result<Server> {
        let mut wanted = json!({ "port": self.port, "mounts": self.paths });
        if let (Some((user, password)), Some(wanted)) = (&self.account, wanted.as_object_mut()) {
            wanted.insert("user".into(), json!(user));
            wanted.insert("password".into(), json!(password));
        }
        let mut child = Command::new(PYTHON)
            .args(["-c", SERVER, &wanted.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| missing(&format!("{PYTHON}: {e}")))?;
        let mut line = String::new();
        let said = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
        let port = serde_json::from_str::<Value>(&line).ok().and_then(|v| v.get("port")?.as_u64());
        let port = port.and_then(|p| u16::try_from(p).ok());
        match (said, port) {
            (Some(Ok(_)), Some(port)) => Ok(Server { child, port }),
            _ => {
                let _ = child.kill();
                let ended = child.wait()?;
                Err(missing(&format!("the RTSP server ended with {ended}")))
            }
        }
    }
}

fn missing(what: &str) -> io::Error {
    io::Error::other(format!(
        "{what}: is GStreamer's RTSP server installed? `scripts/packages devices` installs it"
    ))
}

impl Server {
    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("rtsp://127.0.0.1:{}{path}", self.port)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
