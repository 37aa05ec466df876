//! The shutters: no core dump may hold a face, no other process may look into
//! this one, and no page of it may be written to swap. The agent closes them, and
//! the bureau where it serves or enrols: it holds references and alerts.
//!
//! The unit says the same (`LimitCORE=0`, `MemorySwapMax=0`); this holds for a
//! process that was started by hand too. Pages are locked only where no limit
//! on locked memory holds: under one, a lock on all that comes would make
//! allocations fail in the middle of a verification. Where they are not locked
//! and could be swapped, that is said at the start and in `check`.

use std::path::Path;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use tracing::{info, warn};

/// Why pages of this process cannot be swapped, or that they can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// The machine has none.
    Absent,
    /// Its control group may not use any.
    Forbidden,
    /// No limit holds, so that all pages can be locked.
    Lockable,
    /// Pages with faces could be written to a disk.
    Possible {
        /// The limit on locked memory, in bytes.
        limit: u64,
    },
}

impl std::fmt::Display for Swap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("this machine has no swap"),
            Self::Forbidden => f.write_str("this service may not use swap (memory.swap.max is 0)"),
            Self::Lockable => f.write_str("memory is locked, as no limit on that holds"),
            Self::Possible { limit } => write!(
                f,
                "pages with faces could be written to swap: the limit on locked memory is {limit} bytes; \
                 run as the unit does (MemorySwapMax=0), switch swap off, or allow LimitMEMLOCK=infinity"
            ),
        }
    }
}

impl Swap {
    /// What holds for this process.
    pub fn of_this_process() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let limit = getrlimit(Resource::Memlock).current.filter(|_| !may_lock(&read("/proc/self/status")));
        Self::from_words(limit, &read("/proc/swaps"), &read("/proc/self/cgroup"), |group| {
            let file =
                Path::new("/sys/fs/cgroup").join(group.trim_start_matches('/')).join("memory.swap.max");
            std::fs::read_to_string(file).ok()
        })
    }

    /// From the limit (`None`: none holds), `/proc/swaps`, `/proc/self/cgroup`
    /// and the `memory.swap.max` of a group.
    fn from_words(
        limit: Option<u64>,
        swaps: &str,
        groups: &str,
        swap_max: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let Some(limit) = limit else { return Self::Lockable };
        // The first line is the heading. An unreadable file must not look like a machine without swap.
        if swaps.lines().count() == 1 {
            return Self::Absent;
        }
        let unified = groups.lines().find_map(|l| l.strip_prefix("0::"));
        if unified.and_then(swap_max).is_some_and(|max| max.trim() == "0") {
            return Self::Forbidden;
        }
        Self::Possible { limit }
    }
}

/// Whether the process has `CAP_IPC_LOCK`, for which the limit does not hold;
/// from `/proc/self/status`.
fn may_lock(status: &str) -> bool {
    const IPC_LOCK: u32 = 14; // linux/capability.h
    let effective = status.lines().find_map(|l| l.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    effective.is_some_and(|caps| caps >> IPC_LOCK & 1 == 1)
}

/// Closes them; what cannot be closed is said in the log.
pub fn close() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(e) = setrlimit(Resource::Core, none) {
        warn!(error = %e, "core dumps could not be switched off");
    }
    if let Err(e) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        warn!(error = %e, "the process could not be made undumpable");
    }
    let swap = Swap::of_this_process();
    match swap {
        Swap::Lockable => {
            // As they are touched: locking at once would load every stack and library whole.
            let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
            match mlockall(all) {
                Ok(()) => info!(%swap, "shutters closed"),
                Err(e) => warn!(error = %e, "memory could not be locked; pages may be swapped"),
            }
        }
        Swap::Absent | Swap::Forbidden => info!(%swap, "shutters closed"),
        Swap::Possible { .. } => warn!("{swap}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str = "Filename\tType\tSize\tUsed\tPriority\n";
    const GROUPS: &str = "4:memory:/old\n0::/system.slice/counterproof.service\n";

    #[test]
    fn what_keeps_pages_from_swap_is_told_apart() {
        let swap = format!("{HEADING}/dev/sda2 partition 1 0 -2\n");
        let never = |_: &str| -> Option<String> { panic!("nothing to ask") };
        let max = |found: &'static str| {
            move |group: &str| {
                assert_eq!(group, "/system.slice/counterproof.service");
                Some(found.to_owned())
            }
        };
        assert_eq!(Swap::from_words(None, &swap, GROUPS, never), Swap::Lockable);
        assert_eq!(Swap::from_words(Some(1), HEADING, GROUPS, never), Swap::Absent);
        assert_eq!(Swap::from_words(Some(1), &swap, GROUPS, max("0\n")), Swap::Forbidden);
        for found in ["max\n", "4096\n", ""] {
            assert_eq!(Swap::from_words(Some(7), &swap, GROUPS, max(found)), Swap::Possible { limit: 7 });
        }
        assert!(may_lock("Name:\tx\nCapEff:\t0000000000004000\n"));
        assert!(!may_lock("CapEff:\t0000000000003fff\n") && !may_lock(""));
        // What cannot be read is not taken for good news.
        assert_eq!(Swap::from_words(Some(7), "", "", |_| None), Swap::Possible { limit: 7 });
    }
}
