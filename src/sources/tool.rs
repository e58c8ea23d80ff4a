//! Programs that sources call: found on PATH, started with no secret in their arguments, listened
//! to until their end, and never left behind.
//!
//! What a program prints becomes a `Dump` whose end comes only after exit code 0 and the judgement
//! of the source. A program leads a process group of its own, so that all that it started ends
//! with it, whichever way the run goes.

mod call;
mod feed;
mod options;
mod private;
mod running;
mod shell;
mod told;
mod words;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Access;

use crate::sources::{Error, Kind};

pub use call::{Call, Last, ends_with_mark};
pub use options::{Given, Opt, read_options};
pub use private::PrivateFolder;
pub use running::kill_all;
pub use shell::{Strict, shell};
pub use words::Words;

/// A program that a source needs, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// The names that it goes by, the best first.
    pub names: &'static [&'static str],
    /// The package of Debian and its kin that has it.
    pub deb: &'static str,
    /// The package of Fedora and its kin that has it.
    pub rpm: &'static str,
    /// Patterns of folders where packages put it beside PATH, one for each version.
    pub folders: &'static [&'static str],
}

impl Tool {
    /// Finds it on PATH, under the first of its names that is there, else in its own folders.
    pub fn find(&self) -> Option<PathBuf> {
        let elsewhere = || {
            let folders = self.folders.iter().flat_map(|pattern| glob::glob(pattern));
            let mut folders: Vec<_> = folders.flatten().flatten().collect();
            folders.sort();
            // Of several versions the newest.
            let inside = folders.iter().rev().flat_map(|folder| {
                self.names.iter().filter_map(|name| folder.join(name).to_str().and_then(on_path))
            });
            { inside }.next()
        };
        self.names.iter().find_map(|name| on_path(name)).or_else(elsewhere)
    }

    /// Finds it for `subject`.
    ///
    /// Errors: [`Kind::Tool`], which names the packages that have it.
    pub fn require(&self, subject: &str) -> Result<PathBuf, Error> {
        self.find().ok_or_else(|| Error {
            kind: Kind::Tool,
            subject: subject.to_owned(),
            problem: self.missing(),
            source: None,
        })
    }

    /// Says that it is missing and which package has it.
    pub fn missing(&self) -> String {
        let names = self.names.join(" or ");
        let Self { deb, rpm, .. } = self;
        format!(
            "the program {names} is missing: install the package {deb} (Debian, Ubuntu) or {rpm} \
             (Fedora, RHEL), or add its folder to PATH"
        )
    }
}

/// Asks a program for its version: the first line that it answers with, in its own words.
///
/// Errors: none; a program that says nothing within 10 s has none.
pub async fn version_of(program: &Path) -> Option<String> {
    let mut call = tokio::process::Command::new(program);
    call.arg("--version").env("LC_ALL", "C.UTF-8").stdin(std::process::Stdio::null());
    let said = tokio::time::timeout(PATIENCE, call.kill_on_drop(true).output()).await.ok()?.ok()?;
    // Some tell it on stderr.
    let said = [said.stdout, said.stderr].concat();
    let line =
        said.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).find(|one| !one.is_empty());
    line.map(|line| crate::base::text(&line[..line.len().min(LONGEST_LINE)]))
}

const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_LINE: usize = 160;

/// Finds a program by its name in the folders of PATH; a path is taken as it is.
pub fn on_path(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return is_program(Path::new(name)).then(|| PathBuf::from(name));
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests;
