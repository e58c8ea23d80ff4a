//! A server on the ports that everybody knows, which rpcbind tells.

use crate::cli::{config, job};
use crate::support::bed::Bed;
use crate::support::server::Server;
use crate::support::world::sh;

/// Runs the command in the server's own network; returns its exit code and what it said.
fn inside(server: &Server, bed: &Bed, words: &str) -> (String, String) {
    let (program, dir) = (env!("CARGO_BIN_EXE_nxs-backup"), bed.path(""));
    let script = format!(
        "cd {0} && NXS_BACKUP_TRUST_CONFIG=1 exec {program} -c {0}/nxs-backup.conf {words}\n",
        dir.display()
    );
    std::fs::write(server.path("inside.sh"), script).unwrap();
    server.tell("inside");
    (server.text("inside.code"), server.text("inside.log"))
}

fn bed(server: &Server, keys: &str) -> Bed {
    let export = server.path("export");
    let nas = format!(
        "{{storage: nfs, name: nas, host: localhost, backup_dir: {}, {keys} retries: 0, store: {{days: 3}}}}",
        export.display()
    );
    Bed::new().config(&config(&[job("site", "$DIR/www", &[nas])])).tree("www", &[("a", "b")])
}

#[test]
fn ports_that_are_not_given_are_asked_from_rpcbind() {
    let server = Server::own("ganesha_at_home");
    for keys in ["", "port: 2049,"] {
        let bed = bed(&server, keys);
        let (code, said) = inside(&server, &bed, "check storage nas");
        assert_eq!(code, "0", "{said}");
        assert!(said.contains("ok     an object comes back as it was put"), "{said}");
    }
    let bed = bed(&server, "");
    assert_eq!(inside(&server, &bed, "start"), ("0".to_owned(), String::new()));
    let found =
        sh(&bed, &format!("find {} -name '*.manifest.json'", server.path("export").display()));
    assert_eq!(found.lines().count(), 1, "{found}");
}

#[test]
fn a_server_of_nfs_4_alone_names_the_way_out() {
    let server = Server::own("ganesha_at_home");
    server.tell("four");
    let (code, said) = inside(&server, &bed(&server, ""), "start");
    assert_eq!(code, "1", "{said}");
    let way = "mount the export with NFSv4 and use a `local` storage with `must_be_mounted: yes`";
    assert!(said.contains("service over TCP") && said.contains(way), "{said}");
    let (code, said) = inside(&server, &bed(&server, "port: 2049, mount_port: 2049,"), "start");
    assert_eq!(code, "1", "{said}");
    assert!(said.contains("does not speak NFSv3") && said.contains(way), "{said}");
}

#[test]
fn without_rpcbind_the_keys_for_ports_are_named() {
    let server = Server::own("ganesha_at_home");
    server.tell("kill");
    let (code, said) = inside(&server, &bed(&server, ""), "start");
    assert_eq!(code, "1", "{said}");
    let should = "rpcbind on localhost port 111 does not answer: start it there and open its port, \
                  or set `port` and `mount_port`";
    assert!(said.contains(should), "{said}");
}
