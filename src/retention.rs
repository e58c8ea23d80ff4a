//! Which copies stay: a pure rule over what the manifests of one identity on one storage say.

use jiff::{Timestamp, civil};
use serde::Serialize;

use crate::base::{ArtefactId, Level};

/// What rotation knows of one copy of an identity on a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The artefact.
    pub id: ArtefactId,
    /// The folder that it lies in.
    pub level: Level,
    /// When its run began: the order of copies.
    pub started: Timestamp,
    /// The day of its run by the clock on the wall.
    pub day: civil::Date,
    /// Its size before compression.
    pub raw_bytes: u64,
    /// Whether every file that was asked for is inside (`result: ok`).
    pub complete: bool,
    /// Whether it was found much smaller than its predecessors.
    pub shrunken: bool,
    /// Whether a person said that it stays.
    pub pinned: bool,
    /// Whether all its objects are there with the sizes that the manifest says.
    pub intact: bool,
}

/// What a storage keeps of each identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Daily copies kept.
    pub days: u32,
    /// Weekly copies kept.
    pub weeks: u32,
    /// Monthly copies kept.
    pub months: u32,
    /// Newest copies kept whatever their level.
    pub last: u32,
    /// Rotation never goes below this many copies; 0 lifts the guards.
    pub min_copies: u32,
    /// When old copies go.
    pub rotation: Rotation,
}

/// When old copies go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rotation {
    /// At most one once the source delivers, the rest after success.
    #[default]
    Before,
    /// All after the new copy is stored and verified.
    After,
    /// Never.
    None,
}
