//! The command with an SMB storage, end to end.

use std::fs;
use std::process::Command;

use crate::support::bed::Bed;
use crate::support::server::Server;
use crate::support::world::{everything, sh};

fn server() -> &'static Server {
    Server::shared("samba")
}

/// A job that stores a tree in `folder` of a share; `login` are the keys that log in.
fn job(share: &str, folder: &str, login: &str) -> String {
    let port = server().port(0);
    format!(
        "main: {{server_name: web1, state_dir: $DIR/state, log_file: $DIR/log/nxs.log}}\n\
         jobs:\n\
         - job: site\n  type: desc_files\n  compress: zstd\n  sources: [{{target: ['$DIR/www']}}]\n  \
         storages:\n  - storage: smb\n    name: offsite\n    host: 127.0.0.1\n    port: '{port}'\n    \
         share: {share}\n    {login}\n    backup_dir: {folder}\n    store: {{days: 2}}\n"
    )
}

/// The user with the awkward password.
fn odd() -> String {
    let password = fs::read_to_string(server().path("odd.password")).unwrap();
    format!(
        "user: odd\n    domain: SVC\n    password: {}",
        serde_json::to_string(&password).unwrap()
    )
}

const USUAL: &str = "user: svcsmb\n    password: svcpw";

fn bed(text: &str) -> Bed {
    let bed = Bed::new().config(text).tree(
        "www",
        &[("index.php", "<?php"), ("img/a.png", "png"), ("img/deep/er/b", "b"), ("empty/", "")],
    );
    sh(&bed, "head -c 3000000 /dev/urandom > www/noise; ln -s noise www/link; chmod 600 www/noise");
    bed
}

#[test]
fn a_tree_is_backed_up_listed_verified_and_restored() {
    for (share, folder, login) in
        [("data", "/odd/tree/", odd()), ("sealed", "jobs\\tree", USUAL.to_owned())]
    {
        let bed = bed(&job(share, folder, &login));
        bed.run(["check"]);
        bed.run(["start"]);
        bed.run(["list"]).stdout_has("offsite");
        bed.run(["verify", "--full"]).stdout_has("1 copy looked at, 1 whole, 0 not");
        bed.run(["restore", "--to", "out"]);
        let there = bed.path("out").join(bed.path("www").strip_prefix("/").unwrap());
        assert_eq!(everything(&there), everything(&bed.path("www")), "{share}");
        bed.run(["restore", "--to", "part", "--strip", "--path", "**/img/deep/er/b"]);
        assert_eq!(bed.files("part"), ["img/deep/er/b"]);
    }
}

#[test]
fn rotation_removes_what_is_too_old_and_nothing_else() {
    let mut bed = bed(&job("data", "jobs/rotation", USUAL));
    for day in 21..=24 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]"));
        bed.run(["start"]);
    }
    let listing = bed.run(["list", "--json"]).json();
    assert_eq!(listing["backups"].as_array().unwrap().len(), 2);
    let left = everything(&server().path("shares/data/jobs/rotation"));
    assert_eq!(left.matches(".manifest.json").count(), 2, "{left}");
    assert!(!left.contains("2026-11-22") && !left.contains("nxs-partial"), "{left}");
}

#[test]
fn the_stock_client_fetches_what_the_manifest_describes() {
    let bed = bed(&job("data", "jobs/stock", USUAL));
    bed.run(["start"]);
    let shown = bed.run(["show", "2026", "--json"]).json();
    let segment = &shown[0]["manifest"]["segments"][0];
    let from = format!("jobs/stock/{}", segment["key"].as_str().unwrap());
    let get = format!("get \"{}\" \"{}\"", from.replace('/', "\\"), bed.path("fetched").display());
    let mut smbclient = Command::new("smbclient");
    smbclient.args(["-p", &server().port(0).to_string(), "-U", "svcsmb%svcpw"]);
    let output = smbclient.args(["//127.0.0.1/data", "-c", &get]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let sha256 = sh(&bed, "sha256sum < fetched");
    assert_eq!(sha256.split(' ').next(), segment["sha256"].as_str());
}

#[test]
fn a_password_stands_in_no_log_and_on_no_command_line() {
    let bed = bed(&job("data", "odd/secrets", &odd()));
    let secret = "f%g#h:i@j/k";
    let mut said = bed.run_watched(&["start", "-vv"], secret);
    said.push_str(&bed.run_watched(&["config", "show", "site"], secret));
    said.push_str(&fs::read_to_string(bed.path("log/nxs.log")).unwrap());
    for part in [secret, "b\"c$d", "b\\\"c$d"] {
        assert!(!said.contains(part), "{said}");
    }
    let wrong = "user: odd\n    password: 'f%g#h:i@j/k'";
    let wrong = bed.config(&job("data", "odd/secrets", wrong));
    let ran = wrong.run(["start", "-vv"]).exit(1).noisy();
    let said = format!("{}{}", ran.out(), ran.err());
    assert!(said.contains("the server refuses the user or the password"), "{said}");
    assert!(!said.contains(secret), "{said}");
}

#[test]
fn check_tries_a_storage_and_says_what_is_wrong_with_it() {
    let good = bed(&job("any", "jobs/check", USUAL));
    good.run(["check", "storage", "offsite"]).stdout_has("a put replaces the whole object");
    let none = good.config(&job("none", "jobs/check", USUAL));
    let ran = none.run(["check", "storage", "offsite"]).exit(1).noisy();
    assert!(ran.out().contains("the server has no such share; check `share`"), "{}", ran.out());
}

#[test]
fn mistakes_in_the_config_are_shown_where_they_are() {
    let text = job("data/inner", "a/../b", "user: 'a\\b'\n    domain: c");
    let text =
        text.replace("host: 127.0.0.1", "host: '//nas'").replace("store:", "bucket: x\n    store:");
    let ran = bed(&text).run(["check"]).exit(2).noisy();
    let said = format!("{}{}", ran.out(), ran.err());
    for words in ["nxs-backup.conf:", "bucket"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let ran = bed(&text.replace("bucket: x", "")).run(["check"]).exit(2).noisy();
    let said = format!("{}{}", ran.out(), ran.err());
    for words in [
        "nxs-backup.conf:10:5",
        "`host` must be a name or an address alone",
        "`share` is the name of a share alone",
        "`user` names a domain already",
        "`backup_dir` must not hold `.` or `..`",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}
