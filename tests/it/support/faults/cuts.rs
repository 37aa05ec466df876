//! `kill -9` of the agent and of the bureau, at random moments and planted at
//! their system calls.
//!
//! Planted cuts need nothing in the programs: a tracer kills the process at the
//! K-th call of one kind that any of its threads makes, either before the call
//! is made or after it is made and before the program learns of it. K goes over
//! the whole range that a first, watched life shows. One world outlives many
//! cuts, so that one chain grows through all of them.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::super::hospital::Wishes;
use super::dice::Dice;
use super::oracle::Findings;
use super::process::{Process, Started, Starting, Wrap, was_killed};
use super::world::{Desk, Place, World};

/// A world is looked over and left for a new one after so many cuts.
const CUTS_IN_A_WORLD: u64 = 120;
/// The longest that an agent works before it is cut at the latest, on a machine
/// that starts it in [`USUAL_START`]; longer on a slower one, or it would be cut
/// before it has done anything.
const LIFE: Duration = Duration::from_millis(2200);
const USUAL_START: Duration = Duration::from_millis(800);
/// A tracer holds a call that was made for so long; the cut comes within it.
const HELD_US: u64 = 3_000_000;
/// Between two settlements.
const PACE: Duration = Duration::from_millis(150);

/// Calls at which a cut is planted: commit, sync, append, send, receive, tidy.
const AGENT_CALLS: &[&str] = &[
    "fsync",
    "fdatasync",
    "pwrite64",
    "write",
    "ftruncate",
    "unlink",
    "rename",
    "sendto",
    "writev",
    "sendmsg",
    "recvfrom",
];
const BUREAU_CALLS: &[&str] =
    &["fsync", "fdatasync", "pwrite64", "ftruncate", "unlink", "sendto", "writev", "sendmsg", "recvfrom"];

/// Where a life ends.
#[derive(Debug, Clone)]
enum Plan {
    /// At this moment after its start.
    Moment(Duration),
    /// Before the K-th such call of a thread is made.
    Before(&'static str, u64),
    /// After it is made, before the program knows.
    After(&'static str, u64),
}

impl Plan {
    fn wrap(&self, trace: PathBuf) -> Wrap {
        let options = |call: &str, what: String| {
            let _ = fs::remove_file(&trace);
            Wrap::strace(&trace, &["-e".into(), format!("trace={call}"), "-e".into(), what])
        };
        match self {
            Self::Moment(_) => Wrap::default(),
            Self::Before(call, k) => options(call, format!("inject={call}:signal=KILL:when={k}")),
            Self::After(call, k) => options(call, format!("inject={call}:delay_exit={HELD_US}:when={k}")),
        }
    }

    fn name(&self, who: &str) -> String {
        match self {
            Self::Moment(_) => format!("{who} at random"),
            Self::Before(call, _) => format!("{who} before {call}"),
            Self::After(call, _) => format!("{who} after {call}"),
        }
    }
}

/// How often each call is made by one thread at most, in one life.
type Census = BTreeMap<&'static str, u64>;

/// What a campaign has seen.
#[derive(Default)]
pub struct Campaign {
    /// Cuts by where they fell.
    pub cuts: BTreeMap<String, u64>,
    /// From start to ready, of starts that nothing slowed.
    pub restarts: Vec<Duration>,
    /// What the oracle found.
    pub findings: Findings,
}

impl Campaign {
    /// How many.
    pub fn total(&self) -> u64 {
        self.cuts.values().sum()
    }

    /// Those that were planted at a call.
    pub fn planted(&self) -> u64 {
        self.cuts.iter().filter(|(k, _)| !k.ends_with("at random")).map(|(_, n)| n).sum()
    }

    /// Joins two.
    pub fn add(&mut self, other: Self) {
        for (name, n) in other.cuts {
            *self.cuts.entry(name).or_default() += n;
        }
        self.restarts.extend(other.restarts);
        self.findings.add(other.findings);
    }
}

/// Cuts `wanted` times in worlds made one after the other under `dir`.
///
/// # Errors
/// If a program does not start again, or a world cannot be made.
pub async fn campaign(
    dir: &Path,
    place: &Place,
    wanted: u64,
    seed: u64,
    mut progress: impl FnMut(u64),
) -> io::Result<Campaign> {
    let mut dice = Dice::new(seed);
    let mut all = Campaign::default();
    let mut n = 0;
    while all.total() < wanted {
        n += 1;
        // Every third world holds its mismatches for a moment before they are signed.
        let hold_ms = if n % 3 == 0 { 400 } else { 0 };
        let wishes = Wishes { hold_ms, before_ms: 600, after_ms: 200, ..Wishes::default() };
        let folder = dir.join(format!("cuts{seed}x{n}"));
        let world = World::open(&folder, place, &wishes).await?;
        let until = (all.total() + CUTS_IN_A_WORLD).min(wanted) - all.total();
        let mut run = Run::new(world, dice.any());
        let done = all.total();
        run.cut(until, |so_far| progress(done + so_far)).await?;
        let campaign = run.end().await?;
        if campaign.findings.clean() {
            let _ = fs::remove_dir_all(&folder);
        }
        all.add(campaign);
    }
    Ok(all)
}

/// One world under the knife.
struct Run {
    world: World,
    dice: Dice,
    cuts: BTreeMap<String, u64>,
    agent_census: Census,
    bureau_census: Census,
    requests: JoinSet<()>,
    next: Instant,
    /// [`LIFE`] on this machine.
    life: Duration,
    /// When to take back which settlement.
    to_cancel: VecDeque<(Instant, String)>,
}

impl Run {
    fn new(world: World, seed: u64) -> Self {
        Self {
            world,
            dice: Dice::new(seed),
            cuts: BTreeMap::new(),
            agent_census: Census::new(),
            bureau_census: Census::new(),
            requests: JoinSet::new(),
            next: Instant::now(),
            life: LIFE,
            to_cancel: VecDeque::new(),
        }
    }

    fn count(&mut self, plan: &Plan, who: &str) {
        *self.cuts.entry(plan.name(who)).or_default() += 1;
    }

    async fn cut(&mut self, wanted: u64, mut progress: impl FnMut(u64)) -> io::Result<()> {
        self.watch().await?;
        let total = |cuts: &BTreeMap<String, u64>| cuts.values().sum::<u64>();
        while total(&self.cuts) < wanted {
            let plan = self.plan(AGENT_CALLS, &self.agent_census.clone());
            let wrap = plan.wrap(self.world.path("agent.trace"));
            let starting = self.world.begin_agent(&wrap)?;
            if let Some(starting) = self.start(starting, &plan).await? {
                self.live(starting, &plan).await?;
            }
            progress(total(&self.cuts));
        }
        Ok(())
    }

    async fn end(mut self) -> io::Result<Campaign> {
        while self.requests.join_next().await.is_some() {}
        let findings = self.world.peace().await?;
        let restarts = std::mem::take(&mut self.world.restarts);
        Ok(Campaign { cuts: self.cuts, restarts, findings })
    }

    /// One life of both programs that is only watched.
    async fn watch(&mut self) -> io::Result<()> {
        self.world.kill_bureau();
        let agent_trace = self.world.path("agent.trace");
        let bureau_trace = self.world.path("bureau.trace");
        let only = |trace: &Path, calls: &[&str]| {
            Wrap::strace(trace, &["-e".into(), format!("trace={}", calls.join(","))])
        };
        self.world.start_bureau(&only(&bureau_trace, BUREAU_CALLS)).await?;
        let took = self.world.start_agent(&only(&agent_trace, AGENT_CALLS)).await?;
        let slower = took.as_secs_f64() / USUAL_START.as_secs_f64();
        self.life = LIFE.mul_f64(slower.clamp(1.0, 3.0));
        let desk = self.world.desk()?;
        let begun = Instant::now();
        while begun.elapsed() < self.life {
            self.work(&desk);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.world.kill_agent();
        self.world.kill_bureau();
        self.agent_census = census(&agent_trace, AGENT_CALLS)?;
        self.bureau_census = census(&bureau_trace, BUREAU_CALLS)?;
        self.world.start_bureau(&Wrap::default()).await
    }

    fn plan(&mut self, calls: &'static [&'static str], census: &Census) -> Plan {
        let seen: Vec<&'static str> = calls.iter().copied().filter(|c| census.contains_key(c)).collect();
        let at_random = self.dice.chance(20);
        match self.dice.one(&seen).copied() {
            Some(call) if !at_random => {
                // Low numbers more often: a thread that is new counts from one again.
                let most = self.dice.below(census.get(call).copied().unwrap_or(1)) + 1;
                let k = 1 + self.dice.below(most);
                if self.dice.chance(50) { Plan::Before(call, k) } else { Plan::After(call, k) }
            }
            _ => Plan::Moment(self.dice.within(self.life)),
        }
    }

    /// Waits for the agent to be ready; cut on the way, it was cut in its recovery.
    async fn start(&mut self, mut starting: Starting, plan: &Plan) -> io::Result<Option<Process>> {
        loop {
            if starting.process().held_after_a_call() {
                starting.process().kill();
            }
            starting = match starting.look()? {
                Ok(Started::Ready(process, took, ready)) => {
                    self.world.agent_is(process, took, &ready);
                    return Ok(self.world.agent.take());
                }
                Ok(Started::Died(status)) if was_killed(status) => {
                    self.count(plan, "agent");
                    return Ok(None);
                }
                Ok(Started::Died(status)) if told_to_end(status) => return Ok(None),
                Ok(Started::Died(status)) => return Err(self.world.died("agent", status)),
                Err(still) => still,
            };
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
    }

    /// The agent works, the bureau is cut once or twice meanwhile, then the
    /// agent is cut.
    async fn live(&mut self, mut agent: Process, plan: &Plan) -> io::Result<()> {
        let desk = self.world.desk()?;
        for body in self.world.ledger.again() {
            let desk = desk.clone();
            self.requests.spawn(async move { _ = desk.settle(body).await });
        }
        let begun = Instant::now();
        let last = if let Plan::Moment(at) = plan { *at } else { self.life };
        let mut bureau_plan = self.bureau_plan().await?;
        let mut bureau_begun = Instant::now();
        let mut bureau_cuts = 1 + self.dice.below(2);
        loop {
            if agent.held_after_a_call() || agent.ended()?.is_some() {
                agent.kill();
                match agent.ended()? {
                    Some(status) if told_to_end(status) => {}
                    Some(status) if !was_killed(status) => return Err(self.world.died("agent", status)),
                    _ => self.count(plan, "agent"),
                }
                return Ok(());
            }
            if begun.elapsed() >= last {
                agent.kill();
                // A planted cut that this life did not reach fell at the end of it.
                self.count(&Plan::Moment(last), "agent");
                return Ok(());
            }
            if bureau_cuts > 0 && self.bureau_fell(&bureau_plan, bureau_begun)? {
                self.count(&bureau_plan, "bureau");
                bureau_cuts -= 1;
                bureau_plan = self.bureau_plan().await?;
                bureau_begun = Instant::now();
            }
            self.work(&desk);
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
    }

    /// Starts the bureau with its next end planned; one that falls while it
    /// starts is counted and started again.
    async fn bureau_plan(&mut self) -> io::Result<Plan> {
        self.world.kill_bureau();
        for _ in 0..8 {
            let plan = self.plan(BUREAU_CALLS, &self.bureau_census.clone());
            let mut starting = self.world.begin_bureau(&plan.wrap(self.world.path("bureau.trace")))?;
            loop {
                if starting.process().held_after_a_call() {
                    starting.process().kill();
                }
                starting = match starting.look()? {
                    Ok(Started::Ready(process, ..)) => {
                        self.world.bureau = Some(process);
                        return Ok(plan);
                    }
                    Ok(Started::Died(status)) if was_killed(status) => {
                        self.count(&plan, "bureau");
                        break;
                    }
                    Ok(Started::Died(status)) if told_to_end(status) => break,
                    Ok(Started::Died(status)) => return Err(self.world.died("bureau", status)),
                    Err(still) => still,
                };
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
        }
        self.world.start_bureau(&Wrap::default()).await?;
        Ok(Plan::Moment(self.life))
    }

    fn bureau_fell(&mut self, plan: &Plan, begun: Instant) -> io::Result<bool> {
        let Some(bureau) = self.world.bureau.as_mut() else { return Ok(false) };
        let time = matches!(plan, Plan::Moment(at) if begun.elapsed() >= *at / 2);
        if time || bureau.held_after_a_call() || bureau.ended()?.is_some() {
            bureau.kill();
            return match bureau.ended()? {
                Some(status) if told_to_end(status) => Ok(false),
                Some(status) if !was_killed(status) => Err(self.world.died("bureau", status)),
                _ => Ok(true),
            };
        }
        Ok(false)
    }

    /// Settles and cancels as a window does, only faster.
    fn work(&mut self, desk: &Desk) {
        while self.requests.try_join_next().is_some() {}
        let now = Instant::now();
        while self.to_cancel.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, id)) = self.to_cancel.pop_front() else { break };
            let desk = desk.clone();
            self.requests.spawn(async move { _ = desk.cancel(&id).await });
        }
        if now < self.next {
            return;
        }
        self.next = now + PACE;
        // Mostly a stranger with PA's card; the cardholder PB cuts neighbours, so seldom.
        let (counter, cardholder) = match self.dice.below(12) {
            0 => ("w02", "PA"),
            1 => ("w02", "P-NEW"),
            2 => ("w01", "PB"),
            _ => ("w01", "PA"),
        };
        let body = self.world.settlement(counter, cardholder);
        if self.dice.chance(15) {
            let id = body.get("settlement_id").and_then(|v| v.as_str()).unwrap_or_default().to_owned();
            let later = now + self.dice.within(Duration::from_millis(1500));
            self.to_cancel.push_back((later, id));
        }
        let desk = desk.clone();
        self.requests.spawn(async move { _ = desk.settle(body).await });
    }
}

/// A tracer that gives up (strace does, on two delays at once) tells its program
/// to end with SIGTERM. That is no cut, and not counted as one.
fn told_to_end(status: ExitStatus) -> bool {
    status.success() || status.signal() == Some(15)
}

/// Counts a trace's calls: the most of one kind by one thread.
fn census(trace: &Path, calls: &[&'static str]) -> io::Result<Census> {
    let text = String::from_utf8_lossy(&fs::read(trace)?).into_owned();
    let mut by_thread: BTreeMap<(&str, &'static str), u64> = BTreeMap::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(call) = calls.iter().find(|c| rest.strip_prefix(**c).is_some_and(|r| r.starts_with('(')))
        {
            *by_thread.entry((thread, call)).or_default() += 1;
        }
    }
    let mut most = Census::new();
    for ((_, call), n) in by_thread {
        let entry = most.entry(call).or_default();
        *entry = n.max(*entry);
    }
    Ok(most)
}
