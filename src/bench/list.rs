//! The list of pairs: a text file with the header `left,right,same,fold`.
//!
//! Read strictly, so that a list that was mangled on its way is not measured:
//! each complaint names file and line. Names stand in the file as they are,
//! without quotation marks or commas of their own. It opens no picture.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::BenchError;

/// First line of every list.
pub const HEADER: &str = "left,right,same,fold";
/// Longest list that is read; longer is taken for a mistake.
const MAX_BYTES: u64 = 256 << 20;

/// Two pictures and what is known of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The reference: which of [`PairList::pictures`].
    pub left: usize,
    /// The probe: which of [`PairList::pictures`].
    pub right: usize,
    /// Whether both show one person.
    pub same: bool,
    /// The part of the list that it belongs to.
    pub fold: i64,
}

/// A list whose pictures are all there.
#[derive(Debug)]
pub struct PairList {
    /// Every picture once.
    pub pictures: Vec<PathBuf>,
    /// The pairs, in the order of the file.
    pub pairs: Vec<Pair>,
}

impl PairList {
    /// Reads a list and finds its pictures under `images`.
    ///
    /// # Errors
    /// [`BenchError`] naming the file, and the line where there is one.
    pub fn read(path: &Path, images: &Path) -> Result<Self, BenchError> {
        let io = |source| BenchError::Io {
            path: path.to_owned(),
            source,
            advice: "give --pairs a list with the header left,right,same,fold",
        };
        let size = std::fs::metadata(path).map_err(io)?.len();
        if size > MAX_BYTES {
            return Err(io(std::io::Error::other(format!("{size} bytes; at most {MAX_BYTES} are read"))));
        }
        let text = std::fs::read_to_string(path).map_err(io)?;
        if !images.is_dir() {
            return Err(BenchError::Io {
                path: images.to_owned(),
                source: std::io::ErrorKind::NotADirectory.into(),
                advice: "give --images the folder that holds the pictures",
            });
        }
        Reader { path, images, known: HashMap::new(), pictures: Vec::new() }.read(&text)
    }
}

struct Reader<'a> {
    path: &'a Path,
    images: &'a Path,
    known: HashMap<&'a str, usize>,
    pictures: Vec<PathBuf>,
}

impl<'a> Reader<'a> {
    fn read(mut self, text: &'a str) -> Result<PairList, BenchError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = text.lines().zip(1..);
        let header = lines.next().map_or("", |(line, _)| line.trim());
        if header != HEADER {
            return Err(self.refuse(1, header, "the header `left,right,same,fold`"));
        }
        let mut pairs = Vec::new();
        for (line, number) in lines.filter(|(line, _)| !line.trim().is_empty()) {
            pairs.push(self.pair(line.trim(), number)?);
        }
        if pairs.is_empty() {
            return Err(self.refuse(2, "", "at least one pair below the header"));
        }
        Ok(PairList { pictures: self.pictures, pairs })
    }

    fn pair(&mut self, line: &'a str, number: usize) -> Result<Pair, BenchError> {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let &[left, right, same, fold] = fields.as_slice() else {
            let found = format!("{} columns in `{line}`", fields.len());
            return Err(self.refuse_as(number, found, "4 columns: left,right,same,fold"));
        };
        let same = match same.to_ascii_lowercase().as_str() {
            "1" | "true" => true,
            "0" | "false" => false,
            _ => return Err(self.refuse(number, same, "1, 0, true or false in the column `same`")),
        };
        let fold =
            fold.parse().map_err(|_| self.refuse(number, fold, "a whole number in the column `fold`"))?;
        Ok(Pair { left: self.picture(left, number)?, right: self.picture(right, number)?, same, fold })
    }

    fn picture(&mut self, entry: &'a str, number: usize) -> Result<usize, BenchError> {
        if let Some(known) = self.known.get(entry) {
            return Ok(*known);
        }
        let places = self.places(entry);
        let Some(found) = places.iter().find(|p| !entry.is_empty() && p.is_file()) else {
            return Err(BenchError::NoPicture {
                path: self.path.to_owned(),
                line: number,
                entry: short(entry),
                looked_for: places.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "),
            });
        };
        self.pictures.push(found.clone());
        self.known.insert(entry, self.pictures.len() - 1);
        Ok(self.pictures.len() - 1)
    }

    /// Where an entry may be: lists begin in the folder itself, in its
    /// `images`, or write the folder's own name before each path.
    fn places(&self, entry: &str) -> Vec<PathBuf> {
        let mut places = vec![self.images.join(entry), self.images.join("images").join(entry)];
        let own_name = self.images.file_name().and_then(|name| Path::new(entry).strip_prefix(name).ok());
        places.extend(own_name.map(|rest| self.images.join(rest)));
        places
    }

    fn refuse(&self, line: usize, found: &str, expected: &'static str) -> BenchError {
        let found = if found.is_empty() { "nothing".into() } else { format!("`{}`", short(found)) };
        self.refuse_as(line, found, expected)
    }

    fn refuse_as(&self, line: usize, found: String, expected: &'static str) -> BenchError {
        BenchError::Line { path: self.path.to_owned(), line, found: short(&found), expected }
    }
}

fn short(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.jpg", "b.jpg", "images/c.jpg"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        dir
    }

    fn read(text: &str) -> Result<PairList, String> {
        let dir = folder();
        let list = dir.path().join("pairs.csv");
        std::fs::write(&list, text).unwrap();
        PairList::read(&list, dir.path()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_list_is_read_with_every_picture_once() {
        let list =
            read("\u{feff}left,right,same,fold\r\na.jpg,b.jpg,1,1\r\n\r\nb.jpg,c.jpg,False,-7\n").unwrap();
        assert_eq!(list.pictures.len(), 3);
        assert_eq!(
            list.pairs,
            [
                Pair { left: 0, right: 1, same: true, fold: 1 },
                Pair { left: 1, right: 2, same: false, fold: -7 }
            ]
        );
    }

    #[test]
    fn a_path_may_begin_with_the_folders_own_name() {
        let dir = folder();
        let list = dir.path().join("pairs.csv");
        std::fs::write(&list, "left,right,same,fold\nimages/c.jpg,images/c.jpg,1,1\n").unwrap();
        assert!(PairList::read(&list, &dir.path().join("images")).is_ok());
    }

    #[test]
    fn each_mistake_is_named_with_its_line() {
        for (text, line, part) in [
            ("", 1, "found nothing; expected the header"),
            ("a,b,c,d\n", 1, "`a,b,c,d`"),
            ("left,right,same,fold\n", 2, "at least one pair"),
            ("left,right,same,fold\na.jpg,b.jpg,1\n", 2, "3 columns"),
            ("left,right,same,fold\n\na.jpg,b.jpg,2,1\n", 3, "`same`"),
            ("left,right,same,fold\na.jpg,b.jpg,1,one\n", 2, "`fold`"),
            ("left,right,same,fold\na.jpg,b.jpg,1,1\na.jpg,x.jpg,0,1\n", 3, "no picture `x.jpg`"),
            ("left,right,same,fold\na.jpg,,0,1\n", 2, "no picture ``"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(&format!("pairs.csv:{line}: ")), "{message}");
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_list_or_folder_that_is_missing_is_named() {
        let dir = folder();
        let missing = dir.path().join("none.csv");
        let message = PairList::read(&missing, dir.path()).unwrap_err().to_string();
        assert!(message.contains("none.csv") && message.contains("--pairs"), "{message}");
        let list = dir.path().join("pairs.csv");
        std::fs::write(&list, HEADER).unwrap();
        let message = PairList::read(&list, &missing).unwrap_err().to_string();
        assert!(message.contains("none.csv") && message.contains("--images"), "{message}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_text_is_read_or_refused(text in "(left,right,same,fold\n)?[a-c.,01jpg\n]{0,60}") {
            let _ = read(&text);
        }
    }
}
