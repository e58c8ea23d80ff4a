//! `check` tells of folders and files before a run stumbles over them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::cli::{config, job, local, two_sites};
use crate::support::bed::Bed;
use crate::support::world::{Disk, open_to_all, powerless};

/// A config whose folders and files are missing or in the way of one another.
const NOWHERE: &str = "\
main:
  server_name: web1
  state_dir: $DIR/file/state
  log_file: $DIR/file/log/nxs.log
  metrics: {textfile: $DIR/gone/nxs.prom}
  smtp_server: mx.example.org
  smtp_ca_file: $DIR/gone/smtp.pem
  admin_mail: [a@example.org]
  notify:
    - {kind: slack, url: 'https://hooks.example.org/x', ca_file: $DIR/gone/slack.pem}
jobs:
- job: sites
  type: desc_files
  tmp_dir: $DIR/file/tmp
  sources: [{target: ['$DIR/www/*']}]
  storages:
  - {storage: local, backup_dir: $DIR/file/store, store: {days: 3}}
  - {storage: local, name: disk, backup_dir: $DIR/gone/disk, must_be_mounted: yes, store: {days: 3}}
  - storage: scp
    host: h
    user: u
    key_file: $DIR/www
    known_hosts: $DIR/gone/hosts
    accept_new: no
    backup_dir: b
    store: {days: 3}
  - storage: webdav
    host: https://h
    user: u
    password: p
    ca_file: $DIR/gone/dav.pem
    backup_dir: b
    store: {days: 3}
";

#[test]
fn check_names_every_folder_and_file_that_a_run_would_stumble_over() {
    let bed = two_sites().config(NOWHERE).file("file", "in the way");
    let before = bed.files("");
    let mut ran = bed.run(["check"]).exit(2);
    for (place, words) in [
        ("3:3", "`state_dir`: $DIR/file/state cannot be made: $DIR/file is no folder"),
        ("4:3", "`log_file`: $DIR/file/log cannot be made: $DIR/file is no folder"),
        ("5:13", "`textfile`: $DIR/gone is missing"),
        ("7:3", "`smtp_ca_file`: $DIR/gone/smtp.pem cannot be read: No such file"),
        ("10:57", "`ca_file`: $DIR/gone/slack.pem cannot be read: No such file"),
        ("14:3", "`tmp_dir`: $DIR/file/tmp cannot be made: $DIR/file is no folder"),
        ("17:22", "`backup_dir`: $DIR/file/store cannot be made: $DIR/file is no folder"),
        ("18:34", "`backup_dir`: $DIR/gone/disk is missing"),
        ("22:5", "`key_file`: $DIR/www is a folder"),
        ("23:5", "`known_hosts`: $DIR/gone/hosts cannot be read: No such file"),
        ("31:5", "`ca_file`: $DIR/gone/dav.pem cannot be read: No such file"),
    ] {
        ran = ran.stdout_has(&format!("error: {words}"));
        let (_, after) = ran.out().split_once(words).unwrap();
        let (_, at) = after.split_once("nxs-backup.conf:").unwrap();
        assert!(at.starts_with(&format!("{place} ")), "{words}: {at}");
    }
    drop(ran.stdout_has("11 errors\n"));
    let learns = NOWHERE.replace("accept_new: no", "accept_new: yes");
    let bed = bed.config(&learns);
    drop(bed.run(["check"]).exit(2).stdout_has("10 errors\n"));
    assert_eq!(bed.files(""), before, "check makes nothing");
}

#[test]
fn check_names_files_of_sources_and_knows_which_libpq_can_do_without() {
    let source = |kind: &str, connect: &str| {
        let sources = format!("sources: [{{target: [all], connect: {{{connect}}}}}]");
        let storages = format!("storages: [{}]", local("store", "days: 3"));
        format!("- {{job: {kind}, type: {kind}, {sources}, {storages}}}\n")
    };
    let bed = two_sites().stub("psql", "true").stub("pg_dump", "true").stub("pg_dumpall", "true");
    let bed = bed.stub("mariadb", "true").stub("mariadb-dump", "true");
    let mysql = source("mysql", "auth_file: $DIR/gone/my.cnf, ssl_ca: $DIR/gone/ca.pem");
    let ran = bed.config(&config(&[mysql])).run(["check"]).exit(2);
    let ran = ran.stdout_has("error: `auth_file`: $DIR/gone/my.cnf cannot be read");
    drop(ran.stdout_has("error: `ssl_ca`: $DIR/gone/ca.pem cannot be read"));
    for (mode, word, code) in [("require", "note", 0), ("verify-full", "error", 2)] {
        let connect =
            format!("db_host: h, db_user: u, ssl_mode: {mode}, ssl_root_cert: $DIR/gone/ca.pem");
        let bed = two_sites().stub("psql", "echo 17").stub("pg_dump", "true");
        let bed = bed.stub("pg_dumpall", "true").stub("pg_restore", "true");
        let ran = bed.config(&config(&[source("postgresql", &connect)])).run(["check"]);
        drop(ran.exit(code).stdout_has(&format!("{word}: `ssl_root_cert`: $DIR/gone/ca.pem")));
    }
}

#[test]
fn what_a_hook_may_prepare_or_another_storage_makes_up_for_is_a_note() {
    let other = local("file/store", "days: 3").replace("name: file/store", "name: other");
    let both = [local("store", "days: 3"), other];
    let said = "`backup_dir`: $DIR/file/store cannot be made";
    let with = |keys: &str| {
        let job = job("sites", "$DIR/www/*", &both).replace("type:", &format!("{keys} type:"));
        two_sites().config(&config(&[job])).file("file", "")
    };
    drop(with("").run(["check"]).exit(2).stdout_has(&format!("error: {said}")));
    for keys in ["hooks: {before: mount /x},", "require: any,"] {
        let ran = with(keys).run(["check"]).stdout_has(&format!("note: {said}"));
        drop(ran.stdout_has("no errors\n"));
    }
    with("enable: no,").run(["check"]).noisy().stdout_has("no errors\n");
}

#[test]
fn the_folders_of_one_job_stop_no_other_job() {
    let jobs = [
        job("good", "$DIR/www/*", &[local("store", "days: 3")]),
        job("bad", "$DIR/www/*", &[local("file", "days: 3")]),
    ];
    let bed = two_sites().config(&config(&jobs)).file("file", "");
    drop(bed.run(["check"]).exit(2).stdout_has("`backup_dir`: $DIR/file is no folder"));
    bed.run(["start", "good"]);
    assert!(!bed.files("store").is_empty());
}

#[test]
fn a_disk_that_is_read_only_is_named_by_check() {
    let bed = two_sites();
    let Some(disk) = Disk::mount(&bed, "store", "1m") else { return };
    bed.run(["check"]).stdout_has("no errors");
    disk.lock();
    drop(bed.run(["check"]).exit(2).stdout_has("$DIR/store cannot be written: Read-only file"));
    disk.unlock();
}

#[test]
fn a_user_without_rights_is_told_what_may_not_be_written_or_read() {
    let jobs = job("sites", "$DIR/www/*", &[local("store", "days: 3")]);
    let smtp = "smtp_server: mx, smtp_ca_file: $DIR/ca.pem, state_dir";
    let bed = two_sites().config(&config(&[jobs]).replace("state_dir", smtp));
    let bed = bed.file("ca.pem", "").file("log/nxs.log", "");
    open_to_all(&bed, &["tmp"]);
    for (name, mode) in [("ca.pem", 0o000), ("log/nxs.log", 0o444), ("log", 0o755), ("", 0o555)] {
        set_mode(&bed, name, mode);
    }
    let output = powerless(&bed, ["check"]).output().unwrap();
    set_mode(&bed, "", 0o755);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for (key, words) in [
        ("state_dir", "state cannot be made: "),
        ("log_file", "nxs.log cannot be written: Permission denied"),
        ("smtp_ca_file", "ca.pem cannot be read: Permission denied"),
        ("backup_dir", "store cannot be made: "),
    ] {
        let line = said.lines().find(|line| line.starts_with(&format!("error: `{key}`: ")));
        assert!(line.is_some_and(|line| line.contains(words)), "{key}: {said}");
    }
}

fn set_mode(bed: &Bed, name: &str, mode: u32) {
    fs::set_permissions(bed.path(name), fs::Permissions::from_mode(mode)).unwrap();
}
