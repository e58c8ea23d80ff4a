//! Runs that are killed or told to stop at any moment: what is left is whole or is cleared away.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::{config, job, local};
use crate::support::bed::Bed;
use crate::support::world::{sh, until};

/// One site of so many MiB that do not compress, on two storages, one copy each kept.
fn site(mib: u32) -> Bed {
    let storages = [local("store", "days: 1"), local("zweit", "days: 1")];
    let bed = Bed::new().config(&config(&[job("site", "$DIR/www", &storages)]));
    sh(
        &bed,
        &format!("mkdir www; head -c {mib}M /dev/urandom > www/noise; seq 99999 > www/numbers"),
    );
    bed
}

fn begin(bed: &Bed, verb: &[&str]) -> Child {
    let mut command = bed.command(verb);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn tomorrow(bed: &mut Bed, day: &mut u32) {
    *day += 1;
    let date = jiff::civil::date(2026, 11, 1) + jiff::Span::new().days(*day);
    bed.now(&format!("{date}T03:00:00+00:00[UTC]"));
}

/// Expects that everything that is listed is whole.
#[track_caller]
fn only_whole_copies(bed: &Bed, at_least: usize) {
    let checked = bed.run(["verify", "--full", "--json"]).json();
    let copies = checked["copies"].as_array().unwrap();
    assert!(copies.len() >= at_least, "{checked:#}");
    assert!(copies.iter().all(|copy| copy["problem"].is_null()), "{checked:#}");
}

/// Expects that nothing lies on a storage but `copies` whole copies.
#[track_caller]
fn nothing_else(bed: &Bed, storage: &str, copies: usize) {
    let found = bed.files(storage);
    assert_eq!(found.len(), 1 + 3 * copies, "{found:#?}");
    let manifests = found.iter().filter(|name| name.ends_with(".manifest.json")).count();
    assert_eq!(manifests, copies, "{found:#?}");
    let journals = bed.files("state/journal");
    assert!(journals.is_empty(), "{journals:?}");
}

/// Kills a run at each of `kills` moments, and looks at what is left and at the next run.
fn killed_at_any_moment(mib: u32, kills: u32) {
    let (mut bed, mut day) = (site(mib), 0);
    tomorrow(&mut bed, &mut day);
    bed.run(["start"]);
    tomorrow(&mut bed, &mut day);
    let begun = Instant::now();
    bed.run(["start"]);
    let whole_run = begun.elapsed();
    let mut died = 0;
    for kill in 0..kills {
        tomorrow(&mut bed, &mut day);
        let mut run = begin(&bed, &["start"]);
        std::thread::sleep(whole_run * kill * 11 / (kills * 10));
        run.kill().unwrap();
        died += u32::from(run.wait().unwrap().signal() == Some(9));
        only_whole_copies(&bed, 2);
        tomorrow(&mut bed, &mut day);
        drop(bed.run(["start"]).noisy());
        for storage in ["store", "zweit"] {
            nothing_else(&bed, storage, 1);
        }
    }
    assert!(died > kills / 4, "only {died} of {kills} runs were killed before their end");
    bed.run(["restore", "--to", "out", "--strip"]);
    assert_eq!(sh(&bed, "diff -r out www"), "");
}

#[test]
fn a_run_that_is_killed_costs_no_copy_and_the_next_one_clears_up() {
    killed_at_any_moment(12, 10);
}

#[test]
#[ignore = "takes minutes: the same with 40 moments of a run over 300 MiB"]
fn a_long_run_that_is_killed_costs_no_copy_and_the_next_one_clears_up() {
    killed_at_any_moment(300, 40);
}

#[test]
fn a_prune_that_is_killed_leaves_only_whole_copies() {
    let with = |store: &str| config(&[job("sites", "$DIR/www/*", &[local("store", store)])]);
    let (mut bed, mut day) = (Bed::new().config(&with("days: 30")), 0);
    for site in 0..20 {
        bed = bed.tree(&format!("www/site{site}"), &[("index.php", "<?php")]);
    }
    let fill = |bed: &mut Bed, day: &mut u32| {
        for _ in 0..3 {
            tomorrow(bed, day);
            drop(bed.run(["start"]).noisy());
        }
    };
    fill(&mut bed, &mut day);
    bed = bed.config(&with("days: 1"));
    let begun = Instant::now();
    bed.run(["prune"]).stdout_has("40 copies removed");
    let whole_run = begun.elapsed();
    for kill in 2..=6 {
        bed = bed.config(&with("days: 30"));
        fill(&mut bed, &mut day);
        bed = bed.config(&with("days: 1"));
        let mut run = begin(&bed, &["prune"]);
        std::thread::sleep(whole_run * kill / 7);
        run.kill().unwrap();
        run.wait().unwrap();
        only_whole_copies(&bed, 20);
        drop(bed.run(["sweep"]).noisy());
        drop(bed.run(["prune"]).noisy());
        nothing_else(&bed, "store", 20);
    }
}

#[test]
fn a_look_ahead_tells_what_a_sweep_after_a_kill_removes() {
    let bed = site(8);
    let text = fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let bed = bed.config(&text.replace("type:", "limits: {net: 1MiB}, type:"));
    let mut run = begin(&bed, &["start"]);
    until("a part and its journal", || has_partial(&bed) && !bed.files("state/journal").is_empty());
    run.kill().unwrap();
    run.wait().unwrap();
    let before = (bed.files("store"), bed.files("state/journal"));
    let told = bed.run(["sweep", "-n"]).stdout_has("'store': would remove www/");
    assert!(!told.out().contains("nothing is left over"), "{}", told.out());
    assert!(!told.out().contains("7 days"), "{}", told.out());
    let json = bed.run(["sweep", "-n", "--json"]).json();
    assert_eq!((bed.files("store"), bed.files("state/journal")), before);
    let named = json["of_dead_runs"].as_array().unwrap().len();
    assert_eq!((told.out().lines().count(), &json["young"]), (named, &serde_json::json!([])));
    let swept = bed.run(["sweep", "--json", "--yes"]).json();
    assert_eq!(swept["of_dead_runs"], json["of_dead_runs"]);
    assert!(!has_partial(&bed) && bed.files("state/journal").is_empty());
    bed.run(["sweep", "-n"]).stdout("nothing is left over\n");
}

#[test]
fn a_signal_in_the_middle_ends_the_run_without_leftovers() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut bed = site(8);
        bed.run(["start"]);
        let text = fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
        bed = bed.config(&text.replace("type:", "limits: {net: 1MiB}, type:"));
        bed.now("2026-11-22T03:00:00+00:00[UTC]");
        let mut run = begin(&bed, &["start"]);
        until("an upload that goes on", || has_partial(&bed));
        kill_process(Pid::from_child(&run), signal).unwrap();
        let begun = Instant::now();
        assert_eq!(run.wait().unwrap().code(), Some(130));
        assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
        nothing_else(&bed, "store", 1);
        nothing_else(&bed, "zweit", 1);
        bed = bed.config(&text);
        only_whole_copies(&bed, 2);
        let log = fs::read_to_string(bed.path("log/nxs.log")).unwrap();
        assert!(log.contains("stopping"), "{log}");
    }
}

#[test]
fn a_second_signal_ends_it_at_once_and_the_next_run_clears_up() {
    let mut bed = site(8);
    let text = fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let slow = text.replace("type:", "limits: {net: 1MiB}, type:");
    bed = bed.config(&slow);
    let mut run = begin(&bed, &["start"]);
    until("an upload that goes on", || has_partial(&bed));
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    kill_process(Pid::from_child(&run), Signal::TERM).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    bed = bed.config(&text);
    drop(bed.run(["start"]).noisy());
    nothing_else(&bed, "store", 1);
    nothing_else(&bed, "zweit", 1);
}

#[test]
fn a_restore_can_be_stopped() {
    let bed = site(8);
    bed.run(["start"]);
    let text = fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let bed = bed.config(&text.replace("type:", "limits: {net: 1MiB}, type:"));
    let mut run = begin(&bed, &["restore", "--to", "out"]);
    until("a restore that goes on", || bed.path("out").exists());
    kill_process(Pid::from_child(&run), Signal::TERM).unwrap();
    let begun = Instant::now();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn a_prune_can_be_stopped() {
    let with = |store: &str| config(&[job("sites", "$DIR/www/*", &[local("store", store)])]);
    let (mut bed, mut day) = (Bed::new().config(&with("days: 30")), 0);
    for site in 0..40 {
        bed = bed.tree(&format!("www/site{site}"), &[("index.php", "<?php")]);
    }
    for _ in 0..3 {
        tomorrow(&mut bed, &mut day);
        drop(bed.run(["start"]).noisy());
    }
    bed = bed.config(&with("days: 1"));
    let before = bed.files("store").len();
    let mut run = begin(&bed, &["prune"]);
    until("a removal that goes on", || bed.files("store").len() < before);
    kill_process(Pid::from_child(&run), Signal::TERM).unwrap();
    let code = run.wait().unwrap().code();
    let left = bed.files("store").len();
    assert_eq!(code, Some(if left == 1 + 3 * 40 { 0 } else { 130 }), "{left}");
    assert!(bed.files("state/journal").is_empty());
    only_whole_copies(&bed, 40);
}

#[test]
fn a_run_that_waits_for_the_lock_can_be_stopped() {
    let mut bed = site(8);
    let text = fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let text = text.replace("state_dir:", "lock_wait: 1h, state_dir:");
    bed = bed.config(&text.replace("type:", "limits: {net: 1MiB}, type:"));
    let mut first = begin(&bed, &["start"]);
    until("an upload that goes on", || has_partial(&bed));
    let mut second = begin(&bed, &["start"]);
    let log = || fs::read_to_string(bed.path("log/nxs.log")).unwrap();
    until("a second run that waits", || log().contains("waiting"));
    kill_process(Pid::from_child(&second), Signal::TERM).unwrap();
    assert_eq!(second.wait().unwrap().code(), Some(130));
    first.kill().unwrap();
    first.wait().unwrap();
}

/// Tells whether a copy is being stored; the mark of the folder's owner is none.
fn has_partial(bed: &Bed) -> bool {
    bed.files("store").iter().any(|name| name.contains("/.nxs-partial"))
}
