//! What happens at the window: sick cameras, a storm of settlements, memory
//! that ends.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use image::codecs::jpeg::JpegEncoder;
use serde_json::Value;
use tokio::task::JoinSet;

use super::super::hospital::Wishes;
use super::oracle::Findings;
use super::process::Wrap;
use super::world::{Place, World, until};
use super::{Extent, Outcome, must};

fn wishes() -> Wishes {
    Wishes { before_ms: 600, after_ms: 200, ..Wishes::default() }
}

/// Verdict and reason of every settlement, by its number.
fn verdicts(world: &World) -> io::Result<BTreeMap<String, (String, String)>> {
    Ok(world
        .histories()?
        .iter()
        .flatten()
        .filter(|r| r.kind == "verdict")
        .map(|r| {
            (r.text("settlement").to_owned(), (r.text("verdict").to_owned(), r.text("reason").to_owned()))
        })
        .collect())
}

/// A camera more, by its pictures and what else stands in its table.
fn camera(world: &World, id: &str, path: &str, more: &str, ring_mb: u32, rate: u32) -> io::Result<()> {
    let counter = format!(
        "[[counters]]\nid = \"{id}\"\nbefore_ms = 600\nafter_ms = 200\nring_mb = {ring_mb}\nregion = {{ x = 0, y = 0, w = 1, h = 1 }}\n[counters.camera]\nkind = \"replay\"\npath = \"cameras/{path}\"\nframes_per_second = {rate}\n{more}\n[privacy]\n"
    );
    world.edit("counterproof.toml", "[privacy]\n", &counter)
}

/// One picture, so that every frame is the same.
fn one_picture(world: &World, from: &Path, folder: &str) -> io::Result<()> {
    let folder = world.path("cameras").join(folder);
    fs::create_dir_all(&folder)?;
    fs::copy(from, folder.join("0000.jpg")).map(drop)
}

/// Silent, vanished, frozen, black and flooding cameras: a reason each, an
/// alert from none that shows nobody alive.
pub async fn sick_cameras(dir: &Path, place: &Place, _: Extent) -> io::Result<Outcome> {
    let mut world = World::open(dir, place, &wishes()).await?;
    let person = world.path("cameras/w01");
    one_picture(&world, &person.join("0000.jpg"), "frozen")?;
    let black = world.path("black.jpg");
    let pixels = vec![0u8; 640 * 480 * 3];
    JpegEncoder::new(fs::File::create(&black)?)
        .encode(&pixels, 640, 480, image::ExtendedColorType::Rgb8)
        .map_err(io::Error::other)?;
    one_picture(&world, &black, "black")?;
    super::world::copy_folder(&world.path("cameras/w02"), &world.path("cameras/vanishing"))?;
    camera(&world, "silent", "w02", "repeat = false", 8, 240)?;
    camera(&world, "vanishing", "vanishing", "", 8, 15)?;
    camera(&world, "frozen", "frozen", "", 8, 15)?;
    camera(&world, "black", "black", "", 8, 15)?;
    camera(&world, "flooding", "w01", "", 1, 240)?;
    world.hospital.post_notice_anew()?;
    world.start_agent(&Wrap::default()).await?;
    fs::remove_dir_all(world.path("cameras/vanishing"))?;
    // Until the pictures that were played are older than a window.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let desk = world.desk()?;
    let mut of = BTreeMap::new();
    for counter in ["silent", "vanishing", "frozen", "black", "flooding"] {
        let body = world.settlement(counter, "PA");
        of.insert(body.get("settlement_id").and_then(Value::as_str).unwrap_or_default().to_owned(), counter);
        must(desk.settle(body).await == Some(202), || format!("{counter} was not accepted"))?;
    }
    let told = until("verdicts of all cameras", Duration::from_secs(30), async || {
        let all = verdicts(&world)?;
        Ok(of.keys().all(|id| all.contains_key(id)).then_some(all))
    })
    .await?;
    for (id, counter) in &of {
        let (verdict, reason) = told.get(id).cloned().unwrap_or_default();
        let right = match *counter {
            "silent" | "vanishing" => reason == "camera_silent",
            "frozen" => reason == "camera_frozen",
            // One black picture: frozen too, until somebody has looked at it.
            "black" => reason == "camera_black" || reason == "camera_frozen",
            _ => true,
        };
        must(right, || format!("the {counter} camera gave {verdict}({reason})"))?;
    }
    world.alert().await?;
    let mb = resident_mb(&world);
    Ok(Outcome::of(world.settled().await?).figure("flooded_agent_resident_mb", mb))
}

fn status(world: &World, line: &str) -> u64 {
    let pid = world.agent.as_ref().map(|a| a.pid()).unwrap_or_default();
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let value = text.lines().find_map(|l| l.strip_prefix(line)).unwrap_or_default();
    value.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_default()
}

fn resident_mb(world: &World) -> u64 {
    status(world, "VmRSS:") / 1024
}

/// Sends settlements at one counter, one every ten milliseconds, and never
/// waits for an answer before the next.
async fn storm(world: &mut World, seconds: u64) -> io::Result<()> {
    let desk = world.desk()?;
    let mut requests = JoinSet::new();
    let begun = Instant::now();
    for n in 0..seconds * 100 {
        let due = begun + Duration::from_millis(10) * n as u32;
        tokio::time::sleep_until(due.into()).await;
        let (desk, body) = (desk.clone(), world.settlement("w01", "PA"));
        requests.spawn(async move { desk.settle(body).await });
    }
    while requests.join_next().await.is_some() {}
    Ok(())
}

/// A hundred settlements a second at one counter: shed with 503, or accepted
/// and ended as an overload; each counted, none lost.
pub async fn settlement_storm(dir: &Path, place: &Place, extent: Extent) -> io::Result<Outcome> {
    let seconds = if extent == Extent::Full { 60 } else { 5 };
    let mut world = World::open(dir, place, &wishes()).await?;
    world.start_agent(&Wrap::default()).await?;
    storm(&mut world, seconds).await?;
    let desk = world.desk()?;
    must(desk.ready().await == Some(200), || "not ready after the storm".into())?;
    let findings = world.peace().await?;
    let told = verdicts(&world)?;
    let overload = told.values().filter(|(_, reason)| reason == "overload").count();
    let answers = world.ledger.answers();
    let at = |share: f64| {
        let i = (answers.len().saturating_sub(1) as f64 * share) as usize;
        answers.get(i).map_or(0.0, |d| (d.as_secs_f64() * 10_000.0).round() / 10.0)
    };
    let (shed, p50, p99) = (findings.shed, at(0.50), at(0.99));
    must(findings.acknowledged + shed >= seconds * 100, || {
        format!(
            "of {} settlements {} were acknowledged and {shed} shed",
            seconds * 100,
            findings.acknowledged
        )
    })?;
    // After it the window is watched as before.
    world.alert().await?;
    Ok(Outcome::of(world.peace().await?)
        .figure("storm_settlements", seconds * 100)
        .figure("storm_shed", shed)
        .figure("storm_overload", overload)
        .figure("intake_ms_p50", p50)
        .figure("intake_ms_p99", p99))
}

/// No more memory than there is now: the agent may die; what it acknowledged
/// does not.
pub async fn memory_ends(dir: &Path, place: &Place, _: Extent) -> io::Result<Outcome> {
    let mut world = World::open(dir, place, &wishes()).await?;
    world.start_agent(&Wrap::default()).await?;
    world.alert().await?;
    let pid = world.agent.as_ref().map(|a| a.pid()).unwrap_or_default();
    let bytes = status(&world, "VmSize:") * 1024;
    let arguments = [format!("--pid={pid}"), format!("--as={bytes}")];
    let limited = std::process::Command::new("prlimit").args(arguments).status()?;
    must(limited.success(), || "prlimit failed".into())?;
    storm(&mut world, 3).await?;
    let died = world.agent.as_mut().map(|a| a.ended()).transpose()?.flatten();
    world.kill_agent();
    let findings: Findings = world.peace().await?;
    Ok(Outcome::of(findings).figure("agent_died_without_memory", died.is_some()))
}
