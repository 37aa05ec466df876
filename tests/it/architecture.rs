//! The house: each storey imports only those below it, and rooms of one storey
//! do not import each other. Read from the sources' own paths, so that an arrow
//! turned round fails here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// From the top down; rooms of one line do not import each other.
const STOREYS: [&[&str]; 7] = [
    &["bin"],
    &["edge", "bureau", "bench"],
    &["verify"],
    &["camera", "vision"],
    &["privacy", "commissioning"],
    &["protocol", "http"],
    &["clock", "crypto", "frame", "heart", "log", "settings", "shares", "shutters", "svg"],
];

/// Arrows within the ground floor, which holds single files and crypto.
const GROUND: [(&str, &str); 2] = [("frame", "clock"), ("heart", "clock")];
/// What a room may not know, though it is below.
const NEVER: [(&str, &str); 2] = [("protocol", "frame"), ("bureau", "verify")];
/// The one file that may nevertheless: it judges photographs from telephones, and hands
/// on words (docs/decisions/0033-check-ins.md).
const BUT: [(&str, &str); 1] = [("bureau/check_ins/eyes.rs", "verify")];

fn storey(room: &str) -> Option<usize> {
    STOREYS.iter().position(|s| s.contains(&room))
}

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Rooms named in code by `crate::ROOM` or `counterproof::ROOM`, comments left out.
fn imports(text: &str) -> Vec<String> {
    let code: String =
        text.lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join(" ");
    let mut rooms = Vec::new();
    for prefix in ["crate::", "counterproof::"] {
        for rest in code.split(prefix).skip(1) {
            let names = match rest.strip_prefix('{') {
                // A group: the first word of each of its parts.
                Some(group) => {
                    group.split('}').next().unwrap_or_default().split(',').map(first_word).collect()
                }
                None => vec![first_word(rest)],
            };
            rooms.extend(names.into_iter().filter(|n| storey(n).is_some()));
        }
    }
    rooms
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// What is wrong with an arrow, if anything.
fn fault(from: &str, to: &str) -> Option<String> {
    if from == to {
        return None;
    }
    let (a, b) = (storey(from)?, storey(to)?);
    if NEVER.contains(&(from, to)) {
        return Some(format!("{from} must not know {to}"));
    }
    let ground = a == b && a == STOREYS.len() - 1 && GROUND.contains(&(from, to));
    (a >= b && !ground).then(|| format!("{from} must not import {to}: arrows run downward"))
}

#[test]
fn arrows_run_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut arrows: BTreeMap<(String, String), PathBuf> = BTreeMap::new();
    for file in files {
        let inside = file.strip_prefix(&root).unwrap();
        let room = inside.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
        if room == "lib" {
            continue;
        }
        assert!(storey(&room).is_some(), "{room} stands on no storey; give it one in this test");
        let text = std::fs::read_to_string(&file).unwrap();
        let may = |to: &String| !BUT.iter().any(|(file, room)| inside == Path::new(file) && to == room);
        for to in imports(&text).into_iter().filter(may) {
            arrows.entry((room.clone(), to)).or_insert_with(|| inside.to_owned());
        }
    }
    assert!(arrows.len() > 20, "the sources were not read: {arrows:?}");
    let faults: Vec<String> = arrows
        .iter()
        .filter_map(|((from, to), file)| fault(from, to).map(|f| format!("{}: {f}", file.display())))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_turned_arrow_is_noticed() {
    assert_eq!(imports("use crate::edge::store; // crate::bureau"), ["edge"]);
    assert_eq!(imports("use crate::{clock::Clock, vision, frame::Frame};"), ["clock", "vision", "frame"]);
    assert!(fault("protocol", "edge").is_some());
    assert!(fault("protocol", "frame").is_some());
    assert!(fault("edge", "bureau").is_some());
    assert!(fault("camera", "vision").is_some());
    assert!(fault("crypto", "clock").is_some());
    assert!(fault("edge", "verify").is_none());
    assert!(fault("verify", "vision").is_none());
}
