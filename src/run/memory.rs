//! The last day of each level on storages that do not let themselves be listed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::{Zoned, civil};

use crate::base::{Level, component};
use crate::catalogue::Names;
use crate::plan::Place;
use crate::retention;

/// Chooses the level from what is remembered; by the calendar where nothing is.
pub(crate) fn level(state: &Path, place: &Place, names: &Names, now: &Zoned) -> Option<Level> {
    match load(&path(state, place), &names.folder()) {
        Some(last) => retention::level_by_memory(&last, &place.policy, now),
        None => retention::level_by_calendar(&place.policy, now),
    }
}

/// Remembers that a copy of `level` was stored on `day`.
///
/// Errors: those of writing below `state_dir`.
pub(crate) fn remember(
    state: &Path,
    place: &Place,
    folder: &str,
    level: Level,
    day: civil::Date,
) -> io::Result<()> {
    let path = path(state, place);
    let mut all = load_all(&path);
    all.entry(folder.to_owned()).or_default().insert(level, day);
    let parent = path.parent().expect("the path has a folder");
    fs::create_dir_all(parent)?;
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    serde_json::to_writer_pretty(&mut file, &all)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

type Days = BTreeMap<Level, civil::Date>;

fn path(state: &Path, place: &Place) -> PathBuf {
    let name = component(place.fingerprint.as_bytes());
    state.join("levels").join(format!("{name}.json"))
}

fn load(path: &Path, folder: &str) -> Option<Days> {
    load_all(path).remove(folder)
}

/// A file that cannot be read is as good as none: the calendar decides then.
fn load_all(path: &Path) -> BTreeMap<String, Days> {
    let bytes = fs::read(path).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}
