//! The whole way in one go, on loopback: `make demo`.
//!
//! Starts a bureau and an agent with a throw-away authority, enrols two
//! cardholders, sends six settlements through the agent's HTTP interface,
//! checks each outcome itself, prints a table. `--keep` leaves both running.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use counterproof::bench::hospital::{Hospital, Programs, Wishes};
use counterproof::vision::telemetry;
use serde_json::Value;

/// One settlement of the demonstration, and what must come of it.
struct Play {
    id: &'static str,
    counter: &'static str,
    cardholder: &'static str,
    proxies: &'static [&'static str],
    there: &'static str,
    verdict: &'static str,
    reason: &'static str,
    alert: &'static str,
}

const PLAYS: [Play; 6] = [
    Play {
        id: "S1",
        counter: "w01",
        cardholder: "PB",
        proxies: &[],
        there: "the cardholder",
        verdict: "match",
        reason: "",
        alert: "none",
    },
    Play {
        id: "S2",
        counter: "w01",
        cardholder: "PA",
        proxies: &[],
        there: "another person",
        verdict: "mismatch",
        reason: "",
        alert: "delivered",
    },
    Play {
        id: "S3",
        counter: "w01",
        cardholder: "PA",
        proxies: &["PB"],
        there: "a declared proxy",
        verdict: "match",
        reason: "",
        alert: "none",
    },
    Play {
        id: "S4",
        counter: "w02",
        cardholder: "PB",
        proxies: &[],
        there: "nobody",
        verdict: "inconclusive",
        reason: "no_face",
        alert: "none",
    },
    Play {
        id: "S5",
        counter: "w02",
        cardholder: "P-NEW",
        proxies: &[],
        there: "nobody (no enrolment)",
        verdict: "not_assessed",
        reason: "no_reference",
        alert: "none",
    },
    Play {
        id: "S6",
        counter: "w01",
        cardholder: "PA",
        proxies: &[],
        there: "another, then cancelled",
        verdict: "mismatch",
        reason: "",
        alert: "withdrawn",
    },
];

/// What came of one.
struct Outcome {
    verdict: String,
    score: Option<f64>,
    alert: String,
    answer: Duration,
    verdict_after: Duration,
    delivered_after: Option<Duration>,
    right: bool,
}

fn main() -> ExitCode {
    if let Err(e) = telemetry::switch_off() {
        eprintln!("demo: {e}");
        return ExitCode::FAILURE;
    }
    let keep = std::env::args().any(|a| a == "--keep");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map(|r| r.block_on(demo(keep))) {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => {
            eprintln!("demo: an outcome is not what it must be; the logs are in target/demo");
            ExitCode::FAILURE
        }
        Ok(Err(e)) | Err(e) => {
            eprintln!("demo: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn demo(keep: bool) -> io::Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = std::env::current_exe()?;
    let release = beside.ancestors().nth(2).unwrap_or(root).to_owned();
    let dir = root.join("target/demo");
    let _ = std::fs::remove_dir_all(&dir);
    let programs =
        Programs { agent: release.join("counterproof"), bureau: release.join("counterproof-bureau") };
    println!("1/4  drawing two cameras from portraits, making an authority and keys");
    let mut h = Hospital::open(&dir, programs, &root.join("models/models.toml"), &Wishes::default())?;
    println!("2/4  a bureau is running; enrolling two cardholders");
    h.enrol()?;
    let ready = h.start_agent()?;
    println!(
        "3/4  the agent was ready after {} ms, in shadow; a supervisor's signature armed it",
        ready.as_millis()
    );
    println!("     six settlements follow");
    // The ring must reach back over the window before the first settlement.
    tokio::time::sleep(Duration::from_millis(1500)).await;

    let elsewhere = async { (play(&h, &PLAYS[3]).await, play(&h, &PLAYS[4]).await) };
    let at_the_window = async {
        let mut out = Vec::new();
        for p in [&PLAYS[0], &PLAYS[1], &PLAYS[2], &PLAYS[5]] {
            out.push(play(&h, p).await);
        }
        out
    };
    let (mut window, (s4, s5)) = tokio::join!(at_the_window, elsewhere);
    window.insert(3, s4);
    window.insert(4, s5);
    let outcomes = window.into_iter().collect::<io::Result<Vec<_>>>()?;
    println!("4/4  what came of them\n");
    table(&outcomes);
    let delivered = outcomes.iter().filter(|o| o.alert != "none").count();
    let images = images_in(&h).await?;
    let right = outcomes.iter().all(|o| o.right) && images == 0;
    let agent_mb = h.agent.as_ref().and_then(|a| resident_mb(a.pid()));
    if let Some(mb) = agent_mb {
        println!("\nagent: ready in {} ms, {mb} MB resident", ready.as_millis());
    }
    if keep {
        leave(&mut h);
    }
    println!("demo: {} settlements, {delivered} alerts delivered, {images} images sent", PLAYS.len());
    Ok(right)
}

/// Sends a settlement and follows it to the bureau.
async fn play(h: &Hospital, p: &Play) -> io::Result<Outcome> {
    let begun = Instant::now();
    let settlement = Hospital::settlement(p.id, p.counter, p.cardholder, p.proxies);
    let (status, body) = h.settle(&settlement).await?;
    let answer = begun.elapsed();
    let verification = body["verification_id"].as_str().unwrap_or_default().to_owned();
    if status != 202 {
        return Err(io::Error::other(format!("{}: the agent answered {status}: {body}", p.id)));
    }
    let (verdict, reason) = until("a verdict", || h.verdict(&verification)).await?;
    let decided = Instant::now();
    let mut alert = "none".to_owned();
    let mut delivered_after = None;
    // The box tells no score to anybody but the bureau, in an alert.
    let mut score = None;
    if verdict == "mismatch" {
        state_of(h, p.id, "open").await?;
        delivered_after = Some(decided.elapsed());
        score = h.alerts().await?.get(p.id).and_then(|a| a["event"]["data"]["comparison"]["score"].as_f64());
        alert = "delivered".into();
        if p.alert == "withdrawn" {
            h.cancel(p.id).await?;
            state_of(h, p.id, "withdrawn").await?;
            alert = "withdrawn".into();
        }
    }
    let right = verdict == p.verdict && reason == p.reason && alert == p.alert;
    let verdict = if reason.is_empty() { verdict } else { format!("{verdict}({reason})") };
    Ok(Outcome { verdict, score, alert, answer, verdict_after: decided - begun, delivered_after, right })
}

async fn state_of(h: &Hospital, settlement: &str, state: &str) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(15);
    while Instant::now() < deadline {
        if h.alerts().await?.get(settlement).is_some_and(|a| a["state"] == state) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(io::Error::other(format!("{settlement}: the bureau did not hold its alert as `{state}` within 15 s")))
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> io::Result<T> {
    let deadline = Instant::now() + Duration::from_secs(15);
    while Instant::now() < deadline {
        if let Some(found) = look() {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(io::Error::other(format!("waited 15 s for {what}")))
}

fn table(outcomes: &[Outcome]) {
    println!(
        "{:<10} {:<9} {:<24} {:<28} {:>6}  {:<10} {:>9} {:>10} {:>9}",
        "settlement",
        "card",
        "who was at the window",
        "verdict",
        "score",
        "alert",
        "answer ms",
        "verdict ms",
        "alert ms"
    );
    for (p, o) in PLAYS.iter().zip(outcomes) {
        let score = o.score.map_or("-".into(), |s| format!("{s:.2}"));
        let alert_ms = o.delivered_after.map_or("-".into(), |d| d.as_millis().to_string());
        let wrong = if o.right { "" } else { "  <- WRONG" };
        println!(
            "{:<10} {:<9} {:<24} {:<28} {score:>6}  {:<10} {:>9.1} {:>10} {alert_ms:>9}{wrong}",
            p.id,
            p.cardholder,
            p.there,
            o.verdict,
            o.alert,
            o.answer.as_secs_f64() * 1000.0,
            o.verdict_after.as_millis(),
        );
    }
    println!(
        "\n(verdict ms: from the HIS's message to the verdict; the window stays open for 1000 ms of it.\n alert ms: from the verdict to the alert stored at the bureau, as seen by asking every 10 ms.)"
    );
}

/// Looks through everything that the bureau received and kept for anything
/// that could be a picture: its magic numbers, plain or as base64, or a text
/// long enough to hold one.
async fn images_in(h: &Hospital) -> io::Result<usize> {
    let mut found = 0;
    for path in ["/alerts.json", "/agents.json"] {
        found += suspicious(&h.console(path).await?);
    }
    Ok(found)
}

fn suspicious(value: &Value) -> usize {
    const MAGIC: [&str; 5] = ["/9j/", "iVBORw0KGgo", "\u{ff}\u{d8}\u{ff}", "AAAAIGZ0eXA", "R0lGOD"];
    match value {
        Value::String(s) => usize::from(s.len() > 512 || MAGIC.iter().any(|m| s.starts_with(m))),
        Value::Array(a) if a.len() > 64 && a.iter().all(Value::is_number) => 1,
        Value::Array(a) => a.iter().map(suspicious).sum(),
        Value::Object(o) => o.values().map(suspicious).sum(),
        _ => 0,
    }
}

fn resident_mb(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/status"))).ok()?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kb| kb / 1024)
}

fn leave(h: &mut Hospital) {
    println!("\nthe agent listens for settlements at {} (token in target/demo/keys/his.token)", h.his);
    println!("the bureau's page is at {}/", h.console);
    for running in [h.agent.take(), h.bureau.take()].into_iter().flatten() {
        println!("stop it with: kill {}", running.pid());
        running.leave_running();
    }
}
