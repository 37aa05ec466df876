//! The watchdog and the cameras: a program that no longer gets on is not fed,
//! one that does is; a camera that goes away comes back.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::hospital::{Hospital, Wishes};
use crate::support::{prometheus, quick_hospital, wait_for, wrapper};

/// The service manager's end of the notification socket.
struct Manager(UnixDatagram);

impl Manager {
    fn listen(at: &Path) -> Self {
        let socket = UnixDatagram::bind(at).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(socket)
    }

    /// The next thing that it is told.
    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let n = self.0.recv(&mut bytes).expect("the service manager was told nothing for a minute");
        String::from_utf8_lossy(&bytes[..n]).trim_end().to_owned()
    }

    /// What it is told up to the first that begins so, that one included.
    fn until(&self, start: &str) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            told.push(self.next());
            if told.last().is_some_and(|t| t.starts_with(start)) {
                return told;
            }
        }
    }
}

/// Puts systemd's variables in front of a program.
fn under_systemd(dir: &Path, program: &Path) -> (std::path::PathBuf, Manager) {
    let socket = dir.join("notify");
    let manager = Manager::listen(&socket);
    let script = format!(
        "#!/bin/sh\nNOTIFY_SOCKET={} WATCHDOG_USEC=2000000 exec {} \"$@\"\n",
        socket.display(),
        program.display()
    );
    (wrapper(&dir.join("under-systemd"), &script), manager)
}

#[tokio::test]
async fn the_watchdog_is_fed_by_progress_and_by_nothing_else() {
    let mut o = quick_hospital(&Wishes::default());
    let h = &mut o.h;
    let (program, manager) = under_systemd(&h.dir, &h.programs.agent);
    h.programs.agent = program;
    h.start_agent().unwrap();
    assert_eq!(manager.until("READY=1").iter().filter(|t| t.starts_with("READY")).count(), 1);
    for _ in 0..3 {
        manager.until("WATCHDOG=1");
    }
    assert_eq!(health(h).await.0, StatusCode::OK);

    // Another writer keeps the database: each settlement waits for it, and all
    // that needs the store waits behind them.
    let other = rusqlite::Connection::open(h.dir.join("state/agent.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let flood = tokio::spawn(flood(h.his.clone(), h.token.clone()));
    let told = tokio::task::spawn_blocking(move || (manager.until("STATUS="), manager)).await.unwrap();
    let (complaint, manager) = (told.0.last().unwrap().clone(), told.1);
    assert!(complaint.contains("has not got on for"), "{complaint}");
    let (status, problem) = health(h).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(problem["detail"].as_str().unwrap().contains("has not got on for"), "{problem}");
    let ready = h.request(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);

    // Not fed from there on, until the parts get on again.
    flood.abort();
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    let told = tokio::task::spawn_blocking(move || (manager.until("STATUS="), manager)).await.unwrap();
    assert_eq!(told.0, ["STATUS="], "nothing between the standstill and its end");
    tokio::task::spawn_blocking(move || told.1.until("WATCHDOG=1")).await.unwrap();
    assert_eq!(health(h).await.0, StatusCode::OK);
    let said = std::fs::read_to_string(&h.agent.as_ref().unwrap().log).unwrap();
    assert!(said.contains("a part of the program is stuck; the watchdog is not fed"), "{said}");
    assert!(h.agent.as_mut().unwrap().terminate().unwrap().success());
}

async fn health(h: &Hospital) -> (StatusCode, Value) {
    let answer = h.request(Method::GET, "/healthz").send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

/// Settlements without end, none of which is waited for.
async fn flood(his: String, token: String) {
    let client = reqwest::Client::new();
    for n in 0u32.. {
        let settlement = Hospital::settlement(&format!("F{n}"), "w02", "PB", &[]);
        let request = client.post(format!("{his}/v1/settlements")).bearer_auth(&token).json(&settlement);
        tokio::spawn(request.send());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn the_bureau_feeds_its_watchdog_too() {
    let mut o = quick_hospital(&Wishes::default());
    let h = &mut o.h;
    let (program, manager) = under_systemd(&h.dir, &h.programs.bureau);
    h.programs.bureau = program;
    h.start_bureau("127.0.0.1:0").unwrap();
    for _ in 0..3 {
        manager.until("WATCHDOG=1");
    }
    let page = h.bureau_metrics.replace("/metrics", "/healthz");
    assert_eq!(h.metrics(&page).await.unwrap(), "ok\n");
}

#[tokio::test]
async fn an_unplugged_camera_is_started_again_and_the_box_goes_on() {
    let mut o = quick_hospital(&Wishes::default());
    let h = &mut o.h;
    h.start_agent().unwrap();
    let folder = h.dir.join("cameras/w02");
    let value = async |name: &str, counter: &str| {
        prometheus::read(&h.metrics(&h.agent_metrics).await.unwrap()).value(name, &[("counter", counter)])
    };
    let grows = async |name: &str, counter: &str| {
        let (before, deadline) = (value(name, counter).await, Instant::now() + Duration::from_secs(30));
        while value(name, counter).await <= before {
            assert!(Instant::now() < deadline, "{name} of {counter} stayed at {before} for 30 s");
        }
    };
    grows("counterproof_camera_samples_total", "w02").await;
    std::fs::rename(&folder, h.dir.join("unplugged")).unwrap();
    grows("counterproof_camera_restarts_total", "w02").await;
    grows("counterproof_camera_restarts_total", "w02").await;
    grows("counterproof_camera_sample_age_seconds", "w02").await;
    // The other window has its pictures, and the box is well.
    grows("counterproof_camera_samples_total", "w01").await;
    assert_eq!(value("counterproof_camera_restarts_total", "w01").await, 0.0);
    assert_eq!(health(h).await.0, StatusCode::OK);
    std::fs::rename(h.dir.join("unplugged"), &folder).unwrap();
    grows("counterproof_camera_samples_total", "w02").await;
    let log = h.agent.as_ref().unwrap().log.clone();
    wait_for("a word about it", || {
        std::fs::read_to_string(&log).ok().filter(|t| t.contains("a camera is opened again"))
    });
}
