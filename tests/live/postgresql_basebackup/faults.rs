//! What happens to a cluster, the tool or a disk while a copy runs.

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::time::Duration;

use crate::live::postgresql::refusals::without_programs;
use crate::live::postgresql::sql;
use crate::live::postgresql_basebackup::{FILL, config};
use crate::support::bed::Bed;
use crate::support::procs::watched;
use crate::support::server::Server;
use crate::support::world::{Disk, reaches};

#[track_caller]
fn nothing_stored(bed: &Bed) {
    let left = (bed.files("store"), bed.files("tmp"));
    assert_eq!(left, (vec![".nxs-backup.json".to_owned()], vec![]));
}

/// By TCP, as a user with this password.
fn by_tcp(server: &Server, user: &str, password: &str) -> String {
    let socket = server.path("sock").display().to_string();
    let password = serde_json::to_string(password).unwrap();
    let text = config(server, 0, "checkpoint: fast").replace(&socket, "127.0.0.1");
    text.replace("db_user: postgres", &format!("db_user: {user}, db_password: {password}"))
}

#[test]
fn a_server_that_dies_a_damaged_page_and_a_full_disk_leave_no_copy() {
    let server = Server::own("postgresql");
    sql(&server, "postgres", FILL);
    // Slow enough to be hit: the storage takes 1 MiB a second.
    let slow =
        config(&server, 0, "checkpoint: fast").replace("compress: zstd", "limits: {net: 1MiB}");
    let dying = Bed::new().config(&slow);
    let child = dying.command(["start"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap();
    let streams =
        "select count(*) from pg_stat_progress_basebackup where backup_streamed > 1000000";
    while sql(&server, "postgres", streams) == "0" {
        std::thread::sleep(Duration::from_millis(20));
    }
    server.tell("kill");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("pg_basebackup failed (exit status: 1)"), "{said}");
    nothing_stored(&dying);
    server.tell("start");

    let full = config(&server, 0, "checkpoint: fast").replace("compress: zstd", "spool: yes");
    let full = Bed::new().config(&full);
    if let Some(_disk) = Disk::mount(&full, "tmp", "3m") {
        full.run(["start"]).exit(1).stderr_has("No space left");
        nothing_stored(&full);
    }

    let path = sql(&server, "postgres", "checkpoint; select pg_relation_filepath('t')");
    server.tell("stop");
    let path = server.path("main").join(path.lines().last().unwrap());
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[0x5a; 100], 8192 * 7 + 4000).unwrap();
    server.tell("start");
    let damaged = Bed::new().config(&config(&server, 0, "checkpoint: fast"));
    damaged.run(["start"]).exit(1).stderr_has("checksum");
    nothing_stored(&damaged);
}

#[test]
fn wrong_passwords_are_told_and_right_ones_are_seen_nowhere() {
    let server = Server::own("postgresql");
    let wrong = Bed::new().config(&by_tcp(&server, "postgres", "secret-but-wrong"));
    let ran = wrong.run(["start"]).exit(1).stderr_has("password authentication failed for user");
    assert!(!ran.err().contains("secret-but-wrong"), "{}", ran.err());
    nothing_stored(&wrong);
    let password = server.text("odd_password");
    let bed = Bed::new().config(&by_tcp(&server, "svcodd", &password));
    let (output, seen) = watched(bed.command(["start", "-v"]));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    let tools: Vec<_> = seen.into_iter().filter(|line| line.contains("pg_basebackup")).collect();
    assert!(!tools.is_empty());
    let log = fs::read_to_string(bed.path("nxs.log")).unwrap();
    for text in [&said, &log, &tools.join(" ")] {
        assert!(!text.contains(&password), "{text}");
    }
    assert_eq!(bed.files("tmp"), [] as [&str; 0]);
}

#[test]
fn a_program_that_is_missing_or_too_old_is_told_with_its_package() {
    let server = Server::own("postgresql");
    let bed = Bed::new().config(&config(&server, 0, "checkpoint: fast"));
    let psql = "rm -f $DIR/bin/psql; cp $DIR/psql.kept $DIR/bin/psql";
    let (code, said) = without_programs(&bed, psql, "start");
    let missing = "the program pg_basebackup is missing: install the package postgresql-client-";
    assert!(code == 1 && said.contains(missing), "{said}");
    let old = "mkdir -p /usr/lib/postgresql/11/bin; printf '#!/bin/sh\\necho \"pg_basebackup (PostgreSQL) 11.9\"\\n' \
        > /usr/lib/postgresql/11/bin/pg_basebackup; chmod 755 /usr/lib/postgresql/11/bin/pg_basebackup";
    let (code, said) = without_programs(&bed, old, "start");
    assert!(code == 1 && said.contains("is older than the server (15"), "{said}");
    nothing_stored(&bed);
}

#[test]
fn a_check_asks_whether_the_cluster_may_be_copied() {
    let server = Server::shared("postgresql");
    let bed = |user, password| Bed::new().config(&by_tcp(server, user, password));
    reaches(&bed("postgres", "svcpw"), 0, ": 1 target\nok     ");
    reaches(&bed("postgres", "wrong"), 1, "password authentication failed");
    reaches(&bed("svcplain", "svcpw"), 1, "the user may not copy the cluster: ALTER ROLE");
}
