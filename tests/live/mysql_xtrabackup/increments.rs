//! Copies of what changed since the last one, and all of them together as one server.

use std::fs;

use crate::live::mysql::{bed, root, same, sql, stored};
use crate::live::mysql_xtrabackup::{CONTENT, asked_of};
use crate::support::bed::Bed;
use crate::support::server::Server;
use crate::support::world::sh;

/// A job whose copies build on one another.
fn chained(connect: &str) -> Bed {
    let bed = bed("mysql_xtrabackup", connect, "throttle: 99", "incremental: {max_level: 7}");
    let text = fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    bed.config(&text.replace(", store: {days: 3}", ""))
}

fn start_on(bed: &mut Bed, day: u8) -> String {
    bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]"));
    let ran = bed.run(["start", "-v"]).noisy().exit(0);
    format!("{}{}", ran.out(), ran.err())
}

const ASKED: &str = "CHECKSUM TABLE phys.i, phys.m, phys.fresh, later.t, later.u;
    SELECT COUNT(*), SUM(a), MD5(GROUP_CONCAT(b ORDER BY a)) FROM phys.i; SHOW TABLES FROM phys; SHOW TABLES FROM later";

#[test]
fn increments_are_applied_in_order_and_a_server_starts_on_them() {
    let server = Server::own("mariadb");
    sql(&server, "a", CONTENT);
    let mut bed = chained(&root(&server, 0));
    start_on(&mut bed, 21);
    let on = |day: &str, level: u8| {
        format!("chain_2026-11-21_03-00-00/L{level}_xtrabackup_2026-11-{day}_03-00-00.xbstream.zst")
    };
    assert_eq!(stored(&bed), [on("21", 0)]);
    sql(&server, "a", "UPDATE phys.i SET b = REPEAT('y', 800) WHERE a < 100; INSERT INTO phys.m VALUES (3);
        CREATE TABLE phys.fresh (a INT PRIMARY KEY, b BLOB) ENGINE=InnoDB; INSERT INTO phys.fresh VALUES (1, x'00ff27'), (2, NULL);
        CREATE DATABASE later; CREATE TABLE later.t (a INT) ENGINE=InnoDB; INSERT INTO later.t VALUES (7);
        CREATE TABLE later.u (a INT) ENGINE=InnoDB; DROP DATABASE unwanted");
    let first = sql(&server, "a", ASKED);
    start_on(&mut bed, 22);
    sql(&server, "a", "DELETE FROM phys.i WHERE a BETWEEN 20 AND 60; RENAME TABLE phys.fresh TO later.moved;
        CREATE TABLE phys.fresh (a INT) ENGINE=InnoDB; INSERT INTO phys.fresh VALUES (5); DROP TABLE later.u;
        CREATE TABLE later.u (c TEXT) ENGINE=InnoDB; INSERT INTO later.u VALUES ('again'); TRUNCATE later.t");
    let second = sql(&server, "a", ASKED);
    let said = start_on(&mut bed, 23);
    assert!(!said.contains("WARN"), "{said}");
    assert_eq!(stored(&bed), [on("21", 0), on("22", 1), on("23", 2)]);
    sql(&server, "a", "DROP DATABASE phys");
    let shown = bed.run(["list", "--json"]).json();
    let raw = |at: usize| shown["backups"][at]["raw_bytes"].as_u64().unwrap_or(0);
    assert!(raw(1) < raw(0) / 2 || raw(1) < raw(2) / 2, "{shown:#}");
    bed.run(["verify", "--full"]).stdout_has("3 whole, 0 not");

    bed.run(["restore", "--to", "ready"]).noisy().exit(0).stdout_has("--copy-back");
    assert_eq!(sh(&bed, "ls -A $DIR | grep nxs-increment || true"), "");
    assert!(!bed.path("ready/unwanted").exists());
    same(&asked_of(&bed.path("ready"), ASKED), &second);
    bed.run(["restore", "--at", "2026-11-22", "--to", "former"]).noisy().exit(0);
    same(&asked_of(&bed.path("former"), ASKED), &first);

    // One stream they are not; by the stock tools alone they are a server.
    bed.run(["restore", "--to", "-"]).exit(1).stderr_has("several archives cannot be one stream");
    let told = bed.run(["restore", "--explain", "--to", "parts"]);
    assert_eq!(told.out().matches("| zstd -dc >").count(), 3, "{}", told.out());
    sh(&bed, "set -e; for l in 0 1 2; do mkdir $DIR/s$l; zstd -dqc $DIR/out/chain_*/L$l*.zst | mbstream -x -C $DIR/s$l; done
        mariadb-backup --prepare --target-dir=$DIR/s0 2>$DIR/stock.log
        for l in 1 2; do mariadb-backup --prepare --target-dir=$DIR/s0 --incremental-dir=$DIR/s$l 2>>$DIR/stock.log; done");
    same(&asked_of(&bed.path("s0"), ASKED), &second);
}

#[test]
fn a_server_with_another_history_gets_a_full_copy_and_a_word() {
    let server = Server::own("mariadb");
    let folder = server.path("a");
    let mut bed = chained(&root(&server, 0));
    server.tell("stop_a");
    sh(&bed, &format!("cp -a {} $DIR/snapshot", folder.display()));
    server.tell("start_a");
    sql(&server, "a", CONTENT);
    // An end in order is a checkpoint.
    server.tell("stop_a");
    server.tell("start_a");
    start_on(&mut bed, 21);
    // The volume is set back: the same files, with an older log.
    server.tell("stop_a");
    sh(&bed, &format!("rm -r {0}/phys {0}/unwanted; cp -a $DIR/snapshot/. {0}/", folder.display()));
    server.tell("start_a");
    let said = start_on(&mut bed, 22);
    assert!(said.contains("where that copy ends: was it set back?"), "{said}");
    assert!(said.contains("a full copy is made"), "{said}");
    assert_eq!(stored(&bed).iter().filter(|name| name.contains("/L0_")).count(), 2);
    start_on(&mut bed, 23);
    assert_eq!(stored(&bed).iter().filter(|name| name.contains("/L1_")).count(), 1);
    // It is put back from a copy: other files, whatever their log says.
    server.tell("stop_a");
    sh(&bed, &format!("cd {}; cp -a ibdata1 other; mv other ibdata1", folder.display()));
    server.tell("start_a");
    let said = start_on(&mut bed, 24);
    assert!(said.contains("path, server, options, excludes or encryption have changed"), "{said}");
    assert_eq!(stored(&bed).iter().filter(|name| name.contains("/L0_")).count(), 3);
    bed.run(["restore", "--to", "ready"]).noisy().exit(0);
    asked_of(&bed.path("ready"), "SELECT 1");
}

#[test]
fn xtrabackup_keeps_open_what_a_later_increment_goes_on_with() {
    let client = "case \"$*\" in *--version*) echo 'mysql  Ver 8.0.36 for Linux on x86_64';; \
        *processlist*) printf '8.0.36\\t3306\\tlocalhost\\n';; \
        *data_home_dir*) printf '%s/data/\\t\\tibdata1:12M\\tuuid\\n' $(cd $(dirname $0)/..; pwd);; \
        *STATUS*) echo 'Last checkpoint at          9000';; *datadir*) echo /x;; esac";
    let tool = "case \"$*\" in *--version*) echo 'xtrabackup version 8.0.36-1 based on MySQL server 8.0.36 Linux (x86_64)' >&2; exit;; esac
        echo \"$@\" | sed 's/--[a-z-]*=[^ ]*nxs-private[^ ]*//g' >> $(dirname $0)/../args
        for a; do case $a in --extra-lsndir=*) l=${a#*=};; --incremental-lsn=*) f=${a#*=};; esac; done
        [ -z \"$l\" ] || { mkdir -p $l; printf 'from_lsn = %s\\nto_lsn = %s\\n' ${f:-0} $((${f:-0} + 100)) > $l/xtrabackup_checkpoints; echo stream; }
        echo '2026-11-27T04:00:00 0 [Note] [MY-011825] [Xtrabackup] completed OK!' >&2";
    let mut bed = chained("{db_user: backup, db_password: geheim, socket: /run/s}")
        .stub("mariadb", client)
        .stub("xtrabackup", tool)
        .stub("mbstream", "cat > /dev/null; echo 'tool_name = xtrabackup' > $3/xtrabackup_info");
    bed = bed.tree("data", &[("ibdata1", "x")]);
    for day in 21..=23 {
        start_on(&mut bed, day);
    }
    bed.run(["restore", "--to", "ready"]).noisy().exit(0);
    let args = fs::read_to_string(bed.path("args")).unwrap();
    let of = |word: &str| args.lines().filter(|line| line.contains(word)).collect::<Vec<_>>();
    assert_eq!((of("--incremental-lsn=100").len(), of("--incremental-lsn=200").len()), (1, 1));
    let prepared = of("--prepare");
    assert_eq!(prepared.len(), 3, "{args}");
    for (at, line) in prepared.iter().enumerate() {
        assert_eq!(line.contains("--apply-log-only"), at < 2, "{line}");
        assert_eq!(line.contains(&format!("nxs-increment-{at}")), at > 0, "{line}");
    }
}
