//! Chains: the cases that broke others, and random histories.

use std::collections::BTreeSet;

use jiff::{ToSpan, Zoned, civil, tz::TimeZone};
use proptest::prelude::*;

use super::*;
use crate::base::Step;

/// One storage over time.
#[derive(Clone)]
struct Shelf {
    links: Vec<Link>,
    scheme: Scheme,
    scope: String,
}

impl Shelf {
    fn new(scheme: Scheme) -> Self {
        Self { links: Vec::new(), scheme, scope: "a".into() }
    }

    /// Makes the copy that is due and tells what it is: `month<0`, its parent by number.
    fn run(&mut self, date: &str) -> String {
        let now = at(date);
        let choice = parent(&self.links, self.scheme, &self.scope, &now);
        let number = |id: &ArtefactId| self.links.iter().position(|link| link.id == *id).unwrap();
        let against = choice.parent.as_ref().map(|id| format!("<{}", number(id)));
        let mark = if choice.fallback.is_some() { "!" } else { "" };
        let said = format!("{}{}{mark}", choice.step, against.unwrap_or_default());
        self.links.push(Link {
            id: id(self.links.len()),
            parent: choice.parent,
            step: choice.step,
            started: now.timestamp(),
            day: now.date(),
            tree_bytes: 1000,
            scope: self.scope.clone(),
            complete: true,
            shrunken: false,
            pinned: false,
            intact: true,
        });
        said
    }

    fn runs(&mut self, dates: &[&str]) -> Vec<String> {
        dates.iter().map(|date| self.run(date)).collect()
    }

    fn rotate(&mut self, keep: &ChainKeep, date: &str) -> Vec<usize> {
        let made = self.links.last().map(|link| link.id.clone());
        let verdict = decide_chain(&self.links, self.scheme, keep, &at(date), made.as_ref());
        let gone: BTreeSet<_> = verdict.delete.into_iter().map(|(id, _)| id).collect();
        let numbers = (0..self.links.len()).filter(|n| gone.contains(&self.links[*n].id));
        numbers.collect()
    }
}

fn id(number: usize) -> ArtefactId {
    ArtefactId::from_text(format!("{number:04}"))
}

fn at(date: &str) -> Zoned {
    let (date, time) = date.split_once(' ').unwrap_or((date, "03:00"));
    format!("{date}T{time}:00[UTC]").parse().unwrap()
}

fn levels(last: u16, stays: bool, restart_days: Option<u32>) -> Scheme {
    Scheme::Levels { last, stays, restart_days }
}

const KEEP: ChainKeep = ChainKeep {
    months: 11,
    chains: None,
    days: Some(365),
    min_copies: 1,
    rotation: Rotation::Before,
};

#[test]
fn the_calendar_goes_by_first_runs() {
    let cases: [(&[&str], &[&str]); 6] = [
        // The scheme of the article.
        (
            &["2026-01-01", "2026-01-02", "2026-01-11", "2026-01-12", "2026-02-01", "2026-02-03"],
            &["year", "day<0", "decade<0", "day<2", "month<0", "day<4"],
        ),
        // The full copy of 31 December, then New Year.
        (&["2026-12-31", "2027-01-01", "2027-01-02"], &["year", "year", "day<1"]),
        (&["2026-12-30", "2026-12-31", "2027-01-02"], &["year", "day<0", "year"]),
        // Day 11 missed, and the 1st.
        (
            &["2026-03-05", "2026-03-12", "2026-03-13", "2026-04-02", "2026-04-25"],
            &["year", "decade<0", "day<1", "month<0", "decade<3"],
        ),
        // The month's first run comes in its second decade.
        (&["2026-03-05", "2026-04-15", "2026-04-16"], &["year", "month<0", "day<1"]),
        // Twice a day.
        (&["2026-03-05 03:00", "2026-03-05 15:00"], &["year", "day<0"]),
    ];
    for (dates, said) in cases {
        assert_eq!(Shelf::new(Scheme::Calendar).runs(dates), said, "{dates:?}");
    }
}

#[test]
fn levels_go_round_or_stay() {
    let days: Vec<String> = (1..=10).map(|day| format!("2026-03-{day:02}")).collect();
    let days: Vec<&str> = days.iter().map(String::as_str).collect();
    let cases: [(Scheme, &[&str]); 5] = [
        (levels(3, false, None), &["0", "1<0", "2<1", "3<2", "0", "1<4"]),
        (levels(2, true, None), &["0", "1<0", "2<1", "2<1", "2<1", "2<1"]),
        (levels(0, false, None), &["0", "0", "0"]),
        (levels(0, true, None), &["0", "0", "0"]),
        (levels(1, true, Some(7)), &["0", "1<0", "1<0", "1<0", "1<0", "1<0", "1<0", "1<0", "0"]),
    ];
    for (scheme, said) in cases {
        assert_eq!(Shelf::new(scheme).runs(&days[..said.len()]), said, "{scheme:?}");
    }
    let mut shelf = Shelf::new(levels(7, false, None));
    let cycle = shelf.runs(&days[..9]);
    assert_eq!((&*cycle[7], &*cycle[8]), ("7<6", "0"), "levels 0 to 7: eight runs a cycle");
}

#[test]
fn what_is_damaged_falls_back_one_step() {
    let dates = ["2026-03-01", "2026-04-01", "2026-04-11", "2026-04-12"];
    let mut shelf = Shelf::new(Scheme::Calendar);
    shelf.runs(&dates);
    for (bad, said) in [(3, "day<2"), (2, "decade<1!"), (1, "month<0!"), (0, "year!")] {
        let mut shelf = shelf.clone();
        shelf.links[bad].intact = false;
        assert_eq!(shelf.run("2026-04-13"), said, "{bad} is damaged");
        let mut shelf = shelf.clone();
        shelf.links.remove(bad);
        let healed = shelf.links.last().unwrap().clone();
        assert!(sound(&shelf.links, "a", &at("2026-04-14")).contains(&healed.id));
    }
    shelf.links.remove(0);
    let lost = parent(&shelf.links, Scheme::Calendar, "a", &at("2026-04-13"));
    assert_eq!((lost.step, lost.fallback), (Step::Year, Some(Fallback::Damaged(id(0)))));
    let mut climb = Shelf::new(levels(3, false, None));
    climb.runs(&["2026-03-01", "2026-03-02", "2026-03-03"]);
    for (bad, said) in [(2, "2<1!"), (1, "1<0!"), (0, "0!")] {
        let mut climb = climb.clone();
        climb.links[bad].intact = false;
        assert_eq!(climb.run("2026-03-04"), said, "{bad} is damaged");
    }
    let mut stays = Shelf::new(levels(2, true, None));
    stays.runs(&["2026-03-01", "2026-03-02", "2026-03-03"]);
    stays.links[1].intact = false;
    assert_eq!(stays.runs(&["2026-03-04", "2026-03-05"]), ["1<0!", "2<3"]);
}

#[test]
fn another_scope_or_another_policy_is_a_full_copy() {
    let mut shelf = Shelf::new(Scheme::Calendar);
    shelf.runs(&["2026-03-01", "2026-03-02"]);
    shelf.scope = "b".into();
    assert_eq!(shelf.runs(&["2026-03-03", "2026-03-04"]), ["year!", "day<2"]);
    let mut changed = Shelf::new(levels(7, false, None));
    changed.runs(&["2026-03-01", "2026-03-02"]);
    changed.scheme = Scheme::Calendar;
    assert_eq!(changed.runs(&["2026-03-03", "2026-03-04"]), ["year", "day<2"]);
    changed.scheme = levels(7, false, None);
    assert_eq!(changed.run("2026-03-05"), "2<1");
}

#[test]
fn a_clock_that_is_set_back_breaks_nothing() {
    let mut shelf = Shelf::new(Scheme::Calendar);
    shelf.runs(&["2026-03-11", "2026-03-12"]);
    assert_eq!(shelf.run("2026-03-11 02:00"), "day<0");
    // More than a day: what is dated in the future is no parent.
    assert_eq!(shelf.run("2026-03-02"), "year");
    let mut shelf = Shelf::new(levels(7, false, None));
    shelf.runs(&["2026-03-12", "2026-03-13"]);
    assert_eq!(shelf.run("2026-03-12 12:00"), "2<1");
    assert_eq!(shelf.run("2026-03-02"), "0");
}

#[test]
fn months_are_kept_across_the_new_year_with_all_they_build_on() {
    let mut shelf = Shelf::new(Scheme::Calendar);
    let dates =
        ["2025-08-01", "2025-09-01", "2025-10-02", "2025-11-01", "2025-12-01", "2025-12-11"];
    shelf.runs(&dates);
    shelf.run("2026-01-01");
    let keep = ChainKeep { months: 3, ..KEEP };
    assert_eq!(shelf.rotate(&keep, "2026-01-01"), [1], "October to January stay, and their year");
    for date in ["2026-02-01", "2026-03-01", "2026-04-01"] {
        shelf.run(date);
    }
    assert_eq!(shelf.rotate(&keep, "2026-04-01"), [0, 1, 2, 3, 4, 5]);
    assert_eq!(shelf.rotate(&KEEP, "2026-04-01"), [0usize; 0], "August 2025 is the eighth before");
    shelf.run("2026-12-01");
    assert_eq!(shelf.rotate(&KEEP, "2026-12-01"), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn chains_go_whole_and_only_after_the_new_one_stands() {
    let mut shelf = Shelf::new(levels(2, false, None));
    shelf.runs(&["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04", "2026-01-05"]);
    let one = ChainKeep { chains: Some(1), days: None, ..KEEP };
    assert_eq!(shelf.rotate(&one, "2026-01-05"), [0, 1, 2]);
    let mut young = shelf.clone();
    young.links[4].shrunken = true;
    assert_eq!(young.rotate(&one, "2026-01-05"), [0usize; 0]);
    let mut bad = shelf.clone();
    bad.links[4].intact = false;
    assert_eq!(bad.rotate(&one, "2026-01-05"), [0usize; 0]);
    let mut pinned = shelf.clone();
    pinned.links[1].pinned = true;
    assert_eq!(pinned.rotate(&one, "2026-01-05"), [2]);
    let mut partial = shelf.clone();
    (partial.links[3].complete, partial.links[4].complete) = (false, false);
    assert_eq!(partial.rotate(&one, "2026-01-05"), [0usize; 0], "the newest complete one stays");
    // A chain without its full copy counts for nothing: neither as the newest complete one, nor as
    // one of so many chains or copies.
    let mut headless = shelf.clone();
    headless.links[3].intact = false;
    headless.run("2026-01-06");
    headless.links[5].complete = false;
    let two = ChainKeep { chains: Some(2), min_copies: 2, ..one };
    for keep in [one, two] {
        assert!(!headless.rotate(&keep, "2026-01-06").contains(&0), "{keep:?}");
    }
    let days = ChainKeep { days: Some(30), ..KEEP };
    assert_eq!(shelf.rotate(&days, "2026-01-05"), [0usize; 0]);
    shelf.run("2026-03-01");
    assert_eq!(shelf.rotate(&days, "2026-03-01"), [0, 1, 2]);
}

#[test]
fn in_a_living_chain_the_repeated_level_goes_one_by_one() {
    let mut shelf = Shelf::new(levels(1, true, None));
    shelf.runs(&["2026-01-01", "2026-01-02", "2026-02-01", "2026-03-01", "2026-03-02"]);
    let days = ChainKeep { days: Some(30), ..KEEP };
    assert_eq!(shelf.rotate(&days, "2026-03-02"), [1]);
    assert_eq!(shelf.rotate(&ChainKeep { days: None, ..days }, "2026-03-02"), [0usize; 0]);
}

#[test]
fn deletion_takes_children_before_parents() {
    let mut shelf = Shelf::new(levels(3, false, None));
    // The clock went back: the child is the older one.
    shelf.runs(&["2026-01-02", "2026-01-01 12:00", "2026-01-03", "2026-01-04", "2026-01-05"]);
    let one = ChainKeep { chains: Some(1), days: None, ..KEEP };
    let verdict = decide_chain(&shelf.links, shelf.scheme, &one, &at("2026-01-05"), None);
    let order: Vec<_> = verdict.delete.iter().map(|(id, _)| id.as_str()).collect();
    for link in &shelf.links {
        let place = |id: &ArtefactId| order.iter().position(|known| *known == id.as_str());
        if let (Some(own), Some(above)) = (place(&link.id), link.parent.as_ref().and_then(place)) {
            assert!(own < above, "{order:?}");
        }
    }
}

/// What happens on a day, beside the run.
#[derive(Clone, Debug)]
enum Event {
    Nothing,
    Missed,
    Damage(prop::sample::Index),
    Lose(prop::sample::Index),
    Back(i64),
    Scope(bool),
    Policy(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::Nothing),
        2 => Just(Event::Missed),
        1 => any::<prop::sample::Index>().prop_map(Event::Damage),
        1 => any::<prop::sample::Index>().prop_map(Event::Lose),
        1 => (0_i64..40).prop_map(Event::Back),
        1 => any::<bool>().prop_map(Event::Scope),
        1 => (0_u8..5).prop_map(Event::Policy),
    ]
}

fn scheme(number: u8) -> Scheme {
    match number {
        0 | 1 => Scheme::Calendar,
        2 => levels(3, false, None),
        3 => levels(2, true, Some(9)),
        _ => levels(1, true, None),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn every_copy_can_be_restored_when_it_is_made_and_while_it_stays(
        events in proptest::collection::vec((1_i64..6, event(), prop::bool::weighted(0.7)), 1..50),
        first in 0_u8..5,
        months in 0_u32..4,
        by_days in any::<bool>(),
    ) {
        let mut shelf = Shelf::new(scheme(first));
        let (chains, days) = if by_days { (None, Some(20)) } else { (Some(1), None) };
        let keep = ChainKeep { months, chains, days, ..KEEP };
        let mut day = civil::date(2026, 11, 5);
        for (number, (gap, event, complete)) in events.into_iter().enumerate() {
            day = day.saturating_add(gap.days());
            match event {
                Event::Missed => continue,
                Event::Damage(which) if !shelf.links.is_empty() => {
                    which.get_mut(&mut shelf.links).intact = false;
                }
                Event::Lose(which) if !shelf.links.is_empty() => {
                    let at = which.index(shelf.links.len());
                    shelf.links.remove(at);
                }
                Event::Back(days) => day = day.saturating_sub(days.days()),
                Event::Scope(other) => shelf.scope = if other { "a" } else { "b" }.into(),
                Event::Policy(number) => shelf.scheme = scheme(number),
                _ => {}
            }
            let now = day.at(3, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap();
            let choice = parent(&shelf.links, shelf.scheme, &shelf.scope, &now);
            prop_assert_eq!(choice.step.is_full(), choice.parent.is_none());
            let good = sound(&shelf.links, &shelf.scope, &now);
            prop_assert!(choice.parent.as_ref().is_none_or(|parent| good.contains(parent)));
            prop_assert!(depth(&shelf.links, choice.parent.as_ref()) <= 4);
            let made = id(number);
            shelf.links.push(Link {
                id: made.clone(),
                parent: choice.parent,
                step: choice.step,
                started: now.timestamp(),
                day,
                tree_bytes: 1,
                scope: shelf.scope.clone(),
                complete,
                shrunken: false,
                pinned: false,
                intact: true,
            });
            let has_complete = |links: &[Link]| {
                let whole = restorable(links);
                links.iter().any(|link| link.complete && whole.contains(&link.id))
            };
            let had_complete = has_complete(&shelf.links);
            let before = restorable(&shelf.links);
            let verdict = decide_chain(&shelf.links, shelf.scheme, &keep, &now, Some(&made));
            prop_assert_eq!(verdict.keep.len() + verdict.delete.len(), shelf.links.len());
            for (gone, _) in &verdict.delete {
                // Stopped after any deletion, nothing that is left has lost what it builds on.
                shelf.links.retain(|link| link.id != *gone);
                let left: BTreeSet<_> = shelf.links.iter().map(|link| link.id.clone()).collect();
                let lost = before.intersection(&left).cloned().collect::<BTreeSet<_>>();
                prop_assert_eq!(&restorable(&shelf.links), &lost);
            }
            prop_assert!(shelf.links.iter().any(|link| link.id == made));
            prop_assert!(!had_complete || has_complete(&shelf.links));
        }
    }
}

fn depth<'a>(links: &'a [Link], mut parent: Option<&'a ArtefactId>) -> usize {
    let mut depth = 0;
    while let Some(id) = parent {
        depth += 1;
        parent = links.iter().find(|link| link.id == *id).and_then(|link| link.parent.as_ref());
    }
    depth
}

/// The copies of which everything up to the full copy is whole.
fn restorable(links: &[Link]) -> BTreeSet<ArtefactId> {
    let whole = |link: &&Link| {
        let mut at = Some(*link);
        loop {
            match at {
                Some(link) if !link.intact => return false,
                Some(link) => match &link.parent {
                    None => return true,
                    Some(id) => at = links.iter().find(|link| link.id == *id),
                },
                None => return false,
            }
        }
    };
    links.iter().filter(whole).map(|link| link.id.clone()).collect()
}
