//! Ways to a server: TLS, sockets, users, both framings, and redis-cli where PSYNC is refused.

use std::fs;

use crate::live::redis::{bed, content, fill, login, manifest, redis, started_on, stored};
use crate::support::procs::watched;
use crate::support::server::Server;

#[test]
fn tls_sockets_and_users_lead_to_the_same_copy() {
    let server = Server::shared("redis");
    let (plain, tls) = (server.port(0), server.port(1));
    let dir = server.path("");
    let dir = dir.to_str().unwrap();
    let odd = serde_json::to_string(&server.text("odd_password")).unwrap();
    let ways = [
        login(server),
        format!("db_host: localhost, db_port: {tls}, db_password: svcpw, ca_file: {dir}tls/ca.crt"),
        format!("socket: {dir}main/socket, password: svcpw"),
        format!("db_host: 127.0.0.1, db_port: {plain}, user: replica, db_password: replicapw"),
        format!("db_host: 127.0.0.1, db_port: {plain}, db_user: odd, db_password: {odd}"),
        // By its disk, without a password; then with a certificate of the client.
        format!("db_host: 127.0.0.1, db_port: {}", server.port(2)),
        format!(
            "db_host: localhost, db_port: {}, tls: yes, ca_file: {dir}tls/ca.crt, \
             cert_file: {dir}tls/client.crt, key_file: {dir}tls/client.key",
            server.port(3)
        ),
    ];
    for way in &ways {
        let bed = bed(way);
        bed.run(["start", "-v"]).noisy();
        assert_eq!(manifest(&bed)["checked"], "length, end mark and CRC64", "{way}");
        let log = fs::read_to_string(bed.path("log/nxs.log")).unwrap();
        assert!(!log.contains("svcpw") && !log.contains("g#h:i"), "{log}");
    }
}

#[test]
fn a_certificate_that_nobody_signed_for_us_is_refused() {
    let server = Server::shared("redis");
    let bed = bed(&format!("db_host: localhost, db_port: {}, tls: yes", server.port(1)));
    bed.run(["start"]).exit(1).stderr_has("certificate");
    assert_eq!(bed.files("store").iter().filter(|name| name.contains("redis_")).count(), 0);
}

#[test]
fn a_copy_by_the_disk_of_the_server_comes_back() {
    let server = Server::own("redis");
    fill(server.port(2));
    let before = content(server.port(2));
    let bed = bed(&format!("db_host: 127.0.0.1, db_port: {}", server.port(2)));
    bed.run(["start"]);
    bed.run(["restore", "--to", "out"]);
    assert_eq!(content(started_on(&server, &bed.path("out/dump.rdb"))), before);
}

#[test]
fn a_server_that_makes_no_checksums_is_copied_and_the_manifest_says_so() {
    let server = Server::shared("redis");
    let bed = bed(&format!("db_host: 127.0.0.1, db_port: {}", server.port(4)));
    bed.run(["start"]);
    let checked = manifest(&bed)["checked"].clone();
    assert_eq!(checked, "length and end mark; the server makes no checksum (rdbchecksum no)");
}

#[test]
fn where_psync_is_refused_redis_cli_brings_the_dump_without_the_mark_and_shows_no_password() {
    let server = Server::own("redis");
    fill(server.port(0));
    redis(server.port(0), 0, "DEBUG POPULATE 300\nCONFIG SET rdb-key-save-delay 1000\n");
    let before = content(server.port(0));
    let bed = bed(&format!(
        "db_host: 127.0.0.1, db_port: {}, user: old, db_password: oldpw",
        server.port(0)
    ));
    let (output, seen) = watched(bed.command(["start", "-v"]));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
    let said = format!("{}{err}", String::from_utf8_lossy(&output.stdout));
    assert!(said.contains("trying redis-cli --rdb"), "{said}");
    assert!(seen.iter().any(|line| line.contains("redis-cli")), "{seen:?}");
    assert!(!seen.iter().any(|line| line.contains("oldpw")), "{seen:?}");
    assert!(!said.contains("oldpw"));
    assert!(stored(&bed).exists());
    bed.run(["restore", "--to", "out"]);
    let dump = fs::read(bed.path("out/dump.rdb")).unwrap();
    assert_eq!(dump[dump.len() - 9], 0xff, "the mark of the transfer is still there");
    assert_eq!(content(started_on(&server, &bed.path("out/dump.rdb"))), before);
}

#[test]
fn no_replica_stays_behind() {
    let server = Server::own("redis");
    for port in [server.port(0), server.port(2)] {
        redis(port, 0, "DEBUG POPULATE 1000\n");
        let bed = bed(&format!("db_host: 127.0.0.1, db_port: {port}, db_password: svcpw"));
        match port == server.port(0) {
            true => bed.run(["start"]),
            // It has no password, and says so.
            false => bed.run(["start"]).exit(1).stderr_has("does not take the password"),
        };
        for _ in 0..50 {
            if redis(port, 0, "CLIENT LIST TYPE replica\n").trim().is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        assert_eq!(redis(port, 0, "CLIENT LIST TYPE replica\n").trim(), "");
        assert!(redis(port, 0, "INFO replication\n").contains("connected_slaves:0"));
    }
}
