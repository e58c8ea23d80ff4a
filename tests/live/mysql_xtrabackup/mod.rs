//! Physical copies of MariaDB, by the real tool; xtrabackup's command line by a stub.

mod faults;
mod increments;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::live::mysql::{answer, bed, nothing_left, root, same, sql, stored};
use crate::support::bed::Bed;
use crate::support::server::Server;
use crate::support::world::sh;

/// Starts a server on a restored folder, asks it, and ends it.
fn asked_of(folder: &Path, statements: &str) -> String {
    let socket = folder.parent().unwrap().join("copy.sock");
    let mut server = Command::new("mariadbd");
    server.args([
        "--no-defaults",
        "--user=root",
        "--skip-networking",
        "--innodb-log-file-size=16M",
    ]);
    server
        .arg(format!("--datadir={}", folder.display()))
        .arg(format!("--socket={}", socket.display()));
    let mut server = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(Instant::now() < end && server.try_wait().unwrap().is_none(), "it did not start");
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut client = Command::new("mariadb");
    client
        .args(["--no-defaults", "--batch", "--skip-column-names", "-uroot"])
        .arg(format!("--socket={}", socket.display()));
    let said = answer(client, statements);
    server.kill().unwrap();
    server.wait().unwrap();
    said
}

const CONTENT: &str =
    "CREATE DATABASE phys; CREATE TABLE phys.i (a INT PRIMARY KEY, b TEXT) ENGINE=InnoDB;
    INSERT INTO phys.i SELECT help_topic_id, REPEAT('x', 900) FROM mysql.help_topic LIMIT 400;
    CREATE TABLE phys.m (a INT) ENGINE=MyISAM; INSERT INTO phys.m VALUES (1), (2);
    CREATE DATABASE unwanted; CREATE TABLE unwanted.t (a INT) ENGINE=InnoDB";

#[test]
fn a_server_comes_back_from_its_files_and_starts() {
    let server = Server::own("mariadb");
    sql(&server, "a", CONTENT);
    let asked =
        "CHECKSUM TABLE phys.i, phys.m; SELECT COUNT(*), SUM(a), MD5(GROUP_CONCAT(b)) FROM phys.i";
    let before = sql(&server, "a", asked);
    let conf = server.path("a.cnf");
    let connect = format!(
        "{{db_user: root, db_password: svcpw, db_host: 127.0.0.1, db_port: {}, path_to_conf: {}}}",
        server.port(0),
        conf.display()
    );
    let template = "extra_keys: ' --no-timestamp --compact --throttle=5 --stream=tar ./'\nexcludes: [unwanted]";
    let bed = bed("mariabackup", &connect, template, "");
    let ran = bed.run(["start", "-v"]).noisy();
    assert!(ran.err().contains("`--stream=tar` of nxs-backup 2.x is left out"), "{}", ran.err());
    assert_eq!(stored(&bed), ["daily/xtrabackup_2026-11-21_03-00-00.xbstream.zst"]);
    let shown = sh(&bed, "cat $DIR/out/daily/*.json");
    assert!(shown.contains("mariadb-backup") && shown.contains("completed OK!"), "{shown}");
    assert!(shown.contains("position"), "{shown}");
    nothing_left(&bed);

    let ran = bed.run(["restore", "--to", "ready"]).noisy();
    for step in
        ["systemctl stop", "--copy-back --target-dir=", "chown -R mysql:mysql", "systemctl start"]
    {
        assert!(ran.out().contains(step), "{}", ran.out());
    }
    assert!(!bed.path("ready/unwanted").exists());
    let ready = bed.path("ready");
    let said = asked_of(&ready, asked);
    let rows = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with(['T', 'C']))
            .map(|line| line.to_owned() + "\n")
            .collect::<String>()
    };
    same(&rows(&said), &before);

    // By the stock tools alone.
    sh(
        &bed,
        "mkdir $DIR/stock; zstd -dqc $DIR/out/daily/*.zst | mbstream -x -C $DIR/stock; \
              mariadb-backup --prepare --target-dir=$DIR/stock 2>$DIR/stock.log; tail -n 1 $DIR/stock.log | grep -q 'completed OK!'",
    );
    same(&rows(&asked_of(&bed.path("stock"), asked)), &before);
}

#[track_caller]
fn fails(bed: &Bed, words: &str) {
    bed.run(["start"]).exit(1).stderr_has(words);
    assert_eq!(stored(bed), [""; 0]);
    nothing_left(bed);
}

#[test]
fn what_is_no_whole_copy_is_an_error() {
    let server = Server::own("mariadb");
    sql(&server, "a", CONTENT);
    let connect = root(&server, 0);
    fails(
        &bed("mysql_xtrabackup", &connect.replace("svcpw", "wrong"), "throttle: 99", ""),
        "Access denied",
    );
    let version = "case \"$*\" in *--version*) exec /usr/bin/mariadb-backup --version;; esac";
    for (script, words) in [
        (
            "/usr/bin/mariadb-backup \"$@\" 2>/dev/null | head -c 100000; exit 0",
            "ended without 'completed OK!'",
        ),
        ("echo 'x completed OK!' >&2; exit 0", "printed nothing"),
        ("/usr/bin/mariadb-backup \"$@\" | head -c 100000; kill -9 $$", "signal: 9"),
        ("echo data; echo 'x completed OK!' >&2; exit 0", "ended without a log position"),
        (
            "echo data; echo 'x completed OK!' >&2; exit 1",
            "failed (exit status: 1): x completed OK!",
        ),
    ] {
        let bed = bed("mysql_xtrabackup", &connect, "throttle: 99", "");
        fails(&bed.stub("mariadb-backup", &format!("{version}; {script}")), words);
    }
    // Without the copy of a page that is damaged.
    server.tell("stop_a");
    let file = fs::OpenOptions::new().write(true).open(server.path("a/phys/i.ibd")).unwrap();
    file.write_all_at(&[0xA5; 3000], 5 * 16384 + 200).unwrap();
    drop(file);
    server.tell("start_a");
    fails(&bed("mysql_xtrabackup", &connect, "throttle: 99", ""), "mariadb-backup failed");
    server.tell("stop_a");
    fails(&bed("mysql_xtrabackup", &connect, "throttle: 99", ""), "Can't connect");
}

#[test]
fn xtrabackup_is_told_what_it_knows_and_no_password() {
    let connect =
        "{db_user: backup, db_password: geheim, socket: /run/s, path_to_conf: $DIR/my.cnf}";
    let source = "is_slave: yes\nthrottle: 40\nexcludes: [a, b.c]\nextra_keys: [--parallel=2]";
    let client = "case \"$*\" in *--version*) echo 'mysql  Ver 8.0.36 for Linux on x86_64';; \
        *processlist*) printf '8.0.36\\t3306\\tlocalhost\\n';; *REPLICA*) echo ' Replica_SQL_Running: Yes';; esac";
    let tool = "case \"$*\" in *--version*) echo 'xtrabackup version 8.0.36-1 based on MySQL server 8.0.36 Linux (x86_64)' >&2; exit;; esac
        printf '%s\\n' \"$@\" > $(dirname $0)/../args; for a; do case $a in --extra-lsndir=*) l=${a#*=};; --defaults-file=*) f=${a#*=};; esac; done
        cat $f > $(dirname $0)/../file; mkdir -p $l; echo 'to_lsn = 4711' > $l/xtrabackup_checkpoints; echo stream
        echo '2026-11-27T04:00:00 0 [Note] [MY-011825] [Xtrabackup] completed OK!' >&2";
    let bed = bed("mysql_xtradb", connect, source, "").file("my.cnf", "[mysqld]\ndatadir=/x\n");
    let bed = bed.stub("mariadb", client).stub("xtrabackup", tool);
    bed.run(["start"]).noisy().exit(0);
    let args = fs::read_to_string(bed.path("args")).unwrap();
    for wanted in [
        "--backup",
        "--stream=xbstream",
        "--safe-slave-backup",
        "--slave-info",
        "--throttle=40",
        "--databases-exclude=a b.c",
        "--parallel=2",
    ] {
        assert!(args.lines().any(|arg| arg == wanted), "{wanted}: {args}");
    }
    assert!(args.starts_with("--defaults-file="), "{args}");
    assert!(!args.contains("geheim"), "{args}");
    let file = fs::read_to_string(bed.path("file")).unwrap();
    assert!(file.starts_with("!include ") && file.contains("[xtrabackup]\n"), "{file}");
    assert!(file.contains("password=\"geheim\""), "{file}");
    assert!(sh(&bed, "cat $DIR/out/daily/*.json").contains("4711"));
}
