//! Why a copy stays or goes, as code and in the words of an operator.

use std::fmt;

use crate::base::{Level, count};

/// Why a copy stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The newest of one of the latest `slots` periods of its level.
    Slot {
        /// Its level.
        level: Level,
        /// How many periods are kept.
        slots: u32,
    },
    /// One of the newest copies of all levels.
    Last(u32),
    /// The newest copy with everything in it.
    NewestComplete,
    /// The newest copy with everything in it that is not shrunken.
    NewestSound,
    /// Without it there were too few.
    MinCopies(u32),
    /// A person said so.
    Pinned,
    /// This run has made it.
    JustMade,
    /// Dated more than a day after now.
    Future,
    /// Objects are missing or have another size.
    Broken,
    /// The policy has no such level any more.
    LevelOff(Level),
    /// The newest copy is suspiciously small: nothing goes.
    NewestShrunken,
    /// The copy of this run is not among the copies: nothing goes.
    NewUnseen,
    /// It goes once the new copy is safe.
    Waits,
    /// `rotation: none`.
    RotationOff,
    /// Of this month or one of the months before it.
    Months(u32),
    /// Of one of the newest chains.
    Chain(u32),
    /// Its chain has a copy that is younger than so many days.
    ChainDays(u32),
    /// Of the chain that grows now.
    LivingChain,
    /// A copy that stays builds on it.
    Needed,
    /// The job makes copies of another kind now.
    OtherKind,
}

/// Why a copy goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its period is older than the latest `slots` ones that have a copy.
    Outlived {
        /// Its level.
        level: Level,
        /// How many periods are kept.
        slots: u32,
    },
    /// A newer copy of the same period is there.
    Superseded(Level),
    /// Only the newest few are kept, and it is not one of them.
    NotLast(u32),
    /// The policy has no such level any more.
    LevelOff(Level),
    /// No job of the config has such copies.
    NoIdentity,
    /// Older than this month and so many before it, and nothing that stays builds on it.
    OldMonth(u32),
    /// All of its chain is too old.
    OldChain,
    /// The chain lives, but copies of its last level go after so many days.
    OldLevel(u32),
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slot { level, slots: 1 } => {
                write!(f, "newest copy of the latest {} that has one", period(*level))
            }
            Self::Slot { level, slots } => {
                let period = period(*level);
                write!(f, "newest of its {period}, one of the {slots} latest {period}s with a copy")
            }
            Self::Last(1) => f.write_str("newest copy"),
            Self::Last(last) => write!(f, "one of the {last} newest copies"),
            Self::NewestComplete => f.write_str("newest complete copy"),
            Self::NewestSound => f.write_str("newest complete copy of a normal size"),
            Self::MinCopies(least) => write!(f, "min_copies: at least {least} must stay"),
            Self::Pinned => f.write_str("pinned"),
            Self::JustMade => f.write_str("just made"),
            Self::Future => f.write_str("dated in the future: fills no slot"),
            Self::Broken => f.write_str("not intact: counts for nothing"),
            Self::LevelOff(level) => {
                write!(f, "{level} copies are not enabled any more: see prune --orphans")
            }
            Self::NewestShrunken => {
                f.write_str("the newest copy is less than half the usual size: nothing is removed")
            }
            Self::NewUnseen => {
                f.write_str("the new copy cannot be seen on the storage: nothing is removed")
            }
            Self::Waits => f.write_str("goes once a newer copy is stored"),
            Self::RotationOff => f.write_str("rotation: none"),
            Self::Months(0) => f.write_str("of this month"),
            Self::Months(n) => write!(f, "of this month or the {n} before it"),
            Self::Chain(1) => f.write_str("of the newest chain"),
            Self::Chain(n) => write!(f, "of one of the {n} newest chains"),
            Self::ChainDays(days) => {
                write!(f, "its chain is not older than {}", count(*days, "day", "days"))
            }
            Self::LivingChain => f.write_str("of the chain that grows now"),
            Self::OtherKind => f.write_str("the job makes copies of another kind now"),
            Self::Needed => f.write_str("a copy that stays builds on it"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outlived { level, slots: 1 } => {
                write!(f, "older than the latest {} that has a copy", period(*level))
            }
            Self::Outlived { level, slots } => {
                write!(f, "older than the {slots} latest {}s that have a copy", period(*level))
            }
            Self::Superseded(level) => {
                write!(f, "a newer copy of the same {} is kept", period(*level))
            }
            Self::NotLast(1) => f.write_str("not the newest copy"),
            Self::NotLast(last) => write!(f, "not one of the {last} newest copies"),
            Self::LevelOff(level) => write!(f, "{level} copies are not enabled any more"),
            Self::OldMonth(0) => f.write_str("not of this month"),
            Self::OldMonth(n) => write!(f, "older than this month and the {n} before it"),
            Self::OldChain => f.write_str("its whole chain is too old"),
            Self::OldLevel(days) => {
                write!(f, "of the last level and older than {}", count(*days, "day", "days"))
            }
            Self::NoIdentity => f.write_str("no job of the config makes such copies any more"),
        }
    }
}

fn period(level: Level) -> &'static str {
    match level {
        Level::Daily => "day",
        Level::Weekly => "week",
        Level::Monthly => "month",
    }
}
