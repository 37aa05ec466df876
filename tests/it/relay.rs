//! The relay between a HIS and its platform: what passes is not changed, whatever it is
//! and whatever becomes of the copies.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

use counterproof::bench::hospital::Running;
use serde_json::{Value, json};

use crate::his;
use crate::support::{programs, wait_for};

/// A running relay, and where it is.
struct Relay {
    to: SocketAddr,
    metrics: SocketAddr,
    _running: Running,
}

impl Relay {
    fn start(dir: &Path, upstream: SocketAddr, agent: SocketAddr, token: &str) -> Self {
        let file = dir.join("relay.token");
        std::fs::write(&file, token).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let config = dir.join("relay.toml");
        let text = format!(
            "[agent]\naddress = '{agent}'\ntoken = 'relay.token'\n[metrics]\nlisten = '127.0.0.1:0'\n\
             [[ways]]\nlisten = '127.0.0.1:0'\nupstream = '{upstream}'\n"
        );
        std::fs::write(&config, text).unwrap();
        let ready = dir.join("relay.ready");
        let mut command = Command::new(programs().agent);
        command.args(["relay", "--config"]).arg(&config);
        let running = Running::of(command, dir.join("relay.log"), &ready).unwrap();
        let told: Value = serde_json::from_slice(&std::fs::read(ready).unwrap()).unwrap();
        let at = |v: &Value| v.as_str().unwrap().parse().unwrap();
        Self { to: at(&told["ways"][0]), metrics: at(&told["metrics"]), _running: running }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// A metric's lines that hold a text, added up.
    fn counted(&self, what: &str) -> f64 {
        let mut stream = TcpStream::connect(self.metrics).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let lines = page.lines().filter(|l| l.starts_with("counterproof_relay") && l.contains(what));
        lines.filter_map(|l| l.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    fn wait_until(&self, what: &str, count: f64) {
        wait_for(what, || (self.counted(what) >= count).then_some(()));
        assert_eq!(self.counted(what), count, "{what}");
    }
}

/// The platform: takes connections one after the other, and deals with each as told.
fn platform(deals: Vec<Box<dyn FnOnce(TcpStream) + Send>>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        for deal in deals {
            deal(listener.accept().unwrap().0);
        }
    });
    (at, thread)
}

fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut found = vec![0; bytes.len()];
    stream.read_exact(&mut found).unwrap();
    assert!(found == bytes, "{}", String::from_utf8_lossy(&found));
}

#[tokio::test]
async fn what_settles_reaches_the_agent_and_the_platform_alike() {
    let open = his::hospital();
    let h = &open.h;
    let body = his::envelope("2207", "MSG-R1", his::settlement("PB", "M-1")).to_string();
    // Names, spaces and ends of lines as nobody would write them anew.
    let request = format!(
        "POST /fsi/api HTTP/1.1\r\nhOST:  platform\r\nX-Odd:\t1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = his::named("MSG-R1", "310000R1", "0");
    let (head, tail) = answer.split_at(40);
    let reply = format!(
        "HTTP/1.1 200 fine\r\ntransfer-encoding: chunked\r\n\r\n{:X};a=b\r\n{head}\r\n{:x}\r\n{tail}\r\n0\r\nX: 1\r\n\r\n",
        head.len(),
        tail.len()
    );
    let (wanted, sent) = (request.clone(), reply.clone());
    let (upstream, thread) = platform(vec![Box::new(move |mut stream: TcpStream| {
        for _ in 0..2 {
            expect(&mut stream, wanted.as_bytes());
            // In pieces, as a slow server sends.
            for piece in sent.as_bytes().chunks(7) {
                stream.write_all(piece).unwrap();
            }
        }
    })]);
    let agent: SocketAddr = h.his.trim_start_matches("http://").parse().unwrap();
    let relay = Relay::start(&h.dir, upstream, agent, &h.token);
    let mut stream = relay.connect();
    for _ in 0..2 {
        for piece in request.as_bytes().chunks(11) {
            stream.write_all(piece).unwrap();
        }
        expect(&mut stream, reply.as_bytes());
    }
    thread.join().unwrap();
    relay.wait_until("kind=\"2207\"", 2.0);
    relay.wait_until("kind=\"2207 answer\"", 2.0);
    assert_eq!(relay.counted("missed"), 0.0);
    let accepted = h.audit("settlement_accepted");
    assert_eq!(accepted.len(), 1, "sent twice, it is one");
    let verification = accepted[0]["data"]["verification"].as_str().unwrap().to_owned();
    assert_eq!(wait_for("a verdict", || h.verdict(&verification)).0, "match");
    let log = std::fs::read_to_string(h.dir.join("relay.log")).unwrap();
    assert!(!log.contains("MSG-R1") && !log.contains(his::PERSONAL[1]), "{log}");
}

#[test]
fn an_agent_that_is_slow_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let agent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = agent.local_addr().unwrap();
    let (passed, has_passed) = std::sync::mpsc::channel();
    // It answers the copy once the HIS has had its answer, and not before.
    let answering = std::thread::spawn(move || {
        let mut stream = agent.accept().unwrap().0;
        let mut found = [0; 16];
        stream.read_exact(&mut found).unwrap();
        assert!(found.starts_with(b"POST /v1/his/nhs"));
        has_passed.recv().unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        stream
    });
    let body = his::envelope("2208", "MSG-1", json!({ "data": { "setl_id": "S1" } })).to_string();
    let request = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let wanted = request.clone();
    let (upstream, thread) = platform(vec![Box::new(move |mut stream: TcpStream| {
        expect(&mut stream, wanted.as_bytes());
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    })]);
    let relay = Relay::start(dir.path(), upstream, at, "a-token-of-more-than-24-characters");
    let mut stream = relay.connect();
    stream.write_all(request.as_bytes()).unwrap();
    expect(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    passed.send(()).unwrap();
    relay.wait_until("kind=\"2208\"", 1.0);
    assert_eq!(relay.counted("missed"), 0.0, "the copy was not given up on before the HIS had its answer");
    thread.join().unwrap();
    answering.join().unwrap();
}

#[tokio::test]
async fn traffic_flows_on_whatever_becomes_of_the_copies() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens where the agent should be.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let body = his::envelope("2208", "MSG-1", json!({ "data": { "setl_id": "S1" } })).to_string();
    let request = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let zipped = "POST / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\u{1}\u{2}\u{3}";
    let noise: Vec<u8> = (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (wanted, noise_there) = (request.clone(), noise.clone());
    let (upstream, thread) = platform(vec![
        // An error of the platform, and then no more.
        Box::new(move |mut stream: TcpStream| {
            expect(&mut stream, wanted.as_bytes());
            stream.write_all(b"HTTP/1.1 502 Bad\r\nContent-Length: 100\r\n\r\nhalf of").unwrap();
        }),
        Box::new(|mut stream: TcpStream| {
            expect(&mut stream, zipped.as_bytes());
            stream.write_all(b"HTTP/1.1 204 No\r\n\r\n").unwrap();
        }),
        // No HTTP at all: each side reads to the end of the other.
        Box::new(move |mut stream: TcpStream| {
            let mut found = Vec::new();
            stream.read_to_end(&mut found).unwrap();
            assert!(found == noise_there);
            stream.write_all(&noise_there).unwrap();
        }),
    ]);
    let relay = Relay::start(dir.path(), upstream, nobody, "a-token-of-more-than-24-characters");
    let mut stream = relay.connect();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    assert_eq!(reply, b"HTTP/1.1 502 Bad\r\nContent-Length: 100\r\n\r\nhalf of");
    relay.wait_until("reason=\"agent\"", 1.0);

    let mut stream = relay.connect();
    stream.write_all(zipped.as_bytes()).unwrap();
    expect(&mut stream, b"HTTP/1.1 204 No\r\n\r\n");
    relay.wait_until("reason=\"unread\"", 1.0);

    let mut stream = relay.connect();
    let there = noise.clone();
    let mut other = stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        other.write_all(&there).unwrap();
        other.shutdown(Shutdown::Write).unwrap();
    });
    let mut found = Vec::new();
    stream.read_to_end(&mut found).unwrap();
    assert!(found == noise);
    writer.join().unwrap();
    thread.join().unwrap();
    relay.wait_until("reason=\"unread\"", 2.0);

    // The platform is gone: so is the connection, as it would be without a relay.
    let mut stream = relay.connect();
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    relay.wait_until("upstream_failures", 1.0);
}
