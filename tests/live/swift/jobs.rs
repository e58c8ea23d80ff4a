//! The command with a store behind it: backed up, found, brought back, rotated.

use std::process::{Command, Output};

use nxs_backup::base::MIB;
use serde_json::{Value, json};

use super::{SEGMENT, at_port, keystone, tempauth, with};
use crate::cli::{config, job};
use crate::support::bed::Bed;
use crate::support::server::Server;
use crate::support::world::{everything, sh, until};

/// A storage of these keys as the config has it; JSON is YAML.
fn storage(keys: &Value, store: Value) -> String {
    with(keys, json!({"storage": "swift", "name": "cloud", "store": store})).to_string()
}

/// A tree of a few files, one of them longer than two segments.
fn bed(keys: &Value, store: Value) -> Bed {
    let text = config(&[job("site", "$DIR/www", &[storage(keys, store)])]).replace("zstd", "none");
    let bed = Bed::new().config(&text).tree(
        "www",
        &[("index.php", "<?php"), ("img/a b.png", "png"), ("ü/empty", ""), ("log/", "")],
    );
    std::fs::write(bed.path("www/large"), super::noise(8 * SEGMENT)).unwrap();
    bed
}

fn came_back(bed: &Bed, to: &str) {
    let there = bed.path(to).join(bed.path("www").strip_prefix("/").unwrap());
    assert_eq!(everything(&there), everything(&bed.path("www")), "{to}");
}

/// The stock client, as tempauth's admin.
fn swift(server: &Server, args: &[&str]) -> Output {
    let url = format!("http://127.0.0.1:{}/auth/v1.0", server.port(0));
    let mut command = Command::new("swift");
    command.args(["-A", &url, "-U", "svc:admin", "-K", "svcpw"]).args(args);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn a_job_is_stored_found_and_brought_back_and_the_stock_client_reads_it() {
    let server = Server::shared("swift");
    let keys = tempauth(server);
    let bed = bed(&keys, json!({"days": 3}));
    bed.run(["start", "-v"]).noisy();
    bed.run(["list"]).stdout_has("site");
    bed.run(["verify", "--full"]).stdout_has("1 copy looked at, 1 whole, 0 not");
    bed.run(["restore", "--to", "out"]);
    came_back(&bed, "out");
    bed.run(["restore", "--to", "part", "--strip", "--path", "**/index.php"]);
    assert_eq!(bed.files("part"), ["index.php"]);

    let shown = bed.run(["show", "2026", "--json"]).json();
    let manifest = &shown[0]["manifest"];
    let container = keys["container"].as_str().unwrap();
    let name = format!("web/1/{}", manifest["segments"][0]["key"].as_str().unwrap());
    let fetched = bed.path("fetched");
    swift(server, &["download", container, &name, "-o", fetched.to_str().unwrap()]);
    let sum = sh(&bed, "sha256sum < fetched");
    assert_eq!(sum.split(' ').next(), manifest["sha256"].as_str());

    let log = std::fs::read_to_string(bed.path("log/nxs.log")).unwrap();
    assert!(!log.contains("svcpw") && !log.contains("AUTH_tk"), "{log}");
    bed.run(["check", "storage", "cloud"]).noisy();
    let left = String::from_utf8(swift(server, &["list", container]).stdout).unwrap();
    assert!(!left.contains("probe") && !left.contains("partial"), "{left}");
}

#[test]
fn a_store_that_takes_few_segments_gets_several_objects() {
    let server = Server::shared("swift");
    server.tell("few");
    let bed = bed(&at_port(server.port(2)), json!({"days": 1}));
    bed.run(["start", "-v"]).noisy();
    let shown = bed.run(["show", "2026", "--json"]).json();
    let segments = shown[0]["manifest"]["segments"].as_array().unwrap();
    let bytes: Vec<_> = segments.iter().map(|segment| segment["bytes"].as_u64().unwrap()).collect();
    assert_eq!(bytes[0], 3 * 8 * MIB as u64, "three segments of a storage that is alone");
    assert_eq!(bytes.len(), 2, "{bytes:?}");
    bed.run(["verify", "--full"]).stdout_has("1 copy looked at, 1 whole, 0 not");
    bed.run(["restore", "--to", "out"]);
    came_back(&bed, "out");
}

#[test]
fn rotation_over_days_leaves_as_many_copies_and_no_segment_of_the_others() {
    let server = Server::shared("swift");
    let keys = tempauth(server);
    let mut bed = bed(&keys, json!({"days": 2}));
    for day in 23..27 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]"));
        bed.run(["start"]);
    }
    let listing = bed.run(["list", "--json"]).json();
    assert_eq!(listing["backups"].as_array().unwrap().len(), 2, "{listing}");
    bed.run(["restore", "--to", "out"]);
    came_back(&bed, "out");
    let container = keys["container"].as_str().unwrap();
    let count = |container: &str| {
        let output = swift(server, &["list", container]);
        String::from_utf8(output.stdout).unwrap().lines().count()
    };
    // The tree is a little longer than five segments of 8 MiB: six for each copy.
    assert_eq!(count(&format!("{container}_segments")), 12);
    assert_eq!(count(container), 2 * 3 + 1, "artefact, index and manifest, and the marker");
}

#[test]
fn variables_say_what_the_config_does_not_and_no_process_shows_a_secret() {
    let server = Server::shared("keystone");
    let keys = keystone(server);
    let awkward = std::fs::read_to_string(server.path("ks/awkward")).unwrap();
    let silent = json!({"auth_url": null, "user": null, "password": null, "project": null});
    let bed = bed(&with(&keys, silent), json!({"days": 3}))
        .env("OS_AUTH_URL", keys["auth_url"].as_str().unwrap())
        .env("OS_USERNAME", "awkward")
        .env("OS_PASSWORD", &awkward)
        .env("OS_PROJECT_NAME", "svc")
        .env("OS_USER_DOMAIN_NAME", "Default")
        .env("OS_PROJECT_DOMAIN_NAME", "Default")
        .env("OS_REGION_NAME", "RegionOne");
    let mut running = bed.command(["start", "-v"]).spawn().unwrap();
    until("the end of the run", || {
        let line = format!("/proc/{}/cmdline", running.id());
        let line = std::fs::read(line).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains("HOME"));
        running.try_wait().unwrap().is_some()
    });
    assert!(running.wait().unwrap().success());
    bed.run(["restore", "--to", "out"]);
    came_back(&bed, "out");
    let log = std::fs::read_to_string(bed.path("log/nxs.log")).unwrap();
    assert!(!log.contains("$HOME") && !log.contains("änd more"), "{log}");
    let env = bed.command(["check"]).env_remove("OS_PASSWORD").output().unwrap();
    let said =
        String::from_utf8_lossy(&env.stdout).into_owned() + &String::from_utf8_lossy(&env.stderr);
    assert_eq!(env.status.code(), Some(2), "{said}");
    assert!(said.contains("OS_PASSWORD in the environment"), "{said}");
}

#[test]
fn what_is_wrong_in_the_config_is_shown_where_it_stands() {
    let keys = tempauth_without_a_server();
    for (changes, words) in [
        (json!({"container": "a/b"}), "`container` must not hold a slash"),
        (json!({"bucket_name": "x"}), "bucket_name"),
        (json!({"auth_url": "http://a:0/v3"}), "port 0"),
        (json!({"ca_file": "ca.pem"}), "`ca_file` must be an absolute path"),
        (json!({"delete_after": "soon"}), "`soon` is not a time"),
        (json!({"user": null}), "OS_USERNAME"),
    ] {
        let storage = storage(&with(&keys, changes), json!({"days": 1}));
        let text = config(&[job("site", "$DIR/www", &[storage])]);
        let ran =
            Bed::new().config(&text).tree("www", &[("a", "a")]).run(["check"]).exit(2).noisy();
        let said = format!("{}{}", ran.out(), ran.err());
        assert!(said.contains(words) && said.contains("nxs-backup.conf:3:"), "{words}: {said}");
    }
}

fn tempauth_without_a_server() -> Value {
    super::at_port(1)
}
