//! Never a false success: each of these ends without a copy, and says why.

use std::thread;
use std::time::Duration;

use crate::live::mongodb::{ask, bed, had, login, shared};
use crate::support::procs::all;
use crate::support::server::Server;
use crate::support::world::{copies, fails, reaches, until};

#[test]
fn a_wrong_password_an_unknown_database_and_nobody_at_the_port_are_told() {
    let Some(server) = shared() else { return };
    let keys = login(server).replace("svcpw", "wrong");
    fails(&bed(server, &keys), "unable to authenticate");
    let keys = format!("{}, target_dbs: [nowhere]", login(server));
    fails(&bed(server, &keys), "nowhere: there is no database of that name");
    ask(server, &["make", "known", "some"]);
    let keys = format!("{}, target_dbs: [known], target_collections: [some, typo]", login(server));
    let half = bed(server, &keys);
    half.run(["start"]).exit(3).stderr_has("typo: there is no collection of that name");
    assert_eq!(copies(&half).len(), 1);
    ask(server, &["drop", "known"]);
    let keys = "connect: {db_host: 127.0.0.1, db_port: 1}";
    fails(&bed(server, keys), "mongodump failed");
}

#[test]
fn one_forbidden_collection_of_several_is_one_red_row_and_the_others_are_kept() {
    let Some(server) = shared() else { return };
    for name in ["a", "forbidden", "z"] {
        ask(server, &["make", "rights", name]);
    }
    let keys = login(server).replace("svcpw", "limitedpw").replace("svc", "limited");
    let keys = format!("{keys}, target_dbs: [rights]");
    let by_collection = bed(server, &keys);
    by_collection.run(["start"]).exit(3).stderr_has("not authorized on rights");
    assert_eq!(copies(&by_collection).len(), 2);
    fails(&bed(server, &format!("{keys}, by: database")), "not authorized on rights");
    ask(server, &["drop", "rights"]);
}

#[test]
fn one_broken_database_of_fifty_is_one_red_row_and_the_others_are_kept() {
    let Some(server) = shared() else { return };
    let names: Vec<_> = (1..=50).map(|number| format!("many{number}")).collect();
    let all: Vec<_> = names.iter().map(String::as_str).collect();
    ask(server, &[&["make_each", "some"], &all[..]].concat());
    ask(server, &["make", "many7", "forbidden"]);
    let keys = login(server).replace("svcpw", "limitedpw").replace("svc", "limited");
    let keys = format!("{keys}, by: database, target_dbs: [{}]", names.join(", "));
    let bed = bed(server, &keys);
    let ran = bed.run(["start"]).exit(3).stderr_has("many7: mongodump failed");
    assert_eq!(ran.out().matches("not authorized on many7").count(), 1, "{}", ran.out());
    assert_eq!(copies(&bed).len(), 49);
    assert!(copies(&bed).iter().all(|name| !name.starts_with("many7/")));
    ask(server, &[&["drop_each", ""], &all[..]].concat());
}

#[test]
fn a_collection_that_never_answers_meets_the_timeout() {
    let Some(server) = shared() else { return };
    ask(server, &["make", "silent", "stuck"]);
    let keys = format!("{}, target_dbs: [silent], timeout: 2s", login(server));
    fails(&bed(server, &keys), "mongodump gave nothing for 2 s");
    ask(server, &["drop", "silent"]);
}

#[test]
fn a_server_that_dies_in_the_middle_costs_no_copy() {
    let own = Server::own("mongo");
    let Some(server) = had(&own) else { return };
    ask(server, &["big", "dying", "slow", "4000"]);
    let mut bed = bed(server, &format!("{}, target_dbs: [dying]", login(server)));
    bed.run(["start"]).noisy();
    let kept = copies(&bed);
    assert_eq!(kept.len(), 1);
    bed.now("2026-11-22T03:00:00+00:00[UTC]");
    let mut running = bed.command(["start"]);
    running.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let running = running.spawn().unwrap();
    let dumps = || all().any(|line| line.contains("--collection=slow"));
    until("a mongodump of the slow collection", dumps);
    thread::sleep(Duration::from_millis(1000));
    server.tell("crash");
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("mongodump failed"), "{said}");
    assert_eq!(copies(&bed), kept);
}

#[test]
fn a_check_reaches_the_server_as_a_run_would() {
    let Some(server) = shared() else { return };
    ask(server, &["make", "checked", "some"]);
    let keys = login(server);
    let some = format!("{keys}, target_dbs: [checked]");
    reaches(&bed(server, &some), 0, ": 1 target\nok     ");
    reaches(&bed(server, &some.replace("svcpw", "wrong")), 1, "unable to authenticate");
    let typo = format!("{keys}, target_dbs: [nowhere]");
    reaches(&bed(server, &typo), 1, "nowhere: there is no database of that name");
    ask(server, &["drop", "checked"]);
}
