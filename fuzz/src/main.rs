//! libFuzzer around the targets: `FUZZ_TARGET` names one. With `FUZZ_SEEDS` it
//! writes that target's seeds into a folder and ends. `make fuzz` calls it.
#![no_main]

mod targets;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use targets::Target;

static TARGET: OnceLock<&Target> = OnceLock::new();

/// Finds the target, or says which there are.
fn begin() {
    let names = || targets::ALL.iter().map(|t| t.name).collect::<Vec<_>>().join(" ");
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let Some(target) = targets::find(&name) else {
        eprintln!("FUZZ_TARGET is `{name}`; it must be one of: {}", names());
        std::process::exit(2);
    };
    if let Some(dir) = std::env::var_os("FUZZ_SEEDS") {
        for (i, seed) in (target.seeds)().iter().enumerate() {
            let path = std::path::Path::new(&dir).join(format!("seed-{i}"));
            if let Err(e) = std::fs::write(&path, seed) {
                eprintln!("{}: {e}", path.display());
                std::process::exit(2);
            }
        }
        // The longest input worth trying, for libFuzzer's -max_len.
        println!("{}", target.longest);
        std::process::exit(0);
    }
    let _ = TARGET.set(target);
}

fuzz_target!(init: begin(), |data: &[u8]| {
    if let Some(target) = TARGET.get() {
        (target.run)(data);
    }
});
