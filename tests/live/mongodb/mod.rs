//! `mongodb` with the stock tools, against a server that speaks its protocol (and is none; see
//! `docs/sources/mongodb.md`). It comes from Debian sid and npm: where those cannot be had, these
//! tests are skipped, and say so.

mod failures;
mod stub;
mod ways;

use std::process::Command;

use crate::cli::{config, local};
use crate::support::bed::Bed;
use crate::support::server::Server;
use crate::support::world::{copies, sh, skipped};

/// The server that tests share; `None`, and loud, where it cannot be had.
fn shared() -> Option<&'static Server> {
    had(Server::shared("mongo"))
}

fn had<S: std::ops::Deref<Target = Server>>(server: S) -> Option<S> {
    if server.path("not_to_be_had").exists() {
        skipped("no server of MongoDB: Debian sid or npm did not give it");
        return None;
    }
    Some(server)
}

/// A bed with a job `docs` whose source has these keys, and the tools.
fn bed(server: &Server, source: &str) -> Bed {
    let storage = local("store", "days: 1");
    let text = format!(
        "- {{job: docs, type: mongodb, compress: zstd, tmp_dir: $DIR/tmp, \
         sources: [{{{source}}}], storages: [{storage}]}}\n"
    );
    let bed = Bed::new().config(&config(&[text]));
    sh(&bed, &format!("ln -s {}/* bin/", server.path("bin").display()));
    bed
}

/// The keys of a connection as the user `svc`.
fn login(server: &Server) -> String {
    let port = server.port(0);
    format!("connect: {{db_host: 127.0.0.1, db_port: {port}, db_user: svc, db_password: svcpw}}")
}

/// Asks the server by tests/services/ask_mongo.py.
#[track_caller]
fn ask(server: &Server, words: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/services/ask_mongo.py");
    let mut command = Command::new("/usr/bin/python3");
    let output = command.arg(script).arg(server.port(0).to_string()).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_database_is_dumped_destroyed_and_loaded_again_and_under_another_name() {
    let Some(server) = shared() else { return };
    ask(server, &["fill", "shop"]);
    let before = ask(server, &["digest", "shop"]);
    assert!(before.contains("name with blanks.and-dots 2500"), "{before}");
    let bed = bed(server, &format!("{}, by: database, target_dbs: [shop]", login(server)));
    bed.run(["check"]);
    bed.run(["start"]).noisy();
    let listing = bed.run(["list", "--json"]).json();
    assert_eq!(listing["backups"].as_array().unwrap().len(), 1, "{listing:#}");
    assert_eq!(listing["backups"][0]["target"], "shop");
    ask(server, &["drop", "shop"]);
    bed.run(["restore", "docs", "--target", "shop", "--into", "shop"]).noisy();
    assert_eq!(ask(server, &["digest", "shop"]), before);
    bed.run(["restore", "docs", "--target", "shop", "--into", "other"]).noisy();
    assert_eq!(ask(server, &["digest", "other"]), before);
    assert_eq!(ask(server, &["digest", "shop"]), before);
    // What the dump does not hold would stay: the database would not be as it was.
    ask(server, &["make", "other", "later"]);
    let mixed = ask(server, &["digest", "other"]);
    let again = ["restore", "docs", "--target", "shop", "--into", "other", "--no-rescue"];
    bed.run(again).exit(1).stderr_has("does not hold").stderr_has("leave it there: later;");
    assert_eq!(ask(server, &["digest", "other"]), mixed);
    // What is there is dumped first, and that dump brings it back.
    ask(server, &["drop", "other"]);
    ask(server, &["make", "other", "odd"]);
    let precious = ask(server, &["digest", "other"]);
    let rescue = ["restore", "docs", "--target", "shop", "--into", "other", "--rescue", "rescue"];
    bed.run(rescue).noisy().stdout_has("what was there before is in");
    ask(server, &["drop", "other"]);
    stock_load(server, &bed, "rescue/other_*.mongodump.zst", "other");
    assert_eq!(ask(server, &["digest", "other"]), precious);
    // By the stock tool alone.
    ask(server, &["drop", "shop"]);
    stock_load(server, &bed, &format!("'store/{}'", copies(&bed)[0]), "shop");
    assert_eq!(ask(server, &["digest", "shop"]), before);
    for name in ["shop", "other"] {
        ask(server, &["drop", name]);
    }
}

/// Loads a stored file with zstd and mongorestore.
fn stock_load(server: &Server, bed: &Bed, file: &str, database: &str) {
    let port = server.port(1);
    sh(
        bed,
        &format!(
            "zstd -qdc {file} | bin/mongorestore --quiet --host=127.0.0.1:{port} --archive --drop \
             --stopOnError --nsInclude='{database}.*'"
        ),
    );
}

#[test]
fn a_collection_is_one_copy_as_in_2_x_and_comes_back_alone() {
    let Some(server) = shared() else { return };
    ask(server, &["fill", "coll"]);
    let before = ask(server, &["digest", "coll"]);
    let keys = "target_dbs: [coll], exclude_collections: [empty]";
    let bed = bed(server, &format!("{}, {keys}", login(server)));
    bed.run(["start"]).noisy();
    let copies = copies(&bed);
    assert_eq!(copies.len(), 2, "{copies:?}");
    assert!(
        copies[0].starts_with("coll/name with blanks.and-dots/daily/name with blanks.and-dots_")
    );
    assert!(copies[1].starts_with("coll/odd/daily/odd_"), "{copies:?}");
    ask(server, &["drop", "coll"]);
    for name in ["coll.odd", "coll.name with blanks.and-dots"] {
        bed.run(["restore", "docs", "--target", name, "--into", "coll", "--no-rescue"]).noisy();
    }
    ask(server, &["make", "coll", "empty"]);
    let rows = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with("empty ")).map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    assert_eq!(rows(&ask(server, &["digest", "coll"])), rows(&before));
    ask(server, &["drop", "coll"]);
}

#[test]
fn a_whole_server_is_one_copy_and_is_not_loaded_under_one_name() {
    let Some(server) = shared() else { return };
    ask(server, &["fill", "whole"]);
    let before = ask(server, &["digest", "whole"]);
    let bed = bed(server, &format!("{}, by: server", login(server)));
    bed.run(["start"]).noisy();
    let copies = copies(&bed);
    assert!(copies.len() == 1 && copies[0].starts_with("daily/mongodb_"), "{copies:?}");
    let into = ["restore", "docs", "--target", "mongodb", "--into", "x", "--no-rescue"];
    bed.run(into).exit(1).stderr_has("holds other databases, too");
    ask(server, &["drop", "whole"]);
    stock_load(server, &bed, &format!("'store/{}'", copies[0]), "whole");
    assert_eq!(ask(server, &["digest", "whole"]), before);
    ask(server, &["drop", "whole"]);
}
