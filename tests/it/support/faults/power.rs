//! A power cut: what the disk may hold at any moment of a recorded life, and
//! the real agent started on it.
//!
//! One life of the agent is recorded, from an empty state folder on: every
//! write, truncation, rename, unlink, new file and sync under that folder, and
//! the answers to the HIS, in their order. A cut falls between two of them. What
//! was synced before it is there; of what was not, any part may be. The model,
//! stricter than ext4 with its defaults:
//!
//! - A sync of a file makes its content durable, and its entry in the folder.
//! - Entries that were not synced survive as a prefix, in the order in which
//!   they were changed: file systems that keep a journal do that.
//! - Unsynced writes survive in any combination, each torn at 512-byte sectors,
//!   in their order or in none. A lost one may leave zeros.
//! - A truncation that was not synced may be undone.
//!
//! Memory-mapped pages (SQLite's `-shm`) are left out: SQLite builds that file
//! anew. A disk that loses what it said it had synced is not in the model.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::hospital::Wishes;
use super::dice::Dice;
use super::oracle::{self, Findings};
use super::process::Wrap;
use super::trace::{self, Step};
use super::world::{Place, World};

const SECTOR: usize = 512;
/// How long the recorded agent works at least, and at most.
const LIFE: Duration = Duration::from_secs(6);
const LONGEST_LIFE: Duration = Duration::from_secs(60);
/// Events without which a life is not worth recording.
const EVENTS: usize = 4;
/// How long a restarted agent may take to have told everything.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same where things are bound to be missing.
const SHORT: Duration = Duration::from_secs(3);

/// A change of a file that no sync has covered.
#[derive(Debug, Clone)]
enum Pending {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// A file: what is durable of it, and what is not.
#[derive(Debug, Clone, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Pending>,
    /// Where the next plain `write` goes.
    position: usize,
    length: usize,
    /// Opened so that every plain `write` goes to its end.
    append: bool,
}

impl File {
    fn sync(&mut self) {
        for p in std::mem::take(&mut self.pending) {
            apply(&mut self.durable, &p);
        }
    }

    /// What the disk may hold of it now.
    fn survivor(&self, dice: &mut Dice) -> Vec<u8> {
        let mut content = self.durable.clone();
        for p in &self.pending {
            match p {
                Pending::Length(_) if dice.chance(50) => apply(&mut content, p),
                Pending::Length(_) => {}
                Pending::Write(at, bytes) => tear(&mut content, *at, bytes, dice),
            }
        }
        content
    }
}

fn apply(content: &mut Vec<u8>, pending: &Pending) {
    match pending {
        Pending::Length(n) => content.resize(*n, 0),
        Pending::Write(at, bytes) => {
            if content.len() < at + bytes.len() {
                content.resize(at + bytes.len(), 0);
            }
            content[*at..at + bytes.len()].copy_from_slice(bytes);
        }
    }
}

/// Writes all, none, a first part, or any sectors of it.
fn tear(content: &mut Vec<u8>, at: usize, bytes: &[u8], dice: &mut Dice) {
    // Sectors are the disk's, not the write's.
    let mut sectors = Vec::new();
    let mut from = 0;
    while from < bytes.len() {
        let to = (((at + from) / SECTOR + 1) * SECTOR - at).min(bytes.len());
        sectors.push(from..to);
        from = to;
    }
    let first = dice.below(sectors.len() as u64 + 1) as usize;
    let any = dice.chance(40);
    for (n, sector) in sectors.into_iter().enumerate() {
        let survives = if any { dice.chance(50) } else { n < first };
        if survives {
            apply(content, &Pending::Write(at + sector.start, bytes[sector].to_vec()));
        }
    }
    // The length may be there without the content.
    if dice.chance(30) && content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
}

/// A change of a folder's entries that no sync has covered.
#[derive(Debug, Clone)]
enum Entry {
    Made(PathBuf, usize),
    Gone(PathBuf),
    Moved(PathBuf, PathBuf),
    Folder(PathBuf),
}

/// A state folder as a disk that may lose its power sees it.
#[derive(Debug, Clone, Default)]
struct Disk {
    files: Vec<File>,
    /// By name, as the running programs see it.
    now: BTreeMap<PathBuf, usize>,
    /// By name, as the disk has it.
    durable: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
    entries: Vec<Entry>,
}

impl Disk {
    fn file(&mut self, path: &Path) -> Option<&mut File> {
        let i = *self.now.get(path)?;
        self.files.get_mut(i)
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Open { path, truncate, append } => self.open(path, *truncate, *append),
            Step::Folder(path) => self.entries.push(Entry::Folder(path.clone())),
            Step::Write { path, at, bytes } => {
                let Some(f) = self.file(path) else { return };
                let at = at.unwrap_or(if f.append { f.length } else { f.position });
                f.position = at + bytes.len();
                f.length = f.length.max(f.position);
                f.pending.push(Pending::Write(at, bytes.clone()));
            }
            Step::Seek { path, to } => {
                if let Some(f) = self.file(path) {
                    f.position = *to;
                }
            }
            Step::Length { path, to } => {
                if let Some(f) = self.file(path) {
                    f.length = *to;
                    f.pending.push(Pending::Length(*to));
                }
            }
            Step::Sync(path) => self.sync(path),
            Step::Remove(path) => {
                self.now.remove(path);
                self.entries.push(Entry::Gone(path.clone()));
            }
            Step::Rename(from, to) => {
                if let Some(i) = self.now.remove(from) {
                    self.now.insert(to.clone(), i);
                    self.entries.push(Entry::Moved(from.clone(), to.clone()));
                }
            }
            Step::Answer { .. } | Step::Log(_) => {}
        }
    }

    fn open(&mut self, path: &Path, truncate: bool, append: bool) {
        match self.now.get(path).copied() {
            None => {
                self.files.push(File::default());
                let i = self.files.len() - 1;
                self.now.insert(path.to_owned(), i);
                self.entries.push(Entry::Made(path.to_owned(), i));
            }
            Some(i) => {
                if let Some(f) = self.files.get_mut(i)
                    && truncate
                {
                    f.length = 0;
                    f.pending.push(Pending::Length(0));
                }
            }
        }
        if let Some(f) = self.file(path) {
            f.position = 0;
            f.append = append;
        }
    }

    /// A file with its own entry, or a folder with all entries in it.
    fn sync(&mut self, path: &Path) {
        if let Some(f) = self.file(path) {
            f.sync();
            let upto = self.entries.iter().rposition(
                |e| matches!(e, Entry::Made(p, _) | Entry::Moved(_, p) | Entry::Folder(p) if p == path),
            );
            if let Some(n) = upto {
                self.commit(n + 1);
            }
            return;
        }
        self.commit(self.entries.len());
    }

    fn commit(&mut self, n: usize) {
        let rest = self.entries.split_off(n);
        for e in std::mem::replace(&mut self.entries, rest) {
            enter(&mut self.durable, &mut self.folders, e);
        }
    }

    /// Writes what may have survived into a folder.
    fn survive(&self, to: &Path, dice: &mut Dice) -> io::Result<()> {
        let (mut names, mut folders) = (self.durable.clone(), self.folders.clone());
        let kept = dice.below(self.entries.len() as u64 + 1) as usize;
        for e in self.entries.iter().take(kept) {
            enter(&mut names, &mut folders, e.clone());
        }
        fs::create_dir_all(to)?;
        for folder in &folders {
            fs::create_dir_all(to.join(folder))?;
        }
        for (name, i) in names {
            if name.to_string_lossy().ends_with("-shm") {
                continue;
            }
            let Some(file) = self.files.get(i) else { continue };
            let path = to.join(name);
            path.parent().map(fs::create_dir_all).transpose()?;
            fs::write(path, file.survivor(dice))?;
        }
        Ok(())
    }
}

fn enter(names: &mut BTreeMap<PathBuf, usize>, folders: &mut BTreeSet<PathBuf>, entry: Entry) {
    match entry {
        Entry::Made(path, i) => {
            names.insert(path, i);
        }
        Entry::Gone(path) => {
            names.remove(&path);
        }
        Entry::Moved(from, to) => {
            if let Some(i) = names.remove(&from) {
                names.insert(to, i);
            }
        }
        Entry::Folder(path) => {
            folders.insert(path);
        }
    }
}

/// A recorded life: its steps, and which answers they were.
struct Recording {
    world: World,
    steps: Vec<Step>,
    /// The HIS's requests in the order of their answers: settlement, cancelled.
    answers: Vec<(String, bool)>,
}

/// What the cuts of a recorded life came to.
#[derive(Debug, Default)]
pub struct PowerCuts {
    /// States that an agent was started on.
    pub states: u64,
    /// What the oracle found in them.
    pub findings: Findings,
    /// States on which the agent did not start, with its last words.
    pub dead: Vec<String>,
    /// Torn ends that the agent repaired and recorded.
    pub repaired: u64,
}

/// Records one life and cuts its power `wanted` times.
///
/// # Errors
/// If the world cannot be made; a state that the agent does not start on is a
/// finding, not an error.
pub async fn power_cuts(
    dir: &Path,
    place: &Place,
    wanted: u64,
    seed: u64,
    mut progress: impl FnMut(u64) + Send,
) -> io::Result<PowerCuts> {
    cut(dir, place, wanted, seed, false, &mut progress).await
}

/// The same on a disk that forgets what it said it had synced: the harness must
/// find that things are lost.
///
/// # Errors
/// As [`power_cuts`].
pub async fn lying_disk(dir: &Path, place: &Place, wanted: u64, seed: u64) -> io::Result<PowerCuts> {
    cut(dir, place, wanted, seed, true, &mut |_| {}).await
}

async fn cut(
    dir: &Path,
    place: &Place,
    wanted: u64,
    seed: u64,
    lies: bool,
    progress: &mut (dyn FnMut(u64) + Send),
) -> io::Result<PowerCuts> {
    let mut recording = record(dir, place).await?;
    let mut dice = Dice::new(seed);
    let mut out = PowerCuts::default();
    let template = recording.world.path("bureau.empty");
    while out.states < wanted {
        let cut = moment(&recording.steps, &mut dice);
        recording.world.kill_agent();
        recording.world.kill_bureau();
        let state = recording.world.state();
        let _ = fs::remove_dir_all(&state);
        let mut disk = Disk::default();
        let honest = |s: &&Step| {
            !(lies
                && matches!(s, Step::Sync(p) if p.extension().is_some_and(|e| e == "db-wal" || e == "log" || e == "jsonl")))
        };
        recording.steps.iter().take(cut).filter(honest).for_each(|s| disk.take(s));
        disk.survive(&state, &mut dice)?;
        let kept = recording.world.path(&format!("cut-{}", out.states));
        super::world::copy_folder(&state, &kept)?;
        for file in ["bureau.db", "bureau.db-wal", "bureau.db-shm"] {
            let _ = fs::remove_file(recording.world.path(file));
        }
        fs::copy(&template, recording.world.path("bureau.db"))?;
        out.states += 1;
        match restart(&mut recording, cut, if lies { SHORT } else { PATIENCE }).await {
            Ok((findings, repaired)) => {
                out.repaired += repaired;
                if findings.clean() {
                    let _ = fs::remove_dir_all(&kept);
                }
                out.findings.add(findings);
            }
            Err(e) => out.dead.push(format!("cut {cut} ({}): {e}", kept.display())),
        }
        progress(out.states);
    }
    Ok(out)
}

/// A moment to cut at: more often than not just after a write that no sync has
/// covered yet, where there is something to tear; each file as often as any
/// other, however rarely it is written.
fn moment(steps: &[Step], dice: &mut Dice) -> usize {
    let mut writes: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
    for (i, step) in steps.iter().enumerate() {
        if let Step::Write { path, .. } = step {
            writes.entry(path).or_default().push(i + 1);
        }
    }
    let any = dice.below(steps.len() as u64 + 1) as usize;
    let files: Vec<&Vec<usize>> = writes.values().collect();
    let after_a_write = dice.one(&files).and_then(|w| dice.one(w)).copied();
    if dice.chance(70) { after_a_write.unwrap_or(any) } else { any }
}

async fn record(dir: &Path, place: &Place) -> io::Result<Recording> {
    let wishes = Wishes { before_ms: 600, after_ms: 200, ..Wishes::default() };
    let mut world = World::open(dir, place, &wishes).await?;
    // A bureau that knows the box and holds nothing, for the restarts.
    if let Some(bureau) = world.bureau.as_mut() {
        bureau.terminate()?;
    }
    // A bureau that was told to end while it was busy leaves its last words in the write-ahead log.
    rusqlite::Connection::open(world.path("bureau.db"))
        .and_then(|c| c.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())))
        .map_err(io::Error::other)?;
    fs::copy(world.path("bureau.db"), world.path("bureau.empty"))?;
    world.start_bureau(&Wrap::default()).await?;
    let _ = fs::remove_dir_all(world.state());
    let file = world.path("power.trace");
    let options = ["-y", "-xx", "-s", "1048576", "-e", trace::CALLS].map(str::to_owned);
    world.start_agent(&Wrap::strace(&file, &options)).await?;
    let desk = world.desk()?;
    let begun = Instant::now();
    let mut answers = Vec::new();
    let mut n = 0;
    while begun.elapsed() < LIFE || (world.committed()? < EVENTS && begun.elapsed() < LONGEST_LIFE) {
        n += 1;
        let body = world.settlement(if n % 5 == 0 { "w02" } else { "w01" }, "PA");
        let id = body.get("settlement_id").and_then(|v| v.as_str()).unwrap_or_default().to_owned();
        if desk.settle(body).await == Some(202) {
            answers.push((id, false));
        }
        // Some are cancelled later, when their alert may be out.
        if n % 4 == 0 {
            let earlier = answers.get(answers.len().saturating_sub(6)).map(|(id, _)| id.clone());
            if let Some(id) = earlier.filter(|id| !answers.contains(&(id.clone(), true)))
                && desk.cancel(&id).await == Some(204)
            {
                answers.push((id, true));
            }
        }
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    world.kill_agent();
    let steps = trace::read(&file, &world.hospital.dir, &world.state())?;
    let _ = fs::remove_file(file);
    let answered = steps.iter().filter(|s| matches!(s, Step::Answer { .. })).count();
    if answered != answers.len() {
        let what = format!("the trace holds {answered} answers, the HIS had {}", answers.len());
        return Err(io::Error::other(what));
    }
    Ok(Recording { world, steps, answers })
}

/// Starts the agent on what survived and checks what was acknowledged before.
async fn restart(recording: &mut Recording, cut: usize, patience: Duration) -> io::Result<(Findings, u64)> {
    let before = recording.steps.get(..cut).unwrap_or_default();
    let answered = before.iter().filter(|s| matches!(s, Step::Answer { .. })).count();
    let answers = recording.answers.get(..answered).unwrap_or_default();
    let of = |cancelled: bool| answers.iter().filter(move |(_, c)| *c == cancelled).map(|(id, _)| id.clone());
    let ledger = recording.world.ledger.as_of(&of(false).collect(), &of(true).collect());
    // An event that was sent before the cut must not come again as another.
    let delivered: BTreeSet<&str> = before
        .iter()
        .filter_map(|s| if let Step::Log(delivered) = s { Some(delivered.as_str()) } else { None })
        .collect();
    recording.world.start_bureau(&Wrap::default()).await?;
    recording.world.start_agent(&Wrap::default()).await?;
    let deadline = Instant::now() + patience;
    loop {
        let history = [oracle::audit_records(&recording.world.state())?];
        let held = recording.world.held()?;
        let mut findings = ledger.check(&history, &held);
        let gone = delivered.iter().filter(|id| !held.iter().any(|h| h.id == **id));
        findings.events_missing.extend(gone.map(|id| format!("{id} (sent before the cut)")));
        if findings.clean() || Instant::now() > deadline {
            let repaired = history.iter().flatten().filter(|r| r.kind == "torn_tail_repaired").count();
            return Ok((findings, repaired as u64));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
