//! What happens to a server while it is dumped, and one bad database among many.

use std::io::Write;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::live::postgresql::{bed, database, fingerprint, psql, said, sql};
use crate::support::bed::Bed;
use crate::support::server::Server;

/// A server that these tests may hurt, one at a time.
fn hurt() -> (MutexGuard<'static, ()>, &'static Server) {
    static TURN: Mutex<()> = Mutex::new(());
    static SERVER: OnceLock<Server> = OnceLock::new();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    (turn, SERVER.get_or_init(|| Server::own("postgresql")))
}

fn big(server: &Server, name: &str) {
    database(
        server,
        name,
        "create table t as select i, md5(i::text) || md5((-i)::text) as s from generate_series(1, 300000) i",
    );
}

#[track_caller]
fn nothing_stored(bed: &Bed) {
    assert_eq!(
        (bed.files("store"), bed.files("tmp")),
        (vec![".nxs-backup.json".to_owned()], vec![])
    );
}

#[test]
fn one_broken_database_of_fifty_is_one_red_row_and_the_others_are_kept() {
    let (_turn, server) = hurt();
    // Fifty, and one that is left out.
    let names: Vec<String> = (1..=51).map(|number| format!("many_{number}")).collect();
    let make = |name: &String| {
        format!("create database {name};\n\\c {name}\ncreate table t as select 1 as x;\n")
    };
    let made = psql(server, 0, "postgres").stdin(Stdio::piped()).spawn().unwrap();
    let script: String = names.iter().map(make).collect();
    made.stdin.as_ref().unwrap().write_all(script.as_bytes()).unwrap();
    said(&made.wait_with_output().unwrap());
    sql(server, "postgres", "create database many_template is_template true");
    sql(server, "postgres", "alter database many_4 allow_connections false");
    let bed = bed(server, "target: [all]\n    excludes: [many_2, template0]");
    let ran = bed.run(["start"]).exit(3).stderr_has("many_4: lets nobody in");
    let is_stored = |line: &&str| line.contains(" daily ") && line.contains("many_");
    assert_eq!(ran.out().lines().filter(is_stored).count(), 49, "{}", ran.out());
    assert_eq!(ran.out().matches("lets nobody in").count(), 1, "{}", ran.out());
    let files = bed.files("store").join("\n");
    for there in ["many_1/daily/many_1_", "postgres/daily/", "globals/daily/globals_"] {
        assert!(files.contains(there), "{there}\n{files}");
    }
    for absent in ["many_2/", "many_4/", "template"] {
        assert!(!files.contains(absent), "{absent}\n{files}");
    }
    sql(server, "postgres", "alter database many_4 allow_connections true");
    // Without a right on one.
    sql(server, "many_5", "create role many_reader login password 'svcpw'; ");
    for name in ["many_1", "many_3"] {
        sql(server, name, "grant select on t to many_reader");
    }
    sql(server, "many_5", "revoke all on t from public");
    let text = crate::live::postgresql::config(
        server,
        "connect: {db_host: 127.0.0.1, db_port: $PORT, db_user: many_reader, db_password: svcpw}\n    target: [many_1, many_3, many_5, nothing_there]",
    );
    let bed = Bed::new().config(&text);
    let ran = bed.run(["start"]).exit(3).stderr_has("permission denied for table t");
    assert!(
        ran.err().contains("nothing_there: there is no database of that name"),
        "{}",
        ran.err()
    );
    assert_eq!(
        bed.files("store").iter().filter(|name| name.ends_with(".manifest.json")).count(),
        2
    );
}

#[test]
fn a_server_that_dies_in_the_middle_of_a_dump_fails_it() {
    let (_turn, server) = hurt();
    big(server, "dies");
    // Slow enough to be hit: the storage takes 1 MiB a second.
    let bed = bed(server, "target: [dies]");
    let text = std::fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let bed = bed.config(&text.replace("compress: zstd", "limits: {net: 1MiB}"));
    for signal in ["server", "program"] {
        let child =
            bed.command(["start"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while sql(
            server,
            "postgres",
            "select count(*) from pg_stat_activity where query like 'COPY public.t%'",
        ) == "0"
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        match signal {
            "server" => server.tell("kill"),
            _ => {
                let backend = "select pg_terminate_backend(pid) from pg_stat_activity where query like 'COPY public.t%'";
                sql(server, "postgres", backend);
            }
        }
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains("pg_dump failed (exit status: 1)"), "{err}");
        assert!(err.contains("Error message from server: "), "{err}");
        nothing_stored(&bed);
        if signal == "server" {
            server.tell("start");
        }
    }
}

#[test]
fn a_locked_table_is_named_when_the_timeout_is_over() {
    let (_turn, server) = hurt();
    database(server, "locked", "create table \"The Table\" as select 1 as x");
    let hold = "begin; lock table \"The Table\" in access exclusive mode; select pg_sleep(30)";
    let mut holder =
        psql(server, 0, "locked").args(["-c", hold]).stderr(Stdio::null()).spawn().unwrap();
    let waits = "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted and database = (select oid from pg_database where datname = 'locked') and relation is not null";
    while sql(server, "postgres", waits) == "0" {}
    let bed = bed(server, "target: [locked]\n    timeout: 2s");
    bed.run(["start"]).exit(1).stderr_has("LOCK TABLE public.\"The Table\" IN ACCESS SHARE MODE");
    nothing_stored(&bed);
    sql(
        server,
        "postgres",
        "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(30)' and pid <> pg_backend_pid()",
    );
    holder.wait().unwrap();
    bed.run(["start"]);
}

#[test]
fn a_corrupt_page_fails_the_dump_in_the_servers_own_words() {
    let (_turn, server) = hurt();
    big(server, "corrupt");
    database(server, "sound", "create table t as select 1 as x");
    let path = sql(server, "corrupt", "checkpoint; select pg_relation_filepath('t')");
    server.tell("stop");
    let path = server.path("main").join(path.lines().last().unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8192 * 7 + 4000..8192 * 7 + 4100].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    server.tell("start");
    let bed = bed(server, "target: [corrupt, sound]");
    bed.run(["start"]).exit(3).stderr_has("invalid page in block 7");
    let manifests: Vec<_> =
        bed.files("store").into_iter().filter(|name| name.ends_with(".manifest.json")).collect();
    assert!(manifests.len() == 1 && manifests[0].starts_with("sound/"), "{manifests:?}");
    bed.run(["restore", "--target", "sound", "--into", "sound_2"]);
    assert_eq!(fingerprint(server, "sound_2"), fingerprint(server, "sound"));
    sql(server, "postgres", "drop database corrupt");
    let left = "select count(*) from pg_database where datname like 'nxs\\_%'";
    assert_eq!(sql(server, "postgres", left), "0");
}

#[test]
fn a_run_that_is_interrupted_ends_its_programs_and_leaves_nothing() {
    let (_turn, server) = hurt();
    big(server, "interrupted");
    let bed = bed(server, "target: [interrupted]");
    let text = std::fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let bed = bed.config(&text.replace("compress: zstd", "limits: {net: 1MiB}"));
    let mut command = bed.command(["start"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let copies = "select count(*) from pg_stat_activity where query like 'COPY public.t%'";
    while sql(server, "postgres", copies) == "0" {
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    nothing_stored(&bed);
    while sql(server, "postgres", copies) != "0" {
        std::thread::sleep(Duration::from_millis(20));
    }
}
