//! Nothing leaves, nothing stays: the canary in its short form, and the
//! process's shutters. `make canary` is the long form.

use std::path::PathBuf;

use crate::support::canary::run::{Wish, run};
use crate::support::hospital::Programs;

fn programs() -> Programs {
    Programs {
        agent: env!("CARGO_BIN_EXE_counterproof").into(),
        bureau: env!("CARGO_BIN_EXE_counterproof-bureau").into(),
    }
}

fn models() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/models/models.toml").into()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_face_is_written_sent_or_kept() {
    let dir = tempfile::tempdir().unwrap();
    let wish = Wish { programs: programs(), models: models(), leaks: String::new(), posture_after: false };
    let found = run(dir.path(), wish).await.unwrap();
    assert!(found.clean(), "{}\n{}", found.table(), found.json());
}

#[test]
fn the_program_has_no_leaks_that_can_be_switched_on() {
    for program in [programs().agent, programs().bureau] {
        let bytes = std::fs::read(&program).unwrap();
        let has = |text: &[u8]| bytes.windows(text.len()).any(|w| w == text);
        assert!(has(b"counterproof"), "{} was not read", program.display());
        // Written in two parts, so that this test's own words are never what is found.
        let variable = ["COUNTERPROOF", "_LEAK"].concat();
        assert!(!has(variable.as_bytes()), "{} was built with the feature `leak`", program.display());
    }
}
