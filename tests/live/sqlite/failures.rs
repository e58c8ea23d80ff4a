//! Never a false success: each of these ends without a copy, and says why.

use std::process::{Command, Stdio};

use crate::live::sqlite::{bed, job, sql};
use crate::support::world::{Disk, copies, fails, open_to_all, powerless, reaches, sh, until};

const SOME: &str = "CREATE TABLE t (x); INSERT INTO t VALUES ('some'); CREATE INDEX i ON t (x);";

#[test]
fn what_is_no_database_or_not_there_is_told() {
    let bed = bed("$DIR/data/*.db");
    fails(&bed, "there is nothing of that name");
    sh(&bed, "head -c 10000 /dev/urandom >data/a.db");
    fails(&bed, "$DIR/data/a.db: is no database of SQLite, or it is encrypted");
    sh(&bed, ": >data/a.db");
    fails(&bed, "$DIR/data/a.db: is empty");
    sh(&bed, "rm data/a.db; mkdir data/a.db");
    fails(&bed, "is a folder; only files can be databases");
}

#[test]
fn a_damaged_database_is_found_by_the_check_of_its_copy() {
    let bed = bed("$DIR/data/*.db");
    let many = "CREATE TABLE t (x); INSERT INTO t SELECT hex(randomblob(100)) FROM generate_series(1, 5000);
                CREATE INDEX i ON t (x);";
    sql(&bed, "data/a.db", many);
    sh(&bed, "head -c 40000 /dev/zero | dd of=data/a.db bs=4096 seek=30 conv=notrunc 2>/dev/null");
    fails(&bed, "$DIR/data/a.db: is damaged; integrity_check ");
    // A row that its index does not know.
    let odd = "CREATE TABLE t (x); CREATE TABLE u (x); CREATE INDEX i ON t (x); CREATE INDEX j ON u (x);
               INSERT INTO t VALUES (1); PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage =
               (SELECT rootpage FROM sqlite_schema WHERE name = 'j') WHERE name = 'i';";
    sh(&bed, "rm data/a.db");
    sql(&bed, "data/a.db", odd);
    fails(&bed, "$DIR/data/a.db: is damaged; integrity_check says: ");
}

#[test]
fn one_bad_file_of_fifty_is_one_red_row_and_the_others_are_kept() {
    let bed = bed("$DIR/data/*.db");
    for number in 1..50 {
        sql(&bed, &format!("data/{number}.db"), SOME);
    }
    sh(&bed, "head -c 5000 /dev/urandom >data/bad.db");
    bed.run(["start"]).exit(3).stderr_has("$DIR/data/bad.db: is no database of SQLite");
    assert_eq!(copies(&bed).len(), 49);
}

#[test]
fn a_lock_that_lasts_longer_than_the_timeout_is_told_and_a_short_one_is_waited_for() {
    let bed = job("", "target: ['$DIR/data/a.db'], timeout: 1s");
    sql(&bed, "data/a.db", SOME);
    let hold = |seconds: &str| {
        let script = format!(
            "printf 'BEGIN EXCLUSIVE;\\n.shell touch held; sleep {seconds}\\nCOMMIT;\\n' | sqlite3 data/a.db"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(bed.path("")).stdout(Stdio::null());
        let running = command.spawn().unwrap();
        until("a lock on the database", || bed.path("held").exists());
        std::fs::remove_file(bed.path("held")).unwrap();
        running
    };
    let mut holder = hold("4");
    fails(&bed, "$DIR/data/a.db: is locked by another program for longer than 1 s");
    holder.wait().unwrap();
    let mut holder = hold("0.4");
    bed.run(["start"]);
    holder.wait().unwrap();
    assert_eq!(copies(&bed).len(), 1);
}

#[test]
fn a_file_that_we_may_not_read_is_told() {
    let bed = bed("$DIR/data/*.db");
    sql(&bed, "data/a.db", SOME);
    sh(&bed, "mkdir -p state log store; chmod 600 data/a.db");
    open_to_all(&bed, &["state", "log", "store", "tmp"]);
    sh(&bed, "chmod 755 data");
    let output = bed.finish(powerless(&bed, ["start"]));
    output.exit(1).stderr_has("could not be copied").stderr_has("unable to open database file");
    assert_eq!(copies(&bed), [""; 0]);
}

#[test]
fn a_full_tmp_dir_is_told_and_the_former_copy_stays() {
    let mut bed = bed("$DIR/data/*.db");
    let big =
        "CREATE TABLE t (x); INSERT INTO t SELECT randomblob(1000) FROM generate_series(1, 4000);";
    sql(&bed, "data/a.db", big);
    bed.run(["start"]);
    let before = copies(&bed);
    let Some(_disk) = Disk::mount(&bed, "tmp", "1m") else { return };
    bed.now("2026-11-22T03:00:00+00:00[UTC]");
    bed.run(["start"]).exit(1).stderr_has("$DIR/tmp (see `tmp_dir`)").stderr_has("full");
    assert_eq!(copies(&bed), before);
    assert_eq!(bed.files("tmp"), [""; 0]);
}

#[test]
fn an_interrupted_copy_leaves_nothing_in_tmp_dir() {
    let bed = bed("$DIR/data/*.db");
    let big =
        "CREATE TABLE t (x); INSERT INTO t SELECT randomblob(1000) FROM generate_series(1, 60000);";
    sql(&bed, "data/a.db", big);
    let mut command = bed.command(["start"]);
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("a copy that goes on", || !bed.files("tmp").is_empty());
    let pid = rustix::process::Pid::from_raw(running.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(130));
    assert_eq!(copies(&bed), [""; 0]);
    assert_eq!(bed.files("tmp"), [""; 0]);
}

#[test]
fn a_check_opens_each_database_as_a_run_would() {
    let bed = bed("$DIR/data/*.db");
    sql(&bed, "data/a.db", SOME);
    sql(&bed, "data/b.db", SOME);
    reaches(&bed, 0, "ok     job 'apps': 2 targets\n");
    sh(&bed, "head -c 10000 /dev/urandom >data/b.db");
    reaches(&bed, 1, "$DIR/data/b.db: is no database of SQLite, or it is encrypted");
}
