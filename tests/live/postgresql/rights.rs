//! Ways in: passwords, TLS, sockets, the least rights; and that no secret is seen on the way.

use std::fs;
use std::process::Stdio;

use crate::live::postgresql::{TCP, config, database, fingerprint, server, sql};
use crate::support::bed::Bed;
use crate::support::world::reaches;

fn job(connect: &str, more: &str) -> Bed {
    Bed::new().config(&config(server(), &format!("connect: {{{connect}}}\n    {more}")))
}

#[test]
fn a_password_with_every_awkward_character_works_and_is_seen_nowhere() {
    let server = server();
    database(
        server,
        "secret",
        "create table t as select i, md5(i::text) from generate_series(1, 200000) i",
    );
    let password = server.text("odd_password");
    let quoted = serde_json::to_string(&password).unwrap();
    let bed = job(
        &format!("db_host: 127.0.0.1, db_port: $PORT, db_user: svcodd, db_password: {quoted}"),
        "target: [secret]\n    globals: yes",
    );
    let mut child =
        bed.command(["-v", "start"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut dumps, mut files) = (0, 0);
    while child.try_wait().unwrap().is_none() {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            dumps += usize::from(line.contains("pg_dump\0") && line.contains("secret"));
            assert!(!line.contains(&password), "{line}");
        }
        files = files.max(bed.files("tmp").len());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr, fs::read(bed.path("nxs.log")).unwrap()].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success() && dumps > 0 && files > 0, "{dumps} {files} {said}");
    assert!(!said.contains(&password), "{said}");
    for name in bed.files("store").iter().filter(|name| name.ends_with(".manifest.json")) {
        let manifest = fs::read_to_string(bed.path("store").join(name)).unwrap();
        assert!(!manifest.contains(&password), "{manifest}");
    }
    assert_eq!(bed.files("tmp"), [] as [&str; 0]);
    // The same by the socket, which asks for it, too.
    let bed = job(
        &format!("socket: $SVC/sock, db_port: $PORT, db_user: svcodd, db_password: {quoted}"),
        "target: [secret]",
    );
    bed.run(["start"]);
    bed.run(["restore", "--into", "secret_2"]);
    assert_eq!(fingerprint(server, "secret_2"), fingerprint(server, "secret"));
}

#[test]
fn a_wrong_password_is_the_servers_own_word_and_leaves_nothing() {
    let bed = job(
        "db_host: 127.0.0.1, db_port: $PORT, db_user: postgres, db_password: secret-but-wrong",
        "target: [all]",
    );
    let ran = bed
        .run(["start"])
        .exit(1)
        .stderr_has("password authentication failed for user \"postgres\"");
    assert!(!ran.err().contains("secret-but-wrong"), "{}", ran.err());
    assert_eq!(
        (bed.files("store"), bed.files("tmp")),
        (vec![".nxs-backup.json".to_owned()], vec![])
    );
    let bed = job("db_host: 127.0.0.1, db_port: 1, db_user: postgres", "target: [all]");
    bed.run(["start"]).exit(1).stderr_has("Connection refused");
}

#[test]
fn what_the_caller_has_in_its_environment_leads_nowhere_else() {
    let server = server();
    database(server, "environment", "create table t as select 1 as x");
    let mut bed = job(&TCP["connect: {".len()..TCP.len() - 1], "target: [environment]");
    for (name, value) in [
        ("PGHOST", "/nowhere"),
        ("PGHOSTADDR", "192.0.2.1"),
        ("PGPORT", "1"),
        ("PGSERVICE", "nothing"),
        ("PGSSLMODE", "verify-full"),
        ("PGOPTIONS", "-c search_path=nowhere"),
        ("PGDATABASE", "nothing"),
        ("PGPASSFILE", "/nowhere"),
        ("PGCLIENTENCODING", "LATIN1"),
        ("PSQLRC", "/nowhere"),
    ] {
        bed = bed.env(name, value);
    }
    bed.run(["start"]);
    bed.run(["restore", "--into", "environment"]).stdout_has("loaded");
}

#[test]
fn tls_is_spoken_and_checked_as_the_keys_say() {
    database(server(), "tls", "create table t as select 1 as x");
    let tls = |more: &str| {
        job(
            &format!(
                "db_host: localhost, db_port: $PORT, db_user: svctls, db_password: svcpw, {more}"
            ),
            "target: [tls]",
        )
    };
    tls("ssl_mode: verify-full, ssl_root_cert: $SVC/tls/ca.crt").run(["start"]);
    tls("psql_ssl_mode: require").run(["start"]);
    let plain = tls("ssl_mode: disable").run(["start"]);
    plain.exit(1).stderr_has("no encryption");
    let stranger = tls("ssl_mode: verify-ca, ssl_root_cert: $SVC/tls/other.crt");
    std::fs::write(server().path("tls/other.crt"), OTHER_CA).unwrap();
    stranger.run(["start"]).exit(1).stderr_has("certificate verify failed");
}

/// A certificate of nobody: it signed none.
const OTHER_CA: &str = include_str!("../../fixtures/other-ca.pem");

#[test]
fn a_reader_with_the_least_rights_dumps_all_and_one_table_without_a_right_fails() {
    let server = server();
    database(
        server,
        "least",
        "create table t as select i from generate_series(1, 10) i; create sequence s; create schema app; create table app.u as select 1 as x",
    );
    sql(
        server,
        "postgres",
        "create role least_reader login password 'svcpw'; grant pg_read_all_data to least_reader",
    );
    let login = "db_host: 127.0.0.1, db_port: $PORT, db_user: least_reader, db_password: svcpw";
    let bed = job(login, "target: [least]\n    globals: yes");
    bed.run(["start"]);
    let before = fingerprint(server, "least");
    sql(server, "postgres", "alter database least rename to least_old");
    let superuser = &TCP["connect: {".len()..TCP.len() - 1];
    let text =
        config(server, &format!("connect: {{{superuser}}}\n    target: [least]\n    globals: yes"));
    let bed = bed.config(&text);
    bed.run(["restore", "--target", "least", "--into", "least"]);
    assert_eq!(fingerprint(server, "least"), before);
    let plain = "db_host: 127.0.0.1, db_port: $PORT, db_user: svcplain, db_password: svcpw";
    let roles = job(plain, "globals: yes");
    roles.run(["start"]);
    let log = fs::read_to_string(roles.path("nxs.log")).unwrap();
    assert!(log.contains("passwords of roles are left out"), "{log}");
    let failing = job(plain, "target: [least]");
    failing.run(["start"]).exit(1).stderr_has("permission denied for");
    assert_eq!(failing.files("store"), [".nxs-backup.json"]);
    // Without the table that it may not read, it may.
    sql(
        server,
        "least",
        "grant usage on schema app to svcplain; grant select on app.u to svcplain; revoke all on sequence s from public; grant select on sequence s to svcplain",
    );
    job(plain, "target: [least]\n    excludes: [least.public.t]").run(["start"]);
}

#[test]
fn a_check_reaches_each_database_as_a_run_would() {
    let server = server();
    database(server, "checked", "create table t as select 1 as x");
    let login = |user: &str, password: &str| {
        let login = format!("db_host: 127.0.0.1, db_port: $PORT, db_user: {user}");
        job(&format!("{login}, db_password: {password}"), "target: [checked]")
    };
    reaches(&login("postgres", "svcpw"), 0, ": 1 target\nok     ");
    reaches(&login("postgres", "wrong"), 1, "password authentication failed");
    reaches(&login("svcplain", "svcpw"), 1, "checked: public.t may not be read");
    let nobody = job("db_host: 127.0.0.1, db_port: 1, db_user: postgres", "target: [checked]");
    reaches(&nobody, 1, "Connection refused");
}
