//! The memory of a running process, searched from outside.
//!
//! All readable maps of `/proc/PID/maps` are read through `/proc/PID/mem`; a
//! process that is not dumpable can be read so by root alone. Read-only maps of
//! files (programs, libraries) are searched for bytes, the rest for numbers as
//! text too.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::needles::{Hits, LONGEST, Search};

/// What one reading of a process found.
#[derive(Debug, Default)]
pub struct Scan {
    pub bytes: u64,
    pub maps: usize,
    pub hits: Hits,
    /// Where, for people: map and offset in it of the first finds.
    pub places: Vec<String>,
}

/// A readable map.
struct Map {
    from: u64,
    to: u64,
    writable: bool,
    name: String,
}

const CHUNK: usize = 8 << 20;
/// Finds that are told with their place.
const PLACES: usize = 40;

/// Searches all of a process's memory.
pub fn scan(pid: u32, search: &Search) -> io::Result<Scan> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut out = Scan::default();
    let mut buffer = vec![0; CHUNK];
    for map in maps(pid)? {
        let mut at = map.from;
        let mut seen = 0;
        while at < map.to {
            let want = (map.to - at).min(CHUNK as u64) as usize;
            // A page that was never touched or is gone reads as an error: nothing to see.
            let Ok(n @ 1..) = memory.read_at(&mut buffer[..want], at) else { break };
            let chunk = &buffer[..n];
            let mut hits = search.bytes(chunk);
            if map.writable {
                hits.merge(search.numbers(chunk));
            }
            if !hits.is_empty() && out.places.len() < PLACES {
                out.places.push(format!(
                    "{} {:x}-{:x} +{:x}: {hits}",
                    map.name,
                    map.from,
                    map.to,
                    at - map.from
                ));
            }
            out.hits.merge(hits);
            seen += n as u64;
            let step = if at + (n as u64) < map.to { n.saturating_sub(LONGEST).max(1) } else { n };
            at += step as u64;
        }
        out.bytes += seen;
        out.maps += usize::from(seen > 0);
    }
    Ok(out)
}

/// Which of some texts stand in memory that a process wrote.
pub fn holds_any(pid: u32, texts: &[Vec<u8>]) -> io::Result<Vec<Vec<u8>>> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let search = aho_corasick::AhoCorasick::new(texts).map_err(io::Error::other)?;
    let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
    let mut buffer = vec![0; CHUNK];
    let mut found = std::collections::BTreeSet::new();
    for map in maps(pid)?.iter().filter(|m| m.writable) {
        let mut at = map.from;
        while at < map.to {
            let want = (map.to - at).min(CHUNK as u64) as usize;
            let Ok(n @ 1..) = memory.read_at(&mut buffer[..want], at) else { break };
            found.extend(search.find_iter(&buffer[..n]).map(|m| texts[m.pattern().as_usize()].clone()));
            let step = if at + (n as u64) < map.to { n.saturating_sub(longest).max(1) } else { n };
            at += step as u64;
        }
    }
    Ok(found.into_iter().collect())
}

fn maps(pid: u32) -> io::Result<Vec<Map>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let map = |line: &str| {
        let mut words = line.split_whitespace();
        let (from, to) = words.next()?.split_once('-')?;
        let rights = words.next()?;
        let name = words.nth(3).unwrap_or("anonymous").to_owned();
        // The kernel's own pages: not the process's to write, and not readable so.
        if !rights.starts_with('r') || name.starts_with("[v") {
            return None;
        }
        let address = |text: &str| u64::from_str_radix(text, 16).ok();
        Some(Map { from: address(from)?, to: address(to)?, writable: rights.contains('w'), name })
    };
    Ok(text.lines().filter_map(map).collect())
}

/// Processor time of a thread of a process, by its name, in nanoseconds.
pub fn thread_cpu(pid: u32, name: &str) -> io::Result<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm")).is_ok_and(|n| n.trim() == name) {
            let said = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
            sum += said.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(sum)
}
