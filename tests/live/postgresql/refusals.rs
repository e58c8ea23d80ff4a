//! Programs that are missing, too old, or do half of their work: never a success.

use crate::live::postgresql::{TCP, bed, config, database, fingerprint, server, sql};
use crate::support::bed::Bed;
use crate::support::world::{Disk, sh};

/// Answers for the program itself where a stub only changes what it does.
const VERSION: &str =
    "case $1 in --version) echo \"$(basename $0) (PostgreSQL) 15.1\"; exit;; esac\n";

/// Expects that the run failed and left nothing: no manifest, no object, no password.
#[track_caller]
fn nothing_stored(bed: &Bed) {
    let left = bed.files("store");
    assert!(left.iter().all(|name| name == ".nxs-backup.json"), "{left:?}");
    let left = bed.files("tmp");
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_dump_program_that_does_half_of_its_work_and_exits_0_is_found() {
    let server = server();
    database(server, "half", "create table t as select generate_series(1, 100000) i");
    let half =
        format!("{VERSION}/usr/lib/postgresql/*/bin/pg_dump \"$@\" | head -c 100000; exit 0");
    let plain = bed(server, "target: [half]").stub("pg_dump", &half);
    plain
        .run(["start"])
        .exit(1)
        .stderr_has("ended without its end mark '-- PostgreSQL database dump complete'");
    nothing_stored(&plain);
    let custom = bed(server, "target: [half]\n    format: custom\n    extra_keys: -Z0")
        .stub("pg_dump", &half);
    custom
        .run(["start"])
        .exit(1)
        .stderr_has("the dump is not whole, since it cannot be read")
        .stderr_has("end of file");
    nothing_stored(&custom);
    let globals =
        bed(server, "globals: yes").stub("pg_dumpall", &format!("{VERSION}echo '-- half'"));
    globals
        .run(["start"])
        .exit(1)
        .stderr_has("end mark '-- PostgreSQL database cluster dump complete'");
    nothing_stored(&globals);
}

#[test]
fn an_empty_dump_is_no_dump_and_a_killed_program_says_its_signal() {
    let server = server();
    database(server, "empty", "");
    for (format, word) in [("plain", "end mark"), ("custom", "pg_restore")] {
        let bed = bed(server, &format!("target: [empty]\n    format: {format}"));
        let bed = bed.stub("pg_dump", &format!("{VERSION}exit 0"));
        bed.run(["start"]).exit(1).stderr_has(word);
        nothing_stored(&bed);
    }
    let killed = bed(server, "target: [empty]");
    let killed =
        killed.stub("pg_dump", &format!("{VERSION}echo half; echo 'last word' >&2; kill -9 $$"));
    killed.run(["start"]).exit(1).stderr_has("signal: 9").stderr_has("last word");
    nothing_stored(&killed);
}

#[test]
fn a_failed_run_rotates_nothing() {
    let server = server();
    database(server, "rotates", "create table t as select 1 as x");
    let mut bed = bed(server, "target: [rotates]");
    for day in 21..=25 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]"));
        bed.run(["start"]);
    }
    let before = bed.files("store");
    let mut bed = bed.stub("pg_dump", &format!("{VERSION}echo half"));
    bed.now("2026-11-26T03:00:00+00:00[UTC]");
    bed.run(["start"]).exit(1).noisy();
    assert_eq!(bed.files("store").len(), before.len());
    sh(&bed, "rm bin/pg_dump");
    bed.run(["restore", "--into", "rotates_2"]);
    assert_eq!(fingerprint(server, "rotates_2"), fingerprint(server, "rotates"));
}

/// Runs the command where the folders of PostgreSQL hold only what `fill` puts there.
#[track_caller]
pub(crate) fn without_programs(bed: &Bed, fill: &str, args: &str) -> (i32, String) {
    let script = format!(
        "psql=$(echo /usr/lib/postgresql/*/bin/psql); cp $psql $DIR/psql.kept; \
         mount -t tmpfs none /usr/lib/postgresql; {fill}\n\
         exec env -i PATH=$DIR/bin:/usr/bin:/bin HOME=$DIR/home TZ=UTC NXS_BACKUP_CONFIG=$DIR/nxs-backup.conf {} {args}",
        env!("CARGO_BIN_EXE_nxs-backup")
    );
    let script = script.replace("$DIR", bed.path("").to_str().unwrap().trim_end_matches('/'));
    let mut command = std::process::Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command = std::process::Command::new("sudo");
        command.args(["-n", "unshare"]);
    }
    let output = command.args(["--mount", "sh", "-ec", &script]).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_missing_program_names_its_package_and_one_that_is_too_old_both_versions() {
    let server = server();
    let bed = bed(server, "target: [postgres]");
    let (code, said) = without_programs(&bed, "", "start");
    assert!(
        code == 1
            && said.contains("the program psql is missing: install the package postgresql-client"),
        "{said}"
    );
    let (code, said) =
        without_programs(&bed, "rm -f $DIR/bin/psql; cp $DIR/psql.kept $DIR/bin/psql", "start");
    let missing = "the program pg_dump is missing: install the package postgresql-client-";
    assert!(code == 1 && said.contains(missing), "{said}");
    let old = "mkdir -p /usr/lib/postgresql/11/bin; printf '#!/bin/sh\\necho \"pg_dump (PostgreSQL) 11.9\"\\n' \
        > /usr/lib/postgresql/11/bin/pg_dump; chmod 755 /usr/lib/postgresql/11/bin/pg_dump";
    let (code, said) = without_programs(&bed, old, "start");
    assert!(
        code == 1
            && said.contains(
                "pg_dump 11 (/usr/lib/postgresql/11/bin/pg_dump) is older than the server (15"
            ),
        "{said}"
    );
    assert!(said.contains("install the package postgresql-client-15"), "{said}");
    nothing_stored(&bed);
}

#[test]
fn a_full_disk_under_a_spool_fails_the_target() {
    let server = server();
    database(
        server,
        "spooled",
        "create table t as select i, md5(i::text) from generate_series(1, 100000) i",
    );
    let text = config(server, &format!("{TCP}\n    target: [spooled]"));
    let bed = Bed::new().config(&text.replace("compress: zstd", "spool: yes"));
    let Some(_disk) = Disk::mount(&bed, "tmp", "2m") else { return };
    bed.run(["start"]).exit(1).stderr_has("spooled").stderr_has("No space left");
    nothing_stored(&bed);
}

#[test]
fn what_is_wrong_with_the_keys_is_found_by_check_with_line_and_column() {
    let bed = bed(server(), "target: [a]\n    extra_keys: '-C --fil=/x'\n    formt: custom");
    let ran = bed.run(["check"]).exit(2).noisy();
    for part in ["`-C` cannot be given", "`--fil=/x` cannot be given", "format", "nxs-backup.conf:"]
    {
        assert!(ran.out().contains(part), "{part}\n{}", ran.out());
    }
    sql(server(), "postgres", "select 1");
}
