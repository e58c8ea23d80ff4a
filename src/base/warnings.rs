//! What went not quite right while a tree was read.

use serde::{Deserialize, Serialize};

/// Members of a tree that are not in the artefact as one would expect.
///
/// Each list is bounded; the counts are not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warnings {
    /// Could not be read: the copy is partial.
    #[serde(default, skip_serializing_if = "Noted::is_empty")]
    pub unreadable: Noted,
    /// Changed while they were read, twice.
    #[serde(default, skip_serializing_if = "Noted::is_empty")]
    pub changed: Noted,
    /// Were gone when their turn came.
    #[serde(default, skip_serializing_if = "Noted::is_empty")]
    pub vanished: Noted,
    /// Anything else worth telling, in words: a socket that was skipped, a link followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A bounded list of paths with a reason, and how many there were in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// How many there were.
    pub count: u64,
    /// The first of them: `path: reason`, the path escaped by [`crate::base::text`].
    pub first: Vec<String>,
}

impl Noted {
    /// Adds one; after a thousand lines or 128 KiB only the count grows.
    pub fn add(&mut self, path: &[u8], reason: impl std::fmt::Display) {
        self.count += 1;
        let line = format!("{}: {reason}", crate::base::text(path));
        let bytes: usize = self.first.iter().map(String::len).sum();
        if self.first.len() < KEPT && bytes + line.len() <= KEPT_BYTES {
            self.first.push(line);
        }
    }

    /// Tells whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Warnings {
    /// Adds something worth telling, as far as there is room.
    pub fn note(&mut self, line: String) {
        let bytes: usize = self.notes.iter().map(String::len).sum();
        if self.notes.len() < KEPT && bytes + line.len() <= KEPT_BYTES {
            self.notes.push(line);
        }
    }

    /// Tells whether something that was asked for is missing.
    pub fn is_partial(&self) -> bool {
        !self.unreadable.is_empty()
    }

    /// Tells whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

const KEPT: usize = 1000;
/// A manifest holds four such lists, and readers refuse one over 4 MiB.
const KEPT_BYTES: usize = 128 * crate::base::KIB;
