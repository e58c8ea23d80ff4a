//! `restore`: what is chosen, where it goes, and what is refused.

use std::fs;

use crate::cli::{config, id_of, job, local, two_sites};
use crate::support::bed::Bed;
use crate::support::world::{Disk, sh};

/// Two days of backups; the blog's page changed in between.
fn two_days() -> Bed {
    let storages = [local("store", "days: 5"), local("other", "days: 5")];
    let mut bed = two_sites().config(&config(&[job("sites", "$DIR/www/*", &storages)]));
    bed.now("2026-11-20T03:00:00+00:00[UTC]").run(["start"]);
    fs::write(bed.path("www/blog/index.php"), "second day").unwrap();
    bed.now("2026-11-21T03:00:00+00:00[UTC]").run(["start"]);
    bed
}

/// Where `path` of the bed comes back below `to`.
fn inside(bed: &Bed, to: &str, path: &str) -> std::path::PathBuf {
    let member = bed.path(path);
    bed.path(to).join(member.strip_prefix("/").unwrap())
}

#[test]
fn everything_comes_back_each_artefact_in_its_own_folder() {
    let bed = two_days();
    for (to, words) in [("a", &[][..]), ("b", &["all"]), ("c", &["files"]), ("d", &["sites"])] {
        bed.run([&["restore", "--to", to], words].concat())
            .stdout_has("$DIR/www/blog restored from 'store'")
            .noisy();
        let page =
            fs::read_to_string(inside(&bed, &format!("{to}/sites/blog"), "www/blog/index.php"));
        assert_eq!(page.unwrap(), "second day");
        assert!(inside(&bed, &format!("{to}/sites/shop"), "www/shop/index.php").exists());
    }
}

#[test]
fn a_single_artefact_goes_into_the_folder_itself() {
    let bed = two_days();
    bed.run(["restore", "--to", "out", "--target", "**/blog"]);
    assert!(inside(&bed, "out", "www/blog/img/a.png").exists());
    bed.run(["restore", "--to", "out2", "--target", "**/blog", "--strip"]);
    assert_eq!(bed.files("out2"), ["img/a.png", "index.php"]);
}

#[test]
fn the_moment_is_inclusive() {
    let bed = two_days();
    let page = |to: &str, at: &str| {
        bed.run(["restore", "--to", to, "--target", "**/blog", "--strip", "--at", at]);
        fs::read_to_string(bed.path(to).join("index.php")).unwrap()
    };
    assert_eq!(page("a", "2026-11-21 03:00:00"), "second day");
    assert_eq!(page("b", "2026-11-21 02:59:59"), "<?php blog");
    assert_eq!(page("c", "2026-11-20T03:00:00Z"), "<?php blog");
    assert_eq!(page("d", "yesterday"), "<?php blog");
    let ran = bed.run(["restore", "--to", "e", "--at", "2026-11-20 02:59:59"]).exit(1);
    drop(ran.stderr_has(
        "no backup is as old as 2026-11-20 02:59:59; the oldest is of 2026-11-20 03:00:00",
    ));
    assert!(!bed.path("e").exists());
}

#[test]
fn a_moment_pasted_from_the_list_takes_in_the_copy_of_that_second() {
    let mut bed = two_sites();
    bed.now("2026-11-11T03:00:00.2+00:00[UTC]").run(["start"]);
    bed.now("2026-11-12T03:00:00.2+00:00[UTC]").run(["start"]).noisy();
    bed.run(["list"]).stdout_has("2026-11-11 03:00:00");
    for (to, at) in [
        ("a", "2026-11-11 03:00:00"),
        ("b", "2026-11-11 03:00"),
        ("c", "2026-11-11"),
        ("d", "2026-11-11T03:00:00.2Z"),
    ] {
        let ran = bed.run(["restore", "--to", to, "--target", "**/blog", "--at", at]);
        drop(ran.stdout_has("the backup of 2026-11-11 03:00:00"));
    }
    bed.run(["restore", "--to", "e", "--at", "2026-11-11T03:00:00.199Z"]).exit(1).noisy();
}

#[test]
fn an_id_names_one_backup_of_any_day() {
    let mut bed = two_sites();
    bed.now("2026-11-20T03:00:00+00:00[UTC]").run(["start"]);
    let id = id_of(&bed, "blog");
    fs::write(bed.path("www/blog/index.php"), "second day").unwrap();
    bed.now("2026-11-21T03:00:00+00:00[UTC]").run(["start"]);
    bed.run(["restore", "--to", "out", "--id", &id, "--strip"]);
    assert_eq!(fs::read_to_string(bed.path("out/index.php")).unwrap(), "<?php blog");
    bed.run(["restore", "--to", "x", "--id", "zzz"]).exit(1).stderr_has("no backup has the id");
    bed.run(["restore", "--to", "x", "--id", &id, "--at", "today"]).exit(2).noisy();
}

#[test]
fn parts_of_a_tree_come_back() {
    let bed = two_days();
    let part = |to: &str, glob: &str| {
        bed.run(["restore", "--to", to, "--target", "**/blog", "--strip", "--path", glob]);
        bed.files(to)
    };
    assert_eq!(part("a", "**/a.png"), ["img/a.png"]);
    assert_eq!(part("b", "**/img"), ["img/a.png"]);
    assert_eq!(part("c", "**/*.php"), ["index.php"]);
    let member = bed.path("www/blog/index.php").to_str().unwrap().to_owned();
    assert_eq!(part("d", &member), ["index.php"]);
}

#[test]
fn a_path_that_only_one_target_has_comes_back_without_complaint() {
    let bed = two_days();
    let ran = bed.run(["restore", "--to", "out", "--path", "**/a.png"]);
    drop(ran.stdout_has("$DIR/www/blog restored"));
    let files = bed.files("out");
    assert!(files.len() == 1 && files[0].ends_with("blog/img/a.png"), "{files:?}");
}

#[test]
fn a_path_that_nothing_has_is_said_once() {
    let bed = two_days();
    let ran = bed.run(["restore", "--to", "out", "--path", "**/a.jpg"]).exit(1);
    drop(ran.stderr_has("nothing in these backups matches **/a.jpg"));
    assert!(bed.files("out").is_empty());
}

#[test]
fn one_of_several_paths_that_nothing_has_is_said() {
    let bed = two_days();
    let some = ["restore", "--to", "out", "--path", "**/a.png", "--path", "**/a.jpg"];
    let ran = bed.run(some).exit(3).stderr_has("nothing in these backups matches **/a.jpg");
    assert!(!ran.err().contains("a.png"), "{}", ran.err());
    assert_eq!(bed.files("out").len(), 1);
    let each = ["restore", "--to", "each", "--path", "**/a.png", "--path", "**/shop/index.php"];
    drop(bed.run(each));
    let none = ["restore", "--to", "none", "--path", "**/b", "--path", "**/a.jpg"];
    drop(bed.run(none).exit(1).stderr_has("matches **/b, **/a.jpg"));
}

#[test]
fn two_targets_that_end_alike_are_not_mixed_in_one_folder() {
    let same = |folder: &str| {
        let job = job("sites", &format!("$DIR/{folder}/same"), &[local("store", "days: 5")]);
        config(&[job])
    };
    let bed = Bed::new().config(&same("x")).tree("x/same", &[("a", "of x"), ("b", "of x")]);
    bed.run(["start"]);
    let bed = bed.config(&same("y")).tree("y/same", &[("a", "of y")]);
    bed.run(["start"]);
    for more in [&[][..], &["--explain"], &["-n"]] {
        let ran = bed.run([&["restore", "--to", "out", "--strip"], more].concat()).exit(2);
        drop(ran.stderr_has("$DIR/x/same and $DIR/y/same would be mixed in out/sites/same"));
    }
    assert!(!bed.path("out").exists());
    bed.run(["restore", "--to", "out"]);
    for side in ["x", "y"] {
        let page = fs::read_to_string(inside(&bed, "out/sites/same", &format!("{side}/same/a")));
        assert_eq!(page.unwrap(), format!("of {side}"));
    }
    drop(bed.run(["restore", "--to", "one", "--strip", "--target", "**/y/same"]));
    assert_eq!(bed.files("one"), ["a"]);
}

#[test]
fn a_target_inside_the_folder_of_another_is_not_mixed_with_it() {
    let named = "{target: ['$DIR/m/same'], name: n2}";
    let store = local("store", "days: 5");
    let jobs = format!(
        "- {{job: sites, type: desc_files, sources: [{{target: ['$DIR/n2']}}, {named}], \
         storages: [{store}]}}\n"
    );
    let bed = Bed::new().config(&config(&[jobs]));
    let bed = bed.tree("n2", &[("same/a", "of n2")]).tree("m/same", &[("a", "of m")]);
    bed.run(["start"]);
    let ran = bed.run(["restore", "--to", "out", "--strip"]).exit(2);
    drop(ran.stderr_has("$DIR/n2 and $DIR/m/same would be mixed in out/sites/n2"));
}

#[test]
fn a_target_glob_without_a_match_is_named() {
    let bed = two_days();
    let ran = bed.run(["restore", "sites", "--to", "out", "--target", "*/blog"]).exit(1);
    let ran = ran.stderr_has("no backup of sites has a target that matches \"*/blog\"");
    drop(ran.stderr_has("--target '**/*/blog'"));
    let ran = bed.run(["restore", "--to", "out", "--target", "**/nope"]).exit(1);
    drop(ran.stderr_has("`nxs-backup list` shows the targets"));
    for at in [&[][..], &["--at", "now"]] {
        let list = [&["list", "--target", "*/blog"][..], at].concat();
        let ran =
            bed.run(list).exit(2).stderr_has("no backup has a target that matches \"*/blog\"");
        drop(ran.stderr_has("There are: $DIR/www/blog, $DIR/www/shop."));
    }
    two_sites().run(["list", "--target", "x"]).stdout("no backup of such a target\n");
}

#[test]
fn what_could_not_be_read_is_not_said_to_have_no_match() {
    let bed = two_days();
    sh(
        &bed,
        "for f in $(find store other -name '*.index.zst'); do \
              head -c $(stat -c %s $f) /dev/zero > zero; cp zero $f; done",
    );
    let ran = bed.run(["restore", "--to", "out", "--path", "**/a.png"]).exit(1).noisy();
    assert!(!ran.err().contains("nothing in these backups matches"), "{}", ran.err());
    bed.run(["find", "a.png"]).exit(1).stdout_has("nothing matches in what could be read").noisy();
}

#[test]
fn looking_ahead_refuses_what_the_restore_refuses() {
    let bed = two_days().tree("full", &[("mine", "precious")]);
    for to in ["full", "full/mine"] {
        bed.run(["restore", "-n", "--to", to]).exit(2).stderr_has(to);
    }
    let rows = bed.run(["restore", "-n", "--json", "--to", "out"]).json();
    assert_eq!((&rows[0]["storage"], &rows[0]["to"]), (&"store".into(), &"out/sites/blog".into()));
    let ran = bed.run(["restore", "-n", "--to", "-", "--target", "**/blog"]);
    assert!(ran.out().ends_with("to standard output\n"), "{}", ran.out());
    assert!(!bed.path("out").exists());
}

#[test]
fn a_path_that_is_no_glob_is_wrong_usage() {
    let bed = two_days();
    bed.run(["restore", "--to", "out", "--path", "x["]).exit(2).stderr_has("\"x[\" is not a glob");
    bed.run(["restore", "--to", "out", "--target", "x["]).exit(2).stderr_has("x[");
    bed.run(["find", "x["]).exit(2).stderr_has("is not a glob");
    assert!(!bed.path("out").exists());
}

#[test]
fn a_disk_that_is_too_small_for_a_restore_is_named() {
    let bed = two_sites();
    sh(&bed, "head -c 2000000 /dev/urandom > www/blog/noise");
    bed.run(["start"]);
    let Some(_disk) = Disk::mount(&bed, "small", "1m") else { return };
    let args = ["restore", "--to", "small/out", "--target", "**/blog"];
    let ran = bed.run(args).exit(1).noisy();
    drop(ran.stdout_has("No space left on device").stdout_has("must not be trusted"));
    let mut full = bed.command(["restore", "--to", "-", "--target", "**/blog"]);
    full.stdout(fs::File::create("/dev/full").unwrap());
    let output = full.stderr(std::process::Stdio::piped()).spawn().unwrap().wait_with_output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Do not trust"));
}

#[test]
fn a_folder_that_is_not_empty_is_refused() {
    let bed = two_days().tree("out", &[("mine", "precious"), ("www", "")]);
    let ran = bed.run(["restore", "--to", "out", "--target", "**/blog", "--strip"]).exit(2);
    drop(ran.stderr_has("error: out is not empty\n").stderr_has("--overwrite"));
    assert_eq!(bed.files("out"), ["mine", "www"]);
    let bed = bed.tree("out", &[("index.php", "old")]);
    bed.run(["restore", "--to", "out", "--target", "**/blog", "--strip", "--overwrite"]);
    assert_eq!(bed.files("out"), ["img/a.png", "index.php", "mine", "www"]);
    assert_eq!(fs::read_to_string(bed.path("out/index.php")).unwrap(), "second day");
    bed.run(["restore", "--to", "out/mine", "--target", "**/blog"])
        .exit(2)
        .stderr_has("out/mine: ");
}

#[test]
fn one_storage_can_be_chosen() {
    let bed = two_days();
    let ran = bed.run(["restore", "--to", "out", "--target", "**/blog", "--storage", "other"]);
    drop(ran.stdout_has("restored from 'other'"));
}

#[test]
fn one_artefact_goes_to_standard_output() {
    let bed = two_days();
    let command = bed.command(["restore", "--to", "-", "--target", "**/blog"]).output().unwrap();
    assert!(command.status.success() && command.stderr.is_empty());
    fs::write(bed.path("blog.tar"), command.stdout).unwrap();
    let listed = sh(&bed, "tar -tf blog.tar");
    assert!(listed.lines().any(|name| name.ends_with("www/blog/img/a.png")), "{listed}");
    bed.run(["restore", "--to", "-"]).exit(2).stderr_has("only one can go to standard output");
    let both = ["restore", "--to", "-", "--target", "**/blog", "--path", "x"];
    bed.run(both).exit(2).stderr_has("--path needs a folder");
}

#[test]
fn looking_ahead_restores_nothing() {
    let bed = two_days();
    bed.run(["restore", "-n", "--to", "out"]).stdout_has("would restore $DIR/www/blog ($RUN-1)");
    bed.run(["restore", "--explain", "--to", "out"]).stdout_has("| zstd -dc | tar -x -p");
    assert!(!bed.path("out").exists());
}

#[test]
fn json_tells_what_came_back() {
    let bed = two_days();
    let rows = bed.run(["restore", "--to", "out", "--target", "**/blog", "--json"]).json();
    assert_eq!((&rows[0]["storage"], &rows[0]["files"]), (&"store".into(), &4.into()));
}

#[test]
fn nothing_to_restore_is_said() {
    let bed = two_sites();
    let ran = bed.run(["restore", "--to", "out"]).exit(1);
    ran.stderr("error: no backup of any job was found\n");
    bed.run(["restore", "nope", "--to", "out"]).exit(2).stderr_has("there is no job \"nope\"");
    assert!(!bed.path("out").exists() && !bed.path("state").exists());
}
