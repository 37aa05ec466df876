//! Reads what strace wrote of one life (`-f -y -xx`): what became of the state
//! folder, and what the HIS was answered, in their order.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The calls that must be recorded.
pub const CALLS: &str =
    "trace=openat,mkdir,write,pwrite64,lseek,ftruncate,fsync,fdatasync,rename,unlink,sendto,writev,sendmsg";

/// One thing that happened. Paths are relative to the state folder.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A file was opened, and made if it was not there.
    Open { path: PathBuf, truncate: bool, append: bool },
    /// A folder was made.
    Folder(PathBuf),
    /// Bytes were written, at a place or where the file stood.
    Write { path: PathBuf, at: Option<usize>, bytes: Vec<u8> },
    /// The place of the next write.
    Seek { path: PathBuf, to: usize },
    /// The file's length was set.
    Length { path: PathBuf, to: usize },
    /// A file or folder was synced; the folder itself is the empty path.
    Sync(PathBuf),
    /// A name was removed.
    Remove(PathBuf),
    /// A name was changed.
    Rename(PathBuf, PathBuf),
    /// The HIS was answered 2xx.
    Answer { status: u16 },
    /// The program said that this event was delivered.
    Log(String),
}

/// The steps of a trace. A write counts from when the call was made, a sync and
/// an answer from when it returned: in doubt nothing is taken for durable.
pub fn read(trace: &Path, folder: &Path, state: &Path) -> io::Result<Vec<Step>> {
    let text = String::from_utf8_lossy(&fs::read(trace)?).into_owned();
    let reader = Reader { folder: fs::canonicalize(folder)?, state: state.to_owned() };
    let mut open: HashMap<&str, &str> = HashMap::new();
    let mut steps = Vec::new();
    for line in text.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(begun) = call.strip_suffix("<unfinished ...>") {
            open.insert(thread, begun);
            // The data may reach the disk from here on, the caller learns of it later.
            steps.extend(reader.step(begun, "").filter(at_once));
        } else if call.starts_with("<...") {
            let Some(begun) = open.remove(thread) else { continue };
            let result = call.split_once("resumed>").map_or("", |(_, r)| r);
            steps.extend(reader.step(begun, result).filter(|s| !at_once(s)));
        } else {
            steps.extend(reader.step(call, call));
        }
    }
    Ok(steps)
}

fn at_once(step: &Step) -> bool {
    matches!(step, Step::Write { .. } | Step::Length { .. } | Step::Remove(_) | Step::Rename(..))
}

struct Reader {
    folder: PathBuf,
    state: PathBuf,
}

impl Reader {
    /// What a call means; `result` holds what stands after it, or nothing yet.
    fn step(&self, call: &str, result: &str) -> Option<Step> {
        let (name, arguments) = call.split_once('(')?;
        if result.contains(" = -1 ") {
            return None;
        }
        let file = || self.inside(&between(arguments, '<', '>')?);
        let texts = || quoted(arguments);
        match name {
            "openat" => {
                // Flags decide; the name is the first text.
                let path = self.inside(texts().first()?)?;
                let flags = arguments.rsplit_once("\", ").map_or("", |(_, f)| f);
                if flags.contains("O_RDONLY") {
                    return None;
                }
                let (truncate, append) = (flags.contains("O_TRUNC"), flags.contains("O_APPEND"));
                Some(Step::Open { path, truncate, append })
            }
            "mkdir" => Some(Step::Folder(self.inside(texts().first()?)?)),
            "write" | "pwrite64" => {
                let bytes = texts().into_iter().next()?;
                if name == "write" && between(arguments, '<', '>').is_some_and(|p| p.ends_with(b"agent.log"))
                {
                    return delivered(&bytes).map(Step::Log);
                }
                let at = (name == "pwrite64").then(|| last_number(arguments)).flatten();
                Some(Step::Write { path: file()?, at, bytes })
            }
            "lseek" => {
                let to = result.rsplit_once("= ")?.1.trim().parse().ok()?;
                Some(Step::Seek { path: file()?, to })
            }
            "ftruncate" => Some(Step::Length { path: file()?, to: last_number(arguments)? }),
            "fsync" | "fdatasync" => Some(Step::Sync(file()?)),
            "unlink" => Some(Step::Remove(self.inside(texts().first()?)?)),
            "rename" => {
                let texts = texts();
                Some(Step::Rename(self.inside(texts.first()?)?, self.inside(texts.get(1)?)?))
            }
            _ => answer(&texts()),
        }
    }

    /// A name under the state folder, relative to it.
    fn inside(&self, name: &[u8]) -> Option<PathBuf> {
        let path = self.folder.join(PathBuf::from(String::from_utf8_lossy(name).into_owned()));
        path.strip_prefix(fs::canonicalize(&self.state).unwrap_or_else(|_| self.state.clone()))
            .or_else(|_| path.strip_prefix(&self.state))
            .ok()
            .map(Path::to_owned)
    }
}

fn answer(texts: &[Vec<u8>]) -> Option<Step> {
    let head = texts.first()?.strip_prefix(b"HTTP/1.1 ")?;
    let status: u16 = std::str::from_utf8(head.get(..3)?).ok()?.parse().ok()?;
    (200..300).contains(&status).then_some(Step::Answer { status })
}

/// The event of a log line that says `delivered`.
fn delivered(line: &[u8]) -> Option<String> {
    let v: serde_json::Value = serde_json::from_slice(line).ok()?;
    let said = v.get("message").and_then(|m| m.as_str()) == Some("delivered");
    said.then(|| v.get("event").and_then(|e| e.as_str()).map(str::to_owned)).flatten()
}

/// The numbers of `\x68\x69` as bytes.
fn unescape(text: &str) -> Vec<u8> {
    text.split("\\x").skip(1).filter_map(|h| u8::from_str_radix(h.get(..2)?, 16).ok()).collect()
}

fn quoted(text: &str) -> Vec<Vec<u8>> {
    text.split('"').skip(1).step_by(2).map(unescape).collect()
}

fn between(text: &str, from: char, to: char) -> Option<Vec<u8>> {
    let rest = text.split_once(from)?.1;
    Some(unescape(rest.split_once(to)?.0))
}

/// The last number among a call's arguments.
fn last_number(arguments: &str) -> Option<usize> {
    let inside = arguments.rsplit_once(')').map_or(arguments, |(a, _)| a);
    inside.rsplit_once(", ")?.1.trim().parse().ok()
}
