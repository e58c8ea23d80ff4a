//! Which disk a path lies on: the kernel limits whole disks, not partitions.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A disk by its numbers, shown as the kernel takes them: `254:0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Disk {
    pub(super) major: u32,
    pub(super) minor: u32,
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// What is mounted where.
#[derive(Debug, Default)]
pub(super) struct Mounts(Vec<Mount>);

#[derive(Debug)]
struct Mount {
    device: Disk,
    point: PathBuf,
    source: PathBuf,
}

impl Mounts {
    /// Reads what `proc` tells.
    pub(super) fn read(proc: &Path) -> Option<Self> {
        let text = fs::read_to_string(proc.join("self/mountinfo")).ok()?;
        Some(Self(text.lines().filter_map(mount).collect()))
    }

    /// Returns every disk that anything is mounted from.
    pub(super) fn disks(&self, sys: &Path) -> BTreeSet<Disk> {
        self.0.iter().filter_map(|mount| mount.disk(sys)).collect()
    }

    /// Returns the disk below an absolute path without links, and those of what is mounted below
    /// the path; `None` for what lies on none, such as a network or memory, or on several.
    pub(super) fn disks_in(&self, path: &Path, sys: &Path) -> Vec<Option<Disk>> {
        // Of two mounts at one point the later one is seen.
        let above = self.0.iter().filter(|mount| path.starts_with(&mount.point));
        let own = above.max_by_key(|mount| mount.point.components().count());
        let inside = |mount: &&Mount| mount.point.starts_with(path) && mount.point != path;
        let inside = self.0.iter().filter(inside).map(|mount| mount.disk(sys));
        std::iter::once(own.and_then(|mount| mount.disk(sys))).chain(inside).collect()
    }
}

impl Mount {
    fn disk(&self, sys: &Path) -> Option<Disk> {
        let device = match self.device.major {
            // btrfs shows numbers of its own; its device stands in front.
            0 if self.source.starts_with("/dev") => {
                let number = fs::metadata(&self.source).ok()?.rdev();
                let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
                Disk { major, minor }
            }
            0 => return None,
            _ => self.device,
        };
        let folder = sys.join(format!("dev/block/{device}")).canonicalize().ok()?;
        if !folder.join("partition").exists() {
            return Some(device);
        }
        numbers(fs::read_to_string(folder.parent()?.join("dev")).ok()?.trim())
    }
}

/// Reads a line of `mountinfo`.
fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ').skip(2);
    let (device, _root, point) = (fields.next()?, fields.next()?, fields.next()?);
    let source = unescaped(after.split(' ').nth(1)?);
    Some(Mount { device: numbers(device)?, point: unescaped(point), source })
}

fn numbers(text: &str) -> Option<Disk> {
    let (major, minor) = text.split_once(':')?;
    Some(Disk { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

/// Reads a path of `mountinfo`: spaces and their like stand as `\040`.
pub(super) fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let octal = more.get(..3).filter(|_| *first == b'\\');
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[3..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}
