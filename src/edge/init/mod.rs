//! `counterproof init`: asks the few things that a box cannot know, and writes
//! a commented configuration.
//!
//! Each question says why it is asked, checks its answer, and has a default
//! only where there is an honest one: nobody's lawful basis, notice or impact
//! assessment is a default. The text comes from `config/counterproof.example.toml`,
//! so that the comments live in one place ([`template`]). The notice's digest is
//! computed here; when it was posted is asked.
//!
//! Promises: no file is overwritten; what is written was read back as the
//! agent reads it; no secret is asked for, only where it lies.

mod ask;
mod questions;
mod signed;
mod template;
mod words;

use std::fs::OpenOptions;
use std::io::{BufRead, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::crypto::keys::{KeyError, make_keys};
use crate::http::language::Language;
use crate::settings::SettingsError;

use ask::{Answers, Terminal};

/// What was asked for.
pub struct Asked {
    /// Where the configuration goes.
    pub out: PathBuf,
    /// Answers, instead of asking: TOML, or JSON by its extension.
    pub answers: Option<PathBuf>,
}

/// Why no configuration was written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is one.
    #[error(
        "{0} is already there; nothing is overwritten: give another place with --out, or change the file by hand"
    )]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file of answers is none.
    #[error("{path}: {what}")]
    Answers {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A question without an answer.
    #[error("no answer to `{key}`; allowed: {allowed}")]
    Unanswered {
        /// Which.
        key: String,
        /// What would do.
        allowed: String,
    },
    /// An answer that cannot stand.
    #[error("`{key}`: found `{found}`; allowed: {allowed}")]
    Wrong {
        /// Which.
        key: String,
        /// What was said.
        found: String,
        /// What would do.
        allowed: String,
    },
    /// The answers together make no configuration.
    #[error("the answers make no configuration that the agent takes; nothing was written:\n{0}")]
    Refused(#[from] SettingsError),
    /// The example in this program is not as this version expects it.
    #[error("the example in this program has no `{0}`: report it")]
    Template(String),
    /// The keys could not be made.
    #[error("the configuration is written, the keys are not: {0}")]
    Keys(#[from] KeyError),
}

/// Asks, and writes the configuration; talks to a person on `out`.
///
/// # Errors
/// Whatever keeps it from being written whole.
pub fn run(asked: &Asked, input: &mut dyn BufRead, out: &mut dyn Write) -> Result<(), InitError> {
    let file = std::path::absolute(&asked.out).map_err(io(&asked.out))?;
    if file.exists() {
        return Err(InitError::Exists(file));
    }
    let language = language();
    let said = |text: &str, out: &mut dyn Write| writeln!(out, "{text}").map_err(io(Path::new("stdout")));
    let whole = match &asked.answers {
        Some(path) => {
            let mut answers = Answers::read(path)?;
            let whole = questions::all(&mut answers, &file)?;
            answers.all_used()?;
            whole
        }
        None => {
            said(words::welcome(language), out)?;
            questions::all(&mut Terminal { input, out, language }, &file)?
        }
    };
    let text = template::fill(&file, &whole)?;
    write_new(&file, &text)?;
    said(&format!("\n{}: {}", words::wrote(language), file.display()), out)?;
    if let Some(folder) = &whole.make_keys {
        if folder.join("root.key").exists() {
            said(&format!("{}: {}", words::keys_kept(language), folder.display()), out)?;
        } else {
            let made = make_keys(folder, &whole.name)?;
            made.files.iter().try_for_each(|f| said(&format!("    {}", f.display()), out))?;
            said(&format!("{}: {}", words::public_key(language), made.public.to_base64()), out)?;
        }
    }
    said(&words::next(language, &file, &whole), out)
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> InitError + use<> {
    let path = path.to_owned();
    move |source| InitError::Io { path, source }
}

fn write_new(file: &Path, text: &str) -> Result<(), InitError> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(io(folder))?;
    }
    let open = OpenOptions::new().write(true).create_new(true).mode(0o644).open(file);
    let mut opened = open.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => InitError::Exists(file.to_owned()),
        _ => io(file)(e),
    })?;
    opened.write_all(text.as_bytes()).and_then(|()| opened.sync_all()).map_err(io(file))
}

/// Of the session, as other programs choose it.
fn language() -> Language {
    let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let named = set("LC_ALL").or_else(|| set("LC_MESSAGES")).or_else(|| set("LANG")).unwrap_or_default();
    if named.to_ascii_lowercase().starts_with("zh") { Language::Chinese } else { Language::English }
}
