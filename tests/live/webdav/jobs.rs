//! The command end to end: a job that stores on Apache, with digest and an odd password.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::cli::{config, job};
use crate::support::bed::Bed;
use crate::support::server::Server;
use crate::support::world::{everything, sh};

/// The password of the user `odd` (tests/services/apache.sh), as YAML.
const ODD: &str = r#""p'\"$\\ %#:@/\nä""#;
/// A part of it that must appear nowhere.
const SECRET: &str = "%#:@/";

fn storage(port: u16, folder: &str) -> String {
    format!(
        "{{storage: webdav, name: dav, host: 'http://127.0.0.1:{port}/digest', user: odd, \
         password: {ODD}, backup_dir: /jobs/{folder}, retries: 0, store: {{days: 2}}}}"
    )
}

fn bed(port: u16, folder: &str) -> Bed {
    let text = job("site", "$DIR/www", &[storage(port, folder)]);
    let bed = Bed::new().config(&config(&[text])).tree(
        "www",
        &[("index.php", "<?php"), ("a/ä ö/%41.txt", "odd"), ("a/empty", ""), ("b/", "")],
    );
    sh(&bed, "head -c 3000000 /dev/urandom > www/noise; ln -s noise www/link");
    bed
}

/// Fetches a URL as the user `odd` with curl, which reads the password from its standard input.
fn curl(url: &str) -> Vec<u8> {
    let mut curl = Command::new("curl");
    curl.args(["-fsS", "--digest", "-K", "-", url]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = curl.spawn().unwrap();
    let login = "user = \"odd:p'\\\"$\\\\ %#:@/\\nä\"\n";
    running.stdin.take().unwrap().write_all(login.as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "{url}");
    output.stdout
}

#[test]
fn a_tree_is_backed_up_listed_verified_and_restored() {
    let server = Server::shared("apache");
    let bed = bed(server.port(0), "whole");
    bed.run(["check"]);
    let checked = bed.run(["check", "storage", "dav"]);
    assert!(!checked.out().contains("BROKEN"), "{}", checked.out());
    bed.run(["start"]);
    bed.run(["list"]).stdout_has(" dav ");
    bed.run(["verify", "--full"]).stdout_has("1 copy looked at, 1 whole, 0 not");
    bed.run(["restore", "--to", "out"]);
    let there = bed.path("out").join(bed.path("www").strip_prefix("/").unwrap());
    assert_eq!(everything(&there), everything(&bed.path("www")));
    bed.run(["restore", "--to", "one", "--strip", "--path", "**/*.txt"]);
    assert_eq!(bed.files("one").len(), 1);
    assert!(bed.files("one")[0].ends_with("%41.txt"), "{:?}", bed.files("one"));
}

#[test]
fn rotation_keeps_what_it_should_and_curl_fetches_the_same_bytes() {
    let server = Server::shared("apache");
    let mut bed = bed(server.port(0), "days");
    for day in 18..=21 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]"));
        bed.run(["start"]);
    }
    let listing = bed.run(["list", "--json"]).json();
    let backups = listing["backups"].as_array().unwrap();
    assert_eq!(backups.len(), 2, "{listing:#}");
    let raw = bed.command(["list", "--json"]).output().unwrap();
    let raw: serde_json::Value = serde_json::from_slice(&raw.stdout).unwrap();
    for backup in raw["backups"].as_array().unwrap() {
        let shown = bed.run(["show", backup["id"].as_str().unwrap(), "--json"]).json();
        let manifest = &shown[0]["manifest"];
        let key = manifest["segments"][0]["key"].as_str().unwrap();
        let url = format!("http://127.0.0.1:{}/digest/jobs/days/{key}", server.port(0));
        let fetched = bed.path("fetched");
        std::fs::write(&fetched, curl(&url)).unwrap();
        let sha256 = sh(&bed, "sha256sum < fetched");
        assert_eq!(sha256.split(' ').next(), manifest["sha256"].as_str());
    }
    let left = server.path("dav/root/digest/jobs/days");
    let files = Command::new("find").arg(left).args(["-type", "f"]).output().unwrap();
    let files = String::from_utf8(files.stdout).unwrap();
    assert_eq!(files.lines().filter(|line| !line.contains("/.")).count(), 2 * 3, "{files}");
}

#[test]
fn the_password_stands_nowhere() {
    let server = Server::shared("apache");
    let bed = bed(server.port(0), "quiet");
    let mut command = bed.command(["start", "-vv"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = command.spawn().unwrap();
    let words = std::fs::read(format!("/proc/{}/cmdline", running.id())).unwrap();
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let wrong = sh(&bed, "cat nxs-backup.conf").replace(r"ä", "wrong");
    let bed = bed.config(&wrong);
    let ran = bed.run(["start", "-vv"]);
    let failed = format!("{}{}", ran.out(), ran.err());
    assert_eq!(ran.code(), Some(1));
    assert!(failed.contains("refuses the user or the password"), "{failed}");
    let log = sh(&bed, "cat log/nxs.log");
    let said = [words, output.stdout, output.stderr].concat();
    for text in [String::from_utf8_lossy(&said).into_owned(), failed, log] {
        assert!(!text.contains(SECRET) && !text.contains("Basic "), "{text}");
    }
}

#[test]
fn what_is_wrong_with_the_keys_is_said_with_its_place() {
    let text = job(
        "site",
        "$DIR/www",
        &["{storage: webdav, host: 'ftp://h', port: 0, token: 'a b', backup_dir: ../x, \
           pasword: x, store: {days: 1}}"
            .to_owned()],
    );
    let bed = Bed::new().config(&config(&[text])).tree("www", &[("a", "b")]);
    let ran = bed.run(["check"]);
    let said = format!("{}{}", ran.out(), ran.err());
    assert_eq!(ran.code(), Some(2));
    assert!(said.contains("pasword") && said.contains("nxs-backup.conf:3:"), "{said}");
    let text = said.clone();
    let bed = bed.config(&sh_config("port: '0', token: 'a b', backup_dir: ../x"));
    let ran = bed.run(["check"]);
    let said = format!("{}{}", ran.out(), ran.err());
    assert_eq!(ran.code(), Some(2));
    for words in
        ["`host` must be a URL", "`port` must lie", "`token` must be one word", "`.` or `..`"]
    {
        assert!(said.contains(words), "{words}\n{said}\n{text}");
    }
}

fn sh_config(keys: &str) -> String {
    let storage = format!("{{storage: webdav, host: 'ftp://h', {keys}, store: {{days: 1}}}}");
    config(&[job("site", "$DIR/www", &[storage])])
}
