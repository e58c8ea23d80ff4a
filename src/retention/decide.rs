//! The rule: which copies stay, which go, and why.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, Zoned, civil};

use crate::base::{ArtefactId, Level};
use crate::retention::level::period_of;
use crate::retention::{Copy, Keep, Policy, Rotation, Why};

/// When the question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment<'a> {
    /// The source has delivered its first frame; a copy of this level will be stored.
    Before {
        /// The level of the copy that is being made.
        level: Level,
    },
    /// This copy is stored and verified, and is part of the history.
    After {
        /// The copy that the run has made.
        made: &'a ArtefactId,
    },
    /// A person asks, between runs.
    Prune,
    /// A person asks, and levels that the policy does not have any more go too.
    PruneOrphans,
}

/// What becomes of each copy, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What stays.
    pub keep: Vec<(ArtefactId, Keep)>,
    /// What goes.
    pub delete: Vec<(ArtefactId, Why)>,
    /// The guard that held back what would else have gone, in words: for the report, and for
    /// the error of a disk that is full.
    pub held: Option<String>,
}

/// Decides what becomes of each copy of one identity on one storage.
///
/// A pinned copy never goes and fills slots like any other. The guards hold at every moment;
/// `min_copies: 0` lifts them where space must be freed first, in [`Moment::Before`], and the
/// one for a shrunken newest copy everywhere but right after that copy was made.
pub fn decide(history: &[Copy], policy: &Policy, now: &Zoned, moment: Moment<'_>) -> Verdict {
    let rule = Rule::new(history, policy, now, moment);
    let mut verdict = Verdict::default();
    let mut spare: Vec<&Copy> = Vec::new();
    for copy in newest_first(history) {
        match rule.standing(copy) {
            Some(keep) => verdict.keep.push((copy.id.clone(), keep)),
            None => spare.push(copy),
        }
    }
    let stays = rule.hold(&spare);
    for (copy, keep) in spare.into_iter().zip(stays) {
        match keep {
            Some(keep) => verdict.keep.push((copy.id.clone(), keep)),
            None => verdict.delete.push((copy.id.clone(), rule.why(copy))),
        }
    }
    verdict.held = rule.held(&verdict);
    let place: BTreeMap<&ArtefactId, usize> =
        newest_first(history).iter().enumerate().map(|(at, copy)| (&copy.id, at)).collect();
    verdict.keep.sort_by_key(|(id, _)| place.get(id).copied());
    verdict
}

/// Decides for copies that no job of the config makes any more: all go but the pinned ones.
pub fn orphaned(history: &[Copy]) -> Verdict {
    let mut verdict = Verdict::default();
    for copy in newest_first(history) {
        if copy.pinned {
            verdict.keep.push((copy.id.clone(), Keep::Pinned));
        } else {
            verdict.delete.push((copy.id.clone(), Why::NoIdentity));
        }
    }
    verdict
}

/// Everything that is computed once for all copies.
struct Rule<'a> {
    policy: &'a Policy,
    now: &'a Zoned,
    moment: Moment<'a>,
    /// The copies that count, newest first.
    counted: Vec<&'a Copy>,
    /// The periods that are kept, by level.
    periods: BTreeSet<(Level, civil::Date)>,
    /// The newest copies of those periods.
    in_slot: BTreeSet<&'a ArtefactId>,
    /// The newest of all levels.
    last: BTreeSet<&'a ArtefactId>,
    newest_complete: Option<&'a ArtefactId>,
    newest_sound: Option<&'a ArtefactId>,
    /// The copy whose period the coming one takes.
    replaced: Option<&'a ArtefactId>,
}

impl<'a> Rule<'a> {
    fn new(history: &'a [Copy], policy: &'a Policy, now: &'a Zoned, moment: Moment<'a>) -> Self {
        let counted: Vec<&Copy> =
            newest_first(history).into_iter().filter(|copy| copy.counts(now)).collect();
        let coming = match moment {
            Moment::Before { level } => Some(level),
            _ => None,
        };
        let newest = |good: &dyn Fn(&Copy) -> bool| {
            counted.iter().find(|copy| good(copy)).map(|copy| &copy.id)
        };
        let mut rule = Self {
            policy,
            now,
            moment,
            periods: BTreeSet::new(),
            in_slot: BTreeSet::new(),
            last: BTreeSet::new(),
            newest_complete: newest(&|copy| copy.complete),
            newest_sound: newest(&|copy| copy.complete && !copy.shrunken),
            replaced: None,
            counted,
        };
        Level::ALL.into_iter().for_each(|level| rule.fill_slots(level, coming));
        rule.fill_last(coming);
        rule
    }

    /// Notes the newest copy of each of the latest periods of `level` that have one; the copy
    /// that is being made counts as there.
    fn fill_slots(&mut self, level: Level, coming: Option<Level>) {
        let mut newest: BTreeMap<civil::Date, (Timestamp, Option<&'a ArtefactId>)> =
            BTreeMap::new();
        for copy in self.counted.iter().rev().filter(|copy| copy.level == level) {
            newest.insert(period_of(level, copy.day), (copy.started, Some(&copy.id)));
        }
        if coming == Some(level) {
            let now = self.now.timestamp();
            let slot = newest.entry(period_of(level, self.now.date())).or_insert((now, None));
            if slot.0 <= now {
                self.replaced = slot.1.take();
            }
        }
        for (period, (_, id)) in newest.into_iter().rev().take(self.policy.slots(level) as usize) {
            self.periods.insert((level, period));
            self.in_slot.extend(id);
        }
    }

    /// Notes the newest copies of all levels. The coming copy takes a place only where its level
    /// has no slots: what is pushed out of both at once must not go one by one while dumps die.
    fn fill_last(&mut self, coming: Option<Level>) {
        let newer = self.counted.iter().take_while(|copy| copy.started > self.now.timestamp());
        let mut room = self.policy.last as usize;
        if coming.is_some_and(|level| self.policy.slots(level) == 0) && newer.count() < room {
            room -= 1;
        }
        self.last = self.counted.iter().take(room).map(|copy| &copy.id).collect();
    }

    /// Says why `copy` stays whatever happens to others; `None` when it may go.
    fn standing(&self, copy: &Copy) -> Option<Keep> {
        let spaced = matches!(self.moment, Moment::Before { .. }) && self.policy.min_copies == 0;
        let Policy { last, .. } = *self.policy;
        let (level, slots) = (copy.level, self.policy.slots(copy.level));
        let id = Some(&copy.id);
        match self.moment {
            _ if copy.is_future(self.now) => Some(Keep::Future),
            _ if !copy.intact => Some(Keep::Broken),
            _ if self.in_slot.contains(&copy.id) => Some(Keep::Slot { level, slots }),
            _ if self.last.contains(&copy.id) => Some(Keep::Last(last)),
            _ if copy.pinned => Some(Keep::Pinned),
            Moment::After { made } if copy.id == *made => Some(Keep::JustMade),
            Moment::PruneOrphans if !self.policy.enabled(level) => self.guarded(id),
            _ if !self.policy.enabled(level) => Some(Keep::LevelOff(level)),
            _ if spaced => None,
            _ => self.guarded(id).or((id == self.replaced).then_some(Keep::Waits)),
        }
    }

    fn guarded(&self, id: Option<&ArtefactId>) -> Option<Keep> {
        match id {
            _ if id == self.newest_complete => Some(Keep::NewestComplete),
            _ if id == self.newest_sound => Some(Keep::NewestSound),
            _ => None,
        }
    }

    /// Says for each spare copy (newest first) why it stays all the same, `None` when it goes.
    fn hold(&self, spare: &[&Copy]) -> Vec<Option<Keep>> {
        if let Some(keep) = self.stopped() {
            return vec![Some(keep); spare.len()];
        }
        let least = self.policy.min_copies;
        let may_go = self.counted.len().saturating_sub(least as usize);
        let must_stay = spare.len().saturating_sub(may_go);
        let mut stays = vec![None; spare.len()];
        stays[..must_stay].fill(Some(Keep::MinCopies(least)));
        if let Moment::Before { level } = self.moment {
            let goes = (must_stay..spare.len()).rev().find(|at| spare[*at].level == level);
            for at in (must_stay..spare.len()).filter(|at| Some(*at) != goes) {
                stays[at] = Some(Keep::Waits);
            }
        }
        stays
    }

    /// Says why nothing at all goes now.
    fn stopped(&self) -> Option<Keep> {
        let made = match self.moment {
            Moment::After { made } => Some(self.counted.iter().find(|copy| copy.id == *made)),
            _ => None,
        };
        let newest_shrunken = self.counted.first().is_some_and(|copy| copy.shrunken);
        match (self.policy.rotation, self.moment, made) {
            (Rotation::None, ..) => Some(Keep::RotationOff),
            (Rotation::After, Moment::Before { .. }, _) => Some(Keep::Waits),
            (.., Some(None)) => Some(Keep::NewUnseen),
            (.., Some(Some(made))) if made.shrunken => Some(Keep::NewestShrunken),
            _ if newest_shrunken && self.policy.min_copies > 0 => Some(Keep::NewestShrunken),
            _ => None,
        }
    }

    fn why(&self, copy: &Copy) -> Why {
        let (level, slots) = (copy.level, self.policy.slots(copy.level));
        match slots {
            _ if !self.policy.enabled(level) => Why::LevelOff(level),
            0 => Why::NotLast(self.policy.last),
            _ if self.periods.contains(&(level, period_of(level, copy.day))) => {
                Why::Superseded(level)
            }
            _ => Why::Outlived { level, slots },
        }
    }

    /// Puts into words which guard held. A copy that only waits or stays by the policy was not
    /// held; before a run only copies matter that it would have removed.
    fn held(&self, verdict: &Verdict) -> Option<String> {
        let before = match self.moment {
            Moment::Before { level } => Some(level),
            _ => None,
        };
        if before.is_some()
            && (self.policy.rotation != Rotation::Before || !verdict.delete.is_empty())
        {
            return None;
        }
        let concerns = |id: &ArtefactId| {
            let copy = self.counted.iter().find(|copy| copy.id == *id);
            copy.is_some_and(|copy| before == Some(copy.level))
        };
        let guard = verdict.keep.iter().find(|(id, keep)| match keep {
            Keep::NewestShrunken | Keep::NewUnseen => true,
            Keep::NewestComplete | Keep::NewestSound | Keep::MinCopies(_) | Keep::Waits => {
                concerns(id)
            }
            _ => false,
        });
        let (id, keep) = guard?;
        match (self.stopped(), keep) {
            (Some(all), _) => Some(all.to_string()),
            (None, Keep::MinCopies(_)) => Some(keep.to_string()),
            (None, _) => Some(format!("{id} stays: {keep}")),
        }
    }
}

fn newest_first(history: &[Copy]) -> Vec<&Copy> {
    let mut copies: Vec<&Copy> = history.iter().collect();
    copies.sort_by(|a, b| (b.started, &b.id).cmp(&(a.started, &a.id)));
    copies
}
