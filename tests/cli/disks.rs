//! Disks that are full, locked, in the way or not to be read: what a run says, and what it leaves.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nxs_backup::base::count;

use crate::cli::{config, job, local, two_sites};
use crate::support::bed::Bed;
use crate::support::world::{Disk, everything, open_to_all, powerless, sh};

/// One site of `bytes` that do not compress, on the storages given.
fn noise(bytes: usize, storages: &[String]) -> Bed {
    let bed = Bed::new().config(&config(&[job("site", "$DIR/www", storages)]));
    fs::create_dir(bed.path("www")).unwrap();
    sh(&bed, &format!("head -c {bytes} /dev/urandom > www/noise"));
    bed
}

/// The files on the storage; a folder that was written to and cleared has another time.
fn files(bed: &Bed) -> Vec<String> {
    let all = everything(&bed.path("store"));
    all.lines().filter(|line| line.starts_with('f')).map(str::to_owned).collect()
}

/// Expects what every failure must leave: whole older copies, and a good next run.
fn is_clean(bed: &mut Bed, copies: usize) {
    bed.run(["verify", "--full"])
        .stdout(&format!("{} looked at, {copies} whole, 0 not\n", count(copies, "copy", "copies")));
    assert!(bed.files("state/journal").is_empty(), "{:?}", bed.files("state/journal"));
    let partial = bed.files("store").into_iter().find(|name| name.contains(".nxs-partial"));
    assert_eq!(partial, None);
    let manifests = bed.files("store").into_iter().filter(|name| name.ends_with(".manifest.json"));
    assert_eq!(bed.files("store").len(), 1 + 3 * manifests.count(), "{:?}", bed.files("store"));
}

#[test]
fn a_target_that_matches_nothing_is_said_and_keeps_what_is_there() {
    let mut bed = two_sites();
    bed.run(["start"]);
    fs::remove_dir_all(bed.path("www")).unwrap();
    bed.now("2026-11-22T03:00:00+00:00[UTC]");
    let ran = bed.run(["start"]).noisy();
    let said = ran.out().to_owned() + ran.err();
    assert!(said.contains("$DIR/www/*"), "{said}");
    assert_ne!(ran.code(), Some(0), "{said}");
    assert_eq!(bed.run(["list", "--json"]).json()["backups"].as_array().unwrap().len(), 2);
}

#[test]
fn a_folder_that_may_not_be_read_makes_the_copy_partial() {
    let bed = two_sites().tree("www/blog/private", &[("key", "secret")]).tree("store", &[]);
    open_to_all(&bed, &["store", "tmp", "home"]);
    let bed = bed.tree("state", &[]).tree("log", &[]);
    open_to_all(&bed, &["state", "log"]);
    fs::set_permissions(bed.path("www/blog/private"), fs::Permissions::from_mode(0o000)).unwrap();
    let ran = bed.finish(powerless(&bed, ["start"])).exit(3).noisy();
    let ran = ran.stdout_has("daily, partial").stdout_has("could not be read");
    assert!(ran.out().contains("www/blog/private"), "{}", ran.out());
    drop(ran);
    let listed = bed.run(["list", "--json"]).json();
    let results: Vec<_> =
        listed["backups"].as_array().unwrap().iter().map(|row| row["result"].clone()).collect();
    assert_eq!(results, ["partial", "ok"]);
    fs::set_permissions(bed.path("www/blog/private"), fs::Permissions::from_mode(0o755)).unwrap();
    let ran = bed.run(["restore", "--to", "out", "--target", "**/blog", "--strip"]).noisy();
    drop(ran.stderr_has("could not be read when it was made"));
}

#[test]
fn a_target_that_may_not_be_read_at_all_is_no_backup() {
    let bed = two_sites().tree("store", &[]).tree("state", &[]).tree("log", &[]);
    open_to_all(&bed, &["store", "state", "log", "tmp", "home"]);
    fs::set_permissions(bed.path("www/blog"), fs::Permissions::from_mode(0o000)).unwrap();
    let ran = bed.finish(powerless(&bed, ["start"])).exit(3).noisy();
    drop(ran.stdout_has("www/blog"));
    fs::set_permissions(bed.path("www/blog"), fs::Permissions::from_mode(0o755)).unwrap();
    bed.run(["list"]).stdout_has("www/shop");
}

#[test]
fn without_the_right_to_give_files_away_their_content_comes_back() {
    let bed = two_sites().tree("mine", &[]);
    bed.run(["start"]);
    fs::remove_dir_all(bed.path("state")).unwrap();
    open_to_all(&bed, &["mine", "tmp", "home"]);
    sh(&bed, "chmod -R a+rX store log");
    let args = ["restore", "--to", bed.path("mine/out").to_str().unwrap(), "--target", "**/blog"]
        .map(str::to_owned);
    let ran = bed.finish(powerless(&bed, args)).noisy();
    drop(ran.stdout_has("$DIR/www/blog restored from 'store'"));
    assert_eq!(sh(&bed, "diff -r mine/out/$DIR/www/blog www/blog"), "");
}

#[test]
fn a_storage_that_may_not_be_written_is_named() {
    let bed = two_sites().tree("store", &[]).tree("state", &[]).tree("log", &[]);
    open_to_all(&bed, &["state", "log", "tmp", "home"]);
    fs::set_permissions(bed.path("store"), fs::Permissions::from_mode(0o555)).unwrap();
    let ran = bed.finish(powerless(&bed, ["start"])).exit(1).noisy();
    drop(ran.stdout_has("'store': ").stdout_has("ermission denied").stdout_has("FAILED: 0 copies"));
    assert!(bed.files("store").is_empty() && bed.files("state/journal").is_empty());
}

#[test]
fn a_full_disk_keeps_the_old_copy_and_names_the_guard() {
    let mut bed = noise(600_000, &[local("store", "days: 1")]);
    let Some(_disk) = Disk::mount(&bed, "store", "1m") else { return };
    bed.run(["start"]);
    let before = files(&bed);
    bed.now("2026-11-22T03:00:00+00:00[UTC]");
    let ran = bed.run(["start"]).exit(1).noisy();
    let ran = ran.stdout_has("No space left on device").stdout_has("rotation did not free more: ");
    drop(ran.stdout_has("FAILED: 0 copies stored, 0 old ones removed"));
    assert_eq!(files(&bed), before);
    is_clean(&mut bed, 1);
    fs::write(bed.path("www/noise"), "little").unwrap();
    bed.run(["start"]).stderr_has("less than half as large");
}

#[test]
fn a_full_disk_without_a_copy_gets_none_and_the_other_storage_has_it() {
    let bed = noise(900_000, &[local("store", "days: 1"), local("large", "days: 1")]);
    let Some(disk) = Disk::mount(&bed, "store", "600k") else { return };
    let ran = bed.run(["start"]).exit(3).noisy();
    drop(ran.stdout_has("'store': ").stdout_has("No space left on device"));
    assert_eq!(bed.files("store"), [".nxs-backup.json"]);
    bed.run(["verify", "--full"]).stdout("1 copy looked at, 1 whole, 0 not\n");
    drop(disk);
    bed.run(["start"]);
}

#[test]
fn with_rotation_before_a_disk_that_holds_two_copies_is_enough_for_two() {
    let mut bed = noise(400_000, &[local("store", "days: 2")]);
    let Some(_disk) = Disk::mount(&bed, "store", "1200k") else { return };
    for day in 17..=21 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]")).run(["start"]);
    }
    is_clean(&mut bed, 2);
}

#[test]
fn a_locked_disk_is_named_and_nothing_is_lost() {
    let mut bed = two_sites();
    let Some(disk) = Disk::mount(&bed, "store", "1m") else { return };
    bed.run(["start"]);
    disk.lock();
    let before = files(&bed);
    bed.now("2026-11-22T03:00:00+00:00[UTC]");
    let ran = bed.run(["start"]).exit(1).noisy();
    drop(ran.stdout_has("'store': ").stdout_has("Read-only file system"));
    assert_eq!(files(&bed), before);
    bed.run(["prune", "--orphans"]);
    disk.unlock();
    bed.run(["start"]);
    is_clean(&mut bed, 4);
}

#[test]
fn a_storage_folder_that_is_a_file_is_named_and_left() {
    let bed = two_sites().file("store", "precious");
    let ran = bed.run(["start"]).exit(1).noisy();
    drop(ran.stdout_has("'store': ").stdout_has("Not a directory"));
    assert_eq!(fs::read_to_string(bed.path("store")).unwrap(), "precious");
    let ran = bed.run(["list"]).exit(1).noisy();
    drop(ran.stdout_has("store"));
    bed.run(["verify"]).exit(1).noisy();
    bed.run(["prune"]).exit(1).noisy();
    fs::remove_file(bed.path("store")).unwrap();
    bed.run(["start"]);
}

#[test]
fn a_storage_that_must_be_mounted_does_not_fill_the_root_disk() {
    let storage = local("store", "days: 1").replace("store: {", "must_be_mounted: yes, store: {");
    let bed = noise(1000, &[storage]);
    if Disk::mount(&bed, "store", "1m").is_none() {
        return;
    }
    let ran = bed.run(["plan"]).noisy();
    let first = ran.code();
    let ran = bed.run(["start"]).noisy();
    let said = ran.out().to_owned();
    // The bed's own folder may itself lie on a disk that is mounted.
    let mounted = sh(&bed, "stat -c %m .").trim() != "/";
    assert_eq!(ran.code(), Some(i32::from(!mounted)), "{said}");
    assert_eq!(first, Some(i32::from(!mounted)), "{said}");
}

#[test]
fn a_state_folder_that_cannot_be_written_stops_the_run_before_it_begins() {
    let bed = two_sites().file("state", "a file");
    let ran = bed.run(["start"]).exit(1).noisy();
    drop(ran.stderr_has("`main.state_dir` must be a folder that this user may write."));
    assert!(!bed.path("store").exists());
    bed.run(["list"]).stdout("no backups yet\n");
}

#[test]
fn a_log_that_cannot_be_written_is_trouble_but_the_backup_is_made() {
    let bed = two_sites().file("log", "a file");
    let ran = bed.run(["start"]).exit(3).noisy();
    drop(ran.stdout_has("nxs.log: cannot be written as log file").stdout_has("2 copies stored"));
    bed.run(["verify", "--full"]).stdout_has("2 copies looked at, 2 whole, 0 not").noisy();
}

#[test]
fn a_log_on_a_full_disk_is_trouble_but_the_backup_is_made() {
    let bed = two_sites();
    let text = fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let log = bed.path("log/nxs.log");
    let bed = bed.config(&text.replace(log.to_str().unwrap(), "/dev/full"));
    let ran = bed.run(["start"]).exit(3).noisy();
    drop(ran.stdout_has("/dev/full: cannot be written as log file").stdout_has("2 copies stored"));
}

#[test]
fn a_state_folder_on_a_full_disk_begins_nothing_that_it_cannot_note() {
    let bed = two_sites();
    let Some(_disk) = Disk::mount(&bed, "state", "16k") else { return };
    sh(&bed, "head -c 1M /dev/zero > state/ballast || true");
    let ran = bed.run(["start"]).exit(1).noisy();
    let said = ran.out().to_owned() + ran.err();
    assert!(said.contains("No space left on device"), "{said}");
    let objects = bed.files("store");
    assert!(objects.iter().all(|name| name == ".nxs-backup.json"), "{objects:?}");
    drop(ran);
    fs::remove_file(bed.path("state/ballast")).unwrap();
    drop(bed.run(["start"]).noisy());
}

#[test]
fn a_pin_that_cannot_be_written_is_no_success() {
    let bed = two_sites();
    let Some(disk) = Disk::mount(&bed, "store", "1m") else { return };
    bed.run(["start"]);
    let id = crate::cli::id_of(&bed, "blog");
    disk.lock();
    bed.run(["pin", &id]).exit(1).stdout_has("not pinned: ").noisy();
    disk.unlock();
    bed.run(["verify", "--full"]).stdout("2 copies looked at, 2 whole, 0 not\n");
}

#[test]
fn a_marker_that_cannot_be_read_stops_the_storage_and_is_named() {
    let mut bed = two_sites();
    bed.run(["start"]);
    let marker = fs::read(bed.path("store/.nxs-backup.json")).unwrap();
    for bad in ["", "{", "[]", "{\"format\": 1}"] {
        fs::write(bed.path("store/.nxs-backup.json"), bad).unwrap();
        let ran = bed.run(["start"]).exit(1).noisy();
        drop(ran.stdout_has(".nxs-backup.json"));
    }
    bed.run(["verify", "--full"]).stdout("2 copies looked at, 2 whole, 0 not\n");
    fs::write(bed.path("store/.nxs-backup.json"), marker).unwrap();
    bed.now("2026-11-22T03:00:00+00:00[UTC]").run(["start"]);
    is_clean(&mut bed, 4);
}

#[test]
fn a_missing_folder_for_temporary_files_is_made_or_named() {
    let jobs = job("sites", "$DIR/www/*", &[local("store", "days: 3")]);
    let with = |tmp: &str| jobs.replace("type:", &format!("tmp_dir: {tmp}, type:"));
    let bed = two_sites().config(&config(&[with("$DIR/new/tmp")]));
    bed.run(["start"]);
    assert!(bed.files("new").is_empty());
    let bed = two_sites().config(&config(&[with("$DIR/file/tmp")])).file("file", "");
    let ran = bed.run(["start"]).exit(1).noisy();
    drop(ran.stdout_has("$DIR/file/tmp: no temporary file can be made there"));
    assert_eq!(bed.files("store"), [".nxs-backup.json"]);
}

#[test]
fn a_target_that_is_a_link_to_nowhere_is_a_failure() {
    let bed = Bed::new().config(&config(&[job("site", "$DIR/www", &[local("store", "days: 3")])]));
    std::os::unix::fs::symlink(bed.path("unmounted"), bed.path("www")).unwrap();
    drop(bed.run(["start"]).exit(1).stdout_has("is a link that leads nowhere").noisy());
}
