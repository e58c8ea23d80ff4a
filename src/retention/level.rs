//! Which level the next copy has, and whether a new copy is suspiciously small.

use std::collections::BTreeMap;

use jiff::{Zoned, civil};

use crate::base::Level;
use crate::retention::{Copy, Policy};

/// Chooses the level of a copy made now: the highest enabled one whose period has no copy yet.
///
/// A level is filled only by copies of that level, so after a monthly copy on a Sunday the next
/// run is the weekly one. Copies that are shrunken, broken or dated in the future fill nothing.
/// `None`: nothing is enabled for today.
pub fn level(history: &[Copy], policy: &Policy, now: &Zoned) -> Option<Level> {
    let fills = |copy: &&Copy| copy.counts(now) && !copy.shrunken;
    choose(policy, now.date(), |level, period| {
        let same = |copy: &Copy| copy.level == level && period_of(level, copy.day) == period;
        history.iter().filter(fills).any(same)
    })
}

/// Like [`level`], for a storage that refuses to list: `last` is the day of the last good copy of
/// each level, as this host remembers it.
pub fn level_by_memory(
    last: &BTreeMap<Level, civil::Date>,
    policy: &Policy,
    now: &Zoned,
) -> Option<Level> {
    choose(policy, now.date(), |level, period| {
        last.get(&level).is_some_and(|day| period_of(level, *day) == period)
    })
}

/// Like [`level`], where nothing is remembered either: the 1st is monthly, Sunday weekly.
pub fn level_by_calendar(policy: &Policy, now: &Zoned) -> Option<Level> {
    let today = now.date();
    choose(policy, today, |_, period| period != today)
}

/// Tells whether a new copy of `raw_bytes` is less than half the median of the last five.
///
/// Shrunken predecessors count, so that a tree that was made smaller on purpose is normal again
/// after a few runs; broken ones and those dated in the future do not. One predecessor is enough
/// to compare with; without any, nothing is shrunken.
pub fn is_shrunken(history: &[Copy], raw_bytes: u64, now: &Zoned) -> bool {
    let mut counted: Vec<&Copy> = history.iter().filter(|copy| copy.counts(now)).collect();
    counted.sort_by(|a, b| (b.started, &b.id).cmp(&(a.started, &a.id)));
    is_less_than_half(counted.iter().map(|copy| copy.raw_bytes), raw_bytes)
}

/// Tells whether `bytes` is less than half the median of the first five of `sizes`.
pub fn is_less_than_half(sizes: impl Iterator<Item = u64>, bytes: u64) -> bool {
    let mut sizes: Vec<u128> = sizes.take(COMPARED).map(u128::from).collect();
    sizes.sort_unstable();
    let Some(last) = sizes.len().checked_sub(1) else { return false };
    let median_twice = sizes[last / 2] + sizes[last.div_ceil(2)];
    u128::from(bytes) * 4 < median_twice
}

/// Returns the first day of the period of `level` that holds `day`; weeks begin on Sunday.
pub(super) fn period_of(level: Level, day: civil::Date) -> civil::Date {
    match level {
        Level::Daily => day,
        Level::Weekly => {
            let since_sunday = i64::from(day.weekday().to_sunday_zero_offset());
            day.saturating_sub(jiff::Span::new().days(since_sunday))
        }
        Level::Monthly => day.first_of_month(),
    }
}

fn choose(
    policy: &Policy,
    today: civil::Date,
    filled: impl Fn(Level, civil::Date) -> bool,
) -> Option<Level> {
    let free = |level| level == Level::Daily || !filled(level, period_of(level, today));
    Level::ALL.into_iter().rev().find(|level| policy.enabled(*level) && free(*level))
}

const COMPARED: usize = 5;
