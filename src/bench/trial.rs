//! `counterproof try`: what is installed, tried out. Photographs that somebody gives
//! go the whole way on loopback: the bureau enrols them, a camera is drawn from one,
//! settlements come, and each ends in a verdict.
//!
//! Promises: bureau, box and authority are thrown away at the end, and everything
//! they wrote with them, also when it is interrupted; what is written meanwhile lies
//! in a folder for this user alone, in memory where the system has such a place.
//! Nothing of an installation is read but the programs and the models.
//!
//! What it does not do: say how accurate verdicts are at a window. The camera is drawn
//! from a still photograph, and liveness is off for it.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::hospital::{Hospital, People, Programs, Wishes};

/// `counterproof try`.
#[derive(Debug, clap::Args)]
pub struct TryArgs {
    /// A folder of photographs: NAME.jpg is enrolled, NAME@window.jpg stands at the window.
    #[arg(long, value_name = "DIR")]
    photographs: PathBuf,
    /// The manifest of the models.
    #[arg(long, value_name = "FILE", default_value = "/usr/share/counterproof/models/models.toml")]
    models: PathBuf,
}

/// How long one step may take before the trial gives up.
const PATIENCE: Duration = Duration::from_secs(60);
const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

/// Carries the trial out and prints what came of it.
///
/// # Errors
/// In words: what is missing, or what a verdict should have been.
pub fn run(args: &TryArgs) -> Result<(), String> {
    let cast = Cast::of(&args.photographs)?;
    let place = Place::make().map_err(|e| format!("a folder for the trial cannot be made: {e}"))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        // From here on an interruption ends the trial and not the process.
        let mut interrupted = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
        tokio::select! {
            done = play(args, &cast, &place) => done,
            _ = interrupted.recv() => Err("interrupted; everything was thrown away".into()),
        }
    })
}

/// Who takes part.
#[derive(Debug, PartialEq, Eq)]
struct Cast {
    /// One photograph for each cardholder.
    enrolled: BTreeMap<String, PathBuf>,
    /// Who stands at the window, and another photograph of that person.
    there: (String, PathBuf),
}

impl Cast {
    fn of(folder: &Path) -> Result<Self, String> {
        let listed = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut files: Vec<PathBuf> = listed.flatten().map(|f| f.path()).collect();
        files.sort();
        Self::among(files).ok_or_else(|| {
            format!(
                "{}: two photographs of one person are needed, such as wang.jpg, which is enrolled, and \
                 wang@window.jpg, who then stands at the window; li.jpg of somebody else shows a mismatch",
                folder.display()
            )
        })
    }

    fn among(files: Vec<PathBuf>) -> Option<Self> {
        let mut enrolled = BTreeMap::new();
        let mut others = Vec::new();
        for path in files {
            let known =
                path.extension().is_some_and(|e| EXTENSIONS.iter().any(|x| e.eq_ignore_ascii_case(x)));
            let Some(stem) = path.file_stem().and_then(|s| s.to_str()).filter(|_| known) else { continue };
            match stem.split_once('@') {
                Some((name, _)) => others.push((name.to_owned(), path)),
                None => drop(enrolled.insert(stem.to_owned(), path)),
            }
        }
        let there = others.into_iter().find(|(name, _)| enrolled.contains_key(name))?;
        Some(Self { enrolled, there })
    }
}

/// A folder of this user alone that goes when this is dropped.
struct Place(PathBuf);

impl Place {
    fn make() -> io::Result<Self> {
        let name = format!("counterproof-try-{}", std::process::id());
        let make = |under: PathBuf| {
            let dir = under.join(&name);
            std::fs::DirBuilder::new().mode(0o700).create(&dir).map(|()| Self(dir))
        };
        make("/dev/shm".into()).or_else(|_| make(std::env::temp_dir()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn play(args: &TryArgs, cast: &Cast, place: &Place) -> Result<(), String> {
    let h = prepare(args, cast, place).map_err(|e| e.to_string())?;
    let (name, _) = &cast.there;
    let cards = [Some(name), cast.enrolled.keys().find(|n| *n != name)];
    println!("{:<20} {:<20} verdict", "card of", "at the window");
    let mut wrong = Vec::new();
    for (n, card) in cards.into_iter().flatten().enumerate() {
        let wanted = if card == name { "match" } else { "mismatch" };
        let (verdict, reason) = settle(&h, &format!("TRY-{n}"), card).await.map_err(|e| e.to_string())?;
        let told = if reason.is_empty() { verdict.clone() } else { format!("{verdict} ({reason})") };
        println!("{card:<20} {name:<20} {told}");
        if verdict != wanted {
            wrong.push(format!("{card}'s card with {name} at the window: {told} instead of {wanted}"));
        }
    }
    if wrong.is_empty() {
        println!(
            "the programs, the models and the way between them are in order; everything was thrown away"
        );
        return Ok(());
    }
    Err(format!(
        "{}: take photographs from the front, in even light, of one person each, at least 200 pixels from \
         chin to hair",
        wrong.join("; ")
    ))
}

/// Bureau and box, with everybody enrolled and the camera running.
fn prepare(args: &TryArgs, cast: &Cast, place: &Place) -> io::Result<Hospital> {
    let agent = std::env::current_exe()?;
    let programs = Programs { bureau: agent.with_file_name("counterproof-bureau"), agent };
    let people = People::Given { enrolled: cast.enrolled.clone(), there: cast.there.1.clone() };
    println!("a bureau, a box and an authority for this trial alone; drawing a camera from {}", cast.there.0);
    let mut h = Hospital::open(&place.0, programs, &args.models, &Wishes { people, ..Wishes::default() })?;
    println!("{}", h.enrol()?.trim_end());
    h.start_agent()?;
    Ok(h)
}

/// Sends a settlement as a HIS would, and waits for its verdict and reason.
async fn settle(h: &Hospital, id: &str, card: &str) -> io::Result<(String, String)> {
    // The camera must reach back over the window before the settlement.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (status, answer) = h.settle(&Hospital::settlement(id, "w01", card, &[])).await?;
    let verification = answer["verification_id"].as_str().unwrap_or_default();
    if status != 202 {
        return Err(io::Error::other(format!("the box answered {status}: {answer}")));
    }
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(found) = h.verdict(verification) {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(io::Error::other(format!("no verdict within {} s", PATIENCE.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_second_photograph_stands_at_the_window() {
        let files = |names: &[&str]| Cast::among(names.iter().map(PathBuf::from).collect());
        let cast = files(&["li.jpg", "notes.txt", "wang.JPG", "wang@window.png"]).unwrap();
        assert_eq!(cast.there, ("wang".into(), "wang@window.png".into()));
        assert_eq!(cast.enrolled.keys().collect::<Vec<_>>(), ["li", "wang"]);
        assert_eq!(files(&["wang.jpg", "li@window.jpg"]), None);
        assert_eq!(files(&[]), None);
    }

    #[test]
    fn the_folder_is_private_and_goes() {
        use std::os::unix::fs::PermissionsExt;
        let place = Place::make().unwrap();
        let dir = place.0.clone();
        assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(dir.join("something"), b"of a trial").unwrap();
        drop(place);
        assert!(!dir.exists());
    }
}
