//! Which members are meant: globs over stored paths.

use std::cmp::Ordering;

use globset::{Candidate, GlobBuilder, GlobSet};

/// Globs over stored paths; what matches is meant with all below it.
///
/// `*` and `?` do not match `/`, `**` does; a slash at either end means nothing.
#[derive(Clone, Debug)]
pub struct Selection {
    set: GlobSet,
    /// The components of each glob that stand before the first special character.
    stems: Vec<Vec<u8>>,
}

/// A glob that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("{glob:?} is not a glob")]
pub struct BadGlob {
    /// As it was given.
    pub glob: String,
    /// Why not.
    pub source: globset::Error,
}

impl Selection {
    /// Understands `globs`.
    ///
    /// Errors: [`BadGlob`] for the first that is none.
    pub fn new(globs: &[String]) -> Result<Self, BadGlob> {
        let mut set = GlobSet::builder();
        let mut stems = Vec::new();
        for glob in globs {
            let plain = glob.trim_matches('/');
            let built = GlobBuilder::new(plain).literal_separator(true).build();
            set.add(built.map_err(|source| BadGlob { glob: glob.clone(), source })?);
            let special = |part: &&str| part.contains(['*', '?', '[', '{', '\\']);
            let literal: Vec<&str> = plain.split('/').take_while(|part| !special(part)).collect();
            stems.push(literal.join("/").into_bytes());
        }
        let last = globs.last().cloned().unwrap_or_default();
        let set = set.build().map_err(|source| BadGlob { glob: last, source })?;
        Ok(Self { set, stems })
    }

    /// Tells whether the stored `path`, or a folder above it, matches.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.meant(path).any(|path| self.set.is_match_candidate(&Candidate::from_bytes(path)))
    }

    /// Tells which globs, by their place in the list, match the stored `path` or a folder above.
    pub fn which(&self, path: &[u8]) -> Vec<usize> {
        let which = |path| self.set.matches_candidate(&Candidate::from_bytes(path));
        self.meant(path).flat_map(which).collect()
    }

    /// Gives the paths of which one must match: the folders above `path` and `path` itself.
    fn meant<'a>(&self, path: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let root = self.stems.iter().any(Vec::is_empty).then_some(b"".as_slice());
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        root.into_iter().chain(ends.map(|(end, _)| &path[..end])).chain([path])
    }

    /// Tells whether anything from `first` on and before `after` may match.
    pub(crate) fn may_lie_between(&self, first: &[u8], after: Option<&[u8]>) -> bool {
        self.stems.iter().any(|stem| {
            let begins = after.is_none_or(|after| order(stem, after) == Ordering::Less);
            let ends = order(first, stem) == Ordering::Greater && !lies_below(first, stem);
            begins && !ends
        })
    }
}

/// Compares two paths component by component.
pub(crate) fn order(a: &[u8], b: &[u8]) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    // No name holds a NUL: as a separator it sorts before every byte of a name.
    let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.iter().map(key).cmp(b.iter().map(key))
}

/// Tells whether `path` is `folder` or lies below it.
pub(crate) fn lies_below(path: &[u8], folder: &[u8]) -> bool {
    let rest = path.strip_prefix(folder);
    folder.is_empty() || rest.is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(glob: &str) -> Selection {
        Selection::new(&[glob.to_owned()]).unwrap()
    }

    #[test]
    fn a_match_is_meant_with_all_below_it() {
        let cases = [
            ("/srv/www", "srv/www", true),
            ("srv/www/", "srv/www/a/b", true),
            ("srv/www", "srv/www2", false),
            ("srv/*/x", "srv/a/x/y", true),
            ("srv/*/x", "srv/a/b/x", false),
            ("srv/**/x", "srv/a/b/x", true),
            ("**/*.php", "srv/a/index.php", true),
            ("/", "srv/a", true),
        ];
        for (glob, path, meant) in cases {
            assert_eq!(selection(glob).matches(path.as_bytes()), meant, "{glob} on {path}");
        }
    }

    #[test]
    fn only_frames_that_may_hold_a_match_are_read() {
        let cases: [(&str, &str, Option<&str>, bool); 7] = [
            ("b/c", "a", Some("b"), false),
            ("b/c", "a", Some("b/c"), false),
            ("b/c", "a", Some("b/d"), true),
            ("b/c", "b/c/x", Some("b/c/y"), true),
            ("b/c", "b/c-x", None, false),
            ("b/*", "a", None, true),
            ("*", "x", Some("y"), true),
        ];
        for (glob, first, after, may) in cases {
            let after = after.map(str::as_bytes);
            let got = selection(glob).may_lie_between(first.as_bytes(), after);
            assert_eq!(got, may, "{glob} between {first} and {after:?}");
        }
    }

    #[test]
    fn paths_are_compared_by_components() {
        let mut paths = ["a-b", "a", "a/x", "", "a/x/y", "a/x-", "b"];
        paths.sort_by(|a, b| order(a.as_bytes(), b.as_bytes()));
        assert_eq!(paths, ["", "a", "a/x", "a/x/y", "a/x-", "a-b", "b"]);
    }
}
