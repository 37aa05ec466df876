//! The machine beneath the agent: disk and clock.

use std::path::Path;
use std::process::Command;

use crate::edge::config::Config;
use crate::privacy::policy::{
    ACKNOWLEDGED_ALERTS, AUDIT_LOG_YEARS, JOURNAL, Policy, WAITING_ALERTS, WITHDRAWAL_LINKS,
};

use super::Level;

/// Below this the box would soon not verify any more: a full disk ends it.
const LEAST_FREE: u64 = 256 << 20;
/// Settlements of a busy counter: one a minute for ten hours.
const SETTLEMENTS_A_DAY: u64 = 600;
/// Audit records of one settlement, measured on a box: 366 bytes of acceptance
/// and 383 of the verdict, and some for alerts.
const AUDIT_BYTES: u64 = 800;
/// Audit records of a box that nothing happens to: evidence, signatures, each hour.
const AUDIT_BYTES_A_DAY: u64 = 40 << 10;
/// A row of the journal, with its index.
const JOURNAL_BYTES: u64 = 2 << 10;
/// An alert is at most 4 KiB, sealed.
const ALERT_BYTES: u64 = 5 << 10;
/// One settlement in so many ends as an alert, taken high.
const SETTLEMENTS_PER_ALERT: u64 = 100;
const LINK_BYTES: u64 = 256;
const DAY: u64 = 86_400;

/// What the retention of this policy needs on the disk when it is in full
/// swing, in bytes: above all three years of audit log.
fn needed(policy: &Policy, counters: u64) -> u64 {
    let days = |limit| policy.limit(limit).as_secs().div_ceil(DAY);
    let settlements = SETTLEMENTS_A_DAY * counters;
    let alerts = settlements.div_ceil(SETTLEMENTS_PER_ALERT);
    let audit_days = u64::from(AUDIT_LOG_YEARS) * 365;
    audit_days * (settlements * AUDIT_BYTES + AUDIT_BYTES_A_DAY)
        + days(JOURNAL) * settlements * JOURNAL_BYTES
        + days(WAITING_ALERTS).max(days(ACKNOWLEDGED_ALERTS)) * alerts * ALERT_BYTES
        + days(WITHDRAWAL_LINKS) * alerts * LINK_BYTES
}

/// Bytes in a folder, links not followed; what cannot be read counts nothing.
fn used(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(m) if m.is_dir() => used(&entry.path()),
        Ok(m) => m.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

fn mb(bytes: u64) -> String {
    if bytes >= 10 << 30 { format!("{} GB", bytes >> 30) } else { format!("{} MB", bytes >> 20) }
}

/// Free space of the state folder's file system against what the policy keeps.
pub(super) fn disk(config: &Config, policy: &Policy) -> (Level, String) {
    let dir = &config.agent.state;
    let stat = match rustix::fs::statvfs(dir) {
        Ok(stat) => stat,
        Err(e) => return (Level::Failure, format!("{}: {e}: make the state folder", dir.display())),
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    judge(&dir.display().to_string(), free, used(dir), needed(policy, config.counters.len() as u64))
}

fn judge(dir: &str, free: u64, used: u64, needed: u64) -> (Level, String) {
    let found = format!(
        "{} free at {dir}; what this policy keeps takes up to {} ({} used so far)",
        mb(free),
        mb(needed),
        mb(used)
    );
    let more = mb(needed.saturating_sub(used));
    if free < LEAST_FREE {
        let floor = mb(LEAST_FREE);
        (
            Level::Failure,
            format!(
                "{found}; allowed: at least {floor} free, since nothing is verified on a full disk: free some or give the state folder a larger disk"
            ),
        )
    } else if free < needed.saturating_sub(used) {
        (
            Level::Warning,
            format!(
                "{found}: enough for now; give it {more} before the audit log, kept {AUDIT_LOG_YEARS} years, has grown"
            ),
        )
    } else {
        (Level::Ok, found)
    }
}

/// Whether somebody synchronises the clock.
pub(super) enum Synchronised {
    Yes(&'static str),
    No(&'static str),
    /// Nothing on this machine can tell.
    Untold,
}

impl Synchronised {
    /// As the kernel has it (`STA_UNSYNC`), whichever program sets it: asked
    /// through `timedatectl`, since this program calls nothing unsafe itself. Where
    /// that does not answer, the mark that systemd-timesyncd leaves.
    fn of_this_machine() -> Self {
        let told = Command::new("timedatectl")
            .args(["show", "--property=NTPSynchronized", "--value"])
            .output()
            .ok()
            .filter(|o| o.status.success())
            .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
        let mark = Path::new("/run/systemd/timesync/synchronized").exists();
        Self::from_words(told.as_deref(), mark)
    }

    fn from_words(timedatectl: Option<&str>, mark: bool) -> Self {
        match (timedatectl, mark) {
            (Some("yes"), _) => Self::Yes("timedatectl says so"),
            (Some("no"), _) => Self::No("timedatectl says so"),
            (_, true) => Self::Yes("systemd-timesyncd says so"),
            (_, false) => Self::Untold,
        }
    }
}

/// Whether the clock is synchronised, and how far it is from the bureau's:
/// `off` in milliseconds, where the bureau answered.
pub(super) fn clock(config: &Config, off: Option<i64>) -> (Level, String) {
    judge_clock(&Synchronised::of_this_machine(), off, config.his.clock_error_ms)
}

fn judge_clock(synchronised: &Synchronised, off: Option<i64>, allowed_ms: u64) -> (Level, String) {
    // The bureau's answer tells whole seconds, and was under way.
    const COARSE_MS: u64 = 2000;
    let bureau = match off {
        Some(off) if off.unsigned_abs() > allowed_ms + COARSE_MS => {
            return (
                Level::Failure,
                format!(
                    "{} s from the bureau's clock; allowed: {allowed_ms} ms (his.clock_error_ms): every verdict would be not_assessed(clock_uncertain); synchronise this box (systemd-timesyncd or chrony, by a server that the hospital names)",
                    off / 1000
                ),
            );
        }
        Some(_) => "agrees with the bureau's to about a second",
        None => "not compared with the bureau's",
    };
    match synchronised {
        Synchronised::Yes(who) => (Level::Ok, format!("synchronised ({who}); {bureau}")),
        Synchronised::No(who) => (
            Level::Warning,
            format!(
                "not synchronised ({who}); {bureau}: name a time server in /etc/systemd/timesyncd.conf (NTP=…) and `timedatectl set-ntp true`, or run chrony"
            ),
        ),
        Synchronised::Untold => (
            Level::Warning,
            format!(
                "whether it is synchronised cannot be told: timedatectl does not answer and there is no /run/systemd/timesync/synchronized; {bureau}: look whether chrony or another NTP program runs"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_judged_by_its_floor_and_by_what_the_policy_keeps() {
        let at = |free: u64, used: u64| judge("/state", free << 20, used << 20, 1000 << 20);
        assert_eq!(at(2000, 0).0, Level::Ok);
        assert_eq!(at(900, 0).0, Level::Warning);
        assert_eq!(at(900, 200).0, Level::Ok);
        let (level, found) = at(255, 900);
        assert_eq!(level, Level::Failure);
        assert!(found.contains("allowed: at least 256 MB free"), "{found}");
    }

    #[test]
    fn a_clock_is_judged_by_the_bureaus_and_by_who_sets_it() {
        let yes = Synchronised::from_words(Some("yes"), false);
        assert_eq!(judge_clock(&yes, Some(1500), 1000).0, Level::Ok);
        assert_eq!(judge_clock(&yes, None, 1000).0, Level::Ok);
        let (level, found) = judge_clock(&yes, Some(-60_000), 1000);
        assert_eq!(level, Level::Failure);
        assert!(found.starts_with("-60 s from"), "{found}");
        for (told, mark) in [(Some("no"), true), (None, false), (Some(""), false)] {
            let (level, found) = judge_clock(&Synchronised::from_words(told, mark), Some(0), 1000);
            assert_eq!(level, Level::Warning, "{found}");
        }
        assert_eq!(judge_clock(&Synchronised::from_words(None, true), None, 1000).0, Level::Ok);
    }
}
