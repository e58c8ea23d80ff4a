//! What happens to a server, a tool or a disk while a copy runs.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::live::mysql::{answer, bed, nothing_left, root, sql, stored};
use crate::live::mysql_xtrabackup::fails;
use crate::support::procs::watched;
use crate::support::server::Server;
use crate::support::world::{Disk, sh};

/// The server of these tests, which do it no lasting harm one after another.
fn job(server: &Server, source: &str, more: &str) -> crate::support::bed::Bed {
    bed("mysql_xtrabackup", &root(server, 0), source, more)
}

#[test]
fn what_ends_a_copy_before_its_end_leaves_none() {
    let server = Server::own("mariadb");
    // A server that dies in the middle.
    let halting = "case \"$*\" in *--version*) exec /usr/bin/mariadb-backup \"$@\";; esac; d=$(dirname $0)/..; \
        { /usr/bin/mariadb-backup \"$@\"; echo $? > $d/rc; } | { head -c 100000; touch $d/half; \
        while [ ! -e $d/go ]; do sleep 0.05; done; cat; }; exit $(cat $d/rc)";
    let dying = job(&server, "throttle: 99", "").stub("mariadb-backup", halting);
    let mut command = dying.command(["start"]);
    let child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    while !dying.path("half").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    server.tell("kill_a");
    fs::write(dying.path("go"), "").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("mariadb-backup failed"), "{said}");
    assert_eq!(stored(&dying), [""; 0]);
    nothing_left(&dying);
    server.tell("start_a");

    // A lock that lasts: another backup is at work.
    let socket = server.path("a.sock");
    let mut holder = std::process::Command::new("mariadb");
    holder.args(["--no-defaults", "-uroot"]).arg(format!("--socket={}", socket.display()));
    holder.args(["-e", "BACKUP STAGE START; BACKUP STAGE BLOCK_COMMIT; SELECT SLEEP(120)"]);
    let mut holder = holder.stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    fails(&job(&server, "timeout: 4s", ""), "mariadb-backup gave nothing for 4 s");
    holder.kill().unwrap();
    holder.wait().unwrap();

    // A disk that is full of the spool.
    let full = job(&server, "throttle: 99\ncompress: none", "spool: yes");
    if let Some(_disk) = Disk::mount(&full, "tmp", "3m") {
        full.run(["start"]).exit(1).stderr_has("No space left");
        assert_eq!(stored(&full), [""; 0]);
        nothing_left(&full);
    }
}

#[test]
fn a_user_without_rights_and_a_tool_that_is_missing_or_old_are_told() {
    let server = Server::own("mariadb");
    sql(
        &server,
        "a",
        "CREATE USER few@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT SELECT ON *.* TO few@'127.0.0.1'",
    );
    let few = root(&server, 0).replace("db_user: root", "db_user: few").replace("svcpw", "pw");
    fails(&bed("mysql_xtrabackup", &few, "throttle: 99", ""), "mariadb-backup failed");
    let old = "mariadb-backup based on MariaDB server 5.5.68-MariaDB Linux (x86_64)";
    let old = job(&server, "throttle: 99", "").stub("mariadb-backup", &format!("echo '{old}'"));
    fails(&old, "mariadb-backup is of version 5.5.68, older than the server's 10.");
    let missing = job(&server, "throttle: 99", "");
    sh(&missing, "ln -s $(command -v mariadb) bin/mariadb");
    let path = missing.path("bin").display().to_string();
    fails(&missing.env("PATH", &path), "install the package mariadb-backup");
}

#[test]
fn nobody_sees_the_password_while_the_copy_runs() {
    let server = Server::own("mariadb");
    let password = "a'b\"c$d\\e f%g#h:i@j/k";
    let quoted = password.replace('\\', "\\\\").replace('\'', "''");
    let mut client = std::process::Command::new("mariadb");
    client
        .args(["--no-defaults", "-uroot"])
        .arg(format!("--socket={}", server.path("a.sock").display()));
    answer(
        client,
        &format!(
            "CREATE USER odd@'127.0.0.1' IDENTIFIED BY '{quoted}'; \
        GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR ON *.* TO odd@'127.0.0.1'"
        ),
    );
    let connect = root(&server, 0).replace("db_user: root", "db_user: odd");
    let connect = connect.replace("svcpw", &serde_json::to_string(password).unwrap());
    let bed = bed("mysql_xtrabackup", &connect, "throttle: 99", "");
    let (output, seen) = watched(bed.command(["start", "-v"]));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    let log = fs::read_to_string(bed.path("log")).unwrap();
    let tools: Vec<_> = seen.into_iter().filter(|line| line.contains("mariadb-backup")).collect();
    assert!(!tools.is_empty());
    for text in [&said, &log, &tools.join(" "), &sh(&bed, "cat $DIR/out/daily/*.json")] {
        assert!(!text.contains("g#h:i"), "{text}");
    }
    nothing_left(&bed);
}
