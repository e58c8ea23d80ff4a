//! Several jobs, servers and runs beside one another: what is apart stays apart.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::cli::{config, job, local, two_sites};
use crate::support::bed::Bed;

#[test]
fn a_broken_job_does_not_stop_the_good_one() {
    let good = job("good", "$DIR/www/blog", &[local("store", "days: 3")]);
    let bad = job("bad", "$DIR/www/shop", &[local("store", "days: 3")]).replace("days", "dayz");
    let bed = two_sites().config(&config(&[bad.clone(), good]));
    let ran = bed.run(["start"]).exit(3).noisy();
    drop(ran.stdout_has("error: bad: ").stdout_has("dayz").stdout_has("1 copy stored"));
    assert!(bed.path("store/blog").exists() && !bed.path("store/shop").exists());
    bed.run(["start", "good"]);
    bed.run(["start", "bad"]).exit(2).stdout_has("dayz").noisy();
    bed.run(["check"]).exit(2).stdout_has("dayz").noisy();
    bed.run(["plan"]).exit(3).stdout_has("dayz").noisy();
    bed.run(["restore", "good", "--to", "out"]);
    let bed = bed.config(&config(&[bad]));
    bed.run(["start"]).exit(2).stdout_has("FAILED: 0 copies stored").noisy();
    bed.run(["list"]).exit(1).stdout_has("job \"bad\" has errors in its config").noisy();
}

#[test]
fn a_target_that_fails_does_not_stop_the_next() {
    let good = job("good", "$DIR/www/shop", &[local("store", "days: 3")]);
    let lost = job("lost", "$DIR/www/nothing", &[local("store", "days: 3")]);
    let bed = two_sites().config(&config(&[lost, good]));
    let ran = bed.run(["start"]).exit(3).noisy();
    drop(ran.stdout_has("$DIR/www/nothing").stdout_has("1 copy stored"));
}

#[test]
fn two_targets_of_one_part_are_never_mixed() {
    let sites =
        job("sites", "$DIR/a/html', '$DIR/b/html', '$DIR/www/shop", &[local("store", "days: 3")]);
    let bed = two_sites().config(&config(&[sites]));
    let bed = bed.tree("a/html", &[("x", "a")]).tree("b/html", &[("x", "b")]);
    let ran = bed.run(["start"]).exit(3).noisy();
    let ran = ran.stdout_has("$DIR/a/html: would be stored in the same folder \"html/\"");
    drop(ran.stdout_has("put them in sources of their own").stdout_has("1 copy stored"));
    assert!(!bed.path("store/html").exists() && bed.path("store/shop").exists());
    bed.run(["plan"]).exit(3).stdout_has("put them in sources of their own").noisy();
}

#[test]
fn a_glob_of_one_name_in_many_folders_keeps_each_apart() {
    let sites = job("sites", "$DIR/*/html", &[local("store", "days: 3")]);
    let bed = two_sites().config(&config(&[sites]));
    let bed = bed.tree("a/html", &[("x", "a")]).tree("b/html", &[("x", "b")]);
    bed.run(["start"]).stdout("");
    assert!(bed.path("store/a/daily").exists() && bed.path("store/b/daily").exists());
}

#[test]
fn the_folder_of_another_server_is_refused_until_it_is_shared() {
    let bed = two_sites();
    bed.run(["start"]);
    let text = fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let other = text.replace("server_name: web1", "server_name: web2");
    let bed = bed.config(&other);
    let before = bed.files("store");
    let ran = bed.run(["start"]).exit(1).noisy();
    drop(ran.stdout_has("belongs to the server \"web1\"").stdout_has("`shared: yes`"));
    assert_eq!(bed.files("store"), before);
    drop(bed.run(["list"]).exit(3).stdout_has("no backups yet").stdout_has("`--host web1`"));
    bed.run(["list", "--host", "web1"]).stdout_has("$DIR/www/blog");
    bed.run(["restore", "--host", "web1", "--to", "out"]).stdout_has("$DIR/www/blog restored");
    let bed = bed.config(&other.replace("store: {", "shared: yes, store: {"));
    bed.run(["start"]);
    assert!(
        bed.files("store")
            .contains(&"web2/blog/daily/blog_2026-11-21_03-00-00.tar.zst.manifest.json".to_owned())
    );
    bed.run(["verify", "--full"]).stdout("2 copies looked at, 2 whole, 0 not\n");
    bed.run(["prune", "--orphans"]).stdout_has("0 copies removed");
    assert!(before.iter().all(|name| bed.path("store").join(name).exists()));
}

#[test]
fn a_server_that_was_renamed_keeps_its_copies() {
    let mut bed = two_sites();
    bed.run(["start"]);
    let text = fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let text = text.replace("server_name: web1", "server_name: web2, formerly: [web1]");
    bed = bed.config(&text.replace("days: 3", "days: 1"));
    bed.now("2026-11-22T03:00:00+00:00[UTC]").run(["start"]);
    bed.run(["verify", "--full"]).stdout("2 copies looked at, 2 whole, 0 not\n");
}

#[test]
fn a_job_that_was_renamed_keeps_its_copies() {
    let mut bed = two_sites();
    bed.run(["start"]);
    let text = fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let text = text.replace("job: sites", "job: pages, formerly: [sites]");
    bed = bed.config(&text.replace("days: 3", "days: 1"));
    bed.now("2026-11-22T03:00:00+00:00[UTC]").run(["start"]);
    bed.run(["list", "pages", "--json"]);
    bed.run(["verify", "--full"]).stdout("2 copies looked at, 2 whole, 0 not\n");
}

#[test]
fn while_another_run_holds_the_lock_nothing_is_begun() {
    let bed = two_sites();
    fs::create_dir_all(bed.path("state/locks")).unwrap();
    let mut holder = hold(&bed, 600);
    for verb in [&["start"][..], &["prune"], &["sweep"]] {
        let ran = bed.run(verb.iter()).exit(4).noisy();
        drop(ran.stderr_has("another run holds the lock 'backup'").stderr_has("main.lock_wait"));
    }
    assert!(!bed.path("store").exists());
    for verb in ["list", "plan"] {
        bed.run([verb]);
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    bed.run(["start"]);
}

#[test]
fn a_run_waits_for_the_lock_as_long_as_it_is_told() {
    let bed = two_sites();
    fs::create_dir_all(bed.path("state/locks")).unwrap();
    let text = fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let bed = bed.config(&text.replace("state_dir:", "lock_wait: 30s, state_dir:"));
    let mut holder = hold(&bed, 1);
    let begun = Instant::now();
    bed.run(["start"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "it waited for the whole time");
    holder.wait().unwrap();
    let log = fs::read_to_string(bed.path("log/nxs.log")).unwrap();
    assert!(log.contains("waiting for another run"), "{log}");
    let bed = bed.config(&text.replace("state_dir:", "lock_wait: 1s, state_dir:"));
    let mut holder = hold(&bed, 600);
    bed.run(["start"]).exit(4).noisy();
    holder.kill().unwrap();
    holder.wait().unwrap();
}

/// Holds the lock as another run would, for some seconds.
fn hold(bed: &Bed, secs: u32) -> std::process::Child {
    use std::io::Read;
    let mut holder = std::process::Command::new("flock")
        .args(["-n", "-F"])
        .arg(bed.path("state/locks/backup.lock"))
        .args(["sh", "-c", &format!("echo held; exec sleep {secs}")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    holder.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    holder
}

#[test]
fn one_storage_that_fails_leaves_the_copy_on_the_other() {
    let storages = [local("store", "days: 3"), local("zweit", "days: 3")];
    let jobs = job("sites", "$DIR/www/*", &storages);
    let bed = two_sites().config(&config(std::slice::from_ref(&jobs))).file("zweit", "in the way");
    let ran = bed.run(["start"]).exit(3).noisy();
    drop(ran.stdout_has("'zweit': ").stdout_has("2 copies stored"));
    let any = jobs.replace("type:", "require: any, type:");
    let bed = bed.config(&config(&[any]));
    let ran = bed.run(["start", "-v"]).stderr_has("zweit");
    let shown: Vec<_> = ran.out().lines().filter(|line| line.contains(" zweit ")).collect();
    assert!(
        shown.len() == 2 && shown.iter().all(|row| row.contains("not stored, see below")),
        "{}",
        ran.out()
    );
    drop(ran.stdout_has("another has it): zweit: "));
    fs::remove_file(bed.path("zweit")).unwrap();
    bed.run(["start"]);
    bed.run(["restore", "--to", "out", "--storage", "zweit"]).stdout_has("restored from 'zweit'");
}

#[test]
fn a_timeout_of_nothing_is_for_ever() {
    let jobs = job("sites", "$DIR/www/*", &[local("store", "days: 3")]);
    let jobs = jobs.replace("type:", "timeout: 0, job_timeout: 0s, type:");
    let bed = two_sites().config(&config(&[jobs]));
    bed.run(["check"]).stdout_has("no errors");
    bed.run(["start"]).stdout("");
    bed.run(["verify", "--full"]).stdout_has("2 whole, 0 not");
}

#[test]
fn a_storage_that_is_switched_off_gets_nothing() {
    let off = local("off", "days: 3").replace("store: {", "enable: no, store: {");
    let jobs = [job("sites", "$DIR/www/*", &[local("store", "days: 3"), off])];
    let bed = two_sites().config(&config(&jobs));
    bed.run(["start"]);
    assert!(!bed.path("off").exists());
}

#[test]
fn a_folder_of_copies_inside_its_own_target_is_refused_until_it_is_excluded() {
    let bed =
        two_sites().config(&config(&[job("site", "$DIR/www", &[local("www/store", "days: 3")])]));
    let said = "lies inside $DIR/www: add it to `excludes`";
    for verb in [&["check"][..], &["check", "--connect"]] {
        let ran = bed.run(verb).exit(2).stdout_has(said).noisy();
        drop(ran.stdout_has("nxs-backup.conf:3:").stdout_has("(jobs[0].sources[0])"));
    }
    drop(bed.run(["plan"]).exit(1).stdout_has(said).noisy());
    drop(bed.run(["start"]).exit(1).stdout_has(said).noisy());
    assert_eq!(bed.files("www/store"), [".nxs-backup.json"]);
    let text = fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let bed = bed.config(&text.replace("sources: [{", "sources: [{excludes: [store], "));
    bed.run(["check"]).stdout_has("no errors");
    bed.run(["start"]);
    std::os::unix::fs::symlink(bed.path("www/store"), bed.path("short")).unwrap();
    let text = text.replace("$DIR/www/store", "$DIR/short");
    let text = text.replace(
        &bed.path("www/store").display().to_string(),
        &bed.path("short").display().to_string(),
    );
    drop(bed.config(&text).run(["start"]).exit(1).stdout_has(said).noisy());
}

#[test]
fn the_example_of_a_bitrix_server_runs() {
    let mut bed = Bed::new();
    let main = bitrix("nxs-backup.conf");
    // The storage elsewhere is a folder here.
    let (before, rest) = main.split_once("storage: scp").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    let main = format!("{before}storage: local\n\n{after}");
    let state = "state_dir: $DIR/state\n  log_file:";
    bed = bed.config(&main.replace("log_file:", state)).file("etc/smtp.password", "secret");
    for login in ["mysql.cnf", "mysql-second.cnf"] {
        bed = bed.file(&format!("etc/{login}"), "[client]\nuser = backup\n");
    }
    for name in ["files.conf", "upload.conf", "databases.conf"] {
        bed = bed.file(&format!("conf.d/{name}"), &bitrix(&format!("conf.d/{name}")));
    }
    let bed = bed.tree("lib/prometheus/node-exporter", &[]).tree(
        "www",
        &[
            ("shop/index.php", "<?php"),
            ("shop/bitrix/cache/x", "made again"),
            ("shop/bitrix/modules/y", "kept"),
            ("shop/upload/iblock/a.jpg", "picture"),
            ("shop/upload/resize_cache/b.jpg", "thumbnail"),
            ("blog/index.php", "<?php blog"),
            ("blog/upload/c.jpg", "picture"),
        ],
    );
    bed.run(["check"]).stdout_has("no errors").stdout_has("mariadb-dump");
    bed.run(["plan", "files"]).stdout_has("bitrix-upload (inc_files)");
    bed.run(["start", "files"]).noisy();
    bed.run(["verify", "--full"]).stdout_has("8 copies looked at, 8 whole, 0 not");
    let figures = bed.path("lib/prometheus/node-exporter/nxs-backup.prom");
    assert!(fs::read_to_string(figures).unwrap().contains("bitrix-upload"));
    bed.run(["restore", "bitrix-files", "--to", "back"]).noisy();
    bed.run(["restore", "bitrix-upload", "--to", "back-upload"]).noisy();
    let files = [bed.files("back"), bed.files("back-upload")].concat();
    let names = files.iter().map(|path| path.rsplit("www/").next().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    let expected = [
        "blog/index.php",
        "blog/upload/c.jpg",
        "shop/bitrix/modules/y",
        "shop/index.php",
        "shop/upload/iblock/a.jpg",
    ];
    assert_eq!(names, expected);
}

/// A file of the example, with its folders in the bed.
fn bitrix(name: &str) -> String {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/bitrix");
    let text = fs::read_to_string(top.join(name)).unwrap();
    let text = text.replace("/etc/nxs-backup/", "$DIR/etc/").replace("/var/", "$DIR/");
    text.replace(": /bitrix/", ": $DIR/offsite/").replace("'/bitrix/", "'$DIR/offsite/")
}
