//! A replica stands still while it is read, and runs again whatever happened.

use std::time::{Duration, Instant};

use crate::live::mysql::{answer, bed, root, sql, stored};
use crate::support::server::Server;

fn sql_thread(server: &Server) -> String {
    let socket = server.path("b.sock");
    let mut client = std::process::Command::new("mariadb");
    client.args(["--no-defaults", "-uroot"]).arg(format!("--socket={}", socket.display()));
    let status = answer(client, "SHOW SLAVE STATUS\\G");
    let line = status.lines().find(|line| line.contains("Slave_SQL_Running:")).unwrap();
    line.split(": ").nth(1).unwrap().to_owned()
}

#[track_caller]
fn becomes(server: &Server, wanted: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    while sql_thread(server) != wanted {
        assert!(Instant::now() < end, "the SQL thread is not {wanted}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A dump tool that asks the replica how it is, and then takes its time.
fn spying(server: &Server, then: &str) -> String {
    let socket = server.path("b.sock");
    format!(
        "case \"$*\" in *--version*) exec /usr/bin/mariadb-dump \"$@\";; esac; \
         mariadb --no-defaults --socket={} -uroot -e 'SHOW SLAVE STATUS\\G' | grep Slave_SQL_Running: >> $(dirname $0)/../seen; {then}",
        socket.display()
    )
}

#[test]
fn its_sql_thread_is_paused_for_the_whole_source_and_restarted_on_every_way_out() {
    let server = Server::own("mariadb");
    server.tell("replicate");
    sql(
        &server,
        "a",
        "CREATE DATABASE rep_1; CREATE DATABASE rep_2; CREATE TABLE rep_1.t (a INT); INSERT INTO rep_1.t VALUES (1)",
    );
    let there = Instant::now() + Duration::from_secs(20);
    while sql(&server, "b", "SHOW DATABASES").matches("rep_").count() < 2 {
        assert!(Instant::now() < there);
        std::thread::sleep(Duration::from_millis(50));
    }
    let connect = root(&server, 1);
    // root@127.0.0.1 was made on both before the replication.
    let source = "target: [rep_1, rep_2]\nis_slave: yes";
    let real = "exec /usr/bin/mariadb-dump \"$@\"";

    // A good run.
    let whole = bed("mysql", &connect, source, "").stub("mariadb-dump", &spying(&server, real));
    whole.run(["start"]);
    let seen = std::fs::read_to_string(whole.path("seen")).unwrap();
    assert_eq!(seen.matches("Slave_SQL_Running: No").count(), 2, "{seen}");
    assert_eq!((sql_thread(&server), stored(&whole).len()), ("Yes".to_owned(), 2));
    assert_eq!(whole.files("state").iter().filter(|name| name.contains("replica")).count(), 0);

    // A run that fails.
    let failing =
        bed("mysql", &connect, source, "").stub("mariadb-dump", &spying(&server, "exit 7"));
    failing.run(["start"]).exit(1).noisy();
    assert_eq!(sql_thread(&server), "Yes");

    // A run that is interrupted, and one that is killed; the next one mends that.
    let slow =
        bed("mysql", &connect, source, "").stub("mariadb-dump", &spying(&server, "exec sleep 600"));
    for (signal, left) in [("INT", "Yes"), ("KILL", "No")] {
        let mut child =
            slow.command(["start"]).stderr(std::process::Stdio::null()).spawn().unwrap();
        becomes(&server, "No");
        std::thread::sleep(Duration::from_millis(300));
        std::process::Command::new("kill")
            .args([&format!("-{signal}"), &child.id().to_string()])
            .status()
            .unwrap();
        child.wait().unwrap();
        assert_eq!(sql_thread(&server), left, "{signal}");
    }
    let slow = slow.stub("mariadb-dump", real);
    slow.run(["start"]).noisy().exit(0);
    assert_eq!((sql_thread(&server), stored(&slow).len()), ("Yes".to_owned(), 2));

    // What somebody else has stopped stays so.
    sql(&server, "b", "STOP SLAVE SQL_THREAD");
    whole.run(["start"]).stderr_has("no SQL thread of a replica runs here");
    assert_eq!(sql_thread(&server), "No");
}
