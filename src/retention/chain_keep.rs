//! Which copies of chains stay: nothing goes that a copy which stays builds on.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{ToSpan, Zoned, civil};
use serde::Serialize;

use crate::base::{ArtefactId, Step};
use crate::retention::chain::{newest, roots};
use crate::retention::{Keep, Link, Rotation, Scheme, Verdict, Why, is_future};

/// What a storage keeps of the chains of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ChainKeep {
    /// Calendar: months before this one.
    pub months: u32,
    /// Levels: so many of the newest chains.
    pub chains: Option<u32>,
    /// Levels: chains of which a copy is not older than this.
    pub days: Option<u32>,
    /// Never fewer copies than this.
    pub min_copies: u32,
    /// When old copies go; `before` means after, too.
    pub rotation: Rotation,
}

/// Decides what becomes of each copy of one identity's chains on one storage.
///
/// `made` is the copy that a run has just stored, which is part of the history; none when a
/// person asks. What goes is named children first, so that a deletion that is cut off leaves no
/// copy without what it builds on.
pub fn decide_chain(
    history: &[Link],
    scheme: Scheme,
    keep: &ChainKeep,
    now: &Zoned,
    made: Option<&ArtefactId>,
) -> Verdict {
    let rule = Rule::new(history, scheme, keep, now);
    let mut ordered: Vec<&Link> = history.iter().collect();
    ordered.sort_by(|a, b| (b.started, b.step, &b.id).cmp(&(a.started, a.step, &a.id)));
    let all = rule.stopped(made);
    let stays = |link: &&Link| rule.standing(link, made).or(all);
    let mut kept: BTreeMap<&ArtefactId, Keep> =
        ordered.iter().filter_map(|link| Some((&link.id, stays(link)?))).collect();
    let counted = ordered.iter().filter(|link| rule.counts(link));
    for link in counted.take(keep.min_copies as usize) {
        kept.entry(&link.id).or_insert(Keep::MinCopies(keep.min_copies));
    }
    keep_ancestors(history, &mut kept);
    let mut verdict = Verdict::default();
    for link in &ordered {
        match kept.get(&link.id) {
            Some(keep) => verdict.keep.push((link.id.clone(), *keep)),
            None => verdict.delete.push((link.id.clone(), rule.why(link))),
        }
    }
    let depth = depths(history);
    verdict.delete.sort_by_key(|(id, _)| std::cmp::Reverse(depth.get(id).copied()));
    let would_go = || ordered.iter().any(|link| rule.standing(link, made).is_none());
    verdict.held = all.filter(|_| would_go()).map(|keep| keep.to_string());
    verdict
}

/// Decides for chains that no job of the config makes any more: all goes but what a person
/// pinned, and what that builds on.
pub fn orphaned_chain(history: &[Link]) -> Verdict {
    let mut pinned: BTreeMap<&ArtefactId, Keep> =
        history.iter().filter(|link| link.pinned).map(|link| (&link.id, Keep::Pinned)).collect();
    keep_ancestors(history, &mut pinned);
    let mut verdict = Verdict::default();
    for link in history {
        match pinned.get(&link.id) {
            Some(keep) => verdict.keep.push((link.id.clone(), *keep)),
            None => verdict.delete.push((link.id.clone(), Why::NoIdentity)),
        }
    }
    let depth = depths(history);
    verdict.delete.sort_by_key(|(id, _)| std::cmp::Reverse(depth.get(id).copied()));
    verdict
}

struct Rule<'a> {
    history: &'a [Link],
    scheme: Scheme,
    keep: &'a ChainKeep,
    now: &'a Zoned,
    /// What can be restored, and is not dated in the future.
    counted: BTreeSet<&'a ArtefactId>,
    newest: Option<&'a Link>,
    newest_complete: Option<&'a ArtefactId>,
    newest_sound: Option<&'a ArtefactId>,
    /// The full copy of each copy, as far as it is there.
    roots: BTreeMap<&'a ArtefactId, &'a ArtefactId>,
    /// Chains by their full copy: the day of the newest copy, and the place from the newest on of
    /// those of which anything can be restored.
    chains: BTreeMap<&'a ArtefactId, (civil::Date, Option<usize>)>,
}

impl<'a> Rule<'a> {
    fn new(history: &'a [Link], scheme: Scheme, keep: &'a ChainKeep, now: &'a Zoned) -> Self {
        let is_now = |link: &&Link| !is_future(link.started, now.timestamp());
        let whole = restorable(history);
        let counts = |link: &&Link| whole.contains(&link.id) && is_now(link);
        let counted: Vec<&Link> = history.iter().filter(counts).collect();
        let best = |fits: &dyn Fn(&Link) -> bool| {
            newest(counted.iter().copied().filter(|link| fits(link))).map(|link| &link.id)
        };
        let roots = roots(&history.iter().collect::<Vec<_>>());
        let mut last: BTreeMap<&ArtefactId, (jiff::Timestamp, civil::Date)> = BTreeMap::new();
        for link in history.iter().filter(is_now) {
            let entry = last.entry(roots[&link.id]).or_insert((link.started, link.day));
            *entry = (*entry).max((link.started, link.day));
        }
        let mut order: Vec<_> = last.into_iter().collect();
        order.sort_by_key(|(_, last)| std::cmp::Reverse(*last));
        let living: BTreeSet<_> = counted.iter().map(|link| roots[&link.id]).collect();
        let mut places = 0..;
        let place = |(root, (_, day))| {
            let place = if living.contains(root) { places.next() } else { None };
            (root, (day, place))
        };
        Self {
            newest: newest(counted.iter().copied()),
            newest_complete: best(&|link| link.complete),
            newest_sound: best(&|link| link.complete && !link.shrunken),
            chains: order.into_iter().map(place).collect(),
            counted: counted.iter().map(|link| &link.id).collect(),
            history,
            scheme,
            keep,
            now,
            roots,
        }
    }

    fn counts(&self, link: &Link) -> bool {
        self.counted.contains(&link.id)
    }

    /// Says why nothing at all goes now.
    fn stopped(&self, made: Option<&ArtefactId>) -> Option<Keep> {
        let unseen = made.is_some_and(|made| {
            !self.history.iter().any(|link| link.id == *made && self.counts(link))
        });
        match self.newest {
            _ if self.keep.rotation == Rotation::None => Some(Keep::RotationOff),
            _ if unseen => Some(Keep::NewUnseen),
            Some(newest) if newest.shrunken => Some(Keep::NewestShrunken),
            _ => None,
        }
    }

    /// Says why `link` stays whatever happens to others.
    fn standing(&self, link: &Link, made: Option<&ArtefactId>) -> Option<Keep> {
        let id = Some(&link.id);
        match () {
            () if is_future(link.started, self.now.timestamp()) => Some(Keep::Future),
            () if !link.intact => Some(Keep::Broken),
            () if id == made => Some(Keep::JustMade),
            () if link.pinned => Some(Keep::Pinned),
            () => self.policy(link).or(match id {
                _ if id == self.newest_complete => Some(Keep::NewestComplete),
                _ if id == self.newest_sound => Some(Keep::NewestSound),
                _ => None,
            }),
        }
    }

    fn policy(&self, link: &Link) -> Option<Keep> {
        match self.scheme {
            Scheme::Calendar => {
                let first = self.now.date().first_of_month();
                let cut = first.saturating_sub(i64::from(self.keep.months).months());
                (link.day >= cut).then_some(Keep::Months(self.keep.months))
            }
            Scheme::Levels { .. } => self.by_chain(link),
        }
    }

    fn by_chain(&self, link: &Link) -> Option<Keep> {
        let root = self.roots.get(&link.id)?;
        let (day, place) = *self.chains.get(root)?;
        let age = |day: civil::Date| i64::from((self.now.date() - day).get_days());
        let is_living = self.newest.is_some_and(|newest| self.roots[&newest.id] == *root);
        let days = self.keep.days;
        let is_young = |day| days.is_some_and(|days| age(day) <= i64::from(days));
        if is_living {
            let goes_alone = self.is_of_last_level(link) && days.is_some() && !is_young(link.day);
            return (!goes_alone).then_some(Keep::LivingChain);
        }
        match self.keep.chains {
            Some(chains) if place.is_some_and(|place| place < chains as usize) => {
                Some(Keep::Chain(chains))
            }
            _ if is_young(day) => days.map(Keep::ChainDays),
            _ => None,
        }
    }

    /// Tells whether a copy is of the level that `always_level` repeats.
    fn is_of_last_level(&self, link: &Link) -> bool {
        match self.scheme {
            Scheme::Levels { last, stays: true, .. } => link.step == Step::Level(last) && last > 0,
            _ => false,
        }
    }

    fn why(&self, link: &Link) -> Why {
        match self.scheme {
            Scheme::Calendar => Why::OldMonth(self.keep.months),
            Scheme::Levels { .. } if self.is_of_last_level(link) => {
                self.keep.days.map_or(Why::OldChain, Why::OldLevel)
            }
            Scheme::Levels { .. } => Why::OldChain,
        }
    }
}

/// Names the copies that are whole, with all that they build on.
fn restorable(history: &[Link]) -> BTreeSet<&ArtefactId> {
    let by_id: BTreeMap<&ArtefactId, &Link> = history.iter().map(|link| (&link.id, link)).collect();
    let is_whole = |link: &&Link| {
        let mut at = *link;
        for _ in 0..history.len() {
            match &at.parent {
                _ if !at.intact => return false,
                None => return true,
                Some(parent) => match by_id.get(parent) {
                    Some(parent) => at = parent,
                    None => return false,
                },
            }
        }
        false
    };
    history.iter().filter(is_whole).map(|link| &link.id).collect()
}

fn keep_ancestors<'a>(history: &'a [Link], kept: &mut BTreeMap<&'a ArtefactId, Keep>) {
    let parents: BTreeMap<&ArtefactId, &ArtefactId> =
        history.iter().filter_map(|link| Some((&link.id, link.parent.as_ref()?))).collect();
    let known: BTreeSet<&ArtefactId> = history.iter().map(|link| &link.id).collect();
    let mut waiting: Vec<&ArtefactId> = kept.keys().copied().collect();
    while let Some(id) = waiting.pop() {
        let Some(parent) = parents.get(id).and_then(|parent| known.get(parent)) else {
            continue;
        };
        if !kept.contains_key(parent) {
            kept.insert(parent, Keep::Needed);
            waiting.push(parent);
        }
    }
}

/// How many copies each one descends from.
fn depths(history: &[Link]) -> BTreeMap<&ArtefactId, usize> {
    let parents: BTreeMap<&ArtefactId, Option<&ArtefactId>> =
        history.iter().map(|link| (&link.id, link.parent.as_ref())).collect();
    let depth = |id: &ArtefactId| {
        let mut at = id;
        let mut depth = 0;
        while let Some(Some(parent)) = parents.get(at)
            && depth <= parents.len()
        {
            (at, depth) = (parent, depth + 1);
        }
        depth
    };
    parents.keys().map(|id| (*id, depth(id))).collect()
}
