//! Promises that types carry: what must not compile, or must not be
//! implemented. (Others stand beside their types as `compile_fail` examples.)

use counterproof::crypto::seal::{RootKey, SealKey};
use counterproof::crypto::sign::SigningKey;
use counterproof::frame::{Frame, Sample};
use counterproof::protocol::reference::Template;
use counterproof::verify::evidence::Subject;
use counterproof::verify::{Mismatch, Present, Verdict};
use counterproof::vision::align::Crop;
use counterproof::vision::embed::Probe;
use static_assertions::assert_not_impl_any;
use std::fmt::{Debug, Display};

// Pixels, probes, references and keys can be neither written nor copied nor printed.
assert_not_impl_any!(Frame: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(Sample: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(Crop: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(Probe: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(Template: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(Subject: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(RootKey: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(SealKey: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(SigningKey: serde::Serialize, Clone, Debug, Display);

// A verdict is not data: what is counted and written are words (`Outcome`).
assert_not_impl_any!(Verdict: serde::Serialize, Clone);
assert_not_impl_any!(Mismatch: serde::Serialize, Clone, From<Present>, From<Verdict>);

#[test]
fn a_probe_never_becomes_a_reference() {
    // There is no way from a probe to a template: the only constructor of a probe is the
    // recognizer's, and the only public reads of it are comparisons.
    let source = include_str!("../../src/vision/embed.rs");
    let probe = source.split("impl Probe {").nth(1).and_then(|s| s.split("\n}\n").next()).unwrap();
    let public: Vec<&str> = probe.lines().filter(|l| l.trim_start().starts_with("pub fn")).collect();
    assert_eq!(public.len(), 2, "{public:?}");
    assert!(public.iter().all(|l| l.contains("Option<f32>")), "{public:?}");
}
