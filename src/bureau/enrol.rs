//! Enrolment: references from photographs.
//!
//! Photographs are given as a folder or as a list. In a folder, each JPEG or
//! PNG is named after its cardholder: the name up to the first `@`, or up to
//! the extension (`P0001.jpg`, `P0001@2.png`). A list is a CSV file with the
//! header `cardholder,photo`; its paths are relative to its own folder.
//!
//! Promises: the same vision code as on the boxes makes the references; a
//! photograph that is refused is refused with the reason, and the rest goes
//! on; a photograph is never kept, only its SHA-256; the same photograph is
//! not enrolled twice, nor for two people. References are added to those there
//! are, up to [`MAX_REFERENCES`] for each model.
//!
//! What it does not do: compare the people enrolled with each other. That
//! would be a search over a gallery.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use zeroize::Zeroizing;

use super::BureauError;
use super::acts::{self, Person};
use super::store::{Addition, NewReference, Store};
use crate::camera::decode;
use crate::clock::{Clock, SystemClock};
use crate::crypto::Sha256;
use crate::protocol::id::CardholderId;
use crate::protocol::reference::{MAX_REFERENCES, Template};
use crate::vision::{EnrolRefusal, ModelIdentity, Vision};

/// Largest accepted photograph, in bytes.
const MAX_PHOTO_BYTES: u64 = 32 * 1024 * 1024;
const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

/// A photograph to be enrolled, with the cardholder as it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    /// Where it lies.
    pub path: PathBuf,
    /// Whose it is said to be.
    pub cardholder: String,
}

/// Why a photograph was refused, as one word for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is not named after a cardholder.
    BadName,
    /// The file cannot be read, or is no whole picture.
    UnreadableFile,
    /// No face in it.
    NoFace,
    /// More than one face.
    SeveralFaces,
    /// A face too small, turned away, blurred, or the like; the detail says which.
    PoorFace,
    /// The same photograph is enrolled for somebody else.
    AnotherCardholder,
    /// The cardholder has as many references as may be.
    Full,
}

/// A refusal with the sentence for people.
#[derive(Debug)]
pub struct Refusal {
    reason: Reason,
    detail: String,
}

/// What became of one photograph.
#[derive(Debug, Clone, Serialize)]
pub struct PhotoResult {
    /// The file.
    pub photo: PathBuf,
    /// Whose it is said to be.
    pub cardholder: String,
    /// `enrolled`, `already_enrolled` or `refused`.
    pub outcome: &'static str,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What became of all of them.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// How many photographs were given.
    pub photos: usize,
    /// How many became references now.
    pub enrolled: usize,
    /// How many were references before.
    pub already_enrolled: usize,
    /// How many were refused.
    pub refused: usize,
    /// How many cardholders have at least one of these references.
    pub cardholders: usize,
    /// Each photograph, in order.
    pub results: Vec<PhotoResult>,
}

impl Summary {
    /// Whether at least one of the photographs is a reference now.
    pub fn any_enrolled(&self) -> bool {
        self.enrolled + self.already_enrolled > 0
    }
}

/// Makes a reference of a photograph's bytes.
pub trait Enroller {
    /// Which recognizer makes them.
    fn identity(&self) -> ModelIdentity;

    /// One reference, or the reason why not.
    ///
    /// # Errors
    /// If the models themselves fail; then no photograph can be enrolled.
    fn template(&mut self, bytes: &[u8]) -> Result<Result<Template, Refusal>, BureauError>;
}

impl Enroller for Vision {
    fn identity(&self) -> ModelIdentity {
        self.recognizer()
    }

    fn template(&mut self, bytes: &[u8]) -> Result<Result<Template, Refusal>, BureauError> {
        let frame = match decode::still(bytes) {
            Ok(frame) => frame,
            Err(e) => return Ok(refuse(Reason::UnreadableFile, e.to_string())),
        };
        let refused = match self.enrol(&frame) {
            Ok(enrolled) => return Ok(Ok(enrolled.template)),
            Err(EnrolRefusal::Model(e)) => return Err(e.into()),
            Err(refused) => refused,
        };
        let reason = match &refused {
            EnrolRefusal::NoFace => Reason::NoFace,
            EnrolRefusal::SeveralFaces(_) => Reason::SeveralFaces,
            EnrolRefusal::Poor(_) | EnrolRefusal::Model(_) => Reason::PoorFace,
        };
        Ok(refuse(reason, refused.to_string()))
    }
}

fn another<T>(holder: &CardholderId) -> Result<T, Refusal> {
    refuse(
        Reason::AnotherCardholder,
        format!("this very photograph is enrolled for {holder}: find out whose it is"),
    )
}

fn refuse<T>(reason: Reason, detail: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { reason, detail: detail.into() })
}

/// Lists the photographs of a folder or of a CSV file.
///
/// # Errors
/// If it cannot be read, names no photograph, or is not of the form above.
pub fn list(given: &Path) -> Result<Vec<Photo>, BureauError> {
    let complain = |what: String| BureauError::Command(format!("{}: {what}", given.display()));
    let io = |e: io::Error| complain(format!("{e}: give a folder of photographs, or a CSV file"));
    let photos = if given.is_dir() { folder(given).map_err(io)? } else { csv(given).map_err(io)? };
    if photos.is_empty() {
        return Err(complain(
            "no photographs; a folder has CARDHOLDER.jpg or CARDHOLDER@anything.jpg (or .png), \
             a CSV file has the header cardholder,photo"
                .into(),
        ));
    }
    Ok(photos)
}

fn folder(dir: &Path) -> io::Result<Vec<Photo>> {
    let mut photos = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        if path.is_file() && EXTENSIONS.contains(&extension.as_str()) {
            let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            let cardholder = stem.split('@').next().unwrap_or_default().to_owned();
            photos.push(Photo { path, cardholder });
        }
    }
    photos.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(photos)
}

fn csv(file: &Path) -> io::Result<Vec<Photo>> {
    let text = std::fs::read_to_string(file)?;
    let dir = file.parent().unwrap_or(Path::new(""));
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    if lines.next() != Some("cardholder,photo") {
        return Err(wrong("line 1: expected the header cardholder,photo".into()));
    }
    let mut photos = Vec::new();
    for (i, line) in lines.enumerate().filter(|(_, l)| !l.is_empty()) {
        let (cardholder, photo) = line
            .split_once(',')
            .ok_or_else(|| wrong(format!("line {}: expected cardholder,photo", i + 2)))?;
        photos.push(Photo { path: dir.join(photo.trim()), cardholder: cardholder.trim().to_owned() });
    }
    Ok(photos)
}

/// Writes down that `by` is about to enrol so many photographs. No cardholder is
/// named: the record of acts outlives references.
///
/// # Errors
/// If it cannot be written; then nothing may be enrolled.
pub async fn note(store: &Store, by: &Person, given: &Path, photos: usize) -> Result<(), BureauError> {
    let about = given.file_name().unwrap_or(given.as_os_str()).to_string_lossy();
    acts::note(store, by, "enrol", &about.escape_debug().to_string(), format!("{photos} photographs")).await
}

/// Enrols the photographs one after the other, saying to `progress` how each
/// one went.
///
/// # Errors
/// If the store or the models fail. What was enrolled before stays enrolled.
pub async fn run(
    store: &Store,
    enroller: &mut impl Enroller,
    photos: &[Photo],
    progress: &mut impl Write,
) -> Result<Summary, BureauError> {
    let mut summary = Summary { photos: photos.len(), ..Summary::default() };
    let mut cardholders = BTreeSet::new();
    for (i, photo) in photos.iter().enumerate() {
        let result = match one(store, enroller, photo).await? {
            Ok(added) => {
                cardholders.insert(&photo.cardholder);
                let outcome = if added { "enrolled" } else { "already_enrolled" };
                *(if added { &mut summary.enrolled } else { &mut summary.already_enrolled }) += 1;
                photo_result(photo, outcome, None)
            }
            Err(refusal) => {
                summary.refused += 1;
                photo_result(photo, "refused", Some(refusal))
            }
        };
        let name = photo.path.file_name().unwrap_or_default().to_string_lossy();
        let outcome = result.outcome.replace('_', " ");
        let why = result.detail.as_deref().map(|d| format!(": {d}")).unwrap_or_default();
        // Progress that cannot be shown is no reason to stop.
        let _ = writeln!(progress, "[{}/{}] {name}: {outcome}{why}", i + 1, photos.len());
        summary.results.push(result);
    }
    summary.cardholders = cardholders.len();
    let _ = writeln!(
        progress,
        "{} photographs: {} enrolled, {} enrolled before, {} refused; {} cardholders",
        summary.photos, summary.enrolled, summary.already_enrolled, summary.refused, summary.cardholders
    );
    Ok(summary)
}

fn photo_result(photo: &Photo, outcome: &'static str, refusal: Option<Refusal>) -> PhotoResult {
    let (reason, detail) = refusal.map(|r| (r.reason, r.detail)).unzip();
    PhotoResult { photo: photo.path.clone(), cardholder: photo.cardholder.clone(), outcome, reason, detail }
}

/// Enrols one photograph; whether it is new.
async fn one(
    store: &Store,
    enroller: &mut impl Enroller,
    photo: &Photo,
) -> Result<Result<bool, Refusal>, BureauError> {
    let cardholder: CardholderId = match photo.cardholder.parse() {
        Ok(cardholder) => cardholder,
        Err(e) => {
            let detail = format!("{e}: name the file CARDHOLDER.jpg or CARDHOLDER@anything.jpg");
            return Ok(refuse(Reason::BadName, detail));
        }
    };
    let bytes = match read(&photo.path) {
        Ok(bytes) => bytes,
        Err(e) => return Ok(refuse(Reason::UnreadableFile, e.to_string())),
    };
    let ModelIdentity { sha256: model, preprocessing } = enroller.identity();
    let digest = Sha256::of(&bytes);
    let holders = store.holders_of_photo(digest, model, preprocessing).await?;
    if holders.contains(&cardholder) {
        return Ok(Ok(false));
    }
    if let Some(other) = holders.first() {
        return Ok(another(other));
    }
    let template = match enroller.template(&bytes)? {
        Ok(template) => template,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let new =
        NewReference { cardholder: &cardholder, model, preprocessing, template: &template, photo: digest };
    Ok(match store.add_reference(&new, SystemClock.now().wall).await? {
        Addition::Added => Ok(true),
        Addition::SamePhoto => Ok(false),
        Addition::AnotherCardholder(other) => another(&other),
        Addition::Full => refuse(
            Reason::Full,
            format!(
                "the cardholder has {MAX_REFERENCES} references for this model already, the most there may be"
            ),
        ),
    })
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let size = std::fs::metadata(path)?.len();
    if size > MAX_PHOTO_BYTES {
        return Err(io::Error::other(format!("{size} bytes; at most {MAX_PHOTO_BYTES} are read")));
    }
    std::fs::read(path).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes the first byte for the face: 0 is nobody.
    struct Toy;

    impl Enroller for Toy {
        fn identity(&self) -> ModelIdentity {
            ModelIdentity { sha256: Sha256::of(b"toy"), preprocessing: 1 }
        }

        fn template(&mut self, bytes: &[u8]) -> Result<Result<Template, Refusal>, BureauError> {
            Ok(match bytes.first() {
                None => refuse(Reason::UnreadableFile, "empty"),
                Some(0) => refuse(Reason::NoFace, "no face found"),
                Some(n) => Ok(Template::from_raw(vec![f32::from(*n), 1.0]).unwrap()),
            })
        }
    }

    fn outcomes(summary: &Summary) -> Vec<(&str, Option<Reason>)> {
        summary.results.iter().map(|r| (r.outcome, r.reason)).collect()
    }

    #[tokio::test]
    async fn a_refused_photograph_does_not_stop_the_rest_and_none_is_enrolled_twice() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::bureau::store::tests::store(dir.path()).await;
        let photos = dir.path().join("photos");
        std::fs::create_dir(&photos).unwrap();
        let files: [(&str, &[u8]); 7] = [
            ("P0001.jpg", &[1]),
            ("P0001@2.PNG", &[2]),
            ("P0002.jpg", &[0]),
            ("P0003.jpeg", &[1]),
            ("a b.jpg", &[9]),
            ("empty.jpg", &[]),
            ("notes.txt", &[3]),
        ];
        for (name, bytes) in files {
            std::fs::write(photos.join(name), bytes).unwrap();
        }
        let listed = list(&photos).unwrap();
        let mut shown = Vec::new();
        let summary = run(&store, &mut Toy, &listed, &mut shown).await.unwrap();
        let refused = |r| ("refused", Some(r));
        assert_eq!(
            outcomes(&summary),
            [
                ("enrolled", None),
                ("enrolled", None),
                refused(Reason::NoFace),
                refused(Reason::AnotherCardholder),
                refused(Reason::BadName),
                refused(Reason::UnreadableFile),
            ]
        );
        assert_eq!((summary.enrolled, summary.refused, summary.cardholders), (2, 4, 1));
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.contains("[3/6] P0002.jpg: refused: no face found"), "{shown}");
        let again = run(&store, &mut Toy, &listed, &mut io::sink()).await.unwrap();
        assert_eq!((again.enrolled, again.already_enrolled), (0, 2));
        assert!(again.any_enrolled());
        note(&store, &Person::of(Some("wang".into())).unwrap(), &photos, listed.len()).await.unwrap();
        let act = &store.acts(1).await.unwrap()[0];
        let said = [&act.by, &act.what, &act.about, &act.detail].map(String::as_str);
        assert_eq!(said, ["wang", "enrol", "photos", "6 photographs"]);
    }

    #[test]
    fn a_list_names_cardholder_and_photograph_and_errors_name_the_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("list.csv");
        std::fs::write(&file, "cardholder,photo\r\nP0001,a, b.jpg\r\n\r\n").unwrap();
        let expected = Photo { path: dir.path().join("a, b.jpg"), cardholder: "P0001".into() };
        assert_eq!(list(&file).unwrap(), [expected]);
        for (text, complaint) in [
            ("name,file\n", "line 1: expected the header cardholder,photo"),
            ("cardholder,photo\nP0001\n", "line 2: expected cardholder,photo"),
            ("cardholder,photo\n", "no photographs"),
        ] {
            std::fs::write(&file, text).unwrap();
            let e = list(&file).unwrap_err().to_string();
            assert!(e.contains("list.csv") && e.contains(complaint), "{e}");
        }
    }
}
