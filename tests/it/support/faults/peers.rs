//! The bureau, and the way to it: away, slow, broken, forgetful, restored from
//! yesterday, refusing; and the box re-imaged.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::super::hospital::Wishes;
use super::process::Wrap;
use super::proxy::{Fault, Proxy};
use super::world::{Place, World, copy_folder, until};
use super::{Extent, Outcome, must};

/// Enough for some attempts with their growing pauses.
const A_WHILE: Duration = Duration::from_secs(60);

async fn open(dir: &Path, place: &Place) -> io::Result<(World, Proxy)> {
    let wishes = Wishes { before_ms: 600, after_ms: 200, ..Wishes::default() };
    let mut world = World::open(dir, place, &wishes).await?;
    let proxy = Proxy::before(&world).await?;
    world.start_agent(&Wrap::default()).await?;
    Ok((world, proxy))
}

/// Queues faults, commits an alert among them, and waits until all were met.
async fn through(world: &mut World, proxy: &Proxy, faults: &[Fault]) -> io::Result<()> {
    proxy.queue(faults.iter().cloned());
    world.alert().await?;
    until("the faults to be met", A_WHILE, async || Ok((!proxy.pending()).then_some(()))).await?;
    let findings = world.settled().await?;
    must(findings.clean(), || format!("after {faults:?}: {findings:?}"))
}

/// Everything that a bureau can answer wrongly; then all of it is there, once.
pub async fn ill_bureau(dir: &Path, place: &Place, extent: Extent) -> io::Result<Outcome> {
    let (mut world, proxy) = open(dir, place).await?;
    let html = "<html><body>maintenance</body></html>";
    through(
        &mut world,
        &proxy,
        &[Fault::Answer(500, None, ""), Fault::Answer(429, Some(1), ""), Fault::StoredAndDenied],
    )
    .await?;
    through(
        &mut world,
        &proxy,
        &[
            Fault::Answer(302, None, ""),
            Fault::Answer(200, None, html),
            Fault::Reset,
            Fault::Answer(204, None, ""),
        ],
    )
    .await?;
    through(&mut world, &proxy, &[Fault::Answer(599, None, "?"), Fault::Slow(Duration::from_secs(2))])
        .await?;
    if extent == Extent::Full {
        // The box waits its whole 20 s for each of these.
        through(&mut world, &proxy, &[Fault::Forget, Fault::Forget]).await?;
    }
    Ok(Outcome::of(world.peace().await?).figure("faults_met", proxy.met()))
}

/// Stopped, killed, restarted later: alerts wait and arrive.
pub async fn away_bureau(dir: &Path, place: &Place, _: Extent) -> io::Result<Outcome> {
    let (mut world, proxy) = open(dir, place).await?;
    world.alert().await?;
    must(world.settled().await?.clean(), || "before the bureau went".into())?;
    // Stopped in its tracks: calls hang. An alert is committed and cannot leave.
    proxy.queue([Fault::Answer(503, None, "")]);
    world.alert().await?;
    if let Some(bureau) = world.bureau.as_ref() {
        bureau.signal("STOP")?;
    }
    let desk = world.desk()?;
    let body = world.settlement("w01", "PA");
    must(desk.settle(body).await == Some(202), || {
        "with the bureau stopped, intake did not answer 202".into()
    })?;
    if let Some(bureau) = world.bureau.as_ref() {
        bureau.signal("CONT")?;
    }
    must(world.settled().await?.clean(), || "after the bureau was stopped for a while".into())?;
    // Gone altogether.
    proxy.queue(std::iter::repeat_n(Fault::Answer(503, None, ""), 2));
    world.alert().await?;
    world.kill_bureau();
    let body = world.settlement("w01", "PA");
    must(desk.settle(body).await == Some(202), || "without a bureau, intake did not answer 202".into())?;
    let findings = world.peace().await?;
    Ok(Outcome::of(findings))
}

fn back_up(world: &mut World, to: &str) -> io::Result<()> {
    if let Some(bureau) = world.bureau.as_mut() {
        bureau.terminate()?;
    }
    world.kill_bureau();
    let _ = fs::remove_file(world.path(to));
    fs::copy(world.path("bureau.db"), world.path(to)).map(drop)
}

fn restore(world: &mut World, from: &str) -> io::Result<()> {
    world.kill_bureau();
    for file in ["bureau.db", "bureau.db-wal", "bureau.db-shm"] {
        let _ = fs::remove_file(world.path(file));
    }
    fs::copy(world.path(from), world.path("bureau.db")).map(drop)
}

/// Restored from yesterday's backup: what was lost since comes again.
pub async fn restored_bureau(dir: &Path, place: &Place, _: Extent) -> io::Result<Outcome> {
    let (mut world, proxy) = open(dir, place).await?;
    world.alert().await?;
    must(world.settled().await?.clean(), || "before the backup".into())?;
    back_up(&mut world, "yesterday.db")?;
    world.start_bureau(&Wrap::default()).await?;
    for _ in 0..2 {
        world.alert().await?;
    }
    must(world.settled().await?.clean(), || "after the backup".into())?;
    let had = world.held()?.len();
    restore(&mut world, "yesterday.db")?;
    world.start_bureau(&Wrap::default()).await?;
    must(world.held()?.len() < had, || "the backup holds as much as before".into())?;
    // The box notices that the bureau was away: it compares heads when it comes back.
    through(&mut world, &proxy, &[Fault::Answer(503, None, "")]).await?;
    Ok(Outcome::of(world.peace().await?))
}

/// One alert is refused for good; those behind it pass.
pub async fn refused_alert(dir: &Path, place: &Place, _: Extent) -> io::Result<Outcome> {
    let (mut world, proxy) = open(dir, place).await?;
    world.alert().await?;
    refuse_one(&mut world, &proxy).await?;
    world.alert().await?;
    let findings = world.settled().await?;
    must(findings.delivered >= 2, || format!("those behind a refused alert did not pass: {findings:?}"))?;
    Ok(Outcome::of(world.peace().await?))
}

async fn refuse_one(world: &mut World, proxy: &Proxy) -> io::Result<()> {
    proxy.queue([Fault::RefuseForGood]);
    world.alert().await?;
    until("an alert to be set aside", A_WHILE, async || {
        Ok(world.histories()?.iter().flatten().any(|r| r.kind == "event_set_aside").then_some(()))
    })
    .await
}

/// Behind a refused alert, a bureau restored from a backup gets lost events
/// again all the same.
pub async fn restored_behind_a_refusal(dir: &Path, place: &Place, _: Extent) -> io::Result<Outcome> {
    let (mut world, proxy) = open(dir, place).await?;
    world.alert().await?;
    refuse_one(&mut world, &proxy).await?;
    must(world.settled().await?.clean(), || "before the backup".into())?;
    back_up(&mut world, "yesterday.db")?;
    world.start_bureau(&Wrap::default()).await?;
    for _ in 0..2 {
        world.alert().await?;
    }
    must(world.settled().await?.clean(), || "after the backup".into())?;
    restore(&mut world, "yesterday.db")?;
    world.start_bureau(&Wrap::default()).await?;
    through(&mut world, &proxy, &[Fault::Answer(503, None, "")]).await?;
    Ok(Outcome::of(world.peace().await?))
}

/// The state folder is emptied, the keys are kept: a new epoch, a new chain,
/// and the old one stays whole at the bureau.
pub async fn reimaged_box(dir: &Path, place: &Place, _: Extent) -> io::Result<Outcome> {
    let (mut world, _proxy) = open(dir, place).await?;
    world.alert().await?;
    must(world.settled().await?.clean(), || "before the box was re-imaged".into())?;
    world.kill_agent();
    world.archives.push(super::oracle::audit_records(&world.state())?);
    copy_folder(&world.state(), &world.path("state-before"))?;
    fs::remove_dir_all(world.state())?;
    world.start_agent(&Wrap::default()).await?;
    world.alert().await?;
    let findings = world.peace().await?;
    let epochs: std::collections::BTreeSet<String> = world.held()?.into_iter().map(|h| h.epoch).collect();
    must(epochs.len() == 2, || format!("expected two epochs at the bureau, found {epochs:?}"))?;
    Ok(Outcome::of(findings))
}

/// The bureau's name does not resolve, and later does.
pub async fn name_not_found(dir: &Path, place: &Place, _: Extent) -> io::Result<Outcome> {
    let (mut world, proxy) = open(dir, place).await?;
    proxy.queue(std::iter::repeat_n(Fault::Answer(503, None, ""), 50));
    world.alert().await?;
    world.kill_agent();
    proxy.clear();
    let (hosts, switch) = (world.path("hosts"), world.path("nsswitch.conf"));
    fs::write(&hosts, "127.0.0.2 somewhere-else\n")?;
    fs::write(&switch, "hosts: files\n")?;
    let script = format!(
        "mount --bind '{}' /etc/hosts && mount --bind '{}' /etc/nsswitch.conf && exec \"$@\"",
        hosts.display(),
        switch.display()
    );
    let before = proxy.met();
    world.start_agent(&Wrap::words(["unshare", "-m", "sh", "-c", &script, "sh"])).await?;
    until("the name not to be found", A_WHILE, async || {
        let log = fs::read_to_string(world.path("agent.log"))?;
        Ok(log.lines().any(|l| l.contains("dns error") || l.contains("lookup")).then_some(()))
    })
    .await?;
    must(proxy.met() == before, || "the bureau was reached without its name".into())?;
    // In place: the file that is mounted, not another of its name.
    fs::write(&hosts, "127.0.0.1 localhost\n")?;
    Ok(Outcome::of(world.settled().await?))
}
