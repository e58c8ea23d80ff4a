//! Which copy the next increment builds on: a pure rule over what one storage holds.
//!
//! A copy is sound when it and all that it descends from are whole and were made of the same
//! tree. Only sound copies are parents; where the one that is due is not sound, the next higher
//! one is taken, and where none is, a full copy is made. So there is always a backup.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, Zoned, civil};
use serde::Serialize;

use crate::base::{ArtefactId, Step, decade};
use crate::retention::is_future;

/// What the rules know of one copy of a chain on a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The artefact.
    pub id: ArtefactId,
    /// The artefact that it builds on; none for a full copy.
    pub parent: Option<ArtefactId>,
    /// Its place in the chain.
    pub step: Step,
    /// When its run began.
    pub started: Timestamp,
    /// The day of its run by the clock on the wall.
    pub day: civil::Date,
    /// Bytes of the whole tree of that moment; of a dump, what it holds itself.
    pub tree_bytes: u64,
    /// What decides about the content beside its files: path, server, excludes, encryption, hashed.
    pub scope: String,
    /// Whether every file that was asked for is inside.
    pub complete: bool,
    /// Whether the tree was much smaller than before.
    pub shrunken: bool,
    /// Whether a person said that it stays.
    pub pinned: bool,
    /// Whether all its objects are there with the sizes that the manifest says.
    pub intact: bool,
}

/// How a chain grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// A full copy each year, then months, decades and days.
    Calendar,
    /// Levels that are counted from a full copy.
    Levels {
        /// The last level.
        last: u16,
        /// Whether the last level is repeated; else the next full copy follows it.
        stays: bool,
        /// A full copy once the last one is older than so many days.
        restart_days: Option<u32>,
    },
}

/// What the next copy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its place in the chain.
    pub step: Step,
    /// What it builds on; none for a full copy.
    pub parent: Option<ArtefactId>,
    /// Why it is not what would have been due.
    pub fallback: Option<Fallback>,
}

/// Why a copy builds on another one than was due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This one, or one that it descends from, is missing or damaged.
    Damaged(ArtefactId),
    /// Path, server, options, excludes or encryption are others than they were.
    OtherScope,
}

/// Chooses what the next copy of a tree of `scope` is, from what one storage holds.
pub fn parent(history: &[Link], scheme: Scheme, scope: &str, now: &Zoned) -> Choice {
    let present: Vec<&Link> =
        history.iter().filter(|link| !is_future(link.started, now.timestamp())).collect();
    let same: Vec<&Link> = present.iter().copied().filter(|link| link.scope == scope).collect();
    let good = sound(history, scope, now);
    let usable: Vec<&Link> = same.iter().copied().filter(|link| good.contains(&link.id)).collect();
    let (step, parent) = choose(&usable, &same, scheme, now);
    let (_, due) = choose(&same, &same, scheme, now);
    let fallback = match (&parent, due) {
        (None, None) if present.len() > same.len() => {
            let (_, due) = choose(&present, &present, scheme, now);
            due.map(|_| Fallback::OtherScope)
        }
        (taken, Some(due)) if taken.as_ref() != Some(&due) => Some(Fallback::Damaged(due)),
        (None, None) => lost_root(&same, scheme, now).map(Fallback::Damaged),
        _ => None,
    };
    Choice { step, parent, fallback }
}

/// Finds the missing copy that the newest one descends from, which is why a full copy is due.
fn lost_root(links: &[&Link], scheme: Scheme, now: &Zoned) -> Option<ArtefactId> {
    let newest = newest(links.iter().copied())?;
    let is_of_period = scheme != Scheme::Calendar || newest.day.year() == now.date().year();
    let roots = roots(links);
    let root = links.iter().find(|link| Some(&&link.id) == roots.get(&newest.id))?;
    root.parent.clone().filter(|_| is_of_period)
}

/// Names the copies that a copy of a tree of `scope` may build on.
pub fn sound<'a>(history: &'a [Link], scope: &str, now: &Zoned) -> BTreeSet<&'a ArtefactId> {
    let fits = |link: &&Link| {
        link.intact && link.scope == scope && !is_future(link.started, now.timestamp())
    };
    let mut waiting: Vec<&Link> = history.iter().filter(fits).collect();
    let mut good = BTreeSet::new();
    loop {
        let before = good.len();
        waiting.retain(|link| {
            let holds = match &link.parent {
                None => link.step.is_full(),
                Some(parent) => good.contains(parent),
            };
            if holds {
                good.insert(&link.id);
            }
            !holds
        });
        if good.len() == before {
            return good;
        }
    }
}

/// Chooses among `usable` copies; `all` tell where chains begin.
fn choose(
    usable: &[&Link],
    all: &[&Link],
    scheme: Scheme,
    now: &Zoned,
) -> (Step, Option<ArtefactId>) {
    match scheme {
        Scheme::Calendar => by_calendar(usable, now.date()),
        Scheme::Levels { last, stays, restart_days } => {
            let next = by_levels(usable, all, (last, stays), restart_days, now.date());
            next.unwrap_or((Step::Level(0), None))
        }
    }
}

/// A full copy counts as the first of its month and decade, a month's as that of its decade.
fn by_calendar(usable: &[&Link], today: civil::Date) -> (Step, Option<ArtefactId>) {
    let month = |day: civil::Date| (day.year(), day.month());
    let period = |day: civil::Date| (month(day), decade(day.day()));
    let newest_of = |steps: &[Step], fits: &dyn Fn(civil::Date) -> bool| {
        let found = usable.iter().filter(|link| steps.contains(&link.step) && fits(link.day));
        newest(found.copied()).map(|link| link.id.clone())
    };
    let of_year = newest_of(&[Step::Year], &|day| day.year() == today.year());
    let Some(of_year) = of_year else { return (Step::Year, None) };
    let of_month = newest_of(&[Step::Year, Step::Month], &|day| month(day) == month(today));
    let Some(of_month) = of_month else { return (Step::Month, Some(of_year)) };
    let steps = [Step::Year, Step::Month, Step::Decade];
    match newest_of(&steps, &|day| period(day) == period(today)) {
        Some(of_decade) => (Step::Day, Some(of_decade)),
        None => (Step::Decade, Some(of_month)),
    }
}

/// `None`: a full copy is due.
fn by_levels(
    usable: &[&Link],
    all: &[&Link],
    (last, stays): (u16, bool),
    restart_days: Option<u32>,
    today: civil::Date,
) -> Option<(Step, Option<ArtefactId>)> {
    let zero = newest(all.iter().copied().filter(|link| link.step == Step::Level(0)))?;
    let age = i64::from((today - zero.day).get_days());
    if restart_days.is_some_and(|days| age > i64::from(days)) {
        return None;
    }
    // Where the newest full copy is of no use, an older chain does not grow on.
    let roots = roots(usable);
    let chain = usable.iter().copied().filter(|link| roots.get(&link.id) == Some(&&zero.id));
    let level = |link: &Link| match link.step {
        Step::Level(level) => level,
        _ => 0,
    };
    let taken = match stays {
        true => {
            let below = chain.filter(|link| level(link) < last);
            below.max_by_key(|link| (level(link), link.started, link.id.clone()))
        }
        false => newest(chain).filter(|link| level(link) < last),
    }?;
    Some((Step::Level(level(taken) + 1), Some(taken.id.clone())))
}

/// Finds the full copy that each of these copies descends from, as far as it is among them.
pub(super) fn roots<'a>(links: &[&'a Link]) -> BTreeMap<&'a ArtefactId, &'a ArtefactId> {
    let parents: BTreeMap<&ArtefactId, Option<&ArtefactId>> =
        links.iter().map(|link| (&link.id, link.parent.as_ref())).collect();
    let root = |id: &'a ArtefactId| {
        let mut at = id;
        // A ring of parents, which nobody makes, ends too.
        for _ in 0..=parents.len() {
            match parents.get(at) {
                Some(Some(parent)) if parents.contains_key(*parent) => at = parent,
                _ => break,
            }
        }
        at
    };
    links.iter().map(|link| (&link.id, root(&link.id))).collect()
}

/// Of copies of one moment, the one that builds on others is the newer one.
pub(super) fn newest<'a>(links: impl Iterator<Item = &'a Link>) -> Option<&'a Link> {
    links.max_by_key(|link| (link.started, link.step, link.id.clone()))
}
