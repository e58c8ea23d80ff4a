//! Nothing that goes wrong looks like a backup.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::live::mysql::{bed, mariadb, nothing_left, root, sql, stored};
use crate::support::bed::Bed;
use crate::support::server::Server;
use crate::support::world::{Disk, reaches, sh};

/// Runs a job that must fail with these words, keep nothing and lose nothing.
#[track_caller]
pub(crate) fn fails(bed: &Bed, words: &str) {
    let before = stored(bed);
    bed.run(["start"]).exit(1).stderr_has(words);
    assert_eq!(stored(bed), before, "a failed run changed what is stored");
    let manifests = bed.files("out").into_iter().filter(|key| key.ends_with(".manifest.json"));
    assert_eq!(manifests.count(), before.len());
    nothing_left(bed);
}

#[test]
fn what_the_server_refuses_is_an_error_in_its_own_words() {
    let server = mariadb();
    sql(server, "a", "CREATE DATABASE ref_1; CREATE TABLE ref_1.t (a INT); CREATE TABLE ref_1.u (a INT);
        CREATE OR REPLACE USER ref_cols@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT SELECT ON ref_1.t TO ref_cols@'127.0.0.1';
        CREATE OR REPLACE USER ref_table@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT SELECT, INSERT, TRIGGER, EVENT, LOCK TABLES, SHOW VIEW ON ref_1.t TO ref_table@'127.0.0.1';
        GRANT INSERT, TRIGGER ON ref_1.* TO ref_table@'127.0.0.1';
        CREATE OR REPLACE USER ref_trig@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT SELECT, EVENT, SHOW VIEW, LOCK TABLES ON *.* TO ref_trig@'127.0.0.1';
        CREATE OR REPLACE USER ref_proc@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT SELECT, TRIGGER, EVENT, SHOW VIEW, LOCK TABLES ON `ref\\_1`.* TO ref_proc@'127.0.0.1';
        CREATE OR REPLACE USER ref_run@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT SELECT, TRIGGER, EVENT, SHOW VIEW, LOCK TABLES, EXECUTE ON `ref\\_1`.* TO ref_run@'127.0.0.1';
        CREATE PROCEDURE ref_1.one() SELECT 1"
        .replace("EVENT, LOCK TABLES, SHOW VIEW ON ref_1.t", "SHOW VIEW ON ref_1.t").as_str());
    let port = server.port(0);
    let as_user = |user: &str, password: &str| {
        format!("{{db_host: 127.0.0.1, db_port: {port}, db_user: {user}, db_password: {password}}}")
    };
    let closed = server.port(60);
    for (connect, target, words) in [
        (as_user("root", "wrong"), "ref_1", "Access denied for user 'root'@"),
        (
            as_user("root", "svcpw"),
            "no_such_db",
            "no_such_db: the server has no database of that name",
        ),
        // The user does not even see the other table: its dump would look whole.
        (as_user("ref_cols", "pw"), "ref_1", "ref_1: the user may not read all of it"),
        (as_user("ref_table", "pw"), "ref_1", "ref_1: the user may not read all of it"),
        (as_user("ref_trig", "pw"), "ref_1", "no right to see its triggers"),
        // Its dump would end well, without the procedure.
        (as_user("ref_proc", "pw"), "ref_1", "no right to see its routines"),
        // It sees that there is one and may not read it: the tool says so.
        (as_user("ref_run", "pw"), "ref_1", "SHOW CREATE PROCEDURE"),
        (
            format!("{{db_host: 127.0.0.1, db_port: {closed}, db_user: root}}"),
            "ref_1",
            "Can't connect to server",
        ),
        (
            "{db_host: no-such-host.invalid, db_user: root}".to_owned(),
            "ref_1",
            "no-such-host.invalid",
        ),
    ] {
        fails(&bed("mysql", &connect, &format!("target: {target}"), ""), words);
    }
    let without = "target: ref_1\nextra_keys: --skip-triggers".to_owned();
    bed("mysql", &as_user("ref_trig", "pw"), &without, "").run(["start"]);
}

#[test]
fn one_broken_database_of_fifty_is_one_red_row_and_the_others_are_kept() {
    let server = mariadb();
    let names: Vec<_> = (1..=50).map(|number| format!("many_{number}")).collect();
    let made: String = names
        .iter()
        .map(|name| format!("CREATE DATABASE {name}; CREATE TABLE {name}.t (a INT);"))
        .collect();
    sql(
        server,
        "a",
        &(made + "CREATE VIEW many_7.v AS SELECT a FROM many_7.t; DROP TABLE many_7.t"),
    );
    let source = format!("target: [{}]", names.join(", "));
    let bed = bed("mysql", &root(server, 0), &source, "parallel: 2");
    let ran = bed.run(["start", "--json"]).exit(3).noisy();
    assert!(
        ran.err().contains("many_7") && ran.err().contains("references invalid table"),
        "{}",
        ran.err()
    );
    assert_eq!(ran.out().matches("references invalid table").count(), 1, "{}", ran.out());
    assert_eq!(stored(&bed).len(), 49);
    assert_eq!(bed.files("out").iter().filter(|key| key.starts_with("many_7/")).count(), 0);
}

#[test]
fn a_table_that_is_locked_for_longer_than_the_timeout_fails() {
    let server = mariadb();
    sql(server, "a", "CREATE DATABASE lock_1; CREATE TABLE lock_1.t (a INT)");
    let socket = server.path("a.sock");
    let mut holder = std::process::Command::new("mariadb");
    holder.args(["--no-defaults", "-uroot"]).arg(format!("--socket={}", socket.display()));
    holder.args(["-e", "LOCK TABLES lock_1.t WRITE; SELECT SLEEP(60)"]);
    let mut holder = holder.stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    fails(
        &bed("mysql", &root(server, 0), "target: lock_1\ntimeout: 2s", ""),
        "gave nothing for 2 s",
    );
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn tables_that_are_corrupt_fail() {
    let server = Server::own("mariadb");
    sql(&server, "a", "CREATE DATABASE cor_1; CREATE TABLE cor_1.i (a INT, b TEXT) ENGINE=InnoDB;
        INSERT INTO cor_1.i SELECT seq, REPEAT('x', 500) FROM mysql.help_topic, (SELECT 1 seq) s LIMIT 400;
        CREATE DATABASE cor_2; CREATE TABLE cor_2.m (a INT, b TEXT) ENGINE=MyISAM;
        INSERT INTO cor_2.m SELECT 1, REPEAT('y', 500) FROM mysql.help_topic LIMIT 400; CREATE DATABASE cor_3; CREATE TABLE cor_3.t (a INT)");
    server.tell("stop_a");
    let truncate = |file: &str, bytes: u64| {
        let file =
            fs::OpenOptions::new().write(true).open(server.path(&format!("a/{file}"))).unwrap();
        file.set_len(bytes).unwrap();
    };
    truncate("cor_1/i.ibd", 16384);
    truncate("cor_2/m.MYD", 20_000);
    server.tell("start_a");
    let bed = bed("mysql", &root(&server, 0), "target: [cor_1, cor_2, cor_3]", "");
    let ran = bed.run(["start"]).exit(3).noisy();
    assert!(ran.err().contains("cor_1: mariadb-dump failed"), "{}", ran.err());
    assert!(ran.err().contains("cor_2: mariadb-dump failed"), "{}", ran.err());
    let files = stored(&bed);
    assert_eq!(files.len(), 1, "{files:?}");
}

/// A database whose dump takes a while, behind a pipe that we hold.
fn large(server: &Server, name: &str) {
    sql(server, "a", &format!(
        "CREATE DATABASE {name}; CREATE TABLE {name}.t (a INT AUTO_INCREMENT PRIMARY KEY, b TEXT);
         INSERT INTO {name}.t (b) SELECT REPEAT(MD5(RAND()), 300) FROM mysql.help_topic, (SELECT 1 UNION SELECT 2) x LIMIT 1500;
         INSERT INTO {name}.t (b) SELECT b FROM {name}.t; INSERT INTO {name}.t (b) SELECT b FROM {name}.t"
    ));
}

#[test]
fn a_server_or_a_tool_that_dies_in_the_middle_leaves_no_copy_and_no_rotation() {
    let server = Server::own("mariadb");
    large(&server, "die_1");
    // Halts once the first megabyte of the tool's output has passed.
    let halting = "case \"$*\" in *--version*) exec /usr/bin/mariadb-dump \"$@\";; esac; d=$(dirname $0)/..; \
                   mkfifo $d/pipe; /usr/bin/mariadb-dump \"$@\" > $d/pipe & echo $! > $d/pid; \
                   exec 3< $d/pipe; head -c 1000000 <&3; touch $d/half; while [ ! -e $d/go ]; do sleep 0.05; done; cat <&3; wait $!";
    for victim in ["server", "tool"] {
        let mut bed = bed("mysql", &root(&server, 0), "target: die_1", "");
        for day in ["17", "18", "19"] {
            bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]"));
            bed.run(["start"]);
        }
        bed.now("2026-11-20T03:00:00+00:00[UTC]");
        let before: Vec<_> = bed.files("out");
        let bed = bed.stub("mariadb-dump", halting);
        let mut command = bed.command(["start"]);
        let child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        while !bed.path("half").exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
        match victim {
            "server" => server.tell("kill_a"),
            _ => drop(sh(&bed, "kill -9 $(cat $DIR/pid)")),
        }
        fs::write(bed.path("go"), "").unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{victim}: {said}");
        assert!(said.contains("die_1: mariadb-dump failed"), "{victim}: {said}");
        if victim == "server" {
            assert!(said.contains("Lost connection") || said.contains("unexpected eof"), "{said}");
            server.tell("start_a");
        }
        // `before` frees a slot once data flows: one old copy at most, and never the newest.
        let left = bed.files("out");
        assert!(left.len() + 2 >= before.len(), "{victim}: {left:?}");
        assert!(left.iter().all(|key| before.contains(key)), "{victim}: {left:?}");
        assert!(left.iter().any(|key| key.contains("2026-11-19")), "{victim}: {left:?}");
        nothing_left(&bed);
    }
}

#[test]
fn a_disk_that_is_full_of_the_spool_fails() {
    let server = mariadb();
    large(server, "full_1");
    let bed = bed("mysql", &root(server, 0), "target: full_1\ncompress: none", "spool: yes");
    let Some(_disk) = Disk::mount(&bed, "tmp", "3m") else { return };
    bed.run(["start"]).exit(1).stderr_has("No space left");
    assert_eq!(bed.files("out").iter().filter(|key| key.contains("full_1")).count(), 0);
    nothing_left(&bed);
}

#[test]
fn a_check_reaches_each_database_as_a_run_would() {
    let server = mariadb();
    sql(server, "a", "CREATE DATABASE checked; CREATE TABLE checked.t (a INT); CREATE TABLE checked.u (a INT);
        CREATE OR REPLACE USER check_cols@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT SELECT ON checked.t TO check_cols@'127.0.0.1'");
    let root = root(server, 0);
    let bed = |kind, connect: &str, source| bed(kind, connect, source, "");
    let job = |connect: &str| bed("mysql", connect, "target: checked");
    reaches(&job(&root), 0, ": 1 target\nok     ");
    reaches(&job(&root.replace("svcpw", "wrong")), 1, "Access denied for user 'root'@");
    let few = root.replace("root", "check_cols").replace("svcpw", "pw");
    reaches(&job(&few), 1, "checked: the user may not read all of it");
    reaches(&bed("mysql", &root, "target: nowhere"), 1, "the server has no database of that name");
    let physical = |connect: &str| bed("mysql_xtrabackup", connect, "throttle: 99");
    reaches(&physical(&root), 0, ": 1 target\nok     ");
    reaches(&physical(&root.replace("svcpw", "wrong")), 1, "Access denied for user 'root'@");
}
