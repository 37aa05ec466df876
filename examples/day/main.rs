//! A day of a hospital: `make day`.
//!
//! A bureau, a box with forty windows and a relay, all the real programs, with a HIS and a
//! platform that say what a seed made them say: settlements in the national platform's
//! messages with their answers, cancellations, registrations with proxies, kinds of care
//! that are not verified, messages that are repeated, and people who are not the
//! cardholder. The day is played sixty times as fast as it would be; then every settlement
//! is looked for in what the programs themselves say. The last line is JSON; the exit
//! status is 0 only if every settlement is accounted for and no byte was altered.
//!
//! What is scaled: the gaps between settlements are a sixtieth, and so a window is one
//! second instead of the usual six or more, the hold of a mismatch 1.5 s, pictures ten a
//! second. What is not: clocks, references, models, stores, signatures. Two people stand
//! for everybody (the sample portraits), so nothing here says how accurate a verdict is.
//!
//! The dialysis room has two shifts ([`shifts`]): a counter of its own, rosters that the HIS
//! gives the box, people who come or do not, and sessions that are billed. They stand in the
//! same account.

mod account;
mod message;
mod plan;
mod shifts;
mod stage;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use counterproof::bench::hospital::{Camera, Hospital, Programs, Running, Wishes, entrance_toml};
use counterproof::bench::wire::{Asking, Platform, Seen};
use counterproof::vision::manifest::Manifest;
use counterproof::vision::telemetry;
use serde_json::{Value, json};

use account::Said;
use message::Script;
use plan::{Day, KINDS, Size, cardholder, certificate};
use shifts::{ENTRANCE, PATIENTS, patient};
use stage::{Stage, marked, window};

/// Connections of each window's terminals to the platform.
const LANES: usize = 3;
/// After the last settlement: cancellations come, mismatches are held.
const CLOSING: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let done = telemetry::switch_off().map_err(io::Error::other).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(day())
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("day: settlements are not accounted for, or bytes were altered; see target/day");
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("day: {e}");
            ExitCode::FAILURE
        }
    }
}

/// A whole number from the environment, or the usual one.
fn wanted(name: &str, usual: u64, allowed: std::ops::RangeInclusive<u64>) -> io::Result<u64> {
    let Ok(text) = std::env::var(name) else { return Ok(usual) };
    match text.parse() {
        Ok(n) if allowed.contains(&n) => Ok(n),
        _ => Err(io::Error::other(format!(
            "{name}: found `{text}`; allowed: {} to {}",
            allowed.start(),
            allowed.end()
        ))),
    }
}

async fn day() -> io::Result<bool> {
    let size = Size {
        settlements: wanted("SETTLEMENTS", 12_000, 40..=200_000)? as usize,
        windows: wanted("WINDOWS", 40, 1..=200)? as usize,
        speed: wanted("SPEED", 60, 1..=80)? as f64,
        people: 240,
    };
    let seed = wanted("SEED", 7, 0..=u64::MAX)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = root.join("target/day");
    let _ = std::fs::remove_dir_all(&dir);
    let day = Day::plan(seed, &size);
    eprintln!(
        "a day of {} settlements at {} windows, {:.1} times real speed, seed {seed}: {} messages in {:.0} s",
        size.settlements,
        size.windows,
        size.speed,
        day.events.len(),
        (day.ends + CLOSING).as_secs_f64()
    );
    let (mut h, stage) = open(&dir, root, &size)?;
    eprintln!("{} cardholders are enrolled; the box opens its windows", size.people);
    h.start_agent()?;
    let begins = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let script = Arc::new(Script { day, people: size.people, begins });
    let begun = Instant::now() + Duration::from_secs(2);
    shifts::expect(&h, &script.day.shifts, begins).await?;
    let copy = Arc::clone(&script);
    let platform = Platform::start(Arc::new(move |n| copy.exchange(n)))?;
    let relay = Relay::start(&dir, &h, &platform)?;
    let played = tokio::task::spawn_blocking({
        let (script, to) = (Arc::clone(&script), relay.to);
        move || play(&script, &stage, to, begun)
    });
    let down = played.await.map_err(io::Error::other)??;
    let settlements = &script.day.settlements;
    let said = Said::hear(&h, &relay.metrics, &script.day).await?;
    let account = said.account(settlements);
    eprintln!();
    table(&script.day, &account);
    let altered: u64 = [&down.seen, &platform.up].iter().map(|s| s.altered.load(Ordering::Relaxed)).sum();
    let mut last = account.json(settlements.len());
    last.insert("relay_altered".into(), json!(altered));
    last.insert("unanswered".into(), json!(down.failed.load(Ordering::Relaxed)));
    last.insert("copies_missed".into(), json!(said.missed.values().sum::<u64>()));
    last.insert("counts_differ".into(), json!(said.counts_differ()));
    last.insert("late_ms_most".into(), json!(down.late_ms.load(Ordering::Relaxed)));
    last.insert("agent_cpu_s".into(), json!(h.agent.as_ref().and_then(|a| cpu_seconds(a.pid()))));
    last.insert("seconds".into(), json!(script.day.ends.as_secs()));
    last.insert("speed".into(), json!(size.speed));
    println!("{}", Value::Object(last));
    Ok(account.unaccounted.is_empty() && altered == 0)
}

/// The hospital with everybody enrolled and its cameras drawn; the box does not run yet.
fn open(dir: &Path, root: &Path, size: &Size) -> io::Result<(Hospital, Stage)> {
    let beside = std::env::current_exe()?;
    let release = beside.ancestors().nth(2).unwrap_or(root).to_owned();
    let programs =
        Programs { agent: release.join("counterproof"), bureau: release.join("counterproof-bureau") };
    let models = root.join("models/models.toml");
    let manifest = Manifest::read(&models).map_err(io::Error::other)?;
    // The entrance's camera is one window more.
    let stage = Stage::draw(dir, &manifest, size.windows + 1)?;
    let h = Hospital::open(dir, programs, &models, &wishes(size))?;
    let mut certificates = String::from("cardholder,cert_type,certno\n");
    for n in 0..size.people {
        let id = if n.is_multiple_of(2) { "portrait-a" } else { "portrait-b1" };
        let photo = manifest.sample(id).map_err(io::Error::other)?;
        let name = cardholder(n);
        std::fs::write(dir.join(format!("portraits/{name}.jpg")), marked(&photo, &name))?;
        certificates.push_str(&format!("{name},01,{}\n", certificate(Some(n))));
    }
    for n in 0..PATIENTS {
        let id = if n.is_multiple_of(2) { "portrait-a" } else { "portrait-b3" };
        let photo = manifest.sample(id).map_err(io::Error::other)?;
        std::fs::write(dir.join(format!("portraits/{}.jpg", patient(n))), marked(&photo, &patient(n)))?;
    }
    h.enrol()?;
    let file = dir.join("certificates.csv");
    std::fs::write(&file, certificates)?;
    h.bureau_command(&["certificates", "import", &file.to_string_lossy(), "--by", "day"])?;
    std::fs::remove_file(file)?;
    Ok((h, stage))
}

fn wishes(size: &Size) -> Wishes {
    let counters = (0..=size.windows)
        .map(|n| (window(n), Camera::Replay(PathBuf::from(format!("cameras/{}", window(n))))))
        .collect();
    let counter = |n: usize| if n == size.windows { ENTRANCE.to_owned() } else { window(n) };
    let senders: String = (0..=size.windows)
        .map(|n| format!("[[his.senders]]\ncounter = \"{}\"\ndevices = [\"D-{}\"]\n", counter(n), n + 1))
        .collect();
    let last = format!("id = \"{}\"\nbefore_ms = 500\nafter_ms = 500\n", window(size.windows));
    let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    Wishes {
        hold_ms: 1500,
        before_ms: 500,
        after_ms: 500,
        counters,
        replace: vec![
            pair("clock_error_ms = 150\ndelay_ms = 5000", "clock_error_ms = 20\ndelay_ms = 1400"),
            pair("hold_ms = 1500", "hold_ms = 1500\nworkers = 2\nqueue = 64"),
            pair("frames_per_second = 15", "frames_per_second = 10"),
            // Half of the usual: forty cameras' pictures are held in memory.
            pair("frames_seconds = 20", "frames_seconds = 10"),
            pair("[metrics]\n", &format!("{senders}[metrics]\n")),
            pair(&last, &format!("id = \"{ENTRANCE}\"\nkind = \"dialysis-entrance\"\n")),
            pair(
                "withdrawal_links_days = 180",
                &format!(
                    "withdrawal_links_days = 180\nstays_days = 90\nrosters_hours = 24\n{}",
                    entrance_toml(ENTRANCE)
                ),
            ),
        ],
        // Twice what a busy minute asks for.
        bureau: "[references]\nper_agent_per_minute = 6000\n".into(),
        ..Wishes::default()
    }
}

/// The relay, and where it is.
struct Relay {
    to: std::net::SocketAddr,
    metrics: String,
    _running: Running,
}

impl Relay {
    fn start(dir: &Path, h: &Hospital, platform: &Platform) -> io::Result<Self> {
        let config = dir.join("relay.toml");
        let text = format!(
            "[agent]\naddress = \"{}\"\ntoken = \"keys/his.token\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n\
             [[ways]]\nlisten = \"127.0.0.1:0\"\nupstream = \"{}\"\n",
            h.his.trim_start_matches("http://"),
            platform.at
        );
        std::fs::write(&config, text)?;
        let ready = dir.join("relay.ready");
        let mut command = Command::new(&h.programs.agent);
        command.args(["relay", "--config"]).arg(&config);
        let running = Running::of(command, dir.join("relay.log"), &ready)?;
        let told: Value = serde_json::from_slice(&std::fs::read(ready)?)?;
        let at = |pointer: &str| told.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let to = at("/ways/0").parse().map_err(io::Error::other)?;
        Ok(Self { to, metrics: format!("http://{}/metrics", at("/metrics")), _running: running })
    }
}

/// What the HIS saw.
#[derive(Default)]
struct Down {
    seen: Seen,
    /// Requests without a whole answer.
    failed: AtomicU64,
    /// The latest that a message was sent after its time.
    late_ms: AtomicU64,
}

/// Plays the day: every message at its time through the relay, everybody at their window.
fn play(
    script: &Arc<Script>,
    stage: &Stage,
    to: std::net::SocketAddr,
    begun: Instant,
) -> io::Result<Arc<Down>> {
    let (down, sent) = (Arc::new(Down::default()), Arc::new(AtomicUsize::new(0)));
    let mut terminals = Vec::new();
    for lane in 0..(script.day.windows + 1) * LANES {
        let (script, down, sent) = (Arc::clone(script), Arc::clone(&down), Arc::clone(&sent));
        let terminal = move || terminal(&script, lane, to, begun, &down, &sent);
        terminals.push(std::thread::Builder::new().stack_size(256 * 1024).spawn(terminal)?);
    }
    let mut told = Instant::now();
    for (at, window, there) in &script.day.comings {
        std::thread::sleep((begun + *at).saturating_duration_since(Instant::now()));
        stage.comes(*window, *there)?;
        if told.elapsed() > Duration::from_secs(2) {
            told = Instant::now();
            eprint!("\rmessage {}/{}   ", sent.load(Ordering::Relaxed), script.day.events.len());
        }
    }
    for terminal in terminals {
        terminal.join().map_err(|_| io::Error::other("a terminal of the HIS panicked"))?;
    }
    std::thread::sleep((begun + script.day.ends + CLOSING).saturating_duration_since(Instant::now()));
    Ok(down)
}

/// One connection of a window: the messages that fall to it, each at its time.
fn terminal(
    script: &Script,
    lane: usize,
    to: std::net::SocketAddr,
    begun: Instant,
    down: &Down,
    sent: &AtomicUsize,
) {
    let mut asking = Asking::new(to);
    let mut nth = 0;
    for (number, event) in script.day.events.iter().enumerate() {
        let here = script.day.settlements.get(event.about).is_some_and(|s| s.window == lane / LANES);
        nth += usize::from(here);
        if !here || nth % LANES != lane % LANES {
            continue;
        }
        let Some(made) = script.exchange(number as u64) else { continue };
        let due = begun + event.due;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        down.late_ms.fetch_max(due.elapsed().as_millis() as u64, Ordering::Relaxed);
        let failed = asking.ask(&made, &down.seen).is_err();
        down.failed.fetch_add(u64::from(failed), Ordering::Relaxed);
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

fn table(day: &Day, account: &account::Account) {
    let kinds = day.kinds();
    eprintln!("{:<24} {:>6}  must be", "planned", "");
    for (kind, _, expected) in KINDS {
        eprintln!("{:<24} {:>6}  {expected}", format!("{kind:?}"), kinds.get(&kind).copied().unwrap_or(0));
    }
    for (what, n) in &account.surprises {
        eprintln!("came instead: {n:>6} {what}");
    }
    for msgid in account.unaccounted.iter().take(20) {
        eprintln!("unaccounted for: {msgid}");
    }
}

/// Processor time of a process, in seconds.
fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which is in brackets: state is the first, times are 12 and 13.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |n: usize| fields.get(n)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}
