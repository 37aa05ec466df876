//! Bytes both ways, as they are. What is done with them afterwards is done with a copy.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use super::hand_on::{Copies, Direction, Observers};
use super::{BYTES, CONNECTIONS, UPSTREAM_FAILURES};
use crate::protocol::id::CounterId;

/// Bytes that are taken from a socket at a time.
const AT_A_TIME: usize = 32 * 1024;
/// After an error of the listening socket, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// From the HIS to the platform.
pub(super) struct Way {
    pub(super) upstream: String,
    pub(super) counter: Option<CounterId>,
    pub(super) observers: Observers,
}

/// Takes connections until the program ends.
pub(super) async fn accept(listener: TcpListener, way: Arc<Way>) {
    loop {
        match listener.accept().await {
            Ok((his, _)) => {
                let way = Arc::clone(&way);
                tokio::spawn(async move {
                    if let Err(e) = pass(his, &way).await {
                        debug!(error = %e, "a connection ended");
                    }
                });
            }
            Err(e) => {
                warn!(error = %e, "a connection of the HIS could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn pass(his: TcpStream, way: &Way) -> io::Result<()> {
    let platform = match TcpStream::connect(&way.upstream).await {
        Ok(platform) => platform,
        Err(e) => {
            counter!(UPSTREAM_FAILURES.name).increment(1);
            warn!(error = %e, upstream = way.upstream, "the platform cannot be reached");
            return Err(e);
        }
    };
    counter!(CONNECTIONS.name).increment(1);
    // Each piece goes on as it comes.
    his.set_nodelay(true)?;
    platform.set_nodelay(true)?;
    let copies = way.observers.connection(way.counter.clone());
    let (from_his, to_his) = his.into_split();
    let (from_platform, to_platform) = platform.into_split();
    // An error of one direction ends both, as it would without a relay between.
    tokio::try_join!(
        one_way(from_his, to_platform, Direction::Up, &copies),
        one_way(from_platform, to_his, Direction::Down, &copies),
    )?;
    Ok(())
}

async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    copies: &Copies,
) -> io::Result<()> {
    let bytes = counter!(BYTES.name, "direction" => direction.as_str());
    let mut buffer = zeroize::Zeroizing::new(vec![0; AT_A_TIME]);
    loop {
        let n = from.read(&mut buffer).await?;
        let piece = buffer.get(..n).unwrap_or_default();
        if piece.is_empty() {
            to.shutdown().await?;
            copies.ended(direction);
            return Ok(());
        }
        to.write_all(piece).await?;
        bytes.increment(n as u64);
        copies.passed(direction, piece);
    }
}
