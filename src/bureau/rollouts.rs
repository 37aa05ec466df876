//! A new version, hospital by hospital: planned in stages, each begun by somebody
//! and stopped by somebody. A box is told which version it is to run; a person
//! installs it.
//!
//! Promises: no stage begins by itself; a stage that is stopped tells its boxes
//! nothing from the next posture on; every step is an act. It installs nothing and
//! takes nothing back: a box that has the new version keeps it.

use serde::Serialize;

use super::BureauError;
use super::acts::{self, Person};
use super::store::{Agent, AgentChange, NewRollout, Rollout, Stage, StageChange, Store, StoreError};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::SigningKey;
use crate::protocol::id::HospitalId;
use crate::protocol::rollout::{Format, MAX_VERSION, WantedVersion, is_version};
use crate::protocol::signed::Signed;

/// Most stages of one roll-out.
const MAX_STAGES: usize = 20;

fn refuse<T>(what: String) -> Result<T, BureauError> {
    Err(BureauError::Command(what))
}

/// The hospitals of each stage: a line for each, codes parted by spaces or commas.
///
/// # Errors
/// In words, naming the line.
pub fn stages(text: &str) -> Result<Vec<Vec<HospitalId>>, String> {
    let mut stages = Vec::new();
    for (n, line) in text.lines().map(str::trim).filter(|l| !l.is_empty()).enumerate() {
        let codes = line.split(|c: char| c.is_whitespace() || ",，、".contains(c)).filter(|c| !c.is_empty());
        let stage: Result<Vec<HospitalId>, _> = codes.map(str::parse).collect();
        stages.push(stage.map_err(|e| format!("stage {}: {e}", n + 1))?);
    }
    match stages.len() {
        1..=MAX_STAGES => Ok(stages),
        found => Err(format!("found {found} stages; allowed: 1 to {MAX_STAGES}, a line for each")),
    }
}

/// Plans a roll-out; its number. No stage is begun by it.
///
/// # Errors
/// If the version is no version, or a hospital stands in two stages.
pub async fn plan(
    store: &Store,
    by: &Person,
    (version, package): (&str, Sha256),
    stages: Vec<Vec<HospitalId>>,
    now: WallTime,
) -> Result<u64, BureauError> {
    if !is_version(version) {
        let shown: String = version.chars().take(MAX_VERSION).collect();
        return refuse(format!(
            "version: found `{}`; allowed: up to {MAX_VERSION} of letters, digits and `. + ~ -`, a digit first",
            shown.escape_debug()
        ));
    }
    let detail = format!("version {version}, package {package}, {} stages", stages.len());
    acts::note(store, by, "rollout plan", version, detail).await?;
    let new = NewRollout { version: version.to_owned(), package, by: by.name().to_owned(), stages };
    match store.plan_rollout(&new, now).await? {
        Some(number) => Ok(number),
        None => refuse("a hospital stands in two stages: each is in one".into()),
    }
}

/// Begins a stage, or stops it.
///
/// # Errors
/// If there is no such stage, or it is so already.
pub async fn change(
    store: &Store,
    by: &Person,
    (rollout, stage): (u64, u64),
    change: StageChange,
    now: WallTime,
) -> Result<(), BureauError> {
    let what = match change {
        StageChange::Begin => "rollout begin",
        StageChange::Stop => "rollout stop",
    };
    acts::note(store, by, what, &format!("roll-out {rollout}"), format!("stage {stage}")).await?;
    match store.change_stage((rollout, stage), change, now).await? {
        AgentChange::Done => Ok(()),
        AgentChange::Refused => refuse(format!(
            "roll-out {rollout} has no stage {stage}, or the stage is begun or stopped already"
        )),
    }
}

/// The signed word to a box about the version that it is to run, if there is one.
pub(super) async fn word(
    store: &Store,
    key: &SigningKey,
    agent: &Agent,
) -> Result<Option<Signed>, StoreError> {
    let Some(wanted) = store.wanted_version(&agent.hospital).await? else { return Ok(None) };
    let word = WantedVersion {
        format: Format::V1,
        agent: agent.name.clone(),
        version: wanted.version,
        package: wanted.package,
        rollout: wanted.rollout,
        at: wanted.at,
    };
    // It is plain text and numbers: it can be written.
    Ok(Signed::sign(&word, key).ok())
}

/// How far a stage is in one hospital.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The hospital.
    pub hospital: HospitalId,
    /// Boxes on record there, but for suspended ones.
    pub boxes: u64,
    /// Of these, those that run the version.
    pub on_it: u64,
    /// Of the rest, those that say they were told of it.
    pub told: u64,
}

/// How far a stage is, hospital by hospital.
///
/// # Errors
/// If the store fails.
pub async fn progress(store: &Store, rollout: &Rollout, stage: &Stage) -> Result<Vec<Progress>, StoreError> {
    let (agents, postures) = (store.boxes().await?, store.postures().await?);
    let of = |hospital: &HospitalId| {
        let mut p = Progress { hospital: hospital.clone(), boxes: 0, on_it: 0, told: 0 };
        for agent in agents.iter().filter(|a| a.hospital == *hospital && !a.suspended) {
            p.boxes += 1;
            let posture = postures.iter().find(|p| p.agent == agent.name).map(|p| &p.posture);
            let Some(posture) = posture else { continue };
            if posture.agent_version == rollout.version {
                p.on_it += 1;
            } else if posture.wanted.as_ref().is_some_and(|w| w.rollout == rollout.number) {
                p.told += 1;
            }
        }
        p
    };
    Ok(stage.hospitals.iter().map(of).collect())
}

/// Every roll-out with how far it is, a line for each hospital.
///
/// # Errors
/// If the store fails.
pub async fn table(store: &Store) -> Result<String, StoreError> {
    let mut text = format!(
        "{:>8} {:<12} {:>5} {:<10} {:<20} {:>6} {:>6} {:>6}  package\n",
        "roll-out", "version", "stage", "state", "hospital", "boxes", "on it", "told"
    );
    for rollout in store.rollouts().await? {
        for stage in &rollout.stages {
            let state = match (stage.begun_at, stage.stopped_at) {
                (None, _) => "not begun",
                (Some(_), None) => "begun",
                (Some(_), Some(_)) => "stopped",
            };
            for p in progress(store, &rollout, stage).await? {
                text.push_str(&format!(
                    "{:>8} {:<12} {:>5} {state:<10} {:<20} {:>6} {:>6} {:>6}  {}\n",
                    rollout.number,
                    rollout.version,
                    stage.number,
                    p.hospital.as_str(),
                    p.boxes,
                    p.on_it,
                    p.told,
                    rollout.package
                ));
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_lines_of_hospitals() {
        let read = stages("H1, H2\n\n H3 H4，H5 \n").unwrap();
        let names: Vec<Vec<&str>> = read.iter().map(|s| s.iter().map(HospitalId::as_str).collect()).collect();
        assert_eq!(names, [vec!["H1", "H2"], vec!["H3", "H4", "H5"]]);
        assert!(stages("").unwrap_err().contains("found 0 stages"));
        assert!(stages("H1\nH 2/3").unwrap_err().starts_with("stage 2: found `2/3`"));
        assert!(stages(&"H\n".repeat(21)).unwrap_err().contains("found 21"));
    }
}
