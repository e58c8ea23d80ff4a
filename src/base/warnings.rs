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
    /// Adds one; after the first thousand only the count grows.
    pub fn add(&mut self, path: &[u8], reason: impl std::fmt::Display) {
        self.count += 1;
        if self.first.len() < KEPT {
            self.first.push(format!("{}: {reason}", crate::base::text(path)));
        }
    }

    /// Tells whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Warnings {
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
