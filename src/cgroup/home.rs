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
        let mut mounts = mounts.lines().filter_map(mount).peekable();
        mounts.peek().ok_or("cgroup v2 is not mounted")?;
        let dir = mounts.find_map(|(root, point)| seen_at(own, &root, &point));
        let dir = dir.ok_or("our control group lies outside of what we can see")?;
        Ok(Self { dir })
    }

    /// Tells whether it is the root of the tree, for which some rules do not hold.
    pub(super) fn is_root(&self) -> bool {
        !self.dir.join("cgroup.type").exists()
    }

    /// Makes a group for the process `id`; a new one, whatever an earlier one has left in its own.
    ///
    /// Errors: why there can be none, in words.
    pub(super) fn make_group(&self, id: u32) -> Result<PathBuf, String> {
        let names = (1..=MOST).map(|number| match number {
            1 => format!("{PREFIX}{id}"),
            number => format!("{PREFIX}{id}-{number}"),
        });
        let mut problem = None;
        for dir in names.map(|name| self.dir.join(name)) {
            match fs::create_dir(&dir) {
                Ok(()) => return Ok(dir),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => problem = Some(error),
                Err(error) => return Err(why(&self.dir, &error)),
            }
        }
        Err(problem.map_or_else(String::new, |error| why(&self.dir, &error)))
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
            let maker = maker.map(|maker| maker.split('-').next().unwrap_or(maker));
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

/// Returns where the group `own` is seen below `point`, which shows the tree from `root` on.
fn seen_at(own: &str, root: &str, point: &Path) -> Option<PathBuf> {
    // A container may see a part of the tree alone.
    let own = match root {
        "/" => own,
        root => own.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'))?,
    };
    let dir = point.join(own.trim_start_matches('/'));
    // Joining nothing leaves a slash at the end.
    (!own.starts_with("/..")).then(|| dir.components().collect())
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
/// Groups of one process: each job that leaves something running leaves its group, too.
const MOST: u32 = 100;
