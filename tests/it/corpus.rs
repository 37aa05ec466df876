//! What fuzzing has learnt and found, replayed with plain `cargo test`: every
//! kept input goes through the same functions and the same questions as under
//! `make fuzz` (`fuzz/src/targets`). And a few of the messages of `counterproof bench
//! messages`, in every dialect.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use counterproof::bench::messages::{Tally, made};
use counterproof::edge::his::Dialect;
use counterproof::edge::his::reading::ALL as READERS;

#[path = "../../fuzz/src/targets/mod.rs"]
mod targets;

use targets::{ALL, Target};

/// `fuzz/corpus` keeps what leads deep, `fuzz/findings` what was wrong once.
const KEPT: [&str; 2] = ["corpus", "findings"];
/// Most bytes that are kept in all.
const MOST: u64 = 1 << 20;

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    found.sort();
    found
}

fn replay(target: &Target) -> Vec<String> {
    let kept = KEPT.iter().flat_map(|kind| files(&folder(kind).join(target.name)));
    kept.filter_map(|path| {
        let bytes = std::fs::read(&path).unwrap();
        catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes))).is_err().then(|| path.display().to_string())
    })
    .collect()
}

#[test]
fn what_was_kept_is_read_or_refused_as_it_should_be() {
    let failed: Vec<String> = ALL.iter().flat_map(replay).collect();
    assert!(failed.is_empty(), "a target failed for:\n{}", failed.join("\n"));
}

/// A target whose seeds are all refused would fuzz nothing but its first check.
#[test]
fn every_seed_leads_where_it_should() {
    for target in ALL {
        let seeds = (target.seeds)();
        let accepted = seeds.iter().filter(|s| (target.run)(s)).count();
        assert!(accepted > 0 && seeds.iter().all(|s| s.len() <= target.longest), "{}", target.name);
        assert!(targets::find(target.name).is_some());
    }
}

#[test]
fn what_is_kept_belongs_to_a_target_and_is_small() {
    let mut bytes = 0;
    for kind in KEPT {
        for dir in files(&folder(kind)) {
            let name = dir.file_name().unwrap().to_string_lossy().into_owned();
            assert!(ALL.iter().any(|t| t.name == name), "no target reads {}", dir.display());
            bytes += files(&dir).iter().map(|f| f.metadata().unwrap().len()).sum::<u64>();
        }
    }
    assert!(bytes <= MOST, "{bytes} bytes are kept; minimise them with KEEP=1 make fuzz");
    let script = std::fs::read_to_string(folder("run")).unwrap();
    let named = script.lines().find_map(|l| l.strip_prefix("all=")).unwrap();
    let here: Vec<&str> = ALL.iter().map(|t| t.name).collect();
    assert_eq!(named.trim_matches('"'), here.join(" "), "fuzz/run names other targets");
}

#[test]
fn what_is_well_meant_is_understood_and_nothing_makes_a_reader_panic() {
    for reader in &READERS {
        let tally = Tally::default();
        let faults: Vec<String> =
            (0..2000).filter_map(|n| Some(format!("{} {n}: {}", reader.0, tally.read(reader, n)?))).collect();
        assert!(faults.is_empty() && tally.is_good(), "{faults:#?}");
        let counts = format!("{tally:?}");
        assert!(!counts.contains("understood: 0,") && !counts.contains("refused: 0,"), "{counts}");
    }
}

#[test]
fn every_dialect_is_tried() {
    for dialect in Dialect::ALL {
        assert!(READERS.iter().any(|(name, _)| *name == dialect.as_str()), "{}", dialect.as_str());
    }
    assert!(READERS.iter().all(|(name, _)| made(name, 0).is_some()));
}
