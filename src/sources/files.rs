//! `desc_files` and `inc_files`: each match of each glob is a target, packed whole or as an
//! increment.
//!
//! Excludes mean what they meant in 2.x: globs, joined to each target when they are relative,
//! where `*` does not match `/` and `**` does; what matches goes with all below it.

mod excludes;
mod globs;

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{Wrong, text, untext};
use crate::sources::tool::Tool;
use crate::sources::{Back, Error, Found, Kind, Result, Section, Setting, Source, Target};
use crate::stream::{Payload, Tree};

use excludes::Excludes;

/// A source of `desc_files`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Patterns of absolute paths; each match is one artefact.
    #[serde(default)]
    pub target: Vec<String>,
    /// Another spelling of `target`.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Patterns of paths that are left out; relative ones begin at each target.
    #[serde(default)]
    pub excludes: Vec<String>,
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        if self.target.is_empty() && self.targets.is_empty() {
            return vec![Wrong::new("target", "`target` is missing: the source names no path")];
        }
        let mut wrong = Vec::new();
        for (key, globs) in [("target", &self.target), ("targets", &self.targets)] {
            for (at, glob) in globs.iter().enumerate() {
                let problem = match globs::parts(glob) {
                    _ if !glob.starts_with('/') => format!("`{glob}` must be an absolute path"),
                    Err(bad) => format!("{}: is not a usable glob: {}", bad.glob, bad.why),
                    Ok(_) => continue,
                };
                wrong.push(Wrong::new(format!("{key}[{at}]"), problem));
            }
        }
        for (at, glob) in self.excludes.iter().enumerate() {
            if let Err(bad) = Excludes::new(std::slice::from_ref(glob)) {
                let problem = format!("{}: is not a usable exclude: {}", bad.glob, bad.why);
                wrong.push(Wrong::new(format!("excludes[{at}]"), problem));
            }
        }
        wrong
    }

    fn address(&self) -> Option<String> {
        None
    }

    fn tools(&self) -> Vec<Tool> {
        Vec::new()
    }

    fn wanted(&self) -> Vec<String> {
        self.target.iter().chain(&self.targets).cloned().collect()
    }

    fn connect(&self, setting: &Setting<'_>) -> Result<Box<dyn Source>> {
        Ok(Box::new(Files::new(setting.name, self.wanted(), &self.excludes)?))
    }
}

/// Files and folders, by globs.
pub struct Files {
    name: Option<String>,
    globs: Arc<[String]>,
    excludes: Arc<Excludes>,
    /// The excludes as written.
    scope: Vec<String>,
}

/// A target that is read.
struct FilesTree {
    root: PathBuf,
    stored_as: PathBuf,
    excludes: Arc<Excludes>,
}

impl Files {
    /// Takes the source's name and its globs and excludes as the config has them; a glob that
    /// cannot be understood is a failed target later.
    ///
    /// Errors: an exclude that cannot be understood.
    pub fn new(name: Option<&str>, globs: Vec<String>, excludes: &[String]) -> Result<Self> {
        let scope = excludes.to_vec();
        let excludes = Excludes::new(excludes).map_err(|bad| {
            let problem = format!("is not a usable exclude: {}", bad.why);
            failure(Kind::Other, &bad.glob, &problem, None)
        })?;
        let (globs, excludes) = (globs.into(), Arc::new(excludes));
        Ok(Self { name: name.map(str::to_owned), globs, excludes, scope })
    }
}

#[async_trait]
impl Source for Files {
    async fn targets(&self) -> Result<Found> {
        let (globs, excludes) = (Arc::clone(&self.globs), Arc::clone(&self.excludes));
        let looked = tokio::task::spawn_blocking(move || look(&globs, &excludes)).await;
        looked.map_err(|error| Error {
            kind: Kind::Other,
            subject: self.name.clone().unwrap_or_else(|| "files".to_owned()),
            problem: "looking for targets broke off".to_owned(),
            source: Some(error.into()),
        })
    }

    async fn scope(&self) -> Result<Vec<String>> {
        Ok(self.scope.clone())
    }

    async fn open(&self, target: &Target) -> Result<Payload> {
        // The name tells the path that is meant, also when a snapshot is read instead.
        let stored_as = PathBuf::from(OsString::from_vec(untext(&target.name)));
        let root = target.path.clone().unwrap_or_else(|| stored_as.clone());
        let excludes = Arc::clone(&self.excludes);
        Ok(Payload::Tree(Box::new(FilesTree { root, stored_as, excludes })))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn back(&self) -> Back<'_> {
        Back::Plain
    }
}

impl Tree for FilesTree {
    fn root(&self) -> &Path {
        &self.root
    }

    fn stored_as(&self) -> &Path {
        &self.stored_as
    }

    fn excludes(&self, path: &[u8]) -> bool {
        self.excludes.hides(self.stored_as.as_os_str().as_bytes(), path).is_some()
    }
}

/// Looks up what there is now.
fn look(globs: &[String], excludes: &Excludes) -> Found {
    let mut found = Found::default();
    let mut seen = HashSet::new();
    for glob in globs {
        let matches = match globs::expand(glob) {
            Ok(matches) => matches,
            Err(bad) => {
                found.failed.push(failure(Kind::Other, glob, &bad.why, None));
                continue;
            }
        };
        if matches.paths.is_empty() && matches.unread.is_none() {
            let problem = match Path::new(glob).is_file() {
                true => "is no folder, as the slash at its end asks for",
                false => "there is nothing of that name",
            };
            found.failed.push(failure(Kind::NotFound, glob, problem, None));
        }
        if let Some((path, error)) = matches.unread {
            let kind = match error.kind() {
                io::ErrorKind::PermissionDenied => Kind::Denied,
                _ => Kind::Other,
            };
            let problem = format!("could not look into {}", text(path.as_os_str().as_bytes()));
            found.failed.push(failure(kind, glob, &problem, Some(error)));
        }
        for path in matches.paths {
            if seen.insert(path.clone()) {
                add(glob, path, excludes, &mut found);
            }
        }
    }
    found
}

fn add(glob: &str, path: PathBuf, excludes: &Excludes, found: &mut Found) {
    let bytes = path.as_os_str().as_bytes();
    let name = text(bytes);
    if let Some(by) = excludes.hides(bytes, bytes) {
        found.notes.push(format!("{name}: left out by the exclude {by:?}"));
        return;
    }
    if path.is_symlink() && !path.exists() {
        let problem = "is a link that leads nowhere: is its disk mounted?";
        return found.failed.push(failure(Kind::NotFound, &name, problem, None));
    }
    if path.is_symlink() && path.is_file() {
        found.notes.push(format!("{name}: is a link to a file; only the link itself is stored"));
    }
    if path.is_symlink() && path.is_dir() {
        found.notes.push(format!("{name}: is a link to a folder; the folder is followed"));
    }
    let part = part(glob.as_bytes(), bytes);
    let base = part.join(b"___".as_slice());
    found.targets.push(Target { name, part, base, ext: "tar".to_owned(), path: Some(path) });
}

fn failure(kind: Kind, glob: &str, problem: &str, source: Option<io::Error>) -> Error {
    let (subject, problem) = (glob.to_owned(), problem.to_owned());
    Error { kind, subject, problem, source: source.map(Into::into) }
}

/// The components of a match that differ from those of its glob; the last one if none does.
fn part(glob: &[u8], path: &[u8]) -> Vec<Vec<u8>> {
    let split = |path: &[u8]| -> Vec<Vec<u8>> {
        let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
        parts.map(<[u8]>::to_vec).collect()
    };
    let (glob, path) = (split(glob), split(path));
    let differs = |(at, part): &(usize, &Vec<u8>)| glob.get(*at) != Some(part);
    let part: Vec<_> = path.iter().enumerate().filter(differs).map(|(_, part)| part).collect();
    match (part.is_empty(), path.last()) {
        (false, _) => part.into_iter().cloned().collect(),
        (true, Some(last)) => vec![last.clone()],
        (true, None) => vec![b"root".to_vec()],
    }
}

#[cfg(test)]
mod tests;
