//! Never a false success: each of these ends without a copy, and says why.

use std::thread;
use std::time::Duration;

use crate::live::redis::{bed, job, login, redis, stored};
use crate::support::server::Server;
use crate::support::world::{Disk, copies, fails, reaches, until};

/// Tells whether somebody takes a copy of the server.
fn is_copied(server: &Server) -> bool {
    redis(server.port(0), 0, "INFO replication\n").contains("slave0:")
}

#[test]
fn a_wrong_password_or_none_is_told_with_the_words_of_the_server() {
    let server = Server::shared("redis");
    let port = server.port(0);
    let with = |more: &str| bed(&format!("db_host: 127.0.0.1, db_port: {port}{more}"));
    fails(&with(", db_password: wrong"), "does not take the password: WRONGPASS");
    fails(&with(", user: nobody, db_password: wrong"), "does not take the password: WRONGPASS");
    fails(&with(""), "wants a password (`db_password`): NOAUTH");
}

#[test]
fn a_user_who_may_copy_in_no_way_is_refused() {
    let server = Server::shared("redis");
    let port = server.port(0);
    let keys =
        format!("db_host: 127.0.0.1, db_port: {port}, user: nothing, db_password: nothingpw");
    let bed = bed(&keys);
    fails(&bed, "refuses PSYNC (NOPERM");
    bed.run(["start"]).exit(1).stderr_has("and redis-cli failed, too");
}

#[test]
fn without_redis_cli_the_package_is_named_where_it_would_be_needed() {
    let server = Server::shared("redis");
    let port = server.port(0);
    let bed = bed(&format!("db_host: 127.0.0.1, db_port: {port}, user: old, db_password: oldpw"));
    fails(&bed.env("PATH", "$DIR/bin"), "install the package redis-tools");
}

#[test]
fn a_redis_cli_that_writes_half_or_nothing_and_ends_well_makes_no_copy() {
    let server = Server::shared("redis");
    let port = server.port(0);
    let keys = format!("db_host: 127.0.0.1, db_port: {port}, user: old, db_password: oldpw");
    let half = "printf 'REDIS0010\\372\\011redis-ver\\0067.0.15\\376'";
    fails(&bed(&keys).stub("redis-cli", half), "the dump is cut");
    fails(&bed(&keys).stub("redis-cli", "exit 0"), "is no RDB");
    let fails_late = format!("{half}; echo 'lost it' >&2; exit 1");
    fails(&bed(&keys).stub("redis-cli", &fails_late), "lost it");
    fails(&bed(&keys).stub("redis-cli", &format!("{half}; kill -9 $$")), "signal: 9");
}

#[test]
fn nobody_at_the_port_is_told() {
    let bed = bed("db_host: 127.0.0.1, db_port: 1");
    fails(&bed, "the server 127.0.0.1:1 could not be reached");
    let bed = super::bed("socket: /nowhere/socket");
    fails(&bed, "the server /nowhere/socket could not be reached");
}

#[test]
fn a_server_that_dies_in_the_middle_costs_no_copy() {
    let server = Server::own("redis");
    redis(server.port(0), 0, "DEBUG POPULATE 2000 key 2000\n");
    let mut bed = bed(&login(&server));
    bed.run(["start"]);
    let kept = stored(&bed);
    redis(server.port(0), 0, "CONFIG SET rdbcompression no\nCONFIG SET rdb-key-save-delay 2000\n");
    bed.now("2026-11-22T03:00:00+00:00[UTC]");
    let mut running = bed.command(["start"]);
    running.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let running = running.spawn().unwrap();
    until("a replica", || is_copied(&server));
    thread::sleep(Duration::from_millis(1500));
    server.tell("crash");
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("broke off after"), "{said}");
    // `days: 1`: the one copy is still the newest, and stays.
    assert_eq!(stored(&bed), kept);
}

#[test]
fn an_interrupted_run_leaves_no_replica_and_no_copy() {
    let server = Server::own("redis");
    redis(server.port(0), 0, "DEBUG POPULATE 3000\nCONFIG SET rdb-key-save-delay 2000\n");
    let bed = bed(&login(&server));
    let mut running = bed.command(["start"]);
    running.stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let mut running = running.spawn().unwrap();
    until("a replica", || is_copied(&server));
    let pid = rustix::process::Pid::from_raw(running.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(130));
    assert_eq!(copies(&bed), [""; 0]);
    until("no replica any more", || !is_copied(&server));
}

#[test]
fn a_full_disk_for_the_spool_is_told() {
    let server = Server::own("redis");
    redis(server.port(0), 0, "DEBUG POPULATE 4000 key 4000\n");
    let bed = job("spool: yes,", &format!("connect: {{{}}}", login(&server)));
    let bed = bed.tree("values", &[]);
    // Noise, so that compression does not make it fit.
    super::sh(
        &bed,
        "for n in $(seq 40); do head -c 60000 /dev/urandom | base64 -w0 >values/$n; done",
    );
    for number in 1..=40 {
        let value = std::fs::read_to_string(bed.path(&format!("values/{number}"))).unwrap();
        redis(server.port(0), 0, &format!("SET noise{number} {value}\n"));
    }
    let Some(_disk) = Disk::mount(&bed, "tmp", "1m") else { return };
    fails(&bed, "No space left on device");
}

#[test]
fn a_check_reaches_the_server_as_a_run_would() {
    let server = Server::shared("redis");
    let with = |more: &str| bed(&format!("db_host: 127.0.0.1, db_port: {}{more}", server.port(0)));
    reaches(&bed(&login(server)), 0, ": 1 target\nok     ");
    reaches(&with(", db_password: wrong"), 1, "does not take the password: WRONGPASS");
    reaches(&with(", user: nothing, db_password: nothingpw"), 0, "`redis-cli --rdb` will be tried");
    reaches(&bed("db_host: 127.0.0.1, db_port: 1"), 1, "could not be reached");
    assert!(!is_copied(server));
}
