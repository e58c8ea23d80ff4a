//! Tools that lie, are missing or too old.

use crate::live::mysql::faults::fails;
use crate::live::mysql::{bed, mariadb, root, sql};
use crate::support::bed::Bed;

fn ready(database: &str) -> Bed {
    let server = mariadb();
    sql(
        server,
        "a",
        &format!(
            "CREATE DATABASE IF NOT EXISTS {database}; CREATE TABLE IF NOT EXISTS {database}.t (a INT)"
        ),
    );
    bed("mysql", &root(server, 0), &format!("target: {database}"), "")
}

const VERSION: &str = "case \"$*\" in *--version*) exec /usr/bin/mariadb-dump --version;; esac";

#[test]
fn half_a_dump_and_exit_0_is_found_by_the_missing_end_mark() {
    let bed = ready("half_1");
    let bed = bed.stub(
        "mariadb-dump",
        &format!(
            "{VERSION}; /usr/bin/mariadb-dump \"$@\" | head -n 30; echo 'I am fine' >&2; exit 0"
        ),
    );
    fails(&bed, "ended without its end mark '-- Dump completed'");
    let bed = bed.stub("mariadb-dump", &format!("{VERSION}; exit 0"));
    fails(&bed, "ended without its end mark");
}

#[test]
fn a_dump_without_an_end_mark_must_at_least_be_something_whole() {
    let server = mariadb();
    sql(
        server,
        "a",
        "CREATE DATABASE IF NOT EXISTS nomark; CREATE TABLE IF NOT EXISTS nomark.t (a INT)",
    );
    let bed = bed("mysql", &root(server, 0), "target: nomark\nextra_keys: --compact", "");
    let bed = bed.stub("mariadb-dump", &format!("{VERSION}; exit 0"));
    fails(&bed, "printed nothing");
    let bed = bed.stub("mariadb-dump", &format!("{VERSION}; printf 'CREATE TABLE t (a INT'"));
    fails(&bed, "ended inside of a statement");
}

#[test]
fn a_missing_tool_names_its_package() {
    let server = mariadb();
    let mut bed = bed("mysql", &root(server, 0), "target: any", "");
    // Only what the tests bring.
    let path = bed.path("bin").display().to_string();
    bed = bed.env("PATH", &path);
    bed.run(["check"]).exit(2).stdout_has("install the package mariadb-client");
    fails(&bed, "mariadb-client");
}

#[test]
fn a_tool_that_is_older_than_the_server_is_refused() {
    let bed = ready("older_1");
    let old = "mariadb-dump  Ver 10.17 Distrib 5.5.68-MariaDB, for Linux (x86_64)";
    let bed = bed.stub("mariadb-dump", &format!("echo '{old}'"));
    fails(&bed, "mariadb-dump is of version 5.5.68, older than the server's 10.");
}

#[test]
fn a_dump_that_would_leave_its_database_is_not_loaded() {
    let bed = ready("switch_1");
    let text = "echo 'CREATE DATABASE IF NOT EXISTS `switch_1`;'; echo 'USE `switch_1`;'; echo 'DROP TABLE t;'; echo '-- Dump completed'";
    let bed = bed.stub("mariadb-dump", &format!("{VERSION}; {text}"));
    bed.run(["start"]);
    bed.run(["restore", "--target", "switch_1", "--into", "elsewhere_1"])
        .exit(1)
        .stderr_has("which leaves the database that it is loaded into");
    let server = mariadb();
    assert_eq!(sql(server, "a", "SHOW TABLES FROM switch_1"), "t\n");
    assert_eq!(sql(server, "a", "SHOW DATABASES LIKE 'elsewhere_1'"), "");
}
