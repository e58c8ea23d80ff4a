//! The levels of increments, and the word for a level of either kind.

use std::fmt;

use serde::de::IntoDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::Level;

/// The place of a copy in its chain: by the calendar, or counted from its full copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Full; the first of a year.
    Year,
    /// The first of a month, against the year's.
    Month,
    /// The first of a decade (from the 1st, 11th, 21st), against the month's.
    Decade,
    /// Any other, against the decade's.
    Day,
    /// The n-th level; 0 is full.
    Level(u16),
}

impl Step {
    /// Tells whether such a copy holds everything itself.
    pub fn is_full(self) -> bool {
        matches!(self, Self::Year | Self::Level(0))
    }

    /// Reads the word that stands in a manifest.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "year" => Some(Self::Year),
            "month" => Some(Self::Month),
            "decade" => Some(Self::Decade),
            "day" => Some(Self::Day),
            number => number.parse().ok().map(Self::Level),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Year => f.write_str("year"),
            Self::Month => f.write_str("month"),
            Self::Decade => f.write_str("decade"),
            Self::Day => f.write_str("day"),
            Self::Level(number) => write!(f, "{number}"),
        }
    }
}

/// What a copy is by its level: one that stands alone, or one of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Discrete.
    Whole(Level),
    /// One of a chain.
    Step(Step),
}

impl From<Level> for Rank {
    fn from(level: Level) -> Self {
        Self::Whole(level)
    }
}

impl From<Step> for Rank {
    fn from(step: Step) -> Self {
        Self::Step(step)
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(level) => level.fmt(f),
            Self::Step(step) => step.fmt(f),
        }
    }
}

impl Serialize for Rank {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rank {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        if let Some(step) = Step::from_word(&word) {
            return Ok(Self::Step(step));
        }
        Level::deserialize(word.into_deserializer()).map(Self::Whole)
    }
}

/// Returns the first day of the decade of a month that holds `day`: 1, 11 or 21.
pub fn decade(day: i8) -> i8 {
    match day {
        ..=10 => 1,
        11..=20 => 11,
        _ => 21,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_read_as_it_is_written() {
        for step in
            [Step::Year, Step::Month, Step::Decade, Step::Day, Step::Level(0), Step::Level(12)]
        {
            assert_eq!(Step::from_word(&step.to_string()), Some(step));
        }
        assert_eq!(Step::from_word("daily"), None);
    }

    #[test]
    fn a_rank_is_read_as_it_is_written() {
        let steps = [Step::Day, Step::Level(3)].map(Rank::Step);
        for rank in steps.into_iter().chain([Rank::Whole(Level::Daily)]) {
            let json = serde_json::to_string(&rank).unwrap();
            assert_eq!(serde_json::from_str::<Rank>(&json).unwrap(), rank, "{json}");
        }
        assert!(serde_json::from_str::<Rank>("\"hourly\"").is_err());
    }
}
