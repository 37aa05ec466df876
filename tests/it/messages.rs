//! Messages of every dialect as untidy as `docs/his.md` promises to read them, and spoilt
//! ones: a few of those of `counterproof bench messages`.

use counterproof::bench::messages::{Tally, made};
use counterproof::edge::his::Dialect;
use counterproof::edge::his::reading::ALL;

#[test]
fn what_is_well_meant_is_understood_and_nothing_makes_a_reader_panic() {
    for reader in &ALL {
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
        assert!(ALL.iter().any(|(name, _)| *name == dialect.as_str()), "{}", dialect.as_str());
    }
    assert!(ALL.iter().all(|(name, _)| made(name, 0).is_some()));
}
