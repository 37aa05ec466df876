//! Where answers come from: a person at a terminal, or a file.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use crate::http::language::Language;

use super::{InitError, io};

/// How often a person may answer wrongly before the program gives up.
const TRIES: usize = 5;

/// Words in both languages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    pub(super) zh: &'static str,
    pub(super) en: &'static str,
}

impl Words {
    pub(super) fn of(self, language: Language) -> &'static str {
        match language {
            Language::Chinese => self.zh,
            Language::English => self.en,
        }
    }
}

/// A thing that is asked.
pub(super) struct Question<'a> {
    /// Its key in a file of answers, with dots.
    pub(super) key: String,
    /// What is asked, and why.
    pub(super) what: Words,
    /// What would do.
    pub(super) allowed: Words,
    /// What an empty answer means.
    pub(super) default: Option<String>,
    /// Whether an answer will do.
    pub(super) will_do: &'a dyn Fn(&str) -> bool,
    /// Asked of a file alone: its default is what most boxes want.
    pub(super) quiet: bool,
}

/// Somebody who answers.
pub(super) trait Asking {
    /// The answer, checked.
    ///
    /// # Errors
    /// If there is none, or none that will do.
    fn ask(&mut self, question: &Question) -> Result<String, InitError>;

    /// Shows a person what may help with the next answer.
    fn show(&mut self, text: &str);
}

/// A person, or lines that are piped in.
pub(super) struct Terminal<'a> {
    pub(super) input: &'a mut dyn BufRead,
    pub(super) out: &'a mut dyn Write,
    pub(super) language: Language,
}

impl Asking for Terminal<'_> {
    fn ask(&mut self, q: &Question) -> Result<String, InitError> {
        let allowed = q.allowed.of(self.language);
        if q.quiet {
            return q.default.clone().ok_or_else(|| unanswered(q, allowed));
        }
        let stdout = Path::new("stdout");
        let default = q.default.as_ref().map_or_else(String::new, |d| format!(" [{d}]"));
        writeln!(self.out, "\n{}", q.what.of(self.language)).map_err(io(stdout))?;
        for _ in 0..TRIES {
            write!(self.out, "  {} ({allowed}){default}: ", q.key).map_err(io(stdout))?;
            self.out.flush().map_err(io(stdout))?;
            let mut line = String::new();
            if self.input.read_line(&mut line).map_err(io(Path::new("stdin")))? == 0 {
                return Err(unanswered(q, allowed));
            }
            let given = match (line.trim(), &q.default) {
                ("", Some(default)) => default.clone(),
                (given, _) => given.to_owned(),
            };
            if (q.will_do)(&given) {
                return Ok(given);
            }
            let no = Words { zh: "不可用，允许", en: "that will not do; allowed" }.of(self.language);
            writeln!(self.out, "  {no}: {allowed}").map_err(io(stdout))?;
        }
        Err(unanswered(q, allowed))
    }

    fn show(&mut self, text: &str) {
        // What cannot be shown is asked for all the same.
        let _ = writeln!(self.out, "  {text}");
    }
}

fn unanswered(q: &Question, allowed: &str) -> InitError {
    InitError::Unanswered { key: q.key.clone(), allowed: allowed.to_owned() }
}

/// Answers in a file.
pub(super) struct Answers {
    path: PathBuf,
    all: toml::Table,
    used: BTreeSet<String>,
}

impl Answers {
    /// Reads TOML, or JSON if the file is named so.
    pub(super) fn read(path: &Path) -> Result<Self, InitError> {
        let text = std::fs::read_to_string(path).map_err(io(path))?;
        let json = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
        let bad = |what: String| InitError::Answers { path: path.to_owned(), what };
        let all = if json {
            serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?
        } else {
            toml::from_str(&text).map_err(|e| bad(e.to_string()))?
        };
        Ok(Self { path: path.to_owned(), all, used: BTreeSet::new() })
    }

    /// Whether every answer answered something: a mistyped key would be
    /// overlooked otherwise.
    pub(super) fn all_used(&self) -> Result<(), InitError> {
        let mut keys = Vec::new();
        collect("", &self.all, &mut keys);
        match keys.iter().find(|k| !self.used.contains(*k)) {
            None => Ok(()),
            Some(key) => Err(InitError::Answers {
                path: self.path.clone(),
                what: format!("`{key}` answers no question that was asked; remove it or correct its name"),
            }),
        }
    }
}

fn collect(prefix: &str, table: &toml::Table, keys: &mut Vec<String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => collect(&key, inner, keys),
            _ => keys.push(key),
        }
    }
}

fn as_text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(s) => s.trim().to_owned(),
        toml::Value::Array(all) => all.iter().map(as_text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

impl Asking for Answers {
    fn ask(&mut self, q: &Question) -> Result<String, InitError> {
        let mut parts = q.key.split('.');
        let first = parts.next().and_then(|p| self.all.get(p));
        let found = parts.fold(first, |value, part| value?.as_table()?.get(part)).map(as_text);
        if found.is_some() {
            self.used.insert(q.key.clone());
        }
        let allowed = q.allowed.en;
        let given = found.or_else(|| q.default.clone()).ok_or_else(|| unanswered(q, allowed))?;
        if (q.will_do)(&given) {
            return Ok(given);
        }
        Err(InitError::Wrong { key: q.key.clone(), found: given, allowed: allowed.to_owned() })
    }

    fn show(&mut self, _text: &str) {}
}
