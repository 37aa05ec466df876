//! A systemd unit's restrictions, carried out without systemd: its seccomp
//! filter, built from the unit's own lines, and bubblewrap for the rest.
//!
//! What a cgroup does is not here: MemoryMax, MemorySwapMax, IPAddressDeny and
//! the device list of DevicePolicy (here there simply are no other devices).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// errno of a call that the unit forbids (`SystemCallErrorNumber=EPERM`).
const EPERM: u32 = 1;
/// errno of `clone3` under RestrictNamespaces: systemd says so that libc falls
/// back to `clone`, whose flags a filter can see.
const ENOSYS: u32 = 38;
const PROT_WRITE: u64 = 2;
const PROT_EXEC: u64 = 4;
const SHM_EXEC: u64 = 0o100_000;
/// All CLONE_NEW… flags (sched.h).
const NAMESPACES: u64 = 0x7e02_0080;
const SET_ID_BITS: u64 = 0o6000;

/// The `[Service]` section of a unit in `systemd/`.
pub struct Unit(BTreeMap<String, Vec<String>>);

impl Unit {
    pub fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name);
        let text = std::fs::read_to_string(path).unwrap();
        let service = text.split("[Service]").nth(1).unwrap().split("\n[").next().unwrap();
        let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in service.lines().filter(|l| !l.starts_with('#')) {
            if let Some((key, value)) = line.split_once('=') {
                keys.entry(key.into()).or_default().push(value.into());
            }
        }
        Self(keys)
    }

    /// The values of a key, in their order.
    pub fn all(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// The one value of a key.
    pub fn one(&self, key: &str) -> &str {
        match self.all(key) {
            [one] => one,
            found => panic!("{key} should stand there once: {found:?}"),
        }
    }

    /// What the unit allows to be called, groups spelt out.
    fn allowed(&self) -> BTreeSet<String> {
        // systemd always allows what starting and ending a program needs.
        let mut allowed = group("@default");
        for line in self.all("SystemCallFilter") {
            let (forbid, words) = line.strip_prefix('~').map_or((false, line.as_str()), |w| (true, w));
            for word in words.split_whitespace() {
                let names = if word.starts_with('@') { group(word) } else { BTreeSet::from([word.into()]) };
                if forbid {
                    allowed.retain(|n| !names.contains(n));
                } else {
                    allowed.extend(names);
                }
            }
        }
        assert!(allowed.len() > 150 && allowed.contains("read"), "{allowed:?}");
        allowed
    }

    /// The filters, as the kernel takes them.
    fn filters(&self) -> Vec<Vec<u8>> {
        assert_eq!(self.one("SystemCallErrorNumber"), "EPERM");
        let numbers = syscall_numbers();
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
        for name in self.allowed() {
            // Joining a namespace cannot be seen by its flags: 0 joins any.
            if name == "setns" && self.one("RestrictNamespaces") == "yes" {
                continue;
            }
            // A name that this machine's headers do not know cannot be called by number either.
            if let Some(number) = numbers.get(&name) {
                rules.insert(*number, self.conditions(&name));
            }
        }
        let arch = || std::env::consts::ARCH.try_into().unwrap();
        let errno = SeccompAction::Errno;
        let list = SeccompFilter::new(rules, errno(EPERM), SeccompAction::Allow, arch()).unwrap();
        let clone3 = BTreeMap::from([(numbers["clone3"], Vec::new())]);
        let clone3 = SeccompFilter::new(clone3, SeccompAction::Allow, errno(ENOSYS), arch()).unwrap();
        [list, clone3].into_iter().map(|f| bytes(&f.try_into().unwrap())).collect()
    }

    /// When a call is allowed; empty: always.
    fn conditions(&self, call: &str) -> Vec<SeccompRule> {
        let yes = |key: &str| self.one(key) == "yes";
        let masked = |argument, mask, value| when(argument, SeccompCmpOp::MaskedEq(mask), value);
        match call {
            "socket" | "socketpair" => {
                let families = self.one("RestrictAddressFamilies").split_whitespace();
                families.map(|f| when(0, SeccompCmpOp::Eq, family(f))).collect()
            }
            "mmap" if yes("MemoryDenyWriteExecute") => {
                let both = PROT_WRITE | PROT_EXEC;
                [0, PROT_WRITE, PROT_EXEC].map(|allowed| masked(2, both, allowed)).into()
            }
            "mprotect" | "pkey_mprotect" if yes("MemoryDenyWriteExecute") => vec![masked(2, PROT_EXEC, 0)],
            "shmat" if yes("MemoryDenyWriteExecute") => vec![masked(2, SHM_EXEC, 0)],
            "clone" | "unshare" if yes("RestrictNamespaces") => vec![masked(0, NAMESPACES, 0)],
            "chmod" | "fchmod" if yes("RestrictSUIDSGID") => vec![masked(1, SET_ID_BITS, 0)],
            "fchmodat" if yes("RestrictSUIDSGID") => vec![masked(2, SET_ID_BITS, 0)],
            "personality" if yes("LockPersonality") => vec![when(0, SeccompCmpOp::Eq, 0)],
            _ => Vec::new(),
        }
    }
}

fn when(argument: u8, compare: SeccompCmpOp, value: u64) -> SeccompRule {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compare, value).unwrap();
    SeccompRule::new(vec![condition]).unwrap()
}

fn family(name: &str) -> u64 {
    match name {
        "AF_UNIX" => 1,
        "AF_INET" => 2,
        "AF_INET6" => 10,
        other => panic!("{other} is not known here; say its number"),
    }
}

/// `struct sock_filter`, one after the other (linux/filter.h).
fn bytes(program: &BpfProgram) -> Vec<u8> {
    program
        .iter()
        .flat_map(|i| {
            let [a, b] = i.code.to_ne_bytes();
            let [k0, k1, k2, k3] = i.k.to_ne_bytes();
            [a, b, i.jt, i.jf, k0, k1, k2, k3]
        })
        .collect()
}

/// A group of calls as systemd has it.
fn group(name: &str) -> BTreeSet<String> {
    let output = Command::new("systemd-analyze").args(["syscall-filter", name]).output().unwrap();
    assert!(output.status.success(), "systemd-analyze syscall-filter {name}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text.lines().skip(1).map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    words.flat_map(|w| if w.starts_with('@') { group(w) } else { BTreeSet::from([w.to_owned()]) }).collect()
}

/// The numbers of system calls on this machine, from the kernel's header.
pub fn syscall_numbers() -> BTreeMap<String, i64> {
    let candidates = [
        format!("/usr/include/{}-linux-gnu/asm/unistd_64.h", std::env::consts::ARCH),
        "/usr/include/asm-generic/unistd.h".into(),
    ];
    let text = candidates.iter().find_map(|p| std::fs::read_to_string(p).ok());
    let text = text.expect("the kernel's headers: install linux-libc-dev");
    text.lines()
        .filter_map(|l| {
            let (name, number) = l.strip_prefix("#define __NR_")?.split_once([' ', '\t'])?;
            Some((name.trim_start_matches("3264_").to_owned(), number.trim().parse().ok()?))
        })
        .collect()
}

/// Where a program runs confined.
pub struct Room<'a> {
    pub unit: &'a Unit,
    /// What it reads: configuration, keys, pictures.
    pub folder: &'a Path,
    /// The one folder that it may write (`StateDirectory=`).
    pub state: &'a Path,
    /// Without the filter, for comparison.
    pub filtered: bool,
}

impl Room<'_> {
    /// A script that runs a program in the room, with the arguments it is given.
    pub fn door(&self, script: &Path, program: &Path) -> PathBuf {
        let mut open = String::new();
        let mut filters = String::new();
        if self.filtered {
            for (n, filter) in self.unit.filters().into_iter().enumerate() {
                let file = script.with_extension(format!("bpf{n}"));
                std::fs::write(&file, filter).unwrap();
                open.push_str(&format!("exec {}< '{}'\n", n + 5, file.display()));
                filters.push_str(&format!("--add-seccomp-fd {} ", n + 5));
            }
        }
        let (folder, state) = (self.folder.display(), self.state.display());
        let text = format!(
            "#!/bin/sh\n# As the unit has it: core dumps off, umask, nothing from outside in the environment.\n\
             ulimit -c 0\numask 0077\n{open}exec bwrap --die-with-parent --unshare-user --uid 65534 --gid 65534 \
             --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try --cap-drop ALL \
             --ro-bind / / --tmpfs /dev --dev-bind /dev/null /dev/null --dev-bind /dev/zero /dev/zero \
             --dev-bind /dev/urandom /dev/urandom --remount-ro /dev --proc /proc --tmpfs /run --tmpfs /home \
             --tmpfs /root --tmpfs /var/tmp --tmpfs /tmp --ro-bind '{folder}' '{folder}' --bind '{state}' '{state}' \
             --clearenv --setenv PATH /usr/bin:/bin --setenv STATE_DIRECTORY '{state}' {filters}-- '{}' \"$@\"\n",
            program.display()
        );
        super::wrapper(script, &text)
    }
}
