//! The manifest of models, and files that are what it says.
//!
//! A file is read once, its SHA-256 compared with the manifest's, and only the
//! bytes that were compared are used: nothing can change in between.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::crypto::Sha256;
use crate::settings::{self, Problem, SettingsError, Validate};

/// `models/models.toml`, with the folder its files lie in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    #[serde(rename = "model")]
    models: Vec<Model>,
    #[serde(rename = "runtime")]
    runtimes: Vec<Runtime>,
    #[serde(rename = "sample", default)]
    samples: Vec<Sample>,
    #[serde(skip)]
    files: PathBuf,
}

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Finds faces and five landmarks.
    Detector,
    /// Makes an embedding of an aligned face.
    Recognizer,
    /// Tells a person from a picture of one.
    Liveness,
}

/// A family of models that one file of code knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// YuNet: `detect.rs`.
    Yunet,
    /// SFace: `embed.rs`.
    Sface,
    /// A classifier of presentations, live first of three: `liveness.rs`.
    Presentation,
}

/// A step that is applied to a model in memory before it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Let height and width vary.
    FreeSize,
    /// Take the weights out of the list of inputs, so that they can be folded.
    DropWeightInputs,
    /// Write PReLU as `a*x + relu((1-a)*x)`, which stays in the fast layout.
    SplitPrelu,
    /// Write PReLU after a normalised convolution into that convolution.
    FoldPrelu,
    /// Make YuNet's four heads of a stride one.
    MergeHeads,
    /// Give the last product weights of 8 bits: other embeddings.
    EightBitHead,
}

impl Step {
    /// Every step, in an order in which they can follow one another.
    pub const ALL: [Self; 6] = [
        Self::FreeSize,
        Self::DropWeightInputs,
        Self::FoldPrelu,
        Self::SplitPrelu,
        Self::MergeHeads,
        Self::EightBitHead,
    ];
}

/// How far the runtime may rewrite the graph; measured for each model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimisation {
    /// Rewrites that keep the layout.
    Extended,
    /// Layout changes too.
    All,
}

/// One model.
#[derive(Debug, Clone, Deserialize)]
pub struct Model {
    /// Its name in configurations.
    pub id: String,
    /// What it is for.
    pub role: Role,
    /// Which code runs it.
    pub kind: Kind,
    /// Its file.
    #[serde(flatten)]
    pub file: FileEntry,
    /// Steps before it is run, in order.
    pub prepare: Vec<Step>,
    /// How far the runtime may rewrite it.
    pub optimisation: Optimisation,
    /// Its input, for people.
    pub input: String,
    /// Its output, for people.
    pub output: String,
}

/// The inference library of one architecture.
#[derive(Debug, Clone, Deserialize)]
struct Runtime {
    arch: String,
    #[serde(flatten)]
    file: FileEntry,
}

/// A photograph for the demo and the tests.
#[derive(Debug, Clone, Deserialize)]
struct Sample {
    id: String,
    #[serde(flatten)]
    file: FileEntry,
}

/// A file with its hash and where it comes from.
#[derive(Debug, Clone, Deserialize)]
pub struct FileEntry {
    /// Name in the folder of files.
    pub file: String,
    /// Size.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: Sha256,
    /// Licence.
    pub licence: String,
    /// What it is, at its origin.
    pub upstream: String,
    /// Package and path for `models/fetch`.
    pub source: toml::Table,
}

/// Why a model or library was refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The manifest itself.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Nothing of that name or role.
    #[error("the manifest has no {what}; it has: {known}")]
    Unknown {
        /// What was looked for.
        what: String,
        /// What there is.
        known: String,
    },
    /// The file cannot be read.
    #[error("{path}: {source}: run models/fetch (make demo and make test do)")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not the file that the manifest describes.
    #[error(
        "{path}: SHA-256 is {found}, the manifest says {expected} ({bytes} bytes found, {expected_bytes} expected): the file was changed or cut short; delete it and run models/fetch"
    )]
    OtherFile {
        /// Which file.
        path: PathBuf,
        /// Hash of what is there.
        found: Sha256,
        /// Hash in the manifest.
        expected: Sha256,
        /// Size of what is there.
        bytes: u64,
        /// Size in the manifest.
        expected_bytes: u64,
    },
}

impl Validate for Manifest {
    fn problems(&self) -> Vec<Problem> {
        let entries = self.models.iter().map(|m| &m.file).chain(self.runtimes.iter().map(|r| &r.file));
        let entries = entries.chain(self.samples.iter().map(|s| &s.file));
        entries
            .filter(|e| e.file.contains('/') || e.file.starts_with('.'))
            .map(|e| {
                Problem::new(
                    "model",
                    &e.file,
                    "a plain file name",
                    "Files lie beside each other in one folder.",
                )
            })
            .collect()
    }
}

impl Manifest {
    /// Reads a manifest; its files lie in `files/` beside it.
    ///
    /// # Errors
    /// If it cannot be read or understood.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let mut manifest: Self = settings::read(path)?;
        manifest.files = path.parent().unwrap_or(Path::new(".")).join("files");
        Ok(manifest)
    }

    /// The model with this name and role.
    ///
    /// # Errors
    /// If there is none.
    pub fn model(&self, id: &str, role: Role) -> Result<&Model, ManifestError> {
        self.models.iter().find(|m| m.id == id && m.role == role).ok_or_else(|| ManifestError::Unknown {
            what: format!("{role:?} `{id}`").to_lowercase(),
            known: self.models.iter().map(|m| m.id.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// The bytes of a file, checked against its hash.
    ///
    /// # Errors
    /// If it is not there, or not the one of the manifest.
    pub fn bytes(&self, entry: &FileEntry) -> Result<Vec<u8>, ManifestError> {
        let path = self.files.join(&entry.file);
        let bytes =
            std::fs::read(&path).map_err(|source| ManifestError::Io { path: path.clone(), source })?;
        let found = Sha256::of(&bytes);
        if found != entry.sha256 {
            return Err(ManifestError::OtherFile {
                path,
                found,
                expected: entry.sha256,
                bytes: bytes.len() as u64,
                expected_bytes: entry.bytes,
            });
        }
        Ok(bytes)
    }

    /// Path of the inference library for this machine, its hash checked.
    ///
    /// # Errors
    /// If there is none for this architecture, or it is not the manifest's.
    pub fn runtime(&self) -> Result<PathBuf, ManifestError> {
        let arch = std::env::consts::ARCH;
        let entry = self.runtimes.iter().find(|r| r.arch == arch).ok_or_else(|| ManifestError::Unknown {
            what: format!("inference library for {arch}"),
            known: self.runtimes.iter().map(|r| r.arch.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        self.bytes(&entry.file)?;
        Ok(self.files.join(&entry.file.file))
    }

    /// The bytes of a sample photograph.
    ///
    /// # Errors
    /// If there is none of that name, or it is not the manifest's.
    pub fn sample(&self, id: &str) -> Result<Vec<u8>, ManifestError> {
        let entry = self.samples.iter().find(|s| s.id == id).ok_or_else(|| ManifestError::Unknown {
            what: format!("sample `{id}`"),
            known: self.samples.iter().map(|s| s.id.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        self.bytes(&entry.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_differs_is_refused_with_both_hashes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("models.toml");
        std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/models/models.toml"), &path).unwrap();
        let manifest = Manifest::read(&path).unwrap();
        let model = manifest.model("yunet-2023mar", Role::Detector).unwrap();
        std::fs::create_dir(dir.path().join("files")).unwrap();
        std::fs::write(dir.path().join("files").join(&model.file.file), b"cut short").unwrap();
        let text = manifest.bytes(&model.file).unwrap_err().to_string();
        assert!(text.contains(&Sha256::of(b"cut short").to_string()), "{text}");
        assert!(text.contains(&model.file.sha256.to_string()), "{text}");
        assert!(manifest.model("sface-2021dec", Role::Detector).is_err());
    }
}
