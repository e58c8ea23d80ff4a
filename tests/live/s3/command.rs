//! The command with a bucket for its storage.

use std::process::Command;

use crate::cli::{config, job};
use crate::support::bed::Bed;
use crate::support::server::Server;
use crate::support::world::sh;

use super::{ceph, unfinished, witness, witness_as};

/// A storage in a folder of its own; more keys may follow.
pub(super) fn offsite(port: u16, folder: &str, more: &str) -> String {
    format!(
        "{{storage: s3, name: offsite, bucket_name: main, backup_dir: {folder}, \
         access_key_id: svckey, secret_access_key: svcsecret, \
         endpoint: 'http://127.0.0.1:{port}', {more}}}"
    )
}

fn site(port: u16, folder: &str, store: &str) -> Bed {
    let text = job("site", "$DIR/www", &[offsite(port, folder, &format!("store: {{{store}}}"))]);
    let bed = Bed::new().config(&config(&[text.replace("type:", "split: 12MiB, type:")]));
    sh(&bed, "mkdir -p www/a; head -c 30M /dev/urandom > www/noise; seq 99999 > www/a/numbers");
    bed
}

/// Fetches an object with another client.
fn fetch(bed: &Bed, port: u16, key: &str, to: &str) {
    let mut rclone = Command::new("rclone");
    let words = ["copyto", &format!("C:main/{key}")].map(str::to_owned);
    rclone.args(words).arg(bed.path(to)).env("RCLONE_CONFIG", "/dev/null");
    rclone.env_remove("AWS_CA_BUNDLE");
    for (name, value) in [
        ("TYPE", "s3"),
        ("PROVIDER", "Ceph"),
        ("ACCESS_KEY_ID", "svckey"),
        ("SECRET_ACCESS_KEY", "svcsecret"),
        ("ENDPOINT", &format!("http://127.0.0.1:{port}")),
    ] {
        rclone.env(format!("RCLONE_CONFIG_C_{name}"), value);
    }
    let output = rclone.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_tree_in_segments_goes_there_and_comes_back_and_old_copies_go() {
    let port = ceph().port(0);
    let mut bed = site(port, "jobs/site", "days: 2");
    for day in 1..=3 {
        bed.now(&format!("2026-11-0{day}T03:00:00+00:00[UTC]"));
        sh(&bed, &format!("echo {day} > www/a/day"));
        bed.run(["start"]);
    }
    let listed = bed.run(["list", "--json"]).json();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 2, "{listed:#}");
    bed.run(["verify", "--full"]).stdout_has("2 copies looked at, 2 whole, 0 not");
    bed.run(["restore", "--to", "out", "--strip"]);
    sh(&bed, "diff -r www out");
    bed.run(["restore", "--to", "part", "--strip", "--path", "**/day"]);
    assert_eq!(bed.files("part"), ["a/day"]);
    assert_eq!(sh(&bed, "cat part/a/day"), "3\n");

    let shown = bed.run(["show", "20261103", "--json"]).json();
    let segments = shown[0]["manifest"]["segments"].as_array().unwrap();
    assert_eq!(segments.len(), 3, "{shown:#}");
    for (number, segment) in segments.iter().enumerate() {
        let (key, to) = (segment["key"].as_str().unwrap(), format!("fetched.{number}"));
        fetch(&bed, port, &format!("jobs/site/{key}"), &to);
        let sum = sh(&bed, &format!("sha256sum < {to}"));
        assert_eq!(sum.split(' ').next(), segment["sha256"].as_str());
    }
    assert_eq!(unfinished(port, "main", "jobs/site"), [""; 0]);
    bed.run(["check", "storage", "offsite"]).stdout_has("ok");
}

#[test]
fn a_service_that_takes_few_parts_gets_several_objects() {
    let server = Server::shared("swift");
    server.tell("few");
    let port = server.port(2);
    witness_as("svc:admin", "svcpw", port, "PUT", "/nxs-few");
    let keys = offsite(port, "jobs/few", "store: {days: 1}").replace("main", "nxs-few");
    let keys = keys.replace("svckey", "svc:admin").replace("svcsecret", "svcpw");
    let bed = Bed::new().config(&config(&[job("site", "$DIR/www", &[keys])]));
    sh(&bed, "mkdir www; head -c 30M /dev/urandom > www/noise");
    bed.run(["start"]);
    let shown = bed.run(["show", "2026", "--json"]).json();
    let segments = shown[0]["manifest"]["segments"].as_array().unwrap();
    assert_eq!(segments.len(), 2, "{shown:#}");
    assert_eq!(segments[0]["bytes"], 3 * (8 << 20), "three parts of a storage that is alone");
    bed.run(["verify", "--full"]).stdout_has("1 copy looked at, 1 whole, 0 not");
    bed.run(["restore", "--to", "out", "--strip"]);
    sh(&bed, "diff -r www out");
}

#[test]
fn a_secret_with_every_odd_sign_is_in_no_log_nor_on_a_command_line() {
    let (port, secret) = (ceph().port(0), ceph().text("odd"));
    let quoted = serde_json::to_string(&secret).unwrap();
    let keys = offsite(port, "jobs/secret", "store: {days: 2}").replace("main", "odd");
    let keys = keys.replace("svckey", "oddkey").replace("svcsecret", &quoted);
    let bed = Bed::new().config(&config(&[job("site", "$DIR/www", &[keys])]));
    sh(&bed, "mkdir www; head -c 20M /dev/urandom > www/noise");
    let shown = secret.split('\n').next().unwrap();
    let said = bed.run_watched(&["-vv", "start"], shown);
    let log = std::fs::read_to_string(bed.path("log/nxs.log")).unwrap_or_default();
    let masked = bed.run(["config", "show", "site"]).out().to_owned();
    assert!(![said, log, masked].concat().contains(shown));
}

#[test]
fn artefacts_have_the_storage_class_and_manifests_do_not() {
    let port = ceph().port(0);
    let keys = offsite(port, "jobs/class", "storage_class: STANDARD_IA, store: {days: 1}");
    let bed = Bed::new().config(&config(&[job("site", "$DIR/www", &[keys])]));
    sh(&bed, "mkdir www; head -c 20M /dev/urandom > www/noise");
    bed.run(["start"]);
    let listed = witness(port, "GET", "/main?list-type=2&prefix=jobs/class");
    for entry in listed.split("<Contents>").skip(1) {
        let is_artefact = entry.contains(".tar.zst</Key>");
        let class = entry.split_once("<StorageClass>").unwrap().1.split('<').next().unwrap();
        assert_eq!(class, if is_artefact { "STANDARD_IA" } else { "STANDARD" }, "{entry}");
    }
    assert!(listed.contains(".tar.zst</Key>"), "{listed}");
    bed.run(["verify", "--full"]);
}

#[test]
fn what_is_wrong_in_the_config_is_said_with_its_place() {
    let wrong = "{storage: s3, name: offsite, bucket_name: a/b, backup_dir: x, endpoint: s3.example, \
                 access_key_id: id, bucket: c, store: {days: 1}}";
    let bed = Bed::new().config(&config(&[job("site", "$DIR/www", &[wrong.to_owned()])]));
    let ran = bed.run(["check"]).exit(2);
    assert!(
        ran.out().contains("nxs-backup.conf:") && ran.out().contains("bucket"),
        "{}",
        ran.out()
    );
    let bed = bed.config(&config(&[job("site", "$DIR/www", &[wrong.replace("bucket: c, ", "")])]));
    bed.run(["check"])
        .exit(2)
        .stdout_has("`bucket_name` must be 3 to 255 letters")
        .stdout_has("`endpoint` must be a URL")
        .stdout_has("`secret_access_key` is missing");
}

#[test]
fn a_check_with_a_key_that_may_only_put_says_what_stays() {
    let port = ceph().port(0);
    let keys = offsite(port, "jobs/drop", "store: {days: 1}, rotation: none");
    let keys = keys.replace("svckey", "dropkey").replace("svcsecret", "dropsecret");
    let bed =
        Bed::new().config(&config(&[job("site", "$DIR/www", &[keys.replace("main", "dropbox")])]));
    sh(&bed, "mkdir www; echo text > www/file");
    bed.run(["check", "storage", "offsite"]).exit(1).noisy().stdout_has("may stay");
    let ran = bed.run(["start"]).noisy();
    assert!(matches!(ran.code(), Some(0)), "a key that may only put is enough to store");
}
