//! The folders of discrete backups.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How long a discrete copy is meant to live: by days, weeks or months.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// One a day.
    Daily,
    /// The first of a week; weeks begin on Sunday.
    Weekly,
    /// The first of a month.
    Monthly,
}

impl Level {
    /// All levels, the lowest first.
    pub const ALL: [Self; 3] = [Self::Daily, Self::Weekly, Self::Monthly];

    /// Returns the folder's name on a storage.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }

    /// Returns the level whose folder this is.
    pub fn from_folder(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.folder() == name)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.folder())
    }
}
