//! Files that hold a secret for a program: in a folder that nobody else can enter, gone with this
//! value, and swept by the next run where the process was killed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;

/// A folder of mode 0700 whose files have mode 0600.
#[derive(Debug)]
pub struct PrivateFolder(TempDir);

impl PrivateFolder {
    /// Makes one below `tmp_dir`, after removing those of processes that are dead.
    ///
    /// Errors: when `tmp_dir` cannot be written.
    pub fn new(tmp_dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(tmp_dir)?;
        sweep(tmp_dir);
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let mut builder = tempfile::Builder::new();
        let only_us = fs::Permissions::from_mode(0o700);
        builder.prefix(&prefix).permissions(only_us).tempdir_in(tmp_dir).map(Self)
    }

    /// Writes a new file there.
    pub fn write(&self, name: &str, content: &str) -> io::Result<PathBuf> {
        let path = self.0.path().join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(content.as_bytes())?;
        Ok(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Removes folders of our own user whose process is no more.
fn sweep(tmp_dir: &Path) {
    let Ok(entries) = fs::read_dir(tmp_dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        let Some(pid) = pid.and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        let is_dead = test_kill_process(pid) == Err(rustix::io::Errno::SRCH);
        let ours = rustix::process::geteuid().as_raw();
        let is_ours = entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == ours);
        if is_dead && is_ours {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

const PREFIX: &str = ".nxs-private-";
