//! Words and figures of messages, and runs for other tests to tell of.

use std::time::Duration;

use super::*;
use crate::base::{ArtefactId, Key, Level, RunId};
use crate::notify::{Late, Log};
use crate::report::{Before, Stored};

/// A message about one run.
pub(crate) fn news_of(told: Told) -> News {
    let now: jiff::Zoned = "2026-11-21T03:00:00+00:00[UTC]".parse().unwrap();
    News {
        server: "web1".into(),
        occasion: Occasion::Run,
        now,
        told: vec![told],
        with_log: false,
        silent_since: None,
    }
}

/// A run of `n` jobs on two storages each: of 3 the first fails on one and the second has a
/// warning, of more three fail.
pub(crate) fn run_of(n: usize) -> Told {
    let jobs = (0..n).map(|at| {
        let mut job = good_job(&format!("shop-{at:03}"), at as u64);
        let places = &mut job.targets[0].places;
        match (n, at) {
            (3, 0) | (_, 7 | 120) => {
                places[1].outcome = PlaceOutcome::Failed(
                    "offsite: could not put db/daily/shop.sql.zst: connection refused".into(),
                );
            }
            (_, 250) => {
                job.targets.clear();
                job.errors.push("the server does not answer: db.example:3306: timed out".into());
            }
            (3, 1) | (4.., 11 | 71) => job.targets[0].anomalies.push(
                "raw size: 8.7 GiB, far above the median of the last 5 runs (1.0 GiB)".into(),
            ),
            _ => {}
        }
        job
    });
    let report = Report { server_name: "web1".into(), jobs: jobs.collect(), ..Report::default() };
    let mut log = Log::default();
    (0..40)
        .for_each(|at| log.push(&format!("INFO [shop-000] [2026-11-21 03:00:{at:02}]: line {at}")));
    let now: jiff::Zoned = "2026-11-21T03:00:00+00:00[UTC]".parse().unwrap();
    Told::new(report, log, Some("/var/log/nxs-backup/nxs-backup.log".into()), &now)
}

pub(crate) fn good_job(name: &str, seed: u64) -> JobReport {
    let started = "2026-11-21T02:30:00Z".parse().unwrap();
    let mut job = JobReport::start(name, "mysql", started);
    let raw_bytes = 1_073_741_824 + seed * 7_919_773;
    let before = Before { raw_bytes: raw_bytes - seed * 5_000_000, files: None, took: None };
    let place = |place: &str, removed: &[&str]| {
        let run = RunId::new(started, "web1", name);
        let stored = Stored {
            id: ArtefactId::new(&run, 1),
            key: Key::new("db/daily/shop.sql.zst").unwrap(),
            level: Level::Daily.into(),
            stored_bytes: raw_bytes / 5,
            shrunken: false,
        };
        PlaceReport {
            place: place.into(),
            outcome: PlaceOutcome::Stored(stored),
            removed: removed.iter().map(|it| (*it).to_owned()).collect(),
            copies: Some(7),
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    };
    let gone = ["db/daily/shop_2026-11-14.sql.zst: older than the 7 latest days that have a copy"];
    let places = vec![place("local", &gone), place("offsite", &[])];
    job.took = Duration::from_secs(40 + seed % 90);
    job.targets.push(TargetReport {
        target: "shop".into(),
        raw_bytes: Some(raw_bytes),
        before: Some(before),
        took: job.took,
        places,
        ..TargetReport::default()
    });
    job
}

#[test]
fn a_subject_tells_server_outcome_and_counts() {
    let subject = |told: Vec<Told>| View::of(&News { told, ..news_of(run_of(1)) }).subject;
    let with = |change: fn(&mut Report)| {
        let mut told = run_of(1);
        change(&mut told.report);
        vec![told]
    };
    let nothing = |report: &mut Report| {
        report.jobs[0].targets.clear();
        report.jobs[0].errors.push("no".into());
    };
    let config = |report: &mut Report| {
        report.jobs.clear();
        report.errors.push("the config has errors".into());
    };
    for (told, wanted) in [
        (vec![run_of(1)], "[web1] backup ok: 1 job, 2 copies"),
        (vec![run_of(2)], "[web1] backup ok: 2 jobs, 4 copies"),
        (vec![run_of(3)], "[web1] backup done in part: 1 of 3 jobs failed, 1 warning"),
        (vec![run_of(300)], "[web1] backup done in part: 3 of 300 jobs failed, 2 warnings"),
        (with(nothing), "[web1] backup FAILED: 1 of 1 job failed"),
        (with(config), "[web1] backup FAILED: 1 error"),
        (with(|report| report.interrupted = true), "[web1] backup INTERRUPTED"),
        (vec![run_of(1), run_of(2)], "[web1] 2 backup runs ok"),
        (vec![run_of(1), run_of(3)], "[web1] 1 of 2 backup runs FAILED"),
        (vec![], "[web1] NO backup has run since 2026-11-21 03:00"),
    ] {
        assert_eq!(subject(told), wanted);
    }
}

#[test]
fn a_change_is_measured_against_the_last_copies() {
    for (raw_bytes, before, wanted) in [
        (100, Some(100), "±0 %"),
        (112, Some(100), "+12 %"),
        (1005, Some(1000), "+0.5 %"),
        (50, Some(100), "-50 %"),
        (100, Some(0), "from 0"),
        (100, None, ""),
    ] {
        let mut job = good_job("a", 0);
        job.targets[0].raw_bytes = Some(raw_bytes);
        job.targets[0].before =
            before.map(|raw_bytes| Before { raw_bytes, files: None, took: None });
        assert_eq!(change(&job), wanted, "{raw_bytes} after {before:?}");
    }
}

#[test]
fn plain_text_has_everything_in_its_order() {
    let mut told = run_of(3);
    let why = "connection refused".to_owned();
    told.late = Some(Late { why, may_have_arrived: true });
    let news = News { with_log: true, ..news_of(told) };
    let text = crate::notify::text::render(&View::of(&news));
    let order = [
        "web1: backup done in part: 1 of 3 jobs failed, 1 warning\n2026-11-21 03:00:00 +00:00: 5 copies of 3 jobs",
        "Note: the report of 11-21 03:00 comes late: connection refused; it may have arrived all the same",
        "\nErrors\n  shop-000: shop: 'offsite': offsite: could not put",
        "\nWarnings\n  shop-001: shop: raw size: 8.7 GiB",
        "\nJobs\n  JOB       RESULT   SIZE",
        "\n  shop-000  in part  1.0 GiB",
        "\n  shop-002  ok",
        "\nRemoved by rotation\n  shop-000: shop: 'local': db/daily/shop_2026-11-14.sql.zst: older",
        "\nLog\n  INFO [shop-000]",
    ];
    let mut rest = text.as_str();
    for wanted in order {
        let at =
            rest.find(wanted).unwrap_or_else(|| panic!("no {wanted:?} in its place in\n{text}"));
        rest = &rest[at + wanted.len()..];
    }
}
