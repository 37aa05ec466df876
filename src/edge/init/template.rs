//! The published example with the answers in it, and its comments.

use std::path::Path;

use toml_edit::{DocumentMut, Item, Table, TableLike, Value, value};

use crate::edge::agent::today;
use crate::edge::config::Config;
use crate::settings::SettingsError;

use super::InitError;
use super::questions::{Camera, Whole};

const EXAMPLE: &str = include_str!("../../../config/counterproof.example.toml");

/// A configuration, read back as the agent reads it; the notice's digest is that
/// of the notice that it makes.
///
/// # Errors
/// If the answers together make none.
pub(super) fn fill(file: &Path, whole: &Whole) -> Result<String, InitError> {
    let (head, counter, tail) = parts(EXAMPLE)?;
    let mut body = String::new();
    for (i, _) in whole.counters.iter().enumerate() {
        body.push_str(&one_counter(counter, whole, i)?);
    }
    let mut document: DocumentMut = format!("{head}{body}{tail}").parse().map_err(|_| missing("whole"))?;
    for (key, text) in &whole.values {
        put(&mut document, key, Value::from(text.as_str()))?;
    }
    if let Some(tls) = &whole.his_tls {
        let his = document.get_mut("his").and_then(Item::as_table_mut).ok_or_else(|| missing("his"))?;
        let mut table = Table::new();
        tls.iter().for_each(|(key, text)| {
            table.insert(key, value(text.as_str()));
        });
        his.insert("tls", Item::Table(table));
    }
    let notice = document
        .get_mut("privacy")
        .and_then(|p| p.get_mut("notice"))
        .and_then(Item::as_table_like_mut)
        .ok_or_else(|| missing("privacy.notice"))?;
    match whole.posted_on {
        Some(date) => set(notice, "posted_on", Value::from(date.to_string())),
        None => {
            notice.remove("posted_on");
        }
    }
    let draft = Config::parse_before_notice(file, &document.to_string(), today())?.1;
    put(&mut document, "privacy.notice.sha256", Value::from(draft.notice.sha256.to_string()))?;
    let text = format!(
        "# Written by `counterproof init` on {}. Every line may be changed by hand.\n#\n{document}",
        today()
    );
    if whole.posted_on.is_some() {
        Config::parse(file, &text, today()).map_err(|e: SettingsError| InitError::Refused(e))?;
    }
    Ok(text)
}

fn missing(what: &str) -> InitError {
    InitError::Template(what.to_owned())
}

/// What stands before the counters, the example's counter, and the rest, which
/// begins with what is said of `[privacy]`.
fn parts(text: &str) -> Result<(&str, &str, &str), InitError> {
    let begin = text.find("[[counters]]").ok_or_else(|| missing("[[counters]]"))?;
    let privacy = text.find("\n[privacy]").ok_or_else(|| missing("[privacy]"))? + 1;
    let mut end = privacy;
    // The comment above a table is the table's.
    while let Some(line) = text.get(..end).and_then(|t| t.strip_suffix('\n')) {
        let start = line.rfind('\n').map_or(0, |n| n + 1);
        if !line.get(start..).is_some_and(|l| l.starts_with('#')) {
            break;
        }
        end = start;
    }
    let part = |range: std::ops::Range<usize>| text.get(range).ok_or_else(|| missing("[[counters]]"));
    Ok((part(0..begin)?, part(begin..end)?, part(end..text.len())?))
}

/// The example's counter with an answer in it; only the first keeps its comments.
fn one_counter(example: &str, whole: &Whole, i: usize) -> Result<String, InitError> {
    let asked = whole.counters.get(i).ok_or_else(|| missing("counters"))?;
    let plain: String;
    let example = if i == 0 {
        example
    } else {
        plain = without_comments(example);
        &plain
    };
    let mut document: DocumentMut = example.parse().map_err(|_| missing("counters"))?;
    let counter = document
        .get_mut("counters")
        .and_then(Item::as_array_of_tables_mut)
        .and_then(|t| t.get_mut(0))
        .ok_or_else(|| missing("counters"))?;
    set(counter, "id", Value::from(asked.id.as_str()));
    let region = counter.get_mut("region").and_then(Item::as_table_like_mut);
    let region = region.ok_or_else(|| missing("region"))?;
    let [x, y, w, h] = asked.region;
    for (key, share) in [("x", x), ("y", y), ("w", w), ("h", h)] {
        set(region, key, Value::from(share));
    }
    let camera = counter.get_mut("camera").and_then(Item::as_table_mut).ok_or_else(|| missing("camera"))?;
    match &asked.camera {
        Camera::Replay { path } => set(camera, "path", Value::from(path.as_str())),
        Camera::V4l2 { device } => {
            camera.clear();
            camera.insert("kind", value("v4l2"));
            camera.insert("device", value(device.as_str()));
            for (key, n) in [("width", 1280), ("height", 720), ("frames_per_second", 15)] {
                camera.insert(key, value(n));
            }
        }
        Camera::Rtsp { url, login } => {
            camera.clear();
            camera.insert("kind", value("rtsp"));
            camera.insert("url", value(url.as_str()));
            if let Some((user, password)) = login {
                camera.insert("user", value(user.as_str()));
                camera.insert("password", value(password.as_str()));
            }
        }
    }
    Ok(document.to_string())
}

/// Drops lines and line ends that are comments; no value of the example's
/// counter has a `#` in it.
fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    lines.map(|l| format!("{}\n", l.split('#').next().unwrap_or_default().trim_end())).collect()
}

/// Sets what is there already, by its dotted key; its comment stays.
fn put(document: &mut DocumentMut, key: &str, to: Value) -> Result<(), InitError> {
    let (path, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for part in path.split('.').filter(|p| !p.is_empty()) {
        table = table.get_mut(part).and_then(Item::as_table_like_mut).ok_or_else(|| missing(key))?;
    }
    if !table.contains_key(name) {
        return Err(missing(key));
    }
    set(table, name, to);
    Ok(())
}

fn set(table: &mut dyn TableLike, key: &str, mut to: Value) {
    if let Some(before) = table.get(key).and_then(Item::as_value) {
        *to.decor_mut() = before.decor().clone();
    }
    match table.get_mut(key) {
        // In its place: the comments above it belong to its key.
        Some(item) => *item = Item::Value(to),
        None => {
            table.insert(key, Item::Value(to));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::questions::tests::whole;
    use super::*;

    #[test]
    fn comments_stay_and_every_answer_is_there() {
        let text = fill(Path::new("/etc/counterproof/counterproof.toml"), &whole()).unwrap();
        for comment in EXAMPLE.lines().filter(|l| l.starts_with('#')) {
            assert!(text.contains(comment), "{comment}: {text}");
        }
        let (config, policy) =
            Config::parse_before_notice(Path::new("/etc/counterproof/c.toml"), &text, today()).unwrap();
        assert_eq!(config.agent.name.as_str(), "box-7");
        let counters: Vec<_> = config.counters.iter().map(|c| (c.id.as_str(), c.region.w)).collect();
        assert_eq!(counters, [("w03", 0.5), ("w04", 1.0)]);
        assert!(text.contains(&policy.notice.sha256.to_string()));
        assert!(text.contains("id = \"w03\"                       # as settlements name it"), "{text}");
        // Each key once for each counter.
        assert_eq!(text.matches("[counters.camera]").count(), 2);
    }

    #[test]
    fn cameras_of_each_kind_are_written() {
        let mut whole = whole();
        whole.counters[0].camera = Camera::V4l2 { device: "/dev/video0".into() };
        whole.counters[1].camera = Camera::Rtsp {
            url: "rtsp://192.0.2.7/stream2".into(),
            login: Some(("viewer".into(), "credential:camera-w04".into())),
        };
        let (_, counter, _) = parts(EXAMPLE).unwrap();
        let text: String = (0..2).map(|i| one_counter(counter, &whole, i).unwrap()).collect();
        let read: toml::Table = toml::from_str(&text).unwrap();
        let camera = |i: usize| read["counters"][i]["camera"].clone();
        assert_eq!(camera(0)["device"].as_str(), Some("/dev/video0"), "{text}");
        assert_eq!(camera(0)["width"].as_integer(), Some(1280));
        assert_eq!(camera(1)["user"].as_str(), Some("viewer"));
        assert_eq!(camera(1)["password"].as_str(), Some("credential:camera-w04"));
        assert!(camera(1).get("path").is_none() && camera(0).get("repeat").is_none());
    }
}
