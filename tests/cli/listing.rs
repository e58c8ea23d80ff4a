//! `list`, `show`, `find`.

use crate::cli::{config, id_of, job, local, two_sites};
use crate::support::bed::Bed;

/// Three days of backups on two storages, the second of which keeps one.
fn three_days() -> Bed {
    let storages = [local("store", "days: 3"), local("small", "days: 1")];
    let mut bed = two_sites().config(&config(&[job("sites", "$DIR/www/*", &storages)]));
    for day in 19..=21 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]")).run(["start"]);
    }
    bed
}

#[test]
fn a_listing_tells_every_copy_in_order() {
    let bed = three_days();
    let ran = bed.run(["list", "--target", "**/shop"]);
    let squeezed: Vec<String> = ran
        .out()
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let stored = squeezed[1].split("KiB ").nth(1).unwrap().split(" B").next().unwrap().to_owned();
    let line = |day: u8, storage: &str| {
        format!(
            "sites $DIR/www/shop 2026-11-{day} 03:00:00 daily {storage} 2 4.5 KiB {stored} B ok $RUN-2"
        )
    };
    let head = "JOB TARGET TIME LEVEL STORAGE FILES SIZE STORED RESULT ID".to_owned();
    let wanted = [head, line(19, "store"), line(20, "store"), line(21, "small"), line(21, "store")];
    assert_eq!(squeezed, wanted);
}

#[test]
fn a_listing_narrows_by_job_target_storage_and_moment() {
    let bed = three_days();
    let count = |args: &[&str]| {
        let listing = bed.run([&["list", "--json"], args].concat()).json();
        listing["backups"].as_array().unwrap().len()
    };
    assert_eq!(count(&[]), 8);
    assert_eq!(count(&["sites"]), 8);
    assert_eq!(count(&["databases"]), 0);
    assert_eq!(count(&["--target", "**/shop"]), 4);
    assert_eq!(count(&["--storage", "small"]), 2);
    assert_eq!(count(&["--at", "2026-11-20 03:00:00"]), 2);
    assert_eq!(count(&["--host", "web2"]), 0);
    bed.run(["list", "--at", "2026-11-18"]).exit(1).stderr_has("the oldest is of 2026-11-19");
}

#[test]
fn an_empty_storage_is_no_error_for_a_listing() {
    let bed = two_sites();
    bed.run(["list"]).stdout("no backups yet\n");
    assert!(!bed.path("store").exists() && !bed.path("state").exists());
}

#[test]
fn files_of_others_are_counted_not_shown() {
    let bed = three_days();
    let bed = bed.tree("store", &[("old/daily/site_2026-11-20.tar.gz", "2.x"), ("notes", "")]);
    bed.run(["list"]).stdout_has("2 other files lie there (not ours, or from 2.x)");
}

#[test]
fn a_storage_that_does_not_answer_is_told_and_the_other_is_listed() {
    let bed = three_days();
    std::fs::remove_dir_all(bed.path("small")).unwrap();
    std::fs::write(bed.path("small"), "").unwrap();
    let ran = bed.run(["list"]).exit(3).noisy();
    drop(ran.stdout_has("store").stdout_has("warning: small: "));
    std::fs::remove_dir_all(bed.path("store")).unwrap();
    std::fs::write(bed.path("store"), "").unwrap();
    bed.run(["list"]).exit(1).noisy();
}

#[test]
fn show_takes_the_beginning_of_an_id_when_it_is_the_only_one() {
    let bed = three_days();
    let id = id_of(&bed, "shop");
    let ran = bed.run(["show", &id]).stdout_has("target       $DIR/www/shop");
    drop(ran.stdout_has("storage      'small' $DIR/small").stdout_has("storage      'store'"));
    bed.run(["show", &id[..id.len() - 2]]).exit(2).stderr_has("write more of it");
    bed.run(["show", "nothing"]).exit(1).stderr_has("no backup has the id \"nothing\"");
    let shown = bed.run(["show", &id, "--json", "--storage", "store"]).json();
    assert_eq!(shown[0]["manifest"]["server_name"], "web1");
    assert_eq!(shown.as_array().unwrap().len(), 1);
}

#[test]
fn find_looks_into_all_backups() {
    let bed = three_days();
    let found = |glob: &str| {
        let found = bed.run(["find", "--json", glob]).json();
        let files = found["files"].as_array().unwrap().clone();
        files.into_iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut paths = found("*.php");
    assert_eq!(paths.len(), 6, "two files on three days");
    paths.sort();
    paths.dedup();
    assert!(paths[0].ends_with("www/blog/index.php") && paths[1].ends_with("www/shop/index.php"));
    assert_eq!((paths.len(), found("**/img/*.png").len()), (2, 3));
    bed.run(["find", "*.jpg"]).exit(1).stdout("nothing matches in any backup\n");
}
