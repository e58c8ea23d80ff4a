//! `start` and `plan`: which jobs, what they say, and what looking ahead leaves untouched.

use crate::cli::{config, job, local, two_sites};
use crate::support::bed::Bed;
use crate::support::world::{Disk, everything};

#[test]
fn a_run_that_goes_well_is_silent_and_leaves_three_objects_a_target() {
    let bed = two_sites();
    bed.run(["start"]).stdout("");
    let name = "daily/blog_2026-11-21_03-00-00.tar.zst";
    let found = bed.files("store/blog");
    let wanted = ["", ".index.zst", ".manifest.json"].map(|end| format!("{name}{end}"));
    assert_eq!(found, wanted);
    assert_eq!(bed.files("store").len(), 7);
    assert!(bed.files("state/journal").is_empty());
}

#[test]
fn the_table_tells_every_target_and_storage() {
    let ran = two_sites().run(["start", "-v"]).noisy();
    let out = ran.out().replace(|ch: char| ch.is_ascii_digit(), "0");
    let line = "sites  $DIR/www/blog  store    daily   0.0 KiB  000 B   0.0 s\n";
    assert!(out.contains(line), "{out}");
    assert!(ran.out().ends_with("all done: 2 copies stored, 0 old ones removed\n"), "{out}");
}

#[test]
fn words_choose_the_jobs() {
    let storages = [local("store", "days: 3")];
    let jobs = [job("blog", "$DIR/www/blog", &storages), job("shop", "$DIR/www/shop", &storages)];
    let stored = |words: &[&str]| {
        let bed = two_sites().config(&config(&jobs));
        bed.run([&["start"], words].concat());
        let manifests = bed.files("store").into_iter().filter(|name| name.ends_with(".json"));
        manifests
            .filter_map(|name| name.split_once('/').map(|(part, _)| part.to_owned()))
            .collect::<Vec<_>>()
    };
    let both = vec!["blog".to_owned(), "shop".to_owned()];
    assert_eq!(stored(&[]), both);
    assert_eq!(stored(&["all"]), both);
    assert_eq!(stored(&["files"]), both);
    assert_eq!(stored(&["shop"]), ["shop"]);
    assert_eq!(stored(&["shop", "blog", "shop"]), both);
}

#[test]
fn a_run_of_nothing_is_no_success() {
    let storages = [local("store", "days: 3")];
    let bed = two_sites().config(&config(&[job("blog", "$DIR/www/blog", &storages)]));
    drop(bed.run(["start", "databases"]).exit(2).stderr_has("nothing would be backed up"));
    let bed = bed.config(
        "main: {server_name: web1, state_dir: $DIR/state}\njobs: !include [unmounted/*.conf]\n",
    );
    drop(bed.run(["start"]).exit(2).stderr_has("do the patterns of `jobs: !include"));
}

#[test]
fn a_job_that_is_not_there_stops_all_and_the_known_ones_are_named() {
    let bed = two_sites();
    let text = "error: there is no job \"site\"; the config has \"sites\" and the groups files, databases, external, all\n";
    bed.run(["start", "sites", "site"]).exit(2).stderr(text);
    assert!(!bed.path("store").exists() && !bed.path("state").exists());
}

#[test]
fn json_tells_what_was_stored() {
    let report = two_sites().run(["start", "--json"]).json();
    let target = &report["jobs"][0]["targets"][0];
    assert_eq!(target["target"], "$DIR/www/blog");
    let stored = &target["places"][0]["outcome"]["stored"];
    assert_eq!(stored["key"], "blog/daily/blog_2026-11-21_03-00-00.tar.zst");
}

#[test]
fn looking_ahead_tells_what_would_be_stored() {
    let bed = two_sites();
    let wanted = "\
sites (desc_files)
  $DIR/www/blog
    'store' $DIR/store: daily copy blog/daily/blog_2026-11-21_03-00-00.tar.zst
      then there is 1 copy
  $DIR/www/shop
    'store' $DIR/store: daily copy shop/daily/shop_2026-11-21_03-00-00.tar.zst
      then there is 1 copy
";
    bed.run(["plan"]).stdout(wanted);
    bed.run(["start", "--dry-run"]).stdout(wanted);
    let before = bed.run(["plan", "--json"]).json();
    assert_eq!(before[0]["targets"][1]["target"], "$DIR/www/shop");
    assert!(
        !bed.path("state").exists() && !bed.path("store").exists() && !bed.path("log").exists()
    );
}

#[test]
fn looking_ahead_touches_nothing() {
    let mut bed = two_sites();
    for day in 18..=21 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]")).run(["start"]);
    }
    bed.now("2026-11-22T03:00:00+00:00[UTC]");
    std::fs::remove_dir_all(bed.path("state")).unwrap();
    std::fs::remove_dir_all(bed.path("log")).unwrap();
    let before = everything(&bed.path(""));
    for verb in [&["plan"][..], &["start", "-n"], &["prune", "-n"], &["sweep", "-n"]] {
        bed.run(verb.iter());
        assert_eq!(everything(&bed.path("")), before, "{verb:?}");
    }
    bed.run(["start", "-n"]).stdout_has("would remove blog/daily/blog_2026-11-19_03-00-00.tar.zst");
}

#[test]
fn looking_ahead_warns_of_nothing_that_will_not_happen() {
    let mut bed =
        two_sites().config(&config(&[job("blog", "$DIR/www/blog", &[local("store", "days: 1")])]));
    bed.now("2026-11-20T03:00:00+00:00[UTC]").run(["start"]);
    bed.now("2026-11-21T03:00:00+00:00[UTC]");
    let ran =
        bed.run(["plan"]).stdout_has("would remove blog/daily/blog_2026-11-20_03-00-00.tar.zst");
    let ran = ran.stdout_has("then there is 1 copy");
    assert!(!ran.out().contains("warning"), "{}", ran.out());
}

#[test]
fn looking_ahead_needs_no_right_to_write() {
    let bed = two_sites();
    let Some(disk) = Disk::mount(&bed, "store", "1m") else { return };
    bed.run(["start"]);
    disk.lock();
    std::fs::remove_dir_all(bed.path("state")).unwrap();
    bed.run(["plan"]).stdout_has("daily copy blog/daily/blog_2026-11-21_03-00-00-2.tar.zst");
    bed.run(["prune", "-n"]).stdout_has("0 copies would be removed");
    assert!(!bed.path("state").exists());
}

#[test]
fn a_job_that_is_switched_off_says_so() {
    let jobs = [job("sites", "$DIR/www/*", &[local("store", "days: 3")])
        .replace("type:", "enable: no, type:")];
    let bed = two_sites().config(&config(&jobs));
    bed.run(["start"]).stdout("");
    bed.run(["plan"]).stdout_has("`enable: no`");
    assert!(!bed.path("store").exists());
}

#[test]
fn without_a_log_file_the_run_is_told_on_stderr() {
    let text = config(&[job("sites", "$DIR/www/blog", &[local("store", "days: 3")])]);
    let bed = two_sites().config(&text.replace(", log_file: $DIR/log/nxs.log", ""));
    let ran = bed.run(["start"]).stderr_has("INFO [sites] [").stderr_has("]: finished\n");
    drop(ran.stdout_has("all done: 1 copy stored"));
    let quiet: Bed = bed;
    quiet.run(["start", "-q"]).stdout("").stderr("");
}
