//! Where groups of our own can be made: the group that this program was started in.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::cgroup::disks::unescaped;

/// The group that this program is in, as a folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) dir: PathBuf,
}

impl Home {
    /// Finds it by what `proc` tells of this program and of mounts.
    ///
    /// Errors: why there is none, in words.
    pub(super) fn find(proc: &Path) -> Result<Self, String> {
        let read = |name: &str| {
            let file = proc.join("self").join(name);
            fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))
        };
        let (groups, mounts) = (read("cgroup")?, read("mountinfo")?);
        let own = groups.lines().find_map(|line| line.strip_prefix("0::"));
        let own = own.ok_or("this machine has no cgroup v2")?;
        let (root, point) = mounts.lines().find_map(mount).ok_or("cgroup v2 is not mounted")?;
        // A container may see a part of the tree alone.
        let own = match root.as_str() {
            "/" => Some(own),
            root => own.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/')),
        };
        let own = own.filter(|own| !own.starts_with("/.."));
        let own = own.ok_or("our control group lies outside of what we can see")?;
        let dir = point.join(own.trim_start_matches('/'));
        // Joining nothing leaves a slash at the end.
        Ok(Self { dir: dir.components().collect() })
    }

    /// Returns what of `wanted` groups below it can have.
    ///
    /// Errors: when neither processor nor disks can be shared out there.
    pub(super) fn offered(&self, wanted: &[&'static str]) -> Result<Vec<&'static str>, String> {
        let file = self.dir.join("cgroup.controllers");
        let offered = fs::read_to_string(&file).map_err(|error| why(&file, &error))?;
        let has = |name: &&&'static str| offered.split_whitespace().any(|one| one == **name);
        let got: Vec<_> = wanted.iter().filter(has).copied().collect();
        if got.iter().any(|name| ["cpu", "io"].contains(name)) {
            return Ok(got);
        }
        let lacking = wanted.iter().filter(|name| !got.contains(name));
        let lacking: Vec<_> = lacking.map(|name| format!("`{name}`")).collect();
        Err(format!(
            "{} offers no {}: it is not handed down to us, or cgroup v1 has it",
            file.display(),
            lacking.join(" and no ")
        ))
    }

    /// Removes groups that dead runs left here; one in which something lives stays.
    pub(super) fn sweep(&self, proc: &Path) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let maker = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            let is_dead = maker
                .is_some_and(|maker| maker.parse::<u32>().is_ok() && !proc.join(maker).exists());
            if is_dead && fs::remove_dir(entry.path()).is_ok() {
                tracing::info!(
                    "removed {}, which a run that died had left",
                    entry.path().display()
                );
            }
        }
    }
}

/// Returns what a group of the process `id` is called.
pub(super) fn name_of(id: u32) -> String {
    format!("{PREFIX}{id}")
}

/// Says what the kernel means by its answer.
pub(super) fn why(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            format!("{path}: is not delegated to us ({error})")
        }
        ErrorKind::ResourceBusy => format!("{path}: other programs run in this group, too"),
        _ => format!("{path}: {error}"),
    }
}

/// Reads a line of `mountinfo`; only of a cgroup v2: what of it is mounted, and where.
fn mount(line: &str) -> Option<(String, PathBuf)> {
    let (before, after) = line.split_once(" - ")?;
    if after.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let mut fields = before.split(' ').skip(3);
    Some((fields.next()?.to_owned(), unescaped(fields.next()?)))
}

const PREFIX: &str = "nxs-backup-";
