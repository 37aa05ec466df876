//! The other side of a loopback camera: what is written there, the camera sends.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use v4l::video::Output;
use v4l::{Device, Format, FourCC};

/// Writes MJPEG to a loopback device until dropped.
pub struct Feeder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Feeder {
    /// Makes the device a camera of 640x480 and sends these pictures in turn,
    /// `a_second` of them; after `most` of them it stays there and sends no more.
    pub fn start(device: &str, pictures: Vec<Vec<u8>>, a_second: u32, most: usize) -> io::Result<Self> {
        let mut camera = Device::with_path(device)?;
        Output::set_format(&camera, &Format::new(640, 480, FourCC::new(b"MJPG")))?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        // One is there before anybody opens the other side: only then is it a camera.
        let first = pictures.first().map(|p| padded(p, 0)).unwrap_or_default();
        camera.write_all(&first)?;
        let thread = std::thread::spawn(move || {
            let begun = Instant::now();
            for (n, picture) in pictures.iter().cycle().enumerate().skip(1) {
                while Instant::now() < begun + Duration::from_secs(n as u64) / a_second || n >= most {
                    if told.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    std::thread::park_timeout(Duration::from_millis(5));
                }
                // One write is one picture: never in parts.
                camera.write_all(&padded(picture, n))?;
            }
            Ok(())
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Err(e)) = self.thread.take().and_then(|t| t.join().ok()) {
            println!("the feeder ended early: {e}");
        }
    }
}

/// As drivers hand over pictures: some exactly, some with what an older, longer
/// one left behind them, end mark and all.
fn padded(picture: &[u8], n: usize) -> Vec<u8> {
    let stale = match n % 3 {
        0 => &[][..],
        1 => &[0; 4096],
        _ => picture.get(picture.len() / 2..).unwrap_or_default(),
    };
    [picture, stale].concat()
}
