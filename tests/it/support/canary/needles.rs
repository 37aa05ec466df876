//! What the canary searches for, and the search.
//!
//! A needle is a short run of bytes that stands for a picture or an embedding
//! in one form: long and varied enough that it does not turn up by chance. All
//! are looked for at once. Numbers written as text have many shapes and are
//! compared as numbers ([`super::decimals`]). The marks with which pictures
//! begin are looked for in plain text only: a few fixed bytes turn up by
//! chance in what is encrypted.

use std::collections::BTreeMap;

use aho_corasick::AhoCorasick;
use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE};

use super::decimals::Decimals;

/// What was found, coarsely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Of a picture: as sent, decoded, cut out, or a model's look at it.
    Pixel,
    /// Of an embedding of a face at the counter.
    Probe,
    /// Of a reference that the bureau handed out.
    Reference,
}

/// How often something was found, and the first of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    pub hits: usize,
    pub first: String,
}

/// What was found, by class and form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hits(pub BTreeMap<(Class, &'static str), Count>);

impl Hits {
    pub fn add(&mut self, class: Class, form: &'static str, of: impl FnOnce() -> String) {
        self.0.entry((class, form)).or_insert_with(|| Count { hits: 0, first: of() }).hits += 1;
    }

    pub fn merge(&mut self, other: Self) {
        for (key, count) in other.0 {
            let entry = self.0.entry(key).or_insert(Count { hits: 0, first: count.first });
            entry.hits += count.hits;
        }
    }

    /// How many of a class.
    pub fn of(&self, class: Class) -> usize {
        self.0.iter().filter(|((c, _), _)| *c == class).map(|(_, n)| n.hits).sum()
    }

    /// Whether a form was found: `probe-hex`, or `jpeg` as `jpeg-base64`.
    pub fn has(&self, form: &str) -> bool {
        self.0.keys().any(|(_, f)| f.strip_prefix(form).is_some_and(|r| r.is_empty() || r.starts_with('-')))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Display for Hits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, ((class, form), count)) in self.0.iter().enumerate() {
            let gap = if i == 0 { "" } else { "; " };
            write!(f, "{gap}{class:?} {form} x{} (first: {})", count.hits, count.first)?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Label {
    class: Class,
    form: &'static str,
    of: u32,
}

/// Needles being gathered.
#[derive(Default)]
pub struct Needles {
    patterns: Vec<Vec<u8>>,
    labels: Vec<Label>,
    things: Vec<String>,
    decimals: Decimals,
}

/// Fewer different bytes than this in a needle of bytes say nothing.
const LEAST_VARIETY: usize = 8;

impl Needles {
    /// Something to look for; its forms are added to it.
    pub fn thing(&mut self, name: impl Into<String>) -> Thing<'_> {
        self.things.push(name.into());
        Thing { of: (self.things.len() - 1) as u32, needles: self }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.patterns.len() + self.decimals.len()
    }

    /// Ready to search.
    pub fn build(self) -> Search {
        let automaton = AhoCorasick::new(&self.patterns).expect("as many needles as there are fit");
        let marks = AhoCorasick::new(MARKS.map(|m| m.1)).expect("a few marks fit");
        let Self { labels, things, decimals, .. } = self;
        Search { automaton, marks, labels, things, decimals }
    }
}

/// One picture or embedding whose forms are looked for.
pub struct Thing<'a> {
    needles: &'a mut Needles,
    of: u32,
}

impl Thing<'_> {
    fn pattern(&mut self, class: Class, form: &'static str, pattern: Vec<u8>) {
        self.needles.patterns.push(pattern);
        self.needles.labels.push(Label { class, form, of: self.of });
    }

    /// Windows of `width` bytes, spread over `bytes`, at most `most`; those that
    /// vary too little are passed over for a later one.
    fn windows(&mut self, class: Class, form: &'static str, bytes: &[u8], width: usize, most: usize) {
        let step = (bytes.len() / most.max(1)).max(width);
        for place in bytes.chunks(step) {
            if let Some(window) = place.windows(width).find(|w| variety(w) >= LEAST_VARIETY.min(width / 2)) {
                self.pattern(class, form, window.to_vec());
            }
        }
    }

    /// A picture as the camera sent it, plain and as base64.
    pub fn jpeg(mut self, bytes: &[u8]) -> Self {
        // Headers and tables are alike in all pictures of a camera: behind the start of the scan.
        let scan = bytes.windows(2).rposition(|w| w == [0xff, 0xda]).map_or(0, |at| at + 16);
        let data = &bytes[scan.min(bytes.len())..];
        self.windows(Class::Pixel, "jpeg", data, 24, 12);
        for shift in 0..3 {
            let text = STANDARD.encode(bytes.get(scan + shift..).unwrap_or_default());
            self.windows(Class::Pixel, "jpeg-base64", text.as_bytes(), 28, 4);
        }
        self
    }

    /// A row of pixels, as bytes.
    pub fn row(mut self, form: &'static str, row: &[u8]) -> Self {
        self.windows(Class::Pixel, form, row, 24, 2);
        self
    }

    /// A row of numbers of a model's input or inside, as f32: 8 in a row.
    pub fn tensor(mut self, class: Class, form: &'static str, row: &[f32]) -> Self {
        let varied = row.windows(8).find(|w| {
            let mut values: Vec<u32> = w.iter().map(|v| v.to_bits()).collect();
            values.sort_unstable();
            values.dedup();
            values.len() >= 6
        });
        if let Some(window) = varied {
            self.pattern(class, form, window.iter().flat_map(|v| v.to_le_bytes()).collect());
        }
        self
    }

    /// An embedding in every form. `names` are the forms' names for its class.
    pub fn embedding(mut self, class: Class, names: &'static Names, values: &[f32]) -> Self {
        let bytes = |f: fn(f32) -> [u8; 4]| values.iter().flat_map(|v| f(*v)).collect::<Vec<u8>>();
        let (little, big) = (bytes(f32::to_le_bytes), bytes(f32::to_be_bytes));
        for at in starts(values.len(), 5) {
            self.pattern(class, names.f32, little[at * 4..][..20].to_vec());
            self.pattern(class, names.f32, big[at * 4..][..20].to_vec());
        }
        for round in [f64::round as fn(f64) -> f64, f64::trunc] {
            let halves: Vec<u16> = values.iter().map(|v| half(*v, round)).collect();
            for at in starts(values.len(), 6) {
                let part = &halves[at..at + 6];
                self.pattern(class, names.f16, part.iter().flat_map(|v| v.to_le_bytes()).collect());
                self.pattern(class, names.f16, part.iter().flat_map(|v| v.to_be_bytes()).collect());
            }
        }
        self.small(class, names.i8, values);
        for text in [hex(&little, false), hex(&little, true), hex(&big, false), hex(&big, true)] {
            for at in starts(values.len(), 4) {
                self.pattern(class, names.hex, text.as_bytes()[at * 8..][..32].to_vec());
            }
        }
        for shift in 0..3 {
            for engine in [&STANDARD, &URL_SAFE] {
                let text = engine.encode([&[0; 2][..shift], &little].concat());
                for at in starts(text.len() - 8, 27) {
                    self.pattern(class, names.base64, text.as_bytes()[at + 4..][..27].to_vec());
                }
            }
        }
        self.needles.decimals.add(class, names.decimal, self.of, values);
        self
    }

    /// As signed bytes: scaled by 127 and 128 as it is, and so that the greatest
    /// is 127; rounded and cut off. 16 in a row, since each says little.
    fn small(&mut self, class: Class, form: &'static str, values: &[f32]) {
        let greatest = values.iter().fold(0.0f32, |m, v| m.max(v.abs())).max(f32::MIN_POSITIVE);
        for scale in [127.0, 128.0, 127.0 / greatest] {
            for round in [f32::round as fn(f32) -> f32, f32::trunc] {
                let bytes: Vec<u8> = values.iter().map(|v| round(v * scale) as i8 as u8).collect();
                for at in starts(bytes.len(), 16).step_by(2) {
                    if variety(&bytes[at..at + 16]) >= LEAST_VARIETY {
                        self.pattern(class, form, bytes[at..at + 16].to_vec());
                    }
                }
            }
        }
    }
}

/// Names of an embedding's forms.
pub struct Names {
    f32: &'static str,
    f16: &'static str,
    i8: &'static str,
    hex: &'static str,
    base64: &'static str,
    decimal: &'static str,
}

/// Forms of a probe, of unit length or as the model gave it.
pub const PROBE: Names = Names {
    f32: "probe-f32",
    f16: "probe-f16",
    i8: "probe-i8",
    hex: "probe-hex",
    base64: "probe-base64",
    decimal: "probe-decimal",
};

/// Forms of a reference.
pub const REFERENCE: Names = Names {
    f32: "reference-f32",
    f16: "reference-f16",
    i8: "reference-i8",
    hex: "reference-hex",
    base64: "reference-base64",
    decimal: "reference-decimal",
};

/// Where pictures begin, plain and as base64. A JPEG's first marker segment is
/// APPn, a table or a frame header; PNG has eight bytes of its own; H.264 access
/// units begin with parameter sets, a key picture or a picture.
const MARKS: [(&str, &[u8]); 15] = [
    ("jpeg-mark", b"\xff\xd8\xff\xe0"),
    ("jpeg-mark", b"\xff\xd8\xff\xe1"),
    ("jpeg-mark", b"\xff\xd8\xff\xdb"),
    ("jpeg-mark", b"\xff\xd8\xff\xc0"),
    ("jpeg-mark", b"\xff\xd8\xff\xee"),
    ("jpeg-mark", b"\xff\xd8\xff\xfe"),
    ("png-mark", b"\x89PNG\r\n\x1a\n"),
    ("h264-mark", b"\x00\x00\x00\x01\x67"),
    ("h264-mark", b"\x00\x00\x00\x01\x65"),
    ("h264-mark", b"\x00\x00\x00\x01\x41"),
    ("jpeg-mark-base64", b"/9j/4A"),
    ("jpeg-mark-base64", b"/9j/2w"),
    ("png-mark-base64", b"iVBORw0KGgo"),
    ("h264-mark-base64", b"AAAAAWc"),
    ("h264-mark-base64", b"AAAAAWU"),
];

/// Longest run of bytes that a needle or mark may have: parts of one stream
/// that are searched for themselves must overlap by as much.
pub const LONGEST: usize = 64;

/// Everything that is looked for.
pub struct Search {
    automaton: AhoCorasick,
    marks: AhoCorasick,
    labels: Vec<Label>,
    things: Vec<String>,
    decimals: Decimals,
}

impl Search {
    /// Bytes of any kind: needles.
    pub fn bytes(&self, haystack: &[u8]) -> Hits {
        let mut hits = Hits::default();
        for found in self.automaton.find_overlapping_iter(haystack) {
            let label = self.labels[found.pattern()];
            hits.add(label.class, label.form, || self.things[label.of as usize].clone());
        }
        hits
    }

    /// Plain text or plain data: needles, numbers, and the marks of pictures.
    pub fn plain(&self, haystack: &[u8]) -> Hits {
        let mut hits = self.bytes(haystack);
        hits.merge(self.numbers(haystack));
        for found in self.marks.find_overlapping_iter(haystack) {
            hits.add(Class::Pixel, MARKS[found.pattern()].0, || format!("at byte {}", found.start()));
        }
        hits
    }

    /// Numbers written as text.
    pub fn numbers(&self, haystack: &[u8]) -> Hits {
        let mut hits = Hits::default();
        self.decimals.search(haystack, |class, form, of| {
            hits.add(class, form, || self.things[of as usize].clone());
        });
        hits
    }
}

/// Where to cut windows of `width` from `len`: seven places, both ends among them.
fn starts(len: usize, width: usize) -> impl Iterator<Item = usize> {
    let last = len.checked_sub(width).expect("longer than a needle");
    (0..7).map(move |i| last * i / 6)
}

fn variety(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    bytes.iter().for_each(|b| seen[usize::from(*b)] = true);
    seen.iter().filter(|s| **s).count()
}

fn hex(bytes: &[u8], upper: bool) -> String {
    bytes.iter().map(|b| if upper { format!("{b:02X}") } else { format!("{b:02x}") }).collect()
}

/// IEEE 754 half precision, rounded or cut off; ties and values of 65520 and
/// above do not occur in embeddings.
pub fn half(v: f32, round: fn(f64) -> f64) -> u16 {
    let sign = (v.to_bits() >> 16) as u16 & 0x8000;
    let size = f64::from(v.abs());
    if size < 2f64.powi(-14) {
        return sign | round(size * 2f64.powi(24)) as u16;
    }
    let exponent = size.log2().floor() as i32;
    let mantissa = round(size / 2f64.powi(exponent) * 1024.0) as u16 - 1024;
    // A mantissa rounded up to 1024 carries into the exponent, as it should.
    sign + ((exponent + 15) as u16 * 1024 + mantissa)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let raw: Vec<f32> = (0..128).map(|_| next()).collect();
        let length = raw.iter().map(|v| v * v).sum::<f32>().sqrt();
        raw.iter().map(|v| v / length).collect()
    }

    fn noise(n: usize, seed: u32) -> Vec<u8> {
        let mut state = seed;
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    }

    fn search() -> Search {
        let mut needles = Needles::default();
        needles.thing("face").embedding(Class::Probe, &PROBE, &values(1));
        needles.thing("picture").jpeg(&noise(4000, 5)).row("pixels", &noise(300, 6));
        needles.thing("crop").tensor(Class::Pixel, "crop-f32", &values(3));
        needles.build()
    }

    /// Planted in the middle of other bytes.
    fn planted(bytes: &[u8]) -> Vec<u8> {
        [&noise(997, 77), bytes, &noise(1003, 78)].concat()
    }

    #[test]
    fn every_encoding_is_found_and_named() {
        let s = search();
        let v = values(1);
        let little: Vec<u8> = v.iter().flat_map(|v| v.to_le_bytes()).collect();
        let big: Vec<u8> = v.iter().flat_map(|v| v.to_be_bytes()).collect();
        let list = |f: &dyn Fn(&f32) -> String| v.iter().map(f).collect::<Vec<_>>().join(", ");
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("probe-f32", little.clone()),
            ("probe-f32", little[200..300].to_vec()),
            ("probe-f32", big.clone()),
            ("probe-f16", v.iter().flat_map(|v| half(*v, f64::round).to_le_bytes()).collect()),
            ("probe-f16", v.iter().flat_map(|v| half(*v, f64::trunc).to_be_bytes()).collect()),
            ("probe-i8", v.iter().map(|v| (v * 127.0).round() as i8 as u8).collect()),
            ("probe-i8", v.iter().map(|v| (v * 128.0) as i8 as u8).collect()),
            ("probe-hex", hex(&little, false).into_bytes()),
            ("probe-hex", hex(&big, true).into_bytes()),
            ("probe-base64", STANDARD.encode(&little).into_bytes()),
            ("probe-base64", STANDARD.encode([&[7], &little[..]].concat()).into_bytes()),
            ("probe-base64", URL_SAFE.encode([&[7, 8], &little[..]].concat()).into_bytes()),
            ("probe-decimal", serde_json::to_vec(&v).unwrap()),
            ("probe-decimal", list(&|v| format!("{v:.6}")).into_bytes()),
            ("probe-decimal", list(&|v| format!("{v:.4}")).into_bytes()),
            ("probe-decimal", list(&|v| format!("{v:.3}")).into_bytes()),
            ("probe-decimal", list(&|v| format!("{v:e}")).into_bytes()),
            (
                "probe-decimal",
                v.iter().rev().map(|v| format!("x {}\n", f64::from(*v))).collect::<String>().into_bytes(),
            ),
            ("jpeg", noise(4000, 5)[500..3000].to_vec()),
            ("jpeg-base64", STANDARD.encode(noise(4000, 5)).into_bytes()),
            ("pixels", noise(300, 6)),
            ("crop-f32", values(3).iter().flat_map(|v| v.to_le_bytes()).collect()),
        ];
        for (form, bytes) in cases {
            let hits = s.plain(&planted(&bytes));
            assert!(hits.has(form), "{form} was not found, only: {hits}");
        }
    }

    #[test]
    fn marks_are_found_in_plain_text() {
        let s = search();
        for mark in
            [&b"\xff\xd8\xff\xe0\x00\x10JFIF"[..], b"\x89PNG\r\n\x1a\n", b"\0\0\0\x01\x67\x64", b"/9j/4AAQ"]
        {
            let hits = s.plain(&planted(mark));
            assert_eq!(hits.of(Class::Pixel), 1, "{mark:?}: {hits}");
        }
    }

    #[test]
    fn other_bytes_and_other_numbers_are_not_found() {
        let s = search();
        assert_eq!(s.plain(&noise(1 << 20, 9)), Hits::default());
        let others: Vec<u8> = values(2).iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(s.plain(&others), Hits::default());
        assert_eq!(s.plain(&serde_json::to_vec(&values(2)).unwrap()), Hits::default());
        assert_eq!(s.plain(&vec![0; 1 << 16]), Hits::default());
    }

    #[test]
    fn halves_are_ieee_754() {
        for (v, bits) in [(1.0, 0x3c00), (-2.0, 0xc000), (0.5, 0x3800), (0.0, 0), (0.1, 0x2e66), (6e-8, 1)] {
            assert_eq!(half(v, f64::round), bits, "{v}");
        }
    }
}
