//! Keyed orthogonal transforms: each box's references lie in a space of their
//! own.
//!
//! A [`TransformKey`] gives one orthogonal matrix for each dimension, drawn
//! with Haar's measure (every rotation and reflection equally likely): rows of
//! standard normal numbers, made orthonormal one after the other, with the
//! diagonal of R kept positive (F. Mezzadri, "How to generate random matrices
//! from the classical compact groups", Notices of the AMS 54, 2007). The normal
//! numbers come from Box and Muller's method over HMAC-SHA256 in counter mode.
//!
//! Promises: an inner product of two vectors is kept to 1e-5; one key gives one
//! matrix on every machine, but for rounding in the last places; two keys give
//! unrelated matrices; the [`TransformId`] is made from key and algorithm, so
//! that what two keys or two algorithms made is never taken for one.
//!
//! What it does not do: hide anything from who has the key, which undoes the
//! transform, or from who has about as many known pairs as dimensions
//! (`docs/reference-protection.md`).

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

use super::Sha256;

/// How a key becomes a matrix. A change of anything that alters the matrix is
/// another algorithm with another name.
pub const ALGORITHM: &str = "haar-hmac-sha256-v1";

/// Which key and algorithm a transform was made from: the first 16 hexadecimal
/// digits of a SHA-256. Not secret, and of no use for finding the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransformId([u8; 8]);

/// The text does not name a transform.
#[derive(Debug, thiserror::Error)]
#[error("found `{0}`; expected 16 hexadecimal digits (the id of a transform)")]
pub struct NotATransformId(String);

impl std::fmt::Display for TransformId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl std::str::FromStr for TransformId {
    type Err = NotATransformId;

    fn from_str(s: &str) -> Result<Self, NotATransformId> {
        let digits = s.len() == 16 && s.bytes().all(|b| b.is_ascii_hexdigit());
        let bad = || NotATransformId(s.chars().take(80).collect());
        if !digits {
            return Err(bad());
        }
        u64::from_str_radix(s, 16).map(|n| Self(n.to_be_bytes())).map_err(|_| bad())
    }
}

impl serde::Serialize for TransformId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for TransformId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TransformError {
    /// Not 32 bytes of base64.
    #[error("the key of a transform is 32 bytes as base64")]
    Key,
    /// The crypto library failed.
    #[error("the crypto library could not derive a key")]
    Library,
}

/// The 32 secret bytes from which one box's transforms are made. Overwritten
/// when dropped.
pub struct TransformKey(Zeroizing<[u8; 32]>);

impl TransformKey {
    /// Takes 32 bytes of good randomness.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key for one purpose under a secret; different purposes give
    /// unrelated keys (HKDF-SHA256).
    ///
    /// # Errors
    /// Only if the crypto library fails.
    pub fn derive(secret: &[u8; 32], purpose: &[&str]) -> Result<Self, TransformError> {
        let mut key = Zeroizing::new([0; 32]);
        // Each part with its length before it: ("ab", "c") is not ("a", "bc").
        let info: Vec<u8> = purpose
            .iter()
            .flat_map(|p| (p.len() as u64).to_be_bytes().into_iter().chain(p.bytes()))
            .collect();
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"counterproof transform v1")
            .extract(secret)
            .expand(&[&info], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(key.as_mut()))
            .map_err(|_| TransformError::Library)?;
        Ok(Self(key))
    }

    /// The key as base64, for the box that it belongs to.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(self.0.as_ref()))
    }

    /// Reads [`TransformKey::to_base64`].
    ///
    /// # Errors
    /// If the text is not base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, TransformError> {
        let bytes = Zeroizing::new(BASE64.decode(text).map_err(|_| TransformError::Key)?);
        bytes.as_slice().try_into().map(|key| Self(Zeroizing::new(key))).map_err(|_| TransformError::Key)
    }

    /// Which transforms this key makes.
    pub fn id(&self) -> TransformId {
        let named =
            Zeroizing::new([b"transform id: ", ALGORITHM.as_bytes(), b": ", self.0.as_ref()].concat());
        let Sha256([a, b, c, d, e, f, g, h, ..]) = Sha256::of(&named);
        TransformId([a, b, c, d, e, f, g, h])
    }

    /// The transform for vectors of `dimension` numbers. Takes time with the
    /// third power of the dimension: milliseconds at 128, most of a second at 512.
    pub fn transform(&self, dimension: usize) -> Transform {
        let mut normal = Normal::new(self, dimension);
        let mut rows: Vec<Zeroizing<Vec<f64>>> = Vec::with_capacity(dimension);
        while rows.len() < dimension {
            let mut row: Zeroizing<Vec<f64>> = Zeroizing::new(normal.by_ref().take(dimension).collect());
            // Twice is enough for orthogonality to the last places (Giraud and others, "The loss of
            // orthogonality in the Gram-Schmidt process", Computers and Mathematics with Applications
            // 50, 2005).
            for _ in 0..2 {
                for done in &rows {
                    let along = dot(done, &row);
                    row.iter_mut().zip(done.iter()).for_each(|(r, d)| *r -= along * d);
                }
            }
            let length = dot(&row, &row).sqrt();
            // A row that lies in the span of those before is drawn again: it would be rounding noise.
            if length > 1e-9 {
                row.iter_mut().for_each(|r| *r /= length);
                rows.push(row);
            }
        }
        let mut flat = Zeroizing::new(Vec::with_capacity(dimension * dimension));
        flat.extend(rows.iter().flat_map(|row| row.iter().map(|v| *v as f32)));
        Transform { id: self.id(), dimension, rows: flat }
    }
}

/// The inner product, in eight sums side by side: one after the other, each
/// addition would wait for the one before.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (x, y) in a.iter().zip(b) {
        sums.iter_mut().zip(x.iter().zip(y)).for_each(|(s, (x, y))| *s += x * y);
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f64>()
}

/// Standard normal numbers from a key.
struct Normal {
    key: hmac::Key,
    dimension: [u8; 8],
    counter: u64,
    ready: Zeroizing<Vec<f64>>,
}

impl Normal {
    fn new(key: &TransformKey, dimension: usize) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key.0.as_ref()),
            dimension: (dimension as u64).to_be_bytes(),
            counter: 0,
            ready: Zeroizing::new(Vec::with_capacity(4)),
        }
    }

    /// One block of the stream: 32 bytes, four normal numbers.
    fn refill(&mut self) {
        let message = [ALGORITHM.as_bytes(), &self.dimension, &self.counter.to_be_bytes()].concat();
        self.counter += 1;
        let tag = hmac::sign(&self.key, &message);
        // 53 bits each, as many as a double holds: in (0, 1] for the logarithm, in [0, 1) for the angle.
        let unit = (1u64 << 53) as f64;
        for [a, b] in tag.as_ref().as_chunks::<8>().0.as_chunks::<2>().0 {
            let [a, b] = [a, b].map(|bytes| u64::from_be_bytes(*bytes) >> 11);
            let radius = (-2.0 * ((a + 1) as f64 / unit).ln()).sqrt();
            let (sin, cos) = (std::f64::consts::TAU * (b as f64 / unit)).sin_cos();
            self.ready.extend([radius * sin, radius * cos]);
        }
    }
}

impl Iterator for Normal {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        if self.ready.is_empty() {
            self.refill();
        }
        self.ready.pop()
    }
}

/// One orthogonal matrix. It cannot be cloned or printed, and is overwritten
/// when dropped.
///
/// ```compile_fail
/// fn copy(t: &counterproof::crypto::transform::Transform) -> counterproof::crypto::transform::Transform { t.clone() }
/// ```
/// ```compile_fail
/// fn show(t: &counterproof::crypto::transform::Transform) -> String { format!("{t:?}") }
/// ```
pub struct Transform {
    id: TransformId,
    dimension: usize,
    rows: Zeroizing<Vec<f32>>,
}

impl Transform {
    /// Which one it is.
    pub fn id(&self) -> TransformId {
        self.id
    }

    /// Numbers in the vectors that it takes.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The vector in this transform's space; `None` if it has not
    /// [`Transform::dimension`] numbers.
    pub fn apply(&self, vector: &[f32]) -> Option<Zeroizing<Vec<f32>>> {
        if vector.len() != self.dimension {
            return None;
        }
        let product = |row: &[f32]| {
            row.iter().zip(vector).map(|(r, v)| f64::from(*r) * f64::from(*v)).sum::<f64>() as f32
        };
        Some(Zeroizing::new(self.rows.chunks_exact(self.dimension.max(1)).map(product).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static ONE: LazyLock<Transform> = LazyLock::new(|| TransformKey::new([1; 32]).transform(128));
    static TWO: LazyLock<Transform> = LazyLock::new(|| TransformKey::new([2; 32]).transform(128));

    fn row(t: &Transform, i: usize) -> Vec<f64> {
        t.rows[i * t.dimension..][..t.dimension].iter().map(|v| f64::from(*v)).collect()
    }

    fn unit(values: Vec<f32>) -> Vec<f32> {
        let length = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt().max(1e-6) as f32;
        values.into_iter().map(|v| v / length).collect()
    }

    fn cosine(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    }

    #[test]
    fn the_matrix_is_orthogonal() {
        for (dimension, key) in [(1, 3), (2, 4), (127, 5), (128, 6)] {
            let t = TransformKey::new([key; 32]).transform(dimension);
            for i in 0..dimension {
                for j in 0..=i {
                    let expected = f64::from(u8::from(i == j));
                    assert!((dot(&row(&t, i), &row(&t, j)) - expected).abs() < 1e-6, "{dimension} {i} {j}");
                }
            }
        }
    }

    /// Boxes and bureau of different builds must make one matrix of one key: whoever has to change
    /// this digest has made another algorithm, and gives it another name.
    #[test]
    fn a_known_key_gives_the_known_matrix() {
        // Four decimals: the last places may differ between mathematical libraries.
        let rounded: Vec<u8> =
            ONE.rows.iter().flat_map(|v| ((f64::from(*v) * 1e4).round() as i16).to_be_bytes()).collect();
        assert_eq!(
            Sha256::of(&rounded).to_string(),
            "61fafaa3c5ba7250a8dd822f72cc9b9eb9f977e93f60ad3aa96baf00d48c40a0"
        );
        assert_eq!(TransformKey::new([1; 32]).id().to_string(), "7f5174eb12f806de");
        let again = TransformKey::new([1; 32]).transform(128);
        assert_eq!(*again.rows, *ONE.rows);
    }

    #[test]
    fn two_keys_give_unrelated_matrices_and_other_ids() {
        assert_ne!(ONE.id(), TWO.id());
        // The cosines of 128 random pairs of directions in 128 dimensions: standard deviation 0.088.
        let between: Vec<f64> = (0..128).map(|i| dot(&row(&ONE, i), &row(&TWO, i))).collect();
        let mean = between.iter().sum::<f64>() / 128.0;
        let deviation = (between.iter().map(|c| c * c).sum::<f64>() / 128.0).sqrt();
        assert!(mean.abs() < 0.04 && (0.06..0.12).contains(&deviation), "{mean} {deviation}");
        // Another dimension of the same key is no part of the larger matrix.
        let smaller = TransformKey::new([1; 32]).transform(64);
        let shared = dot(&row(&smaller, 0), &row(&ONE, 0)[..64]);
        assert!(shared.abs() < 0.5, "{shared}");
    }

    #[test]
    fn entries_are_spread_as_haar_s_measure_has_them() {
        // Variance 1/n and no preferred sign, also on the diagonal and in the last row, where a sign
        // convention that is forgotten shows.
        let n = 16;
        let all: Vec<Transform> = (0..200u8).map(|k| TransformKey::new([k; 32]).transform(n)).collect();
        for (i, j) in [(0, 0), (3, 9), (n - 1, n - 1), (n - 1, 0)] {
            let entries: Vec<f64> = all.iter().map(|t| f64::from(t.rows[i * n + j])).collect();
            let mean = entries.iter().sum::<f64>() / 200.0;
            let variance = entries.iter().map(|e| e * e).sum::<f64>() / 200.0;
            // Five standard errors of the mean; the variance within a half.
            assert!(mean.abs() < 5.0 * (1.0 / n as f64 / 200.0).sqrt(), "{i} {j}: mean {mean}");
            assert!((0.5..1.5).contains(&(variance * n as f64)), "{i} {j}: variance {variance}");
        }
    }

    #[test]
    fn derived_keys_belong_to_their_purpose() {
        let id = |purpose: &[&str]| TransformKey::derive(&[9; 32], purpose).unwrap().id();
        assert_eq!(id(&["box-1", "1"]), id(&["box-1", "1"]));
        for other in [&["box-1", "2"][..], &["box-2", "1"], &["box-11", ""], &["box-1"]] {
            assert_ne!(id(&["box-1", "1"]), id(other));
        }
        assert_ne!(id(&["box-1", "1"]), TransformKey::derive(&[8; 32], &["box-1", "1"]).unwrap().id());
    }

    #[test]
    fn a_vector_of_another_length_is_refused() {
        assert!(ONE.apply(&[0.0; 127]).is_none() && ONE.apply(&[]).is_none());
    }

    proptest! {
        #[test]
        fn inner_products_are_kept(
            a in proptest::collection::vec(-1f32..1.0, 128), b in proptest::collection::vec(-1f32..1.0, 128))
        {
            let (a, b) = (unit(a), unit(b));
            let (ta, tb) = (ONE.apply(&a).unwrap(), ONE.apply(&b).unwrap());
            prop_assert!((cosine(&a, &b) - cosine(&ta, &tb)).abs() < 1e-5);
            prop_assert!((cosine(&ta, &ta) - cosine(&a, &a)).abs() < 1e-5);
        }

        #[test]
        fn keys_and_ids_survive_their_texts(bytes in any::<[u8; 32]>(), text in ".{0,40}") {
            let key = TransformKey::new(bytes);
            prop_assert_eq!(TransformKey::from_base64(&key.to_base64()).unwrap().id(), key.id());
            prop_assert_eq!(key.id().to_string().parse::<TransformId>().unwrap(), key.id());
            let _ = TransformKey::from_base64(&text);
            if let Ok(id) = text.parse::<TransformId>() {
                prop_assert_eq!(id.to_string(), text.to_ascii_lowercase());
            }
        }
    }
}
