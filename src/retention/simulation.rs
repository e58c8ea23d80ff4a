//! Promises that hold for every policy and every history: thousands of made-up ones.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan};
use proptest::prelude::*;

use super::*;

/// One run: hours since the one before, what came of it, and its size.
#[derive(Clone, Debug)]
struct Run {
    hours: i64,
    came: Came,
    raw_bytes: u64,
    pin: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Came {
    Whole,
    Partial,
    Broken,
    Died,
}

fn runs(most: usize) -> impl Strategy<Value = Vec<Run>> {
    let came = prop_oneof![
        5 => Just(Came::Whole),
        2 => Just(Came::Partial),
        1 => Just(Came::Broken),
        4 => Just(Came::Died),
    ];
    let hours = prop_oneof![8 => 20..28i64, 2 => 0..6i64, 1 => -40..0i64, 1 => 100..900i64];
    let size = prop_oneof![6 => 900..1100u64, 1 => 0..300u64];
    let run = (hours, came, size, prop::bool::weighted(0.03))
        .prop_map(|(hours, came, raw_bytes, pin)| Run { hours, came, raw_bytes, pin });
    prop::collection::vec(run, 0..most)
}

fn policies() -> impl Strategy<Value = Policy> {
    let rotation = prop_oneof![
        4 => Just(Rotation::Before),
        2 => Just(Rotation::After),
        1 => Just(Rotation::None),
    ];
    (0..5u32, 0..4u32, 0..4u32, 0..4u32, 0..4u32, rotation).prop_map(
        |(days, weeks, months, last, min_copies, rotation)| Policy {
            days,
            weeks,
            months,
            last,
            min_copies,
            rotation,
        },
    )
}

fn start() -> Zoned {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    civil::date(2026, 10, 1).at(2, 0, 0, 0).to_zoned(zone).unwrap()
}

/// A storage that is run against, and checks every verdict on the way.
struct World {
    now: Zoned,
    policy: Policy,
    copies: Vec<Copy>,
    made: usize,
    /// Copies that the policy keeps and that went before a run, by level, since the last success.
    lost: BTreeMap<Level, usize>,
    /// Whether the clock was ever set back: copies then come to count that did not.
    backwards: bool,
}

impl World {
    fn new(policy: Policy) -> Self {
        Self {
            now: start(),
            policy,
            copies: Vec::new(),
            made: 0,
            lost: BTreeMap::new(),
            backwards: false,
        }
    }

    fn run(&mut self, run: &Run) {
        self.now = self.now.saturating_add(SignedDuration::from_hours(run.hours));
        self.backwards |= run.hours < 0;
        let Some(level) = level(&self.copies, &self.policy, &self.now) else { return };
        let kept_by_policy = self.kept_by_policy();
        let gone = self.apply(Moment::Before { level });
        assert!(gone.len() <= 1, "more than one went before the run");
        for copy in gone {
            assert_eq!(copy.level, level);
            *self.lost.entry(level).or_default() += usize::from(kept_by_policy.contains(&copy.id));
            assert!(self.lost[&level] <= 1 || self.backwards, "dead dumps cost more than one copy");
        }
        if run.came == Came::Died {
            return;
        }
        self.lost.clear();
        self.made += 1;
        let made = ArtefactId::from_text(format!("{:05}", self.made));
        self.copies.push(Copy {
            id: made.clone(),
            level,
            started: self.now.timestamp(),
            day: self.now.date(),
            raw_bytes: run.raw_bytes,
            complete: run.came != Came::Partial,
            shrunken: is_shrunken(&self.copies, run.raw_bytes, &self.now),
            pinned: run.pin,
            intact: run.came != Came::Broken,
        });
        self.apply(Moment::After { made: &made });
        assert!(self.copies.iter().any(|copy| copy.id == made), "the new copy went");
    }

    /// Judges, checks what must hold of every verdict, and removes.
    fn apply(&mut self, moment: Moment<'_>) -> Vec<Copy> {
        let verdict = decide(&self.copies, &self.policy, &self.now, moment);
        assert_eq!(verdict, decide(&reversed(&self.copies), &self.policy, &self.now, moment));
        let kept = verdict.keep.iter().map(|(id, _)| id);
        let judged: BTreeSet<_> = kept.chain(verdict.delete.iter().map(|(id, _)| id)).collect();
        assert_eq!(judged.len(), verdict.keep.len() + verdict.delete.len(), "one was judged twice");
        assert_eq!(judged.len(), self.copies.len(), "one was not judged");
        let goes = |copy: &Copy| verdict.delete.iter().any(|(id, _)| *id == copy.id);
        let (gone, left): (Vec<Copy>, Vec<Copy>) = self.copies.drain(..).partition(goes);
        let (policy, now) = (self.policy, &self.now);
        for copy in &gone {
            assert!(
                copy.counts(now) && !copy.pinned && policy.enabled(copy.level),
                "{copy:?} went"
            );
        }
        let count = |copies: &[Copy]| copies.iter().filter(|copy| copy.counts(now)).count();
        let least = (policy.min_copies as usize).min(count(&left) + count(&gone));
        assert!(count(&left) >= least, "fewer than min_copies are left");
        let lifted = policy.min_copies == 0 && matches!(moment, Moment::Before { .. });
        for good in [|copy: &Copy| copy.complete, |copy: &Copy| copy.complete && !copy.shrunken] {
            let newest = |copies: &[Copy]| {
                copies
                    .iter()
                    .filter(|copy| copy.counts(now) && good(copy))
                    .map(|copy| (copy.started, copy.id.clone()))
                    .max()
            };
            assert!(lifted || newest(&gone) <= newest(&left), "the newest complete copy went");
        }
        let may = match moment {
            Moment::Before { .. } => policy.rotation == Rotation::Before,
            _ => policy.rotation != Rotation::None,
        };
        assert!(may || gone.is_empty(), "something went against `rotation`");
        self.copies = left;
        gone
    }

    fn kept_by_policy(&self) -> BTreeSet<ArtefactId> {
        let verdict = decide(&self.copies, &self.policy, &self.now, Moment::Prune);
        let by_policy = |keep: &Keep| matches!(keep, Keep::Slot { .. } | Keep::Last(_));
        verdict.keep.into_iter().filter(|(_, keep)| by_policy(keep)).map(|(id, _)| id).collect()
    }

    fn count(&self, level: Level) -> usize {
        self.copies.iter().filter(|copy| copy.level == level).count()
    }
}

fn reversed(copies: &[Copy]) -> Vec<Copy> {
    copies.iter().rev().cloned().collect()
}

/// A quarter of proptest's number, since each case is a long history; `PROPTEST_CASES` sets it.
fn config() -> ProptestConfig {
    let cases = ProptestConfig::default().cases / 4;
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_history_costs_the_last_good_copy(policy in policies(), runs in runs(80)) {
        let mut world = World::new(policy);
        let mut ever = false;
        for run in &runs {
            world.run(run);
            ever |= world.copies.iter().any(|copy| copy.complete && copy.intact);
            let still = world.copies.iter().any(|copy| copy.complete && copy.intact);
            prop_assert!(!ever || still || policy.min_copies == 0);
        }
        world.apply(Moment::Prune);
        prop_assert!(world.apply(Moment::Prune).is_empty(), "pruning twice removed more");
    }

    #[test]
    fn dead_dumps_in_a_row_cost_one_copy_a_level(policy in policies(), runs in runs(40)) {
        let mut world = World::new(policy);
        runs.iter().for_each(|run| world.run(run));
        let died = Run { hours: 24, came: Came::Died, raw_bytes: 0, pin: false };
        (0..60).for_each(|_| world.run(&died));
        let before = world.copies.clone();
        world.run(&Run { hours: 1, ..died });
        prop_assert_eq!(before, world.copies);
    }

    #[test]
    fn good_daily_runs_end_with_the_configured_numbers(policy in policies(), runs in runs(30)) {
        let mut world = World::new(Policy { last: 0, min_copies: 1, ..policy });
        runs.iter().filter(|run| run.hours < 100).for_each(|run| world.run(run));
        world.copies.retain(|copy| copy.intact && !copy.pinned);
        let good = Run { hours: 24, came: Came::Whole, raw_bytes: 1000, pin: false };
        (0..170).for_each(|_| world.run(&good));
        for level in Level::ALL {
            let slots = policy.slots(level) as usize;
            match policy.rotation {
                Rotation::None => prop_assert!(world.count(level) >= slots),
                _ => prop_assert_eq!(world.count(level), slots, "{}", level),
            }
        }
    }
}

#[test]
fn four_years_of_daily_runs_keep_what_the_policy_says() {
    let policy = Policy {
        days: 6,
        weeks: 4,
        months: 12,
        last: 0,
        min_copies: 1,
        rotation: Rotation::Before,
    };
    let mut world = World::new(policy);
    let mut firsts = 0;
    for _ in 0..4 * 365 + 1 {
        let before = world.count(Level::Monthly);
        world.now = world.now.saturating_add(1.day());
        world.run(&Run { hours: 0, came: Came::Whole, raw_bytes: 1000, pin: false });
        let newest = world.copies.last().unwrap();
        if newest.level == Level::Monthly && before > 0 {
            assert_eq!(newest.day.day(), 1, "a monthly copy on another day than the 1st");
            firsts += 1;
        }
        assert!(world.copies.len() <= 6 + 4 + 12 + 1);
    }
    assert_eq!(firsts, 48);
    assert_eq!(Level::ALL.map(|level| world.count(level)), [6, 4, 12]);
}

#[test]
fn copies_of_no_identity_all_go_but_the_pinned_ones() {
    let mut world = World::new(Policy {
        days: 9,
        weeks: 9,
        months: 9,
        last: 0,
        min_copies: 1,
        rotation: Rotation::None,
    });
    for pin in [false, true, false] {
        world.run(&Run { hours: 24, came: Came::Broken, raw_bytes: 1, pin });
    }
    let verdict = orphaned(&world.copies);
    assert_eq!(verdict.keep, [(ArtefactId::from_text("00002"), Keep::Pinned)]);
    assert_eq!(verdict.delete.len(), 2);
}

#[test]
fn memory_and_calendar_stand_in_for_a_listing() {
    let at = |text: &str| -> Zoned { format!("{text}T02:00[+01:00]").parse().unwrap() };
    let policy =
        Policy { days: 1, weeks: 1, months: 1, last: 0, min_copies: 1, rotation: Rotation::After };
    let by_calendar = |day| level_by_calendar(&policy, &at(day));
    assert_eq!(by_calendar("2026-11-01"), Some(Level::Monthly));
    assert_eq!(by_calendar("2026-11-08"), Some(Level::Weekly));
    assert_eq!(by_calendar("2026-11-09"), Some(Level::Daily));
    let no_months = Policy { months: 0, ..policy };
    assert_eq!(level_by_calendar(&no_months, &at("2026-11-01")), Some(Level::Weekly));
    let only_months = Policy { days: 0, weeks: 0, ..policy };
    assert_eq!(level_by_calendar(&only_months, &at("2026-11-02")), None);

    let mut last = BTreeMap::new();
    assert_eq!(level_by_memory(&last, &policy, &at("2026-11-11")), Some(Level::Monthly));
    last.insert(Level::Monthly, civil::date(2026, 11, 1));
    last.insert(Level::Weekly, civil::date(2026, 11, 7));
    assert_eq!(level_by_memory(&last, &policy, &at("2026-11-07")), Some(Level::Daily));
    assert_eq!(level_by_memory(&last, &policy, &at("2026-11-08")), Some(Level::Weekly));
    assert_eq!(level_by_memory(&last, &policy, &at("2026-12-01")), Some(Level::Monthly));
}

#[test]
fn the_first_copy_has_nothing_to_shrink_from_and_the_second_has() {
    let mut world = World::new(Policy {
        days: 9,
        weeks: 0,
        months: 0,
        last: 0,
        min_copies: 1,
        rotation: Rotation::After,
    });
    assert!(!is_shrunken(&world.copies, 0, &world.now));
    for (raw_bytes, next, shrunken) in
        [(100, 49, true), (100, 50, false), (10, 10, true), (10, 28, false), (10, 4, true)]
    {
        world.run(&Run { hours: 24, came: Came::Whole, raw_bytes, pin: false });
        let found = is_shrunken(&world.copies, next, &world.now);
        assert_eq!(found, shrunken, "{next} after {:?}", world.copies);
    }
    world.copies[4].raw_bytes = u64::MAX;
    assert!(is_shrunken(&world.copies[4..], u64::MAX / 2, &world.now));
}
