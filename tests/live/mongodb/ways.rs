//! Ways to a server: no login, another database for it, TLS, a replica set; and what is asked for.

use std::fs;

use crate::live::mongodb::{ask, bed, login, shared};
use crate::support::procs::watched;
use crate::support::world::copies;

#[test]
fn logins_tls_and_a_replica_set_lead_to_the_same_copy_and_show_no_password() {
    let Some(server) = shared() else { return };
    ask(server, &["make", "ways", "some"]);
    let odd = serde_json::to_string(&server.text("odd_password")).unwrap();
    let [auth, open, tls, set] = [0, 1, 2, 3].map(|number| server.port(number));
    let ca = server.path("tls/ca.crt");
    let ways = [
        format!("db_host: 127.0.0.1, db_port: {open}"),
        format!("db_host: 127.0.0.1, db_port: {auth}, user: odd, password: {odd}, auth_db: users"),
        format!(
            "db_host: localhost, db_port: {tls}, db_user: svc, db_password: svcpw, \
             mongo_tls_CA_file: {}",
            ca.display()
        ),
        format!(
            "mongo_replica_set_name: rs0, mongo_replica_set_address: '127.0.0.1:{set}', \
             db_user: svc, db_password: svcpw, mongo_auth_db: admin"
        ),
    ];
    for way in &ways {
        let bed = bed(server, &format!("connect: {{{way}}}, target_dbs: [ways]"));
        let (output, seen) = watched(bed.command(["start", "-v"]));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{way}\n{said}");
        assert_eq!(copies(&bed).len(), 1);
        let log = fs::read_to_string(bed.path("log/nxs.log")).unwrap();
        let dumps: Vec<_> = seen.into_iter().filter(|line| line.contains("mongodump")).collect();
        assert!(!dumps.is_empty());
        for text in [&said, &log, &dumps.join(" ")] {
            assert!(!text.contains("svcpw") && !text.contains("g#h:i"), "{text}");
        }
        assert_eq!(bed.files("tmp"), [""; 0]);
    }
    ask(server, &["drop", "ways"]);
}

#[test]
fn what_is_named_and_left_out_decides() {
    let Some(server) = shared() else { return };
    for (database, collection) in [("pick1", "a"), ("pick1", "b"), ("pick2", "a"), ("pick2", "c.d")]
    {
        ask(server, &["make", database, collection]);
    }
    let targets = |keys: &str| {
        let bed = bed(server, &format!("{}, {keys}", login(server)));
        bed.run(["start"]).noisy();
        let listing = bed.run(["list", "--json"]).json();
        let backups = listing["backups"].as_array().unwrap().iter();
        backups.map(|one| one["target"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    let both = "target_dbs: [pick1, pick2]";
    assert_eq!(targets(&format!("{both}, target_collections: [a]")), "pick1.a pick2.a");
    assert_eq!(
        targets(&format!("{both}, exclude_collections: [pick2.c.d, pick1.a]")),
        "pick1.b pick2.a"
    );
    assert_eq!(targets(&format!("{both}, exclude_dbs: [pick2], by: database")), "pick1");
    let all = targets(
        "target_dbs: [all], target_collections: [all], exclude_collections: [b, a], by: database",
    );
    assert!(all.split(' ').any(|name| name == "pick2"), "{all}");
    assert!(!all.split(' ').any(|name| name == "pick1"), "{all}");
    for database in ["pick1", "pick2"] {
        ask(server, &["drop", database]);
    }
}
