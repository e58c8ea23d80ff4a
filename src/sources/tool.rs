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
}

impl Tool {
    /// Finds it on PATH, under the first of its names that is there.
    pub fn find(&self) -> Option<PathBuf> {
        self.names.iter().find_map(|name| on_path(name))
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
