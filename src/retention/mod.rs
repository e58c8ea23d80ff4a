//! Which copies stay: a pure rule over what the manifests of one identity on one storage say.
//!
//! `level` says what the next copy will be, `decide` which copies stay and which go, each with
//! its reason. Nothing here reads a clock, a storage or a config.

mod chain;
mod chain_keep;
#[cfg(test)]
mod chain_tests;
mod decide;
mod level;
mod words;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tables;

use jiff::{SignedDuration, Timestamp, Zoned, civil};
use serde::Serialize;

pub use chain::{Choice, Fallback, Link, Scheme, parent, sound};
pub use chain_keep::{ChainKeep, decide_chain, orphaned_chain};
pub use decide::{Moment, Verdict, decide, orphaned};
pub use level::{is_less_than_half, is_shrunken, level, level_by_calendar, level_by_memory};
pub use words::{Keep, Why};

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

/// Tells whether `started` lies more than a day after `now`: such a copy is never the newest.
pub fn is_future(started: Timestamp, now: Timestamp) -> bool {
    started.duration_since(now) > SignedDuration::from_hours(24)
}

impl Copy {
    /// Tells whether it is dated more than a day after `now`: no clock should have said that.
    pub fn is_future(&self, now: &Zoned) -> bool {
        is_future(self.started, now.timestamp())
    }

    /// Tells whether it is a copy at all for the rules: whole, and not dated in the future.
    pub fn counts(&self, now: &Zoned) -> bool {
        self.intact && !self.is_future(now)
    }
}

impl Policy {
    /// Tells whether copies of `level` are made and rotated; `last` alone enables `daily`.
    pub fn enabled(&self, level: Level) -> bool {
        let last_alone = self.last > 0 && self.days == 0 && self.weeks == 0 && self.months == 0;
        self.slots(level) > 0 || (level == Level::Daily && last_alone)
    }

    /// Tells whether anything would ever be stored.
    pub fn enables_anything(&self) -> bool {
        Level::ALL.into_iter().any(|level| self.enabled(level))
    }

    /// Returns how many periods of `level` keep their newest copy.
    pub fn slots(&self, level: Level) -> u32 {
        match level {
            Level::Daily => self.days,
            Level::Weekly => self.weeks,
            Level::Monthly => self.months,
        }
    }
}
