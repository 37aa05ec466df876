//! `[check_ins]`: who may send photographs, and what was declared for it.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::bureau::config::Config;
use crate::bureau::retention::Kind;
use crate::clock::WallTime;
use crate::crypto::keys::resolve;
use crate::privacy::check_ins::{CheckInPolicy, DeclaredCheckIns};
use crate::settings::Problem;
use crate::vision::Wanted;

/// `[check_ins]`; without it none are taken.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckInsConfig {
    /// The calibration of the recognizer.
    pub calibration: Option<PathBuf>,
    /// Id of the liveness model in the manifest. It cannot be switched off.
    #[serde(default = "Wanted::liveness_model")]
    pub liveness: String,
    /// How many check-ins one app or one account may send in a minute.
    #[serde(default = "per_minute")]
    pub per_minute: u32,
    /// The apps that may call without a person's session.
    #[serde(default)]
    pub apps: Vec<AppConfig>,
    /// What somebody signs for.
    #[serde(default)]
    pub privacy: DeclaredCheckIns,
}

/// `[[check_ins.apps]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppConfig {
    /// As the record of acts names it.
    pub name: String,
    /// Its bearer token: a path or `credential:NAME`.
    pub token: String,
}

const fn per_minute() -> u32 {
    60
}

/// Most check-ins in a minute that may be allowed to one caller.
const MOST_PER_MINUTE: u32 = 600;

impl CheckInsConfig {
    /// Makes its paths absolute.
    pub(in crate::bureau) fn resolve(&mut self, dir: &Path) {
        if let Some(calibration) = &mut self.calibration {
            *calibration = dir.join(&calibration);
        }
        for app in &mut self.apps {
            resolve(&mut app.token, dir);
        }
    }

    /// What is wrong with it by itself; what must be declared is asked at the start.
    pub(in crate::bureau) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(1..=MOST_PER_MINUTE).contains(&self.per_minute) {
            let advice = "It bounds how fast a stolen telephone could ask about people.";
            let allowed = format!("1 to {MOST_PER_MINUTE}");
            problems.push(Problem::new("check_ins.per_minute", self.per_minute, allowed, advice));
        }
        for (i, app) in self.apps.iter().enumerate() {
            let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
            let is_name = (1..=32).contains(&app.name.len()) && app.name.bytes().all(fits);
            if !is_name || self.apps.iter().take(i).any(|before| before.name == app.name) {
                let found: String = app.name.chars().take(40).collect::<String>().escape_debug().to_string();
                problems.push(Problem::new(
                    &format!("check_ins.apps[{i}].name"),
                    format!("`{found}`"),
                    "1 to 32 of a-z, 0-9, `-` and `_`, each name once",
                    "The record of acts says by it which app asked.",
                ));
            }
        }
        problems
    }
}

/// The day in Beijing.
pub(super) fn day(now: WallTime) -> jiff::civil::Date {
    let at = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    jiff::tz::Offset::constant(8).to_datetime(at).date()
}

fn kept_s(config: &Config) -> u64 {
    u64::from(config.retention.days(Kind::CheckIns)) * 86_400
}

/// What is declared, as a policy in force, with warnings.
///
/// # Errors
/// Everything that is missing or not allowed.
pub(super) fn policy(
    config: &Config,
    check_ins: &CheckInsConfig,
    now: WallTime,
) -> Result<(CheckInPolicy, Vec<String>), Vec<Problem>> {
    let mut problems = Vec::new();
    if config.retention.check_ins_days.is_none() {
        let limit = Kind::CheckIns.limit();
        let allowed = format!("{} to {} (days)", limit.floor / limit.unit, limit.ceiling / limit.unit);
        let advice = "Say how long the facts of check-ins are kept; the notice says it too.";
        problems.push(Problem::new("retention.check_ins_days", "nothing", allowed, advice));
    }
    if check_ins.calibration.is_none() {
        let advice = "A score is worth what was measured with this model (config/calibrations).";
        let allowed = "the calibration of models.recognizer";
        problems.push(Problem::new("check_ins.calibration", "nothing", allowed, advice));
    }
    match check_ins.privacy.policy(kept_s(config), day(now)) {
        Ok(found) if problems.is_empty() => Ok(found),
        Ok(_) => Err(problems),
        Err(more) => Err(problems.into_iter().chain(more).collect()),
    }
}

/// The policy as it would be if its notice were posted today.
///
/// # Errors
/// Everything that is missing but the notice's digest and date.
pub(super) fn draft(
    config: &Config,
    check_ins: &CheckInsConfig,
    now: WallTime,
) -> Result<CheckInPolicy, Vec<Problem>> {
    check_ins.privacy.draft(kept_s(config), day(now))
}
