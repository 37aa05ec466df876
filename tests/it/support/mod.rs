//! What the whole-program tests share.

pub mod bureau;
pub mod faults;
pub mod hospital;
pub mod pki;

use std::time::{Duration, Instant};

/// Waits for a thing to be so, and gives up after 20 seconds.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited 20 s for {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
