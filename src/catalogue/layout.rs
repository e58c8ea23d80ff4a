//! Names of objects on a storage: how they are made and how ours are recognised.
//!
//! `<server>/<source>/<part>/<level>/<base>_<YYYY-MM-DD_HH-MM-SS>[-2].<ext>[.gz|.zst][.age]`, and
//! beside it the same name with `.002` …, `.index.zst` and `.manifest.json`. Copies of 2.x have
//! no seconds in their names, so they are never taken for ours. Increments have folders of the
//! calendar in the place of the level, or `chain_<stamp>` and a name that begins with `L<n>_`.

use jiff::civil;

use crate::base::{Key, Level, Rank, Step, component, component_within, decade};

/// The object at the top of a `backup_dir` that says whose it is.
pub const MARKER: &str = ".nxs-backup.json";

/// What the names of one identity's objects are made of; raw bytes, unescaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// `server_name`, on a storage that several servers share.
    pub server: Option<String>,
    /// The folder of its source.
    pub source: Option<String>,
    /// The folders of its own.
    pub part: Vec<Vec<u8>>,
    /// How the file's name begins.
    pub base: Vec<u8>,
    /// The extension without a dot; may be empty.
    pub ext: String,
    /// What compression and encryption add: `.zst`, `.gz.age`.
    pub suffix: String,
}

/// A stream that needs more objects than there are names for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream needs more than {LAST_SEGMENT} segments: set a larger `split`")]
pub struct TooManySegments;

/// What a name of our pattern says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The folder above the level, with a slash at its end; may be empty.
    pub folder: String,
    /// Its level; what lies in the folder of a decade is said to be of a day.
    pub level: Rank,
    /// How the file's name begins, as it stands in the key.
    pub base: String,
    /// When its run began, by the clock on the wall.
    pub stamp: civil::DateTime,
    /// 1, or the number that keeps it apart from others of the same second.
    pub again: u32,
    /// The first object of its artefact.
    pub artefact: Key,
    /// What it is of that artefact.
    pub piece: Piece,
}

/// What an object is of its artefact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The n-th part of the stream, from 1.
    Segment(u32),
    /// The list of what is inside.
    Index,
    /// What makes it a backup.
    Manifest,
}

impl Names {
    /// Returns where all copies of this identity lie, with a slash at its end; empty when that is
    /// the top of the storage.
    pub fn folder(&self) -> String {
        let named = [&self.server, &self.source].into_iter().flatten().map(String::as_bytes);
        let parts =
            named.chain(self.part.iter().map(Vec::as_slice)).filter(|part| !part.is_empty());
        parts.map(|part| component(part) + "/").collect()
    }

    /// Returns the name of the first object of a copy whose run began at `stamp`.
    ///
    /// `again` counts from 1; from 2 on it shows in the name.
    pub fn artefact_key(&self, level: Level, stamp: civil::DateTime, again: u32) -> Key {
        self.key(level.folder(), "", stamp, again)
    }

    /// Returns the name of the first object of an increment, or of the full copy of a chain, of
    /// which the full copy began at `chain`.
    pub fn step_key(
        &self,
        step: Step,
        chain: civil::DateTime,
        stamp: civil::DateTime,
        again: u32,
    ) -> Key {
        let (year, month, decade) = (stamp.year(), stamp.month(), decade(stamp.day()));
        match step {
            Step::Year => self.key(&format!("{year:04}/year"), "", stamp, again),
            Step::Month => {
                let folder = format!("{year:04}/month_{month:02}/monthly");
                self.key(&folder, "", stamp, again)
            }
            Step::Decade | Step::Day => {
                let folder = format!("{year:04}/month_{month:02}/daily/day_{decade:02}");
                self.key(&folder, "", stamp, again)
            }
            Step::Level(number) => {
                let folder = format!("{CHAIN}{}", chain.strftime(STAMP));
                self.key(&folder, &format!("L{number}_"), stamp, again)
            }
        }
    }

    fn key(&self, folder: &str, before: &str, stamp: civil::DateTime, again: u32) -> Key {
        let mut name = before.to_owned();
        name.push_str(&component_within(&self.base, LONGEST_BASE - before.len()));
        name.push_str(&stamp.strftime("_%Y-%m-%d_%H-%M-%S").to_string());
        if again > 1 {
            name.push_str(&format!("-{again}"));
        }
        if !self.ext.is_empty() {
            name.push('.');
            name.push_str(&component_within(self.ext.as_bytes(), LONGEST_EXT));
        }
        name.push_str(&self.suffix);
        Key::new(format!("{}{folder}/{name}", self.folder()))
            .expect("escaped components make a key")
    }
}

/// Returns the folder of a server on a shared storage, with a slash at its end.
pub fn server_folder(server_name: &str) -> String {
    component(server_name.as_bytes()) + "/"
}

/// Returns the name of the `number`-th segment, from 1, of the artefact that begins at `first`.
///
/// Errors: [`TooManySegments`] beyond 999.
pub fn segment_key(first: &Key, number: u32) -> Result<Key, TooManySegments> {
    match number {
        0 | 1 => Ok(first.clone()),
        2..=LAST_SEGMENT => Ok(first.with_suffix(&format!(".{number:03}"))),
        _ => Err(TooManySegments),
    }
}

/// Returns the name of the manifest of the artefact that begins at `first`.
pub fn manifest_key(first: &Key) -> Key {
    first.with_suffix(MANIFEST)
}

/// Returns the name of the index, before sealing, of the artefact that begins at `first`.
pub fn index_key(first: &Key) -> Key {
    first.with_suffix(INDEX)
}

/// Tells whether this names a manifest.
pub fn is_manifest(key: &Key) -> bool {
    key.name().len() > MANIFEST.len() && key.name().ends_with(MANIFEST)
}

/// Reads a name of our full pattern; anything else, copies of 2.x included, is `None`.
pub fn parse(key: &Key) -> Option<Parsed> {
    let (artefact, piece) = split_piece(key.as_str());
    let (folders, name) = artefact.rsplit_once('/')?;
    let (folder, level, name) = split_folders(folders, name)?;
    let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let (base, stamp, again) = split_name(name)?;
    let artefact = Key::new(artefact).ok()?;
    Some(Parsed { folder, level, base, stamp, again, artefact, piece })
}

/// Takes the folders that tell the level off the end of `folders`, and what tells it off the
/// beginning of `name`.
fn split_folders<'a>(folders: &'a str, name: &'a str) -> Option<(&'a str, Rank, &'a str)> {
    let (above, last) = split_last(folders);
    // A month's copy lies in a `monthly` too: the folders above it tell.
    if let Some((above, step)) = of_calendar(above, last) {
        return Some((above, step.into(), name));
    }
    if let Some(level) = Level::from_folder(last) {
        return Some((above, level.into(), name));
    }
    let stamp = last.strip_prefix(CHAIN).filter(|stamp| stamp.len() == STAMP_LEN)?;
    civil::DateTime::strptime(STAMP, stamp).ok()?;
    let (number, name) = name.strip_prefix('L')?.split_once('_')?;
    let number = number.parse().ok().filter(|_| is_digits(number))?;
    Some((above, Step::Level(number).into(), name))
}

/// Reads the folders of the calendar's scheme from their end: `2026/month_11/daily/day_01`.
fn of_calendar<'a>(above: &'a str, last: &str) -> Option<(&'a str, Step)> {
    let (step, months) = match last {
        "year" => (Step::Year, above),
        "monthly" => (Step::Month, above),
        "day_01" | "day_11" | "day_21" => (Step::Day, above.strip_suffix("/daily")?),
        _ => return None,
    };
    let years = match step {
        Step::Year => months,
        _ => {
            let (years, month) = split_last(months);
            month.strip_prefix("month_").filter(|month| month.len() == 2 && is_digits(month))?;
            years
        }
    };
    let (above, year) = split_last(years);
    (year.len() == 4 && is_digits(year)).then_some((above, step))
}

fn split_last(folders: &str) -> (&str, &str) {
    folders.rsplit_once('/').unwrap_or(("", folders))
}

/// Takes what stands behind the artefact's own name off `key`.
fn split_piece(key: &str) -> (&str, Piece) {
    if let Some(artefact) = key.strip_suffix(MANIFEST) {
        return (artefact, Piece::Manifest);
    }
    if let Some(artefact) = key.strip_suffix(".age").unwrap_or(key).strip_suffix(INDEX) {
        return (artefact, Piece::Index);
    }
    match key.rsplit_once('.') {
        Some((artefact, digits)) if digits.len() == 3 && is_digits(digits) => {
            match digits.parse() {
                Ok(number) if number >= 2 => (artefact, Piece::Segment(number)),
                _ => (key, Piece::Segment(1)),
            }
        }
        _ => (key, Piece::Segment(1)),
    }
}

/// Finds the last stamp in a name: `<base>_<stamp>[-<again>][.<anything>]`.
fn split_name(name: &str) -> Option<(String, civil::DateTime, u32)> {
    name.rmatch_indices('_').find_map(|(at, _)| {
        let (base, rest) = (&name[..at], &name[at + 1..]);
        let stamp = civil::DateTime::strptime(STAMP, rest.get(..STAMP_LEN)?).ok()?;
        let tail = &rest[STAMP_LEN..];
        let again = match tail.split('.').next().unwrap_or_default() {
            "" => 1,
            again => {
                let number = again.strip_prefix('-').filter(|digits| is_digits(digits))?;
                number.parse().ok().filter(|number| *number > 1)?
            }
        };
        Some((base.to_owned(), stamp, again))
    })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

const CHAIN: &str = "chain_";
const MANIFEST: &str = ".manifest.json";
const INDEX: &str = ".index.zst";
const STAMP: &str = "%Y-%m-%d_%H-%M-%S";
const STAMP_LEN: usize = "2026-11-21_13-14-15".len();
const LAST_SEGMENT: u32 = 999;

/// With a base of 160 and an extension of 16 bytes, a manifest's temporary name has 237 bytes
/// before the part that makes it unique: `.nxs-partial.` 13, stamp 20, `-999` 4, dot 1,
/// `.zst.age` 8, `.manifest.json` 14, dot 1. File systems stop at 255.
const LONGEST_BASE: usize = 160;
const LONGEST_EXT: usize = 16;

#[cfg(test)]
mod tests;
