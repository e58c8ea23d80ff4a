//! Globs as 2.x knew them: component by component, `*` and `?` stop at a slash and do not match a
//! leading dot, `**` stands for any number of folders.
//!
//! Names are bytes: one that is not UTF-8 matches like any other.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use globset::{Candidate, GlobBuilder, GlobMatcher};

/// One component of a glob.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// A name that stands for itself.
    Literal(Vec<u8>),
    /// Something with special characters.
    Glob(Name),
    /// `**`.
    Deep,
}

/// A component with special characters.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) matcher: GlobMatcher,
    /// Whether the glob itself begins with a dot.
    pub(super) dot: bool,
}

impl Name {
    fn matches(&self, name: &[u8]) -> bool {
        (self.dot || !name.starts_with(b"."))
            && self.matcher.is_match_candidate(&Candidate::from_bytes(name))
    }
}

/// A glob that cannot be understood.
#[derive(Debug)]
pub(super) struct BadGlob {
    pub(super) glob: String,
    pub(super) why: String,
}

/// Splits a glob into components; slashes at its ends, double ones and `.` mean nothing.
pub(super) fn parts(glob: &str) -> Result<Vec<Part>, BadGlob> {
    let bad = |why: String| BadGlob { glob: glob.to_owned(), why };
    let words = glob.split('/').filter(|word| !matches!(*word, "" | "."));
    words
        .map(|word| match word {
            "**" => Ok(Part::Deep),
            ".." => Err(bad("it holds '..'".to_owned())),
            word if !word.contains(['*', '?', '[']) => Ok(Part::Literal(word.into())),
            word => {
                // Braces and backslashes were nothing special in 2.x.
                let plain = word.replace('{', "[{]").replace('}', "[}]").replace("**", "*");
                let glob = GlobBuilder::new(&plain)
                    .literal_separator(true)
                    .backslash_escape(false)
                    .allow_unclosed_class(true)
                    .build()
                    .map_err(|error| bad(error.kind().to_string()))?;
                Ok(Part::Glob(Name { matcher: glob.compile_matcher(), dot: word.starts_with('.') }))
            }
        })
        .collect()
}

/// What an absolute glob matches, sorted by bytes, and the first thing that could not be looked
/// into.
#[derive(Debug, Default)]
pub(super) struct Matches {
    pub(super) paths: Vec<PathBuf>,
    pub(super) unread: Option<(PathBuf, io::Error)>,
}

/// Looks up what an absolute glob matches; a slash at its end means folders only.
pub(super) fn expand(glob: &str) -> Result<Matches, BadGlob> {
    let parts = parts(glob)?;
    let mut matches = Matches::default();
    matches.descend(Path::new("/"), &parts);
    if glob.ends_with('/') {
        matches.paths.retain(|path| path.is_dir());
    }
    matches.paths.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    matches.paths.dedup();
    Ok(matches)
}

impl Matches {
    fn descend(&mut self, at: &Path, parts: &[Part]) {
        let Some((part, rest)) = parts.split_first() else {
            self.paths.push(at.to_owned());
            return;
        };
        match part {
            Part::Literal(name) => {
                let path = at.join(OsStr::from_bytes(name));
                match path.symlink_metadata() {
                    Ok(_) => self.descend(&path, rest),
                    Err(error) => self.note(&path, error),
                }
            }
            Part::Glob(glob) => {
                for path in self.list(at) {
                    if glob.matches(name(&path)) {
                        self.descend(&path, rest);
                    }
                }
            }
            Part::Deep => {
                if !rest.is_empty() {
                    self.descend(at, rest);
                }
                for path in self.list(at) {
                    if name(&path).starts_with(b".") {
                        continue;
                    }
                    if rest.is_empty() {
                        self.paths.push(path.clone());
                    }
                    // A link is not followed here: it may lead in a circle.
                    if path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
                        self.descend(&path, parts);
                    }
                }
            }
        }
    }

    /// Lists a folder; what is none holds nothing.
    fn list(&mut self, at: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(at).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()
        });
        entries.unwrap_or_else(|error| {
            self.note(at, error);
            Vec::new()
        })
    }

    fn note(&mut self, path: &Path, error: io::Error) {
        let absent = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        if !absent {
            self.unread.get_or_insert_with(|| (path.to_owned(), error));
        }
    }
}

fn name(path: &Path) -> &[u8] {
    path.file_name().map_or(b"", OsStr::as_bytes)
}
