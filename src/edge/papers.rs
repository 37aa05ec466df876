//! What the bureau hands to this box: documents, and the version it is to run.
//!
//! Promises: only what bears the pinned key and names this box is taken, each
//! document only if its bytes have the digest that was signed, and none with a
//! smaller number than one that was taken before. They lie in `STATE/documents/`,
//! named by their digest, for a technician to name in the configuration: nothing
//! comes into force by arriving, and nothing is installed.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use crate::crypto::Sha256;
use crate::crypto::sign::PublicKey;
use crate::protocol::document::{DocumentKind, MAX_BYTES};
use crate::protocol::handout::{Arrived, Handout};
use crate::protocol::id::AgentId;
use crate::protocol::rollout::{Told, WantedVersion, is_version};
use crate::protocol::signed::{MAX_BYTES as MAX_WORD, Signed, SignedError};

/// Documents of one kind that are kept; the oldest goes, but none in force.
const MOST_FILES: usize = 8;

/// The documents that arrived.
pub struct Papers {
    dir: PathBuf,
    bureau: PublicKey,
    agent: AgentId,
    arrived: Mutex<Vec<Arrived>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// What to do with a word of the bureau.
#[derive(Debug, PartialEq)]
pub(super) enum ToDo {
    /// Nothing: it was heeded before, or a newer one was.
    Nothing,
    /// Fetch these bytes.
    Fetch(Handout),
}

fn word_file(kind: DocumentKind) -> String {
    format!("{kind}.word.json")
}

fn body_file(kind: DocumentKind, digest: Sha256) -> String {
    let form = if kind == DocumentKind::Calibration { "toml" } else { "json" };
    format!("{kind}-{digest}.{form}")
}

impl Papers {
    /// Those of a state folder; a word that does not count any more is read over.
    pub fn open(state: &Path, bureau: &PublicKey, agent: &AgentId) -> Self {
        let dir = state.join("documents");
        let found = |kind: &DocumentKind| {
            let word = fs::read(dir.join(word_file(*kind))).ok().filter(|b| b.len() <= 2 * MAX_WORD)?;
            let signed: Signed = serde_json::from_slice(&word).ok()?;
            let Handout { kind, digest, number, .. } = signed.read(bureau, agent).ok()?;
            let body = fs::read(dir.join(body_file(kind, digest))).ok()?;
            (Sha256::of(&body) == digest).then_some(Arrived { kind, digest, number })
        };
        let arrived = DocumentKind::ALL.iter().filter_map(found).collect();
        Self { bureau: bureau.clone(), agent: agent.clone(), arrived: Mutex::new(arrived), dir }
    }

    /// What is here, the newest of each kind.
    pub fn arrived(&self) -> Vec<Arrived> {
        lock(&self.arrived).clone()
    }

    /// What a word asks for.
    ///
    /// # Errors
    /// If it does not count.
    pub(super) fn look(&self, word: &Signed) -> Result<ToDo, SignedError> {
        let handout: Handout = word.read(&self.bureau, &self.agent)?;
        let known = lock(&self.arrived).iter().any(|a| a.kind == handout.kind && a.number >= handout.number);
        let fits = usize::try_from(handout.bytes).is_ok_and(|n| n <= MAX_BYTES);
        Ok(if known || !fits { ToDo::Nothing } else { ToDo::Fetch(handout) })
    }

    /// Keeps a document that was fetched, and then its word.
    ///
    /// # Errors
    /// If the bytes are not those that were signed, or nothing can be written.
    pub(super) fn keep(
        &self,
        handout: &Handout,
        word: &Signed,
        bytes: &[u8],
        in_force: &[Sha256],
    ) -> io::Result<()> {
        let Handout { kind, digest, number, .. } = *handout;
        let found = Sha256::of(bytes);
        if found != digest {
            return Err(io::Error::other(format!("the bytes have SHA-256 {found}, signed is {digest}")));
        }
        fs::create_dir_all(&self.dir)?;
        write(&self.dir.join(body_file(kind, digest)), bytes)?;
        write(&self.dir.join(word_file(kind)), &serde_json::to_vec(word)?)?;
        fs::File::open(&self.dir).and_then(|d| d.sync_all())?;
        let mut arrived = lock(&self.arrived);
        arrived.retain(|a| a.kind != kind);
        arrived.push(Arrived { kind, digest, number });
        drop(arrived);
        self.forget_old(kind, &[in_force, &[digest]].concat());
        Ok(())
    }

    fn forget_old(&self, kind: DocumentKind, stay: &[Sha256]) {
        let stays: Vec<String> = stay.iter().map(|d| body_file(kind, *d)).collect();
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let mut old: Vec<(std::time::SystemTime, PathBuf)> = entries
            .flatten()
            .filter(|e| {
                let name = e.file_name().to_string_lossy().into_owned();
                name.starts_with(&format!("{kind}-")) && !stays.contains(&name)
            })
            .filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())))
            .collect();
        old.sort();
        let surplus = old.len().saturating_sub(MOST_FILES - 1);
        for (_, path) in old.into_iter().take(surplus) {
            // What cannot be deleted now is deleted the next time.
            let _ = fs::remove_file(path);
        }
    }
}

/// Whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = fs::File::create(&part)?;
    file.write_all(bytes).and_then(|()| file.sync_all())?;
    fs::rename(part, path)
}

/// The version that the bureau wants here, as it said last.
#[derive(Default)]
pub struct Wanted(Mutex<Option<Told>>);

impl Wanted {
    /// Takes what the bureau said, or that it said nothing.
    ///
    /// # Errors
    /// If the word does not count; then what was said before stays.
    pub fn heed(
        &self,
        word: Option<&Signed>,
        bureau: &PublicKey,
        agent: &AgentId,
    ) -> Result<(), SignedError> {
        let wanted: Option<WantedVersion> = word.map(|w| w.read(bureau, agent)).transpose()?;
        let told = wanted.filter(|w| is_version(&w.version));
        *lock(&self.0) = told.map(|w| Told { version: w.version, rollout: w.rollout });
        Ok(())
    }

    /// What it said last.
    pub fn told(&self) -> Option<Told> {
        lock(&self.0).clone()
    }

    /// Whether it wants another version than this one.
    pub fn differs(&self) -> bool {
        lock(&self.0).as_ref().is_some_and(|t| t.version != env!("CARGO_PKG_VERSION"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;
    use crate::crypto::sign::SigningKey;
    use crate::protocol::handout::Format;
    use crate::protocol::rollout;

    fn key() -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap()
    }

    fn agent() -> AgentId {
        "box-1".parse().unwrap()
    }

    fn word(key: &SigningKey, number: u64, bytes: &[u8]) -> (Handout, Signed) {
        let handout = Handout {
            format: Format::V1,
            agent: agent(),
            kind: DocumentKind::Calibration,
            digest: Sha256::of(bytes),
            bytes: bytes.len() as u64,
            number,
            at: WallTime::from_millis(1),
        };
        let signed = Signed::sign(&handout, key).unwrap();
        (handout, signed)
    }

    #[test]
    fn a_document_is_kept_with_its_word_and_found_again_and_an_older_one_never_comes_back() {
        let (dir, key) = (tempfile::tempdir().unwrap(), key());
        let open = || Papers::open(dir.path(), &key.public(), &agent());
        let papers = open();
        let (handout, signed) = word(&key, 2, b"two");
        assert_eq!(papers.look(&signed).unwrap(), ToDo::Fetch(handout.clone()));
        assert!(papers.keep(&handout, &signed, b"another", &[]).is_err());
        assert!(papers.arrived().is_empty());
        papers.keep(&handout, &signed, b"two", &[]).unwrap();
        let here = [Arrived { kind: DocumentKind::Calibration, digest: handout.digest, number: 2 }];
        assert_eq!((papers.arrived(), open().arrived()), (here.to_vec(), here.to_vec()));
        let older = word(&key, 1, b"one").1;
        assert_eq!(open().look(&older).unwrap(), ToDo::Nothing);
        assert!(papers.look(&word(&self::key(), 3, b"three").1).is_err());
        // Changed on the disk, it is no document of the bureau's any more.
        let file = dir.path().join("documents").join(body_file(handout.kind, handout.digest));
        std::fs::write(file, b"changed").unwrap();
        assert!(open().arrived().is_empty());
    }

    #[test]
    fn few_are_kept_and_never_without_the_one_in_force() {
        let (dir, key) = (tempfile::tempdir().unwrap(), key());
        let papers = Papers::open(dir.path(), &key.public(), &agent());
        let first = word(&key, 1, b"0").0.digest;
        for n in 0..20_u64 {
            let body = n.to_string();
            let (handout, signed) = word(&key, n + 1, body.as_bytes());
            papers.keep(&handout, &signed, body.as_bytes(), &[first]).unwrap();
        }
        let names: Vec<String> = std::fs::read_dir(dir.path().join("documents"))
            .unwrap()
            .map(|f| f.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(names.len() <= MOST_FILES + 2, "{names:?}");
        assert!(names.contains(&body_file(DocumentKind::Calibration, first)));
        assert_eq!(papers.arrived()[0].number, 20);
    }

    #[test]
    fn the_wanted_version_is_what_the_bureau_said_last() {
        let (wanted, bureau) = (Wanted::default(), key());
        let say = |version: &str, by: &SigningKey| {
            let word = WantedVersion {
                format: rollout::Format::V1,
                agent: agent(),
                version: version.into(),
                package: Sha256::of(b"deb"),
                rollout: 4,
                at: WallTime::from_millis(1),
            };
            wanted.heed(Some(&Signed::sign(&word, by).unwrap()), &bureau.public(), &agent())
        };
        assert!(!wanted.differs());
        say("9.9.9", &bureau).unwrap();
        assert_eq!(wanted.told(), Some(Told { version: "9.9.9".into(), rollout: 4 }));
        assert!(wanted.differs() && say("8.8.8", &key()).is_err() && wanted.differs());
        say(env!("CARGO_PKG_VERSION"), &bureau).unwrap();
        assert!(!wanted.differs());
        wanted.heed(None, &bureau.public(), &agent()).unwrap();
        assert_eq!(wanted.told(), None);
    }
}
