//! The groups of jobs that `start` knows by name.

/// A group of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// `desc_files`, `inc_files`.
    Files,
    /// All kinds of databases.
    Databases,
    /// `external`, `command`.
    External,
}

impl Group {
    /// All groups in the order in which `all` runs them.
    pub const ALL: [Self; 3] = [Self::Files, Self::Databases, Self::External];

    /// Returns the word that `start` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Databases => "databases",
            Self::External => "external",
        }
    }

    /// Returns the group of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }
}
