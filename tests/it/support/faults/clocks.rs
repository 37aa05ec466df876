//! The box's wall clock: a year ahead, a year behind, stepping while it runs,
//! and a month without the bureau.
//!
//! The agent runs under libfaketime, which turns the wall clock and leaves the
//! time since boot alone: that is what a wrong or corrected clock looks like.
//! The bureau and the HIS keep the real time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::super::hospital::Wishes;
use super::process::Wrap;
use super::proxy::{Fault, Proxy};
use super::world::{Place, World, until};
use super::{Extent, Outcome, must};

const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;

/// A clock beside the real one.
struct Turned {
    file: PathBuf,
}

impl Turned {
    fn new(world: &World) -> io::Result<Self> {
        let turned = Self { file: world.path("faketime") };
        turned.to(0)?;
        Ok(turned)
    }

    /// So many seconds from the real time, from now on.
    fn to(&self, seconds: i64) -> io::Result<()> {
        // In one step: a half-written file would be a time of its own.
        let part = self.file.with_extension("part");
        fs::write(&part, format!("{seconds:+}\n"))?;
        fs::rename(part, &self.file)
    }

    fn wrap(&self) -> io::Result<Wrap> {
        let library = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"]
            .map(|d| Path::new(d).join(LIBRARY));
        let found = library.iter().find(|p| p.exists());
        let found = found.ok_or_else(|| io::Error::other("libfaketime is missing: run scripts/packages"))?;
        Ok(Wrap::default()
            .with("LD_PRELOAD", found.to_string_lossy())
            .with("FAKETIME_TIMESTAMP_FILE", self.file.to_string_lossy())
            .with("FAKETIME_NO_CACHE", "1")
            .with("FAKETIME_DONT_FAKE_MONOTONIC", "1"))
    }
}

async fn open(dir: &Path, place: &Place) -> io::Result<(World, Turned)> {
    let wishes = Wishes { before_ms: 600, after_ms: 200, ..Wishes::default() };
    let world = World::open(dir, place, &wishes).await?;
    // A notice posted "tomorrow" by a clock that is behind would keep the agent from starting.
    world.edit("counterproof.toml", "posted_on = \"2026-01-01\"", "posted_on = \"2020-01-01\"")?;
    let turned = Turned::new(&world)?;
    Ok((world, turned))
}

/// Settles once by the HIS's right time and once by the box's wrong one, and
/// waits for both verdicts.
async fn both_times(world: &mut World, offset: i64) -> io::Result<Vec<(String, String)>> {
    let desk = world.desk()?;
    let right = world.settlement("w01", "PA");
    let mut wrong = world.settlement("w01", "PA");
    let shifted = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(offset);
    if let Some(at) = wrong.get_mut("occurred_at") {
        *at = Value::from(shifted.to_string());
    }
    let mut ids = Vec::new();
    for body in [right, wrong] {
        ids.push(body.get("settlement_id").and_then(Value::as_str).unwrap_or_default().to_owned());
        let answer = desk.settle(body).await;
        must(answer == Some(202), || format!("with the clock {offset} s off, intake answered {answer:?}"))?;
    }
    until("both verdicts", Duration::from_secs(30), async || {
        let all = world.histories()?;
        let of = |id: &String| {
            let r = all.iter().flatten().find(|r| r.kind == "verdict" && r.text("settlement") == id)?;
            Some((r.text("verdict").to_owned(), r.text("reason").to_owned()))
        };
        Ok(ids.iter().map(of).collect::<Option<Vec<_>>>())
    })
    .await
}

/// Forward and back by a year, while running and across restarts.
pub async fn clock_steps(dir: &Path, place: &Place, extent: Extent) -> io::Result<Outcome> {
    let (mut world, turned) = open(dir, place).await?;
    world.start_agent(&turned.wrap()?).await?;
    world.alert().await?;
    let steps: &[i64] =
        if extent == Extent::Full { &[YEAR, -YEAR, 90, -90, 0, 2 * DAY, 0] } else { &[YEAR, -YEAR, 0] };
    let mut uncertain = 0u64;
    for (n, offset) in steps.iter().enumerate() {
        turned.to(*offset)?;
        if n % 2 == 1 {
            // Every second one is met by a restart instead.
            world.kill_agent();
            world.start_agent(&turned.wrap()?).await?;
            // Frames first: a window needs its past.
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        let verdicts = both_times(&mut world, *offset).await?;
        uncertain += verdicts.iter().filter(|(_, reason)| reason == "clock_uncertain").count() as u64;
        if *offset != 0 {
            let (verdict, reason) = verdicts.first().cloned().unwrap_or_default();
            must(reason == "clock_uncertain", || {
                format!("the HIS's time and a clock {offset} s off gave {verdict}({reason})")
            })?;
            let mismatch = verdicts.iter().any(|(v, _)| v == "mismatch");
            must(!mismatch, || format!("a clock {offset} s off made a mismatch"))?;
        }
    }
    world.kill_agent();
    turned.to(0)?;
    world.start_agent(&turned.wrap()?).await?;
    let findings = world.settled().await?;
    world.kill_agent();
    Ok(Outcome::of(findings).figure("clock_uncertain", uncertain))
}

/// Thirty days without the bureau: alerts wait, and arrive.
pub async fn a_month_without_the_bureau(dir: &Path, place: &Place, extent: Extent) -> io::Result<Outcome> {
    let days: &[i64] = if extent == Extent::Full { &[1, 3, 7, 10, 15, 20, 25, 30] } else { &[10, 30] };
    wait_out(dir, place, days, DAY).await
}

/// The box's clock jumps a year ahead while alerts wait, across a restart:
/// a wrong clock is no reason to forget them.
pub async fn a_year_ahead_with_alerts_waiting(dir: &Path, place: &Place, _: Extent) -> io::Result<Outcome> {
    wait_out(dir, place, &[1], YEAR).await
}

async fn wait_out(dir: &Path, place: &Place, steps: &[i64], unit: i64) -> io::Result<Outcome> {
    let (mut world, turned) = open(dir, place).await?;
    let proxy = Proxy::before(&world).await?;
    world.start_agent(&turned.wrap()?).await?;
    proxy.queue(std::iter::repeat_n(Fault::Answer(503, None, ""), 10_000));
    for _ in 0..2 {
        world.alert().await?;
    }
    // The last of them may have been one more than was needed. Killed while it is held, it would
    // wait for a clock that the bureau confirms, which here never comes.
    until("a verdict for every settlement", Duration::from_secs(30), async || {
        Ok(world.check()?.verdicts_missing.is_empty().then_some(()))
    })
    .await?;
    let held = world.held()?.len();
    for step in steps {
        turned.to(step * unit)?;
        // A restart carries limits out at once.
        world.kill_agent();
        world.start_agent(&turned.wrap()?).await?;
        both_times(&mut world, step * unit).await?;
    }
    must(world.held()?.len() == held, || "an alert reached a bureau that was away".into())?;
    proxy.clear();
    let mut findings = world.settled().await?;
    // Given up by its limit is lost here: thirty days are below every limit, and a wrong clock is no limit.
    let expired = world.histories()?.iter().flatten().filter(|r| r.kind == "expiry_committed").count();
    findings.events_missing.extend((0..expired).map(|_| "an alert was purged unsent".to_owned()));
    world.kill_agent();
    Ok(Outcome::of(findings))
}
