//! Promises that types carry: what must not compile, or must not be
//! implemented. (Others stand beside their types as `compile_fail` examples.)

use counterproof::camera::health::Thumbnail;
use counterproof::crypto::seal::{RootKey, SealKey};
use counterproof::crypto::sign::SigningKey;
use counterproof::crypto::transform::{Transform, TransformKey};
use counterproof::edge::commission::Armed;
use counterproof::frame::{Frame, Sample};
use counterproof::protocol::commission::{Commission, VerifiedCommission};
use counterproof::protocol::reference::{Protected, Template};
use counterproof::verify::still::{Look, Said};
use counterproof::verify::subjects::Subjects;
use counterproof::verify::{Mismatch, Present, Verdict};
use counterproof::vision::align::Crop;
use counterproof::vision::embed::{Probe, ProtectedProbe};
use static_assertions::assert_not_impl_any;
use std::fmt::{Debug, Display};

// Pixels, probes, references and keys can be neither written nor copied nor printed.
assert_not_impl_any!(Frame: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(Sample: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(Thumbnail: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(Crop: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(Probe: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(ProtectedProbe: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(Template: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(Protected: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(Subjects: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(RootKey: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(SealKey: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(SigningKey: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(Transform: serde::Serialize, Clone, Debug, Display);
assert_not_impl_any!(TransformKey: serde::Serialize, Clone, Debug, Display);

// A verdict is not data: what is counted and written are words (`Outcome`).
assert_not_impl_any!(Verdict: serde::Serialize, Clone);
assert_not_impl_any!(Mismatch: serde::Serialize, Clone, From<Present>, From<Verdict>, From<Look>, From<Said>);

// Nothing arms a box but an order of the bureau that was verified, for what is in force.
assert_not_impl_any!(Armed: serde::Serialize, serde::de::DeserializeOwned, Default, From<Commission>);
assert_not_impl_any!(VerifiedCommission: serde::de::DeserializeOwned, Default, From<Commission>);

#[test]
fn a_probe_never_becomes_a_reference() {
    // There is no way from a probe to a template or a reference: the only constructor of a probe is
    // the recognizer's, and the only public reads of it are comparisons, or lead to comparisons.
    let source = include_str!("../../src/vision/embed.rs");
    let public = |of: &str| -> Vec<&str> {
        let block = source.split(of).nth(1).and_then(|s| s.split("\n}\n").next()).unwrap();
        block.lines().map(str::trim_start).filter(|l| l.starts_with("pub fn")).collect()
    };
    let ways = |of: &str, allowed: &[(&str, &str)]| {
        let found = public(of);
        let fits = |line: &&str, (name, out): &(&str, &str)| {
            line.starts_with(&format!("pub fn {name}")) && line.ends_with(&format!("-> {out} {{"))
        };
        assert_eq!(found.len(), allowed.len(), "{found:?}");
        assert!(found.iter().zip(allowed).all(|(line, a)| fits(line, a)), "{found:?}");
    };
    // One number about the whole face, and a mean that stays a probe.
    let quality = ("unified_quality", "f32");
    ways("impl Probe {", &[("protect", "Option<ProtectedProbe>"), quality, ("likeness", "Option<f32>")]);
    ways(
        "impl ProtectedProbe {",
        &[("compare", "Option<f32>"), ("likeness", "Option<f32>"), ("pool", "Option<Self>")],
    );
}
