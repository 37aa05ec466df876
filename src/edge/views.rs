//! The cameras' reference views, kept in the state folder: what each camera
//! looked at when it was aimed.
//!
//! One file for each counter, `views/COUNTER.json`, of about 800 bytes. It says
//! where edges are and how they run ([`ReferenceView`]): about a place, not about
//! people, so it has no limit of retention; aiming anew replaces it. A running
//! agent reads it at each look, so that it need not be started again.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::camera::health::ReferenceView;
use crate::protocol::id::CounterId;
use crate::protocol::json;

/// Longest file that is read, in bytes.
const MAX_BYTES: u64 = 16 << 10;

/// A reference view cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum ViewsError {
    /// The file system's.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not what was written.
    #[error("{path}: {what}")]
    Form {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// The reference views of a box.
#[derive(Debug, Clone)]
pub struct Views(PathBuf);

impl Views {
    /// In a state folder.
    pub fn of(state: &Path) -> Self {
        Self(state.join("views"))
    }

    /// The folder that they lie in.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    fn file(&self, counter: &CounterId) -> PathBuf {
        self.0.join(format!("{counter}.json"))
    }

    /// Keeps the view that a counter's camera was aimed at, in place of the one
    /// before. It is whole or not there.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn remember(&self, counter: &CounterId, view: &ReferenceView) -> Result<(), ViewsError> {
        let path = self.file(counter);
        let io = |source| ViewsError::Io { path: path.clone(), source };
        let text = serde_json::to_vec(view).map_err(|e| io(e.into()))?;
        std::fs::create_dir_all(&self.0).map_err(io)?;
        let part = self.0.join(format!("{counter}.part"));
        std::fs::write(&part, text).map_err(io)?;
        std::fs::rename(&part, &path).map_err(io)
    }

    /// The view that a counter's camera was aimed at; `None` if nobody aimed it.
    ///
    /// # Errors
    /// If there is one that cannot be read.
    pub fn load(&self, counter: &CounterId) -> Result<Option<ReferenceView>, ViewsError> {
        let path = self.file(counter);
        let mut bytes = Vec::new();
        let read = std::fs::File::open(&path).and_then(|f| f.take(MAX_BYTES).read_to_end(&mut bytes));
        match read {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ViewsError::Io { path, source }),
            Ok(_) => {
                json::read(&bytes).map(Some).map_err(|e| ViewsError::Form { path, what: e.what.to_string() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::health::Thumbnail;
    use crate::camera::health::tests::room;

    #[test]
    fn a_view_comes_back_and_another_takes_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let (views, w3): (Views, CounterId) = (Views::of(dir.path()), "w03".parse().unwrap());
        assert_eq!(views.load(&w3).unwrap(), None);
        let [a, b] = [0, 200].map(|shift| ReferenceView::of(&Thumbnail::of(&room(shift, 1.0))).unwrap());
        assert_ne!(a, b);
        for view in [&a, &b] {
            views.remember(&w3, view).unwrap();
            assert_eq!(views.load(&w3).unwrap().as_ref(), Some(view));
        }
        let size = std::fs::metadata(dir.path().join("views/w03.json")).unwrap().len();
        assert!(size < 1000, "{size}");
    }

    #[test]
    fn a_file_that_is_no_view_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (views, w3): (Views, CounterId) = (Views::of(dir.path()), "w03".parse().unwrap());
        std::fs::create_dir(dir.path().join("views")).unwrap();
        for (text, what) in [
            ("{", "EOF"),
            (r#"{"format":2,"edges":""}"#, "format 2"),
            (r#"{"format":1,"edges":"AAAA"}"#, "3 bytes"),
            (r#"{"format":1,"edges":"","picture":""}"#, "unknown field"),
        ] {
            std::fs::write(dir.path().join("views/w03.json"), text).unwrap();
            let said = views.load(&w3).unwrap_err().to_string();
            assert!(said.contains("views/w03.json") && said.contains(what), "{said}");
        }
    }
}
