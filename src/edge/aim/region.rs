//! Writes a counter's capture region into the configuration, and changes
//! nothing else in it: comments, order, mode and owner stay.
//!
//! Promises: what is written is a configuration that was read and checked
//! whole; a crash in between leaves the former file. The region is part of the
//! privacy policy: whoever changes it is told what follows from that.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml_edit::{DocumentMut, InlineTable, Item, TableLike, Value};

use crate::crypto::Sha256;
use crate::edge::agent::today;
use crate::edge::config::Config;
use crate::frame::Region;
use crate::privacy::policy::CaptureRegion;
use crate::protocol::id::CounterId;
use crate::settings::SettingsError;

/// Why a region was not written.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// Not a part of the picture.
    #[error(
        "region: found {{ x = {0}, y = {1}, w = {2}, h = {3} }}; allowed: shares of the picture, 0 to 1, with at most three decimals, not empty and inside the picture"
    )]
    Outside(f32, f32, f32, f32),
    /// The file cannot be read or written.
    #[error("{path}: {source}: start aim as a user who may write the configuration")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what it was when aiming began.
    #[error("{0}: it has no counter `{1}` any more: was it edited meanwhile? End aim and start it again")]
    NoCounter(PathBuf, CounterId),
    /// With the region it would be refused.
    #[error("{0}: nothing was written")]
    Refused(#[from] SettingsError),
}

/// What was written, and what follows.
#[derive(Debug, Serialize)]
pub(super) struct Written {
    /// The region.
    pub(super) region: Asked,
    /// SHA-256 of the notice that the policy now makes.
    pub(super) notice: Sha256,
    /// What is to be done now, as commands and lines for the configuration.
    pub(super) next: Vec<String>,
}

/// A region as the page sends it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    x: f32,
    y: f32,
    w: f32,
    h: f32,
}

impl From<Region> for Asked {
    fn from(Region { x, y, w, h }: Region) -> Self {
        Self { x, y, w, h }
    }
}

impl Asked {
    /// The same, if it may stand in a policy.
    pub(super) fn region(self) -> Result<Region, RegionError> {
        let Self { x, y, w, h } = self;
        let region = Region { x, y, w, h };
        CaptureRegion::of(region).map(|_| region).ok_or(RegionError::Outside(x, y, w, h))
    }
}

/// Writes the region of a counter into the configuration at `path`.
///
/// # Errors
/// [`RegionError`]; the file is then as it was.
pub(super) fn write(path: &Path, counter: &CounterId, asked: Asked) -> Result<Written, RegionError> {
    asked.region()?;
    // A link stays one: its target is replaced.
    let file = std::fs::canonicalize(path).map_err(io(path))?;
    let text = std::fs::read_to_string(&file).map_err(io(&file))?;
    let changed =
        edit(&text, counter, asked).ok_or_else(|| RegionError::NoCounter(file.clone(), counter.clone()))?;
    let (_, policy) = Config::parse_before_notice(&file, &changed, today())?;
    replace(&file, &changed).map_err(io(&file))?;
    let notice = policy.notice.sha256;
    Ok(Written { region: asked, notice, next: next(path, notice) })
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> RegionError + use<> {
    let path = path.to_owned();
    move |source| RegionError::Io { path, source }
}

/// What a technician does after a region changed, in this order.
fn next(path: &Path, notice: Sha256) -> Vec<String> {
    let f = path.display();
    vec![
        format!("counterproof policy notice --html --config {f} > notice.html"),
        format!("[privacy.notice] sha256 = \"{notice}\""),
        "[privacy.notice] posted_on = \"YYYY-MM-DD\"".to_owned(),
        format!("counterproof check --config {f}"),
        format!("counterproof policy show --json --config {f} > policy.json"),
        "systemctl restart counterproof".to_owned(),
    ]
}

/// The text with another region; `None` if it has no such counter.
fn edit(text: &str, counter: &CounterId, asked: Asked) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    let is_it = |t: &dyn TableLike| t.get("id").and_then(Item::as_str) == Some(counter.as_str());
    match document.get_mut("counters")? {
        Item::ArrayOfTables(tables) => {
            set(tables.iter_mut().find(|t| is_it(*t as &dyn TableLike))?, asked);
        }
        Item::Value(Value::Array(array)) => {
            let tables = array.iter_mut().filter_map(Value::as_inline_table_mut);
            set(tables.into_iter().find(|t| is_it(*t as &dyn TableLike))?, asked);
        }
        _ => return None,
    }
    Some(document.to_string())
}

fn set(counter: &mut dyn TableLike, asked: Asked) {
    if counter.get("region").and_then(Item::as_table_like).is_none() {
        counter.insert("region", Item::Value(InlineTable::new().into()));
    }
    let Some(region) = counter.get_mut("region").and_then(Item::as_table_like_mut) else { return };
    for (key, share) in [("x", asked.x), ("y", asked.y), ("w", asked.w), ("h", asked.h)] {
        // By way of thousandths: 0.1 as f32 is 0.10000000149.
        let mut value = Value::from(f64::from((share * 1000.0).round()) / 1000.0);
        if let Some(before) = region.get(key).and_then(Item::as_value) {
            *value.decor_mut() = before.decor().clone();
        }
        region.insert(key, Item::Value(value));
    }
}

/// Puts the text in the file's place, with its mode and owner.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let part = file.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = write_like(file, &part, text).and_then(|()| std::fs::rename(&part, file));
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    written?;
    match file.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn write_like(file: &Path, part: &Path, text: &str) -> std::io::Result<()> {
    let like = std::fs::metadata(file)?;
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part)?;
    let own = out.metadata()?;
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        fchown(&out, Some(like.uid()), Some(like.gid()))?;
    }
    out.set_permissions(std::fs::Permissions::from_mode(like.mode() & 0o7777))?;
    out.write_all(text.as_bytes())?;
    out.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../config/counterproof.example.toml");
    const NEW: Asked = Asked { x: 0.25, y: 0.1, w: 0.5, h: 0.625 };

    #[test]
    fn only_the_numbers_of_the_region_change() {
        let w01 = "w01".parse().unwrap();
        let changed = edit(EXAMPLE, &w01, NEW).unwrap();
        let differ: Vec<_> = EXAMPLE.lines().zip(changed.lines()).filter(|(a, b)| a != b).collect();
        assert_eq!(
            differ,
            [(
                "region = { x = 0.1, y = 0.0, w = 0.8, h = 1.0 }",
                "region = { x = 0.25, y = 0.1, w = 0.5, h = 0.625 }"
            )]
        );
        assert_eq!(edit(&changed, &w01, NEW).unwrap(), changed);
        assert!(edit(EXAMPLE, &"w99".parse().unwrap(), NEW).is_none());
    }

    #[test]
    fn however_a_region_is_written_it_is_changed() {
        let counter = "w2".parse().unwrap();
        for text in [
            "[[counters]]\nid = \"w1\"\n[[counters]]\nid = \"w2\" # two\nregion = { x = 0, y = 0, w = 1, h = 1 } # all\n",
            "[[counters]]\nid = \"w2\"\n[counters.region]\nx = 0 # left\ny = 0\nw = 1\nh = 1\n",
            "[[counters]]\nid = \"w2\"\n",
            "counters = [{ id = \"w1\" }, { id = \"w2\", region = { x = 0, y = 0, w = 1, h = 1 } }]\n",
        ] {
            let changed = edit(text, &counter, NEW).unwrap();
            let read: toml::Value = toml::from_str(&changed).unwrap();
            let all = read["counters"].as_array().unwrap();
            let found = all.iter().find(|c| c["id"].as_str() == Some("w2")).unwrap();
            assert_eq!(found["region"]["h"].as_float(), Some(0.625), "{changed}");
            assert!(all.iter().filter(|c| c["id"].as_str() == Some("w1")).all(|c| c.get("region").is_none()));
            for comment in ["# two", "# all", "# left"] {
                assert_eq!(text.contains(comment), changed.contains(comment), "{changed}");
            }
        }
    }

    #[test]
    fn a_region_outside_the_picture_or_too_fine_is_refused() {
        let asked = |x, w| Asked { x, y: 0.0, w, h: 1.0 }.region();
        assert!(asked(0.0, 1.0).is_ok() && asked(0.125, 0.5).is_ok());
        for (x, w) in [(0.6, 0.6), (0.0, 0.0), (-0.1, 0.5), (f32::NAN, 0.5), (0.1234, 0.5)] {
            assert!(asked(x, w).is_err(), "{x} {w}");
        }
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_and_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("c.toml"), dir.path().join("link.toml"));
        std::fs::write(&file, "before").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&std::fs::canonicalize(&link).unwrap(), "after").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "after");
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
