//! The clock: many days, twice a second, set back, and far ahead.

use jiff::civil::{Date, date};
use jiff::{ToSpan, Zoned};

use crate::cli::{config, job, local};
use crate::support::bed::Bed;

fn site(store: &str) -> Bed {
    let jobs = [job("site", "$DIR/www", &[local("store", store)])];
    Bed::new().config(&config(&jobs)).tree("www", &[("index.php", "<?php")])
}

fn at_three(bed: &mut Bed, day: Date) -> &mut Bed {
    bed.now(&format!("{day}T03:00:00+00:00[UTC]"))
}

/// The stamps of the copies of one level.
fn stamps(bed: &Bed, level: &str) -> Vec<String> {
    let files = bed.files(&format!("store/www/{level}"));
    let names = files.iter().filter_map(|name| name.strip_suffix(".tar.zst"));
    let mut stamps: Vec<_> =
        names.map(|name| name.strip_prefix("www_").unwrap().to_owned()).collect();
    stamps.sort();
    stamps
}

#[test]
fn forty_daily_runs_leave_what_the_store_says() {
    let mut bed = site("days: 6, weeks: 4, months: 6");
    let first = date(2026, 10, 13);
    for day in 0..40 {
        let ran = at_three(&mut bed, first + day.days()).run(["start"]);
        drop(ran.stdout(""));
    }
    let stamp = |day: Date| format!("{day}_03-00-00");
    // The last run is on Saturday, 21 November; weeks begin on Sunday.
    let daily: Vec<_> = (16..=21).map(|day| stamp(date(2026, 11, day))).collect();
    assert_eq!(stamps(&bed, "daily"), daily);
    let weekly = [date(2026, 10, 25), date(2026, 11, 2), date(2026, 11, 8), date(2026, 11, 15)];
    assert_eq!(stamps(&bed, "weekly"), weekly.map(stamp));
    assert_eq!(stamps(&bed, "monthly"), [date(2026, 10, 13), date(2026, 11, 1)].map(stamp));
    assert_eq!(bed.files("store").len(), 1 + 3 * 12);
    let listed = bed.run(["list", "--json"]).json();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 12);
    bed.run(["verify", "--full"]).stdout("12 copies looked at, 12 whole, 0 not\n");
    at_three(&mut bed, date(2026, 11, 22));
    bed.run(["plan"]).stdout_has("weekly copy www/weekly/www_2026-11-22_03-00-00.tar.zst");
}

#[test]
fn two_runs_in_a_second_never_write_over_each_other() {
    let bed = site("days: 1, last: 3");
    for (count, name) in [(1, "2026-11-21_03-00-00"), (2, "2026-11-21_03-00-00-2")] {
        bed.run(["start"]).stdout("");
        let found = stamps(&bed, "daily");
        assert!(found.len() == count && found.contains(&name.to_owned()), "{found:?}");
    }
    bed.run(["start"]);
    bed.run(["verify", "--full"]).stdout("3 copies looked at, 3 whole, 0 not\n");
}

#[test]
fn of_two_runs_in_a_minute_the_newer_is_kept() {
    let mut bed = site("days: 1");
    bed.run(["start"]);
    std::fs::write(bed.path("www/index.php"), "later").unwrap();
    bed.now("2026-11-21T03:00:40+00:00[UTC]").run(["start"]);
    assert_eq!(stamps(&bed, "daily"), ["2026-11-21_03-00-40"]);
    bed.run(["restore", "--to", "out", "--strip"]);
    assert_eq!(std::fs::read_to_string(bed.path("out/index.php")).unwrap(), "later");
}

#[test]
fn a_clock_set_back_costs_no_copy_that_the_run_has_just_made() {
    let mut bed = site("days: 2");
    for day in [18, 19, 20, 21] {
        at_three(&mut bed, date(2026, 11, day)).run(["start"]);
    }
    at_three(&mut bed, date(2026, 11, 20)).run(["start"]).noisy();
    let found = stamps(&bed, "daily");
    assert!(found.contains(&"2026-11-20_03-00-00-2".to_owned()), "{found:?}");
    at_three(&mut bed, date(2026, 11, 22)).run(["start"]).noisy();
    let found = stamps(&bed, "daily");
    assert!(found.contains(&"2026-11-22_03-00-00".to_owned()) && found.len() == 2, "{found:?}");
    bed.run(["verify", "--full"]).stdout_has("2 whole, 0 not");
}

#[test]
fn one_run_in_a_far_future_does_not_end_the_rotation() {
    let mut bed = site("days: 2");
    at_three(&mut bed, date(2036, 1, 1)).run(["start"]);
    for day in 18..=21 {
        at_three(&mut bed, date(2026, 11, day)).run(["start"]).noisy();
    }
    let found = stamps(&bed, "daily");
    let wanted = ["2026-11-20_03-00-00", "2026-11-21_03-00-00", "2036-01-01_03-00-00"];
    assert_eq!(found, wanted);
    bed.run(["restore", "--to", "out", "--at", "now"]).noisy();
}

#[test]
fn a_copy_from_a_far_future_is_not_brought_back_as_the_newest() {
    let mut bed = site("days: 2");
    std::fs::write(bed.path("www/index.php"), "the future").unwrap();
    at_three(&mut bed, date(2036, 1, 1)).run(["start"]);
    std::fs::write(bed.path("www/index.php"), "today").unwrap();
    at_three(&mut bed, date(2026, 11, 20));
    let page = |bed: &Bed| std::fs::read_to_string(bed.path("out/index.php")).unwrap();
    let restore = ["restore", "--to", "out", "--strip", "--overwrite"];
    // Nothing else is there: better that than nothing.
    let ran = bed.run(restore).stderr_has("this copy is dated in the future (2036-01-01)");
    drop(ran);
    assert_eq!(page(&bed), "the future");
    bed.run(["start"]).noisy();
    at_three(&mut bed, date(2026, 11, 21));
    let ran = bed.run(restore).stderr_has("is dated in the future (2036-01-01)");
    assert!(ran.err().contains("and passed over; --id"), "{}", ran.err());
    assert_eq!(page(&bed), "today");
    let listed = bed.run(["list"]).stdout_has("ok, dated in the future");
    assert_eq!(listed.out().matches("dated in the future").count(), 1, "{}", listed.out());
}

#[test]
fn the_hour_that_comes_twice_gives_two_names() {
    let mut bed = site("days: 1, last: 5");
    bed.now("2026-10-25T02:30:00+02:00[Europe/Berlin]").run(["start"]);
    bed.now("2026-10-25T02:30:00+01:00[Europe/Berlin]").run(["start"]);
    assert_eq!(stamps(&bed, "daily"), ["2026-10-25_02-30-00", "2026-10-25_02-30-00-2"]);
    let listed = bed.run(["list", "--json"]).json();
    let started: Vec<_> =
        listed["backups"].as_array().unwrap().iter().map(|row| row["started"].clone()).collect();
    assert_eq!(started, ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]);
}

#[test]
fn a_clock_that_makes_no_sense_is_wrong_usage() {
    let mut bed = site("days: 1");
    bed.now("yesterday").run(["start"]).exit(2).stderr_has("is no moment with a zone");
    assert!("2026-11-21T03:00:00+00:00[UTC]".parse::<Zoned>().is_ok());
}
