//! Configuration files: read strictly, complain helpfully.
//!
//! A file is TOML; a key that is not known is an error. Each complaint names
//! file, line, key, what was found, what is allowed and what to do, and all
//! complaints about a file come at once. What the keys mean is for the rooms
//! that own them.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// One thing that is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, with dots: `privacy.retention.alerts_days`.
    pub key: String,
    /// What stands there, or "nothing".
    pub found: String,
    /// What may stand there.
    pub allowed: String,
    /// What to do, and why it is asked.
    pub advice: String,
}

impl Problem {
    /// A complaint about `key`.
    pub fn new(
        key: &str,
        found: impl fmt::Display,
        allowed: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { key: key.into(), found: found.to_string(), allowed: allowed.into(), advice: advice.into() }
    }
}

/// Why a configuration file was refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("{path}: {source}: name a readable configuration with --config")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{path}:{line}:{column}: {what}")]
    Form {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong, with the line in question.
        what: String,
    },
    /// Well-formed, but not allowed.
    #[error("{}", list(.0))]
    Refused(Vec<Complaint>),
}

/// A [`Problem`] with its place in the file.
#[derive(Debug)]
pub struct Complaint {
    /// Which file.
    pub path: PathBuf,
    /// Line, from 1; 0 where the key is missing altogether.
    pub line: usize,
    /// What is wrong.
    pub problem: Problem,
}

fn list(complaints: &[Complaint]) -> String {
    let one = |c: &Complaint| {
        let Problem { key, found, allowed, advice } = &c.problem;
        let place = if c.line == 0 { String::new() } else { format!(":{}", c.line) };
        format!("{}{place}: {key}: found {found}; allowed: {allowed}. {advice}", c.path.display())
    };
    complaints.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// What a configuration checks about itself once its types fit.
pub trait Validate {
    /// Everything that is wrong, by key.
    fn problems(&self) -> Vec<Problem>;
}

/// Reads and checks a configuration file.
///
/// # Errors
/// [`SettingsError`] with every complaint.
pub fn read<T: DeserializeOwned + Validate>(path: &Path) -> Result<T, SettingsError> {
    parse(path, &text(path)?)
}

/// The text of a configuration file.
///
/// # Errors
/// [`SettingsError::Io`].
pub fn text(path: &Path) -> Result<String, SettingsError> {
    std::fs::read_to_string(path).map_err(|source| SettingsError::Io { path: path.to_owned(), source })
}

/// Checks the text of a configuration file.
///
/// # Errors
/// [`SettingsError`] with every complaint.
pub fn parse<T: DeserializeOwned + Validate>(path: &Path, text: &str) -> Result<T, SettingsError> {
    let value: T = toml::from_str(text).map_err(|e| form_error(path, text, &e))?;
    let problems = value.problems();
    if problems.is_empty() {
        return Ok(value);
    }
    Err(refuse(path, text, problems))
}

/// Complaints that follow from a whole file that was read before, with the
/// lines they are about in its text.
pub fn refuse(path: &Path, text: &str, problems: Vec<Problem>) -> SettingsError {
    let document = toml_edit::Document::parse(text).ok();
    let complaint = |problem: Problem| {
        let span = document.as_ref().and_then(|d| span_of(d.as_item(), &problem.key));
        let line = span.map_or(0, |at| place(text, at).0);
        Complaint { path: path.to_owned(), line, problem }
    };
    SettingsError::Refused(problems.into_iter().map(complaint).collect())
}

/// What is wrong with a key, for whoever reads a part of a file whose places are
/// lost: [`parse`] finds the line again by the key.
pub fn about(key: &str, what: &str) -> String {
    if key.is_empty() || key == "." { what.to_owned() } else { format!("`{key}`: {what}") }
}

/// The offset of the key that a complaint [about](about) it names, in the table
/// that begins at `start`.
fn named(text: &str, start: usize, what: &str) -> Option<usize> {
    let key = what.strip_prefix('`')?.split_once("`: ")?.0;
    let table = text.get(start..)?;
    let mut at = start;
    for (n, line) in table.split_inclusive('\n').enumerate() {
        if n > 0 && line.trim_start().starts_with('[') {
            return None;
        }
        if line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')) {
            return Some(at + line.len() - line.trim_start().len());
        }
        at += line.len();
    }
    None
}

fn form_error(path: &Path, text: &str, e: &toml::de::Error) -> SettingsError {
    let start = e.span().map(|s| s.start);
    let start = start.map(|start| named(text, start, e.message()).unwrap_or(start));
    let (line, column) = start.map_or((1, 1), |start| place(text, start));
    let context = text.lines().nth(line - 1).unwrap_or_default().trim();
    let what = e.message().trim().replace('\n', " ");
    let what = without_accounts(&format!("{what} (the line says: {context})"));
    SettingsError::Form { path: path.to_owned(), line, column, what }
}

/// The text without what stands between `//` and `@` of addresses in it: somebody
/// may have written a password there, and complaints go to the log.
fn without_accounts(text: &str) -> String {
    let mut parts = text.split("//");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let word = part.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(part.len());
        let from = part.get(..word).and_then(|w| w.rfind('@')).unwrap_or(0);
        out.push_str(if from > 0 { "//…" } else { "//" });
        out.push_str(part.get(from..).unwrap_or_default());
    }
    out
}

/// Line and column, from 1, of a byte offset.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    (line, column)
}

/// The offset of the value under a dotted key, or of its nearest parent.
fn span_of(root: &toml_edit::Item, key: &str) -> Option<usize> {
    let mut item = root;
    let mut last = None;
    for part in key.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, i)) => (name, i.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let Some(next) = item.get(name) else { break };
        item = match index {
            Some(i) => match next.get(i) {
                Some(n) => n,
                None => break,
            },
            None => next,
        };
        last = item.span().map(|s| s.start).or(last);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Toy {
        a: Inner,
    }
    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        n: u32,
    }
    impl Validate for Toy {
        fn problems(&self) -> Vec<Problem> {
            (self.a.n > 9).then(|| Problem::new("a.n", self.a.n, "0 to 9", "Lower it.")).into_iter().collect()
        }
    }

    fn error(text: &str) -> String {
        parse::<Toy>(Path::new("x.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_password_in_an_address_is_not_repeated() {
        let told = error("a = \"rtsp://admin:hunter2@10.0.0.9/c@1\"");
        assert!(told.contains("rtsp://…@1") && !told.contains("hunter2"), "{told}");
        for text in ["a // b", "https://bureau/x", "//", ""] {
            assert_eq!(without_accounts(text), text);
        }
        let open = error("a = \"rtsp://admin:hunter2@10.0.0.9");
        assert!(!open.contains("hunter2"), "{open}");
    }

    #[test]
    fn each_complaint_names_file_line_key_found_and_allowed() {
        assert_eq!(error("# c\n[a]\nn = 12\n"), "x.toml:3: a.n: found 12; allowed: 0 to 9. Lower it.");
    }

    #[test]
    fn unknown_keys_and_wrong_types_name_their_line() {
        let unknown = error("[a]\nn = 1\nm = 2\n");
        assert!(unknown.starts_with("x.toml:3:1: unknown field `m`"), "{unknown}");
        let wrong = error("[a]\nn = \"one\"\n");
        assert!(wrong.starts_with("x.toml:2:5: invalid type"), "{wrong}");
    }
}
