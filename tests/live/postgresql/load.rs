//! What a restore into a server does to it: another name, an existing database, sessions, roles.

use crate::live::postgresql::{bed, config, database, fingerprint, psql, server, sql};
use crate::support::bed::Bed;
use crate::support::server::Server;
use crate::support::world::sh;

fn shop(server: &Server, name: &str) {
    database(
        server,
        name,
        "create table t as select i, md5(i::text) from generate_series(1, 500) i",
    );
}

#[test]
fn a_database_is_replaced_only_by_a_whole_load_and_after_it_was_dumped_to_a_file() {
    let server = server();
    shop(server, "load_shop");
    sql(
        server,
        "postgres",
        "create role load_app login; alter database load_shop owner to load_app; \
        alter database load_shop set work_mem to '5MB'; alter database load_shop set search_path to \
        public, \"$user\"; grant temporary on database load_shop to svcplain; comment on database \
        load_shop is 'it''s ours'",
    );
    let rights = "select pg_get_userbyid(datdba), (select array_agg(a::text order by a::text) from unnest(datacl) a), shobj_description(d.oid, 'pg_database'), \
        (select setconfig from pg_db_role_setting where setdatabase = d.oid) from pg_database d \
        where datname = 'load_shop'";
    let had = sql(server, "postgres", rights);
    let bed = bed(server, "target: [load_shop]\n    excludes: [load_shop.public.log_*]");
    bed.run(["start"]);
    let before = fingerprint(server, "load_shop");
    sql(server, "load_shop", "delete from t where i > 10; create table log_1 as select 1 as later");
    let changed = fingerprint(server, "load_shop");
    // Somebody is in it.
    let mut idle =
        psql(server, 0, "load_shop").args(["-c", "select pg_sleep(60)"]).spawn().unwrap();
    while sql(
        server,
        "postgres",
        "select count(*) from pg_stat_activity where datname = 'load_shop'",
    ) == "0"
    {}
    let ran = bed.run(["restore", "--into", "load_shop"]).noisy();
    assert!(ran.out().contains("what was there before is in"), "{}", ran.out());
    assert!(ran.err().contains("1 sessions are ended"), "{}", ran.err());
    assert!(!idle.wait().unwrap().success());
    assert_eq!(fingerprint(server, "load_shop"), before);
    assert_eq!(sql(server, "postgres", rights), had);
    // The file has all that was there, also what the job leaves out.
    let rescued = bed.files("state/before-restore");
    assert_eq!(rescued.len(), 1, "{rescued:?}");
    sql(server, "postgres", "create database load_rescued template template0");
    let at = format!("-U postgres -h {} -p {}", server.path("sock").display(), server.port(0));
    sh(
        &bed,
        &format!(
            "zstd -dc state/before-restore/{} | psql -Xq -v ON_ERROR_STOP=1 -o /dev/null {at} load_rescued",
            rescued[0]
        ),
    );
    assert_eq!(fingerprint(server, "load_rescued"), changed);
}

#[test]
fn another_name_on_another_server_leaves_the_original_alone() {
    let server = server();
    shop(server, "load_from");
    let text =
        config(server, &format!("{}\n    target: [load_from]", crate::live::postgresql::TCP));
    let other = text
        .split("- job: pg\n")
        .nth(1)
        .unwrap()
        .replace("connect: {db_host: 127.0.0.1", "connect: {db_host: localhost");
    let bed = Bed::new()
        .config(&format!("{text}- job: other\n{}", other.replace("$DIR/store", "$DIR/store2")));
    bed.run(["start", "pg"]);
    let before = fingerprint(server, "load_from");
    bed.run(["-n", "restore", "pg", "--into", "load_to", "--connect", "other"])
        .stdout_has("would load");
    let there = "select count(*) from pg_database where datname = 'load_to'";
    assert_eq!(sql(server, "postgres", there), "0");
    bed.run(["restore", "pg", "--into", "load_to", "--connect", "other"]).stdout_has("localhost:");
    assert_eq!(fingerprint(server, "load_to"), before);
    assert_eq!(fingerprint(server, "load_from"), before);
}

#[test]
fn a_missing_role_is_named_and_the_globals_bring_it_back() {
    let server = server();
    shop(server, "load_roles");
    sql(
        server,
        "load_roles",
        "create role load_gone login password 'x' valid until '2030-01-01'; alter table t owner to load_gone",
    );
    let bed = bed(server, "target: [load_roles]\n    globals: yes");
    bed.run(["start"]);
    let before = fingerprint(server, "load_roles");
    let role = "select rolname, rolcanlogin, rolpassword, rolvaliduntil from pg_authid where rolname = 'load_gone'";
    let had = sql(server, "postgres", role);
    sql(server, "postgres", "drop database load_roles");
    sql(server, "postgres", "drop role load_gone");
    let load = ["restore", "--target", "load_roles", "--into", "load_roles"];
    let ran = bed.run(load).exit(1).stderr_has("role \"load_gone\" does not exist");
    assert!(ran.err().contains("restore --target globals --into globals"), "{}", ran.err());
    assert!(ran.err().contains("nothing was changed"), "{}", ran.err());
    assert_eq!(
        sql(server, "postgres", "select count(*) from pg_database where datname ~ '^load_roles'"),
        "0"
    );
    bed.run(["restore", "--target", "globals", "--into", "x"]).exit(1).stderr_has("--into globals");
    bed.run(["restore", "--target", "globals", "--into", "globals"]);
    assert_eq!(sql(server, "postgres", role), had);
    bed.run(load);
    assert_eq!(fingerprint(server, "load_roles"), before);
}

#[test]
fn a_dump_that_would_switch_to_another_database_is_refused_and_nothing_changes() {
    let server = server();
    shop(server, "load_switch");
    let bed = bed(server, "target: [load_switch]");
    let real = "/usr/lib/postgresql/*/bin/pg_dump";
    let stub = format!(
        "case $1 in --version) exec {real} --version;; esac\nprintf '%s\\n' '\\connect postgres'; {real} \"$@\""
    );
    let bed = bed.stub("pg_dump", &stub);
    bed.run(["start"]);
    let before = fingerprint(server, "load_switch");
    let ran = bed.run(["restore", "--into", "load_switch", "--no-rescue"]).exit(1);
    let ran = ran.stderr_has("the dump holds `\\connect`");
    assert!(ran.err().contains("--to DIR"), "{}", ran.err());
    assert_eq!(fingerprint(server, "load_switch"), before);
}

#[test]
fn a_load_that_fails_leaves_what_was_there() {
    let server = server();
    shop(server, "load_fails");
    let bed = bed(server, "target: [load_fails]");
    bed.run(["start"]);
    sql(server, "load_fails", "delete from t where i > 10");
    let before = fingerprint(server, "load_fails");
    let stub = "case $1 in --version) echo 'psql (PostgreSQL) 15.1'; exit;; esac\n\
        case \"$*\" in *--file=-*) head -c 100 >/dev/null; echo 'psql: error: server closed the connection' >&2; exit 2;; esac\n\
        exec /usr/lib/postgresql/*/bin/psql \"$@\"";
    let bed = bed.stub("psql", stub);
    let ran = bed.run(["restore", "--into", "load_fails"]).exit(1);
    ran.stderr_has("nothing was loaded, and nothing was changed")
        .stderr_has("server closed the connection");
    assert_eq!(fingerprint(server, "load_fails"), before);
    bed.run(["restore", "--into", "template1"]).exit(1).stderr_has("is a template");
}
