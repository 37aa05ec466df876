//! Leaks that can be built in (`src/edge/leak.rs`), and whether each was found.

use super::run::Found;

/// Every sink with at least one form, every form at least once.
pub const LEAKS: [(&str, &str); 17] = [
    ("wire", "jpeg"),
    ("wire", "pixels"),
    ("wire", "crop"),
    ("wire", "probe-f16"),
    ("alert", "probe-base64"),
    ("posture", "probe-decimal"),
    ("sealed", "probe-f32"),
    ("sealed", "crop"),
    ("log", "probe-decimal"),
    ("log", "jpeg"),
    ("audit", "probe-hex"),
    ("metrics", "probe-decimal"),
    ("file", "jpeg"),
    ("file", "probe-i8"),
    ("his", "probe-base64"),
    ("his", "probe-hex"),
    ("memory", "probe-f32"),
];

/// As the agent's variable wants them.
pub fn variable() -> String {
    LEAKS.map(|(sink, what)| format!("{sink}:{what}")).join(",")
}

/// Which were built into the run, and whether each was found.
pub fn found(run: &Found) -> Vec<(String, bool)> {
    let there = LEAKS.iter().filter(|(sink, _)| *sink != "metrics" || run.metrics);
    there
        .map(|(sink, what)| {
            let found = match *sink {
                "memory" => run.after.hits.has(what),
                _ => run.sinks.iter().any(|s| s.name == *sink && s.hits.has(what)),
            };
            (format!("{sink}:{what}"), found)
        })
        .collect()
}
