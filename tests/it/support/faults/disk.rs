//! A disk that is full, read-only or failing, and no descriptors left: intake
//! says 503, what it accepted is kept, and after relief everything goes on by
//! itself.
//!
//! Full and read-only are real: the state folder is a small tmpfs of its own,
//! which needs root. I/O errors are given by a tracer that is attached to the
//! running agent and let go again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::super::hospital::Wishes;
use super::oracle;
use super::process::Wrap;
use super::world::{Desk, Place, World, until};
use super::{Extent, Outcome, must};

const A_WHILE: Duration = Duration::from_secs(40);

/// A small file system, unmounted when dropped.
struct Small {
    at: PathBuf,
}

impl Small {
    fn mount(at: &Path, megabytes: u32) -> io::Result<Self> {
        fs::create_dir_all(at)?;
        let options = format!("size={megabytes}m,mode=0700");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).status()?;
        must(status.success(), || {
            "a tmpfs cannot be mounted: run as root, or in a namespace: unshare -rm COMMAND".into()
        })?;
        Ok(Self { at: at.to_owned() })
    }

    fn remount(&self, how: &str) -> io::Result<()> {
        let status = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.at).status()?;
        must(status.success(), || format!("mount -o remount,{how} failed"))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

async fn open(dir: &Path, place: &Place) -> io::Result<World> {
    let wishes = Wishes { before_ms: 600, after_ms: 200, ..Wishes::default() };
    World::open(dir, place, &wishes).await
}

/// Settles until the answer is 503 and `/readyz` says so too.
async fn refused(world: &mut World, desk: &Desk) -> io::Result<()> {
    until("intake and readyz to answer 503", A_WHILE, async || {
        let body = world.settlement("w01", "PA");
        let answer = desk.settle(body).await;
        Ok((answer == Some(503) && desk.ready().await == Some(503)).then_some(()))
    })
    .await
}

/// After relief: accepts by itself, an alert goes through, nothing is lost.
async fn recovered(world: &mut World, desk: &Desk) -> io::Result<Outcome> {
    until("intake to accept again by itself", A_WHILE, async || {
        let body = world.settlement("w01", "PA");
        Ok((desk.settle(body).await == Some(202) && desk.ready().await == Some(200)).then_some(()))
    })
    .await?;
    world.alert().await?;
    let findings = world.settled().await?;
    must(world.agent.as_mut().is_some_and(|a| a.ended().is_ok_and(|e| e.is_none())), || {
        "the agent ended instead of waiting for relief".into()
    })?;
    let refused = findings.shed;
    Ok(Outcome::of(findings).figure("answered_503", refused))
}

/// No byte is left on the disk of the state folder.
pub async fn disk_full(dir: &Path, place: &Place, _: Extent) -> io::Result<Outcome> {
    let mut world = open(dir, place).await?;
    let disk = Small::mount(&world.state(), 8)?;
    world.start_agent(&Wrap::default()).await?;
    world.alert().await?;
    let desk = world.desk()?;
    let filler = disk.at.join("filler");
    {
        let mut file = File::create(&filler)?;
        while file.write_all(&[0; 4096]).is_ok() {}
        // What is left of a page.
        while file.write_all(&[0]).is_ok() {}
    }
    refused(&mut world, &desk).await?;
    fs::remove_file(filler)?;
    let outcome = recovered(&mut world, &desk).await?;
    world.kill_agent();
    Ok(outcome)
}

/// The disk of the state folder is read-only, as after an error of its own.
pub async fn disk_read_only(dir: &Path, place: &Place, _: Extent) -> io::Result<Outcome> {
    let mut world = open(dir, place).await?;
    let disk = Small::mount(&world.state(), 8)?;
    world.start_agent(&Wrap::default()).await?;
    world.alert().await?;
    world.settled().await?;
    let desk = world.desk()?;
    // Files that are open for writing keep a file system from it: the tracer says what a kernel would.
    let tracer = Tracer::attach(&world, "pwrite64,write,ftruncate,fsync,fdatasync", "EROFS")?;
    refused(&mut world, &desk).await?;
    drop(tracer);
    let outcome = recovered(&mut world, &desk).await?;
    // A box that starts on a read-only disk says so, and does not run.
    world.kill_agent();
    disk.remount("ro")?;
    let refused = world.start_agent(&Wrap::default()).await;
    disk.remount("rw")?;
    let said = refused.err().map(|e| e.to_string()).unwrap_or_default();
    must(said.contains("read") || said.contains("write"), || format!("on a read-only disk it said: {said}"))?;
    world.start_agent(&Wrap::default()).await?;
    let findings = world.settled().await?;
    world.kill_agent();
    Ok(Outcome { findings, ..outcome })
}

/// A tracer on the running agent, let go when dropped.
struct Tracer(Child);

impl Tracer {
    fn attach(world: &World, calls: &str, error: &str) -> io::Result<Self> {
        let pid = world.agent.as_ref().map(|a| a.pid().to_string()).unwrap_or_default();
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-p", &pid, "-e", &format!("trace={calls}")]);
        command.args(["-e", &format!("inject={calls}:error={error}")]);
        // Only what goes to the state folder.
        let state = world.state();
        let mut files = oracle::audit_files(&state);
        files.extend(["agent.db", "agent.db-wal"].map(|f| state.join(f)));
        for file in files {
            command.arg("-P").arg(file);
        }
        Ok(Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// Writes and syncs fail one after the other.
pub async fn input_output_errors(dir: &Path, place: &Place, extent: Extent) -> io::Result<Outcome> {
    let mut world = open(dir, place).await?;
    world.start_agent(&Wrap::default()).await?;
    world.alert().await?;
    let desk = world.desk()?;
    let kinds: &[&str] = match extent {
        Extent::Quick => &["fsync,fdatasync"],
        Extent::Full => &["fsync,fdatasync", "pwrite64", "write", "ftruncate"],
    };
    let mut last = Outcome::default();
    for calls in kinds {
        let tracer = Tracer::attach(&world, calls, "EIO")?;
        refused(&mut world, &desk).await.map_err(|e| io::Error::other(format!("{calls}: {e}")))?;
        drop(tracer);
        last = recovered(&mut world, &desk).await.map_err(|e| io::Error::other(format!("{calls}: {e}")))?;
    }
    // What was accepted through errors is there after a restart too.
    world.kill_agent();
    Ok(Outcome { findings: world.peace().await?, ..last })
}

/// No descriptor is left: nothing new can be opened. Callers that are connected
/// are served; new ones wait in the kernel's queue.
pub async fn no_descriptors(dir: &Path, place: &Place, _: Extent) -> io::Result<Outcome> {
    let mut world = open(dir, place).await?;
    world.start_agent(&Wrap::default()).await?;
    world.alert().await?;
    let desk = world.desk()?;
    let pid = world.agent.as_ref().map(|a| a.pid()).unwrap_or_default();
    let limit = |n: u64| -> io::Result<()> {
        // The soft limit alone: a hard one could not be raised again.
        let arguments = [format!("--pid={pid}"), format!("--nofile={n}:")];
        let status = Command::new("prlimit").args(arguments).status()?;
        must(status.success(), || "prlimit failed".into())
    };
    let open = fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
    let usual = fs::read_to_string(format!("/proc/{pid}/limits"))?
        .lines()
        .find_map(|l| l.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok())
        .unwrap_or(1024);
    limit(open.saturating_sub(4))?;
    let stranger = world.desk()?;
    let body = world.settlement("w01", "PA");
    let waited = stranger.settle(body).await;
    must(waited != Some(202), || "a new connection was served without a descriptor".into())?;
    let body = world.settlement("w01", "PA");
    desk.settle(body).await;
    limit(usual)?;
    let outcome = recovered(&mut world, &desk).await?;
    world.kill_agent();
    Ok(Outcome { findings: world.peace().await?, ..outcome })
}
