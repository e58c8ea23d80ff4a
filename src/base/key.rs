//! The name of an object on a storage, relative to its `backup_dir`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A relative, `/`-separated name that is safe on every storage.
///
/// Shape: one or more components; none is empty, `.` or `..`; no NUL byte.
/// The components of generated keys are escaped by [`crate::base::component`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

/// A string that cannot be a [`Key`].
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a relative name without empty, '.' or '..' parts")]
pub struct BadKey(String);

impl Key {
    /// Checks `key` and wraps it.
    ///
    /// Errors: [`BadKey`] when it is absolute, or has an empty, `.` or `..` component, or a NUL.
    pub fn new(key: impl Into<String>) -> Result<Self, BadKey> {
        let key = key.into();
        let good = |part: &str| !part.is_empty() && part != "." && part != "..";
        if key.contains('\0') || !key.split('/').all(good) {
            return Err(BadKey(key));
        }
        Ok(Self(key))
    }

    /// Returns the whole key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the last component.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Returns all but the last component, without a slash at the end; empty at the top.
    pub fn folder(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Returns this key with `suffix` at its end.
    pub fn with_suffix(&self, suffix: &str) -> Self {
        Self(format!("{}{suffix}", self.0))
    }

    /// Returns this key below `folder`; an empty folder changes nothing.
    ///
    /// Errors: [`BadKey`] when `folder` is not a relative name.
    pub fn below(&self, folder: &str) -> Result<Self, BadKey> {
        if folder.is_empty() {
            return Ok(self.clone());
        }
        Self::new(format!("{folder}/{}", self.0))
    }

    /// Returns the temporary name under which an unfinished put of this key may lie.
    ///
    /// `unique` tells apart puts of the same key; it must not hold `.` or `/`.
    pub fn partial(&self, unique: &str) -> Self {
        let name = format!("{PARTIAL}{}.{unique}", self.name());
        match self.folder() {
            "" => Self(name),
            folder => Self(format!("{folder}/{name}")),
        }
    }

    /// Returns the key whose unfinished put this is, if it is one.
    pub fn partial_of(&self) -> Option<Self> {
        let (name, _unique) = self.name().strip_prefix(PARTIAL)?.rsplit_once('.')?;
        Self::new(name).ok()?.below(self.folder()).ok()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Key {
    type Error = BadKey;

    fn try_from(key: String) -> Result<Self, BadKey> {
        Self::new(key)
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

/// What the last component of an unfinished object begins with.
const PARTIAL: &str = ".nxs-partial.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_could_leave_the_folder() {
        for bad in ["", "/a", "a/", "a//b", ".", "a/../b", "..", "a\0b"] {
            assert!(Key::new(bad).is_err(), "{bad:?} was taken");
        }
        for good in ["a", "a/b.tar", ".hidden", "a/..b", "ä b/%2F"] {
            assert!(Key::new(good).is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn a_partial_name_leads_back_to_its_key() {
        for key in ["a", "a/b", "site/daily/site_2026-11-21.tar.zst", "a.b.c/x.y"] {
            let key = Key::new(key).unwrap();
            let partial = key.partial("41-7");
            assert_eq!(partial.folder(), key.folder());
            assert_eq!(partial.partial_of(), Some(key.clone()));
            assert_eq!(key.partial_of(), None);
        }
    }
}
